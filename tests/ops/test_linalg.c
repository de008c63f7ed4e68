// tests/ops/test_linalg.c: linalg_gemm, gemm2, syrk, trmm, trsm, potrf, potri, sumlogdiag.
//
// Numbers with many digits come from NumPy 2.4 and SciPy 1.17 (linalg.cholesky, solve_triangular,
// inv); the others can be checked by hand.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *one(const char *op, const char *params, tn_tensor *a)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("a")), .wrt = "a", .given = TN_TENSORS({"a", a}));
}

static tn_exec *two(const char *op, const char *params, tn_tensor *a, tn_tensor *b)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("a"), tn_var("b")), .wrt = "a b",
                  .given = TN_TENSORS({"a", a}, {"b", b}));
}

// The triangle that most tests solve with; 9 and -9 stand where nothing may be read.
static tn_tensor *triangle(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(3, 3), 2, 9, -9, 1, 4, 9, 3, -2, 5);
}

static tn_tensor *columns(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6);
}

static tn_tensor *rows(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(2, 3), 1, 3, 5, 2, 4, 6);
}

// ------------------------------------------------------------------ products

static void gemm_scales_and_adds(void)
{
    const tn_symbol y = tn_op("linalg_gemm", "transpose_b=1; alpha=2; beta=10", tn_var("a"),
                              tn_var("b"), tn_var("c"));
    tn_exec *e = tn_try(y, .wrt = "a b c",
                        .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)},
                                            {"b", TN_TENSOR(TN_F32, TN_DIMS(1, 2), 5, 6)},
                                            {"c", TN_TENSOR(TN_F32, TN_DIMS(2, 1), 7, 8)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2 * 17 + 70, 2 * 39 + 80);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 1), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 10, 12, 100, 120);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 2 * 31, 2 * 42);
    TN_CHECK_VALUES(tn_grad(e, "c"), 0, 10, 100);
    tn_exec_free(e);
}

static void products_run_over_all_leading_axes(void)
{
    tn_exec *e = two("linalg_gemm2", "transpose_a=1; alpha=0.5",
                     TN_TENSOR(TN_F64, TN_DIMS(2, 1, 1, 2), 1, 2, 3, 4),
                     TN_TENSOR(TN_F64, TN_DIMS(2, 1, 1, 1), 10, 100));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 10, 150, 200);
    tn_exec_free(e);
    e = two("linalg_gemm2", NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2, 3)),
            tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3, 4)));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2, 4);
    tn_exec_free(e);
    e = two("linalg_gemm2", NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0)),
            tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2)));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

static void syrk_multiplies_with_the_transpose(void)
{
    tn_exec *e = one("linalg_syrk", NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 11, 11, 25);
    tn_exec_free(e);
    e = one("linalg_syrk", "transpose=1; alpha=2", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 20, 28, 28, 40);
    tn_exec_free(e);
}

static void trmm_reads_the_lower_triangle(void)
{
    tn_exec *e = two("linalg_trmm", "alpha=2", triangle(TN_F64), columns(TN_F64));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4, 8, 26, 36, 44, 56);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(3, 2), 1, 0, 0, 0, 0, 0)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 2, 0, 0, 0, 0, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 4, 0, 0, 0, 0, 0);
    tn_exec_free(e);
    e = two("linalg_trmm", "transpose=1; rightside=1", triangle(TN_F32), rows(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 13, 22, 4, 18, 28);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ triangular systems

static void trsm_solves_on_both_sides(void)
{
    static const struct {
        const char *params;
        double x[6];
    } left[] = {{NULL, {0.5, 1, 0.625, 0.75, 0.95, 0.9}},
                {"transpose=1", {-1.625, -1.6, 1.25, 1.6, 1, 1.2}},
                {"transpose=1; alpha=-2", {3.25, 3.2, -2.5, -3.2, -2, -2.4}}},
      right[] = {{"rightside=1", {-1.625, 1.25, 1, -1.6, 1.6, 1.2}},
                 {"rightside=1; transpose=1", {0.5, 0.625, 0.95, 1, 0.75, 0.9}}};
    static const tn_dtype dtypes[] = {TN_F64, TN_F32, TN_BF16, TN_F16};
    static const double tolerances[] = {1e-15, 1e-6, 4e-3, 5e-4};
    for (int d = 0; d < 4; d++) {
        for (int i = 0; i < 5; i++) {
            const bool on_left = i < 3;
            tn_exec *e = two("linalg_trsm", on_left ? left[i].params : right[i - 3].params,
                             triangle(dtypes[d]), on_left ? columns(dtypes[d]) : rows(dtypes[d]));
            tn_check_values(__LINE__, __FILE__, tn_out(e, 0), on_left ? left[i].x : right[i - 3].x,
                            6, tolerances[d]);
            tn_exec_free(e);
        }
    }
}

static void trsm_of_many_matrices_and_columns(void)
{
    tn_exec *e = two("linalg_trsm", NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 1, 1), 2, 4),
                     tn_sample(TN_F32, TN_DIMS(2, 1, 150), 8, 8, 0));
    for (int64_t i = 0; e && i < 300; i++)
        TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), i), i < 150 ? 4 : 2, 0);
    tn_exec_free(e);
    e = two("linalg_trsm", "rightside=1", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2), 2, 0, 1, 4),
            tn_sample(TN_F32, TN_DIMS(1, 100, 2), 8, 8, 0));
    for (int64_t i = 0; e && i < 200; i++) // x1 = 8 / 4, x0 = (8 - x1) / 2
        TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), i), i % 2 ? 2 : 3, 0);
    tn_exec_free(e);
    e = two("linalg_trsm", NULL, tn_tensor_new(bench.env, TN_F64, TN_DIMS(2, 0, 0)),
            tn_tensor_new(bench.env, TN_F64, TN_DIMS(2, 0, 3)));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 0, 3);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ Cholesky

// Above the diagonal stand numbers that are not read: 99.
static tn_tensor *positive(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(2, 2, 2), 4, 99, 2, 5, 9, 99, 3, 17);
}

static void potrf_factorises_each_matrix(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16, TN_BF16};
    for (int i = 0; i < 4; i++) {
        tn_exec *e = one("linalg_potrf", NULL, positive(dtypes[i]));
        TN_CHECK_DIMS(tn_out(e, 0), 2, 2, 2);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 0, 1, 2, 3, 0, 1, 4);
        tn_exec_free(e);
    }
    tn_exec *e =
        one("linalg_potrf", NULL, TN_TENSOR(TN_F64, TN_DIMS(3, 3), 6, 2, 1, 2, 5, 3, 1, 3, 7));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 2.449489742783178, 0, 0, 0.8164965809277261,
                    2.0816659994661326, 0, 0.4082482904638631, 1.281025230440697, 2.27866357593825);
    tn_exec_free(e);
    e = one("linalg_potrf", NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(3, 0, 0)));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 0, 0);
    tn_exec_free(e);
}

// For a 1 x 1 matrix L = √A, so dA = dL / (2 L). What arrives above the diagonal of L counts
// nothing, and the gradient is symmetric.
static void potrf_has_a_symmetric_gradient(void)
{
    tn_exec *e = one("linalg_potrf", NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1), 16));
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1), 2)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 1e-15, 0.25);
    tn_exec_free(e);
    e = one("linalg_potrf", NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 2), 4, 2, 2, 5));
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 2), 0, 77, 1, 0)});
    // L10 = A10 / √A00: by A10 1/2, shared by two; by A00 -A10 / (2 A00^1.5) = -1/8
    TN_CHECK_VALUES(tn_grad(e, "a"), 1e-15, -0.125, 0.25, 0.25, 0);
    tn_exec_free(e);
}

static void potrf_refuses_what_is_not_positive_definite(void)
{
    static const double bad[] = {4, 0, 2, 5, 1, 2, 2, 1};
    tn_exec *e = NULL;
    tn_fresh();
    const tn_symbol y =
        tn_call(bench.g, "linalg_potrf", .inputs = TN_SYMS(tn_var("a")), .name = "factor");
    tn_tensor *a = tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 2, 2), bad);
    e = tn_simple_bind(bench.g, y, .backends = tn_backends(), .args = TN_TENSORS({"a", a}));
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(e ? tn_forward(e, false) : TN_OK, TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "factor (linalg_potrf) on ");
    TN_CHECK_HAS(tn_exec_error(e), ": matrix 1 of 2 is not positive definite: its leading minor of "
                                   "order 2 is not positive");
    if (e) {
        TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 0, 1, 2, NAN, 0, NAN, NAN);
    }
    tn_exec_free(e);
    tn_tensor_release(a);
}

static void potri_inverts_from_the_factor(void)
{
    tn_exec *e = one("linalg_potri", NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 2, 99, 1, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-7, 5 / 16., -2 / 16., -2 / 16., 4 / 16.);
    tn_exec_free(e);
    tn_fresh();
    const tn_symbol l = tn_op("linalg_potrf", NULL, tn_var("a"));
    e = tn_try(tn_op("linalg_potri", NULL, l),
               .given =
                   TN_TENSORS({"a", TN_TENSOR(TN_F64, TN_DIMS(3, 3), 6, 2, 1, 2, 5, 3, 1, 3, 7)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 0.1925925925925926, -0.0814814814814815,
                    0.0074074074074074, -0.0814814814814815, 0.3037037037037037,
                    -0.1185185185185185, 0.0074074074074074, -0.1185185185185185,
                    0.1925925925925926);
    tn_exec_free(e);
}

static void sumlogdiag_keeps_leading_axes(void)
{
    tn_exec *e = one("linalg_sumlogdiag", NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 2), 2, -1, 0, 8));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, log(16));
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1), 4)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 2, 0, 0, 0.5);
    tn_exec_free(e);
    e = one("linalg_sumlogdiag", NULL,
            TN_TENSOR(TN_F64, TN_DIMS(2, 1, 2, 2), 1, 7, 7, 2, 3, 7, 7, 4));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, log(2), log(12));
    tn_exec_free(e);
}

// ------------------------------------------------------------------ names, errors, gradients

static void arguments_are_named_after_matrices(void)
{
    const tn_symbol y = tn_call(bench.g, "_linalg_gemm", .name = "g");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "g_A g_B g_C");
    const tn_symbol x = tn_linalg_trsm(bench.g, .name = "t");
    TN_CHECK_NAMES(tn_arguments(bench.g, x), "t_A t_B");
    TN_CHECK_NAMES(tn_outputs(bench.g, x), "t_output");
    TN_CHECK_NAMES(tn_arguments(bench.g, tn_linalg_potrf(bench.g, .A = {0})), "linalg_potrf0_A");
}

static void shapes_that_do_not_fit_are_refused(void)
{
    static const struct {
        const char *op, *error;
        int64_t a[3], b[3];
    } cases[] = {{"linalg_gemm2", "B: shape (2,5,4), wanted (2,4,4)", {2, 3, 4}, {2, 5, 4}},
                 {"linalg_gemm2", "B: shape (3,4,4), wanted (2,4,4)", {2, 3, 4}, {3, 4, 4}},
                 {"linalg_trsm", "A: shape (2,3,4), wanted (2,3,3)", {2, 3, 4}, {2, 3, 1}}};
    for (int i = 0; i < 3; i++) {
        tn_fresh();
        const tn_symbol y =
            tn_op(cases[i].op, NULL, tn_variable(bench.g, "a", .shape = {3, cases[i].a}),
                  tn_variable(bench.g, "b", .shape = {3, cases[i].b}));
        CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, y, .backends = tn_backends()));
        TN_CHECK_HAS(tn_graph_error(bench.g), cases[i].error);
    }
    tn_fresh();
    const tn_symbol y = tn_op("linalg_potrf", NULL, tn_variable(bench.g, "a", .shape = TN_DIMS(3)));
    CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, y, .backends = tn_backends()));
    TN_CHECK_HAS(tn_graph_error(bench.g), "wanted matrices, of at least 2 axes, got 1 axes");
}

static void gradients_of_products_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("linalg_gemm", NULL, "2,3 3,2 2,2"),
                   TN_CASE("linalg_gemm", "transpose_a=1; alpha=2", "3,2 3,2 2,2"),
                   TN_CASE("linalg_gemm", "transpose_b=1; beta=-0.5", "2,2,3 2,1,3 2,2,1"),
                   TN_CASE("linalg_gemm", "transpose_a=1; transpose_b=1", "3,2 2,3 2,2"),
                   TN_CASE("linalg_gemm", "beta=0", "1,2,1,2 1,2,2,1 1,2,1,1"),
                   TN_CASE("linalg_gemm2", NULL, "2,3 3,2"),
                   TN_CASE("linalg_gemm2", "transpose_a=1", "2,3,2 2,3,1"),
                   TN_CASE("linalg_gemm2", "transpose_b=1; alpha=3", "2,2,3 2,2,3"),
                   TN_CASE("linalg_gemm2", "transpose_a=1; transpose_b=1", "1,3,2 1,2,3"),
                   TN_CASE("linalg_gemm2", "alpha=-1", "2,1,2,2 2,1,2,1"),
                   TN_CASE("linalg_syrk", NULL, "2,3"), TN_CASE("linalg_syrk", NULL, "2,3,2"),
                   TN_CASE("linalg_syrk", "transpose=1", "3,2"),
                   TN_CASE("linalg_syrk", "alpha=-2", "1,2,2,2"),
                   TN_CASE("linalg_syrk", "transpose=1; alpha=0.5", "2,1,3"),
                   TN_CASE("linalg_trmm", NULL, "3,3 3,2"),
                   TN_CASE("linalg_trmm", "transpose=1", "2,2,2 2,2,1"),
                   TN_CASE("linalg_trmm", "rightside=1; alpha=2", "2,2 3,2"),
                   TN_CASE("linalg_trmm", "rightside=1; transpose=1", "2,2,2 2,1,2"),
                   TN_CASE("linalg_trmm", "alpha=-0.5", "1,2,2,2 1,2,2,2"));
}

static void gradients_of_systems_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("linalg_trsm", NULL, "3,3 3,2", .lo = 0.7, .hi = 2),
        TN_CASE("linalg_trsm", "transpose=1; alpha=2", "2,2,2 2,2,1", .lo = 0.7, .hi = 2),
        TN_CASE("linalg_trsm", "rightside=1", "2,2 3,2", .lo = 0.7, .hi = 2),
        TN_CASE("linalg_trsm", "rightside=1; transpose=1", "3,3 1,3", .lo = 0.7, .hi = 2),
        TN_CASE("linalg_trsm", "rightside=1; alpha=-0.5", "1,2,2,2 1,2,1,2", .lo = 0.7, .hi = 2),
        TN_CASE("linalg_potri", NULL, "1,1", .lo = 0.7, .hi = 2),
        TN_CASE("linalg_potri", NULL, "2,2", .lo = 0.7, .hi = 2),
        TN_CASE("linalg_potri", NULL, "3,3", .lo = 0.9, .hi = 1.5),
        TN_CASE("linalg_potri", NULL, "2,2,2", .lo = 0.7, .hi = 2),
        TN_CASE("linalg_potri", NULL, "1,2,2,2", .lo = 1, .hi = 2),
        TN_CASE("linalg_sumlogdiag", NULL, "1,1", .lo = 0.5, .hi = 2),
        TN_CASE("linalg_sumlogdiag", NULL, "3,3", .lo = 0.5, .hi = 2),
        TN_CASE("linalg_sumlogdiag", NULL, "2,2,2", .lo = 0.5, .hi = 2),
        TN_CASE("linalg_sumlogdiag", NULL, "2,1,3,3", .lo = 0.5, .hi = 2),
        TN_CASE("linalg_sumlogdiag", NULL, "1,2,2", .lo = 2, .hi = 9));
}

// Only symmetric changes are what the gradient of potrf is for: A = X Xᵀ + unit.
static void gradient_of_potrf_agrees_with_differences(void)
{
    const struct {
        tn_dims x, unit;
        const double *units;
    } cases[] = {
        {TN_DIMS(1, 2), TN_DIMS(1, 1), (const double[]){2}},
        {TN_DIMS(2, 2), TN_DIMS(2, 2), (const double[]){3, 0, 0, 3}},
        {TN_DIMS(3, 2), TN_DIMS(3, 3), (const double[]){3, 1, 0, 1, 4, 0, 0, 0, 5}},
        {TN_DIMS(2, 2, 3), TN_DIMS(2, 2, 2), (const double[]){2, 0, 0, 3, 4, 1, 1, 5}},
        {TN_DIMS(1, 2, 2, 1), TN_DIMS(1, 2, 2, 2), (const double[]){2, -1, -1, 3, 4, 0, 0, 5}}};
    for (int i = 0; i < 5; i++) {
        tn_fresh();
        const tn_symbol x = tn_var("x"), unit = tn_var("unit");
        const tn_symbol a = tn_op("elemwise_add", NULL, tn_op("linalg_syrk", NULL, x), unit);
        const tn_point points[] = {
            {x, tn_sample(TN_F64, cases[i].x, -1, 1, (uint64_t)i), false},
            {unit, tn_tensor_from(bench.env, TN_F64, cases[i].unit, cases[i].units), true}};
        tn_check_gradient(__LINE__, __FILE__, "linalg_potrf", tn_op("linalg_potrf", NULL, a),
                          points, 2, 2);
        for (int j = 0; j < 2; j++) tn_tensor_release(points[j].value);
    }
}

TN_TEST_MAIN(
    {"gemm scales and adds", gemm_scales_and_adds},
    {"products run over all leading axes", products_run_over_all_leading_axes},
    {"syrk multiplies with the transpose", syrk_multiplies_with_the_transpose},
    {"trmm reads the lower triangle", trmm_reads_the_lower_triangle},
    {"trsm solves on both sides", trsm_solves_on_both_sides},
    {"trsm of many matrices and columns", trsm_of_many_matrices_and_columns},
    {"potrf factorises each matrix", potrf_factorises_each_matrix},
    {"potrf has a symmetric gradient", potrf_has_a_symmetric_gradient},
    {"potrf refuses what is not positive definite", potrf_refuses_what_is_not_positive_definite},
    {"potri inverts from the factor", potri_inverts_from_the_factor},
    {"sumlogdiag keeps leading axes", sumlogdiag_keeps_leading_axes},
    {"arguments are named after matrices", arguments_are_named_after_matrices},
    {"shapes that do not fit are refused", shapes_that_do_not_fit_are_refused},
    {"gradients of products agree with differences", gradients_of_products_agree_with_differences},
    {"gradients of systems agree with differences", gradients_of_systems_agree_with_differences},
    {"gradient of potrf agrees with differences", gradient_of_potrf_agrees_with_differences})
