// core/env/enumerate.c: what devices a backend has, opening each at most once, closing them.
#include <ctype.h>

#include "core/env/env.h"

enum { MAX_DEVICES = 256 }; // of one backend: more is taken for a loop that does not end

// What enumerate's calls of the sink come to.
typedef struct listing {
    tni_backend *backend;
    tni_arena *arena;
    tni_error *error;
    tni_device *devices; // malloc'ed while it grows
    size_t n, capacity;
} listing;

static bool id_ok(const char *id)
{
    size_t n = 0;
    for (; id && id[n]; n++)
        if (n >= 63 || id[n] == ',' || !isgraph((unsigned char)id[n])) return false;
    return n > 0;
}

static const char *copy_text(listing *l, const char *text)
{
    const char *mine = tni_strdup(l->arena, text ? text : "");
    if (!mine) tni_fail(l->error, TN_E_NOMEM, NULL, "out of memory");
    return mine;
}

static tn_status add_device(listing *l, const tn_device_info *info)
{
    if (!tni_grow((void **)&l->devices, &l->capacity, l->n + 1, sizeof *l->devices))
        return tni_fail(l->error, TN_E_NOMEM, NULL, "out of memory");
    tni_device *d = &l->devices[l->n];
    *d = (tni_device){.backend = l->backend, .info = *info};
    d->info.id = copy_text(l, info->id);
    d->info.kind = copy_text(l, info->kind);
    d->info.name = copy_text(l, info->name);
    d->info.driver = copy_text(l, info->driver);
    d->info.unusable = info->unusable ? copy_text(l, info->unusable) : NULL;
    // Without functions of memory only devices of host memory can work.
    if (!d->info.unusable && !(info->flags & TN_DEV_HOST_MEMORY) && !l->backend->api.buf_alloc)
        d->info.unusable = "has memory of its own, but the backend no functions for it";
    if (l->error->status == TN_OK) l->n++;
    return l->error->status;
}

static tn_status sink(void *ctx, const tn_device_info *theirs)
{
    listing *l = ctx;
    const char *backend = l->backend->entry.name;
    tn_device_info info;
    if (l->error->status != TN_OK) return l->error->status;
    if (!tni_normalise(&info, sizeof info, theirs, TN_END_OF(tn_device_info, unusable),
                       "a device (tn_device_info)", l->error))
        return l->error->status;
    if (!id_ok(info.id))
        return tni_fail(l->error, TN_E_INVALID, NULL,
                        "backend %s: \"%.64s\" cannot be the id of a device", backend,
                        info.id ? info.id : "(NULL)");
    if (l->n >= MAX_DEVICES)
        return tni_fail(l->error, TN_E_INVALID, NULL, "backend %s: more than %d devices", backend,
                        MAX_DEVICES);
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->devices[i].info.id, info.id) == 0)
            return tni_fail(l->error, TN_E_EXISTS, NULL, "backend %s: two devices have the id %s",
                            backend, info.id);
    return add_device(l, &info);
}

// The list of devices goes into the arena, each with its name for users: "blas", "opencl:0".
static bool settle(listing *l)
{
    tni_backend *b = l->backend;
    b->devices = tni_alloc(l->arena, (l->n + 1) * sizeof *b->devices);
    for (size_t i = 0; b->devices && i < l->n; i++) {
        b->devices[i] = l->devices[i];
        b->devices[i].uri =
            l->n == 1 ? tni_strdup(l->arena, b->entry.name)
                      : tni_printf(l->arena, "%s:%s", b->entry.name, l->devices[i].info.id);
        if (!b->devices[i].uri) b->devices = NULL;
    }
    if (!b->devices) {
        tni_fail(l->error, TN_E_NOMEM, NULL, "out of memory");
        return false;
    }
    b->n_devices = (uint32_t)l->n;
    b->entry.n_devices = l->n;
    return true;
}

bool tni_devices_list(tni_backend *b, tni_arena *arena, tni_error *error)
{
    listing l = {.backend = b, .arena = arena, .error = error};
    tni_host_take_error(b->plugin);
    const tn_status s = b->api.enumerate(b->self, sink, &l);
    if (s != TN_OK && error->status == TN_OK) {
        const char *reason = tni_callback_reason(b->plugin, s);
        tni_log(b->plugin->env, TN_LOG_INFO, "%s: listing devices failed: %s", b->entry.name,
                reason);
        // A missing driver is no fault of the plugin: shown as a device that cannot be used.
        if (l.n == 0)
            add_device(&l, &(tn_device_info){.struct_size = sizeof(tn_device_info),
                                             .id = "0",
                                             .flags = TN_DEV_HOST_MEMORY,
                                             .unusable = reason});
    }
    const bool done = error->status == TN_OK && settle(&l);
    free(l.devices);
    return done;
}

// ------------------------------------------------------------------ opening, closing

static tn_status open_failed(tn_env *env, tni_device *d, tn_status status, const char *reason)
{
    (void)env;
    d->open_status = status;
    d->open_error = strdup(reason);
    return status;
}

static tn_status open_locked(tn_env *env, tni_device *d)
{
    const tni_backend *b = d->backend;
    if (d->handle || d->open_status != TN_OK) return d->open_status;
    if (d->info.unusable) return open_failed(env, d, TN_E_UNAVAILABLE, d->info.unusable);
    tni_host_take_error(b->plugin);
    const tn_status s = b->api.open(b->self, d->info.id, &d->handle);
    if (s != TN_OK) {
        d->handle = NULL;
        return open_failed(env, d, s, tni_callback_reason(b->plugin, s));
    }
    if (!d->handle) return open_failed(env, d, TN_E_INTERNAL, "open succeeded without a device");
    return TN_OK;
}

tn_status tni_device_open(tn_env *env, tni_device *d, tni_error *error)
{
    tni_main_lock();
    const tn_status s = open_locked(env, d);
    tni_main_unlock();
    if (s == TN_OK) return TN_OK;
    return tni_fail(error, s, NULL, "device %s cannot be opened: %s", d->uri,
                    d->open_error ? d->open_error : tn_status_text(s));
}

void tni_devices_close(tn_env *env)
{
    const tni_registry *r = &env->registry;
    for (size_t i = r->n_backends; i > 0; i--) {
        const tni_backend *b = r->backends[i - 1];
        for (uint32_t j = b->n_devices; j > 0; j--) {
            tni_device *d = &b->devices[j - 1];
            if (d->handle) b->api.close(d->handle);
            d->handle = NULL;
            free(d->open_error);
            d->open_error = NULL;
        }
    }
}

// ------------------------------------------------------------------ may it run?

static bool kernel_on(const tni_kernel_decl *k, const tni_backend *b, const char *op)
{
    if (strcmp(k->decl.op, op) != 0) return false;
    if (strcmp(k->decl.backend, b->entry.name) == 0) return true;
    if (strcmp(k->decl.backend, "host") != 0) return false;
    for (uint32_t i = 0; i < b->n_devices; i++)
        if (b->devices[i].info.flags & TN_DEV_HOST_MEMORY) return true;
    return false;
}

bool tn_env_backend_has(const tn_env *env, size_t i, const char *name, tn_dtype dtype)
{
    if (!env) return false;
    const tni_registry *r = &env->registry;
    const tni_op *op = name ? tni_op_find(r, name) : NULL;
    if (!op || i >= r->n_backends) return false;
    const tni_backend *b = r->backends[i];
    for (uint32_t k = 0; k < r->n_kernels; k++)
        if (kernel_on(&r->kernels[k], b, op->decl.name)) return true;
    for (uint32_t d = 0; d < b->n_devices; d++) {
        tni_error error = {0};
        const bool open = tni_device_open((tn_env *)env, &b->devices[d], &error) == TN_OK;
        tni_error_clear(&error);
        if (!open) continue;
        if (!b->api.may_support) return true; // only a call itself would tell
        if (b->api.may_support(b->devices[d].handle, op->decl.name, dtype)) return true;
    }
    return false;
}
