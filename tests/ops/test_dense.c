// tests/ops/test_dense.c: FullyConnected, dot, batch_dot.
#include "tests/tn_numeric.h"

static tn_symbol fc(const char *params)
{
    return tn_op("FullyConnected", params, tn_var("x"), tn_var("w"), tn_var("b"));
}

static void fully_connected_adds_its_bias_to_each_row(void)
{
    tn_exec *e =
        tn_try(fc("num_hidden=2"), .wrt = "x w b",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6)},
                                   {"w", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 0, 0, 0, 1, 2)},
                                   {"b", TN_TENSOR(TN_F32, TN_DIMS(2), 10, 20)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 11, 28, 14, 37);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 2, 4, 3, 4, 8);       // dy · w
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 13, 17, 21, 18, 24, 30); // dyᵀ · x
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 4, 6);
    tn_exec_free(e);
}

static void fully_connected_flattens_all_axes_but_the_first(void)
{
    tn_exec *e = tn_try(
        tn_op("FullyConnected", "num_hidden=1; no_bias=True", tn_var("x"), tn_var("w")), .wrt = "x",
        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2), 1, 2, 3, 4)},
                            {"w", TN_TENSOR(TN_F32, TN_DIMS(1, 4), 1, 10, 100, 1000)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4321);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1), 2)});
    TN_CHECK_DIMS(tn_grad(e, "x"), 1, 2, 2);
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 2, 20, 200, 2000);
    tn_exec_free(e);
}

static void fully_connected_without_flatten_works_on_the_last_axis(void)
{
    tn_exec *e = tn_try(fc("num_hidden=1; flatten=False"),
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2), 1, 2, 3, 4)},
                                            {"w", TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 10)},
                                            {"b", TN_TENSOR(TN_F32, TN_DIMS(1), 0.5)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 21.5, 43.5);
    tn_exec_free(e);
}

static void fully_connected_of_an_empty_batch(void)
{
    tn_exec *e =
        tn_try(fc("num_hidden=2"), .wrt = "x w b",
               .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3))},
                                   {"w", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 0, 0, 0, 1, 2)},
                                   {"b", TN_TENSOR(TN_F32, TN_DIMS(2), 10, 20)}));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2))});
    TN_CHECK_DIMS(tn_grad(e, "x"), 0, 3);
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 0, 0, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 0, 0);
    tn_exec_free(e);
}

static void fully_connected_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("FullyConnected", "num_hidden=3", "2,4 3,4 3"),
                   TN_CASE("FullyConnected", "num_hidden=2", "2,2,2 2,4 2"),
                   TN_CASE("FullyConnected", "num_hidden=2; no_bias=1", "3,2 2,2"),
                   TN_CASE("FullyConnected", "num_hidden=2; flatten=0", "2,2,3 2,3 2"),
                   TN_CASE("FullyConnected", "num_hidden=1; flatten=0; no_bias=1", "3 1,3"),
                   TN_CASE("FullyConnected", "num_hidden=4; no_bias=1", "1,2,1,2 4,4"));
}

// lhs and rhs hold 1 2 3 …; the result is written out by hand.
static tn_exec *dot(const char *params, tn_dims lhs, tn_dims rhs)
{
    static const double count[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    tn_fresh();
    return tn_try(tn_op("dot", params, tn_var("a"), tn_var("b")),
                  .given = TN_TENSORS({"a", tn_tensor_from(bench.env, TN_F64, lhs, count)},
                                      {"b", tn_tensor_from(bench.env, TN_F64, rhs, count)}));
}

static void dot_contracts_last_with_first(void)
{
    tn_exec *e = dot(NULL, TN_DIMS(3), TN_DIMS(3));
    TN_CHECK_DIMS(tn_out(e, 0), 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 14);
    tn_exec_free(e);
    e = dot(NULL, TN_DIMS(2, 3), TN_DIMS(3, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 22, 28, 49, 64);
    tn_exec_free(e);
    e = dot(NULL, TN_DIMS(2, 3), TN_DIMS(3));
    TN_CHECK_DIMS(tn_out(e, 0), 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 14, 32);
    tn_exec_free(e);
    e = dot(NULL, TN_DIMS(2, 1, 2), TN_DIMS(2, 1, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 1, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 9, 12, 15, 19, 26, 33);
    tn_exec_free(e);
}

// transpose_a contracts the first axis of lhs, transpose_b the last of rhs: no swap of the last
// two.
static void dot_transposes_whole_matrices(void)
{
    tn_exec *e = dot("transpose_a=1", TN_DIMS(2, 3), TN_DIMS(2, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 13, 18, 17, 24, 21, 30);
    tn_exec_free(e);
    e = dot("transpose_b=1", TN_DIMS(2, 3), TN_DIMS(2, 3));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 14, 32, 32, 77);
    tn_exec_free(e);
    e = dot("transpose_a=1; transpose_b=1", TN_DIMS(2, 3), TN_DIMS(2, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 9, 19, 12, 26, 15, 33);
    tn_exec_free(e);
    e = dot("transpose_a=1", TN_DIMS(2, 1, 3), TN_DIMS(2, 1));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 3, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 9, 12, 15);
    tn_exec_free(e);
}

static void dot_over_an_empty_axis_is_zero(void)
{
    tn_exec *e = dot(NULL, TN_DIMS(2, 0), TN_DIMS(0, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 0);
    tn_exec_free(e);
    e = dot(NULL, TN_DIMS(0, 3), TN_DIMS(3, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2);
    tn_exec_free(e);
}

static void dot_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("dot", NULL, "3 3"), TN_CASE("dot", NULL, "2,3 3,2"), TN_CASE("dot", NULL, "2,3 3"),
        TN_CASE("dot", NULL, "3 3,2"), TN_CASE("dot", NULL, "2,2,3 3,1,2"),
        TN_CASE("dot", "transpose_a=1", "3,2 3,2"), TN_CASE("dot", "transpose_b=1", "2,3 4,3"),
        TN_CASE("dot", "transpose_a=1; transpose_b=1", "3,2 2,3"),
        TN_CASE("dot", "transpose_a=1", "3,2,2 3,2"), TN_CASE("dot", "transpose_b=1", "2,3 2,2,3"));
}

static void batch_dot_multiplies_each_pair(void)
{
    tn_exec *e =
        tn_try(tn_op("batch_dot", NULL, tn_var("a"), tn_var("b")), .wrt = "a b",
               .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2, 1, 2), 1, 2, 3, 4)},
                                   {"b", TN_TENSOR(TN_F32, TN_DIMS(2, 2, 1), 5, 6, 7, 8)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 17, 53);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 1, 1), 1, 10)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 5, 6, 70, 80);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 1, 2, 30, 40);
    tn_exec_free(e);
}

static void batch_dot_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("batch_dot", NULL, "2,2,3 2,3,2"),
                   TN_CASE("batch_dot", "transpose_a=1", "2,3,2 2,3,2"),
                   TN_CASE("batch_dot", "transpose_b=1", "2,2,3 2,4,3"),
                   TN_CASE("batch_dot", "transpose_a=1; transpose_b=1", "2,3,2 2,4,3"),
                   TN_CASE("batch_dot", NULL, "3,1,2 3,2,1"),
                   TN_CASE("batch_dot", "transpose_a=1", "1,1,3 1,1,2"));
}

// 0.5 + 2^-9 needs 9 bits behind the point: float16 keeps it, bfloat16 (8 bits in all) rounds.
static void products_of_16_bit_floats_are_rounded_once(void)
{
    static const struct {
        tn_dtype dtype;
        double y;
    } cases[] = {{TN_F16, 0.501953125}, {TN_BF16, 0.5}};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op("dot", NULL, tn_var("a"), tn_var("b")),
                   .given = TN_TENSORS(
                       {"a", TN_TENSOR(cases[i].dtype, TN_DIMS(3), 256, 0.5, 0.0625)},
                       {"b", TN_TENSOR(cases[i].dtype, TN_DIMS(3), 0.001953125, 0, 0.03125)}));
        TN_CHECK_VALUES(tn_out(e, 0), 0, cases[i].y);
        tn_exec_free(e);
    }
}

TN_TEST_MAIN(
    {"FullyConnected adds its bias to each row", fully_connected_adds_its_bias_to_each_row},
    {"FullyConnected flattens all axes but the first",
     fully_connected_flattens_all_axes_but_the_first},
    {"FullyConnected without flatten works on the last axis",
     fully_connected_without_flatten_works_on_the_last_axis},
    {"FullyConnected of an empty batch", fully_connected_of_an_empty_batch},
    {"FullyConnected gradients agree with differences",
     fully_connected_gradients_agree_with_differences},
    {"dot contracts last with first", dot_contracts_last_with_first},
    {"dot transposes whole matrices", dot_transposes_whole_matrices},
    {"dot over an empty axis is zero", dot_over_an_empty_axis_is_zero},
    {"dot gradients agree with differences", dot_gradients_agree_with_differences},
    {"batch_dot multiplies each pair", batch_dot_multiplies_each_pair},
    {"batch_dot gradients agree with differences", batch_dot_gradients_agree_with_differences},
    {"products of 16-bit floats are rounded once", products_of_16_bit_floats_are_rounded_once})
