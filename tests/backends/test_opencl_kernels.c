// tests/backends/test_opencl_kernels.c: kernels of the opencl backend that go ways of their own:
// against the reference.
#include <math.h>

#include "core/exec/exec.h"
#include "tests/backends/float_functions.h"
#include "tests/backends/opencl_device.h"
#include "tests/tn_numeric.h"

// tanh(w ∘ relu(x)) ∘ w + v of (3, 7, 5), w and v of the shapes given, as one kernel.
static void broadcasts(const char *backends, tn_dims w, tn_dims v, double *got)
{
    tn_fresh();
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(3, 7, 5));
    const tn_symbol a = tn_variable(bench.g, "w", .shape = w);
    const tn_symbol b = tn_variable(bench.g, "v", .shape = v);
    tn_symbol y = tn_op("tanh", NULL, tn_op("broadcast_mul", NULL, a, tn_op("relu", NULL, x)));
    y = tn_op("broadcast_add", NULL, tn_op("broadcast_mul", NULL, y, a), b);
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = backends);
    if (!TN_CHECK_EXEC(e)) return;
    if (strcmp(backends, "opencl") == 0) TN_CHECK_HAS(tn_exec_report_text(e), "1 node: opencl 1;");
    fill_samples(e, TN_F32);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    for (int64_t i = 0; i < 3 * 7 * 5; i++) got[i] = tn_tensor_at(tn_exec_output(e, 0), i);
    tn_exec_free(e);
}

static void fused_operands_may_broadcast(void)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {1, 1, 5}, {1, 7, 1}, {3, 1, 1},
                                        {1, 7, 5}, {3, 1, 5}, {3, 7, 1}};
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    double wanted[3 * 7 * 5], got[3 * 7 * 5];
    if (!has_device()) return;
    for (size_t i = 0; i < SHAPES; i++) {
        const tn_dims w = {3, shapes[i]}, v = {3, shapes[(3 * i + 1) % SHAPES]};
        broadcasts("reference", w, v, wanted);
        broadcasts("opencl", w, v, got);
        for (int k = 0; k < 3 * 7 * 5; k++) TN_CHECK_NEAR(got[k], wanted[k], 1e-6);
    }
}

// Each that broadcasts takes the room of its walk among the arguments of a kernel, which has an
// end.
static void more_operands_than_a_kernel_takes(void)
{
    double wanted = 0;
    if (!has_device()) return;
    tn_fresh();
    tn_symbol y = tn_variable(bench.g, "x", .shape = TN_DIMS(3, 4));
    for (int i = 0; i < 12; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        y = tn_op("broadcast_add", NULL, y, tn_variable(bench.g, name, .shape = TN_DIMS(1, 4)));
    }
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "opencl");
    if (!TN_CHECK_EXEC(e)) return;
    const tn_names names = tn_exec_arguments(e);
    for (size_t i = 0; i < names.n; i++, wanted += (double)i)
        tn_tensor_fill(tn_exec_arg(e, names.v[i]), (double)(i + 1));
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    for (int64_t k = 0; k < 12; k++) CU_ASSERT_EQUAL(tn_tensor_at(tn_exec_output(e, 0), k), wanted);
    tn_exec_free(e);
}

// Maxima of pairs, four windows at a time and the rest: equal ones, NaNs and infinities among them.
static void pools(const char *backends, int64_t width, tn_dtype dtype, double *got)
{
    enum { ROWS = 6 };
    tn_fresh();
    const tn_symbol x =
        tn_variable(bench.g, "x", .dtype = dtype, .shape = TN_DIMS(1, 2, ROWS, width));
    tn_exec *e =
        tn_simple_bind(bench.g, tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", x),
                       .backends = backends, .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    const int64_t n = 2 * ROWS * width, n_out = n / 4;
    double *v = calloc((size_t)n, sizeof *v);
    for (int64_t i = 0; v && i < n; i++) {
        const int64_t kind = (i * 7 + width) % 11; // few numbers, so that some are equal
        v[i] = kind == 0 ? NAN : kind == 1 ? -INFINITY : kind == 2 ? INFINITY : (double)(kind % 4);
    }
    tn_tensor *data = v ? tn_tensor_from(bench.env, dtype, TN_DIMS(1, 2, ROWS, width), v) : NULL;
    tn_tensor *head = tn_tensor_new(bench.env, dtype, TN_DIMS(1, 2, ROWS / 2, width / 2));
    CU_ASSERT_EQUAL(tn_tensor_fill(head, 3), TN_OK);
    CU_ASSERT_EQUAL(tn_exec_set(e, "x", data), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    for (int64_t i = 0; i < n_out; i++) got[i] = tn_tensor_at(tn_exec_output(e, 0), i);
    for (int64_t i = 0; i < n; i++) got[n_out + i] = tn_tensor_at(tn_exec_grad(e, "x"), i);
    tn_tensor_release(data);
    tn_tensor_release(head);
    free(v);
    tn_exec_free(e);
}

static void maxima_of_pairs_are_the_first_ones(void)
{
    static double wanted[512], got[512];
    if (!has_device()) return;
    for (int64_t width = 2; width <= 26; width += 2)
        for (int wide = 0; wide < 2; wide++) {
            const tn_dtype dtype = wide ? TN_F64 : TN_F32;
            pools("reference", width, dtype, wanted);
            pools("opencl", width, dtype, got);
            for (int64_t i = 0; i < 15 * width; i++)
                CU_ASSERT(got[i] == wanted[i] || (isnan(got[i]) && isnan(wanted[i])));
        }
}

enum { MOST = 256 }; // results that are compared

// Sums over rows that lie contiguous: few and long, many and short, with and without a rest; and
// over what lies across, in one part and in several.
static void reduces(const char *backends, const char *op, const char *axes, tn_dims dims,
                    double *got)
{
    tn_fresh();
    const tn_symbol x = tn_variable(bench.g, "x", .shape = dims);
    tn_exec *e = tn_simple_bind(bench.g, tn_op(op, axes, x), .backends = backends);
    if (!TN_CHECK_EXEC(e)) return;
    fill_samples(e, TN_F32);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    for (int64_t i = 0; i < MOST && i < tn_tensor_size(tn_exec_output(e, 0)); i++)
        got[i] = tn_tensor_at(tn_exec_output(e, 0), i);
    tn_exec_free(e);
}

static void sums_in_vectors(void)
{
    static const struct {
        const char *axes;
        int64_t dim[4];
    } cases[] = {{"axis=(0,2,3)", {5, 3, 17, 19}}, {"axis=(0,2,3)", {64, 6, 4, 4}},
                 {"axis=3", {2, 3, 2, 1601}},      {"axis=()", {1, 1, 3, 7001}},
                 {"axis=(1,3)", {2, 300, 2, 16}},  {"axis=(0,3)", {9, 2, 3, 33}},
                 {"axis=(2,3)", {1, 2, 1, 15}},    {"axis=()", {1, 1, 1, 1}},
                 {"axis=0", {1300, 1, 1, 150}},    {"axis=(0,2)", {600, 2, 4, 40}},
                 {"axis=0", {7, 1, 3, 16}}};
    static const char *const ops[] = {"sum", "mean", "nansum", "max", "norm"};
    if (!has_device()) return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int o = 0; o < 5; o++) {
            double wanted[MOST] = {0}, got[MOST] = {0};
            const tn_dims dims = {4, cases[i].dim};
            const char *axes = o < 4 ? cases[i].axes : NULL;
            reduces("reference", ops[o], axes, dims, wanted);
            reduces("opencl", ops[o], axes, dims, got);
            for (int k = 0; k < MOST; k++)
                TN_CHECK_NEAR(got[k], wanted[k], 1e-5 * fmax(10, fabs(wanted[k])));
        }
}

// Those that have a text of ours on CPUs; what OpenCL permits any device, or less.
static void functions_are_exact_to_some_units(void)
{
    static const struct {
        const char *op;
        double (*exact)(double);
        double most;
    } functions[] = {
        {"exp", exp, 3},     {"expm1", expm1, 3}, {"log", log, 3},
        {"log1p", log1p, 3}, {"tanh", tanh, 5},
    };
    static float x[N], y[N];
    if (!has_device()) return;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        tn_fresh();
        tn_exec *e = tn_simple_bind(bench.g, tn_op(functions[i].op, NULL, tn_var("x")),
                                    .backends = "opencl", .shapes = TN_SHAPES({"x", TN_DIMS(N)}));
        if (!TN_CHECK_EXEC(e)) return;
        for (int r = 0; r < 4; r++) {
            spread_floats(x, float_ranges[r]);
            for (int k = 0; k < N; k++) // devices may take numbers this small for 0
                if (fabsf(x[k]) < 1.2e-38f || fabs(functions[i].exact((double)x[k])) < 1.2e-38)
                    x[k] = 0;
            CU_ASSERT_EQUAL(tn_tensor_set(tn_exec_arg(e, "x"), x, sizeof x), TN_OK);
            CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
            CU_ASSERT_EQUAL(tn_tensor_get(tn_exec_output(e, 0), y, sizeof y), TN_OK);
            check_values(functions[i].op, x, y, functions[i].exact, functions[i].most);
        }
        tn_exec_free(e);
    }
}

// Zeros of both signs, what is not finite, subnormal numbers, and the edges of the functions'
// ranges.
static void functions_hold_at_their_edges(void)
{
    static const char *const ops[] = {"exp", "expm1", "log", "log1p", "tanh", "sigmoid"};
    static const double edges[] = {
        NAN, INFINITY, -INFINITY, 0,  -0.0, 1e-40, -1e-40, 1e-45,  1e-38, -1e-8,  1e-8,   88.72283,
        89,  -87.5,    -103,      -1, -2,   1,     0.625,  -0.624, 9.1,   3.4e38, -3.4e38};
    enum { EDGES = sizeof edges / sizeof *edges };
    if (!has_device()) return;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        tn_tensor *x = tn_tensor_from(bench.env, TN_F32, TN_DIMS(EDGES), edges);
        tn_exec *e[2];
        for (int b = 0; b < 2; b++) {
            tn_fresh();
            const tn_symbol v = tn_variable(bench.g, "x", .shape = TN_DIMS(EDGES));
            e[b] = tn_simple_bind(bench.g, tn_op(ops[i], NULL, v),
                                  .backends = b ? "opencl" : "reference");
            if (!TN_CHECK_EXEC(e[b])) return;
            CU_ASSERT_EQUAL(tn_exec_set(e[b], "x", x), TN_OK);
            CU_ASSERT_EQUAL(tn_forward(e[b], false), TN_OK);
        }
        for (int64_t k = 0; k < EDGES; k++) {
            const double wanted = tn_tensor_at(tn_exec_output(e[0], 0), k);
            const double got = tn_tensor_at(tn_exec_output(e[1], 0), k);
            const bool near = got == wanted || fabs(got - wanted) <= 1e-6 * fabs(wanted) + 3e-45;
            if (isnan(wanted) ? isnan(got) : near && !signbit(got) == !signbit(wanted)) continue;
            TN_CHECK_NEAR(got, wanted, 0);
            TN_CHECK_STR(ops[i], "what the reference has");
        }
        tn_tensor_release(x);
        for (int b = 0; b < 2; b++) tn_exec_free(e[b]);
    }
}

// More elements than a work item of a CPU moves, in stretches that end elsewhere.
static void elements_move_in_stretches(void)
{
    static const struct {
        const char *op, *params;
    } moves[] = {{"transpose", "axes=(2,0,1)"},
                 {"transpose", "axes=(1,0,2)"},
                 {"slice_axis", "axis=2; begin=3; end=290"},
                 {"slice", "begin=(0,8,332); end=(7,0,1); step=(2,-3,-5)"},
                 {"broadcast_axis", "axis=0; size=4"}};
    static double wanted[50000], got[50000];
    if (!has_device()) return;
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        const bool repeats = strcmp(moves[i].op, "broadcast_axis") == 0;
        const tn_dims dims = TN_DIMS(repeats ? 1 : 7, 9, 333);
        int64_t n = 0;
        for (int k = 0; k < 2; k++) {
            tn_fresh();
            const tn_symbol x = tn_variable(bench.g, "x", .shape = dims);
            tn_exec *e = tn_simple_bind(bench.g, tn_op(moves[i].op, moves[i].params, x),
                                        .backends = k ? "opencl" : "reference");
            if (!TN_CHECK_EXEC(e)) return;
            fill_samples(e, TN_F32);
            CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
            tn_tensor *y = tn_tensor_cast(tn_exec_output(e, 0), TN_F64);
            n = tn_tensor_size(y);
            CU_ASSERT_FATAL(n > 2048 || strcmp(moves[i].op, "slice") == 0);
            CU_ASSERT_EQUAL(tn_tensor_get(y, k ? got : wanted, tn_tensor_bytes(y)), TN_OK);
            tn_tensor_release(y);
            tn_exec_free(e);
        }
        CU_ASSERT(memcmp(got, wanted, (size_t)n * sizeof *got) == 0);
    }
}

// The k first places of lines of `n`, with ties and NaN, in lines of neighbours and others.
static tn_exec *first_places(const char *backends, int64_t n, int64_t k, int axis, bool ascend)
{
    char params[64];
    const int64_t across[] = {n, 3}, along[] = {3, n};
    const tn_dims dims = {2, axis ? along : across};
    snprintf(params, sizeof params, "axis=%d; k=%d; is_ascend=%d", axis, (int)k, ascend);
    tn_fresh();
    const tn_symbol x = tn_variable(bench.g, "x", .shape = dims);
    tn_exec *e = tn_simple_bind(bench.g, tn_op("_argsort_first", params, x), .backends = backends);
    double *v = malloc((size_t)(3 * n) * sizeof *v);
    if (!TN_CHECK_EXEC(e) || !v) return NULL;
    for (int64_t i = 0; i < 3 * n; i++) v[i] = i % 11 == 5 ? NAN : (double)(i * 7 % 13);
    tn_tensor *data = tn_tensor_from(bench.env, TN_F32, dims, v);
    CU_ASSERT_EQUAL(tn_exec_set(e, "x", data), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    tn_tensor_release(data);
    free(v);
    return e;
}

static void first_places_of_orders(void)
{
    static const int64_t lengths[] = {1, 5, 16, 17, 100, 1000}; // runs of 16 are merged
    if (!has_device()) return;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int way = 0; way < 8; way++) {
            const int64_t n = lengths[i], k = way & 4 ? n : (n + 4) / 5;
            tn_exec *wanted = first_places("reference", n, k, way & 1, way & 2);
            tn_exec *got = first_places("opencl", n, k, way & 1, way & 2);
            if (!wanted || !got) return;
            TN_CHECK_HAS(tn_exec_report_text(got), "1 node: opencl 1;");
            for (int64_t j = 0; j < 3 * k; j++)
                CU_ASSERT_EQUAL(tn_tensor_at(tn_exec_output(got, 0), j),
                                tn_tensor_at(tn_exec_output(wanted, 0), j));
            tn_exec_free(wanted);
            tn_exec_free(got);
        }
}

TN_TEST_MAIN({"sums in vectors", sums_in_vectors},
             {"elements move in stretches", elements_move_in_stretches},
             {"fused operands may broadcast", fused_operands_may_broadcast},
             {"more operands than a kernel takes", more_operands_than_a_kernel_takes},
             {"maxima of pairs are the first ones", maxima_of_pairs_are_the_first_ones},
             {"functions are exact to some units", functions_are_exact_to_some_units},
             {"functions hold at their edges", functions_hold_at_their_edges},
             {"first places of orders", first_places_of_orders})
