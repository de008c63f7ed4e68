// tests/exec/test_allocations.c: forward and backward do not touch the heap.
#include "tests/exec/heap.h"

#include "tests/exec/nets.h"

// Heap calls of n training steps after the first.
static long calls_of_steps(tn_exec *e, int n, tn_tensors heads)
{
    tn_status status = tn_forward(e, true) | tn_backward(e, heads); // pools start their threads
    heap_watch(0);
    for (int i = 0; i < n; i++) {
        status |= tn_forward(e, false);
        status |= tn_forward(e, true);
        status |= tn_backward(e, heads);
    }
    const long calls = heap_rest();
    tn_check_ok(__LINE__, __FILE__, status, tn_exec_error(e));
    return calls;
}

static bool can_count(void)
{
    if (TN_SANITIZER) tn_skip("a sanitizer has its own allocator");
    return !TN_SANITIZER;
}

static void counting_works(void)
{
    if (!can_count()) return;
    heap_watch(0);
    tn_exec *e = tn_simple_bind(bench.g, net_mlp(), .backends = bench.backends,
                                .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)}));
    CU_ASSERT_TRUE(heap_rest() > 100);
    TN_CHECK_EXEC(e);
    tn_exec_free(e);
}

// Trains the MLP on a list of backends, if they are there.
static void check_backends(const char *backends)
{
    tn_exec *e = tn_simple_bind(bench.g, net_mlp(), .backends = backends, .grad_req = TN_WRITE,
                                .grad_reqs = TN_REQS({"fc1_bias", TN_ADD}),
                                .shapes = TN_SHAPES({"data", TN_DIMS(64, 6)}));
    if (!TN_CHECK_EXEC(e)) return;
    net_fill(e);
    CU_ASSERT_EQUAL(calls_of_steps(e, 10, TN_NO_HEADS), 0);
    tn_exec_free(e);
}

static void the_reference_backend_allocates_nothing(void)
{
    if (can_count()) check_backends("reference");
}

static void the_blas_backend_allocates_nothing(void)
{
    bool there = false;
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, "blas") == 0)
            there = tn_env_device(bench.env, i, 0) && !tn_env_device(bench.env, i, 0)->unusable;
    if (!there)
        tn_skip("no usable backend blas");
    else if (can_count())
        check_backends("blas,reference");
}

static void random_draws_modes_and_heads_allocate_nothing(void)
{
    if (!can_count()) return;
    tn_symbol y = CALL("Dropout", "drop", tn_variable(bench.g, "x"), {"p", "0.5"});
    y = UNARY("Flatten", "flat", UNARY("tanh", "t", y));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "reference", .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"x", TN_DIMS(8, 4, 4)}));
    tn_tensor *head = tn_tensor_new(bench.env, TN_F32, TN_DIMS(8, 16));
    if (TN_CHECK_EXEC(e)) CU_ASSERT_EQUAL(calls_of_steps(e, 5, TN_TENSORS({NULL, head})), 0);
    tn_tensor_release(head);
    tn_exec_free(e);
}

TN_TEST_MAIN({"counting works", counting_works},
             {"the reference backend allocates nothing", the_reference_backend_allocates_nothing},
             {"the blas backend allocates nothing", the_blas_backend_allocates_nothing},
             {"random draws, modes and heads allocate nothing",
              random_draws_modes_and_heads_allocate_nothing})
