// core/ops/linalg.c: products and triangular systems of matrices: linalg_gemm, linalg_gemm2,
// linalg_syrk, linalg_trmm, linalg_trsm.
//
// A value holds one matrix in its last two axes for each entry of the axes before. Triangular
// matrices are lower ones: what stands above their diagonal is never read, and gradients of them
// are 0 there. op(X) is X or its transpose. linalg_trsm is a primitive; the others expand.
#include "core/ops/linalg.h"
#include "core/base/base.h"

#define SOURCE .source = "MXNet 0.11, src/operator/tensor/la_op.cc"

typedef struct linalg_params {
    int32_t transpose_a, transpose_b, transpose, rightside;
    double alpha, beta;
} linalg_params;

#define FLAG(field, doc_) TN_PARAM(linalg_params, field, TN_P_BOOL, .def = "False", .doc = doc_)
#define FACTOR(field, doc_) TN_PARAM(linalg_params, field, TN_P_F64, .def = "1.0", .doc = doc_)

// ------------------------------------------------------------------ rules and calls

// Leading extents, and those that the letters mean; -1: unknown so far.
typedef struct extents {
    int32_t ndim;
    int64_t lead[TN_MAX_NDIM], letter[TNI_LETTERS];
} extents;

static tn_status collect(const tn_infer *io, const tni_matrix *m, extents *x)
{
    const tn_shape s = tni_shape(io, m->slot);
    if (s.ndim < 0) return TN_OK;
    if (s.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "wanted matrices, of at least 2 axes, got %d axes",
                             s.ndim);
    if (x->ndim < 0) x->ndim = s.ndim;
    for (int32_t i = 0; i < s.ndim - 2; i++)
        if (x->lead[i] < 0) x->lead[i] = s.dim[i];
    if (x->letter[m->rows] < 0) x->letter[m->rows] = s.dim[s.ndim - 2];
    if (x->letter[m->cols] < 0) x->letter[m->cols] = s.dim[s.ndim - 1];
    return TN_OK;
}

tn_status tni_matrices(const tn_infer *io, const tni_matrix *m, size_t n)
{
    extents x = {.ndim = -1};
    for (int32_t i = 0; i < TN_MAX_NDIM; i++) x.lead[i] = -1;
    for (int32_t i = 0; i < TNI_LETTERS; i++) x.letter[i] = -1;
    for (size_t i = 0; i < n; i++) TNI_TRY(collect(io, &m[i], &x));
    if (x.ndim < 0) return TN_OK;
    for (size_t i = 0; i < n; i++) {
        tn_shape s = tn_shape_rank(x.ndim);
        memcpy(s.dim, x.lead, (size_t)(x.ndim - 2) * sizeof *s.dim);
        s.dim[x.ndim - 2] = x.letter[m[i].rows];
        s.dim[x.ndim - 1] = x.letter[m[i].cols];
        TNI_TRY(tni_merge(io, m[i].slot, s)); // finds what contradicts
    }
    return TN_OK;
}

tn_sym tni_gemm2(const tn_builder *b, tn_sym x, tn_sym y, const tni_gemm *g)
{
    char text[TN_TEXT], alpha[TNI_NUMBER];
    tn_text(text, "transpose_a=%d; transpose_b=%d; alpha=%s", g->ta, g->tb,
            tni_number(alpha, g->alpha));
    return TN_EMIT(b, "linalg_gemm2", text, x, y);
}

tn_sym tni_trsm(const tn_builder *b, tn_sym a, tn_sym x, bool transpose, bool rightside,
                double alpha)
{
    char text[TN_TEXT], number[TNI_NUMBER];
    tn_text(text, "transpose=%d; rightside=%d; alpha=%s", transpose, rightside,
            tni_number(number, alpha));
    return TN_EMIT(b, "linalg_trsm", text, a, x);
}

static tn_sym times(const tn_builder *b, tn_sym x, double factor)
{
    return factor == 1 ? x : tni_call_scalar(b, "_mul_scalar", x, factor);
}

// ------------------------------------------------------------------ linalg_gemm2, linalg_gemm
//
//     gemm2 = alpha op(A) op(B),  gemm = gemm2 + beta C
//
//     dA = alpha dY op(B)ᵀ, or alpha op(B) dYᵀ if A is transposed;  dB likewise;  dC = beta dY

static tn_status gemm_shape(const tn_infer *io)
{
    const linalg_params *p = io->params;
    const bool ta = p->transpose_a, tb = p->transpose_b; // m, n, k: 0, 1, 2
    return tni_matrices(io,
                        (const tni_matrix[]){{TNI_IN(0), ta ? 2 : 0, ta ? 0 : 2},
                                             {TNI_IN(1), tb ? 1 : 2, tb ? 2 : 1},
                                             {TNI_OUT(0), 0, 1},
                                             {TNI_IN(2), 0, 1}},
                        io->n_in > 2 ? 4 : 3);
}

static tn_status gemm_gradient(const tn_builder *b)
{
    const linalg_params *p = b->params;
    const bool ta = p->transpose_a, tb = p->transpose_b;
    const tn_sym dy = tn_grad_head(b, 0), l = tn_grad_in(b, 0), r = tn_grad_in(b, 1);
    if (!dy) return TN_OK;
    tn_grad_set(b, 0,
                ta ? tni_gemm2(b, r, dy, &(tni_gemm){tb, true, p->alpha})
                   : tni_gemm2(b, dy, r, &(tni_gemm){false, !tb, p->alpha}));
    tn_grad_set(b, 1,
                tb ? tni_gemm2(b, dy, l, &(tni_gemm){true, ta, p->alpha})
                   : tni_gemm2(b, l, dy, &(tni_gemm){!ta, false, p->alpha}));
    if (b->n_in > 2) tn_grad_set(b, 2, times(b, dy, p->beta));
    return TN_OK;
}

static tn_status gemm2_expand(const tn_builder *b)
{
    const linalg_params *p = b->params;
    const tn_sym y =
        tni_matmul(b, tn_grad_in(b, 0), tn_grad_in(b, 1), p->transpose_a, p->transpose_b);
    b->set_output(b->ctx, 0, times(b, y, p->alpha));
    return TN_OK;
}

static tn_status gemm_expand(const tn_builder *b)
{
    const linalg_params *p = b->params;
    const tn_sym y = tni_gemm2(b, tn_grad_in(b, 0), tn_grad_in(b, 1),
                               &(tni_gemm){p->transpose_a, p->transpose_b, p->alpha});
    b->set_output(b->ctx, 0, tni_call2(b, "elemwise_add", y, times(b, tn_grad_in(b, 2), p->beta)));
    return TN_OK;
}

#define GEMM_PORTS                                                          \
    TN_PORT(.name = "A", .doc = "(..., m, k); (..., k, m) if transpose_a"), \
        TN_PORT(.name = "B", .doc = "(..., k, n); (..., n, k) if transpose_b")
#define GEMM_FLAGS                                    \
    FLAG(transpose_a, "transpose the matrices in A"), \
        FLAG(transpose_b, "transpose the matrices in B")
#define ALPHA FACTOR(alpha, "factor of the product")

const tn_op_decl tni_op_linalg_gemm2 =
    TN_OP(.name = "linalg_gemm2", .aliases = "_linalg_gemm2",
          .doc = "Products of matrices, one for each entry of the leading axes, which are equal: "
                 "output = alpha op(A) op(B).",
          .family = "linear algebra",
          .formula = "y = alpha * op(A) . op(B);  dA = alpha * dy . op(B)^T,  dB = alpha * op(A)^T "
                     ". dy, transposed as A and B are",
          .shape_rule = "(..., m, k) (..., k, n) -> (..., m, n)", SOURCE,
          .inputs = TN_PORTS(GEMM_PORTS),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(..., m, n)")),
          .params = TN_PARAMS(GEMM_FLAGS, ALPHA), .params_size = sizeof(linalg_params),
          .infer_shape = gemm_shape, .gradient = gemm_gradient, .expand = gemm2_expand);

const tn_op_decl tni_op_linalg_gemm =
    TN_OP(.name = "linalg_gemm", .aliases = "_linalg_gemm",
          .doc = "Products of matrices, one for each entry of the leading axes, added to others: "
                 "output = alpha op(A) op(B) + beta C.",
          .family = "linear algebra",
          .formula = "y = alpha * op(A) . op(B) + beta * C;  dA = alpha * dy . op(B)^T,  dB = "
                     "alpha * op(A)^T . dy, transposed as A and B are,  dC = beta * dy",
          .shape_rule = "(..., m, k) (..., k, n) (..., m, n) -> (..., m, n)", SOURCE,
          .inputs = TN_PORTS(GEMM_PORTS, TN_PORT(.name = "C", .doc = "(..., m, n)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(..., m, n)")),
          .params = TN_PARAMS(GEMM_FLAGS, ALPHA, FACTOR(beta, "factor of C")),
          .params_size = sizeof(linalg_params), .infer_shape = gemm_shape,
          .gradient = gemm_gradient, .expand = gemm_expand);

// ------------------------------------------------------------------ linalg_syrk
//
//     output = alpha A Aᵀ, or alpha Aᵀ A if transposed

static tn_status syrk_shape(const tn_infer *io)
{
    const linalg_params *p = io->params;
    const int8_t side = p->transpose ? 1 : 0;
    return tni_matrices(io, (const tni_matrix[]){{TNI_IN(0), 0, 1}, {TNI_OUT(0), side, side}}, 2);
}

static tn_status syrk_expand(const tn_builder *b)
{
    const linalg_params *p = b->params;
    const tn_sym a = tn_grad_in(b, 0);
    b->set_output(b->ctx, 0,
                  tni_gemm2(b, a, a, &(tni_gemm){p->transpose, !p->transpose, p->alpha}));
    return TN_OK;
}

const tn_op_decl tni_op_linalg_syrk =
    TN_OP(.name = "linalg_syrk", .aliases = "_linalg_syrk",
          .doc = "Products of matrices with their own transposes: output = alpha A transpose(A), "
                 "or alpha transpose(A) A with transpose.",
          .family = "linear algebra",
          .formula = "y = alpha * A . A^T, or alpha * A^T . A with transpose",
          .shape_rule = "(..., m, n) -> (..., m, m), or (..., n, n) with transpose",
          .source = "MXNet 1.x, src/operator/tensor/la_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "A", .doc = "(..., m, n)")),
          .outputs =
              TN_PORTS(TN_PORT(.name = "output", .doc = "(..., m, m); (..., n, n) if transpose")),
          .params = TN_PARAMS(FLAG(transpose, "the transpose stands on the left"), ALPHA),
          .params_size = sizeof(linalg_params), .infer_shape = syrk_shape, .expand = syrk_expand);

// ------------------------------------------------------------------ linalg_trmm
//
//     output = alpha op(A) B, or alpha B op(A) on the right side, A lower triangular

static tn_status triangular_shape(const tn_infer *io)
{
    const linalg_params *p = io->params;
    const int8_t rows = p->rightside ? 1 : 0, cols = p->rightside ? 0 : 1; // A is (0, 0)
    return tni_matrices(
        io,
        (const tni_matrix[]){{TNI_IN(0), 0, 0}, {TNI_IN(1), rows, cols}, {TNI_OUT(0), rows, cols}},
        3);
}

static tn_status trmm_expand(const tn_builder *b)
{
    const linalg_params *p = b->params;
    const tn_sym a = tni_call(b, "_tril", tn_grad_in(b, 0)), x = tn_grad_in(b, 1);
    const bool t = p->transpose;
    b->set_output(b->ctx, 0,
                  p->rightside ? tni_gemm2(b, x, a, &(tni_gemm){false, t, p->alpha})
                               : tni_gemm2(b, a, x, &(tni_gemm){t, false, p->alpha}));
    return TN_OK;
}

#define TRIANGULAR(what)                                                                    \
    .inputs = TN_PORTS(                                                                     \
        TN_PORT(.name = "A", .doc = "(..., n, n): lower triangular, the rest is not read"), \
        TN_PORT(.name = "B", .doc = "(..., n, m); (..., m, n) if rightside")),              \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of B")),             \
    .params = TN_PARAMS(FLAG(transpose, "transpose the matrices in A"),                     \
                        FLAG(rightside, "A stands on the right"), FACTOR(alpha, what)),     \
    .params_size = sizeof(linalg_params), .infer_shape = triangular_shape

const tn_op_decl tni_op_linalg_trmm =
    TN_OP(.name = "linalg_trmm", .aliases = "_linalg_trmm",
          .doc = "Products with lower triangular matrices: output = alpha op(A) B, or "
                 "alpha B op(A) with rightside. The gradient of A is lower triangular.",
          .family = "linear algebra",
          .formula =
              "y = alpha * op(A) . B, or alpha * B . op(A) with rightside, A lower triangular",
          .shape_rule = "(..., n, n) (..., n, m) -> (..., n, m); rightside: B (..., m, n)", SOURCE,
          TRIANGULAR("factor of the product"), .expand = trmm_expand);

// ------------------------------------------------------------------ linalg_trsm
//
//     op(A) output = alpha B, or output op(A) = alpha B on the right side, A lower triangular
//
// With X the output and G = op(A)⁻ᵀ dX (or dX op(A)⁻ᵀ): dB = alpha G, and the derivative of
// op(A) is -G Xᵀ (or -Xᵀ G), of which A gets the lower triangle.

static tn_status trsm_gradient(const tn_builder *b)
{
    const linalg_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, 0), a = tn_grad_in(b, 0), x = tn_grad_out(b, 0);
    if (!dy) return TN_OK;
    const bool right = p->rightside, swapped = p->transpose != p->rightside;
    const tn_sym g = tni_trsm(b, a, dy, !p->transpose, right, 1);
    // left: G Xᵀ, transposed X Gᵀ; right: Xᵀ G, transposed Gᵀ X
    const tni_gemm product = {right, !right, -1};
    const tn_sym da = swapped ? tni_gemm2(b, x, g, &product) : tni_gemm2(b, g, x, &product);
    tn_grad_set(b, 0, tni_call(b, "_tril", da));
    tn_grad_set(b, 1, times(b, g, p->alpha));
    return TN_OK;
}

const tn_op_decl tni_op_linalg_trsm =
    TN_OP(.name = "linalg_trsm", .aliases = "_linalg_trsm",
          .doc = "Solves systems with lower triangular matrices: op(A) output = alpha B, or "
                 "output op(A) = alpha B with rightside. A 0 on the diagonal gives infinities or "
                 "NaN. The gradient of A is lower triangular.",
          .family = "linear algebra",
          .formula = "op(A) . y = alpha * B, or y . op(A) = alpha * B with rightside;  dB = alpha "
                     "G, dop(A) = -G . y^T, G = op(A)^-T . dy",
          .shape_rule = "(..., n, n) (..., n, m) -> (..., n, m); rightside: B (..., m, n)", SOURCE,
          TRIANGULAR("factor of B"), .gradient = trsm_gradient);
