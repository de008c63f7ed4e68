// core/passes/infer.c: shapes and dtypes to a fixpoint: a worklist of nodes whose values changed.
//
// One pass in order asks every node's rule once. From then on a node is asked again only if one of
// its values changed since. A value changes at most once for its rank and each of its axes, so the
// work is linear in the edges, whichever end of a chain the knowledge comes from. infer_node.c asks
// one node; this file decides which.
#include "core/passes/pass.h"

void tni_worklist_free(tni_worklist *w)
{
    free(w->state);
    free(w->first);
    free(w->readers);
    free(w->queue);
    *w = (tni_worklist){0};
}

// Readers of each value: counted, summed, filled from the back.
static bool index_readers(tni_worklist *w, const tn_graph *g, const uint32_t *nodes, size_t n)
{
    w->first = calloc((size_t)g->n_values + 1, sizeof *w->first);
    if (!w->first) return false;
    size_t edges = 0;
    for (size_t k = 0; k < n; k++) {
        const tni_node *node = tni_node_at(g, nodes[k]);
        if (!node->op) continue;
        edges += node->n_in;
        for (uint32_t i = 0; i < node->n_in; i++) w->first[tni_value(g, node->in[i])]++;
    }
    if (edges > UINT32_MAX) return false;
    w->readers = malloc((edges ? edges : 1) * sizeof *w->readers);
    if (!w->readers) return false;
    for (size_t v = 0; v < g->n_values; v++) w->first[v + 1] += w->first[v];
    for (size_t k = n; k-- > 0;) {
        const tni_node *node = tni_node_at(g, nodes[k]);
        for (uint32_t i = node->op ? node->n_in : 0; i-- > 0;)
            w->readers[--w->first[tni_value(g, node->in[i])]] = nodes[k];
    }
    return true;
}

static bool worklist_init(tni_worklist *w, const tn_graph *g, const uint32_t *nodes, size_t n)
{
    *w = (tni_worklist){.size = n + 1};
    w->state = calloc(g->n_nodes + 1, sizeof *w->state);
    w->queue = malloc(w->size * sizeof *w->queue);
    if (!w->state || !w->queue || !index_readers(w, g, nodes, n)) {
        tni_worklist_free(w);
        return false;
    }
    return true;
}

// A node that the pass in order has not reached yet, or never will, needs no place in the queue.
static void push(tni_worklist *w, uint32_t node)
{
    if (w->state[node] != TNI_NODE_ASKED) return;
    w->state[node] = TNI_NODE_QUEUED;
    w->queue[w->tail] = node;
    w->tail = w->tail + 1 == w->size ? 0 : w->tail + 1;
}

void tni_worklist_changed(tni_worklist *w, const tn_graph *g, tni_entry e, uint32_t by)
{
    const uint32_t v = tni_value(g, e);
    if (e.node != by) push(w, e.node);
    for (uint32_t i = w->first[v]; i < w->first[v + 1]; i++)
        if (w->readers[i] != by) push(w, w->readers[i]);
}

// ------------------------------------------------------------------ variables

static tn_status seed_shape(tn_graph *g, tni_types *t, uint32_t id)
{
    const tni_node *node = tni_node_at(g, id);
    const char *text = tni_attr_find(node, "__shape__");
    tn_shape shape;
    if (!text || strcmp(text, "None") == 0) return TN_OK;
    if (!tni_shape_parse(text, &shape))
        return tni_node_fail(g, TN_E_INVALID, id, "__shape__ is \"%s\", wanted a tuple of extents",
                             text);
    const tn_status s = tni_types_merge_shape(t, node->value0, &shape);
    if (s == TN_OK) return TN_OK;
    if (s == TN_E_NOMEM) return tni_graph_fail(g, s, 0, "out of memory");
    tni_text given = {0};
    tni_text_shape(&given, tni_types_shape(t, node->value0));
    tni_node_fail(g, s, id, "shape %s, wanted %s as its __shape__ says",
                  given.failed ? "…" : given.s, text);
    tni_text_free(&given);
    return s;
}

// MXNet's type flag as text; its -1 means "not given".
static bool dtype_parse(const char *text, tn_dtype *dtype)
{
    char *end;
    const long flag = strtol(text, &end, 10);
    *dtype = TN_DTYPE_NONE;
    if (strcmp(text, "None") == 0) return true;
    if (end == text) return (*dtype = tn_dtype_find(text)) != TN_DTYPE_NONE;
    if (*end || flag < -1 || flag >= TN_DTYPE_END) return false;
    *dtype = (tn_dtype)(flag + 1);
    return *dtype == TN_DTYPE_NONE || tn_dtype_size(*dtype) > 0;
}

static tn_status seed_dtype(tn_graph *g, tni_types *t, uint32_t id)
{
    const tni_node *node = tni_node_at(g, id);
    const char *text = tni_attr_find(node, "__dtype__");
    tn_dtype dtype;
    if (!text) return TN_OK;
    if (!dtype_parse(text, &dtype))
        return tni_node_fail(g, TN_E_INVALID, id, "__dtype__ is \"%s\", wanted a type number",
                             text);
    const tn_status s = tni_types_merge_dtype(t, node->value0, dtype);
    if (s == TN_OK) return TN_OK;
    return tni_node_fail(g, s, id, "dtype %s, wanted %s as its __dtype__ says",
                         tn_dtype_name(t->dtype[node->value0]), tn_dtype_name(dtype));
}

static tn_status seed(tn_graph *g, tni_types *t, const uint32_t *nodes, size_t n, uint32_t what)
{
    for (size_t k = 0; k < n; k++) {
        const tni_node *node = tni_node_at(g, nodes[k]);
        if (!tni_is_variable(node) || !node->attrs) continue;
        const tn_status s =
            what == TNI_INFER_SHAPES ? seed_shape(g, t, nodes[k]) : seed_dtype(g, t, nodes[k]);
        if (s != TN_OK) return s;
    }
    return TN_OK;
}

// ------------------------------------------------------------------ the fixpoint

static tn_status settle(tni_ask *a, const uint32_t *nodes, size_t n)
{
    tni_worklist *w = a->work;
    memset(w->state, 0, a->g->n_nodes + 1);
    w->head = w->tail = 0;
    for (size_t k = 0; k < n; k++) {
        if (!tni_node_at(a->g, nodes[k])->op) continue;
        w->state[nodes[k]] = TNI_NODE_ASKED;
        const tn_status s = tni_ask_node(a, nodes[k]);
        if (s != TN_OK) return s;
    }
    while (w->head != w->tail) {
        const uint32_t id = w->queue[w->head];
        w->head = w->head + 1 == w->size ? 0 : w->head + 1;
        w->state[id] = TNI_NODE_ASKED;
        const tn_status s = tni_ask_node(a, id);
        if (s != TN_OK) return s;
    }
    return TN_OK;
}

tn_status tni_infer(tn_graph *g, tni_types *t, const uint32_t *nodes, size_t n, uint32_t what)
{
    static const uint32_t kinds[] = {TNI_INFER_DTYPES, TNI_INFER_SHAPES};
    tni_worklist w = {0};
    tni_ask a;
    tn_status s = TN_OK;
    if (g->error.status != TN_OK) return g->error.status;
    if (!tni_types_grow(t, g) || !worklist_init(&w, g, nodes, n))
        return tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory while inferring %zu nodes", n);
    tni_ask_init(&a, g, t, &w);
    for (size_t i = 0; i < 2 && s == TN_OK; i++) {
        if (!(what & kinds[i])) continue;
        a.what = kinds[i];
        s = seed(g, t, nodes, n, kinds[i]);
        if (s == TN_OK) s = settle(&a, nodes, n);
    }
    tni_worklist_free(&w);
    return s;
}

tn_status tni_infer_node(tn_graph *g, tni_types *t, uint32_t node)
{
    tni_ask a;
    if (g->error.status != TN_OK) return g->error.status;
    if (!tni_types_grow(t, g)) return tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory");
    if (!tni_node_at(g, node)->op) return TN_OK;
    tni_ask_init(&a, g, t, NULL);
    a.what = TNI_INFER_DTYPES;
    const tn_status s = tni_ask_node(&a, node);
    a.what = TNI_INFER_SHAPES;
    return s == TN_OK ? tni_ask_node(&a, node) : s;
}
