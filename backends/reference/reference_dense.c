// backends/reference/reference_dense.c: matrix products: FullyConnected, dot, batch_dot.
#ifndef A

#include "reference.h"

// A matrix inside an array: element (i, j) stands at start + i * row + j * column.
typedef struct matrix {
    ref_array x;
    int64_t start, row, column;
} matrix;

// Sizes of c(m, n) = a(m, k) · b(k, n).
typedef struct product {
    int64_t m, n, k;
} product;

// x as an (r, c) matrix, or as the transposed view of a stored (c, r) one.
static matrix view(ref_array x, int64_t r, int64_t c, bool transposed)
{
    return transposed ? (matrix){x, 0, 1, r} : (matrix){x, 0, c, 1};
}

// a(m, k) of dot: the last axis of lhs is contracted, with transpose_a the first.
static product dot_sizes(const tn_call *c, const tn_value_info *lhs, const tn_value_info *rhs)
{
    product p;
    if (tn_call_bool(c, "transpose_a", false))
        p.k = tn_span(lhs, 0, 1), p.m = tn_span(lhs, 1, lhs->ndim);
    else
        p.m = tn_span(lhs, 0, lhs->ndim - 1), p.k = tn_span(lhs, lhs->ndim - 1, lhs->ndim);
    p.n = tn_call_bool(c, "transpose_b", false) ? tn_span(rhs, 0, rhs->ndim - 1)
                                                : tn_span(rhs, 1, rhs->ndim);
    return p;
}

#define THIS_FILE "reference_dense.c"
#include "reference_each_number.h"

#define BOTH(op_, run_)                                                       \
    {.op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .run = run_##_real}, \
    {                                                                         \
        .op = op_, .dtypes = REF_WHOLE, .flags = REF_FLAGS, .run = run_##_int \
    }

const tn_kernel_row ref_dense[] = {
    BOTH("FullyConnected", fully_connected),
    BOTH("dot", dot),
    BOTH("_backward_dot_lhs", backward_dot_lhs),
    BOTH("_backward_dot_rhs", backward_dot_rhs),
    BOTH("batch_dot", batch_dot),
    {0},
};

#else // once per kind of number

// c = a · b + bias, each sum rounded once; bias, one number per column, may have no elements.
static void N(multiply)(product size, matrix c, matrix a, matrix b, ref_array bias)
{
    for (int64_t i = 0; i < size.m; i++) {
        for (int64_t j = 0; j < size.n; j++) {
            A sum = bias.n ? GET(bias, j) : 0;
            for (int64_t l = 0; l < size.k; l++)
                sum += GET(a.x, a.start + i * a.row + l * a.column) *
                       GET(b.x, b.start + l * b.row + j * b.column);
            PUT(c.x, c.start + i * c.row + j * c.column, sum);
        }
    }
}

// output(n, m) = data(n, k) · weight(m, k)ᵀ + bias(m). Without flatten n counts all the axes of
// data but the last.
static tn_status N(fully_connected)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *weight = k->call->in[1];
    const ref_array x = ref_in(k, a, 0), w = ref_in(k, a, 1), y = ref_out(k, a, 0);
    const ref_array bias = a->n_in > 2 ? ref_in(k, a, 2) : (ref_array){0};
    const int64_t m = tn_span(weight, 0, 1), inner = tn_span(weight, 1, weight->ndim);
    const product size = {m ? y.n / m : 0, m, inner};
    N(multiply)
    (size, view(y, size.m, m, false), view(x, size.m, inner, false), view(w, inner, m, true), bias);
    return TN_OK;
}

// out = lhs · rhs over one axis of each
static tn_status N(dot)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const product p = dot_sizes(c, c->in[0], c->in[1]);
    N(multiply)
    (p, view(ref_out(k, a, 0), p.m, p.n, false),
     view(ref_in(k, a, 0), p.m, p.k, tn_call_bool(c, "transpose_a", false)),
     view(ref_in(k, a, 1), p.k, p.n, tn_call_bool(c, "transpose_b", false)), (ref_array){0});
    return TN_OK;
}

// Inputs dy, rhs, lhs' shape: d lhs(m, k) = dy(m, n) · rhs(k, n)ᵀ, laid out as lhs is.
static tn_status N(backward_dot_lhs)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const product p = dot_sizes(c, c->in[2], c->in[1]);
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const bool tb = tn_call_bool(c, "transpose_b", false);
    N(multiply)
    ((product){p.m, p.k, p.n}, view(ref_out(k, a, 0), p.m, p.k, ta),
     view(ref_in(k, a, 0), p.m, p.n, false), view(ref_in(k, a, 1), p.n, p.k, !tb), (ref_array){0});
    return TN_OK;
}

// Inputs dy, lhs, rhs' shape: d rhs(k, n) = lhs(m, k)ᵀ · dy(m, n), laid out as rhs is.
static tn_status N(backward_dot_rhs)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const product p = dot_sizes(c, c->in[1], c->in[2]);
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const bool tb = tn_call_bool(c, "transpose_b", false);
    N(multiply)
    ((product){p.k, p.n, p.m}, view(ref_out(k, a, 0), p.k, p.n, tb),
     view(ref_in(k, a, 1), p.k, p.m, !ta), view(ref_in(k, a, 0), p.m, p.n, false), (ref_array){0});
    return TN_OK;
}

// out(b, m, n) = lhs(b, m, k) · rhs(b, k, n) for each b; the flags transpose the last two axes.
static tn_status N(batch_dot)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const bool tb = tn_call_bool(c, "transpose_b", false);
    const int64_t *out = c->out[0]->dims, *lhs = c->in[0]->dims;
    const product p = {out[1], out[2], lhs[ta ? 1 : 2]};
    matrix y = view(ref_out(k, a, 0), p.m, p.n, false);
    matrix x = view(ref_in(k, a, 0), p.m, p.k, ta), w = view(ref_in(k, a, 1), p.k, p.n, tb);

    for (int64_t b = 0; b < out[0]; b++) {
        y.start = b * p.m * p.n;
        x.start = b * p.m * p.k;
        w.start = b * p.k * p.n;
        N(multiply)(p, y, x, w, (ref_array){0});
    }
    return TN_OK;
}

#endif
