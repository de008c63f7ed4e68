// backends/reference/reference_broadcast.c: operators that repeat their input along axes.
#include "reference.h"

// Data repeated along the axes where it has extent 1 or that it lacks on the left.
static tn_status repeat_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    *(ref_box *)k->state = ref_broadcast(k->call->in[0], k->call->out[0]);
    return TN_OK;
}

// _broadcast_reduced(data, like): the result of a reduction over axis (), keepdims, exclude spread
// back over like's shape: the reduced axes repeat.
typedef struct spread {
    ref_box box;
    int64_t share; // scale_by_count: elements that each data element is spread over; else 1
} spread;

static tn_status spread_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    spread *s = k->state;
    const tn_value_info *like = k->call->in[1];
    bool gone[TN_MAX_NDIM];
    const tn_status status = ref_reduced_axes(k, like, gone);
    if (status != TN_OK) return status;

    // Data holds the kept axes in their order, with or without extents of 1 between them.
    int64_t stride[TN_MAX_NDIM], next = 1;
    s->share = 1;
    for (int32_t axis = like->ndim; axis-- > 0;) {
        stride[axis] = gone[axis] ? 0 : next;
        if (gone[axis])
            s->share *= like->dims[axis];
        else
            next *= like->dims[axis];
    }
    for (int32_t axis = 0; axis < like->ndim; axis++)
        ref_box_add(&s->box, like->dims[axis], stride[axis]);
    if (!tn_call_bool(k->call, "scale_by_count", false)) s->share = 1;
    return TN_OK;
}

static tn_status spread_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const spread *s = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t i = 0; i < y.n; i++) {
        const int64_t at = ref_at(&s->box, i);
        if (ref_is_float(x.dtype))
            ref_put_real(y, i, ref_get_real(x, at) / (double)s->share);
        else
            ref_put_int(y, i, ref_get_int(x, at) / s->share);
    }
    return TN_OK;
}

#define REPEAT(op_)                                                                            \
    {                                                                                          \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .state_size = sizeof(ref_box), \
        .setup = repeat_setup, .run = ref_gather                                               \
    }

const tn_kernel_row ref_broadcasts[] = {
    REPEAT("broadcast_to"),
    REPEAT("broadcast_axis"),
    REPEAT("broadcast_like"),
    {.op = "_broadcast_reduced",
     .dtypes = TN_ALL_DTYPES,
     .flags = REF_FLAGS,
     .state_size = sizeof(spread),
     .setup = spread_setup,
     .run = spread_run},
    {0},
};
