// tests/passes/test_op_dtypes.c: dtype rules: what is equal, what is free, what parameters say.
#include "op_cases.h"

static void equal_unless_said_otherwise(void)
{
    OP_DTYPES(
        {"exp", NULL, "float64 -> ?", "float64 -> float64"},
        {"exp", NULL, "? -> float16", "float16 -> float16"},
        {"elemwise_add", NULL, "? int8 -> ?", "int8 int8 -> int8"},
        {"elemwise_add", NULL, "int8 uint8 -> ?", "!uint8"},
        {"_equal", NULL, "float32 ? -> ?", "float32 float32 -> float32"},
        {"_plus_scalar", "scalar=0.5", "int32 -> ?", "int32 -> int32"},
        {"FullyConnected", "num_hidden=2", "bfloat16 ? ? -> ?",
         "bfloat16 bfloat16 bfloat16 -> bfloat16"},
        {"dot", NULL, "? ? -> float64", "float64 float64 -> float64"},
        {"Dropout", NULL, "float16 ->", "float16 -> float16 float16"},
        {"Concat", "num_args=2", "? int64 -> ?", "int64 int64 -> int64"},
        {"argmax", NULL, "float64 -> ?", "float64 -> float64"},
        {"sum", NULL, "bool -> ?", "bool -> bool"},
        {"adam_update", "lr=1", "float64 ? ? ? -> ?", "float64 float64 float64 float64 -> float64"},
        {"zeros_like", NULL, "int32 -> ?", "int32 -> int32"},
        {"_backward_slice", "begin=0; end=1", "float64 ? -> ?", "float64 float64 -> float64"});
}

static void labels_may_differ(void)
{
    OP_DTYPES({"SoftmaxOutput", NULL, "float16 ? -> ?", "float16 float16 -> float16"},
              {"SoftmaxOutput", NULL, "float64 int32 -> ?", "float64 int32 -> float64"},
              {"SoftmaxOutput", NULL, "? int32 -> float32", "float32 int32 -> float32"},
              {"SoftmaxOutput", NULL, "? int32 -> ?", "? int32 -> ?"},
              {"_backward_SoftmaxOutput", "out_grad=1", "? int32 float64 -> ?",
               "float64 int32 float64 -> float64"},
              {"LinearRegressionOutput", NULL, "float64 uint8 -> ?", "float64 uint8 -> float64"},
              {"MAERegressionOutput", NULL, "float32 ? -> ?", "float32 float32 -> float32"});
}

static void indices_and_conditions_are_free(void)
{
    OP_DTYPES(
        {"Embedding", "input_dim=2; output_dim=2", "int32 float64 -> ?",
         "int32 float64 -> float64"},
        {"Embedding", "input_dim=2; output_dim=2", "int32 ? -> ?", "int32 float32 -> float32"},
        {"Embedding", "input_dim=2; output_dim=2; dtype=float16", "float32 ? -> ?",
         "float32 float16 -> float16"},
        {"Embedding", "input_dim=2; output_dim=2", "uint8 ? -> float64",
         "uint8 float64 -> float64"},
        {"_backward_Embedding", "input_dim=2; output_dim=2", "float64 int64 ? -> ?",
         "float64 int64 float64 -> float64"},
        {"take", NULL, "float64 int32 -> ?", "float64 int32 -> float64"},
        {"where", NULL, "bool float64 ? -> ?", "bool float64 float64 -> float64"},
        {"where", NULL, "? ? int32 -> ?", "? int32 int32 -> int32"},
        {"reshape_like", NULL, "float64 int32 -> ?", "float64 int32 -> float64"},
        {"broadcast_like", NULL, "? int32 -> float64", "float64 int32 -> float64"},
        {"_sum_like", NULL, "float64 float32 -> ?", "float64 float32 -> float64"});
}

static void parameters_decide(void)
{
    OP_DTYPES({"Cast", "dtype=int64", "float32 -> ?", "float32 -> int64"},
              {"Cast", "dtype=bool", "? -> ?", "? -> bool"},
              {"_cast_like", NULL, "float32 int8 -> ?", "float32 int8 -> int8"},
              {"one_hot", "depth=3", "int32 -> ?", "int32 -> float32"},
              {"one_hot", "depth=3; dtype=uint8", "? -> ?", "? -> uint8"},
              {"_zeros", "shape=2", "-> ?", "-> float32"},
              {"_full", "shape=2; value=1; dtype=int32", "-> ?", "-> int32"},
              {"_zeros", "shape=2", "-> float64", "!float64"},
              {"_arange", "start=2; dtype=float64", "-> ?", "-> float64"},
              {"random_uniform", "shape=2", "-> ?", "-> float32"},
              {"random_normal", "shape=2; dtype=float16", "-> ?", "-> float16"});
}

TN_TEST_MAIN({"equal unless said otherwise", equal_unless_said_otherwise},
             {"labels may differ", labels_may_differ},
             {"indices and conditions are free", indices_and_conditions_are_free},
             {"parameters decide", parameters_decide})
