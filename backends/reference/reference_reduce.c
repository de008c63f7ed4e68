// backends/reference/reference_reduce.c: sums and extremes over axes, and where the extremes are.
//
// An output element is the result of a walk: the kept axes say where it starts, the gone axes are
// walked over. `axis` () means all axes; `exclude` inverts the set.
#ifndef A

#include "reference.h"

typedef struct reduction {
    ref_box kept, gone; // in the input
    int64_t n;          // elements behind one result
} reduction;

static void split(reduction *r, const tn_value_info *x, const bool gone[TN_MAX_NDIM])
{
    int64_t stride[TN_MAX_NDIM];
    ref_strides(x, stride);
    for (int32_t axis = 0; axis < x->ndim; axis++)
        ref_box_add(gone[axis] ? &r->gone : &r->kept, x->dims[axis], stride[axis]);
    r->n = ref_box_size(&r->gone);
}

static tn_status reduce_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    bool gone[TN_MAX_NDIM];
    const tn_status s = ref_reduced_axes(k, k->call->in[0], gone);
    if (s == TN_OK) split(k->state, k->call->in[0], gone);
    return s;
}

// norm takes in everything.
static tn_status norm_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    const bool gone[TN_MAX_NDIM] = {true, true, true, true, true, true, true, true};
    split(k->state, k->call->in[0], gone);
    return TN_OK;
}

// One axis; None: the position in the flattened data.
static tn_status arg_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const int64_t axis = tn_call_i64(k->call, "axis", TN_NONE_I64);
    if (axis == TN_NONE_I64) return norm_setup(k, info);
    bool gone[TN_MAX_NDIM] = {false};
    const int32_t at = tn_axis(axis, k->call->in[0]->ndim);
    if (at < 0) return ref_no_axis(k, "axis");
    gone[at] = true;
    split(k->state, k->call->in[0], gone);
    return TN_OK;
}

// Inputs data, like: the axes that broadcasting like to data's shape has added or repeated.
static tn_status sum_like_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    const tn_value_info *x = k->call->in[0], *like = k->call->in[1];
    bool gone[TN_MAX_NDIM];
    for (int32_t axis = 0; axis < x->ndim; axis++) {
        const int32_t at = axis - (x->ndim - like->ndim);
        gone[axis] = at < 0 || like->dims[at] != x->dims[axis];
    }
    split(k->state, x, gone);
    return TN_OK;
}

#define THIS_FILE "reference_reduce.c"
#include "reference_each_number.h"

static tn_status norm(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0);
    double sum = 0;
    for (int64_t i = 0; i < x.n; i++) sum += ref_get_real(x, i) * ref_get_real(x, i);
    ref_put_real(ref_out(k, a, 0), 0, sqrt(sum));
    return TN_OK;
}

#define ROW(op_, dtypes_, setup_, run_)                                                    \
    {                                                                                      \
        .op = op_, .dtypes = dtypes_, .flags = REF_FLAGS, .state_size = sizeof(reduction), \
        .setup = setup_, .run = run_                                                       \
    }
#define BOTH(op_, setup_, run_) \
    ROW(op_, TN_FLOATS, setup_, run_##_real), ROW(op_, REF_WHOLE, setup_, run_##_int)

const tn_kernel_row ref_reduce[] = {
    BOTH("sum", reduce_setup, sum),           BOTH("mean", reduce_setup, mean),
    BOTH("prod", reduce_setup, prod),         BOTH("max", reduce_setup, max),
    BOTH("min", reduce_setup, min),           BOTH("argmax", arg_setup, argmax),
    BOTH("argmin", arg_setup, argmin),        BOTH("_sum_like", sum_like_setup, sum),
    ROW("norm", TN_FLOATS, norm_setup, norm), {0},
};

#else // once per kind of number

// Of nothing: 0 (sum), 1 (prod), NaN or for integers 0 (mean).
static tn_status N(sum)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduction *r = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t o = 0; o < y.n; o++) {
        const int64_t start = ref_at(&r->kept, o);
        A sum = 0;
        for (int64_t i = 0; i < r->n; i++) sum += GET(x, start + ref_at(&r->gone, i));
        PUT(y, o, sum);
    }
    return TN_OK;
}

static tn_status N(mean)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduction *r = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t o = 0; o < y.n; o++) {
        const int64_t start = ref_at(&r->kept, o);
        A sum = 0;
        for (int64_t i = 0; i < r->n; i++) sum += GET(x, start + ref_at(&r->gone, i));
        PUT(y, o, IS_REAL || r->n ? sum / (A)r->n : 0);
    }
    return TN_OK;
}

static tn_status N(prod)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduction *r = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t o = 0; o < y.n; o++) {
        const int64_t start = ref_at(&r->kept, o);
        A product = 1;
        for (int64_t i = 0; i < r->n; i++) product *= GET(x, start + ref_at(&r->gone, i));
        PUT(y, o, product);
    }
    return TN_OK;
}

// Does v take the place of best? The first extreme stays; a NaN beats everything.
static bool N(beats)(A v, A best, bool larger)
{
    if (isnan((double)best)) return false;
    return isnan((double)v) || (larger ? v > best : v < best);
}

// Position in the walk of the largest or smallest element behind result o; -1 of nothing.
static int64_t N(extreme)(const reduction *r, ref_array x, int64_t o, bool larger)
{
    const int64_t start = ref_at(&r->kept, o);
    int64_t best = r->n ? 0 : -1;
    for (int64_t i = 1; i < r->n; i++)
        if (N(beats)(GET(x, start + ref_at(&r->gone, i)), GET(x, start + ref_at(&r->gone, best)),
                     larger))
            best = i;
    return best;
}

// The extreme of nothing is the least (max) or greatest (min) number of the dtype.
static void N(extremes)(const tn_sdk_kernel *k, const tn_run_args *a, bool larger)
{
    const reduction *r = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t o = 0; o < y.n; o++) {
        const int64_t best = N(extreme)(r, x, o, larger);
        if (best >= 0)
            PUT(y, o, GET(x, ref_at(&r->kept, o) + ref_at(&r->gone, best)));
        else if (y.dtype == TN_BOOL)
            ref_put_int(y, o, !larger);
        else
            ref_put_real(y, o, larger ? -INFINITY : INFINITY);
    }
}

static tn_status N(max)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    N(extremes)(k, a, true);
    return TN_OK;
}

static tn_status N(min)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    N(extremes)(k, a, false);
    return TN_OK;
}

// The index of the first extreme, in the dtype of the output; 0 of nothing.
static void N(arguments)(const tn_sdk_kernel *k, const tn_run_args *a, bool larger)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t o = 0; o < y.n; o++) {
        const int64_t best = N(extreme)(k->state, x, o, larger);
        ref_put_int(y, o, best < 0 ? 0 : best);
    }
}

static tn_status N(argmax)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    N(arguments)(k, a, true);
    return TN_OK;
}

static tn_status N(argmin)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    N(arguments)(k, a, false);
    return TN_OK;
}

#endif
