// backends/blas/blas_line_loops.c: the loops of blas_lines.c.
#ifndef T

#include "blas_lines.h"

// Levels beyond the compiler's own, chosen at run time.
#if defined(__x86_64__) && defined(__GLIBC__)
#define BLAS_LEVELS 1
#else
#define BLAS_LEVELS 0
#endif

#define KERNEL_FILE "blas_line_kernel.h"
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#define T float
#define NUMBER f32
#include "blas_panel_levels.h"
#undef T
#undef NUMBER

#define T double
#define NUMBER f64
#include "blas_panel_levels.h"
#undef T
#undef NUMBER

#if BLAS_LEVELS
#define V4 (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
#define V3 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define BY_LEVEL(name, ...)                \
    do {                                   \
        if (V4)                            \
            JOIN(name, _v4)(__VA_ARGS__);  \
        else if (V3)                       \
            JOIN(name, _v3)(__VA_ARGS__);  \
        else                               \
            JOIN(name, _any)(__VA_ARGS__); \
    } while (0)
#else
#define BY_LEVEL(name, ...) JOIN(name, _any)(__VA_ARGS__)
#endif

#define THIS_FILE "blas_line_loops.c"
#include "blas_each_type.h"

#else // once per type

void N(blas_line_sum)(const blas_line *l, const void *grid, int64_t n, void *line)
{
    BY_LEVEL(N(line), l, grid, n, line);
}

void N(blas_line_dots)(const int64_t *far, int64_t taps, const void *grid, const void *y, int64_t n,
                       void *sums)
{
    BY_LEVEL(N(dots), far, taps, grid, y, n, sums);
}

void N(blas_line_total)(void *sums, int64_t taps, double *total)
{
    enum { ROW = BLAS_LINE_SUMS / sizeof(T) };
    for (int64_t j = 0; j < taps; j++) {
        T *row = (T *)sums + j * ROW;
        for (int i = 0; i < ROW; i++) {
            total[j] += (double)row[i];
            row[i] = 0;
        }
    }
}

// 0 · v is 0 unless v is infinite or NaN.
BLAS_CLONES static T N(line_zero)(const T *v, int64_t n)
{
    T sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += 0 * v[i];
    return sum;
}

bool N(blas_line_finite)(const void *w, int64_t n)
{
    return N(line_zero)(w, n) == 0;
}

void N(blas_line_weights)(const void *w, int64_t step, const uint8_t *tap, const int64_t size[2],
                          void *to)
{
    T *out = to;
    const T *from = w;
    for (int64_t channel = 0; channel < size[0]; channel++, from += step)
        for (int64_t i = 0; i < size[1]; i++) *out++ = from[tap[i]];
}

// Rows of n numbers, which are all that is written: of one to two pieces, which may overlap.
#define TWO_PIECES(bytes)                                                            \
    for (int64_t i = 0; i < size[0]; i++, to += to_row, from += from_row) {          \
        memcpy(to, from, bytes);                                                     \
        memcpy(to + n - (bytes) / sizeof(T), from + n - (bytes) / sizeof(T), bytes); \
    }

BLAS_CLONES static void N(line_copy)(T *restrict to, int64_t to_row, const T *restrict from,
                                     int64_t from_row, const int64_t size[2])
{
    const size_t n = (size_t)size[1], all = n * sizeof(T);
    if (all > 128) {
        for (int64_t i = 0; i < size[0]; i++, to += to_row, from += from_row) memcpy(to, from, all);
    } else if (all >= 64) {
        TWO_PIECES(64)
    } else if (all >= 32) {
        TWO_PIECES(32)
    } else if (all >= 16) {
        TWO_PIECES(16)
    } else {
        for (int64_t i = 0; i < size[0]; i++, to += to_row, from += from_row)
            for (size_t at = 0; at < n; at++) to[at] = from[at];
    }
}

// The same of every second number. Nothing behind the last one is read.
typedef T N(four) __attribute__((vector_size(4 * sizeof(T)), aligned(4), may_alias));
typedef T N(eight) __attribute__((vector_size(8 * sizeof(T)), aligned(4), may_alias));
#define AS(type, p) (*(type *)(void *)(p))
#define FROM(type, p) (*(const type *)(const void *)(p))

BLAS_INLINE void N(pick_8)(T *to, const T *from)
{
    AS(N(eight), to) = __builtin_shufflevector(FROM(N(eight), from), FROM(N(eight), from + 7), 0, 2,
                                               4, 6, 9, 11, 13, 15);
}

BLAS_INLINE void N(pick_4)(T *to, const T *from)
{
    AS(N(four), to) =
        __builtin_shufflevector(FROM(N(four), from), FROM(N(four), from + 3), 0, 2, 5, 7);
}

BLAS_CLONES static void N(line_pick)(T *restrict to, int64_t to_row, const T *restrict from,
                                     int64_t from_row, const int64_t size[2])
{
    const int64_t n = size[1];
    for (int64_t i = 0; i < size[0]; i++, to += to_row, from += from_row) {
        if (n >= 8) {
            for (int64_t at = 0; at < n - 8; at += 8) N(pick_8)(to + at, from + 2 * at);
            N(pick_8)(to + n - 8, from + 2 * (n - 8));
        } else if (n >= 4) {
            N(pick_4)(to, from);
            N(pick_4)(to + n - 4, from + 2 * (n - 4));
        } else {
            for (int64_t at = 0; at < n; at++) to[at] = from[2 * at];
        }
    }
}

void N(blas_line_rows)(void *to, int64_t to_row, const void *from, int64_t from_row,
                       const int64_t size[2], int64_t step)
{
    if (step == 1) {
        N(line_copy)(to, to_row, from, from_row, size);
    } else if (step == 2) {
        N(line_pick)(to, to_row, from, from_row, size);
    } else {
        T *out = to;
        const T *in = from;
        for (int64_t i = 0; i < size[0]; i++, out += to_row, in += from_row)
            for (int64_t at = 0; at < size[1]; at++) out[at] = in[step * at];
    }
}

BLAS_INLINE void N(mix_4)(T *to, const T *a, const T *b)
{
    const N(four) one = FROM(N(four), a), two = FROM(N(four), b);
    AS(N(four), to) = __builtin_shufflevector(one, two, 0, 4, 1, 5);
    AS(N(four), to + 4) = __builtin_shufflevector(one, two, 2, 6, 3, 7);
}

// n pairs
BLAS_INLINE void N(mix_pairs)(T *to, const T *a, const T *b, int64_t n)
{
    if (n >= 4) {
        for (int64_t i = 0; i < n - 4; i += 4) N(mix_4)(to + 2 * i, a + i, b + i);
        N(mix_4)(to + 2 * (n - 4), a + n - 4, b + n - 4);
    } else {
        for (int64_t i = 0; i < n; i++) to[2 * i] = a[i], to[2 * i + 1] = b[i];
    }
}

BLAS_CLONES static void N(line_mix)(T *to, int64_t to_row, const void *const ab[2], int64_t row,
                                    const int64_t size[2], bool a_first)
{
    const T *a = ab[0], *b = ab[1];
    for (int64_t i = 0; i < size[0]; i++, to += to_row, a += row, b += row) {
        const int64_t alone = a_first || size[1] == 0 ? 0 : 1, n = size[1] - alone;
        if (alone) to[0] = b[0];
        N(mix_pairs)(to + alone, a + alone, b + alone, n / 2);
        if (n % 2) to[alone + n - 1] = a[alone + n / 2];
    }
}

void N(blas_line_mix)(void *to, int64_t to_row, const void *const ab[2], int64_t row,
                      const int64_t size[2], bool a_first)
{
    N(line_mix)(to, to_row, ab, row, size, a_first);
}

void N(blas_line_spread)(void *to, const void *from, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i++) ((T *)to)[i * step] = ((const T *)from)[i];
}

#undef TWO_PIECES
#undef AS
#undef FROM

#endif
