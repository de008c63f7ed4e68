// core/passes/bring.c: brings values into the memory and layout that a reader wants.
//
// Each form of a value is made once and found again by later readers. Between memories values
// travel row-major, since only the backend that owns a layout can read it, and between two devices
// they travel through host memory.
#include "core/passes/place.h"

static const tni_place *place_of(const tni_joiner *j, tni_entry e)
{
    return &j->p->out->at[e.node];
}

static const tn_layout *layout_of(const tni_joiner *j, tni_entry e)
{
    return &j->p->out->layout[tni_value(j->p->out->g, e)];
}

const tn_value_info *tni_joined_info(tni_joiner *j, tni_entry e)
{
    const tni_placed *o = j->p->out;
    const uint32_t v = tni_value(o->g, e);
    const tn_value_info *info =
        tni_info_get(&j->p->infos, tni_types_shape(&o->types, v), o->types.dtype[v],
                     o->constant[v] ? TN_VALUE_CONST : 0, &o->layout[v]);
    if (!info) tni_place_nomem(j->p);
    return info;
}

static bool is_wanted(const tni_joiner *j, tni_entry e, const tni_want *want)
{
    return place_of(j, e)->memory == want->memory &&
           tni_layout_equal(layout_of(j, e), &want->layout);
}

static tni_entry find(const tni_joiner *j, uint32_t v, const tni_want *want)
{
    if (is_wanted(j, j->value[v], want)) return j->value[v];
    for (uint32_t i = j->first[v]; i; i = j->versions[i].next)
        if (is_wanted(j, j->versions[i].entry, want)) return j->versions[i].entry;
    return (tni_entry){0, 0};
}

// ------------------------------------------------------------------ appending

// Operator of a node that the core inserts, and its parameters, looked up once.
static bool find_op(tni_joiner *j, const char *name, const tni_op **op, const void **params)
{
    tn_graph *g = j->p->src;
    if (*op) return true;
    *op = tni_op_find(g->registry, name);
    if (!*op) {
        tni_graph_fail(g, TN_E_NOT_FOUND, 0, "operator %s is not registered", name);
        return false;
    }
    *params = tni_params_parse(*op, &j->p->out->arena, NULL, 0, NULL, name, &g->error);
    return *params != NULL;
}

// Appends a node that makes another form of entry e, and notes the form. 0: failed.
static uint32_t append(tni_joiner *j, uint32_t v, tni_entry e, const tni_op *op, const void *params)
{
    const char *kind = op == j->copy ? "copy" : "reorder";
    tni_placed *o = j->p->out;
    const tni_entry made = j->value[v];
    const tni_node *n = tni_node_at(o->g, made.node);
    const tni_mark mark = tni_arena_mark(&j->old.arena);
    const char *name = tni_printf(&j->old.arena, "%s_%u_%s", n->name, made.out, kind);
    void *versions = j->versions;
    if (!name || !tni_grow(&versions, &j->versions_room, j->n_versions + 2, sizeof *j->versions)) {
        tni_place_nomem(j->p);
        return 0;
    }
    j->versions = versions;
    const tni_node_spec spec = {.op = op,
                                .name = name,
                                .params = params,
                                .in = &e,
                                .n_in = 1,
                                .file = n->file,
                                .line = n->line};
    const uint32_t id = tni_place_emit(j->p, &spec, &o->types, tni_value(o->g, e));
    tni_arena_reset(&j->old.arena, mark);
    if (!id) return 0;
    o->constant[tni_node_at(o->g, id)->value0] = o->constant[tni_value(o->g, e)];
    j->versions[++j->n_versions] = (tni_version){{id, 0}, j->first[v]};
    j->first[v] = (uint32_t)j->n_versions;
    return id;
}

static tni_entry copy_to(tni_joiner *j, uint32_t v, tni_entry e, tni_device *memory)
{
    const tni_entry none = {0, 0};
    if (!find_op(j, "_CrossDeviceCopy", &j->copy, &j->copy_params)) return none;
    tni_device *from = place_of(j, e)->memory;
    const uint32_t id = append(j, v, e, j->copy, j->copy_params);
    if (!id) return none;
    j->p->out->at[id] =
        (tni_place){.kind = TNI_COPY, .device = memory ? memory : from, .memory = memory};
    j->p->out->n_copies++;
    return (tni_entry){id, 0};
}

static const tn_call *reorder_call(tni_joiner *j, uint32_t id, tni_entry from)
{
    tni_placed *o = j->p->out;
    tn_call *call = tni_alloc(&o->arena, sizeof *call);
    const tn_value_info **infos = tni_alloc(&o->arena, 2 * sizeof *infos);
    if (!call || !infos) {
        tni_place_nomem(j->p);
        return NULL;
    }
    infos[0] = tni_joined_info(j, from);
    infos[1] = tni_joined_info(j, (tni_entry){id, 0});
    *call = (tn_call){.struct_size = sizeof *call,
                      .flags = j->p->support.call_flags,
                      .compute = j->p->support.compute,
                      .op = &j->reorder->decl,
                      .params = j->reorder_params,
                      .name = tni_node_at(o->g, id)->name,
                      .n_in = 1,
                      .n_out = 1,
                      .in = infos,
                      .out = infos + 1,
                      .max_workers = j->p->options->workers};
    return infos[0] && infos[1] ? call : NULL;
}

static tni_entry reorder_to(tni_joiner *j, uint32_t v, tni_entry e, const tn_layout *layout,
                            tni_device *device)
{
    const tni_entry none = {0, 0};
    tni_placed *o = j->p->out;
    if (!find_op(j, "_reorder", &j->reorder, &j->reorder_params)) return none;
    const uint32_t id = append(j, v, e, j->reorder, j->reorder_params);
    if (!id) return none;
    if (layout->domain) o->layout[tni_node_at(o->g, id)->value0] = *layout;
    o->at[id] =
        (tni_place){.kind = TNI_REORDER, .device = device, .memory = tni_device_memory(device)};
    o->at[id].call = reorder_call(j, id, e);
    o->n_reorders++;
    return o->at[id].call ? (tni_entry){id, 0} : none;
}

// ------------------------------------------------------------------ the way from one to another

// In the memory where the value was made: at most two reorders, the first to row-major.
static tni_entry bring_here(tni_joiner *j, uint32_t v, const tni_want *want)
{
    const tni_entry made = j->value[v];
    tni_device *owner = TNI_LAYOUTS_OF(place_of(j, made));
    const bool owned = layout_of(j, made)->domain != NULL;
    if (!want->layout.domain) return reorder_to(j, v, made, &want->layout, owner);
    if (!owned || owner->backend == want->device->backend)
        return reorder_to(j, v, made, &want->layout, want->device);
    const tni_want plain = {.memory = want->memory, .device = owner};
    tni_entry e = find(j, v, &plain);
    if (!e.node) e = reorder_to(j, v, made, &plain.layout, owner);
    return e.node ? reorder_to(j, v, e, &want->layout, want->device) : e;
}

// The value row-major in the memory where it was made, then in host memory, then where it is
// wanted: whatever of this is not there yet.
static tni_entry travel(tni_joiner *j, uint32_t v, tni_device *to)
{
    tni_want step = {.memory = place_of(j, j->value[v])->memory};
    tni_entry e = find(j, v, &step);
    if (!e.node) e = bring_here(j, v, &step);
    tni_device *const stops[] = {NULL, to};
    for (int i = 0; i < 2 && e.node; i++) {
        step.memory = stops[i];
        const tni_entry there = find(j, v, &step);
        if (place_of(j, e)->memory != stops[i]) e = there.node ? there : copy_to(j, v, e, stops[i]);
    }
    return e;
}

tni_entry tni_bring(tni_joiner *j, uint32_t v, const tni_want *want)
{
    tni_entry e = find(j, v, want);
    if (e.node) return e;
    if (place_of(j, j->value[v])->memory == want->memory) return bring_here(j, v, want);
    e = travel(j, v, want->memory);
    if (!e.node || !want->layout.domain) return e;
    return reorder_to(j, v, e, &want->layout, want->device);
}
