// backends/blas/blas_index.c: operators that look elements up by number.
#include "blas.h"

enum { CHUNK = 256 }; // indices at a time

// Row that an index means: outside 0 … n-1 the nearest end, or with mode wrap the index modulo n.
static int64_t row_of(bool wrap, int64_t index, int64_t n)
{
    if (wrap) return (index % n + n) % n;
    return index < 0 ? 0 : index >= n ? n - 1 : index;
}

// ------------------------------------------------------------------ Embedding, take

// A look-up: the table as (outer, n, inner) around the axis that is looked into.
typedef struct look_up {
    tn_line line;
    int64_t indices;
    bool wrap, raise;
    tn_dtype dtype; // of the indices
    size_t bytes;   // of `inner` elements
    const char *table;
    const void *index;
    char *out;
} look_up;

static tn_status look_up_setup(tn_sdk_kernel *k, const tn_value_info *table,
                               const tn_value_info *index)
{
    look_up *l = k->state;
    l->line = tn_around(table, (int32_t)tn_call_i64(k->call, "axis", 0));
    l->indices = index->size;
    l->wrap = tn_call_is(k->call, "mode", "wrap");
    l->raise = tn_call_is(k->call, "mode", "raise");
    l->dtype = index->dtype;
    l->bytes = (size_t)l->line.inner * tn_dtype_size(table->dtype);
    return TN_OK;
}

// The table's rows of some of the indices.
static void rows_of(const look_up *l, int64_t at, int64_t count, int64_t *row)
{
    blas_load_i64(l->dtype, l->index, at, count, row);
    for (int64_t i = 0; i < count; i++) row[i] = row_of(l->wrap, row[i], l->line.n);
}

#define LOOK_UP(type)                                                          \
    for (int64_t j = 0; j < some; j++)                                         \
        ((type *)(void *)to)[j] = ((const type *)(const void *)table)[row[j]]; \
    break;

// Items are pieces of `inner` elements of the result, (outer, index).
static void look_up_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const look_up *l = ctx;
    int64_t row[CHUNK], some;
    (void)worker;
    for (int64_t i = begin; i < end; i += some) {
        const int64_t outer = i / l->indices, at = i % l->indices;
        const char *table = l->table + (size_t)(outer * l->line.n) * l->bytes;
        char *to = l->out + (size_t)i * l->bytes;
        some = l->indices - at < end - i ? l->indices - at : end - i;
        if (some > CHUNK) some = CHUNK;
        rows_of(l, at, some, row);
        switch (l->line.inner == 1 ? l->bytes : 0) {
        case 1: LOOK_UP(uint8_t)
        case 2: LOOK_UP(uint16_t)
        case 4: LOOK_UP(uint32_t)
        case 8: LOOK_UP(uint64_t)
        default:
            for (int64_t j = 0; j < some; j++)
                memcpy(to + (size_t)j * l->bytes, table + (size_t)row[j] * l->bytes, l->bytes);
        }
    }
}

// Fails at the first index that is outside 0 … n-1, or NaN. Fractions are dropped.
static tn_status all_inside(const tn_sdk_kernel *k, const look_up *l)
{
    for (int64_t i = 0; i < l->indices; i++) {
        const int64_t at = blas_get_int(l->dtype, l->index, i);
        double value;
        blas_load_f64(l->dtype, l->index, i, 1, &value);
        if (!isnan(value) && at >= 0 && at < l->line.n) continue;
        return tn_fail(k->host, TN_E_INVALID, "index %.17g at position %lld: wanted 0 to %lld",
                       value, (long long)i, (long long)l->line.n - 1);
    }
    return TN_OK;
}

static tn_status look_up_run(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t table,
                             uint32_t indices)
{
    look_up l = *(const look_up *)k->state;
    l.table = a->in[table].host;
    l.index = a->in[indices].host;
    l.out = a->out[0].host;
    const tn_status s = l.raise ? all_inside(k, &l) : TN_OK;
    if (s == TN_OK && k->call->out[0]->size)
        blas_items(k, a, l.line.outer * l.indices, (int64_t)l.bytes, 4 * BLAS_CHEAP, look_up_range,
                   &l);
    return s;
}

// Inputs data, weight
static tn_status embedding_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return look_up_setup(k, k->call->in[1], k->call->in[0]);
}

static tn_status embedding(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return look_up_run(k, a, 1, 0);
}

// Inputs a, indices
static tn_status take_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return look_up_setup(k, k->call->in[0], k->call->in[1]);
}

static tn_status take(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return look_up_run(k, a, 0, 1);
}

static const char *take_cannot(const tn_call *c)
{
    return c->in[0]->size == 0 && c->out[0]->size ? "there is no row to take" : NULL;
}

// ------------------------------------------------------------------ _check_index

// Inputs indices: the same again, if all are in 0 … extent-1.
static tn_status check_index(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *index = k->call->in[0];
    const int64_t n = tn_call_i64(k->call, "extent", 0);
    for (int64_t i = 0; i < index->size; i++) {
        double v;
        blas_load_f64(index->dtype, a->in[0].host, i, 1, &v);
        if (v > -1 && v < (double)n) continue; // NaN is outside
        return tn_fail(k->host, TN_E_INVALID,
                       "%s (%s): index %.17g at position %lld: wanted 0 to "
                       "%lld",
                       k->call->name, k->call->op->name, v, (long long)i, (long long)n - 1);
    }
    int64_t whole[CHUNK];
    for (int64_t i = 0; i < index->size; i += CHUNK) {
        const int64_t m = index->size - i < CHUNK ? index->size - i : CHUNK;
        blas_load_i64(index->dtype, a->in[0].host, i, m, whole);
        blas_store_i64(k->call->out[0]->dtype, a->out[0].host, i, m, whole);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ one_hot

typedef struct one_hot {
    const tn_value_info *y;
    const void *index;
    tn_dtype dtype; // of the indices
    int64_t depth;
    uint64_t on, off; // bytes of an element
    char *out;
} one_hot;

static void one_hot_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const one_hot *h = ctx;
    const size_t size = tn_dtype_size(h->y->dtype);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        char *row = h->out + (size_t)(i * h->depth) * size;
        const int64_t at = blas_get_int(h->dtype, h->index, i);
        for (int64_t j = 0; j < h->depth; j++) memcpy(row + (size_t)j * size, &h->off, size);
        if (at >= 0 && at < h->depth) memcpy(row + (size_t)at * size, &h->on, size);
    }
}

// out(…, j) = on_value where j = indices(…), else off_value
static tn_status one_hot_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const double on = tn_call_f64(c, "on_value", 1), off = tn_call_f64(c, "off_value", 0);
    one_hot h = {.y = c->out[0],
                 .index = a->in[0].host,
                 .dtype = c->in[0]->dtype,
                 .depth = tn_call_i64(c, "depth", 0),
                 .out = a->out[0].host};
    blas_store_f64(h.y->dtype, &h.on, 0, 1, &on);
    blas_store_f64(h.y->dtype, &h.off, 0, 1, &off);
    if (h.y->size) blas_items(k, a, c->in[0]->size, h.depth, BLAS_CHEAP, one_hot_range, &h);
    return TN_OK;
}

#define ROW(op_, size_, cannot_, setup_, run_)                                        \
    {                                                                                 \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS, .state_size = size_, \
        .cannot = cannot_, .setup = setup_, .run = run_                               \
    }

const tn_kernel_row blas_index[] = {
    ROW("Embedding", sizeof(look_up), NULL, embedding_setup, embedding),
    ROW("take", sizeof(look_up), take_cannot, take_setup, take),
    ROW("_check_index", 0, NULL, NULL, check_index),
    ROW("one_hot", 0, NULL, NULL, one_hot_run),
    {0},
};
