// tests/backends/test_opencl.c: networks train on the opencl backend as on the reference.
//
// Any device does, PoCL's CPU too. Programs are cached in a temporary folder, so that every run
// builds some.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/env/env.h"
#include "tests/tn_numeric.h"

static bool has_device(void)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        const tn_backend_entry *b = tn_env_backend(bench.env, i);
        if (strcmp(b->name, "opencl") != 0) continue;
        for (size_t j = 0; j < b->n_devices; j++)
            if (!tn_env_device(bench.env, i, j)->unusable) return true;
    }
    tn_skip("no OpenCL device here");
    return false;
}

// A number in -1 … 1 for each seed.
static float number(uint64_t seed)
{
    uint64_t z = (seed + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    return (float)((z ^ (z >> 31)) % 2001) / 1000.0f - 1;
}

// ------------------------------------------------------------------ networks

enum { BATCH = 16, CLASSES = 5 };

static tn_symbol mlp(void)
{
    tn_symbol x =
        tn_op("FullyConnected", "num_hidden=48", tn_var("data"), tn_var("w1"), tn_var("b1"));
    x = tn_op("Activation", "act_type=relu", x);
    x = tn_op("FullyConnected", "num_hidden=5", x, tn_var("w2"), tn_var("b2"));
    return tn_op("SoftmaxOutput", "normalization=batch", x, tn_var("label"));
}

static tn_exec *bind(tn_symbol net, const char *backends, tn_dims data)
{
    tn_exec *e = tn_simple_bind(bench.g, net, .backends = backends, .grad_req = TN_WRITE,
                                .grad_reqs = TN_REQS({"data", TN_NULL}, {"label", TN_NULL}),
                                .shapes = TN_SHAPES({"data", data}, {"label", TN_DIMS(BATCH)}));
    TN_CHECK_GRAPH();
    return e;
}

// Inputs that tell of their class, and small weights: the same at each call.
static void fill(tn_exec *e)
{
    const tn_names names = tn_exec_arguments(e);
    for (size_t a = 0; a < names.n; a++) {
        tn_tensor *t = tn_exec_arg(e, names.v[a]);
        const int64_t n = tn_tensor_size(t);
        float *v = calloc((size_t)n, sizeof *v);
        if (!v) return;
        for (int64_t i = 0; i < n; i++) {
            const float x = number(1000 * a + (uint64_t)i);
            if (strcmp(names.v[a], "label") == 0)
                v[i] = (float)(i % CLASSES);
            else if (strcmp(names.v[a], "data") == 0)
                v[i] = x + (i % CLASSES == i / (n / BATCH) % CLASSES ? 0.5f : 0);
            else
                v[i] = x * 0.2f;
        }
        CU_ASSERT_EQUAL(tn_tensor_set(t, v, (uint64_t)n * sizeof *v), TN_OK);
        free(v);
    }
}

static void descend(tn_exec *e, const char *name, float rate)
{
    tn_tensor *t = tn_exec_arg(e, name), *g = tn_exec_grad(e, name);
    if (!g) return;
    const size_t n = (size_t)tn_tensor_size(t);
    float *x = calloc(2 * n, sizeof *x), *dx = x + n;
    if (!x) return;
    tn_tensor_get(t, x, n * sizeof *x);
    tn_tensor_get(g, dx, n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] -= rate * dx[i];
    tn_tensor_set(t, x, n * sizeof *x);
    free(x);
}

// One step of gradient descent; the mean cross-entropy before it.
static double train_step(tn_exec *e, float rate)
{
    double loss = 0;
    tn_forward(e, true);
    for (int i = 0; i < BATCH; i++)
        loss -= log(tn_tensor_at(tn_exec_output(e, 0), i * CLASSES + i % CLASSES)) / BATCH;
    tn_backward(e, TN_NO_HEADS);
    const tn_names names = tn_exec_arguments(e);
    for (size_t a = 0; a < names.n; a++) descend(e, names.v[a], rate);
    return loss;
}

// The same losses on that list of backends as on the reference, and that they fall.
static void trains(tn_symbol (*net)(void), const char *backends, tn_dims data, int steps)
{
    tn_fresh();
    tn_exec *e = bind(net(), backends, data);
    tn_fresh();
    tn_exec *wanted = bind(net(), "reference", data);
    if (!e || !wanted) return;
    fill(e);
    fill(wanted);
    double first = 0, last = 0;
    for (int step = 0; step < steps; step++) {
        last = train_step(e, 0.3f);
        if (step == 0) first = last;
        const double reference = train_step(wanted, 0.3f);
        TN_CHECK_NEAR(last, reference, 1e-4 * fmax(reference, 1));
    }
    TN_CHECK_EXEC(e);
    CU_ASSERT(last < 0.5 * first);
    tn_exec_free(e);
    tn_exec_free(wanted);
}

static void mlp_trains(void)
{
    if (!has_device()) return;
    trains(mlp, "opencl", TN_DIMS(BATCH, 20), 40);
}

TN_TEST_MAIN({"an MLP trains as on the reference", mlp_trains})
