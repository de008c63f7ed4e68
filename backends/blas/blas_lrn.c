// backends/blas/blas_lrn.c: LRN and its gradient.
//
// Items are pieces of the planes of an image: each channel's part of a piece is a row, and what a
// window of channels sums up is a sum of rows.
#ifndef T

#include "blas.h"

enum { PIECE = 256 }; // elements of a row

typedef struct lrn {
    tn_line line;   // (outer, channels, inner)
    int64_t half;   // channels in the window on each side of its middle
    int64_t pieces; // of a row of `inner` elements
    double scale, beta, knorm;
    uint64_t worker_bytes; // a row of each channel
} lrn;

typedef struct lrn_run {
    const lrn *l;
    const tn_run_args *a;
} lrn_run;

#define THIS_FILE "blas_lrn.c"
#include "blas_each_type.h"

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    lrn *l = k->state;
    const int64_t nsize = tn_call_i64(k->call, "nsize", 1);
    l->line = tn_around(k->call->in[0], 1);
    l->half = nsize / 2;
    l->pieces = (l->line.inner + PIECE - 1) / PIECE;
    l->scale = tn_call_f64(k->call, "alpha", 1e-4) / (double)nsize; // the division is MXNet's
    l->beta = tn_call_f64(k->call, "beta", 0.75);
    l->knorm = tn_call_f64(k->call, "knorm", 2);
    l->worker_bytes = (uint64_t)l->line.n * PIECE * tn_dtype_size(k->call->in[0]->dtype);
    info->scratch_bytes = l->worker_bytes * k->host->threads(k->host->host);
    return TN_OK;
}

static tn_status over_pieces(const tn_sdk_kernel *k, const tn_run_args *a, tn_range_fn f32,
                             tn_range_fn f64)
{
    const lrn *l = k->state;
    lrn_run r = {l, a};
    if (k->call->out[0]->size)
        blas_items(k, a, l->line.outer * l->pieces, l->line.n * PIECE, BLAS_COSTLY,
                   k->call->in[0]->dtype == TN_F64 ? f64 : f32, &r);
    return TN_OK;
}

// Input x; outputs y, t
static tn_status forward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return over_pieces(k, a, forward_f32, forward_f64);
}

// Inputs dy, x, t
static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return over_pieces(k, a, backward_f32, backward_f64);
}

#define ROW(op_, run_)                                                                   \
    {                                                                                    \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(lrn), \
        .setup = setup, .run = run_                                                      \
    }

const tn_kernel_row blas_lrns[] = {
    ROW("LRN", forward),
    ROW("_backward_LRN", backward),
    {0},
};

#else // once per type

// out = t^-beta; three quarters is what networks take.
BLAS_CLONES static void N(power)(const T *t, T *out, int64_t n, double beta)
{
    if (beta == 0.75) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) {
            const T root = SQRT(t[i]);
            out[i] = 1 / (root * SQRT(root));
        }
    } else {
        for (int64_t i = 0; i < n; i++) out[i] = (T)pow((double)t[i], -beta);
    }
}

// Σ over the window of channel c of the rows of squares; rows are `step` apart.
BLAS_CLONES static void N(window)(const T *rows, int64_t step, const int64_t range[2], T *sum,
                                  int64_t n)
{
    for (int64_t i = 0; i < n; i++) sum[i] = 0;
    for (int64_t j = range[0]; j < range[1]; j++) {
        const T *row = rows + j * step;
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) sum[i] += row[i];
    }
}

// The channels of c's window: first and one past the last.
static void N(channels)(const lrn *l, int64_t c, int64_t range[2])
{
    range[0] = c > l->half ? c - l->half : 0;
    range[1] = l->line.n - c > l->half ? c + l->half + 1 : l->line.n;
}

// y = x t^-beta,  t = knorm + alpha / nsize · Σ_window x²
BLAS_CLONES static void N(forward_piece)(const lrn *l, const T *x, T *y, T *t, T *squares,
                                         int64_t n)
{
    const int64_t step = l->line.inner;
    const T scale = (T)l->scale, knorm = (T)l->knorm;
    int64_t range[2];
    T sum[PIECE], factor[PIECE];
    for (int64_t c = 0; c < l->line.n; c++) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) squares[c * PIECE + i] = x[c * step + i] * x[c * step + i];
    }
    for (int64_t c = 0; c < l->line.n; c++) {
        N(channels)(l, c, range);
        N(window)(squares, PIECE, range, sum, n);
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) t[c * step + i] = knorm + scale * sum[i];
        N(power)(t + c * step, factor, n, l->beta);
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) y[c * step + i] = x[c * step + i] * factor[i];
    }
}

// dx = dy t^-beta - 2 alpha beta / nsize · x Σ_window dy x t^(-beta - 1)
BLAS_CLONES static void N(backward_piece)(const lrn *l, const T *const in[3], T *dx, T *shares,
                                          int64_t n)
{
    const int64_t step = l->line.inner;
    const T *dy = in[0], *x = in[1], *t = in[2];
    const T scale = (T)(2 * l->scale * l->beta);
    int64_t range[2];
    T sum[PIECE], factor[PIECE];
    for (int64_t c = 0; c < l->line.n; c++) {
        const int64_t at = c * step;
        N(power)(t + at, factor, n, l->beta);
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++)
            shares[c * PIECE + i] = dy[at + i] * x[at + i] * (factor[i] / t[at + i]);
    }
    for (int64_t c = 0; c < l->line.n; c++) {
        const int64_t at = c * step;
        N(channels)(l, c, range);
        N(window)(shares, PIECE, range, sum, n);
        N(power)(t + at, factor, n, l->beta);
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++)
            dx[at + i] = dy[at + i] * factor[i] - scale * x[at + i] * sum[i];
    }
}

// The piece of an item: index of its first element, and elements of a row.
static int64_t N(piece)(const lrn *l, int64_t item, int64_t *n)
{
    const int64_t first = item % l->pieces * PIECE, left = l->line.inner - first;
    *n = left < PIECE ? left : PIECE;
    return item / l->pieces * l->line.n * l->line.inner + first;
}

static void N(forward)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const lrn_run *r = ctx;
    const tn_run_args *a = r->a;
    T *squares = (T *)(void *)((char *)a->scratch.host + worker * r->l->worker_bytes);
    for (int64_t item = begin; item < end; item++) {
        int64_t n;
        const int64_t at = N(piece)(r->l, item, &n);
        N(forward_piece)
        (r->l, (const T *)blas_in(a, 0) + at, (T *)blas_out(a, 0) + at, (T *)blas_out(a, 1) + at,
         squares, n);
    }
}

static void N(backward)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const lrn_run *r = ctx;
    const tn_run_args *a = r->a;
    T *shares = (T *)(void *)((char *)a->scratch.host + worker * r->l->worker_bytes);
    for (int64_t item = begin; item < end; item++) {
        int64_t n;
        const int64_t at = N(piece)(r->l, item, &n);
        const T *const in[3] = {(const T *)blas_in(a, 0) + at, (const T *)blas_in(a, 1) + at,
                                (const T *)blas_in(a, 2) + at};
        N(backward_piece)(r->l, in, (T *)blas_out(a, 0) + at, shares, n);
    }
}

#endif
