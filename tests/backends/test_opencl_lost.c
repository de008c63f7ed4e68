// tests/backends/test_opencl_lost.c: a device that fails or disappears is an error, and no hang.
//
// The program stands between the opencl backend and the ICD loader: functions of OpenCL that it
// defines are found before the loader's, and hand on to these until the device is to be lost. From
// then on each of them fails, as drivers do that have lost their device. It is lost at every call
// of a training step in turn.
#include "tests/backends/opencl_device.h"
#include "tests/tn_numeric.h"

#if __has_include(<CL/cl.h>)
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/exec/exec.h"

// ------------------------------------------------------------------ the device

enum { NEVER = 1 << 30, LIMIT = 120 }; // seconds until a hang is one

static atomic_int calls_left = NEVER;
static atomic_int how = CL_DEVICE_NOT_AVAILABLE;

// The next call fails, if the device is lost by then.
static bool is_lost(void)
{
    if (atomic_load(&calls_left) == NEVER) return false;
    return atomic_fetch_sub(&calls_left, 1) <= 0;
}

// The loader's own function of that name.
static void *loaders(const char *name)
{
    static void *library;
    if (!library) library = dlopen("libOpenCL.so.1", RTLD_LAZY | RTLD_LOCAL);
    return library ? dlsym(library, name) : NULL;
}

// A lost device works on nothing any more: what was under way is over when the first call fails.
static void stop(cl_command_queue q, cl_uint n, const cl_event *list)
{
    static cl_int(CL_API_CALL * finish)(cl_command_queue);
    static cl_int(CL_API_CALL * wait)(cl_uint, const cl_event *);
    if (!finish) *(void **)(void *)&finish = loaders("clFinish");
    if (!wait) *(void **)(void *)&wait = loaders("clWaitForEvents");
    if (q && finish) finish(q);
    if (!q && wait) wait(n, list);
}

// name: its queue, events to wait for without one, parameters, and their names.
#define BETWEEN(name, queue, n, list, params, args)                                     \
    __attribute__((visibility("default"))) CL_API_ENTRY cl_int CL_API_CALL name params; \
    CL_API_ENTRY cl_int CL_API_CALL name params                                         \
    {                                                                                   \
        static cl_int(CL_API_CALL *next) params;                                        \
        if (is_lost()) {                                                                \
            stop(queue, n, list);                                                       \
            return atomic_load(&how);                                                   \
        }                                                                               \
        if (!next) *(void **)(void *)&next = loaders(#name);                            \
        return next ? next args : CL_INVALID_OPERATION;                                 \
    }

#define EVENTS cl_uint n, const cl_event *list, cl_event *event
BETWEEN(clFinish, q, 0, NULL, (cl_command_queue q), (q))
BETWEEN(clFlush, q, 0, NULL, (cl_command_queue q), (q))
BETWEEN(clWaitForEvents, NULL, n, list, (cl_uint n, const cl_event *list), (n, list))
BETWEEN(clEnqueueNDRangeKernel, q, 0, NULL,
        (cl_command_queue q, cl_kernel k, cl_uint dims, const size_t *offset, const size_t *global,
         const size_t *local, EVENTS),
        (q, k, dims, offset, global, local, n, list, event))
BETWEEN(clEnqueueReadBuffer, q, 0, NULL,
        (cl_command_queue q, cl_mem m, cl_bool blocks, size_t offset, size_t bytes, void *to,
         EVENTS),
        (q, m, blocks, offset, bytes, to, n, list, event))
BETWEEN(clEnqueueWriteBuffer, q, 0, NULL,
        (cl_command_queue q, cl_mem m, cl_bool blocks, size_t offset, size_t bytes,
         const void *from, EVENTS),
        (q, m, blocks, offset, bytes, from, n, list, event))
BETWEEN(clEnqueueCopyBuffer, q, 0, NULL,
        (cl_command_queue q, cl_mem a, cl_mem b, size_t from, size_t to, size_t bytes, EVENTS),
        (q, a, b, from, to, bytes, n, list, event))
BETWEEN(clEnqueueMarkerWithWaitList, q, 0, NULL, (cl_command_queue q, EVENTS), (q, n, list, event))
BETWEEN(clEnqueueBarrierWithWaitList, q, 0, NULL, (cl_command_queue q, EVENTS), (q, n, list, event))

static void nothing_is_left(void)
{
    atomic_store(&calls_left, NEVER);
    CU_ASSERT_EQUAL(counters(bench.env)->live_buffers, 0);
    CU_ASSERT_EQUAL(counters(bench.env)->live_bytes, 0);
    CU_ASSERT_EQUAL(counters(bench.env)->live_kernels, 0);
}

// ------------------------------------------------------------------ a network and its update

typedef struct trainer {
    tn_exec *net, *update;
} trainer;

static tn_exec *bind_net(const char *backends)
{
    tn_fresh();
    tn_symbol x = tn_op("FullyConnected", "num_hidden=6", tn_var("data"), tn_var("w"), tn_var("b"));
    tn_attr_scope_push(bench.g, TN_ATTRS({"ctx_group", "middle"}));
    x = tn_op("sin", NULL, x);
    tn_attr_scope_pop(bench.g);
    x = tn_op("FullyConnected", "num_hidden=3; no_bias=1", x, tn_var("v"));
    x = tn_op("SoftmaxOutput", NULL, x, tn_var("label"));
    const bool mixed = strchr(backends, ',') != NULL;
    return tn_simple_bind(bench.g, x, .backends = backends, .grad_req = TN_WRITE,
                          .shapes = TN_SHAPES({"data", TN_DIMS(4, 5)}),
                          .groups = TN_ATTRS({"middle", mixed ? "reference" : "opencl"}));
}

static trainer bind_both(const char *backends)
{
    trainer t = {.net = bind_net(backends)};
    if (!TN_CHECK_EXEC(t.net)) return t;
    tn_tensor *const w = tn_exec_arg(t.net, "w"), *const d = tn_exec_grad(t.net, "w");
    tn_graph *g = tn_graph_new(bench.env);
    const tn_symbol y = tn_call(g, "sgd_update", .name = "new",
                                .inputs = TN_SYMS(tn_variable(g, "w"), tn_variable(g, "d")),
                                .params = TN_ATTRS({"lr", "0.1"}));
    t.update = tn_simple_bind(g, y, .backends = backends, .args = TN_TENSORS({"w", w}, {"d", d}),
                              .outs = TN_TENSORS({"new_output", w}));
    TN_CHECK_STR(t.update ? "" : tn_graph_error(g), "");
    tn_graph_free(g);
    return t;
}

static void free_both(trainer t)
{
    tn_exec_free(t.net);
    tn_exec_free(t.update);
}

// The executor whose step failed; NULL: none.
static tn_exec *step(trainer t)
{
    if (tn_forward(t.net, true) || tn_backward(t.net, TN_NO_HEADS)) return t.net;
    if (tn_forward(t.update, false) || tn_exec_wait(t.update)) return t.update;
    return tn_exec_wait(t.net) ? t.net : NULL;
}

static void stays_lost(tn_exec *e)
{
    float got[12];
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_E_DEVICE_LOST);
    tn_exec_forgive(e);
    CU_ASSERT(tn_forward(e, true) != TN_OK || tn_exec_wait(e) != TN_OK);
    TN_CHECK_HAS(tn_exec_error(e), "opencl:0");
    tn_tensor *out = tn_exec_output(e, 0);
    if (tn_tensor_data(out) || tn_tensor_bytes(out) > sizeof got) return;
    CU_ASSERT(tn_tensor_get(out, got, tn_tensor_bytes(out)) != TN_OK);
    TN_CHECK_HAS(tn_env_error(bench.env), "opencl:0");
}

// ------------------------------------------------------------------ tests

// The calls of a step on that list of backends.
static int calls_of(const char *backends)
{
    trainer t = bind_both(backends);
    if (!t.update) return 0;
    atomic_store(&calls_left, NEVER - 1);
    CU_ASSERT_PTR_NULL(step(t));
    const int n = NEVER - 1 - atomic_load(&calls_left);
    atomic_store(&calls_left, NEVER);
    free_both(t);
    return n;
}

// Lost at each call of the second step in turn, in either way that drivers have.
static void lost_at_each_call(const char *backends)
{
    static const cl_int ways[] = {CL_DEVICE_NOT_AVAILABLE, CL_OUT_OF_RESOURCES};
    const int n = calls_of(backends);
    int named = 0;
    CU_ASSERT(n > 10);
    for (int at = 0; at < n; at++) {
        trainer t = bind_both(backends);
        if (!t.update) return;
        CU_ASSERT_PTR_NULL(step(t));
        atomic_store(&how, ways[at % 2]);
        atomic_store(&calls_left, at);
        tn_exec *e = step(t);
        CU_ASSERT_PTR_NOT_NULL(e);
        if (e) {
            CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_DEVICE_LOST);
            TN_CHECK_HAS(tn_exec_error(e), "opencl:0");
            TN_CHECK_HAS(tn_exec_error(e),
                         at % 2 ? "CL_OUT_OF_RESOURCES" : "CL_DEVICE_NOT_AVAILABLE");
            named += strstr(tn_exec_error(e), " (FullyConnected) on opencl") != NULL;
            stays_lost(e);
        }
        free_both(t);
        nothing_is_left();
    }
    CU_ASSERT(named > 0); // where a kernel could not be started, its node is named
}

static void each_call_of_a_step_may_be_the_last(void)
{
    if (has_device()) lost_at_each_call("opencl:0");
}

static void so_may_each_call_of_a_mixed_step(void)
{
    if (has_device()) lost_at_each_call("opencl:0,reference");
}

static void a_lost_device_cannot_be_bound_to(void)
{
    if (!has_device()) return;
    tn_exec_free(bind_net("opencl:0")); // the device is open
    atomic_store(&calls_left, 0);
    tn_exec *e = bind_net("opencl:0");
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "opencl:0");
    TN_CHECK_HAS(tn_graph_error(bench.g), atomic_load(&how) == CL_OUT_OF_RESOURCES
                                              ? "CL_OUT_OF_RESOURCES"
                                              : "CL_DEVICE_NOT_AVAILABLE");
    tn_exec_free(e);
    nothing_is_left();
}

// A device that was gone for a while: what was bound before can be used again after forgiveness.
static void a_device_that_comes_back_is_used_again(void)
{
    if (!has_device()) return;
    trainer t = bind_both("opencl:0");
    if (!t.update) return;
    atomic_store(&calls_left, 3);
    tn_exec *e = step(t);
    CU_ASSERT_PTR_NOT_NULL(e);
    atomic_store(&calls_left, NEVER);
    tn_exec_forgive(t.net);
    tn_exec_forgive(t.update);
    e = step(t);
    CU_ASSERT_PTR_NULL(e);
    free_both(t);
    nothing_is_left();
}

int main(int argc, char **argv)
{
    static const tn_test_case tests[] = {
        {"each call of a step may be the last", each_call_of_a_step_may_be_the_last},
        {"so may each call of a mixed step", so_may_each_call_of_a_mixed_step},
        {"a lost device cannot be bound to", a_lost_device_cannot_be_bound_to},
        {"a device that comes back is used again", a_device_that_comes_back_is_used_again},
    };
    alarm(LIMIT);
    return tn_test_run(argc, argv, __FILE__, tests, sizeof tests / sizeof tests[0]);
}

#else
int main(void)
{
    return 77; // without OpenCL there is no such backend
}
#endif
