// backends/opencl/pairs.cl: maxima of windows of 2 by 2 that lie side by side and cover the planes,
// a line of them for each work item: the compiler makes vectors of such loops.

// The first maximum stays; NaN beats everything.
#define BEATS(v, most) (!isnan(most) && (isnan(v) || (v) > (most)))

// Four windows of float32 at a time, in vectors: FOURS is defined for such data. The same choices
// as BEATS makes; comparisons of vectors are -1 where they hold.
#ifdef FOURS
#define BEATS4(v, most) (~isnan(most) & (isnan(v) | ((v) > (most))))
#endif

__kernel void max_pairs(IN(x), OUT(y), const int lines, const int n)
{
    GET(T0, x);
    PUT(T0, y);
    const int line = (int)get_global_id(0);
    if (line >= lines) return;
    const __global T0 *above = x + 4 * line * n, *below = above + 2 * n;
    __global T0 *to = y + line * n;
    int o = 0;
#ifdef FOURS
    for (; o + 4 <= n; o += 4) {
        const float8 u = vload8(0, above + 2 * o), v = vload8(0, below + 2 * o);
        const float4 first = select(u.even, u.odd, BEATS4(u.odd, u.even));
        const float4 second = select(v.even, v.odd, BEATS4(v.odd, v.even));
        vstore4(select(first, second, BEATS4(second, first)), 0, to + o);
    }
#endif
    for (; o < n; o++) {
        const A a = LD0(above, 2 * o), b = LD0(above, 2 * o + 1);
        const A c = LD0(below, 2 * o), d = LD0(below, 2 * o + 1);
        const A first = BEATS(b, a) ? b : a, second = BEATS(d, c) ? d : c;
        ST0(to, o, BEATS(second, first) ? second : first);
    }
}

__kernel void max_pairs_backward(IN(dy), IN(x), OUT(dx), const int lines, const int n)
{
    GET(T0, dy);
    GET(T0, x);
    PUT(T0, dx);
    const int line = (int)get_global_id(0);
    if (line >= lines) return;
    const __global T0 *above = x + 4 * line * n, *below = above + 2 * n, *g = dy + line * n;
    __global T0 *to_above = dx + 4 * line * n, *to_below = to_above + 2 * n;
    int o = 0;
#ifdef FOURS
    for (; o + 4 <= n; o += 4) {
        const float8 u = vload8(0, above + 2 * o), w = vload8(0, below + 2 * o);
        const int4 right = BEATS4(u.odd, u.even), right_below = BEATS4(w.odd, w.even);
        const float4 first = select(u.even, u.odd, right);
        const float4 second = select(w.even, w.odd, right_below);
        const int4 down = BEATS4(second, first);
        const float4 v = vload4(0, g + o), zero = 0;
        float8 upper, lower;
        upper.even = select(zero, v, ~down & ~right);
        upper.odd = select(zero, v, ~down & right);
        lower.even = select(zero, v, down & ~right_below);
        lower.odd = select(zero, v, down & right_below);
        vstore8(upper, 0, to_above + 2 * o);
        vstore8(lower, 0, to_below + 2 * o);
    }
#endif
    for (; o < n; o++) {
        const A a = LD0(above, 2 * o), b = LD0(above, 2 * o + 1);
        const A c = LD0(below, 2 * o), d = LD0(below, 2 * o + 1);
        const int right = BEATS(b, a), right_below = BEATS(d, c);
        const A first = right ? b : a, second = right_below ? d : c;
        const int down = BEATS(second, first);
        const A v = LD0(g, o), zero = 0;
        ST0(to_above, 2 * o, !down && !right ? v : zero);
        ST0(to_above, 2 * o + 1, !down && right ? v : zero);
        ST0(to_below, 2 * o, down && !right_below ? v : zero);
        ST0(to_below, 2 * o + 1, down && right_below ? v : zero);
    }
}
