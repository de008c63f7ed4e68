// tools/genops.h: the two writers of genops, and what they share.
#ifndef TENON_TOOLS_GENOPS_H
#define TENON_TOOLS_GENOPS_H

#include "core/graph/schema.h"

const char *genops_c_name(const tni_op *op, char buffer[64]);
const char *genops_limits(const tni_param *p, char buffer[160]);

// include/tenon/ops.h for the first n operators.
void genops_header(tni_text *t, const tni_op *const *ops, uint32_t n);

// A C file of static assertions on the structs of that header.
void genops_asserts(tni_text *t, const tni_op *const *ops, uint32_t n);

// docs/operators.md: n_public operators with all details, then the internal ones up to n as a list.
void genops_docs(tni_text *t, const tni_op *const *ops, uint32_t n_public, uint32_t n);

#endif
