// backends/opencl/opencl_plan.c: plans: lists of launches, made at prepare,
// enqueued at run.
#include "opencl.h"

ocl_plan *ocl_begin(const tn_sdk_kernel *k)
{
    ocl_plan *p = k->state;
    p->k = k;
    p->device = k->plugin;
    p->status = TN_OK;
    return p;
}

static bool grow(ocl_plan *p)
{
    const tn_host_api *host = p->k->host;
    if (p->n < p->capacity) return true;
    const uint32_t capacity = p->capacity ? p->capacity * 2 : 2;
    ocl_launch *v = host->alloc(host->host, capacity * sizeof *v, 64);
    if (!v) {
        p->status = ocl_failed(p->device, CL_OUT_OF_HOST_MEMORY, p->k->call->name);
        return false;
    }
    if (p->launch) {
        memcpy(v, p->launch, p->n * sizeof *v);
        host->free(host->host, p->launch, p->capacity * sizeof *v, 64);
    }
    p->launch = v;
    p->capacity = capacity;
    return true;
}

ocl_launch *ocl_add(ocl_plan *p, const char *text, const char *name)
{
    if (p->status != TN_OK || !grow(p)) return NULL;
    ocl_launch *l = &p->launch[p->n];
    memset(l, 0, sizeof *l);
    p->status = ocl_kernel_new(p->device, text, name, &l->kernel);
    if (p->status != TN_OK) return NULL;
    p->n++;
    return l;
}

ocl_launch *ocl_add_text(ocl_plan *p, ocl_text *t, const char *name)
{
    ocl_launch *l = NULL;
    if (p->status == TN_OK && t->failed)
        p->status =
            tn_fail(p->k->host, TN_E_NOMEM, "%s: no memory for a program", p->k->call->name);
    else
        l = ocl_add(p, t->s, name);
    ocl_text_free(t);
    return l;
}

// ------------------------------------------------------------------ arguments

void ocl_bytes(ocl_plan *p, ocl_launch *l, const void *v, size_t bytes)
{
    if (!l || p->status != TN_OK) return;
    const cl_int error = clSetKernelArg(l->kernel, l->n_args++, bytes, v);
    if (error) p->status = ocl_failed(p->device, error, p->k->call->op->name);
}

static void slot(ocl_plan *p, ocl_launch *l, ocl_slot s, cl_uint n_args)
{
    if (!l || p->status != TN_OK) return;
    if (l->n_slots == OCL_SLOTS) {
        p->status = tn_fail(p->k->host, TN_E_INTERNAL, "%s: too many arguments of a kernel",
                            p->k->call->name);
        return;
    }
    s.at = l->n_args;
    l->slot[l->n_slots++] = s;
    l->n_args += n_args;
}

void ocl_in(ocl_plan *p, ocl_launch *l, uint32_t i)
{
    slot(p, l, (ocl_slot){.kind = OCL_IN, .index = i}, 2);
}

void ocl_in_at(ocl_plan *p, ocl_launch *l, uint32_t i, uint64_t offset)
{
    slot(p, l, (ocl_slot){.kind = OCL_IN, .index = i, .offset = offset}, 2);
}

void ocl_out(ocl_plan *p, ocl_launch *l, uint32_t i)
{
    slot(p, l, (ocl_slot){.kind = OCL_OUT, .index = i}, 2);
}

void ocl_out_at(ocl_plan *p, ocl_launch *l, uint32_t i, uint64_t offset)
{
    slot(p, l, (ocl_slot){.kind = OCL_OUT, .index = i, .offset = offset}, 2);
}

void ocl_scratch(ocl_plan *p, ocl_launch *l, uint64_t offset)
{
    slot(p, l, (ocl_slot){.kind = OCL_SCRATCH, .offset = offset}, 2);
}

void ocl_rng(ocl_plan *p, ocl_launch *l)
{
    slot(p, l, (ocl_slot){.kind = OCL_RNG}, 2);
}

void ocl_train(ocl_plan *p, ocl_launch *l)
{
    slot(p, l, (ocl_slot){.kind = OCL_TRAIN}, 1);
}

void ocl_fault(ocl_plan *p, ocl_launch *l,
               tn_status (*complain)(const ocl_plan *p, const int64_t what[2]))
{
    p->complain = complain;
    slot(p, l, (ocl_slot){.kind = OCL_FAULT}, 2);
}

void ocl_int(ocl_plan *p, ocl_launch *l, int64_t v)
{
    const cl_int number = (cl_int)v;
    ocl_bytes(p, l, &number, sizeof number);
}

void ocl_long(ocl_plan *p, ocl_launch *l, int64_t v)
{
    const cl_long number = v;
    ocl_bytes(p, l, &number, sizeof number);
}

void ocl_real(ocl_plan *p, ocl_launch *l, tn_dtype number, double v)
{
    const float narrow = (float)v;
    const cl_long whole = tn_saturate(v, INT64_MIN, INT64_MAX);
    if (number == TN_F64)
        ocl_bytes(p, l, &v, sizeof v);
    else if (number == TN_F32)
        ocl_bytes(p, l, &narrow, sizeof narrow);
    else
        ocl_bytes(p, l, &whole, sizeof whole);
}

// ------------------------------------------------------------------ extents

// Takes back the last launch: there is nothing to do for it.
static void drop(ocl_plan *p)
{
    clReleaseKernel(p->launch[--p->n].kernel);
}

void ocl_groups(ocl_plan *p, ocl_launch *l, const size_t groups[3], const size_t local[3])
{
    if (!l || p->status != TN_OK) return;
    if (groups[0] * groups[1] * groups[2] == 0) {
        drop(p);
        return;
    }
    l->dims = groups[2] > 1 || local[2] > 1 ? 3 : groups[1] > 1 || local[1] > 1 ? 2 : 1;
    for (int i = 0; i < 3; i++) {
        l->local[i] = local[i];
        l->global[i] = groups[i] * local[i];
    }
}

// The largest divisor of n that is not above most.
static size_t divisor(size_t n, size_t most)
{
    size_t d = n < most ? n : most;
    while (d > 1 && n % d) d--;
    return d ? d : 1;
}

// Rows of work items, as many of them as divide the extents; kernels return where x is beyond.
void ocl_over(ocl_plan *p, ocl_launch *l, int64_t x, int64_t y, int64_t z)
{
    if (!l || p->status != TN_OK) return;
    const size_t limit = p->device->cpu ? 1024 : 256; // a CPU starts few groups faster than many
    const size_t most = p->device->group < limit ? p->device->group : limit;
    const size_t row = most < 256 ? most : 256;
    size_t local[3] = {16, 1, 1};
    while (local[0] < row && local[0] < (size_t)x) local[0] *= 2;
    if (local[0] > row) local[0] = row;
    local[1] = divisor((size_t)y, most / local[0]);
    local[2] = divisor((size_t)z, most / local[0] / local[1]);
    const size_t groups[3] = {((size_t)x + local[0] - 1) / local[0], (size_t)y / local[1],
                              (size_t)z / local[2]};
    ocl_groups(p, l, groups, local);
}

void ocl_singly(ocl_plan *p, ocl_launch *l, int64_t x, int64_t y, int64_t z)
{
    ocl_groups(p, l, (const size_t[3]){(size_t)x, (size_t)y, (size_t)z},
               (const size_t[3]){1, 1, 1});
}

void ocl_teardown(tn_sdk_kernel *k)
{
    ocl_plan *p = k->state;
    for (uint32_t i = 0; i < p->n; i++) clReleaseKernel(p->launch[i].kernel);
    if (p->launch) k->host->free(k->host->host, p->launch, p->capacity * sizeof *p->launch, 64);
    p->launch = NULL;
    p->n = p->capacity = 0;
}

tn_status ocl_end(ocl_plan *p)
{
    if (p->status == TN_OK) return TN_OK;
    const tn_status s = p->status;
    tn_sdk_kernel k = *p->k; // the state is this plan
    ocl_teardown(&k);
    return s;
}

// ------------------------------------------------------------------ running

static cl_int set_fault(cl_kernel kernel, const ocl_slot *s, const ocl_plan *p, tn_queue *queue)
{
    const cl_ulong cookie = (cl_ulong)(uintptr_t)p;
    const cl_int error = clSetKernelArg(kernel, s->at, sizeof queue->fault, &queue->fault);
    atomic_store(&queue->may_fault, true);
    return error ? error : clSetKernelArg(kernel, s->at + 1, sizeof cookie, &cookie);
}

static cl_int set_slot(cl_kernel kernel, const ocl_slot *s, const tn_run_args *a)
{
    if (s->kind == OCL_RNG) {
        const cl_ulong key = a->rng_key, counter = a->rng_counter;
        const cl_int error = clSetKernelArg(kernel, s->at, sizeof key, &key);
        return error ? error : clSetKernelArg(kernel, s->at + 1, sizeof counter, &counter);
    }
    if (s->kind == OCL_TRAIN) {
        const cl_int train = (a->flags & TN_RUN_TRAIN) != 0;
        return clSetKernelArg(kernel, s->at, sizeof train, &train);
    }
    const tn_arg *arg = s->kind == OCL_IN        ? &a->in[s->index]
                        : s->kind == OCL_OUT     ? &a->out[s->index]
                        : s->kind == OCL_SCRATCH ? &a->scratch
                                                 : &a->stash;
    const cl_mem memory = arg->buffer ? arg->buffer->memory : NULL;
    const cl_ulong offset = arg->buffer ? arg->offset + s->offset : 0;
    const cl_int error = clSetKernelArg(kernel, s->at, sizeof memory, &memory);
    return error ? error : clSetKernelArg(kernel, s->at + 1, sizeof offset, &offset);
}

static tn_status enqueue(const ocl_plan *p, tn_queue *queue, const tn_run_args *a)
{
    cl_int error = CL_SUCCESS;
    for (uint32_t i = 0; i < p->n && !error; i++) {
        const ocl_launch *l = &p->launch[i];
        for (uint32_t j = 0; j < l->n_slots && !error; j++)
            error = l->slot[j].kind == OCL_FAULT ? set_fault(l->kernel, &l->slot[j], p, queue)
                                                 : set_slot(l->kernel, &l->slot[j], a);
        if (!error)
            error = clEnqueueNDRangeKernel(queue->queue, l->kernel, l->dims, NULL, l->global,
                                           l->local, 0, NULL, NULL);
    }
    return error ? ocl_failed(p->device, error, p->k->call->name) : TN_OK;
}

// Without a queue of the caller's, threads share the device's own: what one of them complains of is
// told to that one.
tn_status ocl_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ocl_plan *p = k->state;
    tn_device *const device = p->device;
    if (a->queue) return enqueue(p, a->queue, a);
    pthread_mutex_lock(&device->own_lock);
    tn_status s = enqueue(p, &device->own, a);
    if (s == TN_OK) s = ocl_queue_finish(device, &device->own);
    pthread_mutex_unlock(&device->own_lock);
    return s;
}
