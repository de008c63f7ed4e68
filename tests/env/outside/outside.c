// tests/env/outside/outside.c: a user's program: loads plugins from files, trains through them.
//
//     outside PREFIX swish.so cdist.so
//
// Everything that Tenon finds by itself must come from PREFIX, where it is installed. Two networks
// are trained: a classifier with swish between its layers, and points that are drawn to their
// centers by the gradient of cdist. Exits 0 if both learn.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/tenon.h>

enum { ROWS = 64, STEPS = 400 };

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "outside: %s: %s\n", what, why);
    return 1;
}

// The candidates that the search found are those of the installation, and some are used.
static int check_search(const tn_env *env, const char *prefix)
{
    size_t used = 0;
    for (size_t i = 0; i < tn_env_num_candidates(env); i++) {
        const tn_candidate *c = tn_env_candidate(env, i);
        printf("%s: %s %s %s\n", c->path, tn_step_name(c->step), c->name, c->reason);
        if (strncmp(c->path, prefix, strlen(prefix)) != 0)
            return fail(c->path, "was found outside of the installation");
        used += c->step == TN_STEP_USED;
    }
    return used ? 0 : fail(prefix, "no plugin of the installation is used");
}

// Numbers from -1 to 1 that look random; the same in every run.
static float noise(void)
{
    static uint64_t state = 7;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / (float)(1 << 23) - 1;
}

static void fill(tn_tensor *t, float scale)
{
    float *x = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_size(t); i++) x[i] = scale * noise();
}

// value -= rate · gradient
static void descend(tn_exec *e, const char *name, float rate)
{
    tn_tensor *t = tn_exec_arg(e, name);
    float *x = tn_tensor_data(t);
    const float *dx = tn_tensor_data(tn_exec_grad(e, name));
    for (int64_t i = 0; i < tn_tensor_size(t); i++) x[i] -= rate * dx[i];
}

// ------------------------------------------------------------------ swish

// Points of the square, and the class of each: are both coordinates of one sign?
static void make_points(tn_exec *e)
{
    float *x = tn_tensor_data(tn_exec_arg(e, "data"));
    float *label = tn_tensor_data(tn_exec_arg(e, "out_label"));
    for (int i = 0; i < ROWS; i++) {
        x[2 * i] = noise();
        x[2 * i + 1] = noise();
        label[i] = x[2 * i] * x[2 * i + 1] > 0 ? 1 : 0;
    }
}

static int count_right(tn_exec *e)
{
    const float *y = tn_tensor_data(tn_exec_output(e, 0)); // (ROWS, 2): probabilities
    const float *label = tn_tensor_data(tn_exec_arg(e, "out_label"));
    int right = 0;
    for (int i = 0; i < ROWS; i++) right += (y[2 * i + 1] > y[2 * i]) == (label[i] > 0.5f);
    return right;
}

static int train_classifier(tn_env *env)
{
    static const char *const parameters[] = {"fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"};
    tn_graph *g = tn_graph_new(env);
    tn_symbol net = tn_variable(g, "data");
    net = tn_fully_connected(g, .data = net, .num_hidden = 16, .name = "fc1");
    net = tn_call(g, "swish", .inputs = TN_SYMS(net), .params = TN_ATTRS({"beta", "1.5"}));
    net = tn_fully_connected(g, .data = net, .num_hidden = 2, .name = "fc2");
    net = tn_softmax_output(g, .data = net, .name = "out");
    tn_exec *e = tn_simple_bind(g, net, .shapes = TN_SHAPES({"data", TN_DIMS(ROWS, 2)}),
                                .grad_req = TN_WRITE);
    if (!e) return fail("classifier", tn_graph_error(g));
    make_points(e);
    for (int i = 0; i < 4; i++) fill(tn_exec_arg(e, parameters[i]), 0.7f);
    for (int step = 0; step < STEPS; step++) {
        tn_forward(e, true);
        tn_backward(e, TN_NO_HEADS);
        for (int i = 0; i < 4; i++) descend(e, parameters[i], 0.5f / 16);
    }
    tn_forward(e, false);
    const int right = tn_exec_status(e) == TN_OK ? count_right(e) : 0;
    printf("classifier with swish: %d of %d right\n", right, ROWS);
    const int result = tn_exec_status(e) != TN_OK ? fail("classifier", tn_exec_error(e))
                       : right < ROWS * 9 / 10    ? fail("classifier", "did not learn")
                                                  : 0;
    tn_exec_free(e);
    tn_graph_free(g);
    return result;
}

// ------------------------------------------------------------------ cdist

// Sum of the squared distances of all points to all centers; its gradient draws each point to the
// mean of the centers.
static int train_points(tn_env *env)
{
    tn_graph *g = tn_graph_new(env);
    const tn_symbol points = tn_variable(g, "points"), centers = tn_variable(g, "centers");
    const tn_symbol far = tn_call(g, "cdist", .inputs = TN_SYMS(points, centers),
                                  .params = TN_ATTRS({"metric", "sqeuclidean"}));
    tn_exec *e = tn_simple_bind(
        g, tn_make_loss(g, .data = far),
        .shapes = TN_SHAPES({"points", TN_DIMS(ROWS, 3)}, {"centers", TN_DIMS(2, -1)}),
        .grad_req = TN_WRITE);
    if (!e) return fail("points", tn_graph_error(g));
    static const float where[6] = {1, 2, 3, 3, 2, 1};
    memcpy(tn_tensor_data(tn_exec_arg(e, "centers")), where, sizeof where);
    fill(tn_exec_arg(e, "points"), 5);
    for (int step = 0; step < STEPS; step++) {
        tn_forward(e, true);
        tn_backward(e, TN_NO_HEADS);
        descend(e, "points", 0.05f);
    }
    const float *x = tn_tensor_data(tn_exec_arg(e, "points"));
    float off = 0; // from (2, 2, 2)
    for (int i = 0; i < ROWS * 3; i++) off = fmaxf(off, fabsf(x[i] - 2));
    printf("points drawn by cdist: at most %g off\n", (double)off);
    const int result = tn_exec_status(e) != TN_OK ? fail("points", tn_exec_error(e))
                       : off > 1e-3f              ? fail("points", "did not arrive")
                                                  : 0;
    tn_exec_free(e);
    tn_graph_free(g);
    return result;
}

int main(int argc, char **argv)
{
    if (argc != 4) return fail("usage", "outside PREFIX swish.so cdist.so");
    tn_env *env = tn_env_new(NULL);
    if (!env) return fail("env", "out of memory");
    int result = check_search(env, argv[1]);
    for (int i = 2; i < 4 && !result; i++)
        if (tn_env_load(env, argv[i]) != TN_OK) result = fail(argv[i], tn_env_error(env));
    if (!result) result = train_classifier(env);
    if (!result) result = train_points(env);
    tn_env_free(env);
    return result;
}
