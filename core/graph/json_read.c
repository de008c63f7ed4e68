// core/graph/json_read.c: graphs from MXNet symbol files.
//
// Three steps: the text is taken apart (json_parse.c), brought to today's form (json_upgrade.c),
// and here added to the graph. Whatever fails, the graph is as it was before.
#include <jansson.h>

#include "core/graph/graph.h"

// The attributes of a file's node in the graph's arena, in the same order. False: out of memory.
static bool keep_attrs(tn_graph *g, const tni_attr *from, tni_attr **to)
{
    *to = NULL;
    for (tni_attr **link = to; from; from = from->next) {
        tni_attr *const a = tni_alloc(&g->arena, sizeof *a);
        if (!a) return false;
        a->key = tni_strdup(&g->arena, from->key);
        a->value = tni_strdup(&g->arena, from->value);
        if (!a->key || !a->value) return false;
        *link = a;
        link = &a->next;
    }
    return true;
}

static uint32_t add_variable(tn_graph *g, const char *name, const tni_attr *attrs, const char *init)
{
    tni_node_spec spec = {.name = name, .file = g->file, .line = g->line};
    if (!keep_attrs(g, attrs, &spec.attrs)) return 0;
    if (init) {
        spec.attrs = tni_attr_add(g, spec.attrs, "__init__", init);
        if (!spec.attrs) return 0;
    }
    return tni_node_add(g, &spec);
}

// The variable for an input that the file lacks: <operator>_<input>, with the attributes of the
// operator as MXNet gives them.
static uint32_t add_missing(tni_file_graph *f, const tni_file_node *node, uint32_t i)
{
    char buffer[64];
    const char *const input = tni_op_in_name(node->op, node->params, i, buffer);
    const char *const name =
        tni_printf(&f->arena, "%s%s%s", node->name, *node->name ? "_" : "", input);
    bool initialised = false;
    for (const tni_attr *a = node->attrs; a; a = a->next)
        initialised |= !strcmp(a->key, "__init__");
    const char *const init = initialised ? NULL : tni_op_in(node->op, node->params, i)->init;
    return name ? add_variable(f->g, name, node->attrs, init) : 0;
}

static uint32_t add_operator(tni_file_graph *f, const tni_file_node *node, const uint32_t *ids)
{
    tn_graph *const g = f->g;
    tni_entry *const in = tni_alloc(&f->arena, (node->arity.n_in + 1) * sizeof *in);
    if (!in) return 0;
    for (uint32_t i = 0; i < node->n_in; i++)
        in[i] = (tni_entry){ids[node->in[i].node], node->in[i].out};
    for (uint32_t i = node->n_in; i < node->arity.n_in; i++) {
        in[i].node = add_missing(f, node, i);
        if (!in[i].node) return 0;
    }
    tni_node_spec spec = {.op = node->op,
                          .name = node->name,
                          .params = node->params,
                          .in = in,
                          .n_in = node->arity.n_in,
                          .file = g->file,
                          .line = g->line};
    return keep_attrs(g, node->attrs, &spec.attrs) ? tni_node_add(g, &spec) : 0;
}

// Heads that are all visible outputs of one node are that node; others make a group.
static tn_symbol heads_symbol(tni_file_graph *f, const uint32_t *ids)
{
    for (uint32_t i = 0; i < f->n_heads; i++) f->heads[i].node = ids[f->heads[i].node];
    const tni_entry *const heads = f->heads;
    bool whole = f->n_heads == tni_node_at(f->g, heads[0].node)->n_visible;
    for (uint32_t i = 0; i < f->n_heads; i++)
        whole = whole && heads[i].node == heads[0].node && heads[i].out == i;
    return whole ? tni_symbol_whole(f->g, heads[0].node) : tni_group(f->g, heads, f->n_heads);
}

static tn_symbol add_nodes(tni_file_graph *f)
{
    const tn_symbol none = {0};
    uint32_t *const ids = tni_alloc(&f->arena, ((size_t)f->n + 1) * sizeof *ids);
    for (uint32_t i = 1; i <= f->n && ids; i++) {
        const tni_file_node *const node = &f->nodes[i];
        if (!node->used) continue;
        ids[i] = node->op ? add_operator(f, node, ids)
                          : add_variable(f->g, node->name, node->attrs, NULL);
        if (ids[i]) continue;
        if (tni_ready(f->g)) tni_graph_no_memory(f->g);
        return none;
    }
    if (ids) return heads_symbol(f, ids);
    tni_graph_no_memory(f->g);
    return none;
}

static tn_symbol parse(tn_graph *g, const char *source, const char *text, size_t bytes)
{
    tni_file_graph f = {.g = g, .source = source};
    const tni_save save = tni_graph_save(g);
    tn_symbol result = {0};
    if (tni_json_parse(&f, text, bytes) && tni_json_upgrade(&f)) result = add_nodes(&f);
    if (!result.node) tni_graph_undo(g, save);
    tni_arena_free(&f.arena);
    json_decref(f.root);
    return result;
}

tn_symbol(tn_symbol_parse)(tn_graph *g, const char *text, size_t bytes)
{
    const tn_symbol none = {0};
    if (!tni_ready(g)) return none;
    if (text) return parse(g, "tn_symbol_parse", text, bytes);
    tni_graph_fail(g, TN_E_INVALID, 0, "tn_symbol_parse: text: wanted JSON, got NULL");
    return none;
}

tn_symbol(tn_symbol_load)(tn_graph *g, const char *path)
{
    tn_symbol result = {0};
    if (!tni_ready(g)) return result;
    char *text;
    size_t bytes;
    tni_error error = {0};
    if (tni_file_read(path, &text, &bytes, &error)) {
        tni_graph_fail(g, error.status, 0, "%s", tni_error_text(&error));
        tni_error_clear(&error);
        return result;
    }
    result = parse(g, path, text, bytes);
    free(text);
    return result;
}
