// backends/blas/blas_target.c: MultiBoxTarget: what a single-shot detector is to say of an image,
// which is an item: for each anchor its class, and where the box lies that it stands for.
#include "blas_boxes.h"

enum { NEGATIVE = 0, POSITIVE = 1, IGNORED = 2 };

typedef struct target {
    int64_t images, anchors, labels, width, classes; // width: numbers of a label
    double threshold, ignored, ratio, mining, variance[4];
    int64_t least; // negative samples
    uint64_t worker_bytes;
} target;

// One image.
typedef struct image {
    blas_boxes anchor;
    double *overlap;     // [anchors] with one label
    double *best;        // [anchors] largest overlap with a label, …
    int64_t *label;      // … and which; of a positive one its own
    uint8_t *kind;       // [anchors]
    double *box, *name;  // [labels] boxes, classes
    double *most;        // [labels] overlap with the best anchor that is left, …
    int64_t *at;         // … and which; -1: none, or the label has one
    double *probability; // [anchors] of the background, of those that may be negative
    int64_t *candidate;  // [anchors] which those are
    int64_t *key;        // [anchors], and two lines of numbers for sorting
    int64_t n_labels, n_positive;
} image;

static image lay_out(const target *t, blas_room *room)
{
    return (image){.anchor = blas_take_boxes(room, t->anchors),
                   .overlap = blas_take(room, t->anchors, sizeof(double)),
                   .best = blas_take(room, t->anchors, sizeof(double)),
                   .label = blas_take(room, t->anchors, sizeof(int64_t)),
                   .kind = blas_take(room, t->anchors, 1),
                   .box = blas_take(room, t->labels, 4 * sizeof(double)),
                   .name = blas_take(room, t->labels, sizeof(double)),
                   .most = blas_take(room, t->labels, sizeof(double)),
                   .at = blas_take(room, t->labels, sizeof(int64_t)),
                   .probability = blas_take(room, t->anchors, sizeof(double)),
                   .candidate = blas_take(room, t->anchors, sizeof(int64_t)),
                   .key = blas_take(room, t->anchors, 3 * sizeof(int64_t))};
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    target *t = k->state;
    const tn_call *c = k->call;
    const int64_t *label = c->in[1]->dims, *cls = c->in[2]->dims;
    const tn_reals variances = tn_call_reals(c, "variances");
    *t = (target){.images = label[0],
                  .anchors = cls[2],
                  .labels = label[1],
                  .width = label[2],
                  .classes = cls[1],
                  .threshold = tn_call_f64(c, "overlap_threshold", 0.5),
                  .ignored = tn_call_f64(c, "ignore_label", -1),
                  .ratio = tn_call_f64(c, "negative_mining_ratio", -1),
                  .mining = tn_call_f64(c, "negative_mining_thresh", 0.5),
                  .least = tn_call_i64(c, "minimum_negative_samples", 0)};
    for (size_t i = 0; i < 4 && i < variances.n; i++) t->variance[i] = variances.v[i];
    blas_room room = {NULL, 0};
    lay_out(t, &room);
    t->worker_bytes = room.used;
    info->scratch_bytes = room.used * k->host->threads(k->host->host);
    return TN_OK;
}

// Rows of an image (class, box …); one of class -1 ends them.
static void load_labels(const blas_run *r, int64_t n, image *m)
{
    const target *t = r->k->state;
    for (m->n_labels = 0; m->n_labels < t->labels; m->n_labels++) {
        const int64_t at = (n * t->labels + m->n_labels) * t->width;
        double v[5];
        blas_load_f64(r->k->call->in[1]->dtype, blas_in(r->a, 1), at, 5, v);
        if (v[0] == -1) return;
        m->name[m->n_labels] = v[0];
        memcpy(m->box + 4 * m->n_labels, v + 1, 4 * sizeof(double));
    }
}

// For each anchor the label that it overlaps most, the first one of equals.
static void find_labels(const target *t, const image *m)
{
    for (int64_t j = 0; j < t->anchors; j++) {
        m->best[j] = -1;
        m->label[j] = -1;
    }
    for (int64_t i = 0; i < m->n_labels; i++) {
        blas_overlaps(&m->anchor, 0, t->anchors, m->box + 4 * i, 0, m->overlap);
        for (int64_t j = 0; j < t->anchors; j++) {
            if (!(m->overlap[j] > m->best[j])) continue;
            m->best[j] = m->overlap[j];
            m->label[j] = i;
        }
    }
}

// For a label the anchor that is left and overlaps it most, the first one of equals. What overlaps
// by less than a millionth is none.
static void find_anchor(const target *t, const image *m, int64_t label)
{
    m->most[label] = 1e-6;
    m->at[label] = -1;
    blas_overlaps(&m->anchor, 0, t->anchors, m->box + 4 * label, 0, m->overlap);
    for (int64_t j = 0; j < t->anchors; j++) {
        if (m->kind[j] == POSITIVE || !(m->overlap[j] > m->most[label])) continue;
        m->most[label] = m->overlap[j];
        m->at[label] = j;
    }
}

static void match(image *m, int64_t anchor, int64_t label)
{
    m->kind[anchor] = POSITIVE;
    m->label[anchor] = label;
    m->n_positive++;
}

// Each label takes an anchor: those first that overlap most, of equals that of the first anchor.
static void match_labels(const target *t, image *m)
{
    for (int64_t i = 0; i < m->n_labels; i++) find_anchor(t, m, i);
    for (;;) {
        int64_t next = -1;
        for (int64_t i = 0; i < m->n_labels; i++) {
            if (m->at[i] < 0) continue;
            if (next < 0 || m->most[i] > m->most[next] ||
                (m->most[i] == m->most[next] && m->at[i] < m->at[next]))
                next = i;
        }
        if (next < 0) return;
        const int64_t anchor = m->at[next];
        match(m, anchor, next);
        m->at[next] = -1;
        for (int64_t i = 0; i < m->n_labels; i++)
            if (m->at[i] == anchor) find_anchor(t, m, i);
    }
}

// softmax over the classes of an anchor, of the background
static double background(const blas_run *r, int64_t n, int64_t anchor)
{
    const target *t = r->k->state;
    double first = 0, most = -INFINITY, sum = 0, v;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t c = 0; c < t->classes; c++) {
            blas_load_f64(r->k->call->in[2]->dtype, blas_in(r->a, 2),
                          (n * t->classes + c) * t->anchors + anchor, 1, &v);
            if (c == 0) first = v;
            if (pass == 0)
                most = fmax(most, v);
            else
                sum += exp(v - most);
        }
    return t->classes ? exp(first - most) / sum : 0;
}

// Of the anchors that overlap no label much, those become negative that are taken for background
// least.
static void mine(const blas_run *r, int64_t image_number, image *m)
{
    const target *t = r->k->state;
    int64_t n = 0;
    for (int64_t j = 0; j < t->anchors; j++) {
        if (m->kind[j] == POSITIVE || !(m->best[j] < t->mining)) continue;
        m->probability[n] = background(r, image_number, j);
        m->candidate[n++] = j;
    }
    int64_t wanted = tn_saturate((double)m->n_positive * t->ratio, 0, n);
    if (wanted < t->least) wanted = t->least < n ? t->least : n;
    for (int64_t i = 0; i < n; i++) m->key[i] = blas_key(m->probability[i]);
    const int64_t *order = blas_sort(m->key, n, true, m->key + t->anchors, m->key + 2 * t->anchors);
    for (int64_t i = 0; i < wanted; i++) m->kind[m->candidate[order[i]]] = NEGATIVE;
}

static void assign(const blas_run *r, int64_t n, image *m)
{
    const target *t = r->k->state;
    const bool mines = m->n_labels == 0 || t->ratio > 0;
    memset(m->kind, mines ? IGNORED : NEGATIVE, (size_t)t->anchors);
    m->n_positive = 0;
    find_labels(t, m);
    match_labels(t, m);
    if (m->n_labels == 0) return;
    for (int64_t j = 0; t->threshold > 0 && j < t->anchors; j++)
        if (m->kind[j] != POSITIVE && m->best[j] > t->threshold) match(m, j, m->label[j]);
    if (t->ratio > 0) mine(r, n, m);
}

// Where box g lies, seen from anchor a.
static void locate(const target *t, const double a[4], const double *g, double y[4])
{
    for (int axis = 0; axis < 2; axis++) {
        const double size = a[2 + axis] - a[axis], other = g[2 + axis] - g[axis];
        const double centre = (a[axis] + a[2 + axis]) / 2, there = (g[axis] + g[2 + axis]) / 2;
        y[axis] = (there - centre) / size / t->variance[axis];
        y[2 + axis] = log(other / size) / t->variance[2 + axis];
    }
}

// Outputs loc_target, loc_mask and cls_target of an image.
static void put_targets(const blas_run *r, int64_t n, const image *m)
{
    const target *t = r->k->state;
    for (int64_t j = 0; j < t->anchors; j++) {
        const int64_t at = n * t->anchors + j;
        const double is = m->kind[j] == POSITIVE;
        double a[4], location[4] = {0}, mask[4] = {is, is, is, is};
        double name = m->kind[j] == NEGATIVE ? 0 : t->ignored;
        if (m->kind[j] == POSITIVE) {
            blas_box_get(&m->anchor, j, a);
            locate(t, a, m->box + 4 * m->label[j], location);
            name = m->name[m->label[j]] + 1;
        }
        blas_store_f64(r->k->call->out[0]->dtype, blas_out(r->a, 0), 4 * at, 4, location);
        blas_store_f64(r->k->call->out[1]->dtype, blas_out(r->a, 1), 4 * at, 4, mask);
        blas_store_f64(r->k->call->out[2]->dtype, blas_out(r->a, 2), at, 1, &name);
    }
}

static void images(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const target *t = r->k->state;
    blas_room room = {(char *)r->a->scratch.host + worker * t->worker_bytes, 0};
    image m = lay_out(t, &room);
    for (int64_t j = 0; j < t->anchors; j++) {
        double box[4];
        blas_load_f64(r->k->call->in[0]->dtype, blas_in(r->a, 0), 4 * j, 4, box);
        blas_box_set(&m.anchor, j, box);
    }
    for (int64_t n = begin; n < end; n++) {
        load_labels(r, n, &m);
        assign(r, n, &m);
        put_targets(r, n, &m);
    }
}

// Inputs anchor, label, cls_pred
static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const target *t = k->state;
    blas_run r = {k, a};
    if (t->anchors)
        blas_items(k, a, t->images, t->anchors * (t->labels + 1), BLAS_COSTLY, images, &r);
    return TN_OK;
}

const tn_kernel_row blas_targets[] = {
    {.op = "_contrib_MultiBoxTarget",
     .dtypes = TN_FLOATS,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(target),
     .setup = setup,
     .run = run},
    {0},
};
