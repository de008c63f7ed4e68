// core/ops/order.c: sort, argsort and topk, by the order of elements along an axis.
//
// The order is stable: equal elements keep their order. NaN counts as the largest number. Without
// an axis the flattened data is ordered. Indices come in the dtype of data, as in MXNet: float16
// holds them exactly up to 2048, bfloat16 up to 256, float32 up to 2^24.
#include "core/ops/ops.h"

typedef struct order_params {
    int64_t axis, k;
    int32_t ret_typ, is_ascend;
} order_params;
enum { VALUE, INDICES, MASK, BOTH };

#define ASCEND(default_)                                          \
    TN_PARAM(order_params, is_ascend, TN_P_BOOL, .def = default_, \
             .doc = "smallest element first; otherwise the largest")
#define AXIS                                                                 \
    TN_PARAM(order_params, axis, TN_P_I64, .def = "-1", .flags = TN_PF_NONE, \
             .doc = "axis to order; negative: from the end; None: all, flattened")
#define DATA TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape"))
#define SOURCE .source = "MXNet 0.11, src/operator/tensor/ordering_op-inl.h"

// Result of ordering: shape of data, or one axis; `k` elements of it are left if k > 0.
static tn_status order_rule(const tn_infer *io, tni_slot result, int64_t k)
{
    const order_params *p = io->params;
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, result);
    if (p->axis == TN_NONE_I64) {
        const int64_t n = tn_shape_size(&x);
        if (n >= 0 && k > n)
            return tn_infer_fail(io, TN_E_SHAPE, "k: %lld of %lld elements", (long long)k,
                                 (long long)n);
        return tni_merge(io, result, tn_shape_1d(k > 0 ? k : n));
    }
    if (x.ndim < 0 && y.ndim < 0) return TN_OK;
    if (x.ndim < 0) x = tn_shape_rank(y.ndim);
    const int32_t axis = tn_axis(p->axis, x.ndim);
    if (axis < 0)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                             (long long)p->axis, x.ndim);
    const int64_t n = x.dim[axis];
    if (n >= 0 && k > n)
        return tn_infer_fail(io, TN_E_SHAPE, "k: %lld of %lld elements", (long long)k,
                             (long long)n);
    if (k > 0) x.dim[axis] = k;
    TNI_TRY(tni_merge(io, result, x));
    x = tni_shape(io, result);
    if (k > 0) x.dim[axis] = n;
    return tni_merge(io, TNI_IN(0), x);
}

// ------------------------------------------------------------------ _argsort

static tn_status argsort_shape(const tn_infer *io)
{
    const order_params *p = io->params;
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const tn_shape s = tni_shape(io, TNI_OUT(0));
    if (s.ndim < 0 || tn_axis(p->axis, s.ndim) >= 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes", (long long)p->axis,
                         s.ndim);
}

static tn_status argsort_dtype(const tn_infer *io)
{
    return tni_merge_dtype(io, TNI_OUT(0), TN_I64);
}

const tn_op_decl tni_op_argsort_whole =
    TN_OP(.name = "_argsort", .flags = TN_OP_INTERNAL | TN_OP_ZERO_GRAD,
          .doc = "Where the elements of each row stand in data, in their order, as int64.",
          .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")),
          .params = TN_PARAMS(TN_PARAM(order_params, axis, TN_P_I64, .doc = "axis to order"),
                              ASCEND("True")),
          .params_size = sizeof(order_params), .infer_shape = argsort_shape,
          .infer_dtype = argsort_dtype);

// ------------------------------------------------------------------ _argsort_first

static tn_status first_shape(const tn_infer *io)
{
    return order_rule(io, TNI_OUT(0), ((const order_params *)io->params)->k);
}

// For those who can only order all.
static tn_status first_expand(const tn_builder *b)
{
    const order_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym x = tn_grad_in(b, 0);
    tn_text(text, "axis=%lld; is_ascend=%d", (long long)p->axis, p->is_ascend);
    const tn_sym all = tn_emit(b, "_argsort", text, &x, 1);
    tn_text(text, "axis=%lld; begin=0; end=%lld", (long long)p->axis, (long long)p->k);
    b->set_output(b->ctx, 0, tn_emit(b, "slice_axis", text, &all, 1));
    return TN_OK;
}

const tn_op_decl tni_op_argsort_first =
    TN_OP(.name = "_argsort_first", .flags = TN_OP_INTERNAL | TN_OP_ZERO_GRAD,
          .doc = "Where the k first elements of each row stand in data, in their order, as int64.",
          .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")),
          .params = TN_PARAMS(
              TN_PARAM(order_params, axis, TN_P_I64, .doc = "axis to order"),
              TN_PARAM(order_params, k, TN_P_I64, .range = "[1,)", .doc = "how many elements"),
              ASCEND("True")),
          .params_size = sizeof(order_params), .infer_shape = first_shape,
          .infer_dtype = argsort_dtype, .expand = first_expand);

// ------------------------------------------------------------------ what the three share

// The data that is ordered, and "axis=k" of it.
static tn_sym ordered(const tn_builder *b, char text[TN_TEXT])
{
    const order_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const bool flat = p->axis == TN_NONE_I64;
    tn_text(text, "axis=%lld", flat ? 0 : (long long)p->axis);
    return flat ? tn_emit(b, "Reshape", "shape=(-1,)", &x, 1) : x;
}

// The first k indices of the order; all of them if k < 1.
static tn_sym order_of(const tn_builder *b, tn_sym x, const char *axis, int64_t k)
{
    const order_params *p = b->params;
    char text[TN_TEXT];
    if (k < 1) {
        tn_text(text, "%s; is_ascend=%d", axis, p->is_ascend);
        return tn_emit(b, "_argsort", text, &x, 1);
    }
    tn_text(text, "%s; is_ascend=%d; k=%lld", axis, p->is_ascend, (long long)k);
    return tn_emit(b, "_argsort_first", text, &x, 1);
}

static tn_sym as_data(const tn_builder *b, tn_sym index)
{
    char text[TN_TEXT];
    const tn_dtype dtype = b->dtype(b->ctx, tn_grad_in(b, 0));
    if (dtype == TN_DTYPE_NONE) {
        b->fail(b->ctx, TN_E_DTYPE, "the dtype of data is not known");
        return 0;
    }
    return tn_emit(b, "Cast", tn_text(text, "dtype=%s", tn_dtype_name(dtype)), &index, 1);
}

// v, laid out like the ordered data, in the shape of data.
static tn_sym unflattened(const tn_builder *b, tn_sym v)
{
    const order_params *p = b->params;
    return p->axis == TN_NONE_I64 ? tni_call2(b, "reshape_like", v, tn_grad_in(b, 0)) : v;
}

static tn_status order_gradient(const tn_builder *b, int64_t k)
{
    char axis[TN_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK;
    const tn_sym x = ordered(b, axis), index = order_of(b, x, axis, k);
    tn_grad_set(b, 0, unflattened(b, TN_EMIT(b, "_backward_take_along", axis, dy, index, x)));
    return TN_OK;
}

// ------------------------------------------------------------------ sort, argsort

static tn_status sort_shape(const tn_infer *io)
{
    TNI_TRY(order_rule(io, TNI_OUT(0), 0));
    if (io->n_out > 1) TNI_TRY(tni_link(io, TNI_OUT(0), TNI_OUT(1)));
    return order_rule(io, TNI_OUT(0), 0);
}

static tn_status sort_gradient(const tn_builder *b)
{
    return order_gradient(b, 0);
}

static tn_status sort_expand(const tn_builder *b)
{
    char axis[TN_TEXT];
    const tn_sym x = ordered(b, axis), index = order_of(b, x, axis, 0);
    b->set_output(b->ctx, 0, TN_EMIT(b, "_take_along", axis, x, index));
    b->set_output(b->ctx, 1, as_data(b, index));
    return TN_OK;
}

const tn_op_decl tni_op_sort =
    TN_OP(.name = "sort", .doc = "Elements in their order along an axis.", .family = "order",
          .formula = "y = data in order along axis, equals as they were;  ddata = dy, put back",
          .shape_rule = "output has the shape of data; axis=None: (elements,)", SOURCE,
          .inputs = DATA,
          .outputs = TN_PORTS(
              TN_PORT(.name = "output0", .doc = "data in order; one axis if it is flattened"),
              TN_PORT(.name = "output1", .flags = TN_PORT_HIDDEN,
                      .doc = "where each element stood in data")),
          .params = TN_PARAMS(AXIS, ASCEND("True")), .params_size = sizeof(order_params),
          .infer_shape = sort_shape, .gradient = sort_gradient, .expand = sort_expand);

static tn_status argsort_expand(const tn_builder *b)
{
    char axis[TN_TEXT];
    const tn_sym x = ordered(b, axis);
    b->set_output(b->ctx, 0, as_data(b, order_of(b, x, axis, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_argsort =
    TN_OP(.name = "argsort", .flags = TN_OP_ZERO_GRAD,
          .doc = "Where the elements stand in data, in their order along an axis, in the dtype of "
                 "data.",
          .family = "order", .formula = "y = where the elements in order along axis stand in data",
          .shape_rule = "output has the shape of data; axis=None: (elements,)", SOURCE,
          .inputs = DATA,
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "indices along the axis")),
          .params = TN_PARAMS(AXIS, ASCEND("True")), .params_size = sizeof(order_params),
          .infer_shape = sort_shape, .expand = argsort_expand);

// ------------------------------------------------------------------ topk

static tn_status topk_shape(const tn_infer *io)
{
    const order_params *p = io->params;
    if (p->ret_typ == MASK) return tni_link(io, TNI_IN(0), TNI_OUT(0));
    TNI_TRY(order_rule(io, TNI_OUT(0), p->k));
    if (io->n_out > 1) TNI_TRY(tni_link(io, TNI_OUT(0), TNI_OUT(1)));
    return order_rule(io, TNI_OUT(0), p->k);
}

static tn_status topk_gradient(const tn_builder *b)
{
    const order_params *p = b->params;
    return p->ret_typ == VALUE || p->ret_typ == BOTH ? order_gradient(b, p->k) : TN_OK;
}

static tn_status topk_expand(const tn_builder *b)
{
    const order_params *p = b->params;
    char axis[TN_TEXT];
    const tn_sym x = ordered(b, axis), index = order_of(b, x, axis, p->k);
    if (p->ret_typ == INDICES) {
        b->set_output(b->ctx, 0, as_data(b, index));
        return TN_OK;
    }
    const tn_sym values = TN_EMIT(b, "_take_along", axis, x, index);
    if (p->ret_typ == MASK) {
        const tn_sym ones = tni_call(b, "ones_like", values);
        const tn_sym mask = TN_EMIT(b, "_backward_take_along", axis, ones, index, x);
        b->set_output(b->ctx, 0, unflattened(b, mask));
    } else {
        b->set_output(b->ctx, 0, values);
        b->set_output(b->ctx, 1, as_data(b, index));
    }
    return TN_OK;
}

const tn_op_decl tni_op_topk =
    TN_OP(.name = "topk", .doc = "The k first elements in their order along an axis.",
          .family = "order",
          .formula = "the k first elements in order along axis, their indices, or a mask;  ddata = "
                     "dy, put back",
          .shape_rule = "the extent of axis -> k; axis=None: (k,); ret_typ=mask: data's shape",
          SOURCE, .inputs = DATA,
          .outputs = TN_PORTS(
              TN_PORT(.name = "output", .when = "ret_typ=indices|mask",
                      .doc = "indices along the axis; or 1 where data has such an element, else 0"),
              TN_PORT(.name = "output0", .when = "ret_typ=value|both", .doc = "the elements"),
              TN_PORT(.name = "output1", .when = "ret_typ=value|both", .flags = TN_PORT_HIDDEN,
                      .visible = "ret_typ=both", .doc = "where they stood in data")),
          .params = TN_PARAMS(AXIS,
                              TN_PARAM(order_params, k, TN_P_I64, .def = "1",
                                       .doc = "how many elements; less than 1: all"),
                              TN_PARAM(order_params, ret_typ, TN_P_ENUM, .def = "indices",
                                       .choices = "value|indices|mask|both",
                                       .doc = "the elements, their indices, a mask in the shape of "
                                              "data, or elements and indices"),
                              ASCEND("False")),
          .params_size = sizeof(order_params), .infer_shape = topk_shape, .gradient = topk_gradient,
          .expand = topk_expand);
