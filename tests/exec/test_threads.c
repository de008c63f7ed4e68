// tests/exec/test_threads.c: executors in several threads on one env.
#include <pthread.h>

#include "tests/exec/nets.h"

enum { THREADS = 4, STEPS = 20 };

// One thread's work: a graph of its own, and an executor bound from it or handed in.
typedef struct worker {
    pthread_t thread;
    tn_exec *exec; // NULL: it binds one
    tn_status status;
    double result;
} worker;

static tn_symbol net_of(tn_graph *g)
{
    tn_symbol x = tn_variable(g, "data");
    x = tn_call(g, "FullyConnected", .inputs = TN_SYMS(x), .name = "fc",
                .params = TN_ATTRS({"num_hidden", "16"}));
    x = tn_call(g, "Dropout", .inputs = TN_SYMS(x), .params = TN_ATTRS({"p", "0.5"}));
    return tn_call(g, "SoftmaxOutput", .inputs = TN_SYMS(x), .name = "out");
}

static tn_exec *bind_net(tn_graph *g)
{
    tn_exec *e = tn_simple_bind(g, net_of(g), .backends = bench.backends, .grad_req = TN_WRITE,
                                .seed = 5, .shapes = TN_SHAPES({"data", TN_DIMS(8, 12)}));
    if (!e) return NULL;
    float *data = tn_tensor_data(tn_exec_arg(e, "data"));
    float *weight = tn_tensor_data(tn_exec_arg(e, "fc_weight"));
    for (int i = 0; i < 8 * 12; i++) data[i] = (float)(i % 7) / 7.0f;
    for (int i = 0; i < 16 * 12; i++) weight[i] = (float)(i % 5 - 2) / 5.0f;
    return e;
}

static void *work(void *p)
{
    worker *w = p;
    tn_graph *g = w->exec ? NULL : tn_graph_new(bench.env);
    tn_exec *e = w->exec ? w->exec : g ? bind_net(g) : NULL;
    w->status = e ? TN_OK : TN_E_INTERNAL;
    for (int i = 0; i < STEPS && !w->status; i++) {
        w->status = tn_forward(e, true);
        if (!w->status) w->status = tn_backward(e, TN_NO_HEADS);
    }
    if (!w->status) w->result = tn_tensor_at(tn_exec_grad(e, "fc_weight"), 3);
    if (!w->exec) tn_exec_free(e);
    tn_graph_free(g);
    return NULL;
}

// Runs all workers at once; all must come to the same number.
static void run_all(worker *w, void *(*what)(void *))
{
    int started = 0;
    while (started < THREADS && !pthread_create(&w[started].thread, NULL, what, &w[started]))
        started++;
    CU_ASSERT_EQUAL(started, THREADS);
    for (int i = 0; i < started; i++) pthread_join(w[i].thread, NULL);
    for (int i = 0; i < started; i++) {
        CU_ASSERT_EQUAL(w[i].status, TN_OK);
        TN_CHECK_NEAR(w[i].result, w[0].result, 0);
    }
    CU_ASSERT_TRUE(w[0].result != 0);
}

static void each_thread_binds_and_runs(void)
{
    worker w[THREADS] = {{0}};
    run_all(w, work);
}

// The life of an env: its plugins are loaded while others load, use and leave the same files.
static void *live(void *p)
{
    static const char *const paths[] = {TN_TEST_PLUGIN_DIR, NULL};
    worker *w = p;
    tn_env *env = tn_env_new(&(tn_env_options){
        .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
    tn_graph *g = env ? tn_graph_new(env) : NULL;
    tn_exec *e = g ? bind_net(g) : NULL;
    w->status = e ? tn_forward(e, true) : TN_E_INTERNAL;
    if (!w->status) w->status = tn_backward(e, TN_NO_HEADS);
    if (!w->status) w->result = tn_tensor_at(tn_exec_grad(e, "fc_weight"), 3);
    tn_exec_free(e);
    tn_graph_free(g);
    tn_env_free(env);
    return NULL;
}

static void each_thread_loads_plugins(void)
{
    for (int round = 0; round < 2; round++) {
        worker w[THREADS] = {{0}};
        run_all(w, live);
    }
}

static void executors_bound_here_run_elsewhere(void)
{
    worker w[THREADS] = {{0}};
    tn_graph *g[THREADS];
    for (int i = 0; i < THREADS; i++) {
        g[i] = tn_graph_new(bench.env);
        w[i].exec = bind_net(g[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(w[i].exec);
    }
    run_all(w, work);
    for (int i = 0; i < THREADS; i++) {
        tn_exec_free(w[i].exec);
        tn_graph_free(g[i]);
    }
}

static void the_budget_of_threads_reaches_the_kernels(void)
{
    const uint32_t pool = tn_env_num_threads(bench.env);
    for (int32_t wanted = 0; wanted < 3; wanted++) {
        tn_graph *g = tn_graph_new(bench.env);
        tn_exec *e = tn_simple_bind(g, net_of(g), .backends = bench.backends, .threads = wanted,
                                    .shapes = TN_SHAPES({"data", TN_DIMS(8, 12)}));
        CU_ASSERT_PTR_NOT_NULL_FATAL(e);
        const uint32_t most = wanted && (uint32_t)wanted < pool ? (uint32_t)wanted : pool;
        for (size_t i = 0; i < e->n_rows; i++) CU_ASSERT_EQUAL(e->rows[i].args.max_workers, most);
        CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
        tn_exec_free(e);
        tn_graph_free(g);
    }
}

TN_TEST_MAIN({"each thread binds and runs", each_thread_binds_and_runs},
             {"each thread loads plugins", each_thread_loads_plugins},
             {"executors bound here run elsewhere", executors_bound_here_run_elsewhere},
             {"the budget of threads reaches the kernels",
              the_budget_of_threads_reaches_the_kernels})
