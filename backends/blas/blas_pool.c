// backends/blas/blas_pool.c: Pooling over 1 to 3 spatial axes, and its gradients.
//
// On each axis window o begins at s o - p and has k elements, of which it takes those that are in
// the data. A mean divides by the elements up to the end of the padded data, x + p, or without
// count_include_pad by those taken. The maximum of none is -∞; a sum of none is 0, and is divided
// all the same. Items are planes; results are made some of a row at a time, and each element of
// the window's rows is looked at for all of them together.
#ifndef T

#include "blas.h"

enum { SOME = 128 };           // results of a row at a time
enum { SMALL = 4, MANY = 16 }; // squares of a small vector; of rows that pay for wide ones

typedef struct pool {
    tn_pool_call of;
    bool squares; // windows of 2 by 2 that lie side by side in the data
} pool;

typedef struct pool_run {
    const pool *p;
    const void *x, *y; // of gradients: the data (of max only), dy
    void *out;
} pool_run;

// Some results of a row: o[2] … o[2] + n-1, and the rows of the data that their windows take.
typedef struct part {
    int64_t o[TN_SPATIAL], n;
    tn_interval row[2];
    double divisor[SOME]; // what means divide by
} part;

// Sets out for the part that begins at result `at` of a plane; ends with the row.
static void find_part(const pool *p, int64_t at, part *t)
{
    const tn_slide *s = p->of.axis;
    int64_t counted[2], last;
    t->o[2] = at % s[2].narrow;
    t->o[1] = at / s[2].narrow % s[1].narrow;
    t->o[0] = at / s[2].narrow / s[1].narrow;
    t->n = tn_least(s[2].narrow - t->o[2], SOME);
    for (int i = 0; i < 2; i++) t->row[i] = tn_pool_taken(&p->of, &s[i], t->o[i], &counted[i]);
    for (int64_t i = 0; p->of.mean && i < t->n; i++) {
        tn_pool_taken(&p->of, &s[2], t->o[2] + i, &last);
        t->divisor[i] = (double)(counted[0] * counted[1]) * (double)last;
    }
}

// Element j of the windows of a part, where it is in the data: of results begin … end-1, at x[at],
// x[at + stride] …
typedef struct lane {
    int64_t begin, end, at;
} lane;

static lane lane_of(const pool *p, const part *t, int64_t j)
{
    const tn_slide *s = &p->of.axis[2];
    const int64_t start = s->stride * t->o[2] - s->pad + j;
    const tn_interval in = tn_inside(start, s->stride, t->n, s->wide);
    return (lane){in.begin, in.end, in.begin < in.end ? start + s->stride * in.begin : 0};
}

#define THIS_FILE "blas_pool.c"
#include "blas_each_type.h"

// ------------------------------------------------------------------ rows

static tn_status pool_setup(tn_sdk_kernel *k, const tn_value_info *x, const tn_value_info *y)
{
    pool *p = k->state;
    p->of = tn_pool_of(k->call, x, y);
    const tn_slide *axis = p->of.axis;
    p->squares = axis[0].wide == 1 && axis[0].window == 1 && axis[0].pad == 0;
    for (int i = 1; i < TN_SPATIAL; i++)
        p->squares = p->squares && axis[i].window == 2 && axis[i].stride == 2 && axis[i].pad == 0 &&
                     2 * axis[i].narrow <= axis[i].wide;
    return TN_OK;
}

static tn_status forward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return pool_setup(k, k->call->in[0], k->call->out[0]);
}

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of dy
{
    (void)info;
    return pool_setup(k, k->call->out[0], k->call->in[0]);
}

static const char *backward_max_cannot(const tn_call *c)
{
    if (tn_span(c->out[0], 2, c->out[0]->ndim) > INT32_MAX)
        return "a plane has more elements than int32 counts";
    return NULL;
}

static void over_planes(const tn_sdk_kernel *k, const tn_run_args *a, pool_run *r, tn_range_fn fn)
{
    const pool *p = k->state;
    int64_t window = p->of.narrow_points;
    for (int i = 0; i < TN_SPATIAL; i++) window *= p->of.axis[i].window;
    r->p = p;
    r->out = blas_out(a, 0);
    if (k->call->out[0]->size)
        blas_items(k, a, p->of.planes, tn_most(window, p->of.wide_points), BLAS_CHEAP, fn, r);
}

static tn_status pooling(const tn_sdk_kernel *k, const tn_run_args *a)
{
    pool_run r = {.x = blas_in(a, 0)};
    over_planes(k, a, &r, k->call->in[0]->dtype == TN_F64 ? planes_f64 : planes_f32);
    return TN_OK;
}

// Inputs dy, data
static tn_status backward_max(const tn_sdk_kernel *k, const tn_run_args *a)
{
    pool_run r = {.y = blas_in(a, 0), .x = blas_in(a, 1)};
    over_planes(k, a, &r, k->call->in[0]->dtype == TN_F64 ? max_back_f64 : max_back_f32);
    return TN_OK;
}

// Inputs dy, data's shape
static tn_status backward_sum(const tn_sdk_kernel *k, const tn_run_args *a)
{
    pool_run r = {.y = blas_in(a, 0)};
    over_planes(k, a, &r, k->call->in[0]->dtype == TN_F64 ? sum_back_f64 : sum_back_f32);
    return TN_OK;
}

#define ROW(op_, cannot_, setup_, run_)                                                   \
    {                                                                                     \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(pool), \
        .cannot = cannot_, .setup = setup_, .run = run_                                   \
    }

const tn_kernel_row blas_pools[] = {
    ROW("Pooling", NULL, forward_setup, pooling),
    ROW("_backward_Pooling_max", backward_max_cannot, backward_setup, backward_max),
    ROW("_backward_Pooling_sum", NULL, backward_setup, backward_sum),
    {0},
};

#else // once per type

// ------------------------------------------------------------------ forward

// best = the larger; a NaN beats everything, and is never beaten.
BLAS_CLONES static void N(max_lane)(T *best, const T *x, int64_t n, int64_t step)
{
    if (step == 2) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++)
            best[i] = x[2 * i] > best[i] || x[2 * i] != x[2 * i] ? x[2 * i] : best[i];
    } else {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++)
            best[i] = x[i * step] > best[i] || x[i * step] != x[i * step] ? x[i * step] : best[i];
    }
}

BLAS_CLONES static void N(sum_lane)(double *sum, const T *x, int64_t n, int64_t step)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) sum[i] += (double)x[i * step];
}

// The same for one window's row of n elements.
BLAS_CLONES static T N(max_row)(T best, const T *x, int64_t n)
{
    T most = (T)-INFINITY;
    int nans = 0;
    BLAS_PRAGMA(omp simd reduction(max : most) reduction(| : nans))
    for (int64_t i = 0; i < n; i++) {
        most = x[i] > most ? x[i] : most;
        nans |= x[i] != x[i];
    }
    return nans || best != best ? (T)NAN : most > best ? most : best;
}

BLAS_CLONES static double N(sum_row)(const T *x, int64_t n)
{
    double sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    return sum;
}

static void N(max_part)(const pool *p, const part *t, const T *x, T *y)
{
    const tn_slide *s = p->of.axis;
    for (int64_t i = 0; i < t->n; i++) y[i] = (T)-INFINITY;
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            const T *row = x + (i0 * s[1].wide + i1) * s[2].wide;
            if (t->n == 1) {
                const int64_t start = s[2].stride * t->o[2] - s[2].pad;
                const tn_interval in = tn_inside(start, 1, s[2].window, s[2].wide);
                if (in.begin < in.end)
                    y[0] = N(max_row)(y[0], row + start + in.begin, in.end - in.begin);
                continue;
            }
            for (int64_t j = 0; j < s[2].window; j++) {
                const lane l = lane_of(p, t, j);
                N(max_lane)(y + l.begin, row + l.at, l.end - l.begin, s[2].stride);
            }
        }
}

static void N(sum_part)(const pool *p, const part *t, const T *x, T *y)
{
    const tn_slide *s = p->of.axis;
    double sum[SOME] = {0};
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            const T *row = x + (i0 * s[1].wide + i1) * s[2].wide;
            if (t->n == 1) {
                const int64_t start = s[2].stride * t->o[2] - s[2].pad;
                const tn_interval in = tn_inside(start, 1, s[2].window, s[2].wide);
                if (in.begin < in.end)
                    sum[0] += N(sum_row)(row + start + in.begin, in.end - in.begin);
                continue;
            }
            for (int64_t j = 0; j < s[2].window; j++) {
                const lane l = lane_of(p, t, j);
                N(sum_lane)(sum + l.begin, row + l.at, l.end - l.begin, s[2].stride);
            }
        }
    for (int64_t i = 0; i < t->n; i++) y[i] = (T)(p->of.mean ? sum[i] / t->divisor[i] : sum[i]);
}

// n squares, whose two rows of the data are `row` elements apart.
BLAS_INLINE void N(squares)(const T *x, int64_t row, T *y, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T v[4] = {x[2 * i], x[2 * i + 1], x[row + 2 * i], x[row + 2 * i + 1]};
        T best = v[0];
        best = v[1] > best || v[1] != v[1] ? v[1] : best;
        best = v[2] > best || v[2] != v[2] ? v[2] : best;
        best = v[3] > best || v[3] != v[3] ? v[3] : best;
        y[i] = best;
    }
}

// Rows shorter than the widest vectors go by small ones, the last of which begins early enough to
// be whole: what it makes twice is the same both times.
BLAS_CLONES static void N(square_plane)(const pool *p, const T *x, T *y)
{
    const int64_t n = p->of.axis[2].narrow, row = p->of.axis[2].wide;
    for (int64_t r = 0; r < p->of.axis[1].narrow; r++, x += 2 * row, y += n) {
        if (n < SMALL || n >= MANY) {
            N(squares)(x, row, y, n);
            continue;
        }
        for (int64_t i = 0; i < n; i += SMALL) {
            const int64_t at = tn_least(i, n - SMALL);
            N(squares)(x + 2 * at, row, y + at, SMALL);
        }
    }
}

static void N(planes)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const pool_run *r = ctx;
    const pool *p = r->p;
    part t;
    (void)worker;
    for (int64_t plane = begin; plane < end; plane++) {
        const T *x = (const T *)r->x + plane * p->of.wide_points;
        T *y = (T *)r->out + plane * p->of.narrow_points;
        if (p->squares && p->of.max) {
            N(square_plane)(p, x, y);
            continue;
        }
        for (int64_t at = 0; at < p->of.narrow_points; at += t.n) {
            find_part(p, at, &t);
            (p->of.max ? N(max_part) : N(sum_part))(p, &t, x, y + at);
        }
    }
}

// ------------------------------------------------------------------ backward

// The first maximum of each window: its value, and its index in the plane.
BLAS_CLONES static void N(first_lane)(T *best, int32_t *index, const T *x, const int64_t n,
                                      int64_t step, int32_t at)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T v = x[i * step];
        const bool beats = (index[i] < 0) | (v > best[i]) | ((v != v) & (best[i] == best[i]));
        best[i] = beats ? v : best[i];
        index[i] = beats ? at + (int32_t)(i * step) : index[i];
    }
}

static void N(first_part)(const pool *p, const part *t, const T *x, int32_t *index)
{
    const tn_slide *s = p->of.axis;
    T best[SOME];
    for (int64_t i = 0; i < t->n; i++) best[i] = (T)-INFINITY, index[i] = -1;
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            const int64_t row = (i0 * s[1].wide + i1) * s[2].wide;
            for (int64_t j = 0; j < s[2].window; j++) {
                const lane l = lane_of(p, t, j);
                N(first_lane)
                (best + l.begin, index + l.begin, x + row + l.at, l.end - l.begin, s[2].stride,
                 (int32_t)(row + l.at));
            }
        }
}

// Squares: what is chosen is chosen by masks of as many bits as a number has, all or none, so that
// short rows take no branches either.
#if IS_F32
#define MASK int32_t
#else
#define MASK int64_t
#endif

BLAS_INLINE MASK N(bits_of)(T v)
{
    MASK m;
    memcpy(&m, &v, sizeof m);
    return m;
}

BLAS_INLINE T N(from_bits)(MASK m)
{
    T v;
    memcpy(&v, &m, sizeof v);
    return v;
}

// Is b, which comes later, the first maximum of the two?
BLAS_INLINE MASK N(beats)(T b, T a)
{
    return -(MASK)((b > a) | ((b != b) & (a == a)));
}

// The first maximum of two, if m says whether that is b.
BLAS_INLINE T N(larger)(T b, T a, MASK m)
{
    return N(from_bits)((N(bits_of)(b) & m) | (N(bits_of)(a) & ~m));
}

// n squares: dx = dy where the maximum is, else 0
BLAS_INLINE void N(squares_back)(const T *x, int64_t row, const T *dy, T *dx, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T a = x[2 * i], b = x[2 * i + 1], c = x[row + 2 * i], d = x[row + 2 * i + 1];
        const MASK above = N(beats)(b, a), below = N(beats)(d, c);
        const MASK down = N(beats)(N(larger)(d, c, below), N(larger)(b, a, above));
        const MASK g = N(bits_of)(dy[i]);
        dx[2 * i] = N(from_bits)(g & ~down & ~above);
        dx[2 * i + 1] = N(from_bits)(g & ~down & above);
        dx[row + 2 * i] = N(from_bits)(g & down & ~below);
        dx[row + 2 * i + 1] = N(from_bits)(g & down & below);
    }
}

BLAS_CLONES static void N(square_plane_back)(const pool *p, const T *x, const T *dy, T *dx)
{
    const int64_t n = p->of.axis[2].narrow, row = p->of.axis[2].wide;
    for (int64_t r = 0; r < p->of.axis[1].narrow; r++, x += 2 * row, dx += 2 * row, dy += n) {
        if (n < SMALL || n >= MANY) N(squares_back)(x, row, dy, dx, n);
        for (int64_t i = 0; n >= SMALL && n < MANY && i < n; i += SMALL) {
            const int64_t at = tn_least(i, n - SMALL);
            N(squares_back)(x + 2 * at, row, dy + at, dx + 2 * at, SMALL);
        }
        for (int64_t j = 2 * n; j < row; j++) dx[j] = dx[row + j] = 0;
    }
    const int64_t left = p->of.axis[1].wide - 2 * p->of.axis[1].narrow;
    if (left > 0) memset(dx, 0, (size_t)(left * row) * sizeof *dx);
}

// dx = the sum of dy over the windows whose first maximum it was
static void N(max_back)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const pool_run *r = ctx;
    const pool *p = r->p;
    part t;
    int32_t index[SOME];
    (void)worker;
    for (int64_t plane = begin; plane < end; plane++) {
        const T *x = (const T *)r->x + plane * p->of.wide_points;
        const T *dy = (const T *)r->y + plane * p->of.narrow_points;
        T *dx = (T *)r->out + plane * p->of.wide_points;
        if (p->squares) {
            N(square_plane_back)(p, x, dy, dx);
            continue;
        }
        memset(dx, 0, (size_t)p->of.wide_points * sizeof *dx);
        for (int64_t at = 0; at < p->of.narrow_points; at += t.n) {
            find_part(p, at, &t);
            N(first_part)(p, &t, x, index);
            for (int64_t i = 0; i < t.n; i++)
                if (index[i] >= 0) dx[index[i]] += dy[at + i];
        }
    }
}

BLAS_CLONES static void N(spread_lane)(T *x, const T *g, int64_t n, int64_t step)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) x[i * step] += g[i];
}

BLAS_CLONES static void N(spread_row)(T *x, T g, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) x[i] += g;
}

static void N(spread_part)(const pool *p, const part *t, const T *g, T *x)
{
    const tn_slide *s = p->of.axis;
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            T *row = x + (i0 * s[1].wide + i1) * s[2].wide;
            if (t->n == 1) {
                const int64_t start = s[2].stride * t->o[2] - s[2].pad;
                const tn_interval in = tn_inside(start, 1, s[2].window, s[2].wide);
                if (in.begin < in.end)
                    N(spread_row)(row + start + in.begin, g[0], in.end - in.begin);
                continue;
            }
            for (int64_t j = 0; j < s[2].window; j++) {
                const lane l = lane_of(p, t, j);
                N(spread_lane)(row + l.at, g + l.begin, l.end - l.begin, s[2].stride);
            }
        }
}

// dx = Σ dy / divisor over the windows around it
static void N(sum_back)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const pool_run *r = ctx;
    const pool *p = r->p;
    part t;
    T g[SOME];
    (void)worker;
    for (int64_t plane = begin; plane < end; plane++) {
        const T *dy = (const T *)r->y + plane * p->of.narrow_points;
        T *dx = (T *)r->out + plane * p->of.wide_points;
        memset(dx, 0, (size_t)p->of.wide_points * sizeof *dx);
        for (int64_t at = 0; at < p->of.narrow_points; at += t.n) {
            find_part(p, at, &t);
            for (int64_t i = 0; i < t.n; i++)
                g[i] = p->of.mean ? (T)((double)dy[at + i] / t.divisor[i]) : dy[at + i];
            N(spread_part)(p, &t, g, dx);
        }
    }
}

#undef MASK

#endif
