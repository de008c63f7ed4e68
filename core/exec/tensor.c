// core/exec/tensor.c: tensors: making, viewing, copying and converting them.
#include <tenon/tensor.h>

#include "core/exec/exec.h"

// ------------------------------------------------------------------ shapes

// dims as a shape with all extents known, and its size in bytes. `who` names the call.
static bool shape_of(tn_env *env, const char *who, tn_dtype dtype, tn_dims dims, tn_shape *shape,
                     uint64_t *bytes)
{
    *shape = (tn_shape){0};
    uint64_t total = tn_dtype_size(dtype);
    if (!total) {
        tni_env_fail(env, TN_E_DTYPE, "%s: dtype %d is none of Tenon's", who, (int)dtype);
        return false;
    }
    if (!dims.dim || dims.ndim > TN_MAX_NDIM) {
        tni_env_fail(env, TN_E_INVALID, "%s: shape: %s, wanted at most %d axes, got %zu", who,
                     dims.dim ? "too many axes" : "not given", TN_MAX_NDIM, dims.ndim);
        return false;
    }
    shape->ndim = (int32_t)dims.ndim;
    bool fits = true, empty = false;
    for (size_t i = 0; i < dims.ndim; i++) {
        const int64_t n = dims.dim[i];
        if (n < 0) {
            tni_env_fail(env, TN_E_INVALID, "%s: shape: axis %zu: wanted at least 0, got %lld", who,
                         i, (long long)n);
            return false;
        }
        shape->dim[i] = n;
        if (!n) empty = true;
        // Empty axes do not excuse the others: products of extents must never overflow.
        if (n && __builtin_mul_overflow(total, (uint64_t)n, &total)) fits = false;
    }
    if (!fits || total > INT64_MAX || total > SIZE_MAX / 2) {
        tni_env_fail(env, TN_E_NOMEM, "%s: shape: more bytes than memory has addresses", who);
        return false;
    }
    *bytes = empty ? 0 : total;
    return true;
}

static tn_dims dims_of(const tn_shape *shape)
{
    return (tn_dims){(size_t)shape->ndim, shape->dim};
}

// ------------------------------------------------------------------ making

tn_tensor *tni_tensor_over(tn_env *env, tni_storage *storage, uint64_t offset, tn_dtype dtype,
                           const tn_shape *shape)
{
    tn_tensor *const t = calloc(1, sizeof *t);
    if (!t) {
        tni_env_fail(env, TN_E_NOMEM, "tensor: out of memory");
        return NULL;
    }
    atomic_init(&t->refs, 1);
    t->env = env;
    t->storage = tni_storage_retain(storage);
    t->offset = offset;
    t->dtype = dtype;
    t->shape = *shape;
    return t;
}

// A tensor that takes over the caller's reference to storage (NULL: it could not be made).
static tn_tensor *tensor_of(tn_env *env, tni_storage *storage, tn_dtype dtype,
                            const tn_shape *shape)
{
    if (!storage) return NULL;
    tn_tensor *const t = tni_tensor_over(env, storage, 0, dtype, shape);
    tni_storage_release(storage);
    return t;
}

tn_tensor *tn_tensor_new(tn_env *env, tn_dtype dtype, tn_dims dims)
{
    tn_shape shape;
    uint64_t bytes;
    if (!shape_of(env, "tn_tensor_new", dtype, dims, &shape, &bytes)) return NULL;
    return tensor_of(env, tni_storage_new(env, NULL, bytes), dtype, &shape);
}

tn_tensor *tn_tensor_wrap(tn_env *env, tn_dtype dtype, tn_dims dims, void *data)
{
    tn_shape shape;
    uint64_t bytes;
    if (!shape_of(env, "tn_tensor_wrap", dtype, dims, &shape, &bytes)) return NULL;
    if (!data && bytes) {
        tni_env_fail(env, TN_E_INVALID, "tn_tensor_wrap: data: wanted %llu bytes, got NULL",
                     (unsigned long long)bytes);
        return NULL;
    }
    return tensor_of(env, tni_storage_wrap(env, NULL, NULL, data, bytes), dtype, &shape);
}

tn_tensor *tn_tensor_from(tn_env *env, tn_dtype dtype, tn_dims dims, const double *data)
{
    tn_tensor *const t = tn_tensor_new(env, dtype, dims);
    if (!t) return NULL;
    const int64_t n = tn_tensor_size(t);
    if (!data && n) {
        tni_env_fail(env, TN_E_INVALID, "tn_tensor_from: data: wanted %lld numbers, got NULL",
                     (long long)n);
        tn_tensor_release(t);
        return NULL;
    }
    tni_convert(t->storage->host, dtype, data, TN_F64, n);
    return t;
}

tn_tensor *tn_tensor_retain(tn_tensor *t)
{
    if (t) atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tn_tensor_release(tn_tensor *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) return;
    tni_storage_release(t->storage);
    free(t);
}

// ------------------------------------------------------------------ looking

tn_dtype tn_tensor_dtype(const tn_tensor *t)
{
    return t ? t->dtype : TN_DTYPE_NONE;
}

tn_shape tn_tensor_shape(const tn_tensor *t)
{
    return t ? t->shape : (tn_shape){.ndim = -1};
}

int64_t tn_tensor_size(const tn_tensor *t)
{
    return t ? tn_shape_size(&t->shape) : 0;
}

uint64_t tn_tensor_bytes(const tn_tensor *t)
{
    return t ? (uint64_t)tn_tensor_size(t) * tn_dtype_size(t->dtype) : 0;
}

void *tn_tensor_data(tn_tensor *t)
{
    return t && t->storage->host ? (char *)t->storage->host + t->offset : NULL;
}

const char *tn_tensor_device(const tn_tensor *t)
{
    return t && t->storage->device ? t->storage->device->uri : "host";
}

tn_arg tni_tensor_arg(const tn_tensor *t)
{
    const tni_storage *s = t->storage;
    return (tn_arg){
        .buffer = s->buffer,
        .offset = s->buffer ? t->offset : 0,
        .bytes = tn_tensor_bytes(t),
        .host = s->host ? (char *)s->host + t->offset : NULL,
    };
}

// ------------------------------------------------------------------ views

tn_tensor *tn_tensor_slice(tn_tensor *t, int64_t begin, int64_t end)
{
    if (!t) return NULL;
    if (t->shape.ndim == 0) {
        tni_env_fail(t->env, TN_E_INVALID, "tn_tensor_slice: a tensor of rank 0 has no rows");
        return NULL;
    }
    const int64_t rows = t->shape.dim[0];
    if (begin < 0 || begin > end || end > rows) {
        tni_env_fail(t->env, TN_E_INVALID,
                     "tn_tensor_slice: wanted 0 <= begin <= end <= %lld, got begin %lld, end %lld",
                     (long long)rows, (long long)begin, (long long)end);
        return NULL;
    }
    const uint64_t row = rows ? tn_tensor_bytes(t) / (uint64_t)rows : 0;
    tn_shape shape = t->shape;
    shape.dim[0] = end - begin;
    return tni_tensor_over(t->env, t->storage, t->offset + row * (uint64_t)begin, t->dtype, &shape);
}

tn_tensor *tn_tensor_reshape(tn_tensor *t, tn_dims dims)
{
    tn_shape shape;
    uint64_t bytes;
    if (!t) return NULL;
    if (!shape_of(t->env, "tn_tensor_reshape", t->dtype, dims, &shape, &bytes)) return NULL;
    if (bytes != tn_tensor_bytes(t)) {
        tni_env_fail(t->env, TN_E_INVALID, "tn_tensor_reshape: wanted %lld elements, got %lld",
                     (long long)tn_tensor_size(t), (long long)tn_shape_size(&shape));
        return NULL;
    }
    return tni_tensor_over(t->env, t->storage, t->offset, t->dtype, &shape);
}

// ------------------------------------------------------------------ bytes in and out

static bool bytes_fit(const tn_tensor *t, const char *who, const void *data, uint64_t bytes)
{
    const uint64_t wanted = tn_tensor_bytes(t);
    if (!t) return false;
    if (bytes == wanted && (data || !bytes)) return true;
    tni_env_fail(t->env, TN_E_INVALID, "%s: wanted %llu bytes, got %llu%s", who,
                 (unsigned long long)wanted, (unsigned long long)bytes, data ? "" : " at NULL");
    return false;
}

tn_status tn_tensor_set(tn_tensor *t, const void *data, uint64_t bytes)
{
    if (!bytes_fit(t, "tn_tensor_set", data, bytes)) return TN_E_INVALID;
    return tni_storage_write(t->env, t->storage, t->offset, data, bytes);
}

tn_status tn_tensor_get(tn_tensor *t, void *data, uint64_t bytes)
{
    if (!bytes_fit(t, "tn_tensor_get", data, bytes)) return TN_E_INVALID;
    return tni_storage_read(t->env, t->storage, t->offset, data, bytes);
}

// ------------------------------------------------------------------ copying

// The elements of t in host memory: its own, or a copy in *owned that the caller frees.
static const void *host_elements(tn_tensor *t, void **owned)
{
    *owned = NULL;
    if (t->storage->host) return tn_tensor_data(t);
    const uint64_t bytes = tn_tensor_bytes(t);
    void *const copy = malloc(bytes ? (size_t)bytes : 1);
    if (!copy) {
        tni_env_fail(t->env, TN_E_NOMEM, "tensor: out of memory for %llu bytes",
                     (unsigned long long)bytes);
        return NULL;
    }
    if (tni_storage_read(t->env, t->storage, t->offset, copy, bytes)) {
        free(copy);
        return NULL;
    }
    return *owned = copy;
}

// Between two places of one device. False: it has no such copy, go through the host.
static bool device_copy(tn_tensor *dst, const tn_tensor *src, tn_status *status)
{
    const tni_device *device = src->storage->device;
    if (!device || device != dst->storage->device || !device->backend->api.copy) return false;
    const uint64_t bytes = tn_tensor_bytes(src);
    const tni_range from = {src->offset, src->offset + bytes},
                    to = {dst->offset, dst->offset + bytes};
    *status = tni_storage_settle(dst->env, src->storage, from, false);
    if (!*status) *status = tni_storage_settle(dst->env, dst->storage, to, true);
    if (*status) return true;
    *status = bytes
                  ? device->backend->api.copy(device->handle, NULL, src->storage->buffer,
                                              src->offset, dst->storage->buffer, dst->offset, bytes)
                  : TN_OK;
    atomic_fetch_add(&dst->storage->changes, 1);
    if (!*status) return true;
    const char *reason = tni_host_take_error(device->backend->plugin);
    tni_env_fail(dst->env, *status, "%s: copy of %llu bytes: %s", device->uri,
                 (unsigned long long)bytes, *reason ? reason : tn_status_text(*status));
    return true;
}

// n elements at host address `from` into dst, converted.
static tn_status put_elements(tn_tensor *dst, const void *from, tn_dtype dtype, int64_t n)
{
    if (dst->storage->host) {
        tni_convert(tn_tensor_data(dst), dst->dtype, from, dtype, n);
        return TN_OK;
    }
    const uint64_t bytes = tn_tensor_bytes(dst);
    if (dtype == dst->dtype)
        return tni_storage_write(dst->env, dst->storage, dst->offset, from, bytes);
    void *const converted = malloc(bytes ? (size_t)bytes : 1);
    if (!converted)
        return tni_env_fail(dst->env, TN_E_NOMEM, "tensor: out of memory for %llu bytes",
                            (unsigned long long)bytes);
    tni_convert(converted, dst->dtype, from, dtype, n);
    const tn_status status =
        tni_storage_write(dst->env, dst->storage, dst->offset, converted, bytes);
    free(converted);
    return status;
}

tn_status tn_tensor_copy(tn_tensor *dst, tn_tensor *src)
{
    const int64_t n = tn_tensor_size(src);
    if (!dst) return TN_E_INVALID;
    if (!src) return tni_env_fail(dst->env, TN_E_INVALID, "tn_tensor_copy: src: no tensor");
    if (n != tn_tensor_size(dst))
        return tni_env_fail(dst->env, TN_E_INVALID,
                            "tn_tensor_copy: dst: wanted %lld elements as src has, got %lld",
                            (long long)n, (long long)tn_tensor_size(dst));
    tn_status status = TN_OK;
    if (dst->dtype == src->dtype && device_copy(dst, src, &status)) return status;
    void *owned;
    const void *const from = host_elements(src, &owned);
    if (!from && n) return tn_env_status(src->env);
    status = put_elements(dst, from, src->dtype, n);
    free(owned);
    return status;
}

tn_tensor *tn_tensor_cast(tn_tensor *t, tn_dtype dtype)
{
    if (!t) return NULL;
    tn_tensor *const result = tn_tensor_new(t->env, dtype, dims_of(&t->shape));
    if (!result || !tn_tensor_copy(result, t)) return result;
    tn_tensor_release(result);
    return NULL;
}

tn_status tn_tensor_fill(tn_tensor *t, double value)
{
    if (!t) return TN_E_INVALID;
    uint64_t element = 0; // wide enough for any dtype
    const size_t size = tn_dtype_size(t->dtype);
    tni_convert(&element, t->dtype, &value, TN_F64, 1);
    const uint64_t bytes = tn_tensor_bytes(t);
    const size_t chunk = bytes < 1 << 16 ? (size_t)bytes : (size_t)1 << 16; // stays in cache
    char *const many = malloc(chunk ? chunk : 1);
    if (!many) return tni_env_fail(t->env, TN_E_NOMEM, "tn_tensor_fill: out of memory");
    for (size_t at = 0; at < chunk; at += size) memcpy(many + at, &element, size);
    tn_status status = TN_OK;
    for (uint64_t at = 0; at < bytes && !status; at += chunk) {
        const uint64_t n = bytes - at < chunk ? bytes - at : chunk;
        status = tni_storage_write(t->env, t->storage, t->offset + at, many, n);
    }
    free(many);
    return status;
}

double tn_tensor_at(tn_tensor *t, int64_t i)
{
    if (i < 0 || i >= tn_tensor_size(t)) return 0;
    const size_t size = tn_dtype_size(t->dtype);
    uint64_t element = 0;
    double value = 0;
    const tni_range within = {t->offset, t->offset + tn_tensor_bytes(t)};
    if (tni_storage_peek(t->env, t->storage, within, t->offset + (uint64_t)i * size, &element,
                         size))
        return 0;
    tni_convert(&value, TN_F64, &element, t->dtype, 1);
    return value;
}
