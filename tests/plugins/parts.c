// tests/plugins/parts.c: a backend with the reference's kernels for what layers are made of, and
// none for layers: there operators run as their expansions.
#include "reference.h"

// clang-format off
static const tn_kernel_row *const families[] = {
    ref_elementwise, ref_pointwise, ref_dense, ref_reduce, ref_broadcasts, ref_shape, ref_slice,
    ref_index,       ref_init,      ref_random, ref_along,
    NULL,
};
// clang-format on

TN_HOST_BACKEND(parts, -200, families, "Test double without kernels for layers")
