// tests/exec/test_bind.c: what binding takes, makes, refuses, and how it says so.
#include "tests/exec/nets.h"

// The bind failed with a text that has both parts; the graph can be used again.
static void check_refused(int line, tn_exec *e, tn_status status, const char *part,
                          const char *other)
{
    CU_assertImplementation(e == NULL, (unsigned)line, "bound", __FILE__, "", CU_FALSE);
    CU_assertImplementation(tn_graph_status(bench.g) == status, (unsigned)line, "status", __FILE__,
                            "", CU_FALSE);
    tn_check_has(line, __FILE__, tn_graph_error(bench.g), part);
    tn_check_has(line, __FILE__, tn_graph_error(bench.g), other);
    tn_graph_forgive(bench.g);
    tn_exec_free(e);
}
#define REFUSED(e, status, part, other) check_refused(__LINE__, (e), (status), (part), (other))

// Binds with the shape of data and these options.
#define BIND(net, ...)                                         \
    tn_simple_bind(bench.g, (net), .backends = bench.backends, \
                   .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)}), __VA_ARGS__)

// ------------------------------------------------------------------ what is made

static void missing_tensors_are_made_as_zeros(void)
{
    tn_exec *e = BIND(net_mlp(), .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    TN_CHECK_NAMES(tn_exec_arguments(e), "data fc1_weight fc1_bias fc2_weight fc2_bias out_label");
    TN_CHECK_NAMES(tn_exec_outputs(e), "out_output");
    TN_CHECK_NAMES(tn_exec_auxiliary_states(e), "");
    const tn_shape w = tn_tensor_shape(tn_exec_arg(e, "fc1_weight"));
    CU_ASSERT_TRUE(w.ndim == 2 && w.dim[0] == 5 && w.dim[1] == 6);
    CU_ASSERT_EQUAL(tn_tensor_size(tn_exec_arg(e, "out_label")), 4);
    CU_ASSERT_EQUAL(tn_tensor_dtype(tn_exec_grad(e, "fc2_bias")), TN_F32);
    TN_CHECK_VALUES(tn_exec_grad(e, "fc2_bias"), 0, 0, 0, 0);
    CU_ASSERT_EQUAL((uintptr_t)tn_tensor_data(tn_exec_arg(e, "fc1_weight")) % 64, 0);
    tn_exec_free(e);
}

static void a_graph_may_be_freed_after_the_bind(void)
{
    tn_graph *g = tn_graph_new(bench.env);
    tn_symbol y = tn_add(g, tn_variable(g, "x"), 1);
    tn_exec *e =
        tn_simple_bind(g, y, .backends = bench.backends, .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    tn_graph_free(g);
    CU_ASSERT_PTR_NOT_NULL_FATAL(e);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 1, 1);
    TN_CHECK_NAMES(tn_exec_arguments(e), "x");
    tn_exec_free(e);
}

static void requests_choose_the_gradients(void)
{
    const tn_symbol net = net_mlp();
    tn_exec *e = BIND(net, .grad_req = TN_WRITE,
                      .grad_reqs = TN_REQS({"data", TN_NULL}, {"fc1_bias", TN_ADD}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_PTR_NULL(tn_exec_grad(e, "data"));
    CU_ASSERT_PTR_NOT_NULL(tn_exec_grad(e, "fc1_bias"));
    CU_ASSERT_PTR_NOT_NULL(tn_exec_grad(e, "out_label"));
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_OK);
    tn_exec_free(e);
    e = BIND(net, .grad_reqs = TN_REQS({"fc2_weight", TN_WRITE}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_PTR_NULL(tn_exec_grad(e, "fc1_weight"));
    CU_ASSERT_PTR_NOT_NULL(tn_exec_grad(e, "fc2_weight"));
    tn_exec_free(e);
}

static void a_given_gradient_is_written(void)
{
    tn_tensor *grad = tn_tensor_new(bench.env, TN_F32, TN_DIMS(3)),
              *frozen = tn_tensor_new(bench.env, TN_F32, TN_DIMS(5));
    tn_exec *e = BIND(net_mlp(), .grads = TN_TENSORS({"fc2_bias", grad}, {"fc1_bias", frozen}),
                      .grad_reqs = TN_REQS({"fc1_bias", TN_NULL}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_PTR_EQUAL(tn_exec_grad(e, "fc2_bias"), grad);
    CU_ASSERT_PTR_NULL(tn_exec_grad(e, "fc1_bias"));
    net_fill(e);
    CU_ASSERT_EQUAL(tn_forward(e, true) | tn_backward(e, TN_NO_HEADS), TN_OK);
    CU_ASSERT_TRUE(tn_tensor_at(grad, 0) != 0);
    tn_exec_free(e);
    tn_tensor_release(grad);
    tn_tensor_release(frozen);
}

static void arguments_are_float32_unless_something_says_otherwise(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), w = tn_variable(bench.g, "w");
    tn_symbol y = tn_add(bench.g, x, w);
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_tensor_dtype(tn_exec_arg(e, "w")), TN_F32);
    tn_exec_free(e);
    e = tn_simple_bind(bench.g, y, .backends = bench.backends,
                       .shapes = TN_SHAPES({"x", TN_DIMS(2)}), .dtypes = TN_DTYPES({"x", TN_F64}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_tensor_dtype(tn_exec_arg(e, "w")), TN_F64);
    CU_ASSERT_EQUAL(tn_tensor_dtype(tn_exec_output(e, 0)), TN_F64);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ by reference

static void the_strict_form_wants_everything_and_copies_nothing(void)
{
    tn_symbol y = tn_add(bench.g, tn_variable(bench.g, "x"), tn_variable(bench.g, "w"));
    tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2), *w = TN_TENSOR(TN_F32, TN_DIMS(2), 3, 4);
    REFUSED(tn_bind(bench.g, y, .backends = bench.backends, .args = TN_TENSORS({"w", w})),
            TN_E_INVALID, "not given: x", "every argument");
    tn_exec *e =
        tn_bind(bench.g, y, .backends = bench.backends, .args = TN_TENSORS({"w", w}, {"x", x}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_PTR_EQUAL(tn_exec_arg(e, "x"), x);
    tn_tensor_fill(x, 10);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 13, 14);
    tn_tensor_release(x); // the executor holds them
    tn_tensor_release(w);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 13, 14);
    tn_exec_free(e);
}

static void a_given_output_is_written(void)
{
    tn_symbol y = tn_add(bench.g, tn_variable(bench.g, "x"), 2);
    tn_tensor *out = tn_tensor_new(bench.env, TN_F32, TN_DIMS(3));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(3)}),
                                .outs = TN_TENSORS({"_plusscalar0_output", out}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(out, 0, 2, 2, 2);
    CU_ASSERT_PTR_EQUAL(tn_exec_output(e, 0), out);
    tn_exec_free(e);
    REFUSED(tn_simple_bind(bench.g, y, .backends = bench.backends,
                           .shapes = TN_SHAPES({"x", TN_DIMS(4)}),
                           .outs = TN_TENSORS({"_plusscalar0_output", out})),
            TN_E_SHAPE, "_plusscalar0_output: shape (3)", "wanted (4)");
    tn_tensor_release(out);
}

// ------------------------------------------------------------------ names that are wrong

static void wrong_names_are_errors_with_the_nearest(void)
{
    const tn_symbol net = net_mlp();
    tn_tensor *t = tn_tensor_new(bench.env, TN_F32, TN_DIMS(5));
    REFUSED(tn_simple_bind(bench.g, net, .shapes = TN_SHAPES({"dat", TN_DIMS(4, 6)})),
            TN_E_NOT_FOUND, ".shapes: no argument or state has the name \"dat\"",
            "did you mean data");
    REFUSED(BIND(net, .dtypes = TN_DTYPES({"fc1_wieght", TN_F32})), TN_E_NOT_FOUND, ".dtypes",
            "fc1_weight");
    REFUSED(BIND(net, .grad_reqs = TN_REQS({"fc1_bios", TN_NULL})), TN_E_NOT_FOUND, ".grad_reqs",
            "fc1_bias");
    REFUSED(BIND(net, .args = TN_TENSORS({"fc1_bia", t})), TN_E_NOT_FOUND, ".args", "fc1_bias");
    REFUSED(BIND(net, .grads = TN_TENSORS({"nothing_like_it", t})), TN_E_NOT_FOUND, ".grads",
            "nothing_like_it");
    REFUSED(BIND(net, .auxs = TN_TENSORS({"fc1_bias", t})), TN_E_NOT_FOUND,
            ".auxs: \"fc1_bias\" is an argument", "auxiliary state");
    REFUSED(BIND(net, .outs = TN_TENSORS({"out", t})), TN_E_NOT_FOUND, ".outs", "out_output");
    REFUSED(BIND(net, .args = TN_TENSORS({NULL, t})), TN_E_INVALID, ".args", "no name");
    tn_tensor_release(t);
}

static void a_name_given_twice_is_an_error(void)
{
    const tn_symbol net = net_mlp();
    REFUSED(tn_simple_bind(bench.g, net,
                           .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)}, {"data", TN_DIMS(4, 6)})),
            TN_E_EXISTS, ".shapes", "\"data\" is given twice");
    tn_tensor *t = tn_tensor_new(bench.env, TN_F32, TN_DIMS(4, 3));
    REFUSED(BIND(net, .outs = TN_TENSORS({"out_output", t}, {"out_output", t})), TN_E_EXISTS,
            ".outs", "given twice");
    tn_tensor_release(t);
}

static void two_variables_of_one_name_are_an_error(void)
{
    tn_graph *other = tn_graph_new(bench.env);
    tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(other, "x");
    tn_symbol sum = tn_add(bench.g, x, tn_symbol_copy(bench.g, other, y));
    REFUSED(tn_simple_bind(bench.g, sum, .shapes = TN_SHAPES({"x", TN_DIMS(2)})), TN_E_EXISTS,
            "two different variables have the name \"x\"", "test_bind.c:");
    tn_graph_free(other);
}

// ------------------------------------------------------------------ shapes that are wrong

static void shapes_that_contradict_are_errors(void)
{
    const tn_symbol net = net_mlp();
    tn_tensor *t = tn_tensor_new(bench.env, TN_F32, TN_DIMS(4, 7));
    REFUSED(BIND(net, .args = TN_TENSORS({"data", t})), TN_E_SHAPE, ".args: data: shape (4,7)",
            "wanted (4,6)");
    REFUSED(BIND(net, .args = TN_TENSORS({"fc1_weight", t})), TN_E_SHAPE, "fc1", "nets.h:");
    REFUSED(BIND(net, .grads = TN_TENSORS({"data", t})), TN_E_SHAPE, ".grads: data",
            "wanted (4,6)");
    tn_tensor_release(t);
    t = tn_tensor_new(bench.env, TN_F64, TN_DIMS(4, 6));
    REFUSED(BIND(net, .args = TN_TENSORS({"data", t}), .dtypes = TN_DTYPES({"data", TN_F32})),
            TN_E_DTYPE, ".args: data: dtype float64", "wanted float32");
    tn_tensor_release(t);
    t = tn_tensor_new(bench.env, TN_F64, TN_DIMS(4, 3));
    REFUSED(BIND(net, .outs = TN_TENSORS({"out_output", t})), TN_E_DTYPE, ".outs: out_output",
            "wanted float32");
    tn_tensor_release(t);
}

static void what_stays_unknown_is_listed(void)
{
    const tn_symbol net = net_mlp();
    REFUSED(tn_simple_bind(bench.g, net, .backends = bench.backends), TN_E_SHAPE, "data ?",
            "fc1_weight (5,?)");
    REFUSED(tn_simple_bind(bench.g, net, .shapes = TN_SHAPES({"data", TN_DIMS(4, -1)})), TN_E_SHAPE,
            "data (4,?)", "cannot infer");
    REFUSED(tn_simple_bind(bench.g, net, .shapes = TN_SHAPES({"data", TN_DIMS(4, -2)})),
            TN_E_INVALID, "axis 1", "got -2");
    REFUSED(tn_simple_bind(bench.g, net, .shapes = TN_SHAPES({"data", {2, NULL}})), TN_E_INVALID,
            "data", "wanted a shape");
}

// ------------------------------------------------------------------ other refusals

static void nobody_who_supports_a_node_is_an_error(void)
{
    const tn_symbol net = net_mlp();
    REFUSED(tn_simple_bind(bench.g, net, .backends = "nowhere"), TN_E_SHAPE, "cannot infer",
            "data");
    REFUSED(tn_simple_bind(bench.g, net, .backends = "nowhere",
                           .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)})),
            TN_E_NOT_FOUND, "nowhere", "reference");
    tn_symbol x = tn_variable(bench.g, "i");
    REFUSED(tn_simple_bind(bench.g, UNARY("exp", "e1", x), .backends = "reference",
                           .shapes = TN_SHAPES({"i", TN_DIMS(3)}),
                           .dtypes = TN_DTYPES({"i", TN_I32})),
            TN_E_UNSUPPORTED, "e1", "reference");
}

static void wrong_options_are_errors(void)
{
    const tn_symbol net = net_mlp();
    tn_env *env =
        tn_env_new(&(tn_env_options){.size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH});
    tn_tensor *t = tn_tensor_new(env, TN_F32, TN_DIMS(4, 6));
    REFUSED(BIND(net, .threads = -1), TN_E_INVALID, ".threads", "-1");
    REFUSED(BIND(net, .flags = 0x80), TN_E_INVALID, ".flags", "0x80");
    REFUSED(BIND(net, .grad_req = (tn_grad_req)7), TN_E_INVALID, ".grad_req", "7");
    REFUSED(BIND(net, .grad_reqs = TN_REQS({"data", (tn_grad_req)9})), TN_E_INVALID, "data", "9");
    REFUSED(BIND(net, .args = TN_TENSORS({"data", t})), TN_E_INVALID, "data", "another env");
    REFUSED(BIND(net, .args = TN_TENSORS({"data", NULL})), TN_E_INVALID, "data", "NULL");
    REFUSED(BIND(TN_NONE, .seed = 1), TN_E_INVALID, "the symbol", "bind");
    tn_tensor_release(t);
    tn_env_free(env);
}

static void a_graph_in_error_is_not_bound(void)
{
    const tn_symbol net = net_mlp();
    tn_variable(bench.g, "");
    const tn_status status = tn_graph_status(bench.g);
    CU_ASSERT_NOT_EQUAL(status, TN_OK);
    CU_ASSERT_PTR_NULL(BIND(net, .seed = 1));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), status);
}

static void the_operator_without_gradient_is_named(void)
{
    const tn_symbol w = tn_variable(bench.g, "data"), g = tn_variable(bench.g, "grad");
    const tn_symbol y = tn_call(bench.g, "sgd_update", .inputs = TN_SYMS(w, g), .name = "step",
                                .params = TN_ATTRS({"lr", "1"}));
    REFUSED(BIND(y, .grad_req = TN_WRITE), TN_E_NO_GRADIENT, "step", "sgd_update");
    tn_exec *e = BIND(y, .grad_req = TN_NULL);
    TN_CHECK_EXEC(e);
    tn_exec_free(e);
}

// What prepare() answers is not believed.
static void kernels_that_break_the_contract_are_errors(void)
{
    static const char *const lies[][2] = {{"1", "no room on the bench"},
                                          {"2", "more in-place pairs than there is room"},
                                          {"3", "names an input or output that the call does not"},
                                          {"4", "an alignment is no power of two"}};
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/picky.so"), TN_OK);
    const tn_symbol y = UNARY("square", "sq", tn_variable(bench.g, "data"));
    for (int i = 0; i < 4; i++) {
        setenv("PICKY_LIE", lies[i][0], 1);
        tn_exec *e = tn_simple_bind(bench.g, y, .backends = "picky",
                                    .shapes = TN_SHAPES({"data", TN_DIMS(2)}));
        unsetenv("PICKY_LIE");
        REFUSED(e, i ? TN_E_INTERNAL : TN_E_NOMEM, lies[i][1],
                "sq (square): on picky: cannot prepare its kernel");
    }
    tn_exec *e =
        tn_simple_bind(bench.g, y, .backends = "picky", .shapes = TN_SHAPES({"data", TN_DIMS(2)}));
    if (!TN_CHECK_EXEC(e)) return;
    setenv("PICKY_LIE", "5", 1);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_E_DEVICE_LOST);
    unsetenv("PICKY_LIE");
    TN_CHECK_HAS(tn_exec_error(e), "test_bind.c:");
    TN_CHECK_HAS(tn_exec_error(e), "sq (square) on picky: device lost");
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    tn_exec_free(e);
}

static void a_failed_bind_leaves_no_node(void)
{
    const tn_symbol net = net_mlp();
    const size_t before = tn_graph_num_nodes(bench.g);
    REFUSED(tn_simple_bind(bench.g, net, .backends = "nowhere", .grad_req = TN_WRITE,
                           .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)})),
            TN_E_NOT_FOUND, "nowhere", "bind");
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), before);
    tn_exec *e = BIND(net, .grad_req = TN_WRITE);
    TN_CHECK_EXEC(e);
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), before);
    tn_exec_free(e);
}

TN_TEST_MAIN({"missing tensors are made as zeros", missing_tensors_are_made_as_zeros},
             {"a graph may be freed after the bind", a_graph_may_be_freed_after_the_bind},
             {"requests choose the gradients", requests_choose_the_gradients},
             {"a given gradient is written", a_given_gradient_is_written},
             {"arguments are float32 unless something says otherwise",
              arguments_are_float32_unless_something_says_otherwise},
             {"the strict form wants everything and copies nothing",
              the_strict_form_wants_everything_and_copies_nothing},
             {"a given output is written", a_given_output_is_written},
             {"wrong names are errors with the nearest", wrong_names_are_errors_with_the_nearest},
             {"a name given twice is an error", a_name_given_twice_is_an_error},
             {"two variables of one name are an error", two_variables_of_one_name_are_an_error},
             {"shapes that contradict are errors", shapes_that_contradict_are_errors},
             {"what stays unknown is listed", what_stays_unknown_is_listed},
             {"nobody who supports a node is an error", nobody_who_supports_a_node_is_an_error},
             {"wrong options are errors", wrong_options_are_errors},
             {"a graph in error is not bound", a_graph_in_error_is_not_bound},
             {"the operator without gradient is named", the_operator_without_gradient_is_named},
             {"kernels that break the contract are errors",
              kernels_that_break_the_contract_are_errors},
             {"a failed bind leaves no node", a_failed_bind_leaves_no_node})
