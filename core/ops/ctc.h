// core/ops/ctc.h: parameters of _contrib_CTCLoss, for its rules and for its expansion.
#ifndef TENON_CORE_OPS_CTC_H
#define TENON_CORE_OPS_CTC_H

#include "core/ops/ops.h"

typedef struct tni_ctc {
    int32_t use_data_lengths, use_label_lengths;
    int32_t blank_label; // 0: first, 1: last
} tni_ctc;

tn_status tni_ctc_expand(const tn_builder *b);

#endif
