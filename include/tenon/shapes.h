// tenon/shapes.h: what calls that move, cut or count elements mean, in numbers: orders of axes,
// parts of values, axes that are reduced. For backends that write their own loops.
//
// Functions that may find a parameter wrong return its name, or NULL if all is well.
// Static inline, no library, C11 only; on top of <tenon/kernel.h>.
#ifndef TENON_SHAPES_H
#define TENON_SHAPES_H

#include <tenon/kernel.h>

// transpose and SwapAxis of data with ndim axes: axis i of the result is axis order[i] of the data.
static inline const char *tn_axes_order(const tn_call *c, int32_t ndim, int32_t order[TN_MAX_NDIM])
{
    const tn_ints axes = tn_call_ints(c, "axes"); // of transpose; () reverses all
    if (strcmp(c->op->name, "SwapAxis") == 0) {
        const int32_t a = tn_axis(tn_call_i64(c, "dim1", 0), ndim);
        const int32_t b = tn_axis(tn_call_i64(c, "dim2", 0), ndim);
        for (int32_t i = 0; i < ndim; i++) order[i] = i == a ? b : i == b ? a : i;
        return a < 0 ? "dim1" : b < 0 ? "dim2" : NULL;
    }
    if (axes.n && axes.n != (size_t)ndim) return "axes";
    for (int32_t i = 0; i < ndim; i++) {
        order[i] = axes.n ? tn_axis(axes.v[i], ndim) : ndim - 1 - i;
        if (order[i] < 0) return "axes";
    }
    return NULL;
}

// Along an axis, element j of a part is element start + step j of the whole. step may be negative.
typedef struct tn_cut {
    int64_t start, step;
} tn_cut;

// begin of a slice: TN_NONE_I64 is the first element in the direction of the step, negative numbers
// count from the end, what lies outside is cut off.
static inline int64_t tn_cut_start(int64_t begin, int64_t step, int64_t extent)
{
    const int64_t last = step > 0 ? extent : extent - 1;
    if (begin == TN_NONE_I64) return step > 0 ? 0 : last;
    if (begin < 0) begin += extent;
    return begin < 0 ? 0 : begin > last ? last : begin;
}

// slice, slice_axis and their gradients: each axis of `whole`. The extents of the part, which is
// the result, or of a gradient its first input, say where an axis ends.
static inline const char *tn_cut_axes(const tn_call *c, const tn_value_info *whole,
                                      tn_cut cut[TN_MAX_NDIM])
{
    const bool one = strstr(c->op->name, "slice_axis") != NULL;
    const tn_ints begin = one ? (tn_ints){0, NULL} : tn_call_ints(c, "begin");
    const tn_ints step = one ? (tn_ints){0, NULL} : tn_call_ints(c, "step");
    const int32_t axis = one ? tn_axis(tn_call_i64(c, "axis", 0), whole->ndim) : 0;
    if (axis < 0) return "axis";
    for (int32_t i = 0; i < whole->ndim; i++) {
        const bool steps = (size_t)i < step.n && step.v[i] != TN_NONE_I64;
        int64_t from = (size_t)i < begin.n ? begin.v[i] : TN_NONE_I64;
        if (one && i == axis) from = tn_call_i64(c, "begin", 0);
        cut[i].step = steps ? step.v[i] : 1;
        cut[i].start = tn_cut_start(from, cut[i].step, whole->dims[i]);
    }
    return NULL;
}

// Reductions and what spreads their results, of x: gone[i] if axis i is reduced. axis () means all,
// exclude all others.
static inline const char *tn_reduced_axes(const tn_call *c, const tn_value_info *x,
                                          bool gone[TN_MAX_NDIM])
{
    const tn_ints axes = tn_call_ints(c, "axis");
    const bool exclude = tn_call_bool(c, "exclude", false);
    for (int32_t i = 0; i < x->ndim; i++) gone[i] = exclude || axes.n == 0;
    for (size_t i = 0; i < axes.n; i++) {
        const int32_t axis = tn_axis(axes.v[i], x->ndim);
        if (axis < 0) return "axis";
        gone[axis] = !exclude;
    }
    return NULL;
}

// Dropout of x: the draw of the element at (i₀, i₁, …) is number Σ stride[k] iₖ; along `axes` all
// elements share one.
static inline const char *tn_draw_strides(const tn_call *c, const tn_value_info *x,
                                          int64_t stride[TN_MAX_NDIM])
{
    const tn_ints axes = tn_call_ints(c, "axes");
    bool shared[TN_MAX_NDIM] = {false};
    int64_t next = 1;
    for (size_t i = 0; i < axes.n; i++) {
        const int32_t axis = tn_axis(axes.v[i], x->ndim);
        if (axis < 0) return "axes";
        shared[axis] = true;
    }
    for (int32_t i = x->ndim; i-- > 0;) {
        stride[i] = shared[i] ? 0 : next;
        if (!shared[i]) next *= x->dims[i];
    }
    return NULL;
}

// _arange: element i is start + (i / repeat) step, with whole division.
typedef struct tn_progress {
    double start, step;
    int64_t repeat;
} tn_progress;

// Without stop, `start` is the stop and counting begins at 0, unless the length comes from
// elsewhere (infer_range).
static inline tn_progress tn_progress_of(const tn_call *c)
{
    const bool only_stop =
        isnan(tn_call_f64(c, "stop", NAN)) && !tn_call_bool(c, "infer_range", false);
    return (tn_progress){only_stop ? 0 : tn_call_f64(c, "start", 0), tn_call_f64(c, "step", 1),
                         tn_call_i64(c, "repeat", 1)};
}

#endif
