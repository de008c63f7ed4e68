// tools/bench_heap.c: this program's own malloc and its like, which count while they are watched.
//
// They stand before those of the C library, for libtenon, the plugins and all that they load. What
// a library maps by itself is not seen. A sanitizer has an allocator of its own: then, and with
// another C library than glibc, nothing is counted.
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <tenon/plugin.h>

#include "tools/bench.h"

#if TN_SANITIZER == 0 && defined(__GLIBC__)

static atomic_bool watched;
static atomic_long calls;

// The C library's own, under the names that interposers use.
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

static void note(void)
{
    if (atomic_load_explicit(&watched, memory_order_relaxed))
        atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

void *malloc(size_t n)
{
    note();
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    note();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    note();
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    note();
    return __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
    note();
    void *q = __libc_memalign(align, n);
    if (q) *p = q;
    return q ? 0 : ENOMEM;
}

void bench_heap_watch(void)
{
    atomic_store(&calls, 0);
    atomic_store(&watched, true);
}

long bench_heap_rest(void)
{
    atomic_store(&watched, false);
    return atomic_load(&calls);
}

#else

void bench_heap_watch(void)
{
}

long bench_heap_rest(void)
{
    return -1;
}

#endif
