// tests/ops/test_roi.c: ROIPooling, _contrib_PSROIPooling.
#include <math.h>

#include "lattice.h"

#define ROWS_3X4 TN_TENSOR(TN_F32, TN_DIMS(1, 1, 3, 4), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)

static tn_exec *pooled(const char *op, const char *params, tn_tensor *data, tn_tensor *rois)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x"), tn_var("rois")), .wrt = "x",
                  .given = TN_TENSORS({"x", data}, {"rois", rois}));
}

// The whole image of 3 x 4 in 2 x 2 bins: rows 0-1 and 1-2, columns 0-1 and 2-3. Row 1 is in both
// bins, as 3 is no multiple of 2.
static void roi_bins_overlap_where_they_must(void)
{
    tn_exec *e = pooled("ROIPooling", "pooled_size=(2,2); spatial_scale=1", ROWS_3X4,
                        TN_TENSOR(TN_F32, TN_DIMS(1, 5), 0, 0, 0, 3, 2));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 8, 10, 12);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4);
    tn_exec_free(e);
}

// Corners times scale, rounded away from zero at halves: 1 · 0.5 → 1, 5 · 0.5 = 2.5 → 3, 2 · 0.5 =
// 1, so columns 1 to 3 of row 1. The second region has its corners the wrong way round: one point.
static void roi_corners_are_rounded_and_both_belong(void)
{
    tn_exec *e = pooled("ROIPooling", "pooled_size=(1,3); spatial_scale=0.5", ROWS_3X4,
                        TN_TENSOR(TN_F64, TN_DIMS(2, 5), 0, 1, 2, 5, 2, 0, 2, 4, 0, 0));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 7, 8, 10, 10, 10);
    tn_exec_free(e);
}

// maxidx is y W + x within the plane, -1 where there is nothing.
static void roi_tells_where_the_maxima_were(void)
{
    const tn_symbol y =
        tn_op("ROIPooling", "pooled_size=(1,2); spatial_scale=1", tn_var("x"), tn_var("rois"));
    const tn_symbol maxidx = {y.node, 1, y.graph};
    tn_exec *e =
        tn_try(tn_group(bench.g, TN_SYMS(y, maxidx)),
               .given = TN_TENSORS(
                   {"x", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2, 2), 1, 4, 3, 4, 8, 8, NAN, 7)},
                   {"rois", TN_TENSOR(TN_F32, TN_DIMS(2, 5), 0, 0, 0, 1, 1, 9, 0, 0, 1, 1)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 4, NAN, 8, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 2, 1, 2, 1, -1, -1, -1, -1);
    CU_ASSERT_EQUAL(tn_tensor_dtype(tn_out(e, 1)), TN_I64);
    tn_exec_free(e);
}

static void roi_agrees_with_another_program(void)
{
    tn_exec *e = pooled(
        "ROIPooling", "pooled_size=(2,3); spatial_scale=0.7", lattice(TN_DIMS(2, 2, 5, 6), 13, 17),
        TN_TENSOR(TN_F64, TN_DIMS(3, 5), 0, 1, 1, 4, 3, 1, -2, 0, 9, 8.6, 0, 2.5, 1.4, 2.4, 0));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 2, 15, 16, 12, 8, 5, 1, 14, 15, 11, 7, 15, 16, 16, 11, 16,
                    12, 14, 16, 15, 16, 16, 11, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1);
    tn_exec_free(e);
}

// Edges are quotients of whole numbers, so 7 points in 7 bins are one point each. (49 · 1/49 is
// less than 1 in float32, and the last bin would have begun one row too early.)
static void roi_edges_are_exact(void)
{
    double values[49], wanted[49];
    for (int i = 0; i < 49; i++) values[i] = wanted[i] = i + 1;
    tn_exec *e = pooled("ROIPooling", "pooled_size=(49,1); spatial_scale=1",
                        tn_tensor_from(bench.env, TN_F32, TN_DIMS(1, 1, 49, 1), values),
                        TN_TENSOR(TN_F32, TN_DIMS(1, 5), 0, 0, 0, 0, 48));
    tn_check_values(__LINE__, __FILE__, tn_out(e, 0), wanted, 49, 0);
    tn_exec_free(e);
}

// Whatever a region is, nothing outside of data is touched; what is no region is 0.
static void hostile_regions(const char *op, const char *params, int n_out, double whole)
{
    tn_exec *e =
        pooled(op, params, ROWS_3X4,
               TN_TENSOR(TN_F32, TN_DIMS(12, 5), 1, 0, 0, 3, 3, -1, 0, 0, 3, 3, NAN, 0, 0, 3, 3,
                         INFINITY, 0, 0, 3, 3, 0, NAN, 0, 3, 3, 0, 0, 0, NAN, 3, 0, 50, 0, 60, 3, 0,
                         -60, -60, -50, -50, 0, INFINITY, 0, 3, 3, 0, 1e30, 1e30, 2e30, 2e30, 0,
                         -INFINITY, -INFINITY, -INFINITY, -INFINITY, -0.5, 0, 0, 3, 3));
    tn_tensor *y = tn_out(e, 0);
    for (int64_t i = 0; y && i < tn_tensor_size(y) - n_out; i++)
        TN_CHECK_NEAR(tn_tensor_at(y, i), 0, 0);
    // The last region begins with -0.5: image 0, as the whole part counts.
    if (y) TN_CHECK_NEAR(tn_tensor_at(y, tn_tensor_size(y) - 1), whole, 1e-6);
    tn_back(e, {NULL, lattice_of(TN_F32, TN_DIMS(12, 1, 1, 1), 0, 1, 1, 1)});
    double sum = 0;
    tn_tensor *dx = tn_grad(e, "x");
    for (int64_t i = 0; dx && i < tn_tensor_size(dx); i++) sum += tn_tensor_at(dx, i);
    TN_CHECK_NEAR(sum, 1, 1e-6); // that of the last one
    tn_exec_free(e);
}

static void hostile_regions_are_empty(void)
{
    hostile_regions("ROIPooling", "pooled_size=(1,1); spatial_scale=1", 1, 12);
    hostile_regions("_contrib_PSROIPooling", "pooled_size=1; output_dim=1; spatial_scale=1", 1,
                    6.5);
}

// The whole part of -0.5 is 0, but there is no image 0.
static void regions_of_no_images_are_empty(void)
{
    const tn_symbol y =
        tn_op("ROIPooling", "pooled_size=(1,1); spatial_scale=1", tn_var("x"), tn_var("rois"));
    const tn_symbol z =
        tn_op("_contrib_PSROIPooling", "pooled_size=1; output_dim=1; spatial_scale=1", tn_var("x2"),
              tn_var("rois2"));
    const tn_symbol maxidx = {y.node, 1, y.graph};
    tn_exec *e =
        tn_try(tn_group(bench.g, TN_SYMS(y, maxidx, z)),
               .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 1, 3, 4))},
                                   {"x2", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 1, 3, 4))},
                                   {"rois", TN_TENSOR(TN_F32, TN_DIMS(1, 5), -0.5, 0, 0, 3, 3)},
                                   {"rois2", TN_TENSOR(TN_F32, TN_DIMS(1, 5), -0.5, 0, 0, 3, 3)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0);
    TN_CHECK_VALUES(tn_out(e, 1), 0, -1);
    TN_CHECK_VALUES(tn_out(e, 2), 0, 0);
    tn_exec_free(e);
}

static void roi_of_many_dtypes(void)
{
    const tn_dtype dtypes[] = {TN_F16, TN_BF16, TN_F64, TN_I32, TN_U8, TN_I64};
    for (int i = 0; i < 6; i++) {
        tn_fresh();
        tn_exec *e = tn_try(
            tn_op("ROIPooling", "pooled_size=(1,2); spatial_scale=1", tn_var("x"), tn_var("rois")),
            .given = TN_TENSORS({"x", TN_TENSOR(dtypes[i], TN_DIMS(1, 1, 2, 2), 1, 4, 3, 2)},
                                {"rois", TN_TENSOR(TN_I32, TN_DIMS(1, 5), 0, 0, 0, 1, 1)}));
        TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 4);
        tn_exec_free(e);
    }
}

static void names_and_empty_lists(void)
{
    tn_symbol y = tn_op("ROIPooling", "pooled_size=(2,2); spatial_scale=1", tn_var("x"));
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x roipooling0_rois");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "roipooling0_output");
    tn_exec *e = pooled("ROIPooling", "pooled_size=(2,3); spatial_scale=1", ROWS_3X4,
                        tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 5)));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 1, 2, 3);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 1, 2, 3))});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
    tn_fresh();
    tn_op("ROIPooling", "pooled_size=(2,0); spatial_scale=1", tn_var("x"), tn_var("rois"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "pooled_size");
}

// One output channel of 2 x 2 channels, each a constant: every bin shows the number of its channel.
static void psroi_bins_have_channels_of_their_own(void)
{
    tn_exec *e = pooled(
        "_contrib_PSROIPooling", "pooled_size=2; group_size=2; output_dim=1; spatial_scale=1",
        TN_TENSOR(TN_F32, TN_DIMS(1, 4, 2, 2), 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4),
        TN_TENSOR(TN_F32, TN_DIMS(1, 5), 0, 0, 0, 1, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2, 2), 1, 2, 3, 4)});
    // Bin (i, j) is the one point (i, j) of its channel.
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4);
    tn_exec_free(e);
}

static void psroi_agrees_with_another_program(void)
{
    const double rois[] = {0, 1, 1, 4, 3, 1, -2, 0, 9, 8.6};
    tn_exec *e = pooled("_contrib_PSROIPooling", "pooled_size=2; output_dim=2; spatial_scale=0.5",
                        lattice(TN_DIMS(2, 8, 4, 5), 13, 17),
                        tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 5), rois));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-9, 9.25, 10.25, 5, 6, 8, 4.75, 8, 9, 6.666666667, 9.222222222,
                    6.5, 7.166666667, 6.833333333, 8.444444444, 9.5, 7.333333333);
    tn_exec_free(e);
    e = pooled("_contrib_PSROIPooling",
               "pooled_size=3; group_size=2; output_dim=2; spatial_scale=0.5",
               lattice(TN_DIMS(2, 8, 4, 5), 13, 17),
               tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 5), rois));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-9, 6.5, 13, 7.5, 12, 10, 13, 5, 3, 6, 9.5, 16, 2, 6.5, 13, 7.5,
                    8, 6, 9, 4.5, 11.25, 12.5, 5.666666667, 11, 8, 7, 9.5, 6.5, 7.5, 5.75, 11.25, 3,
                    11.16666667, 11, 10, 4, 9.5);
    tn_exec_free(e);
    tn_fresh();
    tn_op("_contrib_PSROIPooling", "pooled_size=2; output_dim=2; spatial_scale=1",
          tn_variable(bench.g, "x", .shape = TN_DIMS(1, 7, 4, 4)), tn_var("rois"));
    tn_infer_shape(bench.g,
                   tn_op("_contrib_PSROIPooling", "pooled_size=2; output_dim=2; spatial_scale=1",
                         tn_variable(bench.g, "z", .shape = TN_DIMS(1, 7, 4, 4)), tn_var("r")),
                   (tn_shapes){0});
    TN_CHECK_HAS(tn_graph_error(bench.g), "wanted at least output_dim group_size^2 = 8 channels");
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("ROIPooling", "pooled_size=(2,2); spatial_scale=1", "2,2,4,4 3,5",
                           .lo = 0, .hi = 3, .fixed = "1"),
                   TN_CASE("ROIPooling", "pooled_size=(1,3); spatial_scale=0.5", "3,1,4,5 4,5",
                           .lo = 0, .hi = 6, .fixed = "1"),
                   TN_CASE("ROIPooling", "pooled_size=(3,2); spatial_scale=0.25", "3,3,3,3 2,5",
                           .lo = -1, .hi = 9, .fixed = "1"),
                   TN_CASE("ROIPooling", "pooled_size=(5,4); spatial_scale=1", "1,1,3,3 3,5",
                           .lo = -0.9, .hi = 4, .fixed = "1"),
                   TN_CASE("ROIPooling", "pooled_size=(1,1); spatial_scale=1", "2,2,6,6 5,5",
                           .lo = -1, .hi = 5, .fixed = "1"));
    TN_CHECK_CASES(TN_CASE("_backward_ROIPooling", NULL, "3,2,2,2 3,5 3,2,2,2 2,2,4,4", .lo = -1,
                           .hi = 3, .fixed = "1 2 3"),
                   TN_CASE("_backward_ROIPooling", NULL, "1,1,1,2 1,5 1,1,1,2 1,1,3,3", .lo = 0,
                           .hi = 1, .fixed = "1 2 3"),
                   TN_CASE("_backward_ROIPooling", NULL, "4,1,3,1 4,5 4,1,3,1 3,1,2,5", .lo = 0,
                           .hi = 3, .fixed = "1 2 3"),
                   TN_CASE("_backward_ROIPooling", NULL, "2,3,1,1 2,5 2,3,1,1 2,3,2,2", .lo = 0,
                           .hi = 2, .fixed = "1 2 3"),
                   TN_CASE("_backward_ROIPooling", NULL, "2,2,2,3 2,5 2,2,2,3 1,2,3,1", .lo = -2,
                           .hi = 9, .fixed = "1 2 3"));
}

#define PSROI(rest) "spatial_scale=0.5; " rest

static void gradients_of_psroi_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("_contrib_PSROIPooling", PSROI("output_dim=2; pooled_size=2"), "2,8,4,4 3,5",
                .lo = 0, .hi = 6, .fixed = "1"),
        TN_CASE("_contrib_PSROIPooling", PSROI("output_dim=1; pooled_size=3"), "3,9,3,4 4,5",
                .lo = 0, .hi = 5, .fixed = "1"),
        TN_CASE("_contrib_PSROIPooling", PSROI("output_dim=3; pooled_size=1"), "3,3,3,3 2,5",
                .lo = -1, .hi = 9, .fixed = "1"),
        TN_CASE("_contrib_PSROIPooling", PSROI("output_dim=1; pooled_size=3; group_size=2"),
                "2,4,5,5 3,5", .lo = 0, .hi = 9, .fixed = "1"),
        TN_CASE("_contrib_PSROIPooling", PSROI("output_dim=2; pooled_size=2; group_size=1"),
                "2,3,5,3 3,5", .lo = -1, .hi = 4, .fixed = "1"));
    TN_CHECK_CASES(
        TN_CASE("_backward_PSROIPooling", PSROI("output_dim=2; pooled_size=2"),
                "3,2,2,2 3,5 2,8,4,4", .lo = 0, .hi = 6, .fixed = "1 2"),
        TN_CASE("_backward_PSROIPooling", PSROI("output_dim=1; pooled_size=3"),
                "4,1,3,3 4,5 3,9,3,4", .lo = 0, .hi = 5, .fixed = "1 2"),
        TN_CASE("_backward_PSROIPooling", PSROI("output_dim=3; pooled_size=1"),
                "2,3,1,1 2,5 3,3,3,3", .lo = -1, .hi = 9, .fixed = "1 2"),
        TN_CASE("_backward_PSROIPooling", PSROI("output_dim=1; pooled_size=3; group_size=2"),
                "3,1,3,3 3,5 2,4,5,5", .lo = 0, .hi = 9, .fixed = "1 2"),
        TN_CASE("_backward_PSROIPooling", PSROI("output_dim=2; pooled_size=2; group_size=1"),
                "3,2,2,2 3,5 2,3,5,3", .lo = -1, .hi = 4, .fixed = "1 2"));
}

TN_TEST_MAIN({"roi bins overlap where they must", roi_bins_overlap_where_they_must},
             {"roi corners are rounded and both belong", roi_corners_are_rounded_and_both_belong},
             {"roi tells where the maxima were", roi_tells_where_the_maxima_were},
             {"roi agrees with another program", roi_agrees_with_another_program},
             {"roi edges are exact", roi_edges_are_exact},
             {"hostile regions are empty", hostile_regions_are_empty},
             {"regions of no images are empty", regions_of_no_images_are_empty},
             {"roi of many dtypes", roi_of_many_dtypes},
             {"names and empty lists", names_and_empty_lists},
             {"psroi bins have channels of their own", psroi_bins_have_channels_of_their_own},
             {"psroi agrees with another program", psroi_agrees_with_another_program},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"gradients of psroi agree with differences",
              gradients_of_psroi_agree_with_differences})
