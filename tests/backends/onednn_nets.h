// tests/backends/onednn_nets.h: what tests of onednn, and some of opencl, share: values, comparison
// with the reference backend, and three small networks.
#ifndef TENON_TESTS_ONEDNN_NETS_H
#define TENON_TESTS_ONEDNN_NETS_H

#include <math.h>
#include <string.h>
#include <tenon/philox.h>

#include "tests/tn_numeric.h"

static inline bool onednn_ready(void)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, "onednn") == 0)
            return !tn_env_device(bench.env, i, 0)->unusable;
    tn_skip("the onednn backend is not built");
    return false;
}

// Does oneDNN have bfloat16 on this CPU? Otherwise the option changes nothing.
static inline bool narrow_ready(void)
{
    if (!onednn_ready()) return false;
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        if (strcmp(tn_env_backend(bench.env, i)->name, "onednn") != 0) continue;
        const char *driver = tn_env_device(bench.env, i, 0)->driver;
        if (strstr(driver, "bfloat16") || strstr(driver, "AMX")) return true;
    }
    tn_skip("this CPU does not compute in bfloat16");
    return false;
}

// ------------------------------------------------------------------ values

// Numbers of the size that keeps activations near 1; labels are the classes 0, 1, 2, 0, …
static inline void fill_tensor(tn_tensor *t, const char *name, uint32_t stream)
{
    const tn_shape s = tn_tensor_shape(t);
    const int64_t n = tn_tensor_size(t), first = s.ndim > 1 && s.dim[0] > 0 ? s.dim[0] : 1;
    const bool label = strstr(name, "label") != NULL, weight = strstr(name, "weight") != NULL;
    const double scale = weight ? sqrt(3.0 * (double)first / (double)n) : 1;
    float *x = tn_tensor_data(t);
    for (int64_t i = 0; i < n; i++) {
        const double u = tn_philox_uniform_f32(1, stream, (uint64_t)i);
        x[i] = label ? (float)(i % 3) : (float)((2 * u - 1) * scale);
    }
}

static inline void fill(tn_exec *e)
{
    const tn_names names = tn_exec_arguments(e), states = tn_exec_auxiliary_states(e);
    for (size_t k = 0; k < names.n; k++)
        fill_tensor(tn_exec_arg(e, names.v[k]), names.v[k], (uint32_t)k);
    for (size_t k = 0; k < states.n; k++) { // variances are positive
        tn_tensor *t = tn_exec_aux(e, states.v[k]);
        float *x = tn_tensor_data(t);
        for (int64_t i = 0; i < tn_tensor_size(t); i++) x[i] = 1 + (float)(i % 5) / 8;
    }
}

// ------------------------------------------------------------------ comparison

// Largest difference of two tensors as part of the largest element of b.
static inline double difference(tn_tensor *a, tn_tensor *b)
{
    double largest = 0, worst = 0;
    if (!a || !b || tn_tensor_size(a) != tn_tensor_size(b)) return INFINITY;
    for (int64_t i = 0; i < tn_tensor_size(a); i++) {
        const double va = tn_tensor_at(a, i), vb = tn_tensor_at(b, i);
        if (isnan(va) != isnan(vb)) return INFINITY;
        largest = isnan(vb) ? largest : fmax(largest, fabs(vb));
        if (isnan(va) || va == vb) continue;
        worst = fmax(worst, fabs(va - vb));
    }
    return worst > 0 ? worst / fmax(largest, 1e-30) : 0;
}

static inline bool near(const char *name, tn_tensor *a, tn_tensor *b, double tolerance)
{
    const double d = difference(a, b);
    if (d <= tolerance) return true;
    TN_CHECK_NEAR(d, 0, tolerance);
    TN_CHECK_STR(name, "near the reference");
    return false;
}

// Outputs, gradients and states of a and b.
static inline bool all_near(tn_exec *a, tn_exec *b, double tolerance)
{
    const tn_names args = tn_exec_arguments(b), states = tn_exec_auxiliary_states(b);
    bool ok = true;
    for (size_t i = 0; i < tn_exec_num_outputs(b); i++)
        ok &= near("output", tn_exec_output(a, i), tn_exec_output(b, i), tolerance);
    for (size_t i = 0; i < args.n; i++)
        if (tn_exec_grad(b, args.v[i]))
            ok &=
                near(args.v[i], tn_exec_grad(a, args.v[i]), tn_exec_grad(b, args.v[i]), tolerance);
    for (size_t i = 0; i < states.n; i++)
        ok &=
            near(states.v[i], tn_exec_aux(a, states.v[i]), tn_exec_aux(b, states.v[i]), tolerance);
    return ok;
}

// ------------------------------------------------------------------ networks

typedef tn_symbol (*net_fn)(void);

// A call with a name; params: "key=value; key=value", or NULL.
static inline tn_symbol layer(const char *op, const char *name, const char *params, tn_symbol x)
{
    char text[160];
    tn_attr pairs[8];
    size_t n = 0;
    snprintf(text, sizeof text, "%s", params ? params : "");
    for (char *rest = text, *p; (p = strtok_r(rest, ";", &rest)) != NULL && n < 8; n++) {
        char *value = strchr(p, '=');
        *value = 0;
        pairs[n] = (tn_attr){p + strspn(p, " "), value + 1};
    }
    return tn_call(bench.g, op, .inputs = TN_SYMS(x), .name = name, .params = {n, pairs});
}

// data (n, 3, s, s): convolution, batch norm, relu, pooling, twice; then a mean over the image.
static inline tn_symbol net_chain_of_layers(void)
{
    tn_symbol x = tn_var("data");
    x = layer("Convolution", "c1", "kernel=(3,3); pad=(1,1); num_filter=96; no_bias=1", x);
    x = layer("BatchNorm", "b1", "fix_gamma=0", x);
    x = layer("Activation", "r1", "act_type=relu", x);
    x = layer("Pooling", "p1", "kernel=(3,3); stride=(2,2); pool_type=max", x);
    x = layer("Convolution", "c2", "kernel=(3,3); num_filter=48; no_bias=1", x);
    x = layer("BatchNorm", "b2", NULL, x);
    x = layer("Activation", "r2", "act_type=relu", x);
    return layer("Pooling", "p2", "kernel=(2,2); pool_type=avg; global_pool=1", x);
}

static inline tn_symbol net_lenet(void)
{
    tn_symbol x = tn_var("data");
    x = layer("Convolution", "conv1", "kernel=(5,5); num_filter=20", x);
    x = layer("Activation", "tanh1", "act_type=tanh", x);
    x = layer("Pooling", "pool1", "kernel=(2,2); stride=(2,2); pool_type=max", x);
    x = layer("Convolution", "conv2", "kernel=(5,5); num_filter=50", x);
    x = layer("Activation", "tanh2", "act_type=tanh", x);
    x = layer("Pooling", "pool2", "kernel=(2,2); stride=(2,2); pool_type=max", x);
    x = layer("FullyConnected", "fc1", "num_hidden=500", x);
    x = layer("Activation", "tanh3", "act_type=tanh", x);
    x = layer("FullyConnected", "fc2", "num_hidden=10", x);
    return layer("SoftmaxOutput", "out", NULL, x);
}

// y = relu(bn(conv(relu(bn(conv(x))))) + x)
static inline tn_symbol residual(tn_symbol x, const char *names[4])
{
    tn_symbol y =
        layer("Convolution", names[0], "kernel=(3,3); pad=(1,1); num_filter=32; no_bias=1", x);
    y = layer("Activation", NULL, "act_type=relu", layer("BatchNorm", names[1], "fix_gamma=0", y));
    y = layer("Convolution", names[2], "kernel=(3,3); pad=(1,1); num_filter=32; no_bias=1", y);
    y = layer("BatchNorm", names[3], "fix_gamma=0", y);
    y = tn_call(bench.g, "elemwise_add", .inputs = TN_SYMS(y, x));
    return layer("Activation", NULL, "act_type=relu", y);
}

static inline tn_symbol net_residual(void)
{
    tn_symbol x = tn_var("data");
    x = layer("Convolution", "stem", "kernel=(3,3); pad=(1,1); num_filter=32; no_bias=1", x);
    x = layer("Activation", NULL, "act_type=relu", layer("BatchNorm", "stem_bn", NULL, x));
    x = residual(x, (const char *[]){"a1", "a1_bn", "a2", "a2_bn"});
    x = residual(x, (const char *[]){"b1", "b1_bn", "b2", "b2_bn"});
    x = layer("Convolution", "down", "kernel=(1,1); stride=(2,2); num_filter=64", x);
    x = layer("Pooling", "pool", "kernel=(2,2); pool_type=avg; global_pool=1", x);
    x = layer("FullyConnected", "fc", "num_hidden=10", x);
    return layer("SoftmaxOutput", "out", NULL, x);
}

// The network on these backends, filled; for training if it is to have gradients.
static inline tn_exec *bind_net(net_fn net, tn_dims data, const char *backends, bool train,
                                int32_t threads)
{
    tn_fresh();
    tn_exec *e =
        tn_simple_bind(bench.g, net(), .backends = backends, .threads = threads,
                       .grad_req = train ? TN_WRITE : TN_NULL, .shapes = TN_SHAPES({"data", data}));
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill(e);
    return e;
}

// Forward and, for training, backward with heads that differ from element to element.
static inline void step(tn_exec *e, bool train)
{
    if (!e) return;
    tn_forward(e, train);
    if (train && tn_exec_is_loss(e, 0)) {
        tn_backward(e, TN_NO_HEADS);
    } else if (train) {
        const tn_shape s = tn_tensor_shape(tn_exec_output(e, 0));
        tn_tensor *head = tn_sample(TN_F32, (tn_dims){(size_t)s.ndim, s.dim}, -1, 1, 3);
        tn_backward(e, TN_TENSORS({NULL, head}));
        tn_tensor_release(head);
    }
    TN_CHECK_EXEC(e);
}

#endif
