// core/env/registry.c: a plugin's tables become entries of the registry, all of them or none.
//
// Everything is checked and copied beside the registry first; committing only moves pointers. Old
// arrays stay in the arena, so what executors kept of them stays valid when a plugin comes later.
#include "core/env/env.h"

// A list without its NULL at the end runs into whatever lies behind it; this is where we stop.
enum { MAX_LIST = 4096 };

static bool no_memory(tni_error *error)
{
    tni_fail(error, TN_E_NOMEM, NULL, "out of memory");
    return false;
}

// Entries before the NULL; false if there are too many.
static bool list_length(const void *const *list, const char *what, size_t *n, tni_error *error)
{
    *n = 0;
    while (list && list[*n] && *n < MAX_LIST) ++*n;
    if (*n < MAX_LIST) return true;
    tni_fail(error, TN_E_INVALID, NULL, "its list of %s has no NULL within %d entries", what,
             MAX_LIST);
    return false;
}

// ------------------------------------------------------------------ operators

static bool add_operators(tn_env *env, tni_plugin *p, tni_pending *new, tni_error *error)
{
    tni_arena *arena = &env->registry.arena;
    size_t n;
    if (!list_length((const void *const *)p->table.ops, "operators", &n, error)) return false;
    new->ops = tni_alloc(arena, (n + 1) * sizeof *new->ops);
    if (!new->ops) return no_memory(error);
    for (size_t i = 0; i < n; i++) {
        new->ops[i] = tni_op_new(arena, p->table.ops[i], p->name, error);
        if (!new->ops[i]) return error->status == TN_OK ? no_memory(error) : false;
        new->n_ops++;
    }
    return true;
}

static bool is_pending(const tni_pending *new, const tni_op *op)
{
    for (size_t i = 0; i < new->n_ops; i++)
        if (new->ops[i] == op) return true;
    return false;
}

// Enters a name or alias of all_ops[i].
static bool enter(tni_pending *new, const char *name, size_t i, tni_error *error)
{
    uint32_t other;
    if (!tni_map_get(&new->by_name, name, &other))
        return tni_map_put(&new->by_name, name, (uint32_t)i) || no_memory(error);
    const tni_op *a = new->all_ops[i], *b = new->all_ops[other];
    const tni_op *mine = is_pending(new, a) ? a : b, *first = mine == a ? b : a;
    if (a == b)
        tni_fail(error, TN_E_EXISTS, NULL, "operator %s: the name %s stands in it twice",
                 a->decl.name, name);
    else
        tni_fail(error, TN_E_EXISTS, NULL,
                 "operator %s: the name %s is taken by operator %s of %s%s", mine->decl.name, name,
                 first->decl.name, *first->plugin ? "plugin " : "the core", first->plugin);
    return false;
}

static int by_op_name(const void *a, const void *b)
{
    return strcmp((*(tni_op *const *)a)->decl.name, (*(tni_op *const *)b)->decl.name);
}

// All operators as they will be, with their names.
static bool merge_operators(tn_env *env, tni_pending *new, tni_error *error)
{
    const tni_registry *r = &env->registry;
    const size_t n = r->n_ops + new->n_ops;
    new->all_ops = tni_alloc(&env->registry.arena, (n + 1) * sizeof *new->all_ops);
    if (!new->all_ops) return no_memory(error);
    if (r->n_ops) memcpy(new->all_ops, r->ops, r->n_ops * sizeof *r->ops);
    if (new->n_ops) memcpy(new->all_ops + r->n_ops, new->ops, new->n_ops * sizeof *new->ops);
    if (n) qsort(new->all_ops, n, sizeof *new->all_ops, by_op_name);
    for (size_t i = 0; i < n; i++) {
        const tni_op *op = new->all_ops[i];
        if (!enter(new, op->decl.name, i, error)) return false;
        for (const char **alias = op->aliases; alias && *alias; alias++)
            if (!enter(new, *alias, i, error)) return false;
    }
    return true;
}

// ------------------------------------------------------------------ backends

// How many of the pointers are there; for members that come all or none.
static size_t count_set(const bool *set, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += set[i];
    return k;
}

static bool check_backend(const tn_backend_api *b, tni_error *error)
{
    const bool needed[] = {b->enumerate, b->open, b->close,         b->supports,
                           b->prepare,   b->run,  b->kernel_destroy};
    static const char *const names[] = {"enumerate", "open", "close",         "supports",
                                        "prepare",   "run",  "kernel_destroy"};
    const bool memory[] = {b->buf_alloc, b->buf_free, b->upload, b->download, b->copy};
    const bool queues[] = {b->queue_create, b->queue_destroy,    b->queue_finish,
                           b->event_record, b->event_wait_queue, b->event_wait_host,
                           b->event_destroy};
    const size_t n_memory = count_set(memory, sizeof memory / sizeof *memory);
    const size_t n_queues = count_set(queues, sizeof queues / sizeof *queues);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (needed[i]) continue;
        tni_fail(error, TN_E_INVALID, NULL, "backend %s: its function %s is NULL", b->name,
                 names[i]);
        return false;
    }
    if (n_memory != 0 && n_memory != sizeof memory / sizeof *memory)
        tni_fail(error, TN_E_INVALID, NULL,
                 "backend %s: buf_alloc, buf_free, upload, download and copy: %zu of 5 are there, "
                 "wanted all or none",
                 b->name, n_memory);
    else if (n_queues != 0 && n_queues != sizeof queues / sizeof *queues)
        tni_fail(error, TN_E_INVALID, NULL,
                 "backend %s: functions of queues and events: %zu of 7 are there, wanted all or "
                 "none",
                 b->name, n_queues);
    else if ((b->queue_flush || b->download_begin) && !n_queues)
        tni_fail(error, TN_E_INVALID, NULL,
                 "backend %s: queue_flush and download_begin, without functions of queues and "
                 "events",
                 b->name);
    else if (b->layouts && !b->prepare_reorder)
        tni_fail(error, TN_E_INVALID, NULL, "backend %s: layouts without prepare_reorder", b->name);
    return error->status == TN_OK;
}

static const tni_backend *backend_find(tni_backend *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i]->entry.name, name) == 0) return list[i];
    return NULL;
}

static tni_backend *backend_new(tn_env *env, tni_plugin *p, size_t i, tni_error *error)
{
    tni_arena *arena = &env->registry.arena;
    tni_backend *b = tni_alloc(arena, sizeof *b);
    char what[64];
    if (!b) {
        no_memory(error);
        return NULL;
    }
    snprintf(what, sizeof what, "backend %zu", i);
    if (!tni_normalise(&b->api, sizeof b->api, p->table.backends[i],
                       TN_END_OF(tn_backend_api, get_extension), what, error))
        return NULL;
    if (!tni_name_ok(b->api.name) || strcmp(b->api.name, "host") == 0) {
        tni_fail(error, TN_E_INVALID, NULL, "backend %zu: \"%.64s\" cannot be its name", i,
                 b->api.name ? b->api.name : "(NULL)");
        return NULL;
    }
    if (!check_backend(&b->api, error)) return NULL;
    b->plugin = p;
    b->entry = (tn_backend_entry){.size = sizeof b->entry,
                                  .rank = b->api.rank,
                                  .name = tni_strdup(arena, b->api.name),
                                  .plugin = p->name,
                                  .version = p->version,
                                  .path = p->path};
    b->api.name = b->entry.name;
    if (b->entry.name) return b;
    no_memory(error);
    return NULL;
}

static bool add_backends(tn_env *env, tni_plugin *p, tni_pending *new, tni_error *error)
{
    const tni_registry *r = &env->registry;
    size_t n;
    if (!list_length((const void *const *)p->table.backends, "backends", &n, error)) return false;
    new->backends = tni_alloc(&env->registry.arena, (n + 1) * sizeof *new->backends);
    if (!new->backends) return no_memory(error);
    for (size_t i = 0; i < n; i++) {
        tni_backend *b = backend_new(env, p, i, error);
        if (!b) return false;
        const tni_backend *other = backend_find(r->backends, r->n_backends, b->entry.name);
        if (!other) other = backend_find(new->backends, i, b->entry.name);
        if (other) {
            tni_fail(error, TN_E_EXISTS, NULL, "backend %s: the name is taken by plugin %s (%s)",
                     b->entry.name, other->plugin->name, other->plugin->path);
            return false;
        }
        new->backends[i] = b;
        new->n_backends++;
    }
    return true;
}

static int by_rank(const void *a, const void *b)
{
    const tn_backend_entry *x = &(*(tni_backend *const *)a)->entry;
    const tn_backend_entry *y = &(*(tni_backend *const *)b)->entry;
    if (x->rank != y->rank) return x->rank > y->rank ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool merge_backends(tn_env *env, tni_pending *new, tni_error *error)
{
    const tni_registry *r = &env->registry;
    const size_t n = r->n_backends + new->n_backends;
    new->all_backends = tni_alloc(&env->registry.arena, (n + 1) * sizeof *new->all_backends);
    if (!new->all_backends) return no_memory(error);
    if (r->n_backends) memcpy(new->all_backends, r->backends, r->n_backends * sizeof *r->backends);
    for (size_t i = 0; i < new->n_backends; i++)
        new->all_backends[r->n_backends + i] = new->backends[i];
    if (n) qsort(new->all_backends, n, sizeof *new->all_backends, by_rank);
    return true;
}

// ------------------------------------------------------------------ kernels for others' backends

static bool check_kernel(const tn_kernel_decl *k, size_t i, tni_error *error)
{
    if (!k->op || !*k->op || !k->backend || !*k->backend)
        tni_fail(error, TN_E_INVALID, NULL, "kernel %zu: its operator or backend has no name", i);
    else if (!k->supports || !k->prepare || !k->run || !k->kernel_destroy)
        tni_fail(error, TN_E_INVALID, NULL, "kernel %zu (%s on %s): its function %s is NULL", i,
                 k->op, k->backend,
                 !k->supports  ? "supports"
                 : !k->prepare ? "prepare"
                 : !k->run     ? "run"
                               : "kernel_destroy");
    return error->status == TN_OK;
}

// Whether the operator exists is not asked: a plugin that is loaded later may bring it.
static bool add_kernels(tn_env *env, tni_plugin *p, tni_pending *new, tni_error *error)
{
    const tni_registry *r = &env->registry;
    size_t n;
    if (!list_length((const void *const *)p->table.kernels, "kernels", &n, error)) return false;
    new->all_kernels =
        tni_alloc(&env->registry.arena, (r->n_kernels + n + 1) * sizeof *new->all_kernels);
    if (!new->all_kernels) return no_memory(error);
    if (r->n_kernels) memcpy(new->all_kernels, r->kernels, r->n_kernels * sizeof *new->all_kernels);
    new->kernels = new->all_kernels + r->n_kernels;
    for (size_t i = 0; i < n; i++) {
        tni_kernel_decl *k = &new->kernels[i];
        char what[64];
        snprintf(what, sizeof what, "kernel %zu", i);
        if (!tni_normalise(&k->decl, sizeof k->decl, p->table.kernels[i],
                           TN_END_OF(tn_kernel_decl, kernel_destroy), what, error) ||
            !check_kernel(&k->decl, i, error))
            return false;
        k->plugin = p;
        new->n_kernels++;
    }
    return true;
}

// ------------------------------------------------------------------ the transaction

bool tni_pending_make(tn_env *env, tni_plugin *plugin, tni_pending *new, tni_error *error)
{
    memset(new, 0, sizeof *new);
    new->mark = tni_arena_mark(&env->registry.arena);
    return add_operators(env, plugin, new, error) && merge_operators(env, new, error) &&
           add_backends(env, plugin, new, error) && merge_backends(env, new, error) &&
           add_kernels(env, plugin, new, error);
}

bool tni_pending_devices(tni_plugin *plugin, tni_pending *new, tni_arena *arena, tni_error *error)
{
    for (size_t i = 0; i < new->n_kernels; i++) new->kernels[i].self = plugin->self;
    for (size_t i = 0; i < new->n_backends; i++) {
        new->backends[i]->self = plugin->self;
        if (!tni_devices_list(new->backends[i], arena, error)) return false;
    }
    return true;
}

void tni_pending_commit(tn_env *env, tni_pending *new)
{
    tni_registry *r = &env->registry;
    tni_map_free(&r->by_name);
    r->by_name = new->by_name;
    r->ops = new->all_ops;
    r->backends = new->all_backends;
    r->kernels = new->all_kernels;
    r->n_ops += (uint32_t) new->n_ops;
    r->n_backends += (uint32_t) new->n_backends;
    r->n_kernels += (uint32_t) new->n_kernels;
    memset(new, 0, sizeof *new);
}

void tni_pending_drop(tn_env *env, tni_pending *new)
{
    tni_map_free(&new->by_name);
    tni_arena_reset(&env->registry.arena, new->mark);
    memset(new, 0, sizeof *new);
}
