// tests/passes/test_gradient_ways.c: which ways a gradient takes: what stops it, through
// expansions, through several outputs, and what is wrong with a rule's answer.
#include "scalars.h"

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

// ------------------------------------------------------------------ through expansions

static tn_status cube_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    b->set_output(b->ctx, 0, TN_EMIT(b, "_mul", NULL, TN_EMIT(b, "_mul", NULL, x, x), x));
    return TN_OK;
}

static tn_status scaled_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, TN_EMIT(b, "_mul", NULL, tn_grad_in(b, 0), tn_grad_in(b, 1)));
    return TN_OK;
}

static const tn_op_decl op_scaled =
    TN_OP(.name = "scaled", .doc = "x",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data"), TN_PORT(.name = "by", .flags = TN_PORT_NO_GRAD)),
          .outputs = OUTPUT, .expand = scaled_expand);

// Of one value as both inputs the gradient is what passes through the first.
static void an_expansion_gets_one_value_twice(void)
{
    if (!extra_ops(TN_OPS(&op_scaled))) return;
    tn_symbol x = variable("x"), s = apply("sigmoid", x);
    tn_symbol y = tn_call(bench.g, "scaled", .inputs = TN_SYMS(x, x));
    TN_CHECK_NEAR(value_at(gradient(y, x), 3), 3, 0);
    tn_symbol z = tn_call(bench.g, "scaled", .inputs = TN_SYMS(s, s));
    const double v = 1 / (1 + exp(-3.0));
    TN_CHECK_NEAR(value_at(gradient(z, x), 3), v * v * (1 - v), 1e-12);
    tn_symbol other = tn_call(bench.g, "scaled", .inputs = TN_SYMS(x, s));
    TN_CHECK_NEAR(value_at(gradient(other, x), 3), v, 1e-12);
    extra_ops_free();
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

// ------------------------------------------------------------------ real operators together

// Many kinds of operators between data, (4, 6), and a sum.
static tn_symbol mixed_network(void)
{
    tn_graph *g = bench.g;
    tn_symbol x = variable("data");
    tn_symbol h = tn_call(g, "FullyConnected", .inputs = TN_SYMS(apply("tanh", x)),
                          .params = TN_ATTRS({"num_hidden", "6"}));
    tn_symbol parts =
        tn_call(g, "SliceChannel", .inputs = TN_SYMS(h), .params = TN_ATTRS({"num_outputs", "2"}));
    tn_symbol one = apply("sigmoid", tn_output(g, parts, 1));
    tn_symbol both = tn_call(g, "Concat", .inputs = TN_SYMS(one, tn_output(g, parts, 1), x));
    tn_symbol t = apply("transpose", both);
    tn_symbol d = tn_call(g, "dot", .inputs = TN_SYMS(both, t));
    tn_symbol r =
        tn_call(g, "Reshape", .inputs = TN_SYMS(d), .params = TN_ATTRS({"shape", "(2, 8)"}));
    tn_symbol s = apply("log_softmax", tn_mul(g, r, 0.5));
    return apply("sum", tn_mul(g, s, apply("softmax", r)));
}

// Shapes of everything below s; false if something stays unknown.
static bool infers(tn_symbol s)
{
    const tn_shape_result *r = tn_infer_shape(bench.g, s, TN_SHAPES({"data", TN_DIMS(4, 6)}));
    return TN_CHECK_GRAPH() && r && r->complete;
}

static void a_network_twice(void)
{
    tn_symbol y = mixed_network();
    CU_ASSERT(infers(y));
    tn_symbol x = {1, 0, bench.g->tag}, w = {3, 0, bench.g->tag}, dx[2], ddx[2];
    TN_CHECK_STR(tn_symbol_name(bench.g, w), "fullyconnected0_weight");
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x, w), dx);
    CU_ASSERT(infers(tn_group(bench.g, (tn_symbols){2, dx})));
    tn_symbol norm = tn_add(bench.g, apply("sum", tn_mul(bench.g, dx[0], dx[0])),
                            apply("sum", tn_mul(bench.g, dx[1], dx[1])));
    tn_gradient(bench.g, TN_SYMS(norm), (tn_symbols){0}, TN_SYMS(x, w), ddx);
    CU_ASSERT(infers(tn_group(bench.g, (tn_symbols){2, ddx})));
}

static void a_network_with_types(void)
{
    tn_symbol y = mixed_network();
    const uint32_t n = (uint32_t)bench.g->n_nodes;
    uint32_t nodes[64];
    tni_types t;
    const bool ready = n < 64 && tni_types_init(&t) && tni_types_grow(&t, bench.g);
    CU_ASSERT(ready);
    if (!ready) return;
    for (uint32_t i = 0; i < n; i++) nodes[i] = i + 1;
    const tn_shape data = tn_shape_2d(4, 6);
    tni_types_merge_shape(&t, 0, &data);
    tni_types_merge_dtype(&t, 0, TN_F64);
    tni_infer(bench.g, &t, nodes, n, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    const tni_entry ye = {y.node, 0}, xe[2] = {{1, 0}, {3, 0}};
    tni_entry dx[2];
    tni_gradient(bench.g, &t, &ye, 1, NULL, xe, 2, dx, NULL);
    TN_CHECK_GRAPH();
    size_t unknown = 0;
    for (uint32_t v = 0; v < bench.g->n_values; v++)
        unknown += tn_shape_size(tni_types_shape(&t, v)) < 0 || t.dtype[v] != TN_F64;
    CU_ASSERT_EQUAL(unknown, 0);
    tni_types_free(&t);
}

TN_TEST_MAIN({"BlockGrad stops", block_grad_stops}, {"no path is zero", no_path_is_zero},
             {"a missing gradient names operator, node and place", a_missing_gradient_is_named},
             {"a missing gradient that nobody needs", a_missing_gradient_that_nobody_needs},
             {"inputs without gradient are no way", inputs_without_gradient_are_no_way},
             {"an expansion gets one value twice", an_expansion_gets_one_value_twice},
             {"expansions are differentiated", expansions_are_differentiated},
             {"expansions that cannot be", expansions_that_cannot_be_differentiated},
             {"zero out-gradients stay absent", zero_out_gradients_stay_absent},
             {"gradients of a wrong shape are named", gradients_of_a_wrong_shape_are_named},
             {"types are known at once", types_are_known_at_once},
             {"a network, differentiated twice", a_network_twice},
             {"a network with types", a_network_with_types})
