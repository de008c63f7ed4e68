// tests/ops/test_entropy.c: SoftmaxActivation, softmax_cross_entropy, SVMOutput.
#include <math.h>

#include "tests/tn_numeric.h"

static void activation_sums_to_one_by_sample_or_place(void)
{
    const double l2 = log(2), l3 = log(3);
    tn_exec *e =
        tn_try(tn_op("SoftmaxActivation", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), 0, l2, l3, l2)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 1. / 8, 2. / 8, 3. / 8, 2. / 8);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("SoftmaxActivation", "mode=channel", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), 0, l2, l3, l2)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 1. / 4, 1. / 2, 3. / 4, 1. / 2);
    tn_exec_free(e);
}

// Rows (0, log 3): p = (1/4, 3/4). The last label is outside and counts nothing.
static void cross_entropy_is_summed_over_rows(void)
{
    const double l3 = log(3);
    tn_exec *e =
        tn_try(tn_op("softmax_cross_entropy", NULL, tn_var("x"), tn_var("label")), .wrt = "x",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(3, 2), 0, l3, 0, l3, 0, l3)},
                                   {"label", TN_TENSOR(TN_I32, TN_DIMS(3), 0, 1, 2)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, log(4) + log(4. / 3));
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1), 2)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-12, -1.5, 1.5, 0.5, -0.5, 0, 0);
    tn_exec_free(e);
}

static tn_exec *svm(const char *params)
{
    tn_fresh();
    tn_exec *e =
        tn_try(tn_op("SVMOutput", params, tn_var("x"), tn_var("label")), .wrt = "x",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 0.5, -3, 2, 3, 0, -1)},
                                   {"label", TN_TENSOR(TN_F32, TN_DIMS(2), 0, 0)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0.5, -3, 2, 3, 0, -1);
    tn_back_loss(e);
    return e;
}

// Slack m − s x: 0.5, −2, 3; −2, 1, 0.
static void svm_output_has_the_gradient_of_a_hinge(void)
{
    tn_exec *e = svm(NULL);
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, -1, 0, 6, 0, 2, 0);
    tn_exec_free(e);
    e = svm("use_linear=1; regularization_coefficient=0.5");
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, -0.5, 0, 0.5, 0, 0.5, 0);
    tn_exec_free(e);
    e = svm("margin=2"); // slack 1.5, −1, 4; −1, 2, 1
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, -3, 0, 8, 0, 4, 2);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("SoftmaxActivation", NULL, "2,3,2"),
        TN_CASE("SoftmaxActivation", "mode=channel", "2,3,2"),
        TN_CASE("softmax_cross_entropy", NULL, "3,4 3", .lo = 0.1, .hi = 3.9, .fixed = "1"));
}

TN_TEST_MAIN({"activation sums to one by sample or place",
              activation_sums_to_one_by_sample_or_place},
             {"cross entropy is summed over rows", cross_entropy_is_summed_over_rows},
             {"SVMOutput has the gradient of a hinge", svm_output_has_the_gradient_of_a_hinge},
             {"gradients agree with differences", gradients_agree_with_differences})
