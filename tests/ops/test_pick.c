// tests/ops/test_pick.c: pick, batch_take, choose_element_0index, fill_element_0index.
#include "tests/tn_numeric.h"

static tn_exec *picked(const char *op, const char *params, tn_tensor *x, tn_tensor *index)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x"), tn_var("i")), .wrt = "x",
                  .given = TN_TENSORS({"x", x}, {"i", index}));
}

static tn_tensor *rows(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6);
}

// The last axis by default; an index outside is moved to the nearest end.
static void pick_takes_one_of_each_row(void)
{
    tn_exec *e = picked("pick", NULL, rows(TN_F32), TN_TENSOR(TN_F32, TN_DIMS(2), 1.9, 7));
    TN_CHECK_DIMS(tn_out(e, 0), 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 7, 8)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 7, 0, 0, 0, 8);
    tn_exec_free(e);
}

static void pick_along_any_axis_keeps_it_if_told(void)
{
    tn_exec *e = picked("pick", "axis=0; keepdims=1", rows(TN_F64),
                        TN_TENSOR(TN_I32, TN_DIMS(1, 3), 1, 0, -4));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4, 2, 3);
    tn_exec_free(e);
    e = picked("pick", "axis=-2", rows(TN_I64), TN_TENSOR(TN_U8, TN_DIMS(3), 1, 0, 1));
    TN_CHECK_DIMS(tn_out(e, 0), 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4, 2, 6);
    tn_exec_free(e);
    e = picked("pick", NULL, TN_TENSOR(TN_F16, TN_DIMS(3), 1, 2, 3),
               TN_TENSOR(TN_I32, TN_DIMS(1), 2));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3);
    tn_exec_free(e);
}

static void old_functions_pick_by_rows(void)
{
    static const char *const ops[] = {"batch_take", "choose_element_0index"};
    for (int i = 0; i < 2; i++) {
        tn_exec *e = picked(ops[i], NULL, rows(TN_F32), TN_TENSOR(TN_I32, TN_DIMS(2), -1, 1));
        TN_CHECK_DIMS(tn_out(e, 0), 2);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 5);
        tn_exec_free(e);
    }
}

static void fill_replaces_one_of_each_row(void)
{
    const tn_symbol y = tn_op("fill_element_0index", NULL, tn_var("x"), tn_var("v"), tn_var("i"));
    tn_exec *e =
        tn_try(y, .wrt = "x v",
               .given = TN_TENSORS({"x", rows(TN_F32)}, {"v", TN_TENSOR(TN_F32, TN_DIMS(2), 7, 8)},
                                   {"i", TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 7, 4, 5, 6);
    tn_back(e, {NULL, rows(TN_F32)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 2, 0, 4, 5, 6);
    TN_CHECK_VALUES(tn_grad(e, "v"), 0, 3, 0);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("pick", NULL, "3,4 3", .lo = -1, .hi = 5, .fixed = "1"),
        TN_CASE("pick", "axis=1; keepdims=1", "2,3,2 2,1,2", .lo = -1, .hi = 4, .fixed = "1"),
        TN_CASE("pick", "axis=-2", "2,3,2 2,2", .lo = -1, .hi = 4, .fixed = "1"),
        TN_CASE("pick", "axis=0; keepdims=1", "3,2 1,2", .lo = -1, .hi = 4, .fixed = "1"),
        TN_CASE("pick", NULL, "4 1", .lo = 0, .hi = 4, .fixed = "1"),
        TN_CASE("batch_take", NULL, "3,4 3", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("batch_take", NULL, "2,2 2", .lo = -1, .hi = 3, .fixed = "1"),
        TN_CASE("choose_element_0index", NULL, "3,2 3", .lo = -1, .hi = 3, .fixed = "1"),
        TN_CASE("choose_element_0index", NULL, "2,5 2", .lo = -1, .hi = 7, .fixed = "1"),
        TN_CASE("_take_along", "axis=0", "4 3", .lo = -1, .hi = 5, .fixed = "1"),
        TN_CASE("_take_along", "axis=1", "2,3 2,4", .lo = -1, .hi = 4, .fixed = "1"),
        TN_CASE("_take_along", "axis=-2", "2,3,2 2,1,2", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("_take_along", "axis=0", "3,2 4,1", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("_take_along", "axis=2", "2,1,3 1,1,5", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("_backward_take_along", "axis=1", "2,4 2,4 2,3", .lo = 0, .hi = 3, .fixed = "1 2"),
        TN_CASE("fill_element_0index", NULL, "3,4 3 3", .lo = 0, .hi = 3, .fixed = "2"));
}

TN_TEST_MAIN({"pick takes one of each row", pick_takes_one_of_each_row},
             {"pick along any axis keeps it if told", pick_along_any_axis_keeps_it_if_told},
             {"old functions pick by rows", old_functions_pick_by_rows},
             {"fill replaces one of each row", fill_replaces_one_of_each_row},
             {"gradients agree with differences", gradients_agree_with_differences})
