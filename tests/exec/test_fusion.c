// tests/exec/test_fusion.c: what is fused, what is not, and that nobody sees a difference but in
// the report.
#include "tests/exec/nets.h"
#include "tests/tn_numeric.h"

enum { N = 5000 };

#define FUSED(e) (strstr(tn_exec_report_text(e), "fused: ") != NULL)

static tn_symbol var(const char *name)
{
    return tn_variable(bench.g, name, .shape = TN_DIMS(N));
}

// x · sigmoid(x) + y
static tn_symbol swish_plus(tn_symbol x, tn_symbol y)
{
    return tn_op("elemwise_add", NULL, tn_op("_mul", NULL, x, tn_op("sigmoid", NULL, x)), y);
}

static void fill(tn_exec *e)
{
    const tn_names names = tn_exec_arguments(e);
    for (size_t i = 0; i < names.n; i++) {
        tn_tensor *t = tn_exec_arg(e, names.v[i]);
        const tn_shape s = tn_tensor_shape(t);
        tn_tensor *v = tn_sample(TN_F32, tn_shape_dims(&s), -2, 2, 5 + i);
        CU_ASSERT(tn_tensor_copy(t, v) == TN_OK);
        tn_tensor_release(v);
    }
}

static bool same_bits(tn_tensor *a, tn_tensor *b)
{
    return a && b && tn_tensor_bytes(a) == tn_tensor_bytes(b) &&
           memcmp(tn_tensor_data(a), tn_tensor_data(b), tn_tensor_bytes(a)) == 0;
}

// Runs s on the list fused and apart: the same bits in outputs and gradients. Returns the first.
static tn_exec *compare(tn_symbol s, const char *backends, tn_grad_req req)
{
    tn_exec *e[2];
    for (int i = 0; i < 2; i++) {
        e[i] = tn_simple_bind(bench.g, s, .backends = backends, .grad_req = req,
                              .flags = i ? TN_BIND_NO_FUSE : 0);
        TN_CHECK_GRAPH();
        if (!e[i]) return NULL;
        fill(e[i]);
        CU_ASSERT(tn_forward(e[i], req != TN_NULL) == TN_OK);
        tn_named_tensor heads[4] = {{0}};
        const size_t n = tn_exec_num_outputs(e[i]);
        for (size_t o = 0; o < n; o++) heads[o].tensor = tn_exec_output(e[i], o);
        CU_ASSERT(tn_backward(e[i], (tn_tensors){n, heads}) == TN_OK);
    }
    CU_ASSERT(!FUSED(e[1]));
    for (size_t o = 0; o < tn_exec_num_outputs(e[0]); o++)
        CU_ASSERT(same_bits(tn_exec_output(e[0], o), tn_exec_output(e[1], o)));
    const tn_names names = tn_exec_arguments(e[0]);
    for (size_t i = 0; req != TN_NULL && i < names.n; i++)
        CU_ASSERT(same_bits(tn_exec_grad(e[0], names.v[i]), tn_exec_grad(e[1], names.v[i])));
    tn_exec_free(e[1]);
    return e[0];
}

static bool load(const char *file)
{
    const bool ok = tn_env_load(bench.env, file) == TN_OK;
    TN_CHECK_STR(ok ? "" : tn_env_error(bench.env), "");
    return ok;
}

static bool load_fuser(void)
{
    return load(TN_TEST_BACKEND_DIR "/fuser.so");
}

// ------------------------------------------------------------------ chains

static void a_chain_is_one_node(void)
{
    tn_exec *e = compare(swish_plus(var("x"), var("y")), "blas", TN_NULL);
    if (!e) return;
    const char *text = tn_exec_report_text(e);
    TN_CHECK_HAS(text, "1 node: blas 1;");
    TN_CHECK_HAS(text, "fused: sigmoid \"sigmoid0\" + _mul \"_mul0\" + elemwise_add");
    TN_CHECK_HAS(text, "blas: fused loops");
    TN_CHECK_HAS(tn_exec_report_json(e),
                 "\"fused\": [{\"name\": \"sigmoid0\", \"op\": \"sigmoid\"}");
    tn_exec_free(e);
}

static void values_that_are_wanted_leave(void)
{
    const tn_symbol x = var("x"), s = tn_op("sigmoid", NULL, x), q = tn_op("square", NULL, s);
    tn_exec *e = compare(tn_group(bench.g, TN_SYMS(tn_op("exp", NULL, q), s, q)), "blas", TN_NULL);
    if (!e) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "1 node: blas 1;");
    tn_exec_free(e);
}

static void gradients_are_fused_too(void)
{
    tn_exec *e = compare(swish_plus(var("x"), var("y")), "blas", TN_WRITE);
    if (!e) return;
    const char *back = strstr(tn_exec_report_text(e), "\nbackward\n");
    CU_ASSERT(back && strstr(back, "fused: "));
    tn_exec_free(e);
    e = compare(swish_plus(var("x1"), var("x2")), "blas", TN_ADD);
    tn_exec_free(e);
}

// Operands that broadcast: a number, a row, a channel, a column; on the left too.
static void operands_may_broadcast(void)
{
    static const int64_t shapes[][4] = {{1, 1, 1, 1},  {1, 1, 1, 23},  {1, 7, 1, 1},
                                        {1, 7, 19, 1}, {1, 1, 19, 23}, {5, 1, 1, 1}};
    static const char *const ops[] = {"broadcast_mul", "broadcast_sub"};
    for (size_t i = 0; i < 6; i++)
        for (int left = 0; left < 2; left++) {
            tn_graph_free(bench.g);
            bench.g = tn_graph_new(bench.env);
            const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(5, 7, 19, 23));
            const tn_symbol w = tn_variable(bench.g, "w", .shape = {4, shapes[i]});
            tn_symbol y = tn_op("relu", NULL, x);
            for (int k = 0; k < 2; k++)
                y = left ? tn_op(ops[k], NULL, w, y) : tn_op(ops[k], NULL, y, w);
            tn_exec *e = compare(tn_op("square", NULL, y), "blas", TN_NULL);
            if (!e) return;
            TN_CHECK_HAS(tn_exec_report_text(e), "1 node: blas 1;");
            tn_exec_free(e);
        }
}

static void not_everything_broadcasts_in_a_unit(void)
{
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(3, 1)),
                    y = tn_variable(bench.g, "y", .shape = TN_DIMS(3, 4)),
                    c = tn_variable(bench.g, "c", .shape = TN_DIMS(3));
    const tn_symbol z = tn_op("exp", NULL, tn_op("broadcast_add", NULL, x, y));
    tn_exec_free(compare(tn_op("where", NULL, c, z, tn_op("tanh", NULL, z)), "blas", TN_WRITE));
    const tn_symbol a = tn_variable(bench.g, "a", .shape = TN_DIMS(3, 1, 2)),
                    b = tn_variable(bench.g, "b", .shape = TN_DIMS(1, 4, 1));
    const tn_symbol outer = tn_op("broadcast_mul", NULL, a, b);
    tn_exec_free(compare(tn_op("square", NULL, tn_op("exp", NULL, outer)), "blas", TN_WRITE));
}

// The sum reads s, and b reads the sum: a, s and b cannot be one node.
static void a_reader_between_keeps_them_apart(void)
{
    const tn_symbol x = var("x"), a = tn_op("relu", NULL, x), s = tn_op("exp", NULL, a);
    const tn_symbol total = tn_op("sum", "keepdims=1", s);
    const tn_symbol b = tn_op("_mul", NULL, s, tn_op("broadcast_to", "shape=(5000,)", total));
    tn_exec *e = compare(tn_op("negative", NULL, b), "blas", TN_WRITE);
    if (!e) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "fused: relu \"relu0\" + exp \"exp0\"\n");
    tn_exec_free(e);
}

// Shapes are read as well: _sum_like wants that of a value inside.
static void shapes_of_inner_values_can_be_had(void)
{
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(40, 1));
    const tn_symbol y = tn_variable(bench.g, "y", .shape = TN_DIMS(1, 30));
    const tn_symbol z = tn_op("broadcast_mul", NULL, tn_op("exp", NULL, x), tn_op("tanh", NULL, y));
    tn_exec_free(compare(tn_op("sigmoid", NULL, tn_op("square", NULL, z)), "blas", TN_WRITE));
}

static void long_chains_are_cut(void)
{
    tn_symbol x = var("x");
    for (int i = 0; i < 100; i++)
        x = tn_op(i % 3 ? "sin" : "_mul_scalar", i % 3 ? NULL : "scalar=0.5", x);
    tn_exec *e = compare(x, "blas", TN_WRITE);
    if (!e) return;
    CU_ASSERT(FUSED(e));
    tn_exec_free(e);
}

// A sum of four has too many operands for a loop of blas: a part that the backend does not take.
static void what_the_backend_refuses_stays_apart(void)
{
    const tn_symbol x = var("x");
    const tn_symbol inner = tn_op("exp", NULL, tn_op("sigmoid", NULL, x));
    const tn_symbol y = tn_op("exp", NULL, tn_op("add_n", NULL, inner, inner, inner, inner));
    tn_exec *e = compare(tn_op("negative", NULL, y), "blas", TN_NULL);
    if (!e) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "fused: sigmoid \"sigmoid0\" + exp \"exp0\"\n");
    TN_CHECK_HAS(tn_exec_report_text(e), "fused: exp \"exp1\" + negative \"negative0\"\n");
    tn_exec_free(e);
}

// Large results go past the caches; the last tile is a broken one.
static void large_results_stream(void)
{
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(9000003));
    const tn_symbol y = tn_variable(bench.g, "y", .shape = TN_DIMS(9000003));
    tn_exec *e = compare(swish_plus(x, y), "blas", TN_NULL);
    if (!e) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "blas: fused loops, streaming");
    tn_exec_free(e);
}

static void empty_values_are_fused(void)
{
    const tn_symbol y = swish_plus(tn_variable(bench.g, "x"), tn_variable(bench.g, "y"));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "blas", .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"x", TN_DIMS(0, 3)}));
    TN_CHECK_GRAPH();
    CU_ASSERT(e && tn_forward(e, true) == TN_OK);
    tn_named_tensor head = {NULL, tn_out(e, 0)};
    CU_ASSERT(tn_backward(e, (tn_tensors){1, &head}) == TN_OK);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ what begins a chain

static tn_symbol layer(tn_symbol x, const char *name, int64_t n)
{
    return tn_fully_connected(bench.g, .data = x, .num_hidden = n, .no_bias = true, .name = name);
}

static void a_layer_takes_its_activation(void)
{
    if (!load_fuser()) return;
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(4, 5));
    const tn_symbol h = tn_op("relu", NULL, layer(x, "fc1", 6));
    const tn_symbol z = tn_op("elemwise_add", NULL, layer(h, "fc2", 6), h);
    tn_exec *e = compare(tn_op("relu", NULL, z), "fuser", TN_NULL);
    if (!e) return;
    const char *text = tn_exec_report_text(e);
    TN_CHECK_HAS(text, "2 nodes: fuser 2;");
    TN_CHECK_HAS(text, "fused: FullyConnected \"fc1\" + relu \"relu0\"\n");
    TN_CHECK_HAS(text, "fused: FullyConnected \"fc2\" + elemwise_add \"elemwise_add0\" + relu");
    tn_exec_free(e);
}

static void a_layer_leaves_what_is_too_much(void)
{
    if (!load_fuser()) return;
    tn_symbol x = layer(tn_variable(bench.g, "x", .shape = TN_DIMS(4, 5)), "fc", 6);
    const tn_symbol y = tn_variable(bench.g, "y", .shape = TN_DIMS(4, 6));
    for (int i = 0; i < 6; i++) x = tn_op(i % 2 ? "_mul" : "elemwise_add", NULL, x, y);
    tn_exec *e = compare(x, "fuser", TN_NULL);
    if (!e) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "2 nodes: fuser 2;");
    tn_exec_free(e);
}

// The kernel of a layer keeps nothing for its gradient, so it takes its activation while training,
// too. The gradient of relu reads its result only, but that of a product what goes in.
static void a_layer_with_a_gradient_takes_its_activation(void)
{
    if (!load_fuser()) return;
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(4, 5));
    const tn_symbol h = tn_op("relu", NULL, layer(x, "fc1", 6));
    const tn_symbol y = tn_op("_mul", NULL, layer(h, "fc2", 6), h);
    tn_exec *e = compare(y, "fuser,reference", TN_WRITE);
    if (!e) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "fused: FullyConnected \"fc1\" + relu \"relu0\"\n");
    CU_ASSERT(!strstr(tn_exec_report_text(e), "FullyConnected \"fc2\" + "));
    tn_exec_free(e);
}

// The gradient of another operator may use what its kernel keeps, so that stays itself.
static void what_may_keep_something_stays_apart(void)
{
    if (!load_fuser()) return;
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(4, 5));
    const tn_symbol y = tn_op("relu", NULL, tn_op("softmax", NULL, x));
    tn_exec *e = compare(y, "fuser,reference", TN_NULL);
    if (e) TN_CHECK_HAS(tn_exec_report_text(e), "fused: softmax \"softmax0\" + relu");
    tn_exec_free(e);
    e = compare(y, "fuser,reference", TN_WRITE);
    if (e) CU_ASSERT(!FUSED(e));
    tn_exec_free(e);
}

// fc's result has another reader: it leaves, or fc runs alone.
static void a_layer_that_others_read_is_still_there(void)
{
    if (!load_fuser()) return;
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(4, 5)), fc = layer(x, "fc", 6);
    const tn_symbol y = tn_group(bench.g, TN_SYMS(tn_op("relu", NULL, fc), fc));
    tn_exec_free(compare(y, "fuser", TN_NULL));
}

// Only the dtype of the chain is asked for, so nobody reads what it computes.
static void a_chain_that_nobody_reads_is_no_unit(void)
{
    const tn_symbol x = var("x"), chain = tn_op("_mul", NULL, tn_op("relu", NULL, x), x);
    tn_exec *e = compare(tn_op("_cast_as", NULL, var("y"), chain), "blas", TN_NULL);
    if (e) CU_ASSERT(same_bits(tn_exec_output(e, 0), tn_exec_arg(e, "y")));
    tn_exec_free(e);
}

// ------------------------------------------------------------------ units that move

// dozen runs the product and the sum one by one, exp not at all; blas runs the three as one.
static void what_the_first_takes_apart_goes_to_the_next(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/dozen.so")) return;
    const tn_symbol x = var("x"), y = tn_op("_mul", NULL, x, tn_op("exp", NULL, x));
    tn_exec *e = compare(tn_op("elemwise_add", NULL, y, var("y")), "dozen,blas", TN_NULL);
    if (!e) return;
    const char *text = tn_exec_report_text(e);
    TN_CHECK_HAS(text, "1 node: blas 1;");
    TN_CHECK_HAS(text, "fused: exp \"exp0\" + _mul \"_mul0\" + elemwise_add");
    TN_CHECK_HAS(text, "not dozen: no kernel for _fused\n");
    tn_exec_free(e);
}

static void gradients_move_too(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/dozen.so")) return;
    const tn_symbol x = var("x"), y = tn_op("_mul", NULL, x, tn_op("relu", NULL, x));
    tn_exec *e = compare(y, "dozen,blas", TN_WRITE);
    if (e) TN_CHECK_HAS(tn_exec_report_text(e), "2 nodes: blas 2;");
    tn_exec_free(e);
}

static void one_alone_does_not_move(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/dozen.so")) return;
    tn_exec *e = compare(tn_op("relu", NULL, var("x")), "dozen,blas", TN_NULL);
    if (e) TN_CHECK_HAS(tn_exec_report_text(e), "1 node: dozen 1;");
    tn_exec_free(e);
}

static void pinned_nodes_do_not_move(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/dozen.so")) return;
    tn_attr_scope_push(bench.g, TN_ATTRS({"__backend__", "dozen"}));
    const tn_symbol x = tn_op("relu", NULL, var("x"));
    tn_attr_scope_pop(bench.g);
    const tn_symbol y = tn_op("_mul", NULL, x, x);
    tn_exec *e = compare(tn_op("elemwise_add", NULL, y, x), "dozen,blas", TN_NULL);
    if (!e) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "2 nodes: dozen 1, blas 1;");
    TN_CHECK_HAS(tn_exec_report_text(e), "fused: _mul \"_mul0\" + elemwise_add");
    tn_exec_free(e);
}

// What lies between two layers in a layout of its own is not torn out.
static void units_in_a_layout_of_their_own_stay(void)
{
    if (!load(TN_TEST_BACKEND_DIR "/blocked.so")) return;
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(5, 6));
    const tn_symbol h = tn_op("relu", NULL, layer(x, "fc1", 6)), z = tn_op("_mul", NULL, h, h);
    const tn_symbol y = layer(z, "fc2", 6), sum = tn_op("elemwise_add", NULL, var("a"), var("b"));
    const tn_symbol both = tn_group(bench.g, TN_SYMS(y, tn_op("relu", NULL, sum)));
    tn_exec *e = compare(both, "blocked,blas", TN_NULL);
    if (!e) return;
    const char *text = tn_exec_report_text(e);
    TN_CHECK_HAS(text, "5 nodes: blocked 4, blas 1; 0 copies, 2 reorders");
    TN_CHECK_HAS(text, "fused: elemwise_add \"elemwise_add0\" + relu \"relu1\"\n");
    tn_exec_free(e);
}

TN_TEST_MAIN({"a chain is one node", a_chain_is_one_node},
             {"a chain that nobody reads is no unit", a_chain_that_nobody_reads_is_no_unit},
             {"values that are wanted leave", values_that_are_wanted_leave},
             {"gradients are fused too", gradients_are_fused_too},
             {"operands may broadcast", operands_may_broadcast},
             {"not everything broadcasts in a unit", not_everything_broadcasts_in_a_unit},
             {"a reader between keeps them apart", a_reader_between_keeps_them_apart},
             {"shapes of inner values can be had", shapes_of_inner_values_can_be_had},
             {"long chains are cut", long_chains_are_cut},
             {"what the backend refuses stays apart", what_the_backend_refuses_stays_apart},
             {"large results stream", large_results_stream},
             {"empty values are fused", empty_values_are_fused},
             {"a layer takes its activation", a_layer_takes_its_activation},
             {"a layer leaves what is too much", a_layer_leaves_what_is_too_much},
             {"a layer with a gradient takes its activation",
              a_layer_with_a_gradient_takes_its_activation},
             {"what may keep something stays apart", what_may_keep_something_stays_apart},
             {"a layer that others read is still there", a_layer_that_others_read_is_still_there},
             {"what the first takes apart goes to the next",
              what_the_first_takes_apart_goes_to_the_next},
             {"gradients move too", gradients_move_too},
             {"one alone does not move", one_alone_does_not_move},
             {"pinned nodes do not move", pinned_nodes_do_not_move},
             {"units in a layout of their own stay", units_in_a_layout_of_their_own_stay})
