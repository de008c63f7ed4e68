// backends/blas/blas_special.h: error functions, gamma functions, inverse and hyperbolic functions
// of floats, in double, as straight lines of arithmetic that compilers vectorise.
//
// Arguments are floats, as doubles; relative errors are below 1e-10, so that a result, rounded once
// to float, is within 0.51 units in the last place. Polynomials whose source is not named were
// fitted for these files: the smallest largest relative error over the interval that is given.
#ifndef TENON_BLAS_SPECIAL_H
#define TENON_BLAS_SPECIAL_H

#include "blas_math.h"

#define BLAS_PI 3.14159265358979324
#define BLAS_LOG_2 0.69314718055994531
#define BLAS_ENDLESS ((double)INFINITY)

// ------------------------------------------------------------------ exponentials, logarithms

// e^x, exactly 0 and infinity beyond what a product with a float can bring back.
BLAS_INLINE double blas_exp_double(double x)
{
    const double t = x * 1.4426950408889634;
    double in = t < -1000 ? -1000 : t;
    in = in > 1000 ? 1000 : in;
    const double y = blas_exp2_within(in);
    const double high = t > 1000 ? BLAS_ENDLESS : y;
    return t < -1000 ? 0 : high;
}

// log |x|
BLAS_INLINE double blas_log_double(double x)
{
    return blas_log2_abs(x) * BLAS_LOG_2;
}

// log₂ x: NaN for negative x.
BLAS_INLINE double blas_log2_double(double x)
{
    const double y = blas_log2_abs(x);
    return x < 0 ? (double)NAN : y;
}

// log(1 + v) for v ≥ -1: what 1 + v loses is kept where it counts, around 1.
BLAS_INLINE double blas_log1p_double(double v)
{
    const double u = 1 + v;
    double e;
    const double m = blas_mantissa(u, &e), f = e == 0 ? v : m - 1;
    const double y = 2 * blas_artanh_small(f / (2 + f)) + e * BLAS_LOG_2;
    const double ends = u == 0 ? -BLAS_ENDLESS : u; // infinity and NaN
    return u == 0 || !(u < BLAS_ENDLESS) ? ends : y;
}

// (e^|x| - e^-|x|) / 2 with the sign of x; it is x where their difference would lose digits.
BLAS_INLINE double blas_sinh_double(double x)
{
    const double a = fabs(x), e = blas_exp_double(a), y = 0.5 * (e - 1 / e);
    return a < 1e-5 ? x : copysign(y, x);
}

BLAS_INLINE double blas_cosh_double(double x)
{
    const double e = blas_exp_double(fabs(x));
    return 0.5 * (e + 1 / e);
}

// log(a + √(a² + 1)) as log(1 + v)
BLAS_INLINE double blas_arcsinh_double(double x)
{
    const double a = fabs(x), v = a + a * a / (sqrt(a * a + 1) + 1);
    const double y = blas_log1p_double(v);
    return copysign(a < BLAS_ENDLESS ? y : a, x);
}

// log(x + √(x² - 1)), likewise
BLAS_INLINE double blas_arccosh_double(double x)
{
    const double d = x - 1, v = d + sqrt(d * (x + 1)), y = blas_log1p_double(v);
    return x < 1 ? (double)NAN : y;
}

BLAS_INLINE double blas_arctanh_double(double x)
{
    const double a = fabs(x), y = 0.5 * blas_log1p_double(2 * a / (1 - a));
    return a > 1 ? (double)NAN : copysign(y, x);
}

// ------------------------------------------------------------------ inverse tangent and its kin

// The angle whose tangent is y / x, for y ≥ 0, x ≥ 0: brought to |tangent| ≤ √2 - 1 by taking off
// π/4 or π/2; there a polynomial in its square (error 3e-11).
BLAS_INLINE double blas_angle(double y, double x)
{
    const bool high = y > 2.4142135623730951 * x, middle = y > 0.41421356237309503 * x;
    const double up = high ? -x : middle ? y - x : y, down = high ? y : middle ? y + x : x;
    const double base = high ? BLAS_PI / 2 : middle ? BLAS_PI / 4 : 0;
    const double q = up / down, z = q * q;
    double p = 0.047073481419680201;
    p = p * z - 0.084561928869404959;
    p = p * z + 0.11040489227218241;
    p = p * z - 0.14281588772654125;
    p = p * z + 0.19999883856551304;
    p = p * z - 0.33333332097609386;
    p = p * z + 0.99999999997839872;
    return p * q + base;
}

BLAS_INLINE double blas_arctan_double(double x)
{
    return copysign(blas_angle(fabs(x), 1), x);
}

BLAS_INLINE double blas_arcsin_double(double x)
{
    const double a = fabs(x);
    return copysign(blas_angle(a, sqrt((1 - a) * (1 + a))), x);
}

BLAS_INLINE double blas_arccos_double(double x)
{
    const double a = fabs(x), y = blas_angle(sqrt((1 - a) * (1 + a)), a);
    return x < 0 ? BLAS_PI - y : y;
}

// ------------------------------------------------------------------ error functions

// erfc a for a ≥ 0: (1 + 2a) e^(a²) erfc a is smooth, a polynomial in t = (a - 3.5) / (a + 3.5)
// up to a = 10.6 (error 2e-11); beyond, results are below 1e-50 and it is not needed exactly.
// Source of the form: M. Shepherd, J. Laframboise, Chebyshev approximation of (1 + 2x) exp(x²)
// erfc x, 1981.
BLAS_INLINE double blas_erfc_double(double a)
{
    const double c = a < 10.6 ? a : 10.6, t = (c - 3.5) / (c + 3.5);
    double p = -2.91306307942999e-06;
    p = p * t - 7.6088327034377989e-05;
    p = p * t - 0.00012120354921732857;
    p = p * t + 0.00058717080895627006;
    p = p * t - 0.00029361690173547369;
    p = p * t - 0.0042203700123341192;
    p = p * t + 0.019096182554163711;
    p = p * t - 0.048822818590123822;
    p = p * t + 0.087983587341800354;
    p = p * t - 0.11508961458358401;
    p = p * t + 0.097519071314500563;
    p = p * t - 0.010555596256308912;
    p = p * t - 0.1400091797683648;
    p = p * t + 1.2423492448711293;
    return p * blas_exp_double(-a * a) / (1 + 2 * c);
}

// erf x for |x| ≤ ½: x times a polynomial in x² (error 2e-11).
BLAS_INLINE double blas_erf_small(double x)
{
    const double z = x * x;
    double p = -0.00076945342791423076;
    p = p * z + 0.0052004137243354927;
    p = p * z - 0.026863143032249386;
    p = p * z + 0.11283774013179539;
    p = p * z - 0.37612638525650693;
    p = p * z + 1.1283791670824095;
    return p * x;
}

BLAS_INLINE double blas_erf_double(double x)
{
    const double a = fabs(x), small = blas_erf_small(x), large = 1 - blas_erfc_double(a);
    return a < 0.5 ? small : copysign(large, x);
}

// One step of erfinv of <tenon/scalar.h> towards erf y = a.
BLAS_INLINE double blas_erfinv_step(double y, double a)
{
    const double small = blas_erf_small(y) - a, large = (1 - a) - blas_erfc_double(y);
    const double r = (y < 0.5 ? small : large) * 0.88622692545275801 * blas_exp_double(y * y);
    return y - r / (1 + y * r);
}

// As <tenon/scalar.h> has it; two steps are enough for a float. (gcc 12 leaves loops over it
// scalar.)
BLAS_INLINE double blas_erfinv_double(double x)
{
    const double a = fabs(x), b = 0.147;
    const double l = blas_log_double((1 - a) * (1 + a)), t = 2 / (BLAS_PI * b) + l / 2;
    double y = sqrt(sqrt(t * t - l / b) - t);
    y = blas_erfinv_step(y, a);
    y = blas_erfinv_step(y, a);
    return copysign(a < 1 ? y : 1 / sqrt(1 - a), x); // infinity at 1, NaN beyond
}

// The normal distribution: its function and its density.
BLAS_INLINE double blas_normal_double(double x)
{
    const double half = 0.5 * blas_erfc_double(fabs(x) * 0.70710678118654752);
    return x < 0 ? half : 1 - half;
}

BLAS_INLINE double blas_density_double(double x)
{
    return 0.39894228040143268 * blas_exp_double(-0.5 * x * x);
}

// ------------------------------------------------------------------ gamma functions

// z = x + k ≥ 8 with a whole k ≥ 0; p = x (x + 1) … (z - 1), which is Γ(z) / Γ(x), and d = dp / dx.
BLAS_INLINE double blas_climb(double x, double *p, double *d)
{
    double z = x;
    *p = 1, *d = 0;
    for (int k = 0; k < 8; k++) {
        const bool low = z < 8;
        *d = low ? *d * z + *p : *d;
        *p = low ? *p * z : *p;
        z = low ? z + 1 : z;
    }
    return z;
}

// log Γ(z) for z ≥ 8. Source of the series: Abramowitz, Stegun, 6.1.41.
BLAS_INLINE double blas_stirling(double z)
{
    const double r = 1 / (z * z);
    double p = -1.0 / 1188;
    p = p * r + 1.0 / 1680;
    p = -p * r + 1.0 / 1260;
    p = -p * r + 1.0 / 360;
    p = -p * r + 1.0 / 12;
    return (z - 0.5) * (blas_log_double(z) - 1) + (0.41893853320467274 + p / z);
}

// x - n for the nearest whole n; bit 0 of *bits is n's.
BLAS_INLINE double blas_off_whole(double x, uint64_t *bits)
{
    const double shifted = x + BLAS_ROUND_DOUBLE;
    *bits = blas_bits_of(shifted);
    return x - (shifted - BLAS_ROUND_DOUBLE);
}

// Sine and cosine of π r, |r| ≤ ½.
BLAS_INLINE double blas_sin_pi(double r)
{
    const double a = fabs(r), c = blas_cos_small(BLAS_PI * (0.5 - a));
    const double s = blas_sin_small(BLAS_PI * a);
    return copysign(a <= 0.25 ? s : c, r);
}

BLAS_INLINE double blas_cos_pi(double r)
{
    const double a = fabs(r), s = blas_sin_small(BLAS_PI * (0.5 - a));
    const double c = blas_cos_small(BLAS_PI * a);
    return a <= 0.25 ? c : s;
}

// Γ(x); below 0 it is π / (sin πx Γ(1 - x)), NaN at whole numbers.
BLAS_INLINE double blas_gamma_double(double x)
{
    double p, d;
    uint64_t bits;
    const double z = blas_climb(x < 0 ? 1 - x : x, &p, &d), r = blas_off_whole(x, &bits);
    const double y = blas_exp_double(blas_stirling(z)) / p;
    const double sine = blas_double_of(blas_bits_of(blas_sin_pi(r)) ^ bits << 63);
    const double below = r == 0 ? (double)NAN : BLAS_PI / (sine * y);
    const double turned = x < 0 ? below : y, up = x == BLAS_ENDLESS ? x : turned;
    return x == 0 ? 1 / x : up;
}

// log Γ(x) for x ≥ 0. From ½ to 2.5 it goes around 2, d = x - 2 or x + 1 - 2: d times a polynomial
// in d (error 8e-12), so that it keeps its digits around 1 and 2, where it is 0.
BLAS_INLINE double blas_gammaln_double(double x)
{
    double climbed, unused;
    const double z = blas_climb(x, &climbed, &unused), d = x - (x < 1.5 ? 1 : 2);
    const bool middle = x >= 0.5 && x < 2.5;
    double p = 2.4154595381278688e-05;
    p = p * d - 5.278721858454867e-05;
    p = p * d + 9.8396976431908687e-05;
    p = p * d - 0.00022086982602425632;
    p = p * d + 0.00050980915803135272;
    p = p * d - 0.0011930547050406706;
    p = p * d + 0.0028905020821439896;
    p = p * d - 0.0073855332612880083;
    p = p * d + 0.020580808605237744;
    p = p * d - 0.067352301435415068;
    p = p * d + 0.32246703342349659;
    p = p * d + 0.42278433509979529;
    const double shift = middle ? (x < 1.5 ? x : 1) : climbed;
    const double y = (middle ? p * d : blas_stirling(z)) - blas_log_double(shift);
    return x == BLAS_ENDLESS ? x : y;
}

// The logarithmic derivative of Γ. Source of the series: Abramowitz, Stegun, 6.3.18.
BLAS_INLINE double blas_digamma_double(double x)
{
    double p, d;
    uint64_t bits;
    const double off = blas_off_whole(x, &bits);
    const double turn = BLAS_PI * blas_cos_pi(off) / blas_sin_pi(off);
    const double z = blas_climb(x > 0 ? x : 1 - x, &p, &d), r = 1 / (z * z);
    double s = -1.0 / 12;
    s = s * r + 691.0 / 32760;
    s = -s * r + 1.0 / 132;
    s = -s * r + 1.0 / 240;
    s = -s * r + 1.0 / 252;
    s = -s * r + 1.0 / 120;
    s = -s * r + 1.0 / 12;
    const double y = blas_log_double(z) - 0.5 / z - s * r - d / p;
    const double below = off == 0 ? (double)NAN : y - turn;
    return x > 0 ? y : below;
}

#endif
