// tests/nets/test_published.c: trained networks of others give their published answers on every
// backend, and SqueezeNet's gradients are those of the reference.
//
// Runs once for each list of backends that tests/CMakeLists.txt names. The data are in the folder
// that TENON_DATA_DIR names.
#include "tests/nets/zoo_run.h"

// Ten thousand digits take seconds, and minutes when every access is watched.
static bool too_slow(void)
{
    if (TN_SANITIZER) tn_skip("too slow with sanitizers");
    return TN_SANITIZER;
}

// Path of a file, or NULL after saying that the test is skipped.
static const char *file(const char *name)
{
    const char *path = tn_data(name);
    if (!path) tn_skip("TENON_DATA_DIR has no such file");
    return path;
}

// The network of the folder, its data of this shape, with its parameters. inputs as tn_bind_options
// has it; with NULL it may be trained too.
static tn_exec *load(const char *symbol, const char *params, tn_dims data, const char *backends,
                     const char *inputs, bool train)
{
    tn_tensor_list list = {0, NULL};
    const char *path = file(params);
    tn_fresh();
    const tn_symbol s = tn_symbol_load(bench.g, tn_data(symbol));
    tn_exec *e =
        tn_simple_bind(bench.g, s, .backends = backends, .inputs = inputs,
                       .shapes = TN_SHAPES({"data", data}), .grad_req = train ? TN_WRITE : TN_NULL);
    if (!TN_CHECK_EXEC(e)) return NULL;
    tn_params_load(bench.env, path, &list);
    CU_ASSERT(list.n > 0);
    tn_exec_set_all(e, (tn_tensors){list.n, list.v}, false);
    tn_tensors_free(&list);
    TN_CHECK_EXEC(e);
    return e;
}

// ------------------------------------------------------------------ LeNet of 2015, all of MNIST

enum { DIGITS = 10000, BATCH = 500, PIXELS = 28 * 28 };

// Of the pictures first … first + BATCH, how many does e name right?
static int right_in_batch(tn_exec *e, tn_tensor *images, tn_tensor *labels, int first)
{
    static float x[BATCH * PIXELS], p[BATCH * 10];
    tn_tensor *some = tn_tensor_slice(images, first, first + BATCH);
    tn_tensor *pixels = tn_tensor_cast(some, TN_F32);
    int right = 0;
    CU_ASSERT_EQUAL(tn_tensor_get(pixels, x, sizeof x), TN_OK);
    for (int i = 0; i < BATCH * PIXELS; i++) x[i] /= 255;
    CU_ASSERT_EQUAL(tn_tensor_set(tn_exec_arg(e, "data"), x, sizeof x), TN_OK);
    tn_forward(e, false);
    if (TN_CHECK_EXEC(e)) tn_tensor_get(tn_exec_output(e, 0), p, sizeof p);
    for (int i = 0; i < BATCH; i++) {
        int best = 0;
        for (int k = 1; k < 10; k++) best = p[i * 10 + k] > p[i * 10 + best] ? k : best;
        right += best == (int)tn_tensor_at(labels, first + i);
    }
    tn_tensor_release(pixels);
    tn_tensor_release(some);
    return right;
}

// As a network that may be trained, and bound for inference, where layers are fused.
static void lenet_reads_mnist(void)
{
    if (too_slow() || !file("lenet-2015/lenet-0010.params")) return;
    const char *images_path = file("mnist/t10k-images-idx3-ubyte.gz");
    if (!images_path) return;
    tn_tensor *images = tn_idx_load(bench.env, images_path);
    tn_tensor *labels = tn_idx_load(bench.env, tn_data("mnist/t10k-labels-idx1-ubyte.gz"));
    CU_ASSERT_FATAL(images && labels && tn_tensor_size(labels) == DIGITS);
    for (int inference = 0; inference < 2; inference++) {
        tn_exec *e =
            load("lenet-2015/lenet-symbol.json", "lenet-2015/lenet-0010.params",
                 TN_DIMS(BATCH, 1, 28, 28), bench.backends, inference ? "data" : NULL, false);
        int right = 0;
        for (int i = 0; e && i < DIGITS; i += BATCH) right += right_in_batch(e, images, labels, i);
        CU_ASSERT_EQUAL(right, 9911); // 99.11 %
        tn_exec_free(e);
    }
    tn_tensor_release(images);
    tn_tensor_release(labels);
}

// ------------------------------------------------------------------ SqueezeNet

static const char squeezenet[] = "squeezenet/squeezenet-symbol.json",
                  weights[] = "squeezenet/squeezenet-0000.params",
                  pictures[] = "squeezenet/squeezenet_v1.0.in.data.npy";

// Rows of the file of inputs: a bald eagle, a pelican, a pug, and how sure the network is of it.
static const struct {
    int64_t row, winner;
    double probability;
} answers[] = {{0, 22, 0.845}, {1, 144, 0.634}, {2, 254, 0.999}};

static int64_t winner_of(tn_tensor *p)
{
    int64_t best = 0;
    for (int64_t i = 1; i < tn_tensor_size(p); i++)
        if (tn_tensor_at(p, i) > tn_tensor_at(p, best)) best = i;
    return best;
}

static void squeezenet_names_pictures(void)
{
    if (too_slow() || !file(pictures)) return;
    tn_tensor *data = tn_npy_load(bench.env, tn_data(pictures));
    CU_ASSERT_FATAL(data != NULL);
    for (int inference = 0; inference < 2; inference++) {
        tn_exec *e = load(squeezenet, weights, TN_DIMS(1, 3, 227, 227), bench.backends,
                          inference ? "data" : NULL, false);
        for (size_t i = 0; e && i < sizeof answers / sizeof *answers; i++) {
            tn_tensor *x = tn_tensor_slice(data, answers[i].row, answers[i].row + 1);
            tn_exec_set(e, "data", x);
            tn_forward(e, false);
            TN_CHECK_EXEC(e);
            tn_tensor *p = tn_exec_output(e, 0);
            CU_ASSERT_EQUAL(winner_of(p), answers[i].winner);
            TN_CHECK_NEAR(tn_tensor_at(p, answers[i].winner), answers[i].probability, 5e-4);
            tn_tensor_release(x);
        }
        tn_exec_free(e);
    }
    tn_tensor_release(data);
}

enum { SIDE = 67 };

// The middle of the first two pictures, both to be an eagle.
static void show_middle(tn_exec *e, tn_tensor *data)
{
    static float x[2 * 3 * SIDE * SIDE];
    const int64_t edge = (227 - SIDE) / 2;
    int64_t n = 0;
    for (int64_t plane = 0; plane < 2 * 3; plane++)
        for (int64_t i = 0; i < SIDE * SIDE; i++, n++) {
            const int64_t row = edge + i / SIDE, column = edge + i % SIDE;
            x[n] = (float)tn_tensor_at(data, (plane * 227 + row) * 227 + column);
        }
    CU_ASSERT_EQUAL(tn_tensor_set(tn_exec_arg(e, "data"), x, sizeof x), TN_OK);
    CU_ASSERT_EQUAL(tn_tensor_fill(tn_exec_arg(e, "prob_label"), 22), TN_OK);
}

// Forward and backward with the real weights, with dropout: the numbers that it draws are the same
// on every backend.
static void squeezenet_has_the_gradients_of_the_reference(void)
{
    const char *const lists[] = {bench.backends, "reference"};
    tn_exec *e[2] = {NULL, NULL};
    if (too_slow() || !file(pictures)) return;
    tn_tensor *data = tn_npy_load(bench.env, tn_data(pictures));
    CU_ASSERT_FATAL(data != NULL);
    for (int i = 0; i < 2; i++) {
        e[i] = load(squeezenet, weights, TN_DIMS(2, 3, SIDE, SIDE), lists[i], NULL, true);
        if (e[i]) show_middle(e[i], data);
    }
    zoo_compare("SqueezeNet", e[0], e[1], 1e-4);
    for (int i = 0; i < 2; i++) tn_exec_free(e[i]);
    tn_tensor_release(data);
}

TN_TEST_MAIN({"LeNet reads MNIST", lenet_reads_mnist},
             {"SqueezeNet names pictures", squeezenet_names_pictures},
             {"SqueezeNet has the gradients of the reference",
              squeezenet_has_the_gradients_of_the_reference})
