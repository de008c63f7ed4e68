// backends/blas/blas_window.h: kernels and windows that slide over up to 3 spatial axes.
#ifndef TENON_BLAS_WINDOW_H
#define TENON_BLAS_WINDOW_H

#include "blas.h"

// Most spatial axes. Data with fewer gets axes of extent 1 in front.
#define BLAS_SPATIAL 3

// One spatial axis: element j of the window at position o lies at stride o + dilate j - pad of the
// wide side (the data of a Convolution); positions o = 0 … narrow-1 are the narrow side.
typedef struct blas_slide {
    int64_t wide, narrow, window; // extents
    int64_t stride, dilate, pad;
} blas_slide;

#define BLAS_STILL ((blas_slide){1, 1, 1, 1, 1, 0}) // an axis that is not there

typedef struct blas_range {
    int64_t begin, end;
} blas_range;

static inline int64_t blas_ceil_div(int64_t n, int64_t d)
{
    return n > 0 ? (n - 1) / d + 1 : -(-n / d);
}

static inline int64_t blas_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t blas_most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

// All j in 0 … n-1 with 0 <= start + step j < extent; begin == end if there are none.
static inline blas_range blas_inside(int64_t start, int64_t step, int64_t n, int64_t extent)
{
    const int64_t begin = blas_least(start < 0 ? blas_ceil_div(-start, step) : 0, n);
    const int64_t end = blas_least(blas_ceil_div(extent - start, step), n);
    return (blas_range){begin, blas_most(begin, end)};
}

// Entry i of a list parameter, or what an empty list means.
static inline int64_t blas_entry(tn_ints list, int32_t i, int64_t otherwise)
{
    return (size_t)i < list.n ? list.v[i] : otherwise;
}

#endif
