// tests/exec/test_random_nets.c: random networks give the same answer however they are bound.
//
// Every network is bound with the default plan and with TN_BIND_NO_REUSE, on the reference and on
// each list of LISTS; forward and backward run three times over changing arguments. On one list of
// backends everything is the same to the last bit; from list to list within 1e-4. TENON_NET=<seed>
// runs that network only and prints it.
#include "tests/exec/random_net.h"

#include "tests/exec/nets.h"

enum { STEPS = 3, MOST = 4 * (RN_HEADS + RN_VARS) };

static const char *const lists[] = {"reference", "far,reference", "lazy,reference",
                                    "blocked,reference", "blas,reference"};
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
    TN_CHECK_STR(tn_env_error(bench.env), "");
}

// ------------------------------------------------------------------ one way to run a network

typedef struct way {
    const char *backends;
    uint32_t flags;
    bool given;     // arguments, gradients and outputs lie in one large tensor of the caller's
    bool reshaped;  // the executor is another one's, for the same shapes
    bool all_write; // TN_ADD is TN_WRITE
} way;

// All that came out: outputs after each forward, gradients after each backward.
typedef struct record {
    size_t n;
    tn_tensor *t[STEPS * MOST];
    char name[STEPS * MOST][32];
} record;

static void record_free(record *r)
{
    for (size_t i = 0; i < r->n; i++) tn_tensor_release(r->t[i]);
    r->n = 0;
}

static void remember(record *r, const char *what, int step, tn_tensor *t)
{
    if (!t || r->n == STEPS * MOST) return;
    snprintf(r->name[r->n], sizeof r->name[0], "%s of run %d", what, step);
    r->t[r->n++] = tn_tensor_cast(t, tn_tensor_dtype(t));
}

static tn_grad_req req_of(const rn_net *net, size_t i)
{
    static const tn_grad_req of[] = {TN_WRITE, TN_ADD, TN_WRITE, TN_NULL, TN_ADD};
    return net->var[i].integer ? TN_NULL : of[(i + net->n) % 5];
}

// The values of variable i in a step.
static tn_tensor *sample(const rn_net *net, size_t i, int step)
{
    const rn_var *x = &net->var[i];
    const tn_dims dims = {(size_t)x->shape.ndim, x->shape.dim};
    tn_tensor *t = tn_sample(net->dtype, dims, x->lo, x->hi + x->integer * 0.999, i + 100 * step);
    double *values = calloc((size_t)tn_tensor_size(t) + 1, sizeof *values);
    for (int64_t k = 0; k < tn_tensor_size(t); k++)
        values[k] = x->integer ? floor(tn_tensor_at(t, k)) : tn_tensor_at(t, k);
    tn_tensor *whole = tn_tensor_from(bench.env, net->dtype, dims, values);
    free(values);
    tn_tensor_release(t);
    return whole;
}

// Pieces of one large tensor, one behind the other, at odd places.
typedef struct pieces {
    tn_tensor *all;
    int64_t used;
    tn_named_tensor v[MOST];
    size_t n;
} pieces;

static tn_tensor *piece(pieces *p, const char *name, const tn_shape *shape)
{
    const int64_t size = tn_shape_size(shape);
    tn_tensor *rows = tn_tensor_slice(p->all, p->used, p->used + size);
    tn_tensor *t = tn_tensor_reshape(rows, (tn_dims){(size_t)shape->ndim, shape->dim});
    tn_tensor_release(rows);
    p->used += size + size % 3;
    p->v[p->n++] = (tn_named_tensor){name, t};
    return t;
}

static void pieces_free(pieces *p)
{
    for (size_t i = 0; i < p->n; i++) tn_tensor_release(p->v[i].tensor);
    tn_tensor_release(p->all);
}

static tn_exec *bind_way(const rn_net *net, tn_symbol y, const way *w, pieces *p)
{
    tn_named_req reqs[RN_VARS];
    tn_named_dims shapes[RN_VARS];
    tn_tensors args = {0}, grads = {0};
    static const tn_attr both[] = {{"one", "far:1,reference"}, {"two", "lazy:0,reference"}},
                         all[] = {{"one", "reference"}, {"two", "reference"}};
    const bool spread = strcmp(w->backends, "reference") != 0;
    const tn_attrs groups = {net->groups ? 2 : 0, spread ? both : all};
    const tn_shapes known = rn_shapes(net, y, shapes);
    size_t n_reqs = 0;
    for (size_t i = 0, k = 0; i < net->n_vars; i++) {
        const rn_var *x = &net->var[i];
        if (k == known.n || known.v[k].name != x->name) continue;
        const tn_grad_req req = req_of(net, i);
        reqs[n_reqs++] = (tn_named_req){x->name, w->all_write && req ? TN_WRITE : req};
        if (w->given) piece(p, x->name, &x->shape);
        k++;
    }
    args = (tn_tensors){p->n, p->v};
    for (size_t i = 0; w->given && i < n_reqs; i++) {
        const tn_shape shape = tn_tensor_shape(p->v[i].tensor);
        if (reqs[i].req) piece(p, reqs[i].name, &shape);
    }
    grads = (tn_tensors){p->n - args.n, p->v + args.n};
    return tn_simple_bind(bench.g, y, .backends = w->backends, .flags = w->flags, .args = args,
                          .shapes = known, .grads = grads, .grad_reqs = {n_reqs, reqs}, .seed = 7,
                          .groups = groups);
}

static bool run_steps(const rn_net *net, tn_exec *e, record *r)
{
    tn_named_tensor heads[RN_HEADS * 8];
    const size_t n = tn_exec_num_outputs(e);
    if (n > RN_HEADS * 8) return false;
    for (size_t i = 0; i < net->n_vars; i++)
        if (tn_exec_grad(e, net->var[i].name))
            tn_tensor_fill(tn_exec_grad(e, net->var[i].name), 0.5);
    tn_exec_forgive(e); // variables that nothing reads are no arguments
    for (int step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < net->n_vars; i++) {
            tn_tensor *t = step == 0 || i % 2 == 0 ? sample(net, i, step) : NULL;
            if (t) tn_exec_set(e, net->var[i].name, t);
            tn_tensor_release(t);
            tn_exec_forgive(e);
        }
        if (step == 1) tn_forward(e, false); // is forgotten
        if (tn_forward(e, step != 2)) return false;
        for (size_t i = 0; i < n; i++) {
            const tn_shape s = tn_tensor_shape(tn_exec_output(e, i));
            remember(r, "an output", step, tn_exec_output(e, i));
            heads[i] = (tn_named_tensor){
                NULL, tn_sample(net->dtype, (tn_dims){(size_t)s.ndim, s.dim}, -1, 1, 50 + i)};
        }
        const tn_status status = tn_backward(e, (tn_tensors){n, heads});
        for (size_t i = 0; i < n; i++) tn_tensor_release(heads[i].tensor);
        if (status) return false;
        for (size_t i = 0; i < net->n_vars; i++) {
            remember(r, net->var[i].name, step, tn_exec_grad(e, net->var[i].name));
            tn_exec_forgive(e);
        }
    }
    return true;
}

// Binds, runs, and looks at the plan. False, and the reason in `why`, if something went wrong.
static bool run_way(const rn_net *net, tn_symbol y, const way *w, record *r, char why[512])
{
    pieces p = {0};
    tn_exec *first = NULL;
    if (w->given) p.all = tn_tensor_new(bench.env, net->dtype, TN_DIMS(RN_ELEMENTS * MOST * 4));
    tn_exec *e = bind_way(net, y, w, &p);
    if (e && w->reshaped) {
        first = e;
        e = tn_exec_reshape(first, (tn_shapes){0, NULL});
        if (!e) snprintf(why, 512, "%s", tn_exec_error(first));
    } else if (!e) {
        snprintf(why, 512, "%s", tn_graph_error(bench.g));
    }
    bool ok = e && run_steps(net, e, r);
    if (e && !ok) snprintf(why, 512, "%s", tn_exec_error(e));
    if (ok && net_clashes(&e->plan.blocks)) {
        snprintf(why, 512, "blocks overlap");
        ok = false;
    }
    tn_exec_free(e);
    tn_exec_free(first);
    pieces_free(&p);
    return ok;
}

// ------------------------------------------------------------------ comparisons

static double largest_of(const record *r)
{
    double largest = 1;
    for (size_t i = 0; i < r->n; i++)
        for (int64_t k = 0; k < tn_tensor_size(r->t[i]); k++) {
            const double v = fabs(tn_tensor_at(r->t[i], k));
            if (isfinite(v) && v > largest) largest = v;
        }
    return largest;
}

// tolerance 0: every bit
static bool same(const record *got, const record *wanted, double tolerance, char why[512])
{
    const double allowed = tolerance * largest_of(wanted);
    snprintf(why, 512, "%zu values, wanted %zu", got->n, wanted->n);
    if (got->n != wanted->n) return false;
    for (size_t i = 0; i < got->n; i++) {
        if (tolerance == 0 && net_equal(got->t[i], wanted->t[i])) continue;
        for (int64_t k = 0; k < tn_tensor_size(wanted->t[i]); k++) {
            const double a = tn_tensor_at(got->t[i], k), b = tn_tensor_at(wanted->t[i], k);
            if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= allowed) continue;
            snprintf(why, 512, "%s, element %lld: got %.9g, wanted %.9g (largest of all %g)",
                     got->name[i], (long long)k, a, b, largest_of(wanted));
            return false;
        }
    }
    return true;
}

// What TN_ADD leaves is the sum of what TN_WRITE leaves, and 0.5 from before.
static bool adds_up(const rn_net *net, const record *got, const record *written, char why[512])
{
    const double allowed = 2e-5 * largest_of(written);
    for (size_t i = 0; i < got->n && got->n == written->n; i++) {
        size_t var = 0;
        const size_t length = strcspn(got->name[i], " ");
        while (var < net->n_vars && (strlen(net->var[var].name) != length ||
                                     strncmp(net->var[var].name, got->name[i], length) != 0))
            var++;
        if (var == net->n_vars || req_of(net, var) != TN_ADD) continue;
        for (int64_t k = 0; k < tn_tensor_size(got->t[i]); k++) {
            double sum = 0.5;
            for (size_t j = 0; j <= i; j++)
                if (strncmp(written->name[j], got->name[i], length + 1) == 0)
                    sum += tn_tensor_at(written->t[j], k);
            const double a = tn_tensor_at(got->t[i], k);
            if (fabs(a - sum) <= allowed || (isnan(a) && isnan(sum)) || a == sum) continue;
            snprintf(why, 512, "sum of %s, element %lld: %.9g, wanted %.9g", got->name[i],
                     (long long)k, a, sum);
            return false;
        }
    }
    snprintf(why, 512, "%zu values, wanted %zu", got->n, written->n);
    return got->n == written->n;
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
