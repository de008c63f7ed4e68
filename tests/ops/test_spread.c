// tests/ops/test_spread.c: broadcast_to, broadcast_axis, broadcast_like, and what sums them back.
#include "tests/tn_numeric.h"

static void broadcast_to_repeats_axes_of_extent_one(void)
{
    tn_exec *e = tn_try(tn_op("broadcast_to", "shape=(2,0,3)", tn_var("x")), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1), 1, 2)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 2, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1 + 2 + 3 + 7 + 8 + 9, 4 + 5 + 6 + 10 + 11 + 12);
    tn_exec_free(e);
}

static void broadcast_axis_names_axis_and_size(void)
{
    tn_exec *e = tn_try(
        tn_op("broadcast_axis", "axis=(0,2); size=(2,2)", tn_var("x")),
        .given = TN_TENSORS({"x", TN_TENSOR(TN_I64, TN_DIMS(1, 2, 1), 1, 9007199254740992)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1, 9007199254740992, 9007199254740992, 1, 1,
                    9007199254740992, 9007199254740992);
    tn_exec_free(e);
}

static void broadcast_like_takes_the_shape_of_another(void)
{
    tn_exec *e =
        tn_try(tn_op("broadcast_like", NULL, tn_var("x"), tn_var("like")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 2)},
                                   {"like", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 0, 0, 0, 0)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 1, 2);
    tn_exec_free(e);
}

static void repeating_into_nothing(void)
{
    tn_exec *e =
        tn_try(tn_op("broadcast_like", NULL, tn_var("x"), tn_var("like")), .wrt = "x",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 2)},
                                   {"like", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2))}));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2))});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0); // the sum of nothing
    tn_exec_free(e);
}

static void a_reduction_is_spread_over_its_axes(void)
{
    tn_exec *e =
        tn_try(tn_op("_broadcast_reduced", "axis=1; scale_by_count=1", tn_var("x"), tn_var("like")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 2, 4, 6, 8)},
                                   {"like", tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 2, 2))}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 1, 2, 3, 4, 3, 4);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(
        tn_op("_broadcast_reduced", "axis=0; exclude=1; keepdims=1", tn_var("x"), tn_var("like")),
        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 1), 2, 4)},
                            {"like", tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 2))}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 2, 4, 4);
    tn_exec_free(e);
}

static void sum_like_undoes_broadcasting(void)
{
    tn_exec *e = tn_try(
        tn_op("_sum_like", NULL, tn_var("x"), tn_var("like")),
        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8)},
                            {"like", tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 1))}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1 + 2 + 5 + 6, 3 + 4 + 7 + 8);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("broadcast_to", "shape=(2,3)", "1,3"),
                   TN_CASE("broadcast_to", "shape=(2,0,2)", "1,3,1"),
                   TN_CASE("broadcast_to", "shape=4", "1"),
                   TN_CASE("broadcast_to", "shape=(0,0)", "2,3"),
                   TN_CASE("broadcast_to", "shape=(2,1,2,3)", "2,1,1,1"),
                   TN_CASE("broadcast_axis", "axis=1; size=3", "2,1,2"),
                   TN_CASE("broadcast_axis", "axis=(0,2); size=(2,3)", "1,2,1"),
                   TN_CASE("broadcast_axis", "axis=-1; size=4", "3,1"),
                   TN_CASE("broadcast_axis", "axis=0; size=1", "1,3"),
                   TN_CASE("broadcast_axis", "axis=0; size=5", "1"),
                   TN_CASE("broadcast_like", NULL, "1,3 2,3", .fixed = "1"),
                   TN_CASE("broadcast_like", NULL, "3 2,3", .fixed = "1"),
                   TN_CASE("broadcast_like", NULL, "1 2,2,2", .fixed = "1"),
                   TN_CASE("broadcast_like", NULL, "2,1 3,2,2", .fixed = "1"),
                   TN_CASE("broadcast_like", NULL, "2,3 2,3", .fixed = "1"));
}

static void gradients_of_what_undoes_it_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("_broadcast_reduced", "axis=1", "2,2 2,3,2", .fixed = "1"),
        TN_CASE("_broadcast_reduced", "axis=1; scale_by_count=1", "2 2,3", .fixed = "1"),
        TN_CASE("_broadcast_reduced", NULL, "1 2,3", .fixed = "1"),
        TN_CASE("_broadcast_reduced", "axis=0; exclude=1; keepdims=1", "3,1 3,2", .fixed = "1"),
        TN_CASE("_broadcast_reduced", "axis=(0,2); scale_by_count=1", "3 2,3,2", .fixed = "1"),
        TN_CASE("_sum_like", NULL, "2,3,2 3,1", .fixed = "1"),
        TN_CASE("_sum_like", NULL, "2,3 1", .fixed = "1"),
        TN_CASE("_sum_like", NULL, "2,3 2,3", .fixed = "1"),
        TN_CASE("_sum_like", NULL, "2,3 1,3", .fixed = "1"),
        TN_CASE("_sum_like", NULL, "2,2,2 2,1,2", .fixed = "1"));
}

TN_TEST_MAIN({"broadcast_to repeats axes of extent one", broadcast_to_repeats_axes_of_extent_one},
             {"broadcast_axis names axis and size", broadcast_axis_names_axis_and_size},
             {"broadcast_like takes the shape of another",
              broadcast_like_takes_the_shape_of_another},
             {"repeating into nothing", repeating_into_nothing},
             {"a reduction is spread over its axes", a_reduction_is_spread_over_its_axes},
             {"_sum_like undoes broadcasting", sum_like_undoes_broadcasting},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"gradients of what undoes it agree with differences",
              gradients_of_what_undoes_it_agree_with_differences})
