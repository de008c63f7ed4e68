// core/ops/norms.h: what LayerNorm, GroupNorm and RMSNorm share.
#ifndef TENON_CORE_OPS_NORMS_H
#define TENON_CORE_OPS_NORMS_H

#include "core/base/base.h"
#include "core/ops/ops.h"

typedef struct layer_params {
    double eps, epsilon;
    int64_t axis, num_groups;
    int32_t output_mean_var;
} layer_params;

#define GAMMA(shape) TN_PORT(.name = "gamma", .doc = shape ": factors", .init = "[\"one\", {}]")
#define BETA(shape) \
    TN_PORT(.name = "beta", .doc = shape ": added afterwards", .init = "[\"zero\", {}]")
#define STATISTICS(shape)                                                              \
    TN_PORT(.name = "output", .doc = "in the shape of data"),                          \
        TN_PORT(.name = "mean", .flags = TN_PORT_HIDDEN, .visible = "output_mean_var", \
                .doc = shape),                                                         \
        TN_PORT(.name = "std", .flags = TN_PORT_HIDDEN, .visible = "output_mean_var",  \
                .doc = shape ": sqrt(var + eps)")
#define EPS                                                               \
    TN_PARAM(layer_params, eps, TN_P_F64, .def = "1e-5", .range = "[0,)", \
             .doc = "added to the variance")
#define MEAN_VAR                                                       \
    TN_PARAM(layer_params, output_mean_var, TN_P_BOOL, .def = "False", \
             .doc = "give mean and std out")

static inline tn_sym spread(const tn_builder *b, const char *axes, tn_sym v, tn_sym like)
{
    return TN_EMIT(b, "_broadcast_reduced", axes, v, like);
}

// (x - mean) / std over the axes that a reduction takes, and both of these; x is wide.
static inline tn_sym normalised(const tn_builder *b, tn_sym x, const char *axes, tn_sym *mean,
                                tn_sym *std)
{
    const layer_params *p = b->params;
    *mean = tn_emit(b, "mean", axes, &x, 1);
    const tn_sym centred = tni_call2(b, "_sub", x, spread(b, axes, *mean, x));
    const tn_sym square = tni_call(b, "square", centred);
    const tn_sym var = tn_emit(b, "mean", axes, &square, 1);
    *std = tni_call(b, "sqrt", tni_call_scalar(b, "_plus_scalar", var, p->eps));
    return tni_call2(b, "_div", centred, spread(b, axes, *std, x));
}

// x gamma + beta, which are inputs 1 and 2: one number for each place on the axis.
static inline tn_sym scaled(const tn_builder *b, tn_sym x, long long axis)
{
    char text[TN_TEXT];
    tn_text(text, "axis=(%lld,); exclude=1", axis);
    const tn_sym gamma = spread(b, text, tni_wide(b, tn_grad_in(b, 1)), x);
    const tn_sym beta = spread(b, text, tni_wide(b, tn_grad_in(b, 2)), x);
    return tni_call2(b, "elemwise_add", tni_call2(b, "_mul", x, gamma), beta);
}

// gamma, beta and axis `axis` of data, which has the shape of the output, have one extent.
static inline tn_status vectors_rule(const tn_infer *io, int32_t axis)
{
    tn_shape x = tni_shape(io, TNI_IN(0));
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_1d(x.dim[axis])));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_IN(2)));
    x.dim[axis] = tni_shape(io, TNI_IN(1)).dim[0];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

// ------------------------------------------------------------------ gradients
//
// Their inputs are dy, data, gamma, mean and std, their outputs the gradients of data, gamma, beta.

static inline tn_status gradient_links(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link(io, TNI_IN(3), TNI_IN(4)));
    for (uint32_t o = 1; o < 3; o++) TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(o)));
    return TN_OK;
}

// The axis of gamma and beta has `extent` places, mean and std have shape `mean`.
static inline tn_status gradient_extents(const tn_infer *io, int64_t extent, tn_shape mean)
{
    TNI_TRY(tni_merge(io, TNI_IN(2), tn_shape_1d(extent)));
    for (uint32_t o = 1; o < 3; o++) TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(o)));
    for (uint32_t i = 3; i < 5; i++) TNI_TRY(tni_merge(io, TNI_IN(i), mean));
    return TN_OK;
}

// (x - mean) / std again. The moments of halves are rounded: found again, they are not.
static inline tn_sym normalised_again(const tn_builder *b, tn_sym x, const char *axes, tn_sym *std)
{
    const tn_dtype dtype = b->dtype(b->ctx, tn_grad_in(b, 1));
    tn_sym mean = tn_grad_in(b, 3);
    *std = tn_grad_in(b, 4);
    if (dtype == TN_F16 || dtype == TN_BF16) return normalised(b, x, axes, &mean, std);
    const tn_sym centred = tni_call2(b, "_sub", x, spread(b, axes, mean, x));
    return tni_call2(b, "_div", centred, spread(b, axes, *std, x));
}

// (g - mean g - normal mean(g normal)) / std, where g is the gradient of `normal`.
static inline tn_sym through_norm(const tn_builder *b, tn_sym g, tn_sym normal, const char *axes,
                                  tn_sym std)
{
    const tn_sym product = tni_call2(b, "_mul", g, normal);
    const tn_sym slope = spread(b, axes, tn_emit(b, "mean", axes, &product, 1), g);
    const tn_sym level = spread(b, axes, tn_emit(b, "mean", axes, &g, 1), g);
    const tn_sym dx =
        tni_call2(b, "_sub", tni_call2(b, "_sub", g, level), tni_call2(b, "_mul", normal, slope));
    return tni_call2(b, "_div", dx, spread(b, axes, std, g));
}

#endif
