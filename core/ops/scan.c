// core/ops/scan.c: cumsum: running sums along an axis.
//
//     output[…, i, …] = Σ_{j ≤ i} data[…, j, …];  exclusive: j < i;  reverse: from the other end
#include "core/ops/ops.h"

typedef struct scan_params {
    int64_t axis;
    tn_dtype dtype;
    int32_t exclusive, reverse;
} scan_params;

static tn_status scan_shape(const tn_infer *io)
{
    const scan_params *p = io->params;
    if (p->axis == TN_NONE_I64) {
        const tn_shape x = tni_shape(io, TNI_IN(0));
        return tni_merge(io, TNI_OUT(0), tn_shape_1d(tn_shape_size(&x)));
    }
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    const tn_shape s = tni_shape(io, TNI_OUT(0));
    if (s.ndim < 0 || tn_axis(p->axis, s.ndim) >= 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes", (long long)p->axis,
                         s.ndim);
}

static tn_status scan_dtype(const tn_infer *io)
{
    const scan_params *p = io->params;
    if (p->dtype) return tni_merge_dtype(io, TNI_OUT(0), p->dtype);
    return tni_link_dtype(io, TNI_IN(0), TNI_OUT(0));
}

// A sum reaches all that stand behind: the gradient is summed from the other end.
static tn_status scan_gradient(const tn_builder *b)
{
    const scan_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    tn_sym dy = tn_grad_head(b, 0);
    char text[TN_TEXT];
    if (!dy) return TN_OK;
    const bool flat = p->axis == TN_NONE_I64;
    tn_text(text, "axis=%lld; exclusive=%d; reverse=%d", flat ? 0 : (long long)p->axis,
            p->exclusive, !p->reverse);
    tn_sym dx = tn_emit(b, "cumsum", text, &dy, 1);
    if (flat) dx = tni_call2(b, "reshape_like", dx, x);
    if (p->dtype) dx = tni_call2(b, "_cast_like", dx, x);
    tn_grad_set(b, 0, dx);
    return TN_OK;
}

const tn_op_decl tni_op_cumsum =
    TN_OP(.name = "cumsum", .aliases = "_np_cumsum",
          .doc = "Running sums along an axis: element i is the sum of the first i + 1, or of those "
                 "before it if exclusive. Integers wrap around.",
          .family = "reduction",
          .formula = "y[...,i,...] = sum_{j <= i} x[...,j,...] along axis; exclusive: j < i;  dx = "
                     "the same sum of dy from the other end",
          .shape_rule = "output has the shape of data",
          .source = "numpy.cumsum; MXNet 1.6, src/operator/numpy/np_cumsum.cc; ONNX CumSum",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output",
                                      .doc = "in the shape of data; one axis if it is flattened")),
          .params = TN_PARAMS(
              TN_PARAM(scan_params, axis, TN_P_I64, .def = "None", .flags = TN_PF_NONE,
                       .doc = "the axis; negative: from the end; None: data is flattened first"),
              TN_PARAM(scan_params, dtype, TN_P_DTYPE, .def = "None", .flags = TN_PF_NONE,
                       .doc = "of the output and of the sums; None: that of data"),
              TN_PARAM(scan_params, exclusive, TN_P_BOOL, .def = "False",
                       .doc = "sum only what stands before"),
              TN_PARAM(scan_params, reverse, TN_P_BOOL, .def = "False",
                       .doc = "sum from the end of the axis")),
          .params_size = sizeof(scan_params), .infer_shape = scan_shape, .infer_dtype = scan_dtype,
          .gradient = scan_gradient);
