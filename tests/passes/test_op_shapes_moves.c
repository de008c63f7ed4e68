// tests/passes/test_op_shapes_moves.c: shape rules of operators that move, cut, look up and make
// elements, both directions. Values were worked out by hand.
#include "op_cases.h"

static void reshaping(void)
{
    OP_SHAPES({"Flatten", NULL, "(2,3,4) -> ?", "(2,3,4) -> (2,12)"},
              {"Flatten", NULL, "(2) -> ?", "(2) -> (2,1)"}, //
              {"Flatten", NULL, "(?,3,4) -> (2,?)", "(2,3,4) -> (2,12)"},
              {"Flatten", NULL, "(2,?,4) -> (2,12)", "(2,3,4) -> (2,12)"},
              {"Flatten", NULL, "? -> ?", "? -> (?,?)"},
              {"Flatten", NULL, "() -> ?", "!data: wanted at least 1 axis"},
              {"reshape_like", NULL, "(2,6) (3,4) -> ?", "(2,6) (3,4) -> (3,4)"},
              {"reshape_like", NULL, "(2,?) ? -> (3,4)", "(2,6) (3,4) -> (3,4)"},
              {"reshape_like", NULL, "(2,5) (3,4) -> ?", "!(2,5) has 10 elements, (3,4) has 12"},
              {"expand_dims", "axis=0", "(2,3) -> ?", "(2,3) -> (1,2,3)"},
              {"expand_dims", "axis=2", "(2,3) -> ?", "(2,3) -> (2,3,1)"},
              {"expand_dims", "axis=-1", "(2,3) -> ?", "(2,3) -> (2,1,3)"},
              {"expand_dims", "axis=-2", "? -> (1,2,3)", "(2,3) -> (1,2,3)"},
              {"expand_dims", "axis=1", "? -> (2,1,3)", "(2,3) -> (2,1,3)"},
              {"expand_dims", "axis=0", "() -> ?", "() -> (1)"},
              {"expand_dims", "axis=3", "(2,3) -> ?", "!axis: 3 for a value with 2 axes"},
              {"expand_dims", "axis=-3", "(2,3) -> ?", "!axis: -3"},
              {"expand_dims", "axis=0", "(1,1,1,1,1,1,1,1) -> ?", "!axis"});
}

// The codes of Reshape. MXNet's own examples, and the cases that 0.11 gets wrong.
static void reshape_codes(void)
{
    OP_SHAPES({"Reshape", "shape=(4,0,2)", "(2,3,4) -> ?", "(2,3,4) -> (4,3,2)"},
              {"Reshape", "shape=(2,0,0)", "(2,3,4) -> ?", "(2,3,4) -> (2,3,4)"},
              {"Reshape", "shape=(6,1,-1)", "(2,3,4) -> ?", "(2,3,4) -> (6,1,4)"},
              {"Reshape", "shape=(3,-1,8)", "(2,3,4) -> ?", "(2,3,4) -> (3,1,8)"},
              {"Reshape", "shape=(-1,)", "(2,3,4) -> ?", "(2,3,4) -> (24)"},
              {"Reshape", "shape=-2", "(2,3,4) -> ?", "(2,3,4) -> (2,3,4)"},
              {"Reshape", "shape=(2,-2)", "(2,3,4) -> ?", "(2,3,4) -> (2,3,4)"},
              {"Reshape", "shape=(-2,1,1)", "(2,3,4) -> ?", "(2,3,4) -> (2,3,4,1,1)"},
              {"Reshape", "shape=(-3,4)", "(2,3,4) -> ?", "(2,3,4) -> (6,4)"},
              {"Reshape", "shape=(-3,-3)", "(2,3,4,5) -> ?", "(2,3,4,5) -> (6,20)"},
              {"Reshape", "shape=(0,-3)", "(2,3,4) -> ?", "(2,3,4) -> (2,12)"},
              {"Reshape", "shape=(-3,-2)", "(2,3,4) -> ?", "(2,3,4) -> (6,4)"},
              {"Reshape", "shape=(-4,1,2,-2)", "(2,3,4) -> ?", "(2,3,4) -> (1,2,3,4)"},
              {"Reshape", "shape=(2,-4,-1,3,-2)", "(2,3,4) -> ?", "(2,3,4) -> (2,1,3,4)"},
              {"Reshape", "shape=(-1,0); reverse=1", "(10,5,4) -> ?", "(10,5,4) -> (50,4)"},
              {"Reshape", "shape=(-1,0)", "(10,5,4) -> ?", "(10,5,4) -> (40,5)"},
              {"Reshape", "shape=(16,4,-4); reverse=1", "(64) -> ?", "(64) -> (16,4)"},
              {"Reshape", "shape=(0,2,-1,-4); reverse=1", "(3,8) -> ?", "(3,8) -> (3,2,4)"},
              // -1 stands where it is written, also behind -2 and -4
              {"Reshape", "shape=(-4,2,5,-1)", "(10,3,4) -> ?", "(10,3,4) -> (2,5,12)"},
              {"Reshape", "shape=(-4,2,5,0,-1)", "(10,3,4) -> ?", "(10,3,4) -> (2,5,3,4)"},
              {"Reshape", "shape=(-2,-1)", "(2,3) -> ?", "(2,3) -> (2,3,1)"});
    OP_SHAPES(
        {"Reshape", "shape=(0,-1)", "(?,3,4) -> ?", "(?,3,4) -> (?,12)"},
        {"Reshape", "shape=(0,-1)", "(0,3,4) -> ?", "(0,3,4) -> (0,12)"},
        {"Reshape", "shape=(-1,12)", "(?,3,4) -> (7,?)", "(7,3,4) -> (7,12)"},
        {"Reshape", "shape=(6,4)", "? -> ?", "? -> (6,4)"},
        {"Reshape", "shape=(6,-1)", "? -> ?", "? -> (6,?)"},
        {"Reshape", "shape=(0,4)", "? -> ?", "? -> ?"},
        {"Reshape", "shape=(6,4)", "(2,?,4) -> ?", "(2,3,4) -> (6,4)"},
        {"Reshape", "target_shape=(0,4)", "(2,3,4) -> ?", "(2,3,4) -> (6,4)"},
        {"Reshape", "target_shape=(2,0); keep_highest=1", "(5,3,4) -> ?", "(5,3,4) -> (5,12)"},
        {"Reshape", "target_shape=(24,)", "(2,3,4) -> ?", "(2,3,4) -> (24)"},
        {"Reshape", "shape=(7,-1)", "(2,3) -> ?", "!-1 would not be a whole number"},
        {"Reshape", "shape=(7,)", "(2,3) -> ?", "!the numbers of elements differ"},
        {"Reshape", "shape=(0,0,0)", "(2,3) -> ?", "!too few axes"},
        {"Reshape", "shape=(-4,4,-1)", "(6) -> ?", "!-4 cannot split as wanted"},
        {"Reshape", "shape=(-1,-1)", "(6) -> ?", "!more than one extent"},
        {"Reshape", "shape=(-4,2)", "(6) -> ?", "!-4 needs two factors"},
        {"Reshape", "shape=(-4,-1,-1)", "(6) -> ?", "!at most one is -1"},
        {"Reshape", "shape=(-5,)", "(6) -> ?", "!codes from -4"},
        {"Reshape", NULL, "(6) -> ?", "!shape: required"},
        {"Reshape", "shape=(4611686018427387904,4)", "(6) -> ?", "!too many elements"},
        {"Reshape", "shape=(-2,1,1,1)", "(1,1,1,1,1,2) -> ?", "!9 axes, at most 8"});
}

static void moving_axes(void)
{
    OP_SHAPES({"transpose", NULL, "(2,3,4) -> ?", "(2,3,4) -> (4,3,2)"},
              {"transpose", NULL, "? -> (2,3)", "(3,2) -> (2,3)"},
              {"transpose", "axes=(1,2,0)", "(2,3,4) -> ?", "(2,3,4) -> (3,4,2)"},
              {"transpose", "axes=(1,2,0)", "(?,3,4) -> (3,4,2)", "(2,3,4) -> (3,4,2)"},
              {"transpose", "axes=(1,0)", "? -> ?", "(?,?) -> (?,?)"},
              {"transpose", "axes=(1,0)", "(2,3,4) -> ?", "!data"},
              {"transpose", "axes=(0,0)", "(2,3) -> ?", "!axes: wanted each of 0 to 1 once"},
              {"SwapAxis", "dim1=0; dim2=2", "(2,3,4) -> ?", "(2,3,4) -> (4,3,2)"},
              {"SwapAxis", "dim1=0; dim2=1", "? -> (2,3)", "(3,2) -> (2,3)"},
              {"SwapAxis", "dim1=0; dim2=2", "(2,3) -> ?", "!of a value with 2 axes"},
              {"SwapAxis", NULL, "(2,3) -> ?", "!dim1 and dim2: wanted two axes, got 0 twice"});
}

static void joining(void)
{
    OP_SHAPES(
        {"Concat", "num_args=2", "(2,3) (2,5) -> ?", "(2,3) (2,5) -> (2,8)"},
        {"Concat", "num_args=2; dim=0", "(2,3) (4,?) -> ?", "(2,3) (4,3) -> (6,3)"},
        {"Concat", "num_args=3", "(2,3) (?,?) (?,1) -> (2,8)", "(2,3) (2,4) (2,1) -> (2,8)"},
        {"Concat", "num_args=2", "? (2,5) -> ?", "(2,?) (2,5) -> (2,?)"},
        {"Concat", "num_args=1", "(2,3) -> ?", "(2,3) -> (2,3)"},
        {"Concat", "num_args=2", "(2,3) (4,5) -> ?", "!(4,?) does not go with (2,?)"},
        {"Concat", "num_args=2; dim=2", "(2,3) (2,5) -> ?", "!dim: 2 of a value with 2 axes"},
        {"Concat", "num_args=2", "(2,3) (2,?) -> (2,2)", "!the known parts have 3, the whole 2"},
        {"Concat", "num_args=2; dim=-1", "(2,3) (2,3) -> ?", "!dim"},
        {"_backward_Concat", "num_args=2", "(2,8) (2,3) (2,5) ->",
         "(2,8) (2,3) (2,5) -> (2,3) (2,5)"},
        {"_backward_Concat", "num_args=2", "? (2,3) ? -> ? (2,5)",
         "(2,8) (2,3) (2,5) -> (2,3) (2,5)"},
        {"SliceChannel", "num_outputs=2", "(2,6) ->", "(2,6) -> (2,3) (2,3)"},
        {"SliceChannel", "num_outputs=2; axis=-2", "(4,6) ->", "(4,6) -> (2,6) (2,6)"},
        {"SliceChannel", "num_outputs=3", "? -> ? (2,?) (?,4)", "(2,12) -> (2,4) (2,4) (2,4)"},
        {"SliceChannel", "num_outputs=3; squeeze_axis=1", "(2,3,4) ->",
         "(2,3,4) -> (2,4) (2,4) (2,4)"},
        {"SliceChannel", "num_outputs=2; axis=0; squeeze_axis=1", "? -> (5)", "(2,5) -> (5) (5)"},
        {"SliceChannel", "num_outputs=4", "(2,6) ->",
         "!axis 1 has extent 6, wanted a multiple of 4"},
        {"SliceChannel", "num_outputs=2; squeeze_axis=1", "(2,6) ->", "!wanted 2"},
        {"SliceChannel", "num_outputs=2; axis=2", "(2,6) ->", "!axis: 2 of a value with 2 axes"},
        {"_backward_SliceChannel", "num_args=2", "(2,3) ? -> ?", "(2,3) (2,3) -> (2,6)"},
        {"_backward_SliceChannel", "num_args=2; axis=0; squeeze_axis=1", "(3) (3) -> ?",
         "(3) (3) -> (2,3)"},
        {"stack", "num_args=3", "(2,4) ? ? -> ?", "(2,4) (2,4) (2,4) -> (3,2,4)"},
        {"stack", "num_args=2; axis=-1", "(2,4) ? -> ?", "(2,4) (2,4) -> (2,4,2)"},
        {"stack", "num_args=2; axis=1", "? ? -> (2,2,4)", "(2,4) (2,4) -> (2,2,4)"},
        {"stack", "num_args=2; axis=3", "(2,4) ? -> ?", "!axis: 3 of a value with 3 axes"},
        {"stack", "num_args=2", "(2,4) (2,5) -> ?", "!arg1"});
}

static void cutting(void)
{
    OP_SHAPES(
        {"slice", "begin=(0,1); end=(1,3)", "(2,4) -> ?", "(2,4) -> (1,2)"},
        {"slice", "begin=(None,-3); end=(1,None)", "(2,4) -> ?", "(2,4) -> (1,3)"},
        {"slice", "begin=(1,); end=(None,)", "(4,5) -> ?", "(4,5) -> (3,5)"},
        {"slice", "begin=(None,1); end=(None,3)", "(?,4) -> (7,?)", "(7,4) -> (7,2)"},
        {"slice", "begin=(4,); end=(0,); step=(-2,)", "(6) -> ?", "(6) -> (2)"},
        {"slice", "begin=(None,); end=(None,); step=(-1,)", "? -> (6)", "(6) -> (6)"},
        {"slice", "begin=(None,); end=(None,); step=(-4,)", "(6) -> ?", "(6) -> (2)"},
        {"slice", "begin=(0,); end=(7,); step=(3,)", "(7) -> ?", "(7) -> (3)"},
        {"slice", "begin=(2,); end=(100,)", "(5) -> ?", "(5) -> (3)"},
        {"slice", "begin=(-100,); end=(2,)", "(5) -> ?", "(5) -> (2)"},
        {"slice", "begin=(3,); end=(1,)", "(5) -> ?", "(5) -> (0)"},
        {"slice", "begin=(0,); end=(3,)", "(0) -> ?", "(0) -> (0)"},
        {"slice", "begin=(1,1,1,1,1,1,1,1); end=(2,2,2,2,2,2,2,2)", "(2,2,2,2,2,2,2,2) -> ?",
         "(2,2,2,2,2,2,2,2) -> (1,1,1,1,1,1,1,1)"},
        {"slice", "begin=(0,0); end=(1,1)", "(5) -> ?", "!2 entries for a value with 1 axes"},
        {"slice", "begin=(0,); end=(1,2)", "(5) -> ?", "!1, 2 and 0 entries"},
        {"slice", "begin=(0,); end=(1,); step=(0,)", "(5) -> ?", "!step: 0 for axis 0"},
        {"_backward_slice", "begin=(1,); end=(3,)", "? (5,2) -> ?", "(2,2) (5,2) -> (5,2)"},
        {"_backward_slice", "begin=(1,); end=(3,)", "(3,2) (5,2) -> ?", "!dy"},
        {"slice_axis", "axis=1; begin=1; end=3", "(2,4) -> ?", "(2,4) -> (2,2)"},
        {"slice_axis", "axis=-2; begin=-1; end=None", "(2,4) -> ?", "(2,4) -> (1,4)"},
        {"slice_axis", "axis=0; begin=0; end=-1", "(?,4) -> ?", "(?,4) -> (?,4)"},
        {"slice_axis", "axis=0; begin=1; end=3", "(?,?) -> (?,4)", "(?,4) -> (2,4)"},
        {"slice_axis", "axis=0; begin=1; end=9", "(5) -> ?", "!1 to 9 of an axis of extent 5"},
        {"slice_axis", "axis=0; begin=3; end=1", "(5) -> ?", "!3 to 1 of an axis of extent 5"},
        {"slice_axis", "axis=2; begin=0; end=1", "(5) -> ?", "!axis: 2 of a value with 1 axes"},
        {"_backward_slice_axis", "axis=1; begin=1; end=3", "? (2,4) -> ?", "(2,2) (2,4) -> (2,4)"});
}

static void looking_up(void)
{
    OP_SHAPES(
        {"Embedding", "input_dim=4; output_dim=3", "(2,5) ? -> ?", "(2,5) (4,3) -> (2,5,3)"},
        {"Embedding", "input_dim=4; output_dim=3", "? ? -> (2,5,?)", "(2,5) (4,3) -> (2,5,3)"},
        {"Embedding", "input_dim=4; output_dim=3", "() ? -> ?", "() (4,3) -> (3)"},
        {"Embedding", "input_dim=4; output_dim=3", "(2) (4,2) -> ?", "!weight"},
        {"_backward_Embedding", "input_dim=4; output_dim=3", "? (2,5) ? -> ?",
         "(2,5,3) (2,5) (4,3) -> (4,3)"},
        {"take", NULL, "(4,2,3) (5) -> ?", "(4,2,3) (5) -> (5,2,3)"},
        {"take", NULL, "(4) (2,2) -> ?", "(4) (2,2) -> (2,2)"},
        {"take", NULL, "(4,2) () -> ?", "(4,2) () -> (2)"},
        {"take", NULL, "(4,?) ? -> (5,6,7)", "(4,7) (5,6) -> (5,6,7)"},
        {"take", NULL, "() (2) -> ?", "!wanted at least 1 axis"},
        {"take", "axis=1; mode=raise", "(4,2,3) (5,6) -> ?", "(4,2,3) (5,6) -> (4,5,6,3)"},
        {"take", "axis=1; mode=wrap", "(4,2,?) ? -> (?,5,6,3)", "(4,2,3) (5,6) -> (4,5,6,3)"},
        {"take", "axis=1", "(4,2) () -> ?", "(4,2) () -> (4)"},
        {"take", "axis=2", "(4,2) (2) -> ?", "!axis: 2 of a value with 2 axes"},
        {"take", "axis=-1", "(4,2) (2) -> ?", "!axis"},
        {"_backward_take", "axis=1", "? (5) (4,2) -> ?", "(4,5) (5) (4,2) -> (4,2)"},
        {"_backward_take", NULL, "? (5) (4,2) -> ?", "(5,2) (5) (4,2) -> (4,2)"},
        {"one_hot", "depth=3", "(2,4) -> ?", "(2,4) -> (2,4,3)"},
        {"one_hot", "depth=3", "? -> (2,3)", "(2) -> (2,3)"},
        {"one_hot", "depth=3", "(2) -> (2,4)", "!(2,3)"});
}

static void making(void)
{
    OP_SHAPES({"_zeros", "shape=(2,3)", "-> ?", "-> (2,3)"}, //
              {"_zeros", "shape=(0,3)", "-> ?", "-> (?,3)"},
              {"_ones", "shape=(0,3)", "-> (7,?)", "-> (7,3)"}, {"_ones", NULL, "-> ?", "-> ?"},
              {"_full", "shape=4; value=2", "-> ?", "-> (4)"},
              {"_full", "shape=4; value=2", "-> (5)", "!(5)"},
              {"_arange", "start=3", "-> ?", "-> (3)"},
              {"_arange", "start=1; stop=4; step=0.5", "-> ?", "-> (6)"},
              {"_arange", "start=5; stop=0; step=-2; repeat=2", "-> ?", "-> (6)"},
              {"_arange", "start=0; stop=0", "-> ?", "-> (0)"},
              {"_arange", "start=0; infer_range=1", "-> (9)", "-> (9)"},
              {"_arange", "start=0; stop=1; step=0", "-> ?", "!step"},
              {"_arange", "start=0; stop=-1", "-> ?", "!-1 elements"},
              {"_arange", "start=0; stop=1e300", "-> ?", "!1e+300 elements"},
              {"random_uniform", "shape=(2,0)", "-> (?,3)", "-> (2,3)"},
              {"random_normal", "shape=(2,)", "-> ?", "-> (2)"});
}

TN_TEST_MAIN({"Flatten, reshape_like, expand_dims", reshaping}, {"Reshape codes", reshape_codes},
             {"transpose and SwapAxis", moving_axes}, {"Concat, SliceChannel, stack", joining},
             {"slice and slice_axis", cutting}, {"Embedding, take, one_hot", looking_up},
             {"values from nothing", making})
