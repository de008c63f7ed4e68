// core/ops/deformable.c: _contrib_DeformableConvolution, _contrib_DeformablePSROIPooling: layers
// that look at places which a network computes.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ _contrib_DeformableConvolution
//
// Convolution (conv.c) over 2 spatial axes, in which element (i, j) of the kernel looks at
//     Y = s oy + d i - p + offset[n, 2 (g k + t), oy, ox],      t = i kw + j, k = kh kw,
//     X = s ox + d j - p + offset[n, 2 (g k + t) + 1, oy, ox]
// where channel c belongs to deformable group g = ⌊c / (C / num_deformable_group)⌋:
//
//     y[n, f, oy, ox] = bias[f] + Σ_{c, i, j} weight[f, c, i, j] · x[n, group(f) + c](Y, X)
//
// x(Y, X) is linear between the four nearest points, 0 outside of 0 ≤ Y < H or 0 ≤ X < W, and
// constant behind the last point of an axis. The slope at a point is the one towards the next.

typedef struct deform_params {
    tni_conv conv; // first, for the rules of Convolution
    int64_t num_deformable_group;
} deform_params;

static tn_status deform_check(const void *params, char *reason, size_t size)
{
    const deform_params *p = params;
    if (p->conv.kernel.n == 2) return tni_conv_check(params, reason, size);
    snprintf(reason, size, "kernel: wanted 2 entries, got %zu", p->conv.kernel.n);
    return TN_E_INVALID;
}

static tn_status deform_shape(const tn_infer *io)
{
    const deform_params *p = io->params;
    const tn_ints k = p->conv.kernel;
    const int64_t offsets =
        tn_extent_times(2 * p->num_deformable_group, tn_extent_times(k.v[0], k.v[1]));
    if (!p->conv.no_bias) TNI_TRY(tni_merge(io, TNI_IN(3), tn_shape_1d(p->conv.num_filter)));
    for (int round = 0; round < 2; round++) {
        TNI_TRY(tni_conv_rule(io, TNI_IN(0), TNI_IN(2), TNI_OUT(0)));
        tn_shape y = tni_shape(io, TNI_OUT(0));
        y.dim[1] = offsets;
        TNI_TRY(tni_merge(io, TNI_IN(1), y));
        y = tni_shape(io, TNI_IN(1));
        y.dim[1] = p->conv.num_filter;
        TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    }
    const int64_t c = tni_shape(io, TNI_IN(0)).dim[1];
    if (c < 0 || c % p->num_deformable_group == 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE,
                         "num_deformable_group %lld does not divide the %lld channels",
                         (long long)p->num_deformable_group, (long long)c);
}

// Numbers start + step ⌊i / repeat⌋, i < n · repeat, all of them `times` times, in some shape.
// Their dtype is that of `like`, or int64.
typedef struct ramp {
    int64_t start, step, n, repeat, times;
    const char *shape;
    tn_sym like;
} ramp;

static tn_sym ramp_of(const tn_builder *b, const ramp *r)
{
    char text[TN_TEXT];
    tn_text(text, "start=0; stop=%lld; repeat=%lld; dtype=int64", (long long)r->n,
            (long long)(r->repeat ? r->repeat : 1));
    tn_sym x = tn_emit(b, "_arange", text, NULL, 0);
    x = tni_call_scalar(b, "_mul_scalar", x, (double)r->step);
    x = tni_call_scalar(b, "_plus_scalar", x, (double)r->start);
    if (r->like) x = tni_call2(b, "_cast_as", x, r->like);
    if (r->times > 1) {
        tn_text(text, "axis=0; size=%lld", (long long)r->times);
        x = tni_call_with(b, "Reshape", "shape=(1,-1)", x);
        x = tni_call_with(b, "broadcast_axis", text, x);
    }
    return tni_call_with(b, "Reshape", r->shape, x);
}

// Positions on spatial axis i as (N groups, 1, k, H', W'), for offset (N, groups, k, 2, H', W').
static tn_sym deform_positions(const tn_builder *b, tn_sym offset, int i)
{
    const tni_conv *p = b->params;
    const ramp kernel = {.start = -tni_conv_entry(p->pad, i, 0),
                         .step = tni_conv_entry(p->dilate, i, 1),
                         .n = p->kernel.v[i],
                         .repeat = i == 0 ? p->kernel.v[1] : 1,
                         .times = i == 0 ? 1 : p->kernel.v[0],
                         .shape = "shape=(1,1,-1,1,1,1)",
                         .like = offset};
    const tn_sym moved = tni_part(b, offset, 3, i);
    const tn_sym place = tni_call_with(b, "_positions", i == 0 ? "axis=4" : "axis=5", moved);
    const tn_sym stepped =
        tni_call_scalar(b, "_mul_scalar", tni_call2(b, "_cast_as", place, offset),
                        (double)tni_conv_entry(p->stride, i, 1));
    const tn_sym fixed = tni_call2(b, "broadcast_add", stepped, ramp_of(b, &kernel));
    const tn_sym at = tni_call2(b, "elemwise_add", moved, fixed);
    return tni_call_with(b, "Reshape", "shape=(-3,1,-1,0,0)", at);
}

// data at the positions of the kernel's elements: (N, C k, H', W').
static tn_sym deform_columns(const tn_builder *b, tn_sym data, tn_sym offset)
{
    const deform_params *p = b->params;
    const long long groups = p->num_deformable_group;
    char text[TN_TEXT];
    tn_text(text, "shape=(0,-4,%lld,-1,0,0)", groups);
    offset = tni_call_with(b, "Reshape", text, offset);
    const tn_sym planes = tni_call_with(b, "Reshape", text, data);
    tn_text(text, "shape=(0,0,-4,%lld,2,0,0)",
            (long long)(p->conv.kernel.v[0] * p->conv.kernel.v[1]));
    offset = tni_call_with(b, "Reshape", text, offset);
    const tn_sym y = deform_positions(b, offset, 0), x = deform_positions(b, offset, 1);
    tn_sym columns = TN_EMIT(b, "_bilinear", "beyond=edge",
                             tni_call_with(b, "Reshape", "shape=(-3,0,0,0)", planes), y, x);
    tn_text(text, "shape=(-4,-1,%lld,0,0,0,0)", groups); // (N, groups, C / groups, k, H', W')
    columns = tni_call_with(b, "Reshape", text, columns);
    columns = tni_call_with(b, "Reshape", "shape=(0,-3,0,0,0)", columns);
    return tni_call_with(b, "Reshape", "shape=(0,-3,0,0)", columns);
}

// The columns go through a Convolution whose kernel is a point.
static tn_status deform_expand(const tn_builder *b)
{
    const deform_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym data = tn_grad_in(b, 0);
    const tn_sym columns = deform_columns(b, tni_wide(b, data), tni_wide(b, tn_grad_in(b, 1)));
    tn_sym in[3] = {tni_call2(b, "_narrow", columns, data)};
    in[1] = tni_call_with(b, "Reshape", "shape=(0,-3,0)", tn_grad_in(b, 2));
    in[1] = tni_call_with(b, "Reshape", "shape=(0,-3)", in[1]);
    in[1] = tni_call_with(b, "Reshape", "shape=(-2,1,1)", in[1]);
    if (!p->conv.no_bias) in[2] = tn_grad_in(b, 3);
    tn_text(text, "kernel=(1,1); num_filter=%lld; num_group=%lld; no_bias=%d",
            (long long)p->conv.num_filter, (long long)p->conv.num_group, p->conv.no_bias);
    b->set_output(b->ctx, 0, tn_emit(b, "Convolution", text, in, p->conv.no_bias ? 2 : 3));
    return TN_OK;
}

// clang-format off
#define DEFORM_PARAMS                                                                              \
    TNI_CONV_LISTS, TNI_CONV_COUNTS,                                                               \
    TN_PARAM(deform_params, num_deformable_group, TN_P_I64, .def = "1", .range = "[1,1000000]",    \
             .doc = "the channels of data are cut into so many groups with offsets of their own"), \
    TN_PARAM(tni_conv, workspace, TN_P_I64, .def = "1024", .range = "[0,8192]",                    \
             .doc = "read from files, without effect"),                                            \
    TN_PARAM(tni_conv, no_bias, TN_P_BOOL, .def = "False", .doc = "leave the bias out"),           \
    TN_PARAM(tni_conv, layout, TN_P_ENUM, .def = "None", .flags = TN_PF_NONE,                      \
             .choices = "NCW|NCHW|NCDHW", .doc = "order of the axes: only NCHW has two spatial "   \
                                                 "axes")
// clang-format on

const tn_op_decl tni_op_deformable_convolution =
    TN_OP(.name = "_contrib_DeformableConvolution", .c_name = "deformable_convolution",
          .doc =
              "Convolution over two spatial axes whose kernel looks at displaced places: for each "
              "deformable group and each element of the kernel, offset has two channels that "
              "move it down and to the right. Data is linear between its points, constant from "
              "the last point of an axis to its extent, and 0 elsewhere and at NaN.",
          .family = "vision",
          .formula = "y[n,f,o] = bias[f] + sum_{c,k} weight[f,c,k] * x[n,c](stride * o + dilate * "
                     "k - pad + offset[n,k,o]), x linear between its points",
          .shape_rule = "(N, C, H, W) (N, 2 num_deformable_group kernel, H', W') weight "
                        "(num_filter, C / num_group, kernel...) bias (num_filter,) -> (N, "
                        "num_filter, H', W'), extents as of Convolution",
          .source = "MXNet 0.11, src/operator/contrib/deformable_convolution-inl.h; "
                    "arXiv:1703.06211",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .doc = "(N, C, H, W)"),
              TN_PORT(.name = "offset",
                      .doc = "(N, 2 num_deformable_group kernel, H', W'): y, x of each element"),
              TN_PORT(.name = "weight", .doc = "(num_filter, C / num_group, kernel)"),
              TN_PORT(.name = "bias", .doc = "(num_filter,)", .when = "!no_bias")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(N, num_filter, H', W')")),
          .params = TN_PARAMS(DEFORM_PARAMS), .params_size = sizeof(deform_params),
          .check = deform_check, .infer_shape = deform_shape, .infer_dtype = tni_dtype_one_float,
          .expand = deform_expand);

// ------------------------------------------------------------------ DeformablePSROIPooling
//
// Regions as in roi.c. On each axis start = round(first corner) · scale - 0.5 and n = max(0.1,
// (round(second) + 1) · scale - 0.5 - start). Bin i of p has s samples, which all regions of its
// class move by trans:
//
//     position of sample u = start + n trans_std t + n (i + u / s) / p,  u < s
//     t = trans[r, 2 class + (0 for x, 1 for y), ⌊i q / p⌋, ⌊j q / p⌋],  q = part_size
//
// A sample takes channel (o g + ⌊i g / p⌋) g + ⌊j g / p⌋, linearly between its four nearest points.
// Positions in -0.5 … H - 0.5 are moved to the nearest in 0 … H - 1, others take nothing and do not
// count. The output is the mean of those that count, 0 if there are none; top_count their number.
// Classes are equal parts of the output channels. At a point the slope is 0, as in MXNet.

typedef struct dpsroi_params {
    double spatial_scale, trans_std;
    int64_t output_dim, group_size, pooled_size, part_size, sample_per_part;
    int32_t no_trans;
} dpsroi_params;

static int64_t parts(const dpsroi_params *p)
{
    return p->part_size ? p->part_size : p->pooled_size;
}

static tn_status dpsroi_trans(const tn_infer *io, int64_t *regions)
{
    const dpsroi_params *p = io->params;
    const tn_shape t = {.ndim = 4, .dim = {*regions, -1, parts(p), parts(p)}};
    TNI_TRY(tni_merge(io, TNI_IN(2), t));
    const int64_t channels = tni_shape(io, TNI_IN(2)).dim[1];
    *regions = tni_shape(io, TNI_IN(2)).dim[0];
    if (channels < 0) return TN_OK;
    if (channels > 0 && channels % 2 == 0 && p->output_dim % (channels / 2) == 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE,
                         "trans: wanted two channels for each class, and a number of classes that "
                         "divides output_dim %lld, got %lld channels",
                         (long long)p->output_dim, (long long)channels);
}

// data, trans and the outputs are of one floating dtype, rois of any.
static tn_status dpsroi_dtype(const tn_infer *io)
{
    TNI_TRY(tni_dtype_label(io));
    const tn_dtype d = tni_dtype(io, TNI_IN(0));
    if (d == TN_DTYPE_NONE || d == TN_F16 || d == TN_BF16 || d == TN_F32 || d == TN_F64)
        return TN_OK;
    return tn_infer_fail(io, TN_E_DTYPE, "wanted a floating dtype, got %s", tn_dtype_name(d));
}

static tn_status dpsroi_shape(const tn_infer *io)
{
    const dpsroi_params *p = io->params;
    const int64_t least =
        tn_extent_times(p->output_dim, tn_extent_times(p->group_size, p->group_size));
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(4)));
    const int64_t c = tni_shape(io, TNI_IN(0)).dim[1];
    if (c >= 0 && c < least)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "data: wanted at least output_dim group_size^2 = %lld channels, got "
                             "%lld",
                             (long long)least, (long long)c);
    for (int round = 0; round < 2; round++) {
        TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_2d(-1, 5)));
        int64_t r = tni_shape(io, TNI_IN(1)).dim[0];
        if (!p->no_trans) TNI_TRY(dpsroi_trans(io, &r));
        const tn_shape y = {.ndim = 4, .dim = {r, p->output_dim, p->pooled_size, p->pooled_size}};
        TNI_TRY(tni_merge(io, TNI_OUT(0), y));
        TNI_TRY(tni_link(io, TNI_OUT(0), TNI_OUT(1)));
        TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_2d(tni_shape(io, TNI_OUT(0)).dim[0], 5)));
    }
    return TN_OK;
}

// Values below have the axes (region, output channel, bin y, bin x, sample y, sample x), most of
// them with extent 1.
typedef struct bins {
    const dpsroi_params *p;
    tn_sym data, rois;
    tn_sym trans;  // (R, 2 classes, q, q), or 0
    tn_sym inside; // 1 for samples that count, else 0
} bins;

// Column i of rois.
static tn_sym column(const tn_builder *b, const bins *d, int64_t i)
{
    return tni_call_with(b, "Reshape", "shape=(-2,1,1,1,1)", tni_part(b, d->rois, 1, i));
}

// What trans adds on an axis to each bin of each output channel: (R, o, p, p, 1, 1).
static tn_sym moved(const tn_builder *b, const bins *d, int axis)
{
    const int64_t p = d->p->pooled_size, q = parts(d->p), o = d->p->output_dim;
    const tn_sym by_class = tni_call_with(b, "Reshape", "shape=(0,-4,-1,2,0,0)", d->trans);
    tn_sym t = tni_part(b, by_class, 2, 1 - axis);
    const ramp outputs = {.step = 1, .n = o, .shape = "shape=(1,-1,1,1,1)"};
    const tn_sym scaled =
        tni_call2(b, "broadcast_mul", ramp_of(b, &outputs), tni_extent(b, d->trans, 1));
    // The class of output channel i: ⌊i · 2 classes / 2 o⌋, as integers divide so
    const tn_sym class_of = tni_call_scalar(b, "_div_scalar", scaled, 2 * (double)o);
    t = TN_EMIT(b, "_take_along", "axis=1", t, class_of);
    for (int i = 3; i < 5 && p != q; i++) {
        const ramp r = {
            .step = q, .n = p, .shape = i == 3 ? "shape=(1,1,1,-1,1)" : "shape=(1,1,1,1,-1)"};
        const tn_sym part = tni_call_scalar(b, "_div_scalar", ramp_of(b, &r), (double)p);
        t = TN_EMIT(b, "_take_along", i == 3 ? "axis=3" : "axis=4", t, part);
    }
    t = tni_call_with(b, "Reshape", "shape=(0,-3,0,0)", t); // (R, o, p, p)
    t = tni_call_with(b, "Reshape", "shape=(-2,1,1)", t);
    return tni_call_scalar(b, "_mul_scalar", t, d->p->trans_std);
}

// round(corner) · scale + add for column i.
static tn_sym edge(const tn_builder *b, const bins *d, int64_t i, double add)
{
    const tn_sym corner = tni_call(b, "round", column(b, d, i));
    const tn_sym scaled = tni_call_scalar(b, "_mul_scalar", corner, d->p->spatial_scale);
    return tni_call_scalar(b, "_plus_scalar", scaled, add);
}

// Positions of the samples on an axis, 0 for y. Leaves in d->inside which of them are near data.
static tn_sym samples(const tn_builder *b, bins *d, int axis)
{
    const dpsroi_params *p = d->p;
    const tn_sym start = edge(b, d, axis == 0 ? 2 : 1, -0.5);
    const tn_sym end = edge(b, d, axis == 0 ? 4 : 3, p->spatial_scale - 0.5);
    const tn_sym n =
        tni_call_scalar(b, "_maximum_scalar", tni_call2(b, "elemwise_sub", end, start), 0.1);
    const ramp bin = {.step = p->sample_per_part,
                      .n = p->pooled_size,
                      .shape = axis == 0 ? "shape=(1,1,-1,1,1,1)" : "shape=(1,1,1,-1,1,1)",
                      .like = d->data};
    const ramp sample = {.step = 1,
                         .n = p->sample_per_part,
                         .shape = axis == 0 ? "shape=(1,1,1,1,-1,1)" : "shape=(1,1,1,1,1,-1)",
                         .like = d->data};
    const tn_sym counted = tni_call2(b, "broadcast_add", ramp_of(b, &bin), ramp_of(b, &sample));
    tn_sym part = tni_call_scalar(b, "_div_scalar", counted,
                                  (double)p->pooled_size * (double)p->sample_per_part);
    if (d->trans) part = tni_call2(b, "broadcast_add", part, moved(b, d, axis));
    const tn_sym at = tni_call2(b, "broadcast_add", start, tni_call2(b, "broadcast_mul", n, part));
    const tn_sym extent = tni_call2(b, "_cast_as", tni_extent(b, d->data, 2 + axis), d->data);
    const tn_sym last = tni_call_scalar(b, "_minus_scalar", extent, 0.5);
    const tn_sym inside =
        tni_call2(b, "_mul", tni_call_scalar(b, "_greater_equal_scalar", at, -0.5),
                  tni_call2(b, "broadcast_lesser_equal", at, last));
    d->inside = tni_call2(b, "broadcast_mul", d->inside, inside);
    return at;
}

// Is there an image b? -1 < b < B, as its whole part counts.
static tn_sym image_exists(const tn_builder *b, const bins *d)
{
    const tn_sym image = column(b, d, 0);
    const tn_sym images = tni_call2(b, "_cast_as", tni_extent(b, d->data, 0), d->data);
    return tni_call2(b, "_mul", tni_call_scalar(b, "_greater_scalar", image, -1),
                     tni_call2(b, "broadcast_lesser", image, images));
}

// Plane of each bin, counted through all images, as int64; -1 where there is no image.
static tn_sym plane_of_bins(const tn_builder *b, const bins *d)
{
    const int64_t p = d->p->pooled_size, g = d->p->group_size;
    const ramp rows = {.step = g, .n = p, .shape = "shape=(1,1,-1,1,1,1)"};
    const ramp columns = {.step = g, .n = p, .shape = "shape=(1,1,1,-1,1,1)"};
    const ramp outputs = {.step = g, .n = d->p->output_dim, .shape = "shape=(1,-1,1,1,1,1)"};
    const tn_sym i = tni_call_scalar(b, "_div_scalar", ramp_of(b, &rows), (double)p);
    const tn_sym j = tni_call_scalar(b, "_div_scalar", ramp_of(b, &columns), (double)p);
    const tn_sym row = tni_call2(b, "broadcast_add", ramp_of(b, &outputs), i);
    const tn_sym channel =
        tni_call2(b, "broadcast_add", tni_call_scalar(b, "_mul_scalar", row, (double)g), j);
    const tn_sym exists = tni_call_with(b, "Cast", "dtype=int64", image_exists(b, d));
    const tn_sym image =
        tni_call2(b, "_mul", exists, tni_call_with(b, "Cast", "dtype=int64", column(b, d, 0)));
    const tn_sym first = tni_call2(b, "broadcast_mul", image, tni_extent(b, d->data, 1));
    const tn_sym plane = tni_call2(b, "broadcast_add", first, channel);
    // (plane + 1) exists - 1
    const tn_sym from_1 = tni_call_scalar(b, "_plus_scalar", plane, 1);
    return tni_call_scalar(b, "_minus_scalar", tni_call2(b, "broadcast_mul", from_1, exists), 1);
}

static tn_status dpsroi_expand(const tn_builder *b)
{
    const dpsroi_params *p = b->params;
    bins d = {.p = p, .data = tni_wide(b, tn_grad_in(b, 0))};
    d.rois = tni_call2(b, "_cast_as", tn_grad_in(b, 1), d.data);
    if (!p->no_trans) d.trans = tni_wide(b, tn_grad_in(b, 2));
    d.inside = image_exists(b, &d);
    const tn_sym y = samples(b, &d, 0), x = samples(b, &d, 1), plane = plane_of_bins(b, &d);
    // inside has the axes of both positions, plane those of the channels: all of one shape
    const tn_sym zeros =
        tni_call_with(b, "Cast", "dtype=int64", tni_call(b, "zeros_like", d.inside));
    const tn_sym planes = tni_call2(b, "broadcast_add", plane, zeros);
    const tn_sym all_y = tni_call2(b, "broadcast_like", y, planes);
    const tn_sym all_x = tni_call2(b, "broadcast_like", x, planes);
    const tn_sym values =
        TN_EMIT(b, "_bilinear", "beyond=half; by_plane=1", d.data, all_y, all_x, planes);
    const tn_sym sum = tni_call_with(b, "sum", "axis=(4,5)", values);
    const tn_sym count =
        tni_call_with(b, "sum", "axis=(4,5)", tni_call2(b, "broadcast_like", d.inside, planes));
    const tn_sym least = tni_call_scalar(b, "_maximum_scalar", count, 1);
    tni_set_narrow(b, 0, tni_call2(b, "elemwise_div", sum, least));
    tni_set_narrow(b, 1, count);
    return TN_OK;
}

// clang-format off
#define DPSROI_PARAMS                                                                              \
    TN_PARAM(dpsroi_params, spatial_scale, TN_P_F64, .range = "[0,1]",                             \
             .doc = "points of data for one unit of rois"),                                        \
    TN_PARAM(dpsroi_params, output_dim, TN_P_I64, .range = "[1,1000000]",                          \
             .doc = "channels of the output"),                                                     \
    TN_PARAM(dpsroi_params, group_size, TN_P_I64, .range = "[1,1000000]",                          \
             .doc = "each output channel has so many channels of data each way"),                  \
    TN_PARAM(dpsroi_params, pooled_size, TN_P_I64, .range = "[1,1000000]",                         \
             .doc = "bins of a region each way"),                                                  \
    TN_PARAM(dpsroi_params, part_size, TN_P_I64, .def = "0", .range = "[0,1000000]",               \
             .doc = "parts of a region each way that are moved; 0: pooled_size"),                  \
    TN_PARAM(dpsroi_params, sample_per_part, TN_P_I64, .def = "1", .range = "[1,1000000]",         \
             .doc = "samples of a bin each way"),                                                  \
    TN_PARAM(dpsroi_params, trans_std, TN_P_F64, .def = "0.0", .range = "[0,1]",                   \
             .doc = "part of a region's size that a trans of 1 moves by"),                         \
    TN_PARAM(dpsroi_params, no_trans, TN_P_BOOL, .def = "False", .doc = "move nothing")
// clang-format on

const tn_op_decl tni_op_deformable_psroi_pooling =
    TN_OP(.name = "_contrib_DeformablePSROIPooling", .c_name = "deformable_psroi_pooling",
          .doc = "Means of samples in the bins of regions, each of a channel of its own as in "
                 "_contrib_PSROIPooling. trans moves the bins by parts of the region's size: "
                 "channel 2 k moves those of class k to the right, 2 k + 1 down. Samples outside "
                 "of data do not count. Regions of images that do not exist give zeros. rois get "
                 "no gradient.",
          .family = "vision",
          .formula = "y[r,o,i,j] = mean of the samples in bin (i, j), moved by trans * trans_std "
                     "of the region's size, of data[b,(o g + floor(i g / p)) g + floor(j g / p)], "
                     "linear between its points",
          .shape_rule = "(B, output_dim group_size^2, H, W) (R, 5) (R, 2 classes, part_size, "
                        "part_size) -> (R, output_dim, pooled_size, pooled_size)",
          .source = "MXNet 0.11, src/operator/contrib/deformable_psroi_pooling.cu; "
                    "arXiv:1703.06211",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .doc = "(B, output_dim group_size^2, H, W)"),
              TN_PORT(.name = "rois", .flags = TN_PORT_NO_GRAD,
                      .doc = "(R, 5): image, x1, y1, x2, y2 of each region"),
              TN_PORT(.name = "trans", .when = "!no_trans",
                      .doc = "(R, 2 classes, part_size, part_size): x and y of each class")),
          .outputs = TN_PORTS(
              TN_PORT(.name = "output", .doc = "(R, output_dim, pooled_size, pooled_size)"),
              TN_PORT(.name = "top_count", .flags = TN_PORT_HIDDEN,
                      .doc = "number of samples that count")),
          .params = TN_PARAMS(DPSROI_PARAMS), .params_size = sizeof(dpsroi_params),
          .infer_shape = dpsroi_shape, .infer_dtype = dpsroi_dtype, .expand = dpsroi_expand);
