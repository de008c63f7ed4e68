// backends/blas/blas_line_grid.c: plans of convolutions by lines (blas_lines.h), and their grids.
#include "blas_conv.h"

enum {
    LINE_GRID = 24 << 10,   // bytes of a band's grid of one channel: half of a first-level cache
    LINE_GRIDS = 192 << 10, // of several channels; more only where a band of one position has more
    LINE_PAIR = 16 << 10    // of one channel beside a line of the other side
};

// ------------------------------------------------------------------ plans

// Extents for bands of so many positions.
static void set_band(blas_lines *l, int64_t band, size_t size)
{
    int64_t last = 0; // place of the last position
    l->band = band;
    l->bands = tn_ceil_div(l->axis[l->cut].narrow, band);
    l->phase = l->plane = 1;
    for (int i = 0; i < TN_SPATIAL; i++) {
        const tn_slide *s = &l->axis[i];
        const int64_t n = i == l->cut ? band : s->narrow, reach = s->dilate * (s->window - 1);
        l->phases[i] = tn_least(s->stride, reach + 1);
        l->len[i] = n + reach / s->stride;
        l->phase = tn_extent_times(l->phase, l->len[i]);
        l->plane = tn_extent_times(l->plane, l->phases[i]);
        last = tn_extent_times(last, l->len[i]);
        last = last > INT64_MAX - n ? INT64_MAX : last + n - 1;
    }
    l->plane = tn_extent_times(l->plane, l->phase);
    if (l->plane < INT64_MAX - 64) l->plane += BLAS_LINE_SLACK / (int64_t)size;
    l->line = last < INT64_MAX - 64 ? last + 1 + BLAS_LINE_SLACK / (int64_t)size : last;
}

static int64_t grid_bytes(const blas_lines *l, size_t size)
{
    return tn_extent_times(tn_extent_times(l->channels, l->plane), (int64_t)size);
}

// Bands; false if the grid would be too large, or most of a line no position.
static bool cut_bands(blas_lines *l, int64_t most, size_t size)
{
    int64_t positions = 1;
    l->cut = TN_SPATIAL - 1;
    for (int i = TN_SPATIAL; i-- > 0;) {
        if (l->axis[i].narrow > 1) l->cut = i;
        positions *= l->axis[i].narrow;
    }
    set_band(l, l->axis[l->cut].narrow, size);
    while (l->band > 1 && grid_bytes(l, size) > most) set_band(l, (l->band + 1) / 2, size);
    return grid_bytes(l, size) <= 4 * LINE_GRIDS && l->line < INT64_MAX / l->bands &&
           l->line * l->bands <= 4 * positions + 256 * l->bands;
}

// The elements of the kernel of each line, and where they lie; wide: of a gradient.
static void place_taps(const blas_conv *c, bool wide, blas_taps *to)
{
    const blas_lines *l = &c->lines;
    const tn_slide *s = c->axis;
    int64_t n = 0;
    for (int64_t part = 0; part < l->parts; part++) {
        const int64_t r[3] = {part / l->step[2] / l->step[1], part / l->step[2] % l->step[1],
                              part % l->step[2]};
        to->begin[part] = n;
        for (int64_t i = 0; i < c->weight_points; i++) {
            const int64_t j[3] = {i / s[2].window / s[1].window, i / s[2].window % s[1].window,
                                  i % s[2].window};
            int64_t plane = 0, far = 0;
            bool mine = true;
            for (int axis = 0; axis < TN_SPATIAL; axis++) {
                const int64_t at = s[axis].dilate * j[axis], step = s[axis].stride;
                mine = mine && (!wide || at % step == r[axis]);
                plane = plane * l->phases[axis] + (wide ? 0 : at % step);
                far =
                    far * l->len[axis] + (wide ? l->axis[axis].window - 1 - at / step : at / step);
            }
            if (!mine) continue;
            to->tap[n] = (uint8_t)i;
            to->far[n++] = plane * l->phase + far;
        }
    }
    to->begin[l->parts] = n;
    for (int64_t i = 0; i < BLAS_LINE_BLOCK; i++) to->far[n + i] = 0;
}

// The sums of gradients at t: those of step t + r + shift of the wide side, from what lies at
// t - m of the narrow side, where d j = step m + r.
static void turn_axis(blas_lines *l, const tn_slide *s, int axis)
{
    const int64_t first = -tn_ceil_div(-s->pad, s->stride); // rounded down
    const int64_t last = -tn_ceil_div(1 - s->pad - s->wide, s->stride);
    const int64_t reach = s->dilate * (s->window - 1) / s->stride;
    l->axis[axis] = (tn_slide){s->narrow, last - first + 1, reach + 1, 1, 1, reach - first};
    l->step[axis] = s->stride;
    l->shift[axis] = s->stride * first - s->pad;
    l->extent[axis] = s->wide;
}

static int64_t most_bytes(int64_t channels, bool pair)
{
    return channels > 1 ? LINE_GRIDS : pair ? LINE_PAIR : LINE_GRID;
}

void blas_lines_plan(blas_conv *c, blas_lines_way way, int64_t channels)
{
    const bool wide = way == BLAS_LINES_WIDE;
    blas_lines *l = &c->lines;
    l->channels = channels;
    l->on = false;
    if (c->weight_points > BLAS_LINE_TAPS || c->batch == 0 || c->wide == 0 || c->narrow == 0 ||
        c->wide_points == 0 || c->narrow_points == 0)
        return;
    int64_t planes = 1;
    l->parts = 1;
    for (int i = 0; i < TN_SPATIAL; i++) {
        if (wide) {
            turn_axis(l, &c->axis[i], i);
        } else {
            l->axis[i] = c->axis[i];
            l->step[i] = 1;
            l->shift[i] = 0;
            l->extent[i] = c->axis[i].narrow;
        }
        l->parts = tn_extent_times(l->parts, l->step[i]);
    }
    if (l->parts > BLAS_LINE_PARTS ||
        !cut_bands(l, most_bytes(channels, way == BLAS_LINES_WEIGHT), c->size))
        return;
    for (int i = 0; i < TN_SPATIAL; i++) planes = tn_extent_times(planes, l->phases[i]);
    l->line_bytes = blas_conv_bytes(c, l->line, 1);
    l->on = planes <= BLAS_LINE_PARTS;
}

uint64_t blas_lines_bytes(const blas_conv *c)
{
    const blas_lines *l = &c->lines;
    return BLAS_TAPS_BYTES + blas_conv_bytes(c, l->channels, l->plane) +
           (uint64_t)l->step[2] * l->line_bytes + blas_conv_bytes(c, l->channels, c->weight_points);
}

// ------------------------------------------------------------------ grids

// A grid in scratch, behind the taps.
blas_line_grid blas_lines_grid(const blas_conv *c, char *scratch, bool wide)
{
    const blas_line_grid g = {(blas_taps *)(void *)scratch, scratch + BLAS_TAPS_BYTES,
                              .filled = false};
    place_taps(c, wide, g.taps);
    return g;
}

// Where a band begins, as a pad.
static tn_slide band_axis(const blas_lines *l, int axis, int64_t band)
{
    tn_slide s = l->axis[axis];
    if (axis == l->cut) s.pad -= s.stride * band * l->band;
    return s;
}

// What a band meets of the planes. False if that is just where the last band had it.
static bool find_pieces(const blas_lines *l, int64_t band, blas_line_grid *g)
{
    const int64_t *phases = l->phases, planes = phases[0] * phases[1] * phases[2];
    int n = 0;
    bool same = g->filled;
    for (int64_t plane = 0; plane < planes; plane++) {
        const int64_t f[3] = {plane / phases[2] / phases[1], plane / phases[2] % phases[1],
                              plane % phases[2]};
        blas_line_piece p = {0, 0, {0, 0, 0}};
        for (int i = 0; i < 3; i++) {
            const tn_slide s = band_axis(l, i, band);
            const tn_interval in = tn_inside(f[i] - s.pad, s.stride, l->len[i], s.wide);
            p.to = p.to * l->len[i] + in.begin;
            p.from = p.from * s.wide + s.stride * in.begin + f[i] - s.pad;
            p.n[i] = in.end - in.begin;
        }
        p.to += plane * l->phase;
        if (p.n[0] == 0 || p.n[1] == 0 || p.n[2] == 0) continue;
        const blas_line_piece *old = &g->piece[n];
        same = same && n < g->n_pieces && old->to == p.to && old->n[0] == p.n[0] &&
               old->n[1] == p.n[1] && old->n[2] == p.n[2];
        g->piece[n++] = p;
    }
    same = same && n == g->n_pieces;
    g->n_pieces = n;
    return !same;
}

// The channels from x on, as far as a band meets them; `plane` names them.
void blas_lines_fill(const blas_conv *c, blas_line_grid *g, const char *x, int64_t plane,
                     int64_t band)
{
    const blas_lines *l = &c->lines;
    const tn_slide *s = l->axis;
    const int64_t row = s[1].stride * s[2].wide, points = s[0].wide * s[1].wide * s[2].wide;
    if (g->filled && g->plane == plane && g->band == band) return;
    if ((!g->filled || g->band != band) && find_pieces(l, band, g))
        memset(g->p, 0, (size_t)(l->channels * l->plane) * c->size);
    g->filled = true;
    g->plane = plane;
    g->band = band;
    for (int64_t channel = 0; channel < l->channels; channel++)
        for (int i = 0; i < g->n_pieces; i++) {
            const blas_line_piece *p = &g->piece[i];
            char *to = blas_conv_move(g->p, c, channel * l->plane + p->to);
            const char *from = blas_conv_move(x, c, channel * points + p->from);
            for (int64_t q = 0; q < p->n[0]; q++)
                (c->dtype == TN_F64 ? blas_line_rows_f64 : blas_line_rows_f32)(
                    blas_conv_move(to, c, q * l->len[1] * l->len[2]), l->len[2],
                    blas_conv_move(from, c, q * s[0].stride * s[1].wide * s[2].wide), row, p->n + 1,
                    s[2].stride);
        }
}

// Sums t of each axis that a band has.
void blas_lines_sums(const blas_lines *l, int64_t band, tn_interval t[3])
{
    for (int i = 0; i < 3; i++) t[i] = (tn_interval){0, l->axis[i].narrow};
    t[l->cut].begin = band * l->band;
    t[l->cut].end = tn_least(t[l->cut].begin + l->band, l->axis[l->cut].narrow);
}

// Numbers of a line up to a band's last position.
int64_t blas_lines_length(const blas_lines *l, const tn_interval t[3])
{
    const int64_t last[3] = {t[0].end - t[0].begin - 1, t[1].end - t[1].begin - 1,
                             t[2].end - t[2].begin - 1};
    return (last[0] * l->len[1] + last[1]) * l->len[2] + last[2] + 1;
}
