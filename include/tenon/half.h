// tenon/half.h: the 16-bit floats: IEEE binary16 and bfloat16, to and from float32.
//
// Conversions to 16 bits round to nearest, ties to even; what is too large becomes infinity,
// subnormal numbers are kept, and a NaN stays a (quiet) NaN with its sign and upper bits. From
// float64 they round once. Both types are stored as uint16_t. Static inline; C11 and C++11.
#ifndef TENON_HALF_H
#define TENON_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t tn_f32_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float tn_f32_from_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// binary16: 1 sign bit, 5 exponent bits (bias 15), 10 mantissa bits.
static inline float tn_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t magnitude = h & 0x7FFFu;
    if (magnitude >= 0x7C00u) // infinity or NaN
        return tn_f32_from_bits(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
    // Subnormal: a multiple of 2^-24. It is computed, since moving the fields would make a
    // subnormal float32, which a thread that flushes those to zero would lose.
    const uint32_t small = tn_f32_bits((float)(int32_t)magnitude * 5.9604644775390625e-8f);
    const uint32_t normal = (magnitude << 13) + (112u << 23);
    return tn_f32_from_bits(sign | (magnitude < 0x400u ? small : normal));
}

static inline uint16_t tn_f32_to_f16(float v)
{
    const uint32_t bits = tn_f32_bits(v);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));
    if (magnitude >= 0x47800000u) return (uint16_t)(sign | 0x7C00u); // 65536 and more
    if (magnitude < 0x38800000u) { // below 2^-14: a multiple of 2^-24, or zero
        // Adding 0.5 leaves 24 mantissa bits whose last one is worth 2^-24: the sum is rounded
        // there by the hardware.
        const float sum = tn_f32_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (tn_f32_bits(sum) - 0x3F000000u));
    }
    // Round to 10 mantissa bits; a carry moves into the exponent, from 65520 on to infinity.
    const uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | (((magnitude + 0xFFFu + odd) >> 13) - (112u << 10)));
}

// bfloat16: the upper half of a float32.
static inline float tn_bf16_to_f32(uint16_t b)
{
    return tn_f32_from_bits((uint32_t)b << 16);
}

static inline uint16_t tn_f32_to_bf16(float v)
{
    const uint32_t bits = tn_f32_bits(v);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 0x40u); // NaN
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

// v as a float32 whose last bit says whether anything was lost (rounded "to odd"): to round that
// further gives what rounding v at once would have given.
static inline float tn_f64_to_f32_odd(double v)
{
    const float f = (float)v;
    if ((double)f == v || v != v) return f;
    const double wide = f < 0 ? -(double)f : (double)f;
    const uint32_t away = wide > (v < 0 ? -v : v); // rounded away from zero: one step back
    return tn_f32_from_bits((tn_f32_bits(f) - away) | 1u);
}

static inline uint16_t tn_f64_to_f16(double v)
{
    return tn_f32_to_f16(tn_f64_to_f32_odd(v));
}

static inline uint16_t tn_f64_to_bf16(double v)
{
    return tn_f32_to_bf16(tn_f64_to_f32_odd(v));
}

#endif
