// core/ops/deconv.c: Deconvolution and its gradients, all of which expand into those of
// Convolution.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ Deconvolution
//
// The transpose of a Convolution from (n, num_filter, out) to (n, c, x), so
//     out = s (x - 1) + (d (k - 1) + 1) - 2p + adj,  adj < s
// With target_shape T, pad and adj come from it: with t = s (x - 1) + d (k - 1) + 1 - T, which must
// not be negative, adj = t mod 2 and pad = (t + 1) / 2.

// pad and adj of spatial axis i for an input extent; false if target_shape cannot be reached.
static bool deconv_pad(const tni_conv *p, int32_t i, int64_t in, int64_t *pad, int64_t *adj)
{
    *pad = tni_conv_entry(p->pad, i, 0);
    *adj = tni_conv_entry(p->adj, i, 0);
    const int64_t target = tni_conv_entry(p->target_shape, i, 0);
    if (target == 0) return true;
    const int64_t total =
        tni_conv_entry(p->stride, i, 1) * (in - 1) + tni_conv_covered(p, i) - target;
    *adj = total % 2;
    *pad = (total + 1) / 2;
    return total >= 0;
}

// MXNet 0.11 accepts an adj beyond the stride only to fail later.
static tn_status deconv_check(const void *params, char *reason, size_t size)
{
    const tni_conv *p = params;
    TNI_TRY(tni_conv_check(params, reason, size));
    for (size_t i = 0; i < p->adj.n; i++) {
        if (p->adj.v[i] < tni_conv_entry(p->stride, (int32_t)i, 1)) continue;
        snprintf(reason, size, "adj: wanted less than the stride, got %lld",
                 (long long)p->adj.v[i]);
        return TN_E_INVALID;
    }
    return TN_OK;
}

static tn_status deconv_spatial(const tn_infer *io, const tn_shape *x, tn_shape *y)
{
    const tni_conv *p = io->params;
    for (int32_t i = 0; i < (int32_t)p->kernel.n; i++) {
        int64_t in = x->dim[2 + i], pad, adj;
        y->dim[2 + i] = p->target_shape.n && p->target_shape.v[i] ? p->target_shape.v[i] : -1;
        if (in < 0) continue;
        if (in > TNI_MOST_EXTENT)
            return tn_infer_fail(io, TN_E_SHAPE, "spatial axis %d has %lld", i, (long long)in);
        if (!deconv_pad(p, i, in, &pad, &adj))
            return tn_infer_fail(io, TN_E_SHAPE,
                                 "target_shape: %lld of spatial axis %d is more "
                                 "than kernel and stride reach",
                                 (long long)p->target_shape.v[i], i);
        y->dim[2 + i] =
            tni_conv_entry(p->stride, i, 1) * (in - 1) + tni_conv_covered(p, i) - 2 * pad + adj;
        if (in < 1 || y->dim[2 + i] < 1)
            return tn_infer_fail(io, TN_E_SHAPE, "spatial axis %d: %lld gives %lld", i,
                                 (long long)in, (long long)y->dim[2 + i]);
    }
    return TN_OK;
}

static tn_status deconv_rule(const tn_infer *io, tni_slot data, tni_slot weight, tni_slot output)
{
    const tni_conv *p = io->params;
    const int32_t n = (int32_t)p->kernel.n;
    tn_shape w = tn_shape_rank(n + 2), y = w;
    w.dim[1] = p->num_filter / p->num_group;
    for (int32_t i = 0; i < n; i++) w.dim[2 + i] = p->kernel.v[i];
    TNI_TRY(tni_merge(io, weight, w));
    TNI_TRY(tni_merge(io, data, tn_shape_rank(n + 2)));
    tn_shape x = tni_shape(io, data);
    if (x.dim[1] >= 0 && x.dim[1] % p->num_group)
        return tn_infer_fail(io, TN_E_SHAPE, "num_group %lld does not divide the %lld channels",
                             (long long)p->num_group, (long long)x.dim[1]);
    w.dim[0] = x.dim[1];
    TNI_TRY(tni_merge(io, weight, w));
    TNI_TRY(deconv_spatial(io, &x, &y));
    y.dim[0] = x.dim[0];
    y.dim[1] = p->num_filter;
    TNI_TRY(tni_merge(io, output, y));
    x.dim[0] = tni_shape(io, output).dim[0];
    x.dim[1] = tni_shape(io, weight).dim[0];
    return tni_merge(io, data, x);
}

static tn_status deconv_shape(const tn_infer *io)
{
    const tni_conv *p = io->params;
    if (!p->no_bias) TNI_TRY(tni_merge(io, TNI_IN(2), tn_shape_1d(p->num_filter)));
    return deconv_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0));
}

static const char *deconv_text(char text[TNI_LONG_TEXT], const tni_conv *p)
{
    tni_conv_text(text, p, "; ");
    tni_text_list(text, "adj", p->adj);
    tni_text_list(text, "target_shape", p->target_shape);
    return text;
}

// Parameters of the Convolution from output to data; false, and an error, if shapes are unknown.
static bool conv_of_deconv(const tn_builder *b, tn_sym data, char text[TNI_LONG_TEXT],
                           const char *more)
{
    const tni_conv *p = b->params;
    const tn_shape x = *b->shape(b->ctx, data);
    int64_t pad[TNI_MOST_SPATIAL], adj;
    tni_conv c = *p;
    bool known = x.ndim == (int32_t)p->kernel.n + 2 && x.dim[1] > 0;
    for (int32_t i = 0; known && i < (int32_t)p->kernel.n; i++)
        known = x.dim[2 + i] >= 0 && deconv_pad(p, i, x.dim[2 + i], &pad[i], &adj);
    if (!known) {
        b->fail(b->ctx, TN_E_SHAPE, "wanted a known shape of data");
        return false;
    }
    c.pad = (tn_ints){p->kernel.n, pad};
    c.num_filter = x.dim[1];
    tni_conv_text(text, &c, more);
    return true;
}

static tn_status deconv_expand(const tn_builder *b)
{
    const tni_conv *p = b->params;
    char text[TNI_LONG_TEXT], like[TNI_LONG_TEXT] = "";
    const tn_sym x = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    if (!conv_of_deconv(b, x, text, "")) return TN_OK;
    tn_shape y = *b->shape(b->ctx, x);
    const tn_shape in = y;
    y.dim[1] = p->num_filter;
    for (int32_t i = 0; i < (int32_t)p->kernel.n; i++) {
        int64_t pad, adj;
        deconv_pad(p, i, in.dim[2 + i], &pad, &adj);
        y.dim[2 + i] = tni_conv_entry(p->stride, i, 1) * (in.dim[2 + i] - 1) +
                       tni_conv_covered(p, i) - 2 * pad + adj;
    }
    tni_text_list(like, "shape", (tn_ints){(size_t)y.ndim, y.dim});
    const size_t at = strlen(like);
    snprintf(like + at, sizeof like - at, "dtype=%s", tn_dtype_name(b->dtype(b->ctx, x)));
    const tn_sym shape = tn_emit(b, "_zeros", like, NULL, 0); // only its shape is used
    tn_sym out = TN_EMIT(b, "_backward_Convolution_data", text, x, w, shape);
    if (!p->no_bias) {
        const tn_sym bias =
            TN_EMIT(b, "_broadcast_reduced", "axis=(1,); exclude=1", tn_grad_in(b, 2), out);
        out = tni_call2(b, "elemwise_add", out, bias);
    }
    b->set_output(b->ctx, 0, out);
    return TN_OK;
}

static tn_status deconv_gradient(const tn_builder *b)
{
    const tni_conv *p = b->params;
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    if (!dy) return TN_OK;
    deconv_text(text, p);
    tn_grad_set(b, 0, TN_EMIT(b, "_backward_Deconvolution_data", text, dy, w, x));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_Deconvolution_weight", text, dy, x, w));
    if (!p->no_bias) tn_grad_set(b, 2, tni_bias_gradient(b, dy));
    return TN_OK;
}

#define TARGETS                                                                         \
    TN_PARAM(tni_conv, adj, TN_P_I64S, .def = "()", .range = "[0,100000]",              \
             .doc = "added to the extents of the output, less than the stride; (): 0"), \
        TN_PARAM(tni_conv, target_shape, TN_P_I64S, .def = "()", .range = "[0,)",       \
                 .doc = "wanted spatial extents, which then decide pad and adj; (): not given")

#define WORKSPACE                                                          \
    TN_PARAM(tni_conv, workspace, TN_P_I64, .def = "512", .range = "[0,)", \
             .doc = "read from files, without effect")

const tn_op_decl tni_op_deconvolution =
    TN_OP(.name = "Deconvolution",
          .doc =
              "Transposed convolution over 1 to 3 spatial axes. Output extents: stride (x - 1) + "
              "dilate (kernel - 1) + 1 - 2 pad + adj.",
          .family = "layer",
          .formula = "the transpose of Convolution: y[n,f,stride * i + dilate * k - pad] adds up "
                     "weight[c,f,k] * x[n,c,i]",
          .shape_rule = "(n, c, x...) weight (c, num_filter / num_group, kernel...) bias "
                        "(num_filter,) -> (n, num_filter, out...), out = stride (x - 1) + dilate "
                        "(kernel - 1) + 1 - 2 pad + adj, or target_shape",
          .source = "MXNet 0.11, src/operator/deconvolution-inl.h",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, spatial...)"),
                       TN_PORT(.name = "weight", .doc = "(c, num_filter / num_group, kernel...)"),
                       TN_PORT(.name = "bias", .doc = "(num_filter,)", .when = "!no_bias")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, num_filter, spatial...)")),
          .params = TN_PARAMS(TNI_CONV_LISTS, TARGETS, TNI_CONV_COUNTS,
                              TNI_CONV_LAYER("True", WORKSPACE, TNI_CONV_LAYOUTS)),
          .params_size = sizeof(tni_conv), .check = deconv_check, .infer_shape = deconv_shape,
          .gradient = deconv_gradient, .expand = deconv_expand);

// ------------------------------------------------------------------ gradients of Deconvolution
//
// With Convolution as the map from output to data: dx = conv(dy, weight), and the gradient of
// weight is that of the convolution whose input is dy and whose output gradient is data.

#define BACKWARD                                                             \
    .flags = TN_OP_INTERNAL, .outputs = TN_PORTS(TN_PORT(.name = "output")), \
    .params = TN_PARAMS(TNI_CONV_LISTS, TARGETS, TNI_CONV_COUNTS),           \
    .params_size = sizeof(tni_conv), .check = deconv_check_lists

static tn_status deconv_check_lists(const void *params, char *reason, size_t size)
{
    tni_conv p = *(const tni_conv *)params;
    p.layout = -1; // a blob of zeros says NCW
    return deconv_check(&p, reason, size);
}

static tn_status deconv_data_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(deconv_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status deconv_data_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    if (!g) return TN_OK;
    deconv_text(text, b->params);
    tn_grad_set(b, 0, TN_EMIT(b, "Deconvolution", text, g, w));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_Deconvolution_weight", text, dy, g, w));
    return TN_OK;
}

static tn_status deconv_data_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    if (!conv_of_deconv(b, tn_grad_in(b, 2), text, "; no_bias=1")) return TN_OK;
    b->set_output(b->ctx, 0, TN_EMIT(b, "Convolution", text, tn_grad_in(b, 0), tn_grad_in(b, 1)));
    return TN_OK;
}

const tn_op_decl tni_op_backward_deconvolution_data =
    TN_OP(.name = "_backward_Deconvolution_data", .doc = "Gradient of Deconvolution's data.",
          BACKWARD,
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "weight"), TNI_PORT_LIKE),
          .infer_shape = deconv_data_shape, .gradient = deconv_data_gradient,
          .expand = deconv_data_expand);

static tn_status deconv_weight_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(deconv_rule(io, TNI_IN(1), TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status deconv_weight_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0), x = tn_grad_in(b, 1);
    if (!g) return TN_OK;
    deconv_text(text, b->params);
    tn_grad_set(b, 0, TN_EMIT(b, "Deconvolution", text, x, g));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_Deconvolution_data", text, dy, g, x));
    return TN_OK;
}

static tn_status deconv_weight_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_in(b, 0), x = tn_grad_in(b, 1);
    if (!conv_of_deconv(b, x, text, "")) return TN_OK;
    b->set_output(b->ctx, 0,
                  TN_EMIT(b, "_backward_Convolution_weight", text, x, dy, tn_grad_in(b, 2)));
    return TN_OK;
}

const tn_op_decl tni_op_backward_deconvolution_weight =
    TN_OP(.name = "_backward_Deconvolution_weight", .doc = "Gradient of Deconvolution's weight.",
          BACKWARD,
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "data"), TNI_PORT_LIKE),
          .infer_shape = deconv_weight_shape, .gradient = deconv_weight_gradient,
          .expand = deconv_weight_expand);
