// backends/blas/blas_order.h: what the kernels of orders share.
#ifndef TENON_BLAS_ORDER_H
#define TENON_BLAS_ORDER_H

#include "blas.h"

typedef struct blas_order {
    tn_line line;
    bool ascend;
    int64_t k;             // places of a line that are wanted: the first ones
    int64_t columns;       // _argsort_first: neighbouring lines that are looked through together
    int64_t budget;        // the same: elements that may be put in their place; 0: all are sorted
    uint64_t sort_bytes;   // scratch for sorting a line
    uint64_t worker_bytes; // scratch of a worker
} blas_order;

// Sets line and ascend.
tn_status blas_order_setup(tn_sdk_kernel *k, blas_order *s);
// Puts the first s->k places of the order of line `item` where they belong in output 0; scratch
// has sort_bytes.
void blas_order_line(const blas_run *run, const blas_order *s, int64_t item, void *scratch);

// Do whole numbers of 32 bits have the order of the dtype's?
static inline bool blas_has_short_keys(tn_dtype dtype)
{
    return dtype != TN_F64 && dtype != TN_I64;
}

#endif
