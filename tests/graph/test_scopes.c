// tests/graph/test_scopes.c: prefixes, attribute scopes, attributes and hidden keys.
#include "tests/tn_test.h"

#define FC(name_, x)                                                          \
    tn_call(bench.g, "FullyConnected", .name = (name_), .inputs = TN_SYMS(x), \
            .params = TN_ATTRS({"num_hidden", "2"}))

static const char *get(tn_symbol s, const char *key)
{
    return tn_attr_get(bench.g, s, key);
}

// ------------------------------------------------------------------ prefixes

static void a_prefix_stands_before_operators(void)
{
    tn_prefix_push(bench.g, "mynet_");
    const tn_symbol data = tn_variable(bench.g, "data");
    const tn_symbol net = FC("fc1", data);
    tn_prefix_pop(bench.g);
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net), "data mynet_fc1_weight mynet_fc1_bias");
    TN_CHECK_NAMES(tn_outputs(bench.g, net), "mynet_fc1_output");
}

static void prefixes_join_and_count_from_zero(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    TN_CHECK_STR(tn_symbol_name(bench.g, FC(NULL, x)), "fullyconnected0");
    tn_prefix_push(bench.g, "a_");
    TN_CHECK_STR(tn_symbol_name(bench.g, FC(NULL, x)), "a_fullyconnected0");
    tn_prefix_push(bench.g, "b_");
    TN_CHECK_STR(tn_symbol_name(bench.g, FC(NULL, x)), "a_b_fullyconnected0");
    TN_CHECK_STR(tn_symbol_name(bench.g, tn_mul(bench.g, x, 2)), "a_b__mulscalar0");
    tn_prefix_pop(bench.g);
    TN_CHECK_STR(tn_symbol_name(bench.g, FC(NULL, x)), "a_fullyconnected1");
    tn_prefix_pop(bench.g);
    TN_CHECK_STR(tn_symbol_name(bench.g, FC(NULL, x)), "fullyconnected1");
    TN_CHECK_GRAPH();
}

static void a_prefix_used_again_goes_on(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    for (int i = 0; i < 2; i++) {
        tn_prefix_push(bench.g, "a_");
        TN_CHECK_STR(tn_symbol_name(bench.g, FC(NULL, x)),
                     i ? "a_fullyconnected1" : "a_fullyconnected0");
        tn_prefix_pop(bench.g);
    }
    TN_CHECK_GRAPH();
}

static void scopes_close_in_order(void)
{
    CU_ASSERT_EQUAL(tn_prefix_pop(bench.g), TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g), "no prefix is open");
    tn_graph_forgive(bench.g);
    tn_prefix_push(bench.g, "p_");
    CU_ASSERT_EQUAL(tn_attr_scope_pop(bench.g), TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g), "the innermost scope is no attribute scope but a prefix");
    TN_CHECK_HAS(tn_graph_error(bench.g), "test_scopes.c:");
    tn_graph_forgive(bench.g);
    CU_ASSERT_EQUAL(tn_prefix_pop(bench.g), TN_OK);
}

// ------------------------------------------------------------------ attribute scopes

static void a_scope_gives_attributes_to_all(void)
{
    tn_attr_scope_push(bench.g, TN_ATTRS({"__group__", "4"}, {"__data__", "great"}));
    const tn_symbol data = tn_variable(bench.g, "data");
    const tn_symbol fc1 = FC("fc1", data);
    tn_attr_scope_push(bench.g, TN_ATTRS({"__init_bias__", "0.0"}, {"__group__", "5"}));
    const tn_symbol fc2 = FC("fc2", fc1);
    const tn_symbol own = tn_variable(bench.g, "own", .attrs = TN_ATTRS({"__group__", "6"}));
    tn_attr_scope_pop(bench.g);
    tn_attr_scope_pop(bench.g);
    const tn_symbol after = tn_variable(bench.g, "after");
    TN_CHECK_GRAPH();
    TN_CHECK_STR(get(data, "__group__"), "4");
    TN_CHECK_STR(get(fc1, "__data__"), "great");
    TN_CHECK_STR(get(fc2, "__data__"), "great");
    TN_CHECK_STR(get(fc2, "__init_bias__"), "0.0");
    TN_CHECK_STR(get(fc2, "__group__"), "5");
    TN_CHECK_STR(get(fc1, "__init_bias__"), NULL);
    TN_CHECK_STR(get(own, "__group__"), "6");
    TN_CHECK_STR(get(after, "__group__"), NULL);
    const tn_symbol weight = tn_output_named(bench.g, tn_internals(bench.g, fc2), "fc2_weight");
    TN_CHECK_STR(get(weight, "__group__"), "5");
}

static void a_scope_refuses_plain_keys(void)
{
    CU_ASSERT_EQUAL(tn_attr_scope_push(bench.g, TN_ATTRS({"__a__", "1"}, {"mood", "2"})),
                    TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g),
                 "attribute mood: a key starts and ends with __, as in __mood__");
    tn_graph_forgive(bench.g);
    const tn_symbol x = tn_variable(bench.g, "x");
    TN_CHECK_STR(get(x, "__a__"), NULL);
}

// ------------------------------------------------------------------ variables

static void what_is_known_of_a_variable_is_kept_as_mxnet_does(void)
{
    const tn_symbol w =
        tn_variable(bench.g, "w", .shape = TN_DIMS(64, -1), .dtype = TN_F64, .lr_mult = TN_SET(2.0),
                    .wd_mult = TN_SET(0.0), .init = "[\"normal\", {\"sigma\": 0.5}]");
    const tn_symbol v = tn_variable(bench.g, "v", .shape = TN_DIMS(5));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(get(w, "__shape__"), "(64, 0)");
    TN_CHECK_STR(get(w, "__dtype__"), "1");
    TN_CHECK_STR(get(w, "__lr_mult__"), "2");
    TN_CHECK_STR(get(w, "__wd_mult__"), "0");
    TN_CHECK_STR(get(w, "__init__"), "[\"normal\", {\"sigma\": 0.5}]");
    TN_CHECK_STR(get(v, "__shape__"), "(5,)");
    TN_CHECK_STR(get(v, "__lr_mult__"), NULL);
}

static void check_refused(tn_symbol s, tn_status status, const char *part)
{
    CU_ASSERT_EQUAL(s.node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), status);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), 0);
    tn_graph_forgive(bench.g);
}

static void bad_variables_are_refused(void)
{
    tn_graph *g = bench.g;
    check_refused(tn_variable(g, NULL), TN_E_INVALID, "variable: name: required");
    check_refused(tn_variable(g, ""), TN_E_INVALID, "variable: name: required");
    check_refused(tn_variable(g, "x", .attrs = TN_ATTRS({"lr_mul", "1"})), TN_E_INVALID,
                  "x: attribute lr_mul: a key starts and ends with __, as in __lr_mul__"
                  " — did you mean lr_mult?");
    check_refused(tn_variable(g, "x", .attrs = TN_ATTRS({"__a__", NULL})), TN_E_INVALID,
                  "x: attribute __a__: no value");
    check_refused(tn_variable(g, "x", .shape = TN_DIMS(2, -2)), TN_E_INVALID, "extent -2");
    check_refused(tn_variable(g, "x", .shape = TN_DIMS(2, 0)), TN_E_INVALID, "extent 0");
    check_refused(tn_variable(g, "x", .shape = TN_SCALAR), TN_E_INVALID, "0 axes");
    check_refused(tn_variable(g, "x", .dtype = 99), TN_E_INVALID, "x: dtype: 99 is none");
    check_refused(tn_variable(g, "x", .attrs = TN_ATTRS({"__shape__", "(2, x)"})), TN_E_INVALID,
                  "'(2, x)' is no shape");
    check_refused(tn_variable(g, "x", .attrs = TN_ATTRS({"__dtype__", "float32"})), TN_E_INVALID,
                  "'float32' is no type number");
}

// ------------------------------------------------------------------ hidden keys

static void hidden_keys_have_two_spellings(void)
{
    const tn_symbol x = tn_variable(bench.g, "x", .lr_mult = TN_SET(1.0),
                                    .attrs = TN_ATTRS({"force_mirroring", "True"}));
    TN_CHECK_STR(get(x, "lr_mult"), "1");
    TN_CHECK_STR(get(x, "__lr_mult__"), "1");
    TN_CHECK_STR(get(x, "force_mirroring"), "True");
    TN_CHECK_STR(get(x, "__force_mirroring__"), "True");
    TN_CHECK_STR(get(x, "ctx_group"), NULL);
    const tn_attrs all = tn_attr_list(bench.g, x);
    static const char *const keys[] = {"__force_mirroring__", "__lr_mult__", "force_mirroring",
                                       "lr_mult"};
    CU_ASSERT_EQUAL_FATAL(all.n, 4);
    for (size_t i = 0; i < 4; i++) TN_CHECK_STR(all.v[i].key, keys[i]);
}

static void hidden_keys_reach_the_parameters_of_an_operator(void)
{
    const tn_symbol data = tn_variable(bench.g, "data", .attrs = TN_ATTRS({"__mood__", "angry"}));
    const tn_symbol fc =
        tn_call(bench.g, "FullyConnected", .name = "fc", .inputs = TN_SYMS(data),
                .params = TN_ATTRS({"num_hidden", "1"}, {"lr_mult", "1"}, {"__mood__", "so so"}));
    TN_CHECK_GRAPH();
    const tn_attr_dict_result dict = tn_attr_dict(bench.g, fc);
    CU_ASSERT_EQUAL_FATAL(dict.n, 4);
    TN_CHECK_STR(dict.v[0].node, "data");
    CU_ASSERT_EQUAL(dict.v[0].attrs.n, 1);
    TN_CHECK_STR(dict.v[1].node, "fc_weight");
    TN_CHECK_STR(dict.v[3].node, "fc");
    for (size_t i = 1; i < 4; i++) {
        static const char *const wanted[][2] = {
            {"__lr_mult__", "1"}, {"__mood__", "so so"}, {"lr_mult", "1"}, {"num_hidden", "1"}};
        CU_ASSERT_EQUAL_FATAL(dict.v[i].attrs.n, 4);
        for (size_t k = 0; k < 4; k++) {
            TN_CHECK_STR(dict.v[i].attrs.v[k].key, wanted[k][0]);
            TN_CHECK_STR(dict.v[i].attrs.v[k].value, wanted[k][1]);
        }
    }
}

static void reserved_keys_tell_name_and_operator(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    const tn_symbol fc = FC("fc", x);
    TN_CHECK_STR(get(fc, "name"), "fc");
    TN_CHECK_STR(get(fc, "op_name"), "FullyConnected");
    TN_CHECK_STR(get(x, "op_name"), NULL);
    const tn_symbol both = tn_group(bench.g, TN_SYMS(x, fc));
    TN_CHECK_STR(get(both, "name"), NULL);
    TN_CHECK_GRAPH();
}

// ------------------------------------------------------------------ setting

static void attributes_are_set_through_any_symbol_of_the_node(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    const tn_symbol fc = FC("fc", x);
    const tn_symbol again = tn_output_named(bench.g, tn_internals(bench.g, fc), "fc_output");
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, again, "ctx_group", "dev1"), TN_OK);
    TN_CHECK_STR(get(fc, "__ctx_group__"), "dev1");
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, fc, "ctx_group", "dev2"), TN_OK);
    TN_CHECK_STR(get(again, "ctx_group"), "dev2");
}

static void parameters_are_parsed_anew(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    const tn_symbol fc = FC("fc", x);
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, fc, "num_hidden", "7"), TN_OK);
    TN_CHECK_STR(get(fc, "num_hidden"), "7");
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, fc, "num_hidden", "seven"), TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g), "fc (FullyConnected): num_hidden: 'seven' is no integer");
    tn_graph_forgive(bench.g);
    TN_CHECK_STR(get(fc, "num_hidden"), "7");
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, fc, "no_bias", "True"), TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g), "no_bias: 'True' would change its inputs or outputs");
    tn_graph_forgive(bench.g);
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, fc, "num_hiden", "3"), TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g), "did you mean num_hidden?");
    tn_graph_forgive(bench.g);
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, x, "mood", "3"), TN_E_INVALID);
}

static void names_are_attributes(void)
{
    const tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(bench.g, "y");
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, x, "name", "z"), TN_OK);
    TN_CHECK_STR(tn_symbol_name(bench.g, x), "z");
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, x, "name", "z"), TN_OK);
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, y, "name", "z"), TN_E_EXISTS);
    tn_graph_forgive(bench.g);
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, y, "name", ""), TN_E_INVALID);
    tn_graph_forgive(bench.g);
    tn_variable(bench.g, "x"); // the old name is free again
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(tn_attr_set(bench.g, tn_group(bench.g, TN_SYMS(x, y)), "__a__", "1"),
                    TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g), "__a__: a group has no attributes");
}

TN_TEST_MAIN({"a prefix stands before operators", a_prefix_stands_before_operators},
             {"prefixes join and count from zero", prefixes_join_and_count_from_zero},
             {"a prefix used again goes on", a_prefix_used_again_goes_on},
             {"scopes close in order", scopes_close_in_order},
             {"a scope gives attributes to all", a_scope_gives_attributes_to_all},
             {"a scope refuses plain keys", a_scope_refuses_plain_keys},
             {"what is known of a variable is kept as MXNet does",
              what_is_known_of_a_variable_is_kept_as_mxnet_does},
             {"bad variables are refused", bad_variables_are_refused},
             {"hidden keys have two spellings", hidden_keys_have_two_spellings},
             {"hidden keys reach the parameters of an operator",
              hidden_keys_reach_the_parameters_of_an_operator},
             {"reserved keys tell name and operator", reserved_keys_tell_name_and_operator},
             {"attributes are set through any symbol of the node",
              attributes_are_set_through_any_symbol_of_the_node},
             {"parameters are parsed anew", parameters_are_parsed_anew},
             {"names are attributes", names_are_attributes})
