// backends/onednn/onednn_index.c: Embedding and its gradient, which oneDNN has no primitive for.
#include "onednn_loops.h"

// Rows of `width` numbers of a table of n rows, and the row of each index.
typedef struct look_up {
    const float *index, *from;
    float *to;
    int64_t n, width, indices;
} look_up;

// An index outside means the row at the nearest end; a fraction is dropped.
static inline int64_t od_row(const look_up *l, int64_t i)
{
    return tn_saturate((double)l->index[i], 0, l->n - 1);
}

// Indices begin … end-1.
static void gather(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const look_up *l = ctx;
    const size_t bytes = (size_t)l->width * sizeof(float);
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        memcpy(l->to + i * l->width, l->from + od_row(l, i) * l->width, bytes);
}

// Columns begin … end-1 of all rows: in the order of the indices, for any number of threads.
OD_CLONES static void od_scatter(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const look_up *l = ctx;
    const size_t bytes = (size_t)(end - begin) * sizeof(float);
    (void)worker;
    for (int64_t row = 0; row < l->n; row++) memset(l->to + row * l->width + begin, 0, bytes);
    for (int64_t i = 0; i < l->indices; i++) {
        const float *from = l->from + i * l->width;
        float *to = l->to + od_row(l, i) * l->width;
        OD_SIMD
        for (int64_t j = begin; j < end; j++) to[j] += from[j];
    }
}

static const char *cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    return od_same_dtypes(c) ? NULL : od_mixed_dtypes;
}

// Inputs data, weight
static tn_status embedding(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *weight = k->call->in[1];
    look_up l = {.index = a->in[0].host,
                 .from = a->in[1].host,
                 .to = a->out[0].host,
                 .n = weight->dims[0],
                 .width = weight->dims[1],
                 .indices = k->call->in[0]->size};
    od_items(k, a, l.indices, l.width, gather, &l);
    return TN_OK;
}

// Inputs dy, data, shape of weight
static tn_status embedding_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *weight = k->call->out[0];
    look_up l = {.index = a->in[1].host,
                 .from = a->in[0].host,
                 .to = a->out[0].host,
                 .n = weight->dims[0],
                 .width = weight->dims[1],
                 .indices = k->call->in[1]->size};
    od_items(k, a, l.width, l.n + l.indices, od_scatter, &l);
    return TN_OK;
}

#define ROW(op_, run_)                                                               \
    {                                                                                \
        .op = op_, .dtypes = TN_BIT(TN_F32), .flags = OD_FLAGS | TN_K_DETERMINISTIC, \
        .impl = OD_LOOPS, .cannot = cannot, .run = run_                              \
    }

const tn_kernel_row onednn_index[] = {
    ROW("Embedding", embedding),
    ROW("_backward_Embedding", embedding_backward),
    {0},
};
