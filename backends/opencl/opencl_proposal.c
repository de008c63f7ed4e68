// backends/opencl/opencl_proposal.c: Proposal and MultiProposal.
#include "opencl_boxes.h"

typedef struct proposal { // as proposal.cl has it
    cl_int images, anchors, height, width, boxes, looked_at, kept, rows, corners, unused;
} proposal;

// Where things are in scratch.
typedef struct places {
    uint64_t anchor, box, score, order[2], ordered, group, gone, keep, kept;
} places;

static proposal proposal_of(const tn_call *c)
{
    const int64_t *dims = c->in[0]->dims, top = tn_call_i64(c, "rpn_pre_nms_top_n", 6000);
    proposal p = {.images = (cl_int)dims[0],
                  .anchors = (cl_int)(dims[1] / 2),
                  .height = (cl_int)dims[2],
                  .width = (cl_int)dims[3],
                  .rows = (cl_int)tn_call_i64(c, "rpn_post_nms_top_n", 300),
                  .corners = tn_call_bool(c, "iou_loss", false)};
    p.boxes = p.anchors * p.height * p.width;
    p.looked_at = top > 0 && top < p.boxes ? (cl_int)top : p.boxes;
    p.kept = p.rows < p.looked_at ? p.rows : p.looked_at;
    return p;
}

static ocl_launch *add(ocl_plan *p, const char *name)
{
    return ocl_add_boxes(p, ocl_proposal_cl, name);
}

static double round_half_up(double v)
{
    return floor(v + 0.5);
}

// Corner j of anchor i around the first place: ratio by ratio, in each scale by scale.
static double anchor_corner(const tn_call *c, int64_t i, int j)
{
    const tn_reals ratios = tn_call_reals(c, "ratios"), scales = tn_call_reals(c, "scales");
    const double stride = (double)tn_call_i64(c, "feature_stride", 16), centre = (stride - 1) / 2;
    const double ratio = ratios.v[i / (int64_t)scales.n], scale = scales.v[i % (int64_t)scales.n];
    const double w = round_half_up(sqrt(floor(stride * stride / ratio)));
    const double half = ((j % 2 ? round_half_up(w * ratio) : w) * scale - 1) / 2;
    return j < 2 ? centre - half : centre + half;
}

// The anchors come with the plan, 16 at a time.
static void put_anchors(ocl_plan *p, const proposal *s, const places *at)
{
    enum { MOST = 16 };
    for (int64_t first = 0; first < s->anchors; first += MOST) {
        const int64_t n = s->anchors - first < MOST ? s->anchors - first : MOST;
        double corner[4 * MOST] = {0};
        char passed[sizeof corner];
        for (int64_t i = 0; i < 4 * n; i++)
            corner[i] = anchor_corner(p->k->call, first + i / 4, (int)(i % 4));
        ocl_box_numbers(p, corner, 4 * MOST, passed);
        ocl_launch *l = add(p, "put_boxes");
        ocl_scratch(p, l, at->anchor);
        ocl_int(p, l, first);
        ocl_int(p, l, n);
        ocl_bytes(p, l, passed, 4 * MOST * (ocl_box_number(p) == TN_F64 ? 8 : 4));
        ocl_over(p, l, 4 * n, 1, 1);
    }
}

static void find_boxes(ocl_plan *p, const proposal *s, const places *at)
{
    const tn_call *c = p->k->call;
    const tn_dtype number = ocl_box_number(p);
    ocl_launch *l = add(p, "find_boxes");
    for (uint32_t i = 0; i < 3; i++) ocl_in(p, l, i);
    ocl_scratch(p, l, at->anchor);
    ocl_scratch(p, l, at->box);
    ocl_scratch(p, l, at->score);
    ocl_bytes(p, l, s, sizeof *s);
    ocl_real(p, l, number, (double)tn_call_i64(c, "feature_stride", 16));
    ocl_real(p, l, number, (double)tn_call_i64(c, "rpn_min_size", 16));
    ocl_over(p, l, s->boxes, s->images, 1);
}

// Orders boxes by score, drops those that overlap, and puts out what is left.
static void choose(ocl_plan *p, const proposal *s, const places *at)
{
    const ocl_sorting by_score = {.key = ocl_box_number(p),
                                  .in_scratch = true,
                                  .at = at->score,
                                  .order = {at->order[0], at->order[1]},
                                  .line = {s->images, s->boxes, 1}};
    const uint64_t order = s->boxes ? ocl_sort(p, &by_score) : at->order[0];
    ocl_launch *l = add(p, "take_first");
    ocl_scratch(p, l, at->box);
    ocl_scratch(p, l, order);
    ocl_scratch(p, l, at->ordered);
    ocl_scratch(p, l, at->group);
    ocl_bytes(p, l, s, sizeof *s);
    ocl_over(p, l, s->looked_at, s->images, 1);
    const ocl_suppression without = {.boxes = at->ordered,
                                     .groups = at->group,
                                     .gone = at->gone,
                                     .keep = at->keep,
                                     .kept = at->kept,
                                     .images = s->images,
                                     .n = s->looked_at,
                                     .most = s->kept,
                                     .threshold = tn_call_f64(p->k->call, "threshold", 0.7),
                                     .extra = 1,
                                     .across = true};
    if (s->kept) ocl_suppress(p, &without, ocl_proposal_cl);
    l = add(p, "put_rows");
    ocl_scratch(p, l, at->ordered);
    ocl_scratch(p, l, at->score);
    ocl_scratch(p, l, order);
    ocl_scratch(p, l, at->keep);
    ocl_scratch(p, l, at->kept);
    ocl_out(p, l, 0);
    ocl_out(p, l, 1);
    ocl_bytes(p, l, s, sizeof *s);
    ocl_over(p, l, s->rows, s->images, 1);
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const proposal s = proposal_of(k->call);
    const int64_t boxes = (int64_t)s.images * s.boxes, looked_at = (int64_t)s.images * s.looked_at;
    ocl_room room = {0};
    places at;
    at.anchor = ocl_take(&room, s.anchors, 32);
    at.box = ocl_take(&room, boxes, 32);
    at.score = ocl_take(&room, boxes, 8);
    for (int i = 0; i < 2; i++) at.order[i] = ocl_take(&room, boxes, sizeof(cl_int));
    at.ordered = ocl_take(&room, looked_at, 32);
    at.group = ocl_take(&room, looked_at, 8);
    at.gone = ocl_take(&room, looked_at, sizeof(cl_int));
    at.keep = ocl_take(&room, (int64_t)s.images * s.kept, sizeof(cl_int));
    at.kept = ocl_take(&room, s.images, sizeof(cl_int));
    info->scratch_bytes = room.used;
    ocl_plan *p = ocl_begin(k);
    if (k->call->out[0]->size == 0) return ocl_end(p);
    if (s.boxes) put_anchors(p, &s, &at);
    if (s.boxes) find_boxes(p, &s, &at);
    choose(p, &s, &at);
    return ocl_end(p);
}

const tn_kernel_row ocl_proposals[] = {
    OCL_ROW("_contrib_Proposal", TN_FLOATS, NULL, setup),
    OCL_ROW("_contrib_MultiProposal", TN_FLOATS, NULL, setup),
    {0},
};
