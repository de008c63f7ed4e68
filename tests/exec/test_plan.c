// tests/exec/test_plan.c: offsets for lifetimes, sharing, in place, identities, the report.
#include "tests/exec/nets.h"

// ------------------------------------------------------------------ offsets

static uint32_t state;

static uint32_t random_below(uint32_t n)
{
    state = state * 1664525u + 1013904223u; // Numerical Recipes
    return (state >> 8) % n;
}

// n blocks of up to `most` bytes over n_times times; no two begin before block 1.
static tni_blocks random_blocks(size_t n, uint32_t n_times, uint64_t most, uint32_t spaces)
{
    tni_blocks b = {.n = n, .v = calloc(n + 1, sizeof *b.v)};
    for (size_t i = 1; i <= n; i++) {
        const uint32_t begin = random_below(n_times), length = random_below(random_below(20) + 1);
        b.v[i] = (tni_block){.bytes = random_below((uint32_t)most),
                             .begin = begin,
                             .end = begin + length < n_times ? begin + length : n_times,
                             .align = random_below(8) == 0 ? 256 : 64,
                             .space = random_below(spaces)};
    }
    return b;
}

static void check_fit(size_t n, uint32_t n_times, uint64_t most, uint32_t spaces, double slack)
{
    tni_blocks b = random_blocks(n, n_times, most, spaces);
    uint64_t totals[3] = {0}, bound = 0;
    CU_ASSERT_TRUE_FATAL(tni_fit(&b, n_times, spaces, totals));
    CU_ASSERT_TRUE(tni_fit_bound(&b, n_times, &bound));
    CU_ASSERT_EQUAL(net_clashes(&b), 0);
    for (size_t i = 1; i <= n; i++) {
        CU_ASSERT_TRUE(b.v[i].bytes == 0 || b.v[i].offset % b.v[i].align == 0);
        CU_ASSERT_TRUE(b.v[i].offset + b.v[i].bytes <= totals[b.v[i].space]);
    }
    const uint64_t planned = totals[0] + totals[1] + totals[2];
    CU_ASSERT_TRUE(planned >= (spaces == 1 ? bound : 0));
    CU_ASSERT_TRUE((double)planned <= slack * (double)bound);
    free(b.v);
}

static void living_blocks_never_overlap(void)
{
    for (state = 1; state < 40; state += 3) check_fit(200, 100, 5000, 1, 1.35);
}

static void spaces_are_apart(void)
{
    state = 7;
    check_fit(300, 100, 5000, 3, 3.0); // the bound is that of all three together
}

static void many_blocks_are_placed_in_order_of_time(void)
{
    state = 9;
    check_fit(6000, 3000, 100000, 1, 1.5);
}

static void a_stack_needs_no_more_than_its_height(void)
{
    enum { N = 50 };
    tni_blocks b = {.n = N, .v = calloc(N + 1, sizeof *b.v)};
    uint64_t total = 0, bound = 0;
    for (uint32_t i = 1; i <= N; i++)
        b.v[i] = (tni_block){.bytes = 100 * i, .begin = i, .end = 2 * N - i, .align = 64};
    CU_ASSERT_TRUE(tni_fit(&b, 2 * N, 1, &total) && tni_fit_bound(&b, 2 * N, &bound));
    CU_ASSERT_EQUAL(total, bound);
    free(b.v);
}

static void empty_blocks_and_tensors_take_nothing(void)
{
    tni_block v[] = {{0}, {.begin = 1, .end = 2}, {.bytes = 64, .begin = 1, .end = 2, .tensor = 3}};
    tni_blocks b = {.n = 2, .v = v};
    uint64_t total = 5;
    CU_ASSERT_TRUE(tni_fit(&b, 3, 1, &total));
    CU_ASSERT_EQUAL(total, 0);
}

// ------------------------------------------------------------------ executors

static void a_chain_runs_in_its_output(void)
{
    tn_exec *e = tn_simple_bind(bench.g, net_chain(20), .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(100)}));
    if (!TN_CHECK_EXEC(e)) return;
    const tn_memory_report m = tn_exec_memory(e);
    CU_ASSERT_EQUAL(m.planned, 0);
    CU_ASSERT_EQUAL(m.n_inplace, 19); // the first one reads the argument
    CU_ASSERT_EQUAL(m.naive, 19 * 448);
    CU_ASSERT_EQUAL(m.external, 2 * 400);
    CU_ASSERT_EQUAL(m.n_nodes, 21);
    tn_exec_free(e);
}

static void a_value_with_two_readers_is_not_overwritten(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_symbol a = tn_add(bench.g, x, 1), b = tn_mul(bench.g, a, 2), c = tn_mul(bench.g, a, b);
    tn_exec *e = tn_simple_bind(bench.g, c, .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    if (!TN_CHECK_EXEC(e)) return;
    net_fill(e);
    tn_tensor *in = TN_TENSOR(TN_F32, TN_DIMS(2), 3, -4);
    CU_ASSERT_EQUAL(tn_exec_set(e, "x", in), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 32, 18);
    CU_ASSERT_EQUAL(net_clashes(&e->plan.blocks), 0);
    tn_tensor_release(in);
    tn_exec_free(e);
}

static void a_value_read_twice_by_one_node(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), a = tn_add(bench.g, x, 1);
    tn_exec *e = tn_simple_bind(bench.g, tn_mul(bench.g, a, a), .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(3)}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *in = TN_TENSOR(TN_F32, TN_DIMS(3), 1, 2, 3);
    CU_ASSERT_EQUAL(tn_exec_set(e, "x", in), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 4, 9, 16);
    tn_tensor_release(in);
    tn_exec_free(e);
}

static void an_identity_costs_nothing(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), a = tn_add(bench.g, x, 1);
    tn_symbol f = UNARY("Flatten", "flat", a), b = tn_mul(bench.g, f, 3);
    tn_exec *e = tn_simple_bind(bench.g, b, .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(2, 2, 2)}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(e->n_rows, 2);
    CU_ASSERT_EQUAL(tn_exec_memory(e).planned, 0);
    TN_CHECK_HAS(tn_exec_plan_text(e), "no run");
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 3, 3, 3, 3, 3, 3, 3, 3);
    tn_exec_free(e);
}

static void an_identity_of_an_argument_as_output_is_a_copy(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_exec *e = tn_simple_bind(bench.g, UNARY("Flatten", "flat", x), .backends = bench.backends,
                                .shapes = TN_SHAPES({"x", TN_DIMS(1, 2)}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *in = TN_TENSOR(TN_F32, TN_DIMS(1, 2), 5, 6);
    CU_ASSERT_EQUAL(tn_exec_set(e, "x", in), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    CU_ASSERT_PTR_NOT_EQUAL(tn_tensor_data(tn_exec_output(e, 0)),
                            tn_tensor_data(tn_exec_arg(e, "x")));
    tn_tensor_fill(tn_exec_arg(e, "x"), 0);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 5, 6);
    tn_tensor_release(in);
    tn_exec_free(e);
}

// Branches of different sizes that join, with and without reuse: the numbers must be the same.
static tn_symbol branches(void)
{
    tn_symbol x = tn_variable(bench.g, "data"), sum = TN_NONE;
    for (int i = 0; i < 6; i++) {
        char hidden[16], name[16], back[16];
        snprintf(hidden, sizeof hidden, "%d", 3 + 5 * i % 7);
        snprintf(name, sizeof name, "wide%d", i);
        snprintf(back, sizeof back, "back%d", i);
        tn_symbol h = CALL("FullyConnected", name, x, {"num_hidden", hidden});
        h = UNARY(i % 2 ? "tanh" : "sigmoid", NULL, h);
        h = CALL("FullyConnected", back, h, {"num_hidden", "4"});
        sum = i ? tn_add(bench.g, sum, h) : h;
        if (i == 3) x = tn_mul(bench.g, UNARY("relu", NULL, sum), 2);
    }
    return UNARY("SoftmaxOutput", "out", sum);
}

static void sharing_changes_no_number(void)
{
    const tn_symbol net = branches();
    tn_exec *a = tn_simple_bind(bench.g, net, .backends = bench.backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"data", TN_DIMS(5, 6)}));
    tn_exec *b =
        tn_simple_bind(bench.g, net, .backends = bench.backends, .grad_req = TN_WRITE,
                       .shapes = TN_SHAPES({"data", TN_DIMS(5, 6)}), .flags = TN_BIND_NO_REUSE);
    if (!TN_CHECK_EXEC(a) || !TN_CHECK_EXEC(b)) return;
    const tn_memory_report ma = tn_exec_memory(a), mb = tn_exec_memory(b);
    CU_ASSERT_EQUAL(net_clashes(&a->plan.blocks), 0);
    CU_ASSERT_TRUE(ma.planned >= ma.lower_bound);
    CU_ASSERT_TRUE(ma.planned * 10 <= ma.lower_bound * 11);
    CU_ASSERT_TRUE(ma.planned * 2 < ma.naive);
    CU_ASSERT_TRUE(mb.planned > ma.planned);
    CU_ASSERT_EQUAL(mb.n_inplace, 0);
    net_fill(a);
    net_fill(b);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(tn_forward(a, true) | tn_backward(a, TN_NO_HEADS), TN_OK);
        CU_ASSERT_EQUAL(tn_forward(b, true) | tn_backward(b, TN_NO_HEADS), TN_OK);
    }
    CU_ASSERT_TRUE(net_equal(tn_exec_output(a, 0), tn_exec_output(b, 0)));
    const tn_names names = tn_exec_arguments(a);
    for (size_t i = 0; i < names.n; i++)
        CU_ASSERT_TRUE(net_equal(tn_exec_grad(a, names.v[i]), tn_exec_grad(b, names.v[i])));
    tn_exec_free(a);
    tn_exec_free(b);
}

static void values_of_any_size_work(void)
{
    for (int64_t n = 0; n < 2; n++) {
        tn_graph *g = tn_graph_new(bench.env);
        tn_symbol x = tn_variable(g, "x");
        tn_symbol y = tn_mul(g, tn_add(g, x, 1), 2);
        tn_exec *e = tn_simple_bind(g, y, .backends = bench.backends, .grad_req = TN_WRITE,
                                    .shapes = TN_SHAPES({"x", TN_DIMS(n, 3)}));
        tn_tensor *head = tn_tensor_new(bench.env, TN_F32, TN_DIMS(n, 3));
        CU_ASSERT_PTR_NOT_NULL_FATAL(e);
        CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
        CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
        CU_ASSERT_EQUAL(tn_tensor_size(tn_exec_output(e, 0)), 3 * n);
        if (n) TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 2, 2, 2);
        tn_tensor_release(head);
        tn_exec_free(e);
        tn_graph_free(g);
    }
}

// The sum of what is alive is more than 64 bits hold; and one byte of it would be much too much.
static void more_than_any_memory_is_an_error(void)
{
    static const char *const shapes[] = {"(2305843009213693952,)", "(562949953421312,)"};
    for (int k = 0; k < 2; k++) {
        tn_symbol x = tn_variable(bench.g, "x"), sum = TN_NONE;
        for (int i = 0; i < 6; i++) {
            tn_symbol part =
                CALL("broadcast_to", NULL, tn_mul(bench.g, x, 2 + i), {"shape", shapes[k]});
            sum = i ? BINARY("_maximum", NULL, sum, UNARY("exp", NULL, part)) : part;
        }
        tn_exec *e = tn_simple_bind(bench.g, UNARY("sum", NULL, sum), .backends = "reference",
                                    .shapes = TN_SHAPES({"x", TN_DIMS(1)}));
        CU_ASSERT_PTR_NULL(e);
        CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_NOMEM);
        tn_graph_free(bench.g);
        bench.g = tn_graph_new(bench.env);
        tn_exec_free(e);
    }
    tni_block v[1 + 9] = {{0}};
    tni_blocks blocks = {v, 9, 10};
    uint64_t total = 0;
    for (int i = 1; i <= 9; i++)
        v[i] = (tni_block){.bytes = 1ull << 61, .begin = 1, .end = 2, .align = 64};
    CU_ASSERT_FALSE(tni_fit(&blocks, 4, 1, &total));
    CU_ASSERT_FALSE(tni_fit_bound(&blocks, 4, &total));
}

// ------------------------------------------------------------------ kernels that mind

static bool load_picky(void)
{
    const bool ok = tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/picky.so") == TN_OK;
    TN_CHECK_STR(ok ? "" : tn_env_error(bench.env), "");
    return ok;
}

// Squares of differences, whose gradient comes from what square left in its stash.
static tn_symbol squares(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), y = x;
    for (int i = 0; i < 4; i++) {
        y = tn_sub(bench.g, y, tn_mul(bench.g, x, 0.5));
        y = UNARY("square", NULL, y);
    }
    return y;
}

static void stash_and_scratch_are_kept_apart(void)
{
    if (!load_picky()) return;
    const tn_symbol y = squares();
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(3), 1, 2, 3),
              *x = TN_TENSOR(TN_F32, TN_DIMS(3), 1, 0.5, -1);
    tn_exec *picky = tn_simple_bind(bench.g, y, .backends = "picky,reference",
                                    .args = TN_TENSORS({"x", x}), .grad_req = TN_WRITE);
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "reference", .args = TN_TENSORS({"x", x}),
                                .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(picky) || !TN_CHECK_EXEC(e)) return;
    const tn_memory_report m = tn_exec_memory(picky);
    CU_ASSERT_EQUAL(m.scratch, 16);
    CU_ASSERT_EQUAL(m.stash, 4 * 12);
    CU_ASSERT_EQUAL(net_clashes(&picky->plan.blocks), 0);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(tn_forward(picky, true) | tn_backward(picky, TN_TENSORS({NULL, head})),
                        TN_OK);
        CU_ASSERT_EQUAL(tn_forward(e, true) | tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    }
    TN_CHECK_EXEC(picky);
    CU_ASSERT_TRUE(net_equal(tn_exec_output(picky, 0), tn_exec_output(e, 0)));
    CU_ASSERT_TRUE(net_equal(tn_exec_grad(picky, "x"), tn_exec_grad(e, "x")));
    tn_exec_free(picky);
    tn_exec_free(e);
    tn_tensor_release(head);
    tn_tensor_release(x);
}

// With TN_BIND_NO_REUSE backward may come again, and finds every stash as forward left it.
static void a_stash_outlives_its_backward_where_nothing_is_reused(void)
{
    if (!load_picky()) return;
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(3), 1, 2, 3),
              *x = TN_TENSOR(TN_F32, TN_DIMS(3), 1, 0.5, -1);
    tn_exec *e = tn_simple_bind(bench.g, squares(), .backends = "picky,reference",
                                .args = TN_TENSORS({"x", x}), .grad_req = TN_WRITE,
                                .flags = TN_BIND_NO_REUSE);
    tn_tensor *grad = NULL;
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_forward(e, true) | tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    grad = tn_tensor_cast(tn_exec_grad(e, "x"), TN_F32);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    CU_ASSERT_TRUE(net_equal(tn_exec_grad(e, "x"), grad));
    size_t n = 0;
    for (size_t id = 1; id <= e->placed.g->n_nodes; id++) {
        if (!e->plan.stash[id]) continue;
        CU_ASSERT_EQUAL(e->plan.blocks.v[e->plan.stash[id]].end, e->plan.n_times);
        n++;
    }
    CU_ASSERT_EQUAL(n, 4);
    tn_tensor_release(grad);
    tn_tensor_release(head);
    tn_tensor_release(x);
    tn_exec_free(e);
}

// _sub of picky may be written over its second input only.
static void in_place_needs_the_permission_of_the_kernel(void)
{
    if (!load_picky()) return;
    tn_symbol x = tn_variable(bench.g, "x"), a = tn_add(bench.g, x, 1), b = tn_add(bench.g, x, 2);
    tn_symbol first = tn_sub(bench.g, a, x), second = tn_sub(bench.g, x, b);
    tn_symbol c = tn_add(bench.g, first, second);
    tn_symbol same = tn_add(bench.g, tn_sub(bench.g, c, c), 1);
    tn_exec *e = tn_simple_bind(bench.g, same, .backends = "picky,reference",
                                .shapes = TN_SHAPES({"x", TN_DIMS(3)}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_EXEC(e);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 1, 1, 1);
    tn_exec_free(e);
}

// Both halves of the sum share one gradient, so the exponentials of forward are written over: but
// not by something that lies in a gradient tensor, which only backward may touch.
static void forward_leaves_the_gradients_alone(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(bench.g, "y");
    tn_symbol sum = tn_add(bench.g, UNARY("exp", NULL, x), UNARY("exp", NULL, y));
    tn_exec *e = tn_simple_bind(bench.g, sum, .backends = bench.backends, .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 7, 8);
    CU_ASSERT_EQUAL(tn_forward(e, true) | tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 7, 8);
    TN_CHECK_VALUES(tn_exec_grad(e, "y"), 0, 7, 8);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 7, 8);
    TN_CHECK_VALUES(tn_exec_grad(e, "y"), 0, 7, 8);
    tn_tensor_release(head);
    tn_exec_free(e);
}

TN_TEST_MAIN({"blocks that live at the same time never overlap", living_blocks_never_overlap},
             {"memories of devices are planned apart", spaces_are_apart},
             {"many blocks", many_blocks_are_placed_in_order_of_time},
             {"a stack needs no more than its height", a_stack_needs_no_more_than_its_height},
             {"empty blocks and tensors take nothing", empty_blocks_and_tensors_take_nothing},
             {"a chain runs in its output", a_chain_runs_in_its_output},
             {"a value with two readers is not overwritten",
              a_value_with_two_readers_is_not_overwritten},
             {"a value read twice by one node", a_value_read_twice_by_one_node},
             {"an identity costs nothing", an_identity_costs_nothing},
             {"an identity of an argument as output is a copy",
              an_identity_of_an_argument_as_output_is_a_copy},
             {"sharing changes no number", sharing_changes_no_number},
             {"values of any size work", values_of_any_size_work},
             {"more than any memory is an error", more_than_any_memory_is_an_error},
             {"stash and scratch are kept apart", stash_and_scratch_are_kept_apart},
             {"a stash outlives its backward where nothing is reused",
              a_stash_outlives_its_backward_where_nothing_is_reused},
             {"in place needs the permission of the kernel",
              in_place_needs_the_permission_of_the_kernel},
             {"forward leaves the gradients alone", forward_leaves_the_gradients_alone})
