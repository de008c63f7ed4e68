// core/ops/dense.c: FullyConnected, dot, batch_dot, and the gradients of dot.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ FullyConnected
//
//     y = x · Wᵀ + b,  x (n, k) after flattening, W (num_hidden, k), b (num_hidden,)
//
// Without flatten only the last axis of data is contracted.

typedef struct fc_params {
    int64_t num_hidden;
    int32_t no_bias, flatten;
} fc_params;

// Known extents flow both ways; k also flows back where one extent of data is unknown.
static tn_status fc_shape(const tn_infer *io)
{
    const fc_params *p = io->params;
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    if (!p->no_bias) TNI_TRY(tni_merge(io, TNI_IN(2), tn_shape_1d(p->num_hidden)));
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_2d(p->num_hidden, -1)));
    if (p->flatten) TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_2d(-1, p->num_hidden)));
    if (x.ndim == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least 1 axis, got a scalar");
    if (x.ndim < 0) {
        if (p->flatten || y.ndim < 1) return TN_OK;
        x = tn_shape_rank(y.ndim);
    }
    const int32_t split = p->flatten ? 1 : x.ndim - 1; // axes from here on are contracted
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_2d(-1, tn_shape_span(&x, split, x.ndim))));
    tn_shape wanted = tn_shape_rank(split + 1);
    memcpy(wanted.dim, x.dim, (size_t)split * sizeof *wanted.dim);
    wanted.dim[split] = p->num_hidden;
    TNI_TRY(tni_merge(io, TNI_OUT(0), wanted));
    y = tni_shape(io, TNI_OUT(0));
    memcpy(x.dim, y.dim, (size_t)split * sizeof *x.dim);
    const tn_shape w = tni_shape(io, TNI_IN(1));
    tni_solve(&x, split, x.ndim, w.dim[1]);
    return tni_merge(io, TNI_IN(0), x);
}

// dx = dy · W, dW = dyᵀ · x, db = Σ dy over all rows.
static tn_status fc_gradient(const tn_builder *b)
{
    const fc_params *p = b->params;
    tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0);
    const tn_sym w = tn_grad_in(b, 1);
    if (!dy) return TN_OK;
    const tn_sym dx = tni_call2(b, "dot", dy, w);
    tn_grad_set(b, 0, p->flatten ? tni_call2(b, "reshape_like", dx, x) : dx);
    if (p->flatten) {
        x = tni_call(b, "Flatten", x);
    } else { // all axes but the last become rows
        x = tn_emit(b, "Reshape", "shape=(-1,0); reverse=1", &x, 1);
        dy = tn_emit(b, "Reshape", "shape=(-1,0); reverse=1", &dy, 1);
    }
    tn_grad_set(b, 1, TN_EMIT(b, "dot", "transpose_a=1", dy, x));
    if (!p->no_bias) tn_grad_set(b, 2, tn_emit(b, "sum", "axis=(0,)", &dy, 1));
    return TN_OK;
}

static tn_status fc_expand(const tn_builder *b)
{
    const fc_params *p = b->params;
    tn_sym x = tn_grad_in(b, 0);
    if (p->flatten && b->shape(b->ctx, x)->ndim != 2) x = tni_call(b, "Flatten", x);
    tn_sym y = TN_EMIT(b, "dot", "transpose_b=1", x, tn_grad_in(b, 1));
    if (!p->no_bias) y = tni_call2(b, "broadcast_add", y, tn_grad_in(b, 2));
    b->set_output(b->ctx, 0, y);
    return TN_OK;
}

const tn_op_decl tni_op_fully_connected =
    TN_OP(.name = "FullyConnected", .flags = TN_OP_KEEPS_NOTHING,
          .doc = "Linear layer: output = data * transpose(weight) + bias.", .family = "layer",
          .formula =
              "y = x . weight^T + bias;  dx = dy . weight,  dweight = dy^T . x,  dbias = sum_n dy",
          .shape_rule =
              "data (n, ...), of k numbers a row, weight (num_hidden, k) bias (num_hidden,) -> (n, "
              "num_hidden); flatten=False: (..., k) -> (..., num_hidden)",
          .source = "MXNet 0.11, src/operator/fully_connected-inl.h; flatten from 1.x",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .doc = "(n, ...): axes behind the first are flattened to k"),
              TN_PORT(.name = "weight", .doc = "(num_hidden, k)"),
              TN_PORT(.name = "bias", .doc = "(num_hidden,)", .when = "!no_bias")),
          .outputs = TN_PORTS(TN_PORT(.name = "output",
                                      .doc = "(n, num_hidden); (..., num_hidden) if not flatten")),
          .params = TN_PARAMS(
              TN_PARAM(fc_params, num_hidden, TN_P_I64, .range = "[1,)", .doc = "units"),
              TN_PARAM(fc_params, no_bias, TN_P_BOOL, .def = "False", .doc = "leave the bias out"),
              TN_PARAM(fc_params, flatten, TN_P_BOOL, .def = "True",
                       .doc = "contract all axes but the first, not only the last")),
          .params_size = sizeof(fc_params), .infer_shape = fc_shape, .gradient = fc_gradient,
          .expand = fc_expand);

// ------------------------------------------------------------------ dot
//
// Contracts the last axis of lhs with the first of rhs; transpose_a: the first of lhs,
// transpose_b: the last of rhs. The result has the other axes of lhs, then those of rhs; two
// vectors give (1,). As matrices: y = op(A) · op(B), where A is (m, k), or (k, m) if transposed,
// and B is (k, n), or (n, k).

typedef struct dot_params {
    int32_t transpose_a, transpose_b;
} dot_params;

#define DOT_PARAMS                                                                        \
    .params = TN_PARAMS(TN_PARAM(dot_params, transpose_a, TN_P_BOOL, .def = "False",      \
                                 .doc = "contract the first axis of lhs, not the last"),  \
                        TN_PARAM(dot_params, transpose_b, TN_P_BOOL, .def = "False",      \
                                 .doc = "contract the last axis of rhs, not the first")), \
    .params_size = sizeof(dot_params)

static const char *dot_text(const dot_params *p)
{
    static const char *const texts[] = {NULL, "transpose_b=1", "transpose_a=1",
                                        "transpose_a=1; transpose_b=1"};
    return texts[p->transpose_a * 2 + p->transpose_b];
}

// The rule between lhs, rhs and product, wherever these are in a call.
static tn_status dot_rule(const tn_infer *io, tni_slot lhs, tni_slot rhs, tni_slot product)
{
    const dot_params *p = io->params;
    tn_shape l = tni_shape(io, lhs), r = tni_shape(io, rhs);
    if (l.ndim == 0 || r.ndim == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "%s: wanted at least 1 axis, got a scalar",
                             l.ndim == 0 ? "lhs" : "rhs");
    if (l.ndim < 0 || r.ndim < 0) return TN_OK;
    const int32_t cl = p->transpose_a ? 0 : l.ndim - 1, cr = p->transpose_b ? r.ndim - 1 : 0;
    const int32_t n = l.ndim + r.ndim - 2;
    if (n == 0 && (p->transpose_a || p->transpose_b))
        return tn_infer_fail(io, TN_E_SHAPE, "vectors cannot be transposed");
    if (n > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "the product would have %d axes, at most %d are there",
                             n, TN_MAX_NDIM);
    if (l.dim[cl] >= 0 && r.dim[cr] >= 0 && l.dim[cl] != r.dim[cr]) {
        char sl[TNI_SHOW], sr[TNI_SHOW];
        return tn_infer_fail(io, TN_E_SHAPE,
                             "axis %d of lhs %.60s and axis %d of rhs %.60s differ, wanted one k",
                             cl, tni_show(sl, &l), cr, tni_show(sr, &r));
    }
    if (l.dim[cl] < 0) l.dim[cl] = r.dim[cr];
    if (r.dim[cr] < 0) r.dim[cr] = l.dim[cl];
    tn_shape y = tn_shape_rank(n ? n : 1);
    int32_t at = 0;
    if (n == 0) y.dim[0] = 1;
    for (int32_t i = 0; i < l.ndim; i++)
        if (i != cl) y.dim[at++] = l.dim[i];
    for (int32_t i = 0; i < r.ndim; i++)
        if (i != cr) y.dim[at++] = r.dim[i];
    TNI_TRY(tni_merge(io, product, y));
    y = tni_shape(io, product);
    at = 0;
    for (int32_t i = 0; i < l.ndim; i++)
        if (i != cl) l.dim[i] = y.dim[at++];
    for (int32_t i = 0; i < r.ndim; i++)
        if (i != cr) r.dim[i] = y.dim[at++];
    TNI_TRY(tni_merge(io, lhs, l));
    return tni_merge(io, rhs, r);
}

static tn_status dot_shape(const tn_infer *io)
{
    return dot_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0));
}

static tn_status dot_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0), l = tn_grad_in(b, 0), r = tn_grad_in(b, 1);
    const char *text = dot_text(b->params);
    if (!dy) return TN_OK;
    tn_grad_set(b, 0, TN_EMIT(b, "_backward_dot_lhs", text, dy, r, l));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_dot_rhs", text, dy, l, r));
    return TN_OK;
}

const tn_op_decl tni_op_dot =
    TN_OP(.name = "dot", .flags = TN_OP_KEEPS_NOTHING,
          .doc =
              "Product of matrices: the last axis of lhs with the first of rhs. Two vectors give "
              "their inner product, of shape (1,).",
          .family = "linear algebra",
          .formula = "y[i...,j...] = sum_k lhs[i...,k] * rhs[k,j...];  dlhs = dy . rhs^T,  drhs = "
                     "lhs^T . dy",
          .shape_rule = "(a..., k) (k, b...) -> (a..., b...); transpose_a: lhs (k, a...); "
                        "transpose_b: rhs (b..., k); two vectors: (1,)",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "(..., k); (k, ...) if transpose_a"),
                             TN_PORT(.name = "rhs", .doc = "(k, ...); (..., k) if transpose_b")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "other axes of lhs, then of rhs")),
          DOT_PARAMS, .infer_shape = dot_shape, .gradient = dot_gradient);

// ------------------------------------------------------------------ the gradients of dot
//
//     dA = dy · op(B)ᵀ, or op(B) · dyᵀ if A is transposed;  dB = op(A)ᵀ · dy, or dyᵀ · op(A)
//
// Both are linear in dy and in the other factor, so their gradients are dots again: for a gradient
// g that arrives at dA, that of dy is dot(g, B) and that of B is _backward_dot_rhs(dy, g).

#define LIKE \
    TN_PORT(.name = "like", .doc = "gives the shape", .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)

static tn_sym reshaped(const tn_builder *b, tn_sym x, const char *codes)
{
    return tn_emit(b, "Reshape", codes, &x, 1);
}

// A factor as a matrix: its first axis and the others, or the others and its last one. These codes
// fit empty axes as well.
static tn_sym as_matrix(const tn_builder *b, tn_sym x, bool first)
{
    return reshaped(b, x, first ? "shape=(0,-1)" : "shape=(-1,0); reverse=1");
}

// A product as the matrix (m, n), where p axes of it are those of the left factor.
static tn_sym product_matrix(const tn_builder *b, tn_sym dy, int32_t p, int32_t q)
{
    if (p == 0) return reshaped(b, dy, "shape=(1,-1)");
    if (q == 0) return reshaped(b, dy, "shape=(-1,1)");
    for (int32_t i = 1; i < p; i++) dy = reshaped(b, dy, "shape=(-3,-2)");
    return reshaped(b, dy, "shape=(0,-1)");
}

static tn_status dot_lhs_expand(const tn_builder *b)
{
    const dot_params *p = b->params;
    const tn_sym r = tn_grad_in(b, 1), like = tn_grad_in(b, 2);
    const int32_t nl = b->shape(b->ctx, like)->ndim, nr = b->shape(b->ctx, r)->ndim;
    const tn_sym dy = product_matrix(b, tn_grad_in(b, 0), nl - 1, nr - 1);
    const tn_sym right = as_matrix(b, r, !p->transpose_b);
    const dot_params straight = {0, !p->transpose_b}, turned = {p->transpose_b, 1};
    const tn_sym d = p->transpose_a ? TN_EMIT(b, "dot", dot_text(&turned), right, dy)
                                    : TN_EMIT(b, "dot", dot_text(&straight), dy, right);
    b->set_output(b->ctx, 0, tni_call2(b, "reshape_like", d, like));
    return TN_OK;
}

static tn_status dot_rhs_expand(const tn_builder *b)
{
    const dot_params *p = b->params;
    const tn_sym l = tn_grad_in(b, 1), like = tn_grad_in(b, 2);
    const int32_t nl = b->shape(b->ctx, l)->ndim, nr = b->shape(b->ctx, like)->ndim;
    const tn_sym dy = product_matrix(b, tn_grad_in(b, 0), nl - 1, nr - 1);
    const tn_sym left = as_matrix(b, l, p->transpose_a);
    const dot_params straight = {!p->transpose_a, 0}, turned = {1, p->transpose_a};
    const tn_sym d = p->transpose_b ? TN_EMIT(b, "dot", dot_text(&turned), dy, left)
                                    : TN_EMIT(b, "dot", dot_text(&straight), left, dy);
    b->set_output(b->ctx, 0, tni_call2(b, "reshape_like", d, like));
    return TN_OK;
}

static tn_status dot_lhs_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(dot_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status dot_lhs_gradient(const tn_builder *b)
{
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0), r = tn_grad_in(b, 1);
    const char *text = dot_text(b->params);
    if (!g) return TN_OK;
    tn_grad_set(b, 0, TN_EMIT(b, "dot", text, g, r));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_dot_rhs", text, dy, g, r));
    return TN_OK;
}

const tn_op_decl tni_op_backward_dot_lhs =
    TN_OP(.name = "_backward_dot_lhs", .flags = TN_OP_INTERNAL, .doc = "Gradient of dot's lhs.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "rhs"), LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), DOT_PARAMS, .infer_shape = dot_lhs_shape,
          .gradient = dot_lhs_gradient, .expand = dot_lhs_expand);

static tn_status dot_rhs_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(dot_rule(io, TNI_IN(1), TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status dot_rhs_gradient(const tn_builder *b)
{
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0), l = tn_grad_in(b, 1);
    const char *text = dot_text(b->params);
    if (!g) return TN_OK;
    tn_grad_set(b, 0, TN_EMIT(b, "dot", text, l, g));
    tn_grad_set(b, 1, TN_EMIT(b, "_backward_dot_lhs", text, dy, g, l));
    return TN_OK;
}

const tn_op_decl tni_op_backward_dot_rhs =
    TN_OP(.name = "_backward_dot_rhs", .flags = TN_OP_INTERNAL, .doc = "Gradient of dot's rhs.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TN_PORT(.name = "lhs"), LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), DOT_PARAMS, .infer_shape = dot_rhs_shape,
          .gradient = dot_rhs_gradient, .expand = dot_rhs_expand);

// ------------------------------------------------------------------ batch_dot
//
//     y[i] = op(A[i]) · op(B[i]),  A (b, m, k) or (b, k, m), B (b, k, n) or (b, n, k)

static tn_status batch_dot_shape(const tn_infer *io)
{
    const dot_params *p = io->params;
    const int ka = p->transpose_a ? 1 : 2, kb = p->transpose_b ? 2 : 1;
    for (uint32_t i = 0; i < 2; i++) TNI_TRY(tni_merge(io, TNI_IN(i), tn_shape_rank(3)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_rank(3)));
    tn_shape a = tni_shape(io, TNI_IN(0)), b = tni_shape(io, TNI_IN(1));
    tn_shape y = tni_shape(io, TNI_OUT(0));
    // b, m, n and k: each stands in two of the values, b in three
    int64_t *const same[][3] = {{&a.dim[0], &b.dim[0], &y.dim[0]},
                                {&a.dim[3 - ka], &y.dim[1], &y.dim[1]},
                                {&b.dim[3 - kb], &y.dim[2], &y.dim[2]},
                                {&a.dim[ka], &b.dim[kb], &b.dim[kb]}};
    for (int i = 0; i < 4; i++) {
        int64_t known = -1;
        for (int j = 0; j < 3 && known < 0; j++) known = *same[i][j];
        for (int j = 0; j < 3; j++)
            if (*same[i][j] < 0 || known < 0)
                *same[i][j] = known;
            else if (*same[i][j] != known)
                return tn_infer_fail(
                    io, TN_E_SHAPE, "%s of lhs, rhs and output differ: %lld, %lld",
                    (const char *const[]){"batches", "rows", "columns", "contracted extents"}[i],
                    (long long)known, (long long)*same[i][j]);
    }
    TNI_TRY(tni_merge(io, TNI_IN(0), a));
    TNI_TRY(tni_merge(io, TNI_IN(1), b));
    return tni_merge(io, TNI_OUT(0), y);
}

static tn_status batch_dot_gradient(const tn_builder *b)
{
    const dot_params *p = b->params;
    const bool ta = p->transpose_a, tb = p->transpose_b;
    const tn_sym dy = tn_grad_head(b, 0), l = tn_grad_in(b, 0), r = tn_grad_in(b, 1);
    if (!dy) return TN_OK;
    // dA = dy · op(B)ᵀ, or op(B) · dyᵀ if A is transposed
    tn_grad_set(
        b, 0,
        ta ? TN_EMIT(b, "batch_dot", tb ? "transpose_a=1; transpose_b=1" : "transpose_b=1", r, dy)
           : TN_EMIT(b, "batch_dot", tb ? NULL : "transpose_b=1", dy, r));
    // dB = op(A)ᵀ · dy, or dyᵀ · op(A) if B is transposed
    tn_grad_set(
        b, 1,
        tb ? TN_EMIT(b, "batch_dot", ta ? "transpose_a=1; transpose_b=1" : "transpose_a=1", dy, l)
           : TN_EMIT(b, "batch_dot", ta ? NULL : "transpose_a=1", l, dy));
    return TN_OK;
}

const tn_op_decl tni_op_batch_dot =
    TN_OP(.name = "batch_dot", .flags = TN_OP_KEEPS_NOTHING,
          .doc = "Product of matrices, one for each entry of the first axis.",
          .family = "linear algebra",
          .formula =
              "y[b] = lhs[b] . rhs[b];  dlhs[b] = dy[b] . rhs[b]^T,  drhs[b] = lhs[b]^T . dy[b]",
          .shape_rule = "(b, m, k) (b, k, n) -> (b, m, n); transpose_a: lhs (b, k, m); "
                        "transpose_b: rhs (b, n, k)",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "(b, m, k); (b, k, m) if transpose_a"),
                             TN_PORT(.name = "rhs", .doc = "(b, k, n); (b, n, k) if transpose_b")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(b, m, n)")),
          .params = TN_PARAMS(TN_PARAM(dot_params, transpose_a, TN_P_BOOL, .def = "False",
                                       .doc = "swap the last two axes of lhs"),
                              TN_PARAM(dot_params, transpose_b, TN_P_BOOL, .def = "False",
                                       .doc = "swap the last two axes of rhs")),
          .params_size = sizeof(dot_params), .infer_shape = batch_dot_shape,
          .gradient = batch_dot_gradient);
