// tests/passes/test_op_shapes_linalg.c: shape and dtype rules of linear algebra, matmul, attention,
// and of look-ups by several indices, both directions. Values were worked out by hand.
#include "op_cases.h"

static void products_of_matrices(void)
{
    OP_SHAPES(
        {"linalg_gemm", NULL, "(2,3,4) (2,4,5) ? -> ?", "(2,3,4) (2,4,5) (2,3,5) -> (2,3,5)"},
        {"linalg_gemm", "transpose_a=1; transpose_b=1", "(?,?) (5,?) (3,?) -> (?,?)",
         "(?,3) (5,?) (3,5) -> (3,5)"},
        {"linalg_gemm", "transpose_a=1", "(4,?) ? ? -> (3,5)", "(4,3) (4,5) (3,5) -> (3,5)"},
        {"linalg_gemm2", NULL, "? (2,?,4,5) -> (?,3,?,?)", "(2,3,?,4) (2,3,4,5) -> (2,3,?,5)"},
        {"linalg_gemm2", NULL, "(2,0) (0,3) -> ?", "(2,0) (0,3) -> (2,3)"},
        {"linalg_gemm2", NULL, "(2,3) (2,4) -> ?", "!B"},
        {"linalg_gemm2", NULL, "(2,3,4) (4,5) -> ?", "!B"},
        {"linalg_gemm2", NULL, "(3) ? -> ?", "!wanted matrices, of at least 2 axes, got 1"},
        {"linalg_syrk", NULL, "(2,3,4) -> ?", "(2,3,4) -> (2,3,3)"},
        {"linalg_syrk", "transpose=1", "(2,3,?) -> (?,4,?)", "(2,3,4) -> (2,4,4)"},
        {"linalg_trmm", NULL, "? (2,3,4) -> ?", "(2,3,3) (2,3,4) -> (2,3,4)"},
        {"linalg_trmm", "rightside=1", "? ? -> (2,3,4)", "(2,4,4) (2,3,4) -> (2,3,4)"},
        {"linalg_trsm", NULL, "(?,3,?) (2,?,4) -> ?", "(2,3,3) (2,3,4) -> (2,3,4)"},
        {"linalg_trsm", "rightside=1", "(3,3) (3,4) -> ?", "!B"},
        {"linalg_potrf", NULL, "(2,?,3) -> ?", "(2,3,3) -> (2,3,3)"},
        {"linalg_potrf", NULL, "(2,3) -> ?", "!A: shape (2,3)"},
        {"linalg_potri", NULL, "? -> (3,?)", "(3,3) -> (3,3)"},
        {"linalg_sumlogdiag", NULL, "(3,?) -> ?", "(3,3) -> (1)"},
        {"linalg_sumlogdiag", NULL, "(?,5,3,?) -> (2,?)", "(2,5,3,3) -> (2,5)"},
        {"linalg_sumlogdiag", NULL, "(2,3) -> ?", "!A"},
        {"_tril", NULL, "? -> (2,3,4)", "(2,3,4) -> (2,3,4)"},
        {"_linalg_transpose", NULL, "(2,3,?) -> (?,4,?)", "(2,3,4) -> (2,4,3)"});
    OP_DTYPES({"linalg_gemm", NULL, "? float16 ? -> ?", "float16 float16 float16 -> float16"});
}

static void products_as_in_numpy(void)
{
    OP_SHAPES(
        {"matmul", NULL, "(3) (3) -> ?", "(3) (3) -> ()"},
        {"matmul", NULL, "(?) (3,4) -> ?", "(3) (3,4) -> (4)"},
        {"matmul", NULL, "(2,3,?) (4) -> ?", "(2,3,4) (4) -> (2,3)"},
        {"matmul", NULL, "(2,1,3,4) (5,4,6) -> ?", "(2,1,3,4) (5,4,6) -> (2,5,3,6)"},
        {"matmul", "transpose_a=1; transpose_b=1", "(4,3) (6,?) -> ?", "(4,3) (6,4) -> (3,6)"},
        {"matmul", NULL, "(?,4) (4,?) -> (3,6)", "(3,4) (4,6) -> (3,6)"},
        {"matmul", NULL, "(1,3,4) (?,4,6) -> (7,?,?)", "(1,3,4) (7,4,6) -> (7,3,6)"},
        {"matmul", NULL, "? (4,6) -> (3,6)", "? (4,6) -> (3,6)"},
        {"matmul", NULL, "(2,3) (4,5) -> ?", "!contracted axes"},
        {"matmul", NULL, "(2,3,4) (3,4,5) -> ?", "!leading axes"},
        {"matmul", NULL, "() (4,5) -> ?", "!a: wanted at least 1 axis"},
        {"matmul", "transpose_b=1", "(2,3) (3) -> ?", "!vectors cannot be transposed"},
        {"_backward_matmul_a", NULL, "? (5,4,6) (2,1,3,4) -> ?",
         "(2,5,3,6) (5,4,6) (2,1,3,4) -> (2,1,3,4)"},
        {"_backward_matmul_b", NULL, "? (2,1,3,4) (5,4,6) -> ?",
         "(2,5,3,6) (2,1,3,4) (5,4,6) -> (5,4,6)"});
}

#define ATTENTION "scaled_dot_product_attention"

static void attentions(void)
{
    OP_SHAPES({ATTENTION, NULL, "(2,3,4) (2,5,4) (2,5,6) ->",
               "(2,3,4) (2,5,4) (2,5,6) -> (2,3,6) (2,3,5) (2,3,5)"},
              {ATTENTION, NULL, "(2,3,?) (2,?,4) (2,5,?) -> (?,?,6)",
               "(2,3,4) (2,5,4) (2,5,6) -> (2,3,6) (2,3,5) (2,3,5)"},
              {ATTENTION, "use_mask=1", "(2,3,4) (5,4) (5,6) (3,1) ->",
               "(2,3,4) (5,4) (5,6) (3,1) -> (2,3,6) (2,3,5) (2,3,5)"},
              {ATTENTION, "enable_gqa=1", "(7,6,3,4) (7,2,5,4) (7,2,5,8) ->",
               "(7,6,3,4) (7,2,5,4) (7,2,5,8) -> (7,6,3,8) (7,6,3,5) (7,6,3,5)"},
              {ATTENTION, "use_mask=1", "(3,4) (5,4) (5,6) (2,5) ->", "!attn_mask (2,5)"},
              {ATTENTION, NULL, "(3,4) (5,3) (5,6) ->", "!key"},
              {ATTENTION, NULL, "(4) (5,4) (5,6) ->", "!query: wanted at least 2 axes, got 1"},
              {ATTENTION, "enable_gqa=1", "(3,4) (5,4) (5,6) ->",
               "!query: wanted at least 3 axes, got 2"},
              {"_repeat_heads", NULL, "(2,3,4) (6,5,4) -> ?", "(2,3,4) (6,5,4) -> (6,3,4)"},
              {"_repeat_heads", NULL, "(4,3,4) (6,5,4) -> ?", "!6 heads of query"},
              {"_backward_repeat_heads", NULL, "? (6,5,4) (2,3,4) -> ?",
               "(6,3,4) (6,5,4) (2,3,4) -> (2,3,4)"},
              {"_scale_by_extent", NULL, "(2,3) (5) -> ?", "(2,3) (5) -> (2,3)"},
              {"_masked_scores", NULL, "? (3,1) -> (2,3,4)", "(2,3,4) (3,1) -> (2,3,4)"},
              {"_backward_attn_mask", NULL, "(2,3,4) (3,1) -> ?", "(2,3,4) (3,1) -> (3,1)"});
    OP_DTYPES({ATTENTION, "use_mask=1", "? float16 ? bool ->",
               "float16 float16 float16 bool -> float16 float16 float16"},
              {ATTENTION, "use_mask=1", "? ? ? ? -> float64",
               "float64 float64 float64 float64 -> float64 float64 float64"},
              {"_backward_attn_mask", NULL, "float64 bool -> ?", "float64 bool -> bool"});
}

static void looking_up_and_running_sums(void)
{
    OP_SHAPES(
        {"gather_nd", NULL, "(3,4,5) (2,6,7) -> ?", "(3,4,5) (2,6,7) -> (6,7,5)"},
        {"gather_nd", NULL, "(3,4,?) (2,?) -> (6,5)", "(3,4,5) (2,6) -> (6,5)"},
        {"gather_nd", NULL, "(3,4) (2) -> ?", "(3,4) (2) -> ()"},
        {"gather_nd", NULL, "(3) (2,6) -> ?", "!indices: wanted 1 to 1"},
        {"gather_nd", NULL, "(3) (0,6) -> ?", "!indices"},
        {"gather_nd", NULL, "(3) () -> ?", "!indices: wanted (M, ...)"},
        {"scatter_nd", "shape=(3,4,5)", "? (2,6) -> ?", "(6,5) (2,6) -> (3,4,5)"},
        {"scatter_nd", "shape=(3,4,5)", "(6,?) (2,?) -> ?", "(6,5) (2,6) -> (3,4,5)"},
        {"scatter_nd", "shape=(3,4,5)", "(6,4) (2,6) -> ?", "!data"},
        {"_backward_gather_nd", NULL, "? (2,6) (3,4,5) -> ?", "(6,5) (2,6) (3,4,5) -> (3,4,5)"},
        {"_check_index", "extent=3", "(2,?) -> (?,3)", "(2,3) -> (2,3)"},
        {"diag", "k=-1", "(3) -> ?", "(3) -> (4,4)"},
        {"diag", "k=2", "(?) -> (4,?)", "(2) -> (4,4)"},
        {"diag", "k=2", "(?) -> (1,1)", "!has no diagonal 2"},
        {"diag", "k=1", "(3,4) -> ?", "(3,4) -> (3)"},
        {"diag", "axis1=0; axis2=-1", "(3,?,5) -> (7,?)", "(3,7,5) -> (7,3)"},
        {"diag", "axis1=0; axis2=-2", "(3,4) -> ?", "!axis1, axis2"},
        {"_backward_diag", NULL, "? (3,4,5) -> ?", "(5,3) (3,4,5) -> (3,4,5)"},
        {"squeeze", NULL, "(1,2,1) -> ?", "(1,2,1) -> (2)"},
        {"squeeze", NULL, "(1,?,1) -> ?", "(1,?,1) -> ?"},
        {"squeeze", "axis=(0,2)", "(?,?,?) -> (4)", "(1,4,1) -> (4)"},
        {"squeeze", "axis=(0,-1)", "? -> (4)", "(1,4,1) -> (4)"},
        {"squeeze", "axis=0", "(2,3) -> ?", "!axis 0 has extent 2, wanted 1"},
        {"squeeze", "axis=(0,-2)", "(1,1) -> ?", "!axis: 0 stands there twice"},
        {"cumsum", NULL, "(2,3) -> ?", "(2,3) -> (6)"},
        {"cumsum", "axis=-1", "(2,?) -> (?,3)", "(2,3) -> (2,3)"},
        {"cumsum", "axis=2", "(2,3) -> ?", "!axis: 2 of a value with 2 axes"});
    OP_DTYPES({"cumsum", "dtype=int64", "uint8 -> ?", "uint8 -> int64"},
              {"cumsum", NULL, "? -> float16", "float16 -> float16"},
              {"gather_nd", NULL, "float16 int32 -> ?", "float16 int32 -> float16"},
              {"_check_index", "extent=3", "float32 -> ?", "float32 -> int64"});
}

TN_TEST_MAIN({"products of matrices", products_of_matrices},
             {"products as in NumPy", products_as_in_numpy}, {"attentions", attentions},
             {"looking up and running sums", looking_up_and_running_sums})
