// backends/blas/blas_along.c: sums along one axis.
#include "blas.h"

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
    ROW("cumsum", scan, NULL, scan_setup, cumsum),
    {0},
};
