// backends/opencl/check.cl: indices that must be inside. T0: int64, T1: the type of indices.
// The first place of an index that is none: its number, else INT_MAX.
__kernel void begin_check(OUT(bad))
{
    PUT(int, bad);
    *bad = INT_MAX;
}

int is_index(A v, int n)
{
#ifndef A_IS_I64
    if (isnan(v)) return 0;
    return v > -1 && v < n;
#else
    return v >= 0 && v < n;
#endif
}

__kernel void find_bad(IN(index), OUT(bad), const int size, const int n)
{
    GET(T1, index);
    PUT(int, bad);
    const int i = (int)get_global_id(0);
    if (i < size && !is_index(LD1(index, i), n)) atomic_min(bad, i);
}

__kernel void report_bad(IN(index), IN(bad), FAULT)
{
    GET(T1, index);
    GET(int, bad);
    const int i = *bad;
    if (i == INT_MAX) return;
#ifdef A_IS_F64
    complain(fault, cookie, i, as_long(LD1(index, i)));
#elif defined(A_IS_F32)
    complain(fault, cookie, i, as_int(LD1(index, i)));
#else
    complain(fault, cookie, i, LD1(index, i));
#endif
}

__kernel void copy_index(IN(index), OUT(y), const int size)
{
    GET(T1, index);
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i < size) ST0(y, i, WHOLE1(index, i));
}
