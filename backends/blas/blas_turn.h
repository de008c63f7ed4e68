// backends/blas/blas_turn.h: transposed copies of matrices.
#ifndef TENON_BLAS_TURN_H
#define TENON_BLAS_TURN_H

#include "blas.h"

// to[j * to_step + i] = from[i * from_step + j] for i < size[0], j < size[1]: elements of 32 or 64
// bits, steps in elements.
void blas_turn_32(const void *from, int64_t from_step, void *to, int64_t to_step,
                  const int64_t size[2]);
void blas_turn_64(const void *from, int64_t from_step, void *to, int64_t to_step,
                  const int64_t size[2]);

#endif
