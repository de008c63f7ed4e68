// backends/blas/blas_map.c: runs a loop of one type of number over arguments of any dtype and any
// broadcast shape.
//
// The output is cut into rows, and rows into pieces of BLAS_BLOCK elements. Where all arguments
// have the loop's type it works on them directly; otherwise a few hundred elements at a time are
// converted, computed, and converted back, inside the first-level cache.
#include "blas.h"

enum {
    CHUNK = 256,
    SHORT = 64, // rows of fewer elements are broadcast into tiles
    TILE = 1024 // elements of a tile
};

static size_t number_size(const blas_map *m)
{
    return m->number == TN_F32 ? 4 : 8;
}

// True if all arguments that are read or written have the loop's type.
static bool is_direct(const tn_sdk_kernel *k, const blas_map *m)
{
    const int32_t n = m->n_operands - m->with_constants;
    for (int32_t i = 0; i < n; i++)
        if (k->call->in[i]->dtype != m->number) return false;
    return k->call->out[0]->dtype == m->number;
}

void blas_map_same(const tn_sdk_kernel *k, blas_map *m, blas_loop loop, int32_t n)
{
    m->loop = loop;
    m->n_operands = n;
    for (int32_t i = 0; i < n; i++) {
        m->box[i] = (blas_box){0};
        blas_box_add(&m->box[i], k->call->out[0]->size, 1);
    }
    m->direct = is_direct(k, m);
}

// Joins axes that both operands walk as one; leaves out extents of 1.
static void collapse_both(blas_box *a, blas_box *b)
{
    blas_box x = {0}, y = {0};
    for (int32_t axis = 0; axis < a->ndim; axis++) {
        const int64_t dim = a->dim[axis], p = a->stride[axis], q = b->stride[axis];
        const int32_t last = x.ndim - 1;
        if (dim == 1) continue;
        if (last >= 0 && x.stride[last] == dim * p && y.stride[last] == dim * q) {
            x.dim[last] *= dim, y.dim[last] *= dim;
            x.stride[last] = p, y.stride[last] = q;
        } else {
            blas_box_add(&x, dim, p);
            blas_box_add(&y, dim, q);
        }
    }
    if (x.ndim == 0) {
        blas_box_add(&x, 1, 1);
        blas_box_add(&y, 1, 1);
    }
    *a = x, *b = y;
}

void blas_map_broadcast(const tn_sdk_kernel *k, blas_map *m, const blas_loops *loops)
{
    const tn_value_info *to = k->call->out[0];
    blas_box *a = &m->box[0], *b = &m->box[1];
    blas_map_same(k, m, loops->form[BLAS_VV], 2);
    if (k->call->in[0]->size == to->size && k->call->in[1]->size == to->size) return;

    // blas_broadcast() may give one axis for the larger: here both need the output's axes.
    int64_t stride = 1;
    blas_box full = {.ndim = to->ndim};
    for (int32_t axis = to->ndim; axis-- > 0; stride *= to->dims[axis]) {
        full.dim[axis] = to->dims[axis];
        full.stride[axis] = stride;
    }
    *a = k->call->in[0]->size == to->size ? full : blas_broadcast(k->call->in[0], to);
    *b = k->call->in[1]->size == to->size ? full : blas_broadcast(k->call->in[1], to);
    collapse_both(a, b);
    m->both = m->loop;
    if (a->stride[a->ndim - 1] == 0) m->loop = loops->form[BLAS_SV];
    if (b->stride[b->ndim - 1] == 0) m->loop = loops->form[BLAS_VS];
}

void blas_map_constants(const tn_sdk_kernel *k, blas_map *m, int32_t n, const double *v)
{
    const tn_dtype dtype = k->call->in[0]->dtype;
    m->with_constants = true;
    m->n_operands++;
    m->direct = is_direct(k, m);
    for (int32_t i = 0; i < n; i++) {
        if (m->number == TN_F32)
            m->constants.f32[i] = (float)blas_as_real(dtype, v[i]);
        else if (m->number == TN_F64)
            m->constants.f64[i] = blas_as_real(dtype, v[i]);
        else
            m->constants.i64[i] = blas_as_int(dtype, v[i]);
    }
}

// ------------------------------------------------------------------ running

typedef struct map_run {
    const blas_map *m;
    const tn_call *call;
    const tn_run_args *a;
    int64_t n, pieces; // of a row: elements, pieces
} map_run;

static void load(tn_dtype number, tn_dtype dtype, const void *p, int64_t at, int64_t n, void *out)
{
    if (number == TN_F32)
        blas_load_f32(dtype, p, at, n, out);
    else if (number == TN_F64)
        blas_load_f64(dtype, p, at, n, out);
    else
        blas_load_i64(dtype, p, at, n, out);
}

static void store(tn_dtype number, tn_dtype dtype, void *p, int64_t at, int64_t n, const void *v)
{
    if (number == TN_F32)
        blas_store_f32(dtype, p, at, n, v);
    else if (number == TN_F64)
        blas_store_f64(dtype, p, at, n, v);
    else
        blas_store_i64(dtype, p, at, n, v);
}

// n elements from `out` on in the output; those of operand i from at[i] on.
static void run_converted(const map_run *r, const int64_t at[3], int64_t out, int64_t n)
{
    const blas_map *m = r->m;
    const int32_t n_arrays = m->n_operands - m->with_constants;
    int64_t numbers[4][CHUNK]; // of any of the three types
    const void *in[3] = {numbers[0], numbers[1], numbers[2]};
    if (m->with_constants) in[n_arrays] = &m->constants;
    if (m->constants_first) in[0] = &m->constants, in[1] = numbers[0];

    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t len = n - i < CHUNK ? n - i : CHUNK;
        for (int32_t j = 0; j < n_arrays; j++) {
            const bool one = m->box[j].stride[m->box[j].ndim - 1] == 0;
            load(m->number, r->call->in[j]->dtype, r->a->in[j].host, one ? at[j] : at[j] + i,
                 one ? 1 : len, numbers[j]);
        }
        m->loop(len, in, numbers[3]);
        store(m->number, r->call->out[0]->dtype, r->a->out[0].host, out + i, len, numbers[3]);
    }
}

static void run_direct(const map_run *r, const int64_t at[3], int64_t out, int64_t n)
{
    const blas_map *m = r->m;
    const int32_t n_arrays = m->n_operands - m->with_constants;
    const size_t size = number_size(m);
    const void *in[3] = {NULL, NULL, NULL};
    for (int32_t j = 0; j < n_arrays; j++)
        in[j] = (const char *)r->a->in[j].host + (size_t)at[j] * size;
    if (m->with_constants) in[n_arrays] = &m->constants;
    if (m->constants_first) in[1] = in[0], in[0] = &m->constants;
    m->loop(n, in, (char *)r->a->out[0].host + (size_t)out * size);
}

static void run_pieces(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const map_run *r = ctx;
    const blas_map *m = r->m;
    const int32_t n_arrays = m->n_operands - m->with_constants;
    blas_walk w[3];
    (void)worker;
    for (int32_t j = 0; j < n_arrays; j++) w[j] = blas_walk_from(&m->box[j], begin / r->pieces);
    for (int64_t i = begin; i < end; i++) {
        const int64_t piece = i % r->pieces, first = piece * BLAS_BLOCK;
        const int64_t n = r->n - first < BLAS_BLOCK ? r->n - first : BLAS_BLOCK;
        int64_t at[3] = {0};
        for (int32_t j = 0; j < n_arrays; j++) {
            const bool one = m->box[j].stride[m->box[j].ndim - 1] == 0;
            at[j] = w[j].offset + (one ? 0 : first);
        }
        (m->direct ? run_direct : run_converted)(r, at, i / r->pieces * r->n + first, n);
        if (piece < r->pieces - 1) continue;
        for (int32_t j = 0; j < n_arrays; j++) blas_walk_next(&m->box[j], &w[j]);
    }
}

// `rows` rows of an operand, one after the other.
static void gather_rows(const blas_box *b, blas_walk *w, const void *p, size_t size, int64_t rows,
                        void *tile)
{
#define GATHER(type)                                                                      \
    {                                                                                     \
        const type *from = (const type *)p + w->offset;                                   \
        for (int64_t i = 0; i < n; i++) ((type *)tile)[row * n + i] = from[step ? i : 0]; \
    }
    const int64_t n = b->dim[b->ndim - 1], step = b->stride[b->ndim - 1];
    for (int64_t row = 0; row < rows; row++, blas_walk_next(b, w)) {
        if (size == 4)
            GATHER(uint32_t)
        else
            GATHER(uint64_t)
    }
#undef GATHER
}

// Items are rows, so short that a loop over each would be all overhead: what is broadcast becomes a
// tile of many rows, which stays the same where the operand has but one row.
static void run_short(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const map_run *r = ctx;
    const blas_map *m = r->m;
    const size_t size = number_size(m);
    const int64_t group = TILE / r->n;
    _Alignas(64) char tile[2][TILE * sizeof(double)];
    blas_walk w[2];
    (void)worker;
    for (int j = 0; j < 2; j++) w[j] = blas_walk_from(&m->box[j], begin);
    for (int64_t i = begin; i < end; i += group) {
        const int64_t rows = end - i < group ? end - i : group;
        const void *in[3] = {tile[0], tile[1], NULL};
        for (int j = 0; j < 2; j++) {
            const blas_box *b = &m->box[j];
            const bool one = b->ndim == 2 && b->stride[0] == 0;
            if (r->call->in[j]->size == r->call->out[0]->size)
                in[j] = (const char *)r->a->in[j].host + (size_t)(i * r->n) * size;
            else if (i == begin || !one)
                gather_rows(b, &w[j], r->a->in[j].host, size, rows, tile[j]);
        }
        m->both(rows * r->n, in, (char *)r->a->out[0].host + (size_t)(i * r->n) * size);
    }
}

tn_status blas_map_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const blas_map *m = k->state;
    const blas_box *b = &m->box[0];
    const int64_t size = k->call->out[0]->size, n = b->dim[b->ndim - 1];
    if (size == 0) return TN_OK;
    map_run r = {m, k->call, a, n, (n + BLAS_BLOCK - 1) / BLAS_BLOCK};
    if (m->both && m->direct && n < SHORT && b->ndim > 1) {
        blas_items(k, a, size / n, n, m->grain, run_short, &r);
        return TN_OK;
    }
    blas_items(k, a, size / n * r.pieces, n < BLAS_BLOCK ? n : BLAS_BLOCK, m->grain, run_pieces,
               &r);
    return TN_OK;
}
