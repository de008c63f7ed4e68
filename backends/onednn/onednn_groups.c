// backends/onednn/onednn_groups.c: GroupNorm, InstanceNorm and their gradient, for which oneDNN has
// no primitive: loops over row-major values, or over values with channels last.
//
//     y = f (x - mean) + beta,  f = gamma / std,  std = sqrt(var + eps)          of a group
//     dbeta = sum dy,  dgamma = sum dy x̂,  x̂ = (x - mean) / std
//     dx = f dy - (mean(dy gamma) + x̂ mean(dy gamma x̂)) / std
//
// Row-major, items are groups. With channels last they are samples, or pieces of one, and what
// belongs to a channel is a lane; a large sample is cut into pieces that only its size decides.
// Sums are double, so the same bits come out of any number of threads.
#include <math.h>

#include "onednn_loops.h"

enum {
    LANES = 5,        // arrays of one number for each channel of a sample: see lanes_of
    PIECE = 1 << 16,  // elements at least, if there are several pieces
    MOST_PIECES = 16, // of a sample
    TOGETHER = 4      // rows that are added before the sum is written
};

typedef struct groups {
    int64_t samples, groups, channels, inner; // groups of a sample, channels of a group
    int64_t all;                              // channels of a sample
    int64_t pieces, each;                     // of a sample: how many, rows of one
    double eps;
    bool last, variance; // channels last; output 2 is the variance
    uint64_t lanes;      // where they begin in the scratch memory; sums are in front
} groups;

typedef struct job {
    const groups *g;
    const float *x, *dy, *gamma, *beta; // dy NULL: forward
    const float *means, *stds;          // inputs of the gradient
    float *out, *own_mean, *own_spread; // results of forward
    double *sums;                       // (samples, pieces, 2, all)
    float *lanes;                       // (samples, LANES, all)
    int64_t sample;                     // that is cut into pieces
} job;

// ------------------------------------------------------------------ calls

static bool is_backward(const tn_call *c)
{
    return c->n_in == 5;
}

static const char *cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    return od_same_dtypes(c) ? NULL : od_mixed_dtypes;
}

// Data and gradients lie as the data, or else dy, arrive: with channels last, as float32.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const uint32_t n = 1 + is_backward(c);
    bool last = false;
    (void)host;
    for (uint32_t i = 0; i < n; i++) last = last || od_is_ours(&in[i]);
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    if (!last || c->in[0]->ndim < 3) return TN_OK;
    const dnnl_memory_desc_t md = od_last(c->in[0]);
    for (uint32_t i = 0; i < n; i++) od_layout(&md, c->in[i], &in[i]);
    od_layout(&md, c->out[0], &out[0]);
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    groups *g = k->state;
    const tn_call *c = k->call;
    const tn_value_info *x = c->in[0];
    g->variance = strcmp(c->op->name, "InstanceNorm") == 0;
    g->samples = x->dims[0];
    g->all = x->dims[1];
    g->groups = g->variance ? 0 : tn_call_i64(c, "num_groups", 1);
    if (g->groups == 0) g->groups = g->all;
    g->channels = g->all / g->groups;
    g->inner = x->size / (g->samples * g->all);
    g->eps = tn_call_f64(c, "eps", g->variance ? 1e-3 : 1e-5);
    g->last = od_is_ours(&x->layout);
    const int64_t pieces = g->inner * g->all / PIECE;
    g->pieces = !g->last || pieces < 1 ? 1 : pieces > MOST_PIECES ? MOST_PIECES : pieces;
    g->each = (g->inner + g->pieces - 1) / g->pieces;
    g->pieces = (g->inner + g->each - 1) / g->each;
    const int64_t lanes = g->samples * g->all;
    g->lanes = (uint64_t)(lanes * g->pieces * 2) * sizeof(double);
    info->scratch_bytes = g->lanes + (uint64_t)(lanes * LANES) * sizeof(float);
    for (uint32_t i = 0; i < 1u + is_backward(c); i++) // a group is read before it is written
        info->inplace[info->n_inplace++] = (tn_inplace){i, 0};
    return TN_OK;
}

// ------------------------------------------------------------------ loops over row-major channels

// out = Σ x, Σ x²
OD_CLONES static void od_plane_sums(const float *x, int64_t n, double out[2])
{
    double sum = 0, squares = 0;
    _Pragma("omp simd reduction(+ : sum, squares)") for (int64_t i = 0; i < n; i++)
    {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    out[0] = sum, out[1] = squares;
}

// out = Σ dy, Σ dy (x - mean)
OD_CLONES static void od_plane_products(const float *dy, const float *x, int64_t n, float mean,
                                        double out[2])
{
    double sum = 0, products = 0;
    _Pragma("omp simd reduction(+ : sum, products)") for (int64_t i = 0; i < n; i++)
    {
        sum += (double)dy[i];
        products += (double)dy[i] * (double)(x[i] - mean);
    }
    out[0] = sum, out[1] = products;
}

// of: mean, factor, shift
OD_CLONES static void od_plane_scale(const float *x, float *y, int64_t n, const float of[LANES])
{
    const float mean = of[0], factor = of[1], shift = of[2];
    OD_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * factor + shift;
}

// of: mean, factor, shift, slope
OD_CLONES static void od_plane_gradient(const float *dy, const float *x, float *dx, int64_t n,
                                        const float of[LANES])
{
    const float mean = of[0], factor = of[1], shift = of[2], slope = of[3];
    OD_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = (dy[i] * factor + shift) + (x[i] - mean) * slope;
}

// ------------------------------------------------------------------ loops over channels that lie
// last

OD_CLONES static void od_lane_sums(const float *x, int64_t rows, int64_t n, double *sum,
                                   double *squares)
{
    int64_t r = 0;
    for (; r + TOGETHER <= rows; r += TOGETHER, x += TOGETHER * n) {
        OD_SIMD
        for (int64_t c = 0; c < n; c++) {
            const double a = (double)x[c], b = (double)x[n + c];
            const double d = (double)x[2 * n + c], e = (double)x[3 * n + c];
            sum[c] += (a + b) + (d + e);
            squares[c] += (a * a + b * b) + (d * d + e * e);
        }
    }
    for (; r < rows; r++, x += n) {
        OD_SIMD
        for (int64_t c = 0; c < n; c++) {
            sum[c] += (double)x[c];
            squares[c] += (double)x[c] * (double)x[c];
        }
    }
}

OD_CLONES static void od_lane_products(const float *dy, const float *x, int64_t rows, int64_t n,
                                       const float *mean, double *sums[2])
{
    double *sum = sums[0], *products = sums[1];
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2, x += 2 * n, dy += 2 * n) {
        OD_SIMD
        for (int64_t c = 0; c < n; c++) {
            const double a = (double)dy[c], b = (double)dy[n + c];
            sum[c] += a + b;
            products[c] += a * (double)(x[c] - mean[c]) + b * (double)(x[n + c] - mean[c]);
        }
    }
    for (; r < rows; r++, x += n, dy += n) {
        OD_SIMD
        for (int64_t c = 0; c < n; c++) {
            sum[c] += (double)dy[c];
            products[c] += (double)dy[c] * (double)(x[c] - mean[c]);
        }
    }
}

// lanes: mean, factor, shift
OD_CLONES static void od_lane_scale(const float *x, float *y, int64_t rows, int64_t n,
                                    const float *lanes)
{
    const float *mean = lanes, *factor = lanes + n, *shift = lanes + 2 * n;
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        OD_SIMD
        for (int64_t c = 0; c < n; c++) y[c] = (x[c] - mean[c]) * factor[c] + shift[c];
    }
}

// lanes: mean, factor, shift, slope
OD_CLONES static void od_lane_gradient(const float *dy, const float *x, float *dx, int64_t rows,
                                       int64_t n, const float *lanes)
{
    const float *mean = lanes, *factor = lanes + n;
    const float *shift = lanes + 2 * n, *slope = lanes + 3 * n;
    for (int64_t r = 0; r < rows; r++, x += n, dy += n, dx += n) {
        OD_SIMD
        for (int64_t c = 0; c < n; c++)
            dx[c] = (dy[c] * factor[c] + shift[c]) + (x[c] - mean[c]) * slope[c];
    }
}

// ------------------------------------------------------------------ groups

static double *sums_of(const job *j, int64_t sample, int64_t piece)
{
    return j->sums + (sample * j->g->pieces + piece) * 2 * j->g->all;
}

static float *lanes_of(const job *j, int64_t sample)
{
    return j->lanes + sample * LANES * j->g->all;
}

// Sum `which` of channel c of a sample.
static double total(const job *j, int64_t sample, int which, int64_t c)
{
    double sum = 0;
    for (int64_t p = 0; p < j->g->pieces; p++) sum += sums_of(j, sample, p)[which * j->g->all + c];
    return sum;
}

// From the sums of group i to the lanes of its channels.
static void find_scales(const job *j, int64_t i)
{
    const groups *g = j->g;
    const int64_t sample = i / g->groups, first = i % g->groups * g->channels;
    const double n = (double)(g->channels * g->inner);
    float *lanes = lanes_of(j, sample);
    double sum = 0, squares = 0;
    for (int64_t c = first; c < first + g->channels; c++) {
        sum += total(j, sample, 0, c);
        squares += total(j, sample, 1, c);
    }
    const double mean = sum / n, rest = mean - (double)(float)mean;
    double var = (squares - mean * sum) / n;
    if (var < 0) var = 0;
    const double std = sqrt(var + g->eps);
    j->own_mean[i] = (float)mean;
    j->own_spread[i] = (float)(g->variance ? var : std);
    for (int64_t c = first; c < first + g->channels; c++) {
        const double factor = (double)j->gamma[c] / std;
        lanes[c] = (float)mean;
        lanes[g->all + c] = (float)factor;
        lanes[2 * g->all + c] = (float)((double)j->beta[c] - rest * factor);
    }
}

static void find_slopes(const job *j, int64_t i)
{
    const groups *g = j->g;
    const int64_t sample = i / g->groups, first = i % g->groups * g->channels;
    const double n = (double)(g->channels * g->inner), rate = 1 / (double)j->stds[i];
    float *lanes = lanes_of(j, sample);
    double level = 0, slope = 0;
    for (int64_t c = first; c < first + g->channels; c++) {
        level += (double)j->gamma[c] * total(j, sample, 0, c);
        slope += (double)j->gamma[c] * total(j, sample, 1, c);
    }
    for (int64_t c = first; c < first + g->channels; c++) {
        lanes[c] = j->means[i];
        lanes[g->all + c] = (float)((double)j->gamma[c] * rate);
        lanes[2 * g->all + c] = (float)(-level / n * rate);
        lanes[3 * g->all + c] = (float)(-slope / n * rate * rate * rate);
    }
}

// ------------------------------------------------------------------ row-major

static void some_groups(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const groups *g = j->g;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t sample = i / g->groups, first = i % g->groups * g->channels;
        double *sums = sums_of(j, sample, 0);
        const float *lanes = lanes_of(j, sample);
        for (int64_t c = first; c < first + g->channels; c++) {
            const int64_t at = (sample * g->all + c) * g->inner;
            double of[2];
            if (j->dy)
                od_plane_products(j->dy + at, j->x + at, g->inner, j->means[i], of);
            else
                od_plane_sums(j->x + at, g->inner, of);
            sums[c] = of[0], sums[g->all + c] = of[1];
        }
        (j->dy ? find_slopes : find_scales)(j, i);
        for (int64_t c = first; c < first + g->channels; c++) {
            const int64_t at = (sample * g->all + c) * g->inner;
            float of[LANES];
            for (int l = 0; l < LANES - 1; l++) of[l] = lanes[l * g->all + c];
            if (j->dy)
                od_plane_gradient(j->dy + at, j->x + at, j->out + at, g->inner, of);
            else
                od_plane_scale(j->x + at, j->out + at, g->inner, of);
        }
    }
}

// ------------------------------------------------------------------ channels last

typedef struct span {
    int64_t at, rows; // its first element
} span;

static span span_of(const groups *g, int64_t sample, int64_t piece)
{
    const int64_t left = g->inner - piece * g->each;
    return (span){(sample * g->inner + piece * g->each) * g->all, left < g->each ? left : g->each};
}

static void piece_sums(const job *j, int64_t sample, int64_t piece)
{
    const groups *g = j->g;
    const span s = span_of(g, sample, piece);
    double *sums = sums_of(j, sample, piece);
    memset(sums, 0, (size_t)(2 * g->all) * sizeof *sums);
    if (!j->dy) {
        od_lane_sums(j->x + s.at, s.rows, g->all, sums, sums + g->all);
        return;
    }
    float *mean = lanes_of(j, sample) + (LANES - 1) * g->all;
    od_lane_products(j->dy + s.at, j->x + s.at, s.rows, g->all, mean,
                     (double *[]){sums, sums + g->all});
}

static void piece_results(const job *j, int64_t sample, int64_t piece)
{
    const groups *g = j->g;
    const span s = span_of(g, sample, piece);
    const float *lanes = lanes_of(j, sample);
    if (j->dy)
        od_lane_gradient(j->dy + s.at, j->x + s.at, j->out + s.at, s.rows, g->all, lanes);
    else
        od_lane_scale(j->x + s.at, j->out + s.at, s.rows, g->all, lanes);
}

// The mean of each channel's group, before the sums of a gradient are made.
static void spread_means(const job *j, int64_t sample)
{
    const groups *g = j->g;
    float *mean = lanes_of(j, sample) + (LANES - 1) * g->all;
    for (int64_t c = 0; j->dy && c < g->all; c++)
        mean[c] = j->means[sample * g->groups + c / g->channels];
}

static void find_lanes(const job *j, int64_t sample)
{
    for (int64_t i = 0; i < j->g->groups; i++)
        (j->dy ? find_slopes : find_scales)(j, sample * j->g->groups + i);
}

static void some_samples(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    (void)worker;
    for (int64_t s = begin; s < end; s++) {
        spread_means(j, s);
        piece_sums(j, s, 0);
        find_lanes(j, s);
        piece_results(j, s, 0);
    }
}

static void some_sums(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    (void)worker;
    for (int64_t p = begin; p < end; p++) piece_sums(j, j->sample, p);
}

static void some_results(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    (void)worker;
    for (int64_t p = begin; p < end; p++) piece_results(j, j->sample, p);
}

static void run_job(const tn_sdk_kernel *k, const tn_run_args *a, job *j)
{
    const groups *g = j->g;
    j->sums = a->scratch.host;
    j->lanes = (float *)(void *)((char *)a->scratch.host + g->lanes);
    if (!g->last) {
        od_items(k, a, g->samples * g->groups, g->channels * g->inner, some_groups, j);
    } else if (g->pieces == 1) {
        od_items(k, a, g->samples, g->inner * g->all, some_samples, j);
    } else {
        for (j->sample = 0; j->sample < g->samples; j->sample++) {
            spread_means(j, j->sample);
            tn_parallel(k, a, g->pieces, 1, some_sums, j);
            find_lanes(j, j->sample);
            tn_parallel(k, a, g->pieces, 1, some_results, j);
        }
    }
}

// ------------------------------------------------------------------ runs

// data, gamma, beta → output, mean, std or variance
static tn_status forward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    job j = {.g = k->state,
             .x = a->in[0].host,
             .gamma = a->in[1].host,
             .beta = a->in[2].host,
             .out = a->out[0].host,
             .own_mean = a->out[1].host,
             .own_spread = a->out[2].host};
    run_job(k, a, &j);
    return TN_OK;
}

// dy, data, gamma, mean, std → dx, dgamma, dbeta
static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const groups *g = k->state;
    job j = {.g = g,
             .dy = a->in[0].host,
             .x = a->in[1].host,
             .gamma = a->in[2].host,
             .means = a->in[3].host,
             .stds = a->in[4].host,
             .out = a->out[0].host};
    float *dgamma = a->out[1].host, *dbeta = a->out[2].host;
    run_job(k, a, &j);
    for (int64_t c = 0; c < g->all; c++) {
        double sum = 0, products = 0;
        for (int64_t s = 0; s < g->samples; s++) {
            sum += total(&j, s, 0, c);
            products += total(&j, s, 1, c) / (double)j.stds[s * g->groups + c / g->channels];
        }
        dbeta[c] = (float)sum, dgamma[c] = (float)products;
    }
    return TN_OK;
}

#define ROW(op_, run_)                                                                    \
    {                                                                                     \
        .op = op_, .dtypes = TN_BIT(TN_F32), .flags = OD_FLAGS | TN_K_DETERMINISTIC,      \
        .impl = OD_LOOPS, .state_size = sizeof(groups), .cannot = cannot, .setup = setup, \
        .run = run_, .layouts = layouts                                                   \
    }

const tn_kernel_row onednn_groups[] = {
    ROW("GroupNorm", forward),
    ROW("InstanceNorm", forward),
    ROW("_backward_GroupNorm", backward),
    {0},
};
