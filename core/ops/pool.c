// core/ops/pool.c: Pooling over 1 to 3 spatial axes, and its gradients.
//
//     y = max, sum, or mean of x over windows that start at s o - p, for o = 0, 1, …
//
// Output extents are floor((x + 2p - k) / s) + 1 (valid) or ceil((x + 2p - k) / s) + 1 (full).
// Padding is -∞ for max and 0 else; a mean divides by the part of the window inside the padded
// extents, or inside the data without count_include_pad. The gradient of max goes to the first
// maximum only. global_pool takes one window over all, and ignores kernel, stride and pad (MXNet
// 0.11 keeps the pad, and so moves the window off the data).
#include "core/ops/ops.h"

typedef struct pool_params {
    tn_ints kernel, stride, pad;
    int32_t pool_type, pooling_convention, global_pool, count_include_pad, cudnn_off;
} pool_params;
enum { POOL_MAX, POOL_AVG, POOL_SUM };
enum { VALID, FULL };

static tn_status pool_check(const void *params, char *reason, size_t size)
{
    const pool_params *p = params;
    if (p->kernel.n == 0 && !p->global_pool) {
        snprintf(reason, size, "kernel: required unless global_pool");
        return TN_E_INVALID;
    }
    const struct {
        const char *name;
        tn_ints list;
    } lists[] = {{"stride", p->stride}, {"pad", p->pad}};
    for (size_t i = 0; i < 2 && !p->global_pool; i++) {
        if (lists[i].list.n == 0 || lists[i].list.n == p->kernel.n) continue;
        snprintf(reason, size, "%s has %zu entries, kernel has %zu", lists[i].name, lists[i].list.n,
                 p->kernel.n);
        return TN_E_INVALID;
    }
    for (size_t i = 0; i < p->pad.n && !p->global_pool; i++) {
        if (p->pad.v[i] < p->kernel.v[i]) continue;
        snprintf(reason, size, "pad: wanted less than the kernel's %lld, got %lld",
                 (long long)p->kernel.v[i], (long long)p->pad.v[i]);
        return TN_E_INVALID;
    }
    return TN_OK;
}

// Output extent of spatial axis i for a known input extent.
static int64_t pool_extent(const pool_params *p, int32_t i, int64_t in)
{
    const int64_t s = tni_conv_entry(p->stride, i, 1), k = p->kernel.v[i];
    const int64_t room = in + 2 * tni_conv_entry(p->pad, i, 0) - k;
    return (room + (p->pooling_convention == FULL ? s - 1 : 0)) / s + 1;
}

static tn_status pool_rule(const tn_infer *io, tni_slot data, tni_slot output)
{
    const pool_params *p = io->params;
    const tn_shape known = tni_shape(io, output);
    if (p->kernel.n) TNI_TRY(tni_merge(io, data, tn_shape_rank((int32_t)p->kernel.n + 2)));
    tn_shape x = tni_shape(io, data);
    if (x.ndim < 0 && known.ndim >= 0) x = tn_shape_rank(known.ndim);
    if (x.ndim < 0) return TN_OK;
    if (x.ndim < 3 || x.ndim > 2 + TNI_MOST_SPATIAL)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted 1 to 3 spatial axes, got %d axes in all",
                             x.ndim);
    tn_shape y = x;
    for (int32_t i = 0; i < x.ndim - 2; i++) {
        const int64_t in = x.dim[2 + i];
        if (in > TNI_MOST_EXTENT)
            return tn_infer_fail(io, TN_E_SHAPE, "spatial axis %d has %lld", i, (long long)in);
        if (!p->global_pool && in >= 0 && in + 2 * tni_conv_entry(p->pad, i, 0) < p->kernel.v[i])
            return tn_infer_fail(io, TN_E_SHAPE, "kernel: %lld for spatial axis %d of extent %lld",
                                 (long long)p->kernel.v[i], i, (long long)in);
        y.dim[2 + i] = p->global_pool ? 1 : in < 0 ? -1 : pool_extent(p, i, in);
    }
    TNI_TRY(tni_merge(io, output, y));
    y = tni_shape(io, output);
    x.dim[0] = y.dim[0];
    x.dim[1] = y.dim[1];
    return tni_merge(io, data, x);
}

static tn_status pool_shape(const tn_infer *io)
{
    return pool_rule(io, TNI_IN(0), TNI_OUT(0));
}

static const char *pool_text(char text[TNI_LONG_TEXT], const pool_params *p)
{
    static const char *const types[] = {"max", "avg", "sum"};
    text[0] = 0;
    tni_text_list(text, "kernel", p->kernel);
    tni_text_list(text, "stride", p->stride);
    tni_text_list(text, "pad", p->pad);
    const size_t at = strlen(text);
    snprintf(text + at, TNI_LONG_TEXT - at,
             "pool_type=%s; pooling_convention=%s; global_pool=%d; count_include_pad=%d",
             types[p->pool_type], p->pooling_convention == FULL ? "full" : "valid", p->global_pool,
             p->count_include_pad);
    return text;
}

static tn_status pool_gradient(const tn_builder *b)
{
    const pool_params *p = b->params;
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0);
    if (!dy) return TN_OK;
    pool_text(text, p);
    tn_grad_set(b, 0,
                p->pool_type == POOL_MAX
                    ? TN_EMIT(b, "_backward_Pooling_max", text, dy, x, tn_grad_out(b, 0))
                    : TN_EMIT(b, "_backward_Pooling_sum", text, dy, x));
    return TN_OK;
}

// clang-format off
#define WINDOW                                                                                     \
    TN_PARAM(pool_params, kernel, TN_P_I64S, .def = "()", .range = "[1,100000]",                   \
             .max_len = TNI_MOST_SPATIAL, .doc = "extents of the window on 1 to 3 spatial axes"),  \
    TN_PARAM(pool_params, pool_type, TN_P_ENUM, .choices = "max|avg|sum", .def = "max",            \
             .doc = "what is taken of a window"),                                                  \
    TN_PARAM(pool_params, global_pool, TN_P_BOOL, .def = "False",                                  \
             .doc = "one window over all spatial axes; kernel, stride and pad are ignored"),       \
    TN_PARAM(pool_params, pooling_convention, TN_P_ENUM, .choices = "valid|full", .def = "valid",  \
             .doc = "round output extents down, or up"),                                           \
    TN_PARAM(pool_params, stride, TN_P_I64S, .def = "()", .range = "[1,100000]",                   \
             .doc = "step on each axis; (): 1"),                                                   \
    TN_PARAM(pool_params, pad, TN_P_I64S, .def = "()", .range = "[0,100000]",                      \
             .doc = "added on both sides of each axis; (): 0"),                                    \
    TN_PARAM(pool_params, count_include_pad, TN_P_BOOL, .def = "True",                             \
             .doc = "a mean counts padding, too")
#define BACKWARD                                                                                   \
    .flags = TN_OP_INTERNAL, .outputs = TN_PORTS(TN_PORT(.name = "output")),                       \
    .params = TN_PARAMS(WINDOW), .params_size = sizeof(pool_params), .check = pool_check
// clang-format on

const tn_op_decl tni_op_pooling =
    TN_OP(.name = "Pooling",
          .doc = "Maximum, mean or sum over windows. Output extents: floor((x + 2 pad - kernel) / "
                 "stride) + 1, rounded up for pooling_convention=full.",
          .source = "MXNet 0.11, src/operator/pooling-inl.h; count_include_pad from 1.x",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, spatial...)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, c, spatial...)")),
          .params = TN_PARAMS(WINDOW, TN_PARAM(pool_params, cudnn_off, TN_P_BOOL, .def = "False",
                                               .doc = "read from files, without effect")),
          .params_size = sizeof(pool_params), .check = pool_check, .infer_shape = pool_shape,
          .gradient = pool_gradient);

// ------------------------------------------------------------------ gradient of max

static tn_status pool_max_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(2)));
    TNI_TRY(pool_rule(io, TNI_IN(1), TNI_IN(2)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(2)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status pool_max_gradient(const tn_builder *b)
{
    return b->fail(b->ctx, TN_E_NO_GRADIENT,
                   "the gradient of max pooling is not differentiable: no operator gathers from "
                   "where the maxima were");
}

const tn_op_decl tni_op_backward_pooling_max =
    TN_OP(.name = "_backward_Pooling_max",
          .doc =
              "Gradient of Pooling with pool_type max: dy where the first maximum of a window was. "
              "Has no gradient of its own.",
          BACKWARD,
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "x", .doc = "the data"),
                             TN_PORT(.name = "y", .doc = "the result")),
          .infer_shape = pool_max_shape, .gradient = pool_max_gradient);

// ------------------------------------------------------------------ gradient of avg and sum
//
// Linear in dy, and the transpose of Pooling, which is therefore its gradient.

static tn_status pool_sum_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(pool_rule(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status pool_sum_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, tn_emit(b, "Pooling", pool_text(text, b->params), &g, 1));
    return TN_OK;
}

const tn_op_decl tni_op_backward_pooling_sum =
    TN_OP(.name = "_backward_Pooling_sum",
          .doc =
              "Gradient of Pooling with pool_type avg or sum: each element of dy goes to its whole "
              "window, divided as the mean was.",
          BACKWARD,
          .inputs = TN_PORTS(TN_PORT(.name = "dy"),
                             TN_PORT(.name = "like", .doc = "gives the shape",
                                     .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .infer_shape = pool_sum_shape, .gradient = pool_sum_gradient);
