// tests/backends/test_reference_kernels.c: reference kernels asked directly through the plugin
// ABI: what an executor cannot show, such as exact int64, absent data, writing in place.
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/half.h>
#include <tenon/kernel.h>
#include <tenon/philox.h>

#include "tests/tn_test.h"

// ------------------------------------------------------------------ a host of our own

static char failure[512]; // what the plugin said last

static void host_log(tn_host *host, uint32_t severity, const char *text)
{
    (void)host, (void)severity, (void)text;
}

static tn_status host_fail(tn_host *host, tn_status status, const char *text)
{
    (void)host;
    snprintf(failure, sizeof failure, "%s", text);
    return status;
}

static void *host_alloc(tn_host *host, uint64_t bytes, uint64_t align)
{
    (void)host;
    return aligned_alloc(align, (bytes + align - 1) / align * align);
}

static void host_free(tn_host *host, void *p, uint64_t bytes, uint64_t align)
{
    (void)host, (void)bytes, (void)align;
    free(p);
}

static void host_parallel_for(tn_host *host, int64_t n, int64_t grain, uint32_t max_workers,
                              tn_range_fn fn, void *ctx)
{
    (void)host, (void)grain, (void)max_workers;
    fn(ctx, 0, n, 0);
}

static const tn_host_api host_api = {.struct_size = sizeof host_api,
                                     .minor = TN_MINOR,
                                     .log = host_log,
                                     .fail = host_fail,
                                     .alloc = host_alloc,
                                     .free = host_free,
                                     .parallel_for = host_parallel_for};

static const tn_plugin *plugin_table(void)
{
    static const tn_plugin *table;
    if (table) return table;
    void *library = dlopen(TN_TEST_PLUGIN_DIR "/libtenon_reference.so", RTLD_NOW | RTLD_LOCAL);
    tn_plugin_query_fn query = NULL;
    if (library) *(void **)&query = dlsym(library, "tn_plugin_query");
    if (!query) return NULL;
    const tn_hello hello = {.magic = TN_MAGIC,
                            .size = sizeof hello,
                            .sanitizer = TN_SANITIZER,
                            .core_version = TN_VERSION,
                            .n_offers = 1,
                            .offers = {{TN_EPOCH, TN_MINOR}}};
    tn_reply reply = {.magic = TN_MAGIC, .size = sizeof reply};
    if (query(&hello, &reply) == TN_OK) table = reply.table.p;
    return table;
}

// ------------------------------------------------------------------ a call of our own

typedef struct value {
    tn_dtype dtype;
    void *data; // NULL: shape only, unless there is nothing in it
    tn_shape shape;
} value;

typedef struct param {
    const char *name;
    uint32_t type;
    int64_t i64; // also bool, and the index of an enum
    double f64;
    tn_ints ints;
    const char *choices;
} param;

enum { MAX_VALUES = 4, MAX_PARAMS = 6, SLOT = 16 };

typedef struct call {
    tn_op_decl op;
    tn_param_decl decls[MAX_PARAMS];
    const tn_param_decl *decl_list[MAX_PARAMS + 1];
    char blob[MAX_PARAMS * SLOT];
    tn_value_info infos[2][MAX_VALUES];
    const tn_value_info *info_list[2][MAX_VALUES];
    tn_arg args[2][MAX_VALUES];
    tn_call c;
} call;

static void set_param(call *c, uint32_t i, const param *p)
{
    char *at = c->blob + i * SLOT;
    const int32_t small = (int32_t)p->i64;
    c->decls[i] = (tn_param_decl){.struct_size = sizeof(tn_param_decl),
                                  .type = p->type,
                                  .offset = i * SLOT,
                                  .name = p->name,
                                  .choices = p->choices};
    c->decl_list[i] = &c->decls[i];
    switch (p->type) {
    case TN_P_I64: memcpy(at, &p->i64, sizeof p->i64); break;
    case TN_P_F64: memcpy(at, &p->f64, sizeof p->f64); break;
    case TN_P_I64S: memcpy(at, &p->ints, sizeof p->ints); break;
    default: memcpy(at, &small, sizeof small); break;
    }
}

static uint32_t set_values(call *c, int side, const value *v)
{
    uint32_t n = 0;
    for (; n < MAX_VALUES && v[n].dtype; n++) {
        const int64_t size = tn_shape_size(&v[n].shape);
        const uint64_t bytes = (uint64_t)size * tn_dtype_size(v[n].dtype);
        c->infos[side][n] = (tn_value_info){.struct_size = sizeof(tn_value_info),
                                            .flags = v[n].data || !size ? 0 : TN_VALUE_SHAPE_ONLY,
                                            .dtype = v[n].dtype,
                                            .ndim = v[n].shape.ndim,
                                            .dims = v[n].shape.dim,
                                            .size = size,
                                            .bytes = bytes};
        c->info_list[side][n] = &c->infos[side][n];
        c->args[side][n] = (tn_arg){.bytes = bytes, .host = v[n].data};
    }
    return n;
}

static tn_kernel_info last_info; // of the last call

// Runs one call on the reference backend; lists end with a zero entry.
static tn_status run(const char *op, const param *params, const value *in, const value *out)
{
    const tn_plugin *plugin = plugin_table();
    void *self = NULL;
    tn_device *device = NULL;
    tn_kernel *kernel = NULL;
    tn_verdict verdict = {.struct_size = sizeof verdict};
    call c = {0};
    if (!plugin || plugin->init(&host_api, &self) != TN_OK) return TN_E_UNAVAILABLE;
    const tn_backend_api *backend = plugin->backends[0];

    for (uint32_t i = 0; params && params[i].name; i++) set_param(&c, i, &params[i]);
    c.op = (tn_op_decl){.struct_size = sizeof c.op, .name = op, .params = c.decl_list};
    c.c = (tn_call){.struct_size = sizeof c.c, .op = &c.op, .params = c.blob, .name = "node"};
    c.c.n_in = set_values(&c, 0, in);
    c.c.n_out = set_values(&c, 1, out);
    c.c.in = c.info_list[0];
    c.c.out = c.info_list[1];

    last_info = (tn_kernel_info){.struct_size = sizeof last_info};
    tn_status s = backend->open(self, "0", &device);
    if (s == TN_OK) s = backend->supports(device, &c.c, &verdict);
    if (s == TN_OK && !verdict.ok) s = host_fail(NULL, TN_E_UNSUPPORTED, verdict.text);
    if (s == TN_OK) s = backend->prepare(device, &c.c, &kernel, &last_info);
    if (s == TN_OK) {
        tn_run_args a = {.in = c.args[0],
                         .out = c.args[1],
                         .n_in = c.c.n_in,
                         .n_out = c.c.n_out,
                         .max_workers = 1};
        a.scratch.bytes = last_info.scratch_bytes;
        a.scratch.host = a.scratch.bytes ? malloc(a.scratch.bytes) : NULL;
        s = backend->run(kernel, &a);
        free(a.scratch.host);
        backend->kernel_destroy(kernel);
    }
    if (device) backend->close(device);
    plugin->shutdown(self);
    return s;
}

#define SHAPE(...)                                                                         \
    {                                                                                      \
        .ndim = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .dim = { __VA_ARGS__ } \
    }
#define PARAMS(...)  \
    (const param[])  \
    {                \
        __VA_ARGS__, \
        {            \
            0        \
        }            \
    }
#define VALUES(...)  \
    (const value[])  \
    {                \
        __VA_ARGS__, \
        {            \
            0        \
        }            \
    }
#define NO_VALUES ((const value[]){{0}})
#define I64(name_, v_)                             \
    {                                              \
        .name = name_, .type = TN_P_I64, .i64 = v_ \
    }
#define F64(name_, v_)                             \
    {                                              \
        .name = name_, .type = TN_P_F64, .f64 = v_ \
    }
#define FLAG(name_, v_)                             \
    {                                               \
        .name = name_, .type = TN_P_BOOL, .i64 = v_ \
    }
#define LIST(name_, ...)                                               \
    {                                                                  \
        .name = name_, .type = TN_P_I64S, .ints = TN_INTS(__VA_ARGS__) \
    }
#define ONE_OF(name_, v_, choices_)                                      \
    {                                                                    \
        .name = name_, .type = TN_P_ENUM, .i64 = v_, .choices = choices_ \
    }

static bool same(const void *got, const void *wanted, size_t bytes)
{
    return memcmp(got, wanted, bytes) == 0;
}
#define CHECK_SAME(got, ...) CU_ASSERT(same(got, __VA_ARGS__, sizeof __VA_ARGS__))
#define CHECK_RUN(...) CU_ASSERT_EQUAL(run(__VA_ARGS__), TN_OK)

// ------------------------------------------------------------------ integers

static void integers_keep_all_bits(void)
{
    const int64_t big = (INT64_C(1) << 53) + 1; // the first integer that float64 cannot hold
    int64_t a[] = {big, -big, INT64_MAX}, b[] = {1, -1, 1}, y[3];
    CHECK_RUN("elemwise_add", NULL, VALUES({TN_I64, a, SHAPE(3)}, {TN_I64, b, SHAPE(3)}),
              VALUES({TN_I64, y, SHAPE(3)}));
    CHECK_SAME(y, (int64_t[]){big + 1, -big - 1, INT64_MIN}); // wraps around

    CHECK_RUN("sum", NULL, VALUES({TN_I64, (int64_t[]){big, 1, 0}, SHAPE(3)}),
              VALUES({TN_I64, y, SHAPE(1)}));
    CU_ASSERT_EQUAL(y[0], big + 1);

    CHECK_RUN("max", NULL, VALUES({TN_I64, (int64_t[]){big, big - 1}, SHAPE(2)}),
              VALUES({TN_I64, y, SHAPE(1)}));
    CU_ASSERT_EQUAL(y[0], big);

    CHECK_RUN("_copy", NULL, VALUES({TN_I64, a, SHAPE(3)}), VALUES({TN_I64, y, SHAPE(3)}));
    CHECK_SAME(y, (int64_t[]){big, -big, INT64_MAX});

    CHECK_RUN("add_n", NULL, VALUES({TN_I64, a, SHAPE(3)}, {TN_I64, b, SHAPE(3)}),
              VALUES({TN_I64, y, SHAPE(3)}));
    CU_ASSERT_EQUAL(y[0], big + 1);

    CHECK_RUN(
        "dot", PARAMS(FLAG("transpose_a", 0), FLAG("transpose_b", 0)),
        VALUES({TN_I64, (int64_t[]){big, 2}, SHAPE(2)}, {TN_I64, (int64_t[]){1, 1}, SHAPE(2)}),
        VALUES({TN_I64, y, SHAPE(1)}));
    CU_ASSERT_EQUAL(y[0], big + 2);
}

static void integer_division_never_traps(void)
{
    int64_t a[] = {7, -7, 5, INT64_MIN}, b[] = {2, 2, 0, -1}, y[4];
    const value *in = VALUES({TN_I64, a, SHAPE(4)}, {TN_I64, b, SHAPE(4)});
    CHECK_RUN("_div", NULL, in, VALUES({TN_I64, y, SHAPE(4)}));
    CHECK_SAME(y, (int64_t[]){3, -3, 0, INT64_MIN});
    CHECK_RUN("_mod", NULL, in, VALUES({TN_I64, y, SHAPE(4)}));
    CHECK_SAME(y, (int64_t[]){1, 1, 0, 0});
    int64_t p[] = {2, -1, 1, 0}, q[] = {10, -3, -5, -1};
    CHECK_RUN("_power", NULL, VALUES({TN_I64, p, SHAPE(4)}, {TN_I64, q, SHAPE(4)}),
              VALUES({TN_I64, y, SHAPE(4)}));
    CHECK_SAME(y, (int64_t[]){1024, -1, 1, 0});
}

static void casts_truncate_and_saturate(void)
{
    float x[] = {-1.9f, 1.9f, 300, -INFINITY, NAN};
    uint8_t u[5], t[5];
    int8_t i[5];
    CHECK_RUN("Cast", NULL, VALUES({TN_F32, x, SHAPE(5)}), VALUES({TN_U8, u, SHAPE(5)}));
    CHECK_SAME(u, (uint8_t[]){0, 1, 255, 0, 0});
    CHECK_RUN("Cast", NULL, VALUES({TN_F32, x, SHAPE(5)}), VALUES({TN_I8, i, SHAPE(5)}));
    CHECK_SAME(i, (int8_t[]){-1, 1, 127, -128, 0});
    CHECK_RUN("Cast", NULL, VALUES({TN_F32, (float[]){0, 0.1f, -2, 1, NAN}, SHAPE(5)}),
              VALUES({TN_BOOL, t, SHAPE(5)}));
    CHECK_SAME(t, (uint8_t[]){0, 1, 1, 1, 1});
    CHECK_RUN("Cast", NULL, VALUES({TN_I32, (int32_t[]){256, 257, -1}, SHAPE(3)}),
              VALUES({TN_U8, u, SHAPE(3)}));
    CU_ASSERT(u[0] == 0 && u[1] == 1 && u[2] == 255); // the low bits
}

static void scalars_take_the_dtype_of_the_data(void)
{
    float x[] = {0.1f}, y[1];
    int32_t i[] = {4}, j[1];
    CHECK_RUN("_equal_scalar", PARAMS(F64("scalar", 0.1)), VALUES({TN_F32, x, SHAPE(1)}),
              VALUES({TN_F32, y, SHAPE(1)}));
    CU_ASSERT_EQUAL(y[0], 1);
    CHECK_RUN("_mul_scalar", PARAMS(F64("scalar", 2.5)), VALUES({TN_I32, i, SHAPE(1)}),
              VALUES({TN_I32, j, SHAPE(1)}));
    CU_ASSERT_EQUAL(j[0], 8);
}

// ------------------------------------------------------------------ floats

static void sums_are_rounded_once(void)
{
    float x[1000], y[1];
    uint16_t h[2], r[1];
    for (int i = 0; i < 1000; i++) x[i] = i ? 1e-8f : 1;
    CHECK_RUN("sum", NULL, VALUES({TN_F32, x, SHAPE(1000)}), VALUES({TN_F32, y, SHAPE(1)}));
    CU_ASSERT_EQUAL(y[0], (float)(1 + 999 * (double)1e-8f)); // float32 sums would give 1

    h[0] = tn_f32_to_f16(2048), h[1] = tn_f32_to_f16(3);
    CHECK_RUN("sum", NULL, VALUES({TN_F16, h, SHAPE(2)}), VALUES({TN_F16, r, SHAPE(1)}));
    CU_ASSERT_EQUAL(tn_f16_to_f32(r[0]), 2052); // 2051 is a tie: to even
    h[0] = tn_f32_to_bf16(256), h[1] = tn_f32_to_bf16(3);
    CHECK_RUN("sum", NULL, VALUES({TN_BF16, h, SHAPE(2)}), VALUES({TN_BF16, r, SHAPE(1)}));
    CU_ASSERT_EQUAL(tn_bf16_to_f32(r[0]), 260);
}

static void extremes_of_nothing_and_of_nan(void)
{
    float x[] = {1, NAN, 3}, y[2] = {7, 7};
    int8_t least[1];
    uint8_t no[1];
    CHECK_RUN("max", NULL, VALUES({TN_F32, x, SHAPE(3)}), VALUES({TN_F32, y, SHAPE(1)}));
    CU_ASSERT(isnan(y[0]));
    CHECK_RUN("argmin", PARAMS(I64("axis", 0)), VALUES({TN_F32, x, SHAPE(3)}),
              VALUES({TN_F32, y, SHAPE(1)}));
    CU_ASSERT_EQUAL(y[0], 1);
    CHECK_RUN("max", PARAMS(LIST("axis", 1)), VALUES({TN_F32, NULL, SHAPE(2, 0)}),
              VALUES({TN_F32, y, SHAPE(2)}));
    CU_ASSERT(y[0] == -INFINITY && y[1] == -INFINITY);
    CHECK_RUN("max", NULL, VALUES({TN_I8, NULL, SHAPE(0)}), VALUES({TN_I8, least, SHAPE(1)}));
    CU_ASSERT_EQUAL(least[0], -128);
    CHECK_RUN("max", NULL, VALUES({TN_BOOL, NULL, SHAPE(0)}), VALUES({TN_BOOL, no, SHAPE(1)}));
    CU_ASSERT_EQUAL(no[0], 0);
    CHECK_RUN("mean", NULL, VALUES({TN_F32, NULL, SHAPE(0)}), VALUES({TN_F32, y, SHAPE(1)}));
    CU_ASSERT(isnan(y[0]));
}

// ------------------------------------------------------------------ absent data, empty tensors

static void shape_only_inputs_have_no_data(void)
{
    float x[] = {1, 2}, y[6];
    const value like = {TN_F32, NULL, SHAPE(2, 3)};
    const value data = {TN_F32, x, SHAPE(2)};
    CHECK_RUN("_broadcast_reduced",
              PARAMS(LIST("axis", 1), FLAG("exclude", 0), FLAG("scale_by_count", 0)),
              VALUES(data, like), VALUES({TN_F32, y, SHAPE(2, 3)}));
    CHECK_SAME(y, (float[]){1, 1, 1, 2, 2, 2});
    CHECK_RUN("ones_like", NULL, VALUES(like), VALUES({TN_F32, y, SHAPE(2, 3)}));
    CHECK_SAME(y, (float[]){1, 1, 1, 1, 1, 1});
    CHECK_RUN("_backward_slice_axis", PARAMS(I64("axis", 1), I64("begin", -2)),
              VALUES({TN_F32, x, SHAPE(2, 1)}, like), VALUES({TN_F32, y, SHAPE(2, 3)}));
    CHECK_SAME(y, (float[]){0, 1, 0, 0, 2, 0});
}

static void empty_tensors_work(void)
{
    float y[3] = {9, 9, 9}, w[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 2, 3};
    const value none = {TN_F32, NULL, SHAPE(0, 3)}, narrow = {TN_F32, NULL, SHAPE(2, 0)};
    CHECK_RUN("exp", NULL, VALUES(none), VALUES(none));
    CHECK_RUN("transpose", NULL, VALUES(none), VALUES({TN_F32, NULL, SHAPE(3, 0)}));
    CHECK_RUN("softmax", PARAMS(I64("axis", -1)), VALUES(narrow), VALUES(narrow));
    CHECK_RUN("softmax", PARAMS(I64("axis", 0)), VALUES(none), VALUES(none));
    CHECK_RUN("_backward_SoftmaxOutput", PARAMS(F64("grad_scale", 1)),
              VALUES(narrow, {TN_F32, b, SHAPE(2)}), VALUES(narrow));
    CHECK_RUN("Concat", PARAMS(I64("dim", 1)), VALUES(narrow, {TN_F32, b, SHAPE(2, 1)}),
              VALUES({TN_F32, y, SHAPE(2, 1)}));
    CHECK_SAME(y, (float[]){1, 2, 9});
    CHECK_RUN("sum", PARAMS(LIST("axis", 0)), VALUES(none), VALUES({TN_F32, y, SHAPE(3)}));
    CHECK_SAME(y, (float[]){0, 0, 0});
    // An inner size of 0 leaves the bias.
    CHECK_RUN(
        "FullyConnected", NULL,
        VALUES({TN_F32, NULL, SHAPE(1, 0)}, {TN_F32, NULL, SHAPE(3, 0)}, {TN_F32, b, SHAPE(3)}),
        VALUES({TN_F32, y, SHAPE(1, 3)}));
    CHECK_SAME(y, (float[]){1, 2, 3});
    CHECK_RUN("FullyConnected", NULL,
              VALUES({TN_F32, NULL, SHAPE(0, 2)}, {TN_F32, w, SHAPE(3, 2)}, {TN_F32, b, SHAPE(3)}),
              VALUES(none));
    CHECK_RUN("Embedding", NULL, VALUES({TN_I32, NULL, SHAPE(0)}, {TN_F32, w, SHAPE(2, 3)}),
              VALUES(none));
    CHECK_RUN("_backward_Embedding", NULL, VALUES(none, {TN_I32, NULL, SHAPE(0)}),
              VALUES({TN_F32, y, SHAPE(1, 3)}));
    CHECK_SAME(y, (float[]){0, 0, 0});
}

// ------------------------------------------------------------------ in place, refusals

static void kernels_permit_what_they_can_do_in_place(void)
{
    float x[] = {1, 2, 3, 4}, w[] = {1, 1}, g[] = {2, 4}, t[4];
    CHECK_RUN("softmax", PARAMS(I64("axis", -1)), VALUES({TN_F32, x, SHAPE(2, 2)}),
              VALUES({TN_F32, x, SHAPE(2, 2)}));
    CU_ASSERT_EQUAL(last_info.n_inplace, 1);
    CU_ASSERT_DOUBLE_EQUAL(x[0], 1 / (1 + exp(1)), 1e-7);
    CU_ASSERT_DOUBLE_EQUAL(x[3], 1 / (1 + exp(-1)), 1e-7);
    CHECK_RUN("sgd_update", PARAMS(F64("lr", 0.5), F64("wd", 0)),
              VALUES({TN_F32, w, SHAPE(2)}, {TN_F32, g, SHAPE(2)}), VALUES({TN_F32, w, SHAPE(2)}));
    CHECK_SAME(w, (float[]){0, -1});
    CHECK_RUN("transpose", NULL, VALUES({TN_F32, x, SHAPE(2, 2)}),
              VALUES({TN_F32, t, SHAPE(2, 2)}));
    CU_ASSERT_EQUAL(last_info.n_inplace, 0);
    // (2,1) + (1,2): neither input has room for the result
    CHECK_RUN("broadcast_add", NULL, VALUES({TN_F32, w, SHAPE(2, 1)}, {TN_F32, g, SHAPE(1, 2)}),
              VALUES({TN_F32, x, SHAPE(2, 2)}));
    CU_ASSERT_EQUAL(last_info.n_inplace, 0);
}

static void refusals_give_a_reason(void)
{
    int32_t i[] = {1};
    CU_ASSERT_EQUAL(run("NoSuchOperator", NULL, VALUES({TN_I32, i, SHAPE(1)}), NO_VALUES),
                    TN_E_UNSUPPORTED);
    TN_CHECK_HAS(failure, "no kernel for NoSuchOperator");
    CU_ASSERT_EQUAL(run("softmax", PARAMS(I64("axis", -1)), VALUES({TN_I32, i, SHAPE(1)}),
                        VALUES({TN_I32, i, SHAPE(1)})),
                    TN_E_UNSUPPORTED);
    TN_CHECK_HAS(failure, "softmax of this dtype");
    CU_ASSERT_EQUAL(run("sum", PARAMS(LIST("axis", 3)), VALUES({TN_I32, i, SHAPE(1)}),
                        VALUES({TN_I32, i, SHAPE(1)})),
                    TN_E_INVALID);
    TN_CHECK_HAS(failure, "axis: no such axis in 1-D data");
}

TN_TEST_MAIN({"integers keep all bits", integers_keep_all_bits},
             {"integer division never traps", integer_division_never_traps},
             {"casts truncate and saturate", casts_truncate_and_saturate},
             {"scalars take the dtype of the data", scalars_take_the_dtype_of_the_data},
             {"sums are rounded once", sums_are_rounded_once},
             {"extremes of nothing and of NaN", extremes_of_nothing_and_of_nan},
             {"shape-only inputs have no data", shape_only_inputs_have_no_data},
             {"empty tensors work", empty_tensors_work},
             {"kernels permit what they can do in place", kernels_permit_what_they_can_do_in_place},
             {"refusals give a reason", refusals_give_a_reason})
