// core/ops/random.c: random_uniform, random_normal, Dropout.
//
// Draws come from Philox 4x32-10 with the key and counter of the run (<tenon/philox.h>), so every
// backend draws the same numbers.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ random_uniform, random_normal

typedef struct random_params {
    double a, b; // low and high, or mean and standard deviation
    tn_ints shape;
    const char *ctx;
    tn_dtype dtype;
} random_params;

static tn_status random_shape(const tn_infer *io)
{
    return tni_merge_param_shape(io, ((const random_params *)io->params)->shape);
}

static tn_status random_dtype(const tn_infer *io)
{
    const random_params *p = io->params;
    return tni_merge_dtype(io, TNI_OUT(0), p->dtype == TN_DTYPE_NONE ? TN_F32 : p->dtype);
}

#define NUMBER(field, as, ...)                                              \
    &(const tn_param_decl)                                                  \
    {                                                                       \
        .struct_size = sizeof(tn_param_decl), .type = TN_P_F64, .name = as, \
        .offset = offsetof(random_params, field), __VA_ARGS__               \
    }

#define RANDOM                                                                   \
    .flags = TN_OP_RANDOM | TN_OP_ZERO_GRAD,                                     \
    .source = "MXNet 0.11, src/operator/random/sample_op.h",                     \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "of the given shape")), \
    .params_size = sizeof(random_params), .infer_shape = random_shape, .infer_dtype = random_dtype

#define RANDOM_PARAMS                                                                     \
    TN_PARAM(random_params, shape, TN_P_I64S, .def = "()", .max_len = TN_MAX_NDIM,        \
             .range = "[-1,)",                                                            \
             .doc = "extents; 0 and -1, or (): to be inferred from what uses the value"), \
        TN_PARAM(random_params, ctx, TN_P_STR, .def = "",                                 \
                 .doc = "read from old files, without effect"),                           \
        TN_PARAM(random_params, dtype, TN_P_DTYPE, .def = "None", .flags = TN_PF_NONE,    \
                 .doc = "a floating dtype; None: float32")

const tn_op_decl tni_op_random_uniform =
    TN_OP(.name = "random_uniform", .aliases = "uniform|_sample_uniform|_random_uniform",
          .doc = "Numbers drawn evenly from [low, high).", RANDOM,
          .params =
              TN_PARAMS(NUMBER(a, "low", .def = "0.0", .doc = "smallest number"),
                        NUMBER(b, "high", .def = "1.0", .doc = "end, not reached"), RANDOM_PARAMS));

const tn_op_decl tni_op_random_normal =
    TN_OP(.name = "random_normal", .aliases = "normal|_sample_normal|_random_normal",
          .doc = "Numbers drawn from a normal distribution.", RANDOM,
          .params = TN_PARAMS(
              NUMBER(a, "loc", .def = "0.0", .doc = "mean"),
              NUMBER(b, "scale", .def = "1.0", .range = "[0,)", .doc = "standard deviation"),
              RANDOM_PARAMS));

// ------------------------------------------------------------------ Dropout
//
//     output = data · mask, mask = 0 with probability p, else 1 / (1 - p);  dx = dy · mask
//
// At inference the mask is 1 everywhere, unless mode is always. Along `axes` all elements share
// one draw; the mask has the shape of data all the same.

typedef struct dropout_params {
    double p;
    int32_t mode;
    tn_ints axes;
} dropout_params;

static tn_status dropout_shape(const tn_infer *io)
{
    const dropout_params *p = io->params;
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(tni_link(io, TNI_OUT(0), TNI_OUT(1)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const tn_shape s = tni_shape(io, TNI_IN(0));
    for (size_t i = 0; i < p->axes.n && s.ndim >= 0; i++)
        if (p->axes.v[i] >= s.ndim)
            return tn_infer_fail(io, TN_E_SHAPE, "axes: %lld of a value with %d axes",
                                 (long long)p->axes.v[i], s.ndim);
    return TN_OK;
}

static tn_status dropout_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "_mul", dy, tn_grad_out(b, 1)));
    return TN_OK;
}

const tn_op_decl tni_op_dropout =
    TN_OP(.name = "Dropout", .flags = TN_OP_RANDOM | TN_OP_MODE,
          .doc = "Sets elements to 0 with probability p while training and divides the others by "
                 "1 - p.",
          .source = "MXNet 0.11, src/operator/dropout-inl.h; axes from 1.x",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data"),
                              TN_PORT(.name = "mask", .flags = TN_PORT_HIDDEN,
                                      .doc = "0, or 1 / (1 - p); 1 at inference")),
          .params = TN_PARAMS(
              TN_PARAM(dropout_params, p, TN_P_F64, .def = "0.5", .range = "[0,1]",
                       .doc = "probability to drop an element"),
              TN_PARAM(dropout_params, mode, TN_P_ENUM, .def = "training",
                       .choices = "training|always", .doc = "always: drop at inference, too"),
              TN_PARAM(dropout_params, axes, TN_P_I64S, .def = "()", .range = "[0,7]",
                       .max_len = TN_MAX_NDIM, .doc = "axes along which one draw is shared")),
          .params_size = sizeof(dropout_params), .infer_shape = dropout_shape,
          .gradient = dropout_gradient);
