// core/ops/repeat.c: repeat and reverse.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ repeat
//
//     output[…, i r + j, …] = data[…, i, …], 0 ≤ j < r
//
// A new axis behind the repeated one is broadcast, and the two are merged.

typedef struct repeat_params {
    int64_t repeats, axis;
} repeat_params;

static tn_status repeat_shape(const tn_infer *io)
{
    const repeat_params *p = io->params;
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    if (p->axis == TN_NONE_I64) {
        const int64_t n = tn_shape_size(&x);
        return tni_merge(io, TNI_OUT(0), tn_shape_1d(n < 0 ? -1 : tn_extent_times(n, p->repeats)));
    }
    if (x.ndim < 0 && y.ndim < 0) return TN_OK;
    if (x.ndim < 0) x = tn_shape_rank(y.ndim);
    const int32_t axis = tn_axis(p->axis, x.ndim);
    if (axis < 0 || x.ndim == TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes, at most %d",
                             (long long)p->axis, x.ndim, TN_MAX_NDIM - 1);
    tn_shape wanted = x;
    if (x.dim[axis] >= 0) wanted.dim[axis] = tn_extent_times(x.dim[axis], p->repeats);
    TNI_TRY(tni_merge(io, TNI_OUT(0), wanted));
    y = tni_shape(io, TNI_OUT(0));
    for (int32_t i = 0; i < x.ndim; i++)
        if (i != axis) x.dim[i] = y.dim[i];
    if (y.dim[axis] >= 0 && y.dim[axis] % p->repeats != 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis %d has extent %lld, wanted a multiple of %lld",
                             axis, (long long)y.dim[axis], (long long)p->repeats);
    if (y.dim[axis] >= 0) x.dim[axis] = y.dim[axis] / p->repeats;
    return tni_merge(io, TNI_IN(0), x);
}

// The axis counted as given: from the front, or from the end.
static tn_status repeat_expand(const tn_builder *b)
{
    const repeat_params *p = b->params;
    const bool flat = p->axis == TN_NONE_I64;
    const int64_t axis = flat ? 0 : p->axis;
    const int32_t others =
        (int32_t)(axis < 0 ? -axis - 1 : axis); // axes that stay behind or before
    int64_t codes[TN_MAX_NDIM + 2] = {0};
    char text[TN_TEXT], merged[TNI_LONG_TEXT] = "";
    tn_sym x = tn_grad_in(b, 0);
    if (others >= TN_MAX_NDIM) return b->fail(b->ctx, TN_E_SHAPE, "axis: there are 8 at most");
    if (flat) x = tn_emit(b, "Reshape", "shape=(-1,)", &x, 1);
    tn_text(text, "axis=%d", axis < 0 ? -others : others + 1);
    x = axis == -1 ? tn_emit(b, "Reshape", "shape=(-2,1)", &x, 1)
                   : tn_emit(b, "expand_dims", text, &x, 1);
    tn_text(text, "axis=(%d,); size=(%lld,)", axis < 0 ? -others - 1 : others + 1,
            (long long)p->repeats);
    x = tn_emit(b, "broadcast_axis", text, &x, 1);
    if (axis < 0) {
        codes[0] = -2;
        codes[1] = -3;
        snprintf(merged, sizeof merged, "reverse=1; ");
    } else {
        codes[others] = -3;
        codes[others + 1] = -2;
    }
    tni_text_list(merged, "shape", (tn_ints){(size_t)others + 2, codes});
    b->set_output(b->ctx, 0, tn_emit(b, "Reshape", merged, &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_repeat =
    TN_OP(.name = "repeat", .doc = "Repeats each element along an axis, as in NumPy.",
          .family = "shape",
          .formula = "y[...,i * repeats + j,...] = data[...,i,...], 0 <= j < repeats",
          .shape_rule = "the extent of axis times repeats; axis=None: (elements * repeats,)",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of at most 7 axes")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the axis is longer by repeats")),
          .params = TN_PARAMS(
              TN_PARAM(repeat_params, repeats, TN_P_I64, .range = "[1,)", .doc = "how many times"),
              TN_PARAM(repeat_params, axis, TN_P_I64, .def = "None", .flags = TN_PF_NONE,
                       .doc = "the axis; negative: from the end; None: data is flattened first")),
          .params_size = sizeof(repeat_params), .infer_shape = repeat_shape,
          .expand = repeat_expand);

// ------------------------------------------------------------------ reverse

typedef struct reverse_params {
    tn_ints axis;
} reverse_params;

// Bit i set: axis i is reversed. -1: there is no such axis.
static int32_t reversed_axes(const reverse_params *p, int32_t ndim)
{
    int32_t set = 0;
    for (size_t i = 0; i < p->axis.n; i++) {
        const int32_t axis = tn_axis(p->axis.v[i], ndim);
        if (axis < 0) return -1;
        set |= 1 << axis;
    }
    return set;
}

static tn_status reverse_shape(const tn_infer *io)
{
    const reverse_params *p = io->params;
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const tn_shape s = tni_shape(io, TNI_OUT(0));
    if (s.ndim < 0 || reversed_axes(p, s.ndim) >= 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "axis: one is not there in a value with %d axes", s.ndim);
}

static tn_status reverse_gradient(const tn_builder *b)
{
    const reverse_params *p = b->params;
    char text[TNI_LONG_TEXT] = "";
    const tn_sym dy = tn_grad_head(b, 0);
    tni_text_list(text, "axis", p->axis);
    if (dy) tn_grad_set(b, 0, tn_emit(b, "reverse", text, &dy, 1));
    return TN_OK;
}

static tn_status reverse_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    const int32_t ndim = b->shape(b->ctx, x)->ndim;
    const int32_t set = ndim < 0 ? -1 : reversed_axes(b->params, ndim);
    int64_t none[TN_MAX_NDIM], step[TN_MAX_NDIM];
    char text[TNI_LONG_TEXT] = "";
    if (set < 0) return b->fail(b->ctx, TN_E_SHAPE, "reverse: wanted a known number of axes");
    for (int32_t i = 0; i < ndim; i++) {
        none[i] = TN_NONE_I64;
        step[i] = set >> i & 1 ? -1 : 1;
    }
    tni_text_list(text, "begin", (tn_ints){(size_t)ndim, none});
    tni_text_list(text, "end", (tn_ints){(size_t)ndim, none});
    tni_text_list(text, "step", (tn_ints){(size_t)ndim, step});
    b->set_output(b->ctx, 0, tn_emit(b, "slice", text, &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_reverse =
    TN_OP(.name = "reverse", .aliases = "flip", .doc = "Reverses the order along axes.",
          .family = "shape", .formula = "y[...,i,...] = data[...,d - 1 - i,...] along each axis",
          .shape_rule = "output has the shape of data",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .params = TN_PARAMS(TN_PARAM(reverse_params, axis, TN_P_I64S, .min_len = 1,
                                       .max_len = TN_MAX_NDIM,
                                       .doc = "the axes; negative: from the end")),
          .params_size = sizeof(reverse_params), .infer_shape = reverse_shape,
          .gradient = reverse_gradient, .expand = reverse_expand);
