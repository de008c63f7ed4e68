// tests/env/test_doubles.c: backends with memory or layouts of their own give the same answers.
//
// "far" (tests/plugins/far_memory.c) has two devices of opaque memory; "blocked" (blocked.c) keeps
// matrices in padded columns. The same network runs on them and on the reference backend.
#include <stdlib.h>
#include <string.h>

#include "core/env/env.h"
#include "tests/plugins/far_memory.h"
#include "tests/tn_test.h"

// ------------------------------------------------------------------ helpers

static tni_backend *backend_of(const tn_env *env, const char *name)
{
    const tni_registry *r = tni_env_registry(env);
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (strcmp(r->backends[i]->entry.name, name) == 0) return r->backends[i];
    return NULL;
}

static bool load(const char *file)
{
    const bool loaded = tn_env_load(bench.env, file) == TN_OK;
    TN_CHECK_STR(loaded ? "" : tn_env_error(bench.env), "");
    return loaded;
}

static tn_far_counters *counters(void)
{
    tni_backend *far = backend_of(bench.env, "far");
    return (tn_far_counters *)far->api.get_extension(far->self, TN_FAR_COUNTERS);
}

static void new_graph(void)
{
    tn_graph_free(bench.g);
    bench.g = tn_graph_new(bench.env);
}

// Two layers with relu between them and a weighting behind: loss = sum over (y · w).
static tn_symbol network(void)
{
    tn_symbol net = tn_variable(bench.g, "data");
    net = tn_call(bench.g, "FullyConnected", .inputs = TN_SYMS(net), .name = "fc1",
                  .params = TN_ATTRS({"num_hidden", "5"}));
    net = tn_call(bench.g, "relu", .inputs = TN_SYMS(net), .name = "r");
    net = tn_call(bench.g, "FullyConnected", .inputs = TN_SYMS(net), .name = "fc2",
                  .params = TN_ATTRS({"num_hidden", "3"}));
    return tn_call(bench.g, "_mul", .inputs = TN_SYMS(net, tn_variable(bench.g, "w")), .name = "y");
}

// Numbers from -1 to 1 that look random, and the same for the same name.
static void fill(tn_exec *e, const char *name)
{
    tn_tensor *t = tn_exec_arg(e, name);
    const int64_t n = tn_tensor_size(t);
    float *x = malloc((size_t)n * sizeof *x);
    uint64_t seed = tni_hash(name, strlen(name), 1);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(seed >> 40) / (float)(1 << 23) - 1;
    }
    CU_ASSERT_EQUAL(tn_tensor_set(t, x, (uint64_t)n * sizeof *x), TN_OK);
    free(x);
}

static const char *const arguments[] = {"data",       "fc1_weight", "fc1_bias",
                                        "fc2_weight", "fc2_bias",   "w"};
enum { N_ARGUMENTS = 6, MOST = 64 };

typedef struct results {
    double y[MOST], grad[N_ARGUMENTS][MOST];
    size_t n_y, n_grad[N_ARGUMENTS];
} results;

static size_t take(tn_tensor *t, double *out)
{
    const int64_t n = tn_tensor_size(t);
    CU_ASSERT(n <= MOST);
    for (int64_t i = 0; i < n && i < MOST; i++) out[i] = tn_tensor_at(t, i);
    return (size_t)n;
}

// Binds and runs the network; false, and a failed check, if that does not work.
static bool compute(const char *backends, tn_exec **exec, results *out)
{
    new_graph();
    tn_exec *e = tn_simple_bind(bench.g, network(), .backends = backends,
                                .shapes = TN_SHAPES({"data", TN_DIMS(6, 7)}), .grad_req = TN_WRITE);
    *exec = e;
    TN_CHECK_EXEC(e);
    if (!e) return false;
    for (int i = 0; i < N_ARGUMENTS; i++) fill(e, arguments[i]);
    tn_tensor *head = tn_tensor_new(bench.env, TN_F32, TN_DIMS(6, 3));
    tn_tensor_fill(head, 1);
    for (int pass = 0; pass < 2; pass++) { // twice: nothing may be left over from the first
        tn_forward(e, true);
        tn_backward(e, TN_TENSORS({NULL, head}));
    }
    tn_tensor_release(head);
    TN_CHECK_EXEC(e);
    out->n_y = take(tn_exec_output(e, 0), out->y);
    for (int i = 0; i < N_ARGUMENTS; i++)
        out->n_grad[i] = take(tn_exec_grad(e, arguments[i]), out->grad[i]);
    return tn_exec_status(e) == TN_OK;
}

static void same_as_reference(const char *backends, const char *in_report)
{
    static results wanted, got;
    tn_exec *reference = NULL, *e = NULL;
    if (compute("reference", &reference, &wanted) && compute(backends, &e, &got)) {
        CU_ASSERT_EQUAL(got.n_y, wanted.n_y);
        for (size_t i = 0; i < wanted.n_y; i++) TN_CHECK_NEAR(got.y[i], wanted.y[i], 1e-5);
        for (int a = 0; a < N_ARGUMENTS; a++)
            for (size_t i = 0; i < wanted.n_grad[a]; i++)
                TN_CHECK_NEAR(got.grad[a][i], wanted.grad[a][i], 1e-5);
        TN_CHECK_HAS(tn_exec_report_text(e), in_report);
    }
    tn_exec_free(reference);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ far

static void far_memory_keeps_to_its_buffers(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tni_backend *far = backend_of(bench.env, "far");
    tn_buffer *a = NULL, *b = NULL;
    tni_error error = {0};
    char out[8] = "";
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(tni_device_open(bench.env, &far->devices[i], &error), TN_OK);
    tn_device *one = far->devices[0].handle, *two = far->devices[1].handle;
    const tn_backend_api *api = &far->api;
    CU_ASSERT_EQUAL(api->buf_alloc(one, 16, 64, &a), TN_OK);
    CU_ASSERT_EQUAL(api->buf_alloc(two, 16, 64, &b), TN_OK);
    CU_ASSERT_EQUAL(api->upload(one, NULL, a, 4, "abcdefg", 8), TN_OK);
    CU_ASSERT_EQUAL(api->copy(one, NULL, a, 4, a, 8, 8), TN_OK);
    CU_ASSERT_EQUAL(api->download(one, NULL, a, 8, out, 8), TN_OK);
    TN_CHECK_STR(out, "abcdefg");
    CU_ASSERT_EQUAL(api->upload(one, NULL, a, 9, out, 8), TN_E_INTERNAL);
    TN_CHECK_STR(tni_host_take_error(far->plugin), "far:0: bytes 9 to 17 of a buffer of 16");
    CU_ASSERT_EQUAL(api->download(one, NULL, b, 0, out, 8), TN_E_INTERNAL);
    TN_CHECK_STR(tni_host_take_error(far->plugin), "far:0: a buffer of far:1");
    CU_ASSERT_EQUAL(api->copy(one, NULL, a, 0, b, 0, 8), TN_E_INTERNAL);
    CU_ASSERT_EQUAL(counters()->live_buffers, 2);
    CU_ASSERT_EQUAL(counters()->live_bytes, 32);
    api->buf_free(one, a);
    api->buf_free(two, b);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

static void far_computes_what_reference_does(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    same_as_reference("far,reference", "far:0");
    const tn_far_counters *c = counters();
    CU_ASSERT(c->runs > 0 && c->uploads + c->downloads + c->copies > 0);
    CU_ASSERT_EQUAL(c->live_buffers, 0);
    CU_ASSERT_EQUAL(c->live_bytes, 0);
    CU_ASSERT_EQUAL(c->live_kernels, 0);
}

static void two_far_devices_in_one_network(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_symbol x = tn_variable(bench.g, "x");
    tn_attr_scope_push(bench.g, TN_ATTRS({"ctx_group", "left"}));
    x = tn_call(bench.g, "relu", .inputs = TN_SYMS(x), .name = "a");
    tn_attr_scope_pop(bench.g);
    tn_attr_scope_push(bench.g, TN_ATTRS({"ctx_group", "right"}));
    x = tn_call(bench.g, "_plus_scalar", .inputs = TN_SYMS(x), .name = "b",
                .params = TN_ATTRS({"scalar", "1"}));
    tn_attr_scope_pop(bench.g);
    tn_exec *e = tn_simple_bind(bench.g, x, .backends = "far,reference",
                                .shapes = TN_SHAPES({"x", TN_DIMS(2, 2)}),
                                .groups = TN_ATTRS({"left", "far:0"}, {"right", "far:1"}));
    TN_CHECK_EXEC(e);
    if (!e) return;
    tn_tensor *values = TN_TENSOR(TN_F32, TN_DIMS(2, 2), -1, 2, -3, 4);
    CU_ASSERT_EQUAL(tn_exec_set(e, "x", values), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 1, 3, 1, 5);
    TN_CHECK_HAS(tn_exec_report_text(e), "far:1");
    tn_tensor_release(values);
    tn_exec_free(e);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

// Out of device memory at bind: an error with the backend's reason, and nothing is kept.
static void too_little_far_memory_is_an_error_at_bind(void)
{
    setenv("TENON_OPT_FAR_LIMIT", "64", 1);
    const bool loaded = load(TN_TEST_BACKEND_DIR "/far.so");
    unsetenv("TENON_OPT_FAR_LIMIT");
    if (!loaded) return;
    tn_exec *e = tn_simple_bind(bench.g, network(), .backends = "far,reference",
                                .shapes = TN_SHAPES({"data", TN_DIMS(6, 7)}), .grad_req = TN_WRITE);
    CU_ASSERT_PTR_NULL(e);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NOMEM);
    TN_CHECK_HAS(tn_graph_error(bench.g), "of 64 are taken");
    tn_exec_free(e);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
    CU_ASSERT_EQUAL(counters()->live_kernels, 0);
}

// ------------------------------------------------------------------ lazy

static void queues_that_do_everything_late(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    same_as_reference("lazy,reference", "lazy:0");
    const tn_far_counters *c = counters();
    CU_ASSERT(c->deferred > 0);
    CU_ASSERT_EQUAL(c->dropped, 0);
    CU_ASSERT_EQUAL(c->live_queues, 0);
    CU_ASSERT_EQUAL(c->live_events, 0);
    CU_ASSERT_EQUAL(c->live_buffers, 0);
    CU_ASSERT_EQUAL(c->live_kernels, 0);
}

static void values_pass_between_far_memories(void)
{
    static const char *const pairs[][2] = {
        {"lazy:0", "lazy:1"}, {"lazy:0", "far:0"}, {"far:1", "lazy:0"}, {"far:0", "far:1"}};
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    for (int i = 0; i < 4; i++) {
        new_graph();
        tn_symbol x = tn_variable(bench.g, "x");
        for (int j = 0; j < 2; j++) {
            tn_attr_scope_push(bench.g, TN_ATTRS({"ctx_group", j ? "second" : "first"}));
            x = tn_call(bench.g, "_plus_scalar", .inputs = TN_SYMS(x),
                        .params = TN_ATTRS({"scalar", "1"}));
            tn_attr_scope_pop(bench.g);
        }
        tn_exec *e = tn_simple_bind(
            bench.g, x, .backends = "far,lazy,reference", .shapes = TN_SHAPES({"x", TN_DIMS(2)}),
            .groups = TN_ATTRS({"first", pairs[i][0]}, {"second", pairs[i][1]}));
        TN_CHECK_EXEC(e);
        if (!e) return;
        tn_tensor *values = TN_TENSOR(TN_F32, TN_DIMS(2), 10, 20);
        CU_ASSERT_EQUAL(tn_exec_set(e, "x", values), TN_OK);
        CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
        TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 12, 22);
        TN_CHECK_HAS(tn_exec_report_text(e), pairs[i][0]);
        TN_CHECK_HAS(tn_exec_report_text(e), pairs[i][1]);
        tn_tensor_release(values);
        tn_exec_free(e);
    }
    CU_ASSERT_EQUAL(counters()->dropped, 0);
}

// A kernel that fails in the middle: the run says so with the backend's words, or, through a queue,
// whoever waits for it; the executor can be forgiven and used again.
static void a_failing_run_is_an_error_of_the_executor(void)
{
    static const char *const backends[] = {"far,reference", "lazy,reference"};
    for (int i = 0; i < 2; i++) {
        static const char *const paths[] = {TN_TEST_PLUGIN_DIR, TN_TEST_BACKEND_DIR "/far.so",
                                            NULL};
        tn_graph_free(bench.g);
        tn_env_free(bench.env);
        setenv("TENON_OPT_FAR_FAIL", "2", 1);
        bench.env = tn_env_new(&(tn_env_options){
            .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
        unsetenv("TENON_OPT_FAR_FAIL");
        bench.g = tn_graph_new(bench.env);
        tn_exec *e = tn_simple_bind(bench.g, network(), .backends = backends[i],
                                    .shapes = TN_SHAPES({"data", TN_DIMS(6, 7)}));
        TN_CHECK_EXEC(e);
        if (!e) return;
        CU_ASSERT_EQUAL(tn_forward(e, false), i ? TN_OK : TN_E_DEVICE_LOST);
        CU_ASSERT_EQUAL(tn_exec_wait(e), TN_E_DEVICE_LOST);
        TN_CHECK_HAS(tn_exec_error(e), "run 2 was to fail");
        CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_DEVICE_LOST);
        CU_ASSERT_EQUAL(tn_forward(e, false), TN_E_DEVICE_LOST);
        tn_exec_forgive(e);
        CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ blocked

static void blocked_computes_what_reference_does(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/blocked.so")) return;
    same_as_reference("blocked,reference", "columns");
}

// Neighbours agree on the layout: one reorder in, one out, none between the layers.
static void neighbours_share_the_layout(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/blocked.so")) return;
    tn_symbol net = tn_variable(bench.g, "data");
    net = tn_call(bench.g, "FullyConnected", .inputs = TN_SYMS(net), .name = "fc1",
                  .params = TN_ATTRS({"num_hidden", "5"}));
    net = tn_call(bench.g, "relu", .inputs = TN_SYMS(net), .name = "r");
    net = tn_call(bench.g, "FullyConnected", .inputs = TN_SYMS(net), .name = "fc2",
                  .params = TN_ATTRS({"num_hidden", "3"}));
    tn_exec *e = tn_simple_bind(bench.g, net, .backends = "blocked",
                                .shapes = TN_SHAPES({"data", TN_DIMS(6, 7)}));
    TN_CHECK_EXEC(e);
    if (!e) return;
    CU_ASSERT_EQUAL(tn_exec_memory(e).n_reorders, 2);
    TN_CHECK_HAS(tn_exec_report_text(e), "row-major → blocked/1");
    TN_CHECK_HAS(tn_exec_report_text(e), "blocked/1 → row-major");
    tn_exec_free(e);
}

TN_TEST_MAIN({"far memory keeps to its buffers", far_memory_keeps_to_its_buffers},
             {"far computes what reference does", far_computes_what_reference_does},
             {"two far devices in one network", two_far_devices_in_one_network},
             {"too little far memory is an error at bind",
              too_little_far_memory_is_an_error_at_bind},
             {"queues that do everything late", queues_that_do_everything_late},
             {"values pass between far memories", values_pass_between_far_memories},
             {"a failing run is an error of the executor",
              a_failing_run_is_an_error_of_the_executor},
             {"blocked computes what reference does", blocked_computes_what_reference_does},
             {"neighbours share the layout", neighbours_share_the_layout})
