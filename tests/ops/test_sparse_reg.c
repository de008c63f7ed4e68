// tests/ops/test_sparse_reg.c: IdentityAttachKLSparseReg.
#include "tests/tn_numeric.h"

static tn_exec *run(const char *params, tn_tensor *x)
{
    tn_fresh();
    return tn_try(tn_op("IdentityAttachKLSparseReg", params, tn_var("x"), tn_var("avg")),
                  .wrt = "x", .train = true, .given = TN_TENSORS({"x", x}));
}

// Means of the columns are 1/2 and 1/4. With momentum 0.5 the average of zeros becomes 1/4 and 1/8,
// then 3/8 and 3/16.
static void the_penalty_follows_the_moving_average(void)
{
    tn_exec *e = run("sparseness_target=0.1; penalty=2; momentum=0.5",
                     TN_TENSOR(TN_F64, TN_DIMS(2, 2), 0.2, 0.5, 0.8, 0));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0.2, 0.5, 0.8, 0);
    TN_CHECK_VALUES(tn_exec_aux(e, "avg"), 0, 0, 0); // forward leaves it alone
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_exec_aux(e, "avg"), 1e-15, 0.25, 0.125);
    const double a = 2 * (-0.1 / 0.25 + 0.9 / 0.75), b = 2 * (-0.1 / 0.125 + 0.9 / 0.875);
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, 1 + a, 2 + b, 3 + a, 4 + b);
    if (e) tn_forward(e, true);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 2), 0, 0, 0, 0)});
    TN_CHECK_VALUES(tn_exec_aux(e, "avg"), 1e-15, 0.375, 0.1875);
    const double c = 2 * (-0.1 / 0.375 + 0.9 / 0.625), d = 2 * (-0.1 / 0.1875 + 0.9 / 0.8125);
    TN_CHECK_VALUES(tn_grad(e, "x"), 1e-15, c, d, c, d);
    tn_exec_free(e);
}

// A table of parameters and shapes against the formula; data is constant, so its mean is known.
static void gradients_are_those_of_the_formula(void)
{
    const struct {
        const char *params;
        double target, penalty, momentum, x;
        tn_dims dims;
    } cases[] = {
        {"momentum=0", 0.1, 0.001, 0, 0.3, TN_DIMS(4, 3)},
        {"momentum=0; penalty=5", 0.1, 5, 0, 0.1, TN_DIMS(1, 1)}, // at the target
        {"momentum=0; sparseness_target=0.5; penalty=1", 0.5, 1, 0, 0.9, TN_DIMS(2, 5)},
        {"penalty=-2", 0.1, -2, 0.9, 0.6, TN_DIMS(2, 3, 2)},
        {"sparseness_target=1; penalty=1", 1, 1, 0.9, 0.5, TN_DIMS(3, 2)},
        {"sparseness_target=0; penalty=1", 0, 1, 0.9, 0.5, TN_DIMS(2, 2, 1, 3)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double wanted[16];
        tn_fresh();
        tn_exec *e =
            run(cases[i].params, tn_sample(TN_F64, cases[i].dims, cases[i].x, cases[i].x, 1));
        if (!e) return;
        const double avg = (1 - cases[i].momentum) * cases[i].x, rho = cases[i].target;
        const double added = cases[i].penalty * (-rho / avg + (1 - rho) / (1 - avg));
        tn_tensor *dy = tn_sample(TN_F64, cases[i].dims, -1, 1, 3);
        const int64_t n = tn_tensor_size(dy);
        for (int64_t j = 0; j < n; j++) wanted[j] = tn_tensor_at(dy, j) + added;
        tn_back(e, {NULL, dy});
        tn_check_values(__LINE__, __FILE__, tn_grad(e, "x"), wanted, (size_t)n, 1e-13);
        tn_exec_free(e);
    }
}

static void half_precision_keeps_its_average_in_float32(void)
{
    tn_exec *e = run("momentum=0", TN_TENSOR(TN_F16, TN_DIMS(2, 1), 0.25, 0.5));
    CU_ASSERT(e && tn_tensor_dtype(tn_exec_aux(e, "avg")) == TN_F32);
    tn_back(e, {NULL, TN_TENSOR(TN_F16, TN_DIMS(2, 1), 0, 0)});
    TN_CHECK_VALUES(tn_exec_aux(e, "avg"), 0, 0.375);
    tn_exec_free(e);
}

static void names_empty_values_and_errors(void)
{
    const tn_symbol s = tn_op0("IdentityAttachKLSparseReg", NULL);
    TN_CHECK_NAMES(tn_arguments(bench.g, s), "identityattachklsparsereg0_data");
    TN_CHECK_NAMES(tn_auxiliary_states(bench.g, s), "identityattachklsparsereg0_moving_avg");
    TN_CHECK_NAMES(tn_outputs(bench.g, s), "identityattachklsparsereg0_output");
    tn_exec *e = run(NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2)));
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2))});
    TN_CHECK_DIMS(tn_grad(e, "x"), 0, 2);
    TN_CHECK_VALUES(tn_exec_aux(e, "avg"), 0, 0, 0);
    tn_exec_free(e);
    tn_fresh();
    e = tn_simple_bind(bench.g, tn_op("IdentityAttachKLSparseReg", NULL, tn_var("x")),
                       .backends = tn_backends(), .shapes = TN_SHAPES({"x", TN_DIMS(3)}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "wanted (n, c, ...), got 1 axes");
}

TN_TEST_MAIN({"the penalty follows the moving average", the_penalty_follows_the_moving_average},
             {"gradients are those of the formula", gradients_are_those_of_the_formula},
             {"half precision keeps its average in float32",
              half_precision_keeps_its_average_in_float32},
             {"names, empty values and errors", names_empty_values_and_errors})
