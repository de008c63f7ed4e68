// tests/passes/test_op_shapes_boxes.c: shape and dtype rules of the operators of detection, both
// directions. Values were worked out by hand.
#include "op_cases.h"

static void multibox(void)
{
    OP_SHAPES(
        {"_contrib_MultiBoxPrior", "sizes=(1,2); ratios=(1,2,3)", "(8,3,2,5) ->", //
         "(8,3,2,5) -> (1,40,4)"},
        {"_contrib_MultiBoxPrior", "sizes=(1,2)", "(8,3,?,5) -> (1,20,4)", //
         "(8,3,2,5) -> (1,20,4)"},
        {"_contrib_MultiBoxPrior", NULL, "(?,?,?,5) -> ?", "(?,?,?,5) -> (1,?,4)"},
        {"_contrib_MultiBoxPrior", "sizes=(1,2)", "? -> (1,5,4)",
         "!output: 5 boxes, but each place has 2"},
        {"_contrib_MultiBoxPrior", NULL, "(8,3,5) -> ?",
         "!data: wanted (n, c, height, width), got 3 axes"},
        {"_contrib_MultiBoxPrior", NULL, "(1,1,0,3) -> ?", "(1,1,0,3) -> (1,0,4)"},
        {"_contrib_MultiBoxTarget", NULL, "(1,9,4) (2,3,5) (2,4,?) ->",
         "(1,9,4) (2,3,5) (2,4,9) -> (2,36) (2,36) (2,9)"},
        {"_contrib_MultiBoxTarget", NULL, "? ? ? -> (2,36) ? ?",
         "(1,9,4) (2,?,?) (2,?,9) -> (2,36) (2,36) (2,9)"},
        {"_contrib_MultiBoxTarget", NULL, "? ? (2,4,9) -> ? ? ?",
         "(1,9,4) (2,?,?) (2,4,9) -> (2,36) (2,36) (2,9)"},
        {"_contrib_MultiBoxTarget", NULL, "(1,9,4) (2,3,4) ? ->", "!label: wanted rows of class"},
        {"_contrib_MultiBoxTarget", NULL, "(2,9,4) ? ? ->", "!anchor"},
        {"_contrib_MultiBoxTarget", NULL, "(1,9,4) (2,3,5) (2,4,8) ->", "!cls_pred"},
        {"_contrib_MultiBoxDetection", NULL, "(2,4,9) ? ? ->", "(2,4,9) (2,36) (1,9,4) -> (2,9,6)"},
        {"_contrib_MultiBoxDetection", NULL, "? ? ? -> (2,9,?)",
         "(2,?,9) (2,36) (1,9,4) -> (2,9,6)"},
        {"_contrib_MultiBoxDetection", NULL, "? (?,36) ? -> ?",
         "(?,?,9) (?,36) (1,9,4) -> (?,9,6)"},
        {"_contrib_MultiBoxDetection", NULL, "? (2,37) ? -> ?",
         "!loc_pred: wanted 4 columns for each anchor, got 37"},
        {"_contrib_MultiBoxDetection", NULL, "(2,4,9) (2,40) ? -> ?", "!loc_pred"});
    OP_DTYPES({"_contrib_MultiBoxTarget", NULL, "float16 ? ? ->",
               "float16 float16 float16 -> float16 float16 float16"},
              {"_contrib_MultiBoxTarget", NULL, "? float32 float16 ->",
               "float16 float32 float16 -> float16 float16 float16"},
              {"_contrib_MultiBoxDetection", NULL, "? ? ? -> float64",
               "float64 float64 float64 -> float64"});
}

static void proposals(void)
{
    const char *small = "scales=(1,2); ratios=(1,2,3); rpn_post_nms_top_n=7";
    OP_SHAPES({"_contrib_Proposal", small, "(1,12,4,5) ? ? ->",
               "(1,12,4,5) (1,24,4,5) (1,3) -> (7,5) (7,1)"},
              {"_contrib_Proposal", small, "? (1,24,4,?) ? ->",
               "(1,12,4,?) (1,24,4,?) (1,3) -> (7,5) (7,1)"},
              {"_contrib_Proposal", small, "(2,12,4,5) ? ? ->", "!cls_prob"},
              {"_contrib_Proposal", small, "(1,14,4,5) ? ? ->", "!cls_prob"},
              {"_contrib_MultiProposal", small, "(2,12,4,5) ? ? ->",
               "(2,12,4,5) (2,24,4,5) (2,3) -> (14,5) (14,1)"},
              {"_contrib_MultiProposal", small, "? ? ? -> (14,5) ?",
               "(2,12,?,?) (2,24,?,?) (2,3) -> (14,5) (14,1)"},
              {"_contrib_MultiProposal", small, "? ? ? -> (13,5) ?",
               "!output: 13 rows, wanted a multiple of 7"});
    OP_DTYPES(
        {"_contrib_Proposal", NULL, "float16 ? ? ->", "float16 float16 float16 -> float16 float16"},
        {"_contrib_MultiProposal", NULL, "? bfloat16 float32 ->",
         "bfloat16 bfloat16 float32 -> bfloat16 bfloat16"});
}

TN_TEST_MAIN({"multibox", multibox}, {"proposals", proposals})
