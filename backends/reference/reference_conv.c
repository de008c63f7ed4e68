// backends/reference/reference_conv.c: Convolution, Deconvolution, and the gradients of both.
//
// All six are one of three sums over a kernel that slides over a wide side x (n, c, spatial...),
// with its positions o on the narrow side y (n, f, spatial...), weight w (f, c / groups,
// kernel...):
//
//     narrow   y[n, f, o] = bias[f] + Σ_{c, j} w[f, c, j] · x[n, group(f) + c, s o + d j - p]
//     wide     x[n, c, i] = bias[c] + Σ_{f, j, o: s o + d j - p = i} w[f, c, j] · y[n, f, o]
//     weight   w[f, c, j] = Σ_{n, o} y[n, f, o] · x[n, group(f) + c, s o + d j - p]
//
// A Convolution goes from wide to narrow, a Deconvolution from narrow to wide.
#include "reference.h"

typedef struct conv {
    tn_slide axis[TN_SPATIAL];
    int64_t batch, groups;
    int64_t wide, narrow;               // channels of both sides, in one group
    int64_t wide_points, narrow_points; // elements of one channel
    int64_t weight_points;
} conv;

// ------------------------------------------------------------------ setup

static tn_status conv_setup(tn_sdk_kernel *k, const tn_value_info *x, const tn_value_info *w,
                            const tn_value_info *y)
{
    conv *c = k->state;
    tn_conv_axes(k->call, x, y, c->axis);
    c->batch = x->dims[0];
    c->groups = tn_call_i64(k->call, "num_group", 1);
    c->wide = x->dims[1] / c->groups;
    c->narrow = y->dims[1] / c->groups;
    c->wide_points = tn_span(x, 2, x->ndim);
    c->narrow_points = tn_span(y, 2, y->ndim);
    c->weight_points = tn_span(w, 2, w->ndim);
    return TN_OK;
}

static tn_status narrow_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of x, w
{
    (void)info;
    return conv_setup(k, k->call->in[0], k->call->in[1], k->call->out[0]);
}

static tn_status wide_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of y, w
{
    (void)info;
    return conv_setup(k, k->call->out[0], k->call->in[1], k->call->in[0]);
}

static tn_status conv_weight_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of y, x
{
    (void)info;
    return conv_setup(k, k->call->in[1], k->call->out[0], k->call->in[0]);
}

static tn_status deconv_weight_setup(tn_sdk_kernel *k, tn_kernel_info *info) // of x, y
{
    (void)info;
    return conv_setup(k, k->call->in[0], k->call->out[0], k->call->in[1]);
}

// ------------------------------------------------------------------ from wide to narrow

// A point of the spatial axes.
typedef struct point {
    int64_t at[TN_SPATIAL];
} point;

// Element i, row-major, of axes whose last two have n1 and n2 elements.
static point point_of(int64_t i, int64_t n1, int64_t n2)
{
    return (point){{i / n2 / n1, i / n2 % n1, i % n2}};
}

// Where a sum begins: index of the first channel of the group in the values, and of the first
// element of the kernel in the weight.
typedef struct origin {
    int64_t value, weight;
} origin;

// Σ_{c, j} w[f, c, j] · x[c, s o + d j - p] at one position o.
static double narrow_sum(const conv *c, ref_array x, ref_array w, origin from, point o)
{
    const tn_slide *s = c->axis;
    int64_t start[TN_SPATIAL];
    tn_interval j[TN_SPATIAL];
    double sum = 0;
    for (int32_t i = 0; i < TN_SPATIAL; i++) {
        start[i] = s[i].stride * o.at[i] - s[i].pad;
        j[i] = tn_inside(start[i], s[i].dilate, s[i].window, s[i].wide);
    }
    for (int64_t channel = 0; channel < c->wide; channel++) {
        for (int64_t j0 = j[0].begin; j0 < j[0].end; j0++) {
            for (int64_t j1 = j[1].begin; j1 < j[1].end; j1++) {
                const int64_t i0 = start[0] + s[0].dilate * j0, i1 = start[1] + s[1].dilate * j1;
                const int64_t xrow = from.value + (i0 * s[1].wide + i1) * s[2].wide + start[2];
                const int64_t wrow = from.weight + (j0 * s[1].window + j1) * s[2].window;
                for (int64_t j2 = j[2].begin; j2 < j[2].end; j2++)
                    sum += ref_get_real(w, wrow + j2) * ref_get_real(x, xrow + s[2].dilate * j2);
            }
        }
        from.value += c->wide_points;
        from.weight += c->weight_points;
    }
    return sum;
}

static void narrow_sums(const tn_sdk_kernel *k, const tn_run_args *a, ref_array bias)
{
    const conv *c = k->state;
    const ref_array x = ref_in(k, a, 0), w = ref_in(k, a, 1), y = ref_out(k, a, 0);
    const int64_t filters = c->groups * c->narrow;
    for (int64_t i = 0; i < y.n; i++) {
        const int64_t n = i / c->narrow_points / filters, f = i / c->narrow_points % filters;
        const int64_t group = n * c->groups + f / c->narrow;
        const origin from = {group * c->wide * c->wide_points, f * c->wide * c->weight_points};
        const point o = point_of(i % c->narrow_points, c->axis[1].narrow, c->axis[2].narrow);
        const double sum = narrow_sum(c, x, w, from, o);
        ref_put_real(y, i, bias.n ? sum + ref_get_real(bias, f) : sum);
    }
}

static tn_status convolution(const tn_sdk_kernel *k, const tn_run_args *a)
{
    narrow_sums(k, a, a->n_in > 2 ? ref_in(k, a, 2) : (ref_array){0});
    return TN_OK;
}

// Inputs dy, weight, data's shape
static tn_status deconvolution_data(const tn_sdk_kernel *k, const tn_run_args *a)
{
    narrow_sums(k, a, (ref_array){0});
    return TN_OK;
}

// ------------------------------------------------------------------ from narrow to wide

// The position o at which element j of the kernel lies on element i of the wide side; -1: none.
static int64_t position(const tn_slide *s, int64_t i, int64_t j)
{
    const int64_t t = i + s->pad - s->dilate * j;
    return t >= 0 && t % s->stride == 0 && t / s->stride < s->narrow ? t / s->stride : -1;
}

// Σ_f w[f, c, j] · y[f, o] for one element j and position o.
static double filter_sum(const conv *c, ref_array y, ref_array w, origin from)
{
    double sum = 0;
    for (int64_t f = 0; f < c->narrow; f++) {
        sum += ref_get_real(w, from.weight) * ref_get_real(y, from.value);
        from.weight += c->wide * c->weight_points;
        from.value += c->narrow_points;
    }
    return sum;
}

// Σ_{f, j, o: s o + d j - p = i} w[f, c, j] · y[f, o] for one element i.
static double wide_sum(const conv *c, ref_array y, ref_array w, origin from, point i)
{
    const tn_slide *s = c->axis;
    double sum = 0;
    for (int64_t j = 0; j < c->weight_points; j++) {
        const point at = point_of(j, s[1].window, s[2].window);
        const int64_t o0 = position(&s[0], i.at[0], at.at[0]);
        const int64_t o1 = position(&s[1], i.at[1], at.at[1]);
        const int64_t o2 = position(&s[2], i.at[2], at.at[2]);
        if (o0 < 0 || o1 < 0 || o2 < 0) continue;
        const int64_t o = (o0 * s[1].narrow + o1) * s[2].narrow + o2;
        sum += filter_sum(c, y, w, (origin){from.value + o, from.weight + j});
    }
    return sum;
}

static void wide_sums(const tn_sdk_kernel *k, const tn_run_args *a, ref_array bias)
{
    const conv *c = k->state;
    const ref_array y = ref_in(k, a, 0), w = ref_in(k, a, 1), x = ref_out(k, a, 0);
    const int64_t channels = c->groups * c->wide;
    for (int64_t i = 0; i < x.n; i++) {
        const int64_t n = i / c->wide_points / channels, channel = i / c->wide_points % channels;
        const int64_t group = channel / c->wide, in_group = channel % c->wide;
        const origin from = {
            (n * c->groups + group) * c->narrow * c->narrow_points,
            (group * c->narrow * c->wide + in_group) * c->weight_points,
        };
        const point at = point_of(i % c->wide_points, c->axis[1].wide, c->axis[2].wide);
        const double sum = wide_sum(c, y, w, from, at);
        ref_put_real(x, i, bias.n ? sum + ref_get_real(bias, channel) : sum);
    }
}

static tn_status deconvolution(const tn_sdk_kernel *k, const tn_run_args *a)
{
    wide_sums(k, a, a->n_in > 2 ? ref_in(k, a, 2) : (ref_array){0});
    return TN_OK;
}

// Inputs dy, weight, data's shape
static tn_status convolution_data(const tn_sdk_kernel *k, const tn_run_args *a)
{
    wide_sums(k, a, (ref_array){0});
    return TN_OK;
}

// ------------------------------------------------------------------ weight

// Σ_o y[f, o] · x[c, s o + d j - p] for one element j of the kernel and one of the batch; x0 and y0
// are the first elements of the two channels.
static double weight_sum(const conv *c, ref_array x, int64_t x0, ref_array y, int64_t y0, point j)
{
    const tn_slide *s = c->axis;
    int64_t start[TN_SPATIAL];
    tn_interval o[TN_SPATIAL];
    double sum = 0;
    for (int32_t i = 0; i < TN_SPATIAL; i++) {
        start[i] = s[i].dilate * j.at[i] - s[i].pad;
        o[i] = tn_inside(start[i], s[i].stride, s[i].narrow, s[i].wide);
    }
    for (int64_t o0 = o[0].begin; o0 < o[0].end; o0++) {
        for (int64_t o1 = o[1].begin; o1 < o[1].end; o1++) {
            const int64_t i0 = start[0] + s[0].stride * o0, i1 = start[1] + s[1].stride * o1;
            const int64_t xrow = x0 + (i0 * s[1].wide + i1) * s[2].wide + start[2];
            const int64_t yrow = y0 + (o0 * s[1].narrow + o1) * s[2].narrow;
            for (int64_t o2 = o[2].begin; o2 < o[2].end; o2++)
                sum += ref_get_real(y, yrow + o2) * ref_get_real(x, xrow + s[2].stride * o2);
        }
    }
    return sum;
}

static void weight_sums(const conv *c, ref_array x, ref_array y, ref_array w)
{
    for (int64_t i = 0; i < w.n; i++) {
        const int64_t channel = i / c->weight_points % c->wide, f = i / c->weight_points / c->wide;
        const int64_t group = f / c->narrow;
        const point j = point_of(i % c->weight_points, c->axis[1].window, c->axis[2].window);
        double sum = 0;
        for (int64_t n = 0; n < c->batch; n++) {
            const int64_t x0 = ((n * c->groups + group) * c->wide + channel) * c->wide_points;
            const int64_t y0 = (n * c->groups * c->narrow + f) * c->narrow_points;
            sum += weight_sum(c, x, x0, y, y0, j);
        }
        ref_put_real(w, i, sum);
    }
}

// Inputs dy, data, weight's shape
static tn_status convolution_weight(const tn_sdk_kernel *k, const tn_run_args *a)
{
    weight_sums(k->state, ref_in(k, a, 1), ref_in(k, a, 0), ref_out(k, a, 0));
    return TN_OK;
}

static tn_status deconvolution_weight(const tn_sdk_kernel *k, const tn_run_args *a)
{
    weight_sums(k->state, ref_in(k, a, 0), ref_in(k, a, 1), ref_out(k, a, 0));
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                          \
    {                                                                                   \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(conv), \
        .setup = setup_, .run = run_                                                    \
    }

const tn_kernel_row ref_conv[] = {
    ROW("Convolution", narrow_setup, convolution),
    ROW("_backward_Convolution_data", wide_setup, convolution_data),
    ROW("_backward_Convolution_weight", conv_weight_setup, convolution_weight),
    ROW("Deconvolution", wide_setup, deconvolution),
    ROW("_backward_Deconvolution_data", narrow_setup, deconvolution_data),
    ROW("_backward_Deconvolution_weight", deconv_weight_setup, deconvolution_weight),
    {0},
};
