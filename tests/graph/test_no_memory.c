// tests/graph/test_no_memory.c: the N-th allocation of a call fails, for each N: the call then
// fails cleanly, changes nothing, and works when it is called again.
#include <string.h>

#include "core/graph/graph.h"
#include "tests/failing_malloc.h"
#include "tests/tn_test.h"

typedef struct state {
    size_t nodes, values, variables, operators, memory;
} state;

static state now(void)
{
    const tn_graph *g = bench.g;
    return (state){g->n_nodes, g->n_values, g->variables.n, g->operators.n, g->arena.used};
}

// Runs the call with each of its allocations failing, in turn, until it succeeds.
static void check(bool (*call)(void))
{
    if (!CAN_FAIL) {
        tn_skip("the sanitizer has its own allocator");
        CU_ASSERT_TRUE(call());
        return;
    }
    bool done = false, clean = true, told = true;
    long n = 0;
    for (; !done && n < 10000; n++) {
        const state before = now();
        countdown = n;
        done = call();
        const bool reached = countdown < 0; // the failing allocation came
        countdown = -1;
        if (done) break;
        const state after = now();
        told = told && reached && tn_graph_status(bench.g) == TN_E_NOMEM;
        clean = clean && memcmp(&before, &after, sizeof after) == 0;
        tn_graph_forgive(bench.g);
    }
    CU_ASSERT_TRUE(done);
    CU_ASSERT_TRUE(told);
    CU_ASSERT_TRUE(clean);
    CU_ASSERT_TRUE(n > 0);
    TN_CHECK_GRAPH();
}

// Fills the arena, so that the next call must ask for a block.
static void exhaust(void)
{
    tni_alloc(&bench.g->arena, 1 << 20);
}

// So many that the next variables make the map of names grow.
enum { LAYERS = 23 };

static tn_symbol net, x;

static tn_symbol fc(const char *name, tn_symbol data)
{
    return tn_call(bench.g, "FullyConnected", .name = name, .inputs = TN_SYMS(data),
                   .params = TN_ATTRS({"num_hidden", "2"}));
}

static void build(void)
{
    x = tn_variable(bench.g, "x");
    net = x;
    for (int i = 0; i < LAYERS; i++) net = fc(NULL, net);
    exhaust();
}

static bool calls_variable(void)
{
    return tn_variable(bench.g, "v", .shape = TN_DIMS(3, 4), .lr_mult = TN_SET(2.0)).node;
}

static bool calls_named(void)
{
    return fc("named", x).node;
}

static bool calls_automatic(void)
{
    return fc(NULL, x).node;
}

static bool calls_typed(void)
{
    return tn_fully_connected(bench.g, x, .num_hidden = 3, .name = "typed",
                              .attrs = TN_ATTRS({"__a__", "1"}))
        .node;
}

static bool calls_compose(void)
{
    return tn_compose(bench.g, net, "composed", TN_NAMED({"x", net})).node;
}

static bool calls_copy(void)
{
    return tn_symbol_copy(bench.g, bench.g, net).node;
}

static bool calls_group(void)
{
    return tn_group(bench.g, TN_SYMS(net, x)).node;
}

static bool calls_internals(void)
{
    return tn_internals(bench.g, net).node;
}

static bool calls_output_named(void)
{
    return tn_output_named(bench.g, tn_internals(bench.g, net), "fullyconnected3").node;
}

static bool calls_attr_set(void)
{
    return tn_attr_set(bench.g, net, "num_hidden", "5") == TN_OK;
}

static bool calls_rename(void)
{
    return tn_attr_set(bench.g, net, "name", "top") == TN_OK;
}

static bool calls_scope(void)
{
    return tn_attr_scope_push(bench.g, TN_ATTRS({"__a__", "1"})) == TN_OK;
}

static void variables(void)
{
    build();
    check(calls_variable);
}

static void named_calls(void)
{
    build();
    check(calls_named);
}

static void automatic_calls(void)
{
    build();
    check(calls_automatic);
    TN_CHECK_STR(tn_symbol_name(bench.g, fc(NULL, x)), "fullyconnected24");
}

static void typed_calls(void)
{
    build();
    check(calls_typed);
}

static void composing(void)
{
    build();
    check(calls_compose);
}

static void copying(void)
{
    build();
    check(calls_copy);
}

static void grouping(void)
{
    build();
    check(calls_group);
    check(calls_internals);
}

static void setting(void)
{
    build();
    check(calls_attr_set);
    exhaust();
    check(calls_rename);
    TN_CHECK_STR(tn_symbol_name(bench.g, net), "top");
}

static void scopes(void)
{
    build();
    check(calls_scope);
}

static bool calls_queries(void)
{
    const tni_save save = tni_graph_save(bench.g);
    const size_t found = tn_arguments(bench.g, net).n + tn_outputs(bench.g, net).n +
                         tn_attr_list(bench.g, net).n + tn_attr_dict(bench.g, net).n +
                         (tn_symbol_text(bench.g, net) != NULL) + calls_output_named();
    if (tn_graph_status(bench.g) == TN_OK)
        CU_ASSERT_EQUAL(found, (2 * LAYERS + 1) + 1 + 1 + 3 * LAYERS + 1 + 1);
    // What the calls before the failing one handed out is legal to keep; here it would blur.
    tni_graph_undo(bench.g, save);
    return tn_graph_status(bench.g) == TN_OK;
}

static void queries(void)
{
    build();
    check(calls_queries);
}

TN_TEST_MAIN({"variables", variables}, {"named calls", named_calls},
             {"automatic calls", automatic_calls}, {"typed calls", typed_calls},
             {"composing", composing}, {"copying", copying}, {"grouping", grouping},
             {"setting", setting}, {"scopes", scopes}, {"queries", queries})
