// tests/exec/test_real_networks.c: networks that MXNet saved from 2015 to 2019: shapes, memory
// plans, and the outputs that an independent evaluator computed from the same weights.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/sdk.h>

#include "tests/tn_test.h"

static const char no_data[] = "TENON_DATA_DIR has no such file";

// ------------------------------------------------------------------ outputs

typedef struct network {
    const char *symbol, *params, *in, *out;
    int64_t rows; // inputs of the file that are looked at
    double floor; // as part of the largest output: a smaller one is compared with this
} network;

// The symbol with its real parameters and the first rows of the input. Labels stay zero.
static tn_exec *load(const network *n, tn_symbol s, tn_tensor *data)
{
    tn_tensor_list params = {0, NULL};
    const tn_shape shape = tn_tensor_shape(data);
    tn_exec *e = tn_simple_bind(bench.g, s, .backends = bench.backends, .grad_req = TN_NULL,
                                .shapes = TN_SHAPES({"data", {(size_t)shape.ndim, shape.dim}}));
    if (!TN_CHECK_EXEC(e)) return NULL;
    tn_params_load(bench.env, tn_data(n->params), &params);
    CU_ASSERT(params.n > 0);
    tn_exec_set_all(e, (tn_tensors){params.n, params.v}, false);
    tn_exec_set(e, "data", data);
    tn_tensors_free(&params);
    tn_forward(e, false);
    if (TN_CHECK_EXEC(e)) return e;
    tn_exec_free(e);
    return NULL;
}

// The first rows of a file of numbers, or NULL.
static tn_tensor *rows_of(const char *name, int64_t rows)
{
    const char *path = tn_data(name);
    tn_tensor *all = path ? tn_npy_load(bench.env, path) : NULL;
    tn_tensor *some = all ? tn_tensor_slice(all, 0, rows) : NULL;
    CU_ASSERT(some != NULL);
    tn_tensor_release(all);
    return some;
}

static bool has_files(const network *n)
{
    const bool all = tn_data(n->symbol) && tn_data(n->params) && tn_data(n->in) && tn_data(n->out);
    if (!all) tn_skip(no_data);
    return all;
}

// Element by element within 1e-4 of what is wanted, where that is not below the floor.
static void check_outputs(const double *got, tn_tensor *wanted, double floor)
{
    double largest = 0, worst = 0;
    const int64_t n = tn_tensor_size(wanted);
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(tn_tensor_at(wanted, i)));
    for (int64_t i = 0; i < n; i++) {
        const double w = tn_tensor_at(wanted, i);
        const double error = fabs(got[i] - w) / fmax(fabs(w), floor * largest);
        worst = isnan(error) ? INFINITY : fmax(worst, error);
    }
    CU_ASSERT(largest > 0);
    TN_CHECK_NEAR(worst, 0, 1e-4);
}

static void check_network(const network *n)
{
    if (!has_files(n)) return;
    tn_tensor *data = rows_of(n->in, n->rows), *wanted = rows_of(n->out, n->rows);
    const tn_symbol s = tn_symbol_load(bench.g, tn_data(n->symbol));
    tn_exec *e = TN_CHECK_GRAPH() && data && wanted ? load(n, s, data) : NULL;
    tn_tensor *out = e ? tn_exec_output(e, 0) : NULL;
    const int64_t size = wanted ? tn_tensor_size(wanted) : 0;
    CU_ASSERT(out && tn_tensor_size(out) == size);
    double *got = calloc((size_t)size + 1, sizeof *got);
    CU_ASSERT_FATAL(got != NULL);
    if (out && tn_tensor_size(out) == size) {
        for (int64_t i = 0; i < size; i++) got[i] = tn_tensor_at(out, i);
        check_outputs(got, wanted, n->floor);
    }
    free(got);
    tn_exec_free(e);
    tn_tensor_release(data);
    tn_tensor_release(wanted);
}

static void lenet_of_2015(void)
{
    check_network(&(network){"lenet-2015/lenet-symbol.json", "lenet-2015/lenet-0010.params",
                             "lenet-2015/mnist-lenet-2015.in.data.npy",
                             "lenet-2015/mnist-lenet-2015.out0.npy", 16, 1e-6});
}

// Its outputs are no probabilities but scores of either sign; one near 0 is a difference of large
// numbers.
static void lenet_of_2019(void)
{
    check_network(&(network){"lenet-2019/lenet-symbol.json", "lenet-2019/lenet-0001.params",
                             "lenet-2019/mnist-fcrc-lenet.in.data.npy",
                             "lenet-2019/mnist-fcrc-lenet.out0.npy", 16, 0.01});
}

static void perceptron_of_gluon(void)
{
    check_network(&(network){"mlp-onnx/model-symbol.json", "mlp-onnx/model-0004.params",
                             "mlp-onnx/cosmin-mlp.in.data.npy", "mlp-onnx/cosmin-mlp.out0.npy", 3,
                             0.01});
}

// ------------------------------------------------------------------ SqueezeNet

// An image takes 0.9 billion multiplications: seconds in plain loops, minutes when they are
// instrumented.
static bool too_slow(void)
{
    if (TN_SANITIZER) tn_skip("too slow with sanitizers");
    return TN_SANITIZER;
}

static void squeezenet(void)
{
    if (too_slow()) return;
    check_network(&(network){
        "squeezenet/squeezenet-symbol.json", "squeezenet/squeezenet-0000.params",
        "squeezenet/squeezenet_v1.0.in.data.npy", "squeezenet/squeezenet_v1.0.out0.npy", 1, 1e-6});
}

// softmax over the channels of the mean of (1, channels, h, w), as the later symbol ends.
static void finish(tn_tensor *x, double *probabilities)
{
    const tn_shape s = tn_tensor_shape(x);
    const int64_t points = s.dim[2] * s.dim[3];
    double most = -INFINITY, sum = 0;
    for (int64_t c = 0; c < s.dim[1]; c++) {
        double mean = 0;
        for (int64_t i = 0; i < points; i++) mean += tn_tensor_at(x, c * points + i);
        probabilities[c] = mean / (double)points;
        most = fmax(most, probabilities[c]);
    }
    for (int64_t c = 0; c < s.dim[1]; c++) sum += exp(probabilities[c] - most);
    for (int64_t c = 0; c < s.dim[1]; c++) probabilities[c] = exp(probabilities[c] - most) / sum;
}

// The symbol of 2016 takes no mean over the image: its softmax is one over all classes at all
// 15 x 15 places. What stands before it agrees with the later symbol.
static void squeezenet_of_2016(void)
{
    static const network n = {"squeezenet/squeezenet-2016-symbol.json",
                              "squeezenet/squeezenet-0000.params",
                              "squeezenet/squeezenet_v1.0.in.data.npy",
                              "squeezenet/squeezenet_v1.0.out0.npy",
                              1,
                              1e-6};
    static double probabilities[1000];
    if (too_slow() || !has_files(&n)) return;
    tn_tensor *data = rows_of(n.in, 1), *wanted = rows_of(n.out, 1);
    const tn_symbol s = tn_symbol_load(bench.g, tn_data(n.symbol));
    const tn_symbol scores = tn_output_named(bench.g, tn_internals(bench.g, s), "pool10_output");
    tn_exec *e = TN_CHECK_GRAPH() ? load(&n, tn_group(bench.g, TN_SYMS(s, scores)), data) : NULL;
    if (e) {
        // Copies on the host: single elements of a device take a while each.
        tn_tensor *all = tn_tensor_cast(tn_exec_output(e, 0), TN_F32);
        tn_tensor *x = tn_tensor_cast(tn_exec_output(e, 1), TN_F32);
        double sum = 0;
        for (int64_t i = 0; i < tn_tensor_size(all); i++) sum += tn_tensor_at(all, i);
        TN_CHECK_NEAR(sum, 1, 1e-4);
        CU_ASSERT_EQUAL(tn_tensor_size(x), 1000 * 15 * 15);
        CU_ASSERT_EQUAL(tn_tensor_size(all), 1000 * 15 * 15);
        finish(x, probabilities);
        check_outputs(probabilities, wanted, n.floor);
        tn_tensor_release(all);
        tn_tensor_release(x);
    }
    tn_exec_free(e);
    tn_tensor_release(data);
    tn_tensor_release(wanted);
}

// ------------------------------------------------------------------ shapes and memory

typedef struct sizes {
    const char *path;
    int64_t side;          // of the image
    size_t n_args, n_auxs; // arguments and auxiliary states
    int64_t n_parameters;  // elements of both, without data and label
    const char *weight;    // one of the arguments, and its shape
    int64_t weight_dims[4];
} sizes;

// Counted by a script of its own from the files.
static const sizes published[] = {
    {"symbols/inception_v3-symbol.json",
     299,
     286,
     188,
     23869000,
     "inception_b3_1x7_3_weight",
     {192, 160, 1, 7}},
    {"symbols/resnet101_v2-symbol.json",
     224,
     308,
     200,
     44639144,
     "res20_conv2_weight",
     {256, 256, 3, 3}},
    {"symbols/resnext50_32x4d-symbol.json",
     224,
     163,
     106,
     25097128,
     "resx10_conv2_weight",
     {512, 16, 3, 3}},
    {"symbols/se-resnet50-symbol.json",
     224,
     227,
     106,
     28141144,
     "seres8_1x1_increase_weight",
     {1024, 256, 1, 1}},
};
enum { N_PUBLISHED = sizeof published / sizeof *published };

static int64_t elements(const tn_named_shape *v, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(v[i].name, "data") == 0 || strstr(v[i].name, "label")) continue;
        sum += tn_shape_span(&v[i].shape, 0, v[i].shape.ndim);
    }
    return sum;
}

static void check_shapes(const sizes *p, tn_symbol s)
{
    const tn_shape_result *r =
        tn_infer_shape(bench.g, s, TN_SHAPES({"data", TN_DIMS(1, 3, p->side, p->side)}));
    if (!TN_CHECK_GRAPH() || !r) return;
    tn_shape weight = {.ndim = 4};
    const tn_shape classes = tn_shape_2d(1, 1000);
    size_t found = 0;
    memcpy(weight.dim, p->weight_dims, sizeof p->weight_dims);
    CU_ASSERT(r->complete);
    CU_ASSERT_EQUAL(r->n_args, p->n_args);
    CU_ASSERT_EQUAL(r->n_auxs, p->n_auxs);
    CU_ASSERT_EQUAL(r->n_outs, 1);
    CU_ASSERT(r->n_outs == 1 && tn_shape_equal(&r->outs[0].shape, &classes));
    CU_ASSERT_EQUAL(elements(r->args, r->n_args) + elements(r->auxs, r->n_auxs), p->n_parameters);
    for (size_t i = 0; i < r->n_args; i++)
        found += !strcmp(r->args[i].name, p->weight) && tn_shape_equal(&r->args[i].shape, &weight);
    CU_ASSERT_EQUAL(found, 1);
}

static void shapes_of_published_networks(void)
{
    for (int i = 0; i < N_PUBLISHED; i++) {
        const char *path = tn_data(published[i].path);
        if (!path) {
            tn_skip(no_data);
            return;
        }
        tn_graph_free(bench.g);
        bench.g = tn_graph_new(bench.env);
        const tn_symbol s = tn_symbol_load(bench.g, path);
        if (!TN_CHECK_GRAPH()) continue;
        check_shapes(&published[i], s);
        const char *saved = tn_temporary("saved-symbol.json");
        CU_ASSERT_EQUAL(tn_symbol_save(bench.g, s, saved), TN_OK);
        tn_graph_free(bench.g);
        bench.g = tn_graph_new(bench.env);
        check_shapes(&published[i], tn_symbol_load(bench.g, saved));
    }
}

// Values that are alive at different times share memory: a few layers hold them all.
static void memory_of_published_networks(void)
{
    for (int i = 0; i < N_PUBLISHED; i++) {
        const sizes *p = &published[i];
        const char *path = tn_data(p->path);
        if (!path) {
            tn_skip(no_data);
            return;
        }
        tn_graph_free(bench.g);
        bench.g = tn_graph_new(bench.env);
        tn_exec *e = tn_simple_bind(bench.g, tn_symbol_load(bench.g, path),
                                    .backends = bench.backends, .grad_req = TN_NULL,
                                    .shapes = TN_SHAPES({"data", TN_DIMS(1, 3, p->side, p->side)}));
        if (!TN_CHECK_EXEC(e)) continue;
        const tn_memory_report m = tn_exec_memory(e);
        CU_ASSERT(m.planned >= m.lower_bound);
        CU_ASSERT(m.planned <= m.lower_bound + m.lower_bound / 4);
        CU_ASSERT(m.planned < m.naive / 5);
        CU_ASSERT(m.external >= 4 * (uint64_t)p->n_parameters);
        tn_exec_free(e);
    }
}

TN_TEST_MAIN({"LeNet of 2015", lenet_of_2015}, {"LeNet of 2019", lenet_of_2019},
             {"perceptron of Gluon", perceptron_of_gluon}, {"SqueezeNet", squeezenet},
             {"SqueezeNet of 2016", squeezenet_of_2016},
             {"shapes of published networks", shapes_of_published_networks},
             {"memory of published networks", memory_of_published_networks})
