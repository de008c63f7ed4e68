// backends/opencl/order.cl: the order of elements along an axis: runs of 16 are ranked by counting,
// then pairs of runs are merged, each element by a binary search in the other run.
//
// A value is (outer, n, inner) around the axis; element j of line i is x[start_of(i) + j inner].
// Orders are (line, n), places in the line; in the last pass the `keep` first of each go to y.
// Equal elements stay in their order; NaN is the largest.
enum { RUN = 16 };

int less(A a, A b)
{
#ifdef A_IS_I64
    return a < b;
#else
    return a < b || (isnan(b) && !isnan(a));
#endif
}

// Must an element of value a come before one of value b?
int first(A a, A b, int ascend)
{
    return ascend ? less(a, b) : less(b, a);
}

int start_of(int line, int n, int inner)
{
    return line / inner * n * inner + line % inner;
}

__kernel void rank_runs(IN(x), OUT(to), OUT(y), const int size, const int n, const int inner,
                        const int ascend, const int keep)
{
    GET(T0, x);
    PUT(int, to);
    PUT(T1, y);
    const int id = (int)get_global_id(0);
    if (id >= size) return;
    const int line = id / n, at = id % n, start = start_of(line, n, inner);
    const int begin = at / RUN * RUN, end = min(begin + RUN, n);
    const A v = LD0(x, start + at * inner);
    int rank = begin;
    for (int j = begin; j < end; j++) {
        const A w = LD0(x, start + j * inner);
        if (j < at) rank += !first(v, w, ascend);
        if (j > at) rank += first(w, v, ascend);
    }
    if (!keep)
        to[line * n + rank] = at;
    else if (rank < keep)
        ST1(y, start_of(line, keep, inner) + rank * inner, at);
}

// Runs of `width`. The place of an element is its own in its run and the number of those of the
// other run that come before it.
__kernel void merge_runs(IN(x), IN(from), OUT(to), OUT(y), const int size, const int n,
                         const int inner, const int ascend, const int width, const int keep)
{
    GET(T0, x);
    GET(int, from);
    PUT(int, to);
    PUT(T1, y);
    const int id = (int)get_global_id(0);
    if (id >= size) return;
    const int line = id / n, at = id % n, start = start_of(line, n, inner);
    const int begin = at / width / 2 * width * 2;
    const int middle = min(begin + width, n), end = min(middle + width, n);
    const int element = from[id], second = at >= middle;
    const A v = LD0(x, start + element * inner);
    int low = second ? begin : middle, high = second ? middle : end;
    const int other = low;
    while (low < high) {
        const int j = low + (high - low) / 2;
        const A w = LD0(x, start + from[line * n + j] * inner);
        if (second ? !first(v, w, ascend) : first(w, v, ascend))
            low = j + 1;
        else
            high = j;
    }
    const int to_at = second ? at - (middle - begin) + (low - other) : at + (low - other);
    if (!keep)
        to[line * n + to_at] = element;
    else if (to_at < keep)
        ST1(y, start_of(line, keep, inner) + to_at * inner, element);
}
