// backends/blas/blas_reduce.c: sums and extremes over axes, and where the extremes are.
//
// Neighbouring axes that are all kept or all gone are joined, so the last one is either gone (a
// result comes from rows of contiguous elements) or kept (rows are added up element by element).
// A result that many elements go into is cut into parts of fixed size; partial results, in
// double or int64, go to scratch and are combined in order.
#include "blas.h"

enum {
    REDUCE_WIDTH = 1024, // columns worked on together
    PART = 1 << 15,      // elements of a part, at least
    MOST_ITEMS = 64,     // that results are cut into
    REDUCE_SHORT = 16,   // elements of a row below which vectors do not pay
    REDUCE_LOOK = 64     // elements that are compared at once
};

typedef enum { SUM, SQUARES, PROD, MAX, MIN } how;

typedef struct reduction {
    blas_box kept, gone; // in the input
    blas_box walk;       // columns: of the units
    int64_t n;           // elements behind one result
    int64_t results;
    how what;
    bool mean, root;      // results are divided by n; their root is taken
    bool columns;         // the last axis is kept
    int64_t width, inner; // extent of the last axis: kept (columns), gone (rows)
    int64_t fold;         // columns: rows of a unit
    int64_t
        units; // columns: positions of the gone axes / fold; rows: of all gone axes but the last
    int64_t parts, unit_share; // parts of a result, and units (or, for one unit, elements) of each
} reduction;

typedef struct reduce_run {
    const reduction *r;
    const void *x;
    void *to; // partial results: part p of result o stands at p * results + o
} reduce_run;

// ------------------------------------------------------------------ places

// A place in the walk over all axes of a box.
typedef struct reduce_place {
    blas_walk w;
    int64_t i; // of the last axis
} reduce_place;

BLAS_INLINE reduce_place reduce_from(const blas_box *b, int64_t i)
{
    const int64_t dim = b->dim[b->ndim - 1];
    return (reduce_place){blas_walk_from(b, i / dim), i % dim};
}

// Where it is; and on to the next.
BLAS_INLINE int64_t reduce_next(const blas_box *b, reduce_place *p)
{
    const int64_t at = p->w.offset + p->i * b->stride[b->ndim - 1];
    if (++p->i == b->dim[b->ndim - 1]) {
        p->i = 0;
        blas_walk_next(b, &p->w);
    }
    return at;
}

BLAS_INLINE int64_t reduce_at(const blas_box *b, int64_t i)
{
    return blas_box_at(b, b->ndim, i);
}

// Some units of some neighbouring columns; `width` is that of a unit.
typedef struct reduce_piece {
    int64_t width, unit, n;
    int64_t rest; // rows behind the last whole unit
} reduce_piece;

// Item: (outer position of the kept axes, block of columns, part). at: of its first element, and of
// its first result.
static reduce_piece reduce_piece_of(const reduction *r, int64_t item, int64_t at[2])
{
    const int64_t blocks = (r->width + REDUCE_WIDTH - 1) / REDUCE_WIDTH;
    const int64_t part = item % r->parts, block = item / r->parts % blocks;
    const int64_t outer = item / r->parts / blocks, first = block * REDUCE_WIDTH;
    const int64_t width = r->width - first < REDUCE_WIDTH ? r->width - first : REDUCE_WIDTH;
    const int64_t unit = part * r->unit_share, left = r->units - unit;
    at[0] = blas_walk_from(&r->kept, outer).offset + first;
    at[1] = part * r->results + outer * r->width + first;
    return (reduce_piece){.width = width * r->fold,
                          .unit = unit,
                          .n = left < r->unit_share ? left : r->unit_share,
                          .rest = part == r->parts - 1 ? r->n - r->units * r->fold : 0};
}

// ------------------------------------------------------------------ loops

#define ITSELF(v) (v)
#define SQUARE(v) ((v) * (v))
#define SUM_OF(a, v) ((a) + (v))
#define PRODUCT_OF(a, v) ((a) * (v))
#define THIS_FILE "blas_reduce_loops.h"
#include "blas_each_dtype.h"

// to[i] = to[i] combined with v[i]; a NaN among extremes stays.
#define COMBINE(name, type, is_nan)                                            \
    BLAS_CLONES static void name(how what, type *to, const type *v, int64_t n) \
    {                                                                          \
        switch (what) {                                                        \
        case PROD:                                                             \
            BLAS_SIMD                                                          \
            for (int64_t i = 0; i < n; i++) to[i] = to[i] * v[i];              \
            break;                                                             \
        case MAX:                                                              \
            BLAS_SIMD                                                          \
            for (int64_t i = 0; i < n; i++)                                    \
                to[i] = ((v[i] > to[i]) | is_nan(v[i])) ? v[i] : to[i];        \
            break;                                                             \
        case MIN:                                                              \
            BLAS_SIMD                                                          \
            for (int64_t i = 0; i < n; i++)                                    \
                to[i] = ((v[i] < to[i]) | is_nan(v[i])) ? v[i] : to[i];        \
            break;                                                             \
        default:                                                               \
            BLAS_SIMD                                                          \
            for (int64_t i = 0; i < n; i++) to[i] = to[i] + v[i];              \
        }                                                                      \
    }
#define UNORDERED(v) ((v) != (v))
#define NEVER(v) false
COMBINE(reduce_combine_real, double, UNORDERED)
COMBINE(reduce_combine_int, int64_t, NEVER)

// ------------------------------------------------------------------ setting up

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
    r->fold = 1;
    r->walk = r->gone;
    r->units = r->columns ? r->n : r->n / (r->inner ? r->inner : 1);
}

// A few columns of many rows that lie one behind the other: several rows are taken as one.
static void fold_columns(reduction *r)
{
    const int64_t most = r->width ? REDUCE_WIDTH / r->width : 1;
    const int64_t fold = most < r->n / 8 ? most : r->n / 8;
    const bool adjacent = r->gone.ndim == 1 && r->gone.stride[0] == r->width;
    if (!r->columns || !adjacent || r->width > REDUCE_WIDTH / 8 || fold < 2) return;
    r->fold = fold;
    r->units = r->n / fold;
    r->walk = (blas_box){.ndim = 1, .dim = {r->units}, .stride = {fold * r->width}};
}

// Few results of many elements are cut into parts.
static void cut(reduction *r, tn_kernel_info *info)
{
    const int64_t width = r->width < REDUCE_WIDTH ? r->width : REDUCE_WIDTH;
    const int64_t work = r->columns ? width * r->fold : r->inner;
    const int64_t blocks = (r->width + REDUCE_WIDTH - 1) / REDUCE_WIDTH;
    const int64_t items = r->columns ? r->results / (r->width ? r->width : 1) * blocks : r->results;
    const bool by_element = !r->columns && r->units == 1;
    const int64_t n = by_element ? r->inner : r->units, all = by_element ? n : n * work;
    r->unit_share = n ? n : 1;
    r->parts = 1;
    if (items > 0 && items < MOST_ITEMS && all > 2 * PART) {
        const int64_t wanted = (MOST_ITEMS + items - 1) / items;
        const int64_t parts = wanted < all / PART ? wanted : all / PART;
        r->unit_share = (n + parts - 1) / parts;
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
    fold_columns(r);
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
    tn_range_fn rows, columns, places, column_places;
} ways;

static ways ways_of(tn_dtype dtype)
{
    switch (dtype) {
#define WAYS(kind)                                                       \
    (ways)                                                               \
    {                                                                    \
        reduce_rows_##kind, reduce_columns_##kind, reduce_places_##kind, \
            reduce_column_places_##kind                                  \
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

// What is left to do with sums.
BLAS_CLONES static void reduce_divide(double *v, int64_t n, double by)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) v[i] /= by;
}

BLAS_CLONES static void reduce_roots(double *v, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) v[i] = sqrt(v[i]);
}

// The partial results in scratch become the output.
static void finish(const reduction *r, const tn_value_info *y, const tn_run_args *a)
{
    double *real = a->scratch.host;
    int64_t *whole = a->scratch.host;
    const int64_t n = r->results;
    if (!blas_is_float(y->dtype)) {
        for (int64_t p = 1; p < r->parts; p++) reduce_combine_int(r->what, whole, whole + p * n, n);
        for (int64_t o = 0; o < n && r->mean; o++) whole[o] /= r->n;
        blas_store_i64(y->dtype, a->out[0].host, 0, n, whole);
        return;
    }
    for (int64_t p = 1; p < r->parts; p++) reduce_combine_real(r->what, real, real + p * n, n);
    if (r->root) reduce_roots(real, n);
    if (r->mean) reduce_divide(real, n, (double)r->n);
    blas_store_f64(y->dtype, a->out[0].host, 0, n, real);
}

static int64_t column_width(const reduction *r)
{
    return r->width < REDUCE_WIDTH ? r->width : REDUCE_WIDTH;
}

static int64_t column_items(const reduction *r)
{
    return r->results / r->width * ((r->width + REDUCE_WIDTH - 1) / REDUCE_WIDTH) * r->parts;
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
    if (r->columns)
        blas_items(k, a, column_items(r), r->unit_share * column_width(r) * r->fold, BLAS_CHEAP,
                   way.columns, &run);
    else
        blas_items(k, a, r->results * r->parts, r->n / r->parts, BLAS_CHEAP, way.rows, &run);
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
    r->parts = 1;
    r->unit_share = r->units;
    info->scratch_bytes = (uint64_t)r->results * 8;
    return TN_OK;
}

// The index of the first extreme, in the dtype of the output; 0 of nothing.
static tn_status place_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduction *r = k->state;
    const ways way = ways_of(k->call->in[0]->dtype);
    reduce_run run = {r, blas_in(a, 0), a->scratch.host};
    if (r->results == 0) return TN_OK;
    if (r->n == 0)
        memset(a->scratch.host, 0, (size_t)r->results * 8);
    else if (r->columns && r->n <= INT32_MAX)
        blas_items(k, a, column_items(r), r->n * column_width(r), BLAS_CHEAP, way.column_places,
                   &run);
    else
        blas_items(k, a, r->results, r->n, BLAS_CHEAP, way.places, &run);
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
