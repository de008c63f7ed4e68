// backends/blas/blas_panel.c: products of a row-major matrix with panels.
//
// A panel holds BLAS_PANEL bytes of each of k rows, one after the other: what a product reads of
// its second factor lies in one stream, and is made once, by whoever knows where it comes from. So
// a convolution need not write its columns for OpenBLAS to copy them again.
#include "blas_panel.h"

enum { DEPTH = 256 }; // rows of a panel at a time: they fit the first-level cache

// Levels beyond the compiler's own, chosen at run time.
#if defined(__x86_64__) && defined(__GLIBC__)
#define BLAS_LEVELS 1
#else
#define BLAS_LEVELS 0
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#define T float
#define NUMBER f32
#include "blas_panel_levels.h"
#undef T
#undef NUMBER

#define T double
#define NUMBER f64
#include "blas_panel_levels.h"
#undef T
#undef NUMBER

typedef void (*rows_f32_fn)(const float *a, int64_t a_row, const float *b, const int64_t size[3],
                            float *c, int64_t c_row, bool add);
typedef void (*rows_f64_fn)(const double *a, int64_t a_row, const double *b, const int64_t size[3],
                            double *c, int64_t c_row, bool add);

static rows_f32_fn rows_f32(void)
{
#if BLAS_LEVELS
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return rows_f32_v4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return rows_f32_v3;
#endif
    return rows_f32_any;
}

static rows_f64_fn rows_f64(void)
{
#if BLAS_LEVELS
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return rows_f64_v4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return rows_f64_v3;
#endif
    return rows_f64_any;
}

void blas_panel_multiply(const blas_panel *p, void *c, int64_t c_row, bool add)
{
    const int64_t panel = (int64_t)(BLAS_PANEL / tn_dtype_size(p->dtype));
    int64_t at = 0;
    do { // once if k is 0, too

        const int64_t size[3] = {p->m, p->k - at < DEPTH ? p->k - at : DEPTH, p->n};
        if (p->dtype == TN_F64)
            rows_f64()((const double *)p->a + at, p->a_row, (const double *)p->b + at * panel, size,
                       c, c_row, add || at);
        else
            rows_f32()((const float *)p->a + at, p->a_row, (const float *)p->b + at * panel, size,
                       c, c_row, add || at);
        at += DEPTH;
    } while (at < p->k);
}

bool blas_panel_fast(void)
{
#if BLAS_LEVELS
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}
