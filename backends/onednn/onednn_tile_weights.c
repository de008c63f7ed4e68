// backends/onednn/onednn_tile_weights.c: the weights of Winograd's tiles, and their gradients: G
// and Gᵀ of onednn_tiles.c.
//
// A weight has its nine numbers side by side, and vectors are to have one number of 16 filters.
// Where these lie far apart, squares of 16 by 16 numbers are turned in registers: the CPU would
// gather from 16 lines of memory for each vector.
#include "onednn_wide.h"
#include "onednn_winograd.h"

enum { TAPS = 9 };

int64_t od_tiles_weight_items(const od_winograd *g)
{
    return (g->columns + OD_PANEL - 1) / OD_PANEL * (g->channels / OD_LANES);
}

#if defined(__x86_64__)

// y = G x: six of three.
OD_PART void weight_line(const vec x[3], vec *y, int to)
{
    const vec ea = _mm512_fmadd_ps(all(A2), x[2], x[0]), oa = _mm512_mul_ps(all(A1), x[1]);
    const vec eb = _mm512_fmadd_ps(all(B2), x[2], x[0]), ob = _mm512_mul_ps(all(B1), x[1]);
    y[0] = _mm512_mul_ps(all(1 / (A2 * B2)), x[0]);
    y[to] = _mm512_mul_ps(all(1 / NA), _mm512_add_ps(ea, oa));
    y[2 * to] = _mm512_mul_ps(all(1 / NA), _mm512_sub_ps(ea, oa));
    y[3 * to] = _mm512_mul_ps(all(1 / NB), _mm512_add_ps(eb, ob));
    y[4 * to] = _mm512_mul_ps(all(1 / NB), _mm512_sub_ps(eb, ob));
    y[5 * to] = x[2];
}

// y = Gᵀ x: three of six.
OD_PART void weight_gradient_line(const vec x[OD_PATCH], vec *y, int to)
{
    const vec ea = _mm512_mul_ps(all(1 / NA), _mm512_add_ps(x[1], x[2]));
    const vec oa = _mm512_mul_ps(all(A1 / NA), _mm512_sub_ps(x[1], x[2]));
    const vec eb = _mm512_mul_ps(all(1 / NB), _mm512_add_ps(x[3], x[4]));
    const vec ob = _mm512_mul_ps(all(B1 / NB), _mm512_sub_ps(x[3], x[4]));
    y[0] = _mm512_fmadd_ps(all(1 / (A2 * B2)), x[0], _mm512_add_ps(ea, eb));
    y[to] = _mm512_add_ps(oa, ob);
    y[2 * to] = _mm512_fmadd_ps(all(A2), ea, _mm512_fmadd_ps(all(B2), eb, x[5]));
}

// ------------------------------------------------------------------ to the products

// y[i] = number i of each x: by pairs, fours, and twice by quarters of a vector.
OD_PART void turn(const vec x[OD_LANES], vec y[OD_LANES])
{
    vec two[OD_LANES], four[OD_LANES], half[OD_LANES];
    OD_UNROLL16
    for (int i = 0; i < OD_LANES; i += 2) {
        two[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        two[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    // four[4 q + k]: numbers k, k + 4, k + 8, k + 12 of the vectors 4 q … 4 q + 3.
    OD_UNROLL16
    for (int i = 0; i < OD_LANES; i += 4)
        for (int k = 0; k < 2; k++) {
            const __m512d a = _mm512_castps_pd(two[i + k]), b = _mm512_castps_pd(two[i + 2 + k]);
            four[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            four[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    // half[k]: numbers k and k + 8 of vectors 0 … 7, half[k + 8] of the others; half[k + 4]:
    // numbers k + 4 and k + 12.
    OD_UNROLL16
    for (int k = 0; k < 4; k++)
        for (int j = 0; j < 2; j++) {
            half[8 * j + k] = _mm512_shuffle_f32x4(four[8 * j + k], four[8 * j + 4 + k], 0x88);
            half[8 * j + 4 + k] = _mm512_shuffle_f32x4(four[8 * j + k], four[8 * j + 4 + k], 0xDD);
        }
    OD_UNROLL16
    for (int k = 0; k < 8; k++) {
        y[k] = _mm512_shuffle_f32x4(half[k], half[8 + k], 0x88);
        y[8 + k] = _mm512_shuffle_f32x4(half[k], half[8 + k], 0xDD);
    }
}

// 16 filters of one row, whose nine numbers are x, the last first if turned.
OD_PART void weight_places(const vec x[TAPS], bool turned, float *to, int64_t step)
{
    vec half[3 * OD_PATCH], y[OD_PATCH];
    for (int r = 0; r < 3; r++) {
        const vec *at = x + 3 * r, line[] = {at[turned ? 2 : 0], at[1], at[turned ? 0 : 2]};
        weight_line(line, half + OD_PATCH * (turned ? 2 - r : r), 1);
    }
    for (int q = 0; q < OD_PATCH; q++) {
        const vec column[] = {half[q], half[OD_PATCH + q], half[2 * OD_PATCH + q]};
        weight_line(column, y, 1);
        OD_UNROLL
        for (int r = 0; r < OD_PATCH; r++) _mm512_storeu_ps(to + (r * OD_PATCH + q) * step, y[r]);
    }
}

// 16 rows of 16 filters, of a weight (filters, rows, 9): a filter's numbers of all of them lie
// together, and those of the next rows behind them, which are asked for.
OD_WIDE static void whole_filters(const od_winograd *g, const float *w, float *to, int64_t columns)
{
    const int64_t next = TAPS * g->channels;
    vec x[OD_LANES * TAPS];
    for (int k = 0; k < TAPS; k++) {
        vec row[OD_LANES];
        OD_UNROLL16
        for (int i = 0; i < OD_LANES; i++) {
            const float *at = w + i * next + k * OD_LANES;
            row[i] = _mm512_loadu_ps(at);
            fetch(at + TAPS * OD_LANES);
        }
        turn(row, x + k * OD_LANES);
    }
    for (int i = 0; i < OD_LANES; i++)
        weight_places(x + i * TAPS, false, to + i * columns, g->step_u);
}

// The same of a weight (rows, filters, 9), turned round: there 16 filters of a row lie together, so
// that gathering them costs no more.
OD_WIDE static void whole_rows(const od_winograd *g, const float *w, float *to, int64_t columns)
{
    const int64_t down = TAPS * g->filters;
    const __m512i lanes =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(TAPS));
    for (int i = 0; i < OD_LANES; i++, w += down) {
        vec x[TAPS];
        for (int k = 0; k < TAPS; k++) {
            x[k] = _mm512_i32gather_ps(lanes, w + k, sizeof(float));
            fetch(w + 2 * down + k * OD_LANES);
        }
        weight_places(x, true, to + i * columns, g->step_u);
    }
}

void od_tiles_weight(const od_winograd *g, const float *w, float *u, int64_t begin, int64_t end)
{
    const bool turned = g->kind == OD_WINO_DATA;
    const int64_t rows = g->channels, groups = rows / OD_LANES;
    // From one filter to the next, and from one row to the next, in a weight (y, x, 3, 3).
    const int64_t next = TAPS * (turned ? 1 : rows), down = TAPS * (turned ? g->filters : 1);
    for (int64_t i = begin; i < end; i++) {
        const int64_t panel = i / groups * OD_PANEL, row = i % groups * OD_LANES;
        const int64_t left = g->columns - panel, columns = left < OD_PANEL ? left : OD_PANEL;
        float *to = u + panel * rows + row * columns;
        const float *from = w + (g->begin + panel) * next + row * down;
        for (int64_t c = 0; c < columns; c += OD_LANES) {
            if (turned)
                whole_rows(g, from + c * next, to + c, columns);
            else
                whole_filters(g, from + c * next, to + c, columns);
        }
    }
}

// ------------------------------------------------------------------ back

OD_WIDE void od_tiles_weight_gradient(const od_winograd *g, const float *u, float *dw,
                                      int64_t begin, int64_t end)
{
    for (int64_t o = begin; o < end; o++) {
        for (int64_t c = 0; c < g->channels; c += OD_LANES) {
            const float *from = u + o * g->channels + c;
            float *to = dw + ((g->begin + o) * g->channels + c) * TAPS;
            vec taps[OD_LANES], rows[OD_LANES], half[3 * OD_PATCH], line[OD_PATCH];
            for (int r = 0; r < OD_PATCH; r++) {
                OD_UNROLL
                for (int q = 0; q < OD_PATCH; q++)
                    line[q] = _mm512_loadu_ps(from + (r * OD_PATCH + q) * g->step_u);
                weight_gradient_line(line, half + r, OD_PATCH);
            }
            for (int q = 0; q < 3; q++) {
                weight_gradient_line(half + q * OD_PATCH, line, 1);
                for (int r = 0; r < 3; r++) taps[r * 3 + q] = line[r];
            }
            for (int i = TAPS; i < OD_LANES; i++) taps[i] = all(0);
            turn(taps, rows);
            for (int i = 0; i < OD_LANES; i++)
                _mm512_mask_storeu_ps(to + i * TAPS, (1 << TAPS) - 1, rows[i]);
        }
    }
}

#else // nothing of this is called where od_tiles_ready() says no

void od_tiles_weight(const od_winograd *g, const float *w, float *u, int64_t begin, int64_t end)
{
    (void)g;
    (void)w;
    (void)u;
    (void)begin;
    (void)end;
}

void od_tiles_weight_gradient(const od_winograd *g, const float *u, float *dw, int64_t begin,
                              int64_t end)
{
    (void)g;
    (void)u;
    (void)dw;
    (void)begin;
    (void)end;
}

#endif
