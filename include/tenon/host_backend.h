// tenon/host_backend.h: a whole backend of host memory out of tables of rows; part of
// <tenon/kernel.h>.
#ifndef TENON_HOST_BACKEND_H
#define TENON_HOST_BACKEND_H

#include <tenon/kernel.h>

// What such a backend is; TN_HOST_BACKEND makes it.
struct tn_host_backend {
    const char *name;                     // "blas"
    const char *description;              // for people: "OpenBLAS on this machine's CPUs"
    const tn_kernel_row *const *families; // tables of rows, NULL-terminated
    uint32_t device_flags;                // besides TN_DEV_HOST_MEMORY
    // (optional) Why it cannot be used here, or NULL; name of its library's version, or NULL.
    const char *(*unusable)(const tn_host_api *host);
    const char *(*driver)(const tn_host_api *host);
    const tn_kernel_row *reorder; // with TN_HOST_BACKEND_LAYOUTS: see tn_row_prepare_reorder()
};

static inline tn_status tn_sdk_enumerate(void *plugin, tn_device_sink sink, void *sink_ctx)
{
    const tn_sdk_plugin *p = (const tn_sdk_plugin *)plugin;
    const tn_host_backend *b = p->backend;
    const tn_device_info info = {
        .struct_size = sizeof info,
        .flags = TN_DEV_HOST_MEMORY | b->device_flags,
        .id = "0",
        .kind = "cpu",
        .name = b->description,
        .driver = b->driver ? b->driver(p->host) : b->name,
        .unusable = b->unusable ? b->unusable(p->host) : NULL,
    };
    return sink(sink_ctx, &info);
}

static inline tn_status tn_sdk_open(void *plugin, const char *device_id, tn_device **out)
{
    const tn_sdk_plugin *p = (const tn_sdk_plugin *)plugin;
    const tn_host_backend *b = p->backend;
    if (strcmp(device_id, "0") != 0)
        return tn_fail(p->host, TN_E_NOT_FOUND, "%s: no device %s: there is only 0", b->name,
                       device_id);
    const char *why = b->unusable ? b->unusable(p->host) : NULL;
    if (why) return tn_fail(p->host, TN_E_UNAVAILABLE, "%s: %s", b->name, why);
    *out = (tn_device *)plugin;
    return TN_OK;
}

static inline void tn_sdk_close(tn_device *device)
{
    (void)device; // it is the plugin's state: tn_sdk_shutdown frees it
}

static inline tn_status tn_sdk_supports(tn_device *device, const tn_call *call, tn_verdict *out)
{
    const tn_sdk_plugin *p = (const tn_sdk_plugin *)device;
    tn_rows_find(p->backend->families, call, out);
    return TN_OK;
}

static inline tn_status tn_sdk_prepare(tn_device *device, const tn_call *call, tn_kernel **out,
                                       tn_kernel_info *info)
{
    tn_sdk_plugin *p = (tn_sdk_plugin *)device;
    return tn_rows_prepare(p->backend->families, p->host, p, call, out, info);
}

static inline tn_status tn_sdk_prepare_reorder(tn_device *device, const tn_value_info *src,
                                               const tn_value_info *dst, tn_kernel **out,
                                               tn_kernel_info *info)
{
    tn_sdk_plugin *p = (tn_sdk_plugin *)device;
    return tn_row_prepare_reorder(p->backend->reorder, p->host, p, src, dst, out, info);
}

// Rows without wishes get and give row-major values.
static inline tn_status tn_sdk_layouts(tn_device *device, const tn_call *call, tn_layout *in,
                                       tn_layout *out)
{
    const tn_sdk_plugin *p = (const tn_sdk_plugin *)device;
    tn_verdict v = {.struct_size = sizeof v};
    const tn_kernel_row *row = tn_rows_find(p->backend->families, call, &v);
    if (row && row->layouts) return row->layouts(p->host, call, in, out);
    for (uint32_t i = 0; i < call->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    return TN_OK;
}

static inline uint32_t tn_sdk_may_support(tn_device *device, const char *op, tn_dtype dtype)
{
    const tn_sdk_plugin *p = (const tn_sdk_plugin *)device;
    return tn_rows_may_support(p->backend->families, op, dtype);
}

// ------------------------------------------------------------------ tables

// Version of the plugin that is compiled. tenon_add_plugin() of the CMake package takes it from
// project(… VERSION …), others give -DTN_PLUGIN_VERSION='"1.2"'; else it is that of these headers.
#ifndef TN_PLUGIN_VERSION
#define TN_PLUGIN_VERSION TN_VERSION_TEXT
#endif

// A whole backend of host memory, and the plugin around it: once, at file scope of <name>.c.
//
//     static const tn_kernel_row *const families[] = {blas_dense, blas_reduce, NULL};
//     TN_HOST_BACKEND(blas, 50, families, "OpenBLAS on the CPU", .unusable = blas_unusable)
//
// rank: place in the default order. More members of tn_host_backend may follow. Kernels find the
// tn_sdk_plugin in k->plugin.
#define TN_HOST_BACKEND(name_, rank_, families_, ...)         \
    TN_HOST_BACKEND_API(name_, rank_, families_, __VA_ARGS__) \
    TN_HOST_PLUGIN_(name_)

// The same for a backend with layouts of its own: rows have `layouts`, and the backend `.reorder`.
#define TN_HOST_BACKEND_LAYOUTS(name_, rank_, families_, ...)         \
    TN_HOST_BACKEND_API_LAYOUTS(name_, rank_, families_, __VA_ARGS__) \
    TN_HOST_PLUGIN_(name_)

// The backend alone, for a plugin that brings more than it (options, operators, its vendor's name):
// <name>_backend_api for `backends` of your own tn_plugin, and <name>_init and tn_sdk_shutdown for
// `init` and `shutdown`.
#define TN_HOST_BACKEND_API(name_, rank_, families_, ...) \
    TN_HOST_BACKEND_WITH_(name_, rank_, families_, 0, NULL, NULL, __VA_ARGS__)
#define TN_HOST_BACKEND_API_LAYOUTS(name_, rank_, families_, ...)                             \
    TN_HOST_BACKEND_WITH_(name_, rank_, families_, 0, tn_sdk_layouts, tn_sdk_prepare_reorder, \
                          __VA_ARGS__)
// Likewise, with TN_BACKEND_PERMUTES.
#define TN_HOST_BACKEND_API_PERMUTES(name_, rank_, families_, ...)                      \
    TN_HOST_BACKEND_WITH_(name_, rank_, families_, TN_BACKEND_PERMUTES, tn_sdk_layouts, \
                          tn_sdk_prepare_reorder, __VA_ARGS__)

#define TN_HOST_BACKEND_WITH_(name_, rank_, families_, flags_, layouts_, reorder_, ...) \
    static const tn_host_backend name_##_host_backend = {                               \
        .name = #name_, .families = (families_), .description = __VA_ARGS__};           \
    static const tn_backend_api name_##_backend_api = {                                 \
        .struct_size = sizeof(tn_backend_api),                                          \
        .flags = (flags_),                                                              \
        .name = #name_,                                                                 \
        .rank = (rank_),                                                                \
        .enumerate = tn_sdk_enumerate,                                                  \
        .open = tn_sdk_open,                                                            \
        .close = tn_sdk_close,                                                          \
        .supports = tn_sdk_supports,                                                    \
        .layouts = (layouts_),                                                          \
        .prepare = tn_sdk_prepare,                                                      \
        .prepare_reorder = (reorder_),                                                  \
        .run = tn_row_run,                                                              \
        .kernel_destroy = tn_row_destroy,                                               \
        .may_support = tn_sdk_may_support,                                              \
    };                                                                                  \
    static tn_status name_##_init(const tn_host_api *host, void **plugin)               \
    {                                                                                   \
        return tn_sdk_init(host, &name_##_host_backend, plugin);                        \
    }

#define TN_HOST_PLUGIN_(name_)                         \
    static const tn_plugin name_##_plugin = {          \
        .struct_size = sizeof(tn_plugin),              \
        .name = #name_,                                \
        .version = TN_PLUGIN_VERSION,                  \
        .init = name_##_init,                          \
        .shutdown = tn_sdk_shutdown,                   \
        .backends = TN_BACKENDS(&name_##_backend_api), \
    };                                                 \
    TN_PLUGIN_ENTRY(name_##_plugin)

#endif
