// backends/blas/blas_sparse_reg.c: the gradient of IdentityAttachKLSparseReg: what arrives, and a
// pull of each unit's mean towards the wanted one.
#ifndef T

#include "blas.h"

typedef struct sparse_reg {
    tn_line line; // (samples, units, places)
    double target, penalty, momentum;
} sparse_reg;

#define THIS_FILE "blas_sparse_reg.c"
#include "blas_each_type.h"

// Scratch: the sum of each unit.
static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    sparse_reg *s = k->state;
    s->line = tn_around(k->call->in[1], 1);
    s->target = tn_call_f64(k->call, "sparseness_target", 0.1);
    s->penalty = tn_call_f64(k->call, "penalty", 0.001);
    s->momentum = tn_call_f64(k->call, "momentum", 0.9);
    info->scratch_bytes = (uint64_t)s->line.n * sizeof(double);
    blas_inplace(k, info, 0);
    return TN_OK;
}

// Inputs dy, data, moving_avg, which is moved first
static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const sparse_reg *s = k->state;
    blas_run r = {k, a};
    if (k->call->out[0]->size)
        blas_items(k, a, s->line.n, s->line.outer * s->line.inner, BLAS_CHEAP,
                   k->call->in[0]->dtype == TN_F64 ? units_f64 : units_f32, &r);
    return TN_OK;
}

const tn_kernel_row blas_sparse_regs[] = {
    {.op = "_backward_IdentityAttachKLSparseReg",
     .dtypes = BLAS_REALS,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(sparse_reg),
     .setup = setup,
     .run = run},
    {0},
};

#else // once per type

// Units begin … end-1, sample after sample, as they lie in memory. With the moved mean m of a unit
//
//     dx = dy + penalty ((1 - target) / (1 - m) - target / m)
static void N(units)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const sparse_reg *s = r->k->state;
    const tn_line l = s->line;
    const T *dy = blas_in(r->a, 0), *x = blas_in(r->a, 1);
    T *moving = r->a->in[2].host, *dx = blas_out(r->a, 0);
    double *sum = r->a->scratch.host;
    (void)worker;
    for (int64_t c = begin; c < end; c++) sum[c] = 0;
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t c = begin; c < end; c++)
            for (int64_t i = 0; i < l.inner; i++) sum[c] += (double)x[(o * l.n + c) * l.inner + i];
    for (int64_t c = begin; c < end; c++) {
        const double mean = sum[c] / (double)(l.outer * l.inner);
        moving[c] = (T)(s->momentum * (double)moving[c] + (1 - s->momentum) * mean);
        const double m = (double)moving[c];
        sum[c] = s->penalty * ((1 - s->target) / (1 - m) - s->target / m);
    }
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t c = begin; c < end; c++)
            for (int64_t i = 0; i < l.inner; i++) {
                const int64_t at = (o * l.n + c) * l.inner + i;
                dx[at] = (T)((double)dy[at] + sum[c]);
            }
}

#endif
