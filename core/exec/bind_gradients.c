// core/exec/bind_gradients.c: appends the nodes that backward runs to the private graph.
#include "core/exec/exec.h"

static tn_status out_of_memory(tni_bind *b)
{
    return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
}

// A variable of the private graph with the type of value `like`; {0,0} when out of memory.
static tni_entry add_variable(tni_bind *b, const char *name, const char *what, uint32_t like)
{
    tn_graph *s = b->e->source;
    const char *full = tni_printf(&s->arena, "%s_%s", name, what);
    const tni_node_spec spec = {.name = full};
    const uint32_t id = full ? tni_node_add(s, &spec) : 0;
    if (!id || !tni_types_grow(&b->types, s)) return (tni_entry){0, 0};
    const uint32_t value = s->nodes[id].value0;
    const tn_shape shape = *tni_types_shape(&b->types, like);
    if (tni_types_merge_shape(&b->types, value, &shape) ||
        tni_types_merge_dtype(&b->types, value, b->types.dtype[like]))
        return (tni_entry){0, 0};
    return (tni_entry){id, 0};
}

// One variable for the head gradient of each output. Losses do not use theirs.
static tn_status add_heads(tni_bind *b)
{
    const tn_exec *e = b->e;
    for (size_t i = 0; i < e->outs.n; i++) {
        b->head_vars[i] =
            add_variable(b, e->outs.v[i], "head_grad", tni_value(e->source, e->heads[i]));
        if (!b->head_vars[i].node) return out_of_memory(b);
    }
    return TN_OK;
}

// The gradient tensor as it is before this backward, plus what is new.
static tn_status add_old(tni_bind *b, size_t arg)
{
    tn_graph *s = b->e->source;
    const char *name = b->e->args.v[arg];
    const tni_entry var = b->e->vars[arg];
    b->old[arg] = add_variable(b, name, "old_grad", tni_value(s, var));
    if (!b->old[arg].node) return out_of_memory(b);
    const char *sum = tni_printf(&s->arena, "%s_grad_add", name);
    if (!sum) return out_of_memory(b);
    const tni_entry in[] = {b->old[arg], b->dx[arg]};
    b->dx[arg] = tni_build(s, &b->types, "_grad_add", NULL, in, 2, sum, 0);
    return b->dx[arg].node ? TN_OK : tni_bind_take_error(b, s);
}

// dx of every argument that wants one; used_heads by output.
static tn_status differentiate(tni_bind *b, bool *used_heads)
{
    tn_exec *e = b->e;
    size_t n = 0;
    tni_entry *x = calloc(2 * e->args.n + 1, sizeof *x);
    if (!x) return out_of_memory(b);
    tni_entry *dx = x + e->args.n;
    for (size_t i = 0; i < e->args.n; i++)
        if (e->req[i] != TN_NULL) x[n++] = e->vars[i];
    tn_status status =
        tni_gradient(e->source, &b->types, e->heads, e->outs.n, b->head_vars, x, n, dx, used_heads);
    if (status) status = tni_bind_take_error(b, e->source);
    n = 0;
    for (size_t i = 0; !status && i < e->args.n; i++)
        if (e->req[i] != TN_NULL) b->dx[i] = dx[n++];
    free(x);
    for (size_t i = 0; !status && i < e->args.n; i++)
        if (e->req[i] == TN_ADD && b->dx[i].node) status = add_old(b, i);
    return status;
}

// Without gradients there is nothing that uses a head: the operator's word counts.
static void find_losses(tni_bind *b)
{
    const tn_exec *e = b->e;
    for (size_t i = 0; i < e->outs.n; i++) {
        const tni_op *op = e->source->nodes[e->heads[i].node].op;
        e->is_loss[i] = op && (op->decl.flags & (TN_OP_LOSS | TN_OP_ZERO_GRAD));
    }
}

tn_status tni_bind_gradients(tni_bind *b)
{
    tn_exec *e = b->e;
    for (size_t i = 0; i < e->args.n; i++) e->training |= e->req[i] != TN_NULL;
    if (!e->training) {
        find_losses(b);
        return TN_OK;
    }
    bool *used_heads = calloc(e->outs.n + 1, sizeof *used_heads);
    tn_status status = used_heads ? add_heads(b) : out_of_memory(b);
    if (!status) status = differentiate(b, used_heads);
    for (size_t i = 0; !status && i < e->outs.n; i++) {
        e->is_loss[i] = !used_heads[i];
        e->n_heads += used_heads[i];
    }
    free(used_heads);
    return status;
}
