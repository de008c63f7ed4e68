// tests/passes/test_infer_errors.c: what contradictions, bad givens and bad rules say.
#include "inferred.h"

// ------------------------------------------------------------------ contradictions

static void a_contradiction_names_node_argument_and_place(void)
{
    tn_symbol x = tn_variable(bench.g, "data");
    tn_symbol s = fully_connected(x, "10", "fc1");
    tn_graph_at(bench.g, "mlp.c", 12);
    tn_symbol t = (tn_call_make)(bench.g, "FullyConnected",
                                 &(tn_call_args){.size = sizeof(tn_call_args),
                                                 .name = "fc2",
                                                 .inputs = TN_SYMS(s),
                                                 .params = TN_ATTRS({"num_hidden", "10"})});
    tn_graph_at(bench.g, "train.c", 30);
    const tn_shape_result *r =
        (tn_infer_shape)(bench.g, t,
                         TN_SHAPES({"data", TN_DIMS(8, 4)}, {"fc2_weight", TN_DIMS(10, 7)}));
    CU_ASSERT_PTR_NULL(r);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_SHAPE);
    TN_CHECK_STR(tn_graph_error(bench.g),
                 "mlp.c:12: fc2 (FullyConnected): weight: shape (10,7), "
                 "wanted (10,10); data is (8,10) (in the call at train.c:30)");
}

static void operators_without_a_rule_have_one_shape(void)
{
    tn_symbol s = tn_call(bench.g, "add_n", .name = "sum",
                          .inputs = TN_SYMS(tn_variable(bench.g, "a"), tn_variable(bench.g, "b"),
                                            tn_variable(bench.g, "c")));
    tn_infer_shape(bench.g, s, TN_SHAPES({"a", TN_DIMS(2, 3)}, {"c", TN_DIMS(2, 4)}));
    TN_CHECK_STR(error_text(),
                 "sum (add_n): arg2: shape (2,4), wanted (2,3); arg0 is (2,3), arg1 is (2,3)");
}

static void a_shared_weight_that_fits_only_one_user(void)
{
    tn_symbol w = tn_variable(bench.g, "w");
    tn_symbol a = tn_call(bench.g, "FullyConnected", .name = "one",
                          .inputs = TN_SYMS(tn_variable(bench.g, "x"), w),
                          .params = TN_ATTRS({"num_hidden", "5"}, {"no_bias", "True"}));
    tn_symbol b = tn_call(bench.g, "FullyConnected", .name = "two",
                          .inputs = TN_SYMS(tn_variable(bench.g, "y"), w),
                          .params = TN_ATTRS({"num_hidden", "6"}, {"no_bias", "True"}));
    tn_infer_shape(bench.g, tn_group(bench.g, TN_SYMS(a, b)),
                   TN_SHAPES({"x", TN_DIMS(2, 3)}, {"y", TN_DIMS(2, 3)}));
    TN_CHECK_HAS(error_text(), "two (FullyConnected): weight: shape (5,3), wanted (6,");
}

// A contradiction that only shows once knowledge has come from both sides.
static void a_known_node_is_checked_too(void)
{
    tn_symbol a = tn_variable(bench.g, "a"), b = tn_variable(bench.g, "b");
    tn_symbol s = tn_call(bench.g, "relu", .name = "r", .inputs = TN_SYMS(a));
    tn_symbol t = tn_call(bench.g, "elemwise_add", .name = "s", .inputs = TN_SYMS(s, b));
    tn_infer_shape(bench.g, t, TN_SHAPES({"a", TN_DIMS(2)}, {"b", TN_DIMS(3)}));
    TN_CHECK_STR(error_text(), "s (elemwise_add): rhs: shape (3), wanted (2); lhs is (2)");
}

static void attributes_and_given_shapes_are_merged(void)
{
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(-1, 4));
    const tn_shape_result *r = tn_infer_shape(bench.g, x, TN_SHAPES({"x", TN_DIMS(3, -1)}));
    TN_CHECK_STR(shape_of(r, "x"), "(3,4)");
    tn_infer_shape(bench.g, x, TN_SHAPES({"x", TN_DIMS(3, 5)}));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_SHAPE);
    TN_CHECK_HAS(error_text(), "x: shape (3,5), wanted ");
    TN_CHECK_HAS(error_text(), "__shape__");
}

static void bad_givens_are_errors(void)
{
    tn_symbol x = apply("relu", tn_variable(bench.g, "data"));
    tn_infer_shape(bench.g, x, TN_SHAPES({"dota", TN_DIMS(3)}));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NOT_FOUND);
    TN_CHECK_HAS(error_text(), "'dota'");
    TN_CHECK_HAS(error_text(), "did you mean data?");
    tn_graph_forgive(bench.g);
    tn_infer_shape(bench.g, x, TN_SHAPES({"data", TN_DIMS(3)}, {"data", TN_DIMS(4)}));
    TN_CHECK_STR(error_text(), "data: given as (3) and (4)");
    tn_graph_forgive(bench.g);
    tn_infer_shape(bench.g, x, TN_SHAPES({"data", TN_DIMS(1, 2, 3, 4, 5, 6, 7, 8, 9)}));
    TN_CHECK_STR(error_text(), "data: 9 axes, at most 8 are possible");
    tn_graph_forgive(bench.g);
    tn_infer_shape(bench.g, x, TN_SHAPES({"data", TN_DIMS(3, -2)}));
    TN_CHECK_STR(error_text(), "data: extent -2, wanted 0 or more, or -1 for unknown");
    tn_graph_forgive(bench.g);
    CU_ASSERT_PTR_NULL(tn_infer_shape(bench.g, TN_NONE, (tn_shapes){0}));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);
}

static void two_variables_of_one_name_cannot_be_given_by_it(void)
{
    tn_graph_at(bench.g, "one.c", 1);
    tn_symbol x = (tn_variable_make)(bench.g, &(tn_variable_args){.size = sizeof(tn_variable_args),
                                                                  .name = "x"});
    tn_symbol y = tn_symbol_copy(bench.g, bench.g, x);
    tn_symbol s = tn_add(bench.g, x, y);
    tn_infer_shape(bench.g, s, TN_SHAPES({"x", TN_DIMS(3)}));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_EXISTS);
    TN_CHECK_HAS(error_text(), "two variables are named 'x'");
    TN_CHECK_HAS(error_text(), "one.c:1");
}

static void what_stays_unknown_is_listed(void)
{
    tn_symbol s = mlp();
    CU_ASSERT_PTR_NULL(tn_infer_shape(bench.g, s, TN_SHAPES({"data", TN_DIMS(-1, 4)})));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_SHAPE);
    TN_CHECK_HAS(error_text(), "data: (?,4), out_label: ");
    TN_CHECK_HAS(error_text(), "fc1_output: (?,128)");
    tn_graph_forgive(bench.g);
    const tn_shape_result *r = tn_infer_shape_partial(bench.g, s, (tn_shapes){0});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(shape_of(r, "fc1_weight"), "(128,?)");
    TN_CHECK_STR(shape_of(r, "fc1_bias"), "(128)");
    TN_CHECK_STR(shape_of(r, "data"), "?");
    for (int i = 0; i < 20; i++) s = apply("relu", s);
    tn_infer_shape(bench.g, s, (tn_shapes){0});
    TN_CHECK_HAS(error_text(), " more");
}

static void attributes_that_are_no_types_are_named(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tni_node *n = &bench.g->nodes[x.node];
    n->attrs = tni_attr_add(bench.g, n->attrs, "__shape__", "two");
    n->attrs = tni_attr_add(bench.g, n->attrs, "__dtype__", "77");
    tn_infer_shape(bench.g, x, (tn_shapes){0});
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);
    TN_CHECK_STR(error_text(), "x: __shape__ is \"two\", wanted a tuple of extents");
    tn_graph_forgive(bench.g);
    tn_infer_dtype(bench.g, x, (tn_dtypes){0});
    TN_CHECK_STR(error_text(), "x: __dtype__ is \"77\", wanted a type number");
    tn_graph_forgive(bench.g);
    n->attrs = tni_attr_add(bench.g, n->attrs, "__shape__", "(0, 3)"); // MXNet: 0 is unknown
    n->attrs = tni_attr_add(bench.g, n->attrs, "__dtype__", "-1");     // MXNet: not given
    const tn_shape_result *r = tn_infer_shape_partial(bench.g, x, (tn_shapes){0});
    TN_CHECK_STR(shape_of(r, "x"), "(?,3)");
    const tn_dtype_result *d = tn_infer_dtype(bench.g, x, (tn_dtypes){0});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(dtype_of(d, "x"), "unknown");
}

// ------------------------------------------------------------------ rules that misbehave

static tn_status silent_shape(const tn_infer *io)
{
    (void)io;
    return TN_E_INVALID;
}

static tn_status greedy_shape(const tn_infer *io)
{
    const tn_shape s = *io->in_shape(io->ctx, 5);
    return io->merge_out_shape(io->ctx, 0, &s);
}

static tn_status spoken_shape(const tn_infer *io)
{
    return tn_infer_fail(io, TN_E_SHAPE, "data: wanted %d axes", 4);
}

static tn_status deep_shape(const tn_infer *io)
{
    const tn_shape s = {.ndim = 9};
    return io->merge_out_shape(io->ctx, 0, &s);
}

#define BAD(name_, rule)                                                          \
    TN_OP(.name = name_, .doc = "x", .inputs = TN_PORTS(TN_PORT(.name = "data")), \
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = rule)
static const tn_op_decl op_silent = BAD("silent", silent_shape);
static const tn_op_decl op_greedy = BAD("greedy", greedy_shape);
static const tn_op_decl op_spoken = BAD("spoken", spoken_shape);
static const tn_op_decl op_deep = BAD("deep", deep_shape);

static void rules_that_misbehave_are_named(void)
{
    static const char *const cases[][2] = {
        {"silent", "silent0 (silent): its rule failed without saying why"},
        {"greedy", "greedy0 (greedy): its shape rule asks for input 5, there are 1"},
        {"spoken", "spoken0 (spoken): data: wanted 4 axes"},
        {"deep", "deep0 (deep): output: 9 axes, at most 8 are possible"}};
    if (!extra_ops(TN_OPS(&op_silent, &op_greedy, &op_spoken, &op_deep))) return;
    tn_symbol x = tn_variable(bench.g, "x");
    for (size_t i = 0; i < 4; i++) {
        tn_symbol s = apply(cases[i][0], x);
        CU_ASSERT_PTR_NULL(tn_infer_shape(bench.g, s, TN_SHAPES({"x", TN_DIMS(2)})));
        TN_CHECK_HAS(error_text(), cases[i][1]);
        tn_graph_forgive(bench.g);
    }
    extra_ops_free();
}

static void dtype_contradictions_name_the_argument(void)
{
    tn_symbol a = tn_variable(bench.g, "a"), b = tn_variable(bench.g, "b");
    tn_symbol s = tn_call(bench.g, "elemwise_add", .name = "s", .inputs = TN_SYMS(a, b));
    tn_infer_dtype(bench.g, s, TN_DTYPES({"a", TN_F32}, {"b", TN_I8}));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_DTYPE);
    TN_CHECK_STR(error_text(), "s (elemwise_add): rhs: dtype int8, wanted float32");
    tn_graph_forgive(bench.g);
    tn_infer_dtype(bench.g, s, TN_DTYPES({"a", 99}));
    TN_CHECK_STR(error_text(), "a: 99 is no dtype");
    tn_graph_forgive(bench.g);
    tn_infer_dtype(bench.g, s, TN_DTYPES({"c", TN_F32}));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NOT_FOUND);
}

TN_TEST_MAIN({"a contradiction names node, argument and place",
              a_contradiction_names_node_argument_and_place},
             {"operators without a rule have one shape", operators_without_a_rule_have_one_shape},
             {"a shared weight that fits only one user", a_shared_weight_that_fits_only_one_user},
             {"a node whose values are known is checked", a_known_node_is_checked_too},
             {"__shape__ and given shapes are merged", attributes_and_given_shapes_are_merged},
             {"bad givens are errors", bad_givens_are_errors},
             {"two variables of one name", two_variables_of_one_name_cannot_be_given_by_it},
             {"what stays unknown is listed", what_stays_unknown_is_listed},
             {"attributes that are no types are named", attributes_that_are_no_types_are_named},
             {"rules that misbehave are named", rules_that_misbehave_are_named},
             {"dtype contradictions name the argument", dtype_contradictions_name_the_argument})
