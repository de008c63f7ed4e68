// backends/blas/blas_turn.c: rows become columns, in squares that fit vector registers.
#include "blas_turn.h"

enum { BAND = 16 }; // columns taken together: a cache line of each row

typedef uint32_t vector_32 __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint64_t vector_64 __attribute__((vector_size(32), aligned(8), may_alias));

#define MIX __builtin_shufflevector

// Eight rows of eight: pairs of rows, of pairs, of fours.
BLAS_INLINE void square_32(const uint32_t *from, int64_t from_step, uint32_t *to, int64_t to_step)
{
    vector_32 a[8], b[8];
    _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) a[i] =
        *(const vector_32 *)(const void *)(from + i * from_step);
    _Pragma("GCC unroll 4") for (int i = 0; i < 8; i += 2)
    {
        b[i] = MIX(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        b[i + 1] = MIX(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    _Pragma("GCC unroll 2") for (int i = 0; i < 8; i += 4)
    {
        a[i] = MIX(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 1] = MIX(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        a[i + 2] = MIX(b[i + 1], b[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 3] = MIX(b[i + 1], b[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
    {
        *(vector_32 *)(void *)(to + i * to_step) = MIX(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(vector_32 *)(void *)(to + (i + 4) * to_step) =
            MIX(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

// Four rows of four.
BLAS_INLINE void square_64(const uint64_t *from, int64_t from_step, uint64_t *to, int64_t to_step)
{
    vector_64 a[4], b[4];
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) a[i] =
        *(const vector_64 *)(const void *)(from + i * from_step);
    _Pragma("GCC unroll 2") for (int i = 0; i < 4; i += 2)
    {
        b[i] = MIX(a[i], a[i + 1], 0, 4, 2, 6);
        b[i + 1] = MIX(a[i], a[i + 1], 1, 5, 3, 7);
    }
    _Pragma("GCC unroll 2") for (int i = 0; i < 2; i++)
    {
        *(vector_64 *)(void *)(to + i * to_step) = MIX(b[i], b[i + 2], 0, 1, 4, 5);
        *(vector_64 *)(void *)(to + (i + 2) * to_step) = MIX(b[i], b[i + 2], 2, 3, 6, 7);
    }
}

// Columns first … end-1 in squares of SIDE, what is left of rows and columns one by one.
#define TURN(bits, SIDE)                                                                         \
    BLAS_CLONES static void turn_##bits(const uint##bits##_t *from, int64_t from_step,           \
                                        uint##bits##_t *to, int64_t to_step, int64_t rows,       \
                                        int64_t cols)                                            \
    {                                                                                            \
        for (int64_t j = 0; j < cols; j += BAND) {                                               \
            const int64_t end = cols - j < BAND ? cols : j + BAND;                               \
            int64_t i = 0;                                                                       \
            for (; i + SIDE <= rows; i += SIDE) {                                                \
                int64_t p = j;                                                                   \
                for (; p + SIDE <= end; p += SIDE)                                               \
                    square_##bits(from + i * from_step + p, from_step, to + p * to_step + i,     \
                                  to_step);                                                      \
                for (; p < end; p++)                                                             \
                    for (int64_t q = i; q < i + SIDE; q++)                                       \
                        to[p * to_step + q] = from[q * from_step + p];                           \
            }                                                                                    \
            for (; i < rows; i++)                                                                \
                for (int64_t p = j; p < end; p++) to[p * to_step + i] = from[i * from_step + p]; \
        }                                                                                        \
    }
TURN(32, 8)
TURN(64, 4)

void blas_turn_32(const void *from, int64_t from_step, void *to, int64_t to_step,
                  const int64_t size[2])
{
    turn_32(from, from_step, to, to_step, size[0], size[1]);
}

void blas_turn_64(const void *from, int64_t from_step, void *to, int64_t to_step,
                  const int64_t size[2])
{
    turn_64(from, from_step, to, to_step, size[0], size[1]);
}
