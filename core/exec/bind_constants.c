// core/exec/bind_constants.c: which arguments never change, and what is computed once therefore.
#include "core/exec/exec.h"

static const char blanks[] = " ,\t\n";

// The next name of a list, its length in *n; NULL at the end.
static const char *next_name(const char **list, size_t *n)
{
    const char *name = *list + strspn(*list, blanks);
    *n = strcspn(name, blanks);
    *list = name + *n;
    return *n ? name : NULL;
}

// Marks the argument as one that changes.
static tn_status take_name(tni_bind *b, const char *text, size_t n)
{
    tn_exec *e = b->e;
    uint32_t i = 0;
    const char *name = tni_printf(&e->arena, "%.*s", (int)n, text);
    if (!name) return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
    if (!tni_map_get(&e->args.index, name, &i))
        return tni_bind_unknown(b->g, "bind: .inputs", "argument", name, &e->args, NULL);
    e->constant[i] = false;
    return TN_OK;
}

tn_status tni_bind_constants(tni_bind *b)
{
    tn_exec *e = b->e;
    const size_t n_vars = e->args.n + e->auxs.n;
    const char *list = e->inputs;
    tn_status status = TN_OK;
    size_t n = 0;
    if (!list) return TN_OK;
    if (e->training)
        return tni_graph_fail(b->g, TN_E_INVALID, 0,
                              "bind: .inputs are for inference, and gradients are asked for");
    e->inference = true;
    e->constant = tni_alloc(&e->arena, n_vars + 1);
    if (!e->constant) return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
    for (size_t i = 0; i < n_vars; i++) e->constant[i] = true;
    for (const char *name; !status && (name = next_name(&list, &n));)
        status = take_name(b, name, n);
    return status;
}

// ------------------------------------------------------------------ what is computed once

// Of executors that are not for inference: larger values are rather computed again than kept. A
// mask of 1024 × 1024 floats stays.
enum { MOST_KEPT = 4 << 20 };

// Made of nothing but shapes and of what is kept itself.
static bool is_kept(const tn_exec *e, const tni_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!(tni_port_flags(n, i) & TN_PORT_SHAPE_ONLY) && !e->plan.once[n->in[i].node])
            return false;
    for (uint32_t o = 0; o < n->n_out; o++)
        if (tni_bytes_of(e, n->value0 + o) > MOST_KEPT) return false;
    return true;
}

void tni_find_once(tn_exec *e)
{
    const tn_graph *g = e->placed.g;
    for (uint32_t id = 1; id <= e->plan.n_forward; id++) {
        const tni_node *n = tni_node_at(g, id);
        if (!n->op || !n->n_out || !e->placed.constant[n->value0]) continue;
        e->plan.once[id] = e->inference || is_kept(e, n);
    }
}
