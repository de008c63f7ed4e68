// backends/blas/blas_pool_loops.h: the loops of blas_pool.c, once per type (blas_each_type.h).
//
// No guard: it is included again for each.

// ------------------------------------------------------------------ forward

// best = the larger; a NaN beats everything, and is never beaten.
BLAS_CLONES static void N(max_lane)(T *best, const T *x, int64_t n, int64_t step)
{
    if (step == 2) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++)
            best[i] = x[2 * i] > best[i] || x[2 * i] != x[2 * i] ? x[2 * i] : best[i];
    } else {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++)
            best[i] = x[i * step] > best[i] || x[i * step] != x[i * step] ? x[i * step] : best[i];
    }
}

BLAS_CLONES static void N(sum_lane)(double *sum, const T *x, int64_t n, int64_t step)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) sum[i] += (double)x[i * step];
}

#define LARGER(a, v) ((((v) > (a)) | ((v) != (v))) ? (v) : (a))
#define HALVE(half, join) \
    BLAS_SIMD             \
    for (int64_t k = 0; k < (half); k++) acc[k] = join(acc[k], acc[k + (half)]);
#define HALVES(join) HALVE(16, join) HALVE(8, join) HALVE(4, join) HALVE(2, join) HALVE(1, join)
#define ADDED(a, v) ((a) + (v))

// The same for one window's row of n elements, in LANES results side by side. The last overlap:
// elements may be looked at twice. A few are compared without a branch for each.
BLAS_CLONES static T N(max_row)(T best, const T *x, int64_t n)
{
    T acc[LANES];
    int64_t i = 0;
    if (n < LANES) {
        int nans = best != best;
        for (; i < n; i++) {
            nans |= x[i] != x[i];
            best = x[i] > best ? x[i] : best;
        }
        return nans ? (T)NAN : best;
    }
    for (int64_t k = 0; k < LANES; k++) acc[k] = best;
    for (;;) {
        BLAS_SIMD
        for (int64_t k = 0; k < LANES; k++) acc[k] = LARGER(acc[k], x[i + k]);
        if (i + LANES >= n) break;
        i = tn_least(i + LANES, n - LANES);
    }
    HALVES(LARGER)
    return acc[0];
}

BLAS_CLONES static double N(sum_row)(const T *x, int64_t n)
{
    double acc[LANES] = {0}, sum = 0;
    int64_t i = 0;
    if (n >= LANES) {
        for (; i + LANES <= n; i += LANES) {
            BLAS_SIMD
            for (int64_t k = 0; k < LANES; k++) acc[k] += (double)x[i + k];
        }
        HALVES(ADDED)
        sum = acc[0];
    }
    for (; i < n; i++) sum += (double)x[i];
    return sum;
}

// The part of a row that the windows of t look at, with its pads, for whole blocks of results; with
// a stride of s in s planes, one behind the other: element e stands at e / s of plane e % s. So
// what window element j gives to neighbouring results are neighbours. Returns a plane's length.
BLAS_CLONES static int64_t N(pad_row)(const tn_slide *s, const part *t, const T *row, T pad, T *out)
{
    T line[ROOM];
    const int64_t step = s->stride, start = step * t->o[2] - s->pad;
    const int64_t n = (t->n + BLOCK - 1) / BLOCK * BLOCK + s->window / step + 1;
    const tn_interval in = tn_inside(start, 1, step * n, s->wide);
    T *to = step == 1 ? out : line;
    for (int64_t i = 0; i < in.begin; i++) to[i] = pad;
    if (in.begin < in.end)
        memcpy(to + in.begin, row + start + in.begin, (size_t)(in.end - in.begin) * sizeof *to);
    for (int64_t i = in.end; i < step * n; i++) to[i] = pad;
    if (step == 2) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) out[i] = line[2 * i], out[n + i] = line[2 * i + 1];
    } else if (step > 2) {
        for (int64_t r = 0; r < step; r++)
            for (int64_t i = 0; i < n; i++) out[r * n + i] = line[i * step + r];
    }
    return n;
}

// What the planes of a row give to BLOCK results at a time.
#define EACH_ELEMENT(...)                                       \
    for (int64_t i = 0; i < n; i += BLOCK) {                    \
        for (int64_t j = 0, q = 0, r = 0; j < s->window; j++) { \
            const T *from = x + r * plane + q + i;              \
            BLAS_SIMD                                           \
            for (int64_t k = 0; k < BLOCK; k++) {               \
                const T v = from[k];                            \
                __VA_ARGS__                                     \
            }                                                   \
            if (++r == s->stride) r = 0, q++;                   \
        }                                                       \
    }
BLAS_CLONES static void N(max_blocks)(const tn_slide *s, T *best, const T *x, int64_t plane,
                                      int64_t n)
{
    EACH_ELEMENT(best[i + k] = ((v > best[i + k]) | (v != v)) ? v : best[i + k];)
}

BLAS_CLONES static void N(sum_blocks)(const tn_slide *s, double *sum, const T *x, int64_t plane,
                                      int64_t n)
{
    EACH_ELEMENT(sum[i + k] += (double)v;)
}

// The window's row of the only result of a part.
static tn_interval N(one_row)(const pool *p, const part *t)
{
    const tn_slide *s = &p->of.axis[2];
    const int64_t start = s->stride * t->o[2] - s->pad;
    const tn_interval in = tn_inside(start, 1, s->window, s->wide);
    return (tn_interval){start + in.begin, start + tn_most(in.begin, in.end)};
}

static void N(max_part)(const pool *p, const part *t, const T *x, T *y)
{
    const tn_slide *s = p->of.axis;
    T best[SOME], padded[ROOM];
    const tn_interval one = N(one_row)(p, t);
    for (int64_t i = 0; i < SOME; i++) best[i] = (T)-INFINITY;
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            const T *row = x + (i0 * s[1].wide + i1) * s[2].wide;
            if (t->n == 1) {
                if (one.begin < one.end)
                    best[0] = N(max_row)(best[0], row + one.begin, one.end - one.begin);
            } else if (p->padded) {
                const int64_t plane = N(pad_row)(&s[2], t, row, (T)-INFINITY, padded);
                N(max_blocks)(&s[2], best, padded, plane, t->n);
            } else {
                for (int64_t j = 0; j < s[2].window; j++) {
                    const lane l = lane_of(p, t, j);
                    N(max_lane)(best + l.begin, row + l.at, l.end - l.begin, s[2].stride);
                }
            }
        }
    memcpy(y, best, (size_t)t->n * sizeof *y);
}

static void N(sum_part)(const pool *p, const part *t, const T *x, T *y)
{
    const tn_slide *s = p->of.axis;
    double sum[SOME] = {0};
    T padded[ROOM];
    const tn_interval one = N(one_row)(p, t);
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            const T *row = x + (i0 * s[1].wide + i1) * s[2].wide;
            if (t->n == 1) {
                if (one.begin < one.end) sum[0] += N(sum_row)(row + one.begin, one.end - one.begin);
            } else if (p->padded) {
                const int64_t plane = N(pad_row)(&s[2], t, row, 0, padded);
                N(sum_blocks)(&s[2], sum, padded, plane, t->n);
            } else {
                for (int64_t j = 0; j < s[2].window; j++) {
                    const lane l = lane_of(p, t, j);
                    N(sum_lane)(sum + l.begin, row + l.at, l.end - l.begin, s[2].stride);
                }
            }
        }
    for (int64_t i = 0; i < t->n; i++) y[i] = (T)(p->of.mean ? sum[i] / t->divisor[i] : sum[i]);
}

// n squares, whose two rows of the data are `row` elements apart.
BLAS_INLINE void N(squares)(const T *x, int64_t row, T *y, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T v[4] = {x[2 * i], x[2 * i + 1], x[row + 2 * i], x[row + 2 * i + 1]};
        T best = v[0];
        best = v[1] > best || v[1] != v[1] ? v[1] : best;
        best = v[2] > best || v[2] != v[2] ? v[2] : best;
        best = v[3] > best || v[3] != v[3] ? v[3] : best;
        y[i] = best;
    }
}

// Rows shorter than the widest vectors go by small ones, the last of which begins early enough to
// be whole: what it makes twice is the same both times.
BLAS_CLONES static void N(square_plane)(const pool *p, const T *x, T *y)
{
    const int64_t n = p->of.axis[2].narrow, row = p->of.axis[2].wide;
    for (int64_t r = 0; r < p->of.axis[1].narrow; r++, x += 2 * row, y += n) {
        if (n < SMALL || n >= MANY) {
            N(squares)(x, row, y, n);
            continue;
        }
        for (int64_t i = 0; i < n; i += SMALL) {
            const int64_t at = tn_least(i, n - SMALL);
            N(squares)(x + 2 * at, row, y + at, SMALL);
        }
    }
}

// Items are planes, each of which is the only window.
static void N(whole_planes)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const pool_run *r = ctx;
    const pool *p = r->p;
    const int64_t n = p->of.wide_points;
    const T *x = r->x;
    T *y = r->out;
    part t;
    (void)worker;
    find_part(p, 0, &t);
    for (int64_t i = begin; i < end; i++) {
        if (p->of.max) {
            y[i] = N(max_row)((T)-INFINITY, x + i * n, n);
        } else {
            const double sum = N(sum_row)(x + i * n, n);
            y[i] = (T)(p->of.mean ? sum / t.divisor[0] : sum);
        }
    }
}

static void N(planes)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const pool_run *r = ctx;
    const pool *p = r->p;
    part t;
    (void)worker;
    for (int64_t plane = begin; plane < end; plane++) {
        const T *x = (const T *)r->x + plane * p->of.wide_points;
        T *y = (T *)r->out + plane * p->of.narrow_points;
        if (p->squares && p->of.max) {
            N(square_plane)(p, x, y);
            continue;
        }
        for (int64_t at = 0; at < p->of.narrow_points; at += t.n) {
            find_part(p, at, &t);
            (p->of.max ? N(max_part) : N(sum_part))(p, &t, x, y + at);
        }
    }
}

// ------------------------------------------------------------------ backward

#if IS_F32 // as many bits as a number has
#define MASK int32_t
#else
#define MASK int64_t
#endif

// The first maximum of each window: its value, and its index in the plane.
BLAS_CLONES static void N(first_lane)(T *best, MASK *index, const T *x, const int64_t n,
                                      int64_t step, MASK at)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T v = x[i * step];
        const bool beats = (index[i] < 0) | (v > best[i]) | ((v != v) & (best[i] == best[i]));
        best[i] = beats ? v : best[i];
        index[i] = beats ? at + (MASK)(i * step) : index[i];
    }
}

// The same from the planes of a row, x[0] of which would be element `at`. Something of each window
// is there already, so pads never win.
BLAS_CLONES static void N(first_blocks)(const tn_slide *s, T *best, MASK *index, const T *x,
                                        int64_t plane, int64_t n, MASK at)
{
    EACH_ELEMENT(const bool beats = (v > best[i + k]) | ((v != v) & (best[i + k] == best[i + k]));
                 best[i + k] = beats ? v : best[i + k];
                 index[i + k] = beats ? at + (MASK)((i + k) * s->stride + j) : index[i + k];)
}

// Each window's first element in the data; where there is none -1, and nothing is larger.
static void N(first_elements)(const pool *p, const part *t, const T *x, T *best, MASK *index)
{
    const tn_slide *s = p->of.axis;
    const int64_t row = (t->row[0].begin * s[1].wide + t->row[1].begin) * s[2].wide;
    const bool rows = t->row[0].begin < t->row[0].end && t->row[1].begin < t->row[1].end;
    for (int64_t i = 0, start = s[2].stride * t->o[2] - s[2].pad; i < t->n; i++) {
        const int64_t first = tn_most(start, 0);
        const bool some = rows && first < tn_least(start + s[2].window, s[2].wide);
        index[i] = some ? (MASK)(row + first) : -1;
        best[i] = some ? x[row + first] : (T)INFINITY;
        start += s[2].stride;
    }
}

// Of the only result of a part: the largest of each row, and its place in the first row that has
// it.
static void N(first_of_one)(const pool *p, const part *t, const T *x, MASK *index)
{
    const tn_slide *s = p->of.axis;
    const tn_interval one = N(one_row)(p, t);
    T best = (T)-INFINITY;
    int64_t at = -1;
    index[0] = -1;
    if (one.begin >= one.end) return;
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            const int64_t row = (i0 * s[1].wide + i1) * s[2].wide;
            const T v = N(max_row)((T)-INFINITY, x + row + one.begin, one.end - one.begin);
            if (at >= 0 && !(v > best) && !(v != v && best == best)) continue;
            best = v;
            at = row + one.begin;
        }
    if (at < 0) return;
    while (x[at] != best && !(x[at] != x[at] && best != best)) at++;
    index[0] = (MASK)at;
}

static void N(first_part)(const pool *p, const part *t, const T *x, MASK *index)
{
    const tn_slide *s = p->of.axis;
    T best[SOME], padded[ROOM];
    const int64_t start = s[2].stride * t->o[2] - s[2].pad;
    if (t->n == 1) {
        N(first_of_one)(p, t, x, index);
        return;
    }
    N(first_elements)(p, t, x, best, index);
    for (int64_t i = t->n; i < SOME; i++) best[i] = (T)INFINITY, index[i] = -1;
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            const int64_t row = (i0 * s[1].wide + i1) * s[2].wide;
            if (p->padded) {
                const int64_t plane = N(pad_row)(&s[2], t, x + row, (T)-INFINITY, padded);
                N(first_blocks)
                (&s[2], best, index, padded, plane, t->n, (MASK)(row + start));
                continue;
            }
            for (int64_t j = 0; j < s[2].window; j++) {
                const lane l = lane_of(p, t, j);
                N(first_lane)
                (best + l.begin, index + l.begin, x + row + l.at, l.end - l.begin, s[2].stride,
                 (MASK)(row + l.at));
            }
        }
}

// Squares: what is chosen is chosen by masks of as many bits as a number has, all or none, so that
// short rows take no branches either.
BLAS_INLINE MASK N(bits_of)(T v)
{
    MASK m;
    memcpy(&m, &v, sizeof m);
    return m;
}

BLAS_INLINE T N(from_bits)(MASK m)
{
    T v;
    memcpy(&v, &m, sizeof v);
    return v;
}

// Is b, which comes later, the first maximum of the two?
BLAS_INLINE MASK N(beats)(T b, T a)
{
    return -(MASK)((b > a) | ((b != b) & (a == a)));
}

// The first maximum of two, if m says whether that is b.
BLAS_INLINE T N(larger)(T b, T a, MASK m)
{
    return N(from_bits)((N(bits_of)(b) & m) | (N(bits_of)(a) & ~m));
}

// n squares: dx = dy where the maximum is, else 0
BLAS_INLINE void N(squares_back)(const T *x, int64_t row, const T *dy, T *dx, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T a = x[2 * i], b = x[2 * i + 1], c = x[row + 2 * i], d = x[row + 2 * i + 1];
        const MASK above = N(beats)(b, a), below = N(beats)(d, c);
        const MASK down = N(beats)(N(larger)(d, c, below), N(larger)(b, a, above));
        const MASK g = N(bits_of)(dy[i]);
        dx[2 * i] = N(from_bits)(g & ~down & ~above);
        dx[2 * i + 1] = N(from_bits)(g & ~down & above);
        dx[row + 2 * i] = N(from_bits)(g & down & ~below);
        dx[row + 2 * i + 1] = N(from_bits)(g & down & below);
    }
}

BLAS_CLONES static void N(square_plane_back)(const pool *p, const T *x, const T *dy, T *dx)
{
    const int64_t n = p->of.axis[2].narrow, row = p->of.axis[2].wide;
    for (int64_t r = 0; r < p->of.axis[1].narrow; r++, x += 2 * row, dx += 2 * row, dy += n) {
        if (n < SMALL || n >= MANY) N(squares_back)(x, row, dy, dx, n);
        for (int64_t i = 0; n >= SMALL && n < MANY && i < n; i += SMALL) {
            const int64_t at = tn_least(i, n - SMALL);
            N(squares_back)(x + 2 * at, row, dy + at, dx + 2 * at, SMALL);
        }
        for (int64_t j = 2 * n; j < row; j++) dx[j] = dx[row + j] = 0;
    }
    const int64_t left = p->of.axis[1].wide - 2 * p->of.axis[1].narrow;
    if (left > 0) memset(dx, 0, (size_t)(left * row) * sizeof *dx);
}

// dx = the sum of dy over the windows whose first maximum it was
static void N(max_back)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const pool_run *r = ctx;
    const pool *p = r->p;
    part t;
    MASK index[SOME];
    (void)worker;
    for (int64_t plane = begin; plane < end; plane++) {
        const T *x = (const T *)r->x + plane * p->of.wide_points;
        const T *dy = (const T *)r->y + plane * p->of.narrow_points;
        T *dx = (T *)r->out + plane * p->of.wide_points;
        if (p->squares) {
            N(square_plane_back)(p, x, dy, dx);
            continue;
        }
        memset(dx, 0, (size_t)p->of.wide_points * sizeof *dx);
        for (int64_t at = 0; at < p->of.narrow_points; at += t.n) {
            find_part(p, at, &t);
            N(first_part)(p, &t, x, index);
            for (int64_t i = 0; i < t.n; i++)
                if (index[i] >= 0) dx[index[i]] += dy[at + i];
        }
    }
}

BLAS_CLONES static void N(spread_lane)(T *x, const T *g, int64_t n, int64_t step)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) x[i * step] += g[i];
}

BLAS_CLONES static void N(spread_row)(T *x, T g, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) x[i] += g;
}

static void N(spread_part)(const pool *p, const part *t, const T *g, T *x)
{
    const tn_slide *s = p->of.axis;
    for (int64_t i0 = t->row[0].begin; i0 < t->row[0].end; i0++)
        for (int64_t i1 = t->row[1].begin; i1 < t->row[1].end; i1++) {
            T *row = x + (i0 * s[1].wide + i1) * s[2].wide;
            if (t->n == 1) {
                const int64_t start = s[2].stride * t->o[2] - s[2].pad;
                const tn_interval in = tn_inside(start, 1, s[2].window, s[2].wide);
                if (in.begin < in.end)
                    N(spread_row)(row + start + in.begin, g[0], in.end - in.begin);
                continue;
            }
            for (int64_t j = 0; j < s[2].window; j++) {
                const lane l = lane_of(p, t, j);
                N(spread_lane)(row + l.at, g + l.begin, l.end - l.begin, s[2].stride);
            }
        }
}

// dx = Σ dy / divisor over the windows around it
static void N(sum_back)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const pool_run *r = ctx;
    const pool *p = r->p;
    part t;
    T g[SOME];
    (void)worker;
    for (int64_t plane = begin; plane < end; plane++) {
        const T *dy = (const T *)r->y + plane * p->of.narrow_points;
        T *dx = (T *)r->out + plane * p->of.wide_points;
        memset(dx, 0, (size_t)p->of.wide_points * sizeof *dx);
        for (int64_t at = 0; at < p->of.narrow_points; at += t.n) {
            find_part(p, at, &t);
            for (int64_t i = 0; i < t.n; i++)
                g[i] = p->of.mean ? (T)((double)dy[at + i] / t.divisor[i]) : dy[at + i];
            N(spread_part)(p, &t, g, dx);
        }
    }
}

#undef MASK
#undef EACH_ELEMENT
#undef LARGER
#undef HALVE
#undef HALVES
#undef ADDED
