// backends/opencl/roi.cl: pooling over the bins of regions of images. T0: data, T1: regions.
//
// Regions may be anything: what is too far away for an image is cut off before it is an index, and
// a region with a NaN, or of an image that is not there, has empty bins only.
typedef struct roi {
    int images, channels, outputs; // channels of the data and of the result
    int extent[2], pooled[2];      // y, x
    int group, unused;
} roi;

typedef struct bin {
    int begin[2], end[2];
} bin;

long whole(D v, long lo, long hi)
{
    if (isnan(v)) return 0;
    return v <= (D)lo ? lo : v >= (D)hi ? hi : (long)v;
}

// Image of region r; -1: none.
int image_of(const roi *s, const __global T1 *rois, int r)
{
    const D image = LD1(rois, r * 5);
    for (int i = 0; i < 5; i++)
        if (isnan((D)LD1(rois, r * 5 + i))) return -1;
    if (s->images == 0) return -1; // -0.5 would be image 0
    return image > -1 && image < (D)s->images ? (int)image : -1;
}

int bin_size(const bin *b)
{
    if (b->end[0] <= b->begin[0] || b->end[1] <= b->begin[1]) return 0;
    return (b->end[0] - b->begin[0]) * (b->end[1] - b->begin[1]);
}

#define FAR_AWAY ((long)1 << 40)

// Bin (i, j) of region r, in whole numbers.
bin max_bin(const roi *s, const __global T1 *rois, int r, const int at[2], D scale)
{
    bin b;
    for (int i = 0; i < 2; i++) {
        const D near = round((D)LD1(rois, r * 5 + 2 - i) * scale);
        const D far = round((D)LD1(rois, r * 5 + 4 - i) * scale);
        const long start = whole(near, -FAR_AWAY, FAR_AWAY), last = whole(far, -FAR_AWAY, FAR_AWAY);
        const long n = last >= start ? last - start + 1 : 1, p = s->pooled[i];
        b.begin[i] = (int)clamp(start + at[i] * n / p, 0L, (long)s->extent[i]);
        b.end[i] = (int)clamp(start + ((at[i] + 1) * n + p - 1) / p, 0L, (long)s->extent[i]);
    }
    return b;
}

// The first maximum stays; NaN beats everything.
int beats(A v, A w)
{
#ifdef A_IS_I64
    return v > w;
#else
    return !isnan(w) && (isnan(v) || v > w);
#endif
}

__kernel void roi_max(IN(x), IN(rois), OUT(y), OUT(places), const roi s, const D scale,
                      const int size)
{
    GET(T0, x);
    GET(T1, rois);
    PUT(T0, y);
    PUT(T2, places);
    const int o = (int)get_global_id(0);
    if (o >= size) return;
    const int points = s.extent[0] * s.extent[1], bins = s.pooled[0] * s.pooled[1];
    const int r = o / bins / s.channels, c = o / bins % s.channels;
    const int at[2] = {o % bins / s.pooled[1], o % s.pooled[1]};
    const int image = image_of(&s, rois, r), plane = (image * s.channels + c) * points;
    int best = -1;
    if (image >= 0) {
        const bin b = max_bin(&s, rois, r, at, scale);
        for (int i = b.begin[0]; i < b.end[0]; i++)
            for (int j = b.begin[1]; j < b.end[1]; j++) {
                const int e = plane + i * s.extent[1] + j;
                if (best < 0 || beats(LD0(x, e), LD0(x, best))) best = e;
            }
    }
    y[o] = best < 0 ? (T0)0 : x[best];
    ST2(places, o, best < 0 ? -1 : best - plane);
}

// Bin (i, j) of region r: quotients are taken last, so that whole edges come out as such.
bin mean_bin(const roi *s, const __global T1 *rois, int r, const int at[2], D scale)
{
    bin b;
    for (int i = 0; i < 2; i++) {
        const D p = (D)s->pooled[i];
        const D start = round((D)LD1(rois, r * 5 + 2 - i)) * scale;
        const D end = (round((D)LD1(rois, r * 5 + 4 - i)) + 1) * scale;
        const D n = end - start > (D)DC(0.1) ? end - start : (D)DC(0.1);
        b.begin[i] = (int)whole(floor(start + (D)at[i] * n / p), 0, s->extent[i]);
        b.end[i] = (int)whole(ceil(start + (D)(at[i] + 1) * n / p), 0, s->extent[i]);
    }
    return b;
}

__kernel void roi_mean(IN(x), IN(rois), OUT(y), const roi s, const D scale, const int size)
{
    GET(T0, x);
    GET(T1, rois);
    PUT(T0, y);
    const int o = (int)get_global_id(0);
    if (o >= size) return;
    const int bins = s.pooled[0] * s.pooled[1], r = o / bins / s.outputs, c = o / bins % s.outputs;
    const int at[2] = {o % bins / s.pooled[1], o % s.pooled[1]};
    const int image = image_of(&s, rois, r);
    const int gi = at[0] * s.group / s.pooled[0], gj = at[1] * s.group / s.pooled[1];
    const int channel = (c * s.group + gi) * s.group + gj;
    const int plane = (image * s.channels + channel) * s.extent[0] * s.extent[1];
    A sum = 0;
    int n = 0;
    if (image >= 0) {
        const bin b = mean_bin(&s, rois, r, at, scale);
        n = bin_size(&b);
        for (int i = b.begin[0]; n && i < b.end[0]; i++)
            for (int j = b.begin[1]; j < b.end[1]; j++) sum += LD0(x, plane + i * s.extent[1] + j);
    }
    ST0(y, o, n ? sum / n : (A)0);
}

// One plane of dx: what the bins of its channel give back, in the order of regions. Sums are made
// in `sums`.
__kernel void roi_mean_backward(IN(dy), IN(rois), OUT(sums), OUT(dx), const roi s, const D scale,
                                const int regions, const int planes)
{
    GET(T0, dy);
    GET(T1, rois);
    PUT(A, sums);
    PUT(T0, dx);
    const int plane = (int)get_global_id(0);
    if (plane >= planes) return;
    const int points = s.extent[0] * s.extent[1], bins = s.pooled[0] * s.pooled[1];
    const int channel = plane % s.channels, c = channel / s.group / s.group;
    const int gi = channel / s.group % s.group, gj = channel % s.group;
    __global A *sum = sums + plane * points;
    for (int i = 0; i < points; i++) sum[i] = 0;
    for (int r = 0; c < s.outputs && r < regions; r++) { // data may have more channels
        if (image_of(&s, rois, r) != plane / s.channels) continue;
        for (int place = 0; place < bins; place++) {
            const int at[2] = {place / s.pooled[1], place % s.pooled[1]};
            if (at[0] * s.group / s.pooled[0] != gi || at[1] * s.group / s.pooled[1] != gj)
                continue;
            const bin b = mean_bin(&s, rois, r, at, scale);
            const int n = bin_size(&b);
            if (n == 0) continue;
            const A part = LD0(dy, (r * s.outputs + c) * bins + place) / n;
            for (int i = b.begin[0]; i < b.end[0]; i++)
                for (int j = b.begin[1]; j < b.end[1]; j++) sum[i * s.extent[1] + j] += part;
        }
    }
    for (int i = 0; i < points; i++) ST0(dx, plane * points + i, sum[i]);
}
