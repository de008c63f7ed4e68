// core/passes/call.c: value infos, one for each distinct shape, dtype, flags and layout.
#include "core/passes/place.h"

uint64_t tni_value_bytes(const tn_shape *shape, tn_dtype dtype)
{
    uint64_t n = tn_dtype_size(dtype);
    for (int32_t i = 0; i < shape->ndim; i++) {
        const uint64_t extent = shape->dim[i] < 0 ? 0 : (uint64_t)shape->dim[i];
        if (extent && n > (uint64_t)INT64_MAX / extent) return (uint64_t)INT64_MAX;
        n *= extent;
    }
    return n;
}

static uint64_t hash_info(const tn_shape *shape, tn_dtype dtype, uint32_t flags,
                          const tn_layout *layout)
{
    const size_t n = shape->ndim > 0 ? (size_t)shape->ndim : 0;
    uint64_t h = tni_hash(shape->dim, n * sizeof *shape->dim, (uint64_t)dtype * 8 + flags);
    if (layout && layout->domain)
        h = tni_hash(layout->domain, strlen(layout->domain), h + layout->id);
    return h;
}

static bool is_info(const tn_value_info *info, const tn_shape *shape, tn_dtype dtype,
                    uint32_t flags, const tn_layout *layout)
{
    static const tn_layout row_major = {0};
    if (info->dtype != dtype || info->flags != flags || info->ndim != shape->ndim) return false;
    for (int32_t i = 0; i < shape->ndim; i++)
        if (info->dims[i] != shape->dim[i]) return false;
    return tni_layout_equal(&info->layout, layout ? layout : &row_major);
}

static const tn_value_info *new_info(tni_arena *arena, const tn_shape *shape, tn_dtype dtype,
                                     uint32_t flags, const tn_layout *layout)
{
    const size_t n = shape->ndim > 0 ? (size_t)shape->ndim : 0;
    tn_value_info *info = tni_alloc(arena, sizeof *info);
    int64_t *dims = tni_alloc(arena, n * sizeof *dims);
    if (!info || !dims) return NULL;
    if (n) memcpy(dims, shape->dim, n * sizeof *dims);
    *info = (tn_value_info){.struct_size = sizeof *info,
                            .flags = flags,
                            .dtype = dtype,
                            .ndim = shape->ndim,
                            .dims = dims,
                            .size = tn_shape_size(shape),
                            .bytes = tni_value_bytes(shape, dtype)};
    if (layout && layout->domain) {
        info->layout = *layout;
        info->bytes = layout->bytes;
    }
    info->layout.bytes = info->bytes;
    return info;
}

static bool grow_slots(tni_infos *t)
{
    const size_t wanted = t->capacity ? t->capacity * 2 : 64;
    const tn_value_info **slots = calloc(wanted, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < t->capacity; i++) {
        const tn_value_info *info = t->slots[i];
        if (!info) continue;
        tn_shape shape = {.ndim = info->ndim};
        for (int32_t k = 0; k < info->ndim; k++) shape.dim[k] = info->dims[k];
        size_t at = hash_info(&shape, info->dtype, info->flags, &info->layout) & (wanted - 1);
        while (slots[at]) at = (at + 1) & (wanted - 1);
        slots[at] = info;
    }
    free(t->slots);
    t->slots = slots;
    t->capacity = wanted;
    return true;
}

const tn_value_info *tni_info_get(tni_infos *t, const tn_shape *shape, tn_dtype dtype,
                                  uint32_t flags, const tn_layout *layout)
{
    if (t->n * 2 >= t->capacity && !grow_slots(t)) return NULL;
    size_t at = hash_info(shape, dtype, flags, layout) & (t->capacity - 1);
    while (t->slots[at]) {
        if (is_info(t->slots[at], shape, dtype, flags, layout)) return t->slots[at];
        at = (at + 1) & (t->capacity - 1);
    }
    t->slots[at] = new_info(t->arena, shape, dtype, flags, layout);
    if (t->slots[at]) t->n++;
    return t->slots[at];
}

void tni_infos_free(tni_infos *t)
{
    free(t->slots);
    *t = (tni_infos){0};
}
