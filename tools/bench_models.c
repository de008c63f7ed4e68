// tools/bench_models.c: the networks that `tenon bench` measures.
#include <string.h>

#include "tools/bench.h"

// ------------------------------------------------------------------ parts

// What follows belongs to the group "second"; before it, bench_net.c has opened "first". Only where
// groups were asked for: a node of a group stays as it is, no batch norm is folded into it.
static void second_group(tn_graph *g, const bench_size *s)
{
    if (!s->grouped) return;
    tn_attr_scope_pop(g);
    tn_attr_scope_push(g, TN_ATTRS({"ctx_group", "second"}));
}

static tn_symbol linear(tn_graph *g, tn_symbol x, int64_t units, const char *name)
{
    return tn_fully_connected(g, .data = x, .num_hidden = units, .name = name);
}

static tn_symbol act(tn_graph *g, tn_symbol x, int type)
{
    return tn_activation(g, .data = x, .act_type = type);
}

// Convolution with a square kernel, without bias, and a batch norm.
typedef struct conv_args {
    int64_t filters, kernel, stride;
    const char *name;
} conv_args;

static tn_symbol conv_norm(tn_graph *g, tn_symbol x, conv_args a)
{
    char norm[64];
    const int64_t pad = a.kernel / 2;
    snprintf(norm, sizeof norm, "%.55s_norm", a.name);
    x = tn_convolution(g, .data = x, .num_filter = a.filters, .kernel = TN_INTS(a.kernel, a.kernel),
                       .stride = TN_INTS(a.stride, a.stride), .pad = TN_INTS(pad, pad),
                       .no_bias = true, .name = a.name);
    return tn_batch_norm(g, .data = x, .fix_gamma = TN_SET(false), .eps = TN_SET(1e-5),
                         .name = norm);
}

// A residual unit: convolutions with the kernels of `kernels` (0 ends), the last `out` wide, the
// others `width`; where the shape changes, a 1×1 convolution stands beside them.
typedef struct unit_args {
    const int64_t *kernels;
    int64_t width, out, stride;
    bool project;
    int stage, unit;
} unit_args;

static tn_symbol residual(tn_graph *g, tn_symbol x, unit_args a)
{
    char name[48];
    tn_symbol y = x;
    for (int i = 0; a.kernels[i]; i++) {
        const bool last = !a.kernels[i + 1];
        const bool strides = a.kernels[i] == 3 && (i == 0 || a.kernels[0] == 1);
        snprintf(name, sizeof name, "stage%d_unit%d_conv%d", a.stage, a.unit, i + 1);
        y = conv_norm(g, y,
                      (conv_args){.filters = last ? a.out : a.width,
                                  .kernel = a.kernels[i],
                                  .stride = strides ? a.stride : 1,
                                  .name = name});
        if (!last) y = act(g, y, TN_RELU);
    }
    snprintf(name, sizeof name, "stage%d_unit%d_project", a.stage, a.unit);
    if (a.project)
        x = conv_norm(g, x,
                      (conv_args){.filters = a.out, .kernel = 1, .stride = a.stride, .name = name});
    return act(g, tn_add(g, y, x), TN_RELU);
}

static tn_symbol classify(tn_graph *g, tn_symbol x, int64_t classes, const bench_size *s)
{
    second_group(g, s);
    x = tn_pooling(g, .data = x, .kernel = TN_INTS(1, 1), .global_pool = true,
                   .pool_type = TN_POOLING_AVG);
    x = linear(g, tn_flatten(g, .data = x), classes, "fc");
    return tn_softmax_output(g, .data = x, .name = "out");
}

// ------------------------------------------------------------------ networks

static tn_symbol mlp(tn_graph *g, const bench_size *s)
{
    tn_symbol x = tn_variable(g, "data", .shape = TN_DIMS(s->batch, 784), .dtype = s->dtype);
    x = act(g, linear(g, x, 128, "fc1"), TN_RELU);
    second_group(g, s);
    x = act(g, linear(g, x, 64, "fc2"), TN_RELU);
    return tn_softmax_output(g, .data = linear(g, x, 10, "fc3"), .name = "out");
}

static tn_symbol lenet_layer(tn_graph *g, tn_symbol x, int64_t filters, const char *name)
{
    x = tn_convolution(g, .data = x, .num_filter = filters, .kernel = TN_INTS(5, 5), .name = name);
    return tn_pooling(g, .data = act(g, x, TN_TANH), .kernel = TN_INTS(2, 2),
                      .stride = TN_INTS(2, 2), .pool_type = TN_POOLING_MAX);
}

static tn_symbol lenet(tn_graph *g, const bench_size *s)
{
    tn_symbol x = tn_variable(g, "data", .shape = TN_DIMS(s->batch, 1, 28, 28), .dtype = s->dtype);
    x = lenet_layer(g, lenet_layer(g, x, 20, "conv1"), 50, "conv2");
    second_group(g, s);
    x = act(g, linear(g, tn_flatten(g, .data = x), 500, "fc1"), TN_TANH);
    return tn_softmax_output(g, .data = linear(g, x, 10, "fc2"), .name = "out");
}

// He and others 2015, for CIFAR: three stages of three units; projections where widths change.
static tn_symbol resnet20(tn_graph *g, const bench_size *s)
{
    static const int64_t kernels[] = {3, 3, 0};
    const int64_t extent = s->quick ? 8 : 32;
    tn_symbol x =
        tn_variable(g, "data", .shape = TN_DIMS(s->batch, 3, extent, extent), .dtype = s->dtype);
    x = act(g,
            conv_norm(g, x,
                      (conv_args){
                          .filters = s->quick ? 2 : 16, .kernel = 3, .stride = 1, .name = "conv"}),
            TN_RELU);
    for (int stage = 0; stage < 3; stage++)
        for (int unit = 0; unit < 3; unit++) {
            const int64_t width = (int64_t)(s->quick ? 2 : 16) << stage;
            const bool first = stage > 0 && unit == 0;
            x = residual(g, x,
                         (unit_args){.kernels = kernels,
                                     .width = width,
                                     .out = width,
                                     .stride = first ? 2 : 1,
                                     .project = first,
                                     .stage = stage + 1,
                                     .unit = unit + 1});
        }
    return classify(g, x, 10, s);
}

// The form with the stride in the 3×3 convolutions, which most frameworks have today.
static tn_symbol resnet50(tn_graph *g, const bench_size *s)
{
    static const int64_t kernels[] = {1, 3, 1, 0};
    static const int units[] = {3, 4, 6, 3};
    const int64_t extent = s->quick ? 32 : 224;
    tn_symbol x =
        tn_variable(g, "data", .shape = TN_DIMS(s->batch, 3, extent, extent), .dtype = s->dtype);
    x = act(g,
            conv_norm(g, x,
                      (conv_args){
                          .filters = s->quick ? 2 : 64, .kernel = 7, .stride = 2, .name = "conv"}),
            TN_RELU);
    x = tn_pooling(g, .data = x, .kernel = TN_INTS(3, 3), .stride = TN_INTS(2, 2),
                   .pad = TN_INTS(1, 1), .pool_type = TN_POOLING_MAX);
    for (int stage = 0; stage < 4; stage++)
        for (int unit = 0; unit < units[stage]; unit++) {
            const int64_t width = (int64_t)(s->quick ? 2 : 64) << stage;
            x = residual(g, x,
                         (unit_args){.kernels = kernels,
                                     .width = width,
                                     .out = 4 * width,
                                     .stride = stage > 0 && unit == 0 ? 2 : 1,
                                     .project = unit == 0,
                                     .stage = stage + 1,
                                     .unit = unit + 1});
        }
    return classify(g, x, s->quick ? 10 : 1000, s);
}

enum { VOCABULARY = 65 };

// A model of characters: (steps, batch) tokens → scores of the next token.
static tn_symbol lstm(tn_graph *g, const bench_size *s)
{
    const int64_t steps = s->quick ? 3 : 32, units = s->quick ? 8 : 256;
    tn_symbol x = tn_variable(g, "data", .shape = TN_DIMS(steps, s->batch), .dtype = s->dtype);
    x = tn_embedding(g, .data = x, .input_dim = VOCABULARY, .output_dim = units, .dtype = s->dtype,
                     .name = "embed");
    x = tn_rnn(g, .data = x, .mode = TN_RNN_LSTM, .num_layers = 2, .state_size = units,
               .name = "lstm");
    second_group(g, s);
    x = tn_reshape(g, .data = x, .shape = TN_INTS(-1, units));
    return tn_softmax_output(g, .data = linear(g, x, VOCABULARY, "fc"), .name = "out");
}

// x · sigmoid(x) + y
static tn_symbol elementwise(tn_graph *g, const bench_size *s)
{
    const tn_symbol x = tn_variable(g, "x", .shape = TN_DIMS(s->batch), .dtype = s->dtype);
    const tn_symbol y = tn_variable(g, "y", .shape = TN_DIMS(s->batch), .dtype = s->dtype);
    return tn_add(g, tn_mul(g, x, tn_sigmoid(g, .data = x)), y);
}

// ------------------------------------------------------------------ the table

static const bench_model models[] = {
    {.name = "mlp",
     .doc = "784-128-64-10 with ReLU",
     .make = mlp,
     .inputs = "data",
     .classes = 10,
     .inference = {64, 512},
     .training = {64, 512},
     .quick = 4},
    {.name = "lenet",
     .doc = "two convolutions 5x5 (20, 50), tanh, fc 500; 28x28",
     .make = lenet,
     .inputs = "data",
     .classes = 10,
     .inference = {64},
     .training = {64},
     .quick = 2},
    {.name = "resnet20",
     .doc = "residual network for CIFAR, 32x32",
     .make = resnet20,
     .inputs = "data",
     .classes = 10,
     .inference = {128},
     .training = {128},
     .quick = 2},
    {.name = "resnet50",
     .doc = "residual network for ImageNet, 224x224",
     .make = resnet50,
     .inputs = "data",
     .classes = 1000,
     .inference = {1, 16},
     .training = {8},
     .quick = 1},
    {.name = "lstm",
     .doc = "two layers of 256 on 32 characters of 65",
     .make = lstm,
     .inputs = "data",
     .classes = VOCABULARY,
     .tokens = VOCABULARY,
     .inference = {32},
     .training = {32},
     .quick = 2},
    {.name = "elementwise",
     .doc = "x*sigmoid(x)+y on 10^7 numbers",
     .make = elementwise,
     .inputs = "x y",
     .summand = "y",
     .inference = {10000000},
     .training = {10000000},
     .quick = 1000},
};

const bench_model *bench_model_at(size_t i)
{
    return i < sizeof models / sizeof models[0] ? &models[i] : NULL;
}

const bench_model *bench_model_find(const char *name)
{
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (strcmp(models[i].name, name) == 0) return &models[i];
    return NULL;
}

bool bench_is_parameter(const char *name)
{
    static const char *const endings[] = {"_weight", "_bias", "_gamma", "_beta", "_parameters"};
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t m = strlen(endings[i]);
        if (n > m && strcmp(name + n - m, endings[i]) == 0) return true;
    }
    return false;
}
