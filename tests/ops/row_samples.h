// tests/ops/row_samples.h: five or more samples of every differentiable operator that is a row of
// <tenon/elementwise.h>, made from the row's place in the table.
#ifndef TENON_TESTS_ROW_SAMPLES_H
#define TENON_TESTS_ROW_SAMPLES_H

#include <string.h>
#include <tenon/elementwise.h>

#include "tests/tn_numeric.h"

enum { ROW_SAMPLES = 5 };

// Where a function is smooth, if that is not everywhere in -2 … 2. Broadcast and scalar forms go
// by the name of the operator between two tensors.
typedef struct row_domain {
    const char *op;
    double lo, hi;
    int first_order;
} row_domain;

static inline row_domain row_domain_of(const char *op)
{
    static const row_domain domains[] = {
        {"reciprocal", 0.3, 2, 0}, {"sqrt", 0.3, 3, 0},    {"rsqrt", 0.3, 3, 0},
        {"log", 0.3, 3, 0},        {"log10", 0.3, 3, 0},   {"log2", 0.3, 3, 0},
        {"log1p", -0.6, 2, 0},     {"tan", -1.2, 1.2, 0},  {"arcsin", -0.8, 0.8, 0},
        {"arccos", -0.8, 0.8, 0},  {"arccosh", 1.3, 3, 0}, {"arctanh", -0.8, 0.8, 0},
        {"erfinv", -0.8, 0.8, 0},  {"gamma", 0.5, 4, 1}, // the derivative of digamma is no operator
        {"gammaln", 0.5, 12, 1},   {"_div", 0.4, 2, 0},    {"_mod", 0.4, 2, 0},
        {"_power", 0.4, 2, 0},     {"_hypot", 0.4, 2, 0},
    };
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        if (strcmp(domains[i].op, op) == 0) return domains[i];
    return (row_domain){op, -2, 2, 0};
}

// Sample i of an operator: shapes, and a part of the domain, go round.
static inline tn_case row_sample(const char *op, const char *row, const char *const shapes[5],
                                 const char *params, size_t i)
{
    const row_domain d = row_domain_of(row);
    const double third = (d.hi - d.lo) / 3;
    const double lo = i % 3 == 1 ? d.lo + third : d.lo, hi = i % 3 == 2 ? d.hi - third : d.hi;
    return (tn_case){.op = op,
                     .params = params,
                     .shapes = shapes[i],
                     .lo = lo,
                     .hi = hi,
                     .first_order = d.first_order};
}

// The samples of op into out, and how many; 0 if it is no row with a derivative.
static inline size_t row_samples(const char *op, tn_case out[ROW_SAMPLES])
{
    static const char *const one[] = {"5", "2,3", "1", "2,1,3", "4"};
    static const char *const two[] = {"5 5", "2,3 2,3", "1 1", "2,1,3 2,1,3", "4 4"};
    static const char *const spread[] = {"2,1,3 4,1", "3 2,3", "2,3 1,3", "2,3 1", "2,1 1,3"};
    static const char *const numbers[] = {"scalar=3", "scalar=0.7", "scalar=1.5", "scalar=2",
                                          "scalar=0.25"};
    static const struct {
        const char *op, *row;
        int form; // 1: of one tensor, 2: of two, 3: broadcast, 4: with a number
        bool zero;
    } forms[] = {
#define ROW_UNARY(op_, dtypes, uses, ...) \
    {#op_, #op_, 1, sizeof #uses == sizeof "ZERO" && #uses[0] == 'Z'},
#define ROW_BINARY(op_, scalar, rscalar, broadcast, grads, ...)              \
    {#op_, #op_, 2, #grads[0] == 'Z'}, {#scalar, #op_, 4, #grads[0] == 'Z'}, \
        {#rscalar, #op_, 4, #grads[0] == 'Z'}, {#broadcast, #op_, 3, #grads[0] == 'Z'},
        TN_UNARY_ROWS(ROW_UNARY) TN_BINARY_ROWS(ROW_BINARY)
#undef ROW_UNARY
#undef ROW_BINARY
    };
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        if (strcmp(forms[k].op, op) != 0 || forms[k].zero) continue;
        const char *const *shapes = forms[k].form == 2 ? two : forms[k].form == 3 ? spread : one;
        for (size_t i = 0; i < ROW_SAMPLES; i++)
            out[i] = row_sample(forms[k].op, forms[k].row, shapes,
                                forms[k].form == 4 ? numbers[i] : NULL, i);
        return ROW_SAMPLES;
    }
    return 0;
}

#endif
