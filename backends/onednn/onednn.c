// backends/onednn/onednn.c: the onednn backend: what oneDNN has primitives for, in float32 and
// bfloat16, with layouts of its own between its nodes, and the little that a network needs besides.
#include "onednn.h"

static const tn_kernel_row *const families[] = {
    onednn_columns, onednn_conv,       onednn_dense,    onednn_pool,     onednn_norm,
    onednn_lrn,     onednn_softmax,    onednn_eltwise,  onednn_binary,   onednn_sum,
    onednn_reduce,  onednn_concat,     onednn_moves,    onednn_loss,     onednn_loops,
    onednn_dropout, onednn_rnn,        onednn_rnn_back, onednn_resample, onednn_index,
    onednn_slice,   onednn_layer_norm, onednn_fused,    onednn_squares,  NULL,
};

TN_HOST_BACKEND_LAYOUTS(onednn, 40, families, "CPU kernels of oneDNN", .unusable = od_unusable,
                        .driver = od_driver, .reorder = onednn_reorder)
