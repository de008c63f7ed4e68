// backends/onednn/onednn_wide.h: how loops for AVX-512 are written: by intrinsics, in functions
// that are compiled for it whatever the rest is compiled for, and are called where the CPU has it.
#ifndef TENON_ONEDNN_WIDE_H
#define TENON_ONEDNN_WIDE_H

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdbool.h>

#define OD_WIDE __attribute__((target("avx512f,fma,prfchw")))
#define OD_WIDE_BF16 __attribute__((target("avx512f,fma,prfchw,avx512bf16")))
#define OD_PART static inline __attribute__((always_inline)) OD_WIDE
#ifdef __clang__
#define OD_UNROLL _Pragma("unroll")
#define OD_UNROLL16 _Pragma("unroll")
#else
#define OD_UNROLL _Pragma("GCC unroll 8")
#define OD_UNROLL16 _Pragma("GCC unroll 16")
#endif

typedef __m512 vec;

OD_PART vec all(float x)
{
    return _mm512_set1_ps(x);
}

// Asks for what is read soon. There need be nothing at that address.
OD_PART void fetch(const void *at)
{
    __builtin_prefetch(at);
}

// 16 numbers, which may be stored as bfloat16: the upper halves of float32.
OD_PART vec load(const void *at, bool narrow)
{
    if (!narrow) return _mm512_loadu_ps(at);
    const __m512i halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(halves, 16));
}

#endif
#endif
