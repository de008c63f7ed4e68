// core/passes/simplify.c: marks what a graph need not compute: dead nodes, duplicates, identities.
//
// Nothing is edited: the answer is a set of live nodes and, for each value, the value to use in
// its place. The place pass writes the smaller graph while it copies anyway.
#include "core/ops/fused.h"
#include "core/passes/place.h"

typedef struct work {
    const tn_graph *g;
    const tni_types *types;
    tni_simplified *out;
    uint8_t *kept;    // by node id: one of its values is in keep
    uint8_t *written; // by node id: a variable that some operator writes
    uint32_t *slots;  // open addressing: node ids; 0: free
    size_t n_slots;   // a power of two
} work;

// The states among the inputs of a node made of several, a bit each.
static uint64_t fused_states(const tni_node *n)
{
    if (n->op->n_in != 1 || !(n->op->in[0].flags & TN_PORT_VARIADIC)) return 0;
    const char *name = n->op->decl.name;
    if (strcmp(name, "_fused") != 0 && strcmp(name, "_multi") != 0) return 0;
    return (uint64_t)((const tni_fused_params *)n->params)->states;
}

uint32_t tni_port_flags(const tni_node *n, uint32_t i)
{
    const tn_port_decl *port = tni_op_in(n->op, n->params, i);
    if (i <= TNI_MAX_FUSED_STATE && fused_states(n) >> i & 1) return TN_PORT_AUX;
    return port ? port->flags : 0;
}

bool tni_has_aux(const tni_node *n)
{
    if (fused_states(n)) return true;
    for (uint32_t i = 0; i < n->op->n_in; i++)
        if (n->op->in[i].flags & TN_PORT_AUX) return true;
    return false;
}

// ------------------------------------------------------------------ duplicates

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

// The node whose attributes place n: itself, or in a gradient the forward node.
static const tni_node *placed_like(const tn_graph *g, const tni_node *n)
{
    while (n->forward && !tni_attr_find(n, "__backend__") && !tni_attr_find(n, "__ctx_group__"))
        n = tni_node_at(g, n->forward);
    return n;
}

static bool same_pins(const tn_graph *g, const tni_node *a, const tni_node *b)
{
    a = placed_like(g, a);
    b = placed_like(g, b);
    return a->attrs == b->attrs ||
           (same_text(tni_attr_find(a, "__backend__"), tni_attr_find(b, "__backend__")) &&
            same_text(tni_attr_find(a, "__ctx_group__"), tni_attr_find(b, "__ctx_group__")));
}

static tni_entry resolve(const work *w, tni_entry e)
{
    return e.node ? w->out->same_as[tni_value(w->g, e)] : e;
}

static uint64_t hash_node(const work *w, const tni_node *n)
{
    uint64_t h = tni_hash(&n->op, sizeof n->op, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const tni_entry e = resolve(w, n->in[i]);
        h = tni_hash(&e, sizeof e, h);
    }
    return tni_params_hash(n->op, n->params, h);
}

// The forward node, or the one that computes the same.
static uint32_t forward_of(const work *w, const tni_node *n)
{
    if (!n->forward) return 0;
    const tni_node *f = tni_node_at(w->g, n->forward);
    const uint32_t same = f->n_out ? w->out->same_as[f->value0].node : n->forward;
    return tni_node_at(w->g, same)->op == f->op ? same : n->forward;
}

static bool same_node(const work *w, const tni_node *a, const tni_node *b)
{
    if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out) return false;
    // What a forward kernel keeps for its own backward node is no business of another's.
    if (a->op->decl.flags & TN_OP_INTERNAL && forward_of(w, a) != forward_of(w, b)) return false;
    for (uint32_t i = 0; i < a->n_in; i++) {
        const tni_entry x = resolve(w, a->in[i]), y = resolve(w, b->in[i]);
        if (x.node != y.node || x.out != y.out) return false;
    }
    // Without inputs to tell, types may come from the users of a value.
    for (uint32_t o = 0; o < a->n_out; o++)
        if (w->types->shape[a->value0 + o] != w->types->shape[b->value0 + o] ||
            w->types->dtype[a->value0 + o] != w->types->dtype[b->value0 + o])
            return false;
    return tni_params_equal(a->op, a->params, b->params) && same_pins(w->g, a, b);
}

static bool may_merge(const work *w, const tni_node *n)
{
    if (n->op->decl.flags & (TN_OP_RANDOM | TN_OP_MODE)) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (w->written[resolve(w, n->in[i]).node]) return false;
    return !tni_has_aux(n);
}

// The node that computes the same as id and came first; id itself if there is none.
static uint32_t find_same(work *w, uint32_t id)
{
    const tni_node *n = tni_node_at(w->g, id);
    size_t i = hash_node(w, n) & (w->n_slots - 1);
    while (w->slots[i]) {
        if (same_node(w, tni_node_at(w->g, w->slots[i]), n)) return w->slots[i];
        i = (i + 1) & (w->n_slots - 1);
    }
    w->slots[i] = id;
    return id;
}

// ------------------------------------------------------------------ identities

// May readers of n's output read its input instead? A variable may be written later in the run, so
// a copy of one is a copy.
static bool passes_by(const work *w, const tni_node *n)
{
    if (!(n->op->decl.flags & TN_OP_IDENTITY) || n->n_out != 1 || n->n_in < 1) return false;
    const tni_entry in = resolve(w, n->in[0]);
    if (!tni_node_at(w->g, in.node)->op || tni_attr_find(n, "__backend__")) return false;
    const uint32_t a = tni_value(w->g, in);
    return w->types->shape[a] == w->types->shape[n->value0] &&
           w->types->dtype[a] == w->types->dtype[n->value0];
}

static void visit(work *w, uint32_t id)
{
    const tni_node *n = tni_node_at(w->g, id);
    if (!n->op || w->kept[id]) return;
    if (passes_by(w, n)) {
        w->out->same_as[n->value0] = resolve(w, n->in[0]);
        w->out->n_dropped++;
        return;
    }
    if (!may_merge(w, n)) return;
    const uint32_t first = find_same(w, id);
    if (first == id) return;
    for (uint32_t o = 0; o < n->n_out; o++) w->out->same_as[n->value0 + o].node = first;
    w->out->n_merged++;
}

// ------------------------------------------------------------------ the whole

static void mark_written(work *w, const tni_node *n)
{
    if (!n->op || !tni_has_aux(n)) return;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (tni_port_flags(n, i) & TN_PORT_AUX) w->written[n->in[i].node] = 1;
}

static bool begin(work *w)
{
    const size_t n = w->g->n_nodes;
    tni_simplified *out = w->out;
    w->n_slots = 16;
    while (w->n_slots < n * 2) w->n_slots *= 2;
    out->live = calloc(n + 1, 1);
    out->same_as = calloc((size_t)w->g->n_values + 1, sizeof *out->same_as);
    w->kept = calloc(n + 1, 1);
    w->written = calloc(n + 1, 1);
    w->slots = calloc(w->n_slots, sizeof *w->slots);
    if (!out->live || !out->same_as || !w->kept || !w->written || !w->slots) return false;
    for (uint32_t id = 1; id <= n; id++) {
        const tni_node *node = tni_node_at(w->g, id);
        for (uint32_t o = 0; o < node->n_out; o++)
            out->same_as[node->value0 + o] = (tni_entry){id, o};
        mark_written(w, node);
    }
    return true;
}

static void mark_live(work *w, const tni_place_options *options)
{
    tni_simplified *out = w->out;
    for (size_t i = 0; i < options->n_keep; i++) out->live[resolve(w, options->keep[i]).node] = 1;
    for (uint32_t id = (uint32_t)w->g->n_nodes; id > 0; id--) {
        const tni_node *n = tni_node_at(w->g, id);
        const bool replaced = n->n_out && out->same_as[n->value0].node != id;
        if (n->flags & TNI_NODE_GROUP || replaced) {
            out->live[id] = 0;
            continue;
        }
        if (!n->op || options->n_keep == 0) out->live[id] = 1;
        if (!out->live[id]) continue;
        for (uint32_t i = 0; i < n->n_in; i++) out->live[resolve(w, n->in[i]).node] = 1;
    }
    out->live[0] = 0;
}

bool tni_simplify(const tn_graph *g, const tni_types *types, const tni_place_options *options,
                  tni_simplified *out)
{
    *out = (tni_simplified){0};
    work w = {.g = g, .types = types, .out = out};
    const bool ok = begin(&w);
    if (ok) {
        for (size_t i = 0; i < options->n_keep; i++) w.kept[options->keep[i].node] = 1;
        for (uint32_t id = 1; id <= g->n_nodes && !options->exact; id++) visit(&w, id);
        mark_live(&w, options);
    }
    free(w.kept);
    free(w.written);
    free(w.slots);
    if (!ok) tni_simplified_free(out);
    return ok;
}

void tni_simplified_free(tni_simplified *s)
{
    free(s->live);
    free(s->same_as);
    *s = (tni_simplified){0};
}
