// backends/blas/blas_along.c: looking up, adding up, and sums along one axis.
//
// An index outside of the axis means its nearest end.
#include "blas.h"

typedef struct along {
    tn_line line;   // of the value that the index looks into, around the axis
    int64_t n_part; // extent of the axis in the part
    int64_t row;    // elements of the part's last axis
    int64_t rest;   // rows of the part between one place on the axis and the next; 0: the row is it
    blas_box index; // of the part's elements, in the index
    tn_dtype number; // of the index
} along;

static tn_status along_setup(tn_sdk_kernel *k, const tn_value_info *whole,
                             const tn_value_info *part)
{
    along *s = k->state;
    const tn_value_info *index = k->call->in[1];
    const int32_t axis = blas_axis_param(k->call, "axis", 0, whole->ndim), last = part->ndim - 1;
    const int32_t shift = part->ndim - index->ndim;
    if (axis < 0) return blas_no_axis(k, "axis");
    s->line = tn_around(whole, axis);
    s->n_part = part->dims[axis];
    s->row = part->dims[last];
    s->rest = axis == last ? 0 : tn_span(part, axis + 1, last);
    s->number = index->dtype;
    for (int32_t i = 0; i < part->ndim; i++) {
        const bool repeats = i < shift || index->dims[i - shift] == 1;
        blas_box_add(&s->index, part->dims[i],
                     repeats ? 0 : tn_span(index, i - shift + 1, index->ndim));
    }
    return TN_OK;
}

// One row of the part: element j comes from base + place(j) · inner + j, or base + place(j).
typedef struct place_row {
    int64_t base, step; // step: inner, or 1 where the row lies on the axis
    int64_t each;       // 1, or 0 where the row lies on the axis
    int64_t index, index_step;
} place_row;

static place_row row_of(const along *s, int64_t row, const blas_walk *w)
{
    place_row r = {.index = w->offset, .index_step = s->index.stride[s->index.ndim - 1]};
    if (s->rest == 0) {
        r.base = row * s->line.n;
        r.step = 1;
        return r;
    }
    r.base = row / (s->n_part * s->rest) * s->line.n * s->line.inner + row % s->rest * s->row;
    r.step = s->line.inner;
    r.each = 1;
    return r;
}

static int64_t source_of(const along *s, const void *index, const place_row *r, int64_t j)
{
    const int64_t at = blas_get_int(s->number, index, r->index + j * r->index_step);
    const int64_t place = at < 0 ? 0 : at >= s->line.n ? s->line.n - 1 : at;
    return r->base + place * r->step + j * r->each;
}

// ------------------------------------------------------------------ _take_along

static const char *take_cannot(const tn_call *c)
{
    return c->in[0]->size == 0 && c->out[0]->size ? "there is no element to take" : NULL;
}

static tn_status take_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return along_setup(k, k->call->in[0], k->call->out[0]);
}

// Items are rows of the part.
static void take_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const along *s = run->k->state;
    const size_t size = tn_dtype_size(run->k->call->out[0]->dtype);
    const char *x = blas_in(run->a, 0);
    const void *index = blas_in(run->a, 1);
    blas_walk w = blas_walk_from(&s->index, begin);
    (void)worker;
    for (int64_t row = begin; row < end; row++, blas_walk_next(&s->index, &w)) {
        const place_row r = row_of(s, row, &w);
        char *y = (char *)blas_out(run->a, 0) + (size_t)(row * s->row) * size;
        if (r.each && r.index_step == 0) { // one index for the whole row
            memcpy(y, x + (size_t)source_of(s, index, &r, 0) * size, (size_t)s->row * size);
            continue;
        }
        for (int64_t j = 0; j < s->row; j++)
            memcpy(y + (size_t)j * size, x + (size_t)source_of(s, index, &r, j) * size, size);
    }
}

// Inputs data, index
static tn_status take(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const along *s = k->state;
    blas_run r = {k, a};
    if (k->call->out[0]->size)
        blas_items(k, a, k->call->out[0]->size / s->row, s->row, BLAS_COSTLY, take_range, &r);
    return TN_OK;
}

// ------------------------------------------------------------------ _backward_take_along

// Scratch: the sums before they are rounded, 8 bytes an element.
static tn_status add_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    info->scratch_bytes = (uint64_t)k->call->out[0]->size * 8;
    return along_setup(k, k->call->out[0], k->call->in[0]);
}

// Items are what stands before the axis: no two of them add to the same element.
static void add_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const along *s = run->k->state;
    const tn_dtype dtype = run->k->call->out[0]->dtype;
    const int64_t rows = s->rest ? s->n_part * s->rest : 1, all = s->line.n * s->line.inner;
    const void *dy = blas_in(run->a, 0), *index = blas_in(run->a, 1);
    double *real = run->a->scratch.host;
    int64_t *whole = run->a->scratch.host;
    const bool is_real = blas_is_float(dtype);
    (void)worker;
    memset(real + begin * all, 0, (size_t)((end - begin) * all) * 8); // 0 and 0.0 alike
    blas_walk w = {0};
    if (rows) w = blas_walk_from(&s->index, begin * rows); // dy may be empty
    for (int64_t row = begin * rows; row < end * rows; row++, blas_walk_next(&s->index, &w)) {
        const place_row r = row_of(s, row, &w);
        for (int64_t j = 0; j < s->row; j++) {
            const int64_t to = source_of(s, index, &r, j), from = row * s->row + j;
            double v;
            if (is_real) {
                blas_load_f64(dtype, dy, from, 1, &v);
                real[to] += v;
            } else {
                whole[to] += blas_get_int(dtype, dy, from);
            }
        }
    }
    if (is_real)
        blas_store_f64(dtype, blas_out(run->a, 0), begin * all, (end - begin) * all,
                       real + begin * all);
    else
        blas_store_i64(dtype, blas_out(run->a, 0), begin * all, (end - begin) * all,
                       whole + begin * all);
}

// Inputs dy, index, like
static tn_status add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const along *s = k->state;
    blas_run r = {k, a};
    const int64_t work = s->line.n * s->line.inner + s->n_part * s->line.inner;
    if (k->call->out[0]->size) blas_items(k, a, s->line.outer, work, BLAS_COSTLY, add_range, &r);
    return TN_OK;
}

// ------------------------------------------------------------------ cumsum

enum { CHUNK = 256 };

typedef struct scan {
    tn_line line;
    bool exclusive, reverse;
} scan;

static tn_status scan_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    scan *s = k->state;
    const tn_value_info *x = k->call->in[0];
    const int64_t axis = tn_call_i64(k->call, "axis", TN_NONE_I64);
    (void)info;
    s->exclusive = tn_call_bool(k->call, "exclusive", false);
    s->reverse = tn_call_bool(k->call, "reverse", false);
    s->line = (tn_line){1, x->size, 1};
    if (axis == TN_NONE_I64) return TN_OK;
    if (tn_axis(axis, x->ndim) < 0) return blas_no_axis(k, "axis");
    s->line = tn_around(x, tn_axis(axis, x->ndim));
    return TN_OK;
}

// sum += v, and v = the sum with or without itself: of n columns.
static void step_real(double *sum, double *v, int64_t n, bool exclusive)
{
    for (int64_t i = 0; i < n; i++) {
        const double before = sum[i];
        sum[i] = before + v[i];
        v[i] = exclusive ? before : sum[i];
    }
}

static void step_int(int64_t *sum, int64_t *v, int64_t n, bool exclusive)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t before = sum[i];
        sum[i] = (int64_t)((uint64_t)before + (uint64_t)v[i]);
        v[i] = exclusive ? before : sum[i];
    }
}

// Rows first … of v, each of `inner` elements, go on with the sums; the first of a line begins
// anew.
#define SCAN_ROWS(name, type, step)                                                         \
    static void name(const scan *s, int64_t first, int64_t rows, type *v, type *sum)        \
    {                                                                                       \
        const int64_t n = s->line.n, inner = s->line.inner, start = s->reverse ? n - 1 : 0; \
        for (int64_t i = 0; i < rows; i++) {                                                \
            const int64_t row = s->reverse ? rows - 1 - i : i;                              \
            if ((first + row) % n == start) memset(sum, 0, (size_t)inner * sizeof *sum);    \
            if (inner > 1) {                                                                \
                step(sum, v + row * inner, inner, s->exclusive);                            \
                continue;                                                                   \
            }                                                                               \
            /* one column: on to the end of its line, or of what is here */                 \
            const int64_t at = (first + row) % n, end = s->reverse ? at + 1 : n - at;       \
            const int64_t some = end < rows - i ? end : rows - i;                           \
            type one = sum[0];                                                              \
            for (int64_t k = 0; k < some; k++) {                                            \
                type *x = v + (s->reverse ? row - k : row + k);                             \
                step(&one, x, 1, s->exclusive);                                             \
            }                                                                               \
            sum[0] = one;                                                                   \
            i += some - 1;                                                                  \
        }                                                                                   \
    }
SCAN_ROWS(scan_rows_real, double, step_real)
SCAN_ROWS(scan_rows_int, int64_t, step_int)

// Items are lines, of rows so short that several of them are converted together.
static void scan_short_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const scan *s = run->k->state;
    const tn_dtype from = run->k->call->in[0]->dtype, to = run->k->call->out[0]->dtype;
    const void *x = blas_in(run->a, 0);
    void *y = blas_out(run->a, 0);
    const int64_t inner = s->line.inner, some = CHUNK / inner;
    const int64_t all = (end - begin) * s->line.n;
    double real[CHUNK], sum[CHUNK];
    int64_t whole[CHUNK], whole_sum[CHUNK];
    (void)worker;
    for (int64_t done = 0; done < all; done += some) {
        const int64_t rows = all - done < some ? all - done : some;
        const int64_t first = begin * s->line.n + (s->reverse ? all - done - rows : done);
        if (blas_is_float(to)) {
            blas_load_f64(from, x, first * inner, rows * inner, real);
            scan_rows_real(s, first, rows, real, sum);
            blas_store_f64(to, y, first * inner, rows * inner, real);
        } else {
            blas_load_i64(from, x, first * inner, rows * inner, whole);
            scan_rows_int(s, first, rows, whole, whole_sum);
            blas_store_i64(to, y, first * inner, rows * inner, whole);
        }
    }
}

// Items are what stands before the axis; columns are worked on CHUNK at a time.
static void scan_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const scan *s = run->k->state;
    const tn_line l = s->line;
    const tn_dtype from = run->k->call->in[0]->dtype, to = run->k->call->out[0]->dtype;
    const void *x = blas_in(run->a, 0);
    void *y = blas_out(run->a, 0);
    const bool is_real = blas_is_float(to);
    const int64_t pieces = (l.inner + CHUNK - 1) / CHUNK;
    double real[CHUNK], sum[CHUNK];
    int64_t whole[CHUNK], whole_sum[CHUNK];
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t first = item % pieces * CHUNK;
        const int64_t n = l.inner - first < CHUNK ? l.inner - first : CHUNK;
        memset(sum, 0, sizeof sum);
        memset(whole_sum, 0, sizeof whole_sum);
        for (int64_t j = 0; j < l.n; j++) {
            const int64_t row = item / pieces * l.n + (s->reverse ? l.n - 1 - j : j);
            const int64_t at = row * l.inner + first;
            if (is_real) {
                blas_load_f64(from, x, at, n, real);
                step_real(sum, real, n, s->exclusive);
                blas_store_f64(to, y, at, n, real);
            } else {
                blas_load_i64(from, x, at, n, whole);
                step_int(whole_sum, whole, n, s->exclusive);
                blas_store_i64(to, y, at, n, whole);
            }
        }
    }
}

static tn_status cumsum(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_line l = ((const scan *)k->state)->line;
    const int64_t pieces = (l.inner + CHUNK - 1) / CHUNK;
    blas_run r = {k, a};
    if (k->call->out[0]->size && l.inner <= CHUNK / 4)
        blas_items(k, a, l.outer, l.n * l.inner, BLAS_COSTLY, scan_short_range, &r);
    else if (k->call->out[0]->size)
        blas_items(k, a, l.outer * pieces, l.n * (l.inner < CHUNK ? l.inner : CHUNK), BLAS_COSTLY,
                   scan_range, &r);
    return TN_OK;
}

#define ROW(op_, state_, cannot_, setup_, run_)                                                \
    {                                                                                          \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS, .state_size = sizeof(state_), \
        .cannot = cannot_, .setup = setup_, .run = run_                                        \
    }

const tn_kernel_row blas_alongs[] = {
    ROW("_take_along", along, take_cannot, take_setup, take),
    ROW("_backward_take_along", along, NULL, add_setup, add),
    ROW("cumsum", scan, NULL, scan_setup, cumsum),
    {0},
};
