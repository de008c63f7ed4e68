// tests/exec/test_dozen.c: a backend of twelve kernels, alone on the list, trains a dense network
// to the numbers of the reference backend: the rest is expanded.
#include "tests/tn_numeric.h"

enum { ROWS = 16, INPUTS = 3, STEPS = 60 };

static const char *const weights[] = {"fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"};
enum { N_WEIGHTS = 4 };

static tn_symbol network(void)
{
    tn_symbol x = tn_variable(bench.g, "data");
    x = tn_call(bench.g, "FullyConnected", .name = "fc1", .inputs = TN_SYMS(x),
                .params = TN_ATTRS({"num_hidden", "8"}));
    x = tn_call(bench.g, "Activation", .name = "relu1", .inputs = TN_SYMS(x),
                .params = TN_ATTRS({"act_type", "relu"}));
    x = tn_call(bench.g, "FullyConnected", .name = "fc2", .inputs = TN_SYMS(x),
                .params = TN_ATTRS({"num_hidden", "2"}));
    return tn_call(bench.g, "LinearRegressionOutput", .name = "out", .inputs = TN_SYMS(x));
}

// What is learnt: (x0 + 2 x1, |x2|).
static void fill(tn_exec *e)
{
    tn_tensor *data = tn_exec_arg(e, "data"), *label = tn_exec_arg(e, "out_label");
    tn_tensor *x = tn_sample(TN_F32, TN_DIMS(ROWS, INPUTS), -1, 1, 3);
    double y[ROWS * 2];
    for (int64_t i = 0; i < ROWS; i++) {
        const double x2 = tn_tensor_at(x, i * INPUTS + 2);
        y[2 * i] = tn_tensor_at(x, i * INPUTS) + 2 * tn_tensor_at(x, i * INPUTS + 1);
        y[2 * i + 1] = x2 < 0 ? -x2 : x2;
    }
    tn_tensor *t = tn_tensor_from(bench.env, TN_F32, TN_DIMS(ROWS, 2), y);
    tn_tensor_copy(data, x);
    tn_tensor_copy(label, t);
    tn_tensor_release(x);
    tn_tensor_release(t);
    for (size_t i = 0; i < N_WEIGHTS; i++) {
        tn_tensor *w = tn_exec_arg(e, weights[i]);
        const tn_shape s = tn_tensor_shape(w);
        tn_tensor *v = tn_sample(TN_F32, tn_shape_dims(&s), -0.5, 0.5, 20 + i);
        tn_tensor_copy(w, v);
        tn_tensor_release(v);
    }
}

static double loss(tn_exec *e)
{
    tn_tensor *y = tn_exec_output(e, 0), *label = tn_exec_arg(e, "out_label");
    double sum = 0;
    for (int64_t i = 0; i < tn_tensor_size(y); i++) {
        const double d = tn_tensor_at(y, i) - tn_tensor_at(label, i);
        sum += d * d;
    }
    return sum / ROWS;
}

// One step on a weight of e, written over it.
static tn_exec *step_of(tn_exec *e, const char *weight, const char *backend)
{
    char name[64], output[80];
    snprintf(name, sizeof name, "%s_step", weight);
    snprintf(output, sizeof output, "%s_output", name);
    const tn_symbol w = tn_variable(bench.g, weight), g = tn_variable(bench.g, name);
    const tn_symbol s =
        tn_call(bench.g, "sgd_update", .name = name, .inputs = TN_SYMS(w, g),
                .params = TN_ATTRS({"lr", "0.2"}, {"wd", "0.001"}, {"rescale_grad", "0.0625"}));
    return tn_simple_bind(
        bench.g, s, .backends = backend,
        .args = TN_TENSORS({weight, tn_exec_arg(e, weight)}, {name, tn_exec_grad(e, weight)}),
        .outs = TN_TENSORS({output, tn_exec_arg(e, weight)}));
}

// Trains on one backend alone; the executor has the result.
static tn_exec *train(const char *backend, double *before, double *after)
{
    tn_exec *steps[N_WEIGHTS];
    tn_fresh();
    tn_exec *e =
        tn_simple_bind(bench.g, network(), .backends = backend,
                       .grad_reqs = TN_REQS({"fc1_weight", TN_WRITE}, {"fc1_bias", TN_WRITE},
                                            {"fc2_weight", TN_WRITE}, {"fc2_bias", TN_WRITE}),
                       .shapes = TN_SHAPES({"data", TN_DIMS(ROWS, INPUTS)}));
    if (!TN_CHECK_EXEC(e) || !e) return NULL;
    fill(e);
    tn_fresh();
    for (size_t i = 0; i < N_WEIGHTS; i++) steps[i] = step_of(e, weights[i], backend);
    bool ok = TN_CHECK_GRAPH();
    for (int n = 0; n < STEPS && ok; n++) {
        tn_forward(e, true);
        if (n == 0) *before = loss(e);
        tn_backward(e, TN_NO_HEADS);
        for (size_t i = 0; i < N_WEIGHTS; i++) ok = tn_forward(steps[i], false) == TN_OK && ok;
    }
    tn_forward(e, false);
    *after = loss(e);
    ok = TN_CHECK_EXEC(e) && ok;
    for (size_t i = 0; i < N_WEIGHTS; i++) tn_exec_free(steps[i]);
    CU_ASSERT(ok);
    return e;
}

static void twelve_kernels_train_a_dense_network(void)
{
    double before = 0, after = 1e9, before2 = 0, after2 = 1e9;
    if (tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/dozen.so") != TN_OK) {
        TN_CHECK_STR(tn_env_error(bench.env), "");
        return;
    }
    tn_exec *few = train("dozen", &before, &after);
    tn_exec *all = train("reference", &before2, &after2);
    CU_ASSERT(before > 0.5);
    CU_ASSERT(after < 0.1 * before);
    TN_CHECK_NEAR(before, before2, 1e-5);
    TN_CHECK_NEAR(after, after2, 1e-5);
    for (size_t i = 0; few && all && i < N_WEIGHTS; i++) {
        tn_tensor *a = tn_exec_arg(few, weights[i]), *b = tn_exec_arg(all, weights[i]);
        for (int64_t k = 0; k < tn_tensor_size(b); k++)
            TN_CHECK_NEAR(tn_tensor_at(a, k), tn_tensor_at(b, k), 1e-5);
    }
    if (few) TN_CHECK_HAS(tn_exec_report_text(few), "dozen");
    tn_exec_free(few);
    tn_exec_free(all);
}

TN_TEST_MAIN({"twelve kernels train a dense network", twelve_kernels_train_a_dense_network})
