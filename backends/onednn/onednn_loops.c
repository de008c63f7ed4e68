// backends/onednn/onednn_loops.c: what oneDNN has no primitive for, and a network that is trained
// needs: values made from nothing, parameter updates.
//
// Source of the updates: MXNet 0.11, src/operator/optimizer_op-inl.h.
#include "onednn_loops.h"

// ------------------------------------------------------------------ zeros, ones

static tn_status zeros(const tn_sdk_kernel *k, const tn_run_args *a)
{
    memset(a->out[0].host, 0, k->call->out[0]->bytes);
    return TN_OK;
}

typedef struct fill {
    float *y, v;
} fill;

OD_CLONES static void od_fill(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const fill *f = ctx;
    float *y = f->y, v = f->v;
    (void)worker;
    OD_SIMD
    for (int64_t i = begin; i < end; i++) y[i] = v;
}

static tn_status fill_all(const tn_sdk_kernel *k, const tn_run_args *a, double v)
{
    fill f = {a->out[0].host, (float)v};
    od_items(k, a, k->call->out[0]->size, 1, od_fill, &f);
    return TN_OK;
}

static tn_status ones(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return fill_all(k, a, 1);
}

static tn_status full(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return fill_all(k, a, tn_call_f64(k->call, "value", 0));
}

static const char *fill_cannot(const tn_call *c)
{
    return c->out[0]->size == 0 ? od_no_elements : NULL;
}

// ------------------------------------------------------------------ parameter updates
//
// Weight and gradient, and states: the momentum, or mean and variance of an Adam. The new weight is
// usually over the old one.

typedef struct update {
    const float *weight, *grad;
    float *momentum, *variance, *out;
    float lr, wd, rescale, bound, keep;
    float beta1, rest1, beta2, rest2, epsilon;
} update;

// g within -bound … bound; NaN stays.
static inline float od_clip(float g, float bound)
{
    g = g > bound ? bound : g;
    return g < -bound ? -bound : g;
}

// w' = (1 − lr wd) w − lr clip(rescale_grad g)
OD_CLONES static void od_sgd(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update u = *(const update *)ctx;
    const float keep = 1 - u.lr * u.wd;
    (void)worker;
    OD_SIMD
    for (int64_t i = begin; i < end; i++)
        u.out[i] = keep * u.weight[i] - u.lr * od_clip(u.rescale * u.grad[i], u.bound);
}

// m' = momentum m − lr wd w − lr clip(rescale_grad g);  w' = w + m'
OD_CLONES static void od_sgd_mom(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update u = *(const update *)ctx;
    const float decay = u.lr * u.wd;
    (void)worker;
    OD_SIMD
    for (int64_t i = begin; i < end; i++) {
        const float g = od_clip(u.rescale * u.grad[i], u.bound), w = u.weight[i];
        const float m = u.keep * u.momentum[i] - decay * w - u.lr * g;
        u.momentum[i] = m;
        u.out[i] = w + m;
    }
}

// g' = clip(rescale_grad g + wd w)
// m' = β₁ m + (1 − β₁) g';  v' = β₂ v + (1 − β₂) g'²;  w' = w − lr m' / (√v' + ε)
OD_CLONES static void od_adam(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update u = *(const update *)ctx;
    (void)worker;
    OD_SIMD
    for (int64_t i = begin; i < end; i++) {
        const float w = u.weight[i], g = od_clip(u.rescale * u.grad[i] + u.wd * w, u.bound);
        const float m = u.beta1 * u.momentum[i] + u.rest1 * g;
        const float v = u.beta2 * u.variance[i] + u.rest2 * g * g;
        u.momentum[i] = m;
        u.variance[i] = v;
        u.out[i] = w - u.lr * m / (sqrtf(v) + u.epsilon);
    }
}

// clip_gradient below 0 clips nothing.
static tn_status update_all(const tn_sdk_kernel *k, const tn_run_args *a, tn_range_fn fn)
{
    const tn_call *c = k->call;
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    const double beta1 = tn_call_f64(c, "beta1", 0.9), beta2 = tn_call_f64(c, "beta2", 0.999);
    update u = {.weight = a->in[0].host,
                .grad = a->in[1].host,
                .momentum = c->n_in > 2 ? a->in[2].host : NULL,
                .out = a->out[0].host,
                .lr = (float)tn_call_f64(c, "lr", 0),
                .wd = (float)tn_call_f64(c, "wd", 0),
                .rescale = (float)tn_call_f64(c, "rescale_grad", 1),
                .bound = bound < 0 ? INFINITY : (float)bound,
                .keep = (float)tn_call_f64(c, "momentum", 0),
                .variance = c->n_in > 3 ? a->in[3].host : NULL,
                .beta1 = (float)beta1,
                .rest1 = (float)(1 - beta1),
                .beta2 = (float)beta2,
                .rest2 = (float)(1 - beta2),
                .epsilon = (float)tn_call_f64(c, "epsilon", 1e-8)};
    od_items(k, a, c->out[0]->size, 1, fn, &u);
    return TN_OK;
}

static tn_status sgd(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return update_all(k, a, od_sgd);
}

static tn_status sgd_mom(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return update_all(k, a, od_sgd_mom);
}

static tn_status adam(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return update_all(k, a, od_adam);
}

static const char *update_cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    return od_same_dtypes(c) ? NULL : od_mixed_dtypes;
}

#define ROW(op_, dtypes_, flags_, cannot_, run_)                                         \
    {                                                                                    \
        .op = op_, .dtypes = dtypes_, .flags = OD_FLAGS | TN_K_DETERMINISTIC | (flags_), \
        .impl = OD_LOOPS, .cannot = cannot_, .run = run_                                 \
    }

const tn_kernel_row onednn_loops[] = {
    ROW("_zeros", TN_ALL_DTYPES, 0, fill_cannot, zeros),
    ROW("zeros_like", TN_ALL_DTYPES, 0, fill_cannot, zeros),
    ROW("_ones", TN_BIT(TN_F32), 0, fill_cannot, ones),
    ROW("ones_like", TN_BIT(TN_F32), 0, fill_cannot, ones),
    ROW("_full", TN_BIT(TN_F32), 0, fill_cannot, full),
    ROW("sgd_update", TN_BIT(TN_F32), TN_ROW_INPLACE, update_cannot, sgd),
    ROW("sgd_mom_update", TN_BIT(TN_F32), TN_ROW_INPLACE, update_cannot, sgd_mom),
    ROW("adam_update", TN_BIT(TN_F32), TN_ROW_INPLACE, update_cannot, adam),
    {0},
};
