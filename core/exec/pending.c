// core/exec/pending.c: what runs leave behind in the queues of devices, and who waits for it.
//
// A run ends when everything in host memory is as it should be; what concerns a device's own memory
// may still be in the executor's queue there. Whoever uses such memory next looks up in the list of
// its users which of them have work pending that meets his own (one of the two writes), and waits:
// the host for the queue, another executor by an event that its own queue waits for. Two users of
// one storage that meet are never run at once by different threads, so the lists are all that needs
// the lock; no plugin is called while it is held.
#include <pthread.h>

#include "core/exec/exec.h"

enum { AT_ONCE = 8 }; // queues that one walk over the lists finds

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of lists, `stamp` and `stamps`
static uint64_t stamps;                                  // runs so far that left work behind

// ------------------------------------------------------------------ one queue

tn_status tni_space_finish(tn_exec *e, tni_space *s)
{
    const tn_status status = s->device->backend->api.queue_finish(s->device->handle, s->queue);
    atomic_store(&s->pending, false);
    return status ? tni_space_failed(e, s, status) : TN_OK;
}

tn_status tni_space_failed(tn_exec *e, const tni_space *s, tn_status status)
{
    const char *reason = tni_host_take_error(s->device->backend->plugin);
    e->can_backward = false;
    tni_fail(&e->error, status, NULL, "%s: a run that had been queued failed: %s", s->device->uri,
             *reason ? reason : tn_status_text(status));
    return status;
}

// The queue `mine` goes on when `other` has done what it was given so far.
static tn_status wait_in_queue(tn_exec *e, const tni_space *mine, tn_exec *whose, tni_space *other)
{
    const tn_backend_api *api = &mine->device->backend->api;
    tn_device *const device = mine->device->handle;
    tn_event *event = NULL;
    tn_status status = api->event_record(device, other->queue, &event);
    if (status) {
        tni_space_failed(whose, other, status);
    } else {
        status = api->event_wait_queue(device, mine->queue, event);
        if (status) tni_space_failed(e, mine, status);
        api->event_destroy(device, event);
    }
    if (!status || e->error.status) return status;
    return tni_fail(&e->error, status, NULL, "%s", tni_error_text(&whose->error));
}

// ------------------------------------------------------------------ users of memory

static bool meet(tni_range a, tni_range b)
{
    return a.begin < b.end && b.begin < a.end;
}

// Under the lock.
static void add_use(tn_exec *e, tni_storage *s, tni_range range, bool writes)
{
    const uint32_t space = s->device ? tni_space_of(e, s->device) : 0;
    if (!space) return;
    for (tni_use *u = s->uses; u; u = u->next) {
        if (u->exec != e || u->range.begin != range.begin || u->range.end != range.end) continue;
        u->writes = u->writes || writes;
        return;
    }
    tni_use *mine = &e->uses[e->n_uses++];
    *mine = (tni_use){.exec = e,
                      .space = &e->spaces[space],
                      .writes = writes,
                      .storage = tni_storage_retain(s),
                      .range = range,
                      .next = s->uses,
                      .link = &s->uses};
    if (mine->next) mine->next->link = &mine->next;
    s->uses = mine;
}

static void add_tensor(tn_exec *e, const tn_tensor *t, bool writes)
{
    add_use(e, t->storage, (tni_range){t->offset, t->offset + tn_tensor_bytes(t)}, writes);
}

tn_status tni_bind_uses(tni_bind *b)
{
    tn_exec *e = b->e;
    e->uses = tni_alloc(&e->arena, (e->n_spaces + e->n_tensors + 1) * sizeof *e->uses);
    if (!e->uses) return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
    pthread_mutex_lock(&lock);
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        tni_storage *s = e->spaces[i].storage;
        add_use(e, s, (tni_range){0, s->bytes}, true);
    }
    for (uint32_t t = 1; t <= e->n_tensors; t++) add_tensor(e, e->tensors[t], false);
    for (size_t i = 0; i < e->n_sinks; i++) add_tensor(e, e->tensors[e->sinks[i].tensor], true);
    for (size_t i = 0; i < e->auxs.n; i++) add_tensor(e, e->aux[i], true);
    pthread_mutex_unlock(&lock);
    return TN_OK;
}

void tni_uses_changed(const tn_exec *e)
{
    for (size_t i = 0; i < e->n_uses; i++)
        if (e->uses[i].writes) atomic_fetch_add(&e->uses[i].storage->changes, 1);
}

void tni_uses_end(tn_exec *e)
{
    for (uint32_t i = 1; i < e->n_spaces; i++)
        if (atomic_load(&e->spaces[i].pending)) tni_space_finish(e, &e->spaces[i]);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < e->n_uses; i++) {
        const tni_use *u = &e->uses[i];
        *u->link = u->next;
        if (u->next) u->next->link = u->link;
    }
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < e->n_uses; i++) tni_storage_release(e->uses[i].storage);
    e->n_uses = 0;
}

// ------------------------------------------------------------------ the host waits

// Does u meet an access of the host, or of another executor, and is not done?
static bool is_met(const tni_use *u, tni_range range, bool writes)
{
    return (writes || u->writes) && atomic_load(&u->space->pending) && meet(u->range, range);
}

tn_status tni_storage_settle(tn_env *env, const tni_storage *s, tni_range range, bool writes)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        const tni_use *u = s->uses;
        while (u && !is_met(u, range, writes)) u = u->next;
        tn_exec *const e = u ? u->exec : NULL;
        tni_space *const space = u ? u->space : NULL;
        pthread_mutex_unlock(&lock);
        if (!e) return TN_OK;
        const tn_status status = tni_space_finish(e, space);
        if (status) return tni_env_fail(env, status, "%s", tni_error_text(&e->error));
    }
}

tn_status tn_exec_wait(tn_exec *e)
{
    if (!e) return TN_E_INVALID;
    for (uint32_t i = 1; i < e->n_spaces; i++)
        if (atomic_load(&e->spaces[i].pending)) tni_space_finish(e, &e->spaces[i]);
    return e->error.status;
}

// ------------------------------------------------------------------ queues wait

// Queues that a run has to wait for.
typedef struct found {
    size_t n;
    bool more; // than fit
    struct {
        tn_exec *exec;
        tni_space *space, *mine;
    } v[AT_ONCE];
} found;

static void note(found *f, const tni_use *theirs, tni_space *mine)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].space == theirs->space) return;
    f->more = f->n == AT_ONCE;
    if (f->more) return;
    f->v[f->n].exec = theirs->exec;
    f->v[f->n].space = theirs->space;
    f->v[f->n++].mine = mine;
}

// Work of others that meets what e is going to do and that its queues have not waited for.
static uint64_t look(const tn_exec *e, found *f)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < e->n_uses && !f->more; i++) {
        const tni_use *mine = &e->uses[i];
        for (const tni_use *u = mine->storage->uses; u; u = u->next)
            if (u->exec != e && is_met(u, mine->range, mine->writes) &&
                u->space->stamp > mine->space->seen)
                note(f, u, mine->space);
    }
    const uint64_t now = stamps;
    pthread_mutex_unlock(&lock);
    return now;
}

tn_status tni_run_begin(tn_exec *e)
{
    tn_status status = TN_OK;
    uint64_t now = 0;
    if (!e->n_uses) return TN_OK;
    tni_uses_changed(e);
    for (bool more = true; more && !status;) {
        found f = {0};
        now = look(e, &f);
        more = f.more;
        for (size_t i = 0; i < f.n && !status; i++)
            status = more ? tni_space_finish(f.v[i].exec, f.v[i].space)
                          : wait_in_queue(e, f.v[i].mine, f.v[i].exec, f.v[i].space);
    }
    for (uint32_t i = 1; i < e->n_spaces && !status; i++) {
        e->spaces[i].seen = now;
        atomic_store(&e->spaces[i].pending, e->spaces[i].queue != NULL);
    }
    return status;
}

// ------------------------------------------------------------------ the end of a run

static tn_status end_in(tn_exec *e, tni_space *s)
{
    const tn_backend_api *api = &s->device->backend->api;
    if (!api->queue_flush) return tni_space_finish(e, s);
    const tn_status status = api->queue_flush(s->device->handle, s->queue);
    if (status) tni_space_failed(e, s, status);
    return status;
}

tn_status tni_run_end(tn_exec *e)
{
    tn_status first = TN_OK;
    if (!e->n_uses) return TN_OK;
    pthread_mutex_lock(&lock);
    stamps++;
    for (uint32_t i = 1; i < e->n_spaces; i++) e->spaces[i].stamp = stamps;
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        tni_space *s = &e->spaces[i];
        const tn_status status = s->queue ? end_in(e, s) : TN_OK;
        if (!first) first = status;
    }
    return first;
}
