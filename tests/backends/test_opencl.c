// tests/backends/test_opencl.c: networks train on the opencl backend as on the reference.
//
// Any device does, PoCL's on the CPU too.
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/backends/opencl_device.h"
#include "tests/tn_numeric.h"

static const char *program; // this one

// A number in -1 … 1 for each seed.
static float number(uint64_t seed)
{
    uint64_t z = (seed + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    return (float)((z ^ (z >> 31)) % 2001) / 1000.0f - 1;
}

// ------------------------------------------------------------------ networks

enum { BATCH = 16, CLASSES = 5 };

static tn_symbol mlp(void)
{
    tn_symbol x =
        tn_op("FullyConnected", "num_hidden=48", tn_var("data"), tn_var("w1"), tn_var("b1"));
    x = tn_op("Activation", "act_type=relu", x);
    x = tn_op("FullyConnected", "num_hidden=5", x, tn_var("w2"), tn_var("b2"));
    return tn_op("SoftmaxOutput", "normalization=batch", x, tn_var("label"));
}

static tn_exec *bind(tn_symbol net, const char *backends, tn_dims data)
{
    tn_exec *e = tn_simple_bind(bench.g, net, .backends = backends, .grad_req = TN_WRITE,
                                .grad_reqs = TN_REQS({"data", TN_NULL}, {"label", TN_NULL}),
                                .shapes = TN_SHAPES({"data", data}, {"label", TN_DIMS(BATCH)}));
    TN_CHECK_GRAPH();
    return e;
}

// Inputs that tell of their class, and small weights: the same at each call.
static void fill(tn_exec *e)
{
    const tn_names names = tn_exec_arguments(e);
    for (size_t a = 0; a < names.n; a++) {
        tn_tensor *t = tn_exec_arg(e, names.v[a]);
        const int64_t n = tn_tensor_size(t);
        float *v = calloc((size_t)n, sizeof *v);
        if (!v) return;
        for (int64_t i = 0; i < n; i++) {
            const float x = number(1000 * a + (uint64_t)i);
            if (strcmp(names.v[a], "label") == 0)
                v[i] = (float)(i % CLASSES);
            else if (strcmp(names.v[a], "data") == 0)
                v[i] = x + (i % CLASSES == i / (n / BATCH) % CLASSES ? 0.5f : 0);
            else
                v[i] = x * 0.2f;
        }
        CU_ASSERT_EQUAL(tn_tensor_set(t, v, (uint64_t)n * sizeof *v), TN_OK);
        free(v);
    }
}

static void descend(tn_exec *e, const char *name, float rate)
{
    tn_tensor *t = tn_exec_arg(e, name), *g = tn_exec_grad(e, name);
    if (!g) return;
    const size_t n = (size_t)tn_tensor_size(t);
    float *x = calloc(2 * n, sizeof *x), *dx = x + n;
    if (!x) return;
    tn_tensor_get(t, x, n * sizeof *x);
    tn_tensor_get(g, dx, n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] -= rate * dx[i];
    tn_tensor_set(t, x, n * sizeof *x);
    free(x);
}

// One step of gradient descent; the mean cross-entropy before it.
static double train_step(tn_exec *e, float rate)
{
    double loss = 0;
    tn_forward(e, true);
    for (int i = 0; i < BATCH; i++)
        loss -= log(tn_tensor_at(tn_exec_output(e, 0), i * CLASSES + i % CLASSES)) / BATCH;
    tn_backward(e, TN_NO_HEADS);
    const tn_names names = tn_exec_arguments(e);
    for (size_t a = 0; a < names.n; a++) descend(e, names.v[a], rate);
    return loss;
}

// The same losses on that list of backends as on the reference, and that they fall.
static void trains(tn_symbol (*net)(void), const char *backends, tn_dims data, int steps)
{
    tn_fresh();
    tn_exec *e = bind(net(), backends, data);
    tn_fresh();
    tn_exec *wanted = bind(net(), "reference", data);
    if (!e || !wanted) return;
    fill(e);
    fill(wanted);
    double first = 0, last = 0;
    for (int step = 0; step < steps; step++) {
        last = train_step(e, 0.3f);
        if (step == 0) first = last;
        const double reference = train_step(wanted, 0.3f);
        TN_CHECK_NEAR(last, reference, 1e-4 * fmax(reference, 1));
    }
    TN_CHECK_EXEC(e);
    CU_ASSERT(last < 0.95 * first);
    tn_exec_free(e);
    tn_exec_free(wanted);
}

static void mlp_trains(void)
{
    if (!has_device()) return;
    trains(mlp, "opencl", TN_DIMS(BATCH, 20), 40);
}

// Convolutions, pooling, batch norm, dropout of nothing: (1, 12, 12) images.
static tn_symbol lenet(void)
{
    tn_symbol x = tn_op("Convolution", "kernel=(3,3); num_filter=6", tn_var("data"), tn_var("w1"),
                        tn_var("b1"));
    x = tn_op("Activation", "act_type=tanh", x);
    x = tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", x);
    x = tn_op("Convolution", "kernel=(3,3); pad=(1,1); num_filter=8; no_bias=1", x, tn_var("w2"));
    x = tn_op("Activation", "act_type=relu", x);
    x = tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=avg", x);
    x = tn_op("Flatten", NULL, x);
    x = tn_op("FullyConnected", "num_hidden=5", x, tn_var("w3"), tn_var("b3"));
    return tn_op("SoftmaxOutput", "normalization=batch", x, tn_var("label"));
}

static void lenet_trains(void)
{
    if (!has_device()) return;
    trains(lenet, "opencl", TN_DIMS(BATCH, 1, 12, 12), 40);
}

// The smallest first. Sorting is said to be the host's, so that values go to and fro.
static tn_symbol sorting(void)
{
    tn_symbol x =
        tn_op("FullyConnected", "num_hidden=24", tn_var("data"), tn_var("w1"), tn_var("b1"));
    tn_attr_scope_push(bench.g, TN_ATTRS({"__backend__", "reference"}));
    x = tn_op("sort", NULL, x);
    tn_attr_scope_pop(bench.g);
    x = tn_op("FullyConnected", "num_hidden=5", x, tn_var("w2"), tn_var("b2"));
    return tn_op("SoftmaxOutput", "normalization=batch", x, tn_var("label"));
}

static void values_go_to_other_backends_and_back(void)
{
    if (!has_device()) return;
    tn_exec *e = bind(sorting(), "opencl,reference", TN_DIMS(BATCH, 20));
    if (!e) return;
    const tn_memory_report m = tn_exec_memory(e);
    CU_ASSERT(m.n_copies >= 2);
    TN_CHECK_HAS(tn_exec_report_text(e), "opencl:");
    TN_CHECK_HAS(tn_exec_report_text(e), "reference");
    tn_exec_free(e);
    trains(sorting, "opencl,reference", TN_DIMS(BATCH, 20), 10);
}

// ------------------------------------------------------------------ memory and programs

static void cycles_leave_nothing(void)
{
    if (!has_device()) return;
    for (int cycle = 0; cycle < 200; cycle++) {
        tn_fresh();
        tn_exec *e = bind(mlp(), "opencl", TN_DIMS(BATCH, 20));
        if (!e) return;
        train_step(e, 0.1f);
        CU_ASSERT(counters(bench.env)->live_buffers > 0);
        tn_exec_free(e);
    }
    CU_ASSERT_EQUAL(counters(bench.env)->live_buffers, 0);
    CU_ASSERT_EQUAL(counters(bench.env)->live_bytes, 0);
    CU_ASSERT_EQUAL(counters(bench.env)->live_kernels, 0);
}

static tn_env *new_env(void)
{
    static const char *const paths[] = {TN_TEST_PLUGIN_DIR, NULL};
    return tn_env_new(&(tn_env_options){
        .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
}

// An env of its own, since a plugin keeps the programs that it has.
static void with_new_env(void (*look)(tn_exec *e))
{
    tn_env *env = new_env();
    tn_graph *g = env ? tn_graph_new(env) : NULL;
    CU_ASSERT_FATAL(g != NULL);
    tn_tensor *x = tn_tensor_from(env, TN_F32, TN_DIMS(2), (const double[]){1, -2});
    tn_exec *e =
        tn_simple_bind(g, tn_activation(g, .data = tn_variable(g, "x"), .act_type = TN_RELU),
                       .backends = "opencl", .args = TN_TENSORS({"x", x}));
    tn_graph *const usual = bench.g;
    tn_env *const usual_env = bench.env;
    bench.g = g; // for the messages of checks
    bench.env = env;
    look(e);
    bench.g = usual;
    bench.env = usual_env;
    tn_exec_free(e);
    tn_tensor_release(x);
    tn_graph_free(g);
    tn_env_free(env);
}

static void runs(tn_exec *e)
{
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_OK);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 1, 0);
}

static void is_built(tn_exec *e)
{
    runs(e);
    CU_ASSERT(counters(bench.env)->built > 0);
    CU_ASSERT_EQUAL(counters(bench.env)->loaded, 0);
}

static void is_loaded(tn_exec *e)
{
    runs(e);
    CU_ASSERT_EQUAL(counters(bench.env)->built, 0);
    CU_ASSERT(counters(bench.env)->loaded > 0);
}

static void is_refused(tn_exec *e)
{
    runs(e);
    CU_ASSERT(counters(bench.env)->built > 0);
    CU_ASSERT(counters(bench.env)->refused > 0);
}

// Calls fn with the path of each file of the folder; their number.
static int each_file(const char *folder, void (*fn)(const char *path))
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) {
        char path[1400];
        if (f->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
        n++;
        if (fn) fn(path);
        const char *dot = strrchr(f->d_name, '.'); // no file is left half written
        CU_ASSERT(dot && strcmp(dot, ".bin") == 0);
    }
    if (d) closedir(d);
    return n;
}

static void cut(const char *path)
{
    CU_ASSERT_EQUAL(truncate(path, 100), 0);
}

static void programs_are_kept_on_disk(void)
{
    if (!has_device()) return;
    const char *folder = tn_temporary("programs");
    setenv("TENON_OPT_OPENCL_CACHE", folder, 1);
    with_new_env(is_built);
    const int n = each_file(folder, NULL);
    CU_ASSERT(n > 0);
    with_new_env(is_loaded);
    setenv("TENON_OPT_OPENCL_FLAGS", "-DTENON_OTHER=1", 1); // another key
    with_new_env(is_built);
    unsetenv("TENON_OPT_OPENCL_FLAGS");
    CU_ASSERT_EQUAL(each_file(folder, NULL), 2 * n);
    each_file(folder, cut); // as a full disk may leave them
    with_new_env(is_refused);
    with_new_env(is_loaded);
    setenv("TENON_OPT_OPENCL_CACHE", "off", 1);
    with_new_env(is_built);
    unsetenv("TENON_OPT_OPENCL_CACHE");
}

static void two_processes_fill_one_cache(void)
{
    char line[2048];
    if (!has_device()) return;
    const char *folder = tn_temporary("shared");
    snprintf(line, sizeof line,
             "TENON_OPT_OPENCL_CACHE='%s' '%s' 'an MLP' >/dev/null & a=$!; "
             "TENON_OPT_OPENCL_CACHE='%s' '%s' 'an MLP' >/dev/null && wait $a",
             folder, program, folder, program);
    CU_ASSERT_EQUAL(system(line), 0);
    CU_ASSERT(each_file(folder, NULL) > 0);
}

static void says_why(tn_exec *e)
{
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "does not build");
    TN_CHECK_HAS(tn_graph_error(bench.g), "error:"); // of the compiler
    TN_CHECK_HAS(tn_graph_error(bench.g), "opencl: cannot prepare its kernel: as above");
}

static void a_program_that_does_not_build_gives_the_log(void)
{
    if (!has_device()) return;
    setenv("TENON_OPT_OPENCL_CACHE", "off", 1);
    setenv("TENON_OPT_OPENCL_FLAGS", "-Dint=nonsense", 1);
    with_new_env(says_why);
    unsetenv("TENON_OPT_OPENCL_FLAGS");
    unsetenv("TENON_OPT_OPENCL_CACHE");
}

static void a_bad_option_keeps_the_plugin_out(void)
{
    static const char *const values[] = {"foo", "", "auto", "register", "local"};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        setenv("TENON_OPT_OPENCL_GEMM", values[v], 1);
        tn_env *env = new_env();
        unsetenv("TENON_OPT_OPENCL_GEMM");
        const char *reason = "";
        for (size_t i = 0; i < tn_env_num_candidates(env); i++) {
            const tn_candidate *c = tn_env_candidate(env, i);
            if (strstr(c->path, "tenon_opencl") && c->status) reason = c->reason;
        }
        if (v < 2)
            TN_CHECK_HAS(reason, "is none of auto, register, local");
        else
            TN_CHECK_STR(reason, "");
        tn_env_free(env);
    }
}

// ------------------------------------------------------------------ devices and errors

static tn_exec *bind_relu(const char *backends)
{
    tn_fresh();
    return tn_simple_bind(bench.g, tn_op("relu", NULL, tn_var("x")), .backends = backends,
                          .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
}

static void devices_are_chosen_by_number_and_kind(void)
{
    char name[64];
    if (!has_device()) return;
    tn_exec *e = bind_relu("opencl:99");
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "has no device \"99\"");
    tn_exec_free(e);
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        if (strcmp(tn_env_backend(bench.env, i)->name, "opencl") != 0) continue;
        const tn_device_info *d = tn_env_device(bench.env, i, 0);
        if (d->unusable) continue;
        snprintf(name, sizeof name, "opencl:%s", d->kind);
        e = bind_relu(name);
        TN_CHECK_EXEC(e);
        tn_exec_free(e);
    }
}

// The kernel notes it, and the end of the run returns it; other executors are not concerned.
static void an_index_outside_is_an_error_of_its_run(void)
{
    if (!has_device()) return;
    for (int good = 0; good < 2; good++) {
        tn_fresh();
        const tn_symbol y = tn_op("take", "mode=raise", tn_var("x"), tn_var("i"));
        tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(3), 1, 2, 3);
        tn_tensor *at = TN_TENSOR(TN_F32, TN_DIMS(2), 1, good ? 2 : 7);
        tn_exec *e = tn_simple_bind(bench.g, y, .backends = "opencl",
                                    .args = TN_TENSORS({"x", x}, {"i", at}));
        if (!TN_CHECK_EXEC(e)) return;
        CU_ASSERT_EQUAL(tn_forward(e, false), good ? TN_OK : TN_E_INVALID);
        if (good)
            TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 2, 3);
        else
            TN_CHECK_HAS(tn_exec_error(e), "index 7 at position 1: wanted 0 to 2");
        tn_exec_free(e);
        tn_tensor_release(x);
        tn_tensor_release(at);
    }
}

int main(int argc, char **argv)
{
    static const tn_test_case tests[] = {
        {"an MLP trains as on the reference", mlp_trains},
        {"a LeNet trains as on the reference", lenet_trains},
        {"values go to other backends and back", values_go_to_other_backends_and_back},
        {"cycles leave nothing", cycles_leave_nothing},
        {"programs are kept on disk", programs_are_kept_on_disk},
        {"two processes fill one cache", two_processes_fill_one_cache},
        {"a program that does not build gives the log",
         a_program_that_does_not_build_gives_the_log},
        {"a bad option keeps the plugin out", a_bad_option_keeps_the_plugin_out},
        {"devices are chosen by number and kind", devices_are_chosen_by_number_and_kind},
        {"an index outside is an error of its run", an_index_outside_is_an_error_of_its_run},
    };
    program = argv[0];
    return tn_test_run(argc, argv, __FILE__, tests, sizeof tests / sizeof tests[0]);
}
