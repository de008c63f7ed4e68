// tests/ops/test_pool.c: Pooling: windows, padding, overhang, and who gets the gradient.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *run(const char *params, tn_dtype dtype, tn_dims dims, const double *x)
{
    tn_fresh();
    return tn_try(tn_op("Pooling", params, tn_var("x")), .wrt = "x",
                  .given = TN_TENSORS({"x", tn_tensor_from(bench.env, dtype, dims, x)}));
}
#define RUN(params, dims, ...) run((params), TN_F64, dims, (const double[]){__VA_ARGS__})

static void the_stride_is_one_if_not_given(void)
{
    tn_exec *e = RUN("kernel=2", TN_DIMS(1, 1, 4), 1, 5, 2, 4);
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 5, 4);
    tn_exec_free(e);
    e = RUN("kernel=2; pool_type=avg", TN_DIMS(1, 1, 4), 1, 5, 2, 4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 3.5, 3);
    tn_exec_free(e);
    e = RUN("kernel=2; pool_type=sum", TN_DIMS(2, 1, 2), 1, 5, 2, 4);
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 6);
    tn_exec_free(e);
}

static void padding_counts_in_a_mean_and_never_in_a_maximum(void)
{
    tn_exec *e = RUN("kernel=3; pad=1; pool_type=avg", TN_DIMS(1, 1, 3), 3, 6, 9);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 3, 6, 5);
    tn_exec_free(e);
    e = RUN("kernel=3; pad=1; pool_type=avg; count_include_pad=False", TN_DIMS(1, 1, 3), 3, 6, 9);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 4.5, 6, 7.5);
    tn_exec_free(e);
    e = RUN("kernel=3; pad=1; pool_type=max", TN_DIMS(1, 1, 3), -3, -1, -2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -1, -1);
    tn_exec_free(e);
}

static void full_takes_the_overhang_too(void)
{
    tn_exec *e = RUN("kernel=2; stride=2", TN_DIMS(1, 1, 5), 1, 2, 3, 4, 5);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 4);
    tn_exec_free(e);
    e = RUN("kernel=2; stride=2; pooling_convention=full", TN_DIMS(1, 1, 5), 1, 2, 3, 4, 5);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 4, 5);
    tn_exec_free(e);
    // the last window has one element, and what hangs over does not count
    e = RUN("kernel=2; stride=2; pooling_convention=full; pool_type=avg", TN_DIMS(1, 1, 5), 1, 2, 3,
            4, 5);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1.5, 3.5, 5);
    tn_exec_free(e);
}

// The last window begins on element 5, covers the padding behind it, and hangs over by one.
static void padding_counts_and_overhang_does_not(void)
{
    tn_exec *e = RUN("kernel=3; stride=2; pad=1; pooling_convention=full; pool_type=avg",
                     TN_DIMS(1, 1, 6), 1, 2, 3, 4, 5, 6);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 1, 3, 5, 3);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 4), 3, 3, 3, 2)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 1, 2, 1, 2, 1, 2);
    tn_exec_free(e);
}

// A window that begins behind the data: 0 / 0, and the maximum of nothing.
static void a_window_off_the_data(void)
{
    tn_exec *e = RUN("kernel=1; stride=3; pooling_convention=full; pool_type=avg", TN_DIMS(1, 1, 6),
                     1, 2, 3, 4, 5, 6);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 4, NAN);
    tn_exec_free(e);
    e = RUN("kernel=1; stride=3; pooling_convention=full", TN_DIMS(1, 1, 6), 1, 2, 3, 4, 5, 6);
    CU_ASSERT(tn_tensor_at(tn_out(e, 0), 2) == -INFINITY);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 3), 1, 2, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 0, 0, 2, 0, 0);
    tn_exec_free(e);
}

static void global_pooling_takes_all(void)
{
    static const char *const params[] = {
        "global_pool=1; pool_type=avg",
        "global_pool=1; pool_type=avg; kernel=(7,7)",
        "global_pool=1; pool_type=avg; kernel=(1,1); stride=(2,2); pad=(1,1)",
        "global_pool=1; pool_type=avg; kernel=(1,1); pooling_convention=full",
    };
    for (int i = 0; i < 4; i++) {
        tn_exec *e = RUN(params[i], TN_DIMS(1, 2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8);
        TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 1, 1);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 2.5, 6.5);
        tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2, 1, 1), 4, 8)});
        TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 1, 1, 1, 2, 2, 2, 2);
        tn_exec_free(e);
    }
    tn_exec *e = RUN("global_pool=1", TN_DIMS(1, 2, 2), 1, 2, -3, -4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, -3);
    tn_exec_free(e);
}

static void the_first_maximum_gets_the_gradient(void)
{
    tn_exec *e = RUN("kernel=2", TN_DIMS(1, 1, 3), 2, 2, 1);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 2), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 10, 0);
    tn_exec_free(e);
    e = RUN("kernel=2", TN_DIMS(1, 1, 3), 1, 3, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 2), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 11, 0);
    tn_exec_free(e);
    e = RUN("kernel=(2,2)", TN_DIMS(1, 1, 2, 2), 7, 7, 7, 7);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 1), 3)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 0, 0, 0);
    tn_exec_free(e);
    e = RUN("kernel=2", TN_DIMS(1, 1, 2), -INFINITY, -INFINITY);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1), 5)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 5, 0);
    tn_exec_free(e);
}

static void a_nan_is_the_maximum(void)
{
    tn_exec *e = RUN("kernel=2", TN_DIMS(1, 1, 4), 1, NAN, 3, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, NAN, NAN, 3);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 3), 1, 2, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 3, 4, 0);
    tn_exec_free(e);
    // and gets the gradient, the first of several; rows and columns that no square takes get none
    e = RUN("kernel=(2,2); stride=(2,2)", TN_DIMS(1, 1, 3, 5), 1, 3, NAN, 8, 9, 3, 3, 9, NAN, 9, 9,
            9, 9, 9, 9);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, NAN);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 2), 5, 7)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 5, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

static void every_axis_has_its_own_window(void)
{
    // 2 by 3 windows over 3 by 4 numbers, two planes
    double x[24];
    for (int i = 0; i < 24; i++) x[i] = i;
    tn_exec *e = run("kernel=(2,3); stride=(1,1)", TN_F32, TN_DIMS(1, 2, 3, 4), x);
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 7, 10, 11, 18, 19, 22, 23);
    tn_exec_free(e);
    e = run("kernel=(1,2,3); stride=(2,1,3); pool_type=sum", TN_F32, TN_DIMS(1, 1, 4, 2, 3), x);
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 2, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 15, 87);
    tn_exec_free(e);
}

// Summed in bfloat16, where 258 follows 256, 255 + 1 + 1 + 1 would be 256.
static void means_of_16_bit_floats_are_rounded_once(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    const double x[] = {255, 1, 1, 1};
    for (int i = 0; i < 2; i++) {
        tn_exec *e = run("kernel=4; pool_type=avg", dtypes[i], TN_DIMS(1, 1, 4), x);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 64.5);
        tn_back(e, {NULL, TN_TENSOR(dtypes[i], TN_DIMS(1, 1, 1), 2)});
        TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0.5, 0.5, 0.5, 0.5);
        tn_exec_free(e);
        e = run("kernel=2", dtypes[i], TN_DIMS(1, 1, 4), x);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 255, 1, 1);
        tn_back(e, {NULL, TN_TENSOR(dtypes[i], TN_DIMS(1, 1, 3), 1, 2, 3)});
        TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 2, 3, 0);
        tn_exec_free(e);
    }
}

static void an_empty_batch_stays_empty(void)
{
    tn_exec *e = RUN("kernel=2", TN_DIMS(0, 2, 3), 0);
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2, 2);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F64, TN_DIMS(0, 2, 2))});
    TN_CHECK_DIMS(tn_grad(e, "x"), 0, 2, 3);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ Pooling_v1

#define RUN_V1(params, dims, ...) run_v1((params), dims, (const double[]){__VA_ARGS__})
static tn_exec *run_v1(const char *params, tn_dims dims, const double *x)
{
    tn_fresh();
    return tn_try(tn_op("Pooling_v1", params, tn_var("x")), .wrt = "x",
                  .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F64, dims, x)}));
}

// Windows of 1 2 3 4 5 6 with a pad: (0 1 2), (2 3 4), (4 5 6), (6 0): all divided by 3.
static void the_older_mean_divides_by_the_whole_kernel(void)
{
    tn_exec *e = RUN_V1("kernel=(1,3); stride=(1,2); pad=(0,1); pooling_convention=full; "
                        "pool_type=avg",
                        TN_DIMS(1, 1, 1, 6), 1, 2, 3, 4, 5, 6);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 1, 3, 5, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 4), 3, 3, 3, 3)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 1, 2, 1, 2, 1, 2);
    tn_exec_free(e);
    e = RUN_V1("global_pool=1; pool_type=avg; kernel=(1,1); pad=(0,0)", TN_DIMS(1, 1, 2, 2), 1, 2,
               3, 4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2.5);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 1), 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 1, 1, 1);
    tn_exec_free(e);
    e = RUN_V1("kernel=(2,2); pool_type=sum", TN_DIMS(1, 1, 2, 2), 1, 2, 3, 4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 10);
    tn_exec_free(e);
}

static void in_the_older_layer_every_maximum_gets_the_gradient(void)
{
    tn_exec *e = RUN_V1("kernel=(1,2)", TN_DIMS(1, 1, 1, 3), 2, 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 2), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 11, 0);
    tn_exec_free(e);
    e = RUN_V1("kernel=(2,2)", TN_DIMS(1, 1, 2, 3), 7, 7, 5, 7, 1, 7);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 2), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 11, 0, 1, 0, 10);
    tn_exec_free(e);
    e = RUN_V1("global_pool=1", TN_DIMS(1, 2, 1, 2), 3, 3, 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2, 1, 1), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 1, 0, 10);
    tn_exec_free(e);
}

// A window at the edge sees each of its elements once, and the pad never.
static void padding_takes_no_gradient_in_the_older_layer(void)
{
    tn_exec *e = RUN_V1("kernel=(1,3); pad=(0,1); stride=(1,2); pooling_convention=full",
                        TN_DIMS(1, 1, 1, 4), -1, -1, -3, -2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -1, -2);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 3), 1, 10, 100)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 11, 0, 100);
    tn_exec_free(e);
}

static void the_older_layer_is_for_images(void)
{
    static const char *const bad[][2] = {{"kernel=2", "kernel"},
                                         {"kernel=(2,2,2)", "kernel"},
                                         {"kernel=(0,2)", "kernel"},
                                         {"kernel=(2,2); pad=(2,2)", "pad"},
                                         {"pool_type=max", "kernel"}};
    for (int i = 0; i < 5; i++) {
        tn_fresh();
        CU_ASSERT_EQUAL(tn_op("Pooling_v1", bad[i][0], tn_var("x")).node, 0);
        TN_CHECK_HAS(tn_graph_error(bench.g), bad[i][1]);
        tn_graph_forgive(bench.g);
    }
    tn_exec *e = RUN_V1("kernel=(1,2)", TN_DIMS(0, 1, 1, 3), 0);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F64, TN_DIMS(0, 1, 1, 2))});
    TN_CHECK_DIMS(tn_grad(e, "x"), 0, 1, 1, 3);
    tn_exec_free(e);
}

static void gradients_of_the_older_layer_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("Pooling_v1", "kernel=(2,2)", "2,2,3,3"),
        TN_CASE("Pooling_v1", "kernel=(3,2); stride=(2,1); pad=(1,1); pooling_convention=full",
                "1,2,4,3"),
        TN_CASE("Pooling_v1", "global_pool=1", "2,2,3,2"),
        TN_CASE("Pooling_v1", "kernel=(3,3); stride=(2,2); pad=(1,1); pool_type=avg", "1,2,5,4"),
        TN_CASE("Pooling_v1", "kernel=(2,3); stride=(3,2); pooling_convention=full; pool_type=avg",
                "1,1,4,4"),
        TN_CASE("Pooling_v1", "kernel=(2,1); pool_type=sum", "1,2,3,2"),
        TN_CASE("Pooling_v1", "global_pool=1; pool_type=avg", "1,2,2,3"));
}

// ------------------------------------------------------------------ differences

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("Pooling", "kernel=2", "2,2,5", .first_order = 1),
        TN_CASE("Pooling", "kernel=(3,2); stride=(2,1); pad=(1,1); pooling_convention=full",
                "1,2,4,3", .first_order = 1),
        TN_CASE("Pooling", "kernel=(2,2,1)", "1,1,3,2,2", .first_order = 1),
        TN_CASE("Pooling", "global_pool=1", "2,2,3,2", .first_order = 1),
        TN_CASE("Pooling", "kernel=3; stride=2; pad=1; pool_type=avg", "1,2,5"),
        TN_CASE("Pooling",
                "kernel=(3,2); stride=(2,3); pad=(2,1); pooling_convention=full; "
                "pool_type=avg",
                "1,1,4,3"),
        TN_CASE("Pooling",
                "kernel=(3,2); stride=(2,3); pad=(1,1); pooling_convention=full; "
                "pool_type=avg; count_include_pad=0",
                "1,1,4,3"),
        TN_CASE("Pooling", "kernel=(2,2); pad=(1,0); pool_type=sum", "1,2,2,3"),
        TN_CASE("Pooling", "kernel=(1,2,2); stride=(2,1,2); pool_type=avg", "1,1,3,2,2"),
        TN_CASE("Pooling", "global_pool=1; pool_type=avg", "2,1,2,3"),
        TN_CASE("Pooling", "global_pool=1; pool_type=sum", "1,2,2,2,2"),
        TN_CASE("Pooling", "kernel=4; stride=3; pool_type=sum; pooling_convention=full", "2,1,9"));
}

TN_TEST_MAIN({"the stride is one if not given", the_stride_is_one_if_not_given},
             {"padding counts in a mean and never in a maximum",
              padding_counts_in_a_mean_and_never_in_a_maximum},
             {"full takes the overhang, too", full_takes_the_overhang_too},
             {"padding counts and overhang does not", padding_counts_and_overhang_does_not},
             {"a window off the data", a_window_off_the_data},
             {"global pooling takes all", global_pooling_takes_all},
             {"the first maximum gets the gradient", the_first_maximum_gets_the_gradient},
             {"a NaN is the maximum", a_nan_is_the_maximum},
             {"every axis has its own window", every_axis_has_its_own_window},
             {"means of 16-bit floats are rounded once", means_of_16_bit_floats_are_rounded_once},
             {"an empty batch stays empty", an_empty_batch_stays_empty},
             {"the older mean divides by the whole kernel",
              the_older_mean_divides_by_the_whole_kernel},
             {"in the older layer every maximum gets the gradient",
              in_the_older_layer_every_maximum_gets_the_gradient},
             {"padding takes no gradient in the older layer",
              padding_takes_no_gradient_in_the_older_layer},
             {"the older layer is for images", the_older_layer_is_for_images},
             {"gradients of the older layer agree with differences",
              gradients_of_the_older_layer_agree_with_differences},
             {"gradients agree with differences", gradients_agree_with_differences})
