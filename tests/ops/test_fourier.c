// tests/ops/test_fourier.c: _contrib_fft and _contrib_ifft.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *transform(const char *op, tn_tensor *x)
{
    tn_fresh();
    return tn_try(tn_op(op, NULL, tn_var("x")), .wrt = "x", .train = true,
                  .given = TN_TENSORS({"x", x}));
}

static void small_transforms(void)
{
    const double r3 = sqrt(3);
    tn_exec *e = transform("_contrib_fft", TN_TENSOR(TN_F64, TN_DIMS(4), 1, 2, 3, 4));
    TN_CHECK_DIMS(tn_out(e, 0), 8);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 10, 0, -2, 2, -2, 0, -2, -2);
    tn_exec_free(e);
    e = transform("_contrib_fft", TN_TENSOR(TN_F64, TN_DIMS(2, 3), 1, 2, 4, 0, 0, 1));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 6);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 7, 0, -2, r3, -2, -r3, 1, 0, -.5, r3 / 2, -.5, -r3 / 2);
    tn_exec_free(e);
    e = transform("_contrib_fft", TN_TENSOR(TN_F32, TN_DIMS(1, 1), 5));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 0);
    tn_exec_free(e);
}

// Not divided by the length; of the result the real part is left.
static void small_inverse_transforms(void)
{
    tn_exec *e =
        transform("_contrib_ifft", TN_TENSOR(TN_F64, TN_DIMS(8), 10, 0, -2, 2, -2, 0, -2, -2));
    TN_CHECK_DIMS(tn_out(e, 0), 4);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 4, 8, 12, 16);
    tn_exec_free(e);
    // i at k = 1: i exp(2 π i n / 4), real part -sin(π n / 2)
    e = transform("_contrib_ifft", TN_TENSOR(TN_F16, TN_DIMS(1, 8), 0, 0, 0, 1, 0, 0, 0, 0));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 0, -1, 0, 1);
    tn_exec_free(e);
}

// Against the definition in long double, for a length that is a power of two and two that are not.
static void transforms_are_exact(void)
{
    const long double turn = 6.283185307179586476925286766559L;
    const int64_t lengths[] = {64, 60, 37};
    for (int i = 0; i < 3; i++) {
        const int64_t d = lengths[i];
        double wanted[128];
        tn_fresh();
        tn_tensor *x = tn_sample(TN_F64, TN_DIMS(1, d), -1, 1, 6);
        for (int64_t k = 0; k < d; k++) {
            long double re = 0, im = 0;
            for (int64_t n = 0; n < d; n++) {
                const long double t = turn * (long double)(n * k % d) / (long double)d;
                re += (long double)tn_tensor_at(x, n) * cosl(t);
                im -= (long double)tn_tensor_at(x, n) * sinl(t);
            }
            wanted[2 * k] = (double)re;
            wanted[2 * k + 1] = (double)im;
        }
        tn_exec *e = transform("_contrib_fft", x);
        tn_check_values(__LINE__, __FILE__, tn_out(e, 0), wanted, (size_t)(2 * d), 1e-14);
        tn_exec_free(e);
    }
}

static void back_and_forth_multiplies_by_the_length(void)
{
    const int64_t lengths[] = {1024, 1000};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        const int64_t d = lengths[i];
        tn_exec *e = tn_try(tn_op("_contrib_ifft", NULL, tn_op("_contrib_fft", NULL, tn_var("x"))),
                            .given = TN_TENSORS({"x", tn_sample(TN_F64, TN_DIMS(3, d), -1, 1, 8)}));
        double worst = 0;
        for (int64_t j = 0; e && j < 3 * d; j++) {
            const double x = tn_tensor_at(tn_exec_arg(e, "x"), j);
            worst = fmax(worst, fabs(tn_tensor_at(tn_out(e, 0), j) / (double)d - x));
        }
        CU_ASSERT(e && worst < 1e-13);
        tn_exec_free(e);
    }
}

static void empty_values_and_errors(void)
{
    tn_exec *e = transform("_contrib_fft", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3)));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 6);
    tn_exec_free(e);
    e = transform("_contrib_ifft", tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0)));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 0);
    tn_exec_free(e);
    tn_fresh();
    e = tn_simple_bind(bench.g, tn_op("_contrib_ifft", NULL, tn_var("x")),
                       .backends = tn_backends(), .shapes = TN_SHAPES({"x", TN_DIMS(2, 5)}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "wanted an even extent, got 5");
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("_contrib_fft", NULL, "4"), TN_CASE("_contrib_fft", NULL, "2,3"),
                   TN_CASE("_contrib_fft", NULL, "1,8"), TN_CASE("_contrib_fft", NULL, "2,2,5"),
                   TN_CASE("_contrib_fft", "compute_size=2", "2,1,2,4"),
                   TN_CASE("_contrib_ifft", NULL, "8"), TN_CASE("_contrib_ifft", NULL, "2,6"),
                   TN_CASE("_contrib_ifft", NULL, "1,16"), TN_CASE("_contrib_ifft", NULL, "2,2,10"),
                   TN_CASE("_contrib_ifft", "compute_size=2", "2,1,2,4"));
}

TN_TEST_MAIN({"small transforms", small_transforms},
             {"small inverse transforms", small_inverse_transforms},
             {"transforms are exact", transforms_are_exact},
             {"back and forth multiplies by the length", back_and_forth_multiplies_by_the_length},
             {"empty values and errors", empty_values_and_errors},
             {"gradients agree with differences", gradients_agree_with_differences})
