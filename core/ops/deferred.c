// core/ops/deferred.c: for expansions that are made before shapes and dtypes are known: _extent,
// _cast_as, _wide and _narrow ask for them at the bind.
#include "core/base/base.h"
#include "core/ops/ops.h"

tn_sym tni_call_with(const tn_builder *b, const char *op, const char *params, tn_sym x)
{
    return tn_emit(b, op, params, &x, 1);
}

tn_sym tni_part(const tn_builder *b, tn_sym x, int32_t axis, int64_t i)
{
    char text[TN_TEXT];
    tn_text(text, "axis=%d; begin=%lld; end=%lld", axis, (long long)i, (long long)i + 1);
    return tni_call_with(b, "slice_axis", text, x);
}

tn_status tni_dtype_one_float(const tn_infer *io)
{
    tn_dtype d = TN_DTYPE_NONE;
    for (uint32_t i = 0; i < io->n_in && d == TN_DTYPE_NONE; i++) d = tni_dtype(io, TNI_IN(i));
    for (uint32_t i = 0; i < io->n_out && d == TN_DTYPE_NONE; i++) d = tni_dtype(io, TNI_OUT(i));
    if (d == TN_DTYPE_NONE) return TN_OK;
    if (d != TN_F16 && d != TN_BF16 && d != TN_F32 && d != TN_F64)
        return tn_infer_fail(io, TN_E_DTYPE, "wanted a floating dtype, got %s", tn_dtype_name(d));
    for (uint32_t i = 0; i < io->n_in; i++) TNI_TRY(tni_merge_dtype(io, TNI_IN(i), d));
    for (uint32_t i = 0; i < io->n_out; i++) TNI_TRY(tni_merge_dtype(io, TNI_OUT(i), d));
    return TN_OK;
}

// ------------------------------------------------------------------ _extent

typedef struct extent_params {
    int64_t axis;
} extent_params;

static tn_status extent_shape(const tn_infer *io)
{
    const extent_params *p = io->params;
    const tn_shape s = tni_shape(io, TNI_IN(0));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_1d(1)));
    if (s.ndim < 0 || tn_axis(p->axis, s.ndim) >= 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes", (long long)p->axis,
                         s.ndim);
}

static tn_status extent_dtype(const tn_infer *io)
{
    return tni_merge_dtype(io, TNI_OUT(0), TN_I64);
}

static tn_status extent_expand(const tn_builder *b)
{
    const extent_params *p = b->params;
    const tn_shape s = *b->shape(b->ctx, tn_grad_in(b, 0));
    const int32_t axis = s.ndim < 0 ? -1 : tn_axis(p->axis, s.ndim);
    char text[TN_TEXT];
    if (axis < 0 || s.dim[axis] < 0)
        return b->fail(b->ctx, TN_E_SHAPE, "the shape of like is not known");
    tn_text(text, "shape=(1,); value=%lld; dtype=int64", (long long)s.dim[axis]);
    b->set_output(b->ctx, 0, tn_emit(b, "_full", text, NULL, 0));
    return TN_OK;
}

const tn_op_decl tni_op_extent =
    TN_OP(.name = "_extent", .flags = TN_OP_INTERNAL | TN_OP_ZERO_GRAD,
          .doc = "The extent of an axis, as int64.", .inputs = TN_PORTS(TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(1,)")),
          .params = TN_PARAMS(TN_PARAM(extent_params, axis, TN_P_I64,
                                       .doc = "the axis; negative: counted from the end")),
          .params_size = sizeof(extent_params), .infer_shape = extent_shape,
          .infer_dtype = extent_dtype, .expand = extent_expand);

tn_sym tni_extent(const tn_builder *b, tn_sym like, int32_t axis)
{
    char text[TN_TEXT];
    return tni_call_with(b, "_extent", tn_text(text, "axis=%d", axis), like);
}

// ------------------------------------------------------------------ _cast_as

static tn_status as_shape(const tn_infer *io)
{
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status as_dtype(const tn_infer *io)
{
    return tni_link_dtype(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status as_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "_cast_as", dy, tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status as_expand(const tn_builder *b)
{
    const tn_dtype dtype = b->dtype(b->ctx, tn_grad_in(b, 1));
    if (dtype == TN_DTYPE_NONE)
        return b->fail(b->ctx, TN_E_DTYPE, "the dtype of like is not known");
    return tni_expanded(b, tni_cast(b, tn_grad_in(b, 0), dtype));
}

const tn_op_decl tni_op_cast_as =
    TN_OP(.name = "_cast_as", .flags = TN_OP_INTERNAL,
          .doc = "Casts data to the dtype of like, which may be of another shape.",
          .inputs = TN_PORTS(TN_PORT(.name = "data"),
                             TN_PORT(.name = "like", .doc = "gives the dtype",
                                     .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .infer_shape = as_shape, .infer_dtype = as_dtype, .gradient = as_gradient,
          .expand = as_expand);

// ------------------------------------------------------------------ _wide, _narrow
//
// Each is the other's gradient, so that no value of an expansion is kept for its dtype only.

static tn_dtype wide_of(tn_dtype d)
{
    return d == TN_F16 || d == TN_BF16 ? TN_F32 : d;
}

// A float32 value does not say which of three the narrow one is.
static tn_status wide_rule(const tn_infer *io, tni_slot narrow, tni_slot wide)
{
    TNI_TRY(tni_merge_dtype(io, wide, wide_of(tni_dtype(io, narrow))));
    const tn_dtype d = tni_dtype(io, wide);
    return d == TN_F32 ? TN_OK : tni_merge_dtype(io, narrow, d);
}

static tn_status wide_dtype(const tn_infer *io)
{
    return wide_rule(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status wide_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "_narrow", dy, tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status wide_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    const tn_dtype dtype = b->dtype(b->ctx, x);
    if (dtype == TN_DTYPE_NONE)
        return b->fail(b->ctx, TN_E_DTYPE, "the dtype of data is not known");
    return tni_expanded(b, tni_cast(b, x, wide_of(dtype)));
}

const tn_op_decl tni_op_wide =
    TN_OP(.name = "_wide", .flags = TN_OP_INTERNAL,
          .doc = "float16 and bfloat16 as float32; anything else stays as it is.",
          .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .infer_shape = as_shape, .infer_dtype = wide_dtype, .gradient = wide_gradient,
          .expand = wide_expand);

static tn_status narrow_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(wide_rule(io, TNI_IN(1), TNI_IN(0)));
    return tni_link_dtype(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status narrow_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_wide(b, dy));
    return TN_OK;
}

const tn_op_decl tni_op_narrow =
    TN_OP(.name = "_narrow", .flags = TN_OP_INTERNAL,
          .doc = "Brings what _wide made back to the dtype of like, which may be of another shape.",
          .inputs = TN_PORTS(TN_PORT(.name = "data"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .infer_shape = as_shape, .infer_dtype = narrow_dtype, .gradient = narrow_gradient,
          .expand = as_expand);

tn_sym tni_wide(const tn_builder *b, tn_sym x)
{
    return tni_call(b, "_wide", x);
}

void tni_set_narrow(const tn_builder *b, uint32_t i, tn_sym y)
{
    b->set_output(b->ctx, i, tni_call2(b, "_narrow", y, tn_grad_in(b, 0)));
}
