// tests/ops/test_grid.c: GridGenerator, BilinearSampler, SpatialTransformer.
#include <math.h>

#include "lattice.h"

// The identity gives the coordinates themselves: x runs fastest, y is the second channel.
static void the_affine_identity_is_a_regular_grid(void)
{
    const tn_symbol grid =
        tn_op("GridGenerator", "transform_type=affine; target_shape=(2,3)", tn_var("theta"));
    TN_CHECK_NAMES(tn_outputs(bench.g, grid), "gridgenerator0_output");
    tn_exec *e = tn_try(
        grid, .given = TN_TENSORS({"theta", TN_TENSOR(TN_F32, TN_DIMS(1, 6), 1, 0, 0, 0, 1, 0)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 2, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, 0, 1, -1, 0, 1, -1, -1, -1, 1, 1, 1);
    tn_exec_free(e);
}

// Values of an independent calculation.
static void affine_multiplies_by_the_matrix(void)
{
    tn_exec *e =
        tn_try(tn_op("GridGenerator", "transform_type=affine; target_shape=(2,3)", tn_var("theta")),
               .given = TN_TENSORS(
                   {"theta", TN_TENSOR(TN_F64, TN_DIMS(1, 6), .8, .1, -.2, -.3, .9, .15)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, -1.1, -0.3, 0.5, -0.9, -0.1, 0.7, -0.45, -0.75, -1.05,
                    1.35, 1.05, 0.75);
    tn_exec_free(e);
}

// No flow: a point stays. One point to the right is 2 / (W - 1) = 1, half a point down is 1.
static void warp_moves_by_points(void)
{
    tn_exec *e = tn_try(
        tn_op("GridGenerator", "transform_type=warp", tn_var("flow")),
        .given = TN_TENSORS({"flow", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2, 3), 0, 0, 0, 1, 1, 1, //
                                               0, 0.5, 0, 0, 0, 0.5)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, 0, 1, 0, 1, 2, -1, 0, -1, 1, 1, 2);
    tn_exec_free(e);
}

// Where an axis has one point only its coordinate is 0, and a flow along it says nothing.
static void an_axis_of_one_point_has_the_coordinate_0(void)
{
    tn_exec *e =
        tn_try(tn_op("GridGenerator", "transform_type=affine; target_shape=(1,2)", tn_var("theta")),
               .given = TN_TENSORS({"theta", TN_TENSOR(TN_F32, TN_DIMS(1, 6), 1, 0, 0, 0, 1, 0)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, 1, 0, 0);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("GridGenerator", "transform_type=warp", tn_var("flow")),
               .given = TN_TENSORS({"flow", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1, 2), 0, 0, 3, 4)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, 1, 0, 0);
    tn_exec_free(e);
}

static void affine_needs_a_target(void)
{
    tn_op("GridGenerator", "transform_type=affine", tn_var("theta"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "target_shape: wanted (height, width), both at least 1");
    tn_fresh();
    tn_op("GridGenerator", "transform_type=affine; target_shape=(3,0)", tn_var("theta"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "target_shape: wanted (height, width), both at least 1");
    tn_fresh();
    tn_op("SpatialTransformer", "transform_type=affine; sampler_type=bilinear", tn_var("x"),
          tn_var("loc"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "target_shape: wanted (height, width), both at least 1");
}

static tn_exec *sampled(tn_tensor *data, tn_tensor *grid)
{
    tn_fresh();
    return tn_try(tn_op("BilinearSampler", NULL, tn_var("x"), tn_var("grid")), .wrt = "x grid",
                  .given = TN_TENSORS({"x", data}, {"grid", grid}));
}

// Positions of an image of 2 x 2: corner, centre, half a point beyond the right edge, far away, no
// number, infinity.
static void sampler_is_linear_inside_and_0_outside(void)
{
    tn_exec *e = sampled(TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2, 2), 1, 2, 3, 4),
                         TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1, 6), -1, 0, 2, 50, NAN, INFINITY, //
                                   -1, 0, -1, 0, 0, -INFINITY));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 1, 6);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2.5, 1, 0, 0, 0);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 6), 1, 4, 2, 1, 1, 1)});
    // Each takes dy by its weights: 1; a quarter of 4 for all; half of 2 for the upper right.
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 2, 2, 1, 1);
    // Slopes towards higher x: (2 - 1) / 2; dy 4 · (average of 1 and 1) / 2; 2 · -2 / 2. In y:
    // (3 - 1) / 2, 4 · 2 / 2, 2 · (0.5 · 4 - 0.5 · 2) / 2.
    TN_CHECK_VALUES(tn_grad(e, "grid"), 0, 0.5, 2, -2, 0, 0, 0, 1, 4, 1, 0, 0, 0);
    tn_exec_free(e);
}

// What is infinite in data does not leak out of places that nobody looks at.
static void infinities_stay_where_they_are(void)
{
    tn_exec *e = sampled(TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 3), INFINITY, 1, 2),
                         TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1, 3), 0.5, 1.5, -3, 0, 0, 0));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1.5, 1, 0);
    tn_exec_free(e);
}

// Values of an independent calculation, which adds up all points with their weights.
static void sampler_agrees_with_the_formula(void)
{
    tn_exec *e = sampled(lattice(TN_DIMS(1, 2, 3, 4), 7, 11),
                         TN_TENSOR(TN_F64, TN_DIMS(1, 2, 2, 3), -.9, -.3, .2, 1.1, .5, -1.2, //
                                   -.7, .1, .6, 1.3, .9, -.4));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 2.355, 2.895, 5.92, 0, 3.5, 2.52, 5.395, 8.3, 2.8, 4.165,
                    1.975, 2.8);
    tn_exec_free(e);
}

// The hidden output is the grid with x and y side by side; half types are calculated in float32.
static void sampler_has_tmp_and_takes_halves(void)
{
    const tn_dtype halves[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        tn_exec *e = sampled(TN_TENSOR(halves[i], TN_DIMS(1, 1, 2, 2), 1, 2, 3, 4),
                             TN_TENSOR(halves[i], TN_DIMS(1, 2, 1, 2), -1, 0, -1, 0));
        TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2.5);
        tn_exec_free(e);
    }
    tn_fresh();
    const tn_symbol y = tn_op("BilinearSampler", NULL, tn_var("x"), tn_var("grid"));
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "bilinearsampler0_output");
    const tn_symbol tmp = {y.node, 1, y.graph};
    tn_exec *e = tn_try(
        tn_group(bench.g, TN_SYMS(y, tmp)),
        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2, 2), 1, 2, 3, 4)},
                            {"grid", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1, 2), -1, 0, 0.5, 1)}));
    TN_CHECK_DIMS(tn_out(e, 1), 1, 1, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 1), 0, -1, 0.5, 0, 1);
    tn_exec_free(e);
}

static void empty_grids_and_images(void)
{
    tn_exec *e = sampled(TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2, 2), 1, 2, 3, 4),
                         tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 2, 0, 3)));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 0, 3);
    tn_exec_free(e);
    e = sampled(tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 1, 0, 2)),
                TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1, 1), 0, 0));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0);
    tn_exec_free(e);
}

// Half of the grid's width, moved to the right: columns 1, 1.5 and 2 of an image of 3.
static void transformer_zooms(void)
{
    const tn_symbol y = tn_op("SpatialTransformer",
                              "transform_type=affine; sampler_type=bilinear; "
                              "target_shape=(1,3)",
                              tn_var("x"), tn_var("loc"));
    const tn_symbol dst = tn_op("BlockGrad", NULL, (tn_symbol){y.node, 1, y.graph});
    const tn_symbol src = tn_op("BlockGrad", NULL, (tn_symbol){y.node, 2, y.graph});
    tn_exec *e =
        tn_try(tn_group(bench.g, TN_SYMS(y, dst, src)), .wrt = "x loc",
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 3), 10, 20, 40)},
                                   {"loc", TN_TENSOR(TN_F32, TN_DIMS(1, 6), .5, 0, .5, 0, 1, 0)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 1, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 20, 30, 40);
    TN_CHECK_DIMS(tn_out(e, 1), 3, 3);
    TN_CHECK_VALUES(tn_out(e, 1), 0, -1, 0, 1, 0, 0, 0, 1, 1, 1);
    TN_CHECK_DIMS(tn_out(e, 2), 1, 2, 3);
    TN_CHECK_VALUES(tn_out(e, 2), 0, 0, 0.5, 1, 0, 0, 0);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 3), 1, 1, 0)},
            {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(3, 3))},
            {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 2, 3))});
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-6, 0, 1.5, 0.5);
    // Slopes 20 each: Σ dy · slope · (x, y, 1) with x = -1, 0
    TN_CHECK_VALUES(tn_grad(e, "loc"), 1e-6, -20, 0, 40, 0, 0, 0);
    tn_exec_free(e);
}

static void transformer_agrees_with_the_formula(void)
{
    const tn_symbol y = tn_op("SpatialTransformer",
                              "transform_type=affine; sampler_type=bilinear; "
                              "target_shape=(2,3)",
                              tn_var("x"), tn_var("loc"));
    tn_exec *e = tn_try(y, .given = TN_TENSORS({"x", lattice(TN_DIMS(1, 2, 3, 4), 7, 11)},
                                               {"loc", TN_TENSOR(TN_F64, TN_DIMS(1, 6), .8, .1, -.2,
                                                                 -.3, .9, .15)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 2.805, 5.6875, 4.5125, 1.3325, 6.27, 3.05, 3.6125, 4.7125,
                    8.55, 4.81, 2.47, 3.5875);
    tn_exec_free(e);
    tn_fresh();
    const tn_symbol made = tn_op("SpatialTransformer",
                                 "transform_type=affine; "
                                 "sampler_type=bilinear; target_shape=(2,3)",
                                 tn_var("x"));
    TN_CHECK_NAMES(tn_arguments(bench.g, made), "x spatialtransformer0_loc");
    TN_CHECK_NAMES(tn_outputs(bench.g, made), "spatialtransformer0_output");
}

#define AFFINE "transform_type=affine; target_shape="
#define TRANSFORM "sampler_type=bilinear; " AFFINE

// An image of 301 points, the squares of which are too large for float16.
static void wide_images_in_halves(void)
{
    tn_tensor *flow = tn_tensor_new(bench.env, TN_F16, TN_DIMS(1, 2, 1, 301));
    tn_exec *e = tn_try(tn_op("GridGenerator", "transform_type=warp", tn_var("x")), .wrt = "x",
                        .given = TN_TENSORS({"x", flow}));
    TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 0), -1, 0);
    TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 150), 0, 0);
    TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 225), 0.5, 0);
    TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 300), 1, 0);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("GridGenerator", AFFINE "(2,3)", "2,6"),
                   TN_CASE("GridGenerator", AFFINE "(1,4)", "1,6"),
                   TN_CASE("GridGenerator", AFFINE "(3,1)", "2,6"),
                   TN_CASE("GridGenerator", "transform_type=warp", "2,2,3,4"),
                   TN_CASE("GridGenerator", "transform_type=warp", "1,2,1,3"),
                   TN_CASE("GridGenerator", "transform_type=warp", "2,2,2,1"));
    TN_CHECK_CASES(TN_CASE("BilinearSampler", NULL, "1,1,3,4 1,2,2,3", .lo = -0.9, .hi = 0.9),
                   TN_CASE("BilinearSampler", NULL, "2,2,3,4 2,2,2,2", .lo = -1.4, .hi = 1.4),
                   TN_CASE("BilinearSampler", NULL, "2,3,4,2 2,2,1,3", .lo = -1.2, .hi = 1.2),
                   TN_CASE("BilinearSampler", NULL, "1,2,1,5 1,2,2,2", .lo = -0.9, .hi = 0.9),
                   TN_CASE("BilinearSampler", NULL, "2,1,5,5 2,2,3,1", .lo = -3, .hi = 3));
    TN_CHECK_CASES(
        TN_CASE("SpatialTransformer", TRANSFORM "(2,3)", "1,1,3,4 1,6", .lo = -0.7, .hi = 0.7),
        TN_CASE("SpatialTransformer", TRANSFORM "(3,2)", "2,2,4,3 2,6", .lo = -0.7, .hi = 0.7),
        TN_CASE("SpatialTransformer", TRANSFORM "(1,4)", "2,1,3,3 2,6", .lo = -1, .hi = 1),
        TN_CASE("SpatialTransformer", TRANSFORM "(4,1)", "1,3,5,4 1,6", .lo = -0.5, .hi = 0.5),
        TN_CASE("SpatialTransformer", TRANSFORM "(2,2)", "2,2,6,5 2,6", .lo = -1.3, .hi = 1.3));
}

// The machinery: every way to go beyond the points, slopes, and their transposes.
static void gradients_of_lookups_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("_bilinear", NULL, "2,2,3,4 2,1,5 2,1,5", .lo = -1.5, .hi = 4.3),
        TN_CASE("_bilinear", "beyond=edge", "2,2,3,4 2,1,2,3 2,1,2,3", .lo = -0.4, .hi = 3.6),
        TN_CASE("_bilinear", "beyond=half; by_plane=1", "2,2,3,4 3,2 3,2 3,2", .lo = -0.4,
                .hi = 3.6, .fixed = "3"),
        TN_CASE("_bilinear", "order_y=1; normalized=1", "1,2,3,4 1,1,4 1,1,4", .lo = -0.9,
                .hi = 0.9),
        TN_CASE("_bilinear", "order_y=1; order_x=1; beyond=edge", "1,2,3,4 1,1,4 1,1,4", .lo = 0.1,
                .hi = 2.9));
    TN_CHECK_CASES(TN_CASE("_backward_bilinear", NULL, "2,2,5 2,1,5 2,1,5 2,2,3,4", .lo = -1.5,
                           .hi = 4.3, .fixed = "3"),
                   TN_CASE("_backward_bilinear", "beyond=edge", "2,2,5 2,1,5 2,1,5 2,2,3,4",
                           .lo = 0.1, .hi = 2.9, .fixed = "3"),
                   TN_CASE("_backward_bilinear", "beyond=half; by_plane=1",
                           "3,2 3,2 3,2 2,2,3,4 3,2", .lo = 0.1, .hi = 2.9, .fixed = "3 4"),
                   TN_CASE("_backward_bilinear", "order_x=1", "2,2,5 2,1,5 2,1,5 2,2,3,4",
                           .lo = 0.1, .hi = 2.9, .fixed = "3"),
                   TN_CASE("_backward_bilinear", "normalized=1; order_y=1; order_x=1",
                           "1,2,5 1,1,5 1,1,5 1,2,3,4", .lo = -0.9, .hi = 0.9, .fixed = "3"));
    TN_CHECK_CASES(TN_CASE("_cast_as", NULL, "2,3 4", .fixed = "1"),
                   TN_CASE("_cast_as", NULL, "4 2,3", .fixed = "1"),
                   TN_CASE("_cast_as", NULL, "2,1,3 1", .fixed = "1"),
                   TN_CASE("_cast_as", NULL, "1 2", .fixed = "1"),
                   TN_CASE("_cast_as", NULL, "5 5", .fixed = "1"));
    TN_CHECK_CASES(TN_CASE("_wide", NULL, "2,3"), TN_CASE("_wide", NULL, "4"),
                   TN_CASE("_wide", NULL, "1,2,3"), TN_CASE("_wide", NULL, "2,2,1,2"),
                   TN_CASE("_wide", NULL, "1"));
    TN_CHECK_CASES(TN_CASE("_narrow", NULL, "2,3 4", .fixed = "1"),
                   TN_CASE("_narrow", NULL, "4 2,3", .fixed = "1"),
                   TN_CASE("_narrow", NULL, "2,1,3 1", .fixed = "1"),
                   TN_CASE("_narrow", NULL, "1 2", .fixed = "1"),
                   TN_CASE("_narrow", NULL, "5 5", .fixed = "1"));
}

TN_TEST_MAIN(
    {"wide images in halves", wide_images_in_halves},
    {"the affine identity is a regular grid", the_affine_identity_is_a_regular_grid},
    {"affine multiplies by the matrix", affine_multiplies_by_the_matrix},
    {"warp moves by points", warp_moves_by_points},
    {"an axis of one point has the coordinate 0", an_axis_of_one_point_has_the_coordinate_0},
    {"affine needs a target", affine_needs_a_target},
    {"sampler is linear inside and 0 outside", sampler_is_linear_inside_and_0_outside},
    {"infinities stay where they are", infinities_stay_where_they_are},
    {"sampler agrees with the formula", sampler_agrees_with_the_formula},
    {"sampler has tmp and takes halves", sampler_has_tmp_and_takes_halves},
    {"empty grids and images", empty_grids_and_images}, {"transformer zooms", transformer_zooms},
    {"transformer agrees with the formula", transformer_agrees_with_the_formula},
    {"gradients agree with differences", gradients_agree_with_differences},
    {"gradients of lookups agree with differences", gradients_of_lookups_agree_with_differences})
