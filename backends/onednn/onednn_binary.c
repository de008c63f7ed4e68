// backends/onednn/onednn_binary.c: functions of two values of one shape, or of which the second is
// broadcast.
#include "onednn.h"

static const struct {
    const char *op;
    dnnl_alg_kind_t kind;
} kinds[] = {
    {"elemwise_add", dnnl_binary_add},  {"_grad_add", dnnl_binary_add},
    {"_sub", dnnl_binary_sub},          {"_mul", dnnl_binary_mul},
    {"_div", dnnl_binary_div},          {"broadcast_add", dnnl_binary_add},
    {"broadcast_sub", dnnl_binary_sub}, {"broadcast_mul", dnnl_binary_mul},
    {"broadcast_div", dnnl_binary_div},
};

// Values in the order of oneDNN: a sum or product may begin with the larger one.
typedef struct pair {
    dnnl_memory_desc_t a, b, y;
    uint32_t first; // input that is a
    dnnl_primitive_desc_t pd;
} pair;

static dnnl_alg_kind_t kind_of(const tn_call *c)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].op, c->op->name) == 0) return kinds[i].kind;
    return dnnl_alg_kind_undef;
}

static dnnl_memory_desc_t side(const tn_value_info *v, bool plain)
{
    return plain ? od_plain(v, 0) : od_md(v, 0);
}

// plain: as if all were row-major.
static pair pair_of(const tn_call *c, bool plain)
{
    const dnnl_alg_kind_t kind = kind_of(c);
    const bool symmetric = kind == dnnl_binary_add || kind == dnnl_binary_mul;
    const tn_value_info *y = c->out[0];
    pair p = {.first = symmetric && !od_same_shape(c->in[0], y) && od_same_shape(c->in[1], y)};
    dnnl_binary_desc_t d;
    p.a = side(c->in[p.first], plain);
    p.b = side(c->in[!p.first], plain);
    p.y = side(y, plain);
    const int before = od_enter(c->max_workers);
    if (dnnl_binary_desc_init(&d, kind, &p.a, &p.b, &p.y) == dnnl_success)
        p.pd = od_descriptor(&d, NULL);
    od_leave(before);
    return p;
}

static const char *cannot(const tn_call *c)
{
    const tn_value_info *y = c->out[0];
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    if (c->in[0]->ndim != y->ndim || c->in[1]->ndim != y->ndim) return "values of different ranks";
    if (!od_same_shape(c->in[0], y) && !od_same_shape(c->in[1], y))
        return "both sides are broadcast";
    pair p = pair_of(c, true);
    const char *why = !p.pd ? od_no_primitive : od_score(p.pd) == 0 ? od_only_loops : NULL;
    if (p.pd) dnnl_primitive_desc_destroy(p.pd);
    return why;
}

static bool broadcasts(const tn_call *c)
{
    return !od_same_shape(c->in[0], c->out[0]) || !od_same_shape(c->in[1], c->out[0]);
}

// A value that is broadcast has other strides than the layout says: only row-major is sure then.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    (void)host;
    od_follow(c, (const uint32_t[]){0, 1}, broadcasts(c) ? 0 : 2, in, out);
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    pair p = pair_of(k->call, false);
    if (!p.pd) return od_fail(k, dnnl_unimplemented, k->call->op->name);
    tn_status s = od_add(k, info, p.pd, 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC_0, &p.a, OD_IN, p.first);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC_1, &p.b, OD_IN, !p.first);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &p.y, OD_OUT, 0);
    dnnl_primitive_desc_destroy(p.pd);
    return od_end(k, s);
}

#define ROW(op_)                                                                                 \
    {                                                                                            \
        .op = op_, .dtypes = OD_FLOATS, .flags = OD_FLAGS | TN_K_DETERMINISTIC | TN_ROW_INPLACE, \
        .impl = "binary", .state_size = sizeof(od_state), .cannot = cannot, .setup = setup,      \
        .run = od_run, .teardown = od_stop, .layouts = layouts                                   \
    }

const tn_kernel_row onednn_binary[] = {
    ROW("elemwise_add"),  ROW("_grad_add"),
    ROW("_sub"),          ROW("_mul"),
    ROW("_div"),          ROW("broadcast_add"),
    ROW("broadcast_sub"), ROW("broadcast_mul"),
    ROW("broadcast_div"), {0},
};
