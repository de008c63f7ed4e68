// backends/opencl/norm.cl: BatchNorm and LRN. Data are (outer, channels,
// inner); a channel has n = outer * inner elements. Statistics are those of the
// batch where `train` is set.
#define CHANNEL_AT(c, i) (((i) / inner * channels + (c)) * inner + (i) % inner)

#ifdef NORM_BATCH
#ifndef NORM_PLANES
// Partial sums of a channel, elements part, part + parts, ... : of x, or where
// `about` is set of the squares of its distances from the mean.
__kernel void moment_parts(IN(x), IN(mean), OUT(part), const int channels, const int inner,
                           const int n, const int parts, const int about, const int train)
{
    GET(T0, x);
    GET(T1, mean);
    PUT(A, part);
    const int id = (int)get_global_id(0);
    if (!train || id >= channels * parts) return;
    const int c = id / parts;
    const A m = about ? LD1(mean, c) : (A)0;
    A sum = 0;
    for (int i = id - c * parts; i < n; i += parts) {
        const A v = LD0(x, CHANNEL_AT(c, i)) - m;
        sum += about ? v * v : v;
    }
    part[id] = sum;
}
#endif

// The moment of a channel: of the parts, or the moving one.
__kernel void moment(IN(part), IN(moving), OUT(to), const int channels, const int n,
                     const int parts, const int train)
{
    GET(A, part);
    GET(T1, moving);
    PUT(T1, to);
    const int c = (int)get_global_id(0);
    if (c >= channels) return;
    A sum = 0;
    for (int i = 0; train && i < parts; i++) sum += part[c * parts + i];
    ST1(to, c, train ? sum / n : LD1(moving, c));
}

#ifndef NORM_PLANES
// y = gamma (x - mean) / sqrt(var + eps) + beta
__kernel void normalise(IN(x), IN(gamma), IN(beta), IN(mean), IN(var), OUT(y), const int channels,
                        const int inner, const int size, const A eps, const int fix_gamma)
{
    GET(T0, x);
    GET(T1, gamma);
    GET(T1, beta);
    GET(T1, mean);
    GET(T1, var);
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i >= size) return;
    const int c = i / inner % channels;
    const A scale = (fix_gamma ? (A)1 : LD1(gamma, c)) / sqrt(LD1(var, c) + eps);
    ST0(y, i, (LD0(x, i) - LD1(mean, c)) * scale + LD1(beta, c));
}

// Partial sums of dy and of dy * (x - mean) / sqrt(var + eps).
__kernel void gradient_parts(IN(dy), IN(x), IN(mean), IN(var), OUT(part), const int channels,
                             const int inner, const int n, const int parts, const A eps)
{
    GET(T0, dy);
    GET(T0, x);
    GET(T1, mean);
    GET(T1, var);
    PUT(A, part);
    const int id = (int)get_global_id(0);
    if (id >= channels * parts) return;
    const int c = id / parts;
    const A m = LD1(mean, c), r = 1 / sqrt(LD1(var, c) + eps);
    A sum = 0, product = 0;
    for (int i = id - c * parts; i < n; i += parts) {
        const int e = CHANNEL_AT(c, i);
        const A g = LD0(dy, e);
        sum += g;
        product += g * (LD0(x, e) - m) * r;
    }
    part[2 * id] = sum;
    part[2 * id + 1] = product;
}
#endif

// Totals of a channel, into the first place of its parts and the outputs; moves
// the states.
__kernel void gradient(OUT(part), IN(mean), IN(var), OUT(moving_mean), OUT(moving_var), OUT(dgamma),
                       OUT(dbeta), const int channels, const int n, const int parts,
                       const A momentum, const A fresh, const int fix_gamma, const int own_stats,
                       const int train)
{
    PUT(A, part);
    GET(T1, mean);
    GET(T1, var);
    PUT(T1, moving_mean);
    PUT(T1, moving_var);
    PUT(T1, dgamma);
    PUT(T1, dbeta);
    const int c = (int)get_global_id(0);
    if (c >= channels) return;
    A sum = 0, product = 0;
    for (int i = c * parts; i < (c + 1) * parts; i++) {
        sum += part[2 * i];
        product += part[2 * i + 1];
    }
    if (n == 0) product = 0; // not 0 times the root of a variance of nothing
    part[2 * c * parts] = sum;
    part[2 * c * parts + 1] = product;
    ST1(dgamma, c, fix_gamma ? (A)0 : product);
    ST1(dbeta, c, sum);
    if (!train || !own_stats || n == 0) return;
    ST1(moving_mean, c, momentum * LD1(moving_mean, c) + fresh * LD1(mean, c));
    ST1(moving_var, c, momentum * LD1(moving_var, c) + fresh * LD1(var, c));
}

#ifndef NORM_PLANES
// dx = gamma / sqrt(var + eps) (dy - dbeta / n - x^ (sum of dy x^) / n), the
// last two only where the statistics are the batch's own.
__kernel void spread(IN(dy), IN(x), IN(gamma), IN(mean), IN(var), IN(part), OUT(dx),
                     const int channels, const int inner, const int size, const int n,
                     const int parts, const A eps, const int fix_gamma, const int own_stats,
                     const int train)
{
    GET(T0, dy);
    GET(T0, x);
    GET(T1, gamma);
    GET(T1, mean);
    GET(T1, var);
    GET(A, part);
    PUT(T0, dx);
    const int i = (int)get_global_id(0);
    if (i >= size) return;
    const int c = i / inner % channels;
    const A r = 1 / sqrt(LD1(var, c) + eps), z = (LD0(x, i) - LD1(mean, c)) * r;
    const A through =
        train && own_stats ? (part[2 * c * parts] + z * part[2 * c * parts + 1]) / n : (A)0;
    ST0(dx, i, (LD0(dy, i) - through) * (fix_gamma ? (A)1 : LD1(gamma, c)) * r);
}
#endif

#else // LRN: windows of channels c - reach ... c + reach
// y = x t^-beta,  t = knorm + scale * (sum of x x in the window)
__kernel void lrn(IN(x), OUT(y), OUT(t), const int size, const int channels, const int inner,
                  const int reach, const A scale, const A beta, const A knorm)
{
    GET(T0, x);
    PUT(T0, y);
    PUT(T1, t);
    const int i = (int)get_global_id(0);
    if (i >= size) return;
    const int c = i / inner % channels, first = i - c * inner;
    A sum = 0;
    for (int j = max(c - reach, 0); j < min(c + reach + 1, channels); j++) {
        const A v = LD0(x, first + j * inner);
        sum += v * v;
    }
    const A base = knorm + scale * sum;
    ST0(y, i, LD0(x, i) * pow(base, -beta));
    ST1(t, i, base);
}

// dx = dy t^-beta - 2 scale beta x (sum of dy x t^(-beta - 1) in the window)
__kernel void lrn_backward(IN(dy), IN(x), IN(t), OUT(dx), const int size, const int channels,
                           const int inner, const int reach, const A scale, const A beta)
{
    GET(T0, dy);
    GET(T0, x);
    GET(T1, t);
    PUT(T0, dx);
    const int i = (int)get_global_id(0);
    if (i >= size) return;
    const int c = i / inner % channels, first = i - c * inner;
    A sum = 0;
    for (int j = max(c - reach, 0); j < min(c + reach + 1, channels); j++) {
        const int e = first + j * inner;
        sum += LD0(dy, e) * LD0(x, e) * pow(LD1(t, e), -beta - 1);
    }
    ST0(dx, i, LD0(dy, i) * pow(LD1(t, i), -beta) - 2 * scale * beta * LD0(x, i) * sum);
}
#endif
