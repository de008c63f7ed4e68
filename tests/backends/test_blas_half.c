// tests/backends/test_blas_half.c: networks that are stored in float16 or bfloat16, on blas alone:
// outputs and gradients as on the reference backend.
#include <math.h>
#include <string.h>

#include "tests/tn_numeric.h"

static bool ready(void)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, "blas") == 0) return true;
    tn_skip("the blas backend is not built");
    return false;
}

// What a network is, and the shape of its data. Everything but labels has the dtype of data.
typedef struct network {
    const char *name;
    tn_symbol (*make)(tn_symbol data);
    int64_t dims[4];
    size_t ndim;
} network;

// Layers, batch norm, pooling, a residual sum.
static tn_symbol pictures(tn_symbol data)
{
    tn_symbol a = tn_op("Convolution", "kernel=(3,3); pad=(1,1); num_filter=6", data, tn_var("w1"),
                        tn_var("b1"));
    tn_symbol x = tn_op("BatchNorm", "fix_gamma=0", a);
    x = tn_op("Activation", "act_type=relu", x);
    x = tn_op("Convolution", "kernel=(3,3); pad=(1,1); num_filter=6; no_bias=1", x, tn_var("w2"));
    x = tn_op("Activation", "act_type=tanh", tn_op("elemwise_add", NULL, x, a));
    x = tn_op("Pooling", "kernel=(2,2); stride=(2,2)", x);
    x = tn_op("FullyConnected", "num_hidden=4", tn_op("Flatten", NULL, x), tn_var("w3"),
              tn_var("b3"));
    return tn_op("SoftmaxOutput", "normalization=batch", x, tn_var("label"));
}

// Two layers of LSTM with dropout between them.
static tn_symbol sequences(tn_symbol data)
{
    tn_symbol x = tn_op("RNN", "mode=lstm; state_size=6; num_layers=2; p=0.4", data, tn_var("p"),
                        tn_var("h"), tn_var("c"));
    x = tn_op("FullyConnected", "num_hidden=4; flatten=0", x, tn_var("w"), tn_var("b"));
    return tn_op("MakeLoss", NULL, tn_op("mean", NULL, tn_op("square", NULL, x)));
}

static const network networks[] = {
    {"pictures", pictures, {5, 3, 8, 8}, 4},
    {"sequences", sequences, {7, 5, 3}, 3},
};

// After a forward and a backward of training.
static tn_exec *train(const network *n, const char *backend, tn_dtype dtype)
{
    tn_fresh();
    const tn_symbol data =
        tn_variable(bench.g, "data", .shape = {n->ndim, n->dims}, .dtype = dtype);
    tn_exec *e = tn_simple_bind(bench.g, n->make(data), .backends = backend, .grad_req = TN_WRITE,
                                .seed = 3);
    TN_CHECK_EXEC(e);
    const tn_names args = e ? tn_exec_arguments(e) : (tn_names){0, NULL};
    for (size_t i = 0; i < args.n; i++) {
        tn_tensor *to = tn_exec_arg(e, args.v[i]);
        const tn_shape s = tn_tensor_shape(to);
        const bool label = strcmp(args.v[i], "label") == 0;
        tn_tensor *from = tn_sample(tn_tensor_dtype(to), (tn_dims){(size_t)s.ndim, s.dim},
                                    label ? 0 : -0.5, label ? 3.9 : 0.5, 11 + i);
        tn_tensor_copy(to, from);
        tn_tensor_release(from);
    }
    if (e) tn_forward(e, true);
    if (e) tn_backward(e, TN_NO_HEADS);
    TN_CHECK_EXEC(e);
    return e;
}

// Within `share` of the largest element.
static void compare(const char *what, tn_tensor *got, tn_tensor *wanted, double share)
{
    double most = 0, off = 0;
    CU_ASSERT(got && wanted && tn_tensor_dtype(got) == tn_tensor_dtype(wanted));
    for (int64_t i = 0; got && wanted && i < tn_tensor_size(wanted); i++) {
        const double w = tn_tensor_at(wanted, i), d = fabs(tn_tensor_at(got, i) - w);
        most = fmax(most, fabs(w));
        off = d <= off ? off : d; // NaN is kept
    }
    CU_ASSERT(most > 0);
    CU_ASSERT(off <= share * most);
    if (!(off <= share * most)) printf("\n    %s: off by %g of %g\n", what, off, most);
}

// float16 has 11 bits, bfloat16 8: values between layers are rounded in both, in other places.
static void trains_as_the_reference(const network *n, tn_dtype dtype)
{
    const double share = dtype == TN_F16 ? 6e-3 : 4e-2;
    tn_exec *got = train(n, "blas", dtype);
    tn_exec *wanted = train(n, "reference", dtype);
    const tn_names args = wanted ? tn_exec_arguments(wanted) : (tn_names){0, NULL};
    if (got && wanted) compare(n->name, tn_exec_output(got, 0), tn_exec_output(wanted, 0), share);
    for (size_t i = 0; got && i < args.n; i++)
        if (strcmp(args.v[i], "label") != 0)
            compare(args.v[i], tn_exec_grad(got, args.v[i]), tn_exec_grad(wanted, args.v[i]),
                    share);
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void float16_networks_train_as_on_the_reference(void)
{
    if (!ready()) return;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        trains_as_the_reference(&networks[i], TN_F16);
}

static void bfloat16_networks_train_as_on_the_reference(void)
{
    if (!ready()) return;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        trains_as_the_reference(&networks[i], TN_BF16);
}

TN_TEST_MAIN({"float16 networks train as on the reference",
              float16_networks_train_as_on_the_reference},
             {"bfloat16 networks train as on the reference",
              bfloat16_networks_train_as_on_the_reference})
