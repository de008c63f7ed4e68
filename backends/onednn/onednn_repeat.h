// backends/onednn/onednn_repeat.h: row-major values repeated along axes.
#ifndef TENON_ONEDNN_REPEAT_H
#define TENON_ONEDNN_REPEAT_H

#include "onednn.h"

// What such a kernel keeps: the axes of the result, as few as possible.
typedef struct od_repeat {
    int n;
    int64_t dims[TN_MAX_NDIM], from[TN_MAX_NDIM]; // from: stride in the input; 0: repeated
    int64_t size;                                 // of an element, in bytes
    float factor;                                 // that float32 is multiplied by
    int lead;                                     // axes in front whose places are items
    int64_t items, chunks, block; // chunks of an item, if only one axis is behind; elements of one
} od_repeat;

// From the outermost axis on; then od_repeat_end().
void od_repeat_axis(od_repeat *r, int64_t dim, int64_t from);
void od_repeat_end(od_repeat *r, size_t size, float factor);
tn_status od_repeat_run(const tn_sdk_kernel *k, const tn_run_args *a); // the state is an od_repeat

#endif
