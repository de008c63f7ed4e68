// backends/onednn/onednn_layer_norm.c: LayerNorm along the last axis, and its gradient.
//
// Inputs data, gamma, beta; outputs output, mean, std. Where nobody asks for these, they are
// written all the same: oneDNN gives mean and variance, and two functions make the root of the
// latter. The gradient gets the variance back from the root.
#include "onednn.h"

static bool is_backward(const tn_call *c)
{
    return c->n_in == 5;
}

static bool reads_last_axis(const tn_call *c)
{
    const tn_value_info *x = c->in[0];
    return x->ndim > 0 && tn_axis(tn_call_i64(c, "axis", -1), x->ndim) == x->ndim - 1;
}

typedef struct norm {
    dnnl_memory_desc_t x, vector, statistics;
    dnnl_primitive_desc_t forward, pd; // the same, but for a gradient
} norm;

static void norm_free(norm *m)
{
    if (m->pd && m->pd != m->forward) dnnl_primitive_desc_destroy(m->pd);
    if (m->forward) dnnl_primitive_desc_destroy(m->forward);
}

static norm norm_of(const tn_call *c)
{
    const float eps = (float)tn_call_f64(c, "eps", 1e-5);
    const int64_t n = c->in[is_backward(c) ? 2 : 1]->size, rows = n ? c->in[0]->size / n : 0;
    const unsigned flags = dnnl_use_scale | dnnl_use_shift;
    norm m = {.x = od_dense(2, (const int64_t[]){rows, n}, TN_F32),
              .vector = od_dense(1, &n, TN_F32),
              .statistics = od_dense(1, &rows, TN_F32)};
    dnnl_layer_normalization_desc_t d;
    const int before = od_enter(od_threads(c));
    if (dnnl_layer_normalization_forward_desc_init(&d, dnnl_forward_training, &m.x, &m.statistics,
                                                   eps, flags) == dnnl_success)
        m.pd = m.forward = od_descriptor(&d, NULL);
    if (m.forward && is_backward(c))
        m.pd = dnnl_layer_normalization_backward_desc_init(
                   &d, dnnl_backward, &m.x, &m.x, &m.statistics, eps, flags) == dnnl_success
                   ? od_descriptor(&d, m.forward)
                   : NULL;
    od_leave(before);
    return m;
}

static const char *cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    if (!reads_last_axis(c)) return "oneDNN normalises along the last axis only";
    norm m = norm_of(c);
    const char *why = !m.pd ? od_no_primitive : od_score(m.pd) == 0 ? od_only_loops : NULL;
    norm_free(&m);
    return why;
}

// std = f(std)
static tn_status add_function(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *md,
                              dnnl_alg_kind_t kind, float alpha, float beta)
{
    dnnl_eltwise_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    const int before = od_enter(od_threads(k->call));
    if (dnnl_eltwise_forward_desc_init(&d, dnnl_forward_inference, kind, md, alpha, beta) ==
        dnnl_success)
        pd = od_descriptor(&d, NULL);
    od_leave(before);
    tn_status s = pd ? od_add(k, info, pd, 2) : od_fail(k, dnnl_unimplemented, "LayerNorm");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, md, OD_OUT, 2);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, md, OD_OUT, 2);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return s;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const float eps = (float)tn_call_f64(k->call, "eps", 1e-5);
    norm m = norm_of(k->call);
    tn_status s = m.pd ? od_add(k, info, m.pd, 6) : od_fail(k, dnnl_unimplemented, "LayerNorm");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &m.x, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SCALE, &m.vector, OD_IN, 1);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SHIFT, &m.vector, OD_IN, 2);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &m.x, OD_OUT, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_MEAN, &m.statistics, OD_OUT, 1);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_VARIANCE, &m.statistics, OD_OUT, 2);
    if (s == TN_OK) s = add_function(k, info, &m.statistics, dnnl_eltwise_linear, 1, eps);
    if (s == TN_OK) s = add_function(k, info, &m.statistics, dnnl_eltwise_sqrt, 0, 0);
    norm_free(&m);
    return od_end(k, s);
}

// ------------------------------------------------------------------ gradient
//
// dy, data, gamma, mean, std → ddata, dgamma, dbeta

typedef struct backward {
    od_state base;
    int64_t rows;
    double eps;
    uint64_t variance; // in scratch
} backward;

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    backward *b = k->state;
    norm m = norm_of(k->call);
    b->rows = k->call->in[4]->size;
    b->eps = tn_call_f64(k->call, "eps", 1e-5);
    b->variance = od_scratch(info, &m.statistics);
    tn_status s =
        m.pd ? od_add(k, info, m.pd, 10) : od_fail(k, dnnl_unimplemented, "_backward_LayerNorm");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_DST, &m.x, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &m.x, OD_IN, 1);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SCALE, &m.vector, OD_IN, 2);
    // oneDNN asks for beta, which it does not read and we do not have.
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SHIFT, &m.vector, OD_IN, 2);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_MEAN, &m.statistics, OD_IN, 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_VARIANCE, &m.statistics, OD_SCRATCH, b->variance);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_SRC, &m.x, OD_OUT, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_SCALE, &m.vector, OD_OUT, 1);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_SHIFT, &m.vector, OD_OUT, 2);
    norm_free(&m);
    return od_end(k, s);
}

static tn_status backward_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const backward *b = k->state;
    const float *std = a->in[4].host;
    float *variance = (float *)(void *)((char *)a->scratch.host + b->variance);
    for (int64_t i = 0; i < b->rows; i++)
        variance[i] = (float)((double)std[i] * (double)std[i] - b->eps);
    return od_run(k, a);
}

const tn_kernel_row onednn_layer_norm[] = {
    {.op = "LayerNorm",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS | TN_K_DETERMINISTIC,
     .impl = "layer normalisation",
     .state_size = sizeof(od_state),
     .cannot = cannot,
     .setup = setup,
     .run = od_run,
     .teardown = od_stop},
    {.op = "_backward_LayerNorm",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS,
     .impl = "layer normalisation",
     .state_size = sizeof(backward),
     .cannot = cannot,
     .setup = backward_setup,
     .run = backward_run,
     .teardown = od_stop},
    {0},
};
