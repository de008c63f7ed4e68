// core/ops/leaky.c: LeakyReLU and its kin.
//
// Where x > 0 all of them are x (selu: λ x; gelu differs). Elsewhere
//   leaky  slope · x                elu   slope · (exp(x) - 1)
//   prelu  gamma_c · x              selu  λ α (exp(x) - 1)
//   rrelu  m · x, m drawn from [lower_bound, upper_bound] for each element while training, its
//          middle at inference
// and gelu is x / 2 · (1 + erf(x / √2)). All but rrelu expand into simpler operators: leaky, elu
// and selu into `_leaky`, which is elementwise, so that it may run as one with the layer before it;
// rrelu keeps its factors in `mask`.
#include <math.h>

#include "core/base/base.h"
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

// ------------------------------------------------------------------ _leaky
//
//     y = above · x where x > 0, elsewhere below · x, or below · (exp(x) - 1) if curved
//
// With above > 0 and below ≥ 0, y has x's sign, or is 0, and so the derivative can be told from y:
// above where y > 0, elsewhere below, or y + below.

typedef struct bend_params {
    double above, below;
    bool curved;
} bend_params;

// The bend that an activation is; above 0: it is none.
static bend_params bend_of(const leaky_params *p)
{
    switch (p->act_type) {
    case LEAKY: return (bend_params){1, p->slope, false};
    case ELU: return (bend_params){1, p->slope, true};
    case SELU: return (bend_params){selu_lambda, selu_lambda * selu_alpha, true};
    default: return (bend_params){0};
    }
}

static const char *bend_text(char text[TN_TEXT], const bend_params *p)
{
    char above[TNI_NUMBER], below[TNI_NUMBER];
    return tn_text(text, "above=%s; below=%s; curved=%d", tni_number(above, p->above),
                   tni_number(below, p->below), p->curved);
}

static tn_sym scaled(const tn_builder *b, tn_sym x, double factor)
{
    return factor == 1 ? x : tni_call_scalar(b, "_mul_scalar", x, factor);
}

// The minimum keeps large x from overflowing.
static tn_status bend_expand(const tn_builder *b)
{
    const bend_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    tn_sym low = x;
    if (p->curved) low = tni_call(b, "expm1", tni_call_scalar(b, "_minimum_scalar", x, 0));
    b->set_output(b->ctx, 0,
                  choose(b, positive(b, x), scaled(b, x, p->above), scaled(b, low, p->below)));
    return TN_OK;
}

static tn_status bend_backward_expand(const tn_builder *b)
{
    const bend_params *p = b->params;
    const tn_sym dy = tn_grad_in(b, 0), y = tn_grad_in(b, 1);
    const tn_sym low =
        p->curved ? tni_call2(b, "_mul", dy, tni_call_scalar(b, "_plus_scalar", y, p->below))
                  : scaled(b, dy, p->below);
    b->set_output(b->ctx, 0, choose(b, positive(b, y), scaled(b, dy, p->above), low));
    return TN_OK;
}

static tn_sym bend_gradient_of(const tn_builder *b, const bend_params *p, tn_sym dy)
{
    char text[TN_TEXT];
    return TN_EMIT(b, "_backward_leaky", bend_text(text, p), dy, tn_grad_out(b, 0));
}

static tn_status bend_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, bend_gradient_of(b, b->params, dy));
    return TN_OK;
}

#define BEND_PARAMS                                                                              \
    .params = TN_PARAMS(                                                                         \
        TN_PARAM(bend_params, above, TN_P_F64, .def = "1", .doc = "factor where x > 0"),         \
        TN_PARAM(bend_params, below, TN_P_F64, .def = "0.25", .doc = "factor elsewhere"),        \
        TN_PARAM(bend_params, curved, TN_P_BOOL, .def = "False", .doc = "of exp(x) - 1 there")), \
    .params_size = sizeof(bend_params)

const tn_op_decl tni_op_leaky =
    TN_OP(.name = "_leaky", .flags = TN_OP_INTERNAL | TN_OP_ELEMENTWISE,
          .doc = "LeakyReLU without a parameter to learn: above * x where x > 0, else below * x, "
                 "or below * (exp(x) - 1) if curved; above > 0, below >= 0.",
          .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), BEND_PARAMS, .gradient = bend_gradient,
          .expand = bend_expand);

const tn_op_decl tni_op_backward_leaky =
    TN_OP(.name = "_backward_leaky", .flags = TN_OP_INTERNAL | TN_OP_ELEMENTWISE,
          .doc = "Gradient of _leaky from its result y: dy * above where y > 0, else dy * below, "
                 "or dy * (y + below) if curved.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "y")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), BEND_PARAMS,
          .expand = bend_backward_expand);

// ------------------------------------------------------------------ gradient

static void prelu_gradient(const tn_builder *b, tn_sym dy)
{
    const tn_sym x = tn_grad_in(b, 0), gamma = tn_grad_in(b, 1), m = positive(b, x);
    const tn_sym low = tni_call2(b, "_mul", dy, spread_gamma(b, gamma, x));
    const tn_sym product = tni_call2(b, "_mul", dy, x);
    const tn_sym below = choose(b, m, tni_call(b, "zeros_like", product), product);
    tn_grad_set(b, 0, choose(b, m, dy, low));
    tn_grad_set(b, 1, tn_emit(b, "sum", "axis=(1,); exclude=1", &below, 1));
}

// The same from x, where y has not its sign.
static tn_sym downward_gradient(const tn_builder *b, const bend_params *p, tn_sym dy)
{
    tn_sym low = dy;
    if (p->curved) {
        const tn_sym x = tni_call_scalar(b, "_minimum_scalar", tn_grad_in(b, 0), 0);
        low = tni_call2(b, "_mul", dy, tni_call(b, "exp", x));
    }
    return choose(b, positive(b, tn_grad_in(b, 0)), dy, scaled(b, low, p->below));
}

static tn_status leaky_gradient(const tn_builder *b)
{
    const leaky_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0);
    tn_sym dx = 0;
    if (!dy) return TN_OK;
    if (p->act_type == PRELU) {
        prelu_gradient(b, dy);
        return TN_OK;
    }
    const bend_params bend = bend_of(p);
    if (p->act_type == RRELU)
        dx = tni_call2(b, "_mul", dy, tn_grad_out(b, 1));
    else if (p->act_type == GELU)
        dx = tni_call2(b, "_backward_gelu", dy, x);
    else if (bend.below >= 0)
        dx = bend_gradient_of(b, &bend, dy);
    else
        dx = downward_gradient(b, &bend, dy);
    tn_grad_set(b, 0, dx);
    return TN_OK;
}

// ------------------------------------------------------------------ expansion

static tn_status leaky_expand(const tn_builder *b)
{
    const leaky_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const bend_params bend = bend_of(p);
    char text[TN_TEXT];
    tn_sym y;
    if (p->act_type == RRELU)
        return b->fail(b->ctx, TN_E_UNSUPPORTED, "rrelu draws random slopes: it needs a kernel");
    if (p->act_type == PRELU)
        y = choose(b, positive(b, x), x,
                   tni_call2(b, "_mul", x, spread_gamma(b, tn_grad_in(b, 1), x)));
    else if (p->act_type == GELU)
        y = tni_call(b, "gelu", x);
    else
        y = TN_EMIT(b, "_leaky", bend_text(text, &bend), x);
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
