// backends/onednn/onednn_pool.c: Pooling and its gradients.
//
// The gradient of max needs to know where the maxima were. The forward kernel keeps that in its
// stash if it is on this device; otherwise the backward kernel pools again into scratch memory.
#include "onednn.h"

typedef struct window {
    dnnl_alg_kind_t kind;
    dnnl_dims_t strides, kernel, left, right;
    const char *why_not; // oneDNN's windows are not ours; NULL: they are
} window;

static window window_of(const tn_call *c, const tn_value_info *x, const tn_value_info *y)
{
    const tn_ints kernel = tn_call_ints(c, "kernel"), stride = tn_call_ints(c, "stride");
    const tn_ints pad = tn_call_ints(c, "pad");
    const bool global = tn_call_bool(c, "global_pool", false);
    const bool count_pad = tn_call_bool(c, "count_include_pad", true);
    window w = {.kind = dnnl_pooling_max};
    if (tn_call_is(c, "pool_type", "avg"))
        w.kind = count_pad ? dnnl_pooling_avg_include_padding : dnnl_pooling_avg_exclude_padding;
    if (tn_call_is(c, "pool_type", "sum")) w.why_not = "oneDNN does not sum over windows";
    for (int32_t i = 0; i < x->ndim - 2; i++) {
        w.kernel[i] = global ? x->dims[2 + i] : kernel.v[i];
        w.strides[i] = global ? 1 : tn_entry(stride, i, 1);
        w.left[i] = global ? 0 : tn_entry(pad, i, 0);
        const int64_t needed =
            (y->dims[2 + i] - 1) * w.strides[i] + w.kernel[i] - x->dims[2 + i] - w.left[i];
        w.right[i] = needed > w.left[i] ? needed : w.left[i];
        if (needed >= w.kernel[i]) w.why_not = "a window that lies beyond the data";
        if (needed > w.left[i] && w.kind == dnnl_pooling_avg_include_padding)
            w.why_not =
                "a mean over windows that reach beyond the padding: oneDNN counts all of it";
    }
    return w;
}

static dnnl_primitive_desc_t forward_pd(const tn_call *c, const tn_value_info *x,
                                        const tn_value_info *y, const dnnl_memory_desc_t *mx,
                                        const dnnl_memory_desc_t *my, bool training)
{
    const window w = window_of(c, x, y);
    dnnl_pooling_desc_t d;
    if (w.why_not || dnnl_pooling_forward_desc_init(
                         &d, training ? dnnl_forward_training : dnnl_forward_inference, w.kind, mx,
                         my, w.strides, w.kernel, w.left, w.right) != dnnl_success)
        return NULL;
    return od_descriptor(&d, NULL);
}

// ------------------------------------------------------------------ forward

static dnnl_primitive_desc_t make(const od_problem *p, const dnnl_memory_desc_t *md,
                                  dnnl_primitive_desc_t *hint)
{
    (void)hint;
    return forward_pd(p->call, p->v[0].info, p->v[1].info, &md[0], &md[1],
                      p->call->flags & TN_CALL_TRAINING);
}

static od_problem problem_of(const tn_call *c)
{
    return (od_problem){.call = c,
                        .n = 2,
                        .v = {{c->in[0], OD_ACT, .query = dnnl_query_src_md},
                              {c->out[0], OD_ACT, .out = true, .query = dnnl_query_dst_md}},
                        .make = make};
}

static const char *pool_cannot(const tn_call *c)
{
    od_choice choice;
    if (od_empty(c)) return od_no_elements;
    const window w = window_of(c, c->in[0], c->out[0]);
    if (w.why_not) return w.why_not;
    const od_problem p = problem_of(c);
    od_choose(&p, false, &choice);
    const bool ok = choice.pd != NULL;
    od_choice_free(&choice);
    return ok ? NULL : od_no_primitive;
}

static tn_status pool_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                              tn_layout *out)
{
    const od_problem p = problem_of(c);
    (void)host;
    od_wish(&p, in, out);
    return TN_OK;
}

static tn_status pool_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const od_problem p = problem_of(k->call);
    od_choice c;
    od_choose(&p, true, &c);
    if (!c.pd) return od_fail(k, dnnl_unimplemented, "Pooling");
    tn_status s = od_add(k, info, c.pd, 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &c.md[0], OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &c.md[1], OD_OUT, 0);
    const dnnl_memory_desc_t where = od_query(c.pd, dnnl_query_workspace_md, 0);
    info->stash_bytes = dnnl_memory_desc_get_size(&where);
    if (s == TN_OK && info->stash_bytes) s = od_bind(k, DNNL_ARG_WORKSPACE, &where, OD_STASH, 0);
    od_choice_free(&c);
    return od_end(k, s);
}

// ------------------------------------------------------------------ backward
//
// _backward_Pooling_max: dy, x, y → dx;  _backward_Pooling_sum: dy, shape of x → dx

typedef struct backward {
    dnnl_primitive_desc_t forward, pd;
    dnnl_memory_desc_t x, y, dx, dy; // x and y of the forward
    bool max, again;                 // pool again?
} backward;

static void backward_free(backward *b)
{
    if (b->pd) dnnl_primitive_desc_destroy(b->pd);
    if (b->forward) dnnl_primitive_desc_destroy(b->forward);
}

// One result for each channel lies row-major and channels last at once. Its strides have to be of
// the data's kind, or oneDNN takes its plain loops.
static dnnl_memory_desc_t gradient_md(const tn_value_info *y, const tn_value_info *x)
{
    const dnnl_memory_desc_t y_last = od_last(y), x_last = od_last(x);
    return od_fits(&x_last, x) && od_fits(&y_last, y) ? y_last : od_md(y, 0);
}

// plain: as if all were row-major and no forward known.
static backward backward_of(const tn_call *c, bool plain)
{
    backward b = {.max = c->n_in == 3};
    const tn_value_info *x = c->out[0], *y = c->in[0];
    const window w = window_of(c, x, y);
    dnnl_pooling_desc_t d;
    b.dx = b.x = plain ? od_plain(x, 0) : od_md(x, 0);
    b.dy = b.y = plain ? od_plain(y, 0) : gradient_md(y, x);
    b.again = b.max && !c->forward;
    const int before = od_enter(od_threads(c));
    if (c->forward && !plain) { // the very descriptor of the forward kernel
        const od_problem p = problem_of(c->forward);
        od_choice choice;
        od_choose(&p, true, &choice);
        b.forward = choice.pd;
        b.x = choice.md[0];
        b.y = choice.md[1];
    } else {
        if (b.again && !plain) b.x = od_md(c->in[1], 0);
        b.forward = forward_pd(c, x, y, &b.x, &b.y, true);
    }
    if (b.forward && dnnl_pooling_backward_desc_init(&d, w.kind, &b.dx, &b.dy, w.strides, w.kernel,
                                                     w.left, w.right) == dnnl_success)
        b.pd = od_descriptor(&d, b.forward);
    od_leave(before);
    return b;
}

static const char *backward_cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    const window w = window_of(c, c->out[0], c->in[0]);
    if (w.why_not) return w.why_not;
    backward b = backward_of(c, true);
    const bool ok = b.pd != NULL;
    backward_free(&b);
    return ok ? NULL : od_no_primitive;
}

// As the forward had it, or all as dy or the data arrives.
static tn_status backward_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                                  tn_layout *out)
{
    (void)host;
    if (c->forward) { // x and y are not looked at
        in[0] = c->forward->out[0]->layout;
        out[0] = c->forward->in[0]->layout;
        return TN_OK;
    }
    const dnnl_memory_desc_t last[] = {od_last(c->in[0]), od_last(c->out[0])};
    const bool ours = od_is_ours(&in[0]) || (c->n_in == 3 && od_is_ours(&in[1]));
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    if (!ours) return TN_OK;
    od_layout(&last[0], c->in[0], &in[0]);
    od_layout(&last[1], c->out[0], &out[0]);
    if (c->n_in == 3) in[1] = out[0];
    return TN_OK;
}

static tn_status pool_again(tn_sdk_kernel *k, tn_kernel_info *info, const backward *b,
                            const dnnl_memory_desc_t *where, uint64_t at)
{
    tn_status s = od_add(k, info, b->forward, 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &b->x, OD_IN, 1);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &b->y, OD_SCRATCH, od_scratch(info, &b->y));
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_WORKSPACE, where, OD_SCRATCH, at);
    return s;
}

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    backward b = backward_of(k->call, false);
    tn_status s = b.pd ? TN_OK : od_fail(k, dnnl_unimplemented, k->call->op->name);
    dnnl_memory_desc_t where = {0};
    uint64_t at = 0;
    if (s == TN_OK && b.max) where = od_query(b.forward, dnnl_query_workspace_md, 0);
    if (s == TN_OK && b.again) {
        at = od_scratch(info, &where);
        s = pool_again(k, info, &b, &where, at);
    }
    if (s == TN_OK) s = od_add(k, info, b.pd, 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_DST, &b.dy, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_SRC, &b.dx, OD_OUT, 0);
    if (s == TN_OK && b.max)
        s = od_bind(k, DNNL_ARG_WORKSPACE, &where, b.again ? OD_SCRATCH : OD_STASH, at);
    backward_free(&b);
    return od_end(k, s);
}

// Of whole numbers the maximum only, which needs no rounding.
static const char *whole_cannot(const tn_call *c)
{
    if (!tn_call_is(c, "pool_type", "max")) return "sums and means of whole numbers";
    return pool_cannot(c);
}

#define ROW(op_, dtypes_, cannot_, prefix_)                                                      \
    {                                                                                            \
        .op = op_, .dtypes = dtypes_, .flags = OD_FLAGS | TN_K_DETERMINISTIC, .impl = "pooling", \
        .state_size = sizeof(od_state), .cannot = cannot_, .setup = prefix_##_setup,             \
        .run = od_run, .teardown = od_stop, .layouts = prefix_##_layouts                         \
    }

const tn_kernel_row onednn_pool[] = {
    ROW("Pooling", OD_FLOATS, pool_cannot, pool),
    ROW("Pooling", OD_WHOLE, whole_cannot, pool),
    ROW("_backward_Pooling_max", OD_FLOATS, backward_cannot, backward),
    ROW("_backward_Pooling_sum", OD_FLOATS, backward_cannot, backward),
    {0},
};
