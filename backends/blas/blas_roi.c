// backends/blas/blas_roi.c: the largest and the mean values of the bins of regions of images.
//
// Regions are data and may be anything: edges are cut off at the image before they are indices.
// Items are a region's channels; of the gradient, planes of the image, so that each is written by
// one thread however many regions lie on it.
#ifndef T

#include "blas.h"

// Axis 0 goes down, axis 1 to the right.
typedef struct roi {
    int64_t images, channels; // of the data
    int64_t outputs, regions; // channels and rows of the result
    int64_t extent[2];        // of a plane
    int64_t bins[2];          // of a region
    int64_t group;            // PSROIPooling: planes behind an output channel, each way
    double scale;
} roi;

typedef struct span {
    int64_t begin, end; // begin ≥ end: nothing
} span;

// Where a region begins on an axis, and how long it is: whole numbers for maxima.
typedef struct edge {
    double start, length;
} edge;

static int64_t cut(int64_t at, int64_t extent)
{
    return at < 0 ? 0 : at > extent ? extent : at;
}

// Edges beyond this count as it does: sums, and products with numbers of bins, stay exact.
static const int64_t far_away = INT64_C(1) << 40;

// Pixels from the first to the last one, both of them inside.
static edge edge_of_pixels(const roi *s, double first, double last)
{
    const int64_t start = tn_saturate(round(first * s->scale), -far_away, far_away);
    const int64_t end = tn_saturate(round(last * s->scale), -far_away, far_away);
    return (edge){(double)start, end >= start ? (double)(end - start + 1) : 1};
}

// Bin i of an axis, cut as finely as pixels allow: neighbours may share one.
static span bin_of_pixels(const roi *s, int axis, edge e, int64_t i)
{
    const int64_t start = (int64_t)e.start, n = (int64_t)e.length, bins = s->bins[axis];
    return (span){cut(start + i * n / bins, s->extent[axis]),
                  cut(start + ((i + 1) * n + bins - 1) / bins, s->extent[axis])};
}

// Fractions of a pixel, at least a tenth.
static edge edge_of_fractions(const roi *s, double first, double last)
{
    const double start = round(first) * s->scale, end = (round(last) + 1) * s->scale;
    return (edge){start, end - start > 0.1 ? end - start : 0.1};
}

// The quotients come last, so that an edge that is a whole number is found as one.
static span bin_of_fractions(const roi *s, int axis, edge e, int64_t i)
{
    const double bins = (double)s->bins[axis];
    return (span){
        tn_saturate(floor(e.start + (double)i * e.length / bins), 0, s->extent[axis]),
        tn_saturate(ceil(e.start + (double)(i + 1) * e.length / bins), 0, s->extent[axis])};
}

// Region r: (image, x1, y1, x2, y2), of input 1 in any dtype. The number of the image that it lies
// on; -1: none, or the region has a NaN.
static int64_t read_region(const blas_run *run, int64_t r, double region[5])
{
    const roi *s = run->k->state;
    blas_load_f64(run->k->call->in[1]->dtype, blas_in(run->a, 1), r * 5, 5, region);
    for (int i = 0; i < 5; i++)
        if (isnan(region[i])) return -1;
    if (s->images == 0) return -1; // -0.5 would be image 0
    return region[0] > -1 && region[0] < (double)s->images ? (int64_t)region[0] : -1;
}

// The plane of its image that a bin of an output channel is taken from.
static int64_t channel_of(const roi *s, int64_t output, int64_t b)
{
    const int64_t i = b / s->bins[1] * s->group / s->bins[0];
    const int64_t j = b % s->bins[1] * s->group / s->bins[1];
    return (output * s->group + i) * s->group + j;
}

#define THIS_FILE "blas_roi.c"
#include "blas_each_type.h"

static tn_status setup(tn_sdk_kernel *k, const tn_value_info *x, const tn_value_info *y)
{
    roi *s = k->state;
    *s = (roi){.images = x->dims[0],
               .channels = x->dims[1],
               .outputs = y->dims[1],
               .regions = y->dims[0],
               .extent = {x->dims[2], x->dims[3]},
               .bins = {y->dims[2], y->dims[3]},
               .group = tn_call_i64(k->call, "group_size", 0),
               .scale = tn_call_f64(k->call, "spatial_scale", 1)};
    if (s->group == 0) s->group = s->bins[0];
    return TN_OK;
}

static tn_status forward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return setup(k, k->call->in[0], k->call->out[0]);
}

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return setup(k, k->call->out[0], k->call->in[0]);
}

// Inputs data, rois; outputs the maxima and where in its plane each was (int64; -1: nowhere)
static tn_status maxima(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const roi *s = k->state;
    blas_run r = {k, a};
    if (k->call->out[0]->size)
        blas_items(k, a, s->regions * s->outputs, s->extent[0] * s->extent[1], BLAS_CHEAP,
                   k->call->in[0]->dtype == TN_F64 ? maxima_f64 : maxima_f32, &r);
    return TN_OK;
}

// Inputs data, rois
static tn_status means(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const roi *s = k->state;
    blas_run r = {k, a};
    if (k->call->out[0]->size)
        blas_items(k, a, s->regions * s->outputs, s->extent[0] * s->extent[1], BLAS_CHEAP,
                   k->call->in[0]->dtype == TN_F64 ? means_f64 : means_f32, &r);
    return TN_OK;
}

// Inputs dy, rois, like
static tn_status means_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const roi *s = k->state;
    blas_run r = {k, a};
    if (k->call->out[0]->size)
        blas_items(k, a, s->images * s->channels, s->extent[0] * s->extent[1], BLAS_CHEAP,
                   k->call->in[0]->dtype == TN_F64 ? spread_f64 : spread_f32, &r);
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                           \
    {                                                                                    \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(roi), \
        .setup = setup_, .run = run_                                                     \
    }

const tn_kernel_row blas_rois[] = {
    ROW("ROIPooling", forward_setup, maxima),
    ROW("_contrib_PSROIPooling", forward_setup, means),
    ROW("_backward_PSROIPooling", backward_setup, means_backward),
    {0},
};

#else // once per type

// The first largest element of a part of a plane, or its first NaN; -1 if the part is empty.
static int64_t N(largest)(const T *x, int64_t width, span rows, span columns)
{
    int64_t best = -1;
    for (int64_t i = rows.begin; i < rows.end; i++)
        for (int64_t at = i * width + columns.begin; at < i * width + columns.end; at++) {
            if (best >= 0 && (x[at] <= x[best] || isnan(x[best]))) continue;
            best = at;
        }
    return best;
}

static void N(maxima)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const roi *s = run->k->state;
    const int64_t bins = s->bins[0] * s->bins[1], points = s->extent[0] * s->extent[1];
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        double region[5];
        const int64_t image = read_region(run, item / s->outputs, region);
        const T *x = blas_in(run->a, 0);
        T *y = (T *)blas_out(run->a, 0) + item * bins;
        int64_t *where = (int64_t *)blas_out(run->a, 1) + item * bins;
        const edge down = edge_of_pixels(s, region[2], region[4]);
        const edge right = edge_of_pixels(s, region[1], region[3]);
        if (image >= 0) x += (image * s->channels + item % s->outputs) * points;
        for (int64_t b = 0; b < bins; b++) {
            int64_t best = -1;
            if (image >= 0)
                best = N(largest)(x, s->extent[1], bin_of_pixels(s, 0, down, b / s->bins[1]),
                                  bin_of_pixels(s, 1, right, b % s->bins[1]));
            where[b] = best;
            y[b] = best < 0 ? 0 : x[best];
        }
    }
}

static void N(means)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const roi *s = run->k->state;
    const int64_t bins = s->bins[0] * s->bins[1], points = s->extent[0] * s->extent[1];
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        double region[5];
        const int64_t image = read_region(run, item / s->outputs, region);
        T *y = (T *)blas_out(run->a, 0) + item * bins;
        const edge down = edge_of_fractions(s, region[2], region[4]);
        const edge right = edge_of_fractions(s, region[1], region[3]);
        for (int64_t b = 0; b < bins; b++) {
            const span rows = bin_of_fractions(s, 0, down, b / s->bins[1]);
            const span columns = bin_of_fractions(s, 1, right, b % s->bins[1]);
            y[b] = 0;
            if (image < 0 || rows.end <= rows.begin || columns.end <= columns.begin) continue;
            const int64_t channel = channel_of(s, item % s->outputs, b);
            const T *x = (const T *)blas_in(run->a, 0) + (image * s->channels + channel) * points;
            double sum = 0;
            for (int64_t i = rows.begin; i < rows.end; i++)
                for (int64_t j = columns.begin; j < columns.end; j++)
                    sum += (double)x[i * s->extent[1] + j];
            const int64_t n = (rows.end - rows.begin) * (columns.end - columns.begin);
            y[b] = (T)(sum / (double)n);
        }
    }
}

// Adds what the bins of a region that are taken from plane (i, j) of `output` give to it.
static void N(spread_region)(const roi *s, const double region[5], const T *dy,
                             const int64_t group[2], T *dx)
{
    const edge down = edge_of_fractions(s, region[2], region[4]);
    const edge right = edge_of_fractions(s, region[1], region[3]);
    for (int64_t b = 0; b < s->bins[0] * s->bins[1]; b++) {
        if (b / s->bins[1] * s->group / s->bins[0] != group[0]) continue;
        if (b % s->bins[1] * s->group / s->bins[1] != group[1]) continue;
        const span rows = bin_of_fractions(s, 0, down, b / s->bins[1]);
        const span columns = bin_of_fractions(s, 1, right, b % s->bins[1]);
        if (rows.end <= rows.begin || columns.end <= columns.begin) continue;
        const int64_t n = (rows.end - rows.begin) * (columns.end - columns.begin);
        const T part = (T)((double)dy[b] / (double)n);
        for (int64_t i = rows.begin; i < rows.end; i++)
            for (int64_t j = columns.begin; j < columns.end; j++) dx[i * s->extent[1] + j] += part;
    }
}

static void N(spread)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const roi *s = run->k->state;
    const int64_t bins = s->bins[0] * s->bins[1], points = s->extent[0] * s->extent[1];
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t channel = item % s->channels, output = channel / s->group / s->group;
        const int64_t group[2] = {channel / s->group % s->group, channel % s->group};
        T *dx = (T *)blas_out(run->a, 0) + item * points;
        memset(dx, 0, (size_t)points * sizeof *dx);
        for (int64_t r = 0; output < s->outputs && r < s->regions; r++) {
            double region[5];
            const T *dy = (const T *)blas_in(run->a, 0) + (r * s->outputs + output) * bins;
            if (read_region(run, r, region) == item / s->channels)
                N(spread_region)(s, region, dy, group, dx);
        }
    }
}

#endif
