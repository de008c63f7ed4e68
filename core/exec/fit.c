// core/exec/fit.c: offsets for blocks of memory with known lifetimes.
//
// Time is walked once: blocks that begin take the free chunk that fits best, blocks that end give
// theirs back, and neighbouring free chunks join. Chunks wait in lists by size class, so a step
// costs the same for any number of blocks. Few blocks are also placed largest first, each into the
// smallest gap among those alive at the same time, which packs tighter but costs the square of
// their number; the smaller result is kept.
#include "core/exec/exec.h"

enum {
    FINE_BITS = 3, // each power of two is divided into 8 classes
    N_CLASSES = 64 << FINE_BITS,
    SCAN = 16,        // free chunks of the block's own class that are looked at
    FEW_BLOCKS = 4096 // beyond, placing largest first takes longer than a tenth of a second
};
#define MOST_BYTES (1ull << 50) // of a memory: more than any has, and FEW_BLOCKS of it can be added

// A piece of a memory, free or not. Number 0 is none.
typedef struct chunk {
    uint64_t offset, bytes;
    uint32_t before, after;        // neighbours by address
    uint32_t free_prev, free_next; // in the list of its class
    bool is_free;
} chunk;

typedef struct heap {
    chunk *v;
    size_t n, capacity; // v[0] is unused
    uint32_t spare;     // chunks to use again, linked by free_next
    uint32_t last;      // by address
    uint64_t end;
    uint64_t filled[N_CLASSES / 64]; // classes that hold a chunk
    uint32_t lists[N_CLASSES];
} heap;

// Bytes a block needs, with room to move it to its alignment.
static uint64_t needed(const tni_block *b)
{
    const uint64_t bytes = (b->bytes + TNI_ALIGN - 1) / TNI_ALIGN * TNI_ALIGN;
    return bytes + (b->align > TNI_ALIGN ? b->align - TNI_ALIGN : 0);
}

static bool is_planned(const tni_block *b)
{
    return b->tensor == 0 && b->bytes > 0;
}

// Class of a size: the position of its first bit and the FINE_BITS bits below it.
static uint32_t class_of(uint64_t bytes)
{
    const uint64_t units = bytes / TNI_ALIGN;
    const uint32_t top = 63u - (uint32_t)__builtin_clzll(units | 1);
    if (top < FINE_BITS) return (uint32_t)units;
    const uint32_t fine = (uint32_t)(units >> (top - FINE_BITS)) & ((1u << FINE_BITS) - 1);
    return ((top - FINE_BITS + 1) << FINE_BITS) + fine;
}

static void list_add(heap *h, uint32_t i)
{
    const uint32_t c = class_of(h->v[i].bytes), old = h->lists[c];
    h->v[i].is_free = true;
    h->v[i].free_prev = 0;
    h->v[i].free_next = old;
    if (old) h->v[old].free_prev = i;
    h->lists[c] = i;
    h->filled[c / 64] |= 1ull << (c % 64);
}

static void list_remove(heap *h, uint32_t i)
{
    chunk *x = &h->v[i];
    const uint32_t c = class_of(x->bytes);
    if (x->free_prev)
        h->v[x->free_prev].free_next = x->free_next;
    else
        h->lists[c] = x->free_next;
    if (x->free_next) h->v[x->free_next].free_prev = x->free_prev;
    if (!h->lists[c]) h->filled[c / 64] &= ~(1ull << (c % 64));
    x->is_free = false;
}

// A new chunk record; 0: out of memory.
static uint32_t chunk_new(heap *h)
{
    if (h->spare) {
        const uint32_t i = h->spare;
        h->spare = h->v[i].free_next;
        return i;
    }
    if (!tni_grow((void **)&h->v, &h->capacity, h->n + 2, sizeof *h->v)) return 0;
    return (uint32_t)++h->n;
}

// First class from c on that holds a chunk; N_CLASSES: none.
static uint32_t next_filled(const heap *h, uint32_t c)
{
    for (uint32_t w = c / 64; w < N_CLASSES / 64; w++) {
        const uint64_t bits = h->filled[w] & (w == c / 64 ? ~0ull << (c % 64) : ~0ull);
        if (bits) return w * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return N_CLASSES;
}

// A free chunk of at least that size, nearly the smallest; 0: none.
static uint32_t best(const heap *h, uint64_t bytes)
{
    const uint32_t c = class_of(bytes);
    uint32_t found = 0;
    int looked = 0;
    for (uint32_t i = h->lists[c]; i && looked < SCAN; i = h->v[i].free_next, looked++)
        if (h->v[i].bytes >= bytes && (!found || h->v[i].bytes < h->v[found].bytes)) found = i;
    if (found) return found;
    const uint32_t larger = next_filled(h, c + 1);
    return larger < N_CLASSES ? h->lists[larger] : 0;
}

// Makes the memory larger so that its last chunk is free and has that size; 0: out of memory.
static uint32_t extend(heap *h, uint64_t bytes)
{
    uint32_t i = h->last;
    if (bytes > MOST_BYTES || h->end > MOST_BYTES) return 0;
    if (i && h->v[i].is_free) {
        list_remove(h, i);
    } else {
        i = chunk_new(h);
        if (!i) return 0;
        h->v[i] = (chunk){.offset = h->end, .before = h->last};
        if (h->last) h->v[h->last].after = i;
        h->last = i;
    }
    h->v[i].bytes = bytes;
    h->end = h->v[i].offset + bytes;
    list_add(h, i);
    return i;
}

// Takes a chunk of exactly that size; 0: out of memory.
static uint32_t take(heap *h, uint64_t bytes)
{
    uint32_t i = best(h, bytes);
    if (!i) i = extend(h, bytes);
    if (!i) return 0;
    list_remove(h, i);
    if (h->v[i].bytes == bytes) return i;
    const uint32_t rest = chunk_new(h);
    if (!rest) return 0;
    chunk *x = &h->v[i];
    h->v[rest] = (chunk){
        .offset = x->offset + bytes, .bytes = x->bytes - bytes, .before = i, .after = x->after};
    if (x->after) h->v[x->after].before = rest;
    if (h->last == i) h->last = rest;
    x->after = rest;
    x->bytes = bytes;
    list_add(h, rest);
    return i;
}

// Joins chunk i with its neighbour after it, which is free and in no list.
static void join_after(heap *h, uint32_t i)
{
    const uint32_t gone = h->v[i].after;
    h->v[i].bytes += h->v[gone].bytes;
    h->v[i].after = h->v[gone].after;
    if (h->v[gone].after) h->v[h->v[gone].after].before = i;
    if (h->last == gone) h->last = i;
    h->v[gone].free_next = h->spare;
    h->spare = gone;
}

static void give_back(heap *h, uint32_t i)
{
    const uint32_t after = h->v[i].after, before = h->v[i].before;
    if (after && h->v[after].is_free) {
        list_remove(h, after);
        join_after(h, i);
    }
    if (before && h->v[before].is_free) {
        list_remove(h, before);
        join_after(h, before);
        i = before;
    }
    list_add(h, i);
}

// ------------------------------------------------------------------ in order of time

// Blocks by time: first[t], then next[block], 0 ends.
typedef struct by_time {
    uint32_t *first, *next;
} by_time;

static bool by_time_make(by_time *l, const tni_blocks *b, uint32_t n_times, bool begin)
{
    l->first = calloc((size_t)n_times + 1, sizeof *l->first);
    l->next = calloc(b->n + 1, sizeof *l->next);
    if (!l->first || !l->next) return false;
    for (size_t i = b->n; i > 0; i--) {
        const uint32_t t = begin ? b->v[i].begin : b->v[i].end;
        if (!is_planned(&b->v[i])) continue;
        l->next[i] = l->first[t];
        l->first[t] = (uint32_t)i;
    }
    return true;
}

static void by_time_free(by_time *l)
{
    free(l->first);
    free(l->next);
}

static bool walk(tni_blocks *b, uint32_t n_times, heap *heaps, uint32_t *chunks)
{
    by_time begins = {0}, ends = {0};
    bool ok = by_time_make(&begins, b, n_times, true) && by_time_make(&ends, b, n_times, false);
    for (uint32_t t = 0; ok && t <= n_times; t++) {
        for (uint32_t i = begins.first[t]; ok && i; i = begins.next[i]) {
            heap *h = &heaps[b->v[i].space];
            chunks[i] = take(h, needed(&b->v[i]));
            ok = chunks[i] != 0;
            if (ok) b->v[i].offset = h->v[chunks[i]].offset;
        }
        for (uint32_t i = ends.first[t]; ok && i; i = ends.next[i])
            give_back(&heaps[b->v[i].space], chunks[i]);
    }
    by_time_free(&begins);
    by_time_free(&ends);
    return ok;
}

static bool fit_in_time(tni_blocks *b, uint32_t n_times, uint32_t n_spaces, uint64_t *totals)
{
    heap *heaps = calloc(n_spaces, sizeof *heaps);
    uint32_t *chunks = calloc(b->n + 1, sizeof *chunks);
    const bool ok = heaps && chunks && walk(b, n_times, heaps, chunks);
    for (uint32_t s = 0; heaps && s < n_spaces; s++) {
        totals[s] = heaps[s].end;
        free(heaps[s].v);
    }
    free(heaps);
    free(chunks);
    return ok;
}

// ------------------------------------------------------------------ largest first

// A block on its way: numbers are copied here so that qsort needs no context.
typedef struct item {
    uint64_t bytes, offset;
    uint32_t begin, end, block;
} item;

static int larger_first(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    const uint32_t lx = x->end - x->begin, ly = y->end - y->begin;
    if (lx != ly) return lx < ly ? 1 : -1;
    return x->block < y->block ? -1 : 1;
}

// Lowest offset of the smallest gap that fits x among the n items placed so far, which are sorted
// by offset.
static uint64_t smallest_gap(const item *x, const item *const *placed, size_t n)
{
    uint64_t at = 0, found = UINT64_MAX, found_bytes = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        const item *p = placed[i];
        if (p->end < x->begin || p->begin > x->end) continue;
        if (p->offset >= at + x->bytes && p->offset - at < found_bytes) {
            found = at;
            found_bytes = p->offset - at;
        }
        if (p->offset + p->bytes > at) at = p->offset + p->bytes;
    }
    return found == UINT64_MAX ? at : found;
}

// Places n sorted items; returns the bytes needed.
static uint64_t place_items(item *items, size_t n, const item **placed)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        item *x = &items[i];
        x->offset = smallest_gap(x, placed, i);
        size_t at = i;
        for (; at > 0 && placed[at - 1]->offset > x->offset; at--) placed[at] = placed[at - 1];
        placed[at] = x;
        if (x->offset + x->bytes > total) total = x->offset + x->bytes;
    }
    return total;
}

// Improves what fit_in_time did for one space, if it has few blocks.
static bool fit_by_size(tni_blocks *b, uint32_t space, uint64_t *total)
{
    size_t n = 0;
    for (size_t i = 1; i <= b->n; i++) n += is_planned(&b->v[i]) && b->v[i].space == space;
    if (n == 0 || n > FEW_BLOCKS) return true;
    item *items = calloc(n, sizeof *items);
    const item **placed = calloc(n, sizeof *placed);
    const bool ok = items && placed;
    n = 0;
    for (size_t i = 1; ok && i <= b->n; i++) {
        const tni_block *x = &b->v[i];
        if (!is_planned(x) || x->space != space) continue;
        items[n++] = (item){needed(x), 0, x->begin, x->end, (uint32_t)i};
    }
    if (ok) {
        qsort(items, n, sizeof *items, larger_first);
        const uint64_t bytes = place_items(items, n, placed);
        for (size_t i = 0; bytes < *total && i < n; i++)
            b->v[items[i].block].offset = items[i].offset;
        if (bytes < *total) *total = bytes;
    }
    free(items);
    free(placed);
    return ok;
}

// ------------------------------------------------------------------

bool tni_fit(tni_blocks *b, uint32_t n_times, uint32_t n_spaces, uint64_t *totals)
{
    if (!fit_in_time(b, n_times, n_spaces, totals)) return false;
    for (uint32_t s = 0; s < n_spaces; s++)
        if (!fit_by_size(b, s, &totals[s])) return false;
    for (size_t i = 1; i <= b->n; i++) {
        tni_block *x = &b->v[i];
        if (!is_planned(x) || x->align <= TNI_ALIGN) continue;
        x->offset = (x->offset + x->align - 1) / x->align * x->align;
    }
    return true;
}

bool tni_fit_bound(const tni_blocks *b, uint32_t n_times, uint64_t *bytes)
{
    // change[t]: bytes that begin at t, less those that ended before
    int64_t *change = calloc((size_t)n_times + 2, sizeof *change);
    int64_t alive = 0, most = 0;
    bool ok = change != NULL;
    for (size_t i = 1; ok && i <= b->n; i++) {
        const tni_block *x = &b->v[i];
        if (!is_planned(x)) continue;
        const int64_t size = (int64_t)needed(x);
        ok = needed(x) <= MOST_BYTES &&
             !__builtin_add_overflow(change[x->begin], size, &change[x->begin]) &&
             !__builtin_sub_overflow(change[x->end + 1], size, &change[x->end + 1]);
    }
    for (uint32_t t = 0; ok && t <= n_times; t++) {
        ok = !__builtin_add_overflow(alive, change[t], &alive);
        if (alive > most) most = alive;
    }
    free(change);
    *bytes = (uint64_t)most;
    return ok;
}
