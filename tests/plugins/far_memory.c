// tests/plugins/far_memory.c: the backend "far": two devices with memory of their own.
//
// A test double for everything that copies: its buffers are heap blocks that nobody else can
// reach, so a value that was not brought here by upload or copy is simply not there. What the core
// must not do is refused: host pointers as arguments, buffers of the other device, ranges outside
// a buffer. New buffers are full of NaNs. It knows few operators, in float32 only, so a network on
// it needs a second backend. It is also an example of a backend that fills tn_backend_api itself
// and takes its kernels from a table of rows.
#include "far.h"

// ------------------------------------------------------------------ plugin and devices

static void name_devices(far_plugin *p, tn_device *devices, const char *backend)
{
    for (int i = 0; i < FAR_DEVICES; i++) {
        devices[i].plugin = p;
        snprintf(devices[i].name, sizeof devices[i].name, "%s:%d", backend, i);
        devices[i].id = strchr(devices[i].name, ':') + 1;
    }
}

static tn_status far_init(const tn_host_api *host, void **plugin)
{
    far_plugin *p = calloc(1, sizeof *p);
    if (!p) return tn_fail(host, TN_E_NOMEM, "no memory for the plugin");
    p->host = host;
    p->limit = strtoull(host->option(host->host, "limit"), NULL, 10);
    p->fail = strtoll(host->option(host->host, "fail"), NULL, 10);
    name_devices(p, p->devices, "far");
    name_devices(p, p->lazy_devices, "lazy");
    *plugin = p;
    return TN_OK;
}

static void far_shutdown(void *plugin)
{
    free(plugin);
}

tn_status far_list(far_plugin *p, tn_device *devices, tn_device_sink sink, void *sink_ctx)
{
    for (int i = 0; i < FAR_DEVICES; i++) {
        const tn_device_info info = {.struct_size = sizeof info,
                                     .id = devices[i].id,
                                     .kind = "accelerator",
                                     .name = "heap blocks that only this backend reaches",
                                     .driver = "far",
                                     .mem_total = p->limit};
        const tn_status s = sink(sink_ctx, &info);
        if (s != TN_OK) return s;
    }
    return TN_OK;
}

tn_status far_find(far_plugin *p, tn_device *devices, const char *id, tn_device **out)
{
    for (int i = 0; i < FAR_DEVICES; i++)
        if (strcmp(devices[i].id, id) == 0) *out = &devices[i];
    return *out ? TN_OK : tn_fail(p->host, TN_E_NOT_FOUND, "no device %s", id);
}

static tn_status far_enumerate(void *plugin, tn_device_sink sink, void *sink_ctx)
{
    far_plugin *p = plugin;
    return far_list(p, p->devices, sink, sink_ctx);
}

static tn_status far_open(void *plugin, const char *device_id, tn_device **out)
{
    far_plugin *p = plugin;
    return far_find(p, p->devices, device_id, out);
}

void far_close(tn_device *device)
{
    (void)device; // part of the plugin's state
}

const void *far_extension(void *plugin, const char *id)
{
    far_plugin *p = plugin;
    return strcmp(id, TN_FAR_COUNTERS) == 0 ? &p->counters : NULL;
}

// ------------------------------------------------------------------ memory

tn_status far_alloc(tn_device *device, uint64_t bytes, uint64_t align, tn_buffer **out)
{
    far_plugin *p = device->plugin;
    const tn_host_api *host = p->host;
    const uint64_t live = (uint64_t)atomic_load(&p->counters.live_bytes);
    if (p->limit && (bytes > p->limit || live > p->limit - bytes))
        return tn_fail(host, TN_E_NOMEM, "%s: %llu bytes wanted, %llu of %llu are taken",
                       device->name, (unsigned long long)bytes, (unsigned long long)live,
                       (unsigned long long)p->limit);
    tn_buffer *b = calloc(1, sizeof *b);
    char *data = host->alloc(host->host, bytes, align ? align : 64);
    if (!b || !data) {
        free(b);
        host->free(host->host, data, bytes, align);
        return tn_fail(host, TN_E_NOMEM, "%s: no memory for %llu bytes", device->name,
                       (unsigned long long)bytes);
    }
    memset(data, 0xFF, bytes); // NaN in every float dtype: shows what nobody wrote
    *b = (tn_buffer){device, bytes, data};
    atomic_fetch_add(&p->counters.live_buffers, 1);
    atomic_fetch_add(&p->counters.live_bytes, (long long)bytes);
    *out = b;
    return TN_OK;
}

void far_free(tn_device *device, tn_buffer *buffer)
{
    far_plugin *p = device->plugin;
    atomic_fetch_sub(&p->counters.live_buffers, 1);
    atomic_fetch_sub(&p->counters.live_bytes, (long long)buffer->bytes);
    p->host->free(p->host->host, buffer->data, buffer->bytes, 64);
    free(buffer);
}

// A part of a buffer of this device, or NULL and a reason.
static char *far_part(tn_device *device, const tn_buffer *b, uint64_t offset, uint64_t bytes)
{
    const tn_host_api *host = device->plugin->host;
    if (!b)
        tn_fail(host, TN_E_INTERNAL, "%s: no buffer", device->name);
    else if (b->device != device)
        tn_fail(host, TN_E_INTERNAL, "%s: a buffer of %s", device->name, b->device->name);
    else if (offset > b->bytes || bytes > b->bytes - offset)
        tn_fail(host, TN_E_INTERNAL, "%s: bytes %llu to %llu of a buffer of %llu", device->name,
                (unsigned long long)offset, (unsigned long long)(offset + bytes),
                (unsigned long long)b->bytes);
    else
        return b->data + offset;
    return NULL;
}

tn_status far_upload(tn_device *device, tn_queue *queue, tn_buffer *dst, uint64_t offset,
                     const void *src, uint64_t bytes)
{
    char *to = far_part(device, dst, offset, bytes);
    (void)queue;
    if (!to) return TN_E_INTERNAL;
    memcpy(to, src, bytes);
    atomic_fetch_add(&device->plugin->counters.uploads, 1);
    return TN_OK;
}

tn_status far_download(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                       void *dst, uint64_t bytes)
{
    const char *from = far_part(device, src, offset, bytes);
    (void)queue;
    if (!from) return TN_E_INTERNAL;
    memcpy(dst, from, bytes);
    atomic_fetch_add(&device->plugin->counters.downloads, 1);
    return TN_OK;
}

tn_status far_copy(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t src_offset,
                   tn_buffer *dst, uint64_t dst_offset, uint64_t bytes)
{
    const char *from = far_part(device, src, src_offset, bytes);
    char *to = from ? far_part(device, dst, dst_offset, bytes) : NULL;
    (void)queue;
    if (!to) return TN_E_INTERNAL;
    memmove(to, from, bytes);
    atomic_fetch_add(&device->plugin->counters.copies, 1);
    return TN_OK;
}

// ------------------------------------------------------------------ kernels

typedef struct far_state {
    int64_t n, m, k; // of a product (n, k) · (k, m); n elements otherwise
    double scalar, lr, wd, rescale, clip;
    bool ta, tb, bias;
} far_state;

// Rows of this backend keep their device here: tn_row_prepare stores it as the kernel's plugin.
static float *at(const tn_sdk_kernel *k, const tn_arg *a)
{
    tn_device *device = k->plugin;
    if (a->host) {
        tn_fail(k->host, TN_E_INTERNAL, "%s: %s got a host pointer", device->name,
                k->call->op->name);
        return NULL;
    }
    return (float *)(void *)far_part(device, a->buffer, a->offset, a->bytes);
}

// Counts a run, and fails if it is the one that a test wants to fail.
static tn_status ran(const tn_sdk_kernel *k)
{
    const tn_device *device = k->plugin;
    const long long n = atomic_fetch_add(&device->plugin->counters.runs, 1) + 1;
    if (n != device->plugin->fail) return TN_OK;
    return tn_fail(k->host, TN_E_DEVICE_LOST, "%s: run %lld was to fail", device->name, n);
}

static tn_status pointwise_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    far_state *s = k->state;
    (void)info;
    s->n = k->call->out[0]->size;
    s->scalar = tn_call_f64(k->call, "scalar", 0);
    s->lr = tn_call_f64(k->call, "lr", 0);
    s->wd = tn_call_f64(k->call, "wd", 0);
    s->rescale = tn_call_f64(k->call, "rescale_grad", 1);
    s->clip = tn_call_f64(k->call, "clip_gradient", -1);
    return TN_OK;
}

static float sgd(const far_state *s, float weight, float grad)
{
    double g = s->rescale * (double)grad;
    if (s->clip > 0) g = g > s->clip ? s->clip : g < -s->clip ? -s->clip : g;
    return (float)((1 - s->lr * s->wd) * (double)weight - s->lr * g);
}

// Functions of up to two inputs, element by element: y = FORMULA over a and b.
#define POINTWISE(name_, n_in_, formula_)                                   \
    static tn_status name_(const tn_sdk_kernel *k, const tn_run_args *args) \
    {                                                                       \
        const far_state *s = k->state;                                      \
        const float *x0 = at(k, &args->in[0]);                              \
        const float *x1 = (n_in_) > 1 ? at(k, &args->in[1]) : x0;           \
        float *y = at(k, &args->out[0]);                                    \
        if (!x0 || !x1 || !y) return TN_E_INTERNAL;                         \
        for (int64_t i = 0; i < s->n; i++) {                                \
            const float a = x0[i], b = x1[i];                               \
            (void)b;                                                        \
            y[i] = (formula_);                                              \
        }                                                                   \
        return ran(k);                                                      \
    }
POINTWISE(far_mul, 2, a *b)
POINTWISE(far_add, 2, a + b)
POINTWISE(far_plus_scalar, 1, (float)((double)a + s->scalar))
POINTWISE(far_relu, 1, a > 0 ? a : 0)
POINTWISE(far_backward_relu, 2, b > 0 ? a : 0) // inputs: dy, y
POINTWISE(far_sgd_update, 2, sgd(s, a, b))

static const char *not_matrices(const tn_call *c)
{
    return c->in[0]->ndim == 2 && c->in[1]->ndim == 2 ? NULL : "only products of two matrices";
}

static const char *unflattened(const tn_call *c)
{
    return c->in[0]->ndim == 2 || tn_call_bool(c, "flatten", true)
               ? NULL
               : "flatten=False on more than two axes";
}

static tn_status dot_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    far_state *s = k->state;
    (void)info;
    s->ta = tn_call_bool(k->call, "transpose_a", false);
    s->tb = tn_call_bool(k->call, "transpose_b", false);
    s->n = k->call->out[0]->dims[0];
    s->m = k->call->out[0]->dims[1];
    s->k = k->call->in[0]->dims[s->ta ? 0 : 1];
    return TN_OK;
}

// data (n, k), weight (m, k), output (n, m): a product with the second factor transposed.
static tn_status dense_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    far_state *s = k->state;
    (void)info;
    s->tb = true;
    s->n = k->call->out[0]->dims[0];
    s->m = k->call->out[0]->dims[1];
    s->k = k->call->in[1]->dims[1];
    s->bias = k->call->n_in == 3;
    return TN_OK;
}

static tn_status far_product(const tn_sdk_kernel *k, const tn_run_args *args)
{
    const far_state *s = k->state;
    const float *a = at(k, &args->in[0]), *b = at(k, &args->in[1]);
    const float *bias = s->bias ? at(k, &args->in[2]) : NULL;
    float *y = at(k, &args->out[0]);
    if (!a || !b || !y || (s->bias && !bias)) return TN_E_INTERNAL;
    for (int64_t i = 0; i < s->n; i++) {
        for (int64_t j = 0; j < s->m; j++) {
            double sum = bias ? (double)bias[j] : 0;
            for (int64_t c = 0; c < s->k; c++)
                sum += (double)a[s->ta ? c * s->n + i : i * s->k + c] *
                       (double)b[s->tb ? j * s->k + c : c * s->m + j];
            y[i * s->m + j] = (float)sum;
        }
    }
    return ran(k);
}

#define ROW(op_, cannot_, setup_, run_)                                                         \
    {                                                                                           \
        .op = (op_), .dtypes = TN_BIT(TN_F32), .flags = TN_K_REENTRANT | TN_K_DETERMINISTIC,    \
        .impl = "far", .state_size = sizeof(far_state), .cannot = (cannot_), .setup = (setup_), \
        .run = (run_)                                                                           \
    }
static const tn_kernel_row rows[] = {
    ROW("_mul", NULL, pointwise_setup, far_mul),
    ROW("elemwise_add", NULL, pointwise_setup, far_add),
    ROW("_plus_scalar", NULL, pointwise_setup, far_plus_scalar),
    ROW("relu", NULL, pointwise_setup, far_relu),
    ROW("_backward_relu", NULL, pointwise_setup, far_backward_relu),
    ROW("sgd_update", NULL, pointwise_setup, far_sgd_update),
    ROW("dot", not_matrices, dot_setup, far_product),
    ROW("FullyConnected", unflattened, dense_setup, far_product),
    {0},
};
static const tn_kernel_row *const families[] = {rows, NULL};

tn_status far_supports(tn_device *device, const tn_call *call, tn_verdict *out)
{
    (void)device;
    tn_rows_find(families, call, out);
    return TN_OK;
}

tn_status far_prepare(tn_device *device, const tn_call *call, tn_kernel **out, tn_kernel_info *info)
{
    const tn_status s = tn_rows_prepare(families, device->plugin->host, device, call, out, info);
    if (s == TN_OK) atomic_fetch_add(&device->plugin->counters.live_kernels, 1);
    return s;
}

void far_destroy(tn_kernel *kernel)
{
    const tn_device *device = ((const tn_sdk_kernel *)kernel)->plugin;
    atomic_fetch_sub(&device->plugin->counters.live_kernels, 1);
    tn_row_destroy(kernel);
}

uint32_t far_may_support(tn_device *device, const char *op, tn_dtype dtype)
{
    (void)device;
    return tn_rows_may_support(families, op, dtype);
}

// ------------------------------------------------------------------ tables

typedef struct far_options {
    int64_t limit, fail;
} far_options;

static const tn_backend_api backend = {
    .struct_size = sizeof backend,
    .name = "far",
    .rank = -200, // only where a test names it
    .enumerate = far_enumerate,
    .open = far_open,
    .close = far_close,
    .buf_alloc = far_alloc,
    .buf_free = far_free,
    .upload = far_upload,
    .download = far_download,
    .copy = far_copy,
    .supports = far_supports,
    .prepare = far_prepare,
    .run = tn_row_run,
    .kernel_destroy = far_destroy,
    .may_support = far_may_support,
    .get_extension = far_extension,
};

static const tn_plugin plugin = {
    .struct_size = sizeof plugin,
    .name = "far",
    .version = "1",
    .init = far_init,
    .shutdown = far_shutdown,
    .backends = TN_BACKENDS(&backend, &far_lazy_backend, &far_plain_backend),
    .options = TN_PARAMS(TN_PARAM(far_options, limit, TN_P_I64, .def = "0", .range = "[0,)",
                                  .doc = "bytes that all buffers together may take; 0: any"),
                         TN_PARAM(far_options, fail, TN_P_I64, .def = "0",
                                  .doc = "number of the kernel's run that fails; 0: none")),
};
TN_PLUGIN_ENTRY(plugin)
