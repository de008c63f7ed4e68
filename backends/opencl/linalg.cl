// backends/opencl/linalg.cl: the Cholesky factor and triangular systems, in blocks of columns: a
// launch for what is on the diagonal, and launches over all that the block changes.
//
// l(count, n, n) holds A in its lower triangle and then the factor; reached(count): columns of each
// matrix that have a root.
__kernel void load_lower(IN(x), OUT(l), OUT(reached), const int n)
{
    GET(T0, x);
    PUT(A, l);
    PUT(int, reached);
    const int j = (int)get_global_id(0), i = (int)get_global_id(1), b = (int)get_global_id(2);
    if (j > i || j >= n) return;
    l[(b * n + i) * n + j] = LD0(x, (b * n + i) * n + j);
    if (i == 0) reached[b] = n;
}

// Columns begin ... end-1 of the rows begin ... end-1; one work item a matrix.
__kernel void factor_block(OUT(l), OUT(reached), const int n, const int count, const int begin,
                           const int end)
{
    PUT(A, l);
    PUT(int, reached);
    const int b = (int)get_global_id(0);
    if (b >= count || reached[b] < n) return;
    __global A *m = l + b * n * n;
    for (int j = begin; j < end; j++) {
        for (int i = j; i < end; i++) {
            A sum = m[i * n + j];
            for (int p = begin; p < j; p++) sum -= m[i * n + p] * m[j * n + p];
            if (i == j && !(sum > 0)) { // NaN, too
                reached[b] = j;
                return;
            }
            m[i * n + j] = i == j ? sqrt(sum) : sum / m[j * n + j];
        }
    }
}

// The same columns of one row below.
__kernel void factor_row(OUT(l), const int n, const int begin, const int end)
{
    PUT(A, l);
    const int i = end + (int)get_global_id(0), b = (int)get_global_id(1);
    if (i >= n) return;
    __global A *m = l + b * n * n;
    for (int j = begin; j < end; j++) {
        A sum = m[i * n + j];
        for (int p = begin; p < j; p++) sum -= m[i * n + p] * m[j * n + p];
        m[i * n + j] = sum / m[j * n + j];
    }
}

// What those columns take from an element behind them.
__kernel void take_columns(OUT(l), const int n, const int begin, const int end)
{
    PUT(A, l);
    const int j = end + (int)get_global_id(0), i = end + (int)get_global_id(1);
    const int b = (int)get_global_id(2);
    if (j > i || i >= n) return;
    __global A *m = l + b * n * n;
    A sum = m[i * n + j];
    for (int p = begin; p < end; p++) sum -= m[i * n + p] * m[j * n + p];
    m[i * n + j] = sum;
}

// 0 above the diagonal; NaN below, if there is no factor.
__kernel void store_lower(IN(l), IN(reached), OUT(y), const int n)
{
    GET(A, l);
    GET(int, reached);
    PUT(T0, y);
    const int j = (int)get_global_id(0), i = (int)get_global_id(1), b = (int)get_global_id(2);
    if (j >= n) return;
    const int at = (b * n + i) * n + j;
    ST0(y, at, j > i ? (A)0 : reached[b] < n ? (A)NAN : l[at]);
}

__kernel void check_roots(IN(reached), const int n, const int count, FAULT)
{
    GET(int, reached);
    for (int b = 0; b < count; b++) {
        if (reached[b] >= n) continue;
        complain(fault, cookie, b, reached[b] + 1);
        return;
    }
}

// Systems L x = v, or with `back` L^T x = v, of `vectors` vectors for each of `count` triangles.
// x(count, n, vectors); in b and y, number i of vector v is at v next + i step of a matrix.
__kernel void load_vectors(IN(b), OUT(x), const int n, const int vectors, const int next,
                           const int step, const A alpha)
{
    GET(T0, b);
    PUT(A, x);
    const int v = (int)get_global_id(0), i = (int)get_global_id(1), m = (int)get_global_id(2);
    if (v >= vectors) return;
    x[(m * n + i) * vectors + v] = alpha * LD0(b, m * n * vectors + v * next + i * step);
}

__kernel void store_vectors(IN(x), OUT(y), const int n, const int vectors, const int next,
                            const int step)
{
    GET(A, x);
    PUT(T0, y);
    const int v = (int)get_global_id(0), i = (int)get_global_id(1), m = (int)get_global_id(2);
    if (v >= vectors) return;
    ST0(y, m * n * vectors + v * next + i * step, x[(m * n + i) * vectors + v]);
}

// Numbers begin ... end-1 of one vector, which depend on each other.
__kernel void solve_block(IN(a), OUT(x), const int n, const int vectors, const int begin,
                          const int end, const int back)
{
    GET(T0, a);
    PUT(A, x);
    const int v = (int)get_global_id(0), m = (int)get_global_id(1);
    if (v >= vectors) return;
    __global A *column = x + m * n * vectors + v;
    const int at = m * n * n;
    for (int k = 0; k < end - begin; k++) {
        const int i = back ? end - 1 - k : begin + k;
        A sum = column[i * vectors];
        for (int p = begin; !back && p < i; p++)
            sum -= LD0(a, at + i * n + p) * column[p * vectors];
        for (int p = i + 1; back && p < end; p++)
            sum -= LD0(a, at + p * n + i) * column[p * vectors];
        column[i * vectors] = sum / LD0(a, at + i * n + i);
    }
}

// What those take from the number `first` + y of one vector.
__kernel void take_block(IN(a), OUT(x), const int n, const int vectors, const int begin,
                         const int end, const int back, const int first)
{
    GET(T0, a);
    PUT(A, x);
    const int v = (int)get_global_id(0), i = first + (int)get_global_id(1);
    const int m = (int)get_global_id(2);
    if (v >= vectors) return;
    __global A *column = x + m * n * vectors + v;
    const int at = m * n * n;
    A sum = column[i * vectors];
    for (int p = begin; p < end; p++)
        sum -= LD0(a, at + (back ? p * n + i : i * n + p)) * column[p * vectors];
    column[i * vectors] = sum;
}
