// backends/reference/reference_slice.c: parts of a tensor: slice, slice_axis, and back.
#include "reference.h"

// Where the walk along an axis of extent n starts: None is the first element in the direction of
// the step, negative numbers count from the end.
static int64_t first_of(int64_t begin, int64_t step, int64_t n)
{
    if (begin == TN_NONE_I64) return step > 0 ? 0 : n - 1;
    if (begin < 0) begin += n;
    const int64_t last = step > 0 ? n : n - 1;
    return begin < 0 ? 0 : begin > last ? last : begin;
}

static int64_t entry(tn_ints list, int32_t i, int64_t fallback)
{
    return (size_t)i < list.n && list.v[i] != TN_NONE_I64 ? list.v[i] : fallback;
}

// The box of `part` in `whole`; the extents of part already say where each axis ends.
static void slice_box(tn_sdk_kernel *k, const tn_value_info *whole, const tn_value_info *part)
{
    const tn_ints begin = tn_call_ints(k->call, "begin"), steps = tn_call_ints(k->call, "step");
    ref_box *box = k->state;
    for (int32_t axis = 0; axis < whole->ndim; axis++) {
        const int64_t stride = tn_span(whole, axis + 1, whole->ndim);
        const int64_t step = entry(steps, axis, 1);
        const int64_t first = first_of(entry(begin, axis, TN_NONE_I64), step, whole->dims[axis]);
        box->start += first * stride;
        ref_box_add(box, part->dims[axis], step * stride);
    }
}

static tn_status slice_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    slice_box(k, k->call->in[0], k->call->out[0]);
    return TN_OK;
}

// Inputs dy, like
static tn_status slice_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    slice_box(k, k->call->out[0], k->call->in[0]);
    return TN_OK;
}

static tn_status axis_box(tn_sdk_kernel *k, const tn_value_info *whole, const tn_value_info *part)
{
    const int32_t at = ref_axis_param(k->call, "axis", 0, whole->ndim);
    const int64_t begin = tn_call_i64(k->call, "begin", 0);
    ref_box *box = k->state;
    if (at < 0) return ref_no_axis(k, "axis");
    for (int32_t axis = 0; axis < whole->ndim; axis++)
        ref_box_add(box, part->dims[axis], tn_span(whole, axis + 1, whole->ndim));
    box->start = first_of(begin, 1, whole->dims[at]) * box->stride[at];
    return TN_OK;
}

static tn_status slice_axis_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return axis_box(k, k->call->in[0], k->call->out[0]);
}

static tn_status slice_axis_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return axis_box(k, k->call->out[0], k->call->in[0]);
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
    ROW("slice_axis", slice_axis_setup, ref_gather),
    ROW("_backward_slice_axis", slice_axis_backward_setup, put_part),
    {0},
};
