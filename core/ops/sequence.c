// core/ops/sequence.c: SequenceLast, SequenceMask, SequenceReverse.
//
// data is (T, N, ...): step t of sequence n stands at data[t, n]. With use_sequence_length,
// sequence n has L_n = sequence_length[n] steps, otherwise T.
//   Last     output[n] = data[L_n - 1, n]; zeros for a sequence without steps
//   Mask     output[t, n] = data[t, n] where t < L_n, else value
//   Reverse  output[t, n] = data[L_n - 1 - t, n] where t < L_n, else data[t, n]
#include "core/ops/ops.h"

typedef struct sequence_params {
    int32_t use_sequence_length;
    double value;
} sequence_params;

// Number of sequences: axis 1 of data, and the length of sequence_length.
static tn_status lengths_rule(const tn_infer *io)
{
    tn_shape x = tni_shape(io, TNI_IN(0));
    if (x.ndim >= 0 && x.ndim < 2)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted (T, N, ...), got %d axes", x.ndim);
    if (io->n_in < 2) return TN_OK;
    TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_1d(x.ndim < 0 ? -1 : x.dim[1])));
    if (x.ndim < 0) return TN_OK;
    x.dim[1] = tni_shape(io, TNI_IN(1)).dim[0];
    return tni_merge(io, TNI_IN(0), x);
}

static tn_status sequence_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(lengths_rule(io));
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status last_shape(const tn_infer *io)
{
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    if (x.ndim < 0 && y.ndim >= 0 && y.ndim < TN_MAX_NDIM) x = tn_shape_rank(y.ndim + 1);
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    TNI_TRY(lengths_rule(io));
    x = tni_shape(io, TNI_IN(0));
    if (x.ndim < 0) return TN_OK;
    y = tn_shape_rank(x.ndim - 1);
    memcpy(y.dim, x.dim + 1, (size_t)y.ndim * sizeof *y.dim);
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    y = tni_shape(io, TNI_OUT(0));
    memcpy(x.dim + 1, y.dim, (size_t)y.ndim * sizeof *y.dim);
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return lengths_rule(io);
}

// Lengths are of any dtype; without a word on them they are as the data.
static tn_status sequence_dtype(const tn_infer *io)
{
    return io->n_in > 1 ? tni_dtype_label(io) : tni_dtype_all_but_in1(io);
}

// t and L_n in the shape of data, as int64.
static tn_sym steps(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    return tn_emit(b, "_positions", "axis=0", &x, 1);
}

static tn_sym lengths(const tn_builder *b)
{
    const tn_sym given = tn_grad_in(b, 1);
    const tn_sym whole = tn_emit(b, "Cast", "dtype=int64", &given, 1);
    return TN_EMIT(b, "_broadcast_reduced", "axis=(1,); exclude=1", whole, tn_grad_in(b, 0));
}

static tn_status last_expand(const tn_builder *b)
{
    const sequence_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    tn_sym y;
    if (p->use_sequence_length) {
        const tn_sym last = tni_call_scalar(b, "_minus_scalar", lengths(b), 1);
        const tn_sym chosen = tni_call2(b, "_equal", steps(b), last);
        y = TN_EMIT(b, "where", NULL, chosen, x, tni_call(b, "zeros_like", x));
    } else {
        y = tn_emit(b, "slice_axis", "axis=0; begin=-1; end=None", &x, 1);
    }
    b->set_output(b->ctx, 0, tn_emit(b, "sum", "axis=(0,)", &y, 1));
    return TN_OK;
}

static tn_status mask_expand(const tn_builder *b)
{
    const sequence_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    tn_sym y;
    if (p->use_sequence_length) {
        tn_sym rest = tni_call(b, "zeros_like", x);
        if (p->value != 0) rest = tni_call_scalar(b, "_plus_scalar", rest, p->value);
        y = TN_EMIT(b, "where", NULL, tni_call2(b, "_lesser", steps(b), lengths(b)), x, rest);
    } else {
        y = tni_call(b, "_copy", x);
    }
    b->set_output(b->ctx, 0, y);
    return TN_OK;
}

static tn_status reverse_expand(const tn_builder *b)
{
    const sequence_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    tn_sym y;
    if (p->use_sequence_length) {
        const tn_sym t = steps(b), n = lengths(b);
        const tn_sym back = tni_call_scalar(b, "_minus_scalar", tni_call2(b, "_sub", n, t), 1);
        const tn_sym index = TN_EMIT(b, "where", NULL, tni_call2(b, "_lesser", t, n), back, t);
        y = TN_EMIT(b, "_take_along", "axis=0", x, index);
    } else {
        y = tn_emit(b, "slice", "begin=(None,); end=(None,); step=(-1,)", &x, 1);
    }
    b->set_output(b->ctx, 0, y);
    return TN_OK;
}

// What was replaced gets no gradient.
static tn_status mask_gradient(const tn_builder *b)
{
    const sequence_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK;
    tn_grad_set(b, 0,
                p->use_sequence_length
                    ? TN_EMIT(b, "SequenceMask", "use_sequence_length=1", dy, tn_grad_in(b, 1))
                    : dy);
    return TN_OK;
}

#define SEQUENCE                                                                        \
    .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(T, N, ...): steps, sequences"), \
                       TN_PORT(.name = "sequence_length", .flags = TN_PORT_NO_GRAD,     \
                               .when = "use_sequence_length",                           \
                               .doc = "(N,): number of steps of each sequence")),       \
    .params_size = sizeof(sequence_params), .infer_dtype = sequence_dtype
#define USE_LENGTH                                                            \
    TN_PARAM(sequence_params, use_sequence_length, TN_P_BOOL, .def = "False", \
             .doc = "sequences have their own lengths; otherwise all T steps count")

const tn_op_decl tni_op_sequence_last =
    TN_OP(.name = "SequenceLast",
          .doc = "The last step of each sequence. A sequence of length 0 gives zeros.",
          .family = "sequence", .formula = "y[n,...] = data[sequence_length[n] - 1,n,...]",
          .shape_rule = "(t, n, ...) and (n,) -> (n, ...)",
          .source = "MXNet 0.11, src/operator/sequence_last-inl.h", SEQUENCE,
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(N, ...)")),
          .params = TN_PARAMS(USE_LENGTH), .infer_shape = last_shape, .expand = last_expand);

const tn_op_decl tni_op_sequence_mask =
    TN_OP(.name = "SequenceMask",
          .doc = "Replaces the steps behind the end of each sequence by a value.",
          .family = "sequence",
          .formula = "y[t,n,...] = data[t,n,...] where t < sequence_length[n], else value",
          .shape_rule = "output has the shape of data (t, n, ...); sequence_length (n,)",
          .source = "MXNet 0.11, src/operator/sequence_mask-inl.h", SEQUENCE,
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
          .params = TN_PARAMS(USE_LENGTH, TN_PARAM(sequence_params, value, TN_P_F64, .def = "0.0",
                                                   .doc = "what stands behind the end")),
          .infer_shape = sequence_shape, .gradient = mask_gradient, .expand = mask_expand);

const tn_op_decl tni_op_sequence_reverse = TN_OP(
        .name = "SequenceReverse",
        .doc = "Reverses the steps of each sequence; those behind its end stay in place.",
        .family = "sequence",
        .formula =
            "y[t,n,...] = data[sequence_length[n] - 1 - t,n,...]; what is behind the length stays",
        .shape_rule = "output has the shape of data (t, n, ...); sequence_length (n,)",
        .source = "MXNet 0.11, src/operator/sequence_reverse-inl.h", SEQUENCE,
        .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),
        .params = TN_PARAMS(USE_LENGTH), .infer_shape = sequence_shape, .expand = reverse_expand);
