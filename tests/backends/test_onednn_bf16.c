// tests/backends/test_onednn_bf16.c: float32 networks that the onednn backend computes in bfloat16,
// not trained; for training see test_onednn_bf16_training.c.
#include "onednn_nets.h"

static tn_exec *bind_as(tn_symbol s, tn_dims data, tn_dtype compute, const char *inputs)
{
    tn_exec *e = tn_simple_bind(bench.g, s, .backends = "onednn,reference", .inputs = inputs,
                                .compute = compute, .shapes = TN_SHAPES({"data", data}));
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill(e);
    return e;
}

// Eight bits of mantissa: the results differ, by less than the tolerance.
static void check_narrow(tn_symbol s, tn_dims data, const char *inputs, double tolerance)
{
    tn_exec *narrow = bind_as(s, data, TN_BF16, inputs);
    tn_exec *wide = bind_as(s, data, TN_DTYPE_NONE, inputs);
    for (int i = 0; narrow && wide && i < 2; i++) {
        tn_forward(narrow, false);
        tn_forward(wide, false);
        TN_CHECK_EXEC(narrow);
        CU_ASSERT(all_near(narrow, wide, tolerance));
    }
    // The highest bit of a layout's number says bfloat16.
    if (narrow) TN_CHECK_HAS(tn_exec_report_text(narrow), "as onednn/8000");
    if (wide) CU_ASSERT(!strstr(tn_exec_report_text(wide), "onednn/8000"));
    if (narrow && wide)
        CU_ASSERT(difference(tn_exec_output(narrow, 0), tn_exec_output(wide, 0)) > 0);
    tn_exec_free(narrow);
    tn_exec_free(wide);
}

static tn_symbol many_kinds(void)
{
    const tn_symbol d = layer("Convolution", "c0", "kernel=(3,3); num_filter=24", tn_var("data"));
    tn_symbol x = layer("BatchNorm", "n", "fix_gamma=0", layer("tanh", "t", NULL, d));
    x = layer("Pooling", "p", "kernel=(2,2); stride=(2,2); pool_type=avg",
              layer("relu", "r", NULL, x));
    const tn_symbol a = layer("Convolution", "c1", "kernel=(1,1); num_filter=9", x);
    const tn_symbol b = layer("Convolution", "c2", "kernel=(3,3); pad=(1,1); num_filter=24", x);
    const tn_symbol sum = tn_call(bench.g, "add_n", .inputs = TN_SYMS(x, b, x), .name = "sum");
    x = tn_call(bench.g, "Concat", .inputs = TN_SYMS(a, sum, b), .name = "all");
    x = layer("LRN", "lrn", "nsize=3", x);
    x = layer("Deconvolution", "up", "kernel=(2,2); stride=(2,2); num_filter=12; no_bias=0", x);
    x = layer("Convolution", "c3", "kernel=(3,3); num_filter=16; num_group=4", x);
    x = layer("mean", "m", "axis=(2,3)", layer("abs", "a", NULL, x));
    x = layer("relu", "r2", NULL, layer("FullyConnected", "fc", "num_hidden=31", x));
    return layer("FullyConnected", "fc2", "num_hidden=7; no_bias=1", x);
}

static void networks_differ_a_little(void)
{
    if (!narrow_ready()) return;
    check_narrow(net_chain_of_layers(), TN_DIMS(4, 3, 19, 19), "data", 0.02);
    tn_fresh();
    check_narrow(net_lenet(), TN_DIMS(6, 1, 28, 28), "data", 0.02);
    tn_fresh();
    check_narrow(net_residual(), TN_DIMS(3, 3, 16, 16), "data", 0.03);
    tn_fresh();
    check_narrow(many_kinds(), TN_DIMS(3, 3, 14, 14), "data", 0.03);
}

// Weights that may change are converted in each run.
static void constants_are_no_condition(void)
{
    if (!narrow_ready()) return;
    check_narrow(net_lenet(), TN_DIMS(6, 1, 28, 28), NULL, 0.02);
    tn_fresh();
    check_narrow(many_kinds(), TN_DIMS(3, 3, 14, 14), NULL, 0.03);
}

static const struct {
    int64_t row, winner;
    double probability;
} answers[] = {{0, 22, 0.845}, {1, 144, 0.634}, {2, 254, 0.999}};

static void squeezenet_answers_nearly_the_same(void)
{
    const char *const path = tn_data("squeezenet/squeezenet_v1.0.in.data.npy");
    tn_tensor_list params = {0, NULL};
    if (!narrow_ready()) return;
    if (!path) {
        tn_skip("TENON_DATA_DIR has no such file");
        return;
    }
    tn_tensor *data = tn_npy_load(bench.env, path);
    CU_ASSERT_FATAL(data != NULL);
    tn_params_load(bench.env, tn_data("squeezenet/squeezenet-0000.params"), &params);
    const tn_symbol s = tn_symbol_load(bench.g, tn_data("squeezenet/squeezenet-symbol.json"));
    tn_exec *e =
        tn_simple_bind(bench.g, s, .backends = "onednn,blas", .inputs = "data", .compute = TN_BF16,
                       .shapes = TN_SHAPES({"data", TN_DIMS(1, 3, 227, 227)}));
    if (TN_CHECK_EXEC(e)) tn_exec_set_all(e, (tn_tensors){params.n, params.v}, false);
    for (size_t i = 0; e && i < sizeof answers / sizeof *answers; i++) {
        tn_tensor *x = tn_tensor_slice(data, answers[i].row, answers[i].row + 1);
        tn_exec_set(e, "data", x);
        tn_forward(e, false);
        TN_CHECK_NEAR(tn_tensor_at(tn_exec_output(e, 0), answers[i].winner), answers[i].probability,
                      0.02);
        tn_tensor_release(x);
    }
    tn_exec_free(e);
    tn_tensors_free(&params);
    tn_tensor_release(data);
}

TN_TEST_MAIN({"networks differ a little", networks_differ_a_little},
             {"constants are no condition", constants_are_no_condition},
             {"SqueezeNet answers nearly the same", squeezenet_answers_nearly_the_same})
