// backends/onednn/onednn_turn.h: values with channels last become row-major.
#ifndef TENON_ONEDNN_TURN_H
#define TENON_ONEDNN_TURN_H

#include "onednn.h"

// What such a kernel keeps, behind an od_state.
typedef struct od_turn {
    int64_t samples, channels, inner; // channels 0: it has steps
} od_turn;

// Is x float32 with channels last and y the same row-major, and oneDNN's reorder slow for them?
bool od_turn_init(od_turn *t, const tn_value_info *x, const tn_value_info *y);
void od_turn_run(const tn_sdk_kernel *k, const tn_run_args *a, const od_turn *t);

#endif
