// core/ops/broadcast.c: operators that stretch axes of extent 1: the broadcast forms of the rows of
// TN_BINARY_ROWS, broadcast_to, broadcast_axis, broadcast_like, and _sum_like, which undoes it.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ rows at run time

typedef struct row {
    const char *broadcast, *op, *da, *db;
} row;
#define ROW(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    {#broadcast, #op, #da, #db},
static const row rows[] = {TN_BINARY_ROWS(ROW)};

static const row *row_of(const char *op)
{
    size_t i = 0;
    while (i + 1 < sizeof rows / sizeof *rows && strcmp(rows[i].broadcast, op) != 0) i++;
    return &rows[i];
}

// ------------------------------------------------------------------ y = f(a, b), broadcast
//
// Shapes are aligned at their last axes; axes that one side lacks count as 1.
//
//     da = Σ dy · ∂f/∂a over the axes along which a was stretched, db likewise

// Extent of the axis that stands `back` places before the end; 1 where there is none.
static int64_t extent_back(const tn_shape *s, int32_t back)
{
    return back < s->ndim ? s->dim[s->ndim - 1 - back] : 1;
}

static tn_status no_broadcast(const tn_infer *io, const tn_shape *a, const tn_shape *b)
{
    char sa[TNI_SHOW / 2], sb[TNI_SHOW / 2], text[TNI_SHOW];
    snprintf(sa, sizeof sa, "%s", tni_show(text, a));
    snprintf(sb, sizeof sb, "%s", tni_show(text, b));
    return tn_infer_fail(io, TN_E_SHAPE, "cannot broadcast %s with %s", sa, sb);
}

bool tni_join_axis(int64_t *a, int64_t *b, int64_t *y)
{
    if (*a >= 0 && *b >= 0 && *a != *b && *a != 1 && *b != 1) return false;
    if (*a >= 0 && *a != 1) *y = *y < 0 || *y == *a ? *a : -2;
    if (*b >= 0 && *b != 1) *y = *y < 0 || *y == *b ? *b : -2;
    if (*a == 1 && *b == 1) *y = *y < 0 || *y == 1 ? 1 : -2;
    if (*y == -2) return false;
    if (*y >= 0 && *a == 1 && *b < 0) *b = *y;
    if (*y >= 0 && *b == 1 && *a < 0) *a = *y;
    return true;
}

static tn_status broadcast_shape(const tn_infer *io)
{
    tn_shape a = tni_shape(io, TNI_IN(0)), b = tni_shape(io, TNI_IN(1));
    tn_shape y = tni_shape(io, TNI_OUT(0));
    if (a.ndim < 0 || b.ndim < 0) return TN_OK;
    const int32_t n = a.ndim > b.ndim ? a.ndim : b.ndim;
    if (y.ndim < 0) y = tn_shape_rank(n);
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_rank(n))); // refuses another rank
    for (int32_t back = 0; back < n; back++) {
        int64_t ea = extent_back(&a, back), eb = extent_back(&b, back);
        if (!tni_join_axis(&ea, &eb, &y.dim[n - 1 - back])) return no_broadcast(io, &a, &b);
        if (back < a.ndim) a.dim[a.ndim - 1 - back] = ea;
        if (back < b.ndim) b.dim[b.ndim - 1 - back] = eb;
    }
    TNI_TRY(tni_merge(io, TNI_IN(0), a));
    TNI_TRY(tni_merge(io, TNI_IN(1), b));
    return tni_merge(io, TNI_OUT(0), y);
}

static tn_status broadcast_gradient(const tn_builder *b)
{
    const row *r = row_of(b->op->name);
    const tni_operand dy = {tn_grad_head(b, 0), 0, 3};
    if (!dy.sym) return TN_OK;
    const tni_letters at = {.a = {tn_grad_in(b, 0), 0, 1},
                            .b = {tn_grad_in(b, 1), 0, 2},
                            .y = {tn_grad_out(b, 0), 0, 3}};
    tn_grad_set(b, 0, tni_sum_like(b, tni_derive(b, r->da, dy, &at), at.a.sym));
    tn_grad_set(b, 1, tni_sum_like(b, tni_derive(b, r->db, dy, &at), at.b.sym));
    return TN_OK;
}

// Both sides stretched, then the operator between two of one shape.
static tn_status broadcast_expand(const tn_builder *b)
{
    const tn_sym l = tn_grad_in(b, 0), r = tn_grad_in(b, 1);
    const tn_shape sl = *b->shape(b->ctx, l), sr = *b->shape(b->ctx, r);
    tn_shape whole = tn_shape_rank(sl.ndim > sr.ndim ? sl.ndim : sr.ndim);
    for (int32_t back = 0; back < whole.ndim; back++) {
        const int64_t el = extent_back(&sl, back), er = extent_back(&sr, back);
        whole.dim[whole.ndim - 1 - back] = el == 1 ? er : el;
    }
    b->set_output(b->ctx, 0,
                  tni_call2(b, row_of(b->op->name)->op, tni_stretch(b, l, &whole),
                            tni_stretch(b, r, &whole)));
    return TN_OK;
}

#define ALIASES_broadcast_add .aliases = "broadcast_plus"
#define ALIASES_broadcast_sub .aliases = "broadcast_minus"
#define ALIASES_broadcast_mul .aliases = NULL
#define ALIASES_broadcast_div .aliases = NULL
#define ALIASES_broadcast_mod .aliases = NULL
#define ALIASES_broadcast_power .aliases = NULL
#define ALIASES_broadcast_maximum .aliases = NULL
#define ALIASES_broadcast_minimum .aliases = NULL
#define ALIASES_broadcast_hypot .aliases = NULL
#define ALIASES_broadcast_equal .aliases = NULL
#define ALIASES_broadcast_not_equal .aliases = NULL
#define ALIASES_broadcast_greater .aliases = NULL
#define ALIASES_broadcast_greater_equal .aliases = NULL
#define ALIASES_broadcast_lesser .aliases = NULL
#define ALIASES_broadcast_lesser_equal .aliases = NULL

#define ALIASES_broadcast_logical_and .aliases = NULL
#define ALIASES_broadcast_logical_or .aliases = NULL
#define ALIASES_broadcast_logical_xor .aliases = NULL

#define GRADIENT_BOTH .flags = TN_OP_ELEMENTWISE, .gradient = broadcast_gradient
#define GRADIENT_ZERO .flags = TN_OP_ELEMENTWISE | TN_OP_ZERO_GRAD

#define C(number) number
#define PART(name, derivative) ",  " name " = sum dy * (" TNI_TEXT(derivative) ")"
#define FORMULA_BOTH(f, da, db) \
    "y = " TNI_TEXT(f) PART("da", da) PART("db", db) " over the axes that are stretched"
#define FORMULA_ZERO(f, da, db) "y = " TNI_TEXT(f)

#define DECLARE(broadcast, grads, version, formula_, doc_)                                        \
    const tn_op_decl tni_op_##broadcast =                                                         \
        TN_OP(.name = #broadcast, ALIASES_##broadcast, GRADIENT_##grads,                          \
              .doc = doc_ ". Elementwise; axes of extent 1 are stretched to the other's extent.", \
              .source = version ", src/operator/tensor/elemwise_binary_broadcast_op*.cc",         \
              .family = "arithmetic, broadcast", .formula = formula_,                             \
              .shape_rule = "aligned at the last axes, each output extent is the larger one; "    \
                            "extents are equal, or one of them is 1 or missing",                  \
              .inputs = TN_PORTS(                                                                 \
                  TN_PORT(.name = "lhs", .doc = "a"),                                             \
                  TN_PORT(.name = "rhs", .doc = "b; shapes are aligned at the last axis")),       \
              .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the larger extents")),        \
              .infer_shape = broadcast_shape, .expand = broadcast_expand);

#define BROADCAST(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    DECLARE(broadcast, grads, "MXNet 0.11", FORMULA_##grads(forward, da, db), doc)
#define LATER(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    DECLARE(broadcast, grads, "MXNet 1.x", FORMULA_##grads(forward, da, db), doc)
TN_BINARY_ROWS_0_11(BROADCAST)
TN_BINARY_ROWS_LATER(LATER)

// ------------------------------------------------------------------ stretched = spread(part)
//
// part, aligned at the last axes, fits `whole`: each of its extents is 1 or that of whole.

static tn_status fits(const tn_infer *io, tni_slot part_slot, tni_slot whole_slot)
{
    tn_shape part = tni_shape(io, part_slot), whole = tni_shape(io, whole_slot);
    if (part.ndim < 0 || whole.ndim < 0) return TN_OK;
    bool ok = part.ndim <= whole.ndim;
    for (int32_t back = 0; ok && back < part.ndim; back++) {
        const int64_t p = part.dim[part.ndim - 1 - back];
        int64_t *w = &whole.dim[whole.ndim - 1 - back];
        if (p >= 0 && p != 1 && *w < 0) *w = p;
        ok = p < 0 || *w < 0 || p == 1 || p == *w;
    }
    char sp[TNI_SHOW], sw[TNI_SHOW];
    if (!ok)
        return tn_infer_fail(io, TN_E_SHAPE, "%.80s cannot be broadcast to %.80s",
                             tni_show(sp, &part), tni_show(sw, &whole));
    return tni_merge(io, whole_slot, whole);
}

// Sums of the gradient are how every spreading operator is differentiated.
static tn_status spread_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "_sum_like", dy, tn_grad_in(b, 0)));
    return TN_OK;
}

// ------------------------------------------------------------------ broadcast_to

typedef struct to_params {
    tn_ints shape;
} to_params;

static tn_status to_shape(const tn_infer *io)
{
    const to_params *p = io->params;
    const tn_shape in = tni_shape(io, TNI_IN(0));
    if (p->shape.n > TN_MAX_NDIM || (in.ndim >= 0 && (size_t)in.ndim != p->shape.n))
        return tn_infer_fail(io, TN_E_SHAPE, "shape: wanted one entry for each of %d axes, got %zu",
                             in.ndim, p->shape.n);
    tn_shape out = tn_shape_rank((int32_t)p->shape.n), back = out;
    for (int32_t i = 0; i < out.ndim; i++) {
        if (p->shape.v[i] > 0) out.dim[i] = p->shape.v[i];
        if (p->shape.v[i] == 0 && in.ndim >= 0) out.dim[i] = in.dim[i];
    }
    TNI_TRY(tni_merge(io, TNI_OUT(0), out));
    out = tni_shape(io, TNI_OUT(0));
    for (int32_t i = 0; i < out.ndim; i++)
        if (p->shape.v[i] == 0) back.dim[i] = out.dim[i];
    TNI_TRY(tni_merge(io, TNI_IN(0), back));
    return fits(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status to_expand(const tn_builder *b)
{
    const to_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    tn_shape whole = *b->shape(b->ctx, x);
    for (int32_t i = 0; i < whole.ndim; i++)
        if (p->shape.v[i] > 0) whole.dim[i] = p->shape.v[i];
    return tni_expanded(b, tni_stretch(b, x, &whole));
}

const tn_op_decl tni_op_broadcast_to =
    TN_OP(.name = "broadcast_to",
          .doc = "Stretches axes of extent 1 to a given shape of the same number of axes.",
          .family = "shape",
          .formula = "y = data, repeated along axes of extent 1;  ddata = sum of dy over them",
          .shape_rule = "output has the shape `shape`, where 0 copies an extent; data's extents "
                        "are the same or 1",
          .source = "MXNet 0.11, src/operator/tensor/broadcast_reduce_op_value.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "of the given shape")),
          .params = TN_PARAMS(TN_PARAM(to_params, shape, TN_P_I64S, .def = "()", .range = "[0,)",
                                       .doc = "wanted extents; 0 keeps that of data")),
          .params_size = sizeof(to_params), .infer_shape = to_shape, .gradient = spread_gradient,
          .expand = to_expand);

// ------------------------------------------------------------------ broadcast_axis

typedef struct axis_params {
    tn_ints axis, size;
} axis_params;

static tn_status axis_check(const void *params, char *reason, size_t size)
{
    const axis_params *p = params;
    if (p->axis.n == p->size.n) return TN_OK;
    snprintf(reason, size, "axis has %zu entries and size has %zu: wanted one size for each axis",
             p->axis.n, p->size.n);
    return TN_E_INVALID;
}

static tn_status axis_shape(const tn_infer *io)
{
    const axis_params *p = io->params;
    tn_shape in = tni_shape(io, TNI_IN(0));
    const tn_shape known = tni_shape(io, TNI_OUT(0));
    const int32_t ndim = in.ndim >= 0 ? in.ndim : known.ndim;
    if (ndim < 0) return TN_OK;
    if (in.ndim < 0) in = tn_shape_rank(ndim);
    tn_shape out = in, back = known.ndim == ndim ? known : tn_shape_rank(ndim);
    for (size_t i = 0; i < p->axis.n; i++) {
        const int32_t axis = tn_axis(p->axis.v[i], ndim);
        if (axis < 0)
            return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                                 (long long)p->axis.v[i], ndim);
        if (in.dim[axis] >= 0 && in.dim[axis] != 1)
            return tn_infer_fail(io, TN_E_SHAPE, "axis %d of data: wanted extent 1, got %lld", axis,
                                 (long long)in.dim[axis]);
        out.dim[axis] = p->size.v[i];
        back.dim[axis] = 1;
    }
    TNI_TRY(tni_merge(io, TNI_OUT(0), out));
    return tni_merge(io, TNI_IN(0), back);
}

const tn_op_decl tni_op_broadcast_axis =
    TN_OP(.name = "broadcast_axis", .aliases = "broadcast_axes",
          .doc = "Stretches the named axes, which must have extent 1.", .family = "shape",
          .formula = "y = data, repeated along axes of extent 1;  ddata = sum of dy over them",
          .shape_rule = "each axis of axis: 1 -> its entry of size",
          .source = "MXNet 0.11, src/operator/tensor/broadcast_reduce_op_value.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "extent 1 on the named axes")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data with these axes stretched")),
          .params =
              TN_PARAMS(TN_PARAM(axis_params, axis, TN_P_I64S, .def = "()", .doc = "the axes"),
                        TN_PARAM(axis_params, size, TN_P_I64S, .def = "()", .range = "[0,)",
                                 .doc = "new extent of each")),
          .params_size = sizeof(axis_params), .check = axis_check, .infer_shape = axis_shape,
          .gradient = spread_gradient);

// ------------------------------------------------------------------ broadcast_like, _sum_like

static tn_status broadcast_like_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(fits(io, TNI_IN(0), TNI_OUT(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status broadcast_like_expand(const tn_builder *b)
{
    const tn_shape whole = *b->shape(b->ctx, tn_grad_in(b, 1));
    return tni_expanded(b, tni_stretch(b, tn_grad_in(b, 0), &whole));
}

const tn_op_decl tni_op_broadcast_like = TN_OP(
        .name = "broadcast_like",
        .doc = "Stretches lhs to the shape of rhs. Shapes are aligned at their last axes.",
        .family = "shape",
        .formula =
            "y = lhs, repeated to the shape of rhs;  dlhs = sum of dy over the stretched axes",
        .shape_rule =
            "output has the shape of rhs; lhs, aligned at the last axes, has the same extents or 1",
        .source = "MXNet 1.x, src/operator/tensor/broadcast_reduce_op_value.cc",
        .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "each extent is 1 or that of rhs"),
                           TN_PORT(.name = "rhs", .doc = "gives the shape",
                                   .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
        .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of rhs")),
        .infer_shape = broadcast_like_shape, .infer_dtype = tni_dtype_all_but_in1,
        .gradient = spread_gradient, .expand = broadcast_like_expand);

static tn_status sum_like_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(fits(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status sum_like_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "broadcast_like", dy, tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status sum_like_expand(const tn_builder *b)
{
    tn_sym x = tn_grad_in(b, 0);
    const tn_sym like = tn_grad_in(b, 1);
    const tn_shape whole = *b->shape(b->ctx, x), part = *b->shape(b->ctx, like);
    int64_t axes[TN_MAX_NDIM];
    char text[TNI_LONG_TEXT] = "";
    size_t n = 0;
    for (int32_t i = 0; i < whole.ndim; i++) {
        const int32_t back = whole.ndim - 1 - i;
        if (back >= part.ndim || extent_back(&part, back) != whole.dim[i]) axes[n++] = i;
    }
    tni_text_list(text, "axis", (tn_ints){n, axes});
    if (n) x = tn_emit(b, "sum", text, &x, 1);
    b->set_output(b->ctx, 0, tni_call2(b, "reshape_like", x, like));
    return TN_OK;
}

const tn_op_decl tni_op_sum_like =
    TN_OP(.name = "_sum_like", .flags = TN_OP_INTERNAL,
          .doc =
              "Sums data down to the shape of like: the gradient of broadcasting. Axes that like "
              "lacks or has with extent 1 are summed.",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "like's shape, broadcast"),
                             TN_PORT(.name = "like", .doc = "gives the shape",
                                     .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          .infer_shape = sum_like_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = sum_like_gradient, .expand = sum_like_expand);
