// backends/blas/blas_conv.c: Convolution, Deconvolution, and the gradients of their data.
//
// The formulas, and what columns are: blas_conv.h. Items are images, groups and pieces of them;
// how they are cut depends on the sizes alone, so results do not depend on the threads.
#include "blas_conv.h"
#include "blas_panel.h"

// ------------------------------------------------------------------ from wide to narrow
//
// Positions of a group are counted through all images: q = n · narrow_points + o. A panel is the
// columns at as many of them as it is wide. Items are grids, and where these are few, also blocks
// of filters.

// Chooses items and scratch for sums from wide to narrow.
static void cut_narrow(blas_conv *c)
{
    const int64_t rows = c->wide * c->weight_points;
    if (c->direct) {
        blas_lines_plan(c, BLAS_LINES_NARROW, c->wide);
        if (c->lines.on) c->worker_bytes = blas_lines_bytes(c);
        return;
    }
    blas_grid_plan(c, c->wide, c->groups, true);
    c->pieces = tn_ceil_div(c->batch, c->grid.images) * c->grid.bands;
    c->blocks = blas_conv_cut(c->narrow, c->items, c->groups * c->pieces,
                              (const int64_t[]){BLAS_CONV_SIDE / 2, c->narrow});
    c->channels = tn_ceil_div(c->narrow, c->blocks);
    c->blocks = tn_ceil_div(c->narrow, tn_most(c->channels, 1));
    const int64_t panel = tn_extent_times(rows + c->channels + 1, BLAS_PANEL);
    c->worker_bytes = (uint64_t)panel + (uint64_t)blas_grid_bytes(c, c->wide);
}

static tn_status narrow_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of x, w
{
    blas_conv *c = k->state;
    blas_conv_sizes(k->call, c, k->call->in[0], k->call->in[1], k->call->out[0]);
    c->items = blas_conv_items(k);
    cut_narrow(c);
    return blas_conv_finish(k, c, info);
}

// What an item computes: filters `filter` … of a group at n positions from `first` on.
typedef struct narrow_tile {
    int64_t group, filter, filters, first, n;
} narrow_tile;

static char *tile_at(const blas_conv_run *r, const narrow_tile *t, int64_t q)
{
    const blas_conv *c = r->c;
    const int64_t image = q / c->narrow_points, at = q % c->narrow_points;
    const int64_t f = (image * c->groups + t->group) * c->narrow + t->filter;
    return blas_conv_move(r->y, c, f * c->narrow_points + at);
}

// A whole panel within one image is computed in place; the others in `sums` first.
static void narrow_product(const blas_conv_run *r, const narrow_tile *t, const char *panel,
                           char *sums)
{
    const blas_conv *c = r->c;
    const int64_t rows = c->wide * c->weight_points, width = blas_panel_width(c->dtype);
    const int64_t f = t->group * c->narrow + t->filter;
    const void *bias = r->bias ? blas_conv_move(r->bias, c, f) : NULL;
    const blas_panel p = {.dtype = c->dtype,
                          .m = t->filters,
                          .n = t->n,
                          .k = rows,
                          .a = blas_conv_move(r->w, c, f * rows),
                          .a_row = rows,
                          .b = panel};
    char *y = tile_at(r, t, t->first);
    if (t->n == width && t->first % c->narrow_points + width <= c->narrow_points) {
        if (bias) blas_conv_begin(c, bias, t->filters, width, y);
        blas_panel_multiply(&p, y, c->narrow_points, bias != NULL);
        return;
    }
    // The bias comes first here, too: which panels are whole depends on the number of threads.
    for (int64_t i = 0; bias && i < t->filters; i++)
        blas_conv_fill(c, blas_conv_move(sums, c, i * width), width,
                       blas_conv_number(c, r->bias, f + i));
    blas_panel_multiply(&p, sums, width, bias != NULL);
    for (int64_t i = 0; i < t->n;) {
        const int64_t left = c->narrow_points - (t->first + i) % c->narrow_points;
        const int64_t n = tn_least(left, t->n - i);
        blas_conv_store(c, blas_conv_move(sums, c, i), NULL, t->filters, n,
                        tile_at(r, t, t->first + i));
        i += n;
    }
}

// The grid of an item, in scratch; where its columns are taken from.
static const void *narrow_grid(const blas_conv_run *r, int64_t group, int64_t piece, void *scratch)
{
    const blas_conv *c = r->c;
    const blas_grid *g = &c->grid;
    const int64_t first = piece / g->bands * g->images, band = piece % g->bands;
    const int64_t step = c->groups * c->wide * c->wide_points;
    const char *x = blas_conv_move(r->x, c, first * step + group * c->wide * c->wide_points);
    const void *grid = blas_grid_of(c, x, c->wide, (const int64_t[]){0, band}, scratch);
    for (int64_t i = 1; i < g->images && first + i < c->batch && !g->in_place; i++)
        blas_grid_of(c, blas_conv_move(x, c, i * step), c->wide, (const int64_t[]){i, band},
                     scratch);
    return grid;
}

// Its positions, counted from its first image on.
static tn_interval narrow_positions(const blas_conv *c, int64_t piece)
{
    const blas_grid *g = &c->grid;
    const int64_t images = tn_least(g->images, c->batch - piece / g->bands * g->images);
    if (g->bands > 1) return blas_grid_positions(c, piece % g->bands);
    return (tn_interval){0, images * c->narrow_points};
}

// The rest of a fused call, over the rows of y that an item has made.
static void narrow_tail(const blas_conv_run *r, const narrow_tile *t, tn_interval q)
{
    const blas_conv *c = r->c;
    for (int64_t i = q.begin; i < q.end;) {
        const int64_t n = tn_least(c->narrow_points - i % c->narrow_points, q.end - i);
        const char *y = tile_at(r, t, i);
        const int64_t at = (y - r->y) / (int64_t)c->size;
        for (int64_t f = 0; f < t->filters; f++)
            blas_tail_run(c->lead.tail, r->a, at + f * c->narrow_points, n);
        i += n;
    }
}

// Items: grids of blocks of filters of groups.
static void narrow_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const int64_t width = blas_panel_width(c->dtype), rows = c->wide * c->weight_points;
    char *panel = blas_conv_scratch(c, r->a, worker);
    char *sums = panel + (size_t)(rows + 1) * BLAS_PANEL;
    char *scratch = sums + (size_t)c->channels * BLAS_PANEL;
    blas_run_of runs[BLAS_PANEL / sizeof(float)];
    for (int64_t item = begin; item < end; item++) {
        const int64_t piece = item % c->pieces, block = item / c->pieces % c->blocks;
        narrow_tile t = {.group = item / c->pieces / c->blocks, .filter = block * c->channels};
        t.filters = tn_least(c->channels, c->narrow - t.filter);
        const tn_interval all = narrow_positions(c, piece);
        const int64_t before = piece / c->grid.bands * c->grid.images * c->narrow_points;
        blas_columns_of k = {narrow_grid(r, t.group, piece, scratch), c->wide, 0, runs};
        for (int64_t q = all.begin; q < all.end; q += width) {
            t.first = before + q;
            t.n = tn_least(width, all.end - q);
            k.n_runs = blas_grid_runs(c, piece % c->grid.bands, (tn_interval){q, q + t.n}, runs);
            blas_grid_columns(c, &k, panel, width);
            narrow_product(r, &t, panel, sums);
        }
        if (c->lead.tail) narrow_tail(r, &t, (tn_interval){before + all.begin, before + all.end});
    }
}

// Items: filters of images.
static void narrow_direct_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const int64_t filters = c->groups * c->narrow;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t f = item % filters, n = item / filters, group = f / c->narrow;
        char *y = blas_conv_move(r->y, c, item * c->narrow_points);
        const char *x = blas_conv_move(r->x, c, (n * c->groups + group) * c->wide * c->wide_points);
        const char *w = blas_conv_move(r->w, c, f * c->wide * c->weight_points);
        blas_conv_fill(c, y, c->narrow_points, r->bias ? blas_conv_number(c, r->bias, f) : 0);
        (c->dtype == TN_F64 ? blas_direct_narrow_f64 : blas_direct_narrow_f32)(c, x, w, y);
        if (c->lead.tail)
            blas_tail_run(c->lead.tail, r->a, item * c->narrow_points, c->narrow_points);
    }
}

static void narrow_run(const tn_sdk_kernel *k, const blas_conv_run *r)
{
    const blas_conv *c = r->c;
    const int64_t work = c->wide * c->weight_points;
    blas_conv_run run = *r;
    if (c->lines.on)
        blas_lines_run(k, r, false);
    else if (c->direct)
        blas_items(k, r->a, c->batch * c->groups * c->narrow, work * c->narrow_points, BLAS_CHEAP,
                   narrow_direct_range, &run);
    else
        blas_items(k, r->a, c->groups * c->pieces * c->blocks,
                   work * c->batch * c->narrow_points / tn_most(c->pieces, 1) * c->channels,
                   4 * BLAS_CHEAP, narrow_range, &run);
}

static tn_status convolution(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const void *bias = a->n_in > 2 ? blas_in(a, 2) : NULL;
    narrow_run(
        k, &(blas_conv_run){k->state, a, blas_in(a, 0), blas_in(a, 1), blas_out(a, 0), bias, NULL});
    return TN_OK;
}

// Inputs dy, weight, data's shape
static tn_status deconvolution_data(const tn_sdk_kernel *k, const tn_run_args *a)
{
    narrow_run(
        k, &(blas_conv_run){k->state, a, blas_in(a, 0), blas_in(a, 1), blas_out(a, 0), NULL, NULL});
    return TN_OK;
}

// ------------------------------------------------------------------ from narrow to wide
//
// With stride 1 this is a sum from wide to narrow, too, where the two change places and the kernel
// is turned round: element j of it stands at the place of k - 1 - j, with the pad d (k - 1) - p.
// Elsewhere, and where channels are few, or the wide side so much larger that many of those columns
// would be pad,
// products give the columns of the wide side, which are added to where they came from.

static void turn(const blas_conv *c, blas_conv *t)
{
    *t = *c;
    t->turned = true;
    t->wide = c->narrow, t->narrow = c->wide;
    t->wide_points = c->narrow_points, t->narrow_points = c->wide_points;
    for (int i = 0; i < TN_SPATIAL; i++) {
        tn_slide *s = &t->axis[i];
        s->wide = c->axis[i].narrow, s->narrow = c->axis[i].wide;
        s->pad = s->dilate * (s->window - 1) - s->pad;
    }
    t->direct = false;
    cut_narrow(t);
}

// Channels of an item; scratch for their columns and a panel of the narrow side.
static void cut_wide(blas_conv *c)
{
    const int64_t others = c->batch * c->groups;
    const int64_t least = tn_ceil_div(BLAS_CONV_SIDE / 2, c->weight_points);
    const int64_t most =
        BLAS_CONV_CACHED / (int64_t)c->size / BLAS_CONV_SIDE / 4 / c->weight_points;
    c->blocks =
        c->direct ? c->wide
                  : blas_conv_cut(c->wide, BLAS_CONV_ITEMS, others, (const int64_t[]){least, most});
    c->channels = tn_ceil_div(c->wide, c->blocks);
    c->blocks = tn_ceil_div(c->wide, tn_most(c->channels, 1));
    if (c->direct) {
        blas_lines_plan(c, BLAS_LINES_WIDE, c->narrow);
        if (c->lines.on) c->worker_bytes = blas_lines_bytes(c);
        return;
    }
    c->points = blas_conv_points(c, c->channels * c->weight_points);
    c->worker_bytes = blas_conv_bytes(c, c->channels * c->weight_points, c->points) +
                      (uint64_t)tn_extent_times(c->narrow, BLAS_PANEL);
}

static tn_status wide_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of y, w
{
    blas_conv *c = k->state, plain;
    blas_conv_sizes(k->call, c, k->call->out[0], k->call->in[1], k->call->in[0]);
    c->items = blas_conv_items(k);
    bool steps = true;
    for (int i = 0; i < TN_SPATIAL; i++) steps = steps && c->axis[i].stride == 1;
    plain = *c;
    if (steps && !c->direct && c->wide >= 8 && 2 * c->wide_points <= 3 * c->narrow_points)
        turn(&plain, c);
    else
        cut_wide(c);
    if (!c->direct) c->shared_bytes = blas_conv_bytes(c, k->call->in[1]->size, 1);
    return blas_conv_finish(k, c, info);
}

// The weights (f, c j) of a group become (c j, f), or (c, f j) with the kernel turned round.
static void weights_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const int64_t channels = c->turned ? c->narrow : c->wide;
    const int64_t filters = c->turned ? c->wide : c->narrow;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / channels, channel = item % channels;
        const int64_t from = (group * filters * channels + channel) * c->weight_points;
        const int64_t sizes[3] = {filters, channels * c->weight_points, c->weight_points};
        blas_conv_turn(c, blas_conv_move(r->w, c, from), sizes, c->turned,
                       blas_conv_move(r->a->scratch.host, c, item * filters * c->weight_points));
    }
}

// Channels of one item: their columns are w(c j, f) · y(f, points), a piece at a time.
static void wide_item(const blas_conv_run *r, const char *y, const char *w, char *x,
                      int64_t channels, char *col)
{
    const blas_conv *c = r->c;
    const int64_t rows = channels * c->weight_points, width = blas_panel_width(c->dtype);
    char *panel = col + blas_conv_bytes(c, c->channels * c->weight_points, c->points);
    for (int64_t first = 0; first < c->narrow_points; first += c->points) {
        const int64_t n = tn_least(c->points, c->narrow_points - first);
        const blas_patch patch = {channels, first, first + n};
        for (int64_t at = 0; at < n; at += width) {
            const int64_t some = tn_least(width, n - at);
            const blas_panel p = {.dtype = c->dtype,
                                  .m = rows,
                                  .n = some,
                                  .k = c->narrow,
                                  .a = w,
                                  .a_row = c->narrow,
                                  .b = panel};
            blas_conv_rows(c, blas_conv_move(y, c, first + at), c->narrow, some, panel);
            blas_panel_multiply(&p, blas_conv_move(col, c, at), c->points, false);
        }
        blas_conv_add_columns(c, &patch, x, col, c->points);
    }
}

// Items: blocks of channels of groups of images.
static void wide_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    for (int64_t item = begin; item < end; item++) {
        const int64_t at = item / c->blocks, first = item % c->blocks * c->channels;
        const int64_t group = at % c->groups, n = tn_least(c->channels, c->wide - first);
        const int64_t points = c->weight_points;
        const char *y = blas_conv_move(r->y, c, at * c->narrow * c->narrow_points);
        char *x = blas_conv_move(r->x, c, (at * c->wide + first) * c->wide_points);
        for (int64_t i = 0; i < n; i++)
            blas_conv_fill(c, blas_conv_move(x, c, i * c->wide_points), c->wide_points,
                           r->bias ? blas_conv_number(c, r->bias, group * c->wide + first + i) : 0);
        if (c->direct)
            (c->dtype == TN_F64 ? blas_direct_wide_f64 : blas_direct_wide_f32)(
                c, y, blas_conv_move(r->w, c, (group * c->narrow * c->wide + first) * points), x);
        else
            wide_item(r, y,
                      blas_conv_move(r->a->scratch.host, c,
                                     (group * c->wide + first) * points * c->narrow),
                      x, n, blas_conv_scratch(c, r->a, worker));
        if (c->lead.tail)
            blas_tail_run(c->lead.tail, r->a, (at * c->wide + first) * c->wide_points,
                          n * c->wide_points);
    }
}

static tn_status wide_run(const tn_sdk_kernel *k, const tn_run_args *a, const void *bias)
{
    const blas_conv *c = k->state;
    blas_conv_run r = {c, a, blas_out(a, 0), blas_in(a, 1), blas_in(a, 0), bias, NULL};
    if (k->call->out[0]->size == 0) return TN_OK;
    if (c->lines.on) {
        blas_lines_run(k, &r, true);
        return TN_OK;
    }
    if (!c->direct)
        blas_items(k, a, c->groups * (c->turned ? c->narrow : c->wide),
                   c->weight_points * (c->turned ? c->wide : c->narrow), BLAS_CHEAP, weights_range,
                   &r);
    if (c->turned) {
        narrow_run(k, &(blas_conv_run){c, a, r.y, a->scratch.host, r.x, bias, NULL});
        return TN_OK;
    }
    const int64_t work = c->channels * c->weight_points * (c->narrow_points + 1) * (c->narrow + 1);
    blas_items(k, a, c->batch * c->groups * c->blocks, work, 4 * BLAS_CHEAP, wide_range, &r);
    return TN_OK;
}

static tn_status deconvolution(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return wide_run(k, a, a->n_in > 2 ? blas_in(a, 2) : NULL);
}

// Inputs dy, weight, data's shape
static tn_status convolution_data(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return wide_run(k, a, NULL);
}

// ------------------------------------------------------------------ rows

static const char *narrow_cannot(const tn_call *call) // of x, w
{
    return blas_conv_cannot(call, call->in[0], call->in[1], call->out[0]);
}

static const char *wide_cannot(const tn_call *call) // of y, w
{
    return blas_conv_cannot(call, call->out[0], call->in[1], call->in[0]);
}

#define ROW(op_, way_, run_)                                                                   \
    {                                                                                          \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(blas_conv), \
        .cannot = way_##_cannot, .setup = way_##_setup, .run = run_                            \
    }

const tn_kernel_row blas_convs[] = {
    ROW("Convolution", narrow, convolution),
    ROW("_backward_Convolution_data", wide, convolution_data),
    ROW("Deconvolution", wide, deconvolution),
    ROW("_backward_Deconvolution_data", narrow, deconvolution_data),
    {0},
};
