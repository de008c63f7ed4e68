// backends/opencl/detection.cl: MultiBoxDetection.
typedef struct detection {
    int images, classes, anchors, background, top;
    int clip, selects, unused;
    A threshold, variance[4];
} detection;

// The class and box of each anchor: class -1 if none is probable enough. Keys put those that are
// found first, by score if there is suppression.
__kernel void detect(IN(cls), IN(loc), IN(anchors), OUT(names), OUT(scores), OUT(keys), OUT(boxes),
                     const detection d)
{
    GET(T0, cls);
    GET(T1, loc);
    GET(T2, anchors);
    PUT(A, names);
    PUT(A, scores);
    PUT(A, keys);
    PUT(A, boxes);
    const int j = (int)get_global_id(0), image = (int)get_global_id(1);
    if (j >= d.anchors) return;
    const int at = image * d.anchors + j;
    int best = -1;
    A score = -1;
    for (int c = 0; c < d.classes; c++) {
        const A v = LD0(cls, (image * d.classes + c) * d.anchors + j);
        if (c == d.background || !(v > score)) continue;
        score = v;
        best = c;
    }
    if (best >= 0 && score < d.threshold) best = -1;
    const int named = d.background >= 0 && d.background < d.classes;
    names[at] = named && best > d.background ? best - 1 : best;
    scores[at] = score;
    keys[at] = best < 0 ? (A)-2 : d.selects ? score : (A)0;
    for (int i = 0; i < 2; i++) { // x, y
        const A low = LD2(anchors, 4 * j + i), high = LD2(anchors, 4 * j + 2 + i);
        const A size = high - low, centre = (low + high) / 2;
        const A to = LD1(loc, 4 * at + i) * d.variance[i] * size + centre;
        const A half_size = exp(LD1(loc, 4 * at + 2 + i) * d.variance[2 + i]) * size / 2;
        const A from = to - half_size, end = to + half_size;
        boxes[4 * at + i] = !d.clip ? from : from < 0 ? 0 : from > 1 ? 1 : from;
        boxes[4 * at + 2 + i] = !d.clip ? end : end < 0 ? 0 : end > 1 ? 1 : end;
    }
}

// Boxes in order, and as groups their classes; -1 for what is beyond the top.
__kernel void in_order(IN(order), IN(names), IN(boxes), OUT(groups), OUT(ordered),
                       const detection d)
{
    GET(int, order);
    GET(A, names);
    GET(A, boxes);
    PUT(A, groups);
    PUT(A, ordered);
    const int i = (int)get_global_id(0), image = (int)get_global_id(1);
    if (i >= d.anchors) return;
    const int at = image * d.anchors + i, from = image * d.anchors + order[at];
    groups[at] = d.top > 0 && i >= d.top ? (A)-1 : names[from];
    for (int j = 0; j < 4; j++) ordered[4 * at + j] = boxes[4 * from + j];
}

__kernel void put_found(IN(order), IN(names), IN(scores), IN(boxes), IN(gone), OUT(y),
                        const detection d)
{
    GET(int, order);
    GET(A, names);
    GET(A, scores);
    GET(A, boxes);
    GET(int, gone);
    PUT(T3, y);
    const int i = (int)get_global_id(0), image = (int)get_global_id(1);
    if (i >= d.anchors) return;
    const int at = image * d.anchors + i, from = image * d.anchors + order[at];
    const int is = names[from] >= 0, left = is && !(d.selects && gone[at]);
    ST3(y, 6 * at, left ? names[from] : (A)-1);
    ST3(y, 6 * at + 1, is ? scores[from] : (A)-1);
    for (int j = 0; j < 4; j++) ST3(y, 6 * at + 2 + j, is ? boxes[4 * from + j] : (A)-1);
}
