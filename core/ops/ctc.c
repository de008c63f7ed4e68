// core/ops/ctc.c: _contrib_CTCLoss: connectionist temporal classification.
//
// data is (T, N, A): at each of T steps of N sequences, activations for a blank and A - 1 labels.
// A path says one of the A at each step. It spells a label sequence: what is left once runs of one
// letter are made one, and blanks are taken out. With p the softmax of data over A,
//
//     output[n] = -log Σ over paths that spell label[n] of Π over t of p[t, n, path[t]]
//
// computed in the logarithm, so that long sequences do not underflow. It is infinite where no path
// spells the labels: too many of them for the steps, counting one more for each that repeats its
// neighbour; or one that is outside of the alphabet. There the gradient is 0, so that such a
// sequence teaches nothing and spoils nothing.
//
// The forward pass finds the gradient on its way, as a hidden output: d data = dy[n] · grad.
#include "core/ops/ctc.h"

static tn_status ctc_shape(const tn_infer *io)
{
    const tni_ctc *p = io->params;
    tn_shape x = tn_shape_rank(3);
    for (int round = 0; round < 2; round++) { // the first one learns
        TNI_TRY(tni_merge(io, TNI_IN(0), x));
        TNI_TRY(tni_merge(io, TNI_OUT(1), tni_shape(io, TNI_IN(0))));
        x = tni_shape(io, TNI_OUT(1));
        const tni_slot vectors[] = {TNI_OUT(0), TNI_IN(2), TNI_IN(3)};
        const int n = 1 + p->use_data_lengths + p->use_label_lengths;
        for (int i = 0; i < n; i++) {
            TNI_TRY(tni_merge(io, vectors[i], tn_shape_1d(x.dim[1])));
            x.dim[1] = tni_shape(io, vectors[i]).dim[0];
        }
        TNI_TRY(tni_merge(io, TNI_IN(1), tn_shape_2d(x.dim[1], -1)));
        x.dim[1] = tni_shape(io, TNI_IN(1)).dim[0];
    }
    if (x.dim[2] != 0) return TN_OK;
    return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least 1 class, which is the blank");
}

// Labels and lengths are of any dtype; without a word on them they are as the data.
static tn_status ctc_dtype(const tn_infer *io)
{
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(1)));
    TNI_TRY(tni_link_dtype(io, TNI_IN(0), TNI_OUT(0)));
    for (uint32_t i = 1; i < io->n_in; i++)
        if (tni_dtype(io, TNI_IN(i)) == TN_DTYPE_NONE)
            TNI_TRY(tni_merge_dtype(io, TNI_IN(i), tni_dtype(io, TNI_IN(0))));
    return TN_OK;
}

static tn_status ctc_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0), grad = tn_grad_out(b, 1);
    if (tn_grad_head(b, 1))
        return b->fail(b->ctx, TN_E_NO_GRADIENT,
                       "the gradient that it keeps for its data has none of its own: there are no "
                       "second derivatives");
    if (!dy) return TN_OK;
    const tn_sym each = TN_EMIT(b, "_broadcast_reduced", "axis=(1,); exclude=1", dy, grad);
    tn_grad_set(b, 0, tni_call2(b, "_mul", each, grad));
    return TN_OK;
}

#define LABELS(as, ...) TN_PORT(.name = as, .flags = TN_PORT_NO_GRAD, __VA_ARGS__)

const tn_op_decl tni_op_ctc_loss =
    TN_OP(.name = "_contrib_CTCLoss", .aliases = "_contrib_ctc_loss|CTCLoss|ctc_loss",
          .c_name = "ctc_loss",
          .doc = "Connectionist temporal classification: -log of the probability, by softmax of "
                 "data, of all paths that spell the labels once runs of one letter are made one "
                 "and blanks taken out. Infinite, with gradient 0, where there is no such path or "
                 "a label is outside of the alphabet.",
          .family = "loss",
          .formula = "y[n] = -log p(label[n] | softmax(data[:,n,:])), the sum over all alignments; "
                     " ddata = dy * (softmax(data) - expected counts of the alignments)",
          .shape_rule = "data (T, N, A), label (N, L), lengths (N,) -> (N,)",
          .source = "MXNet 0.11, src/operator/contrib/ctc_loss-inl.h; lengths and blank_label from "
                    "1.x; Graves et al., ICML 2006",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .doc = "(T, N, A): activations before softmax"),
              LABELS("label", .doc = "(N, L): labels 1 ... A - 1, ended by 0 or less; with "
                                     "blank_label=last: 0 ... A - 2, ended by less than 0"),
              LABELS("data_lengths", .when = "use_data_lengths",
                     .doc = "(N,): steps of each sequence, at most T"),
              LABELS("label_lengths", .when = "use_label_lengths",
                     .doc = "(N,): labels of each sequence, at most L; nothing else ends them")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(N,): the loss of each sequence"),
                              TN_PORT(.name = "grad", .flags = TN_PORT_HIDDEN,
                                      .doc = "(T, N, A): gradient of the losses")),
          .params = TN_PARAMS(TN_PARAM(tni_ctc, use_data_lengths, TN_P_BOOL, .def = "False",
                                       .doc = "sequences have their own numbers of steps"),
                              TN_PARAM(tni_ctc, use_label_lengths, TN_P_BOOL, .def = "False",
                                       .doc = "sequences have their own numbers of labels"),
                              TN_PARAM(tni_ctc, blank_label, TN_P_ENUM, .choices = "first|last",
                                       .def = "first",
                                       .doc = "whether class 0 or class A - 1 is the blank")),
          .params_size = sizeof(tni_ctc), .infer_shape = ctc_shape, .infer_dtype = ctc_dtype,
          .gradient = ctc_gradient);
