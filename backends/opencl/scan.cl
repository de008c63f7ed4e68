// backends/opencl/scan.cl: running sums along an axis. A line is cut into chunks: their sums, the
// sums of those before each, and the elements of each are three launches.
//
// A value is (outer, n, inner) around the axis. FROM0 loads an element as a number of the sums.
int place(int line, int j, int n, int inner, int reverse)
{
    return line / inner * n * inner + line % inner + (reverse ? n - 1 - j : j) * inner;
}

__kernel void chunk_sums(IN(x), OUT(sums), const int lines, const int n, const int inner,
                         const int reverse, const int chunk)
{
    GET(T0, x);
    PUT(A, sums);
    const int line = (int)get_global_id(0), c = (int)get_global_id(1);
    if (line >= lines) return;
    A sum = 0;
    for (int j = c * chunk; j < min((c + 1) * chunk, n); j++)
        sum += FROM0(x, place(line, j, n, inner, reverse));
    sums[c * lines + line] = sum;
}

// Each chunk's sum becomes that of those before it.
__kernel void scan_sums(OUT(sums), const int lines, const int chunks)
{
    PUT(A, sums);
    const int line = (int)get_global_id(0);
    if (line >= lines) return;
    A sum = 0;
    for (int c = 0; c < chunks; c++) {
        const A with = sum + sums[c * lines + line];
        sums[c * lines + line] = sum;
        sum = with;
    }
}

__kernel void scan_chunks(IN(x), IN(sums), OUT(y), const int lines, const int n, const int inner,
                          const int reverse, const int chunk, const int chunks, const int exclusive)
{
    GET(T0, x);
    GET(A, sums);
    PUT(T1, y);
    const int line = (int)get_global_id(0), c = (int)get_global_id(1);
    if (line >= lines) return;
    A sum = chunks > 1 ? sums[c * lines + line] : 0;
    for (int j = c * chunk; j < min((c + 1) * chunk, n); j++) {
        const int i = place(line, j, n, inner, reverse);
        const A with = sum + FROM0(x, i);
        ST1(y, i, exclusive ? sum : with);
        sum = with;
    }
}
