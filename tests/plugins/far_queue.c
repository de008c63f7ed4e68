// tests/plugins/far_queue.c: the backend "lazy": far memory, and queues that do nothing until
// asked.
//
// What is put into a queue is kept and done at the last moment that the contract allows: when the
// queue is waited for, when an event of it is waited for, or when bytes are downloaded through it.
// So a core that reads too early reads the NaNs that new buffers are full of.
#include <pthread.h>
#include <sched.h>

#include "far.h"

typedef enum task_kind { TASK_RUN, TASK_UPLOAD, TASK_COPY, TASK_WAIT, TASK_DOWNLOAD } task_kind;

typedef struct task {
    task_kind kind;
    struct task *next;
    tn_kernel *kernel; // RUN, with copies of the arguments
    tn_run_args args;
    tn_arg *values;
    tn_buffer *src, *dst; // UPLOAD (from bytes), COPY
    uint64_t src_offset, dst_offset, n;
    const char *bytes; // of the caller, which must leave them as they are
    void *to;          // DOWNLOAD (from src)
    tn_queue *other;   // WAIT: until that queue has done so many
    uint64_t until;
} task;

struct tn_queue {
    tn_device *device;
    task *first, *last;
    uint64_t issued, done;
    atomic_int refs;   // its owner, events, and tasks that wait for it: these may outlive it
    atomic_int inside; // threads that are in a function of it: more than one is a mistake
};

// Queues meet in tasks that wait for others, and may be driven by several threads; they and
// transfers without one meet in buffers.
static pthread_mutex_t doing = PTHREAD_MUTEX_INITIALIZER;

struct tn_event {
    tn_queue *queue;
    uint64_t until;
};

// ------------------------------------------------------------------ the log

static void note(tn_device *device, char what)
{
    tn_far_counters *c = &device->plugin->counters;
    const int at = atomic_fetch_add(&c->n_log, 1);
    if (at >= 0 && at < (int)sizeof c->log) c->log[at] = what;
}

static char letter(const task *t, bool done)
{
    return (done ? "RUCWD" : "rucwd")[t->kind];
}

// ------------------------------------------------------------------ one thread at a time

// Stays there for a while, so that others have time to come.
static void enter(tn_queue *q)
{
    if (atomic_fetch_add(&q->inside, 1)) atomic_fetch_add(&q->device->plugin->counters.crowded, 1);
    for (int i = 0; i < 5; i++) sched_yield();
    pthread_mutex_lock(&doing);
}

static void leave(tn_queue *q)
{
    pthread_mutex_unlock(&doing);
    atomic_fetch_sub(&q->inside, 1);
}

// ------------------------------------------------------------------ doing

static tn_queue *queue_retain(tn_queue *q)
{
    atomic_fetch_add(&q->refs, 1);
    return q;
}

static void queue_release(tn_queue *q)
{
    if (q && atomic_fetch_sub(&q->refs, 1) == 1) free(q);
}

static void task_free(task *t)
{
    queue_release(t->other);
    free(t->values);
    free(t);
}

static tn_status queue_flush(tn_queue *q, uint64_t until);

static tn_status task_do(tn_queue *q, const task *t)
{
    switch (t->kind) {
    case TASK_RUN: return tn_row_run(t->kernel, &t->args);
    case TASK_UPLOAD: return far_upload(q->device, NULL, t->dst, t->dst_offset, t->bytes, t->n);
    case TASK_COPY:
        return far_copy(q->device, NULL, t->src, t->src_offset, t->dst, t->dst_offset, t->n);
    case TASK_WAIT: return queue_flush(t->other, t->until);
    case TASK_DOWNLOAD: return far_download(q->device, NULL, t->src, t->src_offset, t->to, t->n);
    }
    return TN_E_INTERNAL;
}

// Does the first tasks of a queue; gives the first failure, whose text is the host's by then.
static tn_status queue_flush(tn_queue *q, uint64_t until)
{
    tn_status first = TN_OK;
    while (q->done < until && q->first) {
        task *t = q->first;
        q->first = t->next;
        if (!q->first) q->last = NULL;
        q->done++;
        const tn_status s = first == TN_OK ? task_do(q, t) : TN_OK;
        if (first == TN_OK) first = s;
        note(q->device, letter(t, true));
        task_free(t);
    }
    return first;
}

// ------------------------------------------------------------------ queueing

static tn_status queue_add(tn_queue *q, const task *what)
{
    const tn_host_api *host = q->device->plugin->host;
    task *t = malloc(sizeof *t);
    if (!t) {
        free(what->values);
        return tn_fail(host, TN_E_NOMEM, "%s: no memory for a task", q->device->name);
    }
    *t = *what;
    t->next = NULL;
    enter(q);
    if (q->last)
        q->last->next = t;
    else
        q->first = t;
    q->last = t;
    q->issued++;
    note(q->device, letter(t, false));
    leave(q);
    atomic_fetch_add(&q->device->plugin->counters.deferred, 1);
    return TN_OK;
}

static tn_status lazy_queue_finish(tn_device *device, tn_queue *queue)
{
    (void)device;
    enter(queue);
    const tn_status s = queue_flush(queue, queue->issued);
    leave(queue);
    return s;
}

static tn_status lazy_upload(tn_device *device, tn_queue *queue, tn_buffer *dst, uint64_t offset,
                             const void *src, uint64_t bytes)
{
    if (queue)
        return queue_add(
            queue,
            &(task){
                .kind = TASK_UPLOAD, .dst = dst, .dst_offset = offset, .n = bytes, .bytes = src});
    pthread_mutex_lock(&doing);
    const tn_status s = far_upload(device, NULL, dst, offset, src, bytes);
    pthread_mutex_unlock(&doing);
    return s;
}

static tn_status lazy_download(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                               void *dst, uint64_t bytes)
{
    tn_status s = queue ? lazy_queue_finish(device, queue) : TN_OK;
    if (queue) note(device, 'D');
    pthread_mutex_lock(&doing);
    if (s == TN_OK) s = far_download(device, NULL, src, offset, dst, bytes);
    pthread_mutex_unlock(&doing);
    return s;
}

static tn_status lazy_copy(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t src_offset,
                           tn_buffer *dst, uint64_t dst_offset, uint64_t bytes)
{
    if (!queue) return far_copy(device, NULL, src, src_offset, dst, dst_offset, bytes);
    return queue_add(queue, &(task){.kind = TASK_COPY,
                                    .src = src,
                                    .dst = dst,
                                    .src_offset = src_offset,
                                    .dst_offset = dst_offset,
                                    .n = bytes});
}

static tn_status lazy_run(tn_kernel *kernel, const tn_run_args *args)
{
    const tn_sdk_kernel *k = (const tn_sdk_kernel *)kernel;
    if (!args->queue) return tn_row_run(kernel, args);
    tn_arg *values = calloc(args->n_in + args->n_out, sizeof *values);
    if (!values) return tn_fail(k->host, TN_E_NOMEM, "lazy: no memory for arguments");
    memcpy(values, args->in, args->n_in * sizeof *values);
    memcpy(values + args->n_in, args->out, args->n_out * sizeof *values);
    task t = {.kind = TASK_RUN, .kernel = kernel, .args = *args, .values = values};
    t.args.in = values;
    t.args.out = values + args->n_in;
    return queue_add(args->queue, &t);
}

// ------------------------------------------------------------------ queues and events

static tn_status lazy_queue_create(tn_device *device, tn_queue **out)
{
    tn_queue *q = calloc(1, sizeof *q);
    if (!q) return tn_fail(device->plugin->host, TN_E_NOMEM, "%s: no memory", device->name);
    q->device = device;
    atomic_init(&q->refs, 1);
    atomic_fetch_add(&device->plugin->counters.live_queues, 1);
    *out = q;
    return TN_OK;
}

static void lazy_queue_destroy(tn_device *device, tn_queue *queue)
{
    tn_far_counters *c = &device->plugin->counters;
    while (queue->first) {
        task *t = queue->first;
        queue->first = t->next;
        atomic_fetch_add(&c->dropped, 1);
        task_free(t);
    }
    atomic_fetch_sub(&c->live_queues, 1);
    queue_release(queue);
}

// Nothing is done that nobody waits for.
static tn_status lazy_queue_flush(tn_device *device, tn_queue *queue)
{
    (void)device;
    (void)queue;
    return TN_OK;
}

static tn_status lazy_event_record(tn_device *device, tn_queue *queue, tn_event **out)
{
    tn_event *e = calloc(1, sizeof *e);
    if (!e) return tn_fail(device->plugin->host, TN_E_NOMEM, "%s: no memory", device->name);
    enter(queue);
    *e = (tn_event){queue_retain(queue), queue->issued};
    leave(queue);
    atomic_fetch_add(&device->plugin->counters.live_events, 1);
    *out = e;
    return TN_OK;
}

static tn_status lazy_download_begin(tn_device *device, tn_queue *queue, tn_buffer *src,
                                     uint64_t offset, void *dst, uint64_t bytes, tn_event **arrived)
{
    const tn_status s = queue_add(
        queue,
        &(task){.kind = TASK_DOWNLOAD, .src = src, .src_offset = offset, .to = dst, .n = bytes});
    return s == TN_OK ? lazy_event_record(device, queue, arrived) : s;
}

static tn_status lazy_event_wait_queue(tn_device *device, tn_queue *queue, tn_event *event)
{
    (void)device;
    tn_queue *const other = queue_retain(event->queue);
    const tn_status s =
        queue_add(queue, &(task){.kind = TASK_WAIT, .other = other, .until = event->until});
    if (s != TN_OK) queue_release(other);
    return s;
}

static tn_status lazy_event_wait_host(tn_device *device, tn_event *event)
{
    (void)device;
    pthread_mutex_lock(&doing);
    const tn_status s = queue_flush(event->queue, event->until);
    pthread_mutex_unlock(&doing);
    return s;
}

static void lazy_event_destroy(tn_device *device, tn_event *event)
{
    atomic_fetch_sub(&device->plugin->counters.live_events, 1);
    queue_release(event->queue);
    free(event);
}

// ------------------------------------------------------------------ table

static tn_status lazy_enumerate(void *plugin, tn_device_sink sink, void *sink_ctx)
{
    far_plugin *p = plugin;
    return far_list(p, p->lazy_devices, sink, sink_ctx);
}

static tn_status lazy_open(void *plugin, const char *device_id, tn_device **out)
{
    far_plugin *p = plugin;
    return far_find(p, p->lazy_devices, device_id, out);
}

// Devices of the same name for both.
#define QUEUES                                                                               \
    .struct_size = sizeof(tn_backend_api), .enumerate = lazy_enumerate, .open = lazy_open,   \
    .close = far_close, .buf_alloc = far_alloc, .buf_free = far_free, .upload = lazy_upload, \
    .download = lazy_download, .copy = lazy_copy, .queue_create = lazy_queue_create,         \
    .queue_destroy = lazy_queue_destroy, .queue_finish = lazy_queue_finish,                  \
    .event_record = lazy_event_record, .event_wait_queue = lazy_event_wait_queue,            \
    .event_wait_host = lazy_event_wait_host, .event_destroy = lazy_event_destroy,            \
    .supports = far_supports, .prepare = far_prepare, .run = lazy_run,                       \
    .kernel_destroy = far_destroy, .may_support = far_may_support, .get_extension = far_extension

const tn_backend_api far_lazy_backend = {
    .name = "lazy",
    .rank = -201, // only where a test names it
    QUEUES,
    .queue_flush = lazy_queue_flush,
    .download_begin = lazy_download_begin,
};

// Without what is optional: runs end with queue_finish, and downloads have arrived when they
// return.
const tn_backend_api far_plain_backend = {.name = "plain", .rank = -202, QUEUES};
