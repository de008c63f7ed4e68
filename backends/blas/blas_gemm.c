// backends/blas/blas_gemm.c: matrix products, cut into tiles of the result: by panels where the
// processor has fused multiply-add for vectors, else and for a few rows on OpenBLAS.
//
// The tiles depend on the sizes alone and each is computed by one thread, so results have the same
// bits for any number of threads, max_workers is kept, and it does not matter which build of
// OpenBLAS was loaded: its own threads are never used.
#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <threads.h>

#include "blas.h"
#include "blas_panel.h"

// ------------------------------------------------------------------ which OpenBLAS this is

static once_flag asked = ONCE_FLAG_INIT;
static struct {
    char driver[256], sgemm[48], dgemm[48];
} names;

static void ask(void)
{
    const char *core = openblas_get_corename(), *config = openblas_get_config();
    const int parallel = openblas_get_parallel();
    const char *panels = blas_panel_fast() ? "panels, " : ""; // for all but a few rows
    snprintf(names.sgemm, sizeof names.sgemm, "%ssgemm %.30s", panels, core);
    snprintf(names.dgemm, sizeof names.dgemm, "%sdgemm %.30s", panels, core);
    if (parallel == OPENBLAS_THREAD) {
        // Its threads and those of the pool would fight for the CPUs.
        openblas_set_num_threads(1);
        snprintf(names.driver, sizeof names.driver,
                 "%.160s (pthreads build: used with one thread a call)", config);
    } else {
        snprintf(names.driver, sizeof names.driver, "%.200s", config);
    }
}

const char *blas_driver(const tn_host_api *host)
{
    (void)host;
    call_once(&asked, ask);
    return names.driver;
}

const char *blas_gemm_impl(tn_dtype dtype)
{
    call_once(&asked, ask);
    return dtype == TN_F64 ? names.dgemm : names.sgemm;
}

// ------------------------------------------------------------------ one tile

static size_t element(tn_dtype dtype)
{
    return dtype == TN_F64 ? 8 : 4;
}

// Where element (i, j) stands.
static void *at(const blas_gemm *g, const blas_matrix *x, int64_t i, int64_t j)
{
    const int64_t index = x->transposed ? j * x->row + i : i * x->row + j;
    return (char *)x->p + (size_t)index * element(g->dtype);
}

static int leading(const blas_matrix *x)
{
    return x->row > 0 ? (int)x->row : 1;
}

static enum CBLAS_TRANSPOSE transposed(const blas_matrix *x)
{
    return x->transposed ? CblasTrans : CblasNoTrans;
}

// y(m) = beta y + A x with A(m, n) as it lies in memory or transposed
static void gemv(const blas_gemm *g, const blas_matrix *a, const int64_t size[2], const void *x,
                 int incx, void *y, int incy)
{
    const double beta = g->bias || g->add;
    // CBLAS counts rows and columns as they are stored.
    const int rows = (int)size[a->transposed], cols = (int)size[!a->transposed];
    if (g->dtype == TN_F64)
        cblas_dgemv(CblasRowMajor, transposed(a), rows, cols, 1, a->p, leading(a), x, incx, beta, y,
                    incy);
    else
        cblas_sgemv(CblasRowMajor, transposed(a), rows, cols, 1, a->p, leading(a), x, incx,
                    (float)beta, y, incy);
}

enum {
    ROWS = 128,    // of a that are worked on together
    DEPTH = 256,   // numbers of them
    LEAST_ROWS = 8 // below, packing b costs more than it brings
};

// ROWS rows of a, DEPTH numbers of each, with all of b's columns, a panel at a time; at: first row
// of a, and first number.
static void gemm_rows(const blas_gemm *g, const int64_t at[2], blas_panel p)
{
    const int64_t width = blas_panel_width(g->dtype);
    const size_t size = element(g->dtype);
    _Alignas(64) char panel[DEPTH * BLAS_PANEL];
    p.b = panel;
    for (int64_t n = 0; n < g->size.n; n += width) {
        p.n = g->size.n - n < width ? g->size.n - n : width;
        if (g->b.transposed)
            blas_panel_across(g->dtype, (char *)g->b.p + (size_t)(n * g->b.row + at[1]) * size,
                              g->b.row, (const int64_t[]){p.n, p.k}, panel);
        else
            blas_panel_along(g->dtype, (char *)g->b.p + (size_t)(at[1] * g->b.row + n) * size,
                             g->b.row, (const int64_t[]){p.k, p.n}, panel);
        blas_panel_into(&p, (char *)g->c.p + (size_t)(at[0] * g->c.row + n) * size, g->c.row,
                        g->bias || g->add || at[1]);
    }
}

// c = beta c + a · b by panels
static void gemm_by_panels(const blas_gemm *g)
{
    const size_t size = element(g->dtype);
    _Alignas(64) char strips[ROWS * DEPTH * sizeof(double)];
    for (int64_t m = 0; m < g->size.m; m += ROWS)
        for (int64_t k = 0; k < g->size.k; k += DEPTH) {
            blas_panel p = {.dtype = g->dtype,
                            .m = g->size.m - m < ROWS ? g->size.m - m : ROWS,
                            .k = g->size.k - k < DEPTH ? g->size.k - k : DEPTH};
            if (g->a.transposed) {
                blas_panel_strips(g->dtype, (char *)g->a.p + (size_t)(k * g->a.row + m) * size,
                                  g->a.row, (const int64_t[]){p.m, p.k}, strips);
                p.a = strips, p.a_strip = BLAS_STRIP * p.k;
            } else {
                p.a = (char *)g->a.p + (size_t)(m * g->a.row + k) * size, p.a_row = g->a.row;
            }
            gemm_rows(g, (const int64_t[]){m, k}, p);
        }
}

// c = beta c + a · b for matrices that are not empty
static void gemm(const blas_gemm *g)
{
    const int m = (int)g->size.m, n = (int)g->size.n, k = (int)g->size.k;
    const double beta = g->bias || g->add;
    if (m == 1 && !g->c.transposed) { // cᵀ = bᵀ · aᵀ
        const blas_matrix b = {g->b.p, g->b.row, !g->b.transposed};
        const int step = g->a.transposed ? leading(&g->a) : 1;
        gemv(g, &b, (const int64_t[]){n, k}, g->a.p, step, g->c.p, 1);
    } else if (n == 1 && !g->c.transposed) {
        const int step = g->b.transposed ? 1 : leading(&g->b);
        gemv(g, &g->a, (const int64_t[]){m, k}, g->b.p, step, g->c.p, leading(&g->c));
    } else if (!g->c.transposed && m >= LEAST_ROWS && n > 1 && k > 1 && blas_panel_fast()) {
        gemm_by_panels(g);
    } else if (g->dtype == TN_F64) {
        cblas_dgemm(CblasRowMajor, transposed(&g->a), transposed(&g->b), m, n, k, 1, g->a.p,
                    leading(&g->a), g->b.p, leading(&g->b), beta, g->c.p, leading(&g->c));
    } else {
        cblas_sgemm(CblasRowMajor, transposed(&g->a), transposed(&g->b), m, n, k, 1, g->a.p,
                    leading(&g->a), g->b.p, leading(&g->b), (float)beta, g->c.p, leading(&g->c));
    }
}

// The bias, or zeros where there is nothing to add up, as the rows of c.
static void fill_rows(const blas_gemm *g)
{
    const size_t bytes = (size_t)g->size.n * element(g->dtype);
    for (int64_t i = 0; i < g->size.m; i++) {
        void *row = at(g, &g->c, i, 0);
        if (g->bias)
            memcpy(row, g->bias, bytes);
        else
            memset(row, 0, bytes);
    }
}

// ------------------------------------------------------------------ tiles

typedef struct tiles {
    const blas_gemm *g;
    const tn_run_args *run;
    int64_t m, n;       // elements of a tile
    int64_t down, over; // tiles of a product
} tiles;

// OpenBLAS counts the threads that OpenMP would give to this thread: one, for this while.
int blas_alone(void)
{
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    return threads;
}

void blas_alone_end(int threads)
{
    omp_set_num_threads(threads);
}

void blas_multiply_alone(const blas_gemm *g)
{
    if (g->size.m == 0 || g->size.n == 0) return;
    if (g->bias || (g->size.k == 0 && !g->add)) fill_rows(g);
    if (g->size.k) gemm(g);
}

static void run_tiles(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const tiles *t = ctx;
    const size_t size = element(t->g->dtype);
    const int threads = blas_alone();
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        blas_gemm g = *t->g;
        const int64_t batch = item / (t->down * t->over);
        const int64_t i = item / t->over % t->down * t->m, j = item % t->over * t->n;
        g.c.p = (char *)at(&g, &g.c, i, j) + (size_t)(batch * g.c_step) * size;
        g.a.p = (char *)at(&g, &g.a, i, 0) + (size_t)(batch * g.a_step) * size;
        g.b.p = (char *)at(&g, &g.b, 0, j) + (size_t)(batch * g.b_step) * size;
        if (g.bias) g.bias = (const char *)g.bias + (size_t)j * size;
        g.size.m = g.size.m - i < t->m ? g.size.m - i : t->m;
        g.size.n = g.size.n - j < t->n ? g.size.n - j : t->n;
        blas_multiply_alone(&g);
        const int64_t first = batch * g.c_step + i * g.c.row + j;
        for (int64_t row = 0; g.tail && row < g.size.m; row++)
            blas_tail_run(g.tail, t->run, first + row * g.c.row, g.size.n);
    }
    blas_alone_end(threads);
}

enum {
    TILE_WORK = 1 << 21, // multiplications that are worth a tile: about 40 µs
    TILE_SIDE = 64,      // least side of a tile
    TILE_WIDE = 128,     // and where there are TILE_SOME: larger ones pack less
    TILE_SOME = 8,       //
    TILE_UNIT = 16,      // sides are multiples of it: what a register kernel computes at once
    TILE_MOST = 64       // tiles of a product: as many threads can work on it
};

// Cuts the longer side in two until there are enough tiles.
static void cut(tiles *t)
{
    const blas_product s = t->g->size;
    double wanted = (double)s.m * (double)s.n * (double)s.k / TILE_WORK;
    if (wanted > TILE_MOST) wanted = TILE_MOST;
    int64_t pieces[2] = {1, 1};
    t->m = s.m, t->n = s.n;
    while ((double)(pieces[0] * pieces[1]) < wanted) {
        const bool rows = t->m > t->n;
        const bool some = pieces[0] * pieces[1] >= TILE_SOME;
        if ((rows ? t->m : t->n) < 2 * (some ? TILE_WIDE : TILE_SIDE)) break;
        pieces[!rows] *= 2;
        int64_t *side = rows ? &t->m : &t->n;
        const int64_t whole = rows ? s.m : s.n, share = whole / pieces[!rows];
        *side = (share + TILE_UNIT - 1) / TILE_UNIT * TILE_UNIT;
    }
    t->down = (s.m + t->m - 1) / t->m;
    t->over = (s.n + t->n - 1) / t->n;
}

void blas_multiply(const tn_sdk_kernel *k, const tn_run_args *run, const blas_gemm *given)
{
    blas_gemm g = *given;
    if (g.c.transposed) { // cᵀ = bᵀ · aᵀ
        g.size = (blas_product){given->size.n, given->size.m, given->size.k};
        g.a = given->b, g.b = given->a;
        g.a.transposed = !g.a.transposed, g.b.transposed = !g.b.transposed;
        g.a_step = given->b_step, g.b_step = given->a_step;
        g.c.transposed = false;
    }
    if (g.size.m == 0 || g.size.n == 0 || g.batch == 0) return;
    tiles t = {.g = &g, .run = run};
    cut(&t);
    const int64_t work = t.m * t.n * (g.size.k + 1); // of an item
    blas_items(k, run, g.batch * t.down * t.over, work, TILE_WORK / 4, run_tiles, &t);
}
