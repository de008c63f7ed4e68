// tests/ops/test_index.c: Embedding, take, one_hot.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *embedding(tn_tensor *indices, tn_tensor *weight)
{
    tn_fresh();
    return tn_try(tn_op("Embedding", "input_dim=3; output_dim=2", tn_var("i"), tn_var("w")),
                  .wrt = "w", .given = TN_TENSORS({"i", indices}, {"w", weight}));
}

// Indices outside are moved to the nearest end; fractions are dropped.
static void embedding_looks_up_clipped_rows(void)
{
    tn_exec *e = embedding(TN_TENSOR(TN_F32, TN_DIMS(2, 2), 2, 0.9, -5, 7),
                           TN_TENSOR(TN_F32, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 6, 1, 2, 1, 2, 5, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8)});
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 3 + 5, 4 + 6, 0, 0, 1 + 7, 2 + 8);
    tn_exec_free(e);
}

static void embedding_takes_integers_and_other_floats(void)
{
    static const tn_dtype indices[] = {TN_I32, TN_I64, TN_U8, TN_F64, TN_F16};
    static const tn_dtype weights[] = {TN_F32, TN_F64, TN_F16, TN_BF16, TN_F32};
    for (int i = 0; i < 5; i++) {
        tn_exec *e = embedding(TN_TENSOR(indices[i], TN_DIMS(2), 2, 1),
                               TN_TENSOR(weights[i], TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6));
        TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 6, 3, 4);
        tn_back(e, {NULL, TN_TENSOR(weights[i], TN_DIMS(2, 2), 1, 2, 3, 4)});
        TN_CHECK_VALUES(tn_grad(e, "w"), 0, 0, 0, 3, 4, 1, 2);
        tn_exec_free(e);
    }
}

static void embedding_of_no_indices(void)
{
    tn_exec *e = embedding(tn_tensor_new(bench.env, TN_I32, TN_DIMS(0)),
                           TN_TENSOR(TN_F32, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6));
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2))});
    TN_CHECK_VALUES(tn_grad(e, "w"), 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

static void take_clips_or_wraps(void)
{
    static const struct {
        const char *params;
        double y[6], dx[6];
    } cases[] = {{NULL, {5, 6, 1, 2, 5, 6}, {3, 4, 0, 0, 6, 8}},
                 {"mode=wrap", {5, 6, 5, 6, 3, 4}, {0, 0, 5, 6, 4, 6}}};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_exec *e =
            tn_try(tn_op("take", cases[i].params, tn_var("a"), tn_var("i")), .wrt = "a",
                   .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6)},
                                       {"i", TN_TENSOR(TN_F32, TN_DIMS(3), 2, -1, 4)}));
        tn_check_values(__LINE__, __FILE__, tn_out(e, 0), cases[i].y, 6, 0);
        tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6)});
        tn_check_values(__LINE__, __FILE__, tn_grad(e, "a"), cases[i].dx, 6, 0);
        tn_exec_free(e);
    }
}

static void take_of_a_vector_and_of_many_axes(void)
{
    tn_exec *e = tn_try(tn_op("take", NULL, tn_var("a"), tn_var("i")),
                        .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(3), 1, 2, 3)},
                                            {"i", TN_TENSOR(TN_I32, TN_DIMS(2, 2), 2, 1, 0, 2)}));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 2, 1, 3);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("take", NULL, tn_var("a"), tn_var("i")),
               .given = TN_TENSORS({"a", TN_TENSOR(TN_F32, TN_DIMS(2, 1, 2), 1, 2, 3, 4)},
                                   {"i", TN_TENSOR(TN_I32, TN_DIMS(1), 1)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 4);
    tn_exec_free(e);
}

static void one_hot_of_indices_outside_is_off(void)
{
    tn_exec *e = tn_try(tn_op("one_hot", "depth=3; on_value=5; off_value=-1", tn_var("i")),
                        .given = TN_TENSORS({"i", TN_TENSOR(TN_F32, TN_DIMS(4), 2, 0, 3, -1)}));
    TN_CHECK_DIMS(tn_out(e, 0), 4, 3);
    TN_CHECK_VALUES(tn_out(e, 0), 0, -1, -1, 5, 5, -1, -1, -1, -1, -1, -1, -1, -1);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("one_hot", "depth=2; dtype=int32", tn_var("i")),
               .given = TN_TENSORS({"i", TN_TENSOR(TN_I64, TN_DIMS(1, 2), 1, 0)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 1, 1, 0);
    CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == TN_I32);
    tn_exec_free(e);
}

static tn_exec *taken(const char *params, tn_tensor *a, tn_tensor *indices)
{
    tn_fresh();
    return tn_try(tn_op("take", params, tn_var("a"), tn_var("i")), .wrt = "a",
                  .given = TN_TENSORS({"a", a}, {"i", indices}));
}

static void take_works_on_every_axis(void)
{
    tn_exec *e = taken("axis=1", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6),
                       TN_TENSOR(TN_I32, TN_DIMS(2, 2), 2, 0, 2, 9));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 2, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 1, 3, 3, 6, 4, 6, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 2, 0, 8, 6, 0, 20);
    tn_exec_free(e);
    e = taken("axis=1; mode=wrap", TN_TENSOR(TN_I8, TN_DIMS(1, 3, 2), 1, 2, 3, 4, 5, 6),
              TN_TENSOR(TN_F32, TN_DIMS(3), -1, 3, -4));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 3, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 6, 1, 2, 5, 6);
    tn_exec_free(e);
    e = taken("axis=2", tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0, 3)),
              TN_TENSOR(TN_I32, TN_DIMS(1), 1));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 0, 1);
    tn_exec_free(e);
}

// What no index can be: far outside, infinite, or NaN, which counts as 0.
static void take_stays_inside_whatever_the_index(void)
{
    tn_exec *e = taken(NULL, TN_TENSOR(TN_F32, TN_DIMS(3), 1, 2, 3),
                       TN_TENSOR(TN_F64, TN_DIMS(5), 1e300, -INFINITY, NAN, 9e18, -9.3e18));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 1, 1, 3, 1);
    tn_exec_free(e);
    e = taken("mode=wrap", TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2),
              TN_TENSOR(TN_I64, TN_DIMS(3), -9.2e18, 9.2e18, -1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1, 2);
    tn_exec_free(e);
}

static void check_refused(tn_tensor *indices, const char *error)
{
    tn_fresh();
    tn_tensor *a = TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6);
    const tn_symbol y = tn_call(bench.g, "take", .inputs = TN_SYMS(tn_var("a"), tn_var("i")),
                                .name = "t", .params = TN_ATTRS({"axis", "1"}, {"mode", "raise"}));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = tn_backends(),
                                .args = TN_TENSORS({"a", a}, {"i", indices}));
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(e ? tn_forward(e, false) : TN_OK, TN_E_INVALID);
    // On a device with a queue the node's device stands in between.
    TN_CHECK_HAS(tn_exec_error(e), "t (take)");
    TN_CHECK_HAS(tn_exec_error(e), error);
    tn_exec_free(e);
    tn_tensor_release(a);
    tn_tensor_release(indices);
}

static void take_raises_if_told(void)
{
    tn_exec *e = taken("axis=1; mode=raise", TN_TENSOR(TN_F32, TN_DIMS(2, 3), 1, 2, 3, 4, 5, 6),
                       TN_TENSOR(TN_F32, TN_DIMS(2), 2, 0.9));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 1, 6, 4);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "a"), 0, 2, 0, 1, 4, 0, 3);
    tn_exec_free(e);
    check_refused(TN_TENSOR(TN_I32, TN_DIMS(3), 0, 2, 3), ": index 3 at position 2: wanted 0 to 2");
    check_refused(TN_TENSOR(TN_I64, TN_DIMS(2), 0, -1), ": index -1 at position 1: wanted 0 to 2");
    check_refused(TN_TENSOR(TN_F64, TN_DIMS(1), NAN), "index nan at position 0: wanted 0 to 2");
}

static void one_hot_has_no_gradient_but_zero(void)
{
    TN_CHECK_CASES(
        TN_CASE("one_hot", "depth=3; dtype=float64", "4", .lo = 0.2, .hi = 0.8),
        TN_CASE("one_hot", "depth=2; dtype=float64", "2,3", .lo = 1.2, .hi = 1.8),
        TN_CASE("one_hot", "depth=4; on_value=5; dtype=float64", "1", .lo = 7.1, .hi = 7.9),
        TN_CASE("one_hot", "depth=1; off_value=-1; dtype=float64", "2,1", .lo = 0.2, .hi = 0.8),
        TN_CASE("one_hot", "depth=3; on_value=0; off_value=1; dtype=float64", "1,2,2", .lo = 2.2,
                .hi = 2.8));
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("Embedding", "input_dim=3; output_dim=2; dtype=float64", "4 3,2", .lo = -1, .hi = 4,
                .fixed = "0"),
        TN_CASE("Embedding", "input_dim=4; output_dim=1; dtype=float64", "2,2 4,1", .lo = 0,
                .hi = 4, .fixed = "0"),
        TN_CASE("Embedding", "input_dim=2; output_dim=3; dtype=float64", "5 2,3", .lo = -1, .hi = 3,
                .fixed = "0"),
        TN_CASE("Embedding", "input_dim=1; output_dim=2; dtype=float64", "3,1 1,2", .lo = -1,
                .hi = 3, .fixed = "0"),
        TN_CASE("Embedding", "input_dim=5; output_dim=2; dtype=float64", "1,2,1 5,2", .lo = 0,
                .hi = 5, .fixed = "0"),
        TN_CASE("take", "axis=1", "2,3 4", .lo = -1, .hi = 4, .fixed = "1"),
        TN_CASE("take", "axis=1; mode=wrap", "2,3,2 2,2", .lo = -4, .hi = 7, .fixed = "1"),
        TN_CASE("take", "axis=2; mode=raise", "1,2,3 2", .lo = 0, .hi = 2.9, .fixed = "1"),
        TN_CASE("_backward_take", "axis=1", "2,4 4 2,3", .lo = 0, .hi = 3, .fixed = "1 2"),
        TN_CASE("take", NULL, "3,2 2,2", .lo = -1, .hi = 4, .fixed = "1"),
        TN_CASE("take", "mode=wrap", "3,2 5", .lo = -4, .hi = 7, .fixed = "1"));
}

TN_TEST_MAIN({"Embedding looks up clipped rows", embedding_looks_up_clipped_rows},
             {"Embedding takes integers and other floats",
              embedding_takes_integers_and_other_floats},
             {"Embedding of no indices", embedding_of_no_indices},
             {"take clips or wraps", take_clips_or_wraps},
             {"take of a vector and of many axes", take_of_a_vector_and_of_many_axes},
             {"one_hot of indices outside is off", one_hot_of_indices_outside_is_off},
             {"take works on every axis", take_works_on_every_axis},
             {"take stays inside whatever the index", take_stays_inside_whatever_the_index},
             {"take raises if told", take_raises_if_told},
             {"one_hot has no gradient but zero", one_hot_has_no_gradient_but_zero},
             {"gradients agree with differences", gradients_agree_with_differences})
