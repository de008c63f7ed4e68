// tests/passes/test_place.c: which device runs which node, and what is said when none does.
#include "core/exec/exec.h"
#include "devices_by_hand.h"

// ------------------------------------------------------------------ operators of these tests

static void set_sum_of_self(const tn_builder *b, const char *op)
{
    const tn_sym x = b->input(b->ctx, 0);
    const tn_sym both[] = {x, x};
    const bool add = strcmp(op, "elemwise_add") == 0;
    b->set_output(b->ctx, 0, b->apply(b->ctx, op, NULL, both, add ? 2 : 1));
}

static tn_status twice_expand(const tn_builder *b)
{
    set_sum_of_self(b, "elemwise_add");
    return TN_OK;
}

static tn_status four_times_expand(const tn_builder *b)
{
    const tn_sym x = b->input(b->ctx, 0);
    const tn_sym y = b->apply(b->ctx, "twice", NULL, &x, 1);
    b->set_output(b->ctx, 0, b->apply(b->ctx, "twice", NULL, &y, 1));
    return TN_OK;
}

static tn_status endless_expand(const tn_builder *b)
{
    set_sum_of_self(b, "endless");
    return TN_OK;
}

static tn_status unlike_expand(const tn_builder *b)
{
    const tn_sym x = b->input(b->ctx, 0);
    b->set_output(b->ctx, 0, b->apply(b->ctx, "Cast", "dtype=float64", &x, 1));
    return TN_OK;
}

static tn_status lost_expand(const tn_builder *b)
{
    return b->fail(b->ctx, TN_E_INVALID, "only on Sundays");
}

#define X TN_PORTS(TN_PORT(.name = "data", .doc = "input"))
#define Y TN_PORTS(TN_PORT(.name = "output", .doc = "result"))
#define UNARY(name_, ...) \
    TN_OP(.name = (name_), .doc = "For tests.", .inputs = X, .outputs = Y, __VA_ARGS__)
static const tn_op_decl twice = UNARY("twice", .expand = twice_expand);
static const tn_op_decl four_times = UNARY("four_times", .expand = four_times_expand);
static const tn_op_decl endless = UNARY("endless", .expand = endless_expand);
static const tn_op_decl unlike = UNARY("unlike", .expand = unlike_expand);
static const tn_op_decl lost = UNARY("lost", .expand = lost_expand);
static const tn_op_decl nobodys = UNARY("nobodys", .flags = TN_OP_NO_GRAD);
static const tn_op_decl *const more[] = {&twice, &four_times, &endless, &unlike,
                                         &lost,  &nobodys,    NULL};

// relu alpha has; sigmoid it has not.
static tn_symbol relu_then_sigmoid(void)
{
    return hand_op("sigmoid", "s", hand_op("relu", "r", hand_var("x")));
}

// ------------------------------------------------------------------ lists

static void a_node_goes_to_the_first_that_supports_it(void)
{
    hand_begin(NULL);
    relu_then_sigmoid();
    PLACE(.backends = "alpha,beta");
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x r:alpha s:beta");
    const tni_place *s = &hand.placed.at[3];
    CU_ASSERT(!hand.placed.at[2].refusals);
    if (s->refusals) {
        TN_CHECK_STR(s->refusals->device, "alpha");
        TN_CHECK_STR(s->refusals->text, "no kernel for sigmoid");
        CU_ASSERT(s->refusals->reason == TN_NO_OP && !s->refusals->next);
    } else {
        CU_FAIL("no refusal was kept");
    }
    CU_ASSERT(s->call && s->call->n_in == 1 && s->call->in[0]->bytes == 4 * 8 * 4);
    TN_CHECK_STR(s->call ? s->call->name : "", "s");
    PLACE(.backends = " beta , alpha,beta ");
    TN_CHECK_STR(hand_show(), "x r:beta s:beta");
    CU_ASSERT(hand.placed.n_devices == 2);
    hand_end();
}

static void one_error_names_all_that_nothing_supports(void)
{
    hand_begin(more);
    tn_symbol x = hand_var("x");
    for (int i = 0; i < 5; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%d", i);
        x = hand_op("sigmoid", name, x);
    }
    hand_op("nobodys", "n", hand_op("relu", "r", x));
    hand.handles[ALPHA][0].f32_only = true;
    tn_call(bench.g, "relu", .name = "wide",
            .inputs = TN_SYMS(tn_variable(bench.g, "w", .shape = TN_DIMS(3), .dtype = TN_F64)));
    CU_ASSERT(PLACE(.backends = "alpha") == TN_E_UNSUPPORTED);
    const char *text = tn_graph_error(bench.g);
    TN_CHECK_HAS(text, "no kernel for 7 nodes; the list is alpha:");
    TN_CHECK_HAS(text, "sigmoid(float32(4,8)): s0, s1, s2 and 2 more\n    alpha: no kernel for");
    TN_CHECK_HAS(text, "nobodys(float32(4,8)): n\n    alpha: no kernel for nobodys");
    TN_CHECK_HAS(text, "relu(float64(3)): wide\n    alpha: float32 only");
    CU_ASSERT(!strstr(text, "beta")); // what is not on the list is never asked
    CU_ASSERT(hand.handles[BETA][0].asked == 0);
    hand_end();
}

static void each_kind_of_call_is_asked_once(void)
{
    hand_begin(NULL);
    tn_symbol x = hand_var("x");
    for (int i = 0; i < 100; i++) x = hand_op(i % 2 ? "relu" : "sigmoid", NULL, x);
    PLACE(.backends = "alpha,beta", .apart = true);
    TN_CHECK_GRAPH();
    CU_ASSERT(hand.handles[ALPHA][0].asked == 2);
    CU_ASSERT(hand.handles[BETA][0].asked == 1);
    CU_ASSERT(hand.placed.g->n_nodes == 101);
    hand_end();
}

static void a_failing_supports_is_a_reason(void)
{
    hand_begin(NULL);
    relu_then_sigmoid();
    hand.handles[ALPHA][0].fails = true;
    PLACE(.backends = "alpha,beta");
    TN_CHECK_STR(hand_show(), "x r:beta s:beta");
    const tni_refusal *r = hand.placed.at[2].refusals;
    TN_CHECK_HAS(r ? r->text : "", "supports() failed: internal error");
    hand_end();
}

static void the_same_input_gives_the_same_placement(void)
{
    hand_begin(more);
    relu_then_sigmoid();
    hand_op("four_times", "f", hand_var("y"));
    PLACE(.backends = "alpha,far:1,beta");
    char *first = strdup(hand_show());
    for (int i = 0; i < 3; i++) {
        PLACE(.backends = "alpha,far:1,beta");
        TN_CHECK_STR(hand_show(), first);
    }
    free(first);
    hand_end();
}

static void what_the_list_says_wrong(void)
{
    static const struct {
        const char *list, *text;
        tn_status status;
    } cases[] = {
        {"alpa", "backends \"alpa\": no backend \"alpa\" — did you mean alpha", TN_E_NOT_FOUND},
        {"alpha,", "backends \"alpha,\": empty name", TN_E_INVALID},
        {"", "empty name", TN_E_INVALID},
        {"far:", "empty name", TN_E_INVALID},
        {"alpha beta", "no backend \"alpha beta\"", TN_E_NOT_FOUND},
        {"far:7", "has no device \"7\"; it has: far:0 (accelerator), far:1 (gpu)", TN_E_NOT_FOUND},
        {"alpha,broken", "broken cannot be opened", TN_E_UNAVAILABLE},
    };
    hand_begin(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n;
        tni_device **list = tni_devices_parse(bench.g, cases[i].list, &n);
        CU_ASSERT(!list && tn_graph_status(bench.g) == cases[i].status);
        TN_CHECK_HAS(tn_graph_error(bench.g), cases[i].text);
        tn_graph_forgive(bench.g);
        free(list);
    }
    hand_end();
}

// URIs of a list, or the error.
static const char *list_of(const char *list)
{
    static char text[256];
    size_t n, at = 0;
    tni_device **devices = tni_devices_parse(bench.g, list, &n);
    text[0] = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " " : "", devices[i]->uri);
    free(devices);
    return devices ? text : tn_graph_error(bench.g);
}

static void devices_have_several_names(void)
{
    hand_begin(NULL);
    TN_CHECK_STR(list_of("far"), "far:0");
    TN_CHECK_STR(list_of("far:gpu,far:0,far"), "far:1 far:0");
    TN_CHECK_STR(list_of("alpha:cpu,alpha:0,alpha"), "alpha");
    unsetenv("TENON_BACKENDS");
    TN_CHECK_STR(list_of(NULL), "alpha beta far:0 tile"); // neither broken nor quiet
    setenv("TENON_BACKENDS", "quiet,beta", 1);
    TN_CHECK_STR(list_of(NULL), "quiet beta");
    setenv("TENON_BACKENDS", "broken", 1);
    TN_CHECK_HAS(list_of(NULL), "TENON_BACKENDS \"broken\": ");
    unsetenv("TENON_BACKENDS");
    hand_end();
}

static void a_refused_plugin_is_the_reason(void)
{
    static const char *const paths[] = {TN_HOSTILE_DIR "/no_symbol.so", NULL};
    size_t n;
    tn_env *env = tn_env_new(&(tn_env_options){
        .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
    tn_graph *g = tn_graph_new(env);
    CU_ASSERT(!tni_devices_parse(g, "no_symbol", &n));
    CU_ASSERT(tn_graph_status(g) == TN_E_UNAVAILABLE);
    TN_CHECK_HAS(tn_graph_error(g), "backend \"no_symbol\" is not loaded: " TN_HOSTILE_DIR
                                    "/no_symbol.so was refused at symbol: ");
    tn_graph_forgive(g);
    CU_ASSERT(!tni_devices_parse(g, "no_symbol2", &n));
    TN_CHECK_HAS(tn_graph_error(g), "no backend \"no_symbol2\"; no backend is loaded at all");
    tn_graph_forgive(g);
    CU_ASSERT(!tni_devices_parse(g, NULL, &n));
    TN_CHECK_HAS(tn_graph_error(g), "no backend can be used: none is loaded");
    tn_graph_free(g);
    tn_env_free(env);
}

// ------------------------------------------------------------------ pins and groups

static void pin(tn_symbol s, const char *key, const char *value)
{
    tn_attr_set(bench.g, s, key, value);
}

static void a_pin_is_a_hard_requirement(void)
{
    hand_begin(NULL);
    const tn_symbol s = relu_then_sigmoid(), r = {2, 0, s.graph};
    pin(r, "__backend__", "beta");
    PLACE(.backends = "alpha,beta");
    TN_CHECK_STR(hand_show(), "x r:beta s:beta");
    pin(s, "__backend__", "alpha");
    CU_ASSERT(PLACE(.backends = "alpha,beta") == TN_E_UNSUPPORTED);
    TN_CHECK_HAS(tn_graph_error(bench.g), "sigmoid(float32(4,8)), in __backend__ \"alpha\": s\n");
    tn_graph_forgive(bench.g);
    pin(s, "__backend__", "far:1");
    CU_ASSERT(PLACE(.backends = "alpha,beta") == TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g),
                 "s (sigmoid): __backend__ \"far:1\" is not on the list of "
                 "this bind, which is: alpha, beta");
    tn_graph_forgive(bench.g);
    pin(s, "__backend__", "far:gpu");
    PLACE(.backends = "far:0,beta,far:1");
    TN_CHECK_HAS(hand_show(), "s:far:1");
    hand_end();
}

// Appends a node of a gradient, which belongs to a forward node.
static tni_entry backward(const char *op, tni_entry in, uint32_t forward)
{
    return tni_build(bench.g, NULL, op, NULL, &in, 1, "b", forward);
}

// What the pinned backend lacks of a gradient runs on the rest of the list.
static void a_pin_binds_gradients_as_far_as_it_can(void)
{
    hand_begin(NULL);
    const tn_symbol s = relu_then_sigmoid(), r = {2, 0, s.graph};
    pin(r, "__backend__", "alpha");
    const uint32_t n = (uint32_t)bench.g->n_nodes;
    backward("sigmoid", backward("relu", hand_entry(s), r.node), r.node);
    hand_place(n, &(tni_place_options){.backends = "beta,alpha", .training = true, .apart = true});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x r:alpha s:beta b(backward):alpha b1:beta");
    TN_CHECK_STR(hand.placed.at[5].refusals->device, "alpha");
    pin((tn_symbol){n + 2, 0, s.graph}, "__backend__", "alpha:0"); // its own pin is hard again
    hand_place(n, &(tni_place_options){.backends = "beta,alpha", .training = true});
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_UNSUPPORTED);
    hand_end();
}

static void groups_have_lists_of_their_own(void)
{
    hand_begin(NULL);
    const tn_symbol s = relu_then_sigmoid(), r = {2, 0, s.graph};
    pin(r, "__ctx_group__", "one");
    pin(s, "__ctx_group__", "two");
    PLACE(.backends = "alpha,beta");
    TN_CHECK_STR(hand_show(), "x r:alpha s:beta"); // no map: the attribute means nothing
    PLACE(.backends = "alpha", .groups = TN_ATTRS({"one", "tile,beta"}, {"two", "alpha, beta"}));
    TN_CHECK_GRAPH();
    TN_CHECK_HAS(hand_show(), " r:tile");
    TN_CHECK_HAS(hand_show(), " s:beta");
    CU_ASSERT(PLACE(.backends = "alpha", .groups = TN_ATTRS({"one", "beta"}, {"tow", "beta"})) ==
              TN_E_NOT_FOUND);
    TN_CHECK_HAS(tn_graph_error(bench.g),
                 "s (sigmoid): __ctx_group__ \"two\" has no device — did you mean tow");
    tn_graph_forgive(bench.g);
    CU_ASSERT(PLACE(.backends = "alpha", .groups = TN_ATTRS({"one", "beta"}, {"two", "alpha"})) ==
              TN_E_UNSUPPORTED);
    TN_CHECK_HAS(tn_graph_error(bench.g), "in group \"two\": s\n    alpha: no kernel");
    hand_end();
}

static void gradients_follow_their_forward_node(void)
{
    hand_begin(NULL);
    const tn_symbol s = relu_then_sigmoid(), r = {2, 0, s.graph};
    pin(r, "__backend__", "beta");
    const uint32_t n = (uint32_t)bench.g->n_nodes;
    backward("relu", backward("relu", hand_entry(s), 0), r.node);
    hand_place(n, &(tni_place_options){.backends = "alpha,beta", .training = true, .apart = true});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x r:beta s:beta b(backward):alpha b1:beta");
    CU_ASSERT(hand.placed.n_forward == 3);
    const tni_place *last = &hand.placed.at[5];
    CU_ASSERT(last->call && last->call->forward == hand.placed.at[2].call);
    CU_ASSERT(last->call && last->call->flags == TN_CALL_TRAINING);
    CU_ASSERT(hand.handles[BETA][0].forward != NULL);
    hand_end();
}

// ------------------------------------------------------------------ kernels of other plugins

static tn_status kernel_supports(void *plugin, const tn_call *call, tn_verdict *v)
{
    v->ok = call->in[0]->dtype == TN_F32;
    v->reason = TN_NO_DTYPE;
    snprintf(v->text, sizeof v->text, "%s", (const char *)plugin);
    return TN_OK;
}

static void a_kernel_for_host_memory_serves_any_device_there(void)
{
    tni_kernel_decl kernel = {.decl = {.struct_size = sizeof kernel.decl,
                                       .op = "nobodys",
                                       .backend = "host",
                                       .supports = kernel_supports},
                              .self = "not this one"};
    hand_begin(more);
    kernel.plugin = &hand.plugin;
    extra_registry.kernels = &kernel;
    extra_registry.n_kernels = 1;
    hand_op("nobodys", "n", hand_var("x"));
    PLACE(.backends = "far,beta,alpha");
    TN_CHECK_GRAPH();
    TN_CHECK_STR(hand_show(), "x n:beta");
    CU_ASSERT(hand.placed.at[2].kernel == &kernel);
    kernel.decl.backend = "alpha"; // … and one for a backend only that one
    PLACE(.backends = "far,beta,alpha");
    TN_CHECK_STR(hand_show(), "x n:alpha");
    kernel.decl.interface_id = "tn.nothing/1";
    CU_ASSERT(PLACE(.backends = "alpha") == TN_E_UNSUPPORTED);
    TN_CHECK_HAS(tn_graph_error(bench.g), "the backend has no interface tn.nothing/1");
    hand_end();
}

// ------------------------------------------------------------------ expansion

static void what_nobody_supports_is_expanded(void)
{
    hand_begin(more);
    hand_op("relu", "r", hand_op("four_times", "f", hand_var("x")));
    const tni_entry keep[] = {{2, 0}, {3, 0}};
    PLACE(.backends = "alpha,beta", .keep = keep, .n_keep = 2);
    TN_CHECK_GRAPH();
    const tni_placed *p = &hand.placed;
    CU_ASSERT(p->g->n_nodes == 4 && p->n_expanded == 1 && p->n_forward == 4);
    for (uint32_t id = 2; id <= 3 && p->g->n_nodes == 4; id++) {
        TN_CHECK_STR(tni_node_at(p->g, id)->op->decl.name, "elemwise_add");
        TN_CHECK_STR(p->at[id].device->uri, "beta");
        TN_CHECK_STR(p->at[id].origin, "four_times");
        TN_CHECK_STR(p->at[id].no_whole ? p->at[id].no_whole->text : "",
                     "no kernel for four_times");
        TN_CHECK_HAS(tni_node_at(p->g, id)->name, "f_expand");
    }
    CU_ASSERT(p->kept[0].node == 3 && p->kept[1].node == 4); // the value is that of the last part
    CU_ASSERT(tni_node_at(p->g, 4)->in[0].node == 3);
    hand_end();
}

static void the_report_tells_of_expansions(void)
{
    const tni_report_info nothing = {0};
    tni_text t = {0};
    hand_begin(more);
    hand_op("four_times", "f", hand_op("relu", "r", hand_var("x")));
    PLACE(.backends = "alpha,beta");
    tni_report_text(&hand.placed, &nothing, &t);
    TN_CHECK_STR(t.s, "3 nodes: alpha 1, beta 2 (elemwise_add: no kernel); 0 copies, 0 reorders\n"
                      "forward\n"
                      "  %2 relu \"r\" float32(4,8)  alpha\n"
                      "  four_times runs as its parts:\n"
                      "      not whole on alpha: no kernel for four_times\n"
                      "      not whole on beta: no kernel for four_times\n"
                      "  %3 elemwise_add \"f_expand_expand\" float32(4,8)  beta  part of "
                      "four_times\n"
                      "      not alpha: no kernel for elemwise_add\n"
                      "  %4 elemwise_add \"f_expand1_expand\" float32(4,8)  beta  part of "
                      "four_times\n"
                      "      not alpha: no kernel for elemwise_add\n");
    tni_text_free(&t);
    hand_end();
}

static void a_supported_operator_stays_whole(void)
{
    hand_begin(more);
    hand.handles[BETA][0].ops = "|twice|";
    hand_op("four_times", "f", hand_var("x"));
    PLACE(.backends = "alpha,beta");
    TN_CHECK_GRAPH();
    CU_ASSERT(hand.placed.g->n_nodes == 3);
    TN_CHECK_STR(tni_node_at(hand.placed.g, 2)->op->decl.name, "twice");
    hand_end();
}

static void many_expansions_share_the_scratch(void)
{
    hand_begin(more);
    tn_symbol x = hand_var("x");
    for (int i = 0; i < 50; i++) x = hand_op(i % 3 ? "twice" : "four_times", NULL, x);
    PLACE(.backends = "alpha,beta");
    TN_CHECK_GRAPH();
    const tni_placed *p = &hand.placed;
    CU_ASSERT(p->n_expanded == 50 && p->g->n_nodes == 1 + 17 * 2 + 33);
    for (uint32_t id = 2; id <= p->g->n_nodes; id++)
        CU_ASSERT(tni_node_at(p->g, id)->in[0].node == id - 1);
    hand_end();
}

static void expansions_that_go_wrong_say_so(void)
{
    static const struct {
        const char *op, *text;
        tn_status status;
    } cases[] = {
        {"endless", "endless(float32(4,8)), part of endless: ", TN_E_UNSUPPORTED},
        {"lost", "e (lost): only on Sundays", TN_E_INVALID},
        {"unlike", "e (unlike): output 0 of its expansion has another shape or dtype",
         TN_E_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hand_begin(more);
        hand.handles[ALPHA][0].ops = "|Cast|";
        hand_op(cases[i].op, "e", hand_var(cases[i].op));
        CU_ASSERT(PLACE(.backends = "alpha") == cases[i].status);
        TN_CHECK_HAS(tn_graph_error(bench.g), cases[i].text);
        hand_end();
        tn_graph_free(bench.g);
        bench.g = tn_graph_new(bench.env);
    }
}

// ------------------------------------------------------------------ large graphs

static void a_long_graph_is_placed(void)
{
    enum { N = 100000 };
    hand_begin(NULL);
    tni_entry e = hand_entry(hand_var("x"));
    for (int i = 0; i < N; i++)
        e = tni_build(bench.g, NULL, i % 2 ? "relu" : "sigmoid", NULL, &e, 1, NULL, 0);
    PLACE(.backends = "alpha,beta", .keep = &e, .n_keep = 1);
    TN_CHECK_GRAPH();
    CU_ASSERT(hand.placed.g->n_nodes == N + 1);
    CU_ASSERT(hand.placed.arena.used < N * (sizeof(tn_call) + 16)); // a call each, little else
    hand_end();
}

TN_TEST_MAIN({"a node goes to the first that supports it",
              a_node_goes_to_the_first_that_supports_it},
             {"one error names all that nothing supports",
              one_error_names_all_that_nothing_supports},
             {"each kind of call is asked once", each_kind_of_call_is_asked_once},
             {"a failing supports() is a reason", a_failing_supports_is_a_reason},
             {"the same input gives the same placement", the_same_input_gives_the_same_placement},
             {"what the list says wrong", what_the_list_says_wrong},
             {"devices have several names", devices_have_several_names},
             {"a refused plugin is the reason", a_refused_plugin_is_the_reason},
             {"a pin is a hard requirement", a_pin_is_a_hard_requirement},
             {"a pin binds gradients as far as it can", a_pin_binds_gradients_as_far_as_it_can},
             {"groups have lists of their own", groups_have_lists_of_their_own},
             {"gradients follow their forward node", gradients_follow_their_forward_node},
             {"a kernel for host memory serves any device there",
              a_kernel_for_host_memory_serves_any_device_there},
             {"what nobody supports is expanded", what_nobody_supports_is_expanded},
             {"the report tells of expansions", the_report_tells_of_expansions},
             {"a supported operator stays whole", a_supported_operator_stays_whole},
             {"many expansions share the scratch graph", many_expansions_share_the_scratch},
             {"expansions that go wrong say so", expansions_that_go_wrong_say_so},
             {"a long graph is placed", a_long_graph_is_placed})
