// backends/blas/blas_batch_norm.c: BatchNorm and its gradient.
//
// Where channels lie in rows of contiguous elements, items are channels. Where the channels are the
// last axis, WIDTH of them are worked on together, each step a row of them. Sums are double.
#ifndef T

#include "blas.h"

enum { WIDTH = 64 };

typedef struct norm_run {
    const tn_norm_call *b;
    const tn_run_args *a;
    bool of_batch; // mean and variance are those of the batch
} norm_run;

// What is found of up to WIDTH channels.
typedef struct moments {
    double sum[WIDTH], squares[WIDTH]; // Σ x, Σ x²; of gradients Σ dy, Σ dy x
    double mean[WIDTH], var[WIDTH];
} moments;

#define THIS_FILE "blas_batch_norm.c"
#include "blas_each_type.h"

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    if (!tn_norm_of(k->call, k->state)) return blas_no_axis(k, "axis");
    blas_inplace(k, info, 0); // each channel is read before it is written
    return TN_OK;
}

// dx may also take the place of data.
static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_status s = setup(k, info);
    if (s == TN_OK) blas_inplace(k, info, 1);
    return s;
}

static tn_status over_channels(const tn_sdk_kernel *k, const tn_run_args *a, tn_range_fn f32,
                               tn_range_fn f64)
{
    const tn_norm_call *b = k->state;
    const tn_line l = b->line;
    norm_run r = {b, a, tn_norm_of_batch(b, a)};
    const int64_t width = l.inner == 1 ? WIDTH : 1;
    blas_items(k, a, (l.n + width - 1) / width, b->n * width, BLAS_CHEAP,
               k->call->in[0]->dtype == TN_F64 ? f64 : f32, &r);
    return TN_OK;
}

// Inputs data, gamma, beta, moving_mean, moving_var; outputs output, mean, var.
static tn_status forward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return over_channels(k, a, forward_range_f32, forward_range_f64);
}

// Inputs dy, data, gamma, mean, var, moving_mean, moving_var; outputs dx, dgamma, dbeta.
static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return over_channels(k, a, backward_range_f32, backward_range_f64);
}

#define ROW(op_, setup_, run_)                                                                    \
    {                                                                                             \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(tn_norm_call), \
        .setup = setup_, .run = run_                                                              \
    }

const tn_kernel_row blas_batch_norms[] = {
    ROW("BatchNorm", setup, forward),
    ROW("_backward_BatchNorm", backward_setup, backward),
    {0},
};

#else // once per type

// ------------------------------------------------------------------ rows

// sum += Σ x, squares += Σ x y
BLAS_CLONES static void N(row_sums)(const T *x, const T *y, int64_t n, double out[2])
{
    double sum = 0, squares = 0;
    BLAS_SIMD_SUM(sum, squares)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)y[i];
    }
    out[0] += sum;
    out[1] += squares;
}

BLAS_CLONES static double N(row_squares)(const T *x, int64_t n, double mean)
{
    double sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
}

// y = (x - mean) scale + shift
BLAS_CLONES static void N(row_normal)(const T *x, T *y, int64_t n, const T of[3])
{
    const T mean = of[0], scale = of[1], shift = of[2];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale + shift;
}

// dx = scale dy + slope (x - mean) + shift
BLAS_CLONES static void N(row_gradient)(const T *dy, const T *x, T *dx, int64_t n, const T of[4])
{
    const T mean = of[0], scale = of[1], slope = of[2], shift = of[3];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = (dy[i] * scale + shift) + (x[i] - mean) * slope;
}

// ------------------------------------------------------------------ columns

BLAS_CLONES static void N(step_sums)(const T *x, const T *y, int64_t n, moments *m)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        m->sum[i] += (double)x[i];
        m->squares[i] += (double)x[i] * (double)y[i];
    }
}

BLAS_CLONES static void N(step_squares)(const T *x, int64_t n, moments *m)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - m->mean[i];
        m->var[i] += d * d;
    }
}

BLAS_CLONES static void N(step_normal)(const T *x, T *y, int64_t n, T of[][WIDTH])
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - of[0][i]) * of[1][i] + of[2][i];
}

BLAS_CLONES static void N(step_gradient)(const T *dy, const T *x, T *dx, int64_t n, T of[][WIDTH])
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++)
        dx[i] = (dy[i] * of[1][i] + of[3][i]) + (x[i] - of[0][i]) * of[2][i];
}

// ------------------------------------------------------------------ channels

// Channels c … c + n-1, which are one if rows are contiguous: Σ x and Σ x y of each.
static void N(sums)(const tn_norm_call *b, const T *x, const T *y, int64_t c, int64_t n, moments *m)
{
    const tn_line l = b->line;
    memset(m, 0, sizeof *m);
    if (l.inner == 1) {
        for (int64_t i = 0; i < l.outer; i++) N(step_sums)(x + i * l.n + c, y + i * l.n + c, n, m);
        return;
    }
    double s[2] = {0, 0};
    for (int64_t i = 0; i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        N(row_sums)(x + at, y + at, l.inner, s);
    }
    m->sum[0] = s[0], m->squares[0] = s[1];
}

// Mean and biased variance. Of float the sums of squares, in double, are exact enough for the
// variance to be taken from them.
static void N(find_moments)(const tn_norm_call *b, const T *x, int64_t c, int64_t n, moments *m)
{
    const tn_line l = b->line;
    const double share = 1 / (double)b->n;
    N(sums)(b, x, x, c, n, m);
    for (int64_t i = 0; i < n; i++) m->mean[i] = m->sum[i] * share;
    if (IS_F32) {
        for (int64_t i = 0; i < n; i++) {
            const double var = m->squares[i] * share - m->mean[i] * m->mean[i];
            m->var[i] = var < 0 ? 0 : var;
        }
        return;
    }
    for (int64_t i = 0; i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        if (l.inner == 1)
            N(step_squares)(x + at, n, m);
        else
            m->var[0] += N(row_squares)(x + at, l.inner, m->mean[0]);
    }
    for (int64_t i = 0; i < n; i++) m->var[i] *= share;
}

//     y = gamma (x - mean) / √(var + eps) + beta
static void N(forward_channels)(const norm_run *r, int64_t c, int64_t n)
{
    const tn_norm_call *b = r->b;
    const tn_line l = b->line;
    const T *x = blas_in(r->a, 0), *gamma = blas_in(r->a, 1), *beta = blas_in(r->a, 2);
    const T *moving[2] = {blas_in(r->a, 3), blas_in(r->a, 4)};
    T *y = blas_out(r->a, 0), *mean = blas_out(r->a, 1), *var = blas_out(r->a, 2);
    T of[3][WIDTH], one[3];
    moments m;
    if (r->of_batch) N(find_moments)(b, x, c, n, &m);
    for (int64_t i = 0; i < n; i++) {
        if (!r->of_batch) m.mean[i] = (double)moving[0][c + i], m.var[i] = (double)moving[1][c + i];
        const double scale = (b->fix_gamma ? 1 : (double)gamma[c + i]) / sqrt(m.var[i] + b->eps);
        of[0][i] = (T)m.mean[i], of[1][i] = (T)scale, of[2][i] = beta[c + i];
        mean[c + i] = (T)m.mean[i], var[c + i] = (T)m.var[i];
    }
    for (int i = 0; i < 3; i++) one[i] = of[i][0];
    for (int64_t i = 0; i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        if (l.inner == 1)
            N(step_normal)(x + at, y + at, n, of);
        else
            N(row_normal)(x + at, y + at, l.inner, one);
    }
}

// With x̂ = (x - mean) / √(var + eps) and sums over a channel of n elements
//
//     dbeta = Σ dy        dgamma = Σ dy x̂, 0 with fix_gamma
//     dx = gamma / √(var + eps) · (dy - dbeta / n - x̂ Σ dy x̂ / n)
//
// where the last two terms stand for what mean and var depend on x: not if they are the moving
// ones. The batch's own move the states.
static void N(gradients)(const norm_run *r, int64_t c, int64_t n, const moments *m, T of[4][WIDTH])
{
    const tn_norm_call *b = r->b;
    const T *gamma = blas_in(r->a, 2), *mean = blas_in(r->a, 3), *var = blas_in(r->a, 4);
    T *moving[2] = {r->a->in[5].host, r->a->in[6].host};
    T *dgamma = blas_out(r->a, 1), *dbeta = blas_out(r->a, 2);
    for (int64_t i = 0; i < n; i++) {
        const double mu = (double)mean[c + i], root = 1 / sqrt((double)var[c + i] + b->eps);
        const double scale = (b->fix_gamma ? 1 : (double)gamma[c + i]) * root;
        const double product = b->n ? (m->squares[i] - mu * m->sum[i]) * root : 0;
        const double share = r->of_batch ? 1 / (double)b->n : 0;
        of[0][i] = mean[c + i];
        of[1][i] = (T)scale;
        // A sum that does not count may be NaN.
        of[2][i] = r->of_batch ? (T)(-scale * root * product * share) : 0;
        of[3][i] = r->of_batch ? (T)(-scale * m->sum[i] * share) : 0;
        dgamma[c + i] = (T)(b->fix_gamma ? 0 : product);
        dbeta[c + i] = (T)m->sum[i];
        if (!r->of_batch || b->n == 0) continue;
        for (int j = 0; j < 2; j++) {
            const double batch = (double)(j ? var : mean)[c + i];
            moving[j][c + i] =
                (T)(b->momentum * (double)moving[j][c + i] + (1 - b->momentum) * batch);
        }
    }
}

static void N(backward_channels)(const norm_run *r, int64_t c, int64_t n)
{
    const tn_norm_call *b = r->b;
    const tn_line l = b->line;
    const T *dy = blas_in(r->a, 0), *x = blas_in(r->a, 1);
    T *dx = blas_out(r->a, 0), of[4][WIDTH], one[4];
    moments m;
    N(sums)(b, dy, x, c, n, &m);
    N(gradients)(r, c, n, &m, of);
    for (int i = 0; i < 4; i++) one[i] = of[i][0];
    for (int64_t i = 0; i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        if (l.inner == 1)
            N(step_gradient)(dy + at, x + at, dx + at, n, of);
        else
            N(row_gradient)(dy + at, x + at, dx + at, l.inner, one);
    }
}

// ------------------------------------------------------------------ items

static void N(forward_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const norm_run *r = ctx;
    const int64_t width = r->b->line.inner == 1 ? WIDTH : 1;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t left = r->b->line.n - i * width;
        N(forward_channels)(r, i * width, left < width ? left : width);
    }
}

static void N(backward_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const norm_run *r = ctx;
    const int64_t width = r->b->line.inner == 1 ? WIDTH : 1;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t left = r->b->line.n - i * width;
        N(backward_channels)(r, i * width, left < width ? left : width);
    }
}

#endif
