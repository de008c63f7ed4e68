// tests/ops/test_multibox.c: MultiBoxPrior, MultiBoxTarget, MultiBoxDetection.
//
// Values are worked out by hand, in comments. The kernels were also compared on random data with a
// second implementation in NumPy that follows the definition literally.
#include <math.h>

#include "tests/tn_numeric.h"

// ------------------------------------------------------------------ priors

static tn_exec *prior(const char *params, tn_tensor *data)
{
    tn_fresh();
    return tn_try(tn_op("_contrib_MultiBoxPrior", params, tn_var("data")), .wrt = "data",
                  .given = TN_TENSORS({"data", data}));
}

// A map of 1 row and 2 columns: centres at x = 1/4 and 3/4, and boxes half as wide as high.
static void priors_stand_around_every_place(void)
{
    tn_exec *e = prior("sizes=0.5", tn_sample(TN_F32, TN_DIMS(2, 3, 1, 2), 0, 1, 1));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 4);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.125, 0.25, 0.375, 0.75, 0.625, 0.25, 0.875, 0.75);
    tn_back(e, {NULL, tn_sample(TN_F32, TN_DIMS(1, 2, 4), 0, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "data"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

// Sizes with ratio 1, then ratios but the first with the first size: (0.5, 1), (1, 1), (0.5, 4),
// where the last one is 0.5 · 2 wide and 0.5 / 2 high.
static void priors_of_sizes_come_before_those_of_ratios(void)
{
    for (tn_dtype dtype = TN_F32; dtype < TN_DTYPE_END; dtype++) {
        if (dtype != TN_F32 && dtype != TN_F64 && dtype != TN_F16 && dtype != TN_BF16) continue;
        tn_exec *e =
            prior("sizes=(0.5,1); ratios=(3,4)", tn_sample(dtype, TN_DIMS(1, 1, 1, 1), 0, 1, 1));
        TN_CHECK_VALUES(tn_out(e, 0), 0, 0.25, 0.25, 0.75, 0.75, 0, 0, 1, 1, 0, 0.375, 1, 0.625);
        CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == dtype);
        tn_exec_free(e);
    }
}

// steps and offsets are y first: centres at y = (r + 1) / 4 and x = c / 2, for two rows.
static void priors_by_steps_and_offsets(void)
{
    tn_tensor *x = tn_sample(TN_F64, TN_DIMS(1, 1, 2, 1), 0, 1, 1);
    tn_exec *e = prior("sizes=0.25; steps=(0.25,0.5); offsets=(1,0)", tn_tensor_retain(x));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -0.25, 0.125, 0.25, 0.375, -0.25, 0.375, 0.25, 0.625);
    tn_exec_free(e);
    e = prior("sizes=0.25; steps=(0.25,0.5); offsets=(1,0); clip=1", x);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0.125, 0.25, 0.375, 0, 0.375, 0.25, 0.625);
    tn_exec_free(e);
}

static void an_empty_map_has_no_priors(void)
{
    tn_exec *e = prior("sizes=(1,2)", tn_tensor_new(bench.env, TN_F16, TN_DIMS(2, 3, 0, 4)));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 0, 4);
    tn_exec_free(e);
}

static void refused(const char *op, const char *params, const char *text)
{
    tn_fresh();
    tn_op(op, params, tn_var("a"));
    TN_CHECK_HAS(tn_graph_error(bench.g), text);
}

static void wrong_parameters_are_refused(void)
{
    refused("_contrib_MultiBoxPrior", "sizes=()", "sizes: 0 entries, wanted at least 1");
    refused("_contrib_MultiBoxPrior", "sizes=(1,inf)", "sizes: wanted finite numbers");
    refused("_contrib_MultiBoxPrior", "ratios=(1,-2)", "ratios: wanted finite numbers above 0");
    refused("_contrib_MultiBoxPrior", "steps=(1,-1)", "steps: wanted two numbers above 0");
    refused("_contrib_MultiBoxPrior", "steps=1", "steps: 1 entries, wanted 2");
    refused("_contrib_MultiBoxPrior", "offsets=(0.5,1.5)", "offsets: 1.5 is outside [0,1]");
    refused("_contrib_MultiBoxTarget", "variances=(1,2)", "variances: 2 entries, wanted 4");
    refused("_contrib_MultiBoxTarget", "negative_mining_ratio=3; negative_mining_thresh=0",
            "negative_mining_thresh: wanted more than 0, got 0");
    refused("_contrib_MultiBoxDetection", "variances=(1,2,3,4,5)", "variances: 5 entries");
}

// ------------------------------------------------------------------ targets

static tn_exec *target(const char *params, tn_tensor *anchor, tn_tensor *label, tn_tensor *cls)
{
    tn_fresh();
    const tn_symbol y =
        tn_op("_contrib_MultiBoxTarget", params, tn_var("anchor"), tn_var("label"), tn_var("cls"));
    return tn_try(y, .wrt = "anchor cls",
                  .given = TN_TENSORS({"anchor", anchor}, {"label", label}, {"cls", cls}));
}

// The label is anchor 0 itself; anchor 2 overlaps it by 0.4 · 0.5 / (0.5 · 0.5) = 0.8, and its
// centre lies 0.05 to the left: 0.05 / 0.4 / 0.1 = 1.25, log(0.5 / 0.4) / 0.2 = 1.11572.
static void anchors_that_overlap_a_label_are_positive(void)
{
    tn_exec *e = target(
        NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 3, 4), 0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1, 0, 0, 0.4, 0.5),
        TN_TENSOR(TN_F32, TN_DIMS(1, 2, 5), 2, 0, 0, 0.5, 0.5, -1, -1, -1, -1, -1),
        tn_sample(TN_F32, TN_DIMS(1, 4, 3), 0, 1, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-5, 0, 0, 0, 0, 0, 0, 0, 0, 1.25, 0, 1.1157178, 0);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 2), 0, 3, 0, 3);
    tn_back(e, {NULL, tn_sample(TN_F32, TN_DIMS(1, 12), 0, 1, 1)},
            {NULL, tn_sample(TN_F32, TN_DIMS(1, 12), 0, 1, 1)},
            {NULL, tn_sample(TN_F32, TN_DIMS(1, 3), 0, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "cls"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

// Labels 0 and 1 overlap anchor 0 by 0.8 and 0.9, and anchor 1 by 0.5 / 0.8 and 0.5 / 0.9: label 1
// takes anchor 0, and label 0 anchor 1. Anchor 2 overlaps them by 0.5 and 0.6 and comes too late:
// without a threshold it stays negative, with one below 0.6 it joins label 1.
static void each_label_first_takes_one_anchor(void)
{
    tn_tensor *anchor = TN_TENSOR(TN_F64, TN_DIMS(1, 3, 4), 0, 0, 1, 1, 0, 0, 1, 0.5, 0, 0.3, 1, 1);
    tn_tensor *label = TN_TENSOR(TN_F64, TN_DIMS(1, 2, 5), 4, 0, 0, 1, 0.8, 7, 0, 0, 1, 0.9);
    tn_tensor *cls = tn_sample(TN_F64, TN_DIMS(1, 2, 3), 0, 1, 1);
    tn_exec *e = target("overlap_threshold=0", tn_tensor_retain(anchor), tn_tensor_retain(label),
                        tn_tensor_retain(cls));
    TN_CHECK_VALUES(tn_out(e, 2), 0, 8, 5, 0);
    tn_exec_free(e);
    e = target("overlap_threshold=0.55", anchor, label, cls);
    TN_CHECK_VALUES(tn_out(e, 2), 0, 8, 5, 8);
    tn_exec_free(e);
}

// Of equal overlaps the first anchor and the first label are taken.
static void ties_go_to_the_first(void)
{
    tn_exec *e = target("overlap_threshold=0.9",
                        TN_TENSOR(TN_F64, TN_DIMS(1, 3, 4), 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1),
                        TN_TENSOR(TN_F64, TN_DIMS(1, 2, 5), 5, 0, 0, 1, 1, 6, 0, 0, 1, 1),
                        tn_sample(TN_F64, TN_DIMS(1, 2, 3), 0, 1, 1));
    TN_CHECK_VALUES(tn_out(e, 2), 0, 6, 7, 6);
    tn_exec_free(e);
}

// Anchor 0 is positive, anchor 1 overlaps too much to be negative (0.5 / 1.0 = 0.5), and of the
// others those with the lowest logit of class 0 are taken.
static tn_exec *mined(const char *params)
{
    tn_tensor *anchor = TN_TENSOR(TN_F32, TN_DIMS(1, 5, 4), 0, 0, 1, 1, 0, 0, 0.5, 1, 2, 2, 3, 3, 4,
                                  4, 5, 5, 6, 6, 7, 7);
    tn_tensor *label = TN_TENSOR(TN_F32, TN_DIMS(1, 1, 5), 0, 0, 0, 1, 1);
    tn_tensor *cls = TN_TENSOR(TN_F32, TN_DIMS(1, 2, 5), 0, -9, 3, 1, 2, 0, 0, 0, 0, 0);
    return target(params, anchor, label, cls);
}

static void negatives_are_mined(void)
{
    tn_exec *e = mined("negative_mining_ratio=1; negative_mining_thresh=0.5; ignore_label=-3");
    TN_CHECK_VALUES(tn_out(e, 2), 0, 1, -3, -3, 0, -3);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
    e = mined("negative_mining_ratio=2.9"); // rounded down
    TN_CHECK_VALUES(tn_out(e, 2), 0, 1, -1, -1, 0, 0);
    tn_exec_free(e);
    e = mined("negative_mining_ratio=0.5; minimum_negative_samples=2");
    TN_CHECK_VALUES(tn_out(e, 2), 0, 1, -1, -1, 0, 0);
    tn_exec_free(e);
    e = mined("negative_mining_ratio=1e30"); // no more than there are
    TN_CHECK_VALUES(tn_out(e, 2), 0, 1, -1, 0, 0, 0);
    tn_exec_free(e);
}

// In an image without labels nothing counts, also where its label rows have no columns to read.
static void images_without_labels_are_ignored(void)
{
    tn_tensor *anchor = TN_TENSOR(TN_F32, TN_DIMS(1, 2, 4), 0, 0, 1, 1, 0, 0, 1, 1);
    tn_exec *e = target("ignore_label=9", tn_tensor_retain(anchor),
                        TN_TENSOR(TN_F32, TN_DIMS(2, 1, 5), -1, -1, -1, -1, -1, 3, 0, 0, 1, 1),
                        tn_sample(TN_F32, TN_DIMS(2, 2, 2), 0, 1, 1));
    TN_CHECK_VALUES(tn_out(e, 2), 0, 9, 9, 4, 4);
    tn_exec_free(e);
    e = target("negative_mining_ratio=3", anchor,
               tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 0, 5)),
               tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 0, 2)));
    TN_CHECK_VALUES(tn_out(e, 2), 0, -1, -1);
    tn_exec_free(e);
    e = target(NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 0, 4)),
               TN_TENSOR(TN_F32, TN_DIMS(1, 1, 5), 3, 0, 0, 1, 1),
               tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 2, 0)));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 0);
    TN_CHECK_DIMS(tn_out(e, 2), 1, 0);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ detections

static tn_exec *detection(const char *params, tn_tensor *cls, tn_tensor *loc, tn_tensor *anchor)
{
    tn_fresh();
    const tn_symbol y =
        tn_op("_contrib_MultiBoxDetection", params, tn_var("cls"), tn_var("loc"), tn_var("anchor"));
    return tn_try(y, .wrt = "cls loc anchor",
                  .given = TN_TENSORS({"cls", cls}, {"loc", loc}, {"anchor", anchor}));
}

// Anchor [0.2, 0.2, 0.6, 0.6] has centre 0.4 and size 0.4: x = 2.5 · 0.1 · 0.4 + 0.4 = 0.5,
// width = exp(log 2 / 0.2 · 0.2) · 0.4 = 0.8, so xmin = 0.1 and xmax = 0.9; y -10 is cut off.
static void boxes_are_decoded_and_clipped(void)
{
    tn_tensor *cls = TN_TENSOR(TN_F64, TN_DIMS(1, 3, 1), 0.1, 0.2, 0.7);
    tn_tensor *loc = TN_TENSOR(TN_F64, TN_DIMS(1, 4), 2.5, -10, log(2) / 0.2, 0);
    tn_tensor *anchor = TN_TENSOR(TN_F64, TN_DIMS(1, 1, 4), 0.2, 0.2, 0.6, 0.6);
    tn_exec *e =
        detection(NULL, tn_tensor_retain(cls), tn_tensor_retain(loc), tn_tensor_retain(anchor));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 1, 0.7, 0.1, 0, 0.9, 0.2);
    tn_back(e, {NULL, tn_sample(TN_F64, TN_DIMS(1, 1, 6), 0, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "loc"), 0, 0, 0, 0, 0);
    tn_exec_free(e);
    e = detection("clip=0; variances=(0.1,0.1,0.2,0.2)", cls, loc, anchor);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 1, 0.7, 0.1, -0.2, 0.9, 0.2);
    tn_exec_free(e);
}

// Five anchors, no offsets. 0 and 1 overlap by 0.5 / 1; 2 is 0 again, of the other class; 3 is
// background; 4 lies elsewhere.
static tn_exec *five(const char *params, tn_dtype dtype)
{
    tn_tensor *cls = TN_TENSOR(dtype, TN_DIMS(1, 3, 5), 0, 0, 0, 1, 0, //
                               0.5, 0.75, 0.25, 0, 0.125,              //
                               0.25, 0.25, 0.5, 0, 0);
    tn_tensor *loc = TN_TENSOR(dtype, TN_DIMS(1, 20), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                               0, 0, 0, 0, 0);
    tn_tensor *anchor = TN_TENSOR(dtype, TN_DIMS(1, 5, 4), 0, 0, 1, 0.5, 0, 0, 0.5, 0.5, 0, 0, 1,
                                  0.5, 0, 0, 1, 1, 0.5, 0.5, 1, 1);
    return detection(params, cls, loc, anchor);
}

static void better_detections_suppress_worse_ones(void)
{
    for (tn_dtype dtype = TN_F32; dtype < TN_DTYPE_END; dtype++) {
        if (dtype != TN_F32 && dtype != TN_F64 && dtype != TN_F16 && dtype != TN_BF16) continue;
        tn_exec *e = five(NULL, dtype); // an overlap equal to the threshold is enough
        TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0.75, 0, 0, 0.5, 0.5, //
                        -1, 0.5, 0, 0, 1, 0.5,                    //
                        1, 0.5, 0, 0, 1, 0.5,                     //
                        0, 0.125, 0.5, 0.5, 1, 1,                 //
                        -1, -1, -1, -1, -1, -1);
        tn_exec_free(e);
    }
}

static void check_classes(const char *params, double a, double b, double c, double d, double f)
{
    tn_exec *e = five(params, TN_F64);
    double v[30] = {0};
    if (e) tn_tensor_get(tn_out(e, 0), v, sizeof v);
    const double wanted[] = {a, b, c, d, f};
    for (int i = 0; i < 5; i++) TN_CHECK_NEAR(v[6 * i], wanted[i], 0);
    tn_exec_free(e);
}

static void detections_by_parameters(void)
{
    check_classes("nms_threshold=0.6", 0, 0, 1, 0, -1);
    check_classes("force_suppress=1", 0, -1, -1, 0, -1);
    check_classes("nms_topk=2", 0, -1, -1, -1, -1);
    check_classes("nms_topk=3; nms_threshold=0.6", 0, 0, 1, -1, -1);
    check_classes("threshold=0.125", 0, -1, 1, 0, -1); // not less than the threshold
    check_classes("threshold=0.126", 0, -1, 1, -1, -1);
    check_classes("nms_threshold=0", 0, 0, 1, 0, -1); // in the order of anchors
    check_classes("nms_threshold=1.5", 0, 0, 1, 0, -1);
    // another background, or none: anchor 3 is of class 0, and anchor 2 of class 1 or 2
    check_classes("background_id=2; nms_threshold=0.6", 0, 1, 1, -1, 1);
    check_classes("background_id=-1; nms_threshold=0.6", 0, 1, 1, 2, 1);
}

static void nothing_to_detect(void)
{
    tn_exec *e = detection(NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 3, 0)),
                           tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0)),
                           tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 0, 4)));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 0, 6);
    tn_exec_free(e);
    e = detection(NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(1, 0, 1)),
                  tn_sample(TN_F32, TN_DIMS(1, 4), 0, 1, 1),
                  tn_sample(TN_F32, TN_DIMS(1, 1, 4), 0, 1, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -1, -1, -1, -1, -1);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ any data

// Values no network should give: each with its chance.
static tn_tensor *wild(tn_dims dims, uint32_t *state)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, -1, 0, 1e-300};
    double v[512];
    size_t n = 1;
    for (size_t i = 0; i < dims.ndim; i++) n *= (size_t)dims.dim[i];
    for (size_t i = 0; i < n; i++) {
        *state = *state * 1664525u + 1013904223u;
        const uint32_t r = *state >> 16;
        v[i] = r % 3 ? (double)(r % 1000) / 500 - 0.5 : odd[r / 3 % 8];
    }
    return tn_tensor_from(bench.env, TN_F64, dims, v);
}

static void wild_data_gives_classes_that_exist(void)
{
    uint32_t state = 7;
    for (int round = 0; round < 60; round++) {
        double v[60], w[40], t[10];
        tn_exec *e = detection(round % 2 ? "force_suppress=1; nms_topk=4" : NULL,
                               wild(TN_DIMS(2, 4, 5), &state), wild(TN_DIMS(2, 20), &state),
                               wild(TN_DIMS(1, 5, 4), &state));
        CU_ASSERT_FATAL(e != NULL);
        tn_tensor_get(tn_out(e, 0), v, sizeof v);
        for (int i = 0; i < 10; i++)
            CU_ASSERT(v[6 * i] == -1 || v[6 * i] == 0 || v[6 * i] == 1 || v[6 * i] == 2);
        tn_exec_free(e);
        e = target(round % 2 ? "negative_mining_ratio=2" : "overlap_threshold=0.1",
                   wild(TN_DIMS(1, 5, 4), &state), wild(TN_DIMS(2, 3, 6), &state),
                   wild(TN_DIMS(2, 3, 5), &state));
        CU_ASSERT_FATAL(e != NULL);
        tn_tensor_get(tn_out(e, 1), w, sizeof w);
        tn_tensor_get(tn_out(e, 2), t, sizeof t);
        for (int i = 0; i < 40; i++)
            CU_ASSERT(w[i] == 1 || (w[i] == 0 && (t[i / 4] == 0 || t[i / 4] == -1)));
        tn_exec_free(e);
    }
}

static void names(void)
{
    tn_symbol y = tn_op0("_contrib_MultiBoxTarget", NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, y),
                   "_contrib_multiboxtarget0_anchor _contrib_multiboxtarget0_label "
                   "_contrib_multiboxtarget0_cls_pred");
    TN_CHECK_NAMES(tn_outputs(bench.g, y),
                   "_contrib_multiboxtarget0_loc_target _contrib_multiboxtarget0_loc_mask "
                   "_contrib_multiboxtarget0_cls_target");
    y = tn_op0("_contrib_MultiBoxDetection", NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, y),
                   "_contrib_multiboxdetection0_cls_prob _contrib_multiboxdetection0_loc_pred "
                   "_contrib_multiboxdetection0_anchor");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "_contrib_multiboxdetection0_output");
}

TN_TEST_MAIN(
    {"priors stand around every place", priors_stand_around_every_place},
    {"priors of sizes come before those of ratios", priors_of_sizes_come_before_those_of_ratios},
    {"priors by steps and offsets", priors_by_steps_and_offsets},
    {"an empty map has no priors", an_empty_map_has_no_priors},
    {"wrong parameters are refused", wrong_parameters_are_refused},
    {"anchors that overlap a label are positive", anchors_that_overlap_a_label_are_positive},
    {"each label first takes one anchor", each_label_first_takes_one_anchor},
    {"ties go to the first", ties_go_to_the_first}, {"negatives are mined", negatives_are_mined},
    {"images without labels are ignored", images_without_labels_are_ignored},
    {"boxes are decoded and clipped", boxes_are_decoded_and_clipped},
    {"better detections suppress worse ones", better_detections_suppress_worse_ones},
    {"detections by parameters", detections_by_parameters},
    {"nothing to detect", nothing_to_detect},
    {"wild data gives classes that exist", wild_data_gives_classes_that_exist}, {"names", names})
