// tests/ops/test_leaky.c: LeakyReLU in all its forms, values and gradients.
#include "tests/tn_numeric.h"

static void values(void)
{
    tn_exec *e =
        tn_try(tn_op("LeakyReLU", "slope=0.5", tn_var("x")), .wrt = "x",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(3), -2, 0, 3)}), .train = true);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, 0, 3);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(3), 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0.5, 0.5, 1);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("LeakyReLU", "act_type=elu; slope=2", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(4), -1, 0, 3, 1000)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, -1.2642411176571153, 0, 3, 1000);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("LeakyReLU", "act_type=selu", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(2), -1, 1)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, -1.1113307378125625, 1.0507009873554805);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("LeakyReLU", "act_type=gelu", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(2), -1, 1)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, -0.15865525393145707, 0.8413447460685429);
    tn_exec_free(e);
}

static void prelu_has_a_slope_for_each_channel(void)
{
    tn_symbol y = tn_op("LeakyReLU", "act_type=prelu", tn_var("x"), tn_var("gamma"));
    tn_exec *e =
        tn_try(y, .wrt = "x gamma", .train = true,
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), -2, 3, -4, -1)},
                                   {"gamma", TN_TENSOR(TN_F64, TN_DIMS(2), 0.5, 0.25)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, 3, -1, -0.25);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0.5, 1, 0.25, 0.25);
    TN_CHECK_VALUES(tn_grad(e, "gamma"), 0, -2, -5);
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

static void gradients(void)
{
    TN_CHECK_CASES(TN_CASE("LeakyReLU", "slope=0.3", "2,3"),
                   TN_CASE("LeakyReLU", "act_type=elu; slope=0.7", "2,3"),
                   TN_CASE("LeakyReLU", "act_type=selu", "2,3"),
                   TN_CASE("LeakyReLU", "act_type=gelu", "2,3"),
                   TN_CASE("LeakyReLU", "act_type=prelu", "2,3,2 3"));
}

TN_TEST_MAIN({"values", values},
             {"prelu has a slope for each channel", prelu_has_a_slope_for_each_channel},
             {"prelu makes its slopes", prelu_makes_its_slopes}, {"gradients", gradients})
