// core/ops/roi.c: ROIPooling, _contrib_PSROIPooling: pooling over the bins of regions.
//
// A region is a row (b, x1, y1, x2, y2): image b, whole part taken, and its corners. Of an image
// that is not there, or with a NaN, it is empty: it gives zeros, and gets no gradient.
#include "core/ops/ops.h"

typedef struct roi_params {
    tn_ints pooled_size;
    double spatial_scale;
} roi_params;

// ------------------------------------------------------------------ ROIPooling
//
// With start = round(first corner · scale) and n = max(1, round(second · scale) - start + 1) on
// each axis, bin i of p takes start + ⌊i n / p⌋ … start + ⌈(i + 1) n / p⌉ - 1, as far as these are
// in the data. Halves are rounded away from zero.
//
//     output[r, c, i, j] = max of data[b, c] over bin (i, j), 0 if it is empty
//     maxidx[r, c, i, j] = y W + x of the first maximum, -1 if it is empty

// data (B, C, H, W), rois (R, 5), pooled (R, C, ph, pw)
static tn_status roi_rule(const tn_infer *io, tni_slot data, tni_slot rois, tni_slot pooled)
{
    TNI_TRY(tni_merge(io, data, tn_shape_rank(4)));
    TNI_TRY(tni_merge(io, rois, tn_shape_2d(-1, 5)));
    TNI_TRY(tni_merge(io, pooled, tn_shape_rank(4)));
    tn_shape x = tni_shape(io, data), y = tni_shape(io, pooled);
    y.dim[0] = tni_shape(io, rois).dim[0];
    y.dim[1] = x.dim[1];
    TNI_TRY(tni_merge(io, pooled, y));
    y = tni_shape(io, pooled);
    x.dim[1] = y.dim[1];
    TNI_TRY(tni_merge(io, data, x));
    return tni_merge(io, rois, tn_shape_2d(y.dim[0], 5));
}

static tn_status roi_shape(const tn_infer *io)
{
    const roi_params *p = io->params;
    const tn_shape y = {.ndim = 4, .dim = {-1, -1, p->pooled_size.v[0], p->pooled_size.v[1]}};
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    TNI_TRY(tni_link(io, TNI_OUT(0), TNI_OUT(1)));
    TNI_TRY(roi_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0)));
    return tni_link(io, TNI_OUT(0), TNI_OUT(1));
}

// rois are of any dtype; without a word on them they are as the data.
static tn_status roi_dtype(const tn_infer *io)
{
    TNI_TRY(tni_merge_dtype(io, TNI_OUT(1), TN_I64));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    if (tni_dtype(io, TNI_IN(1)) != TN_DTYPE_NONE) return TN_OK;
    return tni_merge_dtype(io, TNI_IN(1), tni_dtype(io, TNI_IN(0)));
}

static tn_status roi_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_ROIPooling", NULL, dy, tn_grad_in(b, 1),
                            tn_grad_out(b, 1), tn_grad_in(b, 0)));
    return TN_OK;
}

#define PORT_ROIS                                     \
    TN_PORT(.name = "rois", .flags = TN_PORT_NO_GRAD, \
            .doc = "(R, 5): image, x1, y1, x2, y2 of each region")

const tn_op_decl tni_op_roi_pooling =
    TN_OP(.name = "ROIPooling", .c_name = "roi_pooling",
          .doc = "Maxima over the bins of regions. The corners of a region are multiplied by "
                 "spatial_scale and rounded; both belong to it. It is cut into pooled_size bins, "
                 "which overlap where the size is no multiple. A bin outside of data is 0, and so "
                 "is a region with a NaN or of an image that does not exist. rois get no "
                 "gradient.",
          .family = "vision",
          .formula =
              "y[r,c,i,j] = max of data[b,c] over bin (i, j): of n points from start, bin i of p "
              "has floor(i n / p) to ceil((i + 1) n / p) - 1;  ddata = dy at the first maximum",
          .shape_rule = "(B, C, H, W) (R, 5) -> (R, C, pooled_size...)",
          .source = "MXNet 0.11, src/operator/roi_pooling.cc; arXiv:1504.08083",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(B, C, H, W)"), PORT_ROIS),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(R, C, pooled_size)"),
                              TN_PORT(.name = "maxidx", .flags = TN_PORT_HIDDEN,
                                      .doc = "int64: y W + x of the maximum, -1 for none")),
          .params = TN_PARAMS(TN_PARAM(roi_params, pooled_size, TN_P_I64S, .range = "[1,1000000]",
                                       .min_len = 2, .max_len = 2,
                                       .doc = "bins of a region: height and width"),
                              TN_PARAM(roi_params, spatial_scale, TN_P_F64, .range = "[0,1]",
                                       .doc = "points of data for one unit of rois")),
          .params_size = sizeof(roi_params), .infer_shape = roi_shape, .infer_dtype = roi_dtype,
          .gradient = roi_gradient);

static tn_status roi_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(3), TNI_OUT(0)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(2)));
    TNI_TRY(roi_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(2)));
    return tni_link(io, TNI_IN(3), TNI_OUT(0));
}

static tn_status roi_backward_dtype(const tn_infer *io)
{
    if (tni_dtype(io, TNI_IN(2)) == TN_DTYPE_NONE) TNI_TRY(tni_merge_dtype(io, TNI_IN(2), TN_I64));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(3), TNI_OUT(0)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    if (tni_dtype(io, TNI_IN(1)) != TN_DTYPE_NONE) return TN_OK;
    return tni_merge_dtype(io, TNI_IN(1), tni_dtype(io, TNI_OUT(0)));
}

// dx is zeros, with each dy added at ((b C + c) H W + maxidx) of the list of all elements.
static tn_status roi_backward_expand(const tn_builder *b)
{
    const tn_sym dy = tn_grad_in(b, 0), like = tn_grad_in(b, 3);
    const tn_sym maxidx = tni_call_with(b, "Cast", "dtype=int64", tn_grad_in(b, 2));
    const char *const list = "shape=(-1,)";
    const tn_sym image =
        tni_call_with(b, "Cast", "dtype=int64", tni_part(b, tn_grad_in(b, 1), 1, 0));
    const tn_sym first = tni_call2(b, "broadcast_mul", image, tni_extent(b, like, 1));
    const tn_sym plane =
        tni_call2(b, "broadcast_add", tni_call_with(b, "_positions", "axis=1", maxidx),
                  tni_call_with(b, "Reshape", "shape=(-2,1,1)", first));
    const tn_sym points = tni_call2(b, "_mul", tni_extent(b, like, 2), tni_extent(b, like, 3));
    const tn_sym base = tni_call2(b, "broadcast_mul", plane, points);
    const tn_sym index = tni_call2(b, "elemwise_add", base, maxidx);
    const tn_sym counts = tni_call_scalar(b, "_greater_equal_scalar", maxidx, 0);
    const tn_sym kept = TN_EMIT(b, "where", NULL, counts, dy, tni_call(b, "zeros_like", dy));
    const tn_sym dx =
        TN_EMIT(b, "_backward_take_along", "axis=0", tni_call_with(b, "Reshape", list, kept),
                tni_call_with(b, "Reshape", list, index), tni_call_with(b, "Reshape", list, like));
    b->set_output(b->ctx, 0, tni_call2(b, "reshape_like", dx, like));
    return TN_OK;
}

const tn_op_decl tni_op_backward_roi_pooling =
    TN_OP(.name = "_backward_ROIPooling", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of ROIPooling's data: zeros, with dy added where the maxima were.",
          .inputs = TN_PORTS(
              TN_PORT(.name = "dy"), PORT_ROIS,
              TN_PORT(.name = "maxidx", .flags = TN_PORT_NO_GRAD, .doc = "where the maxima were"),
              TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = roi_backward_shape,
          .infer_dtype = roi_backward_dtype, .expand = roi_backward_expand);

// ------------------------------------------------------------------ _contrib_PSROIPooling
//
// With start = round(first corner) · scale and n = max(0.1, (round(second) + 1) · scale - start) on
// each axis, bin i of p takes the points ⌊start + i n / p⌋ … ⌈start + (i + 1) n / p⌉ - 1, as far as
// these are in the data. Output channel o has g · g channels of the data, and a bin takes the one
// of its place: with gi = ⌊i g / p⌋ and gj = ⌊j g / p⌋,
//
//     output[r, o, i, j] = mean of data[b, (o g + gi) g + gj] over bin (i, j), 0 if it is empty
//
// It is linear in data; the gradient is the transpose, and each is the gradient of the other.

typedef struct psroi_params {
    double spatial_scale;
    int64_t output_dim, pooled_size, group_size;
} psroi_params;

static tn_status psroi_rule(const tn_infer *io, tni_slot data, tni_slot pooled)
{
    const psroi_params *p = io->params;
    const int64_t g = p->group_size ? p->group_size : p->pooled_size;
    const int64_t least = tn_extent_times(p->output_dim, tn_extent_times(g, g));
    TNI_TRY(tni_merge(io, data, tn_shape_rank(4)));
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_2d(-1, 5)));
    const tn_shape x = tni_shape(io, data);
    if (x.dim[1] >= 0 && x.dim[1] < least)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "data: wanted at least output_dim group_size^2 = %lld channels, got "
                             "%lld",
                             (long long)least, (long long)x.dim[1]);
    const tn_shape y = {
        .ndim = 4,
        .dim = {tni_shape(io, TNI_IN(1)).dim[0], p->output_dim, p->pooled_size, p->pooled_size}};
    TNI_TRY(tni_merge(io, pooled, y));
    return tni_merge(io, TNI_IN(1), tn_shape_2d(tni_shape(io, pooled).dim[0], 5));
}

static tn_status psroi_shape(const tn_infer *io)
{
    return psroi_rule(io, TNI_IN(0), TNI_OUT(0));
}

static const char *psroi_text(char text[TN_TEXT], const psroi_params *p)
{
    char scale[TN_NUMBER];
    return tn_text(text, "spatial_scale=%s; output_dim=%lld; pooled_size=%lld; group_size=%lld",
                   tn_number(scale, p->spatial_scale), (long long)p->output_dim,
                   (long long)p->pooled_size, (long long)p->group_size);
}

static tn_status psroi_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_PSROIPooling", psroi_text(text, b->params), dy,
                            tn_grad_in(b, 1), tn_grad_in(b, 0)));
    return TN_OK;
}

// clang-format off
#define PSROI                                                                                      \
    .params = TN_PARAMS(                                                                           \
        TN_PARAM(psroi_params, spatial_scale, TN_P_F64, .range = "[0,1]",                          \
                 .doc = "points of data for one unit of rois"),                                    \
        TN_PARAM(psroi_params, output_dim, TN_P_I64, .range = "[1,1000000]",                       \
                 .doc = "channels of the output"),                                                 \
        TN_PARAM(psroi_params, pooled_size, TN_P_I64, .range = "[1,1000000]",                      \
                 .doc = "bins of a region each way"),                                              \
        TN_PARAM(psroi_params, group_size, TN_P_I64, .def = "0", .range = "[0,1000000]",           \
                 .doc = "each output channel has so many channels of data each way; 0: "           \
                        "pooled_size")),                                                           \
    .params_size = sizeof(psroi_params)
// clang-format on

const tn_op_decl tni_op_psroi_pooling =
    TN_OP(.name = "_contrib_PSROIPooling", .c_name = "psroi_pooling",
          .doc =
              "Means over the bins of regions, each of a channel of its own: bin (i, j) of output "
              "channel o takes channel (o g + floor(i g / p)) g + floor(j g / p), p = "
              "pooled_size, g = group_size. A region reaches from round(x1) to round(x2) + 1, "
              "times spatial_scale. A bin outside of data is 0, and so is a region with a NaN "
              "or of no image. rois get no gradient.",
          .family = "vision",
          .formula = "y[r,o,i,j] = mean of data[b,(o g + floor(i g / p)) g + floor(j g / p)] over "
                     "bin (i, j), g = group_size, p = pooled_size",
          .shape_rule = "(B, output_dim group_size^2, H, W) (R, 5) -> (R, output_dim, pooled_size, "
                        "pooled_size)",
          .source = "MXNet 0.11, src/operator/contrib/psroi_pooling.cu; arXiv:1605.06409",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(B, output_dim group_size^2, H, W)"),
                             PORT_ROIS),
          .outputs = TN_PORTS(
              TN_PORT(.name = "output", .doc = "(R, output_dim, pooled_size, pooled_size)")),
          PSROI, .infer_shape = psroi_shape, .infer_dtype = tni_dtype_label,
          .gradient = psroi_gradient);

static tn_status psroi_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(psroi_rule(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status psroi_backward_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g)
        tn_grad_set(
            b, 0,
            TN_EMIT(b, "_contrib_PSROIPooling", psroi_text(text, b->params), g, tn_grad_in(b, 1)));
    return TN_OK;
}

const tn_op_decl tni_op_backward_psroi_pooling =
    TN_OP(.name = "_backward_PSROIPooling", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of _contrib_PSROIPooling's data: each dy goes in equal parts to the "
                 "points of its bin.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), PORT_ROIS, TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), PSROI,
          .infer_shape = psroi_backward_shape, .infer_dtype = tni_dtype_label,
          .gradient = psroi_backward_gradient);
