// core/ops/entropy.c: SoftmaxActivation, softmax_cross_entropy, SVMOutput.
#include "core/ops/ops.h"

// 1 where the index along an axis is int(label), elsewhere 0, in the shape of x, as int64. Labels
// lack that axis. A label outside has no 1.
static tn_sym is_label(const tn_builder *b, tn_sym x, tn_sym label)
{
    const tn_sym whole = tn_emit(b, "Cast", "dtype=int64", &label, 1);
    const tn_sym spread = TN_EMIT(b, "_broadcast_reduced", "axis=(-1,)", whole, x);
    return tni_call2(b, "_equal", tn_emit(b, "_positions", "axis=-1", &x, 1), spread);
}

// data (..., k), label (...)
static tn_status rows_shape(const tn_infer *io)
{
    tn_shape x = tni_shape(io, TNI_IN(0)), label = tni_shape(io, TNI_IN(1));
    if (x.ndim < 0 && label.ndim >= 0 && label.ndim < TN_MAX_NDIM)
        x = tn_shape_rank(label.ndim + 1);
    if (x.ndim < 0) return TN_OK;
    if (x.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least 2 axes, got %d", x.ndim);
    label = tn_shape_rank(x.ndim - 1);
    memcpy(label.dim, x.dim, (size_t)label.ndim * sizeof *label.dim);
    TNI_TRY(tni_merge(io, TNI_IN(1), label));
    label = tni_shape(io, TNI_IN(1));
    memcpy(x.dim, label.dim, (size_t)label.ndim * sizeof *label.dim);
    return tni_merge(io, TNI_IN(0), x);
}

// ------------------------------------------------------------------ SoftmaxActivation

typedef struct activation_params {
    int32_t mode;
} activation_params;

static tn_status activation_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const tn_shape s = tni_shape(io, TNI_OUT(0));
    if (s.ndim < 0 || s.ndim >= 2) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least 2 axes, got %d", s.ndim);
}

static tn_status activation_expand(const tn_builder *b)
{
    const activation_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const tn_sym rows = p->mode ? x : tni_call(b, "Flatten", x);
    const tn_sym y = tn_emit(b, "softmax", "axis=1", &rows, 1);
    b->set_output(b->ctx, 0, p->mode ? y : tni_call2(b, "reshape_like", y, x));
    return TN_OK;
}

const tn_op_decl tni_op_softmax_activation =
    TN_OP(.name = "SoftmaxActivation",
          .doc = "Softmax over all axes but the first, or over axis 1. MXNet's gradient is wrong "
                 "for mode instance and more than 2 axes; this one is right.",
          .family = "layer",
          .formula = "y = exp(x) / sum exp(x), over all axes but the first (instance) or over axis "
                     "1 (channel)",
          .shape_rule = "output has the shape of data",
          .source = "MXNet 0.11, src/operator/softmax_activation-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, k, ...)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .params = TN_PARAMS(TN_PARAM(activation_params, mode, TN_P_ENUM, .def = "instance",
                                       .choices = "instance|channel",
                                       .doc = "instance: each sample sums to 1; channel: axis 1 "
                                              "does at each place")),
          .params_size = sizeof(activation_params), .infer_shape = activation_shape,
          .expand = activation_expand);

// ------------------------------------------------------------------ softmax_cross_entropy
//
//     output = -Σ_i log softmax(data[i])[label[i]]

static tn_status entropy_shape(const tn_infer *io)
{
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(2)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_1d(1)));
    return rows_shape(io);
}

static tn_status entropy_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    const tn_sym logs = tn_emit(b, "log_softmax", "axis=1", &x, 1);
    const tn_sym zeros = tni_call(b, "zeros_like", logs);
    const tn_sym chosen = TN_EMIT(b, "where", NULL, is_label(b, x, tn_grad_in(b, 1)), logs, zeros);
    b->set_output(b->ctx, 0, tni_call(b, "negative", tni_call(b, "sum", chosen)));
    return TN_OK;
}

const tn_op_decl tni_op_softmax_cross_entropy =
    TN_OP(.name = "softmax_cross_entropy",
          .doc = "Cross entropy of the softmax of data with labels, summed over all rows. A label "
                 "outside counts nothing. MXNet limits each row to log(1e8), here nothing does.",
          .family = "loss",
          .formula = "y = -sum_i log softmax(data[i])[label[i]];  ddata = dy * (softmax(data) - "
                     "onehot(label))",
          .shape_rule = "data (n, k), label (n,) -> (1,)",
          .source = "MXNet 0.11, src/operator/loss_binary_op-inl.h",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data", .doc = "(n, k)"),
                       TN_PORT(.name = "label", .flags = TN_PORT_NO_GRAD, .doc = "(n,): classes")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(1,)")),
          .infer_shape = entropy_shape, .infer_dtype = tni_dtype_label, .expand = entropy_expand);

// ------------------------------------------------------------------ SVMOutput
//
// y = x. With s = 1 at the label and -1 elsewhere, m = margin, r = regularization_coefficient:
//   dx = -2 r s max(0, m - s x), or with use_linear -r s [m - s x > 0]
// The gradient that arrives is not used, and the label gets none.

typedef struct svm_params {
    double margin, regularization_coefficient;
    int32_t use_linear;
} svm_params;

static tn_status svm_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(rows_shape(io));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status svm_gradient(const tn_builder *b)
{
    const svm_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const tn_sym at = tni_call2(b, "_cast_like", is_label(b, x, tn_grad_in(b, 1)), x);
    const tn_sym sign =
        tni_call_scalar(b, "_minus_scalar", tni_call_scalar(b, "_mul_scalar", at, 2), 1);
    const tn_sym slack =
        tni_call_scalar(b, "_rminus_scalar", tni_call2(b, "_mul", sign, x), p->margin);
    const tn_sym hinge =
        tni_call_scalar(b, p->use_linear ? "_greater_scalar" : "_maximum_scalar", slack, 0);
    const double scale = (p->use_linear ? -1 : -2) * p->regularization_coefficient;
    tn_grad_set(b, 0, tni_call_scalar(b, "_mul_scalar", tni_call2(b, "_mul", sign, hinge), scale));
    return TN_OK;
}

static tn_status svm_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tni_call(b, "_copy", tn_grad_in(b, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_svm_output =
    TN_OP(.name = "SVMOutput", .c_name = "svm_output", .flags = TN_OP_LOSS | TN_OP_IDENTITY,
          .doc = "Passes data on with the gradient of the squared hinge loss against the label, or "
                 "of the hinge loss with use_linear.",
          .family = "loss",
          .formula = "y = x;  with s = 1 at the label, else -1: dx = -2 r s max(0, margin - s x), "
                     "or use_linear: -r s [margin - s x > 0], r = regularization_coefficient",
          .shape_rule =
              "output has the shape of data (..., k); label the shape without the last axis",
          .source = "MXNet 0.11, src/operator/svm_output-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(..., k)"),
                             TN_PORT(.name = "label", .flags = TN_PORT_NO_GRAD,
                                     .doc = "classes: data's shape without the last axis")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data")),
          .params = TN_PARAMS(TN_PARAM(svm_params, margin, TN_P_F64, .def = "1.0",
                                       .doc = "how far on the right side costs nothing"),
                              TN_PARAM(svm_params, regularization_coefficient, TN_P_F64,
                                       .def = "1.0", .doc = "the gradient is multiplied by it"),
                              TN_PARAM(svm_params, use_linear, TN_P_BOOL, .def = "False",
                                       .doc = "hinge loss; otherwise squared")),
          .params_size = sizeof(svm_params), .infer_shape = svm_shape,
          .infer_dtype = tni_dtype_label, .gradient = svm_gradient, .expand = svm_expand);
