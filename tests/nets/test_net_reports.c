// tests/nets/test_net_reports.c: what the placement report says of whole
// networks, as JSON and as text: for every node the device, the implementation,
// what is fused, and why no earlier device of the list runs it; and bytes of
// every copy and reorder.
//
// Runs once for each list of backends that tests/CMakeLists.txt names.
#include <jansson.h>

#include "tests/nets/zoo_run.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static json_t *report_of(tn_exec *e)
{
    json_error_t where = {0};
    json_t *root = e ? json_loads(tn_exec_report_json(e), JSON_REJECT_DUPLICATES, &where) : NULL;
    if (!root) TN_CHECK_STR(where.text, "");
    return root;
}

// Does the text report have all of this in one line?
static bool has_line(const char *text, const char *a, const char *b, const char *c)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char one[1024];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(line, "\n"), line);
        if (strstr(one, a) && strstr(one, b) && strstr(one, c)) return true;
    }
    return false;
}

// The refusals name, in order, every device of the list that stands before the
// node's own, each with a reason; of plugins' kernels there may be several for
// one device.
static bool refusals_fit(const json_t *root, const json_t *node)
{
    const json_t *devices = json_object_get(root, "devices"), *why, *whole;
    const char *own = text_of(node, "device");
    size_t at = 0, n;
    whole = json_object_get(node, "why_not");
    n = json_array_size(whole);
    for (size_t d = 0; d < json_array_size(devices); d++) {
        const char *device = json_string_value(json_array_get(devices, d));
        if (strcmp(device, own) == 0) return at == n;
        const size_t first = at;
        while (at < n && (why = json_array_get(whole, at)) != NULL &&
               strcmp(text_of(why, "device"), device) == 0 && *text_of(why, "text") &&
               *text_of(why, "reason"))
            at++;
        if (at == first) return false;
    }
    return false; // its own device is not on the list
}

static void check_node(const char *net, const json_t *root, const json_t *node, const char *text)
{
    char name[300], message[600];
    const bool elided = json_is_true(json_object_get(node, "elided"));
    const json_t *fused = json_object_get(node, "fused");
    const bool unit = strcmp(text_of(node, "op"), "_fused") == 0;
    snprintf(name, sizeof name, " \"%s\" ", text_of(node, "name"));
    bool ok = refusals_fit(root, node) && *text_of(node, "op");
    ok = ok && (elided || *text_of(node, "impl"));
    ok = ok && has_line(text, name, text_of(node, "op"), text_of(node, "device"));
    ok = ok && (elided || has_line(text, name, text_of(node, "impl"), ""));
    ok = ok && unit == (json_array_size(fused) > 1);
    for (size_t i = 0; i < json_array_size(fused); i++)
        ok = ok && has_line(text, "fused: ", text_of(json_array_get(fused, i), "op"),
                            text_of(json_array_get(fused, i), "name"));
    char *shown = ok ? NULL : json_dumps(node, 0);
    snprintf(message, sizeof message, "%s: %s", net, shown ? shown : "");
    CU_assertImplementation(ok, __LINE__, message, __FILE__, "", CU_FALSE);
    free(shown);
}

// Bytes of all that is copied, or reordered, and that the text has a line for
// each.
static void check_moves(const json_t *root, const char *list, const char *total, const char *bytes,
                        const char *text)
{
    const json_t *moves = json_object_get(root, list), *totals = json_object_get(root, "totals");
    json_int_t sum = 0;
    for (size_t i = 0; i < json_array_size(moves); i++) {
        const json_t *m = json_array_get(moves, i);
        char name[300];
        snprintf(name, sizeof name, " \"%s\" ", text_of(m, "name"));
        sum += json_integer_value(json_object_get(m, "bytes"));
        CU_ASSERT(json_integer_value(json_object_get(m, "bytes")) > 0);
        CU_ASSERT(has_line(text, name, text_of(m, "from"), text_of(m, "to")));
    }
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(totals, total)),
                    (json_int_t)json_array_size(moves));
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(totals, bytes)), sum);
}

static void check_report(const char *net, tn_exec *e)
{
    json_t *root = report_of(e);
    if (!root) return;
    const char *text = tn_exec_report_text(e);
    const json_t *nodes = json_object_get(root, "nodes");
    const tn_memory_report m = tn_exec_memory(e);
    for (size_t i = 0; i < json_array_size(nodes); i++)
        check_node(net, root, json_array_get(nodes, i), text);
    check_moves(root, "copies", "copies", "copy_bytes", text);
    check_moves(root, "reorders", "reorders", "reorder_bytes", text);
    CU_ASSERT_EQUAL(m.n_copies, json_array_size(json_object_get(root, "copies")));
    CU_ASSERT_EQUAL(m.n_reorders, json_array_size(json_object_get(root, "reorders")));
    json_decref(root);
}

// ------------------------------------------------------------------ tests

static void reports_of_training(void)
{
    for (size_t i = 0; i < ZOO_NETS; i++) {
        tn_exec *e = zoo_bind(&zoo[i], &(zoo_way){.backends = bench.backends});
        check_report(zoo[i].name, e);
        tn_exec_free(e);
    }
}

static void reports_of_inference(void)
{
    for (size_t i = 0; i < ZOO_NETS; i++) {
        tn_fresh();
        tn_exec *e = tn_simple_bind(bench.g, zoo[i].make(), .backends = bench.backends,
                                    .inputs = "data", .shapes = {zoo[i].n_shapes, zoo[i].shapes});
        if (TN_CHECK_EXEC(e)) check_report(zoo[i].name, e);
        tn_exec_free(e);
    }
}

// The placement that a report tells can be required again, and gives the same
// numbers.
static void reports_can_be_required(void)
{
    for (size_t i = 0; i < ZOO_NETS; i++) {
        tn_exec *e = zoo_bind(&zoo[i], &(zoo_way){.backends = bench.backends});
        char *json = e ? strdup(tn_exec_report_json(e)) : NULL;
        tn_fresh();
        tn_exec *again =
            tn_simple_bind(bench.g, zoo[i].make(), .backends = bench.backends, .grad_req = TN_WRITE,
                           .placement = json, .shapes = {zoo[i].n_shapes, zoo[i].shapes});
        if (TN_CHECK_EXEC(again)) {
            zoo_fill(again);
            zoo_compare(zoo[i].name, again, e, 1e-4);
        }
        tn_exec_free(again);
        tn_exec_free(e);
        free(json);
    }
}

// A unit stays in the memory that its nodes lie in; what has another memory could have run it, and
// the report says that this is why it does not.
static void units_stay_in_their_memory(void)
{
    if (!zoo_has("onednn") || !zoo_has("opencl")) {
        tn_skip("needs onednn and opencl");
        return;
    }
    tn_symbol x = tn_op("_plus_scalar", "scalar=1", tn_op("exp", NULL, tn_var("data")));
    tn_exec *e = tn_simple_bind(bench.g, tn_op("rsqrt", NULL, x), .backends = "onednn,opencl,blas",
                                .shapes = TN_SHAPES({"data", TN_DIMS(3, 4)}));
    if (!TN_CHECK_EXEC(e)) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "not opencl: the parts are where no copy is needed");
    TN_CHECK_HAS(tn_exec_report_json(e), "\"reason\": \"device\"");
    tn_exec_free(e);
}

TN_TEST_MAIN({"reports of training", reports_of_training},
             {"reports of inference", reports_of_inference},
             {"reports can be required", reports_can_be_required},
             {"units stay in their memory", units_stay_in_their_memory})
