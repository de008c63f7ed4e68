// backends/opencl/move.cl: elements that only move, as E, an unsigned type of
// their size.

// Element i of y is the box's element i in x.
__kernel void gather(IN(x), OUT(y), const box b, const int n)
{
    GET(E, x);
    PUT(E, y);
    const int i = (int)get_global_id(0);
    if (i < n) y[i] = x[box_at(&b, i)];
}

// The box's element i in y is element i of x.
__kernel void scatter(IN(x), OUT(y), const box b, const int n)
{
    GET(E, x);
    PUT(E, y);
    const int i = (int)get_global_id(0);
    if (i < n) y[box_at(&b, i)] = x[i];
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
