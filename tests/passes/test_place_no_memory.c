// tests/passes/test_place_no_memory.c: the N-th allocation of a placement fails, for each N: it
// then fails cleanly and says so. (Leaks show under valgrind.)
#include "core/exec/exec.h"
#include "devices_by_hand.h"
#include "tests/failing_malloc.h"

// What the expansion of softmax is made of.
#define PARTS "|max|broadcast_sub|exp|sum|broadcast_div|"

// A chain in which something is expanded, merged, pinned and in a group.
static tni_entry network(void)
{
    hand_begin(NULL);
    for (int i = 0; i < N_BY_HAND; i++) hand.handles[i][0].ops = hand.handles[i][1].ops = HAND_OPS;
    hand.handles[BETA][0].ops = PARTS;
    tn_symbol x = hand_var("x");
    for (int i = 0; i < 24; i++) {
        const tn_symbol y = hand_op(i % 4 ? "relu" : "softmax", NULL, x);
        const tn_symbol z = hand_op(i % 4 ? "relu" : "softmax", NULL, x);
        x = hand_op2("elemwise_add", NULL, y, z);
        if (i % 5 == 0) tn_attr_set(bench.g, x, "__ctx_group__", "far");
        if (i % 7 == 0) tn_attr_set(bench.g, x, "__backend__", "alpha");
    }
    return hand_entry(x);
}

static void place_with_failures(const char *backends)
{
    if (!CAN_FAIL) {
        tn_skip("the sanitizer has its own allocator");
        return;
    }
    const tni_entry keep = network();
    const tni_place_options options = {
        .backends = backends, .keep = &keep, .n_keep = 1, .groups = TN_ATTRS({"far", "far:1"})};
    bool told = true, done = false;
    long n = 0;
    PLACE(.backends = backends); // infers the types
    TN_CHECK_GRAPH();
    for (; !done && n < 10000; n++) {
        tni_placed_free(&hand.placed);
        countdown = n;
        const tn_status s = tni_place_graph(bench.g, &hand.types, (uint32_t)bench.g->n_nodes,
                                            &options, &hand.placed);
        done = countdown >= 0; // the failing allocation did not come
        countdown = -1;
        told = told && s == (done ? TN_OK : TN_E_NOMEM) && tn_graph_status(bench.g) == s;
        tn_graph_forgive(bench.g);
    }
    CU_ASSERT(told);
    CU_ASSERT(done && n > 50);
    CU_ASSERT(hand.placed.n_expanded > 0 && hand.placed.n_merged > 0 && hand.placed.n_copies > 0);
    hand_end();
}

static void with_copies(void)
{
    place_with_failures("alpha,beta");
}

static void with_layouts(void)
{
    place_with_failures("tile,beta,alpha");
}

static void from_far_memory(void)
{
    place_with_failures("far:0,beta,alpha");
}

// Texts that ran out of memory say so in `failed`; they are never cut in silence.
static void reports(void)
{
    if (!CAN_FAIL) {
        tn_skip("the sanitizer has its own allocator");
        return;
    }
    const tni_report_info nothing = {0};
    bool done = false;
    long n = 0;
    network();
    PLACE(.backends = "far:0,beta,alpha", .groups = TN_ATTRS({"far", "far:1"}));
    TN_CHECK_GRAPH();
    for (; !done && n < 1000; n++) {
        tni_text text = {0}, json = {0};
        countdown = n;
        tni_report_text(&hand.placed, &nothing, &text);
        tni_report_json(&hand.placed, &nothing, &json);
        done = countdown >= 0;
        countdown = -1;
        CU_ASSERT(done == (!text.failed && !json.failed));
        tni_text_free(&text);
        tni_text_free(&json);
    }
    CU_ASSERT(done && n > 5);
    hand_end();
}

TN_TEST_MAIN({"with copies", with_copies}, {"with layouts", with_layouts},
             {"from far memory", from_far_memory}, {"reports", reports})
