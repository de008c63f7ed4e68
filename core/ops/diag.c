// core/ops/diag.c: diag: diagonals of matrices, and matrices of diagonals.
//
//     a vector v      output[i, j] = v[min(i, j)] where j - i = k, else 0
//     other data      output[…, i] = data[…, i - min(k, 0), …, i + max(k, 0), …] on two axes
#include "core/ops/ops.h"

typedef struct diag_params {
    int64_t k, axis1, axis2;
} diag_params;

// Where a diagonal stands: two axes, its first element and its length on them.
typedef struct diagonal {
    int32_t first, second;
    int64_t down, right, n; // n: -1 unknown
} diagonal;

static bool find(const diag_params *p, const tn_shape *s, diagonal *d)
{
    d->first = tn_axis(p->axis1, s->ndim);
    d->second = tn_axis(p->axis2, s->ndim);
    if (d->first < 0 || d->second < 0 || d->first == d->second) return false;
    const int64_t rows = s->dim[d->first], cols = s->dim[d->second];
    d->down = p->k < 0 ? -p->k : 0;
    d->right = p->k > 0 ? p->k : 0;
    const int64_t below = rows - d->down, over = cols - d->right;
    const int64_t n = below < over ? below : over;
    d->n = rows < 0 || cols < 0 ? -1 : n < 0 ? 0 : n;
    return true;
}

static tn_status axes_fail(const tn_infer *io, int32_t ndim)
{
    const diag_params *p = io->params;
    return tn_infer_fail(io, TN_E_SHAPE, "axis1, axis2: wanted two of %d axes, got %lld and %lld",
                         ndim, (long long)p->axis1, (long long)p->axis2);
}

// Shape of the diagonals of x; a vector becomes a matrix.
static tn_status diag_rule(const tn_infer *io, tni_slot whole, tni_slot part)
{
    const diag_params *p = io->params;
    const int64_t side = p->k < 0 ? -p->k : p->k;
    tn_shape x = tni_shape(io, whole);
    diagonal d;
    if (x.ndim < 0) return TN_OK;
    if (x.ndim == 1) {
        const int64_t most = INT64_MAX - side, given = x.dim[0] > most ? most : x.dim[0];
        const int64_t n = given < 0 ? -1 : given + side;
        TNI_TRY(tni_merge(io, part, tn_shape_2d(n, n)));
        const int64_t known = tni_shape(io, part).dim[0];
        if (known >= 0 && known < side)
            return tn_infer_fail(io, TN_E_SHAPE, "a matrix of side %lld has no diagonal %lld",
                                 (long long)known, (long long)p->k);
        return tni_merge(io, whole, tn_shape_1d(known < 0 ? -1 : known - side));
    }
    if (!find(p, &x, &d)) return axes_fail(io, x.ndim);
    tn_shape y = tn_shape_rank(x.ndim - 1);
    int32_t from[TN_MAX_NDIM], at = 0;
    for (int32_t i = 0; i < x.ndim; i++)
        if (i != d.first && i != d.second) from[at++] = i;
    for (int32_t i = 0; i < at; i++) y.dim[i] = x.dim[from[i]];
    y.dim[at] = d.n;
    TNI_TRY(tni_merge(io, part, y));
    y = tni_shape(io, part);
    for (int32_t i = 0; i < at; i++) x.dim[from[i]] = y.dim[i];
    return tni_merge(io, whole, x);
}

// x with the two axes of its diagonals at its end, or from there back.
static tn_sym axes_last(const tn_builder *b, tn_sym x, const diagonal *d, int32_t ndim, bool back)
{
    int64_t order[TN_MAX_NDIM], inverse[TN_MAX_NDIM];
    char text[TNI_LONG_TEXT] = "";
    int32_t at = 0;
    for (int32_t i = 0; i < ndim; i++)
        if (i != d->first && i != d->second) order[at++] = i;
    order[at++] = d->first;
    order[at] = d->second;
    for (int32_t i = 0; i < ndim; i++) inverse[order[i]] = i;
    if (d->first == ndim - 2 && d->second == ndim - 1) return x;
    tni_text_list(text, "axes", (tn_ints){(size_t)ndim, back ? inverse : order});
    return tn_emit(b, "transpose", text, &x, 1);
}

// Places of the diagonal in a flattened (…, cols) matrix, as (1, n).
static tn_sym places(const tn_builder *b, const diagonal *d, int64_t cols)
{
    char text[TN_TEXT];
    const int64_t start = d->down * cols + d->right;
    tn_text(text, "start=0; stop=%lld; dtype=int64", (long long)d->n);
    tn_sym x = tn_emit(b, "_arange", text, NULL, 0);
    x = tni_call_scalar(b, "_mul_scalar", x, (double)(cols + 1));
    x = tni_call_scalar(b, "_plus_scalar", x, (double)start);
    return tni_reshape(b, x, tn_shape_2d(1, d->n));
}

static tn_shape known_shape(const tn_builder *b, tn_sym x)
{
    const tn_shape s = *b->shape(b->ctx, x);
    if (tn_shape_size(&s) < 0) b->fail(b->ctx, TN_E_SHAPE, "diag: wanted a known shape");
    return s;
}

// The diagonals of x, of at least two axes.
static tn_sym take_diagonals(const tn_builder *b, tn_sym x)
{
    const tn_shape s = known_shape(b, x);
    diagonal d;
    if (!find(b->params, &s, &d)) return 0;
    tn_sym y = axes_last(b, x, &d, s.ndim, false);
    tn_shape moved = *b->shape(b->ctx, y);
    const int64_t rows = moved.dim[s.ndim - 2], cols = moved.dim[s.ndim - 1];
    const int64_t count = tn_shape_span(&moved, 0, s.ndim - 2);
    tn_shape out = moved;
    out.ndim--;
    out.dim[out.ndim - 1] = d.n;
    if (count == 0 || d.n == 0) return tni_zeros(b, out, b->dtype(b->ctx, x));
    y = tni_reshape(b, y, tn_shape_2d(count, rows * cols));
    return tni_reshape(b, TN_EMIT(b, "_take_along", "axis=1", y, places(b, &d, cols)), out);
}

// dy on the diagonals of zeros in the shape `s`, of at least two axes.
static tn_sym put_diagonals(const tn_builder *b, tn_sym dy, tn_shape s, const diag_params *p)
{
    diagonal d;
    if (!find(p, &s, &d)) return 0;
    const int64_t rows = s.dim[d.first], cols = s.dim[d.second];
    const tn_dtype dtype = b->dtype(b->ctx, dy);
    tn_shape moved = s;
    int32_t at = 0;
    for (int32_t i = 0; i < s.ndim; i++)
        if (i != d.first && i != d.second) moved.dim[at++] = s.dim[i];
    moved.dim[at] = rows;
    moved.dim[at + 1] = cols;
    const int64_t count = tn_shape_span(&moved, 0, at);
    if (tn_shape_size(&s) == 0 || d.n == 0) return tni_zeros(b, s, dtype);
    const tn_sym part = tni_reshape(b, dy, tn_shape_2d(count, d.n));
    const tn_sym whole = tni_zeros(b, tn_shape_2d(count, rows * cols), dtype);
    const tn_sym put =
        TN_EMIT(b, "_backward_take_along", "axis=1", part, places(b, &d, cols), whole);
    return axes_last(b, tni_reshape(b, put, moved), &d, s.ndim, true);
}

static tn_sym matrix_of(const tn_builder *b, tn_sym v, int64_t k)
{
    const tn_shape s = known_shape(b, v);
    const int64_t n = s.dim[0] + (k < 0 ? -k : k);
    return put_diagonals(b, v, tn_shape_2d(n, n), &(diag_params){k, 0, 1});
}

static tn_status diag_shape(const tn_infer *io)
{
    return diag_rule(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status diag_expand(const tn_builder *b)
{
    const diag_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const bool vector = known_shape(b, x).ndim == 1;
    b->set_output(b->ctx, 0, vector ? matrix_of(b, x, p->k) : take_diagonals(b, x));
    return TN_OK;
}

static const char *diag_text(char text[TN_TEXT], const diag_params *p)
{
    return tn_text(text, "k=%lld; axis1=%lld; axis2=%lld", (long long)p->k, (long long)p->axis1,
                   (long long)p->axis2);
}

static tn_status diag_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_diag", diag_text(text, b->params), dy, tn_grad_in(b, 0)));
    return TN_OK;
}

#define DIAG_PARAMS                                                                              \
    .params = TN_PARAMS(                                                                         \
        TN_PARAM(diag_params, k, TN_P_I64, .def = "0", .range = "[-1000000000,1000000000]",      \
                 .doc = "which diagonal: above the main one if positive, below it if negative"), \
        TN_PARAM(diag_params, axis1, TN_P_I64, .def = "0",                                       \
                 .doc = "axis of the rows; negative: from the end"),                             \
        TN_PARAM(diag_params, axis2, TN_P_I64, .def = "1",                                       \
                 .doc = "axis of the columns; negative: from the end")),                         \
    .params_size = sizeof(diag_params)

const tn_op_decl tni_op_diag =
    TN_OP(.name = "diag",
          .doc = "The diagonals of data on two axes, as the last axis of the result; or, of a "
                 "vector, the matrix with this diagonal and 0 elsewhere.",
          .family = "shape",
          .formula = "y[...,i] = data[...,i - min(k, 0),...,i + max(k, 0),...]; of a vector v: "
                     "y[i,j] = v[min(i, j)] where j - i = k, else 0",
          .shape_rule =
              "(..., m, n) -> (..., length of the diagonal); a vector (n,) -> (n + |k|, n + |k|)",
          .source = "MXNet 1.x, src/operator/tensor/diag_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "diagonals, or a matrix")),
          DIAG_PARAMS, .infer_shape = diag_shape, .gradient = diag_gradient, .expand = diag_expand);

static tn_status backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(diag_rule(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status backward_gradient(const tn_builder *b)
{
    char text[TN_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, tn_emit(b, "diag", diag_text(text, b->params), &g, 1));
    return TN_OK;
}

static tn_status backward_expand(const tn_builder *b)
{
    const diag_params *p = b->params;
    const tn_sym dy = tn_grad_in(b, 0);
    const tn_shape s = known_shape(b, tn_grad_in(b, 1));
    tn_sym dx;
    if (s.ndim == 1) { // dy is a matrix: its diagonal
        const tn_shape whole = known_shape(b, dy);
        diagonal d;
        if (!find(&(diag_params){p->k, 0, 1}, &whole, &d)) return TN_OK;
        const tn_sym flat = tni_reshape(b, dy, tn_shape_2d(1, tn_shape_size(&whole)));
        dx =
            d.n == 0
                ? tni_zeros(b, s, b->dtype(b->ctx, dy))
                : tni_reshape(
                      b, TN_EMIT(b, "_take_along", "axis=1", flat, places(b, &d, whole.dim[1])), s);
    } else {
        dx = put_diagonals(b, dy, s, p);
    }
    b->set_output(b->ctx, 0, dx);
    return TN_OK;
}

const tn_op_decl tni_op_backward_diag =
    TN_OP(.name = "_backward_diag", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of diag: dy where the diagonals were, 0 elsewhere.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          DIAG_PARAMS, .infer_shape = backward_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = backward_gradient, .expand = backward_expand);
