// core/graph/compose.c: a symbol with some of its variables replaced by other symbols.
//
// MXNet copies everything below the composed symbol, so that parameters exist twice afterwards.
// Here only the nodes that depend on a replaced variable are copied; the rest is shared.
#include "core/graph/graph.h"

typedef struct composing {
    tn_graph *g;
    tni_entries heads;
    uint32_t *order; // nodes below the heads
    size_t count;
    tni_map by_name;  // variables → old id
    tni_map doubled;  // names of two variables → old id of the second
    tni_entry *map;   // by old id: what stands there now; node 0: itself
    uint32_t renamed; // old id of the head that gets a name; 0
    const char *name;
} composing;

// ------------------------------------------------------------------ what is replaced

static bool unknown_variable(composing *c, const char *name)
{
    const char **names = calloc(c->count + 1, sizeof *names);
    size_t n = 0;
    for (size_t i = 0; names && i < c->count; i++) {
        const tni_node *node = &c->g->nodes[c->order[i]];
        if (tni_is_variable(node)) names[n++] = node->name;
    }
    tni_text t = {0};
    if (names) tni_text_nearest(&t, name, names, n);
    tni_graph_fail(c->g, TN_E_NOT_FOUND, 0, "compose: no variable %s%s", name, t.s ? t.s : "");
    tni_text_free(&t);
    free(names);
    return false;
}

static bool find_variables(composing *c)
{
    for (size_t i = 0; i < c->count; i++) {
        const tni_node *n = &c->g->nodes[c->order[i]];
        uint32_t first = 0;
        if (!tni_is_variable(n)) continue;
        const bool again = tni_map_get(&c->by_name, n->name, &first);
        if (!tni_map_put(again ? &c->doubled : &c->by_name, n->name, c->order[i])) return false;
    }
    return true;
}

// The variable of that name below the heads; 0 and an error if there is none or more than one.
static uint32_t variable_of(composing *c, const char *name)
{
    uint32_t found = 0, second = 0;
    if (!tni_map_get(&c->by_name, name, &found)) unknown_variable(c, name);
    if (!found || !tni_map_get(&c->doubled, name, &second)) return found;
    char places[TNI_PLACES];
    tni_graph_fail(c->g, TN_E_EXISTS, 0, "compose: two variables are named %s (%s)", name,
                   tni_two_places(c->g, found, second, places));
    return 0;
}

static bool replace(composing *c, tn_named_symbol with)
{
    if (!with.name) {
        tni_graph_fail(c->g, TN_E_INVALID, 0, "compose: a symbol without the name of a variable");
        return false;
    }
    const uint32_t id = variable_of(c, with.name);
    if (!id) return false;
    if (c->map[id].node) {
        tni_graph_fail(c->g, TN_E_INVALID, 0, "compose: %s: given twice", with.name);
        return false;
    }
    tni_text what = {0};
    tni_text_printf(&what, "compose: %s", with.name);
    c->map[id] = tni_symbol_entry(c->g, with.symbol, what.s ? what.s : "compose");
    tni_text_free(&what);
    return c->map[id].node != 0;
}

// ------------------------------------------------------------------ the head that gets a name

static bool choose_renamed(composing *c)
{
    tn_graph *g = c->g;
    if (!c->name) return true;
    const uint32_t head = c->heads.n ? c->heads.v[0].node : 0;
    const char *wrong = NULL;
    if (!head || !g->nodes[head].op) wrong = "the head is a variable";
    for (size_t i = 1; i < c->heads.n; i++)
        if (c->heads.v[i].node != head) wrong = "the symbol has several heads";
    if (!*c->name) wrong = "it is empty";
    if (wrong) {
        tni_graph_fail(g, TN_E_INVALID, 0, "compose: name %s: %s", c->name, wrong);
        return false;
    }
    c->renamed = head;
    return tni_name_free(g, &g->operators, c->name, "compose: ");
}

// ------------------------------------------------------------------ copying

// A copy of node id with the inputs that stand in the map.
static bool copy_node(composing *c, uint32_t id)
{
    tn_graph *g = c->g;
    const tni_node n = g->nodes[id]; // adding a node may move the array
    tni_entry *in = calloc(n.n_in + 1, sizeof *in);
    bool changed = id == c->renamed;
    for (uint32_t k = 0; in && k < n.n_in; k++) {
        const tni_entry now = c->map[n.in[k].node];
        in[k] = n.in[k];
        if (!now.node) continue;
        // A replaced variable has become one value; a copied node keeps its outputs' numbers.
        in[k] = g->nodes[n.in[k].node].op ? (tni_entry){now.node, n.in[k].out} : now;
        changed = true;
    }
    const uint32_t forward = c->map[n.forward].node;
    const tni_node_spec spec = {.op = n.op,
                                .name = id == c->renamed ? c->name : n.name,
                                .params = n.params,
                                .in = in,
                                .n_in = n.n_in,
                                .attrs = n.attrs,
                                .file = id == c->renamed ? g->file : n.file,
                                .line = id == c->renamed ? g->line : n.line,
                                .forward = forward ? forward : n.forward,
                                .flags = n.flags & ((1u << TNI_NODE_DIGITS) - 1)};
    if (!in)
        tni_graph_no_memory(g);
    else if (changed)
        c->map[id] = (tni_entry){tni_node_add(g, &spec), 0};
    free(in);
    return tni_ready(g);
}

static tn_symbol result(composing *c, tn_symbol s)
{
    tn_graph *g = c->g;
    const tni_node *head = &g->nodes[s.node];
    const bool group = head->flags & TNI_NODE_GROUP;
    tni_entry *v = calloc(c->heads.n + 1, sizeof *v);
    if (!v) {
        tni_graph_no_memory(g);
        return TN_NONE;
    }
    for (size_t i = 0; i < c->heads.n; i++) {
        const tni_entry old = c->heads.v[i], now = c->map[old.node];
        v[i] = !now.node ? old : g->nodes[old.node].op ? (tni_entry){now.node, old.out} : now;
    }
    tn_symbol r = s;
    if (group || c->heads.n == 1)
        r = tni_group(g, v, c->heads.n);
    else if (c->heads.n)
        r = tni_symbol_whole(g, v[0].node); // all outputs of one operator
    free(v);
    return r;
}

static tn_symbol compose(composing *c, tn_symbol s, tn_named_symbols with)
{
    tn_graph *g = c->g;
    c->heads = tni_symbol_entries(g, s);
    if (!tni_ready(g)) return TN_NONE;
    c->order = tni_order(g, c->heads.v, c->heads.n, &c->count);
    c->map = calloc(g->n_nodes + 1, sizeof *c->map);
    if (!c->order || !c->map || !find_variables(c)) {
        tni_graph_no_memory(g);
        return TN_NONE;
    }
    for (size_t i = 0; i < with.n; i++)
        if (!replace(c, with.v[i])) return TN_NONE;
    if (!choose_renamed(c)) return TN_NONE;
    for (size_t i = 0; i < c->count; i++)
        if (g->nodes[c->order[i]].op && !copy_node(c, c->order[i])) return TN_NONE;
    return result(c, s);
}

tn_symbol(tn_compose)(tn_graph *g, tn_symbol s, const char *name, tn_named_symbols with)
{
    if (!tni_ready(g) || tni_list_bad(g, "with", with.n, with.v)) return TN_NONE;
    const tni_save save = tni_graph_save(g);
    composing c = {.g = g, .name = name};
    const tn_symbol r = compose(&c, s, with);
    free(c.order);
    free(c.map);
    tni_map_free(&c.by_name);
    tni_map_free(&c.doubled);
    if (tni_ready(g)) return r;
    tni_graph_undo(g, save);
    return TN_NONE;
}
