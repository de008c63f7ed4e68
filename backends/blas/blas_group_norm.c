// backends/blas/blas_group_norm.c: GroupNorm, InstanceNorm and their gradient.
//
// Items are groups: the channels of a group and sample lie one behind the other. What the gradient
// finds of gamma and beta it keeps for each sample and channel, in double; these are added in the
// order of the samples.
#ifndef T

#include "blas.h"

typedef struct group_norm {
    int64_t samples, groups; // groups of one sample
    int64_t channels, inner; // channels of a group, elements of a channel
    double eps;
    bool variance; // output 2 is the variance, and not the root of what eps makes of it
} group_norm;

typedef struct group_run {
    const group_norm *g;
    const tn_run_args *a;
} group_run;

#define THIS_FILE "blas_group_norm.c"
#include "blas_each_type.h"

static void group_params(group_norm *g, const tn_call *c, const tn_value_info *x)
{
    const int64_t all = x->dims[1];
    g->variance = strcmp(c->op->name, "InstanceNorm") == 0;
    g->samples = x->dims[0];
    g->groups = g->variance ? 0 : tn_call_i64(c, "num_groups", 1);
    if (g->groups == 0) g->groups = all;
    g->channels = g->groups ? all / g->groups : 0;
    g->inner = 1;
    for (int32_t i = 2; i < x->ndim; i++) g->inner *= x->dims[i];
    g->eps = tn_call_f64(c, "eps", g->variance ? 1e-3 : 1e-5);
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    group_params(k->state, k->call, k->call->in[0]);
    blas_inplace(k, info, 0); // a group is read before it is written
    return TN_OK;
}

static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    group_norm *g = k->state;
    group_params(g, k->call, k->call->in[1]);
    blas_inplace(k, info, 0);
    blas_inplace(k, info, 1);
    info->scratch_bytes = (uint64_t)(g->samples * g->groups * g->channels) * 2 * sizeof(double);
    return TN_OK;
}

static void over_groups(const tn_sdk_kernel *k, const group_run *r, tn_range_fn fn)
{
    const group_norm *g = r->g;
    blas_items(k, r->a, g->samples * g->groups, g->channels * g->inner, BLAS_CHEAP, fn, (void *)r);
}

// Inputs data, gamma, beta; outputs output, mean, std or variance.
static tn_status forward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const group_run r = {k->state, a};
    over_groups(k, &r, k->call->in[0]->dtype == TN_F64 ? group_range_f64 : group_range_f32);
    return TN_OK;
}

// Inputs dy, data, gamma, mean, std; outputs dx, dgamma, dbeta.
static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const bool f64 = k->call->in[0]->dtype == TN_F64;
    group_run r = {k->state, a};
    over_groups(k, &r, f64 ? group_back_range_f64 : group_back_range_f32);
    blas_items(k, a, r.g->groups * r.g->channels, r.g->samples, BLAS_CHEAP,
               f64 ? group_vectors_f64 : group_vectors_f32, &r);
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                                  \
    {                                                                                           \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(group_norm), \
        .setup = setup_, .run = run_                                                            \
    }

const tn_kernel_row blas_group_norms[] = {
    ROW("GroupNorm", setup, forward),
    ROW("InstanceNorm", setup, forward),
    ROW("_backward_GroupNorm", backward_setup, backward),
    {0},
};

#else // once per type

// ------------------------------------------------------------------ forward

BLAS_CLONES static void N(group_sums)(const T *x, int64_t n, double out[2])
{
    double sum = 0, squares = 0;
    BLAS_SIMD_SUM(sum, squares)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    out[0] = sum, out[1] = squares;
}

BLAS_CLONES static double N(group_squares)(const T *x, int64_t n, double mean)
{
    double sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
}

// Mean and biased variance. Of float the sums of squares, in double, are exact enough for the
// variance to be taken from them.
static void N(group_moments)(const T *x, int64_t n, double *mean, double *var)
{
    double sums[2];
    N(group_sums)(x, n, sums);
    *mean = sums[0] / (double)n;
    *var = (IS_F32 ? sums[1] - *mean * sums[0] : N(group_squares)(x, n, *mean)) / (double)n;
    if (*var < 0) *var = 0;
}

// y = (x - mean) scale + shift
BLAS_CLONES static void N(group_normal)(const T *x, T *y, int64_t n, const T of[3])
{
    const T mean = of[0], scale = of[1], shift = of[2];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale + shift;
}

static void N(group_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const group_run *r = ctx;
    const group_norm *g = r->g;
    const int64_t n = g->channels * g->inner;
    const T *x = blas_in(r->a, 0), *gamma = blas_in(r->a, 1), *beta = blas_in(r->a, 2);
    T *y = blas_out(r->a, 0), *means = blas_out(r->a, 1), *spreads = blas_out(r->a, 2);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i % g->groups * g->channels;
        double mean, var;
        N(group_moments)(x + i * n, n, &mean, &var);
        const double std = sqrt(var + g->eps), rest = mean - (double)(T)mean; // a large one is no T
        means[i] = (T)mean, spreads[i] = (T)(g->variance ? var : std);
        for (int64_t c = 0; c < g->channels; c++) {
            const int64_t at = i * n + c * g->inner;
            const double scale = (double)gamma[first + c] / std;
            const T of[3] = {(T)mean, (T)scale, (T)((double)beta[first + c] - rest * scale)};
            N(group_normal)(x + at, y + at, g->inner, of);
        }
    }
}

// ------------------------------------------------------------------ gradient
//
// With x̂ = (x - mean) / std, g = dy gamma and means over a group
//
//     dx = (g - mean(g) - x̂ mean(g x̂)) / std        dgamma = Σ dy x̂        dbeta = Σ dy

// out = Σ dy, Σ dy (x - mean)
BLAS_CLONES static void N(group_products)(const T *dy, const T *x, int64_t n, T mean, double out[2])
{
    double sum = 0, products = 0;
    BLAS_SIMD_SUM(sum, products)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)dy[i];
        products += (double)dy[i] * (double)(x[i] - mean);
    }
    out[0] = sum, out[1] = products;
}

// dx = scale dy + slope (x - mean) + shift
BLAS_CLONES static void N(group_back)(const T *dy, const T *x, T *dx, int64_t n, const T of[4])
{
    const T mean = of[0], scale = of[1], slope = of[2], shift = of[3];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = (dy[i] * scale + shift) + (x[i] - mean) * slope;
}

static void N(group_back_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const group_run *r = ctx;
    const group_norm *g = r->g;
    const int64_t n = g->channels * g->inner;
    const T *dy = blas_in(r->a, 0), *x = blas_in(r->a, 1), *gamma = blas_in(r->a, 2);
    const T *means = blas_in(r->a, 3), *stds = blas_in(r->a, 4);
    T *dx = blas_out(r->a, 0);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i % g->groups * g->channels;
        const double rate = 1 / (double)stds[i];
        double *found = (double *)r->a->scratch.host + i * g->channels * 2, level = 0, slope = 0;
        for (int64_t c = 0; c < g->channels; c++) {
            const int64_t at = i * n + c * g->inner;
            N(group_products)(dy + at, x + at, g->inner, means[i], found + 2 * c);
            found[2 * c + 1] *= rate;
            level += (double)gamma[first + c] * found[2 * c];
            slope += (double)gamma[first + c] * found[2 * c + 1];
        }
        T of[4] = {means[i], 0, (T)(-slope / (double)n * rate * rate),
                   (T)(-level / (double)n * rate)};
        for (int64_t c = 0; c < g->channels; c++) {
            const int64_t at = i * n + c * g->inner;
            of[1] = (T)((double)gamma[first + c] * rate);
            N(group_back)(dy + at, x + at, dx + at, g->inner, of);
        }
    }
}

static void N(group_vectors)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const group_run *r = ctx;
    const int64_t all = r->g->groups * r->g->channels;
    const double *found = r->a->scratch.host;
    T *dgamma = blas_out(r->a, 1), *dbeta = blas_out(r->a, 2);
    (void)worker;
    for (int64_t c = begin; c < end; c++) {
        double sums[2] = {0, 0};
        for (int64_t i = 0; i < r->g->samples; i++)
            for (int j = 0; j < 2; j++) sums[j] += found[2 * (i * all + c) + j];
        dbeta[c] = (T)sums[0], dgamma[c] = (T)sums[1];
    }
}

#endif
