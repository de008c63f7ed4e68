// backends/reference/reference_window.h: kernels and windows that slide over up to 3 spatial axes.
#ifndef TENON_REFERENCE_WINDOW_H
#define TENON_REFERENCE_WINDOW_H

#include "reference.h"

// Most spatial axes. Data with fewer gets axes of extent 1 in front.
#define REF_SPATIAL 3

// One spatial axis: element j of the window at position o lies at stride o + dilate j - pad of the
// wide side (the data of a Convolution); positions o = 0 … narrow-1 are the narrow side.
typedef struct ref_slide {
    int64_t wide, narrow, window; // extents
    int64_t stride, dilate, pad;
} ref_slide;

#define REF_STILL ((ref_slide){1, 1, 1, 1, 1, 0}) // an axis that is not there

typedef struct ref_range {
    int64_t begin, end;
} ref_range;

static inline int64_t ref_ceil_div(int64_t n, int64_t d)
{
    return n > 0 ? (n - 1) / d + 1 : -(-n / d);
}

// All j in 0 … n-1 with 0 <= start + step j < extent.
static inline ref_range ref_inside(int64_t start, int64_t step, int64_t n, int64_t extent)
{
    const int64_t begin = start < 0 ? ref_ceil_div(-start, step) : 0;
    const int64_t end = ref_ceil_div(extent - start, step);
    return (ref_range){begin, end < n ? end : n};
}

// Entry i of a list parameter, or what an empty list means.
static inline int64_t ref_entry(tn_ints list, int32_t i, int64_t otherwise)
{
    return (size_t)i < list.n ? list.v[i] : otherwise;
}

#endif
