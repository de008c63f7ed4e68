// core/ops/gather.c: elements by several indices at once: gather_nd, scatter_nd; diag; and
// _check_index, which refuses indices outside.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ gather_nd, scatter_nd
//
//     gather_nd   output[y…, x…] = data[indices[0, y…], …, indices[M-1, y…], x…]
//     scatter_nd  output[indices[0, y…], …, indices[M-1, y…], x…] = Σ data[y…, x…]
//
// The sum runs over all y with the same indices; elements that no index names are 0. So each is
// the transpose, and the gradient, of the other. An index outside is moved to the nearest end.

typedef struct scatter_params {
    tn_ints shape;
} scatter_params;

// whole (d0 … dM-1, x…), indices (M, y…), part (y…, x…)
static tn_status gather_rule(const tn_infer *io, tni_slot whole, tni_slot indices, tni_slot part)
{
    tn_shape w = tni_shape(io, whole), n = tni_shape(io, indices), s = tni_shape(io, part);
    if (n.ndim == 0) return tn_infer_fail(io, TN_E_SHAPE, "indices: wanted (M, ...), got a scalar");
    if (n.ndim < 0 || n.dim[0] < 0 || w.ndim < 0) return TN_OK;
    const int64_t m = n.dim[0];
    if (m < 1 || m > w.ndim)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "indices: wanted 1 to %d along the first axis, as data has axes, got "
                             "%lld",
                             w.ndim, (long long)m);
    const int32_t ny = n.ndim - 1, ndim = ny + w.ndim - (int32_t)m;
    if (ndim > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "the result has %d axes, at most %d are there", ndim,
                             TN_MAX_NDIM);
    tn_shape wanted = tn_shape_rank(ndim);
    for (int32_t i = 0; i < ndim; i++) wanted.dim[i] = i < ny ? n.dim[i + 1] : w.dim[i - ny + m];
    TNI_TRY(tni_merge(io, part, wanted));
    s = tni_shape(io, part);
    for (int32_t i = 0; i < ndim; i++) *(i < ny ? &n.dim[i + 1] : &w.dim[i - ny + m]) = s.dim[i];
    TNI_TRY(tni_merge(io, indices, n));
    return tni_merge(io, whole, w);
}

// The call as one of take: whole (n, width), index (y…) into its rows. False: an error is set, or
// there is nothing to look up.
typedef struct nd_call {
    tn_sym index;
    tn_shape flat, part; // (n, width); (y…, width)
} nd_call;

// index := Σ_m clip(indices[m]) · (elements of the axes m+1 … M-1), as int64
static tn_sym flat_index(const tn_builder *b, tn_sym indices, const tn_shape *whole, int64_t m)
{
    char text[TN_TEXT];
    tn_sym sum = 0;
    const tn_sym as_int = tn_emit(b, "Cast", "dtype=int64", &indices, 1);
    for (int64_t i = 0; i < m; i++) {
        tn_text(text, "axis=0; begin=%lld; end=%lld", (long long)i, (long long)i + 1);
        tn_sym at = tn_emit(b, "slice_axis", text, &as_int, 1);
        tn_text(text, "a_min=0; a_max=%lld", (long long)(whole->dim[i] - 1));
        at = tn_emit(b, "clip", text, &at, 1);
        const int64_t step = tn_shape_span(whole, (int32_t)i + 1, (int32_t)m);
        if (step != 1) at = tni_call_scalar(b, "_mul_scalar", at, (double)step);
        sum = sum ? tni_call2(b, "elemwise_add", sum, at) : at;
    }
    return tn_emit(b, "squeeze", "axis=(0,)", &sum, 1);
}

static bool nd_call_of(const tn_builder *b, tn_sym indices, const tn_shape *w, nd_call *c)
{
    const tn_shape n = *b->shape(b->ctx, indices);
    if (tn_shape_size(w) < 0 || tn_shape_size(&n) < 0) {
        b->fail(b->ctx, TN_E_SHAPE, "gather_nd: wanted known shapes");
        return false;
    }
    if (tn_shape_size(w) == 0 || tn_shape_size(&n) == 0) return false;
    const int32_t m = (int32_t)n.dim[0];
    const int64_t width = tn_shape_span(w, m, w->ndim);
    c->index = flat_index(b, indices, w, m);
    c->flat = tn_shape_2d(tn_shape_span(w, 0, m), width);
    c->part = tn_shape_rank(n.ndim);
    memcpy(c->part.dim, n.dim + 1, (size_t)(n.ndim - 1) * sizeof *n.dim);
    c->part.dim[n.ndim - 1] = width;
    return true;
}

static tn_status gather_shape(const tn_infer *io)
{
    return gather_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0));
}

// Shape of the part that indices show of the whole.
static tn_shape part_shape(const tn_shape *w, const tn_shape *n)
{
    tn_shape s = tn_shape_rank(n->ndim - 1 + w->ndim - (int32_t)n->dim[0]);
    for (int32_t i = 0; i < s.ndim; i++)
        s.dim[i] = i < n->ndim - 1 ? n->dim[i + 1] : w->dim[i - (n->ndim - 1) + n->dim[0]];
    return s;
}

static tn_status gather_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0), indices = tn_grad_in(b, 1);
    const tn_shape w = *b->shape(b->ctx, x), n = *b->shape(b->ctx, indices);
    nd_call c;
    if (!nd_call_of(b, indices, &w, &c)) {
        if (tn_shape_size(&w) < 0 || tn_shape_size(&n) < 0) return TN_OK; // the error is set
        const tn_shape none = part_shape(&w, &n);
        if (tn_shape_size(&none) != 0)
            return b->fail(b->ctx, TN_E_SHAPE, "gather_nd: there is no element to look up");
        b->set_output(b->ctx, 0, tni_zeros(b, none, b->dtype(b->ctx, x)));
        return TN_OK;
    }
    const tn_sym y = tni_call2(b, "take", tni_reshape(b, x, c.flat), c.index);
    b->set_output(b->ctx, 0, tni_reshape(b, y, part_shape(&w, &n)));
    return TN_OK;
}

static tn_status gather_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(
            b, 0, TN_EMIT(b, "_backward_gather_nd", NULL, dy, tn_grad_in(b, 1), tn_grad_in(b, 0)));
    return TN_OK;
}

#define INDICES                                                                               \
    TN_PORT(.name = "indices", .flags = TN_PORT_NO_GRAD,                                      \
            .doc = "(M, ...): the first axis holds the M indices of each element; fractions " \
                   "are dropped")

const tn_op_decl tni_op_gather_nd =
    TN_OP(.name = "gather_nd",
          .doc = "Looks elements up by M indices each: output[y, x] = data[indices[0, y], ..., "
                 "indices[M-1, y], x]. An index outside is moved to the nearest end.",
          .family = "indexing",
          .formula = "y[p,x] = data[indices[0,p],...,indices[M-1,p],x];  ddata = scatter_nd of dy",
          .shape_rule = "(d_0, ..., d_M-1, x...) (M, p...) -> (p..., x...)",
          .source = "MXNet 1.x, src/operator/tensor/indexing_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of M axes at least"), INDICES),
          .outputs = TN_PORTS(TN_PORT(.name = "output",
                                      .doc = "indices' shape without M + data's without the first "
                                             "M axes")),
          .infer_shape = gather_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = gather_gradient, .expand = gather_expand);

// Adds the elements of `part` up in a whole of shape w.
static tn_status scatter(const tn_builder *b, tn_sym part, tn_sym indices, tn_shape w)
{
    const tn_dtype dtype = b->dtype(b->ctx, part);
    nd_call c;
    if (!nd_call_of(b, indices, &w, &c)) {
        if (tn_shape_size(&w) >= 0) b->set_output(b->ctx, 0, tni_zeros(b, w, dtype));
        return TN_OK;
    }
    const tn_sym whole = tni_zeros(b, c.flat, dtype), rows = tni_reshape(b, part, c.part);
    const tn_sym y = TN_EMIT(b, "_backward_take", NULL, rows, c.index, whole);
    b->set_output(b->ctx, 0, tni_reshape(b, y, w));
    return TN_OK;
}

static tn_status scatter_shape(const tn_infer *io)
{
    TNI_TRY(tni_merge_param_shape(io, ((const scatter_params *)io->params)->shape));
    return gather_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0));
}

static tn_status scatter_expand(const tn_builder *b)
{
    const tn_ints shape = ((const scatter_params *)b->params)->shape;
    tn_shape w = tn_shape_rank((int32_t)shape.n);
    memcpy(w.dim, shape.v, shape.n * sizeof *shape.v);
    return scatter(b, tn_grad_in(b, 0), tn_grad_in(b, 1), w);
}

static tn_status scatter_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "gather_nd", dy, tn_grad_in(b, 1)));
    return TN_OK;
}

const tn_op_decl tni_op_scatter_nd =
    TN_OP(.name = "scatter_nd",
          .doc = "Puts elements where M indices each say, into zeros: output[indices[0, y], ..., "
                 "indices[M-1, y], x] = data[y, x]. Elements with the same indices are added up. "
                 "An index outside is moved to the nearest end.",
          .family = "indexing",
          .formula =
              "y[indices[0,p],...,indices[M-1,p],x] adds up data[p,x];  ddata = gather_nd of dy",
          .shape_rule = "(p..., x...) (M, p...) -> shape (d_0, ..., d_M-1, x...)",
          .source = "MXNet 1.x, src/operator/tensor/indexing_op.cc, with duplicates defined",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "indices' shape without M + that of an "
                                                            "element"),
                             INDICES),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "of the given shape")),
          .params =
              TN_PARAMS(TN_PARAM(scatter_params, shape, TN_P_I64S, .range = "[1,)", .min_len = 1,
                                 .max_len = TN_MAX_NDIM, .doc = "shape of the output")),
          .params_size = sizeof(scatter_params), .infer_shape = scatter_shape,
          .infer_dtype = tni_dtype_all_but_in1, .gradient = scatter_gradient,
          .expand = scatter_expand);

static tn_status gather_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(gather_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status gather_backward_expand(const tn_builder *b)
{
    return scatter(b, tn_grad_in(b, 0), tn_grad_in(b, 1), *b->shape(b->ctx, tn_grad_in(b, 2)));
}

const tn_op_decl tni_op_backward_gather_nd =
    TN_OP(.name = "_backward_gather_nd", .aliases = "_scatter_accumulate", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of gather_nd: adds the elements of dy up, each at its indices.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"),
                             TN_PORT(.name = "indices", .flags = TN_PORT_NO_GRAD), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          .infer_shape = gather_backward_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = scatter_gradient, .expand = gather_backward_expand);

// ------------------------------------------------------------------ _check_index
//
// Indices as int64, if all of them are in 0 … extent-1. A primitive, since nothing else fails.

typedef struct check_params {
    int64_t extent;
} check_params;

static tn_status check_dtype(const tn_infer *io)
{
    return tni_merge_dtype(io, TNI_OUT(0), TN_I64);
}

const tn_op_decl tni_op_check_index =
    TN_OP(.name = "_check_index", .flags = TN_OP_INTERNAL | TN_OP_ZERO_GRAD,
          .doc = "Indices as int64; it is an error while running if one is outside 0 to extent-1.",
          .inputs = TN_PORTS(TN_PORT(.name = "indices")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")),
          .params = TN_PARAMS(TN_PARAM(check_params, extent, TN_P_I64, .range = "[0,)",
                                       .doc = "of the axis that is looked into")),
          .params_size = sizeof(check_params), .infer_dtype = check_dtype);
