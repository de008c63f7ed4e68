// tests/exec/test_profile.c: what a measured run says of its rows, and that it computes the same.
#include "tests/exec/nets.h"

static tn_exec *bind_net(void)
{
    tn_exec *e = tn_simple_bind(bench.g, net_mlp(), .backends = bench.backends,
                                .shapes = TN_SHAPES({"data", TN_DIMS(4, 6)}), .grad_req = TN_WRITE);
    if (TN_CHECK_EXEC(e)) net_fill(e);
    return e;
}

static void run(tn_exec *e)
{
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_NO_HEADS), TN_OK);
}

static size_t count_rows(const tn_exec *e)
{
    size_t n = 0;
    while (tn_exec_profile_row(e, n)) n++;
    return n;
}

static void every_row_is_measured_once_a_run(void)
{
    tn_exec *e = bind_net();
    if (!e) return;
    CU_ASSERT_EQUAL(count_rows(e), 0);
    CU_ASSERT_EQUAL(tn_exec_profile(e, true), TN_OK);
    for (int i = 0; i < 3; i++) run(e);
    CU_ASSERT_EQUAL(count_rows(e), e->n_rows);
    double before = 0;
    bool backward = false;
    for (size_t i = 0; i < e->n_rows; i++) {
        const tn_profile_row *r = tn_exec_profile_row(e, i);
        CU_ASSERT_EQUAL(r->runs, 3);
        CU_ASSERT(r->least >= 0 && r->least <= r->last && r->total >= 3 * r->least);
        CU_ASSERT(r->began >= before); // in the order of execution
        CU_ASSERT(!backward || r->backward);
        CU_ASSERT(*r->name && *r->op && *r->device && !r->once);
        before = r->began + r->last;
        backward = r->backward;
    }
    CU_ASSERT(backward);
    TN_CHECK_STR(tn_exec_profile_row(e, 0)->name, "fc1");
    TN_CHECK_STR(tn_exec_profile_row(e, 0)->op, "FullyConnected");
    tn_exec_free(e);
}

static void profiles_begin_anew_and_end(void)
{
    tn_exec *e = bind_net();
    if (!e) return;
    CU_ASSERT_EQUAL(tn_exec_profile(e, true), TN_OK);
    run(e);
    CU_ASSERT_EQUAL(tn_exec_profile(e, false), TN_OK);
    run(e);
    CU_ASSERT_EQUAL(tn_exec_profile_row(e, 0)->runs, 1);
    CU_ASSERT_EQUAL(tn_exec_profile(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_exec_profile_row(e, 0)->runs, 0);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_exec_profile_row(e, 0)->runs, 1);
    CU_ASSERT_EQUAL(tn_exec_profile_row(e, e->n_rows - 1)->runs, 0); // of backward
    CU_ASSERT_PTR_NULL(tn_exec_profile_row(e, e->n_rows));
    tn_exec_free(e);
}

static void measured_runs_compute_the_same(void)
{
    tn_exec *e = bind_net();
    if (!e) return;
    run(e);
    tn_tensor *grad = tn_exec_grad(e, "fc1_weight");
    tn_tensor *plain = tn_tensor_cast(grad, TN_F32);
    CU_ASSERT_EQUAL(tn_tensor_fill(grad, 0), TN_OK);
    CU_ASSERT_EQUAL(tn_exec_profile(e, true), TN_OK);
    run(e);
    CU_ASSERT(memcmp(tn_tensor_data(plain), tn_tensor_data(grad), tn_tensor_bytes(grad)) == 0);
    tn_tensor_release(plain);
    tn_exec_free(e);
}

static void constants_are_measured_when_they_are_computed(void)
{
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(3));
    tn_symbol w = tn_variable(bench.g, "w", .shape = TN_DIMS(3));
    tn_symbol y = BINARY("elemwise_mul", "y", x, UNARY("sort", "sorted", w));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = bench.backends, .inputs = "x");
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_exec_profile(e, true), TN_OK);
    for (int i = 0; i < 3; i++) CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    size_t once = 0, each = 0;
    for (size_t i = 0; i < count_rows(e); i++) {
        const tn_profile_row *r = tn_exec_profile_row(e, i);
        CU_ASSERT_EQUAL(r->runs, r->once ? 1 : 3);
        once += r->once;
        each += !r->once;
    }
    CU_ASSERT(once > 0 && each > 0);
    tn_exec_free(e);
}

static void a_fused_row_names_its_parts(void)
{
    tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(3));
    tn_symbol y = UNARY("sigmoid", "s", UNARY("tanh", "t", x));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "blas,reference");
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_exec_profile(e, true), TN_OK);
    TN_CHECK_STR(tn_exec_profile_row(e, 0)->op, "_fused");
    TN_CHECK_STR(tn_exec_profile_row(e, 0)->fused, "tanh + sigmoid");
    tn_exec_free(e);
}

TN_TEST_MAIN({"every row is measured, once a run", every_row_is_measured_once_a_run},
             {"profiles begin anew and end", profiles_begin_anew_and_end},
             {"measured runs compute the same", measured_runs_compute_the_same},
             {"constants are measured when they are computed",
              constants_are_measured_when_they_are_computed},
             {"a fused row names its parts", a_fused_row_names_its_parts})
