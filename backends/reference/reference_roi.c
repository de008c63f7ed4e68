// backends/reference/reference_roi.c: pooling over the bins of regions of images.
//
// Regions may be anything: what is too far away for an image is cut off before it is an index, and
// a region with a NaN, or of an image that is not there, has empty bins only.
#include "reference.h"

typedef struct roi {
    int64_t images, channels;     // of the data
    int64_t outputs;              // channels of the result
    int64_t extent[2], pooled[2]; // y, x
    int64_t group;                // PSROIPooling: channels of an output channel each way
    double scale;
} roi;

static tn_status roi_setup(tn_sdk_kernel *k, const tn_value_info *x, const tn_value_info *y)
{
    roi *s = k->state;
    s->images = x->dims[0];
    s->channels = x->dims[1];
    s->outputs = y->dims[1];
    for (int i = 0; i < 2; i++) {
        s->extent[i] = x->dims[2 + i];
        s->pooled[i] = y->dims[2 + i];
    }
    s->group = tn_call_i64(k->call, "group_size", 0);
    if (s->group == 0) s->group = s->pooled[0];
    s->scale = tn_call_f64(k->call, "spatial_scale", 1);
    return TN_OK;
}

static tn_status forward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return roi_setup(k, k->call->in[0], k->call->out[0]);
}

// Image of region r; -1 if there is none, or a corner is NaN.
static int64_t image_of(const roi *s, ref_array rois, int64_t r)
{
    const double image = ref_get_real(rois, r * 5);
    for (int64_t i = 0; i < 5; i++)
        if (isnan(ref_get_real(rois, r * 5 + i))) return -1;
    if (s->images == 0) return -1; // -0.5 would be image 0
    return image > -1 && image < (double)s->images ? (int64_t)image : -1;
}

typedef struct bin {
    int64_t begin[2], end[2];
} bin;

// Elements of the bin; 0 if it is empty.
static int64_t bin_size(const bin *b)
{
    if (b->end[0] <= b->begin[0] || b->end[1] <= b->begin[1]) return 0;
    return (b->end[0] - b->begin[0]) * (b->end[1] - b->begin[1]);
}

static int64_t limit(int64_t at, int64_t extent)
{
    return at < 0 ? 0 : at > extent ? extent : at;
}

// ------------------------------------------------------------------ ROIPooling

// Corners farther away count as here: sums and products with up to 10⁶ bins stay inside int64_t.
static const int64_t far_away = INT64_C(1) << 40;

// Bin (i, j) of region r of an image, in whole numbers.
static bin max_bin(const roi *s, ref_array rois, int64_t r, const int64_t at[2])
{
    bin b;
    for (int i = 0; i < 2; i++) {
        const double near = round(ref_get_real(rois, r * 5 + 2 - i) * s->scale);
        const double far = round(ref_get_real(rois, r * 5 + 4 - i) * s->scale);
        const int64_t start = tn_saturate(near, -far_away, far_away);
        const int64_t last = tn_saturate(far, -far_away, far_away);
        const int64_t n = last >= start ? last - start + 1 : 1, p = s->pooled[i];
        b.begin[i] = limit(start + at[i] * n / p, s->extent[i]);
        b.end[i] = limit(start + ((at[i] + 1) * n + p - 1) / p, s->extent[i]);
    }
    return b;
}

// Does element i take the place of element best? The first maximum stays; a NaN beats everything.
static bool beats(ref_array x, int64_t i, int64_t best)
{
    if (!ref_is_float(x.dtype)) return ref_get_int(x, i) > ref_get_int(x, best);
    const double v = ref_get_real(x, i), w = ref_get_real(x, best);
    return !isnan(w) && (isnan(v) || v > w);
}

// Index in x of the first maximum in a bin of the plane that begins at `plane`; -1 if it is empty.
static int64_t max_of(const roi *s, ref_array x, int64_t plane, const bin *b)
{
    int64_t best = -1;
    for (int64_t i = b->begin[0]; i < b->end[0]; i++)
        for (int64_t j = b->begin[1]; j < b->end[1]; j++) {
            const int64_t at = plane + i * s->extent[1] + j;
            if (best < 0 || beats(x, at, best)) best = at;
        }
    return best;
}

// Inputs data, rois; outputs the maxima and where they were in their planes
static tn_status roi_pooling(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const roi *s = k->state;
    const ref_array x = ref_in(k, a, 0), rois = ref_in(k, a, 1), y = ref_out(k, a, 0);
    const ref_array maxidx = ref_out(k, a, 1);
    const size_t bytes = tn_dtype_size(x.dtype);
    const int64_t points = s->extent[0] * s->extent[1], places = s->pooled[0] * s->pooled[1];
    for (int64_t o = 0; o < y.n; o++) {
        const int64_t r = o / places / s->channels, c = o / places % s->channels;
        const int64_t at[2] = {o % places / s->pooled[1], o % s->pooled[1]};
        const int64_t image = image_of(s, rois, r), plane = (image * s->channels + c) * points;
        int64_t best = -1;
        if (image >= 0) {
            const bin b = max_bin(s, rois, r, at);
            best = max_of(s, x, plane, &b);
        }
        char *to = (char *)y.p + (size_t)o * bytes;
        if (best >= 0)
            memcpy(to, (const char *)x.p + (size_t)best * bytes, bytes);
        else
            memset(to, 0, bytes); // 0 and 0.0 alike
        ref_put_int(maxidx, o, best < 0 ? -1 : best - plane);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ _contrib_PSROIPooling

// Bin (i, j) of region r of an image. A quotient is taken last, so that edges that are whole
// numbers come out as such.
static bin mean_bin(const roi *s, ref_array rois, int64_t r, const int64_t at[2])
{
    bin b;
    for (int i = 0; i < 2; i++) {
        const double p = (double)s->pooled[i];
        const double start = round(ref_get_real(rois, r * 5 + 2 - i)) * s->scale;
        const double end = (round(ref_get_real(rois, r * 5 + 4 - i)) + 1) * s->scale;
        const double n = end - start > 0.1 ? end - start : 0.1;
        const double low = floor(start + (double)at[i] * n / p);
        const double high = ceil(start + (double)(at[i] + 1) * n / p);
        b.begin[i] = tn_saturate(low, 0, s->extent[i]);
        b.end[i] = tn_saturate(high, 0, s->extent[i]);
    }
    return b;
}

// Where result o comes from: its bin, and the first element of its plane. False: an empty bin.
static bool mean_source(const roi *s, ref_array rois, int64_t o, bin *b, int64_t *plane)
{
    const int64_t places = s->pooled[0] * s->pooled[1];
    const int64_t r = o / places / s->outputs, c = o / places % s->outputs;
    const int64_t at[2] = {o % places / s->pooled[1], o % s->pooled[1]};
    const int64_t image = image_of(s, rois, r);
    if (image < 0) return false;
    const int64_t gi = at[0] * s->group / s->pooled[0], gj = at[1] * s->group / s->pooled[1];
    const int64_t channel = (c * s->group + gi) * s->group + gj;
    *plane = (image * s->channels + channel) * s->extent[0] * s->extent[1];
    *b = mean_bin(s, rois, r, at);
    return bin_size(b) > 0;
}

// Inputs data, rois
static tn_status psroi_pooling(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const roi *s = k->state;
    const ref_array x = ref_in(k, a, 0), rois = ref_in(k, a, 1), y = ref_out(k, a, 0);
    for (int64_t o = 0; o < y.n; o++) {
        bin b;
        int64_t plane;
        double sum = 0;
        if (!mean_source(s, rois, o, &b, &plane)) {
            ref_put_real(y, o, 0);
            continue;
        }
        for (int64_t i = b.begin[0]; i < b.end[0]; i++)
            for (int64_t j = b.begin[1]; j < b.end[1]; j++)
                sum += ref_get_real(x, plane + i * s->extent[1] + j);
        ref_put_real(y, o, sum / (double)bin_size(&b));
    }
    return TN_OK;
}

// Scratch: the sums before they are rounded.
static tn_status psroi_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    info->scratch_bytes = (uint64_t)k->call->out[0]->size * sizeof(double);
    return roi_setup(k, k->call->out[0], k->call->in[0]);
}

// Inputs dy, rois, like
static tn_status psroi_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const roi *s = k->state;
    const ref_array dy = ref_in(k, a, 0), rois = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    double *sums = a->scratch.host;
    for (int64_t i = 0; i < dx.n; i++) sums[i] = 0;
    for (int64_t o = 0; o < dy.n; o++) {
        bin b;
        int64_t plane;
        if (!mean_source(s, rois, o, &b, &plane)) continue;
        const double part = ref_get_real(dy, o) / (double)bin_size(&b);
        for (int64_t i = b.begin[0]; i < b.end[0]; i++)
            for (int64_t j = b.begin[1]; j < b.end[1]; j++)
                sums[plane + i * s->extent[1] + j] += part;
    }
    for (int64_t i = 0; i < dx.n; i++) ref_put_real(dx, i, sums[i]);
    return TN_OK;
}

#define ROW(op_, dtypes_, setup_, run_)                                              \
    {                                                                                \
        .op = op_, .dtypes = dtypes_, .flags = REF_FLAGS, .state_size = sizeof(roi), \
        .setup = setup_, .run = run_                                                 \
    }

const tn_kernel_row ref_roi[] = {
    ROW("ROIPooling", TN_ALL_DTYPES, forward_setup, roi_pooling),
    ROW("_contrib_PSROIPooling", TN_FLOATS, forward_setup, psroi_pooling),
    ROW("_backward_PSROIPooling", TN_FLOATS, psroi_backward_setup, psroi_backward),
    {0},
};
