// tests/passes/test_op_shapes_along.c: shape and dtype rules of operators that pick, order and
// repeat elements along axes, both directions. Values were worked out by hand.
#include "op_cases.h"

static void along_one_axis(void)
{
    OP_SHAPES(
        {"_positions", "axis=-1", "(2,3) -> ?", "(2,3) -> (2,3)"},
        {"_positions", "axis=0", "(2,?) -> (?,3)", "(2,3) -> (2,3)"},
        {"_positions", "axis=2", "(2,3) -> ?", "!axis: 2 of a value with 2 axes"},
        {"_take_along", "axis=1", "(2,3) (2,5) -> ?", "(2,3) (2,5) -> (2,5)"},
        {"_take_along", "axis=1", "(2,3) (1,?) -> (?,5)", "(2,3) (1,5) -> (2,5)"},
        {"_take_along", "axis=0", "(?,3) (4,?) -> ?", "(?,3) (4,?) -> (4,3)"},
        {"_take_along", "axis=0", "? (4,1) -> (?,3)", "(?,3) (4,1) -> (4,3)"},
        {"_take_along", "axis=0", "(2,3) (4,2) -> ?", "!index: axis 1 has 2 elements"},
        {"_take_along", "axis=0", "(2,3) (4) -> ?", "!index"},
        {"_backward_take_along", "axis=1", "? (2,5) (2,3) -> ?", "(2,5) (2,5) (2,3) -> (2,3)"});
    OP_DTYPES({"_positions", "axis=0", "float32 -> ?", "float32 -> int64"},
              {"_take_along", "axis=0", "float16 int64 -> ?", "float16 int64 -> float16"});
}

static void picking(void)
{
    OP_SHAPES({"pick", NULL, "(2,3) (2) -> ?", "(2,3) (2) -> (2)"},
              {"pick", NULL, "(2,3) (2,1) -> ?", "(2,3) (2,1) -> (2)"},
              {"pick", "axis=0; keepdims=1", "(2,3,4) ? -> ?", "(2,3,4) ? -> (1,3,4)"},
              {"pick", "axis=1", "(?,3,?) (2,?) -> (?,4)", "(2,3,4) (2,4) -> (2,4)"},
              {"pick", "axis=1", "(?,3,?) (2,1,4) -> ?", "(2,3,4) (2,1,4) -> (2,4)"},
              {"pick", "axis=1; keepdims=1", "? ? -> (2,1,4)", "(2,?,4) ? -> (2,1,4)"},
              {"pick", "axis=0", "(3) (1) -> ?", "(3) (1) -> (1)"},
              {"pick", NULL, "(2,3) (3) -> ?", "!index"},
              {"pick", "axis=2", "(2,3) (2) -> ?", "!axis: 2 of a value with 2 axes"},
              {"pick", "axis=None", "(2,3) (2) -> ?", "!axis: wanted a number"},
              {"_backward_pick", NULL, "? (2) (2,3) -> ?", "(2) (2) (2,3) -> (2,3)"},
              {"batch_take", NULL, "(?,3) (2) -> ?", "(2,3) (2) -> (2)"},
              {"batch_take", NULL, "(2,3) ? -> ?", "(2,3) (2) -> (2)"},
              {"choose_element_0index", NULL, "(2,3) (4) -> ?", "!"},
              {"fill_element_0index", NULL, "(?,3) (2) ? -> ?", "(2,3) (2) (2) -> (2,3)"},
              {"fill_element_0index", NULL, "(2,3) (4) ? -> ?", "!"});
    OP_DTYPES(
        {"pick", NULL, "float16 ? -> ?", "float16 float16 -> float16"},
        {"pick", NULL, "? int32 -> float64", "float64 int32 -> float64"},
        {"fill_element_0index", NULL, "? float16 int32 -> ?", "float16 float16 int32 -> float16"});
}

static void sequences(void)
{
    OP_SHAPES({"SequenceLast", NULL, "(5,2,3) -> ?", "(5,2,3) -> (2,3)"},
              {"SequenceLast", "use_sequence_length=1", "(5,?,3) (2) -> ?", "(5,2,3) (2) -> (2,3)"},
              {"SequenceLast", "use_sequence_length=1", "? ? -> (2,3)", "(?,2,3) (2) -> (2,3)"},
              {"SequenceLast", NULL, "(5) -> ?", "!data: wanted (T, N, ...), got 1 axes"},
              {"SequenceMask", "use_sequence_length=1", "(5,2) ? -> ?", "(5,2) (2) -> (5,2)"},
              {"SequenceMask", NULL, "? -> (5,2)", "(5,2) -> (5,2)"},
              {"SequenceReverse", "use_sequence_length=1", "(5,2) (3) -> ?", "!sequence_length"});
    OP_DTYPES(
        {"SequenceMask", "use_sequence_length=1", "float16 int32 -> ?", "float16 int32 -> float16"},
        {"SequenceMask", "use_sequence_length=1", "? ? -> float64", "float64 float64 -> float64"});
}

static void ordering(void)
{
    OP_SHAPES({"_argsort", "axis=1", "(2,?) -> (?,3)", "(2,3) -> (2,3)"},
              {"_argsort", "axis=2", "(2,3) -> ?", "!axis: 2 of a value with 2 axes"},
              {"_argsort_first", "axis=1; k=2", "(2,3) -> ?", "(2,3) -> (2,2)"},
              {"_argsort_first", "axis=0; k=2", "(?,3) -> ?", "(?,3) -> (2,3)"},
              {"_argsort_first", "axis=-1; k=2", "(?,3) -> (4,?)", "(4,3) -> (4,2)"},
              {"_argsort_first", "axis=0; k=3", "(2,3) -> ?", "!k: 3 of 2 elements"},
              {"_argsort_first", "axis=2; k=1", "(2,3) -> ?", "!axis: 2 of a value with 2 axes"},
              {"sort", NULL, "(2,3) ->", "(2,3) -> (2,3) (2,3)"},
              {"sort", "axis=None", "(2,3) ->", "(2,3) -> (6) (6)"},
              {"sort", "axis=0", "? -> (2,3)", "(2,3) -> (2,3) (2,3)"},
              {"argsort", "axis=None", "(2,?) -> ?", "(2,?) -> (?)"},
              {"argsort", "axis=-3", "(2,3) -> ?", "!axis: -3 of a value with 2 axes"},
              {"topk", "k=2", "(4,3) -> ?", "(4,3) -> (4,2)"},
              {"topk", "k=2; ret_typ=both; axis=0", "(?,3) -> ? (2,?)", "(?,3) -> (2,3) (2,3)"},
              {"topk", "k=0", "? -> (4,3)", "(4,3) -> (4,3)"},
              {"topk", "k=5; axis=None", "(4,3) -> ?", "(4,3) -> (5)"},
              {"topk", "k=5; ret_typ=mask; axis=None", "(4,3) -> ?", "(4,3) -> (4,3)"},
              {"topk", "k=4", "(4,3) -> ?", "!k: 4 of 3 elements"},
              {"topk", "k=13; axis=None", "(4,3) -> ?", "!k: 13 of 12 elements"});
}

static void repeating(void)
{
    OP_SHAPES({"repeat", "repeats=2", "(2,3) -> ?", "(2,3) -> (12)"},
              {"repeat", "repeats=2; axis=-1", "(2,?) -> (?,6)", "(2,3) -> (2,6)"},
              {"repeat", "repeats=3; axis=0", "? -> (6,2)", "(2,2) -> (6,2)"},
              {"repeat", "repeats=2; axis=0", "? -> (5,2)", "!wanted a multiple of 2"},
              {"repeat", "repeats=2; axis=2", "(2,3) -> ?", "!axis: 2 of a value with 2 axes"},
              {"repeat", "repeats=0", "(2,3) -> ?", "!repeats"},
              {"reverse", "axis=0", "(2,?) -> (?,3)", "(2,3) -> (2,3)"},
              {"reverse", "axis=(0,2)", "(2,3) -> ?", "!axis: one is not there"},
              {"reverse", "axis=()", "(2,3) -> ?", "!axis"});
}

static void normalising(void)
{
    OP_SHAPES(
        {"SoftmaxActivation", NULL, "? -> (2,3)", "(2,3) -> (2,3)"},
        {"SoftmaxActivation", NULL, "(3) -> ?", "!data: wanted at least 2 axes, got 1"},
        {"softmax_cross_entropy", NULL, "(2,3) ? -> ?", "(2,3) (2) -> (1)"},
        {"softmax_cross_entropy", NULL, "? (2) -> ?", "(2,?) (2) -> (1)"},
        {"softmax_cross_entropy", NULL, "(2,3) (3) -> ?", "!label"},
        {"SVMOutput", NULL, "(2,4,3) ? -> ?", "(2,4,3) (2,4) -> (2,4,3)"},
        {"SVMOutput", NULL, "? (2) -> (?,3)", "(2,3) (2) -> (2,3)"},
        {"SVMOutput", NULL, "(3) ? -> ?", "!data: wanted at least 2 axes, got 1"},
        {"InstanceNorm", NULL, "(2,?,4) (3) ? ->", "(2,3,4) (3) (3) -> (2,3,4) (2,3) (2,3)"},
        {"InstanceNorm", NULL, "? ? ? -> (2,3,4)", "(2,3,4) (3) (3) -> (2,3,4) (2,3) (2,3)"},
        {"InstanceNorm", NULL, "(2,3) ? ? ->", "!data: wanted (n, c, ...), got 2 axes"},
        {"L2Normalization", NULL, "(2,3,4) ->", "(2,3,4) -> (2,3,4) (2)"},
        {"L2Normalization", "mode=channel", "(2,3,4) ->", "(2,3,4) -> (2,3,4) (2,1,4)"},
        {"L2Normalization", "mode=spatial", "? -> (2,3,4)", "(2,3,4) -> (2,3,4) (2,3)"},
        {"L2Normalization", "mode=spatial", "(2,3) ->", "!data: wanted at least 3 axes, got 2"},
        {"nansum", "axis=1", "(2,3) -> ?", "(2,3) -> (2)"},
        {"nanprod", NULL, "? -> ?", "? -> (1)"});
    OP_DTYPES({"softmax_cross_entropy", NULL, "float64 int32 -> ?", "float64 int32 -> float64"},
              {"SVMOutput", NULL, "float16 ? -> ?", "float16 float16 -> float16"});
}

static void replacing(void)
{
    OP_SHAPES({"_slice_assign", "begin=(1,); end=(3,)", "(4,2) ? -> ?", "(4,2) (2,2) -> (4,2)"},
              {"_slice_assign", "begin=(1,); end=(3,)", "? ? -> (4,2)", "(4,2) (2,2) -> (4,2)"},
              {"_slice_assign", "begin=(1,); end=(3,)", "(4,2) (3,2) -> ?", "!rhs"},
              {"_crop_assign_scalar", "begin=(1,); end=(3,)", "? -> (4,2)", "(4,2) -> (4,2)"},
              {"_crop_assign_scalar", "begin=(1,1); end=(2,2)", "(4) -> ?",
               "!2 entries for a value with 1 axes"});
    OP_DTYPES(
        {"mp_sgd_mom_update", "lr=1", "float16 ? ? ? -> ?",
         "float16 float16 float32 float32 -> float16"},
        {"mp_sgd_update", "lr=1", "? ? ? -> bfloat16", "bfloat16 bfloat16 float32 -> bfloat16"});
}

TN_TEST_MAIN({"along one axis", along_one_axis}, {"replacing", replacing}, {"repeating", repeating},
             {"normalising", normalising}, {"ordering", ordering}, {"picking", picking},
             {"sequences", sequences})
