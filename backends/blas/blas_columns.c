// backends/blas/blas_columns.c: columns of convolutions added up, and sums without them.
#ifndef T

#include "blas_conv.h"
#include "blas_panel.h"

#define THIS_FILE "blas_columns.c"
#include "blas_each_type.h"

#else // once per type

void N(blas_fill)(void *p, int64_t n, double v)
{
    T *to = p;
    for (int64_t i = 0; i < n; i++) to[i] = (T)v;
}

// out[i] = Σ parts[i], parts[i + step], …
BLAS_CLONES static void N(sum_parts)(const T *parts, int64_t n_parts, int64_t step, T *out,
                                     int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = parts[i];
    for (int64_t part = 1; part < n_parts; part++) {
        const T *from = parts + part * step;
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) out[i] += from[i];
    }
}

void N(blas_sum_parts)(const void *parts, int64_t n_parts, int64_t step, void *out, int64_t n)
{
    N(sum_parts)(parts, n_parts, step, out, n);
}

// ------------------------------------------------------------------ between panels and values

#define WIDTH ((int64_t)(BLAS_PANEL / sizeof(T)))

BLAS_CLONES static void N(begin)(const T *bias, int64_t rows, int64_t n, T *y, int64_t step)
{
    for (int64_t f = 0; f < rows; f++)
        for (int64_t i = 0; i < n; i++) y[f * step + i] = bias[f];
}

void N(blas_begin)(const blas_conv *c, const void *bias, int64_t rows, int64_t n, void *y)
{
    N(begin)(bias, rows, n, y, c->narrow_points);
}

BLAS_CLONES static void N(put)(const T *sums, const T *bias, const int64_t size[2], T *y,
                               int64_t step)
{
    for (int64_t f = 0; f < size[0]; f++) {
        const T b = bias ? bias[f] : 0;
        BLAS_SIMD
        for (int64_t i = 0; i < size[1]; i++) y[f * step + i] = sums[f * WIDTH + i] + b;
    }
}

void N(blas_put)(const blas_conv *c, const void *sums, const void *bias, int64_t rows, int64_t n,
                 void *y)
{
    N(put)(sums, bias, (const int64_t[]){rows, n}, y, c->narrow_points);
}

void N(blas_turn)(const void *w, const int64_t sizes[3], bool turned, void *to)
{
    const int64_t filters = sizes[0], n = sizes[2];
    const T *from = w;
    T *out = to;
    for (int64_t f = 0; f < filters; f++, from += sizes[1])
        for (int64_t j = 0; j < n; j++) out[turned ? f * n + n - 1 - j : j * filters + f] = from[j];
}

BLAS_CLONES static void N(rows)(const T *y, int64_t step, int64_t rows, int64_t n, T *panel)
{
    for (int64_t f = 0; f < rows; f++, panel += WIDTH, y += step) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) panel[i] = y[i];
        for (int64_t i = n; i < WIDTH; i++) panel[i] = 0;
    }
}

void N(blas_rows)(const blas_conv *c, const void *y, int64_t rows, int64_t n, void *panel)
{
    N(rows)(y, c->narrow_points, rows, n, panel);
}

void N(blas_back)(const blas_conv *c, const void *sums, int64_t rows, int64_t step, void *w)
{
    const int64_t row = (c->narrow + WIDTH - 1) / WIDTH * WIDTH;
    const T *from = sums;
    T *to = w;
    for (int64_t i = 0; i < rows; i += 16)
        for (int64_t f = 0; f < c->narrow; f++)
            for (int64_t j = i; j < i + 16 && j < rows; j++) to[f * step + j] = from[j * row + f];
}

// ------------------------------------------------------------------ columns

// x[i · step] += v[i]
BLAS_INLINE void N(give)(T *restrict x, const T *restrict v, int64_t n, int64_t step)
{
    if (step == 1) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) x[i] += v[i];
    } else if (step == 2) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) x[2 * i] += v[i];
    } else {
        for (int64_t i = 0; i < n; i++) x[i * step] += v[i];
    }
}

// One row of positions: those from o2 on, `n` of them, at rows i0, i1 of the wide side.
typedef struct N(strip) {
    int64_t n;             // positions
    int64_t before, taken; // of them: left of the data, in it
    int64_t at;            // index of the first that is taken
} N(strip);

// Where the strip of `o` (of axes 0, 1, 2) lies; n as many positions as are wanted at most.
BLAS_INLINE N(strip)
    N(strip_at)(const blas_conv *c, const int64_t o[3], const int64_t j[3], int64_t n)
{
    const tn_slide *s = c->axis;
    N(strip) t = {.n = tn_least(s[2].narrow - o[2], n)};
    const int64_t i0 = s[0].stride * o[0] + s[0].dilate * j[0] - s[0].pad;
    const int64_t i1 = s[1].stride * o[1] + s[1].dilate * j[1] - s[1].pad;
    const int64_t start = s[2].stride * o[2] + s[2].dilate * j[2] - s[2].pad;
    t.before = t.n;
    if (i0 < 0 || i0 >= s[0].wide || i1 < 0 || i1 >= s[1].wide) return t;
    if (start >= 0 && start + s[2].stride * (t.n - 1) < s[2].wide) { // as most do
        t.before = 0, t.taken = t.n;
    } else {
        const tn_interval in = tn_inside(start, s[2].stride, t.n, s[2].wide);
        t.before = in.begin, t.taken = in.end - in.begin;
    }
    if (t.taken) t.at = (i0 * s[1].wide + i1) * s[2].wide + start + s[2].stride * t.before;
    return t;
}

BLAS_INLINE void N(next_row)(const blas_conv *c, int64_t o[3])
{
    o[2] = 0;
    if (++o[1] < c->axis[1].narrow) return;
    o[1] = 0;
    o[0]++;
}

BLAS_INLINE void N(position)(const blas_conv *c, int64_t p, int64_t o[3])
{
    o[2] = p % c->axis[2].narrow;
    p /= c->axis[2].narrow;
    o[1] = p % c->axis[1].narrow;
    o[0] = p / c->axis[1].narrow;
}

// What stands in column j of one channel, where it shows the patch, goes back.
BLAS_CLONES static void N(add_column)(const blas_conv *c, const blas_patch *p, T *x, const T *col,
                                      const int64_t j[3])
{
    int64_t o[3];
    N(position)(c, p->begin, o);
    for (int64_t at = p->begin; at < p->end;) {
        const N(strip) t = N(strip_at)(c, o, j, p->end - at);
        if (t.taken) N(give)(x + t.at, col + t.before, t.taken, c->axis[2].stride);
        col += t.n;
        at += t.n;
        N(next_row)(c, o);
    }
}

// Element number i of the kernel.
static void N(element)(const blas_conv *c, int64_t i, int64_t j[3])
{
    j[2] = i % c->axis[2].window;
    i /= c->axis[2].window;
    j[1] = i % c->axis[1].window;
    j[0] = i / c->axis[1].window;
}

// Without pads a column's rows of positions meet whole rows of the data, the same ones for all
// columns but for a distance.
BLAS_CLONES static void N(add_rows)(const blas_conv *c, const blas_patch *p, T *x, const T *col,
                                    int64_t row)
{
    const tn_slide *s = c->axis;
    int64_t o[3], j[3];
    for (int64_t channel = 0; channel < p->channels; channel++, x += c->wide_points)
        for (int64_t i = 0; i < c->weight_points; i++, col += row) {
            N(element)(c, i, j);
            const int64_t far = (s[0].dilate * j[0] * s[1].wide + s[1].dilate * j[1]) * s[2].wide +
                                s[2].dilate * j[2];
            N(position)(c, p->begin, o);
            for (int64_t at = 0, all = p->end - p->begin; at < all; N(next_row)(c, o)) {
                const int64_t n = tn_least(s[2].narrow - o[2], all - at);
                T *to = x + far + (s[0].stride * o[0] * s[1].wide + s[1].stride * o[1]) * s[2].wide;
                N(give)(to + o[2], col + at, n, 1);
                at += n;
            }
        }
}

static bool N(without_pads)(const blas_conv *c)
{
    const tn_slide *s = c->axis;
    for (int i = 0; i < 3; i++) {
        const int64_t last = s[i].stride * (s[i].narrow - 1) + s[i].dilate * (s[i].window - 1);
        if (s[i].pad != 0 || last >= s[i].wide) return false;
    }
    return s[2].stride == 1;
}

void N(blas_add_columns)(const blas_conv *c, const blas_patch *p, void *x, const void *col,
                         int64_t row)
{
    int64_t j[3];
    const T *from = col;
    if (N(without_pads)(c)) {
        N(add_rows)(c, p, x, col, row);
        return;
    }
    for (int64_t channel = 0; channel < p->channels; channel++)
        for (int64_t i = 0; i < c->weight_points; i++, from += row) {
            N(element)(c, i, j);
            N(add_column)(c, p, (T *)x + channel * c->wide_points, from, j);
        }
}

// ------------------------------------------------------------------ without columns

// Every row of positions of one filter meets a row of one channel, for each element of the kernel.
// y += w · x
BLAS_CLONES static void N(rows_narrow)(const blas_conv *c, const T *x, T w, T *y,
                                       const int64_t j[3])
{
    int64_t o[3] = {0, 0, 0};
    const int64_t step = c->axis[2].stride;
    for (int64_t at = 0; at < c->narrow_points; at += c->axis[2].narrow, N(next_row)(c, o)) {
        const N(strip) t = N(strip_at)(c, o, j, c->axis[2].narrow);
        const T *from = x + t.at;
        T *to = y + at + t.before;
        if (step == 1) {
            BLAS_SIMD
            for (int64_t i = 0; i < t.taken; i++) to[i] += w * from[i];
        } else {
            BLAS_SIMD
            for (int64_t i = 0; i < t.taken; i++) to[i] += w * from[i * step];
        }
    }
}

// x += w · y
BLAS_CLONES static void N(rows_wide)(const blas_conv *c, const T *y, T w, T *x, const int64_t j[3])
{
    int64_t o[3] = {0, 0, 0};
    const int64_t step = c->axis[2].stride;
    for (int64_t at = 0; at < c->narrow_points; at += c->axis[2].narrow, N(next_row)(c, o)) {
        const N(strip) t = N(strip_at)(c, o, j, c->axis[2].narrow);
        const T *from = y + at + t.before;
        T *to = x + t.at;
        if (step == 1) {
            BLAS_SIMD
            for (int64_t i = 0; i < t.taken; i++) to[i] += w * from[i];
        } else {
            BLAS_SIMD
            for (int64_t i = 0; i < t.taken; i++) to[i * step] += w * from[i];
        }
    }
}

// Σ y · x
BLAS_CLONES static double N(rows_product)(const blas_conv *c, const T *x, const T *y,
                                          const int64_t j[3])
{
    int64_t o[3] = {0, 0, 0};
    const int64_t step = c->axis[2].stride;
    double sum = 0;
    for (int64_t at = 0; at < c->narrow_points; at += c->axis[2].narrow, N(next_row)(c, o)) {
        const N(strip) t = N(strip_at)(c, o, j, c->axis[2].narrow);
        const T *a = x + t.at, *b = y + at + t.before;
        BLAS_SIMD_SUM(sum)
        for (int64_t i = 0; i < t.taken; i++) sum += (double)a[i * step] * (double)b[i];
    }
    return sum;
}

// One filter y += Σ over the channels x of its group
void N(blas_direct_narrow)(const blas_conv *c, const void *x, const void *w, void *y)
{
    int64_t j[3];
    for (int64_t channel = 0; channel < c->wide; channel++)
        for (int64_t i = 0; i < c->weight_points; i++) {
            N(element)(c, i, j);
            N(rows_narrow)
            (c, (const T *)x + channel * c->wide_points,
             ((const T *)w)[channel * c->weight_points + i], y, j);
        }
}

// One channel x += Σ over the filters y of its group
void N(blas_direct_wide)(const blas_conv *c, const void *y, const void *w, void *x)
{
    int64_t j[3];
    for (int64_t f = 0; f < c->narrow; f++)
        for (int64_t i = 0; i < c->weight_points; i++) {
            N(element)(c, i, j);
            N(rows_wide)
            (c, (const T *)y + f * c->narrow_points,
             ((const T *)w)[f * c->wide * c->weight_points + i], x, j);
        }
}

// One filter's and one channel's weight_points += Σ
void N(blas_direct_weight)(const blas_conv *c, const void *x, const void *y, double *w)
{
    int64_t j[3];
    for (int64_t i = 0; i < c->weight_points; i++) {
        N(element)(c, i, j);
        w[i] += N(rows_product)(c, x, y, j);
    }
}

#undef WIDTH

#endif
