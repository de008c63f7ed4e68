// tests/backends/test_opencl_queues.c: the opencl backend's queues: runs that are not waited for,
// executors that share memory, values on their way to the host, threads.
#include <math.h>
#include <pthread.h>

#include "core/exec/exec.h"
#include "tests/backends/opencl_device.h"
#include "tests/tn_numeric.h"

// ------------------------------------------------------------------ training on the device

enum { BATCH = 8, WIDE = 20, STEPS = 40 }; // steps: more than runs that nobody waits for

static tn_symbol mlp(bool mixed)
{
    tn_symbol x =
        tn_op("FullyConnected", "num_hidden=16", tn_var("data"), tn_var("w1"), tn_var("b1"));
    if (mixed) tn_attr_scope_push(bench.g, TN_ATTRS({"__backend__", "reference"}));
    x = tn_op("Activation", "act_type=tanh", x);
    if (mixed) tn_attr_scope_pop(bench.g);
    x = tn_op("FullyConnected", "num_hidden=5", x, tn_var("w2"), tn_var("b2"));
    return tn_op("SoftmaxOutput", "normalization=batch", x, tn_var("label"));
}

static void fill(tn_exec *e)
{
    const tn_names names = tn_exec_arguments(e);
    for (size_t a = 0; a < names.n; a++) {
        tn_tensor *t = tn_exec_arg(e, names.v[a]);
        const tn_shape shape = tn_tensor_shape(t);
        tn_tensor *host =
            tn_tensor_new(bench.env, TN_F32, (tn_dims){(size_t)shape.ndim, shape.dim});
        float *v = tn_tensor_data(host);
        for (int64_t i = 0; i < tn_tensor_size(t); i++)
            v[i] = strcmp(names.v[a], "label") == 0
                       ? (float)(i % 5)
                       : (float)(0.4 * sin((double)(7 * i) + (double)a));
        CU_ASSERT_EQUAL(tn_tensor_copy(t, host), TN_OK);
        tn_tensor_release(host);
    }
}

// w := w - lr grad for every parameter, in one executor over the tensors of the other.
static tn_exec *bind_update(tn_exec *net, const char *backends)
{
    static const char *const names[] = {"w1", "b1", "w2", "b2"};
    tn_graph *g = tn_graph_new(bench.env);
    tn_named_tensor in[8], out[4];
    tn_symbol made[4];
    char texts[4][3][32];
    for (int i = 0; i < 4; i++) {
        snprintf(texts[i][0], 32, "%s_grad", names[i]);
        snprintf(texts[i][1], 32, "%s_new", names[i]);
        snprintf(texts[i][2], 32, "%s_new_output", names[i]);
        made[i] = tn_call(g, "sgd_update", .name = texts[i][1],
                          .inputs = TN_SYMS(tn_variable(g, names[i]), tn_variable(g, texts[i][0])),
                          .params = TN_ATTRS({"lr", "0.2"}));
        in[2 * i] = (tn_named_tensor){names[i], tn_exec_arg(net, names[i])};
        in[2 * i + 1] = (tn_named_tensor){texts[i][0], tn_exec_grad(net, names[i])};
        out[i] = (tn_named_tensor){texts[i][2], tn_exec_arg(net, names[i])};
    }
    tn_exec *e = tn_simple_bind(g, tn_group(g, (tn_symbols){4, made}), .backends = backends,
                                .args = {8, in}, .outs = {4, out});
    TN_CHECK_STR(e ? "" : tn_graph_error(g), "");
    tn_graph_free(g);
    return e;
}

// Nobody looks at anything before the last step is under way. The weights and outputs then.
static void train(const char *backends, bool mixed, double *weights, double *outputs)
{
    tn_fresh();
    tn_exec *e = tn_simple_bind(bench.g, mlp(mixed), .backends = backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"data", TN_DIMS(BATCH, WIDE)}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_exec *update = bind_update(e, backends);
    fill(e);
    for (int i = 0; update && i < STEPS; i++) {
        CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
        CU_ASSERT_EQUAL(tn_backward(e, TN_NO_HEADS), TN_OK);
        CU_ASSERT_EQUAL(tn_forward(update, true), TN_OK);
    }
    for (int64_t i = 0; i < BATCH * 5; i++) outputs[i] = tn_tensor_at(tn_exec_output(e, 0), i);
    for (int64_t i = 0; i < 5 * 16; i++) weights[i] = tn_tensor_at(tn_exec_arg(e, "w2"), i);
    CU_ASSERT_EQUAL(tn_exec_wait(update), TN_OK);
    tn_exec_free(e);
    tn_exec_free(update);
}

static void steps_that_nobody_waits_for(void)
{
    static const char *const lists[] = {"opencl", "opencl,reference"};
    double weights[2][5 * 16], outputs[2][BATCH * 5];
    if (!has_device()) return;
    train("reference", false, weights[0], outputs[0]);
    for (int mixed = 0; mixed < 2; mixed++) {
        train(lists[mixed], mixed, weights[1], outputs[1]);
        for (int i = 0; i < 5 * 16; i++) TN_CHECK_NEAR(weights[1][i], weights[0][i], 1e-4);
        for (int i = 0; i < BATCH * 5; i++) TN_CHECK_NEAR(outputs[1][i], outputs[0][i], 1e-4);
        CU_ASSERT_EQUAL(counters(bench.env)->live_buffers, 0);
        CU_ASSERT_EQUAL(counters(bench.env)->live_kernels, 0);
    }
}

// ------------------------------------------------------------------ complaints

enum { THREADS = 4, TIMES = 50 };

typedef struct worker {
    pthread_t thread;
    tn_exec *exec;
    int index, right; // that is out of range; how often that was said
} worker;

// The kernel of the executor's one row, without a queue, as tools run it that have none.
static void *run_alone(void *p)
{
    worker *w = p;
    const tni_row *r = &w->exec->rows[0];
    const tni_device *device = tni_row_device(w->exec, 0);
    tn_run_args args = r->args;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "index %d at position 1", w->index);
    args.queue = NULL;
    for (int i = 0; i < TIMES; i++) {
        const tn_status s = r->run(r->kernel, &args);
        const char *said = tni_host_take_error(device->backend->plugin);
        w->right += s == TN_E_INVALID && strstr(said, wanted) != NULL;
    }
    return NULL;
}

static void each_thread_is_told_of_its_own_data(void)
{
    worker workers[THREADS];
    if (!has_device()) return;
    tn_fresh();
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.index = 10 + i};
        tn_graph *g = tn_graph_new(bench.env);
        const tn_symbol y =
            tn_call(g, "take", .inputs = TN_SYMS(tn_variable(g, "x"), tn_variable(g, "i")),
                    .params = TN_ATTRS({"mode", "raise"}));
        workers[i].exec = tn_simple_bind(g, y, .backends = "opencl",
                                         .shapes = TN_SHAPES({"x", TN_DIMS(3)}, {"i", TN_DIMS(2)}));
        TN_CHECK_STR(workers[i].exec ? "" : tn_graph_error(g), "");
        tn_graph_free(g);
        if (!workers[i].exec) return;
        tn_tensor *at = TN_TENSOR(TN_F32, TN_DIMS(2), 1, workers[i].index);
        CU_ASSERT_EQUAL(tn_exec_set(workers[i].exec, "i", at), TN_OK);
        tn_tensor_release(at);
        CU_ASSERT_EQUAL(workers[i].exec->n_rows, 1);
    }
    for (int i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&workers[i].thread, NULL, run_alone, &workers[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        CU_ASSERT_EQUAL(workers[i].right, TIMES);
        tn_exec_free(workers[i].exec);
    }
}

// What a kernel finds wrong is known when its run returns, so nothing is learnt from it.
static void wrong_data_stops_before_the_next_run(void)
{
    if (!has_device()) return;
    tn_fresh();
    const tn_symbol y = tn_op("take", "mode=raise", tn_var("x"), tn_var("i"));
    tn_exec *e =
        tn_simple_bind(bench.g, y, .backends = "opencl", .grad_reqs = TN_REQS({"x", TN_WRITE}),
                       .shapes = TN_SHAPES({"x", TN_DIMS(3)}, {"i", TN_DIMS(2)}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *at = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 7);
    CU_ASSERT_EQUAL(tn_exec_set(e, "i", at), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "index 7 at position 1: wanted 0 to 2");
    CU_ASSERT_EQUAL(tn_backward(e, TN_NO_HEADS), TN_E_INVALID);
    tn_tensor_release(at);
    tn_exec_free(e);
}

TN_TEST_MAIN({"steps that nobody waits for", steps_that_nobody_waits_for},
             {"each thread is told of its own data", each_thread_is_told_of_its_own_data},
             {"wrong data stops before the next run", wrong_data_stops_before_the_next_run})
