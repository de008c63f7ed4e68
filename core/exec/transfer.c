// core/exec/transfer.c: rows that copy bytes between memories.
//
// Such a row has a tni_transfer in place of a kernel, or a tni_arrival, which begins with one; its
// source in in[0], its target in out[0]. So has a row that waits, which copies nothing.
#include "core/exec/exec.h"

static const tni_transfer *transfer_of(tn_kernel *k)
{
    return (const tni_transfer *)(const void *)k;
}

// Source and target may be the same bytes.
static tn_status host_copy(tn_kernel *k, const tn_run_args *a)
{
    (void)k;
    memmove(a->out->host, a->in->host, (size_t)a->out->bytes);
    return TN_OK;
}

static tn_status upload(tn_kernel *k, const tn_run_args *a)
{
    const tni_space *to = transfer_of(k)->to;
    return to->device->backend->api.upload(to->device->handle, to->queue, a->out->buffer,
                                           a->out->offset, a->in->host, a->out->bytes);
}

static tn_status download(tn_kernel *k, const tn_run_args *a)
{
    const tni_space *from = transfer_of(k)->from;
    return from->device->backend->api.download(from->device->handle, from->queue, a->in->buffer,
                                               a->in->offset, a->out->host, a->out->bytes);
}

static tn_status device_copy(tn_kernel *k, const tn_run_args *a)
{
    const tni_space *s = transfer_of(k)->from;
    if (a->in->buffer == a->out->buffer && a->in->offset == a->out->offset) return TN_OK;
    return s->device->backend->api.copy(s->device->handle, s->queue, a->in->buffer, a->in->offset,
                                        a->out->buffer, a->out->offset, a->out->bytes);
}

tn_status tni_transfer_wait(tn_kernel *k, const tn_run_args *a)
{
    const tni_space *s = transfer_of(k)->from;
    (void)a;
    return s->device->backend->api.queue_finish(s->device->handle, s->queue);
}

// ------------------------------------------------------------------ arrivals

static tni_arrival *arrival_of(tn_kernel *k)
{
    return (tni_arrival *)(void *)k;
}

void tni_arrival_drop(tni_arrival *arrival)
{
    const tni_device *device = arrival->way.from->device;
    if (arrival->event) device->backend->api.event_destroy(device->handle, arrival->event);
    arrival->event = NULL;
}

tn_status tni_arrival_begin(tn_kernel *k, const tn_run_args *a)
{
    const tni_space *s = transfer_of(k)->from;
    tni_arrival_drop(arrival_of(k));
    return s->device->backend->api.download_begin(s->device->handle, s->queue, a->in->buffer,
                                                  a->in->offset, a->out->host, a->out->bytes,
                                                  &arrival_of(k)->event);
}

tn_status tni_arrival_mark(tn_kernel *k, const tn_run_args *a)
{
    const tni_space *s = transfer_of(k)->from;
    (void)a;
    tni_arrival_drop(arrival_of(k));
    return s->device->backend->api.event_record(s->device->handle, s->queue, &arrival_of(k)->event);
}

tn_status tni_arrival_wait(tn_kernel *k, const tn_run_args *a)
{
    tni_arrival *const arrival = arrival_of(k);
    const tni_device *device = arrival->way.from->device;
    (void)a;
    if (!arrival->event) return TN_OK;
    const tn_status status = device->backend->api.event_wait_host(device->handle, arrival->event);
    tni_arrival_drop(arrival);
    return status;
}

// ------------------------------------------------------------------ which row

tn_status (*tni_transfer_run(const tni_transfer *t))(tn_kernel *, const tn_run_args *)
{
    const tni_device *from = t->from->device, *to = t->to->device;
    if (!from) return to ? upload : host_copy;
    if (!to) return download;
    return from == to ? device_copy : NULL;
}
