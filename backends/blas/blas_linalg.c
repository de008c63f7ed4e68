// backends/blas/blas_linalg.c: the Cholesky factor and triangular systems, by OpenBLAS.
//
// As with products, each piece is one call on one thread, and pieces depend on sizes alone. What
// is stored row by row is, to LAPACK, a transpose: the lower triangle here is its upper one.
#include <cblas.h>
#include <f77blas.h>
#include <limits.h>
#include <omp.h>

#include "blas.h"

// Makes OpenBLAS compute on this thread alone; returns what leave() needs.
static int enter(void)
{
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    return threads;
}

static void leave(int threads)
{
    omp_set_num_threads(threads);
}

static const char *too_large(const tn_call *c)
{
    for (uint32_t i = 0; i < c->n_in; i++)
        for (int32_t axis = 0; axis < c->in[i]->ndim; axis++)
            if (c->in[i]->dims[axis] > INT_MAX)
                return "a size is over INT_MAX, the index type of BLAS";
    return NULL;
}

// ------------------------------------------------------------------ linalg_potrf

// Scratch: for each matrix the order of its first minor that is not positive, or 0.
typedef struct potrf {
    tn_dtype dtype;
    int64_t n, count;
    const void *a;
    void *l;
    int32_t *bad;
} potrf;

static tn_status potrf_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *a = k->call->in[0];
    potrf *p = k->state;
    p->dtype = a->dtype;
    p->n = a->dims[a->ndim - 1];
    p->count = tn_span(a, 0, a->ndim - 2);
    info->scratch_bytes = (uint64_t)p->count * sizeof(int32_t);
    blas_inplace(k, info, 0);
    return TN_OK;
}

// Copies the lower triangle; the rest becomes 0.
static void copy_lower(const potrf *p, const char *a, char *l)
{
    const size_t size = tn_dtype_size(p->dtype), n = (size_t)p->n;
    for (size_t i = 0; i < n; i++) {
        blas_copy(l + i * n * size, a + i * n * size, (i + 1) * size);
        memset(l + (i * n + i + 1) * size, 0, (n - i - 1) * size);
    }
}

static void fill_nan(const potrf *p, void *l)
{
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t j = 0; j <= i; j++)
            if (p->dtype == TN_F64)
                ((double *)l)[i * p->n + j] = NAN;
            else
                ((float *)l)[i * p->n + j] = NAN;
}

static void potrf_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const potrf *p = ctx;
    const size_t bytes = (size_t)(p->n * p->n) * tn_dtype_size(p->dtype);
    const int threads = enter();
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        void *l = (char *)p->l + (size_t)i * bytes;
        char upper[] = "U";
        blasint n = (blasint)p->n, info = 0;
        copy_lower(p, (const char *)p->a + (size_t)i * bytes, l);
        if (p->dtype == TN_F64)
            dpotrf_(upper, &n, l, &n, &info);
        else
            spotrf_(upper, &n, l, &n, &info);
        p->bad[i] = (int32_t)info;
        if (info) fill_nan(p, l);
    }
    leave(threads);
}

static tn_status potrf_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    potrf p = *(const potrf *)k->state;
    if (k->call->out[0]->size == 0) return TN_OK;
    p.a = blas_in(a, 0), p.l = blas_out(a, 0), p.bad = a->scratch.host;
    blas_items(k, a, p.count, p.n * p.n, BLAS_COSTLY, potrf_range, &p);
    for (int64_t i = 0; i < p.count; i++)
        if (p.bad[i])
            return tn_fail(k->host, TN_E_INVALID,
                           "matrix %lld of %lld is not positive definite: its leading "
                           "minor of order %d is not positive",
                           (long long)i, (long long)p.count, (int)p.bad[i]);
    return TN_OK;
}

// ------------------------------------------------------------------ linalg_trsm

enum { VECTORS = 64 }; // that are solved for in one piece

typedef struct trsm {
    tn_dtype dtype;
    bool right, transpose;
    double alpha;
    int64_t n, vectors, count, pieces; // side, vectors and pieces of a matrix, matrices
    const char *a;
    char *x;
} trsm;

static tn_status trsm_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *a = k->call->in[0], *b = k->call->in[1];
    trsm *t = k->state;
    t->dtype = a->dtype;
    t->right = tn_call_bool(k->call, "rightside", false);
    t->transpose = tn_call_bool(k->call, "transpose", false);
    t->alpha = tn_call_f64(k->call, "alpha", 1);
    t->n = a->dims[a->ndim - 1];
    t->vectors = b->dims[b->ndim - (t->right ? 2 : 1)];
    t->count = tn_span(a, 0, a->ndim - 2);
    t->pieces = (t->vectors + VECTORS - 1) / VECTORS;
    blas_inplace(k, info, 1);
    return TN_OK;
}

// x := alpha op(a)⁻¹ x for m × n numbers of x, rows `step` apart.
static void solve(const trsm *t, const char *a, char *x, const int size[2], int step)
{
    const enum CBLAS_SIDE side = t->right ? CblasRight : CblasLeft;
    const enum CBLAS_TRANSPOSE turn = t->transpose ? CblasTrans : CblasNoTrans;
    const int n = (int)t->n;
    if (t->dtype == TN_F64)
        cblas_dtrsm(CblasRowMajor, side, CblasLower, turn, CblasNonUnit, size[0], size[1], t->alpha,
                    (const void *)a, n, (void *)x, step);
    else
        cblas_strsm(CblasRowMajor, side, CblasLower, turn, CblasNonUnit, size[0], size[1],
                    (float)t->alpha, (const void *)a, n, (void *)x, step);
}

static void trsm_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const trsm *t = ctx;
    const size_t size = tn_dtype_size(t->dtype);
    const int threads = enter();
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t matrix = item / t->pieces, first = item % t->pieces * VECTORS;
        const int64_t left = t->vectors - first;
        const int some = (int)(left < VECTORS ? left : VECTORS), n = (int)t->n;
        const int64_t at = matrix * t->n * t->vectors + (t->right ? first * t->n : first);
        const char *a = t->a + (size_t)(matrix * t->n * t->n) * size;
        solve(t, a, t->x + (size_t)at * size, t->right ? (int[]){some, n} : (int[]){n, some},
              t->right ? n : (int)t->vectors);
    }
    leave(threads);
}

static tn_status trsm_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    trsm t = *(const trsm *)k->state;
    if (k->call->out[0]->size == 0) return TN_OK;
    t.a = blas_in(a, 0), t.x = blas_out(a, 0);
    blas_copy(t.x, blas_in(a, 1), k->call->out[0]->bytes);
    blas_items(k, a, t.count * t.pieces, t.n * t.n * VECTORS, BLAS_CHEAP, trsm_range, &t);
    return TN_OK;
}

const tn_kernel_row blas_linalg[] = {
    {.op = "linalg_potrf",
     .dtypes = BLAS_REALS,
     .flags = BLAS_FLAGS,
     .impl = "potrf",
     .state_size = sizeof(potrf),
     .cannot = too_large,
     .setup = potrf_setup,
     .run = potrf_run},
    {.op = "linalg_trsm",
     .dtypes = BLAS_REALS,
     .flags = BLAS_FLAGS,
     .impl = "trsm",
     .state_size = sizeof(trsm),
     .cannot = too_large,
     .setup = trsm_setup,
     .run = trsm_run},
    {0},
};
