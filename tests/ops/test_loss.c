// tests/ops/test_loss.c: regression outputs, MakeLoss, make_loss, BlockGrad.
#include "tests/tn_numeric.h"

static tn_exec *regress(const char *op, const char *params, tn_tensor *data, tn_tensor *label)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("data"), tn_var("label")), .wrt = "data", .train = true,
                  .given = TN_TENSORS({"data", data}, {"label", label}));
}

// grad_scale / (outputs per sample) · (out − label): three outputs each here.
static void linear_regression_divides_by_outputs_per_sample(void)
{
    tn_exec *e = regress("LinearRegressionOutput", "grad_scale=6",
                         TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6),
                         TN_TENSOR(TN_F32, TN_DIMS(2, 3), 0, 2, 5, 4, 4, 4));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4, 5, 6);
    tn_back_loss(e);
    TN_CHECK_VALUES(tn_grad(e, "data"), 1e-6, 2, 0, -4, 0, 2, 4);
    tn_exec_free(e);
}

static void regression_takes_a_vector_of_labels_for_a_column(void)
{
    tn_exec *e = regress("LinearRegressionOutput", NULL, TN_TENSOR(TN_F32, TN_DIMS(3, 1), 1, 2, 3),
                         TN_TENSOR(TN_F32, TN_DIMS(3), 3, 2, 1));
    tn_back_loss(e);
    TN_CHECK_VALUES(tn_grad(e, "data"), 0, -2, 0, 2);
    tn_exec_free(e);
}

static void logistic_regression_is_a_sigmoid(void)
{
    tn_exec *e =
        regress("LogisticRegressionOutput", NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 0, 2, -2, 0),
                TN_TENSOR(TN_F32, TN_DIMS(2, 2), 0, 1, 0, 1));
    const double p = 0.8807970779778823;
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, .5, p, 1 - p, .5);
    tn_back_loss(e);
    TN_CHECK_VALUES(tn_grad(e, "data"), 1e-6, .25, (p - 1) / 2, (1 - p) / 2, -.25);
    tn_exec_free(e);
}

static void absolute_error_has_slope_0_at_equality(void)
{
    tn_exec *e =
        regress("MAERegressionOutput", "grad_scale=3", TN_TENSOR(TN_F32, TN_DIMS(1, 3), 1, 2, 3),
                TN_TENSOR(TN_F32, TN_DIMS(1, 3), 0, 2, 4));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3);
    tn_back_loss(e);
    TN_CHECK_VALUES(tn_grad(e, "data"), 0, 1, 0, -1);
    tn_exec_free(e);
}

static void regression_of_nothing(void)
{
    tn_exec *e =
        regress("LinearRegressionOutput", NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3)),
                tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3)));
    tn_back_loss(e);
    TN_CHECK_DIMS(tn_grad(e, "data"), 0, 3);
    tn_exec_free(e);
}

static void check_make_loss(const char *params, tn_dims dims, double gradient)
{
    static const double x[] = {-1, 0, 1, 2, 3, 4};
    double wanted[6];
    for (int i = 0; i < 6; i++) wanted[i] = gradient;
    tn_fresh();
    tn_exec *e = tn_try(tn_op("MakeLoss", params, tn_var("x")), .wrt = "x", .train = true,
                        .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F32, dims, x)}));
    tn_check_values(__LINE__, __FILE__, tn_out(e, 0), x, 6, 0);
    tn_back_loss(e);
    tn_check_values(__LINE__, __FILE__, tn_grad(e, "x"), wanted, 6, 1e-6);
    tn_exec_free(e);
}

// batch divides by all extents but the last: by 1 for a vector.
static void make_loss_gradient_is_constant(void)
{
    check_make_loss(NULL, TN_DIMS(2, 3), 1);
    check_make_loss("grad_scale=5", TN_DIMS(2, 3), 5);
    check_make_loss("grad_scale=5; normalization=batch", TN_DIMS(2, 3), 2.5);
    check_make_loss("normalization=batch", TN_DIMS(6), 1);
    check_make_loss("normalization=batch", TN_DIMS(1, 3, 2), 1. / 3);
    check_make_loss("normalization=valid", TN_DIMS(2, 3), 1. / 4); // four are above 0
    check_make_loss("normalization=valid; valid_thresh=2.5", TN_DIMS(6), 1. / 2);
    check_make_loss("normalization=valid; valid_thresh=9", TN_DIMS(6), 1);
}

static void make_loss_of_the_other_spelling_has_ones(void)
{
    tn_exec *e = tn_try(tn_op("make_loss", NULL, tn_var("x")), .wrt = "x", .train = true,
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2), 5, 6)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 6);
    tn_back_loss(e);
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 1);
    tn_exec_free(e);
}

// y = x · block(x): only the first factor is differentiated.
static void block_grad_stops_the_gradient(void)
{
    const tn_symbol x = tn_var("x");
    tn_exec *e = tn_try(tn_op("_mul", NULL, x, tn_op("BlockGrad", NULL, x)), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2), 3, 4)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 9, 16);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 4);
    tn_exec_free(e);
}

TN_TEST_MAIN({"linear regression divides by outputs per sample",
              linear_regression_divides_by_outputs_per_sample},
             {"regression takes a vector of labels for a column",
              regression_takes_a_vector_of_labels_for_a_column},
             {"logistic regression is a sigmoid", logistic_regression_is_a_sigmoid},
             {"absolute error has slope 0 at equality", absolute_error_has_slope_0_at_equality},
             {"regression of nothing", regression_of_nothing},
             {"MakeLoss gradient is constant", make_loss_gradient_is_constant},
             {"make_loss has ones", make_loss_of_the_other_spelling_has_ones},
             {"BlockGrad stops the gradient", block_grad_stops_the_gradient})
