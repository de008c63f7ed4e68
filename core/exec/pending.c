// core/exec/pending.c: what runs leave behind in the queues of devices, and who waits for it.
//
// A run ends when everything in host memory is as it should be; what concerns a device's own memory
// may still be in the executor's queue there. Whoever uses such memory next looks up in the list of
// its users which of them have work pending that meets his own (one of the two writes), and waits:
// the host for the queue, another executor by an event that its own queue waits for.
//
// Several threads may wait for the same work: readers of what one executor wrote. So a queue is
// held by whoever calls functions of it: by its run from the first row to the last, by others while
// they wait for it. Who holds a queue waits for no other executor's, so nobody waits in a circle.
// An executor is freed when it has left the lists and nobody holds its queues. The lock is for the
// lists and for who holds what; no plugin is called under it.
#include <pthread.h>

#include "core/exec/exec.h"

enum { AT_ONCE = 8 }; // queues that a run waits for by events

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of lists, `held`, `stamp` and `stamps`
static pthread_cond_t let_go = PTHREAD_COND_INITIALIZER; // some queue is not held any more
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
    e->is_fresh = false; // what constants were to become may be missing
    tni_fail(&e->error, status, NULL, "%s: a run that had been queued failed: %s", s->device->uri,
             *reason ? reason : tn_status_text(status));
    return status;
}

// The queue of s is held from here on; under the lock, which waiting gives up for a while.
static void hold(tni_space *s)
{
    while (s->held) pthread_cond_wait(&let_go, &lock);
    s->held = true;
}

static void release(tni_space *s)
{
    pthread_mutex_lock(&lock);
    s->held = false;
    pthread_cond_broadcast(&let_go);
    pthread_mutex_unlock(&lock);
}

// Waits for all pending work of e, whose thread this is.
static void finish_all(tn_exec *e)
{
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        tni_space *s = &e->spaces[i];
        if (!atomic_load(&s->pending)) continue;
        pthread_mutex_lock(&lock);
        hold(s);
        pthread_mutex_unlock(&lock);
        if (atomic_load(&s->pending)) tni_space_finish(e, s);
        release(s);
    }
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
    return status;
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
    finish_all(e);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < e->n_uses; i++) {
        const tni_use *u = &e->uses[i];
        *u->link = u->next;
        if (u->next) u->next->link = u->link;
    }
    for (uint32_t i = 1; i < e->n_spaces; i++) hold(&e->spaces[i]); // who found it before is done
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
    tn_status status = TN_OK;
    while (!status) {
        pthread_mutex_lock(&lock);
        const tni_use *u = s->uses;
        while (u && !is_met(u, range, writes)) u = u->next;
        const bool waits = u && u->space->held;
        tn_exec *const e = u ? u->exec : NULL;
        tni_space *const space = u ? u->space : NULL;
        if (waits)
            pthread_cond_wait(&let_go, &lock); // and looks again: it may be done, or gone
        else if (u)
            space->held = true;
        pthread_mutex_unlock(&lock);
        if (!u) return TN_OK;
        if (waits) continue;
        status = tni_space_finish(e, space);
        if (status) tni_env_fail(env, status, "%s", tni_error_text(&e->error));
        release(space);
    }
    return status;
}

tn_status tn_exec_wait(tn_exec *e)
{
    if (!e) return TN_E_INVALID;
    finish_all(e);
    return e->error.status;
}

// ------------------------------------------------------------------ queues wait

// Work that the queues of a run wait for already. A stamp is never given twice, so a space that
// lies where another one lay is not taken for it.
typedef struct waited {
    size_t n;
    struct {
        const tni_space *space;
        uint64_t stamp;
    } v[AT_ONCE];
} waited;

static bool is_new(const waited *w, const tni_space *s)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->v[i].space == s && w->v[i].stamp == s->stamp) return false;
    return true;
}

// Work of others that meets what e is going to do and that its queues do not wait for; NULL: none.
// *mine is to wait. Under the lock.
static const tni_use *find_met(const tn_exec *e, const waited *w, tni_space **mine)
{
    for (size_t i = 0; i < e->n_uses; i++) {
        const tni_use *m = &e->uses[i];
        *mine = m->space;
        for (const tni_use *u = m->storage->uses; u; u = u->next)
            if (u->exec != e && is_met(u, m->range, m->writes) &&
                u->space->stamp > m->space->seen && is_new(w, u->space))
                return u;
    }
    return NULL;
}

// Waits for u, which is not held: in the queue, or, if there is no room to remember that, for all
// of it. Under the lock, but not while it waits.
static tn_status wait_for(tn_exec *e, tni_space *mine, const tni_use *u, waited *w)
{
    tn_exec *const whose = u->exec;
    tni_space *const other = u->space;
    const size_t at = w->n;
    if (at < AT_ONCE) {
        w->v[at].space = other;
        w->v[w->n++].stamp = other->stamp;
    }
    other->held = true;
    pthread_mutex_unlock(&lock);
    const tn_status status =
        at < AT_ONCE ? wait_in_queue(e, mine, whose, other) : tni_space_finish(whose, other);
    if (status && !e->error.status)
        tni_fail(&e->error, status, NULL, "%s", tni_error_text(&whose->error));
    release(other);
    pthread_mutex_lock(&lock);
    return status;
}

tn_status tni_run_begin(tn_exec *e)
{
    waited w = {0};
    tni_space *mine;
    tn_status status = TN_OK;
    if (!e->n_uses) return TN_OK;
    pthread_mutex_lock(&lock);
    for (const tni_use *u; !status && (u = find_met(e, &w, &mine));) {
        if (u->space->held)
            pthread_cond_wait(&let_go, &lock);
        else
            status = wait_for(e, mine, u, &w);
    }
    for (uint32_t i = 1; i < e->n_spaces && !status; i++) e->spaces[i].seen = stamps;
    for (uint32_t i = 1; i < e->n_spaces && !status; i++) hold(&e->spaces[i]);
    pthread_mutex_unlock(&lock);
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

// What rows left, if they have not failed.
static tn_status leave(tn_exec *e)
{
    tn_status first = TN_OK;
    pthread_mutex_lock(&lock);
    stamps++;
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        e->spaces[i].stamp = stamps;
        atomic_store(&e->spaces[i].pending, e->spaces[i].queue != NULL);
    }
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        tni_space *s = &e->spaces[i];
        const tn_status status = s->queue ? end_in(e, s) : TN_OK;
        if (!first) first = status;
    }
    return first;
}

tn_status tni_run_end(tn_exec *e, tn_status status)
{
    if (!e->n_uses) return status;
    if (!status) status = leave(e);
    tni_uses_changed(e); // now that whoever looks again finds what is pending
    for (uint32_t i = 1; i < e->n_spaces; i++) release(&e->spaces[i]);
    return status;
}
