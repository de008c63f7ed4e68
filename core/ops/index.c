// core/ops/index.c: operators that look rows up by index: Embedding, take, one_hot.
#include "core/base/base.h"
#include "core/ops/ops.h"

#define LIKE(what) \
    TN_PORT(.name = what, .doc = "gives the shape", .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)

// rows (n..., m...) = table (d0, m...)[indices (n...)]: what the three shapes say of each other.
static tn_status lookup_rule(const tn_infer *io, tni_slot indices, tni_slot table, tni_slot rows)
{
    tn_shape n = tni_shape(io, indices), t = tni_shape(io, table), r = tni_shape(io, rows);
    if (t.ndim == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "wanted at least 1 axis to take from, got a scalar");
    if (t.ndim < 0) return TN_OK;
    if (n.ndim < 0 && r.ndim >= t.ndim - 1) n = tn_shape_rank(r.ndim - (t.ndim - 1));
    if (n.ndim < 0) return TN_OK;
    const int32_t ndim = n.ndim + t.ndim - 1;
    if (ndim > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "the result has %d axes, at most %d are there", ndim,
                             TN_MAX_NDIM);
    tn_shape wanted = tn_shape_rank(ndim);
    for (int32_t i = 0; i < ndim; i++)
        wanted.dim[i] = i < n.ndim ? n.dim[i] : t.dim[i - n.ndim + 1];
    TNI_TRY(tni_merge(io, rows, wanted));
    r = tni_shape(io, rows);
    for (int32_t i = 0; i < ndim; i++)
        *(i < n.ndim ? &n.dim[i] : &t.dim[i - n.ndim + 1]) = r.dim[i];
    TNI_TRY(tni_merge(io, indices, n));
    return tni_merge(io, table, t);
}

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
    return lookup_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0));
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
    return lookup_rule(io, TNI_IN(1), TNI_OUT(0), TNI_IN(0));
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
//     output[i..., ...] = a[index(indices[i...]), ...], where index clips or wraps
//
// As an Embedding of a seen as a matrix of rows.

typedef struct take_params {
    int64_t axis;
    int32_t mode;
} take_params;
enum { TAKE_RAISE, TAKE_WRAP, TAKE_CLIP };

static tn_status take_check(const void *params, char *reason, size_t size)
{
    const take_params *p = params;
    if (p->axis == 0 && p->mode != TAKE_RAISE) return TN_OK;
    snprintf(reason, size,
             p->axis ? "axis: only 0 can be taken from, got %lld"
                     : "mode: an index cannot be refused at run time, wanted clip or "
                       "wrap",
             (long long)p->axis);
    return TN_E_UNSUPPORTED;
}

static tn_status take_shape(const tn_infer *io)
{
    return lookup_rule(io, TNI_IN(1), TNI_IN(0), TNI_OUT(0));
}

// Rows and their length as an Embedding's parameters; false and an error if they are not known.
static bool take_dims(const tn_builder *b, tn_sym a, char text[TN_TEXT], int64_t *length)
{
    const tn_shape s = *b->shape(b->ctx, a);
    *length = tn_shape_span(&s, 1, s.ndim);
    if (*length > 0 && s.dim[0] > 0) {
        tn_text(text, "input_dim=%lld; output_dim=%lld", (long long)s.dim[0], (long long)*length);
        return true;
    }
    b->fail(b->ctx, TN_E_SHAPE, "take: wanted a known shape without empty axes");
    return false;
}

static tn_sym take_index(const tn_builder *b, tn_sym indices, tn_sym a)
{
    const take_params *p = b->params;
    const tn_shape s = *b->shape(b->ctx, a);
    if (p->mode == TAKE_CLIP) return indices;
    return tni_call_scalar(b, "_mod_scalar", indices, (double)s.dim[0]);
}

static tn_status take_expand(const tn_builder *b)
{
    const tn_sym a = tn_grad_in(b, 0), indices = tn_grad_in(b, 1);
    const tn_shape s = *b->shape(b->ctx, a), n = *b->shape(b->ctx, indices);
    char text[TN_TEXT], rows[TNI_LONG_TEXT] = "";
    int64_t length, back[2 * TN_MAX_NDIM] = {0};
    if (!take_dims(b, a, text, &length) || n.ndim < 0) return TN_OK;
    tni_text_list(rows, "shape", (tn_ints){2, (const int64_t[]){-1, length}});
    const tn_sym table = tn_emit(b, "Reshape", rows, &a, 1);
    const tn_sym found = TN_EMIT(b, "Embedding", text, take_index(b, indices, a), table);
    rows[0] = 0; // the axes of indices are copied (code 0), those of a stand there as numbers
    memcpy(back + n.ndim, s.dim + 1, (size_t)(s.ndim - 1) * sizeof *back);
    tni_text_list(rows, "shape", (tn_ints){(size_t)(n.ndim + s.ndim - 1), back});
    if (n.ndim + s.ndim == 1) // one element of a vector
        b->set_output(b->ctx, 0, tn_emit(b, "sum", NULL, &found, 1));
    else
        b->set_output(b->ctx, 0, tn_emit(b, "Reshape", rows, &found, 1));
    return TN_OK;
}

static tn_status take_gradient(const tn_builder *b)
{
    const take_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_take", p->mode == TAKE_WRAP ? "mode=wrap" : NULL, dy,
                            tn_grad_in(b, 1), tn_grad_in(b, 0)));
    return TN_OK;
}

#define TAKE_PARAMS                                                                             \
    .params = TN_PARAMS(TN_PARAM(take_params, axis, TN_P_I64, .def = "0", .range = "[0,)",      \
                                 .doc = "axis to take from: 0"),                                \
                        TN_PARAM(take_params, mode, TN_P_ENUM, .def = "clip",                   \
                                 .choices = "raise|wrap|clip",                                  \
                                 .doc = "what an index outside does: clip goes to the nearest " \
                                        "end, wrap counts on from the other end")),             \
    .params_size = sizeof(take_params), .check = take_check

const tn_op_decl tni_op_take =
    TN_OP(.name = "take", .doc = "Looks up entries of a along its first axis.",
          .source = "MXNet 0.11, src/operator/tensor/indexing_op.h",
          .inputs =
              TN_PORTS(TN_PORT(.name = "a", .doc = "(d0, ...)"),
                       TN_PORT(.name = "indices", .flags = TN_PORT_NO_GRAD, .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "indices' shape + a's without d0")),
          TAKE_PARAMS, .infer_shape = take_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = take_gradient, .expand = take_expand);

static tn_status take_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(lookup_rule(io, TNI_IN(1), TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status take_backward_gradient(const tn_builder *b)
{
    const take_params *p = b->params;
    const tn_sym g = tn_grad_head(b, 0);
    if (g)
        tn_grad_set(
            b, 0,
            TN_EMIT(b, "take", p->mode == TAKE_WRAP ? "mode=wrap" : NULL, g, tn_grad_in(b, 1)));
    return TN_OK;
}

static tn_status take_backward_expand(const tn_builder *b)
{
    const tn_sym dy = tn_grad_in(b, 0), indices = tn_grad_in(b, 1), like = tn_grad_in(b, 2);
    const tn_shape s = *b->shape(b->ctx, like), n = *b->shape(b->ctx, indices);
    char text[TN_TEXT], rows[TNI_LONG_TEXT] = "";
    int64_t length, flat[TN_MAX_NDIM + 1] = {0};
    if (!take_dims(b, like, text, &length) || n.ndim < 0) return TN_OK;
    flat[n.ndim] = length;
    tni_text_list(rows, "shape", (tn_ints){(size_t)n.ndim + 1, flat});
    const tn_sym dy_rows = tn_emit(b, "Reshape", rows, &dy, 1);
    rows[0] = 0;
    tni_text_list(rows, "shape", (tn_ints){2, (const int64_t[]){s.dim[0], length}});
    const size_t at = strlen(rows);
    snprintf(rows + at, sizeof rows - at, "dtype=%s", tn_dtype_name(b->dtype(b->ctx, dy)));
    const tn_sym table = tn_emit(b, "_zeros", rows, NULL, 0);
    const tn_sym sums =
        TN_EMIT(b, "_backward_Embedding", text, dy_rows, take_index(b, indices, like), table);
    b->set_output(b->ctx, 0, tni_call2(b, "reshape_like", sums, like));
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
