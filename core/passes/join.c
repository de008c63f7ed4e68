// core/passes/join.c: writes the placed graph again, with copies between memories and layouts.
//
// One sweep in id order. Each node is asked for its layouts (layouts.c); what it wants and is not
// there yet is inserted before it (bring.c).
#include "core/passes/place.h"

enum { // why a variable lies where it lies
    FREE = 0,
    GIVEN = 1, // the caller said so
    STATE = 2  // some operator writes it there
};

// ------------------------------------------------------------------ is anything to be done

static bool any_elsewhere(tni_device *const *homes, size_t n)
{
    for (size_t i = 0; homes && i < n; i++)
        if (homes[i] && homes[i] != &tni_home_auto) return true;
    return false;
}

bool tni_join_needed(const tni_placer *p)
{
    const tni_placed *o = p->out;
    for (uint32_t id = 1; id <= o->g->n_nodes; id++) {
        const tni_place *at = &o->at[id];
        if (at->memory || (at->device && !at->kernel && tni_has_layouts(at->device))) return true;
    }
    return any_elsewhere(p->options->keep_homes, p->options->n_keep) ||
           any_elsewhere(p->options->homes, p->src->n_nodes + 1);
}

// ------------------------------------------------------------------ homes of variables

static const char *uri_of(const tni_device *memory)
{
    return memory ? memory->uri : "host memory";
}

// Variable `id` is used by node `by`.
static tn_status use_variable(tni_joiner *j, uint32_t id, uint32_t by, bool writes)
{
    tni_device *memory = j->old.at[by].memory, **home = &j->homes[id];
    const tn_graph *g = j->old.g;
    if (writes && j->fixed[id] != FREE && *home != memory)
        return tni_fail(&j->p->src->error, TN_E_UNSUPPORTED, NULL,
                        "%s (%s) runs on %s and writes %s, which lies in %s: an auxiliary state "
                        "must lie where it is written",
                        tni_node_at(g, by)->name, tni_node_at(g, by)->op->decl.name,
                        j->old.at[by].device->uri, tni_node_at(g, id)->name, uri_of(*home));
    if (writes) {
        *home = memory;
        j->fixed[id] = j->fixed[id] == GIVEN ? GIVEN : STATE;
    } else if (j->fixed[id] == FREE) {
        *home = *home == &tni_home_auto || *home == memory ? memory : NULL;
    }
    return TN_OK;
}

static void take_given_homes(tni_joiner *j)
{
    const tni_placer *p = j->p;
    for (uint32_t id = 1; id <= j->old.g->n_nodes; id++) j->homes[id] = &tni_home_auto;
    for (uint32_t id = 1; p->options->homes && id <= p->src->n_nodes; id++) {
        const tni_node *n = tni_node_at(p->src, id);
        if (!tni_is_variable(n) || p->options->homes[id] == &tni_home_auto) continue;
        const uint32_t mine = j->old.values[n->value0].node;
        j->homes[mine] = p->options->homes[id];
        j->fixed[mine] = GIVEN;
    }
}

static tn_status find_homes(tni_joiner *j)
{
    const tn_graph *g = j->old.g;
    take_given_homes(j);
    for (uint32_t id = 1; id <= g->n_nodes; id++) {
        const tni_node *n = tni_node_at(g, id);
        for (uint32_t i = 0; i < n->n_in; i++) {
            const uint32_t flags = tni_port_flags(n, i);
            if (tni_node_at(g, n->in[i].node)->op || flags & TN_PORT_SHAPE_ONLY) continue;
            const tn_status s = use_variable(j, n->in[i].node, id, flags & TN_PORT_AUX);
            if (s != TN_OK) return s;
        }
    }
    for (uint32_t id = 1; id <= g->n_nodes; id++)
        if (j->homes[id] == &tni_home_auto) j->homes[id] = NULL;
    return TN_OK;
}

static uint32_t old_value(const tni_joiner *j, tni_entry e)
{
    return tni_value(j->old.g, e);
}

// ------------------------------------------------------------------ one node

static tn_status bring_inputs(tni_joiner *j, uint32_t id, const tni_node *n)
{
    tni_placer *p = j->p;
    const tni_place *at = &j->old.at[id];
    void *in = p->in;
    if (!tni_grow(&in, &p->in_room, (size_t)n->n_in + 1, sizeof *p->in)) return tni_place_nomem(p);
    p->in = in;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const uint32_t v = old_value(j, n->in[i]), flags = tni_port_flags(n, i);
        const tni_want want = {at->memory, j->talks.layouts[i], at->device};
        p->in[i] =
            flags & (TN_PORT_SHAPE_ONLY | TN_PORT_AUX) ? j->value[v] : tni_bring(j, v, &want);
        if (!p->in[i].node) return p->src->error.status;
    }
    return TN_OK;
}

// Brings the outputs of the old node into the form in which they leave.
static tn_status bring_kept(tni_joiner *j, const tni_node *n)
{
    tni_placed *o = j->p->out;
    tni_device *const *homes = j->p->options->keep_homes;
    for (uint32_t v = n->value0; v < n->value0 + n->n_out; v++) {
        for (uint32_t k = j->keep[v]; k; k = j->keep_next[k - 1]) {
            const tni_place *at = &o->at[j->value[v].node];
            tni_want want = {.memory = at->memory, .device = at->device};
            if (homes && homes[k - 1] != &tni_home_auto) want.memory = homes[k - 1];
            o->kept[k - 1] = tni_bring(j, v, &want);
            if (!o->kept[k - 1].node) return j->p->src->error.status;
        }
    }
    return TN_OK;
}

// After a state is written, other forms of it are out of date.
static void forget_written(tni_joiner *j, const tni_node *n)
{
    for (uint32_t i = 0; n->op && i < n->n_in; i++)
        if (tni_port_flags(n, i) & TN_PORT_AUX) j->first[old_value(j, n->in[i])] = 0;
}

static uint32_t append(tni_joiner *j, const tni_node *n, uint32_t forward)
{
    const tni_node_spec spec = {.op = n->op,
                                .name = n->name,
                                .params = n->params,
                                .in = j->p->in,
                                .n_in = n->n_in,
                                .attrs = n->attrs,
                                .file = n->file,
                                .line = n->line,
                                .forward = forward};
    const uint32_t made = tni_place_emit(j->p, &spec, &j->old.types, n->value0);
    for (uint32_t i = 0; made && i < n->n_out; i++) {
        const uint32_t v = tni_node_at(j->p->out->g, made)->value0 + i;
        j->value[n->value0 + i] = (tni_entry){made, i};
        j->p->out->constant[v] = j->old.constant[n->value0 + i];
    }
    return made;
}

static tn_status join_kernel(tni_joiner *j, uint32_t id)
{
    tni_placed *o = j->p->out;
    const tni_node *n = tni_node_at(j->old.g, id);
    tn_status s = tni_early_before(j, id);
    if (s == TN_OK) s = tni_negotiate(&j->talks, id);
    if (s == TN_OK) s = bring_inputs(j, id, n);
    if (s != TN_OK) return s;
    const uint32_t f = n->forward ? j->value[tni_node_at(j->old.g, n->forward)->value0].node : 0;
    const uint32_t made = append(j, n, f);
    if (!made) return j->p->src->error.status;
    const tni_node *mine = tni_node_at(o->g, made);
    for (uint32_t i = 0; i < n->n_out; i++)
        o->layout[mine->value0 + i] = j->talks.layouts[n->n_in + i];
    o->at[made] = j->old.at[id];
    if (j->talks.passed) o->at[made].layouts_of = j->talks.owner[n->value0];
    j->p->question[made] = j->old_question[id];
    o->at[made].call = tni_negotiated_call(&j->talks, id, mine->name);
    if (!o->at[made].call) return tni_place_nomem(j->p);
    forget_written(j, n);
    s = bring_kept(j, n);
    return s == TN_OK ? tni_early_made(j, id) : s;
}

static tn_status join_variable(tni_joiner *j, uint32_t id)
{
    const tni_node *n = tni_node_at(j->old.g, id);
    const uint32_t made = append(j, n, 0);
    if (!made) return j->p->src->error.status;
    j->p->out->at[made] = (tni_place){.kind = TNI_VARIABLE, .memory = j->homes[id]};
    const tn_status s = bring_kept(j, n);
    return s == TN_OK ? tni_early_made(j, id) : s;
}

// ------------------------------------------------------------------ the whole

static bool begin(tni_joiner *j)
{
    tni_placer *p = j->p;
    tni_placed *o = p->out;
    const size_t nodes = o->g->n_nodes + 1, values = (size_t)o->g->n_values + 1;
    if (!tni_place_restart(p, &j->old, &j->old_question)) return false;
    j->homes = calloc(nodes, sizeof(tni_device *));
    j->fixed = calloc(nodes, 1);
    j->value = calloc(values, sizeof *j->value);
    j->first = calloc(values, sizeof *j->first);
    j->keep = calloc(values, sizeof *j->keep);
    j->keep_next = calloc(p->options->n_keep + 1, sizeof *j->keep_next);
    if (!tni_negotiator_init(&j->talks, p, &j->old, j->old_question)) return false;
    if (!j->homes || !j->fixed || !j->value || !j->first || !j->keep || !j->keep_next) return false;
    for (size_t i = p->options->n_keep; i > 0; i--) {
        const uint32_t v = old_value(j, o->kept[i - 1]);
        j->keep_next[i - 1] = j->keep[v];
        j->keep[v] = (uint32_t)i;
    }
    return true;
}

static tn_status sweep(tni_joiner *j)
{
    tni_placed *o = j->p->out;
    tn_status s = find_homes(j);
    if (s == TN_OK) s = tni_rehearse(&j->talks);
    if (s == TN_OK && !tni_early_begin(j)) s = tni_place_nomem(j->p);
    o->n_forward = 0;
    for (uint32_t id = 1; id <= j->old.g->n_nodes && s == TN_OK; id++) {
        s = j->old.at[id].kind == TNI_KERNEL ? join_kernel(j, id) : join_variable(j, id);
        if (id == j->old.n_forward) o->n_forward = (uint32_t)o->g->n_nodes;
    }
    return s;
}

// Values of the source are now values of the new graph; kept ones in the form in which they leave.
static void finish(tni_joiner *j)
{
    const tni_placer *p = j->p;
    tni_placed *o = p->out;
    tni_device *const *homes = p->options->keep_homes;
    for (size_t v = 0; v < p->src->n_values; v++)
        if (o->values[v].node) o->values[v] = j->value[old_value(j, o->values[v])];
    for (size_t i = 0; i < p->options->n_keep; i++)
        if (!homes || homes[i] == &tni_home_auto)
            o->values[tni_value(p->src, p->options->keep[i])] = o->kept[i];
}

tn_status tni_join(tni_placer *p)
{
    tni_joiner j = {.p = p};
    tn_status s = begin(&j) ? sweep(&j) : tni_place_nomem(p);
    if (s == TN_OK) finish(&j);
    tni_place_forget(&j.old, j.old_question);
    free(j.homes);
    free(j.fixed);
    free(j.value);
    free(j.first);
    free(j.versions);
    free(j.keep);
    free(j.keep_next);
    free(j.wanted);
    free(j.pending);
    tni_negotiator_free(&j.talks);
    return s;
}
