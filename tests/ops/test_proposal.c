// tests/ops/test_proposal.c: Proposal and MultiProposal.
//
// Values are worked out by hand, in comments. The kernel was also compared on random data with a
// second implementation in NumPy that follows the definition literally.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *proposed(const char *op, const char *params, tn_tensor *cls, tn_tensor *box,
                         tn_tensor *info)
{
    tn_fresh();
    const tn_symbol y = tn_op(op, params, tn_var("cls"), tn_var("box"), tn_var("info"));
    return tn_try(y, .wrt = "cls box",
                  .given = TN_TENSORS({"cls", cls}, {"box", box}, {"info", info}));
}

static tn_tensor *zeros(tn_dtype dtype, tn_dims dims)
{
    tn_tensor *t = tn_tensor_new(bench.env, dtype, dims);
    tn_tensor_fill(t, 0);
    return t;
}

#define ONE_ANCHOR "feature_stride=16; scales=1; ratios=1; output_score=1; "

// One anchor a place, [0, 0, 15, 15] moved by 16; scores 0.25, 1, 0.5, 0.75 row by row.
static tn_exec *four_places(const char *params, tn_dtype dtype, double height, double width)
{
    return proposed("_contrib_Proposal", params,
                    TN_TENSOR(dtype, TN_DIMS(1, 2, 2, 2), 0, 0, 0, 0, 0.25, 1, 0.5, 0.75),
                    zeros(dtype, TN_DIMS(1, 4, 2, 2)),
                    TN_TENSOR(TN_F32, TN_DIMS(1, 3), height, width, 1));
}

static void the_best_come_first_and_are_repeated(void)
{
    for (tn_dtype dtype = TN_F32; dtype < TN_DTYPE_END; dtype++) {
        if (dtype != TN_F32 && dtype != TN_F64 && dtype != TN_F16 && dtype != TN_BF16) continue;
        tn_exec *e = four_places(ONE_ANCHOR "rpn_post_nms_top_n=6", dtype, 32, 32);
        TN_CHECK_DIMS(tn_out(e, 0), 6, 5);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 16, 0, 31, 15, 0, 16, 16, 31, 31, 0, 0, 16, 15, 31, 0,
                        0, 0, 15, 15, 0, 16, 0, 31, 15, 0, 16, 16, 31, 31);
        TN_CHECK_DIMS(tn_out(e, 1), 6, 1);
        TN_CHECK_VALUES(tn_out(e, 1), 0, 1, 0.75, 0.5, 0.25, 1, 0.75);
        tn_back(e, {NULL, tn_sample(dtype, TN_DIMS(6, 5), 0, 1, 1)},
                {NULL, tn_sample(dtype, TN_DIMS(6, 1), 0, 1, 1)});
        TN_CHECK_VALUES(tn_grad(e, "cls"), 0, 0, 0, 0, 0, 0, 0, 0, 0);
        tn_exec_free(e);
    }
}

// An image of one row of places: boxes of the second row are cut to height 1, which is below 16,
// so they get score -1 and grow by 8 on all sides. Only two are compared, then three.
static void small_boxes_and_those_outside_come_last(void)
{
    tn_exec *e =
        four_places(ONE_ANCHOR "rpn_post_nms_top_n=3; rpn_pre_nms_top_n=2", TN_F32, 16, 32);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 16, 0, 31, 15, 0, 0, 0, 15, 15, 0, 16, 0, 31, 15);
    tn_exec_free(e);
    e = four_places(ONE_ANCHOR "rpn_post_nms_top_n=3; rpn_pre_nms_top_n=-1", TN_F32, 16, 32);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 16, 0, 31, 15, 0, 0, 0, 15, 15, 0, -8, 7, 23, 23);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 1, 0.25, -1);
    tn_exec_free(e);
}

// The table of py-faster-rcnn for stride 16, moved by 400 so that nothing is cut off.
static void anchors_are_those_of_the_paper(void)
{
    tn_tensor *cls = TN_TENSOR(TN_F64, TN_DIMS(1, 18, 1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.9, 0.8,
                               0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1);
    tn_tensor *box = tn_tensor_new(bench.env, TN_F64, TN_DIMS(1, 36, 1, 1));
    tn_tensor_fill(box, 400);
    tn_exec *e = proposed("_contrib_Proposal",
                          "scales=(8,16,32); ratios=(0.5,1,2); iou_loss=1; threshold=1; "
                          "rpn_post_nms_top_n=9",
                          cls, box, TN_TENSOR(TN_F64, TN_DIMS(1, 3), 1000, 1000, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 0, 316, 360, 499, 455, 0, 224, 312, 591, 503, 0, 40, 216,
                    775, 599, 0, 344, 344, 471, 471, 0, 280, 280, 535, 535, 0, 152, 152, 663, 663,
                    0, 364, 320, 451, 495, 0, 320, 232, 495, 583, 0, 232, 56, 583, 759);
    tn_exec_free(e);
}

// Two anchors [0, 0, 15, 15], the second made 4 lower by its prediction: they overlap by
// 16 · 12 / (16 · 16) = 0.75, which removes it only above the threshold.
static tn_exec *pair(const char *params)
{
    return proposed("_contrib_Proposal", params,
                    TN_TENSOR(TN_F32, TN_DIMS(1, 4, 1, 1), 0, 0, 0.5, 0.25),
                    TN_TENSOR(TN_F32, TN_DIMS(1, 8, 1, 1), 0, 0, 0, 0, 0, 0, 0, -4),
                    TN_TENSOR(TN_F32, TN_DIMS(1, 3), 16, 16, 1));
}

static void boxes_that_overlap_better_ones_are_removed(void)
{
    const char *same = "scales=(1,1); ratios=1; iou_loss=1; rpn_min_size=4; rpn_post_nms_top_n=3; "
                       "threshold=0.75";
    tn_exec *e = pair(same);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 15, 15, 0, 0, 0, 15, 11, 0, 0, 0, 15, 15);
    tn_exec_free(e);
    e = pair("scales=(1,1); ratios=1; iou_loss=1; rpn_min_size=4; rpn_post_nms_top_n=3");
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 15, 15, 0, 0, 0, 15, 15, 0, 0, 0, 15, 15);
    tn_exec_free(e);
}

// Centre 7.5 + 0.25 · 16 = 11.5 in x, width 16 · 2: from -4 to 27, cut off at 0; the height is
// 16 / 2, from 4 to 11.
static void predictions_move_and_scale(void)
{
    tn_exec *e = proposed("_contrib_Proposal", ONE_ANCHOR "rpn_post_nms_top_n=1; rpn_min_size=2",
                          TN_TENSOR(TN_F64, TN_DIMS(1, 2, 1, 1), 0, 0.5),
                          TN_TENSOR(TN_F64, TN_DIMS(1, 4, 1, 1), 0.25, 0, log(2), -log(2)),
                          TN_TENSOR(TN_F64, TN_DIMS(1, 3), 40, 40, 4)); // least size 8
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 0, 0, 4, 27, 11);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 0.5);
    tn_exec_free(e);
}

static void a_batch_is_image_by_image(void)
{
    tn_exec *e = proposed("_contrib_MultiProposal", ONE_ANCHOR "rpn_post_nms_top_n=2",
                          TN_TENSOR(TN_F32, TN_DIMS(2, 2, 1, 2), 0, 0, 0.25, 0.5, 0, 0, 0.75, 0.25),
                          zeros(TN_F32, TN_DIMS(2, 4, 1, 2)),
                          TN_TENSOR(TN_F32, TN_DIMS(2, 3), 16, 32, 1, 16, 32, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 16, 0, 31, 15, 0, 0, 0, 15, 15, 1, 0, 0, 15, 15, 1, 16, 0,
                    31, 15);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 0.5, 0.25, 0.75, 0.25);
    tn_exec_free(e);
}

static void nothing_to_propose(void)
{
    tn_exec *e = proposed("_contrib_Proposal", ONE_ANCHOR "rpn_post_nms_top_n=2",
                          zeros(TN_F32, TN_DIMS(1, 2, 0, 3)), zeros(TN_F32, TN_DIMS(1, 4, 0, 3)),
                          zeros(TN_F32, TN_DIMS(1, 3)));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_out(e, 1), 0, -1, -1);
    tn_exec_free(e);
    e = four_places(ONE_ANCHOR "rpn_post_nms_top_n=0", TN_F32, 32, 32);
    TN_CHECK_DIMS(tn_out(e, 0), 0, 5);
    tn_exec_free(e);
    e = proposed("_contrib_MultiProposal", ONE_ANCHOR, zeros(TN_F32, TN_DIMS(0, 2, 1, 1)),
                 zeros(TN_F32, TN_DIMS(0, 4, 1, 1)), zeros(TN_F32, TN_DIMS(0, 3)));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 5);
    tn_exec_free(e);
}

// Scores that are no number count as the lowest; every row names its image.
static void wild_data_gives_rows_of_images(void)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, -1, 0, 20};
    uint32_t state = 3;
    for (int round = 0; round < 60; round++) {
        double v[6 * 24 + 6], out[40];
        for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
            state = state * 1664525u + 1013904223u;
            v[i] = odd[(state >> 16) % 8];
        }
        tn_exec *e = proposed("_contrib_MultiProposal",
                              round % 2 ? ONE_ANCHOR "iou_loss=1; rpn_post_nms_top_n=4"
                                        : ONE_ANCHOR "rpn_post_nms_top_n=4; rpn_pre_nms_top_n=3",
                              tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 2, 3, 4), v),
                              tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 4, 3, 4), v + 48),
                              tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 3), v + 144));
        CU_ASSERT_FATAL(e != NULL);
        tn_tensor_get(tn_out(e, 0), out, sizeof out);
        for (int i = 0; i < 8; i++) CU_ASSERT(out[5 * i] == i / 4);
        tn_exec_free(e);
    }
}

static void refused(const char *params, const char *text)
{
    tn_fresh();
    tn_op("_contrib_Proposal", params, tn_var("a"));
    TN_CHECK_HAS(tn_graph_error(bench.g), text);
}

static void wrong_parameters_are_refused(void)
{
    refused("feature_stride=0", "feature_stride: wanted at least 1, got 0");
    refused("rpn_post_nms_top_n=-1", "rpn_post_nms_top_n: wanted at least 0, got -1");
    refused("ratios=(1,0)", "ratios: wanted finite numbers above 0, got 0");
    refused("scales=-2", "scales: wanted finite numbers above 0, got -2");
    refused("scales=()", "scales: 0 entries, wanted at least 1");
}

static void names(void)
{
    tn_symbol y = tn_op0("_contrib_Proposal", NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, y),
                   "_contrib_proposal0_cls_prob _contrib_proposal0_bbox_pred "
                   "_contrib_proposal0_im_info");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "_contrib_proposal0_output");
    y = tn_op0("_contrib_MultiProposal", "output_score=1");
    TN_CHECK_NAMES(tn_outputs(bench.g, y),
                   "_contrib_multiproposal0_output _contrib_multiproposal0_score");
}

TN_TEST_MAIN({"the best come first and are repeated", the_best_come_first_and_are_repeated},
             {"small boxes and those outside come last", small_boxes_and_those_outside_come_last},
             {"anchors are those of the paper", anchors_are_those_of_the_paper},
             {"boxes that overlap better ones are removed",
              boxes_that_overlap_better_ones_are_removed},
             {"predictions move and scale", predictions_move_and_scale},
             {"a batch is image by image", a_batch_is_image_by_image},
             {"nothing to propose", nothing_to_propose},
             {"wild data gives rows of images", wild_data_gives_rows_of_images},
             {"wrong parameters are refused", wrong_parameters_are_refused}, {"names", names})
