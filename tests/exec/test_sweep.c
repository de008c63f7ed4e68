// tests/exec/test_sweep.c: what is not computed, since only its shape is wanted.
#include "tests/exec/nets.h"

#define RUN_OK(call) tn_check_ok(__LINE__, __FILE__, (call), e ? tn_exec_error(e) : "no executor")

static tn_symbol var(const char *name)
{
    return tn_variable(bench.g, name, .shape = TN_DIMS(2, 3));
}

// How many nodes of that operator run.
static size_t runs(const tn_exec *e, const char *op)
{
    size_t n = 0;
    for (size_t r = 0; r < e->n_rows; r++) {
        const tni_node *node = e->row_node[r] ? &e->placed.g->nodes[e->row_node[r]] : NULL;
        n += node && node->op && strcmp(node->op->decl.name, op) == 0;
    }
    return n;
}

// y (6) in the shape of exp(sin(x)), a matrix: neither is computed.
static tn_symbol like_a_matrix(void)
{
    const tn_symbol deep = UNARY("exp", "deep", UNARY("sin", "wave", var("x")));
    return BINARY("reshape_like", "y2", tn_variable(bench.g, "y", .shape = TN_DIMS(6)), deep);
}

static void what_only_a_shape_is_read_of_is_not_computed(void)
{
    tn_exec *e = tn_simple_bind(bench.g, like_a_matrix(), .backends = "reference");
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(runs(e, "exp") + runs(e, "sin"), 0);
    CU_ASSERT(strstr(tn_exec_report_text(e), "sin") == NULL);
    CU_ASSERT_EQUAL(tn_exec_memory(e).planned, 0);
    net_fill(e);
    RUN_OK(tn_forward(e, false));
    CU_ASSERT(memcmp(tn_tensor_data(tn_exec_output(e, 0)), tn_tensor_data(tn_exec_arg(e, "y")),
                     6 * sizeof(float)) == 0);
    tn_exec_free(e);
}

// The matrix is wanted itself, too; or every node is to run as it is.
static void what_is_read_elsewhere_is_computed(void)
{
    const tn_symbol y = like_a_matrix(),
                    wave = tn_output_named(bench.g, tn_internals(bench.g, y), "wave_output");
    tn_exec *e =
        tn_simple_bind(bench.g, tn_group(bench.g, TN_SYMS(y, wave)), .backends = "reference");
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(runs(e, "exp"), 0);
    CU_ASSERT_EQUAL(runs(e, "sin"), 1);
    tn_exec_free(e);
    e = tn_simple_bind(bench.g, y, .backends = "reference", .flags = TN_BIND_NO_REUSE);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(runs(e, "exp") + runs(e, "sin"), 2);
    tn_exec_free(e);
}

// Nothing is copied to another memory for its shape.
static void shapes_travel_alone(void)
{
    CU_ASSERT(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so") == TN_OK);
    const tn_symbol deep = UNARY("exp", "deep", var("x"));
    const tn_symbol z = BINARY("_mul", "z", var("a"), var("b"));
    tn_exec *e = tn_simple_bind(bench.g, BINARY("_mul", "w", z, UNARY("zeros_like", "o", deep)),
                                .backends = "far,reference", .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(runs(e, "exp"), 0);
    net_fill(e);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, tn_exec_arg(e, "x")})));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 0, 0, 0, 0, 0, 0);
    tn_exec_free(e);
}

// Random draws are counted, so what follows draws the same whether a shape or a value is read.
static void random_draws_stay(void)
{
    const tn_symbol u =
        tn_call(bench.g, "_random_uniform", .params = TN_ATTRS({"shape", "(2,3)"}), .name = "v");
    const tn_symbol w =
        tn_call(bench.g, "_random_normal", .params = TN_ATTRS({"shape", "(2,3)"}), .name = "w");
    const tn_symbol y = BINARY("reshape_like", "y2", var("y"), u);
    tn_exec *e = tn_simple_bind(bench.g, tn_group(bench.g, TN_SYMS(y, w)), .backends = "reference");
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(e->n_random_rows, 2);
    tn_exec_free(e);
}

// A state changes with each forward, whoever reads the result.
static void states_still_change(void)
{
    const tn_symbol n =
        tn_call(bench.g, "sgd_mom_update", .inputs = TN_SYMS(var("w"), var("x")),
                .params = TN_ATTRS({"lr", "1"}, {"momentum", "0.5"}), .name = "step");
    tn_exec *e =
        tn_simple_bind(bench.g, BINARY("reshape_like", "y2", var("y"), n), .backends = "reference");
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor_fill(tn_exec_arg(e, "x"), 3);
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(tn_exec_aux(e, "step_mom"), 0, -3, -3, -3, -3, -3, -3);
    tn_exec_free(e);
}

TN_TEST_MAIN({"what only a shape is read of is not computed",
              what_only_a_shape_is_read_of_is_not_computed},
             {"what is read elsewhere is computed", what_is_read_elsewhere_is_computed},
             {"shapes travel alone", shapes_travel_alone}, {"random draws stay", random_draws_stay},
             {"states still change", states_still_change})
