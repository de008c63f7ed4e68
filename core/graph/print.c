// core/graph/print.c: a graph as text, one line a node.
#include "core/graph/graph.h"

static void add_value(const char *key, const char *value, tni_text *t)
{
    const bool quote = !*value || strpbrk(value, " \t\n\"");
    const bool bracket = *value == '(' || *value == '[';
    tni_text_printf(t, quote && !bracket ? " %s=\"%s\"" : " %s=%s", key, value);
}

// A variable made for an operator has all of its attributes; only those of variables tell anything.
static bool is_told(const tni_node *n, const char *key)
{
    return n->op || strncmp(key, "__", 2) == 0;
}

static void add_inputs(const tn_graph *g, const tni_node *n, tni_text *t)
{
    for (uint32_t k = 0; k < n->n_in; k++) {
        tni_text_printf(t, "%s%%%u", k ? ", " : "", n->in[k].node);
        // The number of an output is told where there are several.
        if (g->nodes[n->in[k].node].n_out > 1) tni_text_printf(t, ".%u", n->in[k].out);
    }
}

void tni_print_node(const tn_graph *g, uint32_t id, const tn_shape *shape, tn_dtype dtype,
                    tni_text *t)
{
    const tni_node *n = &g->nodes[id];
    const char *kind = n->op ? n->op->decl.name : n->flags & TNI_NODE_GROUP ? "group" : "variable";
    tni_text_printf(t, "%%%u = %s", id, kind);
    if (n->op || n->n_in) {
        tni_text_add(t, "(");
        add_inputs(g, n, t);
        tni_text_add(t, ")");
    }
    tni_arena scratch = {0};
    const tn_attrs attrs = tni_attrs_sorted(n, &scratch);
    if (!attrs.v) t->failed = true;
    for (size_t i = 0; i < attrs.n; i++)
        if (is_told(n, attrs.v[i].key)) add_value(attrs.v[i].key, attrs.v[i].value, t);
    tni_arena_free(&scratch);
    if (dtype || shape) tni_text_add(t, "  ");
    if (dtype) tni_text_add(t, tn_dtype_name(dtype));
    if (shape) tni_text_shape(t, shape);
    tni_text_printf(t, "  \"%s\"", n->name);
    if (n->file) tni_text_printf(t, "  %s:%d", n->file, n->line);
}

const char *(tn_symbol_text)(tn_graph *g, tn_symbol s)
{
    if (!tni_ready(g)) return NULL;
    const tni_save save = tni_graph_save(g);
    const tni_entries heads = tni_symbol_entries(g, s);
    if (!tni_ready(g)) return NULL;
    size_t count;
    uint32_t *order = tni_order(g, heads.v, heads.n, &count);
    tni_text t = {.failed = !order};
    tni_text_add(&t, "");
    for (size_t i = 0; i < count; i++) {
        tni_print_node(g, order[i], NULL, TN_DTYPE_NONE, &t);
        tni_text_add(&t, "\n");
    }
    const char *text = t.failed ? NULL : tni_strndup(&g->arena, t.s, t.n);
    free(order);
    tni_text_free(&t);
    if (!text) tni_graph_no_memory(g);
    tni_graph_settle(g, save);
    return text;
}
