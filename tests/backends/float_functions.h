// tests/backends/float_functions.h: functions of float32 on a backend (blas, unless it is said)
// against double, in units of the last place, over all kinds of floats.
#ifndef TENON_TESTS_FLOAT_FUNCTIONS_H
#define TENON_TESTS_FLOAT_FUNCTIONS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/half.h>

#include "tests/tn_numeric.h"

enum { N = 1 << 20 }; // floats looked at together

// True, and tests run on blas, if it was built here.
static inline bool ready(void)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        if (strcmp(tn_env_backend(bench.env, i)->name, "blas") != 0) continue;
        bench.backends = "blas";
        return true;
    }
    tn_skip("the blas backend is not built");
    return false;
}

static inline float *inputs(tn_exec *e)
{
    return e ? tn_tensor_data(tn_exec_arg(e, "x")) : NULL;
}

// An executor of op over N float32 on blas and on nothing else.
static inline tn_exec *bind(const char *op)
{
    tn_fresh();
    tn_exec *e = tn_simple_bind(bench.g, tn_op(op, NULL, tn_var("x")), .backends = "blas",
                                .shapes = TN_SHAPES({"x", TN_DIMS(N)}), .grad_req = TN_NULL);
    TN_CHECK_EXEC(e);
    return e;
}

// |got - wanted| in units of the last place of a float near `wanted`; zeros differ by their sign.
static inline double ulps(float got, double wanted)
{
    const float nearest = (float)wanted;
    if (isnan(wanted) || isnan(got)) return isnan(wanted) && isnan(got) ? 0 : INFINITY;
    if (isinf(nearest) || isinf(got))
        return got == nearest || fabs((double)got) > 3.4028e38 || fabs(wanted) > 3.4028e38
                   ? (got > 0) == (wanted > 0) ? 0 : INFINITY
                   : INFINITY;
    if (got == 0 && wanted == 0) return !signbit(got) == !signbit(wanted) ? 0 : INFINITY;
    int exponent;
    frexp(wanted, &exponent);
    const double unit = ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
    return fabs((double)got - wanted) / unit;
}

// The worst error of y = op(x), which must be at most `most`.
static inline void check_values(const char *op, const float *x, const float *y,
                                double (*exact)(double), double most)
{
    double worst = 0;
    float at = 0, got = 0;
    for (int i = 0; i < N; i++) {
        const double error = ulps(y[i], exact((double)x[i]));
        if (error > worst) worst = error, at = x[i], got = y[i];
    }
    CU_ASSERT(worst <= most);
    if (worst > most)
        printf("\n    %s(%.9g): %.9g, wanted %.9g: %.2f units\n", op, (double)at, (double)got,
               exact((double)at), worst);
}

// Runs once over what stands in x.
static inline void check_run(tn_exec *e, const char *op, double (*exact)(double), double most)
{
    tn_forward(e, false);
    TN_CHECK_EXEC(e);
    check_values(op, inputs(e), tn_tensor_data(tn_exec_output(e, 0)), exact, most);
}

// All kinds of floats, evenly over their bits (range 0); or evenly spread numbers within ± range.
static inline void spread_floats(float *x, double range)
{
    for (uint32_t i = 0; i < N; i++)
        x[i] = range > 0 ? (float)(range * (2.0 * i / (N - 1) - 1))
                         : tn_f32_from_bits(i * 4096u + i % 4096u);
}

static const double float_ranges[] = {0, 1, 20, 110};

static inline void check_function(const char *op, double (*exact)(double), double most)
{
    tn_exec *e = bind(op);
    if (!inputs(e)) return;
    for (int r = 0; r < 4; r++) {
        spread_floats(inputs(e), float_ranges[r]);
        check_run(e, op, exact, most);
    }
    tn_exec_free(e);
}

#endif
