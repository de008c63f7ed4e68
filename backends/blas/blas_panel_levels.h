// backends/blas/blas_panel_levels.h: KERNEL_FILE for every level of the instruction set.

#define K(name) JOIN(JOIN(JOIN(name, _), JOIN(NUMBER, _)), LEVEL)

#if BLAS_LEVELS

#define LEVEL v4
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")))
#define LANES ((int)(64 / sizeof(T)))
#define MOST 8
typedef T K(vector) __attribute__((vector_size(64), aligned(4), may_alias));
#define VEC K(vector)
#include KERNEL_FILE
#undef LEVEL
#undef TARGET
#undef LANES
#undef MOST
#undef VEC

#define LEVEL v3
#define TARGET __attribute__((target("avx2,fma")))
#define LANES ((int)(32 / sizeof(T)))
#define MOST 4
typedef T K(vector) __attribute__((vector_size(32), aligned(4), may_alias));
#define VEC K(vector)
#include KERNEL_FILE
#undef LEVEL
#undef TARGET
#undef LANES
#undef MOST
#undef VEC

#endif

#define LEVEL any
#define TARGET
#define LANES ((int)(16 / sizeof(T)))
#define MOST 4
typedef T K(vector) __attribute__((vector_size(16), aligned(4), may_alias));
#define VEC K(vector)
#include KERNEL_FILE
#undef LEVEL
#undef TARGET
#undef LANES
#undef MOST
#undef VEC
#undef K
