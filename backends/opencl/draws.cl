// backends/opencl/draws.cl: the draws of <tenon/draws.h>: element i owns the blocks i, i + 2^40,
// i + 2 2^40 ...  D is double, or where the device has none and categories are drawn, float.
enum { MOST_TRIALS = 1000 };

typedef struct draws {
    ulong key, counter, block;
    uint4 w;
    int left; // words of w that are not used yet
} draws;

draws draws_of(ulong key, ulong counter, ulong i)
{
    draws d;
    d.key = key;
    d.counter = counter;
    d.block = i;
    d.left = 0;
    return d;
}

// Uniform in (0, 1): 52 bits and a half.
D draws_next(draws *d)
{
    if (d->left == 0) {
        d->w = block_of(d->key, d->counter, d->block);
        d->block += (ulong)1 << 40;
        d->left = 4;
    }
    const ulong bits = d->left == 4 ? (ulong)d->w.x << 32 | d->w.y : (ulong)d->w.z << 32 | d->w.w;
    d->left -= 2;
    return ((D)(bits >> 12) + (D)DC(0.5)) * (D)DC(2.220446049250313e-16);
}

#ifdef DRAWS_REJECT
D draws_normal(draws *d)
{
    const D u = draws_next(d), v = draws_next(d);
    return sqrt(-2 * log(u)) * cos(6.28318530717958647693 * v);
}

// Marsaglia and Tsang, as in <tenon/draws.h>.
D draw_gamma(ulong key, ulong counter, ulong i, D alpha)
{
    draws of = draws_of(key, counter, i);
    if (!(alpha > 0) || isinf(alpha)) return alpha > 0 ? alpha : (D)NAN;
    const D factor = alpha < 1 ? exp(log(draws_next(&of)) / alpha) : 1;
    const D d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / (3 * sqrt(d));
    for (int n = 0; n < MOST_TRIALS; n++) {
        const D x = draws_normal(&of), t = c * x;
        if (t <= -1) continue;
        const D log_u = log(draws_next(&of));
        const D rest = 3 * log1p(t) - t * (3 + t * (3 + t));
        if (log_u < 0.5 * x * x + d * rest) return d * (1 + t) * (1 + t) * (1 + t) * factor;
    }
    return d * factor;
}

D log_poisson(D k, D lam)
{
    if (k < 10) {
        D factorial = 1;
        for (int i = 2; i <= (int)k; i++) factorial *= i;
        return k * log(lam) - lam - log(factorial);
    }
    const D t = (lam - k) / k, r = 1 / (k * k);
    const D series = (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r / 1680))) / k;
    return k * (log1p(t) - t) - 0.5 * log(6.28318530717958647693 * k) - series;
}

D invert_poisson(D u, D lam)
{
    D k = 0, p = exp(-lam), sum = p;
    while (u > sum) {
        k++;
        p *= lam / k;
        if (sum + p == sum) break;
        sum += p;
    }
    return k;
}

// Hoermann's PTRS, below 10 by inversion, as in <tenon/draws.h>.
D draw_poisson(ulong key, ulong counter, ulong i, D lam)
{
    draws of = draws_of(key, counter, i);
    if (!(lam >= 0) || isinf(lam)) return lam > 0 ? lam : (D)NAN;
    if (lam == 0) return 0;
    if (lam < 10) return invert_poisson(draws_next(&of), lam);
    const D b = 0.931 + 2.53 * sqrt(lam), a = -0.059 + 0.02483 * b;
    const D inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
    for (int n = 0; n < MOST_TRIALS; n++) {
        const D u = draws_next(&of) - 0.5, v = draws_next(&of);
        const D us = 0.5 - fabs(u), k = floor((2 * a / us + b) * u + lam + 0.43);
        if (us >= 0.07 && v <= v_r) return k;
        if (k < 0 || (us < 0.013 && v > us)) continue;
        const D log_v = log(v * inverse_alpha / (a / (us * us) + b));
        if (log_v <= log_poisson(k, lam)) return k;
    }
    return floor(lam);
}

__kernel void _standard_gamma(IN(x), OUT(y), const ulong key, const ulong counter, const int n)
{
    GET(T0, x);
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i < n) ST0(y, i, (A)draw_gamma(key, counter, i, LD0(x, i)));
}

__kernel void _poisson(IN(x), OUT(y), const ulong key, const ulong counter, const int n)
{
    GET(T0, x);
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i < n) ST0(y, i, (A)draw_poisson(key, counter, i, LD0(x, i)));
}
#else
D weight(D p)
{
    return p > 0 ? p : 0;
}

// Rows of n weights, `draws` categories drawn from each: the first whose weight and those before it
// are together more than u of all. Logarithms of the weights too, if with_log.
__kernel void multinomial(IN(x), OUT(y), OUT(logs), const ulong key, const ulong counter,
                          const int size, const int n, const int of_row, const int with_log)
{
    GET(T0, x);
    PUT(T1, y);
    PUT(T2, logs);
    const int i = (int)get_global_id(0);
    if (i >= size) return;
    const int row = i / of_row * n;
    draws d = draws_of(key, counter, i);
    const D u = draws_next(&d);
    D total = 0, sum = 0;
    int chosen = n - 1;
    for (int j = 0; j < n; j++) total += weight(LD0(x, row + j));
    for (int j = 0; j < n; j++) {
        const D p = weight(LD0(x, row + j));
        if (p > 0) chosen = j;
        sum += p;
        if (sum > u * total) break;
    }
    ST1(y, i, chosen);
    if (with_log) ST2(logs, i, log(LD0(x, row + chosen)));
}
#endif
