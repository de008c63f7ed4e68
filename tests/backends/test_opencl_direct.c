// tests/backends/test_opencl_direct.c: convolutions without columns, which are for CPUs, and batch
// norms by planes: against the reference.
#include "onednn_nets.h"
#include "opencl_device.h"

// Is there a device, and is the first a CPU? Others have ways of their own.
static bool on_cpu(void)
{
    if (!has_device()) return false;
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, "opencl") == 0 &&
            strcmp(tn_env_device(bench.env, i, 0)->kind, "cpu") == 0)
            return true;
    tn_skip("the OpenCL device is no CPU");
    return false;
}

// One call of data (name "c"), bound for training and filled.
static tn_exec *bind_layer(const char *backends, const char *op, const char *params, tn_dims data,
                           tn_dtype dtype)
{
    tn_fresh();
    const tn_symbol x = tn_variable(bench.g, "data", .dtype = dtype, .shape = data);
    tn_exec *e = tn_simple_bind(bench.g, layer(op, "c", params, x), .backends = backends,
                                .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return NULL;
    fill_samples(e, dtype);
    return e;
}

static void train(tn_exec *e, tn_dtype dtype)
{
    if (!e) return;
    const tn_shape s = tn_tensor_shape(tn_exec_output(e, 0));
    tn_tensor *head = tn_sample(dtype, (tn_dims){(size_t)s.ndim, s.dim}, -1, 1, 3);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    tn_tensor_release(head);
}

// How many of the rows are computed without columns.
static int direct_rows(tn_exec *e)
{
    const tn_profile_row *row;
    int n = 0;
    tn_exec_profile(e, true);
    for (size_t i = 0; (row = tn_exec_profile_row(e, i)) != NULL; i++)
        n += strcmp(row->impl, "filters in vectors") == 0;
    return n;
}

typedef struct window {
    const char *op, *params;
    tn_dims data;
    int direct; // of the layer and its two gradients, in float32
} window;

#define CONV(params_, direct_, ...)                           \
    {                                                         \
        "Convolution", params_, TN_DIMS(__VA_ARGS__), direct_ \
    }
#define DECONV(params_, direct_, ...)                           \
    {                                                           \
        "Deconvolution", params_, TN_DIMS(__VA_ARGS__), direct_ \
    }

static void check(const window *w, tn_dtype dtype, double tolerance)
{
    tn_exec *wanted = bind_layer("reference", w->op, w->params, w->data, dtype);
    tn_exec *got = bind_layer("opencl", w->op, w->params, w->data, dtype);
    for (int i = 0; got && wanted && i < 2; i++) { // the second run finds scratch memory used
        train(wanted, dtype);
        train(got, dtype);
        if (!all_near(got, wanted, tolerance)) TN_CHECK_STR(w->params, "near the reference");
    }
    if (got && dtype == TN_F32 && direct_rows(got) != w->direct) {
        CU_ASSERT_EQUAL(direct_rows(got), w->direct);
        TN_CHECK_STR(w->params, "that many ways without columns");
    }
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void windows_are_read_where_they_lie(void)
{
    const window windows[] = {
        CONV("kernel=(3,3); pad=(1,1); num_filter=32", 3, 3, 32, 9, 11),
        CONV("kernel=(3,3); pad=(1,1); num_filter=16; no_bias=1", 3, 2, 16, 8, 8), // one vector
        CONV("kernel=(5,5); num_filter=20", 2, 4, 3, 13, 17),
        CONV("kernel=(5,5); num_filter=50", 2, 2, 20, 12, 12),
        CONV("kernel=(3,3); num_filter=33; pad=(2,2)", 3, 2, 35, 9, 9),
        CONV("kernel=(3,3); num_filter=48; stride=(2,2); pad=(1,1)", 2, 3, 40, 15, 14),
        CONV("kernel=(3,2); num_filter=32; dilate=(2,3); pad=(2,1)", 3, 2, 30, 14, 15),
        CONV("kernel=(1,1); num_filter=30; stride=(2,2)", 2, 4, 6, 13, 13),
        CONV("kernel=(3,3); num_filter=64; num_group=2; pad=(1,1)", 3, 2, 62, 8, 9),
        CONV("kernel=(7,); num_filter=24; pad=(3,)", 2, 3, 5, 61),
        CONV("kernel=(2,3,2); num_filter=32; pad=(1,0,1)", 3, 2, 31, 5, 7, 6),
        CONV("kernel=(3,3); num_filter=5", 0, 3, 4, 16, 16),   // few filters
        CONV("kernel=(3,3); num_filter=64", 0, 1, 16, 7, 7),   // few positions
        CONV("kernel=(1,1); num_filter=64", 0, 4, 16, 12, 12), // columns are the data
        DECONV("kernel=(3,3); num_filter=32; pad=(1,1)", 3, 2, 32, 9, 10),
        DECONV("kernel=(3,3); num_filter=28; pad=(1,1); no_bias=0", 3, 2, 32, 9, 10),
        DECONV("kernel=(4,4); num_filter=20; stride=(2,2); pad=(1,1)", 2, 3, 24, 7, 8),
        DECONV("kernel=(3,3); num_filter=32; stride=(2,2); adj=(1,1)", 2, 2, 32, 6, 6),
        DECONV("kernel=(4,4); num_filter=17; stride=(2,2); target_shape=(13,14)", 2, 2, 18, 7, 7),
    };
    if (!on_cpu()) return;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        check(&windows[i], TN_F32, 2e-5);
        check(&windows[i], TN_F64, 1e-13);
    }
}

// More images than the 64 MiB of a pass hold: two passes of copies with zeros, and more of panels
// for the weights. Against blas, as the reference takes long.
static void images_come_in_passes(void)
{
    const window w = CONV("kernel=(2,1); pad=(1,0); num_filter=8", 3, 14, 8, 400, 400);
    if (!on_cpu()) return;
    tn_exec *wanted = bind_layer("blas", w.op, w.params, w.data, TN_F32);
    tn_exec *got = bind_layer("opencl", w.op, w.params, w.data, TN_F32);
    train(wanted, TN_F32);
    train(got, TN_F32);
    CU_ASSERT(got && wanted && all_near(got, wanted, 1e-4));
    if (got) CU_ASSERT_EQUAL(direct_rows(got), w.direct);
    tn_exec_free(got);
    tn_exec_free(wanted);
}

// Planes with and without a rest, one and many; and such that are too small, or not contiguous.
static void batch_norms_go_by_planes(void)
{
    const window norms[] = {
        {"BatchNorm", "fix_gamma=0", TN_DIMS(5, 3, 7, 9), 0},
        {"BatchNorm", "eps=0.1", TN_DIMS(1, 40, 4, 4), 0},
        {"BatchNorm", "fix_gamma=0; use_global_stats=1", TN_DIMS(3, 6, 33), 0},
        {"BatchNorm", "fix_gamma=0", TN_DIMS(9, 5, 1, 8), 0},
        {"BatchNorm", "fix_gamma=0", TN_DIMS(9, 13), 0},
        {"BatchNorm", "fix_gamma=0; axis=3", TN_DIMS(3, 4, 5, 16), 0},
        {"BatchNorm", "fix_gamma=0; axis=0", TN_DIMS(3, 4, 5, 6), 0},
    };
    if (!on_cpu()) return;
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        check(&norms[i], TN_F32, 5e-5);
        check(&norms[i], TN_F64, 1e-12);
    }
}

// A gradient that flows through given statistics does not depend on the sums over a channel: what
// is infinite or NaN stays where it is.
static tn_exec *not_finite(const char *backends, const char *params, bool train_)
{
    const tn_dims shape = TN_DIMS(3, 4, 5, 5);
    tn_exec *e = bind_layer(backends, "BatchNorm", params, shape, TN_F32);
    if (!e) return NULL;
    tn_tensor *data = tn_sample(TN_F32, shape, -1, 1, 2),
              *head = tn_sample(TN_F32, shape, -1, 1, 3);
    float *x = tn_tensor_data(data), *dy = tn_tensor_data(head);
    x[5] = INFINITY, x[110] = NAN;
    dy[30] = -INFINITY, dy[60] = NAN, dy[299] = INFINITY;
    CU_ASSERT_EQUAL(tn_exec_set(e, "data", data), TN_OK);
    CU_ASSERT_EQUAL(tn_tensor_fill(tn_exec_aux(e, "c_moving_var"), 1), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, train_), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    tn_tensor_release(data);
    tn_tensor_release(head);
    return e;
}

static void given_statistics_keep_apart(void)
{
    if (!has_device()) return;
    for (int i = 0; i < 2; i++) {
        const char *params = i ? "fix_gamma=0; use_global_stats=1" : "fix_gamma=0";
        tn_exec *wanted = not_finite("reference", params, i == 1);
        tn_exec *got = not_finite("opencl", params, i == 1);
        CU_ASSERT(wanted && got &&
                  near(params, tn_exec_grad(got, "data"), tn_exec_grad(wanted, "data"), 1e-5));
        int nan = 0;
        for (int64_t k = 0; got && k < 300; k++)
            nan += isnan(tn_tensor_at(tn_exec_grad(got, "data"), k));
        CU_ASSERT_EQUAL(nan, 1);
        tn_exec_free(got);
        tn_exec_free(wanted);
    }
}

TN_TEST_MAIN({"windows are read where they lie", windows_are_read_where_they_lie},
             {"images come in passes", images_come_in_passes},
             {"batch norms go by planes", batch_norms_go_by_planes},
             {"given statistics keep elements apart", given_statistics_keep_apart})
