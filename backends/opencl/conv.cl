// backends/opencl/conv.cl: windows as columns, for convolutions as matrix
// products, and back.
//
// An axis: element j of the window at position o lies at stride o + dilate j -
// pad of the wide side. Columns of one image and group: (channels * window)
// rows of `ld` positions, those beyond the narrow side 0.
typedef struct slides {
    int wide[3], narrow[3], window[3], stride[3], dilate[3], pad[3];
} slides;

// Positions begin ... end - 1 of a line are those at which the element of the
// window that `start` is of lies in the data.
int line_begin(int start, int stride)
{
    return start < 0 ? (stride - 1 - start) / stride : 0;
}
int line_end(int start, int stride, int wide, int narrow)
{
    return start < wide ? min(narrow, (wide - 1 - start) / stride + 1) : 0;
}

// x (image * group, channels, wide ...): col[z][c, j][o] = x[z][c, s o + d j -
// p]
__kernel void columns(IN(x), OUT(col), const slides s, const int channels, const int rows,
                      const int ld)
{
    GET(T0, x);
    PUT(T0, col);
    const int o = (int)get_global_id(0), row = (int)get_global_id(1), z = (int)get_global_id(2);
    if (o >= ld) return;
    const int window = s.window[0] * s.window[1] * s.window[2];
    const int narrow = s.narrow[0] * s.narrow[1] * s.narrow[2];
    const int wide = s.wide[0] * s.wide[1] * s.wide[2];
    const int c = row / window, j = row - c * window;
    const int j2 = j % s.window[2], j1 = j / s.window[2] % s.window[1];
    const int j0 = j / s.window[2] / s.window[1];
    const int q = o / s.narrow[2], o2 = o - q * s.narrow[2], o0 = q / s.narrow[1];
    const int o1 = q - o0 * s.narrow[1];
    const int i0 = s.stride[0] * o0 + s.dilate[0] * j0 - s.pad[0];
    const int i1 = s.stride[1] * o1 + s.dilate[1] * j1 - s.pad[1];
    const int i2 = s.stride[2] * o2 + s.dilate[2] * j2 - s.pad[2];
    const bool inside = o < narrow && i0 >= 0 && i0 < s.wide[0] && i1 >= 0 && i1 < s.wide[1] &&
                        i2 >= 0 && i2 < s.wide[2];
    const long from = (long)(z * channels + c) * wide + (i0 * s.wide[1] + i1) * s.wide[2] + i2;
    col[((long)z * rows + row) * ld + o] = inside ? x[from] : (T0)0;
}

// The same, one work item for a line of positions and the padding behind it:
// fewer, longer ones.
__kernel void column_lines(IN(x), OUT(col), const slides s, const int channels, const int rows,
                           const int ld)
{
    GET(T0, x);
    PUT(T0, col);
    const int line = (int)get_global_id(0), row = (int)get_global_id(1), z = (int)get_global_id(2);
    const int lines = s.narrow[0] * s.narrow[1];
    if (line >= lines) return;
    const int window = s.window[0] * s.window[1] * s.window[2];
    const int wide = s.wide[0] * s.wide[1] * s.wide[2];
    const int c = row / window, j = row - c * window, q = j / s.window[2];
    const int j2 = j - q * s.window[2], j0 = q / s.window[1], j1 = q - j0 * s.window[1];
    const int o0 = line / s.narrow[1], o1 = line - o0 * s.narrow[1];
    const int i0 = s.stride[0] * o0 + s.dilate[0] * j0 - s.pad[0];
    const int i1 = s.stride[1] * o1 + s.dilate[1] * j1 - s.pad[1];
    const int start = s.dilate[2] * j2 - s.pad[2], step = s.stride[2], extent = s.wide[2];
    const bool inside = i0 >= 0 && i0 < s.wide[0] && i1 >= 0 && i1 < s.wide[1];
    const __global T0 *from = x + (long)(z * channels + c) * wide;
    if (inside) from += (i0 * s.wide[1] + i1) * extent;
    __global T0 *to = col + ((long)z * rows + row) * ld + line * s.narrow[2];
    const int end = inside ? line_end(start, step, extent, s.narrow[2]) : 0;
    const int begin = min(line_begin(start, step), end);
    for (int o = 0; o < begin; o++) to[o] = 0;
    if (step == 1)
        for (int o = begin; o < end; o++) to[o] = from[start + o];
    else
        for (int o = begin; o < end; o++) to[o] = from[start + step * o];
    for (int o = end; o < s.narrow[2]; o++) to[o] = 0;
    if (line == lines - 1)
        for (int o = lines * s.narrow[2]; o < ld; o++) to[o - line * s.narrow[2]] = 0;
}

// The position o at which element j of the window lies on element i; -1: none.
int position(int i, int j, int stride, int dilate, int pad, int narrow)
{
    const int t = i + pad - dilate * j, o = t / stride;
    return t >= 0 && o * stride == t && o < narrow ? o : -1;
}

// x[z][c, i] = bias + the sum of col[z][c, j][o] over all j and o with s o + d
// j - p = i
__kernel void images(IN(col), IN(bias), OUT(x), const slides s, const int channels, const int rows,
                     const int ld, const int groups, const int with_bias)
{
    GET(T0, col);
    GET(T0, bias);
    PUT(T0, x);
    const int i = (int)get_global_id(0), c = (int)get_global_id(1), z = (int)get_global_id(2);
    const int wide = s.wide[0] * s.wide[1] * s.wide[2];
    if (i >= wide) return;
    const int q = i / s.wide[2], i2 = i - q * s.wide[2], i0 = q / s.wide[1];
    const int i1 = q - i0 * s.wide[1];
    const int window = s.window[0] * s.window[1] * s.window[2];
    A sum = with_bias ? LD0(bias, z % groups * channels + c) : (A)0;
    for (int j0 = 0; j0 < s.window[0]; j0++) {
        const int o0 = position(i0, j0, s.stride[0], s.dilate[0], s.pad[0], s.narrow[0]);
        if (o0 < 0) continue;
        for (int j1 = 0; j1 < s.window[1]; j1++) {
            const int o1 = position(i1, j1, s.stride[1], s.dilate[1], s.pad[1], s.narrow[1]);
            if (o1 < 0) continue;
            const long row = (long)z * rows + c * window + (j0 * s.window[1] + j1) * s.window[2];
            const int at = (o0 * s.narrow[1] + o1) * s.narrow[2];
            for (int j2 = 0; j2 < s.window[2]; j2++) {
                const int o2 = position(i2, j2, s.stride[2], s.dilate[2], s.pad[2], s.narrow[2]);
                if (o2 >= 0) sum += LD0(col, (row + j2) * ld + at + o2);
            }
        }
    }
    ST0(x, (long)(z * channels + c) * wide + i, sum);
}

// The same without bias, one work item for a plane: what suits few and fast
// processors.
__kernel void image_planes(IN(col), OUT(x), const slides s, const int channels, const int rows,
                           const int ld, const int planes)
{
    GET(T0, col);
    PUT(T0, x);
    const int plane = (int)get_global_id(0);
    if (plane >= planes) return;
    const int z = plane / channels, c = plane - z * channels;
    const int wide = s.wide[0] * s.wide[1] * s.wide[2];
    const int window = s.window[0] * s.window[1] * s.window[2];
    __global T0 *to = x + (long)plane * wide;
    for (int i = 0; i < wide; i++) to[i] = 0;
    for (int j = 0; j < window; j++) {
        const __global T0 *from = col + ((long)z * rows + c * window + j) * ld;
        const int q = j / s.window[2], j2 = j - q * s.window[2], j0 = q / s.window[1];
        const int j1 = q - j0 * s.window[1], start = s.dilate[2] * j2 - s.pad[2];
        const int end = line_end(start, s.stride[2], s.wide[2], s.narrow[2]);
        const int begin = line_begin(start, s.stride[2]);
        for (int o0 = 0; o0 < s.narrow[0]; o0++) {
            const int i0 = s.stride[0] * o0 + s.dilate[0] * j0 - s.pad[0];
            for (int o1 = 0; o1 < s.narrow[1]; o1++, from += s.narrow[2]) {
                const int i1 = s.stride[1] * o1 + s.dilate[1] * j1 - s.pad[1];
                if (i0 < 0 || i0 >= s.wide[0] || i1 < 0 || i1 >= s.wide[1]) continue;
                __global T0 *line = to + (i0 * s.wide[1] + i1) * s.wide[2] + start;
                if (s.stride[2] == 1)
                    for (int o2 = begin; o2 < end; o2++) line[o2] += from[o2];
                else
                    for (int o2 = begin; o2 < end; o2++) line[s.stride[2] * o2] += from[o2];
            }
        }
    }
}

// w[i] = the sum of `parts` partial results, n apart
__kernel void sum_parts(IN(part), OUT(w), const int parts, const int n)
{
    GET(T0, part);
    PUT(T0, w);
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    A sum = 0;
    for (int p = 0; p < parts; p++) sum += LD0(part, (long)p * n + i);
    ST0(w, i, sum);
}
