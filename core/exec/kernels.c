// core/exec/kernels.c: kernels of nodes: preparing them, and giving them back.
#include "core/exec/exec.h"

#include <pthread.h>

// Held while a device that wants it prepares: other executors may be binding in other threads.
static pthread_mutex_t prepare_lock = PTHREAD_MUTEX_INITIALIZER;

const struct tni_plugin *tni_kernel_plugin(const tn_exec *e, uint32_t node)
{
    const tni_place *p = &e->placed.at[node];
    if (p->kernel) return p->kernel->plugin;
    return p->device ? p->device->backend->plugin : NULL;
}

// Asks whoever brings the kernel. info->struct_size is set.
static tn_status ask(const tni_place *p, tn_kernel **kernel, tn_kernel_info *info)
{
    const tni_backend *backend = p->device->backend;
    if (p->kind == TNI_REORDER)
        return backend->api.prepare_reorder(p->device->handle, p->call->in[0], p->call->out[0],
                                            kernel, info);
    if (!p->kernel) return backend->api.prepare(p->device->handle, p->call, kernel, info);
    const tn_kernel_decl *decl = &p->kernel->decl;
    const void *interface = NULL;
    if (decl->interface_id && backend->api.get_extension)
        interface = backend->api.get_extension(backend->self, decl->interface_id);
    if (decl->interface_id && !interface) return TN_E_INCOMPATIBLE;
    return decl->prepare(p->kernel->self, interface, p->call, kernel, info);
}

static bool is_power_of_two(uint32_t v)
{
    return (v & (v - 1)) == 0; // 0 too: it stands for the default
}

// What is wrong with the answer of prepare(), or NULL.
static const char *bad_info(const tn_call *call, const tn_kernel *kernel,
                            const tn_kernel_info *info)
{
    if (!kernel) return "it returned success and no kernel";
    if (info->n_inplace > TN_MAX_INPLACE) return "it gives more in-place pairs than there is room";
    for (uint32_t i = 0; i < info->n_inplace; i++)
        if (info->inplace[i].in >= call->n_in || info->inplace[i].out >= call->n_out)
            return "an in-place pair names an input or output that the call does not have";
    if (!is_power_of_two(info->scratch_align) || !is_power_of_two(info->stash_align))
        return "an alignment is no power of two";
    return NULL;
}

// Another attempt to bind will do without it, but for want of memory.
static tn_status failed(tni_bind *b, uint32_t node, tn_status status, const char *reason)
{
    tn_graph *g = b->e->placed.g;
    const tni_place *p = &b->e->placed.at[node];
    if (!reason || !*reason) reason = tn_status_text(status);
    if (status != TN_E_NOMEM && p->kind == TNI_KERNEL &&
        !tni_exclude(b->excluded, p->device, p->kernel, p->call, reason))
        return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
    tni_node_fail(g, status, node, "on %s: cannot prepare its kernel: %s", p->device->uri, reason);
    return tni_bind_take_error(b, g);
}

tn_status tni_kernel_prepare(tni_bind *b, uint32_t node, tn_kernel_info *info)
{
    const tni_place *p = &b->e->placed.at[node];
    const bool serial = p->device->info.flags & TN_DEV_SERIAL_PREPARE;
    tni_prepared *k = &b->e->kernels[node];
    *info = (tn_kernel_info){.struct_size = sizeof *info, .max_workers = p->call->max_workers};
    if (serial) pthread_mutex_lock(&prepare_lock);
    const tn_status status = ask(p, &k->kernel, info);
    if (serial) pthread_mutex_unlock(&prepare_lock);
    if (status) {
        k->kernel = NULL;
        return failed(b, node, status, tni_host_take_error(tni_kernel_plugin(b->e, node)));
    }
    const char *bad = bad_info(p->call, k->kernel, info);
    if (bad) return failed(b, node, TN_E_INTERNAL, bad);
    k->impl = info->impl;
    return TN_OK;
}

void tni_kernel_destroy(tn_exec *e, uint32_t node)
{
    const tni_place *p = &e->placed.at[node];
    tn_kernel *kernel = e->kernels[node].kernel;
    if (!kernel) return;
    if (p->kernel)
        p->kernel->decl.kernel_destroy(kernel);
    else
        p->device->backend->api.kernel_destroy(kernel);
    e->kernels[node].kernel = NULL;
}
