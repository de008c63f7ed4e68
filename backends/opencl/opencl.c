// backends/opencl/opencl.c: the plugin: tables and what the core asks of
// kernels.
#include "opencl.h"

static const tn_kernel_row *const families[] = {
    ocl_maps,      ocl_fuse,       ocl_multis,      ocl_led,     ocl_dense, ocl_reduce,
    ocl_softmaxes, ocl_shape,      ocl_convs,       ocl_pools,   ocl_norms, ocl_indices,
    ocl_randoms,   ocl_orders,     ocl_scans,       ocl_linalgs, ocl_rois,  ocl_ctcs,
    ocl_proposals, ocl_multiboxes, ocl_sparse_regs, NULL};

static tn_status init(const tn_host_api *host, void **plugin)
{
    ocl_plugin *p = host->alloc(host->host, sizeof *p, 64);
    if (!p) return tn_fail(host, TN_E_NOMEM, "no memory for the plugin");
    memset(p, 0, sizeof *p);
    p->host = host;
    if (pthread_mutex_init(&p->lock, NULL)) {
        host->free(host->host, p, sizeof *p, 64);
        return tn_fail(host, TN_E_NOMEM, "no memory for a lock");
    }
    *plugin = p;
    return TN_OK;
}

static void shutdown(void *plugin)
{
    ocl_plugin *p = plugin;
    for (uint32_t i = 0; i < p->n_devices; i++)
        while (p->devices[i].n_open) ocl_close(&p->devices[i]);
    pthread_mutex_destroy(&p->lock);
    p->host->free(p->host->host, p, sizeof *p, 64);
}

// Indices inside kernels are 32 bits wide.
static bool too_large(const tn_value_info *v)
{
    return v->size > INT32_MAX;
}

// Why this device cannot take the call, whatever the operator is; NULL if it
// may.
static const char *device_cannot(const tn_device *device, const tn_call *call)
{
    for (uint32_t i = 0; i < call->n_in + call->n_out; i++) {
        const tn_value_info *v = i < call->n_in ? call->in[i] : call->out[i - call->n_in];
        if (v->dtype == TN_F64 && !device->fp64 && !(v->flags & TN_VALUE_SHAPE_ONLY))
            return "the device has no float64";
        if (too_large(v)) return "more than 2147483647 elements in one value";
    }
    if (!device->fp64 &&
        (strcmp(call->op->name, "_standard_gamma") == 0 || strcmp(call->op->name, "_poisson") == 0))
        return "the device has no float64, which these draws are made of";
    return NULL;
}

static tn_status supports(tn_device *device, const tn_call *call, tn_verdict *out)
{
    const char *why = device_cannot(device, call);
    if (why) return tn_refuse(out, TN_NO_DEVICE, "%s", why);
    tn_rows_find(families, call, out);
    return TN_OK;
}

static tn_status prepare(tn_device *device, const tn_call *call, tn_kernel **out,
                         tn_kernel_info *info)
{
    ocl_plugin *p = device->plugin;
    tn_verdict v = {.struct_size = sizeof v};
    const tn_kernel_row *row = tn_rows_find(families, call, &v);
    if (!row) return tn_fail(p->host, TN_E_UNSUPPORTED, "opencl: %s", v.text);
    const tn_status s = tn_row_prepare(row, p->host, device, call, out, info);
    if (s == TN_OK) atomic_fetch_add(&p->counters.live_kernels, 1);
    return s;
}

static void kernel_destroy(tn_kernel *kernel)
{
    const tn_device *device = ((const tn_sdk_kernel *)kernel)->plugin;
    atomic_fetch_sub(&device->plugin->counters.live_kernels, 1);
    tn_row_destroy(kernel);
}

static uint32_t may_support(tn_device *device, const char *op, tn_dtype dtype)
{
    if (dtype == TN_F64 && !device->fp64) return 0;
    return tn_rows_may_support(families, op, dtype);
}

static const void *extension(void *plugin, const char *id)
{
    ocl_plugin *p = plugin;
    return strcmp(id, OCL_COUNTERS) == 0 ? &p->counters : NULL;
}

typedef struct ocl_options {
    const char *cache, *flags;
    int32_t gemm, ways;
} ocl_options;

static const tn_backend_api backend = {
    .struct_size = sizeof backend,
    .name = "opencl",
    .rank = TN_RANK_LAST - 10, // only where somebody names it: programs take seconds to build
    .enumerate = ocl_enumerate,
    .open = ocl_open,
    .close = ocl_close,
    .buf_alloc = ocl_alloc,
    .buf_free = ocl_free,
    .upload = ocl_upload,
    .download = ocl_download,
    .copy = ocl_copy,
    .queue_create = ocl_queue_create,
    .queue_destroy = ocl_queue_destroy,
    .queue_finish = ocl_queue_finish,
    .event_record = ocl_event_record,
    .event_wait_queue = ocl_event_wait_queue,
    .event_wait_host = ocl_event_wait_host,
    .event_destroy = ocl_event_destroy,
    .supports = supports,
    .prepare = prepare,
    .run = tn_row_run,
    .kernel_destroy = kernel_destroy,
    .may_support = may_support,
    .get_extension = extension,
    .queue_flush = ocl_queue_flush,
    .download_begin = ocl_download_begin,
};

static const tn_plugin plugin = {
    .struct_size = sizeof plugin,
    .name = "opencl",
    .version = TN_VERSION_TEXT,
    .vendor = "Tenon",
    .license = "Apache-2.0",
    .init = init,
    .shutdown = shutdown,
    .backends = (const tn_backend_api *const[]){&backend, NULL},
    .options = TN_PARAMS(
        TN_PARAM(ocl_options, cache, TN_P_STR, .def = "",
                 .doc = "folder of built programs; empty: "
                        "tenon/opencl in the user's cache "
                        "folder; off: none"),
        TN_PARAM(ocl_options, flags, TN_P_STR, .def = "",
                 .doc = "more options for the compiler: -cl-fast-relaxed-math"),
        TN_PARAM(ocl_options, gemm, TN_P_ENUM, .def = "auto", .choices = "auto|register|local",
                 .doc = "matrix products: register (vectors in "
                        "registers, for CPUs), local "
                        "(tiles in local memory, for GPUs), or "
                        "auto: by the device"),
        TN_PARAM(ocl_options, ways, TN_P_ENUM, .def = "auto", .choices = "auto|cpu|gpu",
                 .doc = "whether kernels go the ways that are fast on "
                        "CPUs or on GPUs; auto: by the device")),
};
TN_PLUGIN_ENTRY(plugin)
