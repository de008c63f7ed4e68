// backends/opencl/opencl_counters.h: what the backend counts, for tests and the curious: its
// extension "tn.opencl.counters/1".
#ifndef TENON_OPENCL_COUNTERS_H
#define TENON_OPENCL_COUNTERS_H

#include <stdatomic.h>

#define OCL_COUNTERS "tn.opencl.counters/1"

typedef struct ocl_counters {
    atomic_llong live_buffers, live_bytes;
    atomic_llong live_kernels;           // prepared and not destroyed
    atomic_llong built, loaded, refused; // programs: from source, from disk, cached ones not taken
} ocl_counters;

#endif
