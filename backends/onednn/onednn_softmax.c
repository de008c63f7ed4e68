// backends/onednn/onednn_softmax.c: softmax, log_softmax, and their gradients.
#include "onednn.h"

static bool is_backward(const tn_call *c)
{
    return c->n_in == 2; // dy, y
}

static dnnl_primitive_desc_t descriptor(const tn_call *c, const dnnl_memory_desc_t *md,
                                        dnnl_primitive_desc_t *hint)
{
    const bool log = strstr(c->op->name, "log_softmax") != NULL;
    const dnnl_alg_kind_t kind = log ? dnnl_softmax_log : dnnl_softmax_accurate;
    const int64_t given = tn_call_i64(c, "axis", -1);
    const int axis = (int)(given < 0 ? given + c->out[0]->ndim : given);
    dnnl_softmax_v2_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    *hint = NULL;
    const int before = od_enter(od_threads(c));
    if (dnnl_softmax_v2_forward_desc_init(&d, dnnl_forward_training, kind, md, md, axis) ==
        dnnl_success)
        pd = od_descriptor(&d, NULL);
    if (pd && is_backward(c)) {
        *hint = pd;
        pd = dnnl_softmax_v2_backward_desc_init(&d, kind, md, md, md, axis) == dnnl_success
                 ? od_descriptor(&d, *hint)
                 : NULL;
    }
    od_leave(before);
    return pd;
}

static void destroy(dnnl_primitive_desc_t pd, dnnl_primitive_desc_t hint)
{
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (hint) dnnl_primitive_desc_destroy(hint);
}

// softmax(x / t): x is divided before, dx afterwards; 1: neither. In MXNet it may be None: NaN.
static double temperature(const tn_call *c)
{
    const double t = tn_call_f64(c, "temperature", 1);
    return isnan(t) ? 1 : t;
}

// Output = input / t, or the output itself / t.
static tn_status add_division(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *md,
                              od_from from)
{
    dnnl_eltwise_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    const float factor = (float)(1 / temperature(k->call));
    const int before = od_enter(od_threads(k->call));
    if (dnnl_eltwise_forward_desc_init(&d, dnnl_forward_inference, dnnl_eltwise_linear, md, factor,
                                       0) == dnnl_success)
        pd = od_descriptor(&d, NULL);
    od_leave(before);
    tn_status s = pd ? od_add(k, info, pd, 2) : od_fail(k, dnnl_unimplemented, "temperature");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, md, from, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, md, OD_OUT, 0);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return s;
}

static const char *cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    dnnl_primitive_desc_t hint;
    const dnnl_memory_desc_t md = od_plain(c->out[0], 0);
    dnnl_primitive_desc_t pd = descriptor(c, &md, &hint);
    const char *why = !pd ? od_no_primitive : od_score(pd) == 0 ? od_only_loops : NULL;
    destroy(pd, hint);
    return why;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const dnnl_memory_desc_t md = od_plain(k->call->out[0], 0);
    const bool back = is_backward(k->call);
    dnnl_primitive_desc_t hint, pd = descriptor(k->call, &md, &hint);
    const bool divides = temperature(k->call) != 1;
    tn_status s = !back && divides ? add_division(k, info, &md, OD_IN) : TN_OK;
    const od_from from = !back && divides ? OD_OUT : OD_IN;
    if (s == TN_OK) s = pd ? od_add(k, info, pd, 3) : od_fail(k, dnnl_unimplemented, "softmax");
    if (s == TN_OK) s = od_bind(k, back ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, &md, from, 0);
    if (s == TN_OK && back) s = od_bind(k, DNNL_ARG_DST, &md, OD_IN, 1);
    if (s == TN_OK) s = od_bind(k, back ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, &md, OD_OUT, 0);
    destroy(pd, hint);
    if (s == TN_OK && back && divides) s = add_division(k, info, &md, OD_OUT);
    return od_end(k, s);
}

#define ROW(op_)                                                                                   \
    {                                                                                              \
        .op = op_, .dtypes = OD_FLOATS, .flags = OD_FLAGS | TN_K_DETERMINISTIC, .impl = "softmax", \
        .state_size = sizeof(od_state), .cannot = cannot, .setup = setup, .run = od_run,           \
        .teardown = od_stop                                                                        \
    }

const tn_kernel_row onednn_softmax[] = {
    ROW("softmax"), ROW("log_softmax"), ROW("_backward_softmax"), ROW("_backward_log_softmax"), {0},
};
