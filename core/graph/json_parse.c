// core/graph/json_parse.c: takes an MXNet symbol file apart, every field checked.
//
// Versions 0.8 to 1.x: parameters stand under "attrs" (1.x), "attr" (0.9 to 0.12) or "param" (0.8,
// with user attributes under "attr"); an entry is [node, output] or [node, output, version].
#include <jansson.h>

#include "core/graph/graph.h"

enum { LONGEST_TEXT = 1 << 20 }; // of a name or an attribute

bool tni_json_fail(const tni_file_graph *f, tn_status status, uint32_t node, const char *format,
                   ...)
{
    char text[1024]; // what is longer is cut: names come from the file
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!node)
        tni_graph_fail(f->g, status, 0, "%s: %s", f->source, text);
    else if (!f->nodes || !f->nodes[node].name)
        tni_graph_fail(f->g, status, 0, "%s: node %u: %s", f->source, node - 1, text);
    else
        tni_graph_fail(f->g, status, 0, "%s: node %u \"%.200s\": %s", f->source, node - 1,
                       f->nodes[node].name, text);
    return false;
}

static bool out_of_memory(const tni_file_graph *f)
{
    return tni_json_fail(f, TN_E_NOMEM, 0, "out of memory");
}

static const char *kind_of(const json_t *v)
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a real number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    default: return v ? "null" : "nothing";
    }
}

static bool want(const tni_file_graph *f, uint32_t node, const char *key, const json_t *v,
                 json_type type, const char *wanted)
{
    if (v && json_typeof(v) == type) return true;
    return tni_json_fail(f, TN_E_FORMAT, node, "%s: wanted %s, got %s", key, wanted, kind_of(v));
}

// Every key of the object must be one of `known`.
static bool check_keys(const tni_file_graph *f, uint32_t node, const json_t *object,
                       const char *const *known, size_t n)
{
    void *it = json_object_iter((json_t *)object);
    for (; it; it = json_object_iter_next((json_t *)object, it)) {
        const char *const key = json_object_iter_key(it);
        size_t i = 0;
        while (i < n && strcmp(known[i], key)) i++;
        if (i < n) continue;
        tni_text t = {0};
        tni_text_nearest(&t, key, known, n);
        tni_json_fail(f, TN_E_FORMAT, node, "unknown key \"%.100s\"%s", key, t.s ? t.s : "");
        tni_text_free(&t);
        return false;
    }
    return true;
}

// An integer 0 … limit-1.
static bool get_index(const tni_file_graph *f, uint32_t node, const char *what, const json_t *v,
                      uint32_t limit, uint32_t *out)
{
    if (!json_is_integer(v))
        return tni_json_fail(f, TN_E_FORMAT, node, "%s: wanted an integer, got %s", what,
                             kind_of(v));
    const json_int_t i = json_integer_value(v);
    if (i < 0 || i >= (json_int_t)limit)
        return tni_json_fail(f, TN_E_FORMAT, node, "%s: wanted 0 <= n < %u, got %lld", what, limit,
                             (long long)i);
    *out = (uint32_t)i;
    return true;
}

// [node, output] or [node, output, version], where node is one of the first `limit` of the file.
static bool get_entry(const tni_file_graph *f, uint32_t node, const char *what, const json_t *v,
                      uint32_t limit, tni_entry *out)
{
    const size_t n = json_array_size(v);
    if (n != 2 && n != 3)
        return tni_json_fail(f, TN_E_FORMAT, node,
                             "%s: wanted [node, output, version], got %s of %zu", what, kind_of(v),
                             n);
    uint32_t id, output, version;
    if (!get_index(f, node, what, json_array_get(v, 0), limit, &id)) return false;
    if (!get_index(f, node, what, json_array_get(v, 1), TNI_MAX_PORTS, &output)) return false;
    if (n == 3 && !get_index(f, node, what, json_array_get(v, 2), UINT32_MAX, &version))
        return false;
    if (!f->nodes[id + 1].op_name && output)
        return tni_json_fail(f, TN_E_FORMAT, node, "%s: output %u of variable \"%.100s\"", what,
                             output, f->nodes[id + 1].name);
    *out = (tni_entry){id + 1, output};
    return true;
}

static bool get_entries(tni_file_graph *f, uint32_t node, const char *what, const json_t *v,
                        uint32_t limit, tni_entry **out, uint32_t *n_out)
{
    if (!want(f, node, what, v, JSON_ARRAY, "an array")) return false;
    const size_t n = json_array_size(v);
    if (n > UINT32_MAX - 1) return out_of_memory(f);
    *out = tni_alloc(&f->arena, (n + 1) * sizeof **out);
    if (!*out) return out_of_memory(f);
    for (size_t i = 0; i < n; i++) {
        char place[64];
        snprintf(place, sizeof place, "%s[%zu]", what, i);
        if (!get_entry(f, node, place, json_array_get(v, i), limit, &(*out)[i])) return false;
    }
    *n_out = (uint32_t)n;
    return true;
}

// An array of numbers 0 … limit-1.
static bool check_indices(const tni_file_graph *f, uint32_t node, const char *what, const json_t *v,
                          uint32_t limit)
{
    if (!want(f, node, what, v, JSON_ARRAY, "an array")) return false;
    const size_t n = json_array_size(v);
    uint32_t ignored;
    for (size_t i = 0; i < n; i++) {
        char place[64];
        snprintf(place, sizeof place, "%s[%zu]", what, i);
        if (!get_index(f, node, place, json_array_get(v, i), limit, &ignored)) return false;
    }
    return true;
}

// ------------------------------------------------------------------ nodes

static const char *const attr_keys[] = {"attrs", "attr", "param"}; // an earlier one wins
enum { N_ATTR_KEYS = sizeof attr_keys / sizeof *attr_keys };

// Adds the attributes under key number k, but for those that an earlier key has given.
static bool get_attrs(tni_file_graph *f, uint32_t id, const json_t *object, size_t k)
{
    json_t *const v = json_object_get(object, attr_keys[k]);
    if (!v) return true;
    if (!want(f, id, attr_keys[k], v, JSON_OBJECT, "an object")) return false;
    for (void *it = json_object_iter(v); it; it = json_object_iter_next(v, it)) {
        const char *const key = json_object_iter_key(it);
        const json_t *const value = json_object_iter_value(it);
        if (!json_is_string(value))
            return tni_json_fail(f, TN_E_FORMAT, id, "%s: \"%.100s\": wanted a string, got %s",
                                 attr_keys[k], key, kind_of(value));
        bool given = false;
        for (size_t j = 0; j < k; j++)
            given |= json_object_get(json_object_get(object, attr_keys[j]), key) != NULL;
        if (given) continue;
        tni_attr *const a = tni_alloc(&f->arena, sizeof *a);
        if (!a) return out_of_memory(f);
        *a = (tni_attr){key, json_string_value(value), f->nodes[id].attrs};
        f->nodes[id].attrs = a;
    }
    return true;
}

// The order of execution follows from data alone here, so control_deps are checked and dropped:
// operators have no effect but their outputs.
static bool check_rest(const tni_file_graph *f, uint32_t id, const json_t *object)
{
    const json_t *const deps = json_object_get(object, "control_deps");
    if (deps && !check_indices(f, id, "control_deps", deps, id - 1)) return false;
    const json_t *const source = json_object_get(object, "backward_source_id");
    if (!source) return true;
    if (!want(f, id, "backward_source_id", source, JSON_INTEGER, "an integer")) return false;
    if (json_integer_value(source) < 0) return true;
    return tni_json_fail(f, TN_E_UNSUPPORTED, id,
                         "backward_source_id: wanted -1: gradient nodes are not read, save the "
                         "forward symbol");
}

static bool get_node(tni_file_graph *f, uint32_t id, const json_t *object)
{
    static const char *const known[] = {"op",    "name",         "attrs",  "attr",
                                        "param", "control_deps", "inputs", "backward_source_id"};
    if (!want(f, id, "node", object, JSON_OBJECT, "an object")) return false;
    const json_t *const name = json_object_get(object, "name");
    if (!want(f, id, "name", name, JSON_STRING, "a string")) return false;
    tni_file_node *const node = &f->nodes[id];
    node->name = json_string_value(name);
    if (!check_keys(f, id, object, known, sizeof known / sizeof *known)) return false;

    const json_t *const op = json_object_get(object, "op");
    if (!want(f, id, "op", op, JSON_STRING, "a string")) return false;
    if (strcmp(json_string_value(op), "null")) node->op_name = json_string_value(op);

    for (size_t k = 0; k < N_ATTR_KEYS; k++)
        if (!get_attrs(f, id, object, k)) return false;
    const json_t *const inputs = json_object_get(object, "inputs");
    if (!get_entries(f, id, "inputs", inputs, id - 1, &node->in, &node->n_in)) return false;
    if (!node->op_name && node->n_in)
        return tni_json_fail(f, TN_E_FORMAT, id, "inputs: a variable has none, got %u", node->n_in);
    if (!node->op_name && !*node->name)
        return tni_json_fail(f, TN_E_FORMAT, id, "name: a variable must have one");
    return check_rest(f, id, object);
}

// ------------------------------------------------------------------ the whole

static bool get_nodes(tni_file_graph *f, const json_t *v)
{
    if (!want(f, 0, "nodes", v, JSON_ARRAY, "an array")) return false;
    const size_t n = json_array_size(v);
    if (n > INT32_MAX) return out_of_memory(f);
    f->nodes = tni_alloc(&f->arena, (n + 1) * sizeof *f->nodes);
    if (!f->nodes) return out_of_memory(f);
    f->n = (uint32_t)n;
    for (uint32_t id = 1; id <= f->n; id++)
        if (!get_node(f, id, json_array_get(v, id - 1))) return false;
    return true;
}

static bool check_arg_nodes(const tni_file_graph *f, const json_t *v)
{
    if (!check_indices(f, 0, "arg_nodes", v, f->n)) return false;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const uint32_t id = (uint32_t)json_integer_value(json_array_get(v, i)) + 1;
        if (f->nodes[id].op_name)
            return tni_json_fail(f, TN_E_FORMAT, id, "arg_nodes[%zu]: wanted a variable, got a %s",
                                 i, f->nodes[id].op_name);
    }
    return true;
}

// {"mxnet_version": ["int", 1100], …}. Files without are of 0.8.
static bool get_version(tni_file_graph *f, const json_t *attrs)
{
    f->version = 800;
    if (!attrs) return true;
    if (!want(f, 0, "attrs", attrs, JSON_OBJECT, "an object")) return false;
    const json_t *const pair = json_object_get(attrs, "mxnet_version");
    if (!pair) return true;
    const json_t *const number = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(number) || json_integer_value(number) < 0)
        return tni_json_fail(f, TN_E_FORMAT, 0, "attrs: mxnet_version: wanted [\"int\", n]");
    f->version = json_integer_value(number);
    return true;
}

static void mark_used(tni_file_graph *f)
{
    for (uint32_t i = 0; i < f->n_heads; i++) f->nodes[f->heads[i].node].used = true;
    for (uint32_t id = f->n; id > 0; id--) // inputs are older, so one pass is enough
        if (f->nodes[id].used)
            for (uint32_t i = 0; i < f->nodes[id].n_in; i++)
                f->nodes[f->nodes[id].in[i].node].used = true;
}

static bool get_graph(tni_file_graph *f, const json_t *root)
{
    static const char *const known[] = {"nodes", "arg_nodes", "node_row_ptr", "heads", "attrs"};
    if (!want(f, 0, "the file", root, JSON_OBJECT, "an object")) return false;
    if (!check_keys(f, 0, root, known, sizeof known / sizeof *known)) return false;
    if (!get_version(f, json_object_get(root, "attrs"))) return false;
    if (!get_nodes(f, json_object_get(root, "nodes"))) return false;
    if (!check_arg_nodes(f, json_object_get(root, "arg_nodes"))) return false;
    const json_t *const rows = json_object_get(root, "node_row_ptr");
    if (rows && !check_indices(f, 0, "node_row_ptr", rows, UINT32_MAX)) return false;
    const json_t *const heads = json_object_get(root, "heads");
    if (!get_entries(f, 0, "heads", heads, f->n, &f->heads, &f->n_heads)) return false;
    if (!f->n_heads) return tni_json_fail(f, TN_E_FORMAT, 0, "heads: wanted at least one, got []");
    mark_used(f);
    return true;
}

// jansson (2.14) does not look whether its buffer for a text could grow, and then copies beyond it.
// Real texts are short, so the buffer stays small enough for that never to matter.
static bool texts_fit(const tni_file_graph *f, const char *text, size_t bytes)
{
    size_t begin = 0;
    bool inside = false;
    for (size_t i = 0; i < bytes; i++) {
        if (inside && i - begin > LONGEST_TEXT)
            return tni_json_fail(f, TN_E_FORMAT, 0, "byte %zu: wanted a text of at most %d bytes",
                                 begin, LONGEST_TEXT);
        if (inside && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            inside = !inside;
            begin = i;
        }
    }
    return true;
}

bool tni_json_parse(tni_file_graph *f, const char *text, size_t bytes)
{
    json_error_t error;
    if (!texts_fit(f, text, bytes)) return false;
    json_t *const root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    f->root = root;
    if (root) return get_graph(f, root);
    if (json_error_code(&error) == json_error_out_of_memory) return out_of_memory(f);
    return tni_json_fail(f, TN_E_FORMAT, 0, "byte %d (line %d, column %d): %s", error.position,
                         error.line, error.column, error.text);
}
