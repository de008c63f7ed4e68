// backends/onednn/onednn_tile_products.c: the matrix products of Winograd's tiles, with AVX-512.
//
// oneDNN's products would do; but these are small, and two of the matrices are in panels that they
// are read in from end to end.
#include "onednn_wide.h"
#include "onednn_winograd.h"

#if defined(__x86_64__)

enum { ROWS = 6, VECTORS = 4 }; // 24 sums, 4 vectors and a number in 32 registers

// c (rows, 16 vectors) = or += a b over `depth`. Element (i, k) of a is a[i * ai + k * ak].
typedef struct product {
    int64_t depth, ai, ak, ldb, ldc;
    bool add;
    const float *a, *b;
    float *c;
} product;

// All sums of a small product: loops with fixed ends, which every compiler unrolls. The rows of a
// for the next one are asked for: if there are many tiles they come from afar, and each row is too
// short for the hardware to foresee it.
// clang-format off
#define EACH_ROW                        \
    OD_UNROLL                           \
    for (int i = 0; i < ROWS; i++)      \
        if (i < rows)
#define EACH_VECTOR                     \
    OD_UNROLL                           \
    for (int j = 0; j < VECTORS; j++)   \
        if (j < vectors)

OD_PART void small_product(const product *p, int rows, int vectors, bool columns)
{
    const int64_t ai = columns ? 1 : p->ai, ak = columns ? p->ak : 1;
    const __mmask16 there = p->add ? 0xFFFF : 0; // else zeros are loaded
    const float *a = p->a, *b = p->b;
    float *c = p->c;
    vec sum[ROWS][VECTORS];
    EACH_ROW {
        EACH_VECTOR sum[i][j] = _mm512_maskz_loadu_ps(there, c + i * p->ldc + j * OD_LANES);
    }
    for (int64_t k = 0; k < p->depth; k++, a += ak, b += p->ldb) {
        vec right[VECTORS];
        EACH_VECTOR right[j] = _mm512_loadu_ps(b + j * OD_LANES);
        if (!columns && k % OD_LANES == 0) EACH_ROW fetch(a + (rows + i) * ai);
        EACH_ROW {
            const vec left = all(a[i * ai]);
            EACH_VECTOR sum[i][j] = _mm512_fmadd_ps(left, right[j], sum[i][j]);
        }
    }
    EACH_ROW {
        EACH_VECTOR _mm512_storeu_ps(c + i * p->ldc + j * OD_LANES, sum[i][j]);
    }
}

// clang-format on

typedef void (*small)(const product *p);
#define SMALL(rows, vectors)                                            \
    OD_WIDE static void by_rows_##rows##_##vectors(const product *p)    \
    {                                                                   \
        small_product(p, rows, vectors, false);                         \
    }                                                                   \
    OD_WIDE static void by_columns_##rows##_##vectors(const product *p) \
    {                                                                   \
        small_product(p, rows, vectors, true);                          \
    }
#define SMALLS(rows) SMALL(rows, 1) SMALL(rows, 2) SMALL(rows, 3) SMALL(rows, 4)
SMALLS(1)
SMALLS(2)
SMALLS(3)
SMALLS(4)
SMALLS(5)
SMALLS(6)

#define LINE(kind, rows)                                                           \
    {                                                                              \
        kind##_##rows##_1, kind##_##rows##_2, kind##_##rows##_3, kind##_##rows##_4 \
    }
#define TABLE(kind)                                                                              \
    {                                                                                            \
        LINE(kind, 1), LINE(kind, 2), LINE(kind, 3), LINE(kind, 4), LINE(kind, 5), LINE(kind, 6) \
    }
static const small by_rows[ROWS][VECTORS] = TABLE(by_rows);
static const small by_columns[ROWS][VECTORS] = TABLE(by_columns);

static void all_rows(product p, const small table[ROWS][VECTORS], int64_t rows, int64_t vectors)
{
    for (int64_t i = 0; i < rows; i += ROWS) {
        const int64_t n = rows - i < ROWS ? rows - i : ROWS;
        table[n - 1][vectors - 1](&p);
        p.a += n * p.ai;
        p.c += n * p.ldc;
    }
}

void od_tiles_products(const od_winograd *g, const float *v, const float *u, float *m, int64_t n)
{
    const int64_t rows = g->channels, all_columns = g->columns;
    for (int64_t place = 0; place < OD_PLACES; place++) {
        for (int64_t panel = 0; panel < all_columns; panel += OD_PANEL) {
            const int64_t left = all_columns - panel, columns = left < OD_PANEL ? left : OD_PANEL;
            const product p = {.depth = rows,
                               .ai = rows,
                               .ak = 1,
                               .ldb = columns,
                               .ldc = all_columns,
                               .a = v + place * g->step_v,
                               .b = u + place * g->step_u + panel * rows,
                               .c = m + place * g->step_m + panel};
            all_rows(p, by_rows, n, columns / OD_LANES);
        }
    }
}

void od_tiles_sums(const od_winograd *g, const float *v, const float *m, float *u, od_tiles tiles,
                   int64_t begin, int64_t end)
{
    const int64_t channels = g->channels, filters = g->columns;
    for (int64_t place = begin; place < end; place++) {
        for (int64_t panel = 0; panel < channels; panel += OD_PANEL) {
            const int64_t left = channels - panel, columns = left < OD_PANEL ? left : OD_PANEL;
            const product p = {.depth = tiles.n,
                               .add = tiles.first > 0,
                               .ai = 1,
                               .ak = filters,
                               .ldb = channels,
                               .ldc = channels,
                               .a = m + place * g->step_m,
                               .b = v + place * g->step_v + panel,
                               .c = u + place * g->step_u + panel};
            all_rows(p, by_columns, filters, columns / OD_LANES);
        }
    }
}

#else // nothing of this is called where od_tiles_ready() says no

void od_tiles_products(const od_winograd *g, const float *v, const float *u, float *m, int64_t n)
{
    (void)g;
    (void)v;
    (void)u;
    (void)m;
    (void)n;
}

void od_tiles_sums(const od_winograd *g, const float *v, const float *m, float *u, od_tiles tiles,
                   int64_t begin, int64_t end)
{
    (void)g;
    (void)v;
    (void)m;
    (void)u;
    (void)tiles;
    (void)begin;
    (void)end;
}

#endif
