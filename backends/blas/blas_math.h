// backends/blas/blas_math.h: exp, log and their kin for float, as straight lines of arithmetic that
// compilers vectorise.
//
// Every result is within 3 units in the last place of the exact one, over all floats, subnormal
// ones, infinities and NaN (tests/backends/test_blas_math.c compares them with double). The
// polynomials of exp, log and tanh are those of the Cephes library (S. L. Moshier, 1989: expf.c,
// logf.c, tanhf.c).
#ifndef TENON_BLAS_MATH_H
#define TENON_BLAS_MATH_H

#include <string.h>

#include "blas.h"

#define BLAS_ROUND 12582912.0f // 1.5 · 2^23: adding it leaves the nearest integer in the low bits

// 2^n for -126 … 127
BLAS_INLINE float blas_power_of_2(int32_t n)
{
    return tn_f32_from_bits((uint32_t)(n + 127) << 23);
}

// x = n log 2 + r with |r| ≤ ½ log 2. NaN gives some n and r = NaN.
BLAS_INLINE float blas_reduce_exp(float x, int32_t *n)
{
    const float shifted = x * 1.44269504088896341f + BLAS_ROUND, whole = shifted - BLAS_ROUND;
    *n = (int32_t)(tn_f32_bits(shifted) - 0x4B400000u);
    return (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
}

// e^r - 1 for |r| ≤ ½ log 2
BLAS_INLINE float blas_expm1_small(float r)
{
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * (r * r) + r;
}

// Beyond -104 … 89 the result is 0 or infinity. The power of 2 is applied in two steps: the first
// is always a normal number, the second rounds once, into the subnormal numbers too.
BLAS_INLINE float blas_expf(float x)
{
    int32_t n;
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    const float p = blas_expm1_small(blas_reduce_exp(x, &n)) + 1.0f;
    const int32_t half = n >> 1;
    return p * blas_power_of_2(half) * blas_power_of_2(n - half);
}

// e^x - 1 = 2 (2^(n-1) q + (2^(n-1) - ½)), q = e^r - 1
BLAS_INLINE float blas_expm1f(float x)
{
    int32_t n;
    const float original = x;
    x = x < -18.0f ? -18.0f : x; // -1 to all bits
    x = x > 89.0f ? 89.0f : x;
    const float q = blas_expm1_small(blas_reduce_exp(x, &n));
    const float half = blas_power_of_2(n - 1);
    const float y = 2.0f * (half * q + (half - 0.5f));
    return fabsf(original) < 1e-7f ? original : y; // keeps -0 and subnormal numbers
}

// x = m 2^e with m in √½ … √2:  log x = log m + e log 2
BLAS_INLINE float blas_logf(float x)
{
    const float tiny = 1.17549435e-38f; // the smallest normal number
    const bool small = x < tiny;
    const float scaled = small ? x * 8388608.0f : x; // 2^23
    // Bits of √½ come off before the exponent is cut out, so that m lies around 1.
    const uint32_t bits = tn_f32_bits(scaled) - 0x3F3504F3u;
    const float e = (float)((int32_t)bits >> 23) - (small ? 23.0f : 0.0f);
    const float f = tn_f32_from_bits((bits & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f, z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    float y = p * f * z + e * -2.12194440e-4f;
    y = y - 0.5f * z;
    y = (f + y) + e * 0.693359375f;
    y = x == 0.0f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x <= 3.40282347e38f ? y : x; // infinity and NaN; a negative x has its NaN already
}

// log(1 + x): log u of the rounded u = 1 + x, and what the rounding lost, (x - (u - 1)) / u.
BLAS_INLINE float blas_log1pf(float x)
{
    const float u = 1.0f + x, log_u = blas_logf(u);
    const float y = log_u + (x - (u - 1.0f)) / u;
    const float near = u == 1.0f ? x : y, above = u > 0.0f ? near : log_u;
    return u > 3.40282347e38f ? log_u : above;
}

// Below 0.625 a polynomial, above 1 - 2 / (e^2|x| + 1).
BLAS_INLINE float blas_tanhf(float x)
{
    const float a = fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float small = p * z * x + x;
    const float large = 1.0f - 2.0f / (blas_expf(2.0f * a) + 1.0f);
    return copysignf(a < 0.625f ? small : large, x);
}

// 1 / (1 + e^-x), with the exponential of -|x|, which cannot overflow.
BLAS_INLINE float blas_sigmoidf(float x)
{
    const float z = blas_expf(-fabsf(x));
    return (x < 0.0f ? z : 1.0f) / (1.0f + z);
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
BLAS_INLINE float blas_softreluf(float x)
{
    const float rest = blas_log1pf(blas_expf(-fabsf(x)));
    return (x > 0.0f ? x : 0.0f) + rest;
}

// ------------------------------------------------------------------ by way of double
//
// Where float arithmetic would lose too much, double has bits to spare: the results are rounded
// once, and the series may be short. Those of sine, cosine and e^x are Taylor's, that of the
// logarithm is 2 artanh s, s = (m - 1) / (m + 1).

BLAS_INLINE double blas_double_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

BLAS_INLINE uint64_t blas_bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

#define BLAS_ROUND_DOUBLE \
    6755399441055744.0 // 1.5 · 2^52: leaves the nearest integer in the low bits

// artanh s for |s| ≤ 0.1716, which is (√2 - 1) / (√2 + 1).
BLAS_INLINE double blas_artanh_small(double s)
{
    const double z = s * s;
    double p = 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    return p * z * s + s;
}

// a = m 2^e with m in √½ … √2, for normal numbers.
BLAS_INLINE double blas_mantissa(double a, double *e)
{
    const uint64_t bits = blas_bits_of(a) - 0x3FE6A09E667F3BCDu; // bits of √½
    *e = (double)(int32_t)((int64_t)bits >> 52);
    return blas_double_of((bits & 0x000FFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu);
}

// log₂ |x| for floats, which are all normal numbers as doubles.
BLAS_INLINE double blas_log2_abs(double x)
{
    const double a = fabs(x);
    double e;
    const double m = blas_mantissa(a, &e), s = (m - 1) / (m + 1);
    const double log2 = e + blas_artanh_small(s) * 2.8853900817779268; // 2 / log 2
    const double ends = a == 0 ? -(double)INFINITY : a;                // infinity and NaN
    return a == 0 || !(a < (double)INFINITY) ? ends : log2;
}

// 2^t for |t| ≤ 1022
BLAS_INLINE double blas_exp2_within(double t)
{
    const double shifted = t + BLAS_ROUND_DOUBLE, whole = shifted - BLAS_ROUND_DOUBLE;
    const double r = (t - whole) * 0.69314718055994531;
    double p = 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1;
    p = p * r + 1;
    return p * blas_double_of((blas_bits_of(shifted) + 1023) << 52);
}

// 2^t; beyond ±200 it is 0 or infinity as a float.
BLAS_INLINE double blas_exp2_double(double t)
{
    t = t < -200 ? -200 : t;
    t = t > 200 ? 200 : t;
    return blas_exp2_within(t);
}

// As pow of <math.h>: 1 for y = 0 and for x = 1, NaN for a finite negative x unless y is
// whole.
BLAS_INLINE float blas_powf(float x, float y)
{
    const float half = 0.5f * y;
    const double t = (double)y * blas_log2_abs((double)x);
    const float size = (float)blas_exp2_double(fabsf(x) == 1.0f ? 0.0 : t);
    const bool whole = truncf(y) == y, odd = whole & (truncf(half) != half);
    const float sign = copysignf(1.0f, x) < 0.0f && odd ? -1.0f : 1.0f;
    const bool none = (x < 0.0f) & (x > -INFINITY) & !whole;
    const float signless = none ? NAN : sign * size;
    return y == 0.0f || x == 1.0f ? 1.0f : signless;
}

BLAS_INLINE float blas_cbrtf(float x)
{
    const double t = blas_log2_abs((double)x) * (1.0 / 3);
    return copysignf((float)blas_exp2_double(t), x);
}

// Squares of floats neither overflow nor vanish as doubles. Infinity wins over NaN.
BLAS_INLINE float blas_hypotf(float x, float y)
{
    const double a = (double)x, b = (double)y;
    const bool endless = (fabsf(x) == INFINITY) | (fabsf(y) == INFINITY);
    const float v = (float)sqrt(a * a + b * b);
    return endless ? INFINITY : v;
}

// Up to here sine and its kin are computed as below, beyond by the C library.
#define BLAS_TURNS 1e6f

// Sine and cosine of r, |r| ≤ π / 4.
BLAS_INLINE double blas_sin_small(double r)
{
    const double z = r * r;
    double p = 1.0 / 6227020800;
    p = p * z - 1.0 / 39916800;
    p = p * z + 1.0 / 362880;
    p = p * z - 1.0 / 5040;
    p = p * z + 1.0 / 120;
    p = p * z - 1.0 / 6;
    return p * z * r + r;
}

BLAS_INLINE double blas_cos_small(double r)
{
    const double z = r * r;
    double p = -1.0 / 87178291200;
    p = p * z + 1.0 / 479001600;
    p = p * z - 1.0 / 3628800;
    p = p * z + 1.0 / 40320;
    p = p * z - 1.0 / 720;
    p = p * z + 1.0 / 24;
    p = p * z - 0.5;
    return p * z + 1;
}

// x = n π/2 + r. The first part of π/2 has 32 bits, so that its multiples are exact.
BLAS_INLINE double blas_quarter(float x, uint64_t *n)
{
    const double v = (double)x, shifted = v * 0.63661977236758134 + BLAS_ROUND_DOUBLE;
    const double whole = shifted - BLAS_ROUND_DOUBLE;
    *n = blas_bits_of(shifted);
    return (v - whole * 1.5707963267341256) - whole * 6.0771005065061922e-11;
}

// Sine of x + quarters π/2.
BLAS_INLINE float blas_sine(float x, uint64_t quarters)
{
    uint64_t n;
    const double r = blas_quarter(x, &n);
    n += quarters;
    const double y = n & 1 ? blas_cos_small(r) : blas_sin_small(r);
    return x == 0.0f && quarters == 0 ? x : (float)(n & 2 ? -y : y);
}

BLAS_INLINE float blas_tangent(float x)
{
    uint64_t n;
    const double r = blas_quarter(x, &n);
    const double s = blas_sin_small(r), c = blas_cos_small(r);
    return x == 0.0f ? x : (float)(n & 1 ? -c / s : s / c);
}

#endif
