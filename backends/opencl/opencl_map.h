// backends/opencl/opencl_map.h: texts of formulas, for kernels that are made of them or end with
// them.
#ifndef TENON_OPENCL_MAP_H
#define TENON_OPENCL_MAP_H

#include "opencl.h"

enum {
    OCL_MOST_PARTS = 32,      // of a fused call
    OCL_MOST_ARGUMENTS = 1024 // bytes of a kernel's arguments: what every device must take
};

// The constants of formulas, as the kernel has them: one struct, `k`.
typedef struct ocl_numbers {
    double v[OCL_MAX_CONSTANTS];
    uint32_t n;
} ocl_numbers;

// Those of f go behind those that are there, rounded to dtype where the formula says so.
void ocl_take_constants(ocl_numbers *k, const ocl_formula *f, tn_dtype dtype);
// The struct, as the next argument; none where there are no constants.
void ocl_pass_constants(ocl_plan *p, ocl_launch *l, tn_dtype number, const ocl_numbers *k);

// The macros ITEMS(n), work items for n elements, and EACH(i, n), the loop over those of work item
// number `item`, which is text.
void ocl_put_each(ocl_text *t, const char *item);
int64_t ocl_items(const ocl_plan *p, int64_t n);
void ocl_over_items(ocl_plan *p, ocl_launch *l, int64_t items);
// Types 0 to n_in-1 are of inputs, then of outputs.
void ocl_put_types(ocl_text *t, const tn_call *c, tn_dtype number);
const char *ocl_text_of(const ocl_formula *f);
// Computes element i of o0, and of the inputs that f writes. boxes: where elements of inputs are;
// NULL: at i.
void ocl_put_element(ocl_text *t, const tn_call *c, const ocl_formula *f, const ocl_box *boxes);

// Why elementwise part `part` of fused call c, whose formula is f, cannot be text; NULL: it can.
const char *ocl_part_cannot(const tn_call *c, const tn_part *part, const ocl_formula *f);
// Declares p<number>, its result, from v<i>, the element of input i, and results before it. Its
// constants are those from `first` on.
void ocl_put_part(ocl_text *t, const tn_part *part, uint32_t number, const ocl_formula *f,
                  uint32_t first);

#endif
