// backends/onednn/onednn_rows.h: batch normalisation of rows of channels, or of planes of elements
// of one channel, by loops of this backend.
#ifndef TENON_ONEDNN_ROWS_H
#define TENON_ONEDNN_ROWS_H

#include "onednn.h"

// (elements / channels) rows, computed a line at a time: `lanes` floats, some whole rows.
typedef struct od_rows {
    int64_t channels, elements, lanes; // channels 0: these are no such rows
    int64_t pieces, each;              // of lines: how many, and lines of one
    int64_t plane;                     // elements of a plane, and no lines; 0: these are rows
    double eps;
    bool relu;        // behind it: the stash holds factors, then shifts, of all channels
    uint64_t scratch; // offset of what od_rows_init() asked for
} od_rows;

// Is x, with its channels on that axis, float32 rows of a number of channels for which oneDNN has
// no code of its own, or row-major planes? Then r is set, and scratch memory asked for.
bool od_rows_init(od_rows *r, const tn_value_info *x, int64_t axis, tn_kernel_info *info);

typedef struct od_rows_forward {
    const float *x, *gamma, *beta, *mean, *var; // gamma NULL: ones; mean NULL: the batch's own
    float *y, *own_mean, *own_var;              // NULL: nobody reads them
} od_rows_forward;
void od_rows_run(const tn_sdk_kernel *k, const tn_run_args *a, const od_rows *r,
                 const od_rows_forward *f);

typedef struct od_rows_backward {
    const float *dy, *x, *gamma, *mean, *var;
    float *dx, *dgamma, *dbeta; // NULL: nobody reads it
    bool batch;                 // mean and var depend on x
} od_rows_backward;
void od_rows_back(const tn_sdk_kernel *k, const tn_run_args *a, const od_rows *r,
                  const od_rows_backward *b);

// onednn_planes.c: the same of planes, for onednn_rows.c.
void od_planes_run(const tn_sdk_kernel *k, const tn_run_args *a, const od_rows *r,
                   const od_rows_forward *f);
void od_planes_back(const tn_sdk_kernel *k, const tn_run_args *a, const od_rows *r,
                    const od_rows_backward *b);

#endif
