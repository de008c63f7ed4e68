// backends/blas/blas_dense.c: matrix products: FullyConnected, dot, batch_dot.
#include <limits.h>

#include "blas.h"

// The product that a kernel computes, as far as it is known at setup: all but the addresses.
typedef struct dense {
    blas_lead lead;
    blas_gemm g;
    uint32_t a, b; // inputs
    int32_t bias;  // input, -1: none
} dense;

// x as an (r, c) matrix, or as the transposed view of a stored (c, r) one.
static blas_matrix view(int64_t r, int64_t c, bool transposed)
{
    return (blas_matrix){NULL, transposed ? r : c, transposed};
}

// a(m, k) of dot: the last axis of lhs is contracted, with transpose_a the first.
static blas_product dot_sizes(const tn_call *c, const tn_value_info *lhs, const tn_value_info *rhs)
{
    blas_product p;
    if (tn_call_bool(c, "transpose_a", false))
        p.k = tn_span(lhs, 0, 1), p.m = tn_span(lhs, 1, lhs->ndim);
    else
        p.m = tn_span(lhs, 0, lhs->ndim - 1), p.k = tn_span(lhs, lhs->ndim - 1, lhs->ndim);
    p.n = tn_call_bool(c, "transpose_b", false) ? tn_span(rhs, 0, rhs->ndim - 1)
                                                : tn_span(rhs, 1, rhs->ndim);
    return p;
}

// output(n, m) = data(n, k) · weight(m, k)ᵀ + bias(m). Without flatten n counts all the axes of
// data but the last.
static dense fully_connected(const tn_call *c)
{
    const tn_value_info *weight = c->in[1];
    const int64_t m = tn_span(weight, 0, 1), inner = tn_span(weight, 1, weight->ndim);
    const blas_product size = {m ? c->out[0]->size / m : 0, m, inner};
    return (dense){.g = {.size = size,
                         .c = view(size.m, m, false),
                         .a = view(size.m, inner, false),
                         .b = view(inner, m, true),
                         .batch = 1},
                   .a = 0,
                   .b = 1,
                   .bias = c->n_in > 2 ? 2 : -1};
}

// out = lhs · rhs over one axis of each
static dense dot(const tn_call *c)
{
    const blas_product p = dot_sizes(c, c->in[0], c->in[1]);
    return (dense){.g = {.size = p,
                         .c = view(p.m, p.n, false),
                         .a = view(p.m, p.k, tn_call_bool(c, "transpose_a", false)),
                         .b = view(p.k, p.n, tn_call_bool(c, "transpose_b", false)),
                         .batch = 1},
                   .a = 0,
                   .b = 1,
                   .bias = -1};
}

// Inputs dy, rhs, lhs' shape: d lhs(m, k) = dy(m, n) · rhs(k, n)ᵀ, laid out as lhs is.
static dense backward_dot_lhs(const tn_call *c)
{
    const blas_product p = dot_sizes(c, c->in[2], c->in[1]);
    return (dense){.g = {.size = {p.m, p.k, p.n},
                         .c = view(p.m, p.k, tn_call_bool(c, "transpose_a", false)),
                         .a = view(p.m, p.n, false),
                         .b = view(p.n, p.k, !tn_call_bool(c, "transpose_b", false)),
                         .batch = 1},
                   .a = 0,
                   .b = 1,
                   .bias = -1};
}

// Inputs dy, lhs, rhs' shape: d rhs(k, n) = lhs(m, k)ᵀ · dy(m, n), laid out as rhs is.
static dense backward_dot_rhs(const tn_call *c)
{
    const blas_product p = dot_sizes(c, c->in[1], c->in[2]);
    return (dense){.g = {.size = {p.k, p.n, p.m},
                         .c = view(p.k, p.n, tn_call_bool(c, "transpose_b", false)),
                         .a = view(p.k, p.m, !tn_call_bool(c, "transpose_a", false)),
                         .b = view(p.m, p.n, false),
                         .batch = 1},
                   .a = 1,
                   .b = 0,
                   .bias = -1};
}

// out(b, m, n) = lhs(b, m, k) · rhs(b, k, n) for each b; the flags transpose the last two axes.
static dense batch_dot(const tn_call *c)
{
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const int64_t *out = c->out[0]->dims;
    const blas_product p = {out[1], out[2], c->in[0]->dims[ta ? 1 : 2]};
    return (dense){.g = {.size = p,
                         .c = view(p.m, p.n, false),
                         .a = view(p.m, p.k, ta),
                         .b = view(p.k, p.n, tn_call_bool(c, "transpose_b", false)),
                         .batch = out[0],
                         .c_step = p.m * p.n,
                         .a_step = p.m * p.k,
                         .b_step = p.k * p.n},
                   .a = 0,
                   .b = 1,
                   .bias = -1};
}

static const struct {
    const char *op;
    dense (*describe)(const tn_call *c);
} products[] = {
    {"FullyConnected", fully_connected},
    {"dot", dot},
    {"_backward_dot_lhs", backward_dot_lhs},
    {"_backward_dot_rhs", backward_dot_rhs},
    {"batch_dot", batch_dot},
};

static dense describe(const tn_call *c)
{
    size_t i = 0;
    while (strcmp(products[i].op, c->op->name) != 0) i++; // each row below is in the table
    return products[i].describe(c);
}

static const char *cannot(const tn_call *c)
{
    const blas_product p = describe(c).g.size;
    if (p.m > INT_MAX || p.n > INT_MAX || p.k > INT_MAX)
        return "a size is over INT_MAX, the index type of BLAS";
    return NULL;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    dense *d = k->state;
    *d = describe(k->call);
    d->g.dtype = k->call->out[0]->dtype;
    info->impl = blas_gemm_impl(d->g.dtype);
    return TN_OK;
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const dense *d = k->state;
    blas_gemm g = d->g;
    g.c.p = blas_out(a, 0);
    g.a.p = a->in[d->a].host;
    g.b.p = a->in[d->b].host;
    g.tail = d->lead.tail;
    if (d->bias >= 0) g.bias = blas_in(a, (uint32_t)d->bias);
    blas_multiply(k, a, &g);
    return TN_OK;
}

#define ROW(op_)                                                                           \
    {                                                                                      \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(dense), \
        .cannot = cannot, .setup = setup, .run = run                                       \
    }

const tn_kernel_row blas_dense[] = {
    ROW("FullyConnected"),    ROW("dot"),       ROW("_backward_dot_lhs"),
    ROW("_backward_dot_rhs"), ROW("batch_dot"), {0},
};
