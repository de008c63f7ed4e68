// tests/passes/test_op_shapes_vision.c: shape rules of vision operators, both directions. Values
// were worked out by hand.
#include "op_cases.h"

#define AFFINE "transform_type=affine; target_shape=(4,5)"
#define TRANSFORM "sampler_type=bilinear; " AFFINE
#define WARP "transform_type=warp"

static void grids(void)
{
    OP_SHAPES({"GridGenerator", AFFINE, "(2,6) ->", "(2,6) -> (2,2,4,5) (3,20)"},
              {"GridGenerator", AFFINE, "? -> (7,?,?,?)", "(7,6) -> (7,2,4,5) (3,20)"},
              {"GridGenerator", AFFINE, "? ->", "(?,6) -> (?,2,4,5) (3,20)"},
              {"GridGenerator", AFFINE, "(2,5) ->", "!data: shape"},
              {"GridGenerator", WARP, "(2,2,3,4) ->", "(2,2,3,4) -> (2,2,3,4) (2,3,4)"},
              {"GridGenerator", WARP, "(5,?,?,?) -> ? (?,3,4)", "(5,2,3,4) -> (5,2,3,4) (2,3,4)"},
              {"GridGenerator", WARP, "(?,?,0,4) -> (1,?,?,?)", "(1,2,0,4) -> (1,2,0,4) (2,0,4)"},
              {"GridGenerator", WARP, "(2,3,3,4) ->", "!data: shape"});
    OP_SHAPES({"BilinearSampler", NULL, "(2,3,4,5) (?,?,6,7) ->",
               "(2,3,4,5) (2,2,6,7) -> (2,3,6,7) (2,6,7,2)"},
              {"BilinearSampler", NULL, "(?,?,4,5) ? -> (2,3,6,7)",
               "(2,3,4,5) (2,2,6,7) -> (2,3,6,7) (2,6,7,2)"},
              {"BilinearSampler", NULL, "(?,3,4,5) ? -> ? (2,6,7,?)",
               "(2,3,4,5) (2,2,6,7) -> (2,3,6,7) (2,6,7,2)"},
              {"BilinearSampler", NULL, "(2,3,4,5) (3,2,6,7) ->", "!shape"},
              {"BilinearSampler", NULL, "(2,3,4,5) (2,3,6,7) ->", "!grid: shape"},
              {"SpatialTransformer", TRANSFORM, "(2,3,8,9) ? ->",
               "(2,3,8,9) (2,6) -> (2,3,4,5) (3,20) (2,2,20)"},
              {"SpatialTransformer", TRANSFORM, "(?,?,8,9) (7,?) -> (?,3,?,?)",
               "(7,3,8,9) (7,6) -> (7,3,4,5) (3,20) (7,2,20)"},
              {"SpatialTransformer", TRANSFORM, "(2,3,8,9) (3,6) ->", "!shape"});
}

static void lookups(void)
{
    OP_SHAPES({"_bilinear", NULL, "(2,3,4,5) (?,?,7) ? ->", "(2,3,4,5) (2,1,7) (2,1,7) -> (2,3,7)"},
              {"_bilinear", NULL, "(?,?,4,5) ? ? -> (2,3,7,8)",
               "(2,3,4,5) (2,1,7,8) (2,1,7,8) -> (2,3,7,8)"},
              {"_bilinear", NULL, "? (2) ? ->", "!y: wanted at least 2 axes, got 1"},
              {"_bilinear", "by_plane=1", "(2,3,4,5) ? (6,7) ? ->",
               "(2,3,4,5) (6,7) (6,7) (6,7) -> (6,7)"},
              {"_backward_bilinear", NULL, "(2,3,7) ? ? (?,?,4,5) ->",
               "(2,3,7) (2,1,7) (2,1,7) (2,3,4,5) -> (2,3,4,5)"},
              {"_extent", "axis=1", "(2,3) ->", "(2,3) -> (1)"},
              {"_extent", "axis=2", "(2,3) ->", "!axis: 2 of a value with 2 axes"},
              {"_cast_as", NULL, "? (2,3) -> (4)", "(4) (2,3) -> (4)"},
              {"_wide", NULL, "(2,?) -> (?,3)", "(2,3) -> (2,3)"},
              {"_narrow", NULL, "(2,?) (4) -> (?,3)", "(2,3) (4) -> (2,3)"},
              {"_zero_border", "pad=2", "(1,2,3,4) ->", "(1,2,3,4) -> (1,6,7,4)"},
              {"_zero_border", "pad=2", "? -> (1,6,7,4)", "(1,2,3,4) -> (1,6,7,4)"});
}

static void regions(void)
{
    OP_SHAPES(
        {"ROIPooling", "pooled_size=(2,3); spatial_scale=1", "(1,4,8,9) (7,?) ->",
         "(1,4,8,9) (7,5) -> (7,4,2,3) (7,4,2,3)"},
        {"ROIPooling", "pooled_size=(2,3); spatial_scale=1", "(1,?,8,9) ? -> (7,4,?,?)",
         "(1,4,8,9) (7,5) -> (7,4,2,3) (7,4,2,3)"},
        {"ROIPooling", "pooled_size=(2,3); spatial_scale=1", "(1,4,8,9) (7,4) ->", "!rois: shape"},
        {"_backward_ROIPooling", NULL, "(7,4,2,3) ? ? (1,?,8,9) ->",
         "(7,4,2,3) (7,5) (7,4,2,3) (1,4,8,9) -> (1,4,8,9)"},
        {"_contrib_PSROIPooling", "output_dim=2; pooled_size=3; spatial_scale=1",
         "(1,18,8,9) (7,?) ->", "(1,18,8,9) (7,5) -> (7,2,3,3)"},
        {"_contrib_PSROIPooling", "output_dim=2; pooled_size=3; spatial_scale=1",
         "? ? -> (7,?,?,?)", "(?,?,?,?) (7,5) -> (7,2,3,3)"},
        {"_contrib_PSROIPooling", "output_dim=2; pooled_size=3; group_size=2; spatial_scale=1",
         "(1,7,8,9) ? ->", "!data: wanted at least output_dim group_size^2 = 8 channels, got 7"},
        {"_backward_PSROIPooling", "output_dim=2; pooled_size=3; spatial_scale=1",
         "? (7,5) (1,18,8,9) ->", "(7,2,3,3) (7,5) (1,18,8,9) -> (1,18,8,9)"},
        {"_contrib_DeformablePSROIPooling",
         "output_dim=2; group_size=1; pooled_size=3; part_size=2; spatial_scale=1",
         "(1,2,8,9) ? (7,4,?,?) ->", "(1,2,8,9) (7,5) (7,4,2,2) -> (7,2,3,3) (7,2,3,3)"},
        {"_contrib_DeformablePSROIPooling",
         "output_dim=2; group_size=1; pooled_size=3; no_trans=1; spatial_scale=1",
         "(1,2,8,9) ? -> ? (7,?,?,?)", "(1,2,8,9) (7,5) -> (7,2,3,3) (7,2,3,3)"},
        {"_contrib_DeformablePSROIPooling",
         "output_dim=2; group_size=1; pooled_size=3; spatial_scale=1", "(1,2,8,9) ? (7,3,3,3) ->",
         "!trans: wanted two channels for each class"});
}

static void convolutions(void)
{
    OP_SHAPES({"_contrib_DeformableConvolution",
               "kernel=(3,2); num_filter=4; num_deformable_group=2", "(1,6,8,9) ? ? ? ->",
               "(1,6,8,9) (1,24,6,8) (4,6,3,2) (4) -> (1,4,6,8)"},
              {"_contrib_DeformableConvolution",
               "kernel=(3,3); num_filter=4; stride=(2,2); pad=(1,1); no_bias=1",
               "(?,?,8,8) (5,?,?,?) (?,6,?,?) ->", "(5,6,8,8) (5,18,4,4) (4,6,3,3) -> (5,4,4,4)"},
              {"_contrib_DeformableConvolution", "kernel=(3,2); num_filter=4; no_bias=1",
               "(1,6,?,?) (1,?,6,8) ? ->", "(1,6,8,9) (1,12,6,8) (4,6,3,2) -> (1,4,6,8)"},
              {"_contrib_DeformableConvolution", "kernel=(3,2); num_filter=4; no_bias=1",
               "(1,6,8,9) (1,14,6,8) ? ->", "!offset: shape"},
              {"Correlation", NULL, "(1,2,5,6) ? ->",
               "(1,2,5,6) (1,2,5,6) -> (1,9,3,4) (1,5,6,2) (1,5,6,2)"},
              {"Correlation", "kernel_size=3; max_displacement=4; stride2=2; stride1=2; pad_size=5",
               "(1,2,5,6) ? ->", "(1,2,5,6) (1,2,5,6) -> (1,25,3,3) (1,15,16,2) (1,15,16,2)"},
              {"Correlation", NULL, "(?,2,?,?) ? -> (1,?,3,4)",
               "(1,2,5,6) (1,2,5,6) -> (1,9,3,4) (1,5,6,2) (1,5,6,2)"},
              {"Correlation", "stride1=2; pad_size=1", "? ? -> ? ? (1,7,8,2)",
               "(1,2,5,6) (1,2,5,6) -> (1,9,3,3) (1,7,8,2) (1,7,8,2)"},
              {"Correlation", NULL, "(1,2,5,2) ? ->", "!spatial axis 1 has 2 points"},
              {"Correlation", NULL, "(1,2,5,6) (1,3,5,6) ->", "!shape"});
}

TN_TEST_MAIN({"grids", grids}, {"lookups", lookups}, {"regions", regions},
             {"convolutions", convolutions})
