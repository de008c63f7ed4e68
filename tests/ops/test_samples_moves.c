// tests/ops/test_samples_moves.c: more samples of what moves, repeats, picks and reduces: their
// derivatives agree with central differences, twice.
#include "tests/tn_numeric.h"

static void shapes_are_changed(void)
{
    TN_CHECK_CASES(
        TN_CASE("Reshape", "shape=(0,-1)", "2,3,2"), TN_CASE("Reshape", "shape=(-2,)", "2,3"),
        TN_CASE("Reshape", "shape=(-4,2,-1,0)", "4,3"),
        TN_CASE("Reshape", "shape=(-1,0); reverse=1", "2,3,2"), TN_CASE("Flatten", NULL, "3"),
        TN_CASE("Flatten", NULL, "2,3"), TN_CASE("Flatten", NULL, "1,2,1,3"),
        TN_CASE("Flatten", NULL, "3,1,2"), TN_CASE("expand_dims", "axis=0", "3"),
        TN_CASE("expand_dims", "axis=-1", "2,3"), TN_CASE("expand_dims", "axis=2", "2,3"),
        TN_CASE("expand_dims", "axis=1", "2,1,3"),
        TN_CASE("reshape_like", NULL, "4 2,2", .fixed = "1"),
        TN_CASE("reshape_like", NULL, "2,3 6", .fixed = "1"),
        TN_CASE("reshape_like", NULL, "2,2,2 4,2", .fixed = "1"),
        TN_CASE("reshape_like", NULL, "1 1,1", .fixed = "1"));
}

static void axes_change_places(void)
{
    TN_CHECK_CASES(
        TN_CASE("transpose", NULL, "3"), TN_CASE("transpose", "axes=(2,0,1)", "2,3,2"),
        TN_CASE("transpose", "axes=(0,2,1)", "2,2,3"), TN_CASE("SwapAxis", "dim1=0; dim2=1", "2,3"),
        TN_CASE("SwapAxis", "dim1=0; dim2=2", "2,1,3"),
        TN_CASE("SwapAxis", "dim1=2; dim2=1", "1,2,3"),
        TN_CASE("SwapAxis", "dim1=3; dim2=0", "2,1,2,2"), TN_CASE("reverse", "axis=0", "3"),
        TN_CASE("reverse", "axis=1", "2,3"), TN_CASE("reverse", "axis=(1,2)", "2,2,3"),
        TN_CASE("reverse", "axis=-1", "1,4"), TN_CASE("repeat", "repeats=1", "3"),
        TN_CASE("repeat", "repeats=2; axis=0", "2,2"), TN_CASE("_copy", NULL, "3"),
        TN_CASE("_copy", NULL, "1"), TN_CASE("_copy", NULL, "2,1,2"), TN_CASE("_copy", NULL, "4,1"),
        TN_CASE("_identity_with_attr_like_rhs", NULL, "3 3", .fixed = "1"),
        TN_CASE("_identity_with_attr_like_rhs", NULL, "2,1,2 2,1,2", .fixed = "1"),
        TN_CASE("_identity_with_attr_like_rhs", NULL, "1 1", .fixed = "1"),
        TN_CASE("_identity_with_attr_like_rhs", NULL, "1,4 1,4", .fixed = "1"));
}

static void parts_are_joined_and_cut(void)
{
    TN_CHECK_CASES(TN_CASE("Concat", "num_args=1; dim=0", "3"),
                   TN_CASE("Concat", "num_args=2; dim=0", "2 3"),
                   TN_CASE("Concat", "num_args=2; dim=2", "2,1,2 2,1,1"),
                   TN_CASE("stack", "num_args=1; axis=0", "3"),
                   TN_CASE("stack", "num_args=3; axis=0", "2 2 2"),
                   TN_CASE("stack", "num_args=2; axis=-1", "2,2 2,2"),
                   TN_CASE("stack", "num_args=2; axis=2", "1,2 1,2"),
                   TN_CASE("SliceChannel", "num_outputs=1", "2,3"),
                   TN_CASE("SliceChannel", "num_outputs=2; axis=2", "2,1,4"),
                   TN_CASE("SliceChannel", "num_outputs=2; axis=-1; squeeze_axis=1", "3,2"),
                   TN_CASE("slice", "begin=(1,); end=(3,)", "4"),
                   TN_CASE("slice", "begin=(-2,0); end=(None,1)", "3,2"),
                   TN_CASE("slice", "begin=(2,); end=(None,); step=(-1,)", "3,2"),
                   TN_CASE("slice_axis", "axis=0; begin=0; end=2", "3"),
                   TN_CASE("slice_axis", "axis=-1; begin=-2; end=None", "2,3"),
                   TN_CASE("slice_axis", "axis=0; begin=1; end=-1", "4,2"),
                   TN_CASE("slice_axis", "axis=2; begin=0; end=1", "1,2,3"));
}

static void parts_are_written_over(void)
{
    TN_CHECK_CASES(TN_CASE("_slice_assign", "begin=(0,); end=(1,)", "3 1"),
                   TN_CASE("_slice_assign", "begin=(0,1); end=(2,3)", "2,3 2,2"),
                   TN_CASE("_slice_assign", "begin=(None,-1); end=(None,None)", "2,3 2,1"),
                   TN_CASE("_slice_assign", "begin=(2,); end=(None,); step=(-1,)", "3,2 3,2"),
                   TN_CASE("_crop_assign_scalar", "begin=(1,); end=(2,); scalar=3", "3"),
                   TN_CASE("_crop_assign_scalar", "begin=(0,); end=(1,)", "2,2"),
                   TN_CASE("_crop_assign_scalar", "begin=(1,0); end=(2,1); scalar=-1", "2,3"),
                   TN_CASE("_crop_assign_scalar", "begin=(0,0,1); end=(1,2,2)", "1,2,3"),
                   TN_CASE("where", NULL, "3 3 3", .fixed = "0"),
                   TN_CASE("where", NULL, "3 3,2 3,2", .fixed = "0"),
                   TN_CASE("where", NULL, "2,1,2 2,1,2 2,1,2", .fixed = "0"));
}

static void values_are_spread(void)
{
    TN_CHECK_CASES(
        TN_CASE("broadcast_to", "shape=(3,)", "1"), TN_CASE("broadcast_to", "shape=(2,2)", "1,1"),
        TN_CASE("broadcast_to", "shape=(0,0)", "2,2"),
        TN_CASE("broadcast_axis", "axis=0; size=4", "1"),
        TN_CASE("broadcast_axis", "axis=(0,2); size=(2,3)", "1,2,1"),
        TN_CASE("broadcast_axis", "axis=0; size=2", "1,3"),
        TN_CASE("broadcast_axis", "axis=2; size=2", "2,2,1"),
        TN_CASE("broadcast_like", NULL, "1 3", .fixed = "1"),
        TN_CASE("broadcast_like", NULL, "2,1 2,4", .fixed = "1"),
        TN_CASE("broadcast_like", NULL, "1,2,1 3,2,2", .fixed = "1"),
        TN_CASE("broadcast_like", NULL, "2,2 2,2", .fixed = "1"),
        TN_CASE("add_n", "num_args=2", "2,3 2,3"), TN_CASE("add_n", "num_args=4", "1 1 1 1"),
        TN_CASE("add_n", "num_args=2", "2,1,2 2,1,2"), TN_CASE("Cast", "dtype=float64", "2,3"),
        TN_CASE("Cast", "dtype=float64", "1"), TN_CASE("Cast", "dtype=float64", "2,1,2"),
        TN_CASE("Cast", "dtype=float64", "4,1"));
}

static void values_are_looked_up(void)
{
    TN_CHECK_CASES(
        TN_CASE("Embedding", "input_dim=2; output_dim=1; dtype=float64", "3 2,1", .lo = 0, .hi = 2,
                .fixed = "0"),
        TN_CASE("Embedding", "input_dim=3; output_dim=2; dtype=float64", "2,2 3,2", .lo = 0,
                .hi = 3, .fixed = "0"),
        TN_CASE("Embedding", "input_dim=4; output_dim=1; dtype=float64", "1 4,1", .lo = 0, .hi = 4,
                .fixed = "0"),
        TN_CASE("Embedding", "input_dim=1; output_dim=3; dtype=float64", "2 1,3", .lo = -2, .hi = 2,
                .fixed = "0"),
        TN_CASE("take", NULL, "4 3", .lo = 0, .hi = 4, .fixed = "1"),
        TN_CASE("take", NULL, "2,1,2 1", .lo = 0, .hi = 2, .fixed = "1"),
        TN_CASE("take", "mode=wrap", "3 2,2", .lo = -7, .hi = 7, .fixed = "1"),
        TN_CASE("pick", "axis=0", "3,2 2", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("pick", "axis=-1; keepdims=1", "2,3 2,1", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("batch_take", NULL, "2,3 2", .lo = 0, .hi = 3, .fixed = "1"),
        TN_CASE("batch_take", NULL, "1,4 1", .lo = 0, .hi = 4, .fixed = "1"),
        TN_CASE("batch_take", NULL, "4,1 4", .lo = -1, .hi = 1, .fixed = "1"),
        TN_CASE("batch_take", NULL, "5,2 5", .lo = 0, .hi = 2, .fixed = "1"));
}

static void values_are_chosen_and_filled_in(void)
{
    TN_CHECK_CASES(TN_CASE("choose_element_0index", NULL, "3,4 3", .lo = 0, .hi = 4, .fixed = "1"),
                   TN_CASE("choose_element_0index", NULL, "2,3 2", .lo = 0, .hi = 3, .fixed = "1"),
                   TN_CASE("choose_element_0index", NULL, "1,4 1", .lo = 0, .hi = 4, .fixed = "1"),
                   TN_CASE("choose_element_0index", NULL, "4,1 4", .lo = -1, .hi = 1, .fixed = "1"),
                   TN_CASE("choose_element_0index", NULL, "5,2 5", .lo = 0, .hi = 2, .fixed = "1"),
                   TN_CASE("fill_element_0index", NULL, "2,3 2 2", .lo = 0, .hi = 3, .fixed = "2"),
                   TN_CASE("fill_element_0index", NULL, "1,4 1 1", .lo = 0, .hi = 4, .fixed = "2"),
                   TN_CASE("fill_element_0index", NULL, "4,1 4 4", .lo = 0, .hi = 1, .fixed = "2"),
                   TN_CASE("fill_element_0index", NULL, "5,2 5 5", .lo = 0, .hi = 2, .fixed = "2"));
}

static void axes_are_reduced(void)
{
    TN_CHECK_CASES(
        TN_CASE("sum", "axis=0", "3"), TN_CASE("mean", "axis=0", "3,1,2"),
        TN_CASE("mean", "keepdims=1", "2,2"), TN_CASE("max", "axis=(0,2)", "2,3,2"),
        TN_CASE("max", "keepdims=1", "5"), TN_CASE("max", "axis=0; exclude=1", "3,4"),
        TN_CASE("min", NULL, "2,3"), TN_CASE("min", "axis=1", "3,4"),
        TN_CASE("min", "axis=(0,2); keepdims=1", "2,3,2"),
        TN_CASE("min", "axis=-1; exclude=1", "2,3"), TN_CASE("prod", "axis=(0,1)", "2,2,2"),
        TN_CASE("prod", "axis=-1; exclude=1", "2,3"), TN_CASE("nansum", NULL, "4"),
        TN_CASE("nansum", "axis=0", "3,2"), TN_CASE("nansum", "axis=(0,2)", "2,2,2"),
        TN_CASE("nansum", "axis=1; exclude=1", "2,3"), TN_CASE("nanprod", NULL, "4"),
        TN_CASE("nanprod", "axis=1; keepdims=1", "2,3"), TN_CASE("nanprod", "axis=(0,2)", "2,2,2"),
        TN_CASE("nanprod", "axis=0; exclude=1", "2,3"), TN_CASE("norm", NULL, "4"),
        TN_CASE("norm", NULL, "3,1"), TN_CASE("norm", NULL, "2,2,2"), TN_CASE("norm", NULL, "1,5"),
        TN_CASE("sort", "axis=1; is_ascend=0", "2,3,2"), TN_CASE("sort", "axis=-2", "3,2"),
        TN_CASE("topk", "k=1; ret_typ=value", "5"),
        TN_CASE("topk", "axis=0; k=2; ret_typ=value; is_ascend=1", "4,2"),
        TN_CASE("topk", "axis=1; k=0; ret_typ=value", "2,3,2"));
}

TN_TEST_MAIN({"shapes are changed", shapes_are_changed}, {"axes change places", axes_change_places},
             {"parts are joined and cut", parts_are_joined_and_cut},
             {"parts are written over", parts_are_written_over},
             {"values are spread", values_are_spread},
             {"values are looked up", values_are_looked_up},
             {"values are chosen and filled in", values_are_chosen_and_filled_in},
             {"axes are reduced", axes_are_reduced})
