// backends/blas/blas_proposal.c: Proposal and MultiProposal: the boxes of a map of predictions that
// are most likely something, without those that overlap a better one. An image is an item.
#include "blas_boxes.h"

typedef struct proposal {
    int64_t images, anchors, height, width;
    int64_t boxes;      // of an image, …
    int64_t looked_at;  // … those with the best scores, …
    int64_t kept, rows; // … at most so many of them, and rows of the output
    double stride, least, threshold;
    tn_reals ratios, scales;
    bool corners; // iou_loss: predictions move corners
    uint64_t worker_bytes;
} proposal;

// One image.
typedef struct image {
    double *anchor;     // [anchors] boxes at place (0, 0)
    double *score;      // [boxes]
    int64_t *key;       // [boxes], and two lines of numbers for sorting
    blas_boxes all;     // [boxes]
    blas_boxes ordered; // [looked_at]
    int64_t *keep;      // [kept]
    uint8_t *gone;      // [looked_at]
} image;

static image lay_out(const proposal *p, blas_room *room)
{
    return (image){.anchor = blas_take(room, p->anchors, 4 * sizeof(double)),
                   .score = blas_take(room, p->boxes, sizeof(double)),
                   .key = blas_take(room, p->boxes, 3 * sizeof(int64_t)),
                   .all = blas_take_boxes(room, p->boxes),
                   .ordered = blas_take_boxes(room, p->looked_at),
                   .keep = blas_take(room, p->kept, sizeof(int64_t)),
                   .gone = blas_take(room, p->looked_at, 1)};
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    proposal *p = k->state;
    const tn_call *c = k->call;
    const int64_t *dims = c->in[0]->dims, top = tn_call_i64(c, "rpn_pre_nms_top_n", 6000);
    *p = (proposal){.images = dims[0],
                    .anchors = dims[1] / 2,
                    .height = dims[2],
                    .width = dims[3],
                    .boxes = dims[1] / 2 * dims[2] * dims[3],
                    .rows = tn_call_i64(c, "rpn_post_nms_top_n", 300),
                    .stride = (double)tn_call_i64(c, "feature_stride", 16),
                    .least = (double)tn_call_i64(c, "rpn_min_size", 16),
                    .threshold = tn_call_f64(c, "threshold", 0.7),
                    .ratios = tn_call_reals(c, "ratios"),
                    .scales = tn_call_reals(c, "scales"),
                    .corners = tn_call_bool(c, "iou_loss", false)};
    p->looked_at = top > 0 && top < p->boxes ? top : p->boxes;
    p->kept = p->rows < p->looked_at ? p->rows : p->looked_at;
    blas_room room = {NULL, 0};
    lay_out(p, &room);
    p->worker_bytes = room.used;
    info->scratch_bytes = room.used * k->host->threads(k->host->host);
    return TN_OK;
}

static double round_up_halves(double v)
{
    return floor(v + 0.5);
}

// Around the first place: for each ratio, an anchor of each scale.
static void make_anchors(const proposal *p, double *box)
{
    const double centre = (p->stride - 1) / 2;
    for (int64_t i = 0; i < p->anchors; i++, box += 4) {
        const double ratio = p->ratios.v[i / (int64_t)p->scales.n];
        const double scale = p->scales.v[i % (int64_t)p->scales.n];
        const double w = round_up_halves(sqrt(floor(p->stride * p->stride / ratio)));
        const double size[2] = {w * scale, round_up_halves(w * ratio) * scale};
        for (int axis = 0; axis < 2; axis++) {
            box[axis] = centre - (size[axis] - 1) / 2;
            box[2 + axis] = centre + (size[axis] - 1) / 2;
        }
    }
}

// Moves a box by what is predicted: of its centre and log size, or of its corners.
static void move(const proposal *p, const double d[4], double *box)
{
    for (int axis = 0; axis < 2; axis++) {
        const double low = box[axis], high = box[2 + axis], size = high - low + 1;
        const double centre = d[axis] * size + (low + (size - 1) / 2);
        const double half = (exp(d[2 + axis]) * size - 1) / 2;
        box[axis] = p->corners ? low + d[axis] : centre - half;
        box[2 + axis] = p->corners ? high + d[2 + axis] : centre + half;
    }
}

// Cuts a box off at the image of (height, width, scale). One that is too small is refused, and
// grows by half the least size each way.
static bool fit(const proposal *p, const double info[3], double *box)
{
    const double least = p->least * info[2];
    for (int c = 0; c < 4; c++) {
        const double most = info[1 - c % 2] - 1;
        box[c] = box[c] > most ? most : box[c];
        box[c] = box[c] < 0 ? 0 : box[c];
    }
    if (!(box[2] - box[0] + 1 < least || box[3] - box[1] + 1 < least)) return true;
    for (int c = 0; c < 4; c++) box[c] += c < 2 ? -least / 2 : least / 2;
    return false;
}

static double number(const blas_run *r, uint32_t input, int64_t at)
{
    double v;
    blas_load_f64(r->k->call->in[input]->dtype, blas_in(r->a, input), at, 1, &v);
    return v;
}

// Boxes and scores: place after place, an anchor after the other. What does not fit has score -1, a
// NaN comes last.
static void find_all(const blas_run *r, int64_t n, const double info[3], const image *m)
{
    const proposal *p = r->k->state;
    const int64_t map = p->height * p->width;
    const int64_t rows = tn_saturate(info[0] / p->stride, -1, INT64_MAX);
    const int64_t columns = tn_saturate(info[1] / p->stride, -1, INT64_MAX);
    for (int64_t i = 0; i < p->boxes; i++) {
        const int64_t a = i % p->anchors, at = i / p->anchors;
        const int64_t place[2] = {at % p->width, at / p->width}; // x, y
        double d[4], box[4];
        for (int c = 0; c < 4; c++) {
            d[c] = number(r, 1, ((n * p->anchors + a) * 4 + c) * map + at);
            box[c] = m->anchor[4 * a + c] + (double)place[c % 2] * p->stride;
        }
        move(p, d, box);
        const bool fits = fit(p, info, box) && place[1] < rows && place[0] < columns;
        const double score = number(r, 0, ((2 * n + 1) * p->anchors + a) * map + at);
        m->score[i] = !fits ? -1 : isnan(score) ? -INFINITY : score;
        blas_box_set(&m->all, i, box);
    }
}

// The boxes that are kept, from the start again if they are too few; without any, zeros of score
// -1.
static void put_rows(const blas_run *r, int64_t n, const image *m, const int64_t *order,
                     int64_t kept)
{
    const proposal *p = r->k->state;
    for (int64_t i = 0; i < p->rows; i++) {
        const int64_t row = n * p->rows + i, from = kept ? m->keep[i % kept] : -1;
        double v[5] = {(double)n, 0, 0, 0, 0};
        const double score = from < 0 ? -1 : m->score[order[from]];
        if (from >= 0) blas_box_get(&m->ordered, from, v + 1);
        blas_store_f64(r->k->call->out[0]->dtype, blas_out(r->a, 0), 5 * row, 5, v);
        blas_store_f64(r->k->call->out[1]->dtype, blas_out(r->a, 1), row, 1, &score);
    }
}

static void images(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const proposal *p = r->k->state;
    blas_room room = {(char *)r->a->scratch.host + worker * p->worker_bytes, 0};
    const image m = lay_out(p, &room);
    if (p->boxes) make_anchors(p, m.anchor);
    for (int64_t n = begin; n < end; n++) {
        double info[3], box[4];
        for (int i = 0; i < 3; i++) info[i] = number(r, 2, 3 * n + i);
        find_all(r, n, info, &m);
        for (int64_t i = 0; i < p->boxes; i++) m.key[i] = blas_key(m.score[i]);
        const int64_t *order =
            blas_sort(m.key, p->boxes, false, m.key + p->boxes, m.key + 2 * p->boxes);
        for (int64_t i = 0; i < p->looked_at; i++) {
            blas_box_get(&m.all, order[i], box);
            blas_box_set(&m.ordered, i, box);
        }
        const blas_suppression s = {.boxes = m.ordered,
                                    .n = p->looked_at,
                                    .most = p->kept,
                                    .threshold = p->threshold,
                                    .extra = 1};
        put_rows(r, n, &m, order, blas_suppress(&s, m.gone, m.keep));
    }
}

// Inputs cls_prob, bbox_pred, im_info; outputs rows (image, box), scores
static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const proposal *p = k->state;
    blas_run r = {k, a};
    blas_items(k, a, p->images, p->boxes, 1, images, &r);
    return TN_OK;
}

#define ROW(op_)                                                                             \
    {                                                                                        \
        .op = op_, .dtypes = TN_FLOATS, .flags = BLAS_FLAGS, .state_size = sizeof(proposal), \
        .setup = setup, .run = run                                                           \
    }

const tn_kernel_row blas_proposals[] = {
    ROW("_contrib_Proposal"),
    ROW("_contrib_MultiProposal"),
    {0},
};
