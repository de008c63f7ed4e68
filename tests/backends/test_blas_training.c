// tests/backends/test_blas_training.c: a network trains on the blas backend as on the reference.
#include <math.h>
#include <string.h>

#include "tests/tn_numeric.h"

static bool has_backend(const char *name)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, name) == 0) return true;
    return false;
}

// A number in lo … hi for each seed.
static int64_t pick(uint64_t seed, int64_t lo, int64_t hi)
{
    uint64_t z = (seed + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    return lo + (int64_t)((z ^ (z >> 31)) % (uint64_t)(hi - lo + 1));
}

enum { BATCH = 32, FEATURES = 20, HIDDEN = 48, CLASSES = 5, STEPS = 100 };

static tn_exec *bind_mlp(const char *backend)
{
    tn_fresh();
    tn_symbol x =
        tn_op("FullyConnected", "num_hidden=48", tn_var("data"), tn_var("w1"), tn_var("b1"));
    x = tn_op("Activation", "act_type=tanh", x);
    x = tn_op("FullyConnected", "num_hidden=5", x, tn_var("w2"), tn_var("b2"));
    x = tn_op("SoftmaxOutput", "normalization=batch", x, tn_var("label"));
    tn_exec *e = tn_simple_bind(
        bench.g, x, .backends = backend, .grad_req = TN_WRITE,
        .grad_reqs = TN_REQS({"data", TN_NULL}, {"label", TN_NULL}),
        .shapes = TN_SHAPES({"data", TN_DIMS(BATCH, FEATURES)}, {"label", TN_DIMS(BATCH)}));
    TN_CHECK_GRAPH();
    return e;
}

// Inputs that tell of their class, and small weights: the same at each call.
static void fill_mlp(tn_exec *e)
{
    static const char *const weights[] = {"w1", "b1", "w2", "b2"};
    float *data = tn_tensor_data(tn_exec_arg(e, "data"));
    float *label = tn_tensor_data(tn_exec_arg(e, "label"));
    for (int i = 0; i < BATCH; i++) {
        label[i] = (float)(i % CLASSES);
        for (int j = 0; j < FEATURES; j++)
            data[i * FEATURES + j] = (float)pick((uint64_t)(i * FEATURES + j), -100, 100) / 100 +
                                     (j % CLASSES == i % CLASSES ? 0.5f : 0);
    }
    for (size_t w = 0; w < 4; w++) {
        tn_tensor *t = tn_exec_arg(e, weights[w]);
        float *p = tn_tensor_data(t);
        for (int64_t i = 0; i < tn_tensor_size(t); i++)
            p[i] = (float)pick(1000 * (w + 1) + (uint64_t)i, -100, 100) / 500;
    }
}

// One step of gradient descent; the mean cross-entropy before it.
static double train_step(tn_exec *e)
{
    static const char *const weights[] = {"w1", "b1", "w2", "b2"};
    double loss = 0;
    tn_forward(e, true);
    const float *p = tn_tensor_data(tn_exec_output(e, 0));
    for (int i = 0; i < BATCH; i++) loss -= log((double)p[i * CLASSES + i % CLASSES]) / BATCH;
    tn_backward(e, TN_NO_HEADS);
    for (size_t w = 0; w < 4; w++) {
        tn_tensor *t = tn_exec_arg(e, weights[w]);
        float *x = tn_tensor_data(t);
        const float *g = tn_tensor_data(tn_exec_grad(e, weights[w]));
        for (int64_t i = 0; i < tn_tensor_size(t); i++) x[i] -= 0.5f * g[i];
    }
    return loss;
}

static void training_follows_the_reference(void)
{
    if (!has_backend("blas")) {
        tn_skip("the blas backend is not built");
        return;
    }
    tn_exec *e = bind_mlp("blas"), *wanted = bind_mlp("reference");
    if (!e || !wanted) return;
    fill_mlp(e);
    fill_mlp(wanted);
    double first = 0, last = 0;
    for (int step = 0; step < STEPS; step++) {
        last = train_step(e);
        if (step == 0) first = last;
        const double reference = train_step(wanted);
        const bool near = fabs(last - reference) <= 1e-4 * reference;
        CU_ASSERT(near);
        if (!near) printf("\n    step %d: loss %.9g, wanted %.9g\n", step, last, reference);
    }
    TN_CHECK_EXEC(e);
    CU_ASSERT(last < 0.3 * first);
    tn_exec_free(e);
    tn_exec_free(wanted);
}

TN_TEST_MAIN({"training follows the reference", training_follows_the_reference})
