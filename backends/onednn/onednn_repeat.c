// backends/onednn/onednn_repeat.c: values repeated along axes: broadcasts, and the gradients of
// sums and means.
//
// A block is made once, and copied as often as it is repeated. oneDNN's reorders with strides of 0
// go element by element where the innermost axis is repeated, 5 to 25 times as long.
#include "onednn_repeat.h"
#include "onednn_loops.h"

enum {
    CHUNK = 1 << 14, // elements of the innermost axis that one thread makes
    SHORT = 64,      // an innermost axis that is repeated no more often
    ENOUGH = 64,     // items for which the axes further in stay whole
    PART = 1 << 16   // bytes of what was made that are copied at a time
};

void od_repeat_axis(od_repeat *r, int64_t dim, int64_t from)
{
    if (dim == 1) return;
    const int last = r->n - 1;
    if (r->n && (from ? r->from[last] == from * dim : r->from[last] == 0)) {
        r->dims[last] *= dim;
        r->from[last] = from;
        return;
    }
    r->dims[r->n] = dim;
    r->from[r->n++] = from;
}

void od_repeat_end(od_repeat *r, size_t size, float factor)
{
    if (r->n == 0) r->dims[0] = 1, r->from[0] = 1, r->n = 1;
    r->size = (int64_t)size;
    r->factor = factor;
    r->items = 1;
    for (r->lead = 0; r->lead < r->n - 1 && r->items < ENOUGH; r->lead++)
        r->items *= r->dims[r->lead];
    r->block = 1;
    for (int i = r->lead; i < r->n; i++) r->block *= r->dims[i];
    r->chunks = r->lead == r->n - 1 ? (r->block + CHUNK - 1) / CHUNK : 1;
}

// ------------------------------------------------------------------ the innermost axis

#define FILL(bits)                                                              \
    OD_CLONES static void od_fill_##bits(void *to, const void *from, int64_t n) \
    {                                                                           \
        uint##bits##_t v, *y = to;                                              \
        memcpy(&v, from, sizeof v);                                             \
        OD_SIMD                                                                 \
        for (int64_t i = 0; i < n; i++) y[i] = v;                               \
    }
FILL(8)
FILL(16)
FILL(32)
FILL(64)

// Each of `rows` elements n times.
#define FILL_ROWS(bits)                                                                            \
    OD_CLONES static void od_fill_rows_##bits(void *to, const void *from, int64_t rows, int64_t n) \
    {                                                                                              \
        const uint##bits##_t *x = from;                                                            \
        uint##bits##_t *y = to;                                                                    \
        for (int64_t i = 0; i < rows; i++)                                                         \
            for (int64_t j = 0; j < n; j++) *y++ = x[i];                                           \
    }
FILL_ROWS(8)
FILL_ROWS(16)
FILL_ROWS(32)
FILL_ROWS(64)

OD_CLONES static void od_scaled_rows(float *y, const float *x, int64_t rows, int64_t n,
                                     float factor)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) *y++ = x[i] * factor;
}

OD_CLONES static void od_scaled(float *to, const float *from, int64_t n, float factor)
{
    OD_SIMD
    for (int64_t i = 0; i < n; i++) to[i] = from[i] * factor;
}

// n elements, all of them the first of `from` if the axis is repeated.
static void innermost(const od_repeat *r, char *to, const char *from, int64_t n)
{
    const bool repeated = r->from[r->n - 1] == 0;
    float scaled;
    if (r->factor != 1 && !repeated) {
        od_scaled((float *)(void *)to, (const float *)(const void *)from, n, r->factor);
        return;
    }
    if (!repeated) {
        memcpy(to, from, (size_t)(n * r->size));
        return;
    }
    if (r->factor != 1) {
        memcpy(&scaled, from, sizeof scaled);
        scaled *= r->factor;
        from = (const char *)&scaled;
    }
    switch (r->size) {
    case 1: od_fill_8(to, from, n); break;
    case 2: od_fill_16(to, from, n); break;
    case 4: od_fill_32(to, from, n); break;
    default: od_fill_64(to, from, n);
    }
}

// Are the last two axes elements side by side, each of them repeated a few times?
static bool has_short_rows(const od_repeat *r)
{
    const int last = r->n - 1;
    return last > 0 && r->from[last] == 0 && r->from[last - 1] == 1 && r->dims[last] < SHORT;
}

static void short_rows(const od_repeat *r, char *to, const char *from, int64_t rows)
{
    const int64_t n = r->dims[r->n - 1];
    if (r->factor != 1) {
        od_scaled_rows((float *)(void *)to, (const float *)(const void *)from, rows, n, r->factor);
        return;
    }
    switch (r->size) {
    case 1: od_fill_rows_8(to, from, rows, n); break;
    case 2: od_fill_rows_16(to, from, rows, n); break;
    case 4: od_fill_rows_32(to, from, rows, n); break;
    default: od_fill_rows_64(to, from, rows, n);
    }
}

// ------------------------------------------------------------------ axes

// Bytes of `to` after the first block of so many, which are equal to it, over and over.
static void copy_on(char *to, int64_t block, int64_t bytes)
{
    for (int64_t done = block; done < bytes;) {
        const int64_t whole = done < PART ? done : PART / block * block;
        const int64_t most = block > whole ? block : whole;
        const int64_t n = bytes - done < most ? bytes - done : most;
        memcpy(to + done, to, (size_t)n);
        done += n;
    }
}

// Axes from `axis` on; returns the bytes that were made.
static int64_t make_block(const od_repeat *r, int axis, char *to, const char *from)
{
    int64_t bytes = 0;
    if (axis == r->n - 1) {
        innermost(r, to, from, r->dims[axis]);
        return r->dims[axis] * r->size;
    }
    if (axis == r->n - 2 && has_short_rows(r)) {
        short_rows(r, to, from, r->dims[axis]);
        return r->dims[axis] * r->dims[axis + 1] * r->size;
    }
    if (r->from[axis] == 0) {
        bytes = make_block(r, axis + 1, to, from);
        copy_on(to, bytes, bytes * r->dims[axis]);
        return bytes * r->dims[axis];
    }
    for (int64_t i = 0; i < r->dims[axis]; i++)
        bytes += make_block(r, axis + 1, to + bytes, from + i * r->from[axis] * r->size);
    return bytes;
}

typedef struct job {
    const od_repeat *r;
    const char *x;
    char *y;
} job;

static void some_items(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const od_repeat *r = j->r;
    (void)worker;
    if (r->n == 2 && r->lead == 1 && has_short_rows(r)) {
        short_rows(r, j->y + begin * r->block * r->size, j->x + begin * r->size, end - begin);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const int64_t item = i / r->chunks, first = i % r->chunks * CHUNK;
        int64_t at = 0, rest = item;
        for (int a = r->lead; a-- > 0; rest /= r->dims[a]) at += rest % r->dims[a] * r->from[a];
        char *to = j->y + (item * r->block + first) * r->size;
        if (r->lead < r->n - 1) {
            make_block(r, r->lead, to, j->x + at * r->size);
            continue;
        }
        const int64_t left = r->block - first;
        innermost(r, to, j->x + (at + first * r->from[r->n - 1]) * r->size,
                  left < CHUNK ? left : CHUNK);
    }
}

tn_status od_repeat_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const od_repeat *r = k->state;
    job j = {r, a->in[0].host, a->out[0].host};
    const int64_t size = r->block < CHUNK || r->lead < r->n - 1 ? r->block : CHUNK;
    od_items(k, a, r->items * r->chunks, size, some_items, &j);
    return TN_OK;
}
