// core/ops/channel.c: taking apart into equal parts and joining them: SliceChannel, stack.
#include <stdlib.h>

#include "core/ops/ops.h"

tn_sym tni_join_heads(const tn_builder *b, const char *op, const char *text)
{
    tn_sym *in = malloc((b->n_out + 1) * sizeof *in);
    if (!in) {
        b->fail(b->ctx, TN_E_NOMEM, "out of memory");
        return 0;
    }
    for (uint32_t i = 0; i < b->n_out; i++) in[i] = tni_head_or_zeros(b, i);
    const tn_sym joined = tn_emit(b, op, text, in, b->n_out);
    free(in);
    return joined;
}

tn_sym tni_segment(const tn_builder *b, tn_sym x, int64_t axis, int64_t begin, int64_t n)
{
    char text[TN_TEXT];
    tn_text(text, "axis=%lld; begin=%lld; end=%lld", (long long)axis, (long long)begin,
            (long long)(begin + n));
    return tn_emit(b, "slice_axis", text, &x, 1);
}

// ------------------------------------------------------------------ SliceChannel
//
//     output i = part i of n equal parts of data along the axis; squeeze_axis drops an axis of 1

typedef struct channel_params {
    int64_t num_outputs, axis; // num_args of the backward operator stands in num_outputs
    int32_t squeeze_axis;
} channel_params;

// The rule between the whole and its first part; all parts are alike.
static tn_status channel_rule(const tn_infer *io, tni_slot whole, tni_slot part)
{
    const channel_params *p = io->params;
    tn_shape w = tni_shape(io, whole);
    const tn_shape known = tni_shape(io, part);
    const int32_t ndim = w.ndim >= 0 ? w.ndim : known.ndim < 0 ? -1 : known.ndim + p->squeeze_axis;
    if (ndim < 0) return TN_OK;
    const int32_t axis = tn_axis(p->axis, ndim);
    if (axis < 0 || ndim > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                             (long long)p->axis, ndim);
    if (w.ndim < 0) w = tn_shape_rank(ndim);
    if (p->squeeze_axis && w.dim[axis] < 0) w.dim[axis] = p->num_outputs;
    const int64_t extent = w.dim[axis], n = p->num_outputs;
    if (extent >= 0 && (extent % n || (p->squeeze_axis && extent != n)))
        return tn_infer_fail(io, TN_E_SHAPE, "axis %d has extent %lld, wanted %s%lld", axis,
                             (long long)extent, p->squeeze_axis ? "" : "a multiple of ",
                             (long long)n);
    const int32_t kept = ndim - p->squeeze_axis;
    tn_shape s = tn_shape_rank(kept);
    for (int32_t i = 0; i < kept; i++) s.dim[i] = w.dim[i + (p->squeeze_axis && i >= axis)];
    if (!p->squeeze_axis) s.dim[axis] = extent < 0 ? -1 : extent / n;
    TNI_TRY(tni_merge(io, part, s));
    s = tni_shape(io, part);
    for (int32_t i = 0; i < kept; i++) w.dim[i + (p->squeeze_axis && i >= axis)] = s.dim[i];
    if (!p->squeeze_axis && __builtin_mul_overflow(s.dim[axis], n, &w.dim[axis]))
        return tn_infer_fail(io, TN_E_SHAPE, "the extent along axis %d is too large", axis);
    if (w.dim[axis] < 0) w.dim[axis] = -1;
    return tni_merge(io, whole, w);
}

static tn_status channel_shape(const tn_infer *io)
{
    for (uint32_t i = 1; i < io->n_out; i++) TNI_TRY(tni_link(io, TNI_OUT(0), TNI_OUT(i)));
    TNI_TRY(channel_rule(io, TNI_IN(0), TNI_OUT(0)));
    for (uint32_t i = 1; i < io->n_out; i++) TNI_TRY(tni_link(io, TNI_OUT(0), TNI_OUT(i)));
    return TN_OK;
}

static tn_status channel_backward_shape(const tn_infer *io)
{
    for (uint32_t i = 1; i < io->n_in; i++) TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(i)));
    TNI_TRY(channel_rule(io, TNI_OUT(0), TNI_IN(0)));
    for (uint32_t i = 1; i < io->n_in; i++) TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(i)));
    return TN_OK;
}

static tn_status channel_gradient(const tn_builder *b)
{
    const channel_params *p = b->params;
    char text[TN_TEXT];
    tn_text(text, "num_args=%lld; axis=%lld; squeeze_axis=%d", (long long)p->num_outputs,
            (long long)p->axis, p->squeeze_axis);
    tn_grad_set(b, 0, tni_join_heads(b, "_backward_SliceChannel", text));
    return TN_OK;
}

static tn_status channel_backward_gradient(const tn_builder *b)
{
    const channel_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK;
    tn_text(text, "num_outputs=%lld; axis=%lld; squeeze_axis=%d", (long long)p->num_outputs,
            (long long)p->axis, p->squeeze_axis);
    const tn_sym first = tn_emit(b, "SliceChannel", text, &dy, 1);
    for (uint32_t i = 0; i < b->n_in; i++) tn_grad_set(b, i, b->result(b->ctx, first, i));
    return TN_OK;
}

// x without an axis of extent 1, which is multiplied into its neighbour.
static tn_sym without_axis(const tn_builder *b, tn_sym x, int32_t axis, int32_t ndim)
{
    int64_t codes[TN_MAX_NDIM + 2] = {0};
    char text[TNI_LONG_TEXT] = "";
    size_t n = (size_t)(axis + 1 < ndim ? axis : axis - 1);
    codes[n++] = -3;
    codes[n++] = -2;
    tni_text_list(text, "shape", (tn_ints){n, codes});
    return tn_emit(b, "Reshape", text, &x, 1);
}

static tn_status channel_expand(const tn_builder *b)
{
    const channel_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const tn_shape s = *b->shape(b->ctx, x);
    const int32_t axis = tn_axis(p->axis, s.ndim);
    const int64_t n = s.dim[axis] / p->num_outputs;
    if (p->squeeze_axis && s.ndim == 1)
        return b->fail(b->ctx, TN_E_UNSUPPORTED, "SliceChannel: no simpler operator gives scalars");
    for (uint32_t i = 0; i < b->n_out; i++) {
        const tn_sym part = tni_segment(b, x, axis, i * n, n);
        b->set_output(b->ctx, i, p->squeeze_axis ? without_axis(b, part, axis, s.ndim) : part);
    }
    return TN_OK;
}

static tn_status channel_backward_expand(const tn_builder *b)
{
    const channel_params *p = b->params;
    const int32_t ndim = b->shape(b->ctx, tn_grad_in(b, 0))->ndim + p->squeeze_axis;
    const int32_t axis = tn_axis(p->axis, ndim);
    char text[TN_TEXT];
    tn_sym *in = malloc((b->n_in + 1) * sizeof *in);
    if (!in) return b->fail(b->ctx, TN_E_NOMEM, "out of memory");
    tn_text(text, "axis=%d", axis);
    for (uint32_t i = 0; i < b->n_in; i++) {
        in[i] = tn_grad_in(b, i);
        if (p->squeeze_axis) in[i] = tn_emit(b, "expand_dims", text, &in[i], 1);
    }
    tn_text(text, "num_args=%u; dim=%d", b->n_in, axis);
    b->set_output(b->ctx, 0, tn_emit(b, "Concat", text, in, b->n_in));
    free(in);
    return TN_OK;
}

#define CHANNEL_PARAMS                                                    \
    TN_PARAM(channel_params, axis, TN_P_I64, .def = "1",                  \
             .doc = "axis to take apart; negative: from the end"),        \
        TN_PARAM(channel_params, squeeze_axis, TN_P_BOOL, .def = "False", \
                 .doc = "drop the axis; its parts must have extent 1")

const tn_op_decl tni_op_slice_channel =
    TN_OP(.name = "SliceChannel", .aliases = "split",
          .doc = "Takes data apart into equal parts along an axis.", .family = "shape",
          .formula = "output i = part i of num_outputs equal parts along axis",
          .shape_rule =
              "each extent d along axis -> d / num_outputs; squeeze_axis drops an axis of 1",
          .source = "MXNet 0.11, src/operator/slice_channel-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "num_outputs divides the axis")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "one part")),
          .params = TN_PARAMS(TN_PARAM(channel_params, num_outputs, TN_P_I64, .range = "[1,65000]",
                                       .doc = "number of parts"),
                              CHANNEL_PARAMS),
          .params_size = sizeof(channel_params), .count_outputs = "num_outputs",
          .infer_shape = channel_shape, .gradient = channel_gradient, .expand = channel_expand);

const tn_op_decl tni_op_backward_slice_channel =
    TN_OP(.name = "_backward_SliceChannel", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of SliceChannel: joins equal parts along an axis, a new one with "
                 "squeeze_axis.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy", .flags = TN_PORT_VARIADIC)),
          .outputs = TN_PORTS(TN_PORT(.name = "output")),
          .params =
              TN_PARAMS(&(const tn_param_decl){.struct_size = sizeof(tn_param_decl),
                                               .type = TN_P_I64,
                                               .name = "num_args",
                                               .offset = offsetof(channel_params, num_outputs),
                                               .range = "[1,)",
                                               .doc = "number of parts"},
                        CHANNEL_PARAMS),
          .params_size = sizeof(channel_params), .count = "num_args",
          .infer_shape = channel_backward_shape, .gradient = channel_backward_gradient,
          .expand = channel_backward_expand);

// ------------------------------------------------------------------ stack
//
// The inverse of SliceChannel with squeeze_axis, so that operator's gradient does the work.

typedef struct stack_params {
    int64_t axis, num_args;
} stack_params;

static tn_status stack_shape(const tn_infer *io)
{
    const stack_params *p = io->params;
    const channel_params as = {.num_outputs = p->num_args, .axis = p->axis, .squeeze_axis = 1};
    tn_infer parts_io = *io;
    parts_io.params = &as;
    return channel_backward_shape(&parts_io);
}

static tn_status stack_expand(const tn_builder *b)
{
    const stack_params *p = b->params;
    char text[TN_TEXT];
    tn_sym *in = malloc((b->n_in + 1) * sizeof *in);
    if (!in) return b->fail(b->ctx, TN_E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < b->n_in; i++) in[i] = tn_grad_in(b, i);
    tn_text(text, "num_args=%u; axis=%lld; squeeze_axis=1", b->n_in, (long long)p->axis);
    b->set_output(b->ctx, 0, tn_emit(b, "_backward_SliceChannel", text, in, b->n_in));
    free(in);
    return TN_OK;
}

const tn_op_decl tni_op_stack =
    TN_OP(.name = "stack", .doc = "Joins its inputs along a new axis.", .family = "shape",
          .formula = "y[...,i,...] = arg_i",
          .shape_rule = "(a, b) each -> (a, b) with a new axis of num_args at axis",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op.cc",
          .inputs = TN_PORTS(
              TN_PORT(.name = "arg", .flags = TN_PORT_VARIADIC, .doc = "all of one shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "inputs, with one more axis")),
          .params = TN_PARAMS(TN_PARAM(stack_params, axis, TN_P_I64, .def = "0",
                                       .doc = "place of the new axis; negative: from the end"),
                              TN_PARAM(stack_params, num_args, TN_P_I64, .range = "[1,)",
                                       .doc = "number of inputs; filled in by the caller's list")),
          .params_size = sizeof(stack_params), .count = "num_args", .infer_shape = stack_shape,
          .expand = stack_expand);
