// tests/passes/test_infer.c: shapes and dtypes, both directions, to a fixpoint; what contradictions
// say.
#include "extra_ops.h"

// The shape of the argument, output or auxiliary state of that name: "(2,?)", or "none".
static const char *shape_of(const tn_shape_result *r, const char *name)
{
    static tni_text t;
    const tn_named_shape *v = r ? r->args : NULL;
    t.n = 0;
    tni_text_add(&t, "");
    for (size_t i = 0; r && i < r->n_args + r->n_outs + r->n_auxs; i++) {
        if (strcmp(v[i].name, name) != 0) continue;
        tni_text_shape(&t, &v[i].shape);
        return t.s;
    }
    return "none";
}

static const char *dtype_of(const tn_dtype_result *r, const char *name)
{
    for (size_t i = 0; r && i < r->n_args + r->n_outs + r->n_auxs; i++)
        if (strcmp(r->args[i].name, name) == 0) return tn_dtype_name(r->args[i].dtype);
    return "none";
}

// Error of the graph without the places: of the node in front, of the call at the end.
static const char *error_text(void)
{
    static char text[2048];
    const char *whole = tn_graph_error(bench.g), *space = strchr(whole, ' ');
    snprintf(text, sizeof text, "%s", space ? space + 1 : whole);
    char *call = strstr(text, " (in the call at ");
    if (call) *call = 0;
    return text;
}

static tn_symbol apply(const char *op, tn_symbol x)
{
    return tn_call(bench.g, op, .inputs = TN_SYMS(x));
}

static tn_symbol fully_connected(tn_symbol x, const char *n, const char *name)
{
    return tn_call(bench.g, "FullyConnected", .name = name, .inputs = TN_SYMS(x),
                   .params = TN_ATTRS({"num_hidden", n}));
}

static tn_symbol mlp(void)
{
    tn_symbol x = tn_variable(bench.g, "data");
    x = fully_connected(x, "128", "fc1");
    x = apply("relu", x);
    x = fully_connected(x, "10", "fc2");
    return tn_call(bench.g, "SoftmaxOutput", .name = "out", .inputs = TN_SYMS(x));
}

// ------------------------------------------------------------------ directions

static void forwards(void)
{
    const tn_shape_result *r =
        tn_infer_shape(bench.g, mlp(), TN_SHAPES({"data", TN_DIMS(64, 784)}));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(shape_of(r, "data"), "(64,784)");
    TN_CHECK_STR(shape_of(r, "fc1_weight"), "(128,784)");
    TN_CHECK_STR(shape_of(r, "fc1_bias"), "(128)");
    TN_CHECK_STR(shape_of(r, "fc2_weight"), "(10,128)");
    TN_CHECK_STR(shape_of(r, "out_label"), "(64)");
    TN_CHECK_STR(shape_of(r, "out_output"), "(64,10)");
    CU_ASSERT(r && r->complete && r->n_args == 6 && r->n_outs == 1 && r->n_auxs == 0);
}

static void backwards(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_symbol y = tn_variable(bench.g, "y");
    tn_symbol s = tn_add(bench.g, apply("tanh", apply("relu", x)), y);
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({"y", TN_DIMS(2, 3)}));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(shape_of(r, "x"), "(2,3)");
}

static void a_given_weight_says_how_wide_the_data_is(void)
{
    tn_symbol x = tn_call(bench.g, "FullyConnected", .name = "fc",
                          .inputs = TN_SYMS(tn_variable(bench.g, "data")),
                          .params = TN_ATTRS({"num_hidden", "3"}, {"flatten", "False"}));
    const tn_shape_result *r = tn_infer_shape_partial(
        bench.g, x, TN_SHAPES({"data", TN_DIMS(5, -1)}, {"fc_weight", TN_DIMS(-1, 4)}));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(shape_of(r, "fc_weight"), "(3,4)");
    TN_CHECK_STR(shape_of(r, "data"), "(5,4)");
    TN_CHECK_STR(shape_of(r, "fc_output"), "(5,3)");
    CU_ASSERT(r && r->complete);
}

static void partial_extents_travel(void)
{
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(-1, 3));
    tn_symbol y = tn_variable(bench.g, "y");
    tn_symbol s = tn_mul(bench.g, apply("relu", x), y);
    const tn_shape_result *r = tn_infer_shape_partial(bench.g, s, TN_SHAPES({"y", TN_DIMS(4, -1)}));
    TN_CHECK_STR(shape_of(r, "x"), "(4,3)");
    TN_CHECK_STR(shape_of(r, "y"), "(4,3)");
    r = tn_infer_shape_partial(bench.g, s, (tn_shapes){0});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(shape_of(r, "y"), "(?,3)");
    CU_ASSERT(r && !r->complete);
}

static void scalars_and_empty_axes_are_shapes(void)
{
    tn_symbol s = tn_add(bench.g, tn_variable(bench.g, "x"), tn_variable(bench.g, "y"));
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({"x", TN_SCALAR}));
    TN_CHECK_STR(shape_of(r, "y"), "()");
    r = tn_infer_shape(bench.g, s, TN_SHAPES({"x", TN_DIMS(0, 3)}));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(shape_of(r, "y"), "(0,3)");
}

static void auxiliary_states_have_their_own_list(void)
{
    tn_symbol s = tn_call(bench.g, "sgd_mom_update", .name = "up",
                          .inputs = TN_SYMS(tn_variable(bench.g, "w"), tn_variable(bench.g, "g"),
                                            tn_variable(bench.g, "m")),
                          .params = TN_ATTRS({"lr", "0.1"}));
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({"m", TN_DIMS(7)}));
    TN_CHECK_GRAPH();
    CU_ASSERT(r && r->n_args == 2 && r->n_auxs == 1 && strcmp(r->auxs[0].name, "m") == 0);
    TN_CHECK_STR(shape_of(r, "w"), "(7)");
    TN_CHECK_STR(shape_of(r, "up_output"), "(7)");
}

static void groups_have_all_their_outputs(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_symbol s = tn_group(bench.g, TN_SYMS(apply("relu", x), x, apply("Flatten", x)));
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({"x", TN_DIMS(2, 3, 4)}));
    TN_CHECK_GRAPH();
    CU_ASSERT(r && r->n_outs == 3 && r->n_args == 1);
    TN_CHECK_STR(shape_of(r, "relu0_output"), "(2,3,4)");
    TN_CHECK_STR(shape_of(r, "flatten0_output"), "(2,12)");
    TN_CHECK_STR(r->outs[1].name, "x");
}

// ------------------------------------------------------------------ long graphs

enum { LONG = 100000 };

static tn_symbol chain(tn_symbol x, size_t n)
{
    for (size_t i = 0; i < n; i++) x = apply("relu", x);
    return x;
}

static void a_long_chain_from_its_beginning(void)
{
    tn_symbol s = chain(tn_variable(bench.g, "x"), LONG);
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({"x", TN_DIMS(2, 3)}));
    TN_CHECK_GRAPH();
    CU_ASSERT(r && r->complete && r->outs[0].shape.ndim == 2);
}

static void a_long_chain_from_its_end(void)
{
    tn_symbol s =
        tn_add(bench.g, chain(tn_variable(bench.g, "x"), LONG), tn_variable(bench.g, "y"));
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({"y", TN_DIMS(2, 3)}));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(shape_of(r, "x"), "(2,3)");
    CU_ASSERT(r && r->complete);
}

// v0 + v1, v1 + v2, …: what is known of the last goes down to the first, one node after the other,
// against the order of the nodes.
static void a_long_zigzag_against_the_order(void)
{
    char name[32];
    tn_symbol *sums = calloc(LONG, sizeof *sums);
    tn_symbol before = tn_variable(bench.g, "v0");
    for (int i = 0; i < LONG; i++) {
        snprintf(name, sizeof name, "v%d", i + 1);
        tn_symbol next = tn_variable(bench.g, name);
        sums[i] = tn_add(bench.g, before, next);
        before = next;
    }
    tn_symbol s = tn_group(bench.g, (tn_symbols){LONG, sums});
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({name, TN_DIMS(5)}));
    TN_CHECK_GRAPH();
    CU_ASSERT(r && r->complete);
    TN_CHECK_STR(shape_of(r, "v0"), "(5)");
    free(sums);
}

// ------------------------------------------------------------------ how often rules are asked

static size_t n_asked;

static tn_status counting_shape(const tn_infer *io)
{
    n_asked++;
    return tn_infer_in_out(io, 0, 0);
}

static const tn_op_decl op_counting =
    TN_OP(.name = "counting", .doc = "x", .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = counting_shape);

static void known_nodes_are_not_asked_again(void)
{
    if (!extra_ops(TN_OPS(&op_counting))) return;
    tn_symbol x = tn_variable(bench.g, "x");
    for (int i = 0; i < 1000; i++) x = apply("counting", x);
    n_asked = 0;
    tn_infer_shape(bench.g, x, TN_SHAPES({"x", TN_DIMS(2)}));
    CU_ASSERT_EQUAL(n_asked, 1000);
    n_asked = 0;
    tn_infer_shape(bench.g, tn_add(bench.g, x, tn_variable(bench.g, "y")),
                   TN_SHAPES({"y", TN_DIMS(2)}));
    TN_CHECK_GRAPH();
    CU_ASSERT(n_asked >= 2000 && n_asked <= 3000); // once forwards, then once or twice backwards
    extra_ops_free();
}

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
    TN_CHECK_STR(tn_graph_error(bench.g), "mlp.c:12: fc2 (FullyConnected): weight: shape (10,7), "
                                          "wanted (10,10) (in the call at train.c:30)");
}

static void operators_without_a_rule_have_one_shape(void)
{
    tn_symbol s = tn_call(bench.g, "add_n", .name = "sum",
                          .inputs = TN_SYMS(tn_variable(bench.g, "a"), tn_variable(bench.g, "b"),
                                            tn_variable(bench.g, "c")));
    tn_infer_shape(bench.g, s, TN_SHAPES({"a", TN_DIMS(2, 3)}, {"c", TN_DIMS(2, 4)}));
    TN_CHECK_STR(error_text(), "sum (add_n): arg2: shape (2,4), wanted (2,3)");
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
    TN_CHECK_STR(error_text(), "s (elemwise_add): rhs: shape (3), wanted (2)");
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

// ------------------------------------------------------------------ dtypes

static void dtypes_travel_both_ways(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(bench.g, "y", .dtype = TN_F64);
    tn_symbol s = tn_add(bench.g, apply("relu", x), y);
    const tn_dtype_result *r = tn_infer_dtype(bench.g, s, (tn_dtypes){0});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(dtype_of(r, "x"), "float64");
    CU_ASSERT(r && r->complete);
    tn_infer_dtype(bench.g, s, TN_DTYPES({"x", TN_F16}));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_DTYPE);
    TN_CHECK_HAS(error_text(), "dtype float");
}

static void unknown_dtypes_stay_unknown(void)
{
    tn_symbol s = apply("relu", tn_variable(bench.g, "x"));
    const tn_dtype_result *r = tn_infer_dtype(bench.g, s, (tn_dtypes){0});
    TN_CHECK_GRAPH();
    CU_ASSERT(r && !r->complete && r->args[0].dtype == TN_DTYPE_NONE);
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

TN_TEST_MAIN({"shapes go forwards through a network", forwards}, {"shapes go backwards", backwards},
             {"a weight says how wide the data is", a_given_weight_says_how_wide_the_data_is},
             {"known extents of partly known shapes travel", partial_extents_travel},
             {"rank 0 and empty axes are shapes", scalars_and_empty_axes_are_shapes},
             {"auxiliary states have their own list", auxiliary_states_have_their_own_list},
             {"groups have all their outputs", groups_have_all_their_outputs},
             {"100,000 nodes, known at the beginning", a_long_chain_from_its_beginning},
             {"100,000 nodes, known at the end", a_long_chain_from_its_end},
             {"100,000 nodes against their order", a_long_zigzag_against_the_order},
             {"known nodes are not asked again", known_nodes_are_not_asked_again},
             {"a contradiction names node, argument and place",
              a_contradiction_names_node_argument_and_place},
             {"operators without a rule have one shape", operators_without_a_rule_have_one_shape},
             {"a shared weight that fits only one user", a_shared_weight_that_fits_only_one_user},
             {"a node whose values are known is checked", a_known_node_is_checked_too},
             {"__shape__ and given shapes are merged", attributes_and_given_shapes_are_merged},
             {"bad givens are errors", bad_givens_are_errors},
             {"two variables of one name", two_variables_of_one_name_cannot_be_given_by_it},
             {"what stays unknown is listed", what_stays_unknown_is_listed},
             {"rules that misbehave are named", rules_that_misbehave_are_named},
             {"dtypes travel both ways", dtypes_travel_both_ways},
             {"unknown dtypes stay unknown", unknown_dtypes_stay_unknown},
             {"dtype contradictions name the argument", dtype_contradictions_name_the_argument})
