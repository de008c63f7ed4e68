// core/ops/fused.h: parameters of _fused and _multi, which the core puts in place of nodes that run
// as one.
#ifndef TENON_CORE_OPS_FUSED_H
#define TENON_CORE_OPS_FUSED_H

#include <stdint.h>

typedef struct tni_fused_params {
    int64_t num_args, num_outputs;
    int64_t states; // bit i is set: input i is an auxiliary state
} tni_fused_params;

enum { TNI_MAX_FUSED_STATE = 62 }; // the last input that may be one

#endif
