// backends/onednn/onednn_sum.c: add_n, the sum of values of one shape.
#include "onednn.h"

// What oneDNN is asked with; freed by the caller. NULL: out of memory.
typedef struct terms {
    dnnl_memory_desc_t *md;
    float *ones;
} terms;

static void terms_free(terms *t)
{
    free(t->md);
    free(t->ones);
}

static dnnl_primitive_desc_t descriptor(const tn_call *c, bool plain, terms *t)
{
    dnnl_primitive_desc_t pd = NULL;
    *t = (terms){calloc(c->n_in, sizeof *t->md), calloc(c->n_in, sizeof *t->ones)};
    if (!t->md || !t->ones || !od_engine()) return NULL;
    for (uint32_t i = 0; i < c->n_in; i++) {
        t->md[i] = plain ? od_plain(c->in[i], 0) : od_md(c->in[i], 0);
        t->ones[i] = 1;
    }
    const int before = od_enter(od_threads(c));
    if (dnnl_sum_primitive_desc_create(&pd, &t->md[0], (int)c->n_in, t->ones, t->md,
                                       od_attributes(), od_engine()) != dnnl_success)
        pd = NULL;
    od_leave(before);
    return pd;
}

static const char *cannot(const tn_call *c)
{
    terms t;
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    dnnl_primitive_desc_t pd = descriptor(c, true, &t);
    const char *why = !pd ? od_no_primitive : od_score(pd) == 0 ? od_only_loops : NULL;
    if (pd) dnnl_primitive_desc_destroy(pd);
    terms_free(&t);
    return why;
}

static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const uint32_t first[] = {0, 1, 2, 3, 4, 5, 6, 7};
    (void)host;
    od_follow(c, first, c->n_in < 8 ? c->n_in : 8, in, out);
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    terms t;
    dnnl_primitive_desc_t pd = descriptor(c, false, &t);
    tn_status s =
        pd ? od_add(k, info, pd, (int32_t)c->n_in + 1)
           : od_fail(k, t.md && t.ones ? dnnl_unimplemented : dnnl_out_of_memory, "add_n");
    for (uint32_t i = 0; i < c->n_in && s == TN_OK; i++)
        s = od_bind(k, DNNL_ARG_MULTIPLE_SRC + (int)i, &t.md[i], OD_IN, i);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &t.md[0], OD_OUT, 0);
    if (pd) dnnl_primitive_desc_destroy(pd);
    terms_free(&t);
    return od_end(k, s);
}

const tn_kernel_row onednn_sum[] = {
    {.op = "add_n",
     .dtypes = OD_FLOATS,
     .flags = OD_FLAGS | TN_K_DETERMINISTIC,
     .impl = "sum",
     .state_size = sizeof(od_state),
     .cannot = cannot,
     .setup = setup,
     .run = od_run,
     .teardown = od_stop,
     .layouts = layouts},
    {0},
};
