// core/ops/squeeze.c: squeeze: takes axes of extent 1 away. The bytes stay as they are.
#include "core/ops/ops.h"

typedef struct squeeze_params {
    tn_ints axis;
} squeeze_params;

// Bit i set: axis i goes. Without a list those whose extent is 1.
static tn_status squeezed_axes(const tn_infer *io, const tn_shape *in, uint32_t *set)
{
    const squeeze_params *p = io->params;
    *set = 0;
    for (int32_t i = 0; i < in->ndim && p->axis.n == 0; i++)
        if (in->dim[i] == 1) *set |= 1u << i;
    for (size_t i = 0; i < p->axis.n; i++) {
        const int32_t axis = tn_axis(p->axis.v[i], in->ndim);
        if (axis < 0)
            return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld of a value with %d axes",
                                 (long long)p->axis.v[i], in->ndim);
        if (*set >> axis & 1)
            return tn_infer_fail(io, TN_E_SHAPE, "axis: %d stands there twice", axis);
        if (in->dim[axis] >= 0 && in->dim[axis] != 1)
            return tn_infer_fail(io, TN_E_SHAPE, "axis %d has extent %lld, wanted 1", axis,
                                 (long long)in->dim[axis]);
        *set |= 1u << axis;
    }
    return TN_OK;
}

static tn_status squeeze_shape(const tn_infer *io)
{
    const squeeze_params *p = io->params;
    tn_shape in = tni_shape(io, TNI_IN(0)), out = tni_shape(io, TNI_OUT(0));
    uint32_t set;
    if (in.ndim < 0 && p->axis.n && out.ndim >= 0) {
        if ((size_t)out.ndim + p->axis.n > TN_MAX_NDIM)
            return tn_infer_fail(io, TN_E_SHAPE, "axis: more than %d axes", TN_MAX_NDIM);
        in = tn_shape_rank(out.ndim + (int32_t)p->axis.n);
    }
    if (in.ndim < 0) return TN_OK;
    for (int32_t i = 0; i < in.ndim && p->axis.n == 0; i++)
        if (in.dim[i] < 0) return TN_OK; // may turn out to be 1
    TNI_TRY(squeezed_axes(io, &in, &set));
    tn_shape left = {0};
    for (int32_t i = 0; i < in.ndim; i++)
        if (!(set >> i & 1)) left.dim[left.ndim++] = in.dim[i];
    TNI_TRY(tni_merge(io, TNI_OUT(0), left));
    out = tni_shape(io, TNI_OUT(0));
    for (int32_t i = 0, at = 0; i < in.ndim; i++) in.dim[i] = set >> i & 1 ? 1 : out.dim[at++];
    return tni_merge(io, TNI_IN(0), in);
}

static tn_status squeeze_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "reshape_like", dy, tn_grad_in(b, 0)));
    return TN_OK;
}

// Reshape cannot say "no axes": where none is left, a kernel is needed.
static tn_status squeeze_expand(const tn_builder *b)
{
    const squeeze_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const tn_shape s = *b->shape(b->ctx, x);
    tn_shape left = {0};
    if (tn_shape_size(&s) < 0) return b->fail(b->ctx, TN_E_SHAPE, "squeeze: wanted a known shape");
    for (int32_t i = 0; i < s.ndim; i++) {
        bool goes = p->axis.n == 0 && s.dim[i] == 1;
        for (size_t j = 0; j < p->axis.n; j++) goes |= tn_axis(p->axis.v[j], s.ndim) == i;
        if (!goes) left.dim[left.ndim++] = s.dim[i];
    }
    if (left.ndim == 0)
        return b->fail(b->ctx, TN_E_UNSUPPORTED, "squeeze: no kernel that leaves no axes");
    const tn_sym y = tni_reshape(b, x, left);
    b->set_output(b->ctx, 0, y == x ? tni_call(b, "_copy", x) : y);
    return TN_OK;
}

const tn_op_decl tni_op_squeeze =
    TN_OP(.name = "squeeze", .flags = TN_OP_IDENTITY,
          .doc = "Takes away axes of extent 1: the named ones, or all of them. A value whose axes "
                 "all go becomes a scalar without axes.",
          .family = "shape", .formula = "y = data without axes of extent 1",
          .shape_rule = "(a, 1, b) -> (a, b)",
          .source = "MXNet 1.x, src/operator/tensor/matrix_op.cc; scalars as in NumPy",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data without these axes")),
          .params = TN_PARAMS(TN_PARAM(squeeze_params, axis, TN_P_I64S, .def = "()",
                                       .max_len = TN_MAX_NDIM,
                                       .doc = "axes that go; negative: from the end; (): all of "
                                              "extent 1")),
          .params_size = sizeof(squeeze_params), .infer_shape = squeeze_shape,
          .gradient = squeeze_gradient, .expand = squeeze_expand);
