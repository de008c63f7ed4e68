// backends/blas/blas_panel_pack.c: matrices as panels.
#ifndef T

#include "blas_panel.h"
#include "blas_turn.h"

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

void blas_panel_strips(tn_dtype dtype, const void *a, int64_t step, const int64_t size[2], void *to)
{
    if (dtype == TN_F64)
        strips_f64(a, step, size, to);
    else
        strips_f32(a, step, size, to);
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
#if IS_F32
#define TURN blas_turn_32
#else
#define TURN blas_turn_64
#endif

static void N(across)(const T *y, int64_t step, const int64_t size[2], T *panel)
{
    TURN(y, step, panel, WIDTH, size);
    if (size[0] == WIDTH) return;
    for (int64_t j = 0; j < size[1]; j++)
        for (int64_t f = size[0]; f < WIDTH; f++) panel[j * WIDTH + f] = 0;
}

BLAS_CLONES static void N(along)(const T *y, int64_t step, const int64_t size[2], T *panel)
{
    for (int64_t i = 0; i < size[0]; i++, panel += WIDTH, y += step) {
        BLAS_SIMD
        for (int64_t j = 0; j < size[1]; j++) panel[j] = y[j];
        for (int64_t j = size[1]; j < WIDTH; j++) panel[j] = 0;
    }
}

// Some cache lines of a row of a at a time.
BLAS_CLONES static void N(strips)(const T *a, int64_t step, const int64_t size[2], T *to)
{
    const int64_t m = size[0], k = size[1], rest = m % BLAS_STRIP, whole = m - rest;
    enum { BAND = 8 * BLAS_STRIP };
    for (int64_t i = 0; i < whole; i += BAND) {
        const int64_t end = whole - i < BAND ? whole : i + BAND;
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = i; j < end; j += BLAS_STRIP)
                memcpy(to + j * k + p * BLAS_STRIP, a + p * step + j, BLAS_STRIP * sizeof(T));
    }
    for (int64_t p = 0; p < (rest ? k : 0); p++)
        for (int64_t j = 0; j < BLAS_STRIP; j++)
            to[whole * k + p * BLAS_STRIP + j] = j < rest ? a[p * step + whole + j] : 0;
}

BLAS_CLONES static void N(pack_put)(const T *sums, const int64_t size[2], T *c, int64_t c_row,
                                    bool add)
{
    for (int64_t i = 0; i < size[0]; i++, c += c_row, sums += WIDTH)
        for (int64_t j = 0; j < size[1]; j++) c[j] = add ? c[j] + sums[j] : sums[j];
}

#undef WIDTH
#undef TURN

#endif
