// tests/ops/row_names.h: the names of all operators that are rows of <tenon/elementwise.h>.
#ifndef TENON_TESTS_ROW_NAMES_H
#define TENON_TESTS_ROW_NAMES_H

#include <stdbool.h>
#include <string.h>
#include <tenon/elementwise.h>

// Is that the name of a row, in one of its forms?
static inline bool row_name(const char *op)
{
#define ROW_NAME_UNARY(op_, ...) #op_,
#define ROW_NAME_BINARY(op_, scalar, rscalar, broadcast, ...) #op_, #scalar, #rscalar, #broadcast,
    static const char *const names[] = {TN_UNARY_ROWS(ROW_NAME_UNARY)
                                            TN_BINARY_ROWS(ROW_NAME_BINARY)};
#undef ROW_NAME_UNARY
#undef ROW_NAME_BINARY
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], op) == 0) return true;
    return false;
}

#endif
