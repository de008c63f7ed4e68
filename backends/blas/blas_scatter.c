// backends/blas/blas_scatter.c: the gradients of take and Embedding.
//
// Inputs dy(o, i…, …), indices(i…), like: the rows of dy are added up, each at its index, in their
// order. Sums are doubles or int64. There are three ways:
//
//   dense   the sums of some columns, all rows of them, stay in a cache while dy is read;
//   lists   for each row of the result a list of the indices that name it: the row is summed by one
//           thread and written once;
//   sparse  few indices are sorted, so that nothing but zeros is written for rows without any.
#include "blas.h"

enum {
    CHUNK = 256,    // numbers at a time
    COLUMNS = 16,   // columns at a time, at least
    SUMS = 1 << 17, // sums at a time: a second-level cache
    NARROW = 4,     // columns of a table that may be larger
    LONG = 1 << 20, // its rows
    RARE = 32,      // rows for each index that make indices few
    SHORT = 64      // columns for which that matters
};

typedef enum { DENSE, LISTS, SPARSE } way;

typedef struct scatter {
    tn_line line; // of the result, around the axis
    int64_t indices;
    tn_dtype dtype;
    way how;
    int64_t columns, slots; // dense: at a time; scratch for sums
    const void *dy;
    void *out;
    int64_t *row;          // of each index
    int64_t *first, *next; // lists: index of each row, of each index; -1 at the end
    const int64_t *order;  // sparse: of the indices
    int64_t *run, runs;    // sparse: where each row's indices begin there
    void *sums;            // dense
} scatter;

static way way_of(const scatter *s)
{
    const int64_t n = s->line.n, inner = s->line.inner;
    if (tn_extent_times(s->indices, RARE) <= n && inner <= SHORT) return SPARSE;
    if (tn_extent_times(n, tn_least(inner, COLUMNS)) <= SUMS || (inner <= NARROW && n <= LONG))
        return DENSE;
    return LISTS;
}

static tn_status scatter_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    static const char *const names[] = {"dense", "lists", "sparse"};
    scatter *s = k->state;
    const int64_t threads = k->host->threads(k->host->host);
    s->line = tn_around(k->call->out[0], (int32_t)tn_call_i64(k->call, "axis", 0));
    s->indices = k->call->in[1]->size;
    s->dtype = k->call->out[0]->dtype;
    if (k->call->out[0]->size == 0) return TN_OK;
    s->how = way_of(s);
    info->impl = names[s->how];
    uint64_t numbers = (uint64_t)s->indices;
    if (s->how == LISTS) numbers += (uint64_t)(s->line.n + s->indices);
    if (s->how == SPARSE) numbers += (uint64_t)s->indices * 3 + 1;
    if (s->how == DENSE) {
        const int64_t share = threads > 1 && s->line.outer < threads
                                  ? tn_ceil_div(s->line.inner, threads)
                                  : s->line.inner;
        const int64_t fit = tn_most(SUMS / s->line.n, tn_least(s->line.inner, COLUMNS));
        s->columns = tn_least(tn_most(share, COLUMNS), tn_least(fit, CHUNK));
        s->columns = tn_least(s->columns, s->line.inner);
        s->slots = tn_least(threads, s->line.outer * tn_ceil_div(s->line.inner, s->columns));
        numbers += (uint64_t)(s->slots * s->line.n * s->columns);
    }
    info->scratch_bytes = numbers * sizeof(int64_t);
    return TN_OK;
}

// ------------------------------------------------------------------ rows of indices

BLAS_CLONES static void scatter_clip(int64_t *to, int64_t count, int64_t n)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = to[i] < 0 ? 0 : to[i];
        to[i] = at >= n ? n - 1 : at;
    }
}

// Outside 0 … n-1 the nearest end, or with mode wrap the index modulo n.
static void find_rows(const tn_sdk_kernel *k, const tn_run_args *a, const scatter *s)
{
    const int64_t n = s->line.n;
    blas_load_i64(k->call->in[1]->dtype, a->in[1].host, 0, s->indices, s->row);
    if (tn_call_is(k->call, "mode", "wrap"))
        for (int64_t i = 0; i < s->indices; i++) s->row[i] = (s->row[i] % n + n) % n;
    else
        scatter_clip(s->row, s->indices, n);
}

// ------------------------------------------------------------------ dense

// sums[row[i]][…] += v[i][…], of so many columns
BLAS_CLONES static void scatter_add_real(double *sums, const int64_t *row, const double *v,
                                         int64_t n, int64_t columns)
{
    if (columns == 1) {
        for (int64_t i = 0; i < n; i++) sums[row[i]] += v[i];
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        double *to = sums + row[i] * columns;
        BLAS_SIMD
        for (int64_t j = 0; j < columns; j++) to[j] += v[i * columns + j];
    }
}

static void add_whole(int64_t *sums, const int64_t *row, const int64_t *v, int64_t n,
                      int64_t columns)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < columns; j++) sums[row[i] * columns + j] += v[i * columns + j];
}

// Items are columns of what stands before the axis.
static void dense_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const scatter *s = ctx;
    const int64_t width = s->line.inner, blocks = tn_ceil_div(width, s->columns);
    const bool real = blas_is_float(s->dtype), own = s->line.outer * blocks == s->slots;
    double v[CHUNK];
    int64_t whole[CHUNK];
    for (int64_t item = begin; item < end; item++) {
        const int64_t outer = item / blocks, from = item % blocks * s->columns;
        const int64_t n = tn_least(s->columns, width - from), some = n == width ? CHUNK / n : 1;
        char *sums = (char *)s->sums +
                     (size_t)((own ? item : worker) * s->line.n * s->columns) * sizeof(double);
        memset(sums, 0, (size_t)(s->line.n * n) * sizeof(double)); // 0 and 0.0 alike
        for (int64_t i = 0; i < s->indices; i += some) {
            const int64_t rows = tn_least(some, s->indices - i);
            const int64_t at = (outer * s->indices + i) * width + from;
            if (real) {
                blas_load_f64(s->dtype, s->dy, at, rows * n, v);
                scatter_add_real((double *)(void *)sums, s->row + i, v, rows, n);
            } else {
                blas_load_i64(s->dtype, s->dy, at, rows * n, whole);
                add_whole((int64_t *)(void *)sums, s->row + i, whole, rows, n);
            }
        }
        const int64_t each = n == width ? s->line.n * n : n;
        for (int64_t i = 0; i < (n == width ? 1 : s->line.n); i++) {
            const int64_t at = (outer * s->line.n + i) * width + from;
            if (real)
                blas_store_f64(s->dtype, s->out, at, each, (double *)(void *)sums + i * n);
            else
                blas_store_i64(s->dtype, s->out, at, each, (int64_t *)(void *)sums + i * n);
        }
    }
}

// ------------------------------------------------------------------ lists, sparse

// Sums of some columns of one row.
typedef struct row_sums {
    double real[CHUNK];
    int64_t whole[CHUNK];
} row_sums;

static void add_row(const scatter *s, int64_t at, int64_t n, row_sums *t)
{
    double v[CHUNK];
    int64_t whole[CHUNK];
    if (blas_is_float(s->dtype)) {
        blas_load_f64(s->dtype, s->dy, at, n, v);
        for (int64_t j = 0; j < n; j++) t->real[j] += v[j];
    } else {
        blas_load_i64(s->dtype, s->dy, at, n, whole);
        for (int64_t j = 0; j < n; j++) t->whole[j] += whole[j];
    }
}

static void begin_row(const scatter *s, int64_t n, row_sums *t)
{
    if (blas_is_float(s->dtype))
        memset(t->real, 0, (size_t)n * sizeof *t->real);
    else
        memset(t->whole, 0, (size_t)n * sizeof *t->whole);
}

static void put_row(const scatter *s, int64_t at, int64_t n, const row_sums *t)
{
    if (blas_is_float(s->dtype))
        blas_store_f64(s->dtype, s->out, at, n, t->real);
    else
        blas_store_i64(s->dtype, s->out, at, n, t->whole);
}

// Items are rows of the result.
static void list_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const scatter *s = ctx;
    const int64_t width = s->line.inner;
    const size_t bytes = (size_t)width * tn_dtype_size(s->dtype);
    row_sums t;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t outer = item / s->line.n, first = s->first[item % s->line.n];
        if (first < 0) {
            memset((char *)s->out + (size_t)item * bytes, 0, bytes);
            continue;
        }
        for (int64_t from = 0; from < width; from += CHUNK) {
            const int64_t n = tn_least(width - from, CHUNK);
            begin_row(s, n, &t);
            for (int64_t i = first; i >= 0; i = s->next[i])
                add_row(s, (outer * s->indices + i) * width + from, n, &t);
            put_row(s, item * width + from, n, &t);
        }
    }
}

static void make_lists(scatter *s)
{
    s->first = s->row + s->indices;
    s->next = s->first + s->line.n;
    for (int64_t i = 0; i < s->line.n; i++) s->first[i] = -1;
    for (int64_t i = s->indices; i-- > 0;) { // so lists begin with their first
        s->next[i] = s->first[s->row[i]];
        s->first[s->row[i]] = i;
    }
}

// Items are rows that some index names.
static void run_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const scatter *s = ctx;
    const int64_t width = s->line.inner;
    row_sums t;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t outer = item / s->runs, *run = s->run + item % s->runs;
        begin_row(s, width, &t);
        for (int64_t i = run[0]; i < run[1]; i++)
            add_row(s, (outer * s->indices + s->order[i]) * width, width, &t);
        put_row(s, (outer * s->line.n + s->row[s->order[run[0]]]) * width, width, &t);
    }
}

static void clear_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const scatter *s = ctx;
    const size_t size = tn_dtype_size(s->dtype);
    (void)worker;
    memset((char *)s->out + (size_t)begin * size, 0, (size_t)(end - begin) * size);
}

static void make_runs(scatter *s)
{
    int64_t *room = s->row + s->indices;
    s->order = blas_sort(s->row, s->indices, true, room, room + s->indices);
    s->run = room + 2 * s->indices;
    s->runs = 0;
    for (int64_t i = 0; i < s->indices; i++)
        if (i == 0 || s->row[s->order[i]] != s->row[s->order[i - 1]]) s->run[s->runs++] = i;
    s->run[s->runs] = s->indices;
}

// ------------------------------------------------------------------ the kernel

static tn_status scatter_add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    scatter s = *(const scatter *)k->state;
    const tn_line l = s.line;
    if (k->call->out[0]->size == 0) return TN_OK;
    s.dy = a->in[0].host;
    s.out = a->out[0].host;
    s.row = a->scratch.host;
    find_rows(k, a, &s);
    switch (s.how) {
    case DENSE:
        s.sums = s.row + s.indices;
        blas_items(k, a, l.outer * tn_ceil_div(l.inner, s.columns), (l.n + s.indices) * s.columns,
                   BLAS_CHEAP, dense_range, &s);
        break;
    case LISTS:
        make_lists(&s);
        blas_items(k, a, l.outer * l.n, l.inner, BLAS_CHEAP, list_range, &s);
        break;
    case SPARSE:
        make_runs(&s);
        blas_elements(k, a, k->call->out[0]->size, 4 * BLAS_CHEAP, clear_range, &s);
        if (s.runs) blas_items(k, a, l.outer * s.runs, l.inner, BLAS_COSTLY, run_range, &s);
        break;
    }
    return TN_OK;
}

#define ROW(op_)                                                                                \
    {                                                                                           \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS, .state_size = sizeof(scatter), \
        .setup = scatter_setup, .run = scatter_add                                              \
    }

const tn_kernel_row blas_scatters[] = {
    ROW("_backward_Embedding"),
    ROW("_backward_take"),
    {0},
};
