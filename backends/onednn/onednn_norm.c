// backends/onednn/onednn_norm.c: BatchNorm and its gradient.
//
// Which statistics are used depends on the mode of the run, so a kernel has two primitives: step 0
// for the moving ones and step 1 for those of the batch.
#include "onednn.h"

enum { GLOBAL, BATCH };

typedef struct norm {
    od_state base;
    int64_t channels;
    double momentum;
    bool fix_gamma, always_global;
} norm;

// Data with its channels on axis 1: as it lies, or, row-major, seen as (outer, c, 1, inner).
static dnnl_memory_desc_t data_of(const tn_call *c, const tn_value_info *x, bool plain)
{
    const int64_t given = tn_call_i64(c, "axis", 1), axis = given < 0 ? given + x->ndim : given;
    int64_t dims[4] = {1, 1, 1, 1};
    if (od_is_ours(&x->layout) && !plain) return od_md(x, 0);
    for (int32_t i = 0; i < x->ndim; i++) dims[i < axis ? 0 : i == axis ? 1 : 3] *= x->dims[i];
    if (axis != 1) return od_dense(4, dims, x->dtype);
    const dnnl_memory_desc_t last = od_last(x);
    return od_fits(&last, x) && !plain ? last : od_plain(x, 0);
}

static bool on_axis_one(const tn_call *c, const tn_value_info *x)
{
    const int64_t given = tn_call_i64(c, "axis", 1);
    return (given < 0 ? given + x->ndim : given) == 1;
}

static dnnl_primitive_desc_t forward_pd(const tn_call *c, const od_tail *tail,
                                        const dnnl_memory_desc_t *x, bool batch)
{
    const unsigned flags = (tn_call_bool(c, "fix_gamma", true) ? 0 : dnnl_use_scale) |
                           dnnl_use_shift | (batch ? 0 : dnnl_use_global_stats);
    dnnl_batch_normalization_desc_t d;
    if (dnnl_batch_normalization_forward_desc_init(
            &d, tail ? dnnl_forward_inference : dnnl_forward_training, x,
            (float)tn_call_f64(c, "eps", 1e-3), flags) != dnnl_success)
        return NULL;
    return od_descriptor_with(&d, tail, NULL);
}

static dnnl_primitive_desc_t backward_pd(const tn_call *c, const dnnl_memory_desc_t *x, bool batch,
                                         dnnl_primitive_desc_t hint)
{
    const unsigned flags = (tn_call_bool(c, "fix_gamma", true) ? 0 : dnnl_use_scale) |
                           dnnl_use_shift | (batch ? 0 : dnnl_use_global_stats);
    dnnl_batch_normalization_desc_t d;
    if (!hint || dnnl_batch_normalization_backward_desc_init(&d, dnnl_backward, x, x,
                                                             (float)tn_call_f64(c, "eps", 1e-3),
                                                             flags) != dnnl_success)
        return NULL;
    return od_descriptor(&d, hint);
}

static bool is_backward(const tn_call *c)
{
    return c->n_in == 7;
}

static const tn_value_info *data_info(const tn_call *c)
{
    return c->in[is_backward(c)];
}

static const char *norm_cannot(const tn_call *c)
{
    const tn_value_info *x = data_info(c);
    if (od_empty(c)) return od_no_elements;
    const dnnl_memory_desc_t md = data_of(c, x, true);
    const int before = od_enter(od_threads(c));
    const char *why = NULL;
    for (int batch = GLOBAL; batch <= BATCH && !why; batch++) {
        dnnl_primitive_desc_t pd = forward_pd(c, NULL, &md, batch), back = NULL;
        if (pd && is_backward(c)) back = backward_pd(c, &md, batch, pd);
        if (!pd || (is_backward(c) && !back))
            why = od_no_primitive;
        else if (od_score(is_backward(c) ? back : pd) == 0)
            why = od_only_loops;
        if (back) dnnl_primitive_desc_destroy(back);
        if (pd) dnnl_primitive_desc_destroy(pd);
    }
    od_leave(before);
    return why;
}

static tn_status norm_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                              tn_layout *out)
{
    const bool ours = on_axis_one(c, data_info(c));
    (void)host;
    od_follow(c, (const uint32_t[]){is_backward(c), 0}, ours ? 2 : 0, in, out);
    return TN_OK;
}

static void read_params(tn_sdk_kernel *k)
{
    norm *n = k->state;
    n->channels = k->call->out[1]->size;
    n->momentum = tn_call_f64(k->call, "momentum", 0.9);
    n->fix_gamma = tn_call_bool(k->call, "fix_gamma", true);
    n->always_global = tn_call_bool(k->call, "use_global_stats", false);
}

static bool of_batch(const norm *n, const tn_run_args *a)
{
    return (a->flags & TN_RUN_TRAIN) && !n->always_global;
}

// ------------------------------------------------------------------ forward
//
// data, gamma, beta, moving mean, moving variance → output, mean, variance

static tn_status add_forward(tn_sdk_kernel *k, const tn_call *call, const od_tail *tail,
                             tn_kernel_info *info, bool batch)
{
    const bool fix_gamma = tn_call_bool(call, "fix_gamma", true);
    const dnnl_memory_desc_t c = od_dense(1, &call->in[1]->size, TN_F32);
    const dnnl_memory_desc_t x = data_of(call, call->in[0], false);
    dnnl_primitive_desc_t pd = forward_pd(call, tail, &x, batch);
    if (!pd) return od_fail(k, dnnl_unimplemented, "BatchNorm");
    tn_status s = od_add(k, info, pd, 6);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &x, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &x, OD_OUT, 0);
    if (s == TN_OK && !fix_gamma) s = od_bind(k, DNNL_ARG_SCALE, &c, OD_IN, 1);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SHIFT, &c, OD_IN, 2);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_MEAN, &c, batch ? OD_OUT : OD_IN, batch ? 1 : 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_VARIANCE, &c, batch ? OD_OUT : OD_IN, batch ? 2 : 4);
    dnnl_primitive_desc_destroy(pd);
    return s;
}

static tn_status forward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    read_params(k);
    const int before = od_enter(od_workers(k));
    tn_status s = add_forward(k, k->call, NULL, info, GLOBAL);
    if (s == TN_OK) s = add_forward(k, k->call, NULL, info, BATCH);
    od_leave(before);
    return od_end(k, s);
}

static tn_status forward_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const norm *n = k->state;
    const bool batch = of_batch(n, a);
    const dnnl_status_t status = od_execute(k, a, batch);
    if (status != dnnl_success) return od_fail(k, status, "BatchNorm");
    for (uint32_t i = 0; i < 2 && !batch; i++)
        memcpy(a->out[1 + i].host, a->in[3 + i].host, (size_t)n->channels * sizeof(float));
    return TN_OK;
}

// ------------------------------------------------------------------ at the beginning of fused
// calls

static const char *leader_cannot(const tn_call *c, const od_tail *tail)
{
    if (!(c->flags & TN_CALL_INFERENCE)) return "statistics may be those of the batch";
    if (od_empty(c)) return od_no_elements;
    const dnnl_memory_desc_t md = data_of(c, c->in[0], true);
    const int before = od_enter(od_threads(c));
    dnnl_primitive_desc_t pd = forward_pd(c, tail, &md, GLOBAL);
    const char *why = !pd ? od_no_primitive : od_score(pd) == 0 ? od_only_loops : NULL;
    if (pd) dnnl_primitive_desc_destroy(pd);
    od_leave(before);
    return why;
}

static tn_status leader_layouts(const tn_call *c, const od_tail *tail, tn_layout *in,
                                tn_layout *out)
{
    (void)tail;
    od_follow(c, (const uint32_t[]){0}, on_axis_one(c, c->in[0]) ? 1 : 0, in, out);
    return TN_OK;
}

static tn_status leader_add(tn_sdk_kernel *k, const tn_call *c, const od_tail *tail,
                            tn_kernel_info *info)
{
    const int before = od_enter(od_workers(k));
    const tn_status s = add_forward(k, c, tail, info, GLOBAL);
    od_leave(before);
    return s;
}

const od_leader onednn_norm_leader = {"BatchNorm", leader_cannot, leader_layouts, leader_add};

// ------------------------------------------------------------------ backward
//
// dy, data, gamma, mean, variance, moving mean, moving variance → dx, dgamma, dbeta

static tn_status add_backward(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *x,
                              bool batch)
{
    const norm *n = k->state;
    const dnnl_memory_desc_t c = od_dense(1, &n->channels, TN_F32);
    dnnl_primitive_desc_t forward = forward_pd(k->call, NULL, x, batch);
    dnnl_primitive_desc_t pd = backward_pd(k->call, x, batch, forward);
    tn_status s = pd ? od_add(k, info, pd, 9) : od_fail(k, dnnl_unimplemented, "BatchNorm");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_DST, x, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, x, OD_IN, 1);
    if (s == TN_OK && !n->fix_gamma) s = od_bind(k, DNNL_ARG_SCALE, &c, OD_IN, 2);
    // oneDNN asks for beta, which it does not read and we do not have.
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SHIFT, &c, OD_IN, 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_MEAN, &c, OD_IN, 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_VARIANCE, &c, OD_IN, 4);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_SRC, x, OD_OUT, 0);
    if (s == TN_OK && !n->fix_gamma) s = od_bind(k, DNNL_ARG_DIFF_SCALE, &c, OD_OUT, 1);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_SHIFT, &c, OD_OUT, 2);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (forward) dnnl_primitive_desc_destroy(forward);
    return s;
}

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const dnnl_memory_desc_t x = data_of(k->call, k->call->in[1], false);
    read_params(k);
    const int before = od_enter(od_workers(k));
    tn_status s = add_backward(k, info, &x, GLOBAL);
    if (s == TN_OK) s = add_backward(k, info, &x, BATCH);
    od_leave(before);
    return od_end(k, s);
}

static tn_status backward_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const norm *n = k->state;
    const bool batch = of_batch(n, a);
    const dnnl_status_t status = od_execute(k, a, batch);
    if (status != dnnl_success) return od_fail(k, status, "_backward_BatchNorm");
    if (n->fix_gamma) memset(a->out[1].host, 0, (size_t)n->channels * sizeof(float));
    for (uint32_t i = 0; i < 2 && batch; i++) {
        const float *now = a->in[3 + i].host;
        float *moving = a->in[5 + i].host;
        for (int64_t c = 0; c < n->channels; c++)
            moving[c] =
                (float)(n->momentum * (double)moving[c] + (1 - n->momentum) * (double)now[c]);
    }
    return TN_OK;
}

#define ROW(op_, prefix_)                                                            \
    {                                                                                \
        .op = op_, .dtypes = OD_FLOATS, .flags = OD_FLAGS, .impl = "batch norm",     \
        .state_size = sizeof(norm), .cannot = norm_cannot, .setup = prefix_##_setup, \
        .run = prefix_##_run, .teardown = od_stop, .layouts = norm_layouts           \
    }

const tn_kernel_row onednn_norm[] = {
    ROW("BatchNorm", forward),
    ROW("_backward_BatchNorm", backward),
    {0},
};
