// backends/blas/blas.c: the blas backend: OpenBLAS for matrix products, vectorised loops for the
// rest, in float32 and float64, and by way of float32 in 16 bits; operators that only move or
// compare take every dtype.
#include "blas.h"

// clang-format off
static const tn_kernel_row *const families[] = {
    blas_elementwise, blas_pointwise, blas_dense, blas_softmaxes, blas_loss,
    blas_reduce,      blas_shape,     blas_slice, blas_index,     blas_values,
    blas_random,      blas_optimizer,
    blas_linalg,
    blas_convs, blas_conv_weights, blas_pools, blas_batch_norms, blas_layer_norms, blas_lrns,
    blas_group_norms,
    blas_fuse, // behind the batch norms, which have fused calls of their own
    blas_rnns, blas_rnn_backs,
    blas_alongs, blas_take_alongs, blas_scatters, blas_sequences, blas_orders, blas_tops, blas_multinomials,
    blas_rois, blas_ctcs, blas_sparse_regs,
    blas_detections, blas_targets, blas_proposals,
    blas_halves,
    NULL,
};
// clang-format on

TN_HOST_BACKEND(blas, 50, families, "CPU kernels on OpenBLAS", .driver = blas_driver)
