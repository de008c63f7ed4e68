// tests/ops/test_scan.c: cumsum.
#include "tests/tn_numeric.h"

static tn_exec *sums(const char *params, tn_tensor *x)
{
    tn_fresh();
    return tn_try(tn_op("cumsum", params, tn_var("x")), .wrt = "x", .given = TN_TENSORS({"x", x}));
}

static tn_tensor *count(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6);
}

static void sums_run_along_an_axis(void)
{
    static const struct {
        const char *params;
        double y[6];
    } cases[] = {{"axis=1", {1, 3, 6, 4, 9, 15}},
                 {"axis=-2", {1, 2, 3, 5, 7, 9}},
                 {"axis=1; exclusive=1", {0, 1, 3, 0, 4, 9}},
                 {"axis=1; reverse=1", {6, 5, 3, 15, 11, 6}},
                 {"axis=0; exclusive=1; reverse=1", {4, 5, 6, 0, 0, 0}}};
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16, TN_BF16, TN_I32, TN_U8};
    for (int i = 0; i < 5; i++) {
        for (int d = 0; d < 6; d++) {
            tn_exec *e = sums(cases[i].params, count(dtypes[d]));
            TN_CHECK_DIMS(tn_out(e, 0), 2, 3);
            tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, 6, 0);
            tn_exec_free(e);
        }
    }
}

static void without_an_axis_data_is_flattened(void)
{
    tn_exec *e = sums(NULL, count(TN_F32));
    TN_CHECK_DIMS(tn_out(e, 0), 6);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 3, 6, 10, 15, 21);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(6), 1, 0, 0, 0, 0, 10)});
    TN_CHECK_DIMS(tn_grad(e, "x"), 2, 3);
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 11, 10, 10, 10, 10, 10);
    tn_exec_free(e);
}

// Bytes would wrap at 256; so do they, if they are not told to be wider.
static void the_dtype_is_that_of_the_sums(void)
{
    tn_exec *e = sums("axis=0", TN_TENSOR(TN_U8, TN_DIMS(3), 200, 100, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 200, 44, 45);
    tn_exec_free(e);
    e = sums("axis=0; dtype=int32", TN_TENSOR(TN_U8, TN_DIMS(3), 200, 100, 1));
    CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == TN_I32);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 200, 300, 301);
    tn_exec_free(e);
    e = sums("axis=0; dtype=float64", TN_TENSOR(TN_F16, TN_DIMS(2), 2048, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2048, 2049);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2), 1, 2)});
    CU_ASSERT(e && tn_tensor_dtype(tn_grad(e, "x")) == TN_F16);
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 2);
    tn_exec_free(e);
    e = sums("axis=0; dtype=int64", TN_TENSOR(TN_I64, TN_DIMS(2), 9e18, 9e18)); // wraps
    TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 1), 18e18 - 18446744073709551616.0, 1e4);
    tn_exec_free(e);
}

static void empty_axes_and_wrong_ones(void)
{
    tn_exec *e = sums("axis=0", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3)));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 3);
    tn_exec_free(e);
    e = sums(NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0)));
    TN_CHECK_DIMS(tn_out(e, 0), 0);
    tn_exec_free(e);
    tn_fresh();
    const tn_symbol y =
        tn_op("cumsum", "axis=2", tn_variable(bench.g, "x", .shape = TN_DIMS(2, 3)));
    CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, y, .backends = tn_backends()));
    TN_CHECK_HAS(tn_graph_error(bench.g), "axis: 2 of a value with 2 axes");
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("cumsum", NULL, "2,3"), TN_CASE("cumsum", "axis=0", "4"),
                   TN_CASE("cumsum", "axis=1; exclusive=1", "2,3,2"),
                   TN_CASE("cumsum", "axis=-1; reverse=1", "2,3"),
                   TN_CASE("cumsum", "axis=0; exclusive=1; reverse=1; dtype=float64", "3,2"),
                   TN_CASE("cumsum", "dtype=float64; reverse=1", "2,2"));
}

TN_TEST_MAIN({"sums run along an axis", sums_run_along_an_axis},
             {"without an axis data is flattened", without_an_axis_data_is_flattened},
             {"the dtype is that of the sums", the_dtype_is_that_of_the_sums},
             {"empty axes and wrong ones", empty_axes_and_wrong_ones},
             {"gradients agree with differences", gradients_agree_with_differences})
