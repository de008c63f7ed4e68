// backends/onednn/onednn_reorder.c: brings a value from one layout into another.
#include "onednn_turn.h"

typedef struct reorder {
    od_state base;
    od_turn turn; // in place of steps
} reorder;

static tn_status add_reorder(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *from,
                             const dnnl_memory_desc_t *to, const od_place *a, const od_place *b)
{
    dnnl_primitive_desc_t pd = NULL;
    const int before = od_enter(od_workers(k));
    const dnnl_status_t status = dnnl_reorder_primitive_desc_create(&pd, from, od_engine(), to,
                                                                    od_engine(), od_attributes());
    od_leave(before);
    if (status != dnnl_success) return od_fail(k, status, "a reorder");
    tn_status s = od_add(k, info, pd, 2);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_FROM, from, a->from, a->index);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_TO, to, b->from, b->index);
    dnnl_primitive_desc_destroy(pd);
    return s;
}

// Weights that are cut into different groups on both sides go by way of row-major.
static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    reorder *r = k->state;
    const tn_value_info *x = k->call->in[0], *y = k->call->out[0];
    const int64_t gx = od_groups(&x->layout), gy = od_groups(&y->layout);
    const od_place in = {OD_IN, 0, 0, NULL}, out = {OD_OUT, 0, 0, NULL};
    if (od_turn_init(&r->turn, x, y)) {
        info->impl = "turn (no primitive)";
        return TN_OK;
    }
    if (!gx || !gy || gx == gy) {
        const dnnl_memory_desc_t from = od_md(x, gy ? gy : gx), to = od_md(y, gx ? gx : gy);
        return od_end(k, add_reorder(k, info, &from, &to, &in, &out));
    }
    const dnnl_memory_desc_t from = od_md(x, gx), to = od_md(y, gy);
    const dnnl_memory_desc_t plain[] = {od_plain(x, gx), od_plain(x, gy)};
    const od_place between = {OD_SCRATCH, od_scratch(info, &plain[0]), 0, NULL};
    tn_status s = add_reorder(k, info, &from, &plain[0], &in, &between);
    if (s == TN_OK) s = add_reorder(k, info, &plain[1], &to, &between, &out);
    return od_end(k, s);
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reorder *r = k->state;
    if (!r->turn.channels) return od_run(k, a);
    od_turn_run(k, a, &r->turn);
    return TN_OK;
}

const tn_kernel_row onednn_reorder[] = {
    {.op = "_reorder",
     .flags = OD_FLAGS | TN_K_DETERMINISTIC,
     .impl = "reorder",
     .state_size = sizeof(reorder),
     .setup = setup,
     .run = run,
     .teardown = od_stop},
};
