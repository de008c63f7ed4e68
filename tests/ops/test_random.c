// tests/ops/test_random.c: random_uniform, random_normal, Dropout.
#include <math.h>

#include "tests/tn_numeric.h"

typedef struct moments {
    double mean, variance, least, most;
} moments;

static moments moments_of(tn_tensor *t)
{
    moments m = {0, 0, INFINITY, -INFINITY};
    const int64_t n = t ? tn_tensor_size(t) : 0;
    for (int64_t i = 0; i < n; i++) m.mean += tn_tensor_at(t, i) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const double v = tn_tensor_at(t, i), d = v - m.mean;
        m.variance += d * d / (double)n;
        m.least = fmin(m.least, v);
        m.most = fmax(m.most, v);
    }
    return m;
}

enum { N = 10000 };

// Bounds are five standard errors.
static void uniform_fills_its_range(void)
{
    static const char *const params[] = {"low=2; high=5; shape=(100,100)",
                                         "low=2; high=5; shape=(100,100); dtype=float64"};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op0("random_uniform", params[i]), .wrt = NULL);
        const moments m = moments_of(tn_out(e, 0));
        CU_ASSERT(m.least >= 2 && m.most < 5);
        TN_CHECK_NEAR(m.mean, 3.5, 5 * sqrt(0.75 / N));
        TN_CHECK_NEAR(m.variance, 0.75, 5 * sqrt(9.0 * 9 / 180 / N));
        tn_exec_free(e);
    }
}

static void normal_has_its_moments(void)
{
    tn_exec *e = tn_try(tn_op0("random_normal", "loc=-1; scale=2; shape=(100,100)"), .wrt = NULL);
    const moments m = moments_of(tn_out(e, 0));
    TN_CHECK_NEAR(m.mean, -1, 5 * 2 / sqrt(N));
    TN_CHECK_NEAR(m.variance, 4, 5 * 4 * sqrt(2.0 / N));
    tn_exec_free(e);
}

static void a_seed_repeats_the_numbers_and_a_run_does_not(void)
{
    tn_exec *e = tn_try(tn_op0("normal", "shape=(3,)"), .wrt = NULL);
    if (!e) return;
    double first[3], second[3];
    tn_exec_seed(e, 42);
    tn_forward(e, false);
    for (int i = 0; i < 3; i++) first[i] = tn_tensor_at(tn_out(e, 0), i);
    tn_forward(e, false);
    for (int i = 0; i < 3; i++) second[i] = tn_tensor_at(tn_out(e, 0), i);
    CU_ASSERT(first[0] != second[0] && first[1] != second[1]);
    tn_exec_seed(e, 42);
    tn_forward(e, false);
    tn_check_values(__LINE__, __FILE__, tn_out(e, 0), first, 3, 0);
    tn_exec_free(e);
}

// Which backend draws makes no difference.
static void draws_agree_with_the_reference(void)
{
    tn_exec *e = tn_try(tn_op0("random_uniform", "shape=(37,)"), .wrt = NULL);
    tn_exec *r = tn_simple_bind(bench.g, tn_op0("uniform", "shape=(37,)"), .backends = "reference");
    if (e && r) {
        tn_exec_seed(e, 7);
        tn_exec_seed(r, 7);
        tn_forward(e, false);
        tn_forward(r, false);
        for (int i = 0; i < 37; i++)
            TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), i), tn_tensor_at(tn_out(r, 0), i), 0);
    }
    TN_CHECK_EXEC(r);
    tn_exec_free(r);
    tn_exec_free(e);
}

static tn_exec *dropout(const char *params)
{
    tn_fresh();
    return tn_try(tn_op("Dropout", params, tn_var("x")), .wrt = "x", .train = true,
                  .given = TN_TENSORS({"x", tn_sample(TN_F32, TN_DIMS(100, 100), 1, 2, 3)}));
}

static void dropout_drops_with_probability_p(void)
{
    tn_exec *e = dropout("p=0.25");
    if (!tn_back(e, {NULL, tn_sample(TN_F32, TN_DIMS(100, 100), 3, 3, 1)})) return;
    tn_tensor *x = tn_exec_arg(e, "x");
    double kept = 0;
    for (int64_t i = 0; i < N; i++) {
        const double y = tn_tensor_at(tn_out(e, 0), i), dx = tn_tensor_at(tn_grad(e, "x"), i);
        const double scale = y == 0 ? 0 : 4.0 / 3;
        kept += y != 0;
        CU_ASSERT(fabs(y - tn_tensor_at(x, i) * scale) < 1e-6);
        CU_ASSERT(fabs(dx - 3 * scale) < 1e-6); // the same elements as forward
    }
    TN_CHECK_NEAR(kept / N, 0.75, 5 * sqrt(0.75 * 0.25 / N));
    tn_exec_free(e);
}

static void dropout_at_inference_is_the_identity(void)
{
    tn_exec *e = tn_try(tn_op("Dropout", "p=0.5", tn_var("x")),
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(4), 1, 2, 3, 4)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("Dropout", "p=1; mode=always", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(4), 1, 2, 3, 4)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 0);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("Dropout", "p=0", tn_var("x")), .train = true,
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(4), 1, 2, 3, 4)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4);
    tn_exec_free(e);
}

// Along axis 1 all elements share the draw of their row.
static void dropout_shares_draws_along_axes(void)
{
    tn_exec *e = dropout("p=0.5; axes=(1,)");
    int dropped = 0;
    for (int64_t row = 0; e && row < 100; row++) {
        const bool zero = tn_tensor_at(tn_out(e, 0), row * 100) == 0;
        dropped += zero;
        for (int64_t i = 1; i < 100; i++)
            CU_ASSERT_EQUAL(tn_tensor_at(tn_out(e, 0), row * 100 + i) == 0, zero);
    }
    TN_CHECK_NEAR(dropped, 50, 25);
    tn_exec_free(e);
}

static void dropout_draws_anew_in_each_run(void)
{
    tn_exec *e = dropout("p=0.5");
    int differ = 0;
    double first[100];
    for (int i = 0; e && i < 100; i++) first[i] = tn_tensor_at(tn_out(e, 0), i);
    if (e) tn_forward(e, true);
    for (int i = 0; e && i < 100; i++) differ += first[i] != tn_tensor_at(tn_out(e, 0), i);
    TN_CHECK_NEAR(differ, 50, 25);
    tn_exec_free(e);
}

TN_TEST_MAIN({"uniform fills its range", uniform_fills_its_range},
             {"normal has its moments", normal_has_its_moments},
             {"a seed repeats the numbers and a run does not",
              a_seed_repeats_the_numbers_and_a_run_does_not},
             {"draws agree with the reference", draws_agree_with_the_reference},
             {"Dropout drops with probability p", dropout_drops_with_probability_p},
             {"Dropout at inference is the identity", dropout_at_inference_is_the_identity},
             {"Dropout shares draws along axes", dropout_shares_draws_along_axes},
             {"Dropout draws anew in each run", dropout_draws_anew_in_each_run})
