// core/ops/leaky.c: LeakyReLU and its kin.
//
// Where x > 0 all of them are x (selu: λ x; gelu differs). Elsewhere
//   leaky  slope · x                elu   slope · (exp(x) - 1)
//   prelu  gamma_c · x              selu  λ α (exp(x) - 1)
//   rrelu  m · x, m drawn from [lower_bound, upper_bound] for each element while training, its
//          middle at inference
// and gelu is x / 2 · (1 + erf(x / √2)). All but rrelu expand into simpler operators;
// rrelu keeps its factors in `mask`.
#include <math.h>

#include "core/ops/ops.h"

typedef struct leaky_params {
    int32_t act_type;
    double slope, lower_bound, upper_bound;
} leaky_params;
enum { RRELU, LEAKY, PRELU, ELU, SELU, GELU };

static tn_status leaky_check(const void *params, char *reason, size_t size)
{
    const leaky_params *p = params;
    if (p->act_type != RRELU || p->lower_bound <= p->upper_bound) return TN_OK;
    snprintf(reason, size, "lower_bound %g is above upper_bound %g", p->lower_bound,
             p->upper_bound);
    return TN_E_INVALID;
}

static tn_status leaky_shape(const tn_infer *io)
{
    const leaky_params *p = io->params;
    for (uint32_t i = 0; i < io->n_out; i++) TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(i)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    if (p->act_type != PRELU) return TN_OK;
    tn_shape x = tni_shape(io, TNI_IN(0));
    if (x.ndim >= 0 && x.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least 2 axes, got %d", x.ndim);
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_1d(x.ndim < 0 ? -1 : x.dim[1])));
    if (x.ndim < 0) return TN_OK;
    x.dim[1] = tni_shape(io, TNI_IN(1)).dim[0];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

// Constants of self-normalising networks (Klambauer et al., 2017).
static const double selu_lambda = 1.0507009873554804934193349852946;
static const double selu_alpha = 1.6732632423543772848170429916717;

static tn_sym positive(const tn_builder *b, tn_sym x)
{
    return tni_call_scalar(b, "_greater_scalar", x, 0);
}

static tn_sym choose(const tn_builder *b, tn_sym condition, tn_sym x, tn_sym y)
{
    return TN_EMIT(b, "where", NULL, condition, x, y);
}

// gamma (c,) in the shape of x.
static tn_sym spread_gamma(const tn_builder *b, tn_sym gamma, tn_sym x)
{
    return TN_EMIT(b, "_broadcast_reduced", "axis=(1,); exclude=1", gamma, x);
}

// (1 + erf(x / √2)) / 2
static tn_sym normal_cdf(const tn_builder *b, tn_sym x)
{
    const tn_sym e = tni_call(b, "erf", tni_call_scalar(b, "_mul_scalar", x, M_SQRT1_2));
    return tni_call_scalar(b, "_plus_scalar", tni_call_scalar(b, "_mul_scalar", e, 0.5), 0.5);
}

// exp(-x² / 2) / √(2 π)
static tn_sym normal_density(const tn_builder *b, tn_sym x)
{
    const tn_sym half = tni_call_scalar(b, "_mul_scalar", tni_call(b, "square", x), -0.5);
    return tni_call_scalar(b, "_mul_scalar", tni_call(b, "exp", half), M_2_SQRTPI * M_SQRT1_2 / 2);
}

// ------------------------------------------------------------------ gradient

// dx = dy · above where x > 0, else dy (y + offset): for what is offset · (exp(x) - 1) there.
static tn_sym exponential_gradient(const tn_builder *b, tn_sym dy, double above, double offset)
{
    const tn_sym slope = tni_call_scalar(b, "_plus_scalar", tn_grad_out(b, 0), offset);
    const tn_sym high = above == 1 ? dy : tni_call_scalar(b, "_mul_scalar", dy, above);
    return choose(b, positive(b, tn_grad_in(b, 0)), high, tni_call2(b, "_mul", dy, slope));
}

static void prelu_gradient(const tn_builder *b, tn_sym dy)
{
    const tn_sym x = tn_grad_in(b, 0), gamma = tn_grad_in(b, 1), m = positive(b, x);
    const tn_sym low = tni_call2(b, "_mul", dy, spread_gamma(b, gamma, x));
    const tn_sym product = tni_call2(b, "_mul", dy, x);
    const tn_sym below = choose(b, m, tni_call(b, "zeros_like", product), product);
    tn_grad_set(b, 0, choose(b, m, dy, low));
    tn_grad_set(b, 1, tn_emit(b, "sum", "axis=(1,); exclude=1", &below, 1));
}

static tn_status leaky_gradient(const tn_builder *b)
{
    const leaky_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0);
    tn_sym dx = 0;
    if (!dy) return TN_OK;
    switch (p->act_type) {
    case RRELU: dx = tni_call2(b, "_mul", dy, tn_grad_out(b, 1)); break;
    case LEAKY:
        dx = choose(b, positive(b, x), dy, tni_call_scalar(b, "_mul_scalar", dy, p->slope));
        break;
    case PRELU: prelu_gradient(b, dy); return TN_OK;
    case ELU: dx = exponential_gradient(b, dy, 1, p->slope); break;
    case SELU: dx = exponential_gradient(b, dy, selu_lambda, selu_lambda * selu_alpha); break;
    default: {
        const tn_sym density = tni_call2(b, "_mul", x, normal_density(b, x));
        dx = tni_call2(b, "_mul", dy, tni_call2(b, "elemwise_add", normal_cdf(b, x), density));
    }
    }
    tn_grad_set(b, 0, dx);
    return TN_OK;
}

// ------------------------------------------------------------------ expansion

// scale · (exp(min(x, 0)) - 1): the minimum keeps large x from overflowing.
static tn_sym exponential(const tn_builder *b, tn_sym x, double scale)
{
    const tn_sym e = tni_call(b, "expm1", tni_call_scalar(b, "_minimum_scalar", x, 0));
    return tni_call_scalar(b, "_mul_scalar", e, scale);
}

static tn_status leaky_expand(const tn_builder *b)
{
    const leaky_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    tn_sym y;
    switch (p->act_type) {
    case RRELU:
        return b->fail(b->ctx, TN_E_UNSUPPORTED, "rrelu draws random slopes: it needs a kernel");
    case LEAKY:
        y = choose(b, positive(b, x), x, tni_call_scalar(b, "_mul_scalar", x, p->slope));
        break;
    case PRELU:
        y = choose(b, positive(b, x), x,
                   tni_call2(b, "_mul", x, spread_gamma(b, tn_grad_in(b, 1), x)));
        break;
    case ELU: y = choose(b, positive(b, x), x, exponential(b, x, p->slope)); break;
    case SELU:
        y = choose(b, positive(b, x), tni_call_scalar(b, "_mul_scalar", x, selu_lambda),
                   exponential(b, x, selu_lambda * selu_alpha));
        break;
    default: y = tni_call2(b, "_mul", x, normal_cdf(b, x));
    }
    b->set_output(b->ctx, 0, y);
    return TN_OK;
}

const tn_op_decl tni_op_leaky_relu =
    TN_OP(.name = "LeakyReLU", .c_name = "leaky_relu", .flags = TN_OP_RANDOM | TN_OP_MODE,
          .doc =
              "Rectifiers that let something through below 0. leaky: slope * x; elu: slope * "
              "(exp(x) - 1); prelu: gamma * x; rrelu: a random slope while training; also selu and "
              "gelu.",
          .family = "layer",
          .formula = "y = x where x > 0; else slope * x (leaky), gamma[c] * x (prelu), slope * "
                     "(exp(x) - 1) (elu), or a random slope times x (rrelu)",
          .shape_rule = "output has the shape of data; gamma (c,)",
          .source = "MXNet 0.11, src/operator/leaky_relu-inl.h; selu and gelu from 1.x",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "x; (n, c, ...) for prelu"),
                             TN_PORT(.name = "gamma", .doc = "(c,)", .when = "act_type=prelu",
                                     .init = "[\"Constant\", {\"value\": 0.25}]")),
          .outputs =
              TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data"),
                       TN_PORT(.name = "mask", .flags = TN_PORT_HIDDEN, .when = "act_type=rrelu",
                               .doc = "factors: 1 where x > 0, else the slope")),
          .params = TN_PARAMS(
              TN_PARAM(leaky_params, act_type, TN_P_ENUM, .def = "leaky",
                       .choices = "rrelu|leaky|prelu|elu|selu|gelu", .doc = "which one"),
              TN_PARAM(leaky_params, slope, TN_P_F64, .def = "0.25", .doc = "of leaky and elu"),
              TN_PARAM(leaky_params, lower_bound, TN_P_F64, .def = "0.125", .range = "[0,1]",
                       .doc = "smallest slope of rrelu"),
              TN_PARAM(leaky_params, upper_bound, TN_P_F64, .def = "0.334", .range = "[0,1]",
                       .doc = "largest slope of rrelu")),
          .params_size = sizeof(leaky_params), .check = leaky_check, .infer_shape = leaky_shape,
          .gradient = leaky_gradient, .expand = leaky_expand);
