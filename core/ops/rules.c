// core/ops/rules.c: what the shape rules and gradients of several operators share.
#include "core/base/base.h"
#include "core/ops/ops.h"

tn_shape tni_shape(const tn_infer *io, tni_slot slot)
{
    return slot >= 0 ? *io->in_shape(io->ctx, (uint32_t)slot)
                     : *io->out_shape(io->ctx, (uint32_t)(-1 - slot));
}

tn_status tni_merge(const tn_infer *io, tni_slot slot, tn_shape shape)
{
    return slot >= 0 ? io->merge_in_shape(io->ctx, (uint32_t)slot, &shape)
                     : io->merge_out_shape(io->ctx, (uint32_t)(-1 - slot), &shape);
}

tn_status tni_link(const tn_infer *io, tni_slot a, tni_slot b)
{
    TNI_TRY(tni_merge(io, b, tni_shape(io, a)));
    return tni_merge(io, a, tni_shape(io, b));
}

tn_dtype tni_dtype(const tn_infer *io, tni_slot slot)
{
    return slot >= 0 ? io->in_dtype(io->ctx, (uint32_t)slot)
                     : io->out_dtype(io->ctx, (uint32_t)(-1 - slot));
}

tn_status tni_merge_dtype(const tn_infer *io, tni_slot slot, tn_dtype dtype)
{
    if (dtype == TN_DTYPE_NONE) return TN_OK;
    return slot >= 0 ? io->merge_in_dtype(io->ctx, (uint32_t)slot, dtype)
                     : io->merge_out_dtype(io->ctx, (uint32_t)(-1 - slot), dtype);
}

tn_status tni_link_dtype(const tn_infer *io, tni_slot a, tni_slot b)
{
    TNI_TRY(tni_merge_dtype(io, b, tni_dtype(io, a)));
    return tni_merge_dtype(io, a, tni_dtype(io, b));
}

tn_status tni_dtype_all_but_in1(const tn_infer *io)
{
    tn_dtype known = TN_DTYPE_NONE;
    for (uint32_t i = 0; i < io->n_in && known == TN_DTYPE_NONE; i++)
        if (i != 1) known = tni_dtype(io, TNI_IN(i));
    for (uint32_t i = 0; i < io->n_out && known == TN_DTYPE_NONE; i++)
        known = tni_dtype(io, TNI_OUT(i));
    for (uint32_t i = 0; i < io->n_in; i++)
        if (i != 1) TNI_TRY(tni_merge_dtype(io, TNI_IN(i), known));
    for (uint32_t i = 0; i < io->n_out; i++) TNI_TRY(tni_merge_dtype(io, TNI_OUT(i), known));
    return TN_OK;
}

// Labels may be integers beside floating data; without a word on them they are as the data.
tn_status tni_dtype_label(const tn_infer *io)
{
    TNI_TRY(tni_dtype_all_but_in1(io));
    if (tni_dtype(io, TNI_IN(1)) != TN_DTYPE_NONE) return TN_OK;
    return tni_merge_dtype(io, TNI_IN(1), tni_dtype(io, TNI_IN(0)));
}

void tni_solve(tn_shape *shape, int32_t begin, int32_t end, int64_t total)
{
    int32_t unknown = -1;
    int64_t known = 1;
    if (shape->ndim < 0 || total < 0) return;
    for (int32_t i = begin; i < end && i < shape->ndim; i++) {
        if (shape->dim[i] >= 0) {
            known = tn_extent_times(known, shape->dim[i]);
        } else {
            if (unknown >= 0) return;
            unknown = i;
        }
    }
    if (unknown >= 0 && known > 0 && known < INT64_MAX && total % known == 0)
        shape->dim[unknown] = total / known;
}

bool tni_compatible(const tn_shape *a, const tn_shape *b)
{
    if (a->ndim < 0 || b->ndim < 0) return true;
    if (a->ndim != b->ndim) return false;
    for (int32_t i = 0; i < a->ndim; i++)
        if (a->dim[i] >= 0 && b->dim[i] >= 0 && a->dim[i] != b->dim[i]) return false;
    return true;
}

const char *tni_show(char buffer[TNI_SHOW], const tn_shape *shape)
{
    size_t at = 0;
    if (shape->ndim < 0) {
        snprintf(buffer, TNI_SHOW, "?");
        return buffer;
    }
    at += (size_t)snprintf(buffer, TNI_SHOW, "(");
    for (int32_t i = 0; i < shape->ndim; i++) {
        const char *comma = i + 1 < shape->ndim || shape->ndim == 1 ? "," : "";
        const size_t room = TNI_SHOW - at;
        at += shape->dim[i] < 0
                  ? (size_t)snprintf(buffer + at, room, "?%s", comma)
                  : (size_t)snprintf(buffer + at, room, "%lld%s", (long long)shape->dim[i], comma);
    }
    snprintf(buffer + at, TNI_SHOW - at, ")");
    return buffer;
}

tn_status tni_merge_param_shape(const tn_infer *io, tn_ints shape)
{
    if (shape.n == 0) return TN_OK;
    if (shape.n > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "shape: wanted at most %d axes, got %zu", TN_MAX_NDIM,
                             shape.n);
    tn_shape s = tn_shape_rank((int32_t)shape.n);
    for (size_t i = 0; i < shape.n; i++)
        if (shape.v[i] > 0) s.dim[i] = shape.v[i];
    return tni_merge(io, TNI_OUT(0), s);
}

tn_sym tni_call(const tn_builder *b, const char *op, tn_sym x)
{
    return tn_emit(b, op, NULL, &x, 1);
}

tn_sym tni_call2(const tn_builder *b, const char *op, tn_sym x, tn_sym y)
{
    return TN_EMIT(b, op, NULL, x, y);
}

tn_sym tni_call_scalar(const tn_builder *b, const char *op, tn_sym x, double scalar)
{
    char text[TN_TEXT], number[TNI_NUMBER];
    return tn_emit(b, op, tn_text(text, "scalar=%s", tni_number(number, scalar)), &x, 1);
}

void tni_text_list(char text[TNI_LONG_TEXT], const char *key, tn_ints list)
{
    size_t at = strlen(text);
    at += (size_t)snprintf(text + at, TNI_LONG_TEXT - at, "%s=(", key);
    for (size_t i = 0; i < list.n && at + 32 < TNI_LONG_TEXT; i++) {
        const size_t room = TNI_LONG_TEXT - at;
        at += list.v[i] == TN_NONE_I64
                  ? (size_t)snprintf(text + at, room, "None,")
                  : (size_t)snprintf(text + at, room, "%lld,", (long long)list.v[i]);
    }
    snprintf(text + at, TNI_LONG_TEXT - at, "); ");
}

tn_sym tni_head_or_zeros(const tn_builder *b, uint32_t i)
{
    const tn_sym dy = tn_grad_head(b, i);
    return dy ? dy : tni_call(b, "zeros_like", tn_grad_out(b, i));
}

tn_sym tni_zeros(const tn_builder *b, tn_shape shape, tn_dtype dtype)
{
    char text[TNI_LONG_TEXT] = "", cut[TNI_LONG_TEXT] = "begin=(";
    int64_t filled[TN_MAX_NDIM];
    bool empty = false;
    for (int32_t i = 0; i < shape.ndim; i++) {
        empty |= shape.dim[i] == 0;
        filled[i] = shape.dim[i] ? shape.dim[i] : 1;
    }
    if (shape.ndim == 0) filled[0] = 1;
    tni_text_list(text, "shape", (tn_ints){shape.ndim ? (size_t)shape.ndim : 1, filled});
    const size_t at = strlen(text);
    snprintf(text + at, sizeof text - at, "dtype=%s", tn_dtype_name(dtype));
    const tn_sym zeros = tn_emit(b, "_zeros", text, NULL, 0);
    if (shape.ndim == 0) return tn_emit(b, "squeeze", "axis=(0,)", &zeros, 1);
    if (!empty) return zeros;
    for (int32_t i = 0; i < shape.ndim; i++) strcat(cut, "0,"); // 2 bytes for each of 8 axes
    strcat(cut, "); ");
    tni_text_list(cut, "end", (tn_ints){(size_t)shape.ndim, shape.dim});
    return tn_emit(b, "slice", cut, &zeros, 1);
}

tn_sym tni_reshape(const tn_builder *b, tn_sym x, tn_shape to)
{
    char text[TNI_LONG_TEXT] = "";
    if (!x) return 0;
    const tn_shape s = *b->shape(b->ctx, x);
    if (tn_shape_equal(&s, &to)) return x;
    if (tn_shape_size(&to) == 0) return tni_zeros(b, to, b->dtype(b->ctx, x));
    const tn_shape filled = to.ndim ? to : tn_shape_1d(1);
    tni_text_list(text, "shape", (tn_ints){(size_t)filled.ndim, filled.dim});
    x = tn_emit(b, "Reshape", text, &x, 1);
    return to.ndim ? x : tn_emit(b, "squeeze", "axis=(0,)", &x, 1);
}

tn_sym tni_sum_like(const tn_builder *b, tn_sym x, tn_sym like)
{
    if (!x || !like) return 0;
    const tn_shape sx = *b->shape(b->ctx, x);
    const tn_shape sl = *b->shape(b->ctx, like);
    if (tn_shape_size(&sx) >= 0 && tn_shape_equal(&sx, &sl)) return x;
    return tni_call2(b, "_sum_like", x, like);
}

// ------------------------------------------------------------------ expansions

tn_sym tni_stretch(const tn_builder *b, tn_sym x, const tn_shape *whole)
{
    const tn_shape s = *b->shape(b->ctx, x);
    int64_t axes[TN_MAX_NDIM], sizes[TN_MAX_NDIM];
    char text[TNI_LONG_TEXT] = "";
    const int32_t more = whole->ndim - s.ndim;
    size_t n = 0;
    for (int32_t i = 0; i < more; i++) x = tn_emit(b, "expand_dims", "axis=0", &x, 1);
    for (int32_t i = 0; i < whole->ndim; i++) {
        if ((i < more ? 1 : s.dim[i - more]) == whole->dim[i]) continue;
        axes[n] = i;
        sizes[n++] = whole->dim[i];
    }
    if (n == 0) return x;
    tni_text_list(text, "axis", (tn_ints){n, axes});
    tni_text_list(text, "size", (tn_ints){n, sizes});
    return tn_emit(b, "broadcast_axis", text, &x, 1);
}

tn_sym tni_cast(const tn_builder *b, tn_sym x, tn_dtype dtype)
{
    char text[TN_TEXT];
    if (b->dtype(b->ctx, x) == dtype) return x;
    return tn_emit(b, "Cast", tn_text(text, "dtype=%s", tn_dtype_name(dtype)), &x, 1);
}

// -x, or the largest (smallest) number minus x where -x could overflow.
tn_sym tni_complement(const tn_builder *b, tn_sym x)
{
    switch (b->dtype(b->ctx, x)) {
    case TN_I8:
    case TN_I32:
    case TN_I64: return tni_call_scalar(b, "_rminus_scalar", x, -1);
    case TN_U8: return tni_call_scalar(b, "_rminus_scalar", x, 255);
    case TN_BOOL: return tni_call_scalar(b, "_equal_scalar", x, 0);
    default: return tni_call(b, "negative", x);
    }
}

tn_status tni_expanded(const tn_builder *b, tn_sym y)
{
    b->set_output(b->ctx, 0, y == tn_grad_in(b, 0) ? tni_call(b, "_copy", y) : y);
    return TN_OK;
}
