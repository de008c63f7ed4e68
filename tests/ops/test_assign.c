// tests/ops/test_assign.c: _slice_assign, _crop_assign_scalar.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_tensor *data(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6);
}

static void a_part_is_replaced(void)
{
    tn_exec *e = tn_try(
        tn_op("_slice_assign", "begin=(None,1); end=(1,None)", tn_var("x"), tn_var("p")),
        .wrt = "x p",
        .given = TN_TENSORS({"x", data(TN_F32)}, {"p", TN_TENSOR(TN_F32, TN_DIMS(1, 2), 7, NAN)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 7, NAN, 4, 5, 6);
    tn_back(e, {NULL, data(TN_F32)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 0, 0, 4, 5, 6);
    TN_CHECK_VALUES(tn_grad(e, "p"), 0, 2, 3);
    tn_exec_free(e);
}

static void a_number_replaces_a_part(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F16, TN_I32};
    for (int i = 0; i < 3; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op("_crop_assign_scalar", "scalar=9; begin=(0,-1); end=(2,3)", tn_var("x")),
                   .given = TN_TENSORS({"x", data(dtypes[i])}));
        TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 9, 4, 5, 9);
        tn_exec_free(e);
    }
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("_slice_assign", "begin=(1,); end=(3,)", "4,2 2,2"),
        TN_CASE("_slice_assign", "begin=(None,1); end=(None,None)", "2,3 2,2"),
        TN_CASE("_slice_assign", "begin=(5,); end=(None,); step=(-2,)", "6 3"),
        TN_CASE("_slice_assign", "begin=(0,-2,1); end=(1,None,3)", "2,3,3 1,2,2"),
        TN_CASE("_slice_assign", "begin=(); end=()", "2,2 2,2"),
        TN_CASE("_crop_assign_scalar", "begin=(0,1); end=(2,2)", "3,2"),
        TN_CASE("_crop_assign_scalar", "scalar=3; begin=(1,); end=(None,)", "4"),
        TN_CASE("_crop_assign_scalar", "scalar=-1; begin=(None,-1); end=(1,None)", "2,3"),
        TN_CASE("_crop_assign_scalar", "begin=(1,1); end=(1,2)", "3,2"),
        TN_CASE("_crop_assign_scalar", "scalar=2; begin=(0,0,1); end=(2,1,2)", "2,2,2"));
}

TN_TEST_MAIN({"a part is replaced", a_part_is_replaced},
             {"a number replaces a part", a_number_replaces_a_part},
             {"gradients agree with differences", gradients_agree_with_differences})
