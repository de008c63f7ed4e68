// backends/blas/blas_loss.c: loss layers: forward values and the exact gradients.
//
// s is grad_scale throughout. The head gradient is ignored, except by SoftmaxOutput with out_grad.
// Source of all formulas: MXNet 0.11, src/operator/{softmax_output,regression_output,make_loss}.
#ifndef T

#include "blas.h"

// ------------------------------------------------------------------ SoftmaxOutput

static tn_status softmax_output_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    *(blas_softmax *)k->state = (blas_softmax){tn_softmax_output_line(k->call), 1, false};
    blas_inplace(k, info, 0);
    return TN_OK;
}

static tn_status softmax_output(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_softmax_forward(k, a, k->state);
    return TN_OK;
}

static tn_status softmax_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    tn_softmax_loss *l = k->state;
    if (!tn_softmax_loss_of(k->call, l))
        return tn_fail(k->host, TN_E_SHAPE, "%s: label: %lld elements, wanted %lld", k->call->name,
                       (long long)k->call->in[1]->size, (long long)(l->line.outer * l->line.inner));
    (void)info; // not over out: its elements at the labels are read once more
    return TN_OK;
}

typedef struct loss_run {
    const tn_softmax_loss *l;
    const void *p, *label, *head;
    void *dx;
    tn_dtype label_dtype;
    double scale;
} loss_run;

#define THIS_FILE "blas_loss.c"
#include "blas_each_type.h"

static int64_t count_valid(const tn_softmax_loss *l, const tn_value_info *info, const void *label)
{
    int64_t valid = 0;
    for (int64_t i = 0; i < info->size; i++)
        valid += blas_get_int(info->dtype, label, i) != l->ignored;
    return valid ? valid : 1;
}

static tn_status softmax_output_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_softmax_loss *l = k->state;
    const tn_value_info *label = k->call->in[1];
    const bool f64 = k->call->in[0]->dtype == TN_F64;
    loss_run r = {l,
                  blas_in(a, 0),
                  blas_in(a, 1),
                  l->with_head ? blas_in(a, 2) : NULL,
                  blas_out(a, 0),
                  label->dtype,
                  l->scale};
    const int64_t n = k->call->out[0]->size;
    if (n == 0) return TN_OK;
    if (l->valid) r.scale /= (double)count_valid(l, label, blas_in(a, 1));
    if (l->soft)
        blas_elements(k, a, n, BLAS_CHEAP, f64 ? soft_f64 : soft_f32, &r);
    else
        blas_items(k, a, l->line.outer, l->line.n * l->line.inner, BLAS_CHEAP,
                   f64 ? hard_f64 : hard_f32, &r);
    return TN_OK;
}

// ------------------------------------------------------------------ regression

static tn_status identity(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_copy(blas_out(a, 0), blas_in(a, 0), k->call->out[0]->bytes);
    return TN_OK;
}

static tn_status first_inplace(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_inplace(k, info, 0);
    return TN_OK;
}

// Forward of logistic regression: the row sigmoid's loop.
static tn_status logistic_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    const bool f64 = k->call->in[0]->dtype == TN_F64;
    m->number = f64 ? TN_F64 : TN_F32;
    m->grain = BLAS_COSTLY;
    blas_map_same(k, m, f64 ? logistic_f64 : blas_fast("sigmoid")->form[0], 1);
    blas_inplace(k, info, 0);
    return TN_OK;
}

// Inputs out, label: dx = c (out − label), or for MAE c sign(out − label), c = s / (outputs per
// sample), the label's elements over its first extent.
static tn_status regression_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    const tn_value_info *label = k->call->in[1];
    const bool f64 = k->call->in[0]->dtype == TN_F64 || label->dtype != TN_F32;
    const bool mae = strcmp(k->call->op->name, "_backward_MAERegressionOutput") == 0;
    const double scale =
        tn_call_f64(k->call, "grad_scale", 1) / (double)tn_span(label, 1, label->ndim);
    m->number = f64 ? TN_F64 : TN_F32;
    m->grain = BLAS_CHEAP;
    blas_map_same(k, m, mae ? (f64 ? mae_f64 : mae_f32) : (f64 ? linear_f64 : linear_f32), 2);
    blas_map_constants(k, m, 1, &scale);
    blas_inplace(k, info, 0);
    return TN_OK;
}

// ------------------------------------------------------------------ MakeLoss

// dx = s (null); s / (product of all extents but the last) (batch: so 1 for a vector);
// s / number of x above valid_thresh (valid, at least 1).
static tn_status make_loss_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const tn_value_info *x = c->in[0];
    double share = 1;
    if (tn_call_is(c, "normalization", "batch")) {
        share = (double)tn_span(x, 0, x->ndim - 1);
    } else if (tn_call_is(c, "normalization", "valid")) {
        const double above = tn_call_f64(c, "valid_thresh", 0);
        share = (double)(x->dtype == TN_F64 ? count_above_f64 : count_above_f32)(blas_in(a, 0),
                                                                                 x->size, above);
        if (share == 0) share = 1;
    }
    const double g = tn_call_f64(c, "grad_scale", 1) / share;
    (x->dtype == TN_F64 ? fill_f64 : fill_f32)(blas_out(a, 0), x->size, g);
    return TN_OK;
}

#define ROW(op_, state_, setup_, run_)                                              \
    {                                                                               \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = state_, \
        .setup = setup_, .run = run_                                                \
    }
#define SOFTMAX(op_) ROW(op_, sizeof(blas_softmax), softmax_output_setup, softmax_output)
#define REGRESSION(op_) ROW(op_, sizeof(blas_map), regression_setup, blas_map_run)

const tn_kernel_row blas_loss[] = {
    SOFTMAX("SoftmaxOutput"),
    SOFTMAX("Softmax"),
    ROW("_backward_SoftmaxOutput", sizeof(tn_softmax_loss), softmax_backward_setup,
        softmax_output_backward),
    ROW("LinearRegressionOutput", 0, first_inplace, identity),
    ROW("MAERegressionOutput", 0, first_inplace, identity),
    ROW("LogisticRegressionOutput", sizeof(blas_map), logistic_setup, blas_map_run),
    REGRESSION("_backward_LinearRegressionOutput"),
    REGRESSION("_backward_MAERegressionOutput"),
    ROW("MakeLoss", 0, first_inplace, identity),
    ROW("_backward_MakeLoss", 0, first_inplace, make_loss_backward),
    {0},
};

#else // once per type

// dx = s (p − label) · head. Elements begin … end-1.
BLAS_CLONES static void N(soft)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const loss_run *r = ctx;
    const T *p = r->p, *head = r->head;
    const T scale = (T)r->scale;
    T *dx = r->dx;
    (void)worker;
    for (int64_t i = begin; i < end; i += 64) {
        double label[64];
        const int64_t n = end - i < 64 ? end - i : 64;
        blas_load_f64(r->label_dtype, r->label, i, n, label);
        for (int64_t j = 0; j < n; j++) {
            const T g = scale * (p[i + j] - (T)label[j]);
            dx[i + j] = head ? g * head[i + j] : g;
        }
    }
}

// dx = s / D (p − 1[j = label]), without the label: dx = s / D p
BLAS_CLONES static void N(scaled)(const T *p, T *dx, int64_t n, T scale)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = scale * p[i];
}

BLAS_CLONES static void N(times)(const T *head, T *dx, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] *= head[i];
}

// All of that, for samples begin … end-1; 0 for the ignored label. A label outside 0 … n-1 takes
// nothing away.
static void N(hard)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const loss_run *r = ctx;
    const tn_line l = r->l->line;
    const int64_t size = l.n * l.inner;
    const T scale = (T)r->scale;
    (void)worker;
    for (int64_t o = begin; o < end; o++) {
        const T *p = (const T *)r->p + o * size;
        T *dx = (T *)r->dx + o * size;
        N(scaled)(p, dx, size, scale);
        for (int64_t i = 0; i < l.inner; i++) {
            const int64_t class = blas_get_int(r->label_dtype, r->label, o * l.inner + i);
            if (r->l->use_ignore && class == r->l->ignored)
                for (int64_t j = 0; j < l.n; j++) dx[j * l.inner + i] = 0;
            else if (class >= 0 && class < l.n)
                dx[class * l.inner + i] = scale * (p[class * l.inner + i] - 1);
        }
        if (r->head) N(times)((const T *)r->head + o * size, dx, size);
    }
}

#if !IS_F32
BLAS_CLONES static void N(logistic)(int64_t n, const void *const in[3], void *out)
{
    const T *x = in[0];
    T *y = out;
    for (int64_t i = 0; i < n; i++) y[i] = 1 / (1 + EXP(-x[i]));
}
#endif

BLAS_CLONES static void N(linear)(int64_t n, const void *const in[3], void *out)
{
    const T *x = in[0], *label = in[1], scale = *(const T *)in[2];
    T *dx = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = scale * (x[i] - label[i]);
}

BLAS_CLONES static void N(mae)(int64_t n, const void *const in[3], void *out)
{
    const T *x = in[0], *label = in[1], scale = *(const T *)in[2];
    T *dx = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++)
        dx[i] = (x[i] > label[i] ? scale : 0) - (x[i] < label[i] ? scale : 0);
}

static int64_t N(count_above)(const void *p, int64_t n, double above)
{
    const T *x = p;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += (double)x[i] > above;
    return count;
}

static void N(fill)(void *p, int64_t n, double v)
{
    T *x = p;
    for (int64_t i = 0; i < n; i++) x[i] = (T)v;
}

#endif
