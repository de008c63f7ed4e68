// backends/onednn/onednn_kernel.c: kernels made of primitives: how they are put together and run.
//
// Everything is made at setup. A run only looks whether an argument has moved since the run before,
// which it hardly ever has, and executes. (Giving a memory object its address may write zeros into
// the padding of a blocked layout, so it is not done more often than needed.)
#include "onednn.h"

static tn_status no_memory(const tn_sdk_kernel *k)
{
    return tn_fail(k->host, TN_E_NOMEM, "%s: no memory for a kernel", k->call->op->name);
}

static void free_step(const tn_sdk_kernel *k, od_step *s)
{
    for (int32_t i = 0; i < s->n; i++) dnnl_memory_destroy(s->args[i].memory);
    if (s->primitive) dnnl_primitive_destroy(s->primitive);
    const tn_host_api *h = k->host;
    if (s->args) h->free(h->host, s->args, (uint64_t)s->room * sizeof *s->args, 8);
    if (s->places) h->free(h->host, s->places, (uint64_t)s->room * sizeof *s->places, 8);
    *s = (od_step){0};
}

void od_stop(tn_sdk_kernel *k)
{
    od_state *s = k->state;
    for (uint32_t i = 0; i < s->n_steps; i++) free_step(k, &s->steps[i]);
    if (s->steps) k->host->free(k->host->host, s->steps, s->room * sizeof *s->steps, 8);
    s->steps = NULL;
    s->n_steps = 0;
    if (s->winograd) od_winograd_free(k, s->winograd);
    s->winograd = NULL;
    if (s->stream) dnnl_stream_destroy(s->stream);
    s->stream = NULL;
}

tn_status od_end(tn_sdk_kernel *k, tn_status status)
{
    if (status != TN_OK) od_stop(k);
    return status;
}

uint64_t od_scratch(tn_kernel_info *info, const dnnl_memory_desc_t *md)
{
    const uint64_t at = (info->scratch_bytes + 63) / 64 * 64;
    info->scratch_bytes = at + dnnl_memory_desc_get_size(md);
    return at;
}

enum { FIRST_STEPS = 2 }; // or one for each output

// The stream and room for the steps.
static tn_status begin(tn_sdk_kernel *k)
{
    od_state *s = k->state;
    dnnl_status_t status = dnnl_success;
    s->workers = od_threads(k->call);
    s->room = k->call->n_out > FIRST_STEPS ? k->call->n_out : FIRST_STEPS;
    s->steps = k->host->alloc(k->host->host, s->room * sizeof *s->steps, 8);
    if (!s->steps) return no_memory(k);
    status = dnnl_stream_create(&s->stream, od_engine(), dnnl_stream_default_flags);
    if (status == dnnl_success) return TN_OK;
    s->stream = NULL;
    return od_fail(k, status, "a stream");
}

// Twice as much room for steps; false: no memory.
static bool grow(tn_sdk_kernel *k)
{
    od_state *s = k->state;
    const tn_host_api *h = k->host;
    od_step *steps = h->alloc(h->host, 2 * s->room * sizeof *steps, 8);
    if (!steps) return false;
    memcpy(steps, s->steps, s->n_steps * sizeof *steps);
    h->free(h->host, s->steps, s->room * sizeof *steps, 8);
    s->steps = steps;
    s->room *= 2;
    return true;
}

tn_status od_add(tn_sdk_kernel *k, tn_kernel_info *info, const_dnnl_primitive_desc_t pd, int32_t n)
{
    return od_add_for(k, info, pd, n, od_workers(k));
}

tn_status od_add_for(tn_sdk_kernel *k, tn_kernel_info *info, const_dnnl_primitive_desc_t pd,
                     int32_t n, uint32_t workers)
{
    od_state *s = k->state;
    const tn_host_api *h = k->host;
    const tn_status begun = s->steps ? TN_OK : begin(k);
    if (begun != TN_OK) return begun;
    if (s->n_steps == s->room && !grow(k)) return no_memory(k);
    od_step *step = &s->steps[s->n_steps++];
    dnnl_status_t status;
    *step = (od_step){0};
    step->room = n + 1;
    step->args = h->alloc(h->host, (uint64_t)step->room * sizeof *step->args, 8);
    step->places = h->alloc(h->host, (uint64_t)step->room * sizeof *step->places, 8);
    if (!step->args || !step->places) return no_memory(k);
    const int before = od_enter(workers);
    status = dnnl_primitive_create(&step->primitive, pd);
    od_leave(before);
    if (status != dnnl_success) {
        step->primitive = NULL;
        return od_fail(k, status, "a primitive");
    }
    if (s->impl[0] == 0) {
        snprintf(s->impl, sizeof s->impl, "%s", od_name(pd));
        info->impl = s->impl;
    }
    const dnnl_memory_desc_t scratch = od_query(pd, dnnl_query_scratchpad_md, 0);
    if (dnnl_memory_desc_get_size(&scratch) == 0) return TN_OK;
    return od_bind(k, DNNL_ARG_SCRATCHPAD, &scratch, OD_SCRATCH, od_scratch(info, &scratch));
}

tn_status od_bind(tn_sdk_kernel *k, int arg, const dnnl_memory_desc_t *md, od_from from,
                  uint64_t index)
{
    return od_bind_at(k, arg, md, from, index, 0);
}

tn_status od_bind_at(tn_sdk_kernel *k, int arg, const dnnl_memory_desc_t *md, od_from from,
                     uint64_t index, uint64_t offset)
{
    od_state *s = k->state;
    od_step *step = &s->steps[s->n_steps - 1];
    dnnl_memory_t memory = NULL;
    if (step->n == step->room)
        return tn_fail(k->host, TN_E_INTERNAL, "a primitive with more arguments than said");
    const dnnl_status_t status = dnnl_memory_create(&memory, md, od_engine(), DNNL_MEMORY_NONE);
    if (status != dnnl_success) return od_fail(k, status, "a memory object");
    step->args[step->n] = (dnnl_exec_arg_t){arg, memory};
    step->places[step->n++] = (od_place){from, index, offset, NULL};
    return TN_OK;
}

static void *address(const od_place *p, const tn_run_args *a)
{
    switch (p->from) {
    case OD_IN: return (char *)a->in[p->index].host + p->offset;
    case OD_OUT: return (char *)a->out[p->index].host + p->offset;
    case OD_SCRATCH: return (char *)a->scratch.host + p->index;
    case OD_STASH: return (char *)a->stash.host + p->index;
    default: return p->at;
    }
}

dnnl_status_t od_execute(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t which)
{
    const od_state *s = k->state;
    const od_step *step = &s->steps[which];
    dnnl_status_t status = dnnl_success;
    const int before = od_enter(s->workers == 1 ? 1 : a->max_workers);
    for (int32_t i = 0; i < step->n && status == dnnl_success; i++) {
        void *at = address(&step->places[i], a);
        if (at == step->places[i].at) continue;
        status = dnnl_memory_set_data_handle(step->args[i].memory, at);
        step->places[i].at = at;
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(step->primitive, s->stream, step->n, step->args);
    od_leave(before);
    return status;
}

tn_status od_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const od_state *s = k->state;
    if (s->winograd) return od_winograd_run(k, a, s->winograd);
    for (uint32_t i = 0; i < s->n_steps; i++) {
        const dnnl_status_t status = od_execute(k, a, i);
        if (status != dnnl_success) return od_fail(k, status, k->call->op->name);
    }
    if (s->bias.rows) od_add_bias(k, a, &s->bias);
    return TN_OK;
}
