// tests/exec/test_attempts.c: devices that say they run a call and then cannot be prepared for it.
#include <math.h>

#include "tests/exec/nets.h"

#define RUN_OK(call) tn_check_ok(__LINE__, __FILE__, (call), e ? tn_exec_error(e) : "no executor")

static bool load_picky(void)
{
    const bool ok = tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/picky.so") == TN_OK;
    TN_CHECK_STR(ok ? "" : tn_env_error(bench.env), "");
    return ok;
}

// picky's setup() fails; see tests/plugins/picky.c.
static tn_exec *bind_without_tools(tn_symbol y, const char *backends, tn_grad_req req)
{
    setenv("PICKY_LIE", "6", 1);
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = backends, .grad_req = req);
    unsetenv("PICKY_LIE");
    return e;
}

static tn_symbol square(int64_t n)
{
    char name[16];
    snprintf(name, sizeof name, "x%d", (int)n);
    const tn_symbol x = tn_variable(bench.g, name, .shape = TN_DIMS(n));
    return tn_call(bench.g, "square", .inputs = TN_SYMS(x));
}

static void the_next_device_gets_the_node(void)
{
    if (!load_picky()) return;
    tn_exec *e = bind_without_tools(square(3), "picky,reference", TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    TN_CHECK_STR(tn_graph_error(bench.g), "");
    const char *text = tn_exec_report_text(e);
    TN_CHECK_HAS(text, "2 nodes: reference 2 (square: prepare() failed");
    TN_CHECK_HAS(text, "not picky: cannot prepare its kernel: the tools are gone");
    TN_CHECK_HAS(tn_exec_report_json(e), "cannot prepare its kernel: the tools are gone");
    tn_tensor_fill(tn_exec_arg(e, "x3"), 5);
    RUN_OK(tn_forward(e, true));
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 25, 25, 25);
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, tn_exec_output(e, 0)})));
    TN_CHECK_VALUES(tn_exec_grad(e, "x3"), 0, 250, 250, 250);
    tn_exec_free(e);
    e = tn_simple_bind(bench.g, square(4), .backends = "picky,reference"); // it is asked anew
    if (e) TN_CHECK_HAS(tn_exec_report_text(e), "1 node: picky 1;");
    tn_exec_free(e);
}

// What nobody else takes: both reasons, and the status of the first failure.
static void without_another_the_bind_fails(void)
{
    if (!load_picky()) return;
    tn_exec *e = bind_without_tools(square(3), "picky", TN_NULL);
    CU_ASSERT(e == NULL);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_UNAVAILABLE);
    TN_CHECK_HAS(tn_graph_error(bench.g),
                 "square0 (square): on picky: cannot prepare its kernel: the tools are gone\n"
                 "  and without it: ");
    TN_CHECK_HAS(tn_graph_error(bench.g), "no kernel for 1 node; the list is picky:");
    TN_CHECK_HAS(tn_graph_error(bench.g), "picky: cannot prepare its kernel: as above");
    tn_exec_free(e);
}

// Forty kinds of calls: after a few the operator is not tried any more.
static void many_failures_come_to_an_end(void)
{
    if (!load_picky()) return;
    tn_symbol all[40];
    for (int i = 0; i < 40; i++) all[i] = square(i + 1);
    const tn_symbol y = tn_group(bench.g, (tn_symbols){40, all});
    tn_exec *e = bind_without_tools(y, "picky,reference", TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "80 nodes: reference 80 (");
    tn_exec_free(e);
}

// A want of memory is nobody's fault: the bind fails at once.
static void a_want_of_memory_is_no_reason_to_go_elsewhere(void)
{
    if (!load_picky()) return;
    setenv("PICKY_LIE", "1", 1);
    tn_exec *e = tn_simple_bind(bench.g, square(3), .backends = "picky,reference");
    unsetenv("PICKY_LIE");
    CU_ASSERT(e == NULL);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NOMEM);
    TN_CHECK_HAS(tn_graph_error(bench.g), "cannot prepare its kernel: no room on the bench");
    CU_ASSERT(strstr(tn_graph_error(bench.g), "without it") == NULL);
    tn_exec_free(e);
}

TN_TEST_MAIN({"the next device gets the node", the_next_device_gets_the_node},
             {"without another the bind fails", without_another_the_bind_fails},
             {"many failures come to an end", many_failures_come_to_an_end},
             {"a want of memory is no reason to go elsewhere",
              a_want_of_memory_is_no_reason_to_go_elsewhere})
