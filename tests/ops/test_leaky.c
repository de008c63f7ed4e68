// tests/ops/test_leaky.c: LeakyReLU: leaky, prelu, rrelu, elu, selu, gelu.
#include <math.h>

#include "tests/tn_numeric.h"

// In training mode.
static tn_exec *run(const char *params, tn_dtype dtype, tn_dims dims, const double *x)
{
    tn_fresh();
    return tn_try(tn_op("LeakyReLU", params, tn_var("x")), .wrt = "x", .train = true,
                  .given = TN_TENSORS({"x", tn_tensor_from(bench.env, dtype, dims, x)}));
}

static const double x[] = {-2, -1, 0, 1, 2};

static void leaky_has_a_slope_below_zero(void)
{
    tn_exec *e = run(NULL, TN_F32, TN_DIMS(5), x);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -0.5, -0.25, 0, 1, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(5), 1, 2, 4, 8, 16)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0.25, 0.5, 1, 8, 16);
    tn_exec_free(e);
    e = run("act_type=leaky; slope=-1", TN_F32, TN_DIMS(5), x);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 1, 0, 1, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(5), 1, 2, 4, 8, 16)}); // y has not x's sign
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, -1, -2, -4, 8, 16);
    tn_exec_free(e);
    e = run("act_type=elu; slope=-1", TN_F64, TN_DIMS(5), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, -expm1(-2), -expm1(-1), 0, 1, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(5), 1, 2, 4, 8, 16)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, -exp(-2), -2 * exp(-1), -4, 8, 16);
    tn_exec_free(e);
}

static void the_exponential_ones(void)
{
    const double e1 = expm1(-1), e2 = expm1(-2);
    tn_exec *e = run("act_type=elu; slope=0.5", TN_F64, TN_DIMS(5), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 0.5 * e2, 0.5 * e1, 0, 1, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(5), 1, 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 0.5 * exp(-2), 0.5 * exp(-1), 0.5, 1, 1);
    tn_exec_free(e);
    const double lambda = 1.0507009873554805, alpha = 1.6732632423543772;
    e = run("act_type=selu", TN_F64, TN_DIMS(5), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, lambda * alpha * e2, lambda * alpha * e1, 0, lambda,
                    2 * lambda);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(5), 1, 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-14, lambda * alpha * exp(-2), lambda * alpha * exp(-1),
                    lambda * alpha, lambda, lambda);
    tn_exec_free(e);
}

// x times the probability that a standard normal number is below x.
static void gelu_weighs_by_the_normal_distribution(void)
{
    tn_exec *e = run("act_type=gelu", TN_F64, TN_DIMS(5), x);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, -2 * 0.022750131948179208, -0.15865525393145705, 0,
                    0.8413447460685429, 2 * 0.9772498680518208);
    tn_exec_free(e);
}

static void large_numbers_stay_finite(void)
{
    static const char *const params[] = {"act_type=elu; slope=1", "act_type=selu", "act_type=gelu",
                                         "act_type=leaky"};
    const double big[] = {1e4, -1e4};
    for (int i = 0; i < 4; i++) {
        tn_exec *e = run(params[i], TN_F32, TN_DIMS(2), big);
        CU_ASSERT(tn_tensor_at(tn_out(e, 0), 0) >= 1e4 && tn_tensor_at(tn_out(e, 0), 0) < 1.1e4);
        CU_ASSERT(fabs(tn_tensor_at(tn_out(e, 0), 1)) <= 2500);
        tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 1, 1)});
        CU_ASSERT(isfinite(tn_tensor_at(tn_grad(e, "x"), 0)));
        CU_ASSERT(isfinite(tn_tensor_at(tn_grad(e, "x"), 1)));
        tn_exec_free(e);
    }
}

static void prelu_learns_a_slope_per_channel(void)
{
    tn_exec *e = tn_try(
        tn_op("LeakyReLU", "act_type=prelu", tn_var("x"), tn_var("gamma")), .wrt = "x gamma",
        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 2, 2), -1, 2, -3, -4, 5, -6, 7, -8)},
                            {"gamma", TN_TENSOR(TN_F32, TN_DIMS(2), 10, 100)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -10, 2, -300, -400, 5, -60, 7, -800);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2, 2), 1, 1, 1, 1, 2, 2, 2, 2)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 10, 1, 100, 100, 2, 20, 2, 200);
    TN_CHECK_VALUES(tn_grad(e, "gamma"), 0, -13, -23);
    tn_exec_free(e);
}

// A slope that is not given is a variable with MXNet's initial value.
static void prelu_makes_its_slopes(void)
{
    tn_symbol y =
        tn_leaky_relu(bench.g, .data = tn_var("x"), .act_type = TN_LEAKY_RELU_PRELU, .name = "p");
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x p_gamma");
    tn_symbol gamma = tn_output_named(bench.g, tn_internals(bench.g, y), "p_gamma");
    TN_CHECK_STR(tn_attr_get(bench.g, gamma, "__init__"), "[\"Constant\", {\"value\": 0.25}]");
}

static void rrelu_takes_the_middle_at_inference(void)
{
    tn_exec *e = run("act_type=rrelu; lower_bound=0.25; upper_bound=0.75", TN_F64, TN_DIMS(5), x);
    if (!e) return;
    tn_forward(e, false);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -0.5, 0, 1, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(5), 1, 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0.5, 0.5, 0.5, 1, 1);
    tn_exec_free(e);
}

// It draws, which no simpler operator does: where no backend has a kernel, the error says both.
static void rrelu_has_no_parts(void)
{
    const tn_symbol y =
        tn_leaky_relu(bench.g, .data = tn_var("x"), .name = "r", .act_type = TN_LEAKY_RELU_RRELU);
    tn_exec *e = tn_simple_bind(bench.g, tn_exp(bench.g, .data = y), .backends = "null",
                                .shapes = TN_SHAPES({"x", TN_DIMS(2, 3)}));
    CU_ASSERT_PTR_NULL(e);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_UNSUPPORTED);
    TN_CHECK_HAS(tn_graph_error(bench.g), "the list is null:\n  LeakyReLU(float32(2,3)): r\n");
    TN_CHECK_HAS(tn_graph_error(bench.g), "    as its parts: ");
    TN_CHECK_HAS(tn_graph_error(bench.g), "r (LeakyReLU): rrelu draws random slopes");
    TN_CHECK_HAS(tn_graph_error(bench.g), "    null: no kernel for LeakyReLU");
}

enum { N = 4000 };

// Slopes are uniform: bounds are five standard errors. The gradient sees the slopes of the forward.
static void rrelu_draws_slopes_while_training(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F64};
    for (int d = 0; d < 2; d++) {
        tn_fresh();
        tn_exec *e = tn_try(
            tn_op("LeakyReLU", "act_type=rrelu; lower_bound=0.2; upper_bound=0.8", tn_var("x")),
            .wrt = "x", .train = true,
            .given = TN_TENSORS({"x", tn_sample(dtypes[d], TN_DIMS(N), -2, -1, 3)}));
        if (!e) return;
        tn_tensor *head = tn_tensor_new(bench.env, dtypes[d], TN_DIMS(N));
        tn_tensor_fill(head, 1);
        tn_back(e, {NULL, head});
        double mean = 0, variance = 0;
        bool same = true, inside = true;
        for (int64_t i = 0; i < N; i++) {
            const double v = tn_tensor_at(tn_exec_arg(e, "x"), i);
            const double y = tn_tensor_at(tn_out(e, 0), i),
                         slope = tn_tensor_at(tn_grad(e, "x"), i);
            same = same && fabs(y - v * slope) < 1e-6;
            inside = inside && slope >= 0.2 - 1e-7 && slope < 0.8 + 1e-7;
            mean += slope / N;
            variance += (slope - 0.5) * (slope - 0.5) / N;
        }
        CU_ASSERT(same && inside);
        TN_CHECK_NEAR(mean, 0.5, 5 * sqrt(0.03 / N));
        TN_CHECK_NEAR(variance, 0.03, 5 * sqrt(0.00072 / N));
        tn_exec_free(e);
    }
}

static void rrelu_passes_what_is_positive(void)
{
    tn_exec *e = run("act_type=rrelu", TN_F32, TN_DIMS(2), (double[]){3, 0.5});
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 0.5);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 2);
    tn_exec_free(e);
}

static void a_nan_stays(void)
{
    static const char *const params[] = {"act_type=leaky", "act_type=elu", "act_type=selu",
                                         "act_type=gelu", "act_type=rrelu"};
    for (int i = 0; i < 5; i++) {
        tn_exec *e = run(params[i], TN_F32, TN_DIMS(1), (double[]){NAN});
        TN_CHECK_VALUES(tn_out(e, 0), 0, NAN);
        tn_exec_free(e);
    }
}

static void of_16_bit_floats(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        tn_exec *e = run("act_type=leaky; slope=0.5", dtypes[i], TN_DIMS(5), x);
        TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -0.5, 0, 1, 2);
        tn_exec_free(e);
        e = run("act_type=rrelu", dtypes[i], TN_DIMS(5), x);
        tn_back(e, {NULL, TN_TENSOR(dtypes[i], TN_DIMS(5), 1, 1, 1, 1, 1)});
        // a product of two short numbers: y is -2 and -1 times the slope exactly
        TN_CHECK_VALUES(tn_out(e, 0), 0, -2 * tn_tensor_at(tn_grad(e, "x"), 0),
                        -tn_tensor_at(tn_grad(e, "x"), 1), 0, 1, 2);
        tn_exec_free(e);
    }
}

// Five samples of each kind.
static void gradients_agree_with_differences(void)
{
    static const char *const params[] = {NULL,
                                         "act_type=leaky; slope=-0.5",
                                         "act_type=elu; slope=0.7",
                                         "act_type=selu",
                                         "act_type=gelu",
                                         "act_type=rrelu"};
    static const char *const shapes[] = {"7", "2,3", "2,1,3", "2,2,2", "1"};
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        tn_case cases[5];
        for (int k = 0; k < 5; k++)
            cases[k] = (tn_case){.op = "LeakyReLU",
                                 .params = params[i],
                                 .shapes = shapes[k],
                                 .lo = k == 1 ? -4 : -2,
                                 .hi = k == 2 ? 4 : 2};
        tn_check_cases(__LINE__, __FILE__, cases, 5);
    }
    TN_CHECK_CASES(TN_CASE("LeakyReLU", "act_type=prelu", "2,3,2 3"),
                   TN_CASE("LeakyReLU", "act_type=prelu", "5,1 1"),
                   TN_CASE("LeakyReLU", "act_type=prelu", "1,4 4"),
                   TN_CASE("LeakyReLU", "act_type=prelu", "2,2,2,2 2"),
                   TN_CASE("LeakyReLU", "act_type=prelu", "3,2,1,2,1 2"));
}

TN_TEST_MAIN({"leaky has a slope below zero", leaky_has_a_slope_below_zero},
             {"the exponential ones", the_exponential_ones},
             {"gelu weighs by the normal distribution", gelu_weighs_by_the_normal_distribution},
             {"large numbers stay finite", large_numbers_stay_finite},
             {"prelu learns a slope per channel", prelu_learns_a_slope_per_channel},
             {"prelu makes its slopes", prelu_makes_its_slopes},
             {"rrelu takes the middle at inference", rrelu_takes_the_middle_at_inference},
             {"rrelu has no parts", rrelu_has_no_parts},
             {"rrelu draws slopes while training", rrelu_draws_slopes_while_training},
             {"rrelu passes what is positive", rrelu_passes_what_is_positive},
             {"a NaN stays", a_nan_stays}, {"of 16-bit floats", of_16_bit_floats},
             {"gradients agree with differences", gradients_agree_with_differences})
