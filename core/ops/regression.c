// core/ops/regression.c: LinearRegressionOutput, LogisticRegressionOutput, MAERegressionOutput.
//
// With s = grad_scale and m = outputs per sample (elements of label / its first extent):
//   Linear    y = x             dx = s / m (y - label)
//   Logistic  y = 1/(1+exp(-x)) dx = s / m (y - label)
//   MAE       y = x             dx = s / m sign(y - label)
// The gradient that arrives is not used, and the label gets none.
#include "core/base/base.h"
#include "core/ops/ops.h"

typedef struct regression_params {
    double grad_scale;
} regression_params;

// Holds for a layer (data, label) and its gradient (out, label). A label may be shaped otherwise
// than the data as long as its first extent and its size are the same.
static tn_status regression_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const tn_shape d = tni_shape(io, TNI_IN(0)), label = tni_shape(io, TNI_IN(1));
    char sl[TNI_SHOW], sd[TNI_SHOW];
    if (d.ndim < 0) return TN_OK;
    if (label.ndim < 0) {
        const bool column = d.ndim == 2 && d.dim[1] == 1;
        if (d.ndim == 2 && d.dim[1] < 0) return TN_OK; // may yet turn out to be a column
        return tni_merge(io, TNI_IN(1), column ? tn_shape_1d(d.dim[0]) : d);
    }
    const int64_t nd = tn_shape_size(&d), nl = tn_shape_size(&label);
    const bool first = d.ndim == 0 || label.ndim == 0 || d.dim[0] < 0 || label.dim[0] < 0 ||
                       d.dim[0] == label.dim[0];
    if (!first || (nd >= 0 && nl >= 0 && nd != nl))
        return tn_infer_fail(io, TN_E_SHAPE,
                             "label: wanted the first extent and the size of data %.80s, got %.80s",
                             tni_show(sd, &d), tni_show(sl, &label));
    if (d.ndim == 0 || label.ndim == 0) return TN_OK;
    tn_shape back = d, forth = label;
    if (back.dim[0] < 0) back.dim[0] = label.dim[0];
    if (forth.dim[0] < 0) forth.dim[0] = d.dim[0];
    tni_solve(&back, 0, back.ndim, nl);
    tni_solve(&forth, 0, forth.ndim, nd);
    TNI_TRY(tni_merge(io, TNI_IN(0), back));
    TNI_TRY(tni_merge(io, TNI_IN(1), forth));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status gradient_by(const tn_builder *b, const char *op)
{
    const regression_params *p = b->params;
    char text[TN_TEXT], number[TNI_NUMBER];
    tn_text(text, "grad_scale=%s", tni_number(number, p->grad_scale));
    tn_grad_set(b, 0, TN_EMIT(b, op, text, tn_grad_out(b, 0), tn_grad_in(b, 1)));
    return TN_OK;
}

static tn_status linear_gradient(const tn_builder *b)
{
    return gradient_by(b, "_backward_LinearRegressionOutput");
}

static tn_status mae_gradient(const tn_builder *b)
{
    return gradient_by(b, "_backward_MAERegressionOutput");
}

static tn_status identity_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tni_call(b, "_copy", tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status logistic_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tni_call(b, "sigmoid", tn_grad_in(b, 0)));
    return TN_OK;
}

// Result of the layer minus label, in the shape of the result.
static tn_sym error_of(const tn_builder *b)
{
    const tn_sym y = tn_grad_in(b, 0);
    const tn_sym label = tni_cast(b, tn_grad_in(b, 1), b->dtype(b->ctx, y));
    return tni_call2(b, "_sub", y, tni_call2(b, "reshape_like", label, y));
}

// Its gradient is that of each of the label's outputs per sample.
static tn_status scaled(const tn_builder *b, tn_sym error)
{
    const regression_params *p = b->params;
    const tn_shape label = *b->shape(b->ctx, tn_grad_in(b, 1));
    const double per_sample = (double)tn_shape_span(&label, 1, label.ndim);
    b->set_output(b->ctx, 0, tni_call_scalar(b, "_mul_scalar", error, p->grad_scale / per_sample));
    return TN_OK;
}

// 1 where the result is larger, -1 where it is smaller, 0 where it is the label.
static tn_status mae_backward_expand(const tn_builder *b)
{
    return scaled(b, tni_call(b, "sign", error_of(b)));
}

static tn_status linear_backward_expand(const tn_builder *b)
{
    return scaled(b, error_of(b));
}

// clang-format off
#define REGRESSION_PARAMS                                                                   \
    .params = TN_PARAMS(                                                                    \
        TN_PARAM(regression_params, grad_scale, TN_P_F64, .def = "1.0",                     \
                 .doc = "the gradient is multiplied by it and divided by the number of "    \
                        "outputs per sample")),                                             \
    .params_size = sizeof(regression_params),                                               \
    .infer_shape = regression_shape, .infer_dtype = tni_dtype_label

#define REGRESSION                                                                          \
    .source = "MXNet 0.11, src/operator/regression_output-inl.h",                           \
    .inputs = TN_PORTS(                                                                     \
        TN_PORT(.name = "data", .doc = "(n, ...)"),                                         \
        TN_PORT(.name = "label", .flags = TN_PORT_NO_GRAD,                                  \
                .doc = "as data, or (n,) if that is (n, 1)")),                              \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),          \
    REGRESSION_PARAMS

#define BACKWARD                                                                            \
    .flags = TN_OP_INTERNAL | TN_OP_NO_GRAD,                                                \
    .inputs = TN_PORTS(TN_PORT(.name = "out", .doc = "result of the layer"),                \
                       TN_PORT(.name = "label")),                                           \
    .outputs = TN_PORTS(TN_PORT(.name = "output")), REGRESSION_PARAMS
// clang-format on

const tn_op_decl tni_op_linear_regression =
    TN_OP(.name = "LinearRegressionOutput", .flags = TN_OP_LOSS | TN_OP_IDENTITY,
          .doc = "Passes data on with the gradient of half the squared error against the label.",
          .family = "loss",
          .formula = "y = x;  dx = grad_scale / m * (y - label), m numbers a sample",
          .shape_rule = "output has the shape of data; label too, or (n,) for data (n, 1)",
          REGRESSION, .gradient = linear_gradient, .expand = identity_expand);

const tn_op_decl tni_op_logistic_regression =
    TN_OP(.name = "LogisticRegressionOutput", .flags = TN_OP_LOSS,
          .doc = "Sigmoid of data with the gradient of the logistic loss against the label.",
          .family = "loss",
          .formula =
              "y = 1 / (1 + exp(-x));  dx = grad_scale / m * (y - label), m numbers a sample",
          .shape_rule = "output has the shape of data; label too, or (n,) for data (n, 1)",
          REGRESSION, .gradient = linear_gradient, .expand = logistic_expand);

const tn_op_decl tni_op_backward_linear_regression =
    TN_OP(.name = "_backward_LinearRegressionOutput",
          .doc = "Gradient of LinearRegressionOutput and LogisticRegressionOutput. Has none of its "
                 "own, as the layer's output does not pass one on.",
          BACKWARD, .expand = linear_backward_expand);

const tn_op_decl tni_op_mae_regression =
    TN_OP(.name = "MAERegressionOutput", .c_name = "mae_regression_output",
          .flags = TN_OP_LOSS | TN_OP_IDENTITY,
          .doc = "Passes data on with the gradient of the absolute error against the label.",
          .family = "loss",
          .formula =
              "y = x;  dx = grad_scale / m * (1 where y > label, else -1), m numbers a sample",
          .shape_rule = "output has the shape of data; label too, or (n,) for data (n, 1)",
          REGRESSION, .gradient = mae_gradient, .expand = identity_expand);

const tn_op_decl tni_op_backward_mae_regression =
    TN_OP(.name = "_backward_MAERegressionOutput",
          .doc = "Gradient of MAERegressionOutput. Has none of its own, as the layer's output does "
                 "not pass one on.",
          BACKWARD, .expand = mae_backward_expand);
