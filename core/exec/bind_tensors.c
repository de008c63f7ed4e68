// core/exec/bind_tensors.c: devices of nodes; tensors of arguments, states, outputs, gradients.
#include "core/exec/exec.h"

static tn_status out_of_memory(tni_bind *b)
{
    return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
}

// ------------------------------------------------------------------ placing

static tni_device *home_of(const tn_tensor *given)
{
    return given ? given->storage->device : &tni_home_auto;
}

// What placement is asked: values that leave, and where variables lie.
typedef struct wishes {
    tni_entry *keep;
    tni_device **keep_homes, **homes;
    size_t n_keep;
} wishes;

static bool wishes_make(wishes *w, const tni_bind *b)
{
    const tn_exec *e = b->e;
    const tn_graph *s = e->source;
    const size_t most = e->outs.n + e->args.n;
    w->keep = calloc(most + 1, sizeof *w->keep);
    w->keep_homes = calloc(most + 1, sizeof *w->keep_homes);
    w->homes = calloc(s->n_nodes + 1, sizeof *w->homes);
    if (!w->keep || !w->keep_homes || !w->homes) return false;
    for (size_t i = 0; i <= s->n_nodes; i++) w->homes[i] = &tni_home_auto;
    for (size_t i = 0; i < e->outs.n; i++) {
        w->keep[w->n_keep] = e->heads[i];
        w->keep_homes[w->n_keep++] = home_of(b->given_outs[i]);
        if (b->head_vars[i].node) w->homes[b->head_vars[i].node] = home_of(b->given_heads[i]);
    }
    for (size_t i = 0; i < e->args.n; i++) {
        w->homes[e->vars[i].node] = home_of(e->arg[i]);
        if (e->req[i] == TN_NULL || !b->dx[i].node) continue;
        w->keep[w->n_keep] = b->dx[i];
        w->keep_homes[w->n_keep++] = home_of(b->given_grads[i]);
        if (b->old[i].node) w->homes[b->old[i].node] = home_of(b->given_grads[i]);
    }
    for (size_t i = 0; i < e->auxs.n; i++)
        w->homes[e->vars[e->args.n + i].node] = home_of(e->aux[i]);
    return true;
}

static void wishes_free(wishes *w)
{
    free(w->keep);
    free(w->keep_homes);
    free(w->homes);
}

// What is placed: the source, or what it was folded to.
typedef struct subject {
    tn_graph *g;
    const tni_types *types;
    uint32_t n_forward;
    uint8_t *constants; // by node; NULL: nothing is
} subject;

// Values and variables of the wishes become those of the folded graph.
static bool move_wishes(const tn_exec *e, wishes *w)
{
    const tni_folded *f = &e->folded;
    tni_device **homes = calloc(f->g->n_nodes + 1, sizeof *homes);
    if (!homes) return false;
    for (size_t i = 0; i <= f->g->n_nodes; i++) homes[i] = &tni_home_auto;
    for (uint32_t id = 1; id <= e->n_source; id++) {
        const tni_node *n = &e->source->nodes[id];
        if (tni_is_variable(n)) homes[f->values[n->value0].node] = w->homes[id];
    }
    for (size_t i = 0; i < w->n_keep; i++) w->keep[i] = f->values[tni_value(e->source, w->keep[i])];
    free(w->homes);
    w->homes = homes;
    return true;
}

static tn_status choose_subject(tni_bind *b, wishes *w, subject *s)
{
    tn_exec *e = b->e;
    *s = (subject){e->source, &b->types, e->n_source, NULL};
    if (!e->inference) return TN_OK;
    if (!(e->flags & TN_BIND_NO_REUSE) &&
        tni_fold(e->source, &b->types, w->keep, w->n_keep, &e->folded))
        return tni_bind_take_error(b, e->source);
    const tni_folded *f = &e->folded;
    if (f->g) *s = (subject){f->g, &f->types, (uint32_t)f->g->n_nodes, NULL};
    if (f->g && !move_wishes(e, w)) return out_of_memory(b);
    s->constants = calloc(s->g->n_nodes + 1, 1);
    if (!s->constants) return out_of_memory(b);
    for (size_t i = 0; i < e->args.n + e->auxs.n; i++) {
        const tni_entry var = e->vars[i];
        const uint32_t node = f->g ? f->values[tni_value(e->source, var)].node : var.node;
        s->constants[node] = e->constant[i];
    }
    return TN_OK;
}

// Values of the folded graph were placed: find them by those of the source.
static bool unfold_values(tn_exec *e)
{
    const tni_folded *f = &e->folded;
    tni_entry *values = f->g ? calloc((size_t)e->source->n_values + 1, sizeof *values) : NULL;
    if (!values) return !f->g;
    for (uint32_t v = 0; v < e->source->n_values; v++)
        if (f->values[v].node) values[v] = e->placed.values[tni_value(f->g, f->values[v])];
    free(e->placed.values);
    e->placed.values = values;
    return true;
}

static tn_status place_subject(tni_bind *b, const wishes *w, const subject *s)
{
    tn_exec *e = b->e;
    const tni_place_options options = {.backends = e->backends,
                                       .groups = e->groups,
                                       .training = e->training,
                                       .inference = e->inference,
                                       .compute = e->compute,
                                       .workers = e->workers,
                                       .exact = (e->flags & TN_BIND_NO_REUSE) != 0,
                                       .apart = (e->flags & TN_BIND_NO_FUSE) || e->stop_at_nan,
                                       .keep = w->keep,
                                       .n_keep = w->n_keep,
                                       .keep_homes = w->keep_homes,
                                       .homes = w->homes,
                                       .constants = s->constants,
                                       .exclusions = b->excluded};
    e->is_placed = true;
    if (tni_place_graph(s->g, s->types, s->n_forward, &options, &e->placed))
        return tni_bind_take_error(b, s->g);
    return unfold_values(e) ? TN_OK : out_of_memory(b);
}

static tn_status place(tni_bind *b)
{
    wishes w = {0};
    subject s = {0};
    tn_status status = wishes_make(&w, b) ? TN_OK : out_of_memory(b);
    if (!status) status = choose_subject(b, &w, &s);
    if (!status) status = place_subject(b, &w, &s);
    free(s.constants);
    wishes_free(&w);
    return status;
}

// ------------------------------------------------------------------ spaces

uint32_t tni_space_of(const tn_exec *e, const tni_device *memory)
{
    uint32_t i = 0;
    while (i + 1 < e->n_spaces && e->spaces[i].device != memory) i++;
    return e->spaces[i].device == memory ? i : 0;
}

tni_transfer *tni_transfer_between(const tn_exec *e, const tni_device *from, const tni_device *to)
{
    return &e->transfers[tni_space_of(e, from) * e->n_spaces + tni_space_of(e, to)];
}

static bool add_space(tn_exec *e, size_t *capacity, tni_device *memory)
{
    for (uint32_t i = 0; i < e->n_spaces; i++)
        if (e->spaces[i].device == memory) return true;
    if (!tni_grow((void **)&e->spaces, capacity, e->n_spaces + 1, sizeof *e->spaces)) return false;
    e->spaces[e->n_spaces++] = (tni_space){.device = memory};
    return true;
}

static bool find_spaces(tni_bind *b)
{
    tn_exec *e = b->e;
    size_t capacity = 0;
    bool ok = add_space(e, &capacity, NULL);
    for (uint32_t id = 1; ok && id <= e->placed.g->n_nodes; id++)
        ok = add_space(e, &capacity, e->placed.at[id].memory) &&
             add_space(e, &capacity, tni_device_memory(e->placed.at[id].device));
    for (size_t i = 0; ok && i < e->outs.n; i++)
        if (b->given_outs[i]) ok = add_space(e, &capacity, b->given_outs[i]->storage->device);
    for (size_t i = 0; ok && i < e->outs.n; i++)
        if (b->given_heads[i]) ok = add_space(e, &capacity, b->given_heads[i]->storage->device);
    for (size_t i = 0; ok && i < e->args.n; i++)
        if (b->given_grads[i]) ok = add_space(e, &capacity, b->given_grads[i]->storage->device);
    return ok;
}

static tn_status open_queues(tni_bind *b)
{
    tn_exec *e = b->e;
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        tni_space *s = &e->spaces[i];
        const tn_backend_api *api = &s->device->backend->api;
        const tn_status status =
            api->queue_create ? api->queue_create(s->device->handle, &s->queue) : TN_OK;
        if (!status) continue;
        const char *reason = tni_host_take_error(s->device->backend->plugin);
        s->queue = NULL;
        return tni_graph_fail(b->g, status, 0, "bind: %s: cannot make a queue: %s", s->device->uri,
                              *reason ? reason : tn_status_text(status));
    }
    return TN_OK;
}

tn_status tni_bind_place(tni_bind *b)
{
    tn_exec *e = b->e;
    const tn_status status = place(b);
    if (status) return status;
    if (b->o.placement && tni_placement_check(&e->placed, b->o.placement, &b->g->error))
        return b->g->error.status;
    if (!find_spaces(b)) return out_of_memory(b);
    const size_t n = (size_t)e->n_spaces * e->n_spaces;
    e->transfers = tni_alloc(&e->arena, n * sizeof *e->transfers);
    if (!e->transfers) return out_of_memory(b);
    for (size_t i = 0; i < n; i++)
        e->transfers[i] = (tni_transfer){&e->spaces[i / e->n_spaces], &e->spaces[i % e->n_spaces]};
    return open_queues(b);
}

// ------------------------------------------------------------------ tensors

// A tensor of the executor's own, of zeros; NULL and an error that says whose it is.
static tn_tensor *make(tni_bind *b, const char *name, tni_device *device, uint32_t like)
{
    const tn_shape *shape = tni_types_shape(&b->types, like);
    const tn_dtype dtype = b->types.dtype[like];
    tn_env *env = b->e->env;
    tni_storage *s = tni_storage_new(env, device, tni_value_bytes(shape, dtype));
    tn_tensor *t = s ? tni_tensor_over(env, s, 0, dtype, shape) : NULL;
    tni_storage_release(s);
    if (!t) tni_graph_fail(b->g, tn_env_status(env), 0, "bind: %s: %s", name, tn_env_error(env));
    return t;
}

// Numbers a tensor that values lie in.
static uint32_t add_tensor(tn_exec *e, tn_tensor *t)
{
    e->tensors[++e->n_tensors] = t;
    return (uint32_t)e->n_tensors;
}

// The placed node of a variable of source; 0: nothing needs it.
static uint32_t placed_node(const tn_exec *e, tni_entry var)
{
    return e->placed.values[tni_value(e->source, var)].node;
}

static tni_device *memory_of(const tn_exec *e, uint32_t node)
{
    return node ? e->placed.at[node].memory : NULL;
}

static tn_status make_variables(tni_bind *b)
{
    tn_exec *e = b->e;
    for (size_t i = 0; i < e->args.n + e->auxs.n; i++) {
        const bool is_arg = i < e->args.n;
        tn_tensor **t = is_arg ? &e->arg[i] : &e->aux[i - e->args.n];
        const char *name = is_arg ? e->args.v[i] : e->auxs.v[i - e->args.n];
        const uint32_t node = placed_node(e, e->vars[i]);
        if (!*t) *t = make(b, name, memory_of(e, node), tni_value(e->source, e->vars[i]));
        if (!*t) return b->g->error.status;
        if (node && (*t)->storage->device != e->placed.at[node].memory)
            return tni_graph_fail(b->g, TN_E_INTERNAL, 0,
                                  "bind: %s: its tensor lies elsewhere than planned", name);
        const uint32_t number = add_tensor(e, *t);
        if (node) b->var_tensor[node] = number;
    }
    return TN_OK;
}

// The tensor of an output or gradient: given (checked), or made.
static tn_tensor *take_or_make(tni_bind *b, const char *what, const char *name, tn_tensor *given,
                               tni_device *device, uint32_t like)
{
    const tn_shape *shape = tni_types_shape(&b->types, like);
    if (!given) return make(b, name, device, like);
    if (tn_dtype_size(given->dtype) && given->dtype != b->types.dtype[like]) {
        tni_graph_fail(b->g, TN_E_DTYPE, 0, "bind: .%s: %s: dtype %s, wanted %s", what, name,
                       tn_dtype_name(given->dtype), tn_dtype_name(b->types.dtype[like]));
        return NULL;
    }
    bool equal = given->shape.ndim == shape->ndim;
    for (int32_t d = 0; equal && d < shape->ndim; d++) equal = given->shape.dim[d] == shape->dim[d];
    if (equal) return tn_tensor_retain(given);
    tni_text text = {0};
    tni_text_shape(&text, &given->shape);
    tni_text_printf(&text, ", wanted ");
    tni_text_shape(&text, shape);
    tni_graph_fail(b->g, TN_E_SHAPE, 0, "bind: .%s: %s: shape %s", what, name,
                   text.s ? text.s : "?");
    tni_text_free(&text);
    return NULL;
}

static tn_status make_outputs(tni_bind *b)
{
    tn_exec *e = b->e;
    for (size_t i = 0; i < e->outs.n; i++) {
        const tni_entry kept = e->placed.kept[i];
        e->out[i] = take_or_make(b, "outs", e->outs.v[i], b->given_outs[i], memory_of(e, kept.node),
                                 tni_value(e->source, e->heads[i]));
        if (!e->out[i]) return b->g->error.status;
        e->sinks[e->n_sinks++] = (tni_sink){.entry = kept, .tensor = add_tensor(e, e->out[i])};
    }
    return TN_OK;
}

// The caller's head gradients. Those of losses are nobody's business.
static tn_status take_heads(tni_bind *b)
{
    tn_exec *e = b->e;
    for (size_t i = 0; i < e->outs.n; i++) {
        if (!b->given_heads[i] || !b->head_vars[i].node || e->is_loss[i]) continue;
        const uint32_t node = placed_node(e, b->head_vars[i]);
        e->head[i] = take_or_make(b, "heads", e->outs.v[i], b->given_heads[i], NULL,
                                  tni_value(e->source, e->heads[i]));
        if (!e->head[i]) return b->g->error.status;
        e->head_given[i] = true;
        e->n_heads--; // tn_backward() is to be given one less
        const uint32_t number = add_tensor(e, e->head[i]);
        if (node) b->var_tensor[node] = number;
    }
    return TN_OK;
}

static tn_status make_gradients(tni_bind *b)
{
    tn_exec *e = b->e;
    size_t next = e->outs.n; // of kept
    for (size_t i = 0; i < e->args.n; i++) {
        if (e->req[i] == TN_NULL) continue;
        const bool zero = !b->dx[i].node;
        const tni_entry kept = zero ? (tni_entry){0, 0} : e->placed.kept[next++];
        const uint32_t old = b->old[i].node ? placed_node(e, b->old[i]) : 0;
        e->grad[i] =
            take_or_make(b, "grads", e->args.v[i], b->given_grads[i],
                         memory_of(e, old ? old : kept.node), tni_value(e->source, e->vars[i]));
        if (!e->grad[i]) return b->g->error.status;
        const uint32_t number = add_tensor(e, e->grad[i]);
        if (old) b->var_tensor[old] = number;
        if (zero && e->req[i] == TN_ADD) continue; // adding zero changes nothing
        e->sinks[e->n_sinks++] = (tni_sink){.entry = kept, .tensor = number, .gradient = true};
    }
    return TN_OK;
}

// ------------------------------------------------------------------ overlaps

// A run of bytes that a variable or a sink lies in.
typedef struct range {
    uintptr_t memory; // buffer; 0: host memory
    uint64_t begin, end;
    uint32_t var;  // placed node of a variable, or 0
    uint32_t sink; // number + 1, or 0
    bool aux;
    const char *name;
} range;

static int by_memory(const void *a, const void *b)
{
    const range *x = a, *y = b;
    if (x->memory != y->memory) return x->memory < y->memory ? -1 : 1;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static range range_of(const tn_tensor *t)
{
    const tn_arg a = tni_tensor_arg(t);
    const uint64_t begin = a.buffer ? a.offset : (uint64_t)(uintptr_t)a.host;
    return (range){.memory = (uintptr_t)a.buffer, .begin = begin, .end = begin + a.bytes};
}

static tn_status add_overlap(tni_bind *b, const range *var, const range *sink)
{
    tni_plan *p = &b->e->plan;
    tni_sink *s = &b->e->sinks[sink->sink - 1];
    if (!tni_grow((void **)&p->overlaps, &p->overlaps_capacity, p->n_overlaps + 1,
                  sizeof *p->overlaps))
        return out_of_memory(b);
    p->overlaps[p->n_overlaps++] =
        (tni_overlap){var->var, var->begin == sink->begin && var->end == sink->end, s->overlap};
    s->overlap = (uint32_t)p->n_overlaps;
    p->written[var->var] = 1;
    return TN_OK;
}

static tn_status meet(tni_bind *b, const range *x, const range *y)
{
    const bool both_sinks = x->sink && y->sink;
    if (both_sinks || x->aux || y->aux)
        return tni_graph_fail(b->g, TN_E_INVALID, 0,
                              "bind: \"%s\" and \"%s\" lie in overlapping memory, and %s", x->name,
                              y->name, both_sinks ? "both are written" : "one is a state");
    if (!x->sink && !y->sink) return TN_OK; // arguments are only read
    return x->sink ? add_overlap(b, y, x) : add_overlap(b, x, y);
}

// All variables that something reads, and all sinks. Returns how many.
static size_t collect(const tni_bind *b, range *r)
{
    const tn_exec *e = b->e;
    size_t n = 0;
    for (size_t i = 0; i < e->args.n + e->auxs.n; i++) {
        const bool is_arg = i < e->args.n;
        range x = range_of(is_arg ? e->arg[i] : e->aux[i - e->args.n]);
        x.var = placed_node(e, e->vars[i]);
        x.aux = !is_arg;
        x.name = is_arg ? e->args.v[i] : e->auxs.v[i - e->args.n];
        if (x.var && x.begin < x.end) r[n++] = x;
    }
    for (size_t i = 0; i < e->args.n; i++) {
        range x = e->grad[i] && b->old[i].node ? range_of(e->grad[i]) : (range){0};
        x.var = b->old[i].node ? placed_node(e, b->old[i]) : 0;
        x.name = e->args.v[i];
        if (x.var && x.begin < x.end) r[n++] = x;
    }
    for (size_t i = 0; i < e->outs.n; i++) {
        range x = e->head_given[i] ? range_of(e->head[i]) : (range){0};
        x.var = e->head_given[i] ? placed_node(e, b->head_vars[i]) : 0;
        x.name = e->outs.v[i];
        if (x.var && x.begin < x.end) r[n++] = x;
    }
    for (uint32_t i = 0; i < e->n_sinks; i++) {
        range x = range_of(e->tensors[e->sinks[i].tensor]);
        x.sink = i + 1;
        x.name = i < e->outs.n ? e->outs.v[i] : "a gradient";
        if (x.begin < x.end) r[n++] = x;
    }
    return n;
}

static tn_status find_overlaps(tni_bind *b)
{
    const tn_exec *e = b->e;
    range *r = calloc(2 * e->args.n + e->auxs.n + e->outs.n + e->n_sinks + 1, sizeof *r);
    if (!r) return out_of_memory(b);
    const size_t n = collect(b, r);
    tn_status status = TN_OK;
    qsort(r, n, sizeof *r, by_memory);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; !status && j < n; j++) {
            if (r[j].memory != r[i].memory || r[j].begin >= r[i].end) break;
            status = meet(b, &r[i], &r[j]);
        }
    free(r);
    return status;
}

tn_status tni_bind_tensors(tni_bind *b)
{
    tn_exec *e = b->e;
    const size_t n = 2 * (e->args.n + e->outs.n) + e->auxs.n + 1,
                 n_nodes = e->placed.g->n_nodes + 1;
    e->tensors = tni_alloc(&e->arena, n * sizeof *e->tensors);
    e->sinks = tni_alloc(&e->arena, n * sizeof *e->sinks);
    b->var_tensor = calloc(n_nodes, sizeof *b->var_tensor);
    e->plan.written = calloc(n_nodes, 1);
    if (!e->tensors || !e->sinks || !b->var_tensor || !e->plan.written) return out_of_memory(b);
    tn_status status = make_variables(b);
    if (!status) status = make_outputs(b);
    if (!status) status = take_heads(b);
    if (!status) status = make_gradients(b);
    return status ? status : find_overlaps(b);
}
