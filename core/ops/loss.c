// core/ops/loss.c: SoftmaxOutput and its old twin Softmax, MakeLoss and make_loss.
//
// The gradient of a loss layer is that of a loss which the layer does not show, so it does not use
// the gradient that arrives. For the same reason it cannot be differentiated once more through the
// layer's own output: _backward_SoftmaxOutput refuses.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ SoftmaxOutput
//
// p = softmax(data) over axis 1 (multi_output), over the last axis (preserve_shape), or over all
// axes but the first. With s = grad_scale and c = int(label), the gradient of data is
//   label has the shape of data:  s (p - label)
//   multi_output, (n, k, S):      s / D (p[n,j,x] - [j == c[n,x]]), D = S | S n | max(1, M)
//   otherwise, rows of length k:  s / D (p[r,j] - [j == c_r]),      D = 1 | labels | max(1, M)
// for normalization null | batch | valid, where M counts the labels with c != int(ignore_label).
// With use_ignore it is 0 where c == int(ignore_label); with out_grad it is multiplied by the
// gradient that arrives.

typedef struct softmax_output_params {
    double grad_scale, ignore_label;
    int32_t multi_output, use_ignore, preserve_shape, normalization, out_grad;
} softmax_output_params;

// Label shapes that data of shape d allows; the first one is assumed if nothing is known.
enum { MOST_LABELS = 4 };
static int label_shapes(const softmax_output_params *p, const tn_shape *d, tn_shape *out)
{
    tn_shape rest = tn_shape_rank(d->ndim - 1);
    if (!p->multi_output) {
        memcpy(rest.dim, d->dim, (size_t)rest.ndim * sizeof *rest.dim);
        out[0] = rest;
        out[1] = *d;
        return 2;
    }
    rest.dim[0] = d->dim[0];
    for (int32_t i = 2; i < d->ndim; i++) rest.dim[i - 1] = d->dim[i];
    out[0] = tn_shape_2d(d->dim[0], tn_shape_span(d, 2, d->ndim));
    out[1] = rest;
    out[2] = *d;
    out[2].dim[1] = 1;
    out[3] = *d;
    return 4;
}

static tn_status label_shape(const tn_infer *io, const tn_shape *d)
{
    tn_shape wanted[MOST_LABELS];
    char sw[TNI_SHOW], sl[TNI_SHOW], sd[TNI_SHOW];
    const int n = label_shapes(io->params, d, wanted);
    const tn_shape label = tni_shape(io, TNI_IN(1));
    int first = -1, fitting = 0;
    for (int i = n - 1; i >= 0; i--) {
        if (!tni_compatible(&wanted[i], &label)) continue;
        first = i;
        fitting++;
    }
    if (first < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "label: wanted %.60s%s for data %.60s, got %.60s",
                             tni_show(sw, &wanted[0]), n > 2 ? " (or as data without axis 1)" : "",
                             tni_show(sd, d), tni_show(sl, &label));
    if (label.ndim < 0 || fitting == 1) TNI_TRY(tni_merge(io, TNI_IN(1), wanted[first]));
    tn_shape back = tn_shape_rank(d->ndim);
    back.dim[0] = tni_shape(io, TNI_IN(1)).dim[0];
    return tni_merge(io, TNI_IN(0), back);
}

// Holds for the layer (data, label) and its gradient (out, label[, head]).
static tn_status softmax_output_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    if (io->n_in > 2) TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(2)));
    const tn_shape d = tni_shape(io, TNI_IN(0));
    if (d.ndim < 0) return TN_OK;
    if (d.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least 2 axes, got %d", d.ndim);
    TNI_TRY(label_shape(io, &d));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status softmax_output_gradient(const tn_builder *b)
{
    const softmax_output_params *p = b->params;
    static const char *const normalizations[] = {"null", "batch", "valid"};
    char text[TN_TEXT], scale[TNI_NUMBER], ignore[TNI_NUMBER];
    tn_sym in[3] = {tn_grad_out(b, 0), tn_grad_in(b, 1), 0};
    if (p->out_grad && !(in[2] = tn_grad_head(b, 0))) return TN_OK;
    tn_text(text,
            "grad_scale=%s; ignore_label=%s; multi_output=%d; use_ignore=%d; preserve_shape=%d; "
            "normalization=%s; out_grad=%d",
            tni_number(scale, p->grad_scale), tni_number(ignore, p->ignore_label), p->multi_output,
            p->use_ignore, p->preserve_shape, normalizations[p->normalization], p->out_grad);
    tn_grad_set(b, 0, tn_emit(b, "_backward_SoftmaxOutput", text, in, p->out_grad ? 3 : 2));
    return TN_OK;
}

static tn_status softmax_output_expand(const tn_builder *b)
{
    const softmax_output_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    tn_sym y;
    if (p->multi_output) {
        y = tn_emit(b, "softmax", "axis=1", &x, 1);
    } else if (p->preserve_shape) {
        y = tn_emit(b, "softmax", "axis=-1", &x, 1);
    } else {
        const tn_sym rows = tni_call(b, "Flatten", x);
        y = tni_call2(b, "reshape_like", tn_emit(b, "softmax", "axis=1", &rows, 1), x);
    }
    b->set_output(b->ctx, 0, y);
    return TN_OK;
}

// clang-format off
#define SOFTMAX_OUTPUT_PARAMS                                                                      \
    .params = TN_PARAMS(                                                                           \
        TN_PARAM(softmax_output_params, grad_scale, TN_P_F64, .def = "1.0",                        \
                 .doc = "the gradient is multiplied by it"),                                       \
        TN_PARAM(softmax_output_params, ignore_label, TN_P_F64, .def = "-1.0",                     \
                 .doc = "label that use_ignore leaves out"),                                       \
        TN_PARAM(softmax_output_params, multi_output, TN_P_BOOL, .def = "False",                   \
                 .doc = "softmax over axis 1: one label for each place"),                          \
        TN_PARAM(softmax_output_params, use_ignore, TN_P_BOOL, .def = "False",                     \
                 .doc = "no gradient where the label is ignore_label"),                            \
        TN_PARAM(softmax_output_params, preserve_shape, TN_P_BOOL, .def = "False",                 \
                 .doc = "softmax over the last axis"),                                             \
        TN_PARAM(softmax_output_params, normalization, TN_P_ENUM, .def = "null",                   \
                 .choices = "null|batch|valid",                                                    \
                 .doc = "the gradient is divided by 1, the number of labels, or of labels that "   \
                        "are not ignore_label; with multi_output, null and batch also divide by "  \
                        "the number of places"),                                                   \
        TN_PARAM(softmax_output_params, out_grad, TN_P_BOOL, .def = "False",                       \
                 .doc = "multiply by the gradient that arrives")),                                 \
    .params_size = sizeof(softmax_output_params)

#define SOFTMAX_OUTPUT                                                                             \
    .flags = TN_OP_LOSS, .source = "MXNet 0.11, src/operator/softmax_output-inl.h",                \
    .inputs = TN_PORTS(                                                                            \
        TN_PORT(.name = "data", .doc = "(n, ...), or (n, k, ...) with multi_output"),              \
        TN_PORT(.name = "label", .flags = TN_PORT_NO_GRAD,                                         \
                .doc = "classes: data without its last axis; (n, places), or data without axis "   \
                       "1, with multi_output. Or probabilities in the shape of data")),            \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "probabilities, in the shape of data")),  \
    SOFTMAX_OUTPUT_PARAMS, .infer_shape = softmax_output_shape, .infer_dtype = tni_dtype_label,    \
    .gradient = softmax_output_gradient, .expand = softmax_output_expand
// clang-format on

const tn_op_decl tni_op_softmax_output =
    TN_OP(.name = "SoftmaxOutput",
          .doc = "Softmax with the gradient of the cross-entropy loss against the label. The "
                 "gradient that arrives is not used unless out_grad is given.",
          .family = "loss",
          .formula =
              "p = softmax(data);  ddata = grad_scale / D * (p - onehot(label)), 0 where the label "
              "is ignored; D = 1, the labels, or those not ignored, by normalization",
          .shape_rule = "output has the shape of data; label (n,), data's shape without the class "
                        "axis, or data's shape",
          SOFTMAX_OUTPUT);

const tn_op_decl tni_op_softmax_deprecated =
    TN_OP(.name = "Softmax", .c_name = "softmax_deprecated",
          .doc = "Old name of SoftmaxOutput, found in old files; does the same.", .family = "loss",
          .formula =
              "p = softmax(data);  ddata = grad_scale / D * (p - onehot(label)), as SoftmaxOutput",
          .shape_rule = "output has the shape of data; label (n,), data's shape without the class "
                        "axis, or data's shape",
          SOFTMAX_OUTPUT);

const tn_op_decl tni_op_backward_softmax_output =
    TN_OP(.name = "_backward_SoftmaxOutput", .flags = TN_OP_INTERNAL | TN_OP_NO_GRAD,
          .doc = "Gradient of SoftmaxOutput's data. Has no gradient of its own, as the layer's "
                 "output does not pass one on.",
          .inputs = TN_PORTS(
              TN_PORT(.name = "out", .doc = "probabilities"), TN_PORT(.name = "label"),
              TN_PORT(.name = "head", .doc = "the gradient that arrives", .when = "out_grad")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), SOFTMAX_OUTPUT_PARAMS,
          .infer_shape = softmax_output_shape, .infer_dtype = tni_dtype_label);

// ------------------------------------------------------------------ make_loss
//
// y = x; the gradient is 1 everywhere.

static tn_status make_loss_gradient(const tn_builder *b)
{
    tn_grad_set(b, 0, tni_call(b, "ones_like", tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status identity_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tni_call(b, "_copy", tn_grad_in(b, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_make_loss =
    TN_OP(.name = "make_loss", .flags = TN_OP_LOSS | TN_OP_IDENTITY,
          .doc = "Declares a value to be a loss: passes it on, and its gradient is 1.",
          .family = "loss", .formula = "y = x;  dx = 1",
          .source = "MXNet 0.11, src/operator/tensor/elemwise_unary_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "loss", .doc = "data")),
          .gradient = make_loss_gradient, .expand = identity_expand);

// ------------------------------------------------------------------ MakeLoss
//
// y = x; the gradient is grad_scale / D everywhere, D = 1 (null), the product of all extents but
// the last, 1 for a vector (batch), or the number of x > valid_thresh, at least 1 (valid).

typedef struct make_loss_params {
    double grad_scale, valid_thresh;
    int32_t normalization;
} make_loss_params;
enum { MAKE_LOSS_NULL, MAKE_LOSS_BATCH, MAKE_LOSS_VALID };

static tn_status make_loss_output_gradient(const tn_builder *b)
{
    const make_loss_params *p = b->params;
    static const char *const normalizations[] = {"null", "batch", "valid"};
    char text[TN_TEXT], scale[TNI_NUMBER], thresh[TNI_NUMBER];
    tn_text(text, "grad_scale=%s; valid_thresh=%s; normalization=%s",
            tni_number(scale, p->grad_scale), tni_number(thresh, p->valid_thresh),
            normalizations[p->normalization]);
    const tn_sym x = tn_grad_in(b, 0);
    tn_grad_set(b, 0, tn_emit(b, "_backward_MakeLoss", text, &x, 1));
    return TN_OK;
}

// clang-format off
#define MAKE_LOSS_PARAMS                                                                           \
    .params = TN_PARAMS(                                                                           \
        TN_PARAM(make_loss_params, grad_scale, TN_P_F64, .def = "1.0",                             \
                 .doc = "the gradient"),                                                           \
        TN_PARAM(make_loss_params, valid_thresh, TN_P_F64, .def = "0.0",                           \
                 .doc = "elements above it are counted by normalization=valid"),                   \
        TN_PARAM(make_loss_params, normalization, TN_P_ENUM, .def = "null",                        \
                 .choices = "null|batch|valid",                                                    \
                 .doc = "the gradient is divided by 1, by the product of all extents but the "     \
                        "last, or by the number of valid elements")),                              \
    .params_size = sizeof(make_loss_params)
// clang-format on

const tn_op_decl tni_op_make_loss_output =
    TN_OP(.name = "MakeLoss", .c_name = "make_loss_output", .flags = TN_OP_LOSS | TN_OP_IDENTITY,
          .doc = "Declares a value to be a loss: passes it on, and its gradient is grad_scale.",
          .family = "loss",
          .formula = "y = x;  dx = grad_scale / D, D = 1, the extents but the last, or the "
                     "elements above valid_thresh",
          .source = "MXNet 0.11, src/operator/make_loss-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data")), MAKE_LOSS_PARAMS,
          .gradient = make_loss_output_gradient, .expand = identity_expand);

// The count may be more than a narrow dtype has, so it is one of float64.
static tn_status make_loss_backward_expand(const tn_builder *b)
{
    const make_loss_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const tn_shape s = *b->shape(b->ctx, x);
    if (p->normalization != MAKE_LOSS_VALID) {
        const double share = p->normalization ? (double)tn_shape_span(&s, 0, s.ndim - 1) : 1;
        const tn_sym ones = tni_call(b, "ones_like", x);
        b->set_output(b->ctx, 0, tni_call_scalar(b, "_mul_scalar", ones, p->grad_scale / share));
        return TN_OK;
    }
    const tn_sym above = tni_call_scalar(b, "_greater_scalar", x, p->valid_thresh);
    tn_sym n = tni_call(b, "sum", tni_cast(b, above, TN_F64));
    n = tni_call_scalar(b, "_maximum_scalar", n, 1);
    n = tni_cast(b, tni_call_scalar(b, "_rdiv_scalar", n, p->grad_scale), b->dtype(b->ctx, x));
    b->set_output(b->ctx, 0, tni_call2(b, "_broadcast_reduced", n, x));
    return TN_OK;
}

// Constant but for the steps at valid_thresh, so its own gradient is zero.
const tn_op_decl tni_op_backward_make_loss =
    TN_OP(.name = "_backward_MakeLoss", .flags = TN_OP_INTERNAL | TN_OP_ZERO_GRAD,
          .doc = "Gradient of MakeLoss.", .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), MAKE_LOSS_PARAMS,
          .expand = make_loss_backward_expand);
