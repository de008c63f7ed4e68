// backends/onednn/onednn_lrn.c: LRN across channels, and its gradient, by loops.
//
//     y = x t^-beta,  t = knorm + alpha / nsize · Σ_window x²
//     dx = dy t^-beta - 2 alpha beta / nsize · x Σ_window dy x t^-(beta + 1)
//
// oneDNN 2.6 has its plain reference code for the gradient, thirty times as slow, and its forward
// does not give t, which everybody else computes the gradient from.
//
// Row-major values are taken a tile of TILE points at a time, through all channels; of values with
// channels last TILE channels of a point, where all of them have whole windows.
#include <math.h>

#include "onednn_loops.h"

enum { TILE = 64 };

typedef struct lrn {
    int64_t outer, channels, inner, half;
    bool last; // channels innermost
    float scale, knorm, beta;
    uint32_t workers; // that have terms of their own in the scratch memory
} lrn;

typedef struct job {
    const lrn *l;
    const float *x;
    float *y, *t;        // forward
    const float *dy, *s; // backward: s is the t of forward; dy NULL: forward
    float *dx;
    float *terms; // (workers, channels, TILE)
} job;

// ------------------------------------------------------------------ calls

static bool is_backward(const tn_call *c)
{
    return c->n_in == 3; // dy, x, t
}

static const char *cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    return od_same_dtypes(c) ? NULL : od_mixed_dtypes;
}

// As data or dy arrive: with channels last, or row-major.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const dnnl_memory_desc_t last = od_last(c->out[0]);
    const bool ours = od_is_ours(&in[0]) || (is_backward(c) && od_is_ours(&in[1]));
    tn_layout l = {NULL, 0, 0};
    (void)host;
    if (ours) od_layout(&last, c->out[0], &l);
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = l;
    for (uint32_t i = 0; i < c->n_out && l.domain; i++) out[i] = l;
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    lrn *l = k->state;
    const tn_call *c = k->call;
    const tn_value_info *x = c->out[0];
    const int64_t nsize = tn_call_i64(c, "nsize", 1);
    l->outer = x->dims[0];
    l->channels = x->dims[1];
    l->inner = x->size / (l->outer * l->channels);
    l->half = nsize / 2;
    l->last = od_is_ours(&x->layout);
    l->scale = (float)(tn_call_f64(c, "alpha", 1e-4) / (double)nsize);
    l->knorm = (float)tn_call_f64(c, "knorm", 2);
    l->beta = (float)tn_call_f64(c, "beta", 0.75);
    l->workers = od_workers(k);
    info->scratch_bytes = (uint64_t)l->workers * (uint64_t)(l->channels * TILE) * sizeof(float);
    return TN_OK;
}

// ------------------------------------------------------------------ loops

// out = v t^-beta; 3/4, which networks have, needs two roots.
OD_CLONES static void od_lrn_power(const float *v, const float *t, float *out, int64_t n,
                                   float beta)
{
    if (beta == 0.75f) {
        OD_SIMD
        for (int64_t i = 0; i < n; i++) {
            const float root = sqrtf(t[i]);
            out[i] = v[i] / (root * sqrtf(root));
        }
    } else {
        for (int64_t i = 0; i < n; i++) out[i] = v[i] * powf(t[i], -beta);
    }
}

OD_CLONES static void od_lrn_squares(const float *x, float *term, int64_t n)
{
    OD_SIMD
    for (int64_t i = 0; i < n; i++) term[i] = x[i] * x[i];
}

OD_CLONES static void od_lrn_terms(const float *dx, const float *x, const float *t, float *term,
                                   int64_t n)
{
    OD_SIMD
    for (int64_t i = 0; i < n; i++) term[i] = dx[i] * x[i] / t[i];
}

// sum = Σ of so many lines of terms, which are `step` apart
OD_CLONES static void od_lrn_sum(const float *term, int64_t step, int64_t lines, float *sum,
                                 int64_t n)
{
    OD_SIMD
    for (int64_t i = 0; i < n; i++) sum[i] = term[i];
    for (int64_t j = 1; j < lines; j++) {
        OD_SIMD
        for (int64_t i = 0; i < n; i++) sum[i] += term[j * step + i];
    }
}

OD_CLONES static void od_lrn_bases(const float *sum, float *t, int64_t n, float scale, float knorm)
{
    OD_SIMD
    for (int64_t i = 0; i < n; i++) t[i] = knorm + scale * sum[i];
}

OD_CLONES static void od_lrn_slopes(const float *sum, const float *x, float *dx, int64_t n,
                                    float factor)
{
    OD_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] -= factor * x[i] * sum[i];
}

// ------------------------------------------------------------------ tiles

// What windows add up of the n elements from `at` on, and the first term of dx.
static void find_terms(const job *j, int64_t at, int64_t n, float *term)
{
    if (!j->dy) {
        od_lrn_squares(j->x + at, term, n);
        return;
    }
    od_lrn_power(j->dy + at, j->s + at, j->dx + at, n, j->l->beta);
    od_lrn_terms(j->dx + at, j->x + at, j->s + at, term, n);
}

// The results of n elements from `at` on, at most TILE, whose windows are `lines` lines of terms.
static void find_results(const job *j, int64_t at, int64_t n, const float *term, int64_t step,
                         int64_t lines)
{
    const lrn *l = j->l;
    float sum[TILE];
    od_lrn_sum(term, step, lines, sum, n);
    if (!j->dy) {
        od_lrn_bases(sum, j->t + at, n, l->scale, l->knorm);
        od_lrn_power(j->x + at, j->t + at, j->y + at, n, l->beta);
    } else {
        od_lrn_slopes(sum, j->x + at, j->dx + at, n, 2 * l->scale * l->beta);
    }
}

typedef struct window {
    int64_t low, high; // channels low … high - 1
} window;

static window window_of(const lrn *l, int64_t c)
{
    return (window){c < l->half ? 0 : c - l->half,
                    l->channels - 1 - c < l->half ? l->channels : c + l->half + 1};
}

static void some_tiles(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const lrn *l = j->l;
    const int64_t tiles = (l->inner + TILE - 1) / TILE;
    float *terms = j->terms + (int64_t)worker * l->channels * TILE;
    for (int64_t item = begin; item < end; item++) {
        const int64_t first = item % tiles * TILE, left = l->inner - first;
        const int64_t n = left < TILE ? left : TILE;
        const int64_t at = item / tiles * l->channels * l->inner + first;
        for (int64_t c = 0; c < l->channels; c++)
            find_terms(j, at + c * l->inner, n, terms + c * TILE);
        for (int64_t c = 0; c < l->channels; c++) {
            const window w = window_of(l, c);
            find_results(j, at + c * l->inner, n, terms + w.low * TILE, TILE, w.high - w.low);
        }
    }
}

static void some_points(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const lrn *l = j->l;
    float *terms = j->terms + (int64_t)worker * l->channels * TILE;
    for (int64_t point = begin; point < end; point++) {
        const int64_t at = point * l->channels;
        find_terms(j, at, l->channels, terms);
        for (int64_t c = 0, n; c < l->channels; c += n) {
            const int64_t whole = l->channels - l->half - c; // that have whole windows from here on
            const window w = window_of(l, c);
            n = c < l->half || whole < 1 ? 1 : whole < TILE ? whole : TILE;
            find_results(j, at + c, n, terms + w.low, 1, w.high - w.low);
        }
    }
}

// ------------------------------------------------------------------ runs

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const lrn *l = k->state;
    job j = {.l = l, .terms = a->scratch.host};
    if (is_backward(k->call))
        j.dy = a->in[0].host, j.x = a->in[1].host, j.s = a->in[2].host, j.dx = a->out[0].host;
    else
        j.x = a->in[0].host, j.y = a->out[0].host, j.t = a->out[1].host;
    tn_run_args mine = *a;
    if (a->max_workers == 0 || a->max_workers > l->workers) mine.max_workers = l->workers;
    if (l->last)
        od_items(k, &mine, l->outer * l->inner, l->channels, some_points, &j);
    else
        od_items(k, &mine, l->outer * ((l->inner + TILE - 1) / TILE), l->channels * TILE,
                 some_tiles, &j);
    return TN_OK;
}

#define ROW(op_)                                                                                   \
    {                                                                                              \
        .op = op_, .dtypes = TN_BIT(TN_F32), .flags = OD_FLAGS | TN_K_DETERMINISTIC,               \
        .impl = OD_LOOPS, .state_size = sizeof(lrn), .cannot = cannot, .setup = setup, .run = run, \
        .layouts = layouts                                                                         \
    }

const tn_kernel_row onednn_lrn[] = {
    ROW("LRN"),
    ROW("_backward_LRN"),
    {0},
};
