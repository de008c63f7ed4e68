// tests/files/test_json_read.c: MXNet symbol files of 0.8 to 1.x: what is upgraded, what is
// refused.
#include <stdlib.h>
#include <string.h>

#include "tests/files/symbol_texts.h"

// ------------------------------------------------------------------ reading

static void heads_may_be_several_or_all_of_one_node(void)
{
    static const char slices[] =
        VAR("x") ", {\"op\": \"SliceChannel\", \"name\": \"s\", \"attrs\": "
                 "{\"num_outputs\": \"3\"}, \"inputs\": [[0, 0]]}";
    tn_graph *g = bench.g;
    tn_symbol all = parse(file_of(slices, "0", "[1, 0], [1, 1], [1, 2]", "10500"));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_symbol_name(g, all), "s");
    TN_CHECK_NAMES(tn_outputs(g, all), "s_output0 s_output1 s_output2");
    tn_symbol some = parse(file_of(slices, "0", "[1, 2], [0, 0], [1, 2, 0]", "10500"));
    TN_CHECK_STR(tn_symbol_name(g, some), NULL);
    TN_CHECK_NAMES(tn_outputs(g, some), "s_output2 x s_output2");
    tn_symbol last = parse(file_of(slices, "0", "[1, 2, 0]", "10500"));
    TN_CHECK_NAMES(tn_outputs(g, last), "s_output2");
}

static void nodes_without_use_are_left_out(void)
{
    tn_symbol x = parse(
        file_of(VAR("a") ", " VAR("b") ", " RELU("r", "[1, 0, 0]"), "0, 1", "[2, 0, 0]", "10500"));
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), 2);
    TN_CHECK_NAMES(tn_inputs(bench.g, x), "b");
}

static void parameters_stand_under_three_keys(void)
{
    // param is what 0.8 wrote, attr 0.9 to 0.12, attrs 1.x; an attribute wins over a parameter.
    static const char *const forms[] = {
        "\"param\": {\"act_type\": \"tanh\"}, \"attr\": {\"__x__\": \"1\"}",
        "\"attr\": {\"act_type\": \"tanh\", \"__x__\": \"1\"}, \"control_deps\": [0]",
        "\"attrs\": {\"act_type\": \"tanh\", \"__x__\": \"1\"}, \"control_deps\": []",
        "\"attr\": {\"act_type\": \"tanh\", \"__x__\": \"1\"}, \"backward_source_id\": -1",
        "\"param\": {\"act_type\": \"relu\"}, \"attr\": {\"act_type\": \"tanh\", \"__x__\": \"1\"}",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char nodes[512];
        snprintf(nodes, sizeof nodes,
                 VAR("v") ", {\"op\": \"Activation\", \"name\": \"r\", %s, \"inputs\": [[0, 0]]}",
                 forms[i]);
        tn_symbol x = parse(file_of(nodes, "0", "[1, 0]", "900"));
        TN_CHECK_GRAPH();
        TN_CHECK_STR(tn_attr_get(bench.g, x, "act_type"), "tanh");
        TN_CHECK_STR(tn_attr_get(bench.g, x, "__x__"), "1");
    }
}

static void hidden_keys_move_to_where_they_belong(void)
{
    static const char nodes[] =
        "{\"op\": \"null\", \"name\": \"w\", \"inputs\": [], \"attr\": {\"wd_mult\": \"3\", "
        "\"weight_lr_mult\": \"5\"}}, " VAR(
            "x") ", "
                 "{\"op\": \"FullyConnected\", \"name\": \"fc\", \"param\": {\"num_hidden\": "
                 "\"4\", "
                 "\"no_bias\": \"True\"}, \"attr\": {\"ctx_group\": \"g1\", \"weight_lr_mult\": "
                 "\"0.1\", "
                 "\"weight_wd_mult\": \"7\"}, \"inputs\": [[1, 0], [0, 0]]}";
    tn_symbol s = parse(file_of(nodes, "0, 1", "[2, 0]", "800"));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(attr_of(s, "fc", "__ctx_group__"), "g1");
    TN_CHECK_STR(attr_of(s, "fc", "weight_lr_mult"), NULL);
    TN_CHECK_STR(attr_of(s, "w", "__lr_mult__"), "0.1");
    TN_CHECK_STR(attr_of(s, "w", "__wd_mult__"), "7");    // the operator comes later, so it wins
    TN_CHECK_STR(attr_of(s, "w", "weight_lr_mult"), "5"); // a stray one stays
    static const char bad[] = VAR("x") ", {\"op\": \"Activation\", \"name\": \"r\", \"attr\": "
                                       "{\"act_type\": \"relu\", \"gamma_lr_mult\": \"1\"}, "
                                       "\"inputs\": [[0, 0]]}";
    refuses(file_of(bad, "0", "[1, 0]", "800"), TN_E_FORMAT,
            "node 1 \"r\": attribute gamma_lr_mult: operator Activation has no input variable");
}

static void auxiliary_states_are_added_to_old_files(void)
{
    static const char nodes[] = VAR("x") ", " VAR("g") ", " VAR(
        "b") ", "
             "{\"op\": \"BatchNorm\", \"name\": \"bn\", \"attr\": {\"eps\": \"0.5\"}, "
             "\"inputs\": [[0, 0], [1, 0], [2, 0]]}";
    if (mxnet_ops()) {
        tn_symbol s = parse(file_of(nodes, "0, 1, 2", "[3, 0]", "800"));
        TN_CHECK_GRAPH();
        TN_CHECK_NAMES(tn_auxiliary_states(bench.g, s), "bn_moving_mean bn_moving_var");
        TN_CHECK_STR(attr_of(s, "bn_moving_mean", "eps"), "0.5");
        TN_CHECK_STR(attr_of(s, "bn_moving_mean", "__init__"), "[\"zero\", {}]");
        TN_CHECK_STR(attr_of(s, "bn_moving_var", "__init__"), "[\"one\", {}]");
        TN_CHECK_STR(attr_of(s, "bn", "__init__"), NULL);
        refuses(file_of(nodes, "0, 1, 2", "[3, 0]", "900"), TN_E_FORMAT,
                "node 3 \"bn\": inputs: BatchNorm wants 5 (data, gamma, beta, moving_mean, "
                "moving_var), got 3");
    }
    extra_ops_free();
}

static void initializers_are_added_before_0_9_4(void)
{
    static const char nodes[] = VAR("x") ", " VAR("g") ", " VAR("b") ", " VAR(
        "m") ", "
             "{\"op\": \"null\", \"name\": \"v\", \"attr\": {\"__init__\": \"mine\"}, \"inputs\": "
             "[]}, "
             "{\"op\": \"BatchNorm\", \"name\": \"bn\", \"inputs\": "
             "[[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 1], [4, 0, 1]]}";
    if (mxnet_ops()) {
        tn_symbol old = parse(file_of(nodes, "0, 1, 2, 3, 4", "[5, 0]", "903"));
        TN_CHECK_STR(attr_of(old, "m", "__init__"), "[\"zero\", {}]");
        TN_CHECK_STR(attr_of(old, "v", "__init__"), "mine");
        tn_symbol newer = parse(file_of(nodes, "0, 1, 2, 3, 4", "[5, 0]", "904"));
        TN_CHECK_STR(attr_of(newer, "m", "__init__"), NULL);
        TN_CHECK_GRAPH();
    }
    extra_ops_free();
}

static void argmax_over_all_was_axis_minus_one(void)
{
    static const char nodes[] = VAR("x") ", {\"op\": \"argmax\", \"name\": \"a\", \"attr\": "
                                         "{\"axis\": \"-1\"}, \"inputs\": [[0, 0, 0]]}";
    tn_symbol old = parse(file_of(nodes, "0", "[1, 0, 0]", "904"));
    tn_symbol newer = parse(file_of(nodes, "0", "[1, 0, 0]", "905"));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_attr_get(bench.g, old, "axis"), NULL);
    TN_CHECK_STR(tn_attr_get(bench.g, newer, "axis"), "-1");
}

static const char *relu_with(const char *attrs)
{
    char nodes[512];
    snprintf(nodes, sizeof nodes,
             VAR("x") ", {\"op\": \"Activation\", \"name\": \"r\", \"attrs\": {\"act_type\": "
                      "\"relu\", %s}, \"inputs\": [[0, 0, 0]]}",
             attrs);
    return file_of(nodes, "0", "[1, 0, 0]", "10900");
}

static void parameters_of_other_versions_pass_if_they_change_nothing(void)
{
    tn_graph *g = bench.g;
    tn_symbol s = parse(relu_with("\"cudnn_off\": \"1\", \"workspace\": \"512\", "
                                  "\"cudnn_tune\": \"fastest\", \"layout\": \"NCHW\""));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_attr_get(g, s, "cudnn_off"), "1");
    const char *json = tn_symbol_json(g, s); // and are written again
    TN_CHECK_HAS(json, "\"cudnn_tune\": \"fastest\"");
    CU_ASSERT_EQUAL(tn_attr_set(g, s, "act_type", "tanh"), TN_OK);
    refuses(relu_with("\"layout\": \"NHWC\""), TN_E_INVALID, "no parameter layout");
    refuses(relu_with("\"count_include_pad\": \"False\""), TN_E_INVALID, "count_include_pad");
    refuses(relu_with("\"act_typo\": \"1\""), TN_E_INVALID,
            "node 1 \"r\" (Activation): no parameter act_typo — did you mean act_type?");
    refuses(relu_with("\"act_type\": \"relu\""), TN_E_FORMAT, "duplicate");
}

// ------------------------------------------------------------------ refusing

static void all_unregistered_operators_are_named_in_one_error(void)
{
    static const char nodes[] =
        VAR("x") ", {\"op\": \"Convolve\", \"name\": \"c1\", \"inputs\": [[0, 0]]}, "
                 "{\"op\": \"Convolve\", \"name\": \"c2\", \"inputs\": [[1, 0]]}, "
                 "{\"op\": \"Pool\", \"name\": \"p\", \"inputs\": [[2, 0]]}";
    refuses(
        file_of(nodes, "0", "[3, 0]", "10500"), TN_E_NOT_FOUND,
        "2 operators are not registered: Convolve (node 1 \"c1\"), Pool (node 3 \"p\") — did you "
        "mean ");
    static const char near[] =
        VAR("x") ", {\"op\": \"FullyConected\", \"name\": \"f\", \"inputs\": [[0, 0]]}";
    refuses(file_of(near, "0", "[1, 0]", "10500"), TN_E_NOT_FOUND,
            "1 operator is not registered: FullyConected (node 1 \"f\") — did you mean "
            "FullyConnected?");
}

static void files_that_are_no_graph_are_refused(void)
{
    static const char *const texts[][2] = {
        {"", "byte 0"},
        {"[", "byte 1"},
        {"{} x", "end of file expected"},
        {"[]", "wanted an object, got an array"},
        {"{}", "nodes: wanted an array, got nothing"},
        {"{\"nodes\": {}}", "nodes: wanted an array, got an object"},
        {"{\"nodes\": [], \"arg_nodes\": [], \"heads\": []}", "heads: wanted at least one"},
        {"{\"nodes\": [], \"arg_nodes\": [], \"heads\": [[0, 0]]}", "heads[0]: wanted 0 <= n < 0"},
        {"{\"nodes\": [], \"arg_nodes\": [0], \"heads\": []}", "arg_nodes[0]: wanted 0 <= n < 0"},
        {"{\"nodes\": [], \"arg_node\": []}", "did you mean arg_nodes?"},
        {"{\"nodes\": [3], \"arg_nodes\": [], \"heads\": []}", "node 0: node: wanted an object"},
        {"{\"nodes\": [{\"name\": \"x\", \"op\": \"null\"}]}", "\"x\": inputs: wanted an array"},
        {"{\"nodes\": [{\"op\": \"null\", \"inputs\": []}]}", "node 0: name: wanted a string"},
        {"{\"nodes\": [{\"name\": \"x\", \"inputs\": []}]}", "\"x\": op: wanted a string"},
        {"{\"nodes\": [{\"op\": \"null\", \"name\": \"\", \"inputs\": []}]}", "must have one"},
        {"{\"nodes\": [{\"op\": \"null\", \"name\": \"\\u0000\", \"inputs\": []}]}", "byte"},
        {"{\"nodes\": [{\"op\": \"null\", \"name\": \"x\", \"inputs\": [], \"attrz\": {}}]}",
         "unknown key \"attrz\" — did you mean attrs"},
        {"{\"nodes\": [{\"op\": \"null\", \"name\": \"x\", \"inputs\": [], \"attrs\": {\"a\": "
         "1}}]}",
         "attrs: \"a\": wanted a string, got an integer"},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[0, 1]]}",
         "heads[0]: output 1 of variable \"x\""},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[0]]}",
         "wanted [node, output, version], got an array of 1"},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[0, 0, 0, 0]]}", "of 4"},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[-1, 0]]}", "got -1"},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[0.0, 0]]}", "a real number"},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[4294967296, 0]]}",
         "got 4294"},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[0, 0, -1]]}", "got -1"},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[0, 0]], \"attrs\": "
                                  "{\"mxnet_version\": 3}}",
         "mxnet_version: wanted [\"int\", n]"},
        {"{\"nodes\": [" VAR("x") "], \"arg_nodes\": [], \"heads\": [[0, 0]], \"node_row_ptr\": "
                                  "[-3]}",
         "node_row_ptr[0]"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refuses(texts[i][0], TN_E_FORMAT, texts[i][1]);
    CU_ASSERT_EQUAL(tn_symbol_parse(bench.g, NULL, 0).node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);
}

static void nodes_that_do_not_fit_together_are_refused(void)
{
    static const char *const nodes[][2] = {
        {RELU("r", "[0, 0]"), "node 0 \"r\": inputs[0]: wanted 0 <= n < 0, got 0"},
        {VAR("x") ", " RELU("r", "[1, 0]"), "inputs[0]: wanted 0 <= n < 1, got 1"},
        {VAR("x") ", " RELU("r", "[0, 1]"), "output 1 of variable \"x\""},
        {VAR("x") ", " RELU("r", ""), "Activation wants 1 (data), got 0"},
        {VAR("x") ", " RELU("r", "[0, 0], [0, 0]"), "Activation wants 1 (data), got 2"},
        {VAR("x") ", " RELU("q", "[0, 0]") ", " RELU("r", "[1, 1]"),
         "inputs[0]: output 1 of \"q\" (Activation), which has 1"},
        {VAR("x") ", {\"op\": \"Activation\", \"name\": \"r\", \"inputs\": [[0, 0]]}",
         "node 1 \"r\" (Activation): act_type: required"},
        {VAR("x") ", {\"op\": \"null\", \"name\": \"y\", \"inputs\": [[0, 0]]}",
         "a variable has none, got 1"},
        {VAR("x") ", {\"op\": \"null\", \"name\": \"y\", \"inputs\": [], \"control_deps\": [1]}",
         "control_deps[0]"},
        {VAR("x") ", {\"op\": \"null\", \"name\": \"y\", \"inputs\": [], \"backward_source_id\": "
                  "0}",
         "gradient nodes are not read"},
        {VAR("x") ", {\"op\": \"add_n\", \"name\": \"a\", \"attrs\": {\"num_args\": \"60000\"}, "
                  "\"inputs\": [[0, 0]]}",
         "add_n wants 60000 (arg0, arg1, "},
    };
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        char head[16];
        size_t n = 0;
        for (const char *s = nodes[i][0]; (s = strstr(s, "\"op\"")); s++) n++;
        snprintf(head, sizeof head, "[%zu, 0]", n - 1);
        const size_t before = tn_graph_num_nodes(bench.g);
        CU_ASSERT_EQUAL(parse(file_of(nodes[i][0], "", head, "900")).node, 0);
        TN_CHECK_HAS(tn_graph_error(bench.g), nodes[i][1]);
        CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), before);
        tn_graph_forgive(bench.g);
    }
    refuses(file_of(VAR("x") ", " RELU("r", "[0, 0]"), "1", "[1, 0]", "900"), TN_E_FORMAT,
            "arg_nodes[0]: wanted a variable, got a Activation");
    refuses(file_of(VAR("x") ", " RELU("r", "[0, 0]"), "0", "[1, 1]", "900"), TN_E_FORMAT,
            "heads[0]: output 1 of \"r\" (Activation), which has 1");
}

static void texts_are_limited(void)
{
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG + 200);
    if (!text) return;
    memset(text, 'x', LONG + 199);
    memcpy(text, "{\"nodes\": \"\\\"", 13);
    memcpy(text + LONG + 100, "\"}", 3);
    refuses(text, TN_E_FORMAT, "byte 10: wanted a text of at most 1048576 bytes");
    free(text);
}

static void nesting_is_limited(void)
{
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH + 1);
    if (!text) return;
    memset(text, '[', DEPTH);
    text[DEPTH] = '\0';
    refuses(text, TN_E_FORMAT, "depth");
    free(text);
}

TN_TEST_MAIN({"heads may be several, or all of one node", heads_may_be_several_or_all_of_one_node},
             {"nodes without use are left out", nodes_without_use_are_left_out},
             {"parameters stand under three keys", parameters_stand_under_three_keys},
             {"hidden keys move to where they belong", hidden_keys_move_to_where_they_belong},
             {"auxiliary states are added to old files", auxiliary_states_are_added_to_old_files},
             {"initializers are added before 0.9.4", initializers_are_added_before_0_9_4},
             {"argmax over all was axis -1", argmax_over_all_was_axis_minus_one},
             {"parameters of other versions pass if they change nothing",
              parameters_of_other_versions_pass_if_they_change_nothing},
             {"all unregistered operators are named in one error",
              all_unregistered_operators_are_named_in_one_error},
             {"files that are no graph are refused", files_that_are_no_graph_are_refused},
             {"nodes that do not fit together are refused",
              nodes_that_do_not_fit_together_are_refused},
             {"texts are limited", texts_are_limited}, {"nesting is limited", nesting_is_limited})
