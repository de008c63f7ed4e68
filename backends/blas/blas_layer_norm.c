// backends/blas/blas_layer_norm.c: LayerNorm along the last axis, and its gradient.
//
// Items are rows, or, in the gradient, pieces of several rows: each sums what it finds of the
// gradients of gamma and beta, in double, and the sums are added in the order of the pieces.
#ifndef T

#include "blas.h"

enum { MOST_PIECES = 64, LEAST_ROWS = 8 };

typedef struct layer_norm {
    int64_t rows, n; // of n elements
    double eps;
    int64_t pieces, each; // of the gradient: so many rows each, fewer in the last
} layer_norm;

typedef struct layer_run {
    const layer_norm *l;
    const tn_run_args *a;
} layer_run;

#define THIS_FILE "blas_layer_norm.c"
#include "blas_each_type.h"

static const char *cannot(const tn_call *c)
{
    const tn_value_info *x = c->in[0];
    const int32_t axis = tn_axis(tn_call_i64(c, "axis", -1), x->ndim);
    return axis >= 0 && tn_around(x, axis).inner == 1 ? NULL : "normalises rows only";
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    layer_norm *l = k->state;
    const tn_value_info *x = k->call->in[0];
    const tn_line line = tn_around(x, tn_axis(tn_call_i64(k->call, "axis", -1), x->ndim));
    l->rows = line.outer;
    l->n = line.n;
    l->eps = tn_call_f64(k->call, "eps", 1e-5);
    blas_inplace(k, info, 0); // each row is read before it is written
    return TN_OK;
}

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    layer_norm *l = k->state;
    const tn_status s = setup(k, info);
    blas_inplace(k, info, 1);
    l->each = (l->rows + MOST_PIECES - 1) / MOST_PIECES;
    if (l->each < LEAST_ROWS) l->each = LEAST_ROWS;
    l->pieces = (l->rows + l->each - 1) / l->each;
    info->scratch_bytes = (uint64_t)(l->pieces * l->n) * 2 * sizeof(double);
    return s;
}

// Inputs data, gamma, beta; outputs output, mean, std.
static tn_status forward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const layer_norm *l = k->state;
    layer_run r = {l, a};
    blas_items(k, a, l->rows, l->n, BLAS_CHEAP,
               k->call->in[0]->dtype == TN_F64 ? layer_range_f64 : layer_range_f32, &r);
    return TN_OK;
}

// Inputs dy, data, gamma, mean, std; outputs dx, dgamma, dbeta.
static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const layer_norm *l = k->state;
    const bool f64 = k->call->in[0]->dtype == TN_F64;
    layer_run r = {l, a};
    blas_items(k, a, l->pieces, l->each * l->n, BLAS_CHEAP,
               f64 ? layer_pieces_f64 : layer_pieces_f32, &r);
    blas_items(k, a, l->n, 2 * l->pieces, BLAS_CHEAP, f64 ? layer_sums_f64 : layer_sums_f32, &r);
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                                  \
    {                                                                                           \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(layer_norm), \
        .cannot = cannot, .setup = setup_, .run = run_                                          \
    }

const tn_kernel_row blas_layer_norms[] = {
    ROW("LayerNorm", setup, forward),
    ROW("_backward_LayerNorm", backward_setup, backward),
    {0},
};

#else // once per type

// ------------------------------------------------------------------ forward

BLAS_CLONES static double N(layer_sum)(const T *x, int64_t n)
{
    double sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    return sum;
}

BLAS_CLONES static double N(layer_squares)(const T *x, int64_t n, double mean)
{
    double sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
}

// y = (x - mean) scale gamma + beta, where mean = of[0] + of[1]: a large one is no T.
BLAS_CLONES static void N(layer_normal)(const T *x, const T *gamma, const T *beta, T *y, int64_t n,
                                        const T of[3])
{
    const T mean = of[0], rest = of[1], scale = of[2];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = ((x[i] - mean) - rest) * scale * gamma[i] + beta[i];
}

static void N(layer_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const layer_run *r = ctx;
    const int64_t n = r->l->n;
    const T *x = blas_in(r->a, 0), *gamma = blas_in(r->a, 1), *beta = blas_in(r->a, 2);
    T *y = blas_out(r->a, 0), *means = blas_out(r->a, 1), *stds = blas_out(r->a, 2);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const double mean = N(layer_sum)(x + i * n, n) / (double)n;
        const double std = sqrt(N(layer_squares)(x + i * n, n, mean) / (double)n + r->l->eps);
        const T of[3] = {(T)mean, (T)(mean - (double)(T)mean), (T)(1 / std)};
        N(layer_normal)(x + i * n, gamma, beta, y + i * n, n, of);
        means[i] = (T)mean, stds[i] = (T)std;
    }
}

// ------------------------------------------------------------------ gradient
//
// With x̂ = (x - mean) / std, g = dy gamma and means over a row
//
//     dx = (g - mean(g) - x̂ mean(g x̂)) / std        dgamma = Σ dy x̂        dbeta = Σ dy

// sums += dy x̂, and behind them += dy; out = Σ g, Σ g x̂. of: mean, 1 / std.
BLAS_CLONES static void N(layer_gradients)(const T *dy, const T *x, const T *gamma, int64_t n,
                                           const T of[2], double *sums, double out[2])
{
    const T mean = of[0], root = of[1];
    double level = 0, slope = 0, *dgamma = sums, *dbeta = sums + n;
    BLAS_SIMD_SUM(level, slope)
    for (int64_t i = 0; i < n; i++) {
        const double product = (double)dy[i] * (double)((x[i] - mean) * root);
        dgamma[i] += product;
        dbeta[i] += (double)dy[i];
        level += (double)dy[i] * (double)gamma[i];
        slope += product * (double)gamma[i];
    }
    out[0] = level, out[1] = slope;
}

// of: mean, 1 / std, mean(g), mean(g x̂)
BLAS_CLONES static void N(layer_back)(const T *dy, const T *x, const T *gamma, T *dx, int64_t n,
                                      const T of[4])
{
    const T mean = of[0], root = of[1], level = of[2], slope = of[3];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++)
        dx[i] = ((dy[i] * gamma[i] - level) - (x[i] - mean) * root * slope) * root;
}

static void N(layer_pieces)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const layer_run *r = ctx;
    const layer_norm *l = r->l;
    const int64_t n = l->n;
    const T *dy = blas_in(r->a, 0), *x = blas_in(r->a, 1), *gamma = blas_in(r->a, 2);
    const T *means = blas_in(r->a, 3), *stds = blas_in(r->a, 4);
    T *dx = blas_out(r->a, 0);
    (void)worker;
    for (int64_t p = begin; p < end; p++) {
        double *sums = (double *)r->a->scratch.host + p * 2 * n, found[2];
        const int64_t first = p * l->each, left = l->rows - first;
        for (int64_t i = 0; i < 2 * n; i++) sums[i] = 0;
        for (int64_t i = first; i < first + (left < l->each ? left : l->each); i++) {
            T of[4] = {means[i], 1 / stds[i], 0, 0};
            N(layer_gradients)(dy + i * n, x + i * n, gamma, n, of, sums, found);
            of[2] = (T)(found[0] / (double)n), of[3] = (T)(found[1] / (double)n);
            N(layer_back)(dy + i * n, x + i * n, gamma, dx + i * n, n, of);
        }
    }
}

static void N(layer_sums)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const layer_run *r = ctx;
    const layer_norm *l = r->l;
    const double *sums = r->a->scratch.host;
    T *dgamma = blas_out(r->a, 1), *dbeta = blas_out(r->a, 2);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        double g = 0, b = 0;
        for (int64_t p = 0; p < l->pieces; p++) {
            g += sums[p * 2 * l->n + i];
            b += sums[(p * 2 + 1) * l->n + i];
        }
        dgamma[i] = (T)g, dbeta[i] = (T)b;
    }
}

#endif
