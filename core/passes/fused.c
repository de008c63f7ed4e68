// core/passes/fused.c: asks devices for units as one call of the operator _fused or _multi, and
// writes the placed graph again with those that they take.
//
// A unit that is refused is offered again without its beginning, and one with a beginning also
// without its end, so that a convolution still gets the activation that its backend knows. Where
// one with a beginning is taken, its gradient is offered as one, too.
#include "core/ops/fused.h"
#include "core/passes/units.h"

#include <inttypes.h>

typedef struct fuser {
    tni_placer *p;
    tni_placed old;
    uint32_t *old_question;
    tni_units units;
    tni_unit *taken; // those that devices take, from 1
    size_t n_taken, taken_room;
    uint32_t *unit_of;   // by node of old: number in taken; 0: none
    uint32_t *node_of;   // by node of old → node of the new graph
    tni_entry *value_of; // by value of old → entry of the new graph
    const tni_op *op;    // _fused
    const tni_op *multi; // _multi
    tni_device *target;  // that is asked
    tni_entry *in;       // external inputs of the unit at hand
    uint32_t *out;       // and its outputs: values
    uint32_t n_in, n_out;
    size_t in_room, out_room;
} fuser;

static const tni_node *node_at(const fuser *f, uint32_t id)
{
    return tni_node_at(f->old.g, id);
}

static uint32_t value_at(const fuser *f, tni_entry e)
{
    return tni_value(f->old.g, e);
}

// ------------------------------------------------------------------ a unit as a call

// Number of the node among those of u; u->n: it is outside.
static uint32_t part_of(const tni_unit *u, uint32_t node)
{
    uint32_t i = 0;
    while (i < u->n && u->nodes[i] != node) i++;
    return i;
}

static bool add_in(fuser *f, tni_entry e, uint32_t share_from, int32_t *number)
{
    void *in = f->in;
    for (uint32_t i = share_from; i < f->n_in; i++) {
        if (f->in[i].node != e.node || f->in[i].out != e.out) continue;
        *number = (int32_t)i;
        return true;
    }
    if (!tni_grow(&in, &f->in_room, (size_t)f->n_in + 1, sizeof *f->in)) return false;
    f->in = in;
    f->in[f->n_in] = e;
    *number = (int32_t)f->n_in++;
    return true;
}

// Where the inputs of part i come from. Those of part 0 are the call's first, each for itself: a
// leader may read one value in two ways. So are all of calls that are alike.
static const int32_t *wire(fuser *f, const tni_unit *u, uint32_t i)
{
    const tni_node *n = node_at(f, u->nodes[i]);
    const uint32_t own = node_at(f, u->nodes[0])->n_in;
    int32_t *from = tni_alloc(&f->p->out->arena, ((size_t)n->n_in + 1) * sizeof *from);
    if (!from) return NULL;
    for (uint32_t k = 0; k < n->n_in; k++) {
        const uint32_t part = part_of(u, n->in[k].node);
        if (part < i)
            from[k] = -1 - (int32_t)part;
        else if (!add_in(f, n->in[k], i && !u->alike ? own : f->n_in, &from[k]))
            return NULL;
    }
    return from;
}

static bool leaves(const fuser *f, const tni_unit *u, uint32_t v)
{
    uint32_t inside = 0;
    if (f->units.readers[v] == 0) return false;
    for (uint32_t i = 1; i < u->n; i++) {
        const tni_node *n = node_at(f, u->nodes[i]);
        for (uint32_t k = 0; k < n->n_in; k++) inside += value_at(f, n->in[k]) == v;
    }
    return f->units.readers[v] != inside;
}

// Outputs of u, the parts they come from, and which of the parts' they are.
static bool find_outputs(fuser *f, const tni_unit *u, uint32_t *out_parts, uint32_t *out_numbers)
{
    f->n_out = 0;
    for (uint32_t i = 0; i < u->n; i++) {
        const tni_node *n = node_at(f, u->nodes[i]);
        for (uint32_t k = 0; k < n->n_out; k++) {
            void *out = f->out;
            if (!leaves(f, u, n->value0 + k)) continue;
            if (!tni_grow(&out, &f->out_room, (size_t)f->n_out + 1, sizeof *f->out)) return false;
            f->out = out;
            out_parts[f->n_out] = i;
            out_numbers[f->n_out] = k;
            f->out[f->n_out++] = n->value0 + k;
        }
    }
    return true;
}

static size_t most_outputs(const fuser *f, const tni_unit *u)
{
    size_t n = 0;
    for (uint32_t i = 0; i < u->n; i++) n += node_at(f, u->nodes[i])->n_out;
    return n;
}

// The states among the inputs, a bit each; false: one of them has no bit.
static bool find_states(const fuser *f, const tni_unit *u, const tn_part *parts, uint64_t *states)
{
    *states = 0;
    for (uint32_t i = 0; i < u->n; i++) {
        const tni_node *n = node_at(f, u->nodes[i]);
        for (uint32_t k = 0; k < n->n_in; k++) {
            const int32_t from = parts[i].from[k];
            if (from < 0 || !(tni_port_flags(n, k) & TN_PORT_AUX)) continue;
            if (from > TNI_MAX_FUSED_STATE) return false;
            *states |= (uint64_t)1 << from;
        }
    }
    return true;
}

static const tn_part *make_parts(fuser *f, const tni_unit *u)
{
    tni_support *s = &f->p->support;
    tn_part *parts = tni_alloc(&f->p->out->arena, u->n * sizeof *parts);
    f->n_in = 0;
    for (uint32_t i = 0; parts && i < u->n; i++) {
        const tni_question *q = &s->questions[f->old_question[u->nodes[i]]];
        parts[i].call = tni_support_call(s, q, node_at(f, u->nodes[i])->name, NULL);
        parts[i].from = wire(f, u, i);
        if (!parts[i].call || !parts[i].from) return NULL;
    }
    return parts;
}

// Infos of the call: those of the parts that read or make the values.
static const tn_value_info **make_infos(fuser *f, const tni_unit *u, const tn_part *parts,
                                        const uint32_t *out_parts, const uint32_t *out_numbers)
{
    const size_t n = (size_t)f->n_in + f->n_out;
    const tn_value_info **infos = tni_alloc(&f->p->out->arena, (n + 1) * sizeof *infos);
    if (!infos) return NULL;
    for (uint32_t i = 0; i < u->n; i++)
        for (uint32_t k = 0; k < parts[i].call->n_in; k++)
            if (parts[i].from[k] >= 0) infos[parts[i].from[k]] = parts[i].call->in[k];
    for (uint32_t o = 0; o < f->n_out; o++)
        infos[f->n_in + o] = parts[out_parts[o]].call->out[out_numbers[o]];
    return infos;
}

const void *tni_fused_make(const tni_op *fused, tni_arena *arena, uint32_t n_in, uint32_t n_out,
                           uint64_t states)
{
    char in[16], out[16], bits[24];
    tni_error error = {0};
    snprintf(in, sizeof in, "%u", n_in);
    snprintf(out, sizeof out, "%u", n_out);
    snprintf(bits, sizeof bits, "%" PRIu64, states);
    const tn_attr attrs[] = {{"num_args", in}, {"num_outputs", out}, {"states", bits}};
    const void *params = tni_params_parse(fused, arena, attrs, 3, NULL, "_fused", &error);
    tni_error_clear(&error);
    return params;
}

// ------------------------------------------------------------------ asking

// Is a part of u elsewhere now?
static bool moves(const fuser *f, const tni_unit *u)
{
    for (uint32_t i = 0; i < u->n; i++)
        if (f->old.at[u->nodes[i]].device != f->target) return true;
    return false;
}

// Sets *taken if the device runs u as one; false: out of memory.
static bool ask(fuser *f, tni_unit *u, bool *taken)
{
    tni_placer *p = f->p;
    const uint32_t last = u->nodes[u->n - 1];
    const size_t most = most_outputs(f, u);
    uint32_t *out_parts = tni_alloc(&p->out->arena, 2 * most * sizeof *out_parts);
    const tn_part *parts = out_parts ? make_parts(f, u) : NULL;
    uint32_t *out_numbers = out_parts ? out_parts + most : NULL;
    uint64_t states;
    *taken = false;
    if (!parts || !find_outputs(f, u, out_parts, out_numbers)) return false;
    // Without results only their shapes were wanted.
    if (f->n_out == 0 || !find_states(f, u, parts, &states)) return true;
    const tni_op *op = u->alike ? f->multi : f->op;
    tni_question q = {.op = op,
                      .params = tni_fused_make(op, &p->out->arena, f->n_in, f->n_out, states),
                      .infos = make_infos(f, u, parts, out_parts, out_numbers),
                      .n_in = f->n_in,
                      .n_out = f->n_out,
                      .set = p->support.questions[f->old_question[last]].set,
                      .forward = f->taken ? f->taken[u->forward].question : 0,
                      .device = f->target,
                      .parts = parts,
                      .out_parts = out_parts,
                      .out_numbers = out_numbers,
                      .n_parts = u->n};
    bool no_memory = false;
    if (!q.params || !q.infos) return false;
    u->question =
        tni_support_ask_fused(&p->support, &q, node_at(f, last)->name, moves(f, u), &no_memory);
    *taken = u->question != 0;
    return !no_memory;
}

static bool take(fuser *f, const tni_unit *u)
{
    void *taken = f->taken;
    if (!tni_grow(&taken, &f->taken_room, f->n_taken + 2, sizeof *f->taken)) return false;
    f->taken = taken;
    f->taken[0] = (tni_unit){0};
    f->taken[++f->n_taken] = *u;
    for (uint32_t i = 0; i < u->n; i++) {
        f->unit_of[u->nodes[i]] = (uint32_t)f->n_taken;
        f->units.settled[u->nodes[i]] = 1;
    }
    return true;
}

// The longest beginning of a led unit that its device takes; *n becomes its length, 0: none.
static bool ask_beginnings(fuser *f, const tni_unit *u, uint32_t *n)
{
    bool taken = false;
    *n = 0;
    for (uint32_t length = u->n < 6 ? u->n : 6; length > 1; length--) {
        tni_unit part = {.nodes = u->nodes, .n = length, .led = true};
        if (u->nodes[length - 1] < u->nodes[0]) break; // it would run before the leader can
        if (!ask(f, &part, &taken)) return false;
        if (!taken) continue;
        *n = length;
        return take(f, &part);
    }
    return true;
}

// What is in another unit by now, as part of a gradient, goes.
static void leave_out_settled(const fuser *f, tni_unit *u)
{
    uint32_t n = 0;
    u->led = u->led && !f->units.settled[u->nodes[0]];
    for (uint32_t i = 0; i < u->n; i++)
        if (!f->units.settled[u->nodes[i]]) u->nodes[n++] = u->nodes[i];
    u->n = n;
}

static bool decide(fuser *f, tni_unit u)
{
    bool taken = false;
    uint32_t n = 0;
    leave_out_settled(f, &u);
    if (u.led) {
        if (!ask_beginnings(f, &u, &n)) return false;
        if (n == 0) n = 1;
    }
    tni_unit rest = {.nodes = u.nodes + n, .n = u.n - n};
    if (rest.n < 2) return true;
    return ask(f, &rest, &taken) && (!taken || take(f, &rest));
}

// Offers the gradient of the unit that begins with the forward node of `id`, if there is one.
static bool decide_gradient(fuser *f, uint32_t id)
{
    const tni_node *n = node_at(f, id);
    const uint32_t number = n->op && n->forward ? f->unit_of[n->forward] : 0;
    const tni_unit *of = &f->taken[number];
    bool taken = false;
    if (!number || !of->led || of->nodes[0] != n->forward || n->forward > f->old.n_forward)
        return true;
    if (f->p->support.questions[of->question].device != f->target) return true;
    tni_unit u = {.nodes = tni_alloc(&f->p->out->arena, of->n * sizeof *u.nodes),
                  .forward = number};
    if (!u.nodes) return false;
    tni_units_gradient(&f->units, f->target, of, id, &u);
    return u.n < 2 || (ask(f, &u, &taken) && (!taken || take(f, &u)));
}

static bool decide_gradients(fuser *f)
{
    for (uint32_t id = f->old.n_forward + 1; f->n_taken && id <= f->old.g->n_nodes; id++)
        if (!decide_gradient(f, id)) return false;
    return true;
}

// The calls of u, as many at once as the device takes.
static bool decide_alike(fuser *f, const tni_unit *u)
{
    uint32_t most = (TNI_MAX_FUSED_STATE + 1) / node_at(f, u->nodes[0])->n_in;
    if (most > TNI_MAX_PARTS) most = TNI_MAX_PARTS;
    for (uint32_t at = 0, n; at + 2 <= u->n && most >= 2;) {
        bool taken = false;
        n = u->n - at < most ? u->n - at : most;
        tni_unit some = {.nodes = u->nodes + at, .n = n, .alike = true};
        if (!ask(f, &some, &taken) || (taken && !take(f, &some))) return false;
        if (taken)
            at += n;
        else
            most = n - (n + 7) / 8;
    }
    return true;
}

static bool decide_all_alike(fuser *f)
{
    if (!f->multi) return true;
    if (!tni_units_alike(&f->units, f->target)) return false;
    for (size_t i = 0; i < f->units.n; i++)
        if (!decide_alike(f, &f->units.v[i])) return false;
    return true;
}

// ------------------------------------------------------------------ writing

static bool map_inputs(fuser *f, const tni_entry *in, uint32_t n)
{
    tni_placer *p = f->p;
    void *room = p->in;
    if (!tni_grow(&room, &p->in_room, (size_t)n + 1, sizeof *p->in)) return false;
    p->in = room;
    for (uint32_t i = 0; i < n; i++) p->in[i] = f->value_of[value_at(f, in[i])];
    return true;
}

static bool write_alone(fuser *f, uint32_t id)
{
    const tni_node *n = node_at(f, id);
    const uint32_t forward = f->unit_of[n->forward] ? 0 : f->node_of[n->forward];
    f->node_of[id] = tni_place_again(f->p, &f->old, f->old_question, id, f->value_of, forward);
    return f->node_of[id] != 0;
}

static const tni_fused *describe(fuser *f, const tni_unit *u)
{
    tni_arena *arena = &f->p->out->arena;
    tni_fused *d = tni_alloc(arena, sizeof *d);
    const char **names = tni_alloc(arena, u->n * sizeof *names);
    const char **ops = tni_alloc(arena, u->n * sizeof *ops);
    if (!d || !names || !ops) return NULL;
    *d = (tni_fused){u->alike, u->n, names, ops};
    for (uint32_t i = 0; i < u->n; i++) {
        const tni_node *n = node_at(f, u->nodes[i]);
        names[i] = tni_strdup(arena, n->name);
        ops[i] = n->op->decl.name;
        if (!names[i]) return NULL;
    }
    return d;
}

// The new node of the unit that u is the gradient of; 0: of none.
static uint32_t forward_node(const fuser *f, const tni_unit *u)
{
    const tni_unit *of = &f->taken[u->forward];
    return u->forward ? f->node_of[of->nodes[of->n - 1]] : 0;
}

static bool write_unit(fuser *f, const tni_unit *u)
{
    tni_placer *p = f->p;
    tni_placed *o = p->out;
    const uint32_t id = u->nodes[u->n - 1];
    const tni_node *n = node_at(f, id);
    const tni_question *q = &p->support.questions[u->question];
    uint32_t *out_parts = (uint32_t *)q->out_parts, *out_numbers = (uint32_t *)q->out_numbers;
    if (!make_parts(f, u) || !find_outputs(f, u, out_parts, out_numbers)) return false;
    if (!map_inputs(f, f->in, f->n_in)) return false;
    const tni_node_spec spec = {.op = q->op,
                                .name = n->name,
                                .params = q->params,
                                .in = p->in,
                                .n_in = f->n_in,
                                .attrs = n->attrs,
                                .file = n->file,
                                .line = n->line,
                                .forward = forward_node(f, u)};
    const uint32_t made = tni_place_emit_values(p, &spec, &f->old.types, f->out);
    if (!made) return false;
    const uint32_t v = tni_node_at(o->g, made)->value0;
    f->node_of[id] = made;
    o->at[made] = f->old.at[id];
    if (q->device != o->at[made].device || q->refusals) o->at[made].refusals = q->refusals;
    o->at[made].device = q->device;
    o->at[made].fused = describe(f, u);
    p->question[made] = u->question;
    for (uint32_t i = 0; i < f->n_out; i++) {
        f->value_of[f->out[i]] = (tni_entry){made, i};
        o->constant[v + i] = f->old.constant[f->out[i]];
    }
    return o->at[made].fused != NULL;
}

static bool write_all(fuser *f)
{
    tni_placed *o = f->p->out;
    o->n_forward = 0;
    for (uint32_t id = 1; id <= f->old.g->n_nodes; id++) {
        const tni_unit *u = f->unit_of[id] ? &f->taken[f->unit_of[id]] : NULL;
        if (!u && !write_alone(f, id)) return false;
        if (u && u->nodes[u->n - 1] == id && !write_unit(f, u)) return false;
        if (id == f->old.n_forward) o->n_forward = (uint32_t)o->g->n_nodes;
    }
    for (size_t v = 0; v < f->p->src->n_values; v++)
        if (o->values[v].node) o->values[v] = f->value_of[value_at(f, o->values[v])];
    for (size_t i = 0; i < f->p->options->n_keep; i++)
        o->kept[i] = f->value_of[value_at(f, o->kept[i])];
    return true;
}

// ------------------------------------------------------------------ the whole

static bool decide_for(fuser *f, tni_device *target)
{
    f->target = target;
    const uint32_t n_forward = f->old.n_forward;
    bool backward = false;
    if (!tni_units_find(&f->units, target)) return false;
    for (size_t i = 0; i < f->units.n; i++) { // those of forward stand before those of backward
        if (!backward && f->units.v[i].nodes[0] > n_forward) {
            if (!decide_gradients(f)) return false;
            backward = true;
        }
        if (!decide(f, f->units.v[i])) return false;
    }
    return (backward || decide_gradients(f)) && decide_all_alike(f);
}

// Was the device's turn before that of list `set`, entry `i`?
static bool was_asked(const tni_pins *pins, size_t set, size_t i)
{
    const tni_device *d = pins->sets[set].devices[i];
    for (size_t s = 0; s <= set; s++)
        for (size_t k = 0; k < (s < set ? pins->sets[s].n : i); k++)
            if (pins->sets[s].devices[k] == d) return true;
    return false;
}

// Every device gets its turn once, in the order of the lists.
static bool decide_all(fuser *f)
{
    const tni_pins *pins = &f->p->pins;
    for (size_t s = 0; s < pins->n_sets; s++)
        for (size_t i = 0; i < pins->sets[s].n; i++)
            if (!was_asked(pins, s, i) && !decide_for(f, pins->sets[s].devices[i])) return false;
    f->p->out->n_fused = f->n_taken;
    return true;
}

static bool fuse(fuser *f)
{
    tni_placer *p = f->p;
    const size_t nodes = p->out->g->n_nodes + 1, values = (size_t)p->out->g->n_values + 1;
    f->op = tni_op_find(p->src->registry, "_fused");
    f->multi = tni_op_find(p->src->registry, "_multi");
    if (!f->op) return true;
    f->unit_of = calloc(nodes, sizeof *f->unit_of);
    if (!f->unit_of || !tni_units_begin(&f->units, p, f->op)) return false;
    f->old = *p->out;
    f->old_question = p->question;
    if (!decide_all(f)) return false;
    if (f->n_taken == 0) return true;
    f->node_of = calloc(nodes, sizeof *f->node_of);
    f->value_of = calloc(values, sizeof *f->value_of);
    if (!f->node_of || !f->value_of) return false;
    return tni_place_restart(p, &f->old, &f->old_question) && write_all(f);
}

tn_status tni_fuse(tni_placer *p)
{
    fuser f = {.p = p};
    const bool ok = fuse(&f);
    if (p->out->g != f.old.g && f.old.g) tni_place_forget(&f.old, f.old_question);
    tni_units_free(&f.units);
    free(f.taken);
    free(f.unit_of);
    free(f.node_of);
    free(f.value_of);
    free(f.in);
    free(f.out);
    if (ok) return TN_OK;
    return p->src->error.status ? p->src->error.status : tni_place_nomem(p);
}
