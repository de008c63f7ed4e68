// tools/bench_flops.c: how much work a network is, counted from its shapes.
#include <stdlib.h>
#include <string.h>

#include "tools/bench.h"

// The values of a network, in an order in which each uses only earlier ones.
typedef struct values {
    tn_graph *g;
    tn_symbol all;
    tn_names names;
    const tn_shape_result *shapes;
    bool *trained; // does it depend on a parameter?
} values;

static size_t find(const values *v, const char *name)
{
    size_t i = 0;
    while (i < v->names.n && strcmp(v->names.v[i], name) != 0) i++;
    return i;
}

static double elements(const tn_shape *shape, int32_t from)
{
    double n = 1.0;
    for (int32_t i = from; i < shape->ndim; i++) n *= (double)shape->dim[i];
    return n;
}

static double number_of(const values *v, tn_symbol s, const char *key)
{
    const char *text = tn_attr_get(v->g, s, key);
    return text ? strtod(text, NULL) : 0.0;
}

// 2 · steps · sequences · gates · units · (features + units) of each layer.
static double recurrent(const values *v, tn_symbol s, const tn_shape *data)
{
    const char *mode = tn_attr_get(v->g, s, "mode");
    const double gates = !mode                       ? 0.0
                         : strcmp(mode, "lstm") == 0 ? 4.0
                         : strcmp(mode, "gru") == 0  ? 3.0
                                                     : 1.0;
    const double units = number_of(v, s, "state_size"), layers = number_of(v, s, "num_layers");
    const double weights =
        units * ((double)data->dim[2] + units) + (layers - 1) * 2 * units * units;
    return 2.0 * (double)(data->dim[0] * data->dim[1]) * gates * weights;
}

// Of forward of value i, a linear operator: 2 · outputs · what each sums up. 0: it is none.
static double linear(const values *v, size_t i, tn_symbol s, tn_names inputs)
{
    const char *op = tn_symbol_op(v->g, s);
    if (!op || inputs.n < 2) return 0.0;
    const size_t data = find(v, inputs.v[0]), weight = find(v, inputs.v[1]);
    if (data == v->names.n || weight == v->names.n) return 0.0;
    if (strcmp(op, "FullyConnected") == 0 || strcmp(op, "Convolution") == 0)
        return 2.0 * elements(&v->shapes->outs[i].shape, 0) *
               elements(&v->shapes->outs[weight].shape, 1);
    return strcmp(op, "RNN") == 0 ? recurrent(v, s, &v->shapes->outs[data].shape) : 0.0;
}

// Sums up; *others counts an operation for each element of the other operators' results.
static double count(values *v, bool training, double *others)
{
    double sum = 0.0;
    for (size_t i = 0; i < v->names.n; i++) {
        const tn_symbol s = tn_output(v->g, v->all, i);
        const tn_symbol from = tn_children(v->g, s);
        const tn_names inputs = from.node ? tn_outputs(v->g, from) : (tn_names){0, NULL};
        const double forward = linear(v, i, s, inputs);
        v->trained[i] = inputs.n == 0 && bench_is_parameter(v->names.v[i]);
        for (size_t k = 0; k < inputs.n; k++) {
            const size_t at = find(v, inputs.v[k]);
            if (at < i && v->trained[at]) v->trained[i] = true;
        }
        if (inputs.n) *others += elements(&v->shapes->outs[i].shape, 0);
        if (forward == 0.0) continue;
        // The gradient of the weights, and that of the data where something before them learns.
        const size_t data = find(v, inputs.v[0]);
        const int passes = !training ? 1 : data < i && v->trained[data] ? 3 : 2;
        sum += passes * forward;
    }
    return sum;
}

double bench_flops(tn_graph *g, tn_symbol net, bool training)
{
    values v = {.g = g, .all = tn_internals(g, net)};
    double others = 0.0;
    v.names = tn_outputs(g, v.all);
    v.shapes = tn_infer_shape(g, v.all, (tn_shapes){0, NULL});
    v.trained = calloc(v.names.n + 1, sizeof *v.trained);
    double sum = v.shapes && v.trained ? count(&v, training, &others) : -1.0;
    free(v.trained);
    if (tn_graph_status(g) != TN_OK) return -1.0;
    return sum == 0.0 && !training ? others : sum;
}
