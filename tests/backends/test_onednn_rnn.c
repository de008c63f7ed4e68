// tests/backends/test_onednn_rnn.c: recurrent layers on oneDNN's primitives against reference:
// every kind of cell, layers, directions, states in and out, and their gradients.
#include "core/exec/exec.h"
#include "onednn_nets.h"

static struct {
    const char *mode;
    int layers, bidirectional;
    double p;
    int units; // 0: 6
} kind;

// All outputs in one value, so that each of them has a gradient.
static tn_symbol net_rnn(void)
{
    char params[160];
    snprintf(params, sizeof params,
             "state_size=%d; num_layers=%d; bidirectional=%d; mode=%s; state_outputs=1; p=%g",
             kind.units ? kind.units : 6, kind.layers, kind.bidirectional, kind.mode, kind.p);
    tn_symbol r = layer("RNN", "rnn", params, tn_var("data"));
    const bool lstm = strcmp(kind.mode, "lstm") == 0;
    tn_symbol y = layer("Flatten", "y", NULL, tn_output(bench.g, r, 0));
    tn_symbol h = layer("Flatten", "h", NULL, tn_output(bench.g, r, 1));
    y = tn_call(bench.g, "broadcast_add",
                .inputs = TN_SYMS(layer("sum", NULL, "axis=1; keepdims=1", y),
                                  layer("sum", NULL, "axis=0; keepdims=1", h)));
    if (!lstm) return y;
    tn_symbol c = layer("Flatten", "c", NULL, tn_output(bench.g, r, 2));
    return tn_call(bench.g, "broadcast_add",
                   .inputs = TN_SYMS(y, layer("sum", NULL, "axis=0; keepdims=1",
                                              layer("square", NULL, NULL, c))));
}

// What is dropped between layers is the same, too: one seed, one place in the graph.
static void check_kind(bool train)
{
    tn_exec *got = bind_net(net_rnn, TN_DIMS(5, 4, 7), "onednn,reference", train, 0);
    tn_exec *wanted = bind_net(net_rnn, TN_DIMS(5, 4, 7), "reference", train, 0);
    for (int i = 0; i < 2; i++) {
        step(got, train);
        step(wanted, train);
        if (got && wanted) CU_ASSERT(all_near(got, wanted, 1e-4));
    }
    if (got) TN_CHECK_HAS(tn_exec_report_text(got), "onednn: rnn");
    if (got && train) TN_CHECK_HAS(tn_exec_report_text(got), "_backward_RNN");
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static const char *const modes[] = {"rnn_relu", "rnn_tanh", "lstm", "gru"};
enum { MODES = sizeof modes / sizeof *modes };

static void check_all(double p)
{
    if (!onednn_ready()) return;
    kind.p = p;
    for (int m = 0; m < MODES; m++)
        for (kind.layers = p > 0 ? 2 : 1; kind.layers <= 3; kind.layers++)
            for (kind.bidirectional = 0; kind.bidirectional < 2; kind.bidirectional++) {
                kind.mode = modes[m];
                check_kind(false);
                check_kind(true);
            }
}

static void every_cell_agrees_with_the_reference(void)
{
    check_all(0);
}

static void dropout_stands_between_layers(void)
{
    check_all(0.4);
}

// A gradient that is part of a network finds nothing that a forward kernel left.
static tn_symbol net_of_gradients(void)
{
    const tn_symbol y = net_rnn();
    tn_symbol dx[2];
    const tn_symbol all = tn_internals(bench.g, y);
    const tn_symbol x[] = {tn_output_named(bench.g, all, "data"),
                           tn_output_named(bench.g, all, "rnn_parameters")};
    if (tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, (tn_symbols){2, x}, dx) != TN_OK)
        return y;
    return tn_group(bench.g, TN_SYMS(dx[0], dx[1]));
}

static void gradients_may_stand_alone(void)
{
    if (!onednn_ready()) return;
    kind.layers = 2;
    kind.bidirectional = 1;
    for (int m = 0; m < 2 * MODES; m++) {
        kind.mode = modes[m % MODES];
        kind.p = m < MODES ? 0 : 0.3;
        tn_exec *got = bind_net(net_of_gradients, TN_DIMS(5, 4, 7), "onednn,reference", false, 0);
        tn_exec *wanted = bind_net(net_of_gradients, TN_DIMS(5, 4, 7), "reference", false, 0);
        step(got, false);
        step(wanted, false);
        if (got && wanted) CU_ASSERT(all_near(got, wanted, 1e-4));
        if (got) TN_CHECK_HAS(tn_exec_report_text(got), "onednn: rnn");
        tn_exec_free(got);
        tn_exec_free(wanted);
    }
}

// Weights that oneDNN would like packed as a whole, for inference: it has other layouts, too.
static void large_layers_run_at_inference(void)
{
    if (!onednn_ready()) return;
    kind.layers = kind.bidirectional = 1;
    kind.p = 0;
    kind.units = 512;
    for (int m = 0; m < MODES; m++) {
        kind.mode = modes[m];
        tn_exec *e[2] = {NULL, NULL};
        for (int i = 0; i < 2; i++) {
            tn_fresh();
            e[i] = tn_simple_bind(bench.g, net_rnn(), .backends = i ? "onednn" : "blas,reference",
                                  .inputs = "data", .grad_req = TN_NULL,
                                  .shapes = TN_SHAPES({"data", TN_DIMS(3, 32, 512)}));
            if (!TN_CHECK_EXEC(e[i])) return;
            fill(e[i]);
            tn_forward(e[i], false);
            TN_CHECK_EXEC(e[i]);
        }
        CU_ASSERT(all_near(e[1], e[0], 1e-4));
        for (int i = 0; i < 2; i++) tn_exec_free(e[i]);
    }
    kind.units = 0;
}

static tn_symbol net_narrow(void)
{
    char params[100];
    snprintf(params, sizeof params,
             "state_size=64; num_layers=2; mode=%s; state_outputs=1; bidirectional=1", kind.mode);
    const tn_symbol x = layer("RNN", "rnn", params, tn_var("data"));
    const tn_symbol y = tn_output(bench.g, x, 0), h = tn_output(bench.g, x, 1);
    return strcmp(kind.mode, "lstm") == 0
               ? tn_group(bench.g, TN_SYMS(y, h, tn_output(bench.g, x, 2)))
               : tn_group(bench.g, TN_SYMS(y, h));
}

static void check_narrow(const char *mode, int64_t batch)
{
    tn_exec *e[2];
    kind.mode = mode;
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        e[i] = tn_simple_bind(bench.g, net_narrow(), .backends = "onednn,reference",
                              .compute = i ? TN_BF16 : TN_DTYPE_NONE, .grad_req = TN_NULL,
                              .shapes = TN_SHAPES({"data", TN_DIMS(6, batch, 32)}));
        if (!TN_CHECK_EXEC(e[i])) return;
        fill(e[i]);
        tn_tensor_fill(tn_exec_arg(e[i], "rnn_parameters"), 0.02);
        tn_forward(e[i], false);
        TN_CHECK_EXEC(e[i]);
    }
    CU_ASSERT(all_near(e[1], e[0], 0.02));
    CU_ASSERT(difference(tn_exec_output(e[1], 0), tn_exec_output(e[0], 0)) > 0);
    for (int i = 0; i < 2; i++) tn_exec_free(e[i]);
}

static void inference_is_computed_in_bfloat16(void)
{
    if (!narrow_ready()) return;
    check_narrow("lstm", 5);
    check_narrow("gru", 5);
    check_narrow("gru", 1);
    check_narrow("gru", 40);
}

// ------------------------------------------------------------------ training in bfloat16

// |a - b| / |b|, lengths of vectors.
static double distance(tn_tensor *a, tn_tensor *b)
{
    double off = 0, length = 0;
    if (!a || !b || tn_tensor_size(a) != tn_tensor_size(b)) return INFINITY;
    for (int64_t i = 0; i < tn_tensor_size(b); i++) {
        const double x = tn_tensor_at(a, i), y = tn_tensor_at(b, i);
        off += (x - y) * (x - y);
        length += y * y;
    }
    return off > 0 ? sqrt(off / length) : 0;
}

static tn_exec *bind_training(tn_dtype compute, tn_dims data)
{
    tn_fresh();
    tn_exec *e =
        tn_simple_bind(bench.g, net_rnn(), .backends = "onednn,reference", .compute = compute,
                       .grad_req = TN_WRITE, .shapes = TN_SHAPES({"data", data}));
    return TN_CHECK_EXEC(e) ? e : NULL;
}

// Parameters shrink as there are more units, so that gates do not saturate.
static void fill_cells(tn_exec *e)
{
    fill(e);
    tn_tensor *t = tn_exec_arg(e, "rnn_parameters");
    float *p = tn_tensor_data(t);
    for (int64_t i = 0; kind.units && i < tn_tensor_size(t); i++)
        p[i] *= (float)sqrt(6.0 / kind.units);
}

// One step from the same numbers; rounds: whether bfloat16 is to be seen in the results.
static void check_narrow_training(tn_dims data, bool rounds)
{
    tn_exec *narrow = bind_training(TN_BF16, data), *wide = bind_training(TN_DTYPE_NONE, data);
    if (!narrow || !wide) return;
    const tn_names args = tn_exec_arguments(wide);
    fill_cells(narrow);
    fill_cells(wide);
    step(narrow, true);
    step(wide, true);
    const double off = distance(tn_exec_output(narrow, 0), tn_exec_output(wide, 0));
    TN_CHECK_NEAR(off, 0, 0.02);
    CU_ASSERT_EQUAL(off > 0, rounds);
    for (size_t i = 0; i < args.n; i++) {
        const double d = distance(tn_exec_grad(narrow, args.v[i]), tn_exec_grad(wide, args.v[i]));
        TN_CHECK_NEAR(d, 0, 0.08);
        CU_ASSERT_EQUAL(d > 0, rounds);
    }
    tn_exec_free(narrow);
    tn_exec_free(wide);
}

// Not with few sequences, nor a GRU of few units, which are computed faster in float32.
static void cells_are_trained_in_bfloat16(void)
{
    if (!narrow_ready()) return;
    for (int m = 0; m < MODES; m++)
        for (int i = 0; i < 8; i++) {
            kind.mode = modes[m];
            kind.units = strcmp(modes[m], "gru") == 0 ? 128 : 6;
            kind.layers = 1 + i % 2;
            kind.bidirectional = i / 2 % 2;
            kind.p = i / 4 ? 0.3 : 0;
            check_narrow_training(TN_DIMS(5, 9, 7), true);
        }
    kind.units = 0;
    check_narrow_training(TN_DIMS(5, 9, 7), false); // of a GRU
    kind.mode = "lstm";
    check_narrow_training(TN_DIMS(5, 4, 7), false);
}

// ------------------------------------------------------------------ sequences of many lengths

enum { LENGTHS = 10 };

// Whatever the others, or anybody, left in the planned memory.
static void run_among_others(tn_exec *e)
{
    memset(e->spaces[0].storage->host, 0xff, (size_t)e->spaces[0].storage->bytes); // NaN
    step(e, true);
}

static void check_lengths(tn_dtype compute)
{
    tn_exec *e[LENGTHS] = {0}, *alone[LENGTHS] = {0};
    bool ok = true;
    tn_fresh();
    const tn_symbol s = net_rnn();
    for (int i = 0; i < LENGTHS && ok; i++) {
        const tn_shapes shapes = TN_SHAPES({"data", TN_DIMS(LENGTHS - i, 9, 7)});
        alone[i] = tn_simple_bind(bench.g, s, .backends = "onednn,reference", .compute = compute,
                                  .grad_req = TN_WRITE, .shapes = shapes);
        e[i] = i ? tn_exec_reshape(e[0], shapes)
                 : tn_simple_bind(bench.g, s, .backends = "onednn,reference", .compute = compute,
                                  .grad_req = TN_WRITE, .shapes = shapes);
        ok = TN_CHECK_EXEC(alone[i]) && TN_CHECK_EXEC(e[i]);
        if (!ok) break;
        CU_ASSERT_PTR_EQUAL(e[i]->spaces[0].storage, e[0]->spaces[0].storage);
        CU_ASSERT_PTR_EQUAL(tn_exec_arg(e[i], "rnn_parameters"),
                            tn_exec_arg(e[0], "rnn_parameters"));
        fill(e[i]);
        fill(alone[i]);
        step(alone[i], true);
    }
    for (int k = 0; ok && k < 2 * LENGTHS; k++) {
        const int i = k * 7 % LENGTHS;
        run_among_others(e[i]);
        CU_ASSERT(all_near(e[i], alone[i], 0));
    }
    for (int i = LENGTHS; i-- > 0;) {
        tn_exec_free(e[i]);
        tn_exec_free(alone[i]);
    }
}

static void many_lengths_share_memory(void)
{
    if (!onednn_ready()) return;
    kind.layers = 2;
    kind.bidirectional = 1;
    kind.p = 0;
    for (int m = 0; m < MODES; m++) {
        kind.mode = modes[m];
        check_lengths(TN_DTYPE_NONE);
        check_lengths(TN_BF16);
    }
}

TN_TEST_MAIN({"every cell agrees with the reference", every_cell_agrees_with_the_reference},
             {"dropout stands between layers", dropout_stands_between_layers},
             {"gradients may stand alone", gradients_may_stand_alone},
             {"large layers run at inference", large_layers_run_at_inference},
             {"inference is computed in bfloat16", inference_is_computed_in_bfloat16},
             {"cells are trained in bfloat16", cells_are_trained_in_bfloat16},
             {"many lengths share memory", many_lengths_share_memory})
