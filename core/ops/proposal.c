// core/ops/proposal.c: region proposals of Faster R-CNN, for one image or for a batch.
//
// Anchors: around the square [0, stride - 1]² for each ratio q, within it for each scale s,
//     w = round(√⌊stride² / q⌋) · s,   h = round(round(√⌊stride² / q⌋) · q) · s   (halves up),
// moved by the stride from place to place. A box [x1, y1, x2, y2] is in pixels and has the width
// x2 - x1 + 1. A prediction (dx, dy, dw, dh) makes of an anchor of centre c and size (w, h) the
// box of centre c + (dx w, dy h) and size (exp(dw) w, exp(dh) h), or with iou_loss the anchor with
// the four numbers added to its corners. Boxes are cut off at the image.
#include <math.h>

#include "core/ops/ops.h"

typedef struct proposal_params {
    int64_t rpn_pre_nms_top_n, rpn_post_nms_top_n, rpn_min_size, feature_stride;
    double threshold;
    tn_reals scales, ratios;
    int32_t output_score, iou_loss;
} proposal_params;

static tn_status proposal_check(const void *params, char *reason, size_t size)
{
    const proposal_params *p = params;
    if (p->rpn_post_nms_top_n < 0) {
        snprintf(reason, size, "rpn_post_nms_top_n: wanted at least 0, got %lld",
                 (long long)p->rpn_post_nms_top_n);
        return TN_E_INVALID;
    }
    if (p->feature_stride < 1) {
        snprintf(reason, size, "feature_stride: wanted at least 1, got %lld",
                 (long long)p->feature_stride);
        return TN_E_INVALID;
    }
    for (size_t i = 0; i < p->ratios.n + p->scales.n; i++) {
        const bool ratio = i < p->ratios.n;
        const double v = ratio ? p->ratios.v[i] : p->scales.v[i - p->ratios.n];
        if (v > 0 && isfinite(v)) continue;
        snprintf(reason, size, "%s: wanted finite numbers above 0, got %g",
                 ratio ? "ratios" : "scales", v);
        return TN_E_INVALID;
    }
    return TN_OK;
}

// One shape rule; `images` is 1, or -1 for any number of them.
static tn_status proposal_rule(const tn_infer *io, int64_t images)
{
    const proposal_params *p = io->params;
    const int64_t anchors = tn_extent_times((int64_t)p->ratios.n, (int64_t)p->scales.n);
    const int64_t top = p->rpn_post_nms_top_n;
    tn_shape s = {.ndim = 4, .dim = {images, tn_extent_times(anchors, 2), -1, -1}};
    TNI_TRY(tni_merge(io, TNI_IN(0), s));
    s.dim[1] = tn_extent_times(anchors, 4);
    TNI_TRY(tni_merge(io, TNI_IN(1), s));
    TNI_TRY(tni_merge(io, TNI_IN(2), tn_shape_2d(images, 3)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_2d(-1, 5)));
    TNI_TRY(tni_merge(io, TNI_OUT(1), tn_shape_2d(-1, 1)));

    tn_shape cls = tni_shape(io, TNI_IN(0)), box = tni_shape(io, TNI_IN(1));
    const tn_shape info = tni_shape(io, TNI_IN(2));
    const int64_t rows[] = {tni_shape(io, TNI_OUT(0)).dim[0], tni_shape(io, TNI_OUT(1)).dim[0]};
    int64_t n = cls.dim[0] >= 0 ? cls.dim[0] : box.dim[0] >= 0 ? box.dim[0] : info.dim[0];
    for (int i = 0; i < 2 && n < 0; i++) {
        if (rows[i] < 0 || top == 0) continue;
        if (rows[i] % top)
            return tn_infer_fail(io, TN_E_SHAPE, "output: %lld rows, wanted a multiple of %lld",
                                 (long long)rows[i], (long long)top);
        n = rows[i] / top;
    }
    cls.dim[0] = box.dim[0] = n;
    for (int axis = 2; axis < 4; axis++)
        cls.dim[axis] = box.dim[axis] = cls.dim[axis] >= 0 ? cls.dim[axis] : box.dim[axis];
    TNI_TRY(tni_merge(io, TNI_IN(0), cls));
    TNI_TRY(tni_merge(io, TNI_IN(1), box));
    TNI_TRY(tni_merge(io, TNI_IN(2), tn_shape_2d(n, 3)));
    const int64_t all = top == 0 ? 0 : n < 0 ? -1 : tn_extent_times(n, top);
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_2d(all, 5)));
    return tni_merge(io, TNI_OUT(1), tn_shape_2d(all, 1));
}

static tn_status proposal_shape(const tn_infer *io)
{
    return proposal_rule(io, 1);
}

static tn_status multi_proposal_shape(const tn_infer *io)
{
    return proposal_rule(io, -1);
}

// Sizes of images may be float32 beside half-precision maps, which cannot hold all of them.
static tn_status proposal_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(1)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(1)));
    if (tni_dtype(io, TNI_IN(2)) != TN_DTYPE_NONE) return TN_OK;
    return tni_merge_dtype(io, TNI_IN(2), tni_dtype(io, TNI_IN(0)));
}

#define MEANING                                                                                  \
    " Anchors, moved by the predictions and cut off at the image, are sorted by falling score; " \
    "each one that is kept removes those behind it that overlap it by more than threshold. Too " \
    "small ones and those outside the image have score -1. If too few are left, they are "       \
    "repeated."

// clang-format off
#define PROPOSAL(n_)                                                                               \
    .flags = TN_OP_ZERO_GRAD,                                                                      \
    .inputs = TN_PORTS(                                                                            \
        TN_PORT(.name = "cls_prob",                                                                \
                .doc = "(" n_ ", 2 * anchors, height, width): scores; the second half is that of " \
                       "objects"),                                                                 \
        TN_PORT(.name = "bbox_pred",                                                               \
                .doc = "(" n_ ", 4 * anchors, height, width): offsets of each anchor"),            \
        TN_PORT(.name = "im_info", .flags = TN_PORT_NO_GRAD,                                       \
                .doc = "(" n_ ", 3): height and width of the image in pixels, and its scale")),    \
    .params = TN_PARAMS(                                                                           \
        TN_PARAM(proposal_params, rpn_pre_nms_top_n, TN_P_I64, .def = "6000",                      \
                 .doc = "boxes that are compared; below 1: all"),                                  \
        TN_PARAM(proposal_params, rpn_post_nms_top_n, TN_P_I64, .def = "300",                      \
                 .doc = "boxes of an image in the output; at least 0"),                            \
        TN_PARAM(proposal_params, threshold, TN_P_F64, .def = "0.7",                               \
                 .doc = "overlap with a better box above which one is removed"),                   \
        TN_PARAM(proposal_params, rpn_min_size, TN_P_I64, .def = "16",                             \
                 .doc = "least width and height of a box, at scale 1"),                            \
        TN_PARAM(proposal_params, scales, TN_P_F64S, .def = "(4,8,16,32)", .min_len = 1,           \
                 .doc = "sizes of anchors, in strides"),                                           \
        TN_PARAM(proposal_params, ratios, TN_P_F64S, .def = "(0.5,1,2)", .min_len = 1,             \
                 .doc = "height over width of anchors"),                                           \
        TN_PARAM(proposal_params, feature_stride, TN_P_I64, .def = "16",                           \
                 .doc = "pixels from place to place; at least 1"),                                 \
        TN_PARAM(proposal_params, output_score, TN_P_BOOL, .def = "False",                         \
                 .doc = "show the output score"),                                                  \
        TN_PARAM(proposal_params, iou_loss, TN_P_BOOL, .def = "False",                             \
                 .doc = "the predictions are offsets of corners, in pixels")),                     \
    .params_size = sizeof(proposal_params), .check = proposal_check, .infer_dtype = proposal_dtype
#define BOXES(rows, first)                                                                         \
    .outputs = TN_PORTS(                                                                           \
        TN_PORT(.name = "output", .doc = "(" rows ", 5): " first ", x1, y1, x2, y2 in pixels"),    \
        TN_PORT(.name = "score", .flags = TN_PORT_HIDDEN, .visible = "output_score",               \
                .doc = "(" rows ", 1): their scores"))
// clang-format on

const tn_op_decl tni_op_proposal =
    TN_OP(.name = "_contrib_Proposal", .c_name = "proposal",
          .doc = "Region proposals of Faster R-CNN for one image." MEANING, .family = "detection",
          .formula = "anchors of ratio q and scale s: w = round(sqrt(floor(stride^2 / q))), w * s "
                     "wide and round(w * q) * s high; box centre = anchor centre + d[0:2] * size, "
                     "size = exp(d[2:4]) * anchor size; iou_loss: corners + d",
          .shape_rule = "(1, 2 a, h, w) (1, 4 a, h, w) (1, 3) -> (rpn_post_nms_top_n, 5), "
                        "(rpn_post_nms_top_n, 1); a = ratios * scales",
          .source = "MXNet 0.11, src/operator/contrib/proposal.cc", PROPOSAL("1"),
          BOXES("rpn_post_nms_top_n", "0"), .infer_shape = proposal_shape);

const tn_op_decl tni_op_multi_proposal =
    TN_OP(.name = "_contrib_MultiProposal", .c_name = "multi_proposal",
          .doc = "Region proposals of Faster R-CNN for a batch of images." MEANING,
          .family = "detection",
          .formula = "anchors of ratio q and scale s: w = round(sqrt(floor(stride^2 / q))), w * s "
                     "wide and round(w * q) * s high; box centre = anchor centre + d[0:2] * size, "
                     "size = exp(d[2:4]) * anchor size; iou_loss: corners + d",
          .shape_rule = "(n, 2 a, h, w) (n, 4 a, h, w) (n, 3) -> (n * rpn_post_nms_top_n, 5), (n * "
                        "rpn_post_nms_top_n, 1); a = ratios * scales",
          .source = "MXNet 0.11, src/operator/contrib/multi_proposal.cu", PROPOSAL("n"),
          BOXES("n * rpn_post_nms_top_n", "number of the image"),
          .infer_shape = multi_proposal_shape);
