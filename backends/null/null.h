// backends/null/null.h: the families of kernels of this backend, one file each.
#ifndef TENON_NULL_H
#define TENON_NULL_H

#include <tenon/kernel.h>

extern const tn_kernel_row null_copy[]; // null_copy.c

#endif
