// core/ops/cholesky.c: the factor of a positive definite matrix and what is made of it:
// linalg_potrf, linalg_potri, linalg_sumlogdiag; and machinery: _tril, _linalg_transpose.
#include "core/ops/linalg.h"

#define SOURCE .source = "MXNet 0.11, src/operator/tensor/la_op.cc"

static tn_status square_shape(const tn_infer *io)
{
    return tni_matrices(io, (const tni_matrix[]){{TNI_IN(0), 0, 0}, {TNI_OUT(0), 0, 0}}, 2);
}

// ------------------------------------------------------------------ _tril
//
//     output[…, i, j] = data[…, i, j] where j <= i + k, else 0

typedef struct tril_params {
    int64_t k;
} tril_params;

static tn_status tril_shape(const tn_infer *io)
{
    return tni_matrices(io, (const tni_matrix[]){{TNI_IN(0), 0, 1}, {TNI_OUT(0), 0, 1}}, 2);
}

static tn_sym tril(const tn_builder *b, tn_sym x, int64_t k)
{
    char text[TN_TEXT];
    return tn_emit(b, "_tril", tn_text(text, "k=%lld", (long long)k), &x, 1);
}

static tn_status tril_gradient(const tn_builder *b)
{
    const tril_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tril(b, dy, p->k));
    return TN_OK;
}

static tn_status tril_expand(const tn_builder *b)
{
    const tril_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const tn_sym row = tn_emit(b, "_positions", "axis=-2", &x, 1);
    const tn_sym last = tni_call_scalar(b, "_plus_scalar", row, (double)p->k);
    const tn_sym column = tn_emit(b, "_positions", "axis=-1", &x, 1);
    const tn_sym kept = tni_call2(b, "_lesser_equal", column, last);
    b->set_output(b->ctx, 0, TN_EMIT(b, "where", NULL, kept, x, tni_call(b, "zeros_like", x)));
    return TN_OK;
}

const tn_op_decl tni_op_tril =
    TN_OP(.name = "_tril", .flags = TN_OP_INTERNAL,
          .doc = "The lower triangle of matrices, up to diagonal k; 0 above it.",
          .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")),
          .params = TN_PARAMS(TN_PARAM(tril_params, k, TN_P_I64, .def = "0",
                                       .range = "[-1000000000000,1000000000000]",
                                       .doc = "diagonals above the main one that are kept")),
          .params_size = sizeof(tril_params), .infer_shape = tril_shape, .gradient = tril_gradient,
          .expand = tril_expand);

// ------------------------------------------------------------------ _linalg_transpose

static tn_status transpose_shape(const tn_infer *io)
{
    return tni_matrices(io, (const tni_matrix[]){{TNI_IN(0), 0, 1}, {TNI_OUT(0), 1, 0}}, 2);
}

static tn_status transpose_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call(b, "_linalg_transpose", dy));
    return TN_OK;
}

static tn_status transpose_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    const int32_t ndim = b->shape(b->ctx, x)->ndim;
    char text[TN_TEXT];
    if (ndim < 2) return b->fail(b->ctx, TN_E_SHAPE, "_linalg_transpose: wanted a known shape");
    tn_text(text, "dim1=%d; dim2=%d", ndim - 2, ndim - 1);
    b->set_output(b->ctx, 0, tn_emit(b, "SwapAxis", text, &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_linalg_transpose =
    TN_OP(.name = "_linalg_transpose", .flags = TN_OP_INTERNAL,
          .doc = "Transposes matrices: swaps the last two axes.",
          .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = transpose_shape,
          .gradient = transpose_gradient, .expand = transpose_expand);

// ------------------------------------------------------------------ linalg_potrf
//
//     A = L Lᵀ, L lower triangular with a positive diagonal
//
// Only the lower triangle of A is read. With P the lower triangle of Lᵀ dL, its diagonal halved:
// dA = (S + Sᵀ) / 2, S = L⁻ᵀ P L⁻¹: the derivative for changes that leave A symmetric.
// Source: Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527.

static tn_status potrf_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0), l = tn_grad_out(b, 0);
    if (!dy) return TN_OK;
    const tn_sym full = tni_gemm2(b, l, tril(b, dy, 0), &(tni_gemm){true, false, 0.5});
    const tn_sym p = tni_call2(b, "elemwise_add", tril(b, full, 0), tril(b, full, -1));
    const tn_sym s = tni_trsm(b, l, tni_trsm(b, l, p, true, false, 1), false, true, 0.5);
    const tn_sym turned = tni_call(b, "_linalg_transpose", s);
    tn_grad_set(b, 0, tni_call2(b, "elemwise_add", s, turned));
    return TN_OK;
}

const tn_op_decl tni_op_linalg_potrf =
    TN_OP(.name = "linalg_potrf", .aliases = "_linalg_potrf",
          .doc = "Cholesky factors: the lower triangular L with L transpose(L) = A. Only the lower "
                 "triangle of A is read, and it is an error while running if A is not positive "
                 "definite. The gradient is symmetric.",
          .family = "linear algebra",
          .formula =
              "A = y . y^T, y lower triangular with a positive diagonal;  dA = (S + S^T) / 2, S = "
              "y^-T . P . y^-1, P the lower triangle of y^T . dy with half its diagonal",
          .shape_rule = "(..., n, n) -> (..., n, n)", SOURCE,
          .inputs =
              TN_PORTS(TN_PORT(.name = "A", .doc = "(..., n, n): symmetric, positive definite")),
          .outputs =
              TN_PORTS(TN_PORT(.name = "output", .doc = "(..., n, n): 0 above the diagonal")),
          .infer_shape = square_shape, .gradient = potrf_gradient);

// ------------------------------------------------------------------ linalg_potri
//
//     output = (A Aᵀ)⁻¹ = A⁻ᵀ A⁻¹, A lower triangular
//
//     dA = -tril(Y (dY + dYᵀ) A⁻ᵀ)

static tn_status potri_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0), a = tn_grad_in(b, 0), y = tn_grad_out(b, 0);
    if (!dy) return TN_OK;
    const tn_sym both = tni_call2(b, "elemwise_add", dy, tni_call(b, "_linalg_transpose", dy));
    const tn_sym product = tni_gemm2(b, y, both, &(tni_gemm){false, false, -1});
    tn_grad_set(b, 0, tril(b, tni_trsm(b, a, product, true, true, 1), 0));
    return TN_OK;
}

// 1 on the diagonals of matrices like x, as int64.
static tn_sym diagonal(const tn_builder *b, tn_sym x)
{
    const tn_sym row = tn_emit(b, "_positions", "axis=-2", &x, 1);
    return tni_call2(b, "_equal", row, tn_emit(b, "_positions", "axis=-1", &x, 1));
}

static tn_status potri_expand(const tn_builder *b)
{
    const tn_sym a = tn_grad_in(b, 0);
    const tn_sym unit = TN_EMIT(b, "where", NULL, diagonal(b, a), tni_call(b, "ones_like", a),
                                tni_call(b, "zeros_like", a));
    const tn_sym inverse = tni_trsm(b, a, unit, false, false, 1);
    b->set_output(b->ctx, 0, tni_gemm2(b, inverse, inverse, &(tni_gemm){true, false, 1}));
    return TN_OK;
}

const tn_op_decl tni_op_linalg_potri =
    TN_OP(.name = "linalg_potri", .aliases = "_linalg_potri",
          .doc = "Inverses of positive definite matrices from their Cholesky factors: "
                 "output = inverse(A transpose(A)). The gradient is lower triangular.",
          .family = "linear algebra",
          .formula = "y = (A . A^T)^-1, A lower triangular;  dA = -tril(y . (dy + dy^T) . A^-T)",
          .shape_rule = "(..., n, n) -> (..., n, n)", SOURCE,
          .inputs = TN_PORTS(TN_PORT(.name = "A", .doc = "(..., n, n): lower triangular factors, "
                                                         "the rest is not read")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(..., n, n): symmetric")),
          .infer_shape = square_shape, .gradient = potri_gradient, .expand = potri_expand);

// ------------------------------------------------------------------ linalg_sumlogdiag
//
//     output[…] = Σᵢ log A[…, i, i]

static tn_status sumlogdiag_shape(const tn_infer *io)
{
    tn_shape a = tni_shape(io, TNI_IN(0));
    if (a.ndim < 0) return TN_OK;
    TNI_TRY(tni_matrices(io, (const tni_matrix[]){{TNI_IN(0), 0, 0}}, 1));
    a = tni_shape(io, TNI_IN(0));
    if (a.ndim == 2) return tni_merge(io, TNI_OUT(0), tn_shape_1d(1));
    tn_shape y = tn_shape_rank(a.ndim - 2);
    memcpy(y.dim, a.dim, (size_t)y.ndim * sizeof *y.dim);
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    y = tni_shape(io, TNI_OUT(0));
    memcpy(a.dim, y.dim, (size_t)y.ndim * sizeof *y.dim);
    return tni_merge(io, TNI_IN(0), a);
}

static tn_status sumlogdiag_expand(const tn_builder *b)
{
    const tn_sym a = tn_grad_in(b, 0), one = tni_call(b, "ones_like", a);
    const tn_sym x = TN_EMIT(b, "where", NULL, diagonal(b, a), a, one);
    const tn_sym logs = tni_call(b, "log", x);
    b->set_output(b->ctx, 0, tn_emit(b, "sum", "axis=(-2,-1)", &logs, 1));
    return TN_OK;
}

const tn_op_decl tni_op_linalg_sumlogdiag =
    TN_OP(.name = "linalg_sumlogdiag", .aliases = "_linalg_sumlogdiag",
          .doc = "The sum of the logarithms of each matrix's diagonal: half the logarithm of the "
                 "determinant, for a Cholesky factor.",
          .family = "linear algebra",
          .formula = "y[...] = sum_i log A[...,i,i];  dA[...,i,i] = dy[...] / A[...,i,i]",
          .shape_rule = "(..., n, n) -> (...); one matrix: (1,)", SOURCE,
          .inputs = TN_PORTS(TN_PORT(.name = "A", .doc = "(..., n, n)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the leading axes; (1,) if none")),
          .infer_shape = sumlogdiag_shape, .expand = sumlogdiag_expand);
