// core/env/env.c: making and freeing an env, its error texts, and the lists it gives out.
#include "core/env/env.h"

#include "core/ops/ops.h"

static pthread_mutex_t main_lock = PTHREAD_MUTEX_INITIALIZER;
// This thread holds it. A plugin that calls the library from its init() must not wait for itself.
static _Thread_local bool is_mine;

void tni_main_lock(void)
{
    pthread_mutex_lock(&main_lock);
    is_mine = true;
}

void tni_main_unlock(void)
{
    is_mine = false;
    pthread_mutex_unlock(&main_lock);
}

// ------------------------------------------------------------------ life

// Options as this library knows them. A size of 0 is read as that of the first version.
static tn_env_options options_of(const tn_env_options *theirs)
{
    tn_env_options mine;
    memset(&mine, 0, sizeof mine);
    if (!theirs) return mine;
    const size_t first = TN_END_OF(tn_env_options, reserved);
    const size_t size = theirs->size < first ? first : theirs->size;
    memcpy(&mine, theirs, size < sizeof mine ? size : sizeof mine);
    return mine;
}

tn_env *tn_env_new(const tn_env_options *options)
{
    const tn_env_options chosen = options_of(options);
    tn_env *env = is_mine ? NULL : calloc(1, sizeof *env);
    if (!env) return NULL;
    if (pthread_mutex_init(&env->error_lock, NULL) != 0) {
        free(env);
        return NULL;
    }
    env->log = chosen.log;
    env->log_ctx = chosen.log_ctx;
    env->threads = tni_threads_choose(env, chosen.threads);
    tni_nan_check(env);
    tni_main_lock();
    const bool done =
        tni_load_table(env, &tni_core_plugin) != TN_E_NOMEM && tni_load_all(env, &chosen);
    tni_main_unlock();
    if (done) return env;
    tn_env_free(env);
    return NULL;
}

void tn_env_free(tn_env *env)
{
    if (!env || is_mine) return;
    tni_main_lock();
    tni_devices_close(env);
    for (size_t i = env->n_plugins; i > 0; i--) {
        tni_plugin *p = env->plugins[i - 1];
        if (p->live && p->table.shutdown) p->table.shutdown(p->self);
        p->live = false;
    }
    tni_main_unlock();
    tni_map_free(&env->registry.by_name);
    tni_arena_free(&env->registry.arena);
    tni_arena_free(&env->arena);
    free(env->plugins);
    free(env->candidates);
    for (size_t i = 0; i < TNI_ERROR_RING; i++) free(env->errors[i]);
    pthread_mutex_destroy(&env->error_lock);
    free(env);
}

// ------------------------------------------------------------------ errors

// Keeps a malloc'ed text (NULL: there was no memory for it) as the newest error.
static void keep_error(tn_env *env, tn_status status, char *text)
{
    pthread_mutex_lock(&env->error_lock);
    char **slot = &env->errors[env->n_errors % TNI_ERROR_RING];
    free(*slot);
    *slot = text;
    env->n_errors++;
    env->status = status;
    pthread_mutex_unlock(&env->error_lock);
}

tn_status tni_env_fail(tn_env *env, tn_status status, const char *format, ...)
{
    if (!env) return status;
    tni_error error = {0};
    va_list ap;
    va_start(ap, format);
    tni_vfail(&error, status, NULL, format, ap);
    va_end(ap);
    keep_error(env, status, error.text);
    return status;
}

tn_status tn_env_status(const tn_env *env)
{
    tn_env *e = (tn_env *)env; // the lock is not part of what const promises
    if (!e) return TN_E_NOMEM;
    pthread_mutex_lock(&e->error_lock);
    const tn_status status = e->status;
    pthread_mutex_unlock(&e->error_lock);
    return status;
}

const char *tn_env_error(const tn_env *env)
{
    tn_env *e = (tn_env *)env;
    if (!e) return tn_status_text(TN_E_NOMEM);
    pthread_mutex_lock(&e->error_lock);
    const char *text = e->n_errors ? e->errors[(e->n_errors - 1) % TNI_ERROR_RING] : "";
    const tn_status status = e->status;
    pthread_mutex_unlock(&e->error_lock);
    return text ? text : tn_status_text(status);
}

// ------------------------------------------------------------------ loading one

tn_status tn_env_load(tn_env *env, const char *path)
{
    if (!env) return TN_E_INVALID;
    if (!path || !*path) return tni_env_fail(env, TN_E_INVALID, "tn_env_load: the path is empty");
    if (!strchr(path, '/'))
        return tni_env_fail(env, TN_E_INVALID,
                            "tn_env_load: \"%s\" is a bare name; a file here is \"./%s\"", path,
                            path);
    tni_main_lock();
    const tni_candidate *c = tni_load_file(env, path);
    tni_main_unlock();
    if (!c) return tni_env_fail(env, TN_E_NOMEM, "tn_env_load: %s: out of memory", path);
    if (c->record.step == TN_STEP_USED) return TN_OK;
    return tni_env_fail(env, c->record.status, "tn_env_load: %s: %s: %s", c->record.path,
                        tn_step_name(c->record.step), c->record.reason);
}

const char *tn_step_name(tn_step step)
{
    switch (step) {
    case TN_STEP_USED: return "used";
    case TN_STEP_FILE: return "file";
    case TN_STEP_DLOPEN: return "dlopen";
    case TN_STEP_SYMBOL: return "symbol";
    case TN_STEP_HANDSHAKE: return "handshake";
    case TN_STEP_INIT: return "init";
    case TN_STEP_REGISTER: return "register";
    case TN_STEP_SHADOWED: return "shadowed";
    }
    return "unknown";
}

// ------------------------------------------------------------------ lists

size_t tn_env_num_candidates(const tn_env *env)
{
    return env ? env->n_candidates : 0;
}

const tn_candidate *tn_env_candidate(const tn_env *env, size_t i)
{
    return env && i < env->n_candidates ? &env->candidates[i]->record : NULL;
}

size_t tn_env_num_backends(const tn_env *env)
{
    return env ? env->registry.n_backends : 0;
}

const tn_backend_entry *tn_env_backend(const tn_env *env, size_t i)
{
    return env && i < env->registry.n_backends ? &env->registry.backends[i]->entry : NULL;
}

const tn_device_info *tn_env_device(const tn_env *env, size_t i, size_t d)
{
    if (!env || i >= env->registry.n_backends) return NULL;
    const tni_backend *b = env->registry.backends[i];
    return d < b->n_devices ? &b->devices[d].info : NULL;
}

size_t tn_env_num_ops(const tn_env *env)
{
    return env ? env->registry.n_ops : 0;
}

const tn_op_decl *tn_env_op(const tn_env *env, size_t i)
{
    return env && i < env->registry.n_ops ? &env->registry.ops[i]->decl : NULL;
}

const tn_op_decl *tn_env_op_find(const tn_env *env, const char *name)
{
    const tni_op *op = env && name ? tni_op_find(&env->registry, name) : NULL;
    return op ? &op->decl : NULL;
}

const char *tn_env_op_plugin(const tn_env *env, const tn_op_decl *decl)
{
    const tni_op *op = env && decl && decl->name ? tni_op_find(&env->registry, decl->name) : NULL;
    return op ? op->plugin : "";
}

uint32_t tn_env_num_threads(const tn_env *env)
{
    return env ? env->threads : 0;
}

// ------------------------------------------------------------------ for lower layers

const tni_registry *tni_env_registry(const tn_env *env)
{
    return &env->registry;
}

const char *tni_plugin_name(const tni_plugin *plugin)
{
    return plugin->name;
}
