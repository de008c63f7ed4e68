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
#define PLAIN_WINDOW                                                                               \
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
             .doc = "added on both sides of each axis; (): 0")
#define WINDOW                                                                                     \
    PLAIN_WINDOW,                                                                                  \
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
          .family = "layer",
          .formula = "y = max, mean or sum of x over windows that start at stride * o - pad",
          .shape_rule = "(n, c, x...) -> (n, c, out...), out = floor or ceil of (x + 2 pad - "
                        "kernel) / stride, plus 1; global_pool: 1",
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

// ------------------------------------------------------------------ Pooling_v1
//
// The older layer, for images: a mean divides by the whole kernel, also where it hangs over, and
// every maximum of a window gets the gradient. Padding never is a maximum (in MXNet it counts as
// 0).

static tn_status v1_check(const void *params, char *reason, size_t size)
{
    const pool_params *p = params;
    TNI_TRY(pool_check(params, reason, size));
    if (p->kernel.n == 2 || p->kernel.n == 0) return TN_OK;
    snprintf(reason, size, "kernel: wanted 2 entries, got %zu", p->kernel.n);
    return TN_E_INVALID;
}

static tn_status v1_shape(const tn_infer *io)
{
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(4)));
    return pool_shape(io);
}

// The parameters of the Pooling that does it, and what its result is divided by.
static double v1_divisor(const pool_params *p, pool_params *as)
{
    *as = *p;
    as->count_include_pad = 1;
    if (p->pool_type != POOL_AVG || p->global_pool) return 1;
    as->pool_type = POOL_SUM;
    return (double)p->kernel.v[0] * (double)p->kernel.v[1];
}

static tn_status v1_expand(const tn_builder *b)
{
    pool_params as;
    char text[TNI_LONG_TEXT];
    const double divisor = v1_divisor(b->params, &as);
    const tn_sym x = tn_grad_in(b, 0);
    const tn_sym y = tn_emit(b, "Pooling", pool_text(text, &as), &x, 1);
    b->set_output(b->ctx, 0, divisor == 1 ? y : tni_call_scalar(b, "_div_scalar", y, divisor));
    return TN_OK;
}

static tn_status v1_gradient(const tn_builder *b)
{
    const pool_params *p = b->params;
    pool_params as;
    char text[TNI_LONG_TEXT];
    tn_sym dy = tn_grad_head(b, 0);
    const tn_sym x = tn_grad_in(b, 0), y = tn_grad_out(b, 0);
    if (!dy) return TN_OK;
    if (p->pool_type != POOL_MAX) {
        const double divisor = v1_divisor(p, &as);
        if (divisor != 1) dy = tni_call_scalar(b, "_div_scalar", dy, divisor);
        tn_grad_set(b, 0, TN_EMIT(b, "_backward_Pooling_sum", pool_text(text, &as), dy, x));
    } else if (p->global_pool) {
        const tn_sym chosen = tni_call2(b, "broadcast_equal", x, y);
        tn_grad_set(b, 0, tni_call2(b, "broadcast_mul", chosen, dy));
    } else {
        tn_grad_set(b, 0, TN_EMIT(b, "_backward_Pooling_v1", pool_text(text, p), dy, x, y));
    }
    return TN_OK;
}

const tn_op_decl tni_op_pooling_v1 =
    TN_OP(.name = "Pooling_v1",
          .doc = "Maximum, mean or sum over windows of images, as the older registration has it: a "
                 "mean always divides by the whole kernel, and every maximum gets the gradient.",
          .family = "layer",
          .formula = "y = max, mean or sum of x over windows that start at stride * o - pad",
          .shape_rule = "(n, c, x...) -> (n, c, out...), out = floor or ceil of (x + 2 pad - "
                        "kernel) / stride, plus 1; global_pool: 1",
          .source = "MXNet 0.11, src/operator/pooling_v1-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, h, w)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, c, height, width)")),
          .params = TN_PARAMS(PLAIN_WINDOW), .params_size = sizeof(pool_params), .check = v1_check,
          .infer_shape = v1_shape, .gradient = v1_gradient, .expand = v1_expand);

// ------------------------------------------------------------------ all maxima of a window
//
// Values are unfolded to (n, c, out, kernel, out, kernel): one element for each place of each
// window. There they are compared with the maxima.

typedef struct v1_windows {
    tn_sym index[2]; // into height and width, as _take_along wants it
    tn_sym chosen;   // 1 where the element of a window is its maximum, else 0
    tn_sym rows;     // x, unfolded in height only
    char fold[TN_TEXT];
    char spread[TN_TEXT]; // Reshape of a result
} v1_windows;

// Where the elements of the windows lie on spatial axis i, and whether inside of n elements.
static tn_sym v1_index(const tn_builder *b, int32_t i, const tn_shape *x, const tn_shape *y,
                       tn_sym *inside)
{
    const pool_params *p = b->params;
    const long long out = y->dim[2 + i], k = p->kernel.v[i], s = tni_conv_entry(p->stride, i, 1);
    const long long from = -tni_conv_entry(p->pad, i, 0);
    char text[TN_TEXT];
    tn_text(text, "dtype=int64; start=%lld; stop=%lld; step=%lld; repeat=%lld", from,
            from + out * s, s, k);
    const tn_sym begin = tn_emit(b, "_arange", text, NULL, 0);
    tn_text(text, "dtype=int64; start=0; stop=%lld", out * k);
    const tn_sym all = tn_emit(b, "_arange", text, NULL, 0);
    const tn_sym at =
        tni_call2(b, "elemwise_add", begin, tni_call_scalar(b, "_mod_scalar", all, (double)k));
    const tn_sym low = tni_call_scalar(b, "_greater_equal_scalar", at, 0);
    const tn_sym high = tni_call_scalar(b, "_lesser_scalar", at, (double)x->dim[2 + i]);
    const tn_sym both = tni_call2(b, "_mul", low, high);
    tn_text(text, "dtype=%s", tn_dtype_name(b->dtype(b->ctx, tn_grad_in(b, 1))));
    *inside = tn_emit(b, "Cast", text, &both, 1);
    tn_text(text, i == 0 ? "shape=(1,1,%lld,%lld,1,1)" : "shape=(1,1,1,1,%lld,%lld)", out, k);
    *inside = tn_emit(b, "Reshape", text, inside, 1);
    return tn_emit(b, "Reshape", i == 0 ? "shape=(1,1,-1,1)" : "shape=(1,1,1,-1)", &at, 1);
}

static tn_sym v1_unfolded(const tn_builder *b, const v1_windows *w, tn_sym rows)
{
    const tn_sym all = TN_EMIT(b, "_take_along", "axis=3", rows, w->index[1]);
    return tn_emit(b, "Reshape", w->fold, &all, 1);
}

// Inputs 1 and 2 of the node are data and maxima. False, and an error, if shapes are unknown.
static bool v1_find(const tn_builder *b, v1_windows *w)
{
    const pool_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 1);
    tn_sym y = tn_grad_in(b, 2), inside[2];
    const tn_shape from = *b->shape(b->ctx, x), to = *b->shape(b->ctx, y);
    if (tn_shape_size(&from) < 0 || tn_shape_size(&to) < 0 ||
        b->dtype(b->ctx, x) == TN_DTYPE_NONE) {
        b->fail(b->ctx, TN_E_SHAPE, "wanted a known shape and dtype of data");
        return false;
    }
    const long long h = to.dim[2], v = to.dim[3];
    tn_text(w->fold, "shape=(0,0,-4,%lld,%lld,-4,%lld,%lld)", h, (long long)p->kernel.v[0], v,
            (long long)p->kernel.v[1]);
    tn_text(w->spread, "shape=(0,0,-4,%lld,1,-4,%lld,1)", h, v);
    for (int32_t i = 0; i < 2; i++) w->index[i] = v1_index(b, i, &from, &to, &inside[i]);
    w->rows = TN_EMIT(b, "_take_along", "axis=2", x, w->index[0]);
    y = tn_emit(b, "Reshape", w->spread, &y, 1);
    w->chosen = tni_call2(b, "broadcast_equal", v1_unfolded(b, w, w->rows), y);
    for (int32_t i = 0; i < 2; i++) w->chosen = tni_call2(b, "broadcast_mul", w->chosen, inside[i]);
    return true;
}

static bool v1_is_empty(const tn_builder *b)
{
    return tn_shape_size(b->shape(b->ctx, tn_grad_in(b, 1))) == 0;
}

static tn_status v1_backward_expand(const tn_builder *b)
{
    v1_windows w;
    tn_sym dy = tn_grad_in(b, 0);
    const tn_sym x = tn_grad_in(b, 1);
    if (v1_is_empty(b)) {
        b->set_output(b->ctx, 0, tni_call(b, "zeros_like", x));
        return TN_OK;
    }
    if (!v1_find(b, &w)) return TN_E_SHAPE;
    dy = tn_emit(b, "Reshape", w.spread, &dy, 1);
    tn_sym dx = tni_call2(b, "broadcast_mul", w.chosen, dy);
    dx = tn_emit(b, "Reshape", "shape=(0,0,-3,-3)", &dx, 1);
    dx = TN_EMIT(b, "_backward_take_along", "axis=3", dx, w.index[1], w.rows);
    b->set_output(b->ctx, 0, TN_EMIT(b, "_backward_take_along", "axis=2", dx, w.index[0], x));
    return TN_OK;
}

static tn_status v1_pair_gradient(const tn_builder *b, const char *op)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g)
        tn_grad_set(
            b, 0,
            TN_EMIT(b, op, pool_text(text, b->params), g, tn_grad_in(b, 1), tn_grad_in(b, 2)));
    return TN_OK;
}

static tn_status v1_backward_gradient(const tn_builder *b)
{
    return v1_pair_gradient(b, "_Pooling_v1_chosen");
}

const tn_op_decl tni_op_backward_pooling_v1 =
    TN_OP(.name = "_backward_Pooling_v1",
          .doc = "Gradient of Pooling_v1 with pool_type max: dy for every maximum of a window.",
          BACKWARD,
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "x", .doc = "the data"),
                             TN_PORT(.name = "y", .doc = "the result")),
          .infer_shape = pool_max_shape, .gradient = v1_backward_gradient,
          .expand = v1_backward_expand);

// Its transpose: from each window the sum of what lies where its maxima are.
static tn_status v1_chosen_expand(const tn_builder *b)
{
    v1_windows w;
    if (v1_is_empty(b)) {
        b->set_output(b->ctx, 0, tni_call(b, "zeros_like", tn_grad_in(b, 2)));
        return TN_OK;
    }
    if (!v1_find(b, &w)) return TN_E_SHAPE;
    const tn_sym rows = TN_EMIT(b, "_take_along", "axis=2", tn_grad_in(b, 0), w.index[0]);
    const tn_sym those = tni_call2(b, "_mul", w.chosen, v1_unfolded(b, &w, rows));
    b->set_output(b->ctx, 0, tn_emit(b, "sum", "axis=(3,5)", &those, 1));
    return TN_OK;
}

static tn_status v1_chosen_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(pool_rule(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    return tni_link(io, TNI_IN(0), TNI_IN(1));
}

static tn_status v1_chosen_gradient(const tn_builder *b)
{
    return v1_pair_gradient(b, "_backward_Pooling_v1");
}

const tn_op_decl tni_op_pooling_v1_chosen =
    TN_OP(.name = "_Pooling_v1_chosen",
          .doc = "Of each window the sum of the values that lie where its maxima are: the gradient "
                 "of _backward_Pooling_v1.",
          BACKWARD,
          .inputs = TN_PORTS(TN_PORT(.name = "values", .doc = "in the shape of x"),
                             TN_PORT(.name = "x", .doc = "the data"),
                             TN_PORT(.name = "y", .doc = "the result")),
          .infer_shape = v1_chosen_shape, .gradient = v1_chosen_gradient,
          .expand = v1_chosen_expand);
