// backends/blas/blas_each_type.h: includes THIS_FILE for float and for double.
//
//   T            element and arithmetic; sums are double
//   N(name)      name_f32 or name_f64
//   EXP, SQRT    of T, and vectorisable for float
//   IS_F32       1 or 0
#include "blas_math.h"

#define N_(name, kind) name##kind

#define T float
#define EXP blas_expf
#define SQRT sqrtf
#define IS_F32 1
#define N(name) N_(name, _f32)
#include THIS_FILE
#undef T
#undef EXP
#undef SQRT
#undef IS_F32
#undef N

#define T double
#define EXP exp
#define SQRT sqrt
#define IS_F32 0
#define N(name) N_(name, _f64)
#include THIS_FILE
#undef T
#undef EXP
#undef SQRT
#undef IS_F32
#undef N
