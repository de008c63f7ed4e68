// tests/backends/test_onednn_training.c: what training float32 networks takes on the onednn
// backend: which primitives, which reorders, which nodes as one.
#include <stdlib.h>

#include "onednn_nets.h"

// A bottleneck without strides: relu(bn(1×1) of relu(bn(3×3) of relu(bn(1×1) of x)) + x).
static tn_symbol bottleneck(tn_symbol x, const char *const names[6])
{
    tn_symbol y = layer("Convolution", names[0], "kernel=(1,1); num_filter=16; no_bias=1", x);
    y = layer("Activation", NULL, "act_type=relu", layer("BatchNorm", names[1], "fix_gamma=0", y));
    y = layer("Convolution", names[2], "kernel=(3,3); pad=(1,1); num_filter=16; no_bias=1", y);
    y = layer("Activation", NULL, "act_type=relu", layer("BatchNorm", names[3], "fix_gamma=0", y));
    y = layer("Convolution", names[4], "kernel=(1,1); num_filter=48; no_bias=1", y);
    y = layer("BatchNorm", names[5], "fix_gamma=0", y);
    y = tn_call(bench.g, "elemwise_add", .inputs = TN_SYMS(y, x));
    return layer("Activation", NULL, "act_type=relu", y);
}

static tn_symbol net_bottlenecks(void)
{
    tn_symbol x = layer("Convolution", "stem", "kernel=(3,3); num_filter=48", tn_var("data"));
    x = bottleneck(x, (const char *[]){"a1", "a1n", "a2", "a2n", "a3", "a3n"});
    x = bottleneck(x, (const char *[]){"b1", "b1n", "b2", "b2n", "b3", "b3n"});
    x = layer("Pooling", "pool", "kernel=(2,2); pool_type=avg; global_pool=1", x);
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc", "num_hidden=10", x));
}

// Which ways are taken depends on the number of threads: two, also where there is one CPU.
__attribute__((constructor)) static void two_threads(void)
{
    setenv("TENON_NUM_THREADS", "2", 1);
}

// A trained network and the reference's; both have made two steps and agree.
static tn_exec *trained(net_fn net, tn_dims data)
{
    tn_exec *got = bind_net(net, data, "onednn,reference", true, 0);
    tn_exec *wanted = bind_net(net, data, "reference", true, 0);
    for (int i = 0; got && wanted && i < 2; i++) {
        step(got, true);
        step(wanted, true);
        CU_ASSERT(all_near(got, wanted, 1e-4));
    }
    tn_exec_free(wanted);
    return got;
}

typedef struct count {
    const char *op;   // operator, or parts of a fused call
    const char *impl; // what its implementation begins with
    const char *name; // what its name has
} count;

static size_t rows_of(tn_exec *e, count c)
{
    const tn_profile_row *row;
    size_t n = 0;
    tn_exec_profile(e, true);
    for (size_t i = 0; (row = tn_exec_profile_row(e, i)) != NULL; i++) {
        const char *op = row->fused[0] ? row->fused : row->op;
        n += (!c.op || strcmp(op, c.op) == 0) &&
             (!c.impl || strncmp(row->impl, c.impl, strlen(c.impl)) == 0) &&
             (!c.name || strstr(row->name, c.name));
    }
    return n;
}

// Whether this CPU's products are code that was made for it: else convolutions stay convolutions.
static bool has_fast_products(tn_exec *e)
{
    return rows_of(e, (count){.op = "FullyConnected", .impl = "brg"}) > 0;
}

static void residual_networks_take_few_rows(void)
{
    if (!onednn_ready()) return;
    tn_exec *e = trained(net_bottlenecks, TN_DIMS(3, 3, 16, 15));
    if (!e) return;
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "elemwise_add + Activation"}), 2);
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "reorder", .name = "activation"}), 0);
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "_backward_Pooling_sum", .impl = "ref"}), 0);
    if (has_fast_products(e)) {
        CU_ASSERT_EQUAL(rows_of(e, (count){.op = "_backward_Convolution_data + add_n"}), 2);
        CU_ASSERT_EQUAL(rows_of(e, (count){.op = "_backward_Convolution_data", .impl = "brg"}), 2);
        CU_ASSERT_EQUAL(rows_of(e, (count){.op = "_backward_Convolution_weight", .impl = "brg"}),
                        4);
        CU_ASSERT_EQUAL(rows_of(e, (count){.op = "reorder", .name = "a1_backward"}), 0);
        CU_ASSERT_EQUAL(rows_of(e, (count){.op = "reorder", .name = "a3_backward"}), 0);
    }
    tn_exec_free(e);
}

static void layers_take_their_activation(void)
{
    if (!onednn_ready()) return;
    tn_exec *e = trained(net_lenet, TN_DIMS(6, 1, 28, 28));
    if (!e) return;
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "Convolution + Activation"}), 2);
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "FullyConnected + Activation"}), 1);
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "Activation"}), 0);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ batch norm and relu

// A batch norm of these data, and whether it takes the relu behind it.
typedef struct normed {
    const char *params;
    int64_t data[4];
    bool one;
} normed;

static const normed norms[] = {
    {"fix_gamma=0", {3, 16, 5, 7}, true},
    {"fix_gamma=1; eps=0.1; momentum=0.5", {2, 32, 9, 8}, true},
    {"fix_gamma=0; use_global_stats=1", {3, 16, 5, 7}, true},
    {"fix_gamma=0; axis=3", {5, 4, 3, 16}, true},
    {"fix_gamma=0; axis=-1", {40, 2, 1, 48}, true},
};

static const normed *norm_now;
static int norm_readers; // of its result

static const char both[] = "BatchNorm + Activation",
                  back[] = "_backward_relu + _backward_BatchNorm";

static tn_symbol net_norm(void)
{
    const tn_symbol n = layer("BatchNorm", "n", norm_now->params, tn_var("data"));
    tn_symbol y = layer("Activation", "r", "act_type=relu", n);
    if (norm_readers > 1) y = tn_call(bench.g, "elemwise_add", .inputs = TN_SYMS(y, n));
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc", "num_hidden=5", y));
}

// Whether oneDNN keeps signs on this CPU.
static bool keeps_signs(void)
{
    return __builtin_cpu_supports("avx2");
}

// Two steps while training, then one by the moving statistics.
static void check_norm(const normed *n, int readers)
{
    norm_now = n;
    norm_readers = readers;
    const tn_dims data = {4, n->data};
    tn_exec *got = bind_net(net_norm, data, "onednn,reference", true, 2);
    tn_exec *wanted = bind_net(net_norm, data, "reference", true, 0);
    for (int i = 0; got && wanted && i < 3; i++) {
        step(got, i < 2);
        step(wanted, i < 2);
        if (i == 2) CU_ASSERT(tn_backward(got, TN_NO_HEADS) == TN_OK);
        if (i == 2) CU_ASSERT(tn_backward(wanted, TN_NO_HEADS) == TN_OK);
        if (!all_near(got, wanted, 1e-4)) TN_CHECK_STR(n->params, "near the reference");
    }
    const size_t rows = n->one && readers == 1 && keeps_signs();
    if (got) CU_ASSERT_EQUAL(rows_of(got, (count){.op = both}), rows);
    if (got) CU_ASSERT_EQUAL(rows_of(got, (count){.op = back}), rows);
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void batch_norms_take_their_relu(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        for (int readers = 1; readers < 3; readers++) check_norm(&norms[i], readers);
    tn_exec *e = trained(net_bottlenecks, TN_DIMS(3, 3, 16, 15));
    if (!e || !keeps_signs()) return;
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = both}), 4);
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = back}), 4);
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "_backward_relu"}), 2); // behind the sums
    tn_exec_free(e);
}

static tn_symbol net_rows(void)
{
    const normed *n = norm_now;
    tn_symbol x = tn_var("data");
    if (n->one) x = layer("Convolution", "c", "kernel=(3,3); num_filter=27; no_bias=1", x);
    x = layer("BatchNorm", "n", n->params, x);
    x = layer("Activation", "r", "act_type=relu", x);
    if (n->one) x = layer("Convolution", "d", "kernel=(3,3); num_filter=16", x);
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc", "num_hidden=5", x));
}

// Channels that lie last, in a layout (one) or by themselves, and are no multiple of a vector: few
// and many of them, lines that end early, several pieces, stored statistics.
static void odd_channels_go_by_loops(void)
{
    static const normed nets[] = {
        {"fix_gamma=0", {9, 20, 1, 1}, false},
        {"fix_gamma=0; axis=-1", {3, 4, 5, 1}, false},
        {"axis=-1", {3, 4, 5, 17}, false},
        {"fix_gamma=0; axis=3; use_global_stats=1", {40, 23, 19, 3}, false},
        {"fix_gamma=0; axis=-1; eps=0.01; momentum=0.5", {40, 23, 19, 7}, false},
        {"fix_gamma=0; axis=-1", {2, 3, 1, 4099}, false},
        {"fix_gamma=0", {4, 3, 9, 12}, true},
        {NULL, {4, 3, 9, 12}, true},
        {"fix_gamma=0; eps=0.01", {4, 16, 9, 7}, false}, // and planes of a channel
        {"axis=2; momentum=0.5", {2, 3, 5, 41}, false},
    };
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        norm_now = &nets[i];
        tn_exec *got = bind_net(net_rows, (tn_dims){4, nets[i].data}, "onednn,reference", true, 2);
        tn_exec *wanted = bind_net(net_rows, (tn_dims){4, nets[i].data}, "reference", true, 0);
        for (int k = 0; got && wanted && k < 3; k++) {
            step(got, k < 2);
            step(wanted, k < 2);
            if (k == 2) CU_ASSERT(tn_backward(got, TN_NO_HEADS) == TN_OK);
            if (k == 2) CU_ASSERT(tn_backward(wanted, TN_NO_HEADS) == TN_OK);
            if (!all_near(got, wanted, 1e-4)) TN_CHECK_STR(nets[i].params, "near the reference");
        }
        const char *impl = i < 8 ? "rows (no primitive)" : "planes (no primitive)";
        const size_t rows = got ? rows_of(got, (count){.impl = impl}) : 2;
        if (rows != 2) TN_CHECK_STR(tn_exec_report_text(got), "rows, forward and backward");
        tn_exec_free(got);
        tn_exec_free(wanted);
    }
}

// Only gamma's gradient is wanted: nobody reads those of data and beta.
static void gradients_that_nobody_reads_need_no_room(void)
{
    if (!onednn_ready()) return;
    norm_now = &norms[0];
    norm_readers = 1;
    tn_exec *e[2];
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        e[i] = tn_simple_bind(bench.g, net_norm(), .backends = i ? "reference" : "onednn,reference",
                              .grad_reqs = TN_REQS({"n_gamma", TN_WRITE}),
                              .shapes = TN_SHAPES({"data", {4, norms[0].data}}));
        if (!TN_CHECK_EXEC(e[i])) return;
        fill(e[i]);
        step(e[i], true);
    }
    CU_ASSERT(all_near(e[0], e[1], 1e-4));
    if (keeps_signs()) CU_ASSERT_EQUAL(rows_of(e[0], (count){.op = back}), 1);
    tn_exec_free(e[0]);
    tn_exec_free(e[1]);
}

// A convolution, its activation, and whether that is a primitive of its own.
static const struct {
    const char *conv, *act;
    bool apart;
} functions[] = {
    {"kernel=(3,3); num_filter=20", "act_type=tanh", true},
    {"kernel=(3,3); num_filter=5; no_bias=1", "act_type=sigmoid", true},
    {"kernel=(3,3); num_filter=20", "act_type=relu", false}, // takes no time
    {"kernel=(3,3); num_filter=28", "act_type=tanh", false}, // little filling
    {"kernel=(3,3); num_filter=20; num_group=2", "act_type=tanh", false},
};

static size_t function_now;

static tn_symbol net_function(void)
{
    tn_symbol x = layer("Convolution", "c", functions[function_now].conv, tn_var("data"));
    x = layer("Activation", "a", functions[function_now].act, x);
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc", "num_hidden=5", x));
}

static void long_functions_are_computed_apart(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const tn_profile_row *row;
        bool apart = false;
        function_now = i;
        tn_exec *e = trained(net_function, TN_DIMS(3, 4, 9, 10));
        if (!e) continue;
        CU_ASSERT_EQUAL(rows_of(e, (count){.op = "Convolution + Activation"}), 1);
        for (size_t k = 0; (row = tn_exec_profile_row(e, k)) != NULL; k++)
            apart |= strcmp(row->fused, "Convolution + Activation") == 0 &&
                     strstr(row->impl, ", eltwise") != NULL;
        if (apart != functions[i].apart) TN_CHECK_STR(functions[i].conv, "apart, or not");
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ layer norm

static tn_symbol net_layer_norm(void)
{
    tn_symbol x = layer("FullyConnected", "fc1", "num_hidden=40; flatten=0", tn_var("data"));
    x = layer("LayerNorm", "n", "eps=0.01", x);
    x = layer("FullyConnected", "fc2", "num_hidden=5", x);
    return layer("SoftmaxOutput", "out", NULL, x);
}

// Whole, forward and backward.
static void layer_norms_have_a_gradient(void)
{
    if (!onednn_ready()) return;
    tn_exec *e = trained(net_layer_norm, TN_DIMS(6, 7, 9));
    if (!e) return;
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "LayerNorm"}), 1);
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "_backward_LayerNorm", .impl = "ref"}), 0);
    CU_ASSERT_EQUAL(rows_of(e, (count){.op = "_backward_LayerNorm"}), 1);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ columns

// A convolution of these data, and whether the gradient of its data goes by columns, where products
// are fast.
typedef struct window {
    const char *params;
    int64_t data[4];
    bool by_columns; // or by taps
} window;

static const window windows[] = {
    {"kernel=(5,5); num_filter=50", {13, 20, 12, 12}, true},
    {"kernel=(3,2); num_filter=49; pad=(2,1); no_bias=1", {9, 5, 7, 9}, true},
    {"kernel=(2,7); num_filter=48; pad=(0,5)", {12, 3, 9, 6}, true},
    {"kernel=(2,2); num_filter=48; pad=(3,3)", {11, 1, 4, 5}, true}, // windows outside the picture
    {"kernel=(7,7); num_filter=48; pad=(3,3)", {8, 12, 15, 15}, true}, // 8 rows a block, of 15
    {"kernel=(3,3); num_filter=48; pad=(1,1)", {7, 12, 8, 8}, false},  // few pictures
    {"kernel=(3,3); num_filter=48; pad=(1,1)", {8, 13, 8, 8}, false},  // little filling
    {"kernel=(3,3); num_filter=48; stride=(1,2)", {8, 12, 9, 15}, false},
    {"kernel=(3,3); num_filter=48; dilate=(2,1)", {8, 12, 11, 11}, false},
    {"kernel=(3,3); num_filter=48; num_group=2", {8, 12, 8, 8}, false},
};

static const window *now;

static tn_symbol net_window(void)
{
    const tn_symbol x = layer("Convolution", "c", now->params, tn_var("data"));
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc", "num_hidden=5", x));
}

static void check_window(const window *w)
{
    now = w;
    const tn_dims data = {4, w->data};
    tn_exec *got = bind_net(net_window, data, "onednn,reference", true, 2);
    tn_exec *wanted = bind_net(net_window, data, "reference", true, 0);
    for (int i = 0; got && wanted && i < 2; i++) {
        step(got, true);
        step(wanted, true);
        if (!all_near(got, wanted, 1e-4)) TN_CHECK_STR(w->params, "near the reference");
    }
    const count by_columns = {.op = "_backward_Convolution_data", .impl = "columns, brg"};
    if (got && has_fast_products(got) && rows_of(got, by_columns) != w->by_columns)
        TN_CHECK_STR(w->params, w->by_columns ? "by columns" : "a convolution");
    tn_exec_free(got);
    tn_exec_free(wanted);
}

// With two threads in this bind, however many the pool has.
static void few_channels_go_by_columns(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) check_window(&windows[i]);
}

// ------------------------------------------------------------------ taps

// Convolutions of one channel, and whether the gradient of their weight is that of taps.
static const window grays[] = {
    {"kernel=(5,5); num_filter=20", {5, 1, 14, 13}, true},
    {"kernel=(3,3); num_filter=17; stride=(2,1); no_bias=1", {3, 1, 23, 19}, true},
    {"kernel=(2,8); num_filter=32; stride=(1,2)", {2, 1, 12, 27}, true},
    {"kernel=(5,5); num_filter=16", {5, 1, 14, 13}, false}, // one vector of filters
    {"kernel=(5,5); num_filter=33", {5, 1, 14, 13}, false},
    {"kernel=(5,5); num_filter=20; pad=(0,1)", {5, 1, 14, 13}, false},
    {"kernel=(5,5); num_filter=20; dilate=(1,2)", {5, 1, 14, 17}, false},
    {"kernel=(3,9); num_filter=20", {5, 1, 14, 17}, false},
    {"kernel=(5,5); num_filter=20", {5, 1, 11, 12}, false}, // few points
    {"kernel=(5,5); num_filter=20", {5, 2, 14, 13}, false},
};

static void gray_pictures_go_by_taps(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof grays / sizeof *grays; i++) {
        const tn_dims data = {4, grays[i].data};
        now = &grays[i];
        for (int32_t threads = 1; threads < 3; threads++) {
            tn_exec *got = bind_net(net_window, data, "onednn,reference", true, threads);
            tn_exec *wanted = bind_net(net_window, data, "reference", true, 0);
            step(got, true);
            step(wanted, true);
            if (got && wanted && !all_near(got, wanted, 1e-4))
                TN_CHECK_STR(now->params, "near the reference");
            const count taps = {.op = "_backward_Convolution_weight", .impl = "taps"};
            if (got && has_fast_products(got) && rows_of(got, taps) != now->by_columns)
                TN_CHECK_STR(now->params, now->by_columns ? "by taps" : "a convolution");
            tn_exec_free(got);
            tn_exec_free(wanted);
        }
    }
}

// ------------------------------------------------------------------ squares

// An activation of so many channels and the maxima of it; whether their gradients are one pass.
typedef struct pooled {
    const char *op, *act, *pool;
    int channels;
    int64_t data[4];
    bool as_one;
} pooled;

#define SQUARES "pool_type=max; kernel=(2,2); stride=(2,2)"

static const pooled pools[] = {
    {"Activation", "act_type=tanh", SQUARES, 20, {5, 3, 24, 24}, true},
    {"Activation", "act_type=relu", SQUARES, 33, {3, 2, 9, 7}, true}, // points that no square has
    {"Activation", "act_type=sigmoid", SQUARES, 16, {1, 3, 2, 3}, true},
    {"tanh", NULL, SQUARES, 5, {2, 3, 5, 6}, true}, // less than a vector
    {"relu", NULL, SQUARES, 1, {7, 2, 6, 5}, true}, // row-major is channels last, too
    {"sigmoid", NULL, SQUARES "; pooling_convention=full", 16, {2, 3, 6, 5}, false},
    {"tanh", NULL, SQUARES "; pad=(1,1)", 16, {2, 3, 8, 8}, false},
    {"tanh", NULL, "pool_type=max; kernel=(3,3); stride=(2,2)", 16, {2, 3, 9, 9}, false},
    {"tanh", NULL, "pool_type=max; kernel=(2,2); stride=(3,3)", 16, {2, 3, 8, 8}, false},
    {"tanh", NULL, "pool_type=avg; kernel=(2,2); stride=(2,2)", 16, {2, 3, 8, 8}, false},
    {"square", NULL, SQUARES, 16, {2, 3, 8, 8}, false},
};

static const pooled *pooled_now;

static tn_symbol net_pooled(void)
{
    char filters[48];
    snprintf(filters, sizeof filters, "kernel=(1,1); num_filter=%d", pooled_now->channels);
    tn_symbol x = layer("Convolution", "c", filters, tn_var("data"));
    x = layer("Pooling", "p", pooled_now->pool, layer(pooled_now->op, "a", pooled_now->act, x));
    return layer("SoftmaxOutput", "out", NULL, layer("FullyConnected", "fc", "num_hidden=5", x));
}

static size_t squares_of(tn_exec *e)
{
    return rows_of(e, (count){.op = "_backward_Pooling_max + _backward_tanh"}) +
           rows_of(e, (count){.op = "_backward_Pooling_max + _backward_relu"}) +
           rows_of(e, (count){.op = "_backward_Pooling_max + _backward_sigmoid"});
}

static void gradients_of_squares_are_one_pass(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        pooled_now = &pools[i];
        tn_exec *e = trained(net_pooled, (tn_dims){4, pools[i].data});
        if (e && squares_of(e) != pools[i].as_one) TN_CHECK_STR(pools[i].pool, "one pass or two");
        tn_exec_free(e);
    }
}

// Which element is the largest, where some are NaN, infinite or alike, is what the reference says;
// and the activation may be of another value.
static tn_symbol net_gradients(void)
{
    const tn_attr params[] = {{"pool_type", "max"}, {"kernel", "(2,2)"}, {"stride", "(2,2)"}};
    const tn_symbol dx = tn_call(bench.g, "_backward_Pooling_max", .params = {3, params},
                                 .inputs = TN_SYMS(tn_var("dy"), tn_var("data"), tn_var("pooled")));
    return tn_call(bench.g, "_backward_tanh", .inputs = TN_SYMS(dx, tn_var("t")));
}

static void squares_know_what_is_largest(void)
{
    if (!onednn_ready()) return;
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, 0.25F, 0.25F, 0.25F};
    tn_exec *e[2];
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        e[i] = tn_simple_bind(
            bench.g, net_gradients(), .backends = i ? "reference" : "onednn",
            .shapes = TN_SHAPES({"data", TN_DIMS(3, 17, 6, 7)}, {"t", TN_DIMS(3, 17, 6, 7)},
                                {"dy", TN_DIMS(3, 17, 3, 3)}, {"pooled", TN_DIMS(3, 17, 3, 3)}));
        if (!TN_CHECK_EXEC(e[i])) return;
        fill(e[i]);
        float *x = tn_tensor_data(tn_exec_arg(e[i], "data"));
        for (int64_t k = 0; k < 3 * 17 * 42; k++) x[k] = odd[k * k % 67 % 7];
        tn_forward(e[i], false);
        TN_CHECK_EXEC(e[i]);
    }
    CU_ASSERT_EQUAL(squares_of(e[0]), 1);
    near("dx", tn_exec_output(e[0], 0), tn_exec_output(e[1], 0), 1e-6);
    tn_exec_free(e[0]);
    tn_exec_free(e[1]);
}

TN_TEST_MAIN({"residual networks take few rows", residual_networks_take_few_rows},
             {"layers take their activation", layers_take_their_activation},
             {"long functions are computed apart", long_functions_are_computed_apart},
             {"batch norms take their relu", batch_norms_take_their_relu},
             {"odd channels go by loops", odd_channels_go_by_loops},
             {"gradients that nobody reads need no room", gradients_that_nobody_reads_need_no_room},
             {"few channels go by columns", few_channels_go_by_columns},
             {"gray pictures go by taps", gray_pictures_go_by_taps},
             {"gradients of squares are one pass", gradients_of_squares_are_one_pass},
             {"squares know what is largest", squares_know_what_is_largest},
             {"layer norms have a gradient", layer_norms_have_a_gradient})
