// core/exec/plain.c: a value as a row-major tensor, for those who look at it.
#include "core/exec/exec.h"

// What reordering one value once takes.
typedef struct reorder {
    tn_exec *e;
    const tni_place *at; // of the node that made the value
    tni_device *device;  // whose layout it has
    tn_shape shape;
    tn_value_info from, to;
    tn_kernel *kernel;
    tn_kernel_info info;
    tni_storage *scratch;
} reorder;

static tn_status fail(const reorder *r, tn_status status, const char *what)
{
    const char *reason = tni_host_take_error(r->device->backend->plugin);
    return tni_env_fail(r->e->env, status, "%s: %s a reorder: %s", r->device->uri, what,
                        *reason ? reason : tn_status_text(status));
}

static void describe(reorder *r, uint32_t value)
{
    const tni_placed *p = &r->e->placed;
    const tn_dtype dtype = p->types.dtype[value];
    r->shape = *tni_types_shape(&p->types, value);
    const int64_t size = tn_shape_size(&r->shape);
    r->from = (tn_value_info){.struct_size = sizeof r->from,
                              .dtype = dtype,
                              .ndim = r->shape.ndim,
                              .dims = r->shape.dim,
                              .size = size,
                              .bytes = p->layout[value].bytes,
                              .layout = p->layout[value]};
    r->to = r->from;
    r->to.bytes = (uint64_t)size * tn_dtype_size(dtype);
    r->to.layout = (tn_layout){.bytes = r->to.bytes};
}

static tn_arg whole(const tni_storage *s, uint64_t bytes)
{
    return (tn_arg){.buffer = s->buffer, .bytes = bytes, .host = s->host};
}

// Runs the prepared kernel from the value into `out`, synchronously.
static tn_status run(reorder *r, uint32_t value, const tn_tensor *out)
{
    const tn_arg in = tni_value_arg(r->e, value), to = tni_tensor_arg(out);
    tn_run_args a = {.in = &in, .out = &to, .n_in = 1, .n_out = 1, .max_workers = r->e->workers};
    if (r->info.scratch_bytes) {
        const uint64_t slack = r->info.scratch_align; // host memory is moved to its alignment
        r->scratch =
            tni_storage_new(r->e->env, tni_device_memory(r->device), r->info.scratch_bytes + slack);
        if (!r->scratch) return TN_E_NOMEM;
        a.scratch = whole(r->scratch, r->info.scratch_bytes);
        const uintptr_t base = (uintptr_t)a.scratch.host;
        if (base && slack) a.scratch.host = (char *)a.scratch.host + (slack - base % slack) % slack;
    }
    const tn_status status = r->device->backend->api.run(r->kernel, &a);
    return status ? fail(r, status, "cannot run") : TN_OK;
}

static tn_tensor *reordered(tn_exec *e, uint32_t node, uint32_t value)
{
    reorder r = {.e = e,
                 .at = &e->placed.at[node],
                 .device = TNI_LAYOUTS_OF(&e->placed.at[node]),
                 .info = {.struct_size = sizeof r.info, .max_workers = e->workers}};
    const tn_backend_api *api = &r.device->backend->api;
    describe(&r, value);
    tni_storage *s = tni_storage_new(e->env, r.at->memory, r.to.bytes);
    tn_tensor *t = s ? tni_tensor_over(e->env, s, 0, r.to.dtype, &r.shape) : NULL;
    tni_storage_release(s);
    if (!t) return NULL;
    tn_status status = api->prepare_reorder(r.device->handle, &r.from, &r.to, &r.kernel, &r.info);
    status = status ? fail(&r, status, "cannot prepare") : run(&r, value, t);
    if (r.kernel) api->kernel_destroy(r.kernel);
    tni_storage_release(r.scratch);
    if (!status) return t;
    tn_tensor_release(t);
    return NULL;
}

tn_tensor *tni_plain_value(tn_exec *e, uint32_t node, uint32_t out)
{
    const uint32_t value = e->placed.g->nodes[node].value0 + out;
    return e->placed.layout[value].domain ? reordered(e, node, value) : tni_value_tensor(e, value);
}
