// backends/blas/blas_conv_setup.c: sizes of convolutions, and how their work is cut.
#include <limits.h>

#include "blas_conv.h"
#include "blas_panel.h"

// With target_shape T, the pad of a Deconvolution follows from the extents: of the
// t = s (narrow - 1) + d (k - 1) + 1 - T elements beyond T, half are cut off in front, rounded up.
static int64_t pad_of(const tn_call *c, int32_t i, const blas_slide *axis)
{
    if (blas_entry(tn_call_ints(c, "target_shape"), i, 0) == 0)
        return blas_entry(tn_call_ints(c, "pad"), i, 0);
    const int64_t reach = axis->stride * (axis->narrow - 1) + axis->dilate * (axis->window - 1) + 1;
    return (reach - axis->wide + 1) / 2;
}

static void set_axes(const tn_call *call, blas_conv *c, const tn_value_info *x,
                     const tn_value_info *y)
{
    const tn_ints kernel = tn_call_ints(call, "kernel"), stride = tn_call_ints(call, "stride");
    const tn_ints dilate = tn_call_ints(call, "dilate");
    const int32_t n = x->ndim - 2;
    for (int32_t i = 0; i < BLAS_SPATIAL; i++) c->axis[i] = BLAS_STILL;
    for (int32_t i = 0; i < n; i++) {
        blas_slide *axis = &c->axis[BLAS_SPATIAL - n + i];
        axis->wide = x->dims[2 + i];
        axis->narrow = y->dims[2 + i];
        axis->window = kernel.v[i];
        axis->stride = blas_entry(stride, i, 1);
        axis->dilate = blas_entry(dilate, i, 1);
        axis->pad = pad_of(call, i, axis);
    }
}

void blas_conv_sizes(const tn_call *call, blas_conv *c, const tn_value_info *x,
                     const tn_value_info *w, const tn_value_info *y)
{
    set_axes(call, c, x, y);
    c->dtype = call->out[0]->dtype;
    c->size = tn_dtype_size(c->dtype);
    c->batch = x->dims[0];
    c->groups = tn_call_i64(call, "num_group", 1);
    c->wide = x->dims[1] / c->groups;
    c->narrow = y->dims[1] / c->groups;
    c->wide_points = blas_span(x, 2, x->ndim);
    c->narrow_points = blas_span(y, 2, y->ndim);
    c->weight_points = blas_span(w, 2, w->ndim);
    c->direct = c->narrow <= 2 && c->weight_points > 1;
}

int64_t blas_conv_cut(int64_t n, int64_t others, int64_t least, int64_t most)
{
    int64_t pieces = blas_most(1, blas_ceil_div(n, blas_most(most, 1)));
    while (pieces * others < BLAS_CONV_ITEMS && n / (2 * pieces) >= least) pieces *= 2;
    return pieces;
}

int64_t blas_conv_points(const blas_conv *c, int64_t rows)
{
    const int64_t fit = BLAS_CONV_CACHED / 2 / (int64_t)c->size / blas_most(rows, 1);
    const int64_t width = blas_panel_width(c->dtype);
    return blas_most(blas_least(fit, BLAS_CONV_POINTS) / width, 2) * width;
}

static uint32_t workers(const tn_sdk_kernel *k)
{
    return k->host->threads(k->host->host);
}

tn_status blas_conv_finish(const tn_sdk_kernel *k, const blas_conv *c, tn_kernel_info *info)
{
    info->scratch_bytes = c->shared_bytes + c->worker_bytes * workers(k);
    info->impl = c->direct ? "direct" : c->turned ? "panels, turned" : "panels";
    return TN_OK;
}

uint64_t blas_conv_bytes(const blas_conv *c, int64_t n, int64_t m)
{
    return ((uint64_t)tn_extent_times(n, m) * c->size + 63) / 64 * 64;
}

const char *blas_conv_cannot(const tn_call *call, const tn_value_info *x, const tn_value_info *w,
                             const tn_value_info *y)
{
    blas_conv c = {0};
    blas_conv_sizes(call, &c, x, w, y);
    if (tn_extent_times(c.wide, c.weight_points) > INT_MAX || c.wide_points > INT_MAX ||
        c.narrow_points > INT_MAX || c.narrow > INT_MAX)
        return "a size is over INT_MAX, the index type of BLAS";
    return NULL;
}
