// backends/opencl/opencl_memory.c: buffers, transfers, queues and events.
#include "opencl.h"

// ------------------------------------------------------------------ buffers

tn_status ocl_alloc(tn_device *device, uint64_t bytes, uint64_t align, tn_buffer **out)
{
    ocl_plugin *p = device->plugin;
    cl_int error = CL_OUT_OF_HOST_MEMORY;
    (void)align; // buffers are aligned to the widest type at least: 128 bytes
    if (bytes > device->max_alloc)
        return tn_fail(p->host, TN_E_NOMEM,
                       "opencl:%s (%s): %llu bytes wanted, the largest buffer is %llu",
                       device->number, device->name, (unsigned long long)bytes,
                       (unsigned long long)device->max_alloc);
    tn_buffer *b = p->host->alloc(p->host->host, sizeof *b, 64);
    if (!b) return ocl_failed(device, error, "a buffer");
    *b = (tn_buffer){.device = device, .bytes = bytes ? bytes : 1};
    b->memory = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes ? bytes : 1, NULL, &error);
    if (!b->memory) {
        p->host->free(p->host->host, b, sizeof *b, 64);
        return ocl_failed(device, error, "a buffer");
    }
    atomic_fetch_add(&p->counters.live_buffers, 1);
    atomic_fetch_add(&p->counters.live_bytes, (long long)b->bytes);
    *out = b;
    return TN_OK;
}

void ocl_free(tn_device *device, tn_buffer *buffer)
{
    ocl_plugin *p = device->plugin;
    clReleaseMemObject(buffer->memory);
    atomic_fetch_sub(&p->counters.live_buffers, 1);
    atomic_fetch_sub(&p->counters.live_bytes, (long long)buffer->bytes);
    p->host->free(p->host->host, buffer, sizeof *buffer, 64);
}

// ------------------------------------------------------------------ transfers

static cl_command_queue queue_of(const tn_device *device, const tn_queue *queue)
{
    return queue ? queue->queue : device->own.queue;
}

tn_status ocl_upload(tn_device *device, tn_queue *queue, tn_buffer *dst, uint64_t offset,
                     const void *src, uint64_t bytes)
{
    if (!bytes) return TN_OK;
    const cl_int error =
        clEnqueueWriteBuffer(queue_of(device, queue), dst->memory, queue ? CL_FALSE : CL_TRUE,
                             offset, bytes, src, 0, NULL, NULL);
    return error ? ocl_failed(device, error, "upload") : TN_OK;
}

tn_status ocl_download(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                       void *dst, uint64_t bytes)
{
    if (!bytes) return TN_OK;
    const cl_int error = clEnqueueReadBuffer(queue_of(device, queue), src->memory, CL_TRUE, offset,
                                             bytes, dst, 0, NULL, NULL);
    return error ? ocl_failed(device, error, "download") : TN_OK;
}

tn_status ocl_copy(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t src_offset,
                   tn_buffer *dst, uint64_t dst_offset, uint64_t bytes)
{
    if (!bytes || (src == dst && src_offset == dst_offset)) return TN_OK;
    cl_int error = clEnqueueCopyBuffer(queue_of(device, queue), src->memory, dst->memory,
                                       src_offset, dst_offset, bytes, 0, NULL, NULL);
    if (!error && !queue) error = clFinish(device->own.queue);
    return error ? ocl_failed(device, error, "copy") : TN_OK;
}

// ------------------------------------------------------------------ queues and
// events

tn_status ocl_queue_make(const tn_device *device, tn_queue *q)
{
    const ocl_complaint none = {0};
    cl_int error;
    q->queue = clCreateCommandQueue(device->context, device->id, 0, &error);
    if (!q->queue) return ocl_failed(device, error, "a queue");
    q->fault = clCreateBuffer(device->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                              sizeof none, (void *)&none, &error);
    atomic_init(&q->may_fault, false);
    if (q->fault) return TN_OK;
    ocl_queue_end(q);
    return ocl_failed(device, error, "a queue");
}

void ocl_queue_end(tn_queue *q)
{
    if (q->fault) clReleaseMemObject(q->fault);
    if (q->queue) clReleaseCommandQueue(q->queue);
    q->fault = NULL;
    q->queue = NULL;
}

tn_status ocl_queue_create(tn_device *device, tn_queue **out)
{
    const tn_host_api *host = device->plugin->host;
    tn_queue *q = host->alloc(host->host, sizeof *q, 64);
    if (!q) return ocl_failed(device, CL_OUT_OF_HOST_MEMORY, "a queue");
    *q = (tn_queue){0};
    const tn_status s = ocl_queue_make(device, q);
    if (s == TN_OK)
        *out = q;
    else
        host->free(host->host, q, sizeof *q, 64);
    return s;
}

void ocl_queue_destroy(tn_device *device, tn_queue *queue)
{
    const tn_host_api *host = device->plugin->host;
    clFinish(queue->queue);
    ocl_queue_end(queue);
    host->free(host->host, queue, sizeof *queue, 64);
}

// The complaint of a kernel that ran, if there is one, in the words of its plan.
static tn_status look_for_fault(const tn_device *device, tn_queue *queue)
{
    ocl_complaint found;
    cl_int error = clEnqueueReadBuffer(queue->queue, queue->fault, CL_TRUE, 0, sizeof found, &found,
                                       0, NULL, NULL);
    if (!error && found.plan) {
        const ocl_complaint none = {0};
        error = clEnqueueWriteBuffer(queue->queue, queue->fault, CL_TRUE, 0, sizeof none, &none, 0,
                                     NULL, NULL);
    }
    if (error) return ocl_failed(device, error, "waiting for the queue");
    if (!found.plan) return TN_OK;
    const ocl_plan *p = (const ocl_plan *)(uintptr_t)found.plan;
    return p->complain(p, (const int64_t[]){found.what[0], found.what[1]});
}

tn_status ocl_queue_finish(tn_device *device, tn_queue *queue)
{
    const cl_int error = clFinish(queue->queue);
    queue->ahead = 0;
    if (error) return ocl_failed(device, error, "waiting for the queue");
    return atomic_exchange(&queue->may_fault, false) ? look_for_fault(device, queue) : TN_OK;
}

// A driver keeps every command that it has not done yet, so the host must not run away from it.
enum { MOST_AHEAD = 32 };

// Kernels that may find their data wrong are waited for, so that the error is that of their run and
// nothing is made of what they left.
tn_status ocl_queue_flush(tn_device *device, tn_queue *queue)
{
    if (atomic_load(&queue->may_fault) || ++queue->ahead >= MOST_AHEAD)
        return ocl_queue_finish(device, queue);
    const cl_int error = clFlush(queue->queue);
    return error ? ocl_failed(device, error, "the end of a run") : TN_OK;
}

// An event for use: one that was used before, or a new one.
static tn_event *new_event(tn_device *device)
{
    const tn_host_api *host = device->plugin->host;
    pthread_mutex_lock(&device->own_lock);
    tn_event *e = device->spare;
    if (e) device->spare = e->next;
    pthread_mutex_unlock(&device->own_lock);
    if (!e) e = host->alloc(host->host, sizeof *e, 64);
    if (e) *e = (tn_event){0};
    return e;
}

static void keep(tn_device *device, tn_event *e)
{
    pthread_mutex_lock(&device->own_lock);
    e->next = device->spare;
    device->spare = e;
    pthread_mutex_unlock(&device->own_lock);
}

void ocl_events_free(tn_device *device)
{
    const tn_host_api *host = device->plugin->host;
    while (device->spare) {
        tn_event *e = device->spare;
        device->spare = e->next;
        host->free(host->host, e, sizeof *e, 64);
    }
}

// What was enqueued as e, if there is no error: others wait for it.
static tn_status issued(tn_device *device, tn_queue *queue, tn_event *e, cl_int error,
                        tn_event **out)
{
    if (!error) {
        error = clFlush(queue->queue);
        if (error) clReleaseEvent(e->event);
    }
    if (error) {
        keep(device, e);
        return ocl_failed(device, error, "an event");
    }
    *out = e;
    return TN_OK;
}

tn_status ocl_event_record(tn_device *device, tn_queue *queue, tn_event **out)
{
    tn_event *e = new_event(device);
    if (!e) return ocl_failed(device, CL_OUT_OF_HOST_MEMORY, "an event");
    const cl_int error = clEnqueueMarkerWithWaitList(queue->queue, 0, NULL, &e->event);
    return issued(device, queue, e, error, out);
}

tn_status ocl_download_begin(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                             void *dst, uint64_t bytes, tn_event **arrived)
{
    tn_event *e = new_event(device);
    if (!e) return ocl_failed(device, CL_OUT_OF_HOST_MEMORY, "a download");
    const cl_int error = bytes ? clEnqueueReadBuffer(queue->queue, src->memory, CL_FALSE, offset,
                                                     bytes, dst, 0, NULL, &e->event)
                               : clEnqueueMarkerWithWaitList(queue->queue, 0, NULL, &e->event);
    return issued(device, queue, e, error, arrived);
}

tn_status ocl_event_wait_queue(tn_device *device, tn_queue *queue, tn_event *event)
{
    cl_context mine = NULL, its = NULL;
    clGetEventInfo(event->event, CL_EVENT_CONTEXT, sizeof its, &its, NULL);
    clGetCommandQueueInfo(queue->queue, CL_QUEUE_CONTEXT, sizeof mine, &mine, NULL);
    if (mine != its) return ocl_event_wait_host(device, event); // of another device
    const cl_int error = clEnqueueBarrierWithWaitList(queue->queue, 1, &event->event, NULL);
    return error ? ocl_failed(device, error, "waiting for an event") : TN_OK;
}

tn_status ocl_event_wait_host(tn_device *device, tn_event *event)
{
    const cl_int error = clWaitForEvents(1, &event->event);
    return error ? ocl_failed(device, error, "waiting for an event") : TN_OK;
}

void ocl_event_destroy(tn_device *device, tn_event *event)
{
    clReleaseEvent(event->event);
    keep(device, event);
}
