// backends/blas/blas_detection.c: MultiBoxDetection: what a single-shot detector sees in an image,
// which is an item.
#include "blas_boxes.h"

typedef struct detection {
    int64_t images, classes, anchors, background, top;
    double threshold, overlap, variance[4];
    bool clip, across;
    uint64_t worker_bytes;
} detection;

// One image. Numbers of detections are those of the anchors that have one, without gaps.
typedef struct image {
    double *anchor, *loc;  // [anchors] boxes; predictions for each
    double *row;           // [anchors] probabilities of a class
    double *score, *class; // [anchors] of the best class
    blas_boxes box;        // [anchors] detections
    double *seen, *name;   // their scores; the names of the classes
    int64_t *key;          // [anchors], and two lines of numbers for sorting
    blas_boxes ordered;    // the same in order
    double *called;        // names in order
    int64_t *keep;
    uint8_t *gone;
    int64_t n;
} image;

static image lay_out(const detection *d, blas_room *room)
{
    const int64_t n = d->anchors;
    return (image){.anchor = blas_take(room, n, 4 * sizeof(double)),
                   .loc = blas_take(room, n, 4 * sizeof(double)),
                   .row = blas_take(room, n, sizeof(double)),
                   .score = blas_take(room, n, sizeof(double)),
                   .class = blas_take(room, n, sizeof(double)),
                   .box = blas_take_boxes(room, n),
                   .seen = blas_take(room, n, sizeof(double)),
                   .name = blas_take(room, n, sizeof(double)),
                   .key = blas_take(room, n, 3 * sizeof(int64_t)),
                   .ordered = blas_take_boxes(room, n),
                   .called = blas_take(room, n, sizeof(double)),
                   .keep = blas_take(room, n, sizeof(int64_t)),
                   .gone = blas_take(room, n, 1)};
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    detection *d = k->state;
    const tn_call *c = k->call;
    const tn_reals variances = tn_call_reals(c, "variances");
    *d = (detection){.images = c->in[0]->dims[0],
                     .classes = c->in[0]->dims[1],
                     .anchors = c->in[0]->dims[2],
                     .background = tn_call_i64(c, "background_id", 0),
                     .top = tn_call_i64(c, "nms_topk", -1),
                     .overlap = tn_call_f64(c, "nms_threshold", 0.5),
                     .clip = tn_call_bool(c, "clip", true),
                     .across = tn_call_bool(c, "force_suppress", false)};
    // It is compared with probabilities as they are stored.
    d->threshold = blas_as_real(c->in[0]->dtype, tn_call_f64(c, "threshold", 0.01));
    for (size_t i = 0; i < 4 && i < variances.n; i++) d->variance[i] = variances.v[i];
    blas_room room = {NULL, 0};
    lay_out(d, &room);
    d->worker_bytes = room.used;
    info->scratch_bytes = room.used * k->host->threads(k->host->host);
    return TN_OK;
}

// The most probable class of each anchor but the background, the first of equals; -1: none is above
// the threshold.
static void best_classes(const blas_run *r, int64_t n, const image *m)
{
    const detection *d = r->k->state;
    for (int64_t j = 0; j < d->anchors; j++) m->score[j] = m->class[j] = -1;
    for (int64_t c = 0; c < d->classes; c++) {
        if (c == d->background) continue;
        blas_load_f64(r->k->call->in[0]->dtype, blas_in(r->a, 0), (n * d->classes + c) * d->anchors,
                      d->anchors, m->row);
        for (int64_t j = 0; j < d->anchors; j++) {
            if (!(m->row[j] > m->score[j])) continue;
            m->score[j] = m->row[j];
            m->class[j] = (double)c;
        }
    }
    for (int64_t j = 0; j < d->anchors; j++)
        if (m->score[j] < d->threshold) m->class[j] = -1;
}

static double inside(const detection *d, double v)
{
    return !d->clip ? v : v < 0 ? 0 : v > 1 ? 1 : v;
}

// The box that predictions p make of anchor a.
static void decode(const detection *d, const double *a, const double *p, double *box)
{
    for (int axis = 0; axis < 2; axis++) {
        const double size = a[2 + axis] - a[axis], centre = (a[axis] + a[2 + axis]) / 2;
        const double at = p[axis] * d->variance[axis] * size + centre;
        const double half = exp(p[2 + axis] * d->variance[2 + axis]) * size / 2;
        box[axis] = inside(d, at - half);
        box[2 + axis] = inside(d, at + half);
    }
}

// Detections in the order of the anchors. Classes behind the background move up by one.
static void find_all(const blas_run *r, int64_t n, image *m)
{
    const detection *d = r->k->state;
    const bool named = d->background >= 0 && d->background < d->classes;
    best_classes(r, n, m);
    blas_load_f64(r->k->call->in[1]->dtype, blas_in(r->a, 1), 4 * n * d->anchors, 4 * d->anchors,
                  m->loc);
    m->n = 0;
    for (int64_t j = 0; j < d->anchors; j++) {
        double box[4];
        const double c = m->class[j];
        if (c < 0) continue;
        decode(d, m->anchor + 4 * j, m->loc + 4 * j, box);
        blas_box_set(&m->box, m->n, box);
        m->name[m->n] = named && c > (double)d->background ? c - 1 : c;
        m->seen[m->n++] = m->score[j];
    }
}

// The best first; what is suppressed, or not among the first `top`, gets name -1. Returns the
// order.
static const int64_t *select_best(const detection *d, const image *m)
{
    const int64_t most = d->top > 0 && d->top < m->n ? d->top : m->n;
    for (int64_t i = 0; i < m->n; i++) m->key[i] = blas_key(m->seen[i]);
    const int64_t *order =
        blas_sort(m->key, m->n, false, m->key + d->anchors, m->key + 2 * d->anchors);
    for (int64_t i = 0; i < m->n; i++) {
        double box[4];
        blas_box_get(&m->box, order[i], box);
        blas_box_set(&m->ordered, i, box);
        m->called[i] = m->name[order[i]];
    }
    const blas_suppression s = {.boxes = m->ordered,
                                .name = d->across ? NULL : m->called,
                                .n = most,
                                .most = most,
                                .threshold = d->overlap,
                                .inclusive = true};
    blas_suppress(&s, m->gone, m->keep);
    for (int64_t i = 0; i < m->n; i++)
        if (i >= most || m->gone[i]) m->called[i] = -1;
    return order;
}

// Rows (name, score, box) of an image, of -1 where there are no more. order NULL: as found.
static void put_rows(const blas_run *r, int64_t n, const image *m, const int64_t *order)
{
    const detection *d = r->k->state;
    for (int64_t i = 0; i < d->anchors; i++) {
        double v[6] = {-1, -1, -1, -1, -1, -1};
        if (i < m->n) {
            v[0] = order ? m->called[i] : m->name[i];
            v[1] = m->seen[order ? order[i] : i];
            blas_box_get(order ? &m->ordered : &m->box, i, v + 2);
        }
        blas_store_f64(r->k->call->out[0]->dtype, blas_out(r->a, 0), 6 * (n * d->anchors + i), 6,
                       v);
    }
}

static void images(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const detection *d = r->k->state;
    const bool selects = d->overlap > 0 && d->overlap <= 1;
    blas_room room = {(char *)r->a->scratch.host + worker * d->worker_bytes, 0};
    image m = lay_out(d, &room);
    blas_load_f64(r->k->call->in[2]->dtype, blas_in(r->a, 2), 0, 4 * d->anchors, m.anchor);
    for (int64_t n = begin; n < end; n++) {
        find_all(r, n, &m);
        put_rows(r, n, &m, selects ? select_best(d, &m) : NULL);
    }
}

// Inputs cls_prob, loc_pred, anchor
static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const detection *d = k->state;
    blas_run r = {k, a};
    if (k->call->out[0]->size)
        blas_items(k, a, d->images, d->anchors * d->classes, BLAS_COSTLY, images, &r);
    return TN_OK;
}

const tn_kernel_row blas_detections[] = {
    {.op = "_contrib_MultiBoxDetection",
     .dtypes = TN_FLOATS,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(detection),
     .setup = setup,
     .run = run},
    {0},
};
