// tests/exec/random_way.h: runs a random network in one of several ways and compares what came out.
#ifndef TENON_TESTS_RANDOM_WAY_H
#define TENON_TESTS_RANDOM_WAY_H

#include "tests/exec/nets.h"
#include "tests/exec/random_net.h"

enum { STEPS = 3, MOST = 4 * (RN_HEADS + RN_VARS) };

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

static inline void record_free(record *r)
{
    for (size_t i = 0; i < r->n; i++) tn_tensor_release(r->t[i]);
    r->n = 0;
}

static inline void remember(record *r, const char *what, int step, tn_tensor *t)
{
    if (!t || r->n == STEPS * MOST) return;
    snprintf(r->name[r->n], sizeof r->name[0], "%s of run %d", what, step);
    r->t[r->n++] = tn_tensor_cast(t, tn_tensor_dtype(t));
}

static inline tn_grad_req req_of(const rn_net *net, size_t i)
{
    static const tn_grad_req of[] = {TN_WRITE, TN_ADD, TN_WRITE, TN_NULL, TN_ADD};
    return net->var[i].integer ? TN_NULL : of[(i + net->n) % 5];
}

// The values of variable i in a step.
static inline tn_tensor *sample(const rn_net *net, size_t i, int step)
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

static inline tn_tensor *piece(pieces *p, const char *name, const tn_shape *shape)
{
    const int64_t size = tn_shape_size(shape);
    tn_tensor *rows = tn_tensor_slice(p->all, p->used, p->used + size);
    tn_tensor *t = tn_tensor_reshape(rows, tn_shape_dims(shape));
    tn_tensor_release(rows);
    p->used += size + size % 3;
    p->v[p->n++] = (tn_named_tensor){name, t};
    return t;
}

static inline void pieces_free(pieces *p)
{
    for (size_t i = 0; i < p->n; i++) tn_tensor_release(p->v[i].tensor);
    tn_tensor_release(p->all);
}

static inline tn_exec *bind_way(const rn_net *net, tn_symbol y, const way *w, pieces *p)
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

static inline bool run_steps(const rn_net *net, tn_exec *e, record *r)
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
            heads[i] =
                (tn_named_tensor){NULL, tn_sample(net->dtype, tn_shape_dims(&s), -1, 1, 50 + i)};
        }
        const tn_status status = tn_backward(e, (tn_tensors){n, heads});
        for (size_t i = 0; i < n; i++) tn_tensor_release(heads[i].tensor);
        if (status) return false;
        const tn_names states = tn_exec_auxiliary_states(e);
        for (size_t i = 0; i < states.n; i++)
            remember(r, "a state", step, tn_exec_aux(e, states.v[i]));
        for (size_t i = 0; i < net->n_vars; i++) {
            remember(r, net->var[i].name, step, tn_exec_grad(e, net->var[i].name));
            tn_exec_forgive(e);
        }
    }
    return true;
}

// Binds, runs, and looks at the plan. False, and the reason in `why`, if something went wrong.
static inline bool run_way(const rn_net *net, tn_symbol y, const way *w, record *r, char why[512])
{
    pieces p = {0};
    tn_exec *first = NULL;
    if (w->given) p.all = tn_tensor_new(bench.env, net->dtype, TN_DIMS(RN_ELEMENTS * MOST * 4));
    tn_exec *e = bind_way(net, y, w, &p);
    if (e && w->reshaped) {
        first = e;
        e = tn_exec_reshape(first, (tn_shapes){0, NULL});
        if (!e) snprintf(why, 512, "%s", tn_exec_error(first));
        tn_forward(first, true); // leaves its values in the memory that both use
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

static inline double largest_of(const record *r)
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
static inline bool same(const record *got, const record *wanted, double tolerance, char why[512])
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
static inline bool adds_up(const rn_net *net, const record *got, const record *written,
                           char why[512])
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

#endif
