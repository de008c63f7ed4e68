// backends/reference/reference_boxes.h: what the kernels of detection share: overlap, suppression.
//
// A box is four doubles: x1, y1, x2, y2. They come from data and may be anything, NaN included:
// every comparison with NaN is false, so such a box overlaps nothing.
#ifndef TENON_REFERENCE_BOXES_H
#define TENON_REFERENCE_BOXES_H

#include "reference.h"

// Area of the intersection over the area of the union. `extra` is added to widths and heights: 1
// for pixels, where x2 is the last one inside, and 0 for fractions. 0 if the union is not above 0.
double ref_overlap(const double a[4], const double b[4], double extra);

// Greedy suppression: each box in turn, unless it is gone, is kept, and makes those behind it go
// that overlap it by more than the threshold.
typedef struct ref_suppression {
    const double *box;   // n boxes, best first
    const double *group; // n numbers: only boxes of one group matter to each other; NULL: all do
    int64_t n, most;     // stops when `most` are kept
    double threshold, extra;
    bool inclusive; // an overlap equal to the threshold is enough
} ref_suppression;

// Indices of the boxes that are kept go to keep, which has room for the smaller of n and most; how
// many they are is returned. gone[n] ends up 1 for boxes that went.
int64_t ref_suppress(const ref_suppression *s, uint8_t *gone, int64_t *keep);

// Scratch memory that is handed out piece by piece. With base NULL it only counts.
typedef struct ref_room {
    char *base;
    uint64_t used; // bytes, a multiple of 8
} ref_room;

static inline void *ref_take(ref_room *r, int64_t n, size_t item)
{
    char *taken = r->base ? r->base + r->used : NULL;
    r->used += ((uint64_t)n * item + 7) / 8 * 8;
    return taken;
}

#endif
