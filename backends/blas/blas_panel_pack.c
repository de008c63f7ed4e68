// backends/blas/blas_panel_pack.c: matrices as panels.
#ifndef T

#include "blas_panel.h"

#define THIS_FILE "blas_panel_pack.c"
#include "blas_each_type.h"

void blas_panel_across(tn_dtype dtype, const void *y, int64_t step, const int64_t size[2],
                       void *panel)
{
    if (dtype == TN_F64)
        across_f64(y, step, size, panel);
    else
        across_f32(y, step, size, panel);
}

void blas_panel_along(tn_dtype dtype, const void *y, int64_t step, const int64_t size[2],
                      void *panel)
{
    if (dtype == TN_F64)
        along_f64(y, step, size, panel);
    else
        along_f32(y, step, size, panel);
}

void blas_panel_turn(tn_dtype dtype, const void *a, int64_t step, const int64_t size[2], void *to)
{
    if (dtype == TN_F64)
        turn_f64(a, step, size, to);
    else
        turn_f32(a, step, size, to);
}

void blas_panel_put(tn_dtype dtype, const void *sums, const int64_t size[2], void *c, int64_t c_row,
                    bool add)
{
    if (dtype == TN_F64)
        pack_put_f64(sums, size, c, c_row, add);
    else
        pack_put_f32(sums, size, c, c_row, add);
}

#else // once per type

#define WIDTH ((int64_t)(BLAS_PANEL / sizeof(T)))

// In squares, so that both sides stay in the first-level cache.
BLAS_CLONES static void N(across)(const T *y, int64_t step, const int64_t size[2], T *panel)
{
    enum { SQUARE = 8 };
    for (int64_t i = 0; i < size[1]; i += SQUARE) {
        const int64_t n = size[1] - i < SQUARE ? size[1] - i : SQUARE;
        for (int64_t f = 0; f < size[0]; f++)
            for (int64_t j = i; j < i + n; j++) panel[j * WIDTH + f] = y[f * step + j];
        for (int64_t j = i; j < i + n; j++)
            for (int64_t f = size[0]; f < WIDTH; f++) panel[j * WIDTH + f] = 0;
    }
}

BLAS_CLONES static void N(along)(const T *y, int64_t step, const int64_t size[2], T *panel)
{
    for (int64_t i = 0; i < size[0]; i++, panel += WIDTH, y += step) {
        BLAS_SIMD
        for (int64_t j = 0; j < size[1]; j++) panel[j] = y[j];
        for (int64_t j = size[1]; j < WIDTH; j++) panel[j] = 0;
    }
}

BLAS_CLONES static void N(turn)(const T *a, int64_t step, const int64_t size[2], T *to)
{
    enum { SQUARE = 16 };
    for (int64_t i = 0; i < size[0]; i += SQUARE) {
        const int64_t n = size[0] - i < SQUARE ? size[0] - i : SQUARE;
        for (int64_t p = 0; p < size[1]; p++)
            for (int64_t j = i; j < i + n; j++) to[j * size[1] + p] = a[p * step + j];
    }
}

BLAS_CLONES static void N(pack_put)(const T *sums, const int64_t size[2], T *c, int64_t c_row,
                                    bool add)
{
    for (int64_t i = 0; i < size[0]; i++, c += c_row, sums += WIDTH)
        for (int64_t j = 0; j < size[1]; j++) c[j] = add ? c[j] + sums[j] : sums[j];
}

#undef WIDTH

#endif
