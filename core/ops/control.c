// core/ops/control.c: passing on, choosing, adding up, changing the dtype; and the core's own copy
// and reorder nodes.
#include "core/base/base.h"
#include "core/ops/fused.h"
#include "core/ops/ops.h"

#define DATA TN_PORT(.name = "data", .doc = "of any shape")
#define OUTPUT TN_PORT(.name = "output", .doc = "in the shape of data")

// dx = dy
static tn_status pass_gradient(const tn_builder *b)
{
    tn_grad_set(b, 0, tn_grad_head(b, 0));
    return TN_OK;
}

static tn_status copy_expand(const tn_builder *b)
{
    return tni_expanded(b, tn_grad_in(b, 0));
}

// ------------------------------------------------------------------ _copy, BlockGrad

const tn_op_decl tni_op_identity =
    TN_OP(.name = "_copy", .aliases = "identity", .c_name = "identity", .flags = TN_OP_IDENTITY,
          .doc = "Passes its input on.", .family = "control", .formula = "y = x,  dx = dy",
          .source = "MXNet 0.11, src/operator/tensor/elemwise_unary_op.cc",
          .inputs = TN_PORTS(DATA), .outputs = TN_PORTS(OUTPUT), .gradient = pass_gradient);

// In MXNet a function that copies from array to array; as a symbol it is _copy.
static tn_status copyto_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tni_call(b, "_copy", tn_grad_in(b, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_copyto =
    TN_OP(.name = "_copyto", .c_name = "copyto", .flags = TN_OP_IDENTITY,
          .doc = "Passes its input on.", .family = "control", .formula = "y = x,  dx = dy",
          .source = "MXNet 0.11, src/ndarray/ndarray.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "src", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of src")),
          .gradient = pass_gradient, .expand = copyto_expand);

const tn_op_decl tni_op_block_grad =
    TN_OP(.name = "BlockGrad", .aliases = "stop_gradient",
          .flags = TN_OP_IDENTITY | TN_OP_ZERO_GRAD,
          .doc = "Passes its input on, but no gradient back.", .family = "control",
          .formula = "y = x,  dx = 0",
          .source = "MXNet 0.11, src/operator/tensor/elemwise_unary_op.cc",
          .inputs = TN_PORTS(DATA), .outputs = TN_PORTS(OUTPUT), .expand = copy_expand);

const tn_op_decl tni_op_identity_like =
    TN_OP(.name = "_identity_with_attr_like_rhs", .flags = TN_OP_IDENTITY | TN_OP_INTERNAL,
          .doc = "Passes lhs on, which has the shape and dtype of rhs.",
          .source = "MXNet 0.11, src/operator/tensor/elemwise_unary_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs"),
                             TN_PORT(.name = "rhs", .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .gradient = pass_gradient,
          .expand = copy_expand);

// ------------------------------------------------------------------ Cast
//
// Floating numbers are truncated on the way to integers. The gradient goes back to the dtype of
// the data, which may not be known before a bind: _cast_like finds it out.

typedef struct cast_params {
    tn_dtype dtype;
} cast_params;

static tn_status cast_dtype(const tn_infer *io)
{
    return tni_merge_dtype(io, TNI_OUT(0), ((const cast_params *)io->params)->dtype);
}

static tn_status cast_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "_cast_like", dy, tn_grad_in(b, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_cast =
    TN_OP(.name = "Cast", .aliases = "cast", .doc = "Changes the dtype; integers truncate.",
          .family = "control",
          .formula = "y = x in another dtype; numbers lose their fraction on the way to integers;  "
                     "dx = dy in the dtype of x",
          .source = "MXNet 0.11, src/operator/tensor/elemwise_unary_op.cc",
          .inputs = TN_PORTS(DATA), .outputs = TN_PORTS(OUTPUT),
          .params = TN_PARAMS(TN_PARAM(cast_params, dtype, TN_P_DTYPE, .doc = "of the output")),
          .params_size = sizeof(cast_params), .infer_dtype = cast_dtype, .gradient = cast_gradient);

static tn_status cast_like_dtype(const tn_infer *io)
{
    return tni_link_dtype(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status cast_like_expand(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym x = tn_grad_in(b, 0);
    const tn_dtype dtype = b->dtype(b->ctx, tn_grad_in(b, 1));
    if (dtype == TN_DTYPE_NONE)
        return b->fail(b->ctx, TN_E_DTYPE, "_cast_like: the dtype of rhs is not known");
    b->set_output(b->ctx, 0,
                  tn_emit(b, "Cast", tn_text(text, "dtype=%s", tn_dtype_name(dtype)), &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_cast_like =
    TN_OP(.name = "_cast_like", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of Cast: lhs in the dtype of rhs, whose shape it has.",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs"),
                             TN_PORT(.name = "rhs", .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_dtype = cast_like_dtype,
          .gradient = cast_gradient, .expand = cast_like_expand);

// ------------------------------------------------------------------ where
//
//     output = condition ≠ 0 ? x : y, elementwise, or by rows for a condition of one axis

static tn_status where_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    const tn_shape c = tni_shape(io, TNI_IN(0)), x = tni_shape(io, TNI_OUT(0));
    if (c.ndim < 0 || x.ndim < 0) return TN_OK;
    if (c.ndim != 1 || x.ndim < 2) {
        TNI_TRY(tni_link(io, TNI_OUT(0), TNI_IN(0)));
    } else {
        tn_shape rows = tn_shape_rank(x.ndim);
        rows.dim[0] = c.dim[0];
        TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_1d(x.dim[0])));
        TNI_TRY(tni_merge(io, TNI_OUT(0), rows));
    }
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status where_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(1), TNI_IN(2)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(1), TNI_OUT(0)));
    return tni_link_dtype(io, TNI_IN(1), TNI_IN(2));
}

static tn_status where_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0), condition = tn_grad_in(b, 0);
    if (!dy) return TN_OK;
    const tn_sym zero = tni_call(b, "zeros_like", dy);
    tn_grad_set(b, 1, TN_EMIT(b, "where", NULL, condition, dy, zero));
    tn_grad_set(b, 2, TN_EMIT(b, "where", NULL, condition, zero, dy));
    return TN_OK;
}

const tn_op_decl tni_op_where =
    TN_OP(.name = "where", .flags = TN_OP_ELEMENTWISE,
          .doc = "Takes elements of x where the condition is not 0, else of y.",
          .family = "indexing",
          .formula =
              "output = x where condition is not 0, else y;  gradients go where values came from",
          .shape_rule = "x, y and output have one shape; condition too, or (d0,)",
          .source = "MXNet 0.11, src/operator/tensor/control_flow_op.h",
          .inputs = TN_PORTS(TN_PORT(.name = "condition", .flags = TN_PORT_NO_GRAD,
                                     .doc = "in the shape of x, or (n,) to choose rows"),
                             TN_PORT(.name = "x", .doc = "(n, ...)"),
                             TN_PORT(.name = "y", .doc = "in the shape of x")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of x")),
          .infer_shape = where_shape, .infer_dtype = where_dtype, .gradient = where_gradient);

// ------------------------------------------------------------------ add_n, _grad_add

typedef struct add_params {
    int64_t num_args;
} add_params;

static tn_status add_gradient(const tn_builder *b)
{
    for (uint32_t i = 0; i < b->n_in; i++) tn_grad_set(b, i, tn_grad_head(b, 0));
    return TN_OK;
}

static tn_status add_expand(const tn_builder *b)
{
    tn_sym sum = tn_grad_in(b, 0);
    for (uint32_t i = 1; i < b->n_in; i++)
        sum = tni_call2(b, "elemwise_add", sum, tn_grad_in(b, i));
    b->set_output(b->ctx, 0, b->n_in == 1 ? tni_call(b, "_copy", sum) : sum);
    return TN_OK;
}

const tn_op_decl tni_op_add_n =
    TN_OP(.name = "add_n", .aliases = "ElementWiseSum", .flags = TN_OP_ELEMENTWISE,
          .doc = "Sum of all inputs, elementwise.", .family = "arithmetic",
          .formula = "y = arg0 + arg1 + ...;  darg_i = dy",
          .source = "MXNet 0.11, src/operator/tensor/elemwise_sum.cc",
          .inputs = TN_PORTS(
              TN_PORT(.name = "arg", .flags = TN_PORT_VARIADIC, .doc = "all of one shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of the inputs")),
          .params = TN_PARAMS(TN_PARAM(add_params, num_args, TN_P_I64, .range = "[1,)",
                                       .doc = "number of inputs; filled in by the caller's list")),
          .params_size = sizeof(add_params), .count = "num_args", .gradient = add_gradient,
          .expand = add_expand);

const tn_op_decl tni_op_grad_add =
    TN_OP(.name = "_grad_add", .flags = TN_OP_INTERNAL | TN_OP_ELEMENTWISE,
          .doc = "lhs + rhs: adds a gradient to an older one.",
          .source = "MXNet 0.11, src/operator/tensor/elemwise_binary_op_basic.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs"), TN_PORT(.name = "rhs")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .gradient = add_gradient,
          .expand = add_expand);

// ------------------------------------------------------------------ _fused, _multi
//
// What the core puts in place of nodes that run as one, and of calls of one operator that run side
// by side: see tn_call.parts. Their inputs and outputs are those of the parts.

static tn_status fused_rule(const tn_infer *io)
{
    (void)io; // it is made after inference
    return TN_OK;
}

#define OF_PARTS                                                                                  \
    .flags = TN_OP_INTERNAL | TN_OP_NO_GRAD,                                                      \
    .inputs = TN_PORTS(TN_PORT(.name = "arg", .flags = TN_PORT_VARIADIC)),                        \
    .outputs = TN_PORTS(TN_PORT(.name = "output")),                                               \
    .params = TN_PARAMS(TN_PARAM(tni_fused_params, num_args, TN_P_I64, .range = "[0,)",           \
                                 .doc = "number of inputs"),                                      \
                        TN_PARAM(tni_fused_params, num_outputs, TN_P_I64, .range = "[1,)",        \
                                 .doc = "number of outputs"),                                     \
                        TN_PARAM(tni_fused_params, states, TN_P_I64, .def = "0", .range = "[0,)", \
                                 .doc = "bit i is set: input i is an auxiliary state")),          \
    .params_size = sizeof(tni_fused_params), .count = "num_args", .count_outputs = "num_outputs", \
    .infer_shape = fused_rule, .infer_dtype = fused_rule

const tn_op_decl tni_op_fused =
    TN_OP(.name = "_fused",
          .doc = "Several operators that run as one kernel. Made by the core at bind.", OF_PARTS);

const tn_op_decl tni_op_multi =
    TN_OP(.name = "_multi",
          .doc = "Several calls of one operator, none of which reads another's results, that run "
                 "as one kernel. Made by the core at bind.",
          OF_PARTS);

// ------------------------------------------------------------------ _CrossDeviceCopy, _reorder
//
// Put in by the core where a value changes its memory or its layout; no backend has a kernel of
// that name: the executor copies, and prepare_reorder() of a backend reorders.

const tn_op_decl tni_op_cross_device_copy =
    TN_OP(.name = "_CrossDeviceCopy", .flags = TN_OP_INTERNAL,
          .doc = "Copies a value to another device.", .source = "MXNet 0.11",
          .inputs = TN_PORTS(DATA), .outputs = TN_PORTS(OUTPUT), .gradient = pass_gradient);

const tn_op_decl tni_op_reorder =
    TN_OP(.name = "_reorder", .flags = TN_OP_INTERNAL,
          .doc = "Brings a value into another layout in memory.", .inputs = TN_PORTS(DATA),
          .outputs = TN_PORTS(OUTPUT), .gradient = pass_gradient);
