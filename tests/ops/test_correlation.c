// tests/ops/test_correlation.c: Correlation.
#include <math.h>

#include "lattice.h"

static tn_exec *correlated(const char *params, tn_tensor *one, tn_tensor *two)
{
    tn_fresh();
    return tn_try(tn_op("Correlation", params, tn_var("a"), tn_var("b")), .wrt = "a b",
                  .given = TN_TENSORS({"a", one}, {"b", two}));
}

// The point in the middle of `a` with all nine points of `b`, displacements row by row.
static void one_point_with_its_neighbours(void)
{
    tn_exec *e = correlated(NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 3, 3), 0, 0, 0, 0, 2, 0, 0, 0, 0),
                            TN_TENSOR(TN_F32, TN_DIMS(1, 1, 3, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 9, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 4, 6, 8, 10, 12, 14, 16, 18);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 9, 1, 1), 1, 0, 0, 0, 0, 0, 0, 0, 10)});
    // 1 · b's first + 10 · b's last, at the middle; 2 and 20 at b's first and last.
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 0, 0, 0, 0, 91, 0, 0, 0, 0);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 2, 0, 0, 0, 0, 0, 0, 0, 20);
    tn_exec_free(e);
}

// The mean over 3 x 3 points and 2 channels of equal images without displacement.
static void a_patch_with_itself(void)
{
    tn_exec *e = correlated("kernel_size=3; max_displacement=0",
                            lattice_of(TN_F64, TN_DIMS(1, 2, 3, 3), 0, 1, 3, 1),
                            lattice_of(TN_F64, TN_DIMS(1, 2, 3, 3), 1, 18, 0, 1));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 3 * 8.5); // 0 … 17 have the mean 8.5
    tn_exec_free(e);
}

// |a - b|; equal points have the slope 0 on both sides.
static void differences(void)
{
    tn_exec *e = correlated("max_displacement=0; is_multiply=0",
                            TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 3), 1, 5, 2),
                            TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 3), 4, 3, 2));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 2, 0);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 3), 1, 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, -1, 1, 0);
    TN_CHECK_VALUES(tn_grad(e, "b"), 0, 1, -1, 0);
    tn_exec_free(e);
}

static void agrees_with_another_program(void)
{
    tn_exec *e =
        correlated(NULL, lattice(TN_DIMS(1, 2, 4, 3), 7, 11), lattice(TN_DIMS(1, 2, 4, 3), 5, 13));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 9, 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 8, 10, 15, 18.5, 35, 33.5, 16, 16, 23, 24.5, 43, 7, 24,
                    15.5, 31, 30.5, 12, 13);
    tn_exec_free(e);
    e = correlated("kernel_size=3; max_displacement=2; stride1=2; stride2=2; pad_size=3",
                   lattice(TN_DIMS(1, 2, 4, 3), 7, 11), lattice(TN_DIMS(1, 2, 4, 3), 5, 13));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 9, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-9, 0, 0, 0, 7.444444444, 0, 0, 8.277777778, 8.444444444, 0, 0,
                    13.27777778, 0, 0, 9.666666667, 0, 11.16666667, 12.05555556, 13.77777778,
                    20.38888889, 20.88888889, 10.94444444, 0, 15.77777778, 0, 0, 8.5, 0,
                    1.166666667, 16.83333333, 19.5, 8, 10.16666667, 8.833333333, 0, 5.333333333, 0);
    tn_exec_free(e);
    e = correlated("stride1=2; pad_size=1; is_multiply=0", lattice(TN_DIMS(1, 2, 4, 3), 7, 11),
                   lattice(TN_DIMS(1, 2, 4, 3), 5, 13));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-12, 3.5, 6.5, 7, 6, 3.5, 6.5, 6, 6, 3.5, 6.5, 2.5, 4.5, 3.5, 6,
                    7, 6, 0.5, 6, 6, 0.5, 6, 6.5, 0.5, 4.5, 3.5, 6, 7, 6, 2.5, 6, 3.5, 2.5, 6, 6.5,
                    1.5, 4.5);
    tn_exec_free(e);
}

// tmp1 and tmp2 are the inputs with their padding, channels last.
static void hidden_outputs_are_the_padded_inputs(void)
{
    const tn_symbol y =
        tn_op("Correlation", "pad_size=1; max_displacement=0", tn_var("a"), tn_var("b"));
    const tn_symbol hidden = {y.node, 2, y.graph};
    tn_exec *e = tn_try(tn_group(bench.g, TN_SYMS(y, hidden)),
                        .given = TN_TENSORS({"a", lattice(TN_DIMS(1, 2, 1, 1), 1, 7)},
                                            {"b", lattice(TN_DIMS(1, 2, 1, 1), 3, 7)}));
    TN_CHECK_DIMS(tn_out(e, 1), 1, 3, 3, 2);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

static void errors_say_what_does_not_fit(void)
{
    tn_op("Correlation", "kernel_size=2", tn_var("a"), tn_var("b"));
    TN_CHECK_HAS(tn_graph_error(bench.g), "kernel_size: wanted an odd number, got 2");
    tn_fresh();
    const tn_symbol y = tn_op("Correlation", "max_displacement=2",
                              tn_variable(bench.g, "a", .shape = TN_DIMS(1, 1, 9, 4)), tn_var("b"));
    tn_infer_shape(bench.g, y, (tn_shapes){0});
    TN_CHECK_HAS(tn_graph_error(bench.g),
                 "spatial axis 1 has 4 points with its padding, wanted more than 4");
    tn_fresh();
    const tn_symbol named = tn_op("Correlation", NULL, tn_var("a"));
    TN_CHECK_NAMES(tn_arguments(bench.g, named), "a correlation0_data2");
}

static void halves_and_empty_batches(void)
{
    const tn_dtype halves[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        tn_exec *e =
            correlated("max_displacement=0", lattice_of(halves[i], TN_DIMS(1, 2, 1, 2), 1, 4, 0, 1),
                       lattice_of(halves[i], TN_DIMS(1, 2, 1, 2), 1, 4, 0, 1));
        TN_CHECK_VALUES(tn_out(e, 0), 0, 2, 5); // (0² + 2²) / 2, (1² + 3²) / 2
        tn_exec_free(e);
    }
    tn_exec *e = correlated("pad_size=1", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2, 3, 3)),
                            tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2, 3, 3)));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 9, 3, 3);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 9, 3, 3))});
    TN_CHECK_DIMS(tn_grad(e, "a"), 0, 2, 3, 3);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("Correlation", NULL, "1,2,4,3 1,2,4,3"),
        TN_CASE("Correlation", "kernel_size=3; pad_size=2", "2,1,3,3 2,1,3,3"),
        TN_CASE("Correlation", "max_displacement=2; stride2=2; pad_size=2; stride1=2",
                "1,2,3,4 1,2,3,4"),
        TN_CASE("Correlation", "kernel_size=3; max_displacement=1; stride1=3; pad_size=2",
                "1,1,5,4 1,1,5,4"),
        TN_CASE("Correlation", "is_multiply=0; pad_size=1", "1,2,3,2 1,2,3,2"),
        TN_CASE("Correlation", "is_multiply=0; kernel_size=3; max_displacement=0; pad_size=1",
                "2,1,3,3 2,1,3,3"));
    TN_CHECK_CASES(
        TN_CASE("_zero_border", "pad=1", "2,3,4,2"), TN_CASE("_zero_border", "pad=3", "1,1,1,1"),
        TN_CASE("_zero_border", "pad=2", "2,1,5,1"), TN_CASE("_zero_border", "pad=1", "1,4,1,3"),
        TN_CASE("_zero_border", "pad=5", "1,2,2,1"));
}

TN_TEST_MAIN({"one point with its neighbours", one_point_with_its_neighbours},
             {"a patch with itself", a_patch_with_itself}, {"differences", differences},
             {"agrees with another program", agrees_with_another_program},
             {"hidden outputs are the padded inputs", hidden_outputs_are_the_padded_inputs},
             {"errors say what does not fit", errors_say_what_does_not_fit},
             {"halves and empty batches", halves_and_empty_batches},
             {"gradients agree with differences", gradients_agree_with_differences})
