// tests/ops/test_binary.c: elementwise functions of two tensors, with a number, and broadcast.
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <tenon/elementwise.h>

#include "tests/tn_numeric.h"

// f(a, b) for three pairs; the third is a tie, or has a zero divisor.
static const struct {
    const char *op, *scalar, *rscalar, *broadcast;
    double a[3], b[3], y[3], whole[3]; // whole: of integers
} values[] = {
    {"elemwise_add",
     "_plus_scalar",
     NULL,
     "broadcast_add",
     {1, -7, 2},
     {2, 3, 2},
     {3, -4, 4},
     {3, -4, 4}},
    {"_sub",
     "_minus_scalar",
     "_rminus_scalar",
     "broadcast_sub",
     {1, -7, 2},
     {2, 3, 2},
     {-1, -10, 0},
     {-1, -10, 0}},
    {"_mul", "_mul_scalar", NULL, "broadcast_mul", {1, -7, 2}, {2, 3, 2}, {2, -21, 4}, {2, -21, 4}},
    {"_div",
     "_div_scalar",
     "_rdiv_scalar",
     "broadcast_div",
     {1, -7, 2},
     {2, 4, 0},
     {0.5, -1.75, INFINITY},
     {0, -1, 0}},
    {"_mod",
     "_mod_scalar",
     "_rmod_scalar",
     "broadcast_mod",
     {7, -7, 2},
     {4, 4, 0},
     {3, 1, 0},
     {3, 1, 0}},
    {"_power",
     "_power_scalar",
     "_rpower_scalar",
     "broadcast_power",
     {2, -3, 2},
     {3, 2, 2},
     {8, 9, 4},
     {8, 9, 4}},
    {"_maximum",
     "_maximum_scalar",
     NULL,
     "broadcast_maximum",
     {1, -7, 2},
     {2, 3, 2},
     {2, 3, 2},
     {2, 3, 2}},
    {"_minimum",
     "_minimum_scalar",
     NULL,
     "broadcast_minimum",
     {1, -7, 2},
     {2, 3, 2},
     {1, -7, 2},
     {1, -7, 2}},
    {"_hypot",
     "_hypot_scalar",
     NULL,
     "broadcast_hypot",
     {3, -5, 0},
     {4, 12, 2},
     {5, 13, 2},
     {5, 13, 2}},
    {"_equal",
     "_equal_scalar",
     NULL,
     "broadcast_equal",
     {1, -7, 2},
     {2, 3, 2},
     {0, 0, 1},
     {0, 0, 1}},
    {"_not_equal",
     "_not_equal_scalar",
     NULL,
     "broadcast_not_equal",
     {1, -7, 2},
     {2, 3, 2},
     {1, 1, 0},
     {1, 1, 0}},
    {"_greater",
     "_greater_scalar",
     NULL,
     "broadcast_greater",
     {1, 7, 2},
     {2, 3, 2},
     {0, 1, 0},
     {0, 1, 0}},
    {"_greater_equal",
     "_greater_equal_scalar",
     NULL,
     "broadcast_greater_equal",
     {1, 7, 2},
     {2, 3, 2},
     {0, 1, 1},
     {0, 1, 1}},
    {"_lesser",
     "_lesser_scalar",
     NULL,
     "broadcast_lesser",
     {1, 7, 2},
     {2, 3, 2},
     {1, 0, 0},
     {1, 0, 0}},
    {"_lesser_equal",
     "_lesser_equal_scalar",
     NULL,
     "broadcast_lesser_equal",
     {1, 7, 2},
     {2, 3, 2},
     {1, 0, 1},
     {1, 0, 1}},
    {"_logical_and",
     "_logical_and_scalar",
     NULL,
     "broadcast_logical_and",
     {1, 0, 0},
     {-2, 3, 0},
     {1, 0, 0},
     {1, 0, 0}},
    {"_logical_or",
     "_logical_or_scalar",
     NULL,
     "broadcast_logical_or",
     {1, 0, 0},
     {-2, 3, 0},
     {1, 1, 0},
     {1, 1, 0}},
    {"_logical_xor",
     "_logical_xor_scalar",
     NULL,
     "broadcast_logical_xor",
     {1, 0, 0},
     {-2, 3, 0},
     {0, 1, 0},
     {0, 1, 0}},
};
enum { N_VALUES = sizeof values / sizeof values[0] };

static tn_tensor *tensor(tn_dtype dtype, const double *v, int64_t n)
{
    return tn_tensor_from(bench.env, dtype, TN_DIMS(n), v);
}

static void check_pairs(tn_dtype dtype, double tolerance)
{
    for (size_t i = 0; i < N_VALUES; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op(values[i].op, NULL, tn_var("a"), tn_var("b")),
                            .given = TN_TENSORS({"a", tensor(dtype, values[i].a, 3)},
                                                {"b", tensor(dtype, values[i].b, 3)}));
        const double *wanted =
            dtype == TN_I32 || dtype == TN_I64 || dtype == TN_I8 ? values[i].whole : values[i].y;
        if (!tn_check_values(__LINE__, __FILE__, tn_out(e, 0), wanted, 3, tolerance))
            printf("\n    in %s of %s\n", values[i].op, tn_dtype_name(dtype));
        tn_exec_free(e);
    }
}

static void two_tensors_of_each_dtype(void)
{
    check_pairs(TN_F32, 1e-6);
    check_pairs(TN_F64, 1e-15);
    check_pairs(TN_F16, 1e-3);
    check_pairs(TN_BF16, 4e-3);
    check_pairs(TN_I8, 0);
    check_pairs(TN_I32, 0);
    check_pairs(TN_I64, 0);
}

static void every_row_has_values_here(void)
{
#define NAMES(op, scalar, rscalar, broadcast, ...) {#op, #scalar, #rscalar, #broadcast},
    static const char *const rows[][4] = {TN_BINARY_ROWS(NAMES)};
    CU_ASSERT_EQUAL(sizeof rows / sizeof *rows, N_VALUES);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && i < N_VALUES; i++) {
        TN_CHECK_STR(rows[i][0], values[i].op);
        TN_CHECK_STR(rows[i][1], values[i].scalar);
        TN_CHECK_STR(rows[i][2], values[i].rscalar ? values[i].rscalar : "-");
        TN_CHECK_STR(rows[i][3], values[i].broadcast);
    }
}

// op(x; number) for each pair: a is the tensor with `scalar`, b with `rscalar`.
static void check_number(const char *op, double x, double number, double y)
{
    char text[64];
    snprintf(text, sizeof text, "scalar=%.17g", number);
    tn_fresh();
    tn_exec *e =
        tn_try(tn_op(op, text, tn_var("x")), .given = TN_TENSORS({"x", tensor(TN_F32, &x, 1)}));
    if (!tn_check_values(__LINE__, __FILE__, tn_out(e, 0), &y, 1, 1e-6))
        printf("\n    in %s(%g; %g)\n", op, x, number);
    tn_exec_free(e);
}

static void numbers_on_either_side(void)
{
    for (size_t i = 0; i < N_VALUES; i++) {
        for (int j = 0; j < 3; j++) {
            check_number(values[i].scalar, values[i].a[j], values[i].b[j], values[i].y[j]);
            if (values[i].rscalar)
                check_number(values[i].rscalar, values[i].b[j], values[i].a[j], values[i].y[j]);
        }
    }
}

// a of shape (3,1) and b of shape (1,3): every pair of them.
static void broadcasting_pairs_all_with_all(void)
{
    for (size_t i = 0; i < N_VALUES; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op(values[i].broadcast, NULL, tn_var("a"), tn_var("b")),
                   .given = TN_TENSORS(
                       {"a", tn_tensor_from(bench.env, TN_F64, TN_DIMS(3, 1), values[i].a)},
                       {"b", tn_tensor_from(bench.env, TN_F64, TN_DIMS(1, 3), values[i].b)}));
        TN_CHECK_DIMS(tn_out(e, 0), 3, 3);
        for (int j = 0; e && j < 3; j++)
            TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 4 * j), values[i].y[j], 1e-12);
        tn_exec_free(e);
    }
}

static void broadcasting_aligns_at_the_last_axis(void)
{
    const tn_symbol y = tn_op("broadcast_sub", NULL, tn_var("a"), tn_var("b"));
    tn_exec *e = tn_try(y, .wrt = "a b",
                        .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2, 1, 2), 1, 2, 3, 4)},
                                            {"b", TN_TENSOR(TN_F32, TN_DIMS(3, 1), 10, 20, 30)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 3, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -9, -8, -19, -18, -29, -28, -7, -6, -17, -16, -27, -26);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 3, 2), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 9, 12, 27, 30);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, -(1 + 2 + 7 + 8), -(3 + 4 + 9 + 10), -(5 + 6 + 11 + 12));
    tn_exec_free(e);
}

static void plain_operators_do_not_broadcast(void)
{
    const tn_symbol y = tn_op("elemwise_add", NULL, tn_var("a"), tn_var("b"));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = tn_backends(),
                                .shapes = TN_SHAPES({"a", TN_DIMS(2, 3)}, {"b", TN_DIMS(1, 3)}));
    CU_ASSERT_PTR_NULL(e);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_SHAPE);
    tn_exec_free(e);
}

static void mod_has_the_sign_of_the_divisor(void)
{
    tn_exec *e =
        tn_try(tn_op("_mod", NULL, tn_var("a"), tn_var("b")), .wrt = "a b",
               .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(5), 5.5, -5.5, 5.5, -5.5, 4)},
                                   {"b", TN_TENSOR(TN_F32, TN_DIMS(5), 2, 2, -2, -2, 2)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1.5, 0.5, -0.5, -1.5, 0);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(5), 1, 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 1, 1, 1, 1, 1);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, -2, 3, 3, -2, -2); // -floor(a / b)
    tn_exec_free(e);
}

static void ties_give_the_gradient_to_the_left(void)
{
    static const char *const ops[] = {"_maximum", "_minimum"};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op(ops[i], NULL, tn_var("a"), tn_var("b")), .wrt = "a b",
                            .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2), 3, 5)},
                                                {"b", TN_TENSOR(TN_F32, TN_DIMS(2), 3, 4)}));
        tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 7, 7)});
        TN_CHECK_VALUES(tn_grad(e, "a"), 0, 7, i == 0 ? 7 : 0);
        TN_CHECK_VALUES(tn_grad(e, "b"), 0, 0, i == 0 ? 0 : 7);
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ derivatives

// Where to sample a row that is not smooth for two numbers in -2 … 2, and whether its gradient has
// one: that of mod is made of floor.
static const struct domain {
    const char *op;
    double lo, hi;
    int first_order;
} domains[] = {
    {"_div", 0.4, 2, 0}, {"_mod", 0.4, 2, 1}, {"_power", 0.4, 2, 0}, {"_hypot", 0.4, 2, 0}};

static struct domain domain_of(const char *op)
{
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        if (strcmp(domains[i].op, op) == 0) return domains[i];
    return (struct domain){op, -2, 2, 0};
}

// Five samples of the form `op` of the row that d belongs to.
static void check_form(const char *op, struct domain d, const char *const params[5],
                       const char *const shapes[5])
{
    tn_case cases[5];
    for (int k = 0; k < 5; k++)
        cases[k] = (tn_case){.op = op,
                             .params = params[k],
                             .shapes = shapes[k],
                             .lo = d.lo,
                             .hi = k == 3 ? d.hi + 0.5 : d.hi,
                             .first_order = d.first_order};
    tn_check_cases(__LINE__, __FILE__, cases, 5);
}

static void gradients_agree_with_differences(void)
{
#define FORMS(op, scalar, rscalar, broadcast, grads, ...) \
    {#op, #scalar, #rscalar, #broadcast, #grads},
    static const char *const rows[][5] = {TN_BINARY_ROWS(FORMS)};
    static const char *const none[5] = {NULL};
    static const char *const numbers[5] = {"scalar=0.7", "scalar=1.5", "scalar=3", "scalar=2",
                                           "scalar=0.1"};
    static const char *const one[5] = {"4", "2,3", "2,1,2", "1", "2,2,2"};
    static const char *const two[5] = {"4 4", "2,3 2,3", "2,1,2 2,1,2", "1 1", "2,2,2 2,2,2"};
    static const char *const wide[5] = {"2,1,3 4,1", "3 2,3", "2,3 1,3", "2,1 1,3", "2,3 1"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i][4], "ZERO") == 0) continue;
        const struct domain d = domain_of(rows[i][0]);
        check_form(rows[i][0], d, none, two);
        check_form(rows[i][1], d, numbers, one);
        if (strcmp(rows[i][2], "-") != 0) check_form(rows[i][2], d, numbers, one);
        check_form(rows[i][3], d, none, wide);
    }
}

static void gradients_with_special_numbers_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("_mul_scalar", "scalar=-1.5", "4"), TN_CASE("_power_scalar", "scalar=3", "4"),
        TN_CASE("_power_scalar", "scalar=-0.5", "4", .lo = 0.4, .hi = 2),
        TN_CASE("_power_scalar", "scalar=0", "4"), TN_CASE("_power_scalar", "scalar=1", "4"),
        TN_CASE("_rpower_scalar", "scalar=2.5", "4"), TN_CASE("_div_scalar", "scalar=-4", "4"));
}

TN_TEST_MAIN({"two tensors of each dtype", two_tensors_of_each_dtype},
             {"every row has values here", every_row_has_values_here},
             {"numbers on either side", numbers_on_either_side},
             {"broadcasting pairs all with all", broadcasting_pairs_all_with_all},
             {"broadcasting aligns at the last axis", broadcasting_aligns_at_the_last_axis},
             {"plain operators do not broadcast", plain_operators_do_not_broadcast},
             {"mod has the sign of the divisor", mod_has_the_sign_of_the_divisor},
             {"ties give the gradient to the left", ties_give_the_gradient_to_the_left},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"gradients with special numbers agree with differences",
              gradients_with_special_numbers_agree_with_differences})
