// backends/reference/reference.c: the reference backend: it defines the meaning of every operator.
//
// Simple before fast, and for every dtype: other backends are compared with this one.
#include "reference.h"

// clang-format off
static const tn_kernel_row *const families[] = {
    ref_elementwise, ref_pointwise,  ref_dense,     ref_softmax, ref_loss,
    ref_reduce,      ref_broadcasts, ref_shape,     ref_slice,   ref_index,
    ref_init,        ref_random,     ref_optimizer, ref_conv,    ref_pool,
    ref_norm,        ref_leaky,      ref_along,     ref_order,
    ref_rnn,
    ref_multibox,    ref_proposal,
    ref_rnn, ref_ctc,
    ref_fourier,     ref_sparse_reg,
    ref_roi, ref_bilinear, ref_correlation,
    ref_linalg,      ref_scan,
    NULL,
};
// clang-format on

// -100: the last resort in the default order.
TN_HOST_BACKEND(reference, -100, families, "Reference kernels: float64 sums, plain C")
