// backends/blas/blas_split.c: cutting work into pieces that do not depend on the threads.
#include "blas.h"

typedef struct blocks {
    tn_range_fn fn;
    void *ctx;
    int64_t n;
} blocks;

static void run_blocks(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blocks *b = ctx;
    const int64_t last = end * BLAS_BLOCK;
    b->fn(b->ctx, begin * BLAS_BLOCK, last < b->n ? last : b->n, worker);
}

void blas_elements(const tn_sdk_kernel *k, const tn_run_args *a, int64_t n, int64_t grain,
                   tn_range_fn fn, void *ctx)
{
    blocks b = {fn, ctx, n};
    if (n <= 0) return;
    tn_parallel(k, a, (n + BLAS_BLOCK - 1) / BLAS_BLOCK, grain / BLAS_BLOCK, run_blocks, &b);
}

void blas_items(const tn_sdk_kernel *k, const tn_run_args *a, int64_t n, int64_t size,
                int64_t grain, tn_range_fn fn, void *ctx)
{
    tn_parallel(k, a, n, size >= grain ? 1 : (grain + size) / (size + 1), fn, ctx);
}

tn_status blas_reduced_axes(const tn_sdk_kernel *k, const tn_value_info *x, bool gone[TN_MAX_NDIM])
{
    const char *wrong = tn_reduced_axes(k->call, x, gone);
    return wrong ? blas_no_axis(k, wrong) : TN_OK;
}
