// core/ops/optimizer.c: sgd_update, sgd_mom_update, adam_update.
//
// One step on a weight: output 0 is the new weight, usually bound to the weight's own tensor, and
// states are written in place. With g = clip(rescale_grad · grad), where clip limits to
// ±clip_gradient if that is not negative:
//   sgd      w ← (1 - lr wd) w - lr g
//   sgd_mom  m ← momentum m - lr wd w - lr g;  w ← w + m
//   adam     g ← clip(rescale_grad · grad + wd w); m ← β1 m + (1 - β1) g; v ← β2 v + (1 - β2) g²;
//            w ← w - lr m / (√v + ε); whoever wants bias correction folds it into lr
// All values have one shape and one dtype (the default rules).
#include "core/ops/ops.h"

typedef struct step_params {
    double gamma1, gamma2, clip_weights;
    double lr, momentum, beta1, beta2, epsilon, wd, rescale_grad, clip_gradient;
} step_params;

#define ZERO "[\"zero\", {}]"
#define WEIGHT TN_PORT(.name = "weight", .doc = "of any shape")
#define GRAD TN_PORT(.name = "grad", .doc = "in the shape of weight")
#define STATE(as, text) TN_PORT(.name = as, .flags = TN_PORT_AUX, .init = ZERO, .doc = text)
#define NUMBER(field, default_, text) \
    TN_PARAM(step_params, field, TN_P_F64, .def = default_, .doc = text)
#define LR TN_PARAM(step_params, lr, TN_P_F64, .doc = "learning rate")
#define COMMON                                                                 \
    NUMBER(wd, "0.0", "weight decay"),                                         \
        NUMBER(rescale_grad, "1.0", "the gradient is multiplied by it first"), \
        NUMBER(clip_gradient, "-1.0", "then limited to this much either way; negative: not")
#define STEP                                                                         \
    .flags = TN_OP_NO_GRAD, .source = "MXNet 0.11, src/operator/optimizer_op-inl.h", \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the new weight")),         \
    .params_size = sizeof(step_params)

// The other steps write states, which only a kernel can.
static tn_status sgd_expand(const tn_builder *b)
{
    const step_params *p = b->params;
    char text[TN_TEXT], low[TN_NUMBER], high[TN_NUMBER];
    tn_sym g = tn_grad_in(b, 1);
    if (p->rescale_grad != 1) g = tni_call_scalar(b, "_mul_scalar", g, p->rescale_grad);
    tn_text(text, "a_min=%s; a_max=%s", tn_number(low, -p->clip_gradient),
            tn_number(high, p->clip_gradient));
    if (p->clip_gradient >= 0) g = tn_emit(b, "clip", text, &g, 1);
    const tn_sym w = tni_call_scalar(b, "_mul_scalar", tn_grad_in(b, 0), 1 - p->lr * p->wd);
    b->set_output(b->ctx, 0, tni_call2(b, "_sub", w, tni_call_scalar(b, "_mul_scalar", g, p->lr)));
    return TN_OK;
}

const tn_op_decl tni_op_sgd_update =
    TN_OP(.name = "sgd_update",
          .doc = "One step of stochastic gradient descent: (1 - lr wd) w - lr g.",
          .family = "optimizer", .formula = "w = (1 - lr * wd) * w - lr * clip(rescale_grad * g)",
          STEP, .inputs = TN_PORTS(WEIGHT, GRAD), .params = TN_PARAMS(LR, COMMON),
          .expand = sgd_expand);

const tn_op_decl tni_op_sgd_mom_update =
    TN_OP(.name = "sgd_mom_update",
          .doc = "One step of gradient descent with momentum: m = momentum m - lr (wd w + g), "
                 "w + m.",
          .family = "optimizer",
          .formula =
              "mom = momentum * mom - lr * wd * w - lr * clip(rescale_grad * g);  w = w + mom",
          STEP, .inputs = TN_PORTS(WEIGHT, GRAD, STATE("mom", "m, in the shape of weight")),
          .params = TN_PARAMS(LR, NUMBER(momentum, "0.0", "how much of m is kept"), COMMON));

const tn_op_decl tni_op_adam_update =
    TN_OP(.name = "adam_update",
          .doc = "One step of Adam without bias correction: w - lr m / (sqrt(v) + epsilon). Weight "
                 "decay is added to the gradient before it is clipped.",
          .family = "optimizer",
          .formula = "g = clip(rescale_grad * g + wd * w);  m = beta1 m + (1 - beta1) g;  v = "
                     "beta2 v + (1 - beta2) g^2;  w = w - lr * m / (sqrt(v) + epsilon)",
          STEP,
          .inputs = TN_PORTS(WEIGHT, GRAD, STATE("mean", "m, in the shape of weight"),
                             STATE("var", "v, in the shape of weight")),
          .params = TN_PARAMS(LR, NUMBER(beta1, "0.9", "how much of m is kept"),
                              NUMBER(beta2, "0.999", "how much of v is kept"),
                              NUMBER(epsilon, "1e-08", "keeps the quotient finite"), COMMON));

// ------------------------------------------------------------------ RMSProp
//
// With g ← clip(rescale_grad · grad + wd w):
//   rmsprop      n ← γ1 n + (1 - γ1) g²;  w ← w - lr g / √(n + ε)
//   rmspropalex  the same n;  ḡ ← γ1 ḡ + (1 - γ1) g;  δ ← γ2 δ - lr g / √(n - ḡ² + ε);  w ← w + δ
// Then w is limited to clip_weights either way, unless that is negative.

#define RMSPROP                                                        \
    NUMBER(gamma1, "0.95", "how much of the averages is kept"),        \
        NUMBER(epsilon, "1e-08", "keeps the quotient finite"), COMMON, \
        NUMBER(clip_weights, "-1.0", "limit of the new weights either way; negative: none")

const tn_op_decl tni_op_rmsprop_update =
    TN_OP(.name = "rmsprop_update",
          .doc = "One step of RMSProp: w - lr g / sqrt(n + epsilon), where n is a running mean of "
                 "g^2. Weight decay is added to the gradient before it is clipped.",
          .family = "optimizer",
          .formula = "g = clip(rescale_grad * g + wd * w);  n = gamma1 n + (1 - gamma1) g^2;  w = "
                     "w - lr * g / sqrt(n + epsilon)",
          STEP, .inputs = TN_PORTS(WEIGHT, GRAD, STATE("n", "mean of g^2, in the shape of weight")),
          .params = TN_PARAMS(LR, RMSPROP));

const tn_op_decl tni_op_rmspropalex_update =
    TN_OP(.name = "rmspropalex_update",
          .doc = "One step of Graves' RMSProp: delta = gamma2 delta - lr g / sqrt(n - mean(g)^2 + "
                 "epsilon), w + delta.",
          .family = "optimizer",
          .formula = "n = gamma1 n + (1 - gamma1) g^2;  h = gamma1 h + (1 - gamma1) g;  delta = "
                     "gamma2 delta - lr * g / sqrt(n - h^2 + epsilon);  w = w + delta",
          STEP,
          .inputs = TN_PORTS(WEIGHT, GRAD, STATE("n", "mean of g^2, in the shape of weight"),
                             STATE("g", "mean of g, in the shape of weight"),
                             STATE("delta", "the last step, in the shape of weight")),
          .params = TN_PARAMS(LR, NUMBER(gamma2, "0.9", "how much of delta is kept"), RMSPROP));

// ------------------------------------------------------------------ steps with a float32 copy
//
// weight and grad are of a narrow dtype; weight32 holds the weight in float32 and is what the step
// is taken on. The output is weight32 in the dtype of weight.

static tn_status wide_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    for (uint32_t i = 2; i < io->n_in; i++) TNI_TRY(tni_merge_dtype(io, TNI_IN(i), TN_F32));
    return TN_OK;
}

#define WEIGHT32                                      \
    TN_PORT(.name = "weight32", .flags = TN_PORT_AUX, \
            .doc = "the weight in float32; it starts as a copy of weight")

const tn_op_decl tni_op_mp_sgd_update =
    TN_OP(.name = "mp_sgd_update",
          .doc = "sgd_update of a narrow weight by its float32 copy, which is updated.",
          .family = "optimizer",
          .formula = "w32 = (1 - lr * wd) * w32 - lr * clip(rescale_grad * g);  w = w32, rounded",
          STEP, .inputs = TN_PORTS(WEIGHT, GRAD, WEIGHT32), .params = TN_PARAMS(LR, COMMON),
          .infer_dtype = wide_dtype);

const tn_op_decl tni_op_mp_sgd_mom_update =
    TN_OP(.name = "mp_sgd_mom_update",
          .doc = "sgd_mom_update of a narrow weight by its float32 copy, which is updated.",
          .family = "optimizer",
          .formula = "mom = momentum * mom - lr * wd * w32 - lr * clip(rescale_grad * g);  w32 = "
                     "w32 + mom;  w = w32, rounded",
          STEP,
          .inputs =
              TN_PORTS(WEIGHT, GRAD, STATE("mom", "m, float32, in the shape of weight"), WEIGHT32),
          .params = TN_PARAMS(LR, NUMBER(momentum, "0.0", "how much of m is kept"), COMMON),
          .infer_dtype = wide_dtype);
