// backends/null/null.c: the skeleton of a backend: copy this folder, rename it, fill it in.
//
// It is a complete backend of host memory: it loads, it is listed (`tenon backends`), it runs the
// one operator that it knows and says of every other call why it does not take it. Everything
// that the plugin ABI wants besides is made by TN_HOST_BACKEND out of the tables of rows below.
//
//   1. cp -r backends/null backends/mine, and rename: null → mine, null_*.c → mine_*.c.
//   2. Rank: 0 to 99 for a backend of kernels that should come before the reference backend, which
//      has TN_RANK_LAST (-100). Below that a backend is never used by default, only where somebody
//      names it: as this one.
//   3. A family of kernels is one file with one table, named in `families`: null_copy.c shows how
//      a row looks. An operator without a row is not an error: it is expanded into simpler
//      operators, or another backend of the user's list runs it.
//   4. Libraries, and whether they are there, go into plugin.cmake in this folder: see
//      backends/blas/plugin.cmake. A machine without the device is no error either: give
//      TN_HOST_BACKEND an .unusable function that returns the reason.
//
// A backend with memory of its own fills tn_backend_api itself, and still uses rows for its
// kernels: see tests/plugins/far_memory.c.
#include "null.h"

static const tn_kernel_row *const families[] = {null_copy, NULL};

TN_HOST_BACKEND(null, -200, families, "Skeleton of a backend: knows _copy and nothing else")
