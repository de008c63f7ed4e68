// tests/graph/test_naming.c: names of operators, of the variables made for them, of outputs.
#include "tests/tn_test.h"

#define FC(name_, n_, ...)                                                              \
    tn_call(bench.g, "FullyConnected", .name = (name_), .inputs = TN_SYMS(__VA_ARGS__), \
            .params = TN_ATTRS({"num_hidden", (n_)}))
#define CALL(op, ...) tn_call(bench.g, op, .inputs = TN_SYMS(__VA_ARGS__))

static const char *name_of(tn_symbol s)
{
    return tn_symbol_name(bench.g, s);
}

// ------------------------------------------------------------------ the tutorial's lists

static void a_network_lists_its_arguments(void)
{
    tn_symbol net = tn_variable(bench.g, "data");
    net = FC("fc1", "128", net);
    net = tn_call(bench.g, "Activation", .name = "relu1", .inputs = TN_SYMS(net),
                  .params = TN_ATTRS({"act_type", "relu"}));
    net = FC("fc2", "64", net);
    net = tn_call(bench.g, "SoftmaxOutput", .name = "out", .inputs = TN_SYMS(net));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net),
                   "data fc1_weight fc1_bias fc2_weight fc2_bias out_label");
    TN_CHECK_NAMES(tn_outputs(bench.g, net), "out_output");
    TN_CHECK_NAMES(tn_auxiliary_states(bench.g, net), "");
}

static void a_given_weight_keeps_its_name(void)
{
    const tn_symbol data = tn_variable(bench.g, "data");
    const tn_symbol weight = tn_variable(bench.g, "myweight");
    const tn_symbol net = tn_call(bench.g, "FullyConnected", .name = "fc1",
                                  .named = TN_NAMED({"weight", weight}, {"data", data}),
                                  .params = TN_ATTRS({"num_hidden", "128"}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net), "data myweight fc1_bias");
}

static void a_sum_lists_both_sides(void)
{
    const tn_symbol lhs = tn_variable(bench.g, "data1");
    const tn_symbol rhs = FC("fc1", "128", tn_variable(bench.g, "data2"));
    const tn_symbol net = tn_add(bench.g, lhs, rhs);
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net), "data1 data2 fc1_weight fc1_bias");
    TN_CHECK_NAMES(tn_outputs(bench.g, net), "_plus0_output");
}

static void a_composed_network_lists_the_inner_one_first(void)
{
    const tn_symbol net = FC("fc1", "10", tn_variable(bench.g, "data"));
    const tn_symbol net2 = FC("net2", "10", tn_variable(bench.g, "data2"));
    const tn_symbol composed = tn_compose(bench.g, net, "compose", TN_NAMED({"data", net2}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, composed),
                   "data2 net2_weight net2_bias fc1_weight fc1_bias");
    TN_CHECK_NAMES(tn_outputs(bench.g, composed), "compose_output");
    TN_CHECK_NAMES(tn_arguments(bench.g, net), "data fc1_weight fc1_bias");
}

// ------------------------------------------------------------------ automatic inputs

static void every_missing_input_is_made(void)
{
    const tn_symbol net =
        tn_call(bench.g, "FullyConnected", .name = "fc3", .params = TN_ATTRS({"num_hidden", "2"}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net), "fc3_data fc3_weight fc3_bias");
}

static void a_none_asks_for_the_default(void)
{
    const tn_symbol bias = tn_variable(bench.g, "b");
    const tn_symbol net = FC("fc", "2", TN_NONE, TN_NONE, bias);
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net), "fc_data fc_weight b");
    const tn_symbol named = tn_call(bench.g, "FullyConnected", .name = "fc2",
                                    .named = TN_NAMED({"weight", TN_NONE}, {"bias", bias}),
                                    .params = TN_ATTRS({"num_hidden", "2"}));
    TN_CHECK_NAMES(tn_arguments(bench.g, named), "fc2_data fc2_weight b");
}

static void an_absent_input_is_not_made(void)
{
    const tn_symbol net = tn_call(bench.g, "FullyConnected", .name = "fc",
                                  .params = TN_ATTRS({"num_hidden", "2"}, {"no_bias", "True"}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net), "fc_data fc_weight");
}

static void made_variables_carry_the_operators_attributes(void)
{
    const tn_symbol net =
        tn_call(bench.g, "FullyConnected", .name = "fc", .params = TN_ATTRS({"num_hidden", "2"}),
                .attrs = TN_ATTRS({"__mood__", "calm"}, {"lr_mult", "0.5"}));
    const tn_symbol weight = tn_output_named(bench.g, tn_internals(bench.g, net), "fc_weight");
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_attr_get(bench.g, weight, "num_hidden"), "2");
    TN_CHECK_STR(tn_attr_get(bench.g, weight, "__mood__"), "calm");
    TN_CHECK_STR(tn_attr_get(bench.g, weight, "__lr_mult__"), "0.5");
}

static void given_variables_keep_their_own_attributes(void)
{
    const tn_symbol data = tn_variable(bench.g, "data", .attrs = TN_ATTRS({"__mood__", "angry"}));
    tn_call(bench.g, "FullyConnected", .name = "fc", .inputs = TN_SYMS(data),
            .params = TN_ATTRS({"num_hidden", "2"}), .attrs = TN_ATTRS({"__mood__", "calm"}));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_attr_get(bench.g, data, "__mood__"), "angry");
    TN_CHECK_STR(tn_attr_get(bench.g, data, "num_hidden"), NULL);
}

static void variadic_inputs_are_numbered(void)
{
    const tn_symbol a = tn_variable(bench.g, "a"), b = tn_variable(bench.g, "b");
    const tn_symbol two = tn_call(bench.g, "Concat", .name = "c", .inputs = TN_SYMS(a, b));
    const tn_symbol three = tn_call(bench.g, "Concat", .name = "d", .inputs = TN_SYMS(a),
                                    .params = TN_ATTRS({"num_args", "3"}));
    const tn_symbol named =
        tn_call(bench.g, "Concat", .name = "e", .named = TN_NAMED({"arg1", a}, {"arg0", b}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, two), "a b");
    TN_CHECK_STR(tn_attr_get(bench.g, two, "num_args"), "2");
    TN_CHECK_NAMES(tn_arguments(bench.g, three), "a d_arg1 d_arg2");
    TN_CHECK_NAMES(tn_arguments(bench.g, named), "b a");
}

static void auxiliary_states_are_listed_apart(void)
{
    const tn_symbol w = tn_variable(bench.g, "w"), dw = tn_variable(bench.g, "dw");
    const tn_symbol net = tn_call(bench.g, "sgd_mom_update", .name = "step",
                                  .inputs = TN_SYMS(w, dw), .params = TN_ATTRS({"lr", "0.1"}));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net), "w dw");
    TN_CHECK_NAMES(tn_auxiliary_states(bench.g, net), "step_mom");
    TN_CHECK_NAMES(tn_inputs(bench.g, net), "w dw step_mom");
}

// ------------------------------------------------------------------ automatic names

static void automatic_names_count_per_hint(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    TN_CHECK_STR(name_of(FC(NULL, "2", x)), "fullyconnected0");
    TN_CHECK_STR(name_of(FC(NULL, "2", x)), "fullyconnected1");
    TN_CHECK_STR(name_of(CALL("Flatten", x)), "flatten0");
    TN_CHECK_STR(name_of(CALL("softmax", x)), "softmax0");
    TN_CHECK_STR(name_of(CALL("SoftmaxOutput", x)), "softmaxoutput0");
}

// The hint is the spelling of the caller, so an alias counts; softmax and Softmax share one.
static void an_alias_gives_its_own_names(void)
{
    const tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(bench.g, "y");
    TN_CHECK_STR(name_of(CALL("elemwise_add", x, y)), "elemwise_add0");
    TN_CHECK_STR(name_of(CALL("_Plus", x, y)), "_plus0");
    TN_CHECK_STR(name_of(tn_add(bench.g, x, y)), "_plus1");
    const tn_symbol s = CALL("_Plus", x, y);
    TN_CHECK_STR(tn_symbol_op(bench.g, s), "elemwise_add");
    TN_CHECK_STR(name_of(CALL("softmax", x)), "softmax0");
    TN_CHECK_STR(name_of(CALL("Softmax", x)), "softmax1");
    TN_CHECK_GRAPH();
}

static void automatic_names_avoid_given_ones(void)
{
    const tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(bench.g, "y");
    tn_call(bench.g, "_mul", .name = "_plus0", .inputs = TN_SYMS(x, y));
    TN_CHECK_STR(name_of(tn_add(bench.g, x, y)), "_plus1");
    TN_CHECK_STR(name_of(tn_add(bench.g, x, y)), "_plus2");
    TN_CHECK_GRAPH();
}

// apache/mxnet#14741: a loaded graph and a new "+" had two _plus0.
static void automatic_names_avoid_loaded_ones(void)
{
    static const char json[] =
        "{\"nodes\": [{\"op\": \"null\", \"name\": \"a\", \"inputs\": []},"
        "{\"op\": \"elemwise_add\", \"name\": \"_plus0\", \"inputs\": [[0, 0, 0], [0, 0, 0]]}],"
        "\"arg_nodes\": [0], \"heads\": [[1, 0, 0]]}";
    const tn_symbol loaded = tn_symbol_parse(bench.g, json, sizeof json - 1);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(name_of(loaded), "_plus0");
    TN_CHECK_STR(name_of(tn_add(bench.g, loaded, loaded)), "_plus1");
}

// The variables of an automatically named operator must have free names as well.
static void automatic_names_avoid_variables_of_inputs(void)
{
    const tn_symbol w = tn_variable(bench.g, "fullyconnected0_weight");
    TN_CHECK_STR(name_of(FC(NULL, "2", w)), "fullyconnected1");
    TN_CHECK_GRAPH();
    // Given as the weight it is in nobody's way.
    const tn_symbol x = tn_variable(bench.g, "x"), b = tn_variable(bench.g, "softmax0_data");
    TN_CHECK_STR(name_of(CALL("softmax", b)), "softmax0");
    TN_CHECK_STR(name_of(CALL("softmax", x)), "softmax1");
}

static void a_failed_call_uses_up_no_number(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    FC(NULL, "2", x);
    FC(NULL, "two", x);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);
    tn_graph_forgive(bench.g);
    TN_CHECK_STR(name_of(FC(NULL, "2", x)), "fullyconnected1");
}

// ------------------------------------------------------------------ outputs

static void outputs_are_named_after_their_node(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    const tn_symbol slice = tn_call(bench.g, "SliceChannel", .name = "slice", .inputs = TN_SYMS(x),
                                    .params = TN_ATTRS({"num_outputs", "3"}));
    const tn_symbol drop = tn_call(bench.g, "Dropout", .name = "drop", .inputs = TN_SYMS(x));
    const tn_symbol make = tn_call(bench.g, "MakeLoss", .name = "l1", .inputs = TN_SYMS(x));
    const tn_symbol loss = tn_call(bench.g, "make_loss", .name = "l2", .inputs = TN_SYMS(x));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_outputs(bench.g, x), "x");
    TN_CHECK_NAMES(tn_outputs(bench.g, slice), "slice_output0 slice_output1 slice_output2");
    TN_CHECK_NAMES(tn_outputs(bench.g, drop), "drop_output");
    TN_CHECK_NAMES(tn_outputs(bench.g, make), "l1_output");
    TN_CHECK_NAMES(tn_outputs(bench.g, loss), "l2_loss");
}

// A variable and an operator may share a name, as in MXNet.
static void variables_and_operators_have_their_own_names(void)
{
    const tn_symbol x = tn_variable(bench.g, "same");
    const tn_symbol y = tn_call(bench.g, "Flatten", .name = "same", .inputs = TN_SYMS(x));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_internals(bench.g, y)), "same same_output");
}

TN_TEST_MAIN(
    {"a network lists its arguments", a_network_lists_its_arguments},
    {"a given weight keeps its name", a_given_weight_keeps_its_name},
    {"a sum lists both sides", a_sum_lists_both_sides},
    {"a composed network lists the inner one first", a_composed_network_lists_the_inner_one_first},
    {"every missing input is made", every_missing_input_is_made},
    {"a none asks for the default", a_none_asks_for_the_default},
    {"an absent input is not made", an_absent_input_is_not_made},
    {"made variables carry the operator's attributes",
     made_variables_carry_the_operators_attributes},
    {"given variables keep their own attributes", given_variables_keep_their_own_attributes},
    {"variadic inputs are numbered", variadic_inputs_are_numbered},
    {"auxiliary states are listed apart", auxiliary_states_are_listed_apart},
    {"automatic names count per hint", automatic_names_count_per_hint},
    {"an alias gives its own names", an_alias_gives_its_own_names},
    {"automatic names avoid given ones", automatic_names_avoid_given_ones},
    {"automatic names avoid loaded ones", automatic_names_avoid_loaded_ones},
    {"automatic names avoid variables of inputs", automatic_names_avoid_variables_of_inputs},
    {"a failed call uses up no number", a_failed_call_uses_up_no_number},
    {"outputs are named after their node", outputs_are_named_after_their_node},
    {"variables and operators have their own names", variables_and_operators_have_their_own_names})
