// core/ops/layer_norm.c: normalisation inside of each sample as in later networks: LayerNorm,
// RMSNorm.
#include "core/ops/norms.h"

// ------------------------------------------------------------------ LayerNorm
//
//     y = gamma_i (x - mean) / √(var + eps) + beta_i along one axis, var biased

static tn_status layer_shape(const tn_infer *io)
{
    const layer_params *p = io->params;
    for (uint32_t i = 1; i < 3; i++) TNI_TRY(tni_merge(io, TNI_IN(i), tn_shape_rank(1)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    tn_shape x = tni_shape(io, TNI_IN(0));
    if (x.ndim < 0) return tni_link(io, TNI_IN(1), TNI_IN(2));
    const int32_t axis = tn_axis(p->axis, x.ndim);
    if (axis < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                             (long long)p->axis, x.ndim);
    TNI_TRY(vectors_rule(io, axis));
    tn_shape mean = tni_shape(io, TNI_IN(0));
    mean.dim[axis] = 1;
    TNI_TRY(tni_merge(io, TNI_OUT(1), mean));
    TNI_TRY(tni_link(io, TNI_OUT(1), TNI_OUT(2)));
    x = tni_shape(io, TNI_OUT(1));
    x.dim[axis] = tni_shape(io, TNI_IN(0)).dim[axis];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status layer_expand(const tn_builder *b)
{
    const layer_params *p = b->params;
    char axes[TN_TEXT];
    tn_sym mean, std;
    tn_text(axes, "axis=(%lld,); keepdims=1", (long long)p->axis);
    const tn_sym x = normalised(b, tni_wide(b, tn_grad_in(b, 0)), axes, &mean, &std);
    tni_set_narrow(b, 0, scaled(b, x, p->axis));
    tni_set_narrow(b, 1, mean);
    tni_set_narrow(b, 2, std);
    return TN_OK;
}

// With x̂ = (x - mean) / std, g = dy gamma and means along the axis, of k elements:
//
//     dx = (g - mean(g) - x̂ mean(g x̂)) / std        dgamma = Σ dy x̂        dbeta = Σ dy
//
// over all other axes, and, where somebody uses mean and std,
//
//     dx += dmean / k + dstd x̂ / k

static tn_sym with_statistics(const tn_builder *b, tn_sym dx, tn_sym dmean, tn_sym dstd)
{
    const layer_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0), x_wide = tni_wide(b, x);
    char axes[TN_TEXT], share[TN_TEXT];
    tn_text(axes, "axis=(%lld,); keepdims=1", (long long)p->axis);
    tn_text(share, "axis=(%lld,); keepdims=1; scale_by_count=1", (long long)p->axis);
    tn_sym sum = dx ? tni_wide(b, dx) : 0;
    if (dmean) {
        const tn_sym part = spread(b, share, tni_wide(b, dmean), x_wide);
        sum = sum ? tni_call2(b, "elemwise_add", sum, part) : part;
    }
    if (dstd) {
        const tn_sym mean = spread(b, axes, tni_wide(b, tn_grad_out(b, 1)), x_wide);
        const tn_sym scale =
            tni_call2(b, "_div", tni_wide(b, dstd), tni_wide(b, tn_grad_out(b, 2)));
        const tn_sym part = tni_call2(b, "_mul", spread(b, share, scale, x_wide),
                                      tni_call2(b, "_sub", x_wide, mean));
        sum = sum ? tni_call2(b, "elemwise_add", sum, part) : part;
    }
    return tni_call2(b, "_narrow", sum, x);
}

static tn_status layer_gradient(const tn_builder *b)
{
    const layer_params *p = b->params;
    char text[TN_TEXT], eps[TNI_NUMBER];
    const tn_sym dy = tn_grad_head(b, 0), dmean = tn_grad_head(b, 1), dstd = tn_grad_head(b, 2);
    tn_sym dx = 0;
    if (dy) {
        tn_text(text, "axis=%lld; eps=%s", (long long)p->axis, tni_number(eps, p->eps));
        const tn_sym first = TN_EMIT(b, "_backward_LayerNorm", text, dy, tn_grad_in(b, 0),
                                     tn_grad_in(b, 1), tn_grad_out(b, 1), tn_grad_out(b, 2));
        dx = b->result(b->ctx, first, 0);
        for (uint32_t i = 1; i < 3; i++) tn_grad_set(b, i, b->result(b->ctx, first, i));
    }
    if (dmean || dstd) dx = with_statistics(b, dx, dmean, dstd);
    if (dx) tn_grad_set(b, 0, dx);
    return TN_OK;
}

const tn_op_decl tni_op_layer_norm = TN_OP(
        .name = "LayerNorm",
        .doc = "Normalises the elements along an axis, of each place by itself, to mean 0 and "
               "variance 1, then scales and shifts: gamma (x - mean) / sqrt(var + eps) + beta.",
        .family = "layer",
        .formula =
            "y = gamma * (x - mean) / sqrt(var + eps) + beta; mean and biased variance along axis",
        .shape_rule = "output has the shape of data; gamma and beta the extent of axis; mean and "
                      "std have 1 on axis",
        .source = "MXNet 1.x, src/operator/nn/layer_norm-inl.h",
        .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "with k elements along the axis"),
                           GAMMA("(k,)"), BETA("(k,)")),
        .outputs = TN_PORTS(STATISTICS("data's shape with 1 on the axis")),
        .params = TN_PARAMS(TN_PARAM(layer_params, axis, TN_P_I64, .def = "-1",
                                     .doc = "the axis; negative: from the end"),
                            EPS, MEAN_VAR),
        .params_size = sizeof(layer_params), .infer_shape = layer_shape, .gradient = layer_gradient,
        .expand = layer_expand);

static tn_status layer_backward_shape(const tn_infer *io)
{
    const layer_params *p = io->params;
    TNI_TRY(gradient_links(io));
    const tn_shape x = tni_shape(io, TNI_IN(1));
    if (x.ndim < 0) return tni_merge(io, TNI_IN(2), tn_shape_rank(1));
    const int32_t axis = tn_axis(p->axis, x.ndim);
    if (axis < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                             (long long)p->axis, x.ndim);
    tn_shape mean = x;
    mean.dim[axis] = 1;
    return gradient_extents(io, x.dim[axis], mean);
}

static tn_status layer_backward_expand(const tn_builder *b)
{
    const layer_params *p = b->params;
    const tn_sym dy = tni_wide(b, tn_grad_in(b, 0)), x = tni_wide(b, tn_grad_in(b, 1));
    char axes[TN_TEXT], others[TN_TEXT];
    tn_sym std;
    tn_text(axes, "axis=(%lld,); keepdims=1", (long long)p->axis);
    tn_text(others, "axis=(%lld,); exclude=1", (long long)p->axis);
    const tn_sym normal = normalised_again(b, x, axes, &std);
    const tn_sym g = tni_call2(b, "_mul", dy, spread(b, others, tni_wide(b, tn_grad_in(b, 2)), x));
    const tn_sym dgamma = tni_call2(b, "_mul", dy, normal);
    tni_set_narrow(b, 0, through_norm(b, g, normal, axes, std));
    tni_set_narrow(b, 1, tn_emit(b, "sum", others, &dgamma, 1));
    tni_set_narrow(b, 2, tn_emit(b, "sum", others, &dy, 1));
    return TN_OK;
}

const tn_op_decl tni_op_backward_layer_norm =
    TN_OP(.name = "_backward_LayerNorm", .flags = TN_OP_INTERNAL,
          .doc = "Gradients of LayerNorm's data, gamma and beta.",
          .inputs =
              TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "data"), TN_PORT(.name = "gamma"),
                       TN_PORT(.name = "mean", .doc = "that the forward found"),
                       TN_PORT(.name = "std", .doc = "that the forward found")),
          .outputs = TN_PORTS(TN_PORT(.name = "data_grad"), TN_PORT(.name = "gamma_grad"),
                              TN_PORT(.name = "beta_grad")),
          .params = TN_PARAMS(TN_PARAM(layer_params, axis, TN_P_I64, .def = "-1",
                                       .doc = "the axis; negative: from the end"),
                              EPS),
          .params_size = sizeof(layer_params), .infer_shape = layer_backward_shape,
          .expand = layer_backward_expand);

// ------------------------------------------------------------------ RMSNorm
//
//     y = gamma x / √(mean(x²) + epsilon), the mean over all axes from `axis` on

static tn_status rms_shape(const tn_infer *io)
{
    const layer_params *p = io->params;
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    tn_shape x = tni_shape(io, TNI_IN(0));
    if (x.ndim < 0) return TN_OK;
    const int32_t axis = tn_axis(p->axis, x.ndim);
    if (axis < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                             (long long)p->axis, x.ndim);
    tn_shape gamma = tn_shape_rank(x.ndim - axis);
    for (int32_t i = axis; i < x.ndim; i++) gamma.dim[i - axis] = x.dim[i];
    TNI_TRY(tni_merge(io, TNI_IN(1), gamma));
    gamma = tni_shape(io, TNI_IN(1));
    for (int32_t i = axis; i < x.ndim; i++) x.dim[i] = gamma.dim[i - axis];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status rms_expand(const tn_builder *b)
{
    const layer_params *p = b->params;
    char axes[TNI_LONG_TEXT] = "";
    int64_t list[TN_MAX_NDIM];
    size_t n = 0;
    // From the end: the axes themselves. From the front: all but those in front, or all.
    if (p->axis < -TN_MAX_NDIM || p->axis >= TN_MAX_NDIM)
        return b->fail(b->ctx, TN_E_SHAPE, "axis: there are 8 at most");
    for (int64_t i = p->axis < 0 ? p->axis : 0; i < (p->axis < 0 ? 0 : p->axis); i++) list[n++] = i;
    tni_text_list(axes, "axis", (tn_ints){n, list});
    const size_t at = strlen(axes);
    snprintf(axes + at, sizeof axes - at, "keepdims=1; exclude=%d", p->axis > 0);
    const tn_sym x = tni_wide(b, tn_grad_in(b, 0)), square = tni_call(b, "square", x);
    const tn_sym mean = tn_emit(b, "mean", axes, &square, 1);
    const tn_sym scale = tni_call(b, "rsqrt", tni_call_scalar(b, "_plus_scalar", mean, p->epsilon));
    const tn_sym normal = tni_call2(b, "_mul", x, spread(b, axes, scale, x));
    const tn_sym gamma = tni_call2(b, "broadcast_like", tni_wide(b, tn_grad_in(b, 1)), x);
    tni_set_narrow(b, 0, tni_call2(b, "_mul", normal, gamma));
    return TN_OK;
}

const tn_op_decl tni_op_rms_norm =
    TN_OP(.name = "RMSNorm", .c_name = "rms_norm",
          .doc = "Divides data by the root of its mean square, over all axes from one on, and "
                 "scales: gamma x / sqrt(mean(x^2) + epsilon).",
          .family = "layer", .formula = "y = gamma * x / sqrt(mean x^2 + eps) along axis",
          .shape_rule = "output has the shape of data; gamma the extent of axis",
          .source = "ONNX RMSNormalization 23, whose scale is called gamma here",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape"),
                             GAMMA("data's shape from the axis on")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .params = TN_PARAMS(TN_PARAM(layer_params, axis, TN_P_I64, .def = "-1",
                                       .doc = "the first axis; negative: from the end"),
                              TN_PARAM(layer_params, epsilon, TN_P_F64, .def = "1e-5",
                                       .range = "[0,)", .doc = "added to the mean square")),
          .params_size = sizeof(layer_params), .infer_shape = rms_shape, .expand = rms_expand);
