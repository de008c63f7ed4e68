// backends/blas/blas_box.c: walks over axes, and the copies that are nothing but such walks.
#include "blas_turn.h"

int64_t blas_box_size(const blas_box *b)
{
    int64_t n = 1;
    for (int32_t axis = 0; axis < b->ndim; axis++) n *= b->dim[axis];
    return n;
}

int64_t blas_box_at(const blas_box *b, int32_t ndim, int64_t i)
{
    int64_t at = b->start;
    for (int32_t axis = ndim; axis-- > 0; i /= b->dim[axis])
        at += i % b->dim[axis] * b->stride[axis];
    return at;
}

// Leaves out extents of 1 and joins neighbours that are walked as one.
void blas_box_collapse(blas_box *b)
{
    blas_box c = {.start = b->start};
    for (int32_t axis = 0; axis < b->ndim; axis++) {
        const int64_t dim = b->dim[axis], stride = b->stride[axis];
        const int32_t last = c.ndim - 1;
        if (dim == 1) continue;
        if (last >= 0 && c.stride[last] == dim * stride) {
            c.dim[last] *= dim;
            c.stride[last] = stride;
        } else {
            blas_box_add(&c, dim, stride);
        }
    }
    if (c.ndim == 0) blas_box_add(&c, 1, 1);
    *b = c;
}

blas_box blas_broadcast(const tn_value_info *from, const tn_value_info *to)
{
    blas_box b = {0};
    if (from->size == to->size) { // nothing repeats: one axis says as much
        blas_box_add(&b, to->size, 1);
        return b;
    }
    const int32_t shift = to->ndim - from->ndim;
    for (int32_t axis = 0; axis < to->ndim; axis++) {
        const int32_t at = axis - shift;
        const bool repeats = at < 0 || from->dims[at] == 1;
        blas_box_add(&b, to->dims[axis], repeats ? 0 : tn_span(from, at + 1, from->ndim));
    }
    return b;
}

blas_walk blas_walk_from(const blas_box *b, int64_t row)
{
    blas_walk w = {.offset = b->start};
    for (int32_t axis = b->ndim - 1; axis-- > 0; row /= b->dim[axis]) {
        w.at[axis] = row % b->dim[axis];
        w.offset += w.at[axis] * b->stride[axis];
    }
    return w;
}

void blas_walk_next(const blas_box *b, blas_walk *w)
{
    for (int32_t axis = b->ndim - 1; axis-- > 0;) {
        w->offset += b->stride[axis];
        if (++w->at[axis] < b->dim[axis]) return;
        w->offset -= b->dim[axis] * b->stride[axis];
        w->at[axis] = 0;
    }
}

// ------------------------------------------------------------------ rows

// dst[i] = src[i * step]. The steps that occur most have loops of their own: with the step a
// constant, compilers fill, turn round and pick with vectors.
#define STRIDED(bits)                                                                           \
    BLAS_CLONES static void strided_##bits(void *dst, const void *src, int64_t n, int64_t step) \
    {                                                                                           \
        uint##bits##_t *to = dst;                                                               \
        const uint##bits##_t *from = src;                                                       \
        if (step == 0) {                                                                        \
            const uint##bits##_t one = from[0];                                                 \
            for (int64_t i = 0; i < n; i++) to[i] = one;                                        \
        } else if (step == -1) {                                                                \
            BLAS_SIMD                                                                           \
            for (int64_t i = 0; i < n; i++) to[i] = from[-i];                                   \
        } else if (step == 2) {                                                                 \
            BLAS_SIMD                                                                           \
            for (int64_t i = 0; i < n; i++) to[i] = from[2 * i];                                \
        } else {                                                                                \
            for (int64_t i = 0; i < n; i++) to[i] = from[i * step];                             \
        }                                                                                       \
    }
STRIDED(8)
STRIDED(16)
STRIDED(32)
STRIDED(64)

static void copy_strided(char *dst, const char *src, int64_t n, int64_t step, size_t size)
{
    switch (size) {
    case 1: strided_8(dst, src, n, step); break;
    case 2: strided_16(dst, src, n, step); break;
    case 4: strided_32(dst, src, n, step); break;
    default: strided_64(dst, src, n, step); break;
    }
}

typedef struct gather {
    const blas_box *box;
    const char *src;
    char *dst;
    size_t size;    // bytes of an element
    int64_t pieces; // that a row is cut into
    int32_t across; // axis of stride 1 that is not the last, in `tiles`
} gather;

// Items are pieces of BLAS_BLOCK elements of the rows along the last axis.
static void gather_rows(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const gather *g = ctx;
    const blas_box *b = g->box;
    const int64_t n = b->dim[b->ndim - 1], step = b->stride[b->ndim - 1];
    blas_walk w = blas_walk_from(b, begin / g->pieces);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t piece = i % g->pieces, first = piece * BLAS_BLOCK;
        const int64_t len = n - first < BLAS_BLOCK ? n - first : BLAS_BLOCK;
        char *to = g->dst + (size_t)(i / g->pieces * n + first) * g->size;
        const char *from = g->src + (w.offset + first * step) * (int64_t)g->size;
        if (step == 1)
            memcpy(to, from, (size_t)len * g->size);
        else
            copy_strided(to, from, len, step, g->size);
        if (piece == g->pieces - 1) blas_walk_next(b, &w);
    }
}

// ------------------------------------------------------------------ short rows

enum { SHORT = 16 }; // elements: below, a call for each row would be most of the work

// size[0] rows of size[1] elements, step[0] from row to row and step[1] inside of one.
#define ROWS_OF(n_)                                               \
    for (int64_t i = 0; i < size[0]; i++) {                       \
        for (int j = 0; j < (n_); j++) to[j] = from[j * step[1]]; \
        to += (n_);                                               \
        from += step[0];                                          \
    }
#define SHORT_ROWS(bits)                                                       \
    static void rows_##bits(void *dst, const void *src, const int64_t size[2], \
                            const int64_t step[2])                             \
    {                                                                          \
        uint##bits##_t *to = dst;                                              \
        const uint##bits##_t *from = src;                                      \
        switch (size[1]) {                                                     \
        case 2: ROWS_OF(2) break;                                              \
        case 3: ROWS_OF(3) break;                                              \
        case 4: ROWS_OF(4) break;                                              \
        default: ROWS_OF(size[1]) break;                                       \
        }                                                                      \
    }
SHORT_ROWS(8)
SHORT_ROWS(16)
SHORT_ROWS(32)
SHORT_ROWS(64)

// Items are rows along the last axis, taken along the axis before it.
static void gather_short(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const gather *g = ctx;
    const blas_box *b = g->box;
    const int32_t last = b->ndim - 1, row = last - 1;
    const int64_t step[2] = {b->stride[row], b->stride[last]};
    blas_walk w = blas_walk_from(b, begin);
    (void)worker;
    for (int64_t i = begin; i < end;) {
        const int64_t left = b->dim[row] - w.at[row], most = end - i;
        const int64_t size[2] = {left < most ? left : most, b->dim[last]};
        void *to = g->dst + (size_t)(i * size[1]) * g->size;
        const void *from = g->src + w.offset * (int64_t)g->size;
        switch (g->size) {
        case 1: rows_8(to, from, size, step); break;
        case 2: rows_16(to, from, size, step); break;
        case 4: rows_32(to, from, size, step); break;
        default: rows_64(to, from, size, step); break;
        }
        i += size[0];
        w.at[row] += size[0] - 1;
        w.offset += (size[0] - 1) * step[0];
        blas_walk_next(b, &w);
    }
}

#define EACH_ROW(n_)                                        \
    for (int64_t i = 0; i < size[0]; i++) {                 \
        for (int64_t j = 0; j < (n_); j++) to[j] = from[j]; \
        to += to_step;                                      \
        from += from_step;                                  \
    }
#define COPY_ROWS(bits)                                                                          \
    static void copy_rows_##bits(void *dst, int64_t to_step, const void *src, int64_t from_step, \
                                 const int64_t size[2])                                          \
    {                                                                                            \
        uint##bits##_t *to = dst;                                                                \
        const uint##bits##_t *from = src;                                                        \
        switch (size[1]) {                                                                       \
        case 1: EACH_ROW(1) break;                                                               \
        case 2: EACH_ROW(2) break;                                                               \
        case 3: EACH_ROW(3) break;                                                               \
        case 4: EACH_ROW(4) break;                                                               \
        default: EACH_ROW(size[1]) break;                                                        \
        }                                                                                        \
    }
COPY_ROWS(8)
COPY_ROWS(16)
COPY_ROWS(32)
COPY_ROWS(64)

void blas_copy_rows(void *dst, int64_t to_step, const void *src, int64_t from_step,
                    const int64_t size[2], size_t bytes)
{
    char *to = dst;
    const char *from = src;
    const size_t row = (size_t)size[1] * bytes;
    if (row == 0) return;
    if (size[1] >= SHORT) {
        for (int64_t i = 0; i < size[0]; i++)
            memcpy(to + (size_t)(i * to_step) * bytes, from + (size_t)(i * from_step) * bytes, row);
        return;
    }
    switch (bytes) {
    case 1: copy_rows_8(dst, to_step, src, from_step, size); break;
    case 2: copy_rows_16(dst, to_step, src, from_step, size); break;
    case 4: copy_rows_32(dst, to_step, src, from_step, size); break;
    default: copy_rows_64(dst, to_step, src, from_step, size); break;
    }
}

// ------------------------------------------------------------------ tiles

enum { TILE = 32 }; // two tiles of 8-byte elements fill half of a first-level cache

// dst[j * to_step + i] = src[i * from_step + j]: rows of src become columns of dst.
static void copy_tile(char *dst, int64_t to_step, const char *src, int64_t from_step,
                      const int64_t n[2], size_t size)
{
#define COPY(type)                                                                            \
    {                                                                                         \
        type *to = (type *)(void *)dst;                                                       \
        const type *from = (const type *)(const void *)src;                                   \
        for (int64_t j = 0; j < n[1]; j++)                                                    \
            for (int64_t i = 0; i < n[0]; i++) to[j * to_step + i] = from[i * from_step + j]; \
        break;                                                                                \
    }
    switch (size) {
    case 1: COPY(uint8_t)
    case 2: COPY(uint16_t)
    case 4: blas_turn_32(src, from_step, dst, to_step, n); break;
    default: blas_turn_64(src, from_step, dst, to_step, n); break;
    }
#undef COPY
}

// Items are bands of TILE rows of src's contiguous axis; the box without the axes `across` and the
// last says where each plane begins.
static void gather_tiles(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const gather *g = ctx;
    const blas_box *b = g->box;
    const int32_t last = b->ndim - 1;
    const int64_t n = b->dim[last], step = b->stride[last], m = b->dim[g->across];
    const int64_t bands = (m + TILE - 1) / TILE;
    int64_t out_stride = 1; // of the axis `across` in dst
    for (int32_t axis = g->across + 1; axis <= last; axis++) out_stride *= b->dim[axis];
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t j = item % bands * TILE;
        int64_t plane = item / bands, from = b->start + j, to = j * out_stride, out = n;
        for (int32_t axis = last; axis-- > 0; out *= b->dim[axis]) {
            if (axis == g->across) continue;
            from += plane % b->dim[axis] * b->stride[axis];
            to += plane % b->dim[axis] * out;
            plane /= b->dim[axis];
        }
        for (int64_t i = 0; i < n; i += TILE) {
            const int64_t len[2] = {n - i < TILE ? n - i : TILE, m - j < TILE ? m - j : TILE};
            copy_tile(g->dst + (size_t)(to + i) * g->size, out_stride,
                      g->src + (from + i * step) * (int64_t)g->size, step, len, g->size);
        }
    }
}

// The axis to go across for tiles, or -1: rows are as good.
static int32_t tile_axis(const blas_box *b)
{
    const int32_t last = b->ndim - 1;
    if (b->stride[last] == 1 || b->stride[last] == 0) return -1;
    for (int32_t axis = last; axis-- > 0;)
        if (b->stride[axis] == 1 && b->dim[axis] >= 4) return axis;
    return -1;
}

void blas_gather(const tn_sdk_kernel *k, const tn_run_args *a, const blas_box *box, const void *src,
                 void *dst)
{
    const int64_t size = blas_box_size(box);
    if (size == 0) return;
    gather g = {.box = box, .src = src, .dst = dst, .across = tile_axis(box)};
    g.size = tn_dtype_size(k->call->out[0]->dtype);
    const int64_t n = box->dim[box->ndim - 1];
    if (g.across >= 0) {
        const int64_t m = box->dim[g.across], bands = (m + TILE - 1) / TILE;
        blas_items(k, a, size / (m * n) * bands, n * TILE, BLAS_CHEAP, gather_tiles, &g);
        return;
    }
    if (n < SHORT && box->ndim > 1) {
        blas_items(k, a, size / n, n, BLAS_CHEAP, gather_short, &g);
        return;
    }
    g.pieces = (n + BLAS_BLOCK - 1) / BLAS_BLOCK;
    blas_items(k, a, size / n * g.pieces, n < BLAS_BLOCK ? n : BLAS_BLOCK, BLAS_CHEAP, gather_rows,
               &g);
}

tn_status blas_gather_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_gather(k, a, k->state, blas_in(a, 0), blas_out(a, 0));
    return TN_OK;
}
