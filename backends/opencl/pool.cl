// backends/opencl/pool.cl: windows that slide over planes of up to 3 axes, and
// back.
//
// On each axis window o begins at s o - p and has k elements, of which it takes
// those that are in the data; a mean divides by the elements up to the end of
// the padded data, or by those taken.
typedef struct slides {
    int wide[3], narrow[3], window[3], stride[3], dilate[3], pad[3];
} slides;
typedef struct taken {
    int begin[3], end[3];
    float divisor;
} taken;

taken window_of(const slides *s, int o, int count_pad)
{
    taken w;
    w.divisor = 1;
    for (int axis = 2; axis >= 0; axis--) {
        const int q = o / s->narrow[axis];
        const int start = s->stride[axis] * (o - q * s->narrow[axis]) - s->pad[axis];
        const int padded = min(start + s->window[axis], s->wide[axis] + s->pad[axis]);
        w.begin[axis] = max(start, 0);
        w.end[axis] = max(min(padded, s->wide[axis]), w.begin[axis]);
        w.divisor *= (float)(count_pad ? padded - start : w.end[axis] - w.begin[axis]);
        o = q;
    }
    return w;
}

#define EACH_OF(w)                                     \
    for (int i0 = w.begin[0]; i0 < w.end[0]; i0++)     \
        for (int i1 = w.begin[1]; i1 < w.end[1]; i1++) \
            for (int i2 = w.begin[2]; i2 < w.end[2]; i2++)

// Place in its plane of the window's first maximum; a NaN beats everything; -1
// of nothing.
int place_of(const __global T0 *x, const slides *s, taken w)
{
    int best = -1;
    A most = 0;
    EACH_OF(w)
    {
        const int i = (i0 * s->wide[1] + i1) * s->wide[2] + i2;
        const A v = LD0(x, i);
        if (best < 0 || (!isnan(most) && (isnan(v) || v > most))) {
            best = i;
            most = v;
        }
    }
    return best;
}

// mode: 0 maximum, 1 sum, 2 mean
__kernel void pool(IN(x), OUT(y), const slides s, const int mode, const int count_pad)
{
    GET(T0, x);
    PUT(T0, y);
    const int o = (int)get_global_id(0), plane = (int)get_global_id(1);
    const int narrow = s.narrow[0] * s.narrow[1] * s.narrow[2];
    const int wide = s.wide[0] * s.wide[1] * s.wide[2];
    if (o >= narrow) return;
    const taken w = window_of(&s, o, count_pad);
    const __global T0 *from = x + (long)plane * wide;
    A v = 0;
    if (mode == 0) {
        const int best = place_of(from, &s, w);
        v = best < 0 ? (A)-INFINITY : LD0(from, best);
    } else {
        EACH_OF(w) v += LD0(from, (i0 * s.wide[1] + i1) * s.wide[2] + i2);
        if (mode == 2) v /= w.divisor;
    }
    ST0(y, (long)plane * narrow + o, v);
}

// dx = the sum of dy over the windows that hold the element: of those whose
// first maximum it is (mode 0), of all (1), of all by their divisors (2).
__kernel void pool_backward(IN(dy), IN(x), OUT(dx), const slides s, const int mode,
                            const int count_pad)
{
    GET(T0, dy);
    GET(T0, x);
    PUT(T0, dx);
    const int i = (int)get_global_id(0), plane = (int)get_global_id(1);
    const int narrow = s.narrow[0] * s.narrow[1] * s.narrow[2];
    const int wide = s.wide[0] * s.wide[1] * s.wide[2];
    if (i >= wide) return;
    int begin[3], end[3], rest = i;
    for (int axis = 2; axis >= 0; axis--) {
        const int q = rest / s.wide[axis], at = rest - q * s.wide[axis] + s.pad[axis];
        const int before = at - s.window[axis] + 1; // windows from here on may hold it
        begin[axis] = before > 0 ? (before + s.stride[axis] - 1) / s.stride[axis] : 0;
        end[axis] = min(at / s.stride[axis] + 1, s.narrow[axis]);
        rest = q;
    }
    const __global T0 *from = x + (long)plane * wide, *g = dy + (long)plane * narrow;
    A sum = 0;
    for (int o0 = begin[0]; o0 < end[0]; o0++)
        for (int o1 = begin[1]; o1 < end[1]; o1++)
            for (int o2 = begin[2]; o2 < end[2]; o2++) {
                const int o = (o0 * s.narrow[1] + o1) * s.narrow[2] + o2;
                if (mode == 1) {
                    sum += LD0(g, o);
                    continue;
                }
                const taken w = window_of(&s, o, count_pad);
                if (mode == 2)
                    sum += LD0(g, o) / w.divisor;
                else if (place_of(from, &s, w) == i)
                    sum += LD0(g, o);
            }
    ST0(dx, (long)plane * wide + i, sum);
}

// Positions begin ... end - 1 along an axis whose window has element j in the data.
int first_with(int j, int pad, int stride)
{
    return j < pad ? (pad - j + stride - 1) / stride : 0;
}
int end_with(int j, int pad, int stride, int wide, int narrow)
{
    return j - pad < wide ? min(narrow, (wide - 1 - j + pad) / stride + 1) : 0;
}

// One work item for a plane, line by line: what suits few and fast processors.
// The results gather in y.
__kernel void pool_planes(IN(x), OUT(y), const slides s, const int mode, const int count_pad,
                          const int planes)
{
    GET(T0, x);
    PUT(T0, y);
    const int plane = (int)get_global_id(0);
    const int narrow = s.narrow[0] * s.narrow[1] * s.narrow[2];
    if (plane >= planes) return;
    const __global T0 *from = x + (long)plane * s.wide[0] * s.wide[1] * s.wide[2];
    __global T0 *to = y + (long)plane * narrow;
    for (int o = 0; o < narrow; o += s.narrow[2], to += s.narrow[2]) {
        const taken w = window_of(&s, o, count_pad);
        for (int o2 = 0; o2 < s.narrow[2]; o2++) to[o2] = mode == 0 ? -INFINITY : (A)0;
        for (int i0 = w.begin[0]; i0 < w.end[0]; i0++)
            for (int i1 = w.begin[1]; i1 < w.end[1]; i1++)
                for (int j = 0; j < s.window[2]; j++) {
                    const __global T0 *line =
                        from + (i0 * s.wide[1] + i1) * s.wide[2] + j - s.pad[2];
                    const int begin = first_with(j, s.pad[2], s.stride[2]);
                    const int end = end_with(j, s.pad[2], s.stride[2], s.wide[2], s.narrow[2]);
                    for (int o2 = begin; o2 < end; o2++) {
                        const A v = line[o2 * s.stride[2]], old = to[o2];
                        to[o2] = mode != 0 ? old + v : v > old || isnan(v) ? v : old;
                    }
                }
        for (int o2 = 0; mode == 2 && o2 < s.narrow[2]; o2++)
            to[o2] /= window_of(&s, o + o2, count_pad).divisor;
    }
}

// The gradient of sums (mode 1) and means (2), one work item for a plane.
__kernel void sum_backward_planes(IN(dy), OUT(dx), const slides s, const int mode,
                                  const int count_pad, const int planes)
{
    GET(T0, dy);
    PUT(T0, dx);
    const int plane = (int)get_global_id(0);
    const int narrow = s.narrow[0] * s.narrow[1] * s.narrow[2];
    const int wide = s.wide[0] * s.wide[1] * s.wide[2];
    if (plane >= planes) return;
    const __global T0 *g = dy + (long)plane * narrow;
    __global T0 *to = dx + (long)plane * wide;
    for (int i = 0; i < wide; i++) to[i] = 0;
    for (int o = 0; o < narrow; o++) {
        const taken w = window_of(&s, o, count_pad);
        const A share = mode == 2 ? g[o] / w.divisor : g[o];
        for (int i0 = w.begin[0]; i0 < w.end[0]; i0++)
            for (int i1 = w.begin[1]; i1 < w.end[1]; i1++) {
                __global T0 *line = to + (i0 * s.wide[1] + i1) * s.wide[2];
                for (int i2 = w.begin[2]; i2 < w.end[2]; i2++) line[i2] += share;
            }
    }
}

// The gradient of the maximum, one work item for a plane: what suits few and
// fast processors.
__kernel void max_backward_planes(IN(dy), IN(x), OUT(dx), const slides s, const int mode,
                                  const int count_pad, const int planes)
{
    GET(T0, dy);
    GET(T0, x);
    PUT(T0, dx);
    const int plane = (int)get_global_id(0);
    const int narrow = s.narrow[0] * s.narrow[1] * s.narrow[2];
    const int wide = s.wide[0] * s.wide[1] * s.wide[2];
    if (plane >= planes) return;
    const __global T0 *from = x + (long)plane * wide, *g = dy + (long)plane * narrow;
    __global T0 *to = dx + (long)plane * wide;
    for (int i = 0; i < wide; i++) to[i] = 0;
    for (int o = 0; o < narrow; o++) {
        const int best = place_of(from, &s, window_of(&s, o, 0));
        if (best >= 0) to[best] += g[o];
    }
}
