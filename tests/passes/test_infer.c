// tests/passes/test_infer.c: shapes and dtypes, both directions, to a fixpoint.
#include "inferred.h"

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

// Looks at its three inputs from left to right only: one turn brings knowledge one place further.
static tn_status slow_shape(const tn_infer *io)
{
    tn_status s = tn_infer_in_out(io, 0, 0);
    if (s == TN_OK) s = tn_infer_in_in(io, 0, 1);
    return s == TN_OK ? tn_infer_in_in(io, 1, 2) : s;
}

static const tn_op_decl op_slow =
    TN_OP(.name = "slow", .doc = "x",
          .inputs = TN_PORTS(TN_PORT(.name = "a"), TN_PORT(.name = "b"), TN_PORT(.name = "c")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = slow_shape);

static void a_rule_is_asked_until_it_has_nothing_to_add(void)
{
    if (!extra_ops(TN_OPS(&op_slow))) return;
    tn_symbol a = tn_variable(bench.g, "a"), b = tn_variable(bench.g, "b"),
              c = tn_variable(bench.g, "c");
    tn_symbol s = tn_call(bench.g, "slow", .name = "s", .inputs = TN_SYMS(a, b, c));
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({"c", TN_DIMS(4)}));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(shape_of(r, "a"), "(4)");
    TN_CHECK_STR(shape_of(r, "s_output"), "(4)");
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
             {"a rule is asked until it has nothing to add",
              a_rule_is_asked_until_it_has_nothing_to_add},
             {"dtypes travel both ways", dtypes_travel_both_ways},
             {"unknown dtypes stay unknown", unknown_dtypes_stay_unknown})
