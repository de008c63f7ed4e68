// backends/onednn/onednn_rnn.h: what RNN and its gradient share. Each layer is one primitive.
//
// Weights come as one vector, `parameters` (core/ops/rnn.c says in which order). Each run brings
// them into the layouts that oneDNN likes: a kernel keeps nothing from run to run.
#ifndef TENON_ONEDNN_RNN_H
#define TENON_ONEDNN_RNN_H

#include "onednn.h"

// Where a value is: in an input or output from some byte on, or at `index` of scratch or stash.
typedef struct od_spot {
    od_from from;
    uint64_t index, offset;
} od_spot;

// What a forward run leaves for the gradient, by layer: in the stash, or in scratch memory.
typedef struct od_rnn_kept {
    od_spot work, y, h, c; // workspace of oneDNN, results, states and cells at the end
    od_spot dw, du, db;    // of the gradient, in scratch memory
} od_rnn_kept;

typedef struct od_rnn {
    od_state base;
    tn_rnn_call is;
    int64_t biases;    // vectors of H numbers that oneDNN has: a GRU 4, else as many as gates
    bool narrow;       // in bfloat16
    bool training;     // what the gradient needs is kept
    bool drops;        // what goes from layer to layer is multiplied by a mask
    od_spot x[2];      // scratch: input of the first layer, if narrow; of others, if masked
    od_spot h;         // scratch: states to start from, if narrow
    od_rnn_kept *kept; // by layer
    uint64_t bias;     // scratch: (layers, d, biases, h)
    uint64_t sums, sums_bytes; // scratch: gradients of weights and biases, which begin with 0
} od_rnn;

// The descriptors of one layer. Of weights: as its primitive wants them.
typedef struct od_rnn_layer {
    dnnl_primitive_desc_t pd, backward;
    dnnl_memory_desc_t x, h, c, w, u, b, y, work;
    dnnl_memory_desc_t dx, dh, dw, du, back_w, back_u, dy; // of the gradient
} od_rnn_layer;

const char *od_rnn_cannot(const tn_call *c);
void od_rnn_sizes(const tn_call *c, od_rnn *r);
bool od_rnn_open(const od_rnn *r, int64_t layer, uint32_t workers, od_rnn_layer *l);
void od_rnn_close(od_rnn_layer *l);

// Steps of a kernel.
tn_status od_rnn_reorder(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *from,
                         od_spot a, const dnnl_memory_desc_t *to, od_spot b);
// Weights of a layer (recurrent: those of the state) from the parameters to `at`, or back.
tn_status od_rnn_weights(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer, bool recurrent,
                         const dnnl_memory_desc_t *md, od_spot at, bool back);
tn_status od_rnn_bind(tn_sdk_kernel *k, tn_status before, int arg, const dnnl_memory_desc_t *md,
                      od_spot at); // if all went well before
// Brings the input of a layer, and its states to start from, to where its primitive reads them:
// they are rounded, or multiplied by a mask, or nothing is done.
tn_status od_rnn_input(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer, const od_rnn_layer *l,
                       od_spot *x);
tn_status od_rnn_states(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer,
                        const od_rnn_layer *l, od_spot *h);
// What is handed from layer - 1 to this one, or its gradient, times its mask.
tn_status od_rnn_times_mask(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer,
                            const dnnl_memory_desc_t *md, od_spot from, od_spot to);
// Where a layer leaves its results.
od_rnn_kept od_rnn_places(const od_rnn *r, tn_kernel_info *info, int64_t layer, od_from keeps,
                          const od_rnn_layer *l);
// All layers forward, and where they leave what.
tn_status od_rnn_forward(tn_sdk_kernel *k, tn_kernel_info *info, od_from keeps);
tn_status od_rnn_start(tn_sdk_kernel *k, tn_kernel_info *info);
void od_rnn_stop(tn_sdk_kernel *k);

// oneDNN has one bias where we have two, of data and state.
void od_rnn_add_biases(const od_rnn *r, const tn_run_args *a);

static inline od_spot od_in_scratch(tn_kernel_info *info, const dnnl_memory_desc_t *md)
{
    return (od_spot){OD_SCRATCH, od_scratch(info, md), 0};
}

static inline uint64_t od_rnn_state_bytes(const od_rnn *r, int64_t layer)
{
    return (uint64_t)tn_rnn_lane_of(&r->is, layer, 0).state * sizeof(float);
}

#endif
