// backends/onednn/onednn_binary.c: functions of two values of one shape, or of which the second is
// broadcast. add_n of two is one of them, too, because it may be computed in place.
#include "onednn.h"

static const struct {
    const char *op;
    dnnl_alg_kind_t kind;
} kinds[] = {
    {"elemwise_add", dnnl_binary_add},  {"_grad_add", dnnl_binary_add},
    {"add_n", dnnl_binary_add},         {"_sub", dnnl_binary_sub},
    {"_mul", dnnl_binary_mul},          {"_div", dnnl_binary_div},
    {"broadcast_add", dnnl_binary_add}, {"broadcast_sub", dnnl_binary_sub},
    {"broadcast_mul", dnnl_binary_mul}, {"broadcast_div", dnnl_binary_div},
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

static bool is_symmetric(const tn_call *c)
{
    const dnnl_alg_kind_t kind = kind_of(c);
    return kind == dnnl_binary_add || kind == dnnl_binary_mul;
}

// How a value of call c is seen if one side is broadcast: neighbouring axes that are both repeated
// or both not count as one, since oneDNN has fast code for few axes only.
typedef struct view {
    int n;
    dnnl_dims_t whole, part; // extents of the result and of the side that is repeated
} view;

static void add_axis(view *v, int64_t whole, int64_t part)
{
    v->whole[v->n] = whole;
    v->part[v->n++] = part;
}

static view view_of(const tn_value_info *part, const tn_value_info *y)
{
    enum { NONE, REPEATED, KEPT } before = NONE;
    const int32_t lacks = y->ndim - part->ndim;
    view v = {0};
    for (int32_t i = 0; i < y->ndim; i++) {
        const int64_t dim = y->dims[i];
        const bool kept = i >= lacks && part->dims[i - lacks] == dim;
        if (dim == 1) continue;
        if (before == (kept ? KEPT : REPEATED)) {
            v.whole[v.n - 1] *= dim;
            if (kept) v.part[v.n - 1] *= dim;
            continue;
        }
        if (before == NONE && kept) add_axis(&v, 1, 1); // in front of the channels
        add_axis(&v, dim, kept ? dim : 1);
        before = kept ? KEPT : REPEATED;
    }
    if (v.n == 0) add_axis(&v, 1, 1);
    return v;
}

// Of the call and what follows; plain: as if all were row-major.
static pair pair_of(const tn_call *c, const od_tail *tail, bool plain)
{
    const dnnl_alg_kind_t kind = kind_of(c);
    const tn_value_info *y = c->out[0];
    pair p = {.first =
                  is_symmetric(c) && !tn_same_shape(c->in[0], y) && tn_same_shape(c->in[1], y)};
    dnnl_binary_desc_t d;
    if (tn_same_shape(c->in[0], y) && tn_same_shape(c->in[1], y)) {
        p.a = plain ? od_plain(c->in[0], 0) : od_md(c->in[0], 0);
        p.b = plain ? od_plain(c->in[1], 0) : od_md(c->in[1], 0);
        p.y = plain ? od_plain(y, 0) : od_md(y, 0);
    } else {
        const view v = view_of(c->in[!p.first], y);
        p.a = p.y = od_dense(v.n, v.whole, y->dtype);
        p.b = od_dense(v.n, v.part, y->dtype);
    }
    const int before = od_enter(od_threads(c));
    if (dnnl_binary_desc_init(&d, kind, &p.a, &p.b, &p.y) == dnnl_success)
        p.pd = od_descriptor_with(&d, tail, NULL);
    od_leave(before);
    return p;
}

static const char *binary_cannot(const tn_call *c, const od_tail *tail)
{
    const tn_value_info *y = c->out[0];
    if (c->n_in != 2) return "add_n of another number than two";
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    if (!tn_same_shape(c->in[0], y) && !tn_same_shape(c->in[1], y))
        return "both sides are broadcast";
    if (!tn_same_shape(c->in[0], y) && !is_symmetric(c)) return "the first side is broadcast";
    pair p = pair_of(c, tail, true);
    const char *why = !p.pd ? od_no_primitive : od_score(p.pd) == 0 ? od_only_loops : NULL;
    if (p.pd) dnnl_primitive_desc_destroy(p.pd);
    return why;
}

static bool broadcasts(const tn_call *c)
{
    return !tn_same_shape(c->in[0], c->out[0]) || !tn_same_shape(c->in[1], c->out[0]);
}

// A value that is broadcast has other strides than the layout says: only row-major is sure then.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    (void)host;
    od_follow(c, (const uint32_t[]){0, 1}, broadcasts(c) ? 0 : 2, in, out);
    return TN_OK;
}

static tn_status binary_add(tn_sdk_kernel *k, const tn_call *c, const od_tail *tail,
                            tn_kernel_info *info)
{
    pair p = pair_of(c, tail, false);
    if (!p.pd) return od_fail(k, dnnl_unimplemented, c->op->name);
    tn_status s = od_add(k, info, p.pd, 3);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC_0, &p.a, OD_IN, p.first);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC_1, &p.b, OD_IN, !p.first);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &p.y, OD_OUT, 0);
    dnnl_primitive_desc_destroy(p.pd);
    return s;
}

static const char *cannot(const tn_call *c)
{
    return binary_cannot(c, NULL);
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return od_end(k, binary_add(k, k->call, NULL, info));
}

// ------------------------------------------------------------------ at the beginning of fused
// calls

// Only with channels, where values have layouts that only we read: other backends fuse longer
// chains.
static const char *leader_cannot(const tn_call *c, const od_tail *tail)
{
    if (c->out[0]->ndim < 3) return "a chain of functions of row-major values";
    return tail->sum ? "a sum of three" : binary_cannot(c, tail);
}

static tn_status leader_layouts(const tn_call *c, const od_tail *tail, tn_layout *in,
                                tn_layout *out)
{
    (void)tail;
    return layouts(NULL, c, in, out);
}

static tn_status leader_add(tn_sdk_kernel *k, const tn_call *c, const od_tail *tail,
                            tn_kernel_info *info)
{
    tn_row_inplace(c, info);
    return binary_add(k, c, tail, info);
}

const od_leader onednn_binary_leader = {"elemwise_add _grad_add add_n", leader_cannot,
                                        leader_layouts, leader_add};

#define ROW(op_)                                                                                 \
    {                                                                                            \
        .op = op_, .dtypes = OD_FLOATS, .flags = OD_FLAGS | TN_K_DETERMINISTIC | TN_ROW_INPLACE, \
        .impl = "binary", .state_size = sizeof(od_state), .cannot = cannot, .setup = setup,      \
        .run = od_run, .teardown = od_stop, .layouts = layouts                                   \
    }

const tn_kernel_row onednn_binary[] = {
    ROW("elemwise_add"),
    ROW("_grad_add"),
    ROW("add_n"),
    ROW("_sub"),
    ROW("_mul"),
    ROW("_div"),
    ROW("broadcast_add"),
    ROW("broadcast_sub"),
    ROW("broadcast_mul"),
    ROW("broadcast_div"),
    {0},
};
