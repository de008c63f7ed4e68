// tests/exec/test_random_nets.c: random networks give the same answer however they are bound.
//
// Every network is bound with the default plan and with TN_BIND_NO_REUSE, on the reference and on
// each list of LISTS; forward and backward run three times over changing arguments. On one list of
// backends everything is the same to the last bit; from list to list within 1e-4. TENON_NET=<seed>
// runs that network only and prints it.
#include "tests/exec/random_way.h"

static const char *const lists[] = {"reference",       "far,reference",     "lazy,reference",
                                    "plain,reference", "blocked,reference", "picky,reference",
                                    "fuser,reference", "blas,reference"};
enum { N_LISTS = sizeof lists / sizeof *lists };

static void fresh_graph(void)
{
    tn_graph_free(bench.g);
    bench.g = tn_graph_new(bench.env);
}

// Is the first backend of a list in the env?
static bool is_there(const char *list)
{
    const size_t n = strcspn(list, ",");
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        const char *name = tn_env_backend(bench.env, i)->name;
        if (strlen(name) == n && strncmp(name, list, n) == 0) return true;
    }
    return false;
}

static void load_doubles(void)
{
    tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so");
    tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/blocked.so");
    tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/picky.so");
    tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/fuser.so");
    TN_CHECK_STR(tn_env_error(bench.env), "");
}

static void complain(uint64_t seed, const char *how, const char *why)
{
    char text[700];
    snprintf(text, sizeof text, "network %llu, %s: %s", (unsigned long long)seed, how, why);
    CU_assertImplementation(CU_FALSE, __LINE__, text, __FILE__, "", CU_FALSE);
}

static void check_net(const rn_net *net, tn_symbol y, uint64_t seed)
{
    static record base, other;
    static const way plain = {.backends = "reference"};
    char why[512];
    if (!run_way(net, y, &plain, &base, why)) complain(seed, "reference", why);
    for (size_t i = 0; i < N_LISTS; i++) {
        if (!is_there(lists[i]) || (net->jumps && i > 0)) continue;
        static record first;
        const way ways[] = {{lists[i], 0, false, false, false},
                            {lists[i], TN_BIND_NO_REUSE, false, false, false},
                            {lists[i], 0, true, false, false},
                            {lists[i], 0, false, true, false}};
        for (int k = 0; k < 4; k++) {
            char how[64];
            record *now = k ? &other : &first;
            snprintf(how, sizeof how, "%s, way %d", lists[i], k);
            if (!run_way(net, y, &ways[k], now, why) || (k && !same(now, &first, 0, why)) ||
                (!k && !same(now, &base, i ? 1e-4 : 0, why)))
                complain(seed, how, why);
            record_free(&other);
        }
        record_free(&first);
    }
    if (!run_way(net, y, &(way){.backends = "reference", .all_write = true}, &other, why) ||
        !adds_up(net, &base, &other, why))
        complain(seed, "TN_ADD", why);
    record_free(&other);
    record_free(&base);
    CU_PASS("network");
}

// ------------------------------------------------------------------ outputs over arguments

// Gives as many outputs as possible the tensor of a variable, each variable once.
static size_t choose_overwritten(const rn_net *net, const tn_exec *e, size_t var_of[RN_HEADS * 8])
{
    bool taken[RN_VARS] = {false};
    size_t n = 0;
    for (size_t o = 0; o < tn_exec_num_outputs(e); o++) {
        const tn_shape shape = tn_tensor_shape(tn_exec_output((tn_exec *)e, o));
        size_t i = 0;
        while (i < net->n_vars && (taken[i] || !rn_same(&net->var[i].shape, &shape) ||
                                   !tn_exec_arg((tn_exec *)e, net->var[i].name)))
            i++;
        tn_exec_forgive((tn_exec *)e);
        var_of[o] = i;
        if (i == net->n_vars) continue;
        taken[i] = true;
        n++;
    }
    return n;
}

static void fill_all(const rn_net *net, tn_exec *e)
{
    for (size_t i = 0; i < net->n_vars; i++) {
        tn_tensor *t = sample(net, i, 0);
        tn_exec_set(e, net->var[i].name, t);
        tn_exec_forgive(e);
        tn_tensor_release(t);
    }
}

static bool outputs_equal(tn_exec *e, tn_exec *wanted)
{
    bool ok = tn_forward(e, false) == TN_OK && tn_forward(wanted, false) == TN_OK;
    for (size_t o = 0; ok && o < tn_exec_num_outputs(e); o++)
        ok = net_equal(tn_exec_output(e, o), tn_exec_output(wanted, o));
    return ok;
}

static void check_over_arguments(const rn_net *net, tn_symbol y, uint64_t seed, const char *list)
{
    tn_named_dims shapes[RN_VARS];
    tn_named_tensor args[RN_VARS], outs[RN_HEADS * 8];
    size_t var_of[RN_HEADS * 8], n_args = 0, n_outs = 0;
    const tn_shapes known = rn_shapes(net, y, shapes);
    tn_exec *plain = tn_simple_bind(bench.g, y, .backends = list, .shapes = known);
    if (!plain) complain(seed, list, tn_graph_error(bench.g));
    const size_t n = plain ? tn_exec_num_outputs(plain) : 0;
    if (!plain || n > RN_HEADS * 8 || !choose_overwritten(net, plain, var_of)) {
        tn_exec_free(plain);
        return;
    }
    // The executor that is copied keeps its own tensors; the other one works on these.
    tn_exec *holder = tn_simple_bind(bench.g, y, .backends = list, .shapes = known);
    for (size_t i = 0; holder && i < known.n; i++)
        args[n_args++] = (tn_named_tensor){known.v[i].name, tn_exec_arg(holder, known.v[i].name)};
    const tn_names names = tn_exec_outputs(plain);
    for (size_t o = 0; holder && o < n; o++) {
        bool once = true;
        for (size_t k = 0; k < n; k++) once = once && (k == o || strcmp(names.v[k], names.v[o]));
        if (!once || var_of[o] == net->n_vars) continue;
        tn_tensor *t = tn_exec_arg(holder, net->var[var_of[o]].name);
        outs[n_outs++] = (tn_named_tensor){names.v[o], t};
    }
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = list, .shapes = known,
                                .args = {n_args, args}, .outs = {n_outs, outs});
    if (e) {
        fill_all(net, e);
        fill_all(net, plain);
    }
    if (!e || !outputs_equal(e, plain))
        complain(seed, list, e ? tn_exec_error(e) : tn_graph_error(bench.g));
    tn_exec_free(e);
    tn_exec_free(holder);
    tn_exec_free(plain);
}

// ------------------------------------------------------------------ tests

static uint64_t only_seed(void)
{
    const char *seed = getenv("TENON_NET");
    return seed ? strtoull(seed, NULL, 10) : 0;
}

static void networks_are_the_same_however_they_are_bound(void)
{
    load_doubles();
    for (uint64_t seed = 1; seed <= 300; seed++) {
        rn_net net = {.state = seed * 7919, .dtype = TN_F32, .jumps = seed % 3 == 0};
        if (only_seed() && seed != only_seed()) continue;
        net.empty = seed % 10 == 0;
        fresh_graph();
        const tn_symbol y = rn_make(&net);
        if (only_seed()) printf("\n%s", tn_symbol_text(bench.g, y));
        if (tn_graph_status(bench.g))
            complain(seed, "building", tn_graph_error(bench.g));
        else
            check_net(&net, y, seed);
    }
}

// The same network from its JSON, with the same names.
static void networks_are_the_same_from_a_file(void)
{
    static const way plain = {.backends = "reference"};
    static record base, other;
    for (uint64_t seed = 1001; seed <= 1100; seed++) {
        rn_net net = {.state = seed * 7919, .dtype = TN_F32, .jumps = true};
        char why[512];
        if (only_seed() && seed != only_seed()) continue;
        fresh_graph();
        tn_symbol y = rn_make(&net);
        const char *json = tn_symbol_json(bench.g, y);
        char *copy = json ? strdup(json) : NULL;
        bool ok = copy && run_way(&net, y, &plain, &base, why);
        fresh_graph();
        if (ok) y = tn_symbol_parse(bench.g, copy, strlen(copy));
        snprintf(why, sizeof why, "%s", tn_graph_error(bench.g));
        ok = ok && !tn_graph_status(bench.g) && run_way(&net, y, &plain, &other, why) &&
             same(&other, &base, 0, why);
        if (!ok) complain(seed, "JSON", why);
        free(copy);
        record_free(&base);
        record_free(&other);
    }
    CU_PASS("networks");
}

// Operators are pinned to groups at random, and groups lie on several devices.
static void networks_are_the_same_in_pieces(void)
{
    static record base, other;
    static const way plain = {.backends = "reference"}, pieces_of = {.backends = "far,reference"};
    load_doubles();
    for (uint64_t seed = 2001; seed <= 2100; seed++) {
        rn_net net = {.state = seed * 7919, .dtype = TN_F32, .groups = true};
        char why[512];
        if (only_seed() && seed != only_seed()) continue;
        fresh_graph();
        const tn_symbol y = rn_make(&net);
        snprintf(why, sizeof why, "%s", tn_graph_error(bench.g));
        if (tn_graph_status(bench.g) || !run_way(&net, y, &plain, &base, why) ||
            !run_way(&net, y, &pieces_of, &other, why) || !same(&other, &base, 1e-4, why))
            complain(seed, "groups", why);
        record_free(&base);
        record_free(&other);
    }
    CU_PASS("networks");
}

// Each output is written over an argument of its shape, when nothing reads that any more.
static void outputs_may_lie_over_arguments(void)
{
    load_doubles();
    for (uint64_t seed = 3001; seed <= 3150; seed++) {
        rn_net net = {.state = seed * 7919, .dtype = TN_F32};
        if (only_seed() && seed != only_seed()) continue;
        fresh_graph();
        const tn_symbol y = rn_make(&net);
        if (tn_graph_status(bench.g)) complain(seed, "building", tn_graph_error(bench.g));
        for (size_t i = 0; i < N_LISTS && !tn_graph_status(bench.g); i++)
            if (is_there(lists[i])) check_over_arguments(&net, y, seed, lists[i]);
    }
    CU_PASS("networks");
}

// Against central differences, in float64.
static void gradients_are_slopes(void)
{
    for (uint64_t seed = 4001; seed <= 4150; seed++) {
        rn_net net = {.state = seed * 7919, .dtype = TN_F64, .smooth = true};
        tn_point points[RN_VARS];
        size_t n = 0;
        char what[32];
        if (only_seed() && seed != only_seed()) continue;
        fresh_graph();
        const tn_symbol y = rn_make(&net);
        tn_named_dims shapes[RN_VARS];
        const tn_shapes used = rn_shapes(&net, y, shapes);
        for (size_t i = 0, k = 0; i < net.n_vars && k < used.n; i++) {
            if (used.v[k].name != net.var[i].name) continue;
            points[n++] = (tn_point){net.var[i].s, sample(&net, i, 0), net.var[i].integer};
            k++;
        }
        snprintf(what, sizeof what, "network %llu", (unsigned long long)seed);
        if (tn_graph_status(bench.g)) complain(seed, "building", tn_graph_error(bench.g));
        if (n + 8 <= 16) tn_check_gradient(__LINE__, __FILE__, what, y, points, n, 1);
        for (size_t i = 0; i < n; i++) tn_tensor_release(points[i].value);
    }
    CU_PASS("networks");
}

TN_TEST_MAIN({"networks are the same however they are bound",
              networks_are_the_same_however_they_are_bound},
             {"networks are the same from a file", networks_are_the_same_from_a_file},
             {"networks are the same in pieces", networks_are_the_same_in_pieces},
             {"outputs may lie over arguments", outputs_may_lie_over_arguments},
             {"gradients are slopes", gradients_are_slopes})
