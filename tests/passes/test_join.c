// tests/passes/test_join.c: copies between memories and reorders between layouts: as few as needed.
#include "devices_by_hand.h"

// ------------------------------------------------------------------ operators of these tests

#define PORT(name_) TN_PORT(.name = (name_), .doc = "data")
#define STATE(name_) TN_PORT(.name = (name_), .doc = "data", .flags = TN_PORT_AUX)
#define LIKE(name_) TN_PORT(.name = (name_), .doc = "data", .flags = TN_PORT_SHAPE_ONLY)
static const tn_op_decl states =
    TN_OP(.name = "states", .doc = "Has a state.", .inputs = TN_PORTS(PORT("data"), STATE("mean")),
          .outputs = TN_PORTS(PORT("output")));
static const tn_op_decl like =
    TN_OP(.name = "like", .doc = "Looks at a shape.",
          .inputs = TN_PORTS(PORT("data"), LIKE("shape")), .outputs = TN_PORTS(PORT("output")));
static const tn_op_decl *const more[] = {&states, &like, NULL};

static void begin(void)
{
    hand_begin(more);
    for (int i = 0; i < N_BY_HAND; i++)
        hand.handles[i][0].ops = hand.handles[i][1].ops = HAND_OPS "like|";
}

static void pin(tn_symbol s, const char *device)
{
    tn_attr_set(bench.g, s, "__backend__", device);
}

// A call of one input that runs on that device.
static tn_symbol on(const char *device, const char *op, const char *name, tn_symbol x)
{
    const tn_symbol y = hand_op(op, name, x);
    pin(y, device);
    return y;
}

#define ALL .backends = "alpha,beta,far:0,far:1,tile"

// ------------------------------------------------------------------ copies

static void host_devices_share_their_memory(void)
{
    begin();
    on("beta", "sigmoid", "s", on("alpha", "relu", "r", hand_var("x")));
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x r:alpha s:beta");
    CU_ASSERT(hand.placed.n_copies == 0);
    hand_end();
}

static void one_copy_for_each_value_and_destination(void)
{
    begin();
    const tn_symbol r = on("alpha", "relu", "r", hand_var("x"));
    on("far:0", "relu", "a", r);
    on("far:0", "sigmoid", "b", r);
    on("far:1", "relu", "c", r);
    on("beta", "relu", "d", r);
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x r:alpha r_0_copy:host>far:0 a:far:0 b:far:0 "
                              "r_0_copy:host>far:1 c:far:1 d:beta");
    const tni_placed *p = &hand.placed;
    CU_ASSERT(p->n_copies == 2 && p->at[4].memory && p->at[4].memory == p->at[4].device);
    TN_CHECK_STR(tni_node_at(p->g, 3)->op->decl.name, "_CrossDeviceCopy");
    CU_ASSERT(tni_node_at(p->g, 5)->in[0].node == 3 && tni_node_at(p->g, 8)->in[0].node == 2);
    CU_ASSERT(p->layout[tni_node_at(p->g, 3)->value0].bytes == 4 * 8 * 4);
    CU_ASSERT(p->types.dtype[tni_node_at(p->g, 3)->value0] == TN_F32);
    CU_ASSERT(p->at[3].kind == TNI_COPY && !p->at[3].call);
    hand_end();
}

static void two_devices_meet_in_host_memory(void)
{
    begin();
    const tn_symbol a = on("far:0", "relu", "a", hand_var("x"));
    on("far:1", "relu", "b", a);
    on("beta", "relu", "c", a);
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x@far:0 a:far:0 a_0_copy:far:0>host a_0_copy:host>far:1 b:far:1 "
                              "c:beta");
    const tn_graph *g = hand.placed.g;
    CU_ASSERT(tni_node_at(g, 4)->in[0].node == 3 && tni_node_at(g, 6)->in[0].node == 3);
    hand_end();
}

static void variables_lie_where_they_are_used(void)
{
    begin();
    const tn_symbol x = hand_var("x"), y = hand_var("y"), z = hand_var("z");
    hand_var("unused");
    on("far:1", "relu", "a", x);
    on("far:1", "sigmoid", "b", x);
    on("far:1", "relu", "c", y);
    on("far:0", "relu", "d", y);
    on("beta", "relu", "e", z);
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x@far:1 y y_0_copy:host>far:1 z unused a:far:1 b:far:1 c:far:1 "
                              "y_0_copy:host>far:0 d:far:0 e:beta");
    tni_device *homes[16];
    for (int i = 0; i < 16; i++) homes[i] = &tni_home_auto;
    homes[1] = NULL; // x is somebody's tensor in host memory
    homes[2] = hand.list[FAR]->devices;
    PLACE(ALL, .homes = homes);
    TN_CHECK_STR(hand_show(),
                 "x x_0_copy:host>far:1 y@far:0 z unused a:far:1 b:far:1 y_0_copy:far:0>host "
                 "y_0_copy:host>far:1 c:far:1 d:far:0 e:beta");
    hand_end();
}

static void what_only_lends_its_shape_is_not_copied(void)
{
    begin();
    const tn_symbol x = hand_var("x"), y = hand_var("y");
    const tn_symbol a = on("far:0", "relu", "a", x);
    pin(hand_op2("like", "l", y, a), "beta");
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x@far:0 y a:far:0 l:beta");
    const tn_call *call = hand.placed.at[4].call;
    CU_ASSERT(call && call->in[1]->flags == TN_VALUE_SHAPE_ONLY && call->in[0]->flags == 0);
    hand_end();
}

static void states_stay_where_they_are_written(void)
{
    begin();
    const tn_symbol x = hand_var("x"), m = hand_var("m");
    on("beta", "relu", "before", m);
    pin(hand_op2("states", "s", x, m), "far:0");
    on("beta", "sigmoid", "after", m);
    PLACE(ALL);
    TN_CHECK_GRAPH();
    // What was copied before the state was written is out of date after it.
    TN_CHECK_STR(hand_show(), "x@far:0 m@far:0 m_0_copy:far:0>host before:beta s:far:0 "
                              "m_0_copy:far:0>host after:beta");
    tni_device *homes[] = {NULL, &tni_home_auto, NULL, NULL, NULL, NULL, NULL};
    CU_ASSERT(PLACE(ALL, .homes = homes) == TN_E_UNSUPPORTED);
    TN_CHECK_HAS(tn_graph_error(bench.g), "s (states) runs on far:0 and writes m, which lies in "
                                          "host memory");
    tn_graph_forgive(bench.g);
    pin(hand_op2("states", "t", x, m), "far:1");
    CU_ASSERT(PLACE(ALL) == TN_E_UNSUPPORTED);
    TN_CHECK_HAS(tn_graph_error(bench.g), "t (states) runs on far:1 and writes m, which lies in "
                                          "far:0");
    hand_end();
}

static void kept_values_come_to_where_they_are_wanted(void)
{
    begin();
    const tn_symbol x = hand_var("x"), a = on("far:0", "relu", "a", x);
    const tn_symbol b = on("beta", "relu", "b", a);
    const tni_entry keep[] = {hand_entry(a), hand_entry(a), hand_entry(b), hand_entry(x)};
    tni_device *homes[] = {&tni_home_auto, NULL, &hand.devices[FAR][1], NULL};
    PLACE(ALL, .keep = keep, .n_keep = 4, .keep_homes = homes);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x@far:0 x_0_copy:far:0>host a:far:0 a_0_copy:far:0>host b:beta "
                              "b_0_copy:host>far:1");
    const tni_placed *p = &hand.placed;
    CU_ASSERT(p->kept[0].node == 3 && p->kept[1].node == 4);
    CU_ASSERT(p->kept[2].node == 6 && p->kept[3].node == 2);
    CU_ASSERT(p->values[1].node == 3);
    hand_end();
}

static void forward_and_backward_stay_apart(void)
{
    begin();
    const tn_symbol x = hand_var("x"), a = on("far:0", "relu", "a", x);
    const tni_entry keep = hand_entry(a), dy = hand_entry(hand_var("dy"));
    tni_device *home = NULL;
    tni_build(bench.g, NULL, "relu", NULL, &dy, 1, "b", 2); // follows a to far:0
    hand_place(2, &(tni_place_options){ALL, .keep = &keep, .keep_homes = &home, .n_keep = 1});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x@far:0 a:far:0 a_0_copy:far:0>host dy(backward)");
    const tni_entry both[] = {keep, {4, 0}};
    tni_device *homes[] = {NULL, NULL};
    hand_place(2, &(tni_place_options){ALL, .keep = both, .keep_homes = homes, .n_keep = 2});
    TN_CHECK_STR(hand_show(), "x@far:0 a:far:0 a_0_copy:far:0>host dy(backward)@far:0 b:far:0 "
                              "b_0_copy:far:0>host");
    const tni_placed *p = &hand.placed;
    CU_ASSERT(p->n_forward == 3 && tni_node_at(p->g, 5)->forward == 2);
    CU_ASSERT(p->at[5].call && p->at[5].call->forward == p->at[2].call);
    hand_end();
}

// ------------------------------------------------------------------ layouts

static void layouts_flow_through_those_who_know_them(void)
{
    begin();
    tn_symbol x = hand_var("x");
    x = on("tile", "relu", "a", x);
    x = on("tile", "sigmoid", "b", x);
    x = hand_op2("elemwise_add", "c", x, x);
    pin(x, "tile");
    x = on("tile", "relu", "d", x);
    const tni_entry keep = hand_entry(x);
    PLACE(ALL, .keep = &keep, .n_keep = 1);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x x_0_reorder:tile a:tile b:tile c:tile d:tile d_0_reorder:tile");
    const tni_placed *p = &hand.placed;
    CU_ASSERT(p->n_reorders == 2 && p->kept[0].node == 7);
    for (uint32_t id = 2; id <= 6; id++) {
        CU_ASSERT(p->layout[tni_node_at(p->g, id)->value0].domain != NULL);
        CU_ASSERT(p->layout[tni_node_at(p->g, id)->value0].bytes == 4096);
    }
    CU_ASSERT(!p->layout[tni_node_at(p->g, 7)->value0].domain);
    CU_ASSERT(p->layout[tni_node_at(p->g, 7)->value0].bytes == 128);
    const tn_call *b = p->at[4].call, *back = p->at[7].call;
    CU_ASSERT(b && tni_layout_equal(&b->in[0]->layout, &hand_tile) && b->in[0]->bytes == 4096);
    CU_ASSERT(b && tni_layout_equal(&b->out[0]->layout, &hand_tile) && b->in[0]->size == 32);
    CU_ASSERT(back && back->in[0]->layout.domain && !back->out[0]->layout.domain);
    TN_CHECK_STR(back ? back->op->name : "", "_reorder");
    hand_end();
}

// Of x → a → b → c, where tile runs a and c, and alpha b.
static void place_between(bool permutes, bool dense, const char *wanted)
{
    begin();
    hand.backends[TILE].api.flags = permutes ? TN_BACKEND_PERMUTES : 0;
    hand.handles[TILE][0].dense = dense;
    tn_symbol x = on("tile", "relu", "a", hand_var("x"));
    x = on("alpha", "relu", "b", x);
    const tni_entry keep[] = {hand_entry(x), hand_entry(on("tile", "sigmoid", "c", x))};
    PLACE(ALL, .keep = keep, .n_keep = 2);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), wanted);
}

static void layouts_pass_through_elementwise_kernels(void)
{
    place_between(true, true,
                  "x x_0_reorder:tile a:tile b:alpha b_0_reorder:tile c:tile c_0_reorder:tile");
    const tni_placed *p = &hand.placed;
    const tn_call *b = p->at[4].call;
    CU_ASSERT(p->layout[tni_node_at(p->g, 4)->value0].domain != NULL);
    CU_ASSERT(b && !b->in[0]->layout.domain && !b->out[0]->layout.domain); // alpha knows nothing
    CU_ASSERT(tni_node_at(p->g, 6)->in[0].node == 4 && p->kept[0].node == 5);
    hand_end();
}

static const char apart[] = "x x_0_reorder:tile a:tile a_0_reorder:tile b:alpha b_0_reorder:tile "
                            "c:tile c_0_reorder:tile";

static void layouts_that_may_be_anything_do_not_pass(void)
{
    place_between(false, true, apart);
    hand_end();
}

static void padding_does_not_pass(void)
{
    place_between(true, false, apart);
    hand_end();
}

static void layouts_stop_at_what_has_no_use_for_them(void)
{
    begin();
    hand.backends[TILE].api.flags = TN_BACKEND_PERMUTES;
    hand.handles[TILE][0].dense = true;
    const tn_symbol a = on("tile", "relu", "a", hand_var("x"));
    on("beta", "sigmoid", "c", on("alpha", "relu", "b", a));
    const tn_symbol d = hand_op2("elemwise_add", "d", a, hand_var("y")); // y is row-major
    pin(d, "beta");
    on("tile", "relu", "e", d);
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x x_0_reorder:tile a:tile a_0_reorder:tile b:alpha c:beta y d:beta "
                              "d_0_reorder:tile e:tile");
    hand_end();
}

static void a_layout_is_made_once(void)
{
    begin();
    const tn_symbol x = hand_var("x"), r = on("beta", "relu", "r", x);
    const tn_symbol a = on("tile", "relu", "a", r);
    on("tile", "sigmoid", "b", r);
    on("beta", "sigmoid", "c", a);
    on("alpha", "relu", "d", a);
    on("far:0", "relu", "e", a);
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x r:beta r_0_reorder:tile a:tile a_0_reorder:tile "
                              "a_0_copy:host>far:0 b:tile c:beta d:alpha e:far:0");
    CU_ASSERT(tni_node_at(hand.placed.g, 6)->in[0].node == 5); // copied as row-major
    hand_end();
}

// A download comes before what its device does next, even if its reader stands later; and stays
// behind host nodes in between. Backward does not make forward copy.
static void copies_begin_early(void)
{
    begin();
    const tn_symbol x = hand_var("x"), y = hand_var("y"), a = on("far:0", "relu", "a", x);
    on("beta", "relu", "h", y);
    const tn_symbol b = on("far:1", "sigmoid", "b", x);
    on("far:0", "sigmoid", "c", x);
    on("beta", "sigmoid", "reads_a", a);
    on("beta", "relu", "reads_b", b);
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x x_0_copy:host>far:0 y a:far:0 h:beta x_0_copy:host>far:1 b:far:1 "
                              "a_0_copy:far:0>host c:far:0 reads_a:beta b_0_copy:far:1>host "
                              "reads_b:beta");
    hand_place(5, &(tni_place_options){ALL});
    TN_CHECK_STR(hand_show(), "x x_0_copy:host>far:0 y a:far:0 h:beta x_0_copy:host>far:1 b:far:1 "
                              "c(backward):far:0 a_0_copy:far:0>host reads_a:beta "
                              "b_0_copy:far:1>host reads_b:beta");
    hand_end();
}

static void from_far_memory_into_a_layout(void)
{
    begin();
    on("far:1", "relu", "b", on("tile", "relu", "t", on("far:0", "relu", "a", hand_var("x"))));
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x@far:0 a:far:0 a_0_copy:far:0>host a_0_reorder:tile t:tile "
                              "t_0_reorder:tile t_0_copy:host>far:1 b:far:1");
    hand_end();
}

static void two_domains_meet_as_row_major(void)
{
    begin();
    hand.backends[BETA].api.layouts = hand_layouts;
    hand.backends[BETA].api.prepare_reorder = hand_reorder;
    hand.handles[BETA][0].domain = "beta's own";
    on("beta", "relu", "b", on("tile", "relu", "t", hand_var("x")));
    PLACE(ALL);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x x_0_reorder:tile t:tile t_0_reorder:tile t_0_reorder:beta b:beta");
    hand.handles[BETA][0].domain = NULL; // equal layouts are interchangeable
    PLACE(ALL);
    TN_CHECK_STR(hand_show(), "x x_0_reorder:tile t:tile b:beta");
    hand_end();
}

static void weights_are_packed_and_states_are_not(void)
{
    begin();
    const tn_symbol x = hand_var("x"), m = hand_var("m");
    const tn_symbol fc = tn_call(bench.g, "FullyConnected", .name = "fc", .inputs = TN_SYMS(x),
                                 .params = TN_ATTRS({"num_hidden", "3"}));
    pin(fc, "tile");
    pin(hand_op2("states", "s", x, m), "tile");
    uint8_t constants[16] = {0};
    constants[hand_entry(fc).node - 2] = 1; // fc_weight
    PLACE(ALL, .constants = constants);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x m fc_weight fc_bias fc_weight_0_reorder:tile fc:tile "
                              "x_0_reorder:tile s:tile");
    const tni_placed *p = &hand.placed;
    const tn_call *call = p->at[6].call;
    CU_ASSERT(call && call->in[1]->flags == TN_VALUE_CONST && call->in[0]->flags == 0);
    CU_ASSERT(call && tni_layout_equal(&call->in[1]->layout, &hand_tile));
    CU_ASSERT(p->constant[tni_node_at(p->g, 5)->value0] == 1); // packing once is enough
    CU_ASSERT(p->constant[tni_node_at(p->g, 6)->value0] == 0);
    call = p->at[8].call;
    CU_ASSERT(call && !call->in[1]->layout.domain);
    hand_end();
}

// a is read by tiles alone, b by beta, too; c, d and f leave; f wants e row-major.
static void who_reads_an_output_is_told(void)
{
    static const uint32_t wanted[] = {TN_VALUE_STAYS, 0, 0, 0, 0, 0};
    begin();
    const tn_symbol a = on("tile", "relu", "a", hand_var("x"));
    const tn_symbol b = on("tile", "sigmoid", "b", a);
    const tn_symbol c = on("beta", "sigmoid", "c", b), d = on("tile", "relu", "d", b);
    const tn_symbol f = on("tile", "Dropout", "f", on("tile", "relu", "e", a));
    const tni_entry keep[] = {hand_entry(c), hand_entry(d), hand_entry(f)};
    PLACE(ALL, .keep = keep, .n_keep = 3, .compute = TN_BF16);
    TN_CHECK_GRAPH();
    const tni_placed *p = &hand.placed;
    for (uint32_t id = 1; id <= p->g->n_nodes; id++) {
        const char *name = tni_node_at(p->g, id)->name;
        const tn_call *call = p->at[id].call;
        if (strlen(name) != 1 || *name == 'x') continue;
        CU_ASSERT(call && call->out[0]->flags == wanted[*name - 'a']);
        CU_ASSERT(call && call->in[0]->flags == 0);
    }
    PLACE(ALL, .keep = keep, .n_keep = 3); // nobody may round
    for (uint32_t id = 1; id <= p->g->n_nodes; id++)
        CU_ASSERT(!p->at[id].call || p->at[id].call->out[0]->flags == 0);
    hand_end();
}

// Each node of a chain wants its input row-major once it knows that its output leaves.
static void minds_are_made_up_before_anything_is_written(void)
{
    begin();
    hand.handles[TILE][0].shy = true;
    tn_symbol x = hand_var("x");
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++) x = on("tile", "relu", names[i], x);
    const tni_entry keep[] = {hand_entry(x)};
    PLACE(ALL, .keep = keep, .n_keep = 1, .compute = TN_BF16);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x a:tile b:tile c:tile d:tile e:tile");
    const tni_placed *p = &hand.placed;
    for (uint32_t id = 1; id <= p->g->n_nodes; id++)
        CU_ASSERT(!p->at[id].call || p->at[id].call->out[0]->flags == 0);
    hand_end();
}

static void layouts_that_fail_are_errors(void)
{
    begin();
    on("tile", "relu", "a", hand_var("x"));
    PLACE(ALL);
    TN_CHECK_GRAPH();
    hand.handles[TILE][0].bad_layouts = TN_E_NOMEM;
    CU_ASSERT(PLACE(ALL) == TN_E_NOMEM);
    TN_CHECK_HAS(tn_graph_error(bench.g), "a (relu): tile: layouts() failed: out of memory");
    tn_graph_forgive(bench.g);
    hand.handles[TILE][0].bad_layouts = TN_OK;
    hand.handles[TILE][0].empty_layouts = true;
    CU_ASSERT(PLACE(ALL) == TN_E_INTERNAL);
    TN_CHECK_HAS(tn_graph_error(bench.g), "layouts() gave input 0 a layout of 0 bytes");
    tn_graph_forgive(bench.g);
    hand.backends[TILE].api.prepare_reorder = NULL; // cannot make layouts, so it is not asked
    PLACE(ALL);
    TN_CHECK_STR(hand_show(), "x a:tile");
    hand_end();
}

TN_TEST_MAIN(
    {"host devices share their memory", host_devices_share_their_memory},
    {"one copy for each value and destination", one_copy_for_each_value_and_destination},
    {"two devices meet in host memory", two_devices_meet_in_host_memory},
    {"variables lie where they are used", variables_lie_where_they_are_used},
    {"what only lends its shape is not copied", what_only_lends_its_shape_is_not_copied},
    {"states stay where they are written", states_stay_where_they_are_written},
    {"kept values come to where they are wanted", kept_values_come_to_where_they_are_wanted},
    {"forward and backward stay apart", forward_and_backward_stay_apart},
    {"layouts flow through those who know them", layouts_flow_through_those_who_know_them},
    {"layouts pass through elementwise kernels", layouts_pass_through_elementwise_kernels},
    {"layouts that may be anything do not pass", layouts_that_may_be_anything_do_not_pass},
    {"padding does not pass", padding_does_not_pass},
    {"layouts stop at what has no use for them", layouts_stop_at_what_has_no_use_for_them},
    {"a layout is made once", a_layout_is_made_once}, {"copies begin early", copies_begin_early},
    {"from far memory into a layout", from_far_memory_into_a_layout},
    {"two domains meet as row-major", two_domains_meet_as_row_major},
    {"weights are packed and states are not", weights_are_packed_and_states_are_not},
    {"who reads an output is told", who_reads_an_output_is_told},
    {"minds are made up before anything is written", minds_are_made_up_before_anything_is_written},
    {"layouts that fail are errors", layouts_that_fail_are_errors})
