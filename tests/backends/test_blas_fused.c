// tests/backends/test_blas_fused.c: layers and products of the blas backend with what follows them:
// the same bits as apart, and as with any number of threads.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tn_numeric.h"

// More threads than the smallest machine has CPUs, so that work is really cut.
__attribute__((constructor)) static void seven_threads(void)
{
    setenv("TENON_NUM_THREADS", "7", 1);
}

static bool ready(void)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, "blas") == 0) return true;
    tn_skip("the blas backend is not built");
    return false;
}

// A network, and what of it runs as one.
typedef struct net {
    tn_symbol (*make)(tn_symbol data);
    int64_t dims[4];
    size_t ndim;
    const char *fused; // a row of the profile; NULL: none is fused
} net;

static tn_exec *bind_net(const net *n, tn_dtype dtype, const char *backend, uint32_t flags,
                         int32_t threads)
{
    tn_fresh();
    const tn_symbol y = n->make(tn_variable(bench.g, "data", .dtype = dtype));
    tn_exec *e =
        tn_simple_bind(bench.g, y, .backends = backend, .grad_req = TN_NULL, .flags = flags,
                       .threads = threads, .shapes = TN_SHAPES({"data", {n->ndim, n->dims}}));
    if (!TN_CHECK_GRAPH() || !e) return NULL;
    const tn_names names = tn_exec_arguments(e);
    for (size_t i = 0; i < names.n; i++) {
        const tn_shape s = tn_tensor_shape(tn_exec_arg(e, names.v[i]));
        tn_tensor *t = tn_sample(dtype, (tn_dims){(size_t)s.ndim, s.dim}, -0.5, 0.5, 3 + i);
        tn_exec_set_all(e, TN_TENSORS({names.v[i], t}), false);
        tn_tensor_release(t);
    }
    tn_forward(e, false);
    TN_CHECK_EXEC(e);
    return e;
}

static void compare(tn_exec *got, tn_exec *wanted, double tolerance)
{
    if (!got || !wanted) return;
    tn_tensor *a = tn_exec_output(got, 0), *b = tn_exec_output(wanted, 0);
    CU_ASSERT_FATAL(tn_tensor_bytes(a) == tn_tensor_bytes(b));
    if (tolerance == 0)
        CU_ASSERT(memcmp(tn_tensor_data(a), tn_tensor_data(b), (size_t)tn_tensor_bytes(a)) == 0);
    for (int64_t i = 0; tolerance > 0 && i < tn_tensor_size(b); i++)
        TN_CHECK_NEAR(tn_tensor_at(a, i), tn_tensor_at(b, i), tolerance);
}

static bool has_row(tn_exec *e, const char *operators)
{
    const tn_profile_row *row;
    tn_exec_profile(e, true);
    for (size_t i = 0; (row = tn_exec_profile_row(e, i)) != NULL; i++)
        if (row->fused[0] && (!operators || strcmp(row->fused, operators) == 0)) return true;
    return false;
}

static void check_net(const net *n, tn_dtype dtype)
{
    tn_exec *fused = bind_net(n, dtype, "blas", 0, 1);
    tn_exec *apart = bind_net(n, dtype, "blas", TN_BIND_NO_FUSE, 1);
    tn_exec *many = bind_net(n, dtype, "blas", 0, 7);
    tn_exec *wanted = bind_net(n, dtype, "reference", TN_BIND_NO_FUSE, 1);
    compare(fused, apart, 0);
    compare(many, fused, 0);
    compare(fused, wanted, dtype == TN_F64 ? 1e-12 : 1e-4);
    if (fused && has_row(fused, n->fused) != (n->fused != NULL))
        TN_CHECK_STR(tn_exec_report_text(fused), n->fused ? n->fused : "nothing fused");
    tn_exec_free(fused);
    tn_exec_free(apart);
    tn_exec_free(many);
    tn_exec_free(wanted);
}

static void check_nets(const net *nets, size_t n)
{
    if (!ready()) return;
    for (size_t i = 0; i < n; i++) {
        check_net(&nets[i], TN_F32);
        check_net(&nets[i], TN_F64);
    }
}

// ------------------------------------------------------------------ networks

static tn_symbol dense_tanh(tn_symbol data)
{
    return tn_op("tanh", NULL, tn_op("FullyConnected", "num_hidden=300", data));
}

// The result is read twice, and the other sum comes from outside.
static tn_symbol dense_swish(tn_symbol data)
{
    const tn_symbol x = tn_op("FullyConnected", "num_hidden=33; no_bias=1", data);
    const tn_symbol y = tn_op("elemwise_mul", NULL, x, tn_op("sigmoid", NULL, x));
    return tn_op("elemwise_add", NULL, data, y);
}

static tn_symbol dot_minus(tn_symbol data)
{
    const tn_symbol w = tn_variable(bench.g, "w", .shape = TN_DIMS(33, 40));
    return tn_op("_rminus_scalar", "scalar=2", tn_op("dot", NULL, data, w));
}

static tn_symbol batch_dot_relu(tn_symbol data)
{
    const tn_symbol w = tn_variable(bench.g, "w", .shape = TN_DIMS(5, 70, 9));
    return tn_op("relu", NULL, tn_op("batch_dot", NULL, data, w));
}

static tn_symbol conv_residual(tn_symbol data)
{
    const tn_symbol x =
        tn_op("Convolution", "kernel=(3,3); pad=(1,1); num_filter=20; num_group=2", data);
    return tn_op("relu", NULL, tn_op("elemwise_add", NULL, x, data));
}

static tn_symbol conv_strides(tn_symbol data)
{
    const tn_symbol x = tn_op("Convolution", "kernel=(3,2); stride=(2,3); num_filter=13", data);
    return tn_op("tanh", NULL, tn_op("_mul_scalar", "scalar=3", x));
}

static tn_symbol conv_elu(tn_symbol data)
{
    const tn_symbol x = tn_op("Convolution", "kernel=(3,3); num_filter=20", data);
    return tn_op("LeakyReLU", "act_type=elu; slope=0.7", x);
}

static tn_symbol conv_of_one_filter(tn_symbol data)
{
    const tn_symbol x = tn_op("Convolution", "kernel=(3,3); num_filter=1", data);
    return tn_op("sigmoid", NULL, x);
}

static tn_symbol conv_by_channel(tn_symbol data)
{
    const tn_symbol x = tn_op(
        "Convolution", "kernel=(3,3); stride=(2,2); pad=(1,1); num_filter=4; num_group=4", data);
    return tn_op("tanh", NULL, tn_op("_mul_scalar", "scalar=3", x));
}

static tn_symbol deconv_by_channel(tn_symbol data)
{
    const tn_symbol x = tn_op(
        "Deconvolution", "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=4; num_group=4", data);
    return tn_op("tanh", NULL, tn_op("_mul_scalar", "scalar=3", x));
}

static tn_symbol deconv_relu(tn_symbol data)
{
    return tn_op("relu", NULL, tn_op("Deconvolution", "kernel=(2,2); num_filter=3", data));
}

// Gradients of convolutions by a product with a turned kernel, by columns, and with a bias.
static tn_symbol deconv_turned(tn_symbol data)
{
    const tn_symbol x =
        tn_op("Deconvolution", "kernel=(3,3); pad=(1,1); num_filter=20; num_group=2", data);
    return tn_op("relu", NULL, tn_op("elemwise_add", NULL, x, data));
}

static tn_symbol deconv_strides(tn_symbol data)
{
    const tn_symbol x = tn_op(
        "Deconvolution", "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=33; no_bias=0", data);
    return tn_op("tanh", NULL, tn_op("_mul_scalar", "scalar=3", x));
}

static void products_take_what_follows(void)
{
    static const net nets[] = {
        {dense_tanh, {150, 40}, 2, "FullyConnected + tanh"},
        {dense_tanh, {1, 2000}, 2, "FullyConnected + tanh"},
        {dense_tanh, {3, 0}, 2, "FullyConnected + tanh"},
        {dense_swish, {300, 33}, 2, "FullyConnected + sigmoid + _mul + elemwise_add"},
        {dot_minus, {21, 33}, 2, "dot + _rminus_scalar"},
        {batch_dot_relu, {5, 64, 70}, 3, "batch_dot + relu"},
    };
    check_nets(nets, sizeof nets / sizeof *nets);
}

// Small images in one grid, large ones in bands, planes of strides, lines.
static void convolutions_take_what_follows(void)
{
    static const net nets[] = {
        {conv_residual, {40, 20, 6, 5}, 4, "Convolution + elemwise_add + relu"},
        {conv_residual, {2, 20, 90, 80}, 4, "Convolution + elemwise_add + relu"},
        {conv_strides, {3, 4, 31, 40}, 4, "Convolution + _mul_scalar + tanh"},
        {conv_elu, {3, 4, 31, 40}, 4, "Convolution + _leaky"},
        {conv_of_one_filter, {2, 3, 9, 30}, 4, "Convolution + sigmoid"},
        {conv_by_channel, {3, 4, 9, 30}, 4, "Convolution + _mul_scalar + tanh"},
        {conv_by_channel, {2, 4, 151, 130}, 4, "Convolution + _mul_scalar + tanh"}, // in bands
        {deconv_by_channel, {3, 4, 9, 30}, 4, "Deconvolution + _mul_scalar + tanh"},
        {deconv_by_channel, {2, 4, 90, 81}, 4, "Deconvolution + _mul_scalar + tanh"},
        {deconv_relu, {2, 3, 9, 30}, 4, "Deconvolution + relu"},
        {deconv_turned, {3, 20, 30, 21}, 4, "Deconvolution + elemwise_add + relu"},
        {deconv_strides, {2, 40, 13, 9}, 4, "Deconvolution + _mul_scalar + tanh"},
    };
    check_nets(nets, sizeof nets / sizeof *nets);
}

TN_TEST_MAIN({"products take what follows", products_take_what_follows},
             {"convolutions take what follows", convolutions_take_what_follows})
