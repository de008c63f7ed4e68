// tests/nets/zoo.h: small networks of each kind, and their inputs and parameters.
//
// Sizes are such that a step takes milliseconds on the reference and yet every kernel has more than
// one of its blocks: channels are no multiple of a vector everywhere, batches no power of two.
#ifndef TENON_TESTS_ZOO_H
#define TENON_TESTS_ZOO_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/philox.h>

#include "tests/tn_numeric.h"

enum { ZOO_CLASSES = 5 };

typedef struct zoo_net {
    const char *name;
    tn_symbol (*make)(void);
    tn_named_dims shapes[4]; // of what is no parameter
    size_t n_shapes;
    double rate; // of learning, with momentum 0.9
} zoo_net;

// ------------------------------------------------------------------ layers after layers

static inline tn_symbol zoo_act(const char *params, tn_symbol x)
{
    return tn_op("Activation", params, x);
}

static inline tn_symbol zoo_dense(const char *params, tn_symbol x)
{
    return tn_op("FullyConnected", params, x);
}

// data (n, 20) → 32, relu → 17, tanh → 5
static inline tn_symbol zoo_mlp(void)
{
    tn_symbol x = tn_var("data");
    x = tn_op("FullyConnected", "num_hidden=32", x);
    x = tn_op("Activation", "act_type=relu", x);
    x = tn_op("FullyConnected", "num_hidden=17", x);
    x = tn_op("Activation", "act_type=tanh", x);
    x = tn_op("FullyConnected", "num_hidden=5", x);
    return tn_op("SoftmaxOutput", "normalization=batch", x);
}

// data (n, 1, 20, 20): two times convolution, tanh and pooling, then two dense layers.
static inline tn_symbol zoo_lenet(void)
{
    tn_symbol x = tn_var("data");
    x = tn_op("Convolution", "kernel=(5,5); num_filter=10", x);
    x = tn_op("Activation", "act_type=tanh", x);
    x = tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", x);
    x = tn_op("Convolution", "kernel=(5,5); num_filter=25", x);
    x = tn_op("Activation", "act_type=tanh", x);
    x = tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", x);
    x = tn_op("FullyConnected", "num_hidden=40", tn_op("Flatten", NULL, x));
    x = tn_op("Activation", "act_type=tanh", x);
    x = tn_op("FullyConnected", "num_hidden=5", x);
    return tn_op("SoftmaxOutput", "normalization=batch", x);
}

// relu(bn(conv(x))); no bias, since the norm takes it out again and its gradient would be 0.
static inline tn_symbol zoo_conv_norm_relu(tn_symbol x, const char *conv, bool relu)
{
    x = tn_op("Convolution", conv, x);
    x = tn_op("BatchNorm", "fix_gamma=0; eps=0.001", x);
    return relu ? tn_op("Activation", "act_type=relu", x) : x;
}

// y = relu(bn(conv(relu(bn(conv(x))))) + the way past it)
static inline tn_symbol zoo_block(tn_symbol x, const char *first, const char *second,
                                  const char *past)
{
    tn_symbol y = zoo_conv_norm_relu(x, first, true);
    y = zoo_conv_norm_relu(y, second, false);
    if (past) x = zoo_conv_norm_relu(x, past, false);
    return tn_op("Activation", "act_type=relu", tn_op("elemwise_add", NULL, y, x));
}

// data (n, 3, 10, 10): a block that keeps its size and one that halves it.
static inline tn_symbol zoo_residual(void)
{
    static const char same[] = "kernel=(3,3); pad=(1,1); num_filter=16; no_bias=1";
    static const char half[] = "kernel=(3,3); pad=(1,1); stride=(2,2); num_filter=24; no_bias=1";
    tn_symbol x = zoo_conv_norm_relu(tn_var("data"), same, true);
    x = zoo_block(x, same, same, NULL);
    x = zoo_block(x, half, "kernel=(3,3); pad=(1,1); num_filter=24; no_bias=1",
                  "kernel=(1,1); stride=(2,2); num_filter=24; no_bias=1");
    x = tn_op("Pooling", "kernel=(2,2); pool_type=avg; global_pool=1", x);
    x = tn_op("FullyConnected", "num_hidden=5", tn_op("Flatten", NULL, x));
    return tn_op("SoftmaxOutput", "normalization=batch", x);
}

// ------------------------------------------------------------------ recurrent

enum { ZOO_STEPS = 6, ZOO_SEQUENCES = 4, ZOO_FEATURES = 7, ZOO_HIDDEN = 12 };

// data (steps, sequences, features) → RNN of two LSTM layers → scores for each step
static inline tn_symbol zoo_lstm(void)
{
    tn_symbol x = tn_op("RNN", "mode=lstm; state_size=12; num_layers=2", tn_var("data"),
                        tn_var("parameters"), tn_var("state"), tn_var("state_cell"));
    x = tn_op("Reshape", "shape=(-1,12)", tn_output(bench.g, x, 0));
    x = tn_op("FullyConnected", "num_hidden=5", x);
    return tn_op("SoftmaxOutput", "normalization=batch", x);
}

// The cell of MXNet's examples: both products, added, cut into four gates.
static inline void zoo_lstm_step(tn_symbol x, const tn_symbol w[4], tn_symbol *h, tn_symbol *c)
{
    const tn_symbol i2h = tn_op("FullyConnected", "num_hidden=48", x, w[0], w[1]);
    const tn_symbol h2h = tn_op("FullyConnected", "num_hidden=48", *h, w[2], w[3]);
    const tn_symbol gates =
        tn_op("SliceChannel", "num_outputs=4", tn_op("elemwise_add", NULL, i2h, h2h));
    tn_symbol gate[4];
    for (size_t k = 0; k < 4; k++)
        gate[k] = tn_op("Activation", k == 2 ? "act_type=tanh" : "act_type=sigmoid",
                        tn_output(bench.g, gates, k));
    const tn_symbol kept = tn_op("elemwise_mul", NULL, gate[1], *c);
    *c = tn_op("elemwise_add", NULL, kept, tn_op("elemwise_mul", NULL, gate[0], gate[2]));
    *h = tn_op("elemwise_mul", NULL, gate[3], tn_op("Activation", "act_type=tanh", *c));
}

// data (sequences, steps, features), a layer unrolled over the steps, scores for each step.
static inline tn_symbol zoo_lstm_unrolled(void)
{
    const tn_symbol w[4] = {tn_var("i2h_weight"), tn_var("i2h_bias"), tn_var("h2h_weight"),
                            tn_var("h2h_bias")};
    const tn_symbol xs =
        tn_op("SliceChannel", "num_outputs=6; axis=1; squeeze_axis=1", tn_var("data"));
    tn_symbol h = tn_var("state"), c = tn_var("state_cell"), all[ZOO_STEPS];
    for (size_t t = 0; t < ZOO_STEPS; t++) {
        zoo_lstm_step(tn_output(bench.g, xs, t), w, &h, &c);
        all[t] = h;
    }
    tn_symbol x = tn_call(bench.g, "Concat", .inputs = {ZOO_STEPS, all},
                          .params = TN_ATTRS({"dim", "0"}, {"num_args", "6"}));
    x = tn_op("FullyConnected", "num_hidden=5", x);
    return tn_op("SoftmaxOutput", "normalization=batch", x);
}

// ------------------------------------------------------------------ all

static const int64_t zoo_rows[] = {14, 20}, zoo_digits[] = {10, 1, 20, 20},
                     zoo_pictures[] = {6, 3, 10, 10},
                     zoo_steps[] = {ZOO_STEPS, ZOO_SEQUENCES, ZOO_FEATURES},
                     zoo_sequences[] = {ZOO_SEQUENCES, ZOO_STEPS, ZOO_FEATURES},
                     zoo_states[] = {2, ZOO_SEQUENCES, ZOO_HIDDEN},
                     zoo_state[] = {ZOO_SEQUENCES, ZOO_HIDDEN};

static const zoo_net zoo[] = {
    {"MLP", zoo_mlp, {{"data", {2, zoo_rows}}}, 1, 0.1},
    {"LeNet", zoo_lenet, {{"data", {4, zoo_digits}}}, 1, 0.05},
    {"residual network", zoo_residual, {{"data", {4, zoo_pictures}}}, 1, 0.02},
    {"LSTM",
     zoo_lstm,
     {{"data", {3, zoo_steps}}, {"state", {3, zoo_states}}, {"state_cell", {3, zoo_states}}},
     3,
     0.5},
    {"unrolled LSTM",
     zoo_lstm_unrolled,
     {{"data", {3, zoo_sequences}}, {"state", {2, zoo_state}}, {"state_cell", {2, zoo_state}}},
     3,
     0.5},
};
enum { ZOO_NETS = sizeof zoo / sizeof *zoo };

// ------------------------------------------------------------------ values

// What a tensor of this name starts with: weights that keep sums near 1, scales near 1, labels 0,
// 1, …, small biases; words of a vocabulary of 11, and lengths of sequences; pictures and sequences
// are random, with a part that tells of the class.
static inline double zoo_value(const char *name, int64_t i, int64_t rows, int64_t n, double u)
{
    if (strstr(name, "label")) return (double)(i % ZOO_CLASSES);
    if (strstr(name, "words")) return (double)(i * 7 % 11);
    if (strstr(name, "lengths")) return (double)(1 + i * 3 % ZOO_STEPS);
    if (strstr(name, "weight")) return u * sqrt(3.0 * (double)rows / (double)n);
    if (strstr(name, "parameters")) return u * 0.5;
    if (strstr(name, "gamma") || strstr(name, "var")) return 1 + u / 4;
    if (strcmp(name, "data") == 0)
        return u + ((i % ZOO_CLASSES) == (i / (n / rows)) % ZOO_CLASSES ? 0.5 : 0);
    return u / 4;
}

static inline void zoo_fill_tensor(tn_tensor *t, const char *name, uint32_t stream)
{
    const tn_shape s = tn_tensor_shape(t);
    const int64_t n = tn_tensor_size(t), rows = s.ndim && s.dim[0] ? s.dim[0] : 1;
    float *x = calloc((size_t)n + 1, sizeof *x);
    for (int64_t i = 0; x && i < n; i++) {
        const double u = 2 * tn_philox_uniform_f32(5, stream, (uint64_t)i) - 1;
        x[i] = (float)zoo_value(name, i, rows, n, u);
    }
    CU_ASSERT(x && tn_tensor_set(t, x, (uint64_t)n * sizeof *x) == TN_OK);
    free(x);
}

static inline void zoo_fill(tn_exec *e)
{
    const tn_names args = tn_exec_arguments(e), auxs = tn_exec_auxiliary_states(e);
    for (size_t i = 0; i < args.n; i++)
        zoo_fill_tensor(tn_exec_arg(e, args.v[i]), args.v[i], (uint32_t)i);
    for (size_t i = 0; i < auxs.n; i++)
        zoo_fill_tensor(tn_exec_aux(e, auxs.v[i]), auxs.v[i], (uint32_t)(1000 + i));
}

#endif
