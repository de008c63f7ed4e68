// tests/ops/test_pad.c: Pad and tile, as numpy.pad and numpy.tile.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *run(const char *op, const char *params, tn_tensor *x)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x")), .wrt = "x", .given = TN_TENSORS({"x", x}));
}

static tn_tensor *row(tn_dtype dtype)
{
    return TN_TENSOR(dtype, TN_DIMS(3), 1, 2, 3);
}

static void refused(const char *op, const char *params, tn_dims dims, const char *part)
{
    tn_fresh();
    tn_exec *e = tn_simple_bind(bench.g, tn_op(op, params, tn_var("x")), .backends = tn_backends(),
                                .shapes = TN_SHAPES({"x", dims}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    tn_exec_free(e);
    tn_graph_forgive(bench.g);
}

// ------------------------------------------------------------------ Pad

static void three_ways_to_pad_a_row(void)
{
    tn_exec *e = run("Pad", "mode=constant; pad_width=(1,2); constant_value=9", row(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 9, 1, 2, 3, 9, 9);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(6), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 2, 3, 4);
    tn_exec_free(e);
    e = run("pad", "mode=edge; pad_width=(1,2)", row(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1, 2, 3, 3, 3);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(6), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 3, 15);
    tn_exec_free(e);
    e = run("Pad", "mode=reflect; pad_width=(2,1)", row(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 2, 1, 2, 3, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(6), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 12, 6); // 3 from 1: itself; 2 from 2 4 6; 3 from 1 5
    tn_exec_free(e);
}

// numpy.pad([1,2,3], (5,6), mode="reflect"), and of a single element
static void reflections_run_to_and_fro(void)
{
    tn_exec *e = run("Pad", "mode=reflect; pad_width=(5,6)", row(TN_I64));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2, 1);
    tn_exec_free(e);
    e = run("Pad", "mode=reflect; pad_width=(2,1)", TN_TENSOR(TN_F32, TN_DIMS(1), 7));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 7, 7, 7, 7);
    tn_exec_free(e);
}

// Rows and columns: numpy.pad([[1,2],[3,4]], ((1,0),(0,1)), mode)
static void each_axis_has_its_own_pads(void)
{
    static const struct {
        const char *params;
        double y[9];
    } cases[] = {{"mode=constant; pad_width=(1,0,0,1)", {0, 0, 0, 1, 2, 0, 3, 4, 0}},
                 {"mode=edge; pad_width=(1,0,0,1)", {1, 2, 2, 1, 2, 2, 3, 4, 4}},
                 {"mode=reflect; pad_width=(1,0,0,1)", {3, 4, 3, 1, 2, 1, 3, 4, 3}}};
    static const tn_dtype dtypes[] = {TN_F32, TN_F16, TN_BF16, TN_U8, TN_I32};
    for (int d = 0; d < 5; d++) {
        for (int i = 0; i < 3; i++) {
            tn_exec *e =
                run("Pad", cases[i].params, TN_TENSOR(dtypes[d], TN_DIMS(2, 2), 1, 2, 3, 4));
            TN_CHECK_DIMS(tn_out(e, 0), 3, 3);
            tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, 9, 0);
            tn_exec_free(e);
        }
    }
}

// As MXNet's layer has it: the spatial axes of images.
static void images_are_padded(void)
{
    tn_exec *e = run("Pad", "mode=constant; pad_width=(0,0,0,0,1,0,0,1); constant_value=-1",
                     TN_TENSOR(TN_F32, TN_DIMS(2, 1, 1, 2), 1, 2, 3, 4));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 2, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -1, -1, 1, 2, -1, -1, -1, -1, 3, 4, -1);
    tn_exec_free(e);
}

static void a_constant_may_be_infinite(void)
{
    tn_exec *e = run("Pad", "mode=constant; pad_width=(1,0); constant_value=-inf", row(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -INFINITY, 1, 2, 3);
    tn_exec_free(e);
}

static void no_pad_and_no_elements(void)
{
    tn_exec *e = run("Pad", "mode=edge; pad_width=(0,0)", row(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3);
    tn_exec_free(e);
    e = run("Pad", "mode=constant; pad_width=(1,1,0,0); constant_value=5",
            tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2)));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 5, 5, 5);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 1, 1, 1)});
    TN_CHECK_DIMS(tn_grad(e, "x"), 0, 2);
    tn_exec_free(e);
    static const char *const modes[] = {"mode=constant; pad_width=(0,0,1,2)",
                                        "mode=constant; pad_width=(0,0,1,2); constant_value=3",
                                        "mode=edge; pad_width=(0,0,1,2)",
                                        "mode=reflect; pad_width=(0,0,1,2)"};
    for (int i = 0; i < 4; i++) {
        e = run("Pad", modes[i], tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2)));
        TN_CHECK_DIMS(tn_out(e, 0), 0, 5);
        tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 5))});
        TN_CHECK_DIMS(tn_grad(e, "x"), 0, 2);
        tn_exec_free(e);
    }
}

static void pads_that_cannot_be(void)
{
    refused("Pad", "mode=edge; pad_width=(1,0,1)", TN_DIMS(2, 2), "two entries for each axis");
    refused("Pad", "mode=edge; pad_width=(1,0)", TN_DIMS(2, 2), "data");
    refused("Pad", "mode=edge; pad_width=(1,0,0,0)", TN_DIMS(0, 2), "no element to repeat");
    refused("Pad", "mode=wrap; pad_width=(1,0)", TN_DIMS(2), "constant");
    refused("Pad", "mode=edge; pad_width=(-1,0)", TN_DIMS(2), "pad_width");
    refused("Pad", "mode=edge", TN_DIMS(2), "pad_width");
    refused("Pad", "pad_width=(1,1)", TN_DIMS(2), "mode");
}

static void pad_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("Pad", "mode=constant; pad_width=(1,2)", "3"),
        TN_CASE("Pad", "mode=constant; pad_width=(0,0,1,2,0,1); constant_value=2", "2,2,3"),
        TN_CASE("Pad", "mode=edge; pad_width=(0,0,0,0,2,1,1,3)", "1,2,2,3"),
        TN_CASE("Pad", "mode=edge; pad_width=(1,1,4,0)", "2,1"),
        TN_CASE("Pad", "mode=reflect; pad_width=(0,0,2,1)", "2,3"),
        TN_CASE("Pad", "mode=reflect; pad_width=(5,1,0,0,1,4)", "3,1,2"),
        TN_CASE("Pad", "mode=reflect; pad_width=(0,0,0,0,1,1,0,0,1,2)", "1,1,2,2,3"));
}

// ------------------------------------------------------------------ tile

static void tile_repeats_the_whole(void)
{
    tn_exec *e = run("tile", "reps=(2,)", row(TN_F32));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 1, 2, 3);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(6), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 5, 7, 9);
    tn_exec_free(e);
    e = run("tile", "reps=(2,2)", TN_TENSOR(TN_I8, TN_DIMS(2, 2), 1, 2, 3, 4));
    TN_CHECK_DIMS(tn_out(e, 0), 4, 4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4);
    tn_exec_free(e);
}

// Missing axes and missing entries stand in front.
static void reps_may_be_longer_or_shorter(void)
{
    tn_exec *e = run("tile", "reps=(2,1,2)", TN_TENSOR(TN_F16, TN_DIMS(2), 1, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 1, 2, 1, 2, 1, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F16, TN_DIMS(2, 1, 4), 1, 2, 3, 4, 5, 6, 7, 8)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 16, 20);
    tn_exec_free(e);
    e = run("tile", "reps=2", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 1, 2, 3, 4, 3, 4);
    tn_exec_free(e);
    e = run("tile", "reps=()", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2);
    tn_exec_free(e);
    e = run("tile", "reps=(1,2,1,1,1,1,1,1)",
            TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 1, 1, 1, 1, 2), 1, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 1, 1, 1, 1, 1, 2);
    tn_exec_free(e);
}

static void tiles_of_nothing(void)
{
    tn_exec *e = run("tile", "reps=(2,0)", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 0);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0))});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0);
    tn_exec_free(e);
    e = run("tile", "reps=(2,3)", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2)));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 6);
    tn_exec_free(e);
    refused("tile", "reps=(-1,)", TN_DIMS(2), "reps");
    refused("tile", NULL, TN_DIMS(2), "reps");
}

static void tile_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("tile", "reps=3", "4"), TN_CASE("tile", "reps=(2,3)", "2,2"),
                   TN_CASE("tile", "reps=(2,1,2)", "3"), TN_CASE("tile", "reps=2", "2,1,3"),
                   TN_CASE("tile", "reps=(1,2,1,2)", "2,2,1,2"),
                   TN_CASE("tile", "reps=(2,2,2,2,2)", "1,2,1,2,1"));
}

static void extents_are_inferred_both_ways(void)
{
    tn_fresh();
    const tn_symbol x = tn_var("x"), y = tn_op("Pad", "mode=edge; pad_width=(0,0,1,2)", x);
    const tn_symbol like = tn_op("elemwise_add", NULL, y, tn_var("z"));
    const tn_shape_result *r = tn_infer_shape(bench.g, like, TN_SHAPES({"z", TN_DIMS(4, 6)}));
    CU_ASSERT(r && r->complete && r->args[0].shape.dim[0] == 4 && r->args[0].shape.dim[1] == 3);
    tn_fresh();
    const tn_symbol t =
        tn_op("tile", "reps=(3,2)", tn_variable(bench.g, "x", .shape = TN_DIMS(-1, 5)));
    r = tn_infer_shape(bench.g, tn_op("elemwise_add", NULL, t, tn_var("z")),
                       TN_SHAPES({"z", TN_DIMS(6, 10)}));
    CU_ASSERT(r && r->complete && r->args[0].shape.dim[0] == 2);
}

TN_TEST_MAIN({"three ways to pad a row", three_ways_to_pad_a_row},
             {"reflections run to and fro", reflections_run_to_and_fro},
             {"each axis has its own pads", each_axis_has_its_own_pads},
             {"images are padded", images_are_padded},
             {"a constant may be infinite", a_constant_may_be_infinite},
             {"no pad and no elements", no_pad_and_no_elements},
             {"pads that cannot be", pads_that_cannot_be},
             {"Pad gradients agree with differences", pad_gradients_agree_with_differences},
             {"tile repeats the whole", tile_repeats_the_whole},
             {"reps may be longer or shorter", reps_may_be_longer_or_shorter},
             {"tiles of nothing", tiles_of_nothing},
             {"tile gradients agree with differences", tile_gradients_agree_with_differences},
             {"extents are inferred both ways", extents_are_inferred_both_ways})
