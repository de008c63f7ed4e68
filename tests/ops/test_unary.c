// tests/ops/test_unary.c: elementwise functions of one tensor: values in every dtype, derivatives.
#include <math.h>
#include <string.h>
#include <tenon/elementwise.h>

#include "tests/tn_numeric.h"

// Values computed with another implementation of the functions. The inputs are exact in bfloat16.
static const struct {
    const char *op;
    double x[3], y[3];
} values[] = {
    {"relu", {-1, 0, 2.5}, {0.0, 0.0, 2.5}},
    {"sigmoid", {-2, 0, 3}, {0.11920292202211755, 0.5, 0.9525741268224334}},
    {"softrelu", {-3, 0, 25}, {0.04858735157374206, 0.6931471805599453, 25.0}},
    {"tanh", {-1, 0, 0.5}, {-0.7615941559557649, 0.0, 0.46211715726000974}},
    {"negative", {-1, 0, 2.5}, {1.0, 0.0, -2.5}},
    {"reciprocal", {-2, 0.5, 4}, {-0.5, 2.0, 0.25}},
    {"abs", {-1.5, 0, 2}, {1.5, 0.0, 2.0}},
    {"sign", {-1.5, 0, 2}, {-1.0, 0.0, 1.0}},
    {"round", {-2.5, 0.5, 1.25}, {-3.0, 1.0, 1.0}},
    {"rint", {-2.5, 0.5, 1.75}, {-3.0, 0.0, 2.0}},
    {"ceil", {-2.5, 0.5, 2}, {-2.0, 1.0, 2.0}},
    {"floor", {-2.5, 0.5, 2}, {-3.0, 0.0, 2.0}},
    {"trunc", {-2.5, 0.5, 2.75}, {-2.0, 0.0, 2.0}},
    {"fix", {-2.5, 0.5, 2.75}, {-2.0, 0.0, 2.0}},
    {"square", {-1.5, 0, 3}, {2.25, 0.0, 9.0}},
    {"sqrt", {0, 2.25, 2}, {0.0, 1.5, 1.4142135623730951}},
    {"rsqrt", {0.25, 4, 2}, {2.0, 0.5, 0.7071067811865475}},
    {"exp", {-1, 0, 2}, {0.36787944117144233, 1.0, 7.38905609893065}},
    {"log", {0.5, 1, 8}, {-0.6931471805599453, 0.0, 2.0794415416798357}},
    {"log10", {0.5, 1, 100}, {-0.3010299956639812, 0.0, 2.0}},
    {"log2", {0.5, 1, 10}, {-1.0, 0.0, 3.321928094887362}},
    {"log1p", {-0.5, 0, 3}, {-0.6931471805599453, 0.0, 1.3862943611198906}},
    {"expm1", {-0.5, 0, 1}, {-0.3934693402873666, 0.0, 1.718281828459045}},
    {"sin", {-1, 0, 2}, {-0.8414709848078965, 0.0, 0.9092974268256817}},
    {"cos", {-1, 0, 2}, {0.5403023058681398, 1.0, -0.4161468365471424}},
    {"tan", {-1, 0, 0.5}, {-1.5574077246549023, 0.0, 0.5463024898437905}},
    {"arcsin", {-0.5, 0, 1}, {-0.5235987755982989, 0.0, 1.5707963267948966}},
    {"arccos", {-0.5, 0, 1}, {2.0943951023931957, 1.5707963267948966, 0.0}},
    {"arctan", {-0.5, 0, 2}, {-0.4636476090008061, 0.0, 1.1071487177940904}},
    {"degrees", {-0.5, 0, 3}, {-28.64788975654116, 0.0, 171.88733853924697}},
    {"radians", {-90, 0, 45}, {-1.5707963267948966, 0.0, 0.7853981633974483}},
    {"sinh", {-1, 0, 2}, {-1.1752011936438014, 0.0, 3.626860407847019}},
    {"cosh", {-1, 0, 2}, {1.5430806348152437, 1.0, 3.7621956910836314}},
    {"arcsinh", {-1, 0, 2}, {-0.881373587019543, 0.0, 1.4436354751788103}},
    {"arccosh", {1, 1.5, 2}, {0.0, 0.9624236501192069, 1.3169578969248166}},
    {"arctanh", {-0.5, 0, 0.75}, {-0.5493061443340548, 0.0, 0.9729550745276566}},
    {"erf", {-0.5, 0, 1}, {-0.5204998778130465, 0.0, 0.8427007929497149}},
    {"erfinv", {-0.5, 0.25, 0.96875}, {-0.4769362762044699, 0.2253120550121781, 1.523019401996956}},
    {"cbrt", {-8, 0, 2}, {-2.0, 0.0, 1.2599210498948732}},
    {"rcbrt", {-8, 0.5, 2}, {-0.5, 1.259921049894873, 0.7937005259840997}},
    {"logical_not", {-1.5, 0, 2}, {0.0, 1.0, 0.0}},
    {"softsign", {-3, 0, 0.5}, {-0.75, 0.0, 0.3333333333333333}},
    {"softplus", {-3, 0, 25}, {0.04858735157374206, 0.6931471805599453, 25.000000000013888}},
    {"silu", {-2, 0, 3}, {-0.2384058440442351, 0.0, 2.8577223804673}},
    {"mish", {-2, 0, 3}, {-0.2525014826957089, 0.0, 2.986535004967957}},
    {"hard_swish", {-1, 1.5, 4}, {-0.33333333333333337, 1.125, 4.0}},
    {"gelu", {-2, 0.5, 3}, {-0.04550026389635839, 0.34573123063700656, 2.99595030590511}},
    {"gelu_tanh", {-2, 0.5, 3}, {-0.04540230591222494, 0.34571400982514394, 2.996362607918227}},
    {"gamma", {-0.5, 0.5, 5}, {-3.544907701811032, 1.7724538509055159, 24.0}},
    {"gammaln", {-0.5, 0.5, 5}, {1.265512123484645, 0.5723649429247004, 3.178053830347945}},
};
enum { N_VALUES = sizeof values / sizeof values[0] };

static void check_values(tn_dtype dtype, double tolerance)
{
    for (size_t i = 0; i < N_VALUES; i++) {
        tn_fresh();
        tn_exec *e = tn_try(
            tn_op(values[i].op, NULL, tn_var("x")),
            .given = TN_TENSORS({"x", tn_tensor_from(bench.env, dtype, TN_DIMS(3), values[i].x)}));
        if (!tn_check_values(__LINE__, __FILE__, tn_out(e, 0), values[i].y, 3, tolerance))
            printf("\n    in %s of %s\n", values[i].op, tn_dtype_name(dtype));
        tn_exec_free(e);
    }
}

static void values_in_float32(void)
{
    check_values(TN_F32, 1e-6);
}

static void values_in_float64(void)
{
    check_values(TN_F64, 1e-14);
}

// Half a unit in the last place of the largest value.
static void values_in_16_bit_floats(void)
{
    check_values(TN_F16, 0x1p-11);
    check_values(TN_BF16, 0x1p-8);
}

static bool has_values(const char *op)
{
    for (size_t i = 0; i < N_VALUES; i++)
        if (strcmp(values[i].op, op) == 0) return true;
    return false;
}

static void every_row_has_values_here(void)
{
#define NAME(op, ...) #op,
    static const char *const rows[] = {TN_UNARY_ROWS(NAME)};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CU_ASSERT(has_values(rows[i]));
        if (!has_values(rows[i])) printf("\n    no values of %s\n", rows[i]);
    }
}

static void integers_are_rounded_by_no_function(void)
{
    static const struct {
        const char *op;
        double y[3];
    } cases[] = {{"relu", {0, 0, 5}},   {"negative", {3, 0, -5}}, {"abs", {3, 0, 5}},
                 {"sign", {-1, 0, 1}},  {"square", {9, 0, 25}},   {"round", {-3, 0, 5}},
                 {"rint", {-3, 0, 5}},  {"ceil", {-3, 0, 5}},     {"floor", {-3, 0, 5}},
                 {"trunc", {-3, 0, 5}}, {"fix", {-3, 0, 5}},      {"logical_not", {0, 1, 0}}};
    static const tn_dtype dtypes[] = {TN_I8, TN_I32, TN_I64};
    for (size_t d = 0; d < 3; d++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            tn_fresh();
            tn_exec *e =
                tn_try(tn_op(cases[i].op, NULL, tn_var("x")),
                       .given = TN_TENSORS({"x", TN_TENSOR(dtypes[d], TN_DIMS(3), -3, 0, 5)}));
            tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, 3, 0);
            tn_exec_free(e);
        }
    }
}

static void edges_give_infinity_and_nan(void)
{
    tn_exec *e = tn_try(tn_op("log", NULL, tn_var("x")),
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3), 0, -1, INFINITY)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -INFINITY, NAN, INFINITY);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("sigmoid", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2), -1000, 1000)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 1);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("relu", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3))}));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 3);
    tn_exec_free(e);
}

// SciPy's values, from where erfinv is a line to the last number below 1.
static void erfinv_is_exact_to_its_ends(void)
{
    static const double x[] = {1e-20, 0.1, 0.49, 0.51, 0.9, 0.9999, 1 - 0x1p-53, -0.9999};
    static const double y[] = {8.86226925452758e-21, 0.08885599049425769, 0.4658686002350574,
                               0.4881220505159588,   1.1630871536766743,  2.7510639057120803,
                               5.863584748755168,    -2.7510639057120803};
    tn_exec *e =
        tn_try(tn_op("erfinv", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F64, TN_DIMS(8), x)}));
    for (int i = 0; e && i < 8; i++) TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), i) / y[i], 1, 1e-13);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("erfinv", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(5), -1, 1, 1.5, -2, NAN)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -INFINITY, INFINITY, NAN, NAN, NAN);
    tn_exec_free(e);
}

// Nothing overflows far from 0: these functions go to 0, to -1, to x or to 1 there.
static void activations_keep_to_their_limits(void)
{
    static const struct {
        const char *op;
        double y[2], dx[2];
    } cases[] = {{"softsign", {-1000. / 1001, 1000. / 1001}, {1 / 1002001., 1 / 1002001.}},
                 {"softplus", {0, 1000}, {0, 1}},
                 {"silu", {0, 1000}, {0, 1}},
                 {"mish", {0, 1000}, {0, 1}},
                 {"hard_swish", {0, 1000}, {0, 1}},
                 {"gelu", {0, 1000}, {0, 1}},
                 {"gelu_tanh", {0, 1000}, {0, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op(cases[i].op, NULL, tn_var("x")), .wrt = "x",
                            .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(2), -1000, 1000)}));
        tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2), 1, 1)});
        tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, 2, 1e-12);
        tn_check_values(__LINE__, __FILE__, tn_grad(e, "x"), cases[i].dx, 2, 1e-12);
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ derivatives

// Where to sample a row that is not smooth on -2 … 2. digamma has no operator, so gamma and
// gammaln have no second derivative.
static const struct domain {
    const char *op;
    double lo, hi;
    int first_order;
} domains[] = {{"reciprocal", 0.3, 2, 0}, {"sqrt", 0.3, 3, 0},    {"rsqrt", 0.3, 3, 0},
               {"log", 0.3, 3, 0},        {"log10", 0.3, 3, 0},   {"log2", 0.3, 3, 0},
               {"log1p", -0.6, 2, 0},     {"tan", -1.2, 1.2, 0},  {"arcsin", -0.8, 0.8, 0},
               {"arccos", -0.8, 0.8, 0},  {"arccosh", 1.3, 3, 0}, {"arctanh", -0.8, 0.8, 0},
               {"erfinv", -0.8, 0.8, 0},  {"cbrt", 0.3, 3, 0},    {"rcbrt", 0.3, 3, 0},
               {"gamma", 0.5, 4, 1},      {"gammaln", 0.5, 12, 1}};

static struct domain domain_of(const char *op)
{
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        if (strcmp(domains[i].op, op) == 0) return domains[i];
    return (struct domain){op, -2, 2, 0};
}

// Five samples of every row that has a derivative: shapes, and parts of the domain.
static void derivatives_agree_with_differences(void)
{
#define HAS_DERIVATIVE(op, dtypes, uses, ...) {#op, #uses},
    static const char *const rows[][2] = {TN_UNARY_ROWS(HAS_DERIVATIVE)};
    static const char *const shapes[] = {"7", "2,3", "2,1,3", "1", "2,2,2"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i][1], "ZERO") == 0) continue;
        const struct domain d = domain_of(rows[i][0]);
        tn_case cases[5];
        for (int k = 0; k < 5; k++) {
            const double middle = (d.lo + d.hi) / 2;
            cases[k] = (tn_case){.op = d.op,
                                 .shapes = shapes[k],
                                 .lo = k == 2 ? middle : d.lo,
                                 .hi = k == 3 ? middle : d.hi,
                                 .first_order = d.first_order};
        }
        tn_check_cases(__LINE__, __FILE__, cases, 5);
        n++;
    }
    CU_ASSERT(n >= 40);
}

static void derivatives_left_of_poles_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("reciprocal", NULL, "4", .lo = -2, .hi = -0.3),
                   TN_CASE("cbrt", NULL, "4", .lo = -2, .hi = -0.3),
                   TN_CASE("rcbrt", NULL, "4", .lo = -2, .hi = -0.3),
                   TN_CASE("gamma", NULL, "5", .lo = -1.8, .hi = -1.2, .first_order = 1),
                   TN_CASE("gammaln", NULL, "5", .lo = -0.8, .hi = -0.2, .first_order = 1),
                   TN_CASE("hard_swish", NULL, "6", .lo = -5, .hi = 5),
                   TN_CASE("softplus", NULL, "6", .lo = -30, .hi = 30),
                   TN_CASE("gelu", NULL, "6", .lo = -6, .hi = 6),
                   TN_CASE("gelu_tanh", NULL, "6", .lo = -6, .hi = 6));
}

static void derivatives_at_kinks_are_as_documented(void)
{
    static const struct {
        const char *op;
        double dx[3];
    } cases[] = {{"relu", {0, 0, 2}},
                 {"abs", {-2, 0, 2}},
                 {"sign", {0, 0, 0}},
                 {"round", {0, 0, 0}},
                 {"floor", {0, 0, 0}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op(cases[i].op, NULL, tn_var("x")), .wrt = "x",
                            .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3), -1, 0, 1)}));
        tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3), 2, 2, 2)});
        tn_check_values(__LINE__, __FILE__, tn_grad(e, "x"), cases[i].dx, 3, 0);
        tn_exec_free(e);
    }
}

static void activation_is_the_function_of_that_name(void)
{
    static const struct {
        const char *params;
        double y[3], dx[3];
    } cases[] = {
        {"act_type=relu", {0, 0, 1}, {0, 0, 1}},
        {"act_type=sigmoid",
         {0.2689414213699951, 0.5, 0.7310585786300049},
         {0.19661193324148185, 0.25, 0.19661193324148185}},
        {"act_type=tanh",
         {-0.7615941559557649, 0, 0.7615941559557649},
         {0.41997434161402614, 1, 0.41997434161402614}},
        {"act_type=softrelu",
         {0.31326168751822286, 0.6931471805599453, 1.3132616875182228},
         {0.2689414213699951, 0.5, 0.7310585786300049}},
        {"act_type=softsign", {-0.5, 0, 0.5}, {0.25, 1, 0.25}},
        {"act_type=softplus",
         {0.31326168751822286, 0.6931471805599453, 1.3132616875182228},
         {0.2689414213699951, 0.5, 0.7310585786300049}},
        {"act_type=hard_sigmoid", {0.3, 0.5, 0.7}, {0.2, 0.2, 0.2}},
        {"act_type=hard_swish", {-1. / 3, 0, 2. / 3}, {1. / 6, 0.5, 5. / 6}},
        {"act_type=gelu", {-0.158655254, 0, 0.841344746}, {-0.0833154706, 0.5, 1.08331547}},
        {"act_type=gelu_tanh", {-0.158808009, 0, 0.841191991}, {-0.0829640838, 0.5, 1.08296408}},
        {"act_type=silu", {-0.268941421, 0, 0.731058579}, {0.0723294881, 0.5, 0.927670512}},
        {"act_type=mish", {-0.303401461, 0, 0.865098388}, {0.0592167559, 0.6, 1.04903622}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op("Activation", cases[i].params, tn_var("x")), .wrt = "x",
                            .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3), -1, 0, 1)}));
        tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3), 1, 1, 1)});
        tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, 3, 1e-6);
        tn_check_values(__LINE__, __FILE__, tn_grad(e, "x"), cases[i].dx, 3, 1e-6);
        tn_exec_free(e);
    }
}

static void activation_gradients_agree_with_differences(void)
{
    static const char *const types[] = {"relu",     "sigmoid",  "tanh",         "softrelu",
                                        "softsign", "softplus", "gelu",         "gelu_tanh",
                                        "silu",     "mish",     "hard_sigmoid", "hard_swish"};
    static const char *const shapes[] = {"7", "2,3", "2,1,3", "1", "2,2,2"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char params[64];
        tn_case cases[5];
        snprintf(params, sizeof params, "act_type=%s", types[i]);
        for (int k = 0; k < 5; k++)
            cases[k] = (tn_case){.op = "Activation",
                                 .params = params,
                                 .shapes = shapes[k],
                                 .lo = k == 3 ? -4 : -2,
                                 .hi = k == 2 ? 4 : 2};
        tn_check_cases(__LINE__, __FILE__, cases, 5);
    }
    TN_CHECK_CASES(TN_CASE("Activation", "act_type=relu", "2,3"),
                   TN_CASE("Activation", "act_type=sigmoid", "5", .lo = -9, .hi = 9),
                   TN_CASE("Activation", "act_type=tanh", "2,2", .lo = -4, .hi = 4),
                   TN_CASE("Activation", "act_type=softrelu", "6", .lo = -19, .hi = 19),
                   TN_CASE("Activation", "act_type=gelu", "2,1,3", .lo = -5, .hi = 5));
}

// 0.2 x + 0.5 between -2.5 and 2.5
static void hard_sigmoid_is_a_line_between_its_ends(void)
{
    tn_exec *e = tn_try(tn_op("hard_sigmoid", NULL, tn_var("x")), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(4), -3, -1, 2, 3)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0, 0.3, 0.9, 1);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(4), 1, 1, 10, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, 0, 0.2, 2, 0);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("hard_sigmoid", "alpha=1; beta=0", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F16, TN_DIMS(3), -1, 0.5, 2)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0.5, 1);
    tn_exec_free(e);
    TN_CHECK_CASES(TN_CASE("hard_sigmoid", NULL, "7"),
                   TN_CASE("hard_sigmoid", NULL, "2,3", .lo = -5, .hi = 5),
                   TN_CASE("hard_sigmoid", "alpha=1; beta=0", "2,1,3"),
                   TN_CASE("hard_sigmoid", "alpha=-0.3; beta=0.2", "6"),
                   TN_CASE("hard_sigmoid", "alpha=0.16666666; beta=0.5", "2,2,2"));
}

TN_TEST_MAIN({"values in float32", values_in_float32}, {"values in float64", values_in_float64},
             {"values in 16-bit floats", values_in_16_bit_floats},
             {"every row has values here", every_row_has_values_here},
             {"integers are rounded by no function", integers_are_rounded_by_no_function},
             {"edges give infinity and NaN", edges_give_infinity_and_nan},
             {"derivatives agree with differences", derivatives_agree_with_differences},
             {"derivatives left of poles agree with differences",
              derivatives_left_of_poles_agree_with_differences},
             {"erfinv is exact to its ends", erfinv_is_exact_to_its_ends},
             {"activations keep to their limits", activations_keep_to_their_limits},
             {"derivatives at kinks are as documented", derivatives_at_kinks_are_as_documented},
             {"Activation is the function of that name", activation_is_the_function_of_that_name},
             {"Activation gradients agree with differences",
              activation_gradients_agree_with_differences},
             {"hard_sigmoid is a line between its ends", hard_sigmoid_is_a_line_between_its_ends})
