// tests/exec/test_inference.c: executors for inference: constants are worked on once, batch norms
// go into the layers before them, and the answers stay the same.
#include "tests/exec/nets.h"
#include "tests/tn_numeric.h"

#define G bench.g

static tn_symbol norm(tn_symbol x, const char *name, bool fix)
{
    return tn_batch_norm(G, .data = x, .name = name, .fix_gamma = TN_SET(fix), .eps = TN_SET(0.01));
}

// Layers with batch norms of all kinds behind them: only c3's stays, because others read c3.
static tn_symbol network(void)
{
    tn_symbol x = tn_variable(G, "data");
    x = tn_convolution(G, .data = x, .kernel = TN_INTS(3, 3), .num_filter = 4, .name = "c1");
    x = tn_relu(G, .data = norm(x, "n1", false));
    x = tn_deconvolution(G, .data = x, .kernel = TN_INTS(2, 2), .num_filter = 3, .name = "c2");
    x = tn_relu(G, .data = norm(x, "n2", true));
    x = tn_dropout(G, .data = x, .p = TN_SET(0.5), .name = "drop");
    const tn_symbol c3 = tn_convolution(G, .data = x, .kernel = TN_INTS(3, 3), .no_bias = true,
                                        .num_filter = 4, .num_group = 1, .name = "c3");
    x = tn_op("elemwise_add", NULL, norm(c3, "n3", false), c3);
    x = tn_fully_connected(G, .data = x, .num_hidden = 5, .name = "fc");
    return tn_softmax(G, .data = norm(x, "n4", false), .name = "out");
}

static void fill(tn_exec *e, bool also_data)
{
    const tn_names lists[] = {tn_exec_arguments(e), tn_exec_auxiliary_states(e)};
    for (int l = 0; l < 2; l++) {
        for (size_t i = 0; i < lists[l].n; i++) {
            const char *name = lists[l].v[i];
            if (!also_data && strcmp(name, "data") == 0) continue;
            const tn_tensor *t = l ? tn_exec_aux(e, name) : tn_exec_arg(e, name);
            const tn_shape s = tn_tensor_shape(t);
            tn_tensor *v = tn_sample(TN_F32, tn_shape_dims(&s), 0.1, 0.9, 3 + i);
            CU_ASSERT(tn_exec_set(e, name, v) == TN_OK);
            tn_tensor_release(v);
        }
    }
}

static tn_exec *bind(tn_symbol s, const char *backends, const char *inputs)
{
    tn_exec *e = tn_simple_bind(G, s, .backends = backends, .inputs = inputs,
                                .shapes = TN_SHAPES({"data", TN_DIMS(2, 3, 6, 6)}));
    TN_CHECK_GRAPH();
    if (e) fill(e, true);
    return e;
}

static bool near(tn_tensor *a, tn_tensor *b, double tolerance)
{
    bool ok = a && b && tn_tensor_size(a) == tn_tensor_size(b);
    for (int64_t i = 0; ok && i < tn_tensor_size(a); i++) {
        const double d = tn_tensor_at(a, i) - tn_tensor_at(b, i);
        ok = d <= tolerance && -d <= tolerance;
    }
    return ok;
}

static void count(void *ctx, const char *name, tn_tensor *value)
{
    (void)name, (void)value;
    ++*(int *)ctx;
}

// Nodes that a forward runs.
static int nodes_of(tn_exec *e)
{
    int n = 0;
    tn_exec_monitor(e, count, &n);
    CU_ASSERT(tn_forward(e, false) == TN_OK);
    tn_exec_monitor(e, NULL, NULL);
    return n;
}

static const char *const lists[] = {"reference",         "blas,reference", "far,reference",
                                    "blocked,reference", "lazy,reference", "fuser,reference"};

static void load_doubles(void)
{
    tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so");
    tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/blocked.so");
    tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/fuser.so");
    TN_CHECK_STR(tn_env_error(bench.env), "");
}

static void the_answer_is_the_same(void)
{
    load_doubles();
    const tn_symbol s = network();
    tn_exec *plain = bind(s, "reference", NULL);
    CU_ASSERT(plain && tn_forward(plain, false) == TN_OK);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        tn_exec *e = bind(s, lists[i], "data");
        for (int run = 0; e && run < 3; run++) {
            CU_ASSERT(tn_forward(e, false) == TN_OK);
            if (!near(tn_out(e, 0), tn_out(plain, 0), 1e-5)) TN_CHECK_STR(lists[i], "the same");
        }
        tn_exec_free(e);
    }
    tn_exec_free(plain);
}

static void batch_norms_go_into_layers(void)
{
    tn_exec *e = bind(network(), "reference", "data");
    if (!e) return;
    const char *text = tn_exec_report_text(e);
    CU_ASSERT(!strstr(text, "\"n1\"") && !strstr(text, "\"n2\"") && !strstr(text, "\"n4\""));
    CU_ASSERT(!strstr(text, "Dropout"));
    TN_CHECK_HAS(text, "BatchNorm \"n3\"");
    TN_CHECK_HAS(text, "Convolution \"c1\"");
    TN_CHECK_HAS(text, "rsqrt \"n1_fold");
    TN_CHECK_HAS(text, "  once");
    TN_CHECK_HAS(tn_exec_report_json(e), "\"once\": true");
    const int first = nodes_of(e), later = nodes_of(e);
    CU_ASSERT(first > later);
    CU_ASSERT_EQUAL(later, 11); // c1 relu c2 relu c3, n3 (3 outputs), sum, fc, softmax
    tn_exec_free(e);
}

// A batch norm of another group stays, since it is to run elsewhere.
static void batch_norms_of_one_group_go_too(void)
{
    tn_attr_scope_push(G, TN_ATTRS({"ctx_group", "first"}));
    tn_symbol x = tn_convolution(G, .data = tn_variable(G, "data"), .kernel = TN_INTS(3, 3),
                                 .num_filter = 4, .name = "c1");
    x = norm(x, "n1", false);
    x = tn_convolution(G, .data = x, .kernel = TN_INTS(3, 3), .num_filter = 4, .name = "c2");
    tn_attr_scope_pop(G);
    tn_attr_scope_push(G, TN_ATTRS({"ctx_group", "second"}));
    x = norm(x, "n2", false);
    tn_attr_scope_pop(G);
    tn_exec *e = bind(x, "reference", "data");
    if (!e) return;
    CU_ASSERT(!strstr(tn_exec_report_text(e), "\"n1\""));
    TN_CHECK_HAS(tn_exec_report_text(e), "BatchNorm \"n2\"");
    tn_exec_free(e);
}

static void constants_that_are_set_count(void)
{
    load_doubles();
    const tn_symbol s = network();
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        tn_exec *plain = bind(s, "reference", NULL), *e = bind(s, lists[i], "data");
        if (!plain || !e) return;
        CU_ASSERT(tn_forward(e, false) == TN_OK);
        tn_tensor *w = tn_sample(TN_F32, TN_DIMS(4, 3, 3, 3), -1, 1, 99);
        CU_ASSERT(tn_exec_set(e, "c1_weight", w) == TN_OK);
        CU_ASSERT(tn_exec_set(plain, "c1_weight", w) == TN_OK);
        CU_ASSERT(tn_forward(e, false) == TN_OK && tn_forward(plain, false) == TN_OK);
        CU_ASSERT(near(tn_out(e, 0), tn_out(plain, 0), 1e-5));

        tn_tensor *var = tn_sample(TN_F32, TN_DIMS(5), 1, 2, 98);
        const tn_named_tensor all[] = {{"aux:n4_moving_var", var}};
        CU_ASSERT(tn_exec_set_all(e, (tn_tensors){1, all}, false) == TN_OK);
        CU_ASSERT(tn_exec_set_all(plain, (tn_tensors){1, all}, false) == TN_OK);
        CU_ASSERT(tn_forward(e, false) == TN_OK && tn_forward(plain, false) == TN_OK);
        CU_ASSERT(near(tn_out(e, 0), tn_out(plain, 0), 1e-5));
        tn_tensor_release(w);
        tn_tensor_release(var);
        tn_exec_free(e);
        tn_exec_free(plain);
    }
}

static void only_new_constants_are_worked_on(void)
{
    tn_exec *e = bind(network(), "reference", "data");
    if (!e) return;
    const int first = nodes_of(e), later = nodes_of(e);
    tn_tensor *x = tn_sample(TN_F32, TN_DIMS(2, 3, 6, 6), 0, 1, 7);
    CU_ASSERT(tn_exec_set(e, "data", x) == TN_OK);
    CU_ASSERT_EQUAL(nodes_of(e), later);
    tn_exec_refresh(e);
    CU_ASSERT_EQUAL(nodes_of(e), first);
    CU_ASSERT_EQUAL(nodes_of(e), later);
    tn_tensor_release(x);
    tn_exec_free(e);
}

static void outputs_may_be_constants(void)
{
    const tn_symbol w = tn_variable(G, "w", .shape = TN_DIMS(3)),
                    x = tn_variable(G, "x", .shape = TN_DIMS(3));
    const tn_symbol c = tn_op("exp", NULL, w);
    tn_exec *e = tn_simple_bind(G, tn_group(G, TN_SYMS(c, tn_op("elemwise_add", NULL, c, x), w)),
                                .inputs = "x", .backends = "reference");
    TN_CHECK_GRAPH();
    if (!e) return;
    for (int run = 0; run < 3; run++) {
        CU_ASSERT(tn_forward(e, false) == TN_OK);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1, 1);
        TN_CHECK_VALUES(tn_out(e, 1), 0, 1, 1, 1);
        memset(tn_tensor_data(tn_out(e, 0)), 0,
               12); // what a caller does to an output is his matter
    }
    tn_exec_free(e);
}

// Memory that is written without a word to the executor shows which arguments are constants.
static void inputs_are_a_list_of_names(void)
{
    static const struct {
        const char *inputs;
        double sum; // of u and v after 1 and 10 became 2 and 20
    } cases[] = {{NULL, 22},    {"u v", 22}, {"u,v", 22}, {" v ,, u ", 22},
                 {"u", 2 + 10}, {"v", 21},   {"", 11},    {" , ", 11}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_fresh();
        const tn_symbol u = tn_variable(G, "u", .shape = TN_DIMS(1)),
                        v = tn_variable(G, "v", .shape = TN_DIMS(1));
        const tn_symbol y = tn_add(G, tn_op("negative", NULL, u), tn_op("negative", NULL, v));
        tn_exec *e = tn_simple_bind(G, y, .inputs = cases[i].inputs, .backends = "reference");
        TN_CHECK_GRAPH();
        if (!e) return;
        for (int run = 1; run <= 2; run++) {
            tn_tensor_fill(tn_exec_arg(e, "u"), run);
            tn_tensor_fill(tn_exec_arg(e, "v"), 10 * run);
            CU_ASSERT(tn_forward(e, false) == TN_OK);
        }
        TN_CHECK_VALUES(tn_out(e, 0), 0, -cases[i].sum);
        tn_exec_free(e);
    }
}

static void reshaped_executors_keep_their_constants(void)
{
    const tn_symbol s = network();
    tn_exec *e = bind(s, "blas,reference", "data");
    if (!e) return;
    CU_ASSERT(tn_forward(e, false) == TN_OK);
    tn_exec *small = tn_exec_reshape(e, TN_SHAPES({"data", TN_DIMS(1, 3, 6, 6)}));
    TN_CHECK_EXEC(e);
    tn_tensor *x = tn_sample(TN_F32, TN_DIMS(1, 3, 6, 6), 0, 1, 7);
    CU_ASSERT(small && tn_exec_set(small, "data", x) == TN_OK && tn_forward(small, false) == TN_OK);
    tn_tensor_release(x);
    tn_exec *plain = bind(s, "reference", NULL);
    CU_ASSERT(plain && tn_forward(plain, false) == TN_OK && tn_forward(e, false) == TN_OK);
    CU_ASSERT(near(tn_out(e, 0), tn_out(plain, 0), 1e-5));
    tn_exec_free(plain);
    tn_exec_free(small);
    tn_exec_free(e);
}

static void what_is_not_inference_is_an_error(void)
{
    const tn_symbol s = network();
    tn_exec *e = bind(s, "reference", "data");
    if (!e) return;
    CU_ASSERT(tn_forward(e, true) == TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "the executor is for inference");
    tn_exec_forgive(e);
    CU_ASSERT(tn_forward(e, false) == TN_OK);
    tn_exec_free(e);
    CU_ASSERT(!tn_simple_bind(G, s, .inputs = "dota",
                              .shapes = TN_SHAPES({"data", TN_DIMS(2, 3, 6, 6)})));
    TN_CHECK_HAS(tn_graph_error(G), "bind: .inputs: no argument has the name \"dota\"");
    tn_graph_forgive(G);
    CU_ASSERT(!tn_simple_bind(G, s, .inputs = "data", .grad_req = TN_WRITE,
                              .shapes = TN_SHAPES({"data", TN_DIMS(2, 3, 6, 6)})));
    TN_CHECK_HAS(tn_graph_error(G), ".inputs are for inference, and gradients are asked for");
    tn_graph_forgive(G);
    CU_ASSERT(!tn_simple_bind(G, s, .compute = TN_F16,
                              .shapes = TN_SHAPES({"data", TN_DIMS(2, 3, 6, 6)})));
    TN_CHECK_HAS(tn_graph_error(G), "bind: .compute: wanted TN_BF16 or TN_DTYPE_NONE, got float16");
    tn_graph_forgive(G);
}

TN_TEST_MAIN({"the answer is the same", the_answer_is_the_same},
             {"batch norms go into layers", batch_norms_go_into_layers},
             {"batch norms of one group go too", batch_norms_of_one_group_go_too},
             {"constants that are set count", constants_that_are_set_count},
             {"only new constants are worked on", only_new_constants_are_worked_on},
             {"outputs may be constants", outputs_may_be_constants},
             {"inputs are a list of names", inputs_are_a_list_of_names},
             {"reshaped executors keep their constants", reshaped_executors_keep_their_constants},
             {"what is not inference is an error", what_is_not_inference_is_an_error})
