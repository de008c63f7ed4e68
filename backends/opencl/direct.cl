// backends/opencl/direct.cl: convolutions without columns, for CPUs: vectors
// hold filters, and the elements of a window are read where they lie.
//
// A panel holds a matrix (filters, n), rows contiguous, the other way round:
// for each TILE filters n lines of them, 0 where there is no filter. z counts
// images and groups, groups first. With vectors.cl before it.
#ifdef ONE_VECTOR // of filters; else two
#define TILE VN
#define BOTH(first, second) first
#else
#define TILE (2 * VN)
#define BOTH(first, second) first second
#endif
#define MORE(r) BOTH(x##r += a##r[at] * b0;, y##r += a##r[at] * b1;)

typedef struct geometry {
    int narrow[3], window[3], stride[3], dilate[3];
    int plane, line;       // elements of x from one plane, and line, to the next
    int channels, channel; // of a group, and elements from one to the next
} geometry;

// Where the window of position o begins, and where element `row` of a window is.
int position_at(const geometry *g, int o)
{
    const int q = o / g->narrow[2], o2 = o - q * g->narrow[2], o0 = q / g->narrow[1];
    const int o1 = q - o0 * g->narrow[1];
    return o0 * g->stride[0] * g->plane + o1 * g->stride[1] * g->line + o2 * g->stride[2];
}

int row_at(const geometry *g, int row)
{
    const int p = row / g->window[2], j2 = row - p * g->window[2], q = p / g->window[1];
    const int j1 = p - q * g->window[1], c = q / g->window[0], j0 = q - c * g->window[0];
    return c * g->channel + j0 * g->dilate[0] * g->plane + j1 * g->dilate[1] * g->line +
           j2 * g->dilate[2];
}

// ------------------------------------------------------------------ panels

// The panel of x(z)(filters, n): `per` lines by one work item, which are a
// multiple of 8.
__kernel void panel(IN(x), OUT(to), const int filters, const int n, const int per)
{
    GET(A, x);
    PUT(A, to);
    const int begin = (int)get_global_id(0) * per, tile = (int)get_global_id(1);
    const int z = (int)get_global_id(2), f0 = tile * TILE, end = min(n, begin + per);
    const __global A *from = x + ((long)z * filters + f0) * n;
    __global A *lines = to + ((long)z * get_global_size(1) + tile) * n * TILE;
    for (int i = begin; i < end; i += 8)
        for (int f = 0; f < TILE; f += 8) {
            H h[8];
            for (int r = 0; r < 8; r++)
                h[r] = f0 + f + r < filters ? some(from + (long)(f + r) * n + i, n - i) : (H)(0);
            TURN(h)
            for (int r = 0; r < 8; r++)
                if (i + r < n) vstore8(h[r], 0, lines + (long)(i + r) * TILE + f);
        }
}

// The panel for the way back, of w(z)(channels, filters, window): rows are
// channels and the window from its end.
__kernel void back_panel(IN(w), OUT(to), const int filters, const int channels, const int window,
                         const int per)
{
    GET(A, w);
    PUT(A, to);
    const int begin = (int)get_global_id(0) * per, tile = (int)get_global_id(1);
    const int z = (int)get_global_id(2), f0 = tile * TILE, end = min(channels, begin + per);
    __global A *lines = to + ((long)z * get_global_size(1) + tile) * channels * window * TILE;
    for (int c = begin; c < end; c++)
        for (int j = 0; j < window; j++) {
            const __global A *from = w + (((long)z * channels + c) * filters + f0) * window;
            __global A *line = lines + ((long)c * window + j) * TILE;
            for (int f = 0; f < TILE; f++)
                line[f] = f0 + f < filters ? from[f * window + window - 1 - j] : (A)0;
        }
}

// x(z)(filters, n) of the sum of `parts` panels, which are `step` apart.
__kernel void unpanel(IN(from), OUT(x), const int filters, const int n, const int per,
                      const int parts, const long step)
{
    GET(A, from);
    PUT(A, x);
    const int begin = (int)get_global_id(0) * per, tile = (int)get_global_id(1);
    const int z = (int)get_global_id(2), f0 = tile * TILE, end = min(n, begin + per);
    const __global A *lines = from + ((long)z * get_global_size(1) + tile) * n * TILE;
    __global A *to = x + ((long)z * filters + f0) * n;
    for (int i = begin; i < end; i += 8)
        for (int f = 0; f < TILE && f0 + f < filters; f += 8) {
            H h[8];
            for (int r = 0; r < 8; r++) {
                h[r] = (H)(0);
                for (int p = 0; p < parts && i + r < n; p++)
                    h[r] += vload8(0, lines + p * step + (long)(i + r) * TILE + f);
            }
            TURN(h)
            for (int r = 0; r < 8; r++)
                if (f0 + f + r < filters) put_some(h[r], to + (long)(f + r) * n + i, n - i);
        }
}

// x with zeros around it: planes of (e0, e1, e2), of which element 0 is `pad`
// before that of x, whose extents are `wide`.
typedef struct frame {
    int wide[3], pad[3], extent[3];
} frame;
__kernel void padded(IN(x), OUT(to), const frame s, const int lines)
{
    GET(A, x);
    PUT(A, to);
    const int line = (int)get_global_id(0);
    if (line >= lines) return;
    const int q = line / s.extent[1], e1 = line - q * s.extent[1] - s.pad[1];
    const int plane = q / s.extent[0], e0 = q - plane * s.extent[0] - s.pad[0];
    const bool inside = e0 >= 0 && e0 < s.wide[0] && e1 >= 0 && e1 < s.wide[1];
    __global A *out = to + (long)line * s.extent[2];
    const int begin = inside ? min(s.pad[2], s.extent[2]) : s.extent[2];
    const int end = min(s.extent[2], begin + s.wide[2]);
    const long at = (((long)plane * s.wide[0] + e0) * s.wide[1] + e1) * s.wide[2];
    for (int i = 0; i < begin; i++) out[i] = 0;
    for (int i = begin; i < end; i++) out[i] = x[at + i - begin];
    for (int i = end; i < s.extent[2]; i++) out[i] = 0;
}

// ------------------------------------------------------------------ narrow

#define BEGIN(r)                           \
    BOTH(V x##r = bias0;, V y##r = bias1;) \
    const __global A *a##r = image + position_at(&g, min(o + r, points - 1));

// What 8 positions have of 8 filters, of which the first is n of the tile.
#define TAKE(v, part)                                                       \
    h[0] = v##0 part, h[1] = v##1 part, h[2] = v##2 part, h[3] = v##3 part; \
    h[4] = v##4 part, h[5] = v##5 part, h[6] = v##6 part, h[7] = v##7 part;
#define PUT_FILTERS(n, v, part)                                                \
    {                                                                          \
        H h[8];                                                                \
        TAKE(v, part)                                                          \
        TURN(h)                                                                \
        for (int r = 0; r < 8; r++)                                            \
            if (f0 + (n) + r < filters)                                        \
                put_some(h[r], to + (long)((n) + r) * points + o, points - o); \
    }

// y(z)(filters, points) = bias + panel(filters, rows) . windows: `per` positions,
// a multiple of 8, by one work item.
__kernel void direct_narrow(IN(x), IN(w), IN(bias), OUT(y), const geometry g, const int with_bias,
                            const int filters, const int groups, const int points, const int per)
{
    GET(A, x);
    GET(A, w);
    GET(A, bias);
    PUT(A, y);
    const int begin = (int)get_global_id(0) * per, tile = (int)get_global_id(1);
    const int z = (int)get_global_id(2), f0 = tile * TILE, group = z % groups;
    const int rows = g.channels * g.window[0] * g.window[1] * g.window[2];
    const __global A *image = x + (long)z * g.channels * g.channel;
    const __global A *panel = w + ((long)group * get_global_size(1) + tile) * rows * TILE;
    __global A *to = y + ((long)z * filters + f0) * points;
    BOTH(V bias0 = (V)(0);, V bias1 = (V)(0);)
    if (with_bias) {
        const __global A *from = bias + group * filters + f0;
        BOTH(bias0 = lanes(from, filters - f0);, bias1 = lanes(from + VN, filters - f0 - VN);)
    }
    for (int o = begin; o < min(points, begin + per); o += 8) {
        const __global A *b = panel;
        ROWS(BEGIN)
        for (int c = 0; c < g.channels; c++)
            for (int j0 = 0; j0 < g.window[0]; j0++)
                for (int j1 = 0; j1 < g.window[1]; j1++) {
                    int at = c * g.channel + j0 * g.dilate[0] * g.plane + j1 * g.dilate[1] * g.line;
                    for (int j2 = 0; j2 < g.window[2]; j2++, at += g.dilate[2], b += TILE) {
                        BOTH(const V b0 = LOAD(b);, const V b1 = LOAD(b + VN);)
                        ROWS(MORE)
                    }
                }
#ifdef A_IS_F64
        BOTH(PUT_FILTERS(0, x, ), PUT_FILTERS(8, y, ))
#else
        BOTH(PUT_FILTERS(0, x, .lo) PUT_FILTERS(8, x, .hi),
             PUT_FILTERS(16, y, .lo) PUT_FILTERS(24, y, .hi))
#endif
    }
}

// ------------------------------------------------------------------ weight

#define CLEAR(r) BOTH(V x##r = (V)(0);, V y##r = (V)(0);)
#define POINT(r) const __global A *a##r = image + at##r;
#define PLACE(r) const int at##r = row_at(&g, min(row + r, rows - 1));
#define KEEP(r)                                                                         \
    if (row + r < rows) {                                                               \
        BOTH(STORE(x##r, to + (long)r * TILE);, STORE(y##r, to + (long)r * TILE + VN);) \
    }

// Panels (rows) of the sum over `images` images of a part, and all positions, of
// windows times y, of which there are panels (points). z counts parts and
// groups, groups first.
__kernel void direct_weight(IN(x), IN(y), OUT(sum), const geometry g, const int rows,
                            const int groups, const int points, const int images, const int all)
{
    GET(A, x);
    GET(A, y);
    PUT(A, sum);
    const int row = (int)get_global_id(0) * 8, tile = (int)get_global_id(1);
    const int z = (int)get_global_id(2), group = z % groups, part = z / groups;
    ROWS(CLEAR)
    ROWS(PLACE)
    for (int n = part * images; n < min(all, (part + 1) * images); n++) {
        const long at_image = (long)n * groups + group;
        const __global A *image = x + at_image * g.channels * g.channel;
        const __global A *b = y + (at_image * get_global_size(1) + tile) * points * TILE;
        ROWS(POINT)
        for (int o0 = 0; o0 < g.narrow[0]; o0++)
            for (int o1 = 0; o1 < g.narrow[1]; o1++) {
                int at = o0 * g.stride[0] * g.plane + o1 * g.stride[1] * g.line;
                for (int o2 = 0; o2 < g.narrow[2]; o2++, at += g.stride[2], b += TILE) {
                    BOTH(const V b0 = LOAD(b);, const V b1 = LOAD(b + VN);)
                    ROWS(MORE)
                }
            }
    }
    __global A *to = sum + (((long)z * get_global_size(1) + tile) * rows + row) * TILE;
    ROWS(KEEP)
}
