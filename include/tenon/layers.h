// tenon/layers.h: what calls of layers mean, in numbers: the axes of convolutions and poolings, the
// windows of poolings, the channels of batch norms. For backends that write their own loops.
//
// Static inline, no library, C11 only; on top of <tenon/kernel.h>.
#ifndef TENON_LAYERS_H
#define TENON_LAYERS_H

#include <tenon/kernel.h>

// ------------------------------------------------------------------ axes

// Most spatial axes. Data with fewer get axes of extent 1 in front.
#define TN_SPATIAL 3

// One spatial axis of a window that slides: its element j at position o lies at
// stride o + dilate j - pad of the wide side (the data of a Convolution); positions
// o = 0 … narrow-1 are the narrow side (its result).
typedef struct tn_slide {
    int64_t wide, narrow, window; // extents
    int64_t stride, dilate, pad;
} tn_slide;

#define TN_STILL ((tn_slide){1, 1, 1, 1, 1, 0}) // an axis that is not there

// Indices begin … end-1.
typedef struct tn_interval {
    int64_t begin, end;
} tn_interval;

static inline int64_t tn_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t tn_most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

// n / d, rounded up; d > 0.
static inline int64_t tn_ceil_div(int64_t n, int64_t d)
{
    return n > 0 ? (n - 1) / d + 1 : -(-n / d);
}

// All j in 0 … n-1 with 0 <= start + step j < extent; begin == end if there are none.
static inline tn_interval tn_inside(int64_t start, int64_t step, int64_t n, int64_t extent)
{
    const int64_t begin = tn_least(start < 0 ? tn_ceil_div(-start, step) : 0, n);
    const int64_t end = tn_least(tn_ceil_div(extent - start, step), n);
    return (tn_interval){begin, tn_most(begin, end)};
}

// Entry i of a list parameter, or what an empty list means.
static inline int64_t tn_entry(tn_ints list, int32_t i, int64_t otherwise)
{
    return (size_t)i < list.n ? list.v[i] : otherwise;
}

// Product of the extents of the axes begin … end-1.
static inline int64_t tn_span(const tn_value_info *v, int32_t begin, int32_t end)
{
    int64_t n = 1;
    for (int32_t axis = begin; axis < end && axis < v->ndim; axis++) n *= v->dims[axis];
    return n;
}

// A value seen as (outer, n, inner) around one axis.
typedef struct tn_line {
    int64_t outer, n, inner;
} tn_line;

static inline tn_line tn_around(const tn_value_info *v, int32_t axis)
{
    return (tn_line){tn_span(v, 0, axis), v->dims[axis], tn_span(v, axis + 1, v->ndim)};
}

// ------------------------------------------------------------------ convolutions

// The pad of an axis of a Deconvolution with target_shape T follows from the extents: of the
// t = s (narrow - 1) + d (k - 1) + 1 - T elements beyond T, half are cut off in front, rounded up.
static inline int64_t tn_conv_pad(const tn_call *c, int32_t i, const tn_slide *axis)
{
    if (tn_entry(tn_call_ints(c, "target_shape"), i, 0) == 0)
        return tn_entry(tn_call_ints(c, "pad"), i, 0);
    const int64_t reach = axis->stride * (axis->narrow - 1) + axis->dilate * (axis->window - 1) + 1;
    return (reach - axis->wide + 1) / 2;
}

// Axes of a Convolution, a Deconvolution or a gradient of theirs; x: the wide side, y: the narrow.
static inline void tn_conv_axes(const tn_call *c, const tn_value_info *x, const tn_value_info *y,
                                tn_slide axes[TN_SPATIAL])
{
    const tn_ints kernel = tn_call_ints(c, "kernel"), stride = tn_call_ints(c, "stride");
    const tn_ints dilate = tn_call_ints(c, "dilate");
    const int32_t n = x->ndim - 2;
    for (int32_t i = 0; i < TN_SPATIAL; i++) axes[i] = TN_STILL;
    for (int32_t i = 0; i < n; i++) {
        tn_slide *axis = &axes[TN_SPATIAL - n + i];
        axis->wide = x->dims[2 + i];
        axis->narrow = y->dims[2 + i];
        axis->window = kernel.v[i];
        axis->stride = tn_entry(stride, i, 1);
        axis->dilate = tn_entry(dilate, i, 1);
        axis->pad = tn_conv_pad(c, i, axis);
    }
}

// ------------------------------------------------------------------ pooling

// A Pooling or a gradient of its; x: the data (or dx), y: the result (or dy).
typedef struct tn_pool_call {
    tn_slide axis[TN_SPATIAL];
    int64_t planes;                     // batch times channels
    int64_t wide_points, narrow_points; // elements of one plane of the data and of the result
    bool max, mean;                     // neither: the sum
    bool count_pad;                     // means count the padding
} tn_pool_call;

// global_pool: one window over all, whatever kernel, stride and pad say.
static inline tn_pool_call tn_pool_of(const tn_call *c, const tn_value_info *x,
                                      const tn_value_info *y)
{
    const tn_ints kernel = tn_call_ints(c, "kernel"), pad = tn_call_ints(c, "pad");
    const tn_ints stride = tn_call_ints(c, "stride");
    const bool global = tn_call_bool(c, "global_pool", false);
    const int32_t n = x->ndim - 2;
    tn_pool_call p = {.planes = tn_span(x, 0, 2),
                      .wide_points = tn_span(x, 2, x->ndim),
                      .narrow_points = tn_span(y, 2, y->ndim),
                      .max = tn_call_is(c, "pool_type", "max"),
                      .mean = tn_call_is(c, "pool_type", "avg"),
                      .count_pad = tn_call_bool(c, "count_include_pad", true)};
    for (int32_t i = 0; i < TN_SPATIAL; i++) p.axis[i] = TN_STILL;
    for (int32_t i = 0; i < n; i++) {
        tn_slide *axis = &p.axis[TN_SPATIAL - n + i];
        axis->wide = x->dims[2 + i];
        axis->narrow = y->dims[2 + i];
        axis->window = global ? axis->wide : kernel.v[i];
        axis->stride = global ? 1 : tn_entry(stride, i, 1);
        axis->pad = global ? 0 : tn_entry(pad, i, 0);
    }
    return p;
}

// Of window o of an axis: the elements taken, which are those in the data, and in *counted how many
// a mean divides by: those up to the end of the padded data, or those taken.
static inline tn_interval tn_pool_taken(const tn_pool_call *p, const tn_slide *s, int64_t o,
                                        int64_t *counted)
{
    const int64_t start = s->stride * o - s->pad;
    const int64_t padded_end = tn_least(start + s->window, s->wide + s->pad);
    const int64_t begin = tn_most(start, 0), end = tn_least(padded_end, s->wide);
    const tn_interval r = {begin, tn_most(begin, end)};
    *counted = p->count_pad ? padded_end - start : r.end - r.begin;
    return r;
}

// ------------------------------------------------------------------ batch norm

// A BatchNorm or its gradient. Mean and variance are those of the batch if the run has
// TN_RUN_TRAIN, and not global_stats.
typedef struct tn_norm_call {
    tn_line line; // (outer, channels, inner) around the axis
    int64_t n;    // elements of a channel
    double eps, momentum;
    bool fix_gamma, global_stats;
} tn_norm_call;

// False if the data have no such axis.
static inline bool tn_norm_of(const tn_call *c, tn_norm_call *b)
{
    const int32_t axis = tn_axis(tn_call_i64(c, "axis", 1), c->in[0]->ndim);
    if (axis < 0) return false;
    b->line = tn_around(c->in[0], axis);
    b->n = b->line.outer * b->line.inner;
    b->eps = tn_call_f64(c, "eps", 0.001);
    b->momentum = tn_call_f64(c, "momentum", 0.9);
    b->fix_gamma = tn_call_bool(c, "fix_gamma", true);
    b->global_stats = tn_call_bool(c, "use_global_stats", false);
    return true;
}

static inline bool tn_norm_of_batch(const tn_norm_call *b, const tn_run_args *a)
{
    return (a->flags & TN_RUN_TRAIN) && !b->global_stats;
}

#endif
