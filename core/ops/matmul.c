// core/ops/matmul.c: matmul, the product of NumPy, and its gradients.
//
// The last two axes hold matrices; a vector a counts as one row, a vector b as one column, and
// that axis is not there in the result. The axes before are broadcast.
#include "core/ops/ops.h"

typedef struct matmul_params {
    int32_t transpose_a, transpose_b;
} matmul_params;

// ------------------------------------------------------------------ the rule

static int64_t *axis_back(tn_shape *s, int32_t behind, int32_t back, int64_t *one)
{
    const int32_t at = s->ndim - behind - 1 - back;
    return at >= 0 ? &s->dim[at] : one;
}

// One extent that stands in two shapes; the merge that follows finds contradictions.
static void same(int64_t *x, int64_t *y)
{
    if (*x < 0) *x = *y;
    if (*y < 0 || *x >= 0) *y = *x;
}

static tn_status matmul_check(const tn_infer *io, const tn_shape *a, const tn_shape *c)
{
    const matmul_params *p = io->params;
    const bool vectors = (a->ndim == 1 && p->transpose_a) || (c->ndim == 1 && p->transpose_b);
    if (a->ndim == 0 || c->ndim == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "%s: wanted at least 1 axis, got a scalar",
                             a->ndim == 0 ? "a" : "b");
    return vectors ? tn_infer_fail(io, TN_E_SHAPE, "vectors cannot be transposed") : TN_OK;
}

static tn_status matmul_differ(const tn_infer *io, const char *what, const tn_shape *a,
                               const tn_shape *c)
{
    char sa[TNI_SHOW], sc[TNI_SHOW];
    return tn_infer_fail(io, TN_E_SHAPE, "%s of a %.70s and b %.70s do not fit", what,
                         tni_show(sa, a), tni_show(sc, c));
}

// The rule between a, b and product, wherever these are in a call.
static tn_status matmul_rule(const tn_infer *io, tni_slot slot_a, tni_slot slot_b, tni_slot slot_y)
{
    const matmul_params *p = io->params;
    tn_shape a = tni_shape(io, slot_a), c = tni_shape(io, slot_b);
    TNI_TRY(matmul_check(io, &a, &c));
    if (a.ndim < 0 || c.ndim < 0) return TN_OK;
    const int32_t va = a.ndim == 1 ? 1 : 2, vc = c.ndim == 1 ? 1 : 2; // axes that are no batches
    const int32_t ba = a.ndim - va, bc = c.ndim - vc, n = ba > bc ? ba : bc;
    const int32_t ka = a.ndim - 1 - p->transpose_a, kc = vc == 1 ? 0 : bc + p->transpose_b;
    const int32_t ndim = n + va + vc - 2;
    if (a.dim[ka] >= 0 && c.dim[kc] >= 0 && a.dim[ka] != c.dim[kc])
        return matmul_differ(io, "contracted axes", &a, &c);
    same(&a.dim[ka], &c.dim[kc]);
    TNI_TRY(tni_merge(io, slot_y, tn_shape_rank(ndim)));
    tn_shape y = tni_shape(io, slot_y);
    for (int32_t back = 0; back < n; back++) {
        int64_t one_a = 1, one_c = 1;
        if (!tni_join_axis(axis_back(&a, va, back, &one_a), axis_back(&c, vc, back, &one_c),
                           &y.dim[n - 1 - back]))
            return matmul_differ(io, "leading axes", &a, &c);
    }
    if (va == 2) same(&a.dim[2 * a.ndim - 3 - ka], &y.dim[n]);
    if (vc == 2) same(&c.dim[2 * c.ndim - 3 - kc], &y.dim[ndim - 1]);
    TNI_TRY(tni_merge(io, slot_y, y));
    TNI_TRY(tni_merge(io, slot_a, a));
    return tni_merge(io, slot_b, c);
}

// ------------------------------------------------------------------ the product of known shapes

// Matrices that are multiplied: the value and its shape, of two axes at least.
typedef struct factor {
    tn_sym x;
    tn_shape s;
    bool transposed;
} factor;

static int64_t batches(const tn_shape *s)
{
    return tn_shape_span(s, 0, s->ndim - 2);
}

// The same factor as a matrix, or (b, rows, columns): with all matrices of it as rows of one if
// `flat`.
static tn_sym as_matrices(const tn_builder *b, const factor *f, bool flat)
{
    const int64_t rows = f->s.dim[f->s.ndim - 2], cols = f->s.dim[f->s.ndim - 1];
    if (flat) return tni_reshape(b, f->x, tn_shape_2d(batches(&f->s) * rows, cols));
    return tni_reshape(b, f->x, (tn_shape){.ndim = 3, .dim = {batches(&f->s), rows, cols}});
}

// Stretches the leading axes to those of y. No extent is 0.
static void spread(const tn_builder *b, factor *f, const tn_shape *y)
{
    char text[TNI_LONG_TEXT] = "";
    tn_shape full = *y, own = *y;
    const int32_t lack = y->ndim - f->s.ndim;
    bool stretched = false;
    for (int32_t i = 0; i < y->ndim; i++) {
        own.dim[i] = i < lack ? 1 : f->s.dim[i - lack];
        if (i >= y->ndim - 2) full.dim[i] = own.dim[i];
        stretched |= full.dim[i] != own.dim[i];
    }
    if (!stretched) return;
    tni_text_list(text, "shape", (tn_ints){(size_t)full.ndim, full.dim});
    const tn_sym x = tni_reshape(b, f->x, own);
    *f = (factor){tn_emit(b, "broadcast_to", text, &x, 1), full, f->transposed};
}

static const char *transposes(const factor *x, const factor *y)
{
    static const char *const texts[] = {NULL, "transpose_b=1", "transpose_a=1",
                                        "transpose_a=1; transpose_b=1"};
    return texts[(x->transposed ? 2 : 0) + (y->transposed ? 1 : 0)];
}

static tn_shape product_shape(const factor *x, const factor *y)
{
    const int32_t n = x->s.ndim > y->s.ndim ? x->s.ndim : y->s.ndim;
    tn_shape s = tn_shape_rank(n);
    for (int32_t i = 0; i < n - 2; i++) {
        const int32_t ix = i - (n - x->s.ndim), iy = i - (n - y->s.ndim);
        s.dim[i] = ix >= 0 && x->s.dim[ix] != 1 ? x->s.dim[ix] : iy >= 0 ? y->s.dim[iy] : 1;
    }
    s.dim[n - 2] = x->s.dim[x->s.ndim - (x->transposed ? 1 : 2)];
    s.dim[n - 1] = y->s.dim[y->s.ndim - (y->transposed ? 2 : 1)];
    return s;
}

tn_sym tni_matmul(const tn_builder *b, tn_sym x, tn_sym y, bool transpose_x, bool transpose_y)
{
    if (!x || !y) return 0;
    factor f = {x, *b->shape(b->ctx, x), transpose_x}, g = {y, *b->shape(b->ctx, y), transpose_y};
    if (tn_shape_size(&f.s) < 0 || tn_shape_size(&g.s) < 0 || f.s.ndim < 2 || g.s.ndim < 2) {
        b->fail(b->ctx, TN_E_SHAPE, "matmul: wanted known shapes");
        return 0;
    }
    const tn_shape wanted = product_shape(&f, &g);
    if (tn_shape_size(&f.s) == 0 || tn_shape_size(&g.s) == 0)
        return tni_zeros(b, wanted, b->dtype(b->ctx, x));
    const bool one = batches(&g.s) == 1 && (!f.transposed || batches(&f.s) == 1);
    if (!one) {
        spread(b, &f, &wanted);
        spread(b, &g, &wanted);
    }
    const tn_sym product = TN_EMIT(b, one ? "dot" : "batch_dot", transposes(&f, &g),
                                   as_matrices(b, &f, one), as_matrices(b, &g, one));
    return tni_reshape(b, product, wanted);
}

// ------------------------------------------------------------------ matmul

// The shapes of a call as matrices: vectors have got the axis that they lack.
static tn_shape as_row(tn_shape a)
{
    return a.ndim == 1 ? tn_shape_2d(1, a.dim[0]) : a;
}

static tn_shape as_column(tn_shape c)
{
    return c.ndim == 1 ? tn_shape_2d(c.dim[0], 1) : c;
}

static tn_sym shaped(const tn_builder *b, tn_sym x, tn_shape (*as)(tn_shape))
{
    return tni_reshape(b, x, as(*b->shape(b->ctx, x)));
}

static tn_status matmul_shape(const tn_infer *io)
{
    return matmul_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0));
}

static tn_status matmul_expand(const tn_builder *b)
{
    const matmul_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    const tn_shape a = *b->shape(b->ctx, x), c = *b->shape(b->ctx, w);
    const tn_sym y = tni_matmul(b, shaped(b, x, as_row), shaped(b, w, as_column), p->transpose_a,
                                p->transpose_b);
    if (!y) return TN_OK;
    tn_shape s = *b->shape(b->ctx, y);
    if (c.ndim == 1) s.ndim--;
    if (a.ndim == 1) {
        const int32_t at = c.ndim == 1 ? s.ndim - 1 : s.ndim - 2;
        for (int32_t i = at; i + 1 < s.ndim; i++) s.dim[i] = s.dim[i + 1];
        s.ndim--;
    }
    b->set_output(b->ctx, 0, tni_reshape(b, y, s));
    return TN_OK;
}

static const char *matmul_text(char text[TN_TEXT], const matmul_params *p)
{
    return tn_text(text, "transpose_a=%d; transpose_b=%d", p->transpose_a, p->transpose_b);
}

static tn_status matmul_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    if (!dy) return TN_OK;
    matmul_text(text, b->params);
    tn_grad_set(b, 0, TN_EMIT(b, "_backward_matmul_a", text, dy, w, x));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_matmul_b", text, dy, x, w));
    return TN_OK;
}

#define MATMUL_PARAMS                                                                   \
    .params = TN_PARAMS(TN_PARAM(matmul_params, transpose_a, TN_P_BOOL, .def = "False", \
                                 .doc = "swap the last two axes of a"),                 \
                        TN_PARAM(matmul_params, transpose_b, TN_P_BOOL, .def = "False", \
                                 .doc = "swap the last two axes of b")),                \
    .params_size = sizeof(matmul_params)

const tn_op_decl tni_op_matmul =
    TN_OP(.name = "matmul", .aliases = "_npi_matmul",
          .doc = "Products of the matrices in the last two axes, as in NumPy: leading axes are "
                 "broadcast, a vector a is a row, a vector b a column, and that axis is dropped "
                 "from the result. Two vectors give a scalar without axes.",
          .family = "linear algebra",
          .formula = "y = a . b of the last two axes;  da = dy . b^T,  db = a^T . dy, summed over "
                     "the axes that are stretched",
          .shape_rule = "(..., m, k) (..., k, n) -> (..., m, n); leading axes are broadcast; a "
                        "vector (k,) is a row a or a column b, and its axis is dropped",
          .source = "numpy.matmul; ONNX MatMul; MXNet 1.6, src/operator/numpy/np_matmul_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "a", .doc = "(..., m, k) or (k,); (..., k, m) if "
                                                         "transpose_a"),
                             TN_PORT(.name = "b", .doc = "(..., k, n) or (k,); (..., n, k) if "
                                                         "transpose_b")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(..., m, n)")), MATMUL_PARAMS,
          .infer_shape = matmul_shape, .gradient = matmul_gradient, .expand = matmul_expand);

// ------------------------------------------------------------------ its gradients
//
//     d op(a) = dY op(b)ᵀ,  d op(b) = op(a)ᵀ dY, summed over axes that were broadcast
//
// Both are linear in dY and in the other factor, so their gradients are products again.

// dY, of the product's shape, with the axes that vectors have lost.
static tn_sym whole_dy(const tn_builder *b, tn_sym dy, const factor *f, const factor *g)
{
    return tni_reshape(b, dy, product_shape(f, g));
}

// The factors of the forward product from inputs `ia` and `ib`.
static bool factors(const tn_builder *b, uint32_t ia, uint32_t ib, factor *f, factor *g)
{
    const matmul_params *p = b->params;
    const tn_sym x = tn_grad_in(b, ia), w = tn_grad_in(b, ib);
    const tn_shape a = *b->shape(b->ctx, x), c = *b->shape(b->ctx, w);
    *f = (factor){x, as_row(a), p->transpose_a};
    *g = (factor){w, as_column(c), p->transpose_b};
    if (tn_shape_size(&a) >= 0 && tn_shape_size(&c) >= 0) return true;
    b->fail(b->ctx, TN_E_SHAPE, "matmul: wanted known shapes");
    return false;
}

static tn_status backward_a_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(matmul_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status backward_a_expand(const tn_builder *b)
{
    factor f, g;
    if (!factors(b, 2, 1, &f, &g)) return TN_OK;
    const tn_sym dy = whole_dy(b, tn_grad_in(b, 0), &f, &g), w = tni_reshape(b, g.x, g.s);
    const tn_sym d = f.transposed ? tni_matmul(b, w, dy, g.transposed, true)
                                  : tni_matmul(b, dy, w, false, !g.transposed);
    const tn_shape s = *b->shape(b->ctx, f.x);
    const tn_sym sum = tni_sum_like(b, d, f.x);
    b->set_output(b->ctx, 0, tni_reshape(b, sum, s));
    return TN_OK;
}

static tn_status backward_a_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0), w = tn_grad_in(b, 1);
    if (!g) return TN_OK;
    matmul_text(text, b->params);
    tn_grad_set(b, 0, TN_EMIT(b, "matmul", text, g, w));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_matmul_b", text, dy, g, w));
    return TN_OK;
}

const tn_op_decl tni_op_backward_matmul_a =
    TN_OP(.name = "_backward_matmul_a", .flags = TN_OP_INTERNAL, .doc = "Gradient of matmul's a.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "b"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), MATMUL_PARAMS,
          .infer_shape = backward_a_shape, .gradient = backward_a_gradient,
          .expand = backward_a_expand);

static tn_status backward_b_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(matmul_rule(io, TNI_IN(1), TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status backward_b_expand(const tn_builder *b)
{
    factor f, g;
    if (!factors(b, 1, 2, &f, &g)) return TN_OK;
    tn_sym dy = whole_dy(b, tn_grad_in(b, 0), &f, &g), x = tni_reshape(b, f.x, f.s);
    if (batches(&g.s) == 1 && !f.transposed) { // all rows at once, instead of a sum of products
        const factor whole = {dy, product_shape(&f, &g), false};
        dy = as_matrices(b, &whole, true);
        f.x = x;
        x = as_matrices(b, &f, true);
    }
    tn_sym d = g.transposed ? tni_matmul(b, dy, x, true, f.transposed)
                            : tni_matmul(b, x, dy, !f.transposed, false);
    const tn_shape s = *b->shape(b->ctx, g.x);
    if (!d) return TN_OK;
    if (s.ndim == 1) { // (..., k, 1) lies as (..., k)
        tn_shape flat = *b->shape(b->ctx, d);
        flat.ndim--;
        d = tni_reshape(b, d, flat);
    }
    d = tni_sum_like(b, batches(&g.s) == 1 && !f.transposed ? tni_reshape(b, d, s) : d, g.x);
    b->set_output(b->ctx, 0, tni_reshape(b, d, s));
    return TN_OK;
}

static tn_status backward_b_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0), x = tn_grad_in(b, 1);
    if (!g) return TN_OK;
    matmul_text(text, b->params);
    tn_grad_set(b, 0, TN_EMIT(b, "matmul", text, x, g));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_matmul_a", text, dy, g, x));
    return TN_OK;
}

const tn_op_decl tni_op_backward_matmul_b =
    TN_OP(.name = "_backward_matmul_b", .flags = TN_OP_INTERNAL, .doc = "Gradient of matmul's b.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "a"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), MATMUL_PARAMS,
          .infer_shape = backward_b_shape, .gradient = backward_b_gradient,
          .expand = backward_b_expand);
