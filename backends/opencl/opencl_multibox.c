// backends/opencl/opencl_multibox.c: MultiBoxTarget and MultiBoxDetection.
#include "opencl_boxes.h"

enum { NUMBERS = 16 }; // of a struct, at most

// ------------------------------------------------------------------ MultiBoxTarget

typedef struct target {
    cl_int n[6];   // as multibox.cl has them: images, anchors, labels, label_width, classes, mines
    char rest[80]; // 9 numbers
    size_t bytes;  // of what is passed
    // where things are in scratch
    uint64_t n_labels, kind, match, best, best_at, key, order[2], mined;
} target;

enum { IMAGES, ANCHORS, LABELS, WIDTH, CLASSES, MINES };

static target target_of(const ocl_plan *p)
{
    const tn_call *c = p->k->call;
    const int64_t *label = c->in[1]->dims, *cls = c->in[2]->dims;
    const tn_reals variances = tn_call_reals(c, "variances");
    const double ratio = tn_call_f64(c, "negative_mining_ratio", -1);
    double v[9] = {tn_call_f64(c, "overlap_threshold", 0.5), tn_call_f64(c, "ignore_label", -1),
                   ratio, tn_call_f64(c, "negative_mining_thresh", 0.5)};
    for (size_t i = 0; i < 4 && i < variances.n; i++) v[4 + i] = variances.v[i];
    v[8] = (double)tn_call_i64(c, "minimum_negative_samples", 0);
    target t = {.n = {(cl_int)label[0], (cl_int)cls[2], (cl_int)label[1], (cl_int)label[2],
                      (cl_int)cls[1], ratio > 0}};
    ocl_box_numbers(p, v, 9, t.rest);
    t.bytes = sizeof t.n + 9 * (ocl_box_number(p) == TN_F64 ? 8 : 4);
    return t;
}

static uint64_t lay_target(target *t)
{
    const int64_t anchors = (int64_t)t->n[IMAGES] * t->n[ANCHORS];
    const int64_t labels = (int64_t)t->n[IMAGES] * t->n[LABELS];
    ocl_room room = {0};
    t->n_labels = ocl_take(&room, t->n[IMAGES], sizeof(cl_int));
    t->mined = ocl_take(&room, t->n[IMAGES], sizeof(cl_int));
    t->kind = ocl_take(&room, anchors, sizeof(cl_int));
    t->match = ocl_take(&room, anchors, sizeof(cl_int));
    t->key = ocl_take(&room, anchors, 8);
    for (int i = 0; i < 2; i++) t->order[i] = ocl_take(&room, anchors, sizeof(cl_int));
    t->best = ocl_take(&room, labels, 8);
    t->best_at = ocl_take(&room, labels, sizeof(cl_int));
    return room.used;
}

// A launch with the first `n_in` inputs, these places in scratch, and if `puts` the outputs.
static void launch(ocl_plan *p, const target *t, const char *name, uint32_t n_in,
                   const uint64_t *scratch, uint32_t n_scratch, int64_t x)
{
    ocl_launch *l = ocl_add_boxes(p, ocl_multibox_cl, name);
    for (uint32_t i = 0; i < n_in; i++) ocl_in(p, l, i);
    for (uint32_t i = 0; i < n_scratch; i++) ocl_scratch(p, l, scratch[i]);
    for (uint32_t i = 0; strcmp(name, "put_targets") == 0 && i < 3; i++) ocl_out(p, l, i);
    ocl_bytes(p, l, t, t->bytes);
    if (x < 0)
        ocl_over(p, l, t->n[IMAGES], 1, 1);
    else
        ocl_over(p, l, x, t->n[IMAGES], 1);
}
#define LAUNCH(name, n_in, x, ...)                            \
    launch(p, t, name, n_in, (const uint64_t[]){__VA_ARGS__}, \
           sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), x)

enum { EACH_IMAGE = -1 };

static void label_anchors(ocl_plan *p, const target *t)
{
    ocl_launch *l = ocl_add_boxes(p, ocl_multibox_cl, "count_labels");
    ocl_in(p, l, 1);
    ocl_scratch(p, l, t->n_labels);
    ocl_bytes(p, l, t, t->bytes);
    ocl_over(p, l, t->n[IMAGES], 1, 1);
    LAUNCH("begin_kinds", 0, t->n[ANCHORS], t->n_labels, t->kind);
    LAUNCH("best_anchors", 2, t->n[LABELS], t->n_labels, t->kind, t->best, t->best_at);
    LAUNCH("match_labels", 2, EACH_IMAGE, t->n_labels, t->kind, t->match, t->best, t->best_at);
    LAUNCH("match_anchors", 3, t->n[ANCHORS], t->n_labels, t->kind, t->match, t->key);
}

static void mine(ocl_plan *p, const target *t)
{
    const ocl_sorting by_key = {.key = ocl_box_number(p),
                                .in_scratch = true,
                                .at = t->key,
                                .order = {t->order[0], t->order[1]},
                                .line = {t->n[IMAGES], t->n[ANCHORS], 1},
                                .ascend = true};
    const uint64_t order = ocl_sort(p, &by_key);
    LAUNCH("count_mined", 0, EACH_IMAGE, t->kind, t->key, t->mined);
    LAUNCH("mine", 0, t->n[ANCHORS], order, t->mined, t->kind);
}

// Inputs anchor, label, cls_pred
static tn_status target_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ocl_plan *p = ocl_begin(k);
    target of = target_of(p), *t = &of;
    info->scratch_bytes = lay_target(t);
    if (t->n[IMAGES] == 0 || t->n[ANCHORS] == 0) return ocl_end(p);
    label_anchors(p, t);
    if (t->n[MINES]) mine(p, t);
    LAUNCH("put_targets", 2, t->n[ANCHORS], t->kind, t->match);
    return ocl_end(p);
}

// ------------------------------------------------------------------ MultiBoxDetection

typedef struct detection {
    // as detection.cl has them: images, classes, anchors, background, top, clip, selects, unused
    cl_int n[8];
    char rest[NUMBERS * 8]; // 5 numbers
    size_t bytes;
    // where things are in scratch
    uint64_t name, score, key, box, order[2], group, ordered, gone, keep, kept;
} detection;

static double as_dtype(tn_dtype dtype, double v)
{
    return dtype == TN_F16    ? (double)tn_f16_to_f32(tn_f64_to_f16(v))
           : dtype == TN_BF16 ? (double)tn_bf16_to_f32(tn_f64_to_bf16(v))
           : dtype == TN_F32  ? (double)(float)v
                              : v;
}

static detection detection_of(const ocl_plan *p, double overlap)
{
    const tn_call *c = p->k->call;
    const int64_t *cls = c->in[0]->dims;
    const tn_reals variances = tn_call_reals(c, "variances");
    const int64_t top = tn_call_i64(c, "nms_topk", -1);
    double v[5] = {as_dtype(c->in[0]->dtype, tn_call_f64(c, "threshold", 0.01))};
    for (size_t i = 0; i < 4 && i < variances.n; i++) v[1 + i] = variances.v[i];
    detection d = {
        .n = {(cl_int)cls[0], (cl_int)cls[1], (cl_int)cls[2],
              (cl_int)tn_saturate((double)tn_call_i64(c, "background_id", 0), -1, INT32_MAX),
              (cl_int)tn_saturate((double)top, -1, INT32_MAX), tn_call_bool(c, "clip", true),
              overlap > 0 && overlap <= 1, 0}};
    ocl_box_numbers(p, v, 5, d.rest);
    d.bytes = sizeof d.n + 5 * (ocl_box_number(p) == TN_F64 ? 8 : 4);
    return d;
}

static uint64_t lay_detection(detection *d)
{
    const int64_t n = (int64_t)d->n[0] * d->n[2];
    ocl_room room = {0};
    uint64_t *const wide[] = {&d->name, &d->score, &d->key, &d->group};
    uint64_t *const whole[] = {&d->order[0], &d->order[1], &d->gone, &d->keep, &d->kept};
    for (int i = 0; i < 4; i++) *wide[i] = ocl_take(&room, n, 8);
    for (int i = 0; i < 5; i++) *whole[i] = ocl_take(&room, n, sizeof(cl_int));
    d->box = ocl_take(&room, n, 32);
    d->ordered = ocl_take(&room, n, 32);
    return room.used;
}

static void over_anchors(ocl_plan *p, ocl_launch *l, const detection *d)
{
    ocl_bytes(p, l, d, d->bytes);
    ocl_over(p, l, d->n[2], d->n[0], 1);
}

static void suppress(ocl_plan *p, const detection *d, uint64_t order, double overlap)
{
    ocl_launch *l = ocl_add_boxes(p, ocl_detection_cl, "in_order");
    ocl_scratch(p, l, order);
    ocl_scratch(p, l, d->name);
    ocl_scratch(p, l, d->box);
    ocl_scratch(p, l, d->group);
    ocl_scratch(p, l, d->ordered);
    over_anchors(p, l, d);
    const ocl_suppression s = {.boxes = d->ordered,
                               .groups = d->group,
                               .gone = d->gone,
                               .keep = d->keep,
                               .kept = d->kept,
                               .images = d->n[0],
                               .n = d->n[2],
                               .most = d->n[2],
                               .threshold = overlap,
                               .inclusive = true,
                               .across = tn_call_bool(p->k->call, "force_suppress", false)};
    ocl_suppress(p, &s, ocl_detection_cl);
}

// Inputs cls_prob, loc_pred, anchor
static tn_status detection_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ocl_plan *p = ocl_begin(k);
    const double overlap = tn_call_f64(k->call, "nms_threshold", 0.5);
    detection d = detection_of(p, overlap);
    info->scratch_bytes = lay_detection(&d);
    if (k->call->out[0]->size == 0) return ocl_end(p);
    ocl_launch *l = ocl_add_boxes(p, ocl_detection_cl, "detect");
    for (uint32_t i = 0; i < 3; i++) ocl_in(p, l, i);
    for (int i = 0; i < 4; i++)
        ocl_scratch(p, l, (const uint64_t[]){d.name, d.score, d.key, d.box}[i]);
    over_anchors(p, l, &d);
    const ocl_sorting by_key = {.key = ocl_box_number(p),
                                .in_scratch = true,
                                .at = d.key,
                                .order = {d.order[0], d.order[1]},
                                .line = {d.n[0], d.n[2], 1}};
    const uint64_t order = ocl_sort(p, &by_key);
    if (d.n[6]) suppress(p, &d, order, overlap);
    l = ocl_add_boxes(p, ocl_detection_cl, "put_found");
    for (int i = 0; i < 5; i++)
        ocl_scratch(p, l, (const uint64_t[]){order, d.name, d.score, d.box, d.gone}[i]);
    ocl_out(p, l, 0);
    over_anchors(p, l, &d);
    return ocl_end(p);
}

const tn_kernel_row ocl_multiboxes[] = {
    OCL_ROW("_contrib_MultiBoxTarget", TN_FLOATS, NULL, target_setup),
    OCL_ROW("_contrib_MultiBoxDetection", TN_FLOATS, NULL, detection_setup),
    {0},
};
