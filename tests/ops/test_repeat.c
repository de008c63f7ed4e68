// tests/ops/test_repeat.c: repeat, reverse, nansum, nanprod.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *run(const char *op, const char *params, tn_tensor *x)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x")), .wrt = "x", .given = TN_TENSORS({"x", x}));
}

static tn_tensor *data(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(2, 2), 1, 2, 3, 4);
}

static void repeat_along_an_axis_or_flattened(void)
{
    tn_exec *e = run("repeat", "repeats=2", data(TN_F32));
    TN_CHECK_DIMS(tn_out(e, 0), 8);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1, 2, 2, 3, 3, 4, 4);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(8), 1, 2, 3, 4, 5, 6, 7, 8)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 7, 11, 15);
    tn_exec_free(e);
    static const char *const columns[] = {"repeats=2; axis=1", "repeats=2; axis=-1"};
    static const char *const rows[] = {"repeats=2; axis=0", "repeats=2; axis=-2"};
    for (int i = 0; i < 2; i++) {
        e = run("repeat", columns[i], data(TN_I64));
        TN_CHECK_DIMS(tn_out(e, 0), 2, 4);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1, 2, 2, 3, 3, 4, 4);
        tn_exec_free(e);
        e = run("repeat", rows[i], data(TN_F16));
        TN_CHECK_DIMS(tn_out(e, 0), 4, 2);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 1, 2, 3, 4, 3, 4);
        tn_exec_free(e);
    }
}

static void reverse_of_one_axis_and_of_two(void)
{
    tn_exec *e = run("reverse", "axis=-1", data(TN_U8));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 1, 4, 3);
    tn_exec_free(e);
    e = run("reverse", "axis=(0,1)", data(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4, 3, 2, 1);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 5)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 5, 3, 2, 1);
    tn_exec_free(e);
}

static void nan_counts_as_nothing(void)
{
    tn_exec *e = run("nansum", "axis=1", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, NAN, NAN, NAN));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 0);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 2, 0, 0, 0);
    tn_exec_free(e);
    e = run("nanprod", NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 2, NAN, 3, 4));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 24);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1), 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, 12, 0, 8, 6);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("repeat", "repeats=3", "2,3"), TN_CASE("repeat", "repeats=2; axis=1", "2,3,2"),
        TN_CASE("repeat", "repeats=2; axis=-3", "2,3,2"),
        TN_CASE("repeat", "repeats=1; axis=0", "3,2"),
        TN_CASE("repeat", "repeats=4; axis=-1", "2,2"), TN_CASE("reverse", "axis=(0,-1)", "2,3,2"),
        TN_CASE("reverse", "axis=0", "4"), TN_CASE("reverse", "axis=1", "2,3,2"),
        TN_CASE("reverse", "axis=(-1,-2,-3)", "2,2,2"), TN_CASE("reverse", "axis=-1", "3,1"),
        TN_CASE("nansum", "axis=1; keepdims=1", "2,3"), TN_CASE("nansum", NULL, "5"),
        TN_CASE("nansum", "axis=(0,2)", "2,3,2"), TN_CASE("nansum", "axis=1; exclude=1", "2,3,2"),
        TN_CASE("nansum", "axis=-1", "3,2"), TN_CASE("nanprod", "axis=0", "3,2"),
        TN_CASE("nanprod", NULL, "4"), TN_CASE("nanprod", "axis=(1,); keepdims=1", "2,3"),
        TN_CASE("nanprod", "axis=(0,-1)", "2,2,2"),
        TN_CASE("nanprod", "axis=0; exclude=1", "2,2,2"));
}

TN_TEST_MAIN({"repeat along an axis or flattened", repeat_along_an_axis_or_flattened},
             {"reverse of one axis and of two", reverse_of_one_axis_and_of_two},
             {"NaN counts as nothing", nan_counts_as_nothing},
             {"gradients agree with differences", gradients_agree_with_differences})
