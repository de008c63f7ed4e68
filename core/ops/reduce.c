// core/ops/reduce.c: sums and their like over axes, argmax and argmin, and _broadcast_reduced,
// which spreads a reduction's result over its axes again.
#include "core/ops/ops.h"

typedef struct reduce_params {
    tn_ints axis;
    int32_t keepdims, exclude, scale_by_count;
} reduce_params;

// ------------------------------------------------------------------ axes and shapes

// Bit i set: axis i is reduced. No axes at all means all of them, with and without exclude.
static tn_status reduced_axes(const tn_infer *io, int32_t ndim, uint32_t *set)
{
    const reduce_params *p = io->params;
    const uint32_t all = (1u << ndim) - 1;
    *set = p->axis.n ? 0 : all;
    for (size_t i = 0; i < p->axis.n; i++) {
        const int32_t axis = tn_axis(p->axis.v[i], ndim);
        if (axis < 0)
            return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                                 (long long)p->axis.v[i], ndim);
        if (*set >> axis & 1)
            return tn_infer_fail(io, TN_E_SHAPE, "axis: %d stands there twice", axis);
        *set |= 1u << axis;
    }
    if (p->exclude && p->axis.n) *set = all & ~*set;
    return TN_OK;
}

// The shape rule between a value and its reduction. Extents of axes that are not reduced are equal;
// reduced axes get 1 or vanish, and where none would be left the result has shape (1,).
static tn_status reduce_rule(const tn_infer *io, tni_slot whole, tni_slot part)
{
    const reduce_params *p = io->params;
    tn_shape w = tni_shape(io, whole), s = tni_shape(io, part);
    uint32_t set = 0;
    if (w.ndim < 0 && p->axis.n == 0 && !p->keepdims) return tni_merge(io, part, tn_shape_1d(1));
    if (w.ndim < 0 && s.ndim >= 0 && p->keepdims) w = tn_shape_rank(s.ndim);
    if (w.ndim < 0) return TN_OK;
    TNI_TRY(reduced_axes(io, w.ndim, &set));
    tn_shape wanted = {0};
    int8_t from[TN_MAX_NDIM]; // axis of the whole that an axis of the part comes from; -1: none
    for (int32_t i = 0; i < w.ndim; i++) {
        const bool reduced = set >> i & 1;
        if (reduced && !p->keepdims) continue;
        from[wanted.ndim] = (int8_t)(reduced ? -1 : i);
        wanted.dim[wanted.ndim++] = reduced ? 1 : w.dim[i];
    }
    if (wanted.ndim == 0 && !(w.ndim == 0 && p->keepdims)) {
        from[0] = -1;
        wanted = tn_shape_1d(1);
    }
    TNI_TRY(tni_merge(io, part, wanted));
    s = tni_shape(io, part);
    for (int32_t i = 0; i < wanted.ndim; i++)
        if (from[i] >= 0) w.dim[from[i]] = s.dim[i];
    return tni_merge(io, whole, w);
}

static tn_status reduce_shape(const tn_infer *io)
{
    return reduce_rule(io, TNI_IN(0), TNI_OUT(0));
}

// ------------------------------------------------------------------ gradients

static const char *reduce_text(char text[TNI_LONG_TEXT], const reduce_params *p, const char *more)
{
    text[0] = 0;
    tni_text_list(text, "axis", p->axis);
    const size_t at = strlen(text);
    snprintf(text + at, TNI_LONG_TEXT - at, "keepdims=%d; exclude=%d%s", p->keepdims, p->exclude,
             more);
    return text;
}

// v, of the shape of the reduction, spread over the shape of the data.
static tn_sym spread(const tn_builder *b, tn_sym v)
{
    char text[TNI_LONG_TEXT];
    return TN_EMIT(b, "_broadcast_reduced", reduce_text(text, b->params, ""), v, tn_grad_in(b, 0));
}

static tn_status sum_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, spread(b, dy));
    return TN_OK;
}

static tn_status mean_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_broadcast_reduced",
                            reduce_text(text, b->params, "; scale_by_count=1"), dy,
                            tn_grad_in(b, 0)));
    return TN_OK;
}

// Every element that is as large as the result gets the whole gradient.
static tn_status extremum_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK;
    const tn_sym chosen = tni_call2(b, "_equal", tn_grad_in(b, 0), spread(b, tn_grad_out(b, 0)));
    tn_grad_set(b, 0, tni_call2(b, "_mul", spread(b, dy), chosen));
    return TN_OK;
}

// dx_i = dy · Π_{j≠i} x_j. With zeros replaced by ones, p is the product of the other elements;
// an element gets p / x if there is no zero, p if it is the only zero, and nothing otherwise.
static tn_status prod_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0);
    if (!dy) return TN_OK;
    const tn_sym is_zero = tni_call_scalar(b, "_equal_scalar", x, 0);
    const tn_sym filled = tni_call2(b, "elemwise_add", x, is_zero);
    reduce_text(text, b->params, "");
    const tn_sym zeros = tn_emit(b, "sum", text, &is_zero, 1);
    const tn_sym p = tni_call2(b, "_mul", tn_emit(b, "prod", text, &filled, 1), dy);
    const tn_sym none = tni_call2(b, "_mul", p, tni_call_scalar(b, "_equal_scalar", zeros, 0));
    const tn_sym one = tni_call2(b, "_mul", p, tni_call_scalar(b, "_equal_scalar", zeros, 1));
    const tn_sym usual = tni_call2(b, "_div", spread(b, none), filled);
    const tn_sym single = tni_call2(b, "_mul", spread(b, one), is_zero);
    tn_grad_set(b, 0, tni_call2(b, "elemwise_add", usual, single));
    return TN_OK;
}

// ------------------------------------------------------------------ expansions

// Bit i set: axis i is reduced; of parameters that reduced_axes() has accepted.
static uint32_t reduced_set(const reduce_params *p, int32_t ndim)
{
    const uint32_t all = (1u << ndim) - 1;
    uint32_t set = p->axis.n ? 0 : all;
    for (size_t i = 0; i < p->axis.n; i++) set |= 1u << (tn_axis(p->axis.v[i], ndim) & 31);
    return p->exclude && p->axis.n ? all & ~set : set;
}

// How many elements of a value of that shape become one.
static double reduced_count(const reduce_params *p, const tn_shape *s)
{
    const uint32_t set = reduced_set(p, s->ndim);
    double n = 1;
    for (int32_t i = 0; i < s->ndim; i++)
        if (set >> i & 1) n *= (double)s->dim[i];
    return n;
}

// Σ x / n in a dtype that holds the sum: float32 for narrow floats, float64 for integers.
static tn_status mean_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym x = tn_grad_in(b, 0);
    const tn_dtype dtype = b->dtype(b->ctx, x);
    const bool narrow = dtype == TN_F16 || dtype == TN_BF16, whole = !narrow && dtype != TN_F32;
    const tn_sym wide = tni_cast(b, x, narrow ? TN_F32 : whole ? TN_F64 : dtype);
    const tn_sym sum = tn_emit(b, "sum", reduce_text(text, b->params, ""), &wide, 1);
    const double n = reduced_count(b->params, b->shape(b->ctx, x));
    b->set_output(b->ctx, 0, tni_cast(b, tni_call_scalar(b, "_div_scalar", sum, n), dtype));
    return TN_OK;
}

static tn_status min_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym x = tni_complement(b, tn_grad_in(b, 0));
    const tn_sym most = tn_emit(b, "max", reduce_text(text, b->params, ""), &x, 1);
    b->set_output(b->ctx, 0, tni_complement(b, most));
    return TN_OK;
}

// ------------------------------------------------------------------ sum, mean, max, min, prod

#define AXIS_PARAMS                                                     \
    TN_PARAM(reduce_params, axis, TN_P_I64S, .def = "()",               \
             .doc = "axes to reduce; negative: from the end; (): all"), \
        TN_PARAM(reduce_params, keepdims, TN_P_BOOL, .def = "False",    \
                 .doc = "keep reduced axes with extent 1"),             \
        TN_PARAM(reduce_params, exclude, TN_P_BOOL, .def = "False",     \
                 .doc = "reduce all axes but the named ones")

#define REDUCTION                                                                            \
    .source = "MXNet 0.11, src/operator/tensor/broadcast_reduce_op_value.cc",                \
    .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),                      \
    .outputs = TN_PORTS(                                                                     \
        TN_PORT(.name = "output", .doc = "without the reduced axes; (1,) if none is left")), \
    .params = TN_PARAMS(AXIS_PARAMS), .params_size = sizeof(reduce_params),                  \
    .infer_shape = reduce_shape

const tn_op_decl tni_op_sum =
    TN_OP(.name = "sum", .aliases = "sum_axis", .doc = "Sum over axes.", .family = "reduction",
          .formula = "y = sum x;  dx = dy along the axes",
          .shape_rule = "the axes of axis, or with exclude all others, are dropped, or with "
                        "keepdims become 1; axis=() means all; nothing left: (1,)",
          REDUCTION, .gradient = sum_gradient);

const tn_op_decl tni_op_mean =
    TN_OP(.name = "mean", .doc = "Mean over axes: the sum divided by the number of elements.",
          .family = "reduction",
          .formula = "y = sum x / n;  dx = dy / n along the axes, n elements each",
          .shape_rule = "the axes of axis, or with exclude all others, are dropped, or with "
                        "keepdims become 1; axis=() means all; nothing left: (1,)",
          REDUCTION, .gradient = mean_gradient, .expand = mean_expand);

const tn_op_decl tni_op_max =
    TN_OP(.name = "max", .aliases = "max_axis",
          .doc = "Largest element over axes. At a tie each of them gets the gradient.",
          .family = "reduction", .formula = "y = max x;  dx = dy wherever x is the maximum",
          .shape_rule = "the axes of axis, or with exclude all others, are dropped, or with "
                        "keepdims become 1; axis=() means all; nothing left: (1,)",
          REDUCTION, .gradient = extremum_gradient);

const tn_op_decl tni_op_min =
    TN_OP(.name = "min", .aliases = "min_axis",
          .doc = "Smallest element over axes. At a tie each of them gets the gradient.",
          .family = "reduction", .formula = "y = min x;  dx = dy wherever x is the minimum",
          .shape_rule = "the axes of axis, or with exclude all others, are dropped, or with "
                        "keepdims become 1; axis=() means all; nothing left: (1,)",
          REDUCTION, .gradient = extremum_gradient, .expand = min_expand);

const tn_op_decl tni_op_prod =
    TN_OP(.name = "prod",
          .doc = "Product over axes. The gradient is exact where elements are 0, too.",
          .family = "reduction",
          .formula = "y = product of x;  dx = dy * product of the other elements",
          .shape_rule = "the axes of axis, or with exclude all others, are dropped, or with "
                        "keepdims become 1; axis=() means all; nothing left: (1,)",
          REDUCTION, .gradient = prod_gradient);

// ------------------------------------------------------------------ nansum, nanprod

// The reduction of x with another number in the place of NaN.
static void reduce_numbers(const tn_builder *b, const char *fill, const char *op)
{
    char text[TNI_LONG_TEXT];
    const tn_sym x = tn_grad_in(b, 0), is_number = tni_call2(b, "_equal", x, x);
    const tn_sym filled = TN_EMIT(b, "where", NULL, is_number, x, tni_call(b, fill, x));
    reduce_text(text, b->params, "");
    b->set_output(b->ctx, 0, tn_emit(b, op, text, &filled, 1));
}

static tn_status nansum_expand(const tn_builder *b)
{
    reduce_numbers(b, "zeros_like", "sum");
    return TN_OK;
}

static tn_status nanprod_expand(const tn_builder *b)
{
    reduce_numbers(b, "ones_like", "prod");
    return TN_OK;
}

const tn_op_decl tni_op_nansum =
    TN_OP(.name = "nansum", .doc = "Sum over axes, in which NaN counts as 0.",
          .family = "reduction",
          .formula = "y = sum of the x that are not NaN;  dx = dy there, else 0",
          .shape_rule = "the axes of axis, or with exclude all others, are dropped, or with "
                        "keepdims become 1; axis=() means all; nothing left: (1,)",
          REDUCTION, .expand = nansum_expand);

const tn_op_decl tni_op_nanprod =
    TN_OP(.name = "nanprod", .doc = "Product over axes, in which NaN counts as 1.",
          .family = "reduction",
          .formula = "y = product of the x that are not NaN;  dx = dy * product of the other ones",
          .shape_rule = "the axes of axis, or with exclude all others, are dropped, or with "
                        "keepdims become 1; axis=() means all; nothing left: (1,)",
          REDUCTION, .expand = nanprod_expand);

// ------------------------------------------------------------------ norm
//
//     y = √(Σ x²),  dx = dy · x / y, and 0 where y is 0

static tn_status norm_shape(const tn_infer *io)
{
    return tni_merge(io, TNI_OUT(0), tn_shape_1d(1));
}

static tn_status norm_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0), x = tn_grad_in(b, 0), y = tn_grad_out(b, 0);
    if (!dy) return TN_OK;
    const tn_sym is_zero = tni_call_scalar(b, "_equal_scalar", y, 0);
    const tn_sym scale = tni_call2(b, "_div", dy, tni_call2(b, "elemwise_add", y, is_zero));
    tn_grad_set(b, 0, tni_call2(b, "_mul", x, tni_call2(b, "_broadcast_reduced", scale, x)));
    return TN_OK;
}

static tn_status norm_expand(const tn_builder *b)
{
    const tn_sym square = tni_call(b, "square", tn_grad_in(b, 0));
    b->set_output(b->ctx, 0, tni_call(b, "sqrt", tni_call(b, "sum", square)));
    return TN_OK;
}

const tn_op_decl tni_op_norm =
    TN_OP(.name = "norm", .doc = "Euclidean norm of all elements: sqrt(sum(x^2)).",
          .family = "reduction",
          .formula = "y = sqrt(sum x^2);  dx = dy * x / y, and 0 where y is 0",
          .shape_rule = "any shape -> (1,)",
          .source = "MXNet 0.11, src/operator/tensor/broadcast_reduce_op_value.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "x, of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(1,)")), .infer_shape = norm_shape,
          .gradient = norm_gradient, .expand = norm_expand);

// ------------------------------------------------------------------ _broadcast_reduced

static tn_status spread_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(reduce_rule(io, TNI_OUT(0), TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status spread_gradient(const tn_builder *b)
{
    const reduce_params *p = b->params;
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g)
        tn_grad_set(
            b, 0, tn_emit(b, p->scale_by_count ? "mean" : "sum", reduce_text(text, p, ""), &g, 1));
    return TN_OK;
}

// The reduced axes come back with extent 1 and are stretched.
static tn_status spread_expand(const tn_builder *b)
{
    const reduce_params *p = b->params;
    const tn_sym like = tn_grad_in(b, 1);
    const tn_shape whole = *b->shape(b->ctx, like);
    const uint32_t set = reduced_set(p, whole.ndim), all = (1u << whole.ndim) - 1;
    char text[TN_TEXT];
    tn_sym x = tn_grad_in(b, 0);
    if (whole.ndim == 0) x = tni_call2(b, "reshape_like", x, like);
    for (int32_t i = 0; i < whole.ndim && set != all && !p->keepdims; i++)
        if (set >> i & 1) x = tn_emit(b, "expand_dims", tn_text(text, "axis=%d", i), &x, 1);
    x = tni_stretch(b, x, &whole);
    if (p->scale_by_count) x = tni_call_scalar(b, "_div_scalar", x, reduced_count(p, &whole));
    return tni_expanded(b, x);
}

const tn_op_decl tni_op_broadcast_reduced =
    TN_OP(.name = "_broadcast_reduced", .flags = TN_OP_INTERNAL,
          .doc =
              "Spreads the result of a reduction over the axes that were reduced: the gradient of "
              "sum, and of mean if scale_by_count.",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "in the shape of the reduction"),
                             TN_PORT(.name = "like", .doc = "gives the shape",
                                     .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          .params = TN_PARAMS(AXIS_PARAMS,
                              TN_PARAM(reduce_params, scale_by_count, TN_P_BOOL, .def = "False",
                                       .doc = "divide by the number of reduced elements")),
          .params_size = sizeof(reduce_params), .infer_shape = spread_shape,
          .infer_dtype = tni_dtype_all_but_in1, .gradient = spread_gradient,
          .expand = spread_expand);

// ------------------------------------------------------------------ argmax, argmin
//
// Index of the first extreme element along an axis, in the dtype of data; without an axis, of all
// elements in row-major order.

typedef struct arg_params {
    int64_t axis;
    int32_t keepdims;
} arg_params;

static tn_status arg_shape(const tn_infer *io)
{
    const arg_params *p = io->params;
    const int64_t axis = p->axis;
    const reduce_params as = {.axis = {axis == TN_NONE_I64 ? 0 : 1, &axis},
                              .keepdims = p->keepdims};
    tn_infer reduce_io = *io;
    reduce_io.params = &as;
    return reduce_rule(&reduce_io, TNI_IN(0), TNI_OUT(0));
}

#define ARG                                                                                      \
    .flags = TN_OP_ZERO_GRAD,                                                                    \
    .source = "MXNet 0.11, src/operator/tensor/broadcast_reduce_op_index.cc",                    \
    .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),                          \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "without the axis; (1,) for all")),     \
    .params = TN_PARAMS(TN_PARAM(arg_params, axis, TN_P_I64, .def = "None", .flags = TN_PF_NONE, \
                                 .doc = "axis to search; negative: from the end; None: all"),    \
                        TN_PARAM(arg_params, keepdims, TN_P_BOOL, .def = "False",                \
                                 .doc = "keep the axis with extent 1")),                         \
    .params_size = sizeof(arg_params), .infer_shape = arg_shape

const tn_op_decl tni_op_argmax =
    TN_OP(.name = "argmax",
          .doc = "Index of the largest element along an axis, the first at a tie, in the dtype of "
                 "data.",
          .family = "reduction", .formula = "y = index of the first maximum along axis",
          .shape_rule = "the axis is dropped, or with keepdims becomes 1; axis=None: (1,)", ARG);

static tn_status argmin_expand(const tn_builder *b)
{
    const arg_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym x = tni_complement(b, tn_grad_in(b, 0));
    if (p->axis == TN_NONE_I64)
        tn_text(text, "axis=None; keepdims=%d", p->keepdims);
    else
        tn_text(text, "axis=%lld; keepdims=%d", (long long)p->axis, p->keepdims);
    b->set_output(b->ctx, 0, tn_emit(b, "argmax", text, &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_argmin =
    TN_OP(.name = "argmin",
          .doc = "Index of the smallest element along an axis, the first at a tie, in the dtype of "
                 "data.",
          .family = "reduction", .formula = "y = index of the first minimum along axis",
          .shape_rule = "the axis is dropped, or with keepdims becomes 1; axis=None: (1,)", ARG,
          .expand = argmin_expand);

static tn_status channel_shape(const tn_infer *io)
{
    const int64_t axis = 1;
    const reduce_params as = {.axis = {1, &axis}};
    tn_infer reduce_io = *io;
    reduce_io.params = &as;
    return reduce_rule(&reduce_io, TNI_IN(0), TNI_OUT(0));
}

static tn_status channel_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    b->set_output(b->ctx, 0, tn_emit(b, "argmax", "axis=1", &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_argmax_channel =
    TN_OP(.name = "argmax_channel", .flags = TN_OP_ZERO_GRAD,
          .doc = "Index of the largest element along axis 1, in the dtype of data.",
          .family = "reduction", .formula = "y[n,...] = index of the first maximum along axis 1",
          .shape_rule = "(n, c, ...) -> (n, ...)",
          .source = "MXNet 0.11, src/operator/tensor/broadcast_reduce_op_index.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, k, ...)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, ...)")),
          .infer_shape = channel_shape, .expand = channel_expand);
