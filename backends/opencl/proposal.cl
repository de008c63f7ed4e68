// backends/opencl/proposal.cl: Proposal and MultiProposal; core/ops/proposal.c has the formulas.
typedef struct proposal {
    int images, anchors, height, width;
    int boxes, looked_at, kept, rows; // of an image: all, before and after removal, in the output
    int corners, unused;
} proposal;

// v inside 0 ... most - 1; 0 if nothing is. NaN stays.
A clipped(A v, A most)
{
    const A low = v > most - 1 ? most - 1 : v;
    return low < 0 ? 0 : low;
}

// Cuts a box off at the image. False: it is too small, and is grown by half the least size.
int fit(A height, A width, A least, A *box)
{
    for (int i = 0; i < 4; i++) box[i] = clipped(box[i], i % 2 ? height : width);
    if (!(box[2] - box[0] + 1 < least || box[3] - box[1] + 1 < least)) return 1;
    for (int i = 0; i < 4; i++) box[i] += i < 2 ? -least / 2 : least / 2;
    return 0;
}

// Places of the map inside an extent of the image: whole strides.
int places(A extent, A stride)
{
    return (int)tn_whole(extent / stride, -1, INT_MAX);
}

// Box i of an image, at places in order and at each the anchors, moved as predicted; its score.
__kernel void find_boxes(IN(cls), IN(bbox), IN(infos), IN(anchor), OUT(boxes), OUT(scores),
                         const proposal p, const A stride, const A min_size)
{
    GET(T0, cls);
    GET(T1, bbox);
    GET(T2, infos);
    GET(A, anchor);
    PUT(A, boxes);
    PUT(A, scores);
    const int i = (int)get_global_id(0), image = (int)get_global_id(1);
    if (i >= p.boxes) return;
    const int map = p.height * p.width, a = i % p.anchors, at = i / p.anchors;
    const int xy[2] = {at % p.width, at / p.width};
    const A height = LD2(infos, 3 * image), width = LD2(infos, 3 * image + 1);
    const A least = min_size * LD2(infos, 3 * image + 2);
    A d[4], box[4];
    for (int j = 0; j < 4; j++) {
        d[j] = LD1(bbox, ((image * p.anchors + a) * 4 + j) * map + at);
        box[j] = anchor[4 * a + j] + xy[j % 2] * stride;
    }
    for (int j = 0; j < 2; j++) {
        const A size = box[2 + j] - box[j] + 1, centre = box[j] + (size - 1) / 2;
        const A to = d[j] * size + centre, half_size = (exp(d[2 + j]) * size - 1) / 2;
        box[j] = p.corners ? box[j] + d[j] : to - half_size;
        box[2 + j] = p.corners ? box[2 + j] + d[2 + j] : to + half_size;
    }
    const int inside = fit(height, width, least, box) && xy[1] < places(height, stride) &&
                       xy[0] < places(width, stride);
    const A score = LD0(cls, ((image * 2 + 1) * p.anchors + a) * map + at);
    for (int j = 0; j < 4; j++) boxes[(image * p.boxes + i) * 4 + j] = box[j];
    scores[image * p.boxes + i] = !inside ? (A)-1 : isnan(score) ? (A)-INFINITY : score;
}

// The first boxes in order, all of one group.
__kernel void take_first(IN(boxes), IN(order), OUT(ordered), OUT(groups), const proposal p)
{
    GET(A, boxes);
    GET(int, order);
    PUT(A, ordered);
    PUT(A, groups);
    const int i = (int)get_global_id(0), image = (int)get_global_id(1);
    if (i >= p.looked_at) return;
    const int to = image * p.looked_at + i, from = image * p.boxes + order[image * p.boxes + i];
    for (int j = 0; j < 4; j++) ordered[4 * to + j] = boxes[4 * from + j];
    groups[to] = 0;
}

// The boxes that are kept, again and again if they are too few; zeros and score -1 if there is
// none.
__kernel void put_rows(IN(ordered), IN(scores), IN(order), IN(keep), IN(kept), OUT(rois), OUT(out),
                       const proposal p)
{
    GET(A, ordered);
    GET(A, scores);
    GET(int, order);
    GET(int, keep);
    GET(int, kept);
    PUT(T3, rois);
    PUT(T3, out);
    const int i = (int)get_global_id(0), image = (int)get_global_id(1);
    if (i >= p.rows) return;
    const int row = image * p.rows + i, n = p.kept ? kept[image] : 0;
    const int from = n ? keep[image * p.kept + i % n] : -1;
    ST3(rois, 5 * row, (A)image);
    for (int j = 0; j < 4; j++)
        ST3(rois, 5 * row + 1 + j, from < 0 ? (A)0 : ordered[(image * p.looked_at + from) * 4 + j]);
    ST3(out, row, from < 0 ? (A)-1 : scores[image * p.boxes + order[image * p.boxes + from]]);
}
