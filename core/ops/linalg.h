// core/ops/linalg.h: what linalg.c and cholesky.c share.
#ifndef TENON_CORE_OPS_LINALG_H
#define TENON_CORE_OPS_LINALG_H

#include "core/ops/ops.h"

// A value of a call whose last two axes are a matrix, and which extents these are: rows and cols
// are letters, counted from 0. Leading axes are the same for all.
typedef struct tni_matrix {
    tni_slot slot;
    int8_t rows, cols;
} tni_matrix;
enum { TNI_LETTERS = 3 };

// The rule that these n values have these extents, in all directions.
tn_status tni_matrices(const tn_infer *io, const tni_matrix *m, size_t n);

// alpha op(x) op(y)
typedef struct tni_gemm {
    bool ta, tb;
    double alpha;
} tni_gemm;
tn_sym tni_gemm2(const tn_builder *b, tn_sym x, tn_sym y, const tni_gemm *g);

// linalg_trsm with the triangle a and right-hand sides x.
tn_sym tni_trsm(const tn_builder *b, tn_sym a, tn_sym x, bool transpose, bool rightside,
                double alpha);

#endif
