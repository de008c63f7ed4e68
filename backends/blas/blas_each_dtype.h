// backends/blas/blas_each_dtype.h: includes THIS_FILE for every dtype.
//
//   T        element as it is stored
//   A        arithmetic and sums: double for the float dtypes, int64_t for integers and bool
//   GET(v)   an element as a number of type A
//   IS_REAL  1 or 0: what A is
//   E        arithmetic that compares: float, double, or the integer itself
//   GET_E(v) an element as a number of type E
//   NOT_A_NUMBER  of type E, where there is one; else 0
//   N(name)  name_f32, name_u8, …
#define N_(name, kind) name##kind

#define A double
#define IS_REAL 1
#define NOT_A_NUMBER NAN
#define GET(v) ((double)(v))
#define GET_E(v) (v)
#define E float
#define T float
#define N(name) N_(name, _f32)
#include THIS_FILE
#undef T
#undef N
#undef E
#define E double
#define T double
#define N(name) N_(name, _f64)
#include THIS_FILE
#undef T
#undef N
#undef GET
#undef GET_E
#undef E
#define GET(v) ((double)tn_f16_to_f32(v))
#define GET_E(v) tn_f16_to_f32(v)
#define E float
#define T uint16_t
#define N(name) N_(name, _f16)
#include THIS_FILE
#undef N
#undef GET
#undef GET_E
#define GET(v) ((double)tn_bf16_to_f32(v))
#define GET_E(v) tn_bf16_to_f32(v)
#define N(name) N_(name, _bf16)
#include THIS_FILE
#undef T
#undef N
#undef GET
#undef GET_E
#undef E
#undef A
#undef IS_REAL
#undef NOT_A_NUMBER

#define A int64_t
#define IS_REAL 0
#define NOT_A_NUMBER 0
#define GET(v) ((int64_t)(v))
#define GET_E(v) (v)
#define E T
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
#undef GET_E
#define GET(v) ((int64_t)((v) != 0))
#define GET_E(v) ((uint8_t)((v) != 0))
#define T uint8_t
#define N(name) N_(name, _bool)
#include THIS_FILE
#undef T
#undef N
#undef GET
#undef GET_E
#undef E
#undef A
#undef IS_REAL
#undef NOT_A_NUMBER
