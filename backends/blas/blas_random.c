// backends/blas/blas_random.c: random tensors, Dropout and random slopes, by the draws of
// <tenon/philox.h> and <tenon/draws.h>.
//
// Element i depends on the run's key and counter and on i alone, so blocks of elements may be drawn
// by any thread. Draws are made for CHUNK elements at a time: whole blocks of the generator.
#include <tenon/draws.h>

#include "blas.h"

enum { CHUNK = 256 }; // elements; a multiple of 4

// One round of tn_philox4x32() on LANES blocks side by side.
enum { LANES = 16 };
typedef struct lanes {
    uint32_t c[4][LANES];
} lanes;

BLAS_INLINE void draw_round(lanes *x, uint32_t k0, uint32_t k1)
{
    BLAS_SIMD
    for (int l = 0; l < LANES; l++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * x->c[0][l];
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * x->c[2][l];
        x->c[0][l] = (uint32_t)(p1 >> 32) ^ x->c[1][l] ^ k0;
        x->c[1][l] = (uint32_t)p1;
        x->c[2][l] = (uint32_t)(p0 >> 32) ^ x->c[3][l] ^ k1;
        x->c[3][l] = (uint32_t)p0;
    }
}

// Words of the blocks first … first + n - 1, in order, and of those up to a multiple of LANES.
BLAS_CLONES static void draw_words(uint64_t key, uint64_t counter, uint64_t first, int64_t n,
                                   uint32_t *words)
{
    for (int64_t i = 0; i < n; i += LANES, words += 4 * LANES) {
        lanes x;
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
        for (int l = 0; l < LANES; l++) {
            const uint64_t b = first + (uint64_t)(i + l);
            x.c[0][l] = (uint32_t)b;
            x.c[1][l] = (uint32_t)counter;
            x.c[2][l] = (uint32_t)(counter >> 32);
            x.c[3][l] = (uint32_t)(b >> 32);
        }
        for (int round = 0; round < 10; round++) {
            draw_round(&x, k0, k1);
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        for (int l = 0; l < LANES; l++)
            for (int w = 0; w < 4; w++) words[4 * l + w] = x.c[w][l];
    }
}

// Uniform numbers in [0, 1): 53 bits for float64, 24 for the narrower floats.
BLAS_CLONES static void words_to_f64(const uint32_t *w, int64_t n, double *u)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t bits = (uint64_t)w[2 * i] << 32 | w[2 * i + 1];
        u[i] = (double)(int64_t)(bits >> 11) * 1.1102230246251565e-16; // 2^-53
    }
}

BLAS_CLONES static void words_to_f32(const uint32_t *w, int64_t n, double *u)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) u[i] = (double)(int32_t)(w[i] >> 8) * 5.9604644775390625e-8;
}

// Those of the elements first … first + n - 1. first is a multiple of 4, n at most CHUNK.
static void draw_uniform(const tn_run_args *a, tn_dtype dtype, int64_t first, int64_t n, double *u)
{
    uint32_t w[2 * CHUNK]; // CHUNK / 2 blocks, or half as many, are a multiple of LANES
    if (dtype == TN_F64) {
        draw_words(a->rng_key, a->rng_counter, (uint64_t)first / 2, (n + 1) / 2, w);
        words_to_f64(w, n, u);
    } else {
        draw_words(a->rng_key, a->rng_counter, (uint64_t)first / 4, (n + 3) / 4, w);
        words_to_f32(w, n, u);
    }
}

// Elements begin … end-1; begin is a multiple of BLAS_BLOCK.
static void uniform_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_dtype dtype = r->k->call->out[0]->dtype;
    const double low = tn_call_f64(r->k->call, "low", 0);
    const double range = tn_call_f64(r->k->call, "high", 1) - low;
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        double u[CHUNK];
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        draw_uniform(r->a, dtype, i, n, u);
        for (int64_t j = 0; j < n; j++) u[j] = low + u[j] * range;
        blas_store_f64(dtype, r->a->out[0].host, i, n, u);
    }
}

// Pairs of normal numbers from pairs of uniform ones.
static void normal_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_dtype dtype = r->k->call->out[0]->dtype;
    const double loc = tn_call_f64(r->k->call, "loc", 0);
    const double scale = tn_call_f64(r->k->call, "scale", 1);
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        double u[CHUNK];
        const int64_t n = end - i < CHUNK ? end - i : CHUNK, even = (n + 1) / 2 * 2;
        draw_uniform(r->a, dtype, i, even, u);
        for (int64_t j = 0; j < even; j += 2) {
            const double x = u[j], y = u[j + 1];
            u[j] = loc + scale * tn_philox_box_muller(x, y, 0);
            u[j + 1] = loc + scale * tn_philox_box_muller(x, y, 1);
        }
        blas_store_f64(dtype, r->a->out[0].host, i, n, u);
    }
}

static tn_status random_uniform(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_run r = {k, a};
    blas_elements(k, a, k->call->out[0]->size, BLAS_COSTLY, uniform_range, &r);
    return TN_OK;
}

static tn_status random_normal(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_run r = {k, a};
    blas_elements(k, a, k->call->out[0]->size, BLAS_COSTLY, normal_range, &r);
    return TN_OK;
}

// ------------------------------------------------------------------ _standard_gamma, _poisson

typedef struct rejection {
    blas_run r;
    double (*draw)(uint64_t key, uint64_t counter, uint64_t i, double param);
} rejection;

static void rejection_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const rejection *s = ctx;
    const tn_run_args *a = s->r.a;
    const tn_dtype dtype = s->r.k->call->out[0]->dtype;
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        double v[CHUNK];
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        blas_load_f64(dtype, a->in[0].host, i, n, v);
        for (int64_t j = 0; j < n; j++)
            v[j] = s->draw(a->rng_key, a->rng_counter, (uint64_t)(i + j), v[j]);
        blas_store_f64(dtype, a->out[0].host, i, n, v);
    }
}

static tn_status standard_gamma(const tn_sdk_kernel *k, const tn_run_args *a)
{
    rejection s = {{k, a}, tn_draw_gamma};
    blas_elements(k, a, k->call->out[0]->size, BLAS_COSTLY, rejection_range, &s);
    return TN_OK;
}

static tn_status poisson(const tn_sdk_kernel *k, const tn_run_args *a)
{
    rejection s = {{k, a}, tn_draw_poisson};
    blas_elements(k, a, k->call->out[0]->size, BLAS_COSTLY, rejection_range, &s);
    return TN_OK;
}

// ------------------------------------------------------------------ Dropout

// Where the draw of each element comes from: along `axes` all elements share one.
static tn_status dropout_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    int64_t stride[TN_MAX_NDIM];
    const char *wrong = tn_draw_strides(k->call, x, stride);
    if (wrong) return blas_no_axis(k, wrong);
    for (int32_t axis = 0; axis < x->ndim; axis++)
        blas_box_add(k->state, x->dims[axis], stride[axis]);
    blas_box_collapse(k->state);
    blas_inplace(k, info, 0);
    return TN_OK;
}

// The draws of the elements i … i + n - 1.
static void draw_dropout(const blas_run *r, int64_t i, int64_t n, double *u)
{
    const blas_box *box = r->k->state;
    const tn_dtype dtype = r->k->call->in[0]->dtype;
    if (box->ndim == 1 && box->stride[0] == 1) {
        draw_uniform(r->a, dtype, i, n, u);
        return;
    }
    for (int64_t j = 0; j < n; j++) {
        const uint64_t at = (uint64_t)blas_box_at(box, box->ndim, i + j);
        u[j] = dtype == TN_F64
                   ? tn_philox_uniform_f64(r->a->rng_key, r->a->rng_counter, at)
                   : (double)tn_philox_uniform_f32(r->a->rng_key, r->a->rng_counter, at);
    }
}

BLAS_CLONES static void drop(double *u, double *x, int64_t n, double p, double keep)
{
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) {
        u[j] = u[j] >= p ? keep : 0;
        x[j] *= u[j];
    }
}

// mask = keep where the draw is at least p, else 0;  y = x · mask
static void dropout_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_dtype dtype = r->k->call->in[0]->dtype;
    const double p = tn_call_f64(r->k->call, "p", 0.5), keep = blas_as_real(dtype, 1 / (1 - p));
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        double u[CHUNK], x[CHUNK];
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        draw_dropout(r, i, n, u);
        blas_load_f64(dtype, r->a->in[0].host, i, n, x);
        drop(u, x, n, p, keep);
        blas_store_f64(dtype, r->a->out[0].host, i, n, x);
        blas_store_f64(dtype, r->a->out[1].host, i, n, u);
    }
}

// The same where nothing is dropped: mask = 1, y = x.
static void keep_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_dtype dtype = r->k->call->in[0]->dtype;
    const size_t size = tn_dtype_size(dtype), at = (size_t)begin * size;
    double one[CHUNK];
    (void)worker;
    for (int64_t j = 0; j < CHUNK; j++) one[j] = 1;
    blas_copy((char *)r->a->out[0].host + at, (const char *)r->a->in[0].host + at,
              (size_t)(end - begin) * size);
    for (int64_t i = begin; i < end; i += CHUNK)
        blas_store_f64(dtype, r->a->out[1].host, i, end - i < CHUNK ? end - i : CHUNK, one);
}

// Drops in training, and with mode always.
static tn_status dropout(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const bool drops = (a->flags & TN_RUN_TRAIN) || tn_call_is(k->call, "mode", "always");
    blas_run r = {k, a};
    blas_elements(k, a, k->call->in[0]->size, drops ? BLAS_COSTLY : BLAS_CHEAP,
                  drops ? dropout_range : keep_range, &r);
    return TN_OK;
}

// ------------------------------------------------------------------ LeakyReLU with random slopes

static const char *rrelu_cannot(const tn_call *c)
{
    return tn_call_is(c, "act_type", "rrelu") ? NULL : "only rrelu, which draws, is a kernel here";
}

static tn_status rrelu_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_inplace(k, info, 0);
    return TN_OK;
}

// mask = 1 where x > 0, else a slope: drawn in training, else the middle;  y = x · mask
static void rrelu_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_dtype dtype = r->k->call->in[0]->dtype;
    const double low = tn_call_f64(r->k->call, "lower_bound", 0.125);
    const double high = tn_call_f64(r->k->call, "upper_bound", 0.334);
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        double u[CHUNK], x[CHUNK];
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        if (r->a->flags & TN_RUN_TRAIN)
            draw_uniform(r->a, dtype, i, n, u);
        else
            for (int64_t j = 0; j < n; j++) u[j] = 0.5;
        blas_load_f64(dtype, blas_in(r->a, 0), i, n, x);
        for (int64_t j = 0; j < n; j++) u[j] = x[j] > 0 ? 1 : low + u[j] * (high - low);
        blas_store_f64(dtype, blas_out(r->a, 1), i, n, u);
        blas_load_f64(dtype, blas_out(r->a, 1), i, n, u); // as it is stored
        for (int64_t j = 0; j < n; j++) x[j] *= u[j];
        blas_store_f64(dtype, blas_out(r->a, 0), i, n, x);
    }
}

static tn_status rrelu(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_run r = {k, a};
    blas_elements(k, a, k->call->in[0]->size, BLAS_COSTLY, rrelu_range, &r);
    return TN_OK;
}

const tn_kernel_row blas_random[] = {
    {.op = "random_uniform", .dtypes = TN_FLOATS, .flags = BLAS_FLAGS, .run = random_uniform},
    {.op = "random_normal", .dtypes = TN_FLOATS, .flags = BLAS_FLAGS, .run = random_normal},
    {.op = "_standard_gamma", .dtypes = TN_FLOATS, .flags = BLAS_FLAGS, .run = standard_gamma},
    {.op = "_poisson", .dtypes = TN_FLOATS, .flags = BLAS_FLAGS, .run = poisson},
    {.op = "Dropout",
     .dtypes = TN_FLOATS,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(blas_box),
     .setup = dropout_setup,
     .run = dropout},
    {.op = "LeakyReLU",
     .dtypes = TN_FLOATS,
     .flags = BLAS_FLAGS,
     .cannot = rrelu_cannot,
     .setup = rrelu_setup,
     .run = rrelu},
    {0},
};
