// core/base/map.c: a hash map from text to a number, open addressing, linear probing.
#include "core/base/base.h"

struct tni_slot {
    const char *key; // NULL: empty
    uint64_t hash;
    uint32_t value;
};

// FNV-1a, and a final mix so that the low bits depend on all of the text.
uint64_t tni_hash(const void *bytes, size_t n, uint64_t seed)
{
    const unsigned char *p = bytes;
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_of(const char *key)
{
    return tni_hash(key, strlen(key), 0);
}

// The slot that holds key, or the empty one where it belongs. Capacity is a power of two.
static struct tni_slot *slot_of(const tni_map *m, const char *key, uint64_t hash)
{
    for (size_t i = hash & (m->capacity - 1);; i = (i + 1) & (m->capacity - 1)) {
        struct tni_slot *s = &m->slots[i];
        if (!s->key || (s->hash == hash && strcmp(s->key, key) == 0)) return s;
    }
}

bool tni_map_get(const tni_map *m, const char *key, uint32_t *value)
{
    if (!m->n) return false;
    const struct tni_slot *s = slot_of(m, key, hash_of(key));
    if (s->key && value) *value = s->value;
    return s->key != NULL;
}

static bool grow(tni_map *m)
{
    if (m->capacity > SIZE_MAX / 4 / sizeof *m->slots) return false;
    tni_map wide = {.n = m->n, .capacity = m->capacity ? m->capacity * 2 : 16};
    wide.slots = calloc(wide.capacity, sizeof *wide.slots);
    if (!wide.slots) return false;
    for (size_t i = 0; i < m->capacity; i++) {
        const struct tni_slot *s = &m->slots[i];
        if (s->key) *slot_of(&wide, s->key, s->hash) = *s;
    }
    free(m->slots);
    *m = wide;
    return true;
}

bool tni_map_put(tni_map *m, const char *key, uint32_t value)
{
    // Three quarters full: beyond it, probing gets long.
    if (m->n + 1 > m->capacity / 4 * 3 && !grow(m)) return false;
    const uint64_t hash = hash_of(key);
    struct tni_slot *s = slot_of(m, key, hash);
    if (s->key) {
        s->value = value;
        return true;
    }
    *s = (struct tni_slot){key, hash, value};
    m->n++;
    return true;
}

// Closes the gap by moving back every later slot of the run that may stand in it.
bool tni_map_remove(tni_map *m, const char *key)
{
    if (!m->n) return false;
    struct tni_slot *s = slot_of(m, key, hash_of(key));
    if (!s->key) return false;
    const size_t mask = m->capacity - 1;
    size_t gap = (size_t)(s - m->slots);
    for (size_t i = (gap + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
        const size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - gap) & mask)) continue;
        m->slots[gap] = m->slots[i];
        gap = i;
    }
    m->slots[gap].key = NULL;
    m->n--;
    return true;
}

void tni_map_free(tni_map *m)
{
    free(m->slots);
    *m = (tni_map){0};
}
