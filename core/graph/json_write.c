// core/graph/json_write.c: symbols as the JSON that MXNet 1.x writes, byte for byte.
//
// The layout is that of dmlc's JSONWriter: two spaces a level, ", " before each line end, maps of
// at most one entry and arrays of at most ten numbers or entries on one line. Source: NNVM
// src/pass/saveload_json.cc, dmlc-core json.h.
#include "core/graph/graph.h"

enum {
    VERSION = 10500, // MXNet 1.5.0: the last one whose files say nothing about NumPy shapes
    INLINE_ITEMS = 10
};

typedef struct json_out {
    tn_graph *g;
    tni_text text;
    tni_entries heads;
    uint32_t *order; // ids of the nodes in file order
    size_t n;
    uint32_t *index;   // by id: place in the file
    uint32_t *version; // by id: how many operators have written that variable so far
} json_out;

// ------------------------------------------------------------------ text

static bool is_tail(unsigned char c)
{
    return (c & 0xC0u) == 0x80u;
}

// Length of the UTF-8 sequence at s; 0 if it is none (overlong and surrogate forms included).
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80) return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) return is_tail(s[1]) ? 2 : 0;
    if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        if (!is_tail(s[1]) || !is_tail(s[2])) return 0;
        const bool overlong = s[0] == 0xE0 && s[1] < 0xA0;
        const bool surrogate = s[0] == 0xED && s[1] >= 0xA0;
        return overlong || surrogate ? 0 : 3;
    }
    if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        if (!is_tail(s[1]) || !is_tail(s[2]) || !is_tail(s[3])) return 0;
        const bool overlong = s[0] == 0xF0 && s[1] < 0x90;
        const bool too_large = s[0] == 0xF4 && s[1] >= 0x90;
        return overlong || too_large ? 0 : 4;
    }
    return 0;
}

static bool is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        const size_t n = utf8_length(s);
        if (!n) return false;
        s += n;
    }
    return true;
}

// MXNet's reader knows the escapes \r \n \\ \t \" only, and takes everything else as it is; other
// control characters have no form that both MXNet and JSON know, so they get JSON's.
static void put_string(tni_text *t, const char *s)
{
    tni_text_add(t, "\"");
    for (; *s; s++) {
        switch (*s) {
        case '\r': tni_text_add(t, "\\r"); break;
        case '\n': tni_text_add(t, "\\n"); break;
        case '\\': tni_text_add(t, "\\\\"); break;
        case '\t': tni_text_add(t, "\\t"); break;
        case '"': tni_text_add(t, "\\\""); break;
        default:
            if ((unsigned char)*s < 0x20)
                tni_text_printf(t, "\\u%04x", (unsigned)*s);
            else
                tni_text_addn(t, s, 1);
        }
    }
    tni_text_add(t, "\"");
}

// A new line at that depth.
static void put_line(tni_text *t, int depth)
{
    tni_text_printf(t, "\n%*s", 2 * depth, "");
}

// What stands before item i of n in an array whose items are at that depth.
static void put_item(tni_text *t, size_t i, size_t n, int depth)
{
    tni_text_add(t, i ? ", " : "[");
    if (n > INLINE_ITEMS) put_line(t, depth);
}

static void put_array_end(tni_text *t, size_t n, int depth)
{
    if (!n) tni_text_add(t, "[");
    if (n > INLINE_ITEMS) put_line(t, depth - 1);
    tni_text_add(t, "]");
}

static void put_key(tni_text *t, const char *key, bool first, int depth)
{
    if (!first) tni_text_add(t, ", ");
    put_line(t, depth);
    put_string(t, key);
    tni_text_add(t, ": ");
}

// ------------------------------------------------------------------ nodes

static bool put_attrs(json_out *o, uint32_t id)
{
    tni_arena *const arena = &o->g->arena;
    const tni_mark mark = tni_arena_mark(arena);
    const tn_attrs attrs = tni_attrs_sorted(tni_node_at(o->g, id), arena);
    bool ok = true;
    if (attrs.n) put_key(&o->text, "attrs", false, 3);
    for (size_t i = 0; i < attrs.n && ok; i++) {
        tni_text_add(&o->text, i ? ", " : "{");
        if (attrs.n > 1) put_line(&o->text, 4);
        put_string(&o->text, attrs.v[i].key);
        tni_text_add(&o->text, ": ");
        put_string(&o->text, attrs.v[i].value);
        ok = is_utf8(attrs.v[i].key) && is_utf8(attrs.v[i].value);
    }
    if (attrs.n > 1) put_line(&o->text, 3);
    if (attrs.n) tni_text_add(&o->text, "}");
    tni_arena_reset(arena, mark);
    if (!attrs.v) return !tni_graph_no_memory(o->g);
    if (!ok) tni_graph_fail(o->g, TN_E_INVALID, id, "JSON: an attribute is not UTF-8");
    return ok;
}

// An entry is [node, output, version]: the version counts the operators that have written the
// variable, this one included if it does.
static void put_inputs(json_out *o, const tni_node *node)
{
    put_key(&o->text, "inputs", false, 3);
    for (uint32_t i = 0; i < node->n_in; i++) {
        const tni_entry e = node->in[i];
        const tn_port_decl *port = node->op ? tni_op_in(node->op, node->params, i) : NULL;
        if (port && (port->flags & TN_PORT_AUX)) o->version[e.node]++;
        put_item(&o->text, i, node->n_in, 4);
        tni_text_printf(&o->text, "[%u, %u, %u]", o->index[e.node], e.out, o->version[e.node]);
    }
    put_array_end(&o->text, node->n_in, 4);
}

static bool put_node(json_out *o, uint32_t id)
{
    const tni_node *node = tni_node_at(o->g, id);
    if (!is_utf8(node->name))
        return !tni_graph_fail(o->g, TN_E_INVALID, id, "JSON: the name is not UTF-8");
    tni_text_add(&o->text, "{");
    put_key(&o->text, "op", true, 3);
    put_string(&o->text, node->op ? node->op->decl.name : "null");
    put_key(&o->text, "name", false, 3);
    put_string(&o->text, node->name);
    if (!put_attrs(o, id)) return false;
    put_inputs(o, node);
    put_line(&o->text, 2);
    tni_text_add(&o->text, "}");
    return true;
}

// ------------------------------------------------------------------ the graph

static void put_arg_nodes(json_out *o)
{
    size_t n = 0, i = 0;
    for (size_t k = 0; k < o->n; k++) n += tni_is_variable(tni_node_at(o->g, o->order[k]));
    put_key(&o->text, "arg_nodes", false, 1);
    for (size_t k = 0; k < o->n; k++) {
        if (!tni_is_variable(tni_node_at(o->g, o->order[k]))) continue;
        put_item(&o->text, i++, n, 2);
        tni_text_printf(&o->text, "%zu", k);
    }
    put_array_end(&o->text, n, 2);
}

static void put_row_ptr(json_out *o)
{
    uint64_t outputs = 0;
    put_key(&o->text, "node_row_ptr", false, 1);
    for (size_t k = 0; k <= o->n; k++) {
        put_item(&o->text, k, o->n + 1, 2);
        tni_text_printf(&o->text, "%llu", (unsigned long long)outputs);
        if (k < o->n) outputs += tni_node_at(o->g, o->order[k])->n_out;
    }
    put_array_end(&o->text, o->n + 1, 2);
}

static void put_heads(json_out *o)
{
    put_key(&o->text, "heads", false, 1);
    for (size_t i = 0; i < o->heads.n; i++) {
        const tni_entry e = o->heads.v[i];
        put_item(&o->text, i, o->heads.n, 2);
        tni_text_printf(&o->text, "[%u, %u, %u]", o->index[e.node], e.out, o->version[e.node]);
    }
    put_array_end(&o->text, o->heads.n, 2);
}

static bool put_graph(json_out *o)
{
    tni_text_add(&o->text, "{");
    put_key(&o->text, "nodes", true, 1);
    for (size_t k = 0; k < o->n; k++) {
        tni_text_add(&o->text, k ? ", " : "[");
        put_line(&o->text, 2);
        o->index[o->order[k]] = (uint32_t)k;
        if (!put_node(o, o->order[k])) return false;
    }
    put_line(&o->text, 1);
    tni_text_add(&o->text, "]");
    put_arg_nodes(o);
    put_row_ptr(o);
    put_heads(o);
    put_key(&o->text, "attrs", false, 1);
    tni_text_printf(&o->text, "{\"mxnet_version\": [\"int\", %d]}", VERSION);
    put_line(&o->text, 0);
    tni_text_add(&o->text, "}");
    return true;
}

// The JSON of s into text, which the caller frees. False, and an error in g, if it cannot be.
static bool symbol_json(tn_graph *g, tn_symbol s, const char *who, tni_text *text)
{
    *text = (tni_text){0};
    if (!tni_ready(g) || tni_symbol_bad(g, s, who, false)) return false;
    json_out o = {.g = g};
    const tni_mark mark = tni_arena_mark(&g->arena);
    o.heads = tni_symbol_entries(g, s);
    if (o.heads.v) o.order = tni_order(g, o.heads.v, o.heads.n, &o.n);
    o.index = calloc(g->n_nodes + 1, sizeof *o.index);
    o.version = calloc(g->n_nodes + 1, sizeof *o.version);
    bool ok = o.order && o.index && o.version;
    if (ok) ok = put_graph(&o);
    if ((!ok && tni_ready(g)) || o.text.failed) ok = !tni_graph_no_memory(g);
    tni_arena_reset(&g->arena, mark);
    free(o.order);
    free(o.index);
    free(o.version);
    *text = o.text;
    if (!ok) tni_text_free(text);
    return ok;
}

const char *(tn_symbol_json)(tn_graph *g, tn_symbol s)
{
    tni_text text;
    if (!symbol_json(g, s, "tn_symbol_json", &text)) return NULL;
    const char *const result = tni_strndup(&g->arena, text.s, text.n);
    tni_text_free(&text);
    if (!result) tni_graph_no_memory(g);
    return result;
}

tn_status(tn_symbol_save)(tn_graph *g, tn_symbol s, const char *path)
{
    tni_text text;
    if (!symbol_json(g, s, "tn_symbol_save", &text)) return tn_graph_status(g);
    tni_writer w;
    tni_error error = {0};
    tn_status status = tni_writer_open(&w, path, &error);
    if (!status) {
        tni_writer_put(&w, text.s, text.n);
        status = tni_writer_commit(&w, &error);
    }
    tni_text_free(&text);
    if (status) tni_graph_fail(g, status, 0, "tn_symbol_save: %s", tni_error_text(&error));
    tni_error_clear(&error);
    return status;
}
