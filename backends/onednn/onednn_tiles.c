// backends/onednn/onednn_tiles.c: Winograd's tiles: to and fro, and the products between.
//
// The polynomials are taken at 0, ±a, ±b and infinity. With a = 5/8 and b = 3/2 sums lose less of
// float32 than with 1 and 2, since the numbers of the matrices are nearer to each other. With
// s = a² + b², Na = 2a²(a² - b²), Nb = 2b²(b² - a²):
//
//          a²b²   0    -s    0    1   0          1/(a²b²)   0      0
//           0  -ab²   -b²    a    1   0           1/Na    a/Na   a²/Na
//     Bᵀ =  0   ab²   -b²   -a    1   0      G =  1/Na   -a/Na   a²/Na
//           0  -a²b   -a²    b    1   0           1/Nb    b/Nb   b²/Nb
//           0   a²b   -a²   -b    1   0           1/Nb   -b/Nb   b²/Nb
//           0   a²b²    0   -s    0   1            0       0      1
//
//          1   1    1    1    1   0
//     Aᵀ = 0   a   -a    b   -b   0
//          0   a²   a²   b²   b²  0
//          0   a³  -a³   b³  -b³  1
//
// (The construction is that of Toom and Cook; Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2015.) Everything here is for AVX-512; od_tiles_ready() says whether it may be
// called.
#include "onednn_wide.h"
#include "onednn_winograd.h"

#if defined(__x86_64__)
bool od_tiles_ready(void)
{
    const unsigned wanted = dnnl_cpu_isa_avx512_core;
    return ((unsigned)dnnl_get_effective_cpu_isa() & wanted) == wanted;
}

OD_PART void fetch_to_write(const void *at)
{
    __builtin_prefetch(at, 1);
}

// ------------------------------------------------------------------ lines

// y = Bᵀ x. Elements of y are `to` vectors apart.
OD_PART void data_line(const vec x[OD_PATCH], vec *y, int to)
{
    const vec ea = _mm512_fnmadd_ps(all(B2), x[2], x[4]),
              eb = _mm512_fnmadd_ps(all(A2), x[2], x[4]);
    const vec oa = _mm512_fnmadd_ps(all(B2), x[1], x[3]),
              ob = _mm512_fnmadd_ps(all(A2), x[1], x[3]);
    y[0] = _mm512_fmadd_ps(all(A2 * B2), x[0], _mm512_fnmadd_ps(all(A2 + B2), x[2], x[4]));
    y[to] = _mm512_fmadd_ps(all(A1), oa, ea);
    y[2 * to] = _mm512_fnmadd_ps(all(A1), oa, ea);
    y[3 * to] = _mm512_fmadd_ps(all(B1), ob, eb);
    y[4 * to] = _mm512_fnmadd_ps(all(B1), ob, eb);
    y[5 * to] = _mm512_fmadd_ps(all(A2 * B2), x[1], _mm512_fnmadd_ps(all(A2 + B2), x[3], x[5]));
}

// y = A x, of four.
OD_PART void gradient_line(const vec x[OD_TILE], vec *y, int to)
{
    const vec ea = _mm512_fmadd_ps(all(A2), x[2], x[0]), eb = _mm512_fmadd_ps(all(B2), x[2], x[0]);
    const vec oa = _mm512_fmadd_ps(all(A2), x[3], x[1]), ob = _mm512_fmadd_ps(all(B2), x[3], x[1]);
    y[0] = x[0];
    y[to] = _mm512_fmadd_ps(all(A1), oa, ea);
    y[2 * to] = _mm512_fnmadd_ps(all(A1), oa, ea);
    y[3 * to] = _mm512_fmadd_ps(all(B1), ob, eb);
    y[4 * to] = _mm512_fnmadd_ps(all(B1), ob, eb);
    y[5 * to] = x[3];
}

// y = Aᵀ x: four of six.
OD_PART void result_line(const vec x[OD_PATCH], vec *y, int to)
{
    const vec ea = _mm512_add_ps(x[1], x[2]), oa = _mm512_sub_ps(x[1], x[2]);
    const vec eb = _mm512_add_ps(x[3], x[4]), ob = _mm512_sub_ps(x[3], x[4]);
    y[0] = _mm512_add_ps(x[0], _mm512_add_ps(ea, eb));
    y[to] = _mm512_fmadd_ps(all(A1), oa, _mm512_mul_ps(all(B1), ob));
    y[2 * to] = _mm512_fmadd_ps(all(A2), ea, _mm512_mul_ps(all(B2), eb));
    y[3 * to] = _mm512_fmadd_ps(all(A1 * A2), oa, _mm512_fmadd_ps(all(B1 * B2), ob, x[5]));
}

// ------------------------------------------------------------------ where tiles are

typedef struct spot {
    int64_t image, top, left; // of its results
} spot;

static spot spot_of(const od_winograd *g, int64_t tile)
{
    const int64_t each = g->down * g->across, at = tile % each;
    return (spot){tile / each, at / g->across * OD_TILE, at % g->across * OD_TILE};
}

static int64_t bytes_each(const od_winograd *g)
{
    return g->narrow ? 2 : 4;
}

// Points of side × side from (top, left) on, of pictures of those extents; zeros beyond. width:
// bytes of a point.
static void find_points(const char *from[], int side, const char *picture, const int64_t extent[2],
                        int64_t width, const int64_t corner[2], const void *zeros)
{
    for (int r = 0; r < side; r++) {
        const int64_t y = corner[0] + r;
        const char *line = picture + y * extent[1] * width;
        const bool beyond = y < 0 || y >= extent[0];
        for (int q = 0; q < side; q++) {
            const int64_t x = corner[1] + q;
            from[r * side + q] = beyond || x < 0 || x >= extent[1] ? zeros : line + x * width;
        }
    }
}

// ------------------------------------------------------------------ to the products

// bytes: of a number as it is stored, constant where this is called.
OD_PART void data_tiles(const od_winograd *g, int64_t bytes, const char *x, const float *zeros,
                        float *v, od_tiles tiles)
{
    const int64_t point = g->channels * bytes, size = g->in[0] * g->in[1] * point;
    const char *from[OD_PLACES];
    for (int64_t t = 0; t < tiles.n; t++) {
        const spot s = spot_of(g, tiles.first + t);
        const int64_t corner[] = {s.top - g->pad[0], s.left - g->pad[1]};
        find_points(from, OD_PATCH, x + s.image * size, g->in, point, corner, zeros);
        for (int64_t c = 0; c < g->channels; c += OD_LANES) {
            float *to = v + (tiles.at + t) * g->channels + c;
            vec half[OD_PLACES], line[OD_PATCH];
            for (int r = 0; r < OD_PATCH; r++) {
                OD_UNROLL
                for (int q = 0; q < OD_PATCH; q++) {
                    const char *at_q = from[r * OD_PATCH + q] + c * bytes;
                    line[q] = load(at_q, bytes == 2);
                    if (q > 1) fetch(at_q + OD_TILE * point);
                }
                data_line(line, half + r, OD_PATCH); // turned: columns lie together
            }
            for (int q = 0; q < OD_PATCH; q++) {
                data_line(half + q * OD_PATCH, line, 1);
                OD_UNROLL
                for (int r = 0; r < OD_PATCH; r++)
                    _mm512_storeu_ps(to + (r * OD_PATCH + q) * g->step_v, line[r]);
            }
        }
    }
}

OD_WIDE void od_tiles_data(const od_winograd *g, const void *x, const float *zeros, float *v,
                           od_tiles tiles)
{
    if (g->narrow)
        data_tiles(g, 2, x, zeros, v, tiles);
    else
        data_tiles(g, 4, x, zeros, v, tiles);
}

OD_PART void gradient_tiles(const od_winograd *g, int64_t bytes, const char *dy, const float *zeros,
                            float *m, od_tiles tiles)
{
    const int64_t point = g->filters * bytes, size = g->out[0] * g->out[1] * point;
    const char *from[OD_TILE * OD_TILE];
    for (int64_t t = 0; t < tiles.n; t++) {
        const spot s = spot_of(g, tiles.first + t);
        const int64_t corner[] = {s.top, s.left};
        find_points(from, OD_TILE, dy + s.image * size, g->out, point, corner, zeros);
        for (int64_t c = 0; c < g->columns; c += OD_LANES) {
            const int64_t channel = g->begin + c;
            float *to = m + (tiles.at + t) * g->columns + c;
            vec half[OD_PATCH * OD_TILE], line[OD_PATCH];
            for (int r = 0; r < OD_TILE; r++) {
                OD_UNROLL
                for (int q = 0; q < OD_TILE; q++) {
                    const char *at_q = from[r * OD_TILE + q] + channel * bytes;
                    line[q] = load(at_q, bytes == 2);
                    fetch(at_q + OD_TILE * point);
                }
                gradient_line(line, half + r, OD_TILE);
            }
            for (int q = 0; q < OD_PATCH; q++) {
                gradient_line(half + q * OD_TILE, line, 1);
                OD_UNROLL
                for (int r = 0; r < OD_PATCH; r++)
                    _mm512_storeu_ps(to + (r * OD_PATCH + q) * g->step_m, line[r]);
            }
        }
    }
}

OD_WIDE void od_tiles_gradient(const od_winograd *g, const void *dy, const float *zeros, float *m,
                               od_tiles tiles)
{
    if (g->narrow)
        gradient_tiles(g, 2, dy, zeros, m, tiles);
    else
        gradient_tiles(g, 4, dy, zeros, m, tiles);
}

// ------------------------------------------------------------------ back

OD_PART vec finished(const od_winograd *g, vec x, const void *there)
{
    if (g->adds) x = _mm512_add_ps(x, load(there, g->narrow));
    if (!g->relu) return x;
    if (g->slope == 0) return _mm512_max_ps(x, all(0)); // of NaN 0, as elsewhere
    return _mm512_mask_mul_ps(x, _mm512_cmp_ps_mask(x, all(0), _CMP_NGT_UQ), x, all(g->slope));
}

OD_PART void put_tile(const od_winograd *g, const vec *tile, const spot *s, char *y)
{
    const int64_t height = g->out[0] - s->top, width = g->out[1] - s->left;
    const int64_t point = g->filters * (int64_t)sizeof(float);
    for (int64_t r = 0; r < OD_TILE && r < height; r++) {
        char *to = y + r * g->out[1] * point;
        for (int64_t q = 0; q < OD_TILE && q < width; q++, to += point) {
            fetch_to_write(to + OD_TILE * point);
            _mm512_storeu_ps(to, finished(g, tile[q * OD_TILE + r], to));
        }
    }
}

// The same for results that are stored as bfloat16: a function of its own, as only these CPUs have
// its instruction, which rounds to the nearest.
OD_WIDE_BF16 static void put_narrow_tile(const od_winograd *g, const vec *tile, const spot *s,
                                         char *y)
{
    const int64_t height = g->out[0] - s->top, width = g->out[1] - s->left, point = 2 * g->filters;
    for (int64_t r = 0; r < OD_TILE && r < height; r++) {
        char *to = y + r * g->out[1] * point;
        for (int64_t q = 0; q < OD_TILE && q < width; q++, to += point) {
            fetch_to_write(to + OD_TILE * point);
            const __m256bh x = _mm512_cvtneps_pbh(finished(g, tile[q * OD_TILE + r], to));
            memcpy(to, &x, sizeof x);
        }
    }
}

OD_WIDE void od_tiles_results(const od_winograd *g, const float *m, const float *bias, void *y,
                              od_tiles tiles)
{
    const int64_t bytes = bytes_each(g), point = g->filters * bytes;
    for (int64_t t = 0; t < tiles.n; t++) {
        const spot s = spot_of(g, tiles.first + t);
        char *corner = (char *)y + ((s.image * g->out[0] + s.top) * g->out[1] + s.left) * point;
        for (int64_t c = 0; c < g->columns; c += OD_LANES) {
            const float *from = m + (tiles.at + t) * g->columns + c;
            const vec shift = bias ? _mm512_loadu_ps(bias + g->begin + c) : all(0);
            vec half[OD_TILE * OD_PATCH], tile[OD_TILE * OD_TILE], line[OD_PATCH];
            for (int r = 0; r < OD_PATCH; r++) {
                OD_UNROLL
                for (int q = 0; q < OD_PATCH; q++)
                    line[q] = _mm512_loadu_ps(from + (r * OD_PATCH + q) * g->step_m);
                result_line(line, half + r, OD_PATCH);
            }
            for (int q = 0; q < OD_TILE; q++) {
                result_line(half + q * OD_PATCH, line, 1);
                for (int r = 0; r < OD_TILE; r++)
                    tile[q * OD_TILE + r] = _mm512_add_ps(line[r], shift);
            }
            if (g->narrow)
                put_narrow_tile(g, tile, &s, corner + (g->begin + c) * bytes);
            else
                put_tile(g, tile, &s, corner + (g->begin + c) * bytes);
        }
    }
}

#else // nothing of this is called where od_tiles_ready() says no

bool od_tiles_ready(void)
{
    return false;
}

void od_tiles_data(const od_winograd *g, const void *x, const float *zeros, float *v,
                   od_tiles tiles)
{
    (void)g;
    (void)x;
    (void)zeros;
    (void)v;
    (void)tiles;
}

void od_tiles_gradient(const od_winograd *g, const void *dy, const float *zeros, float *m,
                       od_tiles tiles)
{
    (void)g;
    (void)dy;
    (void)zeros;
    (void)m;
    (void)tiles;
}

void od_tiles_results(const od_winograd *g, const float *m, const float *bias, void *y,
                      od_tiles tiles)
{
    (void)g;
    (void)m;
    (void)bias;
    (void)y;
    (void)tiles;
}

#endif
