// core/env/host.c: the services that plugins are given: log, errors, memory, threads, options.
#include <omp.h>

#include "core/env/env.h"

// ------------------------------------------------------------------ reasons of callbacks

// What the last failing callback in this thread said. The only state of the core that is not in
// an object: a callback has no place of its own for a text, and its caller reads it at once.
static _Thread_local struct {
    uint64_t plugin; // id; 0: nothing was said
    char text[512];
} said;

static tn_status host_fail(tn_host *host, tn_status status, const char *text)
{
    const tni_plugin *p = (const tni_plugin *)host;
    said.plugin = p->id;
    snprintf(said.text, sizeof said.text, "%s", text ? text : "");
    return status == TN_OK ? TN_E_INTERNAL : status;
}

const char *tni_host_take_error(const tni_plugin *plugin)
{
    if (said.plugin != plugin->id) return "";
    said.plugin = 0;
    return said.text;
}

const char *tni_callback_reason(const tni_plugin *plugin, tn_status status)
{
    const char *text = tni_host_take_error(plugin);
    if (*text) return text;
    snprintf(said.text, sizeof said.text, "%s, and gave no reason", tn_status_text(status));
    return said.text;
}

// ------------------------------------------------------------------ log

void tni_log(tn_env *env, uint32_t severity, const char *format, ...)
{
    char text[1024];
    if (!env->log) return;
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    env->log(env->log_ctx, severity, text);
}

static void host_log(tn_host *host, uint32_t severity, const char *text)
{
    const tni_plugin *p = (const tni_plugin *)host;
    tni_log(p->env, severity, "%s: %s", p->name, text ? text : "");
}

// ------------------------------------------------------------------ memory

static void *host_alloc(tn_host *host, uint64_t bytes, uint64_t align)
{
    void *p = NULL;
    (void)host;
    if (align < sizeof(void *)) align = sizeof(void *);
    if (bytes > PTRDIFF_MAX || align > PTRDIFF_MAX || (align & (align - 1))) return NULL;
    return posix_memalign(&p, (size_t)align, bytes ? (size_t)bytes : 1) == 0 ? p : NULL;
}

static void host_free(tn_host *host, void *p, uint64_t bytes, uint64_t align)
{
    (void)host;
    (void)bytes;
    (void)align;
    free(p);
}

// ------------------------------------------------------------------ threads

enum { MOST_THREADS = 4096 };

// What was asked for cannot be: the env says so, and the log, which tells as well what is used.
static void refuse_threads(tn_env *env, const char *what, const char *got, uint32_t used)
{
    char text[160];
    snprintf(text, sizeof text, "%s=%.32s: wanted a number of threads, 1 to %d", what, got,
             MOST_THREADS);
    tni_log(env, TN_LOG_WARN, "%s; %u %s used", text, used, used == 1 ? "is" : "are");
    tni_env_fail(env, TN_E_INVALID, "%s", text);
}

uint32_t tni_threads_choose(tn_env *env, int32_t asked)
{
    const char *text = secure_getenv("TENON_NUM_THREADS");
    const int all = omp_get_max_threads(); // OMP_NUM_THREADS, or all CPUs
    const uint32_t usual = all > 0 ? (uint32_t)all : 1;
    if (asked > 0 && asked <= MOST_THREADS) return (uint32_t)asked;
    if (asked != 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", asked);
        refuse_threads(env, "tn_env_options.threads", number, usual);
        return usual;
    }
    if (!text || !*text) return usual;
    char *end;
    const long n = strtol(text, &end, 10);
    if (*end == 0 && n > 0 && n <= MOST_THREADS) return (uint32_t)n;
    refuse_threads(env, "TENON_NUM_THREADS", text, usual);
    return usual;
}

void tni_nan_check(tn_env *env)
{
    const char *text = secure_getenv("TENON_NAN");
    if (!text || !*text || strcmp(text, "stop") == 0) return;
    tni_log(env, TN_LOG_WARN, "TENON_NAN=%.32s: wanted stop; it is ignored", text);
    tni_env_fail(env, TN_E_INVALID, "TENON_NAN=%.32s: wanted stop", text);
}

static uint32_t host_threads(tn_host *host)
{
    return ((const tni_plugin *)host)->env->threads;
}

// First item of piece i when n items are cut into `pieces`: the first n % pieces have one more.
static int64_t piece_begin(int64_t n, int64_t pieces, int64_t i)
{
    const int64_t size = n / pieces, more = n % pieces;
    return i * size + (i < more ? i : more);
}

// ThreadSanitizer does not see into libgomp, so it is told that what was written before a parallel
// region is known in it, and what was written in it is known afterwards.
#if TN_SANITIZER == 3
extern void __tsan_acquire(void *);
extern void __tsan_release(void *);
#define ACQUIRE(p) __tsan_acquire(p)
#define RELEASE(p) __tsan_release(p)
#define UNSEEN __attribute__((no_sanitize_thread))
#else
#define ACQUIRE(p) (void)(p)
#define RELEASE(p) (void)(p)
#define UNSEEN
#endif

// Pieces of equal size, one per worker. A piece's number is its worker's number, so the cut does
// not depend on how many threads OpenMP really gives; should it give fewer, each takes several
// pieces, one after the other.
UNSEEN static void host_parallel_for(tn_host *host, int64_t n, int64_t grain, uint32_t max_workers,
                                     tn_range_fn fn, void *ctx)
{
    const tni_plugin *p = (const tni_plugin *)host;
    int64_t pieces = p->env->threads;
    if (n <= 0) return;
    if (max_workers && max_workers < pieces) pieces = max_workers;
    if (grain < 1) grain = 1;
    if (n / grain < pieces) pieces = n / grain;
    if (pieces <= 1 || omp_in_parallel()) {
        fn(ctx, 0, n, 0);
        return;
    }
    char begun, done;
    RELEASE(&begun);
#pragma omp parallel for schedule(static) num_threads((int)pieces)
    for (int64_t i = 0; i < pieces; i++) {
        ACQUIRE(&begun);
        fn(ctx, piece_begin(n, pieces, i), piece_begin(n, pieces, i + 1), (uint32_t)i);
        RELEASE(&done);
    }
    ACQUIRE(&done);
}

// ------------------------------------------------------------------ options, extensions

static const char *host_option(tn_host *host, const char *key)
{
    const tni_plugin *p = (const tni_plugin *)host;
    for (size_t i = 0; key && i < p->n_options; i++)
        if (strcmp(p->options[i].key, key) == 0) return p->options[i].value;
    tni_log(p->env, TN_LOG_WARN, "%s: asks for the option %.64s, which it did not declare", p->name,
            key ? key : "(NULL)");
    return NULL;
}

static const void *host_extension(tn_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL; // this epoch has none
}

void tni_host_fill(tni_plugin *plugin)
{
    plugin->api = (tn_host_api){.struct_size = sizeof plugin->api,
                                .minor = TN_MINOR,
                                .host = (tn_host *)plugin,
                                .log = host_log,
                                .fail = host_fail,
                                .alloc = host_alloc,
                                .free = host_free,
                                .parallel_for = host_parallel_for,
                                .threads = host_threads,
                                .option = host_option,
                                .get_extension = host_extension};
}
