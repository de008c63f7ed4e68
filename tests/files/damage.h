// tests/files/damage.h: damaged copies of a valid file: cut off at each byte, and with bytes
// changed.
#ifndef TENON_TESTS_DAMAGE_H
#define TENON_TESTS_DAMAGE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tn_test.h"

// Is called with each damaged copy, which is exactly n bytes long (so that a sanitizer sees a read
// beyond it). Says whether the reader behaved: refused it with an error, or read it whole.
typedef bool (*damage_fn)(const void *bytes, size_t n, void *ctx);

static inline uint64_t damage_random(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline bool damage_try(const void *bytes, size_t n, damage_fn try, void *ctx)
{
    void *const exact = malloc(n ? n : 1);
    if (!exact) return false;
    memcpy(exact, bytes, n);
    const bool ok = try(exact, n, ctx);
    free(exact);
    return ok;
}

// Cuts at every byte, then `flips` copies with one to four bytes changed. Returns how many copies
// the reader misbehaved on.
static inline size_t damage(const void *bytes, size_t n, size_t flips, damage_fn try, void *ctx)
{
    size_t wrong = 0;
    uint64_t state = 20170905;
    for (size_t cut = 0; cut < n; cut++) wrong += !damage_try(bytes, cut, try, ctx);
    unsigned char *const copy = malloc(n);
    for (size_t i = 0; i < flips && copy; i++) {
        memcpy(copy, bytes, n);
        const uint64_t count = 1 + damage_random(&state) % 4;
        for (uint64_t k = 0; k < count; k++) {
            const uint64_t r = damage_random(&state);
            const size_t at = (size_t)((r >> 16) % n);
            if (r & 1)
                copy[at] = (unsigned char)(r >> 8); // any byte
            else
                copy[at] ^= (unsigned char)(1u << (r >> 8) % 8); // one bit
        }
        wrong += !damage_try(copy, n, try, ctx);
    }
    free(copy);
    return wrong;
}

// Writes a file into the test's directory and returns its path.
static inline const char *damage_file(const char *name, const void *bytes, size_t n)
{
    const char *const path = tn_temporary(name);
    FILE *const f = fopen(path, "wb");
    const bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f && fclose(f) == 0 && ok) return path;
    CU_FAIL("cannot write a file for the test");
    return path;
}

// For readers of files: damaged copies are written to a file first.
typedef bool (*damage_load_fn)(const char *path);
static inline bool damage_by_file(const void *bytes, size_t n, void *ctx)
{
    damage_load_fn load;
    memcpy(&load, ctx, sizeof load);
    return load(damage_file("damaged", bytes, n));
}

#endif
