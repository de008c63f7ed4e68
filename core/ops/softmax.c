// core/ops/softmax.c: softmax and log_softmax along one axis.
#include <math.h>

#include "core/base/base.h"
#include "core/ops/ops.h"

typedef struct softmax_params {
    int64_t axis;
    double temperature; // NaN: none
} softmax_params;

#define SOFTMAX_PARAMS                                                                           \
    .params =                                                                                    \
        TN_PARAMS(TN_PARAM(softmax_params, axis, TN_P_I64, .def = "-1",                          \
                           .doc = "axis that sums to 1; negative: from the end"),                \
                  TN_PARAM(softmax_params, temperature, TN_P_F64, .def = "None",                 \
                           .flags = TN_PF_NONE, .doc = "data is divided by it first; None: 1")), \
    .params_size = sizeof(softmax_params)

#define SOFTMAX_PORTS                                                   \
    .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")), \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data"))

#define BACKWARD_PORTS                                                         \
    .inputs = TN_PORTS(TN_PORT(.name = "dy", .doc = "gradient of the result"), \
                       TN_PORT(.name = "y", .doc = "the result")),             \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "gradient of the data"))

static tn_status softmax_check(const void *params, char *reason, size_t size)
{
    const softmax_params *p = params;
    if (isnan(p->temperature) || p->temperature != 0) return TN_OK;
    snprintf(reason, size, "temperature: wanted a number that is not 0");
    return TN_E_INVALID;
}

// All values have one shape, in which the axis exists.
static tn_status softmax_shape(const tn_infer *io)
{
    const softmax_params *p = io->params;
    for (uint32_t i = 0; i < io->n_in; i++) TNI_TRY(tni_link(io, TNI_IN(i), TNI_OUT(0)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const tn_shape s = tni_shape(io, TNI_OUT(0));
    if (s.ndim >= 0 && tn_axis(p->axis, s.ndim) < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                             (long long)p->axis, s.ndim);
    return TN_OK;
}

static tn_sym softmax_backward(const tn_builder *b, const char *op)
{
    const softmax_params *p = b->params;
    char text[TN_TEXT], number[TNI_NUMBER];
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return 0;
    if (isnan(p->temperature))
        tn_text(text, "axis=%lld", (long long)p->axis);
    else
        tn_text(text, "axis=%lld; temperature=%s", (long long)p->axis,
                tni_number(number, p->temperature));
    return TN_EMIT(b, op, text, dy, tn_grad_out(b, 0));
}

// Reduces x along the axis and keeps it with extent 1.
static tn_sym along_axis(const tn_builder *b, const char *reduction, tn_sym x)
{
    const softmax_params *p = b->params;
    char text[TN_TEXT];
    return tn_emit(b, reduction, tn_text(text, "axis=(%lld,); keepdims=1", (long long)p->axis), &x,
                   1);
}

static tn_sym over_temperature(const tn_builder *b, tn_sym x)
{
    const softmax_params *p = b->params;
    if (isnan(p->temperature) || p->temperature == 1) return x;
    return tni_call_scalar(b, "_div_scalar", x, p->temperature);
}

// x / T minus its largest value along the axis, so that exp() does not overflow.
static tn_sym shifted(const tn_builder *b)
{
    const tn_sym x = over_temperature(b, tn_grad_in(b, 0));
    return tni_call2(b, "broadcast_sub", x, along_axis(b, "max", x));
}

// ------------------------------------------------------------------ softmax
//
//     y = exp(x / T) / Σ exp(x / T),  dx = y (dy - Σ dy y) / T

static tn_status softmax_gradient(const tn_builder *b)
{
    tn_grad_set(b, 0, softmax_backward(b, "_backward_softmax"));
    return TN_OK;
}

static tn_status softmax_expand(const tn_builder *b)
{
    const tn_sym e = tni_call(b, "exp", shifted(b));
    b->set_output(b->ctx, 0, tni_call2(b, "broadcast_div", e, along_axis(b, "sum", e)));
    return TN_OK;
}

static tn_status softmax_backward_expand(const tn_builder *b)
{
    const tn_sym dy = tn_grad_in(b, 0), y = tn_grad_in(b, 1);
    const tn_sym mean = along_axis(b, "sum", tni_call2(b, "_mul", dy, y));
    const tn_sym dx = tni_call2(b, "_mul", y, tni_call2(b, "broadcast_sub", dy, mean));
    b->set_output(b->ctx, 0, over_temperature(b, dx));
    return TN_OK;
}

const tn_op_decl tni_op_softmax =
    TN_OP(.name = "softmax",
          .doc = "Softmax along an axis: exp(x / T) / sum(exp(x / T)). Not the loss layer of that "
                 "name in old files, which is Softmax.",
          .family = "function",
          .formula = "y = exp(x / T) / sum exp(x / T) along axis, T = temperature;  dx = y * (dy - "
                     "sum dy * y) / T",
          .shape_rule = "output has the shape of data",
          .source = "MXNet 1.x, src/operator/nn/softmax.cc", SOFTMAX_PORTS, SOFTMAX_PARAMS,
          .check = softmax_check, .infer_shape = softmax_shape, .gradient = softmax_gradient,
          .expand = softmax_expand);

const tn_op_decl tni_op_backward_softmax =
    TN_OP(.name = "_backward_softmax", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of softmax: y (dy - sum(dy y)) / T.", BACKWARD_PORTS, SOFTMAX_PARAMS,
          .check = softmax_check, .infer_shape = softmax_shape, .expand = softmax_backward_expand);

// ------------------------------------------------------------------ log_softmax
//
//     y = x / T - log Σ exp(x / T),  dx = (dy - exp(y) Σ dy) / T

static tn_status log_softmax_gradient(const tn_builder *b)
{
    tn_grad_set(b, 0, softmax_backward(b, "_backward_log_softmax"));
    return TN_OK;
}

static tn_status log_softmax_expand(const tn_builder *b)
{
    const tn_sym z = shifted(b);
    const tn_sym total = along_axis(b, "sum", tni_call(b, "exp", z));
    b->set_output(b->ctx, 0, tni_call2(b, "broadcast_sub", z, tni_call(b, "log", total)));
    return TN_OK;
}

static tn_status log_softmax_backward_expand(const tn_builder *b)
{
    const tn_sym dy = tn_grad_in(b, 0), y = tn_grad_in(b, 1);
    const tn_sym p = tni_call(b, "exp", y);
    const tn_sym shared = tni_call2(b, "broadcast_mul", p, along_axis(b, "sum", dy));
    b->set_output(b->ctx, 0, over_temperature(b, tni_call2(b, "_sub", dy, shared)));
    return TN_OK;
}

const tn_op_decl tni_op_log_softmax =
    TN_OP(.name = "log_softmax",
          .doc = "Logarithm of the softmax along an axis: x / T - log(sum(exp(x / T))).",
          .family = "function",
          .formula = "y = x / T - log sum exp(x / T) along axis, T = temperature;  dx = (dy - "
                     "exp(y) * sum dy) / T",
          .shape_rule = "output has the shape of data",
          .source = "MXNet 1.x, src/operator/nn/softmax.cc", SOFTMAX_PORTS, SOFTMAX_PARAMS,
          .check = softmax_check, .infer_shape = softmax_shape, .gradient = log_softmax_gradient,
          .expand = log_softmax_expand);

const tn_op_decl tni_op_backward_log_softmax =
    TN_OP(.name = "_backward_log_softmax", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of log_softmax: (dy - exp(y) sum(dy)) / T.", BACKWARD_PORTS,
          SOFTMAX_PARAMS, .check = softmax_check, .infer_shape = softmax_shape,
          .expand = log_softmax_backward_expand);
