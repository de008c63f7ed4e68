// tests/exec/test_once.c: what depends on shapes only is computed once, in training too.
#include <math.h>

#include "tests/exec/nets.h"

#define RUN_OK(call) tn_check_ok(__LINE__, __FILE__, (call), e ? tn_exec_error(e) : "no executor")

static void count(void *ctx, const char *name, tn_tensor *value)
{
    (void)name, (void)value;
    ++*(int *)ctx;
}

// y = x · sin(cos(0, 1, … n-1)); the sine is needed again for x's gradient.
static tn_symbol waves(const char *n)
{
    const tn_symbol i =
        tn_call(bench.g, "_arange", .params = TN_ATTRS({"start", "0"}, {"stop", n}), .name = "i");
    const tn_symbol s = UNARY("sin", "s", UNARY("cos", "c", i));
    return BINARY("_mul", "y", tn_variable(bench.g, "x"), s);
}

static void expect_step(tn_exec *e, double x)
{
    const float head[3] = {1, 2, 3};
    tn_tensor *h = tn_tensor_from(bench.env, TN_F32, TN_DIMS(3), (const double[]){1, 2, 3});
    tn_tensor_fill(tn_exec_arg(e, "x"), x);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, h})));
    for (int i = 0; i < 3; i++) {
        const double s = sin(cos(i));
        CU_ASSERT(fabs(tn_tensor_at(tn_exec_output(e, 0), i) - x * s) < 1e-5);
        CU_ASSERT(fabs(tn_tensor_at(tn_exec_grad(e, "x"), i) - (double)head[i] * s) < 1e-5);
    }
    tn_tensor_release(h);
}

static void shapes_are_constants(void)
{
    tn_exec *e = tn_simple_bind(bench.g, waves("3"), .backends = "reference", .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(e->n_constant_rows, 3);
    TN_CHECK_HAS(tn_exec_report_text(e), "generic  once");
    for (int i = 1; i < 4; i++) expect_step(e, i);
    tn_exec_profile(e, true);
    expect_step(e, 5);
    const tn_profile_row *first = tn_exec_profile_row(e, 0);
    CU_ASSERT(first && first->once && first->runs == 0);
    int seen = 0;
    tn_exec_monitor(e, count, &seen); // which sees every node of each run
    RUN_OK(tn_forward(e, true));
    CU_ASSERT_EQUAL(seen, 4);
    tn_exec_free(e);
}

// 1200 × 1200 floats are more than is kept: they are computed in each forward.
static void large_values_are_not_kept(void)
{
    const tn_symbol i =
        tn_call(bench.g, "_zeros", .params = TN_ATTRS({"shape", "(1200, 1200)"}), .name = "z");
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(1200, 1200));
    tn_exec *e = tn_simple_bind(bench.g, BINARY("_add", "y", x, UNARY("cos", "c", i)),
                                .backends = "reference", .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(e->n_constant_rows, 0);
    tn_exec_free(e);
}

// Executors that share memory write over each other's constants: they are computed again.
static void sharing_executors_do_not_trust_it(void)
{
    const tn_symbol s = waves("3");
    tn_exec *e = tn_simple_bind(bench.g, s, .backends = "reference", .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    tn_exec *other =
        tn_simple_bind(bench.g, s, .backends = "reference", .grad_req = TN_WRITE, .share = e);
    if (!TN_CHECK_EXEC(other)) return;
    CU_ASSERT(other->spaces[0].storage == e->spaces[0].storage);
    for (int i = 1; i < 4; i++) {
        expect_step(e, i);
        memset(e->spaces[0].storage->host, 0xff, e->spaces[0].bytes);
        expect_step(other, 2 * i);
        memset(e->spaces[0].storage->host, 0xff, e->spaces[0].bytes);
    }
    tn_exec_free(other);
    tn_exec_free(e);
}

// sin(w) is sent to a device whose queue reads it as late as it may. cos(x) lies where sin(w) lay,
// and runs after it.
static void what_is_sent_once_is_sent_in_time(void)
{
    CU_ASSERT(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so") == TN_OK);
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(64)),
                    w = tn_variable(bench.g, "w", .shape = TN_DIMS(64));
    const tn_symbol b = UNARY("sum", "b", UNARY("cos", "a", x)), s = UNARY("sin", "s", w);
    const tn_symbol y = tn_group(bench.g, TN_SYMS(b, BINARY("_mul", "k", s, s)));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "lazy,reference", .inputs = "x",
                                .flags = TN_BIND_NO_FUSE);
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor_fill(tn_exec_arg(e, "w"), 2);
    for (int i = 0; i < 3; i++) {
        RUN_OK(tn_forward(e, false));
        CU_ASSERT(fabs(tn_tensor_at(tn_exec_output(e, 1), 0) - sin(2) * sin(2)) < 1e-6);
        CU_ASSERT(fabs(tn_tensor_at(tn_exec_output(e, 0), 0) - 64) < 1e-4);
    }
    int seen = 0;
    tn_exec_monitor(e, count, &seen);
    tn_exec_refresh(e);
    RUN_OK(tn_forward(e, false));
    tn_exec_free(e);
}

TN_TEST_MAIN({"shapes are constants", shapes_are_constants},
             {"large values are not kept", large_values_are_not_kept},
             {"sharing executors do not trust it", sharing_executors_do_not_trust_it},
             {"what is sent once is sent in time", what_is_sent_once_is_sent_in_time})
