// backends/blas/blas_reduce.c: sums and extremes over axes, and where the extremes are.
//
// Neighbouring axes that are all kept or all gone are joined, so the last one is either gone (a
// result comes from rows of contiguous elements) or kept (rows are added up element by element).
// A result that many elements go into is cut into parts of fixed size; partial results, in
// double or int64, go to scratch and are combined in order.
#ifndef T

#include "blas.h"

enum {
    WIDTH = 256,   // columns worked on together
    PART = 1 << 15 // elements of a part
};

typedef enum { SUM, SQUARES, PROD, MAX, MIN } how;

typedef struct reduction {
    blas_box kept, gone; // in the input
    int64_t n;           // elements behind one result
    int64_t results;
    how what;
    bool mean, root;      // results are divided by n; their root is taken
    bool columns;         // the last axis is kept
    int64_t width, inner; // extent of the last axis: kept (columns), gone (rows)
    int64_t units; // columns: positions of the gone axes; rows: of all gone axes but the last
    int64_t parts, unit_share; // parts of a result, and units (or, for one unit, elements) of each
} reduction;

typedef struct reduce_run {
    const reduction *r;
    const void *x;
    void *to; // partial results: part p of result o stands at p * results + o
} reduce_run;

// v = v combined with w; a NaN among extremes stays.
static double combine_real(how what, double v, double w)
{
    switch (what) {
    case PROD: return v * w;
    case MAX: return w > v || isnan(w) ? w : v;
    case MIN: return w < v || isnan(w) ? w : v;
    default: return v + w;
    }
}

static int64_t combine_int(how what, int64_t v, int64_t w)
{
    switch (what) {
    case PROD: return v * w;
    case MAX: return w > v ? w : v;
    case MIN: return w < v ? w : v;
    default: return v + w;
    }
}

#define THIS_FILE "blas_reduce.c"
#include "blas_each_dtype.h"

// Neighbouring axes of a kind become one.
static void split(reduction *r, const tn_value_info *x, const bool gone[TN_MAX_NDIM])
{
    for (int32_t axis = 0; axis < x->ndim; axis++)
        blas_box_add(gone[axis] ? &r->gone : &r->kept, x->dims[axis],
                     tn_span(x, axis + 1, x->ndim));
    r->n = blas_box_size(&r->gone);
    r->results = blas_box_size(&r->kept);
    blas_box_collapse(&r->gone);
    blas_box_collapse(&r->kept);
    const blas_box *k = &r->kept, *g = &r->gone;
    // An extent of 1 was left out: then either box may have come down to a single element.
    r->columns = k->stride[k->ndim - 1] == 1 && k->dim[k->ndim - 1] > 1;
    if (r->n == 1) r->columns = true;
    r->width = k->dim[k->ndim - 1];
    r->inner = g->dim[g->ndim - 1];
    r->units = r->columns ? r->n : r->n / (r->inner ? r->inner : 1);
}

// Few results of many elements are cut into parts.
static void cut(reduction *r, tn_kernel_info *info)
{
    const int64_t work = r->columns ? (r->width < WIDTH ? r->width : WIDTH) : r->inner;
    const int64_t items =
        r->columns ? r->results / (r->width ? r->width : 1) * ((r->width + WIDTH - 1) / WIDTH)
                   : r->results;
    const bool by_element = !r->columns && r->units == 1;
    const int64_t n = by_element ? r->inner : r->units;
    r->unit_share = n ? n : 1;
    r->parts = 1;
    if (items < 64 && r->n && r->n * (r->columns ? work : 1) > 2 * PART) {
        r->unit_share = by_element ? PART : (PART + work - 1) / work;
        r->parts = (n + r->unit_share - 1) / r->unit_share;
    }
    info->scratch_bytes = (uint64_t)(r->parts * r->results) * 8;
}

static tn_status finish_setup(tn_sdk_kernel *k, tn_kernel_info *info, const bool gone[TN_MAX_NDIM])
{
    reduction *r = k->state;
    const char *op = k->call->op->name;
    r->mean = strcmp(op, "mean") == 0;
    r->root = strcmp(op, "norm") == 0;
    r->what = r->root                      ? SQUARES
              : strcmp(op, "prod") == 0    ? PROD
              : strncmp(op, "max", 3) == 0 ? MAX
              : strncmp(op, "min", 3) == 0 ? MIN
                                           : SUM;
    split(r, k->call->in[0], gone);
    cut(r, info);
    return TN_OK;
}

static tn_status reduce_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    bool gone[TN_MAX_NDIM];
    const tn_status s = blas_reduced_axes(k, k->call->in[0], gone);
    return s == TN_OK ? finish_setup(k, info, gone) : s;
}

// norm takes in everything.
static tn_status norm_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const bool gone[TN_MAX_NDIM] = {true, true, true, true, true, true, true, true};
    return finish_setup(k, info, gone);
}

// Inputs data, like: the axes that broadcasting like to data's shape has added or repeated.
static tn_status sum_like_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0], *like = k->call->in[1];
    bool gone[TN_MAX_NDIM];
    for (int32_t axis = 0; axis < x->ndim; axis++) {
        const int32_t at = axis - (x->ndim - like->ndim);
        gone[axis] = at < 0 || like->dims[at] != x->dims[axis];
    }
    return finish_setup(k, info, gone);
}

// ------------------------------------------------------------------ running

typedef struct ways {
    tn_range_fn rows, columns, places;
} ways;

static ways ways_of(tn_dtype dtype)
{
    switch (dtype) {
#define WAYS(kind)                                 \
    (ways)                                         \
    {                                              \
        rows_##kind, columns_##kind, places_##kind \
    }
    case TN_F32: return WAYS(f32);
    case TN_F64: return WAYS(f64);
    case TN_F16: return WAYS(f16);
    case TN_BF16: return WAYS(bf16);
    case TN_U8: return WAYS(u8);
    case TN_I8: return WAYS(i8);
    case TN_I32: return WAYS(i32);
    case TN_I64: return WAYS(i64);
    default: return WAYS(bool);
    }
}

// Of nothing: 0 (sum), 1 (prod), NaN or for integers 0 (mean), the least (max) or greatest (min)
// number of the dtype.
static void store_empty(const reduction *r, const tn_value_info *y, void *out, int64_t o)
{
    const double real = r->what == PROD  ? 1
                        : r->what == MAX ? -INFINITY
                        : r->what == MIN ? INFINITY
                        : r->mean        ? NAN
                                         : 0;
    const int64_t flag = r->what == PROD || r->what == MIN;
    if (y->dtype == TN_BOOL)
        blas_store_i64(y->dtype, out, o, 1, &flag);
    else
        blas_store_f64(y->dtype, out, o, 1, &real);
}

// The partial results in scratch become the output.
static void finish(const reduction *r, const tn_value_info *y, const tn_run_args *a)
{
    double *real = a->scratch.host;
    int64_t *whole = a->scratch.host;
    const bool is_real = blas_is_float(y->dtype);
    for (int64_t p = 1; p < r->parts; p++) {
        for (int64_t o = 0; o < r->results; o++) {
            const int64_t at = p * r->results + o;
            if (is_real)
                real[o] = combine_real(r->what, real[o], real[at]);
            else
                whole[o] = combine_int(r->what, whole[o], whole[at]);
        }
    }
    for (int64_t o = 0; o < r->results && (r->mean || r->root); o++) {
        if (r->root)
            real[o] = sqrt(real[o]);
        else if (is_real)
            real[o] /= (double)r->n;
        else
            whole[o] /= r->n;
    }
    if (is_real)
        blas_store_f64(y->dtype, a->out[0].host, 0, r->results, real);
    else
        blas_store_i64(y->dtype, a->out[0].host, 0, r->results, whole);
}

static tn_status reduce_run_all(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduction *r = k->state;
    const tn_value_info *y = k->call->out[0];
    const ways way = ways_of(k->call->in[0]->dtype);
    reduce_run run = {r, blas_in(a, 0), a->scratch.host};
    if (r->n == 0) {
        for (int64_t o = 0; o < r->results; o++) store_empty(r, y, a->out[0].host, o);
        return TN_OK;
    }
    if (r->results == 0) return TN_OK;
    if (r->columns) {
        const int64_t blocks = (r->width + WIDTH - 1) / WIDTH;
        const int64_t width = r->width < WIDTH ? r->width : WIDTH;
        blas_items(k, a, r->results / r->width * blocks * r->parts, r->unit_share * width,
                   BLAS_CHEAP, way.columns, &run);
    } else {
        blas_items(k, a, r->results * r->parts, r->n / r->parts, BLAS_CHEAP, way.rows, &run);
    }
    finish(r, y, a);
    return TN_OK;
}

// ------------------------------------------------------------------ argmax, argmin

// One axis; None: the position in the flattened data.
static tn_status place_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    reduction *r = k->state;
    const int64_t axis = tn_call_i64(k->call, "axis", TN_NONE_I64);
    bool gone[TN_MAX_NDIM] = {false};
    if (axis == TN_NONE_I64) {
        memset(gone, true, sizeof gone);
    } else {
        const int32_t at = tn_axis(axis, k->call->in[0]->ndim);
        if (at < 0) return blas_no_axis(k, "axis");
        gone[at] = true;
    }
    split(r, k->call->in[0], gone);
    r->what = strcmp(k->call->op->name, "argmax") == 0 ? MAX : MIN;
    info->scratch_bytes = (uint64_t)r->results * 8;
    return TN_OK;
}

// The index of the first extreme, in the dtype of the output; 0 of nothing.
static tn_status place_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduction *r = k->state;
    reduce_run run = {r, blas_in(a, 0), a->scratch.host};
    if (r->results == 0) return TN_OK;
    if (r->n == 0)
        memset(a->scratch.host, 0, (size_t)r->results * 8);
    else
        blas_items(k, a, r->results, r->n, BLAS_CHEAP, ways_of(k->call->in[0]->dtype).places, &run);
    blas_store_i64(k->call->out[0]->dtype, a->out[0].host, 0, r->results, a->scratch.host);
    return TN_OK;
}

#define ROW(op_, dtypes_, setup_, run_)                                                     \
    {                                                                                       \
        .op = op_, .dtypes = dtypes_, .flags = BLAS_FLAGS, .state_size = sizeof(reduction), \
        .setup = setup_, .run = run_                                                        \
    }

const tn_kernel_row blas_reduce[] = {
    ROW("sum", TN_ALL_DTYPES, reduce_setup, reduce_run_all),
    ROW("mean", TN_ALL_DTYPES, reduce_setup, reduce_run_all),
    ROW("prod", TN_ALL_DTYPES, reduce_setup, reduce_run_all),
    ROW("max", TN_ALL_DTYPES, reduce_setup, reduce_run_all),
    ROW("min", TN_ALL_DTYPES, reduce_setup, reduce_run_all),
    ROW("_sum_like", TN_ALL_DTYPES, sum_like_setup, reduce_run_all),
    ROW("norm", TN_FLOATS, norm_setup, reduce_run_all),
    ROW("argmax", TN_ALL_DTYPES, place_setup, place_run),
    ROW("argmin", TN_ALL_DTYPES, place_setup, place_run),
    {0},
};

#else // once per dtype

#if IS_REAL
#define COMBINE combine_real
#define IS_NAN(v) ((v) != (v))
#define NOT_A_NUMBER NAN
#else
#define COMBINE combine_int
#define IS_NAN(v) false
#define NOT_A_NUMBER 0
#endif

// Four sums at once: one alone waits for its own additions.
BLAS_CLONES static A N(row_sum)(const T *x, int64_t n, bool squares)
{
    const int64_t q = n / 4;
    A a = 0, b = 0, c = 0, d = 0;
    if (squares) {
        BLAS_SIMD_SUM(a)
        for (int64_t i = 0; i < n; i++) a += GET(x[i]) * GET(x[i]);
        return a;
    }
    BLAS_SIMD_SUM(a, b, c, d)
    for (int64_t i = 0; i < q; i++) {
        a += GET(x[i]);
        b += GET(x[q + i]);
        c += GET(x[2 * q + i]);
        d += GET(x[3 * q + i]);
    }
    for (int64_t i = 4 * q; i < n; i++) a += GET(x[i]);
    return (a + b) + (c + d);
}

// The extreme of NaN and anything is NaN. n is not 0.
BLAS_CLONES static A N(row_max)(const T *x, int64_t n)
{
    A best = GET(x[0]);
    int64_t nans = 0;
    BLAS_SIMD_MAX(best)
    for (int64_t i = 0; i < n; i++) best = GET(x[i]) > best ? GET(x[i]) : best;
    BLAS_SIMD_SUM(nans)
    for (int64_t i = 0; i < n; i++) nans += IS_NAN(GET(x[i]));
    return nans ? NOT_A_NUMBER : best;
}

BLAS_CLONES static A N(row_min)(const T *x, int64_t n)
{
    A best = GET(x[0]);
    int64_t nans = 0;
    BLAS_PRAGMA(omp simd reduction(min : best))
    for (int64_t i = 0; i < n; i++) best = GET(x[i]) < best ? GET(x[i]) : best;
    BLAS_SIMD_SUM(nans)
    for (int64_t i = 0; i < n; i++) nans += IS_NAN(GET(x[i]));
    return nans ? NOT_A_NUMBER : best;
}

static A N(row)(how what, const T *x, int64_t n)
{
    A product = 1;
    switch (what) {
    case MAX: return N(row_max)(x, n);
    case MIN: return N(row_min)(x, n);
    case PROD:
        for (int64_t i = 0; i < n; i++) product *= GET(x[i]);
        return product;
    default: return N(row_sum)(x, n, what == SQUARES);
    }
}

// Items are (result, part). A part is some of the elements of the one row, or some of the rows.
static void N(rows)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const reduce_run *run = ctx;
    const reduction *r = run->r;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t o = item / r->parts, part = item % r->parts, first = part * r->unit_share;
        const T *x = (const T *)run->x + blas_box_at(&r->kept, r->kept.ndim, o);
        A *to = (A *)run->to + part * r->results + o;
        if (r->units == 1) {
            const int64_t left = r->inner - first;
            *to = N(row)(r->what, x + first, left < r->unit_share ? left : r->unit_share);
            continue;
        }
        const int64_t left = r->units - first, n = left < r->unit_share ? left : r->unit_share;
        blas_walk w = blas_walk_from(&r->gone, first);
        A v = N(row)(r->what, x + w.offset, r->inner);
        for (int64_t i = 1; i < n; i++) {
            blas_walk_next(&r->gone, &w);
            v = COMBINE(r->what, v, N(row)(r->what, x + w.offset, r->inner));
        }
        *to = v;
    }
}

// acc[j] is combined with x[j]
BLAS_CLONES static void N(add_row)(how what, const T *x, A *acc, int64_t n)
{
    switch (what) {
    case SUM:
        BLAS_SIMD
        for (int64_t j = 0; j < n; j++) acc[j] += GET(x[j]);
        break;
    case SQUARES:
        BLAS_SIMD
        for (int64_t j = 0; j < n; j++) acc[j] += GET(x[j]) * GET(x[j]);
        break;
    case PROD:
        BLAS_SIMD
        for (int64_t j = 0; j < n; j++) acc[j] *= GET(x[j]);
        break;
    case MAX:
        BLAS_SIMD
        for (int64_t j = 0; j < n; j++) {
            const A v = GET(x[j]);
            acc[j] = ((v > acc[j]) | IS_NAN(v)) ? v : acc[j];
        }
        break;
    case MIN:
        BLAS_SIMD
        for (int64_t j = 0; j < n; j++) {
            const A v = GET(x[j]);
            acc[j] = ((v < acc[j]) | IS_NAN(v)) ? v : acc[j];
        }
        break;
    }
}

// Items are (outer position of the kept axes, block of columns, part); a part is some positions of
// the gone axes.
static void N(columns)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const reduce_run *run = ctx;
    const reduction *r = run->r;
    const int64_t blocks = (r->width + WIDTH - 1) / WIDTH;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t part = item % r->parts, block = item / r->parts % blocks;
        const int64_t outer = item / r->parts / blocks, first = block * WIDTH;
        const int64_t width = r->width - first < WIDTH ? r->width - first : WIDTH;
        const int64_t unit = part * r->unit_share, left = r->units - unit;
        const int64_t n = left < r->unit_share ? left : r->unit_share;
        const T *x = (const T *)run->x + blas_walk_from(&r->kept, outer).offset + first;
        A acc[WIDTH];
        for (int64_t i = 0; i < n; i++) {
            const T *row = x + blas_box_at(&r->gone, r->gone.ndim, unit + i);
            if (i > 0)
                N(add_row)(r->what, row, acc, width);
            else
                for (int64_t j = 0; j < width; j++)
                    acc[j] = r->what == SQUARES ? GET(row[j]) * GET(row[j]) : GET(row[j]);
        }
        memcpy((A *)run->to + part * r->results + outer * r->width + first, acc,
               (size_t)width * sizeof(A));
    }
}

// Items are results. A NaN beats everything, and the first extreme stays.
static void N(places)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const reduce_run *run = ctx;
    const reduction *r = run->r;
    const int64_t step = r->gone.stride[r->gone.ndim - 1];
    const bool larger = r->what == MAX;
    (void)worker;
    for (int64_t o = begin; o < end; o++) {
        const T *x = (const T *)run->x + blas_box_at(&r->kept, r->kept.ndim, o);
        A best = GET(x[0]);
        int64_t place = 0;
        if (step == 1) { // the extreme first, which is vectorised, and then where it is
            best = larger ? N(row_max)(x, r->n) : N(row_min)(x, r->n);
            while (IS_NAN(best) ? !IS_NAN(GET(x[place])) : GET(x[place]) != best) place++;
            ((int64_t *)run->to)[o] = place;
            continue;
        }
        for (int64_t i = 1; i < r->n && !IS_NAN(best); i++) {
            const A v = GET(x[i * step]);
            if (IS_NAN(v) || (larger ? v > best : v < best)) best = v, place = i;
        }
        ((int64_t *)run->to)[o] = place;
    }
}

#undef COMBINE
#undef IS_NAN
#undef NOT_A_NUMBER

#endif
