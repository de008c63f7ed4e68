// core/exec/profile.c: runs that are measured: a clock around each row, for tn_exec_profile().
#include "core/exec/exec.h"

#include <time.h>

// ------------------------------------------------------------------ what stands in a row

static const char *op_of(const tn_exec *e, uint32_t node)
{
    if (!node || e->placed.at[node].kind == TNI_COPY) return "copy";
    if (e->placed.at[node].kind == TNI_REORDER) return "reorder";
    return e->placed.g->nodes[node].op->decl.name;
}

// "FullyConnected + Activation", "6 x sgd_mom_update"; "" for a node that stands for itself only.
// NULL: out of memory.
static const char *fused_of(tn_exec *e, uint32_t node)
{
    const tni_fused *fused = node ? e->placed.at[node].fused : NULL;
    tni_text text = {0};
    if (!fused) return "";
    if (fused->alike) tni_text_printf(&text, "%zu x %s", fused->n, fused->ops[0]);
    for (size_t i = 0; !fused->alike && i < fused->n; i++)
        tni_text_printf(&text, "%s%s", i ? " + " : "", fused->ops[i]);
    const char *kept = text.failed || !text.s ? NULL : tni_strdup(&e->arena, text.s);
    tni_text_free(&text);
    return kept;
}

static bool describe(tn_exec *e, size_t row, tn_profile_row *out)
{
    const uint32_t node = e->row_node[row];
    const tni_device *device = tni_row_device(e, row);
    const char *impl = node ? e->kernels[node].impl : NULL;
    const char *fused = fused_of(e, node);
    *out = (tn_profile_row){
        .name = node ? e->placed.g->nodes[node].name : "copy of an output or gradient",
        .op = op_of(e, node),
        .device = device ? device->uri : "host",
        .impl = impl ? impl : "",
        .fused = fused,
        .backward = row >= e->n_forward_rows,
        .once = row < e->n_constant_rows,
    };
    return fused != NULL;
}

// ------------------------------------------------------------------ switching

static tn_status out_of_memory(tn_exec *e)
{
    return tni_fail(&e->error, TN_E_NOMEM, NULL, "profile: out of memory");
}

static tn_status make_rows(tn_exec *e)
{
    tn_profile_row *rows = calloc(e->n_rows + 1, sizeof *rows);
    bool ok = rows != NULL;
    for (size_t i = 0; ok && i < e->n_rows; i++) ok = describe(e, i, &rows[i]);
    if (!ok) {
        free(rows);
        return out_of_memory(e);
    }
    e->profile = rows;
    return TN_OK;
}

tn_status tn_exec_profile(tn_exec *e, bool on)
{
    if (!e) return TN_E_INVALID;
    if (e->error.status) return e->error.status;
    e->is_profiled = false;
    if (!on) return TN_OK;
    if (!e->profile && make_rows(e)) return e->error.status;
    for (size_t i = 0; i < e->n_rows; i++) {
        tn_profile_row *r = &e->profile[i];
        r->runs = 0;
        r->total = r->least = r->last = r->began = 0.0;
    }
    e->is_profiled = true;
    return TN_OK;
}

const tn_profile_row *tn_exec_profile_row(const tn_exec *e, size_t i)
{
    return e && e->profile && i < e->n_rows ? &e->profile[i] : NULL;
}

// ------------------------------------------------------------------ running

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

tn_status tni_run_profiled(tn_exec *e, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const tni_row *row = &e->rows[i];
        tn_profile_row *p = &e->profile[i];
        p->began = now();
        tn_status status = row->run(row->kernel, &row->args);
        if (status) return tni_run_failed(e, i, status);
        status = tni_run_finish(e); // or the time would be that of putting it into the queue
        if (status) return status;
        p->last = now() - p->began;
        p->least = p->runs && p->least < p->last ? p->least : p->last;
        p->total += p->last;
        p->runs++;
    }
    return TN_OK;
}
