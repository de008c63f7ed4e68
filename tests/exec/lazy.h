// tests/exec/lazy.h: executors on the backend "lazy" (tests/plugins/far_queue.c), whose queues do
// nothing before somebody waits.
//
// Its log shows who did, and values that are read too early are NaNs, or old.
#ifndef TENON_TESTS_LAZY_H
#define TENON_TESTS_LAZY_H

#include "tests/exec/nets.h"
#include "tests/plugins/far_memory.h"

#define RUN_OK(call) tn_check_ok(__LINE__, __FILE__, (call), e ? tn_exec_error(e) : "no executor")

// An env with the double, whose run number `fail` fails. 0: none.
static inline bool start(const char *fail)
{
    static const char *const paths[] = {TN_TEST_PLUGIN_DIR, TN_TEST_BACKEND_DIR "/far.so", NULL};
    tn_graph_free(bench.g);
    tn_env_free(bench.env);
    setenv("TENON_OPT_FAR_FAIL", fail, 1);
    bench.env = tn_env_new(&(tn_env_options){
        .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
    unsetenv("TENON_OPT_FAR_FAIL");
    bench.g = bench.env ? tn_graph_new(bench.env) : NULL;
    return bench.g != NULL;
}

static inline tn_far_counters *counters(void)
{
    const tni_registry *r = tni_env_registry(bench.env);
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (strcmp(r->backends[i]->api.name, "far") == 0)
            return (tn_far_counters *)r->backends[i]->api.get_extension(r->backends[i]->self,
                                                                        TN_FAR_COUNTERS);
    return NULL;
}

static inline void clear_log(void)
{
    tn_far_counters *c = counters();
    memset(c->log, 0, sizeof c->log);
    atomic_store(&c->n_log, 0);
}

// x * w of (2,) on the device, with gradients; the tensors of another executor, or its own.
static inline tn_exec *product(const char *backends, tn_tensors args)
{
    tn_graph *g = tn_graph_new(bench.env);
    const tn_symbol y =
        tn_call(g, "_mul", .inputs = TN_SYMS(tn_variable(g, "x"), tn_variable(g, "w")));
    tn_exec *e = tn_simple_bind(g, y, .backends = backends, .grad_req = TN_WRITE, .args = args,
                                .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    TN_CHECK_STR(e ? "" : tn_graph_error(g), "");
    tn_graph_free(g);
    return e;
}

// w := w - lr * grad of another executor's tensors.
static inline tn_exec *update_of(tn_exec *net, const char *lr)
{
    tn_graph *g = tn_graph_new(bench.env);
    tn_tensor *const w = tn_exec_arg(net, "w"), *const d = tn_exec_grad(net, "w");
    const tn_symbol y = tn_call(g, "sgd_update", .name = "new",
                                .inputs = TN_SYMS(tn_variable(g, "w"), tn_variable(g, "d")),
                                .params = TN_ATTRS({"lr", lr}));
    tn_exec *e = tn_simple_bind(g, y, .backends = "lazy", .args = TN_TENSORS({"w", w}, {"d", d}),
                                .outs = TN_TENSORS({"new_output", w}));
    TN_CHECK_STR(e ? "" : tn_graph_error(g), "");
    tn_graph_free(g);
    return e;
}

static inline void fill(tn_exec *e, double x, double w)
{
    RUN_OK(tn_tensor_fill(tn_exec_arg(e, "x"), x));
    RUN_OK(tn_tensor_fill(tn_exec_arg(e, "w"), w));
    clear_log();
}

#endif
