// backends/reference/reference_multibox.c: MultiBoxTarget and MultiBoxDetection.
#include "reference_boxes.h"

// The boxes of an array of corners, as doubles.
static void load_boxes(ref_array x, int64_t n, double *box)
{
    for (int64_t i = 0; i < 4 * n; i++) box[i] = ref_get_real(x, i);
}

// ------------------------------------------------------------------ MultiBoxTarget

enum { NEGATIVE = 0, POSITIVE = 1, IGNORED = 2 };

// Sizes of a call, and its parameters.
typedef struct target {
    int64_t images, anchors, labels, label_width, classes;
    double overlap_threshold, ignore_label, mining_ratio, mining_threshold, variance[4];
    int64_t least_negative;
} target;

// One image, in scratch.
typedef struct image {
    double *anchor;      // [anchors] boxes
    double *label;       // [labels] boxes
    double *name;        // [labels] class of each
    double *best;        // [labels] overlap with the best anchor that is left
    int64_t *best_at;    // [labels] that anchor; -1: none, or the label is matched
    int64_t *match;      // [anchors] label of a positive one
    double *probability; // [anchors] of the background, for candidates
    int64_t *candidate;  // [anchors]
    int64_t *lines;      // [2 anchors] for sorting
    uint8_t *kind;       // [anchors]
    int64_t n_labels;    // rows before the first one of -1
    int64_t n_positive;
} image;

// Lays an image out in scratch.
static void lay_image(const target *t, ref_room *room, image *m)
{
    m->anchor = ref_take(room, t->anchors, 4 * sizeof(double));
    m->label = ref_take(room, t->labels, 4 * sizeof(double));
    m->name = ref_take(room, t->labels, sizeof(double));
    m->best = ref_take(room, t->labels, sizeof(double));
    m->best_at = ref_take(room, t->labels, sizeof(int64_t));
    m->match = ref_take(room, t->anchors, sizeof(int64_t));
    m->probability = ref_take(room, t->anchors, sizeof(double));
    m->candidate = ref_take(room, t->anchors, sizeof(int64_t));
    m->lines = ref_take(room, t->anchors, 2 * sizeof(int64_t));
    m->kind = ref_take(room, t->anchors, 1);
}

static tn_status target_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    target *t = k->state;
    const int64_t *label = k->call->in[1]->dims, *cls = k->call->in[2]->dims;
    const tn_reals variances = tn_call_reals(k->call, "variances");
    *t = (target){.images = label[0],
                  .anchors = cls[2],
                  .labels = label[1],
                  .label_width = label[2],
                  .classes = cls[1],
                  .overlap_threshold = tn_call_f64(k->call, "overlap_threshold", 0.5),
                  .ignore_label = tn_call_f64(k->call, "ignore_label", -1),
                  .mining_ratio = tn_call_f64(k->call, "negative_mining_ratio", -1),
                  .mining_threshold = tn_call_f64(k->call, "negative_mining_thresh", 0.5),
                  .least_negative = tn_call_i64(k->call, "minimum_negative_samples", 0)};
    for (size_t i = 0; i < 4 && i < variances.n; i++) t->variance[i] = variances.v[i];
    ref_room room = {0};
    image m;
    lay_image(t, &room, &m);
    info->scratch_bytes = room.used;
    return TN_OK;
}

static double overlap(const image *m, int64_t anchor, int64_t label)
{
    return ref_overlap(m->anchor + 4 * anchor, m->label + 4 * label, 0);
}

// Rows of one image; a row of class -1 ends them.
static void load_labels(const target *t, ref_array labels, int64_t row, image *m)
{
    for (m->n_labels = 0; m->n_labels < t->labels; m->n_labels++) {
        const int64_t at = (row * t->labels + m->n_labels) * t->label_width;
        if (ref_get_real(labels, at) == -1) return;
        m->name[m->n_labels] = ref_get_real(labels, at);
        for (int i = 0; i < 4; i++)
            m->label[4 * m->n_labels + i] = ref_get_real(labels, at + 1 + i);
    }
}

// The anchor that is left and overlaps a label most, the first one of equals; tiny overlaps do not
// count.
static void find_best(const target *t, image *m, int64_t label)
{
    m->best[label] = 1e-6;
    m->best_at[label] = -1;
    for (int64_t j = 0; j < t->anchors; j++) {
        if (m->kind[j] == POSITIVE) continue;
        const double v = overlap(m, j, label);
        if (!(v > m->best[label])) continue;
        m->best[label] = v;
        m->best_at[label] = j;
    }
}

// The label with the largest overlap of all; of equals that of the first anchor. -1: none.
static int64_t largest(const image *m)
{
    int64_t found = -1;
    for (int64_t i = 0; i < m->n_labels; i++) {
        if (m->best_at[i] < 0) continue;
        const bool more = found < 0 || m->best[i] > m->best[found];
        const bool equal = found >= 0 && m->best[i] == m->best[found];
        if (more || (equal && m->best_at[i] < m->best_at[found])) found = i;
    }
    return found;
}

static void match(image *m, int64_t anchor, int64_t label)
{
    m->kind[anchor] = POSITIVE;
    m->match[anchor] = label;
    m->n_positive++;
}

// Stage 1: labels take anchors, each label one and each anchor once, the largest overlap first.
static void match_labels(const target *t, image *m)
{
    for (int64_t i = 0; i < m->n_labels; i++) find_best(t, m, i);
    for (int64_t label; (label = largest(m)) >= 0;) {
        const int64_t anchor = m->best_at[label];
        match(m, anchor, label);
        m->best_at[label] = -1;
        for (int64_t i = 0; i < m->n_labels; i++)
            if (m->best_at[i] == anchor) find_best(t, m, i);
    }
}

// The label that an anchor overlaps most, the first one of equals; its overlap goes to *v.
static int64_t best_label(const image *m, int64_t anchor, double *v)
{
    int64_t found = -1;
    *v = -1;
    for (int64_t i = 0; i < m->n_labels; i++) {
        const double o = overlap(m, anchor, i);
        if (!(o > *v)) continue;
        *v = o;
        found = i;
    }
    return found;
}

// Stage 2: anchors that are left take labels, however many have one.
static void match_anchors(const target *t, image *m)
{
    for (int64_t j = 0; j < t->anchors; j++) {
        double v;
        if (m->kind[j] == POSITIVE) continue;
        const int64_t label = best_label(m, j, &v);
        if (label >= 0 && v > t->overlap_threshold) match(m, j, label);
    }
}

// softmax(cls_pred[image, :, anchor])[0]
static double background(const target *t, ref_array cls, int64_t row, int64_t anchor)
{
    const int64_t first = row * t->classes * t->anchors + anchor;
    double most = -INFINITY, sum = 0;
    if (t->classes == 0) return 0;
    for (int64_t c = 0; c < t->classes; c++)
        most = fmax(most, ref_get_real(cls, first + c * t->anchors));
    for (int64_t c = 0; c < t->classes; c++)
        sum += exp(ref_get_real(cls, first + c * t->anchors) - most);
    return exp(ref_get_real(cls, first) - most) / sum;
}

// Stage 3: of the anchors that overlap no label much, those taken least for background.
static void mine(const target *t, image *m, ref_array cls, int64_t row)
{
    int64_t n = 0;
    for (int64_t j = 0; j < t->anchors; j++) {
        double v;
        if (m->kind[j] == POSITIVE) continue;
        best_label(m, j, &v);
        if (!(v < t->mining_threshold)) continue;
        m->probability[n] = background(t, cls, row, j);
        m->candidate[n++] = j;
    }
    int64_t wanted = tn_saturate((double)m->n_positive * t->mining_ratio, 0, n);
    if (wanted < t->least_negative) wanted = t->least_negative < n ? t->least_negative : n;
    const int64_t *order = ref_order_of(m->probability, n, true, m->lines, m->lines + t->anchors);
    for (int64_t i = 0; i < wanted; i++) m->kind[m->candidate[order[i]]] = NEGATIVE;
}

// Where label box g lies, seen from anchor a.
static void put_location(const target *t, const double *a, const double *g, ref_array y, int64_t at)
{
    for (int i = 0; i < 2; i++) { // x, y
        const double size = a[2 + i] - a[i], centre = (a[i] + a[2 + i]) / 2;
        const double other = g[2 + i] - g[i], there = (g[i] + g[2 + i]) / 2;
        ref_put_real(y, at + i, (there - centre) / size / t->variance[i]);
        ref_put_real(y, at + 2 + i, log(other / size) / t->variance[2 + i]);
    }
}

// Outputs loc_target, loc_mask and cls_target of one image.
static void put_targets(const target *t, const image *m, const ref_array y[3], int64_t row)
{
    for (int64_t j = 0; j < t->anchors; j++) {
        const int64_t at = row * t->anchors + j;
        const bool positive = m->kind[j] == POSITIVE;
        for (int i = 0; i < 4; i++) {
            ref_put_real(y[0], 4 * at + i, 0);
            ref_put_real(y[1], 4 * at + i, positive);
        }
        if (positive) {
            put_location(t, m->anchor + 4 * j, m->label + 4 * m->match[j], y[0], 4 * at);
            ref_put_real(y[2], at, m->name[m->match[j]] + 1);
        } else {
            ref_put_real(y[2], at, m->kind[j] == NEGATIVE ? 0 : t->ignore_label);
        }
    }
}

// Inputs anchor, label, cls_pred
static tn_status multibox_target(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const target *t = k->state;
    const ref_array y[3] = {ref_out(k, a, 0), ref_out(k, a, 1), ref_out(k, a, 2)};
    ref_room room = {a->scratch.host, 0};
    image m;
    if (t->anchors == 0) return TN_OK;
    lay_image(t, &room, &m);
    load_boxes(ref_in(k, a, 0), t->anchors, m.anchor);
    for (int64_t row = 0; row < t->images; row++) {
        load_labels(t, ref_in(k, a, 1), row, &m);
        const bool mines = m.n_labels == 0 || t->mining_ratio > 0;
        memset(m.kind, mines ? IGNORED : NEGATIVE, (size_t)t->anchors);
        m.n_positive = 0;
        match_labels(t, &m);
        if (m.n_labels && t->overlap_threshold > 0) match_anchors(t, &m);
        if (m.n_labels && t->mining_ratio > 0) mine(t, &m, ref_in(k, a, 2), row);
        put_targets(t, &m, y, row);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ MultiBoxDetection

typedef struct detection {
    int64_t images, classes, anchors, background, top;
    double threshold, overlap, variance[4];
    bool clip, across;
} detection;

// Detections of one image, in scratch: first as found, then in order.
typedef struct found {
    double *anchor; // [anchors] boxes
    double *box[2], *name[2], *score[2];
    int64_t *lines; // [2 anchors]
    uint8_t *gone;
    int64_t n;
} found;

static void lay_found(const detection *d, ref_room *room, found *f)
{
    f->anchor = ref_take(room, d->anchors, 4 * sizeof(double));
    for (int i = 0; i < 2; i++) {
        f->box[i] = ref_take(room, d->anchors, 4 * sizeof(double));
        f->name[i] = ref_take(room, d->anchors, sizeof(double));
        f->score[i] = ref_take(room, d->anchors, sizeof(double));
    }
    f->lines = ref_take(room, d->anchors, 2 * sizeof(int64_t));
    f->gone = ref_take(room, d->anchors, 1);
}

static tn_status detection_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    detection *d = k->state;
    const int64_t *cls = k->call->in[0]->dims;
    const tn_reals variances = tn_call_reals(k->call, "variances");
    *d = (detection){.images = cls[0],
                     .classes = cls[1],
                     .anchors = cls[2],
                     .background = tn_call_i64(k->call, "background_id", 0),
                     .top = tn_call_i64(k->call, "nms_topk", -1),
                     .overlap = tn_call_f64(k->call, "nms_threshold", 0.5),
                     .clip = tn_call_bool(k->call, "clip", true),
                     .across = tn_call_bool(k->call, "force_suppress", false)};
    // compared with probabilities as they are stored
    d->threshold = ref_as_real(k->call->in[0]->dtype, tn_call_f64(k->call, "threshold", 0.01));
    for (size_t i = 0; i < 4 && i < variances.n; i++) d->variance[i] = variances.v[i];
    ref_room room = {0};
    found f;
    lay_found(d, &room, &f);
    info->scratch_bytes = room.used;
    return TN_OK;
}

// The most probable class but the background, and its probability; -1: none.
static int64_t best_class(const detection *d, ref_array cls, int64_t first, double *score)
{
    int64_t best = -1;
    *score = -1;
    for (int64_t c = 0; c < d->classes; c++) {
        const double v = ref_get_real(cls, first + c * d->anchors);
        if (c == d->background || !(v > *score)) continue;
        *score = v;
        best = c;
    }
    return best >= 0 && *score < d->threshold ? -1 : best;
}

static double clipped(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

// The box that a prediction makes of anchor a.
static void decode(const detection *d, const double *a, ref_array loc, int64_t at, double *box)
{
    for (int i = 0; i < 2; i++) { // x, y
        const double size = a[2 + i] - a[i], centre = (a[i] + a[2 + i]) / 2;
        const double to = ref_get_real(loc, at + i) * d->variance[i] * size + centre;
        const double half = exp(ref_get_real(loc, at + 2 + i) * d->variance[2 + i]) * size / 2;
        box[i] = d->clip ? clipped(to - half) : to - half;
        box[2 + i] = d->clip ? clipped(to + half) : to + half;
    }
}

static void find_all(const detection *d, ref_array cls, ref_array loc, int64_t row, found *f)
{
    const bool named = d->background >= 0 && d->background < d->classes;
    f->n = 0;
    for (int64_t j = 0; j < d->anchors; j++) {
        double score;
        const int64_t c = best_class(d, cls, row * d->classes * d->anchors + j, &score);
        if (c < 0) continue;
        f->name[0][f->n] = (double)(named && c > d->background ? c - 1 : c);
        f->score[0][f->n] = score;
        decode(d, f->anchor + 4 * j, loc, 4 * (row * d->anchors + j), f->box[0] + 4 * f->n);
        f->n++;
    }
}

// Sorts by score into the second set, and gives class -1 to what is suppressed or beyond top.
static void select_best(const detection *d, found *f)
{
    const int64_t most = d->top > 0 && d->top < f->n ? d->top : f->n;
    const int64_t *order = ref_order_of(f->score[0], f->n, false, f->lines, f->lines + d->anchors);
    for (int64_t i = 0; i < f->n; i++) {
        memcpy(f->box[1] + 4 * i, f->box[0] + 4 * order[i], 4 * sizeof(double));
        f->name[1][i] = f->name[0][order[i]];
        f->score[1][i] = f->score[0][order[i]];
    }
    const ref_suppression s = {.box = f->box[1],
                               .group = d->across ? NULL : f->name[1],
                               .n = most,
                               .most = most,
                               .threshold = d->overlap,
                               .inclusive = true};
    ref_suppress(&s, f->gone, f->lines); // the order is not needed any more
    for (int64_t i = 0; i < f->n; i++)
        if (i >= most || f->gone[i]) f->name[1][i] = -1;
}

// Inputs cls_prob, loc_pred, anchor
static tn_status multibox_detection(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const detection *d = k->state;
    const ref_array y = ref_out(k, a, 0);
    const bool selects = d->overlap > 0 && d->overlap <= 1;
    ref_room room = {a->scratch.host, 0};
    found f;
    if (y.n == 0) return TN_OK;
    lay_found(d, &room, &f);
    load_boxes(ref_in(k, a, 2), d->anchors, f.anchor);
    for (int64_t row = 0; row < d->images; row++) {
        find_all(d, ref_in(k, a, 0), ref_in(k, a, 1), row, &f);
        if (selects) select_best(d, &f);
        for (int64_t i = 0; i < d->anchors; i++) {
            const int64_t at = 6 * (row * d->anchors + i);
            const bool is = i < f.n;
            ref_put_real(y, at, is ? f.name[selects][i] : -1);
            ref_put_real(y, at + 1, is ? f.score[selects][i] : -1);
            for (int j = 0; j < 4; j++)
                ref_put_real(y, at + 2 + j, is ? f.box[selects][4 * i + j] : -1);
        }
    }
    return TN_OK;
}

const tn_kernel_row ref_multibox[] = {
    {.op = "_contrib_MultiBoxTarget",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .state_size = sizeof(target),
     .setup = target_setup,
     .run = multibox_target},
    {.op = "_contrib_MultiBoxDetection",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .state_size = sizeof(detection),
     .setup = detection_setup,
     .run = multibox_detection},
    {0},
};
