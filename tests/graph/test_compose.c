// tests/graph/test_compose.c: composition: what is copied, what is shared, what is refused.
#include "tests/tn_test.h"

#define FC(name_, x)                                                          \
    tn_call(bench.g, "FullyConnected", .name = (name_), .inputs = TN_SYMS(x), \
            .params = TN_ATTRS({"num_hidden", "2"}))

static tn_symbol var(const char *name)
{
    return tn_variable(bench.g, name);
}

static bool same(tn_symbol a, tn_symbol b)
{
    return a.node == b.node && a.out == b.out && a.graph == b.graph;
}

static tn_symbol below(tn_symbol s, const char *name)
{
    return tn_output_named(bench.g, tn_internals(bench.g, s), name);
}

static void check_refused(tn_symbol s, tn_status status, const char *part)
{
    CU_ASSERT_EQUAL(s.node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), status);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    tn_graph_forgive(bench.g);
}

// apache/mxnet#7714: b(y=a) had two variables x and computed a twice.
static void arguments_are_shared_with_what_they_came_from(void)
{
    const tn_symbol x = var("x");
    const tn_symbol a = tn_mul(bench.g, x, 2);
    const tn_symbol b = tn_add(bench.g, var("y"), a);
    const tn_symbol c = tn_compose(bench.g, b, NULL, TN_NAMED({"y", a}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, c), "x");
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_internals(bench.g, c)),
                   "x _mulscalar0_output _plus0_output");
    CU_ASSERT_TRUE(same(below(c, "_mulscalar0_output"), a));
    TN_CHECK_NAMES(tn_arguments(bench.g, b), "y x");
}

static void parameters_are_shared(void)
{
    const tn_symbol net = FC("fc2", FC("fc1", var("data")));
    const tn_symbol other = tn_compose(bench.g, net, NULL, TN_NAMED({"data", var("other")}));
    TN_CHECK_GRAPH();
    CU_ASSERT_TRUE(same(below(net, "fc1_weight"), below(other, "fc1_weight")));
    CU_ASSERT_FALSE(same(below(net, "fc1_output"), below(other, "fc1_output")));
    TN_CHECK_NAMES(tn_arguments(bench.g, other), "other fc1_weight fc1_bias fc2_weight fc2_bias");
    // The parameter is one argument of both, so one group has it once.
    const tn_symbol both = tn_group(bench.g, TN_SYMS(net, other));
    TN_CHECK_NAMES(tn_arguments(bench.g, both),
                   "data fc1_weight fc1_bias fc2_weight fc2_bias other");
}

static void only_what_depends_is_copied(void)
{
    const tn_symbol left = FC("left", var("a"));
    const tn_symbol sum = tn_add(bench.g, left, FC("right", var("b")));
    const size_t before = tn_graph_num_nodes(bench.g);
    const tn_symbol c = tn_compose(bench.g, sum, NULL, TN_NAMED({"b", left}));
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), before + 2); // right, and the sum
    TN_CHECK_NAMES(tn_arguments(bench.g, c), "a left_weight left_bias right_weight right_bias");
}

static void the_name_goes_to_the_copy_of_the_head(void)
{
    const tn_symbol net = FC("fc1", var("data"));
    const tn_symbol c = tn_compose(bench.g, net, "renamed", TN_NAMED({"data", var("d")}));
    const tn_symbol only = tn_compose(bench.g, net, "alone", (tn_named_symbols){0});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_symbol_name(bench.g, c), "renamed");
    TN_CHECK_STR(tn_symbol_name(bench.g, net), "fc1");
    TN_CHECK_NAMES(tn_outputs(bench.g, only), "alone_output");
    TN_CHECK_NAMES(tn_arguments(bench.g, only), "data fc1_weight fc1_bias");
}

static void a_replacement_may_use_what_it_replaces(void)
{
    const tn_symbol x = var("x");
    const tn_symbol net = FC("fc", x);
    const tn_symbol twice = tn_compose(bench.g, net, NULL, TN_NAMED({"x", tn_mul(bench.g, x, 2)}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, twice), "x fc_weight fc_bias");
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_internals(bench.g, twice)),
                   "x _mulscalar0_output fc_weight fc_bias fc_output");
}

static void several_are_replaced_at_once(void)
{
    const tn_symbol a = var("a"), b = var("b");
    const tn_symbol sum = tn_sub(bench.g, a, b);
    const tn_symbol swapped = tn_compose(bench.g, sum, NULL, TN_NAMED({"a", b}, {"b", a}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, swapped), "b a");
}

static void heads_that_are_variables_are_replaced_too(void)
{
    const tn_symbol a = var("a");
    const tn_symbol group = tn_group(bench.g, TN_SYMS(a, FC("fc", a)));
    const tn_symbol c = tn_compose(bench.g, group, NULL, TN_NAMED({"a", var("z")}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_outputs(bench.g, c), "z fc_output");
    const tn_symbol z = tn_compose(bench.g, a, NULL, TN_NAMED({"a", FC("g", a)}));
    TN_CHECK_NAMES(tn_outputs(bench.g, z), "g_output");
    TN_CHECK_STR(tn_symbol_name(bench.g, a), "a");
}

static void nothing_replaced_is_the_symbol_itself(void)
{
    const tn_symbol net = FC("fc", var("x"));
    const size_t before = tn_graph_num_nodes(bench.g);
    CU_ASSERT_TRUE(same(net, tn_compose(bench.g, net, NULL, (tn_named_symbols){0})));
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), before);
}

static void several_outputs_stay_several(void)
{
    const tn_symbol parts =
        tn_call(bench.g, "SliceChannel", .name = "s", .inputs = TN_SYMS(var("x")),
                .params = TN_ATTRS({"num_outputs", "2"}));
    const tn_symbol second = tn_output(bench.g, parts, 1);
    const tn_symbol y = var("y");
    const tn_symbol all = tn_compose(bench.g, parts, NULL, TN_NAMED({"x", y}));
    const tn_symbol one = tn_compose(bench.g, second, NULL, TN_NAMED({"x", y}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_outputs(bench.g, all), "s_output0 s_output1");
    TN_CHECK_NAMES(tn_outputs(bench.g, one), "s_output1");
    TN_CHECK_NAMES(tn_arguments(bench.g, all), "y");
}

static void mistakes_are_named(void)
{
    const tn_symbol a = var("a"), b = var("data");
    const tn_symbol net = FC("fc", b);
    const size_t before = tn_graph_num_nodes(bench.g);
    check_refused(tn_compose(bench.g, net, NULL, TN_NAMED({"dta", a})), TN_E_NOT_FOUND,
                  "compose: no variable dta — did you mean data?");
    check_refused(tn_compose(bench.g, net, NULL, TN_NAMED({"data", a}, {"data", a})), TN_E_INVALID,
                  "compose: data: given twice");
    check_refused(tn_compose(bench.g, net, NULL, TN_NAMED({"data", TN_NONE})), TN_E_INVALID,
                  "compose: data: no symbol");
    check_refused(tn_compose(bench.g, net, "fc", TN_NAMED({"data", a})), TN_E_EXISTS,
                  "compose: an operator fc exists already");
    check_refused(tn_compose(bench.g, b, "q", TN_NAMED({"data", a})), TN_E_INVALID,
                  "compose: name q: the head is a variable");
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), before);
    const tn_symbol two = tn_group(bench.g, TN_SYMS(a, b));
    check_refused(tn_compose(bench.g, net, NULL, TN_NAMED({"data", two})), TN_E_INVALID,
                  "compose: data: a group has 2 outputs");
    check_refused(
        tn_compose(bench.g, tn_group(bench.g, TN_SYMS(a, net)), "q", TN_NAMED({"data", a})),
        TN_E_INVALID, "the symbol has several heads");
}

// MXNet returned an unchanged copy where a keyword named two variables.
static void an_ambiguous_name_is_an_error(void)
{
    const tn_symbol x = var("x");
    const tn_symbol copy = tn_symbol_copy(bench.g, bench.g, x);
    const tn_symbol sum = tn_add(bench.g, x, copy);
    TN_CHECK_NAMES(tn_arguments(bench.g, sum), "x x");
    check_refused(tn_compose(bench.g, sum, NULL, TN_NAMED({"x", var("y")})), TN_E_EXISTS,
                  "compose: two variables are named x (");
}

// ------------------------------------------------------------------ copies

static void a_copy_shares_nothing(void)
{
    const tn_symbol net = FC("fc", var("x"));
    const tn_symbol copy = tn_symbol_copy(bench.g, bench.g, net);
    TN_CHECK_GRAPH();
    CU_ASSERT_FALSE(same(net, copy));
    CU_ASSERT_FALSE(same(below(net, "x"), below(copy, "x")));
    TN_CHECK_NAMES(tn_arguments(bench.g, copy), "x fc_weight fc_bias");
    tn_attr_set(bench.g, copy, "num_hidden", "9");
    TN_CHECK_STR(tn_attr_get(bench.g, net, "num_hidden"), "2");
    TN_CHECK_STR(tn_attr_get(bench.g, copy, "num_hidden"), "9");
}

static void a_copy_outlives_the_other_graph(void)
{
    tn_graph *other = tn_graph_new(bench.env);
    const tn_symbol x = tn_variable(other, "x", .shape = TN_DIMS(4, 6));
    const tn_symbol parts = tn_call(other, "SliceChannel", .name = "s", .inputs = TN_SYMS(x),
                                    .params = TN_ATTRS({"num_outputs", "2"}));
    const tn_symbol group = tn_group(other, TN_SYMS(parts, x));
    const tn_symbol copy = tn_symbol_copy(bench.g, other, group);
    const tn_symbol whole = tn_symbol_copy(bench.g, other, parts);
    tn_graph_free(other);
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_outputs(bench.g, copy), "s_output0 s_output1 x");
    TN_CHECK_NAMES(tn_outputs(bench.g, whole), "s_output0 s_output1");
    TN_CHECK_STR(tn_attr_get(bench.g, tn_output(bench.g, copy, 2), "__shape__"), "(4, 6)");
}

// A graph of another env has other operator tables; parameters are read anew.
static void a_copy_comes_from_another_env(void)
{
    tn_env *env =
        tn_env_new(&(tn_env_options){.size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH});
    tn_graph *other = tn_graph_new(env);
    const tn_symbol x = tn_variable(other, "x");
    const tn_symbol fc = tn_call(other, "FullyConnected", .name = "fc", .inputs = TN_SYMS(x),
                                 .params = TN_ATTRS({"num_hidden", "3"}));
    const tn_symbol copy = tn_symbol_copy(bench.g, other, fc);
    tn_graph_free(other);
    tn_env_free(env);
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, copy), "x fc_weight fc_bias");
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, copy, "num_hidden", "5"), TN_OK);
}

static void a_copy_needs_a_symbol_of_that_graph(void)
{
    tn_graph *other = tn_graph_new(bench.env);
    const tn_symbol x = var("x");
    check_refused(tn_symbol_copy(bench.g, other, x), TN_E_INVALID,
                  "copy: this symbol does not belong to the graph to copy from");
    check_refused(tn_symbol_copy(bench.g, other, TN_NONE), TN_E_INVALID, "copy: no symbol");
    check_refused(tn_symbol_copy(bench.g, NULL, x), TN_E_INVALID, "copy: no graph");
    tn_graph_free(other);
}

TN_TEST_MAIN({"arguments are shared with what they came from",
              arguments_are_shared_with_what_they_came_from},
             {"parameters are shared", parameters_are_shared},
             {"only what depends is copied", only_what_depends_is_copied},
             {"the name goes to the copy of the head", the_name_goes_to_the_copy_of_the_head},
             {"a replacement may use what it replaces", a_replacement_may_use_what_it_replaces},
             {"several are replaced at once", several_are_replaced_at_once},
             {"heads that are variables are replaced too",
              heads_that_are_variables_are_replaced_too},
             {"nothing replaced is the symbol itself", nothing_replaced_is_the_symbol_itself},
             {"several outputs stay several", several_outputs_stay_several},
             {"mistakes are named", mistakes_are_named},
             {"an ambiguous name is an error", an_ambiguous_name_is_an_error},
             {"a copy shares nothing", a_copy_shares_nothing},
             {"a copy outlives the other graph", a_copy_outlives_the_other_graph},
             {"a copy comes from another env", a_copy_comes_from_another_env},
             {"a copy needs a symbol of that graph", a_copy_needs_a_symbol_of_that_graph})
