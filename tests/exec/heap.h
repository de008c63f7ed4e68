// tests/exec/heap.h: this program's own malloc and its like, which count and can fail.
//
// They stand before those of the C library, for libtenon and the plugins too. Include it in one
// file of a program. A sanitizer has an allocator of its own: then nothing is counted.
#ifndef TENON_TESTS_HEAP_H
#define TENON_TESTS_HEAP_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <tenon/plugin.h>

static atomic_bool heap_watched;  // count, and fail when it is time
static atomic_long heap_calls;    // while watched: allocations and frees
static atomic_long heap_failures; // allocations that were refused
static atomic_long heap_until;    // allocations until the one that fails; 0: none fails
__attribute__((unused)) static atomic_long heap_live; // blocks allocated and not freed

__attribute__((unused)) static void heap_watch(long fail_at)
{
    atomic_store(&heap_calls, 0);
    atomic_store(&heap_failures, 0);
    atomic_store(&heap_until, fail_at);
    atomic_store(&heap_watched, true);
}

// Ends the watch; how many calls there were.
__attribute__((unused)) static long heap_rest(void)
{
    atomic_store(&heap_watched, false);
    return atomic_load(&heap_calls);
}

#if TN_SANITIZER == 0
// Tests hide their symbols; these the C library and the plugins are to find.
#define HEAP_SEEN __attribute__((visibility("default")))

// The C library's own, under the names that interposers use.
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

// Counts an allocation; true if it is to fail.
static bool heap_fails(void)
{
    if (!atomic_load_explicit(&heap_watched, memory_order_relaxed)) return false;
    atomic_fetch_add_explicit(&heap_calls, 1, memory_order_relaxed);
    if (atomic_load(&heap_until) == 0 || atomic_fetch_sub(&heap_until, 1) != 1) return false;
    atomic_fetch_add(&heap_failures, 1);
    errno = ENOMEM;
    return true;
}

static void *heap_note(void *p)
{
    if (p) atomic_fetch_add_explicit(&heap_live, 1, memory_order_relaxed);
    return p;
}

HEAP_SEEN void *malloc(size_t n)
{
    return heap_fails() ? NULL : heap_note(__libc_malloc(n));
}

HEAP_SEEN void *calloc(size_t n, size_t size)
{
    return heap_fails() ? NULL : heap_note(__libc_calloc(n, size));
}

HEAP_SEEN void *realloc(void *p, size_t n)
{
    if (heap_fails()) return NULL;
    void *q = __libc_realloc(p, n);
    return p ? q : heap_note(q);
}

HEAP_SEEN void *aligned_alloc(size_t align, size_t n)
{
    return heap_fails() ? NULL : heap_note(__libc_memalign(align, n));
}

HEAP_SEEN int posix_memalign(void **p, size_t align, size_t n)
{
    void *q = heap_fails() ? NULL : heap_note(__libc_memalign(align, n));
    if (q) *p = q;
    return q ? 0 : ENOMEM;
}

HEAP_SEEN void free(void *p)
{
    if (!p) return;
    atomic_fetch_sub_explicit(&heap_live, 1, memory_order_relaxed);
    if (atomic_load_explicit(&heap_watched, memory_order_relaxed))
        atomic_fetch_add_explicit(&heap_calls, 1, memory_order_relaxed);
    __libc_free(p);
}
#endif

#endif
