// backends/blas/blas_grid.c: the wide side of a convolution with its pad around it, and columns
// from there.
//
// In a grid the number that element j of the kernel meets at position o lies at the place of o plus
// a distance that depends on j alone, so a column is a few runs of numbers, the same for all
// columns. Where a stride s leaves out positions, the grid has s planes of every s-th of them:
// s o + d j - p is place o + d j / s of plane d j mod s.
#ifndef T

#include "blas_conv.h"
#include "blas_panel.h"

enum {
    GRID_BYTES = 1 << 18, // of a grid: a quarter of a second-level cache
    GRID_POINTS = 256     // positions that a grid is worth, where there are as many
};

// How columns are copied: runs that fill a panel, of a cache line at most, longer ones, and those
// that nothing may be read behind.
enum { BLAS_ONE_PANEL, BLAS_SHORT_RUNS, BLAS_LONG_RUNS, BLAS_EXACT_RUNS };

#define THIS_FILE "blas_grid.c"
#include "blas_each_type.h"

// Extents for bands of so many positions.
static void set_band(const blas_conv *c, blas_grid *g, int64_t band)
{
    const int64_t narrow = c->axis[g->axis].narrow;
    g->band = band;
    g->bands = tn_most(tn_ceil_div(narrow, band), 1);
    int64_t phases = 1;
    g->phase = 1;
    for (int i = 0; i < TN_SPATIAL; i++) {
        const tn_slide *s = &c->axis[i];
        // Remainders that elements of the window leave: only those planes are read.
        g->phases[i] = tn_least(s->stride, s->dilate * (s->window - 1) + 1);
        g->len[i] = (i == g->axis ? band : s->narrow) + s->dilate * (s->window - 1) / s->stride;
        g->phase = tn_extent_times(g->phase, g->len[i]);
        phases = tn_extent_times(phases, g->phases[i]);
    }
    // Behind the planes is what is copied too much.
    g->plane = tn_extent_times(g->phase, phases);
    if (g->plane < INT64_MAX - 64) g->plane += 64 / (int64_t)c->size;
}

static int64_t bytes(const blas_conv *c, const blas_grid *g, int64_t channels)
{
    return tn_extent_times(tn_extent_times(channels * g->images, g->plane), (int64_t)c->size);
}

// Positions of an image that one step along the axis of bands stands for.
static int64_t step_points(const blas_conv *c, const blas_grid *g)
{
    int64_t n = 1;
    for (int i = g->axis + 1; i < TN_SPATIAL; i++) n *= c->axis[i].narrow;
    return n;
}

// x is its own grid where the kernel has one element and meets each position once.
static bool in_place(const blas_conv *c)
{
    for (int i = 0; i < TN_SPATIAL; i++) {
        const tn_slide *s = &c->axis[i];
        if (s->window != 1 || s->stride != 1 || s->pad != 0 || s->wide != s->narrow) return false;
    }
    return true;
}

void blas_grid_plan(blas_conv *c, int64_t channels, int64_t others, bool several)
{
    blas_grid *g = &c->grid;
    g->images = 1;
    g->axis = TN_SPATIAL - 1;
    for (int i = TN_SPATIAL; i-- > 0;)
        if (c->axis[i].narrow > 1) g->axis = i;
    g->in_place = in_place(c);
    set_band(c, g, tn_most(c->axis[g->axis].narrow, 1));
    while (g->band > 1 && !g->in_place && bytes(c, g, channels) > GRID_BYTES)
        set_band(c, g, (g->band + 1) / 2);
    while (g->band > 1 && c->batch * g->bands * others < c->items &&
           g->band * step_points(c, g) >= GRID_POINTS)
        set_band(c, g, (g->band + 1) / 2);
    while (several && g->bands == 1 && g->images * c->narrow_points < GRID_POINTS &&
           2 * bytes(c, g, channels) <= GRID_BYTES &&
           c->batch / (2 * g->images) * others >= c->items)
        g->images *= 2;
    g->channel_step = g->in_place ? c->wide_points : g->images * g->plane;
    g->image_step = g->in_place ? c->groups * c->wide * c->wide_points : g->plane;
}

int64_t blas_grid_bytes(const blas_conv *c, int64_t channels)
{
    const int64_t n = bytes(c, &c->grid, channels);
    if (c->grid.in_place) return 0;
    return n > INT64_MAX - 64 ? n : (n + 63) / 64 * 64;
}

tn_interval blas_grid_positions(const blas_conv *c, int64_t band)
{
    const int64_t n = step_points(c, &c->grid), first = band * c->grid.band;
    const int64_t end = tn_least(first + c->grid.band, c->axis[c->grid.axis].narrow);
    return (tn_interval){first * n, end * n};
}

const void *blas_grid_of(const blas_conv *c, const void *x, int64_t channels, const int64_t at[2],
                         void *grid)
{
    const blas_grid *g = &c->grid;
    if (g->in_place) // positions are counted from the band's first one
        return blas_conv_move(x, c, blas_grid_positions(c, at[1]).begin);
    void *to = blas_conv_move(grid, c, at[0] * g->image_step);
    (c->dtype == TN_F64 ? grid_fill_f64 : grid_fill_f32)(c, x, channels, at[1], to);
    return grid;
}

int64_t blas_grid_runs(const blas_conv *c, int64_t band, tn_interval q, blas_run_of *runs)
{
    const blas_grid *g = &c->grid;
    const int64_t *len = g->len, first = band * g->band;
    int64_t n = 0;
    for (int64_t i = q.begin; i < q.end;) {
        const int64_t image = i / c->narrow_points, p = i % c->narrow_points;
        int64_t o[3] = {p / c->axis[2].narrow / c->axis[1].narrow,
                        p / c->axis[2].narrow % c->axis[1].narrow, p % c->axis[2].narrow};
        const int64_t some = tn_least(c->axis[2].narrow - o[2], q.end - i);
        o[g->axis] -= first;
        const int64_t from = image * g->image_step + (o[0] * len[1] + o[1]) * len[2] + o[2];
        if (n && runs[n - 1].from + runs[n - 1].n == from)
            runs[n - 1].n += some;
        else
            runs[n++] = (blas_run_of){i - q.begin, from, some};
        i += some;
    }
    return n;
}

void blas_grid_columns(const blas_conv *c, const blas_columns_of *k, void *out, int64_t row)
{
    (c->dtype == TN_F64 ? grid_columns_f64 : grid_columns_f32)(c, k, out, row);
}

#else // once per type

// The axes with the first position of a band as position 0.
BLAS_INLINE void N(band_axes)(const blas_conv *c, int64_t band, tn_slide s[3])
{
    for (int i = 0; i < 3; i++) s[i] = c->axis[i];
    s[c->grid.axis].pad -= s[c->grid.axis].stride * band * c->grid.band;
}

// Line q of plane f := what of x lies there, up to `end`, where x ends. Zeros and neighbours are
// written by cache lines; what is too much is written over later, or lies behind the last plane.
BLAS_INLINE void N(fill_line)(const tn_slide s[3], const int64_t f[3], const int64_t q[2],
                              int64_t n, const T *x, const T *end, T *to)
{
    enum { LINE = 64 / sizeof(T) };
    const int64_t i0 = s[0].stride * q[0] + f[0] - s[0].pad;
    const int64_t i1 = s[1].stride * q[1] + f[1] - s[1].pad;
    const int64_t start = f[2] - s[2].pad, step = s[2].stride;
    tn_interval in = {n, n};
    if (i0 >= 0 && i0 < s[0].wide && i1 >= 0 && i1 < s[1].wide)
        in = step == 1 ? (tn_interval){tn_least(tn_most(-start, 0), n),
                                       tn_most(tn_least(s[2].wide - start, n), 0)}
                       : tn_inside(start, step, n, s[2].wide);
    for (int64_t i = 0; i < in.begin; i += LINE) memset(to + i, 0, 64);
    if (in.begin < in.end) {
        const T *from = x + (i0 * s[1].wide + i1) * s[2].wide + start;
        int64_t i = in.begin;
        if (step == 1)
            for (; i < in.end && end - (from + i) >= LINE; i += LINE) memcpy(to + i, from + i, 64);
        if (step == 2) {
            BLAS_SIMD
            for (int64_t at = in.begin; at < in.end; at++) to[at] = from[2 * at];
        } else {
            for (; i < in.end; i++) to[i] = from[i * step];
        }
    }
    for (int64_t i = tn_most(in.end, in.begin); i < n; i += LINE) memset(to + i, 0, 64);
}

// One image's channels, as far as a band meets them.
BLAS_CLONES static void N(grid_fill)(const blas_conv *c, const void *x, int64_t channels,
                                     int64_t band, void *grid)
{
    const blas_grid *g = &c->grid;
    tn_slide s[3];
    int64_t f[3], q[2];
    N(band_axes)(c, band, s);
    for (int64_t channel = 0; channel < channels; channel++) {
        T *to = (T *)grid + channel * g->channel_step;
        const T *from = (const T *)x + channel * c->wide_points;
        const T *end = (const T *)x + channels * c->wide_points;
        for (f[0] = 0; f[0] < g->phases[0]; f[0]++)
            for (f[1] = 0; f[1] < g->phases[1]; f[1]++)
                for (f[2] = 0; f[2] < g->phases[2]; f[2]++)
                    for (q[0] = 0; q[0] < g->len[0]; q[0]++)
                        for (q[1] = 0; q[1] < g->len[1]; q[1]++, to += g->len[2])
                            N(fill_line)(s, f, q, g->len[2], from, end, to);
    }
}

enum { N(LINE) = 64 / sizeof(T) };

// Runs, in whole cache lines; what is too much of one is written over by the next one.
BLAS_INLINE void N(copy_runs)(T *to, const T *from, const blas_run_of *runs, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t at = 0; at < runs[i].n; at += N(LINE))
            memcpy(to + runs[i].to + at, from + runs[i].from + at, 64);
}

BLAS_INLINE void N(copy_exactly)(T *to, const T *from, const blas_run_of *runs, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t whole = runs[i].n / N(LINE) * N(LINE);
        N(copy_runs)(to, from, &(blas_run_of){runs[i].to, runs[i].from, whole}, 1);
        for (int64_t at = whole; at < runs[i].n; at++)
            to[runs[i].to + at] = from[runs[i].from + at];
    }
}

BLAS_INLINE void N(copy_column)(T *to, const T *from, const blas_columns_of *k, int kind)
{
    if (kind == BLAS_ONE_PANEL) {
        memcpy(to, from + k->runs[0].from, 64);
        memcpy(to + N(LINE), from + k->runs[0].from + N(LINE), 64);
    } else if (kind == BLAS_SHORT_RUNS) {
        for (int64_t i = 0; i < k->n_runs; i++)
            memcpy(to + k->runs[i].to, from + k->runs[i].from, 64);
    } else if (kind == BLAS_LONG_RUNS) {
        N(copy_runs)(to, from, k->runs, k->n_runs);
    } else {
        N(copy_exactly)(to, from, k->runs, k->n_runs);
    }
}

static int N(kind_of)(const blas_conv *c, const blas_columns_of *k)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < k->n_runs; i++) longest = tn_most(longest, k->runs[i].n);
    if (k->n_runs == 1 && longest == 2 * N(LINE)) return BLAS_ONE_PANEL;
    if (c->grid.in_place) return BLAS_EXACT_RUNS;
    return longest <= N(LINE) ? BLAS_SHORT_RUNS : BLAS_LONG_RUNS;
}

// Where row (j0, j1) of the kernel begins: which plane along axes 0 and 1, and the place in it.
BLAS_INLINE int64_t N(distance)(const blas_conv *c, int64_t j0, int64_t j1)
{
    const blas_grid *g = &c->grid;
    const int64_t a0 = c->axis[0].dilate * j0, s0 = c->axis[0].stride;
    const int64_t a1 = c->axis[1].dilate * j1, s1 = c->axis[1].stride;
    const int64_t plane = (a0 % s0 * g->phases[1] + a1 % s1) * g->phases[2];
    return plane * g->phase + (a0 / s0 * g->len[1] + a1 / s1) * g->len[2];
}

// A row of the kernel for one channel; returns where the next column goes.
BLAS_INLINE T *N(columns_of_row)(const blas_conv *c, const blas_columns_of *k, const T *x, T *to,
                                 int64_t row, int kind)
{
    const tn_slide *s = &c->axis[2];
    for (int64_t j = 0; j < s->window; j++, to += row) {
        const int64_t at = s->dilate * j;
        const int64_t far = s->stride == 1 ? at : at % s->stride * c->grid.phase + at / s->stride;
        N(copy_column)(to, x + far, k, kind);
    }
    return to;
}

#define EACH_COLUMN(kind)                                                                    \
    for (int64_t channel = 0; channel < k->channels; channel++)                              \
        for (int64_t j0 = 0; j0 < c->axis[0].window; j0++)                                   \
            for (int64_t j1 = 0; j1 < c->axis[1].window; j1++)                               \
                to = N(columns_of_row)(c, k,                                                 \
                                       (const T *)k->grid + channel * c->grid.channel_step + \
                                           N(distance)(c, j0, j1),                           \
                                       to, row, kind);                                       \
    break;

BLAS_CLONES static void N(grid_columns)(const blas_conv *c, const blas_columns_of *k, void *out,
                                        int64_t row)
{
    T *to = out;
    switch (N(kind_of)(c, k)) {
    case BLAS_ONE_PANEL: EACH_COLUMN(BLAS_ONE_PANEL)
    case BLAS_SHORT_RUNS: EACH_COLUMN(BLAS_SHORT_RUNS)
    case BLAS_LONG_RUNS: EACH_COLUMN(BLAS_LONG_RUNS)
    default: EACH_COLUMN(BLAS_EXACT_RUNS)
    }
}

#undef EACH_COLUMN

#endif
