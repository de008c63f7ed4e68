// core/passes/gradient.c: reverse-mode differentiation of a graph by appending nodes to it.
//
// Nodes are walked from the newest y down to the oldest x: when a node's turn comes, all users of
// its outputs are done. Each value keeps the list of what its users gave it; the list becomes one
// value when somebody asks for it, so a loss layer, which never does, gets no head gradient made.
// Only values that depend on some x take part.
//
// An operator that has only `expand` is differentiated through a copy of its expansion: those
// nodes are new, so the same walk goes over them first and arrives at the operator's own inputs.
#include "core/passes/pass.h"

// More users than this and the sum is a chain of additions that runs in place as they come, so that
// not all of them have to be kept until the last one is there.
#define MAX_ADDENDS 8
// Expansions inside expansions; a deeper one is an operator that expands into itself.
#define MAX_DEPTH 16

typedef enum cell_kind {
    CELL_VALUE, // `entry` is the gradient
    CELL_SEED,  // the head of y number entry.out, or ones
    CELL_ALIAS  // the gradient of the value `entry`
} cell_kind;

// What one user of a value gives to its gradient.
typedef struct cell {
    tni_entry entry;
    uint32_t next; // place + 1 in cells
    cell_kind kind;
} cell;

// The gradient of a value, as far as it is known.
typedef struct sum {
    uint32_t first; // newest cell, place + 1; 0: zero
    uint16_t n;     // cells
    bool depends;   // on some x, or is one
    bool chained;   // its one cell is the end of a chain of additions
} sum;

typedef struct sweep {
    tni_builder b; // first, so that its callback finds the sweep
    tn_graph *g;
    tni_types *types;
    const tni_entry *y, *head;
    bool *used_heads;
    sum *sums; // by value number
    size_t n_sums, sums_capacity;
    cell *cells;
    size_t n_cells, cells_capacity;
    tni_entry *results;
    size_t results_capacity;
    uint32_t depth;
} sweep;

static tn_status no_memory(sweep *s)
{
    return tni_graph_fail(s->g, TN_E_NOMEM, 0, "out of memory while differentiating");
}

// Room for every value that the graph has now.
static bool cover(sweep *s)
{
    const size_t n = s->g->n_values;
    void *sums = s->sums;
    if (!tni_grow(&sums, &s->sums_capacity, n ? n : 1, sizeof *s->sums)) return false;
    s->sums = sums;
    if (n > s->n_sums) memset(s->sums + s->n_sums, 0, (n - s->n_sums) * sizeof *s->sums);
    s->n_sums = n > s->n_sums ? n : s->n_sums;
    return true;
}

static sum *sum_of(sweep *s, tni_entry e)
{
    return &s->sums[tni_value(s->g, e)];
}

// ------------------------------------------------------------------ sums

static tni_entry gradient_of(sweep *s, tni_entry e);

// New node for the sum or the seed of value e.
static tni_entry build(sweep *s, const char *op, const char *params, const tni_entry *in,
                       uint32_t n_in, tni_entry e, const char *suffix)
{
    const tni_node *n = tni_node_at(s->g, e.node);
    char name[256] = "";
    if (*n->name) snprintf(name, sizeof name, "%.200s%s", n->name, suffix);
    return tni_build(s->g, s->types, op, params, in, n_in, name, n->op ? e.node : 0);
}

// The gradient that came as `grad` has the shape and dtype of the value it is of.
static tn_status merge_types(sweep *s, tni_entry value, tni_entry grad)
{
    tni_types *t = s->types;
    if (!t) return TN_OK;
    const uint32_t a = tni_value(s->g, value), b = tni_value(s->g, grad);
    tn_status status = tni_types_merge_shape(t, b, tni_types_shape(t, a));
    if (status == TN_OK) status = tni_types_merge_shape(t, a, tni_types_shape(t, b));
    if (status == TN_OK) status = tni_types_merge_dtype(t, b, t->dtype[a]);
    if (status == TN_OK) status = tni_types_merge_dtype(t, a, t->dtype[b]);
    return status;
}

static void print_types(const sweep *s, tni_entry e, tni_text *t)
{
    const uint32_t v = tni_value(s->g, e);
    tni_text_printf(t, "%s ", tn_dtype_name(s->types->dtype[v]));
    tni_text_shape(t, tni_types_shape(s->types, v));
}

// The error when they differ; `what` names the gradient, `node` is the one it is about.
static tn_status types_differ(sweep *s, tn_status status, uint32_t node, const char *what,
                              tni_entry value, tni_entry grad)
{
    tni_text t = {0};
    print_types(s, grad, &t);
    tni_text_add(&t, ", wanted ");
    print_types(s, value, &t);
    tni_node_fail(s->g, status, node, "%s: %s", what, t.failed ? "" : t.s);
    tni_text_free(&t);
    return status;
}

static tni_entry seed(sweep *s, uint32_t i)
{
    const tni_entry y = s->y[i];
    char what[48];
    if (s->used_heads) s->used_heads[i] = true;
    if (!s->head || !s->head[i].node) return build(s, "ones_like", NULL, &y, 1, y, "_head_grad");
    const tn_status status = merge_types(s, y, s->head[i]);
    snprintf(what, sizeof what, "head gradient %u", i);
    if (status != TN_OK) types_differ(s, status, y.node, what, y, s->head[i]);
    return s->head[i];
}

static tni_entry resolve(sweep *s, const cell *c)
{
    switch (c->kind) {
    case CELL_SEED: return seed(s, c->entry.out);
    case CELL_ALIAS: return gradient_of(s, c->entry);
    default: return c->entry;
    }
}

// The cells of a sum as values, oldest first. Returns how many.
static uint32_t resolve_all(sweep *s, tni_entry e, tni_entry values[MAX_ADDENDS])
{
    const uint32_t n = sum_of(s, e)->n;
    uint32_t at = sum_of(s, e)->first;
    for (uint32_t i = n; i-- > 0;) {
        const cell c = s->cells[at - 1];
        values[i] = resolve(s, &c);
        at = c.next;
    }
    return n;
}

// The sum becomes one cell that holds a value.
static void set_sum(sweep *s, tni_entry e, tni_entry value)
{
    sum *v = sum_of(s, e);
    s->cells[v->first - 1] = (cell){.entry = value, .kind = CELL_VALUE};
    v->n = 1;
}

// The gradient of e, all of whose users are done; {0,0} if it is zero.
static tni_entry gradient_of(sweep *s, tni_entry e)
{
    tni_entry values[MAX_ADDENDS];
    char params[32];
    if (!sum_of(s, e)->first) return (tni_entry){0, 0};
    const uint32_t n = resolve_all(s, e, values);
    if (n > 1) {
        snprintf(params, sizeof params, "num_args=%u", n);
        values[0] = build(s, "add_n", params, values, n, e, "_grad_sum");
    }
    set_sum(s, e, values[0]);
    return values[0];
}

static void add_to_chain(sweep *s, tni_entry e, tni_entry value)
{
    const tni_entry in[2] = {s->cells[sum_of(s, e)->first - 1].entry, value};
    set_sum(s, e, build(s, "_grad_add", NULL, in, 2, e, "_grad_sum"));
}

static void start_chain(sweep *s, tni_entry e)
{
    tni_entry values[MAX_ADDENDS];
    const uint32_t n = resolve_all(s, e, values);
    set_sum(s, e, values[0]);
    for (uint32_t i = 1; i < n; i++) add_to_chain(s, e, values[i]);
    sum_of(s, e)->chained = true;
}

// One more user of e has given its part.
static tn_status add(sweep *s, tni_entry e, cell c)
{
    if (sum_of(s, e)->n == MAX_ADDENDS) start_chain(s, e);
    if (sum_of(s, e)->chained) {
        add_to_chain(s, e, resolve(s, &c));
        return s->g->error.status;
    }
    void *cells = s->cells;
    if (s->n_cells >= UINT32_MAX - 1 ||
        !tni_grow(&cells, &s->cells_capacity, s->n_cells + 1, sizeof *s->cells))
        return no_memory(s);
    s->cells = cells;
    sum *v = sum_of(s, e);
    c.next = v->first;
    s->cells[s->n_cells++] = c;
    v->first = (uint32_t)s->n_cells;
    v->n++;
    return TN_OK;
}

// ------------------------------------------------------------------ which values take part

// May a gradient pass from node n to its input i?
static bool passes(const tni_node *n, uint32_t i)
{
    const uint32_t never = TN_PORT_NO_GRAD | TN_PORT_SHAPE_ONLY | TN_PORT_AUX;
    const tn_port_decl *port = tni_op_in(n->op, n->params, i);
    return !(n->op->decl.flags & TN_OP_ZERO_GRAD) && port && !(port->flags & never);
}

// Does input i of n lead to some x, on a way that gradients take?
static bool wanted(sweep *s, const tni_node *n, uint32_t i)
{
    return sum_of(s, n->in[i])->depends && passes(n, i);
}

static bool any_wanted(sweep *s, const tni_node *n)
{
    for (uint32_t i = 0; n->op && i < n->n_in; i++)
        if (wanted(s, n, i)) return true;
    return false;
}

static void mark_dependents(sweep *s, uint32_t first, uint32_t last)
{
    for (uint32_t id = first; id <= last; id++) {
        const tni_node *n = tni_node_at(s->g, id);
        if (!any_wanted(s, n)) continue;
        for (uint32_t i = 0; i < n->n_out; i++) s->sums[n->value0 + i].depends = true;
    }
}

static bool has_gradient(sweep *s, const tni_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (s->sums[n->value0 + i].first) return true;
    return false;
}

// ------------------------------------------------------------------ one node

// Name of an x that node id leads to: down the first wanted input until none is.
static const char *some_x(sweep *s, uint32_t id)
{
    for (;;) {
        const tni_node *n = tni_node_at(s->g, id);
        uint32_t i = 0;
        while (n->op && i < n->n_in && !wanted(s, n, i)) i++;
        if (!n->op || i == n->n_in) return n->name;
        id = n->in[i].node;
    }
}

static tn_status no_gradient(sweep *s, uint32_t id, const char *why)
{
    return tni_node_fail(s->g, TN_E_NO_GRADIENT, id,
                         "%s; the gradient of '%s' would have to pass through it", why,
                         some_x(s, id));
}

static tni_entry ask_out_grad(tni_builder *b, uint32_t i)
{
    return gradient_of((sweep *)b, (tni_entry){b->node, i});
}

// Hands in-gradient `grad` of input i of node id to the value it is of.
static tn_status give(sweep *s, uint32_t id, uint32_t i, tni_entry grad)
{
    const tni_node *n = tni_node_at(s->g, id);
    const tni_entry to = n->in[i];
    char buffer[64], what[96];
    if (!grad.node || !wanted(s, n, i)) return TN_OK;
    const tn_status status = merge_types(s, to, grad);
    if (status != TN_OK) {
        snprintf(what, sizeof what, "gradient of %s", tni_op_in_name(n->op, n->params, i, buffer));
        return types_differ(s, status, id, what, to, grad);
    }
    return add(s, to, (cell){.entry = grad, .kind = CELL_VALUE});
}

static tn_status by_rule(sweep *s, uint32_t id)
{
    const uint32_t n_in = tni_node_at(s->g, id)->n_in;
    void *results = s->results;
    if (!tni_grow(&results, &s->results_capacity, n_in, sizeof *s->results)) return no_memory(s);
    s->results = results;
    tni_builder_reset(&s->b, id);
    s->b.results = s->results;
    tn_status status = tni_builder_gradient(&s->b);
    for (uint32_t i = 0; i < n_in && status == TN_OK; i++) status = give(s, id, i, s->results[i]);
    return status;
}

static tn_status process(sweep *s, uint32_t id);

// An expansion that draws random numbers would draw others than the forward pass did.
static tn_status no_random(sweep *s, uint32_t id, uint32_t first, uint32_t last)
{
    for (uint32_t e = first; e <= last; e++)
        if (tni_node_at(s->g, e)->op->decl.flags & TN_OP_RANDOM)
            return no_gradient(s, id,
                               "its expansion draws random numbers, so it needs a gradient "
                               "of its own and has none");
    return TN_OK;
}

// Walks the expansion of node id, nodes first … last, whose outputs stand in `out`.
static tn_status walk_expansion(sweep *s, uint32_t id, uint32_t first, uint32_t last,
                                const tni_entry *out)
{
    const uint32_t n_out = tni_node_at(s->g, id)->n_out;
    tn_status status = no_random(s, id, first, last);
    mark_dependents(s, first, last);
    for (uint32_t i = 0; i < n_out && status == TN_OK; i++) {
        const tni_entry from = {id, i};
        if (!sum_of(s, from)->first) continue;
        if (!out[i].node)
            status = no_gradient(s, id, "its expansion leaves out an output that is used");
        else if (sum_of(s, out[i])->depends)
            status = add(s, out[i], (cell){.entry = from, .kind = CELL_ALIAS});
    }
    for (uint32_t e = last; e >= first && status == TN_OK; e--) status = process(s, e);
    return status;
}

// Inputs that this operator gives no gradient are no way through its expansion either: they are
// hidden, and where the same value is an input that has one, the expansion gets it blocked.
static tn_status hide_inputs(sweep *s, uint32_t id, bool *was, tni_entry *in)
{
    const uint32_t n_in = tni_node_at(s->g, id)->n_in;
    for (uint32_t i = 0; i < n_in; i++) {
        in[i] = tni_node_at(s->g, id)->in[i];
        was[i] = sum_of(s, in[i])->depends;
    }
    for (uint32_t i = 0; i < n_in; i++) {
        const tni_node *n = tni_node_at(s->g, id);
        const tni_entry e = n->in[i];
        uint32_t j = 0;
        if (passes(n, i)) continue;
        while (j < n_in && (n->in[j].node != e.node || n->in[j].out != e.out || !passes(n, j))) j++;
        if (j == n_in)
            sum_of(s, e)->depends = false;
        else
            in[i] = build(s, "BlockGrad", NULL, &e, 1, e, "_no_grad");
    }
    return s->g->error.status;
}

static void show_inputs(sweep *s, uint32_t id, const bool *was)
{
    const tni_node *n = tni_node_at(s->g, id);
    for (uint32_t i = 0; i < n->n_in; i++) sum_of(s, n->in[i])->depends |= was[i];
}

static tn_status by_expansion(sweep *s, uint32_t id)
{
    tn_graph *g = s->g;
    const tni_node *n = tni_node_at(g, id);
    const uint32_t n_in = n->n_in, n_out = n->n_out, first = (uint32_t)g->n_nodes + 1;
    if (s->depth == MAX_DEPTH)
        return no_gradient(s, id, "its expansion expands again and again, so it has no gradient");
    tni_builder e;
    tni_builder_init(&e, g, s->types, id);
    e.suffix = "_expand";
    e.results = calloc(n_out ? n_out : 1, sizeof *e.results);
    bool *was = calloc(n_in ? n_in : 1, sizeof *was);
    tni_entry *in = calloc(n_in ? n_in : 1, sizeof *in);
    tn_status status = e.results && was && in ? TN_OK : no_memory(s);
    if (status == TN_OK) {
        e.inputs = in;
        s->depth++;
        status = hide_inputs(s, id, was, in);
        if (status == TN_OK) status = tni_builder_expand(&e);
        if (status == TN_OK && !cover(s)) status = no_memory(s);
        if (status == TN_OK) status = walk_expansion(s, id, first, (uint32_t)g->n_nodes, e.results);
        show_inputs(s, id, was);
        s->depth--;
    }
    free(in);
    free(was);
    free(e.results);
    tni_builder_free(&e);
    return status;
}

// Passes the gradients of a node's outputs on to its inputs.
static tn_status process(sweep *s, uint32_t id)
{
    const tni_node *n = tni_node_at(s->g, id);
    if (!n->op || !has_gradient(s, n) || !any_wanted(s, n)) return TN_OK;
    const tn_op_decl *op = &n->op->decl;
    if (!(op->flags & TN_OP_NO_GRAD)) {
        if (op->gradient) return by_rule(s, id);
        if (op->expand) return by_expansion(s, id);
    }
    return no_gradient(s, id, "this operator has no gradient");
}

// ------------------------------------------------------------------ all of them

static tn_status walk(sweep *s, size_t n_y, const tni_entry *x, size_t n_x)
{
    uint32_t low = UINT32_MAX, high = 0;
    for (size_t j = 0; j < n_x; j++) {
        sum_of(s, x[j])->depends = true;
        if (x[j].node < low) low = x[j].node;
    }
    for (size_t i = 0; i < n_y; i++)
        if (s->y[i].node > high) high = s->y[i].node;
    if (low < UINT32_MAX) mark_dependents(s, low, high);
    tn_status status = TN_OK;
    for (size_t i = 0; i < n_y && status == TN_OK; i++)
        if (sum_of(s, s->y[i])->depends)
            status = add(s, s->y[i], (cell){.entry = {0, (uint32_t)i}, .kind = CELL_SEED});
    for (uint32_t id = high; id >= low && status == TN_OK; id--) status = process(s, id);
    return status;
}

tn_status tni_gradient(tn_graph *g, tni_types *types, const tni_entry *y, size_t n_y,
                       const tni_entry *head, const tni_entry *x, size_t n_x, tni_entry *dx,
                       bool *used_heads)
{
    if (g->error.status != TN_OK) return g->error.status;
    sweep s = {.g = g, .types = types, .y = y, .head = head, .used_heads = used_heads};
    if (used_heads) memset(used_heads, 0, n_y * sizeof *used_heads);
    tn_status status = cover(&s) && (!types || tni_types_grow(types, g)) ? TN_OK : no_memory(&s);
    if (n_y && status == TN_OK) {
        tni_builder_init(&s.b, g, types, y[0].node);
        s.b.out_grad = ask_out_grad;
        status = walk(&s, n_y, x, n_x);
    }
    for (size_t j = 0; j < n_x && status == TN_OK; j++) {
        dx[j] = gradient_of(&s, x[j]);
        status = g->error.status;
    }
    tni_builder_free(&s.b);
    free(s.sums);
    free(s.cells);
    free(s.results);
    return status;
}
