// core/ops/pick.c: one element per row, by index: pick and its old forms.
#include "core/ops/ops.h"

typedef struct pick_params {
    int64_t axis;
    int32_t keepdims;
} pick_params;

// ------------------------------------------------------------------ pick
//
//     output[…] = data[…, index[…], …], the index standing on the axis

static tn_status pick_check(const void *params, char *reason, size_t size)
{
    const pick_params *p = params;
    if (p->axis != TN_NONE_I64) return TN_OK;
    snprintf(reason, size, "axis: wanted a number: there is no picking from flattened data");
    return TN_E_UNSUPPORTED;
}

// Shape s without the axis, or with extent 1 there. Nothing left: (1,).
static tn_shape without(tn_shape s, int32_t axis, bool keep)
{
    if (keep || s.ndim == 1) {
        s.dim[axis] = 1;
        return s;
    }
    s.ndim--;
    for (int32_t i = axis; i < s.ndim; i++) s.dim[i] = s.dim[i + 1];
    return s;
}

// What shape `part`, made by without(), says of the whole.
static void put_back(tn_shape *whole, int32_t axis, const tn_shape *part)
{
    const bool shorter = part->ndim < whole->ndim;
    for (int32_t i = 0; i < whole->ndim; i++)
        if (i != axis) whole->dim[i] = part->dim[shorter && i > axis ? i - 1 : i];
}

// Values data, index and part of an operator that picks, or of its gradient.
typedef struct pick_slots {
    tni_slot whole, index, part;
} pick_slots;

static tn_status pick_rule(const tn_infer *io, pick_slots at, int64_t named, bool keepdims)
{
    tn_shape x = tni_shape(io, at.whole), n = tni_shape(io, at.index);
    if (x.ndim < 0 && keepdims && tni_shape(io, at.part).ndim >= 0)
        x = tn_shape_rank(tni_shape(io, at.part).ndim);
    if (x.ndim < 0) return TN_OK;
    const int32_t axis = tn_axis(named, x.ndim);
    if (axis < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes", (long long)named,
                             x.ndim);
    TNI_TRY(tni_merge(io, at.part, without(x, axis, keepdims)));
    const tn_shape y = tni_shape(io, at.part);
    put_back(&x, axis, &y);
    TNI_TRY(tni_merge(io, at.whole, x));
    if (n.ndim < 0) return TN_OK; // may yet turn out to have the axis
    TNI_TRY(tni_merge(io, at.index, without(x, axis, n.ndim == x.ndim)));
    n = tni_shape(io, at.index);
    put_back(&x, axis, &n);
    TNI_TRY(tni_merge(io, at.whole, x));
    return tni_merge(io, at.part, without(x, axis, keepdims));
}

#define FORWARD_SLOTS ((pick_slots){TNI_IN(0), TNI_IN(1), TNI_OUT(0)})

static tn_status pick_shape(const tn_infer *io)
{
    const pick_params *p = io->params;
    return pick_rule(io, FORWARD_SLOTS, p->axis, p->keepdims);
}

// "axis=k" with the axis counted from the front, where `whole` has it; -1 and an error if its
// number of axes is unknown.
static int32_t axis_text(const tn_builder *b, char text[TN_TEXT], tn_sym whole, int64_t named)
{
    const int32_t axis = tn_axis(named, b->shape(b->ctx, whole)->ndim);
    if (axis < 0) b->fail(b->ctx, TN_E_SHAPE, "pick: wanted a known number of axes");
    tn_text(text, "axis=%d", axis);
    return axis;
}

// v with the axis that data has and v may lack, with extent 1.
static tn_sym with_axis(const tn_builder *b, const char *text, tn_sym v, tn_sym data)
{
    const bool lacks = b->shape(b->ctx, v)->ndim < b->shape(b->ctx, data)->ndim;
    return lacks ? tn_emit(b, "expand_dims", text, &v, 1) : v;
}

static tn_status pick_along(const tn_builder *b, int64_t named, bool keepdims)
{
    const tn_sym x = tn_grad_in(b, 0);
    char text[TN_TEXT], at[TN_TEXT];
    const int32_t axis = axis_text(b, text, x, named);
    if (axis < 0) return TN_E_SHAPE;
    const tn_sym y = TN_EMIT(b, "_take_along", text, x, with_axis(b, text, tn_grad_in(b, 1), x));
    tn_text(at, "axis=(%d,)", axis);
    b->set_output(b->ctx, 0, keepdims ? y : tn_emit(b, "sum", at, &y, 1)); // sum of one element
    return TN_OK;
}

static tn_status pick_expand(const tn_builder *b)
{
    const pick_params *p = b->params;
    return pick_along(b, p->axis, p->keepdims);
}

static tn_status pick_back(const tn_builder *b, int64_t axis, bool keepdims)
{
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    tn_text(text, "axis=%lld; keepdims=%d", (long long)axis, keepdims);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_pick", text, dy, tn_grad_in(b, 1), tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status pick_gradient(const tn_builder *b)
{
    const pick_params *p = b->params;
    return pick_back(b, p->axis, p->keepdims);
}

#define PICK_PARAMS                                                                             \
    .params = TN_PARAMS(TN_PARAM(pick_params, axis, TN_P_I64, .def = "-1", .flags = TN_PF_NONE, \
                                 .doc = "axis to pick from; negative: from the end"),           \
                        TN_PARAM(pick_params, keepdims, TN_P_BOOL, .def = "False",              \
                                 .doc = "keep the axis with extent 1")),                        \
    .params_size = sizeof(pick_params), .check = pick_check

#define PICK_OUTPUT TN_PORTS(TN_PORT(.name = "output", .doc = "one element of each row"))

const tn_op_decl tni_op_pick = TN_OP(
        .name = "pick",
        .doc = "Picks one element along an axis by index; an index outside is moved to the "
               "nearest end.",
        .family = "indexing",
        .formula =
            "y[...] = data[...,index[...],...] along axis;  ddata = dy where it was picked, else 0",
        .shape_rule = "data's shape without axis, or with keepdims 1 there; index the same",
        .source = "MXNet 0.11, src/operator/tensor/broadcast_reduce_op_index.cc",
        .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape"),
                           TN_PORT(.name = "index", .flags = TN_PORT_NO_GRAD,
                                   .doc = "data's shape without the axis, or with 1 there")),
        .outputs = PICK_OUTPUT, PICK_PARAMS, .infer_shape = pick_shape,
        .infer_dtype = tni_dtype_label, .gradient = pick_gradient, .expand = pick_expand);

static tn_status pick_backward_shape(const tn_infer *io)
{
    const pick_params *p = io->params;
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(pick_rule(io, (pick_slots){TNI_OUT(0), TNI_IN(1), TNI_IN(0)}, p->axis, p->keepdims));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status pick_backward_gradient(const tn_builder *b)
{
    const pick_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    tn_text(text, "axis=%lld; keepdims=%d", (long long)p->axis, p->keepdims);
    if (g) tn_grad_set(b, 0, TN_EMIT(b, "pick", text, g, tn_grad_in(b, 1)));
    return TN_OK;
}

static tn_status pick_backward_expand(const tn_builder *b)
{
    const pick_params *p = b->params;
    const tn_sym like = tn_grad_in(b, 2);
    char text[TN_TEXT];
    if (axis_text(b, text, like, p->axis) < 0) return TN_E_SHAPE;
    const tn_sym dy = with_axis(b, text, tn_grad_in(b, 0), like);
    const tn_sym index = with_axis(b, text, tn_grad_in(b, 1), like);
    b->set_output(b->ctx, 0, TN_EMIT(b, "_backward_take_along", text, dy, index, like));
    return TN_OK;
}

const tn_op_decl tni_op_backward_pick =
    TN_OP(.name = "_backward_pick", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of pick: zeros, with dy where it was picked from.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"),
                             TN_PORT(.name = "index", .flags = TN_PORT_NO_GRAD), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          PICK_PARAMS, .infer_shape = pick_backward_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = pick_backward_gradient, .expand = pick_backward_expand);

// ------------------------------------------------------------------ batch_take, old functions
//
//     choose_element_0index, batch_take   output[i] = x[i, index[i]]
//     fill_element_0index                 output = lhs, but output[i, rhs[i]] = mhs[i]

static tn_status rows_shape(const tn_infer *io)
{
    const tn_shape n = tni_shape(io, TNI_IN(1));
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_2d(n.ndim == 1 ? n.dim[0] : -1, -1)));
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_1d(-1)));
    return pick_rule(io, FORWARD_SLOTS, 1, false);
}

static tn_status rows_gradient(const tn_builder *b)
{
    return pick_back(b, 1, false);
}

static tn_status rows_expand(const tn_builder *b)
{
    return pick_along(b, 1, false);
}

#define BY_ROWS                                                                        \
    .outputs = PICK_OUTPUT, .infer_shape = rows_shape, .infer_dtype = tni_dtype_label, \
    .gradient = rows_gradient, .expand = rows_expand
#define INDEX(as) \
    TN_PORT(.name = as, .flags = TN_PORT_NO_GRAD, .doc = "(n,): an index into each row")

const tn_op_decl tni_op_batch_take =
    TN_OP(.name = "batch_take",
          .doc = "One element of each row: a[i, indices[i]]. An index outside is moved to the "
                 "nearest end.",
          .family = "indexing", .formula = "y[i] = a[i,indices[i]]",
          .shape_rule = "(n, k) (n,) -> (n,)",
          .source = "MXNet 0.11, src/operator/tensor/indexing_op.h",
          .inputs = TN_PORTS(TN_PORT(.name = "a", .doc = "(n, k)"), INDEX("indices")), BY_ROWS);

const tn_op_decl tni_op_choose_element =
    TN_OP(.name = "choose_element_0index",
          .doc = "One element of each row: lhs[i, rhs[i]]. An index outside is moved to the "
                 "nearest end.",
          .family = "indexing", .formula = "y[i] = lhs[i,rhs[i]]",
          .shape_rule = "(n, k) (n,) -> (n,)", .source = "MXNet 0.11, src/ndarray/ndarray.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "(n, k)"), INDEX("rhs")), BY_ROWS);

static tn_status fill_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_IN(2)));
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_1d(-1)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const int64_t n = tni_shape(io, TNI_IN(1)).dim[0];
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_2d(n, -1)));
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_1d(tni_shape(io, TNI_IN(0)).dim[0])));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_IN(2)));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

// lhs, mhs and the result have one dtype, the index any.
static tn_status fill_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    if (tni_dtype(io, TNI_IN(2)) != TN_DTYPE_NONE) return TN_OK;
    return tni_merge_dtype(io, TNI_IN(2), tni_dtype(io, TNI_IN(0)));
}

static tn_status fill_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0), v = tn_grad_in(b, 1), given = tn_grad_in(b, 2);
    const tn_sym whole = tn_emit(b, "Cast", "dtype=int64", &given, 1);
    const tn_sym at = TN_EMIT(b, "_broadcast_reduced", "axis=(1,)", whole, x);
    const tn_sym here = tni_call2(b, "_equal", tn_emit(b, "_positions", "axis=1", &x, 1), at);
    const tn_sym values = TN_EMIT(b, "_broadcast_reduced", "axis=(1,)", v, x);
    b->set_output(b->ctx, 0, TN_EMIT(b, "where", NULL, here, values, x));
    return TN_OK;
}

const tn_op_decl tni_op_fill_element =
    TN_OP(.name = "fill_element_0index",
          .doc = "lhs with one element of each row replaced: output[i, rhs[i]] = mhs[i]. An index "
                 "outside replaces nothing.",
          .family = "indexing", .formula = "y = lhs, but y[i,rhs[i]] = mhs[i]",
          .shape_rule = "(n, k) (n,) (n,) -> (n, k)",
          .source = "MXNet 0.11, src/ndarray/ndarray.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "(n, k)"),
                             TN_PORT(.name = "mhs", .doc = "(n,): the new elements"), INDEX("rhs")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, k)")),
          .infer_shape = fill_shape, .infer_dtype = fill_dtype, .expand = fill_expand);

// ------------------------------------------------------------------ _onehot_encode
//
//     output[i, j] = 1 where j = lhs[i], else 0, in the shape and dtype of rhs
//
// MXNet writes into rhs; here a new value takes its place.

static tn_status encode_shape(const tn_infer *io)
{
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_1d(-1)));
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_2d(tni_shape(io, TNI_IN(0)).dim[0], -1)));
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_1d(tni_shape(io, TNI_OUT(0)).dim[0])));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status encode_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(1), TNI_OUT(0)));
    if (tni_dtype(io, TNI_IN(0)) != TN_DTYPE_NONE) return TN_OK;
    return tni_merge_dtype(io, TNI_IN(0), tni_dtype(io, TNI_OUT(0)));
}

static tn_status encode_expand(const tn_builder *b)
{
    const tn_sym given = tn_grad_in(b, 0), like = tn_grad_in(b, 1);
    const tn_sym whole = tn_emit(b, "Cast", "dtype=int64", &given, 1);
    const tn_sym at = TN_EMIT(b, "_broadcast_reduced", "axis=(1,)", whole, like);
    const tn_sym here = tni_call2(b, "_equal", tn_emit(b, "_positions", "axis=1", &like, 1), at);
    b->set_output(b->ctx, 0, tni_call2(b, "_cast_like", here, like));
    return TN_OK;
}

const tn_op_decl tni_op_onehot_encode =
    TN_OP(.name = "_onehot_encode", .c_name = "onehot_encode", .flags = TN_OP_ZERO_GRAD,
          .doc =
              "Indices as rows with 1 at the index and 0 elsewhere. An index outside gives a row "
              "of zeros.",
          .family = "indexing", .formula = "y[i,j] = 1 where j == int(lhs[i]), else 0",
          .shape_rule = "(n,) (n, k) -> (n, k)", .source = "MXNet 0.11, src/ndarray/ndarray.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs", .flags = TN_PORT_NO_GRAD,
                                     .doc = "(n,): indices, of any dtype"),
                             TN_PORT(.name = "rhs", .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD,
                                     .doc = "(n, k): gives shape and dtype")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, k)")),
          .infer_shape = encode_shape, .infer_dtype = encode_dtype, .expand = encode_expand);
