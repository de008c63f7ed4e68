// backends/reference/reference_optimizer.c: parameter updates. Auxiliary states are written in
// place; output 0 is the new weight, usually over the old one.
//
// Source: MXNet 0.11, src/operator/optimizer_op-inl.h.
#include "reference.h"

// clip_gradient below 0 clips nothing; NaN stays.
static double clip(double g, double bound)
{
    if (bound < 0) return g;
    return g > bound ? bound : g < -bound ? -bound : g;
}

// w' = (1 − lr wd) w − lr clip(rescale_grad g)
static tn_status sgd(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const ref_array weight = ref_in(k, a, 0), grad = ref_in(k, a, 1), out = ref_out(k, a, 0);
    const double lr = tn_call_f64(c, "lr", 0), wd = tn_call_f64(c, "wd", 0);
    const double rescale = tn_call_f64(c, "rescale_grad", 1);
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    for (int64_t i = 0; i < out.n; i++) {
        const double g = clip(rescale * ref_get_real(grad, i), bound);
        ref_put_real(out, i, (1 - lr * wd) * ref_get_real(weight, i) - lr * g);
    }
    return TN_OK;
}

// m' = momentum m − lr wd w − lr clip(rescale_grad g);  w' = w + m'
static tn_status sgd_mom(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const ref_array weight = ref_in(k, a, 0), grad = ref_in(k, a, 1), mom = ref_in(k, a, 2);
    const ref_array out = ref_out(k, a, 0);
    const double lr = tn_call_f64(c, "lr", 0), wd = tn_call_f64(c, "wd", 0);
    const double momentum = tn_call_f64(c, "momentum", 0);
    const double rescale = tn_call_f64(c, "rescale_grad", 1);
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    for (int64_t i = 0; i < out.n; i++) {
        const double w = ref_get_real(weight, i), g = clip(rescale * ref_get_real(grad, i), bound);
        const double m = momentum * ref_get_real(mom, i) - lr * wd * w - lr * g;
        ref_put_real(mom, i, m);
        ref_put_real(out, i, w + m);
    }
    return TN_OK;
}

// g' = clip(rescale_grad g + wd w): weight decay comes before the clip
// m' = β₁ m + (1 − β₁) g';  v' = β₂ v + (1 − β₂) g'²;  w' = w − lr m' / (√v' + ε)
// Bias correction is the caller's, folded into lr.
static tn_status adam(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const ref_array weight = ref_in(k, a, 0), grad = ref_in(k, a, 1);
    const ref_array mean = ref_in(k, a, 2), var = ref_in(k, a, 3), out = ref_out(k, a, 0);
    const double lr = tn_call_f64(c, "lr", 0), wd = tn_call_f64(c, "wd", 0);
    const double beta1 = tn_call_f64(c, "beta1", 0.9), beta2 = tn_call_f64(c, "beta2", 0.999);
    const double epsilon = tn_call_f64(c, "epsilon", 1e-8);
    const double rescale = tn_call_f64(c, "rescale_grad", 1);
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    for (int64_t i = 0; i < out.n; i++) {
        const double w = ref_get_real(weight, i);
        const double g = clip(rescale * ref_get_real(grad, i) + wd * w, bound);
        const double m = beta1 * ref_get_real(mean, i) + (1 - beta1) * g;
        const double v = beta2 * ref_get_real(var, i) + (1 - beta2) * g * g;
        ref_put_real(mean, i, m);
        ref_put_real(var, i, v);
        ref_put_real(out, i, w - lr * m / (sqrt(v) + epsilon));
    }
    return TN_OK;
}

// w32' = (1 − lr wd) w32 − lr clip(rescale_grad g);  w' = w32'
static tn_status mp_sgd(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const ref_array grad = ref_in(k, a, 1), wide = ref_in(k, a, 2), out = ref_out(k, a, 0);
    const double lr = tn_call_f64(c, "lr", 0), wd = tn_call_f64(c, "wd", 0);
    const double rescale = tn_call_f64(c, "rescale_grad", 1);
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    for (int64_t i = 0; i < out.n; i++) {
        const double g = clip(rescale * ref_get_real(grad, i), bound);
        ref_put_real(wide, i, (1 - lr * wd) * ref_get_real(wide, i) - lr * g);
        ref_put_real(out, i, ref_get_real(wide, i));
    }
    return TN_OK;
}

// m' = momentum m − lr wd w32 − lr clip(rescale_grad g);  w32' = w32 + m';  w' = w32'
static tn_status mp_sgd_mom(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const ref_array grad = ref_in(k, a, 1), mom = ref_in(k, a, 2), wide = ref_in(k, a, 3);
    const ref_array out = ref_out(k, a, 0);
    const double lr = tn_call_f64(c, "lr", 0), wd = tn_call_f64(c, "wd", 0);
    const double momentum = tn_call_f64(c, "momentum", 0);
    const double rescale = tn_call_f64(c, "rescale_grad", 1);
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    for (int64_t i = 0; i < out.n; i++) {
        const double w = ref_get_real(wide, i), g = clip(rescale * ref_get_real(grad, i), bound);
        const double m = momentum * ref_get_real(mom, i) - lr * wd * w - lr * g;
        ref_put_real(mom, i, m);
        ref_put_real(wide, i, w + m);
        ref_put_real(out, i, ref_get_real(wide, i));
    }
    return TN_OK;
}

// g' = clip(rescale_grad g + wd w);  n' = γ₁ n + (1 − γ₁) g'²;  w' = w − lr g' / √(n' + ε)
// alex: ḡ' = γ₁ ḡ + (1 − γ₁) g';  δ' = γ₂ δ − lr g' / √(n' − ḡ'² + ε);  w' = w + δ'
static tn_status rmsprop(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const bool alex = c->n_in > 3;
    const ref_array weight = ref_in(k, a, 0), grad = ref_in(k, a, 1), mean2 = ref_in(k, a, 2);
    const ref_array mean = ref_in(k, a, alex ? 3 : 2), step = ref_in(k, a, alex ? 4 : 2);
    const ref_array out = ref_out(k, a, 0);
    const double lr = tn_call_f64(c, "lr", 0), wd = tn_call_f64(c, "wd", 0);
    const double gamma1 = tn_call_f64(c, "gamma1", 0.95), gamma2 = tn_call_f64(c, "gamma2", 0.9);
    const double epsilon = tn_call_f64(c, "epsilon", 1e-8);
    const double rescale = tn_call_f64(c, "rescale_grad", 1);
    const double bound = tn_call_f64(c, "clip_gradient", -1);
    const double limit = tn_call_f64(c, "clip_weights", -1);
    for (int64_t i = 0; i < out.n; i++) {
        const double w = ref_get_real(weight, i);
        const double g = clip(rescale * ref_get_real(grad, i) + wd * w, bound);
        const double n = gamma1 * ref_get_real(mean2, i) + (1 - gamma1) * g * g;
        ref_put_real(mean2, i, n);
        double delta = -lr * g / sqrt(n + epsilon);
        if (alex) {
            const double m = gamma1 * ref_get_real(mean, i) + (1 - gamma1) * g;
            delta = gamma2 * ref_get_real(step, i) - lr * g / sqrt(n - m * m + epsilon);
            ref_put_real(mean, i, m);
            ref_put_real(step, i, delta);
        }
        ref_put_real(out, i, clip(w + delta, limit));
    }
    return TN_OK;
}

#define ROW(op_, run_)                                                                   \
    {                                                                                    \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS | TN_ROW_INPLACE, .run = run_ \
    }

const tn_kernel_row ref_optimizer[] = {
    ROW("sgd_update", sgd),
    ROW("sgd_mom_update", sgd_mom),
    ROW("adam_update", adam),
    ROW("mp_sgd_update", mp_sgd),
    ROW("mp_sgd_mom_update", mp_sgd_mom),
    ROW("rmsprop_update", rmsprop),
    ROW("rmspropalex_update", rmsprop),
    {0},
};
