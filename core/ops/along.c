// core/ops/along.c: machinery along one axis: _positions, _take_along and its gradient.
//
// Operators that look up, reorder or repeat elements along an axis expand into these: the first
// gives indices to calculate with, the second looks elements up by such indices.
#include "core/ops/ops.h"

typedef struct along_params {
    int64_t axis;
} along_params;

#define AXIS_PARAM                                                                    \
    .params = TN_PARAMS(TN_PARAM(along_params, axis, TN_P_I64,                        \
                                 .doc = "the axis; negative: counted from the end")), \
    .params_size = sizeof(along_params)

static tn_status find_axis(const tn_infer *io, int32_t ndim, int32_t *axis)
{
    const along_params *p = io->params;
    *axis = tn_axis(p->axis, ndim);
    if (*axis >= 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes", (long long)p->axis,
                         ndim);
}

// ------------------------------------------------------------------ _positions
//
//     output[…, i, …] = i, where i counts along the axis

static tn_status positions_shape(const tn_infer *io)
{
    int32_t axis;
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const tn_shape s = tni_shape(io, TNI_OUT(0));
    return s.ndim < 0 ? TN_OK : find_axis(io, s.ndim, &axis);
}

// A range, with an axis behind it for each that follows, stretched over the shape.
static tn_status positions_expand(const tn_builder *b)
{
    const along_params *p = b->params;
    const tn_shape s = *b->shape(b->ctx, tn_grad_in(b, 0));
    const int32_t axis = tn_axis(p->axis, s.ndim);
    char text[TN_TEXT];
    tn_text(text, "start=0; stop=%lld; dtype=int64", (long long)s.dim[axis]);
    tn_sym x = tn_emit(b, "_arange", text, NULL, 0);
    for (int32_t i = axis + 1; i < s.ndim; i++) x = tn_emit(b, "expand_dims", "axis=1", &x, 1);
    b->set_output(b->ctx, 0, tni_stretch(b, x, &s));
    return TN_OK;
}

static tn_status positions_dtype(const tn_infer *io)
{
    return tni_merge_dtype(io, TNI_OUT(0), TN_I64);
}

const tn_op_decl tni_op_positions =
    TN_OP(.name = "_positions", .flags = TN_OP_INTERNAL | TN_OP_ZERO_GRAD,
          .doc = "The index of each element along an axis, as int64.",
          .inputs = TN_PORTS(TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")), AXIS_PARAM,
          .infer_shape = positions_shape, .infer_dtype = positions_dtype,
          .expand = positions_expand);

// ------------------------------------------------------------------ _take_along
//
//     output[…, j, …] = data[…, index[…, j, …], …]
//
// An index outside is moved to the nearest end. The index has as many axes as data; besides the
// one axis, its extents are those of data, or 1 for an index that is the same all along.

static tn_status along_rule(const tn_infer *io, tni_slot whole, tni_slot index, tni_slot part)
{
    tn_shape w = tni_shape(io, whole), n = tni_shape(io, index), s = tni_shape(io, part);
    const int32_t ndim = w.ndim >= 0 ? w.ndim : n.ndim >= 0 ? n.ndim : s.ndim;
    int32_t axis;
    if (ndim < 0) return TN_OK;
    TNI_TRY(find_axis(io, ndim, &axis));
    if (w.ndim < 0) w = tn_shape_rank(ndim);
    if (n.ndim < 0) n = tn_shape_rank(ndim);
    TNI_TRY(tni_merge(io, index, n));
    const int64_t extent = w.dim[axis];
    w.dim[axis] = n.dim[axis];
    TNI_TRY(tni_merge(io, part, w));
    s = tni_shape(io, part);
    for (int32_t i = 0; i < ndim; i++) {
        w.dim[i] = i == axis ? extent : s.dim[i];
        if (i == axis) n.dim[i] = s.dim[i];
        if (i == axis || n.dim[i] < 0 || n.dim[i] == 1 || s.dim[i] < 0 || n.dim[i] == s.dim[i])
            continue;
        return tn_infer_fail(io, TN_E_SHAPE, "index: axis %d has %lld elements, wanted %lld or 1",
                             i, (long long)n.dim[i], (long long)s.dim[i]);
    }
    TNI_TRY(tni_merge(io, whole, w));
    return tni_merge(io, index, n);
}

static tn_status along_shape(const tn_infer *io)
{
    return along_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0));
}

static const char *along_text(char text[TN_TEXT], const along_params *p)
{
    return tn_text(text, "axis=%lld", (long long)p->axis);
}

static tn_status along_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_take_along", along_text(text, b->params), dy,
                            tn_grad_in(b, 1), tn_grad_in(b, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_take_along =
    TN_OP(.name = "_take_along", .flags = TN_OP_INTERNAL,
          .doc = "Looks up elements of data along an axis, each by an index of its own.",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data"), TN_PORT(.name = "index", .flags = TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), AXIS_PARAM, .infer_shape = along_shape,
          .infer_dtype = tni_dtype_all_but_in1, .gradient = along_gradient);

static tn_status along_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(along_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status along_backward_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_take_along", along_text(text, b->params), g, tn_grad_in(b, 1)));
    return TN_OK;
}

const tn_op_decl tni_op_backward_take_along =
    TN_OP(.name = "_backward_take_along", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of _take_along: adds the elements of dy up, each at its index.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"),
                             TN_PORT(.name = "index", .flags = TN_PORT_NO_GRAD), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")), AXIS_PARAM,
          .infer_shape = along_backward_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = along_backward_gradient);
