// tests/ops/test_softmax.c: softmax and log_softmax along an axis.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *run(const char *op, const char *params, tn_dtype dtype, tn_dims dims,
                    const double *x)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x")), .wrt = "x",
                  .given = TN_TENSORS({"x", tn_tensor_from(bench.env, dtype, dims, x)}));
}

// exp: 1 2 and 1 3 along each axis
static const double LN2 = 0.6931471805599453, LN3 = 1.0986122886681098;

static void softmax_sums_to_one_along_its_axis(void)
{
    const double x[] = {0, LN2, LN3, 0};
    tn_exec *e = run("softmax", NULL, TN_F32, TN_DIMS(2, 2), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 1. / 3, 2. / 3, 0.75, 0.25);
    tn_exec_free(e);
    e = run("softmax", "axis=0", TN_F64, TN_DIMS(2, 2), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 0.25, 2. / 3, 0.75, 1. / 3);
    tn_exec_free(e);
    e = run("softmax", "axis=-2", TN_F64, TN_DIMS(1, 2, 2), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 0.25, 2. / 3, 0.75, 1. / 3);
    tn_exec_free(e);
    e = run("softmax", NULL, TN_F16, TN_DIMS(2, 2), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-3, 1. / 3, 2. / 3, 0.75, 0.25);
    tn_exec_free(e);
    e = run("softmax", NULL, TN_BF16, TN_DIMS(2, 2), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-2, 1. / 3, 2. / 3, 0.75, 0.25);
    tn_exec_free(e);
}

static void softmax_divides_by_the_temperature(void)
{
    tn_exec *e = run("softmax", "temperature=2", TN_F32, TN_DIMS(2), (double[]){0, 2 * LN3});
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.25, 0.75);
    // dx = y (dy − Σ dy y) / 2, dy = (1, 0): Σ = 1/4
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 1, 0)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, 0.25 * 0.75 / 2, -0.75 * 0.25 / 2);
    tn_exec_free(e);
}

static void large_and_infinite_numbers_are_no_problem(void)
{
    tn_exec *e = run("softmax", NULL, TN_F32, TN_DIMS(2, 2), (double[]){1e30, 1e30, -1e30, 0});
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0.5, 0.5, 0, 1);
    tn_exec_free(e);
    e = run("log_softmax", NULL, TN_F32, TN_DIMS(2, 2), (double[]){1000, 1000, -1000, 0});
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, -LN2, -LN2, -1000, 0);
    tn_exec_free(e);
    e = run("softmax", NULL, TN_F32, TN_DIMS(2), (double[]){-INFINITY, 3});
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 1);
    tn_exec_free(e);
}

static void log_softmax_is_its_logarithm(void)
{
    tn_exec *e = run("log_softmax", NULL, TN_F64, TN_DIMS(1, 2), (double[]){0, LN3});
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, log(0.25), log(0.75));
    // dx = dy − exp(y) Σ dy
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2), 1, 3)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 1 - 0.25 * 4, 3 - 0.75 * 4);
    tn_exec_free(e);
}

static void empty_lines_are_left_alone(void)
{
    tn_exec *e = run("softmax", NULL, TN_F32, TN_DIMS(2, 0), (double[]){0});
    TN_CHECK_DIMS(tn_out(e, 0), 2, 0);
    tn_exec_free(e);
    e = run("log_softmax", "axis=1", TN_F32, TN_DIMS(0, 3), (double[]){0});
    TN_CHECK_DIMS(tn_out(e, 0), 0, 3);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("softmax", NULL, "2,3"), TN_CASE("softmax", "axis=0", "3,2"),
                   TN_CASE("softmax", "axis=1", "2,3,2"),
                   TN_CASE("softmax", "temperature=0.7", "4"), TN_CASE("log_softmax", NULL, "2,3"),
                   TN_CASE("log_softmax", "axis=1", "2,3,2"),
                   TN_CASE("log_softmax", "axis=0; temperature=3", "4,2"));
}

TN_TEST_MAIN({"softmax sums to one along its axis", softmax_sums_to_one_along_its_axis},
             {"softmax divides by the temperature", softmax_divides_by_the_temperature},
             {"large and infinite numbers are no problem",
              large_and_infinite_numbers_are_no_problem},
             {"log_softmax is its logarithm", log_softmax_is_its_logarithm},
             {"empty lines are left alone", empty_lines_are_left_alone},
             {"gradients agree with differences", gradients_agree_with_differences})
