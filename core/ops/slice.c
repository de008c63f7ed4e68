// core/ops/slice.c: slice and slice_axis, and the operators that put a slice back into zeros.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ slice
//
//     output = data[begin:end:step], axis by axis, as in NumPy
//
// A negative begin or end counts from the end of the axis; None is the end that step comes from or
// goes to; what lies outside is cut off, and a slice may be empty. Axes without entries stay whole.

typedef struct slice_params {
    tn_ints begin, end, step;
    double scalar; // of _crop_assign_scalar
} slice_params;

static tn_status slice_check(const void *params, char *reason, size_t size)
{
    const slice_params *p = params;
    if (p->begin.n != p->end.n || (p->step.n && p->step.n != p->begin.n)) {
        snprintf(reason, size,
                 "begin, end and step have %zu, %zu and %zu entries: wanted equally "
                 "many",
                 p->begin.n, p->end.n, p->step.n);
        return TN_E_INVALID;
    }
    for (size_t i = 0; i < p->step.n; i++) {
        if (p->step.v[i] != 0) continue;
        snprintf(reason, size, "step: 0 for axis %zu", i);
        return TN_E_INVALID;
    }
    return TN_OK;
}

// A position on an axis of n elements, negative ones from its end, cut off at low and high.
static int64_t position(int64_t at, int64_t n, int64_t low, int64_t high)
{
    if (at < 0) at += n;
    return at < low ? low : at > high ? high : at;
}

// Elements of slice `axis` of an axis of n elements; -1 if n is unknown and matters.
static int64_t slice_extent(const slice_params *p, size_t axis, int64_t n)
{
    const int64_t b = p->begin.v[axis], e = p->end.v[axis];
    const bool given = p->step.n && p->step.v[axis] != TN_NONE_I64;
    const int64_t step = given ? p->step.v[axis] : 1;
    if (n < 0) return -1;
    if (step > 0) {
        const int64_t from = b == TN_NONE_I64 ? 0 : position(b, n, 0, n);
        const int64_t to = e == TN_NONE_I64 ? n : position(e, n, 0, n);
        return to <= from ? 0 : (to - from - 1) / step + 1;
    }
    const int64_t from = b == TN_NONE_I64 ? n - 1 : position(b, n, -1, n - 1);
    const int64_t to = e == TN_NONE_I64 ? -1 : position(e, n, -1, n - 1);
    return from <= to ? 0 : (from - to - 1) / -step + 1;
}

// Is the whole axis taken, whatever its extent?
static bool takes_all(const slice_params *p, size_t axis)
{
    const int64_t step = p->step.n ? p->step.v[axis] : 1;
    if (axis >= p->begin.n) return true;
    if (step == -1) return p->begin.v[axis] == TN_NONE_I64 && p->end.v[axis] == TN_NONE_I64;
    return (step == 1 || step == TN_NONE_I64) && p->end.v[axis] == TN_NONE_I64 &&
           (p->begin.v[axis] == TN_NONE_I64 || p->begin.v[axis] == 0);
}

static tn_status slice_rule(const tn_infer *io, tni_slot whole, tni_slot part)
{
    const slice_params *p = io->params;
    tn_shape w = tni_shape(io, whole), s = tni_shape(io, part);
    const int32_t ndim = w.ndim >= 0 ? w.ndim : s.ndim;
    if (ndim < 0) return TN_OK;
    if ((size_t)ndim < p->begin.n)
        return tn_infer_fail(io, TN_E_SHAPE, "begin and end: %zu entries for a value with %d axes",
                             p->begin.n, ndim);
    if (w.ndim < 0) w = tn_shape_rank(ndim);
    tn_shape wanted = w;
    for (size_t i = 0; i < p->begin.n; i++)
        wanted.dim[i] = takes_all(p, i) ? w.dim[i] : slice_extent(p, i, w.dim[i]);
    TNI_TRY(tni_merge(io, part, wanted));
    s = tni_shape(io, part);
    for (int32_t i = 0; i < ndim; i++)
        if (takes_all(p, (size_t)i)) w.dim[i] = s.dim[i];
    return tni_merge(io, whole, w);
}

static const char *slice_text(char text[TNI_LONG_TEXT], const slice_params *p)
{
    text[0] = 0;
    tni_text_list(text, "begin", p->begin);
    tni_text_list(text, "end", p->end);
    tni_text_list(text, "step", p->step);
    return text;
}

static tn_status slice_shape(const tn_infer *io)
{
    return slice_rule(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status slice_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(
            b, 0, TN_EMIT(b, "_backward_slice", slice_text(text, b->params), dy, tn_grad_in(b, 0)));
    return TN_OK;
}

#define SLICE_PARAMS                                                                              \
    .params = TN_PARAMS(TN_PARAM(slice_params, begin, TN_P_I64S, .flags = TN_PF_NONE,             \
                                 .doc = "first position on each axis, or None"),                  \
                        TN_PARAM(slice_params, end, TN_P_I64S, .flags = TN_PF_NONE,               \
                                 .doc = "position behind the last one, or None"),                 \
                        TN_PARAM(slice_params, step, TN_P_I64S, .flags = TN_PF_NONE, .def = "()", \
                                 .doc = "step on each axis; negative: backwards")),               \
    .params_size = sizeof(slice_params), .check = slice_check

#define WHOLE_PORTS                                                                              \
    .inputs =                                                                                    \
        TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "like", .doc = "gives the shape",        \
                                                .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)), \
    .outputs = TN_PORTS(TN_PORT(.name = "output"))

const tn_op_decl tni_op_slice =
    TN_OP(.name = "slice", .aliases = "crop",
          .doc =
              "A part of data: data[begin:end:step] on each axis, as in NumPy. Not the layer Crop.",
          .family = "shape", .formula = "y = data[begin:end:step], axis by axis",
          .shape_rule = "each sliced extent -> ceil((end - begin) / step), cut off at 0 and the "
                        "extent; other axes stay",
          .source = "MXNet 1.x, src/operator/tensor/matrix_op-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the part")), SLICE_PARAMS,
          .infer_shape = slice_shape, .gradient = slice_gradient);

static tn_status slice_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(slice_rule(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status slice_backward_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, tn_emit(b, "slice", slice_text(text, b->params), &g, 1));
    return TN_OK;
}

const tn_op_decl tni_op_backward_slice =
    TN_OP(.name = "_backward_slice", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of slice: zeros in the shape of like, with dy where the slice was.",
          WHOLE_PORTS, SLICE_PARAMS, .infer_shape = slice_backward_shape,
          .gradient = slice_backward_gradient);

// ------------------------------------------------------------------ _slice_assign
//
//     output = lhs, but output[begin:end:step] = rhs, or a number

static tn_status assign_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(slice_rule(io, TNI_OUT(0), TNI_IN(1)));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

// `x`, with the values of `all` where the slice `part` is.
static void assign(const tn_builder *b, tn_sym x, tn_sym part, tn_sym all)
{
    char text[TNI_LONG_TEXT];
    const tn_sym ones = tni_call(b, "ones_like", part);
    const tn_sym inside = TN_EMIT(b, "_backward_slice", slice_text(text, b->params), ones, x);
    b->set_output(b->ctx, 0, TN_EMIT(b, "where", NULL, inside, all, x));
}

static tn_status assign_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym x = tn_grad_in(b, 0), part = tn_grad_in(b, 1);
    assign(b, x, part, TN_EMIT(b, "_backward_slice", slice_text(text, b->params), part, x));
    return TN_OK;
}

const tn_op_decl tni_op_slice_assign =
    TN_OP(.name = "_slice_assign", .aliases = "_crop_assign", .c_name = "slice_assign",
          .doc = "lhs with the part that slice would take replaced by rhs.", .family = "shape",
          .formula = "y = lhs, but y[begin:end:step] = rhs",
          .shape_rule = "output has the shape of lhs; rhs that of the slice",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h; step from 1.x",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "of any shape"),
                             TN_PORT(.name = "rhs", .doc = "in the shape of the part")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of lhs")),
          SLICE_PARAMS, .infer_shape = assign_shape, .expand = assign_expand);

static tn_status assign_scalar_shape(const tn_infer *io)
{
    const slice_params *p = io->params;
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const int32_t ndim = tni_shape(io, TNI_OUT(0)).ndim;
    if (ndim < 0 || (size_t)ndim >= p->begin.n) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "begin and end: %zu entries for a value with %d axes",
                         p->begin.n, ndim);
}

static tn_status assign_scalar_expand(const tn_builder *b)
{
    const slice_params *p = b->params;
    char text[TNI_LONG_TEXT];
    const tn_sym x = tn_grad_in(b, 0);
    const tn_sym part = tn_emit(b, "slice", slice_text(text, p), &x, 1);
    const tn_sym zeros = tni_call(b, "zeros_like", x);
    assign(b, x, part, tni_call_scalar(b, "_plus_scalar", zeros, p->scalar));
    return TN_OK;
}

const tn_op_decl tni_op_slice_assign_scalar =
    TN_OP(.name = "_crop_assign_scalar", .c_name = "slice_assign_scalar",
          .doc = "data with the part data[begin:end] replaced by a number.", .family = "shape",
          .formula = "y = data, but y[begin:end:step] = scalar",
          .shape_rule = "output has the shape of data",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .params =
              TN_PARAMS(TN_PARAM(slice_params, scalar, TN_P_F64, .def = "0.0", .doc = "the number"),
                        TN_PARAM(slice_params, begin, TN_P_I64S, .flags = TN_PF_NONE,
                                 .doc = "first position on each axis, or None"),
                        TN_PARAM(slice_params, end, TN_P_I64S, .flags = TN_PF_NONE,
                                 .doc = "position behind the last one, or None")),
          .params_size = sizeof(slice_params), .check = slice_check,
          .infer_shape = assign_scalar_shape, .expand = assign_scalar_expand);

// ------------------------------------------------------------------ slice_axis
//
//     output = data[begin:end] on one axis; 0 ≤ begin ≤ end ≤ extent once negative ones are counted
//     from the end of the axis

typedef struct slice_axis_params {
    int64_t axis, begin, end;
} slice_axis_params;

static tn_status slice_axis_rule(const tn_infer *io, tni_slot whole, tni_slot part)
{
    const slice_axis_params *p = io->params;
    tn_shape w = tni_shape(io, whole), s = tni_shape(io, part);
    const int32_t ndim = w.ndim >= 0 ? w.ndim : s.ndim;
    if (ndim < 0) return TN_OK;
    const int32_t axis = tn_axis(p->axis, ndim);
    if (axis < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                             (long long)p->axis, ndim);
    if (w.ndim < 0) w = tn_shape_rank(ndim);
    tn_shape wanted = w;
    const int64_t n = w.dim[axis];
    if (n >= 0) {
        const int64_t from = p->begin < 0 ? p->begin + n : p->begin;
        const int64_t to = p->end == TN_NONE_I64 ? n : p->end < 0 ? p->end + n : p->end;
        if (from < 0 || to < from || to > n)
            return tn_infer_fail(io, TN_E_SHAPE,
                                 "begin and end: %lld to %lld of an axis of extent %lld",
                                 (long long)from, (long long)to, (long long)n);
        wanted.dim[axis] = to - from;
    } else if (p->end != TN_NONE_I64 && (p->begin < 0) == (p->end < 0) && p->end >= p->begin) {
        wanted.dim[axis] = p->end - p->begin; // whatever the extent is
    }
    TNI_TRY(tni_merge(io, part, wanted));
    s = tni_shape(io, part);
    for (int32_t i = 0; i < ndim; i++)
        if (i != axis) w.dim[i] = s.dim[i];
    return tni_merge(io, whole, w);
}

static const char *slice_axis_text(char text[TN_TEXT], const slice_axis_params *p)
{
    if (p->end == TN_NONE_I64)
        return tn_text(text, "axis=%lld; begin=%lld; end=None", (long long)p->axis,
                       (long long)p->begin);
    return tn_text(text, "axis=%lld; begin=%lld; end=%lld", (long long)p->axis, (long long)p->begin,
                   (long long)p->end);
}

static tn_status slice_axis_shape(const tn_infer *io)
{
    return slice_axis_rule(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status slice_axis_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_slice_axis", slice_axis_text(text, b->params), dy,
                            tn_grad_in(b, 0)));
    return TN_OK;
}

// Parameters of slice for the same part of a value of that shape.
static const char *as_slice(char text[TNI_LONG_TEXT], const slice_axis_params *p, const tn_shape *s)
{
    int64_t begin[TN_MAX_NDIM], end[TN_MAX_NDIM];
    const int32_t axis = tn_axis(p->axis, s->ndim);
    for (int32_t i = 0; i < axis; i++) begin[i] = end[i] = TN_NONE_I64;
    const int64_t n = s->dim[axis], to = p->end == TN_NONE_I64 ? n : p->end;
    begin[axis] = p->begin < 0 ? p->begin + n : p->begin;
    end[axis] = to < 0 ? to + n : to;
    text[0] = 0;
    tni_text_list(text, "begin", (tn_ints){(size_t)axis + 1, begin});
    tni_text_list(text, "end", (tn_ints){(size_t)axis + 1, end});
    return text;
}

static tn_status slice_axis_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym x = tn_grad_in(b, 0);
    as_slice(text, b->params, b->shape(b->ctx, x));
    b->set_output(b->ctx, 0, tn_emit(b, "slice", text, &x, 1));
    return TN_OK;
}

static tn_status slice_axis_backward_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_in(b, 0), like = tn_grad_in(b, 1);
    as_slice(text, b->params, b->shape(b->ctx, like));
    b->set_output(b->ctx, 0, TN_EMIT(b, "_backward_slice", text, dy, like));
    return TN_OK;
}

#define SLICE_AXIS_PARAMS                                                                       \
    .params = TN_PARAMS(                                                                        \
        TN_PARAM(slice_axis_params, axis, TN_P_I64, .doc = "the axis; negative: from the end"), \
        TN_PARAM(slice_axis_params, begin, TN_P_I64, .doc = "first position; may be negative"), \
        TN_PARAM(slice_axis_params, end, TN_P_I64, .def = "None", .flags = TN_PF_NONE,          \
                 .doc = "position behind the last one; may be negative; None: all")),           \
    .params_size = sizeof(slice_axis_params)

const tn_op_decl tni_op_slice_axis =
    TN_OP(.name = "slice_axis", .doc = "A part of data along one axis: data[begin:end].",
          .family = "shape", .formula = "y = data[begin:end] along axis",
          .shape_rule = "the extent of axis -> end - begin",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the part")), SLICE_AXIS_PARAMS,
          .infer_shape = slice_axis_shape, .gradient = slice_axis_gradient,
          .expand = slice_axis_expand);

static tn_status slice_axis_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(slice_axis_rule(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status slice_axis_backward_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, tn_emit(b, "slice_axis", slice_axis_text(text, b->params), &g, 1));
    return TN_OK;
}

const tn_op_decl tni_op_backward_slice_axis =
    TN_OP(.name = "_backward_slice_axis", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of slice_axis: zeros in the shape of like, with dy where the part was.",
          WHOLE_PORTS, SLICE_AXIS_PARAMS, .infer_shape = slice_axis_backward_shape,
          .gradient = slice_axis_backward_gradient, .expand = slice_axis_backward_expand);
