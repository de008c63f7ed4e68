// backends/blas/blas_optimizer.c: parameter updates, each in one pass over its arrays. Auxiliary
// states are written in place; output 0 is the new weight, usually over the old one.
//
// Source: MXNet 0.11, src/operator/optimizer_op-inl.h.
#ifndef T

#include "blas.h"

typedef struct update {
    double lr, wd, rescale, bound, momentum, beta1, beta2, epsilon;
    const void *weight, *grad;
    void *state[2], *out;
} update;

#define THIS_FILE "blas_optimizer.c"
#include "blas_each_type.h"

// clip_gradient below 0 clips nothing.
static update read_update(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    return (update){
        .lr = tn_call_f64(c, "lr", 0),
        .wd = tn_call_f64(c, "wd", 0),
        .rescale = tn_call_f64(c, "rescale_grad", 1),
        .bound = bound < 0 ? INFINITY : bound,
        .momentum = tn_call_f64(c, "momentum", 0),
        .beta1 = tn_call_f64(c, "beta1", 0.9),
        .beta2 = tn_call_f64(c, "beta2", 0.999),
        .epsilon = tn_call_f64(c, "epsilon", 1e-8),
        .weight = blas_in(a, 0),
        .grad = blas_in(a, 1),
        .state = {a->n_in > 2 ? a->in[2].host : NULL, a->n_in > 3 ? a->in[3].host : NULL},
        .out = blas_out(a, 0)};
}

static void over_elements(const tn_sdk_kernel *k, const tn_run_args *a, tn_range_fn f32,
                          tn_range_fn f64)
{
    update u = read_update(k, a);
    blas_elements(k, a, k->call->out[0]->size, BLAS_CHEAP,
                  k->call->in[0]->dtype == TN_F64 ? f64 : f32, &u);
}

static tn_status sgd(const tn_sdk_kernel *k, const tn_run_args *a)
{
    over_elements(k, a, sgd_f32, sgd_f64);
    return TN_OK;
}

static tn_status sgd_mom(const tn_sdk_kernel *k, const tn_run_args *a)
{
    over_elements(k, a, sgd_mom_f32, sgd_mom_f64);
    return TN_OK;
}

static tn_status adam(const tn_sdk_kernel *k, const tn_run_args *a)
{
    over_elements(k, a, adam_f32, adam_f64);
    return TN_OK;
}

// All arrays have the weight's dtype.
static const char *cannot(const tn_call *c)
{
    for (uint32_t i = 1; i < c->n_in; i++)
        if (c->in[i]->dtype != c->in[0]->dtype) return "weight and gradient of different dtypes";
    return NULL;
}

#define ROW(op_, run_)                                                                           \
    {                                                                                            \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS | TN_ROW_INPLACE, .cannot = cannot, \
        .run = run_                                                                              \
    }

const tn_kernel_row blas_optimizer[] = {
    ROW("sgd_update", sgd),
    ROW("sgd_mom_update", sgd_mom),
    ROW("adam_update", adam),
    {0},
};

#else // once per type

// NaN stays.
BLAS_INLINE T N(clip)(T g, T bound)
{
    return g > bound ? bound : g < -bound ? -bound : g;
}

// w' = (1 − lr wd) w − lr clip(rescale_grad g)
BLAS_CLONES static void N(sgd)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update *u = ctx;
    const T *w = u->weight, *grad = u->grad;
    const T keep = (T)(1 - u->lr * u->wd), lr = (T)u->lr, rescale = (T)u->rescale;
    const T bound = (T)u->bound;
    T *out = u->out;
    (void)worker;
    BLAS_SIMD
    for (int64_t i = begin; i < end; i++)
        out[i] = keep * w[i] - lr * N(clip)(rescale * grad[i], bound);
}

// m' = momentum m − lr wd w − lr clip(rescale_grad g);  w' = w + m'
BLAS_CLONES static void N(sgd_mom)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update *u = ctx;
    const T *w = u->weight, *grad = u->grad;
    const T decay = (T)(u->lr * u->wd), lr = (T)u->lr, rescale = (T)u->rescale;
    const T momentum = (T)u->momentum, bound = (T)u->bound;
    T *mom = u->state[0], *out = u->out;
    (void)worker;
    BLAS_SIMD
    for (int64_t i = begin; i < end; i++) {
        const T g = N(clip)(rescale * grad[i], bound);
        const T m = momentum * mom[i] - decay * w[i] - lr * g;
        mom[i] = m;
        out[i] = w[i] + m;
    }
}

// g' = clip(rescale_grad g + wd w): weight decay comes before the clip
// m' = β₁ m + (1 − β₁) g';  v' = β₂ v + (1 − β₂) g'²;  w' = w − lr m' / (√v' + ε)
// Bias correction is the caller's, folded into lr.
BLAS_CLONES static void N(adam)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update *u = ctx;
    const T *w = u->weight, *grad = u->grad;
    const T lr = (T)u->lr, wd = (T)u->wd, rescale = (T)u->rescale, bound = (T)u->bound;
    const T beta1 = (T)u->beta1, beta2 = (T)u->beta2, epsilon = (T)u->epsilon;
    const T rest1 = (T)(1 - u->beta1), rest2 = (T)(1 - u->beta2);
    T *mean = u->state[0], *var = u->state[1], *out = u->out;
    (void)worker;
    BLAS_SIMD
    for (int64_t i = begin; i < end; i++) {
        const T g = N(clip)(rescale * grad[i] + wd * w[i], bound);
        const T m = beta1 * mean[i] + rest1 * g, v = beta2 * var[i] + rest2 * g * g;
        mean[i] = m;
        var[i] = v;
        out[i] = w[i] - lr * m / (SQRT(v) + epsilon);
    }
}

#endif
