// tests/ops/test_multinomial.c: sample_multinomial: frequencies, logarithms, gradient.
#include <math.h>

#include "tests/tn_numeric.h"

enum { N = 100000 };

// Two rows, one of which does not sum to 1; class 2 of the first row is never drawn.
static const double weights[] = {0.1, 0.25, 0, 0.65, 3, 1, 2, 2};

static void frequencies_are_the_probabilities(void)
{
    int count[8] = {0};
    tn_exec *e = tn_try(
        tn_op("sample_multinomial", "shape=(10,10000)", tn_var("x")),
        .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 4), weights)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 10, 10000);
    if (!e) return;
    CU_ASSERT_EQUAL(tn_tensor_dtype(tn_out(e, 0)), TN_I32);
    tn_exec_seed(e, 3);
    tn_forward(e, false);
    for (int64_t i = 0; i < 2 * N; i++) {
        const double j = tn_tensor_at(tn_out(e, 0), i);
        CU_ASSERT(j >= 0 && j < 4);
        count[(int)fmax(0, fmin(3, j)) + 4 * (i >= N)]++;
    }
    for (int i = 0; i < 8; i++) {
        const double p = weights[i] / (i < 4 ? 1 : 8);
        TN_CHECK_NEAR((double)count[i] / N, p, 3.3 * sqrt(p * (1 - p) / N));
    }
    tn_exec_free(e);
}

static void logarithms_are_those_of_what_was_drawn(void)
{
    tn_exec *e = tn_try(
        tn_op("sample_multinomial", "shape=(3,5); get_prob=1", tn_var("x")),
        .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 4), weights)}));
    TN_CHECK_DIMS(tn_out(e, 1), 2, 3, 5);
    for (int64_t i = 0; e && i < 30; i++) {
        const int j = (int)tn_tensor_at(tn_out(e, 0), i);
        TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 1), i), log(weights[4 * (i / 15) + j]), 1e-15);
    }
    tn_exec_free(e);
}

// The likelihood ratio: dx[i, j] = Σ dy / x[i, j] over the draws of row i that gave j.
static void check_gradient(const char *params, tn_dims dims, int64_t rows)
{
    double wanted[8] = {0};
    tn_fresh();
    const int64_t k = dims.dim[dims.ndim - 1];
    tn_exec *e = tn_try(tn_op("sample_multinomial", params, tn_var("x")), .wrt = "x", .train = true,
                        .given = TN_TENSORS({"x", tn_sample(TN_F64, dims, 0.2, 0.8, 4)}));
    if (!e) return;
    const int64_t n = tn_tensor_size(tn_out(e, 1));
    const tn_shape shape = tn_tensor_shape(tn_out(e, 1));
    const tn_dims drawn = {(size_t)shape.ndim, shape.dim};
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i / (n / rows) * k + (int64_t)tn_tensor_at(tn_out(e, 0), i);
        tn_tensor *dy = tn_sample(TN_F64, drawn, -1, 1, 9);
        wanted[at] += tn_tensor_at(dy, i) / tn_tensor_at(tn_exec_arg(e, "x"), at);
        tn_tensor_release(dy);
    }
    tn_tensor *none = tn_tensor_new(bench.env, TN_I32, drawn);
    tn_back(e, {NULL, none}, {NULL, tn_sample(TN_F64, drawn, -1, 1, 9)});
    tn_check_values(__LINE__, __FILE__, tn_grad(e, "x"), wanted, (size_t)(rows * k), 1e-14);
    tn_exec_free(e);
}

static void gradient_is_the_likelihood_ratio(void)
{
    check_gradient("get_prob=1; shape=(6,)", TN_DIMS(2, 4), 2);
    check_gradient("get_prob=1; shape=(2,3)", TN_DIMS(2, 4), 2);
    check_gradient("get_prob=1; shape=(2,1,3)", TN_DIMS(2, 2, 2), 4);
    check_gradient("get_prob=1", TN_DIMS(2, 4), 2);
    check_gradient("get_prob=1", TN_DIMS(2, 2, 2), 4);
    check_gradient("get_prob=1", TN_DIMS(5), 1);
    check_gradient("get_prob=1; shape=(7,)", TN_DIMS(5), 1);
}

// log p as a function of the probabilities, the draws being held, has that gradient, too. Weights
// that are alike keep a small step from changing what is drawn.
static void gradients_agree_with_differences(void)
{
    const char *const params[] = {"get_prob=1", "get_prob=1; shape=(4,)", "get_prob=1; shape=(2,3)",
                                  "get_prob=1; shape=(2,1,2)", "get_prob=1; shape=(9,)"};
    for (int i = 0; i < 5; i++) {
        tn_fresh();
        const tn_symbol x = tn_var("x"), s = tn_op("sample_multinomial", params[i], x);
        tn_tensor *value = tn_sample(TN_F64, TN_DIMS(2, 3), 0.5, 0.6, 11 + (uint64_t)i);
        tn_check_gradient(__LINE__, __FILE__, params[i], tn_output(bench.g, s, 1),
                          &(tn_point){.x = x, .value = value}, 1, 2);
        tn_tensor_release(value);
    }
}

static void rows_of_one_class_and_of_none(void)
{
    tn_fresh();
    tn_exec *e = tn_try(tn_op("sample_multinomial", "shape=2; dtype=int64", tn_var("x")),
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3, 1), 1, 0, NAN)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 0, 0, 0);
    CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == TN_I64);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("sample_multinomial", "get_prob=1", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3), 0, 1, 0)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 0);
    tn_exec_free(e);
    tn_fresh(); // nothing can be drawn: the last class
    e = tn_try(tn_op("sample_multinomial", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(2, 3), 0, 0, 0, NAN, -1, NAN)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 2);
    tn_exec_free(e);
}

static void empty_values_and_errors(void)
{
    tn_exec *e = tn_try(
        tn_op("sample_multinomial", "shape=4; get_prob=1", tn_var("x")), .wrt = "x", .train = true,
        .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3))}));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 4);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_I32, TN_DIMS(0, 4))},
            {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 4))});
    TN_CHECK_DIMS(tn_grad(e, "x"), 0, 3);
    tn_exec_free(e);
    tn_fresh();
    e = tn_simple_bind(bench.g, tn_op("sample_multinomial", NULL, tn_var("x")),
                       .backends = tn_backends(), .shapes = TN_SHAPES({"x", TN_DIMS(2, 0)}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "at least one class");
    tn_fresh();
    tn_op("sample_multinomial", "dtype=float32", tn_var("x"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "dtype: wanted int32");
}

static void names(void)
{
    const tn_symbol s = tn_op0("sample_multinomial", NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, s), "sample_multinomial0_data");
    TN_CHECK_NAMES(tn_outputs(bench.g, s), "sample_multinomial0_output");
    TN_CHECK_NAMES(tn_outputs(bench.g, tn_op0("sample_multinomial", "get_prob=True")),
                   "sample_multinomial1_output0 sample_multinomial1_output1");
}

TN_TEST_MAIN({"frequencies are the probabilities", frequencies_are_the_probabilities},
             {"logarithms are those of what was drawn", logarithms_are_those_of_what_was_drawn},
             {"gradient is the likelihood ratio", gradient_is_the_likelihood_ratio},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"rows of one class and of none", rows_of_one_class_and_of_none},
             {"empty values and errors", empty_values_and_errors}, {"names", names})
