// backends/onednn/onednn_pieces.c: parts are copied together into a whole, or out of it.
//
// oneDNN's concat and reorders copy parts that are no inner axis element by element: for two
// matrices one below the other they take twenty times as long as a copy of their bytes.
#include "onednn_pieces.h"

enum {
    TILE = 1 << 15,  // bytes of whole rows that are finished before the next ones
    BLOCK = 1 << 16, // bytes of a longer row that one thread copies
    GRAIN = 1 << 17  // bytes for which another thread pays
};

// ------------------------------------------------------------------ layouts

static uint32_t parts_of(const od_cut *cut, const tn_call *c)
{
    return cut->join ? c->n_in : c->n_out;
}

// Do parts have the axes of the whole? (A part may lack the one that was cut.)
static bool same_axes(const od_cut *cut, const tn_call *c)
{
    for (uint32_t i = 0; i < parts_of(cut, c); i++)
        if ((cut->join ? c->in[i] : c->out[i])->ndim != cut->whole->ndim) return false;
    return true;
}

static void give(const tn_value_info *v, bool narrow, tn_layout *layout)
{
    const dnnl_memory_desc_t last = od_last(v), md = narrow ? od_narrow(&last) : last;
    od_layout(&md, v, layout);
}

void od_cut_layouts(const od_cut *cut, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const uint32_t n_in = cut->join ? c->n_in : 1;
    bool last = false, narrow = false;
    for (uint32_t i = 0; i < n_in; i++) {
        last = last || od_is_ours(&in[i]);
        narrow = narrow || od_is_narrow(&in[i]);
    }
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    if (!last || !same_axes(cut, c)) return;
    for (uint32_t i = 0; i < n_in; i++) give(c->in[i], narrow, &in[i]);
    for (uint32_t i = 0; i < c->n_out; i++) give(c->out[i], narrow, &out[i]);
}

static int64_t extents(const tn_value_info *v, int32_t begin, int32_t end)
{
    int64_t n = 1;
    for (int32_t i = begin; i < end; i++) n *= v->dims[i];
    return n;
}

// With channels last the axes lie in the order 0, 2, 3, …, 1.
void od_pieces_init(od_pieces *p, const od_cut *cut)
{
    const tn_value_info *v = cut->whole;
    const int32_t axis = cut->axis;
    *p = (od_pieces){extents(v, 0, axis), cut->join};
    if (!od_is_ours(&v->layout) || axis == 0) return;
    p->rows = axis == 1 ? v->size / v->dims[1] : v->dims[0] * extents(v, 2, axis);
}

// ------------------------------------------------------------------ bytes

typedef struct two {
    uint64_t v[2];
} two;

typedef struct four {
    uint64_t v[4];
} four;

// Rows of `bytes`, which are at least as many as a T has and at most twice as many.
#define MOVE(T)                                                  \
    for (; rows > 0; rows--, from += from_step, to += to_step) { \
        T head, tail;                                            \
        memcpy(&head, from, sizeof head);                        \
        memcpy(&tail, from + bytes - sizeof tail, sizeof tail);  \
        memcpy(to, &head, sizeof head);                          \
        memcpy(to + bytes - sizeof tail, &tail, sizeof tail);    \
    }

static void move_rows(const char *from, uint64_t from_step, char *to, uint64_t to_step,
                      uint64_t bytes, int64_t rows)
{
    if (bytes == 1)
        for (; rows > 0; rows--, from += from_step, to += to_step) *to = *from;
    else if (bytes < 4)
        MOVE(uint16_t)
    else if (bytes < 8)
        MOVE(uint32_t)
    else if (bytes < 16)
        MOVE(uint64_t)
    else if (bytes < 32)
        MOVE(two)
    else if (bytes <= 64)
        MOVE(four)
    else
        for (; rows > 0; rows--, from += from_step, to += to_step) memcpy(to, from, bytes);
}

// ------------------------------------------------------------------ runs

typedef struct job {
    const tn_run_args *a;
    const tn_call *c;
    int64_t rows, blocks; // blocks of a row
    uint64_t whole;       // bytes of a row
    bool join;
} job;

static uint64_t bytes_of(const job *j, const tn_value_info *v)
{
    const uint64_t size = od_is_narrow(&v->layout) ? 2 : tn_dtype_size(v->dtype);
    return (uint64_t)(v->size / j->rows) * size;
}

typedef struct part {
    char *at;
    uint64_t bytes; // of a row
} part;

static part part_of(const job *j, uint32_t i)
{
    return j->join ? (part){j->a->in[i].host, bytes_of(j, j->c->in[i])}
                   : (part){j->a->out[i].host, bytes_of(j, j->c->out[i])};
}

static char *whole_of(const job *j)
{
    return j->join ? j->a->out[0].host : j->a->in[0].host;
}

// `rows` rows of n bytes of a part, which begin there, and where they stand in the whole.
static void move(const job *j, part p, uint64_t part_at, uint64_t whole_at, uint64_t n,
                 int64_t rows)
{
    char *whole = whole_of(j) + whole_at;
    if (j->join)
        move_rows(p.at + part_at, p.bytes, whole, j->whole, n, rows);
    else
        move_rows(whole, j->whole, p.at + part_at, p.bytes, n, rows);
}

// Rows begin … end-1, some at a time: what is written stays in the cache until it is whole.
static void some_rows(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const uint32_t parts = j->join ? j->c->n_in : j->c->n_out;
    const int64_t tile = (int64_t)(TILE / j->whole) + 1;
    (void)worker;
    for (int64_t row = begin; row < end; row += tile) {
        const int64_t n = end - row < tile ? end - row : tile;
        uint64_t at = (uint64_t)row * j->whole;
        for (uint32_t i = 0; i < parts; i++) {
            const part p = part_of(j, i);
            move(j, p, (uint64_t)row * p.bytes, at, p.bytes, n);
            at += p.bytes;
        }
    }
}

// Blocks begin … end-1 of all rows: what each part has of them.
static void some_blocks(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const uint32_t parts = j->join ? j->c->n_in : j->c->n_out;
    (void)worker;
    for (int64_t b = begin; b < end; b++) {
        const uint64_t row = (uint64_t)(b / j->blocks), first = (uint64_t)(b % j->blocks) * BLOCK;
        const uint64_t last = first + BLOCK < j->whole ? first + BLOCK : j->whole;
        uint64_t from = 0; // where the part begins in the row
        for (uint32_t i = 0; i < parts && from < last; i++) {
            const part p = part_of(j, i);
            const uint64_t low = first > from ? first - from : 0;
            const uint64_t high = last - from < p.bytes ? last - from : p.bytes;
            if (low < high)
                move(j, p, row * p.bytes + low, row * j->whole + from + low, high - low, 1);
            from += p.bytes;
        }
    }
}

tn_status od_pieces_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const od_pieces *p = k->state;
    job j = {.a = a, .c = k->call, .rows = p->rows, .join = p->join};
    j.whole = bytes_of(&j, p->join ? k->call->out[0] : k->call->in[0]);
    j.blocks = (int64_t)((j.whole + BLOCK - 1) / BLOCK);
    if (j.blocks > 2)
        tn_parallel(k, a, j.rows * j.blocks, GRAIN / BLOCK, some_blocks, &j);
    else
        tn_parallel(k, a, j.rows, (int64_t)(GRAIN / j.whole) + 1, some_rows, &j);
    return TN_OK;
}
