// tests/backends/test_onednn_rnn.c: recurrent layers on oneDNN's primitives against reference:
// every kind of cell, layers, directions, states in and out, and their gradients.
#include "onednn_nets.h"

static struct {
    const char *mode;
    int layers, bidirectional;
} kind;

// All outputs in one value, so that each of them has a gradient.
static tn_symbol net_rnn(void)
{
    char params[160];
    snprintf(params, sizeof params,
             "state_size=6; num_layers=%d; bidirectional=%d; mode=%s; state_outputs=1", kind.layers,
             kind.bidirectional, kind.mode);
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

static void every_cell_agrees_with_the_reference(void)
{
    static const char *const modes[] = {"rnn_relu", "rnn_tanh", "lstm", "gru"};
    if (!onednn_ready()) return;
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++)
        for (kind.layers = 1; kind.layers <= 3; kind.layers++)
            for (kind.bidirectional = 0; kind.bidirectional < 2; kind.bidirectional++) {
                kind.mode = modes[m];
                check_kind(false);
                check_kind(true);
            }
}

TN_TEST_MAIN({"every cell agrees with the reference", every_cell_agrees_with_the_reference})
