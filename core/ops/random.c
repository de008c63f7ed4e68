// core/ops/random.c: random_uniform, random_normal, random_gamma, … with numbers as parameters, and
// Dropout.
//
// Draws come from Philox 4x32-10 with the key and counter of the run (<tenon/philox.h>), so every
// backend draws the same numbers.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ random_uniform, random_normal

typedef struct random_params {
    double a, b; // low and high, or mean and standard deviation; those of the other distributions
    int64_t k;
    tn_ints shape;
    const char *ctx;
    tn_dtype dtype;
} random_params;

static tn_status random_check(const void *params, char *reason, size_t size)
{
    return tni_check_float(((const random_params *)params)->dtype, reason, size);
}

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

#define RANDOM                                                                                \
    .flags = TN_OP_RANDOM | TN_OP_ZERO_GRAD,                                                  \
    .source = "MXNet 0.11, src/operator/random/sample_op.h",                                  \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "of the given shape")),              \
    .params_size = sizeof(random_params), .check = random_check, .infer_shape = random_shape, \
    .infer_dtype = random_dtype

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
          .doc = "Numbers drawn evenly from [low, high).", .family = "random",
          .formula = "y ~ uniform in [low, high)",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", RANDOM,
          .params =
              TN_PARAMS(NUMBER(a, "low", .def = "0.0", .doc = "smallest number"),
                        NUMBER(b, "high", .def = "1.0", .doc = "end, not reached"), RANDOM_PARAMS));

const tn_op_decl tni_op_random_normal =
    TN_OP(.name = "random_normal", .aliases = "normal|_sample_normal|_random_normal",
          .doc = "Numbers drawn from a normal distribution.", .family = "random",
          .formula = "y ~ normal with mean loc and standard deviation scale",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", RANDOM,
          .params = TN_PARAMS(
              NUMBER(a, "loc", .def = "0.0", .doc = "mean"),
              NUMBER(b, "scale", .def = "1.0", .range = "[0,)", .doc = "standard deviation"),
              RANDOM_PARAMS));

// ------------------------------------------------------------------ other distributions
//
// Draws of sample_gamma, … with arrays of one number as parameters.

static tn_sym constant(const tn_builder *b, double value)
{
    const random_params *p = b->params;
    char text[TNI_LONG_TEXT], number[TNI_NUMBER];
    snprintf(text, sizeof text, "value=%s; dtype=%s; ", tni_number(number, value),
             p->dtype == TN_F64 ? "float64" : "float32");
    tni_text_list(text, "shape", p->shape);
    return tn_emit(b, "_full", text, NULL, 0);
}

static tn_status draw(const tn_builder *b, const char *op, const tn_sym *params, uint32_t n)
{
    const random_params *p = b->params;
    char text[TN_TEXT];
    tn_text(text, "dtype=%s", tn_dtype_name(p->dtype == TN_DTYPE_NONE ? TN_F32 : p->dtype));
    b->set_output(b->ctx, 0, tn_emit(b, op, text, params, n));
    return TN_OK;
}

static tn_status gamma_expand(const tn_builder *b)
{
    const random_params *p = b->params;
    return draw(b, "sample_gamma", (const tn_sym[]){constant(b, p->a), constant(b, p->b)}, 2);
}

static tn_status exponential_expand(const tn_builder *b)
{
    const random_params *p = b->params;
    return draw(b, "sample_exponential", (const tn_sym[]){constant(b, p->a)}, 1);
}

static tn_status poisson_expand(const tn_builder *b)
{
    const random_params *p = b->params;
    return draw(b, "sample_poisson", (const tn_sym[]){constant(b, p->a)}, 1);
}

static tn_status negative_binomial_expand(const tn_builder *b)
{
    const random_params *p = b->params;
    return draw(b, "sample_negative_binomial",
                (const tn_sym[]){constant(b, (double)p->k), constant(b, p->a)}, 2);
}

static tn_status generalized_expand(const tn_builder *b)
{
    const random_params *p = b->params;
    return draw(b, "sample_generalized_negative_binomial",
                (const tn_sym[]){constant(b, p->a), constant(b, p->b)}, 2);
}

const tn_op_decl tni_op_random_gamma =
    TN_OP(.name = "random_gamma", .aliases = "_sample_gamma|_random_gamma",
          .doc = "Numbers drawn from a gamma distribution: of mean alpha beta.", .family = "random",
          .formula = "y = beta * g, g a gamma number of shape alpha and scale 1",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", RANDOM,
          .params = TN_PARAMS(NUMBER(a, "alpha", .def = "1.0", .range = "(0,)", .doc = "shape"),
                              NUMBER(b, "beta", .def = "1.0", .range = "(0,)", .doc = "scale"),
                              RANDOM_PARAMS),
          .expand = gamma_expand);

const tn_op_decl tni_op_random_exponential =
    TN_OP(.name = "random_exponential", .aliases = "_sample_exponential|_random_exponential",
          .doc = "Numbers drawn from an exponential distribution: of mean 1 / lam.",
          .family = "random", .formula = "y = -log(1 - u) / lam, u uniform in [0, 1)",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", RANDOM,
          .params = TN_PARAMS(NUMBER(a, "lam", .def = "1.0", .range = "(0,)", .doc = "rate"),
                              RANDOM_PARAMS),
          .expand = exponential_expand);

const tn_op_decl tni_op_random_poisson =
    TN_OP(.name = "random_poisson", .aliases = "_sample_poisson|_random_poisson",
          .doc = "Whole numbers drawn from a Poisson distribution.", .family = "random",
          .formula = "P(y = k) = lam^k exp(-lam) / k!",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", RANDOM,
          .params = TN_PARAMS(NUMBER(a, "lam", .def = "1.0", .range = "[0,)", .doc = "mean"),
                              RANDOM_PARAMS),
          .expand = poisson_expand);

const tn_op_decl tni_op_random_negative_binomial =
    TN_OP(.name = "random_negative_binomial",
          .aliases = "_sample_negbinomial|_random_negative_binomial",
          .doc = "Numbers of failures before the k-th success.", .family = "random",
          .formula =
              "y is a Poisson number whose mean is a gamma number of shape k and scale (1 - p) / p",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", RANDOM,
          .params = TN_PARAMS(
              TN_PARAM(random_params, k, TN_P_I64, .def = "1", .range = "[0,)",
                       .doc = "number of successes"),
              NUMBER(a, "p", .def = "1.0", .range = "(0,1]", .doc = "probability of success"),
              RANDOM_PARAMS),
          .expand = negative_binomial_expand);

const tn_op_decl tni_op_random_generalized_negative_binomial =
    TN_OP(.name = "random_generalized_negative_binomial",
          .aliases = "_sample_gennegbinomial|_random_generalized_negative_binomial",
          .doc = "Whole numbers drawn from a negative binomial distribution of mean mu and "
                 "variance mu + alpha mu^2.",
          .family = "random",
          .formula = "y is a Poisson number whose mean is a gamma number of shape 1 / alpha and "
                     "scale alpha * mu; of mean mu where alpha is 0",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", RANDOM,
          .params = TN_PARAMS(NUMBER(a, "mu", .def = "1.0", .range = "[0,)", .doc = "mean"),
                              NUMBER(b, "alpha", .def = "1.0", .range = "[0,)",
                                     .doc = "dispersion; 0: a Poisson distribution"),
                              RANDOM_PARAMS),
          .expand = generalized_expand);

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
          .family = "layer",
          .formula = "y = x * mask; mask = 0 with probability p, else 1 / (1 - p); 1 outside "
                     "training unless mode=always",
          .shape_rule = "output and mask have the shape of data",
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
