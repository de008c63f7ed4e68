// backends/opencl/boxes.cl: overlap of boxes, and suppression of those that overlap: what the
// kernels of detection share.
//
// A box is four numbers: x1, y1, x2, y2. They may be anything: every comparison with NaN is false,
// so such a box overlaps nothing.

// Intersection over union; `extra` is added to widths and heights. 0 if the union is not above 0.
A overlap(const A *a, const A *b, A extra)
{
    const A w = fmin(a[2], b[2]) - fmax(a[0], b[0]) + extra;
    const A h = fmin(a[3], b[3]) - fmax(a[1], b[1]) + extra;
    const A both = w > 0 && h > 0 ? w * h : 0;
    const A area_a = (a[2] - a[0] + extra) * (a[3] - a[1] + extra);
    const A area_b = (b[2] - b[0] + extra) * (b[3] - b[1] + extra);
    const A all = area_a + area_b - both;
    return all > 0 ? both / all : 0;
}

void get_box(const __global A *from, int i, A *box)
{
    for (int j = 0; j < 4; j++) box[j] = from[4 * i + j];
}

// Greedy suppression, a group for each image: each of n boxes in turn, unless it is gone, is kept,
// and makes those behind it go that overlap it more than the threshold (or as much: inclusive).
// Boxes of group -1 are gone from the beginning; of groups that differ none suppresses the other,
// unless `across`. At most `most` are kept, whose numbers go to keep(images, most), and how many
// they are to kept(images).
__kernel void suppress(IN(boxes), IN(groups), OUT(gone_), OUT(keep_), OUT(kept_), const int n,
                       const int most, const A threshold, const A extra, const int inclusive,
                       const int across)
{
    GET(A, boxes);
    GET(A, groups);
    PUT(int, gone_);
    PUT(int, keep_);
    PUT(int, kept_);
    const int image = (int)get_group_id(0), me = (int)get_local_id(0);
    const int size = (int)get_local_size(0);
    const __global A *box = boxes + image * n * 4, *group = groups + image * n;
    __global int *gone = gone_ + image * n, *keep = keep_ + image * most;
    int kept = 0;
    for (int j = me; j < n; j += size) gone[j] = group[j] == -1;
    barrier(CLK_GLOBAL_MEM_FENCE);
    for (int i = 0; i < n; i++) {
        const int lives = kept < most && !gone[i];
        A mine[4], other[4];
        if (lives) get_box(box, i, mine);
        for (int j = i + 1 + me; lives && j < n; j += size) {
            if (gone[j] || (!across && group[i] != group[j])) continue;
            get_box(box, j, other);
            const A v = overlap(mine, other, extra);
            if (v > threshold || (inclusive && v == threshold)) gone[j] = 1;
        }
        if (lives && me == 0) keep[kept] = i;
        kept += lives;
        barrier(CLK_GLOBAL_MEM_FENCE);
    }
    if (me == 0) kept_[image] = kept;
}

// A few boxes that the plan knows, from number `first` on.
typedef struct some_boxes {
    A corner[64];
} some_boxes;

__kernel void put_boxes(OUT(boxes), const int first, const int n, const some_boxes some)
{
    PUT(A, boxes);
    const int i = (int)get_global_id(0);
    if (i < 4 * n) boxes[4 * first + i] = some.corner[i];
}
