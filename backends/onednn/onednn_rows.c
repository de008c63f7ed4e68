// backends/onednn/onednn_rows.c: batch normalisation where channels lie last and their number is no
// multiple of a vector: oneDNN 2.6 has plain loops for that, up to ten times as slow.
//
//     y = f x + s,  f = gamma / sqrt(var + eps),  s = beta - mean f
//     dbeta = sum dy,  dgamma = sum dy (x - mean) / sqrt(var + eps)
//     dx = f dy                                                                  stored statistics
//     dx = f (dy - dbeta / m - (x - mean) dgamma / (m sqrt(var + eps)))      the batch's, of m rows
//
// Rows are taken some at a time, so that a line of them is a multiple of a vector long, and what
// belongs to a channel is spread over the lanes of a line. Sums are floats for 32 lines, then
// doubles, in pieces that only the sizes decide: the same bits with any number of threads.
//
// With relu behind it, the gradient computes again from the data and from f and s of the forward
// whether a result was positive: both compute it in the same way.
#include "onednn_rows.h"

#include <math.h>

#include "onednn_loops.h"

enum {
    VECTOR = 16,
    SHORTEST = 64,   // lanes, if rows are shorter
    LONGEST = 4096,  // a line of more than one row is not longer
    LINES = 32,      // whose sums are floats
    MOST_PIECES = 8, //
    PIECE = 1 << 14, // elements at least, if there are several
    COEFFICIENTS = 6 // of a lane: see lanes_of
};

// Parts of the scratch memory, all of them `lanes` long.
typedef struct coefficients {
    float *mean, *factor, *shift;  // of forward
    float *scale, *slope, *offset; // dx = scale dy + slope (x - mean) + offset
    double *sums;                  // (pieces, 2, lanes)
    float *partial;                // (pieces, 2, lanes)
} coefficients;

typedef struct job {
    const od_rows *r;
    coefficients c;
    const float *x, *dy;
    float *out;
    bool batch;
} job;

// ------------------------------------------------------------------ sizes

static int64_t divisor(int64_t a, int64_t b)
{
    return b ? divisor(b, a % b) : a;
}

static int64_t lanes_of(int64_t channels)
{
    int64_t lanes = channels / divisor(channels, VECTOR) * VECTOR;
    if (lanes > LONGEST) return channels;
    while (lanes < SHORTEST) lanes *= 2;
    return lanes;
}

bool od_rows_init(od_rows *r, const tn_value_info *x, int64_t axis, tn_kernel_info *info)
{
    const dnnl_memory_desc_t last = od_last(x);
    int64_t inner = 1;
    *r = (od_rows){0};
    for (int64_t i = axis + 1; i < x->ndim; i++) inner *= x->dims[i];
    const bool lies_last = axis == 1 && od_fits(&last, x);
    if (x->dtype == TN_F32 && !x->layout.domain && inner > 1 && !lies_last) {
        *r = (od_rows){.channels = x->dims[axis], .elements = x->size, .plane = inner};
        return true;
    }
    if (x->dtype != TN_F32 || od_is_narrow(&x->layout) || x->dims[axis] % VECTOR == 0) return false;
    if (!lies_last && (x->layout.domain || inner != 1)) return false;
    const int64_t lanes = lanes_of(x->dims[axis]), lines = (x->size + lanes - 1) / lanes;
    const int64_t least = PIECE / lanes + 1;
    const int64_t pieces = lines / least < 1             ? 1
                           : lines / least > MOST_PIECES ? MOST_PIECES
                                                         : lines / least;
    *r = (od_rows){.channels = x->dims[axis],
                   .elements = x->size,
                   .lanes = lanes,
                   .each = (lines + pieces - 1) / pieces,
                   .scratch = (info->scratch_bytes + 63) / 64 * 64};
    r->pieces = (lines + r->each - 1) / r->each;
    info->scratch_bytes =
        r->scratch + (uint64_t)(lanes * (COEFFICIENTS + r->pieces * 6)) * sizeof(float);
    return true;
}

static coefficients coefficients_of(const tn_run_args *a, const od_rows *r)
{
    float *at = (float *)(void *)((char *)a->scratch.host + r->scratch);
    coefficients c = {.sums = (double *)(void *)at};
    float **const parts[] = {&c.mean, &c.factor, &c.shift, &c.scale, &c.slope, &c.offset};
    at += r->pieces * 2 * r->lanes * 2;
    c.partial = at;
    at += r->pieces * 2 * r->lanes;
    for (int i = 0; i < COEFFICIENTS; i++) *parts[i] = at + i * r->lanes;
    return c;
}

static void spread(const od_rows *r, float *lanes)
{
    for (int64_t j = r->channels; j < r->lanes; j++) lanes[j] = lanes[j - r->channels];
}

// ------------------------------------------------------------------ loops

typedef struct span {
    int64_t begin, end; // elements
    float *partial[2];
    double *sums[2];
} span;

static span span_of(const job *j, int64_t piece)
{
    const od_rows *r = j->r;
    const int64_t begin = piece * r->each * r->lanes, end = begin + r->each * r->lanes;
    span s = {begin, end < r->elements ? end : r->elements, {NULL}, {NULL}};
    for (int64_t i = 0; i < 2; i++) {
        s.partial[i] = j->c.partial + (2 * piece + i) * r->lanes;
        s.sums[i] = j->c.sums + (2 * piece + i) * r->lanes;
    }
    return s;
}

#define INLINE static inline __attribute__((always_inline))

INLINE void od_clear(const od_rows *r, const span *s)
{
    for (int i = 0; i < 2; i++) {
        memset(s->partial[i], 0, (size_t)r->lanes * sizeof(float));
        memset(s->sums[i], 0, (size_t)r->lanes * sizeof(double));
    }
}

// sums += partial, after every LINES lines and at the end.
INLINE void od_flush(const od_rows *r, const span *s, int64_t next)
{
    if (next < s->end && (next - s->begin) / r->lanes % LINES != 0) return;
    for (int i = 0; i < 2; i++) {
        float *partial = s->partial[i];
        double *sums = s->sums[i];
        OD_SIMD
        for (int64_t j = 0; j < r->lanes; j++) {
            sums[j] += (double)partial[j];
            partial[j] = 0;
        }
    }
}

// Of x in sums[0]; with a mean of the squares of x - mean in sums[1], too.
OD_CLONES static void od_rows_sums(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const int64_t lanes = j->r->lanes;
    const float *mean = j->c.mean;
    (void)worker;
    for (int64_t piece = begin; piece < end; piece++) {
        const span s = span_of(j, piece);
        float *sum = s.partial[0], *squares = s.partial[1];
        od_clear(j->r, &s);
        for (int64_t i = s.begin; i < s.end; i += lanes) {
            const int64_t n = s.end - i < lanes ? s.end - i : lanes;
            const float *x = j->x + i;
            if (!j->batch) {
                OD_SIMD
                for (int64_t l = 0; l < n; l++) sum[l] += x[l];
            } else {
                OD_SIMD
                for (int64_t l = 0; l < n; l++) squares[l] += (x[l] - mean[l]) * (x[l] - mean[l]);
            }
            od_flush(j->r, &s, i + lanes);
        }
    }
}

OD_CLONES static void od_rows_scale(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const int64_t lanes = j->r->lanes;
    const float *f = j->c.factor, *t = j->c.shift;
    (void)worker;
    for (int64_t piece = begin; piece < end; piece++) {
        const span s = span_of(j, piece);
        for (int64_t i = s.begin; i < s.end; i += lanes) {
            const int64_t n = s.end - i < lanes ? s.end - i : lanes;
            const float *x = j->x + i;
            float *y = j->out + i;
            if (j->r->relu) {
                OD_SIMD
                for (int64_t l = 0; l < n; l++) {
                    const float v = x[l] * f[l] + t[l];
                    y[l] = v > 0 ? v : 0;
                }
            } else {
                OD_SIMD
                for (int64_t l = 0; l < n; l++) y[l] = x[l] * f[l] + t[l];
            }
        }
    }
}

// Of dy in sums[0], of dy (x - mean) in sums[1].
OD_CLONES static void od_rows_back_sums(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const int64_t lanes = j->r->lanes;
    const float *f = j->c.factor, *t = j->c.shift, *mean = j->c.mean;
    (void)worker;
    for (int64_t piece = begin; piece < end; piece++) {
        const span s = span_of(j, piece);
        float *sum = s.partial[0], *products = s.partial[1];
        od_clear(j->r, &s);
        for (int64_t i = s.begin; i < s.end; i += lanes) {
            const int64_t n = s.end - i < lanes ? s.end - i : lanes;
            const float *x = j->x + i, *dy = j->dy + i;
            if (j->r->relu) {
                OD_SIMD
                for (int64_t l = 0; l < n; l++) {
                    const float v = x[l] * f[l] + t[l], g = v > 0 ? dy[l] : 0;
                    sum[l] += g;
                    products[l] += g * (x[l] - mean[l]);
                }
            } else {
                OD_SIMD
                for (int64_t l = 0; l < n; l++) {
                    sum[l] += dy[l];
                    products[l] += dy[l] * (x[l] - mean[l]);
                }
            }
            od_flush(j->r, &s, i + lanes);
        }
    }
}

OD_CLONES static void od_rows_dx(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const int64_t lanes = j->r->lanes;
    const float *f = j->c.factor, *t = j->c.shift, *mean = j->c.mean;
    const float *scale = j->c.scale, *slope = j->c.slope, *offset = j->c.offset;
    (void)worker;
    for (int64_t piece = begin; piece < end; piece++) {
        const span s = span_of(j, piece);
        for (int64_t i = s.begin; i < s.end; i += lanes) {
            const int64_t n = s.end - i < lanes ? s.end - i : lanes;
            const float *x = j->x + i, *dy = j->dy + i;
            float *dx = j->out + i;
            if (j->r->relu) {
                OD_SIMD
                for (int64_t l = 0; l < n; l++) {
                    const float v = x[l] * f[l] + t[l], g = v > 0 ? dy[l] : 0;
                    dx[l] = scale[l] * g + (slope[l] * (x[l] - mean[l]) + offset[l]);
                }
            } else {
                OD_SIMD
                for (int64_t l = 0; l < n; l++)
                    dx[l] = scale[l] * dy[l] + (slope[l] * (x[l] - mean[l]) + offset[l]);
            }
        }
    }
}

// ------------------------------------------------------------------ channels

// Sum i of channel c over all pieces and lanes.
static double total(const job *j, int64_t i, int64_t c)
{
    double sum = 0;
    for (int64_t piece = 0; piece < j->r->pieces; piece++)
        for (int64_t l = c; l < j->r->lanes; l += j->r->channels)
            sum += j->c.sums[(2 * piece + i) * j->r->lanes + l];
    return sum;
}

static void each_piece(const tn_sdk_kernel *k, const tn_run_args *a, job *j, tn_range_fn fn)
{
    tn_parallel(k, a, j->r->pieces, 1, fn, j);
}

// Mean into the lanes, variance into c.shift, for now.
static void moments(const tn_sdk_kernel *k, const tn_run_args *a, job *j, const od_rows_forward *f)
{
    const od_rows *r = j->r;
    const double m = (double)(r->elements / r->channels);
    for (int64_t c = 0; f->mean && c < r->channels; c++) {
        j->c.mean[c] = f->mean[c];
        j->c.shift[c] = f->var[c];
    }
    if (f->mean) return;
    j->batch = false;
    each_piece(k, a, j, od_rows_sums);
    for (int64_t c = 0; c < r->channels; c++) j->c.mean[c] = (float)(total(j, 0, c) / m);
    spread(r, j->c.mean);
    j->batch = true;
    each_piece(k, a, j, od_rows_sums);
    for (int64_t c = 0; c < r->channels; c++) j->c.shift[c] = (float)(total(j, 1, c) / m);
}

void od_rows_run(const tn_sdk_kernel *k, const tn_run_args *a, const od_rows *r,
                 const od_rows_forward *f)
{
    if (r->plane) {
        od_planes_run(k, a, r, f);
        return;
    }
    job j = {.r = r, .c = coefficients_of(a, r), .x = f->x, .out = f->y};
    const size_t bytes = (size_t)r->channels * sizeof(float);
    moments(k, a, &j, f);
    if (f->own_mean) memcpy(f->own_mean, j.c.mean, bytes);
    if (f->own_var) memcpy(f->own_var, j.c.shift, bytes);
    for (int64_t c = 0; c < r->channels; c++) {
        const double gamma = f->gamma ? (double)f->gamma[c] : 1;
        const double factor = gamma / sqrt((double)j.c.shift[c] + r->eps);
        j.c.factor[c] = (float)factor;
        j.c.shift[c] = (float)((double)f->beta[c] - (double)j.c.mean[c] * factor);
    }
    if (r->relu) {
        memcpy(a->stash.host, j.c.factor, bytes);
        memcpy((char *)a->stash.host + bytes, j.c.shift, bytes);
    }
    if (!f->y) return;
    spread(r, j.c.factor);
    spread(r, j.c.shift);
    each_piece(k, a, &j, od_rows_scale);
}

void od_rows_back(const tn_sdk_kernel *k, const tn_run_args *a, const od_rows *r,
                  const od_rows_backward *b)
{
    if (r->plane) {
        od_planes_back(k, a, r, b);
        return;
    }
    job j = {.r = r, .c = coefficients_of(a, r), .x = b->x, .dy = b->dy, .out = b->dx};
    const size_t bytes = (size_t)r->channels * sizeof(float);
    const double m = (double)(r->elements / r->channels);
    memcpy(j.c.mean, b->mean, bytes);
    spread(r, j.c.mean);
    if (r->relu) {
        memcpy(j.c.factor, a->stash.host, bytes);
        memcpy(j.c.shift, (char *)a->stash.host + bytes, bytes);
        spread(r, j.c.factor);
        spread(r, j.c.shift);
    }
    each_piece(k, a, &j, od_rows_back_sums);
    for (int64_t c = 0; c < r->channels; c++) {
        const double rate = 1 / sqrt((double)b->var[c] + r->eps);
        const double scale = (b->gamma ? (double)b->gamma[c] : 1) * rate;
        const double sum = total(&j, 0, c), products = total(&j, 1, c);
        if (b->dbeta) b->dbeta[c] = (float)sum;
        if (b->dgamma) b->dgamma[c] = (float)(products * rate);
        j.c.scale[c] = (float)scale;
        j.c.slope[c] = b->batch ? (float)(-scale * rate * rate * products / m) : 0;
        j.c.offset[c] = b->batch ? (float)(-scale * sum / m) : 0;
    }
    if (!b->dx) return;
    spread(r, j.c.scale);
    spread(r, j.c.slope);
    spread(r, j.c.offset);
    each_piece(k, a, &j, od_rows_dx);
}
