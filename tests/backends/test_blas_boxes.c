// tests/backends/test_blas_boxes.c: detection, regions and CTC of the blas backend against the
// reference backend on random data, and the same bits for any number of threads.
//
// These operators choose: they compare, sort and stop. Both backends compute in double, so that
// they choose the same; float16 and bfloat16 have many equal numbers.
#include "random_rows.h"

// ------------------------------------------------------------------ values

// A tensor with element j = of(j, …); `last` is the extent of the last axis.
typedef double element(uint64_t seed, int64_t j, int64_t last);

static tn_tensor *make(tn_dtype dtype, const tn_shape *s, uint64_t seed, element *of)
{
    int64_t n = 1, last = s->ndim ? s->dim[s->ndim - 1] : 1;
    for (int i = 0; i < s->ndim; i++) n *= s->dim[i];
    double *v = calloc((size_t)n + 1, sizeof *v);
    for (int64_t j = 0; v && j < n; j++) v[j] = of(seed, j, last);
    tn_tensor *t =
        v ? tn_tensor_from(bench.env, dtype, (tn_dims){(size_t)s->ndim, s->dim}, v) : NULL;
    free(v);
    return t;
}

// In 0 … 1.
static double unit(uint64_t seed, int64_t j, int64_t last)
{
    (void)last;
    return (double)pick(seed * 100000 + (uint64_t)j, 0, 1 << 20) / (1 << 20);
}

static double centred(uint64_t seed, int64_t j, int64_t last)
{
    return 2 * unit(seed, j, last) - 1;
}

// Place k of a box (x1, y1, x2, y2) with the number `box`: one in eight is inside out, and some
// reach beyond 0 … 1.
static double corner(uint64_t seed, int64_t box, int k)
{
    const double centre = unit(seed, 8 * box + k % 2, 0);
    const double half = 0.05 + 0.3 * unit(seed, 8 * box + 2 + k % 2, 0);
    const bool inside_out = pick(seed + (uint64_t)box, 0, 7) == 0;
    return centre + ((k >= 2) != inside_out ? half : -half);
}

static double boxes(uint64_t seed, int64_t j, int64_t last)
{
    (void)last;
    return corner(seed, j / 4, (int)(j % 4));
}

// Rows (class 0 … 3, box, …); one in six ends the labels of its image.
static double labels(uint64_t seed, int64_t j, int64_t last)
{
    const int64_t row = j / last, k = j % last;
    if (pick(seed + 77 + (uint64_t)row, 0, 5) == 0) return -1;
    if (k == 0) return (double)pick(seed + 99 + (uint64_t)row, 0, 3);
    return k < 5 ? corner(seed, row, (int)(k - 1)) : unit(seed, j, last);
}

// Rows (image, x1, y1, x2, y2) in pixels, of two images of some 20 each way: one in five is of an
// image that is not there, one in ten has a NaN, and corners may lie beyond.
static double regions(uint64_t seed, int64_t j, int64_t last)
{
    const int64_t row = j / last, k = j % last;
    const int64_t image = pick(seed + 5 + (uint64_t)row, 0, 9);
    if (k == 0) return (double)(image == 0 ? -1 : image == 1 ? 3 : image % 2);
    if (pick(seed + 300 + (uint64_t)j, 0, 40) == 0) return NAN;
    return 28 * corner(seed, row, (int)(k - 1)) - 4;
}

// Rows (height, width, scale) of images.
static double sizes_of_images(uint64_t seed, int64_t j, int64_t last)
{
    if (j % last == 2) return 0.5 + unit(seed, j, last);
    return (double)pick(seed + 9 + (uint64_t)j, 40, 300);
}

static double letters(uint64_t seed, int64_t j, int64_t last)
{
    (void)last;
    return (double)pick(seed + 13 + (uint64_t)j, -1, 6);
}

// No blanks, but for one in 20.
static double spelled(uint64_t seed, int64_t j, int64_t last)
{
    (void)last;
    return (double)(pick(seed + 19 + (uint64_t)j, 0, 19) ? pick(seed + 23 + (uint64_t)j, 1, 6) : 0);
}

// Of data of some 20 steps, and of labels.
static double steps(uint64_t seed, int64_t j, int64_t last)
{
    (void)last;
    return (double)pick(seed + 17 + (uint64_t)j, 5, 30);
}

static double lengths(uint64_t seed, int64_t j, int64_t last)
{
    (void)last;
    return (double)pick(seed + 29 + (uint64_t)j, 0, 4);
}

// By the order of an operator's inputs.
#define VALUES(name, ...)                                               \
    static tn_tensor *name(size_t i, tn_dtype dtype, const tn_shape *s) \
    {                                                                   \
        static element *const of[] = {__VA_ARGS__};                     \
        return make(dtype, s, 3 + i, of[i]);                            \
    }
VALUES(of_target, boxes, labels, unit)
VALUES(of_detection, unit, centred, boxes)
VALUES(of_proposal, unit, centred, sizes_of_images)
VALUES(of_rois, centred, regions)
VALUES(of_rois_gradient, centred, regions, centred)
VALUES(of_ctc, centred, letters)
VALUES(of_ctc_lengths, centred, spelled, steps, lengths)

// ------------------------------------------------------------------ rows

#define FLOATS .floats_only = true
static const random_row rows[] = {
    ROW("_contrib_MultiBoxTarget", NULL, "1,a,4 b,c,5 b,4,a", .value = of_target, FLOATS),
    ROW("_contrib_MultiBoxTarget", "overlap_threshold=0.3; variances=(1,2,3,4)",
        "1,a9,4 b,c,6 b,5,a9", .value = of_target, FLOATS),
    ROW("_contrib_MultiBoxTarget",
        "negative_mining_ratio=2; negative_mining_thresh=0.4; minimum_negative_samples=3; "
        "ignore_label=-7",
        "1,a9,4 b,c,5 b,3,a9", .value = of_target, FLOATS),
    ROW("_contrib_MultiBoxTarget", "overlap_threshold=0; negative_mining_ratio=1",
        "1,a,4 b,2,5 b,2,a", .value = of_target, FLOATS),
    ROW("_contrib_MultiBoxDetection", NULL, "b,4,a b,a*4 1,a,4", .value = of_detection, FLOATS),
    ROW("_contrib_MultiBoxDetection", "threshold=0.5; nms_threshold=0.2; force_suppress=1; clip=0",
        "b,3,a b,a*4 1,a,4", .value = of_detection, FLOATS),
    ROW("_contrib_MultiBoxDetection", "background_id=2; nms_topk=5; variances=(1,1,1,1)",
        "b,3,a b,a*4 1,a,4", .value = of_detection, FLOATS),
    ROW("_contrib_MultiBoxDetection", "background_id=-1; nms_threshold=0; threshold=0.9",
        "b,3,a b,a*4 1,a,4", .value = of_detection, FLOATS),
    ROW("_contrib_Proposal",
        "scales=(1,2); ratios=(0.5,1,2); rpn_post_nms_top_n=20; output_score=1",
        "1,12,b,c 1,24,b,c 1,3", .value = of_proposal, FLOATS),
    ROW("_contrib_Proposal",
        "scales=2; ratios=(1,3); rpn_pre_nms_top_n=9; rpn_post_nms_top_n=12; threshold=0.3; "
        "output_score=1; feature_stride=8; rpn_min_size=4",
        "1,4,b,c 1,8,b,c 1,3", .value = of_proposal, FLOATS),
    ROW("_contrib_MultiProposal", "scales=2; ratios=1; rpn_post_nms_top_n=7; iou_loss=1",
        "e,2,b,c e,4,b,c e,3", .value = of_proposal, FLOATS),
    ROW("_contrib_MultiProposal",
        "scales=(1,4); ratios=1; rpn_pre_nms_top_n=0; rpn_post_nms_top_n=30; output_score=1",
        "e,4,b,c e,8,b,c e,3", .value = of_proposal, FLOATS),
    ROW("ROIPooling", "pooled_size=(3,2); spatial_scale=0.5", "2,c,a,b d,5", .value = of_rois,
        .outputs = 2, FLOATS),
    ROW("ROIPooling", "pooled_size=(7,7); spatial_scale=1", "3,c,a9,b9 d,5", .value = of_rois,
        .outputs = 2, FLOATS),
    ROW("_contrib_PSROIPooling", "spatial_scale=1; output_dim=$c; pooled_size=3; group_size=1",
        "2,c,a,b d,5", .value = of_rois, FLOATS),
    ROW("_contrib_PSROIPooling", "spatial_scale=0.7; output_dim=2; pooled_size=2", "2,8,a9,b9 d,5",
        .value = of_rois, FLOATS),
    ROW("_backward_PSROIPooling", "spatial_scale=0.7; output_dim=2; pooled_size=2",
        "d,2,2,2 d,5 2,8,a9,b9", .value = of_rois_gradient, FLOATS),
    ROW("_backward_PSROIPooling", "spatial_scale=1; output_dim=1; pooled_size=3; group_size=2",
        "d,1,3,3 d,5 2,4,a,b", .value = of_rois_gradient, FLOATS),
    ROW("_contrib_CTCLoss", NULL, "a9,b,8 b,d", .value = of_ctc, .outputs = 2, FLOATS),
    ROW("_contrib_CTCLoss", "blank_label=last", "a,b,7 b,d", .value = of_ctc, .outputs = 2, FLOATS),
    ROW("_contrib_CTCLoss", "use_data_lengths=1; use_label_lengths=1", "a9,b,8 b,d b b",
        .value = of_ctc_lengths, .outputs = 2, FLOATS),
};
static const random_rows all = {sizeof rows / sizeof *rows, rows};

static void float32_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 0; seed < 6; seed++) compare_all(all, TN_F32, seed, 1, 24);
}

static void float64_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 6; seed < 9; seed++) compare_all(all, TN_F64, seed, 1, 24);
}

static void sixteen_bits_agree_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 9; seed < 12; seed++) {
        compare_all(all, TN_F16, seed, 1, 24);
        compare_all(all, TN_BF16, seed, 1, 24);
    }
}

static void empty_values_agree_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 20; seed < 26; seed++) compare_all(all, TN_F32, seed, 0, 2);
}

static void any_number_of_threads_gives_the_same_bits(void)
{
    static const int64_t extent[5] = {61, 23, 9, 40, 11};
    if (!ready()) return;
    for (size_t i = 0; i < all.n; i++) {
        drawn d;
        draw(&d, &rows[i], extent);
        same_bits(&rows[i], &d);
    }
}

TN_TEST_MAIN({"float32 agrees with the reference", float32_agrees_with_the_reference},
             {"float64 agrees with the reference", float64_agrees_with_the_reference},
             {"sixteen bits agree with the reference", sixteen_bits_agree_with_the_reference},
             {"empty values agree with the reference", empty_values_agree_with_the_reference},
             {"any number of threads gives the same bits",
              any_number_of_threads_gives_the_same_bits})
