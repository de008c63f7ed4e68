// tests/ops/test_matmul.c: matmul, with its vectors, leading axes and transposes.
#include "tests/tn_numeric.h"

// a and b hold 1 2 3 …; results are written out by hand, those of more axes checked with NumPy.
static tn_exec *product(const char *params, tn_dims a, tn_dims b)
{
    static const double count[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    tn_fresh();
    return tn_try(tn_op("matmul", params, tn_var("a"), tn_var("b")), .wrt = "a b",
                  .given = TN_TENSORS({"a", tn_tensor_from(bench.env, TN_F64, a, count)},
                                      {"b", tn_tensor_from(bench.env, TN_F64, b, count)}));
}

static void vectors_are_a_row_and_a_column(void)
{
    tn_exec *e = product(NULL, TN_DIMS(3), TN_DIMS(3));
    tn_check_dims(__LINE__, __FILE__, tn_out(e, 0), TN_SCALAR);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 14);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_SCALAR, 2)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 2, 4, 6);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 2, 4, 6);
    tn_exec_free(e);
    e = product(NULL, TN_DIMS(2, 2), TN_DIMS(2));
    TN_CHECK_DIMS(tn_out(e, 0), 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 11);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 1, 2, 10, 20);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 31, 42);
    tn_exec_free(e);
    e = product(NULL, TN_DIMS(2), TN_DIMS(2, 2, 1));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 11);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 1), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 31, 42);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 1, 2, 10, 20);
    tn_exec_free(e);
}

static void leading_axes_are_broadcast(void)
{
    tn_exec *e = product(NULL, TN_DIMS(2, 1, 1, 2), TN_DIMS(3, 2, 1));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 3, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 11, 17, 11, 25, 39);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 3, 1, 1), 1, 1, 1, 1, 0, 0)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 9, 12, 1, 2);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 4, 6, 1, 2, 1, 2);
    tn_exec_free(e);
    e = product(NULL, TN_DIMS(2, 1, 2), TN_DIMS(2, 2)); // one matrix for all: as one product
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 7, 10, 15, 22);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 1, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 5, 11, 11, 25);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 10, 14, 14, 20);
    tn_exec_free(e);
}

static void transposes_swap_the_last_two_axes(void)
{
    tn_exec *e = product("transpose_a=1; transpose_b=1", TN_DIMS(2, 2, 1), TN_DIMS(3, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 11, 17, 11, 25, 39);
    tn_exec_free(e);
    e = product("transpose_a=1", TN_DIMS(2, 2), TN_DIMS(2, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 10, 14, 14, 20);
    tn_exec_free(e);
}

static void empty_axes_give_zeros_or_nothing(void)
{
    tn_exec *e = product(NULL, TN_DIMS(2, 0), TN_DIMS(3, 0, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
    e = product(NULL, TN_DIMS(0, 2), TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 3);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F64, TN_DIMS(0, 3))});
    TN_CHECK_DIMS(tn_grad(e, "a"), 0, 2);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

static void integers_are_multiplied_too(void)
{
    tn_exec *e = tn_try(tn_op("matmul", NULL, tn_var("a"), tn_var("b")),
                        .given = TN_TENSORS({"a", TN_TENSOR(TN_I32, TN_DIMS(1, 2), 3, -4)},
                                            {"b", TN_TENSOR(TN_I32, TN_DIMS(2), 10, 1)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 26);
    tn_exec_free(e);
}

static void what_does_not_fit_is_refused(void)
{
    const struct {
        const char *params, *error;
        tn_dims a, b;
    } cases[] = {
        {NULL, "contracted axes of a (2,3) and b (4,2) do not fit", TN_DIMS(2, 3), TN_DIMS(4, 2)},
        {NULL, "leading axes of a (2,1,3) and b (3,3,2) do not fit", TN_DIMS(2, 1, 3),
         TN_DIMS(3, 3, 2)},
        {"transpose_a=1", "vectors cannot be transposed", TN_DIMS(3), TN_DIMS(3, 2)}};
    for (int i = 0; i < 3; i++) {
        tn_fresh();
        const tn_symbol y =
            tn_op("matmul", cases[i].params, tn_variable(bench.g, "a", .shape = cases[i].a),
                  tn_variable(bench.g, "b", .shape = cases[i].b));
        CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, y, .backends = tn_backends()));
        TN_CHECK_HAS(tn_graph_error(bench.g), cases[i].error);
    }
    tn_fresh();
    TN_CHECK_NAMES(tn_arguments(bench.g, tn_matmul(bench.g, .name = "p")), "p_a p_b");
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("matmul", NULL, "3 3"), TN_CASE("matmul", NULL, "2,3 3,2"),
                   TN_CASE("matmul", NULL, "2,2,3 3"), TN_CASE("matmul", NULL, "3 2,3,1"),
                   TN_CASE("matmul", NULL, "2,2,3 3,2"),
                   TN_CASE("matmul", "transpose_b=1", "2,1,3 1,2,3"),
                   TN_CASE("matmul", "transpose_a=1", "3,2 2,3,1"),
                   TN_CASE("matmul", "transpose_a=1", "2,3,2 3,2"),
                   TN_CASE("matmul", "transpose_a=1; transpose_b=1", "2,1,2,2 3,1,2"),
                   TN_CASE("matmul", "transpose_b=1", "2,3,1 2,3,1"));
}

TN_TEST_MAIN({"vectors are a row and a column", vectors_are_a_row_and_a_column},
             {"leading axes are broadcast", leading_axes_are_broadcast},
             {"transposes swap the last two axes", transposes_swap_the_last_two_axes},
             {"empty axes give zeros or nothing", empty_axes_give_zeros_or_nothing},
             {"integers are multiplied too", integers_are_multiplied_too},
             {"what does not fit is refused", what_does_not_fit_is_refused},
             {"gradients agree with differences", gradients_agree_with_differences})
