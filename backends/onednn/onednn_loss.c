// backends/onednn/onednn_loss.c: SoftmaxOutput by the softmax primitive, and its gradient, for
// which oneDNN has none: labels are looked up.
//
// Source of the formulas: MXNet 0.11, src/operator/softmax_output-inl.h.
#include "onednn_loops.h"

// With places behind the classes oneDNN's fast code wants the classes innermost.
static bool wants_last(const tn_call *c)
{
    return tn_softmax_output_line(c).inner > 1 && c->in[0]->ndim > 2;
}

// All values of data's shape: channels last, or row-major.
static void set_layouts(const tn_call *c, bool last, tn_layout *in, tn_layout *out)
{
    const tn_value_info *y = c->out[0];
    const dnnl_memory_desc_t md = od_last(y);
    tn_layout l;
    if (!last || !od_layout(&md, y, &l)) l = (tn_layout){NULL, 0, 0};
    for (uint32_t i = 0; i < c->n_in; i++)
        in[i] = l.domain && tn_same_shape(c->in[i], y) ? l : (tn_layout){NULL, 0, 0};
    if (l.domain) out[0] = l;
}

// ------------------------------------------------------------------ SoftmaxOutput

static dnnl_primitive_desc_t descriptor(const tn_call *c, bool last, dnnl_memory_desc_t *md)
{
    const tn_line l = tn_softmax_output_line(c);
    dnnl_softmax_v2_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    *md = last ? od_dense(3, (const int64_t[]){l.outer, l.inner, l.n}, TN_F32)
               : od_dense(3, (const int64_t[]){l.outer, l.n, l.inner}, TN_F32);
    const int before = od_enter(od_threads(c));
    if (dnnl_softmax_v2_forward_desc_init(&d, dnnl_forward_inference, dnnl_softmax_accurate, md, md,
                                          last ? 2 : 1) == dnnl_success)
        pd = od_descriptor(&d, NULL);
    od_leave(before);
    return pd;
}

static const char *softmax_cannot(const tn_call *c)
{
    dnnl_memory_desc_t md;
    if (c->in[0]->size == 0) return od_no_elements;
    dnnl_primitive_desc_t pd = descriptor(c, wants_last(c), &md);
    const char *why = !pd ? od_no_primitive : od_score(pd) == 0 ? od_only_loops : NULL;
    if (pd) dnnl_primitive_desc_destroy(pd);
    return why;
}

static tn_status softmax_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                                 tn_layout *out)
{
    (void)host;
    set_layouts(c, wants_last(c), in, out);
    return TN_OK;
}

static tn_status softmax_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    dnnl_memory_desc_t md;
    dnnl_primitive_desc_t pd = descriptor(k->call, od_is_ours(&k->call->in[0]->layout), &md);
    tn_status s = pd ? od_add(k, info, pd, 2) : od_fail(k, dnnl_unimplemented, "softmax");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &md, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &md, OD_OUT, 0);
    if (pd) dnnl_primitive_desc_destroy(pd);
    info->inplace[info->n_inplace++] = (tn_inplace){0, 0};
    return od_end(k, s);
}

// ------------------------------------------------------------------ its gradient
//
// Of dx = scale (p − label) · head; tn_softmax_loss says how they go together.

typedef struct loss {
    tn_softmax_loss of;
    int64_t class_step, place_step; // distances of neighbours, in elements
} loss;

static const char *loss_cannot(const tn_call *c)
{
    tn_softmax_loss l;
    if (c->in[0]->size == 0) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    return tn_softmax_loss_of(c, &l) ? NULL : "fewer labels than places";
}

static tn_status loss_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                              tn_layout *out)
{
    const dnnl_memory_desc_t last = od_last(c->in[0]);
    tn_layout l;
    (void)host;
    const bool follows =
        wants_last(c) && od_is_ours(&in[0]) && od_layout(&last, c->in[0], &l) && l.id == in[0].id;
    set_layouts(c, follows, in, out);
    return TN_OK;
}

static tn_status loss_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const bool last = od_is_ours(&c->in[0]->layout);
    loss *g = k->state;
    tn_softmax_loss_of(c, &g->of);
    g->class_step = last ? 1 : g->of.line.inner;
    g->place_step = last ? g->of.line.n : 1;
    (void)info; // not over out: its elements at the labels are read once more
    return TN_OK;
}

typedef struct loss_run {
    const loss *g;
    const float *p, *label, *head;
    float *dx, scale;
} loss_run;

OD_CLONES static void od_loss_times(float *dx, const float *p, int64_t n, float scale)
{
    OD_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = scale * p[i];
}

OD_CLONES static void od_loss_head(float *dx, const float *head, int64_t n)
{
    OD_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] *= head[i];
}

OD_CLONES static void od_loss_soft(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const loss_run *r = ctx;
    const float *p = r->p, *label = r->label, scale = r->scale;
    float *dx = r->dx;
    (void)worker;
    OD_SIMD
    for (int64_t i = begin; i < end; i++) dx[i] = scale * (p[i] - label[i]);
    if (r->head) od_loss_head(dx + begin, r->head + begin, end - begin);
}

// Samples begin … end-1. A label outside 0 … n-1 takes nothing away.
static void od_loss_hard(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const loss_run *r = ctx;
    const loss *g = r->g;
    const int64_t inner = g->of.line.inner, n = g->of.line.n, size = n * inner;
    (void)worker;
    for (int64_t o = begin; o < end; o++) {
        const float *p = r->p + o * size;
        float *dx = r->dx + o * size;
        od_loss_times(dx, p, size, r->scale);
        for (int64_t i = 0; i < inner; i++) {
            const int64_t class =
                tn_saturate((double)r->label[o * inner + i], INT64_MIN, INT64_MAX);
            const int64_t place = i * g->place_step;
            if (g->of.use_ignore && class == g->of.ignored) {
                for (int64_t j = 0; j < n; j++) dx[j * g->class_step + place] = 0;
            } else if (class >= 0 && class < n) {
                const int64_t at = class * g->class_step + place;
                dx[at] = r->scale * (p[at] - 1);
            }
        }
        if (r->head) od_loss_head(dx, r->head + o * size, size);
    }
}

static int64_t count_valid(const loss *g, const float *label, int64_t n)
{
    int64_t valid = 0;
    for (int64_t i = 0; i < n; i++)
        valid += tn_saturate((double)label[i], INT64_MIN, INT64_MAX) != g->of.ignored;
    return valid ? valid : 1;
}

static tn_status loss_run_all(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const loss *g = k->state;
    loss_run r = {.g = g,
                  .p = a->in[0].host,
                  .label = a->in[1].host,
                  .head = g->of.with_head ? a->in[2].host : NULL,
                  .dx = a->out[0].host};
    double scale = g->of.scale;
    if (g->of.valid) scale /= (double)count_valid(g, r.label, k->call->in[1]->size);
    r.scale = (float)scale;
    if (g->of.soft)
        od_items(k, a, k->call->out[0]->size, 1, od_loss_soft, &r);
    else
        od_items(k, a, g->of.line.outer, g->of.line.n * g->of.line.inner, od_loss_hard, &r);
    return TN_OK;
}

#define SOFTMAX(op_)                                                                           \
    {                                                                                          \
        .op = op_, .dtypes = TN_BIT(TN_F32), .flags = OD_FLAGS | TN_K_DETERMINISTIC,           \
        .impl = "softmax", .state_size = sizeof(od_state), .cannot = softmax_cannot,           \
        .setup = softmax_setup, .run = od_run, .teardown = od_stop, .layouts = softmax_layouts \
    }

const tn_kernel_row onednn_loss[] = {
    SOFTMAX("SoftmaxOutput"),
    SOFTMAX("Softmax"),
    {.op = "_backward_SoftmaxOutput",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS | TN_K_DETERMINISTIC,
     .impl = OD_LOOPS,
     .state_size = sizeof(loss),
     .cannot = loss_cannot,
     .setup = loss_setup,
     .run = loss_run_all,
     .layouts = loss_layouts},
    {0},
};
