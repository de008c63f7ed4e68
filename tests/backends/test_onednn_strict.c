// tests/backends/test_onednn_strict.c: whole networks on the onednn backend alone, forward and
// backward, and what of them runs in loops because oneDNN has no primitive.
#include <stdlib.h>

#include "onednn_nets.h"

// ------------------------------------------------------------------ ResNet-50

static const char *numbered(const char *unit, const char *what)
{
    static char text[8][48];
    static unsigned next;
    char *t = text[next++ % 8];
    snprintf(t, sizeof text[0], "%s%s", unit, what);
    return t;
}

static tn_symbol conv_norm(tn_symbol x, const char *name, int kernel, int stride, int filters)
{
    char params[120];
    snprintf(params, sizeof params,
             "kernel=(%d,%d); pad=(%d,%d); stride=(%d,%d); num_filter=%d; no_bias=1", kernel,
             kernel, kernel / 2, kernel / 2, stride, stride, filters);
    x = layer("Convolution", name, params, x);
    return layer("BatchNorm", numbered(name, "_bn"), "fix_gamma=0", x);
}

// Gradients of two backends are compared with tanh: a relu whose input is almost 0 may be open for
// one and shut for the other, and 50 layers with batch norms make much of that.
static const char *function;

static tn_symbol act(tn_symbol x)
{
    return layer("Activation", NULL, function, x);
}

static tn_symbol bottleneck(tn_symbol x, const char *unit, int stride, int width, bool project)
{
    tn_symbol y = act(conv_norm(x, numbered(unit, "_conv1"), 1, 1, width));
    y = act(conv_norm(y, numbered(unit, "_conv2"), 3, stride, width));
    y = conv_norm(y, numbered(unit, "_conv3"), 1, 1, 4 * width);
    if (project) x = conv_norm(x, numbered(unit, "_sc"), 1, stride, 4 * width);
    return act(tn_call(bench.g, "elemwise_add", .inputs = TN_SYMS(y, x)));
}

static tn_symbol resnet50(void)
{
    static const int units[] = {3, 4, 6, 3};
    char unit[24];
    tn_symbol x = act(conv_norm(tn_var("data"), "conv0", 7, 2, 64));
    x = layer("Pooling", "pool0", "kernel=(3,3); pad=(1,1); stride=(2,2); pool_type=max", x);
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < units[stage]; i++) {
            snprintf(unit, sizeof unit, "stage%d_unit%d", stage + 1, i + 1);
            x = bottleneck(x, unit, stage && i == 0 ? 2 : 1, 64 << stage, i == 0);
        }
    x = layer("Pooling", "pool1", "kernel=(2,2); pool_type=avg; global_pool=1", x);
    x = layer("FullyConnected", "fc1", "num_hidden=10", layer("Flatten", "flat", NULL, x));
    return layer("SoftmaxOutput", "out", NULL, x);
}

static tn_symbol net_resnet50(void)
{
    function = "act_type=relu";
    return resnet50();
}

static tn_symbol net_smooth_resnet50(void)
{
    function = "act_type=tanh";
    return resnet50();
}

// ------------------------------------------------------------------ LSTM

static tn_symbol two(const char *op, tn_symbol a, tn_symbol b)
{
    return tn_call(bench.g, op, .inputs = TN_SYMS(a, b));
}

// One step: gates (n, 4 h) → i f g o;  c' = σ(f) c + σ(i) tanh(g);  h' = σ(o) tanh(c')
static tn_symbol cell(tn_symbol x, tn_symbol *h, tn_symbol *c, int t)
{
    char name[24];
    snprintf(name, sizeof name, "i2h%d", t);
    tn_symbol gates = layer("FullyConnected", name, "num_hidden=64", x);
    snprintf(name, sizeof name, "h2h%d", t);
    gates = two("elemwise_add", gates, layer("FullyConnected", name, "num_hidden=64", *h));
    const tn_symbol all = layer("SliceChannel", NULL, "num_outputs=4; axis=1", gates);
    tn_symbol gate[4];
    for (size_t i = 0; i < 4; i++)
        gate[i] = layer(i == 2 ? "tanh" : "sigmoid", NULL, NULL, tn_output(bench.g, all, i));
    *c = two("elemwise_add", two("_mul", gate[1], *c), two("_mul", gate[0], gate[2]));
    *h = two("_mul", gate[3], layer("tanh", NULL, NULL, *c));
    return *h;
}

// Three steps of letters (n, 3), which are 0, 1 and 2 like labels.
static tn_symbol net_unrolled(void)
{
    const tn_symbol letters =
        layer("Embedding", "embed", "input_dim=3; output_dim=8", tn_var("data"));
    const tn_symbol x =
        layer("SliceChannel", NULL, "num_outputs=3; axis=1; squeeze_axis=1", letters);
    tn_symbol h = tn_call(bench.g, "_zeros", .params = TN_ATTRS({"shape", "(5,16)"})), c = h, y[3];
    for (int t = 0; t < 3; t++) y[t] = cell(tn_output(bench.g, x, (size_t)t), &h, &c, t);
    const tn_symbol out = tn_call(bench.g, "Concat", .inputs = TN_SYMS(y[0], y[1], y[2]),
                                  .params = TN_ATTRS({"dim", "0"}));
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc", "num_hidden=3", out));
}

// ------------------------------------------------------------------ what reports say

// The operators that run in loops, each once, in order of the report.
static void check_loops(tn_exec *e, const char *wanted)
{
    char got[200] = "", word[64], op[64];
    char *text = strdup(tn_exec_report_text(e));
    CU_ASSERT_FATAL(text != NULL);
    for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
        if (!strstr(line, "loops (no primitive)")) continue;
        if (sscanf(line, " %63s %63s", word, op) != 2 || strstr(got, op)) continue;
        const size_t n = strlen(got);
        snprintf(got + n, sizeof got - n, "%s%s", n ? " " : "", op);
    }
    free(text);
    TN_CHECK_STR(got, wanted);
}

// Everything runs on onednn: the summary names no other backend.
static void check_alone(tn_exec *e)
{
    const char *text = tn_exec_report_text(e);
    CU_ASSERT(strstr(text, "reference") == NULL && strstr(text, "blas") == NULL);
    TN_CHECK_HAS(text, "onednn");
}

static void check_strict(net_fn net, tn_dims data, bool train, const char *loops)
{
    tn_exec *got = bind_net(net, data, "onednn", train, 0);
    tn_exec *wanted = bind_net(net, data, "reference", train, 0);
    step(got, train);
    step(wanted, train);
    if (got && wanted) {
        CU_ASSERT(all_near(got, wanted, 1e-4));
        check_alone(got);
        check_loops(got, loops);
    }
    tn_exec_free(got);
    tn_exec_free(wanted);
}

// ------------------------------------------------------------------ networks

static void lenet_runs_alone(void)
{
    if (!onednn_ready()) return;
    check_strict(net_lenet, TN_DIMS(6, 1, 28, 28), false, "");
    check_strict(net_lenet, TN_DIMS(6, 1, 28, 28), true, "_backward_SoftmaxOutput");
}

static void resnet50_runs_alone(void)
{
    if (!onednn_ready()) return;
    if (TN_SANITIZER) {
        tn_skip("too slow with sanitizers");
        return;
    }
    check_strict(net_resnet50, TN_DIMS(2, 3, 64, 64), false, "");
    check_strict(net_smooth_resnet50, TN_DIMS(2, 3, 64, 64), true, "_backward_SoftmaxOutput");
    tn_exec *e = bind_net(net_resnet50, TN_DIMS(2, 3, 64, 64), "onednn", true, 0);
    step(e, true);
    if (e) check_alone(e);
    tn_exec_free(e);
}

static void unrolled_lstm_runs_alone(void)
{
    if (!onednn_ready()) return;
    check_strict(net_unrolled, TN_DIMS(5, 3), false, "Embedding _zeros");
    check_strict(net_unrolled, TN_DIMS(5, 3), true,
                 "Embedding _zeros _backward_SoftmaxOutput _backward_Embedding");
}

// A picture made larger between two convolutions, alone and joined with one that is larger already.
static tn_symbol enlarged(const char *how, bool two_pictures)
{
    tn_symbol x =
        layer("Convolution", "c1", "kernel=(3,3); pad=(1,1); num_filter=8", tn_var("data"));
    const tn_symbol large = layer("UpSampling", "up", how, x);
    x = two_pictures ? tn_call(bench.g, "UpSampling", .inputs = TN_SYMS(x, large),
                               .params = TN_ATTRS({"scale", "2"}, {"sample_type", "nearest"},
                                                  {"num_args", "2"}))
                     : large;
    x = layer("Convolution", "c2", "kernel=(3,3); pad=(1,1); num_filter=3", x);
    x = layer("Pooling", "pool", "kernel=(1,1); pool_type=avg; global_pool=1", x);
    return layer("SoftmaxOutput", "out", NULL, layer("Flatten", "flat", NULL, x));
}

static tn_symbol net_nearest(void)
{
    return enlarged("scale=2; sample_type=nearest; num_args=1", false);
}

static tn_symbol net_bilinear(void)
{
    return enlarged("scale=2; sample_type=bilinear; num_filter=8; num_args=2", false);
}

static tn_symbol net_two_pictures(void)
{
    return enlarged("scale=2; sample_type=nearest; num_args=1", true);
}

static void pictures_are_enlarged_alone(void)
{
    if (!onednn_ready()) return;
    for (int64_t batch = 1; batch < 3; batch++) {
        check_strict(net_nearest, TN_DIMS(batch, 3, 9, 7), true, "_backward_SoftmaxOutput");
        check_strict(net_bilinear, TN_DIMS(batch, 3, 9, 7), true, "_backward_SoftmaxOutput");
        check_strict(net_two_pictures, TN_DIMS(batch, 3, 8, 8), true, "_backward_SoftmaxOutput");
    }
}

static tn_symbol squeezenet(void)
{
    return tn_symbol_load(bench.g, tn_data("squeezenet/squeezenet-symbol.json"));
}

// With the weights that MXNet saved. Without drops forward; backward with them, so both draw alike.
static void squeezenet_runs_alone(void)
{
    if (!onednn_ready()) return;
    const char *params = tn_data("squeezenet/squeezenet-0000.params");
    if (!tn_data("squeezenet/squeezenet-symbol.json") || !params) {
        tn_skip("TENON_DATA_DIR has no such file");
        return;
    }
    tn_exec *e[2] = {NULL, NULL};
    tn_tensor_list list = {0, NULL};
    tn_params_load(bench.env, params, &list);
    for (int i = 0; i < 2; i++) {
        e[i] =
            bind_net(squeezenet, TN_DIMS(1, 3, 99, 99), i ? "blas,reference" : "onednn", true, 0);
        if (!e[i]) continue;
        tn_exec_set_all(e[i], (tn_tensors){list.n, list.v}, false);
        tn_exec_seed(e[i], 7);
        step(e[i], true);
    }
    if (e[0] && e[1]) {
        CU_ASSERT(all_near(e[0], e[1], 1e-4));
        check_alone(e[0]);
        check_loops(e[0], "Dropout _backward_SoftmaxOutput");
    }
    for (int i = 0; i < 2; i++) tn_exec_free(e[i]);
    tn_tensors_free(&list);
}

// Of ResNet-50 for inference there remains one reorder in each run: of the picture.
static void resnet50_is_reordered_at_its_ends(void)
{
    if (!onednn_ready()) return;
    tn_fresh();
    tn_exec *e =
        tn_simple_bind(bench.g, net_resnet50(), .backends = "onednn", .grad_req = TN_NULL,
                       .inputs = "data", .shapes = TN_SHAPES({"data", TN_DIMS(1, 3, 224, 224)}));
    if (!TN_CHECK_EXEC(e)) return;
    size_t each_run = 0;
    char *text = strdup(tn_exec_report_text(e));
    CU_ASSERT_FATAL(text != NULL);
    for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
        if (!strstr(line, " reorder \"") || strstr(line, "once")) continue;
        each_run++;
        TN_CHECK_HAS(line, "\"data_0_reorder");
    }
    CU_ASSERT_EQUAL(each_run, 1);
    check_alone(e);
    free(text);
    tn_exec_free(e);
}

TN_TEST_MAIN({"LeNet runs alone", lenet_runs_alone}, {"ResNet-50 runs alone", resnet50_runs_alone},
             {"an unrolled LSTM runs alone", unrolled_lstm_runs_alone},
             {"SqueezeNet runs alone", squeezenet_runs_alone},
             {"pictures are enlarged alone", pictures_are_enlarged_alone},
             {"ResNet-50 is reordered at its ends", resnet50_is_reordered_at_its_ends})
