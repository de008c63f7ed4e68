// tests/exec/test_far.c: executors on devices with memory of their own, and with layouts.
//
// The backends "far" (synchronous), "lazy" (queues that do everything late) and "blocked" are test
// doubles: tests/plugins/. What they compute is checked in tests/env/test_doubles.c; here it is how
// tensors, copies, aliases, monitors and sharing meet memory that the host cannot reach.
#include <math.h>

#include "tests/exec/nets.h"
#include "tests/plugins/far_memory.h"

#define RUN_OK(call) tn_check_ok(__LINE__, __FILE__, (call), e ? tn_exec_error(e) : "no executor")

static bool load(const char *path)
{
    const bool ok = tn_env_load(bench.env, path) == TN_OK;
    TN_CHECK_STR(ok ? "" : tn_env_error(bench.env), "");
    return ok;
}

static const tn_far_counters *counters(void)
{
    const tni_registry *r = tni_env_registry(bench.env);
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (strcmp(r->backends[i]->api.name, "far") == 0)
            return r->backends[i]->api.get_extension(r->backends[i]->self, TN_FAR_COUNTERS);
    return NULL;
}

static void new_graph(void)
{
    tn_graph_free(bench.g);
    bench.g = tn_graph_new(bench.env);
}

static const char *const lists[] = {"far,reference", "lazy,reference", "plain,reference"};

// ------------------------------------------------------------------ tensors

static void tensors_lie_where_they_are_used(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    for (int i = 0; i < 3; i++) {
        new_graph();
        tn_symbol x = tn_variable(bench.g, "x"), w = tn_variable(bench.g, "w");
        tn_exec *e = tn_simple_bind(bench.g, BINARY("_mul", "y", x, w), .backends = lists[i],
                                    .shapes = TN_SHAPES({"x", TN_DIMS(2)}), .grad_req = TN_WRITE,
                                    .grad_reqs = TN_REQS({"w", TN_ADD}));
        if (!TN_CHECK_EXEC(e)) return;
        static const char *const places[] = {"far:0", "lazy:0", "plain:0"};
        const char *where = places[i];
        TN_CHECK_STR(tn_tensor_device(tn_exec_arg(e, "w")), where);
        TN_CHECK_STR(tn_tensor_device(tn_exec_output(e, 0)), where);
        TN_CHECK_STR(tn_tensor_device(tn_exec_grad(e, "x")), where);
        CU_ASSERT_PTR_NULL(tn_tensor_data(tn_exec_arg(e, "w")));
        TN_CHECK_VALUES(tn_exec_arg(e, "w"), 0, 0, 0); // zeros there too
        tn_tensor *two = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3),
                  *head = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 1);
        RUN_OK(tn_exec_set(e, "x", two));
        RUN_OK(tn_exec_set(e, "w", two));
        for (int step = 0; step < 2; step++) {
            RUN_OK(tn_forward(e, true));
            RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
        }
        TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 4, 9);
        TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 2, 3);
        TN_CHECK_VALUES(tn_exec_grad(e, "w"), 0, 4, 6);
        tn_tensor_release(two);
        tn_tensor_release(head);
        tn_exec_free(e);
    }
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
    CU_ASSERT_EQUAL(counters()->dropped, 0);
}

// Everything the caller gives is in host memory: copies carry it over and back in each run.
static void host_tensors_are_carried_over(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    for (int i = 0; i < 3; i++) {
        new_graph();
        tn_symbol x = tn_variable(bench.g, "x"), w = tn_variable(bench.g, "w");
        tn_tensor *a = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3),
                  *b = TN_TENSOR(TN_F32, TN_DIMS(2), 5, 7),
                  *out = tn_tensor_new(bench.env, TN_F32, TN_DIMS(2)),
                  *grad = tn_tensor_new(bench.env, TN_F32, TN_DIMS(2)),
                  *sum = TN_TENSOR(TN_F32, TN_DIMS(2), 100, 100);
        tn_exec *e = tn_bind(
            bench.g, BINARY("_mul", "y", x, w), .backends = lists[i],
            .args = TN_TENSORS({"x", a}, {"w", b}), .grads = TN_TENSORS({"x", grad}, {"w", sum}),
            .grad_reqs = TN_REQS({"w", TN_ADD}), .outs = TN_TENSORS({"y_output", out}));
        if (!TN_CHECK_EXEC(e)) return;
        CU_ASSERT_TRUE(tn_exec_memory(e).n_copies >= 3);
        for (int step = 1; step <= 2; step++) {
            tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 10);
            tn_tensor_fill(a, step);
            RUN_OK(tn_forward(e, true));
            RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
            tn_tensor_fill(head, 999); // whatever happens to it later: it has been read
            TN_CHECK_VALUES(out, 0, 5 * step, 7 * step);
            tn_tensor_release(head);
        }
        TN_CHECK_VALUES(grad, 0, 5, 70);
        TN_CHECK_VALUES(sum, 0, 103, 130);
        tn_exec_free(e);
        tn_tensor_release(a);
        tn_tensor_release(b);
        tn_tensor_release(out);
        tn_tensor_release(grad);
        tn_tensor_release(sum);
    }
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

// Binds on the reference and on the given list, and compares the outputs.
static tn_exec *same_as_reference(tn_symbol y, const char *backends, tn_attrs groups)
{
    tn_tensor *values = TN_TENSOR(TN_F32, TN_DIMS(3), 0.1, 0.2, 0.3);
    tn_exec *wanted =
        tn_simple_bind(bench.g, y, .backends = "reference", .args = TN_TENSORS({"x", values}),
                       .groups = TN_ATTRS({"first", "reference"}, {"second", "reference"}));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = backends, .groups = groups,
                                .args = TN_TENSORS({"x", values}));
    if (TN_CHECK_EXEC(wanted) && TN_CHECK_EXEC(e)) {
        CU_ASSERT_EQUAL(net_clashes(&e->plan.blocks), 0);
        CU_ASSERT_EQUAL(tn_forward(wanted, false), TN_OK);
        RUN_OK(tn_forward(e, false));
        for (int64_t k = 0; k < 3; k++)
            TN_CHECK_NEAR(tn_tensor_at(tn_exec_output(e, 0), k),
                          tn_tensor_at(tn_exec_output(wanted, 0), k), 1e-5);
        CU_ASSERT_EQUAL(counters()->dropped, 0);
    }
    tn_exec_free(wanted);
    tn_tensor_release(values);
    return e;
}

// A host value that is sent to a queue is not written over before it has left: exponentials are
// made by the host one after the other, and summed by the device, which reads them at the end.
static void what_is_sent_stays_until_it_has_left(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_symbol x = tn_variable(bench.g, "x"), sum = TN_NONE;
    for (int k = 1; k < 6; k++) {
        tn_symbol h = UNARY("exp", NULL, tn_mul(bench.g, x, k));
        sum = k > 1 ? tn_add(bench.g, sum, h) : h;
    }
    tn_exec *e = same_as_reference(sum, lists[1], (tn_attrs){0, NULL});
    CU_ASSERT_TRUE(e && tn_exec_memory(e).n_copies >= 5);
    tn_exec_free(e);
}

// From one device's queue to another's, through host memory that several copies must not share.
static void what_passes_through_the_host_has_a_place_of_its_own(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_symbol x = tn_variable(bench.g, "x"), sum = TN_NONE;
    for (int k = 1; k < 6; k++) {
        tn_attr_scope_push(bench.g, TN_ATTRS({"ctx_group", "first"}));
        tn_symbol h = tn_add(bench.g, x, k);
        tn_attr_scope_pop(bench.g);
        tn_attr_scope_push(bench.g, TN_ATTRS({"ctx_group", "second"}));
        sum = k > 1 ? BINARY("_mul", NULL, sum, h) : h;
        tn_attr_scope_pop(bench.g);
    }
    tn_exec *e = same_as_reference(sum, "lazy,reference",
                                   TN_ATTRS({"first", "lazy:0"}, {"second", "lazy:1"}));
    tn_exec_free(e);
}

// x is sent to a queue that reads it late; an output that is copied over x waits for that.
static void what_is_sent_is_read_before_an_output_covers_it(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_symbol x = tn_variable(bench.g, "x");
    const tn_symbol both =
        tn_group(bench.g, TN_SYMS(UNARY("negative", "minus", x), BINARY("_mul", "product", x, x)));
    tn_tensor *values = TN_TENSOR(TN_F32, TN_DIMS(2), 3, 5);
    tn_exec *e =
        tn_simple_bind(bench.g, both, .backends = lists[1], .args = TN_TENSORS({"x", values}),
                       .outs = TN_TENSORS({"minus_output", values}));
    if (TN_CHECK_EXEC(e)) {
        RUN_OK(tn_forward(e, false));
        TN_CHECK_VALUES(tn_exec_output(e, 1), 0, 9, 25);
        TN_CHECK_VALUES(values, 0, -3, -5);
    }
    tn_exec_free(e);
    tn_tensor_release(values);
}

// The weight lies on the device and is written by its last reader, in place or through a copy.
static void an_update_on_the_device(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    for (int i = 0; i < 3; i++) {
        new_graph();
        tn_symbol w = tn_variable(bench.g, "w"), g = tn_variable(bench.g, "g");
        tn_symbol relu = UNARY("relu", "r", w);
        tn_exec *holder = tn_simple_bind(bench.g, relu, .backends = lists[i],
                                         .shapes = TN_SHAPES({"w", TN_DIMS(2)}));
        if (!TN_CHECK_EXEC(holder)) return;
        tn_tensor *weight = tn_exec_arg(holder, "w");
        tn_symbol y = tn_call(bench.g, "sgd_update", .inputs = TN_SYMS(w, g), .name = "update",
                              .params = TN_ATTRS({"lr", "0.5"}));
        tn_exec *e =
            tn_simple_bind(bench.g, y, .backends = lists[i], .args = TN_TENSORS({"w", weight}),
                           .outs = TN_TENSORS({"update_output", weight}));
        if (!TN_CHECK_EXEC(e)) return;
        tn_tensor_fill(weight, 1);
        tn_tensor_fill(tn_exec_arg(e, "g"), 0.5);
        RUN_OK(tn_forward(e, false));
        TN_CHECK_VALUES(weight, 0, 0.75, 0.75);
        RUN_OK(tn_forward(e, false));
        TN_CHECK_VALUES(weight, 0, 0.5, 0.5);
        tn_exec_free(e);
        tn_exec_free(holder);
    }
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

static void a_zero_gradient_on_the_device(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    new_graph();
    tn_symbol x = tn_variable(bench.g, "x"), w = tn_variable(bench.g, "w");
    tn_exec *holder = tn_simple_bind(bench.g, UNARY("relu", "r", x), .backends = lists[1],
                                     .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    if (!TN_CHECK_EXEC(holder)) return;
    tn_tensor *grad = tn_exec_arg(holder, "x"); // any tensor over there
    tn_symbol y = BINARY("_mul", "y", UNARY("BlockGrad", "block", x), w);
    tn_exec *e =
        tn_simple_bind(bench.g, y, .backends = lists[1], .grad_req = TN_WRITE,
                       .shapes = TN_SHAPES({"x", TN_DIMS(2)}), .grads = TN_TENSORS({"x", grad}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 1);
    tn_tensor_fill(grad, 5);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
    TN_CHECK_VALUES(grad, 0, 0, 0);
    tn_tensor_release(head);
    tn_exec_free(e);
    tn_exec_free(holder);
}

// ------------------------------------------------------------------ sharing and looking

static void another_shape_on_the_device(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_exec *e = tn_simple_bind(bench.g, net_mlp(), .backends = lists[1], .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"data", TN_DIMS(8, 6)}));
    if (!TN_CHECK_EXEC(e)) return;
    net_fill(e);
    tn_exec *f = tn_exec_reshape(e, TN_SHAPES({"data", TN_DIMS(2, 6)}));
    if (TN_CHECK_EXEC(f)) {
        CU_ASSERT_PTR_EQUAL(tn_exec_arg(e, "fc1_weight"), tn_exec_arg(f, "fc1_weight"));
        tn_tensor *rows = tn_tensor_slice(tn_exec_arg(e, "data"), 0, 2);
        RUN_OK(tn_exec_set(f, "data", rows));
        RUN_OK(tn_forward(e, true));
        tn_tensor *some = tn_tensor_slice(tn_exec_output(e, 0), 0, 2);
        RUN_OK(tn_forward(f, true));
        CU_ASSERT_TRUE(net_equal(some, tn_exec_output(f, 0)));
        RUN_OK(tn_backward(f, TN_NO_HEADS));
        tn_tensor_release(some);
        tn_tensor_release(rows);
    }
    tn_exec_free(f);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    tn_exec_free(e);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
    CU_ASSERT_EQUAL(counters()->live_kernels, 0);
}

// Sum of each value by name, from executors on different devices.
typedef struct sums {
    size_t n;
    char name[64][48];
    double sum[64];
} sums;

static void add_up(void *ctx, const char *name, tn_tensor *value)
{
    sums *s = ctx;
    if (s->n == 64) return;
    snprintf(s->name[s->n], sizeof s->name[0], "%s", name);
    s->sum[s->n] = 0;
    for (int64_t i = 0; i < tn_tensor_size(value); i++)
        s->sum[s->n] += tn_tensor_at(value, i) * (double)(1 + i % 7);
    s->n++;
}

static double find_sum(const sums *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->name[i], name) == 0) return s->sum[i];
    return NAN;
}

static sums watch(const char *backends)
{
    sums s = {0};
    new_graph();
    tn_exec *e = tn_simple_bind(bench.g, net_mlp(), .backends = backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"data", TN_DIMS(5, 6)}));
    if (!TN_CHECK_EXEC(e)) return s;
    net_fill(e);
    tn_exec_monitor(e, add_up, &s);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    tn_exec_free(e);
    return s;
}

// In device memory, and in a layout that only its backend can read.
static void the_monitor_sees_row_major_values_everywhere(void)
{
    static const char *const wanted[] = {"fc1_output", "relu1_output", "fc2_output", "out_output"};
    static const char *const others[] = {"far,reference", "lazy,reference", "blocked,reference"};
    if (!load(TN_TEST_BACKEND_DIR "/far.so") || !load(TN_TEST_BACKEND_DIR "/blocked.so")) return;
    static sums reference, other;
    reference = watch("reference");
    for (int i = 0; i < 3; i++) {
        other = watch(others[i]);
        CU_ASSERT_TRUE(other.n >= reference.n);
        for (int k = 0; k < 4; k++) {
            if (i == 2 && k == 1 && isnan(find_sum(&other, wanted[k]))) continue; // as plain relu
            TN_CHECK_NEAR(find_sum(&other, wanted[k]), find_sum(&reference, wanted[k]), 1e-4);
        }
    }
}

static void a_nan_is_found_where_it_lies(void)
{
    static const char *const others[] = {"far,reference", "lazy,reference", "blocked,reference"};
    if (!load(TN_TEST_BACKEND_DIR "/far.so") || !load(TN_TEST_BACKEND_DIR "/blocked.so")) return;
    for (int i = 0; i < 3; i++) {
        new_graph();
        setenv("TENON_NAN", "stop", 1);
        tn_exec *e = tn_simple_bind(bench.g, net_mlp(), .backends = others[i],
                                    .shapes = TN_SHAPES({"data", TN_DIMS(5, 6)}));
        unsetenv("TENON_NAN");
        if (!TN_CHECK_EXEC(e)) return;
        net_fill(e);
        RUN_OK(tn_forward(e, false));
        tn_tensor_fill(tn_exec_arg(e, "fc2_bias"), INFINITY);
        CU_ASSERT_EQUAL(tn_forward(e, false), TN_E_INVALID);
        TN_CHECK_HAS(tn_exec_error(e), "fc2 (FullyConnected): output 0 has a NaN");
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ at the same time

// Operators of the rows of forward, in order.
static void show_rows(const tn_exec *e, char *text, size_t size)
{
    size_t n = 0;
    text[0] = 0;
    for (size_t r = 0; r < e->n_forward_rows && n < size; r++) {
        const uint32_t id = e->row_node[r];
        const char *op = id ? e->placed.g->nodes[id].op->decl.name : "border";
        if (e->rows[r].run == tni_arrival_wait) op = "wait";
        if (e->rows[r].run == tni_arrival_mark) op = "mark";
        if (id && e->placed.at[id].kind == TNI_COPY && *op == '_')
            op = e->placed.at[id].memory ? "up" : "down";
        n += (size_t)snprintf(text + n, size - n, "%s%s", n ? " " : "", op);
    }
}

static void run_and_log(tn_exec *e, const char *rows, const char *log)
{
    tn_far_counters *c = (tn_far_counters *)counters();
    char text[200];
    show_rows(e, text, sizeof text);
    TN_CHECK_STR(text, rows);
    if (!c) return;
    memset(c->log, 0, sizeof c->log);
    atomic_store(&c->n_log, 0);
    RUN_OK(tn_forward(e, false));
    TN_CHECK_STR(c->log, log);
}

// The host reads a; b does not depend on it. b is put into the queue behind the download of a, and
// the host waits for that only: while it computes sin(a), and when the run returns, the device has
// b.
static void the_device_works_while_the_host_reads(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(3));
    tn_symbol a = BINARY("_mul", "a", x, x), b = BINARY("elemwise_add", "b", x, x);
    tn_exec *e = tn_simple_bind(bench.g, tn_group(bench.g, TN_SYMS(a, b, UNARY("sin", "s", a))),
                                .backends = "lazy,reference");
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor_fill(tn_exec_arg(e, "x"), 2);
    run_and_log(e, "_mul down elemwise_add wait sin", "rdrRD");
    TN_CHECK_VALUES(tn_exec_output(e, 1), 0, 4, 4, 4);
    TN_CHECK_VALUES(tn_exec_output(e, 2), 1e-6, sin(4), sin(4), sin(4));
    tn_exec_free(e);
}

// The device wants p; q does not depend on that. p is on its way while the host computes q, and has
// left when the run returns.
static void bytes_travel_while_the_host_computes(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(3));
    tn_symbol p = UNARY("sin", "p", x), q = UNARY("cos", "q", x);
    tn_symbol both = tn_group(bench.g, TN_SYMS(p, q, BINARY("_mul", "k", p, p)));
    tn_exec *e = tn_simple_bind(bench.g, both, .backends = "lazy,reference");
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor_fill(tn_exec_arg(e, "x"), 2);
    run_and_log(e, "sin up mark cos _mul wait", "urU");
    TN_CHECK_VALUES(tn_exec_output(e, 1), 1e-6, cos(2), cos(2), cos(2));
    TN_CHECK_VALUES(tn_exec_output(e, 2), 1e-6, sin(2) * sin(2), sin(2) * sin(2), sin(2) * sin(2));
    tn_exec_free(e);
}

// Two downloads are under way before the host needs the first; each reader waits for its own.
static void each_reader_waits_for_its_value(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(3));
    tn_symbol a = BINARY("_mul", "a", x, x), b = BINARY("elemwise_add", "b", x, x);
    tn_symbol s = UNARY("sin", "s", a), c = UNARY("cos", "c", b);
    tn_exec *e = tn_simple_bind(bench.g, tn_group(bench.g, TN_SYMS(a, b, s, c)),
                                .backends = "lazy,reference", .flags = TN_BIND_NO_FUSE);
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor_fill(tn_exec_arg(e, "x"), 2);
    run_and_log(e, "_mul down elemwise_add down wait sin wait cos", "rdrdRDRD");
    TN_CHECK_VALUES(tn_exec_output(e, 2), 1e-6, sin(4), sin(4), sin(4));
    TN_CHECK_VALUES(tn_exec_output(e, 3), 1e-6, cos(4), cos(4), cos(4));
    CU_ASSERT_EQUAL(counters()->live_events, 0);
    tn_exec_free(e);
}

// What is to arrive in the caller's host tensors is all begun before the first is waited for.
static void outputs_arrive_together(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3), *y = TN_TENSOR(TN_F32, TN_DIMS(2), 0, 0),
              *z = TN_TENSOR(TN_F32, TN_DIMS(2), 0, 0);
    tn_symbol v = tn_variable(bench.g, "x");
    tn_symbol a = BINARY("_mul", "a", v, v), b = BINARY("elemwise_add", "b", v, v);
    tn_exec *e = tn_simple_bind(bench.g, tn_group(bench.g, TN_SYMS(a, b)), .backends = "lazy",
                                .args = TN_TENSORS({"x", x}),
                                .outs = TN_TENSORS({"a_output", y}, {"b_output", z}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_far_counters *c = (tn_far_counters *)counters();
    memset(c->log, 0, sizeof c->log);
    atomic_store(&c->n_log, 0);
    RUN_OK(tn_forward(e, false));
    CU_ASSERT_TRUE(strstr(c->log, "d") && strchr(c->log, 'D') > strrchr(c->log, 'd'));
    TN_CHECK_VALUES(y, 0, 4, 9);
    TN_CHECK_VALUES(z, 0, 4, 6);
    CU_ASSERT_EQUAL(c->live_events, 0);
    tn_exec_free(e);
    tn_tensor_release(x);
    tn_tensor_release(y);
    tn_tensor_release(z);
}

TN_TEST_MAIN({"each reader waits for its value", each_reader_waits_for_its_value},
             {"outputs arrive together", outputs_arrive_together},
             {"the device works while the host reads", the_device_works_while_the_host_reads},
             {"bytes travel while the host computes", bytes_travel_while_the_host_computes},
             {"tensors lie where they are used", tensors_lie_where_they_are_used},
             {"host tensors are carried over", host_tensors_are_carried_over},
             {"what is sent stays until it has left", what_is_sent_stays_until_it_has_left},
             {"what passes through the host has a place of its own",
              what_passes_through_the_host_has_a_place_of_its_own},
             {"what is sent is read before an output covers it",
              what_is_sent_is_read_before_an_output_covers_it},
             {"an update on the device", an_update_on_the_device},
             {"a zero gradient on the device", a_zero_gradient_on_the_device},
             {"another shape on the device", another_shape_on_the_device},
             {"the monitor sees row-major values everywhere",
              the_monitor_sees_row_major_values_everywhere},
             {"a NaN is found where it lies", a_nan_is_found_where_it_lies})
