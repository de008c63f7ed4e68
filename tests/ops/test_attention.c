// tests/ops/test_attention.c: scaled_dot_product_attention: weights, masks, dropout, groups.
//
// Numbers with many digits were computed with NumPy: softmax(scale q kᵀ + mask) v.
#include <math.h>

#include "tests/tn_numeric.h"

// start, start + step, …
static tn_tensor *ramp(tn_dtype dtype, tn_dims dims, double start, double step)
{
    tn_tensor *t = tn_sample(TN_F64, dims, 0, 0, 0);
    double *p = t ? tn_tensor_data(t) : NULL;
    for (int64_t i = 0; p && i < tn_tensor_size(t); i++) p[i] = start + (double)i * step;
    tn_tensor *converted = t ? tn_tensor_cast(t, dtype) : NULL;
    tn_tensor_release(t);
    return converted;
}

#define ATTENTION "scaled_dot_product_attention"

// query 0, 0.1, … (1,2,3); key -0.5, -0.3, … (1,3,3); value 0, 1, … (1,3,2)
static tn_exec *attend(const char *params, tn_dtype dtype, tn_tensor *mask)
{
    tn_fresh();
    const tn_symbol q = tn_var("q"), k = tn_var("k"), v = tn_var("v");
    const tn_symbol y = mask ? tn_op(ATTENTION, params, q, k, v, tn_var("mask"))
                             : tn_op(ATTENTION, params, q, k, v);
    const tn_tensors given = TN_TENSORS({"q", ramp(dtype, TN_DIMS(1, 2, 3), 0, 0.1)},
                                        {"k", ramp(dtype, TN_DIMS(1, 3, 3), -0.5, 0.2)},
                                        {"v", ramp(dtype, TN_DIMS(1, 3, 2), 0, 1)}, {"mask", mask});
    return tn_try(y, .wrt = "q k v", .given = {mask ? 4 : 3, given.v});
}

static void rows_are_weighted_means_of_values(void)
{
    static const tn_dtype dtypes[] = {TN_F64, TN_F32, TN_BF16, TN_F16};
    static const double tolerances[] = {1e-14, 1e-6, 2e-2, 2e-3};
    for (int i = 0; i < 4; i++) {
        tn_exec *e = attend(NULL, dtypes[i], NULL);
        TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 2);
        TN_CHECK_VALUES(tn_out(e, 0), tolerances[i], 2.1383152315045804, 3.1383152315045804,
                        2.538868931787014, 3.538868931787014);
        tn_exec_free(e);
    }
}

static void masks_are_added_and_scales_are_set(void)
{
    tn_exec *e = attend("use_mask=1; scale=2", TN_F64,
                        TN_TENSOR(TN_F64, TN_DIMS(2, 3), 0.5, -1, 0, 0, 2, -0.25));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-14, 2.191805711792352, 3.191805711792352, 2.558991159776824,
                    3.5589911597768236);
    tn_exec_free(e);
}

// Row 0 sees value 0 only, row 1 the first two.
static void causal_rows_do_not_look_ahead(void)
{
    tn_exec *e = attend("is_causal=1", TN_F64, NULL);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-14, 0, 1, 1.2049039430921673, 2.2049039430921673);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), 1, 1, 0, 0)});
    TN_CHECK_VALUES(tn_grad(e, "v"), 1e-15, 1, 1, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_grad(e, "q"), 1e-15, 0, 0, 0, 0, 0, 0); // nothing to choose from
    tn_exec_free(e);
    e = attend("use_mask=1", TN_F64, TN_TENSOR(TN_BOOL, TN_DIMS(2, 3), 1, 0, 0, 1, 1, 0));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-14, 0, 1, 1.2049039430921673, 2.2049039430921673);
    tn_exec_free(e);
}

// Row 0 is masked wholly: zeros, and neither it nor its gradients are NaN.
static void wholly_masked_rows_are_zero(void)
{
    tn_tensor *const masks[] = {TN_TENSOR(TN_BOOL, TN_DIMS(2, 1), 0, 1),
                                TN_TENSOR(TN_F64, TN_DIMS(2, 1), -INFINITY, 0)};
    for (int i = 0; i < 2; i++) {
        tn_exec *e = attend("use_mask=1", TN_F64, masks[i]);
        TN_CHECK_VALUES(tn_out(e, 0), 1e-14, 0, 0, 2.538868931787014, 3.538868931787014);
        tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), 1, 2, 0, 0)});
        TN_CHECK_VALUES(tn_grad(e, "q"), 0, 0, 0, 0, 0, 0, 0);
        TN_CHECK_VALUES(tn_grad(e, "v"), 0, 0, 0, 0, 0, 0, 0);
        tn_exec_free(e);
    }
}

static void a_nan_is_not_hidden_by_a_mask(void)
{
    tn_fresh();
    tn_exec *e = tn_try(tn_op(ATTENTION, "is_causal=1", tn_var("q"), tn_var("k"), tn_var("v")),
                        .given = TN_TENSORS({"q", TN_TENSOR(TN_F64, TN_DIMS(2, 1), NAN, 1)},
                                            {"k", TN_TENSOR(TN_F64, TN_DIMS(2, 1), 1, 1)},
                                            {"v", TN_TENSOR(TN_F64, TN_DIMS(2, 1), 2, 4)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, NAN, 3);
    tn_exec_free(e);
}

// With the unit matrix as value, the output is the weights after dropout: 0, or twice the weight.
// The gradient of value is their sum over the rows, so it is made of the same draws.
static void dropout_keeps_its_draws_for_backward(void)
{
    static const double unit[] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    double sums[4] = {0}, ones[24];
    int dropped = 0;
    tn_fresh();
    tn_exec *e =
        tn_try(tn_op(ATTENTION, "dropout_p=0.5", tn_var("q"), tn_var("k"), tn_var("v")), .wrt = "v",
               .train = true,
               .given = TN_TENSORS({"q", tn_sample(TN_F64, TN_DIMS(6, 2), 0, 0, 1)},
                                   {"k", tn_sample(TN_F64, TN_DIMS(4, 2), 0, 1, 2)},
                                   {"v", tn_tensor_from(bench.env, TN_F64, TN_DIMS(4, 4), unit)}));
    for (int i = 0; e && i < 24; i++) {
        const double y = tn_tensor_at(tn_out(e, 0), i);
        ones[i] = 1;
        dropped += y == 0;
        CU_ASSERT(y == 0 || fabs(y - 0.5) < 1e-15); // all weights are 1/4
        sums[i % 4] += y;
    }
    CU_ASSERT(dropped > 0 && dropped < 24);
    tn_back(e, {NULL, tn_tensor_from(bench.env, TN_F64, TN_DIMS(6, 4), ones)});
    for (int i = 0; e && i < 16; i++)
        TN_CHECK_NEAR(tn_tensor_at(tn_grad(e, "v"), i), sums[i / 4], 1e-14);
    tn_exec_free(e);
}

// Two heads of key and value for four of query: heads 0 and 1 use the first.
static void groups_share_key_and_value(void)
{
    tn_fresh();
    tn_exec *e =
        tn_try(tn_op(ATTENTION, "enable_gqa=1", tn_var("q"), tn_var("k"), tn_var("v")), .wrt = "v",
               .given = TN_TENSORS({"q", ramp(TN_F64, TN_DIMS(4, 1, 1), 0, 1)},
                                   {"k", ramp(TN_F64, TN_DIMS(2, 1, 1), 1, 1)},
                                   {"v", ramp(TN_F64, TN_DIMS(2, 1, 1), 10, 10)}));
    TN_CHECK_DIMS(tn_out(e, 0), 4, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 10, 10, 20, 20);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(4, 1, 1), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "v"), 0, 3, 7);
    tn_exec_free(e);
}

static void empty_axes_are_legal(void)
{
    tn_fresh();
    tn_exec *e = tn_try(tn_op(ATTENTION, NULL, tn_var("q"), tn_var("k"), tn_var("v")),
                        .given = TN_TENSORS({"q", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2))},
                                            {"k", ramp(TN_F32, TN_DIMS(3, 2), 0, 1)},
                                            {"v", ramp(TN_F32, TN_DIMS(3, 4), 0, 1)}));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 4);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op(ATTENTION, NULL, tn_var("q"), tn_var("k"), tn_var("v")),
               .given = TN_TENSORS({"q", ramp(TN_F32, TN_DIMS(1, 2), 0, 1)},
                                   {"k", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2))},
                                   {"v", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3))}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0); // a sum of nothing
    tn_exec_free(e);
}

static void names_and_errors(void)
{
    tn_symbol y = tn_call(bench.g, ATTENTION, .name = "att");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "att_query att_key att_value");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "att_output");
    y = tn_scaled_dot_product_attention(bench.g, .use_mask = true, .name = "b");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "b_query b_key b_value b_attn_mask");
    const struct {
        const char *params, *error;
        tn_dims q, k, v;
    } cases[] = {
        {NULL, "key: shape (3,5), wanted (3,4)", TN_DIMS(2, 4), TN_DIMS(3, 5), TN_DIMS(3, 1)},
        {NULL, "value: shape (2,1), wanted (3,1)", TN_DIMS(2, 4), TN_DIMS(3, 4), TN_DIMS(2, 1)},
        {NULL, "leading axes of query, key and value do not fit together: 3 and 2",
         TN_DIMS(2, 1, 1), TN_DIMS(3, 1, 1), TN_DIMS(3, 1, 1)},
        {"enable_gqa=1", "3 heads of query, wanted a multiple of the 2 of key and value",
         TN_DIMS(3, 1, 1), TN_DIMS(2, 1, 1), TN_DIMS(2, 1, 1)},
        {NULL, "query: wanted at least 2 axes, got 1", TN_DIMS(3), TN_DIMS(2, 3), TN_DIMS(2, 3)}};
    for (int i = 0; i < 5; i++) {
        tn_fresh();
        y = tn_op(ATTENTION, cases[i].params, tn_variable(bench.g, "q", .shape = cases[i].q),
                  tn_variable(bench.g, "k", .shape = cases[i].k),
                  tn_variable(bench.g, "v", .shape = cases[i].v));
        CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, y, .backends = tn_backends()));
        TN_CHECK_HAS(tn_graph_error(bench.g), cases[i].error);
    }
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("scaled_dot_product_attention", NULL, "2,3 4,3 2,4,2"),
        TN_CASE("scaled_dot_product_attention", "is_causal=1; scale=0.7", "3,2,3 4,3 2,1,4,2"),
        TN_CASE("scaled_dot_product_attention", NULL, "2,3 2,3 2,2"),
        TN_CASE("scaled_dot_product_attention", NULL, "2,2,2 2,3,2 2,3,1"),
        TN_CASE("scaled_dot_product_attention", "is_causal=1", "2,2 2,2 2,2"),
        TN_CASE("scaled_dot_product_attention", "is_causal=1; scale=0.7", "1,2,3,2 1,2,3,2 1,2,3,1",
                .first_order = 1),
        TN_CASE("scaled_dot_product_attention", "use_mask=1", "2,2 3,2 3,1 2,3"),
        TN_CASE("scaled_dot_product_attention", "use_mask=1; is_causal=1", "2,2,2 2,2,2 2,2,2 2,1",
                .first_order = 1),
        TN_CASE("scaled_dot_product_attention", "enable_gqa=1", "2,2,1 1,2,1 1,2,1"),
        TN_CASE("scaled_dot_product_attention", NULL, "2,2,2 3,2 3,1"));
}

TN_TEST_MAIN({"rows are weighted means of values", rows_are_weighted_means_of_values},
             {"masks are added and scales are set", masks_are_added_and_scales_are_set},
             {"causal rows do not look ahead", causal_rows_do_not_look_ahead},
             {"wholly masked rows are zero", wholly_masked_rows_are_zero},
             {"a NaN is not hidden by a mask", a_nan_is_not_hidden_by_a_mask},
             {"dropout keeps its draws for backward", dropout_keeps_its_draws_for_backward},
             {"groups share key and value", groups_share_key_and_value},
             {"empty axes are legal", empty_axes_are_legal}, {"names and errors", names_and_errors},
             {"gradients agree with differences", gradients_agree_with_differences})
