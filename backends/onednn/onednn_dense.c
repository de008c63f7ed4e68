// backends/onednn/onednn_dense.c: FullyConnected, dot and its gradients, batch_dot.
//
// All are matrix products of row-major values, of which each side may be transposed. A weight that
// never changes is packed once, as oneDNN likes it best.
#include "onednn.h"

// y (batch, m, n) = a (batch, m, k) · b (batch, k, n) [+ bias (n)]; t: it lies the other way round.
typedef struct product {
    int64_t batch, m, n, k;
    uint32_t a, b; // inputs
    bool ta, tb, bias;
} product;

// ------------------------------------------------------------------ calls as products

static int64_t quotient(const tn_value_info *v, int64_t k)
{
    return k > 0 ? v->size / k : 0;
}

static product dense_product(const tn_call *c)
{
    const int64_t m = c->in[1]->dims[0], k = c->in[1]->dims[1];
    return (product){.batch = 1,
                     .m = quotient(c->out[0], m),
                     .n = m,
                     .k = k,
                     .b = 1,
                     .tb = true,
                     .bias = c->n_in == 3};
}

// Of dot(lhs, rhs): as stored, lhs is (m, k), or (k, m) if transposed; rhs (k, n), or (n, k).
static product dot_product(const tn_call *c)
{
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const bool tb = tn_call_bool(c, "transpose_b", false);
    const tn_value_info *a = c->in[0], *b = c->in[1];
    const int64_t k = a->ndim ? a->dims[ta ? 0 : a->ndim - 1] : 1;
    return (product){
        .batch = 1, .m = quotient(a, k), .n = quotient(b, k), .k = k, .b = 1, .ta = ta, .tb = tb};
}

// dy, rhs, shape of lhs → dlhs = dy · op(rhs)ᵀ; transposed: op(rhs) · dyᵀ
static product lhs_product(const tn_call *c)
{
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const bool tb = tn_call_bool(c, "transpose_b", false);
    const tn_value_info *dy = c->in[0], *b = c->in[1];
    const int64_t k = b->ndim ? b->dims[tb ? b->ndim - 1 : 0] : 1, n = quotient(b, k);
    const int64_t m = quotient(dy, n);
    if (ta)
        return (product){.batch = 1, .m = k, .n = m, .k = n, .a = 1, .b = 0, .ta = tb, .tb = true};
    return (product){.batch = 1, .m = m, .n = k, .k = n, .a = 0, .b = 1, .tb = !tb};
}

// dy, lhs, shape of rhs → drhs = op(lhs)ᵀ · dy; transposed: dyᵀ · op(lhs)
static product rhs_product(const tn_call *c)
{
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const bool tb = tn_call_bool(c, "transpose_b", false);
    const tn_value_info *dy = c->in[0], *a = c->in[1];
    const int64_t k = a->ndim ? a->dims[ta ? 0 : a->ndim - 1] : 1, m = quotient(a, k);
    const int64_t n = quotient(dy, m);
    if (tb)
        return (product){.batch = 1, .m = n, .n = k, .k = m, .a = 0, .b = 1, .ta = true, .tb = ta};
    return (product){.batch = 1, .m = k, .n = n, .k = m, .a = 1, .b = 0, .ta = !ta};
}

static product batch_product(const tn_call *c)
{
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const tn_value_info *a = c->in[0], *y = c->out[0];
    return (product){.batch = y->dims[0],
                     .m = y->dims[1],
                     .n = y->dims[2],
                     .k = a->dims[ta ? 1 : 2],
                     .b = 1,
                     .ta = ta,
                     .tb = tn_call_bool(c, "transpose_b", false)};
}

static product product_of(const tn_call *c)
{
    static const struct {
        const char *op;
        product (*of)(const tn_call *);
    } kinds[] = {{"FullyConnected", dense_product},
                 {"dot", dot_product},
                 {"_backward_dot_lhs", lhs_product},
                 {"_backward_dot_rhs", rhs_product}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].op, c->op->name) == 0) return kinds[i].of(c);
    return batch_product(c);
}

// ------------------------------------------------------------------ descriptors

// (batch, rows, columns), or without a batch of one; transposed: it lies as (columns, rows).
static dnnl_memory_desc_t matrix(int64_t batch, int64_t rows, int64_t columns, bool transposed,
                                 tn_dtype dtype)
{
    const int first = batch == 1;
    const dnnl_dims_t all = {batch, rows, columns};
    const dnnl_dims_t strides = {rows * columns, transposed ? 1 : columns, transposed ? rows : 1};
    dnnl_dims_t dims, steps;
    dnnl_memory_desc_t md;
    for (int i = first; i < 3; i++) {
        dims[i - first] = all[i];
        steps[i - first] = strides[i];
    }
    if (dnnl_memory_desc_init_by_strides(&md, 3 - first, dims, od_type(dtype), steps) !=
        dnnl_success)
        md = (dnnl_memory_desc_t){0};
    return md;
}

typedef struct matrices {
    dnnl_memory_desc_t a, b, y, bias;
    dnnl_primitive_desc_t pd;
    bool packed;   // b as an inner product's weights (n, k), in a layout of oneDNN's choice
    bool narrow;   // a and b as bfloat16
    bool narrow_y; // y, too
} matrices;

// What is asked: a call and what follows it.
typedef struct question {
    const tn_call *c;
    const od_tail *tail;
    product p;
} question;

static void make_narrow(matrices *x)
{
    if (x->narrow_y) x->y = od_narrow(&x->y);
    if (!x->narrow) return;
    x->a = od_narrow(&x->a);
    x->b = od_narrow(&x->b);
}

static void make_product(const question *q, matrices *x)
{
    const product *p = &q->p;
    const tn_dtype dtype = q->c->out[0]->dtype;
    dnnl_matmul_desc_t d;
    x->a = matrix(p->batch, p->m, p->k, p->ta, dtype);
    x->b = matrix(p->batch, p->k, p->n, p->tb, dtype);
    x->y = matrix(p->batch, p->m, p->n, false, dtype);
    x->bias = matrix(1, 1, p->n, false, dtype);
    make_narrow(x);
    if (dnnl_matmul_desc_init(&d, &x->a, &x->b, p->bias ? &x->bias : NULL, &x->y) == dnnl_success)
        x->pd = od_descriptor_with(&d, q->tail, NULL);
}

// FullyConnected with weights as the call has them, or, any, as oneDNN likes them.
static void make_inner(const question *q, bool any, matrices *x)
{
    const product *p = &q->p;
    const tn_value_info *w = q->c->in[1];
    dnnl_inner_product_desc_t d;
    x->a = matrix(1, p->m, p->k, false, w->dtype);
    x->y = matrix(1, p->m, p->n, false, w->dtype);
    x->b = any ? od_any(w, 0) : od_md(w, 0);
    x->bias = od_dense(1, &p->n, w->dtype);
    make_narrow(x);
    if (dnnl_inner_product_forward_desc_init(&d, dnnl_forward_inference, &x->a, &x->b,
                                             p->bias ? &x->bias : NULL, &x->y) != dnnl_success)
        return;
    x->pd = od_descriptor_with(&d, q->tail, NULL);
    if (x->pd) x->b = od_query(x->pd, dnnl_query_weights_md, 0);
}

static bool is_dense(const tn_call *c)
{
    return strcmp(c->op->name, "FullyConnected") == 0;
}

// May the result be rounded? Not where it leaves this backend, nor where the first axes of both are
// contracted, which makes the gradient of a weight: it may be one of several that are added up.
// What batch_dot computes goes to softmax, which reads float32.
static bool may_round_result(const tn_call *c)
{
    const char *name = c->op->name;
    if (!(c->out[0]->flags & TN_VALUE_STAYS)) return false;
    if (is_dense(c) || strcmp(name, "_backward_dot_lhs") == 0) return true;
    return strcmp(name, "dot") == 0 &&
           (!tn_call_bool(c, "transpose_a", false) || tn_call_bool(c, "transpose_b", false));
}

enum { PLAIN, WISH, AS_IT_IS };

static void make(const question *q, int how, matrices *x)
{
    const int before = od_enter(od_threads(q->c));
    if (x->packed)
        make_inner(q, how == WISH, x);
    else
        make_product(q, x);
    od_leave(before);
}

// Is the weight something else than row-major?
static bool is_packed(const tn_value_info *w)
{
    const dnnl_memory_desc_t plain = od_plain(w, 0), narrow = od_narrow(&plain);
    return !od_fits(od_is_narrow(&w->layout) ? &narrow : &plain, w);
}

// PLAIN: all row-major; WISH: with packed weights if that is worth it, and narrow if that may be;
// AS_IT_IS: with the layouts of the call.
static matrices matrices_of(const tn_call *c, const od_tail *tail, int how)
{
    const question q = {c, tail, product_of(c)};
    matrices x = {0};
    if (how == WISH) x.narrow = od_may_narrow(c);
    if (how == WISH) x.narrow_y = x.narrow && may_round_result(c);
    if (how == AS_IT_IS) x.narrow = od_is_narrow(&c->in[q.p.a]->layout);
    if (how == AS_IT_IS) x.narrow_y = od_is_narrow(&c->out[0]->layout);
    if (is_dense(c) && how == WISH) x.packed = c->in[1]->flags & TN_VALUE_CONST;
    if (is_dense(c) && how == AS_IT_IS) x.packed = is_packed(c->in[1]);
    make(&q, how, &x);
    if (how == WISH && x.narrow && (!x.pd || od_score(x.pd) == 0)) {
        if (x.pd) dnnl_primitive_desc_destroy(x.pd);
        x.pd = NULL;
        x.narrow = x.narrow_y = false;
        make(&q, how, &x);
    }
    return x;
}

// ------------------------------------------------------------------ kernels

static const char *dense_cannot(const tn_call *c, const od_tail *tail)
{
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    matrices x = matrices_of(c, tail, PLAIN);
    const char *why = !x.pd ? od_no_primitive : od_score(x.pd) == 0 ? od_only_loops : NULL;
    if (x.pd) dnnl_primitive_desc_destroy(x.pd);
    return why;
}

static void narrow_layout(const tn_value_info *v, tn_layout *out)
{
    const dnnl_memory_desc_t plain = od_plain(v, 0), md = od_narrow(&plain);
    od_layout(&md, v, out);
}

static tn_status dense_layouts(const tn_call *c, const od_tail *tail, tn_layout *in, tn_layout *out)
{
    matrices x = matrices_of(c, tail, WISH);
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    for (uint32_t i = 0; i < 2 && x.pd && x.narrow; i++) narrow_layout(c->in[i], &in[i]);
    if (x.pd && x.narrow_y) narrow_layout(c->out[0], &out[0]);
    if (x.pd && x.packed && !od_layout(&x.b, c->in[1], &in[1])) in[1] = (tn_layout){NULL, 0, 0};
    if (x.pd) dnnl_primitive_desc_destroy(x.pd);
    return TN_OK;
}

static tn_status dense_add(tn_sdk_kernel *k, const tn_call *c, const od_tail *tail,
                           tn_kernel_info *info)
{
    const product p = product_of(c);
    matrices x = matrices_of(c, tail, AS_IT_IS);
    tn_status s = x.pd ? od_add(k, info, x.pd, 4) : od_fail(k, dnnl_unimplemented, "a product");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &x.a, OD_IN, p.a);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_WEIGHTS, &x.b, OD_IN, p.b);
    if (s == TN_OK && p.bias) s = od_bind(k, DNNL_ARG_BIAS, &x.bias, OD_IN, 2);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &x.y, OD_OUT, 0);
    if (x.pd) dnnl_primitive_desc_destroy(x.pd);
    return s;
}

const od_leader onednn_dense_leader = {"FullyConnected dot batch_dot", dense_cannot, dense_layouts,
                                       dense_add};

static const char *cannot(const tn_call *c)
{
    return dense_cannot(c, NULL);
}

static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    (void)host;
    return dense_layouts(c, NULL, in, out);
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return od_end(k, dense_add(k, k->call, NULL, info));
}

#define ROW(op_)                                                                         \
    {                                                                                    \
        .op = op_, .dtypes = OD_FLOATS, .flags = OD_FLAGS, .impl = "matmul",             \
        .state_size = sizeof(od_state), .cannot = cannot, .setup = setup, .run = od_run, \
        .teardown = od_stop, .layouts = layouts                                          \
    }

const tn_kernel_row onednn_dense[] = {
    ROW("FullyConnected"),    ROW("dot"),       ROW("_backward_dot_lhs"),
    ROW("_backward_dot_rhs"), ROW("batch_dot"), {0},
};
