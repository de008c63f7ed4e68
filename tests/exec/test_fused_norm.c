// tests/exec/test_fused_norm.c: a batch norm and the relu behind it, and their gradients, as one.
#include "tests/exec/nets.h"
#include "tests/tn_numeric.h"

#define FUSED(e) (strstr(tn_exec_report_text(e), "fused: ") != NULL)

static void fill(tn_exec *e)
{
    const tn_names names = tn_exec_arguments(e), states = tn_exec_auxiliary_states(e);
    for (size_t i = 0; i < names.n + states.n; i++) {
        const bool state = i >= names.n;
        tn_tensor *t = state ? tn_exec_aux(e, states.v[i - names.n]) : tn_exec_arg(e, names.v[i]);
        const tn_shape s = tn_tensor_shape(t);
        tn_tensor *v = tn_sample(tn_tensor_dtype(t), tn_shape_dims(&s), state ? 0.5 : -2, 2, 5 + i);
        CU_ASSERT(tn_tensor_copy(t, v) == TN_OK);
        tn_tensor_release(v);
    }
}

// relu(BatchNorm) of data, bound on blas, and two steps; with another reader of the norm's result
// if `read`.
static tn_exec *norm_steps(const char *params, tn_dims data, tn_dtype dtype, bool read,
                           int32_t threads, uint32_t flags)
{
    tn_fresh();
    const tn_symbol x = tn_variable(bench.g, "x", .shape = data, .dtype = dtype);
    const tn_symbol n = tn_op("BatchNorm", params, x), y = tn_op("relu", NULL, n);
    tn_exec *e = tn_simple_bind(bench.g, read ? tn_op("_mul", NULL, y, n) : y, .backends = "blas",
                                .grad_req = TN_WRITE, .threads = threads, .flags = flags);
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill(e);
    const tn_shape s = tn_tensor_shape(tn_exec_output(e, 0));
    tn_tensor *head = tn_sample(dtype, tn_shape_dims(&s), -1, 1, 3);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT(tn_forward(e, i == 0) == TN_OK);
        CU_ASSERT(tn_backward(e, TN_TENSORS({NULL, head})) == TN_OK);
    }
    tn_tensor_release(head);
    return e;
}

static double farthest(tn_tensor *a, tn_tensor *b)
{
    double most = 0;
    for (int64_t i = 0; i < tn_tensor_size(b); i++)
        most = fmax(most, fabs(tn_tensor_at(a, i) - tn_tensor_at(b, i)));
    return most;
}

// Output, gradients and states; exactly, or nearly.
static void check_alike(tn_exec *a, tn_exec *b, bool exactly)
{
    static const char *const names[] = {"x", "batchnorm0_gamma", "batchnorm0_beta"},
                             *const states[] = {"batchnorm0_moving_mean", "batchnorm0_moving_var"};
    const double most = exactly ? 0 : 2e-5;
    if (!a || !b) return;
    CU_ASSERT(farthest(tn_exec_output(a, 0), tn_exec_output(b, 0)) <= most);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(farthest(tn_exec_grad(a, names[i]), tn_exec_grad(b, names[i])) <= most);
    for (int i = 0; i < 2; i++)
        CU_ASSERT(farthest(tn_exec_aux(a, states[i]), tn_exec_aux(b, states[i])) <= most);
}

static const char both[] = "fused: BatchNorm \"batchnorm0\" + relu \"relu0\"\n",
                  back[] = " + _backward_BatchNorm \"batchnorm0_backward\"\n";

// Its moments leave, it has states, and its gradient knows what its kernel kept.
static void a_batch_norm_takes_its_relu_while_training(void)
{
    static const char *const params[] = {"fix_gamma=0", "eps=0.1; momentum=0.5",
                                         "fix_gamma=0; use_global_stats=1", "fix_gamma=0; axis=-1"};
    for (size_t i = 0; i < sizeof params / sizeof *params; i++)
        for (int k = 0; k < 2; k++) {
            const tn_dims data = i % 2 ? TN_DIMS(70, 3, 2, 67) : TN_DIMS(5, 3, 17, 40);
            const tn_dtype dtype = k ? TN_F64 : TN_F32;
            tn_exec *e = norm_steps(params[i], data, dtype, false, 1, 0);
            tn_exec *two = norm_steps(params[i], data, dtype, false, 2, 0);
            tn_exec *apart = norm_steps(params[i], data, dtype, false, 0, TN_BIND_NO_FUSE);
            if (e) TN_CHECK_HAS(tn_exec_report_text(e), both);
            if (e) TN_CHECK_HAS(tn_exec_report_text(e), back);
            if (apart) CU_ASSERT(!FUSED(apart));
            check_alike(e, apart, false);
            check_alike(e, two, true);
            tn_exec_free(e);
            tn_exec_free(two);
            tn_exec_free(apart);
        }
}

// What others read has to be there.
static void a_batch_norm_that_others_read_stays_apart(void)
{
    const tn_dims data = TN_DIMS(5, 3, 4);
    tn_exec *e = norm_steps(NULL, data, TN_F32, true, 1, 0);
    tn_exec *apart = norm_steps(NULL, data, TN_F32, true, 0, TN_BIND_NO_FUSE);
    if (e) CU_ASSERT(!strstr(tn_exec_report_text(e), both));
    check_alike(e, apart, false);
    tn_exec_free(e);
    tn_exec_free(apart);
}

// The network fused and apart: the same results and states. Returns the first.
static tn_exec *both_ways(tn_symbol s, tn_grad_req req)
{
    tn_exec *e[2];
    for (int i = 0; i < 2; i++) {
        e[i] = tn_simple_bind(bench.g, s, .backends = "blas", .grad_req = req,
                              .flags = i ? TN_BIND_NO_FUSE : 0);
        if (!TN_CHECK_EXEC(e[i])) return NULL;
        fill(e[i]);
        CU_ASSERT(tn_forward(e[i], true) == TN_OK);
        const tn_named_tensor head = {NULL, tn_exec_output(e[i], 0)};
        if (req != TN_NULL) CU_ASSERT(tn_backward(e[i], (tn_tensors){1, &head}) == TN_OK);
    }
    for (size_t o = 0; o < tn_exec_num_outputs(e[0]); o++)
        CU_ASSERT(farthest(tn_exec_output(e[0], o), tn_exec_output(e[1], o)) <= 2e-5);
    const tn_names states = tn_exec_auxiliary_states(e[0]);
    for (size_t i = 0; i < states.n; i++)
        CU_ASSERT(farthest(tn_exec_aux(e[0], states.v[i]), tn_exec_aux(e[1], states.v[i])) <= 2e-5);
    tn_exec_free(e[1]);
    return e[0];
}

// Two with the same states run in the order in which they stand; and so does one with its gradient,
// if that is part of the network and moves the states.
static void batch_norms_with_shared_states_stay_apart(void)
{
    const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(4, 3)),
                    m = tn_variable(bench.g, "mean"), v = tn_variable(bench.g, "var");
    const tn_symbol a = tn_op("BatchNorm", NULL, x, tn_var("g"), tn_var("b"), m, v);
    const tn_symbol b =
        tn_op("BatchNorm", NULL, tn_op("relu", NULL, a), tn_var("g2"), tn_var("b2"), m, v);
    tn_exec *e = both_ways(tn_op("relu", NULL, b), TN_WRITE);
    if (e) CU_ASSERT(!strstr(tn_exec_report_text(e), "fused: BatchNorm"));
    tn_exec_free(e);
    const tn_symbol y = tn_op("relu", NULL, tn_op("BatchNorm", NULL, x));
    tn_symbol dx;
    CU_ASSERT(tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx) == TN_OK);
    e = both_ways(tn_group(bench.g, TN_SYMS(y, dx)), TN_NULL);
    if (e) CU_ASSERT(!strstr(tn_exec_report_text(e), "fused: BatchNorm"));
    tn_exec_free(e);
}

// Moments that somebody reads before the relu stands there.
static void moments_are_there_for_who_reads_them(void)
{
    for (int way = 0; way < 3; way++) {
        tn_fresh();
        const tn_symbol x = tn_variable(bench.g, "x", .shape = TN_DIMS(4, 3, 2));
        const tn_symbol n = tn_op("BatchNorm", "output_mean_var=1; fix_gamma=0", x);
        const tn_symbol mean = tn_op("square", NULL, tn_output(bench.g, n, 1));
        const tn_symbol wide = tn_op("Reshape", "shape=(1,3,1)", mean);
        const tn_symbol y = tn_op("relu", NULL, tn_output(bench.g, n, 0));
        const tn_symbol sum = tn_op("broadcast_add", NULL, tn_output(bench.g, n, 0), wide);
        const tn_symbol heads = way == 0   ? tn_group(bench.g, TN_SYMS(mean, y))
                                : way == 1 ? tn_op("relu", NULL, sum)
                                           : tn_op("broadcast_add", NULL, y, wide);
        tn_exec *e = both_ways(heads, way ? TN_WRITE : TN_NULL);
        tn_exec_free(e);
    }
}

TN_TEST_MAIN(
    {"a batch norm takes its relu while training", a_batch_norm_takes_its_relu_while_training},
    {"a batch norm that others read stays apart", a_batch_norm_that_others_read_stays_apart},
    {"batch norms with shared states stay apart", batch_norms_with_shared_states_stay_apart},
    {"moments are there for who reads them", moments_are_there_for_who_reads_them})
