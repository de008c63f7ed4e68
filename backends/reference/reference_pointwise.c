// backends/reference/reference_pointwise.c: elementwise operators that are no row of
// <tenon/elementwise.h>: sums of many, clip, smooth_l1, where, Cast.
#ifndef A

#include "reference.h"

#define THIS_FILE "reference_pointwise.c"
#include "reference_each_number.h"

// y = the elements of x, converted: to integers truncated and saturated, to bool x != 0; between
// integers the low bits are kept.
static tn_status cast(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t i = 0; i < y.n; i++) {
        if (ref_is_float(x.dtype))
            ref_put_real(y, i, ref_get_real(x, i));
        else
            ref_put_int(y, i, ref_get_int(x, i));
    }
    return TN_OK;
}

// Over input 0 only: input 1 gives its dtype and no data.
static tn_status cast_like_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    if (tn_dtype_size(k->call->in[0]->dtype) == tn_dtype_size(k->call->out[0]->dtype))
        ref_inplace(k, info, 0);
    return TN_OK;
}

// smooth_l1: s = scalar;  y = ½ (s x)²         where |x| < 1/s²
//                         y = |x| − ½ / s²     elsewhere
static tn_status smooth_l1(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    const double s = tn_call_f64(k->call, "scalar", 1), s2 = s * s;
    for (int64_t i = 0; i < y.n; i++) {
        const double v = ref_get_real(x, i), magnitude = fabs(v);
        ref_put_real(y, i, magnitude > 1 / s2 ? magnitude - 0.5 / s2 : 0.5 * s2 * v * v);
    }
    return TN_OK;
}

// dx = dy · s² x where |x| ≤ 1/s², dy · sign(x) elsewhere
static tn_status backward_smooth_l1(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array dy = ref_in(k, a, 0), x = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    const double s = tn_call_f64(k->call, "scalar", 1), s2 = s * s;
    for (int64_t i = 0; i < dx.n; i++) {
        const double v = ref_get_real(x, i);
        const double slope = v > 1 / s2 ? 1 : v < -1 / s2 ? -1 : s2 * v;
        ref_put_real(dx, i, ref_get_real(dy, i) * slope);
    }
    return TN_OK;
}

// out = x where condition ≠ 0, else y. The condition has x's shape, or one element per entry of
// x's first axis.
static tn_status where(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array condition = ref_in(k, a, 0);
    const size_t bytes = tn_dtype_size(k->call->out[0]->dtype);
    const int64_t n = k->call->out[0]->size;
    const int64_t share = condition.n ? n / condition.n : 1; // elements that one condition rules
    const char *x = a->in[1].host, *y = a->in[2].host;
    char *out = a->out[0].host;
    for (int64_t i = 0; i < n; i++) {
        const char *from = ref_get_real(condition, i / share) != 0 ? x : y;
        ref_copy(out + (size_t)i * bytes, from + (size_t)i * bytes, bytes);
    }
    return TN_OK;
}

// where: over x or y, but not over the condition, whose dtype is its own.
static tn_status where_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ref_inplace(k, info, 1);
    ref_inplace(k, info, 2);
    return TN_OK;
}

const tn_kernel_row ref_pointwise[] = {
    {.op = "Cast", .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS | TN_ROW_INPLACE, .run = cast},
    {.op = "_cast_like",
     .dtypes = TN_ALL_DTYPES,
     .flags = REF_FLAGS,
     .setup = cast_like_setup,
     .run = cast},
    {.op = "smooth_l1", .dtypes = TN_FLOATS, .flags = REF_FLAGS | TN_ROW_INPLACE, .run = smooth_l1},
    {.op = "_backward_smooth_l1",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS | TN_ROW_INPLACE,
     .run = backward_smooth_l1},
    {.op = "where",
     .dtypes = TN_ALL_DTYPES,
     .flags = REF_FLAGS,
     .setup = where_setup,
     .run = where},
#define BOTH(op_, run_)                                                                        \
    {.op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS | TN_ROW_INPLACE, .run = run_##_real}, \
    {                                                                                          \
        .op = op_, .dtypes = REF_WHOLE, .flags = REF_FLAGS | TN_ROW_INPLACE, .run = run_##_int \
    }
    BOTH("add_n", add_n),
    BOTH("_grad_add", add_n),
    BOTH("clip", clip),
    BOTH("_backward_clip", backward_clip),
    {0}};

#else // once per kind of number

// y = sum of all inputs, rounded once.
static tn_status N(add_n)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array y = ref_out(k, a, 0);
    for (int64_t i = 0; i < y.n; i++) {
        A sum = 0;
        for (uint32_t j = 0; j < a->n_in; j++) sum += GET(ref_in(k, a, j), i);
        PUT(y, i, sum);
    }
    return TN_OK;
}

// y = x kept within a_min … a_max; NaN stays.
static tn_status N(clip)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    const A lo = N(ref_as)(x.dtype, tn_call_f64(k->call, "a_min", -INFINITY));
    const A hi = N(ref_as)(x.dtype, tn_call_f64(k->call, "a_max", INFINITY));
    for (int64_t i = 0; i < y.n; i++) {
        const A v = GET(x, i);
        PUT(y, i, v < lo ? lo : v > hi ? hi : v);
    }
    return TN_OK;
}

// dx = dy, but 0 where x lies strictly outside a_min … a_max.
static tn_status N(backward_clip)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array dy = ref_in(k, a, 0), x = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    const A lo = N(ref_as)(x.dtype, tn_call_f64(k->call, "a_min", -INFINITY));
    const A hi = N(ref_as)(x.dtype, tn_call_f64(k->call, "a_max", INFINITY));
    for (int64_t i = 0; i < dx.n; i++) {
        const A v = GET(x, i);
        PUT(dx, i, v < lo || v > hi ? 0 : GET(dy, i));
    }
    return TN_OK;
}

#endif
