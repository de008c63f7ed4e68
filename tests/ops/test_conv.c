// tests/ops/test_conv.c: Convolution and Deconvolution: extents, numbers by hand, gradients.
#include "tests/tn_numeric.h"

// 1 2 3 …
static const double count[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

// x counts 1 2 3 …, w is given.
static tn_exec *run(const char *op, const char *params, tn_dims x, tn_dims w, const double *weight)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x"), tn_var("w")), .wrt = "x w",
                  .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F64, x, count)},
                                      {"w", tn_tensor_from(bench.env, TN_F64, w, weight)}));
}
#define RUN(op, params, x, w, ...) run((op), (params), x, w, (const double[]){__VA_ARGS__})

// ------------------------------------------------------------------ Convolution

static void the_kernel_is_not_turned_round(void)
{
    tn_exec *e = tn_try(
        tn_op("Convolution", "kernel=(2,2); num_filter=1", tn_var("x"), tn_var("w"), tn_var("b")),
        .wrt = "x w b",
        .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F32, TN_DIMS(1, 1, 3, 3), count)},
                            {"w", tn_tensor_from(bench.env, TN_F32, TN_DIMS(1, 1, 2, 2), count)},
                            {"b", TN_TENSOR(TN_F32, TN_DIMS(1), 100)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 137, 147, 167, 177);
    tn_back(e, {NULL, tn_tensor_from(bench.env, TN_F32, TN_DIMS(1, 1, 2, 2), count)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 4, 4, 6, 20, 16, 9, 24, 16);
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 37, 47, 67, 77);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 10);
    tn_exec_free(e);
}

// Elements -1 and 2, then 1 and 4, of 1 2 3 4 5; element 5 of the padded data is out of reach.
static void stride_dilate_and_pad(void)
{
    tn_exec *e = RUN("Convolution", "kernel=2; num_filter=1; stride=2; dilate=3; pad=1; no_bias=1",
                     TN_DIMS(1, 1, 5), TN_DIMS(1, 1, 2), 1, 10);
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 30, 52);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 2), 1, 2)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 2, 10, 0, 20);
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 4, 13);
    tn_exec_free(e);
}

static void each_axis_has_its_own_stride_dilate_and_pad(void)
{
    // rows 0 and 2, columns (-1 0), (1 2), (3 4) of 3 rows of 4
    tn_exec *e = RUN("Convolution",
                     "kernel=(2,2); num_filter=1; stride=(1,2); dilate=(2,1); pad=(0,1); no_bias=1",
                     TN_DIMS(1, 1, 3, 4), TN_DIMS(1, 1, 2, 2), 1, 10, 100, 1000);
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 1, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 9010, 12032, 1204);
    tn_exec_free(e);
}

static void pad_may_be_larger_than_the_kernel(void)
{
    tn_exec *e = RUN("Convolution", "kernel=1; num_filter=1; pad=2; no_bias=1", TN_DIMS(1, 1, 2),
                     TN_DIMS(1, 1, 1), 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 3, 6, 0, 0);
    tn_exec_free(e);
}

static void groups_do_not_mix(void)
{
    tn_exec *e = RUN("Convolution", "kernel=1; num_filter=2; num_group=2; no_bias=1",
                     TN_DIMS(2, 4, 1), TN_DIMS(2, 2, 1), 1, 10, 100, 1000);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 21, 4300, 65, 8700);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 2, 1), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 10, 200, 2000, 3, 30, 400, 4000);
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 16, 20, 34, 40);
    tn_exec_free(e);
    // two filters for each channel alone
    e = RUN("Convolution", "kernel=1; num_filter=4; num_group=2; no_bias=1", TN_DIMS(1, 2, 2),
            TN_DIMS(4, 1, 1), 1, 10, 100, 1000);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 10, 20, 300, 400, 3000, 4000);
    tn_exec_free(e);
}

static void three_spatial_axes(void)
{
    tn_exec *e = RUN("Convolution", "kernel=(2,1,2); num_filter=1; no_bias=1",
                     TN_DIMS(1, 1, 2, 2, 2), TN_DIMS(1, 1, 2, 1, 2), 1, 2, 3, 4);
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 1, 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 44, 64);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 2, 1), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 2, 10, 20, 3, 4, 30, 40);
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 31, 42, 75, 86);
    tn_exec_free(e);
}

static void an_empty_batch_has_gradients_of_zero(void)
{
    tn_exec *e = RUN("Convolution", "kernel=2; num_filter=1; no_bias=1", TN_DIMS(0, 1, 3),
                     TN_DIMS(1, 1, 2), 1, 2);
    TN_CHECK_DIMS(tn_out(e, 0), 0, 1, 2);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F64, TN_DIMS(0, 1, 2))});
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 0, 0);
    tn_exec_free(e);
}

// 0.5 + 2^-9 needs 9 bits behind the point: float16 keeps it, bfloat16 (8 bits in all) rounds.
static void sums_of_16_bit_floats_are_rounded_once(void)
{
    static const struct {
        tn_dtype dtype;
        double y;
    } cases[] = {{TN_F16, 0.501953125}, {TN_BF16, 0.5}};
    for (int i = 0; i < 2; i++) {
        const tn_dtype d = cases[i].dtype;
        tn_fresh();
        tn_exec *e = tn_try(
            tn_op("Convolution", "kernel=3; num_filter=1; no_bias=1", tn_var("x"), tn_var("w")),
            .wrt = "x w",
            .given = TN_TENSORS({"x", TN_TENSOR(d, TN_DIMS(1, 1, 3), 256, 0.5, 0.0625)},
                                {"w", TN_TENSOR(d, TN_DIMS(1, 1, 3), 0.001953125, 0, 0.03125)}));
        TN_CHECK_VALUES(tn_out(e, 0), 0, cases[i].y);
        tn_back(e, {NULL, TN_TENSOR(d, TN_DIMS(1, 1, 1), 2)});
        TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0.00390625, 0, 0.0625);
        TN_CHECK_VALUES(tn_grad(e, "w"), 0, 512, 1, 0.125);
        tn_exec_free(e);
    }
}

static void convolution_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("Convolution", "kernel=3; num_filter=2", "2,2,5 2,2,3 2"),
        TN_CASE("Convolution", "kernel=2; num_filter=2; stride=3; dilate=2; pad=1; no_bias=1",
                "1,1,6 2,1,2"),
        TN_CASE("Convolution", "kernel=(2,3); num_filter=4; num_group=2; stride=(2,1); pad=(1,2)",
                "1,4,3,2 4,2,2,3 4"),
        TN_CASE("Convolution", "kernel=(2,2); num_filter=2; num_group=2; dilate=(1,2); no_bias=1",
                "2,2,2,4 2,1,2,2"),
        TN_CASE("Convolution", "kernel=(1,1); num_filter=3; stride=(2,2); no_bias=1",
                "1,2,3,4 3,2,1,1"),
        TN_CASE("Convolution", "kernel=(2,1,2); num_filter=1; stride=(1,2,1); pad=(0,0,1)",
                "1,2,2,3,2 1,2,2,1,2 1"),
        TN_CASE("Convolution",
                "kernel=(2,2,2); num_filter=2; num_group=2; dilate=(2,1,1); pad=(1,1,0)",
                "1,2,2,1,2 2,1,2,2,2 2"),
        TN_CASE("Convolution", "kernel=3; num_filter=4; num_group=4; pad=1; no_bias=1",
                "2,4,4 4,1,3"));
}

// ------------------------------------------------------------------ Convolution_v1

static void the_older_registration_is_the_same_layer(void)
{
    tn_exec *e =
        RUN("Convolution_v1",
            "kernel=(2,2); num_filter=1; stride=(1,2); dilate=(2,1); pad=(0,1); no_bias=1; "
            "layout=NCHW",
            TN_DIMS(1, 1, 3, 4), TN_DIMS(1, 1, 2, 2), 1, 10, 100, 1000);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 9010, 12032, 1204);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 3), 1, 0, 0)});
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 0, 1, 0, 9);
    tn_exec_free(e);
    tn_fresh();
    tn_symbol y = tn_op("Convolution_v1", "kernel=(2,2); num_filter=1", tn_var("x"));
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x convolution_v10_weight convolution_v10_bias");
    static const char *const bad[][2] = {{"kernel=2; num_filter=1", "kernel"},
                                         {"kernel=(2,2); num_filter=1; layout=NHWC", "layout"},
                                         {"kernel=(2,2); num_filter=1; layout=NCDHW", "layout"},
                                         {"kernel=(2,2); num_filter=1; layout=NCW", "layout"}};
    for (int i = 0; i < 4; i++) {
        tn_fresh();
        CU_ASSERT_EQUAL(tn_op("Convolution_v1", bad[i][0], tn_var("x")).node, 0);
        TN_CHECK_HAS(tn_graph_error(bench.g), bad[i][1]);
        tn_graph_forgive(bench.g);
    }
    TN_CHECK_CASES(
        TN_CASE("Convolution_v1", "kernel=(2,3); num_filter=2", "1,2,3,3 2,2,2,3 2"),
        TN_CASE("Convolution_v1", "kernel=(2,2); num_filter=2; stride=(2,1); no_bias=1",
                "2,1,3,2 2,1,2,2"),
        TN_CASE("Convolution_v1", "kernel=(1,2); num_filter=4; num_group=2; pad=(1,1)",
                "1,4,1,2 4,2,1,2 4"),
        TN_CASE("Convolution_v1", "kernel=(2,2); num_filter=1; dilate=(1,2); layout=NCHW",
                "1,1,3,4 1,1,2,2 1"),
        TN_CASE("Convolution_v1", "kernel=(2,1,2); num_filter=2; no_bias=1; layout=NCDHW",
                "1,1,2,2,3 2,1,2,1,2"));
}

// ------------------------------------------------------------------ Deconvolution

// 1 and 2, each times 1 10 100, two elements apart.
static void deconvolution_spreads_what_it_reads(void)
{
    tn_exec *e = RUN("Deconvolution", "kernel=3; num_filter=1; stride=2", TN_DIMS(1, 1, 2),
                     TN_DIMS(1, 1, 3), 1, 10, 100);
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 5);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 10, 102, 20, 200);
    tn_back(e, {NULL, tn_tensor_from(bench.env, TN_F64, TN_DIMS(1, 1, 5), count)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 321, 543);
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 7, 10, 13);
    tn_exec_free(e);
}

static void deconvolution_cuts_pad_off_and_adds_adj(void)
{
    static const struct {
        const char *params;
        int64_t n;
        double y[4];
    } cases[] = {
        {"kernel=3; num_filter=1; stride=2; pad=1", 3, {10, 102, 20}},
        {"kernel=3; num_filter=1; stride=2; pad=1; adj=1", 4, {10, 102, 20, 200}},
        {"kernel=3; num_filter=1; stride=2; target_shape=4; pad=7", 4, {10, 102, 20, 200}},
        {"kernel=3; num_filter=1; stride=2; target_shape=3", 3, {10, 102, 20}},
        {"kernel=3; num_filter=1; stride=2; target_shape=2", 2, {102, 20}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t n = cases[i].n;
        tn_exec *e =
            RUN("Deconvolution", cases[i].params, TN_DIMS(1, 1, 2), TN_DIMS(1, 1, 3), 1, 10, 100);
        TN_CHECK_DIMS(tn_out(e, 0), 1, 1, n);
        tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, (size_t)n, 0);
        tn_exec_free(e);
    }
}

static void deconvolution_has_a_bias_if_asked_and_groups(void)
{
    tn_exec *e = tn_try(tn_op("Deconvolution", "kernel=1; num_filter=4; num_group=2; no_bias=False",
                              tn_var("x"), tn_var("w"), tn_var("b")),
                        .wrt = "x w b",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1), 3, 7)},
                                            {"w", TN_TENSOR(TN_F32, TN_DIMS(2, 2, 1), 1, 2, 3, 4)},
                                            {"b", TN_TENSOR(TN_F32, TN_DIMS(4), 1, 0, 0, 1)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4, 6, 21, 29);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 4, 1), 1, 10, 100, 1000)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 21, 4300);
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 3, 30, 700, 7000);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 1, 10, 100, 1000);
    tn_exec_free(e);
}

static void deconvolution_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("Deconvolution", "kernel=3; num_filter=2; stride=2; no_bias=0", "2,2,3 2,2,3 2"),
        TN_CASE("Deconvolution", "kernel=(2,3); num_filter=2; stride=(2,3); pad=(1,1); adj=(1,2)",
                "1,2,2,2 2,2,2,3"),
        TN_CASE("Deconvolution",
                "kernel=(4,4); num_filter=2; num_group=2; stride=(2,2); "
                "target_shape=(4,5)",
                "1,2,2,2 2,1,4,4"),
        TN_CASE("Deconvolution", "kernel=(2,1,2); num_filter=1; dilate=(2,1,1)",
                "1,2,2,1,2 2,1,2,1,2"),
        TN_CASE("Deconvolution", "kernel=2; num_filter=4; num_group=2; no_bias=0; pad=1",
                "2,2,3 2,2,2 4"),
        TN_CASE("Deconvolution", "kernel=(3,2); num_filter=1; dilate=(1,2); stride=(1,2)",
                "1,1,2,2 1,1,3,2"),
        TN_CASE("Deconvolution",
                "kernel=(2,2,1); num_filter=2; stride=(1,2,1); target_shape=(3,3,2)",
                "1,1,2,2,2 1,2,2,2,1"));
}

TN_TEST_MAIN(
    {"the kernel is not turned round", the_kernel_is_not_turned_round},
    {"stride, dilate and pad", stride_dilate_and_pad},
    {"each axis has its own stride, dilate and pad", each_axis_has_its_own_stride_dilate_and_pad},
    {"pad may be larger than the kernel", pad_may_be_larger_than_the_kernel},
    {"groups do not mix", groups_do_not_mix}, {"three spatial axes", three_spatial_axes},
    {"an empty batch has gradients of zero", an_empty_batch_has_gradients_of_zero},
    {"sums of 16-bit floats are rounded once", sums_of_16_bit_floats_are_rounded_once},
    {"Convolution gradients agree with differences", convolution_gradients_agree_with_differences},
    {"the older registration is the same layer", the_older_registration_is_the_same_layer},
    {"Deconvolution spreads what it reads", deconvolution_spreads_what_it_reads},
    {"Deconvolution cuts pad off and adds adj", deconvolution_cuts_pad_off_and_adds_adj},
    {"Deconvolution has a bias if asked, and groups", deconvolution_has_a_bias_if_asked_and_groups},
    {"Deconvolution gradients agree with differences",
     deconvolution_gradients_agree_with_differences})
