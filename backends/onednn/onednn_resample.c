// backends/onednn/onednn_resample.c: images enlarged by repeating pixels, and the gradient of that.
//
// oneDNN's code for channels last is many times faster than the other, so values are brought there.
#include "onednn.h"

// _backward_enlarge has the gradient of the larger image, and gives that of the smaller one.
static bool is_backward(const tn_call *c)
{
    return strcmp(c->op->name, "_backward_enlarge") == 0;
}

static dnnl_memory_desc_t side(const tn_value_info *v, bool last)
{
    return last ? od_last(v) : od_plain(v, 0);
}

// small, large: the descriptors of both images.
static dnnl_primitive_desc_t descriptor(const tn_call *c, const dnnl_memory_desc_t *small,
                                        const dnnl_memory_desc_t *large,
                                        dnnl_primitive_desc_t *hint)
{
    const dnnl_alg_kind_t kind = dnnl_resampling_nearest;
    dnnl_resampling_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    *hint = NULL;
    const int before = od_enter(od_threads(c));
    if (dnnl_resampling_forward_desc_init(&d, dnnl_forward_training, kind, NULL, small, large) ==
        dnnl_success)
        pd = od_descriptor(&d, NULL);
    if (pd && is_backward(c)) {
        *hint = pd;
        pd = dnnl_resampling_backward_desc_init(&d, kind, NULL, small, large) == dnnl_success
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

static dnnl_primitive_desc_t between(const tn_call *c, bool last, dnnl_memory_desc_t *in,
                                     dnnl_memory_desc_t *out, dnnl_primitive_desc_t *hint)
{
    *in = side(c->in[0], last);
    *out = side(c->out[0], last);
    return is_backward(c) ? descriptor(c, out, in, hint) : descriptor(c, in, out, hint);
}

static const char *cannot(const tn_call *c)
{
    dnnl_memory_desc_t in, out;
    dnnl_primitive_desc_t hint;
    if (c->in[0]->size == 0 || c->out[0]->size == 0) return od_no_elements;
    if (strcmp(c->op->name, "UpSampling") == 0) {
        if (!tn_call_is(c, "sample_type", "nearest")) return "bilinear is a Deconvolution";
        if (c->n_in != 1) return "several images";
    }
    dnnl_primitive_desc_t pd = between(c, true, &in, &out, &hint);
    const char *why = pd ? NULL : od_no_primitive;
    destroy(pd, hint);
    return why;
}

static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const dnnl_memory_desc_t x = od_last(c->in[0]), y = od_last(c->out[0]);
    tn_layout lx, ly;
    (void)host;
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    if (!od_layout(&x, c->in[0], &lx) || !od_layout(&y, c->out[0], &ly)) return TN_OK;
    in[0] = lx;
    out[0] = ly;
    return TN_OK;
}

// A value with one channel, or one pixel, lies in both orders at once: then the other one tells.
static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const bool back = is_backward(c);
    const bool last = od_is_ours(&c->in[0]->layout) || od_is_ours(&c->out[0]->layout);
    dnnl_memory_desc_t in, out;
    dnnl_primitive_desc_t hint, pd = between(c, last, &in, &out, &hint);
    tn_status s = pd ? od_add(k, info, pd, 2) : od_fail(k, dnnl_unimplemented, c->op->name);
    if (s == TN_OK) s = od_bind(k, back ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, &in, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, back ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, &out, OD_OUT, 0);
    destroy(pd, hint);
    return od_end(k, s);
}

#define ROW(op_)                                                                                \
    {                                                                                           \
        .op = op_, .dtypes = TN_BIT(TN_F32), .flags = OD_FLAGS | TN_K_DETERMINISTIC,            \
        .impl = "resampling", .state_size = sizeof(od_state), .cannot = cannot, .setup = setup, \
        .run = od_run, .teardown = od_stop, .layouts = layouts                                  \
    }

const tn_kernel_row onednn_resample[] = {
    ROW("UpSampling"),
    ROW("_enlarge_like"),
    ROW("_backward_enlarge"),
    {0},
};
