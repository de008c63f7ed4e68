// core/passes/fuse.c: finds nodes of a placed graph that may run as one: elementwise operators
// around the same elements, and the one node whose result they begin with.
//
// One walk in id order for each device. An elementwise node joins the group of a producer; groups
// that meet become one. When a node outside reads a value of a group, the group is complete, so
// that everything it reads is there where its last node stands, and nobody needs its results
// earlier. A node that another device runs alone may join too, if this one stands later in the
// node's list and shares its memory, and nothing about it is in a layout of its own.
#include "core/passes/units.h"

#define LEAVES UINT32_MAX // of readers: the value is wanted outside of the graph

typedef struct group {
    uint32_t parent;         // of union-find: itself for a root
    uint32_t first, last, n; // nodes, chained in finder.next; of a root
    bool complete;
} group;

typedef struct finder {
    tni_placer *p;
    const tn_graph *g;
    tni_units *units;
    tni_device *target; // the device that units are found for
    uint32_t *group_of; // by node: 0: none
    uint32_t *next;     // by node: chain of its group
    group *groups;      // from 1
    size_t n_groups, capacity;
} finder;

static const tni_place *place_of(const finder *f, uint32_t node)
{
    return &f->p->out->at[node];
}

// ------------------------------------------------------------------ what may be fused

// Operators with a mode write their states while training only.
static bool writes_states(const finder *f, const tni_node *n)
{
    return !(n->op->decl.flags & TN_OP_MODE && f->p->options->inference);
}

static uint32_t phase_of(const finder *f, uint32_t node)
{
    return node > f->p->out->n_forward;
}

static bool reads_written(const finder *f, const tni_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (f->units->written[n->in[i].node]) return true;
    return false;
}

// A kernel of its device without random numbers, in no unit yet.
static bool is_free(const finder *f, uint32_t node)
{
    const tni_place *at = place_of(f, node);
    return at->kind == TNI_KERNEL && at->device && !at->kernel && !f->units->settled[node] &&
           !(tni_node_at(f->g, node)->op->decl.flags & TN_OP_RANDOM);
}

// Does no other node of its phase have the states that it reads? Then it may also run later.
static bool has_own_states(const finder *f, uint32_t node)
{
    const tni_node *n = tni_node_at(f->g, node);
    const uint8_t *users = f->units->users[phase_of(f, node)];
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!f->units->written[n->in[i].node]) continue;
        if (!(tni_port_flags(n, i) & TN_PORT_AUX) || users[n->in[i].node] > 1) return false;
    }
    return true;
}

// A free node that only depends on its inputs.
static bool is_plain(const finder *f, uint32_t node)
{
    const tni_node *n = tni_node_at(f->g, node);
    const uint32_t flags = n->op->decl.flags;
    if (!is_free(f, node) || reads_written(f, n)) return false;
    if (flags & TN_OP_MODE && f->p->options->inference) return true; // it writes no state
    return !(flags & TN_OP_MODE) && !tni_has_aux(n);
}

static bool same_types(const finder *f, uint32_t a, uint32_t b)
{
    const tni_types *t = &f->p->out->types;
    return t->shape[a] == t->shape[b] && t->dtype[a] == t->dtype[b];
}

// Notes every node around which something is not row-major.
static bool find_opaque(tni_units *u)
{
    tni_placer *p = u->p;
    const tn_graph *g = p->out->g;
    tni_negotiator talks;
    bool ok = tni_negotiator_init(&talks, p, p->out, p->question);
    u->opaque = calloc(g->n_nodes + 1, 1);
    ok = ok && u->opaque;
    for (uint32_t id = 1; ok && id <= g->n_nodes; id++) {
        const tni_node *n = tni_node_at(g, id);
        if (p->out->at[id].kind != TNI_KERNEL) continue;
        ok = tni_negotiate(&talks, id) == TN_OK;
        for (uint32_t i = 0; ok && i < n->n_in + n->n_out; i++)
            if (talks.layouts[i].domain ||
                (i < n->n_in && talks.made[tni_value(g, n->in[i])].domain))
                u->opaque[id] = 1;
    }
    tni_negotiator_free(&talks);
    u->failed = !ok;
    return ok;
}

// Number of a device among the candidates of a node; n: it is none of them.
static size_t rank_of(const tni_candidates *who, const tni_device *d)
{
    size_t i = 0;
    while (i < who->n && who->devices[i] != d) i++;
    return i;
}

// Is the node there, or may it go there?
static bool reaches(const finder *f, uint32_t node)
{
    const tni_placer *p = f->p;
    const tni_device *now = place_of(f, node)->device;
    const tni_candidates *who = &p->pins.sets[p->support.questions[p->question[node]].set];
    if (now == f->target) return true;
    if (tni_device_memory(f->target) != place_of(f, node)->memory) return false;
    const size_t to = rank_of(who, f->target);
    return to < who->n && to > rank_of(who, now);
}

// A node that goes elsewhere takes no layout away.
static bool may_leave(const finder *f, uint32_t node)
{
    if (place_of(f, node)->device == f->target) return true;
    if (!f->units->opaque && !find_opaque(f->units)) return false;
    return !f->units->opaque[node];
}

// An input like the output, or one that broadcasts over it. Those are never made inside of the
// unit, whose values are all like the output.
static bool fits(const finder *f, uint32_t in, uint32_t out)
{
    const tni_types *t = &f->p->out->types;
    const tn_shape *a = tni_types_shape(t, in), *b = tni_types_shape(t, out);
    if (t->dtype[in] != t->dtype[out] || a->ndim > b->ndim) return false;
    for (int32_t d = 1; d <= a->ndim; d++)
        if (a->dim[a->ndim - d] != 1 && a->dim[a->ndim - d] != b->dim[b->ndim - d]) return false;
    return true;
}

static bool is_elementwise(const finder *f, uint32_t node)
{
    const tni_node *n = tni_node_at(f->g, node);
    if (!n->op || !(n->op->decl.flags & TN_OP_ELEMENTWISE) || n->n_out != 1) return false;
    if (!is_plain(f, node)) return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY) return false;
        if (!fits(f, tni_value(f->g, n->in[i]), n->value0)) return false;
    }
    return n->n_in > 0 && reaches(f, node) &&
           tni_support_may_fuse(&f->p->support, f->p->question[node], f->target, f->units->fused) &&
           may_leave(f, node);
}

// ------------------------------------------------------------------ groups

static uint32_t root_of(finder *f, uint32_t g)
{
    while (f->groups[g].parent != g) {
        f->groups[g].parent = f->groups[f->groups[g].parent].parent;
        g = f->groups[g].parent;
    }
    return g;
}

static uint32_t group_of(finder *f, uint32_t node)
{
    return f->group_of[node] ? root_of(f, f->group_of[node]) : 0;
}

static bool may_meet(const finder *f, uint32_t a, uint32_t b)
{
    return phase_of(f, a) == phase_of(f, b) &&
           same_types(f, tni_node_at(f->g, a)->value0, tni_node_at(f->g, b)->value0);
}

static bool group_new(finder *f, uint32_t node)
{
    void *groups = f->groups;
    if (!tni_grow(&groups, &f->capacity, f->n_groups + 2, sizeof *f->groups)) return false;
    f->groups = groups;
    f->n_groups++;
    f->groups[f->n_groups] = (group){(uint32_t)f->n_groups, node, node, 1, false};
    f->group_of[node] = (uint32_t)f->n_groups;
    return true;
}

// Both are roots of open groups; the one that began first stays.
static void unite(finder *f, uint32_t a, uint32_t b)
{
    if (a == b) return;
    if (f->groups[b].first < f->groups[a].first) {
        const uint32_t c = a;
        a = b;
        b = c;
    }
    f->next[f->groups[a].last] = f->groups[b].first;
    f->groups[a].last = f->groups[b].last;
    f->groups[a].n += f->groups[b].n;
    f->groups[b].parent = a;
}

// The groups of the inputs that node cannot join are complete.
static bool visit(finder *f, uint32_t node)
{
    const tni_node *n = tni_node_at(f->g, node);
    const bool joins = is_elementwise(f, node);
    if (joins && !group_new(f, node)) return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const uint32_t theirs = group_of(f, n->in[i].node);
        const uint32_t mine = group_of(f, node);
        if (!theirs || theirs == mine) continue;
        group *g = &f->groups[theirs];
        if (joins && !g->complete && may_meet(f, n->in[i].node, node) &&
            g->n + f->groups[mine].n < TNI_MAX_PARTS)
            unite(f, mine, theirs);
        else
            g->complete = true;
    }
    return true;
}

// ------------------------------------------------------------------ units

static bool is_member(const tni_unit *u, uint32_t node)
{
    for (uint32_t i = 0; i < u->n; i++)
        if (u->nodes[i] == node) return true;
    return false;
}

// Readers of value v among the nodes of u.
static uint32_t reads_in(const finder *f, const tni_unit *u, uint32_t v)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < u->n; i++) {
        const tni_node *n = tni_node_at(f->g, u->nodes[i]);
        for (uint32_t k = 0; k < n->n_in; k++) count += tni_value(f->g, n->in[k]) == v;
    }
    return count;
}

// Does something up to `last`, in the unit or not, read an output of node but the first?
static bool is_wanted_early(const finder *f, uint32_t node, uint32_t last)
{
    const tni_node *n = tni_node_at(f->g, node);
    if (n->n_out == 1) return false;
    for (uint32_t id = node + 1; id <= last; id++) {
        const tni_node *reader = tni_node_at(f->g, id);
        for (uint32_t k = 0; k < reader->n_in; k++)
            if (reader->in[k].node == node && reader->in[k].out > 0) return true;
    }
    return false;
}

// May node, whose output 0 a node of u reads, run as the beginning of u?
static bool may_lead(const finder *f, const tni_unit *u, uint32_t node)
{
    const tni_node *n = tni_node_at(f->g, node);
    if (!n->op || f->units->linked[node] || f->group_of[node]) return false;
    if (!is_free(f, node) || !has_own_states(f, node)) return false;
    if (place_of(f, node)->device != f->target) return false;
    if (phase_of(f, node) != phase_of(f, u->nodes[0])) return false;
    if (is_wanted_early(f, node, u->nodes[u->n - 1])) return false;
    return f->units->readers[n->value0] == reads_in(f, u, n->value0);
}

// The last of the nodes that may lead u, put before the others.
static void add_leader(const finder *f, tni_unit *u)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < u->n; i++) {
        const tni_node *n = tni_node_at(f->g, u->nodes[i]);
        for (uint32_t k = 0; k < n->n_in; k++) {
            const uint32_t from = n->in[k].node;
            if (from > best && n->in[k].out == 0 && !is_member(u, from) && may_lead(f, u, from))
                best = from;
        }
    }
    if (!best) return;
    memmove(u->nodes + 1, u->nodes, u->n * sizeof *u->nodes);
    u->nodes[0] = best;
    u->led = true;
    u->n++;
}

static int by_id(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static bool add_unit(finder *f, const group *g)
{
    tni_units *all = f->units;
    void *units = all->v;
    tni_unit u = {.nodes = tni_alloc(&all->arena, (g->n + 1) * sizeof *u.nodes)};
    if (!u.nodes || !tni_grow(&units, &all->capacity, all->n + 1, sizeof *all->v)) return false;
    all->v = units;
    for (uint32_t id = g->first; u.n < g->n; id = f->next[id]) u.nodes[u.n++] = id;
    qsort(u.nodes, u.n, sizeof *u.nodes, by_id);
    add_leader(f, &u);
    if (u.n > 1) all->v[all->n++] = u;
    return true;
}

// ------------------------------------------------------------------ gradients of units

// May node join the gradient of unit `of`?
static bool may_follow(const finder *f, const tni_unit *gradient, const tni_unit *of, uint32_t node)
{
    const tni_node *n = tni_node_at(f->g, node);
    return n->op && n->op->decl.flags & TN_OP_ELEMENTWISE && n->n_out == 1 && n->forward &&
           is_member(of, n->forward) && !is_member(gradient, node) && is_plain(f, node) &&
           place_of(f, node)->device == f->target && phase_of(f, node) &&
           f->units->readers[n->value0] == reads_in(f, gradient, n->value0);
}

void tni_units_gradient(const tni_units *u, const tni_device *target, const tni_unit *of,
                        uint32_t last, tni_unit *gradient)
{
    const finder f = {
        .p = u->p, .g = u->p->out->g, .units = (tni_units *)u, .target = (tni_device *)target};
    gradient->nodes[0] = last;
    gradient->n = 1;
    if (!is_free(&f, last) || place_of(&f, last)->device != target) return;
    for (uint32_t i = 0; i < gradient->n; i++) {
        const tni_node *n = tni_node_at(f.g, gradient->nodes[i]);
        for (uint32_t k = 0; k < n->n_in && gradient->n < of->n; k++)
            if (!(tni_port_flags(n, k) & TN_PORT_SHAPE_ONLY) &&
                may_follow(&f, gradient, of, n->in[k].node))
                gradient->nodes[gradient->n++] = n->in[k].node;
    }
    qsort(gradient->nodes, gradient->n, sizeof *gradient->nodes, by_id);
}

// ------------------------------------------------------------------ the whole

static bool keeps_nothing(const tni_node *n)
{
    return n->op->decl.flags & (TN_OP_ELEMENTWISE | TN_OP_KEEPS_NOTHING);
}

bool tni_units_begin(tni_units *u, tni_placer *p, const tni_op *fused)
{
    const tni_placed *o = p->out;
    const size_t nodes = o->g->n_nodes + 1;
    *u = (tni_units){.p = p, .fused = fused};
    u->written = calloc(nodes, 1);
    u->users[0] = calloc(nodes, 1);
    u->users[1] = calloc(nodes, 1);
    u->linked = calloc(nodes, 1);
    u->settled = calloc(nodes, 1);
    u->readers = calloc((size_t)o->g->n_values + 1, sizeof *u->readers);
    if (!u->written || !u->users[0] || !u->users[1]) return false;
    if (!u->linked || !u->settled || !u->readers) return false;
    const finder f = {.p = p, .g = o->g, .units = u};
    for (uint32_t id = 1; id <= o->g->n_nodes; id++) {
        const tni_node *n = tni_node_at(o->g, id);
        if (n->forward && !keeps_nothing(tni_node_at(o->g, n->forward))) u->linked[n->forward] = 1;
        uint8_t *users = u->users[phase_of(&f, id)];
        for (uint32_t i = 0; i < n->n_in; i++) {
            u->readers[tni_value(o->g, n->in[i])]++;
            users[n->in[i].node] = (uint8_t)(users[n->in[i].node] ? 2 : 1);
            if (tni_port_flags(n, i) & TN_PORT_AUX && writes_states(&f, n))
                u->written[n->in[i].node] = 1;
        }
    }
    for (size_t i = 0; i < p->options->n_keep; i++)
        u->readers[tni_value(o->g, o->kept[i])] = LEAVES;
    return true;
}

bool tni_units_may_wait(const tni_units *u, uint32_t node)
{
    const finder f = {.p = u->p, .g = u->p->out->g, .units = (tni_units *)u};
    return is_free(&f, node) && has_own_states(&f, node) && !u->linked[node];
}

bool tni_units_find(tni_units *u, tni_device *target)
{
    finder f = {.p = u->p, .g = u->p->out->g, .units = u, .target = target};
    f.group_of = calloc(f.g->n_nodes + 1, sizeof *f.group_of);
    f.next = calloc(f.g->n_nodes + 1, sizeof *f.next);
    bool ok = f.group_of && f.next;
    u->n = 0;
    for (uint32_t id = 1; ok && id <= f.g->n_nodes; id++)
        if (tni_node_at(f.g, id)->op) ok = visit(&f, id) && !u->failed;
    for (uint32_t i = 1; ok && i <= f.n_groups; i++)
        if (f.groups[i].parent == i) ok = add_unit(&f, &f.groups[i]);
    free(f.group_of);
    free(f.next);
    free(f.groups);
    return ok;
}

void tni_units_free(tni_units *u)
{
    free(u->v);
    free(u->readers);
    free(u->written);
    free(u->users[0]);
    free(u->users[1]);
    free(u->linked);
    free(u->settled);
    free(u->opaque);
    tni_arena_free(&u->arena);
    *u = (tni_units){0};
}
