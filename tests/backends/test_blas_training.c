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

// ------------------------------------------------------------------ networks of layers

#define CONV(x, params) tn_op("Convolution", (params), (x))

static tn_symbol activation(const char *type, tn_symbol x)
{
    return tn_op(type, NULL, x);
}

// As LeCun et al., 1998, with fewer filters.
static tn_symbol lenet(void)
{
    tn_symbol x = tn_var("data");
    x = activation("tanh", CONV(x, "kernel=(5,5); num_filter=6"));
    x = tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", x);
    x = activation("tanh", CONV(x, "kernel=(5,5); num_filter=10"));
    x = tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", x);
    x = activation("tanh", tn_op("FullyConnected", "num_hidden=20", x));
    x = tn_op("FullyConnected", "num_hidden=5", x);
    return tn_op("SoftmaxOutput", NULL, x, tn_var("label"));
}

static tn_symbol norm(tn_symbol x)
{
    return tn_op("BatchNorm", "fix_gamma=0", x);
}

// Two residual blocks, the second of which halves the image; tanh where a kink would let rounding
// choose a side.
static tn_symbol residual(void)
{
    tn_symbol x = CONV(tn_var("data"), "kernel=(3,3); pad=(1,1); num_filter=8; no_bias=1");
    tn_symbol y = activation("tanh", norm(x));
    y = norm(CONV(y, "kernel=(3,3); pad=(1,1); num_filter=8; no_bias=1"));
    x = activation("tanh", tn_op("elemwise_add", NULL, x, y));
    y = activation(
        "tanh", norm(CONV(x, "kernel=(3,3); stride=(2,2); pad=(1,1); num_filter=12; no_bias=1")));
    y = norm(CONV(y, "kernel=(3,3); pad=(1,1); num_filter=12; num_group=2; no_bias=1"));
    x = CONV(x, "kernel=(1,1); stride=(2,2); num_filter=12; no_bias=1");
    x = activation("tanh", tn_op("elemwise_add", NULL, x, y));
    x = tn_op("Pooling", "global_pool=1; kernel=(1,1); pool_type=avg", x);
    x = tn_op("FullyConnected", "num_hidden=5", x);
    return tn_op("SoftmaxOutput", NULL, x, tn_var("label"));
}

// One cell for each of six steps, with weights in common.
static tn_symbol unrolled_lstm(void)
{
    const tn_symbol w = tn_var("w"), u = tn_var("u"), b = tn_var("b");
    const tn_symbol steps =
        tn_op("SliceChannel", "num_outputs=6; axis=1; squeeze_axis=1", tn_var("data"));
    tn_symbol h = {0}, c = {0};
    for (uint16_t t = 0; t < 6; t++) {
        const tn_symbol x = tn_output(bench.g, steps, t);
        tn_symbol a = tn_op("FullyConnected", "num_hidden=28", x, w, b);
        if (t)
            a = tn_op("elemwise_add", NULL, a,
                      tn_op("FullyConnected", "num_hidden=28; no_bias=1", h, u));
        const tn_symbol gates = tn_op("SliceChannel", "num_outputs=4; axis=1", a);
        const tn_symbol in = activation("sigmoid", tn_output(bench.g, gates, 0));
        const tn_symbol forget = activation("sigmoid", tn_output(bench.g, gates, 1));
        const tn_symbol made = activation("tanh", tn_output(bench.g, gates, 2));
        const tn_symbol out = activation("sigmoid", tn_output(bench.g, gates, 3));
        const tn_symbol new = tn_op("elemwise_mul", NULL, in, made);
        c = t ? tn_op("elemwise_add", NULL, new, tn_op("elemwise_mul", NULL, forget, c)) : new;
        h = tn_op("elemwise_mul", NULL, out, activation("tanh", c));
    }
    h = tn_op("FullyConnected", "num_hidden=5", h);
    return tn_op("SoftmaxOutput", NULL, h, tn_var("label"));
}

static tn_exec *bind_net(tn_symbol (*net)(void), const char *backend, tn_dims data, int32_t threads)
{
    tn_fresh();
    tn_exec *e =
        tn_simple_bind(bench.g, net(), .backends = backend, .grad_req = TN_WRITE,
                       .grad_reqs = TN_REQS({"label", TN_NULL}), .threads = threads,
                       .shapes = TN_SHAPES({"data", data}, {"label", TN_DIMS(data.dim[0])}));
    TN_CHECK_GRAPH();
    if (!e) return NULL;
    const tn_names names = tn_exec_arguments(e);
    for (size_t i = 0; i < names.n; i++) {
        tn_tensor *t = tn_exec_arg(e, names.v[i]);
        float *p = tn_tensor_data(t);
        for (int64_t j = 0; j < tn_tensor_size(t); j++)
            p[j] = strcmp(names.v[i], "label") == 0
                       ? (float)(j % 5)
                       : (float)pick(1000 * i + (uint64_t)j, -100, 100) / 300;
    }
    tn_forward(e, true);
    tn_backward(e, TN_NO_HEADS);
    TN_CHECK_EXEC(e);
    return e;
}

// By the largest value; exact: the same bits.
static void compare_tensors(const char *what, tn_tensor *got, tn_tensor *wanted, bool exact)
{
    const int64_t n = wanted ? tn_tensor_size(wanted) : 0;
    double largest = 0, worst = 0;
    CU_ASSERT_FATAL(got && wanted && tn_tensor_size(got) == n);
    for (int64_t i = 0; i < n; i++) {
        const double w = tn_tensor_at(wanted, i), d = fabs(tn_tensor_at(got, i) - w);
        largest = fmax(largest, fabs(w));
        worst = isnan(d) ? INFINITY : fmax(worst, d);
    }
    const bool ok = exact ? memcmp(tn_tensor_data(got), tn_tensor_data(wanted),
                                   (size_t)tn_tensor_bytes(wanted)) == 0
                          : worst <= 1e-4 * largest + 1e-12;
    CU_ASSERT(ok);
    if (!ok) printf("\n    %s: off by %.3g, the largest is %.3g\n", what, worst, largest);
}

static void compare_runs(tn_exec *got, tn_exec *wanted, bool exact)
{
    if (!got || !wanted) return;
    compare_tensors("output", tn_exec_output(got, 0), tn_exec_output(wanted, 0), exact);
    const tn_names names = tn_exec_arguments(wanted), auxs = tn_exec_auxiliary_states(wanted);
    for (size_t i = 0; i < names.n; i++)
        if (strcmp(names.v[i], "label") != 0)
            compare_tensors(names.v[i], tn_exec_grad(got, names.v[i]),
                            tn_exec_grad(wanted, names.v[i]), exact);
    for (size_t i = 0; i < auxs.n; i++)
        compare_tensors(auxs.v[i], tn_exec_aux(got, auxs.v[i]), tn_exec_aux(wanted, auxs.v[i]),
                        exact);
}

// blas stands alone on its list: nothing of the network is left to another.
static void check_net(tn_symbol (*net)(void), tn_dims data)
{
    if (!has_backend("blas")) {
        tn_skip("the blas backend is not built");
        return;
    }
    tn_exec *wanted = bind_net(net, "reference", data, 0);
    tn_exec *one = bind_net(net, "blas", data, 1), *two = bind_net(net, "blas", data, 2);
    compare_runs(one, wanted, false);
    compare_runs(two, one, true);
    tn_exec_free(wanted);
    tn_exec_free(one);
    tn_exec_free(two);
}

static void lenet_agrees_with_the_reference(void)
{
    check_net(lenet, TN_DIMS(10, 1, 28, 28));
}

static void a_residual_network_agrees_with_the_reference(void)
{
    check_net(residual, TN_DIMS(9, 3, 14, 14));
}

static void an_unrolled_lstm_agrees_with_the_reference(void)
{
    check_net(unrolled_lstm, TN_DIMS(6, 6, 9));
}

// ------------------------------------------------------------------ what is not there

// Operators without an expansion that blas leaves to others, and why.
static const struct {
    const char *op, *why;
} left[] = {
    {"_CrossDeviceCopy", "the core's own"},
    {"_reorder", "the core's own"},
    {"_multi", "updates one by one cost a host kernel nothing"},
};
enum { N_LEFT = sizeof left / sizeof *left };

static void every_other_primitive_has_a_kernel(void)
{
    size_t blas = SIZE_MAX, n = 0;
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, "blas") == 0) blas = i;
    if (blas == SIZE_MAX) {
        tn_skip("the blas backend is not built");
        return;
    }
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *op = tn_env_op(bench.env, i);
        if (op->expand || tn_env_op_plugin(bench.env, op)[0]) continue;
        // mp_ ones are for narrow weights; of chains in 16 bits the parts run one by one
        const bool f64 = strncmp(op->name, "mp_", 3) != 0, half = strcmp(op->name, "_fused") != 0;
        const bool has = tn_env_backend_has(bench.env, blas, op->name, TN_F32) &&
                         (!f64 || tn_env_backend_has(bench.env, blas, op->name, TN_F64)) &&
                         (!half || tn_env_backend_has(bench.env, blas, op->name, TN_F16)) &&
                         (!half || tn_env_backend_has(bench.env, blas, op->name, TN_BF16));
        bool known = false;
        for (size_t j = 0; j < N_LEFT; j++) known = known || strcmp(left[j].op, op->name) == 0;
        CU_ASSERT(has != known);
        if (has == known)
            printf("\n    %s: %s\n", op->name, has ? "has a kernel, but is listed" : "no kernel");
        n += has;
    }
    CU_ASSERT(n > 40);
    for (size_t j = 0; j < N_LEFT; j++) CU_ASSERT(strlen(left[j].why) > 0);
}

TN_TEST_MAIN({"training follows the reference", training_follows_the_reference},
             {"LeNet agrees with the reference", lenet_agrees_with_the_reference},
             {"a residual network agrees with the reference",
              a_residual_network_agrees_with_the_reference},
             {"an unrolled LSTM agrees with the reference",
              an_unrolled_lstm_agrees_with_the_reference},
             {"every other primitive has a kernel", every_other_primitive_has_a_kernel})
