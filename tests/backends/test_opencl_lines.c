// tests/backends/test_opencl_lines.c: softmax and its loss on the opencl backend, along lines of
// many lengths: against the reference, with infinities and NaN among the numbers.
#include <math.h>

#include "onednn_nets.h"
#include "opencl_device.h"

// Around what goes together on CPUs: lines of 64, blocks of 1024 and work items of 4096 elements.
static const struct {
    int64_t lines, n;
} sizes[] = {{1, 1},    {64, 10}, {700, 7},  {3, 64},  {65, 63},
             {130, 65}, {5, 80},  {9, 1000}, {2, 5001}};
enum { SIZES = sizeof sizes / sizeof *sizes };

// Every fifth line begins with something odd; the fourth such line is of nothing but -inf.
static tn_tensor *numbers(int64_t lines, int64_t n, tn_dtype dtype, bool odd)
{
    static const double odds[] = {NAN, INFINITY, -INFINITY, -INFINITY, 1e4};
    double *v = malloc((size_t)(lines * n) * sizeof *v);
    if (!v) return NULL;
    for (int64_t i = 0; i < lines; i++)
        for (int64_t j = 0; j < n; j++) {
            const int64_t kind = i / 5 % 5;
            v[i * n + j] = sin((double)(i * n + 3 * j)) * 4;
            if (odd && i % 5 == 4 && (j == 0 || kind == 3)) v[i * n + j] = odds[kind];
        }
    tn_tensor *t = tn_tensor_from(bench.env, dtype, TN_DIMS(lines, n), v);
    free(v);
    return t;
}

// Labels count up; every seventh is -1. Soft ones are like the data.
static tn_tensor *labels(int64_t lines, int64_t n, tn_dtype dtype, bool soft)
{
    double *v = malloc((size_t)lines * sizeof *v);
    if (soft || !v) {
        free(v);
        return numbers(lines, n, dtype, false);
    }
    for (int64_t i = 0; i < lines; i++) v[i] = i % 7 == 6 ? -1 : (double)(i % n);
    tn_tensor *t = tn_tensor_from(bench.env, dtype, TN_DIMS(lines), v);
    free(v);
    return t;
}

static tn_exec *bind_loss(const char *backends, const char *params, size_t size, tn_dtype dtype)
{
    const int64_t lines = sizes[size].lines, n = sizes[size].n;
    const bool soft = strstr(params, "soft") != NULL;
    tn_fresh();
    const tn_symbol x = tn_variable(bench.g, "x", .dtype = dtype, .shape = TN_DIMS(lines, n));
    const tn_symbol t =
        tn_variable(bench.g, "t", .dtype = dtype, .shape = {soft ? 2 : 1, (int64_t[]){lines, n}});
    tn_exec *e = tn_simple_bind(bench.g, tn_op("SoftmaxOutput", soft ? NULL : params, x, t),
                                .backends = backends, .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return NULL;
    tn_tensor *data = numbers(lines, n, dtype, false), *label = labels(lines, n, dtype, soft);
    tn_tensor *head = tn_sample(dtype, TN_DIMS(lines, n), -1, 1, 5);
    CU_ASSERT_EQUAL(tn_exec_set(e, "x", data), TN_OK);
    CU_ASSERT_EQUAL(tn_exec_set(e, "t", label), TN_OK);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    const bool wants_head = strstr(params, "out_grad") != NULL;
    CU_ASSERT_EQUAL(tn_backward(e, wants_head ? TN_TENSORS({NULL, head}) : TN_NO_HEADS), TN_OK);
    tn_tensor_release(data);
    tn_tensor_release(label);
    tn_tensor_release(head);
    return e;
}

static void check_loss(const char *params, size_t size, tn_dtype dtype, double tolerance)
{
    tn_exec *wanted = bind_loss("reference", params, size, dtype);
    tn_exec *got = bind_loss("opencl", params, size, dtype);
    if (!got || !wanted || !all_near(got, wanted, tolerance)) TN_CHECK_STR(params, "near");
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void losses(void)
{
    static const char *const ways[] = {
        "grad_scale=2", "use_ignore=1; ignore_label=-1; normalization=valid",
        "normalization=batch; out_grad=1", "use_ignore=1; ignore_label=-1; out_grad=1", "soft"};
    if (!has_device()) return;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        for (size_t s = 0; s < SIZES; s++) {
            check_loss(ways[w], s, TN_F32, 1e-5);
            if (s % 4 == 1) check_loss(ways[w], s, TN_F64, 1e-13);
            if (s % 4 == 1) check_loss(ways[w], s, TN_F16, 4e-3);
        }
}

static tn_exec *run(const char *backends, const char *op, const char *params, size_t size,
                    tn_dtype dtype)
{
    const int64_t lines = sizes[size].lines, n = sizes[size].n;
    tn_fresh();
    const tn_symbol x = tn_variable(bench.g, "x", .dtype = dtype, .shape = TN_DIMS(lines, n));
    tn_exec *e =
        tn_simple_bind(bench.g, tn_op(op, params, x), .backends = backends, .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return NULL;
    tn_tensor *data = numbers(lines, n, dtype, true);
    CU_ASSERT_EQUAL(tn_exec_set(e, "x", data), TN_OK);
    tn_tensor *head = tn_sample(dtype, TN_DIMS(lines, n), -1, 1, 5);
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, head})), TN_OK);
    tn_tensor_release(data);
    tn_tensor_release(head);
    return e;
}

static void check(const char *op, const char *params, size_t size, tn_dtype dtype, double tolerance)
{
    tn_exec *wanted = run("reference", op, params, size, dtype);
    tn_exec *got = run("opencl", op, params, size, dtype);
    char text[64];
    snprintf(text, sizeof text, "%s of %lld by %lld", op, (long long)sizes[size].lines,
             (long long)sizes[size].n);
    if (!wanted || !got || !all_near(got, wanted, tolerance)) TN_CHECK_STR(text, "near");
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void shares(void)
{
    if (!has_device()) return;
    for (size_t s = 0; s < SIZES; s++)
        for (int logarithm = 0; logarithm < 2; logarithm++) {
            const char *op = logarithm ? "log_softmax" : "softmax";
            check(op, NULL, s, TN_F32, 1e-5);
            check(op, "temperature=0.5", s, TN_F32, 1e-5);
            check(op, NULL, s, TN_F64, 1e-13);
            check(op, NULL, s, TN_F16, 4e-3);
            check(op, NULL, s, TN_BF16, 2e-2);
        }
}

TN_TEST_MAIN({"shares", shares}, {"losses", losses})
