// tests/ops/test_crop.c: Crop and UpSampling.
#include "tests/tn_numeric.h"

// 0 1 2 … in the given shape.
static tn_tensor *count(tn_dtype dtype, tn_dims dims)
{
    static double values[64];
    for (int i = 0; i < 64; i++) values[i] = i;
    return tn_tensor_from(bench.env, dtype, dims, values);
}

static void refused(const char *op, const char *params, tn_dims x, tn_dims like, const char *part)
{
    tn_fresh();
    const tn_symbol y =
        like.ndim ? tn_op(op, params, tn_var("x"), tn_var("like")) : tn_op(op, params, tn_var("x"));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = tn_backends(),
                                .shapes = like.ndim ? TN_SHAPES({"x", x}, {"like", like})
                                                    : TN_SHAPES({"x", x}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    tn_exec_free(e);
    tn_graph_forgive(bench.g);
}
#define NOTHING ((tn_dims){0, NULL})

// ------------------------------------------------------------------ Crop

// Rows 1 and 2, columns 2 and 3 of 3 rows of 4.
static void crop_by_numbers(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16, TN_BF16};
    for (int i = 0; i < 4; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op("Crop", "num_args=1; h_w=(2,2); offset=(1,2)", tn_var("x")), .wrt = "x",
                   .given = TN_TENSORS({"x", count(dtypes[i], TN_DIMS(1, 1, 3, 4))}));
        TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 2, 2);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 7, 10, 11);
        tn_back(e, {NULL, TN_TENSOR(dtypes[i], TN_DIMS(1, 1, 2, 2), 1, 2, 3, 4)});
        TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4);
        tn_exec_free(e);
    }
}

// The middle of 5 by 5 is rows and columns 1 to 3; of 4 by 5, for 3 by 2, rows 0 and columns 1.
static void crop_by_the_middle_and_by_another(void)
{
    tn_exec *e =
        tn_try(tn_op("Crop", "num_args=1; h_w=(3,3); center_crop=1; offset=(9,9)", tn_var("x")),
               .given = TN_TENSORS({"x", count(TN_F32, TN_DIMS(1, 1, 5, 5))}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 6, 7, 8, 11, 12, 13, 16, 17, 18);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("Crop", "center_crop=1", tn_var("x"), tn_var("like")), .wrt = "x like",
               .given = TN_TENSORS({"x", count(TN_F32, TN_DIMS(1, 1, 4, 5))},
                                   {"like", count(TN_F32, TN_DIMS(2, 3, 3, 2))}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 3, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 6, 7, 11, 12);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 3, 2), 1, 1, 1, 1, 1, 1)});
    for (int i = 0; e && i < 36; i++) CU_ASSERT_EQUAL(tn_tensor_at(tn_grad(e, "like"), i), 0);
    tn_exec_free(e);
}

static void crops_that_cannot_be(void)
{
    const tn_dims x = TN_DIMS(1, 1, 3, 4);
    refused("Crop", "num_args=1", x, NOTHING, "h_w");
    refused("Crop", "num_args=3; h_w=(1,1)", x, NOTHING, "num_args");
    refused("Crop", "num_args=1; h_w=(4,1)", x, NOTHING, "axis 2");
    refused("Crop", "num_args=1; h_w=(3,2); offset=(0,3)", x, NOTHING, "axis 3");
    refused("Crop", "num_args=2", x, TN_DIMS(1, 1, 4, 4), "axis 2");
    refused("Crop", "num_args=1; h_w=(1,1)", TN_DIMS(1, 3, 4), NOTHING, "arg0");
}

static void crop_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("Crop", "num_args=1; h_w=(2,2)", "2,2,3,3"),
                   TN_CASE("Crop", "num_args=1; h_w=(1,3); offset=(2,0)", "1,2,3,4"),
                   TN_CASE("Crop", "num_args=1; h_w=(2,1); center_crop=1", "1,1,5,4"),
                   TN_CASE("Crop", "num_args=2; offset=(1,1)", "2,1,4,3 1,1,2,2", .fixed = "1"),
                   TN_CASE("Crop", "num_args=2; center_crop=1", "1,2,4,5 1,2,1,3", .fixed = "1"),
                   TN_CASE("Crop", "num_args=2", "1,1,2,2 3,1,2,2", .fixed = "1"));
}

// ------------------------------------------------------------------ UpSampling

static void nearest_repeats_pixels(void)
{
    tn_exec *e = tn_try(tn_op("UpSampling", "scale=2; sample_type=nearest", tn_var("x")),
                        .wrt = "x", .given = TN_TENSORS({"x", count(TN_F32, TN_DIMS(1, 1, 2, 2))}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 4, 4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3);
    tn_back(e, {NULL, count(TN_F32, TN_DIMS(1, 1, 4, 4))});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0 + 1 + 4 + 5, 2 + 3 + 6 + 7, 8 + 9 + 12 + 13,
                    10 + 11 + 14 + 15);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("UpSampling", "scale=1; sample_type=nearest", tn_var("x")),
               .given = TN_TENSORS({"x", count(TN_I32, TN_DIMS(1, 1, 1, 3))}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 1, 2);
    tn_exec_free(e);
}

// The first input decides the size, 2 by 4; the second is 1 by 2 and the third has it already.
static void several_inputs_are_joined_or_added(void)
{
    for (int sum = 0; sum < 2; sum++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op("UpSampling",
                         sum ? "scale=2; sample_type=nearest; multi_input_mode=sum; num_args=3"
                             : "scale=2; sample_type=nearest; num_args=3",
                         tn_var("a"), tn_var("b"), tn_var("c")),
                   .wrt = "a b c",
                   .given = TN_TENSORS({"a", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 2), 1, 2)},
                                       {"b", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1, 2), 10, 20)},
                                       {"c", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 2, 4), 100, 200, 300,
                                                       400, 500, 600, 700, 800)}));
        if (sum) {
            TN_CHECK_VALUES(tn_out(e, 0), 0, 111, 211, 322, 422, 511, 611, 722, 822);
            tn_back(e, {NULL, count(TN_F64, TN_DIMS(1, 1, 2, 4))});
            TN_CHECK_VALUES(tn_grad(e, "a"), 0, 0 + 1 + 4 + 5, 2 + 3 + 6 + 7);
        } else {
            TN_CHECK_DIMS(tn_out(e, 0), 1, 3, 2, 4);
            TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1, 2, 2, 1, 1, 2, 2, 10, 10, 20, 20, 10, 10, 20, 20,
                            100, 200, 300, 400, 500, 600, 700, 800);
            tn_back(e, {NULL, count(TN_F64, TN_DIMS(1, 3, 2, 4))});
            TN_CHECK_VALUES(tn_grad(e, "b"), 0, 8 + 9 + 12 + 13, 10 + 11 + 14 + 15);
        }
        tn_exec_free(e);
    }
}

// scale 2: kernel 4, pad 1. A bilinear kernel has rows 1 3 3 1 / 4 times columns 1 3 3 1 / 4, so
// a row 0 4 8 becomes 0 1 3 5 7 6 with its neighbours outside counted as 0; twice 3/4 downwards.
static void bilinear_is_a_deconvolution_of_each_channel(void)
{
    double w[32], y[2 * 12];
    static const double tap[] = {0.25, 0.75, 0.75, 0.25}, wide[] = {0, 1, 3, 5, 7, 6};
    for (int i = 0; i < 32; i++) w[i] = tap[i % 4] * tap[i / 4 % 4];
    for (int i = 0; i < 24; i++) y[i] = 0.75 * wide[i % 6] * (i < 12 ? 1 : 2);
    tn_exec *e = tn_try(
        tn_op("UpSampling", "scale=2; sample_type=bilinear; num_filter=2", tn_var("x"),
              tn_var("w")),
        .wrt = "x w",
        .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 2, 1, 3), 0, 4, 8, 0, 8, 16)},
                            {"w", tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, 1, 4, 4), w)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 2, 6);
    tn_check_values(__LINE__, __FILE__, tn_out(e, 0), y, 24, 1e-14);
    tn_exec_free(e);
}

static void names_of_the_inputs(void)
{
    tn_symbol y = tn_up_sampling(bench.g, .data = tn_var("x"), .scale = 3, .num_filter = 5,
                                 .sample_type = TN_UP_SAMPLING_BILINEAR, .name = "up");
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x up_weight");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "up_output");
    tn_symbol weight = tn_output_named(bench.g, tn_internals(bench.g, y), "up_weight");
    TN_CHECK_STR(tn_attr_get(bench.g, weight, "__init__"), "[\"bilinear\", {}]");
    const tn_shape_result *r = tn_infer_shape(bench.g, y, TN_SHAPES({"x", TN_DIMS(2, 5, 4, 6)}));
    CU_ASSERT(r && r->complete && r->args[1].shape.dim[3] == 5 && r->outs[0].shape.dim[3] == 18);
    tn_fresh();
    y = tn_op0("UpSampling", "scale=2; sample_type=nearest; num_args=2");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "upsampling0_arg0 upsampling0_arg1");
    tn_fresh();
    y = tn_up_sampling(bench.g, .arg = TN_SYMS(tn_var("a"), tn_var("b")), .scale = 2,
                       .sample_type = TN_UP_SAMPLING_NEAREST);
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "a b");
    tn_fresh();
    y = tn_op0("Crop", "num_args=2");
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "crop0_arg0 crop0_arg1");
}

static void enlargements_that_cannot_be(void)
{
    const tn_dims x = TN_DIMS(1, 2, 2, 3);
    refused("UpSampling", "scale=2; sample_type=bilinear", x, NOTHING, "num_filter");
    refused("UpSampling", "scale=2; sample_type=bilinear; num_filter=3", x, NOTHING, "data");
    refused("UpSampling", "scale=0; sample_type=nearest", x, NOTHING, "scale");
    refused("UpSampling", "scale=2; sample_type=nearest", x, TN_DIMS(1, 2, 3, 3), "enlarged");
    refused("UpSampling", "scale=2; sample_type=nearest", x, TN_DIMS(1, 2, 4, 3), "enlarged");
    refused("UpSampling", "scale=2; sample_type=nearest; multi_input_mode=sum", x,
            TN_DIMS(1, 3, 2, 3), "arg1");
    refused("UpSampling", "scale=2; sample_type=nearest", TN_DIMS(2, 3), NOTHING, "arg0");
}

static void nothing_is_enlarged_to_nothing(void)
{
    tn_exec *e = tn_try(
        tn_op("UpSampling", "scale=2; sample_type=nearest", tn_var("x"), tn_var("y")), .wrt = "x y",
        .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 1, 2, 2))},
                            {"y", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2, 1, 1))}));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 3, 4, 4);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 3, 4, 4))});
    TN_CHECK_DIMS(tn_grad(e, "y"), 0, 2, 1, 1);
    tn_exec_free(e);
}

static void upsampling_gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("UpSampling", "scale=2; sample_type=nearest; num_args=1", "2,1,2,3"),
        TN_CASE("UpSampling", "scale=3; sample_type=nearest; num_args=2", "1,2,1,2 1,1,3,6"),
        TN_CASE("UpSampling", "scale=2; sample_type=nearest; num_args=3",
                "1,1,2,2 1,2,1,1 1,1,4,4"),
        TN_CASE("UpSampling", "scale=2; sample_type=nearest; num_args=2; multi_input_mode=sum",
                "2,2,2,1 2,2,4,2"),
        TN_CASE("UpSampling", "scale=2; sample_type=bilinear; num_filter=2; num_args=2",
                "2,2,2,2 2,1,4,4"),
        TN_CASE("UpSampling", "scale=3; sample_type=bilinear; num_filter=1; num_args=2",
                "1,1,2,1 1,1,5,5"),
        TN_CASE("UpSampling", "scale=1; sample_type=bilinear; num_filter=3; num_args=2",
                "1,3,2,2 3,1,1,1"));
}

TN_TEST_MAIN({"Crop by numbers", crop_by_numbers},
             {"Crop by the middle and by another", crop_by_the_middle_and_by_another},
             {"crops that cannot be", crops_that_cannot_be},
             {"Crop gradients agree with differences", crop_gradients_agree_with_differences},
             {"nearest repeats pixels", nearest_repeats_pixels},
             {"several inputs are joined or added", several_inputs_are_joined_or_added},
             {"bilinear is a Deconvolution of each channel",
              bilinear_is_a_deconvolution_of_each_channel},
             {"names of the inputs", names_of_the_inputs},
             {"enlargements that cannot be", enlargements_that_cannot_be},
             {"nothing is enlarged to nothing", nothing_is_enlarged_to_nothing},
             {"UpSampling gradients agree with differences",
              upsampling_gradients_agree_with_differences})
