// backends/opencl/lines.cl: softmax and its kin along lines, and reductions. A
// line's elements are `inner` apart; one work item works on one line.
#define FIRST(i) ((i) / inner * n * inner + (i) % inner)

#ifdef TN_ON_CPU
#define IN_VECTORS _Pragma("clang loop vectorize(assume_safety)")
#endif

#if defined(LINES_SOFTMAX)
// y = exp(x / t - max) / sum, or with `logarithm` x / t - max - log sum
__kernel void softmax(IN(x), OUT(y), const int lines, const int n, const int inner, const A t,
                      const int logarithm)
{
    GET(T0, x);
    PUT(T1, y);
    const int i = (int)get_global_id(0);
    if (i >= lines) return;
    const int first = FIRST(i);
    A most = -INFINITY, sum = 0;
    for (int j = 0; j < n; j++) most = fmax(most, LD0(x, first + j * inner) / t);
    for (int j = 0; j < n; j++) sum += exp(LD0(x, first + j * inner) / t - most);
    const A share = 1 / sum, less = log(sum);
    for (int j = 0; j < n; j++) {
        const A v = LD0(x, first + j * inner) / t - most;
        ST1(y, first + j * inner, logarithm ? v - less : exp(v) * share);
    }
}

#ifdef TN_ON_CPU
// The same for contiguous lines, of which a work item has `each`, in loops that compilers make
// vectors of: over many short lines at once, ...
#define MANY 1024
#define SHORT 16
#ifdef COOL // t is 1
#define HEATED(v) (v)
#else
#define HEATED(v) ((v) / t)
#endif
#define LARGER(a, b) ((b) > (a) ? (b) : (a)) // not NaN
void short_lines(const __global T0 *x, __global T1 *y, int lines, int n, A t, int logarithm)
{
    A v[MANY], e[MANY];
    const int size = lines * n;
    for (int first = 0; first < size; first += n) {
        A most = -INFINITY;
        for (int i = first; i < first + n; i++) {
            v[i] = HEATED(LD0(x, i));
            most = LARGER(most, v[i]);
        }
        for (int i = first; i < first + n; i++) v[i] -= most;
    }
    IN_VECTORS for (int i = 0; i < size; i++) e[i] = exp(v[i]);
    for (int first = 0; first < size; first += n) {
        A sum = 0;
        for (int i = first; i < first + n; i++) sum += e[i];
        const A share = 1 / sum, less = logarithm ? log(sum) : 0;
        for (int i = first; i < first + n; i++) ST1(y, i, logarithm ? v[i] - less : e[i] * share);
    }
}
// ... and along a longer one, with SHORT results that are put together in the end.
#define EACH_OF(many) IN_VECTORS for (int q = 0; q < (many); q++)
#ifdef A_IS_F64
#define LANES(n) double##n
#else
#define LANES(n) float##n
#endif
#define ADDED(a, b) ((a) + (b))
// What the numbers v[0] to v[n - 1] come to by `of`, from `start` on: 16 side by side.
#define COMES_TO(name, of, start)                     \
    A name(const A *v, int n)                         \
    {                                                 \
        LANES(16) all = (LANES(16))(start);           \
        int i = 0;                                    \
        for (; i + 16 <= n; i += 16) {                \
            const LANES(16) w = vload16(0, v + i);    \
            all = of(all, w);                         \
        }                                             \
        const LANES(8) eight = of(all.lo, all.hi);    \
        const LANES(4) four = of(eight.lo, eight.hi); \
        const LANES(2) two = of(four.lo, four.hi);    \
        A one = of(two.x, two.y);                     \
        for (; i < n; i++) one = of(one, v[i]);       \
        return one;                                   \
    }
COMES_TO(largest, LARGER, -INFINITY)
COMES_TO(sum_of, ADDED, 0)
void long_line(const __global T0 *x, __global T1 *y, int n, A t, int logarithm)
{
    A v[MANY], most = -INFINITY, sum = 0;
    for (int first = 0; first < n; first += MANY) {
        const int many = min(MANY, n - first);
        IN_VECTORS for (int i = 0; i < many; i++) v[i] = HEATED(LD0(x, first + i));
        const A here = largest(v, many);
        most = LARGER(most, here);
    }
    for (int first = 0; first < n; first += MANY) {
        const int many = min(MANY, n - first);
        IN_VECTORS for (int i = 0; i < many; i++) v[i] = exp(HEATED(LD0(x, first + i)) - most);
        sum += sum_of(v, many);
    }
    const A share = 1 / sum, less = logarithm ? log(sum) : 0;
    if (logarithm) {
        IN_VECTORS for (int i = 0; i < n; i++) ST1(y, i, HEATED(LD0(x, i)) - most - less);
    } else if (n <= MANY) { // v has all of them
        IN_VECTORS for (int i = 0; i < n; i++) ST1(y, i, v[i] * share);
    } else {
        IN_VECTORS for (int i = 0; i < n; i++) ST1(y, i, exp(HEATED(LD0(x, i)) - most) * share);
    }
}
__kernel void softmax_lines(IN(x), OUT(y), const int lines, const int n, const int each, const A t,
                            const int logarithm)
{
    GET(T0, x);
    PUT(T1, y);
    const int first = (int)get_global_id(0) * each, mine = min(each, lines - first);
    const int together = n < SHORT ? MANY / n : 1;
    x += first * n;
    y += first * n;
    for (int i = 0; i < mine; i += together)
        if (n < SHORT)
            short_lines(x + i * n, y + i * n, min(together, mine - i), n, t, logarithm);
        else
            long_line(x + i * n, y + i * n, n, t, logarithm);
}
__kernel void softmax_backward_lines(IN(dy), IN(y), OUT(dx), const int lines, const int n,
                                     const int each, const A t, const int logarithm)
{
    GET(T0, dy);
    GET(T0, y);
    PUT(T0, dx);
    const int first = (int)get_global_id(0) * each, end = first + min(each, lines - first);
    for (int line = first; line < end; line++) {
        const __global T0 *g = dy + line * n, *p = y + line * n;
        __global T0 *to = dx + line * n;
        A sums[SHORT], sum = 0;
        const int whole = n / SHORT * SHORT;
        EACH_OF(SHORT) sums[q] = 0;
        for (int i = 0; i < whole; i += SHORT)
            EACH_OF(SHORT) sums[q] += LD0(g, i + q) * (logarithm ? (A)1 : LD0(p, i + q));
        EACH_OF(n - whole)
        sums[q] += LD0(g, whole + q) * (logarithm ? (A)1 : LD0(p, whole + q));
        for (int q = 0; q < SHORT; q++) sum += sums[q];
        if (logarithm)
            IN_VECTORS for (int i = 0; i < n; i++)
                ST0(to, i, HEATED(LD0(g, i) - exp(LD0(p, i)) * sum));
        else
            IN_VECTORS for (int i = 0; i < n; i++)
                ST0(to, i, HEATED(LD0(p, i) * (LD0(g, i) - sum)));
    }
}
#endif

// dx = y (dy - sum of dy y) / t, or with `logarithm` (dy - exp(y) sum of dy) /
// t
__kernel void softmax_backward(IN(dy), IN(y), OUT(dx), const int lines, const int n,
                               const int inner, const A t, const int logarithm)
{
    GET(T0, dy);
    GET(T0, y);
    PUT(T0, dx);
    const int i = (int)get_global_id(0);
    if (i >= lines) return;
    const int first = FIRST(i);
    A sum = 0;
    for (int j = 0; j < n; j++)
        sum += LD0(dy, first + j * inner) * (logarithm ? (A)1 : LD0(y, first + j * inner));
    for (int j = 0; j < n; j++) {
        const A g = LD0(dy, first + j * inner), p = LD0(y, first + j * inner);
        ST0(dx, first + j * inner, (logarithm ? g - exp(p) * sum : p * (g - sum)) / t);
    }
}

#elif defined(LINES_LOSS)
// How many labels are not the ignored one, at least 1; one work item.
__kernel void count_valid(IN(label), OUT(count), const int n, const long ignored)
{
    GET(T1, label);
    PUT(int, count);
    int valid = 0;
    for (int i = 0; i < n; i++) valid += WHOLE1(label, i) != ignored;
    count[0] = valid ? valid : 1;
}

// dx = s (p - label) head for a label of probabilities, dx = s / D (p - 1[j =
// label]) head else.
#define LOSS_ARGUMENTS(size, step)                                                               \
    IN(p), IN(label), IN(head), IN(count), OUT(dx), const int size, const int n, const int step, \
        const A scale, const long ignored, const int soft, const int use_ignore,                 \
        const int use_head, const int use_count
#define LOSS_GET     \
    GET(T0, p);      \
    GET(T1, label);  \
    GET(T2, head);   \
    GET(int, count); \
    PUT(T0, dx);
__kernel void softmax_loss(LOSS_ARGUMENTS(size, inner))
{
    LOSS_GET
    const int i = (int)get_global_id(0);
    if (i >= size) return;
    const int row = i / (n * inner) * inner + i % inner, j = i / inner % n;
    const long class = soft ? 0 : WHOLE1(label, row);
    const A wanted = soft ? (A)LD1(label, i) : (A)(j == class);
    A g = (use_count ? scale / count[0] : scale) * (LD0(p, i) - wanted);
    if (use_ignore && class == ignored) g = 0;
    if (use_head) g *= LD2(head, i);
    ST0(dx, i, g);
}

#ifdef TN_ON_CPU
// The same for contiguous lines, of which a work item has `each`.
__kernel void softmax_loss_lines(LOSS_ARGUMENTS(lines, each))
{
    LOSS_GET
    const int begin = (int)get_global_id(0) * each, end = begin + min(each, lines - begin);
    const A s = use_count ? scale / count[0] : scale;
    for (int row = begin; row < end; row++) {
        const long class = soft ? 0 : WHOLE1(label, row);
        const int none = use_ignore && class == ignored, first = row * n;
        IN_VECTORS for (int j = 0; j < n; j++)
        {
            const A wanted = soft ? (A)LD1(label, first + j) : (A)(j == class);
            const A g = none ? (A)0 : s * (LD0(p, first + j) - wanted);
            ST0(dx, first + j, use_head ? g * LD2(head, first + j) : g);
        }
    }
}
#endif

#elif defined(LINES_REDUCE)
// One result per work item (o, part): elements part, part + parts, ... of the
// walk over `gone` that begins where `kept` says. With one part the result is
// final.
#define SUM(v) acc += (v)
#define PROD(v) acc *= (v)
#define BEATS_MAX(v) \
    if (!(IS_NAN(acc)) && (IS_NAN(v) || (v) > acc)) acc = (v)
#define BEATS_MIN(v) \
    if (!(IS_NAN(acc)) && (IS_NAN(v) || (v) < acc)) acc = (v)

#ifdef SIXTEENS
// The sum of this part of float32 rows that lie contiguous, on a CPU: parts share the rows, or each
// row where there are few. Sixteen sums are one vector.
float sum_of_part(const __global float *x, const box *outer, int rows, int last, int part,
                  int parts)
{
    const int by_rows = rows >= parts;
    const int piece = by_rows ? last : ((last + parts - 1) / parts + 15) / 16 * 16;
    const int begin = by_rows ? 0 : min(part * piece, last), end = min(begin + piece, last);
    float16 wide = 0;
    float rest = 0;
    for (int r = by_rows ? part : 0; r < rows; r += by_rows ? parts : 1) {
        const __global float *row = x + box_at(outer, r);
        int i = begin;
        for (; i + 16 <= end; i += 16) wide += vload16(0, row + i);
        for (; i < end; i++) rest += row[i];
    }
    const float8 eight = wide.lo + wide.hi;
    const float4 four = eight.lo + eight.hi;
    return rest + four.x + four.y + four.z + four.w;
}
#endif

__kernel void reduce(IN(x), OUT(y), const box kept, const box gone, const int results, const int n,
                     const int parts, const A divisor)
{
    GET(T0, x);
    const int id = (int)get_global_id(0);
    if (id >= results * parts) return;
    const int o = id / parts, part = id - o * parts;
    const int first = box_at(&kept, o);
    A acc = START;
    // Rows of the walk's last axis; parts share each row if it is long, and else
    // the rows.
    const int last = (int)gone.dim[gone.ndim - 1], step = (int)gone.stride[gone.ndim - 1];
    const int rows = last ? n / last : 0, each = last >= 4 * parts;
    box outer = gone;
    outer.ndim--;
#ifdef SIXTEENS
    acc = sum_of_part(x + first, &outer, rows, last, part, parts);
#else
    for (int r = each ? 0 : part; r < rows; r += each ? 1 : parts) {
        const int row = first + box_at(&outer, r);
        for (int i = each ? part : 0; i < last; i += each ? parts : 1) {
            const A v = LD0(x, row + i * step);
            REDUCE(v);
        }
    }
#endif
    if (parts == 1) {
        PUT(T1, y);
        ST1(y, o, FINISH(acc));
    } else {
        PUT(A, y);
        y[id] = acc;
    }
}

// The same for `kept` whose last axis is contiguous, for CPUs: work item (block,
// part) reduces BLOCK neighbours, over elements part, part + parts, ...
#define BLOCK 128
__kernel void reduce_columns(IN(x), OUT(y), const box kept, const box gone, const int results,
                             const int n, const int parts, const A divisor)
{
    GET(T0, x);
    const int last = (int)kept.dim[kept.ndim - 1], blocks = (last + BLOCK - 1) / BLOCK;
    const int id = (int)get_global_id(0), whole = id / parts, part = id - whole * parts;
    const int row = whole / blocks, j0 = (whole - row * blocks) * BLOCK, o = row * last + j0;
    const int many = min(BLOCK, last - j0), first = box_at(&kept, o);
    A sums[BLOCK];
    for (int j = 0; j < BLOCK; j++) sums[j] = START;
    for (int i = part; i < n; i += parts) {
        const int at = first + box_at(&gone, i);
        for (int j = 0; j < many; j++) {
            const A v = LD0(x, at + j);
            A acc = sums[j];
            REDUCE(v);
            sums[j] = acc;
        }
    }
    if (parts == 1) {
        PUT(T1, y);
        for (int j = 0; j < many; j++) ST1(y, o + j, FINISH(sums[j]));
    } else {
        PUT(A, y);
        for (int j = 0; j < many; j++) y[(o + j) * parts + part] = sums[j];
    }
}

__kernel void reduce_parts(IN(x), OUT(y), const int results, const int parts, const int n,
                           const A divisor)
{
    GET(A, x);
    PUT(T1, y);
    const int o = (int)get_global_id(0);
    if (o >= results) return;
    A acc = START;
    for (int i = 0; i < parts; i++) COMBINE(x[o * parts + i]);
    ST1(y, o, FINISH(acc));
}

#else // the place of the first extreme; 0 of nothing
__kernel void extreme(IN(x), OUT(y), const box kept, const box gone, const int results, const int n,
                      const int larger)
{
    GET(T0, x);
    PUT(T1, y);
    const int o = (int)get_global_id(0);
    if (o >= results) return;
    const int first = box_at(&kept, o);
    int best = 0;
    for (int i = 1; i < n; i++) {
        const A b = LD0(x, first + box_at(&gone, best)), v = LD0(x, first + box_at(&gone, i));
        if (!IS_NAN(b) && (IS_NAN(v) || (larger ? v > b : v < b))) best = i;
    }
    ST1(y, o, best);
}
#endif
