// core/ops/quantize.c: _contrib_quantize and _contrib_dequantize: numbers of a range as bytes.
//
// With r = (max_range - min_range) / 255:
//   quantize     output = ⌊(input - min_range) / r + 0.5⌋, cut off at 0 and 255
//   dequantize   output = input r + min_range
#include "core/ops/ops.h"

static tn_status ranges_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    for (uint32_t i = 1; i < 3; i++) TNI_TRY(tni_merge(io, TNI_IN(i), tn_shape_1d(1)));
    for (uint32_t i = 1; i < io->n_out; i++) TNI_TRY(tni_merge(io, TNI_OUT(i), tn_shape_1d(1)));
    return TN_OK;
}

// v, calculated with vectors of one element, in the shape of the input: of one without axes, too.
static tn_sym as_input(const tn_builder *b, tn_sym v)
{
    const tn_sym x = tn_grad_in(b, 0);
    return b->shape(b->ctx, x)->ndim == 0 ? tni_call2(b, "reshape_like", v, x) : v;
}

#define RANGE(name_, doc_) TN_PORT(.name = name_, .doc = doc_)

// ------------------------------------------------------------------ _contrib_quantize

typedef struct quantize_params {
    int32_t out_type;
} quantize_params;

static tn_status quantize_dtype(const tn_infer *io)
{
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 1; i < 3; i++) {
            TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_IN(i)));
            TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(i)));
        }
    return tni_merge_dtype(io, TNI_OUT(0), TN_U8);
}

static tn_status quantize_expand(const tn_builder *b)
{
    const tn_sym low = tni_wide(b, tn_grad_in(b, 1)); // halves of bfloat16 end at 128
    const tn_sym width = tni_call2(b, "_sub", tni_wide(b, tn_grad_in(b, 2)), low);
    const tn_sym scale = tni_call_scalar(b, "_rdiv_scalar", width, 255);
    const tn_sym above = tni_call2(b, "broadcast_sub", tni_wide(b, tn_grad_in(b, 0)), low);
    const tn_sym steps = tni_call2(b, "broadcast_mul", above, scale);
    const tn_sym half = as_input(b, tni_call_scalar(b, "_plus_scalar", steps, 0.5));
    b->set_output(b->ctx, 0, tn_emit(b, "Cast", "dtype=uint8", &half, 1)); // cuts off
    b->set_output(b->ctx, 1, tni_call(b, "_copy", tn_grad_in(b, 1)));
    b->set_output(b->ctx, 2, tni_call(b, "_copy", tn_grad_in(b, 2)));
    return TN_OK;
}

static tn_status quantize_gradient(const tn_builder *b)
{
    for (uint32_t i = 1; i < 3; i++)
        if (tn_grad_head(b, i)) tn_grad_set(b, i, tn_grad_head(b, i));
    return TN_OK;
}

const tn_op_decl tni_op_quantize =
    TN_OP(.name = "_contrib_quantize",
          .doc = "Numbers of a range as bytes: (input - min_range) 255 / (max_range - min_range), "
                 "rounded. What lies outside of the range is cut off. The bytes have no gradient.",
          .family = "quantisation",
          .formula = "y = floor((x - min_range) / r + 0.5), cut off at 0 and 255, r = (max_range - "
                     "min_range) / 255",
          .shape_rule = "output has the shape of input; ranges (1,)",
          .source = "MXNet 0.11, src/operator/contrib/quantize-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "input", .doc = "of any shape"),
                             RANGE("min_range", "(1,): becomes 0"),
                             RANGE("max_range", "(1,): becomes 255")),
          .outputs = TN_PORTS(TN_PORT(.name = "output0", .doc = "bytes, in the shape of input"),
                              TN_PORT(.name = "output1", .doc = "(1,): min_range"),
                              TN_PORT(.name = "output2", .doc = "(1,): max_range")),
          .params = TN_PARAMS(TN_PARAM(quantize_params, out_type, TN_P_ENUM, .def = "uint8",
                                       .choices = "uint8", .doc = "dtype of the bytes")),
          .params_size = sizeof(quantize_params), .infer_shape = ranges_shape,
          .infer_dtype = quantize_dtype, .gradient = quantize_gradient, .expand = quantize_expand);

// ------------------------------------------------------------------ _contrib_dequantize

typedef struct dequantize_params {
    tn_dtype out_type;
} dequantize_params;

static tn_status dequantize_check(const void *params, char *reason, size_t size)
{
    const tn_dtype t = ((const dequantize_params *)params)->out_type;
    if (t == TN_F16 || t == TN_BF16 || t == TN_F32 || t == TN_F64) return TN_OK;
    snprintf(reason, size, "out_type: wanted a floating dtype");
    return TN_E_INVALID;
}

// Inputs are of any dtype; without a word on them bytes, and the range as the result.
static tn_status dequantize_dtype(const tn_infer *io)
{
    const dequantize_params *p = io->params;
    for (uint32_t i = 0; i < 3; i++)
        if (tni_dtype(io, TNI_IN(i)) == TN_DTYPE_NONE)
            TNI_TRY(tni_merge_dtype(io, TNI_IN(i), i ? p->out_type : TN_U8));
    return tni_merge_dtype(io, TNI_OUT(0), p->out_type);
}

static tn_status dequantize_expand(const tn_builder *b)
{
    const dequantize_params *p = b->params;
    const tn_dtype work = p->out_type == TN_F64 ? TN_F64 : TN_F32;
    tn_sym v[3];
    for (uint32_t i = 0; i < 3; i++) v[i] = tni_cast(b, tn_grad_in(b, i), work);
    const tn_sym step = tni_call_scalar(b, "_div_scalar", tni_call2(b, "_sub", v[2], v[1]), 255);
    const tn_sym above = tni_call2(b, "broadcast_mul", v[0], step);
    const tn_sym y = as_input(b, tni_call2(b, "broadcast_add", above, v[1]));
    b->set_output(b->ctx, 0, tni_cast(b, y, p->out_type));
    return TN_OK;
}

const tn_op_decl tni_op_dequantize =
    TN_OP(.name = "_contrib_dequantize",
          .doc = "Numbers of a range from bytes: input (max_range - min_range) / 255 + min_range.",
          .family = "quantisation",
          .formula = "y = x * r + min_range, r = (max_range - min_range) / 255",
          .shape_rule = "output has the shape of input; ranges (1,)",
          .source = "MXNet 0.11, src/operator/contrib/dequantize-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "input", .doc = "bytes, of any shape"),
                             RANGE("min_range", "(1,): what 0 stands for"),
                             RANGE("max_range", "(1,): what 255 stands for")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of input")),
          .params = TN_PARAMS(TN_PARAM(dequantize_params, out_type, TN_P_DTYPE,
                                       .doc = "dtype of the result: a floating one")),
          .params_size = sizeof(dequantize_params), .check = dequantize_check,
          .infer_shape = ranges_shape, .infer_dtype = dequantize_dtype,
          .expand = dequantize_expand);
