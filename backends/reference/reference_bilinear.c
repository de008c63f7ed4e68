// backends/reference/reference_bilinear.c: values of planes between their points, and the
// transpose.
#include "reference.h"

typedef enum beyond { BEYOND_ZERO, BEYOND_EDGE, BEYOND_HALF } beyond;

typedef struct bilinear {
    int64_t extent[2];        // of a plane: y, x
    int64_t planes, in_batch; // all planes; b of data (a, b, h, w)
    int64_t positions;        // for each a, without by_plane
    bool by_plane, normalized;
    bool slope[2]; // of y, of x
    beyond beyond;
} bilinear;

static tn_status bilinear_setup(tn_sdk_kernel *k, const tn_value_info *data)
{
    const tn_call *c = k->call;
    bilinear *s = k->state;
    s->planes = tn_span(data, 0, 2);
    s->in_batch = data->dims[1];
    for (int i = 0; i < 2; i++) s->extent[i] = data->dims[2 + i];
    s->positions = tn_span(c->in[1], 1, c->in[1]->ndim);
    s->by_plane = tn_call_bool(c, "by_plane", false);
    s->normalized = tn_call_bool(c, "normalized", false);
    s->slope[0] = tn_call_i64(c, "order_y", 0) == 1;
    s->slope[1] = tn_call_i64(c, "order_x", 0) == 1;
    s->beyond = tn_call_is(c, "beyond", "edge")   ? BEYOND_EDGE
                : tn_call_is(c, "beyond", "half") ? BEYOND_HALF
                                                  : BEYOND_ZERO;
    return TN_OK;
}

// The two points of a position on an axis, -1 where there is none, and what it takes of them.
typedef struct points {
    int64_t at[2];
    double weight[2];
} points;

static points points_of(const bilinear *s, int axis, double p)
{
    const double n = (double)s->extent[axis], scale = s->normalized ? (n - 1) / 2 : 1;
    points r = {{-1, -1}, {0, 0}};
    if (s->normalized) p = (p + 1) * scale;
    const bool inside = s->beyond == BEYOND_ZERO   ? p >= -1 && p < n
                        : s->beyond == BEYOND_EDGE ? p >= 0 && p < n
                                                   : p >= -0.5 && p <= n - 0.5;
    if (!inside) return r; // NaN, too
    if (s->beyond != BEYOND_ZERO) p = p < 0 ? 0 : p > n - 1 ? n - 1 : p;
    const double low = floor(p), f = p - low;
    double high = low + 1;
    if (s->beyond == BEYOND_EDGE && high > n - 1) high = n - 1;
    if (s->beyond == BEYOND_HALF) high = ceil(p);
    if (low >= 0 && low < n) r.at[0] = (int64_t)low;
    if (high >= 0 && high < n) r.at[1] = (int64_t)high;
    r.weight[0] = s->slope[axis] ? -scale : 1 - f;
    r.weight[1] = s->slope[axis] ? scale : f;
    return r;
}

// Where element i of the positions, and plane b of its images, looks: the first element of the
// plane in data, -1 if there is none such, and the points.
typedef struct place {
    int64_t plane;
    points y, x;
} place;

static place place_of(const bilinear *s, ref_array y, ref_array x, int64_t i, int64_t plane)
{
    const int64_t size = s->extent[0] * s->extent[1];
    return (place){plane < 0 || plane >= s->planes ? -1 : plane * size,
                   points_of(s, 0, ref_get_real(y, i)), points_of(s, 1, ref_get_real(x, i))};
}

// Element `corner` of the four points of a place in data, -1 if there is none; its weight.
static int64_t corner_of(const bilinear *s, const place *p, int corner, double *weight)
{
    const int64_t y = p->y.at[corner >> 1], x = p->x.at[corner & 1];
    *weight = p->y.weight[corner >> 1] * p->x.weight[corner & 1];
    return p->plane < 0 || y < 0 || x < 0 ? -1 : p->plane + y * s->extent[1] + x;
}

// The place that result o looks at; planes is the input by_plane, or not used.
static place place_of_result(const bilinear *s, ref_array y, ref_array x, ref_array planes,
                             int64_t o)
{
    if (s->by_plane) return place_of(s, y, x, o, ref_get_int(planes, o));
    const int64_t plane = o / s->positions; // counted through all a and b
    return place_of(s, y, x, plane / s->in_batch * s->positions + o % s->positions, plane);
}

static tn_status forward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return bilinear_setup(k, k->call->in[0]);
}

// Inputs data, y, x[, plane]
static tn_status forward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const bilinear *s = k->state;
    const ref_array data = ref_in(k, a, 0), y = ref_in(k, a, 1), x = ref_in(k, a, 2);
    const ref_array planes = ref_in(k, a, s->by_plane ? 3 : 2), out = ref_out(k, a, 0);
    for (int64_t o = 0; o < out.n; o++) {
        const place p = place_of_result(s, y, x, planes, o);
        double sum = 0, weight;
        for (int corner = 0; corner < 4; corner++) {
            const int64_t at = corner_of(s, &p, corner, &weight);
            if (at >= 0) sum += weight * ref_get_real(data, at);
        }
        ref_put_real(out, o, sum);
    }
    return TN_OK;
}

// Scratch: the sums before they are rounded.
static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    info->scratch_bytes = (uint64_t)k->call->out[0]->size * sizeof(double);
    return bilinear_setup(k, k->call->out[0]);
}

// Inputs dy, y, x, like[, plane]
static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const bilinear *s = k->state;
    const ref_array dy = ref_in(k, a, 0), y = ref_in(k, a, 1), x = ref_in(k, a, 2);
    const ref_array planes = ref_in(k, a, s->by_plane ? 4 : 2), dx = ref_out(k, a, 0);
    double *sums = a->scratch.host;
    for (int64_t i = 0; i < dx.n; i++) sums[i] = 0;
    for (int64_t o = 0; o < dy.n; o++) {
        const place p = place_of_result(s, y, x, planes, o);
        double weight;
        for (int corner = 0; corner < 4; corner++) {
            const int64_t at = corner_of(s, &p, corner, &weight);
            if (at >= 0) sums[at] += weight * ref_get_real(dy, o);
        }
    }
    for (int64_t i = 0; i < dx.n; i++) ref_put_real(dx, i, sums[i]);
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                              \
    {                                                                                       \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(bilinear), \
        .setup = setup_, .run = run_                                                        \
    }

const tn_kernel_row ref_bilinear[] = {
    ROW("_bilinear", forward_setup, forward),
    ROW("_backward_bilinear", backward_setup, backward),
    {0},
};
