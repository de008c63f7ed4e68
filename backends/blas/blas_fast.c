// backends/blas/blas_fast.c: rows of <tenon/elementwise.h> for float32, in float arithmetic and
// vectorised.
//
// The row says what is computed; here stands the form of it that keeps its accuracy without
// double: (1 - y) (1 + y) for 1 - y y, and the functions of blas_math.h. What needs double on its
// way is in blas_special.c. Rows that are in neither are computed in double (blas_elementwise.c).
#include "blas_math.h"

// u, v, w are x; dy and what the derivative uses; a and b.
#define LOOP(name, before, text)                                                \
    BLAS_CLONES static void name(int64_t n, const void *const in[3], void *out) \
    {                                                                           \
        const float *u = in[0], *v = in[1], *w = in[2];                         \
        float *to = out;                                                        \
        (void)u, (void)v, (void)w;                                              \
        before BLAS_SIMD for (int64_t i = 0; i < n; i++) to[i] = text;          \
    }

// The same, but beyond BLAS_TURNS, in infinities and NaN, by another function.
#define LOOP_OF_TURNS(name, text, otherwise)                                    \
    BLAS_CLONES static void name(int64_t n, const void *const in[3], void *out) \
    {                                                                           \
        const float *u = in[0];                                                 \
        float *to = out;                                                        \
        int far = 0;                                                            \
        BLAS_PRAGMA(omp simd reduction(| : far))                                \
        for (int64_t i = 0; i < n; i++) far |= !(fabsf(u[i]) <= BLAS_TURNS);    \
        if (!far) {                                                             \
            BLAS_SIMD                                                           \
            for (int64_t i = 0; i < n; i++) to[i] = text;                       \
        } else {                                                                \
            for (int64_t i = 0; i < n; i++)                                     \
                to[i] = fabsf(u[i]) <= BLAS_TURNS ? text : otherwise(u[i]);     \
        }                                                                       \
    }
LOOP_OF_TURNS(forward_sin_v, blas_sine(u[i], 0), sinf)
LOOP_OF_TURNS(forward_cos_v, blas_sine(u[i], 1), cosf)
LOOP_OF_TURNS(forward_tan_v, blas_tangent(u[i]), tanf)

BLAS_INLINE float sign_of(float x)
{
    return (x > 0.0f ? 1.0f : 0.0f) - (x < 0.0f ? 1.0f : 0.0f);
}

BLAS_INLINE float round_away(float x) // half away from 0; the constant is the float below ½
{
    return truncf(x + copysignf(0.49999997f, x));
}

BLAS_INLINE float round_down(float x) // half to the lower
{
    const float lo = floorf(x), hi = ceilf(x);
    return x - lo <= hi - x ? lo : hi;
}

// X(op, y of x)
#define FORWARD(X_)                     \
    X_(relu, x > 0.0f ? x : 0.0f)       \
    X_(sigmoid, blas_sigmoidf(x))       \
    X_(softrelu, blas_softreluf(x))     \
    X_(tanh, blas_tanhf(x))             \
    X_(negative, -x)                    \
    X_(reciprocal, 1.0f / x)            \
    X_(abs, x < 0.0f ? -x : x)          \
    X_(sign, sign_of(x))                \
    X_(round, round_away(x))            \
    X_(rint, round_down(x))             \
    X_(ceil, ceilf(x))                  \
    X_(floor, floorf(x))                \
    X_(trunc, truncf(x))                \
    X_(fix, truncf(x))                  \
    X_(square, x *x)                    \
    X_(sqrt, sqrtf(x))                  \
    X_(rsqrt, 1.0f / sqrtf(x))          \
    X_(exp, blas_expf(x))               \
    X_(log, blas_logf(x))               \
    X_(log1p, blas_log1pf(x))           \
    X_(expm1, blas_expm1f(x))           \
    X_(cbrt, blas_cbrtf(x))             \
    X_(degrees, x * 57.29577951308232f) \
    X_(radians, x * 0.017453292519943295f)

// X(op, derivative by p, the one thing that it uses: x or y)
#define BACKWARD(X_)                  \
    X_(relu, p > 0.0f ? 1.0f : 0.0f)  \
    X_(sigmoid, p *(1.0f - p))        \
    X_(softrelu, -blas_expm1f(-p))    \
    X_(tanh, (1.0f - p) * (1.0f + p)) \
    X_(tan, p *p + 1.0f)              \
    X_(reciprocal, -(p * p))          \
    X_(abs, sign_of(p))               \
    X_(square, 2.0f * p)              \
    X_(sqrt, 0.5f / p)                \
    X_(exp, p)                        \
    X_(log, 1.0f / p)                 \
    X_(log1p, 1.0f / (1.0f + p))      \
    X_(expm1, p + 1.0f)

// X(op, y of a and b)
#define BINARY(X_)                                              \
    X_(elemwise_add, a + b)                                     \
    X_(_sub, a - b)                                             \
    X_(_mul, a *b)                                              \
    X_(_div, a / b)                                             \
    X_(_maximum, a >= b ? a : b)                                \
    X_(_minimum, a <= b ? a : b)                                \
    X_(_power, blas_powf(a, b))                                 \
    X_(_hypot, blas_hypotf(a, b))                               \
    X_(_equal, a == b ? 1.0f : 0.0f)                            \
    X_(_not_equal, a != b ? 1.0f : 0.0f)                        \
    X_(_greater, a > b ? 1.0f : 0.0f)                           \
    X_(_greater_equal, a >= b ? 1.0f : 0.0f)                    \
    X_(_lesser, a < b ? 1.0f : 0.0f)                            \
    X_(_lesser_equal, a <= b ? 1.0f : 0.0f)                     \
    X_(_logical_and, ((a != 0.0f) & (b != 0.0f)) ? 1.0f : 0.0f) \
    X_(_logical_or, ((a != 0.0f) | (b != 0.0f)) ? 1.0f : 0.0f)  \
    X_(_logical_xor, (a != 0.0f) != (b != 0.0f) ? 1.0f : 0.0f)

#define FORWARD_LOOP(op, text)              \
    BLAS_INLINE float forward_##op(float x) \
    {                                       \
        return text;                        \
    }                                       \
    LOOP(forward_##op##_v, , forward_##op(u[i]))
FORWARD(FORWARD_LOOP)

#define BACKWARD_LOOP(op, text)                \
    BLAS_INLINE float derivative_##op(float p) \
    {                                          \
        return text;                           \
    }                                          \
    LOOP(derivative_##op##_v, , u[i] * derivative_##op(v[i]))
BACKWARD(BACKWARD_LOOP)
// The only one that reads x and y.
LOOP(derivative_rsqrt_v, , u[i] * (-0.5f * w[i] / v[i]))

#define BINARY_LOOPS(op, text)                                     \
    BLAS_INLINE float binary_##op(float a, float b)                \
    {                                                              \
        return text;                                               \
    }                                                              \
    LOOP(op##_vv, , binary_##op(u[i], v[i]))                       \
    LOOP(op##_vs, const float one = v[0];, binary_##op(u[i], one)) \
    LOOP(op##_sv, const float one = u[0];, binary_##op(one, v[i]))
BINARY(BINARY_LOOPS)

// a - trunc(a / b) b with the sign of b, 0 for b = 0. In double the product is exact for quotients
// below 2^29; theirs may have come out one too large, which the sign of what is left shows. Others,
// and infinities, go by fmod, a piece at a time.
BLAS_INLINE double remainder_near(double x, double y)
{
    const double q = trunc(x / y), left = q == 0 ? x : x - q * y;
    const double over = left * x < 0 ? copysign(fabs(y), x) : 0, r = left + over;
    const double turned = r * y < 0 ? r + y : r;
    return y == 0 ? 0 : turned;
}

static float remainder_far(float a, float b)
{
    if (b == 0.0f) return 0.0f;
    const double r = fmod((double)a, (double)b);
    return (float)(r != 0 && (r < 0) != (b < 0.0f) ? r + (double)b : r);
}

#define REMAINDER(name, a, b)                                                              \
    BLAS_CLONES static void name(int64_t n, const void *const in[3], void *out)            \
    {                                                                                      \
        const float *u = in[0], *v = in[1];                                                \
        float *to = out;                                                                   \
        int far = 0;                                                                       \
        BLAS_PRAGMA(omp simd reduction(| : far))                                           \
        for (int64_t i = 0; i < n; i++)                                                    \
            far |= !(fabs((double)(a)) < 536870912.0 * fabs((double)(b))) & ((b) != 0.0f); \
        if (!far) {                                                                        \
            BLAS_SIMD                                                                      \
            for (int64_t i = 0; i < n; i++)                                                \
                to[i] = (float)remainder_near((double)(a), (double)(b));                   \
        } else {                                                                           \
            for (int64_t i = 0; i < n; i++) to[i] = remainder_far(a, b);                   \
        }                                                                                  \
    }
REMAINDER(remainder_vv, u[i], v[i])
REMAINDER(remainder_vs, u[i], v[0])
REMAINDER(remainder_sv, u[0], v[i])

static const struct {
    const char *name;
    blas_loops loops;
} table[] = {
#define FORWARD_ENTRY(op, text) {#op, {{forward_##op##_v}}},
#define BACKWARD_ENTRY(op, text) {"_backward_" #op, {{derivative_##op##_v}}},
#define BINARY_ENTRY(op, text) {#op, {{op##_vv, op##_vs, op##_sv}}},
    FORWARD(FORWARD_ENTRY) BACKWARD(BACKWARD_ENTRY)
        BINARY(BINARY_ENTRY){"_backward_rsqrt", {{derivative_rsqrt_v}}},
    {"_mod", {{remainder_vv, remainder_vs, remainder_sv}}},
    {"sin", {{forward_sin_v}}},
    {"cos", {{forward_cos_v}}},
    {"tan", {{forward_tan_v}}}};

const blas_loops *blas_fast(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i].loops;
    return blas_special(name);
}
