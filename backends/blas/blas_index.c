// backends/blas/blas_index.c: operators that look elements up by number.
#include "blas.h"

// Row that an index means: outside 0 … n-1 the nearest end, or with mode wrap the index modulo n.
static int64_t row_of(bool wrap, int64_t index, int64_t n)
{
    if (wrap) return (index % n + n) % n;
    return index < 0 ? 0 : index >= n ? n - 1 : index;
}

// ------------------------------------------------------------------ Embedding, take

typedef struct look_up {
    const char *table;
    const void *index;
    tn_dtype dtype; // of the indices
    int64_t rows;
    size_t bytes; // of a row
    bool wrap;
    char *out;
} look_up;

static void look_up_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const look_up *l = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = row_of(l->wrap, blas_get_int(l->dtype, l->index, i), l->rows);
        memcpy(l->out + (size_t)i * l->bytes, l->table + (size_t)row * l->bytes, l->bytes);
    }
}

// out(i…) = table[index i…], a row of the table each
static tn_status look_up_all(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t table,
                             uint32_t indices)
{
    const tn_value_info *index = k->call->in[indices];
    look_up l = {.table = a->in[table].host,
                 .index = a->in[indices].host,
                 .dtype = index->dtype,
                 .rows = blas_span(k->call->in[table], 0, 1),
                 .wrap = tn_call_is(k->call, "mode", "wrap"),
                 .out = a->out[0].host};
    l.bytes = l.rows ? k->call->in[table]->bytes / (size_t)l.rows : 0;
    if (l.bytes) blas_items(k, a, index->size, (int64_t)l.bytes, 4 * BLAS_CHEAP, look_up_range, &l);
    return TN_OK;
}

// Inputs data, weight
static tn_status embedding(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return look_up_all(k, a, 1, 0);
}

// Inputs a, indices; along the first axis
static tn_status take(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return look_up_all(k, a, 0, 1);
}

static const char *take_cannot(const tn_call *c)
{
    if (c->in[0]->size == 0 && c->out[0]->size) return "there is no row to take";
    return tn_call_i64(c, "axis", 0) != 0 ? "takes along axis 0 only" : NULL;
}

// ------------------------------------------------------------------ their gradients

// Inputs dy(i…), indices(i…), like: the rows of dy are added up, each at its index.
//
// Scratch: for each row of the result the last of dy's rows that goes there, and for each row of
// dy the one before it: lists, -1 at their ends. So each row of the result is summed by one
// thread, in one order, and written once.
typedef struct scatter {
    const tn_value_info *y;
    const void *dy;
    void *out;
    int64_t *first, *next;
    int64_t width; // elements of a row
} scatter;

static tn_status scatter_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const int64_t rows = blas_span(k->call->out[0], 0, 1);
    info->scratch_bytes = (uint64_t)(rows + k->call->in[1]->size) * sizeof(int64_t);
    return TN_OK;
}

enum { CHUNK = 256 };

// Columns from `from` on of the sum of one list, in double or int64.
static void sum_row(const scatter *s, int64_t row, int64_t from, int64_t n)
{
    double sum[CHUNK] = {0}, v[CHUNK];
    int64_t whole_sum[CHUNK] = {0}, whole[CHUNK];
    const bool real = blas_is_float(s->y->dtype);
    for (int64_t i = s->first[row]; i >= 0; i = s->next[i]) {
        const int64_t at = i * s->width + from;
        if (real) {
            blas_load_f64(s->y->dtype, s->dy, at, n, v);
            for (int64_t j = 0; j < n; j++) sum[j] += v[j];
        } else {
            blas_load_i64(s->y->dtype, s->dy, at, n, whole);
            for (int64_t j = 0; j < n; j++) whole_sum[j] += whole[j];
        }
    }
    if (real)
        blas_store_f64(s->y->dtype, s->out, row * s->width + from, n, sum);
    else
        blas_store_i64(s->y->dtype, s->out, row * s->width + from, n, whole_sum);
}

static void scatter_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const scatter *s = ctx;
    const size_t bytes = (size_t)s->width * tn_dtype_size(s->y->dtype);
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        if (s->first[row] < 0) {
            memset((char *)s->out + (size_t)row * bytes, 0, bytes);
            continue;
        }
        for (int64_t j = 0; j < s->width; j += CHUNK)
            sum_row(s, row, j, s->width - j < CHUNK ? s->width - j : CHUNK);
    }
}

static tn_status scatter_add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *index = k->call->in[1], *y = k->call->out[0];
    const int64_t rows = blas_span(y, 0, 1);
    const bool wrap = tn_call_is(k->call, "mode", "wrap");
    if (y->size == 0) return TN_OK;
    scatter s = {.y = y, .dy = a->in[0].host, .out = a->out[0].host, .width = y->size / rows};
    s.first = a->scratch.host;
    s.next = s.first + rows;

    for (int64_t i = 0; i < rows; i++) s.first[i] = -1;
    for (int64_t i = index->size; i-- > 0;) { // so lists begin with their first
        const int64_t row = row_of(wrap, blas_get_int(index->dtype, a->in[1].host, i), rows);
        s.next[i] = s.first[row];
        s.first[row] = i;
    }
    blas_items(k, a, rows, s.width, BLAS_CHEAP, scatter_range, &s);
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

#define ROW(op_, cannot_, setup_, run_)                                             \
    {                                                                               \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS, .cannot = cannot_, \
        .setup = setup_, .run = run_                                                \
    }

const tn_kernel_row blas_index[] = {
    ROW("Embedding", NULL, NULL, embedding),
    ROW("_backward_Embedding", NULL, scatter_setup, scatter_add),
    ROW("take", take_cannot, NULL, take),
    ROW("_backward_take", NULL, scatter_setup, scatter_add),
    ROW("one_hot", NULL, NULL, one_hot_run),
    {0},
};
