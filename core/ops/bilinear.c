// core/ops/bilinear.c: machinery of vision operators: _bilinear looks values up between the points
// of planes, _backward_bilinear is its transpose.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ _bilinear
//
// A position p on an axis of n points is p, or with `normalized` (p + 1) (n - 1) / 2. What happens
// beyond the first and the last point:
//   zero   everything there is 0, and from the last point values fall to it along one step
//   edge   0 <= p < n is inside, and constant behind the last point
//   half   -0.5 <= p <= n - 0.5 is inside, constant beyond the points; at a point the slope is 0
// A position takes 1 - f of the point low = ⌊p⌋ and f = p - low of the next (order 0), or -1 of the
// one and 1 of the other: the slope (order 1, times (n - 1) / 2 if normalized). Slopes of slopes
// are 0, so that gradients of any order are these two operators:
//
//     output[a, b, …] = Σ_{i, j} weight_y[i] weight_x[j] data[a, b, y_i, x_j]
//
// for y, x (a, 1, …), or with by_plane for y, x, plane of one shape: the output has that shape,
// too, and `plane` counts a's and b's together. A plane that there is not is 0; so is a position
// NaN.

typedef struct bilinear_params {
    int32_t beyond, normalized, by_plane;
    int64_t order_y, order_x;
} bilinear_params;
enum { BEYOND_ZERO, BEYOND_EDGE, BEYOND_HALF };

typedef struct slots {
    tni_slot data, y, x, plane, output;
} slots;

// y, x (a, 1, …) and output (a, b, …) for data (a, b, h, w)
static tn_status aligned_rule(const tn_infer *io, slots s)
{
    tn_shape data = tni_shape(io, s.data), y = tni_shape(io, s.y), out = tni_shape(io, s.output);
    if (y.ndim < 0 && out.ndim >= 0) y = tn_shape_rank(out.ndim);
    if (y.ndim < 0) return TN_OK;
    if (y.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "y: wanted at least 2 axes, got %d", y.ndim);
    y.dim[0] = data.dim[0];
    y.dim[1] = 1;
    TNI_TRY(tni_merge(io, s.y, y));
    y = tni_shape(io, s.y);
    y.dim[1] = data.dim[1];
    TNI_TRY(tni_merge(io, s.output, y));
    out = tni_shape(io, s.output);
    data.dim[0] = out.dim[0];
    data.dim[1] = out.dim[1];
    out.dim[1] = 1;
    TNI_TRY(tni_merge(io, s.y, out));
    return tni_merge(io, s.data, data);
}

static tn_status bilinear_rule(const tn_infer *io, slots s)
{
    const bilinear_params *p = io->params;
    TNI_TRY(tni_merge(io, s.data, tn_shape_rank(4)));
    for (int round = 0; round < 2; round++) {
        TNI_TRY(tni_link(io, s.y, s.x));
        if (!p->by_plane) {
            TNI_TRY(aligned_rule(io, s));
            continue;
        }
        TNI_TRY(tni_link(io, s.y, s.plane));
        TNI_TRY(tni_link(io, s.y, s.output));
    }
    return TN_OK;
}

static tn_status bilinear_shape(const tn_infer *io)
{
    return bilinear_rule(io, (slots){TNI_IN(0), TNI_IN(1), TNI_IN(2), TNI_IN(3), TNI_OUT(0)});
}

// A plane is of any dtype, by itself of int64; everything else is of one floating dtype.
static tn_status bilinear_dtype(const tn_infer *io)
{
    const bilinear_params *p = io->params;
    tn_infer rest = *io;
    if (p->by_plane && tni_dtype(io, TNI_IN(--rest.n_in)) == TN_DTYPE_NONE)
        TNI_TRY(tni_merge_dtype(io, TNI_IN(rest.n_in), TN_I64));
    return tni_dtype_one_float(&rest);
}

static const char *bilinear_text(char text[TN_TEXT], const bilinear_params *p, int more_y,
                                 int more_x)
{
    static const char *const beyond[] = {"zero", "edge", "half"};
    return tn_text(text, "beyond=%s; normalized=%d; by_plane=%d; order_y=%lld; order_x=%lld",
                   beyond[p->beyond], p->normalized, p->by_plane, (long long)p->order_y + more_y,
                   (long long)p->order_x + more_x);
}

// dy · slope of data in y or x, for input `slot`; summed over b, as all b have one position.
static void set_slope(const tn_builder *b, uint32_t slot, const tn_sym in[4], tn_sym dy, bool y)
{
    const bilinear_params *p = b->params;
    char text[TN_TEXT];
    if ((y ? p->order_y : p->order_x) == 1) return; // zero
    const tn_sym slope = tn_emit(b, "_bilinear", bilinear_text(text, p, y ? 1 : 0, y ? 0 : 1), in,
                                 p->by_plane ? 4 : 3);
    const tn_sym d = tni_call2(b, "_mul", dy, slope);
    tn_grad_set(b, slot, p->by_plane ? d : tni_call_with(b, "sum", "axis=(1,); keepdims=1", d));
}

static tn_status bilinear_gradient(const tn_builder *b)
{
    const bilinear_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, 0);
    char text[TN_TEXT];
    if (!dy) return TN_OK;
    tn_sym in[4] = {tn_grad_in(b, 0), tn_grad_in(b, 1), tn_grad_in(b, 2)};
    if (p->by_plane) in[3] = tn_grad_in(b, 3);
    const tn_sym back[5] = {dy, in[1], in[2], in[0], in[3]};
    tn_grad_set(
        b, 0,
        tn_emit(b, "_backward_bilinear", bilinear_text(text, p, 0, 0), back, p->by_plane ? 5 : 4));
    set_slope(b, 1, in, dy, true);
    set_slope(b, 2, in, dy, false);
    return TN_OK;
}

// ------------------------------------------------------------------ expansion

// The two points of a position, and what it takes of them.
typedef struct points {
    tn_sym at[2], counts[2]; // int64; counts is 1 where there is such a point, else 0
    tn_sym weight[2];
} points;

// What the expansions know of a call. Halves are calculated in float32.
typedef struct lookup {
    const bilinear_params *p;
    tn_shape data;
    tn_sym y, x, plane;
    int64_t zero; // index of the 0 that stands behind each plane, or behind all
} lookup;

// 1 where low <= x and x < high, or x <= high.
static tn_sym within(const tn_builder *b, tn_sym x, double low, double high, const char *below)
{
    const tn_sym above = tni_call_scalar(b, "_greater_equal_scalar", x, low);
    return tni_call2(b, "_mul", above, tni_call_scalar(b, below, x, high));
}

static points points_of(const tn_builder *b, const bilinear_params *p, tn_sym at, int axis,
                        int64_t extent)
{
    const double n = (double)extent, scale = p->normalized ? (n - 1) / 2 : 1;
    const bool slope = (axis == 0 ? p->order_y : p->order_x) == 1;
    char text[TN_TEXT];
    tn_sym inside = 0;
    points s;
    if (p->normalized)
        at = tni_call_scalar(b, "_mul_scalar", tni_call_scalar(b, "_plus_scalar", at, 1), scale);
    if (p->beyond == BEYOND_EDGE) inside = within(b, at, 0, n, "_lesser_scalar");
    if (p->beyond == BEYOND_HALF) inside = within(b, at, -0.5, n - 0.5, "_lesser_equal_scalar");
    if (p->beyond == BEYOND_ZERO) // NaN becomes -2, which takes nothing
        tn_text(text, "a_min=-2; a_max=%lld", (long long)extent + 1);
    else
        tn_text(text, "a_min=0; a_max=%lld", (long long)(extent > 0 ? extent - 1 : 0));
    at = tni_call_with(b, "clip", text, at);
    const tn_sym low = tni_call(b, "floor", at), f = tni_call2(b, "_sub", at, low);
    const tn_sym unit = slope ? tni_call(b, "ones_like", f) : 0;
    s.weight[0] = slope ? tni_call_scalar(b, "_mul_scalar", unit, -scale)
                        : tni_call_scalar(b, "_rminus_scalar", f, 1);
    s.weight[1] = slope ? tni_call_scalar(b, "_mul_scalar", unit, scale) : f;
    s.at[0] = tni_call_with(b, "Cast", "dtype=int64", low);
    s.at[1] = p->beyond == BEYOND_HALF
                  ? tni_call_with(b, "Cast", "dtype=int64", tni_call(b, "ceil", at))
                  : tni_call_scalar(b, "_plus_scalar", s.at[0], 1);
    if (p->beyond == BEYOND_EDGE) s.at[1] = tni_call_scalar(b, "_minimum_scalar", s.at[1], n - 1);
    for (int i = 0; i < 2; i++) {
        s.counts[i] = within(b, s.at[i], 0, n - 1, "_lesser_equal_scalar");
        if (inside)
            s.counts[i] =
                tni_call2(b, "_mul", s.counts[i], tni_call_with(b, "Cast", "dtype=int64", inside));
    }
    return s;
}

// Index in the table of the point, or of the zero: (at - zero) counts + zero.
static tn_sym index_of(const tn_builder *b, const lookup *l, const points *y, const points *x,
                       int corner)
{
    const int i = corner >> 1, j = corner & 1;
    const double in_plane = (double)tn_shape_span(&l->data, 2, 4);
    const double last = (double)tn_shape_span(&l->data, 0, 2) - 1, zero = (double)l->zero;
    tn_sym counts = tni_call2(b, "_mul", y->counts[i], x->counts[j]);
    const tn_sym row = tni_call_scalar(b, "_mul_scalar", y->at[i], (double)l->data.dim[3]);
    tn_sym at = tni_call2(b, "elemwise_add", row, x->at[j]);
    if (l->p->by_plane) {
        const tn_sym exists = within(b, l->plane, 0, last, "_lesser_equal_scalar");
        counts = tni_call2(b, "_mul", counts, exists);
        at =
            tni_call2(b, "elemwise_add", at, tni_call_scalar(b, "_mul_scalar", l->plane, in_plane));
    }
    const tn_sym kept = tni_call2(b, "_mul", tni_call_scalar(b, "_minus_scalar", at, zero), counts);
    return tni_call_scalar(b, "_plus_scalar", kept, zero);
}

// Positions as (a, 1, n), or as a list.
static tn_sym flat(const tn_builder *b, const lookup *l, tn_sym x)
{
    return tni_call_with(b, "Reshape", l->p->by_plane ? "shape=(-1,)" : "shape=(0,0,-1)", x);
}

static lookup lookup_of(const tn_builder *b, tn_sym data, tn_sym plane)
{
    const bilinear_params *p = b->params;
    lookup l = {.p = p, .data = *b->shape(b->ctx, data)};
    l.zero = tn_shape_span(&l.data, p->by_plane ? 0 : 2, 4);
    l.y = flat(b, &l, tni_wide(b, tn_grad_in(b, 1)));
    l.x = flat(b, &l, tni_wide(b, tn_grad_in(b, 2)));
    if (p->by_plane) l.plane = flat(b, &l, tni_call_with(b, "Cast", "dtype=int64", plane));
    return l;
}

// A zero for each plane, (a, b, n), or for a list of n, in the dtype that is calculated in. 0 as an
// extent is left to inference.
static tn_sym zeros(const tn_builder *b, const lookup *l, int64_t n, tn_sym like)
{
    char text[TN_TEXT];
    const char *dtype = b->dtype(b->ctx, like) == TN_F64 ? "float64" : "float32";
    if (l->p->by_plane)
        tn_text(text, "shape=(%lld,); dtype=%s", (long long)n, dtype);
    else
        tn_text(text, "shape=(%lld,%lld,%lld); dtype=%s", (long long)l->data.dim[0],
                (long long)l->data.dim[1], (long long)n, dtype);
    return tn_emit(b, "_zeros", text, NULL, 0);
}

// What a result of no element is: anything of its shape, (a, b, …) from (a, 1, …).
static tn_sym nothing(const tn_builder *b, tn_sym data, tn_sym y)
{
    char text[TN_TEXT] = "shape=(0,0";
    for (int32_t i = 2; i < b->shape(b->ctx, y)->ndim; i++) strcat(text, ",1"); // at most 8 axes
    strcat(text, ")");
    const tn_sym planes = tni_call_with(b, "sum", "axis=(2,3)", data);
    return tni_call2(b, "broadcast_mul", tni_call_with(b, "Reshape", text, planes), y);
}

// (a, b, n) as (a, b, …), … from the positions, or the list as these.
static tn_sym unflat(const tn_builder *b, const lookup *l, tn_sym values, tn_sym y)
{
    const tn_shape s = *b->shape(b->ctx, y);
    char text[TNI_LONG_TEXT];
    int64_t dims[TN_MAX_NDIM] = {l->data.dim[0], l->data.dim[1]};
    if (l->p->by_plane) return tni_call2(b, "reshape_like", values, y);
    for (int32_t i = 2; i < s.ndim; i++) dims[i] = s.dim[i];
    text[0] = 0;
    tni_text_list(text, "shape", (tn_ints){(size_t)s.ndim, dims});
    return tni_call_with(b, "Reshape", text, values);
}

static tn_status bilinear_expand(const tn_builder *b)
{
    const bilinear_params *p = b->params;
    const tn_sym data = tn_grad_in(b, 0), y = tn_grad_in(b, 1);
    const tn_shape at = *b->shape(b->ctx, y), planes = *b->shape(b->ctx, data);
    if (!p->by_plane && tn_shape_size(&at) * tn_shape_span(&planes, 0, 2) == 0) {
        b->set_output(b->ctx, 0, nothing(b, data, y));
        return TN_OK;
    }
    const lookup l = lookup_of(b, data, p->by_plane ? tn_grad_in(b, 3) : 0);
    const points py = points_of(b, p, l.y, 0, l.data.dim[2]);
    const points px = points_of(b, p, l.x, 1, l.data.dim[3]);
    const tn_sym list = tni_call_with(b, "Reshape", p->by_plane ? "shape=(-1,)" : "shape=(0,0,-3)",
                                      tni_wide(b, data));
    const tn_sym table =
        TN_EMIT(b, "Concat", p->by_plane ? "num_args=2; dim=0" : "num_args=2; dim=2", list,
                zeros(b, &l, 1, data));
    tn_sym sum = 0;
    for (int corner = 0; corner < 4; corner++) {
        const tn_sym weight = tni_call2(b, "_mul", py.weight[corner >> 1], px.weight[corner & 1]);
        const tn_sym value = TN_EMIT(b, "_take_along", p->by_plane ? "axis=0" : "axis=2", table,
                                     index_of(b, &l, &py, &px, corner));
        const tn_sym term = tni_call2(b, "broadcast_mul", value, weight);
        sum = sum ? tni_call2(b, "elemwise_add", sum, term) : term;
    }
    tni_set_narrow(b, 0, unflat(b, &l, sum, y));
    return TN_OK;
}

// clang-format off
#define BILINEAR                                                                                   \
    .params = TN_PARAMS(                                                                           \
        TN_PARAM(bilinear_params, beyond, TN_P_ENUM, .choices = "zero|edge|half", .def = "zero",   \
                 .doc = "what is beyond the first and the last point of an axis"),                 \
        TN_PARAM(bilinear_params, normalized, TN_P_BOOL, .def = "False",                           \
                 .doc = "-1 is the first point and 1 the last"),                                   \
        TN_PARAM(bilinear_params, by_plane, TN_P_BOOL, .def = "False",                             \
                 .doc = "each position has a plane of its own"),                                   \
        TN_PARAM(bilinear_params, order_y, TN_P_I64, .def = "0", .range = "[0,1]",                 \
                 .doc = "1: the slope in y"),                                                      \
        TN_PARAM(bilinear_params, order_x, TN_P_I64, .def = "0", .range = "[0,1]",                 \
                 .doc = "1: the slope in x")),                                                     \
    .params_size = sizeof(bilinear_params), .infer_dtype = bilinear_dtype
#define POSITIONS                                                                                  \
    TN_PORT(.name = "y", .doc = "(a, 1, ...), or with by_plane of any shape"),                     \
    TN_PORT(.name = "x", .doc = "in the shape of y")
#define PORT_PLANE                                                                                 \
    TN_PORT(.name = "plane", .flags = TN_PORT_NO_GRAD, .when = "by_plane",                         \
            .doc = "in the shape of y: which of the a b planes, or -1")
// clang-format on

const tn_op_decl tni_op_bilinear =
    TN_OP(.name = "_bilinear", .flags = TN_OP_INTERNAL,
          .doc = "Values of planes between their points, or the slopes there.",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(a, b, h, w)"), POSITIONS, PORT_PLANE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(a, b, ...), or in y's shape")),
          BILINEAR, .infer_shape = bilinear_shape, .gradient = bilinear_gradient,
          .expand = bilinear_expand);

// ------------------------------------------------------------------ _backward_bilinear

static tn_status backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(3), TNI_OUT(0)));
    TNI_TRY(bilinear_rule(io, (slots){TNI_OUT(0), TNI_IN(1), TNI_IN(2), TNI_IN(4), TNI_IN(0)}));
    return tni_link(io, TNI_IN(3), TNI_OUT(0));
}

// Linear in dy: g, which arrives in the shape of data, is looked up where dy was put.
static tn_status backward_gradient(const tn_builder *b)
{
    const bilinear_params *p = b->params;
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0);
    char text[TN_TEXT];
    if (!g) return TN_OK;
    tn_sym in[4] = {g, tn_grad_in(b, 1), tn_grad_in(b, 2)};
    if (p->by_plane) in[3] = tn_grad_in(b, 4);
    tn_grad_set(b, 0,
                tn_emit(b, "_bilinear", bilinear_text(text, p, 0, 0), in, p->by_plane ? 4 : 3));
    set_slope(b, 1, in, dy, true);
    set_slope(b, 2, in, dy, false);
    return TN_OK;
}

static tn_status backward_expand(const tn_builder *b)
{
    const bilinear_params *p = b->params;
    const tn_sym dy = tn_grad_in(b, 0), like = tn_grad_in(b, 3);
    const tn_shape given = *b->shape(b->ctx, dy), wanted = *b->shape(b->ctx, like);
    if (tn_shape_size(&given) == 0 || tn_shape_size(&wanted) == 0) {
        b->set_output(b->ctx, 0, tni_call(b, "zeros_like", like));
        return TN_OK;
    }
    const lookup l = lookup_of(b, like, p->by_plane ? tn_grad_in(b, 4) : 0);
    const points py = points_of(b, p, l.y, 0, l.data.dim[2]);
    const points px = points_of(b, p, l.x, 1, l.data.dim[3]);
    const tn_sym list = flat(b, &l, tni_wide(b, dy)), table = zeros(b, &l, l.zero + 1, dy);
    tn_sym sum = 0;
    for (int corner = 0; corner < 4; corner++) {
        const tn_sym weight = tni_call2(b, "_mul", py.weight[corner >> 1], px.weight[corner & 1]);
        const tn_sym part = tni_call2(b, "broadcast_mul", list, weight);
        const tn_sym term = TN_EMIT(b, "_backward_take_along", p->by_plane ? "axis=0" : "axis=2",
                                    part, index_of(b, &l, &py, &px, corner), table);
        sum = sum ? tni_call2(b, "elemwise_add", sum, term) : term;
    }
    char text[TN_TEXT];
    tn_text(text, "axis=-1; begin=0; end=%lld", (long long)l.zero);
    sum = tni_call_with(b, "slice_axis", text, sum);
    tni_set_narrow(b, 0, tni_call2(b, "reshape_like", sum, like));
    return TN_OK;
}

const tn_op_decl tni_op_backward_bilinear =
    TN_OP(.name = "_backward_bilinear", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of _bilinear's data: adds dy up at the points that were looked at.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), POSITIONS, TNI_PORT_LIKE, PORT_PLANE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")), BILINEAR,
          .infer_shape = backward_shape, .gradient = backward_gradient, .expand = backward_expand);
