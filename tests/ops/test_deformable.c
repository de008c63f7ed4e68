// tests/ops/test_deformable.c: _contrib_DeformableConvolution, _contrib_DeformablePSROIPooling.
#include <math.h>

#include "lattice.h"

#define IMAGE_2X3 TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2, 3), 1, 2, 3, 4, 5, 6)

static tn_exec *convolved(const char *params, const tn_named_tensor *given)
{
    tn_fresh();
    const tn_symbol y =
        tn_op("_contrib_DeformableConvolution", params, tn_var("x"), tn_var("o"), tn_var("w"));
    return tn_try(y, .wrt = "x o w", .given = (tn_tensors){3, given});
}

// A kernel of one point with weight 1 shows where it looks: half a point to the right, half a point
// down, at the last row and 0.75 below it, above the first row, far away, no number.
static void a_point_shows_where_it_looks(void)
{
    tn_exec *e =
        convolved("kernel=(1,1); num_filter=1; no_bias=1",
                  (tn_named_tensor[]){{"x", IMAGE_2X3},
                                      {"o", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2, 3), 0, 0.5, 1.75, //
                                                      -1.5, 1e30, NAN,                           //
                                                      0.5, 0, 0, 0, 0, 0)},
                                      {"w", TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 1), 1)}});
    // The first: between 1 and 2. The second: between 2 and 5. The third: behind the last row,
    // where data is constant: 6. Then outside of it.
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1.5, 3.5, 6, 0, 0, 0);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2, 3), 1, 1, 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0.5, 1, 0, 0, 0.5, 1);
    TN_CHECK_VALUES(tn_grad(e, "o"), 0, 3, 3, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 11);
    tn_exec_free(e);
}

// Places far to the right are as exact as near ones: 0 1 0 1 … looked at 1/4 to the right.
static void places_of_wide_images_are_exact_in_halves(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        double image[602], offset[1204] = {0};
        for (int64_t j = 0; j < 602; j++) image[j] = (double)(j % 2), offset[602 + j] = 0.25;
        tn_exec *e = convolved(
            "kernel=(1,1); num_filter=1; no_bias=1",
            (tn_named_tensor[]){
                {"x", tn_tensor_from(bench.env, dtypes[i], TN_DIMS(1, 1, 1, 602), image)},
                {"o", tn_tensor_from(bench.env, dtypes[i], TN_DIMS(1, 2, 1, 602), offset)},
                {"w", TN_TENSOR(dtypes[i], TN_DIMS(1, 1, 1, 1), 1)}});
        TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 0), 0.25, 0);
        TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 600), 0.25, 0);
        TN_CHECK_NEAR(tn_tensor_at(tn_out(e, 0), 599), 0.75, 0);
        tn_exec_free(e);
    }
}

// Without offsets it is a Convolution, whatever the kernel, groups, stride, dilate and pad.
static void without_offsets_it_is_a_convolution(void)
{
    static const struct {
        const char *params;
        int64_t x[4], o[4], w[4];
    } cases[] = {
        {"kernel=(2,3); num_filter=2; pad=(1,1); no_bias=1",
         {2, 2, 3, 4},
         {2, 12, 4, 4},
         {2, 2, 2, 3}},
        {"kernel=(3,2); num_filter=4; num_group=2; stride=(2,1); no_bias=1",
         {1, 4, 5, 3},
         {1, 12, 2, 2},
         {4, 2, 3, 2}},
        {"kernel=(2,2); num_filter=1; dilate=(2,1); pad=(0,1); no_bias=1",
         {1, 3, 4, 3},
         {1, 8, 2, 4},
         {1, 3, 2, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_fresh();
        tn_symbol x = tn_var("x"), w = tn_var("w");
        tn_symbol a = tn_op("_contrib_DeformableConvolution", cases[i].params, x, tn_var("o"), w);
        tn_symbol b = tn_op("Convolution", cases[i].params, x, w);
        tn_exec *e = tn_try(
            tn_op("_sub", NULL, a, b),
            .given = TN_TENSORS({"x", lattice((tn_dims){4, cases[i].x}, 7, 11)},
                                {"o", lattice_of(TN_F64, (tn_dims){4, cases[i].o}, 0, 1, 0, 0)},
                                {"w", lattice((tn_dims){4, cases[i].w}, 3, 5)}));
        tn_tensor *y = tn_out(e, 0);
        CU_ASSERT(y && tn_tensor_size(y) > 0);
        for (int64_t j = 0; y && j < tn_tensor_size(y); j++)
            TN_CHECK_NEAR(tn_tensor_at(y, j), 0, 1e-12);
        tn_exec_free(e);
    }
}

static void convolution_agrees_with_another_program(void)
{
    const tn_symbol y = tn_op("_contrib_DeformableConvolution",
                              "kernel=(2,2); num_filter=2; num_group=2; num_deformable_group=2; "
                              "stride=(2,1); dilate=(1,2); pad=(1,0)",
                              tn_var("x"), tn_var("o"), tn_var("w"), tn_var("b"));
    tn_exec *e = tn_try(
        y, .given = TN_TENSORS({"x", lattice(TN_DIMS(1, 4, 3, 4), 7, 11)},
                               {"o", lattice_of(TN_F64, TN_DIMS(1, 16, 2, 2), 5, 13, -6, 0.25)},
                               {"w", lattice_of(TN_F64, TN_DIMS(2, 2, 2, 2), 3, 5, -2, 1)},
                               {"b", TN_TENSOR(TN_F64, TN_DIMS(2), 1, -1)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 1, 5.5, 10.25, -9.625, -4.8125, -8, -2.5, -1.125);
    tn_exec_free(e);
}

static void convolution_names_and_errors(void)
{
    tn_symbol y = tn_call(bench.g, "_contrib_DeformableConvolution",
                          .params = TN_ATTRS({"kernel", "(2,2)"}, {"num_filter", "2"}),
                          .inputs = TN_SYMS(tn_var("x")), .name = "c");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x c_offset c_weight c_bias");
    tn_fresh();
    tn_op("_contrib_DeformableConvolution", "kernel=(2,); num_filter=2", tn_var("x"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "kernel: wanted 2 entries, got 1");
    tn_fresh();
    tn_op("_contrib_DeformableConvolution", "kernel=(2,2); num_filter=2; layout=NCDHW",
          tn_var("x"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "layout: wanted");
    tn_fresh();
    y = tn_op("_contrib_DeformableConvolution",
              "kernel=(1,1); num_filter=2; num_deformable_group=2",
              tn_variable(bench.g, "x", .shape = TN_DIMS(1, 3, 4, 4)));
    tn_infer_shape(bench.g, y, (tn_shapes){0});
    TN_CHECK_HAS(tn_graph_error(bench.g), "num_deformable_group 2 does not divide the 3 channels");
}

static tn_exec *bins_of(const char *params, tn_tensor *data, tn_tensor *rois, tn_tensor *trans)
{
    tn_fresh();
    const char *const op = "_contrib_DeformablePSROIPooling";
    const tn_symbol x = tn_var("x"), r = tn_var("r");
    const tn_symbol y = trans ? tn_op(op, params, x, r, tn_var("t")) : tn_op(op, params, x, r);
    const tn_symbol count = {y.node, 1, y.graph};
    const tn_named_tensor given[] = {{"x", data}, {"r", rois}, {"t", trans}};
    return tn_try(tn_group(bench.g, TN_SYMS(y, count)), .given = {trans ? 3 : 2, given});
}

// A region of 2 x 2 points from 0 to 1 reaches from -0.5 to 1.5. Its one sample is at -0.5, and
// moved to 0. trans (0.5, 0.25) of its size of 2, with trans_std 1: to 0.5 and 0.
static void a_sample_is_moved_by_parts_of_the_region(void)
{
    tn_exec *e = bins_of("spatial_scale=1; output_dim=1; group_size=1; pooled_size=1; no_trans=1",
                         IMAGE_2X3, TN_TENSOR(TN_F32, TN_DIMS(1, 5), 0, 0, 0, 1, 1), NULL);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 1);
    tn_exec_free(e);
    e = bins_of("spatial_scale=1; output_dim=1; group_size=1; pooled_size=1; trans_std=1",
                IMAGE_2X3, TN_TENSOR(TN_F32, TN_DIMS(1, 5), 0, 0, 0, 1, 1),
                TN_TENSOR(TN_F32, TN_DIMS(1, 2, 1, 1), 0.5, 0.25));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1.5);
    tn_exec_free(e);
}

// 2 x 2 samples of a region of one point, (1, 2): at -0.5 and 0 of it each way, so three are off by
// half a point; the next region is half outside: only 2 samples count.
static void samples_outside_do_not_count(void)
{
    tn_exec *e = bins_of(
        "spatial_scale=1; output_dim=1; group_size=1; pooled_size=1; no_trans=1; "
        "sample_per_part=2",
        IMAGE_2X3, TN_TENSOR(TN_F32, TN_DIMS(3, 5), 0, 2, 1, 2, 1, 0, -1, 0, -1, 0, 0, 9, 9, 9, 9),
        NULL);
    // Rows 0.5 and 1, columns 1.5 and 2: 4, 4.5, 5.5, 6 on average. Then columns -1.5 and -1: none.
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, (4 + 4.5 + 5.5 + 6) / 4, 0, 0);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 4, 0, 0);
    tn_exec_free(e);
}

static void pooling_agrees_with_another_program(void)
{
    const double rois[] = {0, 1, 1, 4, 3, 1, -2, 0, 9, 8.6};
    tn_exec *e =
        bins_of("spatial_scale=0.5; output_dim=2; group_size=2; pooled_size=3; part_size=2; "
                "sample_per_part=2; trans_std=0.3",
                lattice(TN_DIMS(2, 8, 4, 5), 13, 17),
                tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 5), rois),
                lattice_of(TN_F64, TN_DIMS(2, 4, 2, 2), 5, 9, -4, 0.1));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-9, 1.6632, 8.0264, 9.4448, 7.672233333, 9.806966667, 11.6848,
                    6.453333333, 4.146666667, 4.605, 4.521666667, 13.18833333, 3.0736, 3.021666667,
                    11.68833333, 3.7197, 8.313333333, 5.779266667, 9.48, 5.12, 9.49, 10.8,
                    4.930166667, 11.78075, 9.216666667, 0, 6.14, 5.06, 0, 5.652333333, 9.93, 0,
                    8.835833333, 12.22075, 10, 6, 6.58);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 1, 2, 4,
                    2, 4, 4, 0, 4, 2, 0, 4, 2, 0, 4, 4, 1, 2, 4);
    tn_exec_free(e);
    e = bins_of("spatial_scale=0.5; output_dim=2; group_size=2; pooled_size=2; sample_per_part=2; "
                "no_trans=1",
                lattice(TN_DIMS(2, 8, 4, 5), 13, 17),
                tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 5), rois), NULL);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-9, 5.078125, 6.078125, 6.1875, 7.1875, 5.6875, 3.234375,
                    9.1875, 10.1875, 4.875, 9.375, 8.5, 4.5, 7.875, 7.0625, 11.5, 7.5);
    tn_exec_free(e);
}

// Regions and movements may be anything: what is no place counts for nothing.
static void hostile_regions_give_zeros(void)
{
    tn_exec *e = bins_of("spatial_scale=1; output_dim=1; group_size=1; pooled_size=1; trans_std=1",
                         IMAGE_2X3,
                         TN_TENSOR(TN_F32, TN_DIMS(9, 5), 1, 0, 0, 1, 1, -1, 0, 0, 1, 1, NAN, 0, 0,
                                   1, 1, INFINITY, 0, 0, 1, 1, 0, NAN, 0, 1, 1, 0, INFINITY, 0, 1,
                                   1, 0, -INFINITY, 0, INFINITY, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1),
                         TN_TENSOR(TN_F32, TN_DIMS(9, 2, 1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                   0, 0, NAN, 0, 0, 1e30));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

static void pooling_names_and_errors(void)
{
    const char *const op = "_contrib_DeformablePSROIPooling";
    const char *const p = "spatial_scale=1; output_dim=3; group_size=1; pooled_size=1";
    tn_symbol y = tn_call(bench.g, op,
                          .params = TN_ATTRS({"spatial_scale", "1"}, {"output_dim", "3"},
                                             {"group_size", "1"}, {"pooled_size", "1"}),
                          .inputs = TN_SYMS(tn_var("x")), .name = "p");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x p_rois p_trans");
    tn_fresh();
    y = tn_call(bench.g, op, .inputs = TN_SYMS(tn_var("x")), .name = "p",
                .params = TN_ATTRS({"spatial_scale", "1"}, {"output_dim", "3"}, {"group_size", "1"},
                                   {"pooled_size", "1"}, {"no_trans", "1"}));
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x p_rois");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "p_output");
    tn_fresh();
    y = tn_op(op, p, tn_var("x"), tn_var("r"),
              tn_variable(bench.g, "t", .shape = TN_DIMS(2, 4, 1, 1)));
    tn_infer_shape(bench.g, y, (tn_shapes){0});
    TN_CHECK_HAS(tn_graph_error(bench.g), "divides output_dim 3, got 4 channels");
}

#define PSROI(rest) "spatial_scale=0.5; trans_std=0.3; " rest

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("_contrib_DeformableConvolution", "kernel=(2,2); num_filter=2",
                "1,2,3,3 1,8,2,2 2,2,2,2 2", .lo = -0.8, .hi = 0.8),
        TN_CASE("_contrib_DeformableConvolution",
                "kernel=(1,3); num_filter=1; pad=(0,1); no_bias=1", "2,1,2,4 2,6,2,4 1,1,1,3",
                .lo = -1.4, .hi = 1.4),
        TN_CASE("_contrib_DeformableConvolution",
                "kernel=(2,2); num_filter=2; num_group=2; num_deformable_group=2; no_bias=1",
                "1,4,3,2 1,16,2,1 2,2,2,2"),
        TN_CASE("_contrib_DeformableConvolution",
                "kernel=(2,1); num_filter=1; stride=(2,1); dilate=(2,1); num_deformable_group=3",
                "1,3,5,2 1,12,2,2 1,3,2,1 1", .lo = -0.7, .hi = 0.9),
        TN_CASE("_contrib_DeformableConvolution", "kernel=(1,1); num_filter=3; no_bias=1",
                "2,2,3,3 2,2,3,3 3,2,1,1", .lo = -3, .hi = 3));
    TN_CHECK_CASES(TN_CASE("_contrib_DeformablePSROIPooling",
                           PSROI("output_dim=1; group_size=1; pooled_size=2; sample_per_part=2"),
                           "2,1,4,4 3,5 3,2,2,2", .lo = 0, .hi = 3, .fixed = "1"),
                   TN_CASE("_contrib_DeformablePSROIPooling",
                           PSROI("output_dim=2; group_size=2; pooled_size=2; part_size=1"),
                           "2,8,3,4 2,5 2,4,1,1", .lo = -1, .hi = 4, .fixed = "1"),
                   TN_CASE("_contrib_DeformablePSROIPooling",
                           PSROI("output_dim=4; group_size=1; pooled_size=1; sample_per_part=3"),
                           "3,4,3,3 2,5 2,4,1,1", .lo = -0.5, .hi = 5, .fixed = "1"),
                   TN_CASE("_contrib_DeformablePSROIPooling",
                           PSROI("output_dim=1; group_size=2; pooled_size=3; part_size=2"),
                           "1,4,5,3 2,5 2,2,2,2", .lo = -0.9, .hi = 3, .fixed = "1"),
                   TN_CASE("_contrib_DeformablePSROIPooling",
                           PSROI("output_dim=2; group_size=1; pooled_size=2; no_trans=1"),
                           "2,2,3,3 3,5", .lo = 0, .hi = 4, .fixed = "1"));
}

TN_TEST_MAIN({"places of wide images are exact in halves",
              places_of_wide_images_are_exact_in_halves},
             {"a point shows where it looks", a_point_shows_where_it_looks},
             {"without offsets it is a convolution", without_offsets_it_is_a_convolution},
             {"convolution agrees with another program", convolution_agrees_with_another_program},
             {"convolution names and errors", convolution_names_and_errors},
             {"a sample is moved by parts of the region", a_sample_is_moved_by_parts_of_the_region},
             {"samples outside do not count", samples_outside_do_not_count},
             {"pooling agrees with another program", pooling_agrees_with_another_program},
             {"hostile regions give zeros", hostile_regions_give_zeros},
             {"pooling names and errors", pooling_names_and_errors},
             {"gradients agree with differences", gradients_agree_with_differences})
