// tests/ops/test_reduce.c: sums, means, products, extremes over axes, their places, and norm.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *reduce(const char *op, const char *params, tn_dtype dtype, tn_dims dims)
{
    static const double x[] = {1, 2, 3, 4, 5, 6, 7, 8};
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x")),
                  .given = TN_TENSORS({"x", tn_tensor_from(bench.env, dtype, dims, x)}));
}

static void axes_choose_what_is_reduced(void)
{
    tn_exec *e = reduce("sum", NULL, TN_F32, TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 21);
    tn_exec_free(e);
    e = reduce("sum", "axis=1", TN_F32, TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 15);
    tn_exec_free(e);
    e = reduce("sum", "axis=(0,-1)", TN_F32, TN_DIMS(2, 2, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1 + 2 + 5 + 6, 3 + 4 + 7 + 8);
    tn_exec_free(e);
    e = reduce("sum", "axis=1; keepdims=1", TN_F32, TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1);
    tn_exec_free(e);
    e = reduce("sum", "axis=1; exclude=1", TN_F32, TN_DIMS(2, 2, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1 + 2 + 5 + 6, 3 + 4 + 7 + 8);
    tn_exec_free(e);
    e = reduce("sum", "keepdims=1", TN_F32, TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1);
    tn_exec_free(e);
}

static void each_reduction_in_each_dtype(void)
{
    static const struct {
        const char *op;
        double y[2];
    } cases[] = {{"sum", {6, 15}}, {"mean", {2, 5}},   {"prod", {6, 120}}, {"max", {3, 6}},
                 {"min", {1, 4}},  {"argmax", {2, 2}}, {"argmin", {0, 0}}};
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16, TN_BF16,
                                      TN_I8,  TN_U8,  TN_I32, TN_I64};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            tn_exec *e = reduce(cases[i].op, "axis=1", dtypes[d], TN_DIMS(2, 3));
            if (!tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, 2, 1e-6))
                printf("\n    in %s of %s\n", cases[i].op, tn_dtype_name(dtypes[d]));
            tn_exec_free(e);
        }
    }
}

static void reductions_of_nothing(void)
{
    static const struct {
        const char *op;
        double y;
    } cases[] = {{"sum", 0}, {"prod", 1}, {"mean", NAN}, {"max", -INFINITY}, {"min", INFINITY}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_exec *e = reduce(cases[i].op, "axis=1", TN_F32, TN_DIMS(2, 0));
        TN_CHECK_VALUES(tn_out(e, 0), 0, cases[i].y, cases[i].y);
        tn_exec_free(e);
        e = reduce(cases[i].op, "axis=0", TN_F32, TN_DIMS(2, 0));
        TN_CHECK_DIMS(tn_out(e, 0), 0);
        tn_exec_free(e);
    }
}

static void extremes_give_the_gradient_to_every_tie(void)
{
    static const char *const ops[] = {"max", "min"};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op(ops[i], "axis=1", tn_var("x")), .wrt = "x",
                   .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 5, 1, 5, 1, 5, 1)}));
        tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3)});
        if (i == 0)
            TN_CHECK_VALUES(tn_grad(e, "x"), 0, 2, 0, 2, 0, 3, 0);
        else
            TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 2, 0, 3, 0, 3);
        tn_exec_free(e);
    }
}

// The product of the others, also where an element is zero.
static void product_is_differentiated_at_zeros(void)
{
    tn_exec *e = tn_try(
        tn_op("prod", "axis=1", tn_var("x")), .wrt = "x",
        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3, 3), 2, 3, 4, 2, 0, 4, 0, 0, 4)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 24, 0, 0);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3), 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, 12, 8, 6, 0, 8, 0, 0, 0, 0);
    tn_exec_free(e);
}

static void argmax_takes_the_first_of_equals(void)
{
    tn_exec *e =
        tn_try(tn_op("argmax", "axis=0; keepdims=1", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3, 2), 1, 7, 3, 7, 3, 2)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 0);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("argmin", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 4, 3, 0, 0)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2); // None: of all elements
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("argmax_channel", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 4, 9, 0, 7, 0, 0)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 0);
    tn_exec_free(e);
}

static void norm_is_the_root_of_the_sum_of_squares(void)
{
    tn_exec *e = tn_try(tn_op("norm", NULL, tn_var("x")), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, -2, 2, 4)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 5);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1), 10)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, 2, -4, 4, 8);
    tn_exec_free(e);
}

static void gradients_of_sum_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("sum", NULL, "5"), TN_CASE("sum", "axis=1", "2,3,2"),
                   TN_CASE("sum", "axis=(0,2); keepdims=1", "2,3,2"),
                   TN_CASE("sum", "axis=(-1,); exclude=1", "2,3,2"),
                   TN_CASE("sum", "axis=0; keepdims=1", "3,2"),
                   TN_CASE("sum", "axis=(0,-1)", "2,2,2"));
}

static void gradients_of_mean_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("mean", NULL, "5"), TN_CASE("mean", "axis=1", "2,3,2"),
                   TN_CASE("mean", "axis=(0,2); keepdims=1", "2,3,2"),
                   TN_CASE("mean", "axis=(-1,); exclude=1", "2,3,2"),
                   TN_CASE("mean", "axis=0; keepdims=1", "3,2"),
                   TN_CASE("mean", "axis=(0,-1)", "2,2,2"));
}

static void gradients_of_max_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("max", NULL, "5"), TN_CASE("max", "axis=1", "2,3,2"),
                   TN_CASE("max", "axis=(0,2); keepdims=1", "2,3,2"),
                   TN_CASE("max", "axis=(-1,); exclude=1", "2,3,2"),
                   TN_CASE("max", "axis=0; keepdims=1", "3,2"),
                   TN_CASE("max", "axis=(0,-1)", "2,2,2"));
}

static void gradients_of_min_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("min", NULL, "5"), TN_CASE("min", "axis=1", "2,3,2"),
                   TN_CASE("min", "axis=(0,2); keepdims=1", "2,3,2"),
                   TN_CASE("min", "axis=(-1,); exclude=1", "2,3,2"),
                   TN_CASE("min", "axis=0; keepdims=1", "3,2"),
                   TN_CASE("min", "axis=(0,-1)", "2,2,2"));
}

static void gradients_of_prod_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("prod", NULL, "5"), TN_CASE("prod", "axis=1", "2,3,2"),
                   TN_CASE("prod", "axis=(0,2); keepdims=1", "2,3,2"),
                   TN_CASE("prod", "axis=(-1,); exclude=1", "2,3,2"),
                   TN_CASE("prod", "axis=0; keepdims=1", "3,2"),
                   TN_CASE("prod", "axis=(0,-1)", "2,2,2"));
}

static void gradients_of_norm_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("norm", NULL, "2,3"), TN_CASE("norm", NULL, "5"),
                   TN_CASE("norm", NULL, "1"), TN_CASE("norm", NULL, "2,1,2,2"),
                   TN_CASE("norm", NULL, "3,2", .lo = 0.1, .hi = 9));
}

TN_TEST_MAIN({"axes choose what is reduced", axes_choose_what_is_reduced},
             {"each reduction in each dtype", each_reduction_in_each_dtype},
             {"reductions of nothing", reductions_of_nothing},
             {"extremes give the gradient to every tie", extremes_give_the_gradient_to_every_tie},
             {"product is differentiated at zeros", product_is_differentiated_at_zeros},
             {"argmax takes the first of equals", argmax_takes_the_first_of_equals},
             {"norm is the root of the sum of squares", norm_is_the_root_of_the_sum_of_squares},
             {"gradients of sum agree with differences", gradients_of_sum_agree_with_differences},
             {"gradients of mean agree with differences", gradients_of_mean_agree_with_differences},
             {"gradients of max agree with differences", gradients_of_max_agree_with_differences},
             {"gradients of min agree with differences", gradients_of_min_agree_with_differences},
             {"gradients of prod agree with differences", gradients_of_prod_agree_with_differences},
             {"gradients of norm agree with differences", gradients_of_norm_agree_with_differences})
