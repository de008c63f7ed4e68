// core/ops/instance.c: normalisation of each sample by itself: InstanceNorm, L2Normalization.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ InstanceNorm
//
//     y = gamma_c (x - mean) / √(var + eps) + beta_c
//
// mean and (biased) variance are those of one sample and channel over all places.

typedef struct instance_params {
    double eps;
} instance_params;

static tn_status instance_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    tn_shape x = tni_shape(io, TNI_IN(0));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_IN(2)));
    if (x.ndim < 0) return tni_merge(io, TNI_IN(1), tn_shape_rank(1));
    if (x.ndim < 3)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted (n, c, ...), got %d axes", x.ndim);
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_1d(x.dim[1])));
    x.dim[1] = tni_shape(io, TNI_IN(1)).dim[0];
    TNI_TRY(tni_merge(io, TNI_OUT(1), tn_shape_2d(x.dim[0], x.dim[1])));
    const tn_shape mean = tni_shape(io, TNI_OUT(1));
    x.dim[0] = mean.dim[0];
    x.dim[1] = mean.dim[1];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    TNI_TRY(tni_link(io, TNI_OUT(1), TNI_OUT(2)));
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_1d(x.dim[1])));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_IN(2)));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static const char places[] = "axis=(0,1); exclude=1";

// v, (n, c), or gamma or beta, (c,), in the shape of data.
static tn_sym spread(const tn_builder *b, const char *axes, tn_sym v)
{
    return TN_EMIT(b, "_broadcast_reduced", axes, v, tni_wide(b, tn_grad_in(b, 0)));
}

// Gamma or beta for each element.
static tn_sym of_channel(const tn_builder *b, uint32_t i)
{
    return spread(b, "axis=(1,); exclude=1", tni_wide(b, tn_grad_in(b, i)));
}

static tn_status instance_expand(const tn_builder *b)
{
    const instance_params *p = b->params;
    const tn_sym x = tni_wide(b, tn_grad_in(b, 0));
    const tn_sym mean = tn_emit(b, "mean", places, &x, 1);
    const tn_sym centred = tni_call2(b, "_sub", x, spread(b, places, mean));
    const tn_sym square = tni_call(b, "square", centred);
    const tn_sym var = tn_emit(b, "mean", places, &square, 1);
    const tn_sym scale = tni_call(b, "rsqrt", tni_call_scalar(b, "_plus_scalar", var, p->eps));
    const tn_sym normal = tni_call2(b, "_mul", centred, spread(b, places, scale));
    const tn_sym steep = tni_call2(b, "_mul", normal, of_channel(b, 1));
    tni_set_narrow(b, 0, tni_call2(b, "elemwise_add", steep, of_channel(b, 2)));
    tni_set_narrow(b, 1, mean);
    tni_set_narrow(b, 2, var);
    return TN_OK;
}

// That of data from output 0 is GroupNorm's with a group for each channel. Where somebody uses mean
// and var, of k elements: dx += dmean / k + 2 dvar (x - mean) / k
static tn_status instance_gradient(const tn_builder *b)
{
    static const char share[] = "axis=(0,1); exclude=1; scale_by_count=1";
    const instance_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0), x_wide = tni_wide(b, x);
    const tn_sym dmean = tn_grad_head(b, 1), dvar = tn_grad_head(b, 2);
    tn_sym dx = 0, sum = 0;
    if (tn_grad_head(b, 0)) {
        const tn_sym var = tni_wide(b, tn_grad_out(b, 2));
        const tn_sym std = tni_call(b, "sqrt", tni_call_scalar(b, "_plus_scalar", var, p->eps));
        dx = tni_group_backward(b, tni_call2(b, "_narrow", std, x), 0, p->eps);
    }
    if (dmean) sum = spread(b, share, tni_wide(b, dmean));
    if (dvar) {
        const tn_sym twice = tni_call_scalar(b, "_mul_scalar", tni_wide(b, dvar), 2);
        const tn_sym mean = spread(b, places, tni_wide(b, tn_grad_out(b, 1)));
        const tn_sym part =
            tni_call2(b, "_mul", spread(b, share, twice), tni_call2(b, "_sub", x_wide, mean));
        sum = sum ? tni_call2(b, "elemwise_add", sum, part) : part;
    }
    if (sum && dx) sum = tni_call2(b, "elemwise_add", tni_wide(b, dx), sum);
    if (sum) dx = tni_call2(b, "_narrow", sum, x);
    if (dx) tn_grad_set(b, 0, dx);
    return TN_OK;
}

const tn_op_decl tni_op_instance_norm =
    TN_OP(.name = "InstanceNorm",
          .doc = "Normalises each channel of each sample to mean 0 and variance 1, then scales and "
                 "shifts the channels.",
          .family = "layer",
          .formula = "y = gamma[c] * (x - mean) / sqrt(var + eps) + beta[c]; mean and biased "
                     "variance of one sample and channel",
          .shape_rule =
              "data (n, c, ...), gamma and beta (c,) -> data's shape; mean and var (n, c)",
          .source = "MXNet 0.11, src/operator/instance_norm-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, ...)"),
                             TN_PORT(.name = "gamma", .doc = "(c,): factors"),
                             TN_PORT(.name = "beta", .doc = "(c,): added afterwards")),
          .outputs = TN_PORTS(
              TN_PORT(.name = "output", .doc = "in the shape of data"),
              TN_PORT(.name = "mean", .flags = TN_PORT_HIDDEN, .doc = "(n, c)"),
              TN_PORT(.name = "var", .flags = TN_PORT_HIDDEN, .doc = "(n, c): biased variance")),
          .params = TN_PARAMS(TN_PARAM(instance_params, eps, TN_P_F64, .def = "0.001",
                                       .doc = "added to the variance")),
          .params_size = sizeof(instance_params), .infer_shape = instance_shape,
          .gradient = instance_gradient, .expand = instance_expand);

// ------------------------------------------------------------------ L2Normalization
//
//     y = x / norm, norm = √(Σ x² + eps) over all axes but the first (instance), over axis 1
//     (channel), or over all axes but the first two (spatial)

typedef struct l2_params {
    double eps;
    int32_t mode;
} l2_params;
enum { INSTANCE, SPATIAL, CHANNEL };
static const char *const l2_axes[] = {"axis=(0,); exclude=1", places, "axis=(1,); keepdims=1"};

static tn_status l2_shape(const tn_infer *io)
{
    const l2_params *p = io->params;
    static const int32_t least[] = {1, 3, 2};
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    tn_shape x = tni_shape(io, TNI_IN(0));
    if (x.ndim < 0) return TN_OK;
    if (x.ndim < least[p->mode])
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least %d axes, got %d",
                             least[p->mode], x.ndim);
    tn_shape norm = x;
    if (p->mode == CHANNEL)
        norm.dim[1] = 1;
    else
        norm.ndim = p->mode == INSTANCE ? 1 : 2;
    TNI_TRY(tni_merge(io, TNI_OUT(1), norm));
    norm = tni_shape(io, TNI_OUT(1));
    for (int32_t i = 0; i < norm.ndim; i++)
        if (p->mode != CHANNEL || i != 1) x.dim[i] = norm.dim[i];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status l2_expand(const tn_builder *b)
{
    const l2_params *p = b->params;
    const tn_sym x = tni_wide(b, tn_grad_in(b, 0)), square = tni_call(b, "square", x);
    const tn_sym sum = tn_emit(b, "sum", l2_axes[p->mode], &square, 1);
    const tn_sym norm = tni_call(b, "sqrt", tni_call_scalar(b, "_plus_scalar", sum, p->eps));
    tni_set_narrow(b, 0, tni_call2(b, "_div", x, spread(b, l2_axes[p->mode], norm)));
    tni_set_narrow(b, 1, norm);
    return TN_OK;
}

const tn_op_decl tni_op_l2_normalization =
    TN_OP(.name = "L2Normalization",
          .doc = "Divides data by its Euclidean norm: of each sample, of each place, or of each "
                 "channel.",
          .family = "layer",
          .formula = "y = x / norm, norm = sqrt(sum x^2 + eps); over all axes but the first "
                     "(instance), axis 1 (channel), or all but the first two (spatial)",
          .shape_rule = "output has the shape of data; norm (n,), (n, 1, ...) or (n, c)",
          .source = "MXNet 0.11, src/operator/l2_normalization-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, ...)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data"),
                              TN_PORT(.name = "norm", .flags = TN_PORT_HIDDEN,
                                      .doc = "(n,); (n, 1, ...) of channel; (n, c) of spatial")),
          .params = TN_PARAMS(TN_PARAM(l2_params, eps, TN_P_F64, .def = "1e-10",
                                       .doc = "added to the sum of squares"),
                              TN_PARAM(l2_params, mode, TN_P_ENUM, .def = "instance",
                                       .choices = "instance|spatial|channel",
                                       .doc = "sum over all but axis 0, over all but axes 0 and 1, "
                                              "or over axis 1")),
          .params_size = sizeof(l2_params), .infer_shape = l2_shape, .expand = l2_expand);
