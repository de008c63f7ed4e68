// tests/ops/test_moves.c: transpose, SwapAxis, Concat, SliceChannel, stack, slice, slice_axis.
#include "tests/tn_numeric.h"

static tn_exec *move(const char *op, const char *params, tn_dims dims)
{
    static const double x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x")), .wrt = "x",
                  .given = TN_TENSORS({"x", tn_tensor_from(bench.env, TN_F32, dims, x)}));
}

static void transpose_permutes_axes(void)
{
    tn_exec *e = move("transpose", NULL, TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 4, 2, 5, 3, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 3, 5, 2, 4, 6);
    tn_exec_free(e);
    e = move("transpose", "axes=(1,0,2)", TN_DIMS(2, 3, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 7, 8, 3, 4, 9, 10, 5, 6, 11, 12);
    tn_exec_free(e);
    e = move("transpose", "axes=(2,0,1)", TN_DIMS(1, 2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 4, 2, 5, 3, 6);
    tn_exec_free(e);
    e = move("transpose", NULL, TN_DIMS(0, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 0);
    tn_exec_free(e);
}

static void swap_axis_exchanges_two(void)
{
    tn_exec *e = move("SwapAxis", "dim1=0; dim2=2", TN_DIMS(2, 1, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 4, 2, 5, 3, 6);
    tn_exec_free(e);
}

static void moves_keep_every_bit_of_every_dtype(void)
{
    static const tn_dtype dtypes[] = {TN_F64, TN_F16, TN_BF16, TN_I8,
                                      TN_U8,  TN_I32, TN_I64,  TN_BOOL};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op("transpose", NULL, tn_var("x")),
                   .given = TN_TENSORS({"x", TN_TENSOR(dtypes[i], TN_DIMS(2, 2), 0, 1, 0, 1)}));
        TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 1, 1);
        CU_ASSERT_EQUAL(tn_tensor_dtype(tn_out(e, 0)), dtypes[i]);
        tn_exec_free(e);
    }
}

static void concat_joins_along_an_axis(void)
{
    const tn_symbol y = tn_op("Concat", "num_args=2; dim=1", tn_var("a"), tn_var("b"));
    tn_exec *e = tn_try(y, .wrt = "a b",
                        .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2, 1), 1, 2)},
                                            {"b", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 3, 4, 5, 6)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 3, 4, 2, 5, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 1, 4);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 2, 3, 5, 6);
    tn_exec_free(e);
}

static void concat_skips_empty_parts(void)
{
    const tn_symbol y = tn_op("Concat", "num_args=3; dim=0", tn_var("a"), tn_var("b"), tn_var("c"));
    tn_exec *e =
        tn_try(y, .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 2)},
                                      {"b", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2))},
                                      {"c", TN_TENSOR(TN_F32, TN_DIMS(1, 2), 3, 4)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4);
    tn_exec_free(e);
}

static void slice_channel_cuts_equal_parts(void)
{
    tn_exec *e = move("SliceChannel", "num_outputs=3", TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 2), 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 4);
    TN_CHECK_VALUES(tn_out(e, 2), 0, 3, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 1), 1, 2)},
            {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 1), 3, 4)},
            {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 1), 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 3, 5, 2, 4, 6);
    tn_exec_free(e);
    e = move("SliceChannel", "num_outputs=2; axis=-2; squeeze_axis=1", TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 1), 3);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 4, 5, 6);
    tn_exec_free(e);
}

static void stack_adds_an_axis(void)
{
    static const struct {
        const char *params;
        int64_t dims[2];
        double y[4];
    } cases[] = {{"num_args=2", {2, 2}, {1, 2, 3, 4}},
                 {"num_args=2; axis=-1", {2, 2}, {1, 3, 2, 4}}};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op("stack", cases[i].params, tn_var("a"), tn_var("b")),
                            .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)},
                                                {"b", TN_TENSOR(TN_F32, TN_DIMS(2), 3, 4)}));
        tn_check_dims(__LINE__, __FILE__, tn_out(e, 0), (tn_dims){2, cases[i].dims});
        tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, 4, 0);
        tn_exec_free(e);
    }
}

static void slice_takes_a_box(void)
{
    tn_exec *e = move("slice", "begin=(0,1); end=(2,3)", TN_DIMS(2, 3));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 3, 5, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 1, 2, 0, 3, 4);
    tn_exec_free(e);
    e = move("slice", "begin=(None,-2); end=(-1,None)", TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 3);
    tn_exec_free(e);
    e = move("slice", "begin=(1,); end=(2,)", TN_DIMS(2, 3)); // other axes stay whole
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4, 5, 6);
    tn_exec_free(e);
    e = move("crop", "begin=(1,1); end=(1,3)", TN_DIMS(2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2);
    tn_exec_free(e);
}

static void slice_may_step_and_go_backwards(void)
{
    tn_exec *e = move("slice", "begin=(None,); end=(None,); step=(2,)", TN_DIMS(5));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 3, 5);
    tn_exec_free(e);
    e = move("slice", "begin=(None,None); end=(None,None); step=(-1,-2)", TN_DIMS(2, 3));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 4, 3, 1);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 4, 0, 3, 2, 0, 1);
    tn_exec_free(e);
    e = move("slice", "begin=(3,); end=(0,); step=(-1,)", TN_DIMS(5));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 4, 3, 2);
    tn_exec_free(e);
}

static void slice_axis_takes_a_range(void)
{
    tn_exec *e = move("slice_axis", "axis=1; begin=1; end=3", TN_DIMS(2, 3));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 3, 5, 6);
    tn_exec_free(e);
    e = move("slice_axis", "axis=-1; begin=-2; end=None", TN_DIMS(2, 3));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 3, 5, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 1, 2, 0, 3, 4);
    tn_exec_free(e);
    e = move("slice_axis", "axis=0; begin=0; end=-1", TN_DIMS(3, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("transpose", NULL, "2,3"), TN_CASE("transpose", "axes=(1,2,0)", "2,3,2"),
                   TN_CASE("transpose", "axes=(0,1)", "3,2"),
                   TN_CASE("transpose", "axes=(3,1,0,2)", "2,1,3,2"),
                   TN_CASE("transpose", NULL, "4"), TN_CASE("SwapAxis", "dim1=1; dim2=2", "2,3,2"),
                   TN_CASE("SwapAxis", "dim1=0; dim2=1", "3,1"),
                   TN_CASE("SwapAxis", "dim1=2; dim2=0", "1,2,3"),
                   TN_CASE("SwapAxis", "dim1=0; dim2=1", "2,2,2"),
                   TN_CASE("SwapAxis", "dim1=1; dim2=3", "1,2,2,3"),
                   TN_CASE("Concat", "num_args=3; dim=1", "2,1 2,2 2,3"),
                   TN_CASE("Concat", "num_args=2; dim=0", "1,2,2 2,2,2"),
                   TN_CASE("SliceChannel", "num_outputs=2", "2,4"),
                   TN_CASE("SliceChannel", "num_outputs=3; axis=0; squeeze_axis=1", "3,2"),
                   TN_CASE("stack", "num_args=2; axis=1", "2,2 2,2"),
                   TN_CASE("slice", "begin=(0,1); end=(2,3)", "2,4"),
                   TN_CASE("slice", "begin=(None,None); end=(None,None); step=(-1,2)", "3,4"),
                   TN_CASE("slice_axis", "axis=1; begin=1; end=None", "2,3,2"));
}

TN_TEST_MAIN({"transpose permutes axes", transpose_permutes_axes},
             {"SwapAxis exchanges two", swap_axis_exchanges_two},
             {"moves keep every bit of every dtype", moves_keep_every_bit_of_every_dtype},
             {"Concat joins along an axis", concat_joins_along_an_axis},
             {"Concat skips empty parts", concat_skips_empty_parts},
             {"SliceChannel cuts equal parts", slice_channel_cuts_equal_parts},
             {"stack adds an axis", stack_adds_an_axis}, {"slice takes a box", slice_takes_a_box},
             {"slice may step and go backwards", slice_may_step_and_go_backwards},
             {"slice_axis takes a range", slice_axis_takes_a_range},
             {"gradients agree with differences", gradients_agree_with_differences})
