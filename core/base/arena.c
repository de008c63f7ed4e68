// core/base/arena.c: memory that is freed at once, in blocks that double up to a megabyte.
#include "core/base/base.h"

enum {
    ALIGN = 16,
    FIRST_BLOCK = 4096,
    LARGEST_BLOCK = 1 << 20 // above this, growth would only raise the waste
};

struct tni_block {
    struct tni_block *previous;
    size_t capacity, used; // bytes behind this header
    size_t pad;            // the bytes begin at a multiple of ALIGN
};
_Static_assert(sizeof(tni_block) % ALIGN == 0, "the bytes of a block are not aligned");

static char *bytes_of(tni_block *b)
{
    return (char *)(b + 1);
}

static tni_block *block_add(tni_arena *a, size_t bytes)
{
    size_t capacity = a->last ? a->last->capacity * 2 : FIRST_BLOCK;
    if (capacity > LARGEST_BLOCK) capacity = LARGEST_BLOCK;
    if (capacity < bytes) capacity = bytes;
    tni_block *b = malloc(sizeof *b + capacity);
    if (!b) return NULL;
    *b = (tni_block){a->last, capacity, 0, 0};
    a->last = b;
    return b;
}

void *tni_alloc(tni_arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) return NULL;
    const size_t n = (bytes + (bytes == 0) + ALIGN - 1) / ALIGN * ALIGN;
    tni_block *b = a->last;
    if (!b || b->capacity - b->used < n) b = block_add(a, n);
    if (!b) return NULL;
    void *p = bytes_of(b) + b->used;
    b->used += n;
    a->used += n;
    return memset(p, 0, n);
}

char *tni_strndup(tni_arena *a, const char *text, size_t n)
{
    char *s = n < SIZE_MAX ? tni_alloc(a, n + 1) : NULL;
    if (s) memcpy(s, text, n);
    return s;
}

char *tni_strdup(tni_arena *a, const char *text)
{
    return tni_strndup(a, text, strlen(text));
}

char *tni_printf(tni_arena *a, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *s = n < 0 ? NULL : tni_alloc(a, (size_t)n + 1);
    if (s) vsnprintf(s, (size_t)n + 1, format, again);
    va_end(again);
    return s;
}

void tni_arena_free(tni_arena *a)
{
    tni_arena_reset(a, (tni_mark){0});
}

tni_mark tni_arena_mark(const tni_arena *a)
{
    return (tni_mark){a->last, a->used, a->last ? a->last->used : 0};
}

void tni_arena_reset(tni_arena *a, tni_mark mark)
{
    while (a->last != mark.last) {
        tni_block *b = a->last;
        a->last = b->previous;
        free(b);
    }
    if (a->last) a->last->used = mark.block_used;
    a->used = mark.used;
}
