// core/base/base.h: what every part of the core stands on: errors, arenas, maps, text.
#ifndef TENON_CORE_BASE_H
#define TENON_CORE_BASE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/base.h>

// ------------------------------------------------------------------ errors

// The error an object remembers. Zeroed means none. The first one stays.
typedef struct tni_error {
    tn_status status;
    char *text; // malloc'ed; NULL while there is none, or when it could not be allocated
} tni_error;

// Every error of the library passes here (a place for a breakpoint). Keeps the first error only,
// and returns the status that is kept. `place` is "file:line" of the caller, or NULL.
__attribute__((format(printf, 4, 5))) tn_status
tni_fail(tni_error *e, tn_status status, const char *place, const char *format, ...);
tn_status tni_vfail(tni_error *e, tn_status status, const char *place, const char *format,
                    va_list ap);
const char *tni_error_text(const tni_error *e); // never NULL
void tni_error_clear(tni_error *e);

// ------------------------------------------------------------------ arenas

typedef struct tni_block tni_block;

// Memory that is freed at once. Zeroed means empty.
typedef struct tni_arena {
    tni_block *last;
    size_t used; // bytes handed out
} tni_arena;

void *tni_alloc(tni_arena *a, size_t bytes); // zeroed, aligned to 16; NULL: out of memory
char *tni_strdup(tni_arena *a, const char *text);
char *tni_strndup(tni_arena *a, const char *text, size_t n);
__attribute__((format(printf, 2, 3))) char *tni_printf(tni_arena *a, const char *format, ...);
void tni_arena_free(tni_arena *a);

// Position to go back to, for calls that fail half way: everything allocated later is gone.
typedef struct tni_mark {
    tni_block *last;
    size_t used, block_used;
} tni_mark;
tni_mark tni_arena_mark(const tni_arena *a);
void tni_arena_reset(tni_arena *a, tni_mark mark);

// ------------------------------------------------------------------ maps

// Text → uint32_t, open addressing. Keys are borrowed. Zeroed means empty.
typedef struct tni_map {
    struct tni_slot *slots;
    size_t n, capacity;
} tni_map;

bool tni_map_get(const tni_map *m, const char *key, uint32_t *value);
bool tni_map_put(tni_map *m, const char *key, uint32_t value); // false: out of memory
bool tni_map_remove(tni_map *m, const char *key);
void tni_map_free(tni_map *m);

uint64_t tni_hash(const void *bytes, size_t n, uint64_t seed);

// ------------------------------------------------------------------ growable text

// Zeroed means empty. Once out of memory it stays so (failed is set) and adds nothing.
typedef struct tni_text {
    char *s; // NUL-terminated, or NULL while empty
    size_t n, capacity;
    bool failed;
} tni_text;

void tni_text_add(tni_text *t, const char *s);
void tni_text_addn(tni_text *t, const char *s, size_t n);
__attribute__((format(printf, 2, 3))) void tni_text_printf(tni_text *t, const char *format, ...);
void tni_text_free(tni_text *t);

// "(2,3)", "(?,3)" for unknown extents, "?" for unknown rank, "()" for rank 0.
void tni_text_shape(tni_text *t, const tn_shape *shape);

// ------------------------------------------------------------------ numbers as text

// Like strtod(), but always with a decimal point, whatever the host's locale is.
double tni_strtod(const char *text, char **end);

// The shortest text that reads back as value: "0.5", "2", "1e-05", "inf", "nan". Returns buffer.
#define TNI_NUMBER 32
const char *tni_number(char buffer[TNI_NUMBER], double value);

// ------------------------------------------------------------------ spelling

// Appends " — did you mean a, b?" with up to three names nearest to `wanted` (edit distance), or
// " — candidates: …" (at most ten) when none is near. Nothing if n is 0.
void tni_text_nearest(tni_text *t, const char *wanted, const char *const *names, size_t n);

// ------------------------------------------------------------------ files (file.c)

// The whole of a file or pipe, malloc'ed, with a NUL behind it that n does not count.
// Errors: TN_E_IO with path and the system's reason; TN_E_NOMEM.
tn_status tni_file_read(const char *path, char **bytes, size_t *n, tni_error *error);

// A file that is written beside its final place, so that a failure leaves the old one. What is not
// a regular file (a pipe, a terminal) is written in place.
typedef struct tni_writer {
    FILE *file; // NULL: not open
    char *path, *temporary;
} tni_writer;
tn_status tni_writer_open(tni_writer *w, const char *path, tni_error *error);
void tni_writer_put(tni_writer *w, const void *bytes, size_t n); // failures are told by commit
tn_status tni_writer_commit(tni_writer *w, tni_error *error);    // closes w, whatever comes of it
void tni_writer_abandon(tni_writer *w);                          // closes w; the old file stays

// ------------------------------------------------------------------ growable arrays

// Room for x items, doubling. Returns false when out of memory. For growable arrays.
bool tni_grow(void **array, size_t *capacity, size_t wanted, size_t item_bytes);

#endif
