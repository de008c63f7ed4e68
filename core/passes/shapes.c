// core/passes/shapes.c: interned shapes, and what is known of the values of a graph.
#include "core/passes/pass.h"

struct tni_shapes {
    tni_arena arena;
    const tn_shape **at; // by id
    size_t n, capacity;
    uint32_t *slots; // open addressing; 0: empty, since id 0 is never looked for
    size_t n_slots;  // a power of two
};

// Negative ndim, so nothing is known. Also what stands at id 0 of every pool.
static const tn_shape unknown = {.ndim = -1};

tni_shapes *tni_shapes_new(void)
{
    tni_shapes *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pool->n_slots = 64; // most networks have fewer distinct shapes
    pool->slots = calloc(pool->n_slots, sizeof *pool->slots);
    void *at = NULL;
    if (!pool->slots || !tni_grow(&at, &pool->capacity, 1, sizeof *pool->at)) {
        tni_shapes_free(pool);
        return NULL;
    }
    pool->at = at;
    pool->at[pool->n++] = &unknown;
    return pool;
}

void tni_shapes_free(tni_shapes *pool)
{
    if (!pool) return;
    tni_arena_free(&pool->arena);
    free(pool->at);
    free(pool->slots);
    free(pool);
}

const tn_shape *tni_shape_at(const tni_shapes *pool, uint32_t id)
{
    return pool->at[id];
}

static size_t axes_bytes(const tn_shape *s)
{
    return (size_t)s->ndim * sizeof s->dim[0];
}

static uint64_t hash_of(const tn_shape *s)
{
    return tni_hash(s->dim, axes_bytes(s), (uint64_t)s->ndim);
}

static bool equal(const tn_shape *a, const tn_shape *b)
{
    return a->ndim == b->ndim && (a->ndim <= 0 || memcmp(a->dim, b->dim, axes_bytes(a)) == 0);
}

// The slot that holds the shape, or the empty one where it belongs.
static uint32_t *slot_of(const tni_shapes *pool, const tn_shape *s)
{
    const size_t mask = pool->n_slots - 1;
    for (size_t i = hash_of(s) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &pool->slots[i];
        if (!*slot || equal(pool->at[*slot], s)) return slot;
    }
}

static bool widen(tni_shapes *pool)
{
    if (pool->n < pool->n_slots / 2) return true;
    uint32_t *slots = calloc(pool->n_slots * 2, sizeof *slots);
    if (!slots) return false;
    free(pool->slots);
    pool->slots = slots;
    pool->n_slots *= 2;
    for (size_t id = 1; id < pool->n; id++) *slot_of(pool, pool->at[id]) = (uint32_t)id;
    return true;
}

bool tni_shapes_intern(tni_shapes *pool, const tn_shape *shape, uint32_t *id)
{
    *id = 0;
    if (shape->ndim < 0) return true;
    if (shape->ndim > TN_MAX_NDIM) return false;
    tn_shape s = {.ndim = shape->ndim};
    for (int32_t i = 0; i < s.ndim; i++) s.dim[i] = shape->dim[i] < 0 ? -1 : shape->dim[i];
    if (!widen(pool)) return false;
    uint32_t *slot = slot_of(pool, &s);
    if (!*slot) {
        void *at = pool->at;
        tn_shape *copy = tni_alloc(&pool->arena, sizeof *copy);
        if (!copy || pool->n >= UINT32_MAX ||
            !tni_grow(&at, &pool->capacity, pool->n + 1, sizeof *pool->at))
            return false;
        pool->at = at;
        *copy = s;
        pool->at[pool->n] = copy;
        *slot = (uint32_t)pool->n++;
    }
    *id = *slot;
    return true;
}

// ------------------------------------------------------------------ types

bool tni_types_init(tni_types *t)
{
    *t = (tni_types){.pool = tni_shapes_new()};
    return t->pool != NULL;
}

void tni_types_free(tni_types *t)
{
    tni_shapes_free(t->pool);
    free(t->shape);
    free(t->dtype);
    *t = (tni_types){0};
}

// Values that a truncation took from the graph are forgotten, so that new ones start unknown.
bool tni_types_grow(tni_types *t, const tn_graph *g)
{
    const size_t n = g->n_values;
    if (n > t->capacity) {
        size_t shapes = t->capacity, dtypes = t->capacity;
        void *shape = t->shape, *dtype = t->dtype;
        const bool ok = tni_grow(&shape, &shapes, n, sizeof *t->shape) &&
                        tni_grow(&dtype, &dtypes, n, sizeof *t->dtype);
        t->shape = shape;
        t->dtype = dtype;
        if (!ok) return false;
        t->capacity = shapes;
    }
    if (n > t->n) {
        memset(t->shape + t->n, 0, (n - t->n) * sizeof *t->shape);
        memset(t->dtype + t->n, 0, (n - t->n) * sizeof *t->dtype);
    }
    t->n = n;
    return true;
}

const tn_shape *tni_types_shape(const tni_types *t, uint32_t value)
{
    return value < t->n ? tni_shape_at(t->pool, t->shape[value]) : &unknown;
}

// What both know together; false if they contradict each other.
static bool merge(const tn_shape *a, const tn_shape *b, tn_shape *out)
{
    *out = *a;
    if (a->ndim < 0) *out = *b;
    if (a->ndim < 0 || b->ndim < 0) return true;
    if (a->ndim != b->ndim) return false;
    for (int32_t i = 0; i < a->ndim; i++) {
        if (a->dim[i] >= 0 && b->dim[i] >= 0 && a->dim[i] != b->dim[i]) return false;
        if (a->dim[i] < 0) out->dim[i] = b->dim[i];
    }
    return true;
}

tn_status tni_types_merge_shape(tni_types *t, uint32_t value, const tn_shape *shape)
{
    const tn_shape *old = tni_types_shape(t, value);
    tn_shape merged;
    uint32_t id = 0;
    if (value >= t->n) return TN_E_INTERNAL;
    if (shape->ndim < 0 || old == shape) return TN_OK;
    if (shape->ndim > TN_MAX_NDIM || !merge(old, shape, &merged)) return TN_E_SHAPE;
    if (equal(old, &merged)) return TN_OK;
    if (!tni_shapes_intern(t->pool, &merged, &id)) return TN_E_NOMEM;
    t->shape[value] = id;
    return TN_OK;
}

tn_status tni_types_merge_dtype(tni_types *t, uint32_t value, tn_dtype dtype)
{
    if (value >= t->n) return TN_E_INTERNAL;
    if (dtype == TN_DTYPE_NONE) return TN_OK;
    if (tn_dtype_size(dtype) == 0) return TN_E_DTYPE;
    if (t->dtype[value] != TN_DTYPE_NONE && t->dtype[value] != dtype) return TN_E_DTYPE;
    t->dtype[value] = (int8_t)dtype;
    return TN_OK;
}
