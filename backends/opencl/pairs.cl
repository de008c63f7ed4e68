// backends/opencl/pairs.cl: maxima of windows of 2 by 2 that lie side by side and cover the planes,
// a line of them for each work item: the compiler makes vectors of such loops.

// The first maximum stays; NaN beats everything.
#define BEATS(v, most) (!isnan(most) && (isnan(v) || (v) > (most)))

__kernel void max_pairs(IN(x), OUT(y), const int lines, const int n)
{
    GET(T0, x);
    PUT(T0, y);
    const int line = (int)get_global_id(0);
    if (line >= lines) return;
    const __global T0 *above = x + 4 * line * n, *below = above + 2 * n;
    __global T0 *to = y + line * n;
    for (int o = 0; o < n; o++) {
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
    for (int o = 0; o < n; o++) {
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
