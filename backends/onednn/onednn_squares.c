// backends/onednn/onednn_squares.c: the gradient of a maximum over squares of 2 by 2, and of the
// activation in front of it, in one pass.
//
// Each element of the data lies in one square at most, so its gradient is known when its square is
// seen, and the activation's goes with it: of relu, sigmoid and tanh that reads their result t.
//
//     dx = slope(t) · dy  where the square's first maximum is, elsewhere slope(t) · 0
//
// As two primitives that is twice as much memory, and the forward has to note its maxima. Channels
// lie last; a row-major picture, which nobody wishes, goes the same way element by element.
#include <tenon/layers.h>

#include "onednn_loops.h"

enum { VECTOR = 16, CACHE_LINE = 16 }; // channels that are computed together; floats

typedef struct squares {
    int64_t channels, rows, columns;   // of results; rows of all pictures together
    int64_t high, wide;                // of the data
    int64_t step, right, below, image; // to the next channel, column, row, picture of the data
    int64_t small_step, small_right;   // of results
    int64_t rows_each;                 // of results, in a picture
    tn_range_fn fn;
} squares;

typedef struct job {
    const squares *s;
    const float *dy, *x, *t;
    float *dx;
} job;

// ------------------------------------------------------------------ loops

typedef enum slope { RELU, SIGMOID, TANH } slope;

#define INLINE static inline __attribute__((always_inline))

INLINE float od_slope(slope kind, float t)
{
    switch (kind) {
    case RELU: return t > 0 ? 1.0F : 0.0F;
    case SIGMOID: return t * (1 - t);
    default: return (1 - t) * (1 + t);
    }
}

// What is chosen is chosen by masks, all bits or none: compilers make no vectors of branches.
typedef int32_t mask;

INLINE float od_masked(float v, mask m)
{
    mask bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= m;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// Is b, which comes later, the first maximum of the two? A NaN is larger than everything.
INLINE mask od_beats(float b, float a)
{
    return -(mask)((b > a) | ((b != b) & (a == a)));
}

// The larger one, which m says to be b.
INLINE float od_larger(float b, float a, mask m)
{
    mask x, y;
    memcpy(&x, &b, sizeof x);
    memcpy(&y, &a, sizeof y);
    x = (x & m) | (y & ~m);
    memcpy(&b, &x, sizeof b);
    return b;
}

// `n` channels of one square, whose elements are `step` apart, in the results small_step.
INLINE void od_square(slope kind, const squares *s, int64_t n, int64_t step, int64_t small_step,
                      const float *dy, const float *x, const float *t, float *dx)
{
    const int64_t r = s->right, b = s->below, d = s->right + s->below;
    OD_SIMD
    for (int64_t c = 0; c < n; c++) {
        const int64_t i = c * step;
        const float g = dy[c * small_step];
        const mask upper = od_beats(x[i + r], x[i]), lower = od_beats(x[i + d], x[i + b]);
        const float top = od_larger(x[i + r], x[i], upper);
        const mask down = od_beats(od_larger(x[i + d], x[i + b], lower), top);
        dx[i] = od_masked(g, ~down & ~upper) * od_slope(kind, t[i]);
        dx[i + r] = od_masked(g, ~down & upper) * od_slope(kind, t[i + r]);
        dx[i + b] = od_masked(g, down & ~lower) * od_slope(kind, t[i + b]);
        dx[i + d] = od_masked(g, down & lower) * od_slope(kind, t[i + d]);
    }
}

// The same for channels that lie side by side, a vector of them at a time. The last vector begins
// early enough to be whole: what it makes twice is the same both times.
INLINE void od_square_last(slope kind, const squares *s, const float *dy, const float *x,
                           const float *t, float *dx)
{
    const int64_t n = s->channels;
    if (n < VECTOR) od_square(kind, s, n, 1, 1, dy, x, t, dx);
    for (int64_t c = 0; n >= VECTOR && c < n; c += VECTOR) {
        const int64_t i = tn_least(c, n - VECTOR);
        od_square(kind, s, VECTOR, 1, 1, dy + i, x + i, t + i, dx + i);
    }
}

// A column or row that no square has: `n` points, one `to` behind the other.
INLINE void od_outside(slope kind, const squares *s, int64_t n, int64_t to, const float *t,
                       float *dx)
{
    for (int64_t p = 0; p < n; p++)
        for (int64_t c = 0; c < s->channels; c++) {
            const int64_t i = p * to + c * s->step;
            dx[i] = 0 * od_slope(kind, t[i]);
        }
}

// Asks for what the square below this one needs. A row of squares ends after few lines of memory,
// so that the CPU does not foresee where it goes on, and would wait twice as long as it computes.
INLINE void od_fetch_below(const squares *s, const float *x, const float *dx)
{
    for (int row = 2; row < 4; row++)
        for (int64_t i = 0; i < 2 * s->channels; i += CACHE_LINE) {
            __builtin_prefetch(x + row * s->below + i);
            __builtin_prefetch(dx + row * s->below + i, 1);
        }
}

// Rows of results. A picture's last one also takes the row of data that is left over.
INLINE void od_rows(slope kind, const job *j, int64_t begin, int64_t end)
{
    const squares *s = j->s;
    for (int64_t row = begin; row < end; row++) {
        const int64_t image = row / s->rows_each, oy = row % s->rows_each;
        const int64_t at = image * s->image + 2 * oy * s->below;
        const float *x = j->x + at, *t = j->t + at;
        const float *dy = j->dy + image * s->rows_each * s->columns * s->channels +
                          oy * s->columns * s->small_right;
        float *dx = j->dx + at;
        for (int64_t ox = 0; ox < s->columns; ox++) {
            const int64_t i = 2 * ox * s->right;
            if (s->step == 1 && row + 1 < end) od_fetch_below(s, x + i, dx + i);
            if (s->step == 1)
                od_square_last(kind, s, dy + ox * s->small_right, x + i, t + i, dx + i);
            else
                od_square(kind, s, s->channels, s->step, s->small_step, dy + ox * s->small_right,
                          x + i, t + i, dx + i);
        }
        const int64_t done = 2 * s->columns * s->right, last = 2 * s->below;
        if (2 * s->columns < s->wide) od_outside(kind, s, 2, s->below, t + done, dx + done);
        if (oy == s->rows_each - 1 && 2 * s->rows_each < s->high)
            od_outside(kind, s, s->wide, s->right, t + last, dx + last);
    }
}

OD_CLONES static void od_relu_squares(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    (void)worker;
    od_rows(RELU, ctx, begin, end);
}

OD_CLONES static void od_sigmoid_squares(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    (void)worker;
    od_rows(SIGMOID, ctx, begin, end);
}

OD_CLONES static void od_tanh_squares(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    (void)worker;
    od_rows(TANH, ctx, begin, end);
}

// ------------------------------------------------------------------ the call

// Parts: _backward_Pooling_max of dy, x, y;  gradient of an activation from that and t.
enum { DY, X, T = 3 };

static tn_range_fn loop_of(const tn_call *part)
{
    const char *name = part->op->name;
    if (strcmp(name, "_backward_relu") == 0) return od_relu_squares;
    if (strcmp(name, "_backward_sigmoid") == 0) return od_sigmoid_squares;
    return strcmp(name, "_backward_tanh") == 0 ? od_tanh_squares : NULL;
}

// Squares that lie side by side, each with all its elements in the picture.
static bool is_squares(const tn_call *part)
{
    const tn_pool_call p = tn_pool_of(part, part->out[0], part->in[0]);
    bool ok = part->out[0]->ndim == 4;
    for (int i = 1; i < TN_SPATIAL && ok; i++) {
        const tn_slide *s = &p.axis[i];
        ok = s->window == 2 && s->stride == 2 && s->pad == 0 && 2 * s->narrow <= s->wide &&
             s->wide - 2 * s->narrow < 2;
    }
    return ok;
}

static const char *cannot(const tn_call *c)
{
    const tn_call *first = c->parts[0].call, *second = c->parts[c->n_parts - 1].call;
    if (!loop_of(second)) return "it is no gradient of relu, sigmoid or tanh";
    if (c->n_parts == 1) return NULL;
    if (strcmp(first->op->name, "_backward_Pooling_max") != 0 || c->n_parts != 2)
        return "wanted the gradient of a maximum before it";
    if (od_empty(c)) return od_no_elements;
    if (od_may_narrow(first)) return "may be computed in bfloat16";
    if (!is_squares(first)) return "wanted squares of 2 by 2, side by side";
    if (c->parts[1].from[0] != -1 || c->parts[1].from[1] != T || c->n_out != 1)
        return "a part reads something else than the last";
    return tn_same_shape(c->in[T], c->out[0]) ? NULL : "a value that is spread out";
}

// All with channels last, but the result of the pooling, which is not read.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    (void)host;
    for (uint32_t i = 0; i < c->n_in; i++) {
        const dnnl_memory_desc_t last = od_last(c->in[i]);
        if (i == DY || i == X || i == T) in[i] = (tn_layout){NULL, 0, 0};
        if (i == DY || i == X || i == T) od_layout(&last, c->in[i], &in[i]);
    }
    const dnnl_memory_desc_t last = od_last(c->out[0]);
    od_layout(&last, c->out[0], &out[0]);
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_value_info *dx = c->out[0], *dy = c->in[DY];
    const dnnl_memory_desc_t last = od_last(dx);
    const bool is_last = od_is_ours(&dx->layout) && od_fits(&last, dx);
    const int64_t n = dx->dims[1], high = dx->dims[2], wide = dx->dims[3];
    const int64_t small = dy->dims[2] * dy->dims[3];
    (void)info;
    for (int i = 0; i < 3; i++) {
        const tn_value_info *v = c->in[i == 0 ? DY : i == 1 ? X : T];
        const dnnl_memory_desc_t wanted = is_last ? od_last(v) : od_plain(v, 0);
        if (!od_fits(&wanted, v)) return tn_fail(k->host, TN_E_INTERNAL, "values in two layouts");
    }
    *(squares *)k->state = (squares){.channels = n,
                                     .rows = dy->dims[0] * dy->dims[2],
                                     .rows_each = dy->dims[2],
                                     .columns = dy->dims[3],
                                     .high = high,
                                     .wide = wide,
                                     .step = is_last ? 1 : high * wide,
                                     .right = is_last ? n : 1,
                                     .below = is_last ? n * wide : wide,
                                     .image = n * high * wide,
                                     .small_step = is_last ? 1 : small,
                                     .small_right = is_last ? n : 1,
                                     .fn = loop_of(c->parts[1].call)};
    return TN_OK;
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const squares *s = k->state;
    job j = {s, a->in[DY].host, a->in[X].host, a->in[T].host, a->out[0].host};
    od_items(k, a, s->rows, 4 * s->columns * s->channels, s->fn, &j);
    return TN_OK;
}

const tn_kernel_row onednn_squares[] = {
    {.op = "_fused",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS | TN_K_DETERMINISTIC,
     .impl = "squares",
     .state_size = sizeof(squares),
     .cannot = cannot,
     .setup = setup,
     .run = run,
     .layouts = layouts},
    {0},
};
