// tests/env/test_plugins.c: the operators of plugins/: values, shapes, gradients, where they run.
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/sdk.h>

#include "core/env/env.h"
#include "tests/tn_test.h"

// ------------------------------------------------------------------ helpers

static tn_symbol cdist(const char *metric)
{
    const tn_symbol lhs = tn_variable(bench.g, "lhs"), rhs = tn_variable(bench.g, "rhs");
    return tn_call(bench.g, "cdist", .inputs = TN_SYMS(lhs, rhs),
                   .params = TN_ATTRS({"metric", metric}), .name = "d");
}

// Binds cdist of (n, k) and (m, k) with gradients; NULL, and a failed check, if that fails.
static tn_exec *bind_cdist(const char *metric, tn_dtype dtype, int64_t n, int64_t m, int64_t k,
                           int32_t threads)
{
    tn_exec *e = tn_simple_bind(bench.g, cdist(metric), .backends = bench.backends,
                                .shapes = TN_SHAPES({"lhs", TN_DIMS(n, k)}, {"rhs", TN_DIMS(m, k)}),
                                .dtypes = TN_DTYPES({"lhs", dtype}, {"rhs", dtype}),
                                .grad_req = TN_WRITE, .threads = threads);
    TN_CHECK_EXEC(e);
    return e;
}

// Fills a float64 tensor with numbers from -1 to 1 that look random.
static void fill(tn_tensor *t, uint64_t seed)
{
    double *x = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_size(t); i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (double)(seed >> 11) / (double)(1ull << 52) - 1;
    }
}

static void set(tn_exec *e, const char *name, const double *values)
{
    tn_tensor *t = tn_exec_arg(e, name);
    const tn_shape s = tn_tensor_shape(t);
    tn_tensor *from = tn_tensor_from(bench.env, tn_tensor_dtype(t), tn_shape_dims(&s), values);
    CU_ASSERT_EQUAL(tn_tensor_copy(t, from), TN_OK);
    tn_tensor_release(from);
}

// ------------------------------------------------------------------ swish

static void swish_and_its_gradient(void)
{
    static const double x[5] = {-3, -0.5, 0, 1, 20};
    const double beta = 1.5;
    const tn_symbol data = tn_variable(bench.g, "x");
    const tn_symbol y =
        tn_call(bench.g, "swish", .inputs = TN_SYMS(data), .params = TN_ATTRS({"beta", "1.5"}));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(5)}),
                                .dtypes = TN_DTYPES({"x", TN_F64}), .grad_req = TN_WRITE);
    double value[5], slope[5];
    for (int i = 0; i < 5; i++) {
        const double gate = 1 / (1 + exp(-beta * x[i]));
        value[i] = x[i] * gate;
        slope[i] = gate + beta * x[i] * gate * (1 - gate);
    }
    TN_CHECK_EXEC(e);
    if (!e) return;
    set(e, "x", x);
    tn_tensor *ones = TN_TENSOR(TN_F64, TN_DIMS(5), 1, 1, 1, 1, 1);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, ones})), TN_OK);
    tn_check_values(__LINE__, __FILE__, tn_exec_output(e, 0), value, 5, 1e-12);
    tn_check_values(__LINE__, __FILE__, tn_exec_grad(e, "x"), slope, 5, 1e-12);
    tn_tensor_release(ones);
    tn_exec_free(e);
}

static void swish_has_a_default_and_checks_its_parameter(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    tn_call(bench.g, "swish", .inputs = TN_SYMS(x));
    TN_CHECK_GRAPH();
    tn_call(bench.g, "swish", .inputs = TN_SYMS(x), .params = TN_ATTRS({"betta", "1"}));
    TN_CHECK_HAS(tn_graph_error(bench.g), "betta");
    TN_CHECK_HAS(tn_graph_error(bench.g), "did you mean beta?");
}

static void numbers_as_parameter_text(void)
{
    static const double values[] = {0.5, -1e-300, 3, 0.1, INFINITY};
    static const char *const texts[] = {"0.5", "-1e-300", "3", "0.10000000000000001", "inf"};
    char text[TN_NUMBER];
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(strtod(tn_number(text, values[i]), NULL), values[i]);
        TN_CHECK_STR(tn_number(text, values[i]), texts[i]);
    }
    // A locale with a comma, if this machine has one.
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        TN_CHECK_STR(tn_number(text, 0.5), "0.5");
    setlocale(LC_NUMERIC, "C");
}

// ------------------------------------------------------------------ cdist

static void distances_by_hand(void)
{
    static const char *const metrics[] = {"euclidean", "sqeuclidean", "cityblock"};
    static const double wanted[3][6] = {
        {0, 3, 4, 5, 4, 3}, {0, 9, 16, 25, 16, 9}, {0, 3, 4, 7, 4, 3}};
    static const tn_dtype dtypes[] = {TN_F32, TN_F64};
    for (int i = 0; i < 6; i++) {
        tn_graph_free(bench.g);
        bench.g = tn_graph_new(bench.env);
        tn_exec *e = bind_cdist(metrics[i % 3], dtypes[i / 3], 2, 3, 2, 0);
        if (!e) return;
        set(e, "lhs", (const double[]){0, 0, 3, 4});
        set(e, "rhs", (const double[]){0, 0, 3, 0, 0, 4});
        CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
        tn_check_values(__LINE__, __FILE__, tn_exec_output(e, 0), wanted[i % 3], 6, 1e-6);
        tn_exec_free(e);
    }
}

static void shapes_flow_both_ways(void)
{
    const tn_symbol sum = tn_add(bench.g, cdist("euclidean"), tn_variable(bench.g, "other"));
    const tn_shape_result *r =
        tn_infer_shape(bench.g, sum, TN_SHAPES({"other", TN_DIMS(4, 5)}, {"rhs", TN_DIMS(-1, 3)}));
    TN_CHECK_GRAPH();
    CU_ASSERT_PTR_NOT_NULL(r);
    if (!r) return;
    const tn_shape *lhs = &r->args[0].shape, *rhs = &r->args[1].shape;
    CU_ASSERT(lhs->ndim == 2 && lhs->dim[0] == 4 && lhs->dim[1] == 3);
    CU_ASSERT(rhs->ndim == 2 && rhs->dim[0] == 5 && rhs->dim[1] == 3);
}

static void contradictions_name_the_node(void)
{
    tn_infer_shape(bench.g, cdist("euclidean"),
                   TN_SHAPES({"lhs", TN_DIMS(4, 3)}, {"rhs", TN_DIMS(5, 2)}));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_SHAPE);
    TN_CHECK_HAS(tn_graph_error(bench.g), "d (cdist)");
    TN_CHECK_HAS(tn_graph_error(bench.g), "3)");
    TN_CHECK_HAS(tn_graph_error(bench.g), "2)");
}

static double weighted_sum(tn_exec *e, const double *weight)
{
    double sum = 0;
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    for (int64_t i = 0; i < tn_tensor_size(tn_exec_output(e, 0)); i++)
        sum += weight[i] * tn_tensor_at(tn_exec_output(e, 0), i);
    return sum;
}

// Central differences in float64: error about h² and rounding / h.
static void check_gradient(tn_exec *e, const char *name, const double *weight)
{
    const double h = 1e-5;
    double *x = tn_tensor_data(tn_exec_arg(e, name));
    for (int64_t i = 0; i < tn_tensor_size(tn_exec_arg(e, name)); i++) {
        const double before = x[i];
        x[i] = before + h;
        const double above = weighted_sum(e, weight);
        x[i] = before - h;
        const double below = weighted_sum(e, weight);
        x[i] = before;
        TN_CHECK_NEAR(tn_tensor_at(tn_exec_grad(e, name), i), (above - below) / (2 * h), 1e-7);
    }
}

static void gradients_against_differences(void)
{
    static const char *const metrics[] = {"euclidean", "sqeuclidean", "cityblock"};
    for (int i = 0; i < 3; i++) {
        tn_graph_free(bench.g);
        bench.g = tn_graph_new(bench.env);
        tn_exec *e = bind_cdist(metrics[i], TN_F64, 3, 4, 5, 0);
        if (!e) return;
        tn_tensor *head = tn_tensor_new(bench.env, TN_F64, TN_DIMS(3, 4));
        fill(tn_exec_arg(e, "lhs"), 1);
        fill(tn_exec_arg(e, "rhs"), 2);
        fill(head, 3);
        CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
        CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
        check_gradient(e, "lhs", tn_tensor_data(head));
        check_gradient(e, "rhs", tn_tensor_data(head));
        tn_tensor_release(head);
        tn_exec_free(e);
    }
}

static void equal_rows_have_gradient_zero(void)
{
    tn_exec *e = bind_cdist("euclidean", TN_F32, 1, 1, 3, 0);
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(1, 1), 1);
    if (!e) return;
    set(e, "lhs", (const double[]){1, 2, 3});
    set(e, "rhs", (const double[]){1, 2, 3});
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    TN_CHECK_VALUES(tn_exec_grad(e, "lhs"), 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_exec_grad(e, "rhs"), 0, 0, 0, 0);
    tn_tensor_release(head);
    tn_exec_free(e);
}

// The same bits with one thread and with four: large enough to be cut into pieces.
static void threads_do_not_change_a_bit(void)
{
    enum { N = 96, M = 64, K = 32 };
    char bytes[2][3][N * M * 8];
    static const char *const paths[] = {TN_TEST_PLUGIN_DIR, NULL};
    for (int i = 0; i < 2; i++) {
        tn_graph_free(bench.g);
        tn_env_free(bench.env);
        bench.env = tn_env_new(&(tn_env_options){.size = sizeof(tn_env_options),
                                                 .flags = TN_ENV_NO_SEARCH,
                                                 .paths = paths,
                                                 .threads = i ? 4 : 1});
        bench.g = tn_graph_new(bench.env);
        tn_exec *e = bind_cdist("euclidean", TN_F64, N, M, K, 0);
        tn_tensor *head = tn_tensor_new(bench.env, TN_F64, TN_DIMS(N, M));
        if (!e) return;
        fill(tn_exec_arg(e, "lhs"), 1);
        fill(tn_exec_arg(e, "rhs"), 2);
        fill(head, 3);
        CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
        CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
        tn_tensor_get(tn_exec_output(e, 0), bytes[i][0], N * M * 8);
        tn_tensor_get(tn_exec_grad(e, "lhs"), bytes[i][1], N * K * 8);
        tn_tensor_get(tn_exec_grad(e, "rhs"), bytes[i][2], M * K * 8);
        tn_tensor_release(head);
        tn_exec_free(e);
    }
    CU_ASSERT(memcmp(bytes[0][0], bytes[1][0], N * M * 8) == 0);
    CU_ASSERT(memcmp(bytes[0][1], bytes[1][1], N * K * 8) == 0);
    CU_ASSERT(memcmp(bytes[0][2], bytes[1][2], M * K * 8) == 0);
}

// ------------------------------------------------------------------ where they run

// A kernel for "host" does not run on a device with memory of its own.
static void a_host_kernel_stays_on_the_host(void)
{
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so"), TN_OK);
    tn_exec *e =
        tn_simple_bind(bench.g, cdist("euclidean"), .backends = "far",
                       .shapes = TN_SHAPES({"lhs", TN_DIMS(2, 3)}, {"rhs", TN_DIMS(2, 3)}));
    CU_ASSERT_PTR_NULL(e);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_UNSUPPORTED);
    TN_CHECK_HAS(tn_graph_error(bench.g), "cdist");
    TN_CHECK_HAS(tn_graph_error(bench.g), "far");
    tn_exec_free(e);
}

// The null backend has no kernel for it, but is a device of host memory.
static void a_host_kernel_runs_on_any_host_device(void)
{
    tn_exec *e =
        tn_simple_bind(bench.g, cdist("cityblock"), .backends = "null",
                       .shapes = TN_SHAPES({"lhs", TN_DIMS(1, 2)}, {"rhs", TN_DIMS(1, 2)}));
    TN_CHECK_EXEC(e);
    if (!e) return;
    set(e, "lhs", (const double[]){1, 2});
    set(e, "rhs", (const double[]){4, -2});
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 7);
    TN_CHECK_HAS(tn_exec_report_text(e), "rows f32");
    tn_exec_free(e);
}

static void the_skeleton_copies(void)
{
    const tn_symbol y = tn_call(bench.g, "_copy", .inputs = TN_SYMS(tn_variable(bench.g, "x")));
    tn_exec *e =
        tn_simple_bind(bench.g, y, .backends = "null", .shapes = TN_SHAPES({"x", TN_DIMS(2, 2)}));
    TN_CHECK_EXEC(e);
    if (!e) return;
    set(e, "x", (const double[]){1, -2, 3, -4});
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 1, -2, 3, -4);
    tn_exec_free(e);
}

static void the_skeleton_declines_with_a_reason(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    const tn_symbol y = tn_call(bench.g, "exp", .inputs = TN_SYMS(x), .name = "e");
    CU_ASSERT_PTR_NULL(
        tn_simple_bind(bench.g, y, .backends = "null", .shapes = TN_SHAPES({"x", TN_DIMS(2)})));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_UNSUPPORTED);
    TN_CHECK_HAS(tn_graph_error(bench.g), "null");
    TN_CHECK_HAS(tn_graph_error(bench.g), "no kernel for exp");
}

// What ranks below TN_RANK_LAST is not used where nobody names it, whatever it could run.
static void the_skeleton_is_not_used_by_default(void)
{
    const tn_symbol y = tn_call(bench.g, "_copy", .inputs = TN_SYMS(tn_variable(bench.g, "x")));
    unsetenv("TENON_BACKENDS");
    tn_exec *e = tn_simple_bind(bench.g, y, .shapes = TN_SHAPES({"x", TN_DIMS(2, 2)}));
    TN_CHECK_EXEC(e);
    if (!e) return;
    CU_ASSERT_PTR_NULL(strstr(tn_exec_report_text(e), "null"));
    tn_exec_free(e);
}

TN_TEST_MAIN({"swish and its gradient", swish_and_its_gradient},
             {"swish has a default and checks its parameter",
              swish_has_a_default_and_checks_its_parameter},
             {"numbers as parameter text", numbers_as_parameter_text},
             {"distances by hand", distances_by_hand},
             {"shapes flow both ways", shapes_flow_both_ways},
             {"contradictions name the node", contradictions_name_the_node},
             {"gradients against differences", gradients_against_differences},
             {"equal rows have gradient zero", equal_rows_have_gradient_zero},
             {"threads do not change a bit", threads_do_not_change_a_bit},
             {"a host kernel stays on the host", a_host_kernel_stays_on_the_host},
             {"a host kernel runs on any host device", a_host_kernel_runs_on_any_host_device},
             {"the skeleton copies", the_skeleton_copies},
             {"the skeleton declines with a reason", the_skeleton_declines_with_a_reason},
             {"the skeleton is not used by default", the_skeleton_is_not_used_by_default})
