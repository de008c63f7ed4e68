// backends/onednn/onednn_loops.h: for what oneDNN has no primitive: how plain loops are written.
//
// They are few and small: what a network needs between its primitives. They take float32 only.
#ifndef TENON_ONEDNN_LOOPS_H
#define TENON_ONEDNN_LOOPS_H

#include "onednn.h"

// What reports call them.
#define OD_LOOPS "loops (no primitive)"

// A function for each level of the x86-64 instruction set; the loader picks one. Not with
// sanitizers, whose instrumentation is not ready when it does.
#if !defined(__x86_64__) || !defined(__GLIBC__) || TN_SANITIZER != 0
#define OD_CLONES
#elif defined(__clang__) // version 14 never chooses levels, and fails on some loops for avx512f
#define OD_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define OD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

#define OD_SIMD _Pragma("omp simd")

enum { OD_GRAIN = 32768 }; // elements for which another thread pays

// fn over items of `size` elements each.
static inline void od_items(const tn_sdk_kernel *k, const tn_run_args *a, int64_t n, int64_t size,
                            tn_range_fn fn, void *ctx)
{
    const int64_t grain = size < OD_GRAIN ? OD_GRAIN / (size > 0 ? size : 1) : 1;
    tn_parallel(k, a, n, grain, fn, ctx);
}

// Output `out`, a mask of dropout: 0 with probability p by the draws of <tenon/philox.h>, else
// 1 / (1 - p).
void od_draw_mask(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t out, double p);

#endif
