// backends/opencl/planes.cl: what norm.cl has of BatchNorm, for CPUs and data
// whose planes of `inner` elements lie contiguous: a work item takes whole ones.
// With vectors.cl before it.
// Sums of planes part, part + parts, ... of a channel: of x, or where `about` is
// set of the squares of its distances from the mean.
__kernel void moment_parts(IN(x), IN(mean), OUT(part), const int channels, const int inner,
                           const int n, const int parts, const int about, const int train)
{
    GET(A, x);
    GET(T1, mean);
    PUT(A, part);
    const int id = (int)get_global_id(0), c = id / parts;
    if (!train) return;
    const A m = about ? LD1(mean, c) : (A)0;
    V wide = (V)(0);
    A rest = 0;
    for (int o = id - c * parts; o < n / inner; o += parts) {
        const __global A *p = x + ((long)o * channels + c) * inner;
        int i = 0;
        for (; i + VN <= inner; i += VN) {
            const V v = LOAD(p + i) - m;
            wide += about ? v * v : v;
        }
        for (; i < inner; i++) rest += about ? (p[i] - m) * (p[i] - m) : p[i];
    }
    part[id] = rest + total(wide);
}

// y = gamma (x - mean) / sqrt(var + eps) + beta in a plane
__kernel void normalise(IN(x), IN(gamma), IN(beta), IN(mean), IN(var), OUT(y), const int channels,
                        const int inner, const int size, const A eps, const int fix_gamma)
{
    GET(A, x);
    GET(T1, gamma);
    GET(T1, beta);
    GET(T1, mean);
    GET(T1, var);
    PUT(A, y);
    const int plane = (int)get_global_id(0), c = plane % channels;
    const A scale = (fix_gamma ? (A)1 : LD1(gamma, c)) / sqrt(LD1(var, c) + eps);
    const A m = LD1(mean, c), more = LD1(beta, c);
    const __global A *p = x + (long)plane * inner;
    __global A *to = y + (long)plane * inner;
    int i = 0;
    for (; i + VN <= inner; i += VN) STORE((LOAD(p + i) - m) * scale + more, to + i);
    for (; i < inner; i++) to[i] = (p[i] - m) * scale + more;
}

// Sums of dy and of dy * (x - mean) / sqrt(var + eps) over planes part, part +
// parts, ...
__kernel void gradient_parts(IN(dy), IN(x), IN(mean), IN(var), OUT(part), const int channels,
                             const int inner, const int n, const int parts, const A eps)
{
    GET(A, dy);
    GET(A, x);
    GET(T1, mean);
    GET(T1, var);
    PUT(A, part);
    const int id = (int)get_global_id(0), c = id / parts;
    const A m = LD1(mean, c), r = 1 / sqrt(LD1(var, c) + eps);
    V sums = (V)(0), products = (V)(0);
    A sum = 0, product = 0;
    for (int o = id - c * parts; o < n / inner; o += parts) {
        const long at = ((long)o * channels + c) * inner;
        int i = 0;
        for (; i + VN <= inner; i += VN) {
            const V g = LOAD(dy + at + i);
            sums += g;
            products += g * (LOAD(x + at + i) - m);
        }
        for (; i < inner; i++) {
            sum += dy[at + i];
            product += dy[at + i] * (x[at + i] - m);
        }
    }
    part[2 * id] = sum + total(sums);
    part[2 * id + 1] = (product + total(products)) * r;
}

// dx = gamma / sqrt(var + eps) (dy - dbeta / n - x^ (sum of dy x^) / n) in a
// plane, as a line through dy and x.
__kernel void spread(IN(dy), IN(x), IN(gamma), IN(mean), IN(var), IN(part), OUT(dx),
                     const int channels, const int inner, const int size, const int n,
                     const int parts, const A eps, const int fix_gamma, const int own_stats,
                     const int train)
{
    GET(A, dy);
    GET(A, x);
    GET(T1, gamma);
    GET(T1, mean);
    GET(T1, var);
    GET(A, part);
    PUT(A, dx);
    const int plane = (int)get_global_id(0), c = plane % channels;
    const A r = 1 / sqrt(LD1(var, c) + eps), scale = (fix_gamma ? (A)1 : LD1(gamma, c)) * r;
    const A m = LD1(mean, c);
    const long at = (long)plane * inner;
    int i = 0;
    if (!train || !own_stats) { // the sums do not count, even where they are infinite or NaN
        for (; i + VN <= inner; i += VN) STORE(LOAD(dy + at + i) * scale, dx + at + i);
        for (; i < inner; i++) dx[at + i] = dy[at + i] * scale;
        return;
    }
    const A less = part[2 * c * parts] / n, turn = part[2 * c * parts + 1] / n * r;
    for (; i + VN <= inner; i += VN) {
        const V g = LOAD(dy + at + i), z = LOAD(x + at + i) - m;
        STORE((g - (less + z * turn)) * scale, dx + at + i);
    }
    for (; i < inner; i++) dx[at + i] = (dy[at + i] - (less + (x[at + i] - m) * turn)) * scale;
}
