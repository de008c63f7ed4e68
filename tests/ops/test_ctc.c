// tests/ops/test_ctc.c: _contrib_CTCLoss: values, all paths, labels that cannot be, its gradient.
#include <math.h>
#include <stdlib.h>

#include "tests/tn_numeric.h"

static tn_exec *ctc(const char *params, tn_tensor *data, tn_tensor *label)
{
    tn_fresh();
    return tn_try(tn_op("_contrib_CTCLoss", params, tn_var("x"), tn_var("l")), .wrt = "x",
                  .given = TN_TENSORS({"x", data}, {"l", label}));
}

static void back(tn_exec *e, tn_tensor *head)
{
    tn_back(e, {NULL, head});
}

// ------------------------------------------------------------------ by hand

// Softmax gives 1/4, 3/4 at both steps, of the blank and of label 1. It is spelt by 01, 10 and 11:
// 3/16 + 3/16 + 9/16 = 15/16. Of that weight, step 0 is label 1 in 12/15, and so is step 1.
static void two_steps_and_one_label(void)
{
    tn_exec *e = ctc(NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 1, 2), 0, log(3), 0, log(3)),
                     TN_TENSOR(TN_I32, TN_DIMS(1, 1), 1));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, -log(15. / 16));
    back(e, TN_TENSOR(TN_F64, TN_DIMS(1), 2));
    const double d = 2 * (0.75 - 0.8);
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, -d, d, -d, d);
    tn_exec_free(e);
}

// Without labels there is one path: blank all the time.
static void no_labels(void)
{
    tn_exec *e = ctc(NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 1, 2), 0, log(3), 0, log(3)),
                     TN_TENSOR(TN_F64, TN_DIMS(1, 2), 0, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, log(16));
    back(e, TN_TENSOR(TN_F64, TN_DIMS(1), 1));
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, -0.75, 0.75, -0.75, 0.75);
    tn_exec_free(e);
    e = ctc(NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), 0, log(3), log(3), 0),
            tn_tensor_new(bench.env, TN_F64, TN_DIMS(2, 0)));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, log(4), log(4. / 3));
    tn_exec_free(e);
}

// Labels end at the first 0, at -1 or at what is no number.
static void labels_end_at_the_first_zero(void)
{
    tn_tensor *x = tn_sample(TN_F64, TN_DIMS(4, 4, 3), -1, 1, 1);
    double *p = tn_tensor_data(x);
    for (int t = 0; t < 4; t++)
        for (int i = 3; i < 12; i++) p[t * 12 + i] = p[t * 12 + i % 3]; // four alike
    tn_exec *e =
        ctc(NULL, x, TN_TENSOR(TN_F32, TN_DIMS(4, 3), 2, 0, 1, 2, -1, 1, 2, NAN, 2, 2.9, 0, 0));
    for (int i = 1; i < 4; i++)
        TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), i), tn_tensor_at(tn_out(e, 0), 0), 0);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ all paths

// Has path number i, written with `steps` digits of base `classes`, that label?
static bool spells(int64_t path, int64_t steps, int64_t classes, const int *label, int n)
{
    int64_t last = 0;
    int found = 0;
    for (int64_t t = 0; t < steps; t++, path /= classes) {
        const int64_t k = path % classes;
        if (k != last && k != 0 && (found >= n || label[found++] != k)) return false;
        last = k;
    }
    return found == n;
}

static double by_enumeration(const double *x, int64_t steps, int64_t classes, const int *label,
                             int n)
{
    int64_t paths = 1;
    double sum = 0;
    for (int64_t t = 0; t < steps; t++) paths *= classes;
    for (int64_t path = 0; path < paths; path++) {
        if (!spells(path, steps, classes, label, n)) continue;
        double product = 1;
        int64_t rest = path;
        for (int64_t t = 0; t < steps; t++, rest /= classes) {
            double all = 0;
            for (int64_t k = 0; k < classes; k++) all += exp(x[t * classes + k]);
            product *= exp(x[t * classes + rest % classes]) / all;
        }
        sum += product;
    }
    return -log(sum);
}

// Is the loss, which is compared, finite?
static bool check_label(int64_t steps, int64_t classes, const int *l, uint64_t seed)
{
    const int n = l[0] ? l[1] ? l[2] ? 3 : 2 : 1 : 0;
    tn_tensor *x = tn_sample(TN_F64, TN_DIMS(steps, 1, classes), -2, 2, seed);
    const double wanted = by_enumeration(tn_tensor_data(x), steps, classes, l, n);
    tn_exec *e = ctc(NULL, x, TN_TENSOR(TN_F64, TN_DIMS(1, 3), l[0], l[1], l[2]));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-13, wanted);
    tn_exec_free(e);
    return isfinite(wanted);
}

static void losses_agree_with_all_paths(void)
{
    static const int labels[][3] = {{0},    {1},       {2},       {1, 1},    {1, 2},   {2, 1},
                                    {2, 2}, {1, 2, 1}, {2, 1, 2}, {1, 1, 2}, {2, 2, 2}};
    enum { N = sizeof labels / sizeof *labels };
    int finite = 0;
    for (int64_t steps = 1; steps <= 4; steps++)
        for (int64_t classes = 2; classes <= 3; classes++)
            for (size_t i = 0; i < N; i++) finite += check_label(steps, classes, labels[i], i + 1);
    CU_ASSERT(finite > 30 && finite < 8 * N);
}

// ------------------------------------------------------------------ what cannot be

// Two equal labels need a blank between them: three steps. A label 3 is none of three classes.
static void impossible_labels_cost_infinity_and_teach_nothing(void)
{
    tn_exec *e = ctc(NULL, tn_sample(TN_F64, TN_DIMS(2, 4, 3), -1, 1, 1),
                     TN_TENSOR(TN_I64, TN_DIMS(4, 3), 1, 1, 0, 1, 2, 1, 3, 0, 0, 4e18, 0, 0));
    for (int i = 0; i < 4; i++) CU_ASSERT(isinf(tn_tensor_at(tn_out(e, 0), i)));
    back(e, TN_TENSOR(TN_F64, TN_DIMS(4), 1, 1, 1, 1));
    for (int64_t i = 0; i < 24; i++) TN_CHECK_NEAR(tn_tensor_at(tn_grad(e, "x"), i), 0, 0);
    tn_exec_free(e);
    // what has a probability of 0
    e = ctc(NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2), 0, -INFINITY, -INFINITY, 0),
            TN_TENSOR(TN_F64, TN_DIMS(2, 1), 1, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, INFINITY, 0);
    back(e, TN_TENSOR(TN_F64, TN_DIMS(2), 1, 1));
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0, 0, 0);
    tn_exec_free(e);
    e = ctc(NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 2), 0, NAN), TN_TENSOR(TN_F64, TN_DIMS(1, 1), 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, NAN);
    tn_exec_free(e);
}

// 2000 steps of which each has a probability of 1/10.
static void long_sequences_do_not_underflow(void)
{
    tn_tensor *x = tn_tensor_new(bench.env, TN_F32, TN_DIMS(2000, 1, 10));
    tn_exec *e = ctc(NULL, x, tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 1)));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 2000 * log(10));
    back(e, TN_TENSOR(TN_F32, TN_DIMS(1), 1));
    TN_CHECK_NEAR(tn_tensor_at(tn_grad(e, "x"), 0), -0.9, 1e-6);
    TN_CHECK_NEAR(tn_tensor_at(tn_grad(e, "x"), 19999), 0.1, 1e-6);
    tn_exec_free(e);
}

static void nothing_at_all(void)
{
    tn_exec *e = ctc(NULL, tn_tensor_new(bench.env, TN_F64, TN_DIMS(0, 2, 3)),
                     TN_TENSOR(TN_F64, TN_DIMS(2, 1), 0, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, INFINITY);
    back(e, TN_TENSOR(TN_F64, TN_DIMS(2), 1, 1));
    TN_CHECK_DIMS(tn_grad(e, "x"), 0, 2, 3);
    tn_exec_free(e);
    e = ctc(NULL, tn_tensor_new(bench.env, TN_F64, TN_DIMS(2, 0, 3)),
            tn_tensor_new(bench.env, TN_F64, TN_DIMS(0, 4)));
    TN_CHECK_DIMS(tn_out(e, 0), 0);
    tn_exec_free(e);
    e = ctc(NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 2, 1), 1, 2, 3, 4),
            TN_TENSOR(TN_F64, TN_DIMS(2, 1), 0, 1)); // a blank and nothing else
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, INFINITY);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ lengths, blanks, dtypes

// Sequence 0 has 2 steps and label 1; sequence 1 has more steps and labels than there are.
static void sequences_have_their_own_lengths(void)
{
    tn_fresh();
    const double third = log(3);
    const tn_tensors given = TN_TENSORS(
        {"x", TN_TENSOR(TN_F64, TN_DIMS(3, 2, 2), 0, third, 0, 0, 0, third, 0, 0, 9, 9, 0, 0)},
        {"l", TN_TENSOR(TN_F64, TN_DIMS(2, 2), 1, 1, 1, 1)},
        {"d", TN_TENSOR(TN_I32, TN_DIMS(2), 2, 99)}, {"n", TN_TENSOR(TN_U8, TN_DIMS(2), 1, 99)});
    const tn_symbol y = tn_op("ctc_loss", "use_data_lengths=1; use_label_lengths=1", tn_var("x"),
                              tn_var("l"), tn_var("d"), tn_var("n"));
    tn_exec *e = tn_try(y, .wrt = "x", .given = given);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, -log(15. / 16), log(8)); // 101 alone
    back(e, TN_TENSOR(TN_F64, TN_DIMS(2), 1, 1));
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 0.05, -0.05, 0.5, -0.5, 0.05, -0.05, -0.5, 0.5, 0, 0,
                    0.5, -0.5);
    tn_exec_free(e);
}

// With lengths, a blank among the labels is a label that cannot be.
static void a_blank_is_no_label(void)
{
    tn_fresh();
    const tn_symbol y =
        tn_op("CTCLoss", "use_label_lengths=1", tn_var("x"), tn_var("l"), tn_var("n"));
    tn_exec *e = tn_try(y, .given = TN_TENSORS({"x", tn_sample(TN_F64, TN_DIMS(4, 1, 3), -1, 1, 1)},
                                               {"l", TN_TENSOR(TN_F64, TN_DIMS(1, 2), 1, 0)},
                                               {"n", TN_TENSOR(TN_F64, TN_DIMS(1), 2)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, INFINITY);
    tn_exec_free(e);
}

// Classes turned by one place, and labels with them.
static void the_blank_may_be_last(void)
{
    tn_tensor *x = tn_sample(TN_F64, TN_DIMS(4, 1, 3), -1, 1, 3);
    tn_tensor *turned = tn_tensor_new(bench.env, TN_F64, TN_DIMS(4, 1, 3));
    const double *from = tn_tensor_data(x);
    double *to = tn_tensor_data(turned);
    for (int t = 0; t < 4; t++)
        for (int k = 0; k < 3; k++) to[3 * t + (k + 2) % 3] = from[3 * t + k];
    tn_exec *a = ctc(NULL, x, TN_TENSOR(TN_F64, TN_DIMS(1, 3), 1, 2, 0));
    const double first = tn_tensor_at(tn_out(a, 0), 0);
    tn_exec *b = ctc("blank_label=last", turned, TN_TENSOR(TN_F64, TN_DIMS(1, 3), 0, 1, -1));
    TN_CHECK_NEAR(tn_tensor_at(tn_out(b, 0), 0), first, 1e-15);
    tn_exec_free(a);
    tn_exec_free(b);
    b = ctc("blank_label=last", tn_sample(TN_F64, TN_DIMS(4, 1, 3), -1, 1, 1),
            TN_TENSOR(TN_F64, TN_DIMS(1, 1), 2)); // the blank
    TN_CHECK_VALUES(tn_out(b, 0), 0, INFINITY);
    tn_exec_free(b);
}

static void sixteen_bits(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        tn_exec *e = ctc(NULL, TN_TENSOR(dtypes[i], TN_DIMS(3, 1, 2), 0, 0, 0, 0, 0, 0),
                         TN_TENSOR(dtypes[i], TN_DIMS(1, 2), 1, 1));
        TN_CHECK_VALUES(tn_out(e, 0), 1e-2, log(8));
        back(e, TN_TENSOR(dtypes[i], TN_DIMS(1), 1));
        TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0.5, -0.5, -0.5, 0.5, 0.5, -0.5);
        tn_exec_free(e);
    }
}

static void names(void)
{
    tn_symbol y =
        tn_ctc_loss(bench.g, .data = tn_var("data"), .use_label_lengths = true, .name = "ctc");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "data ctc_label ctc_label_lengths");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "ctc_output");
}

// ------------------------------------------------------------------ gradients

static void gradients_agree_with_differences(void)
{
    // labels are the whole parts of samples from 0 on; 0 ends them
    TN_CHECK_CASES(
        TN_CASE("_contrib_CTCLoss", NULL, "4,2,3 2,2", .lo = 1, .hi = 2.9, .fixed = "1",
                .first_order = 1),
        TN_CASE("_contrib_CTCLoss", NULL, "5,3,4 3,3", .hi = 3.9, .fixed = "1", .first_order = 1),
        TN_CASE("_contrib_CTCLoss", NULL, "7,1,2 1,3", .lo = 1, .hi = 1.9, .fixed = "1",
                .first_order = 1),
        TN_CASE("_contrib_CTCLoss", "blank_label=last", "6,2,5 2,3", .hi = 3.9, .fixed = "1",
                .first_order = 1),
        TN_CASE("_contrib_CTCLoss", "use_data_lengths=1; use_label_lengths=1", "6,3,4 3,1 3 3",
                .lo = 1, .hi = 3.9, .fixed = "1 2 3", .first_order = 1),
        TN_CASE("_contrib_CTCLoss", "use_label_lengths=1; blank_label=last", "5,2,3 2,2 2", .lo = 0,
                .hi = 1.9, .fixed = "1 2", .first_order = 1));
}

static void second_derivatives_are_refused(void)
{
    tn_symbol dx, ddx;
    const tn_symbol x = tn_var("x");
    const tn_symbol y = tn_ctc_loss(bench.g, .data = x, .name = "ctc");
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(tn_gradient(bench.g, TN_SYMS(dx), (tn_symbols){0}, TN_SYMS(x), &ddx),
                    TN_E_NO_GRADIENT);
    TN_CHECK_HAS(tn_graph_error(bench.g), "ctc (_contrib_CTCLoss): the gradient that it keeps");
}

TN_TEST_MAIN({"two steps and one label", two_steps_and_one_label}, {"no labels", no_labels},
             {"labels end at the first zero", labels_end_at_the_first_zero},
             {"losses agree with all paths", losses_agree_with_all_paths},
             {"impossible labels cost infinity and teach nothing",
              impossible_labels_cost_infinity_and_teach_nothing},
             {"long sequences do not underflow", long_sequences_do_not_underflow},
             {"nothing at all", nothing_at_all},
             {"sequences have their own lengths", sequences_have_their_own_lengths},
             {"a blank is no label", a_blank_is_no_label},
             {"the blank may be last", the_blank_may_be_last}, {"sixteen bits", sixteen_bits},
             {"names", names},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"second derivatives are refused", second_derivatives_are_refused})
