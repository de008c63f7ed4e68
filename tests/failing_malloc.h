// tests/failing_malloc.h: an allocator in place of the C library's whose N-th allocation fails.
#ifndef TENON_TESTS_FAILING_MALLOC_H
#define TENON_TESTS_FAILING_MALLOC_H

#include <stdbool.h>
#include <stdlib.h>
#include <tenon/plugin.h>

// Allocations until the one that fails; negative: none does.
static long countdown = -1;

// AddressSanitizer brings an allocator of its own, which these would bypass.
#if TN_SANITIZER == 0
#define CAN_FAIL 1
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);

static bool fails(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(n, bytes);
}

void *realloc(void *p, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(p, bytes);
}
#else
#define CAN_FAIL 0
#endif

#endif
