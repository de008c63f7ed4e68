// core/ops/index.c: operators that look rows up by index: Embedding, take, one_hot.
#include "core/base/base.h"
#include "core/ops/ops.h"

#define LIKE(what) \
    TN_PORT(.name = what, .doc = "gives the shape", .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)

// rows (k..., n..., m...) = table (k..., d, m...)[..., indices (n...), ...] on the table's axis
// `axis`: what the three shapes say of each other.
static tn_status lookup_rule(const tn_infer *io, const tni_slot slots[3], int64_t axis)
{
    const tni_slot indices = slots[0], table = slots[1], rows = slots[2];
    tn_shape n = tni_shape(io, indices), t = tni_shape(io, table), r = tni_shape(io, rows);
    if (t.ndim == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "wanted at least 1 axis to take from, got a scalar");
    if (t.ndim < 0) return TN_OK;
    if (axis >= t.ndim)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes", (long long)axis,
                             t.ndim);
    if (n.ndim < 0 && r.ndim >= t.ndim - 1) n = tn_shape_rank(r.ndim - (t.ndim - 1));
    if (n.ndim < 0) return TN_OK;
    const int32_t ndim = n.ndim + t.ndim - 1, at = (int32_t)axis;
    if (ndim > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "the result has %d axes, at most %d are there", ndim,
                             TN_MAX_NDIM);
    int64_t *from[TN_MAX_NDIM]; // the extent that each axis of the rows comes from
    tn_shape wanted = tn_shape_rank(ndim);
    for (int32_t i = 0; i < ndim; i++) {
        from[i] = i < at ? &t.dim[i] : i < at + n.ndim ? &n.dim[i - at] : &t.dim[i - n.ndim + 1];
        wanted.dim[i] = *from[i];
    }
    TNI_TRY(tni_merge(io, rows, wanted));
    r = tni_shape(io, rows);
    for (int32_t i = 0; i < ndim; i++) *from[i] = r.dim[i];
    TNI_TRY(tni_merge(io, indices, n));
    return tni_merge(io, table, t);
}

#define LOOKUP(io, indices, table, rows, axis) \
    lookup_rule((io), (const tni_slot[]){(indices), (table), (rows)}, (axis))

// ------------------------------------------------------------------ Embedding
//
//     output[i..., :] = weight[clip(int(data[i...]), 0, input_dim - 1), :]
//
// The gradient of weight adds up the rows of dy by index; data gets none.

typedef struct embedding_params {
    int64_t input_dim, output_dim;
    tn_dtype dtype;
} embedding_params;

static tn_status embedding_shape(const tn_infer *io)
{
    const embedding_params *p = io->params;
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_2d(p->input_dim, p->output_dim)));
    return LOOKUP(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0), 0);
}

// Indices are of any dtype. Weight and output have one, which the parameter gives if nothing else.
static tn_status embedding_dtype(const tn_infer *io)
{
    const embedding_params *p = io->params;
    TNI_TRY(tni_link_dtype(io, TNI_IN(1), TNI_OUT(0)));
    if (tni_dtype(io, TNI_IN(1)) != TN_DTYPE_NONE) return TN_OK;
    TNI_TRY(tni_merge_dtype(io, TNI_IN(1), p->dtype));
    return tni_merge_dtype(io, TNI_OUT(0), p->dtype);
}

static tn_status embedding_gradient(const tn_builder *b)
{
    const embedding_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    tn_text(text, "input_dim=%lld; output_dim=%lld", (long long)p->input_dim,
            (long long)p->output_dim);
    if (dy)
        tn_grad_set(
            b, 1, TN_EMIT(b, "_backward_Embedding", text, dy, tn_grad_in(b, 0), tn_grad_in(b, 1)));
    return TN_OK;
}

#define DIMS                                                              \
    TN_PARAM(embedding_params, input_dim, TN_P_I64, .range = "[1,)",      \
             .doc = "number of rows that can be looked up"),              \
        TN_PARAM(embedding_params, output_dim, TN_P_I64, .range = "[1,)", \
                 .doc = "length of a row")

const tn_op_decl tni_op_embedding =
    TN_OP(.name = "Embedding",
          .doc = "Looks up rows of weight: indices outside are moved to the nearest end.",
          .family = "layer",
          .formula = "y[i...,:] = weight[clip(int(data[i...]), 0, input_dim - 1),:];  dweight adds "
                     "the rows of dy up by index",
          .shape_rule = "data (...), weight (input_dim, output_dim) -> (..., output_dim)",
          .source = "MXNet 0.11, src/operator/tensor/indexing_op.h",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .flags = TN_PORT_NO_GRAD, .doc = "indices, of any shape"),
              TN_PORT(.name = "weight", .doc = "(input_dim, output_dim)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data's shape + (output_dim,)")),
          .params = TN_PARAMS(DIMS, TN_PARAM(embedding_params, dtype, TN_P_DTYPE, .def = "float32",
                                             .doc = "of weight, if it has none yet")),
          .params_size = sizeof(embedding_params), .infer_shape = embedding_shape,
          .infer_dtype = embedding_dtype, .gradient = embedding_gradient);

static tn_status embedding_backward_shape(const tn_infer *io)
{
    const embedding_params *p = io->params;
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_2d(p->input_dim, p->output_dim)));
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    return LOOKUP(io, TNI_IN(1), TNI_OUT(0), TNI_IN(0), 0);
}

static tn_status embedding_backward_gradient(const tn_builder *b)
{
    const embedding_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    tn_text(text, "input_dim=%lld; output_dim=%lld", (long long)p->input_dim,
            (long long)p->output_dim);
    if (g) tn_grad_set(b, 0, TN_EMIT(b, "Embedding", text, tn_grad_in(b, 1), g));
    return TN_OK;
}

const tn_op_decl tni_op_backward_embedding =
    TN_OP(.name = "_backward_Embedding", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of Embedding's weight: row i is the sum of the rows of dy whose index "
                 "is i.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"),
                             TN_PORT(.name = "data", .flags = TN_PORT_NO_GRAD), LIKE("weight")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .params = TN_PARAMS(DIMS),
          .params_size = sizeof(embedding_params), .infer_shape = embedding_backward_shape,
          .infer_dtype = tni_dtype_all_but_in1, .gradient = embedding_backward_gradient);

// ------------------------------------------------------------------ take
//
//     output[k..., i..., m...] = a[k..., index(indices[i...]), m...], index on the given axis
//
// clip moves an index outside to the nearest end, wrap counts on from the other end, raise makes
// the run fail. With a seen as (outer, d, inner), this is a _take_along with one index for all.

typedef struct take_params {
    int64_t axis;
    int32_t mode;
} take_params;
enum { TAKE_RAISE, TAKE_WRAP, TAKE_CLIP };

static tn_status take_shape(const tn_infer *io)
{
    const take_params *p = io->params;
    return LOOKUP(io, TNI_IN(1), TNI_IN(0), TNI_OUT(0), p->axis);
}

// The call with a as (outer, d, inner) and indices as (1, n, 1).
typedef struct flat_take {
    tn_shape a, indices, rows; // rows: (outer, n, inner)
} flat_take;

static bool flat_shapes(const tn_builder *b, tn_sym a, tn_sym indices, flat_take *f)
{
    const take_params *p = b->params;
    const tn_shape s = *b->shape(b->ctx, a), n = *b->shape(b->ctx, indices);
    const int32_t axis = (int32_t)p->axis;
    if (tn_shape_size(&s) < 0 || tn_shape_size(&n) < 0) {
        b->fail(b->ctx, TN_E_SHAPE, "take: wanted known shapes");
        return false;
    }
    const int64_t outer = tn_shape_span(&s, 0, axis), inner = tn_shape_span(&s, axis + 1, s.ndim);
    f->a = (tn_shape){.ndim = 3, .dim = {outer, s.dim[axis], inner}};
    f->indices = (tn_shape){.ndim = 3, .dim = {1, tn_shape_size(&n), 1}};
    f->rows = (tn_shape){.ndim = 3, .dim = {outer, tn_shape_size(&n), inner}};
    return true;
}

// The indices as (1, n, 1), inside the axis or clipped by whoever looks up.
static tn_sym take_index(const tn_builder *b, tn_sym indices, const flat_take *f, bool check)
{
    const take_params *p = b->params;
    char text[TN_TEXT];
    tn_sym x = indices;
    if (p->mode == TAKE_RAISE && check) {
        x = tn_emit(b, "_check_index", tn_text(text, "extent=%lld", (long long)f->a.dim[1]), &x, 1);
    } else if (p->mode == TAKE_WRAP) {
        x = tn_emit(b, "Cast", "dtype=int64", &x, 1);
        x = tni_call_scalar(b, "_mod_scalar", x, (double)f->a.dim[1]);
    }
    return tni_reshape(b, x, f->indices);
}

static tn_status take_expand(const tn_builder *b)
{
    const take_params *p = b->params;
    const tn_sym a = tn_grad_in(b, 0), indices = tn_grad_in(b, 1);
    const tn_shape s = *b->shape(b->ctx, a), n = *b->shape(b->ctx, indices);
    flat_take f;
    if (!flat_shapes(b, a, indices, &f)) return TN_OK;
    tn_shape y = s; // a's shape with that of indices in place of the axis
    y.ndim = s.ndim - 1 + n.ndim;
    for (int32_t i = (int32_t)p->axis; i < y.ndim; i++) {
        const int32_t at = i - (int32_t)p->axis;
        y.dim[i] = at < n.ndim ? n.dim[at] : s.dim[i - n.ndim + 1];
    }
    if (tn_shape_size(&y) == 0) {
        b->set_output(b->ctx, 0, tni_zeros(b, y, b->dtype(b->ctx, a)));
        return TN_OK;
    }
    if (f.a.dim[1] == 0) return b->fail(b->ctx, TN_E_SHAPE, "take: there is no row to take");
    const tn_sym table = tni_reshape(b, a, f.a), index = take_index(b, indices, &f, true);
    const tn_sym rows = TN_EMIT(b, "_take_along", "axis=1", table, index);
    b->set_output(b->ctx, 0, tni_reshape(b, rows, y));
    return TN_OK;
}

static const char *take_text(char text[TN_TEXT], const take_params *p)
{
    static const char *const modes[] = {"raise", "wrap", "clip"};
    return tn_text(text, "axis=%lld; mode=%s", (long long)p->axis, modes[p->mode]);
}

static tn_status take_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_take", take_text(text, b->params), dy, tn_grad_in(b, 1),
                            tn_grad_in(b, 0)));
    return TN_OK;
}

#define TAKE_PARAMS                                                                             \
    .params = TN_PARAMS(TN_PARAM(take_params, axis, TN_P_I64, .def = "0", .range = "[0,)",      \
                                 .doc = "axis to take from"),                                   \
                        TN_PARAM(take_params, mode, TN_P_ENUM, .def = "clip",                   \
                                 .choices = "raise|wrap|clip",                                  \
                                 .doc = "what an index outside does: clip goes to the nearest " \
                                        "end, wrap counts on from the other end, raise makes "  \
                                        "the run fail")),                                       \
    .params_size = sizeof(take_params)

const tn_op_decl tni_op_take =
    TN_OP(.name = "take",
          .doc = "Looks up entries of a along an axis, whose place the axes of indices take.",
          .family = "indexing",
          .formula = "y[i...,...] = a[index(indices[i...]),...], where index clips or wraps;  da "
                     "adds dy up by index",
          .shape_rule = "a (d, r...), indices (i...) -> (i..., r...)",
          .source = "MXNet 0.11, src/operator/tensor/indexing_op.h; every axis and mode as in 1.x",
          .inputs = TN_PORTS(TN_PORT(.name = "a", .doc = "(k..., d, m...), d on the axis"),
                             TN_PORT(.name = "indices", .flags = TN_PORT_NO_GRAD,
                                     .doc = "(n...), of any dtype; fractions are dropped")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(k..., n..., m...)")), TAKE_PARAMS,
          .infer_shape = take_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = take_gradient, .expand = take_expand);

static tn_status take_backward_shape(const tn_infer *io)
{
    const take_params *p = io->params;
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(LOOKUP(io, TNI_IN(1), TNI_OUT(0), TNI_IN(0), p->axis));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status take_backward_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, TN_EMIT(b, "take", take_text(text, b->params), g, tn_grad_in(b, 1)));
    return TN_OK;
}

// The forward pass has refused what is outside, so mode raise is as clip.
static tn_status take_backward_expand(const tn_builder *b)
{
    const tn_sym dy = tn_grad_in(b, 0), indices = tn_grad_in(b, 1), like = tn_grad_in(b, 2);
    const tn_shape s = *b->shape(b->ctx, like);
    const tn_dtype dtype = b->dtype(b->ctx, dy);
    flat_take f;
    if (!flat_shapes(b, like, indices, &f)) return TN_OK;
    if (tn_shape_size(&f.rows) == 0 || tn_shape_size(&s) == 0) {
        b->set_output(b->ctx, 0, tni_zeros(b, s, dtype));
        return TN_OK;
    }
    const tn_sym rows = tni_reshape(b, dy, f.rows), table = tni_zeros(b, f.a, dtype);
    const tn_sym sums = TN_EMIT(b, "_backward_take_along", "axis=1", rows,
                                take_index(b, indices, &f, false), table);
    b->set_output(b->ctx, 0, tni_reshape(b, sums, s));
    return TN_OK;
}

const tn_op_decl tni_op_backward_take =
    TN_OP(.name = "_backward_take", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of take: entry i is the sum of the entries of dy whose index is i.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"),
                             TN_PORT(.name = "indices", .flags = TN_PORT_NO_GRAD), LIKE("like")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), TAKE_PARAMS,
          .infer_shape = take_backward_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = take_backward_gradient, .expand = take_backward_expand);

// ------------------------------------------------------------------ one_hot
//
//     output[i..., j] = on_value where j == int(indices[i...]), else off_value

typedef struct one_hot_params {
    int64_t depth;
    double on_value, off_value;
    tn_dtype dtype;
} one_hot_params;

static tn_status one_hot_shape(const tn_infer *io)
{
    const one_hot_params *p = io->params;
    tn_shape in = tni_shape(io, TNI_IN(0)), out = tni_shape(io, TNI_OUT(0));
    const int32_t ndim = in.ndim >= 0 ? in.ndim : out.ndim - 1;
    if (ndim < 0) return TN_OK;
    if (ndim == TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "indices: wanted at most %d axes, got %d",
                             TN_MAX_NDIM - 1, ndim);
    if (in.ndim < 0) in = tn_shape_rank(ndim);
    tn_shape wanted = tn_shape_rank(ndim + 1);
    memcpy(wanted.dim, in.dim, (size_t)ndim * sizeof *in.dim);
    wanted.dim[ndim] = p->depth;
    TNI_TRY(tni_merge(io, TNI_OUT(0), wanted));
    out = tni_shape(io, TNI_OUT(0));
    memcpy(in.dim, out.dim, (size_t)ndim * sizeof *in.dim);
    return tni_merge(io, TNI_IN(0), in);
}

static tn_status one_hot_dtype(const tn_infer *io)
{
    const one_hot_params *p = io->params;
    return tni_merge_dtype(io, TNI_OUT(0), p->dtype);
}

static tn_status one_hot_expand(const tn_builder *b)
{
    const one_hot_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym in = tn_grad_in(b, 0);
    tn_sym x = tn_emit(b, "Cast", "dtype=int64", &in, 1); // truncates, as an index is meant to
    x = tn_emit(b, "Reshape", "shape=(-2,1)", &x, 1);
    tn_text(text, "start=0; stop=%lld; dtype=int64", (long long)p->depth);
    x = tni_call2(b, "broadcast_equal", x, tn_emit(b, "_arange", text, NULL, 0));
    x = tn_emit(b, "Cast", tn_text(text, "dtype=%s", tn_dtype_name(p->dtype)), &x, 1);
    if (p->on_value - p->off_value != 1)
        x = tni_call_scalar(b, "_mul_scalar", x, p->on_value - p->off_value);
    if (p->off_value != 0) x = tni_call_scalar(b, "_plus_scalar", x, p->off_value);
    b->set_output(b->ctx, 0, x);
    return TN_OK;
}

const tn_op_decl tni_op_one_hot = TN_OP(
        .name = "one_hot", .flags = TN_OP_ZERO_GRAD,
        .doc = "Indices as vectors with on_value at the index; off_value only for indices outside.",
        .family = "indexing",
        .formula = "y[i...,j] = on_value where j == int(indices[i...]), else off_value",
        .shape_rule = "(i...) -> (i..., depth)",
        .source = "MXNet 0.11, src/operator/tensor/indexing_op.h",
        .inputs = TN_PORTS(TN_PORT(.name = "indices", .doc = "of any shape and dtype")),
        .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "indices' shape + (depth,)")),
        .params = TN_PARAMS(
            TN_PARAM(one_hot_params, depth, TN_P_I64, .range = "[1,)", .doc = "length of a vector"),
            TN_PARAM(one_hot_params, on_value, TN_P_F64, .def = "1.0", .doc = "at the index"),
            TN_PARAM(one_hot_params, off_value, TN_P_F64, .def = "0.0", .doc = "elsewhere"),
            TN_PARAM(one_hot_params, dtype, TN_P_DTYPE, .def = "float32", .doc = "of the output")),
        .params_size = sizeof(one_hot_params), .infer_shape = one_hot_shape,
        .infer_dtype = one_hot_dtype, .expand = one_hot_expand);
