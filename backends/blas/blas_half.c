// backends/blas/blas_half.c: layers, products, norms and losses of float16 and bfloat16, by the
// kernels of float32.
//
// Inputs are converted into scratch memory, the kernel that this backend has for float32 runs over
// them, and results are rounded once. What is added up, compared or multiplied many times is
// converted once for it. What a kernel keeps for its gradient stays float32, and states, which
// kernels write, have float32 in all of these operators.
#include "blas.h"

enum { MOST_VALUES = 12, MOST_STATE = 1024 };
#define HALVES (TN_BIT(TN_F16) | TN_BIT(TN_BF16))

// The call in float32. It points into itself.
typedef struct wide_call {
    tn_call call;
    tn_value_info info[MOST_VALUES]; // inputs, then outputs
    const tn_value_info *list[MOST_VALUES];
} wide_call;

typedef struct half {
    wide_call wide;
    tn_sdk_kernel kernel;     // of float32
    uint64_t at[MOST_VALUES]; // where a converted value is in scratch
    uint64_t own;             // scratch behind this is the kernel's
} half;
enum { HALF_SIZE = (sizeof(half) + 63) / 64 * 64 };

static bool is_half(const tn_value_info *v)
{
    return (HALVES & TN_BIT(v->dtype)) != 0;
}

static const tn_value_info *value_of(const tn_call *c, uint32_t i)
{
    return i < c->n_in ? c->in[i] : c->out[i - c->n_in];
}

// The kernel of float32 and its call; NULL: there is none.
static const tn_kernel_row *widen(const tn_call *c, wide_call *w)
{
    static const tn_kernel_row *const families[] = {
        blas_dense,     blas_convs,     blas_conv_weights, blas_pools,       blas_batch_norms,
        blas_lrns,      blas_softmaxes, blas_loss,         blas_layer_norms, blas_rnns,
        blas_rnn_backs, blas_rois,      blas_linalg,       blas_sparse_regs, NULL};
    tn_verdict v = {.struct_size = sizeof v};
    const uint32_t n = c->n_in + c->n_out;
    if (n > MOST_VALUES) return NULL;
    for (uint32_t i = 0; i < n; i++) {
        w->info[i] = *value_of(c, i);
        w->list[i] = &w->info[i];
        if (!is_half(&w->info[i])) continue;
        w->info[i].dtype = TN_F32;
        w->info[i].bytes = (uint64_t)w->info[i].size * sizeof(float);
        w->info[i].layout.bytes = w->info[i].bytes;
    }
    w->call = *c;
    w->call.in = w->list;
    w->call.out = w->list + c->n_in;
    w->call.flags |= (uint32_t)value_of(c, 0)->dtype << BLAS_STORED_SHIFT;
    return tn_rows_find(families, &w->call, &v);
}

static const char *half_cannot(const tn_call *c)
{
    wide_call w;
    const tn_kernel_row *row = widen(c, &w);
    if (!row) return "its kernel of float32 does not take this call";
    return row->state_size > MOST_STATE ? "the state of its kernel of float32 is too large" : NULL;
}

static tn_status half_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    half *h = k->state;
    const tn_kernel_row *row = widen(k->call, &h->wide);
    if (!row) return tn_fail(k->host, TN_E_INTERNAL, "%s: no kernel of float32", k->call->name);
    h->kernel = *k;
    h->kernel.call = &h->wide.call;
    h->kernel.row = row;
    h->kernel.state = (char *)h + HALF_SIZE;
    info->impl = row->impl ? row->impl : "generic";
    const tn_status s = row->setup ? row->setup(&h->kernel, info) : TN_OK;
    for (uint32_t i = 0; i < k->call->n_in + k->call->n_out; i++) {
        const tn_value_info *v = value_of(k->call, i);
        h->at[i] = h->own;
        if (is_half(v) && !(v->flags & TN_VALUE_SHAPE_ONLY))
            h->own += ((uint64_t)v->size * sizeof(float) + 63) / 64 * 64;
    }
    info->scratch_bytes += h->own;
    info->n_inplace = 0;
    return s;
}

typedef struct half_run {
    tn_dtype dtype;
    void *half;
    float *wide;
} half_run;

static void load_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const half_run *r = ctx;
    (void)worker;
    blas_load_f32(r->dtype, r->half, begin, end - begin, r->wide + begin);
}

static void store_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const half_run *r = ctx;
    (void)worker;
    blas_store_f32(r->dtype, r->half, begin, end - begin, r->wide + begin);
}

static tn_status half_go(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const half *h = k->state;
    const tn_call *c = k->call;
    const uint32_t n = c->n_in + c->n_out;
    tn_arg args[MOST_VALUES];
    half_run runs[MOST_VALUES];
    for (uint32_t i = 0; i < n; i++) {
        const tn_value_info *v = value_of(c, i);
        args[i] = i < c->n_in ? a->in[i] : a->out[i - c->n_in];
        if (!is_half(v) || (v->flags & TN_VALUE_SHAPE_ONLY)) continue;
        float *wide = (float *)(void *)((char *)a->scratch.host + h->at[i]);
        runs[i] = (half_run){v->dtype, args[i].host, wide};
        args[i].host = wide;
        args[i].bytes = h->wide.info[i].bytes;
        if (i < c->n_in) blas_elements(k, a, v->size, BLAS_CHEAP, load_range, &runs[i]);
    }
    tn_run_args inner = *a;
    inner.in = args;
    inner.out = args + c->n_in;
    inner.scratch.host = (char *)a->scratch.host + h->own;
    inner.scratch.bytes = a->scratch.bytes - h->own;
    const tn_status s = h->kernel.row->run(&h->kernel, &inner);
    for (uint32_t i = c->n_in; i < n && s == TN_OK; i++)
        if (is_half(value_of(c, i)))
            blas_elements(k, a, value_of(c, i)->size, BLAS_CHEAP, store_range, &runs[i]);
    return s;
}

#define ROW(op_)                                                                                \
    {                                                                                           \
        .op = op_, .dtypes = HALVES, .flags = BLAS_FLAGS, .state_size = HALF_SIZE + MOST_STATE, \
        .cannot = half_cannot, .setup = half_setup, .run = half_go                              \
    }

const tn_kernel_row blas_halves[] = {
    ROW("FullyConnected"),
    ROW("dot"),
    ROW("_backward_dot_lhs"),
    ROW("_backward_dot_rhs"),
    ROW("batch_dot"),
    ROW("Convolution"),
    ROW("_backward_Convolution_data"),
    ROW("_backward_Convolution_weight"),
    ROW("Deconvolution"),
    ROW("_backward_Deconvolution_data"),
    ROW("_backward_Deconvolution_weight"),
    ROW("Pooling"),
    ROW("_backward_Pooling_max"),
    ROW("_backward_Pooling_sum"),
    ROW("BatchNorm"),
    ROW("_backward_BatchNorm"),
    ROW("LRN"),
    ROW("_backward_LRN"),
    ROW("LayerNorm"),
    ROW("_backward_LayerNorm"),
    ROW("softmax"),
    ROW("log_softmax"),
    ROW("_backward_softmax"),
    ROW("_backward_log_softmax"),
    ROW("SoftmaxOutput"),
    ROW("_backward_SoftmaxOutput"),
    ROW("Softmax"),
    ROW("LinearRegressionOutput"),
    ROW("_backward_LinearRegressionOutput"),
    ROW("LogisticRegressionOutput"),
    ROW("MAERegressionOutput"),
    ROW("_backward_MAERegressionOutput"),
    ROW("MakeLoss"),
    ROW("_backward_MakeLoss"),
    ROW("_backward_IdentityAttachKLSparseReg"),
    ROW("RNN"),
    ROW("_backward_RNN"),
    ROW("ROIPooling"),
    ROW("_contrib_PSROIPooling"),
    ROW("_backward_PSROIPooling"),
    ROW("linalg_potrf"),
    ROW("linalg_trsm"),
    {0},
};
