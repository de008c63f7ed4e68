// backends/opencl/random.cl: the draws of <tenon/philox.h>: element i of a
// value depends on the run's key and counter and on i alone. D is double where
// the device has it.

// Ten rounds of Philox 4x32.
uint4 block_of(ulong key, ulong counter, ulong b)
{
    uint c0 = (uint)b, c1 = (uint)counter, c2 = (uint)(counter >> 32), c3 = (uint)(b >> 32);
    uint k0 = (uint)key, k1 = (uint)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const ulong p0 = (ulong)0xD2511F53u * c0, p1 = (ulong)0xCD9E8D57u * c2;
        c0 = (uint)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint)p1;
        c2 = (uint)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (uint4)(c0, c1, c2, c3);
}

// Uniform in [0, 1): 24 bits, or for float64 53.
A uniform(ulong key, ulong counter, ulong i)
{
#ifdef A_IS_F64
    const uint4 w = block_of(key, counter, i / 2);
    const ulong bits = i % 2 ? (ulong)w.z << 32 | w.w : (ulong)w.x << 32 | w.y;
    return (double)(bits >> 11) * 1.1102230246251565e-16;
#else
    const uint4 w = block_of(key, counter, i / 4);
    const uint v = i % 4 == 0 ? w.x : i % 4 == 1 ? w.y : i % 4 == 2 ? w.z : w.w;
    return (float)(v >> 8) * 5.9604644775390625e-8f;
#endif
}

// Standard normal, by Box and Muller.
D normal(ulong key, ulong counter, ulong i)
{
    const ulong even = i & ~(ulong)1;
    const D u = uniform(key, counter, even), v = uniform(key, counter, even + 1);
    const D r = sqrt(-2 * log(1 - u)), angle = (D)DC(6.28318530717958647693) * v;
    return i % 2 ? r * sin(angle) : r * cos(angle);
}

__kernel void random_uniform(OUT(y), const ulong key, const ulong counter, const int n, const D low,
                             const D high)
{
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i < n) ST0(y, i, (A)(low + uniform(key, counter, i) * (high - low)));
}

__kernel void random_normal(OUT(y), const ulong key, const ulong counter, const int n, const D loc,
                            const D scale)
{
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i < n) ST0(y, i, (A)(loc + scale * normal(key, counter, i)));
}

// mask = kept (1 / (1 - p)) where the draw is at least p, else 0;  y = x mask.
// b says whose draw an element takes. Where nothing is dropped, mask = 1.
__kernel void dropout(IN(x), OUT(y), OUT(mask), const ulong key, const ulong counter, const box b,
                      const int n, const A p, const A kept, const int always, const int train)
{
    GET(T0, x);
    PUT(T0, y);
    PUT(T1, mask);
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    A m = 1;
    if (train || always) m = uniform(key, counter, box_at(&b, i)) >= p ? kept : (A)0;
    ST0(y, i, LD0(x, i) * m);
    ST1(mask, i, m);
}

// mask = 1 where x > 0, else a slope from low on: in training drawn from range,
// else in its middle;  y = x mask.
__kernel void rrelu(IN(x), OUT(y), OUT(mask), const ulong key, const ulong counter, const int n,
                    const D low, const D range, const int train)
{
    GET(T0, x);
    PUT(T0, y);
    PUT(T1, mask);
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const A v = LD0(x, i);
    const D u = train ? (D)uniform(key, counter, i) : (D)DC(0.5);
    ST1(mask, i, v > 0 ? (A)1 : (A)(low + u * range));
    ST0(y, i, v * LD1(mask, i)); // as it is stored
}
