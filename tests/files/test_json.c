// tests/files/test_json.c: MXNet symbol files: written byte for byte, read from 0.8 to 1.x,
// refused.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/files/damage.h"
#include "tests/files/symbol_texts.h"

// ------------------------------------------------------------------ helpers

// data → fc1 (128) → relu1 → fc2 (64) → out
static tn_symbol tutorial_net(void)
{
    tn_graph *g = bench.g;
    tn_symbol x = tn_variable(g, "data");
    x = tn_call(g, "FullyConnected", .name = "fc1", .inputs = TN_SYMS(x),
                .params = TN_ATTRS({"num_hidden", "128"}));
    x = tn_call(g, "Activation", .name = "relu1", .inputs = TN_SYMS(x),
                .params = TN_ATTRS({"act_type", "relu"}));
    x = tn_call(g, "FullyConnected", .name = "fc2", .inputs = TN_SYMS(x),
                .params = TN_ATTRS({"num_hidden", "64"}));
    return tn_call(g, "Softmax", .name = "out", .inputs = TN_SYMS(x));
}

static char *read_whole(const char *path)
{
    char *text = NULL;
    size_t n;
    tni_error error = {0};
    if (tni_file_read(path, &text, &n, &error)) CU_FAIL("cannot read the test's file");
    tni_error_clear(&error);
    return text;
}

// ------------------------------------------------------------------ writing

// What MXNet 1.5 writes for that network.
static const char tutorial_text[] = "{\n"
                                    "  \"nodes\": [\n"
                                    "    {\n"
                                    "      \"op\": \"null\", \n"
                                    "      \"name\": \"data\", \n"
                                    "      \"inputs\": []\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"null\", \n"
                                    "      \"name\": \"fc1_weight\", \n"
                                    "      \"attrs\": {\"num_hidden\": \"128\"}, \n"
                                    "      \"inputs\": []\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"null\", \n"
                                    "      \"name\": \"fc1_bias\", \n"
                                    "      \"attrs\": {\"num_hidden\": \"128\"}, \n"
                                    "      \"inputs\": []\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"FullyConnected\", \n"
                                    "      \"name\": \"fc1\", \n"
                                    "      \"attrs\": {\"num_hidden\": \"128\"}, \n"
                                    "      \"inputs\": [[0, 0, 0], [1, 0, 0], [2, 0, 0]]\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"Activation\", \n"
                                    "      \"name\": \"relu1\", \n"
                                    "      \"attrs\": {\"act_type\": \"relu\"}, \n"
                                    "      \"inputs\": [[3, 0, 0]]\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"null\", \n"
                                    "      \"name\": \"fc2_weight\", \n"
                                    "      \"attrs\": {\"num_hidden\": \"64\"}, \n"
                                    "      \"inputs\": []\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"null\", \n"
                                    "      \"name\": \"fc2_bias\", \n"
                                    "      \"attrs\": {\"num_hidden\": \"64\"}, \n"
                                    "      \"inputs\": []\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"FullyConnected\", \n"
                                    "      \"name\": \"fc2\", \n"
                                    "      \"attrs\": {\"num_hidden\": \"64\"}, \n"
                                    "      \"inputs\": [[4, 0, 0], [5, 0, 0], [6, 0, 0]]\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"null\", \n"
                                    "      \"name\": \"out_label\", \n"
                                    "      \"inputs\": []\n"
                                    "    }, \n"
                                    "    {\n"
                                    "      \"op\": \"Softmax\", \n"
                                    "      \"name\": \"out\", \n"
                                    "      \"inputs\": [[7, 0, 0], [8, 0, 0]]\n"
                                    "    }\n"
                                    "  ], \n"
                                    "  \"arg_nodes\": [0, 1, 2, 5, 6, 8], \n"
                                    "  \"node_row_ptr\": [\n"
                                    "    0, \n"
                                    "    1, \n"
                                    "    2, \n"
                                    "    3, \n"
                                    "    4, \n"
                                    "    5, \n"
                                    "    6, \n"
                                    "    7, \n"
                                    "    8, \n"
                                    "    9, \n"
                                    "    10\n"
                                    "  ], \n"
                                    "  \"heads\": [[9, 0, 0]], \n"
                                    "  \"attrs\": {\"mxnet_version\": [\"int\", 10500]}\n"
                                    "}";

static void a_network_is_written_as_mxnet_writes_it(void)
{
    const char *json = tn_symbol_json(bench.g, tutorial_net());
    TN_CHECK_GRAPH();
    TN_CHECK_STR(json, tutorial_text);
}

static void attributes_are_sorted_and_escaped(void)
{
    tn_graph *g = bench.g;
    tn_symbol x =
        tn_variable(g, "a \"b\" \\ é\n\t\r", .attrs = TN_ATTRS({"__z__", "1"}, {"__a__", "2"}));
    tn_attr_set(g, x, "__z__", "3"); // the newest counts
    const char *json = tn_symbol_json(g, x);
    TN_CHECK_STR(json, "{\n"
                       "  \"nodes\": [\n"
                       "    {\n"
                       "      \"op\": \"null\", \n"
                       "      \"name\": \"a \\\"b\\\" \\\\ é\\n\\t\\r\", \n"
                       "      \"attrs\": {\n"
                       "        \"__a__\": \"2\", \n"
                       "        \"__z__\": \"3\"\n"
                       "      }, \n"
                       "      \"inputs\": []\n"
                       "    }\n"
                       "  ], \n"
                       "  \"arg_nodes\": [0], \n"
                       "  \"node_row_ptr\": [0, 1], \n"
                       "  \"heads\": [[0, 0, 0]], \n"
                       "  \"attrs\": {\"mxnet_version\": [\"int\", 10500]}\n"
                       "}");
    tn_symbol again = json ? parse(json) : TN_NONE;
    TN_CHECK_STR(tn_symbol_name(g, again), "a \"b\" \\ é\n\t\r");
    // What neither JSON nor MXNet's own form could give back is refused.
    CU_ASSERT_PTR_NULL(tn_symbol_json(g, tn_variable(g, "\xE9t\xE9")));
    TN_CHECK_HAS(tn_graph_error(g), "not UTF-8");
    tn_graph_forgive(g);
    CU_ASSERT_PTR_NULL(tn_symbol_json(g, tn_variable(g, "\xED\xA0\x80")));
    tn_graph_forgive(g);
    CU_ASSERT_PTR_NULL(tn_symbol_json(g, tn_variable(g, "\xC0\x80")));
    tn_graph_forgive(g);
}

static void aliases_are_written_by_their_operators_name(void)
{
    tn_graph *g = bench.g;
    tn_symbol a = tn_variable(g, "a"), b = tn_variable(g, "b");
    tn_symbol sum = tn_add(g, a, b);
    tn_symbol both = tn_group(g, TN_SYMS(tn_mul(g, sum, 2.0), a));
    const char *json = tn_symbol_json(g, both);
    TN_CHECK_GRAPH();
    TN_CHECK_HAS(json, "\"op\": \"elemwise_add\", \n      \"name\": \"_plus0\"");
    TN_CHECK_HAS(json, "\"op\": \"_mul_scalar\", \n      \"name\": \"_mulscalar0\"");
    TN_CHECK_HAS(json, "\"attrs\": {\"scalar\": \"2");
    TN_CHECK_HAS(json, "\"heads\": [[3, 0, 0], [0, 0, 0]]");
}

static void long_arrays_stand_one_item_a_line(void)
{
    tn_graph *g = bench.g;
    tn_symbol in[11];
    char name[16];
    for (int i = 0; i < 11; i++) {
        snprintf(name, sizeof name, "x%d", i);
        in[i] = tn_variable(g, name);
    }
    tn_symbol sum = tn_call(g, "add_n", .name = "sum", .inputs = {11, in},
                            .params = TN_ATTRS({"num_args", "11"}));
    const char *json = tn_symbol_json(g, tn_group(g, (tn_symbols){11, in}));
    TN_CHECK_GRAPH();
    TN_CHECK_HAS(json, "\"heads\": [\n    [0, 0, 0], \n    [1, 0, 0], \n");
    TN_CHECK_HAS(json, "    [10, 0, 0]\n  ], \n  \"attrs\"");
    TN_CHECK_HAS(json, "\"arg_nodes\": [\n    0, \n    1, \n");
    json = tn_symbol_json(g, sum);
    TN_CHECK_HAS(json, "\"inputs\": [\n        [0, 0, 0], \n        [1, 0, 0], \n");
    TN_CHECK_HAS(json, "        [10, 0, 0]\n      ]\n    }\n  ], \n");
}

static void written_variables_carry_a_version(void)
{
    if (mxnet_ops()) {
        tn_graph *g = bench.g;
        tn_symbol mean = tn_variable(g, "mean");
        tn_symbol x =
            tn_call(g, "BatchNorm", .name = "bn",
                    .named = TN_NAMED({"data", tn_variable(g, "x")}, {"moving_mean", mean}));
        x = tn_call(g, "BatchNorm", .name = "bn2",
                    .named = TN_NAMED({"data", x}, {"moving_mean", mean}));
        const char *json = tn_symbol_json(g, x);
        TN_CHECK_GRAPH();
        TN_CHECK_HAS(json, "\"inputs\": [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 1], [4, 0, 1]]");
        TN_CHECK_HAS(json, "\"inputs\": [[5, 0, 0], [6, 0, 0], [7, 0, 0], [3, 0, 2], [8, 0, 1]]");
        TN_CHECK_HAS(json, "    5, \n    8, \n    9, \n    10, \n    11, \n    14\n  ]");
        tn_symbol again = json ? parse(json) : TN_NONE;
        TN_CHECK_STR(tn_symbol_json(g, again), json);
        TN_CHECK_NAMES(tn_auxiliary_states(g, again), "mean bn_moving_var bn2_moving_var");
    }
    extra_ops_free();
}

static void saving_replaces_the_file_or_leaves_it(void)
{
    tn_graph *g = bench.g;
    tn_symbol net = tutorial_net();
    char path[1024], dir[1024];
    snprintf(path, sizeof path, "%s", tn_temporary("net-symbol.json"));
    CU_ASSERT_EQUAL(tn_symbol_save(g, net, path), TN_OK);
    CU_ASSERT_EQUAL(chmod(path, 0640), 0);
    CU_ASSERT_EQUAL(tn_symbol_save(g, net, path), TN_OK);
    struct stat info = {0};
    CU_ASSERT_EQUAL(stat(path, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0640);
    char *text = read_whole(path);
    TN_CHECK_STR(text, tn_symbol_json(g, net));
    free(text);
    tn_symbol again = tn_symbol_load(g, path);
    TN_CHECK_NAMES(tn_arguments(g, again),
                   "data fc1_weight fc1_bias fc2_weight fc2_bias out_label");

    snprintf(dir, sizeof dir, "%s", tn_temporary("missing/net.json"));
    CU_ASSERT_EQUAL(tn_symbol_save(g, net, dir), TN_E_IO);
    TN_CHECK_HAS(tn_graph_error(g), "missing/net.json: No such file or directory");
    tn_graph_forgive(g);
    CU_ASSERT_EQUAL(tn_symbol_save(g, net, "/dev/full"), TN_E_IO);
    TN_CHECK_HAS(tn_graph_error(g), "No space left");
    tn_graph_forgive(g);
    CU_ASSERT_EQUAL(tn_symbol_save(g, net, NULL), TN_E_INVALID);
    tn_graph_forgive(g);
    CU_ASSERT_EQUAL(tn_symbol_load(g, dir).node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(g), TN_E_IO);
    tn_graph_forgive(g);
    CU_ASSERT_EQUAL(tn_symbol_load(g, "/dev/zero").node, 0);
    TN_CHECK_HAS(tn_graph_error(g), "neither a file nor a pipe");
}

// ------------------------------------------------------------------ round trips

static void reading_and_writing_again_changes_nothing(void)
{
    tn_graph *g = bench.g;
    const char *json = tn_symbol_json(g, tutorial_net());
    tn_symbol again = json ? parse(json) : TN_NONE;
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_symbol_json(g, again), json);
    TN_CHECK_NAMES(tn_outputs(g, again), "out_output");
    // Names are those of the file; new automatic ones avoid them.
    tn_symbol x =
        parse(file_of(VAR("q") ", " RELU("activation0", "[0, 0, 0]"), "0", "[1, 0, 0]", "10500"));
    tn_symbol y =
        tn_call(g, "Activation", .inputs = TN_SYMS(x), .params = TN_ATTRS({"act_type", "tanh"}));
    TN_CHECK_STR(tn_symbol_name(g, y), "activation1");
    TN_CHECK_GRAPH();
}

// ------------------------------------------------------------------ size

// A chain of many nodes: neither recursion nor quadratic work anywhere.
static void long_chains_are_read_and_written(void)
{
    enum { N = 50000 };
    tni_text t = {0};
    tni_text_add(&t, "{\"nodes\": [" VAR("x"));
    for (int i = 0; i < N; i++) tni_text_printf(&t, ", " RELU("r%d", "[%d, 0, 0]"), i, i);
    tni_text_printf(&t, "], \"arg_nodes\": [0], \"heads\": [[%d, 0, 0]]}", N);
    tn_symbol s = parse(t.s);
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), N + 1);
    const char *json = tn_symbol_json(bench.g, s);
    tn_symbol again = json ? parse(json) : TN_NONE;
    TN_CHECK_GRAPH();
    const char *twice = tn_symbol_json(bench.g, again);
    CU_ASSERT(json && twice && !strcmp(json, twice));
    tni_text_free(&t);
}

// ------------------------------------------------------------------ damaged files

static bool reader_behaves(const void *bytes, size_t n, void *ctx)
{
    (void)ctx;
    const size_t before = tn_graph_num_nodes(bench.g);
    const tn_symbol s = tn_symbol_parse(bench.g, bytes, n);
    bool ok;
    if (s.node) {
        ok = tn_graph_status(bench.g) == TN_OK && tn_symbol_json(bench.g, s) != NULL;
    } else {
        ok = tn_graph_status(bench.g) != TN_OK && *tn_graph_error(bench.g) &&
             tn_graph_num_nodes(bench.g) == before;
    }
    tn_graph_forgive(bench.g);
    return ok;
}

static void damaged_files_are_refused_or_read(void)
{
    static const char old[] =
        "{\"nodes\": [{\"op\": \"null\", \"param\": {}, \"name\": \"x\", \"inputs\": [], "
        "\"backward_source_id\": -1, \"attr\": {\"lr_mult\": \"0.2\"}}, " VAR("w") ", " VAR(
            "b") ", {\"op\": \"FullyConnected\", \"param\": {\"no_bias\": \"False\", "
                 "\"num_hidden\": \"8\"}, "
                 "\"name\": \"fc\", \"inputs\": [[0, 0], [1, 0], [2, 0]], \"backward_source_id\": "
                 "-1, "
                 "\"attr\": {\"ctx_group\": \"s\", \"weight_lr_mult\": \"1.2\"}}], "
                 "\"arg_nodes\": [0, 1, 2], \"heads\": [[3, 0]]}";
    const char *json = tn_symbol_json(bench.g, tutorial_net());
    char *copy = json ? strdup(json) : NULL;
    if (!copy) {
        CU_FAIL("no JSON");
        return;
    }
    CU_ASSERT_EQUAL(damage(copy, strlen(copy), 1500, reader_behaves, NULL), 0);
    CU_ASSERT_EQUAL(damage(old, strlen(old), 1500, reader_behaves, NULL), 0);
    free(copy);
}

// ------------------------------------------------------------------ real files

static const char *const real_files[] = {"symbols/inception_v3-symbol.json",
                                         "symbols/resnet101_v2-symbol.json",
                                         "symbols/resnext50_32x4d-symbol.json",
                                         "symbols/se-resnet50-symbol.json",
                                         "symbols/save_000800.json",
                                         "lenet-2015/lenet-symbol.json",
                                         "lenet-2019/lenet-symbol.json",
                                         "squeezenet/squeezenet-symbol.json",
                                         "squeezenet/squeezenet-2016-symbol.json",
                                         "mlp-onnx/model-symbol.json",
                                         "tiny/go_test-symbol.json"};
enum { N_REAL = sizeof real_files / sizeof *real_files };

static void real_files_go_round(void)
{
    for (size_t i = 0; i < N_REAL && mxnet_ops(); i++) {
        const char *path = tn_data(real_files[i]);
        if (!path) {
            tn_skip("TENON_DATA_DIR has no such file");
            break;
        }
        tn_symbol s = tn_symbol_load(bench.g, path);
        TN_CHECK_GRAPH();
        const char *json = tn_symbol_json(bench.g, s);
        tn_symbol again = json ? parse(json) : TN_NONE;
        TN_CHECK_GRAPH();
        TN_CHECK_STR(tn_symbol_json(bench.g, again), json);
        tn_graph_forgive(bench.g);
        extra_ops_free();
    }
    extra_ops_free();
}

// Text with every `from` replaced by `to`, and everything after the last "mxnet_version" cut off.
static char *canonical(const char *text, const char *from, const char *to)
{
    tni_text t = {0};
    const char *const end = strstr(text, "\"mxnet_version\"");
    for (const char *s = text; s < end;) {
        if (!strncmp(s, from, strlen(from))) {
            tni_text_add(&t, to);
            s += strlen(from);
        } else {
            tni_text_addn(&t, s++, 1);
        }
    }
    return t.s;
}

// Files of MXNet 0.11 to 1.4 come out as they went in, but for their version and the key "attr".
static void real_files_are_written_as_mxnet_wrote_them(void)
{
    static const char *const names[] = {
        "symbols/inception_v3-symbol.json", "symbols/resnet101_v2-symbol.json",
        "symbols/resnext50_32x4d-symbol.json", "symbols/se-resnet50-symbol.json",
        "mlp-onnx/model-symbol.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names && mxnet_ops(); i++) {
        const char *path = tn_data(names[i]);
        if (!path) {
            tn_skip("TENON_DATA_DIR has no such file");
            break;
        }
        char *text = read_whole(path);
        const char *json = tn_symbol_json(bench.g, tn_symbol_load(bench.g, path));
        TN_CHECK_GRAPH();
        char *wanted = text ? canonical(text, "\"attr\": {", "\"attrs\": {") : NULL;
        char *got = json ? canonical(json, "?", "?") : NULL;
        CU_ASSERT(wanted && got && !strcmp(wanted, got));
        free(text);
        free(wanted);
        free(got);
        extra_ops_free();
    }
    extra_ops_free();
}

// Without the operators they need, real networks are refused with all of these in one error.
static void real_files_name_all_operators_that_lack(void)
{
    static const char *const needed[] = {"Convolution", "BatchNorm", "Pooling"};
    const char *path = tn_data("symbols/inception_v3-symbol.json");
    if (!path) {
        tn_skip("TENON_DATA_DIR has no symbols/inception_v3-symbol.json");
        return;
    }
    size_t missing = 0;
    for (int i = 0; i < 3; i++) missing += !tn_env_op_find(bench.env, needed[i]);
    const tn_symbol s = tn_symbol_load(bench.g, path);
    CU_ASSERT_EQUAL(s.node != 0, missing == 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), missing ? TN_E_NOT_FOUND : TN_OK);
    for (int i = 0; i < 3; i++)
        if (!tn_env_op_find(bench.env, needed[i])) TN_CHECK_HAS(tn_graph_error(bench.g), needed[i]);
    if (missing) CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), 0);
}

// MXNet's own test of this file: attributes are those of the network that wrote it.
static void mxnets_own_0_8_file_is_upgraded(void)
{
    const char *path = tn_data("symbols/save_000800.json");
    if (!path) {
        tn_skip("TENON_DATA_DIR has no symbols/save_000800.json");
        return;
    }
    if (mxnet_ops()) {
        tn_symbol s = tn_symbol_load(bench.g, path);
        TN_CHECK_GRAPH();
        TN_CHECK_STR(attr_of(s, "data", "__ctx_group__"), "stage1");
        TN_CHECK_STR(attr_of(s, "data", "__lr_mult__"), "0.2");
        TN_CHECK_STR(attr_of(s, "fc1_weight", "__lr_mult__"), "1.2");
        TN_CHECK_STR(attr_of(s, "fc1_weight", "__wd_mult__"), "0.3");
        TN_CHECK_STR(attr_of(s, "fc1", "__wd_mult__"), "0.3");
        TN_CHECK_STR(attr_of(s, "fc1", "weight_lr_mult"), NULL);
        TN_CHECK_STR(attr_of(s, "fc2_bias", "__lr_mult__"), "0.01");
        TN_CHECK_STR(attr_of(s, "batchnorm0_moving_mean", "__ctx_group__"), "stage2");
        TN_CHECK_STR(attr_of(s, "batchnorm0_moving_var", "__init__"), "[\"one\", {}]");
        TN_CHECK_NAMES(tn_arguments(bench.g, s),
                       "data fc1_weight fc1_bias fc2_weight fc2_bias fc3_weight fc3_bias "
                       "batchnorm0_gamma batchnorm0_beta softmax_label");
        TN_CHECK_NAMES(tn_auxiliary_states(bench.g, s),
                       "batchnorm0_moving_mean batchnorm0_moving_var");
    }
    extra_ops_free();
}

TN_TEST_MAIN(
    {"a network is written as MXNet writes it", a_network_is_written_as_mxnet_writes_it},
    {"attributes are sorted and escaped", attributes_are_sorted_and_escaped},
    {"aliases are written by their operator's name", aliases_are_written_by_their_operators_name},
    {"long arrays stand one item a line", long_arrays_stand_one_item_a_line},
    {"written variables carry a version", written_variables_carry_a_version},
    {"saving replaces the file or leaves it", saving_replaces_the_file_or_leaves_it},
    {"reading and writing again changes nothing", reading_and_writing_again_changes_nothing},
    {"long chains are read and written", long_chains_are_read_and_written},
    {"damaged files are refused or read", damaged_files_are_refused_or_read},
    {"real files go round", real_files_go_round},
    {"real files are written as MXNet wrote them", real_files_are_written_as_mxnet_wrote_them},
    {"real files name all operators that lack", real_files_name_all_operators_that_lack},
    {"MXNet's own 0.8 file is upgraded", mxnets_own_0_8_file_is_upgraded})
