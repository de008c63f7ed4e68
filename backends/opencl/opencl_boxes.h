// backends/opencl/opencl_boxes.h: what the operators of detection share.
#ifndef TENON_OPENCL_BOXES_H
#define TENON_OPENCL_BOXES_H

#include "opencl.h"

// Numbers of boxes: double where the device has it, so that decisions are as everywhere.
tn_dtype ocl_box_number(const ocl_plan *p);

// A launch of a kernel of that text, with boxes.cl before it. T0, T1, T2 are the types of the
// inputs, T3 that of output 0.
ocl_launch *ocl_add_boxes(ocl_plan *p, const char *text, const char *name);

// Numbers of a struct that is passed to a kernel: n of them, as doubles or floats.
void ocl_box_numbers(const ocl_plan *p, const double *v, size_t n, void *to);

// Greedy suppression in n boxes for each image, best first; the kernel suppress of boxes.cl.
// Offsets are in scratch: boxes(images, n, 4), groups(images, n), gone(images, n), keep(images,
// most), kept(images).
typedef struct ocl_suppression {
    uint64_t boxes, groups, gone, keep, kept;
    int64_t images, n, most;
    double threshold, extra;
    bool inclusive, across;
} ocl_suppression;
void ocl_suppress(ocl_plan *p, const ocl_suppression *s, const char *text);

#endif
