// tests/backends/test_onednn_nets.c: networks on the onednn backend: values, gradients, layouts,
// memory, threads.
#include "onednn_nets.h"
#include "tests/exec/heap.h"

static const char onednn[] = "onednn,reference";

static void check_net(net_fn net, tn_dims data, bool train)
{
    tn_exec *got = bind_net(net, data, onednn, train, 0);
    tn_exec *wanted = bind_net(net, data, "reference", train, 0);
    for (int i = 0; i < 2; i++) {
        step(got, train);
        step(wanted, train);
        if (got && wanted) CU_ASSERT(all_near(got, wanted, 1e-4));
    }
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void networks_agree_with_the_reference(void)
{
    if (!onednn_ready()) return;
    for (int train = 0; train < 2; train++) {
        check_net(net_chain_of_layers, TN_DIMS(4, 3, 19, 19), train);
        check_net(net_lenet, TN_DIMS(6, 1, 28, 28), train);
        check_net(net_residual, TN_DIMS(3, 3, 16, 16), train);
    }
}

// ------------------------------------------------------------------ layouts

// Does the name of a reordered value say that it is a weight, what entered, or the gradient of one
// of these? Gradients of a convolution's data and weight are c_backward and c_backward1.
static bool at_an_end(const char *name)
{
    return strstr(name, "weight") || strstr(name, "_backward1_") || strncmp(name, "data_", 5) == 0;
}

// Reorders of values between layers; there should be none in a convolutional part.
static size_t inner_reorders(tn_exec *e, const char *first_layer)
{
    char gradient[64], name[64];
    size_t n = 0;
    snprintf(gradient, sizeof gradient, "%s_backward_0_reorder", first_layer);
    for (const char *at = tn_exec_report_text(e); (at = strstr(at, " reorder \"")) != NULL;) {
        at += strlen(" reorder \"");
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "\""), at);
        if (at_an_end(name) || strcmp(name, gradient) == 0) continue;
        TN_CHECK_STR(name, "no reorder");
        n++;
    }
    return n;
}

static void no_reorder_between_layers(void)
{
    if (!onednn_ready()) return;
    for (int train = 0; train < 2; train++) {
        tn_exec *e = bind_net(net_residual, TN_DIMS(3, 3, 16, 16), onednn, train, 0);
        if (e) {
            CU_ASSERT_EQUAL(inner_reorders(e, "stem"), 0);
            TN_CHECK_HAS(tn_exec_report_text(e), "as onednn/");
        }
        tn_exec_free(e);
        e = bind_net(net_chain_of_layers, TN_DIMS(4, 3, 19, 19), onednn, train, 0);
        if (e) CU_ASSERT_EQUAL(inner_reorders(e, "c1"), 0);
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ threads, memory

static void few_and_many_threads_agree(void)
{
    if (!onednn_ready()) return;
    tn_exec *one = bind_net(net_residual, TN_DIMS(3, 3, 16, 16), onednn, true, 1);
    step(one, true);
    for (int32_t threads = 2; threads <= 4; threads++) {
        tn_exec *more = bind_net(net_residual, TN_DIMS(3, 3, 16, 16), onednn, true, threads);
        step(more, true);
        // Sums over the batch are cut by threads, so bits may differ there; not more than that.
        if (one && more) CU_ASSERT(all_near(more, one, 5e-5));
        tn_exec_free(more);
    }
    tn_exec_free(one);
}

static void the_same_run_gives_the_same_bits(void)
{
    if (!onednn_ready()) return;
    tn_exec *a = bind_net(net_residual, TN_DIMS(3, 3, 16, 16), onednn, true, 0);
    tn_exec *b = bind_net(net_residual, TN_DIMS(3, 3, 16, 16), onednn, true, 0);
    for (int i = 0; i < 3; i++) step(a, true), step(b, true);
    if (a && b) CU_ASSERT(all_near(a, b, 0));
    tn_exec_free(a);
    tn_exec_free(b);
}

// oneDNN itself makes a table of arguments at each execution and frees it; nothing stays.
static void runs_leave_nothing_on_the_heap(void)
{
    if (!onednn_ready()) return;
    if (TN_SANITIZER) {
        tn_skip("a sanitizer has its own allocator");
        return;
    }
    tn_exec *e = bind_net(net_residual, TN_DIMS(3, 3, 16, 16), onednn, true, 0);
    for (int i = 0; i < 3 && e; i++) tn_forward(e, false), step(e, true);
    const long before = atomic_load(&heap_live);
    for (int i = 0; i < 10 && e; i++) tn_forward(e, false), step(e, true);
    CU_ASSERT_EQUAL(atomic_load(&heap_live), before);
    tn_exec_free(e);
}

// Two hundred times; the address sanitizer looks for what is lost, and here blocks are counted.
static void binds_leave_nothing_behind(void)
{
    long before = 0;
    if (!onednn_ready()) return;
    for (int i = 0; i < 202; i++) {
        tn_exec *e = bind_net(net_chain_of_layers, TN_DIMS(2, 3, 9, 9), onednn, true, 0);
        step(e, true);
        tn_exec_free(e);
        tn_fresh();
        if (i == 1) before = atomic_load(&heap_live);
    }
    // Less is no loss: oneDNN also allocates with functions that are not counted here, and frees.
    if (!TN_SANITIZER) CU_ASSERT(atomic_load(&heap_live) <= before);
}

TN_TEST_MAIN({"networks agree with the reference", networks_agree_with_the_reference},
             {"no reorder between layers", no_reorder_between_layers},
             {"few and many threads agree", few_and_many_threads_agree},
             {"the same run gives the same bits", the_same_run_gives_the_same_bits},
             {"runs leave nothing on the heap", runs_leave_nothing_on_the_heap},
             {"binds leave nothing behind", binds_leave_nothing_behind})
