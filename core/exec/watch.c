// core/exec/watch.c: runs that are looked at: the monitor, and stopping at the first NaN.
//
// Slower than the plain loop, and allocating: each value is looked at where it lies, right after
// the node that made it, before its memory is used again.
#include "core/exec/exec.h"

#include <math.h>
#include <tenon/half.h>

// ------------------------------------------------------------------ values

// True if some element is no finite number.
static bool has_nonfinite(const void *data, tn_dtype dtype, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double x = 0;
        switch (dtype) {
        case TN_F32: x = (double)((const float *)data)[i]; break;
        case TN_F64: x = ((const double *)data)[i]; break;
        case TN_F16: x = (double)tn_f16_to_f32(((const uint16_t *)data)[i]); break;
        case TN_BF16: x = (double)tn_bf16_to_f32(((const uint16_t *)data)[i]); break;
        default: return false; // integers are always finite
        }
        if (!isfinite(x)) return true;
    }
    return false;
}

static tn_status watch_failed(tn_exec *e, const char *what)
{
    return tni_fail(&e->error, tn_env_status(e->env), NULL, "%s: %s", what, tn_env_error(e->env));
}

// ------------------------------------------------------------------ what is looked for

static tn_status check_finite(tn_exec *e, uint32_t node, uint32_t out, tn_tensor *value)
{
    const tni_node *n = &e->placed.g->nodes[node];
    tn_tensor *host = tn_tensor_data(value) ? tn_tensor_retain(value)
                                            : tn_tensor_cast(value, tn_tensor_dtype(value));
    char place[256] = "";
    if (!host) return watch_failed(e, n->name);
    const bool bad =
        has_nonfinite(tn_tensor_data(host), tn_tensor_dtype(host), tn_tensor_size(host));
    tn_tensor_release(host);
    if (!bad) return TN_OK;
    if (n->file) snprintf(place, sizeof place, "%s:%d", n->file, n->line);
    return tni_fail(&e->error, TN_E_INVALID, *place ? place : NULL,
                    "%s (%s): output %u has a NaN or an infinity, and no node before it had "
                    "(TENON_NAN=stop)",
                    n->name, n->op->decl.name, out);
}

static tn_status look_at(tn_exec *e, uint32_t node, uint32_t out)
{
    const uint32_t number = e->placed.g->nodes[node].value0 + out;
    tn_tensor *value = tni_plain_value(e, node, out);
    if (!value) return watch_failed(e, e->placed.g->nodes[node].name);
    tn_status status = e->stop_at_nan ? check_finite(e, node, out, value) : TN_OK;
    if (!status && e->monitor) {
        e->in_monitor = true;
        e->monitor(e->monitor_ctx, e->value_names[number], value);
        e->in_monitor = false;
    }
    tn_tensor_release(value);
    return status;
}

static tn_status look_at_node(tn_exec *e, uint32_t node)
{
    const tni_node *n = &e->placed.g->nodes[node];
    tn_status status = TN_OK;
    if (tni_is_variable(n)) return TN_OK;
    for (uint32_t o = 0; !status && o < n->n_out; o++) status = look_at(e, node, o);
    return status;
}

// ------------------------------------------------------------------ running

static tn_status run_row(tn_exec *e, size_t row)
{
    const tni_row *r = &e->rows[row];
    const tn_status status = r->run(r->kernel, &r->args);
    tni_uses_changed(e); // those who look are to see what it wrote
    return status ? tni_run_failed(e, row, status) : tni_run_finish(e);
}

// Rows and the nodes that they go with: those made of constants, or the others.
typedef struct stretch {
    size_t begin, end;
    uint32_t node, last;
    bool constants;
} stretch;

static tn_status look_until(tn_exec *e, stretch *s, uint32_t end)
{
    tn_status status = TN_OK;
    for (; !status && s->node < end; s->node++)
        if (tni_is_constant(e, s->node) == s->constants) status = look_at_node(e, s->node);
    return status;
}

static tn_status run_stretch(tn_exec *e, stretch s)
{
    tn_status status = TN_OK;
    for (size_t row = s.begin; !status && row < s.end; row++) {
        const uint32_t at = e->row_node[row];
        // Nodes in between do not run: identities that share memory, empty values.
        if (at) status = look_until(e, &s, at);
        if (!status) status = run_row(e, row);
        if (!status && at) status = look_until(e, &s, at + 1);
    }
    return status ? status : look_until(e, &s, s.last + 1);
}

tn_status tni_run_watched(tn_exec *e, size_t begin, size_t end)
{
    const bool forward = begin < e->n_forward_rows || e->n_rows == e->n_forward_rows;
    const uint32_t first = forward ? 1 : e->plan.n_forward + 1;
    const uint32_t last = forward ? e->plan.n_forward : (uint32_t)e->placed.g->n_nodes;
    tn_status status = tni_run_finish(e); // of earlier runs, whose values are looked at, too
    if (!status && begin < e->n_constant_rows) {
        status = run_stretch(e, (stretch){begin, e->n_constant_rows, first, last, true});
        begin = e->n_constant_rows;
    }
    if (!status) status = run_stretch(e, (stretch){begin, end, first, last, false});
    e->can_backward = e->can_backward && !status;
    return status;
}

// ------------------------------------------------------------------ the monitor

// Output `out` of a node; of one that others were made one of: as it was called there. NULL: out of
// memory.
static const char *name_of(tn_exec *e, uint32_t node, uint32_t out)
{
    tn_graph *g = e->placed.g;
    const tni_place *at = &e->placed.at[node];
    if (!at->fused) return tni_output_name(g, (tni_entry){node, out});
    char text[64];
    const uint32_t part = at->call->out_parts[out];
    const tn_call *c = at->call->parts[part].call;
    tni_op_out_name(tni_op_of(c->op), c->params, at->call->out_numbers[out], text);
    const char *name = at->fused->names[part];
    return tni_printf(&g->arena, "%s%s%s", name, *name ? "_" : "", text);
}

static bool name_values(tn_exec *e)
{
    tn_graph *g = e->placed.g;
    const char **names = calloc((size_t)g->n_values + 1, sizeof *names);
    for (uint32_t id = 1; names && id <= g->n_nodes; id++)
        for (uint32_t o = 0; o < g->nodes[id].n_out; o++) {
            const char *name = name_of(e, id, o);
            names[g->nodes[id].value0 + o] = name ? name : "";
        }
    e->value_names = names;
    return names != NULL;
}

void tn_exec_monitor(tn_exec *e, tn_monitor_fn fn, void *ctx)
{
    if (!e) return;
    if (fn && !e->value_names && !name_values(e)) {
        tni_fail(&e->error, TN_E_NOMEM, NULL, "monitor: out of memory");
        return;
    }
    e->monitor = fn;
    e->monitor_ctx = ctx;
}
