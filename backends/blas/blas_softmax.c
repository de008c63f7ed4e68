// backends/blas/blas_softmax.c: softmax and log_softmax along one axis.
//
// Lines along the last axis are worked on one by one. Along another axis the elements of a line lie
// apart, so BLAS_COLUMNS neighbouring lines are worked on together, each step a row of them.
#ifndef T

#include "blas.h"

enum {
    BLAS_COLUMNS = 64,
    SHORT = 16, // elements: a vector of float
    LANES = 32
};

typedef struct softmax_run {
    const blas_softmax *s;
    const void *x, *y;
    void *out;
    int64_t blocks; // of columns in a plane
} softmax_run;

#define THIS_FILE "blas_softmax.c"
#include "blas_each_type.h"

// What to do with lines along the last axis, and with columns along another one.
typedef struct ways {
    tn_range_fn lines, columns;
} ways;

static void over_lines(const tn_sdk_kernel *k, const tn_run_args *a, softmax_run *r, ways way)
{
    const tn_line l = r->s->line;
    if (l.outer * l.n * l.inner == 0) return;
    if (l.inner == 1) {
        blas_items(k, a, l.outer, l.n, BLAS_COSTLY, way.lines, r);
        return;
    }
    r->blocks = (l.inner + BLAS_COLUMNS - 1) / BLAS_COLUMNS;
    const int64_t width = l.inner < BLAS_COLUMNS ? l.inner : BLAS_COLUMNS;
    blas_items(k, a, l.outer * r->blocks, l.n * width, BLAS_COSTLY, way.columns, r);
}

void blas_softmax_forward(const tn_sdk_kernel *k, const tn_run_args *a, const blas_softmax *s)
{
    softmax_run r = {.s = s, .x = blas_in(a, 0), .out = blas_out(a, 0)};
    const bool f64 = k->call->in[0]->dtype == TN_F64;
    over_lines(k, a, &r, f64 ? (ways){lines_f64, columns_f64} : (ways){lines_f32, columns_f32});
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_softmax *s = k->state;
    const tn_value_info *x = k->call->in[0];
    const int32_t axis = blas_axis_param(k->call, "axis", -1, x->ndim);
    if (axis < 0) return blas_no_axis(k, "axis");
    s->line = tn_around(x, axis);
    s->temperature = tn_call_f64(k->call, "temperature", NAN);
    if (isnan(s->temperature)) s->temperature = 1; // None
    s->logarithm = strstr(k->call->op->name, "log_softmax") != NULL;
    for (uint32_t i = 0; i < k->call->n_in; i++) blas_inplace(k, info, i);
    return TN_OK;
}

static tn_status forward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_softmax_forward(k, a, k->state);
    return TN_OK;
}

static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    softmax_run r = {k->state, blas_in(a, 0), blas_in(a, 1), blas_out(a, 0), 0};
    const bool f64 = k->call->in[0]->dtype == TN_F64;
    over_lines(k, a, &r,
               f64 ? (ways){backward_lines_f64, backward_columns_f64}
                   : (ways){backward_lines_f32, backward_columns_f32});
    return TN_OK;
}

#define ROW(op_, run_)                                                                            \
    {                                                                                             \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(blas_softmax), \
        .setup = setup, .run = run_                                                               \
    }

const tn_kernel_row blas_softmaxes[] = {
    ROW("softmax", forward),
    ROW("log_softmax", forward),
    ROW("_backward_softmax", backward),
    ROW("_backward_log_softmax", backward),
    {0},
};

#else // once per type

// The largest x / t of a line, in which NaN does not count.
BLAS_INLINE T N(line_max)(const T *x, int64_t n, T scale)
{
    T max = (T)-INFINITY;
    BLAS_SIMD_MAX(max)
    for (int64_t i = 0; i < n; i++) max = x[i] * scale > max ? x[i] * scale : max;
    return max;
}

// y = exp(x / t − max) / Σ exp(x / t − max), which cannot overflow
BLAS_CLONES static void N(softmax_line)(const T *x, T *y, int64_t n, T scale)
{
    const T max = N(line_max)(x, n, scale);
    double sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) {
        const T v = EXP(x[i] * scale - max);
        y[i] = v;
        sum += (double)v;
    }
    const T share = (T)(1 / sum);
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] *= share;
}

// y = x / t − max − log Σ exp(x / t − max)
BLAS_CLONES static void N(log_softmax_line)(const T *x, T *y, int64_t n, T scale)
{
    const T max = N(line_max)(x, n, scale);
    double sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += (double)EXP(x[i] * scale - max);
    const T rest = (T)log(sum);
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] * scale - max) - rest;
}

// The same for lines so short that a vector holds most of one: padded with −∞ to a fixed length.
BLAS_CLONES static void N(short_line)(const T *x, T *y, int64_t n, T scale, bool logarithm)
{
    T v[SHORT], e[SHORT], max = (T)-INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < SHORT; i++) v[i] = (T)-INFINITY;
    for (int64_t i = 0; i < n; i++) v[i] = x[i] * scale;
    BLAS_SIMD_MAX(max)
    for (int64_t i = 0; i < SHORT; i++) max = v[i] > max ? v[i] : max;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < SHORT; i++) {
        v[i] = v[i] - max;
        e[i] = EXP(v[i]);
        sum += (double)e[i];
    }
    const T rest = (T)(logarithm ? log(sum) : 1 / sum);
    for (int64_t i = 0; i < n; i++) y[i] = logarithm ? v[i] - rest : e[i] * rest;
}

static void N(lines)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const softmax_run *r = ctx;
    const int64_t n = r->s->line.n;
    const T scale = (T)(1 / r->s->temperature);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const T *x = (const T *)r->x + i * n;
        T *y = (T *)r->out + i * n;
        if (IS_F32 && n <= SHORT)
            N(short_line)(x, y, n, scale, r->s->logarithm);
        else
            (r->s->logarithm ? N(log_softmax_line) : N(softmax_line))(x, y, n, scale);
    }
}

// One step of `width` lines side by side: max[j] = the larger of it and x[j] / t
BLAS_CLONES static void N(max_step)(const T *x, T *max, int64_t width, T scale)
{
    BLAS_SIMD
    for (int64_t j = 0; j < width; j++) max[j] = x[j] * scale > max[j] ? x[j] * scale : max[j];
}

// y = exp(x / t − max), or for the logarithm x / t − max; the exponentials are summed up.
BLAS_CLONES static void N(exp_step)(const T *x, T *y, const T *max, double *sum, int64_t width,
                                    T scale)
{
    BLAS_SIMD
    for (int64_t j = 0; j < width; j++) {
        const T e = EXP(x[j] * scale - max[j]);
        y[j] = e;
        sum[j] += (double)e;
    }
}

BLAS_CLONES static void N(log_step)(const T *x, T *y, const T *max, double *sum, int64_t width,
                                    T scale)
{
    BLAS_SIMD
    for (int64_t j = 0; j < width; j++) {
        const T v = x[j] * scale - max[j];
        y[j] = v;
        sum[j] += (double)EXP(v);
    }
}

BLAS_CLONES static void N(last_step)(T *y, const T *rest, int64_t width, bool logarithm)
{
    if (logarithm) {
        BLAS_SIMD
        for (int64_t j = 0; j < width; j++) y[j] -= rest[j];
    } else {
        BLAS_SIMD
        for (int64_t j = 0; j < width; j++) y[j] *= rest[j];
    }
}

// Lines of n elements that are `step` apart, `width` of them side by side; size: n, step, width.
static void N(block)(const T *x, T *y, const int64_t size[3], T scale, bool logarithm)
{
    const int64_t end = size[0] * size[1], step = size[1], width = size[2];
    T max[BLAS_COLUMNS], rest[BLAS_COLUMNS];
    double sum[BLAS_COLUMNS] = {0};
    for (int64_t j = 0; j < width; j++) max[j] = (T)-INFINITY;
    for (int64_t i = 0; i < end; i += step) N(max_step)(x + i, max, width, scale);
    for (int64_t i = 0; i < end; i += step)
        (logarithm ? N(log_step) : N(exp_step))(x + i, y + i, max, sum, width, scale);
    for (int64_t j = 0; j < width; j++) rest[j] = (T)(logarithm ? log(sum[j]) : 1 / sum[j]);
    for (int64_t i = 0; i < end; i += step) N(last_step)(y + i, rest, width, logarithm);
}

static void N(columns)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const softmax_run *r = ctx;
    const tn_line l = r->s->line;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t j = i % r->blocks * BLAS_COLUMNS, at = i / r->blocks * l.n * l.inner + j;
        const int64_t left = l.inner - j;
        const int64_t size[3] = {l.n, l.inner, left < BLAS_COLUMNS ? left : BLAS_COLUMNS};
        N(block)
        ((const T *)r->x + at, (T *)r->out + at, size, (T)(1 / r->s->temperature), r->s->logarithm);
    }
}

// softmax:      dx = y (dy − Σ dy y) / t
// log_softmax:  dx = (dy − exp(y) Σ dy) / t
// Σ dy y, or Σ dy; in LANES sums side by side, because one alone waits for its own additions.
BLAS_INLINE double N(line_sum)(const T *dy, const T *y, int64_t n)
{
    double acc[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        if (y) {
            BLAS_SIMD
            for (int64_t k = 0; k < LANES; k++) acc[k] += (double)dy[i + k] * (double)y[i + k];
        } else {
            BLAS_SIMD
            for (int64_t k = 0; k < LANES; k++) acc[k] += (double)dy[i + k];
        }
    }
    BLAS_SIMD_SUM(sum)
    for (int64_t k = 0; k < LANES; k++) sum += acc[k];
    for (; i < n; i++) sum += (double)dy[i] * (y ? (double)y[i] : 1);
    return sum;
}

BLAS_CLONES static void N(backward_line)(const T *dy, const T *y, T *dx, int64_t n, T scale,
                                         bool logarithm)
{
    const T total = (T)N(line_sum)(dy, logarithm ? NULL : y, n);
    if (logarithm) {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) dx[i] = (dy[i] - EXP(y[i]) * total) * scale;
    } else {
        BLAS_SIMD
        for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - total) * scale;
    }
}

static void N(backward_lines)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const softmax_run *r = ctx;
    const int64_t n = r->s->line.n;
    (void)worker;
    for (int64_t i = begin; i < end; i++) N(backward_line)
    ((const T *)r->x + i * n, (const T *)r->y + i * n, (T *)r->out + i * n, n,
     (T)(1 / r->s->temperature), r->s->logarithm);
}

BLAS_CLONES static void N(sum_step)(const T *dy, const T *y, double *sum, int64_t width)
{
    BLAS_SIMD
    for (int64_t j = 0; j < width; j++) sum[j] += (double)dy[j] * (y ? (double)y[j] : 1);
}

BLAS_CLONES static void N(gradient_step)(const T *dy, const T *y, T *dx, const double *sum,
                                         int64_t width, T scale)
{
    BLAS_SIMD
    for (int64_t j = 0; j < width; j++) dx[j] = y[j] * (dy[j] - (T)sum[j]) * scale;
}

BLAS_CLONES static void N(log_gradient_step)(const T *dy, const T *y, T *dx, const double *sum,
                                             int64_t width, T scale)
{
    BLAS_SIMD
    for (int64_t j = 0; j < width; j++) dx[j] = (dy[j] - EXP(y[j]) * (T)sum[j]) * scale;
}

static void N(backward_block)(const T *dy, const T *y, T *dx, const int64_t size[3], T scale,
                              bool logarithm)
{
    const int64_t end = size[0] * size[1], step = size[1], width = size[2];
    double sum[BLAS_COLUMNS] = {0};
    for (int64_t i = 0; i < end; i += step)
        N(sum_step)(dy + i, logarithm ? NULL : y + i, sum, width);
    for (int64_t i = 0; i < end; i += step)
        (logarithm ? N(log_gradient_step) : N(gradient_step))(dy + i, y + i, dx + i, sum, width,
                                                              scale);
}

static void N(backward_columns)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const softmax_run *r = ctx;
    const tn_line l = r->s->line;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t j = i % r->blocks * BLAS_COLUMNS, at = i / r->blocks * l.n * l.inner + j;
        const int64_t left = l.inner - j;
        const int64_t size[3] = {l.n, l.inner, left < BLAS_COLUMNS ? left : BLAS_COLUMNS};
        N(backward_block)
        ((const T *)r->x + at, (const T *)r->y + at, (T *)r->out + at, size,
         (T)(1 / r->s->temperature), r->s->logarithm);
    }
}

#endif
