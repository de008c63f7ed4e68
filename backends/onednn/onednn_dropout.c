// backends/onednn/onednn_dropout.c: Dropout, with the draws of <tenon/philox.h>.
//
// Between two layers values lie with channels last; the draw of an element belongs to its place in
// row-major order all the same, so that all backends drop the same.
#include <tenon/philox.h>

#include "onednn_loops.h"

enum {
    CHUNK = 256, // draws at a time; a multiple of 4
    LANES = 16,  // blocks of the generator side by side
    BLOCKS = (CHUNK / 4 / LANES + 1) * LANES,
    CHANNELS = 16 // that are written together if channels lie last
};

// ------------------------------------------------------------------ draws

// Words of the blocks first … first + LANES - 1, in order; see tn_philox4x32().
OD_CLONES static void od_philox(uint64_t key, uint64_t counter, uint64_t first, uint32_t *words)
{
    uint32_t c[4][LANES], k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int l = 0; l < LANES; l++) {
        const uint64_t b = first + (uint64_t)l;
        c[0][l] = (uint32_t)b;
        c[1][l] = (uint32_t)counter;
        c[2][l] = (uint32_t)(counter >> 32);
        c[3][l] = (uint32_t)(b >> 32);
    }
    for (int round = 0; round < 10; round++) {
        OD_SIMD
        for (int l = 0; l < LANES; l++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c[0][l];
            const uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2][l];
            c[0][l] = (uint32_t)(p1 >> 32) ^ c[1][l] ^ k0;
            c[1][l] = (uint32_t)p1;
            c[2][l] = (uint32_t)(p0 >> 32) ^ c[3][l] ^ k1;
            c[3][l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int l = 0; l < LANES; l++)
        for (int w = 0; w < 4; w++) words[4 * l + w] = c[w][l];
}

typedef struct drop {
    const tn_run_args *a;
    int64_t channels, places; // channels last: of a sample
    int32_t least;            // 24 bits of a draw that is kept
    float keep;
} drop;

// keep where the uniform draw of element first + i is at least p, else 0; n <= CHUNK.
OD_CLONES static void od_draw(const drop *d, int64_t first, int64_t n, float *mask)
{
    uint32_t words[4 * BLOCKS];
    const int64_t skip = first % 4;
    const int32_t least = d->least;
    const float keep = d->keep;
    for (int64_t at = 0; at < skip + n; at += 4 * LANES)
        od_philox(d->a->rng_key, d->a->rng_counter, (uint64_t)(first / 4 + at / 4), words + at);
    OD_SIMD
    for (int64_t i = 0; i < n; i++) mask[i] = (int32_t)(words[skip + i] >> 8) >= least ? keep : 0;
}

// ------------------------------------------------------------------ loops

// Row-major elements begin … end-1.
static void od_drop_rows(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const drop *d = ctx;
    const float *x = d->a->in[0].host;
    float *y = d->a->out[0].host, *mask = d->a->out[1].host;
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        od_draw(d, i, n, mask + i);
        for (int64_t j = i; j < i + n; j++) y[j] = x[j] * mask[j];
    }
}

// Channels last: items are CHANNELS channels of a sample, at all its places.
static void od_drop_last(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const drop *d = ctx;
    const int64_t channels = d->channels, places = d->places;
    const int64_t groups = (channels + CHANNELS - 1) / CHANNELS;
    const float *x = d->a->in[0].host;
    float *y = d->a->out[0].host, *mask = d->a->out[1].host;
    float m[CHANNELS][CHUNK];
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const int64_t sample = item / groups, c = item % groups * CHANNELS;
        const int64_t width = channels - c < CHANNELS ? channels - c : CHANNELS;
        for (int64_t s = 0; s < places; s += CHUNK) {
            const int64_t n = places - s < CHUNK ? places - s : CHUNK;
            for (int64_t i = 0; i < width; i++)
                od_draw(d, (sample * channels + c + i) * places + s, n, m[i]);
            for (int64_t j = 0; j < n; j++) {
                const int64_t at = (sample * places + s + j) * channels + c;
                for (int64_t i = 0; i < width; i++) {
                    mask[at + i] = m[i][j];
                    y[at + i] = x[at + i] * m[i][j];
                }
            }
        }
    }
}

// The mask alone; elements begin … end-1.
typedef struct masked {
    drop d;
    float *mask;
} masked;

static void od_mask_rows(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const masked *m = ctx;
    (void)worker;
    for (int64_t i = begin; m->d.least == 0 && i < end; i++) m->mask[i] = 1;
    for (int64_t i = begin; m->d.least > 0 && i < end; i += CHUNK)
        od_draw(&m->d, i, end - i < CHUNK ? end - i : CHUNK, m->mask + i);
}

static drop drop_of(const tn_run_args *a, double p)
{
    drop d = {.a = a, .channels = 1, .places = 1, .keep = (float)(1 / (1 - p))};
    d.least = (int32_t)ceil(p * 16777216); // p is 1 at most: nothing is kept
    return d;
}

void od_draw_mask(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t out, double p)
{
    masked m = {drop_of(a, p), a->out[out].host};
    od_items(k, a, k->call->out[out]->size, 1, od_mask_rows, &m);
}

// Where nothing is dropped: mask = 1, y = x.
OD_CLONES static void od_drop_nothing(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const drop *d = ctx;
    const float *x = d->a->in[0].host;
    float *y = d->a->out[0].host, *mask = d->a->out[1].host;
    (void)worker;
    OD_SIMD
    for (int64_t i = begin; i < end; i++) {
        mask[i] = 1;
        y[i] = x[i];
    }
}

// ------------------------------------------------------------------ the row

static const char *cannot(const tn_call *c)
{
    if (c->in[0]->size == 0) return od_no_elements;
    return tn_call_ints(c, "axes").n ? "draws that are shared along axes" : NULL;
}

// As it arrives if that is with channels last, else row-major.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const dnnl_memory_desc_t last = od_last(c->in[0]);
    tn_layout l;
    (void)host;
    if (od_is_ours(&in[0]) && od_layout(&last, c->in[0], &l) && l.domain && l.id == in[0].id)
        out[0] = out[1] = l;
    else
        in[0] = (tn_layout){NULL, 0, 0};
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)k;
    info->inplace[info->n_inplace++] = (tn_inplace){0, 0};
    return TN_OK;
}

// Drops in training, and with mode always.
static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *x = k->call->in[0];
    const bool last = od_is_ours(&x->layout);
    drop d = drop_of(a, tn_call_f64(k->call, "p", 0.5));
    if (last) d.channels = x->dims[1];
    for (int32_t i = 2; last && i < x->ndim; i++) d.places *= x->dims[i];
    if (!(a->flags & TN_RUN_TRAIN) && !tn_call_is(k->call, "mode", "always"))
        od_items(k, a, x->size, 1, od_drop_nothing, &d);
    else if (last)
        od_items(k, a, x->dims[0] * ((d.channels + CHANNELS - 1) / CHANNELS), CHANNELS * d.places,
                 od_drop_last, &d);
    else
        od_items(k, a, x->size, 1, od_drop_rows, &d);
    return TN_OK;
}

const tn_kernel_row onednn_dropout[] = {
    {.op = "Dropout",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS | TN_K_DETERMINISTIC,
     .impl = OD_LOOPS,
     .cannot = cannot,
     .setup = setup,
     .run = run,
     .layouts = layouts},
    {0},
};
