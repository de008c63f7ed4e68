// backends/onednn/onednn_columns.c: the gradient of the data of a convolution with few channels, by
// way of columns and a matrix product.
//
// oneDNN's convolutions compute whole vectors of channels, so that 20 of them cost what 32 do. With
// channels last, and the weight as (filters, kh, kw, channels), the product
//
//     columns (points of dy, kh·kw·channels) = dy (points, filters) · w (filters, kh·kw·channels)
//
// has hardly anything to fill up. What dx gets from a point and a row of the kernel is then one run
// of kw·channels numbers:
//
//     dx[oy + ky − pad, ox − pad …] += columns[(oy, ox), ky]
//
// A worker takes whole pictures, and of each so many rows at a time that the columns stay in its
// cache.
#include <omp.h>
#include <stdatomic.h>

#include "onednn_loops.h"

enum { MOST_BYTES = 512 << 10, VECTOR = 16 };

typedef struct columns {
    od_state base;
    bool by_columns; // else it is a convolution: a value lies otherwise than wanted
    int64_t images, filters, channels;
    int64_t in[2], out[2], kernel[2], pad[2]; // height, width
    int64_t line;                             // elements of a row of columns: kh kw channels
    int64_t rows;                             // of a result's picture, in a block
    uint64_t at;                              // columns of worker 0, in bytes into scratch
    uint64_t each;                            // bytes of a worker's columns
} columns;

static int64_t at_or(tn_ints list, uint32_t i, int64_t otherwise)
{
    return i < list.n ? list.v[i] : otherwise;
}

// Fills in g; false: no convolution of pictures with windows side by side.
static bool columns_of(const tn_call *c, columns *g)
{
    const tn_value_info *y = c->in[0], *w = c->in[1], *x = c->out[0];
    if (x->ndim != 4 || tn_call_i64(c, "num_group", 1) != 1) return false;
    g->images = x->dims[0];
    g->filters = w->dims[0];
    g->channels = x->dims[1];
    for (uint32_t i = 0; i < 2; i++) {
        if (at_or(tn_call_ints(c, "stride"), i, 1) != 1) return false;
        if (at_or(tn_call_ints(c, "dilate"), i, 1) != 1) return false;
        g->in[i] = x->dims[2 + i];
        g->out[i] = y->dims[2 + i];
        g->kernel[i] = w->dims[2 + i];
        g->pad[i] = at_or(tn_call_ints(c, "pad"), i, 0);
    }
    g->line = g->kernel[0] * g->kernel[1] * g->channels;
    const int64_t most = MOST_BYTES / (int64_t)sizeof(float) / g->line / g->out[1];
    if (most < 1) return false;
    const int64_t blocks = (g->out[0] + most - 1) / most;
    g->rows = (g->out[0] + blocks - 1) / blocks;
    return true;
}

// Where this took less time than the convolution of oneDNN 2.6 (AVX-512; 3×3 and 5×5 kernels, 4 to
// 72 channels, 16 to 512 filters, 4×4 to 28×28 points): a quarter of its channels or more is
// filling, and there are filters and points enough for the columns' way through the cache.
static bool is_worth_it(const columns *g)
{
    const int64_t filled = (g->channels + VECTOR - 1) / VECTOR * VECTOR;
    return 3 * filled >= 4 * g->channels && g->filters >= 48 && g->kernel[0] * g->kernel[1] > 1 &&
           g->out[0] * g->out[1] >= 36;
}

// Pictures go to workers whole.
static bool occupies_workers(const tn_call *c, const columns *g)
{
    const uint32_t asked = od_threads(c);
    return g->images >= 4 * (asked ? (int64_t)asked : omp_get_max_threads());
}

typedef struct block {
    dnnl_memory_desc_t y, w, columns;
} block;

static block block_of(const columns *g)
{
    const int64_t points = g->rows * g->out[1];
    return (block){od_dense(2, (const int64_t[]){points, g->filters}, TN_F32),
                   od_dense(2, (const int64_t[]){g->filters, g->line}, TN_F32),
                   od_dense(2, (const int64_t[]){points, g->line}, TN_F32)};
}

// For one thread. NULL: there is none made for this CPU.
static dnnl_primitive_desc_t product_of(const block *b)
{
    dnnl_matmul_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    const int before = od_enter(1);
    if (dnnl_matmul_desc_init(&d, &b->y, &b->w, NULL, &b->columns) == dnnl_success)
        pd = od_descriptor(&d, NULL);
    od_leave(before);
    if (!pd || od_score(pd) == 2) return pd;
    dnnl_primitive_desc_destroy(pd);
    return NULL;
}

static const char *cannot(const tn_call *c)
{
    columns g = {0};
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    if (od_may_narrow(c)) return "may be computed in bfloat16";
    if (!columns_of(c, &g)) return "wanted pictures, stride 1, no dilation, no groups";
    if (!is_worth_it(&g) || !occupies_workers(c, &g)) return "the convolution is faster";
    const block b = block_of(&g);
    dnnl_primitive_desc_t pd = product_of(&b);
    if (!pd) return od_no_primitive;
    dnnl_primitive_desc_destroy(pd);
    return NULL;
}

static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const tn_value_info *values[] = {c->in[0], c->in[1], c->out[0]};
    tn_layout *wished[] = {&in[0], &in[1], &out[0]};
    (void)host;
    for (int i = 0; i < 3; i++) {
        const dnnl_memory_desc_t last = od_last(values[i]);
        *wished[i] = (tn_layout){NULL, 0, 0};
        od_layout(&last, values[i], wished[i]);
    }
    return TN_OK;
}

static bool lie_last(const tn_call *c)
{
    const dnnl_memory_desc_t y = od_last(c->in[0]), w = od_last(c->in[1]), x = od_last(c->out[0]);
    return od_fits(&y, c->in[0]) && od_fits(&w, c->in[1]) && od_fits(&x, c->out[0]);
}

// A product for each worker: each has its own memory objects.
static tn_status add_products(tn_sdk_kernel *k, tn_kernel_info *info, columns *g)
{
    const block b = block_of(g);
    dnnl_primitive_desc_t pd = product_of(&b);
    tn_status s = pd ? TN_OK : od_fail(k, dnnl_unimplemented, "columns");
    const uint32_t workers = od_workers(k);
    g->each = (dnnl_memory_desc_get_size(&b.columns) + 63) / 64 * 64;
    const int64_t all[] = {workers, (int64_t)(g->each / sizeof(float))};
    const dnnl_memory_desc_t room = od_dense(2, all, TN_F32);
    g->at = od_scratch(info, &room);
    for (uint32_t i = 0; i < workers && s == TN_OK; i++) {
        s = od_add_for(k, info, pd, 4, 1);
        if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &b.columns, OD_SCRATCH, g->at + i * g->each);
        if (s == TN_OK) s = od_bind(k, DNNL_ARG_WEIGHTS, &b.w, OD_IN, 1);
        if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &b.y, OD_IN, 0);
    }
    if (s == TN_OK) snprintf(g->base.impl, sizeof g->base.impl, "columns, %s", od_name(pd));
    if (pd) dnnl_primitive_desc_destroy(pd);
    return s;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    columns *g = k->state;
    g->by_columns = lie_last(k->call) && columns_of(k->call, g);
    return od_end(k, g->by_columns ? add_products(k, info, g)
                                   : onednn_conv_leader.add(k, k->call, NULL, info));
}

// ------------------------------------------------------------------ a run

// Adds the columns of the points of row oy to a picture.
OD_CLONES static void od_add_columns(const columns *g, const float *from, int64_t oy, float *dx)
{
    const int64_t width = g->in[1], n = g->channels, kw = g->kernel[1];
    for (int64_t ox = 0; ox < g->out[1]; ox++, from += g->line) {
        const int64_t left = ox - g->pad[1]; // where the window begins
        const int64_t begin = left < 0 ? -left : 0, end = left + kw > width ? width - left : kw;
        for (int64_t ky = 0; ky < g->kernel[0]; ky++) {
            const int64_t iy = oy + ky - g->pad[0];
            if (iy < 0 || iy >= g->in[0] || begin >= end) continue;
            const float *run = from + (ky * kw + begin) * n;
            float *to = dx + (iy * width + left + begin) * n;
            OD_SIMD
            for (int64_t i = 0; i < (end - begin) * n; i++) to[i] += run[i];
        }
    }
}

typedef struct job {
    const tn_sdk_kernel *k;
    const tn_run_args *a;
    atomic_int status; // the first failure of oneDNN
} job;

// One picture. The last block of its rows begins early enough to be as large as the others; what
// the block before it added already is not added again.
static dnnl_status_t one_picture(const job *j, int64_t image, uint32_t worker)
{
    const columns *g = j->k->state;
    const int64_t row = g->out[1] * g->filters, size = g->in[0] * g->in[1] * g->channels;
    od_step *step = &g->base.steps[worker];
    od_place *y = &step->places[step->n - 1];
    const float *found = (const float *)((char *)j->a->scratch.host + g->at + worker * g->each);
    float *dx = (float *)j->a->out[0].host + image * size;
    memset(dx, 0, (size_t)size * sizeof *dx);
    for (int64_t begin = 0; begin < g->out[0]; begin += g->rows) {
        const int64_t last = g->out[0] - g->rows, first = begin < last ? begin : last;
        y->offset = (uint64_t)((image * g->out[0] + first) * row) * sizeof(float);
        const dnnl_status_t status = od_execute(j->k, j->a, worker);
        if (status != dnnl_success) return status;
        for (int64_t oy = begin; oy < first + g->rows; oy++)
            od_add_columns(g, found + (oy - first) * g->out[1] * g->line, oy, dx);
    }
    return dnnl_success;
}

static void pictures(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        const dnnl_status_t status = one_picture(j, i, worker);
        if (status == dnnl_success) continue;
        atomic_store(&j->status, (int)status);
        return;
    }
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const columns *g = k->state;
    if (!g->by_columns) return od_run(k, a);
    tn_run_args mine = *a;
    if (a->max_workers == 0 || a->max_workers > g->base.n_steps) mine.max_workers = g->base.n_steps;
    job j = {.k = k, .a = &mine};
    atomic_init(&j.status, dnnl_success);
    tn_parallel(k, &mine, g->images, 1, pictures, &j);
    const dnnl_status_t status = (dnnl_status_t)atomic_load(&j.status);
    return status == dnnl_success ? TN_OK : od_fail(k, status, "columns");
}

const tn_kernel_row onednn_columns[] = {
    {.op = "_backward_Convolution_data",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS,
     .impl = "columns",
     .state_size = sizeof(columns),
     .cannot = cannot,
     .setup = setup,
     .run = run,
     .teardown = od_stop,
     .layouts = layouts},
    {0},
};
