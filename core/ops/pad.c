// core/ops/pad.c: Pad and tile: data with more elements along its axes.
#include "core/base/base.h"
#include "core/ops/ops.h"

// A number everywhere, in shape s, of which extents may be 0 (which _full would take for unknown).
static tn_sym constant(const tn_builder *b, const tn_shape *s, double value, tn_dtype dtype)
{
    char text[TNI_LONG_TEXT] = "", number[TNI_NUMBER];
    int64_t ones[TN_MAX_NDIM], axes[TN_MAX_NDIM];
    for (int32_t i = 0; i < s->ndim; i++) {
        ones[i] = 1;
        axes[i] = i;
    }
    const bool empty = tn_shape_size(s) == 0;
    tni_text_list(text, "shape", (tn_ints){(size_t)s->ndim, empty ? ones : s->dim});
    const size_t at = strlen(text);
    snprintf(text + at, sizeof text - at, "dtype=%s; value=%s", tn_dtype_name(dtype),
             tni_number(number, value));
    const tn_sym x = tn_emit(b, "_full", text, NULL, 0);
    if (!empty) return x;
    text[0] = 0;
    tni_text_list(text, "axis", (tn_ints){(size_t)s->ndim, axes});
    tni_text_list(text, "size", (tn_ints){(size_t)s->ndim, s->dim});
    return tn_emit(b, "broadcast_axis", text, &x, 1);
}

// ------------------------------------------------------------------ Pad
//
//     output has before[k] more elements in front of axis k and after[k] behind it:
//     constant   a number
//     edge       the element at the nearest end
//     reflect    the data mirrored at its ends, which are not repeated: c b | a b c | b a; longer
//                pads run to and fro, and a single element is repeated

typedef struct pad_params {
    tn_ints pad_width; // before, after of axis 0, before, after of axis 1, …
    double constant_value;
    int32_t mode;
} pad_params;
enum { CONSTANT, EDGE, REFLECT };

static tn_status pad_check(const void *params, char *reason, size_t size)
{
    const pad_params *p = params;
    if (p->pad_width.n % 2 == 0) return TN_OK;
    snprintf(reason, size, "pad_width: wanted two entries for each axis, got %zu", p->pad_width.n);
    return TN_E_INVALID;
}

static tn_status pad_rule(const tn_infer *io, tni_slot data, tni_slot output)
{
    const pad_params *p = io->params;
    const int32_t ndim = (int32_t)(p->pad_width.n / 2);
    TNI_TRY(tni_merge(io, data, tn_shape_rank(ndim)));
    tn_shape x = tni_shape(io, data), y = x;
    for (int32_t i = 0; i < ndim; i++) {
        const int64_t more = p->pad_width.v[2 * i] + p->pad_width.v[2 * i + 1];
        if (x.dim[i] == 0 && more && p->mode != CONSTANT)
            return tn_infer_fail(io, TN_E_SHAPE, "axis %d of data: there is no element to repeat",
                                 i);
        if (x.dim[i] > TNI_MOST_EXTENT)
            return tn_infer_fail(io, TN_E_SHAPE, "axis %d of data has %lld", i,
                                 (long long)x.dim[i]);
        if (x.dim[i] >= 0) y.dim[i] = x.dim[i] + more;
    }
    TNI_TRY(tni_merge(io, output, y));
    y = tni_shape(io, output);
    for (int32_t i = 0; i < ndim; i++) {
        const int64_t more = p->pad_width.v[2 * i] + p->pad_width.v[2 * i + 1];
        if (y.dim[i] >= 0 && y.dim[i] < more)
            return tn_infer_fail(io, TN_E_SHAPE, "axis %d of the output: wanted at least %lld", i,
                                 (long long)more);
        if (y.dim[i] >= 0) x.dim[i] = y.dim[i] - more;
    }
    return tni_merge(io, data, x);
}

static tn_status pad_shape(const tn_infer *io)
{
    return pad_rule(io, TNI_IN(0), TNI_OUT(0));
}

static void pad_constant(const tn_builder *b, const tn_shape *from)
{
    const pad_params *p = b->params;
    char text[TNI_LONG_TEXT] = "";
    int64_t begin[TN_MAX_NDIM], end[TN_MAX_NDIM];
    const tn_sym x = tn_grad_in(b, 0);
    tn_shape to = *from;
    for (int32_t i = 0; i < from->ndim; i++) {
        begin[i] = p->pad_width.v[2 * i];
        end[i] = begin[i] + from->dim[i];
        to.dim[i] = end[i] + p->pad_width.v[2 * i + 1];
    }
    tni_text_list(text, "begin", (tn_ints){(size_t)from->ndim, begin});
    tni_text_list(text, "end", (tn_ints){(size_t)from->ndim, end});
    const tn_sym all = constant(b, &to, p->constant_value, b->dtype(b->ctx, x));
    b->set_output(b->ctx, 0,
                  p->constant_value == 0 ? TN_EMIT(b, "_backward_slice", text, x, all)
                                         : TN_EMIT(b, "_slice_assign", text, all, x));
}

// Where the elements of a padded axis of n elements come from, as an index for _take_along, which
// moves what is outside to the nearest end. Reflected: n - 1 - |i mod 2(n-1) - (n - 1)|.
static tn_sym pad_index(const tn_builder *b, int32_t axis, const tn_shape *from)
{
    const pad_params *p = b->params;
    const int64_t n = from->dim[axis], *width = &p->pad_width.v[2 * axis];
    char text[TNI_LONG_TEXT] = "";
    int64_t ones[TN_MAX_NDIM];
    for (int32_t i = 0; i < from->ndim; i++) ones[i] = i == axis ? -1 : 1;
    snprintf(text, sizeof text, "dtype=int64; start=%lld; stop=%lld", (long long)-width[0],
             (long long)(n + width[1]));
    tn_sym index = tn_emit(b, "_arange", text, NULL, 0);
    if (p->mode == REFLECT) {
        const double last = (double)(n - 1);
        index = tni_call_scalar(b, "_mod_scalar", index, 2 * last);
        index = tni_call(b, "abs", tni_call_scalar(b, "_minus_scalar", index, last));
        index = tni_call_scalar(b, "_rminus_scalar", index, last);
    }
    text[0] = 0;
    tni_text_list(text, "shape", (tn_ints){(size_t)from->ndim, ones});
    return tn_emit(b, "Reshape", text, &index, 1);
}

static tn_status pad_expand(const tn_builder *b)
{
    const pad_params *p = b->params;
    const tn_shape from = *b->shape(b->ctx, tn_grad_in(b, 0));
    char text[TN_TEXT];
    tn_sym x = tn_grad_in(b, 0);
    int64_t added = 0;
    if (tn_shape_size(&from) < 0 || b->dtype(b->ctx, x) == TN_DTYPE_NONE)
        return b->fail(b->ctx, TN_E_SHAPE, "wanted a known shape and dtype of data");
    for (size_t i = 0; i < p->pad_width.n; i++) added += p->pad_width.v[i] > 0;
    if (added && p->mode == CONSTANT) {
        pad_constant(b, &from);
        return TN_OK;
    }
    for (int32_t i = 0; i < from.ndim; i++)
        if (p->pad_width.v[2 * i] + p->pad_width.v[2 * i + 1] > 0)
            x = TN_EMIT(b, "_take_along", tn_text(text, "axis=%d", i), x, pad_index(b, i, &from));
    b->set_output(b->ctx, 0, added ? x : tni_call(b, "_copy", x));
    return TN_OK;
}

// The part of dy that came from data, without the pads: no shape is needed for it.
static tn_sym pad_inside(const tn_builder *b, tn_sym dy)
{
    const pad_params *p = b->params;
    const size_t ndim = p->pad_width.n / 2;
    char text[TNI_LONG_TEXT] = "";
    int64_t end[TN_MAX_NDIM], begin[TN_MAX_NDIM];
    for (size_t i = 0; i < ndim; i++) {
        const int64_t behind = p->pad_width.v[2 * i + 1];
        begin[i] = p->pad_width.v[2 * i];
        end[i] = behind ? -behind : TN_NONE_I64;
    }
    tni_text_list(text, "begin", (tn_ints){ndim, begin});
    tni_text_list(text, "end", (tn_ints){ndim, end});
    return tn_emit(b, "slice", text, &dy, 1);
}

static const char *pad_text(char text[TNI_LONG_TEXT], const pad_params *p)
{
    snprintf(text, TNI_LONG_TEXT, "mode=%s; ", p->mode == EDGE ? "edge" : "reflect");
    tni_text_list(text, "pad_width", p->pad_width);
    return text;
}

static tn_status pad_gradient(const tn_builder *b)
{
    const pad_params *p = b->params;
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy && p->mode == CONSTANT)
        tn_grad_set(b, 0, pad_inside(b, dy));
    else if (dy)
        tn_grad_set(b, 0, TN_EMIT(b, "_backward_Pad", pad_text(text, p), dy, tn_grad_in(b, 0)));
    return TN_OK;
}

// clang-format off
#define PAD_PARAMS                                                                                 \
    .params = TN_PARAMS(                                                                           \
        TN_PARAM(pad_params, mode, TN_P_ENUM, .choices = "constant|edge|reflect",                  \
                 .doc = "what the new elements are"),                                              \
        TN_PARAM(pad_params, pad_width, TN_P_I64S, .range = "[0,100000000]",                       \
                 .max_len = 2 * TN_MAX_NDIM,                                                       \
                 .doc = "(before, after, ...): how many in front of and behind each axis"),        \
        TN_PARAM(pad_params, constant_value, TN_P_F64, .def = "0.0",                               \
                 .doc = "the number of mode constant")),                                           \
    .params_size = sizeof(pad_params), .check = pad_check
// clang-format on

const tn_op_decl tni_op_pad =
    TN_OP(.name = "Pad", .aliases = "pad",
          .doc = "Adds elements at the ends of axes: a number (constant), the nearest element "
                 "(edge), or data mirrored at its ends, which are not repeated (reflect). Any "
                 "number of axes, and any of them.",
          .family = "shape",
          .formula = "y is data with pad_width elements more in front of and behind each axis: "
                     "constant_value, the nearest element (edge), or mirrored data (reflect)",
          .shape_rule = "each extent d -> before + d + after",
          .source = "MXNet 0.11, src/operator/pad-inl.h, for all axes",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "longer by before + after")),
          PAD_PARAMS, .infer_shape = pad_shape, .gradient = pad_gradient, .expand = pad_expand);

// ------------------------------------------------------------------ gradient of edge and reflect

static tn_status pad_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(pad_rule(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status pad_backward_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, tn_emit(b, "Pad", pad_text(text, b->params), &g, 1));
    return TN_OK;
}

// Axis by axis, each element of dy is added to where it came from.
static tn_status pad_backward_expand(const tn_builder *b)
{
    const pad_params *p = b->params;
    const tn_sym like = tn_grad_in(b, 1);
    const tn_shape to = *b->shape(b->ctx, like);
    tn_sym dx = tn_grad_in(b, 0);
    tn_shape s = *b->shape(b->ctx, dx);
    const tn_dtype dtype = b->dtype(b->ctx, dx);
    char text[TN_TEXT];
    if (tn_shape_size(&to) < 0 || tn_shape_size(&s) < 0 || dtype == TN_DTYPE_NONE)
        return b->fail(b->ctx, TN_E_SHAPE, "wanted a known shape and dtype of data");
    if (p->mode == CONSTANT) {
        b->set_output(b->ctx, 0, pad_inside(b, dx));
        return TN_OK;
    }
    for (int32_t i = to.ndim - 1; i >= 0; i--) {
        if (p->pad_width.v[2 * i] + p->pad_width.v[2 * i + 1] == 0) continue;
        s.dim[i] = to.dim[i];
        dx = TN_EMIT(b, "_backward_take_along", tn_text(text, "axis=%d", i), dx,
                     pad_index(b, i, &to), constant(b, &s, 0, dtype));
    }
    b->set_output(b->ctx, 0, dx == tn_grad_in(b, 0) ? tni_call(b, "_copy", dx) : dx);
    return TN_OK;
}

const tn_op_decl tni_op_backward_pad =
    TN_OP(.name = "_backward_Pad", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of Pad: each element of dy is added to where it came from.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")), PAD_PARAMS,
          .infer_shape = pad_backward_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = pad_backward_gradient, .expand = pad_backward_expand);

// ------------------------------------------------------------------ tile
//
//     output[i, j, …] = data[i mod d0, j mod d1, …]
//
// Missing axes of data, or missing entries of reps, stand in front and count as 1, as in NumPy.

typedef struct tile_params {
    tn_ints reps;
} tile_params;

// Entry of reps for axis i of ndim axes.
static int64_t reps_of(const tile_params *p, int32_t ndim, int32_t i)
{
    const int32_t at = i - (ndim - (int32_t)p->reps.n);
    return at < 0 ? 1 : p->reps.v[at];
}

static tn_status tile_rule(const tn_infer *io, tni_slot data, tni_slot output)
{
    const tile_params *p = io->params;
    const int32_t n = (int32_t)p->reps.n;
    tn_shape x = tni_shape(io, data);
    if (x.ndim < 0) return TN_OK;
    const int32_t ndim = x.ndim > n ? x.ndim : n, front = ndim - x.ndim;
    tn_shape y = tn_shape_rank(ndim);
    for (int32_t i = 0; i < ndim; i++) {
        const int64_t d = i < front ? 1 : x.dim[i - front];
        if (d >= 0) y.dim[i] = tn_extent_times(d, reps_of(p, ndim, i));
    }
    TNI_TRY(tni_merge(io, output, y));
    y = tni_shape(io, output);
    for (int32_t i = front; i < ndim; i++) {
        const int64_t r = reps_of(p, ndim, i);
        if (y.dim[i] < 0 || r == 0) continue;
        if (y.dim[i] % r)
            return tn_infer_fail(io, TN_E_SHAPE,
                                 "axis %d has extent %lld, wanted a multiple of %lld", i,
                                 (long long)y.dim[i], (long long)r);
        x.dim[i - front] = y.dim[i] / r;
    }
    return tni_merge(io, data, x);
}

static tn_status tile_shape(const tn_infer *io)
{
    return tile_rule(io, TNI_IN(0), TNI_OUT(0));
}

// x repeated r times along an axis in front of which there are `outer` elements: as
// (outer, 1, rest) it is stretched to (outer, r, rest).
static tn_sym tiled(const tn_builder *b, tn_sym x, int64_t outer, int64_t r)
{
    char text[TN_TEXT];
    x = tn_emit(b, "Reshape", tn_text(text, "shape=(%lld,1,-1)", (long long)outer), &x, 1);
    return tn_emit(b, "broadcast_axis", tn_text(text, "axis=1; size=%lld", (long long)r), &x, 1);
}

static tn_status tile_expand(const tn_builder *b)
{
    const tile_params *p = b->params;
    tn_sym x = tn_grad_in(b, 0);
    const tn_shape from = *b->shape(b->ctx, x);
    if (tn_shape_size(&from) < 0 || b->dtype(b->ctx, x) == TN_DTYPE_NONE)
        return b->fail(b->ctx, TN_E_SHAPE, "wanted a known shape and dtype of data");
    const int32_t n = (int32_t)p->reps.n, ndim = from.ndim > n ? from.ndim : n;
    const int32_t front = ndim - from.ndim;
    char text[TNI_LONG_TEXT] = "";
    tn_shape to = tn_shape_rank(ndim);
    for (int32_t i = 0; i < ndim; i++)
        to.dim[i] = tn_extent_times(i < front ? 1 : from.dim[i - front], reps_of(p, ndim, i));
    if (tn_shape_size(&to) == 0) {
        b->set_output(b->ctx, 0, constant(b, &to, 0, b->dtype(b->ctx, x)));
        return TN_OK;
    }
    for (int32_t i = ndim - 1; i >= 0; i--) // last axis first: what is behind is tiled already
        if (reps_of(p, ndim, i) > 1)
            x = tiled(b, x, tn_shape_span(&from, 0, i - front), reps_of(p, ndim, i));
    tni_text_list(text, "shape", (tn_ints){(size_t)ndim, to.dim});
    b->set_output(b->ctx, 0, ndim ? tn_emit(b, "Reshape", text, &x, 1) : tni_call(b, "_copy", x));
    return TN_OK;
}

static tn_status tile_gradient(const tn_builder *b)
{
    const tile_params *p = b->params;
    char text[TNI_LONG_TEXT] = "";
    const tn_sym dy = tn_grad_head(b, 0);
    tni_text_list(text, "reps", p->reps);
    if (dy) tn_grad_set(b, 0, TN_EMIT(b, "_backward_tile", text, dy, tn_grad_in(b, 0)));
    return TN_OK;
}

#define TILE_PARAMS                                                                              \
    .params = TN_PARAMS(TN_PARAM(tile_params, reps, TN_P_I64S, .range = "[0,)",                  \
                                 .max_len = TN_MAX_NDIM, .doc = "how many times on each axis")), \
    .params_size = sizeof(tile_params)

const tn_op_decl tni_op_tile =
    TN_OP(.name = "tile",
          .doc = "Repeats the whole of data along its axes, as in NumPy. If data has fewer axes "
                 "than reps, axes of extent 1 are put in front; if reps is shorter, the axes in "
                 "front are not repeated.",
          .family = "shape", .formula = "y[i,j,...] = data[i mod d0,j mod d1,...]",
          .shape_rule =
              "each extent d -> its entry of reps times d; what is missing in front counts as 1",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "extents times reps")), TILE_PARAMS,
          .infer_shape = tile_shape, .gradient = tile_gradient, .expand = tile_expand);

static tn_status tile_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tile_rule(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status tile_backward_gradient(const tn_builder *b)
{
    const tile_params *p = b->params;
    char text[TNI_LONG_TEXT] = "";
    const tn_sym g = tn_grad_head(b, 0);
    tni_text_list(text, "reps", p->reps);
    if (g) tn_grad_set(b, 0, tn_emit(b, "tile", text, &g, 1));
    return TN_OK;
}

// The steps of the expansion of tile backwards: as (outer, r, rest), summed over r.
static tn_status tile_backward_expand(const tn_builder *b)
{
    const tile_params *p = b->params;
    tn_sym dx = tn_grad_in(b, 0);
    const tn_sym like = tn_grad_in(b, 1);
    const tn_shape to = *b->shape(b->ctx, like), from = *b->shape(b->ctx, dx);
    char text[TN_TEXT];
    if (tn_shape_size(&to) < 0 || tn_shape_size(&from) < 0)
        return b->fail(b->ctx, TN_E_SHAPE, "wanted a known shape of data");
    if (tn_shape_size(&from) == 0) {
        const tn_dtype dtype = b->dtype(b->ctx, dx);
        b->set_output(b->ctx, 0, tni_cast(b, tni_call(b, "zeros_like", like), dtype));
        return TN_OK;
    }
    for (int32_t i = 0; i < from.ndim; i++) {
        const int64_t r = reps_of(p, from.ndim, i);
        const int64_t outer = tn_shape_span(&to, 0, i - (from.ndim - to.ndim));
        if (r == 1) continue;
        tn_text(text, "shape=(%lld,%lld,-1)", (long long)outer, (long long)r);
        dx = tn_emit(b, "Reshape", text, &dx, 1);
        dx = tn_emit(b, "sum", "axis=1", &dx, 1);
    }
    b->set_output(b->ctx, 0, tni_call2(b, "reshape_like", dx, like));
    return TN_OK;
}

const tn_op_decl tni_op_backward_tile =
    TN_OP(.name = "_backward_tile", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of tile: the sum of the copies.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          TILE_PARAMS, .infer_shape = tile_backward_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = tile_backward_gradient, .expand = tile_backward_expand);
