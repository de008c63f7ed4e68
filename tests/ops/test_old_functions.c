// tests/ops/test_old_functions.c: functions of MXNet's arrays as operators: _onehot_encode,
// _copyto.
#include "tests/tn_numeric.h"

static void one_hot_rows_in_the_shape_of_another(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F16, TN_I32, TN_I64};
    for (int i = 0; i < 4; i++) {
        tn_fresh();
        tn_exec *e = tn_try(
            tn_op("_onehot_encode", NULL, tn_var("index"), tn_var("like")),
            .given = TN_TENSORS({"index", TN_TENSOR(TN_F32, TN_DIMS(4), 2, 0, 3, -1)},
                                {"like", tn_tensor_new(bench.env, dtypes[i], TN_DIMS(4, 3))}));
        TN_CHECK_DIMS(tn_out(e, 0), 4, 3);
        CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == dtypes[i]);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
        tn_exec_free(e);
    }
}

static void names_and_shapes(void)
{
    tn_symbol y = tn_op0("_onehot_encode", NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "_onehot_encode0_lhs _onehot_encode0_rhs");
    const tn_shape_result *r =
        tn_infer_shape(bench.g, y, TN_SHAPES({"_onehot_encode0_rhs", TN_DIMS(5, 2)}));
    CU_ASSERT(r && r->complete && r->args[0].shape.dim[0] == 5);
    tn_fresh();
    y = tn_op("_onehot_encode", NULL, tn_variable(bench.g, "a", .shape = TN_DIMS(3)),
              tn_variable(bench.g, "b", .shape = TN_DIMS(4, 2)));
    CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, y, .backends = tn_backends()));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_SHAPE);
    tn_graph_forgive(bench.g);
}

static void a_copy_is_what_it_copies(void)
{
    tn_exec *e = tn_try(tn_op("_copyto", NULL, tn_var("x")), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 4);
    tn_exec_free(e);
    TN_CHECK_CASES(TN_CASE("_copyto", NULL, "2,3"), TN_CASE("_copyto", NULL, "7"),
                   TN_CASE("_copyto", NULL, "2,1,2"), TN_CASE("_copyto", NULL, "1"),
                   TN_CASE("_copyto", NULL, "2,2,2,1"));
}

TN_TEST_MAIN({"one-hot rows in the shape of another", one_hot_rows_in_the_shape_of_another},
             {"names and shapes", names_and_shapes},
             {"a copy is what it copies", a_copy_is_what_it_copies})
