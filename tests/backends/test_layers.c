// tests/backends/test_layers.c: what <tenon/layers.h> says of calls: the parameters of RNN and the
// labels of SoftmaxOutput.
#include <tenon/layers.h>

#include "tests/backends/made_calls.h"
#include "tests/tn_test.h"

// ------------------------------------------------------------------ calls

// Parameters as a host would fill them in.
typedef struct blob {
    int64_t state_size, num_layers;
    double p, grad_scale, ignore_label;
    int32_t bidirectional, dropout, mode, multi_output, preserve_shape, use_ignore, out_grad;
    int32_t normalization;
} blob;

static const tn_param_decl *const params[] = {
    PARAM(state_size, NULL),
    PARAM(num_layers, NULL),
    PARAM(p, NULL),
    PARAM(grad_scale, NULL),
    PARAM(ignore_label, NULL),
    PARAM(bidirectional, NULL),
    PARAM(dropout, NULL),
    PARAM(mode, "rnn_relu|rnn_tanh|lstm|gru"),
    PARAM(multi_output, NULL),
    PARAM(preserve_shape, NULL),
    PARAM(use_ignore, NULL),
    PARAM(out_grad, NULL),
    PARAM(normalization, "null|batch|valid"),
    NULL,
};

static void make(made *m, const char *op, const blob *b, tn_dims first, tn_dims second)
{
    make_call(m, op, params, b, first, second);
}

// ------------------------------------------------------------------ RNN

// Marks the elements of a piece of the parameters; false: some are marked already, or beyond.
static bool mark(char *seen, int64_t length, int64_t first, int64_t n)
{
    for (int64_t i = first; i < first + n; i++) {
        if (i < 0 || i >= length || seen[i]) return false;
        seen[i] = 1;
    }
    return true;
}

// The pieces of all lanes lie side by side, weights before biases, and leave nothing out.
static void lanes_are_all_of_the_parameters(void)
{
    static char seen[4096];
    static const int64_t gates[] = {1, 1, 4, 3};
    for (int mode = 0; mode < 4; mode++)
        for (int bi = 0; bi < 2; bi++) {
            const int64_t g = gates[mode], d = bi + 1, h = 5, in = 7, layers = 3;
            const int64_t length = d * g * h * (in + h + 2 + 2 * (d * h + h + 2));
            const blob b = {
                .state_size = h, .num_layers = layers, .bidirectional = bi, .mode = mode};
            made m;
            make(&m, "RNN", &b, TN_DIMS(2, 3, 7), TN_DIMS(length));
            const tn_rnn_call r = tn_rnn_of(&m.call);
            CU_ASSERT(r.t == 2 && r.n == 3 && r.in == in && r.h == h && r.layers == layers);
            CU_ASSERT(r.d == d && r.g == g && (int)r.cell == mode && r.length == length);
            CU_ASSERT_FATAL(length <= (int64_t)sizeof seen);
            memset(seen, 0, sizeof seen);
            for (int64_t l = 0; l < layers; l++)
                for (int64_t k = 0; k < d; k++) {
                    const tn_rnn_lane a = tn_rnn_lane_of(&r, l, k);
                    CU_ASSERT(a.in == (l ? d * h : in) && a.state == (l * d + k) * 3 * h);
                    CU_ASSERT(a.h2h < a.i2h_bias);
                    CU_ASSERT(mark(seen, length, a.i2h, g * h * a.in));
                    CU_ASSERT(mark(seen, length, a.h2h, g * h * h));
                    CU_ASSERT(mark(seen, length, a.i2h_bias, g * h));
                    CU_ASSERT(mark(seen, length, a.h2h_bias, g * h));
                }
            for (int64_t i = 0; i < length; i++) CU_ASSERT(seen[i]);
        }
}

// A forward call has masks where it drops and there is a layer below another; a gradient is told.
static void masks_stand_between_layers(void)
{
    const struct {
        const char *op;
        blob b;
        bool masked;
    } all[] = {
        {"RNN", {.state_size = 2, .num_layers = 2, .p = 0.5}, true},
        {"RNN", {.state_size = 2, .num_layers = 1, .p = 0.5}, false},
        {"RNN", {.state_size = 2, .num_layers = 2}, false},
        {"_backward_RNN", {.state_size = 2, .num_layers = 2, .dropout = 1}, true},
        {"_backward_RNN", {.state_size = 2, .num_layers = 2, .p = 0.5}, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        made m;
        make(&m, all[i].op, &all[i].b, TN_DIMS(4, 1, 1), TN_DIMS(22));
        const tn_rnn_call r = tn_rnn_of(&m.call);
        CU_ASSERT_EQUAL(r.masked, all[i].masked);
        CU_ASSERT_EQUAL(r.backward, i > 2);
        CU_ASSERT(tn_rnn_step(&r, 0, 1) == 1 && tn_rnn_step(&r, 1, 1) == 2);
    }
}

// ------------------------------------------------------------------ SoftmaxOutput

static void losses_are_scaled_by_their_labels(void)
{
    enum { NONE, BATCH, VALID };
    const struct {
        blob b;
        tn_dims p, label;
        double scale;
        bool soft, enough;
    } all[] = {
        {{.grad_scale = 6}, TN_DIMS(3, 4), TN_DIMS(3), 6, false, true},
        {{.grad_scale = 6, .normalization = BATCH}, TN_DIMS(3, 4), TN_DIMS(3), 2, false, true},
        {{.grad_scale = 6, .normalization = VALID}, TN_DIMS(3, 4), TN_DIMS(3), 6, false, true},
        {{.grad_scale = 6, .normalization = BATCH}, TN_DIMS(3, 4), TN_DIMS(3, 4), 6, true, true},
        {{.grad_scale = 6, .multi_output = 1}, TN_DIMS(2, 4, 3), TN_DIMS(2, 3), 2, false, true},
        {{.grad_scale = 6, .multi_output = 1, .normalization = BATCH},
         TN_DIMS(2, 4, 3),
         TN_DIMS(2, 3),
         1,
         false,
         true},
        {{.grad_scale = 6}, TN_DIMS(3, 4), TN_DIMS(2), 6, false, false},
        {{.grad_scale = 6, .preserve_shape = 1}, TN_DIMS(3, 2, 4), TN_DIMS(3), 6, false, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        made m;
        tn_softmax_loss l;
        make(&m, "_backward_SoftmaxOutput", &all[i].b, all[i].p, all[i].label);
        CU_ASSERT_EQUAL(tn_softmax_loss_of(&m.call, &l), all[i].enough);
        CU_ASSERT(l.scale == all[i].scale && l.soft == all[i].soft && l.line.n == 4);
        CU_ASSERT(l.valid == (all[i].b.normalization == VALID) && !l.with_head);
    }
}

TN_TEST_MAIN({"lanes are all of the parameters", lanes_are_all_of_the_parameters},
             {"masks stand between layers", masks_stand_between_layers},
             {"losses are scaled by their labels", losses_are_scaled_by_their_labels})
