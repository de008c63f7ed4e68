// tools/cmd_bench.c: `tenon bench`: measurements of this machine, printed, never asserted.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/tool.h"

typedef struct options {
    const char *workload, *backends;
    long nodes, runs;
    bool json;
} options;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 'b': o->backends = arg; break;
    case 'n': o->nodes = tool_long(arg, "--nodes", 1, state); break;
    case 'r': o->runs = tool_long(arg, "--runs", 1, state); break;
    case 'j': o->json = true; break;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one workload at a time");
        o->workload = arg;
        break;
    case ARGP_KEY_END:
        if (!o->workload) argp_error(state, "wanted a workload: overhead or graph");
        if (strcmp(o->workload, "overhead") != 0 && strcmp(o->workload, "graph") != 0)
            argp_error(state, "no workload \"%s\"; there are overhead and graph", o->workload);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {.name = "backend", .key = 'b', .arg = "LIST", .doc = "backends in order of preference"},
    {.name = "nodes",
     .key = 'n',
     .arg = "N",
     .doc = "nodes of the chain (default 1000; graph: 1000000)"},
    {.name = "runs", .key = 'r', .arg = "N", .doc = "samples, of which the median counts (31)"},
    {.name = "json", .key = 'j', .doc = "for programs"},
    {0},
};
static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "WORKLOAD",
    .doc =
        "overhead: time a node of a chain of scalar additions on one-element tensors, forward.\v"
        "graph: seconds to build, infer, differentiate and bind such a chain, for half the nodes "
        "and for all of them, so that a growth that is not linear shows.",
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tn_symbol chain(tn_graph *g, long nodes)
{
    tn_symbol x = tn_variable(g, "x", .shape = TN_DIMS(1));
    for (long i = 0; i < nodes; i++) x = tn_add(g, x, 1.0);
    return x;
}

// ------------------------------------------------------------------ overhead

static int overhead(tn_env *env, const options *o)
{
    const long nodes = o->nodes ? o->nodes : 1000;
    enum { REPEATS = 20 }; // forwards a sample, so that reading the clock does not count
    tn_graph *g = tn_graph_new(env);
    tn_exec *e = tn_simple_bind(g, chain(g, nodes), .backends = o->backends);
    double *ns = calloc((size_t)o->runs, sizeof *ns);
    int code = EXIT_OK;
    if (!e || !ns) code = tool_fail("bench", "%s", e ? "out of memory" : tn_graph_error(g));
    for (long r = -3; code == EXIT_OK && r < o->runs; r++) { // three to warm up
        const double start = now();
        for (int i = 0; i < REPEATS && code == EXIT_OK; i++)
            if (tn_forward(e, false) != TN_OK) code = tool_fail("bench", "%s", tn_exec_error(e));
        if (r >= 0) ns[r] = (now() - start) * 1e9 / REPEATS / (double)nodes;
    }
    if (code == EXIT_OK) {
        qsort(ns, (size_t)o->runs, sizeof *ns, by_size);
        const double median = ns[o->runs / 2], least = ns[0], most = ns[o->runs - 1];
        if (tn_tensor_at(tn_exec_output(e, 0), 0) != (double)nodes)
            code = tool_fail("bench", "the chain's result is wrong");
        else if (o->json)
            code = tool_print_json("bench",
                                   json_pack("{s:s, s:I, s:f, s:f, s:f}", "workload", "overhead",
                                             "nodes", (json_int_t)nodes, "median_ns", median,
                                             "min_ns", least, "max_ns", most));
        else
            printf("overhead: %ld scalar additions of one element: %.1f ns a node "
                   "(min %.1f, max %.1f, %ld samples)\n",
                   nodes, median, least, most, o->runs);
    }
    free(ns);
    tn_exec_free(e);
    tn_graph_free(g);
    return code;
}

// ------------------------------------------------------------------ graph

typedef struct graph_times {
    double build, infer, differentiate, bind, run;
} graph_times;

static int time_graph(tn_env *env, const options *o, long nodes, graph_times *t)
{
    tn_graph *g = tn_graph_new(env);
    double start = now();
    const tn_symbol y = chain(g, nodes);
    t->build = now() - start;
    start = now();
    tn_infer_shape(g, y, (tn_shapes){0, NULL});
    t->infer = now() - start;
    start = now();
    const tn_symbol x = tn_output_named(g, tn_internals(g, y), "x");
    tn_symbol dx;
    tn_gradient(g, TN_SYMS(y), (tn_symbols){0, NULL}, TN_SYMS(x), &dx);
    t->differentiate = now() - start;
    start = now();
    tn_exec *e = tn_simple_bind(g, y, .backends = o->backends, .grad_req = TN_WRITE);
    t->bind = now() - start;
    start = now();
    int code = EXIT_OK;
    if (!e)
        code = tool_fail("bench", "%s", tn_graph_error(g));
    else if (tn_forward(e, true) != TN_OK)
        code = tool_fail("bench", "%s", tn_exec_error(e));
    t->run = now() - start;
    tn_exec_free(e);
    tn_graph_free(g);
    return code;
}

static int graph(tn_env *env, const options *o)
{
    const long nodes = o->nodes ? o->nodes : 1000000;
    graph_times half, whole;
    if (time_graph(env, o, (nodes + 1) / 2, &half) != EXIT_OK ||
        time_graph(env, o, nodes, &whole) != EXIT_OK)
        return EXIT_FAILED;
    const struct {
        const char *name;
        double half, whole;
    } rows[] = {
        {.name = "build", .half = half.build, .whole = whole.build},
        {.name = "infer", .half = half.infer, .whole = whole.infer},
        {.name = "differentiate", .half = half.differentiate, .whole = whole.differentiate},
        {.name = "bind", .half = half.bind, .whole = whole.bind},
        {.name = "forward", .half = half.run, .whole = whole.run},
    };
    json_t *json = json_object();
    if (!o->json) printf("%-14s %10ld %10ld nodes\n", "", (nodes + 1) / 2, nodes);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!o->json)
            printf("%-14s %8.3f s %8.3f s  ratio %.2f\n", rows[i].name, rows[i].half, rows[i].whole,
                   rows[i].whole / rows[i].half);
        json_object_set_new(
            json, rows[i].name,
            json_pack("{s:f, s:f}", "half_s", rows[i].half, "whole_s", rows[i].whole));
    }
    if (!o->json) {
        json_decref(json);
        return EXIT_OK;
    }
    return tool_print_json("bench", json_pack("{s:s, s:I, s:o}", "workload", "graph", "nodes",
                                              (json_int_t)nodes, "seconds", json));
}

int cmd_bench(int argc, char **argv)
{
    options o = {.runs = 31};
    tool_parse(&argp, argc, argv, &o);
    tn_env *env = tool_env();
    const int code = strcmp(o.workload, "overhead") == 0 ? overhead(env, &o) : graph(env, &o);
    tn_env_free(env);
    return code;
}
