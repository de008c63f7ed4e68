// backends/blas/blas_lines.c: convolutions of few filters or channels in a group, by lines
// (blas_lines.h), and the gradients of their weights.
#include "blas_conv.h"

enum { LINE_TOTAL = 8192 }; // numbers that are summed before sums are added up as doubles

// ------------------------------------------------------------------ results

// All t in 0 … n-1 with 0 <= start + step t < extent, as tn_inside; most often all of them.
static tn_interval inside(int64_t start, int64_t step, int64_t n, int64_t extent)
{
    if (start >= 0 && start + step * (n - 1) < extent) return (tn_interval){0, n};
    return tn_inside(start, step, n, extent);
}

// Rows of the result, `rows` of them, to_row apart, from lines, `step[2]` of them.
static void put_lines(const blas_conv *c, tn_interval t, int64_t rows, int64_t to_row,
                      const char *lines, char *y)
{
    const blas_lines *l = &c->lines;
    const int64_t step = l->step[2], n = l->extent[2], row = l->len[2];
    const int64_t first = step * t.begin + l->shift[2];
    const uint64_t next = l->line_bytes;
    if (step == 2) { // at -1 there is a number of line b alone
        const int64_t at = tn_most(first, 0), end = tn_least(first + 2 * (t.end - t.begin), n);
        const void *const ab[2] = {lines, lines + next};
        (c->dtype == TN_F64 ? blas_line_mix_f64
                            : blas_line_mix_f32)(blas_conv_move(y, c, at), to_row, ab, row,
                                                 (const int64_t[]){rows, end - at}, first >= 0);
        return;
    }
    for (int64_t r = 0; r < step; r++, lines += next) {
        const tn_interval some = inside(first + r, step, t.end - t.begin, n);
        for (int64_t q = 0; q < rows; q++)
            (c->dtype == TN_F64 ? blas_line_spread_f64 : blas_line_spread_f32)(
                blas_conv_move(y, c, q * to_row + first + r + step * some.begin),
                blas_conv_move(lines, c, q * row + some.begin), some.end - some.begin, step);
    }
}

// Lines r[0], r[1] of a band, where a result has several.
static void put_rows(const blas_conv *c, const tn_interval t[3], const int64_t r[2],
                     const char *lines, char *y)
{
    const blas_lines *l = &c->lines;
    tn_interval in[2];
    int64_t first[2];
    for (int i = 0; i < 2; i++) {
        first[i] = l->step[i] * t[i].begin + r[i] + l->shift[i];
        in[i] = inside(first[i], l->step[i], t[i].end - t[i].begin, l->extent[i]);
    }
    const int64_t rows = in[1].end - in[1].begin;
    for (int64_t q = in[0].begin; rows > 0 && q < in[0].end; q++) {
        const int64_t i0 = first[0] + l->step[0] * q, i1 = first[1] + l->step[1] * in[1].begin;
        put_lines(c, t[2], rows, l->step[1] * l->extent[2],
                  blas_conv_move(lines, c, (q * l->len[1] + in[1].begin) * l->len[2]),
                  blas_conv_move(y, c, (i0 * l->extent[1] + i1) * l->extent[2]));
    }
}

// The same for one line of which all rows are whole.
static void put_whole_rows(const blas_conv *c, const tn_interval t[3], const char *line, char *y)
{
    const blas_lines *l = &c->lines;
    const int64_t n[2] = {t[1].end - t[1].begin, t[2].end - t[2].begin};
    for (int64_t q = 0; q < t[0].end - t[0].begin; q++) {
        const int64_t at = ((t[0].begin + q) * l->extent[1] + t[1].begin) * l->extent[2];
        (c->dtype == TN_F64 ? blas_line_rows_f64 : blas_line_rows_f32)(
            blas_conv_move(y, c, at + t[2].begin), l->extent[2],
            blas_conv_move(line, c, q * l->len[1] * l->len[2]), l->len[2], n, 1);
    }
}

// ------------------------------------------------------------------ running

typedef struct line_run {
    const blas_conv_run *r;
    bool wide;
    bool finite;      // all weights are
    const char *from; // what is read
    char *to;
    int64_t outer; // results of a group
    int64_t from_points, to_points;
} line_run;

// One result's weights: the first one, and elements from one that is read to the next.
static const char *line_weights(const line_run *w, int64_t group, int64_t i, int64_t *step)
{
    const blas_conv *c = w->r->c;
    *step = w->wide ? c->wide * c->weight_points : c->weight_points;
    const int64_t first =
        w->wide ? group * c->narrow * c->wide + i : (group * c->narrow + i) * c->wide;
    return blas_conv_move(w->r->w, c, first * c->weight_points);
}

static bool all_finite(const blas_conv *c, const char *w, int64_t step)
{
    for (int64_t i = 0; i < c->lines.channels; i++) {
        const void *p = blas_conv_move(w, c, i * step);
        if (!(c->dtype == TN_F64 ? blas_line_finite_f64 : blas_line_finite_f32)(p,
                                                                                c->weight_points))
            return false;
    }
    return true;
}

// The lines of a band: those of parts first … first + step[2]-1, which share their rows.
static void make_lines(const blas_conv *c, const blas_line_grid *g, int64_t first, blas_line *of,
                       int64_t n, char *lines)
{
    const blas_taps *taps = g->taps;
    const blas_lines *l = &c->lines;
    const uint64_t next = l->line_bytes;
    for (int64_t i = 0; i < l->step[2]; i++, lines += next) {
        of->far = taps->far + taps->begin[first + i];
        of->taps = taps->begin[first + i + 1] - taps->begin[first + i];
        (c->dtype == TN_F64 ? blas_line_sum_f64 : blas_line_sum_f32)(of, g->p, n, lines);
        of->w = blas_conv_move(of->w, c, of->taps * of->channels);
    }
}

// Weights, line by line, each (channels, taps): where they lie so, or in `to`.
static const char *gather_weights(const blas_conv *c, const blas_taps *taps, const char *w,
                                  int64_t step, char *to)
{
    const blas_lines *l = &c->lines;
    if (l->parts == 1 && (l->channels == 1 || step == c->weight_points)) return w;
    char *at = to;
    for (int64_t part = 0; part < l->parts; part++) {
        const int64_t n = taps->begin[part + 1] - taps->begin[part];
        (c->dtype == TN_F64 ? blas_line_weights_f64 : blas_line_weights_f32)(
            w, step, taps->tap + taps->begin[part], (const int64_t[]){l->channels, n}, at);
        at = blas_conv_move(at, c, l->channels * n);
    }
    return to;
}

// Elements of a result that a band makes: they lie side by side.
static tn_interval band_result(const blas_lines *l, const tn_interval t[3])
{
    int64_t inner = 1;
    for (int i = l->cut + 1; i < TN_SPATIAL; i++) inner *= l->extent[i];
    const int64_t first = l->step[l->cut] * t[l->cut].begin + l->shift[l->cut];
    const int64_t end = l->step[l->cut] * t[l->cut].end + l->shift[l->cut];
    return (tn_interval){tn_most(first, 0) * inner, tn_least(end, l->extent[l->cut]) * inner};
}

static void line_band(const line_run *w, blas_line_grid *g, const tn_interval t[3], blas_line *of,
                      char *lines, char *y)
{
    const blas_conv *c = w->r->c;
    const blas_lines *l = &c->lines;
    const int64_t n = blas_lines_length(l, t);
    for (int64_t part = 0; part < l->parts; part += l->step[2]) {
        const int64_t r[2] = {part / l->step[2] / l->step[1], part / l->step[2] % l->step[1]};
        make_lines(c, g, part, of, n, lines);
        if (l->parts == 1)
            put_whole_rows(c, t, lines, y);
        else
            put_rows(c, t, r, lines, y);
    }
}

// Weights that are not finite must not meet pads: the sum is made element by element.
static void by_elements(const line_run *w, const char *x, const char *weights, double bias, char *y)
{
    const blas_conv *c = w->r->c;
    blas_conv_fill(c, y, w->to_points, bias);
    if (w->wide)
        (c->dtype == TN_F64 ? blas_direct_wide_f64 : blas_direct_wide_f32)(c, x, weights, y);
    else
        (c->dtype == TN_F64 ? blas_direct_narrow_f64 : blas_direct_narrow_f32)(c, x, weights, y);
}

// Where an item is: band of result `i` of a group of an image.
typedef struct line_place {
    int64_t band, i, group, image;
} line_place;

static line_place place_of(const line_run *w, int64_t item)
{
    const int64_t bands = w->r->c->lines.bands, at = item / bands, all = at / w->outer;
    return (line_place){item % bands, at % w->outer, all % w->r->c->groups, all / w->r->c->groups};
}

static void next_place(const line_run *w, line_place *p)
{
    if (++p->band < w->r->c->lines.bands) return;
    p->band = 0;
    if (++p->i < w->outer) return;
    p->i = 0;
    if (++p->group < w->r->c->groups) return;
    p->group = 0;
    p->image++;
}

// Items: bands of results of images.
static void line_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const line_run *w = ctx;
    const blas_conv *c = w->r->c;
    const blas_lines *l = &c->lines;
    blas_line_grid g = blas_lines_grid(c, blas_conv_scratch(c, w->r->a, worker), w->wide);
    char *lines = g.p + blas_conv_bytes(c, l->channels, l->plane);
    char *weights = lines + (uint64_t)l->step[2] * l->line_bytes;
    line_place p = place_of(w, begin);
    for (int64_t item = begin; item < end; item++, next_place(w, &p)) {
        const int64_t f = p.group * w->outer + p.i, plane = p.image * c->groups + p.group;
        const int64_t at = plane * w->outer + p.i;
        int64_t step;
        const char *first = line_weights(w, p.group, p.i, &step);
        const char *x = blas_conv_move(w->from, c, plane * l->channels * w->from_points);
        char *y = blas_conv_move(w->to, c, at * w->to_points);
        const double bias = w->r->bias ? blas_conv_number(c, w->r->bias, f) : 0;
        blas_line of = {weights, g.taps->far, 0, l->channels, l->plane, bias};
        tn_interval t[3], made = {0, w->to_points};
        if (w->finite || all_finite(c, first, step)) {
            blas_lines_sums(l, p.band, t);
            of.w = gather_weights(c, g.taps, first, step, weights);
            blas_lines_fill(c, &g, x, plane, p.band);
            line_band(w, &g, t, &of, lines, y);
            made = band_result(l, t);
        } else if (p.band == 0) { // for all bands
            by_elements(w, x, first, bias, y);
        } else {
            continue;
        }
        if (c->lead.tail)
            blas_tail_run(c->lead.tail, w->r->a, at * w->to_points + made.begin,
                          made.end - made.begin);
    }
}

void blas_lines_run(const tn_sdk_kernel *k, const blas_conv_run *r, bool wide)
{
    const blas_conv *c = r->c;
    line_run w = {.r = r, .wide = wide};
    w.outer = wide ? c->wide : c->narrow;
    w.from = wide ? r->y : r->x;
    w.to = (char *)(uintptr_t)(wide ? r->x : r->y);
    w.from_points = wide ? c->narrow_points : c->wide_points;
    w.to_points = wide ? c->wide_points : c->narrow_points;
    w.finite = (c->dtype == TN_F64 ? blas_line_finite_f64
                                   : blas_line_finite_f32)(r->w, k->call->in[1]->size);
    blas_items(k, r->a, c->batch * c->groups * w.outer * c->lines.bands,
               c->lines.line * c->lines.channels * tn_ceil_div(c->weight_points, 4), BLAS_CHEAP,
               line_range, &w);
}

// ------------------------------------------------------------------ weights
//
// An element's gradient is the product of two lines: the grid at its distance, and the other side
// with zeros where the grid has no position.

uint64_t blas_lines_weight_bytes(const blas_conv *c)
{
    const int64_t taps = c->weight_points + BLAS_LINE_BLOCK;
    return BLAS_TAPS_BYTES + blas_conv_bytes(c, 1, c->lines.plane) +
           blas_conv_bytes(c, 1, c->lines.line) +
           (uint64_t)taps * (BLAS_LINE_SUMS + sizeof(double)) + BLAS_LINE_SLACK;
}

typedef struct weight_lines {
    blas_line_grid grid;
    char *y, *sums;
    double *total;
    int64_t summed; // numbers in sums
} weight_lines;

static void add_up(const blas_conv *c, weight_lines *w)
{
    (c->dtype == TN_F64 ? blas_line_total_f64 : blas_line_total_f32)(w->sums, c->weight_points,
                                                                     w->total);
    w->summed = 0;
}

// The rows of one filter that a band has, as a line.
static int64_t fill_line(const blas_conv *c, const tn_interval t[3], const char *y, char *line)
{
    const blas_lines *l = &c->lines;
    const tn_slide *s = l->axis;
    const int64_t n[2] = {t[1].end - t[1].begin, t[2].end - t[2].begin},
                  all = blas_lines_length(l, t);
    for (int64_t q = 0; q < t[0].end - t[0].begin; q++) {
        const int64_t at = ((t[0].begin + q) * s[1].narrow + t[1].begin) * s[2].narrow;
        (c->dtype == TN_F64 ? blas_line_rows_f64 : blas_line_rows_f32)(
            blas_conv_move(line, c, q * l->len[1] * l->len[2]), l->len[2],
            blas_conv_move(y, c, at + t[2].begin), s[2].narrow, n, 1);
    }
    memset(blas_conv_move(line, c, all), 0, BLAS_LINE_SLACK);
    return all;
}

// One image's part of the gradient for one filter and channel.
static void weight_image(const blas_conv *c, weight_lines *w, const char *x, const char *y,
                         int64_t plane)
{
    const blas_lines *l = &c->lines;
    tn_interval t[3];
    for (int64_t band = 0; band < l->bands; band++) {
        blas_lines_sums(l, band, t);
        blas_lines_fill(c, &w->grid, x, plane, band);
        const int64_t n = fill_line(c, t, y, w->y);
        (c->dtype == TN_F64 ? blas_line_dots_f64 : blas_line_dots_f32)(
            w->grid.taps->far, c->weight_points, w->grid.p, w->y, n, w->sums);
        w->summed += n;
        if (w->summed >= LINE_TOTAL) add_up(c, w);
    }
}

// Items: filters and channels.
static void weight_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const int64_t taps = c->weight_points, filters = c->groups * c->narrow;
    weight_lines w = {.grid = blas_lines_grid(c, blas_conv_scratch(c, r->a, worker), false)};
    w.y = w.grid.p + blas_conv_bytes(c, 1, c->lines.plane);
    w.sums = w.y + blas_conv_bytes(c, 1, c->lines.line);
    w.total = (double *)(void *)(w.sums + (size_t)(taps + BLAS_LINE_BLOCK) * BLAS_LINE_SUMS);
    memset(w.y, 0, (size_t)blas_conv_bytes(c, 1, c->lines.line));
    memset(w.sums, 0, (size_t)(taps + BLAS_LINE_BLOCK) * BLAS_LINE_SUMS);
    for (int64_t item = begin; item < end; item++) {
        const int64_t f = item / c->wide, channel = f / c->narrow * c->wide + item % c->wide;
        for (int64_t i = 0; i < taps; i++) w.total[i] = 0;
        for (int64_t n = 0; n < c->batch; n++) {
            const int64_t plane = n * c->groups * c->wide + channel;
            weight_image(c, &w, blas_conv_move(r->x, c, plane * c->wide_points),
                         blas_conv_move(r->y, c, (n * filters + f) * c->narrow_points), plane);
        }
        add_up(c, &w);
        if (blas_line_finite_f64(w.total, taps))
            blas_store_f64(c->dtype, r->parts, item * taps, taps, w.total);
        else // numbers that are not finite must not meet zeros: element by element
            blas_weight_by_elements(r, item, w.total);
    }
}

void blas_lines_weight(const tn_sdk_kernel *k, const blas_conv_run *r)
{
    const blas_conv *c = r->c;
    blas_items(k, r->a, c->groups * c->narrow * c->wide,
               c->batch * c->narrow_points * tn_ceil_div(c->weight_points, 4), BLAS_CHEAP,
               weight_range, (void *)(uintptr_t)r);
}
