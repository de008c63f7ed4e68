// tests/ops/test_sample.c: what sample_uniform, …, random_gamma, … draw: the right distributions,
// the same numbers everywhere, NaN outside of the domain; and the gradients of the parameters.
//
// Seeds are fixed, so nothing here passes by luck; bounds are those of a test at one in a thousand.
#include <math.h>
#include <stdlib.h>

#include "tests/tn_numeric.h"

enum { N = 100000 };
static double drawn[N]; // of the last call of draw_law()

// A distribution: the operator that draws from it, and either of its functions.
typedef struct law {
    const char *op;
    double a, b; // parameters of the operator; b NaN: there is one
    double mean, variance;
    double (*below)(double x, const struct law *l); // P(X <= x)
    double (*mass)(double k, const struct law *l);  // P(X = k)
} law;

// Output 0 of e, n numbers, from wherever it lies, at once.
static void take_numbers(tn_exec *e, double *to, int64_t n)
{
    tn_tensor *here = tn_tensor_wrap(bench.env, TN_F64, TN_DIMS(n), to);
    tn_tensor *flat = tn_tensor_reshape(tn_out(e, 0), TN_DIMS(n));
    CU_ASSERT(here && flat && tn_tensor_copy(here, flat) == TN_OK);
    tn_tensor_release(flat);
    tn_tensor_release(here);
}

static bool draw_law(const law *l, const char *dtype)
{
    char text[64];
    snprintf(text, sizeof text, "shape=(%d,); dtype=%s", N, dtype);
    tn_fresh();
    tn_tensor *a = TN_TENSOR(TN_F64, TN_DIMS(1), l->a), *b = TN_TENSOR(TN_F64, TN_DIMS(1), l->b);
    const tn_symbol two = isnan(l->b) ? tn_op(l->op, text, tn_var("a"))
                                      : tn_op(l->op, text, tn_var("a"), tn_var("b"));
    tn_exec *e = isnan(l->b) ? tn_try(two, .given = TN_TENSORS({"a", a}))
                             : tn_try(two, .given = TN_TENSORS({"a", a}, {"b", b}));
    if (isnan(l->b)) tn_tensor_release(b);
    if (!e) return false;
    tn_exec_seed(e, 2024);
    tn_forward(e, false);
    TN_CHECK_DIMS(tn_out(e, 0), 1, N);
    take_numbers(e, drawn, N);
    tn_exec_free(e);
    return true;
}

// ------------------------------------------------------------------ the laws

static double uniform_below(double x, const law *l)
{
    return (x - l->a) / (l->b - l->a);
}
static double normal_below(double x, const law *l)
{
    return 0.5 * erfc((l->mean - x) / sqrt(2 * l->variance));
}
static double exponential_below(double x, const law *l)
{
    return -expm1(-l->a * x);
}
// Series of the lower incomplete gamma function. Source: Abramowitz, Stegun, 6.5.29.
static double gamma_below(double x, const law *l)
{
    const double y = x / l->b;
    double term = 1 / l->a, sum = term;
    if (y <= 0) return 0;
    for (int n = 1; term > 1e-17 * sum; n++) sum += term *= y / (l->a + n);
    return sum * exp(l->a * log(y) - y - lgamma(l->a));
}
static double poisson_mass(double k, const law *l)
{
    return exp(k * log(l->a) - l->a - lgamma(k + 1));
}
static double failures(double k, double r, double p)
{
    return exp(lgamma(k + r) - lgamma(k + 1) - lgamma(r) + r * log(p) + k * log1p(-p));
}
static double negative_binomial_mass(double k, const law *l)
{
    return failures(k, l->a, l->b);
}
static double generalized_mass(double k, const law *l)
{
    return failures(k, 1 / l->b, 1 / (1 + l->a * l->b));
}

// clang-format off
#define BELOW(op, a, b, mean, variance, f) {op, a, b, mean, variance, f, NULL}
#define MASS(op, a, b, mean, variance, f) {op, a, b, mean, variance, NULL, f}
#define UNIFORM(a, b) \
    BELOW("sample_uniform", a, b, (a + b) / 2, (b - a) * (b - a) / 12, uniform_below)
#define NORMAL(a, b) BELOW("sample_normal", a, b, a, b * b, normal_below)
#define EXPONENTIAL(a) \
    BELOW("sample_exponential", a, NAN, 1 / a, 1 / a / a, exponential_below)
#define GAMMA(a, b) BELOW("sample_gamma", a, b, a * b, a * b * b, gamma_below)
#define POISSON(a) MASS("sample_poisson", a, NAN, a, a, poisson_mass)
#define FAILURES(k, p) \
    MASS("sample_negative_binomial", k, p, k * (1 - p) / p, k * (1 - p) / p / p, \
         negative_binomial_mass)
#define GENERAL(m, a) \
    MASS("sample_generalized_negative_binomial", m, a, m, m + a * m * m, generalized_mass)
// clang-format on

static const law laws[] = {
    UNIFORM(-2., 5.),    UNIFORM(100., 100.5),
    NORMAL(1., 3.),      NORMAL(-50., 0.25),
    EXPONENTIAL(0.25),   EXPONENTIAL(40.),
    GAMMA(0.05, 1.),     GAMMA(0.5, 3.),
    GAMMA(1., 0.1),      GAMMA(2.5, 2.),
    GAMMA(40., 0.5),     BELOW("sample_gamma", 1e8, 2, 2e8, 4e8, normal_below), // as good as normal
    POISSON(0.01),       POISSON(0.7),
    POISSON(9.9),        POISSON(10.),
    POISSON(11.5),       POISSON(35.),
    POISSON(4321.),      BELOW("sample_poisson", 1e10, NAN, 1e10, 1e10, normal_below),
    FAILURES(1., 0.3),   FAILURES(2.5, 0.8),
    FAILURES(30., 0.05), GENERAL(4., 0.5),
    GENERAL(20., 2.),    MASS("sample_generalized_negative_binomial", 3, 0, 3, 3, poisson_mass),
};
enum { N_LAWS = sizeof laws / sizeof *laws };

// ------------------------------------------------------------------ distances

static void check_moments(const law *l)
{
    double mean = 0, second = 0, fourth = 0;
    for (int i = 0; i < N; i++) mean += drawn[i] / N;
    for (int i = 0; i < N; i++) {
        const double d = drawn[i] - l->mean;
        second += d * d / N;
        fourth += d * d * d * d / N;
    }
    TN_CHECK_NEAR(mean, l->mean, 3.3 * sqrt(l->variance / N));
    TN_CHECK_NEAR(second, l->variance, 3.3 * sqrt((fourth - second * second) / N));
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Kolmogorov's and Smirnov's: the largest distance of the two distribution functions, times √N, is
// above 1.95 once in a thousand times.
static void check_distance(const law *l)
{
    double most = 0;
    qsort(drawn, N, sizeof *drawn, by_size);
    for (int i = 0; i < N; i++) {
        const double p = l->below(drawn[i], l);
        most = fmax(most, fmax(p - (double)i / N, (double)(i + 1) / N - p));
    }
    if (most * sqrt(N) > 1.95) TN_CHECK_STR(l->op, "a distribution function");
    TN_CHECK_NEAR(most * sqrt(N), 1, 0.95);
}

// Pearson's: Σ (observed - expected)² / expected over groups of numbers of which at least 20 are
// expected; its mean is the number of groups n, its deviation √(2n).
static void check_counts(const law *l)
{
    double chi = 0, expected = 0, observed = 0, mass = 0;
    int groups = 0, i = 0;
    qsort(drawn, N, sizeof *drawn, by_size);
    for (double k = 0; N * (1 - mass) > 20 && k < 1e6; k++) {
        expected += N * l->mass(k, l);
        mass += l->mass(k, l);
        for (; i < N && drawn[i] == k; i++) observed++;
        if (expected < 20) continue;
        chi += (observed - expected) * (observed - expected) / expected;
        groups++;
        expected = observed = 0;
    }
    expected = fmax(0, N * (1 - mass)) + expected;
    observed += N - i;
    chi += (observed - expected) * (observed - expected) / fmax(expected, 1);
    if (chi > groups + 4 * sqrt(2. * (groups + 1))) TN_CHECK_STR(l->op, "a distribution");
    CU_ASSERT(i >= 0.99 * N && chi <= groups + 4 * sqrt(2. * (groups + 1)) && groups > 1);
}

static void draws_have_their_distribution(void)
{
    for (size_t i = 0; i < N_LAWS; i++) {
        if (!draw_law(&laws[i], "float64")) return;
        check_moments(&laws[i]);
        if (laws[i].below)
            check_distance(&laws[i]);
        else
            check_counts(&laws[i]);
    }
}

// Where the numbers lie, and that they are whole where they should be.
static void draws_stay_in_their_range(void)
{
    for (size_t i = 0; i < N_LAWS; i++) {
        const law *l = &laws[i];
        if (!draw_law(l, i % 2 ? "float32" : "float16")) return;
        int outside = 0;
        for (int k = 0; k < N; k++) {
            const double v = drawn[k];
            if (l->below == uniform_below)
                outside += v < l->a || v > l->b;
            else if (l->below != normal_below)
                outside += v < 0;
            if (l->mass) outside += v != floor(v);
            outside += isnan(v);
        }
        CU_ASSERT_EQUAL(outside, 0);
    }
}

// ------------------------------------------------------------------ the same numbers

static void draw_both(const law *l, double tolerance)
{
    tn_fresh();
    const bool one = isnan(l->b);
    const char *text = "shape=(9001,)";
    const tn_symbol s =
        one ? tn_op(l->op, text, tn_var("a")) : tn_op(l->op, text, tn_var("a"), tn_var("b"));
    tn_exec *e[2];
    for (int i = 0; i < 2; i++) {
        e[i] = tn_simple_bind(bench.g, s, .backends = i ? "reference" : tn_backends(),
                              .shapes = TN_SHAPES({"a", TN_DIMS(2)}));
        if (!TN_CHECK_EXEC(e[i])) break;
        tn_tensor_fill(tn_exec_arg(e[i], "a"), l->a);
        if (!one) tn_tensor_fill(tn_exec_arg(e[i], "b"), l->b);
        tn_exec_seed(e[i], 7);
        tn_forward(e[i], false);
    }
    int differ = 0;
    static double mine[2 * 9001], wanted[2 * 9001];
    if (e[1]) take_numbers(e[0], mine, 2 * 9001);
    if (e[1]) take_numbers(e[1], wanted, 2 * 9001);
    for (int64_t i = 0; e[1] && i < 2 * 9001; i++)
        differ += !(fabs(mine[i] - wanted[i]) <= tolerance * fabs(wanted[i]));
    if (differ) TN_CHECK_STR(l->op, "the numbers of reference");
    CU_ASSERT(e[1] && differ == 0);
    for (int i = 0; i < 2 && e[i]; i++) tn_exec_free(e[i]);
}

// The uniform, normal and exponential numbers go through operators whose last bit may differ.
static void draws_agree_with_the_reference(void)
{
    for (size_t i = 0; i < N_LAWS; i++) {
        const law *l = &laws[i];
        const bool exact = l->mass || l->below == gamma_below;
        draw_both(l, exact ? 0 : l->below == exponential_below ? 1e-5 : 1e-6);
    }
}

// Numbers as parameters draw what arrays of these numbers draw.
static void check_scalars(const char *op, const char *params, const char *arrays, double a,
                          double b)
{
    char text[128];
    tn_exec *e[2];
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        snprintf(text, sizeof text, "%s; shape=(60,)", params);
        const law l = {.op = arrays, .a = a, .b = b};
        const tn_symbol x = tn_var("a");
        e[i] = i == 0     ? tn_try(tn_op0(op, text), .wrt = NULL)
               : isnan(b) ? tn_try(tn_op(l.op, "shape=(60,)", x),
                                   .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_SCALAR, a)}))
                          : tn_try(tn_op(l.op, "shape=(60,)", x, tn_var("b")),
                                   .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_SCALAR, a)},
                                                       {"b", TN_TENSOR(TN_F32, TN_SCALAR, b)}));
        tn_exec_seed(e[i], 5);
        if (e[i]) tn_forward(e[i], false);
    }
    double wanted[60];
    for (int i = 0; e[1] && i < 60; i++) wanted[i] = tn_tensor_at(tn_out(e[1], 0), i);
    TN_CHECK_DIMS(tn_out(e[0], 0), 60);
    tn_check_values(__LINE__, __FILE__, tn_out(e[0], 0), wanted, 60, 0);
    tn_exec_free(e[0]);
    tn_exec_free(e[1]);
}

static void numbers_as_parameters_draw_the_same(void)
{
    check_scalars("random_gamma", "alpha=0.5; beta=3", "sample_gamma", 0.5, 3);
    check_scalars("_sample_gamma", "alpha=7", "sample_gamma", 7, 1);
    check_scalars("random_exponential", "lam=0.25", "sample_exponential", 0.25, NAN);
    check_scalars("_sample_exponential", "ctx=cpu(0)", "sample_exponential", 1, NAN);
    check_scalars("random_poisson", "lam=35", "sample_poisson", 35, NAN);
    check_scalars("_sample_poisson", "lam=0.5", "sample_poisson", 0.5, NAN);
    check_scalars("random_negative_binomial", "k=3; p=0.25", "sample_negative_binomial", 3, 0.25);
    check_scalars("_sample_negbinomial", "k=2", "sample_negative_binomial", 2, 1);
    check_scalars("random_generalized_negative_binomial", "mu=4; alpha=0.5",
                  "sample_generalized_negative_binomial", 4, 0.5);
    check_scalars("_sample_gennegbinomial", "mu=4; alpha=0", "sample_generalized_negative_binomial",
                  4, 0);
}

// ------------------------------------------------------------------ corner cases

static tn_exec *draw_of(const char *op, const char *params, tn_tensor *a, tn_tensor *b)
{
    tn_fresh();
    return b ? tn_try(tn_op(op, params, tn_var("a"), tn_var("b")),
                      .given = TN_TENSORS({"a", a}, {"b", b}))
             : tn_try(tn_op(op, params, tn_var("a")), .given = TN_TENSORS({"a", a}));
}

// Parameters outside of their domain, and on its edge.
static void edges_of_the_domain(void)
{
    const double inf = INFINITY;
    tn_exec *e =
        draw_of("sample_gamma", NULL, TN_TENSOR(TN_F32, TN_DIMS(7), 0, -1, NAN, inf, 2, 2, 1e-30),
                TN_TENSOR(TN_F32, TN_DIMS(7), 1, 1, 1, 1, -1, 0, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, NAN, NAN, NAN, inf, NAN, 0, 0);
    tn_exec_free(e);
    e = draw_of("sample_poisson", NULL, TN_TENSOR(TN_F64, TN_DIMS(6), 0, -0., -1, NAN, inf, -inf),
                NULL);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, NAN, NAN, inf, NAN);
    tn_exec_free(e);
    e = draw_of("sample_exponential", NULL, TN_TENSOR(TN_F64, TN_DIMS(4), 0, -1, NAN, inf), NULL);
    TN_CHECK_VALUES(tn_out(e, 0), 0, inf, NAN, NAN, 0);
    tn_exec_free(e);
    e = draw_of("sample_negative_binomial", NULL,
                TN_TENSOR(TN_F64, TN_DIMS(8), 0, 3, -1, 3, 3, 0, NAN, 1e-9),
                TN_TENSOR(TN_F64, TN_DIMS(8), 0.5, 1, 0.5, 1.5, -0.5, 2, 0.5, 1.5));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, NAN, NAN, NAN, NAN, NAN, NAN);
    tn_exec_free(e);
    e = draw_of("sample_generalized_negative_binomial", NULL,
                TN_TENSOR(TN_F64, TN_DIMS(5), 0, -1, -1, 3, NAN),
                TN_TENSOR(TN_F64, TN_DIMS(5), 2, 0, 2, -1, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, NAN, NAN, NAN, NAN);
    tn_exec_free(e);
    e = draw_of("sample_normal", NULL, TN_TENSOR(TN_F64, TN_DIMS(2), 3, NAN),
                TN_TENSOR(TN_F64, TN_DIMS(2), 0, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, NAN);
    tn_exec_free(e);
}

static void empty_values(void)
{
    tn_exec *e =
        draw_of("sample_gamma", "shape=(3,)", tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0)),
                tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0)));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 0, 3);
    tn_exec_free(e);
    e = draw_of("sample_normal", "shape=(0,4)", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2),
                TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 0, 4);
    tn_exec_free(e);
    // shape and emptiness come from what the draws are added to
    tn_fresh();
    e = tn_try(tn_op("elemwise_add", NULL, tn_op0("random_poisson", "lam=2"), tn_var("x")),
               .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3))}));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 3);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("elemwise_add", NULL, tn_op0("random_gamma", "shape=(0,3)"), tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 0, 0, 0, 0, 0, 0)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 3);
    tn_exec_free(e);
}

static void dtypes_of_draws(void)
{
    static const char *const params[] = {"dtype=None", "dtype=float16", "dtype=float64"};
    static const tn_dtype wanted[] = {TN_F32, TN_F16, TN_F64};
    for (int i = 0; i < 3; i++) {
        tn_exec *e =
            draw_of("sample_poisson", params[i], TN_TENSOR(TN_I32, TN_DIMS(2), 0, 0), NULL);
        CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == wanted[i]);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0);
        tn_exec_free(e);
    }
    tn_fresh();
    tn_op("sample_poisson", "dtype=int32", tn_var("a"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "dtype: wanted a floating one");
    tn_fresh();
    tn_op0("random_gamma", "alpha=0");
    TN_CHECK_HAS(tn_graph_error(bench.g), "alpha");
}

static void names(void)
{
    const tn_symbol s = tn_op0("sample_generalized_negative_binomial", NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, s), "sample_generalized_negative_binomial0_mu "
                                             "sample_generalized_negative_binomial0_alpha");
    TN_CHECK_NAMES(tn_outputs(bench.g, s), "sample_generalized_negative_binomial0_output");
}

// ------------------------------------------------------------------ gradients

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("sample_uniform", "dtype=float64", "2,3 2,3"),
        TN_CASE("sample_uniform", "dtype=float64; shape=(4,)", "3 3"),
        TN_CASE("sample_uniform", "dtype=float64; shape=(2,1,3)", "2,2 2,2"),
        TN_CASE("sample_uniform", "dtype=float64; shape=(5,)", "1 1"),
        TN_CASE("sample_uniform", "dtype=float64; shape=(2,)", "1,3,1 1,3,1"),
        TN_CASE("sample_normal", "dtype=float64", "2,3 2,3"),
        TN_CASE("sample_normal", "dtype=float64; shape=(4,)", "3 3"),
        TN_CASE("sample_normal", "dtype=float64; shape=(2,1,3)", "2,2 2,2"),
        TN_CASE("sample_normal", "dtype=float64; shape=(5,)", "1 1"),
        TN_CASE("sample_normal", "dtype=float64; shape=(2,)", "1,3,1 1,3,1"),
        TN_CASE("sample_exponential", "dtype=float64", "2,3", .lo = 0.3, .hi = 2.5),
        TN_CASE("sample_exponential", "dtype=float64; shape=(4,)", "3", .lo = 0.3, .hi = 2.5),
        TN_CASE("sample_exponential", "dtype=float64; shape=(2,1,3)", "2,2", .lo = 0.3, .hi = 2.5),
        TN_CASE("sample_exponential", "dtype=float64; shape=(5,)", "1", .lo = 0.3, .hi = 2.5),
        TN_CASE("sample_exponential", "dtype=float64; shape=(2,)", "1,3,1", .lo = 0.3, .hi = 2.5),
        TN_CASE("sample_gamma", "dtype=float64", "2,3 2,3", .lo = 0.3, .hi = 2.5, .fixed = "0"),
        TN_CASE("sample_gamma", "dtype=float64; shape=(4,)", "3 3", .lo = 0.3, .hi = 2.5,
                .fixed = "0"),
        TN_CASE("sample_gamma", "dtype=float64; shape=(2,1,3)", "2,2 2,2", .lo = 0.3, .hi = 2.5,
                .fixed = "0"),
        TN_CASE("sample_gamma", "dtype=float64; shape=(5,)", "1 1", .lo = 0.3, .hi = 2.5,
                .fixed = "0"),
        TN_CASE("sample_gamma", "dtype=float64; shape=(2,)", "1,3,1 1,3,1", .lo = 0.3, .hi = 2.5,
                .fixed = "0"));
}

// dy = 1: the gradient of mu counts the draws; the derivative by sigma = 0 is taken as 0.
static void gradients_in_other_dtypes(void)
{
    tn_fresh();
    tn_exec *e = tn_try(tn_op("sample_normal", "shape=(2,2)", tn_var("a"), tn_var("b")),
                        .wrt = "a b", .train = true,
                        .given = TN_TENSORS({"a", TN_TENSOR(TN_F64, TN_DIMS(1), 2)},
                                            {"b", TN_TENSOR(TN_F64, TN_DIMS(1), 0)}));
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2), 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 4);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 0);
    CU_ASSERT(e && tn_tensor_dtype(tn_grad(e, "a")) == TN_F64);
    tn_exec_free(e);
}

// Whole numbers do not move with their parameters; and who asks for no gradient gets no nodes.
static void other_gradients_are_zero(void)
{
    tn_fresh();
    tn_exec *e = tn_try(tn_op("sample_negative_binomial", "shape=3", tn_var("a"), tn_var("b")),
                        .wrt = "a b", .train = true,
                        .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(1), 4)},
                                            {"b", TN_TENSOR(TN_F32, TN_DIMS(1), 0.5)}));
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 3), 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 0);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 0);
    tn_exec_free(e);
    e = draw_of("sample_normal", NULL, TN_TENSOR(TN_F32, TN_DIMS(1), 4),
                TN_TENSOR(TN_F32, TN_DIMS(1), 4));
    CU_ASSERT(e && !strstr(tn_exec_report_text(e), "_div"));
    tn_exec_free(e);
}

TN_TEST_MAIN({"draws have their distribution", draws_have_their_distribution},
             {"draws stay in their range", draws_stay_in_their_range},
             {"draws agree with the reference", draws_agree_with_the_reference},
             {"numbers as parameters draw the same", numbers_as_parameters_draw_the_same},
             {"edges of the domain", edges_of_the_domain}, {"empty values", empty_values},
             {"dtypes of draws", dtypes_of_draws}, {"names", names},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"gradients in other dtypes", gradients_in_other_dtypes},
             {"other gradients are zero", other_gradients_are_zero})
