// core/passes/sweep.c: leaves out what nothing needs any more once all nodes are placed.
//
// Which values are needed is marked before (simplify.c); but a node that was expanded may only want
// the shape of a value that it wanted as a whole, and a kernel may want no more from the start.
// Such a value needs no memory and nobody to compute it: what remains of it is a variable that has
// its shape and is never read.
#include "core/passes/place.h"

typedef struct sweeper {
    tni_placer *p;
    tni_placed old;
    uint32_t *old_question;
    uint8_t *live;       // by node of old
    uint8_t *is_shape;   // by value of old: a live node wants its shape
    uint32_t *node_of;   // by node of old → node of the new graph
    tni_entry *value_of; // by value of old → entry of the new graph
} sweeper;

// Draws of random numbers are counted, and states change whoever reads the results.
static bool always_runs(const tni_node *n)
{
    return n->op->decl.flags & TN_OP_RANDOM || tni_has_aux(n);
}

// A kernel may use what that of its forward node kept, but for elementwise ones.
static bool needs_forward(const tni_node *n)
{
    return n->forward && !(n->op->decl.flags & TN_OP_ELEMENTWISE);
}

static void mark_inputs(sweeper *w, const tn_graph *g, const tni_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY)
            w->is_shape[tni_value(g, n->in[i])] = 1;
        else
            w->live[n->in[i].node] = 1;
    if (needs_forward(n)) w->live[n->forward] = 1;
}

// Returns how many nodes are dead.
static size_t mark(sweeper *w)
{
    const tni_placed *o = w->p->out;
    size_t dead = 0;
    for (size_t i = 0; i < w->p->options->n_keep; i++) w->live[o->kept[i].node] = 1;
    for (uint32_t id = (uint32_t)o->g->n_nodes; id > 0; id--) {
        const tni_node *n = tni_node_at(o->g, id);
        if (!n->op || always_runs(n)) w->live[id] = 1;
        if (n->op && w->live[id]) mark_inputs(w, o->g, n);
        dead += !w->live[id];
    }
    return dead;
}

// What remains of a dead node: a variable for each output whose shape is wanted.
static bool write_shapes(sweeper *w, const tni_node *n)
{
    for (uint32_t v = n->value0; v < n->value0 + n->n_out; v++) {
        const tni_node_spec spec = {.name = n->name, .file = n->file, .line = n->line};
        if (!w->is_shape[v]) continue;
        const uint32_t id = tni_place_emit(w->p, &spec, &w->old.types, v);
        if (!id) return false;
        w->value_of[v] = (tni_entry){id, 0};
    }
    return true;
}

static bool write_all(sweeper *w)
{
    tni_placed *o = w->p->out;
    o->n_forward = 0;
    for (uint32_t id = 1; id <= w->old.g->n_nodes; id++) {
        const tni_node *n = tni_node_at(w->old.g, id);
        const uint32_t f = n->forward && w->live[n->forward] ? w->node_of[n->forward] : 0;
        if (w->live[id]) {
            w->node_of[id] = tni_place_again(w->p, &w->old, w->old_question, id, w->value_of, f);
            if (!w->node_of[id]) return false;
        } else if (!write_shapes(w, n)) {
            return false;
        }
        if (id == w->old.n_forward) o->n_forward = (uint32_t)o->g->n_nodes;
    }
    for (size_t v = 0; v < w->p->src->n_values; v++) {
        const tni_entry e = o->values[v];
        if (!e.node) continue;
        o->values[v] = w->live[e.node] ? w->value_of[tni_value(w->old.g, e)] : (tni_entry){0, 0};
    }
    for (size_t i = 0; i < w->p->options->n_keep; i++)
        o->kept[i] = w->value_of[tni_value(w->old.g, o->kept[i])];
    return true;
}

static bool sweep(sweeper *w)
{
    tni_placer *p = w->p;
    const size_t nodes = p->out->g->n_nodes + 1, values = (size_t)p->out->g->n_values + 1;
    w->live = calloc(nodes, 1);
    w->is_shape = calloc(values, 1);
    if (!w->live || !w->is_shape) return false;
    const size_t dead = mark(w);
    if (!dead) return true;
    w->node_of = calloc(nodes, sizeof *w->node_of);
    w->value_of = calloc(values, sizeof *w->value_of);
    if (!w->node_of || !w->value_of) return false;
    p->out->n_dropped += dead;
    return tni_place_restart(p, &w->old, &w->old_question) && write_all(w);
}

tn_status tni_sweep(tni_placer *p)
{
    sweeper w = {.p = p};
    const bool ok = sweep(&w);
    if (w.old.g) tni_place_forget(&w.old, w.old_question);
    free(w.live);
    free(w.is_shape);
    free(w.node_of);
    free(w.value_of);
    if (ok) return TN_OK;
    return p->src->error.status ? p->src->error.status : tni_place_nomem(p);
}
