// tests/ops/test_reshape.c: the same elements in other shapes: Reshape's codes, Flatten,
// expand_dims.
#include "tests/tn_numeric.h"

// Shape that an operator gives data of the given shape; the elements must stay in order.
static bool check(int line, const char *op, const char *params, tn_dims from, tn_dims to)
{
    bool ok = true;
    tn_fresh();
    tn_exec *e = tn_try(tn_op(op, params, tn_var("x")),
                        .given = TN_TENSORS({"x", tn_sample(TN_F32, from, -1, 1, 1)}));
    ok = tn_check_dims(line, __FILE__, tn_out(e, 0), to);
    tn_tensor *x = e ? tn_exec_arg(e, "x") : NULL;
    for (int64_t i = 0; ok && i < tn_tensor_size(x); i++)
        CU_ASSERT_EQUAL(tn_tensor_at(tn_out(e, 0), i), tn_tensor_at(x, i));
    tn_exec_free(e);
    return ok;
}
#define CHECK(...) check(__LINE__, __VA_ARGS__)
#define RESHAPE(codes, from, to) check(__LINE__, "Reshape", codes, from, to)

static void codes_copy_infer_merge_and_split(void)
{
    RESHAPE("shape=(6,1,4)", TN_DIMS(2, 3, 4), TN_DIMS(6, 1, 4));
    RESHAPE("shape=(4,0,2)", TN_DIMS(2, 3, 4), TN_DIMS(4, 3, 2));
    RESHAPE("shape=(2,0,0)", TN_DIMS(2, 3, 4), TN_DIMS(2, 3, 4));
    RESHAPE("shape=(6,1,-1)", TN_DIMS(2, 3, 4), TN_DIMS(6, 1, 4));
    RESHAPE("shape=(3,-1,8)", TN_DIMS(2, 3, 4), TN_DIMS(3, 1, 8));
    RESHAPE("shape=(-1,)", TN_DIMS(2, 3, 4), TN_DIMS(24));
    RESHAPE("shape=-2", TN_DIMS(2, 3, 4), TN_DIMS(2, 3, 4));
    RESHAPE("shape=(2,-2)", TN_DIMS(2, 3, 4), TN_DIMS(2, 3, 4));
    RESHAPE("shape=(-2,1,1)", TN_DIMS(2, 3, 4), TN_DIMS(2, 3, 4, 1, 1));
    RESHAPE("shape=(-3,4)", TN_DIMS(2, 3, 4), TN_DIMS(6, 4));
    RESHAPE("shape=(-3,-3)", TN_DIMS(2, 3, 4, 5), TN_DIMS(6, 20));
    RESHAPE("shape=(0,-3)", TN_DIMS(2, 3, 4), TN_DIMS(2, 12));
    RESHAPE("shape=(-4,1,2,-2)", TN_DIMS(2, 3, 4), TN_DIMS(1, 2, 3, 4));
    RESHAPE("shape=(2,-4,-1,3,-2)", TN_DIMS(2, 3, 4), TN_DIMS(2, 1, 3, 4));
    RESHAPE("shape=(-4,-1,3,-1)", TN_DIMS(6, 4), TN_DIMS(2, 3, 4)); // -1 behind a -4
}

static void reverse_reads_codes_from_the_right(void)
{
    RESHAPE("shape=(-1,0)", TN_DIMS(10, 5, 4), TN_DIMS(40, 5));
    RESHAPE("shape=(-1,0); reverse=1", TN_DIMS(10, 5, 4), TN_DIMS(50, 4));
    // a -4 stands behind its factors: (16, 4) and then -4 splits 64
    RESHAPE("shape=(0,16,4,-4); reverse=1", TN_DIMS(3, 64), TN_DIMS(3, 16, 4));
}

static void target_shape_is_read_for_old_models(void)
{
    RESHAPE("target_shape=(4,0)", TN_DIMS(2, 3, 4), TN_DIMS(4, 6));
    RESHAPE("target_shape=(0,0); keep_highest=1", TN_DIMS(2, 3, 4), TN_DIMS(2, 12));
}

static void axes_are_flattened_and_inserted(void)
{
    CHECK("Flatten", NULL, TN_DIMS(2, 3, 4), TN_DIMS(2, 12));
    CHECK("Flatten", NULL, TN_DIMS(5), TN_DIMS(5, 1));
    CHECK("Flatten", NULL, TN_DIMS(0, 3, 4), TN_DIMS(0, 12));
    CHECK("expand_dims", "axis=0", TN_DIMS(2, 3), TN_DIMS(1, 2, 3));
    CHECK("expand_dims", "axis=2", TN_DIMS(2, 3), TN_DIMS(2, 3, 1));
    CHECK("expand_dims", "axis=-1", TN_DIMS(2, 3), TN_DIMS(2, 1, 3)); // before the last one
    CHECK("expand_dims", "axis=-2", TN_DIMS(2, 3), TN_DIMS(1, 2, 3));
}

static void reshape_like_takes_the_shape_of_another(void)
{
    tn_exec *e = tn_try(tn_op("reshape_like", NULL, tn_var("x"), tn_var("like")), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)},
                                            {"like", TN_TENSOR(TN_F32, TN_DIMS(4), 0, 0, 0, 0)}));
    TN_CHECK_DIMS(tn_out(e, 0), 4);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(4), 5, 6, 7, 8)});
    TN_CHECK_DIMS(tn_grad(e, "x"), 2, 2);
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 5, 6, 7, 8);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(
        TN_CASE("Reshape", "shape=(3,-1)", "2,3"), TN_CASE("Reshape", "shape=(-3,0)", "2,2,3"),
        TN_CASE("Reshape", "shape=(0,-4,-1,2,-2)", "2,4,3"),
        TN_CASE("Reshape", "shape=(-1,0); reverse=1", "2,3,2"),
        TN_CASE("Reshape", "target_shape=(0,2)", "2,3"), TN_CASE("Flatten", NULL, "2,2,2"),
        TN_CASE("Flatten", NULL, "5"), TN_CASE("Flatten", NULL, "2,3"),
        TN_CASE("Flatten", NULL, "1,2,1,3"), TN_CASE("Flatten", NULL, "3,1,2"),
        TN_CASE("expand_dims", "axis=1", "2,3"), TN_CASE("expand_dims", "axis=0", "2,3"),
        TN_CASE("expand_dims", "axis=2", "2,3"), TN_CASE("expand_dims", "axis=-1", "2,2,2"),
        TN_CASE("expand_dims", "axis=0", "4"));
}

static void gradients_of_what_has_another_shape_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("reshape_like", NULL, "2,3 3,2", .fixed = "1"),
                   TN_CASE("reshape_like", NULL, "6 1,6", .fixed = "1"),
                   TN_CASE("reshape_like", NULL, "2,2,2 4,2", .fixed = "1"),
                   TN_CASE("reshape_like", NULL, "2,4 2,2,2", .fixed = "1"),
                   TN_CASE("reshape_like", NULL, "3,1 3", .fixed = "1"),
                   TN_CASE("_identity_with_attr_like_rhs", NULL, "2,3 2,3", .fixed = "1"),
                   TN_CASE("_identity_with_attr_like_rhs", NULL, "5 5", .fixed = "1"),
                   TN_CASE("_identity_with_attr_like_rhs", NULL, "2,1,2 2,1,2", .fixed = "1"),
                   TN_CASE("_identity_with_attr_like_rhs", NULL, "1 1", .fixed = "1"),
                   TN_CASE("_identity_with_attr_like_rhs", NULL, "3,3 3,3", .fixed = "1"),
                   TN_CASE("_copy", NULL, "2,3"), TN_CASE("_copy", NULL, "7"),
                   TN_CASE("_copy", NULL, "2,1,2"), TN_CASE("_copy", NULL, "1"),
                   TN_CASE("_copy", NULL, "2,2,2,1"));
}

TN_TEST_MAIN({"codes copy, infer, merge and split", codes_copy_infer_merge_and_split},
             {"reverse reads codes from the right", reverse_reads_codes_from_the_right},
             {"target_shape is read for old models", target_shape_is_read_for_old_models},
             {"axes are flattened and inserted", axes_are_flattened_and_inserted},
             {"reshape_like takes the shape of another", reshape_like_takes_the_shape_of_another},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"gradients of what has another shape agree with differences",
              gradients_of_what_has_another_shape_agree_with_differences})
