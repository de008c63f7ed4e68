// core/ops/conv.c: Convolution and its gradients.
//
// Gradients of any order are one of the three operators Convolution, _backward_Convolution_data and
// _backward_Convolution_weight. Deconvolution (deconv.c) expands into them, too, so a backend that
// has these three can do everything of both.
#include "core/ops/ops.h"

int64_t tni_conv_entry(tn_ints list, int32_t i, int64_t otherwise)
{
    return list.n ? list.v[i] : otherwise;
}

int64_t tni_conv_covered(const tni_conv *p, int32_t i)
{
    return tni_conv_entry(p->dilate, i, 1) * (p->kernel.v[i] - 1) + 1;
}

tn_status tni_conv_check(const void *params, char *reason, size_t size)
{
    const tni_conv *p = params;
    const struct {
        const char *name;
        tn_ints list;
    } lists[] = {{"stride", p->stride},
                 {"dilate", p->dilate},
                 {"pad", p->pad},
                 {"adj", p->adj},
                 {"target_shape", p->target_shape}};
    static const int8_t axes_of_layout[] = {1, 2, 3, 0, 0};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (lists[i].list.n == 0 || lists[i].list.n == p->kernel.n) continue;
        snprintf(reason, size, "%s has %zu entries, kernel has %zu", lists[i].name, lists[i].list.n,
                 p->kernel.n);
        return TN_E_INVALID;
    }
    if (p->num_filter % p->num_group) {
        snprintf(reason, size, "num_group %lld does not divide num_filter %lld",
                 (long long)p->num_group, (long long)p->num_filter);
        return TN_E_INVALID;
    }
    if (p->layout < 0 || axes_of_layout[p->layout] == (int8_t)p->kernel.n) return TN_OK;
    snprintf(reason, size, "layout: wanted channels behind the batch and %zu spatial axes",
             p->kernel.n);
    return axes_of_layout[p->layout] ? TN_E_INVALID : TN_E_UNSUPPORTED;
}

// ------------------------------------------------------------------ Convolution
//
//     y[n, f, o] = bias[f] + Σ_{c, k} weight[f, c, k] · x[n, group(f) + c, s o + d k - p]
//
// Output extents are floor((x + 2p - (d (k - 1) + 1)) / s) + 1. The kernel is not turned round.

// Spatial axis i: from data to output, and back where the stride is 1.
static tn_status conv_axis(const tn_infer *io, int32_t i, tn_shape *x, tn_shape *y)
{
    const tni_conv *p = io->params;
    const int64_t s = tni_conv_entry(p->stride, i, 1), pad = tni_conv_entry(p->pad, i, 0),
                  k = tni_conv_covered(p, i);
    int64_t *in = &x->dim[2 + i], *out = &y->dim[2 + i];
    if (*in < 0 && *out >= 0 && *out <= TNI_MOST_EXTENT && s == 1 && *out + k - 1 - 2 * pad >= 0)
        *in = *out + k - 1 - 2 * pad;
    if (*in < 0) return TN_OK;
    if (*in > TNI_MOST_EXTENT)
        return tn_infer_fail(io, TN_E_SHAPE, "spatial axis %d has %lld", i, (long long)*in);
    if (*in + 2 * pad < k)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "kernel covers %lld of spatial axis %d, which has %lld with its pad",
                             (long long)k, i, (long long)(*in + 2 * pad));
    *out = (*in + 2 * pad - k) / s + 1;
    return TN_OK;
}

tn_status tni_conv_rule(const tn_infer *io, tni_slot data, tni_slot weight, tni_slot output)
{
    const tni_conv *p = io->params;
    const int32_t n = (int32_t)p->kernel.n;
    tn_shape w = tn_shape_rank(n + 2);
    w.dim[0] = p->num_filter;
    for (int32_t i = 0; i < n; i++) w.dim[2 + i] = p->kernel.v[i];
    TNI_TRY(tni_merge(io, weight, w));
    TNI_TRY(tni_merge(io, data, tn_shape_rank(n + 2)));
    TNI_TRY(tni_merge(io, output, tn_shape_rank(n + 2)));
    tn_shape x = tni_shape(io, data);
    w = tni_shape(io, weight);
    if (x.dim[1] >= 0 && x.dim[1] % p->num_group)
        return tn_infer_fail(io, TN_E_SHAPE, "num_group %lld does not divide the %lld channels",
                             (long long)p->num_group, (long long)x.dim[1]);
    if (x.dim[1] >= 0) w.dim[1] = x.dim[1] / p->num_group;
    TNI_TRY(tni_merge(io, weight, w));
    if (w.dim[1] >= 0 && __builtin_mul_overflow(w.dim[1], p->num_group, &x.dim[1])) x.dim[1] = -1;
    tn_shape y = tni_shape(io, output);
    for (int32_t i = 0; i < n; i++) {
        tn_shape computed = y;
        TNI_TRY(conv_axis(io, i, &x, &computed));
        if (y.dim[2 + i] < 0)
            y.dim[2 + i] = computed.dim[2 + i];
        else if (x.dim[2 + i] >= 0 && computed.dim[2 + i] != y.dim[2 + i])
            return tni_merge(io, output, computed); // says what was wanted and what came
    }
    if (x.dim[0] < 0) x.dim[0] = y.dim[0];
    y.dim[0] = x.dim[0];
    y.dim[1] = p->num_filter;
    TNI_TRY(tni_merge(io, output, y));
    return tni_merge(io, data, x);
}

static tn_status conv_shape(const tn_infer *io)
{
    const tni_conv *p = io->params;
    if (!p->no_bias) TNI_TRY(tni_merge(io, TNI_IN(2), tn_shape_1d(p->num_filter)));
    return tni_conv_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0));
}

const char *tni_conv_text(char text[TNI_LONG_TEXT], const tni_conv *p, const char *more)
{
    text[0] = 0;
    tni_text_list(text, "kernel", p->kernel);
    tni_text_list(text, "stride", p->stride);
    tni_text_list(text, "dilate", p->dilate);
    tni_text_list(text, "pad", p->pad);
    const size_t at = strlen(text);
    snprintf(text + at, TNI_LONG_TEXT - at, "num_filter=%lld; num_group=%lld%s",
             (long long)p->num_filter, (long long)p->num_group, more);
    return text;
}

// The same with the limit of scratch memory, where it is not the default.
static const char *limited_text(char text[TNI_LONG_TEXT], const tni_conv *p, const char *more)
{
    enum { DEFAULT_WORKSPACE = 1024 };
    tni_conv_text(text, p, more);
    const size_t at = strlen(text);
    if (p->workspace != DEFAULT_WORKSPACE)
        snprintf(text + at, TNI_LONG_TEXT - at, "; workspace=%lld", (long long)p->workspace);
    return text;
}

tn_sym tni_bias_gradient(const tn_builder *b, tn_sym dy)
{
    return tn_emit(b, "sum", "axis=(1,); exclude=1", &dy, 1);
}

static tn_status conv_gradient(const tn_builder *b)
{
    const tni_conv *p = b->params;
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    if (!dy) return TN_OK;
    limited_text(text, p, "");
    tn_grad_set(b, 0, TN_EMIT(b, "_backward_Convolution_data", text, dy, w, x));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_Convolution_weight", text, dy, x, w));
    if (!p->no_bias) tn_grad_set(b, 2, tni_bias_gradient(b, dy));
    return TN_OK;
}

const tn_op_decl tni_op_convolution = TN_OP(
        .name = "Convolution", .flags = TN_OP_KEEPS_NOTHING,
        .doc = "Convolution over 1 to 3 spatial axes (as cross-correlation: the kernel is not "
               "turned round). Output extents: floor((x + 2 pad - dilate (kernel - 1) - 1) / "
               "stride) + 1.",
        .family = "layer",
        .formula = "y[n,f,o] = bias[f] + sum_{c,k} weight[f,c,k] * x[n,c,stride * o + dilate * k - "
                   "pad], c over the channels of f's group",
        .shape_rule =
            "(n, c, x...) weight (num_filter, c / num_group, kernel...) bias (num_filter,) -> (n, "
            "num_filter, out...), out = floor((x + 2 pad - dilate (kernel - 1) - 1) / stride) + 1",
        .source = "MXNet 0.11, src/operator/convolution-inl.h",
        .inputs =
            TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, spatial...)"),
                     TN_PORT(.name = "weight", .doc = "(num_filter, c / num_group, kernel...)"),
                     TN_PORT(.name = "bias", .doc = "(num_filter,)", .when = "!no_bias")),
        .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, num_filter, spatial...)")),
        .params = TN_PARAMS(TNI_CONV_LISTS, TNI_CONV_COUNTS,
                            TNI_CONV_LAYER("False", TNI_CONV_WORKSPACE, TNI_CONV_LAYOUTS)),
        .params_size = sizeof(tni_conv), .check = tni_conv_check, .infer_shape = conv_shape,
        .gradient = conv_gradient);

// ------------------------------------------------------------------ Convolution_v1
//
// The older registration, for 2 and 3 spatial axes: the same layer.

static tn_status conv_v1_check(const void *params, char *reason, size_t size)
{
    static const int8_t layout_of[] = {1, 3, 2, 4}; // index in the list that Convolution has
    tni_conv p = *(const tni_conv *)params;
    if (p.kernel.n < 2) {
        snprintf(reason, size, "kernel: wanted 2 or 3 entries, got %zu", p.kernel.n);
        return TN_E_INVALID;
    }
    if (p.layout >= 0) p.layout = layout_of[p.layout];
    return tni_conv_check(&p, reason, size);
}

static tn_status conv_v1_expand(const tn_builder *b)
{
    const tni_conv *p = b->params;
    char text[TNI_LONG_TEXT];
    const tn_sym x = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    limited_text(text, p, p->no_bias ? "; no_bias=1" : "");
    b->set_output(b->ctx, 0,
                  p->no_bias ? TN_EMIT(b, "Convolution", text, x, w)
                             : TN_EMIT(b, "Convolution", text, x, w, tn_grad_in(b, 2)));
    return TN_OK;
}

const tn_op_decl tni_op_convolution_v1 = TN_OP(
        .name = "Convolution_v1", .flags = TN_OP_KEEPS_NOTHING,
        .doc = "Convolution over 2 or 3 spatial axes, under the name of its older registration.",
        .family = "layer",
        .formula = "y[n,f,o] = bias[f] + sum_{c,k} weight[f,c,k] * x[n,c,stride * o + dilate * k - "
                   "pad], c over the channels of f's group",
        .shape_rule =
            "(n, c, x...) weight (num_filter, c / num_group, kernel...) bias (num_filter,) -> (n, "
            "num_filter, out...), out = floor((x + 2 pad - dilate (kernel - 1) - 1) / stride) + 1",
        .source = "MXNet 0.11, src/operator/convolution_v1-inl.h",
        .inputs =
            TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, spatial...)"),
                     TN_PORT(.name = "weight", .doc = "(num_filter, c / num_group, kernel...)"),
                     TN_PORT(.name = "bias", .doc = "(num_filter,)", .when = "!no_bias")),
        .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, num_filter, spatial...)")),
        .params = TN_PARAMS(TNI_CONV_LISTS, TNI_CONV_COUNTS,
                            TNI_CONV_LAYER("False", TNI_CONV_WORKSPACE, "NCHW|NHWC|NCDHW|NDHWC")),
        .params_size = sizeof(tni_conv), .check = conv_v1_check, .infer_shape = conv_shape,
        .gradient = conv_gradient, .expand = conv_v1_expand);

// ------------------------------------------------------------------ gradients of Convolution
//
// Linear in dy and in the other factor: for a gradient g that arrives at dx, that of dy is
// Convolution(g, weight) and that of weight is _backward_Convolution_weight(dy, g).

#define BACKWARD                                                              \
    .flags = TN_OP_INTERNAL, .outputs = TN_PORTS(TN_PORT(.name = "output")),  \
    .params = TN_PARAMS(TNI_CONV_LISTS, TNI_CONV_COUNTS, TNI_CONV_WORKSPACE), \
    .params_size = sizeof(tni_conv), .check = tni_conv_check_lists

tn_status tni_conv_check_lists(const void *params, char *reason, size_t size)
{
    tni_conv p = *(const tni_conv *)params;
    p.layout = -1; // a blob of zeros says NCW
    return tni_conv_check(&p, reason, size);
}

static tn_status conv_data_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(tni_conv_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status conv_data_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    if (!g) return TN_OK;
    tn_grad_set(b, 0,
                TN_EMIT(b, "Convolution", limited_text(text, b->params, "; no_bias=1"), g, w));
    tn_grad_set(
        b, 1,
        TN_EMIT(b, "_backward_Convolution_weight", limited_text(text, b->params, ""), dy, g, w));
    return TN_OK;
}

const tn_op_decl tni_op_backward_convolution_data =
    TN_OP(.name = "_backward_Convolution_data", .doc = "Gradient of Convolution's data.", BACKWARD,
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "weight"), TNI_PORT_LIKE),
          .infer_shape = conv_data_shape, .gradient = conv_data_gradient);

static tn_status conv_weight_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(tni_conv_rule(io, TNI_IN(1), TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status conv_weight_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0), x = tn_grad_in(b, 1);
    if (!g) return TN_OK;
    tn_grad_set(b, 0,
                TN_EMIT(b, "Convolution", limited_text(text, b->params, "; no_bias=1"), x, g));
    tn_grad_set(
        b, 1,
        TN_EMIT(b, "_backward_Convolution_data", limited_text(text, b->params, ""), dy, g, x));
    return TN_OK;
}

const tn_op_decl tni_op_backward_convolution_weight =
    TN_OP(.name = "_backward_Convolution_weight", .doc = "Gradient of Convolution's weight.",
          BACKWARD,
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "data"), TNI_PORT_LIKE),
          .infer_shape = conv_weight_shape, .gradient = conv_weight_gradient);
