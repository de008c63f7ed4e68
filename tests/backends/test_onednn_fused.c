// tests/backends/test_onednn_fused.c: the onednn backend at inference: layers fused with what
// follows them, no reorder inside of ResNet-50, and SqueezeNet's answers.
#include "onednn_nets.h"

static tn_exec *bind_for_inference(tn_symbol s, tn_dims data, const char *backends, uint32_t flags)
{
    tn_exec *e = tn_simple_bind(bench.g, s, .backends = backends, .inputs = "data", .flags = flags,
                                .shapes = TN_SHAPES({"data", data}));
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill(e);
    return e;
}

// The network fused agrees with the reference, run after run.
static tn_exec *check_fused(tn_symbol s, tn_dims data)
{
    tn_exec *got = bind_for_inference(s, data, "onednn,reference", 0);
    tn_exec *wanted = bind_for_inference(s, data, "reference", TN_BIND_NO_FUSE);
    for (int i = 0; got && wanted && i < 2; i++) {
        tn_forward(got, false);
        tn_forward(wanted, false);
        TN_CHECK_EXEC(got);
        CU_ASSERT(all_near(got, wanted, 1e-4));
    }
    tn_exec_free(wanted);
    return got;
}

// Rows of a run that are these operators as one.
static size_t fused_rows(tn_exec *e, const char *operators)
{
    const tn_profile_row *row;
    size_t n = 0;
    tn_exec_profile(e, true);
    for (size_t i = 0; (row = tn_exec_profile_row(e, i)) != NULL; i++)
        n += strcmp(row->fused, operators) == 0;
    return n;
}

static void check_fuses(tn_exec *e, const char *const *units)
{
    for (; e && *units; units++)
        if (!fused_rows(e, *units)) TN_CHECK_STR(tn_exec_report_text(e), *units);
    tn_exec_free(e);
}

static tn_symbol conv(const char *name, const char *params, tn_symbol x)
{
    return layer("Convolution", name, params, x);
}

static tn_symbol add(tn_symbol a, tn_symbol b)
{
    return tn_call(bench.g, "elemwise_add", .inputs = TN_SYMS(a, b));
}

// ------------------------------------------------------------------ units

static void layers_take_what_follows(void)
{
    if (!onednn_ready()) return;
    tn_symbol x = conv("c1", "kernel=(3,3); num_filter=32", tn_var("data"));
    x = layer("tanh", "t1", NULL, x);
    x = layer("Activation", "r1", "act_type=sigmoid", conv("c2", "kernel=(3,3); num_filter=17", x));
    x = layer("_mul_scalar", "m1", "scalar=-3", conv("c3", "kernel=(3,3); num_filter=8", x));
    // Two of one kind: the second stays outside, because oneDNN confuses their numbers.
    x = layer("abs", "a1", NULL, layer("_plus_scalar", "p1", "scalar=0.5", x));
    x = layer("BatchNorm", "b1", "fix_gamma=0", layer("Pooling", "p", "kernel=(2,2)", x));
    x = layer("relu", "r2", NULL, x);
    x = layer("relu", "r3", NULL, layer("FullyConnected", "fc", "num_hidden=19", x));
    check_fuses(check_fused(x, TN_DIMS(3, 5, 14, 15)),
                (const char *const[]){"Convolution + tanh", "Convolution + Activation",
                                      "Convolution + _mul_scalar", "BatchNorm + relu",
                                      "FullyConnected + relu", NULL});
}

// The added value may be read by the layer too, or later, or leave the network: then it is copied.
// What LeakyReLU expands into.
static void a_slope_below_zero_follows(void)
{
    if (!onednn_ready()) return;
    const tn_symbol x = conv("c", "kernel=(3,3); num_filter=16", tn_var("data"));
    check_fuses(check_fused(layer("_leaky", NULL, "below=0.1", x), TN_DIMS(2, 3, 9, 8)),
                (const char *const[]){"Convolution + _leaky", NULL});
    tn_fresh();
    const tn_symbol y = conv("d", "kernel=(3,3); num_filter=64; pad=(1,1)", tn_var("data"));
    tn_exec *e = check_fused(layer("_leaky", NULL, "below=0.1", y), TN_DIMS(2, 64, 24, 20));
    if (e && __builtin_cpu_supports("avx512f"))
        TN_CHECK_HAS(tn_exec_report_text(e), "winograd_4x3");
    check_fuses(e, (const char *const[]){"Convolution + _leaky", NULL});
}

// A kernel over the whole width of one channel, as of sentences: no vector of 16 channels.
static void one_channel_is_a_product(void)
{
    if (!onednn_ready()) return;
    const tn_symbol x = conv("c", "kernel=(3,50); num_filter=40", tn_var("data"));
    tn_exec *e = check_fused(layer("relu", NULL, NULL, x), TN_DIMS(3, 1, 9, 50));
    if (!e) return;
    CU_ASSERT_EQUAL(fused_rows(e, "Convolution + relu"), 1);
    if (__builtin_cpu_supports("avx512f")) TN_CHECK_HAS(tn_exec_report_text(e), "gemm:jit");
    tn_exec_free(e);
}

static void sums_leave_the_other_side_alone(void)
{
    if (!onednn_ready()) return;
    static const char same[] = "kernel=(3,3); pad=(1,1); num_filter=24";
    static const char point[] = "kernel=(1,1); num_filter=24; no_bias=1";
    const tn_symbol x = conv("c0", same, tn_var("data"));
    const tn_symbol y = layer("relu", NULL, NULL, add(conv("c1", point, x), x));
    const tn_symbol z = layer("relu", NULL, NULL, add(y, conv("c2", same, y)));
    const tn_symbol u = layer("tanh", NULL, NULL, add(conv("c3", point, z), y));
    const tn_symbol v = add(conv("c4", same, u), conv("c5", point, z));
    check_fuses(check_fused(tn_group(bench.g, TN_SYMS(v, y, u)), TN_DIMS(2, 3, 9, 8)),
                (const char *const[]){"Convolution + elemwise_add + relu",
                                      "Convolution + elemwise_add + tanh",
                                      "Convolution + elemwise_add", NULL});
}

// Rows of results, one time at the ends, one time between the taps, that no data reach.
static void windows_may_lie_in_the_padding(void)
{
    static const struct {
        const char *params, *fused;
    } rows[] = {{"kernel=(1,4); pad=(1,2); dilate=(1,2); num_filter=32", NULL},
                {"kernel=(2,3); pad=(3,1); dilate=(6,1); num_filter=32", NULL},
                {"kernel=(3,3); pad=(1,1); num_filter=32", "Convolution + elemwise_add + relu"}};
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tn_fresh();
        const tn_symbol x = tn_var("data");
        const tn_symbol y = conv("c", rows[i].params, x), z = conv("d", rows[i].params, x);
        tn_exec *e = check_fused(layer("relu", NULL, NULL, add(y, z)), TN_DIMS(2, 32, 4, 8));
        if (e && !rows[i].fused)
            CU_ASSERT_EQUAL(fused_rows(e, "Convolution + elemwise_add + relu"), 0);
        check_fuses(e, (const char *const[]){rows[i].fused, NULL});
    }
}

static void products_take_sums(void)
{
    if (!onednn_ready()) return;
    const tn_symbol x = layer("FullyConnected", "a", "num_hidden=40", tn_var("data"));
    const tn_symbol h = layer("relu", NULL, NULL, layer("FullyConnected", "b", "num_hidden=40", x));
    const tn_symbol y = layer("sigmoid", NULL, NULL,
                              add(layer("FullyConnected", "c", "num_hidden=40; no_bias=1", h), x));
    const tn_symbol w = tn_variable(bench.g, "w_weight", .shape = TN_DIMS(40, 21));
    const tn_symbol d = tn_call(bench.g, "dot", .inputs = TN_SYMS(y, w));
    check_fuses(check_fused(layer("relu", NULL, NULL, d), TN_DIMS(6, 33)),
                (const char *const[]){"FullyConnected + relu",
                                      "FullyConnected + elemwise_add + sigmoid", "dot + relu",
                                      NULL});
}

// What a monitor sees of node "k".
enum { SEEN = 2 * 24 * 7 * 6 };
static void see(void *ctx, const char *name, tn_tensor *value)
{
    double *seen = ctx;
    if (strcmp(name, "k_output") != 0 || tn_tensor_size(value) != SEEN) return;
    for (int i = 0; i < SEEN; i++) seen[i] = tn_tensor_at(value, i);
}

static void functions_of_blas_leave_layouts_alone(void)
{
    static double seen[2][SEEN];
    if (!onednn_ready()) return;
    tn_symbol x = conv("c1", "kernel=(3,3); num_filter=24", tn_var("data"));
    x = layer("clip", "k", "a_min=-0.2; a_max=0.3", x);
    x = conv("c2", "kernel=(3,3); num_filter=32", x);
    tn_exec *got = bind_for_inference(x, TN_DIMS(2, 3, 9, 8), "onednn,blas", 0);
    tn_exec *wanted = bind_for_inference(x, TN_DIMS(2, 3, 9, 8), "reference", TN_BIND_NO_FUSE);
    if (!got || !wanted) return;
    tn_exec_monitor(got, see, seen[0]);
    tn_exec_monitor(wanted, see, seen[1]);
    tn_forward(got, false);
    tn_forward(wanted, false);
    CU_ASSERT(TN_CHECK_EXEC(got) && TN_CHECK_EXEC(wanted) && all_near(got, wanted, 1e-4));
    for (int i = 0; i < SEEN; i++) TN_CHECK_NEAR(seen[0][i], seen[1][i], 1e-5);
    const char *text = tn_exec_report_text(got);
    TN_CHECK_HAS(text, "clip \"k\"");
    CU_ASSERT(!strstr(text, "c1_0_reorder") && !strstr(text, "k_0_reorder"));
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void results_in_the_middle_stay(void)
{
    if (!onednn_ready()) return;
    const tn_symbol x = conv("c1", "kernel=(3,3); num_filter=16", tn_var("data"));
    const tn_symbol y = layer("sigmoid", NULL, NULL, x);
    tn_exec *e = check_fused(tn_group(bench.g, TN_SYMS(y, x)), TN_DIMS(2, 3, 9, 8));
    if (e) CU_ASSERT_EQUAL(fused_rows(e, "Convolution + sigmoid"), 0);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ ResNet-50

static tn_symbol conv_norm(tn_symbol x, const char *name, int64_t filters, int64_t kernel,
                           int64_t stride)
{
    char params[120], norm[64];
    snprintf(params, sizeof params,
             "kernel=(%d,%d); stride=(%d,%d); pad=(%d,%d); num_filter=%d; no_bias=1", (int)kernel,
             (int)kernel, (int)stride, (int)stride, (int)(kernel / 2), (int)(kernel / 2),
             (int)filters);
    snprintf(norm, sizeof norm, "%s_norm", name);
    return layer("BatchNorm", norm, "fix_gamma=0", conv(name, params, x));
}

// 1×1, 3×3, 1×1 convolutions beside the identity, or beside a 1×1 convolution in a stage's first.
static tn_symbol bottleneck(tn_symbol x, int stage, int unit)
{
    char name[3][24];
    const int64_t width = INT64_C(64) << stage, stride = stage && !unit ? 2 : 1;
    for (int i = 0; i < 3; i++) snprintf(name[i], sizeof name[i], "s%du%dc%d", stage, unit, i);
    tn_symbol y = layer("relu", NULL, NULL, conv_norm(x, name[0], width, 1, 1));
    y = layer("relu", NULL, NULL, conv_norm(y, name[1], width, 3, stride));
    y = conv_norm(y, name[2], 4 * width, 1, 1);
    snprintf(name[0], sizeof name[0], "s%du%dproject", stage, unit);
    if (!unit) x = conv_norm(x, name[0], 4 * width, 1, stride);
    return layer("relu", NULL, NULL, add(y, x));
}

static tn_symbol resnet50(void)
{
    static const int units[] = {3, 4, 6, 3};
    tn_symbol x = layer("relu", NULL, NULL, conv_norm(tn_var("data"), "stem", 64, 7, 2));
    x = layer("Pooling", "pool", "kernel=(3,3); stride=(2,2); pad=(1,1); pool_type=max", x);
    for (int stage = 0; stage < 4; stage++)
        for (int unit = 0; unit < units[stage]; unit++) x = bottleneck(x, stage, unit);
    x = layer("Pooling", "mean", "kernel=(1,1); global_pool=1; pool_type=avg", x);
    x = layer("FullyConnected", "fc", "num_hidden=1000", x);
    return layer("softmax", "out", NULL, x);
}

// Reorders of a run that is not the first: what enters, and what leaves the convolutional part.
static size_t lasting_reorders(tn_exec *e)
{
    size_t n = 0;
    const char *list = strstr(tn_exec_report_json(e), "\"reorders\": [");
    for (const char *at = list; at && (at = strstr(at, "\"once\": ")) != NULL; at += 8)
        n += strncmp(at + 8, "false", 5) == 0;
    return n;
}

static void resnet_50_has_reorders_at_its_ends_only(void)
{
    if (!onednn_ready()) return;
    tn_exec *e = bind_for_inference(resnet50(), TN_DIMS(1, 3, 64, 64), "onednn,reference", 0);
    if (!e) return;
    CU_ASSERT(lasting_reorders(e) <= 1);
    CU_ASSERT_EQUAL(fused_rows(e, "Convolution + relu"), 33);
    CU_ASSERT_EQUAL(fused_rows(e, "Convolution + elemwise_add + relu"), 16);
    // All that a run executes is oneDNN's; what the reference does is to fold batch norms, once.
    tn_exec_profile(e, true);
    for (int i = 0; i < 3; i++) tn_forward(e, false);
    TN_CHECK_EXEC(e);
    const tn_profile_row *row;
    for (size_t i = 0; (row = tn_exec_profile_row(e, i)) != NULL; i++)
        if (!row->once) TN_CHECK_STR(row->device, "onednn");
    tn_exec_free(e);
}

static void resnet_50_agrees_with_its_parts(void)
{
    if (!onednn_ready()) return;
    const tn_symbol s = resnet50();
    tn_exec *fused = bind_for_inference(s, TN_DIMS(2, 3, 64, 64), "onednn,reference", 0);
    tn_exec *apart =
        bind_for_inference(s, TN_DIMS(2, 3, 64, 64), "onednn,reference", TN_BIND_NO_FUSE);
    if (fused && apart) {
        tn_forward(fused, false);
        tn_forward(apart, false);
        TN_CHECK_EXEC(fused);
        CU_ASSERT(all_near(fused, apart, 1e-4));
    }
    tn_exec_free(fused);
    tn_exec_free(apart);
}

// ------------------------------------------------------------------ SqueezeNet

// Rows of the file of inputs: which class wins, and with what probability.
static const struct {
    int64_t row, winner;
    double probability;
} answers[] = {{0, 22, 0.845}, {1, 144, 0.634}, {2, 254, 0.999}};

static void check_answers(tn_exec *e, tn_tensor *data, tn_tensor_list params)
{
    if (!TN_CHECK_EXEC(e)) return;
    tn_exec_set_all(e, (tn_tensors){params.n, params.v}, false);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        tn_tensor *x = tn_tensor_slice(data, answers[i].row, answers[i].row + 1);
        tn_exec_set(e, "data", x);
        tn_forward(e, false);
        TN_CHECK_EXEC(e);
        TN_CHECK_NEAR(tn_tensor_at(tn_exec_output(e, 0), answers[i].winner), answers[i].probability,
                      5e-4);
        tn_tensor_release(x);
    }
    CU_ASSERT_EQUAL(fused_rows(e, "Convolution + Activation"), 26);
    CU_ASSERT(lasting_reorders(e) <= 2);
}

static void squeezenet_answers_as_it_should(void)
{
    static const char *const lists[] = {"onednn,blas", "onednn,reference"};
    const char *const path = tn_data("squeezenet/squeezenet_v1.0.in.data.npy");
    tn_tensor_list params = {0, NULL};
    if (!onednn_ready()) return;
    if (!path) {
        tn_skip("TENON_DATA_DIR has no such file");
        return;
    }
    tn_tensor *data = tn_npy_load(bench.env, path);
    CU_ASSERT_FATAL(data != NULL);
    tn_params_load(bench.env, tn_data("squeezenet/squeezenet-0000.params"), &params);
    const tn_symbol s = tn_symbol_load(bench.g, tn_data("squeezenet/squeezenet-symbol.json"));
    for (size_t i = 0; i < sizeof lists / sizeof *lists && TN_CHECK_GRAPH(); i++) {
        tn_exec *e = tn_simple_bind(bench.g, s, .backends = lists[i], .inputs = "data",
                                    .shapes = TN_SHAPES({"data", TN_DIMS(1, 3, 227, 227)}));
        check_answers(e, data, params);
        tn_exec_free(e);
    }
    tn_tensors_free(&params);
    tn_tensor_release(data);
}

TN_TEST_MAIN({"layers take what follows", layers_take_what_follows},
             {"a slope below zero follows", a_slope_below_zero_follows},
             {"one channel is a product", one_channel_is_a_product},
             {"sums leave the other side alone", sums_leave_the_other_side_alone},
             {"windows may lie in the padding", windows_may_lie_in_the_padding},
             {"products take sums", products_take_sums},
             {"functions of blas leave layouts alone", functions_of_blas_leave_layouts_alone},
             {"results in the middle stay", results_in_the_middle_stay},
             {"ResNet-50 has reorders at its ends only", resnet_50_has_reorders_at_its_ends_only},
             {"ResNet-50 agrees with its parts", resnet_50_agrees_with_its_parts},
             {"SqueezeNet answers as it should", squeezenet_answers_as_it_should})
