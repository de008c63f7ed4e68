// backends/blas/blas_reduce_loops.h: the loops of blas_reduce.c, once per dtype
// (blas_each_dtype.h).
//
// No guard: it is included again for each. Sums and products are of type A; extremes compare
// elements as they are (type E) and become A at the end.
#if IS_REAL
#define IS_NAN(v) ((v) != (v))
#else
#define IS_NAN(v) false
#endif
#define LARGER(a, v) ((E)((((v) > (a)) | IS_NAN(v)) ? (v) : (a))) // a NaN stays
#define SMALLER(a, v) ((E)((((v) < (a)) | IS_NAN(v)) ? (v) : (a)))

// ------------------------------------------------------------------ rows

// `lanes` results side by side, because one alone waits for its own additions; what is left of a
// row joins the first 8 and 4 of them.
#define JOIN_LANES(n_, type, get, term, join)         \
    {                                                 \
        BLAS_SIMD                                     \
        for (int64_t j = 0; j < (n_); j++) {          \
            const type v = (type)term(get(x[i + j])); \
            acc[j] = join(acc[j], v);                 \
        }                                             \
        i += (n_);                                    \
    }
#define HALVE(half, lanes, join)                                                     \
    if ((lanes) >= 2 * (half)) {                                                     \
        BLAS_SIMD                                                                    \
        for (int64_t j = 0; j < (half); j++) acc[j] = join(acc[j], acc[j + (half)]); \
    }
#define HALVES(lanes, join) \
    HALVE(32, lanes, join)  \
    HALVE(16, lanes, join)  \
    HALVE(8, lanes, join) HALVE(4, lanes, join) HALVE(2, lanes, join) HALVE(1, lanes, join)

#define SUM_OF_ROW(name, term, start, join)                        \
    BLAS_INLINE A N(name)(const T *x, int64_t n)                   \
    {                                                              \
        A acc[32], a = start;                                      \
        int64_t i = 0;                                             \
        if (n >= REDUCE_SHORT) {                                   \
            for (int64_t j = 0; j < 32; j++) acc[j] = a;           \
            while (i + 32 <= n) JOIN_LANES(32, A, GET, term, join) \
            while (i + 8 <= n) JOIN_LANES(8, A, GET, term, join)   \
            if (i + 4 <= n) JOIN_LANES(4, A, GET, term, join)      \
            HALVES(32, join)                                       \
            a = acc[0];                                            \
        }                                                          \
        for (; i < n; i++) {                                       \
            const A v = term(GET(x[i]));                           \
            a = join(a, v);                                        \
        }                                                          \
        return a;                                                  \
    }
SUM_OF_ROW(sum_of_row, ITSELF, 0, SUM_OF)
SUM_OF_ROW(squares_of_row, SQUARE, 0, SUM_OF)
SUM_OF_ROW(prod_of_row, ITSELF, 1, PRODUCT_OF)

// The extreme of NaN and anything is NaN. n is not 0. Elements may be taken twice, so the last 8
// overlap. One by one, a branch for each would be a guess: NaN is asked for at the end.
#define EXTREME_OF_ROW(name, beats, join)                          \
    BLAS_INLINE E N(name)(const T *x, int64_t n)                   \
    {                                                              \
        E acc[64], a = GET_E(x[0]);                                \
        int64_t i = 0, nans = 0;                                   \
        if (n < REDUCE_SHORT) {                                    \
            for (; i < n; i++) {                                   \
                const E v = GET_E(x[i]);                           \
                nans |= IS_NAN(v);                                 \
                a = v beats a ? v : a;                             \
            }                                                      \
            return nans ? NOT_A_NUMBER : a;                        \
        }                                                          \
        for (int64_t j = 0; j < 64; j++) acc[j] = a;               \
        while (i + 64 <= n) JOIN_LANES(64, E, GET_E, ITSELF, join) \
        while (i + 8 <= n) JOIN_LANES(8, E, GET_E, ITSELF, join)   \
        i = n - 8;                                                 \
        JOIN_LANES(8, E, GET_E, ITSELF, join)                      \
        HALVES(64, join)                                           \
        return acc[0];                                             \
    }
EXTREME_OF_ROW(max_of_row, >, LARGER)
EXTREME_OF_ROW(min_of_row, <, SMALLER)

// For items (result, part) begin … end-1. A part is some of the elements of the one row, or some of
// the rows.
#define EACH_RESULT(type, of, join)                                                         \
    for (int64_t item = begin; item < end; item++) {                                        \
        const int64_t o = item / r->parts, part = item % r->parts;                          \
        const int64_t first = part * r->unit_share;                                         \
        const int64_t all = r->units == 1 ? r->inner : r->units, left = all - first;        \
        const int64_t n = left < r->unit_share ? left : r->unit_share;                      \
        const T *x = (const T *)run->x +                                                    \
                     (r->parts == 1 ? reduce_next(&r->kept, &at) : reduce_at(&r->kept, o)); \
        type a;                                                                             \
        if (r->units == 1) {                                                                \
            a = of(x + first, n);                                                           \
        } else {                                                                            \
            blas_walk w = blas_walk_from(&r->gone, first);                                  \
            a = of(x + w.offset, r->inner);                                                 \
            for (int64_t i = 1; i < n; i++) {                                               \
                blas_walk_next(&r->gone, &w);                                               \
                const type v = of(x + w.offset, r->inner);                                  \
                a = join(a, v);                                                             \
            }                                                                               \
        }                                                                                   \
        ((A *)run->to)[part * r->results + o] = (A)a;                                       \
    }

BLAS_CLONES static void N(reduce_rows)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const reduce_run *run = ctx;
    const reduction *r = run->r;
    reduce_place at = {0};
    if (r->parts == 1) at = reduce_from(&r->kept, begin);
    (void)worker;
    switch (r->what) {
    case SUM: EACH_RESULT(A, N(sum_of_row), SUM_OF) break;
    case SQUARES: EACH_RESULT(A, N(squares_of_row), SUM_OF) break;
    case PROD: EACH_RESULT(A, N(prod_of_row), PRODUCT_OF) break;
    case MAX: EACH_RESULT(E, N(max_of_row), LARGER) break;
    case MIN: EACH_RESULT(E, N(min_of_row), SMALLER) break;
    }
}

// ------------------------------------------------------------------ columns

// Results of `width` neighbouring columns over n units of r->walk, four rows at a time. Where the
// columns are few a unit is several rows, `fold` of them side by side; `rest` rows are left over.
#define COLUMNS(name, type, get, term, join)                                                     \
    BLAS_INLINE void N(name)(const reduction *r, const T *x, const reduce_piece *p, A *to)       \
    {                                                                                            \
        type acc[REDUCE_WIDTH];                                                                  \
        reduce_place at = reduce_from(&r->walk, p->unit);                                        \
        const T *row = x + reduce_next(&r->walk, &at);                                           \
        int64_t i = 1;                                                                           \
        BLAS_SIMD                                                                                \
        for (int64_t j = 0; j < p->width; j++) acc[j] = term(get(row[j]));                       \
        for (; i + 4 <= p->n; i += 4) {                                                          \
            const T *a = x + reduce_next(&r->walk, &at), *b = x + reduce_next(&r->walk, &at);    \
            const T *c = x + reduce_next(&r->walk, &at), *d = x + reduce_next(&r->walk, &at);    \
            BLAS_SIMD                                                                            \
            for (int64_t j = 0; j < p->width; j++) {                                             \
                const type v = term(get(a[j])), w = term(get(b[j]));                             \
                const type y = term(get(c[j])), z = term(get(d[j]));                             \
                type s = join(acc[j], v);                                                        \
                s = join(s, w);                                                                  \
                s = join(s, y);                                                                  \
                acc[j] = join(s, z);                                                             \
            }                                                                                    \
        }                                                                                        \
        for (; i < p->n; i++) {                                                                  \
            row = x + reduce_next(&r->walk, &at);                                                \
            BLAS_SIMD                                                                            \
            for (int64_t j = 0; j < p->width; j++) {                                             \
                const type v = term(get(row[j]));                                                \
                acc[j] = join(acc[j], v);                                                        \
            }                                                                                    \
        }                                                                                        \
        row = x + r->units * p->width;                                                           \
        for (int64_t j = 0; j < p->rest * r->width; j++) {                                       \
            const type v = term(get(row[j]));                                                    \
            acc[j] = join(acc[j], v);                                                            \
        }                                                                                        \
        for (int64_t f = 1; f < r->fold; f++)                                                    \
            for (int64_t j = 0; j < r->width; j++) acc[j] = join(acc[j], acc[f * r->width + j]); \
        const int64_t results = r->fold > 1 ? r->width : p->width;                               \
        BLAS_SIMD                                                                                \
        for (int64_t j = 0; j < results; j++) to[j] = (A)acc[j];                                 \
    }
COLUMNS(sum_columns, A, GET, ITSELF, SUM_OF)
COLUMNS(squares_columns, A, GET, SQUARE, SUM_OF)
COLUMNS(prod_columns, A, GET, ITSELF, PRODUCT_OF)
COLUMNS(max_columns, E, GET_E, ITSELF, LARGER)
COLUMNS(min_columns, E, GET_E, ITSELF, SMALLER)

// Items are (outer position of the kept axes, block of columns, part).
BLAS_CLONES static void N(reduce_columns)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const reduce_run *run = ctx;
    const reduction *r = run->r;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        int64_t at[2];
        const reduce_piece p = reduce_piece_of(r, item, at);
        const T *x = (const T *)run->x + at[0];
        A *to = (A *)run->to + at[1];
        switch (r->what) {
        case SUM: N(sum_columns)(r, x, &p, to); break;
        case SQUARES: N(squares_columns)(r, x, &p, to); break;
        case PROD: N(prod_columns)(r, x, &p, to); break;
        case MAX: N(max_columns)(r, x, &p, to); break;
        case MIN: N(min_columns)(r, x, &p, to); break;
        }
    }
}

// ------------------------------------------------------------------ argmax, argmin

// Where in a row the number stands first: looked for in blocks without a branch for each element.
BLAS_INLINE int64_t N(first_of)(const T *x, int64_t n, E best)
{
    int64_t i = 0;
    for (; i + REDUCE_LOOK <= n; i += REDUCE_LOOK) {
        int32_t found = 0;
        BLAS_PRAGMA(omp simd reduction(| : found))
        for (int64_t j = 0; j < REDUCE_LOOK; j++) {
            const E v = GET_E(x[i + j]);
            found |= (v == best) | (IS_NAN(v) & IS_NAN(best));
        }
        if (found) break;
    }
    for (; i < n; i++) {
        const E v = GET_E(x[i]);
        if (v == best || (IS_NAN(v) && IS_NAN(best))) break;
    }
    return i;
}

// Items are results. A NaN beats everything, and the first extreme stays.
BLAS_CLONES static void N(reduce_places)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const reduce_run *run = ctx;
    const reduction *r = run->r;
    const int64_t step = r->gone.stride[r->gone.ndim - 1];
    const bool larger = r->what == MAX;
    reduce_place at = reduce_from(&r->kept, begin);
    (void)worker;
    for (int64_t o = begin; o < end; o++) {
        const T *x = (const T *)run->x + reduce_next(&r->kept, &at);
        E best = GET_E(x[0]);
        int64_t place = 0;
        if (step == 1 && r->n >= REDUCE_SHORT) { // the extreme first, then where it is
            best = larger ? N(max_of_row)(x, r->n) : N(min_of_row)(x, r->n);
            ((int64_t *)run->to)[o] = N(first_of)(x, r->n, best);
            continue;
        }
        for (int64_t i = 1; i < r->n; i++) {
            const E v = GET_E(x[i * step]);
            const bool beats = (larger ? v > best : v < best) | (IS_NAN(v) & !IS_NAN(best));
            place = beats ? i : place;
            best = beats ? v : best;
        }
        ((int64_t *)run->to)[o] = place;
    }
}

// The same for neighbouring columns together; n fits 32 bits.
#define PLACE_COLUMNS(beats_)                                                       \
    for (int64_t i = 1; i < r->n; i++) {                                            \
        const T *row = x + i * step;                                                \
        BLAS_SIMD                                                                   \
        for (int64_t j = 0; j < p.width; j++) {                                     \
            const E v = GET_E(row[j]);                                              \
            const bool beats = (v beats_ best[j]) | (IS_NAN(v) & !IS_NAN(best[j])); \
            place[j] = beats ? (int32_t)i : place[j];                               \
            best[j] = beats ? v : best[j];                                          \
        }                                                                           \
    }
BLAS_CLONES static void N(reduce_column_places)(void *ctx, int64_t begin, int64_t end,
                                                uint32_t worker)
{
    const reduce_run *run = ctx;
    const reduction *r = run->r;
    const int64_t step = r->gone.stride[r->gone.ndim - 1];
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        int64_t at[2];
        const reduce_piece p = reduce_piece_of(r, item, at);
        const T *x = (const T *)run->x + at[0];
        int64_t *to = (int64_t *)run->to + at[1];
        E best[REDUCE_WIDTH];
        int32_t place[REDUCE_WIDTH];
        for (int64_t j = 0; j < p.width; j++) best[j] = GET_E(x[j]), place[j] = 0;
        if (r->what == MAX)
            PLACE_COLUMNS(>)
        else
            PLACE_COLUMNS(<)
        for (int64_t j = 0; j < p.width; j++) to[j] = place[j];
    }
}

#undef IS_NAN
#undef LARGER
#undef SMALLER
#undef JOIN_LANES
#undef HALVE
#undef HALVES
#undef SUM_OF_ROW
#undef EXTREME_OF_ROW
#undef EACH_RESULT
#undef COLUMNS
#undef PLACE_COLUMNS
