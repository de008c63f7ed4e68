// backends/blas/blas_panel.h: products of a row-major matrix with panels.
#ifndef TENON_BLAS_PANEL_H
#define TENON_BLAS_PANEL_H

#include "blas.h"

#define BLAS_PANEL 128 // bytes of a row of a panel: 32 floats, 16 doubles

static inline int64_t blas_panel_width(tn_dtype dtype)
{
    return (int64_t)(BLAS_PANEL / tn_dtype_size(dtype));
}

// c(m, n) = or += a(m, k) · b(k, n) with n up to the panel's width.
typedef struct blas_panel {
    tn_dtype dtype; // TN_F32, TN_F64
    int64_t m, n, k;
    const void *a;
    int64_t a_row; // elements from row to row
    const void *b; // the panel
} blas_panel;

// By the calling thread. Rows of c are c_row elements apart. Columns are computed 64 bytes at a
// time or less: up to that multiple of n there must be memory behind each row of c.
void blas_panel_multiply(const blas_panel *p, void *c, int64_t c_row, bool add);

#endif
