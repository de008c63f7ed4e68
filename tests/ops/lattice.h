// tests/ops/lattice.h: values that a formula gives, for tests that are compared with other
// programs.
#ifndef TENON_TESTS_LATTICE_H
#define TENON_TESTS_LATTICE_H

#include "tests/tn_numeric.h"

// Element i is (((i · step) mod modulus) + add) · scale. At most 512 elements.
static inline tn_tensor *lattice_of(tn_dtype dtype, tn_dims dims, int step, int modulus, double add,
                                    double scale)
{
    double values[512];
    int64_t n = 1;
    for (size_t i = 0; i < dims.ndim; i++) n *= dims.dim[i];
    for (int64_t i = 0; i < n && i < 512; i++)
        values[i] = ((double)(i * step % modulus) + add) * scale;
    return tn_tensor_from(bench.env, dtype, dims, values);
}

static inline tn_tensor *lattice(tn_dims dims, int step, int modulus)
{
    return lattice_of(TN_F64, dims, step, modulus, 0, 1);
}

#endif
