// tools/cmd_bench.c: `tenon bench`: measurements of this machine, printed, never asserted.
//
// Every measurement is a process of its own, so that one's peak of memory, thread pool and warm
// caches are not another's.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench.h"

// ------------------------------------------------------------------ options

static bool is_chain(const char *name)
{
    return strcmp(name, "overhead") == 0 || strcmp(name, "graph") == 0;
}

static void add_workload(bench_options *o, const char *name, struct argp_state *state)
{
    char known[256] = "overhead, graph";
    for (size_t i = 0; bench_model_at(i); i++) {
        strcat(known, ", ");
        strcat(known, bench_model_at(i)->name);
    }
    if (!is_chain(name) && !bench_model_find(name) && strcmp(name, "all") != 0)
        argp_error(state, "no workload \"%s\"; there are %s, and all", name, known);
    if (o->n_workloads == sizeof o->workloads / sizeof o->workloads[0])
        argp_error(state, "too many workloads");
    o->workloads[o->n_workloads++] = name;
}

static void choose_mode(bench_options *o, const char *mode, struct argp_state *state)
{
    o->inference = strcmp(mode, "training") != 0;
    o->training = strcmp(mode, "inference") != 0;
    if (o->inference && o->training)
        argp_error(state, "--mode: wanted inference or training, got \"%s\"", mode);
}

// Groups of the networks, which both need a device once one of them has one.
static void check_groups(const tool_groups *groups, struct argp_state *state)
{
    bool first = false, second = false;
    for (size_t i = 0; i < groups->n; i++) {
        first = first || strcmp(groups->v[i].key, "first") == 0;
        second = second || strcmp(groups->v[i].key, "second") == 0;
        if (strcmp(groups->v[i].key, "first") != 0 && strcmp(groups->v[i].key, "second") != 0)
            argp_error(state, "--group: no group \"%s\"; there are first and second",
                       groups->v[i].key);
    }
    if (first != second)
        argp_error(state, "--group: wanted devices for both, first and second; %s has none",
                   first ? "second" : "first");
}

enum { KEY_COMPUTE = 1000, KEY_NO_PEAK, KEY_QUICK };
enum { MOST_THREADS = 4096 }; // as many as an env can have

// Rows are measured one by one in networks only.
static void check_rows(const bench_options *o, struct argp_state *state)
{
    bool networks = false;
    for (size_t i = 0; i < o->n_workloads; i++) networks = networks || !is_chain(o->workloads[i]);
    if (o->n_workloads && !networks && (o->profile || o->trace))
        argp_error(state, "--%s: of networks only, and %s is none",
                   o->profile ? "profile" : "trace", o->workloads[0]);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    bench_options *o = state->input;
    switch (key) {
    case 'b': o->backends = arg; break;
    case 'B': o->batch = tool_long(arg, "--batch", 1, state); break;
    case 'T': o->dtype = tool_dtype(arg, "--dtype", state); break;
    case KEY_COMPUTE: o->compute = tool_compute(arg, state); break;
    case 't':
        o->threads = tool_long(arg, "--threads", 1, state);
        if (o->threads > MOST_THREADS)
            argp_error(state, "--threads: wanted 1 to %d, got \"%s\"", MOST_THREADS, arg);
        break;
    case 'm': choose_mode(o, arg, state); break;
    case 's':
        o->seconds = tool_double(arg, "--seconds", state);
        if (o->seconds < 0) argp_error(state, "--seconds: wanted 0 or more, got \"%s\"", arg);
        break;
    case 'r': o->runs = tool_long(arg, "--runs", 1, state); break;
    case 'n': o->nodes = tool_long(arg, "--nodes", 1, state); break;
    case 'g':
        if (!tool_group_parse(&o->groups, arg))
            argp_error(state, "--group: wanted NAME=DEVICE, got \"%s\"", arg);
        break;
    case 'p': o->profile = true; break;
    case 'c': o->trace = arg; break;
    case KEY_QUICK: o->quick = true; break;
    case KEY_NO_PEAK: o->no_peak = true; break;
    case 'j': o->json = true; break;
    case ARGP_KEY_ARG: add_workload(o, arg, state); break;
    case ARGP_KEY_END:
        if (o->n_workloads == 0) argp_error(state, "wanted a workload, such as mlp, or all");
        check_rows(o, state);
        check_groups(&o->groups, state);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {.name = "backend", .key = 'b', .arg = "LIST", .doc = "backends in order of preference"},
    {.name = "threads", .key = 't', .arg = "N", .doc = "of the pool (default: all CPUs)"},
    {.name = "dtype", .key = 'T', .arg = "NAME", .doc = "of data and parameters (float32)"},
    TOOL_COMPUTE_OPTION(KEY_COMPUTE),
    {.name = "mode", .key = 'm', .arg = "MODE", .doc = "inference or training (both)"},
    {.name = "batch", .key = 'B', .arg = "N", .doc = "in place of the usual ones"},
    {.name = "seconds", .key = 's', .arg = "X", .doc = "of timing for each result (2)"},
    {.name = "runs", .key = 'r', .arg = "N", .doc = "so many timings, however long they take"},
    {.name = "repeat", .flags = OPTION_ALIAS},
    {.name = "group",
     .key = 'g',
     .arg = "NAME=DEVICE",
     .doc = "device of the nodes before the middle (NAME first) or after it (second); repeatable"},
    {.name = "nodes", .key = 'n', .arg = "N", .doc = "of the chains (1000; graph: 1000000)"},
    {.name = "profile", .key = 'p', .doc = "time of each node and implementation, too"},
    {.name = "trace",
     .key = 'c',
     .arg = "FILE",
     .doc = "write a step of each network as events for Chrome's tracing, Perfetto and the like"},
    {.name = "quick",
     .key = KEY_QUICK,
     .doc = "tiny sizes and few timings, no peak: only to try it out"},
    {.name = "no-peak", .key = KEY_NO_PEAK, .doc = "do not measure the speed of a large dot"},
    {.name = "json", .key = 'j', .doc = "for programs: an array of objects"},
    {0},
};
static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "WORKLOAD…",
    .doc =
        "Measures networks on this machine: inference, and steps of training with momentum SGD.\v"
        "mlp: 784-128-64-10, batches 64 and 512\n"
        "lenet: two convolutions and two layers, batch 64\n"
        "resnet20: residual network for 32x32 pictures, batch 128\n"
        "resnet50: for 224x224 pictures; inference 1 and 16, training 8\n"
        "lstm: two layers of 256 on 32 characters, batch 32\n"
        "elementwise: x*sigmoid(x)+y on 10^7 numbers; training: its gradients\n"
        "overhead: time a node of a chain of scalar additions on one-element tensors, forward.\n"
        "graph: seconds to build, infer, differentiate and bind such a chain, for half the nodes "
        "and for all of them, so that a growth that is not linear shows.\n"
        "all: all of these but graph.",
};

// ------------------------------------------------------------------ one measurement

typedef struct job {
    const bench_options *o;
    const char *chain;        // overhead, graph, "peak" or "check", else:
    const bench_model *model; // a network
    bool training;
    int64_t batch;
    double peak;
    int number;
} job;

// Told once, before any workload: an environment, a backend or a device that cannot be.
static json_t *check(const bench_options *o)
{
    tn_env *env = bench_env(o);
    const bool ok = tool_devices_check("bench", env, NULL, o->backends) == EXIT_OK &&
                    tool_groups_devices("bench", env, &o->groups) == EXIT_OK;
    tn_env_free(env);
    return ok ? json_object() : NULL;
}

static json_t *work(const job *j)
{
    if (j->model) return bench_measure(j->model, j->o, j->training, j->batch, j->peak, j->number);
    if (strcmp(j->chain, "peak") == 0) return json_pack("{s:f}", "gflop_per_s", bench_peak(j->o));
    if (strcmp(j->chain, "check") == 0) return check(j->o);
    return strcmp(j->chain, "graph") == 0 ? bench_graph(j->o) : bench_overhead(j->o);
}

// In a child: the result as text into the pipe.
static _Noreturn void serve(const job *j, int out)
{
    json_t *result = work(j);
    const bool ok = result && json_dumpfd(result, out, 0) == 0;
    json_decref(result);
    close(out);
    fflush(stdout);
    exit(ok ? EXIT_OK : EXIT_FAILED);
}

// The result, or NULL after a message, and the exit code of that.
static json_t *measure(const job *j, int *failed)
{
    int ends[2], status = 0;
    *failed = EXIT_FAILED;
    fflush(stdout);
    if (pipe(ends) != 0) {
        tool_fail("bench", "pipe: %s", strerror(errno));
        return NULL;
    }
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        serve(j, ends[1]);
    }
    close(ends[1]);
    json_t *result = child > 0 ? json_loadfd(ends[0], 0, NULL) : NULL;
    close(ends[0]);
    if (child < 0) tool_fail("bench", "fork: %s", strerror(errno));
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (child > 0 && WIFSIGNALED(status))
        tool_fail("bench", "%s: ended by signal %d (%s)", j->model ? j->model->name : j->chain,
                  WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (child > 0 && status == 0) return result;
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status)) *failed = WEXITSTATUS(status);
    json_decref(result);
    return NULL;
}

// ------------------------------------------------------------------ all of them

typedef struct session {
    const bench_options *o;
    json_t *results, *events;
    double peak;
    int number, code;
} session;

static void run(session *s, job j)
{
    j.o = s->o;
    j.peak = s->peak;
    j.number = ++s->number;
    int failed;
    json_t *result = measure(&j, &failed);
    if (!result) {
        s->code = failed;
        return;
    }
    json_array_extend(s->events, json_object_get(result, "trace"));
    json_object_del(result, "trace");
    if (!s->o->profile)
        for (const char *const *key =
                 (const char *const[]){"profile", "implementations", "devices", "profile_steps",
                                       "profile_wall_ms", "profile_sum_ms", NULL};
             *key; key++)
            json_object_del(result, *key);
    if (!s->o->json) bench_print(result);
    json_array_append_new(s->results, result);
}

static void run_model(session *s, const bench_model *m, bool training)
{
    const bench_options *o = s->o;
    const int64_t *usual = training ? m->training : m->inference;
    if (!(training ? o->training : o->inference)) return;
    if (o->batch || o->quick) {
        run(s, (job){.model = m, .training = training, .batch = o->batch ? o->batch : m->quick});
        return;
    }
    for (int i = 0; i < BENCH_BATCHES && usual[i]; i++)
        run(s, (job){.model = m, .training = training, .batch = usual[i]});
}

static void run_workload(session *s, const char *name)
{
    const bool all = strcmp(name, "all") == 0;
    for (size_t i = 0; bench_model_at(i); i++) {
        const bench_model *m = bench_model_at(i);
        if (!all && strcmp(name, m->name) != 0) continue;
        run_model(s, m, false);
        run_model(s, m, true);
    }
    if (all || is_chain(name)) run(s, (job){.chain = all ? "overhead" : name});
}

static double find_peak(const bench_options *o)
{
    bool wanted = false;
    for (size_t i = 0; i < o->n_workloads; i++) wanted = wanted || !is_chain(o->workloads[i]);
    int failed;
    if (!wanted || o->no_peak || o->quick) return 0.0;
    json_t *result = measure(&(job){.o = o, .chain = "peak"}, &failed);
    const double peak = json_number_value(json_object_get(result, "gflop_per_s"));
    json_decref(result);
    return peak;
}

// Closes the file.
static int write_trace(const session *s, FILE *f)
{
    json_t *trace = json_pack("{s:O, s:s}", "traceEvents", s->events, "displayTimeUnit", "ms");
    const bool ok = trace && json_dumpf(trace, f, JSON_INDENT(1)) == 0;
    const int reason = trace ? errno : ENOMEM;
    const bool closed = fclose(f) == 0;
    json_decref(trace);
    if (ok && closed) return EXIT_OK;
    return tool_fail("bench", "--trace %s: %s", s->o->trace, strerror(ok ? errno : reason));
}

int cmd_bench(int argc, char **argv)
{
    static bench_options o = {.seconds = 2.0, .dtype = TN_F32, .inference = true, .training = true};
    tool_parse(&argp, argc, argv, &o);
    if (o.quick && o.seconds > 0.02) o.seconds = 0.02;
    // What cannot be is told before measuring, not after.
    int failed;
    json_t *checked = measure(&(job){.o = &o, .chain = "check"}, &failed);
    if (!checked) return failed;
    json_decref(checked);
    tool_warns = false; // that process has said them
    FILE *trace = o.trace ? fopen(o.trace, "w") : NULL;
    if (o.trace && !trace) return tool_fail("bench", "--trace %s: %s", o.trace, strerror(errno));
    session s = {.o = &o, .results = json_array(), .events = json_array()};
    s.peak = find_peak(&o);
    for (size_t i = 0; i < o.n_workloads; i++) run_workload(&s, o.workloads[i]);
    if (trace && write_trace(&s, trace) != EXIT_OK) s.code = EXIT_FAILED;
    json_decref(s.events);
    if (!o.json)
        json_decref(s.results);
    else if (tool_print_json("bench", s.results) != EXIT_OK)
        s.code = EXIT_FAILED;
    return s.code;
}
