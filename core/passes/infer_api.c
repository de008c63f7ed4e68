// core/passes/infer_api.c: tn_infer_shape and tn_infer_dtype of <tenon/graph.h>.
#include "core/passes/pass.h"

// Values named in an error about what stays unknown, before "and more".
#define MAX_LISTED 10

// What is below a symbol, and what is known of it.
typedef struct below {
    tn_graph *g;
    tni_entries heads;
    uint32_t *order; // node ids
    size_t n;
    uint8_t *aux; // by node id
    size_t n_args, n_auxs;
    tni_map by_name; // variables → id
    tni_map doubled; // names of two variables → id of the second
    tni_types types;
} below;

static void below_free(below *b)
{
    free(b->order);
    free(b->aux);
    tni_map_free(&b->by_name);
    tni_map_free(&b->doubled);
    tni_types_free(&b->types);
}

static bool name_variables(below *b)
{
    for (size_t k = 0; k < b->n; k++) {
        const tni_node *n = tni_node_at(b->g, b->order[k]);
        if (!tni_is_variable(n)) continue;
        tni_map *m = tni_map_get(&b->by_name, n->name, NULL) ? &b->doubled : &b->by_name;
        if (!tni_map_put(m, n->name, b->order[k])) return false;
        if (b->aux[b->order[k]])
            b->n_auxs++;
        else
            b->n_args++;
    }
    return true;
}

static bool below_init(below *b, tn_graph *g, tn_symbol s)
{
    *b = (below){.g = g};
    if (g->error.status != TN_OK || tni_symbol_bad(g, s, "symbol", false)) return false;
    b->heads = tni_symbol_entries(g, s);
    if (g->error.status != TN_OK) return false;
    b->order = tni_order(g, b->heads.v, b->heads.n, &b->n);
    if (b->order) b->aux = tni_aux_flags(g, b->order, b->n);
    if (b->aux && name_variables(b) && tni_types_init(&b->types) && tni_types_grow(&b->types, g))
        return true;
    tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory");
    return false;
}

// ------------------------------------------------------------------ what the caller gives

static void unknown_name(below *b, const char *name)
{
    const char **names = malloc((b->n + 1) * sizeof *names);
    tni_text t = {0};
    size_t n = 0;
    for (size_t k = 0; names && k < b->n; k++) {
        const tni_node *node = tni_node_at(b->g, b->order[k]);
        if (tni_is_variable(node)) names[n++] = node->name;
    }
    tni_text_nearest(&t, name, names, n);
    tni_graph_fail(b->g, TN_E_NOT_FOUND, 0, "no argument or auxiliary state is named '%s'%s", name,
                   t.s && !t.failed ? t.s : "");
    tni_text_free(&t);
    free(names);
}

// The variable of that name; 0 and an error if there is none, or if there are two.
static uint32_t variable_named(below *b, const char *name)
{
    uint32_t id = 0, second = 0;
    if (!name) {
        tni_graph_fail(b->g, TN_E_INVALID, 0, "a name is NULL");
    } else if (!tni_map_get(&b->by_name, name, &id)) {
        unknown_name(b, name);
    } else if (tni_map_get(&b->doubled, name, &second)) {
        char places[TNI_PLACES];
        tni_graph_fail(b->g, TN_E_EXISTS, 0, "two variables are named '%s' (%s): rename one", name,
                       tni_two_places(b->g, id, second, places));
        return 0;
    }
    return b->g->error.status == TN_OK ? id : 0;
}

static bool read_dims(below *b, const tn_named_dims *given, tn_shape *shape)
{
    *shape = (tn_shape){.ndim = (int32_t)given->dims.ndim};
    if (given->dims.ndim > TN_MAX_NDIM) {
        tni_graph_fail(b->g, TN_E_SHAPE, 0, "%s: %zu axes, at most %d are possible", given->name,
                       given->dims.ndim, TN_MAX_NDIM);
        return false;
    }
    for (size_t i = 0; i < given->dims.ndim; i++) {
        shape->dim[i] = given->dims.dim[i];
        if (shape->dim[i] >= -1) continue;
        tni_graph_fail(b->g, TN_E_SHAPE, 0, "%s: extent %lld, wanted 0 or more, or -1 for unknown",
                       given->name, (long long)shape->dim[i]);
        return false;
    }
    return true;
}

static bool give_shape(below *b, const tn_named_dims *given)
{
    tn_shape shape;
    tni_text t = {0};
    const uint32_t id = variable_named(b, given->name);
    if (!id) return false;
    if (!given->dims.dim) return true;
    if (!read_dims(b, given, &shape)) return false;
    const uint32_t v = tni_node_at(b->g, id)->value0;
    const tn_status s = tni_types_merge_shape(&b->types, v, &shape);
    if (s == TN_OK) return true;
    tni_text_shape(&t, tni_types_shape(&b->types, v));
    tni_text_add(&t, " and ");
    tni_text_shape(&t, &shape);
    tni_graph_fail(b->g, s, 0, "%s: given as %s", given->name, t.failed ? "two shapes" : t.s);
    tni_text_free(&t);
    return false;
}

static bool give_dtype(below *b, const tn_named_dtype *given)
{
    const uint32_t id = variable_named(b, given->name);
    if (!id) return false;
    const uint32_t v = tni_node_at(b->g, id)->value0;
    if (given->dtype != TN_DTYPE_NONE && !tn_dtype_size(given->dtype)) {
        tni_graph_fail(b->g, TN_E_INVALID, 0, "%s: %d is no dtype", given->name, given->dtype);
        return false;
    }
    if (tni_types_merge_dtype(&b->types, v, given->dtype) == TN_OK) return true;
    tni_graph_fail(b->g, TN_E_DTYPE, 0, "%s: given as %s and %s", given->name,
                   tn_dtype_name(b->types.dtype[v]), tn_dtype_name(given->dtype));
    return false;
}

// ------------------------------------------------------------------ what comes out

static bool known(const below *b, uint32_t value, uint32_t what)
{
    return what == TNI_INFER_DTYPES ? b->types.dtype[value] != TN_DTYPE_NONE
                                    : tn_shape_size(tni_types_shape(&b->types, value)) >= 0;
}

static bool complete(const below *b, uint32_t what)
{
    for (size_t k = 0; k < b->n; k++) {
        const tni_node *n = tni_node_at(b->g, b->order[k]);
        if (n->flags & TNI_NODE_GROUP) continue;
        for (uint32_t i = 0; i < n->n_out; i++)
            if (!known(b, n->value0 + i, what)) return false;
    }
    return true;
}

// Adds unknown values of variables, or of operators, to the list; counts those left out.
static void list_unknown(const below *b, bool variables, tni_text *t, size_t *listed)
{
    for (size_t k = 0; k < b->n; k++) {
        const tni_node *n = tni_node_at(b->g, b->order[k]);
        if (n->flags & TNI_NODE_GROUP || tni_is_variable(n) != variables) continue;
        for (uint32_t i = 0; i < n->n_out; i++) {
            if (known(b, n->value0 + i, TNI_INFER_SHAPES) || (*listed)++ >= MAX_LISTED) continue;
            const char *name = tni_output_name(b->g, (tni_entry){b->order[k], i});
            tni_text_printf(t, "%s%s: ", t->n ? ", " : "", name ? name : "");
            tni_text_shape(t, tni_types_shape(&b->types, n->value0 + i));
        }
    }
}

static void fail_incomplete(below *b)
{
    tni_text t = {0};
    size_t listed = 0;
    list_unknown(b, true, &t, &listed);
    list_unknown(b, false, &t, &listed);
    if (listed > MAX_LISTED) tni_text_printf(&t, " and %zu more", listed - MAX_LISTED);
    tni_graph_fail(b->g, TN_E_SHAPE, 0, "these shapes stay unknown: %s", t.failed ? "" : t.s);
    tni_text_free(&t);
}

// Calls put(ctx, place, name, value number) for each argument, head and auxiliary state.
typedef void (*put_fn)(const below *b, void *at, const char *name, uint32_t value);

static void put_shape(const below *b, void *at, const char *name, uint32_t value)
{
    *(tn_named_shape *)at = (tn_named_shape){name, *tni_types_shape(&b->types, value)};
}

static void put_dtype(const below *b, void *at, const char *name, uint32_t value)
{
    *(tn_named_dtype *)at = (tn_named_dtype){name, b->types.dtype[value]};
}

// Fills three arrays of items, each `bytes` long, in g's arena, one after the other: arguments,
// outputs, auxiliary states. NULL: out of memory.
static char *results(below *b, size_t bytes, put_fn put)
{
    tn_graph *g = b->g;
    const size_t n = b->n_args + b->heads.n + b->n_auxs;
    char *all = tni_alloc(&g->arena, (n + 1) * bytes);
    if (!all) return NULL;
    char *arg = all, *out = all + b->n_args * bytes, *aux = out + b->heads.n * bytes;
    for (size_t k = 0; k < b->n; k++) {
        const tni_node *node = tni_node_at(g, b->order[k]);
        if (!tni_is_variable(node)) continue;
        char **at = b->aux[b->order[k]] ? &aux : &arg;
        put(b, *at, node->name, node->value0);
        *at += bytes;
    }
    for (size_t i = 0; i < b->heads.n; i++, out += bytes)
        put(b, out, tni_output_name(g, b->heads.v[i]), tni_value(g, b->heads.v[i]));
    return all;
}

// ------------------------------------------------------------------ the public functions

static const tn_shape_result *infer_shape(tn_graph *g, tn_symbol s, tn_shapes given, bool partial)
{
    if (!g || tni_list_bad(g, "known", given.n, given.v)) return NULL;
    below b;
    tn_shape_result *r = NULL;
    bool ok = below_init(&b, g, s);
    for (size_t i = 0; i < given.n && ok; i++) ok = give_shape(&b, &given.v[i]);
    ok = ok && tni_infer(g, &b.types, b.order, b.n, TNI_INFER_SHAPES) == TN_OK;
    const bool all = ok && complete(&b, TNI_INFER_SHAPES);
    if (ok && !all && !partial) fail_incomplete(&b);
    if (ok && (all || partial)) {
        tn_named_shape *v = (void *)results(&b, sizeof *v, put_shape);
        r = v ? tni_alloc(&g->arena, sizeof *r) : NULL;
        if (r)
            *r = (tn_shape_result){
                b.n_args, b.heads.n, b.n_auxs, v, v + b.n_args, v + b.n_args + b.heads.n, all};
        else
            tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory");
    }
    below_free(&b);
    return r;
}

const tn_shape_result *(tn_infer_shape)(tn_graph *g, tn_symbol s, tn_shapes known)
{
    return infer_shape(g, s, known, false);
}

const tn_shape_result *(tn_infer_shape_partial)(tn_graph *g, tn_symbol s, tn_shapes known)
{
    return infer_shape(g, s, known, true);
}

const tn_dtype_result *(tn_infer_dtype)(tn_graph *g, tn_symbol s, tn_dtypes known)
{
    if (!g || tni_list_bad(g, "known", known.n, known.v)) return NULL;
    below b;
    tn_dtype_result *r = NULL;
    bool ok = below_init(&b, g, s);
    for (size_t i = 0; i < known.n && ok; i++) ok = give_dtype(&b, &known.v[i]);
    if (ok && tni_infer(g, &b.types, b.order, b.n, TNI_INFER_DTYPES) == TN_OK) {
        tn_named_dtype *v = (void *)results(&b, sizeof *v, put_dtype);
        r = v ? tni_alloc(&g->arena, sizeof *r) : NULL;
        if (r)
            *r = (tn_dtype_result){b.n_args,
                                   b.heads.n,
                                   b.n_auxs,
                                   v,
                                   v + b.n_args,
                                   v + b.n_args + b.heads.n,
                                   complete(&b, TNI_INFER_DTYPES)};
        else
            tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory");
    }
    below_free(&b);
    return r;
}
