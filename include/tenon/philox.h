// tenon/philox.h: the random numbers of every backend: Philox 4x32-10 and the draws made of it.
//
// A counter-based generator: block number b of a run is a pure function of the run's key and
// counter, so any element can be drawn alone, in any order, on any device, and all agree.
//
//   key      = (low, high) half of rng_key
//   counter  = (b low, rng_counter low, rng_counter high, b high)      b high is 0 in practice
//   block    = four words w[0] … w[3]
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
// Static inline; C11 and C++11.
#ifndef TENON_PHILOX_H
#define TENON_PHILOX_H

#include <math.h>
#include <stdint.h>

// Ten rounds of the bijection; c is replaced by the block.
static inline void tn_philox4x32(uint32_t k0, uint32_t k1, uint32_t c[4])
{
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t c1 = c[1], c3 = c[3];
        c[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u; // golden ratio
        k1 += 0xBB67AE85u; // square root of 3, minus 1
    }
}

// Block b of the run with that key and counter (tn_run_args: rng_key, rng_counter).
static inline void tn_philox_block(uint64_t key, uint64_t counter, uint64_t b, uint32_t w[4])
{
    w[0] = (uint32_t)b;
    w[1] = (uint32_t)counter;
    w[2] = (uint32_t)(counter >> 32);
    w[3] = (uint32_t)(b >> 32);
    tn_philox4x32((uint32_t)key, (uint32_t)(key >> 32), w);
}

// Uniform in [0, 1) with 24 bits, for float32 and the 16-bit floats: element i is word i % 4 of
// block i / 4.
static inline float tn_philox_uniform_f32(uint64_t key, uint64_t counter, uint64_t i)
{
    uint32_t w[4];
    tn_philox_block(key, counter, i / 4, w);
    return (float)(w[i % 4] >> 8) * 5.9604644775390625e-8f; // 2^-24
}

// Uniform in [0, 1) with 53 bits, for float64: element i is made of words 2 (i % 2), the upper 32
// bits, and 2 (i % 2) + 1 of block i / 2.
static inline double tn_philox_uniform_f64(uint64_t key, uint64_t counter, uint64_t i)
{
    uint32_t w[4];
    tn_philox_block(key, counter, i / 2, w);
    const uint32_t at = 2 * (uint32_t)(i % 2);
    const uint64_t bits = (uint64_t)w[at] << 32 | w[at + 1];
    return (double)(bits >> 11) * 1.1102230246251565e-16; // 2^-53
}

// Standard normal, by Box and Muller, from the uniforms u and v of elements 2j and 2j + 1:
// element 2j is sqrt(-2 log(1 - u)) cos(2 pi v), element 2j + 1 has sin in place of cos.
// Source: Box, Muller, "A note on the generation of random normal deviates", 1958.
static inline double tn_philox_box_muller(double u, double v, uint64_t i)
{
    const double r = sqrt(-2.0 * log(1.0 - u)), angle = 6.28318530717958647693 * v;
    return i % 2 ? r * sin(angle) : r * cos(angle);
}

static inline double tn_philox_normal_f32(uint64_t key, uint64_t counter, uint64_t i)
{
    const uint64_t even = i & ~(uint64_t)1;
    return tn_philox_box_muller((double)tn_philox_uniform_f32(key, counter, even),
                                (double)tn_philox_uniform_f32(key, counter, even + 1), i);
}

static inline double tn_philox_normal_f64(uint64_t key, uint64_t counter, uint64_t i)
{
    const uint64_t even = i & ~(uint64_t)1;
    return tn_philox_box_muller(tn_philox_uniform_f64(key, counter, even),
                                tn_philox_uniform_f64(key, counter, even + 1), i);
}

#endif
