// backends/blas/blas_optimizer.c: parameter updates, each in one pass over its arrays. Auxiliary
// states are written in place; output 0 is the new weight, usually over the old one.
//
// Source: MXNet 0.11, src/operator/optimizer_op-inl.h.
#ifndef T

#include "blas.h"

typedef struct update {
    double lr, wd, rescale, bound, momentum, beta1, beta2, epsilon, gamma1, gamma2, limit;
    const void *weight, *grad;
    void *state[3], *out;
    tn_dtype dtype; // of weight, gradient and result; mp: the states are float32
    // of 16 bits: the update of float32, and how many states it writes
    tn_range_fn wide;
    uint32_t states;
} update;

#define THIS_FILE "blas_optimizer.c"
#include "blas_each_type.h"

// clip_gradient below 0 clips nothing.
static update read_update(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    const double limit = tn_call_f64(c, "clip_weights", -1);
    return (update){.lr = tn_call_f64(c, "lr", 0),
                    .wd = tn_call_f64(c, "wd", 0),
                    .rescale = tn_call_f64(c, "rescale_grad", 1),
                    .bound = bound < 0 ? INFINITY : bound,
                    .momentum = tn_call_f64(c, "momentum", 0),
                    .beta1 = tn_call_f64(c, "beta1", 0.9),
                    .beta2 = tn_call_f64(c, "beta2", 0.999),
                    .epsilon = tn_call_f64(c, "epsilon", 1e-8),
                    .gamma1 = tn_call_f64(c, "gamma1", 0.95),
                    .gamma2 = tn_call_f64(c, "gamma2", 0.9),
                    .limit = limit < 0 ? INFINITY : limit,
                    .dtype = c->in[0]->dtype,
                    .weight = blas_in(a, 0),
                    .grad = blas_in(a, 1),
                    .state = {a->n_in > 2 ? a->in[2].host : NULL,
                              a->n_in > 3 ? a->in[3].host : NULL,
                              a->n_in > 4 ? a->in[4].host : NULL},
                    .out = blas_out(a, 0)};
}

enum { CHUNK = 256 };

// An update of which all values have 16 bits: computed in float32, rounded once.
static void half_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update *u = ctx;
    float weight[CHUNK], grad[CHUNK], state[3][CHUNK];
    update part = *u;
    part.weight = part.out = weight;
    part.grad = grad;
    for (uint32_t j = 0; j < u->states; j++) part.state[j] = state[j];
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        blas_load_f32(u->dtype, u->weight, i, n, weight);
        blas_load_f32(u->dtype, u->grad, i, n, grad);
        for (uint32_t j = 0; j < u->states; j++)
            blas_load_f32(u->dtype, u->state[j], i, n, state[j]);
        u->wide(&part, 0, n, worker);
        blas_store_f32(u->dtype, u->out, i, n, weight);
        for (uint32_t j = 0; j < u->states; j++)
            blas_store_f32(u->dtype, u->state[j], i, n, state[j]);
    }
}

static void over_elements(const tn_sdk_kernel *k, const tn_run_args *a, tn_range_fn f32,
                          tn_range_fn f64)
{
    update u = read_update(k, a);
    u.wide = f32;
    u.states = a->n_in - 2;
    blas_elements(k, a, k->call->out[0]->size, BLAS_CHEAP,
                  u.dtype == TN_F64   ? f64
                  : u.dtype == TN_F32 ? f32
                                      : half_range,
                  &u);
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

static tn_status rmsprop(const tn_sdk_kernel *k, const tn_run_args *a)
{
    over_elements(k, a, rmsprop_f32, rmsprop_f64);
    return TN_OK;
}

static tn_status rmspropalex(const tn_sdk_kernel *k, const tn_run_args *a)
{
    over_elements(k, a, rmspropalex_f32, rmspropalex_f64);
    return TN_OK;
}

// ------------------------------------------------------------------ in two precisions

// The update of float32 states; weight and gradient have another dtype. With momentum the states
// are momentum and weight, else the weight alone.
static void mp_range(const update *u, int64_t begin, int64_t end, bool with_momentum)
{
    float grad[CHUNK];
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        float *wide = (float *)u->state[with_momentum] + i;
        update part = *u;
        part.weight = part.out = wide;
        part.grad = grad;
        part.state[0] = (float *)u->state[0] + i;
        blas_load_f32(u->dtype, u->grad, i, n, grad);
        (with_momentum ? sgd_mom_f32 : sgd_f32)(&part, 0, n, 0);
        blas_store_f32(u->dtype, u->out, i, n, wide);
    }
}

static void mp_sgd_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    (void)worker;
    mp_range(ctx, begin, end, false);
}

static void mp_sgd_mom_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    (void)worker;
    mp_range(ctx, begin, end, true);
}

static tn_status mp_sgd(const tn_sdk_kernel *k, const tn_run_args *a)
{
    update u = read_update(k, a);
    blas_elements(k, a, k->call->out[0]->size, BLAS_CHEAP, mp_sgd_range, &u);
    return TN_OK;
}

static tn_status mp_sgd_mom(const tn_sdk_kernel *k, const tn_run_args *a)
{
    update u = read_update(k, a);
    blas_elements(k, a, k->call->out[0]->size, BLAS_CHEAP, mp_sgd_mom_range, &u);
    return TN_OK;
}

static const char *mp_cannot(const tn_call *c)
{
    if (c->in[1]->dtype != c->in[0]->dtype) return "weight and gradient of different dtypes";
    for (uint32_t i = 2; i < c->n_in; i++)
        if (c->in[i]->dtype != TN_F32) return "states that are not float32";
    return NULL;
}

// All arrays have the weight's dtype.
static const char *cannot(const tn_call *c)
{
    for (uint32_t i = 1; i < c->n_in; i++)
        if (c->in[i]->dtype != c->in[0]->dtype) return "weight and gradient of different dtypes";
    return NULL;
}

#define ROW(op_, run_)                                                                          \
    {                                                                                           \
        .op = op_, .dtypes = TN_FLOATS, .flags = BLAS_FLAGS | TN_ROW_INPLACE, .cannot = cannot, \
        .run = run_                                                                             \
    }

#define MP_ROW(op_, run_)                                                       \
    {                                                                           \
        .op = op_, .dtypes = TN_BIT(TN_F32) | TN_BIT(TN_F16) | TN_BIT(TN_BF16), \
        .flags = BLAS_FLAGS | TN_ROW_INPLACE, .cannot = mp_cannot, .run = run_  \
    }

const tn_kernel_row blas_optimizer[] = {
    ROW("sgd_update", sgd),
    ROW("sgd_mom_update", sgd_mom),
    ROW("adam_update", adam),
    ROW("rmsprop_update", rmsprop),
    ROW("rmspropalex_update", rmspropalex),
    MP_ROW("mp_sgd_update", mp_sgd),
    MP_ROW("mp_sgd_mom_update", mp_sgd_mom),
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

// g' = clip(rescale_grad g + wd w);  n' = γ₁ n + (1 − γ₁) g'²;  w' = clip(w − lr g' / √(n' + ε))
BLAS_CLONES static void N(rmsprop)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update *u = ctx;
    const T *w = u->weight, *grad = u->grad;
    const T lr = (T)u->lr, wd = (T)u->wd, rescale = (T)u->rescale, bound = (T)u->bound;
    const T keep = (T)u->gamma1, rest = (T)(1 - u->gamma1), epsilon = (T)u->epsilon;
    const T limit = (T)u->limit;
    T *squares = u->state[0], *out = u->out;
    (void)worker;
    BLAS_SIMD
    for (int64_t i = begin; i < end; i++) {
        const T g = N(clip)(rescale * grad[i] + wd * w[i], bound);
        const T n = keep * squares[i] + rest * g * g;
        squares[i] = n;
        out[i] = N(clip)(w[i] - lr * g / SQRT(n + epsilon), limit);
    }
}

// With ḡ' = γ₁ ḡ + (1 − γ₁) g':  δ' = γ₂ δ − lr g' / √(n' − ḡ'² + ε);  w' = clip(w + δ')
BLAS_CLONES static void N(rmspropalex)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const update *u = ctx;
    const T *w = u->weight, *grad = u->grad;
    const T lr = (T)u->lr, wd = (T)u->wd, rescale = (T)u->rescale, bound = (T)u->bound;
    const T keep = (T)u->gamma1, rest = (T)(1 - u->gamma1), epsilon = (T)u->epsilon;
    const T limit = (T)u->limit, again = (T)u->gamma2;
    T *squares = u->state[0], *mean = u->state[1], *step = u->state[2], *out = u->out;
    (void)worker;
    BLAS_SIMD
    for (int64_t i = begin; i < end; i++) {
        const T g = N(clip)(rescale * grad[i] + wd * w[i], bound);
        const T n = keep * squares[i] + rest * g * g, m = keep * mean[i] + rest * g;
        const T d = again * step[i] - lr * g / SQRT(n - m * m + epsilon);
        squares[i] = n;
        mean[i] = m;
        step[i] = d;
        out[i] = N(clip)(w[i] + d, limit);
    }
}

#endif
