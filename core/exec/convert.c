// core/exec/convert.c: elements of any dtype into elements of any other.
#include <math.h>
#include <tenon/half.h>

#include "core/exec/exec.h"

// Elements pass through one of two middle types that hold them exactly: int64 for integers and
// bool, double for floats. A piece is small enough to stay in the first-level cache.
enum { PIECE = 512 };

typedef union piece {
    double f[PIECE];
    int64_t i[PIECE];
} piece;

static bool is_float(tn_dtype dtype)
{
    return dtype == TN_F32 || dtype == TN_F64 || dtype == TN_F16 || dtype == TN_BF16;
}

#define EACH(statement) \
    for (int64_t k = 0; k < n; k++) statement

static void load(piece *p, const void *src, tn_dtype dtype, int64_t n)
{
    switch (dtype) {
    case TN_F32: EACH(p->f[k] = (double)((const float *)src)[k]); break;
    case TN_F64: EACH(p->f[k] = ((const double *)src)[k]); break;
    case TN_F16: EACH(p->f[k] = (double)tn_f16_to_f32(((const uint16_t *)src)[k])); break;
    case TN_BF16: EACH(p->f[k] = (double)tn_bf16_to_f32(((const uint16_t *)src)[k])); break;
    case TN_U8: EACH(p->i[k] = ((const uint8_t *)src)[k]); break;
    case TN_I8: EACH(p->i[k] = ((const int8_t *)src)[k]); break;
    case TN_I32: EACH(p->i[k] = ((const int32_t *)src)[k]); break;
    case TN_I64: EACH(p->i[k] = ((const int64_t *)src)[k]); break;
    case TN_BOOL: EACH(p->i[k] = ((const uint8_t *)src)[k] != 0); break;
    default: break;
    }
}

// v cut towards zero; what does not fit saturates, NaN is 0.
static int64_t cut(double v, double lo, double hi)
{
    if (isnan(v)) return 0;
    if (v <= lo) return lo <= -0x1p63 ? INT64_MIN : (int64_t)lo;
    if (v >= hi) return hi >= 0x1p63 ? INT64_MAX : (int64_t)hi;
    return (int64_t)v;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static void store_floats(void *dst, tn_dtype dtype, const piece *p, int64_t n)
{
    switch (dtype) {
    case TN_F32: EACH(((float *)dst)[k] = (float)p->f[k]); break;
    case TN_F64: EACH(((double *)dst)[k] = p->f[k]); break;
    case TN_F16: EACH(((uint16_t *)dst)[k] = tn_f64_to_f16(p->f[k])); break;
    case TN_BF16: EACH(((uint16_t *)dst)[k] = tn_f64_to_bf16(p->f[k])); break;
    case TN_U8: EACH(((uint8_t *)dst)[k] = (uint8_t)cut(p->f[k], 0, UINT8_MAX)); break;
    case TN_I8: EACH(((int8_t *)dst)[k] = (int8_t)cut(p->f[k], INT8_MIN, INT8_MAX)); break;
    case TN_I32: EACH(((int32_t *)dst)[k] = (int32_t)cut(p->f[k], INT32_MIN, INT32_MAX)); break;
    case TN_I64: EACH(((int64_t *)dst)[k] = cut(p->f[k], -0x1p63, 0x1p63)); break;
    case TN_BOOL: EACH(((uint8_t *)dst)[k] = p->f[k] != 0); break;
    default: break;
    }
}

static void store_integers(void *dst, tn_dtype dtype, const piece *p, int64_t n)
{
    switch (dtype) {
    case TN_F32: EACH(((float *)dst)[k] = (float)p->i[k]); break;
    case TN_F64: EACH(((double *)dst)[k] = (double)p->i[k]); break;
    case TN_F16: EACH(((uint16_t *)dst)[k] = tn_f64_to_f16((double)p->i[k])); break;
    case TN_BF16: EACH(((uint16_t *)dst)[k] = tn_f64_to_bf16((double)p->i[k])); break;
    case TN_U8: EACH(((uint8_t *)dst)[k] = (uint8_t)clamp(p->i[k], 0, UINT8_MAX)); break;
    case TN_I8: EACH(((int8_t *)dst)[k] = (int8_t)clamp(p->i[k], INT8_MIN, INT8_MAX)); break;
    case TN_I32: EACH(((int32_t *)dst)[k] = (int32_t)clamp(p->i[k], INT32_MIN, INT32_MAX)); break;
    case TN_I64: EACH(((int64_t *)dst)[k] = p->i[k]); break;
    case TN_BOOL: EACH(((uint8_t *)dst)[k] = p->i[k] != 0); break;
    default: break;
    }
}

void tni_convert(void *dst, tn_dtype dst_dtype, const void *src, tn_dtype src_dtype, int64_t n)
{
    const size_t to = tn_dtype_size(dst_dtype), from = tn_dtype_size(src_dtype);
    if (n <= 0 || !to || !from) return;
    if (dst_dtype == src_dtype) {
        memmove(dst, src, (size_t)n * to);
        return;
    }
    piece p;
    for (int64_t at = 0; at < n; at += PIECE) {
        const int64_t count = n - at < PIECE ? n - at : PIECE;
        load(&p, (const char *)src + (size_t)at * from, src_dtype, count);
        char *const out = (char *)dst + (size_t)at * to;
        if (is_float(src_dtype))
            store_floats(out, dst_dtype, &p, count);
        else
            store_integers(out, dst_dtype, &p, count);
    }
}
