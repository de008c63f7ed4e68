// backends/reference/reference_pool.c: Pooling over 1 to 3 spatial axes, and its gradients.
//
// On each axis window o begins at s o - p and has k elements, of which it takes those that are in
// the data. A mean divides by the elements up to the end of the padded data, x + p, or without
// count_include_pad by those taken. The maximum of none is -∞; a sum of none is 0, and is divided
// all the same.
#include "reference.h"

static tn_status pool_setup(tn_sdk_kernel *k, const tn_value_info *x, const tn_value_info *y)
{
    tn_pool_call *p = k->state;
    *p = tn_pool_of(k->call, x, y);
    return TN_OK;
}

static tn_status forward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return pool_setup(k, k->call->in[0], k->call->out[0]);
}

static tn_status backward_sum_setup(tn_sdk_kernel *k, tn_kernel_info *info) // dy, data's shape
{
    (void)info;
    return pool_setup(k, k->call->out[0], k->call->in[0]);
}

// Scratch: the sums of one plane of dx, before they are rounded.
static tn_status backward_max_setup(tn_sdk_kernel *k, tn_kernel_info *info) // dy, data, result
{
    const tn_status s = pool_setup(k, k->call->out[0], k->call->in[0]);
    const tn_pool_call *p = k->state;
    info->scratch_bytes = (uint64_t)p->wide_points * sizeof(double);
    return s;
}

// ------------------------------------------------------------------ windows

// The elements that a window takes on each axis, and what a mean divides by.
typedef struct window {
    tn_interval i[TN_SPATIAL];
    double divisor;
} window;

// The window of result o, counted row-major within a plane.
static window window_of(const tn_pool_call *p, int64_t o)
{
    window w = {.divisor = 1};
    for (int32_t axis = TN_SPATIAL; axis-- > 0; o /= p->axis[axis].narrow) {
        const tn_slide *s = &p->axis[axis];
        int64_t counted;
        w.i[axis] = tn_pool_taken(p, s, o % s->narrow, &counted);
        w.divisor *= (double)counted;
    }
    return w;
}

static double pool_sum(const tn_pool_call *p, ref_array x, int64_t plane, const window *w)
{
    double sum = 0;
    for (int64_t i0 = w->i[0].begin; i0 < w->i[0].end; i0++)
        for (int64_t i1 = w->i[1].begin; i1 < w->i[1].end; i1++)
            for (int64_t i2 = w->i[2].begin; i2 < w->i[2].end; i2++)
                sum += ref_get_real(x, plane + (i0 * p->axis[1].wide + i1) * p->axis[2].wide + i2);
    return sum;
}

// Does v take the place of best? The first maximum stays; a NaN beats everything.
static bool beats(double v, double best)
{
    return !isnan(best) && (isnan(v) || v > best);
}

// Index within the plane of the first maximum; -1 if the window takes nothing.
static int64_t pool_max(const tn_pool_call *p, ref_array x, int64_t plane, const window *w)
{
    int64_t best = -1;
    for (int64_t i0 = w->i[0].begin; i0 < w->i[0].end; i0++)
        for (int64_t i1 = w->i[1].begin; i1 < w->i[1].end; i1++)
            for (int64_t i2 = w->i[2].begin; i2 < w->i[2].end; i2++) {
                const int64_t i = (i0 * p->axis[1].wide + i1) * p->axis[2].wide + i2;
                if (best < 0 || beats(ref_get_real(x, plane + i), ref_get_real(x, plane + best)))
                    best = i;
            }
    return best;
}

// ------------------------------------------------------------------ kernels

static tn_status pooling(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_pool_call *p = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    const bool max = p->max;
    for (int64_t i = 0; i < y.n; i++) {
        const int64_t plane = i / p->narrow_points * p->wide_points;
        const window w = window_of(p, i % p->narrow_points);
        if (max) {
            const int64_t best = pool_max(p, x, plane, &w);
            ref_put_real(y, i, best < 0 ? -INFINITY : ref_get_real(x, plane + best));
        } else {
            const double sum = pool_sum(p, x, plane, &w);
            ref_put_real(y, i, p->mean ? sum / w.divisor : sum);
        }
    }
    return TN_OK;
}

// dx = the sum of dy over the windows whose first maximum it was
static tn_status pooling_max_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_pool_call *p = k->state;
    const ref_array dy = ref_in(k, a, 0), x = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    double *sums = a->scratch.host;
    for (int64_t plane = 0; plane < p->planes; plane++) {
        const int64_t x0 = plane * p->wide_points, y0 = plane * p->narrow_points;
        for (int64_t i = 0; i < p->wide_points; i++) sums[i] = 0;
        for (int64_t o = 0; o < p->narrow_points; o++) {
            const window w = window_of(p, o);
            const int64_t best = pool_max(p, x, x0, &w);
            if (best >= 0) sums[best] += ref_get_real(dy, y0 + o);
        }
        for (int64_t i = 0; i < p->wide_points; i++) ref_put_real(dx, x0 + i, sums[i]);
    }
    return TN_OK;
}

// The windows o that hold element i of an axis: s o - p <= i < s o - p + k.
static tn_interval windows_around(const tn_slide *s, int64_t i)
{
    const int64_t first = tn_ceil_div(i + s->pad - s->window + 1, s->stride);
    const int64_t end = (i + s->pad) / s->stride + 1;
    return (tn_interval){first > 0 ? first : 0, end < s->narrow ? end : s->narrow};
}

// Σ dy / divisor over the windows that hold element i of a plane; y0: dy's first of that plane.
static double spread_sum(const tn_pool_call *p, ref_array dy, int64_t y0, int64_t i)
{
    tn_interval o[TN_SPATIAL];
    double sum = 0;
    for (int32_t axis = TN_SPATIAL; axis-- > 0; i /= p->axis[axis].wide)
        o[axis] = windows_around(&p->axis[axis], i % p->axis[axis].wide);
    for (int64_t o0 = o[0].begin; o0 < o[0].end; o0++)
        for (int64_t o1 = o[1].begin; o1 < o[1].end; o1++)
            for (int64_t o2 = o[2].begin; o2 < o[2].end; o2++) {
                const int64_t at = (o0 * p->axis[1].narrow + o1) * p->axis[2].narrow + o2;
                sum += ref_get_real(dy, y0 + at) / (p->mean ? window_of(p, at).divisor : 1);
            }
    return sum;
}

static tn_status pooling_sum_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_pool_call *p = k->state;
    const ref_array dy = ref_in(k, a, 0), dx = ref_out(k, a, 0);
    for (int64_t i = 0; i < dx.n; i++) {
        const int64_t y0 = i / p->wide_points * p->narrow_points;
        ref_put_real(dx, i, spread_sum(p, dy, y0, i % p->wide_points));
    }
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                                  \
    {                                                                                           \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(tn_pool_call), \
        .setup = setup_, .run = run_                                                            \
    }

const tn_kernel_row ref_pool[] = {
    ROW("Pooling", forward_setup, pooling),
    ROW("_backward_Pooling_max", backward_max_setup, pooling_max_backward),
    ROW("_backward_Pooling_sum", backward_sum_setup, pooling_sum_backward),
    {0},
};
