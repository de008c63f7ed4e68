// tenon/scalar.h: the vocabulary of <tenon/elementwise.h> over double and int64_t, for backends in
// C.
//
// Include it in the one file that expands the rows: it defines short names such as gt and sign.
// Whole numbers never trap: division by 0 is 0, and INT64_MIN / -1 wraps (build with -fwrapv).
#ifndef TENON_SCALAR_H
#define TENON_SCALAR_H

#include <math.h>
#include <tenon/kernel.h>

#define C(number) (number)

static inline double rsqrt(double x)
{
    return 1 / sqrt(x);
}

// The logarithmic derivative of gamma. Below 10: by reflection and recurrence; above: asymptotic
// series. Source: Abramowitz, Stegun, 6.3.5, 6.3.7, 6.3.18.
static inline double digamma(double x)
{
    const double pi = 3.14159265358979323846;
    double sum = 0;
    if (x <= 0) {
        if (x == floor(x)) return NAN; // a pole
        sum = -pi / tan(pi * x);
        x = 1 - x;
    }
    for (; x < 10; x++) sum -= 1 / x;
    const double r = 1 / (x * x);
    const double series =
        r *
        (1.0 / 12 -
         r * (1.0 / 120 -
              r * (1.0 / 252 - r * (1.0 / 240 - r * (1.0 / 132 - r * (691.0 / 32760 - r / 12))))));
    return sum + log(x) - 0.5 / x - series;
}

// The y with erf(y) = x. From an elementary approximation (within 2e-3) by Halley's iteration,
// whose error is cubed in each step. Beyond 1/2 it goes by erfc and 1 - |x|, which keep all digits.
// Source of the approximation: S. Winitzki, A handy approximation for the error function, 2008.
static inline double erfinv(double x)
{
    const double a = fabs(x), b = 0.147, pi = 3.14159265358979323846;
    if (!(a < 1)) return a == 1 ? copysign(INFINITY, x) : NAN;
    const double l = log((1 - a) * (1 + a)), t = 2 / (pi * b) + l / 2;
    double y = sqrt(sqrt(t * t - l / b) - t);
    for (int i = 0; i < 3; i++) {
        const double off = a < 0.5 ? erf(y) - a : (1 - a) - erfc(y);
        const double r = off * 0.88622692545275801365 * exp(y * y);
        y -= r / (1 + y * r);
    }
    return copysign(y, x);
}

static inline double pymod_real(double a, double b)
{
    if (b == 0) return 0;
    const double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static inline int64_t pymod_int(int64_t a, int64_t b)
{
    if (b == 0 || b == -1) return 0; // INT64_MIN % -1 traps
    const int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static inline int64_t quotient_int(int64_t a, int64_t b)
{
    if (b == 0) return 0;
    return b == -1 ? -a : a / b; // INT64_MIN / -1 traps
}

// Negative powers are fractions, which become 0, except those of 1 and -1.
static inline int64_t pow_int(int64_t a, int64_t b)
{
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    int64_t y = 1;
    for (; b; b /= 2, a *= a)
        if (b % 2) y *= a;
    return y;
}

static inline int64_t hypot_int(int64_t a, int64_t b)
{
    return tn_saturate(hypot((double)a, (double)b), 0, INT64_MAX);
}

// Used by both types of number.
#define square(x) ((x) * (x))
#define sign(x) (((x) > 0) - ((x) < 0))
#define gt(a, b) ((a) > (b))
#define ge(a, b) ((a) >= (b))
#define lt(a, b) ((a) < (b))
#define le(a, b) ((a) <= (b))
#define eq(a, b) ((a) == (b))
#define ne(a, b) ((a) != (b))

#endif
