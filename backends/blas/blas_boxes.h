// backends/blas/blas_boxes.h: what the kernels of detection share: overlaps, suppression, scratch.
//
// Boxes come from data and may be anything. All is computed in doubles, so that decisions are those
// of the reference.
#ifndef TENON_BLAS_BOXES_H
#define TENON_BLAS_BOXES_H

#include "blas.h"

// Boxes by corners, an array for each of x1, y1, x2, y2.
typedef struct blas_boxes {
    double *corner[4];
} blas_boxes;

static inline void blas_box_set(const blas_boxes *b, int64_t i, const double box[4])
{
    for (int c = 0; c < 4; c++) b->corner[c][i] = box[c];
}

static inline void blas_box_get(const blas_boxes *b, int64_t i, double box[4])
{
    for (int c = 0; c < 4; c++) box[c] = b->corner[c][i];
}

// out[i] = intersection over union of `one` and box first + i, for n of them. `extra` is added to
// widths and heights: 1 for pixels, whose last one is inside, 0 for fractions. 0 where the union is
// not above 0, or a corner is NaN.
void blas_overlaps(const blas_boxes *b, int64_t first, int64_t n, const double one[4], double extra,
                   double *out);

// Each box in turn is kept, unless it is gone, and makes those behind it go that overlap it by more
// than the threshold.
typedef struct blas_suppression {
    blas_boxes boxes;   // the best first
    const double *name; // only boxes of one name matter to each other; NULL: all do
    int64_t n, most;    // ends when `most` are kept
    double threshold, extra;
    bool inclusive; // the threshold itself is enough
} blas_suppression;

// Numbers of the boxes that are kept go to keep, at most the smaller of n and most, and how many
// they are is returned; gone[i] is 1 for boxes that went.
int64_t blas_suppress(const blas_suppression *s, uint8_t *gone, int64_t *keep);

// Scratch that is handed out piece by piece; with base NULL it is only counted.
typedef struct blas_room {
    char *base;
    uint64_t used; // bytes, a multiple of 64
} blas_room;

static inline void *blas_take(blas_room *r, int64_t n, size_t item)
{
    char *p = r->base ? r->base + r->used : NULL;
    r->used += ((uint64_t)n * item + 63) / 64 * 64;
    return p;
}

static inline blas_boxes blas_take_boxes(blas_room *r, int64_t n)
{
    blas_boxes b;
    for (int c = 0; c < 4; c++) b.corner[c] = blas_take(r, n, sizeof(double));
    return b;
}

#endif
