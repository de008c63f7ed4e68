// backends/opencl/multibox.cl: MultiBoxTarget and MultiBoxDetection, as
// backends/reference/reference_multibox.c has them.
typedef struct target {
    int images, anchors, labels, label_width, classes;
    int mines; // mining_ratio > 0
    A overlap_threshold, ignore_label, mining_ratio, mining_threshold, variance[4];
    A least_negative;
} target;

enum { NEGATIVE = 0, POSITIVE = 1, IGNORED = 2 };

// Overlap of an anchor with label i of an image.
A overlap_of(const target *t, const __global T0 *anchors, const __global T1 *labels, int image,
             int anchor, int i)
{
    A a[4], b[4];
    for (int j = 0; j < 4; j++) {
        a[j] = LD0(anchors, 4 * anchor + j);
        b[j] = LD1(labels, (image * t->labels + i) * t->label_width + 1 + j);
    }
    return overlap(a, b, 0);
}

// Rows before the first one of class -1.
__kernel void count_labels(IN(labels), OUT(n_labels), const target t)
{
    GET(T1, labels);
    PUT(int, n_labels);
    const int image = (int)get_global_id(0);
    if (image >= t.images) return;
    int n = 0;
    while (n < t.labels && LD1(labels, (image * t.labels + n) * t.label_width) != -1) n++;
    n_labels[image] = n;
}

__kernel void begin_kinds(IN(n_labels), OUT(kind), const target t)
{
    GET(int, n_labels);
    PUT(int, kind);
    const int j = (int)get_global_id(0), image = (int)get_global_id(1);
    if (j < t.anchors)
        kind[image * t.anchors + j] = n_labels[image] == 0 || t.mines ? IGNORED : NEGATIVE;
}

// The anchor that is left and overlaps label i most, the first one of equals; tiny overlaps do not
// count: -1.
void find_best(const target *t, const __global T0 *anchors, const __global T1 *labels,
               const __global int *kind, int image, int i, __global A *best, __global int *best_at)
{
    A most = (A)1e-6f;
    int at = -1;
    for (int j = 0; j < t->anchors; j++) {
        if (kind[image * t->anchors + j] == POSITIVE) continue;
        const A v = overlap_of(t, anchors, labels, image, j, i);
        if (!(v > most)) continue;
        most = v;
        at = j;
    }
    best[image * t->labels + i] = most;
    best_at[image * t->labels + i] = at;
}

__kernel void best_anchors(IN(anchors), IN(labels), IN(n_labels), IN(kind), OUT(best), OUT(best_at),
                           const target t)
{
    GET(T0, anchors);
    GET(T1, labels);
    GET(int, n_labels);
    GET(int, kind);
    PUT(A, best);
    PUT(int, best_at);
    const int i = (int)get_global_id(0), image = (int)get_global_id(1);
    if (i < n_labels[image]) find_best(&t, anchors, labels, kind, image, i, best, best_at);
}

// The label with the largest overlap of all; of equals that of the first anchor. -1: none.
int largest(const __global A *best, const __global int *best_at, int n)
{
    int found = -1;
    for (int i = 0; i < n; i++) {
        if (best_at[i] < 0) continue;
        const int more = found < 0 || best[i] > best[found];
        const int equal = found >= 0 && best[i] == best[found];
        if (more || (equal && best_at[i] < best_at[found])) found = i;
    }
    return found;
}

// Labels take anchors, each label one and each anchor once, the largest overlap first: one work
// item an image.
__kernel void match_labels(IN(anchors), IN(labels), IN(n_labels), OUT(kind), OUT(match), OUT(best),
                           OUT(best_at), const target t)
{
    GET(T0, anchors);
    GET(T1, labels);
    GET(int, n_labels);
    PUT(int, kind);
    PUT(int, match);
    PUT(A, best);
    PUT(int, best_at);
    const int image = (int)get_global_id(0);
    if (image >= t.images) return;
    const int n = n_labels[image], first = image * t.labels;
    for (int round = 0; round < n; round++) {
        const int label = largest(best + first, best_at + first, n);
        if (label < 0) return;
        const int anchor = best_at[first + label];
        kind[image * t.anchors + anchor] = POSITIVE;
        match[image * t.anchors + anchor] = label;
        best_at[first + label] = -1;
        for (int i = 0; i < n; i++)
            if (best_at[first + i] == anchor)
                find_best(&t, anchors, labels, kind, image, i, best, best_at);
    }
}

// softmax(cls[image, :, anchor])[0]
A background(const target *t, const __global T2 *cls, int image, int anchor)
{
    const int first = image * t->classes * t->anchors + anchor;
    A most = -INFINITY, sum = 0;
    if (t->classes == 0) return 0;
    for (int c = 0; c < t->classes; c++) most = fmax(most, LD2(cls, first + c * t->anchors));
    for (int c = 0; c < t->classes; c++) sum += exp(LD2(cls, first + c * t->anchors) - most);
    return exp(LD2(cls, first) - most) / sum;
}

// Anchors that are left take the label that they overlap most, the first one of equals. Those that
// may be mined get the probability of the background as key; others one behind all of them.
__kernel void match_anchors(IN(anchors), IN(labels), IN(cls), IN(n_labels), OUT(kind), OUT(match),
                            OUT(key), const target t)
{
    GET(T0, anchors);
    GET(T1, labels);
    GET(T2, cls);
    GET(int, n_labels);
    PUT(int, kind);
    PUT(int, match);
    PUT(A, key);
    const int j = (int)get_global_id(0), image = (int)get_global_id(1);
    if (j >= t.anchors) return;
    const int at = image * t.anchors + j, n = n_labels[image];
    key[at] = 3;
    if (kind[at] == POSITIVE || n == 0) return;
    int label = -1;
    A most = -1;
    for (int i = 0; i < n; i++) {
        const A v = overlap_of(&t, anchors, labels, image, j, i);
        if (!(v > most)) continue;
        most = v;
        label = i;
    }
    if (t.overlap_threshold > 0 && label >= 0 && most > t.overlap_threshold) {
        kind[at] = POSITIVE;
        match[at] = label;
    } else if (t.mines && most < t.mining_threshold) {
        const A p = background(&t, cls, image, j);
        key[at] = isnan(p) ? (A)2 : p;
    }
}

// How many anchors of an image are mined.
__kernel void count_mined(IN(kind), IN(key), OUT(mined), const target t)
{
    GET(int, kind);
    GET(A, key);
    PUT(int, mined);
    const int image = (int)get_global_id(0);
    if (image >= t.images) return;
    int positive = 0, n = 0;
    for (int j = 0; j < t.anchors; j++) {
        positive += kind[image * t.anchors + j] == POSITIVE;
        n += key[image * t.anchors + j] < 3;
    }
    const int wanted = (int)tn_whole(positive * t.mining_ratio, 0, n);
    mined[image] = t.least_negative <= wanted ? wanted
                   : t.least_negative < n     ? (int)t.least_negative
                                              : n;
}

__kernel void mine(IN(order), IN(mined), OUT(kind), const target t)
{
    GET(int, order);
    GET(int, mined);
    PUT(int, kind);
    const int i = (int)get_global_id(0), image = (int)get_global_id(1);
    if (i < mined[image]) kind[image * t.anchors + order[image * t.anchors + i]] = NEGATIVE;
}

__kernel void put_targets(IN(anchors), IN(labels), IN(kind), IN(match), OUT(loc), OUT(mask),
                          OUT(cls_target), const target t)
{
    GET(T0, anchors);
    GET(T1, labels);
    GET(int, kind);
    GET(int, match);
    PUT(T3, loc);
    PUT(T3, mask);
    PUT(T3, cls_target);
    const int j = (int)get_global_id(0), image = (int)get_global_id(1);
    if (j >= t.anchors) return;
    const int at = image * t.anchors + j, positive = kind[at] == POSITIVE;
    const int row = positive ? (image * t.labels + match[at]) * t.label_width : 0;
    for (int i = 0; i < 4; i++) {
        ST3(mask, 4 * at + i, positive);
        if (!positive) ST3(loc, 4 * at + i, (A)0);
    }
    ST3(cls_target, at,
        positive               ? LD1(labels, row) + 1
        : kind[at] == NEGATIVE ? (A)0
                               : t.ignore_label);
    for (int i = 0; positive && i < 2; i++) { // x, y
        const A low = LD0(anchors, 4 * j + i), high = LD0(anchors, 4 * j + 2 + i);
        const A from = LD1(labels, row + 1 + i), to = LD1(labels, row + 3 + i);
        const A size = high - low, centre = (low + high) / 2;
        const A other = to - from, there = (from + to) / 2;
        ST3(loc, 4 * at + i, (there - centre) / size / t.variance[i]);
        ST3(loc, 4 * at + 2 + i, log(other / size) / t.variance[2 + i]);
    }
}
