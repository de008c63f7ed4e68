// tools/bench_chain.c: chains of scalar additions: the cost of a node, and of making a graph.
#include <stdlib.h>

#include "tools/bench.h"

static tn_symbol chain(tn_graph *g, long nodes)
{
    tn_symbol x = tn_variable(g, "x", .shape = TN_DIMS(1));
    for (long i = 0; i < nodes; i++) x = tn_add(g, x, 1.0);
    return x;
}

// ------------------------------------------------------------------ overhead

enum { REPEATS = 20 }; // forwards a sample, so that reading the clock does not count

// Seconds of a node, by sample. False after a message.
static bool time_nodes(tn_exec *e, double *seconds, long samples, long nodes)
{
    for (long r = -3; r < samples; r++) { // three to warm up
        const double start = bench_now();
        for (int i = 0; i < REPEATS; i++)
            if (tn_forward(e, false) != TN_OK)
                return tool_fail("bench", "%s", tn_exec_error(e)) == EXIT_OK;
        if (r >= 0) seconds[r] = (bench_now() - start) / REPEATS / (double)nodes;
    }
    if (tn_tensor_at(tn_exec_output(e, 0), 0) == (double)nodes) return true;
    return tool_fail("bench", "the chain's result is wrong") == EXIT_OK;
}

static bool time_chain(tn_env *env, const bench_options *o, long nodes, uint32_t flags,
                       bench_times *out)
{
    const long samples = o->runs ? o->runs : o->quick ? 3 : 31;
    tn_graph *g = tn_graph_new(env);
    tn_exec *e = tn_simple_bind(g, chain(g, nodes), .backends = o->backends,
                                .threads = (int32_t)o->threads, .flags = flags);
    double *seconds = calloc((size_t)samples, sizeof *seconds);
    bool ok = false;
    if (!e || !seconds)
        tool_fail("bench", "%s", e ? "out of memory" : tn_graph_error(g));
    else
        ok = time_nodes(e, seconds, samples, nodes);
    if (ok) bench_summarise(seconds, samples, out);
    free(seconds);
    tn_exec_free(e);
    tn_graph_free(g);
    return ok;
}

// Nodes that run one by one, and, where a backend can, fused.
json_t *bench_overhead(const bench_options *o)
{
    const long nodes = o->nodes ? o->nodes : o->quick ? 10 : 1000;
    tn_env *env = bench_env(o);
    bench_times t, fused;
    const bool ok =
        time_chain(env, o, nodes, TN_BIND_NO_FUSE, &t) && time_chain(env, o, nodes, 0, &fused);
    tn_env_free(env);
    if (!ok) return NULL;
    return json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f}", "workload", "overhead", "nodes",
                     (json_int_t)nodes, "samples", (json_int_t)t.samples, "median_ns",
                     t.median * 1e9, "min_ns", t.min * 1e9, "max_ns", t.max * 1e9,
                     "fused_median_ns", fused.median * 1e9);
}

// ------------------------------------------------------------------ graph

enum { STEPS = 5 };
static const char *const steps[STEPS] = {"build", "infer", "differentiate", "bind", "forward"};

// Seconds since the last call, and the time of this one.
static double lap(double *since)
{
    const double before = *since;
    *since = bench_now();
    return *since - before;
}

static bool time_graph(tn_env *env, const bench_options *o, long nodes, double *seconds)
{
    tn_graph *g = tn_graph_new(env);
    double since = bench_now();
    const tn_symbol y = chain(g, nodes);
    seconds[0] = lap(&since);
    tn_infer_shape(g, y, (tn_shapes){0, NULL});
    seconds[1] = lap(&since);
    const tn_symbol x = tn_output_named(g, tn_internals(g, y), "x");
    tn_symbol dx;
    tn_gradient(g, TN_SYMS(y), (tn_symbols){0, NULL}, TN_SYMS(x), &dx);
    seconds[2] = lap(&since);
    tn_exec *e = tn_simple_bind(g, y, .backends = o->backends, .grad_req = TN_WRITE);
    seconds[3] = lap(&since);
    bool ok = e && tn_forward(e, true) == TN_OK;
    seconds[4] = lap(&since);
    if (!ok) tool_fail("bench", "%s", e ? tn_exec_error(e) : tn_graph_error(g));
    tn_exec_free(e);
    tn_graph_free(g);
    return ok;
}

json_t *bench_graph(const bench_options *o)
{
    const long nodes = o->nodes ? o->nodes : o->quick ? 100 : 1000000;
    double half[STEPS], whole[STEPS];
    tn_env *env = bench_env(o);
    const bool ok = time_graph(env, o, (nodes + 1) / 2, half) && time_graph(env, o, nodes, whole);
    tn_env_free(env);
    if (!ok) return NULL;
    json_t *times = json_object();
    for (int i = 0; i < STEPS; i++)
        json_object_set_new(times, steps[i],
                            json_pack("{s:f, s:f}", "half_s", half[i], "whole_s", whole[i]));
    return json_pack("{s:s, s:I, s:o}", "workload", "graph", "nodes", (json_int_t)nodes, "seconds",
                     times);
}
