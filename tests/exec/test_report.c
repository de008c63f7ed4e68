// tests/exec/test_report.c: what ran where and why, as a line, as text, as JSON; JSON required
// again.
#include <jansson.h>

#include "tests/exec/nets.h"

static bool load(const char *path)
{
    const bool ok = tn_env_load(bench.env, path) == TN_OK;
    TN_CHECK_STR(ok ? "" : tn_env_error(bench.env), "");
    return ok;
}

static tn_exec *bind_on(const char *backends, tn_symbol s, const char *placement)
{
    return tn_simple_bind(bench.g, s, .backends = backends, .grad_req = TN_WRITE,
                          .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)}), .placement = placement);
}

// First line of the text.
static const char *summary(tn_exec *e)
{
    static char line[512];
    const char *text = e ? tn_exec_report_text(e) : "";
    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
    return line;
}

// Copy of text with the first `from` replaced; the caller frees it.
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    tni_text t = {0};
    tni_text_addn(&t, text, at ? (size_t)(at - text) : strlen(text));
    if (at) tni_text_printf(&t, "%s%s", to, at + strlen(from));
    CU_ASSERT(at != NULL);
    return t.s;
}

// ------------------------------------------------------------------ text

static void one_line_says_it_all(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    const tn_symbol net =
        UNARY("relu", "r", UNARY("exp", "e", UNARY("relu", "q", tn_variable(bench.g, "data"))));
    tn_exec *e = tn_simple_bind(bench.g, net, .backends = "reference",
                                .shapes = TN_SHAPES({"data", TN_DIMS(400, 600)}));
    TN_CHECK_EXEC(e);
    TN_CHECK_STR(summary(e), "3 nodes: reference 3; 0 copies, 0 reorders");
    tn_exec_free(e);
    e = tn_simple_bind(bench.g, net, .backends = "far,reference",
                       .shapes = TN_SHAPES({"data", TN_DIMS(400, 600)}));
    TN_CHECK_EXEC(e);
    TN_CHECK_STR(summary(e), "3 nodes: far:0 2, reference 1 (exp: no kernel); 2 copies 1.9 MB, "
                             "0 reorders");
    TN_CHECK_HAS(e ? tn_exec_report_text(e) : "",
                 "\"e\" float32(400,600)  reference: generic  in place\n"
                 "      not far:0: no kernel for exp\n");
    TN_CHECK_HAS(e ? tn_exec_report_text(e) : "", "copy \"q_0_copy\" float32(400,600)  far:0 → host"
                                                  "  960.0 kB\n");
    tn_exec_free(e);
}

static void reorders_are_lines_too(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/blocked.so")) return;
    tn_exec *e = bind_on("blocked,reference", net_mlp(), NULL);
    TN_CHECK_EXEC(e);
    const char *text = e ? tn_exec_report_text(e) : "";
    TN_CHECK_HAS(summary(e), " reorders ");
    TN_CHECK_HAS(text, "reorder \"data_0_reorder\" float32(4,6)  blocked: row-major → blocked/1");
    TN_CHECK_HAS(text, "FullyConnected \"fc1\" float32(4,5) as blocked/1  blocked: columns");
    TN_CHECK_HAS(text, "\nbackward\n");
    tn_exec_free(e);
}

static void bytes_are_short(void)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},         {999, "999 B"},         {1000, "1.0 kB"},       {999949, "999.9 kB"},
        {999950, "1.0 MB"}, {1234567890, "1.2 GB"}, {UINT64_MAX, "18.4 EB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tni_text t = {0};
        tni_report_bytes(cases[i].bytes, &t);
        TN_CHECK_STR(t.s, cases[i].text);
        tni_text_free(&t);
    }
}

static void the_plan_has_a_line_for_each_node(void)
{
    tn_exec *e = bind_on("reference", net_mlp(), NULL);
    if (!TN_CHECK_EXEC(e)) return;
    size_t lines = 0;
    const char *text = tn_exec_plan_text(e);
    for (const char *at = text; *at; at++) lines += *at == '\n';
    CU_ASSERT_EQUAL(lines, e->placed.g->n_nodes + 1); // and the word "backward"
    TN_CHECK_HAS(text, "%1 = variable  float32(4,6)  \"data\"");
    TN_CHECK_HAS(text, "  tensor 96 B\n");
    TN_CHECK_HAS(text, "  host+");
    CU_ASSERT_PTR_EQUAL(tn_exec_plan_text(e), text); // the same text again
    tn_exec_free(e);
}

// ------------------------------------------------------------------ JSON

static json_t *parsed(tn_exec *e)
{
    json_error_t where = {0};
    json_t *root = e ? json_loads(tn_exec_report_json(e), JSON_REJECT_DUPLICATES, &where) : NULL;
    if (!root) TN_CHECK_STR(where.text, "");
    return root;
}

static uint64_t total(const json_t *root, const char *key)
{
    const json_t *v = json_object_get(json_object_get(root, "totals"), key);
    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : UINT64_MAX;
}

static void json_agrees_with_the_executor(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    tn_exec *e = bind_on("far,reference", net_mlp(), NULL);
    json_t *root = parsed(e);
    if (TN_CHECK_EXEC(e) && root) {
        const tn_memory_report m = tn_exec_memory(e);
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(root, "version")), 1);
        TN_CHECK_STR(json_string_value(json_object_get(root, "summary")), summary(e));
        CU_ASSERT_EQUAL(total(root, "copies"), m.n_copies);
        CU_ASSERT_EQUAL(total(root, "copies"), json_array_size(json_object_get(root, "copies")));
        CU_ASSERT_EQUAL(total(root, "nodes"), json_array_size(json_object_get(root, "nodes")));
        CU_ASSERT_EQUAL(total(root, "planned"), m.planned);
        const json_t *act = json_array_get(json_object_get(root, "nodes"), 1), *why;
        TN_CHECK_STR(json_string_value(json_object_get(act, "name")), "relu1");
        TN_CHECK_STR(json_string_value(json_object_get(act, "device")), "reference");
        TN_CHECK_STR(json_string_value(json_object_get(act, "impl")), "generic");
        TN_CHECK_STR(json_string_value(json_object_get(act, "pass")), "forward");
        why = json_array_get(json_object_get(act, "why_not"), 0);
        TN_CHECK_STR(json_string_value(json_object_get(why, "device")), "far:0");
        TN_CHECK_STR(json_string_value(json_object_get(why, "reason")), "no kernel");
        TN_CHECK_STR(json_string_value(json_object_get(why, "text")), "no kernel for Activation");
    }
    json_decref(root);
    tn_exec_free(e);
}

static void any_name_makes_good_json(void)
{
    tn_symbol x = tn_variable(bench.g, "data");
    x = UNARY("exp", "a \"quoted\" \\ name\n\twith \x01", x);
    x = UNARY("exp", "grün → ∞ 🜁", x);
    x = UNARY("exp", "not UTF-8: \xff\xc0\x80\xed\xa0\x80\xf8", x);
    tn_exec *e = bind_on("reference", x, NULL);
    json_t *root = parsed(e), *nodes = json_object_get(root, "nodes");
    const char *names[3] = {"", "", ""};
    for (size_t i = 0; root && i < 3; i++)
        names[i] = json_string_value(json_object_get(json_array_get(nodes, i), "name"));
    TN_CHECK_STR(names[0], "a \"quoted\" \\ name\n\twith \x01");
    TN_CHECK_STR(names[1], "grün → ∞ 🜁");
    TN_CHECK_HAS(names[2], "not UTF-8: \xef\xbf\xbd");
    json_decref(root);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ required again

static void a_placement_can_be_required(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/far.so")) return;
    const tn_symbol net = net_mlp();
    tn_exec *e = bind_on("far,reference", net, NULL);
    if (!TN_CHECK_EXEC(e)) return;
    const char *json = tn_exec_report_json(e);
    tn_exec *again = bind_on("far,reference", net, json);
    TN_CHECK_EXEC(again);
    tn_exec_free(again);
    CU_ASSERT_PTR_NULL(bind_on("reference", net, json));
    TN_CHECK_HAS(tn_graph_error(bench.g),
                 "placement: fc1 (FullyConnected): wanted far:0, got reference");
    tn_graph_forgive(bench.g);
    char *other = replaced(json, "\"device\": \"reference\"", "\"device\": \"far:0\"");
    CU_ASSERT_PTR_NULL(bind_on("far,reference", net, other));
    TN_CHECK_HAS(tn_graph_error(bench.g), "placement: relu1 (Activation): wanted far:0, got "
                                          "reference (no kernel for Activation)");
    tn_graph_forgive(bench.g);
    free(other);
    const tn_symbol less = UNARY("relu", "q", tn_variable(bench.g, "data2"));
    CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, less, .backends = "reference", .placement = json,
                                      .shapes = TN_SHAPES({"data2", TN_DIMS(4, 6)})));
    TN_CHECK_HAS(tn_graph_error(bench.g), "node 0: wanted fc1 (FullyConnected), got q (relu)");
    tn_exec_free(e);
}

static void damaged_placements_are_refused(void)
{
    static const struct {
        const char *json, *text;
        tn_status status;
    } cases[] = {
        {"", "placement: byte ", TN_E_FORMAT},
        {"[]", "no report of version 1", TN_E_FORMAT},
        {"{\"version\": 2, \"nodes\": []}", "no report of version 1", TN_E_FORMAT},
        {"{\"version\": 1}", "has no list \"nodes\"", TN_E_FORMAT},
        {"{\"version\": 1, \"nodes\": []}", "wanted 0 nodes, got more: e", TN_E_INVALID},
        {"{\"version\": 1, \"nodes\": [7]}", "node 0 lacks a text", TN_E_FORMAT},
        {"{\"version\": 1, \"nodes\": [{\"name\": \"e\", \"op\": \"exp\", \"device\": 3}]}",
         "node 0 lacks a text", TN_E_FORMAT},
        {"{\"version\": 1, \"nodes\": [{\"name\": \"e\", \"op\": \"exp\", \"device\": "
         "\"reference\"}, {\"name\": \"f\"}]}",
         "wanted 2 nodes, got 1: f is missing", TN_E_INVALID},
    };
    const tn_symbol net = UNARY("exp", "e", tn_variable(bench.g, "data"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, net, .backends = "reference",
                                          .shapes = TN_SHAPES({"data", TN_DIMS(2)}),
                                          .placement = cases[i].json));
        CU_ASSERT_EQUAL(tn_graph_status(bench.g), cases[i].status);
        TN_CHECK_HAS(tn_graph_error(bench.g), cases[i].text);
        tn_graph_forgive(bench.g);
    }
}

TN_TEST_MAIN({"one line says it all", one_line_says_it_all},
             {"reorders are lines too", reorders_are_lines_too},
             {"bytes are short", bytes_are_short},
             {"the plan has a line for each node", the_plan_has_a_line_for_each_node},
             {"JSON agrees with the executor", json_agrees_with_the_executor},
             {"any name makes good JSON", any_name_makes_good_json},
             {"a placement can be required", a_placement_can_be_required},
             {"damaged placements are refused", damaged_placements_are_refused})
