// tests/passes/test_gradient.c: what nodes differentiation appends, and what they compute.
#include "scalars.h"

// ------------------------------------------------------------------ structure

static void a_chain_needs_no_sums(void)
{
    tn_symbol x = variable("x"), y = named("sigmoid", "act", named("relu", "r", x));
    const size_t before = bench.g->n_nodes;
    tn_symbol dx = gradient(y, x);
    CU_ASSERT_EQUAL(bench.g->n_nodes, before + 3);
    TN_CHECK_STR(tn_symbol_op(bench.g, dx), "_backward_relu");
    TN_CHECK_STR(tn_symbol_name(bench.g, dx), "r_backward");
    CU_ASSERT_EQUAL(node_of(dx)->forward, 2);
    TN_CHECK_NEAR(value_at(dx, 0.3), value_at(y, 0.3) * (1 - value_at(y, 0.3)), 1e-15);
}

static void backward_nodes_know_where_they_come_from(void)
{
    tn_symbol x = variable("x");
    tn_graph_at(bench.g, "model.c", 77);
    tn_symbol y = (tn_call_make)(bench.g, "relu",
                                 &(tn_call_args){.size = sizeof(tn_call_args),
                                                 .name = "r",
                                                 .inputs = TN_SYMS(x),
                                                 .attrs = TN_ATTRS({"ctx_group", "left"})});
    tn_symbol dx = gradient(y, x);
    TN_CHECK_STR(node_of(dx)->file, "model.c");
    CU_ASSERT_EQUAL(node_of(dx)->line, 77);
    TN_CHECK_STR(tn_attr_get(bench.g, dx, "ctx_group"), "left");
}

static void a_diamond_is_summed(void)
{
    tn_symbol x = variable("x");
    tn_symbol y = tn_add(bench.g, apply("relu", x), apply("sigmoid", x));
    const size_t before = bench.g->n_nodes;
    tn_symbol dx = gradient(y, x);
    CU_ASSERT_EQUAL(count("add_n", before), 1);
    TN_CHECK_STR(tn_symbol_op(bench.g, dx), "add_n");
    TN_CHECK_STR(tni_attr_find(node_of(dx), "num_args"), "2");
    const double s = 1 / (1 + exp(-0.5));
    TN_CHECK_NEAR(value_at(dx, 0.5), 1 + s * (1 - s), 1e-15);
}

// x used n times: relu(x) + relu(x) + …
static tn_symbol used(tn_symbol x, size_t n)
{
    tn_symbol uses[1000];
    char args[16];
    snprintf(args, sizeof args, "%zu", n);
    for (size_t i = 0; i < n; i++) uses[i] = apply("relu", x);
    return tn_call(bench.g, "add_n", .inputs = (tn_symbols){n, uses},
                   .params = TN_ATTRS({"num_args", args}));
}

static void many_uses_become_a_chain(void)
{
    static const size_t cases[][3] = {{1, 0, 0}, {2, 1, 0}, {8, 1, 0}, {9, 0, 8}, {1000, 0, 999}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%zu", i);
        tn_symbol x = variable(name), y = used(x, cases[i][0]);
        const size_t before = bench.g->n_nodes;
        gradient(y, x);
        CU_ASSERT_EQUAL(count("add_n", before), cases[i][1]);
        CU_ASSERT_EQUAL(count("_grad_add", before), cases[i][2]);
    }
    tn_symbol x = variable("x"), dx = gradient(used(x, 20), x);
    TN_CHECK_NEAR(value_at(dx, 2), 20, 0);
    TN_CHECK_NEAR(value_at(dx, -2), 0, 0);
}

// A chain is made while gradients come in, so that each may be freed before the next is there.
static void a_chain_adds_as_it_goes(void)
{
    tn_symbol x = variable("x"), y = x;
    for (int i = 0; i < 20; i++) y = tn_mul(bench.g, apply("relu", x), y);
    gradient(y, x);
    size_t sums = 0, gaps = 0;
    for (uint32_t id = 2; id <= bench.g->n_nodes; id++) {
        const tni_node *n = tni_node_at(bench.g, id), *last = tni_node_at(bench.g, id - 1);
        const bool sum = n->op && strcmp(n->op->decl.name, "_grad_add") == 0;
        const bool after = last->op && strcmp(last->op->decl.name, "_grad_add") == 0;
        sums += sum;
        gaps += sum && !after;
    }
    CU_ASSERT_EQUAL(sums, 20);
    CU_ASSERT(gaps > 10);
}

static void a_hundred_thousand_uses(void)
{
    enum { MANY = 100000 };
    tn_symbol x = variable("x"), y = apply("relu", x);
    for (int i = 0; i < MANY; i++) y = tn_mul(bench.g, y, x);
    const size_t before = bench.g->n_nodes;
    tn_symbol dx = gradient(y, x);
    CU_ASSERT_EQUAL(count("_grad_add", before), MANY);
    TN_CHECK_NEAR(value_at(dx, 1), MANY + 1, 0);
}

static void names_are_not_taken_twice(void)
{
    tn_symbol x = variable("x"), y = named("sigmoid", "s", x);
    TN_CHECK_STR(tn_symbol_name(bench.g, gradient(y, x)), "s_backward");
    TN_CHECK_STR(tn_symbol_name(bench.g, gradient(y, x)), "s_backward1");
    TN_CHECK_STR(tn_symbol_name(bench.g, gradient(y, x)), "s_backward2");
}

// ------------------------------------------------------------------ higher order

static void powers_again_and_again(void)
{
    tn_symbol x = variable("x");
    tn_symbol f = tn_mul(bench.g, tn_mul(bench.g, x, x), x);
    tn_symbol d1 = gradient(f, x), d2 = gradient(d1, x), d3 = gradient(d2, x), d4 = gradient(d3, x);
    TN_CHECK_NEAR(value_at(f, 1.5), 3.375, 1e-12);
    TN_CHECK_NEAR(value_at(d1, 1.5), 6.75, 1e-12);
    TN_CHECK_NEAR(value_at(d2, 1.5), 9, 1e-12);
    TN_CHECK_NEAR(value_at(d3, 1.5), 6, 1e-12);
    TN_CHECK_NEAR(value_at(d4, 1.5), 0, 0);
}

static void sigmoid_twice_and_three_times(void)
{
    tn_symbol x = variable("x"), y = apply("sigmoid", x);
    tn_symbol d1 = gradient(y, x), d2 = gradient(d1, x), d3 = gradient(d2, x);
    const double s = 1 / (1 + exp(-0.7)), p = s * (1 - s);
    TN_CHECK_NEAR(value_at(d1, 0.7), p, 1e-15);
    TN_CHECK_NEAR(value_at(d2, 0.7), p * (1 - 2 * s), 1e-15);
    TN_CHECK_NEAR(value_at(d3, 0.7), p * (1 - 6 * s + 6 * s * s), 1e-14);
}

// ------------------------------------------------------------------ heads

static void heads_are_factors(void)
{
    tn_symbol x = variable("x"), h = variable("h"), dx = TN_NONE;
    tn_symbol y = tn_mul(bench.g, x, x);
    tn_gradient(bench.g, TN_SYMS(y), TN_SYMS(h), TN_SYMS(x), &dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx, 3), 18, 1e-12); // h · 2x with h = x = 3
    const tn_shape_result *r = tn_infer_shape(bench.g, dx, TN_SHAPES({"x", TN_DIMS(2, 3)}));
    TN_CHECK_GRAPH();
    CU_ASSERT(r && r->complete);
}

static void no_head_means_ones_one_by_one(void)
{
    tn_symbol x = variable("x"), h = variable("h"), dx = TN_NONE;
    tn_symbol a = tn_mul(bench.g, x, x), b = tn_mul(bench.g, a, x);
    tn_gradient(bench.g, TN_SYMS(a, b), TN_SYMS(TN_NONE, h), TN_SYMS(x), &dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx, 2), 4 + 2 * 12, 1e-12); // 2x + h · 3x²
    tn_gradient(bench.g, TN_SYMS(tn_group(bench.g, TN_SYMS(a, b))), (tn_symbols){0}, TN_SYMS(x),
                &dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx, 2), 4 + 12, 1e-12);
}

static void a_head_for_each_y_or_none(void)
{
    tn_symbol x = variable("x"), h = variable("h"), dx = TN_NONE;
    const size_t before = bench.g->n_nodes;
    tn_gradient(bench.g, TN_SYMS(x, x), TN_SYMS(h), TN_SYMS(x), &dx);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);
    TN_CHECK_STR(error_text(), "head: 1 values, wanted none or one for each of the 2 of y");
    CU_ASSERT(dx.node == 0 && bench.g->n_nodes == before);
    tn_graph_forgive(bench.g);
    tn_gradient(bench.g, TN_SYMS(x), (tn_symbols){0}, TN_SYMS(TN_NONE), &dx);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);
    tn_graph_forgive(bench.g);
    tn_gradient(bench.g, (tn_symbols){0}, (tn_symbols){0}, TN_SYMS(x), &dx);
    TN_CHECK_STR(error_text(), "y: empty, wanted at least one symbol");
}

static void losses_ignore_their_heads(void)
{
    tn_symbol x = variable("x"), h = variable("h"), dx = TN_NONE;
    tn_symbol y = apply("MakeLoss", tn_mul(bench.g, x, x));
    const size_t before = bench.g->n_nodes;
    dx = gradient(y, x);
    CU_ASSERT_EQUAL(count("ones_like", before), 0);
    TN_CHECK_NEAR(value_at(dx, 3), 6, 1e-12);
    tn_gradient(bench.g, TN_SYMS(y), TN_SYMS(h), TN_SYMS(x), &dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx, 3), 6, 1e-12); // not times h
}

static void used_heads_are_told(void)
{
    tn_symbol x = variable("x"), h = variable("h");
    tn_symbol l = apply("MakeLoss", x), r = apply("relu", x), b = apply("BlockGrad", x);
    const tni_entry y[3] = {{l.node, 0}, {r.node, 0}, {b.node, 0}};
    const tni_entry head[3] = {{h.node, 0}, {h.node, 0}, {h.node, 0}}, at = {x.node, 0};
    tni_entry dx = {0, 0};
    bool heads[3] = {true, false, true};
    tni_gradient(bench.g, NULL, y, 3, head, &at, 1, &dx, heads);
    TN_CHECK_GRAPH();
    CU_ASSERT(!heads[0] && heads[1] && !heads[2] && dx.node);
}

// ------------------------------------------------------------------ what x and y may be

static void y_may_be_among_x(void)
{
    tn_symbol x = variable("x"), dx[2];
    tn_symbol y = tn_mul(bench.g, x, x);
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(y, x), dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx[0], 4), 1, 0);
    TN_CHECK_NEAR(value_at(dx[1], 4), 8, 0);
}

static void x_may_be_inside(void)
{
    tn_symbol x = variable("x"), dx[3];
    tn_symbol a = tn_mul(bench.g, x, x), y = tn_mul(bench.g, a, a);
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(a, x, a), dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx[0], 2), 8, 1e-12);  // 2a
    TN_CHECK_NEAR(value_at(dx[1], 2), 32, 1e-12); // 4x³
    CU_ASSERT(dx[0].node == dx[2].node);
}

static void two_x_may_share_one_gradient(void)
{
    tn_symbol a = variable("a"), b = variable("b"), dx[2];
    tn_symbol y = tn_add(bench.g, a, b);
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(a, b), dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx[0], 2), 1, 0);
    TN_CHECK_NEAR(value_at(dx[1], 2), 1, 0);
}

static void the_same_y_twice_counts_twice(void)
{
    tn_symbol x = variable("x"), dx;
    tn_symbol y = tn_mul(bench.g, x, x);
    tn_gradient(bench.g, TN_SYMS(y, y), (tn_symbols){0}, TN_SYMS(x), &dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx, 3), 12, 1e-12);
}

// ------------------------------------------------------------------ size

static void a_million_nodes(void)
{
    enum { MANY = 1000000 };
    tn_symbol x = variable("x"), y = x;
    for (int i = 0; i < MANY; i++) y = apply("sigmoid", y);
    const size_t before = bench.g->n_nodes;
    tn_symbol dx = gradient(y, x);
    CU_ASSERT_EQUAL(count("_backward_sigmoid", before), MANY);
    TN_CHECK_STR(tn_symbol_name(bench.g, dx), "sigmoid0_backward");
}

TN_TEST_MAIN({"a chain needs no sums", a_chain_needs_no_sums},
             {"backward nodes know where they come from", backward_nodes_know_where_they_come_from},
             {"a diamond is summed", a_diamond_is_summed},
             {"up to eight uses are one sum, more are a chain", many_uses_become_a_chain},
             {"a chain adds as it goes", a_chain_adds_as_it_goes},
             {"100,000 uses", a_hundred_thousand_uses},
             {"names are not taken twice", names_are_not_taken_twice},
             {"gradients of gradients of x * x * x", powers_again_and_again},
             {"gradients of gradients of sigmoid", sigmoid_twice_and_three_times},
             {"heads are factors", heads_are_factors},
             {"no head means ones", no_head_means_ones_one_by_one},
             {"a head for each y, or none", a_head_for_each_y_or_none},
             {"losses ignore their heads", losses_ignore_their_heads},
             {"used heads are told", used_heads_are_told}, {"y may be among x", y_may_be_among_x},
             {"x may be inside", x_may_be_inside},
             {"two x may share one gradient", two_x_may_share_one_gradient},
             {"the same y twice counts twice", the_same_y_twice_counts_twice},
             {"a chain of 1,000,000 nodes", a_million_nodes})
