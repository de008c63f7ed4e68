// core/graph/apply.c: one call of an operator: parameters, inputs, the variables it lacks, its
// name.
#include "core/graph/graph.h"

// A call on its way to a node. What is only needed until then lies in scratch.
typedef struct making {
    tn_graph *g;
    const tni_call *call;
    tni_arena scratch;
    const char *what;   // "fc1 (FullyConnected)", for messages
    const char *name;   // of the node
    tni_attr *attrs;    // of the node
    const void *params; // blob
    tni_entry *in;      // node 0: not given
    uint32_t n_in;
} making;

static bool no_memory(const making *m)
{
    tni_graph_no_memory(m->g);
    return false;
}

// ------------------------------------------------------------------ operators and names

void tni_op_nearest(const tni_registry *r, const char *name, tni_text *t)
{
    const char **names = r && name ? malloc((r->by_name.n + 1) * sizeof *names) : NULL;
    size_t n = 0;
    for (uint32_t i = 0; names && i < r->n_ops; i++) {
        if (r->ops[i]->decl.flags & TN_OP_INTERNAL) continue;
        names[n++] = r->ops[i]->decl.name;
        for (const char **a = r->ops[i]->aliases; *a && n < r->by_name.n; a++) names[n++] = *a;
        if (n >= r->by_name.n) break;
    }
    if (n) tni_text_nearest(t, name, names, n);
    free(names);
}

const tni_op *tni_op_wanted(tn_graph *g, const char *name)
{
    const tni_registry *r = g->registry;
    const tni_op *op = r && name ? tni_op_find(r, name) : NULL;
    if (op) return op;
    tni_text t = {0};
    tni_op_nearest(r, name, &t);
    tni_graph_fail(g, TN_E_NOT_FOUND, 0, "no operator %s%s", name ? name : "NULL",
                   t.s ? t.s : " (none is registered)");
    tni_text_free(&t);
    return NULL;
}

// The explicit name with the prefix, checked; or nothing yet.
static bool take_name(making *m)
{
    tn_graph *g = m->g;
    const tni_call *c = m->call;
    const char *op = c->op->decl.name;
    if (!c->name) {
        m->what = op;
        return true;
    }
    if (!*c->name) {
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: name: empty", op);
        return false;
    }
    m->name = tni_printf(&m->scratch, "%s%s", g->scopes ? g->scopes->prefix : "", c->name);
    m->what = m->name ? tni_printf(&m->scratch, "%s (%s)", m->name, op) : NULL;
    const char *lead = m->what ? tni_printf(&m->scratch, "%s: ", m->what) : NULL;
    if (!lead) return no_memory(m);
    return tni_name_free(g, &g->operators, m->name, lead);
}

static bool make_name(making *m)
{
    if (m->name) return true;
    const tni_unnamed call = {m->call->op, m->params, m->in, m->n_in};
    m->name = tni_auto_name_for(m->g, m->call->hint, &call);
    return m->name != NULL;
}

// ------------------------------------------------------------------ parameters

// Number of the declared input that a name of a call means; "arg3" is input 3 of the variadic one.
static bool port_of(const tni_op *op, const char *name, uint32_t *port, uint32_t *index)
{
    *index = 0;
    for (*port = 0; *port < op->n_in; (*port)++) {
        const tn_port_decl *p = &op->in[*port];
        if (!(p->flags & TN_PORT_VARIADIC)) {
            if (strcmp(p->name, name) == 0) return true;
            continue;
        }
        if (strncmp(name, "arg", 3) != 0 || name[3] < '0' || name[3] > '9') continue;
        char *end;
        const unsigned long n = strtoul(name + 3, &end, 10);
        if (*end || n >= TNI_MAX_PORTS || (name[3] == '0' && name[4])) continue;
        *index = (uint32_t)n;
        return true;
    }
    return false;
}

// How many variadic inputs a call has been given. Where these have a condition, other inputs may
// stand in their place, and all are counted.
static uint32_t count_given(const tni_call *c)
{
    uint32_t n = 0, plain = 0;
    const tni_op *op = c->op;
    bool either = false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const tn_port_decl *p = &op->in[i];
        plain += !(p->flags & (TN_PORT_VARIADIC | TN_PORT_AUX));
        either = either || (p->flags & TN_PORT_VARIADIC && p->when);
    }
    if (either) plain = 0;
    if (c->by == TNI_BY_PLACE) return c->n_given > plain ? (uint32_t)c->n_given - plain : 0;
    for (size_t i = 0; i < c->n_given; i++) {
        uint32_t port = c->given[i].port, index = c->given[i].index;
        if (c->by == TNI_BY_NAME && !port_of(op, c->given[i].name, &port, &index)) continue;
        if (port >= op->n_in) continue;
        if (op->in[port].flags & TN_PORT_VARIADIC)
            n = index >= n ? index + 1 : n;
        else if (either)
            n++;
    }
    return n;
}

// The parameters with __key__ for hidden keys, and with the count of variadic inputs.
static tn_attr *full_params(making *m, size_t *n)
{
    const tni_call *c = m->call;
    tn_attr *list = tni_alloc(&m->scratch, (c->n_params + 1) * sizeof *list);
    if (!list) {
        no_memory(m);
        return NULL;
    }
    const char *count = c->op->count_param < 0 ? NULL : c->op->decl.count;
    bool counted = !count;
    *n = 0;
    for (size_t i = 0; i < c->n_params; i++) {
        const tn_attr p = c->params[i];
        if (!p.key || !p.value) {
            tni_graph_fail(m->g, TN_E_INVALID, 0, "%s: parameter %s: no %s", m->what,
                           p.key ? p.key : "?", p.key ? "value" : "key");
            return NULL;
        }
        const char *hidden = tni_param_find(c->op, p.key) < 0 ? tni_attr_key(p.key) : NULL;
        list[(*n)++] = (tn_attr){hidden ? hidden : p.key, p.value};
        counted = counted || strcmp(p.key, count) == 0;
    }
    const uint32_t given = counted ? 0 : count_given(c);
    if (given) {
        const char *text = tni_printf(&m->scratch, "%u", given);
        if (text) list[(*n)++] = (tn_attr){count, text};
    }
    return list;
}

static bool read_params(making *m)
{
    tn_graph *g = m->g;
    size_t n;
    const tn_attr *list = full_params(m, &n);
    if (!list) return false;
    m->params = tni_params_parse(m->call->op, &g->arena, list, n, tni_graph_place(g, &m->scratch),
                                 m->what, &g->error);
    if (!m->params) return false;
    m->attrs = g->scopes ? g->scopes->attrs : NULL;
    for (size_t i = 0; i < n; i++)
        if (!(m->attrs = tni_attr_add(g, m->attrs, list[i].key, list[i].value))) return false;
    return tni_attrs_add(g, &m->attrs, m->call->attrs, m->what);
}

// ------------------------------------------------------------------ inputs

// "data, weight, bias" of this call, for messages.
static const char *inputs_text(making *m)
{
    tni_text t = {0};
    for (uint32_t i = 0; i < m->n_in && i < 16; i++) {
        char port[64];
        tni_op_in_name(m->call->op, m->params, i, port);
        tni_text_printf(&t, "%s%s", i ? ", " : "", port);
    }
    if (m->n_in > 16) tni_text_add(&t, ", …");
    const char *text = t.s ? tni_strdup(&m->scratch, t.s) : "";
    tni_text_free(&t);
    return text ? text : "";
}

static bool unknown_input(making *m, const char *name)
{
    const char **names = tni_alloc(&m->scratch, (m->n_in + 1) * sizeof *names);
    for (uint32_t i = 0; names && i < m->n_in; i++) {
        char port[64];
        tni_op_in_name(m->call->op, m->params, i, port);
        names[i] = tni_strdup(&m->scratch, port);
        if (!names[i]) names = NULL;
    }
    if (!names) return no_memory(m);
    tni_text t = {0};
    tni_text_nearest(&t, name, names, m->n_in);
    tni_graph_fail(m->g, TN_E_INVALID, 0, "%s: no input %s%s", m->what, name,
                   t.s ? t.s : "; it takes none");
    tni_text_free(&t);
    return false;
}

// Errors of an input say which: "fc1 (FullyConnected): weight".
static bool put(making *m, uint32_t slot, tn_symbol s)
{
    char port[64];
    tni_op_in_name(m->call->op, m->params, slot, port);
    tni_text what = {0};
    tni_text_printf(&what, "%s: %s", m->what, port);
    if (what.failed) {
        tni_text_free(&what);
        return no_memory(m);
    }
    const bool twice = m->in[slot].node != 0;
    if (twice)
        tni_graph_fail(m->g, TN_E_INVALID, 0, "%s: given twice", what.s);
    else
        m->in[slot] = tni_symbol_entry(m->g, s, what.s);
    tni_text_free(&what);
    return !twice && m->in[slot].node;
}

static bool put_at_port(making *m, const tni_given *given)
{
    const tni_op *op = m->call->op;
    uint32_t port = given->port, index = given->index, slot;
    if (m->call->by == TNI_BY_NAME && !given->name) {
        tni_graph_fail(m->g, TN_E_INVALID, 0, "%s: an input without a name", m->what);
        return false;
    }
    if (m->call->by == TNI_BY_NAME && !port_of(op, given->name, &port, &index))
        return unknown_input(m, given->name);
    if (!given->symbol.node) return true; // TN_NONE asks for the default
    if (tni_op_slot(op, m->params, port, index, &slot)) return put(m, slot, given->symbol);
    if (op->in[port].when)
        tni_graph_fail(m->g, TN_E_INVALID, 0,
                       "%s: %s: given, but with these parameters the "
                       "operator has no such input (it has it if %s)",
                       m->what, op->in[port].name, op->in[port].when);
    else
        tni_graph_fail(m->g, TN_E_INVALID, 0, "%s: arg%u: given, but %s is %u", m->what, index,
                       op->decl.count, m->n_in);
    return false;
}

static bool read_inputs(making *m)
{
    const tni_call *c = m->call;
    m->n_in = tni_op_arity(c->op, m->params).n_in;
    m->in = tni_alloc(&m->scratch, m->n_in * sizeof *m->in);
    if (!m->in) return no_memory(m);
    if (c->by == TNI_BY_PLACE && c->n_given > m->n_in) {
        tni_graph_fail(m->g, TN_E_INVALID, 0, "%s: %zu inputs given, it takes %u%s%s%s", m->what,
                       c->n_given, m->n_in, m->n_in ? " (" : "", inputs_text(m),
                       m->n_in ? ")" : "");
        return false;
    }
    for (size_t i = 0; i < c->n_given; i++) {
        const tn_symbol s = c->given[i].symbol;
        if (c->by != TNI_BY_PLACE && !put_at_port(m, &c->given[i])) return false;
        if (c->by == TNI_BY_PLACE && s.node && !put(m, (uint32_t)i, s)) return false;
    }
    return true;
}

// A variable for input `slot`, with the operator's attributes, as MXNet makes it.
static bool make_input(making *m, uint32_t slot)
{
    tn_graph *g = m->g;
    char port[64];
    tni_op_in_name(m->call->op, m->params, slot, port);
    const char *name = tni_printf(&m->scratch, "%s_%s", m->name, port);
    const char *lead =
        name ? tni_printf(&m->scratch, "%s: %s: not given, and ", m->what, port) : NULL;
    if (!lead) return no_memory(m);
    if (!tni_name_free(g, &g->variables, name, lead)) return false;
    const char *init = tni_op_in(m->call->op, m->params, slot)->init;
    tni_node_spec spec = {.name = name, .attrs = m->attrs, .file = g->file, .line = g->line};
    const tni_node of_op = {.attrs = m->attrs};
    if (init && !tni_attr_find(&of_op, "__init__"))
        if (!(spec.attrs = tni_attr_add(g, m->attrs, "__init__", init))) return false;
    m->in[slot] = (tni_entry){tni_node_add(g, &spec), 0};
    return m->in[slot].node != 0;
}

// ------------------------------------------------------------------ all of it

static uint32_t make(making *m)
{
    tn_graph *g = m->g;
    if (!take_name(m) || !read_params(m) || !read_inputs(m) || !make_name(m)) return 0;
    for (uint32_t i = 0; i < m->n_in; i++)
        if (!m->in[i].node && !make_input(m, i)) return 0;
    const tni_node_spec spec = {.op = m->call->op,
                                .name = m->name,
                                .params = m->params,
                                .in = m->in,
                                .n_in = m->n_in,
                                .attrs = m->attrs,
                                .file = g->file,
                                .line = g->line};
    return tni_node_add(g, &spec);
}

tn_symbol tni_call_make(tn_graph *g, const tni_call *call)
{
    const tni_save save = tni_graph_save(g);
    making m = {.g = g, .call = call};
    const uint32_t id = make(&m);
    tni_arena_free(&m.scratch);
    if (id) return tni_symbol_whole(g, id);
    tni_graph_undo(g, save);
    return TN_NONE;
}

// The inputs of tn_call as the call wants them; NULL: out of memory.
static tni_given *given_of(const tn_call_args *a, size_t *n)
{
    *n = a->named.n ? a->named.n : a->inputs.n;
    tni_given *list = calloc(*n + 1, sizeof *list);
    for (size_t i = 0; list && i < *n; i++) {
        list[i].symbol = a->named.n ? a->named.v[i].symbol : a->inputs.v[i];
        if (a->named.n) list[i].name = a->named.v[i].name;
    }
    return list;
}

tn_symbol tn_call_make(tn_graph *g, const char *op, const tn_call_args *args)
{
    if (!tni_ready(g)) return TN_NONE;
    tn_call_args a = {0};
    if (args) memcpy(&a, args, args->size < sizeof a ? args->size : sizeof a);
    tni_call c = {.op = tni_op_wanted(g, op), .hint = op, .name = a.name, .attrs = a.attrs};
    if (!c.op) return TN_NONE;
    if (tni_list_bad(g, "inputs", a.inputs.n, a.inputs.v) ||
        tni_list_bad(g, "named", a.named.n, a.named.v) ||
        tni_list_bad(g, "params", a.params.n, a.params.v) ||
        tni_list_bad(g, "attrs", a.attrs.n, a.attrs.v))
        return TN_NONE;
    if (a.named.n && a.inputs.n) {
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: inputs by place or by name, not both", op);
        return TN_NONE;
    }
    tni_given *given = given_of(&a, &c.n_given);
    if (!given) {
        tni_graph_no_memory(g);
        return TN_NONE;
    }
    c.params = a.params.v;
    c.n_params = a.params.n;
    c.by = a.named.n ? TNI_BY_NAME : TNI_BY_PLACE;
    c.given = given;
    const tn_symbol s = tni_call_make(g, &c);
    free(given);
    return s;
}
