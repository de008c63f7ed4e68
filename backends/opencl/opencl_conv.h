// backends/opencl/opencl_conv.h: a convolution, as its two ways of computing it see it.
#ifndef TENON_OPENCL_CONV_H
#define TENON_OPENCL_CONV_H

#include "opencl.h"

typedef struct ocl_slides { // as conv.cl has it: the last axes of three
    cl_int wide[3], narrow[3], window[3], stride[3], dilate[3], pad[3];
} ocl_slides;

typedef struct ocl_conv {
    ocl_slides s;
    tn_dtype dtype;
    int64_t batch, groups;
    int64_t wide, narrow;               // channels of both sides, in one group
    int64_t wide_points, narrow_points; // elements of one channel
    int64_t rows, ld;                   // of the columns of one image and group
    uint64_t column_bytes;              // of one image, all groups
    int64_t at_once;                    // images whose columns are made at a time
    bool plain;                         // columns are the data themselves
} ocl_conv;

static inline uint64_t ocl_conv_bytes(const ocl_conv *c, int64_t elements)
{
    return (uint64_t)elements * tn_dtype_size(c->dtype);
}

// The same without columns, where that is faster: false, and nothing is added, where it is not.
// Inputs are as opencl_conv.c has them; weight: input x is in[0], y in[1]. (opencl_direct.c)
bool ocl_direct_narrow(ocl_plan *p, tn_kernel_info *info, const ocl_conv *c, bool bias);
bool ocl_direct_wide(ocl_plan *p, tn_kernel_info *info, const ocl_conv *c, bool bias);
bool ocl_direct_weight(ocl_plan *p, tn_kernel_info *info, const ocl_conv *c, const uint32_t in[2]);

#endif
