// tests/backends/test_onednn_bf16_training.c: float32 networks that the onednn backend trains in
// bfloat16: their outputs, gradients and statistics, and what they learn.
#include "onednn_nets.h"

static tn_exec *bind_as(tn_symbol s, tn_dims data, tn_dtype compute)
{
    tn_exec *e = tn_simple_bind(bench.g, s, .backends = "onednn,reference", .compute = compute,
                                .grad_req = TN_WRITE, .shapes = TN_SHAPES({"data", data}));
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill(e);
    return e;
}

// ------------------------------------------------------------------ one step

// |a - b| / |b|, lengths of vectors: single elements of a gradient may lie where a relu opens or
// closes, or another one of a window is the largest.
static double distance(tn_tensor *a, tn_tensor *b)
{
    double off = 0, length = 0;
    if (!a || !b || tn_tensor_size(a) != tn_tensor_size(b)) return INFINITY;
    for (int64_t i = 0; i < tn_tensor_size(a); i++) {
        const double x = tn_tensor_at(a, i), y = tn_tensor_at(b, i);
        off += (x - y) * (x - y);
        length += y * y;
    }
    return off > 0 ? sqrt(off / length) : 0;
}

static void check_near(const char *name, tn_tensor *narrow, tn_tensor *wide, double tolerance)
{
    const double d = distance(narrow, wide);
    TN_CHECK_NEAR(d, 0, tolerance);
    if (!(d <= tolerance)) TN_CHECK_STR(name, "near what float32 gives");
}

// Values are stored as bfloat16: the highest bit of a layout's number says so.
static void check_report(tn_exec *narrow, tn_exec *wide)
{
    TN_CHECK_HAS(tn_exec_report_text(narrow), "onednn/8000");
    CU_ASSERT(!strstr(tn_exec_report_text(wide), "onednn/8000"));
}

// Rounding to 8 bits is seen in the output and in the gradient of every weight of a layer, and it
// is not more than rounding.
static void check_training(tn_symbol s, tn_dims data, double outputs, double gradients)
{
    tn_exec *narrow = bind_as(s, data, TN_BF16), *wide = bind_as(s, data, TN_DTYPE_NONE);
    if (!narrow || !wide) return;
    const tn_names args = tn_exec_arguments(wide), states = tn_exec_auxiliary_states(wide);
    for (int i = 0; i < 2; i++) {
        step(narrow, true);
        step(wide, true);
        check_near("output", tn_exec_output(narrow, 0), tn_exec_output(wide, 0), outputs);
        for (size_t k = 0; k < args.n; k++) {
            tn_tensor *a = tn_exec_grad(narrow, args.v[k]), *b = tn_exec_grad(wide, args.v[k]);
            if (!b || strstr(args.v[k], "label")) continue;
            check_near(args.v[k], a, b, gradients);
            if (strstr(args.v[k], "weight")) CU_ASSERT(distance(a, b) > 0);
        }
        for (size_t k = 0; k < states.n; k++)
            check_near(states.v[k], tn_exec_aux(narrow, states.v[k]),
                       tn_exec_aux(wide, states.v[k]), outputs);
    }
    CU_ASSERT(distance(tn_exec_output(narrow, 0), tn_exec_output(wide, 0)) > 0);
    check_report(narrow, wide);
    tn_exec_free(narrow);
    tn_exec_free(wide);
}

static tn_symbol net_perceptron(void)
{
    tn_symbol x = layer("FullyConnected", "fc1", "num_hidden=96", tn_var("data"));
    x = layer("Activation", "relu1", "act_type=relu", x);
    x = layer("FullyConnected", "fc2", "num_hidden=65", x);
    x = layer("Activation", "tanh2", "act_type=tanh", x);
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc3", "num_hidden=10", x));
}

static void perceptron(void)
{
    if (narrow_ready()) check_training(net_perceptron(), TN_DIMS(24, 80), 0.02, 0.08);
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) n++;
    return n;
}

// Data, three weights (once for both directions) and the gradient of the loss are converted. What
// is between two layers is not, and fc3 gives the loss float32.
static void few_conversions(void)
{
    static const char *const never[] = {
        "fc1",          "relu1",        "fc2", "tanh2",          "fc3",
        "fc3_backward", "fc2_backward", "out", "tanh2_backward", "relu1_backward"};
    if (!narrow_ready()) return;
    tn_exec *e = bind_as(net_perceptron(), TN_DIMS(24, 80), TN_BF16);
    if (!e) return;
    const char *report = tn_exec_report_text(e);
    char name[64];
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        snprintf(name, sizeof name, "\"%s_0_reorder\"", never[i]);
        CU_ASSERT(count(report, name) == 0);
    }
    CU_ASSERT(count(report, "\"data_0_reorder\"") == 1);
    CU_ASSERT(count(report, "_weight_0_reorder\"") == 3);
    CU_ASSERT(count(report, "\"out_backward_0_reorder\"") == 1);
    tn_exec_free(e);
}

// Rounding makes some of the numbers in a window equal or exchanges them, so that a few of a
// hundred gradients go to a neighbour.
static void lenet(void)
{
    if (narrow_ready()) check_training(net_lenet(), TN_DIMS(6, 1, 28, 28), 0.02, 0.3);
}

// A relu opens or closes here and there.
static void residual_network(void)
{
    if (narrow_ready()) check_training(net_residual(), TN_DIMS(8, 3, 16, 16), 0.02, 0.2);
}

// y = tanh(c2(tanh(c1(x))) + x), whose gradients are products: those of the weights come out
// row-major, unless there are many points and few weights.
static tn_symbol net_points(void)
{
    tn_symbol x = layer("Convolution", "c0", "kernel=(3,3); num_filter=40", tn_var("data"));
    x = layer("tanh", "t0", NULL, x);
    tn_symbol y = layer("Convolution", "c1", "kernel=(1,1); num_filter=24; no_bias=1", x);
    y = layer("Convolution", "c2", "kernel=(1,1); num_filter=40", layer("tanh", "t1", NULL, y));
    y = layer("tanh", "t2", NULL, tn_call(bench.g, "elemwise_add", .inputs = TN_SYMS(y, x)));
    return layer("Convolution", "c3", "kernel=(1,1); num_filter=2; no_bias=1", y);
}

static void single_points(void)
{
    if (!narrow_ready()) return;
    const tn_symbol s = net_points();
    check_training(s, TN_DIMS(4, 3, 9, 9), 0.02, 0.03);
    tn_exec *e = bind_as(s, TN_DIMS(4, 3, 9, 9), TN_BF16);
    if (!e) return;
    CU_ASSERT(count(tn_exec_report_text(e), "\"c1_backward1_0_reorder\"") == 0);
    CU_ASSERT(count(tn_exec_report_text(e), "\"c2_backward1_0_reorder\"") == 0);
    CU_ASSERT(count(tn_exec_report_text(e), "\"c3_backward1_0_reorder\"") == 1);
    tn_exec_free(e);
}

// Smooth all the way. Means, parts that are joined, a convolution in groups, a transposed one,
// functions and sums.
static tn_symbol net_many_kinds(void)
{
    const tn_symbol d = layer("Convolution", "c0", "kernel=(3,3); num_filter=24", tn_var("data"));
    tn_symbol x = layer("BatchNorm", "n", "fix_gamma=0", layer("tanh", "t", NULL, d));
    x = layer("Pooling", "p", "kernel=(2,2); stride=(2,2); pool_type=avg",
              layer("sigmoid", "r", NULL, x));
    const tn_symbol a = layer("Convolution", "c1", "kernel=(1,1); num_filter=9", x);
    const tn_symbol b = layer("Convolution", "c2", "kernel=(3,3); pad=(1,1); num_filter=24", x);
    const tn_symbol sum = tn_call(bench.g, "add_n", .inputs = TN_SYMS(x, b, x), .name = "sum");
    x = tn_call(bench.g, "Concat", .inputs = TN_SYMS(a, sum, b), .name = "all");
    x = layer("LRN", "lrn", "nsize=3", x);
    x = layer("Deconvolution", "up", "kernel=(2,2); stride=(2,2); num_filter=12; no_bias=0", x);
    x = layer("Convolution", "c3", "kernel=(3,3); num_filter=16; num_group=4", x);
    x = layer("mean", "m", "axis=(2,3)", layer("square", "a", NULL, x));
    return layer("FullyConnected", "fc2", "num_hidden=7; no_bias=1", x);
}

static void many_kinds(void)
{
    if (narrow_ready()) check_training(net_many_kinds(), TN_DIMS(3, 3, 14, 14), 0.02, 0.03);
}

// ------------------------------------------------------------------ learning

enum { DIGITS = 1797, SIDE = 8, BATCH = 64, EPOCHS = 3 };

static tn_symbol net_digits(void)
{
    tn_symbol x = tn_var("data");
    x = layer("Convolution", "c1", "kernel=(3,3); pad=(1,1); num_filter=16; no_bias=1", x);
    x = layer("Activation", "r1", "act_type=relu", layer("BatchNorm", "b1", "fix_gamma=0", x));
    const tn_symbol y =
        layer("Convolution", "c2", "kernel=(3,3); pad=(1,1); num_filter=16; no_bias=1", x);
    x = tn_call(bench.g, "elemwise_add",
                .inputs = TN_SYMS(layer("BatchNorm", "b2", "fix_gamma=0", y), x));
    x = layer("Activation", "r2", "act_type=relu", x);
    x = layer("Pooling", "p", "kernel=(2,2); stride=(2,2); pool_type=max", x);
    x = layer("FullyConnected", "fc", "num_hidden=10", x);
    return layer("SoftmaxOutput", "out", "normalization=batch", x);
}

// w := w - rate g for all arguments but the two inputs.
static void descend(tn_exec *e, float rate)
{
    const tn_names args = tn_exec_arguments(e);
    for (size_t k = 0; k < args.n; k++) {
        tn_tensor *w = tn_exec_arg(e, args.v[k]), *g = tn_exec_grad(e, args.v[k]);
        if (!g || strcmp(args.v[k], "data") == 0 || strstr(args.v[k], "label")) continue;
        CU_ASSERT_FATAL(tn_tensor_dtype(w) == TN_F32 && tn_tensor_dtype(g) == TN_F32);
        float *x = tn_tensor_data(w);
        const float *dx = tn_tensor_data(g);
        for (int64_t i = 0; i < tn_tensor_size(w); i++) x[i] -= rate * dx[i];
    }
}

// Rows of 64 numbers from 0 to 16 and the class, into e from row `first` on.
static void feed(tn_exec *e, const float *rows, int64_t first)
{
    float *x = tn_tensor_data(tn_exec_arg(e, "data"));
    float *y = tn_tensor_data(tn_exec_arg(e, "out_label"));
    for (int64_t i = 0; i < BATCH; i++) {
        const float *row = rows + (first + i) * (SIDE * SIDE + 1);
        for (int k = 0; k < SIDE * SIDE; k++) x[i * SIDE * SIDE + k] = row[k] / 16;
        y[i] = row[SIDE * SIDE];
    }
}

static double loss_of(tn_exec *e)
{
    const float *p = tn_tensor_data(tn_exec_output(e, 0));
    const float *y = tn_tensor_data(tn_exec_arg(e, "out_label"));
    double sum = 0;
    for (int64_t i = 0; i < BATCH; i++) sum -= log(fmax((double)p[i * 10 + (int64_t)y[i]], 1e-30));
    return sum / BATCH;
}

// Mean loss of the last epoch.
static double learn(tn_symbol s, tn_dtype compute, const float *rows, float rate)
{
    double sum = 0;
    int64_t n = 0;
    tn_exec *e = bind_as(s, TN_DIMS(BATCH, 1, SIDE, SIDE), compute);
    for (int epoch = 0; e && epoch < EPOCHS; epoch++)
        for (int64_t first = 0; first + BATCH <= DIGITS; first += BATCH) {
            feed(e, rows, first);
            step(e, true);
            descend(e, rate);
            if (epoch + 1 < EPOCHS) continue;
            sum += loss_of(e);
            n++;
        }
    tn_exec_free(e);
    return n ? sum / (double)n : INFINITY;
}

// Both learn, one as well as the other. loss: float32 is to come below it.
static void check_learning(tn_symbol s, float rate, double loss)
{
    tn_tensor *table = tn_csv_load(bench.env, TN_TEST_SOURCE_DIR "/tools/data/digits.csv.gz");
    CU_ASSERT_FATAL(table && tn_tensor_size(table) == DIGITS * (SIDE * SIDE + 1));
    const double wide = learn(s, TN_DTYPE_NONE, tn_tensor_data(table), rate);
    const double narrow = learn(s, TN_BF16, tn_tensor_data(table), rate);
    CU_ASSERT(wide < loss);
    TN_CHECK_NEAR(narrow / wide, 1, 0.05);
    CU_ASSERT(narrow != wide);
    tn_tensor_release(table);
}

static void digits_are_learned_as_well(void)
{
    if (narrow_ready()) check_learning(net_digits(), 0.05f, 0.3);
}

// Two LSTMs that read a picture row by row, with dropout between them.
static tn_symbol net_rows(void)
{
    tn_symbol x = layer("Reshape", "rows", "shape=(0,8,8)", tn_var("data"));
    x = layer("SwapAxis", "steps", "dim1=0; dim2=1", x);
    x = layer("RNN", "rnn", "mode=lstm; num_layers=2; state_size=32; p=0.1", x);
    x = layer("SwapAxis", "samples", "dim1=0; dim2=1", x);
    x = layer("FullyConnected", "fc", "num_hidden=10", x);
    return layer("SoftmaxOutput", "out", "normalization=batch", x);
}

static void rows_are_learned_as_well(void)
{
    if (narrow_ready()) check_learning(net_rows(), 0.5f, 1);
}

TN_TEST_MAIN({"perceptron", perceptron}, {"few conversions", few_conversions}, {"LeNet", lenet},
             {"residual network", residual_network}, {"single points", single_points},
             {"many kinds of layers", many_kinds},
             {"digits are learned as well", digits_are_learned_as_well},
             {"rows are learned as well", rows_are_learned_as_well})
