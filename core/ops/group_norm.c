// core/ops/group_norm.c: GroupNorm, and the gradient that it shares with InstanceNorm.
#include "core/ops/norms.h"

// ------------------------------------------------------------------ GroupNorm
//
//     y = gamma_c (x - mean) / √(var + eps) + beta_c, mean and var over a group of channels and all
//     places of one sample

static tn_status group_shape(const tn_infer *io)
{
    const layer_params *p = io->params;
    for (uint32_t i = 1; i < 3; i++) TNI_TRY(tni_merge(io, TNI_IN(i), tn_shape_rank(1)));
    TNI_TRY(tni_merge(io, TNI_OUT(1), tn_shape_2d(-1, p->num_groups)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    tn_shape x = tni_shape(io, TNI_IN(0));
    if (x.ndim < 0) return tni_link(io, TNI_IN(1), TNI_IN(2));
    if (x.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted (n, c, ...), got %d axes", x.ndim);
    TNI_TRY(vectors_rule(io, 1));
    x = tni_shape(io, TNI_IN(0));
    if (x.dim[1] >= 0 && x.dim[1] % p->num_groups)
        return tn_infer_fail(io, TN_E_SHAPE, "num_groups %lld does not divide the %lld channels",
                             (long long)p->num_groups, (long long)x.dim[1]);
    TNI_TRY(tni_merge(io, TNI_OUT(1), tn_shape_2d(x.dim[0], p->num_groups)));
    TNI_TRY(tni_link(io, TNI_OUT(1), TNI_OUT(2)));
    x.dim[0] = tni_shape(io, TNI_OUT(1)).dim[0];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status group_expand(const tn_builder *b)
{
    const layer_params *p = b->params;
    char text[TN_TEXT];
    tn_sym mean, std;
    const tn_sym x = tni_wide(b, tn_grad_in(b, 0));
    tn_text(text, "shape=(0,%lld,-1)", (long long)p->num_groups);
    const tn_sym groups = tn_emit(b, "Reshape", text, &x, 1);
    const tn_sym normal = normalised(b, groups, "axis=(2,)", &mean, &std);
    tni_set_narrow(b, 0, scaled(b, tni_call2(b, "reshape_like", normal, x), 1));
    tni_set_narrow(b, 1, mean);
    tni_set_narrow(b, 2, std);
    return TN_OK;
}

// ------------------------------------------------------------------ gradient
//
// With x̂ = (x - mean) / std, g = dy gamma and means over a group, of k elements:
//
//     dx = (g - mean(g) - x̂ mean(g x̂)) / std        dgamma = Σ dy x̂        dbeta = Σ dy
//
// over all samples and places, and, where somebody uses mean and std,
//
//     dx += dmean / k + dstd x̂ / k

// Data (n, c, ...), wide, as (n, groups, k).
static tn_sym in_groups(const tn_builder *b, tn_sym x)
{
    const layer_params *p = b->params;
    char text[TN_TEXT];
    if (p->num_groups == 0) return tn_emit(b, "Reshape", "shape=(0,0,-1)", &x, 1);
    tn_text(text, "shape=(0,%lld,-1)", (long long)p->num_groups);
    return tn_emit(b, "Reshape", text, &x, 1);
}

static const char of_group[] = "axis=(2,)", share[] = "axis=(2,); scale_by_count=1";

// What mean and std give to dx, which may be 0.
static tn_sym with_statistics(const tn_builder *b, tn_sym dx, tn_sym dmean, tn_sym dstd)
{
    const tn_sym x = tn_grad_in(b, 0), x_wide = tni_wide(b, x), groups = in_groups(b, x_wide);
    tn_sym sum = dmean ? spread(b, share, tni_wide(b, dmean), groups) : 0;
    if (dstd) {
        const tn_sym mean = spread(b, of_group, tni_wide(b, tn_grad_out(b, 1)), groups);
        const tn_sym scale =
            tni_call2(b, "_div", tni_wide(b, dstd), tni_wide(b, tn_grad_out(b, 2)));
        const tn_sym part = tni_call2(b, "_mul", spread(b, share, scale, groups),
                                      tni_call2(b, "_sub", groups, mean));
        sum = sum ? tni_call2(b, "elemwise_add", sum, part) : part;
    }
    sum = tni_call2(b, "reshape_like", sum, x_wide);
    if (dx) sum = tni_call2(b, "elemwise_add", tni_wide(b, dx), sum);
    return tni_call2(b, "_narrow", sum, x);
}

tn_sym tni_group_backward(const tn_builder *b, tn_sym std, int64_t groups, double eps)
{
    char text[TN_TEXT], number[TNI_NUMBER];
    tn_text(text, "num_groups=%lld; eps=%s", (long long)groups, tni_number(number, eps));
    const tn_sym first = TN_EMIT(b, "_backward_GroupNorm", text, tn_grad_head(b, 0),
                                 tn_grad_in(b, 0), tn_grad_in(b, 1), tn_grad_out(b, 1), std);
    for (uint32_t i = 1; i < 3; i++) tn_grad_set(b, i, b->result(b->ctx, first, i));
    return b->result(b->ctx, first, 0);
}

static tn_status group_gradient(const tn_builder *b)
{
    const layer_params *p = b->params;
    const tn_sym dmean = tn_grad_head(b, 1), dstd = tn_grad_head(b, 2);
    tn_sym dx = 0;
    if (tn_grad_head(b, 0)) dx = tni_group_backward(b, tn_grad_out(b, 2), p->num_groups, p->eps);
    if (dmean || dstd) dx = with_statistics(b, dx, dmean, dstd);
    if (dx) tn_grad_set(b, 0, dx);
    return TN_OK;
}

const tn_op_decl tni_op_group_norm =
    TN_OP(.name = "GroupNorm",
          .doc = "Normalises each group of channels of each sample to mean 0 and variance 1, then "
                 "scales and shifts each channel: gamma (x - mean) / sqrt(var + eps) + beta.",
          .family = "layer",
          .formula = "y = gamma * (x - mean) / sqrt(var + eps) + beta; mean and biased variance of "
                     "each group of channels of a sample",
          .shape_rule = "output has the shape of data (n, c, ...); gamma and beta of channels or "
                        "groups; mean and std (n, num_groups)",
          .source = "MXNet 1.6, src/operator/nn/group_norm-inl.h; a gamma and beta for each "
                    "channel, as in ONNX GroupNormalization 21 and PyTorch",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, ...)"), GAMMA("(c,)"), BETA("(c,)")),
          .outputs = TN_PORTS(STATISTICS("(n, num_groups)")),
          .params = TN_PARAMS(TN_PARAM(layer_params, num_groups, TN_P_I64, .def = "1",
                                       .range = "[1,)", .doc = "groups, of equally many channels"),
                              EPS, MEAN_VAR),
          .params_size = sizeof(layer_params), .infer_shape = group_shape,
          .gradient = group_gradient, .expand = group_expand);

// ------------------------------------------------------------------ its operator

static tn_status group_backward_shape(const tn_infer *io)
{
    const layer_params *p = io->params;
    TNI_TRY(gradient_links(io));
    const tn_shape x = tni_shape(io, TNI_IN(1));
    if (x.ndim < 0) return tni_merge(io, TNI_IN(2), tn_shape_rank(1));
    if (x.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted (n, c, ...), got %d axes", x.ndim);
    if (p->num_groups > 0 && x.dim[1] >= 0 && x.dim[1] % p->num_groups)
        return tn_infer_fail(io, TN_E_SHAPE, "num_groups %lld does not divide the %lld channels",
                             (long long)p->num_groups, (long long)x.dim[1]);
    const int64_t groups = p->num_groups ? p->num_groups : x.dim[1];
    return gradient_extents(io, x.dim[1], tn_shape_2d(x.dim[0], groups));
}

static tn_status group_backward_expand(const tn_builder *b)
{
    static const char channels[] = "axis=(1,); exclude=1";
    const tn_sym dy = tni_wide(b, tn_grad_in(b, 0)), x = tni_wide(b, tn_grad_in(b, 1));
    tn_sym std;
    const tn_sym normal = normalised_again(b, in_groups(b, x), of_group, &std);
    const tn_sym gamma = spread(b, channels, tni_wide(b, tn_grad_in(b, 2)), x);
    const tn_sym g = in_groups(b, tni_call2(b, "_mul", dy, gamma));
    const tn_sym dx = through_norm(b, g, normal, of_group, std);
    const tn_sym dgamma = tni_call2(b, "_mul", dy, tni_call2(b, "reshape_like", normal, x));
    tni_set_narrow(b, 0, tni_call2(b, "reshape_like", dx, x));
    tni_set_narrow(b, 1, tn_emit(b, "sum", channels, &dgamma, 1));
    tni_set_narrow(b, 2, tn_emit(b, "sum", channels, &dy, 1));
    return TN_OK;
}

const tn_op_decl tni_op_backward_group_norm =
    TN_OP(.name = "_backward_GroupNorm", .flags = TN_OP_INTERNAL,
          .doc = "Gradients of GroupNorm's or InstanceNorm's data, gamma and beta.",
          .inputs =
              TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "data"), TN_PORT(.name = "gamma"),
                       TN_PORT(.name = "mean", .doc = "(n, groups): that the forward found"),
                       TN_PORT(.name = "std", .doc = "(n, groups): sqrt(var + eps) of these")),
          .outputs = TN_PORTS(TN_PORT(.name = "data_grad"), TN_PORT(.name = "gamma_grad"),
                              TN_PORT(.name = "beta_grad")),
          .params =
              TN_PARAMS(TN_PARAM(layer_params, num_groups, TN_P_I64, .def = "1", .range = "[0,)",
                                 .doc = "groups, of equally many channels; 0: each channel "
                                        "is one, as in InstanceNorm"),
                        EPS),
          .params_size = sizeof(layer_params), .infer_shape = group_backward_shape,
          .expand = group_backward_expand);
