// tests/graph/test_query.c: groups, internals, children, outputs by number and name, printing.
#include "core/graph/graph.h"
#include "tests/tn_test.h"

#define FC(name_, x)                                                          \
    tn_call(bench.g, "FullyConnected", .name = (name_), .inputs = TN_SYMS(x), \
            .params = TN_ATTRS({"num_hidden", "2"}))

static tn_symbol var(const char *name)
{
    return tn_variable(bench.g, name);
}

static tn_symbol slice(const char *name, tn_symbol x)
{
    return tn_call(bench.g, "SliceChannel", .name = name, .inputs = TN_SYMS(x),
                   .params = TN_ATTRS({"num_outputs", "3"}));
}

static bool same(tn_symbol a, tn_symbol b)
{
    return a.node == b.node && a.out == b.out && a.graph == b.graph;
}

static void check_refused(tn_symbol s, tn_status status, const char *part)
{
    CU_ASSERT_EQUAL(s.node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), status);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    tn_graph_forgive(bench.g);
}

// ------------------------------------------------------------------ groups

static void a_group_has_all_outputs_of_its_members(void)
{
    const tn_symbol x = var("x");
    const tn_symbol inner = tn_group(bench.g, TN_SYMS(FC("fc", x), x));
    const tn_symbol group = tn_group(bench.g, TN_SYMS(slice("s", x), inner, x));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_outputs(bench.g, group), "s_output0 s_output1 s_output2 fc_output x x");
    TN_CHECK_STR(tn_symbol_name(bench.g, group), NULL);
    TN_CHECK_STR(tn_symbol_op(bench.g, group), NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, group), "x fc_weight fc_bias");
}

static void a_group_of_one_is_that_one(void)
{
    const tn_symbol x = var("x");
    CU_ASSERT_TRUE(same(tn_group(bench.g, TN_SYMS(x)), x));
    check_refused(tn_group(bench.g, (tn_symbols){0}), TN_E_INVALID, "a group of nothing");
    check_refused(tn_group(bench.g, TN_SYMS(x, TN_NONE)), TN_E_INVALID, "member 1: no symbol");
}

static void a_group_is_no_single_input(void)
{
    const tn_symbol group = tn_group(bench.g, TN_SYMS(var("a"), var("b")));
    check_refused(FC("fc", group), TN_E_INVALID,
                  "fc (FullyConnected): data: a group has 2 outputs, one is wanted");
    check_refused(FC("fc", slice("s", var("x"))), TN_E_INVALID,
                  "fc (FullyConnected): data: symbol s has 3 outputs, one is wanted");
}

// ------------------------------------------------------------------ internals and children

static void internals_are_all_visible_outputs_in_order(void)
{
    const tn_symbol second = tn_output(bench.g, slice("s", var("x")), 1);
    const tn_symbol drop = tn_call(bench.g, "Dropout", .name = "drop", .inputs = TN_SYMS(second));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_internals(bench.g, drop)),
                   "x s_output0 s_output1 s_output2 drop_output");
}

static void children_are_the_inputs_of_the_heads(void)
{
    const tn_symbol x = var("x");
    const tn_symbol fc1 = FC("fc1", x), fc2 = FC("fc2", fc1);
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_children(bench.g, fc2)),
                   "fc1_output fc2_weight fc2_bias");
    CU_ASSERT_EQUAL(tn_children(bench.g, x).node, 0);
    TN_CHECK_GRAPH();
    // Each head node once, whichever of its outputs are heads.
    const tn_symbol s = slice("s", x);
    const tn_symbol two =
        tn_group(bench.g, TN_SYMS(tn_output(bench.g, s, 0), fc1, tn_output(bench.g, s, 2)));
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_children(bench.g, two)), "x x fc1_weight fc1_bias");
}

static void nodes_are_shared_with_what_they_were_taken_from(void)
{
    const tn_symbol fc = FC("fc", var("x"));
    const tn_symbol weight = tn_output_named(bench.g, tn_internals(bench.g, fc), "fc_weight");
    tn_attr_set(bench.g, weight, "lr_mult", "3");
    const tn_attr_dict_result dict = tn_attr_dict(bench.g, fc);
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL_FATAL(dict.n, 3); // x has no attributes
    TN_CHECK_STR(dict.v[0].node, "fc_weight");
    TN_CHECK_STR(dict.v[0].attrs.v[0].value, "3");
}

// ------------------------------------------------------------------ outputs

static void outputs_are_found_by_number(void)
{
    const tn_symbol s = slice("s", var("x"));
    const tn_symbol third = tn_output(bench.g, s, 2);
    TN_CHECK_NAMES(tn_outputs(bench.g, third), "s_output2");
    TN_CHECK_STR(tn_symbol_name(bench.g, third), "s");
    check_refused(tn_output(bench.g, s, 3), TN_E_INVALID,
                  "output 3: the symbol has 3, counted from 0");
    check_refused(tn_output(bench.g, third, 1), TN_E_INVALID, "output 1: the symbol has 1");
}

static void outputs_are_found_by_name(void)
{
    const tn_symbol x = var("x");
    const tn_symbol fc = FC("fc1", x);
    const tn_symbol all = tn_internals(bench.g, tn_group(bench.g, TN_SYMS(fc, slice("s", fc))));
    CU_ASSERT_TRUE(same(tn_output_named(bench.g, all, "fc1_output"), fc));
    CU_ASSERT_TRUE(same(tn_output_named(bench.g, all, "fc1"), fc));
    CU_ASSERT_TRUE(same(tn_output_named(bench.g, all, "x"), x));
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_output_named(bench.g, all, "s_output1")), "s_output1");
    TN_CHECK_GRAPH();
    check_refused(tn_output_named(bench.g, all, "fc1_ouput"), TN_E_NOT_FOUND,
                  "no output is named fc1_ouput — did you mean fc1_output");
    check_refused(tn_output_named(bench.g, all, "s"), TN_E_NOT_FOUND, "no output is named s");
    check_refused(tn_output_named(bench.g, all, NULL), TN_E_INVALID, "NULL is no name");
}

static void an_ambiguous_name_is_an_error(void)
{
    const tn_symbol x = var("x");
    const tn_symbol y = tn_symbol_copy(bench.g, bench.g, x);
    const tn_symbol group = tn_group(bench.g, TN_SYMS(x, y));
    check_refused(tn_output_named(bench.g, group, "x"), TN_E_EXISTS, "two outputs are named x (");
    // One output twice is not ambiguous.
    const tn_symbol twice = tn_group(bench.g, TN_SYMS(x, x));
    CU_ASSERT_TRUE(same(tn_output_named(bench.g, twice, "x"), x));
}

// A lookup leaves no names behind: graphs are asked for internals in loops.
static void lookups_keep_no_memory(void)
{
    const tn_symbol all = tn_internals(bench.g, FC("fc", var("x")));
    const size_t before = bench.g->arena.used;
    for (int i = 0; i < 1000; i++) tn_output_named(bench.g, all, "fc_weight");
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(bench.g->arena.used, before);
}

// ------------------------------------------------------------------ printing

// The text without the places, which change with this file.
static const char *without_places(const char *text)
{
    static char out[2048];
    char *o = out;
    for (const char *s = text ? text : ""; *s;) {
        const char *end = strchr(s, '\n'), *place = strstr(s, "  tests/");
        if (!place || place > end) place = strstr(s, "  /");
        const char *stop = place && place < end ? place : end;
        memcpy(o, s, (size_t)(stop - s));
        o += stop - s;
        *o++ = '\n';
        s = end + 1;
    }
    *o = 0;
    return out;
}

static void a_symbol_prints_one_line_a_node(void)
{
    const tn_symbol data = tn_variable(bench.g, "data", .shape = TN_DIMS(8, 4));
    const tn_symbol fc = FC("fc1", data);
    const tn_symbol s = slice("s", fc);
    const tn_symbol sum = tn_add(bench.g, tn_output(bench.g, s, 0), tn_output(bench.g, s, 2));
    const tn_symbol net = tn_call(bench.g, "Reshape", .name = "r", .inputs = TN_SYMS(sum),
                                  .params = TN_ATTRS({"shape", "(2, -1)"}));
    const char *text = tn_symbol_text(bench.g, net);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(without_places(text), "%1 = variable __shape__=(8, 4)  \"data\"\n"
                                       "%2 = variable  \"fc1_weight\"\n"
                                       "%3 = variable  \"fc1_bias\"\n"
                                       "%4 = FullyConnected(%1, %2, %3) num_hidden=2  \"fc1\"\n"
                                       "%5 = SliceChannel(%4) num_outputs=3  \"s\"\n"
                                       "%6 = elemwise_add(%5.0, %5.2)  \"_plus0\"\n"
                                       "%7 = Reshape(%6) shape=(2, -1)  \"r\"\n");
    TN_CHECK_HAS(text, "test_query.c:");
}

TN_TEST_MAIN({"a group has all outputs of its members", a_group_has_all_outputs_of_its_members},
             {"a group of one is that one", a_group_of_one_is_that_one},
             {"a group is no single input", a_group_is_no_single_input},
             {"internals are all visible outputs in order",
              internals_are_all_visible_outputs_in_order},
             {"children are the inputs of the heads", children_are_the_inputs_of_the_heads},
             {"nodes are shared with what they were taken from",
              nodes_are_shared_with_what_they_were_taken_from},
             {"outputs are found by number", outputs_are_found_by_number},
             {"outputs are found by name", outputs_are_found_by_name},
             {"an ambiguous name is an error", an_ambiguous_name_is_an_error},
             {"lookups keep no memory", lookups_keep_no_memory},
             {"a symbol prints one line a node", a_symbol_prints_one_line_a_node})
