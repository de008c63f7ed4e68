// core/exec/raw.c: elements as files hold them, into tensors.
#include <byteswap.h>

#include "core/exec/exec.h"

tn_dtype tni_raw_dtype(tni_raw raw)
{
    switch (raw.kind) {
    case 'b': return raw.size == 1 ? TN_BOOL : TN_DTYPE_NONE;
    case 'w': return raw.size == 2 ? TN_BF16 : TN_DTYPE_NONE;
    case 'f':
        if (raw.size == 2) return TN_F16;
        if (raw.size == 4) return TN_F32;
        return raw.size == 8 ? TN_F64 : TN_DTYPE_NONE;
    case 'i':
        if (raw.size == 1) return TN_I8;
        if (raw.size == 2 || raw.size == 4) return TN_I32;
        return raw.size == 8 ? TN_I64 : TN_DTYPE_NONE;
    case 'u':
        if (raw.size == 1) return TN_U8;
        if (raw.size == 2) return TN_I32;
        return raw.size == 4 || raw.size == 8 ? TN_I64 : TN_DTYPE_NONE;
    default: return TN_DTYPE_NONE;
    }
}

bool tni_raw_bytes(const tn_shape *shape, size_t element, uint64_t *bytes)
{
    uint64_t total = element;
    bool empty = false;
    for (int32_t i = 0; i < shape->ndim; i++) {
        const uint64_t n = (uint64_t)shape->dim[i];
        if (!n) empty = true;
        if (n && __builtin_mul_overflow(total, n, &total)) return false;
    }
    *bytes = empty ? 0 : total;
    return total <= SIZE_MAX / 4 && total <= INT64_MAX / 8;
}

// One element of 1, 2, 4 or 8 bytes in this machine's order, zero-extended.
static uint64_t fetch(const unsigned char *p, tni_raw raw)
{
    uint16_t v2;
    uint32_t v4;
    uint64_t v8;
    switch (raw.size) {
    case 1: return *p;
    case 2: memcpy(&v2, p, 2); return raw.swapped ? bswap_16(v2) : v2;
    case 4: memcpy(&v4, p, 4); return raw.swapped ? bswap_32(v4) : v4;
    default: memcpy(&v8, p, 8); return raw.swapped ? bswap_64(v8) : v8;
    }
}

static void store(void *dst, size_t size, uint64_t v)
{
    const uint8_t v1 = (uint8_t)v;
    const uint16_t v2 = (uint16_t)v;
    const uint32_t v4 = (uint32_t)v;
    switch (size) {
    case 1: memcpy(dst, &v1, 1); break;
    case 2: memcpy(dst, &v2, 2); break;
    case 4: memcpy(dst, &v4, 4); break;
    default: memcpy(dst, &v, 8); break;
    }
}

// Elements one by one. Returns the number of the first that does not fit, or n.
static int64_t convert(char *dst, size_t size, tni_raw raw, const unsigned char *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t v = fetch(src + (size_t)i * raw.size, raw);
        if (raw.kind == 'b') v = v != 0;
        if (raw.kind == 'i' && raw.size == 2) v = (uint64_t)(int64_t)(int16_t)(uint16_t)v;
        if (raw.kind == 'u' && raw.size == 8 && v > INT64_MAX) return i;
        store(dst + (size_t)i * size, size, v);
    }
    return n;
}

tn_tensor *tni_raw_tensor(tn_env *env, const char *what, tni_raw raw, const tn_shape *shape,
                          const void *data)
{
    const tn_dtype dtype = tni_raw_dtype(raw);
    tn_tensor *const t = tn_tensor_new(env, dtype, (tn_dims){(size_t)shape->ndim, shape->dim});
    if (!t) return NULL;
    const int64_t n = tn_tensor_size(t);
    const size_t size = tn_dtype_size(dtype);
    void *const dst = tn_tensor_data(t);
    const bool as_is =
        size == raw.size && !raw.swapped && raw.kind != 'b' && !(raw.kind == 'u' && raw.size == 8);
    if (as_is) {
        if (n) memcpy(dst, data, (size_t)n * size);
        return t;
    }
    const int64_t bad = convert(dst, size, raw, data, n);
    if (bad == n) return t;
    tni_env_fail(env, TN_E_FORMAT, "%s: element %lld: wanted at most %lld for int64, got %llu",
                 what, (long long)bad, (long long)INT64_MAX,
                 (unsigned long long)fetch((const unsigned char *)data + (size_t)bad * 8, raw));
    tn_tensor_release(t);
    return NULL;
}
