// backends/blas/blas_each_dtype.h: includes THIS_FILE for every dtype.
//
//   T        element as it is stored
//   A        arithmetic and sums: double for the float dtypes, int64_t for integers and bool
//   GET(v)   an element as a number of type A
//   IS_REAL  1 or 0: what A is
//   N(name)  name_f32, name_u8, …
#define N_(name, kind) name##kind

#define A double
#define IS_REAL 1
#define GET(v) ((double)(v))
#define T float
#define N(name) N_(name, _f32)
#include THIS_FILE
#undef T
#undef N
#define T double
#define N(name) N_(name, _f64)
#include THIS_FILE
#undef T
#undef N
#undef GET
#define GET(v) ((double)tn_f16_to_f32(v))
#define T uint16_t
#define N(name) N_(name, _f16)
#include THIS_FILE
#undef N
#undef GET
#define GET(v) ((double)tn_bf16_to_f32(v))
#define N(name) N_(name, _bf16)
#include THIS_FILE
#undef T
#undef N
#undef GET
#undef A
#undef IS_REAL

#define A int64_t
#define IS_REAL 0
#define GET(v) ((int64_t)(v))
#define T uint8_t
#define N(name) N_(name, _u8)
#include THIS_FILE
#undef T
#undef N
#define T int8_t
#define N(name) N_(name, _i8)
#include THIS_FILE
#undef T
#undef N
#define T int32_t
#define N(name) N_(name, _i32)
#include THIS_FILE
#undef T
#undef N
#define T int64_t
#define N(name) N_(name, _i64)
#include THIS_FILE
#undef T
#undef N
#undef GET
#define GET(v) ((int64_t)((v) != 0))
#define T uint8_t
#define N(name) N_(name, _bool)
#include THIS_FILE
#undef T
#undef N
#undef GET
#undef A
#undef IS_REAL
