// core/ops/multinomial.c: sample_multinomial: classes drawn with given probabilities.
#include "core/ops/ops.h"

typedef struct multinomial_params {
    tn_ints shape;
    int32_t get_prob;
    tn_dtype dtype;
} multinomial_params;

// ------------------------------------------------------------------ sample_multinomial
//
// data (…, k) and shape S: indices of shape … + S, drawn from the k probabilities of each row; (1,)
// from one row without S. With get_prob also log data[…, index], whose gradient is that of the
// likelihood ratio: d data[…, j] = Σ dy / data[…, j] over the draws that gave j.

static tn_status multinomial_check(const void *params, char *reason, size_t size)
{
    const multinomial_params *p = params;
    if (p->dtype == TN_I32 || p->dtype == TN_I64) return TN_OK;
    snprintf(reason, size, "dtype: wanted int32 or int64");
    return TN_E_INVALID;
}

// What data of shape x and the parameter say of the draws.
static tn_shape drawn(const tn_ints *shape, const tn_shape *x)
{
    tn_shape y = *x;
    y.ndim--;
    for (size_t i = 0; i < shape->n; i++) y.dim[y.ndim++] = shape->v[i];
    if (y.ndim == 0) y.dim[y.ndim++] = 1;
    return y;
}

static tn_status multinomial_shape(const tn_infer *io)
{
    const multinomial_params *p = io->params;
    if (io->n_out > 1) TNI_TRY(tni_link(io, TNI_OUT(0), TNI_OUT(1)));
    tn_shape x = tni_shape(io, TNI_IN(0));
    if (x.ndim < 0) return TN_OK;
    if (x.ndim == 0 || x.ndim - 1 + (int64_t)p->shape.n > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "data: wanted (..., k) and at most %d axes of the result, got %d axes "
                             "and %zu in shape",
                             TN_MAX_NDIM, x.ndim, p->shape.n);
    if (x.dim[x.ndim - 1] == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least one class, got none");
    TNI_TRY(tni_merge(io, TNI_OUT(0), drawn(&p->shape, &x)));
    const tn_shape y = tni_shape(io, TNI_OUT(0));
    memcpy(x.dim, y.dim, (size_t)(x.ndim - 1) * sizeof *x.dim);
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return io->n_out > 1 ? tni_link(io, TNI_OUT(0), TNI_OUT(1)) : TN_OK;
}

static tn_status multinomial_dtype(const tn_infer *io)
{
    const multinomial_params *p = io->params;
    if (io->n_out > 1) TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(1)));
    return tni_merge_dtype(io, TNI_OUT(0), p->dtype);
}

// v, a value for each draw, with all draws from a row on the last axis: of the shape of data, but
// for the extent there.
static tn_sym in_rows(const tn_builder *b, tn_sym v)
{
    const multinomial_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    if (p->shape.n == 0)
        return tni_call2(b, "reshape_like", v, tn_emit(b, "sum", "axis=(-1,); keepdims=1", &x, 1));
    for (size_t i = 1; i < p->shape.n; i++) // the last two axes become one
        v = tn_emit(b, "Reshape", "shape=(-2,-3); reverse=1", &v, 1);
    return v;
}

static tn_status multinomial_gradient(const tn_builder *b)
{
    const multinomial_params *p = b->params;
    const tn_sym dy = p->get_prob ? tn_grad_head(b, 1) : 0, x = tn_grad_in(b, 0);
    if (!dy) return TN_OK;
    const tn_sym index = in_rows(b, tn_grad_out(b, 0));
    const tn_sym drawn = TN_EMIT(b, "_take_along", "axis=-1", x, index);
    const tn_sym ratio = tni_call2(b, "_div", in_rows(b, dy), drawn);
    tn_grad_set(b, 0, TN_EMIT(b, "_backward_take_along", "axis=-1", ratio, index, x));
    return TN_OK;
}

const tn_op_decl tni_op_sample_multinomial =
    TN_OP(.name = "sample_multinomial", .aliases = "_sample_multinomial", .flags = TN_OP_RANDOM,
          .doc = "Indices of classes, drawn with the probabilities in the rows of data. Rows are "
                 "taken to sum to 1: the draws are as if divided by their sum, the logarithms not.",
          .family = "random",
          .formula = "P(y = j) = data[...,j];  with get_prob also log data[...,y], ddata[...,j] = "
                     "sum of dy / data[...,j] over the draws that gave j",
          .shape_rule = "(..., k) -> (...) + shape; one row without shape: (1,)",
          .source = "MXNet 0.11, src/operator/random/sample_multinomial_op.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(..., k): probabilities")),
          .outputs = TN_PORTS(
              TN_PORT(.name = "output", .when = "!get_prob", .doc = "indices, ... + shape"),
              TN_PORT(.name = "output0", .when = "get_prob", .doc = "indices, ... + shape"),
              TN_PORT(.name = "output1", .when = "get_prob",
                      .doc = "logarithms of the probabilities of what was drawn")),
          .params = TN_PARAMS(TN_PARAM(multinomial_params, shape, TN_P_I64S, .def = "()",
                                       .range = "[0,)", .max_len = TN_MAX_NDIM,
                                       .doc = "of the block of draws from each row; (): one draw"),
                              TN_PARAM(multinomial_params, get_prob, TN_P_BOOL, .def = "False",
                                       .doc = "give the logarithms, too"),
                              TN_PARAM(multinomial_params, dtype, TN_P_DTYPE, .def = "int32",
                                       .doc = "of the indices: int32 or int64")),
          .params_size = sizeof(multinomial_params), .check = multinomial_check,
          .infer_shape = multinomial_shape, .infer_dtype = multinomial_dtype,
          .gradient = multinomial_gradient);
