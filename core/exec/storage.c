// core/exec/storage.c: memory behind tensors, on the host or on a device.
#include <pthread.h>

#include "core/exec/exec.h"

enum {
    ALIGN = 64,           // a cache line, and the widest vector register
    ZERO_CHUNK = 1 << 20, // bytes of zeros sent to a device at a time
    AHEAD = 4096          // bytes that are read when one element of a device's memory is asked for
};

// A block of a device's memory, as long as storage->changes is what it was. Who writes counts when
// it is written: what somebody read of elements near by meanwhile is not kept for longer.
typedef struct tni_ahead {
    tni_range range;
    unsigned changes;
    char bytes[AHEAD];
} tni_ahead;

static pthread_mutex_t ahead_lock = PTHREAD_MUTEX_INITIALIZER; // of all storages' `ahead`

static void *host_zeros(uint64_t bytes)
{
    if (bytes > SIZE_MAX - ALIGN) return NULL;
    const size_t whole = ((size_t)bytes + ALIGN - 1) / ALIGN * ALIGN;
    void *const p = aligned_alloc(ALIGN, whole ? whole : ALIGN);
    if (p) memset(p, 0, whole);
    return p;
}

// A backend's failure with its own reason, if it left one.
static tn_status device_failed(tn_env *env, const tni_device *device, tn_status status,
                               const char *what, uint64_t bytes)
{
    const char *reason = tni_host_take_error(device->backend->plugin);
    return tni_env_fail(env, status, "%s: %s of %llu bytes: %s", device->uri, what,
                        (unsigned long long)bytes, *reason ? reason : tn_status_text(status));
}

static tn_status device_zero(tn_env *env, const tni_storage *s)
{
    const tn_backend_api *api = &s->device->backend->api;
    const size_t chunk = s->bytes < ZERO_CHUNK ? (size_t)s->bytes : (size_t)ZERO_CHUNK;
    void *const zeros = calloc(1, chunk ? chunk : 1);
    if (!zeros) return tni_env_fail(env, TN_E_NOMEM, "%s: out of memory", s->device->uri);
    tn_status status = TN_OK;
    for (uint64_t at = 0; at < s->bytes && !status; at += chunk) {
        const uint64_t n = s->bytes - at < chunk ? s->bytes - at : chunk;
        status = api->upload(s->device->handle, NULL, s->buffer, at, zeros, n);
        if (status) device_failed(env, s->device, status, "upload", n);
    }
    free(zeros);
    return status;
}

static tn_status device_memory(tn_env *env, tni_storage *s)
{
    tni_error error = {0};
    tn_status status = tni_device_open(env, s->device, &error);
    if (status) {
        tni_env_fail(env, status, "%s: %s", s->device->uri, tni_error_text(&error));
        tni_error_clear(&error);
        return status;
    }
    const uint64_t bytes = s->bytes ? s->bytes : 1; // no device has a buffer of nothing
    const tn_backend_api *api = &s->device->backend->api;
    status = api->buf_alloc(s->device->handle, bytes, ALIGN, &s->buffer);
    if (status) return device_failed(env, s->device, status, "allocation", bytes);
    return device_zero(env, s);
}

tni_storage *tni_storage_new(tn_env *env, tni_device *device, uint64_t bytes)
{
    if (device && (device->info.flags & TN_DEV_HOST_MEMORY)) device = NULL;
    tni_storage *const s = calloc(1, sizeof *s);
    if (s) {
        atomic_init(&s->refs, 1);
        s->device = device;
        s->bytes = bytes;
        if (!device) s->host = host_zeros(bytes);
    }
    if (!s || (!device && !s->host)) {
        free(s);
        tni_env_fail(env, TN_E_NOMEM, "host: out of memory for a tensor of %llu bytes",
                     (unsigned long long)bytes);
        return NULL;
    }
    if (device && device_memory(env, s)) {
        tni_storage_release(s);
        return NULL;
    }
    return s;
}

tni_storage *tni_storage_wrap(tn_env *env, tni_device *device, tn_buffer *buffer, void *host,
                              uint64_t bytes)
{
    tni_storage *const s = calloc(1, sizeof *s);
    if (!s) {
        tni_env_fail(env, TN_E_NOMEM, "host: out of memory");
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->device = buffer ? device : NULL;
    s->buffer = buffer;
    s->host = host;
    s->bytes = bytes;
    s->borrowed = true;
    return s;
}

tni_storage *tni_storage_retain(tni_storage *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void tni_storage_release(tni_storage *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    if (!s->borrowed) {
        if (s->buffer) s->device->backend->api.buf_free(s->device->handle, s->buffer);
        free(s->host);
    }
    free(s->ahead);
    free(s);
}

tn_status tni_storage_read(tn_env *env, const tni_storage *s, uint64_t offset, void *dst,
                           uint64_t bytes)
{
    if (!bytes) return TN_OK;
    if (!s->device) {
        memmove(dst, (const char *)s->host + offset, (size_t)bytes);
        return TN_OK;
    }
    tn_status status = tni_storage_settle(env, s, (tni_range){offset, offset + bytes}, false);
    if (status) return status;
    status =
        s->device->backend->api.download(s->device->handle, NULL, s->buffer, offset, dst, bytes);
    return status ? device_failed(env, s->device, status, "download", bytes) : TN_OK;
}

tn_status tni_storage_write(tn_env *env, tni_storage *s, uint64_t offset, const void *src,
                            uint64_t bytes)
{
    if (!bytes) return TN_OK;
    if (!s->device) {
        memmove((char *)s->host + offset, src, (size_t)bytes);
        return TN_OK;
    }
    tn_status status = tni_storage_settle(env, s, (tni_range){offset, offset + bytes}, true);
    if (status) return status;
    status = s->device->backend->api.upload(s->device->handle, NULL, s->buffer, offset, src, bytes);
    atomic_fetch_add(&s->changes, 1);
    return status ? device_failed(env, s->device, status, "upload", bytes) : TN_OK;
}

// ------------------------------------------------------------------ one element after the other

// The bytes at offset, if they were read before and nothing was written since.
static bool look_back(const tni_storage *s, unsigned changes, uint64_t offset, void *dst,
                      uint64_t bytes)
{
    pthread_mutex_lock(&ahead_lock);
    const tni_ahead *a = s->ahead;
    const bool here =
        a && a->changes == changes && a->range.begin <= offset && offset + bytes <= a->range.end;
    if (here) memcpy(dst, a->bytes + (offset - a->range.begin), (size_t)bytes);
    pthread_mutex_unlock(&ahead_lock);
    return here;
}

// Without memory for it nothing is kept.
static void keep_block(tni_storage *s, unsigned changes, tni_range range, const void *block)
{
    pthread_mutex_lock(&ahead_lock);
    if (!s->ahead) s->ahead = malloc(sizeof *s->ahead);
    if (s->ahead) {
        s->ahead->range = range;
        s->ahead->changes = changes;
        memcpy(s->ahead->bytes, block, (size_t)(range.end - range.begin));
    }
    pthread_mutex_unlock(&ahead_lock);
}

tn_status tni_storage_peek(tn_env *env, tni_storage *s, tni_range within, uint64_t offset,
                           void *dst, uint64_t bytes)
{
    char block[AHEAD];
    const unsigned changes = atomic_load(&s->changes);
    if (!s->device) return tni_storage_read(env, s, offset, dst, bytes);
    if (look_back(s, changes, offset, dst, bytes)) return TN_OK;
    const uint64_t most = within.end - offset, n = most < AHEAD ? most : AHEAD;
    const tn_status status = tni_storage_read(env, s, offset, block, n);
    if (status) return status;
    memcpy(dst, block, (size_t)bytes);
    keep_block(s, changes, (tni_range){offset, offset + n}, block);
    return TN_OK;
}
