// core/exec/report_exec.c: reports of an executor: the renderings with its kernels and its plan.
#include "core/exec/exec.h"

static uint64_t block_bytes(const tni_plan *plan, uint32_t block)
{
    return block ? plan->blocks.v[block].bytes : 0;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// An output has the memory of an input, though the node runs. Sorted: a call may have thousands
// of both.
static bool is_inplace(const tn_exec *e, const tni_node *n)
{
    const uint32_t *of_value = e->plan.of_value;
    uint32_t *outs = malloc((n->n_out + 1u) * sizeof *outs);
    bool found = false;
    if (!outs) return false;
    memcpy(outs, of_value + n->value0, n->n_out * sizeof *outs);
    qsort(outs, n->n_out, sizeof *outs, by_number);
    for (uint32_t i = 0; i < n->n_in && !found; i++) {
        const uint32_t *in = &of_value[tni_value(e->placed.g, n->in[i])];
        found = *in && bsearch(in, outs, n->n_out, sizeof *outs, by_number) != NULL;
    }
    free(outs);
    return found;
}

static tni_report_row row_of(const void *ctx, uint32_t node)
{
    const tn_exec *e = ctx;
    const bool elided = e->plan.elided[node];
    return (tni_report_row){
        .impl = elided ? NULL : e->kernels[node].impl,
        .scratch = block_bytes(&e->plan, e->plan.scratch[node]),
        .stash = block_bytes(&e->plan, e->plan.stash[node]),
        .inplace = !elided && is_inplace(e, tni_node_at(e->placed.g, node)),
        .elided = elided,
        .once = !elided && tni_is_constant(e, node),
    };
}

static tni_report_value value_of(const void *ctx, uint32_t value)
{
    const tn_exec *e = ctx;
    const uint32_t number = e->plan.of_value[value];
    if (!number) return (tni_report_value){"nowhere", UINT64_MAX};
    const tni_block *b = &e->plan.blocks.v[number];
    if (b->tensor) return (tni_report_value){"tensor", UINT64_MAX};
    return (tni_report_value){tni_report_memory(e->spaces[b->space].device), b->offset};
}

typedef void (*render_fn)(const tni_placed *p, const tni_report_info *info, tni_text *t);

// Rendered once: an executor does not change.
static const char *render(tn_exec *e, tni_text *t, render_fn fn)
{
    const tni_report_info info = {e, row_of, value_of, &e->memory};
    if (t->s && !t->failed) return t->s;
    tni_text_free(t);
    *t = (tni_text){0};
    fn(&e->placed, &info, t);
    if (!t->failed) return t->s ? t->s : "";
    tni_fail(&e->error, TN_E_NOMEM, NULL, "report: out of memory");
    return NULL;
}

const char *tn_exec_report_text(tn_exec *e)
{
    return e ? render(e, &e->report_text, tni_report_text) : NULL;
}

const char *tn_exec_report_json(tn_exec *e)
{
    return e ? render(e, &e->report_json, tni_report_json) : NULL;
}

const char *tn_exec_plan_text(tn_exec *e)
{
    return e ? render(e, &e->plan_text, tni_report_plan) : NULL;
}
