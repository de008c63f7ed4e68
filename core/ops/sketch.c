// core/ops/sketch.c: _contrib_count_sketch: vectors hashed into shorter ones.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ _contrib_count_sketch
//
//     output[…, h[j]] = Σ s[j] data[…, j] over all j with that h[j]
//
// Source of the idea: Charikar, Chen, Farach-Colton, "Finding frequent items in data streams",
// 2002.

typedef struct sketch_params {
    int64_t out_dim, processing_batch_size;
} sketch_params;

// h or s, (1, d) or (d,): as far as it is known what it has to be; *d becomes what it says.
static tn_status vector_rule(const tn_infer *io, uint32_t i, int64_t *d)
{
    const tn_shape v = tni_shape(io, TNI_IN(i));
    if (v.ndim >= 0 && v.ndim != 1 && v.ndim != 2)
        return tn_infer_fail(io, TN_E_SHAPE, "%s: wanted (1, d) or (d,), got %d axes",
                             i == 1 ? "h" : "s", v.ndim);
    TNI_TRY(tni_merge(io, TNI_IN(i), v.ndim == 1 ? tn_shape_1d(*d) : tn_shape_2d(1, *d)));
    *d = tni_shape(io, TNI_IN(i)).dim[v.ndim == 1 ? 0 : 1];
    return TN_OK;
}

static tn_status sketch_shape(const tn_infer *io)
{
    const sketch_params *p = io->params;
    tn_shape x = tni_shape(io, TNI_IN(0));
    const tn_shape y = tni_shape(io, TNI_OUT(0));
    if (x.ndim < 0 && y.ndim >= 0) x = tn_shape_rank(y.ndim);
    if (x.ndim == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least one axis, got none");
    int64_t d = x.ndim < 0 ? -1 : x.dim[x.ndim - 1];
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 1; i < 3; i++) TNI_TRY(vector_rule(io, i, &d));
    if (x.ndim < 0) return TN_OK;
    x.dim[x.ndim - 1] = p->out_dim;
    TNI_TRY(tni_merge(io, TNI_OUT(0), x));
    x = tni_shape(io, TNI_OUT(0));
    x.dim[x.ndim - 1] = d;
    return tni_merge(io, TNI_IN(0), x);
}

// h or s in the shape of data.
static tn_sym along_last(const tn_builder *b, uint32_t i)
{
    const tn_sym v = tn_grad_in(b, i), flat = tn_emit(b, "Reshape", "shape=(-1,)", &v, 1);
    return TN_EMIT(b, "_broadcast_reduced", "axis=(-1,); exclude=1", flat, tn_grad_in(b, 0));
}

static tn_status sketch_expand(const tn_builder *b)
{
    const sketch_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    char text[TN_TEXT];
    const tn_sym scaled = tni_call2(b, "_mul", x, along_last(b, 2));
    const tn_sym one = tn_emit(b, "sum", "axis=(-1,); keepdims=1", &x, 1); // only its shape counts
    tn_text(text, "axis=(-1,); size=(%lld,)", (long long)p->out_dim);
    const tn_sym like = tn_emit(b, "broadcast_axis", text, &one, 1);
    b->set_output(b->ctx, 0,
                  TN_EMIT(b, "_backward_take_along", "axis=-1", scaled, along_last(b, 1), like));
    return TN_OK;
}

const tn_op_decl tni_op_count_sketch =
    TN_OP(.name = "_contrib_count_sketch",
          .doc = "Count sketch: adds s[j] data[..., j] to element h[j] of the result. An index "
                 "outside is moved to the nearest end.",
          .family = "signal",
          .formula = "y[...,h[j]] adds up s[j] * data[...,j];  ddata[...,j] = s[j] * dy[...,h[j]]",
          .shape_rule = "(..., d), h and s (1, d) or (d,) -> (..., out_dim)",
          .source = "MXNet 0.11, src/operator/contrib/count_sketch-inl.h",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data", .doc = "(..., d)"),
                       TN_PORT(.name = "h", .flags = TN_PORT_NO_GRAD,
                               .doc = "(1, d) or (d,): an index below out_dim for each element"),
                       TN_PORT(.name = "s", .doc = "(1, d) or (d,): factors, 1 or -1")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(..., out_dim)")),
          .params = TN_PARAMS(TN_PARAM(sketch_params, out_dim, TN_P_I64, .range = "[1,)",
                                       .doc = "length of the result"),
                              TN_PARAM(sketch_params, processing_batch_size, TN_P_I64, .def = "32",
                                       .doc = "read from files, without effect")),
          .params_size = sizeof(sketch_params), .infer_shape = sketch_shape,
          .infer_dtype = tni_dtype_label, .expand = sketch_expand);
