// backends/blas/blas_multinomial.c: draws of classes by their weights.
#include <tenon/draws.h>

#include "blas.h"

typedef struct multinomial {
    int64_t n, draws; // classes; draws of a row
    uint64_t worker_bytes;
} multinomial;

// Scratch of a worker: for each class the weights up to it.
static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    multinomial *m = k->state;
    const tn_value_info *x = k->call->in[0];
    m->n = x->dims[x->ndim - 1];
    m->draws = m->n && x->size ? k->call->out[0]->size / (x->size / m->n) : 0;
    m->worker_bytes = ((uint64_t)m->n * sizeof(double) + 63) / 64 * 64;
    info->scratch_bytes = m->worker_bytes * k->host->threads(k->host->host);
    return TN_OK;
}

// Sums of the weights, in which what is negative or no number counts as 0; the last class that
// counts.
static int64_t sum_up(double *sum, int64_t n)
{
    int64_t last = n - 1;
    double total = 0;
    for (int64_t j = 0; j < n; j++) {
        if (sum[j] > 0) last = j, total += sum[j];
        sum[j] = total;
    }
    return last;
}

// The first class whose sum is more than v; sums never fall.
static int64_t first_above(const double *sum, int64_t n, double v)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (sum[middle] > v)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// Items are rows.
static void draw_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const multinomial *m = run->k->state;
    const tn_call *c = run->k->call;
    const tn_run_args *a = run->a;
    double *sum = (void *)((char *)a->scratch.host + worker * m->worker_bytes);
    for (int64_t row = begin; row < end; row++) {
        blas_load_f64(c->in[0]->dtype, blas_in(a, 0), row * m->n, m->n, sum);
        const int64_t last = sum_up(sum, m->n);
        for (int64_t i = row * m->draws; i < (row + 1) * m->draws; i++) {
            tn_draws d = tn_draws_of(a->rng_key, a->rng_counter, (uint64_t)i);
            int64_t j = first_above(sum, m->n, tn_draws_next(&d) * sum[m->n - 1]);
            if (j == m->n) j = last; // rounding never leads to a class of weight 0
            blas_store_i64(c->out[0]->dtype, blas_out(a, 0), i, 1, &j);
            if (c->n_out < 2) continue;
            double p;
            blas_load_f64(c->in[0]->dtype, blas_in(a, 0), row * m->n + j, 1, &p);
            p = log(p);
            blas_store_f64(c->out[1]->dtype, blas_out(a, 1), i, 1, &p);
        }
    }
}

// data (rows, n); indices (rows, draws of a row), and the logarithms of the weights drawn.
static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const multinomial *m = k->state;
    blas_run r = {k, a};
    if (m->draws)
        blas_items(k, a, k->call->in[0]->size / m->n, m->n + 16 * m->draws, BLAS_COSTLY, draw_range,
                   &r);
    return TN_OK;
}

const tn_kernel_row blas_multinomials[] = {
    {.op = "sample_multinomial",
     .dtypes = TN_FLOATS,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(multinomial),
     .setup = setup,
     .run = run},
    {0},
};
