// tests/plugins/dozen.c: the backend "dozen": twelve kernels in float32, and nothing else.
//
// What a new device might have after its first week. Everything that a dense network wants besides
// is expanded by the core into these.
#include <tenon/kernel.h>

static const float *in_at(const tn_run_args *a, uint32_t i)
{
    return a->in[i].host;
}

static float *out_at(const tn_run_args *a)
{
    return a->out[0].host;
}

// ------------------------------------------------------------------ elementwise

#define EACH(name, expression)                                                   \
    static tn_status name(const tn_sdk_kernel *k, const tn_run_args *a)          \
    {                                                                            \
        const float *x = in_at(a, 0), *y = in_at(a, a->n_in - 1);                \
        const float c = (float)tn_call_f64(k->call, "scalar", 0);                \
        float *z = out_at(a);                                                    \
        for (int64_t i = 0; i < k->call->out[0]->size; i++) z[i] = (expression); \
        (void)y, (void)c;                                                        \
        return TN_OK;                                                            \
    }
EACH(add, x[i] + y[i])
EACH(subtract, x[i] - y[i])
EACH(multiply, x[i] * y[i])
EACH(scale, x[i] * c)
EACH(above, x[i] > c ? 1.0f : 0.0f)
EACH(relu, x[i] > 0 ? x[i] : 0.0f)
EACH(copy, x[i]) // the same elements in whatever shape

// ------------------------------------------------------------------ dot

static const char *not_matrices(const tn_call *c)
{
    return c->in[0]->ndim == 2 && c->in[1]->ndim == 2 ? NULL : "matrices only";
}

// z(m, n) = op(x)(m, k) · op(y)(k, n)
static tn_status dot(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const bool tx = tn_call_bool(c, "transpose_a", false),
               ty = tn_call_bool(c, "transpose_b", false);
    const int64_t m = c->out[0]->dims[0], n = c->out[0]->dims[1],
                  inner = c->in[0]->dims[tx ? 0 : 1];
    const float *x = in_at(a, 0), *y = in_at(a, 1);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t q = 0; q < inner; q++)
                sum +=
                    (double)x[tx ? q * m + i : i * inner + q] * y[ty ? j * inner + q : q * n + j];
            out_at(a)[i * n + j] = (float)sum;
        }
    return TN_OK;
}

// ------------------------------------------------------------------ axes

// Bit i set: axis i of a value with ndim axes is named by the list; all of them if it is empty.
static uint32_t named(tn_ints axes, int32_t ndim)
{
    uint32_t set = axes.n ? 0 : (1u << ndim) - 1;
    for (size_t i = 0; i < axes.n; i++) set |= 1u << tn_axis(axes.v[i], ndim);
    return set;
}

// Place in the smaller value of element `at` of the larger one, which has more of the named axes.
static int64_t place(const tn_value_info *large, uint32_t set, int64_t at)
{
    int64_t to = 0, stride = 1;
    for (int32_t i = large->ndim - 1; i >= 0; at /= large->dims[i--]) {
        if (set >> i & 1) continue;
        to += at % large->dims[i] * stride;
        stride *= large->dims[i];
    }
    return to;
}

static const char *by_exclusion(const tn_call *c)
{
    return tn_call_bool(c, "exclude", false) ? "exclude" : NULL;
}

static tn_status sum(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *x = k->call->in[0];
    const uint32_t set = named(tn_call_ints(k->call, "axis"), x->ndim);
    memset(out_at(a), 0, (size_t)k->call->out[0]->bytes);
    for (int64_t i = 0; i < x->size; i++) out_at(a)[place(x, set, i)] += in_at(a, 0)[i];
    return TN_OK;
}

static tn_status stretch(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *z = k->call->out[0];
    const tn_ints axes = tn_call_ints(k->call, "axis");
    const uint32_t set = axes.n ? named(axes, z->ndim) : 0;
    for (int64_t i = 0; i < z->size; i++) out_at(a)[i] = in_at(a, 0)[place(z, set, i)];
    return TN_OK;
}

// clang-format off
#define ROW(name, why, function) \
    {.op = name, .dtypes = TN_BIT(TN_F32), .flags = TN_K_REENTRANT | TN_K_DETERMINISTIC, \
     .cannot = why, .run = function}
// clang-format on
static const tn_kernel_row kernels[] = {
    ROW("elemwise_add", NULL, add),
    ROW("_sub", NULL, subtract),
    ROW("_mul", NULL, multiply),
    ROW("_mul_scalar", NULL, scale),
    ROW("_greater_scalar", NULL, above),
    ROW("relu", NULL, relu),
    ROW("_copy", NULL, copy),
    ROW("Reshape", NULL, copy),
    ROW("reshape_like", NULL, copy),
    ROW("dot", not_matrices, dot),
    ROW("sum", by_exclusion, sum),
    ROW("broadcast_axis", NULL, stretch),
    {.op = NULL},
};

static const tn_kernel_row *const families[] = {kernels, NULL};

TN_HOST_BACKEND(dozen, -200, families, "Test double with twelve kernels")
