// backends/reference/reference_slice.c: parts of a tensor: slice, slice_axis, and back.
#include "reference.h"

// The box of `part` in `whole`; the extents of part already say where each axis ends.
static tn_status slice_box(tn_sdk_kernel *k, const tn_value_info *whole, const tn_value_info *part)
{
    ref_box *box = k->state;
    tn_cut cut[TN_MAX_NDIM];
    const char *wrong = tn_cut_axes(k->call, whole, cut);
    if (wrong) return ref_no_axis(k, wrong);
    for (int32_t i = 0; i < whole->ndim; i++) {
        const int64_t stride = tn_span(whole, i + 1, whole->ndim);
        box->start += cut[i].start * stride;
        ref_box_add(box, part->dims[i], cut[i].step * stride);
    }
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

// whole = 0, but for the box, which is the part
static tn_status put_part(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_box *box = k->state;
    const size_t bytes = tn_dtype_size(k->call->out[0]->dtype);
    const char *part = a->in[0].host;
    char *whole = a->out[0].host;
    if (k->call->out[0]->bytes) memset(whole, 0, k->call->out[0]->bytes);
    for (int64_t i = 0; i < k->call->in[0]->size; i++)
        memcpy(whole + (size_t)ref_at(box, i) * bytes, part + (size_t)i * bytes, bytes);
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                                 \
    {                                                                                          \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .state_size = sizeof(ref_box), \
        .setup = setup_, .run = run_                                                           \
    }

const tn_kernel_row ref_slice[] = {
    ROW("slice", slice_setup, ref_gather),
    ROW("_backward_slice", slice_backward_setup, put_part),
    ROW("slice_axis", slice_setup, ref_gather),
    ROW("_backward_slice_axis", slice_backward_setup, put_part),
    {0},
};
