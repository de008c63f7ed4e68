// backends/blas/blas_line_kernel.h: the inner loops of blas_line_loops.c, once for each instruction
// set and type: T, VEC (a vector of LANES numbers), TARGET, and K(name) to name them.

#define AT(p) (*(const VEC *)(const void *)(p))

// V vectors of a line: their sums stay in registers.
#define TILE_OF(V)                                                                               \
    TARGET static void K(line##V)(const blas_line *l, const T *x, T *out)                        \
    {                                                                                            \
        const T *w = l->w;                                                                       \
        VEC sum[V];                                                                              \
        _Pragma("GCC unroll 8") for (int i = 0; i < V; i++) sum[i] = (VEC){0} + (T)l->bias;      \
        for (int64_t c = 0; c < l->channels; c++, x += l->plane)                                 \
            for (int64_t j = 0; j < l->taps; j++, w++) {                                         \
                const T *at = x + l->far[j];                                                     \
                _Pragma("GCC unroll 8") for (int i = 0; i < V; i++) sum[i] +=                    \
                    *w * AT(at + i * LANES);                                                     \
            }                                                                                    \
        _Pragma("GCC unroll 8") for (int i = 0; i < V; i++) * (VEC *)(void *)(out + i * LANES) = \
            sum[i];                                                                              \
    }
TILE_OF(8)
TILE_OF(4)
TILE_OF(2)
TILE_OF(1)

static void K(line)(const blas_line *l, const T *x, int64_t n, T *out)
{
    int64_t i = 0;
    for (; n - i > 7 * LANES; i += 8 * LANES) K(line8)(l, x + i, out + i);
    for (; n - i > 3 * LANES; i += 4 * LANES) K(line4)(l, x + i, out + i);
    for (; n - i > LANES; i += 2 * LANES) K(line2)(l, x + i, out + i);
    for (; n - i > 0; i += LANES) K(line1)(l, x + i, out + i);
}

// B elements of the kernel: their sums stay in registers, and lie BLAS_LINE_SUMS apart.
#define DOTS_OF(B)                                                                              \
    TARGET static void K(dots##B)(const int64_t *far, const T *x, const T *y, int64_t n, T *to) \
    {                                                                                           \
        enum { ROW = BLAS_LINE_SUMS / sizeof(T) };                                              \
        const T *at[B];                                                                         \
        VEC sum[B];                                                                             \
        _Pragma("GCC unroll 9") for (int j = 0; j < B; j++) at[j] = x + far[j];                 \
        _Pragma("GCC unroll 9") for (int j = 0; j < B; j++) sum[j] = AT(to + j * ROW);          \
        for (int64_t i = 0; i < n; i += LANES) {                                                \
            const VEC v = AT(y + i);                                                            \
            _Pragma("GCC unroll 9") for (int j = 0; j < B; j++) sum[j] += v * AT(at[j] + i);    \
        }                                                                                       \
        _Pragma("GCC unroll 9") for (int j = 0; j < B; j++) * (VEC *)(void *)(to + j * ROW) =   \
            sum[j];                                                                             \
    }
DOTS_OF(9)
DOTS_OF(3)

static void K(dots)(const int64_t *far, int64_t taps, const T *x, const T *y, int64_t n, T *to)
{
    enum { ROW = BLAS_LINE_SUMS / sizeof(T) };
    int64_t j = 0;
    for (; taps - j > 3; j += 9) K(dots9)(far + j, x, y, n, to + j * ROW);
    for (; taps - j > 0; j += 3) K(dots3)(far + j, x, y, n, to + j * ROW);
}

#undef AT
#undef TILE_OF
#undef DOTS_OF
