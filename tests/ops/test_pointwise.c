// tests/ops/test_pointwise.c: clip, smooth_l1, where, add_n, Cast.
#include <math.h>

#include "tests/tn_numeric.h"

static void clip_has_no_gradient_strictly_outside(void)
{
    tn_exec *e =
        tn_try(tn_op("clip", "a_min=-1; a_max=2", tn_var("x")), .wrt = "x",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(6), -3, -1, 0, 2, 3, NAN)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -1, 0, 2, 2, NAN);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(6), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 2, 3, 4, 0, 6);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("clip", "a_min=-1000; a_max=2.5", tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_I8, TN_DIMS(3), -128, 2, 100)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -128, 2, 2);
    tn_exec_free(e);
}

// sigma 2: quadratic up to 1/4
static void smooth_l1_bends_at_one_over_sigma_squared(void)
{
    tn_exec *e =
        tn_try(tn_op("smooth_l1", "scalar=2", tn_var("x")), .wrt = "x",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(5), -1, -0.125, 0, 0.25, 2)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.875, 0.03125, 0, 0.125, 1.875);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(5), 1, 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, -1, -0.5, 0, 1, 1);
    tn_exec_free(e);
}

static void where_chooses_elements_or_rows(void)
{
    tn_exec *e = tn_try(tn_op("where", NULL, tn_var("c"), tn_var("x"), tn_var("y")), .wrt = "x y",
                        .given = TN_TENSORS({"c", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 0, 0.5, -1, 0)},
                                            {"x", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)},
                                            {"y", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 5, 6, 7, 8)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 2, 3, 8);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 2, 3, 0);
    TN_CHECK_VALUES(tn_grad(e, "y"), 0, 1, 0, 0, 4);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("where", NULL, tn_var("c"), tn_var("x"), tn_var("y")),
               .given =
                   TN_TENSORS({"c", TN_TENSOR(TN_BOOL, TN_DIMS(3), 0, 1, 0)},
                              {"x", TN_TENSOR(TN_I64, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6)},
                              {"y", TN_TENSOR(TN_I64, TN_DIMS(3, 2), -1, -2, -3, -4, -5, -6)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -2, 3, 4, -5, -6);
    tn_exec_free(e);
}

static void add_n_sums_all_its_inputs(void)
{
    const tn_symbol y = tn_op("add_n", "num_args=3", tn_var("a"), tn_var("b"), tn_var("c"));
    tn_exec *e = tn_try(y, .wrt = "a c",
                        .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)},
                                            {"b", TN_TENSOR(TN_F32, TN_DIMS(2), 10, 20)},
                                            {"c", TN_TENSOR(TN_F32, TN_DIMS(2), 100, 200)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 111, 222);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2), 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 5, 6);
    TN_CHECK_VALUES(tn_grad(e, "c"), 0, 5, 6);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("_grad_add", NULL, tn_var("a"), tn_var("b")),
               .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)},
                                   {"b", TN_TENSOR(TN_F32, TN_DIMS(2), 10, 20)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 11, 22);
    tn_exec_free(e);
}

static void check_cast(tn_dtype from, const char *params, const double *x, const double *y)
{
    tn_fresh();
    tn_exec *e = tn_try(tn_op("Cast", params, tn_var("x")),
                        .given = TN_TENSORS({"x", tn_tensor_from(bench.env, from, TN_DIMS(3), x)}));
    if (!tn_check_values(__LINE__, __FILE__, tn_out(e, 0), y, 3, 0))
        printf("\n    in Cast of %s, %s\n", tn_dtype_name(from), params);
    tn_exec_free(e);
}

static void casts_between_all_dtypes(void)
{
    static const char *const names[] = {"float32", "float64", "float16", "bfloat16", "int8",
                                        "uint8",   "int32",   "int64",   "bool"};
    for (size_t i = 0; i < 9; i++) {
        for (size_t j = 0; j < 9; j++) {
            char params[32];
            const bool to_bool = j == 8, from_bool = i == 8;
            snprintf(params, sizeof params, "dtype=%s", names[j]);
            check_cast(tn_dtype_find(names[i]), params, (double[]){0, 1, 100},
                       to_bool || from_bool ? (double[]){0, 1, 1} : (double[]){0, 1, 100});
        }
    }
    check_cast(TN_F32, "dtype=int32", (double[]){-1.9, 1.9, 3e9}, (double[]){-1, 1, 2147483647});
    check_cast(TN_F64, "dtype=float16", (double[]){2049, 2051, 1e6},
               (double[]){2048, 2052, INFINITY});
    check_cast(TN_F64, "dtype=bfloat16", (double[]){257, 259, 1}, (double[]){256, 260, 1});
}

// The gradient comes back in the dtype of the data.
static void cast_passes_the_gradient_back(void)
{
    tn_exec *e = tn_try(tn_op("Cast", "dtype=float64", tn_var("x")), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)}));
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2), 3, 0.1)});
    CU_ASSERT(e && tn_tensor_dtype(tn_grad(e, "x")) == TN_F32);
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, (double)0.1f);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("clip", "a_min=-1; a_max=0.5", "3,4"), TN_CASE("clip", "a_min=0; a_max=1", "7"),
        TN_CASE("clip", "a_min=-3; a_max=3", "2,2"), TN_CASE("clip", "a_min=1.5; a_max=9", "6"),
        TN_CASE("clip", "a_min=-0.5; a_max=0.5", "2,1,3"), TN_CASE("smooth_l1", "scalar=1", "3,4"),
        TN_CASE("smooth_l1", "scalar=3", "6"), TN_CASE("smooth_l1", "scalar=0.5", "5"),
        TN_CASE("smooth_l1", "scalar=2", "2,1,2"), TN_CASE("smooth_l1", "scalar=0", "3"),
        TN_CASE("where", NULL, "2,3 2,3 2,3", .fixed = "0"),
        TN_CASE("where", NULL, "2 2,3 2,3", .fixed = "0"),
        TN_CASE("where", NULL, "5 5 5", .fixed = "0"),
        TN_CASE("where", NULL, "2,1,2 2,1,2 2,1,2", .fixed = "0"),
        TN_CASE("where", NULL, "3 3,2,2 3,2,2", .fixed = "0"));
}

static void gradients_of_sums_and_casts_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("add_n", "num_args=3", "2,2 2,2 2,2"),
                   TN_CASE("add_n", "num_args=1", "3"), TN_CASE("add_n", "num_args=2", "5 5"),
                   TN_CASE("add_n", "num_args=4", "2 2 2 2"),
                   TN_CASE("add_n", "num_args=2", "2,1,3 2,1,3"), TN_CASE("_grad_add", NULL, "3 3"),
                   TN_CASE("_grad_add", NULL, "2,3 2,3"), TN_CASE("_grad_add", NULL, "1 1"),
                   TN_CASE("_grad_add", NULL, "2,2,2 2,2,2"), TN_CASE("_grad_add", NULL, "4,1 4,1"),
                   TN_CASE("Cast", "dtype=float64", "3"), TN_CASE("Cast", "dtype=float64", "2,3"),
                   TN_CASE("Cast", "dtype=float64", "1"), TN_CASE("Cast", "dtype=float64", "2,1,2"),
                   TN_CASE("Cast", "dtype=float64", "2,2,2,1"));
}

TN_TEST_MAIN({"clip has no gradient strictly outside", clip_has_no_gradient_strictly_outside},
             {"smooth_l1 bends at one over sigma squared",
              smooth_l1_bends_at_one_over_sigma_squared},
             {"where chooses elements or rows", where_chooses_elements_or_rows},
             {"add_n sums all its inputs", add_n_sums_all_its_inputs},
             {"casts between all dtypes", casts_between_all_dtypes},
             {"Cast passes the gradient back", cast_passes_the_gradient_back},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"gradients of sums and casts agree with differences",
              gradients_of_sums_and_casts_agree_with_differences})
