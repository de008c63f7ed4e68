// tests/passes/test_op_shapes_nets.c: shape and dtype rules of convolution, pooling and
// normalisation, both directions. Values were worked out by hand.
#include "op_cases.h"

static void convolution(void)
{
    OP_SHAPES(
        {"Convolution", "kernel=(5,5); num_filter=20", "(64,1,28,28) ? ? -> ?",
         "(64,1,28,28) (20,1,5,5) (20) -> (64,20,24,24)"},
        {"Convolution", "kernel=(7,7); num_filter=64; stride=(2,2); pad=(3,3); no_bias=1",
         "(1,3,224,224) ? -> ?", "(1,3,224,224) (64,3,7,7) -> (1,64,112,112)"},
        {"Convolution", "kernel=(3,3); num_filter=8; num_group=4; dilate=(2,2); no_bias=1",
         "(2,12,9,8) ? -> ?", "(2,12,9,8) (8,3,3,3) -> (2,8,5,4)"},
        {"Convolution", "kernel=3; num_filter=4; no_bias=1", "(2,3,7) ? -> ?",
         "(2,3,7) (4,3,3) -> (2,4,5)"},
        {"Convolution", "kernel=(1,2,3); num_filter=4; no_bias=1", "(2,3,4,5,6) ? -> ?",
         "(2,3,4,5,6) (4,3,1,2,3) -> (2,4,4,4,4)"},
        {"Convolution", "kernel=(3,3); num_filter=4; pad=(1,0); no_bias=1",
         "? (?,5,?,?) -> (2,?,7,7)", "(2,5,7,9) (4,5,3,3) -> (2,4,7,7)"},
        {"Convolution", "kernel=(3,3); num_filter=4; stride=(2,2); no_bias=1",
         "(?,3,?,9) ? -> (2,?,4,?)", "(2,3,?,9) (4,3,3,3) -> (2,4,4,4)"},
        {"Convolution", "kernel=(3,3); num_filter=4; no_bias=1", "? ? -> ?",
         "(?,?,?,?) (4,?,3,3) -> (?,4,?,?)"},
        {"Convolution", "kernel=(5,5); num_filter=4", "(1,1,4,9) ? ? -> ?",
         "!kernel covers 5 of spatial axis 0, which has 4"},
        {"Convolution", "kernel=(3,3); num_filter=4; num_group=2", "(1,3,9,9) ? ? -> ?",
         "!num_group 2 does not divide the 3 channels"},
        {"Convolution", "kernel=(3,3); num_filter=4", "(1,3,9) ? ? -> ?", "!data"},
        {"Convolution", "kernel=(3,3); num_filter=4", "(1,3,9,9) (4,3,3,2) ? -> ?", "!weight"},
        {"Convolution", "kernel=(3,3); num_filter=4", "(1,3,9,9) ? ? -> (1,4,6,7)", "!output"},
        {"Convolution", "kernel=(3,3); num_filter=5; num_group=2", "? ? ? -> ?",
         "!num_group 2 does not divide num_filter 5"},
        {"Convolution", "kernel=(3,3); num_filter=5; stride=2", "? ? ? -> ?",
         "!stride has 1 entries, kernel has 2"},
        {"Convolution", "kernel=(3,3); num_filter=5; layout=NHWC", "? ? ? -> ?", "!layout"},
        {"Convolution", "kernel=(3,3); num_filter=5; layout=NCW", "? ? ? -> ?", "!layout"},
        {"_backward_Convolution_data", "kernel=(3,3); num_filter=4; stride=(2,2)",
         "? ? (2,3,6,5) -> ?", "(2,4,2,2) (4,3,3,3) (2,3,6,5) -> (2,3,6,5)"},
        {"_backward_Convolution_weight", "kernel=(3,3); num_filter=4; pad=(1,1)",
         "? (2,3,6,5) ? -> ?", "(2,4,6,5) (2,3,6,5) (4,3,3,3) -> (4,3,3,3)"});
}

static void deconvolution(void)
{
    OP_SHAPES({"Deconvolution", "kernel=(4,4); num_filter=8; stride=(2,2); pad=(1,1)",
               "(2,6,5,7) ? -> ?", "(2,6,5,7) (6,8,4,4) -> (2,8,10,14)"},
              {"Deconvolution", "kernel=3; num_filter=4; stride=2; adj=1; no_bias=0",
               "(2,6,4) ? ? -> ?", "(2,6,4) (6,4,3) (4) -> (2,4,10)"},
              {"Deconvolution", "kernel=3; num_filter=4; num_group=2", "(2,6,4) ? -> ?",
               "(2,6,4) (6,2,3) -> (2,4,6)"},
              {"Deconvolution", "kernel=4; num_filter=2; stride=2; target_shape=7",
               "(2,4,4) ? -> ?", "(2,4,4) (4,2,4) -> (2,2,7)"},
              {"Deconvolution", "kernel=4; num_filter=2; stride=2; target_shape=8",
               "(?,?,4) (4,?,?) -> (2,?,?)", "(2,4,4) (4,2,4) -> (2,2,8)"},
              {"Deconvolution", "kernel=4; num_filter=2; stride=2; target_shape=20",
               "(2,4,4) ? -> ?", "!target_shape: 20 of spatial axis 0"},
              {"Deconvolution", "kernel=3; num_filter=4; stride=2; adj=2", "(2,6,4) ? -> ?",
               "!adj: wanted less than the stride"},
              {"Deconvolution", "kernel=1; num_filter=4; pad=3", "(2,6,4) ? -> ?", "!4 gives -2"},
              {"_backward_Deconvolution_data", "kernel=3; num_filter=4; pad=1", "? ? (2,6,5) -> ?",
               "(2,4,5) (6,4,3) (2,6,5) -> (2,6,5)"},
              {"_backward_Deconvolution_weight", "kernel=3; num_filter=4; stride=2",
               "? (2,6,4) ? -> ?", "(2,4,9) (2,6,4) (6,4,3) -> (6,4,3)"});
}

static void pooling(void)
{
    OP_SHAPES(
        {"Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", "(2,3,5,4) -> ?",
         "(2,3,5,4) -> (2,3,2,2)"},
        {"Pooling", "kernel=(2,2); stride=(2,2); pool_type=max; pooling_convention=full",
         "(2,3,5,4) -> ?", "(2,3,5,4) -> (2,3,3,2)"},
        {"Pooling", "kernel=(3,3); stride=(2,2); pad=(1,1); pool_type=avg", "(1,64,112,112) -> ?",
         "(1,64,112,112) -> (1,64,56,56)"},
        {"Pooling", "kernel=(3,3); stride=(2,2); pool_type=max; pooling_convention=full",
         "(1,96,111,111) -> ?", "(1,96,111,111) -> (1,96,55,55)"},
        {"Pooling", "kernel=(3,); pool_type=sum", "(2,3,7) -> ?", "(2,3,7) -> (2,3,5)"},
        {"Pooling", "global_pool=1; kernel=(7,7); pad=(3,3); pool_type=avg", "(2,3,9,8) -> ?",
         "(2,3,9,8) -> (2,3,1,1)"},
        {"Pooling", "global_pool=1; pool_type=avg", "(2,3,9,8,7) -> ?",
         "(2,3,9,8,7) -> (2,3,1,1,1)"},
        {"Pooling", "kernel=(2,2); pool_type=max", "? -> (2,3,?,?)", "(2,3,?,?) -> (2,3,?,?)"},
        {"Pooling", "kernel=(2,2); pool_type=max", "(2,3,1,9) -> ?",
         "!kernel: 2 for spatial axis 0 of extent 1"},
        {"Pooling", "kernel=(2,2); pool_type=max", "(2,3,9) -> ?", "!data"},
        {"Pooling", "pool_type=max", "(2,3,9) -> ?", "!kernel: required unless global_pool"},
        {"Pooling", "kernel=(2,2); pad=(2,0); pool_type=max", "(2,3,9,9) -> ?",
         "!pad: wanted less than the kernel's 2, got 2"},
        {"Pooling", "global_pool=1; pool_type=max", "(2,3) -> ?", "!wanted 1 to 3 spatial axes"},
        {"_backward_Pooling_max", "kernel=(2,2)", "? (2,3,4,5) ? -> ?",
         "(2,3,3,4) (2,3,4,5) (2,3,3,4) -> (2,3,4,5)"},
        {"_backward_Pooling_sum", "kernel=(2,); pool_type=avg", "? (2,3,5) -> ?",
         "(2,3,4) (2,3,5) -> (2,3,5)"});
}

static void normalisation(void)
{
    OP_SHAPES(
        {"BatchNorm", NULL, "(2,3,4) ? ? ? ? ->", "(2,3,4) (3) (3) (3) (3) -> (2,3,4) (3) (3)"},
        {"BatchNorm", "axis=-1", "? (4) ? ? ? -> (2,3,?)",
         "(2,3,4) (4) (4) (4) (4) -> (2,3,4) (4) (4)"},
        {"BatchNorm", NULL, "(2,?,4) ? ? ? (3) ->", "(2,3,4) (3) (3) (3) (3) -> (2,3,4) (3) (3)"},
        {"BatchNorm", NULL, "? ? ? ? ? ->", "? (?) (?) (?) (?) -> ? (?) (?)"},
        {"BatchNorm", "axis=3", "(2,3,4) ? ? ? ? ->", "!axis: 3 of a value with 3 axes"},
        {"BatchNorm", NULL, "(2,3,4) ? (4) ? ? ->", "!beta"},
        {"_backward_BatchNorm", NULL, "? (2,3) ? ? ? ? ? ->",
         "(2,3) (2,3) (3) (3) (3) (3) (3) -> (2,3) (3) (3)"},
        {"LRN", "nsize=5", "(2,3,4,5) ->", "(2,3,4,5) -> (2,3,4,5) (2,3,4,5)"},
        {"LRN", "nsize=5", "? -> ? (2,3,4,5)", "(2,3,4,5) -> (2,3,4,5) (2,3,4,5)"},
        {"LRN", "nsize=5", "(2,3,4) ->", "!data"}, //
        {"LRN", "nsize=4", "(2,3,4,5) ->", "!nsize: wanted an odd number, got 4"},
        {"_backward_LRN", "nsize=1", "? (2,3,4,5) ? -> ?",
         "(2,3,4,5) (2,3,4,5) (2,3,4,5) -> (2,3,4,5)"},
        {"_backward_LayerNorm", NULL, "? (2,3) ? ? ? ->",
         "(2,3) (2,3) (3) (2,1) (2,1) -> (2,3) (3) (3)"},
        {"_backward_LayerNorm", "axis=0", "(2,3) ? ? ? ? ->",
         "(2,3) (2,3) (2) (1,3) (1,3) -> (2,3) (2) (2)"},
        {"_backward_LayerNorm", "axis=2", "(2,3) ? ? ? ? ->", "!axis: 2 of a value with 2 axes"},
        {"_backward_LayerNorm", NULL, "(2,3) ? (4) ? ? ->", "!gamma"},
        {"_backward_GroupNorm", "num_groups=2", "? (2,4,5) ? ? ? ->",
         "(2,4,5) (2,4,5) (4) (2,2) (2,2) -> (2,4,5) (4) (4)"},
        {"_backward_GroupNorm", "num_groups=0", "(2,3,5) ? ? ? ? ->",
         "(2,3,5) (2,3,5) (3) (2,3) (2,3) -> (2,3,5) (3) (3)"},
        {"_backward_GroupNorm", "num_groups=2", "(2,3) ? ? ? ? ->",
         "!num_groups 2 does not divide the 3 channels"},
        {"_backward_GroupNorm", NULL, "(3) ? ? ? ? ->", "!data: wanted (n, c, ...), got 1 axes"},
        {"_backward_GroupNorm", NULL, "(2,3) ? (4) ? ? ->", "!gamma"},
        {"LeakyReLU", NULL, "? -> (2,3)", "(2,3) -> (2,3)"},
        {"LeakyReLU", "act_type=prelu", "(2,3,4) ? -> ?", "(2,3,4) (3) -> (2,3,4)"},
        {"LeakyReLU", "act_type=prelu", "(2,?) (3) -> ?", "(2,3) (3) -> (2,3)"},
        {"LeakyReLU", "act_type=prelu", "(2) ? -> ?", "!data: wanted at least 2 axes"},
        {"LeakyReLU", "act_type=rrelu", "(2,3) -> ?", "(2,3) -> (2,3) (2,3)"},
        {"LeakyReLU", "act_type=rrelu; lower_bound=0.5", "(2,3) -> ?",
         "!lower_bound 0.5 is above"});
}

static void dtypes(void)
{
    OP_DTYPES(
        {"Convolution", "kernel=1; num_filter=1", "float16 ? ? -> ?",
         "float16 float16 float16 -> float16"},
        {"BatchNorm", NULL, "float64 ? ? ? ? ->",
         "float64 float64 float64 float64 float64 -> float64 float64 float64"},
        {"BatchNorm", NULL, "float16 ? ? ? ? ->",
         "float16 float32 float32 float32 float32 -> float16 float32 float32"},
        {"_backward_BatchNorm", NULL, "bfloat16 ? ? ? ? ? ? ->",
         "bfloat16 bfloat16 float32 float32 float32 float32 float32 -> bfloat16 float32 float32"});
}

TN_TEST_MAIN({"Convolution", convolution}, {"Deconvolution", deconvolution}, {"Pooling", pooling},
             {"BatchNorm, LRN, LeakyReLU", normalisation}, {"dtypes", dtypes})
