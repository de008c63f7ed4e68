// backends/blas/blas_index.c: operators that look elements up by number.
#include "blas.h"

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

// Items are pieces of `inner` elements of the result, (outer, index).
static void look_up_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const look_up *l = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t index = blas_get_int(l->dtype, l->index, i % l->indices);
        const int64_t row = i / l->indices * l->line.n + row_of(l->wrap, index, l->line.n);
        memcpy(l->out + (size_t)i * l->bytes, l->table + (size_t)row * l->bytes, l->bytes);
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

// ------------------------------------------------------------------ their gradients

// Inputs dy(o, i…, …), indices(i…), like: the rows of dy are added up, each at its index.
//
// Scratch: for each row of the result the last of the indices that name it, and for each index the
// one before it: lists, -1 at their ends. So each row of the result is summed by one thread, in
// one order, and written once.
typedef struct scatter {
    tn_line line; // of the result, around the axis
    int64_t indices;
    tn_dtype dtype;
    const void *dy;
    void *out;
    int64_t *first, *next;
} scatter;

static tn_status scatter_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    scatter *s = k->state;
    s->line = tn_around(k->call->out[0], (int32_t)tn_call_i64(k->call, "axis", 0));
    s->indices = k->call->in[1]->size;
    s->dtype = k->call->out[0]->dtype;
    info->scratch_bytes = (uint64_t)(s->line.n + s->indices) * sizeof(int64_t);
    return TN_OK;
}

enum { CHUNK = 256 };

// Columns from `from` on of the sum of one list, in double or int64. Item: (outer, row).
static void sum_row(const scatter *s, int64_t item, int64_t from, int64_t n)
{
    double sum[CHUNK], v[CHUNK];
    int64_t whole_sum[CHUNK], whole[CHUNK];
    const bool real = blas_is_float(s->dtype);
    const int64_t outer = item / s->line.n, width = s->line.inner;
    for (int64_t j = 0; j < n; j++) sum[j] = 0, whole_sum[j] = 0;
    for (int64_t i = s->first[item % s->line.n]; i >= 0; i = s->next[i]) {
        const int64_t at = (outer * s->indices + i) * width + from;
        if (real) {
            blas_load_f64(s->dtype, s->dy, at, n, v);
            for (int64_t j = 0; j < n; j++) sum[j] += v[j];
        } else {
            blas_load_i64(s->dtype, s->dy, at, n, whole);
            for (int64_t j = 0; j < n; j++) whole_sum[j] += whole[j];
        }
    }
    if (real)
        blas_store_f64(s->dtype, s->out, item * width + from, n, sum);
    else
        blas_store_i64(s->dtype, s->out, item * width + from, n, whole_sum);
}

static void scatter_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const scatter *s = ctx;
    const int64_t width = s->line.inner;
    const size_t bytes = (size_t)width * tn_dtype_size(s->dtype);
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        if (s->first[item % s->line.n] < 0) {
            memset((char *)s->out + (size_t)item * bytes, 0, bytes);
            continue;
        }
        for (int64_t j = 0; j < width; j += CHUNK)
            sum_row(s, item, j, width - j < CHUNK ? width - j : CHUNK);
    }
}

static tn_status scatter_add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *index = k->call->in[1];
    const bool wrap = tn_call_is(k->call, "mode", "wrap");
    scatter s = *(const scatter *)k->state;
    if (k->call->out[0]->size == 0) return TN_OK;
    s.dy = a->in[0].host;
    s.out = a->out[0].host;
    s.first = a->scratch.host;
    s.next = s.first + s.line.n;

    for (int64_t i = 0; i < s.line.n; i++) s.first[i] = -1;
    for (int64_t i = index->size; i-- > 0;) { // so lists begin with their first
        const int64_t row = row_of(wrap, blas_get_int(index->dtype, a->in[1].host, i), s.line.n);
        s.next[i] = s.first[row];
        s.first[row] = i;
    }
    blas_items(k, a, s.line.outer * s.line.n, s.line.inner, BLAS_CHEAP, scatter_range, &s);
    return TN_OK;
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
    ROW("_backward_Embedding", sizeof(scatter), NULL, scatter_setup, scatter_add),
    ROW("take", sizeof(look_up), take_cannot, take_setup, take),
    ROW("_backward_take", sizeof(scatter), NULL, scatter_setup, scatter_add),
    ROW("_check_index", 0, NULL, NULL, check_index),
    ROW("one_hot", 0, NULL, NULL, one_hot_run),
    {0},
};
