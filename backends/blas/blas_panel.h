// backends/blas/blas_panel.h: products of a row-major matrix with panels.
#ifndef TENON_BLAS_PANEL_H
#define TENON_BLAS_PANEL_H

#include "blas.h"

#define BLAS_PANEL 128 // bytes of a row of a panel: 32 floats, 16 doubles
#define BLAS_STRIP 8   // rows of a strip

static inline int64_t blas_panel_width(tn_dtype dtype)
{
    return (int64_t)(BLAS_PANEL / tn_dtype_size(dtype));
}

// c(m, n) = or += a(m, k) · b(k, n) with n up to the panel's width.
typedef struct blas_panel {
    tn_dtype dtype; // TN_F32, TN_F64
    int64_t m, n, k;
    const void *a;
    int64_t a_row;   // elements from row to row
    int64_t a_strip; // 0, or a lies in strips: number p of row i at i / 8 * a_strip + p * 8 + i % 8
    const void *b;   // the panel
} blas_panel;

// By the calling thread. Rows of c are c_row elements apart. Columns are computed 64 bytes at a
// time or less: up to that multiple of n there must be memory behind each row of c.
void blas_panel_multiply(const blas_panel *p, void *c, int64_t c_row, bool add);

// The same for any n, and nothing behind the rows of c is touched.
void blas_panel_into(const blas_panel *p, void *c, int64_t c_row, bool add);

// Does this processor have what panels are faster with than OpenBLAS?
bool blas_panel_fast(void);

// Panels of a matrix whose rows are `step` elements apart, with zeros behind what there is:
// across: size = {rows, numbers}: row i of the panel is number i of each row;
// along:  size = {rows, numbers}: row i of the panel is row i.
void blas_panel_across(tn_dtype dtype, const void *y, int64_t step, const int64_t size[2],
                       void *panel);
void blas_panel_along(tn_dtype dtype, const void *y, int64_t step, const int64_t size[2],
                      void *panel);
// Strips of aᵀ, where a(k, m) has rows `step` elements apart; size = {m, k}. a_strip is 8 k.
void blas_panel_strips(tn_dtype dtype, const void *a, int64_t step, const int64_t size[2],
                       void *to);
// c = or += sums, of which rows are a panel's; size = {rows, numbers}.
void blas_panel_put(tn_dtype dtype, const void *sums, const int64_t size[2], void *c, int64_t c_row,
                    bool add);

#endif
