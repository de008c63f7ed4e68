// tests/ops/test_order.c: sort, argsort, topk.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *run(const char *op, const char *params, tn_tensor *x)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x")), .wrt = "x", .given = TN_TENSORS({"x", x}));
}

static tn_tensor *data(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(2, 3), 3, 1, 2, 5, 6, 4);
}

static void sort_goes_either_way(void)
{
    tn_exec *e = run("sort", NULL, data(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4, 5, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 1, 2, 5, 6, 4);
    tn_exec_free(e);
    e = run("sort", "axis=0; is_ascend=0", data(TN_I64));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 6, 4, 3, 1, 2);
    tn_exec_free(e);
    e = run("sort", "axis=None", data(TN_F16));
    TN_CHECK_DIMS(tn_out(e, 0), 6);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4, 5, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F16, TN_DIMS(6), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 1, 2, 5, 6, 4);
    tn_exec_free(e);
}

// Equal elements keep their order, both ways; NaN is the largest number.
static void argsort_is_stable(void)
{
    tn_exec *e = run("argsort", NULL, TN_TENSOR(TN_F32, TN_DIMS(5), 2, NAN, 1, 2, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 4, 0, 3, 1);
    CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == TN_F32);
    tn_exec_free(e);
    e = run("argsort", "is_ascend=0", TN_TENSOR(TN_F32, TN_DIMS(5), 2, NAN, 1, 2, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 0, 3, 2, 4);
    tn_exec_free(e);
}

static void topk_gives_what_is_asked_for(void)
{
    tn_exec *e = run("topk", NULL, data(TN_F32));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 1);
    tn_exec_free(e);
    e = run("topk", "k=2; ret_typ=mask", data(TN_I32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 0, 1, 1, 1, 0);
    tn_exec_free(e);
    e = run("topk", "k=2; ret_typ=mask; axis=None; is_ascend=1", data(TN_F64));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 1, 1, 0, 0, 0);
    tn_exec_free(e);
    e = run("topk", "k=2; ret_typ=both; axis=-1", data(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 2, 6, 5);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 0, 2, 1, 0);
    tn_exec_free(e);
    e = run("topk", "k=0; axis=0; ret_typ=value; is_ascend=1", data(TN_BF16));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 1, 2, 5, 6, 4);
    tn_back(e, {NULL, TN_TENSOR(TN_BF16, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 2, 3, 4, 5, 6);
    tn_exec_free(e);
}

static void names_and_numbers_of_outputs(void)
{
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_op("sort", NULL, tn_var("a"))), "sort0_output0");
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_op("topk", NULL, tn_var("b"))), "topk0_output");
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_op("topk", "ret_typ=value", tn_var("c"))),
                   "topk1_output0");
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_op("topk", "ret_typ=both", tn_var("d"))),
                   "topk2_output0 topk2_output1");
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("sort", NULL, "2,5"), TN_CASE("sort", "axis=None", "2,3"),
                   TN_CASE("sort", "axis=0; is_ascend=0", "4,2"),
                   TN_CASE("sort", "axis=1", "2,4,2"),
                   TN_CASE("sort", "axis=-2; is_ascend=0", "2,3,2"),
                   TN_CASE("topk", "k=2; ret_typ=value", "2,5"),
                   TN_CASE("topk", "k=2; ret_typ=value; axis=None; is_ascend=1", "2,3"),
                   TN_CASE("topk", "k=3; ret_typ=value; axis=0", "4,2"),
                   TN_CASE("topk", "k=1; ret_typ=value; axis=1; is_ascend=1", "2,3,2"),
                   TN_CASE("topk", "k=0; ret_typ=value; axis=-1", "2,4"));
}

TN_TEST_MAIN({"sort goes either way", sort_goes_either_way},
             {"argsort is stable", argsort_is_stable},
             {"topk gives what is asked for", topk_gives_what_is_asked_for},
             {"names and numbers of outputs", names_and_numbers_of_outputs},
             {"gradients agree with differences", gradients_agree_with_differences})
