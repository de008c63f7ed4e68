// backends/reference/reference_each_number.h: includes THIS_FILE once per kind of number.
//
//   A            arithmetic and sums: double for the float dtypes, int64_t for integers and bool
//   GET, PUT     element to A and back
//   N(name)      name_real or name_int
//   IS_REAL      1 or 0
#define N_(name, kind) name##kind

#define A double
#define GET ref_get_real
#define PUT ref_put_real
#define IS_REAL 1
#define N(name) N_(name, _real)
#include THIS_FILE
#undef A
#undef GET
#undef PUT
#undef IS_REAL
#undef N

#define A int64_t
#define GET ref_get_int
#define PUT ref_put_int
#define IS_REAL 0
#define N(name) N_(name, _int)
#include THIS_FILE
#undef A
#undef GET
#undef PUT
#undef IS_REAL
#undef N
