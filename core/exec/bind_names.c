// core/exec/bind_names.c: names of what is bound, and the caller's lists by name.
#include "core/exec/exec.h"

// ------------------------------------------------------------------ names

static bool names_make(tn_exec *e, tni_names *names, size_t n)
{
    names->v = tni_alloc(&e->arena, (n + 1) * sizeof *names->v);
    return names->v != NULL;
}

static tn_status out_of_memory(tni_bind *b)
{
    return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
}

static const char *place_of(const tni_node *n, char buffer[160])
{
    if (!n->file) return "";
    snprintf(buffer, 160, " (%s:%d)", n->file, n->line);
    return buffer;
}

// Two variables of one name: which, and where each was made.
static tn_status same_name(tni_bind *b, uint32_t first, uint32_t second)
{
    char p[160], q[160];
    const tn_graph *s = b->e->source;
    return tni_graph_fail(
        b->g, TN_E_EXISTS, 0, "bind: two different variables have the name \"%s\"%s%s",
        s->nodes[first].name, place_of(&s->nodes[first], p), place_of(&s->nodes[second], q));
}

static tn_status add_variable(tni_bind *b, tni_names *names, uint32_t index, uint32_t id,
                              uint32_t first_var)
{
    tn_exec *e = b->e;
    const char *name = e->source->nodes[id].name;
    uint32_t found = 0;
    if (tni_map_get(&e->args.index, name, &found)) return same_name(b, e->vars[found].node, id);
    if (tni_map_get(&e->auxs.index, name, &found))
        return same_name(b, e->vars[e->args.n + found].node, id);
    names->v[index] = name;
    e->vars[first_var + index] = (tni_entry){id, 0};
    return tni_map_put(&names->index, name, index) ? TN_OK : out_of_memory(b);
}

static tn_status name_variables(tni_bind *b, const uint8_t *aux)
{
    tn_exec *e = b->e;
    const tn_graph *s = e->source;
    size_t n_aux = 0, n_args = 0;
    for (uint32_t id = 1; id <= e->n_source; id++) {
        if (!tni_is_variable(&s->nodes[id])) continue;
        n_aux += aux[id] != 0;
        n_args += aux[id] == 0;
    }
    e->args.n = n_args;
    e->auxs.n = n_aux;
    e->vars = tni_alloc(&e->arena, (n_args + n_aux + 1) * sizeof *e->vars);
    if (!e->vars || !names_make(e, &e->args, n_args) || !names_make(e, &e->auxs, n_aux))
        return out_of_memory(b);
    uint32_t next_arg = 0, next_aux = 0;
    for (uint32_t id = 1; id <= e->n_source; id++) {
        if (!tni_is_variable(&s->nodes[id])) continue;
        const tn_status status = aux[id]
                                     ? add_variable(b, &e->auxs, next_aux++, id, (uint32_t)n_args)
                                     : add_variable(b, &e->args, next_arg++, id, 0);
        if (status) return status;
    }
    return TN_OK;
}

static tn_status name_outputs(tni_bind *b)
{
    tn_exec *e = b->e;
    e->twin = tni_alloc(&e->arena, (e->outs.n + 1) * sizeof *e->twin);
    if (!e->twin) return out_of_memory(b);
    for (uint32_t i = 0; i < e->outs.n; i++) {
        uint32_t first = 0;
        e->outs.v[i] = tni_output_name(e->source, e->heads[i]);
        if (!e->outs.v[i]) return out_of_memory(b);
        if (tni_map_get(&e->outs.index, e->outs.v[i], &first)) {
            const tni_entry a = e->heads[first], z = e->heads[i];
            if (a.node != z.node || a.out != z.out) e->twin[first] = i + 1;
            continue;
        }
        if (!tni_map_put(&e->outs.index, e->outs.v[i], i)) return out_of_memory(b);
    }
    return TN_OK;
}

static bool lists_make(tni_bind *b)
{
    tn_exec *e = b->e;
    const size_t n_args = e->args.n + 1, n_auxs = e->auxs.n + 1, n_outs = e->outs.n + 1;
    tni_arena *a = &e->arena;
    e->arg = tni_alloc(a, n_args * sizeof *e->arg);
    e->grad = tni_alloc(a, n_args * sizeof *e->grad);
    e->req = tni_alloc(a, n_args);
    e->aux = tni_alloc(a, n_auxs * sizeof *e->aux);
    e->out = tni_alloc(a, n_outs * sizeof *e->out);
    e->head = tni_alloc(a, n_outs * sizeof *e->head);
    b->given_grads = tni_alloc(a, n_args * sizeof *b->given_grads);
    e->head_given = tni_alloc(a, n_outs * sizeof *e->head_given);
    b->given_outs = tni_alloc(a, n_outs * sizeof *b->given_outs);
    b->given_heads = tni_alloc(a, n_outs * sizeof *b->given_heads);
    b->dx = tni_alloc(a, n_args * sizeof *b->dx);
    b->old = tni_alloc(a, n_args * sizeof *b->old);
    b->head_vars = tni_alloc(a, n_outs * sizeof *b->head_vars);
    e->is_loss = tni_alloc(a, n_outs * sizeof *e->is_loss);
    return e->arg && e->grad && e->req && e->aux && e->out && e->head && b->given_grads &&
           e->head_given && b->given_outs && b->given_heads && b->dx && b->old && b->head_vars &&
           e->is_loss;
}

tn_status tni_bind_names(tni_bind *b)
{
    tn_exec *e = b->e;
    uint32_t *order = calloc((size_t)e->n_source + 1, sizeof *order);
    for (uint32_t i = 0; order && i < e->n_source; i++) order[i] = i + 1;
    uint8_t *aux = order ? tni_aux_flags(e->source, order, e->n_source) : NULL;
    free(order);
    if (!aux) return out_of_memory(b);
    tn_status status = name_variables(b, aux);
    free(aux);
    if (!status && !names_make(e, &e->outs, e->outs.n)) status = out_of_memory(b);
    if (!status) status = name_outputs(b);
    if (!status && !lists_make(b)) status = out_of_memory(b);
    return status;
}

// ------------------------------------------------------------------ lists

enum { ARGS = 1, AUXS = 2 };

// One of the caller's lists while it is read.
typedef struct list {
    const char *name; // of the option
    uint32_t kinds;   // ARGS, AUXS, or both
    uint8_t *seen;    // by variable, arguments first
} list;

static const char *kinds_text(uint32_t kinds)
{
    return kinds == ARGS ? "argument" : kinds == AUXS ? "auxiliary state" : "argument or state";
}

tn_status tni_bind_unknown(tn_graph *g, const char *where, const char *what, const char *name,
                           const tni_names *a, const tni_names *b)
{
    tni_text text = {0};
    const size_t n = a->n + (b ? b->n : 0);
    const char **all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; all && i < n; i++) all[i] = i < a->n ? a->v[i] : b->v[i - a->n];
    if (all) tni_text_nearest(&text, name, all, n);
    const tn_status status = tni_graph_fail(g, TN_E_NOT_FOUND, 0, "%s: no %s has the name \"%s\"%s",
                                            where, what, name, text.s ? text.s : "");
    tni_text_free(&text);
    free(all);
    return status;
}

// Finds a name of a list among the variables.
static tn_status find(tni_bind *b, const list *l, const char *name, uint32_t *var)
{
    const tn_exec *e = b->e;
    char where[48];
    uint32_t i = 0;
    snprintf(where, sizeof where, "bind: .%s", l->name);
    if (!name) return tni_graph_fail(b->g, TN_E_INVALID, 0, "%s: an entry has no name", where);
    const bool arg = tni_map_get(&e->args.index, name, &i);
    const bool aux = !arg && tni_map_get(&e->auxs.index, name, &i);
    if ((arg && !(l->kinds & ARGS)) || (aux && !(l->kinds & AUXS)))
        return tni_graph_fail(b->g, TN_E_NOT_FOUND, 0, "%s: \"%s\" is an %s, not an %s", where,
                              name, kinds_text(arg ? ARGS : AUXS), kinds_text(l->kinds));
    if (!arg && !aux)
        return tni_bind_unknown(b->g, where, kinds_text(l->kinds), name,
                                l->kinds & ARGS ? &e->args : &e->auxs,
                                l->kinds == (ARGS | AUXS) ? &e->auxs : NULL);
    *var = arg ? i : (uint32_t)e->args.n + i;
    if (l->seen[*var]++)
        return tni_graph_fail(b->g, TN_E_EXISTS, 0, "%s: \"%s\" is given twice", where, name);
    return TN_OK;
}

static void list_begin(const tni_bind *b, list *l, const char *name, uint32_t kinds)
{
    memset(l->seen, 0, b->e->args.n + b->e->auxs.n + 1);
    l->name = name;
    l->kinds = kinds;
}

// What is known of a variable and what a list says do not agree.
static tn_status contradiction(tni_bind *b, const list *l, uint32_t var, const tn_shape *got)
{
    const tn_exec *e = b->e;
    const uint32_t value = tni_value(e->source, e->vars[var]);
    tni_text text = {0};
    tni_text_shape(&text, got);
    tni_text_printf(&text, ", wanted ");
    tni_text_shape(&text, tni_types_shape(&b->types, value));
    const tn_status status =
        tni_graph_fail(b->g, TN_E_SHAPE, 0, "bind: .%s: %s: shape %s", l->name,
                       e->source->nodes[e->vars[var].node].name, text.s ? text.s : "?");
    tni_text_free(&text);
    return status;
}

static tn_status merge_shape(tni_bind *b, const list *l, uint32_t var, const tn_shape *shape)
{
    const uint32_t value = tni_value(b->e->source, b->e->vars[var]);
    const tn_status status = tni_types_merge_shape(&b->types, value, shape);
    if (status == TN_E_NOMEM) return out_of_memory(b);
    return status ? contradiction(b, l, var, shape) : TN_OK;
}

static tn_status merge_dtype(tni_bind *b, const list *l, uint32_t var, tn_dtype dtype)
{
    const uint32_t value = tni_value(b->e->source, b->e->vars[var]);
    const char *name = b->e->source->nodes[b->e->vars[var].node].name;
    if (tn_dtype_size(dtype) == 0)
        return tni_graph_fail(b->g, TN_E_DTYPE, 0, "bind: .%s: %s: %d is no dtype", l->name, name,
                              (int)dtype);
    if (tni_types_merge_dtype(&b->types, value, dtype) == TN_OK) return TN_OK;
    return tni_graph_fail(b->g, TN_E_DTYPE, 0, "bind: .%s: %s: dtype %s, wanted %s", l->name, name,
                          tn_dtype_name(dtype), tn_dtype_name(b->types.dtype[value]));
}

static tn_status read_shapes(tni_bind *b, list *l)
{
    list_begin(b, l, "shapes", ARGS | AUXS);
    for (size_t i = 0; i < b->o.shapes.n; i++) {
        const tn_named_dims *in = &b->o.shapes.v[i];
        tn_shape shape = {.ndim = (int32_t)in->dims.ndim};
        uint32_t var = 0;
        const tn_status status = find(b, l, in->name, &var);
        if (status) return status;
        if (!in->dims.dim || in->dims.ndim > TN_MAX_NDIM)
            return tni_graph_fail(b->g, TN_E_INVALID, 0,
                                  "bind: .shapes: %s: wanted a shape of at most %d axes", in->name,
                                  TN_MAX_NDIM);
        for (size_t d = 0; d < in->dims.ndim; d++) {
            shape.dim[d] = in->dims.dim[d];
            if (shape.dim[d] < -1)
                return tni_graph_fail(b->g, TN_E_INVALID, 0,
                                      "bind: .shapes: %s: axis %zu: wanted -1 (unknown) or more, "
                                      "got %lld",
                                      in->name, d, (long long)shape.dim[d]);
        }
        const tn_status merged = merge_shape(b, l, var, &shape);
        if (merged) return merged;
    }
    return TN_OK;
}

static tn_status read_dtypes(tni_bind *b, list *l)
{
    list_begin(b, l, "dtypes", ARGS | AUXS);
    for (size_t i = 0; i < b->o.dtypes.n; i++) {
        uint32_t var = 0;
        tn_status status = find(b, l, b->o.dtypes.v[i].name, &var);
        if (!status) status = merge_dtype(b, l, var, b->o.dtypes.v[i].dtype);
        if (status) return status;
    }
    return TN_OK;
}

// A tensor of the caller can be used at all.
static tn_status check_tensor(tni_bind *b, const char *where, const tn_named_tensor *given)
{
    if (!given->tensor)
        return tni_graph_fail(b->g, TN_E_INVALID, 0, "bind: .%s: %s: the tensor is NULL", where,
                              given->name ? given->name : "?");
    if (given->tensor->env != b->e->env)
        return tni_graph_fail(b->g, TN_E_INVALID, 0,
                              "bind: .%s: %s: the tensor is of another env than the graph", where,
                              given->name ? given->name : "?");
    return TN_OK;
}

static tn_status read_tensors(tni_bind *b, list *l, const char *name, uint32_t kinds,
                              tn_tensors given)
{
    tn_exec *e = b->e;
    list_begin(b, l, name, kinds);
    for (size_t i = 0; i < given.n; i++) {
        tn_tensor *t = given.v[i].tensor;
        uint32_t var = 0;
        tn_status status = check_tensor(b, name, &given.v[i]);
        if (!status) status = find(b, l, given.v[i].name, &var);
        if (!status) status = merge_shape(b, l, var, &t->shape);
        if (!status) status = merge_dtype(b, l, var, t->dtype);
        if (status) return status;
        tn_tensor **slot = kinds == ARGS ? &e->arg[var] : &e->aux[var - e->args.n];
        *slot = tn_tensor_retain(t);
    }
    return TN_OK;
}

static tn_status read_gradients(tni_bind *b, list *l)
{
    tn_exec *e = b->e;
    list_begin(b, l, "grads", ARGS);
    for (size_t i = 0; i < e->args.n; i++) e->req[i] = (uint8_t)b->o.grad_req;
    if (b->o.grad_req > TN_ADD)
        return tni_graph_fail(b->g, TN_E_INVALID, 0,
                              "bind: .grad_req: wanted TN_NULL, TN_WRITE or TN_ADD, got %d",
                              (int)b->o.grad_req);
    for (size_t i = 0; i < b->o.grads.n; i++) {
        uint32_t var = 0;
        tn_status status = check_tensor(b, "grads", &b->o.grads.v[i]);
        if (!status) status = find(b, l, b->o.grads.v[i].name, &var);
        if (!status) status = merge_shape(b, l, var, &b->o.grads.v[i].tensor->shape);
        if (!status) status = merge_dtype(b, l, var, b->o.grads.v[i].tensor->dtype);
        if (status) return status;
        b->given_grads[var] = b->o.grads.v[i].tensor;
        if (e->req[var] == TN_NULL) e->req[var] = TN_WRITE;
    }
    list_begin(b, l, "grad_reqs", ARGS);
    for (size_t i = 0; i < b->o.grad_reqs.n; i++) {
        const tn_named_req *in = &b->o.grad_reqs.v[i];
        uint32_t var = 0;
        const tn_status status = find(b, l, in->name, &var);
        if (status) return status;
        if (in->req > TN_ADD)
            return tni_graph_fail(b->g, TN_E_INVALID, 0,
                                  "bind: .grad_reqs: %s: wanted TN_NULL, TN_WRITE or TN_ADD, "
                                  "got %d",
                                  in->name, (int)in->req);
        e->req[var] = (uint8_t)in->req;
    }
    return TN_OK;
}

// Tensors of outputs, or of their gradients.
static tn_status read_outputs(tni_bind *b, const char *what, tn_tensors given, tn_tensor **to)
{
    const tn_exec *e = b->e;
    const char *where = tni_printf(&b->e->arena, "bind: .%s", what);
    if (!where) return out_of_memory(b);
    for (size_t i = 0; i < given.n; i++) {
        const char *name = given.v[i].name;
        uint32_t at = 0;
        const tn_status status = check_tensor(b, what, &given.v[i]);
        if (status) return status;
        if (!name) return tni_graph_fail(b->g, TN_E_INVALID, 0, "%s: an entry has no name", where);
        if (!tni_map_get(&e->outs.index, name, &at))
            return tni_bind_unknown(b->g, where, "output", name, &e->outs, NULL);
        if (tni_output_ambiguous(e, &b->g->error, where, at)) return b->g->error.status;
        if (to[at])
            return tni_graph_fail(b->g, TN_E_EXISTS, 0, "%s: \"%s\" is given twice", where, name);
        to[at] = given.v[i].tensor;
    }
    return TN_OK;
}

// The strict form wants every argument and auxiliary state.
static tn_status check_all_given(tni_bind *b)
{
    const tn_exec *e = b->e;
    tni_text text = {0};
    size_t missing = 0;
    for (size_t i = 0; i < e->args.n + e->auxs.n; i++) {
        const bool is_arg = i < e->args.n;
        if (is_arg ? e->arg[i] : e->aux[i - e->args.n]) continue;
        if (missing++ < 10) // enough for a reader
            tni_text_printf(&text, "%s%s", text.n ? ", " : "",
                            is_arg ? e->args.v[i] : e->auxs.v[i - e->args.n]);
    }
    if (missing > 10) tni_text_printf(&text, " and %zu more", missing - 10);
    const tn_status status =
        missing ? tni_graph_fail(b->g, TN_E_INVALID, 0,
                                 "tn_bind: every argument and auxiliary state must be given; not "
                                 "given: %s",
                                 text.s ? text.s : "?")
                : TN_OK;
    tni_text_free(&text);
    return status;
}

tn_status tni_bind_options(tni_bind *b)
{
    const size_t n_vars = b->e->args.n + b->e->auxs.n;
    if (!tni_types_init(&b->types) || !tni_types_grow(&b->types, b->e->source))
        return out_of_memory(b);
    list l = {.seen = calloc(n_vars + 1, 1)};
    if (!l.seen) return out_of_memory(b);
    tn_status status = read_shapes(b, &l);
    if (!status) status = read_dtypes(b, &l);
    if (!status) status = read_tensors(b, &l, "args", ARGS, b->o.args);
    if (!status) status = read_tensors(b, &l, "auxs", AUXS, b->o.auxs);
    if (!status) status = read_gradients(b, &l);
    if (!status) status = read_outputs(b, "outs", b->o.outs, b->given_outs);
    if (!status) status = read_outputs(b, "heads", b->o.heads, b->given_heads);
    if (!status && b->strict) status = check_all_given(b);
    free(l.seen);
    return status;
}
