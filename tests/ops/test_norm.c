// tests/ops/test_norm.c: BatchNorm, its modes and its moving states; LRN.
#include <math.h>

#include "tests/tn_numeric.h"

// ------------------------------------------------------------------ BatchNorm

// 1 3 in channel 0, 0 4 in channel 1: means 2 2, variances 1 4; moving means 1 1, variances 3 3;
// gammas 10 100, betas 5 7.
static tn_exec *run_as(const char *op, const char *params, bool train, const char *wrt)
{
    tn_fresh();
    const tn_symbol y = tn_op(op, params, tn_var("x"), tn_var("gamma"), tn_var("beta"),
                              tn_var("mean"), tn_var("var"));
    const tn_tensors given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(2, 2), 1, 0, 3, 4)},
                                        {"gamma", TN_TENSOR(TN_F64, TN_DIMS(2), 10, 100)},
                                        {"beta", TN_TENSOR(TN_F64, TN_DIMS(2), 5, 7)},
                                        {"mean", TN_TENSOR(TN_F64, TN_DIMS(2), 1, 1)},
                                        {"var", TN_TENSOR(TN_F64, TN_DIMS(2), 3, 3)});
    return tn_try(y, .wrt = wrt, .train = train, .given = given);
}

static tn_exec *run(const char *params, bool train, const char *wrt)
{
    return run_as("BatchNorm", params, train, wrt);
}

static void back(tn_exec *e)
{
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 2), 1, 2, 3, 6)});
}

static void check_states(tn_exec *e, double mean0, double mean1, double var0, double var1)
{
    if (!e) return;
    TN_CHECK_VALUES(tn_exec_aux(e, "mean"), 1e-15, mean0, mean1);
    TN_CHECK_VALUES(tn_exec_aux(e, "var"), 1e-15, var0, var1);
}

static void gamma_counts_as_one_unless_freed(void)
{
    tn_exec *e = run("eps=0", true, "x gamma beta");
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 4, 6, 6, 8);
    back(e);
    TN_CHECK_VALUES(tn_grad(e, "gamma"), 0, 0, 0);
    TN_CHECK_VALUES(tn_grad(e, "beta"), 0, 4, 8);
    tn_exec_free(e);
    e = run("eps=0; fix_gamma=False", true, "x gamma beta");
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, -5, -93, 15, 107);
    back(e);
    TN_CHECK_VALUES(tn_grad(e, "gamma"), 1e-15, 2, 4);
    TN_CHECK_VALUES(tn_grad(e, "beta"), 0, 4, 8);
    tn_exec_free(e);
}

static void training_takes_the_statistics_of_the_batch(void)
{
    tn_exec *e = run("eps=3; output_mean_var=True", true, "x");
    CU_ASSERT_EQUAL(e ? tn_exec_num_outputs(e) : 0, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 4.5, 7 - 2 / sqrt(7), 5.5, 7 + 2 / sqrt(7));
    TN_CHECK_VALUES(tn_out(e, 1), 0, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 2), 0, 1, 4);
    tn_exec_free(e);
    e = run(NULL, true, "x"); // eps is 0.001
    TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 2), 5 + 1 / sqrt(1.001), 1e-12);
    tn_exec_free(e);
}

// Only backward does: moving ← 0.9 moving + 0.1 batch, with the biased variance.
static void backward_moves_the_states(void)
{
    tn_exec *e = run("eps=0", true, "x");
    check_states(e, 1, 1, 3, 3);
    back(e);
    check_states(e, 1.1, 1.1, 2.8, 3.1);
    if (e) tn_forward(e, true);
    check_states(e, 1.1, 1.1, 2.8, 3.1);
    back(e);
    check_states(e, 1.19, 1.19, 2.62, 3.19);
    tn_exec_free(e);
    e = run("eps=0; momentum=0.25", true, "beta"); // whichever gradient is asked for
    back(e);
    check_states(e, 1.75, 1.75, 1.5, 3.75);
    tn_exec_free(e);
}

// y = x - 1 (1 and 2 are the square roots of 3 + eps); the states are constants to the gradient.
static void check_moving_are_used(tn_exec *e)
{
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 5, 6.5, 6, 8.5);
    back(e);
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 0.5, 1, 1.5, 3);
    TN_CHECK_VALUES(tn_grad(e, "beta"), 0, 4, 8);
    check_states(e, 1, 1, 3, 3);
    tn_exec_free(e);
}

static void inference_takes_the_moving_statistics(void)
{
    check_moving_are_used(run("eps=1", false, "x beta"));
}

static void so_does_training_with_use_global_stats(void)
{
    check_moving_are_used(run("eps=1; use_global_stats=True", true, "x beta"));
    tn_exec *e = run("eps=1; use_global_stats=True; fix_gamma=False", true, "x gamma");
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 5, -43, 15, 157);
    back(e);
    TN_CHECK_VALUES(tn_grad(e, "gamma"), 1e-15, 3, 8);
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 5, 100, 15, 300);
    tn_exec_free(e);
}

// With moving statistics elements do not know of each other: a NaN among the gradients that arrive
// is a NaN in its place and in the sums, and nowhere else.
static void a_nan_stays_in_its_place_with_use_global_stats(void)
{
    tn_exec *e = tn_try(tn_op("BatchNorm", "eps=0; use_global_stats=1", tn_var("x")), .wrt = "x",
                        .train = true,
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 1, 3), 1, 2, 3)}));
    if (!e) return;
    tn_tensor_fill(tn_exec_aux(e, "batchnorm0_moving_var"), 4);
    tn_forward(e, true);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 3), 1, NAN, 2)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, 0.5, NAN, 1);
    tn_exec_free(e);
}

// The same six numbers, with the channels on each axis in turn: pairs 1 3, 0 4, 5 5 on one axis.
static void channels_may_be_on_any_axis(void)
{
    static const struct {
        const char *params;
        int64_t dims[3];
        double x[6], y[6];
    } cases[] = {
        {"eps=0.25; axis=1", {1, 3, 2}, {1, 3, 0, 4, 5, 5}, {-1, 1, -2, 2, 0, 0}},
        {"eps=0.25; axis=0", {3, 1, 2}, {1, 3, 0, 4, 5, 5}, {-1, 1, -2, 2, 0, 0}},
        {"eps=0.25; axis=-1", {2, 1, 3}, {1, 0, 5, 3, 4, 5}, {-1, -2, 0, 1, 2, 0}},
        {"eps=0.25; axis=-2", {2, 3, 1}, {1, 0, 5, 3, 4, 5}, {-1, -2, 0, 1, 2, 0}},
    };
    const double scale[] = {1 / sqrt(1.25), 1 / sqrt(4.25), 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_fresh();
        const tn_dims dims = {3, cases[i].dims};
        tn_exec *e =
            tn_try(tn_op("BatchNorm", cases[i].params, tn_var("x")), .train = true,
                   .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F64, dims, cases[i].x)}));
        for (int64_t j = 0; j < 6; j++) {
            const double y = cases[i].y[j];
            TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), j),
                          y * scale[fabs(y) > 1   ? 1
                                    : fabs(y) > 0 ? 0
                                                  : 2],
                          1e-14);
        }
        tn_exec_free(e);
    }
}

// Statistics of 16-bit data are float32. In float16 the sum of the squares would overflow.
static void half_precision_keeps_its_statistics_in_float32(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op("BatchNorm", "eps=0", tn_var("x")), .wrt = "x", .train = true,
                            .given = TN_TENSORS({"x", TN_TENSOR(dtypes[i], TN_DIMS(4, 1), -1024,
                                                                1024, -1024, 1024)}));
        if (!e) return;
        CU_ASSERT_EQUAL(tn_tensor_dtype(tn_out(e, 0)), dtypes[i]);
        TN_CHECK_VALUES(tn_out(e, 0), 0, -1, 1, -1, 1);
        tn_back(e, {NULL, TN_TENSOR(dtypes[i], TN_DIMS(4, 1), 1, 0, 0, 0)});
        const tn_names states = tn_exec_auxiliary_states(e);
        CU_ASSERT_EQUAL_FATAL(states.n, 2);
        CU_ASSERT_EQUAL(tn_tensor_dtype(tn_exec_aux(e, states.v[1])), TN_F32);
        TN_CHECK_VALUES(tn_exec_aux(e, states.v[1]), 1e-7, 104857.6);
        tn_exec_free(e);
    }
}

// Of values, and of planes, which opencl takes in another way.
static void an_empty_batch_leaves_the_states_alone(void)
{
    static const int64_t shape[] = {0, 2, 9};
    for (size_t ndim = 2; ndim <= 3; ndim++) {
        const tn_dims dims = {ndim, shape};
        tn_fresh();
        tn_exec *e = tn_try(tn_op("BatchNorm", "fix_gamma=0", tn_var("x"), tn_var("gamma"),
                                  tn_var("beta"), tn_var("mean"), tn_var("var")),
                            .wrt = "x gamma beta", .train = true,
                            .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F64, dims)},
                                                {"mean", TN_TENSOR(TN_F64, TN_DIMS(2), 1, 2)},
                                                {"var", TN_TENSOR(TN_F64, TN_DIMS(2), 3, 4)}));
        CU_ASSERT_EQUAL(tn_tensor_size(tn_out(e, 0)), 0);
        tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F64, dims)});
        TN_CHECK_VALUES(tn_grad(e, "gamma"), 0, 0, 0);
        TN_CHECK_VALUES(tn_grad(e, "beta"), 0, 0, 0);
        check_states(e, 1, 2, 3, 4);
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ gradients while training

// Σ head · output of a forward in training mode, which moves no state
static double weighted_sum(tn_exec *e, tn_tensor *head)
{
    double sum = 0;
    tn_forward(e, true);
    for (int64_t i = 0; i < tn_tensor_size(head); i++)
        sum += tn_tensor_at(head, i) * tn_tensor_at(tn_out(e, 0), i);
    return sum;
}

// BatchNorm between other operators, so that its results may be written over what they are made
// of.
static tn_symbol between(const char *params)
{
    const tn_symbol x = tn_op("_mul_scalar", "scalar=2", tn_var("x"));
    const tn_symbol y = tn_op("BatchNorm", params, x, tn_var("gamma"), tn_var("beta"));
    return tn_op("_mul_scalar", "scalar=3", y);
}

// Element i := v, wherever a float64 tensor of at most 64 elements is.
static void put_element(tn_tensor *t, int64_t i, double v)
{
    double all[64];
    const uint64_t bytes = tn_tensor_bytes(t);
    CU_ASSERT_FATAL(bytes <= sizeof all);
    CU_ASSERT_EQUAL(tn_tensor_get(t, all, bytes), TN_OK);
    all[i] = v;
    CU_ASSERT_EQUAL(tn_tensor_set(t, all, bytes), TN_OK);
}

static void check_training_gradient(const char *params, tn_dims dims, int64_t channels)
{
    static const char *const names[] = {"x", "gamma", "beta"};
    tn_fresh();
    tn_exec *e =
        tn_try(between(params), .wrt = "x gamma beta", .train = true,
               .given = TN_TENSORS({"x", tn_sample(TN_F64, dims, -2, 2, 1)},
                                   {"gamma", tn_sample(TN_F64, TN_DIMS(channels), 0.5, 2, 2)},
                                   {"beta", tn_sample(TN_F64, TN_DIMS(channels), -1, 1, 3)}));
    if (!e) return;
    tn_tensor *head = tn_sample(TN_F64, dims, 0.1, 1.1, 4);
    tn_back(e, {NULL, tn_tensor_retain(head)});
    for (int a = 0; a < 3; a++) {
        tn_tensor *x = tn_exec_arg(e, names[a]), *got = tn_exec_grad(e, names[a]);
        for (int64_t i = 0; i < tn_tensor_size(x); i++) {
            const double v = tn_tensor_at(x, i), h = 1e-5;
            put_element(x, i, v + h);
            const double above = weighted_sum(e, head);
            put_element(x, i, v - h);
            TN_CHECK_NEAR(tn_tensor_at(got, i), (above - weighted_sum(e, head)) / (2 * h), 1e-7);
            put_element(x, i, v);
        }
    }
    tn_tensor_release(head);
    tn_exec_free(e);
}

static void gradients_while_training_agree_with_differences(void)
{
    check_training_gradient("eps=0.1; fix_gamma=False", TN_DIMS(5, 3), 3);
    check_training_gradient("eps=0.1; fix_gamma=False", TN_DIMS(2, 2, 3, 2), 2);
    check_training_gradient("eps=0.1; fix_gamma=False; axis=-1", TN_DIMS(2, 3, 2), 2);
    check_training_gradient("eps=0.1; fix_gamma=False; axis=0", TN_DIMS(2, 5), 2);
    check_training_gradient("eps=0.1; use_global_stats=True; fix_gamma=False", TN_DIMS(3, 2), 2);
}

static void inference_between_other_operators(void)
{
    const tn_tensors given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(2, 2), 1, 0, 3, 4)},
                                        {"gamma", TN_TENSOR(TN_F64, TN_DIMS(2), 1, 10)},
                                        {"beta", TN_TENSOR(TN_F64, TN_DIMS(2), 5, 7)});
    tn_exec *e = tn_try(between("eps=4; fix_gamma=0"), .given = given); // states are 0
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 18, 21, 24, 141);
    tn_exec_free(e);
}

static void gradients_at_inference_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("BatchNorm", "eps=0.5; fix_gamma=0", "3,2,2 2 2", .first_order = 1),
        TN_CASE("BatchNorm", "eps=0.5; fix_gamma=0; axis=2", "3,2,4 4 4", .first_order = 1),
        TN_CASE("BatchNorm", "eps=0.5", "3,2 2 2", .first_order = 1, .fixed = "1"),
        TN_CASE("BatchNorm", "eps=1; fix_gamma=0; axis=0", "2,3,1,2 2 2", .first_order = 1),
        TN_CASE("BatchNorm", "eps=0.5; fix_gamma=0; use_global_stats=1; axis=-2", "2,3,2 3 3",
                .first_order = 1));
}

// ------------------------------------------------------------------ BatchNorm_v1

static void the_older_registration_is_the_same_layer(void)
{
    tn_exec *e = run_as("BatchNorm_v1", "eps=3; output_mean_var=True", true, "x");
    CU_ASSERT_EQUAL(e ? tn_exec_num_outputs(e) : 0, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 4.5, 7 - 2 / sqrt(7), 5.5, 7 + 2 / sqrt(7));
    TN_CHECK_VALUES(tn_out(e, 1), 0, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 2), 0, 1, 4); // the variance
    tn_exec_free(e);
    e = run_as("BatchNorm_v1", "eps=0; fix_gamma=False", true, "x gamma beta");
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, -5, -93, 15, 107);
    check_states(e, 1, 1, 3, 3);
    back(e);
    TN_CHECK_VALUES(tn_grad(e, "gamma"), 1e-15, 2, 4);
    TN_CHECK_VALUES(tn_grad(e, "beta"), 0, 4, 8);
    check_states(e, 1.1, 1.1, 2.8, 3.1);
    tn_exec_free(e);
    check_moving_are_used(run_as("BatchNorm_v1", "eps=1", false, "x beta"));
    check_moving_are_used(run_as("BatchNorm_v1", "eps=1; use_global_stats=True", true, "x beta"));
}

static void names_of_the_older_registration(void)
{
    tn_symbol y = tn_op("BatchNorm_v1", NULL, tn_var("x"));
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x batchnorm_v10_gamma batchnorm_v10_beta");
    TN_CHECK_NAMES(tn_auxiliary_states(bench.g, y),
                   "batchnorm_v10_moving_mean batchnorm_v10_moving_var");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "batchnorm_v10_output");
    tn_symbol var = tn_output_named(bench.g, tn_internals(bench.g, y), "batchnorm_v10_moving_var");
    TN_CHECK_STR(tn_attr_get(bench.g, var, "__init__"), "[\"one\", {}]");
    tn_fresh();
    CU_ASSERT_EQUAL(tn_op("BatchNorm_v1", "axis=0", tn_var("x")).node, 0);
    TN_CHECK_HAS(tn_graph_error(bench.g), "axis");
    tn_graph_forgive(bench.g);
}

static void gradients_of_the_older_registration_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("BatchNorm_v1", "eps=0.5; fix_gamma=0", "3,2,2 2 2", .first_order = 1),
                   TN_CASE("BatchNorm_v1", "eps=0.5", "3,2 2 2", .first_order = 1, .fixed = "1"),
                   TN_CASE("BatchNorm_v1", "eps=1; fix_gamma=0", "2,3,1,2 3 3", .first_order = 1),
                   TN_CASE("BatchNorm_v1", "eps=0.2; fix_gamma=0; use_global_stats=1", "1,2,3 2 2",
                           .first_order = 1),
                   TN_CASE("BatchNorm_v1", "eps=0.5; fix_gamma=0", "5,1 1 1", .first_order = 1));
}

// ------------------------------------------------------------------ LRN

// The window holds 3 channels, cut at the ends: 1 + (1 + 4), 1 + (1 + 4 + 9), 1 + (4 + 9).
static void lrn_divides_alpha_by_nsize(void)
{
    tn_exec *e =
        tn_try(tn_op("LRN", "nsize=3; alpha=3; beta=1; knorm=1", tn_var("x")), .wrt = "x",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 3, 1, 1), 1, 2, 3)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 1. / 6, 2. / 15, 3. / 14);
    // dx = dy / t - 2 x W(dy x / t²)
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 3, 1, 1), 1, 0, 0)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 1. / 6 - 2. / 36, -4. / 36, 0);
    tn_exec_free(e);
}

static void lrn_by_default(void)
{
    tn_exec *e =
        tn_try(tn_op("LRN", "nsize=5", tn_var("x")), .wrt = "x",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 2, 1, 2), 10, 0, -20, 30)}));
    const double left = pow(2 + 1e-4 / 5 * 500, -0.75), right = pow(2 + 1e-4 / 5 * 900, -0.75);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 10 * left, 0, -20 * left, 30 * right);
    tn_exec_free(e);
}

static void lrn_of_16_bit_floats(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e = tn_try(
            tn_op("LRN", "nsize=1; alpha=1; beta=0.5; knorm=0", tn_var("x")), .wrt = "x",
            .given = TN_TENSORS({"x", TN_TENSOR(dtypes[i], TN_DIMS(1, 3, 1, 1), 1, -2, 16)}));
        TN_CHECK_VALUES(tn_out(e, 0), 1e-3, 1, -1, 1); // x / |x|
        tn_back(e, {NULL, TN_TENSOR(dtypes[i], TN_DIMS(1, 3, 1, 1), 1, 1, 1)});
        TN_CHECK_VALUES(tn_grad(e, "x"), 1e-3, 0, 0, 0);
        tn_exec_free(e);
    }
}

static void lrn_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("LRN", "nsize=3; alpha=1", "2,4,1,2"),
                   TN_CASE("LRN", "nsize=5; alpha=2; beta=0.5; knorm=1", "1,7,1,1"),
                   TN_CASE("LRN", "nsize=9; alpha=1; beta=1.5", "1,3,2,1"),
                   TN_CASE("LRN", "nsize=1; alpha=0.5; knorm=1", "2,2,2,2"),
                   TN_CASE("LRN", "nsize=3; alpha=3; beta=0.25", "1,5,1,1"));
}

TN_TEST_MAIN({"gamma counts as one unless freed", gamma_counts_as_one_unless_freed},
             {"training takes the statistics of the batch",
              training_takes_the_statistics_of_the_batch},
             {"backward moves the states", backward_moves_the_states},
             {"inference takes the moving statistics", inference_takes_the_moving_statistics},
             {"so does training with use_global_stats", so_does_training_with_use_global_stats},
             {"a NaN stays in its place with use_global_stats",
              a_nan_stays_in_its_place_with_use_global_stats},
             {"channels may be on any axis", channels_may_be_on_any_axis},
             {"half precision keeps its statistics in float32",
              half_precision_keeps_its_statistics_in_float32},
             {"an empty batch leaves the states alone", an_empty_batch_leaves_the_states_alone},
             {"gradients while training agree with differences",
              gradients_while_training_agree_with_differences},
             {"inference between other operators", inference_between_other_operators},
             {"gradients at inference agree with differences",
              gradients_at_inference_agree_with_differences},
             {"the older registration is the same layer", the_older_registration_is_the_same_layer},
             {"names of the older registration", names_of_the_older_registration},
             {"gradients of the older registration agree with differences",
              gradients_of_the_older_registration_agree_with_differences},
             {"LRN divides alpha by nsize", lrn_divides_alpha_by_nsize},
             {"LRN by default", lrn_by_default}, {"LRN of 16-bit floats", lrn_of_16_bit_floats},
             {"LRN gradients agree with differences", lrn_gradients_agree_with_differences})
