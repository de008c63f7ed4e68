// backends/onednn/onednn_planes.c: batch normalisation of row-major pictures, for which oneDNN 2.6
// has plain loops: each channel has a plane of contiguous elements in every sample.
//
// The formulas are those of onednn_rows.c. Items are channels, sums are double.
#include <math.h>

#include "onednn_loops.h"
#include "onednn_rows.h"

typedef struct job {
    const od_rows *r;
    const od_rows_forward *f;
    const od_rows_backward *b;
    float *stash; // with relu: factors, then shifts
} job;

// ------------------------------------------------------------------ loops

// sums += Σ x, Σ x²
OD_CLONES static void od_planes_moments(const float *x, int64_t n, double sums[2])
{
    double sum = 0, squares = 0;
    _Pragma("omp simd reduction(+ : sum, squares)") for (int64_t i = 0; i < n; i++)
    {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    sums[0] += sum;
    sums[1] += squares;
}

// of: factor, shift
OD_CLONES static void od_planes_scale(const float *x, float *y, int64_t n, const float of[2])
{
    const float f = of[0], t = of[1];
    OD_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * f + t;
}

OD_CLONES static void od_planes_scale_relu(const float *x, float *y, int64_t n, const float of[2])
{
    const float f = of[0], t = of[1];
    OD_SIMD
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] * f + t;
        y[i] = v > 0 ? v : 0;
    }
}

// What a gradient knows of a channel.
typedef struct channel {
    float mean, factor, shift;  // of forward, the latter two with relu
    float scale, slope, offset; // dx = scale dy + slope (x - mean) + offset
} channel;

// sums += Σ dy, Σ dy (x - mean)
OD_CLONES static void od_planes_products(const float *dy, const float *x, int64_t n,
                                         const channel *c, double sums[2])
{
    const float mean = c->mean;
    double sum = 0, products = 0;
    _Pragma("omp simd reduction(+ : sum, products)") for (int64_t i = 0; i < n; i++)
    {
        sum += (double)dy[i];
        products += (double)dy[i] * (double)(x[i] - mean);
    }
    sums[0] += sum;
    sums[1] += products;
}

OD_CLONES static void od_planes_products_relu(const float *dy, const float *x, int64_t n,
                                              const channel *c, double sums[2])
{
    const float mean = c->mean, f = c->factor, t = c->shift;
    double sum = 0, products = 0;
    _Pragma("omp simd reduction(+ : sum, products)") for (int64_t i = 0; i < n; i++)
    {
        const float v = x[i] * f + t, g = v > 0 ? dy[i] : 0;
        sum += (double)g;
        products += (double)g * (double)(x[i] - mean);
    }
    sums[0] += sum;
    sums[1] += products;
}

OD_CLONES static void od_planes_dx(const float *dy, const float *x, float *dx, int64_t n,
                                   const channel *c)
{
    const float mean = c->mean, scale = c->scale, slope = c->slope, offset = c->offset;
    OD_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = scale * dy[i] + (slope * (x[i] - mean) + offset);
}

OD_CLONES static void od_planes_dx_relu(const float *dy, const float *x, float *dx, int64_t n,
                                        const channel *c)
{
    const float mean = c->mean, scale = c->scale, slope = c->slope, offset = c->offset;
    const float f = c->factor, t = c->shift;
    OD_SIMD
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] * f + t, g = v > 0 ? dy[i] : 0;
        dx[i] = scale * g + (slope * (x[i] - mean) + offset);
    }
}

// ------------------------------------------------------------------ channels

static int64_t samples_of(const od_rows *r)
{
    return r->elements / (r->channels * r->plane);
}

// Where the plane of channel c in a sample begins.
static int64_t plane_at(const od_rows *r, int64_t sample, int64_t c)
{
    return (sample * r->channels + c) * r->plane;
}

static void some_forward(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const od_rows *r = j->r;
    const od_rows_forward *f = j->f;
    const int64_t samples = samples_of(r);
    const double n = (double)(samples * r->plane);
    (void)worker;
    for (int64_t c = begin; c < end; c++) {
        double sums[2] = {0, 0}, mean = f->mean ? (double)f->mean[c] : 0;
        double var = f->mean ? (double)f->var[c] : 0;
        for (int64_t s = 0; s < samples && !f->mean; s++)
            od_planes_moments(f->x + plane_at(r, s, c), r->plane, sums);
        if (!f->mean) {
            mean = sums[0] / n;
            var = (sums[1] - mean * sums[0]) / n;
            if (var < 0) var = 0;
        }
        const double factor = (f->gamma ? (double)f->gamma[c] : 1) / sqrt(var + r->eps);
        const float of[2] = {(float)factor, (float)((double)f->beta[c] - mean * factor)};
        if (f->own_mean) f->own_mean[c] = (float)mean;
        if (f->own_var) f->own_var[c] = (float)var;
        if (r->relu) j->stash[c] = of[0], j->stash[r->channels + c] = of[1];
        for (int64_t s = 0; s < samples && f->y; s++) {
            const int64_t at = plane_at(r, s, c);
            (r->relu ? od_planes_scale_relu : od_planes_scale)(f->x + at, f->y + at, r->plane, of);
        }
    }
}

static void some_backward(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const od_rows *r = j->r;
    const od_rows_backward *b = j->b;
    const int64_t samples = samples_of(r);
    const double n = (double)(samples * r->plane);
    (void)worker;
    for (int64_t c = begin; c < end; c++) {
        channel of = {.mean = b->mean[c]};
        double sums[2] = {0, 0};
        if (r->relu) of.factor = j->stash[c], of.shift = j->stash[r->channels + c];
        for (int64_t s = 0; s < samples; s++) {
            const int64_t at = plane_at(r, s, c);
            (r->relu ? od_planes_products_relu : od_planes_products)(b->dy + at, b->x + at,
                                                                     r->plane, &of, sums);
        }
        const double rate = 1 / sqrt((double)b->var[c] + r->eps);
        const double scale = (b->gamma ? (double)b->gamma[c] : 1) * rate;
        if (b->dbeta) b->dbeta[c] = (float)sums[0];
        if (b->dgamma) b->dgamma[c] = (float)(sums[1] * rate);
        of.scale = (float)scale;
        if (b->batch) {
            of.slope = (float)(-scale * rate * rate * sums[1] / n);
            of.offset = (float)(-scale * sums[0] / n);
        }
        for (int64_t s = 0; s < samples && b->dx; s++) {
            const int64_t at = plane_at(r, s, c);
            (r->relu ? od_planes_dx_relu : od_planes_dx)(b->dy + at, b->x + at, b->dx + at,
                                                         r->plane, &of);
        }
    }
}

void od_planes_run(const tn_sdk_kernel *k, const tn_run_args *a, const od_rows *r,
                   const od_rows_forward *f)
{
    job j = {.r = r, .f = f, .stash = a->stash.host};
    od_items(k, a, r->channels, r->elements / r->channels, some_forward, &j);
}

void od_planes_back(const tn_sdk_kernel *k, const tn_run_args *a, const od_rows *r,
                    const od_rows_backward *b)
{
    job j = {.r = r, .b = b, .stash = a->stash.host};
    od_items(k, a, r->channels, r->elements / r->channels, some_backward, &j);
}
