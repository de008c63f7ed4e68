// tests/ops/test_layer_norm.c: LayerNorm, GroupNorm, RMSNorm. Values computed with NumPy.
#include <math.h>

#include "tests/tn_numeric.h"

static const double rows[] = {1, 2, 4, 9, 0, -1, 3, 2};

// Data with gamma 1 2 3 4 and beta 0 0 1 -1, where the operator takes one.
static tn_exec *run(const char *op, const char *params, tn_dtype dtype, tn_dims dims, bool beta)
{
    static const double gammas[] = {1, 2, 3, 4}, betas[] = {0, 0, 1, -1};
    tn_fresh();
    const tn_symbol x = tn_var("x"), gamma = tn_var("gamma");
    const tn_symbol y =
        beta ? tn_op(op, params, x, gamma, tn_var("beta")) : tn_op(op, params, x, gamma);
    const tn_named_tensor given[] = {
        {"x", tn_tensor_from(bench.env, dtype, dims, rows)},
        {"gamma", tn_tensor_from(bench.env, dtype, TN_DIMS(4), gammas)},
        {"beta", beta ? tn_tensor_from(bench.env, dtype, TN_DIMS(4), betas) : NULL}};
    return tn_try(y, .wrt = beta ? "x gamma beta" : "x gamma", .given = {beta ? 3 : 2, given});
}

static void refused(const char *op, const char *params, tn_dims dims, const char *part)
{
    tn_fresh();
    tn_exec *e = tn_simple_bind(bench.g, tn_op(op, params, tn_var("x")), .backends = tn_backends(),
                                .shapes = TN_SHAPES({"x", dims}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    tn_exec_free(e);
    tn_graph_forgive(bench.g);
}

// ------------------------------------------------------------------ LayerNorm

// Rows 1 2 4 9 and 0 -1 3 2: means 4 and 1, variances 9.5 and 2.5.
static void layer_norm_of_rows(void)
{
    const double s0 = sqrt(10), s1 = sqrt(3);
    const double y[] = {-3 / s0, 2 * -2 / s0, 0 + 1,          4 * 5 / s0 - 1,
                        -1 / s1, 2 * -2 / s1, 3 * 2 / s1 + 1, 4 * 1 / s1 - 1};
    tn_exec *e = run("LayerNorm", "eps=0.5; output_mean_var=1", TN_F64, TN_DIMS(2, 4), true);
    CU_ASSERT_EQUAL(e ? tn_exec_num_outputs(e) : 0, 3);
    tn_check_values(__LINE__, __FILE__, tn_out(e, 0), y, 8, 1e-15);
    TN_CHECK_DIMS(tn_out(e, 1), 2, 1);
    TN_CHECK_VALUES(tn_out(e, 1), 1e-15, 4, 1);
    TN_CHECK_VALUES(tn_out(e, 2), 1e-15, s0, s1);
    tn_exec_free(e);
    e = run("LayerNorm", NULL, TN_F32, TN_DIMS(2, 4), true); // eps is 1e-5
    TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 3), 4 * 5 / sqrt(9.50001) - 1, 1e-5);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 4), 1, 2, 3, 4, 10, 20, 30, 40)});
    TN_CHECK_VALUES(tn_grad(e, "beta"), 1e-6, 11, 22, 33, 44);
    tn_exec_free(e);
}

static void layer_norm_along_any_axis(void)
{
    const double x[] = {1, 10, 3, 30};
    static const char *const params[] = {"axis=0; eps=0", "axis=-2; eps=0"};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op("LayerNorm", params[i], tn_var("x"), tn_var("g"), tn_var("b")),
                   .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F32, TN_DIMS(2, 2), x)},
                                       {"g", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 5)},
                                       {"b", TN_TENSOR(TN_F32, TN_DIMS(2), 0, 100)}));
        TN_CHECK_VALUES(tn_out(e, 0), 1e-6, -1, -1, 105, 105);
        tn_exec_free(e);
    }
}

static void names_and_first_values(void)
{
    tn_symbol y = tn_layer_norm(bench.g, .data = tn_var("x"), .name = "n");
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x n_gamma n_beta");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "n_output");
    tn_fresh();
    y = tn_group_norm(bench.g, .data = tn_var("x"), .num_groups = 2, .output_mean_var = true,
                      .name = "n");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x n_gamma n_beta");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "n_output n_mean n_std");
    tn_fresh();
    y = tn_rms_norm(bench.g, .data = tn_var("x"), .name = "n");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x n_gamma");
    tn_symbol gamma = tn_output_named(bench.g, tn_internals(bench.g, y), "n_gamma");
    TN_CHECK_STR(tn_attr_get(bench.g, gamma, "__init__"), "[\"one\", {}]");
}

static void layer_norm_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("LayerNorm", "eps=0.1", "2,4 4 4"),
                   TN_CASE("LayerNorm", "axis=1; eps=0.1", "2,3,2 3 3"),
                   TN_CASE("LayerNorm", "axis=0; eps=0.2", "3,2 3 3"),
                   TN_CASE("LayerNorm", "axis=-3; eps=0.1", "2,2,2,2 2 2"),
                   TN_CASE("LayerNorm", "eps=0.1; output_mean_var=1", "2,3 3 3"),
                   TN_CASE("LayerNorm", "eps=0.5", "5 5 5"));
}

// Sums of squares beyond 65504, and differences of neighbours at 300, are right in float16.
static void large_halves_are_normalised(void)
{
    static const double large[] = {300, -300, 600, -600}, close[] = {300, 300.25, 300.5, 300.75};
    static const char *const ops[] = {"LayerNorm", "GroupNorm", "RMSNorm"};
    const double s = sqrt(225000), d = sqrt(0.078125);
    for (int i = 0; i < 3; i++) {
        tn_fresh();
        const tn_symbol x = tn_var("x"), g = tn_var("g");
        const bool rms = i == 2;
        tn_exec *e = tn_try(
            rms ? tn_op(ops[i], NULL, x, g) : tn_op(ops[i], "eps=0", x, g, tn_var("b")), .wrt = "x",
            .given = {rms ? 2 : 3,
                      (const tn_named_tensor[]){
                          {"x", tn_tensor_from(bench.env, TN_F16, TN_DIMS(1, 4), large)},
                          {"g", TN_TENSOR(TN_F16, TN_DIMS(4), 1, 1, 1, 1)},
                          {"b", rms ? NULL : TN_TENSOR(TN_F16, TN_DIMS(4), 0, 0, 0, 0)}}});
        TN_CHECK_VALUES(tn_out(e, 0), 1e-3, 300 / s, -300 / s, 600 / s, -600 / s);
        tn_exec_free(e);
    }
    tn_fresh();
    tn_exec *e =
        tn_try(tn_op("LayerNorm", "eps=0", tn_var("x"), tn_var("g"), tn_var("b")), .wrt = "x",
               .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F16, TN_DIMS(1, 4), close)},
                                   {"g", TN_TENSOR(TN_F16, TN_DIMS(4), 1, 1, 1, 1)},
                                   {"b", TN_TENSOR(TN_F16, TN_DIMS(4), 0, 0, 0, 0)}));
    TN_CHECK_VALUES(tn_out(e, 0), 2e-3, -0.375 / d, -0.125 / d, 0.125 / d, 0.375 / d);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ GroupNorm

// Channels 0 and 1 hold 1 3, 5 7: mean 4, variance 5; channels 2 and 3 hold 0 2, 0 6: 2 and 6.
static void group_norm_of_pairs_of_channels(void)
{
    const double x[] = {1, 3, 5, 7, 0, 2, 0, 6}, a = sqrt(5), b = sqrt(6);
    const double y[] = {-3 / a, -1 / a, 2 / a, 6 / a, -2 / b + 1, 1, -20 / b, 40 / b};
    tn_exec *e =
        tn_try(tn_op("GroupNorm", "num_groups=2; eps=0; output_mean_var=1", tn_var("x"),
                     tn_var("g"), tn_var("b")),
               .wrt = "x g b",
               .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F64, TN_DIMS(1, 4, 2), x)},
                                   {"g", TN_TENSOR(TN_F64, TN_DIMS(4), 1, 2, 1, 10)},
                                   {"b", TN_TENSOR(TN_F64, TN_DIMS(4), 0, 0, 1, 0)}));
    tn_check_values(__LINE__, __FILE__, tn_out(e, 0), y, 8, 1e-15);
    TN_CHECK_DIMS(tn_out(e, 1), 1, 2);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 4, 2);
    TN_CHECK_VALUES(tn_out(e, 2), 1e-15, a, b);
    tn_exec_free(e);
}

// One group for each channel is InstanceNorm.
static void as_many_groups_as_channels_are_instances(void)
{
    const tn_symbol x = tn_var("x"), g = tn_var("g"), b = tn_var("b");
    tn_symbol both = tn_group(bench.g, TN_SYMS(tn_op("GroupNorm", "num_groups=3; eps=0.1", x, g, b),
                                               tn_op("InstanceNorm", "eps=0.1", x, g, b)));
    tn_exec *e =
        tn_try(both, .given = TN_TENSORS({"x", tn_sample(TN_F64, TN_DIMS(2, 3, 2, 2), -2, 2, 1)},
                                         {"g", tn_sample(TN_F64, TN_DIMS(3), -2, 2, 2)},
                                         {"b", tn_sample(TN_F64, TN_DIMS(3), -2, 2, 3)}));
    for (int64_t i = 0; e && i < 24; i++)
        TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), i), tn_tensor_at(tn_out(e, 1), i), 1e-14);
    tn_exec_free(e);
}

static void group_norm_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("GroupNorm", "num_groups=2; eps=0.1", "2,4,2 4 4"),
                   TN_CASE("GroupNorm", "eps=0.1", "2,3,2 3 3"),
                   TN_CASE("GroupNorm", "num_groups=3; eps=0.1", "1,3,2,2 3 3"),
                   TN_CASE("GroupNorm", "num_groups=2; eps=0.2; output_mean_var=1", "2,4 4 4"),
                   TN_CASE("GroupNorm", "num_groups=2; eps=0.1", "1,2,2,1,2 2 2"));
}

// ------------------------------------------------------------------ RMSNorm

// Mean squares of 1 2 4 9 and 0 -1 3 2: 25.5 and 3.5.
static void rms_norm_of_rows(void)
{
    const double s0 = sqrt(25.5 + 0.5), s1 = sqrt(3.5 + 0.5);
    tn_exec *e = run("RMSNorm", "epsilon=0.5", TN_F64, TN_DIMS(2, 4), false);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 1 / s0, 4 / s0, 12 / s0, 36 / s0, 0, -2 / s1, 9 / s1,
                    8 / s1);
    tn_exec_free(e);
    static const tn_dtype dtypes[] = {TN_F32, TN_F16, TN_BF16};
    for (int i = 0; i < 3; i++) {
        e = run("RMSNorm", "epsilon=0.5", dtypes[i], TN_DIMS(2, 4), false);
        TN_CHECK_VALUES(tn_out(e, 0),
                        i == 0   ? 1e-6
                        : i == 1 ? 4e-3
                                 : 3e-2,
                        1 / s0, 4 / s0, 12 / s0, 36 / s0, 0, -2 / s1, 9 / s1, 8 / s1);
        tn_exec_free(e);
    }
}

// The mean square of all eight is 14.5.
static void rms_norm_over_several_axes(void)
{
    const double s = sqrt(14.5);
    static const char *const params[] = {"axis=0; epsilon=0", "axis=-2; epsilon=0",
                                         "axis=1; epsilon=0", "axis=-2; epsilon=0"};
    for (int i = 0; i < 4; i++) {
        const tn_dims dims = i < 2 ? TN_DIMS(2, 4) : TN_DIMS(1, 2, 4);
        tn_fresh();
        tn_exec *e = tn_try(
            tn_op("RMSNorm", params[i], tn_var("x"), tn_var("g")),
            .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F64, dims, rows)},
                                {"g", TN_TENSOR(TN_F64, TN_DIMS(2, 4), 1, 1, 1, 1, 2, 2, 2, 2)}));
        TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 1 / s, 2 / s, 4 / s, 9 / s, 0, -2 / s, 6 / s, 4 / s);
        tn_exec_free(e);
    }
}

static void rms_norm_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("RMSNorm", "epsilon=0.1", "2,4 4"),
                   TN_CASE("RMSNorm", "axis=1; epsilon=0.1", "2,3,2 3,2"),
                   TN_CASE("RMSNorm", "axis=-2; epsilon=0.2", "2,2,3 2,3"),
                   TN_CASE("RMSNorm", "axis=0; epsilon=0.1", "2,3 2,3"),
                   TN_CASE("RMSNorm", "axis=2; epsilon=1", "1,2,3 3"));
}

static void what_does_not_fit_is_refused(void)
{
    refused("LayerNorm", "axis=2", TN_DIMS(2, 3), "axis: 2");
    refused("LayerNorm", "eps=-1", TN_DIMS(2, 3), "eps");
    refused("GroupNorm", "num_groups=2", TN_DIMS(2, 3, 4), "num_groups 2");
    refused("GroupNorm", "num_groups=0", TN_DIMS(2, 3, 4), "num_groups");
    refused("GroupNorm", NULL, TN_DIMS(3), "(n, c, ...)");
    refused("RMSNorm", "axis=-3", TN_DIMS(2, 3), "axis: -3");
}

static void an_empty_batch_stays_empty(void)
{
    static const char *const ops[] = {"LayerNorm", "GroupNorm", "RMSNorm"};
    for (int i = 0; i < 3; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op(ops[i], NULL, tn_var("x")), .wrt = "x",
                   .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3))}));
        TN_CHECK_DIMS(tn_out(e, 0), 0, 3);
        tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3))});
        TN_CHECK_DIMS(tn_grad(e, "x"), 0, 3);
        tn_exec_free(e);
    }
}

static void channels_are_inferred_from_gamma(void)
{
    const tn_symbol y = tn_op("GroupNorm", "num_groups=2",
                              tn_variable(bench.g, "x", .shape = TN_DIMS(2, -1, 5)), tn_var("g"));
    const tn_shape_result *r = tn_infer_shape(bench.g, y, TN_SHAPES({"g", TN_DIMS(6)}));
    CU_ASSERT(r && r->complete && r->outs[0].shape.dim[1] == 6);
    tn_fresh();
    const tn_symbol z = tn_op("RMSNorm", "axis=-2",
                              tn_variable(bench.g, "x", .shape = TN_DIMS(3, -1, -1)), tn_var("g"));
    r = tn_infer_shape(bench.g, z, TN_SHAPES({"g", TN_DIMS(4, 5)}));
    CU_ASSERT(r && r->complete && r->outs[0].shape.dim[2] == 5);
}

// Of the sum of head · d(sum of first · y)/dx: what a central difference says about element i of
// `of`.
static double slope(tn_exec *e, tn_tensor *head, tn_tensor *of, int64_t i)
{
    const double h = 1e-4;
    double sum[2] = {0}, v[12];
    const uint64_t bytes = tn_tensor_bytes(of);
    for (int side = 0; side < 2; side++) {
        tn_tensor_get(of, v, bytes);
        const double was = v[i];
        v[i] += side ? -h : h;
        tn_tensor_set(of, v, bytes);
        tn_forward(e, true);
        for (int64_t k = 0; k < tn_tensor_size(head); k++)
            sum[side] += tn_tensor_at(head, k) * tn_tensor_at(tn_out(e, 0), k);
        v[i] = was;
        tn_tensor_set(of, v, bytes);
    }
    return (sum[0] - sum[1]) / (2 * h);
}

// The gradients are operators of their own, whose gradients are those of their parts.
static void norms_are_differentiated_twice(void)
{
    static const struct {
        const char *op, *params;
        int64_t dims[3];
        size_t ndim;
        int64_t vector;
    } cases[] = {
        {"LayerNorm", "eps=0.1", {3, 4}, 2, 4},
        {"LayerNorm", "axis=0; eps=0.1", {3, 4}, 2, 3},
        {"GroupNorm", "num_groups=2; eps=0.1", {1, 4, 3}, 3, 4},
        {"GroupNorm", "eps=0.1", {3, 4}, 2, 4},
        {"InstanceNorm", "eps=0.1", {2, 2, 3}, 3, 2},
    };
    static const char *const names[] = {"x", "g"};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        tn_fresh();
        const tn_dims shape = {cases[k].ndim, cases[k].dims}, vector = TN_DIMS(cases[k].vector);
        const tn_symbol x = tn_var("x");
        const tn_symbol y = tn_op(cases[k].op, cases[k].params, x, tn_var("g"), tn_var("b"));
        const tn_symbol loss = tn_op("square", NULL, y);
        tn_symbol dx;
        CU_ASSERT(tn_gradient(bench.g, TN_SYMS(loss), (tn_symbols){0}, TN_SYMS(x), &dx) == TN_OK);
        tn_exec *e = tn_try(dx, .wrt = "x g",
                            .given = TN_TENSORS({"x", tn_sample(TN_F64, shape, -2, 2, 1)},
                                                {"g", tn_sample(TN_F64, vector, 0.5, 2, 2)},
                                                {"b", tn_sample(TN_F64, vector, -1, 1, 3)}));
        tn_tensor *head = tn_sample(TN_F64, shape, -1, 1, 4);
        tn_back(e, {NULL, tn_tensor_retain(head)});
        for (int a = 0; e && a < 2; a++) {
            tn_tensor *of = tn_exec_arg(e, names[a]), *got = tn_exec_grad(e, names[a]);
            for (int64_t i = 0; i < tn_tensor_size(of); i++)
                TN_CHECK_NEAR(tn_tensor_at(got, i), slope(e, head, of, i), 1e-5);
        }
        tn_tensor_release(head);
        tn_exec_free(e);
    }
}

TN_TEST_MAIN(
    {"large halves are normalised", large_halves_are_normalised},
    {"LayerNorm of rows", layer_norm_of_rows},
    {"LayerNorm along any axis", layer_norm_along_any_axis},
    {"names and first values", names_and_first_values},
    {"LayerNorm gradients agree with differences", layer_norm_gradients_agree_with_differences},
    {"norms are differentiated twice", norms_are_differentiated_twice},
    {"GroupNorm of pairs of channels", group_norm_of_pairs_of_channels},
    {"as many groups as channels are instances", as_many_groups_as_channels_are_instances},
    {"GroupNorm gradients agree with differences", group_norm_gradients_agree_with_differences},
    {"RMSNorm of rows", rms_norm_of_rows},
    {"RMSNorm over several axes", rms_norm_over_several_axes},
    {"RMSNorm gradients agree with differences", rms_norm_gradients_agree_with_differences},
    {"what does not fit is refused", what_does_not_fit_is_refused},
    {"an empty batch stays empty", an_empty_batch_stays_empty},
    {"channels are inferred from gamma", channels_are_inferred_from_gamma})
