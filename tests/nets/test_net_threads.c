// tests/nets/test_net_threads.c: executors in several threads at once give what they give alone,
// and no run takes more threads than it may, whatever backends alternate in it.
//
// Runs once for each list of backends that tests/CMakeLists.txt names. The program starts itself
// again with OMP_NUM_THREADS=8 and TENON_NUM_THREADS=2, so that a library that asks OpenMP instead
// of the host is seen, on a machine with two processors too.
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/nets/zoo_run.h"

enum { POOL = 2 }; // TENON_NUM_THREADS

// ------------------------------------------------------------------ how many threads there are

// Of this process, now.
static int threads_now(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

// Looks how many there are while others work. One for all runs: a thread that ends is counted for a
// moment after it was joined.
static struct watcher {
    pthread_t thread;
    atomic_bool stop;
    atomic_int most;
} watcher;

static void *watch(void *p)
{
    (void)p;
    while (!atomic_load(&watcher.stop)) {
        const int n = threads_now();
        if (n > atomic_load(&watcher.most)) atomic_store(&watcher.most, n);
        usleep(100);
    }
    return NULL;
}

static void run(tn_exec *e, int times)
{
    for (int i = 0; e && i < times; i++) {
        tn_forward(e, true);
        tn_backward(e, TN_NO_HEADS);
        tn_forward(e, false);
    }
    TN_CHECK_EXEC(e);
}

// Runs the network with at most that many threads; the largest number of threads seen meanwhile.
static int most_threads(const zoo_net *net, zoo_way way, int32_t threads)
{
    way.threads = threads;
    atomic_store(&watcher.most, threads_now());
    tn_exec *e = zoo_bind(net, &way);
    run(e, 8);
    tn_exec_free(e);
    return atomic_load(&watcher.most);
}

// Host backends in turn, node by node: each hands over to the other within one run.
static zoo_way alternating(void)
{
    static const char *pins[3];
    static char list[64];
    if (strncmp(bench.backends, "opencl", 6) == 0 || !zoo_has("onednn"))
        return (zoo_way){.backends = bench.backends};
    pins[0] = "blas";
    pins[1] = "onednn";
    snprintf(list, sizeof list, "%s,reference", "onednn,blas");
    return (zoo_way){.backends = list, .pins = pins};
}

// A driver of OpenCL has threads of its own once something runs on it: those are counted before.
static int threads_before(void)
{
    if (strncmp(bench.backends, "opencl", 6) == 0)
        for (size_t i = 0; i < ZOO_NETS; i++)
            most_threads(&zoo[i], (zoo_way){.backends = bench.backends}, 1);
    return threads_now();
}

// All networks with that many threads; this one is among them, and among those before.
static void check_threads(int before, int32_t threads, int most)
{
    for (size_t i = 0; i < ZOO_NETS; i++) {
        const int both = most_threads(&zoo[i], alternating(), threads);
        const int own = most_threads(&zoo[i], (zoo_way){.backends = bench.backends}, threads);
        CU_ASSERT(both <= before - 1 + most);
        CU_ASSERT(own <= before - 1 + most);
    }
}

// First one thread, then two: OpenMP keeps those that it once made. 0 is the pool's size.
static void no_run_takes_more_threads_than_it_may(void)
{
    if (TN_SANITIZER) {
        tn_skip("a sanitizer has threads of its own");
        return;
    }
    CU_ASSERT_EQUAL_FATAL(pthread_create(&watcher.thread, NULL, watch, NULL), 0);
    const int before = threads_before();
    check_threads(before, 1, 1);
    check_threads(before, POOL, POOL);
    check_threads(before, 0, POOL);
    atomic_store(&watcher.stop, true);
    pthread_join(watcher.thread, NULL);
}

// ------------------------------------------------------------------ several executors at once

typedef struct worker {
    pthread_t thread;
    tn_exec *exec;
} worker;

static void *work(void *p)
{
    worker *w = p;
    for (int i = 0; i < 10; i++) {
        tn_forward(w->exec, true);
        tn_backward(w->exec, TN_NO_HEADS);
    }
    return NULL;
}

// blas gives the same bits however it is run. Others cut sums by the number of threads, which
// OpenMP may make smaller when many ask.
static double tolerance(void)
{
    return strcmp(bench.backends, "blas") == 0 ? 0 : 5e-5;
}

// Every network twice, all at once, each in a thread of its own; some alternate between backends.
static void executors_at_once_give_what_they_give_alone(void)
{
    enum { WORKERS = 2 * ZOO_NETS };
    worker w[WORKERS] = {{0}};
    tn_exec *alone[WORKERS];
    int started = 0;
    for (int i = 0; i < WORKERS; i++) {
        const zoo_way way =
            i % 2 ? alternating() : (zoo_way){.backends = bench.backends, .threads = 1 + i / 2 % 2};
        alone[i] = zoo_bind(&zoo[i / 2], &way);
        w[i].exec = zoo_bind(&zoo[i / 2], &way);
        if (alone[i]) work(&(worker){.exec = alone[i]});
    }
    while (started < WORKERS && w[started].exec &&
           pthread_create(&w[started].thread, NULL, work, &w[started]) == 0)
        started++;
    CU_ASSERT_EQUAL(started, WORKERS);
    for (int i = 0; i < started; i++) pthread_join(w[i].thread, NULL);
    for (int i = 0; i < WORKERS; i++) {
        TN_CHECK_EXEC(w[i].exec);
        if (alone[i] && w[i].exec)
            zoo_all_near(zoo[i / 2].name, w[i].exec, alone[i], i % 2 ? 5e-5 : tolerance());
        tn_exec_free(w[i].exec);
        tn_exec_free(alone[i]);
    }
}

int main(int argc, char **argv)
{
    static const tn_test_case tests[] = {
        {"no run takes more threads than it may", no_run_takes_more_threads_than_it_may},
        {"executors at once give what they give alone",
         executors_at_once_give_what_they_give_alone},
    };
    const char *threads = getenv("TENON_NUM_THREADS");
    if (!threads || strcmp(threads, "2") != 0 || !getenv("OMP_NUM_THREADS")) {
        setenv("OMP_NUM_THREADS", "8", 1);
        setenv("TENON_NUM_THREADS", "2", 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    return tn_test_run(argc, argv, __FILE__, tests, sizeof tests / sizeof tests[0]);
}
