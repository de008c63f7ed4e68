// backends/reference/reference_shape.c: operators that only move elements: copies, transposition,
// joining and cutting. Bytes are moved, so every dtype stays exact.
#include "reference.h"

// ------------------------------------------------------------------ the same bytes

static tn_status copy(const tn_sdk_kernel *k, const tn_run_args *a)
{
    ref_copy(a->out[0].host, a->in[0].host, k->call->out[0]->bytes);
    return TN_OK;
}

// Over input 0 only: input 1, where there is one, gives no data.
static tn_status copy_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ref_inplace(k, info, 0);
    return TN_OK;
}

// ------------------------------------------------------------------ transpose, SwapAxis

// The output's box in the input.
static tn_status permute_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    int32_t order[TN_MAX_NDIM];
    int64_t stride[TN_MAX_NDIM];
    const char *wrong = tn_axes_order(k->call, x->ndim, order);
    (void)info;
    if (wrong) return ref_no_axis(k, wrong);
    ref_strides(x, stride);
    for (int32_t i = 0; i < x->ndim; i++)
        ref_box_add(k->state, x->dims[order[i]], stride[order[i]]);
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
    const int32_t axis = ref_axis_param(k->call, param, 1, whole->ndim);
    if (axis < 0) return ref_no_axis(k, param);
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

static tn_status join(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const int64_t outer = ((const joint *)k->state)->outer;
    char *whole = a->out[0].host;
    for (int64_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < a->n_in; i++) {
            const size_t bytes = k->call->in[i]->bytes / (size_t)outer;
            if (bytes == 0) continue;
            memcpy(whole, (const char *)a->in[i].host + (size_t)o * bytes, bytes);
            whole += bytes;
        }
    }
    return TN_OK;
}

static tn_status cut(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const int64_t outer = ((const joint *)k->state)->outer;
    const char *whole = a->in[0].host;
    for (int64_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < a->n_out; i++) {
            const size_t bytes = k->call->out[i]->bytes / (size_t)outer;
            if (bytes == 0) continue;
            memcpy((char *)a->out[i].host + (size_t)o * bytes, whole, bytes);
            whole += bytes;
        }
    }
    return TN_OK;
}

#define ROW(op_, state_, setup_, run_)                                                \
    {                                                                                 \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .state_size = state_, \
        .setup = setup_, .run = run_                                                  \
    }
#define COPY(op_) ROW(op_, 0, copy_setup, copy)

const tn_kernel_row ref_shape[] = {
    COPY("_copy"),
    COPY("BlockGrad"),
    COPY("make_loss"),
    COPY("Flatten"),
    COPY("Reshape"),
    COPY("reshape_like"),
    COPY("expand_dims"),
    COPY("squeeze"),
    COPY("_identity_with_attr_like_rhs"),
    ROW("transpose", sizeof(ref_box), permute_setup, ref_gather),
    ROW("SwapAxis", sizeof(ref_box), permute_setup, ref_gather),
    ROW("Concat", sizeof(joint), concat_setup, join),
    ROW("_backward_Concat", sizeof(joint), concat_backward_setup, cut),
    ROW("SliceChannel", sizeof(joint), slice_channel_setup, cut),
    ROW("_backward_SliceChannel", sizeof(joint), slice_channel_backward_setup, join),
    {0},
};
