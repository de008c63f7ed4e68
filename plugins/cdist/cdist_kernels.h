// plugins/cdist/cdist_kernels.h: the kernels of cdist, written once for float and double.
//
// The header includes itself once per element type T; N(x) is then x_f32 or x_f64. Sums are in
// double whatever T is.
#ifndef T
#ifndef CDIST_KERNELS_H
#define CDIST_KERNELS_H

#include <math.h>
#include <tenon/kernel.h>

enum { EUCLIDEAN, SQEUCLIDEAN, CITYBLOCK }; // order of the choices

// What run wants to know of its call, worked out once.
typedef struct cdist_state {
    int64_t n, m, k; // lhs (n, k), rhs (m, k)
    int32_t metric;
} cdist_state;

// What the workers of one run share.
typedef struct cdist_work {
    const cdist_state *state;
    const tn_run_args *args;
} cdist_work;

// Setup of both kernels. lhs and rhs are the first two inputs of cdist, and inputs 1 and 2 of its
// backward operator; parameters are read by name, so a kernel outlives changes of the struct.
static tn_status cdist_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    cdist_state *s = k->state;
    const uint32_t lhs = k->call->n_in == 4 ? 1 : 0;
    s->n = k->call->in[lhs]->dims[0];
    s->m = k->call->in[lhs + 1]->dims[0];
    s->k = k->call->in[lhs]->dims[1];
    s->metric = tn_call_is(k->call, "metric", "euclidean")     ? EUCLIDEAN
                : tn_call_is(k->call, "metric", "sqeuclidean") ? SQEUCLIDEAN
                                                               : CITYBLOCK;
    // Backward sums a row of k doubles per worker. Scratch memory is the executor's: it is shared
    // with other nodes, and a kernel allocates nothing while it runs.
    if (lhs == 1)
        info->scratch_bytes =
            (uint64_t)k->host->threads(k->host->host) * (uint64_t)s->k * sizeof(double);
    return TN_OK;
}

// Rows that are worth a thread: at least 2^14 differences.
static int64_t cdist_grain(int64_t others, int64_t k)
{
    const int64_t row = others * k > 0 ? others * k : 1;
    return (1 << 14) / row + 1;
}

#define T float
#define N(name) name##_f32
#include "cdist_kernels.h"
#undef T
#undef N

#define T double
#define N(name) name##_f64
#include "cdist_kernels.h"
#undef T
#undef N

#endif

#else // once per T

// ------------------------------------------------------------------ forward

// Row i of the result, (m,).
static void N(cdist_row)(const cdist_state *s, const T *x, const T *rhs, T *y)
{
    for (int64_t j = 0; j < s->m; j++) {
        const T *r = rhs + j * s->k;
        double sum = 0;
        if (s->metric == CITYBLOCK)
            for (int64_t c = 0; c < s->k; c++) sum += fabs((double)x[c] - (double)r[c]);
        else
            for (int64_t c = 0; c < s->k; c++) {
                const double d = (double)x[c] - (double)r[c];
                sum += d * d;
            }
        y[j] = (T)(s->metric == EUCLIDEAN ? sqrt(sum) : sum);
    }
}

static void N(cdist_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const cdist_work *w = ctx;
    const cdist_state *s = w->state;
    const T *lhs = w->args->in[0].host, *rhs = w->args->in[1].host;
    T *y = w->args->out[0].host;
    (void)worker;
    for (int64_t i = begin; i < end; i++) N(cdist_row)(s, lhs + i * s->k, rhs, y + i * s->m);
}

static tn_status N(cdist)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    cdist_work w = {k->state, a};
    tn_parallel(k, a, w.state->n, cdist_grain(w.state->m, w.state->k), N(cdist_range), &w);
    return TN_OK;
}

// ------------------------------------------------------------------ backward

// sum(k,) += dy · ∂distance(x, r)/∂x, where y is that distance. The derivative with respect to r is
// the same with the other sign.
static void N(add_pair)(const cdist_state *s, const T *x, const T *r, double dy, double y,
                        double *sum)
{
    if (s->metric == CITYBLOCK) {
        for (int64_t c = 0; c < s->k; c++) sum[c] += dy * ((x[c] > r[c]) - (x[c] < r[c]));
        return;
    }
    const double scale = s->metric == SQEUCLIDEAN ? 2 * dy : y > 0 ? dy / y : 0;
    for (int64_t c = 0; c < s->k; c++) sum[c] += scale * ((double)x[c] - (double)r[c]);
}

// Rows begin … end-1 of dlhs.
static void N(lhs_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const cdist_work *w = ctx;
    const cdist_state *s = w->state;
    const tn_arg *in = w->args->in;
    const T *dy = in[0].host, *lhs = in[1].host, *rhs = in[2].host, *y = in[3].host;
    T *dlhs = w->args->out[0].host;
    double *sum = (double *)w->args->scratch.host + (int64_t)worker * s->k;
    for (int64_t i = begin; i < end; i++) {
        memset(sum, 0, (size_t)s->k * sizeof *sum);
        for (int64_t j = 0; j < s->m; j++)
            N(add_pair)(s, lhs + i * s->k, rhs + j * s->k, dy[i * s->m + j], y[i * s->m + j], sum);
        for (int64_t c = 0; c < s->k; c++) dlhs[i * s->k + c] = (T)sum[c];
    }
}

// Rows begin … end-1 of drhs.
static void N(rhs_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const cdist_work *w = ctx;
    const cdist_state *s = w->state;
    const tn_arg *in = w->args->in;
    const T *dy = in[0].host, *lhs = in[1].host, *rhs = in[2].host, *y = in[3].host;
    T *drhs = w->args->out[1].host;
    double *sum = (double *)w->args->scratch.host + (int64_t)worker * s->k;
    for (int64_t j = begin; j < end; j++) {
        memset(sum, 0, (size_t)s->k * sizeof *sum);
        for (int64_t i = 0; i < s->n; i++)
            N(add_pair)(s, rhs + j * s->k, lhs + i * s->k, dy[i * s->m + j], y[i * s->m + j], sum);
        for (int64_t c = 0; c < s->k; c++) drhs[j * s->k + c] = (T)sum[c];
    }
}

static tn_status N(backward)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    cdist_work w = {k->state, a};
    const cdist_state *s = w.state;
    if (s->k == 0) return TN_OK; // both results are empty
    tn_parallel(k, a, s->n, cdist_grain(s->m, s->k), N(lhs_range), &w);
    tn_parallel(k, a, s->m, cdist_grain(s->n, s->k), N(rhs_range), &w);
    return TN_OK;
}

#endif
