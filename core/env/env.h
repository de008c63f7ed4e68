// core/env/env.h: the env from inside: plugins, their loading, the services they are given.
//
// An env is written while plugins are loaded (tn_env_new, tn_env_load) and only read afterwards,
// but for opening devices and for error texts, which have locks of their own.
#ifndef TENON_CORE_ENV_H
#define TENON_CORE_ENV_H

#include <pthread.h>
#include <sys/types.h>

#include "core/graph/schema.h"

// Error texts that stay valid at once (tn_env_error).
enum { TNI_ERROR_RING = 8 };

// The value of an option of a plugin, decided before its init.
typedef struct tni_option {
    const char *key, *value; // value NULL: the option's default is None
} tni_option;

// The core's side of a plugin; what plugins see as tn_host. Lives in the env's arena.
typedef struct tni_plugin {
    tn_env *env;
    uint64_t id;     // unlike a pointer never used again in this process
    tn_plugin table; // normalised: members that the plugin does not have are zero
    const char *name, *version, *path;
    dev_t device;
    ino_t inode;
    tn_host_api api;
    void *self; // what init() returned
    bool live;  // init() succeeded and shutdown() was not called yet
    tni_option *options;
    size_t n_options;
} tni_plugin;

// A file that was looked at, with what the public record leaves out.
typedef struct tni_candidate {
    tn_candidate record;
    dev_t device;
    ino_t inode; // 0: the file could not be looked at
} tni_candidate;

struct tn_env {
    tni_arena arena; // plugins, candidates and their texts
    tni_registry registry;
    tn_log_fn log;
    void *log_ctx;
    uint32_t threads;
    tni_plugin **plugins; // in order of loading
    size_t n_plugins, plugins_capacity;
    tni_candidate **candidates; // in order of looking
    size_t n_candidates, candidates_capacity;
    pthread_mutex_t error_lock; // guards the rest
    tn_status status;
    char *errors[TNI_ERROR_RING];
    size_t n_errors; // failed calls so far
};

// One attempt to load a file: what will become its candidate.
typedef struct tni_attempt {
    tn_step step; // the step that is being done
    tni_error error;
    const char *path; // real path, in the env's arena
    const char *name, *version, *dependency;
    bool has_abi;
    uint32_t epoch, minor; // of the ABI that the plugin was built for
    dev_t device;
    ino_t inode;
} tni_attempt;

// Everything of a plugin is called with this held, whatever env it belongs to: [main] in the ABI
// means one thread at a time in the process. (env.c)
void tni_main_lock(void);
void tni_main_unlock(void);

// ------------------------------------------------------------------ loading (loader.c)

// Looks through all places of `options` (normalised, not NULL). False only when out of memory.
bool tni_load_all(tn_env *env, const tn_env_options *options);

// Loads one file and keeps the record of it. The candidate, or NULL when out of memory.
const tni_candidate *tni_load_file(tn_env *env, const char *path);

// Registers a table without a file: the core's own. TN_OK, or the failure with a record of it.
tn_status tni_load_table(tn_env *env, const tn_plugin *table);

// ------------------------------------------------------------------ files (elf.c)

// True if the open file is a shared object that this machine may map whole; else false and a
// reason in error. Nothing of the file is executed.
bool tni_elf_check(int fd, tni_error *error);

// Name of the library whose absence made dlopen say `message`: one that the file needs, or one
// that those need. In arena; NULL if the message is about something else.
const char *tni_elf_missing(const char *path, const char *message, tni_arena *arena);

// ------------------------------------------------------------------ joining (handshake.c)

// Opens the file, asks tn_plugin_query and gives out the table. NULL: attempt says why not.
const tn_plugin *tni_handshake(tni_attempt *attempt, tni_arena *arena);

// Copies a struct whose first member is its size: min bytes at least, `known` at most; the rest is
// zero. False, and an error that says `what`, if it is smaller or NULL.
bool tni_normalise(void *mine, size_t known, const void *theirs, size_t min, const char *what,
                   tni_error *error);

// True if the text may name a plugin or a backend: letters, digits and "_-.+", at most 63.
bool tni_name_ok(const char *name);

// ------------------------------------------------------------------ registering (registry.c)

// What registering one plugin will add, before it is certain.
typedef struct tni_pending {
    tni_mark mark; // of the registry's arena
    tni_op **ops;
    tni_backend **backends;
    tni_kernel_decl *kernels;
    size_t n_ops, n_backends, n_kernels;
    tni_map by_name; // of all operators, if this goes well
    tni_op **all_ops;
    tni_backend **all_backends;
    tni_kernel_decl *all_kernels;
} tni_pending;

// Checks and copies the tables of a plugin. Nothing is visible yet. False, and a reason in error:
// then tni_pending_drop is still due.
bool tni_pending_make(tn_env *env, tni_plugin *plugin, tni_pending *pending, tni_error *error);
// After init: fills in what init returned and asks for devices.
bool tni_pending_devices(tni_plugin *plugin, tni_pending *pending, tni_arena *arena,
                         tni_error *error);
void tni_pending_commit(tn_env *env, tni_pending *pending); // cannot fail
void tni_pending_drop(tn_env *env, tni_pending *pending);

// ------------------------------------------------------------------ devices (enumerate.c)

// Asks the backend for its devices. False, and a reason, if what it tells is malformed; a failure
// of its own becomes one device that is unusable and says why.
bool tni_devices_list(tni_backend *backend, tni_arena *arena, tni_error *error);
void tni_devices_close(tn_env *env);

// ------------------------------------------------------------------ services (host.c, options.c)

// Fills in what init() gets.
void tni_host_fill(tni_plugin *plugin);

// Reason that the last callback of the plugin left, or a sentence that it left none.
const char *tni_callback_reason(const tni_plugin *plugin, tn_status status);

__attribute__((format(printf, 3, 4))) void tni_log(tn_env *env, uint32_t severity,
                                                   const char *format, ...);

// Decides the options of a plugin from its declarations and TENON_OPT_<PLUGIN>_<KEY>.
bool tni_options_read(tn_env *env, tni_plugin *plugin, tni_error *error);

// Size of the pool: asked for, or TENON_NUM_THREADS, or what OpenMP would use.
uint32_t tni_threads_choose(tn_env *env, int32_t asked);

// A value of TENON_NAN that no bind will understand is told as the env's error, and logged.
void tni_nan_check(tn_env *env);

#endif
