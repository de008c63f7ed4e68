// tests/files/bytes.h: hand-made files, byte by byte; and a limit on the memory of what reads them.
#ifndef TENON_TESTS_BYTES_H
#define TENON_TESTS_BYTES_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/tn_test.h"

typedef struct made {
    unsigned char v[4096];
    size_t n;
} made;

static inline void put(made *b, const void *p, size_t n)
{
    if (b->n + n > sizeof b->v) {
        CU_FAIL("the file of the test is too long");
        return;
    }
    memcpy(b->v + b->n, p, n);
    b->n += n;
}

// A number in little-endian order.
static inline void put_le(made *b, uint64_t v, int width)
{
    for (int i = 0; i < width; i++) put(b, &(unsigned char){(unsigned char)(v >> 8 * i)}, 1);
}

static inline void put_be(made *b, uint64_t v, int width)
{
    for (int i = width - 1; i >= 0; i--) put(b, &(unsigned char){(unsigned char)(v >> 8 * i)}, 1);
}

static inline void put_f32(made *b, float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    put_le(b, u, 4);
}

static inline void put_text(made *b, const char *text)
{
    put(b, text, strlen(text));
}

// From here to memory_unlimited() the process may take little more memory than it has: a reader
// that believes a file's sizes then fails with "out of memory". Not under AddressSanitizer, which
// reserves terabytes of addresses.
static inline void memory_limited(uint64_t more)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)more;
#else
    unsigned long long pages = 0;
    FILE *const f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%llu", &pages) == 1) {
        const struct rlimit limit = {pages * 4096 + more, RLIM_INFINITY};
        setrlimit(RLIMIT_AS, &limit);
    }
    if (f) fclose(f);
#endif
}

static inline void memory_unlimited(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &none);
#endif
}

#endif
