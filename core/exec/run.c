// core/exec/run.c: forward and backward: a loop over rows, and what is around it.
//
// Nothing here allocates, looks anything up or formats text while all goes well.
#include "core/exec/exec.h"

// ------------------------------------------------------------------ failing

const tni_device *tni_row_device(const tn_exec *e, size_t row)
{
    const uint32_t node = e->row_node[row];
    if (node && e->placed.at[node].kind != TNI_COPY) return e->placed.at[node].device;
    const tni_transfer *t = (const tni_transfer *)(const void *)e->rows[row].kernel;
    return t->to->device ? t->to->device : t->from->device;
}

tn_status tni_run_failed(tn_exec *e, size_t row, tn_status status)
{
    const uint32_t id = e->row_node[row];
    const tni_node *n = id ? &e->placed.g->nodes[id] : NULL;
    const tni_device *device = tni_row_device(e, row);
    const struct tni_plugin *plugin = n ? tni_kernel_plugin(e, id) : NULL;
    if (!plugin && device) plugin = device->backend->plugin;
    const char *reason = plugin ? tni_host_take_error(plugin) : "";
    char place[256] = "";
    if (n && n->file) snprintf(place, sizeof place, "%s:%d", n->file, n->line);
    e->can_backward = false;
    tni_fail(&e->error, status, *place ? place : NULL, "%s%s%s%s on %s: %s",
             n ? n->name : "copy of an output or gradient", n ? " (" : "",
             n ? n->op->decl.name : "", n ? ")" : "", device ? device->uri : "host",
             *reason ? reason : tn_status_text(status));
    tni_run_finish(e); // nothing is left running; its own failure comes second, and so is not kept
    return status;
}

tn_status tni_run_finish(tn_exec *e)
{
    tn_status first = TN_OK;
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        const tn_status status = e->spaces[i].queue ? tni_space_finish(e, &e->spaces[i]) : TN_OK;
        if (!first) first = status;
    }
    return first;
}

// ------------------------------------------------------------------ running

static tn_status run_plainly(tn_exec *e, size_t begin, size_t end)
{
    const tni_row *row = e->rows + begin, *const last = e->rows + end;
    for (; row < last; row++) {
        const tn_status status = row->run(row->kernel, &row->args);
        if (__builtin_expect(status != TN_OK, 0))
            return tni_run_failed(e, (size_t)(row - e->rows), status);
    }
    return TN_OK;
}

static tn_status run_rows(tn_exec *e, size_t begin, size_t end)
{
    const bool watched = e->monitor || e->stop_at_nan;
    if (e->in_monitor)
        return tni_fail(&e->error, TN_E_INVALID, NULL,
                        "run: called from the executor's own monitor, within a run of it");
    const tn_status status = tni_run_begin(e);
    if (status) return status;
    return tni_run_end(e, watched          ? tni_run_watched(e, begin, end)
                          : e->is_profiled ? tni_run_profiled(e, begin, end)
                                           : run_plainly(e, begin, end));
}

static void set_mode(tn_exec *e, bool is_train)
{
    if (e->trains == is_train) return;
    e->trains = is_train;
    for (size_t i = 0; i < e->n_mode_rows; i++)
        e->rows[e->mode_rows[i]].args.flags = is_train ? TN_RUN_TRAIN : 0;
}

// Random rows get a counter of their own in each forward: its number, and theirs.
static void set_counters(tn_exec *e)
{
    for (size_t i = 0; i < e->n_random_rows; i++) {
        tn_run_args *a = &e->rows[e->random_rows[i].row].args;
        a->rng_key = e->seed;
        a->rng_counter = e->runs << 32 | e->random_rows[i].number;
    }
    e->runs++;
}

tn_status tn_forward(tn_exec *e, bool is_train)
{
    if (!e) return TN_E_INVALID;
    if (e->error.status) return e->error.status;
    if (e->inference && is_train)
        return tni_fail(&e->error, TN_E_INVALID, NULL,
                        "forward: is_train, and the executor is for inference: it was bound with "
                        ".inputs");
    e->can_backward = false;
    set_mode(e, is_train);
    set_counters(e);
    const bool skip = e->is_fresh && !e->shares && (e->inference || !e->monitor);
    const tn_status status = run_rows(e, skip ? e->n_constant_rows : 0, e->n_forward_rows);
    e->is_fresh = !status;
    e->can_backward = !status; // after an inference forward: gradients of the inference mode
    return status;
}

// ------------------------------------------------------------------ head gradients

// Has backward to be given one for output i?
static bool wants_head(const tn_exec *e, size_t i)
{
    return !e->is_loss[i] && !e->head_given[i];
}

// Names of outputs that still need a head gradient, for messages.
static tn_status missing_heads(tn_exec *e, size_t given)
{
    tni_text text = {0};
    for (size_t i = 0; i < e->outs.n; i++)
        if (wants_head(e, i)) tni_text_printf(&text, "%s%s", text.n ? ", " : "", e->outs.v[i]);
    const tn_status status = tni_fail(
        &e->error, TN_E_INVALID, NULL,
        "backward: %zu head gradients are given, and %zu outputs need one: %s; an output that "
        "is a loss needs none (see make_loss)",
        given, e->n_heads, text.s ? text.s : "?");
    tni_text_free(&text);
    return status;
}

// The head gradient of output i, the `needed`th of those that want one; NULL: not given.
static tn_tensor *head_of(const tn_exec *e, tn_tensors heads, size_t i, size_t needed)
{
    const size_t at = heads.n == e->outs.n ? i : needed;
    for (size_t k = 0; k < heads.n; k++) {
        const tn_named_tensor *head = &heads.v[(at + k) % heads.n]; // most lists are in order
        if (head->name && strcmp(head->name, e->outs.v[i]) == 0) return head->tensor;
    }
    const bool counts = heads.n == e->outs.n || wants_head(e, i);
    return counts && at < heads.n && !heads.v[at].name ? heads.v[at].tensor : NULL;
}

static tn_status check_head(tn_exec *e, size_t i, const tn_tensor *given)
{
    const tn_tensor *wanted = e->head[i];
    if (e->head_given[i])
        return tni_same_place(given, wanted)
                   ? TN_OK
                   : tni_fail(
                         &e->error, TN_E_INVALID, NULL,
                         "backward: head gradient of %s: the bind had another tensor in .heads",
                         e->outs.v[i]);
    bool equal = given->shape.ndim == wanted->shape.ndim;
    for (int32_t d = 0; equal && d < wanted->shape.ndim; d++)
        equal = given->shape.dim[d] == wanted->shape.dim[d];
    if (equal) return TN_OK;
    tni_text text = {0};
    tni_text_shape(&text, &given->shape);
    tni_text_printf(&text, ", wanted ");
    tni_text_shape(&text, &wanted->shape);
    const tn_status status =
        tni_fail(&e->error, TN_E_SHAPE, NULL, "backward: head gradient of %s: shape %s",
                 e->outs.v[i], text.s ? text.s : "?");
    tni_text_free(&text);
    return status;
}

static tn_status check_names(tn_exec *e, tn_tensors heads)
{
    uint32_t at = 0;
    if (heads.n && !heads.v)
        return tni_fail(&e->error, TN_E_INVALID, NULL, "backward: %zu head gradients, and no list",
                        heads.n);
    for (size_t k = 0; k < heads.n; k++) {
        const char *where = "backward: head gradients";
        if (!heads.v[k].name) continue;
        if (!tni_map_get(&e->outs.index, heads.v[k].name, &at))
            return tni_exec_unknown(e, where, "output", heads.v[k].name, &e->outs, NULL);
        if (tni_output_ambiguous(e, &e->error, where, at)) return e->error.status;
    }
    return TN_OK;
}

static tn_status copy_heads(tn_exec *e, tn_tensors heads)
{
    tn_status status = check_names(e, heads);
    for (size_t i = 0, needed = 0; !status && i < e->outs.n; i++) {
        const tn_tensor *given = e->is_loss[i] ? NULL : head_of(e, heads, i, needed);
        needed += wants_head(e, i);
        if (!e->head[i] || (!given && e->head_given[i])) continue;
        status = given ? check_head(e, i, given) : missing_heads(e, heads.n);
    }
    for (size_t i = 0, needed = 0; !status && i < e->outs.n; i++) {
        tn_tensor *given = e->is_loss[i] ? NULL : head_of(e, heads, i, needed);
        needed += wants_head(e, i);
        if (!e->head[i] || e->head_given[i]) continue;
        status = tn_tensor_copy(e->head[i], given);
        if (status)
            tni_fail(&e->error, status, NULL, "backward: head gradient of %s: %s", e->outs.v[i],
                     tn_env_error(e->env));
    }
    return status;
}

tn_status tn_backward(tn_exec *e, tn_tensors heads)
{
    if (!e) return TN_E_INVALID;
    if (e->error.status) return e->error.status;
    if (!e->training) return TN_OK;
    if (!e->can_backward)
        return tni_fail(&e->error, TN_E_INVALID, NULL,
                        "backward: it wants the values of a forward, and uses them up: call "
                        "tn_forward() before each tn_backward()");
    tn_status status = copy_heads(e, heads);
    if (status) return status;
    e->can_backward = (e->flags & TN_BIND_NO_REUSE) != 0;
    return run_rows(e, e->n_forward_rows, e->n_rows);
}
