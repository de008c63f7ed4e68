// backends/blas/blas_pool.c: Pooling over 1 to 3 spatial axes, and its gradients.
//
// On each axis window o begins at s o - p and has k elements, of which it takes those that are in
// the data. A mean divides by the elements up to the end of the padded data, x + p, or without
// count_include_pad by those taken. The maximum of none is -∞; a sum of none is 0, and is divided
// all the same. Items are planes; results are made some of a row at a time, and each element of
// the window's rows is looked at for all of them together.
#include "blas.h"

enum { SOME = 128 };           // results of a row at a time, some whole blocks
enum { BLOCK = 16 };           // results that a loop takes at once
enum { LANES = 32 };           // results of a long row side by side
enum { ROOM = 2048 };          // elements of a row with its pads
enum { SMALL = 4, MANY = 16 }; // squares of a small vector; of rows that pay for wide ones

typedef struct pool {
    tn_pool_call of;
    bool squares; // windows of 2 by 2 that lie side by side in the data
    bool padded;  // rows with their pads have room
    bool whole;   // each plane is the only window
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

#define THIS_FILE "blas_pool_loops.h"
#include "blas_each_type.h"

// ------------------------------------------------------------------ rows

static tn_status pool_setup(tn_sdk_kernel *k, const tn_value_info *x, const tn_value_info *y)
{
    pool *p = k->state;
    p->of = tn_pool_of(k->call, x, y);
    const tn_slide *axis = p->of.axis;
    const tn_slide *last = &p->of.axis[2];
    p->padded = last->stride < ROOM && last->window < ROOM &&
                last->stride * (SOME + last->window / last->stride + 1) <= ROOM;
    p->whole = true;
    for (int i = 0; i < TN_SPATIAL; i++)
        p->whole =
            p->whole && axis[i].narrow == 1 && axis[i].pad == 0 && axis[i].window >= axis[i].wide;
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
    const pool *p = k->state;
    const bool wide = k->call->in[0]->dtype == TN_F64;
    pool_run r = {.x = blas_in(a, 0)};
    if (p->whole)
        over_planes(k, a, &r, wide ? whole_planes_f64 : whole_planes_f32);
    else
        over_planes(k, a, &r, wide ? planes_f64 : planes_f32);
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
