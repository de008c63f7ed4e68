// tests/exec/test_out_of_memory.c: the n-th allocation fails, for every n: an error, and no leak.
#include "tests/exec/heap.h"

#include "tests/exec/nets.h"

#if TN_SANITIZER == 0
enum { MOST = 20000 }; // allocations of one bind; more would be a loop

// A graph and how it is bound.
typedef struct subject {
    tn_symbol (*make)(tn_graph *g);
    tn_exec *(*bind)(tn_graph *g, tn_symbol y, const char *backends, tn_tensor *w);
} subject;

static tn_symbol network(tn_graph *g)
{
    tn_symbol x = tn_variable(g, "data");
    x = tn_call(g, "FullyConnected", .inputs = TN_SYMS(x), .name = "fc1",
                .params = TN_ATTRS({"num_hidden", "5"}));
    x = tn_call(g, "Activation", .inputs = TN_SYMS(x), .params = TN_ATTRS({"act_type", "relu"}));
    x = tn_call(g, "log_softmax", .inputs = TN_SYMS(x));
    return tn_mul(g, x, tn_variable(g, "w"));
}

static tn_exec *bind_network(tn_graph *g, tn_symbol y, const char *backends, tn_tensor *w)
{
    return tn_simple_bind(g, y, .backends = backends, .grad_req = TN_WRITE,
                          .args = TN_TENSORS({"w", w}), .grad_reqs = TN_REQS({"fc1_bias", TN_ADD}),
                          .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)}));
}

// Calls side by side.
static tn_symbol updates(tn_graph *g)
{
    tn_symbol made[6];
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        const tn_symbol x = tn_variable(g, name, .shape = TN_DIMS(i + 1));
        made[i] = tn_call(g, "sgd_mom_update", .inputs = TN_SYMS(x, x),
                          .params = TN_ATTRS({"lr", "0.1"}));
    }
    return tn_group(g, (tn_symbols){6, made});
}

static tn_exec *bind_updates(tn_graph *g, tn_symbol y, const char *backends, tn_tensor *w)
{
    (void)w;
    return tn_simple_bind(g, y, .backends = backends);
}

// One attempt with its n-th allocation failing; NULL: the bind failed, as it should.
static tn_exec *attempt(const subject *s, tn_graph *g, tn_symbol y, const char *backends, long n,
                        tn_tensor *w)
{
    heap_watch(n);
    tn_exec *e = s->bind(g, y, backends, w);
    heap_rest();
    return e;
}

// Fails each allocation of a bind in turn, and looks for blocks that nobody freed.
static void fail_each(const subject *s, const char *backends)
{
    tn_tensor *w = tn_tensor_new(bench.env, TN_F32, TN_DIMS(4, 5));
    for (int i = 0; i < 16; i++) tn_tensor_new(bench.env, TN_F32, TN_DIMS(-1)); // fills error texts
    bool done = false;
    long n = 1;
    for (; n < MOST && !done; n++) {
        tn_graph *g = tn_graph_new(bench.env);
        const tn_symbol y = s->make(g);
        const long before = atomic_load(&heap_live);
        tn_exec *e = attempt(s, g, y, backends, n, w);
        done = atomic_load(&heap_failures) == 0;
        if (!e) {
            if (tn_graph_status(g) != TN_E_NOMEM) {
                printf(" [allocation %ld: %s]", n, tn_graph_error(g));
                CU_FAIL("a failed bind gives a wrong reason");
            }
            tn_graph_forgive(g);
            const long left = atomic_load(&heap_live) - before;
            if (left > 1) { // 1: the graph's arena may have grown
                printf(" [allocation %ld: %ld blocks are left]", n, left);
                CU_FAIL("a failed bind leaks");
            }
            e = attempt(s, g, y, backends, 0, w);
        }
        CU_ASSERT_PTR_NOT_NULL(e);
        tn_exec_free(e);
        tn_graph_free(g);
    }
    CU_ASSERT_TRUE(done && n > 50);
    tn_tensor_release(w);
}

static const subject a_network = {network, bind_network}, many_updates = {updates, bind_updates};

static void each_allocation_of_a_bind_may_fail(void)
{
    fail_each(&a_network, "reference");
}

static void each_allocation_of_a_bind_on_a_device_may_fail(void)
{
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so"), TN_OK);
    fail_each(&a_network, "lazy,reference");
}

static void each_allocation_of_a_bind_of_updates_may_fail(void)
{
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/fuser.so"), TN_OK);
    fail_each(&many_updates, "fuser");
}

static void each_allocation_of_a_reshape_may_fail(void)
{
    tn_symbol y = network(bench.g);
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "reference", .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)}));
    if (!TN_CHECK_EXEC(e)) return;
    bool done = false;
    for (long n = 1; n < MOST && !done; n++) {
        heap_watch(n);
        tn_exec *f = tn_exec_reshape(e, TN_SHAPES({"data", TN_DIMS(2, 6)}));
        heap_rest();
        done = atomic_load(&heap_failures) == 0;
        CU_ASSERT_TRUE(f || tn_exec_status(e) != TN_OK);
        tn_exec_forgive(e);
        tn_exec_free(f);
    }
    CU_ASSERT_TRUE(done);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    tn_exec_free(e);
}
#else
static void each_allocation_of_a_bind_may_fail(void)
{
    tn_skip("a sanitizer has its own allocator");
}
static void each_allocation_of_a_bind_on_a_device_may_fail(void)
{
    tn_skip("a sanitizer has its own allocator");
}
static void each_allocation_of_a_bind_of_updates_may_fail(void)
{
    tn_skip("a sanitizer has its own allocator");
}
static void each_allocation_of_a_reshape_may_fail(void)
{
    tn_skip("a sanitizer has its own allocator");
}
#endif

TN_TEST_MAIN({"each allocation of a bind may fail", each_allocation_of_a_bind_may_fail},
             {"each allocation of a bind on a device may fail",
              each_allocation_of_a_bind_on_a_device_may_fail},
             {"each allocation of a bind of updates may fail",
              each_allocation_of_a_bind_of_updates_may_fail},
             {"each allocation of a reshape may fail", each_allocation_of_a_reshape_may_fail})
