// core/ops/activation.c: hard_sigmoid, Activation, clip, smooth_l1.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ hard_sigmoid
//
//     y = min(max(alpha x + beta, 0), 1)

typedef struct hard_params {
    double alpha, beta;
} hard_params;

static tn_sym hard_line(const tn_builder *b, const hard_params *p)
{
    const tn_sym scaled = tni_call_scalar(b, "_mul_scalar", tn_grad_in(b, 0), p->alpha);
    return tni_call_scalar(b, "_plus_scalar", scaled, p->beta);
}

static tn_status hard_expand(const tn_builder *b)
{
    const tn_sym line = hard_line(b, b->params);
    b->set_output(b->ctx, 0, tn_emit(b, "clip", "a_min=0; a_max=1", &line, 1));
    return TN_OK;
}

static void hard_back(const tn_builder *b, const hard_params *p, tn_sym dy)
{
    const tn_sym line = hard_line(b, p);
    const tn_sym inside = TN_EMIT(b, "_backward_clip", "a_min=0; a_max=1", dy, line);
    tn_grad_set(b, 0, tni_call_scalar(b, "_mul_scalar", inside, p->alpha));
}

static tn_status hard_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) hard_back(b, b->params, dy);
    return TN_OK;
}

const tn_op_decl tni_op_hard_sigmoid =
    TN_OP(.name = "hard_sigmoid",
          .doc = "clip(alpha * x + beta, 0, 1). Elementwise; the gradient is 0 strictly outside.",
          .family = "function",
          .formula =
              "y = min(max(alpha * x + beta, 0), 1),  dx = dy * alpha where 0 < y < 1, else 0",
          .source = "MXNet 1.x, src/operator/tensor/elemwise_unary_op_basic.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "x, of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .params =
              TN_PARAMS(TN_PARAM(hard_params, alpha, TN_P_F64, .def = "0.2", .doc = "slope"),
                        TN_PARAM(hard_params, beta, TN_P_F64, .def = "0.5", .doc = "value at 0")),
          .params_size = sizeof(hard_params), .gradient = hard_gradient, .expand = hard_expand);

// ------------------------------------------------------------------ Activation
//
// The operator of one value that has the same name, which is a row of <tenon/elementwise.h> (and
// then so is its gradient), or hard_sigmoid with its default parameters.

typedef struct activation_params {
    int32_t act_type;
} activation_params;

#define ACTIVATIONS                                                                       \
    "relu|sigmoid|tanh|softrelu|softsign|softplus|gelu|gelu_tanh|silu|mish|hard_sigmoid|" \
    "hard_swish"
enum { HARD_SIGMOID = 10 };

// Name of the function, and what its derivative reads: X, Y, XY.
static const struct {
    const char *op, *uses;
} activations[] = {
    {"relu", "Y"},     {"sigmoid", "Y"},  {"tanh", "Y"},         {"softrelu", "Y"},
    {"softsign", "Y"}, {"softplus", "Y"}, {"gelu", "X"},         {"gelu_tanh", "XY"},
    {"silu", "XY"},    {"mish", "X"},     {"hard_sigmoid", "X"}, {"hard_swish", "X"},
};

static tn_status activation_gradient(const tn_builder *b)
{
    const activation_params *p = b->params;
    tn_sym in[3] = {tn_grad_head(b, 0)};
    char name[32];
    uint32_t n = 1;
    if (!in[0]) return TN_OK;
    if (p->act_type == HARD_SIGMOID) {
        hard_back(b, &(hard_params){0.2, 0.5}, in[0]);
        return TN_OK;
    }
    if (strchr(activations[p->act_type].uses, 'X')) in[n++] = tn_grad_in(b, 0);
    if (strchr(activations[p->act_type].uses, 'Y')) in[n++] = tn_grad_out(b, 0);
    snprintf(name, sizeof name, "_backward_%s", activations[p->act_type].op);
    tn_grad_set(b, 0, tn_emit(b, name, NULL, in, n));
    return TN_OK;
}

static tn_status activation_expand(const tn_builder *b)
{
    const activation_params *p = b->params;
    b->set_output(b->ctx, 0, tni_call(b, activations[p->act_type].op, tn_grad_in(b, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_activation =
    TN_OP(.name = "Activation", .flags = TN_OP_ELEMENTWISE,
          .doc = "Applies an activation function elementwise. relu: max(x, 0); sigmoid: "
                 "1 / (1 + exp(-x)); tanh; softrelu: log(1 + exp(x)). The others are the operators "
                 "of the same name.",
          .family = "layer",
          .formula = "y = f(data) elementwise; f is the operator that act_type names",
          .source = "MXNet 0.11, src/operator/activation.cc; softsign from 1.x; the others as in "
                    "ONNX and PyTorch",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "x, of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .params = TN_PARAMS(TN_PARAM(activation_params, act_type, TN_P_ENUM,
                                       .choices = ACTIVATIONS, .doc = "the function")),
          .params_size = sizeof(activation_params), .gradient = activation_gradient,
          .expand = activation_expand);

// ------------------------------------------------------------------ clip
//
//     y = min(max(x, a_min), a_max),  dx = dy where a_min ≤ x ≤ a_max, else 0

typedef struct clip_params {
    double a_min, a_max;
} clip_params;

#define CLIP_PARAMS                                                                      \
    .params = TN_PARAMS(TN_PARAM(clip_params, a_min, TN_P_F64, .doc = "smallest value"), \
                        TN_PARAM(clip_params, a_max, TN_P_F64, .doc = "largest value")), \
    .params_size = sizeof(clip_params)

static const char *clip_text(char text[TN_TEXT], const clip_params *p)
{
    char lo[TNI_NUMBER], hi[TNI_NUMBER];
    return tn_text(text, "a_min=%s; a_max=%s", tni_number(lo, p->a_min), tni_number(hi, p->a_max));
}

static tn_status clip_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_clip", clip_text(text, b->params), dy, tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status clip_expand(const tn_builder *b)
{
    const clip_params *p = b->params;
    const tn_sym low = tni_call_scalar(b, "_maximum_scalar", tn_grad_in(b, 0), p->a_min);
    b->set_output(b->ctx, 0, tni_call_scalar(b, "_minimum_scalar", low, p->a_max));
    return TN_OK;
}

static tn_status clip_backward_expand(const tn_builder *b)
{
    const clip_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 1);
    const tn_sym above = tni_call_scalar(b, "_greater_equal_scalar", x, p->a_min);
    const tn_sym below = tni_call_scalar(b, "_lesser_equal_scalar", x, p->a_max);
    const tn_sym inside = tni_call2(b, "_mul", above, below);
    b->set_output(b->ctx, 0, tni_call2(b, "_mul", tn_grad_in(b, 0), inside));
    return TN_OK;
}

const tn_op_decl tni_op_clip =
    TN_OP(.name = "clip", .flags = TN_OP_ELEMENTWISE,
          .doc = "Limits values to [a_min, a_max]. The gradient is 0 strictly outside.",
          .family = "function",
          .formula = "y = min(max(x, a_min), a_max),  dx = dy where a_min <= x <= a_max, else 0",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "x, of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          CLIP_PARAMS, .gradient = clip_gradient, .expand = clip_expand);

const tn_op_decl tni_op_backward_clip =
    TN_OP(.name = "_backward_clip", .flags = TN_OP_INTERNAL | TN_OP_ELEMENTWISE,
          .doc = "Gradient of clip: dy where a_min <= x <= a_max, else 0.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "x")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), CLIP_PARAMS,
          .expand = clip_backward_expand);

// ------------------------------------------------------------------ smooth_l1
//
// With s = scalar: y = |x| - 0.5 / s² where |x| > 1 / s², else 0.5 (s x)².
// With c = clip(s² x, -1, 1) that is y = c x - 0.5 c² / s², and dx = dy c.

typedef struct smooth_params {
    double scalar;
} smooth_params;

static tn_sym smooth_slope(const tn_builder *b, tn_sym x, double s)
{
    return tn_emit(b, "clip", "a_min=-1; a_max=1",
                   (const tn_sym[]){tni_call_scalar(b, "_mul_scalar", x, s * s)}, 1);
}

static tn_status smooth_gradient(const tn_builder *b)
{
    const smooth_params *p = b->params;
    char text[TN_TEXT], number[TNI_NUMBER];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_smooth_l1",
                            tn_text(text, "scalar=%s", tni_number(number, p->scalar)), dy,
                            tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status smooth_expand(const tn_builder *b)
{
    const smooth_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const double s2 = p->scalar * p->scalar;
    if (s2 == 0) { // 1 / s² is infinite: the square everywhere, times 0
        b->set_output(b->ctx, 0, tni_call(b, "zeros_like", x));
        return TN_OK;
    }
    const tn_sym c = smooth_slope(b, x, p->scalar);
    const tn_sym half = tni_call_scalar(b, "_mul_scalar", tni_call(b, "square", c), 0.5 / s2);
    b->set_output(b->ctx, 0, tni_call2(b, "_sub", tni_call2(b, "_mul", c, x), half));
    return TN_OK;
}

static tn_status smooth_backward_expand(const tn_builder *b)
{
    const smooth_params *p = b->params;
    const tn_sym slope = smooth_slope(b, tn_grad_in(b, 1), p->scalar);
    b->set_output(b->ctx, 0, tni_call2(b, "_mul", tn_grad_in(b, 0), slope));
    return TN_OK;
}

#define SMOOTH_PARAMS                                                                         \
    .params = TN_PARAMS(                                                                      \
        TN_PARAM(smooth_params, scalar, TN_P_F64, .doc = "s: the bend is at |x| = 1 / s^2")), \
    .params_size = sizeof(smooth_params)

const tn_op_decl tni_op_smooth_l1 =
    TN_OP(.name = "smooth_l1", .flags = TN_OP_ELEMENTWISE,
          .doc = "Smooth L1 loss, elementwise: |x| - 0.5 / s^2 where |x| > 1 / s^2, else "
                 "0.5 (s x)^2.",
          .family = "function",
          .formula = "with s = scalar: y = |x| - 0.5 / s^2 where |x| > 1 / s^2, else 0.5 (s x)^2;  "
                     "dx = dy * clip(s^2 x, -1, 1)",
          .source = "MXNet 0.11, src/operator/tensor/elemwise_binary_scalar_op_extended.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "x, of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          SMOOTH_PARAMS, .gradient = smooth_gradient, .expand = smooth_expand);

const tn_op_decl tni_op_backward_smooth_l1 =
    TN_OP(.name = "_backward_smooth_l1", .flags = TN_OP_INTERNAL | TN_OP_ELEMENTWISE,
          .doc = "Gradient of smooth_l1: dy * clip(s^2 x, -1, 1).",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "x")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), SMOOTH_PARAMS,
          .expand = smooth_backward_expand);
