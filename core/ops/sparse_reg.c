// core/ops/sparse_reg.c: IdentityAttachKLSparseReg: a penalty on units that are active too often.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ IdentityAttachKLSparseReg
//
//     y = x;  dx = dy + penalty (-rho / avg + (1 - rho) / (1 - avg)),  rho = sparseness_target
//
// avg is the moving average of unit c, on axis 1; it is that of sigmoids, between 0 and 1. The
// gradient's run moves it before it is used:
//     moving_avg ← momentum · moving_avg + (1 - momentum) · mean of data over all axes but 1
// The term that is added is the derivative of the divergence of two coins, that show 1 with
// probability rho and avg. Source: Hinton, "A practical guide to training restricted Boltzmann
// machines", 2010, section 11.1.

typedef struct sparse_params {
    double sparseness_target, penalty, momentum;
} sparse_params;

// Slots of values in the shape of data, and of moving_avg.
static tn_status units_rule(const tn_infer *io, tni_slot data, tni_slot average)
{
    tn_shape x = tni_shape(io, data);
    if (x.ndim < 0) return tni_merge(io, average, tn_shape_rank(1));
    if (x.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted (n, c, ...), got %d axes", x.ndim);
    TNI_TRY(tni_merge(io, average, tn_shape_1d(x.dim[1])));
    x.dim[1] = tni_shape(io, average).dim[0];
    return tni_merge(io, data, x);
}

static tn_status sparse_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(units_rule(io, TNI_IN(0), TNI_IN(1)));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

// The average of half-precision data is float32; of other data it is as the data.
static tn_status average_dtype(const tn_infer *io, tni_slot data, tni_slot average)
{
    const tn_dtype d = tni_dtype(io, data);
    return tni_merge_dtype(io, average, d == TN_F16 || d == TN_BF16 ? TN_F32 : d);
}

static tn_status sparse_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    return average_dtype(io, TNI_IN(0), TNI_IN(1));
}

static tn_status sparse_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tni_call(b, "_copy", tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status sparse_gradient(const tn_builder *b)
{
    const sparse_params *p = b->params;
    char text[TN_TEXT], target[TNI_NUMBER], penalty[TNI_NUMBER], momentum[TNI_NUMBER];
    const tn_sym dy = tni_head_or_zeros(b, 0);
    tn_text(text, "sparseness_target=%s; penalty=%s; momentum=%s",
            tni_number(target, p->sparseness_target), tni_number(penalty, p->penalty),
            tni_number(momentum, p->momentum));
    tn_grad_set(b, 0,
                TN_EMIT(b, "_backward_IdentityAttachKLSparseReg", text, dy, tn_grad_in(b, 0),
                        tn_grad_in(b, 1)));
    return TN_OK;
}

// clang-format off
#define SPARSE_PARAMS                                                                       \
    .params = TN_PARAMS(                                                                    \
        TN_PARAM(sparse_params, sparseness_target, TN_P_F64, .def = "0.1",                  \
                 .range = "[0,1]", .doc = "how active units are meant to be on average"),   \
        TN_PARAM(sparse_params, penalty, TN_P_F64, .def = "0.001",                          \
                 .doc = "weight of the penalty"),                                           \
        TN_PARAM(sparse_params, momentum, TN_P_F64, .def = "0.9", .range = "[0,1]",         \
                 .doc = "how much of the moving average is kept")),                         \
    .params_size = sizeof(sparse_params)
#define AVERAGE                                                                             \
    TN_PORT(.name = "moving_avg", .flags = TN_PORT_AUX, .init = "[\"zero\", {}]",           \
            .doc = "(c,): moving average of each unit")
// clang-format on

const tn_op_decl tni_op_sparse_reg =
    TN_OP(.name = "IdentityAttachKLSparseReg", .c_name = "identity_attach_kl_sparse_reg",
          .flags = TN_OP_IDENTITY,
          .doc = "Passes the results of a sigmoid on, and adds to their gradient that of a penalty "
                 "on units whose average is not sparseness_target.",
          .family = "loss",
          .formula = "y = x;  dx = dy + penalty * (-rho / avg + (1 - rho) / (1 - avg)), rho = "
                     "sparseness_target, avg the moving average of a unit",
          .shape_rule = "output has the shape of data (n, c, ...); moving_avg (c,)",
          .source = "MXNet 0.11, src/operator/identity_attach_KL_sparse_reg-inl.h",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, ...), between 0 and 1"), AVERAGE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data")), SPARSE_PARAMS,
          .infer_shape = sparse_shape, .infer_dtype = sparse_dtype, .gradient = sparse_gradient,
          .expand = sparse_expand);

static tn_status backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(units_rule(io, TNI_IN(1), TNI_IN(2)));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    return tni_link(io, TNI_IN(1), TNI_IN(0));
}

static tn_status backward_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    return average_dtype(io, TNI_IN(1), TNI_IN(2));
}

const tn_op_decl tni_op_backward_sparse_reg =
    TN_OP(.name = "_backward_IdentityAttachKLSparseReg", .flags = TN_OP_INTERNAL | TN_OP_NO_GRAD,
          .doc = "Gradient of IdentityAttachKLSparseReg; moves its average. Has no gradient of its "
                 "own, as the average depends on the runs before.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "data"), AVERAGE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), SPARSE_PARAMS,
          .infer_shape = backward_shape, .infer_dtype = backward_dtype);
