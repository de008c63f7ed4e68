// core/passes/place.c: gives each node a device and writes the graph that will run.
//
// One walk over the source in id order. A node goes to the first of its candidates that takes it;
// what none takes is expanded on the spot, so the order of execution stays that of the source.
#include "core/passes/place.h"

tni_device tni_home_auto;

struct tni_scrap {
    tn_graph *expansions; // owns the parameters of nodes that came from expansions
};

tn_status tni_place_nomem(tni_placer *p)
{
    return tni_graph_fail(p->src, TN_E_NOMEM, 0, "out of memory");
}

tn_status tni_place_take_error(tni_placer *p, const tn_graph *from)
{
    const tn_status s = from->error.status;
    return tni_fail(&p->src->error, s == TN_OK ? TN_E_INTERNAL : s, NULL, "%s",
                    s == TN_OK ? "failed without saying why" : tni_error_text(&from->error));
}

// ------------------------------------------------------------------ appending

// Room for what is known about nodes and values of the new graph; new places are zero.
static bool grow_places(tni_placer *p)
{
    tni_placed *o = p->out;
    const size_t nodes = o->g->n_nodes + 1, values = (size_t)o->g->n_values + 1;
    void *at = o->at, *question = p->question, *layout = o->layout, *constant = o->constant;
    const bool ok = tni_grow(&at, &p->at_room, nodes, sizeof *o->at) &&
                    tni_grow(&question, &p->question_room, nodes, sizeof *p->question) &&
                    tni_grow(&layout, &p->layout_room, values, sizeof *o->layout) &&
                    tni_grow(&constant, &p->constant_room, values, sizeof *o->constant);
    o->at = at;
    p->question = question;
    o->layout = layout;
    o->constant = constant;
    return ok && tni_types_grow(&o->types, o->g);
}

// Output i has the types of value values[i], or of value0 + i.
static uint32_t emit(tni_placer *p, const tni_node_spec *spec, const tni_types *types,
                     const uint32_t *values, uint32_t value0)
{
    tni_placed *o = p->out;
    const uint32_t id = tni_node_add(o->g, spec);
    if (!id) {
        tni_place_take_error(p, o->g);
        return 0;
    }
    if (!grow_places(p)) {
        tni_place_nomem(p);
        return 0;
    }
    const tni_node *n = tni_node_at(o->g, id);
    o->at[id] = (tni_place){.kind = TNI_VARIABLE};
    p->question[id] = 0;
    for (uint32_t i = 0; i < n->n_out; i++) {
        const uint32_t v = n->value0 + i;
        const uint32_t from = values ? values[i] : value0 + i;
        const tn_shape *shape = tni_types_shape(types, from);
        const tn_dtype dtype = types->dtype[from];
        if (tni_types_merge_shape(&o->types, v, shape) != TN_OK ||
            tni_types_merge_dtype(&o->types, v, dtype) != TN_OK) {
            tni_place_nomem(p);
            return 0;
        }
        o->layout[v] = (tn_layout){.bytes = tni_value_bytes(shape, dtype)};
        o->constant[v] = 0;
    }
    return id;
}

uint32_t tni_place_emit(tni_placer *p, const tni_node_spec *spec, const tni_types *types,
                        uint32_t value0)
{
    return emit(p, spec, types, NULL, value0);
}

uint32_t tni_place_emit_values(tni_placer *p, const tni_node_spec *spec, const tni_types *types,
                               const uint32_t *values)
{
    return emit(p, spec, types, values, 0);
}

bool tni_place_restart(tni_placer *p, tni_placed *old, uint32_t **old_question)
{
    tni_placed *o = p->out;
    *old = *o;
    old->arena = (tni_arena){0};
    *old_question = p->question;
    p->question = NULL;
    o->at = NULL;
    o->layout = NULL;
    o->constant = NULL;
    o->types = (tni_types){0};
    p->at_room = p->question_room = p->layout_room = p->constant_room = 0;
    o->g = tni_graph_bare(p->src->env);
    if (!o->g || !tni_types_init(&o->types)) return false;
    o->g->registry = p->src->registry;
    return true;
}

uint32_t tni_place_again(tni_placer *p, const tni_placed *old, const uint32_t *old_question,
                         uint32_t id, tni_entry *value_of, uint32_t forward)
{
    tni_placed *o = p->out;
    const tni_node *n = tni_node_at(old->g, id);
    void *room = p->in;
    if (!tni_grow(&room, &p->in_room, (size_t)n->n_in + 1, sizeof *p->in)) return 0;
    p->in = room;
    for (uint32_t i = 0; i < n->n_in; i++) p->in[i] = value_of[tni_value(old->g, n->in[i])];
    const tni_node_spec spec = {.op = n->op,
                                .name = n->name,
                                .params = n->params,
                                .in = p->in,
                                .n_in = n->n_in,
                                .attrs = n->attrs,
                                .file = n->file,
                                .line = n->line,
                                .forward = forward};
    const uint32_t made = tni_place_emit(p, &spec, &old->types, n->value0);
    if (!made) return 0;
    const uint32_t v = tni_node_at(o->g, made)->value0;
    o->at[made] = old->at[id];
    p->question[made] = old_question[id];
    for (uint32_t i = 0; i < n->n_out; i++) {
        value_of[n->value0 + i] = (tni_entry){made, i};
        o->constant[v + i] = old->constant[n->value0 + i];
    }
    return made;
}

void tni_place_forget(tni_placed *old, uint32_t *old_question)
{
    tn_graph_free(old->g);
    tni_types_free(&old->types);
    tni_arena_free(&old->arena);
    free(old->at);
    free(old->layout);
    free(old->constant);
    free(old_question);
}

tn_status tni_place_inputs(tni_placer *p, const tni_view *view, uint32_t id)
{
    const tni_node *n = tni_node_at(view->g, id);
    void *in = p->in;
    if (!tni_grow(&in, &p->in_room, (size_t)n->n_in + 1, sizeof *p->in)) return tni_place_nomem(p);
    p->in = in;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const tni_entry from = n->in[i];
        p->in[i] = view->values[tni_value(view->g, from)];
        if (!p->in[i].node)
            return tni_fail(&p->src->error, TN_E_INTERNAL, NULL,
                            "%s (%s): output %u of %s is not there: its expansion does not set it",
                            n->name, n->op->decl.name, from.out,
                            tni_node_at(view->g, from.node)->name);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ one node

static bool is_constant(const tni_placed *o, const tni_node *n, const tni_entry *in)
{
    if (n->op->decl.flags & (TN_OP_RANDOM | TN_OP_MODE) || tni_has_aux(n)) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!(tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY) && !o->constant[tni_value(o->g, in[i])])
            return false;
    return true;
}

// The infos of a call, inputs first, in p->asked. Layouts are row-major here.
static tn_status collect_infos(tni_placer *p, const tni_view *view, const tni_node *n)
{
    tni_placed *o = p->out;
    const size_t total = (size_t)n->n_in + n->n_out;
    void *asked = p->asked;
    if (!tni_grow(&asked, &p->asked_room, total + 1, sizeof *p->asked)) return tni_place_nomem(p);
    p->asked = asked;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const uint32_t v = tni_value(o->g, p->in[i]);
        const uint32_t flags =
            (o->constant[v] ? TN_VALUE_CONST : 0) |
            (tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY ? TN_VALUE_SHAPE_ONLY : 0);
        p->asked[i] =
            tni_info_get(&p->infos, tni_types_shape(&o->types, v), o->types.dtype[v], flags, NULL);
    }
    const uint32_t flags = is_constant(o, n, p->in) ? TN_VALUE_CONST : 0;
    for (uint32_t i = 0; i < n->n_out; i++)
        p->asked[n->n_in + i] = tni_info_get(&p->infos, tni_types_shape(view->types, n->value0 + i),
                                             view->types->dtype[n->value0 + i], flags, NULL);
    for (size_t i = 0; i < total; i++)
        if (!p->asked[i]) return tni_place_nomem(p);
    return TN_OK;
}

// Appends the node whose inputs are in p->in.
static uint32_t append(tni_placer *p, tni_view *view, const tni_node *n, const tni_context *context)
{
    const tni_node_spec spec = {.op = n->op,
                                .name = n->name,
                                .params = n->params,
                                .in = p->in,
                                .n_in = n->n_in,
                                .attrs = n->attrs,
                                .file = n->file,
                                .line = n->line,
                                .forward = context->forward};
    const uint32_t id = tni_place_emit(p, &spec, view->types, n->value0);
    const uint32_t v = id ? p->out->g->nodes[id].value0 : 0;
    const bool constant = id && n->op && is_constant(p->out, n, p->in);
    for (uint32_t i = 0; id && i < n->n_out; i++) {
        view->values[n->value0 + i] = (tni_entry){id, i};
        p->out->constant[v + i] = constant;
    }
    return id;
}

static tn_status append_kernel(tni_placer *p, tni_view *view, const tni_node *n,
                               const tni_context *context, uint32_t question)
{
    const uint32_t id = append(p, view, n, context);
    if (!id) return p->src->error.status;
    const tni_question *q = &p->support.questions[question];
    p->question[id] = question;
    p->out->at[id] = (tni_place){.kind = TNI_KERNEL,
                                 .device = q->device,
                                 .memory = tni_device_memory(q->device),
                                 .kernel = q->kernel,
                                 .refusals = q->refusals,
                                 .origin = context->origin,
                                 .no_whole = context->no_whole};
    return TN_OK;
}

tn_status tni_place_node(tni_placer *p, tni_view *view, uint32_t id, const tni_context *context)
{
    const tni_node n = *tni_node_at(view->g, id); // a copy: the array may move
    tn_status s = tni_place_inputs(p, view, id);
    if (s == TN_OK) s = collect_infos(p, view, &n);
    if (s != TN_OK) return s;
    const tni_question question = {.op = n.op,
                                   .params = n.params,
                                   .infos = p->asked,
                                   .n_in = n.n_in,
                                   .n_out = n.n_out,
                                   .set = context->set,
                                   .forward = context->forward ? p->question[context->forward] : 0};
    const uint32_t number = tni_support_ask(&p->support, &question, n.name);
    if (!number) return tni_place_nomem(p);
    tni_question *q = &p->support.questions[number];
    if (!q->device && n.op->decl.expand && context->depth < TNI_MAX_EXPANSION) {
        tni_context inside = *context;
        if (!inside.origin) {
            inside.origin = n.op->decl.name;
            inside.no_whole = q->refusals;
        }
        return tni_expand_node(p, view, id, &inside, number);
    }
    if (!q->device) tni_support_miss(q, n.name, context->origin);
    return append_kernel(p, view, &n, context, number);
}

// ------------------------------------------------------------------ the walk

// The node of the new graph that runs forward node f of the source as a whole; 0 if none does.
static uint32_t new_forward(const tni_placer *p, uint32_t f)
{
    if (!f) return 0;
    const tni_node *n = tni_node_at(p->src, f);
    const uint32_t id = n->n_out ? p->user.values[n->value0].node : 0;
    if (!id || tni_node_at(p->out->g, id)->op != n->op || p->out->at[id].origin) return 0;
    return id;
}

static tn_status place_variable(tni_placer *p, uint32_t id)
{
    const tni_node *n = tni_node_at(p->src, id);
    const tni_context none = {0};
    const uint32_t made = append(p, &p->user, n, &none);
    if (!made) return p->src->error.status;
    const uint32_t v = p->out->g->nodes[made].value0;
    p->out->constant[v] = p->options->constants && p->options->constants[id];
    return TN_OK;
}

// A node that is not to run: its values, if anybody has them, are those of another.
static void pass_by(tni_placer *p, const tni_simplified *simple, const tni_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        const tni_entry same = simple->same_as[n->value0 + i];
        p->user.values[n->value0 + i] = p->user.values[tni_value(p->src, same)];
    }
}

// sets: by id, for gradients to inherit.
static tn_status place_user(tni_placer *p, const tni_simplified *simple, uint32_t *sets,
                            uint32_t id)
{
    const tni_node *n = tni_node_at(p->src, id);
    if (n->flags & TNI_NODE_GROUP) return TN_OK;
    const tn_status s = tni_pins_find(&p->pins, id, n->forward ? sets[n->forward] : 0, &sets[id]);
    if (s != TN_OK) return s;
    if (!simple->live[id]) {
        pass_by(p, simple, n);
        return TN_OK;
    }
    if (!n->op) return place_variable(p, id);
    const tni_context context = {.set = sets[id], .forward = new_forward(p, n->forward)};
    p->expanded = 0;
    return tni_place_node(p, &p->user, id, &context);
}

static tn_status walk(tni_placer *p, const tni_simplified *simple, uint32_t n_forward)
{
    uint32_t *sets = calloc(p->src->n_nodes + 1, sizeof *sets);
    tn_status s = sets ? TN_OK : tni_place_nomem(p);
    for (uint32_t id = 1; id <= p->src->n_nodes && s == TN_OK; id++) {
        s = place_user(p, simple, sets, id);
        if (id == n_forward) p->out->n_forward = (uint32_t)p->out->g->n_nodes;
    }
    free(sets);
    return s == TN_OK ? tni_support_report(&p->support, p->src) : s;
}

// ------------------------------------------------------------------ the whole

static tn_status begin(tni_placer *p, const tni_types *types)
{
    tni_placed *o = p->out;
    const size_t n_values = (size_t)p->src->n_values + 1, n_keep = p->options->n_keep;
    o->g = tni_graph_bare(p->src->env);
    o->values = calloc(n_values, sizeof *o->values);
    o->kept = calloc(n_keep + 1, sizeof *o->kept);
    o->scrap = calloc(1, sizeof *o->scrap);
    if (!o->g || !o->values || !o->kept || !o->scrap || !tni_types_init(&o->types))
        return tni_place_nomem(p);
    o->g->registry = p->src->registry;
    p->user = (tni_view){p->src, types, o->values, n_values};
    p->infos.arena = &o->arena;
    p->support = (tni_support){.registry = p->src->registry,
                               .pins = &p->pins,
                               .arena = &o->arena,
                               .call_flags = (p->options->training ? TN_CALL_TRAINING : 0) |
                                             (p->options->inference ? TN_CALL_INFERENCE : 0),
                               .compute = p->options->compute,
                               .exclusions = p->options->exclusions,
                               .workers = p->options->workers};
    const tn_status s = tni_pins_init(&p->pins, p->src, p->options);
    if (s != TN_OK) return s;
    const tni_candidates *list = &p->pins.sets[0];
    o->devices = calloc(list->n + 1, sizeof(tni_device *));
    if (!o->devices) return tni_place_nomem(p);
    memcpy(o->devices, list->devices, list->n * sizeof(tni_device *));
    o->n_devices = list->n;
    return TN_OK;
}

// Calls of a graph without layouts and with one memory.
static tn_status make_calls(tni_placer *p)
{
    tni_placed *o = p->out;
    for (uint32_t id = 1; id <= o->g->n_nodes; id++) {
        tni_place *at = &o->at[id];
        if (at->kind != TNI_KERNEL) continue;
        const tni_node *n = tni_node_at(o->g, id);
        // Only what backward runs finds a stash: not gradients that the user's graph has itself.
        const bool led_to = n->forward && n->forward <= o->n_forward && id > o->n_forward;
        const tni_place *f = led_to ? &o->at[n->forward] : NULL;
        at->call = tni_support_call(&p->support, &p->support.questions[p->question[id]], n->name,
                                    f && f->device == at->device ? f->call : NULL);
        if (!at->call) return tni_place_nomem(p);
    }
    return TN_OK;
}

static tn_status place_all(tni_placer *p, const tni_types *types, uint32_t n_forward)
{
    tni_simplified simple;
    tni_placed *o = p->out;
    tn_status s = begin(p, types);
    if (s != TN_OK) return s;
    if (!tni_simplify(p->src, types, p->options, &simple)) return tni_place_nomem(p);
    s = walk(p, &simple, n_forward);
    o->n_merged = simple.n_merged;
    o->n_dropped = simple.n_dropped;
    tni_simplified_free(&simple);
    if (s != TN_OK) return s;
    for (size_t i = 0; i < p->options->n_keep; i++)
        o->kept[i] = o->values[tni_value(p->src, p->options->keep[i])];
    if (!p->options->exact && p->options->n_keep) s = tni_sweep(p);
    if (s == TN_OK && !p->options->exact && !p->options->apart) s = tni_fuse(p);
    if (s != TN_OK) return s;
    return tni_join_needed(p) ? tni_join(p) : make_calls(p);
}

tn_status tni_place_graph(tn_graph *src, const tni_types *types, uint32_t n_forward,
                          const tni_place_options *options, tni_placed *out)
{
    *out = (tni_placed){0};
    tni_placer p = {.src = src, .out = out, .options = options};
    const tn_status s =
        src->error.status == TN_OK ? place_all(&p, types, n_forward) : src->error.status;
    if (out->scrap)
        out->scrap->expansions = p.scratch.g;
    else if (p.scratch.g)
        tn_graph_free(p.scratch.g);
    free(p.scratch.values);
    tni_types_free(&p.scratch_types);
    tni_pins_free(&p.pins);
    tni_support_free(&p.support);
    tni_infos_free(&p.infos);
    free(p.question);
    free(p.in);
    free(p.asked);
    return s;
}

void tni_placed_free(tni_placed *p)
{
    tn_graph_free(p->g);
    tni_types_free(&p->types);
    free(p->at);
    free(p->layout);
    free(p->constant);
    free(p->values);
    free(p->kept);
    free(p->devices);
    if (p->scrap) tn_graph_free(p->scrap->expansions);
    free(p->scrap);
    tni_arena_free(&p->arena);
    *p = (tni_placed){0};
}
