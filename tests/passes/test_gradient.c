// tests/passes/test_gradient.c: what nodes differentiation appends, and what they compute for one
// number at a time (a small interpreter below; kernels have their own tests).
#include <math.h>

#include "extra_ops.h"

// ------------------------------------------------------------------ an interpreter for scalars

static double scalar_of(const tni_node *n)
{
    const char *text = tni_attr_find(n, "scalar");
    return text ? strtod(text, NULL) : 0;
}

static double node_value(const tni_node *n, const double *in)
{
    const char *op = n->op->decl.name;
    double sum = 0;
#define IS(name) (strcmp(op, name) == 0)
    for (uint32_t i = 0; i < n->n_in; i++) sum += in[i];
    if (IS("elemwise_add") || IS("add_n") || IS("_grad_add")) return sum;
    if (IS("_sub")) return in[0] - in[1];
    if (IS("_mul")) return in[0] * in[1];
    if (IS("_mul_scalar")) return in[0] * scalar_of(n);
    if (IS("_plus_scalar")) return in[0] + scalar_of(n);
    if (IS("_minus_scalar")) return in[0] - scalar_of(n);
    if (IS("_rminus_scalar")) return scalar_of(n) - in[0];
    if (IS("negative")) return -in[0];
    if (IS("sigmoid")) return 1 / (1 + exp(-in[0]));
    if (IS("_backward_sigmoid")) return in[0] * in[1] * (1 - in[1]);
    if (IS("relu")) return in[0] > 0 ? in[0] : 0;
    if (IS("_backward_relu")) return in[1] > 0 ? in[0] : 0;
    if (IS("BlockGrad") || IS("MakeLoss") || IS("_copy") || IS("opaque") || IS("through"))
        return in[0];
    if (IS("_identity_with_attr_like_rhs") || IS("blind")) return in[0];
    if (IS("_backward_MakeLoss") || IS("ones_like")) return 1;
    if (IS("zeros_like")) return 0;
    if (IS("cube") || IS("deep_cube")) return in[0] * in[0] * in[0];
#undef IS
    CU_FAIL("the interpreter does not know an operator");
    printf(" [%s]", op);
    return NAN;
}

// The value of s where every variable has the value x. Nodes have one output.
static double value_at(tn_symbol s, double x)
{
    const tn_graph *g = bench.g;
    double *v = calloc(g->n_nodes + 1, sizeof *v);
    for (uint32_t id = 1; id <= s.node; id++) {
        const tni_node *n = tni_node_at(g, id);
        double in[64];
        if (!n->op || n->n_in > 64) {
            v[id] = x;
            continue;
        }
        for (uint32_t i = 0; i < n->n_in; i++) in[i] = v[n->in[i].node];
        v[id] = node_value(n, in);
    }
    const double result = v[s.node];
    free(v);
    return result;
}

// ------------------------------------------------------------------ building

static tn_symbol variable(const char *name)
{
    return tn_variable(bench.g, name);
}

static tn_symbol apply(const char *op, tn_symbol x)
{
    return tn_call(bench.g, op, .inputs = TN_SYMS(x));
}

static tn_symbol named(const char *op, const char *name, tn_symbol x)
{
    return tn_call(bench.g, op, .name = name, .inputs = TN_SYMS(x));
}

static tn_symbol gradient(tn_symbol y, tn_symbol x)
{
    tn_symbol dx = TN_NONE;
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    TN_CHECK_GRAPH();
    return dx;
}

// How many nodes after the first `from` are calls of op.
static size_t count(const char *op, size_t from)
{
    size_t n = 0;
    for (size_t id = from + 1; id <= bench.g->n_nodes; id++) {
        const tni_node *node = tni_node_at(bench.g, (uint32_t)id);
        n += node->op && strcmp(node->op->decl.name, op) == 0;
    }
    return n;
}

static const tni_node *node_of(tn_symbol s)
{
    return tni_node_at(bench.g, s.node);
}

// Error of the graph without the place.
static const char *error_text(void)
{
    const char *text = tn_graph_error(bench.g), *space = strchr(text, ' ');
    return space ? space + 1 : text;
}

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

// ------------------------------------------------------------------ what stops a gradient

static void block_grad_stops(void)
{
    tn_symbol x = variable("x");
    tn_symbol y = tn_mul(bench.g, apply("BlockGrad", x), x);
    TN_CHECK_NEAR(value_at(gradient(y, x), 5), 5, 0);
    tn_symbol z = gradient(apply("BlockGrad", x), x);
    TN_CHECK_STR(tn_symbol_op(bench.g, z), "zeros_like");
    TN_CHECK_NEAR(value_at(z, 5), 0, 0);
}

static void no_path_is_zero(void)
{
    tn_symbol x = variable("x"), other = variable("other");
    tn_symbol z = gradient(apply("relu", x), other);
    TN_CHECK_STR(tn_symbol_op(bench.g, z), "zeros_like");
    CU_ASSERT_EQUAL(node_of(z)->in[0].node, other.node);
    TN_CHECK_STR(tn_symbol_name(bench.g, z), "other_zero_grad");
    const tni_entry y = {3, 0}, at = {other.node, 0};
    tni_entry dx = {9, 9};
    tni_gradient(bench.g, NULL, &y, 1, NULL, &at, 1, &dx, NULL);
    TN_CHECK_GRAPH();
    CU_ASSERT(dx.node == 0 && dx.out == 0);
}

static tn_status through_gradient(const tn_builder *b)
{
    tn_grad_set(b, 0, tn_grad_head(b, 0));
    return TN_OK;
}

#define DATA TN_PORTS(TN_PORT(.name = "data"))
#define OUTPUT TN_PORTS(TN_PORT(.name = "output"))
static const tn_op_decl op_opaque =
    TN_OP(.name = "opaque", .doc = "x", .inputs = DATA, .outputs = OUTPUT);
static const tn_op_decl op_refusing =
    TN_OP(.name = "refusing", .doc = "x", .flags = TN_OP_NO_GRAD, .inputs = DATA, .outputs = OUTPUT,
          .gradient = through_gradient);
static const tn_op_decl op_blind =
    TN_OP(.name = "blind", .doc = "x",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data"), TN_PORT(.name = "label", .flags = TN_PORT_NO_GRAD)),
          .outputs = OUTPUT, .gradient = through_gradient);

static void a_missing_gradient_is_named(void)
{
    if (!extra_ops(TN_OPS(&op_opaque, &op_refusing))) return;
    tn_symbol x = variable("x"), dx = {7, 7, 7};
    tn_symbol r = apply("relu", x);
    tn_graph_at(bench.g, "net.c", 5);
    tn_symbol o =
        (tn_call_make)(bench.g, "opaque",
                       &(tn_call_args){
                           .size = sizeof(tn_call_args), .name = "o", .inputs = TN_SYMS(r)});
    tn_symbol y = apply("sigmoid", o);
    const size_t before = bench.g->n_nodes;
    tn_graph_at(bench.g, "train.c", 8);
    (tn_gradient)(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NO_GRADIENT);
    TN_CHECK_STR(tn_graph_error(bench.g),
                 "net.c:5: o (opaque): this operator has no gradient; the gradient of 'x' would "
                 "have to pass through it (in the call at train.c:8)");
    CU_ASSERT(bench.g->n_nodes == before && dx.node == 7);
    tn_graph_forgive(bench.g);
    tn_gradient(bench.g, TN_SYMS(apply("refusing", x)), (tn_symbols){0}, TN_SYMS(x), &dx);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NO_GRADIENT);
    extra_ops_free();
}

static void a_missing_gradient_that_nobody_needs(void)
{
    if (!extra_ops(TN_OPS(&op_opaque))) return;
    tn_symbol x = variable("x"), z = variable("z");
    // Not on the way to x.
    tn_symbol a = tn_mul(bench.g, apply("opaque", z), x);
    TN_CHECK_NEAR(value_at(gradient(a, x), 3), 3, 0);
    // On the way, but nothing arrives.
    tn_symbol b = tn_add(bench.g, apply("BlockGrad", apply("opaque", x)), x);
    TN_CHECK_NEAR(value_at(gradient(b, x), 3), 1, 0);
    // Below the x that is asked for.
    tn_symbol o = apply("opaque", x), c = tn_mul(bench.g, o, o);
    TN_CHECK_NEAR(value_at(gradient(c, o), 3), 6, 0);
    extra_ops_free();
}

static void inputs_without_gradient_are_no_way(void)
{
    if (!extra_ops(TN_OPS(&op_blind, &op_opaque))) return;
    tn_symbol x = variable("x"), z = variable("z"), dx[2];
    tn_symbol y = tn_call(bench.g, "blind", .inputs = TN_SYMS(x, apply("opaque", z)));
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x, z), dx);
    TN_CHECK_GRAPH();
    TN_CHECK_NEAR(value_at(dx[0], 3), 1, 0);
    TN_CHECK_NEAR(value_at(dx[1], 3), 0, 0);
    extra_ops_free();
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

// ------------------------------------------------------------------ through expansions

static tn_status cube_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    b->set_output(b->ctx, 0, TN_EMIT(b, "_mul", NULL, TN_EMIT(b, "_mul", NULL, x, x), x));
    return TN_OK;
}

static tn_status deep_expand(const tn_builder *b)
{
    const tn_sym x = TN_EMIT(b, "through", NULL, tn_grad_in(b, 0));
    b->set_output(b->ctx, 0, TN_EMIT(b, "cube", NULL, x));
    return TN_OK;
}

static tn_status same_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tn_grad_in(b, 0));
    return TN_OK;
}

static tn_status endless_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, TN_EMIT(b, "endless", NULL, tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status noisy_expand(const tn_builder *b)
{
    const tn_sym noise = b->apply(b->ctx, "random_uniform", "shape=(2,)", NULL, 0);
    b->set_output(b->ctx, 0, TN_EMIT(b, "_mul", NULL, tn_grad_in(b, 0), noise));
    return TN_OK;
}

static const tn_op_decl op_cube =
    TN_OP(.name = "cube", .doc = "x", .inputs = DATA, .outputs = OUTPUT, .expand = cube_expand);
static const tn_op_decl op_deep = TN_OP(.name = "deep_cube", .doc = "x", .inputs = DATA,
                                        .outputs = OUTPUT, .expand = deep_expand);
static const tn_op_decl op_through =
    TN_OP(.name = "through", .doc = "x", .inputs = DATA, .outputs = OUTPUT, .expand = same_expand);
static const tn_op_decl op_endless = TN_OP(.name = "endless", .doc = "x", .inputs = DATA,
                                           .outputs = OUTPUT, .expand = endless_expand);
static const tn_op_decl op_noisy =
    TN_OP(.name = "noisy", .doc = "x", .inputs = DATA, .outputs = OUTPUT, .expand = noisy_expand);

static void expansions_are_differentiated(void)
{
    if (!extra_ops(TN_OPS(&op_cube, &op_deep, &op_through))) return;
    tn_symbol x = variable("x");
    TN_CHECK_NEAR(value_at(gradient(apply("cube", x), x), 2), 12, 1e-12);
    TN_CHECK_NEAR(value_at(gradient(apply("deep_cube", x), x), 2), 12, 1e-12);
    TN_CHECK_NEAR(value_at(gradient(apply("through", x), x), 2), 1, 0);
    tn_symbol d1 = gradient(apply("deep_cube", apply("cube", x)), x); // x⁹
    TN_CHECK_NEAR(value_at(d1, 1.5), 9 * pow(1.5, 8), 1e-10);
    TN_CHECK_NEAR(value_at(gradient(d1, x), 1.5), 72 * pow(1.5, 7), 1e-9);
    tn_symbol y = tn_add(bench.g, apply("through", x), apply("cube", x));
    TN_CHECK_NEAR(value_at(gradient(y, x), 2), 13, 1e-12);
    extra_ops_free();
}

static void expansions_that_cannot_be_differentiated(void)
{
    if (!extra_ops(TN_OPS(&op_endless, &op_noisy))) return;
    tn_symbol x = variable("x"), dx = TN_NONE;
    const size_t before = bench.g->n_nodes + 1;
    tn_symbol y = apply("endless", x);
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NO_GRADIENT);
    TN_CHECK_HAS(error_text(), "expands again and again");
    CU_ASSERT_EQUAL(bench.g->n_nodes, before);
    tn_graph_forgive(bench.g);
    y = apply("noisy", x);
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NO_GRADIENT);
    TN_CHECK_HAS(error_text(), "noisy0 (noisy): its expansion draws random numbers");
    extra_ops_free();
}

// ------------------------------------------------------------------ several outputs

static bool head_seen[2];

static tn_status twins_gradient(const tn_builder *b)
{
    for (uint32_t i = 0; i < 2; i++) head_seen[i] = tn_grad_head(b, i) != 0;
    tn_grad_set(b, 0, tn_grad_head(b, head_seen[0] ? 0 : 1));
    return TN_OK;
}

static const tn_op_decl op_twins =
    TN_OP(.name = "twins", .doc = "x", .inputs = DATA,
          .outputs = TN_PORTS(TN_PORT(.name = "one"), TN_PORT(.name = "two")),
          .gradient = twins_gradient);

static void zero_out_gradients_stay_absent(void)
{
    if (!extra_ops(TN_OPS(&op_twins))) return;
    tn_symbol x = variable("x"), t = apply("twins", x);
    gradient(tn_output(bench.g, t, 1), x);
    CU_ASSERT(!head_seen[0] && head_seen[1]);
    gradient(tn_output(bench.g, t, 0), x);
    CU_ASSERT(head_seen[0] && !head_seen[1]);
    gradient(t, x);
    CU_ASSERT(head_seen[0] && head_seen[1]);
    extra_ops_free();
}

// ------------------------------------------------------------------ types

static tn_status flat_gradient(const tn_builder *b)
{
    tn_grad_set(b, 0, TN_EMIT(b, "Flatten", NULL, tn_grad_head(b, 0)));
    return TN_OK;
}

static const tn_op_decl op_flat =
    TN_OP(.name = "flat", .doc = "x", .inputs = DATA, .outputs = OUTPUT, .gradient = flat_gradient);

static void gradients_of_a_wrong_shape_are_named(void)
{
    if (!extra_ops(TN_OPS(&op_flat))) return;
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(2, 3, 4), .dtype = TN_F32);
    const tn_symbol y = named("flat", "f", x);
    const uint32_t nodes[] = {x.node, y.node};
    const tni_entry ye = {y.node, 0}, xe = {x.node, 0};
    tni_entry dx = {0, 0};
    tni_types t;
    CU_ASSERT(tni_types_init(&t));
    tni_infer(bench.g, &t, nodes, 2, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    TN_CHECK_GRAPH();
    tni_gradient(bench.g, &t, &ye, 1, NULL, &xe, 1, &dx, NULL);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_SHAPE);
    TN_CHECK_HAS(error_text(),
                 "f (flat): gradient of data: float32 (2,12), wanted float32 (2,3,4)");
    tni_types_free(&t);
    extra_ops_free();
}

static void types_are_known_at_once(void)
{
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(2, 3), .dtype = TN_F64);
    const tn_symbol y = tn_mul(bench.g, apply("sigmoid", x), x);
    const uint32_t nodes[] = {1, 2, 3};
    const tni_entry ye = {y.node, 0}, xe = {x.node, 0};
    tni_entry dx = {0, 0};
    tni_types t;
    CU_ASSERT(tni_types_init(&t));
    tni_infer(bench.g, &t, nodes, 3, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    tni_gradient(bench.g, &t, &ye, 1, NULL, &xe, 1, &dx, NULL);
    TN_CHECK_GRAPH();
    size_t unknown = 0;
    for (uint32_t v = 0; v < bench.g->n_values; v++)
        unknown += tn_shape_size(tni_types_shape(&t, v)) != 6 || t.dtype[v] != TN_F64;
    CU_ASSERT(dx.node && unknown == 0);
    tni_types_free(&t);
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
             {"names are not taken twice", names_are_not_taken_twice},
             {"gradients of gradients of x * x * x", powers_again_and_again},
             {"gradients of gradients of sigmoid", sigmoid_twice_and_three_times},
             {"heads are factors", heads_are_factors},
             {"no head means ones", no_head_means_ones_one_by_one},
             {"a head for each y, or none", a_head_for_each_y_or_none},
             {"losses ignore their heads", losses_ignore_their_heads},
             {"used heads are told", used_heads_are_told}, {"BlockGrad stops", block_grad_stops},
             {"no path is zero", no_path_is_zero},
             {"a missing gradient names operator, node and place", a_missing_gradient_is_named},
             {"a missing gradient that nobody needs", a_missing_gradient_that_nobody_needs},
             {"inputs without gradient are no way", inputs_without_gradient_are_no_way},
             {"y may be among x", y_may_be_among_x}, {"x may be inside", x_may_be_inside},
             {"two x may share one gradient", two_x_may_share_one_gradient},
             {"the same y twice counts twice", the_same_y_twice_counts_twice},
             {"expansions are differentiated", expansions_are_differentiated},
             {"expansions that cannot be", expansions_that_cannot_be_differentiated},
             {"zero out-gradients stay absent", zero_out_gradients_stay_absent},
             {"gradients of a wrong shape are named", gradients_of_a_wrong_shape_are_named},
             {"types are known at once", types_are_known_at_once},
             {"a chain of 1,000,000 nodes", a_million_nodes})
