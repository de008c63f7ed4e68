// tests/passes/test_builder.c: what the host of a gradient or an expansion accepts and refuses.
#include "extra_ops.h"

// The rule of the moment: every operator below calls it.
static tn_status (*rule)(const tn_builder *b);

static tn_status call_rule(const tn_builder *b)
{
    return rule(b);
}

static const tn_op_decl op_probe =
    TN_OP(.name = "probe", .doc = "x", .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .gradient = call_rule,
          .expand = call_rule);

// Error of the graph without the place.
static const char *error_text(void)
{
    const char *text = tn_graph_error(bench.g), *space = strchr(text, ' ');
    return space ? space + 1 : text;
}

static tn_symbol x, y;

static bool open_probe(void)
{
    if (!extra_ops(TN_OPS(&op_probe))) return false;
    x = tn_variable(bench.g, "x", .shape = TN_DIMS(2, 6), .dtype = TN_F32);
    y = tn_call(bench.g, "probe", .name = "p", .inputs = TN_SYMS(x));
    TN_CHECK_GRAPH();
    return true;
}

// Runs `what` as the gradient of the probe; the node it set, or 0.
static uint32_t run(tn_status (*what)(const tn_builder *b))
{
    tn_symbol dx = TN_NONE;
    rule = what;
    tn_graph_forgive(bench.g);
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    return dx.node;
}

static void check_fails(tn_status (*what)(const tn_builder *b), const char *text)
{
    const size_t before = bench.g->n_nodes;
    CU_ASSERT_EQUAL(run(what), 0);
    TN_CHECK_HAS(error_text(), text);
    CU_ASSERT_EQUAL(bench.g->n_nodes, before);
}

// ------------------------------------------------------------------ parameters as text

static const char *params_text;
static const char *params_op;

static tn_status params_gradient(const tn_builder *b)
{
    tn_grad_set(b, 0, TN_EMIT(b, params_op, params_text, tn_grad_head(b, 0)));
    return TN_OK;
}

static uint32_t with_params(const char *op, const char *text)
{
    params_op = op;
    params_text = text;
    return run(params_gradient);
}

static const char *attr(uint32_t node, const char *key)
{
    return node ? tni_attr_find(tni_node_at(bench.g, node), key) : NULL;
}

static void parameters_are_cut_at_semicolons(void)
{
    if (!open_probe()) return;
    uint32_t n = with_params("clip", "a_min=-1; a_max=2.5");
    TN_CHECK_STR(attr(n, "a_min"), "-1");
    TN_CHECK_STR(attr(n, "a_max"), "2.5");
    n = with_params("clip", "  a_min = -1 ;a_max=  2.5  ; ");
    TN_CHECK_STR(attr(n, "a_min"), "-1");
    TN_CHECK_STR(attr(n, "a_max"), "2.5");
    n = with_params("Reshape", "shape=(2, 6)");
    TN_CHECK_STR(attr(n, "shape"), "(2, 6)");
    n = with_params("relu", "");
    CU_ASSERT(n != 0);
    n = with_params("relu", NULL);
    CU_ASSERT(n != 0);
    TN_CHECK_GRAPH();
    extra_ops_free();
}

static void bad_parameters_are_named(void)
{
    if (!open_probe()) return;
    CU_ASSERT_EQUAL(with_params("clip", "a_min=1; a_max"), 0);
    TN_CHECK_HAS(error_text(), "p_backward (clip): parameters \"a_min=1; a_max\", wanted");
    CU_ASSERT_EQUAL(with_params("clip", "a_min=1; b_max=2"), 0);
    TN_CHECK_HAS(error_text(), "p_backward (clip): no parameter b_max");
    CU_ASSERT_EQUAL(with_params("clip", "a_min=one; a_max=2"), 0);
    TN_CHECK_HAS(error_text(), "a_min");
    CU_ASSERT_EQUAL(with_params("clip", NULL), 0);
    TN_CHECK_HAS(error_text(), "required");
    extra_ops_free();
}

// ------------------------------------------------------------------ calls

static tn_status unknown_op(const tn_builder *b)
{
    tn_grad_set(b, 0, TN_EMIT(b, "no_such_operator", NULL, tn_grad_head(b, 0)));
    return TN_OK;
}

static tn_status too_many_inputs(const tn_builder *b)
{
    tn_grad_set(b, 0, TN_EMIT(b, "relu", NULL, tn_grad_head(b, 0), tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status zero_input(const tn_builder *b)
{
    tn_grad_set(b, 0, TN_EMIT(b, "_mul", NULL, tn_grad_head(b, 0), 0));
    return TN_OK;
}

static tn_status invented_value(const tn_builder *b)
{
    tn_grad_set(b, 0, TN_EMIT(b, "relu", NULL, 4711));
    return TN_OK;
}

static tn_status no_such_input(const tn_builder *b)
{
    tn_grad_set(b, 0, tn_grad_in(b, 1));
    return TN_OK;
}

static tn_status no_such_result(const tn_builder *b)
{
    const tn_sym s = TN_EMIT(b, "relu", NULL, tn_grad_head(b, 0));
    tn_grad_set(b, 0, b->result(b->ctx, s, 1));
    return TN_OK;
}

static tn_status output_in_gradient(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tn_grad_head(b, 0));
    return TN_OK;
}

static tn_status own_words(const tn_builder *b)
{
    b->fail(b->ctx, TN_E_UNSUPPORTED, "axis 3 has no gradient");
    CU_ASSERT_EQUAL(tn_grad_in(b, 0), 0); // errors stick
    return TN_OK;
}

static tn_status no_words(const tn_builder *b)
{
    (void)b;
    return TN_E_UNSUPPORTED;
}

static void misuse_is_named(void)
{
    if (!open_probe()) return;
    check_fails(unknown_op, "p_backward: no operator is named no_such_operator");
    check_fails(too_many_inputs, "p_backward (relu): 2 inputs, wanted 1");
    check_fails(zero_input, "p (probe): a rule calls _mul without a value for input 1");
    check_fails(invented_value, "p (probe): a rule uses value 4711, which it never got");
    check_fails(no_such_input, "p (probe): a rule asks for input 1, there are 1");
    check_fails(no_such_result, "p (probe): a rule asks for result 1, there are 1");
    check_fails(output_in_gradient, "p (probe): a rule asks for output 0, there are 0");
    check_fails(own_words, "p (probe): axis 3 has no gradient");
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_UNSUPPORTED);
    check_fails(no_words, "p (probe): its gradient failed (");
    extra_ops_free();
}

static tn_status three_calls(const tn_builder *b)
{
    const tn_sym parts = TN_EMIT(b, "SliceChannel", "num_outputs=3; axis=1", tn_grad_head(b, 0));
    const tn_sym last = b->result(b->ctx, parts, 2);
    const tn_sym r = TN_EMIT(b, "relu", NULL, last);
    tn_grad_set(b, 0, TN_EMIT(b, "Concat", "num_args=3; dim=1", r, parts, tn_grad_out(b, 0)));
    return TN_OK;
}

static void results_and_names(void)
{
    if (!open_probe()) return;
    const uint32_t n = run(three_calls);
    TN_CHECK_GRAPH();
    const tni_node *concat = tni_node_at(bench.g, n);
    CU_ASSERT(n && concat->n_in == 3);
    TN_CHECK_STR(concat->name, "p_backward2");
    CU_ASSERT_EQUAL(concat->forward, y.node);
    const tni_node *relu = tni_node_at(bench.g, concat->in[0].node);
    TN_CHECK_STR(relu->name, "p_backward1");
    CU_ASSERT_EQUAL(relu->in[0].out, 2);
    TN_CHECK_STR(tni_node_at(bench.g, relu->in[0].node)->name, "p_backward");
    CU_ASSERT(concat->in[2].node == y.node && concat->in[2].out == 0);
    extra_ops_free();
}

// ------------------------------------------------------------------ what is known

static tn_shape seen_shape, emitted_shape;
static tn_dtype seen_dtype;

static tn_status look(const tn_builder *b)
{
    const tn_sym t = TN_EMIT(b, "transpose", NULL, tn_grad_in(b, 0));
    seen_shape = *b->shape(b->ctx, tn_grad_in(b, 0));
    emitted_shape = *b->shape(b->ctx, t);
    seen_dtype = b->dtype(b->ctx, t);
    tn_grad_set(b, 0, tn_grad_head(b, 0));
    return TN_OK;
}

static void types_are_seen_if_known(void)
{
    if (!open_probe()) return;
    run(look);
    TN_CHECK_GRAPH();
    CU_ASSERT(seen_shape.ndim == -1 && emitted_shape.ndim == -1 && seen_dtype == TN_DTYPE_NONE);
    tni_types t;
    const uint32_t nodes[] = {x.node, y.node};
    const tni_entry ye = {y.node, 0}, xe = {x.node, 0};
    tni_entry dx;
    CU_ASSERT(tni_types_init(&t));
    tni_infer(bench.g, &t, nodes, 2, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    tni_gradient(bench.g, &t, &ye, 1, NULL, &xe, 1, &dx, NULL);
    TN_CHECK_GRAPH();
    CU_ASSERT(seen_shape.ndim == 2 && seen_shape.dim[1] == 6);
    CU_ASSERT(emitted_shape.ndim == 2 && emitted_shape.dim[0] == 6 && emitted_shape.dim[1] == 2);
    CU_ASSERT_EQUAL(seen_dtype, TN_F32);
    tni_types_free(&t);
    extra_ops_free();
}

// ------------------------------------------------------------------ expanding

static tn_status expand(tn_status (*what)(const tn_builder *b), tni_entry *out)
{
    tni_builder b;
    rule = what;
    tn_graph_forgive(bench.g);
    tni_builder_init(&b, bench.g, NULL, y.node);
    b.results = out;
    b.suffix = "_expand";
    const tn_status s = tni_builder_expand(&b);
    tni_builder_free(&b);
    return s;
}

static tn_status good_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, TN_EMIT(b, "relu", NULL, TN_EMIT(b, "tanh", NULL, tn_grad_in(b, 0))));
    return TN_OK;
}

static tn_status empty_expand(const tn_builder *b)
{
    TN_EMIT(b, "relu", NULL, tn_grad_in(b, 0));
    return TN_OK;
}

static tn_status head_in_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tn_grad_head(b, 0));
    return TN_OK;
}

static tn_status self_in_expand(const tn_builder *b)
{
    b->set_output(b->ctx, 0, tn_grad_out(b, 0));
    return TN_OK;
}

static void expansions(void)
{
    tni_entry out;
    if (!open_probe()) return;
    CU_ASSERT_EQUAL(expand(good_expand, &out), TN_OK);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tni_node_at(bench.g, out.node)->name, "p_expand1");
    TN_CHECK_STR(tni_node_at(bench.g, out.node)->op->decl.name, "relu");
    expand(empty_expand, &out);
    TN_CHECK_HAS(error_text(), "p (probe): its expansion sets no output 0");
    expand(head_in_expand, &out);
    TN_CHECK_HAS(error_text(), "p (probe): a rule asks for out-gradient 0, there are 0");
    expand(self_in_expand, &out);
    TN_CHECK_HAS(error_text(), "p (probe): a rule asks for output 0, there are 0");
    extra_ops_free();
}

// ------------------------------------------------------------------ calls by passes

static void passes_call_by_name(void)
{
    if (!open_probe()) return;
    const tni_entry in = {x.node, 0};
    tni_entry e = tni_build(bench.g, NULL, "_mul_scalar", "scalar=2", &in, 1, "twice", 0);
    CU_ASSERT(e.node && e.out == 0);
    TN_CHECK_STR(tni_node_at(bench.g, e.node)->name, "twice");
    e = tni_build(bench.g, NULL, "_mul_scalar", "scalar=2", &in, 1, "twice", y.node);
    TN_CHECK_STR(tni_node_at(bench.g, e.node)->name, "twice1");
    CU_ASSERT_EQUAL(tni_node_at(bench.g, e.node)->forward, y.node);
    e = tni_build(bench.g, NULL, "relu", NULL, &in, 1, NULL, 0);
    TN_CHECK_STR(tni_node_at(bench.g, e.node)->name, "");
    e = tni_build(bench.g, NULL, "relu", "slope=1", &in, 1, "bad", 0);
    CU_ASSERT(e.node == 0 && tn_graph_status(bench.g) == TN_E_INVALID);
    e = tni_build(bench.g, NULL, "relu", NULL, &in, 1, "later", 0);
    CU_ASSERT_EQUAL(e.node, 0); // the error sticks
    extra_ops_free();
}

TN_TEST_MAIN({"parameters are cut at semicolons", parameters_are_cut_at_semicolons},
             {"bad parameters are named", bad_parameters_are_named},
             {"misuse is named", misuse_is_named}, {"results and names", results_and_names},
             {"types are seen if known", types_are_seen_if_known}, {"expansions", expansions},
             {"calls by passes", passes_call_by_name})
