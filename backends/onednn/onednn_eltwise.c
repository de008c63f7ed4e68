// backends/onednn/onednn_eltwise.c: functions of one value, and their gradients where oneDNN's mean
// the same as ours.
//
// Values keep the layout in which they arrive.
#include "onednn.h"

// y = f(x; alpha, beta), or the gradient of it.
typedef struct function {
    const char *op; // operator, or "Activation <act_type>"
    dnnl_alg_kind_t kind;
    bool backward; // dy and y (or x, as the kind says) → dx
    float alpha, beta;
    const char *scalar; // parameter that alpha is, or beta if alpha is not 0
} function;

static const function functions[] = {
    {"relu", dnnl_eltwise_relu, false, 0, 0, NULL},
    {"sigmoid", dnnl_eltwise_logistic, false, 0, 0, NULL},
    {"tanh", dnnl_eltwise_tanh, false, 0, 0, NULL},
    {"abs", dnnl_eltwise_abs, false, 0, 0, NULL},
    {"square", dnnl_eltwise_square, false, 0, 0, NULL},
    {"sqrt", dnnl_eltwise_sqrt, false, 0, 0, NULL},
    {"rsqrt", dnnl_eltwise_sqrt, false, 0, 0, NULL},
    {"reciprocal", dnnl_eltwise_pow, false, 1, -1, NULL},
    {"negative", dnnl_eltwise_linear, false, -1, 0, NULL},
    {"_mul_scalar", dnnl_eltwise_linear, false, 0, 0, "scalar"},
    {"_plus_scalar", dnnl_eltwise_linear, false, 1, 0, "scalar"},
    {"_backward_relu", dnnl_eltwise_relu_use_dst_for_bwd, true, 0, 0, NULL},
    {"_backward_sigmoid", dnnl_eltwise_logistic_use_dst_for_bwd, true, 0, 0, NULL},
    {"_backward_tanh", dnnl_eltwise_tanh_use_dst_for_bwd, true, 0, 0, NULL},
    {"_backward_sqrt", dnnl_eltwise_sqrt_use_dst_for_bwd, true, 0, 0, NULL},
    {"_backward_abs", dnnl_eltwise_abs, true, 0, 0, NULL},
    {"_backward_square", dnnl_eltwise_square, true, 0, 0, NULL},
    {"_leaky", dnnl_eltwise_relu, false, 0, 0, "below"},
    {"_backward_leaky", dnnl_eltwise_relu_use_dst_for_bwd, true, 0, 0, "below"},
};

// y = 1 / f(x): a second primitive.
static bool inverts(const function *f)
{
    return strcmp(f->op, "rsqrt") == 0;
}

// The function of a call, with its numbers; op NULL: there is none.
static function function_of(const tn_call *c)
{
    static const char *const kinds[] = {"relu", "sigmoid", "tanh"};
    const char *name = c->op->name;
    if (strcmp(name, "Activation") == 0) {
        name = "";
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (tn_call_is(c, "act_type", kinds[i])) name = kinds[i];
    }
    if (tn_call_bool(c, "curved", false) || tn_call_f64(c, "above", 1) != 1) name = "";
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        function f = functions[i];
        if (strcmp(name, f.op) != 0) continue;
        if (f.scalar) *(f.alpha != 0 ? &f.beta : &f.alpha) = (float)tn_call_f64(c, f.scalar, 0);
        return f;
    }
    return (function){0};
}

bool od_function(const tn_call *call, dnnl_alg_kind_t *kind, float *alpha, float *beta)
{
    const function f = function_of(call);
    if (!f.op || f.backward || inverts(&f)) return false;
    *kind = f.kind;
    *alpha = f.alpha;
    *beta = f.beta;
    return true;
}

static dnnl_primitive_desc_t descriptor(const tn_call *c, const function *f,
                                        const dnnl_memory_desc_t *md, dnnl_primitive_desc_t *hint)
{
    dnnl_eltwise_desc_t d;
    const int before = od_enter(od_threads(c));
    dnnl_primitive_desc_t pd = NULL;
    *hint = NULL;
    if (dnnl_eltwise_forward_desc_init(&d, dnnl_forward_training, f->kind, md, f->alpha, f->beta) ==
        dnnl_success)
        pd = od_descriptor(&d, NULL);
    if (pd && f->backward) {
        *hint = pd;
        pd = dnnl_eltwise_backward_desc_init(&d, f->kind, md, md, f->alpha, f->beta) == dnnl_success
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

static const char *cannot(const tn_call *c)
{
    const function f = function_of(c);
    if (!f.op) return "oneDNN has no such function, or it means something else at some x";
    if (!(OD_FLOATS & TN_BIT(c->in[0]->dtype)) && (f.kind != dnnl_eltwise_relu || f.backward))
        return "of bytes only relu, which is exact";
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    dnnl_primitive_desc_t hint;
    const dnnl_memory_desc_t md = od_plain(c->out[0], 0);
    dnnl_primitive_desc_t pd = descriptor(c, &f, &md, &hint);
    const char *why = !pd ? od_no_primitive : od_score(pd) == 0 ? od_only_loops : NULL;
    destroy(pd, hint);
    return why;
}

// The gradient follows what the forward left.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    (void)host;
    od_follow(c, (const uint32_t[]){c->n_in - 1, 0}, 2, in, out);
    return TN_OK;
}

static tn_status add_in_place(tn_sdk_kernel *k, const function *f, const dnnl_memory_desc_t *md,
                              tn_kernel_info *info)
{
    dnnl_primitive_desc_t hint, pd = descriptor(k->call, f, md, &hint);
    tn_status s = pd ? od_add(k, info, pd, 2) : od_fail(k, dnnl_unimplemented, f->op);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, md, OD_OUT, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, md, OD_OUT, 0);
    destroy(pd, hint);
    return s;
}

tn_status od_add_function(tn_sdk_kernel *k, const tn_call *call, const dnnl_memory_desc_t *md,
                          tn_kernel_info *info)
{
    const function f = function_of(call);
    return add_in_place(k, &f, md, info);
}

// y = 1 / y, exactly; oneDNN's power of -1/2 means something else at -0 and at minus infinity.
static const function inverse = {"reciprocal", dnnl_eltwise_pow, false, 1, -1, NULL};

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const function f = function_of(k->call);
    const bool from_y = f.kind >= dnnl_eltwise_relu_use_dst_for_bwd &&
                        f.kind <= dnnl_eltwise_clip_v2_use_dst_for_bwd;
    const dnnl_memory_desc_t md = od_md(k->call->out[0], 0);
    dnnl_primitive_desc_t hint, pd = descriptor(k->call, &f, &md, &hint);
    tn_status s = pd ? od_add(k, info, pd, 3) : od_fail(k, dnnl_unimplemented, f.op);
    if (s == TN_OK && f.backward) {
        s = od_bind(k, DNNL_ARG_DIFF_DST, &md, OD_IN, 0);
        if (s == TN_OK) s = od_bind(k, from_y ? DNNL_ARG_DST : DNNL_ARG_SRC, &md, OD_IN, 1);
        if (s == TN_OK) s = od_bind(k, DNNL_ARG_DIFF_SRC, &md, OD_OUT, 0);
    } else if (s == TN_OK) {
        s = od_bind(k, DNNL_ARG_SRC, &md, OD_IN, 0);
        if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &md, OD_OUT, 0);
    }
    destroy(pd, hint);
    if (s == TN_OK && inverts(&f)) s = add_in_place(k, &inverse, &md, info);
    return od_end(k, s);
}

#define BYTES (TN_BIT(TN_I8) | TN_BIT(TN_U8))
#define ROW(op_) ROW_OF(op_, OD_FLOATS)
#define ROW_OF(op_, dtypes_)                                                                   \
    {                                                                                          \
        .op = op_, .dtypes = dtypes_, .flags = OD_FLAGS | TN_K_DETERMINISTIC | TN_ROW_INPLACE, \
        .impl = "eltwise", .state_size = sizeof(od_state), .cannot = cannot, .setup = setup,   \
        .run = od_run, .teardown = od_stop, .layouts = layouts                                 \
    }

const tn_kernel_row onednn_eltwise[] = {
    ROW_OF("Activation", OD_FLOATS | BYTES),
    ROW_OF("relu", OD_FLOATS | BYTES),
    ROW("sigmoid"),
    ROW("tanh"),
    ROW("abs"),
    ROW("square"),
    ROW("sqrt"),
    ROW("rsqrt"),
    ROW("reciprocal"),
    ROW("negative"),
    ROW("_mul_scalar"),
    ROW("_plus_scalar"),
    ROW("_backward_relu"),
    ROW("_backward_sigmoid"),
    ROW("_backward_tanh"),
    ROW("_backward_sqrt"),
    ROW("_backward_abs"),
    ROW("_backward_square"),
    ROW("_leaky"),
    ROW("_backward_leaky"),
    {0},
};
