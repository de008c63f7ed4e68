// tenon/env.h: the root object: loaded plugins, their operators and backends.
//
// An env finds plugins, loads them and keeps for every candidate why it was or was not used.
// It outlives every graph, executor and tensor made with it. Graphs in several threads may share
// one env: after tn_env_new it is only read, except by tn_env_load (one thread, no other use).
#ifndef TENON_ENV_H
#define TENON_ENV_H

#include <tenon/plugin.h>

TN_BEGIN_DECLS

typedef struct tn_env tn_env;

// Severities are those of the plugin ABI: TN_LOG_DEBUG … TN_LOG_HOST_MISBEHAVING. Called from any
// thread, also from several at once; must not call back into the env.
typedef void (*tn_log_fn)(void *ctx, uint32_t severity, const char *text);

typedef struct tn_env_options {
    uint32_t size;            // sizeof(tn_env_options), as the caller knew it
    uint32_t flags;           // TN_ENV_*
    const char *const *paths; // files or directories searched first; NULL-terminated, or NULL
    tn_log_fn log;            // where messages go; NULL: nowhere (the library never prints)
    void *log_ctx;            // first argument of log
    // Of the pool, up to 4096; 0: TENON_NUM_THREADS, else OMP_NUM_THREADS or all CPUs.
    int32_t threads;
    int32_t reserved;
} tn_env_options;
enum {
    TN_ENV_NO_SEARCH = 1 // load only what stands in `paths`
};

// New env. NULL options mean all defaults. Searches, in this order: options.paths,
// TENON_PLUGIN_PATH (a colon-separated list of files or directories), the plugin directory of the
// installation that libtenon itself stands in (<its directory>/tenon), the build tree if it is run
// from there (<its directory>/plugins). Of a directory every *.so is taken, sorted by name. Never
// the current directory: a name without a "/" is refused. Environment variables are ignored in a
// process with elevated privileges.
// A plugin that cannot be used is a record (tn_env_candidate), not a failure; of two of one name
// the first is used.
// A number of threads that cannot be (TENON_NUM_THREADS=abc, 0, -3, 5000) is TN_E_INVALID in
// tn_env_status(); the env can be used, with as many threads as if nothing had been said. So is a
// TENON_NAN other than "stop", which binds will ignore.
// NULL only when out of memory, and in a plugin's own init(), open() or shutdown(), where no env
// can be made or freed. Free it with tn_env_free().
TN_API tn_env *tn_env_new(const tn_env_options *options);

// Shuts the plugins down, last loaded first, and frees env. The shared objects stay mapped until
// the process ends. Everything made with env must be freed before. NULL is allowed.
TN_API void tn_env_free(tn_env *env);

// Status and text of the last failed call that took this env; TN_OK and "" if none failed.
// The text is valid until env is freed or eight more calls failed.
TN_API tn_status tn_env_status(const tn_env *env);
TN_API const char *tn_env_error(const tn_env *env);

// Threads of the pool that kernels run on, the caller's own among them. 0 for NULL.
TN_API uint32_t tn_env_num_threads(const tn_env *env);

// Loads one plugin from an absolute path or an explicitly relative one ("./x.so"); a bare name is
// refused. Explicit loading is required loading: a plugin that cannot be used is an error.
// Errors: TN_E_INVALID bare name; TN_E_IO; TN_E_INCOMPATIBLE; TN_E_EXISTS a name is taken.
TN_API tn_status tn_env_load(tn_env *env, const char *path);

// One file that was looked at, loaded or not.
typedef enum tn_step {
    TN_STEP_USED,      // it is in use
    TN_STEP_FILE,      // not a readable ELF shared object of this machine
    TN_STEP_DLOPEN,    // the dynamic linker refused it
    TN_STEP_SYMBOL,    // no tn_plugin_query in it
    TN_STEP_HANDSHAKE, // epoch, minor, magic or sanitizer do not fit
    TN_STEP_INIT,      // its init failed
    TN_STEP_REGISTER,  // a name is taken, or a table is malformed
    TN_STEP_SHADOWED   // a plugin of that name was loaded from an earlier place
} tn_step;

typedef struct tn_candidate {
    uint32_t size;          // as the library knows it
    tn_step step;           // TN_STEP_USED, or the step that refused it
    tn_status status;       // TN_OK, or the kind of failure
    const char *path;       // the file
    const char *name;       // the plugin's own name; "" if it got not so far
    const char *version;    // the plugin's own version; ""
    const char *reason;     // one sentence; "" if used
    const char *dependency; // the missing library, if that was it; ""
    bool has_abi;           // it said which ABI it was built for: …
    uint32_t epoch, minor;  // … this one
} tn_candidate;

// "dlopen", "handshake", …; never NULL. [any thread]
TN_API const char *tn_step_name(tn_step step);

// Candidates in the order in which they were looked at. i from 0; NULL past the end. The record is
// owned by env.
TN_API size_t tn_env_num_candidates(const tn_env *env);
TN_API const tn_candidate *tn_env_candidate(const tn_env *env, size_t i);

typedef struct tn_backend_entry {
    uint32_t size;       // as the library knows it
    int32_t rank;        // larger comes first; below TN_RANK_LAST: only where somebody names it
    const char *name;    // "blas"
    const char *plugin;  // name of the plugin that brought it
    const char *version; // of that plugin
    const char *path;    // of that plugin
    size_t n_devices;
} tn_backend_entry;

// Backends in the default order (by rank, then by name). NULL past the end.
TN_API size_t tn_env_num_backends(const tn_env *env);
TN_API const tn_backend_entry *tn_env_backend(const tn_env *env, size_t i);

// Device d of backend i as its plugin described it. NULL past the end. Owned by env.
TN_API const tn_device_info *tn_env_device(const tn_env *env, size_t i, size_t d);

// True if backend i has a kernel that may run op on elements of that dtype. A hint for lists: the
// word on one call is the placement report of an executor.
TN_API bool tn_env_backend_has(const tn_env *env, size_t i, const char *op, tn_dtype dtype);

// Operators in alphabetical order, those with TN_OP_INTERNAL too; aliases are in the declaration.
// NULL past the end.
TN_API size_t tn_env_num_ops(const tn_env *env);
TN_API const tn_op_decl *tn_env_op(const tn_env *env, size_t i);

// The operator of that name or alias, or NULL. Sets no error. [any thread]
TN_API const tn_op_decl *tn_env_op_find(const tn_env *env, const char *name);

// Name of the plugin that declared this operator ("" for the core's own).
TN_API const char *tn_env_op_plugin(const tn_env *env, const tn_op_decl *op);

TN_END_DECLS

#endif
