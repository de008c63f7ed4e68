// tests/ops/test_gather.c: gather_nd, scatter_nd, diag, squeeze.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *looked(const char *op, const char *params, tn_tensor *x, tn_tensor *index)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x"), tn_var("i")), .wrt = "x",
                  .given = TN_TENSORS({"x", x}, {"i", index}));
}

static tn_exec *one(const char *op, const char *params, tn_tensor *x)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x")), .wrt = "x", .given = TN_TENSORS({"x", x}));
}

static tn_tensor *count(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6);
}

// ------------------------------------------------------------------ gather_nd, scatter_nd

// Columns of indices are places: (1,2), (0,0), (1,2).
static void gather_takes_one_element_a_place(void)
{
    tn_exec *e = looked("gather_nd", NULL, count(TN_F32),
                        TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 0, 1, 2, 0, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 1, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3), 1, 10, 100)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 10, 0, 0, 0, 0, 101);
    tn_exec_free(e);
    e = looked("gather_nd", NULL, count(TN_I64), TN_TENSOR(TN_I32, TN_DIMS(1, 2, 1), 1, 0));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4, 5, 6, 1, 2, 3);
    tn_exec_free(e);
    e = looked("gather_nd", NULL, count(TN_F16), TN_TENSOR(TN_I64, TN_DIMS(2), 1, 1));
    tn_check_dims(__LINE__, __FILE__, tn_out(e, 0), TN_SCALAR);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5);
    tn_exec_free(e);
}

// Each index is moved to the nearest end of its axis, whatever it is.
static void indices_outside_are_clipped(void)
{
    tn_exec *e = looked("gather_nd", NULL, count(TN_F32),
                        TN_TENSOR(TN_F64, TN_DIMS(2, 4), -7, 9, INFINITY, 0, 1, -1, 1e300, NAN));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 4, 6, 1);
    tn_exec_free(e);
    e = looked("scatter_nd", "shape=(2,2)", TN_TENSOR(TN_F32, TN_DIMS(2), 5, 7),
               TN_TENSOR(TN_I32, TN_DIMS(2, 2), -3, 1, 1, 8));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 5, 0, 7);
    tn_exec_free(e);
}

static void scatter_adds_up_what_falls_together(void)
{
    tn_exec *e = looked("scatter_nd", "shape=(2,3)", TN_TENSOR(TN_F32, TN_DIMS(3), 1, 10, 100),
                        TN_TENSOR(TN_I32, TN_DIMS(2, 3), 1, 0, 1, 2, 0, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 10, 0, 0, 0, 0, 101);
    tn_back(e, {NULL, count(TN_F32)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 6, 1, 6);
    tn_exec_free(e);
    e = looked("scatter_nd", "shape=(3,2)", TN_TENSOR(TN_I32, TN_DIMS(2, 2), 1, 2, 3, 4),
               TN_TENSOR(TN_U8, TN_DIMS(1, 2), 2, 0)); // whole rows
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 4, 0, 0, 1, 2);
    tn_exec_free(e);
}

static void nothing_to_look_up(void)
{
    tn_exec *e =
        looked("gather_nd", NULL, count(TN_F32), tn_tensor_new(bench.env, TN_I32, TN_DIMS(1, 0)));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 3);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3))});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
    e = looked("scatter_nd", "shape=(2,)", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0)),
               tn_tensor_new(bench.env, TN_I32, TN_DIMS(1, 0)));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ diag

static void diag_takes_or_makes_diagonals(void)
{
    tn_exec *e = one("diag", NULL, count(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 5);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 7, 8)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 7, 0, 0, 0, 8, 0);
    tn_exec_free(e);
    e = one("diag", "k=1", count(TN_I32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 6);
    tn_exec_free(e);
    e = one("diag", "k=-1", count(TN_F16));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4);
    tn_exec_free(e);
    e = one("diag", "k=5", count(TN_F32));
    TN_CHECK_DIMS(tn_out(e, 0), 0);
    tn_exec_free(e);
    e = one("diag", "k=-1", TN_TENSOR(TN_F32, TN_DIMS(2), 3, 4));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 3, 0, 0, 0, 4, 0);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 4, 8);
    tn_exec_free(e);
}

// numpy.diagonal(arange(1, 13).reshape(2, 3, 2), 0, 0, 2) and axes (2, 0)
static void diag_works_on_any_two_axes(void)
{
    tn_exec *e = one("diag", "axis1=0; axis2=2",
                     TN_TENSOR(TN_F64, TN_DIMS(2, 3, 2), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 8, 3, 10, 5, 12);
    tn_exec_free(e);
    e = one("diag", "axis1=-1; axis2=0; k=1",
            TN_TENSOR(TN_F64, TN_DIMS(2, 3, 2), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 7, 9, 11);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ squeeze

static void squeeze_drops_axes_of_one_element(void)
{
    tn_exec *e = one("squeeze", NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1, 3), 1, 2, 3, 4, 5, 6));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4, 5, 6);
    tn_back(e, {NULL, count(TN_F32)});
    TN_CHECK_DIMS(tn_grad(e, "x"), 1, 2, 1, 3);
    tn_exec_free(e);
    e = one("squeeze", "axis=(-2,)", TN_TENSOR(TN_I8, TN_DIMS(1, 2, 1, 1), 1, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 1);
    tn_exec_free(e);
    e = one("squeeze", NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1), 7));
    tn_check_dims(__LINE__, __FILE__, tn_out(e, 0), TN_SCALAR);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 7);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_SCALAR, 3)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ errors, gradients

static void what_does_not_fit_is_refused(void)
{
    const struct {
        const char *op, *params, *error;
        tn_dims x, i;
    } cases[] = {
        {"gather_nd", NULL, "indices: wanted 1 to 2 along the first axis", TN_DIMS(2, 3),
         TN_DIMS(3, 4)},
        {"scatter_nd", "shape=(2,3)", "data: shape (4), wanted (5)", TN_DIMS(4), TN_DIMS(2, 5)},
        {"diag", "axis1=1", "axis1, axis2: wanted two of 2 axes, got 1 and 1", TN_DIMS(2, 3), {0}},
        {"squeeze", "axis=(1,)", "axis 1 has extent 3, wanted 1", TN_DIMS(1, 3), {0}},
        {"squeeze", "axis=(2,)", "axis: 2 of a value with 2 axes", TN_DIMS(1, 3), {0}}};
    for (int i = 0; i < 5; i++) {
        tn_fresh();
        const tn_symbol x = tn_variable(bench.g, "x", .shape = cases[i].x);
        const tn_symbol y = cases[i].i.ndim ? tn_op(cases[i].op, cases[i].params, x,
                                                    tn_variable(bench.g, "i", .shape = cases[i].i))
                                            : tn_op(cases[i].op, cases[i].params, x);
        CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, y, .backends = tn_backends()));
        TN_CHECK_HAS(tn_graph_error(bench.g), cases[i].error);
    }
    tn_fresh();
    TN_CHECK_NAMES(tn_arguments(bench.g, tn_gather_nd(bench.g, .name = "g")), "g_data g_indices");
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("gather_nd", NULL, "2,3 2,4", .lo = -1, .hi = 4, .fixed = "1"),
        TN_CASE("gather_nd", NULL, "3,2 1,2", .lo = -1, .hi = 4, .fixed = "1"),
        TN_CASE("gather_nd", NULL, "3 1,2,2", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("gather_nd", NULL, "2,2,2 3,5", .lo = 0, .hi = 2, .fixed = "1"),
        TN_CASE("gather_nd", NULL, "2,2 2", .lo = 0, .hi = 2, .fixed = "1"),
        TN_CASE("scatter_nd", "shape=(2,3)", "4 2,4", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("scatter_nd", "shape=(3,2)", "2,2 1,2", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("scatter_nd", "shape=(4,)", "2,2 1,2,2", .lo = 0, .hi = 4, .fixed = "1"),
        TN_CASE("scatter_nd", "shape=(2,2,2)", "3,2 2,3", .lo = -1, .hi = 3, .fixed = "1"),
        TN_CASE("scatter_nd", "shape=(2,2)", "5 2,5", .lo = 0, .hi = 2, .fixed = "1"),
        TN_CASE("diag", NULL, "3"), TN_CASE("diag", "k=2", "2"), TN_CASE("diag", NULL, "2,3"),
        TN_CASE("diag", "k=-1", "3,2"), TN_CASE("diag", "k=1; axis1=2; axis2=0", "3,2,2"),
        TN_CASE("diag", "axis1=-2; axis2=-1", "2,2,3"), TN_CASE("squeeze", NULL, "1,2,1"),
        TN_CASE("squeeze", "axis=0", "1,2,1"), TN_CASE("squeeze", "axis=(0,-1)", "1,3,1"),
        TN_CASE("squeeze", NULL, "1,1"), TN_CASE("squeeze", "axis=(-2,)", "2,1,3"));
}

TN_TEST_MAIN({"gather takes one element a place", gather_takes_one_element_a_place},
             {"indices outside are clipped", indices_outside_are_clipped},
             {"scatter adds up what falls together", scatter_adds_up_what_falls_together},
             {"nothing to look up", nothing_to_look_up},
             {"diag takes or makes diagonals", diag_takes_or_makes_diagonals},
             {"diag works on any two axes", diag_works_on_any_two_axes},
             {"squeeze drops axes of one element", squeeze_drops_axes_of_one_element},
             {"what does not fit is refused", what_does_not_fit_is_refused},
             {"gradients agree with differences", gradients_agree_with_differences})
