// core/ops/rnn.h: parameters and packing of RNN, for its rules and for its expansion.
#ifndef TENON_CORE_OPS_RNN_H
#define TENON_CORE_OPS_RNN_H

#include "core/ops/ops.h"

enum { TNI_RNN_RELU, TNI_RNN_TANH, TNI_RNN_LSTM, TNI_RNN_GRU };

// Parameters of RNN and of its gradient.
typedef struct tni_rnn {
    int64_t state_size, num_layers;
    double p;
    int32_t bidirectional, mode, state_outputs;
    int32_t dropout; // of the gradient: there is a mask
} tni_rnn;

static inline int64_t tni_rnn_directions(const tni_rnn *r)
{
    return r->bidirectional ? 2 : 1;
}

static inline int64_t tni_rnn_gates(const tni_rnn *r)
{
    return r->mode == TNI_RNN_LSTM ? 4 : r->mode == TNI_RNN_GRU ? 3 : 1;
}

// Elements of the packed parameters for data of `features` extents; INT64_MAX if it is more.
int64_t tni_rnn_length(const tni_rnn *r, int64_t features);

tn_status tni_rnn_expand(const tn_builder *b);
tn_status tni_rnn_backward_expand(const tn_builder *b);

// Inputs of _backward_RNN. LSTM only: the cells; with dropout: the mask, which is the last one.
enum { TNI_RNN_DY = 3, TNI_RNN_DSTATE, TNI_RNN_CELL, TNI_RNN_DCELL };

#endif
