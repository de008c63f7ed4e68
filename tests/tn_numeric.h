// tests/tn_numeric.h: operators by strings, one-shot runs, gradients against central differences.
//
// Everything runs on the backends of the bench, and on reference what those leave.
#ifndef TENON_TESTS_TN_NUMERIC_H
#define TENON_TESTS_TN_NUMERIC_H

#include "tests/tn_test.h"

// A new, empty bench.g: names are free again. Executors live on.
void tn_fresh(void);

// The bench's backends, with reference behind them.
const char *tn_backends(void);

// A call by strings: tn_op("dot", "transpose_a=1; transpose_b=0", a, b); params may be NULL.
#define tn_op(op, params, ...) tn_op_make(__LINE__, __FILE__, (op), (params), TN_SYMS(__VA_ARGS__))
tn_symbol tn_op_make(int line, const char *file, const char *op, const char *params, tn_symbols in);

// Without inputs, or with inputs of its own making: tn_op0("_arange", "start=0; stop=3").
#define tn_op0(op, params) tn_op_make(__LINE__, __FILE__, (op), (params), (tn_symbols){0, NULL})

#define tn_var(name) tn_variable(bench.g, (name))

// ------------------------------------------------------------------ one-shot runs

typedef struct tn_trial {
    tn_tensors given; // arguments and auxiliary states by name; released
    const char *wrt;  // arguments with a gradient, as in "x w"; NULL: none
    bool train;
    tn_dtype dtype; // of arguments that are not given
} tn_trial;

// Binds s to the given values and runs it forward once. NULL, after reporting, on error. Free it
// with tn_exec_free().
#define tn_try(s, ...) tn_try_make(__LINE__, __FILE__, (s), &(tn_trial){__VA_ARGS__})
tn_exec *tn_try_make(int line, const char *file, tn_symbol s, const tn_trial *trial);

// Runs backward with these heads, in the order of the outputs that are no loss; releases them.
#define tn_back(e, ...) tn_back_make(__LINE__, __FILE__, (e), TN_TENSORS(__VA_ARGS__))
#define tn_back_loss(e) tn_back_make(__LINE__, __FILE__, (e), TN_NO_HEADS)
bool tn_back_make(int line, const char *file, tn_exec *e, tn_tensors heads);

// Output i and the gradient of an argument; NULL if e is.
tn_tensor *tn_out(tn_exec *e, size_t i);
tn_tensor *tn_grad(tn_exec *e, const char *name);

// Checks the shape of a tensor: TN_CHECK_DIMS(t, 2, 3); TN_CHECK_DIMS0(t) for a rank of 0.
#define TN_CHECK_DIMS(t, ...) tn_check_dims(__LINE__, __FILE__, (t), TN_DIMS(__VA_ARGS__))
bool tn_check_dims(int line, const char *file, tn_tensor *t, tn_dims dims);

// ------------------------------------------------------------------ central differences

// Deterministic numbers in lo … hi.
tn_tensor *tn_sample(tn_dtype dtype, tn_dims dims, double lo, double hi, uint64_t seed);

// An argument of a function, where it is looked at.
typedef struct tn_point {
    tn_symbol x; // variable
    tn_tensor *value;
    bool fixed; // no gradient of it is asked for
} tn_point;

// Compares tn_gradient(y) with (f(x + h) − f(x − h)) / 2h, f = Σ random weight · y, in float64:
// they differ by at most 1e-6 of the largest one. With order 2 the gradient's own gradient is
// compared too. `what` names the case in messages.
bool tn_check_gradient(int line, const char *file, const char *what, tn_symbol y,
                       const tn_point *points, size_t n, int order);

// One operator over sampled inputs, for tables of cases.
typedef struct tn_case {
    const char *op, *params;
    const char *shapes; // "2,3 3,4": one word an input
    double lo, hi;      // of the samples; 0, 0: -2 … 2
    int first_order;    // 1: the gradient's own gradient is not looked at
    const char *fixed;  // inputs without a gradient: "1 2"
} tn_case;

// TN_CASE("log", NULL, "2,3", .lo = 0.1, .hi = 2)
#define TN_CASE(op_, params_, ...)                              \
    {                                                           \
        .op = (op_), .params = (params_), .shapes = __VA_ARGS__ \
    }
#define TN_CHECK_CASES(...)                                            \
    tn_check_cases(__LINE__, __FILE__, (const tn_case[]){__VA_ARGS__}, \
                   sizeof((const tn_case[]){__VA_ARGS__}) / sizeof(tn_case))
void tn_check_cases(int line, const char *file, const tn_case *cases, size_t n);

#endif
