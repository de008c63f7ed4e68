// core/ops/multibox.c: boxes of single-shot detectors: anchors, training targets, detections.
//
// A box is [xmin, ymin, xmax, ymax] as fractions of the image. The overlap of two boxes is the
// area of their intersection over that of their union. Nothing here is differentiable: gradients
// are zero.
#include <math.h>
#include <stdlib.h>

#include "core/ops/ops.h"

// One axis of one value, and how often what it counts stands there.
typedef struct place {
    tni_slot slot;
    int32_t axis;
    int64_t times;
} place;

// The first known count among the places; -1 if none is known or it does not divide.
static int64_t known_count(const tn_infer *io, const place *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const tn_shape s = tni_shape(io, at[i].slot);
        const int64_t extent = at[i].axis < s.ndim ? s.dim[at[i].axis] : -1;
        if (extent >= 0 && extent % at[i].times == 0) return extent / at[i].times;
    }
    return -1;
}
#define KNOWN_COUNT(io, ...)                      \
    known_count(io, (const place[]){__VA_ARGS__}, \
                sizeof((const place[]){__VA_ARGS__}) / sizeof(place))

static tn_shape shape_3d(int64_t a, int64_t b, int64_t c)
{
    return (tn_shape){.ndim = 3, .dim = {a, b, c}};
}

static int64_t four(int64_t n)
{
    return n < 0 ? -1 : tn_extent_times(n, 4);
}

#define VARIANCES(blob, what)                                                                    \
    TN_PARAM(blob, variances, TN_P_F64S, .def = "(0.1,0.1,0.2,0.2)", .min_len = 4, .max_len = 4, \
             .doc = what " of centre x and y, and of log width and height")

// ------------------------------------------------------------------ _contrib_MultiBoxPrior
//
//     centre of row r, column c:  x = (c + offsets[1]) · steps[1],  y = (r + offsets[0]) · steps[0]
//     half width  = s √q / 2 · height / width,   half height = s / √q / 2
//
// for (s, q) = (sizes[0], 1), (sizes[1], 1), …, (sizes[0], ratios[1]), (sizes[0], ratios[2]), …:
// ratios[0] is not looked at. Without steps they are 1 / height and 1 / width.

typedef struct prior_params {
    tn_reals sizes, ratios, steps, offsets;
    int32_t clip;
} prior_params;

static tn_status prior_check(const void *params, char *reason, size_t size)
{
    const prior_params *p = params;
    for (size_t i = 0; i < p->sizes.n; i++) {
        if (isfinite(p->sizes.v[i])) continue;
        snprintf(reason, size, "sizes: wanted finite numbers");
        return TN_E_INVALID;
    }
    for (size_t i = 0; i < p->ratios.n; i++) {
        if (p->ratios.v[i] > 0 && isfinite(p->ratios.v[i])) continue;
        snprintf(reason, size, "ratios: wanted finite numbers above 0, got %g", p->ratios.v[i]);
        return TN_E_INVALID;
    }
    for (size_t i = 0; i < 2; i++) {
        if (!isfinite(p->steps.v[i]) || p->steps.v[0] * p->steps.v[1] < 0) {
            snprintf(reason, size, "steps: wanted two numbers above 0, or two below, got (%g, %g)",
                     p->steps.v[0], p->steps.v[1]);
            return TN_E_INVALID;
        }
        if (p->offsets.v[i] >= 0 && p->offsets.v[i] <= 1) continue;
        snprintf(reason, size, "offsets: %g is outside [0,1]", p->offsets.v[i]);
        return TN_E_INVALID;
    }
    return TN_OK;
}

static tn_status prior_shape(const tn_infer *io)
{
    const prior_params *p = io->params;
    const int64_t each = (int64_t)(p->sizes.n + p->ratios.n - 1);
    tn_shape x = tni_shape(io, TNI_IN(0));
    if (x.ndim >= 0 && x.ndim < 4)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted (n, c, height, width), got %d axes",
                             x.ndim);
    const int64_t places = tn_shape_span(&x, 2, 4);
    const int64_t boxes = places < 0 ? -1 : tn_extent_times(places, each);
    TNI_TRY(tni_merge(io, TNI_OUT(0), shape_3d(1, boxes, 4)));
    const int64_t n = tni_shape(io, TNI_OUT(0)).dim[1];
    if (n < 0) return TN_OK;
    if (n % each)
        return tn_infer_fail(io, TN_E_SHAPE, "output: %lld boxes, but each place has %lld",
                             (long long)n, (long long)each);
    tni_solve(&x, 2, 4, n / each);
    return tni_merge(io, TNI_IN(0), x);
}

// The corners of one box of every place, appended to `parts`: grid ∓ half.
static void prior_corners(const tn_builder *b, const tn_sym grid[2], double half_width,
                          double half_height, tn_sym *parts)
{
    parts[0] = tni_call_scalar(b, "_plus_scalar", grid[0], -half_width);
    parts[1] = tni_call_scalar(b, "_plus_scalar", grid[1], -half_height);
    parts[2] = tni_call_scalar(b, "_plus_scalar", grid[0], half_width);
    parts[3] = tni_call_scalar(b, "_plus_scalar", grid[1], half_height);
}

// (height, width): (i + offset) · step along one axis, alike along the other.
static tn_sym prior_centres(const tn_builder *b, const char *dtype, const int64_t extent[2],
                            int32_t axis, const double offset_step[2])
{
    char text[TN_TEXT];
    tn_text(text, "start=0; stop=%lld; dtype=%s", (long long)extent[axis], dtype);
    tn_sym at = tn_emit(b, "_arange", text, NULL, 0);
    at = tni_call_scalar(b, "_plus_scalar", at, offset_step[0]);
    at = tni_call_scalar(b, "_mul_scalar", at, offset_step[1]);
    tn_text(text, "axis=%d", 1 - axis);
    at = tn_emit(b, "expand_dims", text, &at, 1);
    tn_text(text, "axis=(%d,); size=(%lld,)", 1 - axis, (long long)extent[1 - axis]);
    return tn_emit(b, "broadcast_axis", text, &at, 1);
}

// (1, 0, 4)
static tn_sym prior_none(const tn_builder *b, const char *dtype)
{
    char text[TN_TEXT];
    tn_sym y = tn_emit(b, "_zeros", tn_text(text, "shape=(1,1,4); dtype=%s", dtype), NULL, 0);
    return tn_emit(b, "slice_axis", "axis=1; begin=0; end=0", &y, 1);
}

// The boxes of all places, (1, boxes, 4).
static tn_sym prior_boxes(const tn_builder *b, const char *dtype, const int64_t extent[2])
{
    const prior_params *p = b->params;
    const size_t each = p->sizes.n + p->ratios.n - 1;
    const bool automatic = p->steps.v[0] <= 0 || p->steps.v[1] <= 0;
    const double aspect = (double)extent[0] / (double)extent[1];
    char text[TN_TEXT];
    tn_sym grid[2]; // x, y
    for (int32_t i = 0; i < 2; i++)
        grid[1 - i] = prior_centres(
            b, dtype, extent, i,
            (double[2]){p->offsets.v[i], automatic ? 1 / (double)extent[i] : p->steps.v[i]});
    tn_sym *parts = calloc(4 * each, sizeof *parts);
    if (!parts) {
        b->fail(b->ctx, TN_E_NOMEM, "out of memory");
        return 0;
    }
    for (size_t i = 0; i < each; i++) {
        const bool by_size = i < p->sizes.n;
        const double size = p->sizes.v[by_size ? i : 0];
        const double root = by_size ? 1 : sqrt(p->ratios.v[i - p->sizes.n + 1]);
        prior_corners(b, grid, size * root / 2 * aspect, size / root / 2, parts + 4 * i);
    }
    tn_text(text, "num_args=%zu; axis=2", 4 * each);
    tn_sym y = tn_emit(b, "stack", text, parts, (uint32_t)(4 * each));
    free(parts);
    y = tn_emit(b, "Reshape", "shape=(1,-1,4)", &y, 1);
    return p->clip ? tn_emit(b, "clip", "a_min=0; a_max=1", &y, 1) : y;
}

// In float32 at least; halves are rounded once, at the end.
static tn_status prior_expand(const tn_builder *b)
{
    const tn_sym data = tn_grad_in(b, 0);
    const tn_shape x = *b->shape(b->ctx, data);
    const tn_dtype dtype = b->dtype(b->ctx, data);
    const char *work = dtype == TN_F64 ? "float64" : "float32";
    char text[TN_TEXT];
    const bool none = x.dim[2] == 0 || x.dim[3] == 0;
    tn_sym y = none ? prior_none(b, work) : prior_boxes(b, work, &x.dim[2]);
    if (dtype != TN_F64 && dtype != TN_F32)
        y = tn_emit(b, "Cast", tn_text(text, "dtype=%s", tn_dtype_name(dtype)), &y, 1);
    b->set_output(b->ctx, 0, y);
    return TN_OK;
}

const tn_op_decl tni_op_multibox_prior =
    TN_OP(.name = "_contrib_MultiBoxPrior", .c_name = "multibox_prior", .flags = TN_OP_ZERO_GRAD,
          .doc = "Anchor boxes [xmin, ymin, xmax, ymax] around every place of a feature map, as "
                 "fractions of the image: one for each size, with ratio 1, then one for each ratio "
                 "but the first, with the first size. A box of size s and ratio q is s * sqrt(q) * "
                 "height / width wide and s / sqrt(q) high.",
          .family = "detection",
          .formula = "centre ((c + offsets[1]) * steps[1], (r + offsets[0]) * steps[0]), width s "
                     "sqrt(q) * height / width, height s / sqrt(q), for (s, q) = (sizes[i], 1), "
                     "then (sizes[0], ratios[j]), j > 0",
          .shape_rule = "(n, c, height, width) -> (1, height * width * (sizes + ratios - 1), 4)",
          .source = "MXNet 0.11, src/operator/contrib/multibox_prior-inl.h",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .doc = "(n, c, height, width)", .flags = TN_PORT_SHAPE_ONLY)),
          .outputs = TN_PORTS(
              TN_PORT(.name = "output", .doc = "(1, height * width * (sizes + ratios - 1), 4)")),
          .params = TN_PARAMS(
              TN_PARAM(prior_params, sizes, TN_P_F64S, .def = "(1.0,)", .min_len = 1,
                       .doc = "heights of the boxes"),
              TN_PARAM(prior_params, ratios, TN_P_F64S, .def = "(1.0,)", .min_len = 1,
                       .doc = "width over height; the first one is not used"),
              TN_PARAM(prior_params, clip, TN_P_BOOL, .def = "False",
                       .doc = "cut boxes off at the borders of the image"),
              TN_PARAM(prior_params, steps, TN_P_F64S, .def = "(-1,-1)", .min_len = 2, .max_len = 2,
                       .doc = "distance of centres along y and x; not above 0: 1 / height and 1 / "
                              "width"),
              TN_PARAM(prior_params, offsets, TN_P_F64S, .def = "(0.5,0.5)", .min_len = 2,
                       .max_len = 2, .doc = "of the first centre along y and x, in steps")),
          .params_size = sizeof(prior_params), .check = prior_check, .infer_shape = prior_shape,
          .expand = prior_expand);

// ------------------------------------------------------------------ _contrib_MultiBoxTarget
//
// For each image: anchors are matched with labels, matched ones get the class + 1 and
//     loc = [(gx - ax) / aw / v0, (gy - ay) / ah / v1, log(gw / aw) / v2, log(gh / ah) / v3],
// where g is the label's and a the anchor's centre, width and height.

typedef struct target_params {
    double overlap_threshold, ignore_label, negative_mining_ratio, negative_mining_thresh;
    int64_t minimum_negative_samples;
    tn_reals variances;
} target_params;

static tn_status target_check(const void *params, char *reason, size_t size)
{
    const target_params *p = params;
    if (p->negative_mining_ratio <= 0 || p->negative_mining_thresh > 0) return TN_OK;
    snprintf(reason, size, "negative_mining_thresh: wanted more than 0, got %g",
             p->negative_mining_thresh);
    return TN_E_INVALID;
}

static tn_status target_shape(const tn_infer *io)
{
    enum { ANCHOR, LABEL, CLS };
    TNI_TRY(tni_merge(io, TNI_IN(ANCHOR), shape_3d(1, -1, 4)));
    TNI_TRY(tni_merge(io, TNI_IN(LABEL), tn_shape_rank(3)));
    const int64_t n = KNOWN_COUNT(io, {TNI_IN(LABEL), 0, 1}, {TNI_IN(CLS), 0, 1},
                                  {TNI_OUT(0), 0, 1}, {TNI_OUT(1), 0, 1}, {TNI_OUT(2), 0, 1});
    const int64_t a = KNOWN_COUNT(io, {TNI_IN(ANCHOR), 1, 1}, {TNI_IN(CLS), 2, 1},
                                  {TNI_OUT(2), 1, 1}, {TNI_OUT(0), 1, 4}, {TNI_OUT(1), 1, 4});
    const int64_t width = tni_shape(io, TNI_IN(LABEL)).dim[2];
    if (width >= 0 && width < 5)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "label: wanted rows of class, xmin, ymin, xmax, ymax, ...; got %lld "
                             "columns",
                             (long long)width);
    TNI_TRY(tni_merge(io, TNI_IN(ANCHOR), shape_3d(1, a, 4)));
    TNI_TRY(tni_merge(io, TNI_IN(LABEL), shape_3d(n, -1, -1)));
    TNI_TRY(tni_merge(io, TNI_IN(CLS), shape_3d(n, -1, a)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_2d(n, four(a))));
    TNI_TRY(tni_merge(io, TNI_OUT(1), tn_shape_2d(n, four(a))));
    return tni_merge(io, TNI_OUT(2), tn_shape_2d(n, a));
}

const tn_op_decl tni_op_multibox_target =
    TN_OP(.name = "_contrib_MultiBoxTarget", .c_name = "multibox_target", .flags = TN_OP_ZERO_GRAD,
          .doc = "Training targets of a single-shot detector. Each label takes the anchor that it "
                 "overlaps most, the largest overlap first; each anchor that is left takes the "
                 "label it overlaps by more than overlap_threshold. The others are negative, class "
                 "0: all, or with negative_mining_ratio those that look least like background. The "
                 "rest gets ignore_label, as do images without labels.",
          .family = "detection",
          .formula = "of a label g and an anchor a: loc = ((gx - ax) / aw / v0, (gy - ay) / ah / "
                     "v1, log(gw / aw) / v2, log(gh / ah) / v3), with centres x, y and sizes w, h",
          .shape_rule =
              "(1, a, 4) (n, labels, 5 or more) (n, classes, a) -> (n, 4 a) (n, 4 a) (n, a)",
          .source = "MXNet 0.11, src/operator/contrib/multibox_target.cc",
          .inputs = TN_PORTS(
              TN_PORT(.name = "anchor", .doc = "(1, anchors, 4)"),
              TN_PORT(.name = "label", .flags = TN_PORT_NO_GRAD,
                      .doc = "(n, labels, 5 or more): class, xmin, ymin, xmax, ymax; a row of -1 "
                             "ends the labels of an image"),
              TN_PORT(.name = "cls_pred",
                      .doc = "(n, classes + 1, anchors); class 0 is background")),
          .outputs = TN_PORTS(
              TN_PORT(.name = "loc_target", .doc = "(n, anchors * 4): 0 where not positive"),
              TN_PORT(.name = "loc_mask", .doc = "(n, anchors * 4): 1 where positive, else 0"),
              TN_PORT(.name = "cls_target", .doc = "(n, anchors): class + 1, 0 or ignore_label")),
          .params = TN_PARAMS(
              TN_PARAM(target_params, overlap_threshold, TN_P_F64, .def = "0.5",
                       .doc = "overlap above which an anchor is positive; not above 0: only the "
                              "best anchor of each label is"),
              TN_PARAM(target_params, ignore_label, TN_P_F64, .def = "-1.0",
                       .doc = "class of anchors that do not count"),
              TN_PARAM(target_params, negative_mining_ratio, TN_P_F64, .def = "-1.0",
                       .doc = "negative anchors for each positive one; not above 0: all"),
              TN_PARAM(target_params, negative_mining_thresh, TN_P_F64, .def = "0.5",
                       .doc = "overlap from which an anchor is never negative"),
              TN_PARAM(target_params, minimum_negative_samples, TN_P_I64, .def = "0",
                       .doc = "at least so many negative anchors in an image with labels"),
              VARIANCES(target_params, "divisors")),
          .params_size = sizeof(target_params), .check = target_check, .infer_shape = target_shape,
          .infer_dtype = tni_dtype_label);

// ------------------------------------------------------------------ _contrib_MultiBoxDetection
//
//     centre = loc[0:2] · variances[0:2] · anchor size + anchor centre
//     size   = exp(loc[2:4] · variances[2:4]) · anchor size

typedef struct detection_params {
    int32_t clip, force_suppress;
    double threshold, nms_threshold;
    int64_t background_id, nms_topk;
    tn_reals variances;
} detection_params;

static tn_status detection_shape(const tn_infer *io)
{
    enum { CLS, LOC, ANCHOR };
    const int64_t n = KNOWN_COUNT(io, {TNI_IN(CLS), 0, 1}, {TNI_IN(LOC), 0, 1}, {TNI_OUT(0), 0, 1});
    const int64_t a = KNOWN_COUNT(io, {TNI_IN(CLS), 2, 1}, {TNI_IN(ANCHOR), 1, 1},
                                  {TNI_OUT(0), 1, 1}, {TNI_IN(LOC), 1, 4});
    TNI_TRY(tni_merge(io, TNI_IN(CLS), shape_3d(n, -1, a)));
    TNI_TRY(tni_merge(io, TNI_IN(LOC), tn_shape_2d(n, four(a))));
    TNI_TRY(tni_merge(io, TNI_IN(ANCHOR), shape_3d(1, a, 4)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), shape_3d(n, a, 6)));
    const int64_t columns = tni_shape(io, TNI_IN(LOC)).dim[1];
    if (columns < 0 || columns % 4 == 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "loc_pred: wanted 4 columns for each anchor, got %lld",
                         (long long)columns);
}

const tn_op_decl tni_op_multibox_detection =
    TN_OP(.name = "_contrib_MultiBoxDetection", .c_name = "multibox_detection",
          .flags = TN_OP_ZERO_GRAD,
          .doc = "Detections of a single-shot detector, sorted by falling probability: one for "
                 "each anchor whose best class, the background aside, reaches the threshold. Then "
                 "each one removes those behind it of its class that overlap it by nms_threshold "
                 "or more: they get class -1. Rows that are left over are -1. An nms_threshold "
                 "outside (0,1] neither sorts nor removes.",
          .family = "detection",
          .formula = "centre = loc[0:2] * v[0:2] * anchor size + anchor centre;  size = "
                     "exp(loc[2:4] * v[2:4]) * anchor size",
          .shape_rule = "(n, classes, a) (n, 4 a) (1, a, 4) -> (n, a, 6)",
          .source = "MXNet 0.11, src/operator/contrib/multibox_detection.cc",
          .inputs = TN_PORTS(
              TN_PORT(.name = "cls_prob", .doc = "(n, classes, anchors): probabilities"),
              TN_PORT(.name = "loc_pred",
                      .doc = "(n, anchors * 4): x, y, log width, log height, against the anchor"),
              TN_PORT(.name = "anchor", .doc = "(1, anchors, 4)")),
          .outputs =
              TN_PORTS(TN_PORT(.name = "output",
                               .doc = "(n, anchors, 6): class, not counting the background, or -1; "
                                      "probability; xmin, ymin, xmax, ymax")),
          .params =
              TN_PARAMS(TN_PARAM(detection_params, clip, TN_P_BOOL, .def = "True",
                                 .doc = "cut boxes off at the borders of the image"),
                        TN_PARAM(detection_params, threshold, TN_P_F64, .def = "0.01",
                                 .doc = "lowest probability of a detection"),
                        TN_PARAM(detection_params, background_id, TN_P_I64, .def = "0",
                                 .doc = "class that is no detection; one that is not there: none"),
                        TN_PARAM(detection_params, nms_threshold, TN_P_F64, .def = "0.5",
                                 .doc = "overlap with a better detection that removes one"),
                        TN_PARAM(detection_params, force_suppress, TN_P_BOOL, .def = "False",
                                 .doc = "detections of different classes remove each other, too"),
                        VARIANCES(detection_params, "factors"),
                        TN_PARAM(detection_params, nms_topk, TN_P_I64, .def = "-1",
                                 .doc = "only so many best rows are kept; below 1: all")),
          .params_size = sizeof(detection_params), .infer_shape = detection_shape);
