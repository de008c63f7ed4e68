// backends/blas/blas_convert.c: elements of any dtype to the three types of numbers that loops
// compute in, and back.
#include "blas.h"

#define F16_TO(v) tn_f16_to_f32(v)
#define BF16_TO(v) tn_bf16_to_f32(v)
#define SAME(v) (v)
#define IS_SET(v) ((v) != 0)
#define TO_I64(v) tn_saturate((double)(v), INT64_MIN, INT64_MAX)
#define HALF_TO_I64(v) TO_I64(tn_f16_to_f32(v))
#define BF16_TO_I64(v) TO_I64(tn_bf16_to_f32(v))

// out[i] = the element, as `to`
#define LOAD(name, to, type, read)                                              \
    BLAS_CLONES static void name(const void *p, int64_t at, int64_t n, to *out) \
    {                                                                           \
        const type *x = (const type *)p + at;                                   \
        BLAS_SIMD                                                               \
        for (int64_t i = 0; i < n; i++) out[i] = (to)read(x[i]);                \
    }
LOAD(f32_to_f32, float, float, SAME)
LOAD(f16_to_f32, float, uint16_t, F16_TO)
LOAD(bf16_to_f32, float, uint16_t, BF16_TO)
LOAD(u8_to_f32, float, uint8_t, SAME)
LOAD(i8_to_f32, float, int8_t, SAME)
LOAD(i32_to_f32, float, int32_t, SAME)
LOAD(bool_to_f32, float, uint8_t, IS_SET)
LOAD(f32_to_f64, double, float, SAME)
LOAD(f64_to_f64, double, double, SAME)
LOAD(f16_to_f64, double, uint16_t, F16_TO)
LOAD(bf16_to_f64, double, uint16_t, BF16_TO)
LOAD(u8_to_f64, double, uint8_t, SAME)
LOAD(i8_to_f64, double, int8_t, SAME)
LOAD(i32_to_f64, double, int32_t, SAME)
LOAD(i64_to_f64, double, int64_t, SAME)
LOAD(bool_to_f64, double, uint8_t, IS_SET)
LOAD(f32_to_i64, int64_t, float, TO_I64)
LOAD(f64_to_i64, int64_t, double, TO_I64)
LOAD(f16_to_i64, int64_t, uint16_t, HALF_TO_I64)
LOAD(bf16_to_i64, int64_t, uint16_t, BF16_TO_I64)
LOAD(u8_to_i64, int64_t, uint8_t, SAME)
LOAD(i8_to_i64, int64_t, int8_t, SAME)
LOAD(i32_to_i64, int64_t, int32_t, SAME)
LOAD(i64_to_i64, int64_t, int64_t, SAME)
LOAD(bool_to_i64, int64_t, uint8_t, IS_SET)

void blas_load_f32(tn_dtype dtype, const void *p, int64_t at, int64_t n, float *out)
{
    switch (dtype) {
    case TN_F16: f16_to_f32(p, at, n, out); break;
    case TN_BF16: bf16_to_f32(p, at, n, out); break;
    case TN_U8: u8_to_f32(p, at, n, out); break;
    case TN_I8: i8_to_f32(p, at, n, out); break;
    case TN_I32: i32_to_f32(p, at, n, out); break;
    case TN_BOOL: bool_to_f32(p, at, n, out); break;
    default: f32_to_f32(p, at, n, out); break;
    }
}

void blas_load_f64(tn_dtype dtype, const void *p, int64_t at, int64_t n, double *out)
{
    switch (dtype) {
    case TN_F32: f32_to_f64(p, at, n, out); break;
    case TN_F64: f64_to_f64(p, at, n, out); break;
    case TN_F16: f16_to_f64(p, at, n, out); break;
    case TN_BF16: bf16_to_f64(p, at, n, out); break;
    case TN_U8: u8_to_f64(p, at, n, out); break;
    case TN_I8: i8_to_f64(p, at, n, out); break;
    case TN_I32: i32_to_f64(p, at, n, out); break;
    case TN_I64: i64_to_f64(p, at, n, out); break;
    default: bool_to_f64(p, at, n, out); break;
    }
}

void blas_load_i64(tn_dtype dtype, const void *p, int64_t at, int64_t n, int64_t *out)
{
    switch (dtype) {
    case TN_F32: f32_to_i64(p, at, n, out); break;
    case TN_F64: f64_to_i64(p, at, n, out); break;
    case TN_F16: f16_to_i64(p, at, n, out); break;
    case TN_BF16: bf16_to_i64(p, at, n, out); break;
    case TN_U8: u8_to_i64(p, at, n, out); break;
    case TN_I8: i8_to_i64(p, at, n, out); break;
    case TN_I32: i32_to_i64(p, at, n, out); break;
    case TN_I64: i64_to_i64(p, at, n, out); break;
    default: bool_to_i64(p, at, n, out); break;
    }
}

#define TO_U8(v) tn_saturate(v, 0, UINT8_MAX)
#define TO_I8(v) tn_saturate(v, INT8_MIN, INT8_MAX)
#define TO_I32(v) tn_saturate(v, INT32_MIN, INT32_MAX)

// The element = v[i]
#define STORE(name, from, type, write)                                          \
    BLAS_CLONES static void name(void *p, int64_t at, int64_t n, const from *v) \
    {                                                                           \
        type *y = (type *)p + at;                                               \
        BLAS_SIMD                                                               \
        for (int64_t i = 0; i < n; i++) y[i] = (type)write(v[i]);               \
    }
STORE(f32_from_f32, float, float, SAME)
STORE(f16_from_f32, float, uint16_t, tn_f32_to_f16)
STORE(bf16_from_f32, float, uint16_t, tn_f32_to_bf16)
STORE(f32_from_f64, double, float, SAME)
STORE(f64_from_f64, double, double, SAME)
STORE(f16_from_f64, double, uint16_t, tn_f64_to_f16)
STORE(bf16_from_f64, double, uint16_t, tn_f64_to_bf16)
STORE(u8_from_f64, double, uint8_t, TO_U8)
STORE(i8_from_f64, double, int8_t, TO_I8)
STORE(i32_from_f64, double, int32_t, TO_I32)
STORE(i64_from_f64, double, int64_t, TO_I64)
STORE(bool_from_f64, double, uint8_t, IS_SET)
STORE(u8_from_i64, int64_t, uint8_t, SAME)
STORE(i8_from_i64, int64_t, int8_t, SAME)
STORE(i32_from_i64, int64_t, int32_t, SAME)
STORE(i64_from_i64, int64_t, int64_t, SAME)
STORE(bool_from_i64, int64_t, uint8_t, IS_SET)

void blas_store_f32(tn_dtype dtype, void *p, int64_t at, int64_t n, const float *v)
{
    switch (dtype) {
    case TN_F16: f16_from_f32(p, at, n, v); break;
    case TN_BF16: bf16_from_f32(p, at, n, v); break;
    default: f32_from_f32(p, at, n, v); break;
    }
}

void blas_store_f64(tn_dtype dtype, void *p, int64_t at, int64_t n, const double *v)
{
    switch (dtype) {
    case TN_F32: f32_from_f64(p, at, n, v); break;
    case TN_F64: f64_from_f64(p, at, n, v); break;
    case TN_F16: f16_from_f64(p, at, n, v); break;
    case TN_BF16: bf16_from_f64(p, at, n, v); break;
    case TN_U8: u8_from_f64(p, at, n, v); break;
    case TN_I8: i8_from_f64(p, at, n, v); break;
    case TN_I32: i32_from_f64(p, at, n, v); break;
    case TN_I64: i64_from_f64(p, at, n, v); break;
    default: bool_from_f64(p, at, n, v); break;
    }
}

enum { CHUNK = 256 }; // elements converted at a time

void blas_store_i64(tn_dtype dtype, void *p, int64_t at, int64_t n, const int64_t *v)
{
    switch (dtype) {
    case TN_U8: u8_from_i64(p, at, n, v); return;
    case TN_I8: i8_from_i64(p, at, n, v); return;
    case TN_I32: i32_from_i64(p, at, n, v); return;
    case TN_I64: i64_from_i64(p, at, n, v); return;
    case TN_BOOL: bool_from_i64(p, at, n, v); return;
    default: break;
    }
    double real[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t len = n - i < CHUNK ? n - i : CHUNK;
        i64_to_f64(v, i, len, real);
        blas_store_f64(dtype, p, at + i, len, real);
    }
}

double blas_as_real(tn_dtype dtype, double v)
{
    int64_t cell = 0;
    blas_store_f64(dtype, &cell, 0, 1, &v);
    blas_load_f64(dtype, &cell, 0, 1, &v);
    return v;
}

int64_t blas_as_int(tn_dtype dtype, double v)
{
    int64_t cell = 0;
    blas_store_f64(dtype, &cell, 0, 1, &v);
    return blas_get_int(dtype, &cell, 0);
}
