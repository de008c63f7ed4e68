// tests/exec/test_pending_others.c: what runs left behind when several threads wait for it, and
// when it fails.
#include <pthread.h>

#include "tests/exec/lazy.h"

// ------------------------------------------------------------------ threads

typedef struct worker {
    pthread_t thread;
    tn_tensor *w;
    double wanted, got;
} worker;

// Binds, runs and frees executors that share w, which nobody writes.
static void *work(void *p)
{
    worker *me = p;
    for (int i = 0; i < 20; i++) {
        tn_graph *g = tn_graph_new(bench.env);
        const tn_symbol y =
            tn_call(g, "_mul", .inputs = TN_SYMS(tn_variable(g, "x"), tn_variable(g, "w")));
        tn_exec *e = tn_simple_bind(g, y, .backends = "lazy", .args = TN_TENSORS({"w", me->w}));
        if (e) tn_tensor_fill(tn_exec_arg(e, "x"), me->wanted);
        if (e && tn_forward(e, false) == TN_OK) me->got += tn_tensor_at(tn_exec_output(e, 0), 1);
        tn_exec_free(e);
        tn_graph_free(g);
    }
    return NULL;
}

static void threads_share_what_nobody_writes(void)
{
    enum { THREADS = 4 };
    worker workers[THREADS];
    if (!start("0")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL});
    if (!e) return;
    fill(e, 1, 1);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.w = tn_exec_arg(e, "w"), .wanted = i + 1};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        CU_ASSERT_EQUAL(workers[i].got, 20 * workers[i].wanted);
    }
    tn_exec_free(e);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

typedef struct waiter {
    pthread_t thread;
    tn_exec *exec; // of relu over `out`
    tn_tensor *out;
    double got[2];
} waiter;

// By a run, and by the host, whichever comes first.
static void *read_it(void *p)
{
    waiter *me = p;
    float got[2] = {0};
    if (me->exec && tn_forward(me->exec, false) == TN_OK)
        me->got[0] = tn_tensor_at(tn_exec_output(me->exec, 0), 1);
    if (tn_tensor_get(me->out, got, sizeof got) == TN_OK) me->got[1] = (double)got[1];
    return NULL;
}

// Work that one executor left is waited for by many: its queue is one thread's at a time, and is
// there for as long as somebody waits, though its executor is being freed.
static void threads_wait_for_one_queue(void)
{
    enum { THREADS = 4, ROUNDS = 30 };
    waiter waiters[THREADS] = {0};
    if (!start("0")) return;
    for (int round = 0; round < ROUNDS; round++) {
        tn_exec *e = product("lazy", (tn_tensors){0, NULL});
        if (!e) return;
        tn_tensor *out = tn_tensor_retain(tn_exec_output(e, 0));
        for (int i = 0; i < THREADS; i++) {
            tn_graph *g = tn_graph_new(bench.env);
            const tn_symbol y = tn_call(g, "relu", .inputs = TN_SYMS(tn_variable(g, "a")));
            waiters[i] = (waiter){.out = out};
            if (i && round % 2) // else all of them are the host's
                waiters[i].exec =
                    tn_simple_bind(g, y, .backends = "lazy", .args = TN_TENSORS({"a", out}));
            tn_graph_free(g);
        }
        fill(e, 3, round);
        RUN_OK(tn_forward(e, false));
        for (int i = 0; i < THREADS; i++)
            CU_ASSERT_EQUAL_FATAL(pthread_create(&waiters[i].thread, NULL, read_it, &waiters[i]),
                                  0);
        if (round % 2 == 0) tn_exec_free(e);
        for (int i = 0; i < THREADS; i++) pthread_join(waiters[i].thread, NULL);
        for (int i = 0; i < THREADS; i++) {
            if (waiters[i].exec) CU_ASSERT_EQUAL(waiters[i].got[0], 3 * round);
            CU_ASSERT_EQUAL(waiters[i].got[1], 3 * round);
            tn_exec_free(waiters[i].exec);
        }
        if (round % 2) tn_exec_free(e);
        tn_tensor_release(out);
    }
    CU_ASSERT_EQUAL(counters()->crowded, 0);
    CU_ASSERT_EQUAL(counters()->dropped, 0);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

typedef struct looker {
    tn_tensor *whole;
    atomic_bool done;
} looker;

static void *look_at_the_first(void *p)
{
    looker *me = p;
    while (!atomic_load(&me->done))
        if (tn_tensor_at(me->whole, 0) != 1) return me;
    return NULL;
}

// One thread looks at element 0 and brings those behind it along; another one writes these, by runs
// and from the host, and is to see what it wrote.
static void elements_near_by_are_not_kept_while_they_change(void)
{
    pthread_t thread;
    void *wrong = NULL;
    if (!start("0")) return;
    tn_exec *holder = product("lazy", (tn_tensors){0, NULL}), *e = NULL;
    if (!holder) return;
    looker me = {.whole = tn_exec_arg(holder, "x")};
    tn_tensor *last = tn_tensor_slice(me.whole, 1, 2);
    e = tn_simple_bind(
        bench.g,
        tn_call(bench.g, "relu", .inputs = TN_SYMS(tn_variable(bench.g, "a")), .name = "r"),
        .backends = "lazy", .shapes = TN_SHAPES({"a", TN_DIMS(1)}),
        .outs = TN_TENSORS({"r_output", last}));
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_tensor_fill(me.whole, 1));
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, look_at_the_first, &me), 0);
    for (int i = 0; i < 300; i++) {
        RUN_OK(tn_tensor_fill(tn_exec_arg(e, "a"), i));
        RUN_OK(tn_forward(e, false));
        CU_ASSERT_EQUAL(tn_tensor_at(me.whole, 1), i);
        RUN_OK(tn_tensor_fill(last, -i));
        CU_ASSERT_EQUAL(tn_tensor_at(me.whole, 1), -i);
    }
    atomic_store(&me.done, true);
    pthread_join(thread, &wrong);
    CU_ASSERT_PTR_NULL(wrong);
    tn_tensor_release(last);
    tn_exec_free(e);
    tn_exec_free(holder);
}

// ------------------------------------------------------------------ failures

// The run that fails is over long ago: whoever waits first is told, and then the executor.
static void a_late_failure_is_told_to_who_waits(void)
{
    if (!start("1")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL});
    float got[2];
    if (!e) return;
    fill(e, 3, 5);
    RUN_OK(tn_forward(e, false));
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_OK);
    CU_ASSERT_EQUAL(tn_tensor_get(tn_exec_output(e, 0), got, sizeof got), TN_E_DEVICE_LOST);
    TN_CHECK_HAS(tn_env_error(bench.env), "run 1 was to fail");
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_DEVICE_LOST);
    TN_CHECK_HAS(tn_exec_error(e), "lazy:0: a run that had been queued failed: ");
    TN_CHECK_HAS(tn_exec_error(e), "run 1 was to fail");
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_E_DEVICE_LOST);
    CU_ASSERT_EQUAL(tn_exec_wait(e), TN_E_DEVICE_LOST);
    tn_exec_forgive(e);
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 15, 15);
    tn_exec_free(e);
}

// The network fails while the update waits for it: both executors have the error.
static void a_late_failure_reaches_who_waited_in_a_queue(void)
{
    if (!start("1")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL}), *update = e ? update_of(e, "1") : NULL;
    if (!update) return;
    fill(e, 3, 5);
    RUN_OK(tn_forward(e, false));
    RUN_OK(tn_forward(update, false));
    CU_ASSERT_EQUAL(tn_exec_wait(update), TN_E_DEVICE_LOST);
    TN_CHECK_HAS(tn_exec_error(update), "run 1 was to fail");
    tn_exec_free(update);
    tn_exec_free(e);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

// Of more queues than are waited for by events one fails.
static void a_late_failure_among_many_reaches_who_waited(void)
{
    enum { READERS = 20 };
    tn_exec *reader[READERS] = {0};
    if (!start("1")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL}), *update = e ? update_of(e, "1") : NULL;
    if (!update) return;
    for (int i = 0; i < READERS; i++) {
        reader[i] = product("lazy", TN_TENSORS({"w", tn_exec_arg(e, "w")}));
        RUN_OK(tn_forward(reader[i], false));
    }
    CU_ASSERT_EQUAL(tn_forward(update, false), TN_E_DEVICE_LOST);
    CU_ASSERT_EQUAL(tn_exec_status(update), TN_E_DEVICE_LOST);
    TN_CHECK_HAS(tn_exec_error(update), "run 1 was to fail");
    for (int i = 0; i < READERS; i++) tn_exec_free(reader[i]);
    tn_exec_free(update);
    tn_exec_free(e);
}

// The run that was to compute something of constants failed late: the next one computes it again.
static void constants_are_computed_again_after_a_late_failure(void)
{
    if (!start("1")) return;
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(2)),
              w = tn_variable(bench.g, "w", .shape = TN_DIMS(2));
    const tn_symbol c = BINARY("_mul", "cube", BINARY("_mul", "square", w, w), w);
    tn_exec *e = tn_simple_bind(bench.g, BINARY("_mul", "y", x, c), .backends = "lazy",
                                .inputs = "x", .flags = TN_BIND_NO_FUSE);
    if (!TN_CHECK_EXEC(e)) return;
    fill(e, 2, 3);
    RUN_OK(tn_forward(e, false));
    CU_ASSERT_EQUAL(tn_exec_wait(e), TN_E_DEVICE_LOST);
    tn_exec_forgive(e);
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 54, 54);
    tn_exec_free(e);
}

// The host waits for a value that the failing run was to make: the run says so itself.
static void a_failure_that_the_host_waits_for_is_the_runs(void)
{
    if (!start("1")) return;
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(3));
    tn_exec *e = tn_simple_bind(bench.g, UNARY("sin", "s", BINARY("_mul", "a", x, x)),
                                .backends = "lazy,reference");
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_E_DEVICE_LOST);
    TN_CHECK_HAS(tn_exec_error(e), "a_0_copy (_CrossDeviceCopy) on lazy:0: ");
    TN_CHECK_HAS(tn_exec_error(e), "run 1 was to fail");
    tn_exec_forgive(e);
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 0, 0, 0);
    tn_exec_free(e);
    CU_ASSERT_EQUAL(counters()->live_events, 0);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

static void an_executor_is_freed_with_a_failure_under_way(void)
{
    if (!start("1")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL});
    if (!e) return;
    fill(e, 3, 5);
    RUN_OK(tn_forward(e, false));
    tn_exec_free(e);
    CU_ASSERT_EQUAL(counters()->dropped, 0);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
    CU_ASSERT_EQUAL(counters()->live_kernels, 0);
}

static void nothing_waits_without_an_executor(void)
{
    CU_ASSERT_EQUAL(tn_exec_wait(NULL), TN_E_INVALID);
}

TN_TEST_MAIN({"threads share what nobody writes", threads_share_what_nobody_writes},
             {"threads wait for one queue", threads_wait_for_one_queue},
             {"elements near by are not kept while they change",
              elements_near_by_are_not_kept_while_they_change},
             {"a late failure is told to who waits", a_late_failure_is_told_to_who_waits},
             {"a late failure reaches who waited in a queue",
              a_late_failure_reaches_who_waited_in_a_queue},
             {"a late failure among many reaches who waited",
              a_late_failure_among_many_reaches_who_waited},
             {"constants are computed again after a late failure",
              constants_are_computed_again_after_a_late_failure},
             {"a failure that the host waits for is the run's",
              a_failure_that_the_host_waits_for_is_the_runs},
             {"an executor is freed with a failure under way",
              an_executor_is_freed_with_a_failure_under_way},
             {"nothing waits without an executor", nothing_waits_without_an_executor})
