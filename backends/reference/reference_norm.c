// backends/reference/reference_norm.c: BatchNorm, LRN, and their gradients.
#include "reference.h"

// ------------------------------------------------------------------ BatchNorm

static tn_status batch_norm_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    if (!tn_norm_of(k->call, k->state)) return ref_no_axis(k, "axis");
    ref_inplace(k, info, 0); // each channel is read before it is written
    return TN_OK;
}

// _backward_BatchNorm: dx may also take the place of data.
static tn_status batch_norm_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_status s = batch_norm_setup(k, info);
    if (s == TN_OK) ref_inplace(k, info, 1);
    return s;
}

// Index of element i of channel c.
static int64_t channel_at(const tn_norm_call *b, int64_t c, int64_t i)
{
    const tn_line l = b->line;
    return (i / l.inner * l.n + c) * l.inner + i % l.inner;
}

typedef struct moments {
    double mean, var;
} moments;

// Mean and biased variance of a channel of x; NaN if it has no elements.
static moments moments_of(const tn_norm_call *b, ref_array x, int64_t c)
{
    moments m = {0, 0};
    for (int64_t i = 0; i < b->n; i++) m.mean += ref_get_real(x, channel_at(b, c, i));
    m.mean /= (double)b->n;
    for (int64_t i = 0; i < b->n; i++) {
        const double d = ref_get_real(x, channel_at(b, c, i)) - m.mean;
        m.var += d * d;
    }
    m.var /= (double)b->n;
    return m;
}

// Inputs data, gamma, beta, moving_mean, moving_var; outputs output, mean, var.
//
//     y = gamma (x - mean) / √(var + eps) + beta
static tn_status batch_norm_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_norm_call *b = k->state;
    const ref_array x = ref_in(k, a, 0), gamma = ref_in(k, a, 1), beta = ref_in(k, a, 2);
    const ref_array y = ref_out(k, a, 0);
    for (int64_t c = 0; c < b->line.n; c++) {
        const moments moving = {ref_get_real(ref_in(k, a, 3), c), ref_get_real(ref_in(k, a, 4), c)};
        const moments m = tn_norm_of_batch(b, a) ? moments_of(b, x, c) : moving;
        const double scale = (b->fix_gamma ? 1 : ref_get_real(gamma, c)) / sqrt(m.var + b->eps);
        for (int64_t i = 0; i < b->n; i++) {
            const int64_t e = channel_at(b, c, i);
            const double v = (ref_get_real(x, e) - m.mean) * scale;
            ref_put_real(y, e, v + ref_get_real(beta, c));
        }
        ref_put_real(ref_out(k, a, 1), c, m.mean);
        ref_put_real(ref_out(k, a, 2), c, m.var);
    }
    return TN_OK;
}

// moving ← momentum · moving + (1 - momentum) · batch
static void move(const tn_norm_call *b, ref_array moving, ref_array batch, int64_t c)
{
    const double kept = b->momentum * ref_get_real(moving, c);
    ref_put_real(moving, c, kept + (1 - b->momentum) * ref_get_real(batch, c));
}

// Inputs dy, data, gamma, mean, var, moving_mean, moving_var; outputs dx, dgamma, dbeta. With
// x̂ = (x - mean) / √(var + eps) and sums over a channel of n elements
//
//     dbeta = Σ dy        dgamma = Σ dy x̂, 0 with fix_gamma
//     dx = gamma / √(var + eps) · (dy - dbeta / n - x̂ Σ dy x̂ / n)
//
// where the last two terms stand for what mean and var depend on x: not if they are the moving
// ones. The batch's own move the states.
static tn_status batch_norm_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_norm_call *b = k->state;
    const ref_array dy = ref_in(k, a, 0), x = ref_in(k, a, 1), gamma = ref_in(k, a, 2);
    const ref_array mean = ref_in(k, a, 3), var = ref_in(k, a, 4), dx = ref_out(k, a, 0);
    for (int64_t c = 0; c < b->line.n; c++) {
        const double m = ref_get_real(mean, c), r = 1 / sqrt(ref_get_real(var, c) + b->eps);
        const double scale = (b->fix_gamma ? 1 : ref_get_real(gamma, c)) * r;
        double sum = 0, product = 0;
        for (int64_t i = 0; i < b->n; i++) {
            const int64_t e = channel_at(b, c, i);
            sum += ref_get_real(dy, e);
            product += ref_get_real(dy, e) * (ref_get_real(x, e) - m) * r;
        }
        for (int64_t i = 0; i < b->n; i++) {
            const int64_t e = channel_at(b, c, i);
            const double z = (ref_get_real(x, e) - m) * r;
            const double through = tn_norm_of_batch(b, a) ? (sum + z * product) / (double)b->n : 0;
            ref_put_real(dx, e, (ref_get_real(dy, e) - through) * scale);
        }
        ref_put_real(ref_out(k, a, 1), c, b->fix_gamma ? 0 : product);
        ref_put_real(ref_out(k, a, 2), c, sum);
        if (!tn_norm_of_batch(b, a) || b->n == 0) continue;
        move(b, ref_in(k, a, 5), mean, c);
        move(b, ref_in(k, a, 6), var, c);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ LRN

typedef struct lrn {
    tn_line line; // (outer, channels, inner)
    int64_t half; // channels in the window on each side of its middle
    double scale, beta, knorm;
} lrn;

static tn_status lrn_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    lrn *l = k->state;
    const int64_t nsize = tn_call_i64(k->call, "nsize", 1);
    (void)info;
    l->line = tn_around(k->call->in[0], 1);
    l->half = nsize / 2;
    l->scale = tn_call_f64(k->call, "alpha", 1e-4) / (double)nsize; // the division is MXNet's
    l->beta = tn_call_f64(k->call, "beta", 0.75);
    l->knorm = tn_call_f64(k->call, "knorm", 2);
    return TN_OK;
}

// Channels c - half … c + half, as far as there are such: first and one past the last.
static int64_t first_of(const lrn *l, int64_t c)
{
    return c > l->half ? c - l->half : 0;
}

static int64_t end_of(const lrn *l, int64_t c)
{
    return l->line.n - c > l->half ? c + l->half + 1 : l->line.n;
}

// y = x t^-beta,  t = knorm + alpha / nsize · Σ_window x²;  outputs y, t
static tn_status lrn_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const lrn *l = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0), t = ref_out(k, a, 1);
    for (int64_t i = 0; i < y.n; i++) {
        const int64_t step = l->line.inner, c = i / step % l->line.n, first = i - c * step;
        double sum = 0;
        for (int64_t j = first_of(l, c); j < end_of(l, c); j++) {
            const double v = ref_get_real(x, first + j * step);
            sum += v * v;
        }
        const double base = l->knorm + l->scale * sum;
        ref_put_real(y, i, ref_get_real(x, i) * pow(base, -l->beta));
        ref_put_real(t, i, base);
    }
    return TN_OK;
}

// Inputs dy, x, t:  dx = dy t^-beta - 2 alpha beta / nsize · x Σ_window dy x t^(-beta - 1)
static tn_status lrn_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const lrn *l = k->state;
    const ref_array dy = ref_in(k, a, 0), x = ref_in(k, a, 1), t = ref_in(k, a, 2);
    const ref_array dx = ref_out(k, a, 0);
    for (int64_t i = 0; i < dx.n; i++) {
        const int64_t step = l->line.inner, c = i / step % l->line.n, first = i - c * step;
        double sum = 0;
        for (int64_t j = first_of(l, c); j < end_of(l, c); j++) {
            const int64_t e = first + j * step;
            sum += ref_get_real(dy, e) * ref_get_real(x, e) * pow(ref_get_real(t, e), -l->beta - 1);
        }
        const double direct = ref_get_real(dy, i) * pow(ref_get_real(t, i), -l->beta);
        ref_put_real(dx, i, direct - 2 * l->scale * l->beta * ref_get_real(x, i) * sum);
    }
    return TN_OK;
}

#define ROW(op_, state_, setup_, run_)                                                    \
    {                                                                                     \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(state_), \
        .setup = setup_, .run = run_                                                      \
    }

const tn_kernel_row ref_norm[] = {
    ROW("BatchNorm", tn_norm_call, batch_norm_setup, batch_norm_run),
    ROW("_backward_BatchNorm", tn_norm_call, batch_norm_backward_setup, batch_norm_backward),
    ROW("LRN", lrn, lrn_setup, lrn_run),
    ROW("_backward_LRN", lrn, lrn_setup, lrn_backward),
    {0},
};
