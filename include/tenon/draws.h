// tenon/draws.h: draws that reject: gamma and Poisson numbers, made of the blocks of Philox.
//
// Element i of a run owns the blocks i, i + 2^40, i + 2 · 2^40 …, as many as it needs, so it can be
// drawn alone, by any thread of any backend, and all agree up to what their exp and log differ by.
// All is computed in double, whatever the dtype: a narrow result is the wide one, rounded.
// Static inline; C11 and C++11.
#ifndef TENON_DRAWS_H
#define TENON_DRAWS_H

#include <tenon/philox.h>

// No loop draws more often. Each trial succeeds with a probability above 1/2.
#define TN_MOST_TRIALS 1000

// The random numbers of one element, in order.
typedef struct tn_draws {
    uint64_t key, counter, block;
    uint32_t w[4];
    int left; // words of w that are not used yet
} tn_draws;

static inline tn_draws tn_draws_of(uint64_t key, uint64_t counter, uint64_t i)
{
    tn_draws d;
    d.key = key;
    d.counter = counter;
    d.block = i;
    d.left = 0;
    return d;
}

// Uniform in (0, 1), never an end: 52 bits and a half.
static inline double tn_draws_next(tn_draws *d)
{
    if (d->left == 0) {
        tn_philox_block(d->key, d->counter, d->block, d->w);
        d->block += (uint64_t)1 << 40;
        d->left = 4;
    }
    d->left -= 2;
    const uint64_t bits = (uint64_t)d->w[2 - d->left] << 32 | d->w[3 - d->left];
    return ((double)(bits >> 12) + 0.5) * 2.220446049250313e-16; // 2^-52
}

// Standard normal. Source: Box, Muller, 1958; as tn_philox_box_muller().
static inline double tn_draws_normal(tn_draws *d)
{
    const double u = tn_draws_next(d), v = tn_draws_next(d);
    return sqrt(-2.0 * log(u)) * cos(6.28318530717958647693 * v);
}

// A number of the gamma distribution with this shape and scale 1; NaN unless alpha > 0.
//
// d v with v = (1 + c x)³, x normal, is accepted if log u < x²/2 + d (1 - v + log v). Below 1 the
// draw for alpha + 1 is multiplied by u^(1/alpha).
// Source: Marsaglia, Tsang, "A simple method for generating gamma variables", 2000.
static inline double tn_draw_gamma(uint64_t key, uint64_t counter, uint64_t i, double alpha)
{
    tn_draws draws = tn_draws_of(key, counter, i);
    if (!(alpha > 0) || isinf(alpha)) return alpha > 0 ? alpha : (double)NAN;
    const double factor = alpha < 1 ? exp(log(tn_draws_next(&draws)) / alpha) : 1;
    const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / (3 * sqrt(d));
    for (int n = 0; n < TN_MOST_TRIALS; n++) {
        const double x = tn_draws_normal(&draws), t = c * x;
        if (t <= -1) continue;
        const double log_u = log(tn_draws_next(&draws));
        // log v - (v - 1), exact also where v is almost 1
        const double rest = 3 * log1p(t) - t * (3 + t * (3 + t));
        if (log_u < 0.5 * x * x + d * rest) return d * (1 + t) * (1 + t) * (1 + t) * factor;
    }
    return d * factor; // not reached but by a broken generator
}

// log(lam^k exp(-lam) / k!) for whole k >= 0: a table of k!, from 10 on Stirling's series.
static inline double tn_log_poisson(double k, double lam)
{
    static const double factorial[] = {1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880};
    if (k < 10) return k * log(lam) - lam - log(factorial[(int)k]);
    const double t = (lam - k) / k, r = 1 / (k * k);
    const double series = (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r / 1680))) / k;
    return k * (log1p(t) - t) - 0.5 * log(6.28318530717958647693 * k) - series;
}

// The smallest k with P(X <= k) >= u, by adding up.
static inline double tn_invert_poisson(double u, double lam)
{
    double k = 0, p = exp(-lam), sum = p;
    while (u > sum) {
        k++;
        p *= lam / k;
        if (sum + p == sum) break; // what is left is less than a rounding error
        sum += p;
    }
    return k;
}

// A number of the Poisson distribution with this mean; NaN unless lam >= 0.
//
// Below 10 by inversion, otherwise by rejection from a hat of a transformed uniform.
// Source: Hörmann, "The transformed rejection method for generating Poisson random variables",
// 1993, algorithm PTRS.
static inline double tn_draw_poisson(uint64_t key, uint64_t counter, uint64_t i, double lam)
{
    tn_draws draws = tn_draws_of(key, counter, i);
    if (!(lam >= 0) || isinf(lam)) return lam > 0 ? lam : (double)NAN;
    if (lam == 0) return 0;
    if (lam < 10) return tn_invert_poisson(tn_draws_next(&draws), lam);
    const double b = 0.931 + 2.53 * sqrt(lam), a = -0.059 + 0.02483 * b;
    const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
    for (int n = 0; n < TN_MOST_TRIALS; n++) {
        const double u = tn_draws_next(&draws) - 0.5, v = tn_draws_next(&draws);
        const double us = 0.5 - fabs(u), k = floor((2 * a / us + b) * u + lam + 0.43);
        if (us >= 0.07 && v <= v_r) return k;
        if (k < 0 || (us < 0.013 && v > us)) continue;
        const double log_v = log(v * inverse_alpha / (a / (us * us) + b));
        if (log_v <= tn_log_poisson(k, lam)) return k;
    }
    return floor(lam); // not reached but by a broken generator
}

#endif
