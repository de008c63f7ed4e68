// tests/ops/test_instance.c: InstanceNorm, L2Normalization.
#include <math.h>

#include "tests/tn_numeric.h"

static void instance_norm_of_each_channel(void)
{
    tn_exec *e =
        tn_try(tn_op("InstanceNorm", "eps=0", tn_var("x"), tn_var("gamma"), tn_var("beta")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2), 1, 3, 10, 30)},
                                   {"gamma", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)},
                                   {"beta", TN_TENSOR(TN_F32, TN_DIMS(2), 0, 5)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-5, -1, 1, 3, 7);
    tn_exec_free(e);
    tn_fresh(); // a constant channel is 0 / √eps
    e = tn_try(tn_op("InstanceNorm", NULL, tn_var("x"), tn_var("gamma"), tn_var("beta")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2), 4, 4)},
                                   {"gamma", TN_TENSOR(TN_F32, TN_DIMS(1), 1)},
                                   {"beta", TN_TENSOR(TN_F32, TN_DIMS(1), 7)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 7, 7);
    tn_exec_free(e);
}

// The hidden outputs may be used: mean and variance of 1, 5 and of 2, 10 are 3, 4 and 6, 16.
static void moments_have_gradients(void)
{
    const tn_symbol y = tn_op("InstanceNorm", NULL, tn_var("x"), tn_var("gamma"), tn_var("beta"));
    const tn_symbol moments = tn_group(
        bench.g, TN_SYMS((tn_symbol){y.node, 1, y.graph}, (tn_symbol){y.node, 2, y.graph}));
    tn_exec *e = tn_try(moments, .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2), 1, 5, 2, 10)},
                                            {"gamma", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)},
                                            {"beta", TN_TENSOR(TN_F32, TN_DIMS(2), 0, 5)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 3, 6);
    TN_CHECK_VALUES(tn_out(e, 1), 1e-6, 4, 16);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 10)},
            {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 100)}); // dmean / 2 + dvar (x - mean)
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-4, 0.5 - 2, 0.5 + 2, 5 - 400, 5 + 400);
    tn_exec_free(e);
}

static void l2(const char *params, const double *wanted)
{
    tn_fresh();
    tn_exec *e =
        tn_try(tn_op("L2Normalization", params, tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), 3, 4, 4, 0)}));
    tn_check_values(__LINE__, __FILE__, tn_out(e, 0), wanted, 4, 1e-9);
    tn_exec_free(e);
}

static void l2_normalization_in_three_ways(void)
{
    const double n = sqrt(41);
    l2(NULL, (const double[]){3 / n, 4 / n, 4 / n, 0});
    l2("mode=spatial", (const double[]){0.6, 0.8, 1, 0});
    l2("mode=channel", (const double[]){0.6, 1, 0.8, 0});
}

static void l2_normalization_of_zeros_is_zero(void)
{
    tn_exec *e = tn_try(tn_op("L2Normalization", NULL, tn_var("x")),
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 2), 0, 0)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0);
    tn_exec_free(e);
}

// Sums of squares beyond 65504 are right in float16, and gradients come back in it.
static void large_halves_are_normalised(void)
{
    const double n = sqrt(160000 + 90000);
    tn_exec *e = tn_try(tn_op("L2Normalization", NULL, tn_var("x")), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F16, TN_DIMS(1, 2), 400, -300)}));
    TN_CHECK_VALUES(tn_out(e, 0), 5e-4, 400 / n, -300 / n);
    tn_back(e, {NULL, TN_TENSOR(TN_F16, TN_DIMS(1, 2), 512, 0)}); // 512 (1 - 0.64) / 500
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-3, 0.36864, 0.49152);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("InstanceNorm", "eps=0", tn_var("x"), tn_var("gamma"), tn_var("beta")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F16, TN_DIMS(1, 1, 2), 1000, -1000)},
                                   {"gamma", TN_TENSOR(TN_F16, TN_DIMS(1), 2)},
                                   {"beta", TN_TENSOR(TN_F16, TN_DIMS(1), 1)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-3, 3, -1);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("InstanceNorm", "eps=0.1", "2,2,3 2 2"),
                   TN_CASE("InstanceNorm", "eps=0.2", "1,3,2,2 3 3"),
                   TN_CASE("InstanceNorm", "eps=1", "2,1,4 1 1"),
                   TN_CASE("InstanceNorm", "eps=0.1", "1,2,2,1,2 2 2"),
                   TN_CASE("InstanceNorm", "eps=0.5", "3,1,2 1 1"));
    TN_CHECK_CASES(TN_CASE("L2Normalization", "eps=0.1", "2,3,2"),
                   TN_CASE("L2Normalization", "eps=0.1", "1,2,4"),
                   TN_CASE("L2Normalization", "eps=0.1", "2,2,2,2"),
                   TN_CASE("L2Normalization", "eps=0.1", "1,3,1,2"),
                   TN_CASE("L2Normalization", "mode=spatial; eps=0.1", "2,3,2"),
                   TN_CASE("L2Normalization", "mode=spatial; eps=0.1", "1,2,4"),
                   TN_CASE("L2Normalization", "mode=spatial; eps=0.1", "2,2,2,2"),
                   TN_CASE("L2Normalization", "mode=spatial; eps=0.1", "1,3,1,2"),
                   TN_CASE("L2Normalization", "mode=channel; eps=0.1", "2,3,2"),
                   TN_CASE("L2Normalization", "mode=channel; eps=0.1", "1,2,4"),
                   TN_CASE("L2Normalization", "mode=channel; eps=0.1", "2,2,2,2"),
                   TN_CASE("L2Normalization", "mode=channel; eps=0.1", "1,3,1,2"));
}

TN_TEST_MAIN({"InstanceNorm of each channel", instance_norm_of_each_channel},
             {"moments have gradients", moments_have_gradients},
             {"large halves are normalised", large_halves_are_normalised},
             {"L2Normalization in three ways", l2_normalization_in_three_ways},
             {"L2Normalization of zeros is zero", l2_normalization_of_zeros_is_zero},
             {"gradients agree with differences", gradients_agree_with_differences})
