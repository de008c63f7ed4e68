// tests/backends/test_onednn_winograd.c: 3×3 convolutions by Winograd's way on the onednn backend:
// which go it, and that they and their gradients yield what the reference does.
#include <stdlib.h>

#include "onednn_nets.h"

// It is code for AVX-512.
static bool wide_ready(void)
{
    if (!onednn_ready()) return false;
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        if (strcmp(tn_env_backend(bench.env, i)->name, "onednn") != 0) continue;
        const char *driver = tn_env_device(bench.env, i, 0)->driver;
        if (strstr(driver, "AVX-512")) return true;
    }
    tn_skip("this CPU has no AVX-512");
    return false;
}

static size_t rows_of(tn_exec *e, const char *op)
{
    const tn_profile_row *row;
    size_t n = 0;
    tn_exec_profile(e, true);
    for (size_t i = 0; (row = tn_exec_profile_row(e, i)) != NULL; i++)
        n += strncmp(row->fused[0] ? row->fused : row->op, op, strlen(op)) == 0 &&
             strncmp(row->impl, "winograd", 8) == 0;
    return n;
}

// ------------------------------------------------------------------ layers

// A convolution of these data. ways: it, its gradient of the data, that of the weight.
typedef struct window {
    const char *params;
    int64_t data[4];
    bool ways;
} window;

static const window windows[] = {
    {"kernel=(3,3); pad=(1,1); num_filter=32", {7, 32, 13, 18}, true},
    {"kernel=(3,3); pad=(1,1); num_filter=80; no_bias=1", {8, 48, 9, 16}, true}, // panel of 16
    {"kernel=(3,3); pad=(0,2); num_filter=48", {4, 64, 23, 15}, true},
    {"kernel=(3,3); pad=(2,0); num_filter=112", {5, 96, 14, 17}, true},
    {"kernel=(3,3); num_filter=64; pad=(1,1)", {11, 64, 14, 15}, true},  // some blocks
    {"kernel=(3,3); num_filter=256; pad=(1,1)", {2, 192, 14, 13}, true}, // by panels of filters
    {"kernel=(3,3); num_filter=32; pad=(1,1); workspace=0", {5, 32, 16, 16}, false},
    {"kernel=(3,3); num_filter=32; pad=(3,3)", {5, 32, 16, 16}, false},
    {"kernel=(3,3); num_filter=40; pad=(1,1)", {5, 32, 16, 16}, false},
    {"kernel=(3,3); num_filter=16; pad=(1,1)", {5, 32, 16, 16}, false},
    {"kernel=(3,3); num_filter=32; stride=(1,2)", {5, 32, 16, 16}, false},
    {"kernel=(3,3); num_filter=32; dilate=(2,1)", {5, 32, 16, 16}, false},
    {"kernel=(3,3); num_filter=64; num_group=2", {5, 64, 16, 16}, false},
    {"kernel=(3,1); num_filter=32", {5, 32, 16, 16}, false},
    {"kernel=(3,3); num_filter=256; pad=(1,1)", {1, 256, 4, 4}, false}, // weights weigh more
};

static const window *now;

static tn_symbol net_window(void)
{
    const tn_symbol x = layer("Convolution", "c", now->params, tn_var("data"));
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc", "num_hidden=5", x));
}

static void check_window(const window *w)
{
    static const char *const ops[] = {"Convolution", "_backward_Convolution_data",
                                      "_backward_Convolution_weight"};
    now = w;
    const tn_dims data = {4, w->data};
    tn_exec *got = bind_net(net_window, data, "onednn,reference", true, 2);
    tn_exec *wanted = bind_net(net_window, data, "reference", true, 0);
    for (int i = 0; got && wanted && i < 2; i++) {
        step(got, true);
        step(wanted, true);
        if (!all_near(got, wanted, 2e-5)) TN_CHECK_STR(w->params, "near the reference");
    }
    for (int i = 0; got && i < 3; i++)
        if (rows_of(got, ops[i]) != w->ways)
            TN_CHECK_STR(w->params, w->ways ? "Winograd's way" : "a convolution");
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void layers_agree_with_the_reference(void)
{
    if (!wide_ready()) return;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) check_window(&windows[i]);
}

// More tiles than fit beside a panel: against oneDNN's convolution, as the reference takes long.
static tn_symbol net_many_tiles(void)
{
    return layer("Convolution", "c", now->params, tn_var("data"));
}

static void many_tiles_and_channels_agree_with_the_convolution(void)
{
    static const window ways[] = {
        {"kernel=(3,3); num_filter=192; pad=(1,1)", {7, 256, 33, 35}, true},
        {"kernel=(3,3); num_filter=192; pad=(1,1); workspace=0", {7, 256, 33, 35}, false}};
    tn_exec *e[2] = {NULL, NULL};
    if (!wide_ready()) return;
    for (int i = 0; i < 2; i++) {
        now = &ways[i];
        e[i] = bind_net(net_many_tiles, (tn_dims){4, now->data}, "onednn,reference", true, 2);
        step(e[i], true);
        if (e[i]) CU_ASSERT_EQUAL(rows_of(e[i], "Convolution"), now->ways);
        if (e[i]) CU_ASSERT_EQUAL(rows_of(e[i], "_backward_Convolution_weight"), now->ways);
    }
    CU_ASSERT(e[0] && e[1] && all_near(e[0], e[1], 2e-5));
    tn_exec_free(e[0]);
    tn_exec_free(e[1]);
}

// ------------------------------------------------------------------ what follows

// relu(c2(relu(c1(x))) + x), relu of which is not the last function everywhere: tanh stays with a
// convolution.
static tn_symbol net_followed(void)
{
    const tn_symbol x = tn_var("data");
    tn_symbol y = layer("Convolution", "c1", "kernel=(3,3); pad=(1,1); num_filter=64", x);
    y = layer("Activation", NULL, "act_type=relu", y);
    y = layer("Convolution", "c2", "kernel=(3,3); pad=(1,1); num_filter=64", y);
    y = tn_call(bench.g, "elemwise_add", .inputs = TN_SYMS(y, x));
    y = layer("Activation", NULL, "act_type=relu", y);
    y = layer("Convolution", "c3", "kernel=(3,3); pad=(1,1); num_filter=32", y);
    return layer("Activation", NULL, "act_type=tanh", y);
}

static void sums_and_functions_are_taken(void)
{
    if (!wide_ready()) return;
    const tn_dims data = TN_DIMS(5, 64, 15, 20);
    tn_exec *got = bind_net(net_followed, data, "onednn,reference", false, 2);
    tn_exec *wanted = bind_net(net_followed, data, "reference", false, 0);
    for (int i = 0; got && wanted && i < 2; i++) {
        step(got, false);
        step(wanted, false);
        CU_ASSERT(all_near(got, wanted, 2e-5));
    }
    if (got) CU_ASSERT_EQUAL(rows_of(got, "Convolution"), 2);
    tn_exec_free(got);
    tn_exec_free(wanted);
}

// ------------------------------------------------------------------ threads

static void check_bits(const window *w)
{
    const tn_dims data = {4, w->data};
    now = w;
    tn_exec *wanted = bind_net(net_window, data, "onednn,reference", true, 1);
    step(wanted, true);
    for (int32_t threads = 2; wanted && threads < 8; threads += 2) {
        tn_exec *got = bind_net(net_window, data, "onednn,reference", true, threads);
        step(got, true);
        if (got)
            CU_ASSERT_EQUAL(
                difference(tn_exec_grad(got, "c_weight"), tn_exec_grad(wanted, "c_weight")), 0);
        if (got)
            CU_ASSERT_EQUAL(difference(tn_exec_grad(got, "data"), tn_exec_grad(wanted, "data")), 0);
        tn_exec_free(got);
    }
    tn_exec_free(wanted);
}

static void every_number_of_threads_gives_the_same_bits(void)
{
    if (!wide_ready()) return;
    check_bits(&windows[4]); // by blocks
    check_bits(&windows[5]); // by panels
}

// ------------------------------------------------------------------ bfloat16

// Data and results stored as bfloat16. With AMX oneDNN's convolutions are several times faster.
static bool narrow_goes(void)
{
    if (!narrow_ready()) return false;
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, "onednn") == 0 &&
            !strstr(tn_env_device(bench.env, i, 0)->driver, "AMX"))
            return true;
    tn_skip("this CPU has AMX");
    return false;
}

static tn_exec *bind_narrow(net_fn net, tn_dims data, bool train, int32_t threads)
{
    tn_fresh();
    tn_exec *e = tn_simple_bind(bench.g, net(), .backends = "onednn,reference", .threads = threads,
                                .compute = TN_BF16, .grad_req = train ? TN_WRITE : TN_NULL,
                                .shapes = TN_SHAPES({"data", data}));
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill(e);
    return e;
}

// Each in bfloat16, and without workspace: oneDNN's convolution of float32.
static const window narrow_windows[][2] = {
    {{"kernel=(3,3); num_filter=64; pad=(1,1); no_bias=1", {8, 64, 16, 16}, true},
     {"kernel=(3,3); num_filter=64; pad=(1,1); no_bias=1; workspace=0", {8, 64, 16, 16}, false}},
    {{"kernel=(3,3); num_filter=112; pad=(0,2)", {6, 144, 21, 16}, true},
     {"kernel=(3,3); num_filter=112; pad=(0,2); workspace=0", {6, 144, 21, 16}, false}},
    {{"kernel=(3,3); num_filter=256; pad=(1,1); no_bias=1", {8, 192, 15, 20}, true}, // by panels
     {"kernel=(3,3); num_filter=256; pad=(1,1); no_bias=1; workspace=0", {8, 192, 15, 20}, false}},
};

// By how much bfloat16 may differ: data and results have 8 bits each.
#define NARROW_BOUND 0.006

static void check_narrow(const window pair[2])
{
    static const char *const ops[] = {"Convolution", "_backward_Convolution_data",
                                      "_backward_Convolution_weight"};
    const tn_dims data = {4, pair->data};
    now = &pair[0];
    tn_exec *got = bind_narrow(net_many_tiles, data, true, 2);
    now = &pair[1];
    tn_exec *wanted = bind_net(net_many_tiles, data, "onednn,reference", true, 2);
    for (int i = 0; got && wanted && i < 2; i++) {
        step(got, true);
        step(wanted, true);
        if (!all_near(got, wanted, NARROW_BOUND)) TN_CHECK_STR(pair->params, "near float32");
    }
    if (got) TN_CHECK_HAS(tn_exec_report_text(got), "as onednn/8000"); // is bfloat16
    if (got && wanted)
        CU_ASSERT(difference(tn_exec_output(got, 0), tn_exec_output(wanted, 0)) > 1e-4);
    for (int i = 0; got && wanted && i < 3; i++) {
        if (rows_of(got, ops[i]) != 1) TN_CHECK_STR(pair->params, "Winograd's way");
        CU_ASSERT_EQUAL(rows_of(wanted, ops[i]), 0);
    }
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void bfloat16_goes_that_way(void)
{
    if (!narrow_goes()) return;
    for (size_t i = 0; i < sizeof narrow_windows / sizeof *narrow_windows; i++)
        check_narrow(narrow_windows[i]);
    // Few channels are a convolution: in bfloat16 that takes half of the time.
    static const window few = {"kernel=(3,3); num_filter=32; pad=(1,1)", {8, 32, 16, 16}, false};
    now = &few;
    tn_exec *e = bind_narrow(net_many_tiles, (tn_dims){4, few.data}, false, 2);
    step(e, false);
    if (e) CU_ASSERT_EQUAL(rows_of(e, "Convolution"), 0);
    tn_exec_free(e);
}

static void sums_and_functions_are_taken_in_bfloat16(void)
{
    if (!narrow_goes()) return;
    const tn_dims data = TN_DIMS(8, 64, 16, 19);
    tn_exec *got = bind_narrow(net_followed, data, false, 2);
    tn_exec *wanted = bind_net(net_followed, data, "onednn,reference", false, 2);
    for (int i = 0; got && wanted && i < 2; i++) {
        step(got, false);
        step(wanted, false);
        CU_ASSERT(all_near(got, wanted, 2 * NARROW_BOUND));
    }
    if (got) CU_ASSERT_EQUAL(rows_of(got, "Convolution"), 2);
    tn_exec_free(got);
    tn_exec_free(wanted);
}

// What is not a number does not become one when it is rounded.
static void numbers_that_are_none_stay_so(void)
{
    if (!narrow_goes()) return;
    now = &narrow_windows[0][0];
    tn_exec *e = bind_narrow(net_many_tiles, (tn_dims){4, now->data}, false, 1);
    if (!e) return;
    float *x = tn_tensor_data(tn_exec_arg(e, "data"));
    const int64_t image = 64 * 16 * 16;
    x[image + 5 * 16 + 5] = NAN; // channel 0 of the second picture
    step(e, false);
    tn_tensor *y = tn_exec_output(e, 0);
    CU_ASSERT(isnan(tn_tensor_at(y, image + 5 * 16 + 5)));
    CU_ASSERT(isfinite(tn_tensor_at(y, 5 * 16 + 5)));
    tn_exec_free(e);
}

static void check_narrow_bits(const window *w)
{
    const tn_dims data = {4, w->data};
    now = w;
    tn_exec *wanted = bind_narrow(net_many_tiles, data, true, 1);
    step(wanted, true);
    for (int32_t threads = 2; wanted && threads < 6; threads++) {
        tn_exec *got = bind_narrow(net_many_tiles, data, true, threads);
        step(got, true);
        CU_ASSERT(got && all_near(got, wanted, 0));
        tn_exec_free(got);
    }
    tn_exec_free(wanted);
}

static void every_number_of_threads_gives_the_same_bits_in_bfloat16(void)
{
    if (!narrow_goes()) return;
    check_narrow_bits(&narrow_windows[0][0]);
    check_narrow_bits(&narrow_windows[2][0]); // by panels
}

// ------------------------------------------------------------------ the option

// Rows that go that way in a bind of an env of its own, made now.
static size_t rows_in_new_env(void)
{
    static const char *const paths[] = {TN_TEST_PLUGIN_DIR, NULL};
    tn_env *env = tn_env_new(&(tn_env_options){
        .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
    tn_graph *g = env ? tn_graph_new(env) : NULL;
    if (!g) return SIZE_MAX;
    const tn_symbol x = tn_variable(g, "data");
    const tn_symbol y = tn_call(g, "Convolution", .inputs = TN_SYMS(x), .name = "c",
                                .params = TN_ATTRS({"kernel", "(3,3)"}, {"num_filter", "32"}));
    tn_exec *e = tn_simple_bind(g, y, .backends = "onednn,reference", .grad_req = TN_NULL,
                                .shapes = TN_SHAPES({"data", TN_DIMS(5, 32, 18, 18)}));
    const size_t n = e ? rows_of(e, "Convolution") : SIZE_MAX;
    tn_exec_free(e);
    tn_graph_free(g);
    tn_env_free(env);
    return n;
}

static void an_option_turns_it_off(void)
{
    if (!wide_ready()) return;
    CU_ASSERT_EQUAL(rows_in_new_env(), 1);
    setenv("TENON_OPT_ONEDNN_WINOGRAD", "off", 1);
    CU_ASSERT_EQUAL(rows_in_new_env(), 0);
    unsetenv("TENON_OPT_ONEDNN_WINOGRAD");
    CU_ASSERT_EQUAL(rows_in_new_env(), 1);
}

TN_TEST_MAIN({"layers agree with the reference", layers_agree_with_the_reference},
             {"many tiles and channels agree with the convolution",
              many_tiles_and_channels_agree_with_the_convolution},
             {"sums and functions are taken", sums_and_functions_are_taken},
             {"every number of threads gives the same bits",
              every_number_of_threads_gives_the_same_bits},
             {"bfloat16 goes that way", bfloat16_goes_that_way},
             {"sums and functions are taken in bfloat16", sums_and_functions_are_taken_in_bfloat16},
             {"numbers that are none stay so", numbers_that_are_none_stay_so},
             {"every number of threads gives the same bits in bfloat16",
              every_number_of_threads_gives_the_same_bits_in_bfloat16},
             {"an option turns it off", an_option_turns_it_off})
