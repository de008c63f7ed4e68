// tests/backends/test_blas_special.c: functions that the blas backend computes by way of double,
// and all derivatives, against the C library and the rows of <tenon/elementwise.h> in double.
#include <tenon/elementwise.h>
#include <tenon/scalar.h>

#include "float_functions.h"

enum { ROUNDED_ONCE = 51 }; // hundredths of a unit in the last place

static double once(void)
{
    return ROUNDED_ONCE / 100.0;
}

static void inverse_and_hyperbolic_functions(void)
{
    if (!ready()) return;
    check_function("arcsin", asin, once());
    check_function("arccos", acos, once());
    check_function("arctan", atan, once());
    check_function("sinh", sinh, once());
    check_function("cosh", cosh, once());
    check_function("arcsinh", asinh, once());
    check_function("arccosh", acosh, once());
    check_function("arctanh", atanh, once());
}

static void logarithms_to_other_bases(void)
{
    if (!ready()) return;
    check_function("log2", log2, once());
    check_function("log10", log10, once());
}

static void error_and_gamma_functions(void)
{
    if (!ready()) return;
    check_function("erf", erf, once());
    check_function("erfinv", erfinv, once());
    check_function("gamma", tgamma, once());
    check_function("gammaln", lgamma, once());
}

static double rcbrt(double x)
{
    return 1 / cbrt(x);
}

static double softsign(double x)
{
    return x / (1 + fabs(x));
}

static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double mish(double x)
{
    const double e = exp(x < 40 ? x : 40);
    return x * (e * (e + 2) / (e * (e + 2) + 2));
}

static double hard_swish(double x)
{
    return x <= -3 ? 0 : x >= 3 ? x : x * (x / 6 + 0.5);
}

static double gelu(double x)
{
    return x * (0.5 * erfc(-x * sqrt(0.5)));
}

static double gelu_tanh(double x)
{
    return x / (1 + exp(-x * (1.59576912160573071176 + 0.07135481627260025 * x * x)));
}

static double logical_not(double x)
{
    return x == 0;
}

static void activations(void)
{
    if (!ready()) return;
    check_function("rcbrt", rcbrt, once());
    check_function("softsign", softsign, once());
    check_function("softplus", softplus, 3);
    check_function("silu", silu, once());
    check_function("mish", mish, once());
    check_function("hard_swish", hard_swish, once());
    check_function("gelu", gelu, once());
    check_function("gelu_tanh", gelu_tanh, once());
    check_function("logical_not", logical_not, 0);
}

// ------------------------------------------------------------------ derivatives

#define DERIVATIVE(op, dtypes, uses, forward, derivative, doc) \
    static double forward_##op(double x)                       \
    {                                                          \
        return (double)(forward);                              \
    }                                                          \
    static double derivative_##op(double x, double y)          \
    {                                                          \
        (void)x, (void)y;                                      \
        return (double)(derivative);                           \
    }
TN_UNARY_ROWS(DERIVATIVE)

enum { USES_X = 1, USES_Y = 2, USES_XY = 3, USES_NONE = 0, USES_ZERO = 0 };
static const struct {
    const char *name;
    int uses;
    double (*forward)(double), (*derivative)(double, double);
} rows[] = {
#define ENTRY(op, dtypes, uses, forward, derivative, doc) \
    {#op, USES_##uses, forward_##op, derivative_##op},
    TN_UNARY_ROWS(ENTRY)};

static tn_exec *bind_derivative(const char *op, int uses, float *x[3])
{
    char name[64];
    snprintf(name, sizeof name, "_backward_%s", op);
    tn_fresh();
    const tn_symbol dy = tn_var("dy"), a = tn_var("x"), b = tn_var("y");
    const tn_symbol y = uses == USES_XY ? tn_op(name, NULL, dy, a, b)
                                        : tn_op(name, NULL, dy, uses == USES_X ? a : b);
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "blas", .grad_req = TN_NULL,
                                .shapes = TN_SHAPES({"dy", TN_DIMS(N)}));
    TN_CHECK_EXEC(e);
    if (!e) return NULL;
    static const char *const names[] = {"dy", "x", "y"};
    for (int i = 0; i < 3; i++) {
        const bool used = i == 0 || (uses & i);
        x[i] = used ? tn_tensor_data(tn_exec_arg(e, names[i])) : NULL;
    }
    return e;
}

// All kinds of floats in the first half, then numbers within ±20.
static float place(uint32_t i)
{
    if (i < N / 2) return tn_f32_from_bits(i * 8192u + i % 8192u);
    return (float)(20.0 * (4.0 * (i - N / 2) / (N - 1) - 1));
}

// Within 3 units in the last place, or where a derivative cancels, within 3e-7: one of the row's
// terms, of which none is large where its sum is small.
static void check_derivative(size_t row)
{
    float *in[3];
    tn_exec *e = bind_derivative(rows[row].name, rows[row].uses, in);
    if (!e) return;
    double worst = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < N; i++) {
        in[0][i] = 1;
        if (in[1]) in[1][i] = place(i);
        if (in[2]) in[2][i] = (float)rows[row].forward((double)place(i));
    }
    tn_forward(e, false);
    TN_CHECK_EXEC(e);
    const float *got = tn_tensor_data(tn_exec_output(e, 0));
    for (uint32_t i = 0; i < N; i++) {
        const double x = (double)place(i), y = (double)(float)rows[row].forward(x);
        const double wanted = rows[row].derivative(x, y);
        const double error = fabs((double)got[i] - wanted) < 3e-7 ? 0 : ulps(got[i], wanted);
        if (error > worst) worst = error, at = i;
    }
    CU_ASSERT(worst <= 3);
    if (worst > 3)
        printf("\n    derivative of %s at %.9g: %.9g, %.2f units off\n", rows[row].name,
               (double)place(at), (double)got[at], worst);
    tn_exec_free(e);
}

static void derivatives(void)
{
    if (!ready()) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].uses) check_derivative(i);
}

TN_TEST_MAIN({"inverse and hyperbolic functions", inverse_and_hyperbolic_functions},
             {"logarithms to other bases", logarithms_to_other_bases},
             {"error and gamma functions", error_and_gamma_functions}, {"activations", activations},
             {"derivatives", derivatives})
