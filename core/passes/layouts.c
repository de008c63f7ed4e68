// core/passes/layouts.c: asks the devices of a placed graph for layouts, node by node in id order.
//
// Each node is asked knowing the layouts in which its inputs would arrive. Nothing is written: the
// join pass makes what is wanted, and fusing looks before it moves anything.
//
// Who is not asked gets row-major values, but for elementwise kernels: where all that they read
// lies in one layout that is but another order of the elements, they work through it, and what they
// make lies in it, too.
#include "core/passes/place.h"

bool tni_has_layouts(const tni_device *d)
{
    return d->backend->api.layouts && d->backend->api.prepare_reorder;
}

// Is the node asked for layouts?
static bool is_asked(const tni_place *at)
{
    return at->kind == TNI_KERNEL && !at->kernel && tni_has_layouts(at->device);
}

// May node `reader` get values of `maker` in a layout of their backend?
static bool reads_layouts_of(const tni_place *reader, const tni_place *maker)
{
    return is_asked(reader) && is_asked(maker) && reader->memory == maker->memory &&
           reader->device->backend == maker->device->backend;
}

static void find_leaving(tni_negotiator *t)
{
    const tn_graph *g = t->from->g;
    for (uint32_t id = 1; id <= g->n_nodes; id++) {
        const tni_node *n = tni_node_at(g, id);
        for (uint32_t i = 0; i < n->n_in; i++)
            if (!(tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY) &&
                !reads_layouts_of(&t->from->at[id], &t->from->at[n->in[i].node]))
                t->leaves[tni_value(g, n->in[i])] = 1;
    }
    for (size_t i = 0; i < t->p->options->n_keep; i++)
        t->leaves[tni_value(g, t->p->out->kept[i])] = 1;
}

static bool stays(const tni_negotiator *t, uint32_t id, size_t output)
{
    return t->p->support.compute != TN_DTYPE_NONE && is_asked(&t->from->at[id]) &&
           !t->leaves[tni_node_at(t->from->g, id)->value0 + output];
}

// ------------------------------------------------------------------ layouts that pass through

static bool is_of_elements(const tn_op_decl *op)
{
    return op->flags & TN_OP_ELEMENTWISE && !(op->flags & (TN_OP_RANDOM | TN_OP_MODE));
}

// Does it take elements of one place together, wherever that is? All its values are alike then.
static bool is_pointwise(const tni_negotiator *t, uint32_t id)
{
    const tni_node *n = tni_node_at(t->from->g, id);
    const tni_types *types = &t->from->types;
    if (t->from->at[id].kind != TNI_KERNEL || n->n_in == 0) return false;
    const tni_question *q = &t->p->support.questions[t->question[id]];
    if (q->n_parts == 0 && !is_of_elements(&n->op->decl)) return false;
    for (uint32_t i = 0; i < q->n_parts; i++)
        if (!is_of_elements(q->parts[i].call->op)) return false;
    for (uint32_t i = 0; i < n->n_in + n->n_out; i++) {
        const uint32_t v = i < n->n_in ? tni_value(t->from->g, n->in[i]) : n->value0 + i - n->n_in;
        if (i < n->n_in && tni_port_flags(n, i) & (TN_PORT_AUX | TN_PORT_SHAPE_ONLY)) return false;
        if (types->shape[v] != types->shape[n->value0]) return false;
        if (types->dtype[v] != types->dtype[n->value0]) return false;
    }
    return true;
}

// Who is not asked, is pointwise, and has a reader that may like what comes: one that is asked, or
// another one of its kind.
static bool find_open(tni_negotiator *t)
{
    const tn_graph *g = t->from->g;
    uint8_t *liked = calloc((size_t)g->n_values + 1, 1);
    for (uint32_t id = (uint32_t)g->n_nodes; liked && id > 0; id--) {
        const tni_node *n = tni_node_at(g, id);
        const bool asked = is_asked(&t->from->at[id]);
        bool reader = false;
        for (uint32_t i = 0; i < n->n_out; i++) reader = reader || liked[n->value0 + i];
        t->open[id] = !asked && reader && is_pointwise(t, id);
        for (uint32_t i = 0; i < n->n_in && (asked || t->open[id]); i++)
            liked[tni_value(g, n->in[i])] = 1;
    }
    free(liked);
    return liked != NULL;
}

// Does the layout of input 0 pass through? The others arrive in the same one, then.
static bool passes(const tni_negotiator *t, uint32_t id)
{
    const tni_node *n = tni_node_at(t->from->g, id);
    if (!t->open[id]) return false;
    const uint32_t first = tni_value(t->from->g, n->in[0]);
    const tn_layout *l = &t->made[first];
    if (!l->domain || !(t->owner[first]->backend->api.flags & TN_BACKEND_PERMUTES)) return false;
    if (l->bytes != t->from->layout[n->value0].bytes) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (t->from->at[n->in[i].node].memory != t->from->at[id].memory ||
            !tni_layout_equal(&t->made[tni_value(t->from->g, n->in[i])], l))
            return false;
    return true;
}

// ------------------------------------------------------------------ beginning and end

bool tni_negotiator_init(tni_negotiator *t, tni_placer *p, const tni_placed *from,
                         const uint32_t *question)
{
    *t = (tni_negotiator){.p = p, .from = from, .question = question};
    t->made = calloc((size_t)from->g->n_values + 1, sizeof *t->made);
    t->calls = calloc(from->g->n_nodes + 1, sizeof *t->calls);
    t->leaves = calloc((size_t)from->g->n_values + 1, 1);
    t->owner = calloc((size_t)from->g->n_values + 1, sizeof(tni_device *));
    t->open = calloc(from->g->n_nodes + 1, 1);
    if (!t->made || !t->calls || !t->leaves || !t->owner || !t->open) return false;
    find_leaving(t);
    return find_open(t);
}

void tni_negotiator_free(tni_negotiator *t)
{
    free(t->made);
    free(t->calls);
    free(t->leaves);
    free(t->owner);
    free(t->open);
    free(t->layouts);
    *t = (tni_negotiator){0};
}

static tn_layout row_major(const tni_negotiator *t, uint32_t v)
{
    return (tn_layout){.bytes = t->from->layout[v].bytes};
}

// The layout in which an input would arrive at a device: as it was made, if it may stay so.
static tn_layout arrival(const tni_negotiator *t, tni_entry e, const tni_device *d)
{
    const uint32_t v = tni_value(t->from->g, e);
    const tni_place *at = &t->from->at[e.node];
    const bool stays = t->made[v].domain && at->memory == tni_device_memory((tni_device *)d) &&
                       t->owner[v]->backend == d->backend;
    return stays ? t->made[v] : row_major(t, v);
}

const tn_call *tni_negotiated_call(tni_negotiator *t, uint32_t id, const char *name)
{
    tni_placer *p = t->p;
    const tni_question *q = &p->support.questions[t->question[id]];
    const uint32_t f = tni_node_at(t->from->g, id)->forward;
    const bool near = f && t->from->at[f].device == t->from->at[id].device;
    const size_t total = (size_t)q->n_in + q->n_out;
    bool plain = true;
    for (size_t i = 0; i < total && !t->passed; i++)
        plain = plain && !t->layouts[i].domain && !(i >= q->n_in && stays(t, id, i - q->n_in));
    tn_call *call = (tn_call *)tni_support_call(&p->support, q, name, near ? t->calls[f] : NULL);
    t->calls[id] = call;
    if (!call || plain) return call;
    const tn_value_info **infos = tni_alloc(&p->out->arena, total * sizeof *infos);
    if (!infos) return NULL;
    for (size_t i = 0; i < total; i++) {
        const tn_value_info *was = q->infos[i];
        tn_shape shape = {.ndim = was->ndim};
        if (was->ndim > 0) memcpy(shape.dim, was->dims, (size_t)was->ndim * sizeof *was->dims);
        const bool inside = i >= q->n_in && stays(t, id, i - q->n_in);
        infos[i] = tni_info_get(&p->infos, &shape, was->dtype,
                                was->flags | (inside ? TN_VALUE_STAYS : 0), &t->layouts[i]);
        if (!infos[i]) return NULL;
    }
    call->in = infos;
    call->out = infos + q->n_in;
    return call;
}

// Layouts that the core does not give: of states, which are variables, and of what has no data.
static void take_back(tni_negotiator *t, const tni_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (tni_port_flags(n, i) & (TN_PORT_AUX | TN_PORT_SHAPE_ONLY))
            t->layouts[i] = row_major(t, tni_value(t->from->g, n->in[i]));
    for (uint32_t i = 0; i < n->n_in + n->n_out; i++) {
        const uint32_t v = i < n->n_in ? tni_value(t->from->g, n->in[i]) : n->value0 + i - n->n_in;
        if (!t->layouts[i].domain) t->layouts[i] = row_major(t, v);
    }
}

static tn_status ask(tni_negotiator *t, uint32_t id, const tni_node *n)
{
    tni_device *d = t->from->at[id].device;
    const tn_call *call = tni_negotiated_call(t, id, n->name);
    if (!call) return tni_place_nomem(t->p);
    const tn_status s = d->backend->api.layouts(d->handle, call, t->layouts, t->layouts + n->n_in);
    const char *why = s == TN_OK ? "" : tni_host_take_error(d->backend->plugin);
    if (s != TN_OK)
        return tni_fail(&t->p->src->error, s, NULL, "%s (%s): %s: layouts() failed: %s", n->name,
                        n->op->decl.name, d->uri, why && *why ? why : tn_status_text(s));
    take_back(t, n);
    for (uint32_t i = 0; i < n->n_in + n->n_out; i++)
        if (t->layouts[i].domain && t->layouts[i].bytes == 0)
            return tni_fail(&t->p->src->error, TN_E_INTERNAL, NULL,
                            "%s (%s): %s: layouts() gave %s %u a layout of 0 bytes", n->name,
                            n->op->decl.name, d->uri, i < n->n_in ? "input" : "output",
                            i < n->n_in ? i : i - n->n_in);
    return TN_OK;
}

tn_status tni_negotiate(tni_negotiator *t, uint32_t id)
{
    const tni_place *at = &t->from->at[id];
    const tni_node *n = tni_node_at(t->from->g, id);
    const bool asks = !at->kernel && tni_has_layouts(at->device);
    void *layouts = t->layouts;
    if (!tni_grow(&layouts, &t->room, (size_t)n->n_in + n->n_out + 1, sizeof *t->layouts))
        return tni_place_nomem(t->p);
    t->layouts = layouts;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const bool data = !(tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY);
        t->layouts[i] = asks && data ? arrival(t, n->in[i], at->device)
                                     : row_major(t, tni_value(t->from->g, n->in[i]));
    }
    for (uint32_t i = 0; i < n->n_out; i++) t->layouts[n->n_in + i] = row_major(t, n->value0 + i);
    t->passed = !asks && passes(t, id);
    for (uint32_t i = 0; t->passed && i < n->n_in + n->n_out; i++)
        t->layouts[i] = t->made[tni_value(t->from->g, n->in[0])];
    const tn_status s = asks ? ask(t, id, n) : TN_OK;
    tni_device *owner = t->passed ? t->owner[tni_value(t->from->g, n->in[0])] : at->device;
    for (uint32_t i = 0; s == TN_OK && i < n->n_out; i++) {
        t->made[n->value0 + i] = t->layouts[n->n_in + i];
        t->owner[n->value0 + i] = owner;
    }
    return s;
}

// Marks what reaches node `id` row-major, as its reader wants it, as if it left; true: that is new.
static bool mark_plain_inputs(tni_negotiator *t, const tni_node *n)
{
    bool news = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        uint8_t *leaves = &t->leaves[tni_value(t->from->g, n->in[i])];
        if ((tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY) || t->layouts[i].domain) continue;
        news = news || !*leaves;
        *leaves = 1;
    }
    return news;
}

// Who is told that its output leaves may answer otherwise, also about its inputs: so all are asked
// again until nobody says anything new. What leaves once leaves for good, so that ends; a chain of
// nodes that each change their minds when the one behind does ends at a limit, and costs a reorder.
tn_status tni_rehearse(tni_negotiator *t)
{
    enum { MOST_SWEEPS = 8 };
    const tn_graph *g = t->from->g;
    bool news = t->p->support.compute != TN_DTYPE_NONE;
    for (int sweep = 0; news && sweep < MOST_SWEEPS; sweep++) {
        news = false;
        for (uint32_t id = 1; id <= g->n_nodes; id++) {
            if (t->from->at[id].kind != TNI_KERNEL) continue;
            const tn_status s = tni_negotiate(t, id);
            if (s != TN_OK) return s;
            news = mark_plain_inputs(t, tni_node_at(g, id)) || news;
        }
    }
    return TN_OK;
}
