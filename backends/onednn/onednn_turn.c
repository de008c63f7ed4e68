// backends/onednn/onednn_turn.c: values with channels last become row-major, in squares of 8 by 8.
//
// oneDNN 2.6 reads a channel at a time. Where a point has 256 channels or a multiple, the points
// lie in few sets of the cache and fall out of it before their next channel is read: 512 channels
// of 14×14 take five times as long as 480. Here a line of a point, 16 channels, is used up at once.
#include "onednn_turn.h"

#include "onednn_loops.h"

enum {
    SIDE = 8,
    BAND = 16,   // channels: a line of a point
    ALIKE = 256, // channels, or a multiple
    LEAST = 64,  // points; with fewer or more oneDNN is as fast
    MOST = 256
};

typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));

typedef struct job {
    const od_turn *t;
    const float *x;
    float *y;
} job;

bool od_turn_init(od_turn *t, const tn_value_info *x, const tn_value_info *y)
{
    const dnnl_memory_desc_t last = od_last(x), plain = od_plain(y, 0);
    *t = (od_turn){0};
    if (x->dtype != TN_F32 || x->ndim < 3 || x->size == 0 || od_is_narrow(&x->layout)) return false;
    if (!od_is_ours(&x->layout) || !od_fits(&last, x) || !od_fits(&plain, y)) return false;
    const int64_t inner = x->size / (x->dims[0] * x->dims[1]);
    if (x->dims[1] % ALIKE || inner < LEAST || inner > MOST) return false;
    *t = (od_turn){x->dims[0], x->dims[1], inner};
    return true;
}

#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define EVEN(a, b) MIX(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define ODD(a, b) MIX(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#define EVEN_PAIRS(a, b) MIX(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define ODD_PAIRS(a, b) MIX(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define LOW(a, b) MIX(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH(a, b) MIX(a, b, 4, 5, 6, 7, 12, 13, 14, 15)

// Squares of 2 by 2 are turned, then squares of these, then those.
static inline __attribute__((always_inline)) void turn_square(const float *x, int64_t from,
                                                              float *y, int64_t to)
{
    eight a[SIDE], b[SIDE];
    for (int i = 0; i < SIDE; i++) a[i] = *(const eight *)(const void *)(x + i * from);
    for (int i = 0; i < SIDE; i += 2) {
        b[i] = EVEN(a[i], a[i + 1]);
        b[i + 1] = ODD(a[i], a[i + 1]);
    }
    for (int i = 0; i < SIDE; i += 4)
        for (int j = i; j < i + 2; j++) {
            a[j] = EVEN_PAIRS(b[j], b[j + 2]);
            a[j + 2] = ODD_PAIRS(b[j], b[j + 2]);
        }
    for (int i = 0; i < SIDE / 2; i++) {
        *(eight *)(void *)(y + i * to) = LOW(a[i], a[i + 4]);
        *(eight *)(void *)(y + (i + 4) * to) = HIGH(a[i], a[i + 4]);
    }
}

// BAND channels of all points of a sample.
OD_CLONES static void od_turn_band(const float *x, int64_t channels, float *y, int64_t inner)
{
    int64_t p = 0;
    for (; p + SIDE <= inner; p += SIDE)
        for (int64_t c = 0; c < BAND; c += SIDE)
            turn_square(x + p * channels + c, channels, y + c * inner + p, inner);
    for (; p < inner; p++)
        for (int64_t c = 0; c < BAND; c++) y[c * inner + p] = x[p * channels + c];
}

static void some_bands(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const od_turn *t = j->t;
    const int64_t bands = t->channels / BAND, sample = t->channels * t->inner;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i / bands * sample, c = i % bands * BAND;
        od_turn_band(j->x + at + c, t->channels, j->y + at + c * t->inner, t->inner);
    }
}

void od_turn_run(const tn_sdk_kernel *k, const tn_run_args *a, const od_turn *t)
{
    job j = {t, a->in[0].host, a->out[0].host};
    od_items(k, a, t->samples * (t->channels / BAND), BAND * t->inner, some_bands, &j);
}
