// tests/env/test_host.c: the services that plugins get: threads, reasons, memory, options, log.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/env/env.h"
#include "tests/tn_test.h"

enum { MAX_PIECES = 64 };

// An env with that many threads and one plugin in it, whose services are tested.
static tn_env *env_with(int32_t threads, tn_log_fn log, void *log_ctx)
{
    static const char *const paths[] = {TN_TEST_BACKEND_DIR "/far.so", NULL};
    return tn_env_new(&(tn_env_options){.size = sizeof(tn_env_options),
                                        .flags = TN_ENV_NO_SEARCH,
                                        .paths = paths,
                                        .log = log,
                                        .log_ctx = log_ctx,
                                        .threads = threads});
}

static const tni_plugin *plugin_of(const tn_env *env)
{
    CU_ASSERT(env->n_plugins > 0);
    return env->plugins[env->n_plugins - 1];
}

static const tn_host_api *host_of(const tn_env *env)
{
    return &plugin_of(env)->api;
}

// ------------------------------------------------------------------ parallel_for

typedef struct pieces {
    const tn_host_api *host;
    int64_t begin[MAX_PIECES], end[MAX_PIECES];
    pthread_t thread[MAX_PIECES];
    uint32_t n, nested_workers, nested_elsewhere;
    pthread_mutex_t lock;
} pieces;

static void note(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    pieces *p = ctx;
    pthread_mutex_lock(&p->lock);
    if (worker < MAX_PIECES) {
        p->begin[worker] = begin;
        p->end[worker] = end;
        p->thread[worker] = pthread_self();
    }
    p->n++;
    pthread_mutex_unlock(&p->lock);
}

static void cut(pieces *p, const tn_host_api *host, int64_t n, int64_t grain, uint32_t workers)
{
    *p = (pieces){.host = host, .lock = PTHREAD_MUTEX_INITIALIZER};
    host->parallel_for(host->host, n, grain, workers, note, p);
}

// Every item once, in order of the workers, no piece below the grain unless it is all there is.
static void check_pieces(const pieces *p, int64_t n, int64_t grain, uint32_t most)
{
    int64_t at = 0;
    CU_ASSERT(p->n <= most && p->n >= (n > 0));
    for (uint32_t i = 0; i < p->n && i < MAX_PIECES; i++) {
        CU_ASSERT_EQUAL(p->begin[i], at);
        CU_ASSERT(p->end[i] - p->begin[i] >= grain || p->n == 1);
        at = p->end[i];
    }
    CU_ASSERT_EQUAL(at, n > 0 ? n : 0);
}

static void every_item_once_and_always_cut_alike(void)
{
    static const int64_t sizes[] = {-3, 0, 1, 2, 3, 7, 8, 9, 100, 1000, 1000003};
    tn_env *env = env_with(5, NULL, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int64_t grain = 0; grain < 400; grain = grain * 3 + 1) {
            for (uint32_t workers = 0; workers < 9; workers++) {
                pieces first, again;
                const uint32_t most = workers == 0 || workers > 5 ? 5 : workers;
                cut(&first, host_of(env), sizes[i], grain, workers);
                check_pieces(&first, sizes[i], grain, most);
                cut(&again, host_of(env), sizes[i], grain, workers);
                CU_ASSERT_EQUAL(first.n, again.n);
                CU_ASSERT(memcmp(first.begin, again.begin, sizeof first.begin) == 0);
                CU_ASSERT(memcmp(first.end, again.end, sizeof first.end) == 0);
            }
        }
    }
    tn_env_free(env);
}

static void work_is_shared_evenly(void)
{
    tn_env *env = env_with(4, NULL, NULL);
    pieces p;
    cut(&p, host_of(env), 10, 1, 0);
    CU_ASSERT_EQUAL(p.n, 4);
    CU_ASSERT_EQUAL(p.end[0], 3);
    CU_ASSERT_EQUAL(p.end[1], 6);
    CU_ASSERT_EQUAL(p.end[2], 8);
    CU_ASSERT_EQUAL(p.end[3], 10);
    CU_ASSERT(pthread_equal(p.thread[0], pthread_self()));
    CU_ASSERT(!pthread_equal(p.thread[1], pthread_self()));
    cut(&p, host_of(env), INT64_MAX, 1, 0); // no product overflows
    check_pieces(&p, INT64_MAX, 1, 4);
    tn_env_free(env);
}

static void nested_note(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    pieces *p = ctx;
    pieces inner;
    note(ctx, begin, end, worker);
    cut(&inner, p->host, 1000, 1, 0);
    pthread_mutex_lock(&p->lock);
    p->nested_workers += inner.n;
    p->nested_elsewhere += !pthread_equal(inner.thread[0], pthread_self());
    pthread_mutex_unlock(&p->lock);
}

static void nested_calls_run_inline(void)
{
    tn_env *env = env_with(4, NULL, NULL);
    const tn_host_api *host = host_of(env);
    pieces p = {.host = host, .lock = PTHREAD_MUTEX_INITIALIZER};
    host->parallel_for(host->host, 4, 1, 0, nested_note, &p);
    CU_ASSERT_EQUAL(p.n, 4);
    CU_ASSERT_EQUAL(p.nested_workers, 4);   // each in one piece …
    CU_ASSERT_EQUAL(p.nested_elsewhere, 0); // … in its own thread
    tn_env_free(env);
}

// ------------------------------------------------------------------ budgets

typedef struct messages {
    char text[4096];
    unsigned n;
} messages;

static void keep(void *ctx, uint32_t severity, const char *text)
{
    messages *m = ctx;
    const size_t at = strlen(m->text);
    snprintf(m->text + at, sizeof m->text - at, "[%u] %s\n", severity, text);
    m->n++;
}

static uint32_t threads_of(int32_t asked, messages *m)
{
    const size_t before = m ? strlen(m->text) : 0;
    tn_env *env = env_with(asked, m ? keep : NULL, m);
    const uint32_t n = host_of(env)->threads(host_of(env)->host);
    CU_ASSERT_EQUAL(n, tn_env_num_threads(env));
    // What the log says, the env says too.
    const bool said = m && strstr(m->text + before, "wanted a number of threads");
    CU_ASSERT_EQUAL(tn_env_status(env), said ? TN_E_INVALID : TN_OK);
    if (said) TN_CHECK_HAS(m->text, tn_env_error(env));
    tn_env_free(env);
    return n;
}

static void the_budget_is_asked_for_or_from_the_environment(void)
{
    static const char *const wrong[] = {"many", "0", "-3", "2x", "5000", "99999999999999999999"};
    messages m = {"", 0};
    char said[128];
    unsetenv("TENON_NUM_THREADS");
    const uint32_t all = threads_of(0, NULL);
    CU_ASSERT(all >= 1);
    setenv("TENON_NUM_THREADS", "7", 1);
    CU_ASSERT_EQUAL(threads_of(0, NULL), 7);
    CU_ASSERT_EQUAL(threads_of(3, NULL), 3);
    setenv("TENON_NUM_THREADS", "", 1);
    CU_ASSERT_EQUAL(threads_of(0, NULL), all);
    TN_CHECK_STR(m.text, "");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("TENON_NUM_THREADS", wrong[i], 1);
        CU_ASSERT_EQUAL(threads_of(0, &m), all);
        CU_ASSERT_EQUAL(threads_of(3, &m), 3); // nobody looks at it
        snprintf(said, sizeof said, "TENON_NUM_THREADS=%s: wanted a number of threads, 1 to 4096",
                 wrong[i]);
        TN_CHECK_HAS(m.text, said);
    }
    unsetenv("TENON_NUM_THREADS");
    CU_ASSERT_EQUAL(tn_env_num_threads(NULL), 0);
    setenv("TENON_NAN", "stp", 1);
    tn_env *env = env_with(0, keep, &m);
    TN_CHECK_STR(tn_env_error(env), "TENON_NAN=stp: wanted stop");
    TN_CHECK_HAS(m.text, "TENON_NAN=stp: wanted stop; it is ignored");
    tn_env_free(env);
    unsetenv("TENON_NAN");
    CU_ASSERT_EQUAL(threads_of(-1, &m), all);
    TN_CHECK_HAS(m.text, "tn_env_options.threads=-1: wanted");
    CU_ASSERT_EQUAL(threads_of(4097, &m), all);
    TN_CHECK_HAS(m.text, "tn_env_options.threads=4097: wanted");
}

// ------------------------------------------------------------------ reasons of callbacks

enum { ROUNDS = 2000 };

typedef struct speaker {
    const tni_plugin *plugin;
    int number;
    unsigned wrong;
} speaker;

static void *speak(void *ctx)
{
    speaker *s = ctx;
    const tn_host_api *host = &s->plugin->api;
    for (int i = 0; i < ROUNDS; i++) {
        char text[64];
        snprintf(text, sizeof text, "thread %d, round %d", s->number, i);
        s->wrong += host->fail(host->host, TN_E_NOMEM, text) != TN_E_NOMEM;
        s->wrong += strcmp(tni_host_take_error(s->plugin), text) != 0;
        s->wrong += *tni_host_take_error(s->plugin) != 0; // taken away
    }
    return NULL;
}

static void each_thread_reads_its_own_reason(void)
{
    tn_env *env = env_with(1, NULL, NULL);
    pthread_t threads[4];
    speaker speakers[4];
    for (int i = 0; i < 4; i++) {
        speakers[i] = (speaker){plugin_of(env), i, 0};
        CU_ASSERT_EQUAL(pthread_create(&threads[i], NULL, speak, &speakers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CU_ASSERT_EQUAL(speakers[i].wrong, 0);
    }
    tn_env_free(env);
}

static void a_reason_belongs_to_its_plugin(void)
{
    tn_env *one = env_with(1, NULL, NULL), *two = env_with(1, NULL, NULL);
    const tn_host_api *host = host_of(one);
    host->fail(host->host, TN_E_INVALID, "mine");
    TN_CHECK_STR(tni_host_take_error(plugin_of(two)), "");
    TN_CHECK_STR(tni_callback_reason(plugin_of(one), TN_E_INVALID), "mine");
    TN_CHECK_STR(tni_callback_reason(plugin_of(one), TN_E_NOMEM),
                 "out of memory, and gave no reason");
    CU_ASSERT_EQUAL(host->fail(host->host, TN_OK, "failing with success"), TN_E_INTERNAL);
    tn_env_free(one);
    tn_env_free(two);
}

// ------------------------------------------------------------------ memory, options, log

static void memory_is_aligned_and_bounded(void)
{
    tn_env *env = env_with(1, NULL, NULL);
    const tn_host_api *h = host_of(env);
    for (uint64_t align = 0; align <= 4096; align = align ? align * 2 : 1) {
        void *p = h->alloc(h->host, 100, align);
        CU_ASSERT(p && (align == 0 || (uintptr_t)p % align == 0));
        h->free(h->host, p, 100, align);
    }
    void *nothing = h->alloc(h->host, 0, 64);
    CU_ASSERT_PTR_NOT_NULL(nothing);
    h->free(h->host, nothing, 0, 64);
    CU_ASSERT_PTR_NULL(h->alloc(h->host, 100, 24));
    CU_ASSERT_PTR_NULL(h->alloc(h->host, UINT64_MAX, 64));
    CU_ASSERT_PTR_NULL(h->get_extension(h->host, "tn.nothing/1"));
    tn_env_free(env);
}

static void options_come_from_the_environment_and_are_checked(void)
{
    messages m = {"", 0};
    tn_env *env = env_with(1, NULL, NULL);
    TN_CHECK_STR(host_of(env)->option(host_of(env)->host, "limit"), "0");
    tn_env_free(env);
    setenv("TENON_OPT_FAR_LIMIT", "4096", 1);
    setenv("TENON_OPT_FAR_LIMTI", "1", 1);
    env = env_with(1, keep, &m);
    TN_CHECK_STR(host_of(env)->option(host_of(env)->host, "limit"), "4096");
    CU_ASSERT_PTR_NULL(host_of(env)->option(host_of(env)->host, "colour"));
    TN_CHECK_HAS(m.text, "[2] far: asks for the option colour, which it did not declare");
    TN_CHECK_HAS(m.text, "[2] far: has no option for TENON_OPT_FAR_LIMTI");
    tn_env_free(env);
    static const char *const bad[] = {"many", "-1", "", "12x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("TENON_OPT_FAR_LIMIT", bad[i], 1);
        env = env_with(1, NULL, NULL);
        const tn_candidate *c = tn_env_candidate(env, 0);
        CU_ASSERT_EQUAL(c->step, TN_STEP_INIT);
        CU_ASSERT_EQUAL(c->status, TN_E_INVALID);
        TN_CHECK_HAS(c->reason, "TENON_OPT_FAR_LIMIT=");
        tn_env_free(env);
    }
    unsetenv("TENON_OPT_FAR_LIMIT");
    unsetenv("TENON_OPT_FAR_LIMTI");
}

static void the_log_is_the_callers(void)
{
    messages m = {"", 0};
    tn_env *env = env_with(1, keep, &m);
    const tn_host_api *h = host_of(env);
    h->log(h->host, TN_LOG_HOST_MISBEHAVING, "you did it again");
    TN_CHECK_HAS(m.text, "[4] far: you did it again\n");
    tn_env_free(env);
    env = env_with(1, NULL, NULL);
    host_of(env)->log(host_of(env)->host, TN_LOG_ERROR, "nobody hears this");
    tn_env_free(env);
}

TN_TEST_MAIN({"every item once, and always cut alike", every_item_once_and_always_cut_alike},
             {"work is shared evenly", work_is_shared_evenly},
             {"nested calls run inline", nested_calls_run_inline},
             {"the thread budget", the_budget_is_asked_for_or_from_the_environment},
             {"each thread reads its own reason", each_thread_reads_its_own_reason},
             {"a reason belongs to its plugin", a_reason_belongs_to_its_plugin},
             {"memory is aligned and bounded", memory_is_aligned_and_bounded},
             {"options come from the environment and are checked",
              options_come_from_the_environment_and_are_checked},
             {"the log is the caller's", the_log_is_the_callers})
