// backends/onednn/onednn_lrn.c: LRN across channels, and its gradient.
//
//     y = x t^-beta,  t = knorm + alpha / nsize · Σ_window x²
//
// oneDNN divides alpha by the window as we do. It keeps what its gradient needs in a workspace of
// its own: the stash, or scratch memory where the backward kernel has to run the forward again,
// because that one ran elsewhere or in the other layout: each layout has code of its own, which
// lays out its workspace as it likes. The output t, from which everybody else computes the
// gradient, is written here.
#include "onednn.h"

typedef struct lrn {
    od_state base;
    int64_t outer, channels, inner, half;
    bool last; // channels innermost
    float scale, knorm;
} lrn;

static dnnl_primitive_desc_t forward_pd(const tn_call *c, const dnnl_memory_desc_t *x)
{
    dnnl_lrn_desc_t d;
    if (dnnl_lrn_forward_desc_init(&d, dnnl_forward_training, dnnl_lrn_across_channels, x,
                                   tn_call_i64(c, "nsize", 1), (float)tn_call_f64(c, "alpha", 1e-4),
                                   (float)tn_call_f64(c, "beta", 0.75),
                                   (float)tn_call_f64(c, "knorm", 2)) != dnnl_success)
        return NULL;
    return od_descriptor(&d, NULL);
}

static dnnl_primitive_desc_t backward_pd(const tn_call *c, const dnnl_memory_desc_t *x,
                                         dnnl_primitive_desc_t hint)
{
    dnnl_lrn_desc_t d;
    if (!hint || dnnl_lrn_backward_desc_init(
                     &d, dnnl_lrn_across_channels, x, x, tn_call_i64(c, "nsize", 1),
                     (float)tn_call_f64(c, "alpha", 1e-4), (float)tn_call_f64(c, "beta", 0.75),
                     (float)tn_call_f64(c, "knorm", 2)) != dnnl_success)
        return NULL;
    return od_descriptor(&d, hint);
}

static bool is_backward(const tn_call *c)
{
    return c->n_in == 3; // dy, x, t
}

// Row-major, or with channels last: whichever oneDNN has fast code for. false: neither.
static bool is_fast(const tn_call *c, const dnnl_memory_desc_t *x)
{
    const int before = od_enter(od_threads(c));
    dnnl_primitive_desc_t pd = forward_pd(c, x);
    dnnl_primitive_desc_t back = is_backward(c) ? backward_pd(c, x, pd) : NULL;
    const bool fast = pd && od_score(pd) > 0 && (!is_backward(c) || (back && od_score(back) > 0));
    od_leave(before);
    if (back) dnnl_primitive_desc_destroy(back);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return fast;
}

static const char *cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    const dnnl_memory_desc_t plain = od_plain(c->out[0], 0), last = od_last(c->out[0]);
    return is_fast(c, &plain) || is_fast(c, &last) ? NULL : od_only_loops;
}

// As data arrives; a gradient as its forward had it, if there is fast code for that.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const dnnl_memory_desc_t plain = od_plain(c->out[0], 0), last = od_last(c->out[0]);
    const bool ours = c->forward ? od_is_ours(&c->forward->out[0]->layout)
                                 : od_is_ours(&in[0]) || (is_backward(c) && od_is_ours(&in[1]));
    tn_layout l = {NULL, 0, 0};
    (void)host;
    if (is_fast(c, &last) && (ours || !is_fast(c, &plain))) od_layout(&last, c->out[0], &l);
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = l;
    for (uint32_t i = 0; i < c->n_out && l.domain; i++) out[i] = l;
    return TN_OK;
}

static dnnl_memory_desc_t data_of(const tn_value_info *x)
{
    const dnnl_memory_desc_t last = od_last(x);
    return od_is_ours(&x->layout) && od_fits(&last, x) ? last : od_plain(x, 0);
}

// ------------------------------------------------------------------ forward

static tn_status lrn_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_value_info *x = c->in[0];
    const int64_t nsize = tn_call_i64(c, "nsize", 1);
    lrn *l = k->state;
    l->outer = x->dims[0];
    l->channels = x->dims[1];
    l->inner = x->size / (l->outer * l->channels);
    l->half = nsize / 2;
    l->last = od_is_ours(&x->layout);
    l->scale = (float)(tn_call_f64(c, "alpha", 1e-4) / (double)nsize);
    l->knorm = (float)tn_call_f64(c, "knorm", 2);
    const dnnl_memory_desc_t md = data_of(x);
    const int before = od_enter(od_workers(k));
    dnnl_primitive_desc_t pd = forward_pd(c, &md);
    od_leave(before);
    tn_status s = pd ? od_add(k, info, pd, 3) : od_fail(k, dnnl_unimplemented, "LRN");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &md, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &md, OD_OUT, 0);
    if (s == TN_OK) {
        const dnnl_memory_desc_t kept = od_query(pd, dnnl_query_workspace_md, 0);
        info->stash_bytes = dnnl_memory_desc_get_size(&kept);
        if (info->stash_bytes) s = od_bind(k, DNNL_ARG_WORKSPACE, &kept, OD_STASH, 0);
    }
    if (pd) dnnl_primitive_desc_destroy(pd);
    return od_end(k, s);
}

typedef struct bases {
    const lrn *l;
    const float *x;
    float *t;
} bases;

// Lines of contiguous elements: the channels of a point, or the points of a channel.
static void base_lines(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const bases *b = ctx;
    const lrn *l = b->l;
    const int64_t n = l->last ? l->channels : l->inner, step = l->last ? 1 : l->inner;
    (void)worker;
    for (int64_t line = begin; line < end; line++) {
        const float *x = b->x + line * n;
        float *t = b->t + line * n;
        for (int64_t i = 0; i < n; i++) {
            const int64_t c = l->last ? i : line % l->channels;
            const int64_t down = c < l->half ? c : l->half;
            const int64_t up = l->channels - 1 - c < l->half ? l->channels - 1 - c : l->half;
            float sum = 0;
            for (int64_t j = -down; j <= up; j++) sum += x[i + j * step] * x[i + j * step];
            t[i] = l->knorm + l->scale * sum;
        }
    }
}

static tn_status lrn_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const lrn *l = k->state;
    bases b = {l, a->in[0].host, a->out[1].host};
    tn_parallel(k, a, l->outer * (l->last ? l->inner : l->channels), 16, base_lines, &b);
    return od_run(k, a);
}

// ------------------------------------------------------------------ backward

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const dnnl_memory_desc_t md = data_of(c->out[0]);
    const bool again =
        !c->forward || od_is_ours(&c->forward->out[0]->layout) != od_is_ours(&c->out[0]->layout);
    const int before = od_enter(od_workers(k));
    dnnl_primitive_desc_t forward = forward_pd(c, &md), pd = backward_pd(c, &md, forward);
    od_leave(before);
    tn_status s = pd ? TN_OK : od_fail(k, dnnl_unimplemented, "_backward_LRN");
    dnnl_memory_desc_t kept = {0};
    uint64_t at = 0;
    if (s == TN_OK) kept = od_query(forward, dnnl_query_workspace_md, 0);
    const bool keeps = dnnl_memory_desc_get_size(&kept) > 0;
    if (s == TN_OK && again && keeps) {
        at = od_scratch(info, &kept);
        s = od_add(k, info, forward, 3);
        if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &md, OD_IN, 1);
        if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &md, OD_SCRATCH, od_scratch(info, &md));
        if (s == TN_OK) s = od_bind(k, DNNL_ARG_WORKSPACE, &kept, OD_SCRATCH, at);
    }
    if (s == TN_OK) s = od_add(k, info, pd, 4);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_DST, &md, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &md, OD_IN, 1);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_SRC, &md, OD_OUT, 0);
    if (s == TN_OK && keeps)
        s = od_bind(k, DNNL_ARG_WORKSPACE, &kept, again ? OD_SCRATCH : OD_STASH, at);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (forward) dnnl_primitive_desc_destroy(forward);
    return od_end(k, s);
}

#define ROW(op_, setup_, run_)                                                                    \
    {                                                                                             \
        .op = op_, .dtypes = TN_BIT(TN_F32), .flags = OD_FLAGS | TN_K_DETERMINISTIC,              \
        .impl = "lrn", .state_size = sizeof(lrn), .cannot = cannot, .setup = setup_, .run = run_, \
        .teardown = od_stop, .layouts = layouts                                                   \
    }

const tn_kernel_row onednn_lrn[] = {
    ROW("LRN", lrn_setup, lrn_run),
    ROW("_backward_LRN", backward_setup, od_run),
    {0},
};
