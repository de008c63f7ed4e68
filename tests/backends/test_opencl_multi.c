// tests/backends/test_opencl_multi.c: the opencl backend runs the updates of many parameters as few
// launches, with the results of the reference.
#include "onednn_nets.h"
#include "opencl_device.h"

enum { MOST = 40, RUNS = 3 };

typedef struct optimizer {
    const char *op, *params;
    bool wide; // its states are float32, whatever the weight is
} optimizer;

static const optimizer optimizers[] = {
    {"sgd_update", "lr=0.1; wd=0.01; clip_gradient=0.5", false},
    {"sgd_mom_update", "lr=0.1; momentum=0.9; wd=0.01; rescale_grad=0.25", false},
    {"adam_update", "lr=0.01; wd=0.02", false},
    {"rmsprop_update", "lr=0.01; gamma1=0.8; clip_weights=0.7", false},
    {"mp_sgd_update", "lr=0.1; wd=0.01", true},
    {"mp_sgd_mom_update", "lr=0.1; momentum=0.9", true},
};
enum { N_OPTIMIZERS = sizeof optimizers / sizeof *optimizers };

// Lengths around what a work item of a CPU does at a time, none at all, and short ones.
static int64_t length_of(size_t i)
{
    static const int64_t lengths[] = {1, 17, 0, 16384, 16385, 50000, 3, 16383, 1000};
    return lengths[i % (sizeof lengths / sizeof *lengths)];
}

// Every third update has a rate of its own.
static tn_symbol update(const optimizer *o, size_t i, tn_dtype dtype)
{
    char w[24], g[24], params[128];
    snprintf(w, sizeof w, "w%zu", i);
    snprintf(g, sizeof g, "g%zu", i);
    snprintf(params, sizeof params, "%s%s", o->params, i % 3 == 2 ? "; rescale_grad=0.5" : "");
    const char *text = strstr(o->params, "rescale_grad") ? o->params : params;
    return tn_op(o->op, text, tn_variable(bench.g, w, .dtype = dtype),
                 tn_variable(bench.g, g, .dtype = dtype));
}

static void fill_states(tn_exec *e)
{
    const tn_names names = tn_exec_auxiliary_states(e);
    for (size_t i = 0; i < names.n; i++) {
        tn_tensor *t = tn_exec_aux(e, names.v[i]);
        const tn_shape shape = tn_tensor_shape(t);
        tn_tensor *v = tn_sample(tn_tensor_dtype(t), tn_shape_dims(&shape), 0, 1, 77 + i);
        CU_ASSERT_EQUAL(tn_tensor_copy(t, v), TN_OK);
        tn_tensor_release(v);
    }
}

static tn_exec *run(const char *backends, const optimizer *o, size_t n, tn_dtype dtype)
{
    tn_symbol made[MOST];
    tn_named_dims shapes[MOST];
    int64_t lengths[MOST];
    char names[MOST][24];
    tn_fresh();
    for (size_t i = 0; i < n; i++) {
        made[i] = update(o, i, dtype);
        lengths[i] = length_of(i);
        snprintf(names[i], sizeof names[i], "w%zu", i);
        shapes[i] = (tn_named_dims){names[i], {1, &lengths[i]}};
    }
    tn_exec *e = tn_simple_bind(bench.g, tn_group(bench.g, (tn_symbols){n, made}),
                                .backends = backends, .shapes = {n, shapes});
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill_samples(e, dtype);
    fill_states(e);
    for (int i = 0; i < RUNS; i++) CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    return e;
}

// Rows that run, and calls in them.
static size_t rows_of(tn_exec *e, size_t *calls)
{
    const tn_profile_row *row;
    size_t n = 0;
    *calls = 0;
    CU_ASSERT_EQUAL(tn_exec_profile(e, true), TN_OK);
    for (; (row = tn_exec_profile_row(e, n)) != NULL; n++)
        *calls += *row->fused ? (size_t)atol(row->fused) : 1;
    return n;
}

static void check(const optimizer *o, size_t n, tn_dtype dtype, double tolerance)
{
    tn_exec *wanted = run("reference", o, n, dtype), *got = run("opencl", o, n, dtype);
    size_t calls = 0;
    if (!wanted || !got || !all_near(got, wanted, tolerance)) TN_CHECK_STR(o->op, "near");
    if (got) CU_ASSERT(rows_of(got, &calls) <= 1 + n / 8);
    CU_ASSERT(calls >= n - n / 9 - 1 && calls <= n); // empty ones have no row of their own
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void updates_of_all_optimizers(void)
{
    if (!has_device()) return;
    for (size_t i = 0; i < N_OPTIMIZERS; i++) {
        const optimizer *o = &optimizers[i];
        if (!o->wide) check(o, 7, TN_F32, 5e-6);
        if (!o->wide) check(o, 7, TN_F64, 1e-13);
        check(o, 7, TN_F16, 4e-3);
        check(o, 7, TN_BF16, 4e-2);
    }
}

static void many_parameters(void)
{
    if (!has_device()) return;
    check(&optimizers[1], MOST, TN_F32, 5e-6);
    check(&optimizers[2], MOST, TN_F32, 5e-6);
}

// Other elementwise operators, too; but what broadcasts runs alone.
static void other_operators(void)
{
    if (!has_device()) return;
    tn_symbol s[3];
    for (int way = 0; way < 2; way++) {
        tn_fresh();
        for (size_t i = 0; i < 3; i++) {
            char a[8], b[8];
            snprintf(a, sizeof a, "a%zu", i);
            snprintf(b, sizeof b, "b%zu", i);
            s[i] = tn_op("broadcast_hypot", NULL, tn_variable(bench.g, a, .shape = TN_DIMS(4, 5)),
                         tn_variable(bench.g, b, .shape = TN_DIMS(way && i == 1 ? 1 : 4, 5)));
        }
        tn_exec *e =
            tn_simple_bind(bench.g, tn_group(bench.g, (tn_symbols){3, s}), .backends = "opencl");
        if (!TN_CHECK_EXEC(e)) return;
        size_t calls;
        CU_ASSERT_EQUAL(rows_of(e, &calls), way ? 3 : 1);
        CU_ASSERT_EQUAL(calls, 3);
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ what stays apart

// a0 b0 … of four pairs of numbers; those with odd numbers in another dtype.
static tn_symbol products(tn_dtype odd)
{
    tn_symbol s[4];
    for (size_t i = 0; i < 4; i++) {
        char a[8], b[8];
        const tn_dtype dtype = i % 2 ? odd : TN_F32;
        snprintf(a, sizeof a, "a%zu", i);
        snprintf(b, sizeof b, "b%zu", i);
        s[i] = tn_op("_mul", NULL, tn_variable(bench.g, a, .dtype = dtype, .shape = TN_DIMS(9)),
                     tn_variable(bench.g, b, .dtype = dtype, .shape = TN_DIMS(9)));
    }
    return tn_group(bench.g, (tn_symbols){4, s});
}

// Each dtype is a launch.
static void dtypes_in_turns(void)
{
    if (!has_device()) return;
    tn_exec *e = tn_simple_bind(bench.g, products(TN_F16), .backends = "opencl");
    if (!TN_CHECK_EXEC(e)) return;
    size_t calls;
    CU_ASSERT_EQUAL(rows_of(e, &calls), 2);
    CU_ASSERT_EQUAL(calls, 4);
    tn_exec_free(e);
}

// What depends on constants only is not computed again together with the rest.
static void constants(void)
{
    if (!has_device()) return;
    tn_exec *e = tn_simple_bind(bench.g, products(TN_F32), .backends = "opencl", .inputs = "a0,a1");
    if (!TN_CHECK_EXEC(e)) return;
    size_t calls, once = 0, together = 0;
    for (size_t i = rows_of(e, &calls); i-- > 0;) {
        const tn_profile_row *row = tn_exec_profile_row(e, i);
        once += row->once;
        together += strcmp(row->fused, "2 x _mul") == 0;
    }
    CU_ASSERT_EQUAL(once, 2);
    CU_ASSERT_EQUAL(together, 1);
    tn_exec_free(e);
}

static tn_exec *train(const char *backends)
{
    tn_fresh();
    tn_exec *e =
        tn_simple_bind(bench.g, products(TN_F32), .backends = backends, .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill_samples(e, TN_F32);
    tn_named_tensor heads[4];
    for (size_t i = 0; i < 4; i++)
        heads[i] = (tn_named_tensor){NULL, tn_sample(TN_F32, TN_DIMS(9), -1, 1, 40 + i)};
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, (tn_tensors){4, heads}), TN_OK);
    for (size_t i = 0; i < 4; i++) tn_tensor_release(heads[i].tensor);
    return e;
}

// Products of the forward and of the backward pass are one launch each.
static void both_passes(void)
{
    if (!has_device()) return;
    tn_exec *got = train("opencl"), *wanted = train("reference");
    size_t calls;
    if (got && wanted) {
        CU_ASSERT(all_near(got, wanted, 1e-6));
        CU_ASSERT_EQUAL(rows_of(got, &calls), 2);
        CU_ASSERT_EQUAL(calls, 12);
    }
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static tn_exec *bind_products(tn_tensors args, tn_tensors outs)
{
    tn_fresh();
    tn_exec *e =
        tn_simple_bind(bench.g, products(TN_F32), .backends = "opencl", .args = args, .outs = outs);
    return TN_CHECK_EXEC(e) ? e : NULL;
}

// Each result is written over an input of its own call, where the caller has them so.
static void in_place(void)
{
    if (!has_device()) return;
    tn_exec *home = bind_products((tn_tensors){0}, (tn_tensors){0});
    if (!home) return;
    tn_tensor *x[2] = {tn_exec_arg(home, "a0"), tn_exec_arg(home, "b1")};
    tn_exec *e = bind_products(TN_TENSORS({"a0", x[0]}, {"b1", x[1]}),
                               TN_TENSORS({"_mul0_output", x[0]}, {"_mul1_output", x[1]}));
    if (e) CU_ASSERT_EQUAL(tn_exec_memory(e).planned, 0);
    tn_exec_free(e);
    tn_exec_free(home);
}

// A state in host memory is not copied and forgotten, but an error.
static void a_state_elsewhere(void)
{
    if (!has_device()) return;
    tn_symbol s[2];
    tn_tensor *mom = tn_tensor_new(bench.env, TN_F32, TN_DIMS(5));
    for (size_t i = 0; i < 2; i++) {
        const tn_symbol w = tn_variable(bench.g, i ? "w1" : "w0", .shape = TN_DIMS(5));
        s[i] =
            tn_sgd_mom_update(bench.g, .weight = w, .grad = w, .lr = 0.1, .momentum = TN_SET(0.9),
                              .mom = tn_variable(bench.g, i ? "m1" : "m0"));
    }
    tn_exec *e = tn_simple_bind(bench.g, tn_group(bench.g, (tn_symbols){2, s}),
                                .backends = "opencl", .auxs = TN_TENSORS({"m1", mom}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "must lie where it is written");
    tn_tensor_release(mom);
    tn_exec_free(e);
}

// What only gives a shape is not brought to the device, and its reader runs alone.
static void shapes_alone(void)
{
    if (!has_device()) return;
    tn_tensor *like = tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 3));
    tn_symbol s[2];
    for (size_t i = 0; i < 2; i++) {
        const tn_symbol x = tn_variable(bench.g, i ? "b" : "a", .shape = TN_DIMS(6));
        s[i] = tn_op("reshape_like", NULL, x, tn_variable(bench.g, i ? "like_b" : "like_a"));
    }
    tn_exec *e =
        tn_simple_bind(bench.g, tn_group(bench.g, (tn_symbols){2, s}), .backends = "opencl",
                       .args = TN_TENSORS({"like_a", like}, {"like_b", like}));
    tn_tensor_release(like);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_exec_memory(e).n_copies, 0);
    tn_exec_free(e);
}

TN_TEST_MAIN({"updates of all optimizers", updates_of_all_optimizers},
             {"many parameters", many_parameters}, {"other operators", other_operators},
             {"dtypes in turns", dtypes_in_turns}, {"constants", constants},
             {"both passes", both_passes}, {"in place", in_place},
             {"a state elsewhere", a_state_elsewhere}, {"shapes alone", shapes_alone})
