// core/graph/query.c: looking at symbols: names below them, their outputs, parts and groups.
#include "core/graph/graph.h"

// ------------------------------------------------------------------ names of variables

enum { ARGUMENTS = 1, AUXILIARY = 2 };

// Names of the variables in `order` that are of the wanted kinds, in g's arena.
static tn_names pick(tn_graph *g, const uint32_t *order, size_t count, int kinds)
{
    uint8_t *aux = tni_aux_flags(g, order, count);
    size_t n = 0;
    const char **v = NULL;
    for (int pass = 0; aux && pass < 2; pass++) {
        if (pass) v = tni_alloc(&g->arena, n * sizeof *v);
        if (pass && !v) break;
        n = 0;
        for (size_t i = 0; i < count; i++) {
            const tni_node *node = &g->nodes[order[i]];
            if (!tni_is_variable(node)) continue;
            if (!(kinds & (aux[order[i]] ? AUXILIARY : ARGUMENTS))) continue;
            if (v) v[n] = node->name;
            n++;
        }
    }
    free(aux);
    if (v) return (tn_names){n, v};
    tni_graph_no_memory(g);
    return (tn_names){0};
}

static tn_names names_of(tn_graph *g, tn_symbol s, int kinds)
{
    tn_names names = {0};
    if (!tni_ready(g)) return names;
    const tni_save save = tni_graph_save(g);
    const tni_entries heads = tni_symbol_entries(g, s);
    if (!tni_ready(g)) return names;
    size_t count;
    uint32_t *order = tni_order(g, heads.v, heads.n, &count);
    if (order)
        names = pick(g, order, count, kinds);
    else
        tni_graph_no_memory(g);
    free(order);
    tni_graph_settle(g, save);
    return names;
}

tn_names(tn_arguments)(tn_graph *g, tn_symbol s)
{
    return names_of(g, s, ARGUMENTS);
}

tn_names(tn_auxiliary_states)(tn_graph *g, tn_symbol s)
{
    return names_of(g, s, AUXILIARY);
}

tn_names(tn_inputs)(tn_graph *g, tn_symbol s)
{
    return names_of(g, s, ARGUMENTS | AUXILIARY);
}

// ------------------------------------------------------------------ outputs

tn_names(tn_outputs)(tn_graph *g, tn_symbol s)
{
    const tn_names none = {0};
    if (!tni_ready(g)) return none;
    const tni_save save = tni_graph_save(g);
    const tni_entries e = tni_symbol_entries(g, s);
    if (!tni_ready(g)) return none;
    const char **v = tni_alloc(&g->arena, e.n * sizeof *v);
    if (!v) tni_graph_no_memory(g);
    for (size_t i = 0; v && i < e.n && tni_ready(g); i++) v[i] = tni_output_name(g, e.v[i]);
    tni_graph_settle(g, save);
    return tni_ready(g) ? (tn_names){e.n, v} : none;
}

const char *(tn_symbol_name)(tn_graph *g, tn_symbol s)
{
    if (!tni_ready(g) || tni_symbol_bad(g, s, "symbol", false)) return NULL;
    const tni_node *n = &g->nodes[s.node];
    return n->flags & TNI_NODE_GROUP ? NULL : n->name;
}

const char *(tn_symbol_op)(tn_graph *g, tn_symbol s)
{
    if (!tni_ready(g) || tni_symbol_bad(g, s, "symbol", false)) return NULL;
    const tni_node *n = &g->nodes[s.node];
    return n->op ? n->op->decl.name : NULL;
}

tn_symbol(tn_output)(tn_graph *g, tn_symbol s, size_t i)
{
    if (!tni_ready(g)) return TN_NONE;
    const tni_entries e = tni_symbol_entries(g, s);
    if (!tni_ready(g)) return TN_NONE;
    if (i < e.n) return tni_symbol_of(g, e.v[i]);
    tni_graph_fail(g, TN_E_INVALID, 0, "output %zu: the symbol has %zu, counted from 0", i, e.n);
    return TN_NONE;
}

static bool same_entry(tni_entry a, tni_entry b)
{
    return a.node == b.node && a.out == b.out;
}

// The entry whose name matches; {0,0} if none. Two different ones are an error.
static tni_entry find(tn_graph *g, tni_entries e, const char *const *names, const char *wanted)
{
    tni_entry found = {0, 0};
    for (size_t i = 0; i < e.n; i++) {
        if (!names[i] || strcmp(names[i], wanted) != 0 || same_entry(found, e.v[i])) continue;
        if (found.node) {
            char places[TNI_PLACES];
            tni_graph_fail(g, TN_E_EXISTS, 0, "two outputs are named %s (%s)", wanted,
                           tni_two_places(g, found.node, e.v[i].node, places));
            return (tni_entry){0, 0};
        }
        found = e.v[i];
    }
    return found;
}

tn_symbol(tn_output_named)(tn_graph *g, tn_symbol s, const char *name)
{
    if (!tni_ready(g)) return TN_NONE;
    if (!name) {
        tni_graph_fail(g, TN_E_INVALID, 0, "output: NULL is no name");
        return TN_NONE;
    }
    const tni_save save = tni_graph_save(g);
    const tn_names outputs = (tn_outputs)(g, s);
    const tni_entries e = tni_symbol_entries(g, s);
    const char **nodes = tni_alloc(&g->arena, e.n * sizeof *nodes);
    if (!nodes) tni_graph_no_memory(g);
    tni_entry found = {0, 0};
    if (tni_ready(g)) found = find(g, e, outputs.v, name);
    for (size_t i = 0; nodes && i < e.n; i++) {
        const tni_node *n = &g->nodes[e.v[i].node];
        if (n->n_visible == 1) nodes[i] = n->name;
    }
    if (tni_ready(g) && !found.node) found = find(g, e, nodes, name);
    if (tni_ready(g) && !found.node) {
        tni_text t = {0};
        tni_text_nearest(&t, name, outputs.v, outputs.n);
        tni_graph_fail(g, TN_E_NOT_FOUND, 0, "no output is named %s%s", name, t.s ? t.s : "");
        tni_text_free(&t);
    }
    tni_graph_undo(g, save); // the names were needed for the search only
    return found.node ? tni_symbol_of(g, found) : TN_NONE;
}

// ------------------------------------------------------------------ groups

tn_symbol(tn_group)(tn_graph *g, tn_symbols members)
{
    if (!tni_ready(g) || tni_list_bad(g, "members", members.n, members.v)) return TN_NONE;
    const tni_save save = tni_graph_save(g);
    tni_entry *v = NULL;
    size_t n = 0, capacity = 0;
    for (size_t i = 0; i < members.n && tni_ready(g); i++) {
        char what[32];
        snprintf(what, sizeof what, "member %zu", i);
        if (tni_symbol_bad(g, members.v[i], what, false)) break;
        const tni_entries e = tni_symbol_entries(g, members.v[i]);
        void *room = v;
        if (!tni_grow(&room, &capacity, n + e.n, sizeof *v)) {
            tni_graph_no_memory(g);
            break;
        }
        v = room;
        if (e.n) memcpy(v + n, e.v, e.n * sizeof *v);
        n += e.n;
    }
    if (tni_ready(g) && !n) tni_graph_fail(g, TN_E_INVALID, 0, "a group of nothing");
    tni_graph_undo(g, save);
    const tn_symbol s = tni_ready(g) ? tni_group(g, v, n) : TN_NONE;
    free(v);
    return s;
}

tn_symbol(tn_internals)(tn_graph *g, tn_symbol s)
{
    if (!tni_ready(g)) return TN_NONE;
    const tni_save save = tni_graph_save(g);
    const tni_entries heads = tni_symbol_entries(g, s);
    if (!tni_ready(g)) return TN_NONE;
    size_t count, n = 0;
    uint32_t *order = tni_order(g, heads.v, heads.n, &count);
    for (size_t i = 0; i < count; i++) n += g->nodes[order[i]].n_visible;
    tni_entry *v = order ? calloc(n + 1, sizeof *v) : NULL;
    n = 0;
    for (size_t i = 0; v && i < count; i++)
        for (uint32_t k = 0; k < g->nodes[order[i]].n_visible; k++)
            v[n++] = (tni_entry){order[i], k};
    if (!v) tni_graph_no_memory(g);
    const tn_symbol group = v ? tni_group(g, v, n) : TN_NONE;
    free(order);
    free(v);
    tni_graph_settle(g, save);
    return group;
}

tn_symbol(tn_children)(tn_graph *g, tn_symbol s)
{
    if (!tni_ready(g)) return TN_NONE;
    const tni_save save = tni_graph_save(g);
    const tni_entries heads = tni_symbol_entries(g, s);
    tni_entry *v = NULL;
    size_t n = 0, capacity = 0;
    uint8_t *met = calloc(g->n_nodes + 1, 1); // each head node once
    bool ok = met && tni_ready(g);
    for (size_t i = 0; ok && i < heads.n; i++) {
        const tni_node *head = &g->nodes[heads.v[i].node];
        if (met[heads.v[i].node]++) continue;
        void *room = v;
        ok = tni_grow(&room, &capacity, n + head->n_in, sizeof *v);
        v = room;
        if (ok && head->n_in) memcpy(v + n, head->in, head->n_in * sizeof *v);
        if (ok) n += head->n_in;
    }
    if (!ok && tni_ready(g)) tni_graph_no_memory(g);
    const tn_symbol group = ok && n ? tni_group(g, v, n) : TN_NONE;
    free(met);
    free(v);
    tni_graph_settle(g, save);
    return group;
}
