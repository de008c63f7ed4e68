// core/ops/norm.c: BatchNorm and LRN.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ BatchNorm
//
//     y = gamma (x - mean) / √(var + eps) + beta, for each channel c on `axis`
//
// While training without use_global_stats, mean and var are those of the batch (var biased: the sum
// of squares over n), and the gradient's run moves the states:
//     moving ← momentum · moving + (1 - momentum) · batch
// so that a forward without a backward leaves them alone. Otherwise mean and var are the moving
// ones, and constants to the gradient. With fix_gamma, gamma counts as 1 and gets no gradient.

typedef struct batch_norm_params {
    double eps, momentum;
    int64_t axis;
    int32_t fix_gamma, use_global_stats, output_mean_var, cudnn_off;
} batch_norm_params;

// A value in the shape of the data, from slot `like`; vectors of channels in the other slots.
static tn_status channels_rule(const tn_infer *io, tni_slot data, const tni_slot *vectors, int n)
{
    const batch_norm_params *p = io->params;
    tn_shape x = tni_shape(io, data);
    int64_t c = -1;
    if (x.ndim >= 0 && tn_axis(p->axis, x.ndim) < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                             (long long)p->axis, x.ndim);
    if (x.ndim >= 0) c = x.dim[tn_axis(p->axis, x.ndim)];
    for (int i = 0; i < n; i++) {
        TNI_TRY(tni_merge(io, vectors[i], tn_shape_1d(c)));
        c = tni_shape(io, vectors[i]).dim[0];
    }
    for (int i = 0; i < n; i++) TNI_TRY(tni_merge(io, vectors[i], tn_shape_1d(c)));
    if (x.ndim < 0) return TN_OK;
    x.dim[tn_axis(p->axis, x.ndim)] = c;
    return tni_merge(io, data, x);
}

static tn_status batch_norm_shape(const tn_infer *io)
{
    static const tni_slot vectors[] = {TNI_IN(1), TNI_IN(2),  TNI_IN(3),
                                       TNI_IN(4), TNI_OUT(1), TNI_OUT(2)};
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(channels_rule(io, TNI_IN(0), vectors, 6));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

// Vectors of half-precision data are float32; of other data they are as the data.
static tn_status vectors_dtype(const tn_infer *io, tni_slot data, const tni_slot *vectors, int n)
{
    const tn_dtype d = tni_dtype(io, data);
    const tn_dtype v = d == TN_F16 || d == TN_BF16 ? TN_F32 : d;
    for (int i = 0; i < n; i++) TNI_TRY(tni_merge_dtype(io, vectors[i], v));
    return TN_OK;
}

static tn_status batch_norm_dtype(const tn_infer *io)
{
    static const tni_slot vectors[] = {TNI_IN(1), TNI_IN(2),  TNI_IN(3),
                                       TNI_IN(4), TNI_OUT(1), TNI_OUT(2)};
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    return vectors_dtype(io, TNI_IN(0), vectors, 6);
}

static tn_status batch_norm_gradient(const tn_builder *b)
{
    const batch_norm_params *p = b->params;
    char text[TN_TEXT], eps[TNI_NUMBER], momentum[TNI_NUMBER];
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK;
    tn_text(text, "eps=%s; momentum=%s; fix_gamma=%d; use_global_stats=%d; axis=%lld",
            tni_number(eps, p->eps), tni_number(momentum, p->momentum), p->fix_gamma,
            p->use_global_stats, (long long)p->axis);
    const tn_sym first =
        TN_EMIT(b, "_backward_BatchNorm", text, dy, tn_grad_in(b, 0), tn_grad_in(b, 1),
                tn_grad_out(b, 1), tn_grad_out(b, 2), tn_grad_in(b, 3), tn_grad_in(b, 4));
    for (uint32_t i = 0; i < 3; i++) tn_grad_set(b, i, b->result(b->ctx, first, i));
    return TN_OK;
}

// clang-format off
#define BATCH_NORM_PARAMS                                                                          \
    TN_PARAM(batch_norm_params, eps, TN_P_F64, .def = "0.001", .range = "[0,)",                    \
             .doc = "added to the variance"),                                                      \
    TN_PARAM(batch_norm_params, momentum, TN_P_F64, .def = "0.9",                                  \
             .doc = "how much of the moving mean and variance is kept"),                           \
    TN_PARAM(batch_norm_params, fix_gamma, TN_P_BOOL, .def = "True",                               \
             .doc = "count gamma as 1"),                                                           \
    TN_PARAM(batch_norm_params, use_global_stats, TN_P_BOOL, .def = "False",                       \
             .doc = "use the moving mean and variance while training, too")
#define CHANNEL_AXIS                                                                               \
    TN_PARAM(batch_norm_params, axis, TN_P_I64, .def = "1",                                        \
             .doc = "axis of the channels; negative: from the end")
#define OUTPUT_MEAN_VAR                                                                            \
    TN_PARAM(batch_norm_params, output_mean_var, TN_P_BOOL, .def = "False",                        \
             .doc = "give mean and var out")
#define BATCH_NORM_OUTPUTS                                                                         \
    TN_PORT(.name = "output", .doc = "in the shape of data"),                                      \
    TN_PORT(.name = "mean", .flags = TN_PORT_HIDDEN, .visible = "output_mean_var",                 \
            .doc = "(c,): the mean in use"),                                                       \
    TN_PORT(.name = "var", .flags = TN_PORT_HIDDEN, .visible = "output_mean_var",                  \
            .doc = "(c,): the variance in use")
// clang-format on

#define STATES                                                                                     \
    TN_PORT(.name = "moving_mean", .flags = TN_PORT_AUX, .init = "[\"zero\", {}]", .doc = "(c,)"), \
        TN_PORT(.name = "moving_var", .flags = TN_PORT_AUX, .init = "[\"one\", {}]",               \
                .doc = "(c,)")

const tn_op_decl tni_op_batch_norm = TN_OP(
        .name = "BatchNorm", .flags = TN_OP_MODE | TN_OP_KEEPS_NOTHING,
        .doc =
            "Normalises each channel: gamma (x - mean) / sqrt(var + eps) + beta, by the batch's "
            "own mean and variance while training, else by the moving ones. mean and var pass no "
            "gradient on.",
        .family = "layer",
        .formula =
            "y = gamma * (x - mean) / sqrt(var + eps) + beta for each channel; training: mean and "
            "biased variance of the batch, and moving = momentum * moving + (1 - momentum) * batch",
        .shape_rule = "data -> data's shape; gamma, beta, mean, var and the states (channels,)",
        .source = "MXNet 0.11, src/operator/batch_norm-inl.h",
        .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "c extents on the axis"),
                           TN_PORT(.name = "gamma", .doc = "(c,)"),
                           TN_PORT(.name = "beta", .doc = "(c,)"), STATES),
        .outputs = TN_PORTS(BATCH_NORM_OUTPUTS),
        .params = TN_PARAMS(BATCH_NORM_PARAMS, CHANNEL_AXIS, OUTPUT_MEAN_VAR,
                            TN_PARAM(batch_norm_params, cudnn_off, TN_P_BOOL, .def = "False",
                                     .doc = "read from files, without effect")),
        .params_size = sizeof(batch_norm_params), .infer_shape = batch_norm_shape,
        .infer_dtype = batch_norm_dtype, .gradient = batch_norm_gradient);

static tn_status batch_norm_backward_shape(const tn_infer *io)
{
    static const tni_slot vectors[] = {TNI_IN(2), TNI_IN(3),  TNI_IN(4), TNI_IN(5),
                                       TNI_IN(6), TNI_OUT(1), TNI_OUT(2)};
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(channels_rule(io, TNI_IN(1), vectors, 7));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status batch_norm_backward_dtype(const tn_infer *io)
{
    static const tni_slot vectors[] = {TNI_IN(2), TNI_IN(3),  TNI_IN(4), TNI_IN(5),
                                       TNI_IN(6), TNI_OUT(1), TNI_OUT(2)};
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    return vectors_dtype(io, TNI_IN(1), vectors, 7);
}

const tn_op_decl tni_op_backward_batch_norm =
    TN_OP(.name = "_backward_BatchNorm", .flags = TN_OP_INTERNAL | TN_OP_NO_GRAD | TN_OP_MODE,
          .doc =
              "Gradients of BatchNorm's data, gamma and beta; moves its states while training. Has "
              "no gradient of its own, as what it computes depends on the mode of the run.",
          .inputs =
              TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "data"), TN_PORT(.name = "gamma"),
                       TN_PORT(.name = "mean", .doc = "that the forward used"),
                       TN_PORT(.name = "var", .doc = "that the forward used"), STATES),
          .outputs = TN_PORTS(TN_PORT(.name = "data_grad"), TN_PORT(.name = "gamma_grad"),
                              TN_PORT(.name = "beta_grad")),
          .params = TN_PARAMS(BATCH_NORM_PARAMS, CHANNEL_AXIS),
          .params_size = sizeof(batch_norm_params), .infer_shape = batch_norm_backward_shape,
          .infer_dtype = batch_norm_backward_dtype);

// ------------------------------------------------------------------ BatchNorm_v1
//
// The older registration: the channels always are axis 1.

static batch_norm_params v1_params(const void *params)
{
    batch_norm_params p = *(const batch_norm_params *)params;
    p.axis = 1;
    return p;
}

static tn_status batch_norm_v1_shape(const tn_infer *io)
{
    const batch_norm_params p = v1_params(io->params);
    tn_infer as = *io;
    as.params = &p;
    return batch_norm_shape(&as);
}

static tn_status batch_norm_v1_gradient(const tn_builder *b)
{
    const batch_norm_params p = v1_params(b->params);
    tn_builder as = *b;
    as.params = &p;
    return batch_norm_gradient(&as);
}

static tn_status batch_norm_v1_expand(const tn_builder *b)
{
    const batch_norm_params *p = b->params;
    char text[TN_TEXT], eps[TNI_NUMBER], momentum[TNI_NUMBER];
    tn_text(text, "eps=%s; momentum=%s; fix_gamma=%d; use_global_stats=%d; output_mean_var=1",
            tni_number(eps, p->eps), tni_number(momentum, p->momentum), p->fix_gamma,
            p->use_global_stats);
    const tn_sym y = TN_EMIT(b, "BatchNorm", text, tn_grad_in(b, 0), tn_grad_in(b, 1),
                             tn_grad_in(b, 2), tn_grad_in(b, 3), tn_grad_in(b, 4));
    for (uint32_t i = 0; i < 3; i++) b->set_output(b->ctx, i, b->result(b->ctx, y, i));
    return TN_OK;
}

const tn_op_decl tni_op_batch_norm_v1 = TN_OP(
        .name = "BatchNorm_v1", .flags = TN_OP_MODE,
        .doc = "BatchNorm of the channels on axis 1, under the name of its older registration.",
        .family = "layer",
        .formula =
            "y = gamma * (x - mean) / sqrt(var + eps) + beta for each channel; training: mean and "
            "biased variance of the batch, and moving = momentum * moving + (1 - momentum) * batch",
        .shape_rule = "data -> data's shape; gamma, beta, mean, var and the states (channels,)",
        .source = "MXNet 0.11, src/operator/batch_norm_v1-inl.h",
        .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, ...)"),
                           TN_PORT(.name = "gamma", .doc = "(c,)"),
                           TN_PORT(.name = "beta", .doc = "(c,)"), STATES),
        .outputs = TN_PORTS(BATCH_NORM_OUTPUTS),
        .params = TN_PARAMS(BATCH_NORM_PARAMS, OUTPUT_MEAN_VAR),
        .params_size = sizeof(batch_norm_params), .infer_shape = batch_norm_v1_shape,
        .infer_dtype = batch_norm_dtype, .gradient = batch_norm_v1_gradient,
        .expand = batch_norm_v1_expand);

// ------------------------------------------------------------------ LRN
//
//     y = x · t^-β,  t = knorm + α / nsize · W(x²),  W: sum over the nsize nearest channels
//     dx = dy · t^-β - 2 α β / nsize · x · W(dy · x · t^(-β-1))
//
// W is its own transpose, as nsize is odd. It expands into a Pooling along the channels.

typedef struct lrn_params {
    double alpha, beta, knorm;
    int64_t nsize;
} lrn_params;

static tn_status lrn_check(const void *params, char *reason, size_t size)
{
    const lrn_params *p = params;
    if (p->nsize % 2 == 1) return TN_OK;
    snprintf(reason, size, "nsize: wanted an odd number, got %lld", (long long)p->nsize);
    return TN_E_INVALID;
}

static tn_status lrn_shape(const tn_infer *io)
{
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 1; i < io->n_in; i++) TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(i)));
        for (uint32_t i = 0; i < io->n_out; i++) TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(i)));
    }
    return tni_merge(io, TNI_IN(0), tn_shape_rank(4));
}

// W(v): (n, c, h, w) is pooled as (n, 1, c, h w).
static tn_sym window_sum(const tn_builder *b, tn_sym v)
{
    const lrn_params *p = b->params;
    char text[TN_TEXT];
    tn_text(text, "pool_type=sum; kernel=(%lld,1); pad=(%lld,0)", (long long)p->nsize,
            (long long)(p->nsize / 2));
    const tn_sym flat = tn_emit(b, "Reshape", "shape=(0,-4,1,-1,-3)", &v, 1);
    return tni_call2(b, "reshape_like", tn_emit(b, "Pooling", text, &flat, 1), v);
}

// With g the gradient of t, which only gradients of gradients have: dx += 2 α / nsize · x · W(g).
static tn_sym base_gradient(const tn_builder *b, tn_sym g)
{
    const lrn_params *p = b->params;
    const tn_sym product = tni_call2(b, "_mul", tn_grad_in(b, 0), window_sum(b, g));
    return tni_call_scalar(b, "_mul_scalar", product, 2 * p->alpha / (double)p->nsize);
}

static tn_status lrn_gradient(const tn_builder *b)
{
    const lrn_params *p = b->params;
    char text[TN_TEXT], alpha[TNI_NUMBER], beta[TNI_NUMBER], knorm[TNI_NUMBER];
    const tn_sym dy = tn_grad_head(b, 0), g = tn_grad_head(b, 1);
    tn_sym dx = 0;
    tn_text(text, "alpha=%s; beta=%s; knorm=%s; nsize=%lld", tni_number(alpha, p->alpha),
            tni_number(beta, p->beta), tni_number(knorm, p->knorm), (long long)p->nsize);
    if (dy) dx = TN_EMIT(b, "_backward_LRN", text, dy, tn_grad_in(b, 0), tn_grad_out(b, 1));
    if (g) dx = dx ? tni_call2(b, "elemwise_add", dx, base_gradient(b, g)) : base_gradient(b, g);
    if (dx) tn_grad_set(b, 0, dx);
    return TN_OK;
}

static tn_status lrn_expand(const tn_builder *b)
{
    const lrn_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const tn_sym sums = window_sum(b, tni_call(b, "square", x));
    const tn_sym scaled = tni_call_scalar(b, "_mul_scalar", sums, p->alpha / (double)p->nsize);
    const tn_sym t = tni_call_scalar(b, "_plus_scalar", scaled, p->knorm);
    const tn_sym factor = tni_call_scalar(b, "_power_scalar", t, -p->beta);
    b->set_output(b->ctx, 0, tni_call2(b, "_mul", x, factor));
    b->set_output(b->ctx, 1, t);
    return TN_OK;
}

static tn_status lrn_backward_expand(const tn_builder *b)
{
    const lrn_params *p = b->params;
    const tn_sym dy = tn_grad_in(b, 0), x = tn_grad_in(b, 1), t = tn_grad_in(b, 2);
    const tn_sym direct =
        tni_call2(b, "_mul", dy, tni_call_scalar(b, "_power_scalar", t, -p->beta));
    const tn_sym steep = tni_call_scalar(b, "_power_scalar", t, -p->beta - 1);
    const tn_sym product = tni_call2(b, "_mul", tni_call2(b, "_mul", dy, x), steep);
    const tn_sym sums = tni_call2(b, "_mul", x, window_sum(b, product));
    const double scale = 2 * p->alpha * p->beta / (double)p->nsize;
    const tn_sym shared = tni_call_scalar(b, "_mul_scalar", sums, scale);
    b->set_output(b->ctx, 0, tni_call2(b, "_sub", direct, shared));
    return TN_OK;
}

// clang-format off
#define LRN_PARAMS                                                                                 \
    .params = TN_PARAMS(                                                                           \
        TN_PARAM(lrn_params, alpha, TN_P_F64, .def = "0.0001", .doc = "weight of the squares"),    \
        TN_PARAM(lrn_params, beta, TN_P_F64, .def = "0.75", .doc = "exponent"),                    \
        TN_PARAM(lrn_params, knorm, TN_P_F64, .def = "2.0", .doc = "added to the weighted sum"),   \
        TN_PARAM(lrn_params, nsize, TN_P_I64, .range = "[1,)", .doc = "channels, an odd number")), \
    .params_size = sizeof(lrn_params), .check = lrn_check, .infer_shape = lrn_shape
// clang-format on

const tn_op_decl tni_op_lrn = TN_OP(
        .name = "LRN",
        .doc =
            "Local response normalisation across channels: x (knorm + alpha / nsize * sum of the "
            "squares of nsize channels)^-beta. Note that alpha is divided by nsize.",
        .family = "layer",
        .formula =
            "y = x * t^-beta, t = knorm + alpha / nsize * sum x^2 over the nsize nearest channels",
        .shape_rule = "output has the shape of data (n, c, ...)",
        .source = "MXNet 0.11, src/operator/lrn-inl.h",
        .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, h, w)")),
        .outputs = TN_PORTS(
            TN_PORT(.name = "output", .doc = "in the shape of data"),
            TN_PORT(.name = "tmp_norm", .flags = TN_PORT_HIDDEN, .doc = "the base of the power")),
        LRN_PARAMS, .gradient = lrn_gradient, .expand = lrn_expand);

const tn_op_decl tni_op_backward_lrn =
    TN_OP(.name = "_backward_LRN", .flags = TN_OP_INTERNAL, .doc = "Gradient of LRN's data.",
          .inputs =
              TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "data"), TN_PORT(.name = "tmp_norm")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), LRN_PARAMS,
          .expand = lrn_backward_expand);
