// tests/nets/zoo_run.h: binds networks of the zoo to backends in several ways, runs and compares.
#ifndef TENON_TESTS_ZOO_RUN_H
#define TENON_TESTS_ZOO_RUN_H

#include "tests/nets/zoo.h"

// ------------------------------------------------------------------ what there is

// Can nodes run on that backend here?
static inline bool zoo_has(const char *backend)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        const tn_backend_entry *b = tn_env_backend(bench.env, i);
        if (strcmp(b->name, backend) != 0) continue;
        for (size_t d = 0; d < b->n_devices; d++)
            if (!tn_env_device(bench.env, i, d)->unusable) return true;
    }
    return false;
}

static inline bool zoo_has_kernel(const char *backend, const char *op)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, backend) == 0)
            return tn_env_backend_has(bench.env, i, op, TN_F32);
    return false;
}

// ------------------------------------------------------------------ binding

typedef struct zoo_way {
    const char *backends;
    const char *const *pins;   // NULL, or backends that the nodes get in turn, NULL-terminated
    const char *first, *other; // NULL, or where the two halves of the network are to run
    int32_t threads;           // most that a kernel may use; 0: the pool's size
} zoo_way;

// Node k of the network gets pins[k modulo their number] as __backend__, or the next of them that
// has a kernel for it; none if no one has.
static inline void zoo_pin(tn_symbol net, const char *const *pins)
{
    const tn_symbol all = tn_internals(bench.g, net);
    const size_t n = tn_outputs(bench.g, all).n;
    size_t n_pins = 0;
    while (pins[n_pins]) n_pins++;
    for (size_t i = 0, k = 0; i < n; i++) {
        const tn_symbol s = tn_output(bench.g, all, i);
        const char *op = tn_symbol_op(bench.g, s);
        if (!op) continue;
        for (size_t j = 0; j < n_pins; j++) {
            const char *pin = pins[(k + j) % n_pins];
            if (!zoo_has_kernel(pin, op)) continue;
            tn_attr_set(bench.g, s, "__backend__", pin);
            break;
        }
        k++;
    }
}

static inline void zoo_halve(tn_symbol net)
{
    const tn_symbol all = tn_internals(bench.g, net);
    const size_t n = tn_outputs(bench.g, all).n;
    for (size_t i = 0; i < n; i++)
        tn_attr_set(bench.g, tn_output(bench.g, all, i), "__ctx_group__",
                    i < n / 2 ? "first" : "other");
}

// A new executor with its first values; NULL after reporting why not.
static inline tn_exec *zoo_bind(const zoo_net *net, const zoo_way *how)
{
    tn_fresh();
    const tn_symbol s = net->make();
    if (TN_CHECK_GRAPH() && how->pins) zoo_pin(s, how->pins);
    if (how->first) zoo_halve(s);
    tn_exec *e =
        tn_simple_bind(bench.g, s, .backends = how->backends, .threads = how->threads,
                       .grad_req = TN_WRITE, .shapes = {net->n_shapes, net->shapes},
                       .groups = {how->first ? 2 : 0,
                                  (const tn_attr[]){{"first", how->first}, {"other", how->other}}});
    if (!TN_CHECK_EXEC(e)) return NULL;
    zoo_fill(e);
    return e;
}

// ------------------------------------------------------------------ comparison

// Largest difference of two tensors as part of the largest element of the wanted one.
static inline double zoo_difference(tn_tensor *got, tn_tensor *wanted)
{
    double largest = 0, worst = 0;
    const int64_t n = wanted ? tn_tensor_size(wanted) : 0;
    float *a = calloc(2 * (size_t)n + 2, sizeof *a), *b = a ? a + n + 1 : NULL;
    const bool ok = a && got && wanted && tn_tensor_size(got) == n &&
                    !tn_tensor_get(got, a, (uint64_t)n * sizeof *a) &&
                    !tn_tensor_get(wanted, b, (uint64_t)n * sizeof *b);
    for (int64_t i = 0; ok && i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        largest = fmax(largest, fabs((double)b[i]));
        worst = isnan(d) ? INFINITY : fmax(worst, d);
    }
    free(a);
    if (!ok) return INFINITY;
    return worst > 0 ? worst / fmax(largest, 1e-30) : 0;
}

static inline bool zoo_near(const char *net, const char *what, tn_tensor *got, tn_tensor *wanted,
                            double tolerance)
{
    char text[256];
    const double d = zoo_difference(got, wanted);
    snprintf(text, sizeof text, "%s, %s: %g from the reference, at most %g", net, what, d,
             tolerance);
    CU_assertImplementation(d <= tolerance, __LINE__, text, __FILE__, "", CU_FALSE);
    return d <= tolerance;
}

// Outputs, gradients and auxiliary states.
static inline bool zoo_all_near(const char *net, tn_exec *got, tn_exec *wanted, double tolerance)
{
    const tn_names args = tn_exec_arguments(wanted), auxs = tn_exec_auxiliary_states(wanted);
    bool ok = true;
    for (size_t i = 0; i < tn_exec_num_outputs(wanted); i++)
        ok &= zoo_near(net, "output", tn_exec_output(got, i), tn_exec_output(wanted, i), tolerance);
    for (size_t i = 0; i < args.n; i++) {
        tn_tensor *gradient = tn_exec_grad(wanted, args.v[i]);
        if (!gradient) continue;
        ok &= zoo_near(net, args.v[i], tn_exec_grad(got, args.v[i]), gradient, tolerance);
    }
    for (size_t i = 0; i < auxs.n; i++)
        ok &= zoo_near(net, auxs.v[i], tn_exec_aux(got, auxs.v[i]), tn_exec_aux(wanted, auxs.v[i]),
                       tolerance);
    return ok;
}

// Twice forward and backward, and a forward for inference, on both; compared after each.
static inline void zoo_compare(const char *net, tn_exec *got, tn_exec *wanted, double tolerance)
{
    for (int i = 0; i < 3 && got && wanted; i++) {
        const bool train = i < 2;
        tn_exec *both[] = {got, wanted};
        for (int k = 0; k < 2; k++) {
            tn_forward(both[k], train);
            if (train) tn_backward(both[k], TN_NO_HEADS);
            if (!TN_CHECK_EXEC(both[k])) return;
        }
        if (!zoo_all_near(net, got, wanted, tolerance)) return;
    }
}

// The network bound this way, compared with the reference; the caller frees it.
static inline tn_exec *zoo_check(const zoo_net *net, const zoo_way *how)
{
    tn_exec *wanted = zoo_bind(net, &(zoo_way){.backends = "reference"});
    tn_exec *got = zoo_bind(net, how);
    zoo_compare(net->name, got, wanted, 1e-4);
    tn_exec_free(wanted);
    return got;
}

// A network of one test on the bench's list, what that cannot run on the reference.
static inline void zoo_check_net(const char *name, tn_symbol (*make)(void), size_t n,
                                 const tn_named_dims *shapes)
{
    zoo_net net = {.name = name, .make = make, .n_shapes = n};
    for (size_t i = 0; i < n; i++) net.shapes[i] = shapes[i];
    tn_exec_free(zoo_check(&net, &(zoo_way){.backends = tn_backends()}));
}
// ZOO_CHECK(function that makes it, {"data", {4, extents}}, …): at most 4 shapes.
#define ZOO_CHECK(make, ...)                                                                   \
    zoo_check_net(#make, make, sizeof((tn_named_dims[]){__VA_ARGS__}) / sizeof(tn_named_dims), \
                  (tn_named_dims[]){__VA_ARGS__})

#endif
