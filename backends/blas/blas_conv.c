// backends/blas/blas_conv.c: Convolution, Deconvolution, and the gradients of their data.
//
// The formulas, and what columns are: blas_conv.h. Items are images, groups and pieces of them;
// how they are cut depends on the sizes alone, so results do not depend on the threads.
#include "blas_conv.h"

// ------------------------------------------------------------------ from wide to narrow

static tn_status narrow_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of x, w
{
    blas_conv *c = k->state;
    blas_conv_sizes(k->call, c, k->call->in[0], k->call->in[1], k->call->out[0]);
    const int64_t rows = c->wide * c->weight_points, others = c->batch * c->groups;
    blas_conv_cut_points(c, rows, others);
    c->together = !c->direct && others * c->pieces < BLAS_CONV_ITEMS / 2;
    if (c->plain && c->pieces == 1) c->points = c->narrow_points;
    if (!c->direct && !c->plain) {
        if (c->together)
            c->shared_bytes = blas_conv_bytes(c, rows, c->narrow_points);
        else
            c->worker_bytes = blas_conv_bytes(c, rows, c->points);
    }
    return blas_conv_finish(k, c, info);
}

// y(f, points) += w(f, c j) · col(c j, points), rows of col `row` elements apart
static blas_gemm narrow_product(const blas_conv *c, void *y, const void *w, const void *col,
                                int64_t row, int64_t points)
{
    const int64_t rows = c->wide * c->weight_points;
    return (blas_gemm){.dtype = c->dtype,
                       .size = {c->narrow, points, rows},
                       .c = {y, c->narrow_points, false},
                       .a = {(void *)(uintptr_t)w, rows, false},
                       .b = {(void *)(uintptr_t)col, row, false},
                       .add = true,
                       .batch = 1};
}

// Positions begin … end-1 of the filters of a group := their bias, or 0.
static void begin_sums(const blas_conv_run *r, char *y, int64_t group, int64_t begin, int64_t end)
{
    const blas_conv *c = r->c;
    for (int64_t f = 0; f < c->narrow; f++)
        blas_conv_fill(c, blas_conv_move(y, c, f * c->narrow_points + begin), end - begin,
                       r->bias ? blas_conv_number(c, r->bias, group * c->narrow + f) : 0);
}

// Items: pieces of groups of images.
static void narrow_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const int threads = blas_alone();
    for (int64_t item = begin; item < end; item++) {
        const int64_t at = item / c->pieces, first = item % c->pieces * c->points;
        const int64_t group = at % c->groups,
                      last = blas_least(first + c->points, c->narrow_points);
        const char *x = blas_conv_move(r->x, c, at * c->wide * c->wide_points);
        const char *w = blas_conv_move(r->w, c, group * c->narrow * c->wide * c->weight_points);
        char *y = blas_conv_move(r->y, c, at * c->narrow * c->narrow_points);
        char *col = c->plain ? blas_conv_move(x, c, first) : blas_conv_scratch(c, r->a, worker);
        const blas_patch patch = {c->wide, first, last};
        if (!c->plain) blas_conv_columns(c, &patch, x, col, c->points);
        begin_sums(r, y, group, first, last);
        const blas_gemm g = narrow_product(c, blas_conv_move(y, c, first), w, col,
                                           c->plain ? c->narrow_points : c->points, last - first);
        blas_multiply_alone(&g);
    }
    blas_alone_end(threads);
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
    }
}

// Items: channels of the one image and group that `x` is.
static void columns_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const blas_patch patch = {end - begin, 0, c->narrow_points};
    (void)worker;
    blas_conv_columns(
        c, &patch, blas_conv_move(r->x, c, begin * c->wide_points),
        blas_conv_move(r->a->scratch.host, c, begin * c->weight_points * c->narrow_points),
        c->narrow_points);
}

// One image and group after the other, each with all threads.
static void narrow_together(const tn_sdk_kernel *k, const blas_conv_run *r)
{
    const blas_conv *c = r->c;
    for (int64_t at = 0; at < c->batch * c->groups; at++) {
        blas_conv_run one = *r;
        const int64_t group = at % c->groups;
        one.x = blas_conv_move(r->x, c, at * c->wide * c->wide_points);
        char *y = blas_conv_move(r->y, c, at * c->narrow * c->narrow_points);
        if (!c->plain)
            blas_items(k, r->a, c->wide, c->weight_points * c->narrow_points, BLAS_CHEAP,
                       columns_range, &one);
        begin_sums(r, y, group, 0, c->narrow_points);
        const blas_gemm g = narrow_product(
            c, y, blas_conv_move(r->w, c, group * c->narrow * c->wide * c->weight_points),
            c->plain ? one.x : r->a->scratch.host, c->narrow_points, c->narrow_points);
        blas_multiply(k, r->a, &g);
    }
}

static tn_status narrow_run(const tn_sdk_kernel *k, const tn_run_args *a, const void *bias)
{
    const blas_conv *c = k->state;
    blas_conv_run r = {c, a, blas_in(a, 0), blas_in(a, 1), blas_out(a, 0), bias, NULL};
    const int64_t work = c->wide * c->weight_points;
    if (c->direct)
        blas_items(k, a, c->batch * c->groups * c->narrow, work * c->narrow_points, BLAS_CHEAP,
                   narrow_direct_range, &r);
    else if (c->together)
        narrow_together(k, &r);
    else
        blas_items(k, a, c->batch * c->groups * c->pieces, work * c->points * c->narrow,
                   4 * BLAS_CHEAP, narrow_range, &r);
    return TN_OK;
}

static tn_status convolution(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return narrow_run(k, a, a->n_in > 2 ? blas_in(a, 2) : NULL);
}

// Inputs dy, weight, data's shape
static tn_status deconvolution_data(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return narrow_run(k, a, NULL);
}

// ------------------------------------------------------------------ from narrow to wide

static tn_status wide_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of y, w
{
    blas_conv *c = k->state;
    blas_conv_sizes(k->call, c, k->call->out[0], k->call->in[1], k->call->in[0]);
    const int64_t others = c->batch * c->groups;
    const int64_t least = blas_ceil_div(BLAS_CONV_SIDE / 2, c->weight_points);
    const int64_t most =
        BLAS_CONV_CACHED / (int64_t)c->size / BLAS_CONV_SIDE / 4 / c->weight_points;
    c->blocks = c->direct ? c->wide : blas_conv_cut(c->wide, others, least, most);
    c->channels = blas_ceil_div(c->wide, c->blocks);
    c->blocks = blas_ceil_div(c->wide, blas_most(c->channels, 1));
    blas_conv_cut_points(c, c->channels * c->weight_points, BLAS_CONV_ITEMS);
    if (!c->direct && !c->plain)
        c->worker_bytes = blas_conv_bytes(c, c->channels * c->weight_points, c->points);
    return blas_conv_finish(k, c, info);
}

// Channels of one item: their columns are w(f, c j)ᵀ · y(f, points), a piece at a time.
static void wide_item(const blas_conv_run *r, const char *y, const char *w, char *x,
                      int64_t channels, char *col)
{
    const blas_conv *c = r->c;
    for (int64_t first = 0; first < c->narrow_points; first += c->points) {
        const int64_t n = blas_least(c->points, c->narrow_points - first);
        const blas_patch patch = {channels, first, first + n};
        const blas_gemm g = {.dtype = c->dtype,
                             .size = {channels * c->weight_points, n, c->narrow},
                             .c = {c->plain ? blas_conv_move(x, c, first) : col,
                                   c->plain ? c->wide_points : c->points, false},
                             .a = {(void *)(uintptr_t)w, c->wide * c->weight_points, true},
                             .b = {blas_conv_move(y, c, first), c->narrow_points, false},
                             .add = c->plain,
                             .batch = 1};
        blas_multiply_alone(&g);
        if (!c->plain) blas_conv_add_columns(c, &patch, x, col, c->points);
    }
}

// Items: blocks of channels of groups of images.
static void wide_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_conv_run *r = ctx;
    const blas_conv *c = r->c;
    const int threads = blas_alone();
    for (int64_t item = begin; item < end; item++) {
        const int64_t at = item / c->blocks, first = item % c->blocks * c->channels;
        const int64_t group = at % c->groups, n = blas_least(c->channels, c->wide - first);
        const char *y = blas_conv_move(r->y, c, at * c->narrow * c->narrow_points);
        const char *w =
            blas_conv_move(r->w, c, (group * c->narrow * c->wide + first) * c->weight_points);
        char *x = blas_conv_move(r->x, c, (at * c->wide + first) * c->wide_points);
        for (int64_t i = 0; i < n; i++)
            blas_conv_fill(c, blas_conv_move(x, c, i * c->wide_points), c->wide_points,
                           r->bias ? blas_conv_number(c, r->bias, group * c->wide + first + i) : 0);
        if (c->direct)
            (c->dtype == TN_F64 ? blas_direct_wide_f64 : blas_direct_wide_f32)(c, y, w, x);
        else
            wide_item(r, y, w, x, n, blas_conv_scratch(c, r->a, worker));
    }
    blas_alone_end(threads);
}

static tn_status wide_run(const tn_sdk_kernel *k, const tn_run_args *a, const void *bias)
{
    const blas_conv *c = k->state;
    blas_conv_run r = {c, a, blas_out(a, 0), blas_in(a, 1), blas_in(a, 0), bias, NULL};
    const int64_t work = c->channels * c->weight_points * (c->narrow_points + 1) * (c->narrow + 1);
    if (k->call->out[0]->size)
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
