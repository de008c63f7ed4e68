// backends/blas/blas_conv_setup.c: sizes of convolutions, and how their work is cut.
#include <limits.h>

#include "blas_conv.h"
#include "blas_panel.h"

void blas_conv_sizes(const tn_call *call, blas_conv *c, const tn_value_info *x,
                     const tn_value_info *w, const tn_value_info *y)
{
    tn_conv_axes(call, x, y, c->axis);
    c->dtype = call->out[0]->dtype;
    c->size = tn_dtype_size(c->dtype);
    c->batch = x->dims[0];
    c->groups = tn_call_i64(call, "num_group", 1);
    c->wide = x->dims[1] / c->groups;
    c->narrow = y->dims[1] / c->groups;
    c->wide_points = tn_span(x, 2, x->ndim);
    c->narrow_points = tn_span(y, 2, y->ndim);
    c->weight_points = tn_span(w, 2, w->ndim);
    c->direct = c->narrow <= 2 && c->weight_points > 1;
}

int64_t blas_conv_cut(int64_t n, int64_t items, int64_t others, const int64_t size[2])
{
    int64_t pieces = tn_most(1, tn_ceil_div(n, tn_most(size[1], 1)));
    while (pieces * others < items && n / (2 * pieces) >= size[0]) pieces *= 2;
    return pieces;
}

int64_t blas_conv_points(const blas_conv *c, int64_t rows)
{
    const int64_t fit = BLAS_CONV_CACHED / 2 / (int64_t)c->size / tn_most(rows, 1);
    const int64_t width = blas_panel_width(c->dtype);
    return tn_most(tn_least(fit, BLAS_CONV_POINTS) / width, 2) * width;
}

static uint32_t workers(const tn_sdk_kernel *k)
{
    return k->host->threads(k->host->host);
}

int64_t blas_conv_items(const tn_sdk_kernel *k)
{
    const int64_t n = workers(k);
    return n > 1 ? tn_least(2 * n, BLAS_CONV_ITEMS) : 1;
}

tn_status blas_conv_finish(const tn_sdk_kernel *k, const blas_conv *c, tn_kernel_info *info)
{
    info->scratch_bytes = c->shared_bytes + c->worker_bytes * workers(k);
    info->impl = c->lines.on ? "lines"
                 : c->direct ? "direct"
                 : c->turned ? "panels, turned"
                             : "panels";
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
