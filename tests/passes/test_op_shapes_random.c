// tests/passes/test_op_shapes_random.c: shape and dtype rules of draws, transforms, quantisation.
#include "op_cases.h"

static void draws(void)
{
    OP_SHAPES({"random_poisson", "shape=(2,0)", "-> (?,3)", "-> (2,3)"},
              {"random_gamma", NULL, "-> ?", "-> ?"},
              {"sample_normal", NULL, "(2,?) (?,3) -> ?", "(2,3) (2,3) -> (2,3)"},
              {"sample_normal", "shape=(4,5)", "(2,?) ? -> (2,3,4,5)", "(2,3) (2,3) -> (2,3,4,5)"},
              {"sample_normal", "shape=(4,)", "? ? -> (2,?)", "(2) (2) -> (2,4)"},
              {"sample_gamma", "shape=(4,)", "() () -> ?", "() () -> (4)"},
              {"sample_poisson", "shape=(4,)", "? -> ?", "? -> ?"},
              {"sample_poisson", "shape=(0,)", "(2) -> ?", "(2) -> (2,0)"},
              {"sample_poisson", "shape=(4,)", "(2) -> (2,5)", "!(2,4)"},
              {"sample_poisson", "shape=(4,2)", "? -> (2)", "!shape: wanted at most the 1 axes"},
              {"sample_uniform", NULL, "(2) (3) -> ?", "!(3)"},
              {"sample_exponential", "shape=(1,1,1,1)", "(1,1,1,1,1) -> ?", "!9 axes"});
}

static void classes(void)
{
    OP_SHAPES({"sample_multinomial", NULL, "(2,3,4) -> ?", "(2,3,4) -> (2,3)"},
              {"sample_multinomial", NULL, "(4) -> ?", "(4) -> (1)"},
              {"sample_multinomial", "shape=(5,6)", "(?,4) -> (2,?,?)", "(2,4) -> (2,5,6)"},
              {"sample_multinomial", "shape=5; get_prob=1", "(2,4) -> ? ?", "(2,4) -> (2,5) (2,5)"},
              {"sample_multinomial", "get_prob=1", "(?,4) -> ? (2)", "(2,4) -> (2) (2)"},
              {"sample_multinomial", NULL, "? -> (2)", "? -> (2)"},
              {"sample_multinomial", NULL, "() -> ?", "!data: wanted (..., k)"},
              {"sample_multinomial", NULL, "(2,0) -> ?", "!at least one class"});
}

static void transforms(void)
{
    OP_SHAPES(
        {"_contrib_fft", NULL, "(2,3) -> ?", "(2,3) -> (2,6)"},
        {"_contrib_fft", NULL, "? -> (?,8)", "(?,4) -> (?,8)"},
        {"_contrib_fft", NULL, "(2,?) -> (?,8)", "(2,4) -> (2,8)"},
        {"_contrib_fft", NULL, "? -> (2,7)", "!even"},
        {"_contrib_fft", NULL, "() -> ?", "!one axis"},
        {"_contrib_ifft", NULL, "(8) -> ?", "(8) -> (4)"},
        {"_contrib_ifft", NULL, "? -> (2,1,3)", "(2,1,6) -> (2,1,3)"},
        {"_contrib_ifft", NULL, "(2,5) -> ?", "!even extent, got 5"},
        {"_contrib_count_sketch", "out_dim=3", "(2,5) ? ? -> ?", "(2,5) (1,5) (1,5) -> (2,3)"},
        {"_contrib_count_sketch", "out_dim=3", "(2,?) (5) ? -> ?", "(2,5) (5) (1,5) -> (2,3)"},
        {"_contrib_count_sketch", "out_dim=3", "? ? (1,5) -> (2,?)", "(2,5) (1,5) (1,5) -> (2,3)"},
        {"_contrib_count_sketch", "out_dim=3", "(2,5) (1,4) ? -> ?", "!(1,4)"},
        {"_contrib_count_sketch", "out_dim=3", "(2,5) (1,1,5) ? -> ?", "!h: wanted"},
        {"_contrib_quantize", NULL, "? ? ? -> (2,3) ? ?", "(2,3) (1) (1) -> (2,3) (1) (1)"},
        {"_contrib_dequantize", "out_type=float32", "() ? ? -> ?", "() (1) (1) -> ()"},
        {"IdentityAttachKLSparseReg", NULL, "? (3) -> (2,?)", "(2,3) (3) -> (2,3)"},
        {"IdentityAttachKLSparseReg", NULL, "(2,3,4) ? -> ?", "(2,3,4) (3) -> (2,3,4)"},
        {"IdentityAttachKLSparseReg", NULL, "(2) ? -> ?", "!got 1 axes"});
}

static void dtypes(void)
{
    OP_DTYPES({"random_poisson", "shape=2", "-> ?", "-> float32"},
              {"random_gamma", "shape=2; dtype=float16", "-> ?", "-> float16"},
              {"sample_normal", NULL, "float64 ? -> ?", "float64 float64 -> float32"},
              {"sample_normal", "dtype=float64", "? int32 -> ?", "int32 int32 -> float64"},
              {"sample_multinomial", "get_prob=1", "float64 -> ? ?", "float64 -> int32 float64"},
              {"sample_multinomial", "dtype=int64", "? -> ?", "? -> int64"},
              {"_contrib_fft", NULL, "? -> float64", "float64 -> float64"},
              {"_contrib_count_sketch", "out_dim=1", "float64 int32 ? -> ?",
               "float64 int32 float64 -> float64"},
              {"_contrib_quantize", NULL, "float32 ? ? -> ? ? ?",
               "float32 float32 float32 -> uint8 float32 float32"},
              {"_contrib_dequantize", "out_type=float32", "? ? ? -> ?",
               "uint8 float32 float32 -> float32"},
              {"IdentityAttachKLSparseReg", NULL, "float16 ? -> ?", "float16 float32 -> float16"});
}

TN_TEST_MAIN({"draws", draws}, {"classes", classes}, {"transforms", transforms}, {"dtypes", dtypes})
