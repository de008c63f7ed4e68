// backends/opencl/move.cl: elements that only move, as E, an unsigned type of
// their size.

#ifdef TN_ON_CPU
// A work item moves PER elements, stretch by stretch of the box's last axis.
#define PER 2048
#define STRETCHES()                                                                    \
    const int last = b.ndim - 1, step = (int)b.stride[last];                           \
    const int begin = (int)get_global_id(0) * PER, end = begin + min(n - begin, PER);  \
    for (int i = begin; i < end;) {                                                    \
        const int m = min((int)b.dim[last] - i % (int)b.dim[last], end - i);           \
        const int at = box_at(&b, i);                                                  \
        if (step == 1)                                                                 \
            _Pragma("clang loop vectorize(assume_safety)") for (int q = 0; q < m; q++) \
                MOVE(i + q, at + q);                                                   \
        else                                                                           \
            _Pragma("clang loop vectorize(assume_safety)") for (int q = 0; q < m; q++) \
                MOVE(i + q, at + q * step);                                            \
        i += m;                                                                        \
    }
#else
#define STRETCHES()                      \
    const int i = (int)get_global_id(0); \
    if (i < n) MOVE(i, box_at(&b, i));
#endif

// Element i of y is the box's element i in x.
#define MOVE(i, at) y[i] = x[at]
__kernel void gather(IN(x), OUT(y), const box b, const int n)
{
    GET(E, x);
    PUT(E, y);
    STRETCHES()
}
#undef MOVE

// The box's element i in y is element i of x.
#define MOVE(i, at) y[at] = x[i]
__kernel void scatter(IN(x), OUT(y), const box b, const int n)
{
    GET(E, x);
    PUT(E, y);
    STRETCHES()
}

__kernel void clear(OUT(y), const int n)
{
    PUT(E, y);
    const int i = (int)get_global_id(0);
    if (i < n) y[i] = 0;
}

// y = c != 0 ? a : b; one element of c rules `share` of y.
__kernel void choose(IN(c), IN(a), IN(b), OUT(y), const int share, const int n)
{
    GET(T0, c);
    GET(E, a);
    GET(E, b);
    PUT(E, y);
    const int i = (int)get_global_id(0);
    if (i < n) y[i] = LD0(c, i / share) != 0 ? a[i] : b[i];
}
