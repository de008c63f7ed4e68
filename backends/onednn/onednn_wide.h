// backends/onednn/onednn_wide.h: how loops for AVX-512 are written: by intrinsics, in functions
// that are compiled for it whatever the rest is compiled for, and are called where the CPU has it.
#ifndef TENON_ONEDNN_WIDE_H
#define TENON_ONEDNN_WIDE_H

#if defined(__x86_64__)
#include <immintrin.h>

#define OD_WIDE __attribute__((target("avx512f,fma,prfchw")))
#define OD_PART static inline __attribute__((always_inline)) OD_WIDE
#ifdef __clang__
#define OD_UNROLL _Pragma("unroll")
#else
#define OD_UNROLL _Pragma("GCC unroll 8")
#endif

typedef __m512 vec;

OD_PART vec all(float x)
{
    return _mm512_set1_ps(x);
}

#endif
#endif
