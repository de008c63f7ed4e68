// backends/blas/blas_conv_weight.c: the gradients of the weights of Convolution and Deconvolution.
//
// Items are blocks of channels, and where these are few, parts of the batch, whose sums are added
// up in their order.
#include "blas_conv.h"
#include "blas_panel.h"

enum { MOST_PARTS = 1 << 22 }; // bytes of the sums of all parts

// Elements from column to column: they are written by cache lines.
static int64_t column_step(const blas_conv *c)
{
    return c->points + 64 / (int64_t)c->size;
}

static uint64_t columns_bytes(const blas_conv *c, int64_t rows)
{
    return blas_conv_bytes(c, rows, column_step(c)) + 64;
}

// Items: blocks of channels, so that their sums and columns stay in a cache.
static void cut_weight(blas_conv *c, int64_t sums)
{
    const int64_t width = blas_panel_width(c->dtype),
                  bytes = tn_extent_times(sums, (int64_t)c->size);
    const int64_t filters = tn_ceil_div(c->narrow, width) * width;
    const int64_t fit =
        BLAS_CONV_CACHED / (int64_t)c->size / tn_most(filters, BLAS_CONV_POINTS / 2);
    const int64_t least = tn_ceil_div(BLAS_CONV_SIDE, c->weight_points);
    c->blocks = blas_conv_cut(c->wide, BLAS_CONV_ITEMS, c->groups,
                              (const int64_t[]){least, fit / c->weight_points});
    c->channels = tn_ceil_div(c->wide, c->blocks);
    c->blocks = tn_ceil_div(c->wide, tn_most(c->channels, 1));
    while (c->chunks * c->groups * c->blocks < BLAS_CONV_ITEMS && 2 * c->chunks <= c->batch &&
           tn_extent_times(2 * c->chunks, bytes) <= MOST_PARTS)
        c->chunks *= 2;
    const int64_t rows = c->channels * c->weight_points;
    c->points = blas_conv_points(c, rows);
    blas_grid_plan(c, c->channels, BLAS_CONV_ITEMS, false);
    c->worker_bytes = columns_bytes(c, rows) + blas_conv_bytes(c, filters, c->points) +
                      blas_conv_bytes(c, rows, filters) + (uint64_t)blas_grid_bytes(c, c->channels);
    if (c->chunks > 1) c->shared_bytes = blas_conv_bytes(c, sums, c->chunks);
}

static tn_status weight_setup(tn_sdk_kernel *k, const tn_value_info *x, const tn_value_info *y,
                              tn_kernel_info *info)
{
    blas_conv *c = k->state;
    blas_conv_sizes(k->call, c, x, k->call->out[0], y);
    c->chunks = 1;
    if (c->direct) {
        blas_lines_plan(c, BLAS_LINES_WEIGHT, 1);
        c->worker_bytes = c->lines.on
                              ? blas_lines_weight_bytes(c)
                              : ((uint64_t)c->weight_points * sizeof(double) + 63) / 64 * 64;
    } else {
        cut_weight(c, k->call->out[0]->size);
    }
    return blas_conv_finish(k, c, info);
}

static tn_status conv_weight_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of y, x
{
    return weight_setup(k, k->call->in[1], k->call->in[0], info);
}

static tn_status deconv_weight_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of x, y
{
    return weight_setup(k, k->call->in[0], k->call->in[1], info);
}

// What an item of the weight's sum is about.
typedef struct weight_item {
    int64_t group, first, channels; // of the wide side
    int64_t filled;                 // positions whose columns are there
    char *columns, *panels, *sums;  // (c j, points); of the narrow side (points, f); (c j, f)
    char *grid;
    bool begun; // there are sums
} weight_item;

static const char *image_x(const blas_conv_run *r, const weight_item *t, int64_t n)
{
    const blas_conv *c = r->c;
    return blas_conv_move(r->x, c,
                          ((n * c->groups + t->group) * c->wide + t->first) * c->wide_points);
}

static const char *image_y(const blas_conv_run *r, const weight_item *t, int64_t n)
{
    const blas_conv *c = r->c;
    return blas_conv_move(r->y, c, (n * c->groups + t->group) * c->narrow * c->narrow_points);
}

// sums(c j, f) = or += columns(c j, filled) · y(filled, f), a panel of filters at a time
static void weight_product(const blas_conv *c, weight_item *t)
{
    const int64_t width = blas_panel_width(c->dtype), row = tn_ceil_div(c->narrow, width) * width;
    for (int64_t f = 0; f < c->narrow; f += width) {
        const blas_panel p = {.dtype = c->dtype,
                              .m = t->channels * c->weight_points,
                              .n = tn_least(width, c->narrow - f),
                              .k = t->filled,
                              .a = t->columns,
                              .a_row = column_step(c),
                              .b = blas_conv_move(t->panels, c, f * c->points)};
        blas_panel_multiply(&p, blas_conv_move(t->sums, c, f), row, t->begun);
    }
    t->begun = true;
    t->filled = 0;
}

// Positions of image n that are in one band, a piece at a time; pieces of several bands and images
// are worked on together.
static void weight_band(const blas_conv_run *r, weight_item *t, int64_t n, int64_t band)
{
    const blas_conv *c = r->c;
    const int64_t width = blas_panel_width(c->dtype);
    const char *y = image_y(r, t, n);
    const void *grid =
        blas_grid_of(c, image_x(r, t, n), t->channels, (const int64_t[]){0, band}, t->grid);
    const tn_interval all = blas_grid_positions(c, band);
    blas_run_of runs[BLAS_CONV_POINTS];
    for (int64_t first = all.begin; first < all.end;) {
        const int64_t points = tn_least(c->points - t->filled, all.end - first);
        const int64_t n_runs = blas_grid_runs(c, band, (tn_interval){first, first + points}, runs);
        const blas_columns_of k = {grid, t->channels, n_runs, runs};
        blas_grid_columns(c, &k, blas_conv_move(t->columns, c, t->filled), column_step(c));
        for (int64_t f = 0; f < c->narrow; f += width)
            blas_panel_across(c->dtype, blas_conv_move(y, c, f * c->narrow_points + first),
                              c->narrow_points,
                              (const int64_t[]){tn_least(width, c->narrow - f), points},
                              blas_conv_move(t->panels, c, f * c->points + t->filled * width));
        first += points;
        t->filled += points;
        if (t->filled == c->points) weight_product(c, t);
    }
}

// Items: parts of the batch of blocks of channels of groups.
static void weight_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const int64_t width = blas_panel_width(c->dtype), row = c->wide * c->weight_points;
    const int64_t rows = c->channels * c->weight_points, sums = c->groups * c->narrow * row;
    const int64_t filters = tn_ceil_div(c->narrow, width) * width;
    char *scratch = blas_conv_scratch(c, r->a, worker);
    for (int64_t item = begin; item < end; item++) {
        const int64_t chunk = item % c->chunks, at = item / c->chunks;
        weight_item t = {.group = at / c->blocks, .first = at % c->blocks * c->channels};
        t.channels = tn_least(c->channels, c->wide - t.first);
        t.columns = scratch;
        t.panels = scratch + columns_bytes(c, rows);
        t.sums = t.panels + blas_conv_bytes(c, filters, c->points);
        t.grid = t.sums + blas_conv_bytes(c, rows, filters);
        const int64_t last = c->batch * (chunk + 1) / c->chunks;
        for (int64_t n = c->batch * chunk / c->chunks; n < last; n++)
            for (int64_t band = 0; band < c->grid.bands; band++) weight_band(r, &t, n, band);
        if (t.filled || !t.begun) weight_product(c, &t);
        blas_conv_back(
            c, t.sums, t.channels * c->weight_points, row,
            blas_conv_move(r->parts, c,
                           chunk * sums + t.group * c->narrow * row + t.first * c->weight_points));
    }
}

void blas_weight_by_elements(const blas_conv_run *r, int64_t item, double *sums)
{
    const blas_conv *c = r->c;
    const int64_t f = item / c->wide, group = f / c->narrow;
    const weight_item t = {.group = group, .first = item % c->wide};
    for (int64_t i = 0; i < c->weight_points; i++) sums[i] = 0;
    for (int64_t n = 0; n < c->batch; n++) {
        const void *x = image_x(r, &t, n);
        const void *y =
            blas_conv_move(image_y(r, &t, n), c, (f - group * c->narrow) * c->narrow_points);
        (c->dtype == TN_F64 ? blas_direct_weight_f64 : blas_direct_weight_f32)(c, x, y, sums);
    }
    blas_store_f64(c->dtype, r->parts, item * c->weight_points, c->weight_points, sums);
}

// Items: filters and channels.
static void weight_direct_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    double *sums = (double *)(void *)blas_conv_scratch(r->c, r->a, worker);
    for (int64_t item = begin; item < end; item++) blas_weight_by_elements(r, item, sums);
}

// w = the sum of the parts, in their order
static void sum_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const int64_t sums = c->groups * c->narrow * c->wide * c->weight_points;
    (void)worker;
    (c->dtype == TN_F64 ? blas_sum_parts_f64
                        : blas_sum_parts_f32)(blas_conv_move(r->parts, c, begin), c->chunks, sums,
                                              blas_conv_move(r->w, c, begin), end - begin);
}

static tn_status weight_run(const tn_sdk_kernel *k, const tn_run_args *a, const void *x,
                            const void *y)
{
    const blas_conv *c = k->state;
    blas_conv_run r = {c, a, x, blas_out(a, 0), y, NULL, blas_out(a, 0)};
    const int64_t sums = k->call->out[0]->size, pairs = c->batch * c->narrow_points;
    if (sums == 0) return TN_OK;
    if (c->lines.on) {
        blas_lines_weight(k, &r);
        return TN_OK;
    }
    if (c->direct) {
        blas_items(k, a, sums / c->weight_points, pairs * c->weight_points, BLAS_CHEAP,
                   weight_direct_range, &r);
        return TN_OK;
    }
    if (c->chunks > 1) r.parts = a->scratch.host;
    const int64_t items = c->groups * c->blocks * c->chunks;
    blas_items(k, a, items, sums / items * pairs, 4 * BLAS_CHEAP, weight_range, &r);
    if (c->chunks > 1) blas_elements(k, a, sums, BLAS_CHEAP, sum_range, &r);
    return TN_OK;
}

// Inputs dy, data, weight's shape
static tn_status convolution_weight(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return weight_run(k, a, blas_in(a, 1), blas_in(a, 0));
}

static tn_status deconvolution_weight(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return weight_run(k, a, blas_in(a, 0), blas_in(a, 1));
}

static const char *conv_cannot(const tn_call *call) // of y, x
{
    return blas_conv_cannot(call, call->in[1], call->out[0], call->in[0]);
}

static const char *deconv_cannot(const tn_call *call) // of x, y
{
    return blas_conv_cannot(call, call->in[0], call->out[0], call->in[1]);
}

#define ROW(op_, way_, run_)                                                                   \
    {                                                                                          \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(blas_conv), \
        .cannot = way_##_cannot, .setup = way_##_weight_setup, .run = run_                     \
    }

const tn_kernel_row blas_conv_weights[] = {
    ROW("_backward_Convolution_weight", conv, convolution_weight),
    ROW("_backward_Deconvolution_weight", deconv, deconvolution_weight),
    {0},
};
