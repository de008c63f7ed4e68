// backends/blas/blas_shape.c: operators that only move elements: copies, transposition, joining,
// cutting and repeating. Bytes are moved, so every dtype stays exact.
#include "blas.h"

// ------------------------------------------------------------------ the same bytes

static void copy_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const tn_run_args *a = ctx;
    (void)worker;
    memmove((char *)a->out[0].host + begin, (const char *)a->in[0].host + begin,
            (size_t)(end - begin));
}

static tn_status copy(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const int64_t bytes = (int64_t)k->call->out[0]->bytes;
    if (a->in[0].host != a->out[0].host)
        blas_elements(k, a, bytes, 4 * BLAS_CHEAP, copy_range, (void *)a);
    return TN_OK;
}

// Over input 0 only: input 1, where there is one, gives no data.
static tn_status copy_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_inplace(k, info, 0);
    return TN_OK;
}

// ------------------------------------------------------------------ transpose, SwapAxis

// The output's box in the input.
static tn_status permute_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    blas_box *box = k->state;
    int32_t order[TN_MAX_NDIM];
    const char *wrong = tn_axes_order(k->call, x->ndim, order);
    (void)info;
    if (wrong) return blas_no_axis(k, wrong);
    for (int32_t i = 0; i < x->ndim; i++)
        blas_box_add(box, x->dims[order[i]], tn_span(x, order[i] + 1, x->ndim));
    blas_box_collapse(box);
    return TN_OK;
}

// ------------------------------------------------------------------ Concat, SliceChannel

// Joining parts along an axis and cutting a value into parts are one walk: seen as (outer, rest),
// row o of the whole is row o of part 0, then row o of part 1, …
typedef struct joint {
    int64_t outer;
} joint;

static tn_status joint_setup(tn_sdk_kernel *k, const tn_value_info *whole, const char *param)
{
    const int32_t axis = blas_axis_param(k->call, param, 1, whole->ndim);
    if (axis < 0) return blas_no_axis(k, param);
    ((joint *)k->state)->outer = tn_span(whole, 0, axis);
    return TN_OK;
}

static tn_status concat_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return joint_setup(k, k->call->out[0], "dim");
}

static tn_status concat_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return joint_setup(k, k->call->in[0], "dim");
}

static tn_status slice_channel_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return joint_setup(k, k->call->in[0], "axis");
}

static tn_status slice_channel_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return joint_setup(k, k->call->out[0], "axis");
}

// Part i of the joint: its elements in a row of the whole.
static int64_t share_of(const tn_value_info *part, int64_t outer)
{
    return part->size / outer;
}

// Rows that are worked on together, part by part: few enough to stay in the cache.
static int64_t some_rows(int64_t whole)
{
    enum { SOME = 4096, MOST = 256 }; // elements, rows
    const int64_t rows = whole < SOME ? SOME / whole : 1;
    return rows < MOST ? rows : MOST;
}

static void join_rows(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const int64_t outer = ((const joint *)r->k->state)->outer;
    const tn_call *c = r->k->call;
    const size_t size = tn_dtype_size(c->out[0]->dtype);
    const int64_t whole = share_of(c->out[0], outer), most = some_rows(whole);
    (void)worker;
    for (int64_t o = begin; o < end; o += most) {
        char *to = (char *)r->a->out[0].host + (size_t)(o * whole) * size;
        for (uint32_t i = 0; i < c->n_in; i++) {
            const int64_t share = share_of(c->in[i], outer);
            const int64_t rows[2] = {end - o < most ? end - o : most, share};
            if (share == 0) continue;
            blas_copy_rows(to, whole, (const char *)r->a->in[i].host + (size_t)(o * share) * size,
                           share, rows, size);
            to += (size_t)share * size;
        }
    }
}

static void cut_rows(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const int64_t outer = ((const joint *)r->k->state)->outer;
    const tn_call *c = r->k->call;
    const size_t size = tn_dtype_size(c->in[0]->dtype);
    const int64_t whole = share_of(c->in[0], outer), most = some_rows(whole);
    (void)worker;
    for (int64_t o = begin; o < end; o += most) {
        const char *from = (const char *)r->a->in[0].host + (size_t)(o * whole) * size;
        for (uint32_t i = 0; i < c->n_out; i++) {
            const int64_t share = share_of(c->out[i], outer);
            const int64_t rows[2] = {end - o < most ? end - o : most, share};
            if (share == 0) continue;
            blas_copy_rows((char *)r->a->out[i].host + (size_t)(o * share) * size, share, from,
                           whole, rows, size);
            from += (size_t)share * size;
        }
    }
}

static void over_rows(const tn_sdk_kernel *k, const tn_run_args *a, uint64_t bytes, tn_range_fn fn)
{
    const int64_t outer = ((const joint *)k->state)->outer;
    blas_run r = {k, a};
    if (bytes) blas_items(k, a, outer, (int64_t)bytes / outer, 4 * BLAS_CHEAP, fn, &r);
}

static tn_status join(const tn_sdk_kernel *k, const tn_run_args *a)
{
    over_rows(k, a, k->call->out[0]->bytes, join_rows);
    return TN_OK;
}

static tn_status cut(const tn_sdk_kernel *k, const tn_run_args *a)
{
    over_rows(k, a, k->call->in[0]->bytes, cut_rows);
    return TN_OK;
}

// ------------------------------------------------------------------ repeating

// Data repeated along the axes where it has extent 1 or that it lacks on the left.
static tn_status repeat_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    *(blas_box *)k->state = blas_broadcast(k->call->in[0], k->call->out[0]);
    blas_box_collapse(k->state);
    return TN_OK;
}

// _broadcast_reduced(data, like): the result of a reduction over axis (), keepdims, exclude spread
// back over like's shape: the reduced axes repeat. With scale_by_count data is divided first, into
// scratch: it is the smaller of the two.
typedef struct spread {
    blas_box box; // first: the state of blas_gather_run
    int64_t share;
} spread;

static tn_status spread_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    spread *s = k->state;
    const tn_value_info *like = k->call->in[1];
    bool gone[TN_MAX_NDIM];
    const tn_status status = blas_reduced_axes(k, like, gone);
    if (status != TN_OK) return status;

    // Data holds the kept axes in their order, with or without extents of 1 between them.
    int64_t stride[TN_MAX_NDIM], next = 1;
    s->share = 1;
    for (int32_t axis = like->ndim; axis-- > 0;) {
        stride[axis] = gone[axis] ? 0 : next;
        *(gone[axis] ? &s->share : &next) *= like->dims[axis];
    }
    for (int32_t axis = 0; axis < like->ndim; axis++)
        blas_box_add(&s->box, like->dims[axis], stride[axis]);
    blas_box_collapse(&s->box);
    if (!tn_call_bool(k->call, "scale_by_count", false)) s->share = 1;
    if (s->share != 1) info->scratch_bytes = k->call->in[0]->bytes;
    return TN_OK;
}

// scratch = data / share, a few elements at a time
static void divide(const tn_sdk_kernel *k, const tn_run_args *a, int64_t share)
{
    enum { CHUNK = 256 };
    const tn_value_info *x = k->call->in[0];
    for (int64_t i = 0; i < x->size; i += CHUNK) {
        const int64_t n = x->size - i < CHUNK ? x->size - i : CHUNK;
        double real[CHUNK];
        int64_t whole[CHUNK];
        if (blas_is_float(x->dtype)) {
            blas_load_f64(x->dtype, a->in[0].host, i, n, real);
            for (int64_t j = 0; j < n; j++) real[j] /= (double)share;
            blas_store_f64(x->dtype, a->scratch.host, i, n, real);
        } else {
            blas_load_i64(x->dtype, a->in[0].host, i, n, whole);
            for (int64_t j = 0; j < n; j++) whole[j] /= share;
            blas_store_i64(x->dtype, a->scratch.host, i, n, whole);
        }
    }
}

static tn_status spread_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const spread *s = k->state;
    const void *x = a->in[0].host;
    if (k->call->out[0]->size == 0) return TN_OK;
    if (s->share != 1) {
        divide(k, a, s->share);
        x = a->scratch.host;
    }
    blas_gather(k, a, &s->box, x, a->out[0].host);
    return TN_OK;
}

#define ROW(op_, state_, setup_, run_)                                                 \
    {                                                                                  \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS, .state_size = state_, \
        .setup = setup_, .run = run_                                                   \
    }
#define COPY(op_) ROW(op_, 0, copy_setup, copy)

const tn_kernel_row blas_shape[] = {
    COPY("_copy"),
    COPY("BlockGrad"),
    COPY("make_loss"),
    COPY("Flatten"),
    COPY("Reshape"),
    COPY("reshape_like"),
    COPY("expand_dims"),
    COPY("squeeze"),
    COPY("_identity_with_attr_like_rhs"),
    ROW("transpose", sizeof(blas_box), permute_setup, blas_gather_run),
    ROW("SwapAxis", sizeof(blas_box), permute_setup, blas_gather_run),
    ROW("Concat", sizeof(joint), concat_setup, join),
    ROW("_backward_Concat", sizeof(joint), concat_backward_setup, cut),
    ROW("SliceChannel", sizeof(joint), slice_channel_setup, cut),
    ROW("_backward_SliceChannel", sizeof(joint), slice_channel_backward_setup, join),
    ROW("broadcast_to", sizeof(blas_box), repeat_setup, blas_gather_run),
    ROW("broadcast_axis", sizeof(blas_box), repeat_setup, blas_gather_run),
    ROW("broadcast_like", sizeof(blas_box), repeat_setup, blas_gather_run),
    ROW("_broadcast_reduced", sizeof(spread), spread_setup, spread_run),
    {0},
};
