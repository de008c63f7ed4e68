// tests/exec/test_exec_api.c: what an executor gives out, takes, and shares.
#include "tests/exec/nets.h"

#define RUN_OK(call) tn_check_ok(__LINE__, __FILE__, (call), e ? tn_exec_error(e) : "no executor")

static tn_exec *bind_mlp(int64_t n, tn_grad_req req)
{
    tn_exec *e = tn_simple_bind(bench.g, net_mlp(), .backends = bench.backends, .grad_req = req,
                                .shapes = TN_SHAPES({"data", TN_DIMS(n, 6)}));
    if (e) net_fill(e);
    return e;
}

// ------------------------------------------------------------------ names

static void wrong_names_are_errors_that_stay(void)
{
    tn_exec *e = bind_mlp(2, TN_NULL);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_PTR_NULL(tn_exec_arg(e, "fc1_weigh"));
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_NOT_FOUND);
    TN_CHECK_HAS(tn_exec_error(e), "tn_exec_arg: no argument has the name \"fc1_weigh\"");
    TN_CHECK_HAS(tn_exec_error(e), "did you mean fc1_weight");
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_E_NOT_FOUND);
    tn_exec_forgive(e);
    TN_CHECK_STR(tn_exec_error(e), "");
    RUN_OK(tn_forward(e, false));
    CU_ASSERT_PTR_NULL(tn_exec_grad(e, "data")); // no gradient, no error
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_OK);
    CU_ASSERT_PTR_NULL(tn_exec_grad(e, "dat"));
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_NOT_FOUND);
    tn_exec_forgive(e);
    CU_ASSERT_PTR_NULL(tn_exec_aux(e, "data"));
    tn_exec_forgive(e);
    CU_ASSERT_PTR_NULL(tn_exec_out(e, "out"));
    TN_CHECK_HAS(tn_exec_error(e), "out_output");
    tn_exec_forgive(e);
    CU_ASSERT_PTR_EQUAL(tn_exec_out(e, "out_output"), tn_exec_output(e, 0));
    CU_ASSERT_PTR_NULL(tn_exec_arg(e, NULL));
    tn_exec_free(e);
    tn_exec_free(NULL);
}

static void an_ambiguous_output_is_an_error(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_graph *other = tn_graph_new(bench.env);
    tn_symbol a = UNARY("relu", "same", x);
    tn_symbol b =
        tn_call(other, "relu", .inputs = TN_SYMS(tn_variable(other, "y")), .name = "same");
    tn_symbol both = tn_group(bench.g, TN_SYMS(a, tn_symbol_copy(bench.g, other, b)));
    tn_exec *e = tn_simple_bind(bench.g, both, .backends = bench.backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"x", TN_DIMS(2)}, {"y", TN_DIMS(3)}));
    tn_graph_free(other);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_PTR_NULL(tn_exec_out(e, "same_output"));
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_EXISTS);
    CU_ASSERT_EQUAL(tn_tensor_size(tn_exec_output(e, 1)), 3);
    tn_exec_forgive(e);
    tn_tensor *t = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 1);
    RUN_OK(tn_forward(e, true));
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({"same_output", t})), TN_E_EXISTS);
    TN_CHECK_HAS(tn_exec_error(e), "outputs 0 and 1 are two values of the name \"same_output\"");
    tn_exec_free(e);
    CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, both, .outs = TN_TENSORS({"same_output", t}),
                                      .shapes = TN_SHAPES({"x", TN_DIMS(2)}, {"y", TN_DIMS(3)})));
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_EXISTS);
    tn_tensor_release(t);
}

// ------------------------------------------------------------------ setting

static void values_are_set_by_name_and_converted(void)
{
    tn_exec *e = bind_mlp(2, TN_NULL);
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *bias = TN_TENSOR(TN_F64, TN_DIMS(3), 1, 2, 3),
              *wide = TN_TENSOR(TN_F32, TN_DIMS(1), 7);
    RUN_OK(tn_exec_set(e, "fc2_bias", bias));
    TN_CHECK_VALUES(tn_exec_arg(e, "fc2_bias"), 0, 1, 2, 3);
    CU_ASSERT_EQUAL(tn_exec_set(e, "fc2_bias", wide), TN_E_SHAPE);
    TN_CHECK_HAS(tn_exec_error(e), "fc2_bias: shape (1), wanted (3)");
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_exec_set(e, "fc2_bia", bias), TN_E_NOT_FOUND);
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_exec_set(e, "fc2_bias", NULL), TN_E_INVALID);
    tn_tensor_release(bias);
    tn_tensor_release(wide);
    tn_exec_free(e);
}

static void a_list_is_set_whole_or_not_at_all(void)
{
    tn_exec *e = bind_mlp(2, TN_NULL);
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *bias = TN_TENSOR(TN_F32, TN_DIMS(3), 1, 2, 3),
              *wide = TN_TENSOR(TN_F32, TN_DIMS(1), 7);
    tn_tensor_fill(tn_exec_arg(e, "fc2_bias"), 9);
    CU_ASSERT_EQUAL(tn_exec_set_all(e, TN_TENSORS({"fc2_bias", bias}, {"fc1_bias", wide}), false),
                    TN_E_SHAPE);
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_exec_set_all(e, TN_TENSORS({"fc2_bias", bias}, {"other", wide}), false),
                    TN_E_NOT_FOUND);
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_exec_set_all(e, TN_TENSORS({"aux:fc2_bias", bias}), false), TN_E_NOT_FOUND);
    tn_exec_forgive(e);
    TN_CHECK_VALUES(tn_exec_arg(e, "fc2_bias"), 0, 9, 9, 9);
    RUN_OK(tn_exec_set_all(e, TN_TENSORS({"arg:fc2_bias", bias}, {"other", wide}), true));
    TN_CHECK_VALUES(tn_exec_arg(e, "fc2_bias"), 0, 1, 2, 3);
    tn_tensor_release(bias);
    tn_tensor_release(wide);
    tn_exec_free(e);
}

static void auxiliary_states_are_written_in_place(void)
{
    tn_symbol w = tn_variable(bench.g, "w"), g = tn_variable(bench.g, "g");
    tn_tensor *weight = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2);
    tn_symbol y = tn_call(bench.g, "sgd_mom_update", .inputs = TN_SYMS(w, g), .name = "step",
                          .params = TN_ATTRS({"lr", "0.5"}, {"momentum", "0.5"}));
    tn_exec *e =
        tn_simple_bind(bench.g, y, .backends = bench.backends, .args = TN_TENSORS({"w", weight}),
                       .outs = TN_TENSORS({"step_output", weight}));
    if (!TN_CHECK_EXEC(e)) return;
    const tn_names states = tn_exec_auxiliary_states(e);
    CU_ASSERT_EQUAL_FATAL(states.n, 1);
    tn_tensor_fill(tn_exec_arg(e, "g"), 2);
    RUN_OK(tn_forward(e, true)); // mom = -lr g = -1
    TN_CHECK_VALUES(weight, 1e-6, 0, 1);
    TN_CHECK_VALUES(tn_exec_aux(e, states.v[0]), 1e-6, -1, -1);
    RUN_OK(tn_forward(e, true)); // mom = 0.5 (-1) - 1 = -1.5
    TN_CHECK_VALUES(weight, 1e-6, -1.5, -0.5);
    tn_tensor_release(weight);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ reshape and sharing

static void another_batch_size_shares_the_parameters(void)
{
    tn_exec *e = bind_mlp(8, TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    tn_exec *small = tn_exec_reshape(e, TN_SHAPES({"data", TN_DIMS(3, 6)}));
    if (!TN_CHECK_EXEC(small)) return;
    CU_ASSERT_PTR_EQUAL(tn_exec_arg(e, "fc1_weight"), tn_exec_arg(small, "fc1_weight"));
    CU_ASSERT_PTR_EQUAL(tn_exec_grad(e, "fc1_weight"), tn_exec_grad(small, "fc1_weight"));
    CU_ASSERT_PTR_NOT_EQUAL(tn_exec_arg(e, "data"), tn_exec_arg(small, "data"));
    CU_ASSERT_EQUAL(tn_tensor_size(tn_exec_arg(small, "out_label")), 3);
    CU_ASSERT_PTR_EQUAL(e->spaces[0].storage, small->spaces[0].storage);
    tn_tensor *rows = tn_tensor_slice(tn_exec_arg(e, "data"), 0, 3);
    RUN_OK(tn_exec_set(small, "data", rows));
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_forward(small, true));
    tn_tensor *some = tn_tensor_slice(tn_exec_output(e, 0), 0, 3);
    CU_ASSERT_TRUE(net_equal(some, tn_exec_output(small, 0)));
    RUN_OK(tn_backward(small, TN_NO_HEADS));
    tn_tensor_release(rows);
    tn_tensor_release(some);
    tn_exec *large = tn_exec_reshape(small, TN_SHAPES({"data", TN_DIMS(64, 6)}));
    if (TN_CHECK_EXEC(large)) {
        CU_ASSERT_PTR_NOT_EQUAL(large->spaces[0].storage, small->spaces[0].storage);
        CU_ASSERT_EQUAL(tn_forward(large, true), TN_OK);
    }
    tn_exec_free(large);
    tn_exec_free(small);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    tn_exec_free(e);
}

// The rule of the loss would make labels (n) of data (n, 1): what was given is kept.
static void labels_keep_the_form_that_they_were_given(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), label = tn_variable(bench.g, "label");
    tn_symbol w = tn_variable(bench.g, "w");
    tn_symbol sum = BINARY("broadcast_add", "sum", x, w);
    tn_exec *e = tn_simple_bind(
        bench.g, BINARY("LinearRegressionOutput", "out", sum, label), .grad_req = TN_WRITE,
        .backends = "reference",
        .shapes = TN_SHAPES({"x", TN_DIMS(4, 1)}, {"w", TN_DIMS(1, 1)}, {"label", TN_DIMS(4, 1)}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_exec *same = tn_exec_reshape(e, (tn_shapes){0, NULL});
    if (TN_CHECK_EXEC(e)) CU_ASSERT_PTR_EQUAL(tn_exec_arg(same, "label"), tn_exec_arg(e, "label"));
    tn_exec *wide = tn_exec_reshape(e, TN_SHAPES({"w", TN_DIMS(4, 1)}));
    if (TN_CHECK_EXEC(e)) CU_ASSERT_PTR_EQUAL(tn_exec_arg(wide, "label"), tn_exec_arg(e, "label"));
    tn_exec_free(wide);
    tn_exec_free(same);
    tn_exec_free(e);
}

static void wrong_new_shapes_are_errors_of_the_executor(void)
{
    tn_exec *e = bind_mlp(4, TN_NULL);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_PTR_NULL(tn_exec_reshape(e, TN_SHAPES({"dta", TN_DIMS(3, 6)})));
    TN_CHECK_HAS(tn_exec_error(e), "did you mean data");
    tn_exec_forgive(e);
    CU_ASSERT_PTR_NULL(
        tn_exec_reshape(e, TN_SHAPES({"data", TN_DIMS(3, 6)}, {"fc1_weight", TN_DIMS(5, 7)})));
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_SHAPE);
    tn_exec_forgive(e);
    CU_ASSERT_PTR_NULL(tn_exec_reshape(e, TN_SHAPES({"data", {2, NULL}})));
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_INVALID);
    tn_exec_forgive(e);
    RUN_OK(tn_forward(e, false));
    tn_exec_free(e);
}

static void inputs_that_nothing_determines_keep_their_shape(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), w = tn_variable(bench.g, "w");
    tn_exec *e = tn_simple_bind(bench.g, BINARY("dot", "product", x, w), .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(2, 3)}, {"w", TN_DIMS(3, 4)}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_exec *f = tn_exec_reshape(e, TN_SHAPES({"x", TN_DIMS(5, 3)}));
    if (TN_CHECK_EXEC(f)) {
        CU_ASSERT_PTR_EQUAL(tn_exec_arg(e, "w"), tn_exec_arg(f, "w"));
        CU_ASSERT_EQUAL(tn_tensor_size(tn_exec_output(f, 0)), 20);
    }
    tn_exec_free(f);
    tn_exec_free(e);
}

static void executors_share_planned_memory(void)
{
    const tn_symbol net = net_mlp();
    tn_exec *big = tn_simple_bind(bench.g, net, .backends = bench.backends, .grad_req = TN_WRITE,
                                  .shapes = TN_SHAPES({"data", TN_DIMS(64, 6)}));
    if (!TN_CHECK_EXEC(big)) return;
    tn_exec *e = tn_simple_bind(bench.g, net, .backends = bench.backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"data", TN_DIMS(8, 6)}), .share = big);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_PTR_EQUAL(e->spaces[0].storage, big->spaces[0].storage);
    CU_ASSERT_PTR_NOT_EQUAL(tn_exec_arg(e, "fc1_bias"), tn_exec_arg(big, "fc1_bias"));
    tn_exec_free(big); // the memory stays as long as somebody uses it
    net_fill(e);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    tn_exec_free(e);
}

static void a_tensor_may_outlive_the_executor(void)
{
    tn_exec *e = bind_mlp(2, TN_NULL);
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_forward(e, false));
    tn_tensor *out = tn_tensor_retain(tn_exec_output(e, 0));
    const double first = tn_tensor_at(out, 0);
    tn_exec_free(e);
    TN_CHECK_NEAR(tn_tensor_at(out, 0), first, 0);
    CU_ASSERT_TRUE(first > 0);
    tn_tensor_release(out);
}

// ------------------------------------------------------------------ looking

typedef struct seen {
    tni_text names;
    double last;
} seen;

static void look(void *ctx, const char *name, tn_tensor *value)
{
    seen *s = ctx;
    tni_text_printf(&s->names, "%s%s", s->names.n ? " " : "", name);
    s->last = tn_tensor_at(value, 0);
}

static void the_monitor_sees_every_result(void)
{
    seen s = {{0}, 0};
    tn_symbol x = tn_variable(bench.g, "x");
    tn_symbol y = UNARY("Flatten", "flat", CALL("Activation", "act", x, {"act_type", "relu"}));
    y = CALL("FullyConnected", "fc", y, {"num_hidden", "1"}, {"no_bias", "True"});
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(1, 2, 2)}),
                                .grad_reqs = TN_REQS({"fc_weight", TN_WRITE}));
    if (!TN_CHECK_EXEC(e)) return;
    net_fill(e);
    tn_exec_monitor(e, look, &s);
    RUN_OK(tn_forward(e, true));
    TN_CHECK_STR(s.names.s, "act_output flat_output fc_output");
    TN_CHECK_NEAR(s.last, tn_tensor_at(tn_exec_output(e, 0), 0), 0);
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(1, 1), 1);
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
    TN_CHECK_HAS(s.names.s, "fc_output fc_backward");
    const size_t before = s.names.n;
    tn_exec_monitor(e, NULL, NULL);
    RUN_OK(tn_forward(e, true));
    CU_ASSERT_EQUAL(s.names.n, before);
    tni_text_free(&s.names);
    tn_tensor_release(head);
    tn_exec_free(e);
}

static void run_again(void *ctx, const char *name, tn_tensor *value)
{
    (void)name, (void)value;
    CU_ASSERT_EQUAL(tn_forward(ctx, false), TN_E_INVALID);
}

static void the_monitor_cannot_run_its_executor(void)
{
    tn_exec *e = bind_mlp(2, TN_NULL);
    if (!TN_CHECK_EXEC(e)) return;
    tn_exec_monitor(e, run_again, e);
    tn_forward(e, false);
    CU_ASSERT_EQUAL(tn_exec_status(e), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "own monitor");
    tn_exec_monitor(e, NULL, NULL);
    tn_exec_forgive(e);
    RUN_OK(tn_forward(e, false));
    tn_exec_free(e);
}

static void reports_say_what_ran_where(void)
{
    const tn_symbol net = net_mlp();
    tn_exec *e = tn_simple_bind(bench.g, net, .backends = bench.backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"data", TN_DIMS(2, 6)}));
    if (!TN_CHECK_EXEC(e)) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "fc1");
    TN_CHECK_HAS(tn_exec_report_json(e), "\"reference\"");
    TN_CHECK_HAS(tn_exec_plan_text(e), "FullyConnected");
    const tn_memory_report m = tn_exec_memory(e);
    CU_ASSERT_EQUAL(m.n_copies + m.n_reorders, 0);
    CU_ASSERT_TRUE(m.planned >= m.lower_bound && m.n_forward < m.n_nodes);
    // A placement can be required again, and one that is not met is an error.
    tn_exec *same = tn_simple_bind(bench.g, net, .backends = bench.backends, .grad_req = TN_WRITE,
                                   .shapes = TN_SHAPES({"data", TN_DIMS(2, 6)}),
                                   .placement = tn_exec_report_json(e));
    TN_CHECK_EXEC(same);
    tn_exec_free(same);
    CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, tn_variable(bench.g, "y"),
                                      .shapes = TN_SHAPES({"y", TN_DIMS(2)}),
                                      .placement = tn_exec_report_json(e)));
    TN_CHECK_HAS(tn_graph_error(bench.g), "placement");
    tn_exec_free(e);
}

TN_TEST_MAIN({"wrong names are errors that stay", wrong_names_are_errors_that_stay},
             {"an ambiguous output is an error", an_ambiguous_output_is_an_error},
             {"values are set by name and converted", values_are_set_by_name_and_converted},
             {"a list is set whole or not at all", a_list_is_set_whole_or_not_at_all},
             {"auxiliary states are written in place", auxiliary_states_are_written_in_place},
             {"another batch size shares the parameters", another_batch_size_shares_the_parameters},
             {"labels keep the form that they were given",
              labels_keep_the_form_that_they_were_given},
             {"wrong new shapes are errors of the executor",
              wrong_new_shapes_are_errors_of_the_executor},
             {"inputs that nothing determines keep their shape",
              inputs_that_nothing_determines_keep_their_shape},
             {"executors share planned memory", executors_share_planned_memory},
             {"a tensor may outlive the executor", a_tensor_may_outlive_the_executor},
             {"the monitor sees every result", the_monitor_sees_every_result},
             {"the monitor cannot run its executor", the_monitor_cannot_run_its_executor},
             {"reports say what ran where", reports_say_what_ran_where})
