// tests/backends/test_opencl_tails.c: products of the opencl backend with elementwise operators
// behind them, as one kernel: against the reference, forward and backward, in all ways of
// computing products.
#include "onednn_nets.h"
#include "opencl_device.h"

typedef struct product {
    const char *op, *params;
    int64_t a[3], b[3]; // b unused where the second factor is a weight
    int32_t ndim;
} product;

static const product products[] = {
    {"FullyConnected", "num_hidden=3", {5, 7, 0}, {0}, 2},
    {"FullyConnected", "num_hidden=40; no_bias=1", {64, 33, 0}, {0}, 2},
    {"FullyConnected", "num_hidden=65", {9, 130, 0}, {0}, 2},
    {"FullyConnected", "num_hidden=1", {1, 17, 0}, {0}, 2},
    {"dot", NULL, {13, 21, 0}, {21, 34, 0}, 2},
    {"dot", "transpose_a=1", {21, 13, 0}, {21, 67, 0}, 2},
    {"dot", "transpose_b=1", {13, 48, 0}, {35, 48, 0}, 2},
    {"dot", "transpose_a=1; transpose_b=1", {48, 13, 0}, {35, 48, 0}, 2},
    {"batch_dot", NULL, {3, 10, 12}, {3, 12, 40}, 3},
    {"batch_dot", "transpose_b=1", {3, 10, 18}, {3, 9, 18}, 3},
};

// Large enough that factors are laid out as panels on CPUs, with lines and columns that are left
// over.
static const product large_products[] = {
    {"FullyConnected", "num_hidden=259", {260, 257, 0}, {0}, 2},
    {"dot", NULL, {260, 257, 0}, {257, 259, 0}, 2},
    {"dot", "transpose_a=1", {257, 260, 0}, {257, 259, 0}, 2},
    {"dot", "transpose_b=1", {260, 257, 0}, {259, 257, 0}, 2},
    {"dot", "transpose_a=1; transpose_b=1", {257, 260, 0}, {259, 257, 0}, 2},
};

// tanh(p) * 0.5 * w, where p is the product and w an argument of its shape.
static tn_symbol net_of(const product *p, tn_dtype dtype)
{
    const tn_dims a = {(size_t)p->ndim, p->a}, b = {(size_t)p->ndim, p->b};
    const tn_symbol x = tn_variable(bench.g, "data", .dtype = dtype, .shape = a);
    tn_symbol y = {0};
    if (p->b[0]) {
        const tn_symbol z = tn_variable(bench.g, "other", .dtype = dtype, .shape = b);
        y = tn_op(p->op, p->params, x, z);
    } else {
        y = layer(p->op, "c", p->params, x);
    }
    y = tn_op("_mul_scalar", "scalar=0.5", tn_op("tanh", NULL, y));
    return tn_op("elemwise_mul", NULL, y, tn_var("w"));
}

static tn_exec *bind_product(const char *backends, const product *p, tn_dtype dtype)
{
    tn_fresh();
    tn_exec *e =
        tn_simple_bind(bench.g, net_of(p, dtype), .backends = backends, .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill_samples(e, dtype);
    const tn_shape s = tn_tensor_shape(tn_exec_output(e, 0));
    tn_tensor *head = tn_sample(dtype, (tn_dims){(size_t)s.ndim, s.dim}, -1, 1, 3);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    tn_tensor_release(head);
    return e;
}

static const char *way = "gemm"; // part of the name of what computes products

// Does one row compute the product and all that is behind it?
static bool is_one(tn_exec *e, const product *p)
{
    const tn_profile_row *row;
    char wanted[96];
    snprintf(wanted, sizeof wanted, "%s + tanh", p->op);
    tn_exec_profile(e, true);
    for (size_t i = 0; (row = tn_exec_profile_row(e, i)) != NULL; i++)
        if (strncmp(row->fused, wanted, strlen(wanted)) == 0 && strstr(row->impl, way)) return true;
    return false;
}

static void check(const product *p, tn_dtype dtype, double tolerance)
{
    tn_exec *wanted = bind_product("reference", p, dtype);
    tn_exec *got = bind_product("opencl", p, dtype);
    if (!got || !wanted || !all_near(got, wanted, tolerance)) TN_CHECK_STR(p->op, "near");
    if (got && !is_one(got, p)) TN_CHECK_STR(p->params, "one kernel with what is behind it");
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void check_all(void)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        check(&products[i], TN_F32, 5e-6);
        check(&products[i], TN_F64, 1e-14);
        check(&products[i], TN_F16, 2e-3);
    }
}

static void products_take_what_is_behind_them(void)
{
    if (!has_device()) return;
    check_all();
}

static void large_ones_are_made_of_panels(void)
{
    if (!has_device()) return;
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, "opencl") == 0 &&
            strcmp(tn_env_device(bench.env, i, 0)->kind, "cpu") == 0)
            way = "panels";
    for (size_t i = 0; i < sizeof large_products / sizeof *large_products; i++) {
        check(&large_products[i], TN_F32, 1e-5);
        check(&large_products[i], TN_F64, 1e-13);
    }
    way = "gemm";
}

// With an option of the backend, which is read when the plugin is loaded.
static void check_with(const char *option, const char *value)
{
    static const char *const paths[] = {TN_TEST_PLUGIN_DIR, NULL};
    tn_env *const usual = bench.env;
    setenv(option, value, 1);
    tn_env *env = tn_env_new(&(tn_env_options){
        .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
    unsetenv(option);
    CU_ASSERT_FATAL(env != NULL);
    bench.env = env;
    way = "local memory";
    check_all();
    way = "gemm";
    bench.env = usual;
    tn_fresh(); // its graph is of the usual env again
    tn_env_free(env);
}

static void so_do_those_in_local_memory(void)
{
    if (!has_device()) return;
    check_with("TENON_OPT_OPENCL_GEMM", "local");
    check_with("TENON_OPT_OPENCL_WAYS", "gpu");
}

TN_TEST_MAIN({"products take what is behind them", products_take_what_is_behind_them},
             {"large ones are made of panels", large_ones_are_made_of_panels},
             {"so do those in local memory", so_do_those_in_local_memory})
