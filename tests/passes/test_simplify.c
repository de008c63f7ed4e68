// tests/passes/test_simplify.c: what need not be computed is not, and everything else is.
#include "devices_by_hand.h"

// ------------------------------------------------------------------ operators of these tests

#define PORT(name_) TN_PORT(.name = (name_), .doc = "data")
#define STATE(name_) TN_PORT(.name = (name_), .doc = "data", .flags = TN_PORT_AUX)
typedef struct lists_params {
    tn_ints axes;
    tn_reals weights;
    const char *text;
    double number;
} lists_params;
static const tn_op_decl lists =
    TN_OP(.name = "lists", .doc = "Has parameters of all shapes.", .inputs = TN_PORTS(PORT("data")),
          .outputs = TN_PORTS(PORT("output")),
          .params =
              TN_PARAMS(TN_PARAM(lists_params, axes, TN_P_I64S, .def = "()", .doc = "list"),
                        TN_PARAM(lists_params, weights, TN_P_F64S, .def = "()", .doc = "list"),
                        TN_PARAM(lists_params, text, TN_P_STR, .def = "a", .doc = "text"),
                        TN_PARAM(lists_params, number, TN_P_F64, .def = "1", .doc = "number")),
          .params_size = sizeof(lists_params));
static const tn_op_decl noise =
    TN_OP(.name = "noise", .doc = "Random.", .flags = TN_OP_RANDOM,
          .inputs = TN_PORTS(PORT("data")), .outputs = TN_PORTS(PORT("output")));
static const tn_op_decl moody =
    TN_OP(.name = "moody", .doc = "Depends on the mode.", .flags = TN_OP_MODE,
          .inputs = TN_PORTS(PORT("data")), .outputs = TN_PORTS(PORT("output")));
static const tn_op_decl states =
    TN_OP(.name = "states", .doc = "Has a state.", .inputs = TN_PORTS(PORT("data"), STATE("mean")),
          .outputs = TN_PORTS(PORT("output")));
static const tn_op_decl same =
    TN_OP(.name = "same", .doc = "Identity.", .flags = TN_OP_IDENTITY,
          .inputs = TN_PORTS(PORT("data")), .outputs = TN_PORTS(PORT("output")));
static const tn_op_decl inner =
    TN_OP(.name = "_backward_noise", .doc = "May use what noise kept.", .flags = TN_OP_INTERNAL,
          .inputs = TN_PORTS(PORT("dy")), .outputs = TN_PORTS(PORT("dx")));
static const tn_op_decl *const more[] = {&lists, &noise, &moody, &states, &same, NULL};

static void begin(void)
{
    hand_begin(more);
    hand.handles[BETA][0].ops = HAND_OPS "lists|noise|moody|same|";
}

static tn_status place(tn_symbol head)
{
    const tni_entry keep = hand_entry(head);
    return PLACE(.backends = "beta", .keep = &keep, .n_keep = 1);
}

// ------------------------------------------------------------------ duplicates

static void duplicates_are_computed_once(void)
{
    begin();
    const tn_symbol x = hand_var("x");
    const tn_symbol a = hand_op("relu", "a", x), b = hand_op("relu", "b", x);
    const tn_symbol c = hand_op("sigmoid", "c", a), d = hand_op("sigmoid", "d", b);
    const tn_symbol sum = hand_op2("elemwise_add", "sum", c, d);
    place(sum);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x a:beta c:beta sum:beta");
    CU_ASSERT(hand.placed.n_merged == 2);
    const tni_entry *values = hand.placed.values;
    CU_ASSERT(values[2].node == 2 && values[1].node == 2); // b is a
    CU_ASSERT(values[4].node == 3);                        // d is c
    const tni_node *n = tni_node_at(hand.placed.g, 4);
    CU_ASSERT(n->in[0].node == 3 && n->in[1].node == 3);
    const tni_entry keep = hand_entry(sum);
    PLACE(.backends = "beta", .keep = &keep, .n_keep = 1, .exact = true);
    TN_CHECK_STR(hand_show(), "x a:beta b:beta c:beta d:beta sum:beta");
    hand_end();
}

static void what_differs_is_kept_apart(void)
{
    static const char *const texts[][2] = {
        {"axes", "(1,2)"},    {"axes", "(1,3)"}, {"axes", "(1,)"},
        {"weights", "(1,)"},  {"text", "b"},     {"text", ""},
        {"weights", "(1,2)"}, {"number", "0.0"}, {"number", "-0.0"},
    };
    const size_t n = sizeof texts / sizeof *texts;
    begin();
    const tn_symbol x = hand_var("x");
    tn_symbol all[2 * (sizeof texts / sizeof *texts)];
    for (size_t i = 0; i < 2 * n; i++)
        all[i] = tn_call(bench.g, "lists", .inputs = TN_SYMS(x),
                         .params = TN_ATTRS({texts[i / 2][0], texts[i / 2][1]}));
    tn_symbol sum = all[0];
    for (size_t i = 1; i < 2 * n; i++) sum = hand_op2("elemwise_add", NULL, sum, all[i]);
    place(sum);
    TN_CHECK_GRAPH();
    CU_ASSERT(hand.placed.n_merged == n); // each text twice
    hand_end();
}

static void impure_nodes_are_never_merged(void)
{
    begin();
    const tn_symbol x = hand_var("x"), m = hand_var("m");
    tn_symbol sum = x;
    static const char *const ops[] = {"noise", "moody", "states"};
    for (int i = 0; i < 6; i++) {
        const tn_symbol y =
            i % 3 < 2 ? hand_op(ops[i % 3], NULL, x) : hand_op2(ops[i % 3], NULL, x, m);
        sum = hand_op2("elemwise_add", NULL, sum, y);
    }
    // m is written between the two readers, so they read different things.
    sum = hand_op2("elemwise_add", NULL, sum, hand_op("relu", NULL, m));
    sum = hand_op2("elemwise_add", NULL, sum, hand_op("relu", NULL, m));
    place(sum);
    TN_CHECK_GRAPH();
    CU_ASSERT(hand.placed.n_merged == 0);
    CU_ASSERT(hand.placed.g->n_nodes == bench.g->n_nodes);
    hand_end();
}

static void kept_and_pinned_nodes_stay(void)
{
    begin();
    const tn_symbol x = hand_var("x");
    const tn_symbol a = hand_op("relu", "a", x), b = hand_op("relu", "b", x);
    const tn_symbol c = hand_op("relu", "c", x), d = hand_op("relu", "d", x);
    tn_attr_set(bench.g, c, "__backend__", "alpha");
    const tni_entry keep[] = {hand_entry(a), hand_entry(b), hand_entry(c), hand_entry(d)};
    PLACE(.backends = "beta,alpha", .keep = keep, .n_keep = 2);
    TN_CHECK_STR(hand_show(), "x a:beta b:beta"); // two outputs are two values
    PLACE(.backends = "beta,alpha", .keep = keep, .n_keep = 1);
    TN_CHECK_STR(hand_show(), "x a:beta");
    const tn_symbol sum = hand_op2("elemwise_add", "s", c, d);
    place(sum);
    CU_ASSERT(tn_graph_status(bench.g) == TN_E_INVALID); // alpha is not on that list
    tn_graph_forgive(bench.g);
    const tni_entry s = hand_entry(sum);
    PLACE(.backends = "beta,alpha", .keep = &s, .n_keep = 1);
    TN_CHECK_STR(hand_show(), "x a:beta c:alpha s:beta"); // d is a, c is not
    hand_end();
}

static void results_of_the_same_calls_with_other_types_stay(void)
{
    begin();
    static const char *const names[] = {"p", "q", "r"};
    tn_symbol z[3];
    for (int i = 0; i < 3; i++) z[i] = tn_call(bench.g, "_zeros", .name = names[i]);
    // Two of them are told by their readers to be (4,8), the third to be (2,3).
    const tn_symbol x = hand_var("x");
    const tn_symbol w = tn_variable(bench.g, "w", .shape = TN_DIMS(2, 3), .dtype = TN_F32);
    const tni_entry keep[] = {
        hand_entry(hand_op2("elemwise_add", "x0", x, z[0])),
        hand_entry(hand_op2("elemwise_add", "x1", z[1], x)),
        hand_entry(hand_op2("elemwise_add", "w0", w, z[2])),
    };
    hand.handles[BETA][0].ops = HAND_OPS "_zeros|";
    PLACE(.backends = "beta", .keep = keep, .n_keep = 3);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "p:beta r:beta x w x0:beta x1:beta w0:beta");
    hand_end();
}

// ------------------------------------------------------------------ identities and dead nodes

static void identities_are_passed_by(void)
{
    begin();
    const tn_symbol x = hand_var("x"), r = hand_op("relu", "r", x);
    const tn_symbol i = hand_op("same", "i", hand_op("same", "h", r));
    const tn_symbol s = hand_op("sigmoid", "s", i), t = hand_op("sigmoid", "t", r);
    place(hand_op2("elemwise_add", "sum", s, t));
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x r:beta s:beta sum:beta"); // s and t are one then
    CU_ASSERT(hand.placed.n_dropped == 2 && hand.placed.n_merged == 1);
    place(i);
    TN_CHECK_STR(hand_show(), "x r:beta i:beta"); // an output of its own
    place(hand_op("relu", "e", hand_op("same", "c", x)));
    TN_CHECK_STR(hand_show(), "x c:beta e:beta"); // a copy of a variable
    tn_attr_set(bench.g, i, "__backend__", "beta");
    place(s);
    TN_CHECK_STR(hand_show(), "x r:beta i:beta s:beta");
    hand_end();
}

static void what_nothing_needs_does_not_run(void)
{
    begin();
    const tn_symbol x = hand_var("x");
    hand_var("unused");
    const tn_symbol r = hand_op("relu", "r", x);
    hand_op("noise", "dead", hand_op("sigmoid", "s", r));
    place(r);
    TN_CHECK_STR(hand_show(), "x unused r:beta"); // variables always stay
    CU_ASSERT(hand.placed.values[3].node == 0);
    CU_ASSERT(hand.placed.kept[0].node == 3);
    PLACE(.backends = "beta");
    TN_CHECK_STR(hand_show(), "x unused r:beta s:beta dead:beta");
    hand_end();
}

// ------------------------------------------------------------------ gradients

static void backward_nodes_belong_to_one_forward_node(void)
{
    static const tn_op_decl *const ops[] = {&noise, &inner, NULL};
    hand_begin(ops);
    hand.handles[BETA][0].ops = HAND_OPS "noise|_backward_noise|";
    const tn_symbol x = hand_var("x");
    const tni_entry a = hand_entry(hand_op("noise", "a", x));
    const tni_entry b = hand_entry(hand_op("noise", "b", x));
    const tni_entry in = hand_entry(x);
    tni_entry keep[4];
    for (int i = 0; i < 2; i++) {
        const tni_entry f = i ? b : a;
        const tni_entry d = tni_build(bench.g, NULL, "_backward_noise", NULL, &in, 1, "d", f.node);
        keep[i] = tni_build(bench.g, NULL, "elemwise_add", NULL, (tni_entry[]){f, d}, 2, "k", 0);
    }
    hand_place(3, &(tni_place_options){.backends = "beta", .keep = keep, .n_keep = 2});
    TN_CHECK_GRAPH();
    CU_ASSERT(hand.placed.n_merged == 0 && hand.placed.g->n_nodes == bench.g->n_nodes);
    // Operators that any node may use are merged whatever gradient they stand in.
    for (int i = 0; i < 2; i++) {
        const tni_entry f = i ? b : a;
        const tni_entry d = tni_build(bench.g, NULL, "relu", NULL, &in, 1, "e", f.node);
        keep[2 + i] =
            tni_build(bench.g, NULL, "elemwise_add", NULL, (tni_entry[]){f, d}, 2, "k", 0);
    }
    hand_place(3, &(tni_place_options){.backends = "beta", .keep = keep, .n_keep = 4});
    CU_ASSERT(hand.placed.n_merged == 1);
    hand_end();
}

TN_TEST_MAIN({"duplicates are computed once", duplicates_are_computed_once},
             {"what differs is kept apart", what_differs_is_kept_apart},
             {"impure nodes are never merged", impure_nodes_are_never_merged},
             {"kept and pinned nodes stay", kept_and_pinned_nodes_stay},
             {"results of the same calls with other types stay",
              results_of_the_same_calls_with_other_types_stay},
             {"identities are passed by", identities_are_passed_by},
             {"what nothing needs does not run", what_nothing_needs_does_not_run},
             {"backward nodes belong to one forward node",
              backward_nodes_belong_to_one_forward_node})
