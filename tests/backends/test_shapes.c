// tests/backends/test_shapes.c: what <tenon/shapes.h> says of calls: orders of axes, parts, axes
// that are reduced or share a draw.
#include <tenon/shapes.h>

#include "tests/backends/made_calls.h"
#include "tests/tn_test.h"

#define NONE TN_NONE_I64

// ------------------------------------------------------------------ orders of axes

static void axes_are_reversed_listed_or_swapped(void)
{
    struct blob {
        tn_ints axes;
        int64_t dim1, dim2;
    };
    const tn_param_decl *const params[] = {PARAM(axes, NULL), PARAM(dim1, NULL), PARAM(dim2, NULL),
                                           NULL};
    const struct {
        const char *op;
        struct blob b;
        const char *wrong;
        int32_t order[3];
    } all[] = {
        {"transpose", {.axes = {0, NULL}}, NULL, {2, 1, 0}},
        {"transpose", {.axes = TN_INTS(1, -1, 0)}, NULL, {1, 2, 0}},
        {"transpose", {.axes = TN_INTS(1, 0)}, "axes", {0}},
        {"transpose", {.axes = TN_INTS(0, 1, 3)}, "axes", {0}},
        {"SwapAxis", {.dim1 = 0, .dim2 = -1}, NULL, {2, 1, 0}},
        {"SwapAxis", {.dim1 = 1, .dim2 = 1}, NULL, {0, 1, 2}},
        {"SwapAxis", {.dim1 = 3, .dim2 = 0}, "dim1", {0}},
        {"SwapAxis", {.dim1 = 0, .dim2 = -4}, "dim2", {0}},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        made m;
        int32_t order[TN_MAX_NDIM];
        make_call(&m, all[i].op, params, &all[i].b, TN_DIMS(2, 3, 4), TN_DIMS(1));
        const char *wrong = tn_axes_order(&m.call, 3, order);
        TN_CHECK_STR(wrong ? wrong : "", all[i].wrong ? all[i].wrong : "");
        for (int k = 0; k < 3 && !wrong; k++) CU_ASSERT_EQUAL(order[k], all[i].order[k]);
    }
}

// ------------------------------------------------------------------ parts

static void parts_start_where_numpy_starts(void)
{
    CU_ASSERT_EQUAL(tn_cut_start(NONE, 1, 7), 0);
    CU_ASSERT_EQUAL(tn_cut_start(NONE, -2, 7), 6);
    CU_ASSERT_EQUAL(tn_cut_start(-3, 1, 7), 4);
    CU_ASSERT_EQUAL(tn_cut_start(-9, 1, 7), 0);
    CU_ASSERT_EQUAL(tn_cut_start(9, 1, 7), 7);
    CU_ASSERT_EQUAL(tn_cut_start(9, -1, 7), 6);
}

static void slices_have_a_start_and_step_by_axis(void)
{
    struct blob {
        tn_ints begin, step;
    };
    const tn_param_decl *const params[] = {PARAM(begin, NULL), PARAM(step, NULL), NULL};
    const struct blob b = {TN_INTS(1, NONE), TN_INTS(NONE, -2)};
    made m;
    tn_cut cut[TN_MAX_NDIM];
    make_call(&m, "slice", params, &b, TN_DIMS(3, 5, 4), TN_DIMS(2, 3, 4));
    CU_ASSERT_PTR_NULL(tn_cut_axes(&m.call, m.in[0], cut));
    CU_ASSERT(cut[0].start == 1 && cut[0].step == 1);
    CU_ASSERT(cut[1].start == 4 && cut[1].step == -2);
    CU_ASSERT(cut[2].start == 0 && cut[2].step == 1);
}

static void slices_of_one_axis_take_all_of_the_others(void)
{
    struct blob {
        int64_t axis, begin;
    };
    const tn_param_decl *const params[] = {PARAM(axis, NULL), PARAM(begin, NULL), NULL};
    const struct blob b = {-2, -2}, wrong = {3, 0};
    made m;
    tn_cut cut[TN_MAX_NDIM];
    make_call(&m, "_backward_slice_axis", params, &b, TN_DIMS(3, 5, 4), TN_DIMS(1));
    CU_ASSERT_PTR_NULL(tn_cut_axes(&m.call, m.in[0], cut));
    CU_ASSERT(cut[0].start == 0 && cut[1].start == 3 && cut[2].start == 0);
    CU_ASSERT(cut[0].step == 1 && cut[1].step == 1 && cut[2].step == 1);
    make_call(&m, "slice_axis", params, &wrong, TN_DIMS(3, 5, 4), TN_DIMS(1));
    TN_CHECK_STR(tn_cut_axes(&m.call, m.in[0], cut), "axis");
}

// ------------------------------------------------------------------ some of the axes

static void some_axes_are_reduced(void)
{
    struct blob {
        tn_ints axis;
        int32_t exclude;
    };
    const tn_param_decl *const params[] = {PARAM(axis, NULL), PARAM(exclude, NULL), NULL};
    const struct {
        struct blob b;
        bool gone[3];
    } all[] = {
        {{{0, NULL}, 0}, {true, true, true}},
        {{{0, NULL}, 1}, {true, true, true}},
        {{TN_INTS(-1), 0}, {false, false, true}},
        {{TN_INTS(-1, 0), 1}, {false, true, false}},
    };
    const struct blob beyond = {TN_INTS(3), 0};
    bool gone[TN_MAX_NDIM];
    made m;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        make_call(&m, "sum", params, &all[i].b, TN_DIMS(2, 3, 4), TN_DIMS(1));
        CU_ASSERT_PTR_NULL(tn_reduced_axes(&m.call, m.in[0], gone));
        for (int k = 0; k < 3; k++) CU_ASSERT_EQUAL(gone[k], all[i].gone[k]);
    }
    make_call(&m, "sum", params, &beyond, TN_DIMS(2, 3, 4), TN_DIMS(1));
    TN_CHECK_STR(tn_reduced_axes(&m.call, m.in[0], gone), "axis");
}

static void some_axes_share_a_draw(void)
{
    struct blob {
        tn_ints axes;
    };
    const tn_param_decl *const params[] = {PARAM(axes, NULL), NULL};
    const struct blob none = {{0, NULL}}, middle = {TN_INTS(-2)}, beyond = {TN_INTS(3)};
    int64_t stride[TN_MAX_NDIM];
    made m;
    make_call(&m, "Dropout", params, &none, TN_DIMS(2, 3, 4), TN_DIMS(1));
    CU_ASSERT_PTR_NULL(tn_draw_strides(&m.call, m.in[0], stride));
    CU_ASSERT(stride[0] == 12 && stride[1] == 4 && stride[2] == 1);
    make_call(&m, "Dropout", params, &middle, TN_DIMS(2, 3, 4), TN_DIMS(1));
    CU_ASSERT_PTR_NULL(tn_draw_strides(&m.call, m.in[0], stride));
    CU_ASSERT(stride[0] == 4 && stride[1] == 0 && stride[2] == 1);
    make_call(&m, "Dropout", params, &beyond, TN_DIMS(2, 3, 4), TN_DIMS(1));
    TN_CHECK_STR(tn_draw_strides(&m.call, m.in[0], stride), "axes");
}

static void a_lone_start_is_the_stop(void)
{
    struct blob {
        double start, stop, step;
        int64_t repeat;
        int32_t infer_range;
    };
    const tn_param_decl *const params[] = {PARAM(start, NULL),       PARAM(stop, NULL),
                                           PARAM(step, NULL),        PARAM(repeat, NULL),
                                           PARAM(infer_range, NULL), NULL};
    const struct blob all[] = {{5, NAN, 2, 3, 0}, {5, NAN, 2, 3, 1}, {5, 9, 2, 3, 0}};
    for (int i = 0; i < 3; i++) {
        made m;
        make_call(&m, "_arange", params, &all[i], TN_DIMS(1), TN_DIMS(1));
        const tn_progress p = tn_progress_of(&m.call);
        CU_ASSERT(p.start == (i ? 5 : 0) && p.step == 2 && p.repeat == 3);
    }
}

TN_TEST_MAIN({"axes are reversed, listed or swapped", axes_are_reversed_listed_or_swapped},
             {"parts start where NumPy starts", parts_start_where_numpy_starts},
             {"slices have a start and step by axis", slices_have_a_start_and_step_by_axis},
             {"slices of one axis take all of the others",
              slices_of_one_axis_take_all_of_the_others},
             {"some axes are reduced", some_axes_are_reduced},
             {"some axes share a draw", some_axes_share_a_draw},
             {"a lone start is the stop", a_lone_start_is_the_stop})
