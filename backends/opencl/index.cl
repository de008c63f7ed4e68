// backends/opencl/index.cl: looking up and adding up along an axis, by indices
// that are data.
//
// Values are (outer, n, inner) around the axis, parts (outer, m, inner). box
// says where in the indices the one of each element of the part is. Indices
// outside are brought to the nearest end, or with `wrap` taken modulo n:
// nothing outside is ever read or written.
int row_of(long index, int n, int wrap)
{
    if (wrap) return (int)((index % n + n) % n);
    return index < 0 ? 0 : index >= n ? n - 1 : (int)index;
}

__kernel void look_up(IN(x), IN(index), OUT(y), const box b, const int size, const int m,
                      const int n, const int inner, const int wrap)
{
    GET(T0, x);
    GET(T1, index);
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i >= size) return;
    const int row = row_of(WHOLE1(index, box_at(&b, i)), n, wrap);
    const int outer = i / (m * inner);
    y[i] = x[(outer * n + row) * inner + i % inner];
}

// One work item adds up a line, in order; sums are of type A and are 0 before.
__kernel void add_up(IN(dy), IN(index), OUT(sums), const box b, const int lines, const int m,
                     const int n, const int inner, const int wrap)
{
    GET(T0, dy);
    GET(T1, index);
    PUT(A, sums);
    const int line = (int)get_global_id(0);
    if (line >= lines) return;
    const int outer = line / inner, at = line % inner;
    for (int j = 0; j < m; j++) {
        const int i = (outer * m + j) * inner + at;
        const int row = row_of(WHOLE1(index, box_at(&b, i)), n, wrap);
        sums[(outer * n + row) * inner + at] += LD0(dy, i);
    }
}

__kernel void set_zero(OUT(sums), const int n)
{
    PUT(A, sums);
    const int i = (int)get_global_id(0);
    if (i < n) sums[i] = 0;
}

__kernel void round_sums(IN(sums), OUT(y), const int n)
{
    GET(A, sums);
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i < n) ST0(y, i, sums[i]);
}

__kernel void one_hot(IN(index), OUT(y), const int size, const int depth, const A on, const A off)
{
    GET(T1, index);
    PUT(T0, y);
    const int i = (int)get_global_id(0);
    if (i < size) ST0(y, i, WHOLE1(index, i / depth) == i % depth ? on : off);
}
