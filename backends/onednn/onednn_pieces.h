// backends/onednn/onednn_pieces.h: a whole whose rows are pieces of several parts, in their order.
#ifndef TENON_ONEDNN_PIECES_H
#define TENON_ONEDNN_PIECES_H

#include "onednn.h"

// Of a call: which value is the whole, and the axis on which it is cut.
typedef struct od_cut {
    bool join; // the parts are the inputs, the whole is output 0; else it is input 0
    const tn_value_info *whole;
    int32_t axis; // -1: there is no such axis
} od_cut;

// What such a kernel keeps.
typedef struct od_pieces {
    int64_t rows; // of the whole, as it lies
    bool join;
} od_pieces;

// All values in one order of axes, as the first one arrives that is not row-major: for rows'
// layouts().
void od_cut_layouts(const od_cut *cut, const tn_call *call, tn_layout *in, tn_layout *out);
void od_pieces_init(od_pieces *p, const od_cut *cut);
tn_status od_pieces_run(const tn_sdk_kernel *k, const tn_run_args *a); // the state is an od_pieces

#endif
