// core/passes/expand.c: replaces a node that no device runs by simpler nodes.
//
// The expansion is built in a scratch graph, since its nodes may need to be expanded themselves
// and the new graph only grows at its end. From there each node is placed like any other.
#include "core/passes/place.h"

static bool scratch_begin(tni_placer *p)
{
    if (p->scratch.g) return true;
    if (!p->scratch_types.pool && !tni_types_init(&p->scratch_types)) return false;
    p->scratch.types = &p->scratch_types;
    p->scratch.g = tni_graph_bare(p->src->env);
    if (p->scratch.g) p->scratch.g->registry = p->src->registry;
    return p->scratch.g != NULL;
}

// Room for what the new values of the scratch graph are in the new graph.
static bool grow_values(tni_placer *p)
{
    tni_view *s = &p->scratch;
    const size_t n = (size_t)s->g->n_values + 1;
    void *values = s->values;
    if (!tni_grow(&values, &p->view_room, n, sizeof *s->values)) return false;
    s->values = values;
    if (n > s->n_values) memset(s->values + s->n_values, 0, (n - s->n_values) * sizeof *s->values);
    s->n_values = n;
    return true;
}

// A variable of the scratch graph that stands for entry e of the new graph.
static tn_status add_input(tni_placer *p, tni_entry e, tni_entry *out)
{
    tn_graph *g = p->scratch.g;
    const uint32_t from = tni_value(p->out->g, e);
    const tni_node_spec spec = {.name = ""};
    const uint32_t id = tni_node_add(g, &spec);
    if (!id) return tni_place_take_error(p, g);
    if (!tni_types_grow(&p->scratch_types, g) || !grow_values(p)) return tni_place_nomem(p);
    const uint32_t v = tni_node_at(g, id)->value0;
    if (tni_types_merge_shape(&p->scratch_types, v, tni_types_shape(&p->out->types, from)) ||
        tni_types_merge_dtype(&p->scratch_types, v, p->out->types.dtype[from]))
        return tni_place_nomem(p);
    p->scratch.values[v] = e;
    *out = (tni_entry){id, 0};
    return TN_OK;
}

// The inputs of node id as values of the scratch graph.
static tn_status bring_inputs(tni_placer *p, const tni_view *view, uint32_t id, tni_entry *in)
{
    const tni_node *n = tni_node_at(view->g, id);
    if (view == &p->scratch) {
        if (n->n_in) memcpy(in, n->in, n->n_in * sizeof *in);
        return TN_OK;
    }
    tn_status s = tni_place_inputs(p, view, id);
    for (uint32_t i = 0; i < n->n_in && s == TN_OK; i++) s = add_input(p, p->in[i], &in[i]);
    return s;
}

// Nobody runs the node, and it has no parts: why not is one reason more.
static tn_status fail_without_parts(tni_placer *p, const tni_node *n, const tni_context *context,
                                    uint32_t question)
{
    tni_question *q = &p->support.questions[question];
    tni_refusal *why = tni_alloc(p->support.arena, sizeof *why);
    const char *text =
        why ? tni_strdup(p->support.arena, tni_error_text(&p->scratch.g->error)) : NULL;
    if (!text) return tni_place_nomem(p);
    *why = (tni_refusal){.device = "as its parts", .text = text, .next = q->refusals};
    q->refusals = why;
    tni_support_miss(q, n->name, context->depth ? context->origin : NULL);
    return tni_support_report(&p->support, p->src);
}

// Puts the parts into the scratch graph. TN_E_UNSUPPORTED, with its reason in that graph: there are
// none.
static tn_status build(tni_placer *p, const tni_view *view, uint32_t id, const tni_entry *in,
                       tni_entry *results)
{
    tni_builder b;
    tni_builder_init(&b, view->g, &p->scratch_types, id);
    b.g = p->scratch.g;
    b.inputs = in;
    b.results = results;
    b.suffix = "_expand";
    b.forward = 0;
    const tn_status s = tni_builder_expand(&b);
    tni_builder_free(&b);
    if (s == TN_E_UNSUPPORTED) return s;
    if (s != TN_OK) return tni_place_take_error(p, p->scratch.g);
    return grow_values(p) ? TN_OK : tni_place_nomem(p);
}

// Is a value of the nodes first … last of the scratch graph not known yet?
static bool is_open(const tni_placer *p, uint32_t first, uint32_t last)
{
    const tni_types *types = &p->scratch_types;
    for (uint32_t id = first; id <= last; id++) {
        const tni_node *n = tni_node_at(p->scratch.g, id);
        for (uint32_t v = n->value0; v < n->value0 + n->n_out; v++)
            if (!types->dtype[v] || tn_shape_size(tni_types_shape(types, v)) < 0) return true;
    }
    return false;
}

// Nodes are asked one by one as they are built, inputs first. What is not known then, such as the
// shape of values that are made from nothing, comes from their users and from the node's outputs.
static tn_status complete(tni_placer *p, const tni_view *view, uint32_t id, uint32_t first,
                          const tni_entry *results)
{
    tn_graph *g = p->scratch.g;
    tni_types *types = &p->scratch_types;
    const tni_node *n = tni_node_at(view->g, id);
    const uint32_t last = (uint32_t)g->n_nodes;
    if (!is_open(p, first, last)) return TN_OK;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!results[i].node) continue;
        const uint32_t v = tni_value(g, results[i]), u = n->value0 + i;
        const tn_shape shape = *tni_types_shape(view->types, u);
        if (tni_types_merge_shape(types, v, &shape) != TN_OK ||
            tni_types_merge_dtype(types, v, view->types->dtype[u]) != TN_OK)
            return TN_OK; // take_results() says that they differ
    }
    uint32_t *nodes = malloc((size_t)(last - first + 1) * sizeof *nodes);
    if (!nodes) return tni_place_nomem(p);
    for (uint32_t k = first; k <= last; k++) nodes[k - first] = k;
    const tn_status s =
        tni_infer(g, types, nodes, last - first + 1, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    free(nodes);
    if (s != TN_OK) return tni_place_take_error(p, g);
    if (!is_open(p, first, last)) return TN_OK;
    return tni_fail(&p->src->error, TN_E_INTERNAL, NULL,
                    "%s (%s): its expansion does not say the shape and dtype of all its values",
                    n->name, n->op->decl.name);
}

// The outputs of node id are the results, if they are of the same kind.
static tn_status take_results(tni_placer *p, tni_view *view, uint32_t id, const tni_entry *results)
{
    const tni_node *n = tni_node_at(view->g, id);
    const tni_types *of = &p->scratch_types;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!results[i].node) continue; // a hidden output; whoever uses it will be told
        const uint32_t v = tni_value(p->scratch.g, results[i]), u = n->value0 + i;
        const tn_shape *a = tni_types_shape(of, v), *b = tni_types_shape(view->types, u);
        if (a->ndim != b->ndim || of->dtype[v] != view->types->dtype[u] ||
            (a->ndim > 0 && memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof *a->dim) != 0))
            return tni_fail(&p->src->error, TN_E_INTERNAL, NULL,
                            "%s (%s): output %u of its expansion has another shape or dtype",
                            n->name, n->op->decl.name, i);
        view->values[u] = p->scratch.values[v];
    }
    return TN_OK;
}

static tn_status place_children(tni_placer *p, uint32_t first, uint32_t last,
                                const tni_context *context)
{
    tni_context inside = *context;
    tn_status s = TN_OK;
    inside.depth++;
    p->expanded += last + 1 - first;
    if (p->expanded > TNI_MAX_EXPANDED)
        return tni_fail(&p->src->error, TN_E_INTERNAL, NULL,
                        "the expansion of one %s has more than %d nodes", context->origin,
                        TNI_MAX_EXPANDED);
    for (uint32_t id = first; id <= last && s == TN_OK; id++)
        s = tni_place_node(p, &p->scratch, id, &inside);
    return s;
}

tn_status tni_expand_node(tni_placer *p, tni_view *view, uint32_t id, const tni_context *context,
                          uint32_t question)
{
    const tni_node *n = tni_node_at(view->g, id);
    tni_entry *in = calloc((size_t)n->n_in + n->n_out + 1, sizeof *in);
    tni_entry *results = in ? in + n->n_in : NULL;
    tn_status s = in && scratch_begin(p) ? bring_inputs(p, view, id, in) : tni_place_nomem(p);
    const uint32_t first = p->scratch.g ? (uint32_t)p->scratch.g->n_nodes + 1 : 1;
    if (s == TN_OK) s = build(p, view, id, in, results);
    if (s == TN_E_UNSUPPORTED)
        s = fail_without_parts(p, tni_node_at(view->g, id), context, question);
    if (s == TN_OK) s = complete(p, view, id, first, results);
    if (s == TN_OK) s = place_children(p, first, (uint32_t)p->scratch.g->n_nodes, context);
    if (s == TN_OK) s = take_results(p, view, id, results);
    free(in);
    if (s != TN_OK || context->depth > 0) return s;
    tni_graph_truncate(p->scratch.g, 0);
    p->scratch.n_values = 0;
    p->out->n_expanded++;
    return tni_types_grow(&p->scratch_types, p->scratch.g) ? TN_OK : tni_place_nomem(p);
}
