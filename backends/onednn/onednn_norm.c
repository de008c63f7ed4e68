// backends/onednn/onednn_norm.c: BatchNorm and its gradient, alone or with the relu behind it.
//
// Which statistics are used depends on the mode of the run, so a kernel has two primitives: step 0
// for the moving ones and step 1 for those of the batch.
//
// With relu the forward keeps a bit for each element in the stash: was it positive? So the gradient
// reads neither results nor another pass over dy.
//
// Rows of channels whose number is no multiple of a vector, and row-major planes, go by loops
// (onednn_rows.c, onednn_planes.c).
#include "onednn_rows.h"

enum { GLOBAL, BATCH };

// A BatchNorm or its gradient, and which inputs and outputs of the call at hand are its own.
typedef struct places {
    const tn_call *own; // its own call: of parameters
    int32_t in[7];
    int32_t out[3]; // -1: nobody reads it
    bool relu;
} places;

typedef struct norm {
    od_state base;
    places at;
    od_rows rows; // in place of steps; channels 0: it has steps
    int64_t channels;
    double momentum;
    bool fix_gamma, always_global;
} norm;

static places places_of(const tn_call *c)
{
    return (places){c, {0, 1, 2, 3, 4, 5, 6}, {0, 1, 2}, false};
}

// Data with their channels on axis 1: as they lie, or, row-major, seen as (outer, c, 1, inner).
// Rows of channels are (1, c, rows, 1) with channels last, for which oneDNN has code of its own.
static dnnl_memory_desc_t data_of(const tn_call *c, const tn_value_info *x, bool plain)
{
    const int64_t given = tn_call_i64(c, "axis", 1), axis = given < 0 ? given + x->ndim : given;
    int64_t dims[4] = {1, 1, 1, 1};
    if (od_is_ours(&x->layout) && !plain) return od_md(x, 0);
    for (int32_t i = 0; i < x->ndim; i++) dims[i < axis ? 0 : i == axis ? 1 : 3] *= x->dims[i];
    if (dims[3] == 1) return od_dense_last((const int64_t[]){1, dims[1], dims[0], 1}, x->dtype);
    if (axis != 1) return od_dense(4, dims, x->dtype);
    const dnnl_memory_desc_t last = od_last(x);
    return od_fits(&last, x) && !plain ? last : od_plain(x, 0);
}

static bool on_axis_one(const tn_call *c, const tn_value_info *x)
{
    const int64_t given = tn_call_i64(c, "axis", 1);
    return (given < 0 ? given + x->ndim : given) == 1;
}

static unsigned flags_of(const tn_call *c, bool relu, bool batch)
{
    return (tn_call_bool(c, "fix_gamma", true) ? 0u : dnnl_use_scale) | dnnl_use_shift |
           (relu ? dnnl_fuse_norm_relu : 0u) | (batch ? 0u : dnnl_use_global_stats);
}

static dnnl_primitive_desc_t forward_pd(const tn_call *c, bool relu, const od_tail *tail,
                                        const dnnl_memory_desc_t *x, bool batch)
{
    dnnl_batch_normalization_desc_t d;
    if (dnnl_batch_normalization_forward_desc_init(
            &d, tail ? dnnl_forward_inference : dnnl_forward_training, x,
            (float)tn_call_f64(c, "eps", 1e-3), flags_of(c, relu, batch)) != dnnl_success)
        return NULL;
    return od_descriptor_with(&d, tail, NULL);
}

static dnnl_primitive_desc_t backward_pd(const tn_call *c, bool relu, const dnnl_memory_desc_t *x,
                                         bool batch, dnnl_primitive_desc_t hint)
{
    dnnl_batch_normalization_desc_t d;
    if (!hint || dnnl_batch_normalization_backward_desc_init(
                     &d, dnnl_backward, x, x, (float)tn_call_f64(c, "eps", 1e-3),
                     flags_of(c, relu, batch)) != dnnl_success)
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

static const char *no_primitive(const tn_call *c, bool relu)
{
    const dnnl_memory_desc_t md = data_of(c, data_info(c), true);
    const int before = od_enter(od_threads(c));
    const char *why = NULL;
    for (int batch = GLOBAL; batch <= BATCH && !why; batch++) {
        dnnl_primitive_desc_t pd = forward_pd(c, relu, NULL, &md, batch), back = NULL;
        if (pd && is_backward(c)) back = backward_pd(c, relu, &md, batch, pd);
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

static const char *norm_cannot(const tn_call *c)
{
    return od_empty(c) ? od_no_elements : no_primitive(c, false);
}

static tn_status norm_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                              tn_layout *out)
{
    const bool ours = on_axis_one(c, data_info(c));
    (void)host;
    od_follow(c, (const uint32_t[]){is_backward(c), 0}, ours ? 2 : 0, in, out);
    return TN_OK;
}

static void read_params(tn_sdk_kernel *k, places at)
{
    norm *n = k->state;
    n->at = at;
    n->channels = at.own->out[1]->size;
    n->momentum = tn_call_f64(at.own, "momentum", 0.9);
    n->fix_gamma = tn_call_bool(at.own, "fix_gamma", true);
    n->always_global = tn_call_bool(at.own, "use_global_stats", false);
}

// True: its data are rows, and that is all that the setup needs.
static bool goes_by_rows(tn_sdk_kernel *k, const places *at, const tn_value_info *x,
                         tn_kernel_info *info)
{
    norm *n = k->state;
    const int64_t axis = tn_call_i64(at->own, "axis", 1);
    if (!od_rows_init(&n->rows, x, axis < 0 ? axis + x->ndim : axis, info)) return false;
    n->rows.eps = tn_call_f64(at->own, "eps", 1e-3);
    n->rows.relu = at->relu;
    if (at->relu && !is_backward(at->own))
        info->stash_bytes = 2 * (uint64_t)n->channels * sizeof(float);
    info->impl = n->rows.plane ? "planes (no primitive)" : "rows (no primitive)";
    return true;
}

static const float *in_of(const tn_run_args *a, const places *at, int i)
{
    return a->in[at->in[i]].host;
}

static float *out_of(const tn_run_args *a, const places *at, int o)
{
    return at->out[o] < 0 ? NULL : a->out[at->out[o]].host;
}

// As output `out` of the call, or in scratch if nobody reads it.
static tn_status bind_out(tn_sdk_kernel *k, tn_kernel_info *info, int arg,
                          const dnnl_memory_desc_t *md, int32_t out)
{
    return out < 0 ? od_bind(k, arg, md, OD_SCRATCH, od_scratch(info, md))
                   : od_bind(k, arg, md, OD_OUT, (uint64_t)out);
}

static tn_status bind_in(tn_sdk_kernel *k, int arg, const dnnl_memory_desc_t *md, int32_t in)
{
    return od_bind(k, arg, md, OD_IN, (uint64_t)in);
}

static tn_status bind_signs(tn_sdk_kernel *k, const_dnnl_primitive_desc_t pd)
{
    const dnnl_memory_desc_t md = od_query(pd, dnnl_query_workspace_md, 0);
    return od_bind(k, DNNL_ARG_WORKSPACE, &md, OD_STASH, 0);
}

static bool of_batch(const norm *n, const tn_run_args *a)
{
    return (a->flags & TN_RUN_TRAIN) && !n->always_global;
}

// ------------------------------------------------------------------ forward
//
// data, gamma, beta, moving mean, moving variance → output, mean, variance

static tn_status add_forward(tn_sdk_kernel *k, const tn_call *call, const places *at,
                             const od_tail *tail, tn_kernel_info *info, bool batch)
{
    const dnnl_memory_desc_t c = od_dense(1, &at->own->in[1]->size, TN_F32);
    const dnnl_memory_desc_t x = data_of(at->own, call->in[at->in[0]], false);
    dnnl_primitive_desc_t pd = forward_pd(at->own, at->relu, tail, &x, batch);
    if (!pd) return od_fail(k, dnnl_unimplemented, "BatchNorm");
    tn_status s = od_add(k, info, pd, 7);
    if (s == TN_OK) s = bind_in(k, DNNL_ARG_SRC, &x, at->in[0]);
    if (s == TN_OK) s = bind_out(k, info, DNNL_ARG_DST, &x, at->out[0]);
    if (s == TN_OK && !tn_call_bool(at->own, "fix_gamma", true))
        s = bind_in(k, DNNL_ARG_SCALE, &c, at->in[1]);
    if (s == TN_OK) s = bind_in(k, DNNL_ARG_SHIFT, &c, at->in[2]);
    for (int i = 0; i < 2 && s == TN_OK; i++) {
        const int arg = i ? DNNL_ARG_VARIANCE : DNNL_ARG_MEAN;
        s = batch ? bind_out(k, info, arg, &c, at->out[1 + i]) : bind_in(k, arg, &c, at->in[3 + i]);
    }
    if (s == TN_OK && at->relu) {
        const dnnl_memory_desc_t signs = od_query(pd, dnnl_query_workspace_md, 0);
        info->stash_bytes = dnnl_memory_desc_get_size(&signs);
        s = bind_signs(k, pd);
    }
    dnnl_primitive_desc_destroy(pd);
    return s;
}

static tn_status setup_forward(tn_sdk_kernel *k, places at, tn_kernel_info *info)
{
    read_params(k, at);
    if (goes_by_rows(k, &at, k->call->in[at.in[0]], info)) return TN_OK;
    const int before = od_enter(od_workers(k));
    tn_status s = add_forward(k, k->call, &at, NULL, info, GLOBAL);
    if (s == TN_OK) s = add_forward(k, k->call, &at, NULL, info, BATCH);
    od_leave(before);
    return od_end(k, s);
}

static tn_status forward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return setup_forward(k, places_of(k->call), info);
}

static tn_status rows_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const norm *n = k->state;
    const places *at = &n->at;
    const bool batch = of_batch(n, a);
    const od_rows_forward f = {.x = in_of(a, at, 0),
                               .gamma = n->fix_gamma ? NULL : in_of(a, at, 1),
                               .beta = in_of(a, at, 2),
                               .mean = batch ? NULL : in_of(a, at, 3),
                               .var = batch ? NULL : in_of(a, at, 4),
                               .y = out_of(a, at, 0),
                               .own_mean = out_of(a, at, 1),
                               .own_var = out_of(a, at, 2)};
    od_rows_run(k, a, &n->rows, &f);
    return TN_OK;
}

static tn_status forward_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const norm *n = k->state;
    const bool batch = of_batch(n, a);
    if (n->rows.channels) return rows_run(k, a);
    const dnnl_status_t status = od_execute(k, a, batch);
    if (status != dnnl_success) return od_fail(k, status, "BatchNorm");
    for (int i = 0; i < 2 && !batch; i++)
        if (n->at.out[1 + i] >= 0)
            memcpy(a->out[n->at.out[1 + i]].host, a->in[n->at.in[3 + i]].host,
                   (size_t)n->channels * sizeof(float));
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
    dnnl_primitive_desc_t pd = forward_pd(c, false, tail, &md, GLOBAL);
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
    const places at = places_of(c);
    const int before = od_enter(od_workers(k));
    const tn_status s = add_forward(k, c, &at, tail, info, GLOBAL);
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
    const places *at = &n->at;
    const dnnl_memory_desc_t c = od_dense(1, &n->channels, TN_F32);
    dnnl_primitive_desc_t forward = forward_pd(at->own, at->relu, NULL, x, batch);
    dnnl_primitive_desc_t pd = backward_pd(at->own, at->relu, x, batch, forward);
    tn_status s = pd ? od_add(k, info, pd, 10) : od_fail(k, dnnl_unimplemented, "BatchNorm");
    if (s == TN_OK) s = bind_in(k, DNNL_ARG_DIFF_DST, x, at->in[0]);
    if (s == TN_OK) s = bind_in(k, DNNL_ARG_SRC, x, at->in[1]);
    if (s == TN_OK && !n->fix_gamma) s = bind_in(k, DNNL_ARG_SCALE, &c, at->in[2]);
    // oneDNN asks for beta, which it does not read and we do not have.
    if (s == TN_OK) s = bind_in(k, DNNL_ARG_SHIFT, &c, at->in[3]);
    if (s == TN_OK) s = bind_in(k, DNNL_ARG_MEAN, &c, at->in[3]);
    if (s == TN_OK) s = bind_in(k, DNNL_ARG_VARIANCE, &c, at->in[4]);
    if (s == TN_OK) s = bind_out(k, info, DNNL_ARG_DIFF_SRC, x, at->out[0]);
    if (s == TN_OK && !n->fix_gamma) s = bind_out(k, info, DNNL_ARG_DIFF_SCALE, &c, at->out[1]);
    if (s == TN_OK) s = bind_out(k, info, DNNL_ARG_DIFF_SHIFT, &c, at->out[2]);
    if (s == TN_OK && at->relu) s = bind_signs(k, pd);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (forward) dnnl_primitive_desc_destroy(forward);
    return s;
}

static tn_status setup_backward(tn_sdk_kernel *k, places at, tn_kernel_info *info)
{
    const dnnl_memory_desc_t x = data_of(at.own, k->call->in[at.in[1]], false);
    read_params(k, at);
    if (goes_by_rows(k, &at, k->call->in[at.in[1]], info)) return TN_OK;
    const int before = od_enter(od_workers(k));
    tn_status s = add_backward(k, info, &x, GLOBAL);
    if (s == TN_OK) s = add_backward(k, info, &x, BATCH);
    od_leave(before);
    return od_end(k, s);
}

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return setup_backward(k, places_of(k->call), info);
}

static tn_status backward_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const norm *n = k->state;
    const places *at = &n->at;
    const bool batch = of_batch(n, a);
    const od_rows_backward b = {.dy = in_of(a, at, 0),
                                .x = in_of(a, at, 1),
                                .gamma = n->fix_gamma ? NULL : in_of(a, at, 2),
                                .mean = in_of(a, at, 3),
                                .var = in_of(a, at, 4),
                                .dx = out_of(a, at, 0),
                                .dgamma = n->fix_gamma ? NULL : out_of(a, at, 1),
                                .dbeta = out_of(a, at, 2),
                                .batch = batch};
    if (n->rows.channels) od_rows_back(k, a, &n->rows, &b);
    const dnnl_status_t status = n->rows.channels ? dnnl_success : od_execute(k, a, batch);
    if (status != dnnl_success) return od_fail(k, status, "_backward_BatchNorm");
    if (n->fix_gamma && at->out[1] >= 0)
        memset(a->out[at->out[1]].host, 0, (size_t)n->channels * sizeof(float));
    for (uint32_t i = 0; i < 2 && batch; i++) {
        const float *now = a->in[at->in[3 + i]].host;
        float *moving = a->in[at->in[5 + i]].host;
        for (int64_t c = 0; c < n->channels; c++)
            moving[c] =
                (float)(n->momentum * (double)moving[c] + (1 - n->momentum) * (double)now[c]);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ with relu
//
//     BatchNorm → relu                          while training: alone its moments leave, too
//     gradient of relu → gradient of BatchNorm  if the forward was such a call

static bool is_relu(const tn_call *part)
{
    dnnl_alg_kind_t kind;
    float alpha, beta;
    return od_function(part, &kind, &alpha, &beta) && kind == dnnl_eltwise_relu && alpha == 0;
}

// Finds the values of part `norm` in the fused call c; the part before it gives its input 0, or the
// one behind it takes its output 0.
static places fused_places(const tn_call *c, uint32_t part)
{
    const tn_part *p = &c->parts[part];
    places at = {p->call, {0}, {-1, -1, -1}, true};
    for (uint32_t i = 0; i < p->call->n_in && i < 7; i++)
        at.in[i] = p->from[i] >= 0 ? p->from[i] : c->parts[0].from[0];
    for (uint32_t o = 0; o < c->n_out; o++)
        if (c->out_parts[o] == part)
            at.out[c->out_numbers[o]] = (int32_t)o;
        else
            at.out[0] = (int32_t)o;
    return at;
}

static const char *relu_cannot(const tn_call *c)
{
    const tn_part *p = c->parts;
    if (c->n_parts != 2 || strcmp(p[0].call->op->name, "BatchNorm") != 0 || !is_relu(p[1].call))
        return "no BatchNorm and relu";
    if (c->flags & TN_CALL_INFERENCE) return "its statistics are no batch's";
    if (od_empty(c)) return od_no_elements;
    for (uint32_t o = 0; o < c->n_out; o++)
        if (c->out_parts[o] == 0 && c->out_numbers[o] == 0)
            return "a result in the middle is needed, too";
    return no_primitive(p[0].call, true);
}

static const char *relu_back_cannot(const tn_call *c)
{
    const tn_part *p = c->parts;
    if (c->n_parts != 2 || strcmp(p[0].call->op->name, "_backward_relu") != 0 ||
        strcmp(p[1].call->op->name, "_backward_BatchNorm") != 0 || p[1].from[0] != -1)
        return "no gradients of relu and BatchNorm";
    if (!c->forward || relu_cannot(c->forward)) return "the forward keeps no signs";
    if (od_empty(c)) return od_no_elements;
    for (uint32_t o = 0; o < c->n_out; o++)
        if (c->out_parts[o] == 0) return "a result in the middle is needed, too";
    return no_primitive(p[1].call, true);
}

// The data and its gradients lie as the data did in forward.
static void same_layout(const tn_call *c, const places *at, const tn_layout *l, tn_layout *in,
                        tn_layout *out)
{
    const bool ours = od_is_ours(l) && on_axis_one(at->own, data_info(at->own));
    const bool backward = is_backward(at->own);
    for (uint32_t i = 0; i < at->own->n_in; i++)
        in[at->in[i]] = ours && i <= backward ? *l : (tn_layout){NULL, 0, 0};
    for (uint32_t o = 0; o < c->n_out; o++)
        if (ours && (int32_t)o == at->out[0]) out[o] = *l;
}

static tn_status relu_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                              tn_layout *out)
{
    const places at = fused_places(c, 0);
    const tn_layout l = c->in[at.in[0]]->layout;
    (void)host;
    same_layout(c, &at, &l, in, out);
    return TN_OK;
}

static tn_status relu_back_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                                   tn_layout *out)
{
    const places at = fused_places(c, 1), forward = fused_places(c->forward, 0);
    (void)host;
    same_layout(c, &at, &c->forward->in[forward.in[0]]->layout, in, out);
    return TN_OK;
}

static tn_status relu_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return setup_forward(k, fused_places(k->call, 0), info);
}

static tn_status relu_back_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return setup_backward(k, fused_places(k->call, 1), info);
}

#define RELU(prefix_, run_)                                                                    \
    {                                                                                          \
        .op = "_fused", .dtypes = OD_FLOATS, .flags = OD_FLAGS, .impl = "batch norm and relu", \
        .state_size = sizeof(norm), .cannot = prefix_##_cannot, .setup = prefix_##_setup,      \
        .run = run_, .teardown = od_stop, .layouts = prefix_##_layouts                         \
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
    RELU(relu, forward_run),
    RELU(relu_back, backward_run),
    {0},
};
