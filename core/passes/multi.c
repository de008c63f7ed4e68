// core/passes/multi.c: finds calls of one operator that could run in any order, such as the updates
// of all parameters: a device may run them as one.
//
// They read variables only, states of their own included, and nothing in the graph reads their
// results, so all may run where the last of them stands. Who wants a shape only is left out: an
// input of _multi is data, which has to be brought.
#include "core/passes/units.h"

enum { OTHER, FREE, TAKEN }; // TAKEN: a node reads it, or it is in a unit

static bool reads_variables(const tn_graph *g, const tni_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!tni_is_variable(tni_node_at(g, n->in[i].node)) ||
            tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY)
            return false;
    return n->n_in > 0;
}

// Marks the nodes in question: those that nothing reads, among target's.
static void mark(const tni_units *u, const tni_device *target, uint8_t *state)
{
    const tni_placed *o = u->p->out;
    for (uint32_t id = (uint32_t)o->g->n_nodes; id > 0; id--) {
        const tni_node *n = tni_node_at(o->g, id);
        const bool is_read = state[id] == TAKEN;
        state[id] = OTHER;
        for (uint32_t i = 0; i < n->n_in; i++) state[n->in[i].node] = TAKEN;
        if (!n->op || is_read || o->constant[n->value0] || o->at[id].device != target) continue;
        if (reads_variables(o->g, n) && tni_units_may_wait(u, id)) state[id] = FREE;
    }
}

static bool are_alike(const tni_placed *o, uint32_t a, uint32_t b)
{
    const tni_node *x = tni_node_at(o->g, a), *y = tni_node_at(o->g, b);
    if (x->op != y->op || x->n_in != y->n_in) return false;
    if ((a > o->n_forward) != (b > o->n_forward)) return false;
    return o->types.dtype[tni_value(o->g, x->in[0])] == o->types.dtype[tni_value(o->g, y->in[0])];
}

// The unit of node `first` and those like it behind it.
static bool add_unit(tni_units *u, uint8_t *state, uint32_t first)
{
    const tni_placed *o = u->p->out;
    void *units = u->v;
    uint32_t n = 0;
    for (uint32_t id = first; id <= o->g->n_nodes; id++)
        n += state[id] == FREE && are_alike(o, first, id);
    if (n < 2) return true;
    tni_unit unit = {.nodes = tni_alloc(&u->arena, n * sizeof *unit.nodes), .alike = true};
    if (!unit.nodes || !tni_grow(&units, &u->capacity, u->n + 1, sizeof *u->v)) return false;
    u->v = units;
    for (uint32_t id = first; unit.n < n; id++) {
        if (state[id] != FREE || !are_alike(o, first, id)) continue;
        unit.nodes[unit.n++] = id;
        if (id != first) state[id] = TAKEN;
    }
    u->v[u->n++] = unit;
    return true;
}

bool tni_units_alike(tni_units *u, const tni_device *target)
{
    const size_t n_nodes = u->p->out->g->n_nodes;
    uint8_t *state = calloc(n_nodes + 1, 1);
    bool ok = state != NULL;
    u->n = 0;
    if (ok) mark(u, target, state);
    for (uint32_t id = 1; ok && id <= n_nodes; id++)
        if (state[id] == FREE) ok = add_unit(u, state, id);
    free(state);
    return ok;
}
