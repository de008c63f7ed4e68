// tenon/layers.h: what calls of layers mean, in numbers: the axes of convolutions and poolings, the
// windows of poolings, the channels of batch norms, the classes of SoftmaxOutput, the sizes and
// parameters of RNN. For backends that write their own loops.
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

static inline bool tn_same_shape(const tn_value_info *a, const tn_value_info *b)
{
    if (a->ndim != b->ndim) return false;
    for (int32_t i = 0; i < a->ndim; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
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

// ------------------------------------------------------------------ SoftmaxOutput

// How a SoftmaxOutput, or its gradient, looks at its data: as (outer, n, inner), with n classes.
// There is a label for each of the outer · inner places.
static inline tn_line tn_softmax_output_line(const tn_call *c)
{
    const tn_value_info *x = c->in[0];
    if (tn_call_bool(c, "multi_output", false) && x->ndim > 1) return tn_around(x, 1);
    if (tn_call_bool(c, "preserve_shape", false) && x->ndim > 0) return tn_around(x, x->ndim - 1);
    return (tn_line){tn_span(x, 0, 1), tn_span(x, 1, x->ndim), 1};
}

// The gradient of SoftmaxOutput: of p (its result), label and, with_head, a head gradient it makes
//
//     dx = scale (p − label) · head            soft
//     dx = scale (p − 1[j = label]) · head     otherwise; a label outside 0 … n-1 is no class
//
// where j is an element's class, and dx = 0 at places with the label `ignored`, if use_ignore.
typedef struct tn_softmax_loss {
    tn_line line;
    bool soft;       // labels are probabilities, of p's shape
    bool use_ignore; // the gradient of label `ignored` is 0
    bool valid;      // scale is still to be divided by the labels that are not `ignored`, or by 1
    bool with_head;
    int64_t ignored; // a label is cut off to a whole number before it is compared
    double scale;
} tn_softmax_loss;

// False: p has more places than there are labels.
static inline bool tn_softmax_loss_of(const tn_call *c, tn_softmax_loss *l)
{
    const tn_value_info *p = c->in[0], *label = c->in[1];
    const tn_line line = tn_softmax_output_line(c);
    const int64_t places = line.outer * line.inner;
    const bool multi = tn_call_bool(c, "multi_output", false);
    l->line = line;
    l->soft = tn_same_shape(p, label);
    l->use_ignore = tn_call_bool(c, "use_ignore", false) && !l->soft;
    l->valid = tn_call_is(c, "normalization", "valid") && !l->soft;
    l->with_head = c->n_in > 2 && tn_call_bool(c, "out_grad", false);
    l->ignored = tn_saturate(tn_call_f64(c, "ignore_label", -1), INT64_MIN, INT64_MAX);
    l->scale = tn_call_f64(c, "grad_scale", 1);
    if (!l->soft && tn_call_is(c, "normalization", "batch"))
        l->scale /= (double)(multi ? places : label->size);
    else if (!l->soft && !l->valid)
        l->scale /= (double)line.inner; // places of a sample: 1 without multi_output
    return p->size == 0 || l->soft || label->size >= places;
}

// ------------------------------------------------------------------ RNN

typedef enum tn_rnn_cell { TN_CELL_RELU, TN_CELL_TANH, TN_CELL_LSTM, TN_CELL_GRU } tn_rnn_cell;

// An RNN or its gradient. core/ops/rnn.c has the formulas; numbers of elements, not bytes.
//
//     inputs    data (t, n, in), parameters (length), state (layers d, n, h), cell of an LSTM;
//               of the gradient data, parameters, state, dy, dstate, of an LSTM cell and dcell, and
//               the mask, if masked
//     outputs   y (t, n, d h), state, cell of an LSTM, mask (layers - 1, t, n, d h), or (0);
//               of the gradient those of data, parameters, state, cell of an LSTM
typedef struct tn_rnn_call {
    int64_t t, n, in;     // steps, sequences, features of the data
    int64_t h, layers, d; // units, layers, directions: 1 or 2
    int64_t g;            // gates: 1, of an LSTM 4 (i f g o), of a GRU 3 (r z n)
    int64_t length;       // of the parameters
    tn_rnn_cell cell;
    bool backward; // it is the gradient
    bool masked;   // what a layer hands on to the next one is multiplied by a mask of dropout
    double p;      // share of numbers that are dropped there
} tn_rnn_call;

static inline tn_rnn_call tn_rnn_of(const tn_call *c)
{
    const int64_t *data = c->in[0]->dims;
    tn_rnn_call r = {.t = data[0],
                     .n = data[1],
                     .in = data[2],
                     .h = tn_call_i64(c, "state_size", 1),
                     .layers = tn_call_i64(c, "num_layers", 1),
                     .d = tn_call_bool(c, "bidirectional", false) ? 2 : 1,
                     .length = c->in[1]->size,
                     .cell = tn_call_is(c, "mode", "lstm")       ? TN_CELL_LSTM
                             : tn_call_is(c, "mode", "gru")      ? TN_CELL_GRU
                             : tn_call_is(c, "mode", "rnn_tanh") ? TN_CELL_TANH
                                                                 : TN_CELL_RELU,
                     .backward = strcmp(c->op->name, "_backward_RNN") == 0,
                     .p = tn_call_f64(c, "p", 0)};
    r.g = r.cell == TN_CELL_LSTM ? 4 : r.cell == TN_CELL_GRU ? 3 : 1;
    r.masked = r.backward ? tn_call_bool(c, "dropout", false) : r.p > 0 && r.layers > 1;
    return r;
}

// Direction d of layer l: the width of its input, and where its pieces of the parameters begin:
// i2h (g h, in), h2h (g h, h), i2h_bias (g h), h2h_bias (g h); where those of its states and cells
// begin, (n, h).
typedef struct tn_rnn_lane {
    int64_t l, d, in;
    int64_t i2h, h2h, i2h_bias, h2h_bias;
    int64_t state;
} tn_rnn_lane;

static inline tn_rnn_lane tn_rnn_lane_of(const tn_rnn_call *r, int64_t l, int64_t d)
{
    const int64_t rows = r->g * r->h, width = r->d * r->h;
    tn_rnn_lane a = {.l = l, .d = d, .in = l ? width : r->in};
    if (l) a.i2h = rows * r->d * (r->in + r->h + (l - 1) * (width + r->h));
    a.i2h += d * rows * (a.in + r->h);
    a.h2h = a.i2h + rows * a.in;
    a.i2h_bias = r->length - 2 * rows * (r->layers * r->d - (l * r->d + d));
    a.h2h_bias = a.i2h_bias + rows;
    a.state = (l * r->d + d) * r->n * r->h;
    return a;
}

// The step of the sequence that direction d comes by as its i-th.
static inline int64_t tn_rnn_step(const tn_rnn_call *r, int64_t d, int64_t i)
{
    return d ? r->t - 1 - i : i;
}

#endif
