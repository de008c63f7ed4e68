// backends/blas/blas_special.c: more rows of <tenon/elementwise.h> for float32, vectorised by way
// of double and rounded once (softplus, in float, has up to 3 units of the last place).
//
// What is far stays with the C library: sines of large angles, log Γ of negative numbers, whose
// zeros would need more digits than double has.
#include "blas_special.h"

// u, v, w are x; dy and what the derivative uses. Where any x of a piece is far, each element of it
// is asked.
#define LOOP(name, text)                                                                  \
    BLAS_CLONES static void special_##name(int64_t n, const void *const in[3], void *out) \
    {                                                                                     \
        const float *u = in[0], *v = in[1], *w = in[2];                                   \
        float *to = out;                                                                  \
        (void)v, (void)w;                                                                 \
        BLAS_SIMD                                                                         \
        for (int64_t i = 0; i < n; i++) to[i] = (float)(text);                            \
    }
#define LOOP_OR(name, is_far, text, otherwise)                                                     \
    BLAS_CLONES static void special_##name(int64_t n, const void *const in[3], void *out)          \
    {                                                                                              \
        const float *u = in[0], *v = in[1];                                                        \
        float *to = out;                                                                           \
        int far = 0;                                                                               \
        (void)v;                                                                                   \
        BLAS_PRAGMA(omp simd reduction(| : far))                                                   \
        for (int64_t i = 0; i < n; i++) far |= (is_far);                                           \
        if (!far) {                                                                                \
            BLAS_SIMD                                                                              \
            for (int64_t i = 0; i < n; i++) to[i] = (float)(text);                                 \
        } else {                                                                                   \
            for (int64_t i = 0; i < n; i++) to[i] = (is_far) ? (float)(otherwise) : (float)(text); \
        }                                                                                          \
    }

BLAS_INLINE double sigmoid_double(double x)
{
    return 1 / (1 + blas_exp_double(-x));
}

// tanh(log(1 + e^x)) = e (e + 2) / (e (e + 2) + 2), e = e^x; 1 to all bits where e² would be large.
BLAS_INLINE double mish_factor(double x)
{
    const double e = blas_exp_double(x < 40 ? x : 40), q = e * (e + 2);
    return q / (q + 2);
}

BLAS_INLINE double mish_derivative(double x)
{
    const double t = mish_factor(x);
    return t + x * (1 - t * t) * sigmoid_double(x);
}

BLAS_INLINE double hard_swish(double x)
{
    const double y = x * (x * (1.0 / 6) + 0.5), high = x >= 3 ? x : y;
    return x <= -3 ? 0 : high;
}

BLAS_INLINE double hard_swish_derivative(double x)
{
    const double y = x * (1.0 / 3) + 0.5, low = x > -3 ? y : 0;
    return x >= 3 ? 1 : x == x ? low : x;
}

// What e is raised to in gelu_tanh, and its derivative.
BLAS_INLINE double gelu_slope(double x)
{
    return x * (1.5957691216057307 + 0.07135481627260025 * x * x);
}

BLAS_INLINE double gelu_tanh_derivative(double x, double y)
{
    const double s = gelu_slope(x), slope = 1.5957691216057307 + 0.21406444881780076 * x * x;
    return sigmoid_double(s) + y * slope * sigmoid_double(-s);
}

BLAS_INLINE double softsign_derivative(double y)
{
    const double rest = 1 - fabs(y);
    return rest * rest;
}

BLAS_INLINE double root_of_product(double a, double b)
{
    return 1 / sqrt(a * b);
}

// X(op, y of x)
#define FORWARD(X_)                                                         \
    X_(log10, blas_log2_double(x) * 0.30102999566398120)                    \
    X_(log2, blas_log2_double(x))                                           \
    X_(arcsin, blas_arcsin_double(x))                                       \
    X_(arccos, blas_arccos_double(x))                                       \
    X_(arctan, blas_arctan_double(x))                                       \
    X_(sinh, blas_sinh_double(x))                                           \
    X_(cosh, blas_cosh_double(x))                                           \
    X_(arcsinh, blas_arcsinh_double(x))                                     \
    X_(arccosh, blas_arccosh_double(x))                                     \
    X_(arctanh, blas_arctanh_double(x))                                     \
    X_(gamma, blas_gamma_double(x))                                         \
    X_(erf, blas_erf_double(x))                                             \
    X_(erfinv, blas_erfinv_double(x))                                       \
    X_(rcbrt, copysign(blas_exp2_double(blas_log2_abs(x) * (-1.0 / 3)), x)) \
    X_(logical_not, x == 0)                                                 \
    X_(softsign, x / (1 + fabs(x)))                                         \
    X_(silu, x *sigmoid_double(x))                                          \
    X_(mish, x *mish_factor(x))                                             \
    X_(hard_swish, hard_swish(x))                                           \
    X_(gelu, x *blas_normal_double(x))                                      \
    X_(gelu_tanh, x *sigmoid_double(gelu_slope(x)))

// X(op, derivative by p, the one thing that it uses: x or y)
#define BACKWARD(X_)                                         \
    X_(log10, 0.43429448190325183 / p)                       \
    X_(log2, 1.4426950408889634 / p)                         \
    X_(arcsin, root_of_product(1 - p, 1 + p))                \
    X_(arccos, -root_of_product(1 - p, 1 + p))               \
    X_(arctan, 1 / (p * p + 1))                              \
    X_(sinh, blas_cosh_double(p))                            \
    X_(cosh, blas_sinh_double(p))                            \
    X_(arcsinh, 1 / sqrt(p * p + 1))                         \
    X_(arccosh, root_of_product(p - 1, p + 1))               \
    X_(arctanh, 1 / ((1 - p) * (1 + p)))                     \
    X_(gammaln, blas_digamma_double(p))                      \
    X_(erf, 1.1283791670955126 * blas_exp_double(-p * p))    \
    X_(erfinv, 0.88622692545275801 * blas_exp_double(p * p)) \
    X_(cbrt, 1 / (3 * p * p))                                \
    X_(softsign, softsign_derivative(p))                     \
    X_(softplus, -(double)blas_expm1f(-(float)p))            \
    X_(mish, mish_derivative(p))                             \
    X_(hard_swish, hard_swish_derivative(p))                 \
    X_(gelu, blas_normal_double(p) + p * blas_density_double(p))

// X(op, derivative by x and y)
#define BACKWARD_BOTH(X_)                                \
    X_(gamma, y *blas_digamma_double(x))                 \
    X_(rcbrt, -y / (3 * x))                              \
    X_(silu, sigmoid_double(x) + y * sigmoid_double(-x)) \
    X_(gelu_tanh, gelu_tanh_derivative(x, y))

#define FORWARD_LOOP(op, text)                        \
    BLAS_INLINE double special_forward_##op(double x) \
    {                                                 \
        return text;                                  \
    }                                                 \
    LOOP(op, special_forward_##op((double)u[i]))
FORWARD(FORWARD_LOOP)

#define BACKWARD_LOOP(op, text)                          \
    BLAS_INLINE double special_derivative_##op(double p) \
    {                                                    \
        return text;                                     \
    }                                                    \
    LOOP(backward_##op, (double)u[i] * special_derivative_##op((double)v[i]))
BACKWARD(BACKWARD_LOOP)

#define BACKWARD_BOTH_LOOP(op, text)                               \
    BLAS_INLINE double special_derivative_##op(double x, double y) \
    {                                                              \
        return text;                                               \
    }                                                              \
    LOOP(backward_##op, (double)u[i] * special_derivative_##op((double)v[i], (double)w[i]))
BACKWARD_BOTH(BACKWARD_BOTH_LOOP)

LOOP(softplus, blas_softreluf(u[i]))
LOOP_OR(gammaln, u[i] < 0.0f, blas_gammaln_double((double)u[i]), lgamma((double)u[i]))
#define TOO_FAR !(fabsf(v[i]) <= BLAS_TURNS)
LOOP_OR(backward_sin, TOO_FAR, u[i] * blas_sine(v[i], 1), u[i] * cosf(v[i]))
LOOP_OR(backward_cos, TOO_FAR, -u[i] * blas_sine(v[i], 0), -u[i] * sinf(v[i]))

static const struct {
    const char *name;
    blas_loops loops;
} table[] = {
#define FORWARD_ENTRY(op, text) {#op, {{special_##op}}},
#define BACKWARD_ENTRY(op, text) {"_backward_" #op, {{special_backward_##op}}},
    FORWARD(FORWARD_ENTRY) BACKWARD(BACKWARD_ENTRY)
        BACKWARD_BOTH(BACKWARD_ENTRY){"softplus", {{special_softplus}}},
    {"gammaln", {{special_gammaln}}},
    {"_backward_sin", {{special_backward_sin}}},
    {"_backward_cos", {{special_backward_cos}}}};

const blas_loops *blas_special(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i].loops;
    return NULL;
}
