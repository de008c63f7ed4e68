// tests/exec/test_million_run.c: a chain of a million nodes binds and runs, in linear memory.
#include <sys/resource.h>

#include "tests/exec/nets.h"

enum { MILLION = 1000000 };

// What a bind of n nodes left behind, in bytes and in rows.
typedef struct cost {
    size_t source, placed, own, rows, blocks;
} cost;

static tn_graph *chain(size_t n, tn_symbol *y)
{
    tn_graph *g = tn_graph_new(bench.env);
    *y = tn_variable(g, "x");
    for (size_t i = 0; i < n; i++)
        *y = tn_call(g, "_plus_scalar", .inputs = TN_SYMS(*y), .params = TN_ATTRS({"scalar", "1"}));
    return g;
}

static tn_exec *bind_chain(size_t n, cost *c)
{
    tn_symbol y;
    tn_graph *g = chain(n, &y);
    tn_exec *e = tn_simple_bind(g, y, .backends = bench.backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"x", TN_DIMS(1)}));
    tn_check_ok(__LINE__, __FILE__, tn_graph_status(g), tn_graph_error(g));
    tn_graph_free(g);
    if (e)
        *c = (cost){e->source->arena.used, e->placed.arena.used, e->arena.used, e->n_rows,
                    e->plan.blocks.n};
    return e;
}

static void twice_the_nodes_cost_twice_as_much(void)
{
    cost one, two;
    tn_exec *a = bind_chain(20000, &one), *b = bind_chain(40000, &two);
    CU_ASSERT_TRUE_FATAL(a && b);
    CU_ASSERT_TRUE(two.source <= one.source * 21 / 10);
    CU_ASSERT_TRUE(two.placed <= one.placed * 21 / 10);
    CU_ASSERT_TRUE(two.own <= one.own * 21 / 10);
    CU_ASSERT_TRUE(one.rows >= 20000 && two.rows <= one.rows * 21 / 10);
    CU_ASSERT_TRUE(two.blocks <= one.blocks * 21 / 10 + 10);
    tn_exec_free(a);
    tn_exec_free(b);
}

static void a_million_nodes_bind_and_run(void)
{
    cost c;
    tn_exec *e = bind_chain(MILLION, &c);
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(1), 3);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, MILLION); // exact: below 2^24
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 3);
    CU_ASSERT_TRUE(tn_exec_memory(e).planned <= 1024);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (!TN_SANITIZER) CU_ASSERT_TRUE(usage.ru_maxrss < 4l << 20); // kilobytes
    tn_tensor_release(head);
    tn_exec_free(e);
}

// A backward pass of its own: every node keeps its result for tanh's gradient.
static void a_hundred_thousand_layers_are_differentiated(void)
{
    enum { N = 100000 };
    tn_graph *g = tn_graph_new(bench.env);
    tn_symbol y = tn_variable(g, "x");
    for (size_t i = 0; i < N; i++) y = tn_call(g, "tanh", .inputs = TN_SYMS(y));
    tn_exec *e = tn_simple_bind(g, y, .backends = bench.backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"x", TN_DIMS(1)}));
    tn_check_ok(__LINE__, __FILE__, tn_graph_status(g), tn_graph_error(g));
    tn_graph_free(g);
    if (!e) return;
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(1), 1);
    tn_tensor_fill(tn_exec_arg(e, "x"), 1);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    const tn_memory_report m = tn_exec_memory(e);
    CU_ASSERT_TRUE(m.planned >= m.lower_bound && m.lower_bound >= 64 * (N - 2));
    CU_ASSERT_TRUE(m.planned <= m.lower_bound + 64 * 8);
    // y' = x'/(1 + …): iterated tanh tends to sqrt(3 / (2 n)), and dy/dx to its derivative.
    TN_CHECK_NEAR(tn_tensor_at(tn_exec_output(e, 0), 0), 0.003873, 0.0002);
    CU_ASSERT_TRUE(tn_tensor_at(tn_exec_grad(e, "x"), 0) > 0);
    tn_tensor_release(head);
    tn_exec_free(e);
}

TN_TEST_MAIN({"twice the nodes cost twice as much", twice_the_nodes_cost_twice_as_much},
             {"a million nodes bind and run", a_million_nodes_bind_and_run},
             {"a hundred thousand layers are differentiated",
              a_hundred_thousand_layers_are_differentiated})
