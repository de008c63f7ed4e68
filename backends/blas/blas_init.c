// backends/blas/blas_init.c: operators that make values from nothing.
#include "blas.h"

// The bytes of one element, repeated.
typedef struct fill {
    void *p;
    size_t size; // of an element
    uint64_t cell;
} fill;

static void fill_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const fill *f = ctx;
    (void)worker;
#define FILL(type)                                      \
    {                                                   \
        type v, *p = f->p;                              \
        memcpy(&v, &f->cell, sizeof v);                 \
        for (int64_t i = begin; i < end; i++) p[i] = v; \
        break;                                          \
    }
    switch (f->size) {
    case 1: FILL(uint8_t)
    case 2: FILL(uint16_t)
    case 4: FILL(uint32_t)
    default: FILL(uint64_t)
    }
#undef FILL
}

static void fill_all(const tn_sdk_kernel *k, const tn_run_args *a, double v)
{
    const tn_value_info *y = k->call->out[0];
    fill f = {a->out[0].host, tn_dtype_size(y->dtype), 0};
    blas_store_f64(y->dtype, &f.cell, 0, 1, &v);
    blas_elements(k, a, y->size, BLAS_CHEAP, fill_range, &f);
}

static tn_status zeros(const tn_sdk_kernel *k, const tn_run_args *a)
{
    fill_all(k, a, 0);
    return TN_OK;
}

static tn_status ones(const tn_sdk_kernel *k, const tn_run_args *a)
{
    fill_all(k, a, 1);
    return TN_OK;
}

static tn_status full(const tn_sdk_kernel *k, const tn_run_args *a)
{
    fill_all(k, a, tn_call_f64(k->call, "value", 0));
    return TN_OK;
}

static tn_status arange(const tn_sdk_kernel *k, const tn_run_args *a)
{
    enum { CHUNK = 256 };
    const tn_value_info *y = k->call->out[0];
    const tn_progress p = tn_progress_of(k->call);
    for (int64_t i = 0; i < y->size; i += CHUNK) {
        double v[CHUNK];
        const int64_t n = y->size - i < CHUNK ? y->size - i : CHUNK;
        for (int64_t j = 0; j < n; j++) v[j] = p.start + (double)((i + j) / p.repeat) * p.step;
        blas_store_f64(y->dtype, a->out[0].host, i, n, v);
    }
    return TN_OK;
}

#define ROW(op_, run_)                                                       \
    {                                                                        \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS, .run = run_ \
    }

const tn_kernel_row blas_values[] = {
    ROW("_zeros", zeros),
    ROW("_ones", ones),
    ROW("_full", full),
    ROW("_arange", arange),
    ROW("zeros_like", zeros),
    ROW("ones_like", ones),
    {0},
};
