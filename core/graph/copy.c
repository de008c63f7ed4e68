// core/graph/copy.c: copies of symbols, into the same graph or another one.
#include "core/graph/graph.h"

// A copy that is being made.
typedef struct copying {
    tn_graph *to;
    const tn_graph *from;
    uint32_t *map; // old id → new one; 0: not copied
    bool same;     // both are one graph: what a node points to can be shared
} copying;

static tni_attr *copy_attrs(const copying *c, const tni_node *n)
{
    tni_attr *first = NULL, **last = &first;
    for (const tni_attr *a = n->attrs; a; a = a->next) {
        *last = tni_attr_add(c->to, NULL, a->key, a->value);
        if (!*last) return NULL;
        last = &(*last)->next;
    }
    return first;
}

// The operator and its parameters in an env that is not the one of the original.
static bool translate(const copying *c, const tni_node *n, tni_node_spec *spec)
{
    tn_graph *g = c->to;
    spec->op = tni_op_wanted(g, n->op->decl.name);
    if (!spec->op) return false;
    tni_arena scratch = {0};
    const tn_attrs attrs = tni_attrs_params(n, spec->op, &scratch);
    const char *what = tni_printf(&scratch, "%s (%s)", n->name, spec->op->decl.name);
    if (attrs.v && what)
        spec->params = tni_params_parse(spec->op, &g->arena, attrs.v, attrs.n,
                                        tni_graph_place(g, &scratch), what, &g->error);
    else
        tni_graph_no_memory(g);
    tni_arena_free(&scratch);
    if (!spec->params) return false;
    const tni_arity a = tni_op_arity(spec->op, spec->params);
    if (a.n_in == n->n_in && a.n_out == n->n_out) return true;
    tni_graph_fail(g, TN_E_INVALID, 0, "%s: %s has %u inputs and %u outputs here, there %u and %u",
                   n->name, spec->op->decl.name, a.n_in, a.n_out, n->n_in, n->n_out);
    return false;
}

// What a copy of node n points to, owned by the target.
static bool take_over(const copying *c, const tni_node *n, tni_node_spec *spec)
{
    if (c->same) return true;
    spec->attrs = copy_attrs(c, n);
    if (n->attrs && !spec->attrs) return false;
    if (!n->op) return true;
    if (c->to->registry != c->from->registry) return translate(c, n, spec);
    spec->params = tni_params_copy(n->op, &c->to->arena, n->params);
    if (!spec->params) tni_graph_no_memory(c->to);
    return spec->params != NULL;
}

static bool copy_node(const copying *c, uint32_t id)
{
    const tni_node n = c->from->nodes[id]; // adding a node may move the array
    tni_entry *in = calloc(n.n_in + 1, sizeof *in);
    if (!in) {
        tni_graph_no_memory(c->to);
        return false;
    }
    for (uint32_t k = 0; k < n.n_in; k++) in[k] = (tni_entry){c->map[n.in[k].node], n.in[k].out};
    tni_node_spec spec = {.op = n.op,
                          .name = n.name,
                          .params = n.params,
                          .in = in,
                          .n_in = n.n_in,
                          .attrs = n.attrs,
                          .file = n.file,
                          .line = n.line,
                          .forward = c->map[n.forward],
                          .flags = n.flags & ((1u << TNI_NODE_DIGITS) - 1)};
    if (take_over(c, &n, &spec)) c->map[id] = tni_node_add(c->to, &spec);
    free(in);
    return c->map[id] != 0;
}

uint32_t *tni_graph_copy(tn_graph *to, const tn_graph *from, const tni_entry *heads, size_t n_heads)
{
    size_t count;
    uint32_t *order = tni_order(from, heads, n_heads, &count);
    copying c = {to, from, calloc(from->n_nodes + 1, sizeof *c.map), to == from};
    bool ok = order && c.map;
    if (!ok) tni_graph_no_memory(to);
    for (size_t i = 0; ok && i < count; i++) ok = copy_node(&c, order[i]);
    free(order);
    if (ok) return c.map;
    free(c.map);
    return NULL;
}

// What a symbol stands for, without touching its graph, which may be another's.
static tni_entry entry_at(const tn_graph *g, tn_symbol s, size_t i)
{
    const tni_node *n = &g->nodes[s.node];
    if (n->flags & TNI_NODE_GROUP) return n->in[i];
    return (tni_entry){s.node, s.out == TN_ALL_OUTPUTS ? (uint32_t)i : s.out};
}

static size_t num_entries(const tn_graph *g, tn_symbol s)
{
    const tni_node *n = &g->nodes[s.node];
    if (n->flags & TNI_NODE_GROUP) return n->n_in;
    return s.out == TN_ALL_OUTPUTS ? n->n_visible : 1;
}

static bool bad(tn_graph *g, const tn_graph *from, tn_symbol s)
{
    const bool known = from && s.node && s.graph == from->tag && s.node <= from->n_nodes;
    if (known && (s.out == TN_ALL_OUTPUTS || s.out < from->nodes[s.node].n_out)) return false;
    tni_graph_fail(g, TN_E_INVALID, 0, "copy: %s",
                   !from         ? "no graph to copy from (NULL)"
                   : s.node == 0 ? "no symbol (TN_NONE)"
                                 : "this symbol does not belong to the graph to copy from");
    return true;
}

static tn_symbol copy_entries(tn_graph *g, const tn_graph *from, tn_symbol s, tni_entry *heads,
                              size_t n)
{
    uint32_t *map = tni_graph_copy(g, from, heads, n);
    if (!map) return TN_NONE;
    for (size_t i = 0; i < n; i++) heads[i].node = map[heads[i].node];
    const tni_node *old = &from->nodes[s.node];
    const bool whole = !(old->flags & TNI_NODE_GROUP) && s.out == TN_ALL_OUTPUTS;
    const tn_symbol copy = whole ? tni_symbol_whole(g, map[s.node]) : tni_group(g, heads, n);
    free(map);
    return copy;
}

tn_symbol(tn_symbol_copy)(tn_graph *g, tn_graph *from, tn_symbol s)
{
    if (!tni_ready(g) || bad(g, from, s)) return TN_NONE;
    const size_t n = num_entries(from, s);
    const tni_save save = tni_graph_save(g);
    tni_entry *heads = calloc(n + 1, sizeof *heads);
    for (size_t i = 0; heads && i < n; i++) heads[i] = entry_at(from, s, i);
    if (!heads) tni_graph_no_memory(g);
    const tn_symbol copy = heads ? copy_entries(g, from, s, heads, n) : TN_NONE;
    free(heads);
    tni_graph_settle(g, save);
    return copy;
}
