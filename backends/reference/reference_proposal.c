// backends/reference/reference_proposal.c: Proposal and MultiProposal; core/ops/proposal.c has the
// formulas.
#include "reference_boxes.h"

typedef struct proposal {
    int64_t images, anchors, height, width;
    int64_t boxes, looked_at, kept,
        rows; // of an image: all, before and after removal, in the output
    double stride, min_size, threshold;
    tn_reals ratios, scales;
    bool corners; // iou_loss
} proposal;

// One image, in scratch.
typedef struct work {
    double *anchor;  // [anchors] boxes around place (0, 0)
    double *box;     // [boxes]
    double *score;   // [boxes]
    double *ordered; // [looked_at] boxes
    int64_t *lines;  // [2 boxes] for sorting
    int64_t *keep;   // [kept]
    uint8_t *gone;   // [looked_at]
} work;

static void lay(const proposal *p, ref_room *room, work *w)
{
    w->anchor = ref_take(room, p->anchors, 4 * sizeof(double));
    w->box = ref_take(room, p->boxes, 4 * sizeof(double));
    w->score = ref_take(room, p->boxes, sizeof(double));
    w->ordered = ref_take(room, p->looked_at, 4 * sizeof(double));
    w->lines = ref_take(room, p->boxes, 2 * sizeof(int64_t));
    w->keep = ref_take(room, p->kept, sizeof(int64_t));
    w->gone = ref_take(room, p->looked_at, 1);
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    proposal *p = k->state;
    const int64_t *dims = k->call->in[0]->dims;
    const int64_t top = tn_call_i64(k->call, "rpn_pre_nms_top_n", 6000);
    *p = (proposal){.images = dims[0],
                    .anchors = dims[1] / 2,
                    .height = dims[2],
                    .width = dims[3],
                    .rows = tn_call_i64(k->call, "rpn_post_nms_top_n", 300),
                    .stride = (double)tn_call_i64(k->call, "feature_stride", 16),
                    .min_size = (double)tn_call_i64(k->call, "rpn_min_size", 16),
                    .threshold = tn_call_f64(k->call, "threshold", 0.7),
                    .ratios = tn_call_reals(k->call, "ratios"),
                    .scales = tn_call_reals(k->call, "scales"),
                    .corners = tn_call_bool(k->call, "iou_loss", false)};
    p->boxes = p->anchors * p->height * p->width;
    p->looked_at = top > 0 && top < p->boxes ? top : p->boxes;
    p->kept = p->rows < p->looked_at ? p->rows : p->looked_at;
    ref_room room = {0};
    work w;
    lay(p, &room, &w);
    info->scratch_bytes = room.used;
    return TN_OK;
}

static double round_half_up(double v)
{
    return floor(v + 0.5);
}

// The anchors around the first place: ratio by ratio, in each scale by scale.
static void make_anchors(const proposal *p, double *box)
{
    const double centre = (p->stride - 1) / 2;
    for (int64_t i = 0; i < p->anchors; i++) {
        const double ratio = p->ratios.v[i / (int64_t)p->scales.n];
        const double scale = p->scales.v[i % (int64_t)p->scales.n];
        const double w = round_half_up(sqrt(floor(p->stride * p->stride / ratio)));
        const double h = round_half_up(w * ratio);
        box[4 * i] = centre - (w * scale - 1) / 2;
        box[4 * i + 1] = centre - (h * scale - 1) / 2;
        box[4 * i + 2] = centre + (w * scale - 1) / 2;
        box[4 * i + 3] = centre + (h * scale - 1) / 2;
    }
}

// Moves a box by the predictions d: two for the centre and two for log sizes, or one a corner.
static void predict(const proposal *p, const double d[4], double *box)
{
    for (int i = 0; i < 2; i++) { // x, y
        const double size = box[2 + i] - box[i] + 1, centre = box[i] + (size - 1) / 2;
        const double to = d[i] * size + centre, half = (exp(d[2 + i]) * size - 1) / 2;
        box[i] = p->corners ? box[i] + d[i] : to - half;
        box[2 + i] = p->corners ? box[2 + i] + d[2 + i] : to + half;
    }
}

// v inside 0 … most - 1; 0 if nothing is. NaN stays.
static double clipped(double v, double most)
{
    const double low = v > most - 1 ? most - 1 : v;
    return low < 0 ? 0 : low;
}

// Cuts a box off at the image of (height, width, scale). False: it is too small, and is grown by
// half the least size on all sides.
static bool fit(const proposal *p, const double info[3], double *box)
{
    const double least = p->min_size * info[2];
    for (int i = 0; i < 4; i++) box[i] = clipped(box[i], info[1 - i % 2]);
    if (!(box[2] - box[0] + 1 < least || box[3] - box[1] + 1 < least)) return true;
    for (int i = 0; i < 4; i++) box[i] += i < 2 ? -least / 2 : least / 2;
    return false;
}

// Places of the map inside an extent of the image.
static int64_t places(double extent, double stride)
{
    return tn_saturate(extent / stride, -1, INT64_MAX);
}

// Boxes and scores of an image: places in order, and at each the anchors. A score that is no
// number counts as the lowest.
static void find_all(const proposal *p, const ref_array in[2], const double info[3], int64_t image,
                     const work *w)
{
    const int64_t map = p->height * p->width;
    const int64_t rows = places(info[0], p->stride), columns = places(info[1], p->stride);
    for (int64_t i = 0; i < p->boxes; i++) {
        const int64_t a = i % p->anchors, at = i / p->anchors;
        const int64_t y = at / p->width, x = at % p->width;
        double d[4], *box = w->box + 4 * i;
        for (int j = 0; j < 4; j++) {
            d[j] = ref_get_real(in[1], ((image * p->anchors + a) * 4 + j) * map + at);
            box[j] = w->anchor[4 * a + j] + (double)(j % 2 ? y : x) * p->stride;
        }
        predict(p, d, box);
        const bool fits = fit(p, info, box) && y < rows && x < columns;
        const double score = ref_get_real(in[0], ((image * 2 + 1) * p->anchors + a) * map + at);
        w->score[i] = !fits ? -1 : isnan(score) ? -INFINITY : score;
    }
}

// Rows of one image: the boxes that are kept, again and again if they are too few; rows of zeros
// and score -1 if there is none.
static void put_rows(const proposal *p, const ref_array out[2], int64_t image, const work *w,
                     const int64_t *order, int64_t kept)
{
    for (int64_t i = 0; i < p->rows; i++) {
        const int64_t row = image * p->rows + i, from = kept ? w->keep[i % kept] : -1;
        ref_put_real(out[0], 5 * row, (double)image);
        for (int j = 0; j < 4; j++)
            ref_put_real(out[0], 5 * row + 1 + j, from < 0 ? 0 : w->ordered[4 * from + j]);
        ref_put_real(out[1], row, from < 0 ? -1 : w->score[order[from]]);
    }
}

// Inputs cls_prob, bbox_pred, im_info
static tn_status propose(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const proposal *p = k->state;
    const ref_array in[2] = {ref_in(k, a, 0), ref_in(k, a, 1)}, infos = ref_in(k, a, 2);
    const ref_array out[2] = {ref_out(k, a, 0), ref_out(k, a, 1)};
    ref_room room = {a->scratch.host, 0};
    work w;
    lay(p, &room, &w);
    if (p->boxes) make_anchors(p, w.anchor);
    for (int64_t image = 0; image < p->images; image++) {
        double info[3];
        for (int i = 0; i < 3; i++) info[i] = ref_get_real(infos, 3 * image + i);
        find_all(p, in, info, image, &w);
        const int64_t *order = ref_order_of(w.score, p->boxes, false, w.lines, w.lines + p->boxes);
        for (int64_t i = 0; i < p->looked_at; i++)
            memcpy(w.ordered + 4 * i, w.box + 4 * order[i], 4 * sizeof(double));
        const ref_suppression s = {.box = w.ordered,
                                   .n = p->looked_at,
                                   .most = p->kept,
                                   .threshold = p->threshold,
                                   .extra = 1};
        put_rows(p, out, image, &w, order, ref_suppress(&s, w.gone, w.keep));
    }
    return TN_OK;
}

#define ROW(op_)                                                                            \
    {                                                                                       \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(proposal), \
        .setup = setup, .run = propose                                                      \
    }

const tn_kernel_row ref_proposal[] = {
    ROW("_contrib_Proposal"),
    ROW("_contrib_MultiProposal"),
    {0},
};
