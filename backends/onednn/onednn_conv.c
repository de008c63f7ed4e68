// backends/onednn/onednn_conv.c: Convolution, Deconvolution, and the two gradients of each.
//
//     Convolution                      x, w [, b] → y
//     _backward_Convolution_data       dy, w, shape of x → dx
//     _backward_Convolution_weight     dy, x, shape of w → dw
//
// A Deconvolution goes from the result of a convolution to its data, so with X, W and Y for what
// that convolution has as data, weight and result:
//
//     Deconvolution                    Y, W [, b] → X
//     _backward_Deconvolution_data     X, W, shape of Y → Y
//     _backward_Deconvolution_weight   X, Y, shape of W → W
#include "onednn.h"

enum { MOST_SPATIAL = 3 };
typedef enum kind { FORWARD, DATA, WEIGHT } kind;

// Strides and paddings of one convolution, whose data has `in` and whose result has `out`.
typedef struct window {
    dnnl_dims_t strides, dilates, left, right;
} window;

// Padding in front of axis i. A Deconvolution may have it from the extent that is wanted.
static int64_t pad_of(const tn_call *c, int32_t i, int64_t covered, int64_t stride,
                      const tn_value_info *x, const tn_value_info *y)
{
    if (tn_entry(tn_call_ints(c, "target_shape"), i, 0) == 0)
        return tn_entry(tn_call_ints(c, "pad"), i, 0);
    return (stride * (y->dims[2 + i] - 1) + covered - x->dims[2 + i] + 1) / 2;
}

// oneDNN counts a dilation of 1 as 0. The right padding is what the result needs.
static window window_of(const tn_call *c, const tn_value_info *x, const tn_value_info *y)
{
    const tn_ints kernel = tn_call_ints(c, "kernel"), stride = tn_call_ints(c, "stride");
    const tn_ints dilate = tn_call_ints(c, "dilate");
    window w = {0};
    for (int32_t i = 0; i < (int32_t)kernel.n; i++) {
        w.strides[i] = tn_entry(stride, i, 1);
        w.dilates[i] = tn_entry(dilate, i, 1) - 1;
        const int64_t covered = (kernel.v[i] - 1) * (w.dilates[i] + 1) + 1;
        w.left[i] = pad_of(c, i, covered, w.strides[i], x, y);
        w.right[i] = (y->dims[2 + i] - 1) * w.strides[i] + covered - x->dims[2 + i] - w.left[i];
    }
    return w;
}

static bool is_deconvolution(const tn_call *c)
{
    return strstr(c->op->name, "Deconvolution") != NULL;
}

static kind kind_of(const tn_call *c)
{
    if (strstr(c->op->name, "_weight")) return WEIGHT;
    const bool back = strstr(c->op->name, "_data") != NULL;
    return back == is_deconvolution(c) ? FORWARD : DATA;
}

// ------------------------------------------------------------------ descriptors

// Values stand in the order x, w, y, bias, whatever the call computes.
enum { X, W, Y, B };

static bool forward_desc(const od_problem *p, const dnnl_memory_desc_t *md, bool training,
                         dnnl_convolution_desc_t *d)
{
    const window w = window_of(p->call, p->v[X].info, p->v[Y].info);
    return dnnl_dilated_convolution_forward_desc_init(
               d, training ? dnnl_forward_training : dnnl_forward_inference,
               dnnl_convolution_direct, &md[X], &md[W], p->n > B ? &md[B] : NULL, &md[Y], w.strides,
               w.dilates, w.left, w.right) == dnnl_success;
}

// oneDNN's first choice goes by blocks of products, which for so few filters are narrow: its older
// code, which it has behind that one, is up to twice as fast there (oneDNN 2.6, AVX-512; at 64 it
// is slower). Bfloat16 stays with the first choice.
enum { FEW_FILTERS = 32 };

static bool has_few_filters(const od_problem *p)
{
    return p->v[Y].info->dims[1] / (p->groups > 1 ? p->groups : 1) <= FEW_FILTERS;
}

// Code for pictures pads one channel to a vector of 16. Where the kernel is large a product with
// columns is 3 times as fast or more.
enum { LARGE_KERNEL = 128 };

static bool has_one_channel(const od_problem *p)
{
    const tn_value_info *w = p->v[W].info;
    return !p->narrow && p->v[X].info->dims[1] == 1 && w->size / w->dims[0] >= LARGE_KERNEL;
}

// The descriptor of that implementation, if there is one; else pd.
static dnnl_primitive_desc_t by_name(dnnl_primitive_desc_t pd, const char *name, const void *desc,
                                     const od_tail *tail)
{
    dnnl_primitive_desc_iterator_t all = NULL;
    dnnl_primitive_desc_t better = NULL;
    const const_dnnl_primitive_attr_t attr = tail ? tail->attributes : od_attributes();
    if (dnnl_primitive_desc_iterator_create(&all, desc, attr, od_engine(), NULL) != dnnl_success)
        return pd;
    do {
        dnnl_primitive_desc_t one = dnnl_primitive_desc_iterator_fetch(all);
        if (one && strcmp(od_name(one), name) == 0)
            better = one;
        else if (one)
            dnnl_primitive_desc_destroy(one);
    } while (!better && dnnl_primitive_desc_iterator_next(all) == dnnl_success);
    dnnl_primitive_desc_iterator_destroy(all);
    if (better) dnnl_primitive_desc_destroy(pd);
    return better ? better : pd;
}

static dnnl_primitive_desc_t make_forward(const od_problem *p, const dnnl_memory_desc_t *md,
                                          dnnl_primitive_desc_t *hint)
{
    dnnl_convolution_desc_t d;
    (void)hint;
    const bool training = p->call->flags & TN_CALL_TRAINING;
    if (!forward_desc(p, md, training, &d)) return NULL;
    const dnnl_primitive_desc_t pd = od_descriptor_with(&d, p->tail, NULL);
    if (pd && has_one_channel(p)) return by_name(pd, "x64:gemm:jit", &d, p->tail);
    if (!pd || strcmp(od_name(pd), "brgconv:avx512_core") != 0) return pd;
    return has_few_filters(p) ? by_name(pd, "jit:avx512_core", &d, p->tail) : pd;
}

// A hint only says what the forward was; any layout does.
static dnnl_primitive_desc_t make_hint(const od_problem *p, const dnnl_memory_desc_t *md)
{
    const dnnl_memory_desc_t any[] = {od_any(p->v[X].info, 0), od_any(p->v[W].info, p->groups),
                                      od_any(p->v[Y].info, 0)};
    dnnl_convolution_desc_t d;
    (void)md;
    return forward_desc(p, any, true, &d) ? od_descriptor(&d, NULL) : NULL;
}

static dnnl_primitive_desc_t make_data(const od_problem *p, const dnnl_memory_desc_t *md,
                                       dnnl_primitive_desc_t *hint)
{
    const window w = window_of(p->call, p->v[X].info, p->v[Y].info);
    dnnl_convolution_desc_t d;
    *hint = make_hint(p, md);
    if (!*hint || dnnl_dilated_convolution_backward_data_desc_init(
                      &d, dnnl_convolution_direct, &md[X], &md[W], &md[Y], w.strides, w.dilates,
                      w.left, w.right) != dnnl_success)
        return NULL;
    return od_descriptor(&d, *hint);
}

static dnnl_primitive_desc_t make_weight(const od_problem *p, const dnnl_memory_desc_t *md,
                                         dnnl_primitive_desc_t *hint)
{
    const window w = window_of(p->call, p->v[X].info, p->v[Y].info);
    dnnl_convolution_desc_t d;
    *hint = make_hint(p, md);
    if (!*hint || dnnl_dilated_convolution_backward_weights_desc_init(
                      &d, dnnl_convolution_direct, &md[X], &md[W], NULL, &md[Y], w.strides,
                      w.dilates, w.left, w.right) != dnnl_success)
        return NULL;
    return od_descriptor(&d, *hint);
}

// ------------------------------------------------------------------ the call as a problem

// The gradient of a weight whose windows lie apart: with channels last oneDNN 2.6 needs up to twice
// the time that it needs with channels in blocks, reorders included. (For stride 1, and for
// pictures of few channels, it is not so; groups were not measured.)
static bool likes_blocks(const tn_call *c, const od_value *x)
{
    const tn_ints kernel = tn_call_ints(c, "kernel"), stride = tn_call_ints(c, "stride");
    bool apart = false, wide = false;
    for (int32_t i = 0; i < (int32_t)kernel.n; i++) {
        apart = apart || tn_entry(stride, i, 1) > 1;
        wide = wide || kernel.v[i] > 1;
    }
    return apart && wide && x->info->dims[1] >= 16 && tn_call_i64(c, "num_group", 1) == 1;
}

static od_value input(const tn_call *c, uint32_t i, od_role role, dnnl_query_t query)
{
    return (od_value){c->in[i], role, .index = i, .query = query};
}

static od_value output(const tn_call *c, od_role role, dnnl_query_t query)
{
    return (od_value){c->out[0], role, .out = true, .query = query};
}

static od_problem problem_of(const tn_call *c, const od_tail *tail)
{
    od_problem p = {.call = c, .n = 3, .last_first = true, .tail = tail};
    p.narrow = od_may_narrow(c);
    const bool turned = is_deconvolution(c);
    p.groups = tn_call_i64(c, "num_group", 1);
    switch (kind_of(c)) {
    case FORWARD:
        p.make = make_forward;
        p.v[X] = input(c, 0, OD_ACT, dnnl_query_src_md);
        p.v[W] = input(c, 1, OD_WEIGHT, dnnl_query_weights_md);
        p.v[Y] = output(c, OD_ACT, dnnl_query_dst_md);
        if (turned || c->n_in < 3) break;
        p.v[B] = input(c, 2, OD_VECTOR, dnnl_query_weights_md);
        p.v[B].query_index = 1;
        p.n = 4;
        break;
    case DATA:
        p.make = make_data;
        p.v[X] = output(c, OD_ACT, dnnl_query_diff_src_md);
        p.v[W] = input(c, 1, OD_WEIGHT, dnnl_query_weights_md);
        p.v[Y] = input(c, 0, OD_ACT, dnnl_query_diff_dst_md);
        break;
    default:
        p.make = make_weight;
        p.v[X] = input(c, !turned, OD_ACT, dnnl_query_src_md);
        p.v[W] = output(c, OD_WEIGHT, dnnl_query_diff_weights_md);
        p.v[Y] = input(c, turned, OD_ACT, dnnl_query_diff_dst_md);
        p.any_first = !p.narrow && c->out[0]->dtype == TN_F32 && likes_blocks(c, &p.v[X]);
    }
    return p;
}

// -1: oneDNN has no primitive.
static int score_of(const tn_call *c, const od_tail *tail)
{
    const od_problem p = problem_of(c, tail);
    od_choice choice;
    od_choose(&p, false, &choice);
    const int score = choice.pd ? choice.score : -1;
    od_choice_free(&choice);
    return score;
}

// May a window of this convolution lie in the padding alone? Then oneDNN 2.6 crashes where a sum
// and a function follow (`brgconv` on AVX-512, whole rows of such windows).
static bool leaves_data(const tn_call *c)
{
    tn_slide axes[TN_SPATIAL];
    tn_conv_axes(c, c->in[0], c->out[0], axes);
    for (int i = 0; i < TN_SPATIAL; i++) {
        const tn_slide *s = &axes[i];
        const int64_t covered = (s->window - 1) * s->dilate + 1;
        const int64_t last = (s->narrow - 1) * s->stride - s->pad;
        if (s->pad >= covered || last >= s->wide || s->dilate > s->wide) return true;
    }
    return false;
}

static const char *conv_cannot(const tn_call *c, const od_tail *tail)
{
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    if (c->in[0]->ndim < 3) return "wanted 1 to 3 spatial axes";
    if (tail && tail->sum && leaves_data(c)) return "a sum with windows in the padding alone";
    const int score = score_of(c, tail);
    if (score < 0) return od_no_primitive;
    return tail && score < score_of(c, NULL) ? "alone the convolution is faster" : NULL;
}

static tn_status conv_layouts(const tn_call *c, const od_tail *tail, tn_layout *in, tn_layout *out)
{
    const od_problem p = problem_of(c, tail);
    if (od_is_winograd(c, tail, false)) return od_winograd_layouts(c, in, out);
    if (od_is_point(c, false)) return onednn_point_leader.layouts(c, NULL, in, out);
    od_wish(&p, in, out);
    return TN_OK;
}

// The bias of a Deconvolution, (1, channels, 1…), as a step of its own over what is there.
static tn_status bias_step(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *y)
{
    dnnl_dims_t dims = {1, k->call->in[2]->dims[0], 1, 1, 1};
    const dnnl_memory_desc_t b = od_dense(y->ndims, dims, k->call->in[2]->dtype);
    dnnl_binary_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    const int before = od_enter(od_workers(k));
    if (dnnl_binary_desc_init(&d, dnnl_binary_add, y, &b, y) == dnnl_success)
        pd = od_descriptor(&d, NULL);
    od_leave(before);
    tn_status s = pd ? od_add(k, info, pd, 3) : od_fail(k, dnnl_unimplemented, "a bias");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC_0, y, OD_OUT, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC_1, &b, OD_IN, 2);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, y, OD_OUT, 0);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return s;
}

// By a loop where it is float32 with channels last.
static tn_status add_bias(tn_sdk_kernel *k, const tn_call *c, tn_kernel_info *info,
                          const dnnl_memory_desc_t *y)
{
    od_state *s = k->state;
    const dnnl_memory_desc_t last = od_last(c->out[0]);
    if (y->data_type != dnnl_f32 || !dnnl_memory_desc_equal(y, &last)) return bias_step(k, info, y);
    s->bias = (od_bias){.rows = c->out[0]->size / last.dims[1], .channels = last.dims[1]};
    return TN_OK;
}

static tn_status conv_add(tn_sdk_kernel *k, const tn_call *call, const od_tail *tail,
                          tn_kernel_info *info)
{
    static const int args[][3] = {
        [FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        [DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        [WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};
    const od_problem p = problem_of(call, tail);
    const int *arg = args[kind_of(call)];
    od_choice c;
    if (od_is_winograd(call, tail, true)) return od_winograd_add(k, call, tail, info);
    if (od_is_point(call, true)) return onednn_point_leader.add(k, call, NULL, info);
    od_choose(&p, true, &c);
    if (!c.pd) return od_fail(k, dnnl_unimplemented, "a convolution");
    tn_status s = od_add(k, info, c.pd, p.n);
    for (int i = 0; i < p.n && s == TN_OK; i++)
        s = od_bind(k, i == B ? DNNL_ARG_BIAS : arg[i], &c.md[i], p.v[i].out ? OD_OUT : OD_IN,
                    p.v[i].index);
    const bool bias = od_input(call, 2) && p.n == 3;
    if (s == TN_OK && bias) s = add_bias(k, call, info, &c.md[X]);
    od_choice_free(&c);
    return s;
}

const od_leader onednn_conv_leader = {"Convolution", conv_cannot, conv_layouts, conv_add};

static const char *cannot(const tn_call *c)
{
    return conv_cannot(c, NULL);
}

static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    (void)host;
    return conv_layouts(c, NULL, in, out);
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return od_end(k, conv_add(k, k->call, NULL, info));
}

#define ROW(op_)                                                                         \
    {                                                                                    \
        .op = op_, .dtypes = OD_FLOATS, .flags = OD_FLAGS, .impl = "convolution",        \
        .state_size = sizeof(od_state), .cannot = cannot, .setup = setup, .run = od_run, \
        .teardown = od_stop, .layouts = layouts                                          \
    }

const tn_kernel_row onednn_conv[] = {
    ROW("Convolution"),
    ROW("_backward_Convolution_data"),
    ROW("_backward_Convolution_weight"),
    ROW("Deconvolution"),
    ROW("_backward_Deconvolution_data"),
    ROW("_backward_Deconvolution_weight"),
    {0},
};
