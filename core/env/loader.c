// core/env/loader.c: where plugins are looked for, and the way of one file from path to record.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/env/env.h"

// ------------------------------------------------------------------ records

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

// Makes room for the record of an attempt, before it may change anything. NULL: out of memory.
static tni_candidate *record_new(tn_env *env)
{
    tni_candidate *c = tni_alloc(&env->arena, sizeof *c);
    const bool room = tni_grow((void **)&env->candidates, &env->candidates_capacity,
                               env->n_candidates + 1, sizeof(tni_candidate *));
    return room ? c : NULL;
}

// Keeps what became of an attempt; a->error is cleared.
static void record(tn_env *env, tni_candidate *c, tni_attempt *a)
{
    const bool used = a->step == TN_STEP_USED;
    const char *reason = used ? "" : tni_strdup(&env->arena, tni_error_text(&a->error));
    if (!reason) reason = tn_status_text(TN_E_NOMEM);
    *c = (tni_candidate){.record = {.size = sizeof c->record,
                                    .step = a->step,
                                    .status = used ? TN_OK : a->error.status,
                                    .path = a->path,
                                    .name = or_empty(a->name),
                                    .version = or_empty(a->version),
                                    .reason = reason,
                                    .dependency = or_empty(a->dependency),
                                    .has_abi = a->has_abi,
                                    .epoch = a->epoch,
                                    .minor = a->minor},
                         .device = a->device,
                         .inode = a->inode};
    env->candidates[env->n_candidates++] = c;
    if (used)
        tni_log(env, TN_LOG_DEBUG, "loaded %s %s from %s", c->record.name, c->record.version,
                c->record.path);
    else
        tni_log(env, TN_LOG_INFO, "did not load %s: %s: %s", c->record.path,
                tn_step_name(c->record.step), c->record.reason);
    tni_error_clear(&a->error);
}

// ------------------------------------------------------------------ one table

static tni_plugin *loaded_as(const tn_env *env, const char *name)
{
    for (size_t i = 0; i < env->n_plugins; i++)
        if (strcmp(env->plugins[i]->name, name) == 0) return env->plugins[i];
    return NULL;
}

// Copies the plugin's own words about itself. NULL, and a reason in a->error.
static tni_plugin *plugin_new(tn_env *env, tni_attempt *a, const tn_plugin *table)
{
    static uint64_t last_id; // guarded by the main lock
    tni_plugin *p = tni_alloc(&env->arena, sizeof *p);
    a->step = TN_STEP_REGISTER;
    if (!p) {
        tni_fail(&a->error, TN_E_NOMEM, NULL, "out of memory");
        return NULL;
    }
    if (!tni_normalise(&p->table, sizeof p->table, table, TN_END_OF(tn_plugin, options),
                       "its table (tn_plugin)", &a->error))
        return NULL;
    const bool core = !*a->path;
    if (!core && !tni_name_ok(p->table.name)) {
        tni_fail(&a->error, TN_E_INVALID, NULL,
                 "its name \"%.64s\" is none: wanted 1 to 63 letters, digits and _-.+",
                 p->table.name ? p->table.name : "(NULL)");
        return NULL;
    }
    p->env = env;
    p->id = ++last_id;
    p->name = core ? "" : tni_strdup(&env->arena, p->table.name);
    p->version = tni_strdup(&env->arena, or_empty(p->table.version));
    p->path = a->path;
    p->device = a->device;
    p->inode = a->inode;
    if (!p->name || !p->version) {
        tni_fail(&a->error, TN_E_NOMEM, NULL, "out of memory");
        return NULL;
    }
    a->name = p->name;
    a->version = p->version;
    return p;
}

static bool start(tni_plugin *p, tni_attempt *a)
{
    a->step = TN_STEP_INIT;
    if (!tni_options_read(p->env, p, &a->error)) return false;
    tni_host_fill(p);
    if (p->table.init) {
        tni_host_take_error(p); // nothing old may be taken for its reason
        const tn_status s = p->table.init(&p->api, &p->self);
        if (s != TN_OK) {
            tni_fail(&a->error, s, NULL, "%s", tni_callback_reason(p, s));
            return false;
        }
    }
    p->live = true;
    return true;
}

static void stop(tni_plugin *p)
{
    if (p->live && p->table.shutdown) p->table.shutdown(p->self);
    p->live = false;
}

// From a table to a registered plugin, or nothing changed but a->error.
static bool join(tn_env *env, tni_attempt *a, const tn_plugin *table)
{
    tni_plugin *p = plugin_new(env, a, table);
    if (!p) return false;
    tni_pending pending = {.mark = tni_arena_mark(&env->registry.arena)};
    const tni_plugin *first = *p->name ? loaded_as(env, p->name) : NULL;
    if (first) {
        a->step = TN_STEP_SHADOWED;
        tni_fail(&a->error, TN_E_EXISTS, NULL, "a plugin named %s (%s) was loaded from %s",
                 first->name, first->version, first->path);
        return false;
    }
    if (!tni_grow((void **)&env->plugins, &env->plugins_capacity, env->n_plugins + 1,
                  sizeof(tni_plugin *)))
        tni_fail(&a->error, TN_E_NOMEM, NULL, "out of memory");
    bool done = a->error.status == TN_OK && tni_pending_make(env, p, &pending, &a->error);
    if (done) done = start(p, a);
    if (done) {
        a->step = TN_STEP_REGISTER;
        done = tni_pending_devices(p, &pending, &env->registry.arena, &a->error);
    }
    if (!done) {
        stop(p);
        tni_pending_drop(env, &pending);
        return false;
    }
    tni_pending_commit(env, &pending);
    env->plugins[env->n_plugins++] = p;
    a->step = TN_STEP_USED;
    return true;
}

tn_status tni_load_table(tn_env *env, const tn_plugin *table)
{
    tni_attempt a = {.path = "", .name = "core"};
    tni_candidate *c = record_new(env);
    if (!c) return TN_E_NOMEM;
    if (join(env, &a, table)) return TN_OK;
    const tn_status status = a.error.status;
    tni_env_fail(env, status, "the core's own operators: %s", tni_error_text(&a.error));
    record(env, c, &a);
    return status;
}

// ------------------------------------------------------------------ one file

// A file that was looked at before, by whatever path.
static const tni_candidate *seen_before(const tn_env *env, const tni_attempt *a)
{
    for (size_t i = 0; i < env->n_candidates; i++) {
        const tni_candidate *c = env->candidates[i];
        if (c->inode == a->inode && c->device == a->device && c->record.step == TN_STEP_USED)
            return c;
    }
    return NULL;
}

// Opens and looks at the file. False, and a reason in a->error.
static bool look(tn_env *env, tni_attempt *a)
{
    struct stat st;
    a->step = TN_STEP_FILE;
    // NONBLOCK: a FIFO named .so must not hang the search.
    const int fd = open(a->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        tni_fail(&a->error, TN_E_IO, NULL, "cannot open it: %s", strerror(errno));
        return false;
    }
    const bool good = tni_elf_check(fd, &a->error);
    if (good && fstat(fd, &st) == 0) {
        a->device = st.st_dev;
        a->inode = st.st_ino;
    }
    close(fd);
    const tni_candidate *first = good ? seen_before(env, a) : NULL;
    if (first) {
        a->step = TN_STEP_SHADOWED;
        a->name = first->record.name;
        a->version = first->record.version;
        tni_fail(&a->error, TN_E_EXISTS, NULL, "the same file as %s, which is in use",
                 first->record.path);
    }
    return good && !first;
}

const tni_candidate *tni_load_file(tn_env *env, const char *path)
{
    tni_attempt a = {.step = TN_STEP_FILE};
    tni_candidate *c = record_new(env);
    if (!c) return NULL;
    char *real = realpath(path, NULL);
    const int why = errno;
    a.path = tni_strdup(&env->arena, real ? real : path);
    free(real);
    if (!a.path) return NULL;
    if (!real)
        tni_fail(&a.error, TN_E_IO, NULL, "cannot open it: %s", strerror(why));
    else if (look(env, &a)) {
        const tn_plugin *table = tni_handshake(&a, &env->arena);
        if (table) join(env, &a, table);
    }
    record(env, c, &a);
    return c;
}

// ------------------------------------------------------------------ places

static bool is_shared_object(const char *name)
{
    const size_t n = strlen(name);
    return n > 3 && name[0] != '.' && strcmp(name + n - 3, ".so") == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Paths of the plugins of a directory, sorted: readdir gives them in any order. In arena.
static bool list_directory(DIR *dir, const char *path, tni_arena *arena, char ***out, size_t *n)
{
    size_t capacity = 0;
    *out = NULL;
    *n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!is_shared_object(e->d_name)) continue;
        if (!tni_grow((void **)out, &capacity, *n + 1, sizeof(char *))) return false;
        (*out)[*n] = tni_printf(arena, "%s/%s", path, e->d_name);
        if (!(*out)[(*n)++]) return false;
    }
    if (*n) qsort(*out, *n, sizeof(char *), by_name);
    return true;
}

static bool load_directory(tn_env *env, const char *path)
{
    char **files = NULL;
    size_t n = 0;
    DIR *dir = opendir(path);
    if (!dir) return tni_load_file(env, path) != NULL; // the record says why
    bool good = list_directory(dir, path, &env->arena, &files, &n);
    closedir(dir);
    for (size_t i = 0; good && i < n; i++) good = tni_load_file(env, files[i]) != NULL;
    free(files);
    return good;
}

// A file or directory that somebody named. A bare name is refused: it would mean the current
// directory, or whatever the dynamic linker finds.
static bool load_place(tn_env *env, const char *path)
{
    struct stat st;
    if (!strchr(path, '/')) {
        tni_attempt a = {.step = TN_STEP_FILE, .path = tni_strdup(&env->arena, path)};
        tni_candidate *c = record_new(env);
        if (!c || !a.path) return false;
        tni_fail(&a.error, TN_E_INVALID, NULL, "a bare name; a place here is \"./%s\"", path);
        record(env, c, &a);
        return true;
    }
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return load_directory(env, path);
    return tni_load_file(env, path) != NULL;
}

static bool load_list(tn_env *env, const char *list)
{
    bool good = true;
    while (good && list && *list) {
        const size_t n = strcspn(list, ":");
        char *place = n ? tni_strndup(&env->arena, list, n) : NULL;
        if (n) good = place && load_place(env, place); // empty places mean nothing
        list += n + (list[n] == ':');
    }
    return good;
}

// Directory of the object that this code is in: libtenon, or the program that holds the core.
// False if it cannot be told without the current directory.
static bool own_directory(char out[PATH_MAX])
{
    static const char anchor = 0;
    struct link_map *map = NULL;
    Dl_info info;
    if (!dladdr1(&anchor, &info, (void **)&map, RTLD_DL_LINKMAP) || !map) return false;
    const char *name = map->l_name && *map->l_name ? map->l_name : "/proc/self/exe";
    if (!strchr(name, '/') || !realpath(name, out)) return false;
    char *slash = strrchr(out, '/');
    if (!slash || slash == out) return false;
    *slash = 0;
    return true;
}

// <dir>/<name> if it is a directory. `proof` (may be NULL) must be a file in dir.
static bool load_own(tn_env *env, const char *dir, const char *name, const char *proof)
{
    char path[PATH_MAX + 64];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, proof ? proof : name);
    if (stat(path, &st) != 0) return true;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return true;
    return load_directory(env, path);
}

bool tni_load_all(tn_env *env, const tn_env_options *options)
{
    char dir[PATH_MAX];
    for (const char *const *p = options->paths; p && *p; p++)
        if (**p && !load_place(env, *p)) return false;
    if (options->flags & TN_ENV_NO_SEARCH) return true;
    if (!load_list(env, secure_getenv("TENON_PLUGIN_PATH"))) return false;
    if (!own_directory(dir)) return true;
    // CMake's cache tells a build tree from a library directory that has some other "plugins".
    return load_own(env, dir, "tenon", NULL) && load_own(env, dir, "plugins", "CMakeCache.txt");
}
