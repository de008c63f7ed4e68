// tests/exec/test_multi.c: calls of one operator that nothing orders run as one, with the results
// that they have alone; and those that something orders do not.
#include "tests/exec/nets.h"
#include "tests/tn_numeric.h"

enum { MOST = 12 };

static bool load_fuser(void)
{
    const bool ok = tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/fuser.so") == TN_OK;
    TN_CHECK_STR(ok ? "" : tn_env_error(bench.env), "");
    return ok;
}

static const char *numbered(char text[24], const char *what, size_t i)
{
    snprintf(text, 24, "%s%zu", what, i);
    return text;
}

// Parameter i has 2 i + 1 numbers.
static tn_symbol variable(const char *what, size_t i)
{
    char name[24];
    return tn_variable(bench.g, numbered(name, what, i), .shape = TN_DIMS(2 * (int64_t)i + 1));
}

static tn_symbol update(size_t i, tn_symbol weight, tn_symbol mom)
{
    char name[24];
    return tn_sgd_mom_update(bench.g, .weight = weight, .grad = variable("g", i), .mom = mom,
                             .lr = 0.1 * (double)(1 + i % 2), .momentum = TN_SET(0.9),
                             .name = numbered(name, "new", i));
}

// new0 … of n parameters w0 …, with states of their own.
static tn_symbol updates(size_t n)
{
    tn_symbol made[MOST];
    for (size_t i = 0; i < n; i++) made[i] = update(i, variable("w", i), variable("m", i));
    return tn_group(bench.g, (tn_symbols){n, made});
}

// ------------------------------------------------------------------ running

// Runs s three times, from the same numbers, as the flags say.
static tn_exec *run(tn_symbol s, const char *backends, uint32_t flags)
{
    tn_exec *e = tn_simple_bind(bench.g, s, .backends = backends, .flags = flags);
    TN_CHECK_GRAPH();
    if (!e) return NULL;
    net_fill(e);
    for (int i = 0; i < 3; i++) CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    return e;
}

// The same bits in all outputs and states?
static void check_equal(tn_exec *a, tn_exec *b)
{
    const tn_names states = tn_exec_auxiliary_states(a);
    for (size_t i = 0; i < tn_exec_num_outputs(a); i++)
        CU_ASSERT(net_equal(tn_exec_output(a, i), tn_exec_output(b, i)));
    CU_ASSERT(states.n > 0);
    for (size_t i = 0; i < states.n; i++)
        CU_ASSERT(net_equal(tn_exec_aux(a, states.v[i]), tn_exec_aux(b, states.v[i])));
}

// Runs s together and apart, compares, and returns the report of the first, which it keeps.
static const char *report(tn_symbol s)
{
    static char text[8192];
    tn_exec *e = run(s, "fuser,reference", 0), *apart = run(s, "fuser,reference", TN_BIND_NO_FUSE);
    text[0] = 0;
    if (e && apart) {
        check_equal(e, apart);
        CU_ASSERT_PTR_NULL(strstr(tn_exec_report_text(apart), "together"));
        snprintf(text, sizeof text, "%s", tn_exec_report_text(e));
    }
    tn_exec_free(e);
    tn_exec_free(apart);
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what)) n++;
    return n;
}

// ------------------------------------------------------------------ what runs as one

// The device takes four at most: it is asked for fewer and fewer until it says yes.
static void updates_run_together(void)
{
    if (!load_fuser()) return;
    const char *text = report(updates(6));
    TN_CHECK_HAS(text, "2 nodes: fuser 2;");
    TN_CHECK_HAS(text, "together: sgd_mom_update \"new0\", sgd_mom_update \"new1\", "
                       "sgd_mom_update \"new2\", sgd_mom_update \"new3\"\n");
    TN_CHECK_HAS(text, "together: sgd_mom_update \"new4\", sgd_mom_update \"new5\"\n");
    tn_fresh();
    text = report(updates(5)); // one is left over
    TN_CHECK_HAS(text, "2 nodes: fuser 2;");
    CU_ASSERT_EQUAL(count(text, "together: "), 1);
    TN_CHECK_HAS(text, " sgd_mom_update \"new4\" float32(9)");
}

static void the_profile_counts_them(void)
{
    if (!load_fuser()) return;
    tn_exec *e = run(updates(3), "fuser", 0);
    if (!e) return;
    CU_ASSERT_EQUAL(tn_exec_profile(e, true), TN_OK);
    TN_CHECK_STR(tn_exec_profile_row(e, 0)->op, "_multi");
    TN_CHECK_STR(tn_exec_profile_row(e, 0)->fused, "3 x sgd_mom_update");
    CU_ASSERT_PTR_NULL(tn_exec_profile_row(e, 1));
    tn_exec_free(e);
}

static void note_name(void *names, const char *name, tn_tensor *value)
{
    tni_text_printf(names, "%s(%d) ", name, (int)tn_tensor_size(value));
}

// Who looks on hears of each result by its own name.
static void the_monitor_names_their_results(void)
{
    if (!load_fuser()) return;
    tni_text names = {0};
    tn_exec *e = run(updates(3), "fuser", 0);
    if (!e) return;
    tn_exec_monitor(e, note_name, &names);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_STR(names.s, "new0_output(1) new1_output(3) new2_output(5) ");
    tn_exec_free(e);
    tni_text_free(&names);
}

// Results that go back to the parameters are written there at once, by more calls than a kernel
// had pairs for once.
static void parameters_are_written_in_place(void)
{
    tn_named_tensor in[MOST], out[MOST];
    char name[MOST][24], made[MOST][32];
    tn_exec *e[2];
    if (!load_fuser()) return;
    for (int k = 0; k < 2; k++) {
        tn_fresh();
        const tn_symbol s = updates(4);
        for (size_t i = 0; i < 4; i++) {
            const int64_t n = 2 * (int64_t)i + 1;
            tn_tensor *w = tn_tensor_new(bench.env, TN_F32, TN_DIMS(n));
            snprintf(made[i], sizeof made[i], "new%zu_output", i);
            in[i] = (tn_named_tensor){numbered(name[i], "w", i), w};
            out[i] = (tn_named_tensor){made[i], w};
        }
        e[k] = tn_simple_bind(bench.g, s, .backends = "fuser", .flags = k ? TN_BIND_NO_FUSE : 0,
                              .args = {4, in}, .outs = {4, out});
        TN_CHECK_GRAPH();
        for (size_t i = 0; i < 4; i++) tn_tensor_release(in[i].tensor);
        if (!e[k]) return;
        net_fill(e[k]);
        for (int i = 0; i < 3; i++) CU_ASSERT_EQUAL(tn_forward(e[k], false), TN_OK);
    }
    check_equal(e[0], e[1]);
    for (size_t i = 0; i < 4; i++)
        CU_ASSERT(net_equal(tn_exec_arg(e[0], name[i]), tn_exec_output(e[0], i)));
    CU_ASSERT_EQUAL(tn_exec_memory(e[0]).planned, 0);
    tn_exec_free(e[0]);
    tn_exec_free(e[1]);
}

static const char *report_failing(size_t n, const char *least)
{
    tn_fresh();
    const tn_symbol s = updates(n);
    setenv("FUSER_FAILS", least, 1);
    const char *text = report(s);
    unsetenv("FUSER_FAILS");
    return text;
}

// A device that takes calls and then cannot be prepared for them is asked for fewer, too.
static void what_cannot_be_prepared_is_made_smaller(void)
{
    if (!load_fuser()) return;
    const char *text = report_failing(6, "4");
    TN_CHECK_HAS(text, "2 nodes: fuser 2;");
    TN_CHECK_HAS(text, "together: sgd_mom_update \"new0\", sgd_mom_update \"new1\", "
                       "sgd_mom_update \"new2\"\n");
    text = report_failing(6, "2");
    TN_CHECK_HAS(text, "6 nodes: fuser 6;");
    CU_ASSERT_EQUAL(count(text, "together: "), 0);
}

// Without a kernel for _multi nothing changes.
static void who_does_not_take_them_runs_each(void)
{
    tn_exec *e = run(updates(4), "reference", 0);
    if (!e) return;
    TN_CHECK_HAS(tn_exec_report_text(e), "4 nodes: reference 4;");
    tn_exec_free(e);
}

// ------------------------------------------------------------------ what does not

static tn_symbol next_update(tn_symbol weight, tn_symbol grad, tn_symbol mom)
{
    return tn_sgd_mom_update(bench.g, .weight = weight, .grad = grad, .mom = mom, .lr = 0.5,
                             .name = "next");
}

static void a_shared_state_keeps_them_apart(void)
{
    if (!load_fuser()) return;
    const tn_symbol m = variable("m", 2), w = variable("w", 2);
    const tn_symbol s[] = {update(2, w, m), next_update(w, variable("h", 2), m),
                           update(0, variable("w", 0), variable("m", 0)),
                           update(1, variable("w", 1), variable("m", 1))};
    const char *text = report(tn_group(bench.g, (tn_symbols){4, s}));
    TN_CHECK_HAS(text, "3 nodes: fuser 3;");
    TN_CHECK_HAS(text, "together: sgd_mom_update \"new0\", sgd_mom_update \"new1\"\n");
}

// next is made from new2, which therefore cannot wait for others either.
static void a_result_that_is_read_keeps_them_apart(void)
{
    if (!load_fuser()) return;
    const tn_symbol a = update(2, variable("w", 2), variable("m", 2));
    const tn_symbol b = next_update(a, variable("h", 2), variable("n", 2));
    const tn_symbol c = update(1, variable("w", 1), variable("m", 1));
    const char *text = report(tn_group(bench.g, TN_SYMS(a, b, c)));
    TN_CHECK_HAS(text, "3 nodes: fuser 3;");
    CU_ASSERT_EQUAL(count(text, "together: "), 0);
}

// A state that another call reads as its gradient.
static void a_state_that_is_read_keeps_them_apart(void)
{
    if (!load_fuser()) return;
    const tn_symbol m = variable("m", 1);
    const tn_symbol a = update(1, variable("w", 1), m);
    const tn_symbol b = next_update(variable("v", 1), m, variable("n", 1));
    const char *text = report(tn_group(bench.g, TN_SYMS(a, b)));
    TN_CHECK_HAS(text, "2 nodes: fuser 2;");
    CU_ASSERT_EQUAL(count(text, "together: "), 0);
}

TN_TEST_MAIN({"updates run together", updates_run_together},
             {"the profile counts them", the_profile_counts_them},
             {"the monitor names their results", the_monitor_names_their_results},
             {"parameters are written in place", parameters_are_written_in_place},
             {"what cannot be prepared is made smaller", what_cannot_be_prepared_is_made_smaller},
             {"who does not take them runs each", who_does_not_take_them_runs_each},
             {"a shared state keeps them apart", a_shared_state_keeps_them_apart},
             {"a result that is read keeps them apart", a_result_that_is_read_keeps_them_apart},
             {"a state that is read keeps them apart", a_state_that_is_read_keeps_them_apart})
