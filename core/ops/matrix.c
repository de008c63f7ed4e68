// core/ops/matrix.c: operators that move whole axes: transpose, SwapAxis, Concat.
#include <stdlib.h>

#include "core/ops/ops.h"

// ------------------------------------------------------------------ transpose
//
//     output axis i is data axis axes[i]; without axes the order is reversed

typedef struct transpose_params {
    tn_ints axes;
} transpose_params;

static tn_status transpose_check(const void *params, char *reason, size_t size)
{
    const transpose_params *p = params;
    uint32_t seen = 0;
    for (size_t i = 0; i < p->axes.n; i++) {
        const int64_t axis = p->axes.v[i];
        if (axis >= 0 && axis < (int64_t)p->axes.n && axis < TN_MAX_NDIM && !(seen >> axis & 1)) {
            seen |= 1u << axis;
            continue;
        }
        snprintf(reason, size, "axes: wanted each of 0 to %zu once, got %lld", p->axes.n - 1,
                 (long long)axis);
        return TN_E_INVALID;
    }
    return TN_OK;
}

static tn_status transpose_shape(const tn_infer *io)
{
    const transpose_params *p = io->params;
    tn_shape in = tni_shape(io, TNI_IN(0)), out = tni_shape(io, TNI_OUT(0));
    const int32_t n = p->axes.n ? (int32_t)p->axes.n : in.ndim >= 0 ? in.ndim : out.ndim;
    if (n < 0) return TN_OK;
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(n)));
    in = tni_shape(io, TNI_IN(0));
    out = tn_shape_rank(n);
    for (int32_t i = 0; i < n; i++) out.dim[i] = in.dim[p->axes.n ? p->axes.v[i] : n - 1 - i];
    TNI_TRY(tni_merge(io, TNI_OUT(0), out));
    out = tni_shape(io, TNI_OUT(0));
    for (int32_t i = 0; i < n; i++) in.dim[p->axes.n ? p->axes.v[i] : n - 1 - i] = out.dim[i];
    return tni_merge(io, TNI_IN(0), in);
}

static tn_status transpose_gradient(const tn_builder *b)
{
    const transpose_params *p = b->params;
    int64_t inverse[TN_MAX_NDIM];
    char text[TNI_LONG_TEXT] = "";
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK;
    for (size_t i = 0; i < p->axes.n; i++) inverse[p->axes.v[i]] = (int64_t)i;
    tni_text_list(text, "axes", (tn_ints){p->axes.n, inverse});
    tn_grad_set(b, 0, tn_emit(b, "transpose", text, &dy, 1));
    return TN_OK;
}

const tn_op_decl tni_op_transpose =
    TN_OP(.name = "transpose", .doc = "Permutes the axes; without axes, reverses their order.",
          .family = "shape",
          .formula = "y[i_axes[0],i_axes[1],...] = data[i_0,i_1,...];  ddata = dy, transposed back",
          .shape_rule = "output axis i is data axis axes[i]; without axes the order is reversed",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data with its axes permuted")),
          .params = TN_PARAMS(TN_PARAM(transpose_params, axes, TN_P_I64S, .def = "()",
                                       .max_len = TN_MAX_NDIM,
                                       .doc = "for each axis of the output, that of data")),
          .params_size = sizeof(transpose_params), .check = transpose_check,
          .infer_shape = transpose_shape, .gradient = transpose_gradient);

// ------------------------------------------------------------------ SwapAxis

typedef struct swap_params {
    int64_t dim1, dim2;
} swap_params;

static tn_status swap_check(const void *params, char *reason, size_t size)
{
    const swap_params *p = params;
    if (p->dim1 != p->dim2) return TN_OK;
    snprintf(reason, size, "dim1 and dim2: wanted two axes, got %lld twice", (long long)p->dim1);
    return TN_E_INVALID;
}

static tn_status swap_one_way(const tn_infer *io, tni_slot from, tni_slot to)
{
    const swap_params *p = io->params;
    tn_shape s = tni_shape(io, from);
    if (s.ndim < 0) return TN_OK;
    if (p->dim1 >= s.ndim || p->dim2 >= s.ndim)
        return tn_infer_fail(io, TN_E_SHAPE, "dim1 and dim2: %lld and %lld of a value with %d axes",
                             (long long)p->dim1, (long long)p->dim2, s.ndim);
    const int64_t d = s.dim[p->dim1];
    s.dim[p->dim1] = s.dim[p->dim2];
    s.dim[p->dim2] = d;
    return tni_merge(io, to, s);
}

static tn_status swap_shape(const tn_infer *io)
{
    TNI_TRY(swap_one_way(io, TNI_IN(0), TNI_OUT(0)));
    return swap_one_way(io, TNI_OUT(0), TNI_IN(0));
}

static tn_status swap_gradient(const tn_builder *b)
{
    const swap_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    tn_text(text, "dim1=%lld; dim2=%lld", (long long)p->dim1, (long long)p->dim2);
    if (dy) tn_grad_set(b, 0, tn_emit(b, "SwapAxis", text, &dy, 1));
    return TN_OK;
}

static tn_status swap_expand(const tn_builder *b)
{
    const swap_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const int32_t ndim = b->shape(b->ctx, x)->ndim;
    int64_t axes[TN_MAX_NDIM] = {0};
    char text[TNI_LONG_TEXT] = "";
    for (int32_t i = 0; i < ndim; i++)
        axes[i] = i == p->dim1 ? p->dim2 : i == p->dim2 ? p->dim1 : i;
    tni_text_list(text, "axes", (tn_ints){(size_t)ndim, axes});
    b->set_output(b->ctx, 0, tn_emit(b, "transpose", text, &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_swap_axis =
    TN_OP(.name = "SwapAxis", .aliases = "swapaxes", .doc = "Exchanges two axes.",
          .family = "shape", .formula = "y = data with two axes exchanged",
          .shape_rule = "the extents of dim1 and dim2 are exchanged",
          .source = "MXNet 0.11, src/operator/swapaxis-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data with the two axes exchanged")),
          .params = TN_PARAMS(
              TN_PARAM(swap_params, dim1, TN_P_I64, .def = "0", .range = "[0,)", .doc = "one axis"),
              TN_PARAM(swap_params, dim2, TN_P_I64, .def = "0", .range = "[0,)",
                       .doc = "the other axis")),
          .params_size = sizeof(swap_params), .check = swap_check, .infer_shape = swap_shape,
          .gradient = swap_gradient, .expand = swap_expand);

// ------------------------------------------------------------------ Concat
//
//     output = [arg0, arg1, …] along axis dim; the other extents are equal

typedef struct concat_params {
    int64_t num_args, dim;
} concat_params;

// Where the parts of a concatenation are: n values from `first` on, inputs or outputs.
typedef struct parts {
    bool out;
    uint32_t first, n;
} parts;

static tni_slot part_slot(parts p, uint32_t i)
{
    return p.out ? TNI_OUT(p.first + i) : TNI_IN(p.first + i);
}

static tn_status unite(const tn_infer *io, tn_shape *all, const tn_shape *s)
{
    char sa[TNI_SHOW], ss[TNI_SHOW];
    if (s->ndim < 0) return TN_OK;
    if (all->ndim < 0) *all = tn_shape_rank(s->ndim);
    if (!tni_compatible(all, s))
        return tn_infer_fail(io, TN_E_SHAPE,
                             "%.80s does not go with %.80s: only the joined axis may differ",
                             tni_show(ss, s), tni_show(sa, all));
    for (int32_t i = 0; i < s->ndim; i++)
        if (all->dim[i] < 0) all->dim[i] = s->dim[i];
    return TN_OK;
}

// The extents that whole and parts share; -1 on the joined axis.
static tn_status concat_common(const tn_infer *io, parts p, tni_slot whole, tn_shape *common)
{
    const concat_params *c = io->params;
    *common = tn_shape_unknown();
    for (uint32_t i = 0; i <= p.n; i++) {
        tn_shape s = tni_shape(io, i < p.n ? part_slot(p, i) : whole);
        if (s.ndim >= 0 && c->dim >= s.ndim)
            return tn_infer_fail(io, TN_E_SHAPE, "dim: %lld of a value with %d axes",
                                 (long long)c->dim, s.ndim);
        if (s.ndim >= 0) s.dim[c->dim] = -1;
        TNI_TRY(unite(io, common, &s));
    }
    return TN_OK;
}

static tn_status concat_rule(const tn_infer *io, parts p, tni_slot whole)
{
    const int64_t dim = ((const concat_params *)io->params)->dim;
    tn_shape common;
    int64_t sum = 0;
    uint32_t unknown = 0, last = 0;
    TNI_TRY(concat_common(io, p, whole, &common));
    if (common.ndim < 0) return TN_OK;
    for (uint32_t i = 0; i < p.n; i++) {
        TNI_TRY(tni_merge(io, part_slot(p, i), common));
        const int64_t d = tni_shape(io, part_slot(p, i)).dim[dim];
        if (d < 0) {
            unknown++;
            last = i;
        } else if (__builtin_add_overflow(sum, d, &sum)) {
            return tn_infer_fail(io, TN_E_SHAPE, "the extents along axis %lld are too large",
                                 (long long)dim);
        }
    }
    tn_shape total = common;
    if (unknown == 0) total.dim[dim] = sum;
    TNI_TRY(tni_merge(io, whole, total));
    total = tni_shape(io, whole);
    if (unknown != 1 || total.dim[dim] < 0) return TN_OK;
    if (total.dim[dim] < sum)
        return tn_infer_fail(io, TN_E_SHAPE, "axis %lld: the known parts have %lld, the whole %lld",
                             (long long)dim, (long long)sum, (long long)total.dim[dim]);
    common.dim[dim] = total.dim[dim] - sum;
    return tni_merge(io, part_slot(p, last), common);
}

static tn_status concat_shape(const tn_infer *io)
{
    return concat_rule(io, (parts){false, 0, io->n_in}, TNI_OUT(0));
}

static tn_status concat_gradient(const tn_builder *b)
{
    const concat_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK;
    tn_sym *in = malloc((b->n_in + 1) * sizeof *in);
    if (!in) return b->fail(b->ctx, TN_E_NOMEM, "out of memory");
    in[0] = dy;
    for (uint32_t i = 0; i < b->n_in; i++) in[i + 1] = tn_grad_in(b, i);
    tn_text(text, "num_args=%u; dim=%lld", b->n_in, (long long)p->dim);
    const tn_sym first = tn_emit(b, "_backward_Concat", text, in, b->n_in + 1);
    for (uint32_t i = 0; i < b->n_in; i++) tn_grad_set(b, i, b->result(b->ctx, first, i));
    free(in);
    return TN_OK;
}

#define CONCAT_PARAMS                                                                        \
    .params = TN_PARAMS(TN_PARAM(concat_params, num_args, TN_P_I64, .range = "[1,)",         \
                                 .doc = "number of inputs; filled in by the caller's list"), \
                        TN_PARAM(concat_params, dim, TN_P_I64, .def = "1", .range = "[0,7]", \
                                 .doc = "axis along which to join")),                        \
    .params_size = sizeof(concat_params), .count = "num_args"

const tn_op_decl tni_op_concat =
    TN_OP(.name = "Concat", .aliases = "concat", .doc = "Joins its inputs along an axis.",
          .family = "shape", .formula = "y = [arg0, arg1, ...] along dim;  darg_i = its part of dy",
          .shape_rule = "(n, a_i, ...) -> (n, sum a_i, ...) along dim; the other extents are equal",
          .source = "MXNet 0.11, src/operator/concat-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "arg", .flags = TN_PORT_VARIADIC,
                                     .doc = "equal in all extents but that of the joined axis")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the inputs, one behind the other")),
          CONCAT_PARAMS, .infer_shape = concat_shape, .gradient = concat_gradient);

static tn_status concat_backward_shape(const tn_infer *io)
{
    for (uint32_t i = 1; i < io->n_in; i++) TNI_TRY(tni_link(io, TNI_IN(i), TNI_OUT(i - 1)));
    TNI_TRY(concat_rule(io, (parts){false, 1, io->n_in - 1}, TNI_IN(0)));
    for (uint32_t i = 1; i < io->n_in; i++) TNI_TRY(tni_link(io, TNI_IN(i), TNI_OUT(i - 1)));
    return TN_OK;
}

static tn_status concat_backward_gradient(const tn_builder *b)
{
    const concat_params *p = b->params;
    char text[TN_TEXT];
    tn_text(text, "num_args=%u; dim=%lld", b->n_out, (long long)p->dim);
    tn_grad_set(b, 0, tni_join_heads(b, "Concat", text));
    return TN_OK;
}

static tn_status concat_backward_expand(const tn_builder *b)
{
    const concat_params *p = b->params;
    int64_t begin = 0;
    for (uint32_t i = 1; i < b->n_in; i++) {
        const int64_t n = b->shape(b->ctx, tn_grad_in(b, i))->dim[p->dim];
        b->set_output(b->ctx, i - 1, tni_segment(b, tn_grad_in(b, 0), p->dim, begin, n));
        begin += n;
    }
    return TN_OK;
}

const tn_op_decl tni_op_backward_concat =
    TN_OP(.name = "_backward_Concat", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of Concat: takes dy apart along the joined axis.",
          .inputs =
              TN_PORTS(TN_PORT(.name = "dy"),
                       TN_PORT(.name = "arg", .doc = "give the shapes",
                               .flags = TN_PORT_VARIADIC | TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), CONCAT_PARAMS,
          .count_outputs = "num_args", .infer_shape = concat_backward_shape,
          .gradient = concat_backward_gradient, .expand = concat_backward_expand);
