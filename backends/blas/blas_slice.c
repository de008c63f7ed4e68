// backends/blas/blas_slice.c: parts of a tensor: slice, slice_axis, and back.
#include "blas.h"

// The box of `part` in `whole`; the extents of part already say where each axis ends.
static tn_status slice_box(tn_sdk_kernel *k, const tn_value_info *whole, const tn_value_info *part)
{
    blas_box *box = k->state;
    tn_cut cut[TN_MAX_NDIM];
    const char *wrong = tn_cut_axes(k->call, whole, cut);
    if (wrong) return blas_no_axis(k, wrong);
    for (int32_t i = 0; i < whole->ndim; i++) {
        const int64_t stride = tn_span(whole, i + 1, whole->ndim);
        box->start += cut[i].start * stride;
        blas_box_add(box, part->dims[i], cut[i].step * stride);
    }
    blas_box_collapse(box);
    return TN_OK;
}

static tn_status slice_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return slice_box(k, k->call->in[0], k->call->out[0]);
}

// Inputs dy, like
static tn_status slice_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return slice_box(k, k->call->out[0], k->call->in[0]);
}

// One row of the part, n elements, into the whole with the given step.
static void put_row(char *to, const char *from, int64_t n, int64_t step, size_t size)
{
    if (step == 1) {
        memcpy(to, from, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(to + i * step * (int64_t)size, from + (size_t)i * size, size);
}

static void zero_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    (void)worker;
    memset((char *)r->a->out[0].host + begin, 0, (size_t)(end - begin));
}

static void put_rows(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const blas_box *box = r->k->state;
    const size_t size = tn_dtype_size(r->k->call->out[0]->dtype);
    const int64_t n = box->dim[box->ndim - 1], step = box->stride[box->ndim - 1];
    const char *part = r->a->in[0].host;
    char *whole = r->a->out[0].host;
    blas_walk w = blas_walk_from(box, begin);
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        put_row(whole + w.offset * (int64_t)size, part + (size_t)(row * n) * size, n, step, size);
        blas_walk_next(box, &w);
    }
}

// whole = 0, but for the box, which is the part
static tn_status put_part(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const blas_box *box = k->state;
    const int64_t n = box->dim[box->ndim - 1];
    blas_run r = {k, a};
    blas_elements(k, a, (int64_t)k->call->out[0]->bytes, 4 * BLAS_CHEAP, zero_range, &r);
    if (k->call->in[0]->size)
        blas_items(k, a, k->call->in[0]->size / n, n, BLAS_CHEAP, put_rows, &r);
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                                   \
    {                                                                                            \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS, .state_size = sizeof(blas_box), \
        .setup = setup_, .run = run_                                                             \
    }

const tn_kernel_row blas_slice[] = {
    ROW("slice", slice_setup, blas_gather_run),
    ROW("_backward_slice", slice_backward_setup, put_part),
    ROW("slice_axis", slice_setup, blas_gather_run),
    ROW("_backward_slice_axis", slice_backward_setup, put_part),
    {0},
};
