// backends/blas/blas_take_along.c: looking up and adding up along one axis, each element by an
// index of its own.
//
// An index outside of the axis means its nearest end. The whole is seen as (outer, n, inner) around
// the axis, the part as (outer, n_part, inner), and inner as rows through which the index goes in
// even steps. Sums are doubles or int64, of as many columns at a time as a cache holds, in the
// order of the part.
#include "blas.h"

enum {
    CHUNK = 256,    // indices at a time
    SUMS = 1 << 15, // sums at a time: half of a second-level cache
    COLUMNS = 16    // columns at a time, at least
};

typedef struct along {
    tn_line line; // of the value that the index looks into, around the axis
    int64_t n_part;
    int64_t rest, row;       // inner, as rows
    int64_t row_step;        // elements of the index from one element of a row to the next
    int64_t axis_step;       // and from one place on the axis to the next
    blas_box before, behind; // the index, over the axes before and behind the axis
    bool flat;               // elements of the part have those of the index in their order
    tn_dtype number;         // of the index
    int64_t columns, slots;  // sums: columns of a row at a time; workers' scratch
} along;

static tn_status along_setup(tn_sdk_kernel *k, const tn_value_info *whole,
                             const tn_value_info *part)
{
    along *s = k->state;
    const tn_value_info *index = k->call->in[1];
    const int32_t axis = blas_axis_param(k->call, "axis", 0, whole->ndim);
    const int32_t shift = part->ndim - index->ndim;
    if (axis < 0) return blas_no_axis(k, "axis");
    s->line = tn_around(whole, axis);
    s->n_part = part->dims[axis];
    s->number = index->dtype;
    for (int32_t i = 0; i < part->ndim; i++) {
        const bool repeats = i < shift || index->dims[i - shift] == 1;
        const int64_t step = repeats ? 0 : tn_span(index, i - shift + 1, index->ndim);
        if (i == axis)
            s->axis_step = step;
        else
            blas_box_add(i < axis ? &s->before : &s->behind, part->dims[i], step);
    }
    blas_box_collapse(&s->before);
    blas_box_collapse(&s->behind);
    s->row = s->behind.dim[s->behind.ndim - 1];
    s->row_step = s->behind.stride[s->behind.ndim - 1];
    s->rest = s->row ? s->line.inner / s->row : 0;
    s->flat = s->line.inner == 1 && part->size == index->size;
    return TN_OK;
}

// to[i] = nearest(to[i]) in 0 … n-1
BLAS_CLONES static void along_clip(int64_t *to, int64_t count, int64_t n)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = to[i] < 0 ? 0 : to[i];
        to[i] = at >= n ? n - 1 : at;
    }
}

// The places on the axis that `count` numbers of the index say, at steps from `at` on.
static void places(const along *s, const void *index, int64_t at, int64_t step, int64_t count,
                   int64_t *to)
{
    if (step == 1) {
        blas_load_i64(s->number, index, at, count, to);
    } else {
        for (int64_t i = 0; i < count; i++)
            to[i] = i && step == 0 ? to[0] : blas_get_int(s->number, index, at + i * step);
    }
    along_clip(to, count, s->line.n);
}

// Where the index of a line, or of a row behind the axis, begins.
static int64_t index_at(const along *s, int64_t outer, int64_t rest)
{
    return blas_box_at(&s->before, s->before.ndim, outer) +
           blas_box_at(&s->behind, s->behind.ndim - 1, rest);
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

// y[i] = x[from[i]], of so many bytes.
static void pick_out(void *y, const void *x, const int64_t *from, int64_t n, size_t bytes)
{
#define PICK(type)                                                               \
    for (int64_t i = 0; i < n; i++) ((type *)y)[i] = ((const type *)x)[from[i]]; \
    break;
    switch (bytes) {
    case 1: PICK(uint8_t)
    case 2: PICK(uint16_t)
    case 4: PICK(uint32_t)
    default: PICK(uint64_t)
    }
#undef PICK
}

// Elements begin … end-1 of the part, whose lines are along the axis and whose index is as it is.
static void take_flat(const along *s, const tn_run_args *a, int64_t begin, int64_t end, size_t size)
{
    int64_t from[CHUNK], line = begin / s->n_part, at = begin % s->n_part;
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int64_t some = tn_least(end - i, CHUNK);
        places(s, blas_in(a, 1), i, 1, some, from);
        for (int64_t j = 0; j < some; j++) {
            from[j] += line * s->line.n;
            if (++at == s->n_part) at = 0, line++;
        }
        pick_out((char *)blas_out(a, 0) + (size_t)i * size, blas_in(a, 0), from, some, size);
    }
}

// Items are lines, where they lie along the axis, or else rows of the part.
static void take_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const along *s = run->k->state;
    const size_t size = tn_dtype_size(run->k->call->out[0]->dtype);
    const bool lines = s->line.inner == 1;
    const int64_t n = lines ? s->n_part : s->row, step = lines ? s->axis_step : s->row_step;
    const void *index = blas_in(run->a, 1);
    int64_t from[CHUNK], known = -1; // where the index began that from[] is of
    (void)worker;
    if (s->flat) {
        take_flat(s, run->a, begin * s->n_part, end * s->n_part, size);
        return;
    }
    for (int64_t item = begin; item < end; item++) {
        const int64_t rest = lines ? 0 : item % s->rest, p = lines ? 0 : item / s->rest % s->n_part;
        const int64_t outer = lines ? item : item / s->rest / s->n_part;
        const int64_t start = index_at(s, outer, rest) + p * s->axis_step;
        const char *x = (const char *)blas_in(run->a, 0) +
                        (size_t)(outer * s->line.n * s->line.inner + rest * s->row) * size;
        char *y = (char *)blas_out(run->a, 0) + (size_t)(item * n) * size;
        if (!lines && step == 0) { // one index for the whole row
            places(s, index, start, 0, 1, from);
            memcpy(y, x + (size_t)(from[0] * s->line.inner) * size, (size_t)n * size);
            continue;
        }
        for (int64_t i = 0; i < n; i += CHUNK) {
            const int64_t some = tn_least(n - i, CHUNK);
            if (n > CHUNK || start != known) places(s, index, start + i * step, step, some, from);
            for (int64_t j = 0; !lines && j < some; j++) from[j] = from[j] * s->line.inner + i + j;
            known = lines ? start : -1;
            pick_out(y + (size_t)i * size, x, from, some, size);
        }
    }
}

// Inputs data, index
static tn_status take(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const along *s = k->state;
    blas_run r = {k, a};
    const int64_t n = s->line.inner == 1 ? s->n_part : s->row;
    if (k->call->out[0]->size)
        blas_items(k, a, k->call->out[0]->size / n, n, BLAS_COSTLY, take_range, &r);
    return TN_OK;
}

// ------------------------------------------------------------------ _backward_take_along

// Pieces of a result: of each row behind the axis, some columns.
static int64_t add_pieces(const along *s)
{
    return s->line.outer * s->rest * tn_ceil_div(s->row, s->columns);
}

static tn_status add_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    along *s = k->state;
    const tn_status status = along_setup(k, k->call->out[0], k->call->in[0]);
    if (status != TN_OK || k->call->out[0]->size == 0) return status;
    s->columns = tn_least(tn_most(SUMS / s->line.n, COLUMNS), tn_least(s->row, CHUNK));
    s->slots = tn_least(add_pieces(s), k->host->threads(k->host->host));
    info->scratch_bytes = (uint64_t)tn_extent_times(s->slots, s->columns * s->line.n) * 8;
    return TN_OK;
}

// Some columns of the whole, and the sums of them, (n, count).
typedef struct along_piece {
    int64_t outer, rest, first, count;
    double *real;
    int64_t *whole;
} along_piece;

// sums[place[j]][j] += v[j]; one place if step is 0.
BLAS_CLONES static void along_add_real(const along_piece *t, const int64_t *place, int64_t step,
                                       const double *v, int64_t n)
{
    if (step == 0) {
        double *to = t->real + place[0] * t->count;
        BLAS_SIMD
        for (int64_t j = 0; j < n; j++) to[j] += v[j];
    } else if (t->count == 1) {
        for (int64_t j = 0; j < n; j++) t->real[place[j]] += v[j];
    } else {
        for (int64_t j = 0; j < n; j++) t->real[place[j] * t->count + j] += v[j];
    }
}

static void along_add_whole(const along_piece *t, const int64_t *place, int64_t step,
                            const int64_t *v, int64_t n)
{
    const bool line = t->count == 1;
    for (int64_t j = 0; j < n; j++)
        t->whole[place[step ? j : 0] * t->count + (line ? 0 : j)] += v[j];
}

// Adds n elements of the part from `at` on.
static void add_some(const blas_run *run, const along_piece *t, const int64_t *place, int64_t step,
                     int64_t at, int64_t n)
{
    const tn_dtype dtype = run->k->call->out[0]->dtype;
    double real[CHUNK];
    int64_t whole[CHUNK];
    if (blas_is_float(dtype)) {
        blas_load_f64(dtype, blas_in(run->a, 0), at, n, real);
        along_add_real(t, place, step, real, n);
    } else {
        blas_load_i64(dtype, blas_in(run->a, 0), at, n, whole);
        along_add_whole(t, place, step, whole, n);
    }
}

static void add_piece(const blas_run *run, const along_piece *t)
{
    const along *s = run->k->state;
    const void *index = blas_in(run->a, 1);
    const int64_t start = index_at(s, t->outer, t->rest);
    int64_t place[CHUNK];
    memset(t->real, 0, (size_t)(s->line.n * t->count) * 8); // 0 and 0.0 alike
    if (s->line.inner == 1) {
        for (int64_t p = 0; p < s->n_part; p += CHUNK) {
            const int64_t some = tn_least(s->n_part - p, CHUNK);
            places(s, index, start + p * s->axis_step, s->axis_step, some, place);
            add_some(run, t, place, 1, t->outer * s->n_part + p, some);
        }
        return;
    }
    for (int64_t p = 0; p < s->n_part; p++) {
        const int64_t at = start + p * s->axis_step + t->first * s->row_step;
        const int64_t from = ((t->outer * s->n_part + p) * s->rest + t->rest) * s->row + t->first;
        places(s, index, at, s->row_step, s->row_step ? t->count : 1, place);
        add_some(run, t, place, s->row_step, from, t->count);
    }
}

// Puts the sums where they belong.
static void store_piece(const blas_run *run, const along_piece *t)
{
    const along *s = run->k->state;
    const tn_dtype dtype = run->k->call->out[0]->dtype;
    const bool together = t->count == s->line.inner;
    const int64_t each = together ? s->line.n * t->count : t->count;
    void *y = blas_out(run->a, 0);
    for (int64_t i = 0; i < (together ? 1 : s->line.n); i++) {
        const int64_t at = (t->outer * s->line.n + i) * s->line.inner + t->rest * s->row + t->first;
        if (blas_is_float(dtype))
            blas_store_f64(dtype, y, at, each, t->real + i * t->count);
        else
            blas_store_i64(dtype, y, at, each, t->whole + i * t->count);
    }
}

// Items are pieces: no two of them add to the same element.
static void add_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const along *s = run->k->state;
    const int64_t blocks = tn_ceil_div(s->row, s->columns), pieces = add_pieces(s);
    for (int64_t item = begin; item < end; item++) {
        const int64_t slot = pieces == s->slots ? item : worker;
        const int64_t first = item % blocks * s->columns;
        char *sums = (char *)run->a->scratch.host + (size_t)(slot * s->columns * s->line.n) * 8;
        const along_piece t = {.outer = item / blocks / s->rest,
                               .rest = item / blocks % s->rest,
                               .first = first,
                               .count = tn_least(s->columns, s->row - first),
                               .real = (double *)(void *)sums,
                               .whole = (int64_t *)(void *)sums};
        add_piece(run, &t);
        store_piece(run, &t);
    }
}

// The same where each line of the whole gets one element: nothing is added up. Items are lines.
static void add_one_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const along *s = run->k->state;
    const tn_dtype dtype = run->k->call->out[0]->dtype;
    const size_t size = tn_dtype_size(dtype);
    char *y = blas_out(run->a, 0);
    _Alignas(64) char one[CHUNK * 8];
    int64_t place[CHUNK], whole[CHUNK];
    double real[CHUNK];
    (void)worker;
    memset(y + (size_t)(begin * s->line.n) * size, 0, (size_t)((end - begin) * s->line.n) * size);
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int64_t n = tn_least(end - i, CHUNK);
        places(s, blas_in(run->a, 1), i, 1, n, place);
        if (blas_is_float(dtype)) {
            blas_load_f64(dtype, blas_in(run->a, 0), i, n, real);
            for (int64_t j = 0; j < n; j++) real[j] += 0.0; // the sum of -0 alone is 0
            blas_store_f64(dtype, one, 0, n, real);
        } else {
            blas_load_i64(dtype, blas_in(run->a, 0), i, n, whole);
            blas_store_i64(dtype, one, 0, n, whole);
        }
        for (int64_t j = 0; j < n; j++) {
            char *to = y + (size_t)((i + j) * s->line.n + place[j]) * size;
            switch (size) {
            case 4: memcpy(to, one + j * 4, 4); break;
            case 8: memcpy(to, one + j * 8, 8); break;
            default: memcpy(to, one + (size_t)j * size, size); break;
            }
        }
    }
}

// Inputs dy, index, like
static tn_status add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const along *s = k->state;
    blas_run r = {k, a};
    if (k->call->out[0]->size == 0) return TN_OK;
    if (s->flat && s->n_part == 1)
        blas_items(k, a, s->line.outer, s->line.n, BLAS_CHEAP, add_one_range, &r);
    else
        blas_items(k, a, add_pieces(s), (s->line.n + s->n_part) * s->columns, BLAS_COSTLY,
                   add_range, &r);
    return TN_OK;
}

#define ROW(op_, cannot_, setup_, run_)                                                       \
    {                                                                                         \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS, .state_size = sizeof(along), \
        .cannot = cannot_, .setup = setup_, .run = run_                                       \
    }

const tn_kernel_row blas_take_alongs[] = {
    ROW("_take_along", take_cannot, take_setup, take),
    ROW("_backward_take_along", NULL, add_setup, add),
    {0},
};
