// tests/ops/test_sketch.c: _contrib_count_sketch, _contrib_quantize and _contrib_dequantize.
#include <math.h>

#include "tests/tn_numeric.h"

// ------------------------------------------------------------------ _contrib_count_sketch

// Elements 0 and 2 go to place 1, one of them negated; place 0 stays empty.
static void sketches_add_up(void)
{
    tn_exec *e =
        tn_try(tn_op("_contrib_count_sketch", "out_dim=3", tn_var("x"), tn_var("h"), tn_var("s")),
               .wrt = "x s", .train = true,
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 5, 3, 4, 7)},
                                   {"h", TN_TENSOR(TN_F32, TN_DIMS(1, 3), 1, 2, 1)},
                                   {"s", TN_TENSOR(TN_F32, TN_DIMS(1, 3), 1, -1, -1)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, -4, -2, 0, -4, -4);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 2, -3, -2, 5, -6, -5);
    // Σ_n x[n, j] dy[n, h[j]]
    TN_CHECK_VALUES(tn_grad(e, "s"), 0, 1 * 2 + 3 * 5, 2 * 3 + 4 * 6, 5 * 2 + 7 * 5);
    tn_exec_free(e);
}

static void indices_outside_go_to_the_ends(void)
{
    tn_exec *e =
        tn_try(tn_op("_contrib_count_sketch", "out_dim=2; processing_batch_size=1", tn_var("x"),
                     tn_var("h"), tn_var("s")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(4), 1, 2, 4, 8)},
                                   {"h", TN_TENSOR(TN_F64, TN_DIMS(4), -5, 9, NAN, INFINITY)},
                                   {"s", TN_TENSOR(TN_F64, TN_DIMS(4), 1, 1, 1, 1)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 10);
    tn_exec_free(e);
}

static void sketches_of_more_axes_and_of_nothing(void)
{
    tn_exec *e =
        tn_try(tn_op("_contrib_count_sketch", "out_dim=1", tn_var("x"), tn_var("h"), tn_var("s")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 1, 1, 2), 1, 2, 3, 4)},
                                   {"h", TN_TENSOR(TN_I32, TN_DIMS(1, 2), 0, 0)},
                                   {"s", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 11);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("_contrib_count_sketch", "out_dim=2", tn_var("x"), tn_var("h"), tn_var("s")),
               .given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(3, 0))}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
    tn_fresh();
    e = tn_simple_bind(
        bench.g, tn_op("_contrib_count_sketch", "out_dim=2", tn_var("x"), tn_var("h"), tn_var("s")),
        .backends = tn_backends(), .shapes = TN_SHAPES({"x", TN_DIMS(2, 3)}, {"h", TN_DIMS(1, 4)}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "h: shape (1,4), wanted (1,3)");
}

// ------------------------------------------------------------------ quantisation

static tn_exec *quantize(tn_tensor *x, double low, double high)
{
    tn_fresh();
    return tn_try(tn_op("_contrib_quantize", NULL, tn_var("x"), tn_var("low"), tn_var("high")),
                  .wrt = "x low high", .train = true,
                  .given = TN_TENSORS({"x", x}, {"low", TN_TENSOR(TN_F32, TN_DIMS(1), low)},
                                      {"high", TN_TENSOR(TN_F32, TN_DIMS(1), high)}));
}

// Steps of 1/255: 0.5 is 127.5 of them, which rounds up.
static void numbers_become_bytes(void)
{
    tn_exec *e = quantize(TN_TENSOR(TN_F32, TN_DIMS(2, 3), 0, 1, 0.5, 0.2, 2, -1), 0, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 255, 128, 51, 255, 0);
    CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == TN_U8);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 0);
    TN_CHECK_VALUES(tn_out(e, 2), 0, 1);
    tn_back(e, {NULL, TN_TENSOR(TN_U8, TN_DIMS(2, 3), 1, 1, 1, 1, 1, 1)},
            {NULL, TN_TENSOR(TN_F32, TN_DIMS(1), 3)}, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1), 5)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_grad(e, "low"), 0, 3);
    TN_CHECK_VALUES(tn_grad(e, "high"), 0, 5);
    tn_exec_free(e);
    e = quantize(TN_TENSOR(TN_F32, TN_DIMS(3), -2, 8.2, NAN), -2, 23.5); // steps of 0.1
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 102, 0);
    tn_exec_free(e);
    e = quantize(TN_TENSOR(TN_F32, TN_SCALAR, 1), 0, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 255);
    tn_exec_free(e);
    e = quantize(tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2)), 0, 1);
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2);
    tn_exec_free(e);
}

static void bytes_become_numbers(void)
{
    tn_exec *e = tn_try(tn_op("_contrib_dequantize", "out_type=float32", tn_var("x"), tn_var("low"),
                              tn_var("high")),
                        .wrt = "low high", .train = true,
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_U8, TN_DIMS(4), 0, 255, 51, 102)},
                                            {"low", TN_TENSOR(TN_F32, TN_DIMS(1), -1)},
                                            {"high", TN_TENSOR(TN_F32, TN_DIMS(1), 4)}));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, -1, 4, 0, 1);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(4), 1, 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "low"), 1e-6, 4 - 1.6); // 1 - x / 255 each
    TN_CHECK_VALUES(tn_grad(e, "high"), 1e-6, 1.6);
    tn_exec_free(e);
    tn_fresh();
    tn_op0("_contrib_dequantize", "out_type=int32");
    TN_CHECK_HAS(tn_graph_error(bench.g), "out_type: wanted a floating dtype");
}

// There and back: at most half a step away.
static void bytes_come_near(void)
{
    const tn_symbol q =
        tn_op("_contrib_quantize", NULL, tn_var("x"), tn_var("low"), tn_var("high"));
    const tn_symbol y = tn_op("_contrib_dequantize", "out_type=float32", tn_output(bench.g, q, 0),
                              tn_output(bench.g, q, 1), tn_output(bench.g, q, 2));
    tn_exec *e = tn_try(y, .given = TN_TENSORS({"x", tn_sample(TN_F32, TN_DIMS(500), -3, 5, 2)},
                                               {"low", TN_TENSOR(TN_F32, TN_DIMS(1), -3)},
                                               {"high", TN_TENSOR(TN_F32, TN_DIMS(1), 5)}));
    double worst = 0;
    for (int64_t i = 0; e && i < 500; i++)
        worst =
            fmax(worst, fabs(tn_tensor_at(tn_out(e, 0), i) - tn_tensor_at(tn_exec_arg(e, "x"), i)));
    CU_ASSERT(worst > 0 && worst < 0.5 * 8 / 255 + 1e-5);
    tn_exec_free(e);
}

static void names(void)
{
    const tn_symbol c = tn_op0("_contrib_count_sketch", "out_dim=2");
    const tn_symbol q = tn_op0("_contrib_quantize", NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, c), "_contrib_count_sketch0_data "
                                             "_contrib_count_sketch0_h _contrib_count_sketch0_s");
    TN_CHECK_NAMES(tn_outputs(bench.g, q), "_contrib_quantize0_output0 _contrib_quantize0_output1 "
                                           "_contrib_quantize0_output2");
}

// ------------------------------------------------------------------ gradients

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("_contrib_count_sketch", "out_dim=4", "2,3 1,3 1,3", .lo = 0, .hi = 3.9,
                .fixed = "1"),
        TN_CASE("_contrib_count_sketch", "out_dim=2", "3,5 5 5", .lo = 0, .hi = 3.9, .fixed = "1"),
        TN_CASE("_contrib_count_sketch", "out_dim=4", "6 6 1,6", .lo = 0, .hi = 3.9, .fixed = "1"),
        TN_CASE("_contrib_count_sketch", "out_dim=3", "2,2,4 1,4 4", .lo = 0, .hi = 3.9,
                .fixed = "1"),
        TN_CASE("_contrib_count_sketch", "out_dim=1; processing_batch_size=2", "2,1,2,3 3 3",
                .lo = 0, .hi = 3.9, .fixed = "1"),
        TN_CASE("_contrib_dequantize", "out_type=float64", "2,3 1 1"),
        TN_CASE("_contrib_dequantize", "out_type=float64", "5 1 1"),
        TN_CASE("_contrib_dequantize", "out_type=float64", "1 1 1"),
        TN_CASE("_contrib_dequantize", "out_type=float64", "2,1,3 1 1"),
        TN_CASE("_contrib_dequantize", "out_type=float64", "2,2,1,2 1 1"));
}

// The bytes of 0 … 255 are these, in float16 and bfloat16, too.
static void bytes_of_halves(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        double x[256];
        for (int j = 0; j < 256; j++) x[j] = j;
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op("_contrib_quantize", NULL, tn_var("x"), tn_var("low"), tn_var("high")),
                   .given = TN_TENSORS({"x", tn_tensor_from(bench.env, dtypes[i], TN_DIMS(256), x)},
                                       {"low", TN_TENSOR(dtypes[i], TN_DIMS(1), 0)},
                                       {"high", TN_TENSOR(dtypes[i], TN_DIMS(1), 255)}));
        tn_check_values(__LINE__, __FILE__, tn_out(e, 0), x, 256, 0);
        tn_exec_free(e);
    }
}

TN_TEST_MAIN({"bytes of halves", bytes_of_halves}, {"sketches add up", sketches_add_up},
             {"indices outside go to the ends", indices_outside_go_to_the_ends},
             {"sketches of more axes and of nothing", sketches_of_more_axes_and_of_nothing},
             {"numbers become bytes", numbers_become_bytes},
             {"bytes become numbers", bytes_become_numbers}, {"bytes come near", bytes_come_near},
             {"names", names},
             {"gradients agree with differences", gradients_agree_with_differences})
