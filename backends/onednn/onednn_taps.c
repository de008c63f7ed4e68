// backends/onednn/onednn_taps.c: the gradient of the weight of a convolution of pictures with one
// channel, and 17 to 32 filters.
//
//     dw[filter, ky, kx] = Σ over points  dy[point, filter] · x[point + (ky, kx)]
//
// With channels last the filters of a point of dy are two vectors of 16 that overlap. Some of the
// elements of a row of the kernel, its taps, have their sums in registers while a picture is gone
// through: for each point two loads of dy and one of x for each tap. oneDNN's code for one channel
// takes half as long again. Each thread takes whole pictures and has sums of its own.
#include <tenon/layers.h>

#include "onednn_loops.h"

enum { LANES = 16, MOST_TAPS = 8 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

typedef struct taps {
    od_state base;
    bool by_taps; // else it is a convolution: dy lies otherwise than wanted
    int64_t images, filters;
    int64_t out[2], in[2];      // height, width of dy and of x
    int64_t kernel[2], step[2]; // height, width
    uint32_t workers;           // that have sums of their own in the scratch memory
} taps;

typedef struct job {
    const taps *g;
    const float *dy, *x;
    float *sums; // (workers, taps, 2 LANES)
} job;

// ------------------------------------------------------------------ loops

#define INLINE static inline __attribute__((always_inline))

// With fewer or shorter registers the sums would not stay there: cannot() asks for these.
#if defined(__x86_64__)
#define WIDE __attribute__((target("avx512f,fma")))
#else
#define WIDE
#endif

static bool has_wide_registers(void)
{
    const unsigned wanted = dnnl_cpu_isa_avx512_core;
    return ((unsigned)dnnl_get_effective_cpu_isa() & wanted) == wanted;
}

// n taps side by side of one picture; first: of dy, x and the sums.
INLINE void od_some_taps(const int n, const taps *g, const float *dy, const float *x, float *sums)
{
    lanes low[MOST_TAPS], high[MOST_TAPS];
    for (int t = 0; t < n; t++) {
        low[t] = *(const lanes *)(sums + 2 * t * LANES);
        high[t] = *(const lanes *)(sums + (2 * t + 1) * LANES);
    }
    for (int64_t oy = 0; oy < g->out[0]; oy++) {
        const float *at = x + oy * g->step[0] * g->in[1];
        for (int64_t ox = 0; ox < g->out[1]; ox++, dy += g->filters, at += g->step[1]) {
            const lanes a = *(const lanes *)dy, b = *(const lanes *)(dy + g->filters - LANES);
#pragma GCC unroll 8
            for (int t = 0; t < n; t++) {
                low[t] += a * at[t];
                high[t] += b * at[t];
            }
        }
    }
    for (int t = 0; t < n; t++) {
        *(lanes *)(sums + 2 * t * LANES) = low[t];
        *(lanes *)(sums + (2 * t + 1) * LANES) = high[t];
    }
}

INLINE void od_taps_of(int64_t n, const taps *g, const float *dy, const float *x, float *sums)
{
    switch (n) {
    case 1: od_some_taps(1, g, dy, x, sums); break;
    case 2: od_some_taps(2, g, dy, x, sums); break;
    case 3: od_some_taps(3, g, dy, x, sums); break;
    case 4: od_some_taps(4, g, dy, x, sums); break;
    case 5: od_some_taps(5, g, dy, x, sums); break;
    case 6: od_some_taps(6, g, dy, x, sums); break;
    case 7: od_some_taps(7, g, dy, x, sums); break;
    default: od_some_taps(MOST_TAPS, g, dy, x, sums); break;
    }
}

WIDE static void od_pictures(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const taps *g = j->g;
    float *sums = j->sums + worker * g->kernel[0] * g->kernel[1] * 2 * LANES;
    for (int64_t i = begin; i < end; i++) {
        const float *dy = j->dy + i * g->out[0] * g->out[1] * g->filters;
        const float *x = j->x + i * g->in[0] * g->in[1];
        for (int64_t ky = 0; ky < g->kernel[0]; ky++)
            for (int64_t kx = 0; kx < g->kernel[1]; kx += MOST_TAPS)
                od_taps_of(tn_least(g->kernel[1] - kx, MOST_TAPS), g, dy, x + ky * g->in[1] + kx,
                           sums + (ky * g->kernel[1] + kx) * 2 * LANES);
    }
}

// ------------------------------------------------------------------ the call

// Inputs dy, x. Fills in g; false: something else than windows within pictures of one channel.
static bool taps_of(const tn_call *c, taps *g)
{
    const tn_value_info *y = c->in[0], *x = c->in[1];
    tn_slide axes[TN_SPATIAL];
    if (x->ndim != 4 || x->dims[1] != 1 || tn_call_i64(c, "num_group", 1) != 1) return false;
    tn_conv_axes(c, x, y, axes);
    g->images = x->dims[0];
    g->filters = y->dims[1];
    for (int i = 0; i < 2; i++) {
        const tn_slide *s = &axes[1 + i];
        if (s->pad != 0 || s->dilate != 1) return false;
        g->out[i] = s->narrow;
        g->in[i] = s->wide;
        g->kernel[i] = s->window;
        g->step[i] = s->stride;
    }
    return true;
}

static const char *cannot(const tn_call *c)
{
    taps g = {0};
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    if (od_may_narrow(c)) return "may be computed in bfloat16";
    if (!has_wide_registers()) return "wanted AVX-512";
    if (!taps_of(c, &g)) return "wanted pictures of one channel, no padding, no dilation";
    if (g.filters <= LANES || g.filters > 2 * LANES || g.kernel[1] < 3 || g.kernel[1] > MOST_TAPS)
        return "the convolution is faster";
    return g.out[0] * g.out[1] < 64 ? "few points" : NULL;
}

static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const dnnl_memory_desc_t last = od_last(c->in[0]);
    (void)host;
    in[0] = in[1] = out[0] = (tn_layout){NULL, 0, 0};
    od_layout(&last, c->in[0], &in[0]);
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    taps *g = k->state;
    const tn_call *c = k->call;
    const dnnl_memory_desc_t last = od_last(c->in[0]);
    g->by_taps = od_fits(&last, c->in[0]) && !od_is_ours(&c->in[1]->layout) &&
                 !od_is_ours(&c->out[0]->layout) && taps_of(c, g);
    if (!g->by_taps) return od_end(k, onednn_conv_leader.add(k, c, NULL, info));
    g->workers = od_workers(k);
    info->scratch_bytes =
        (uint64_t)(g->workers * g->kernel[0] * g->kernel[1] * 2 * LANES) * sizeof(float);
    info->impl = "taps";
    return TN_OK;
}

// dw = the sums of all workers; the last LANES filters are those of the second vector.
static void add_up(const taps *g, const float *sums, float *dw)
{
    const int64_t n = g->kernel[0] * g->kernel[1];
    for (int64_t f = 0; f < g->filters; f++) {
        const int64_t lane = f < LANES ? f : f + 2 * LANES - g->filters;
        for (int64_t t = 0; t < n; t++) {
            float sum = 0;
            for (uint32_t w = 0; w < g->workers; w++) sum += sums[(w * n + t) * 2 * LANES + lane];
            dw[f * n + t] = sum;
        }
    }
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const taps *g = k->state;
    if (!g->by_taps) return od_run(k, a);
    job j = {g, a->in[0].host, a->in[1].host, a->scratch.host};
    const int64_t n = g->kernel[0] * g->kernel[1];
    tn_run_args mine = *a;
    if (a->max_workers == 0 || a->max_workers > g->workers) mine.max_workers = g->workers;
    memset(j.sums, 0, (size_t)(g->workers * n * 2 * LANES) * sizeof(float));
    od_items(k, &mine, g->images, g->out[0] * g->out[1] * n, od_pictures, &j);
    add_up(g, j.sums, a->out[0].host);
    return TN_OK;
}

const tn_kernel_row onednn_taps[] = {
    {.op = "_backward_Convolution_weight",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS,
     .impl = "taps",
     .state_size = sizeof(taps),
     .cannot = cannot,
     .setup = setup,
     .run = run,
     .teardown = od_stop,
     .layouts = layouts},
    {0},
};
