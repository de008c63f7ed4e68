// core/graph/walk.c: depth-first order, auxiliary states, names of outputs.
#include "core/graph/graph.h"

// A node on the way down, and its next input.
typedef struct frame {
    uint32_t node, next;
} frame;

typedef struct walk {
    const tn_graph *g;
    uint8_t *seen;
    uint32_t *order;
    size_t n_order, order_capacity;
    frame *stack;
    size_t depth, stack_capacity;
} walk;

static bool enter(walk *w, uint32_t node)
{
    if (w->seen[node]) return true;
    w->seen[node] = 1;
    void *stack = w->stack;
    if (!tni_grow(&stack, &w->stack_capacity, w->depth + 1, sizeof *w->stack)) return false;
    w->stack = stack;
    w->stack[w->depth++] = (frame){node, 0};
    return true;
}

static bool leave(walk *w, uint32_t node)
{
    void *order = w->order;
    if (!tni_grow(&order, &w->order_capacity, w->n_order + 1, sizeof *w->order)) return false;
    w->order = order;
    w->order[w->n_order++] = node;
    w->depth--;
    return true;
}

static bool descend(walk *w, uint32_t head)
{
    if (!enter(w, head)) return false;
    while (w->depth) {
        frame *f = &w->stack[w->depth - 1];
        const tni_node *n = &w->g->nodes[f->node];
        const bool ok = f->next < n->n_in ? enter(w, n->in[f->next++].node) : leave(w, f->node);
        if (!ok) return false;
    }
    return true;
}

uint32_t *tni_order(const tn_graph *g, const tni_entry *heads, size_t n_heads, size_t *count)
{
    uint32_t last = 0; // nothing below a head is newer than it
    for (size_t i = 0; i < n_heads; i++)
        if (heads[i].node > last) last = heads[i].node;
    walk w = {.g = g, .seen = calloc((size_t)last + 1, 1)};
    void *order = NULL;
    bool ok = w.seen && tni_grow(&order, &w.order_capacity, 1, sizeof *w.order);
    w.order = order;
    for (size_t i = 0; i < n_heads && ok; i++) ok = descend(&w, heads[i].node);
    free(w.seen);
    free(w.stack);
    *count = ok ? w.n_order : 0;
    if (ok) return w.order;
    free(w.order);
    return NULL;
}

uint8_t *tni_aux_flags(const tn_graph *g, const uint32_t *order, size_t count)
{
    uint8_t *flags = calloc(g->n_nodes + 1, 1);
    for (size_t i = 0; flags && i < count; i++) {
        const tni_node *n = &g->nodes[order[i]];
        const uint32_t n_ports = n->op ? n->op->n_in : 0;
        // Auxiliary states are declared last; most operators have none.
        if (!n_ports || !(n->op->in[n_ports - 1].flags & TN_PORT_AUX)) continue;
        for (uint32_t k = 0; k < n->n_in; k++) {
            const bool aux = tni_op_in(n->op, n->params, k)->flags & TN_PORT_AUX;
            if (aux && tni_is_variable(&g->nodes[n->in[k].node])) flags[n->in[k].node] = 1;
        }
    }
    return flags;
}

const char *tni_output_name(tn_graph *g, tni_entry e)
{
    const tni_node *n = &g->nodes[e.node];
    if (!n->op) return n->name;
    char out[64];
    tni_op_out_name(n->op, n->params, e.out, out);
    const char *name = tni_printf(&g->arena, "%s%s%s", n->name, *n->name ? "_" : "", out);
    if (!name) tni_graph_no_memory(g);
    return name;
}
