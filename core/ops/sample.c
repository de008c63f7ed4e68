// core/ops/sample.c: draws from distributions whose parameters are arrays: sample_uniform, …
//
// With parameters of shape P and the parameter shape S, the output is of shape P + S: a block of
// draws for each element. All are made of three kinds of draws: random_uniform and random_normal,
// and the primitives _standard_gamma and _poisson. They are computed in float32, or in float64 if
// that is the output's dtype.
//
// Numbers that depend smoothly on a parameter have the derivative of the number itself by it, the
// draw behind it being held: draw z of the normal is (y - mu) / sigma, of the uniform distribution
// (y - low) / (high - low). Parameters outside of their domain give NaN: the square of a square
// root stands where a sign matters.
#include "core/ops/ops.h"

tn_status tni_check_float(tn_dtype dtype, char *reason, size_t size)
{
    if (dtype == TN_DTYPE_NONE || dtype == TN_F16 || dtype == TN_BF16 || dtype == TN_F32 ||
        dtype == TN_F64)
        return TN_OK;
    snprintf(reason, size, "dtype: wanted a floating one");
    return TN_E_INVALID;
}

// ------------------------------------------------------------------ _standard_gamma, _poisson

#define DRAW                                                                               \
    .flags = TN_OP_INTERNAL | TN_OP_RANDOM | TN_OP_ZERO_GRAD, .source = "<tenon/draws.h>", \
    .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "the parameter, a number a draw")),  \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "draws, in the shape of data"))

const tn_op_decl tni_op_standard_gamma =
    TN_OP(.name = "_standard_gamma",
          .doc = "Draws from gamma distributions with shape data and scale 1; NaN unless data > 0.",
          DRAW);

const tn_op_decl tni_op_poisson =
    TN_OP(.name = "_poisson",
          .doc = "Draws from Poisson distributions with mean data; NaN unless data >= 0.", DRAW);

// ------------------------------------------------------------------ what all share

typedef struct sample_params {
    tn_ints shape;
    tn_dtype dtype;
} sample_params;

static tn_status sample_check(const void *params, char *reason, size_t size)
{
    return tni_check_float(((const sample_params *)params)->dtype, reason, size);
}

static tn_status sample_shape(const tn_infer *io)
{
    const sample_params *p = io->params;
    const int32_t n = (int32_t)p->shape.n;
    if (io->n_in > 1) TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(1)));
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    if (x.ndim < 0 && y.ndim < 0) return TN_OK;
    if (x.ndim < 0 && y.ndim < n)
        return tn_infer_fail(io, TN_E_SHAPE, "shape: wanted at most the %d axes of the output",
                             y.ndim);
    if (x.ndim < 0) x = tn_shape_rank(y.ndim - n);
    if (x.ndim + n > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "shape: the result has %d axes, at most %d are there",
                             x.ndim + n, TN_MAX_NDIM);
    y = x;
    for (size_t i = 0; i < p->shape.n; i++) y.dim[y.ndim++] = p->shape.v[i];
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    y = tni_shape(io, TNI_OUT(0));
    y.ndim = x.ndim;
    TNI_TRY(tni_merge(io, TNI_IN(0), y));
    return io->n_in > 1 ? tni_link(io, TNI_IN(0), TNI_IN(1)) : TN_OK;
}

static tn_dtype dtype_of(const sample_params *p)
{
    return p->dtype == TN_DTYPE_NONE ? TN_F32 : p->dtype;
}

static tn_status sample_dtype(const tn_infer *io)
{
    if (io->n_in > 1) TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    return tni_merge_dtype(io, TNI_OUT(0), dtype_of(io->params));
}

// The dtype that draws are computed in.
static tn_dtype working(const tn_builder *b)
{
    return dtype_of(b->params) == TN_F64 ? TN_F64 : TN_F32;
}

// v, a parameter, once for each draw.
static tn_sym spread(const tn_builder *b, tn_sym v)
{
    static const int64_t codes[TN_MAX_NDIM + 1] = {-2, 1, 1, 1, 1, 1, 1, 1, 1};
    static const int64_t last[TN_MAX_NDIM] = {-8, -7, -6, -5, -4, -3, -2, -1};
    const sample_params *p = b->params;
    const size_t n = p->shape.n;
    char text[TNI_LONG_TEXT] = "";
    if (n == 0) return v;
    tni_text_list(text, "shape", (tn_ints){n + 1, codes});
    const tn_sym column = tn_emit(b, "Reshape", text, &v, 1);
    text[0] = 0;
    tni_text_list(text, "axis", (tn_ints){n, last + TN_MAX_NDIM - n});
    tni_text_list(text, "size", p->shape);
    return tn_emit(b, "broadcast_axis", text, &column, 1);
}

// In expand: parameter i of each draw.
static tn_sym parameter(const tn_builder *b, uint32_t i)
{
    return spread(b, tni_cast(b, tn_grad_in(b, i), working(b)));
}

// Draws of an operator without inputs; their shape comes from what they are combined with.
static tn_sym draws(const tn_builder *b, const char *op)
{
    char text[TN_TEXT];
    return tn_emit(b, op, tn_text(text, "dtype=%s", tn_dtype_name(working(b))), NULL, 0);
}

static tn_status done(const tn_builder *b, tn_sym y)
{
    b->set_output(b->ctx, 0, tni_cast(b, y, dtype_of(b->params)));
    return TN_OK;
}

// v where it is not negative, otherwise NaN.
static tn_sym not_negative(const tn_builder *b, tn_sym v)
{
    return tni_call(b, "square", tni_call(b, "sqrt", v));
}

// In gradient: the output, or the gradient that arrives, in the dtype of the parameters.
static tn_sym as_parameter(const tn_builder *b, tn_sym v)
{
    return tni_call2(b, "_cast_like", v, spread(b, tn_grad_in(b, 0)));
}

// v + 1 where v is 0: the numerators are 0 there, too.
static tn_sym divisor(const tn_builder *b, tn_sym v)
{
    return tni_call2(b, "elemwise_add", v, tni_call_scalar(b, "_equal_scalar", v, 0));
}

// The gradient of input i, summed over the draws of each element.
static void give(const tn_builder *b, uint32_t i, tn_sym grad)
{
    static const int64_t last[TN_MAX_NDIM] = {-1, -2, -3, -4, -5, -6, -7, -8};
    const sample_params *p = b->params;
    char text[TNI_LONG_TEXT] = "";
    if (p->shape.n) {
        tni_text_list(text, "axis", (tn_ints){p->shape.n, last});
        grad = tn_emit(b, "sum", text, &grad, 1);
        grad = tni_call2(b, "reshape_like", grad, tn_grad_in(b, i));
    }
    tn_grad_set(b, i, grad);
}

#define SAMPLE                                                                                    \
    .source = "MXNet 0.11, src/operator/random/multisample_op.cc",                                \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the parameters' shape + shape")),       \
    .params = TN_PARAMS(TN_PARAM(sample_params, shape, TN_P_I64S, .def = "()",                    \
                                 .max_len = TN_MAX_NDIM, .range = "[0,)",                         \
                                 .doc = "of the block of draws for each element; (): one draw"),  \
                        TN_PARAM(sample_params, dtype, TN_P_DTYPE, .def = "None",                 \
                                 .flags = TN_PF_NONE, .doc = "a floating dtype; None: float32")), \
    .params_size = sizeof(sample_params), .check = sample_check, .infer_shape = sample_shape,     \
    .infer_dtype = sample_dtype

#define ONE(name_, doc_) .inputs = TN_PORTS(TN_PORT(.name = name_, .doc = doc_))
#define TWO(name0, doc0, name1, doc1) \
    .inputs = TN_PORTS(TN_PORT(.name = name0, .doc = doc0), TN_PORT(.name = name1, .doc = doc1))

// ------------------------------------------------------------------ sample_uniform
//
//     y = low + u (high - low);  dlow = Σ dy (1 - u), dhigh = Σ dy u

static tn_status uniform_expand(const tn_builder *b)
{
    const tn_sym low = parameter(b, 0), high = parameter(b, 1);
    const tn_sym width = tni_call2(b, "_sub", high, low);
    const tn_sym part = tni_call2(b, "_mul", width, draws(b, "random_uniform"));
    return done(b, tni_call2(b, "elemwise_add", low, part));
}

static tn_status uniform_gradient(const tn_builder *b)
{
    const tn_sym head = tn_grad_head(b, 0), low = tn_grad_in(b, 0);
    if (!head) return TN_OK;
    const tn_sym dy = as_parameter(b, head), y = as_parameter(b, tn_grad_out(b, 0));
    const tn_sym width = divisor(b, tni_call2(b, "_sub", tn_grad_in(b, 1), low));
    const tn_sym above = tni_call2(b, "_sub", y, spread(b, low));
    const tn_sym u = tni_call2(b, "_div", above, spread(b, width));
    const tn_sym dhigh = tni_call2(b, "_mul", dy, u);
    give(b, 0, tni_call2(b, "_sub", dy, dhigh));
    give(b, 1, dhigh);
    return TN_OK;
}

const tn_op_decl tni_op_sample_uniform =
    TN_OP(.name = "sample_uniform", .flags = TN_OP_RANDOM,
          .doc = "Numbers drawn evenly from [low, high), for each element of low and high. Has the "
                 "gradient of low + u (high - low) with u as drawn.",
          .family = "random",
          .formula = "y = low + u * (high - low), u uniform in [0, 1);  dlow = sum dy * (1 - u), "
                     "dhigh = sum dy * u",
          .shape_rule = "parameters of shape P -> P + shape",
          TWO("low", "smallest numbers", "high", "ends, not reached; of the shape of low"), SAMPLE,
          .gradient = uniform_gradient, .expand = uniform_expand);

// ------------------------------------------------------------------ sample_normal
//
//     y = mu + sigma z;  dmu = Σ dy, dsigma = Σ dy z

static tn_status normal_expand(const tn_builder *b)
{
    const tn_sym mu = parameter(b, 0), sigma = parameter(b, 1);
    const tn_sym part = tni_call2(b, "_mul", sigma, draws(b, "random_normal"));
    return done(b, tni_call2(b, "elemwise_add", mu, part));
}

static tn_status normal_gradient(const tn_builder *b)
{
    const tn_sym head = tn_grad_head(b, 0);
    if (!head) return TN_OK;
    const tn_sym dy = as_parameter(b, head), y = as_parameter(b, tn_grad_out(b, 0));
    const tn_sym above = tni_call2(b, "_sub", y, spread(b, tn_grad_in(b, 0)));
    const tn_sym sigma = spread(b, divisor(b, tn_grad_in(b, 1)));
    give(b, 0, dy);
    give(b, 1, tni_call2(b, "_mul", dy, tni_call2(b, "_div", above, sigma)));
    return TN_OK;
}

const tn_op_decl tni_op_sample_normal =
    TN_OP(.name = "sample_normal", .flags = TN_OP_RANDOM,
          .doc = "Numbers drawn from normal distributions, for each element of mu and sigma. Has "
                 "the gradient of mu + sigma z with z as drawn.",
          .family = "random",
          .formula = "y = mu + sigma * z, z standard normal;  dmu = sum dy, dsigma = sum dy * z",
          .shape_rule = "parameters of shape P -> P + shape",
          TWO("mu", "means", "sigma", "standard deviations, of the shape of mu"), SAMPLE,
          .gradient = normal_gradient, .expand = normal_expand);

// ------------------------------------------------------------------ sample_exponential
//
//     y = -log(1 - u) / lam;  dlam = -Σ dy y / lam

static tn_status exponential_expand(const tn_builder *b)
{
    const tn_sym lam = parameter(b, 0);
    const tn_sym rest = tni_call(b, "negative", draws(b, "random_uniform"));
    const tn_sym e = tni_call(b, "negative", tni_call(b, "log1p", rest));
    return done(b, tni_call2(b, "_mul", e, tni_call(b, "square", tni_call(b, "rsqrt", lam))));
}

static tn_status exponential_gradient(const tn_builder *b)
{
    const tn_sym head = tn_grad_head(b, 0);
    if (!head) return TN_OK;
    const tn_sym dy = as_parameter(b, head), y = as_parameter(b, tn_grad_out(b, 0));
    const tn_sym slope = tni_call2(b, "_div", y, spread(b, tn_grad_in(b, 0)));
    give(b, 0, tni_call(b, "negative", tni_call2(b, "_mul", dy, slope)));
    return TN_OK;
}

const tn_op_decl tni_op_sample_exponential =
    TN_OP(.name = "sample_exponential", .flags = TN_OP_RANDOM,
          .doc = "Numbers drawn from exponential distributions, for each element of lam. Has the "
                 "gradient of -log(1 - u) / lam with u as drawn.",
          .family = "random",
          .formula = "y = -log(1 - u) / lam, u uniform in [0, 1);  dlam = -sum dy * y / lam",
          .shape_rule = "parameters of shape P -> P + shape", ONE("lam", "rates; NaN below 0"),
          SAMPLE, .gradient = exponential_gradient, .expand = exponential_expand);

// ------------------------------------------------------------------ sample_gamma
//
//     y = beta g, g a standard gamma number of shape alpha;  dbeta = Σ dy y / beta

static tn_status gamma_expand(const tn_builder *b)
{
    const tn_sym alpha = parameter(b, 0), beta = parameter(b, 1);
    const tn_sym g = tni_call(b, "_standard_gamma", alpha);
    return done(b, tni_call2(b, "_mul", g, not_negative(b, beta)));
}

static tn_status gamma_gradient(const tn_builder *b)
{
    const tn_sym head = tn_grad_head(b, 0);
    if (!head) return TN_OK;
    const tn_sym dy = as_parameter(b, head), y = as_parameter(b, tn_grad_out(b, 0));
    const tn_sym beta = spread(b, divisor(b, tn_grad_in(b, 1)));
    give(b, 1, tni_call2(b, "_mul", dy, tni_call2(b, "_div", y, beta)));
    return TN_OK;
}

const tn_op_decl tni_op_sample_gamma = TN_OP(
        .name = "sample_gamma", .flags = TN_OP_RANDOM,
        .doc = "Numbers drawn from gamma distributions, for each element of alpha and beta. beta "
               "has the gradient of beta g with g as drawn, alpha has none.",
        .family = "random",
        .formula =
            "y = beta * g, g a gamma number of shape alpha and scale 1;  dbeta = sum dy * y / beta",
        .shape_rule = "parameters of shape P -> P + shape",
        TWO("alpha", "shapes; NaN unless above 0", "beta",
            "scales, of the shape of alpha; NaN below 0"),
        SAMPLE, .gradient = gamma_gradient, .expand = gamma_expand);

// ------------------------------------------------------------------ whole numbers

static tn_status poisson_expand(const tn_builder *b)
{
    return done(b, tni_call(b, "_poisson", parameter(b, 0)));
}

const tn_op_decl tni_op_sample_poisson =
    TN_OP(.name = "sample_poisson", .flags = TN_OP_RANDOM | TN_OP_ZERO_GRAD,
          .doc = "Numbers drawn from Poisson distributions, for each element of lam.",
          .family = "random", .formula = "P(y = k) = lam^k exp(-lam) / k!",
          .shape_rule = "parameters of shape P -> P + shape", ONE("lam", "means; NaN below 0"),
          SAMPLE, .expand = poisson_expand);

// v where a is not 0, else w
static tn_sym unless_zero(const tn_builder *b, tn_sym a, tn_sym v, tn_sym w)
{
    return TN_EMIT(b, "where", NULL, tni_call_scalar(b, "_equal_scalar", a, 0), w, v);
}

// Poisson numbers whose mean is a gamma number of shape k and scale (1 - p) / p; 0 if k is 0.
static tn_status negative_binomial_expand(const tn_builder *b)
{
    const tn_sym k = parameter(b, 0), p = parameter(b, 1);
    const tn_sym rest = tni_call_scalar(b, "_rminus_scalar", p, 1);
    const tn_sym scale = not_negative(b, tni_call2(b, "_div", rest, p));
    const tn_sym mean = tni_call2(b, "_mul", tni_call(b, "_standard_gamma", k), scale);
    const tn_sym none = tni_call2(b, "_mul", k, scale); // 0, or NaN if p is no probability
    return done(b, tni_call(b, "_poisson", unless_zero(b, k, mean, none)));
}

const tn_op_decl tni_op_sample_negative_binomial =
    TN_OP(.name = "sample_negative_binomial", .flags = TN_OP_RANDOM | TN_OP_ZERO_GRAD,
          .doc = "Numbers of failures before the k-th success, drawn for each element of k and p. "
                 "k need not be whole.",
          .family = "random",
          .formula =
              "y is a Poisson number whose mean is a gamma number of shape k and scale (1 - p) / p",
          .shape_rule = "parameters of shape P -> P + shape",
          TWO("k", "numbers of successes; NaN below 0", "p",
              "probabilities of success, of the shape of k; NaN outside of [0, 1]"),
          SAMPLE, .expand = negative_binomial_expand);

// Poisson numbers whose mean is a gamma number of shape 1 / alpha and scale alpha mu; mu itself if
// alpha is 0.
static tn_status generalized_expand(const tn_builder *b)
{
    const tn_sym mu = parameter(b, 0), alpha = parameter(b, 1);
    const tn_sym g = tni_call(b, "_standard_gamma", tni_call(b, "reciprocal", alpha));
    const tn_sym scale = tni_call2(b, "_mul", alpha, not_negative(b, mu));
    const tn_sym mean = tni_call2(b, "_mul", g, scale);
    return done(b, tni_call(b, "_poisson", unless_zero(b, alpha, mean, mu)));
}

const tn_op_decl tni_op_sample_generalized_negative_binomial =
    TN_OP(.name = "sample_generalized_negative_binomial", .flags = TN_OP_RANDOM | TN_OP_ZERO_GRAD,
          .doc = "Whole numbers drawn from negative binomial distributions of mean mu and variance "
                 "mu + alpha mu^2, for each element of mu and alpha.",
          .family = "random",
          .formula = "y is a Poisson number whose mean is a gamma number of shape 1 / alpha and "
                     "scale alpha * mu; of mean mu where alpha is 0",
          .shape_rule = "parameters of shape P -> P + shape",
          TWO("mu", "means; NaN below 0", "alpha", "dispersions, of the shape of mu; NaN below 0"),
          SAMPLE, .expand = generalized_expand);
