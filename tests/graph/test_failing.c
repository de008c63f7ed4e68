// tests/graph/test_failing.c: the text of errors, and that a failed call changes nothing.
#include <string.h>

#include "core/graph/graph.h"
#include "tests/tn_test.h"

#define CALL(op, ...) tn_call(bench.g, op, __VA_ARGS__)

// What a failed call may not change.
typedef struct state {
    size_t nodes, values, variables, operators, memory;
} state;

static state now(void)
{
    const tn_graph *g = bench.g;
    return (state){g->n_nodes, g->n_values, g->variables.n, g->operators.n, g->arena.used};
}

static state before;

// The call failed here with this text behind the place, and left nothing.
static void check_refused(tn_symbol s, tn_status status, const char *text)
{
    const char *error = tn_graph_error(bench.g), *behind = strstr(error, ": ");
    CU_ASSERT_EQUAL(s.node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), status);
    CU_ASSERT_EQUAL(strncmp(error, __FILE__ ":", sizeof __FILE__), 0);
    TN_CHECK_STR(behind ? behind + 2 : error, text);
    const state after = now();
    CU_ASSERT_EQUAL(memcmp(&before, &after, sizeof after), 0);
    tn_graph_forgive(bench.g);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_OK);
    TN_CHECK_STR(tn_graph_error(bench.g), "");
}
#define REFUSED(call, status, text)              \
    do {                                         \
        before = now();                          \
        check_refused((call), (status), (text)); \
    } while (0)

static void wrong_calls_say_who_what_and_where(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    REFUSED(CALL("FullyConected", .name = "fc"), TN_E_NOT_FOUND,
            "no operator FullyConected — did you mean FullyConnected?");
    REFUSED(CALL("FullyConnected", .name = "fc", .inputs = TN_SYMS(x)), TN_E_INVALID,
            "fc (FullyConnected): num_hidden: required (an integer in [1,))");
    REFUSED(CALL("FullyConnected", .name = "fc", .params = TN_ATTRS({"num_hidden", "0"})),
            TN_E_INVALID, "fc (FullyConnected): num_hidden: 0 is outside [1,)");
    REFUSED(CALL("FullyConnected", .params = TN_ATTRS({"num_hidden", "ten"})), TN_E_INVALID,
            "FullyConnected: num_hidden: 'ten' is no integer");
    REFUSED(CALL("FullyConnected", .name = "fc", .params = TN_ATTRS({"num_hiden", "1"})),
            TN_E_INVALID, "fc (FullyConnected): no parameter num_hiden — did you mean num_hidden?");
    REFUSED(CALL("Activation", .name = "a", .inputs = TN_SYMS(x),
                 .params = TN_ATTRS({"act_type", "rely"})),
            TN_E_INVALID,
            "a (Activation): act_type: 'rely' is none of relu, sigmoid, tanh, "
            "softrelu, softsign, softplus, gelu, gelu_tanh, silu, mish, hard_sigmoid, hard_swish "
            "— did you mean relu, gelu?");
    REFUSED(CALL("Flatten", .name = "", .inputs = TN_SYMS(x)), TN_E_INVALID,
            "Flatten: name: empty");
    REFUSED(CALL("Flatten", .params = TN_ATTRS({"a", NULL})), TN_E_INVALID,
            "Flatten: parameter a: no value");
    REFUSED(CALL("Flatten", .attrs = TN_ATTRS({"mood", "1"})), TN_E_INVALID,
            "Flatten: attribute mood: a key starts and ends with __, as in __mood__");
}

static void wrong_inputs_are_named(void)
{
    const tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(bench.g, "y");
    const tn_attrs two = TN_ATTRS({"num_hidden", "2"});
    REFUSED(CALL("FullyConnected", .name = "fc", .inputs = TN_SYMS(x, y, x, y), .params = two),
            TN_E_INVALID, "fc (FullyConnected): 4 inputs given, it takes 3 (data, weight, bias)");
    REFUSED(CALL("FullyConnected", .name = "fc", .named = TN_NAMED({"wieght", y}), .params = two),
            TN_E_INVALID, "fc (FullyConnected): no input wieght — did you mean weight?");
    REFUSED(CALL("FullyConnected", .name = "fc", .named = TN_NAMED({"data", x}, {"data", y}),
                 .params = two),
            TN_E_INVALID, "fc (FullyConnected): data: given twice");
    REFUSED(CALL("FullyConnected", .name = "fc", .named = TN_NAMED({"bias", x}),
                 .params = TN_ATTRS({"num_hidden", "2"}, {"no_bias", "1"})),
            TN_E_INVALID,
            "fc (FullyConnected): bias: given, but with these parameters the operator "
            "has no such input (it has it if !no_bias)");
    REFUSED(
        CALL("FullyConnected", .inputs = TN_SYMS(x), .named = TN_NAMED({"bias", x}), .params = two),
        TN_E_INVALID, "FullyConnected: inputs by place or by name, not both");
    REFUSED(CALL("Concat", .name = "c", .inputs = TN_SYMS(x, y, x),
                 .params = TN_ATTRS({"num_args", "2"})),
            TN_E_INVALID, "c (Concat): 3 inputs given, it takes 2 (arg0, arg1)");
    REFUSED(CALL("Concat", .name = "c", .named = TN_NAMED({"arg7", x}),
                 .params = TN_ATTRS({"num_args", "2"})),
            TN_E_INVALID, "c (Concat): arg7: given, but num_args is 2");
    REFUSED(CALL("Flatten", .name = "f", .named = TN_NAMED({NULL, x})), TN_E_INVALID,
            "f (Flatten): an input without a name");
    // Data where a symbol is wanted: apache/mxnet#5571 said only "Cannot find argument 'label'".
    REFUSED(CALL("SoftmaxOutput", .name = "o", .params = TN_ATTRS({"label", "[1, 0]"})),
            TN_E_INVALID,
            "o (SoftmaxOutput): label is an input, not a parameter: give it a symbol");
}

static void symbols_of_elsewhere_are_refused(void)
{
    tn_graph *other = tn_graph_new(bench.env);
    const tn_symbol foreign = tn_variable(other, "x");
    const tn_symbol x = tn_variable(bench.g, "x");
    REFUSED(CALL("Flatten", .name = "f", .inputs = TN_SYMS(foreign)), TN_E_INVALID,
            "f (Flatten): data: this symbol belongs to another graph");
    const tn_symbol beyond = {99, 0, x.graph}, far_output = {x.node, 7, x.graph};
    REFUSED(CALL("Flatten", .name = "f", .inputs = TN_SYMS(beyond)), TN_E_INVALID,
            "f (Flatten): data: node 99 does not exist, the graph has 1");
    REFUSED(CALL("Flatten", .name = "f", .inputs = TN_SYMS(far_output)), TN_E_INVALID,
            "f (Flatten): data: x has no output 7, it has 1");
    before = now();
    CU_ASSERT_EQUAL(tn_arguments(bench.g, foreign).n, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);
    tn_graph_free(other);
}

static void taken_names_are_named_with_their_place(void)
{
    char text[512];
    const int first = __LINE__ + 1;
    const tn_symbol x = tn_variable(bench.g, "x");
    snprintf(text, sizeof text, "variable: a variable x exists already (%s:%d)", __FILE__, first);
    REFUSED(tn_variable(bench.g, "x"), TN_E_EXISTS, text);
    const int second = __LINE__ + 1;
    CALL("Flatten", .name = "f", .inputs = TN_SYMS(x));
    snprintf(text, sizeof text, "f (Flatten): an operator f exists already (%s:%d)", __FILE__,
             second);
    REFUSED(CALL("Flatten", .name = "f", .inputs = TN_SYMS(x)), TN_E_EXISTS, text);
    const int third = __LINE__ + 1;
    tn_variable(bench.g, "fc_bias");
    snprintf(text, sizeof text,
             "fc (FullyConnected): bias: not given, and a variable fc_bias exists already (%s:%d)",
             __FILE__, third);
    REFUSED(CALL("FullyConnected", .name = "fc", .inputs = TN_SYMS(x),
                 .params = TN_ATTRS({"num_hidden", "2"})),
            TN_E_EXISTS, text);
    // What the failed call had made before it failed is gone: its names are free.
    tn_variable(bench.g, "fc_weight");
    TN_CHECK_GRAPH();
}

static void the_place_is_that_of_the_call(void)
{
    char place[256];
    const int line = __LINE__ + 1;
    tn_variable(bench.g, NULL);
    snprintf(place, sizeof place, "%s:%d: variable: name: required", __FILE__, line);
    TN_CHECK_STR(tn_graph_error(bench.g), place);
    tn_graph_forgive(bench.g);
    // Callers without the macros give their own place, or none.
    tn_graph_at(bench.g, "model.py", 7);
    (tn_arguments)(bench.g, TN_NONE);
    TN_CHECK_STR(tn_graph_error(bench.g), "model.py:7: symbol: no symbol (TN_NONE)");
    tn_graph_forgive(bench.g);
    tn_graph_at(bench.g, NULL, 0);
    (tn_arguments)(bench.g, TN_NONE);
    TN_CHECK_STR(tn_graph_error(bench.g), "symbol: no symbol (TN_NONE)");
}

static void errors_stick_until_forgiven(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    tn_variable(bench.g, "");
    const char *first = tn_graph_error(bench.g);
    TN_CHECK_HAS(first, "variable: name: required");
    CU_ASSERT_EQUAL(tn_variable(bench.g, "y").node, 0);
    CU_ASSERT_EQUAL(CALL("NoSuch", .inputs = TN_SYMS(x)).node, 0);
    CU_ASSERT_EQUAL(tn_arguments(bench.g, x).n, 0);
    CU_ASSERT_EQUAL(tn_outputs(bench.g, x).n, 0);
    CU_ASSERT_EQUAL(tn_internals(bench.g, x).node, 0);
    CU_ASSERT_EQUAL(tn_children(bench.g, x).node, 0);
    CU_ASSERT_EQUAL(tn_group(bench.g, TN_SYMS(x)).node, 0);
    CU_ASSERT_EQUAL(tn_compose(bench.g, x, NULL, TN_NAMED({"x", x})).node, 0);
    CU_ASSERT_EQUAL(tn_symbol_copy(bench.g, bench.g, x).node, 0);
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, x, "__a__", "1"), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_prefix_push(bench.g, "p"), TN_E_INVALID);
    CU_ASSERT_PTR_NULL(tn_attr_get(bench.g, x, "name"));
    CU_ASSERT_PTR_NULL(tn_symbol_text(bench.g, x));
    CU_ASSERT_EQUAL(tn_attr_list(bench.g, x).n, 0);
    CU_ASSERT_EQUAL(tn_attr_dict(bench.g, x).n, 0);
    CU_ASSERT_PTR_EQUAL(tn_graph_error(bench.g), first);
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), 1);
    tn_graph_forgive(bench.g);
    CU_ASSERT_EQUAL(tn_variable(bench.g, "y").node, 2);
}

static void nothing_happens_without_a_graph(void)
{
    CU_ASSERT_EQUAL(tn_variable((tn_graph *)NULL, "x").node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(NULL), TN_E_NOMEM);
    TN_CHECK_STR(tn_graph_error(NULL), "out of memory");
    CU_ASSERT_EQUAL(tn_arguments((tn_graph *)NULL, TN_NONE).n, 0);
    CU_ASSERT_EQUAL(tn_prefix_pop((tn_graph *)NULL), TN_E_NOMEM);
    tn_graph_forgive(NULL);
    tn_graph_free(NULL);
}

// Each failing call stands between two that work; the graph is as if it had never been.
static void a_thousand_failures_leave_no_trace(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    before = now();
    for (int i = 0; i < 1000; i++) {
        CALL("FullyConnected", .inputs = TN_SYMS(x),
             .params = TN_ATTRS({"num_hidden", "2"}, {"no_such", "1"}));
        tn_graph_forgive(bench.g);
        CALL("Flatten", .named = TN_NAMED({"data", x}, {"dat", x}));
        tn_graph_forgive(bench.g);
    }
    const state after = now();
    CU_ASSERT_EQUAL(memcmp(&before, &after, sizeof after), 0);
    TN_CHECK_STR(tn_symbol_name(bench.g, CALL("Flatten", .inputs = TN_SYMS(x))), "flatten0");
}

TN_TEST_MAIN({"wrong calls say who, what and where", wrong_calls_say_who_what_and_where},
             {"wrong inputs are named", wrong_inputs_are_named},
             {"symbols of elsewhere are refused", symbols_of_elsewhere_are_refused},
             {"taken names are named with their place", taken_names_are_named_with_their_place},
             {"the place is that of the call", the_place_is_that_of_the_call},
             {"errors stick until forgiven", errors_stick_until_forgiven},
             {"nothing happens without a graph", nothing_happens_without_a_graph},
             {"a thousand failures leave no trace", a_thousand_failures_leave_no_trace})
