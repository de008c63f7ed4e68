// tests/exec/test_pending.c: runs that return before the device is done, and who waits for them.
#include "tests/exec/lazy.h"

// ------------------------------------------------------------------ who waits

static void a_run_returns_and_a_read_waits(void)
{
    if (!start("0")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL});
    if (!e) return;
    fill(e, 3, 5);
    RUN_OK(tn_forward(e, false));
    TN_CHECK_STR(counters()->log, "r");
    TN_CHECK_VALUES(tn_exec_arg(e, "w"), 0, 5, 5); // only read by the run: nobody has to wait
    TN_CHECK_STR(counters()->log, "r");
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 15, 15);
    TN_CHECK_STR(counters()->log, "rR");
    RUN_OK(tn_forward(e, false));
    RUN_OK(tn_tensor_fill(tn_exec_arg(e, "x"), 4)); // the run still has to read it
    TN_CHECK_STR(counters()->log, "rRrR");
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 15, 15);
    RUN_OK(tn_forward(e, false));
    RUN_OK(tn_exec_wait(e));
    TN_CHECK_STR(counters()->log, "rRrRrR");
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 20, 20);
    tn_exec_free(e);
}

// Copies on the device are such accesses, too.
static void a_copy_waits(void)
{
    if (!start("0")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL});
    tn_exec *f = product("lazy", (tn_tensors){0, NULL});
    if (!e || !f) return;
    fill(e, 3, 5);
    fill(f, 1, 2);
    RUN_OK(tn_forward(e, false));
    RUN_OK(tn_forward(f, false));
    RUN_OK(tn_tensor_copy(tn_exec_arg(f, "x"), tn_exec_output(e, 0)));
    TN_CHECK_VALUES(tn_exec_output(f, 0), 0, 2, 2);
    RUN_OK(tn_forward(f, false));
    TN_CHECK_VALUES(tn_exec_output(f, 0), 0, 30, 30);
    tn_exec_free(e);
    tn_exec_free(f);
}

// Whose bytes come from the host's memory, or go there, has them at the end of the run.
static void host_memory_is_done_when_a_run_returns(void)
{
    if (!start("0")) return;
    tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3), *w = TN_TENSOR(TN_F32, TN_DIMS(2), 5, 7);
    tn_exec *e = product("lazy", TN_TENSORS({"x", x}, {"w", w}));
    for (int i = 1; e && i < 4; i++) {
        tn_tensor_fill(x, i);
        RUN_OK(tn_forward(e, false));
        tn_tensor_fill(x, 99);
        TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 5 * i, 7 * i);
    }
    tn_exec_free(e);
    tn_tensor_release(x);
    tn_tensor_release(w);
}

// One transfer brings an element and those behind it, for as long as nobody writes them.
static void elements_come_in_blocks(void)
{
    static const char *const backends[] = {"far", "lazy", "plain"};
    for (int k = 0; k < 3; k++) {
        if (!start("0")) return;
        tn_exec *e = product(backends[k], (tn_tensors){0, NULL});
        if (!e) return;
        fill(e, 3, 5);
        tn_tensor *const out = tn_exec_output(e, 0), *const x = tn_exec_arg(e, "x");
        for (int i = 0; i < 3; i++) {
            RUN_OK(tn_tensor_fill(x, i));
            RUN_OK(tn_forward(e, false));
            const long long before = counters()->downloads;
            for (int at = 0; at < 20; at++) {
                CU_ASSERT_EQUAL(tn_tensor_at(out, at % 2), 5 * i);
                CU_ASSERT_EQUAL(tn_tensor_at(x, at % 2), i);
            }
            CU_ASSERT_EQUAL(counters()->downloads - before, 2);
            tn_tensor *last = tn_tensor_slice(x, 1, 2); // by another view of the same bytes
            RUN_OK(tn_tensor_fill(last, 8));
            CU_ASSERT_EQUAL(tn_tensor_at(x, 1), 8);
            RUN_OK(tn_tensor_copy(x, out));
            CU_ASSERT_EQUAL(tn_tensor_at(x, 1), 5 * i);
            CU_ASSERT_EQUAL(tn_tensor_at(last, 0), 5 * i);
            tn_tensor_release(last);
        }
        tn_exec_free(e);
        CU_ASSERT_EQUAL(counters()->live_buffers, 0);
    }
}

// ------------------------------------------------------------------ several executors

// Halves of one tensor belong to two executors, which have nothing to do with each other.
static void views_that_do_not_meet_do_not_wait(void)
{
    if (!start("0")) return;
    tn_exec *holder = product("lazy", (tn_tensors){0, NULL});
    if (!holder) return;
    tn_tensor *half[2];
    tn_exec *user[2];
    fill(holder, 3, 5);
    for (int i = 0; i < 2; i++) {
        tn_graph *g = tn_graph_new(bench.env);
        half[i] = tn_tensor_slice(tn_exec_arg(holder, "x"), i, i + 1);
        user[i] = tn_simple_bind(
            g, tn_call(g, "relu", .inputs = TN_SYMS(tn_variable(g, "a")), .name = "r"),
            .backends = "lazy", .shapes = TN_SHAPES({"a", TN_DIMS(1)}),
            .outs = TN_TENSORS({"r_output", half[i]}));
        TN_CHECK_STR(user[i] ? "" : tn_graph_error(g), "");
        tn_graph_free(g);
        if (!user[i]) return;
        tn_tensor_fill(tn_exec_arg(user[i], "a"), 7 + i);
    }
    clear_log();
    CU_ASSERT_EQUAL(tn_forward(user[0], false), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(user[1], false), TN_OK);
    CU_ASSERT_PTR_NULL(strchr(counters()->log, 'w'));
    TN_CHECK_VALUES(half[1], 0, 8);
    CU_ASSERT(atomic_load(&user[0]->spaces[1].pending));
    TN_CHECK_VALUES(tn_exec_arg(holder, "x"), 0, 7, 8);
    CU_ASSERT(!atomic_load(&user[0]->spaces[1].pending));
    for (int i = 0; i < 2; i++) {
        tn_exec_free(user[i]);
        tn_tensor_release(half[i]);
    }
    tn_exec_free(holder);
}

static tn_status train_step(tn_exec *net, tn_exec *update, tn_tensor *head)
{
    tn_status status = tn_forward(net, true);
    if (!status) status = tn_backward(net, TN_TENSORS({NULL, head}));
    return status ? status : tn_forward(update, false);
}

// w := w - 0.5 x: the queue of the update waits for that of the network, and the other way round.
static void queues_wait_for_each_other(void)
{
    if (!start("0")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL}), *update = e ? update_of(e, "0.5") : NULL;
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 1);
    if (!update) return;
    fill(e, 2, 10);
    RUN_OK(train_step(e, update, head));
    TN_CHECK_HAS(counters()->log, "wr"); // the update, behind the gradients
    for (int i = 0; i < 2; i++) RUN_OK(train_step(e, update, head));
    RUN_OK(tn_exec_wait(update));
    TN_CHECK_VALUES(tn_exec_arg(e, "w"), 0, 7, 7);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 16, 16); // before the last update
    CU_ASSERT_EQUAL(counters()->live_events, 0);
    tn_exec_free(e); // while the other has its tensors
    TN_CHECK_VALUES(tn_exec_output(update, 0), 0, 7, 7);
    tn_exec_free(update);
    tn_tensor_release(head);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
    CU_ASSERT_EQUAL(counters()->dropped, 0);
}

// More queues than one look finds: all of them use one tensor that the last one writes.
static void a_write_waits_for_many_readers(void)
{
    enum { READERS = 20 };
    tn_exec *reader[READERS] = {0};
    if (!start("0")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL}), *update = e ? update_of(e, "1") : NULL;
    if (!update) return;
    fill(e, 1, 8);
    RUN_OK(tn_tensor_fill(tn_exec_grad(e, "w"), 3));
    for (int i = 0; i < READERS; i++) {
        reader[i] = product("lazy", TN_TENSORS({"w", tn_exec_arg(e, "w")}));
        RUN_OK(tn_tensor_fill(tn_exec_arg(reader[i], "x"), i));
        RUN_OK(tn_forward(reader[i], false));
    }
    RUN_OK(tn_forward(update, false));
    TN_CHECK_VALUES(tn_exec_arg(e, "w"), 0, 5, 5);
    for (int i = 0; i < READERS; i++) {
        TN_CHECK_VALUES(tn_exec_output(reader[i], 0), 0, 8 * i, 8 * i);
        tn_exec_free(reader[i]);
    }
    tn_exec_free(update);
    tn_exec_free(e);
}

// Shared planned memory is written by both.
static void executors_that_share_memory_wait(void)
{
    if (!start("0")) return;
    tn_exec *e = tn_simple_bind(bench.g, net_chain(4), .backends = "lazy",
                                .shapes = TN_SHAPES({"x", TN_DIMS(6)}));
    tn_exec *f = e ? tn_exec_reshape(e, TN_SHAPES({"x", TN_DIMS(2)})) : NULL;
    if (!f) return;
    RUN_OK(tn_tensor_fill(tn_exec_arg(e, "x"), 1));
    RUN_OK(tn_tensor_fill(tn_exec_arg(f, "x"), 10));
    clear_log();
    RUN_OK(tn_forward(e, false));
    RUN_OK(tn_forward(f, false));
    TN_CHECK_HAS(counters()->log, "w");
    TN_CHECK_VALUES(tn_exec_output(f, 0), 0, 14, 14);
    tn_exec_free(f);
    tn_exec_free(e);
}

static void a_tensor_outlives_its_executor(void)
{
    if (!start("0")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL});
    if (!e) return;
    fill(e, 3, 5);
    RUN_OK(tn_forward(e, false));
    tn_tensor *out = tn_tensor_retain(tn_exec_output(e, 0));
    tn_exec_free(e);
    TN_CHECK_VALUES(out, 0, 15, 15);
    tn_tensor_release(out);
    CU_ASSERT_EQUAL(counters()->dropped, 0);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
}

// A queue waits for work of an executor that is freed, done, before it gets there.
static void an_executor_is_freed_while_another_queue_waits_for_it(void)
{
    if (!start("0")) return;
    tn_exec *e = product("lazy", (tn_tensors){0, NULL}), *update = e ? update_of(e, "1") : NULL;
    if (!update) return;
    fill(e, 3, 5);
    RUN_OK(tn_tensor_fill(tn_exec_grad(e, "w"), 2));
    RUN_OK(tn_forward(e, false));
    RUN_OK(tn_forward(update, false)); // writes w when e has read it
    tn_tensor *out = tn_tensor_retain(tn_exec_output(e, 0));
    tn_exec_free(e);
    TN_CHECK_VALUES(out, 0, 15, 15);
    TN_CHECK_VALUES(tn_exec_output(update, 0), 0, 3, 3);
    tn_tensor_release(out);
    tn_exec_free(update);
    CU_ASSERT_EQUAL(counters()->dropped, 0);
    CU_ASSERT_EQUAL(counters()->live_buffers, 0);
    CU_ASSERT_EQUAL(counters()->live_queues, 0);
}

TN_TEST_MAIN({"a run returns, and a read waits", a_run_returns_and_a_read_waits},
             {"a copy waits", a_copy_waits},
             {"host memory is done when a run returns", host_memory_is_done_when_a_run_returns},
             {"elements come in blocks", elements_come_in_blocks},
             {"views that do not meet do not wait", views_that_do_not_meet_do_not_wait},
             {"queues wait for each other", queues_wait_for_each_other},
             {"a write waits for many readers", a_write_waits_for_many_readers},
             {"executors that share memory wait", executors_that_share_memory_wait},
             {"an executor is freed while another queue waits for it",
              an_executor_is_freed_while_another_queue_waits_for_it},
             {"a tensor outlives its executor", a_tensor_outlives_its_executor})
