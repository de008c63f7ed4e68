// tests/graph/test_million.c: a graph of a million nodes is built, walked, copied and composed.
#include "core/graph/graph.h"
#include "tests/tn_test.h"

enum { MILLION = 1000000 };

static void a_chain_of_a_million(void)
{
    tn_symbol s = tn_variable(bench.g, "x");
    for (int i = 0; i < MILLION && s.node; i++)
        s = tn_call(bench.g, "Flatten", .inputs = TN_SYMS(s));
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), MILLION + 1);
    TN_CHECK_STR(tn_symbol_name(bench.g, s), "flatten999999");
    TN_CHECK_NAMES(tn_arguments(bench.g, s), "x");
    const tn_symbol y = tn_variable(bench.g, "y");
    const tn_symbol other = tn_compose(bench.g, s, "top", TN_NAMED({"x", y}));
    TN_CHECK_NAMES(tn_arguments(bench.g, other), "y");
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), 2 * MILLION + 2);
    tn_graph *copy = tn_graph_new(bench.env);
    const tn_symbol third = tn_symbol_copy(copy, bench.g, other);
    TN_CHECK_STR(tn_symbol_name(copy, third), "top");
    CU_ASSERT_EQUAL(tn_graph_num_nodes(copy), MILLION + 1);
    tn_graph_free(copy);
}

static void a_layer_of_many_inputs(void)
{
    enum { MANY = 60000 };
    tn_symbol *v = malloc(MANY * sizeof *v);
    const tn_symbol x = tn_variable(bench.g, "x");
    for (int i = 0; i < MANY; i++) v[i] = x;
    const tn_symbol sum = tn_call(bench.g, "add_n", .inputs = {MANY, v});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_attr_get(bench.g, sum, "num_args"), "60000");
    const tn_symbol made =
        tn_call(bench.g, "add_n", .name = "made", .params = TN_ATTRS({"num_args", "60000"}));
    CU_ASSERT_EQUAL(tn_arguments(bench.g, made).n, MANY);
    tn_call(bench.g, "add_n", .params = TN_ATTRS({"num_args", "4000000000"}));
    TN_CHECK_HAS(tn_graph_error(bench.g), "add_n: num_args: 4000000000 is outside [0,65000]");
    free(v);
}

TN_TEST_MAIN({"a chain of a million", a_chain_of_a_million},
             {"a layer of many inputs", a_layer_of_many_inputs})
