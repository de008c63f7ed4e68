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

// The first factor, from some number of its rows on.
typedef struct panel_side {
    const void *p;
    int64_t row, strip; // as a_row and a_strip of blas_panel
} panel_side;

#define KERNEL_FILE "blas_panel_kernel.h"
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

typedef void (*rows_f32_fn)(const panel_side *a, const float *b, const int64_t size[3], float *c,
                            int64_t c_row, bool add);
typedef void (*rows_f64_fn)(const panel_side *a, const double *b, const int64_t size[3], double *c,
                            int64_t c_row, bool add);

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
    const size_t bytes = tn_dtype_size(p->dtype);
    const int64_t step = p->a_strip ? BLAS_STRIP : 1;
    int64_t at = 0;
    do { // once if k is 0, too
        const int64_t size[3] = {p->m, p->k - at < DEPTH ? p->k - at : DEPTH, p->n};
        const panel_side a = {(const char *)p->a + (size_t)(at * step) * bytes, p->a_row,
                              p->a_strip};
        const void *b = (const char *)p->b + (size_t)at * BLAS_PANEL;
        if (p->dtype == TN_F64)
            rows_f64()(&a, b, size, c, c_row, add || at);
        else
            rows_f32()(&a, b, size, c, c_row, add || at);
        at += DEPTH;
    } while (at < p->k);
}

void blas_panel_into(const blas_panel *p, void *c, int64_t c_row, bool add)
{
    enum { ROWS = 64 };
    const int64_t width = blas_panel_width(p->dtype);
    const size_t size = tn_dtype_size(p->dtype);
    if (p->n == width) {
        blas_panel_multiply(p, c, c_row, add);
        return;
    }
    _Alignas(64) char sums[ROWS * BLAS_PANEL];
    blas_panel part = *p;
    for (int64_t i = 0; i < p->m; i += ROWS) {
        const int64_t row = p->a_strip ? i / BLAS_STRIP * p->a_strip : i * p->a_row;
        part.m = p->m - i < ROWS ? p->m - i : ROWS;
        part.a = (const char *)p->a + (size_t)row * size;
        blas_panel_multiply(&part, sums, width, false);
        blas_panel_put(p->dtype, sums, (const int64_t[]){part.m, p->n},
                       (char *)c + (size_t)(i * c_row) * size, c_row, add);
    }
}

bool blas_panel_fast(void)
{
#if BLAS_LEVELS
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}
