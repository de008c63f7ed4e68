// backends/blas/blas_panel_kernel.h: the inner loops of blas_panel.c, once for each instruction set
// and type: T, VEC (a vector of LANES numbers), MOST rows at a time, TARGET, and K(name) to name
// them.

// c(ROWS, N vectors) = or += a(ROWS, k) · b(k, N vectors): everything but a stays in registers.
// to[0]: elements from row to row of a; to[1]: from number to number.
#define TILE_OF(ROWS, N)                                                                           \
    TARGET static void K(tile##ROWS##x##N)(const T *a, const int64_t to[2], const T *b, int64_t k, \
                                           T *c, int64_t c_row, bool add)                          \
    {                                                                                              \
        const int64_t a_row = to[0], a_step = to[1];                                               \
        VEC sum[ROWS][N];                                                                          \
        _Pragma("GCC unroll 8") for (int i = 0; i < ROWS; i++)                                     \
            _Pragma("GCC unroll 2") for (int j = 0; j < N; j++) sum[i][j] =                        \
                add ? *(const VEC *)(const void *)(c + i * c_row + j * LANES) : (VEC){0};          \
        for (int64_t p = 0; p < k; p++, a += a_step, b += BLAS_PANEL / sizeof(T)) {                \
            VEC v[N];                                                                              \
            _Pragma("GCC unroll 2") for (int j = 0; j < N; j++) v[j] =                             \
                *(const VEC *)(const void *)(b + j * LANES);                                       \
            _Pragma("GCC unroll 8") for (int i = 0; i < ROWS; i++)                                 \
                _Pragma("GCC unroll 2") for (int j = 0; j < N; j++) sum[i][j] +=                   \
                a[i * a_row] * v[j];                                                               \
        }                                                                                          \
        _Pragma("GCC unroll 8") for (int i = 0; i < ROWS; i++)                                     \
                _Pragma("GCC unroll 2") for (int j = 0; j < N; j++) *                              \
            (VEC *)(void *)(c + i * c_row + j * LANES) = sum[i][j];                                \
    }

#if MOST >= 8
TILE_OF(8, 1)
TILE_OF(8, 2)
#endif
TILE_OF(4, 1)
TILE_OF(4, 2)
TILE_OF(2, 1)
TILE_OF(2, 2)
TILE_OF(1, 1)
TILE_OF(1, 2)

// Row i of a, and as many rows at a time as fit.
#define EACH(ROWS, N)                                                                           \
    for (; i + (ROWS) <= m; i += (ROWS)) {                                                      \
        const T *first = (const T *)a->p + (a->strip ? i / BLAS_STRIP * a->strip : i * a->row); \
        K(tile##ROWS##x##N)                                                                     \
        (first + (a->strip ? i % BLAS_STRIP : 0), to, b, k, c + i * c_row, c_row, add);         \
    }

#if MOST >= 8
#define EACH_MOST(N) EACH(8, N)
#else
#define EACH_MOST(N)
#endif

#define ROWS_OF(N)                                                                       \
    static void K(rows##N)(const panel_side *a, const T *b, const int64_t size[3], T *c, \
                           int64_t c_row, bool add)                                      \
    {                                                                                    \
        const int64_t m = size[0], k = size[1];                                          \
        const int64_t to[2] = {a->strip ? 1 : a->row, a->strip ? BLAS_STRIP : 1};        \
        int64_t i = 0;                                                                   \
        EACH_MOST(N) EACH(4, N) EACH(2, N) EACH(1, N)                                    \
    }
ROWS_OF(1)
ROWS_OF(2)

// size: m rows, k, and columns, which are rounded up to whole vectors.
static void K(rows)(const panel_side *a, const T *b, const int64_t size[3], T *c, int64_t c_row,
                    bool add)
{
    for (int64_t j = 0; j < size[2]; j += 2 * LANES)
        (size[2] - j > LANES ? K(rows2) : K(rows1))(a, b + j, size, c + j, c_row, add);
}

#undef TILE_OF
#undef EACH
#undef EACH_MOST
#undef ROWS_OF
