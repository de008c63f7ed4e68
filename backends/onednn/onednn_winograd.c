// backends/onednn/onednn_winograd.c: which 3×3 convolutions of float32 go Winograd's way, and how
// their runs are cut up.
//
// With few channels a worker takes blocks of tiles through all steps, small enough for its cache.
// For the gradient of the weight all workers share blocks: they cut tiles first, then places, so
// that sums are made in one order, whatever the number of workers.
//
// With many channels it is the weight that leaves the cache: 36 numbers for 9. Then all data are
// brought to tiles first, and a worker takes panels of filters through the other steps, so that of
// u it needs a panel at a time.
#include <omp.h>
#include <stdatomic.h>
#include <tenon/layers.h>

#include "onednn_winograd.h"

// Bytes of v and m together: of a worker, and of all in the gradient of the weight.
enum { BLOCK_BYTES = 1 << 20, SHARED_BYTES = 4 << 20, LEAST_CHANNELS = 32, LEAST_BLOCK = 6 };
// By panels: of these filters, if u has more bytes than this, and v (of all tiles) not more.
enum { COLUMNS = 32, MANY_BYTES = 4 << 20, TILES_BYTES = 16 << 20 };

static atomic_bool allowed = true;

void od_winograd_allow(bool on)
{
    atomic_store(&allowed, on);
}

// ------------------------------------------------------------------ which calls

static bool all_are(tn_ints list, int64_t wanted)
{
    for (uint32_t i = 0; i < list.n; i++)
        if (list.v[i] != wanted) return false;
    return true;
}

// Values of the call: data, weight, result, as od_winograd has them.
typedef struct values {
    const tn_value_info *data, *weight, *result;
    uint32_t from; // input that data are
} values;

static bool values_of(const tn_call *c, od_winograd_kind *kind, values *v)
{
    const char *name = c->op->name;
    if (strcmp(name, "Convolution") == 0) {
        *kind = OD_WINO_FORWARD;
        *v = (values){c->in[0], c->in[1], c->out[0], 0};
    } else if (strcmp(name, "_backward_Convolution_data") == 0) {
        *kind = OD_WINO_DATA;
        *v = (values){c->in[0], c->in[1], c->out[0], 0};
    } else if (strcmp(name, "_backward_Convolution_weight") == 0) {
        *kind = OD_WINO_WEIGHT;
        *v = (values){c->in[1], c->out[0], c->in[0], 1};
    } else {
        return false;
    }
    return true;
}

// A sum and then relu, also with a slope below 0, each of which may be missing, is what results can
// take.
static bool takes_tail(od_winograd *g, const od_tail *tail)
{
    const_dnnl_post_ops_t ops = NULL;
    if (!tail) return true;
    if (dnnl_primitive_attr_get_post_ops(tail->attributes, &ops) != dnnl_success) return false;
    const int n = dnnl_post_ops_len(ops);
    for (int i = 0; i < n; i++) {
        dnnl_alg_kind_t kind = dnnl_alg_kind_undef;
        float scale, alpha = 1, beta;
        if (g->relu) return false;
        if (i == 0 && dnnl_post_ops_get_kind(ops, i) == dnnl_sum) {
            g->adds = true;
        } else if (dnnl_post_ops_get_params_eltwise(ops, i, &scale, &kind, &alpha, &beta) ==
                       dnnl_success &&
                   kind == dnnl_eltwise_relu) {
            g->relu = true;
            g->slope = alpha;
        } else {
            return false;
        }
    }
    return true;
}

static uint32_t workers_of(const tn_call *c)
{
    const uint32_t asked = od_threads(c);
    return asked ? asked : (uint32_t)omp_get_max_threads();
}

static bool by_panels(const od_winograd *g)
{
    return g->columns < g->filters;
}

// How many of each matrix there are: one for all workers, or one for each.
typedef struct od_sharing {
    int64_t u, v, m;
} od_sharing;

static od_sharing sharing_of(const od_winograd *g, uint32_t workers)
{
    if (by_panels(g)) return (od_sharing){workers, 1, workers};
    const int64_t blocks = g->kind == OD_WINO_WEIGHT ? 1 : workers;
    return (od_sharing){1, blocks, blocks};
}

static uint64_t bytes_of(const od_winograd *g, uint32_t workers)
{
    const od_sharing s = sharing_of(g, workers);
    const int64_t n = s.u * g->step_u + s.v * g->step_v + s.m * g->step_m;
    return (uint64_t)(OD_PLACES * n) * sizeof(float);
}

static void set_steps(od_winograd *g)
{
    // Places lie a vector more apart than they need: powers of two would share lines of the cache.
    g->step_u = g->channels * g->columns + OD_LANES;
    g->step_v = g->block * g->channels + OD_LANES;
    g->step_m = g->block * g->columns + OD_LANES;
}

static void set_block(od_winograd *g, int64_t most, int64_t parts)
{
    const int64_t blocks = ((g->tiles + most - 1) / most + parts - 1) / parts * parts;
    g->block = (g->tiles + blocks - 1) / blocks;
    set_steps(g);
}

static int64_t weight_bytes(const od_winograd *g)
{
    return OD_PLACES * g->channels * g->filters * (int64_t)sizeof(float);
}

// Panels, of weights that would leave the cache, and blocks of tiles that stay there; false: whole
// weights. A gradient of the weight is a sum over all tiles, which are then one block.
static bool choose_panels(od_winograd *g, const tn_call *c, uint64_t limit)
{
    const uint32_t workers = workers_of(c);
    const int64_t row = OD_PLACES * g->channels * (int64_t)sizeof(float);
    g->columns = COLUMNS;
    set_block(g, TILES_BYTES / row > 0 ? TILES_BYTES / row : 1, 1);
    return weight_bytes(g) > MANY_BYTES && g->filters % COLUMNS == 0 &&
           g->filters / COLUMNS >= workers && (g->kind != OD_WINO_WEIGHT || g->block == g->tiles) &&
           bytes_of(g, workers) <= limit;
}

// Sizes of blocks; false: the convolution's parameter `workspace` (MB) is too small.
static bool choose_block(od_winograd *g, const tn_call *c, uint64_t limit)
{
    const uint32_t workers = workers_of(c);
    const bool shared = g->kind == OD_WINO_WEIGHT;
    const int64_t row = OD_PLACES * (g->channels + g->filters) * (int64_t)sizeof(float);
    const int64_t together = weight_bytes(g) > MANY_BYTES ? TILES_BYTES : SHARED_BYTES;
    int64_t most = (shared ? together : BLOCK_BYTES) / row;
    g->columns = g->filters;
    do {
        if (most < LEAST_BLOCK) most = LEAST_BLOCK;
        set_block(g, most, shared ? 1 : workers);
        if (bytes_of(g, workers) <= limit) return true;
        most /= 2;
    } while (most >= LEAST_BLOCK);
    return false;
}

// Is it less work than the convolution itself? In multiplications of one core (of AVX-512), where a
// number that is brought to or from a tile takes the time of 16, and one of a weight, whose numbers
// lie far apart, that of 13, for each block if it goes by panels; one that leaves the cache comes
// back for each block, which takes 30. Then it may take nine tenths at most. In bfloat16 the
// convolution does two multiplications at a time, and its gradients (oneDNN 2.6) nearly that.
static bool is_less(const od_winograd *g, uint32_t workers)
{
    const int64_t all = (g->tiles + g->block - 1) / g->block;
    const double blocks = g->kind == OD_WINO_WEIGHT ? (double)all : (double)all / workers;
    const bool far = weight_bytes(g) > MANY_BYTES;
    const double weight = by_panels(g) ? 13 * (double)all : far ? 13 + 30 * blocks : 13;
    const double pairs = (double)g->channels * (double)g->filters;
    const double points = (double)g->images * (double)g->out[0] * (double)g->out[1];
    const double numbers = (double)g->tiles * (double)(g->channels + g->filters);
    const double tiles = OD_PLACES * ((double)g->tiles * pairs + 16 * numbers + weight * pairs);
    static const double narrow[] = {
        [OD_WINO_FORWARD] = 0.5, [OD_WINO_DATA] = 0.55, [OD_WINO_WEIGHT] = 0.65};
    return tiles < 0.9 * 9 * points * pairs * (g->narrow ? narrow[g->kind] : 1);
}

// With AMX a CPU does 16 bfloat16 multiplications in the time of one of float32.
static bool has_matrices(void)
{
    const unsigned wanted = dnnl_cpu_isa_avx512_core_amx;
    return ((unsigned)dnnl_get_effective_cpu_isa() & wanted) == wanted;
}

// oneDNN's bfloat16 convolution finds a constant weight packed, where tiles are made in each run:
// that is more than they save.
static bool packs_once(const od_winograd *g, const values *v)
{
    return g->kind == OD_WINO_FORWARD && (v->weight->flags & TN_VALUE_CONST);
}

// Fills in g; false: the call is something else, or slower this way.
static bool winograd_of(const tn_call *c, const od_tail *tail, od_winograd *g, values *v)
{
    *g = (od_winograd){0};
    if (!atomic_load(&allowed) || !od_tiles_ready() || !values_of(c, &g->kind, v)) return false;
    const tn_ints kernel = tn_call_ints(c, "kernel"), pad = tn_call_ints(c, "pad");
    if (v->data->ndim != 4 || kernel.n != 2 || !all_are(kernel, 3) || od_empty(c) ||
        !all_are(tn_call_ints(c, "stride"), 1) || !all_are(tn_call_ints(c, "dilate"), 1) ||
        tn_call_i64(c, "num_group", 1) != 1 || !od_same_dtypes(c) || v->data->dtype != TN_F32 ||
        !takes_tail(g, tail))
        return false;
    g->narrow = od_may_narrow(c);
    if (g->narrow && (has_matrices() || packs_once(g, v))) return false;
    for (int i = 0; i < 2; i++) {
        const int64_t p = tn_entry(pad, i, 0);
        if (p > 2) return false;
        g->in[i] = v->data->dims[2 + i];
        g->out[i] = v->result->dims[2 + i];
        g->pad[i] = g->kind == OD_WINO_DATA ? 2 - p : p;
    }
    g->images = v->data->dims[0];
    g->channels = v->data->dims[1];
    g->filters = v->result->dims[1];
    if (g->channels % OD_LANES || g->filters % OD_LANES || g->channels < LEAST_CHANNELS ||
        g->filters < LEAST_CHANNELS)
        return false;
    g->down = (g->out[0] + OD_TILE - 1) / OD_TILE;
    g->across = (g->out[1] + OD_TILE - 1) / OD_TILE;
    g->tiles = g->images * g->down * g->across;
    const int64_t megabytes = tn_call_i64(c, "workspace", 1024);
    const uint64_t limit = megabytes < 1 << 20 ? (uint64_t)megabytes << 20 : UINT64_MAX;
    return (choose_panels(g, c, limit) || choose_block(g, c, limit)) && is_less(g, workers_of(c));
}

// Data and results as these convolutions take them.
static dnnl_memory_desc_t lying(const tn_value_info *v, bool narrow)
{
    const dnnl_memory_desc_t last = od_last(v);
    return narrow ? od_narrow(&last) : last;
}

bool od_is_winograd(const tn_call *c, const od_tail *tail, bool as_it_lies)
{
    od_winograd g;
    values v;
    if (!winograd_of(c, tail, &g, &v)) return false;
    const dnnl_memory_desc_t md[] = {lying(v.data, g.narrow), lying(v.result, g.narrow)};
    return !as_it_lies ||
           (od_fits(&md[0], v.data) && od_fits(&md[1], v.result) && !v.weight->layout.domain);
}

tn_status od_winograd_layouts(const tn_call *c, tn_layout *in, tn_layout *out)
{
    od_winograd_kind kind;
    values v;
    if (!values_of(c, &kind, &v)) return TN_OK;
    const bool gradient = kind == OD_WINO_WEIGHT; // whose inputs are the results and the data
    const bool narrow = od_may_narrow(c);
    const dnnl_memory_desc_t data = lying(v.data, narrow), result = lying(v.result, narrow);
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    od_layout(&data, v.data, &in[v.from]);
    od_layout(&result, v.result, gradient ? &in[0] : &out[0]);
    return TN_OK;
}

// ------------------------------------------------------------------ setup

// What a kernel keeps of it, besides its od_state.
struct od_winograd_state {
    od_winograd g;
    uint32_t workers, data, result; // inputs; result: of the gradient of the weight
    uint64_t u, v, m, zeros, each_u, each_v, each_m; // bytes into scratch; from worker to worker
    bool bias;
};

static uint64_t room(tn_kernel_info *info, int64_t elements)
{
    const uint64_t at = (info->scratch_bytes + 63) / 64 * 64;
    info->scratch_bytes = at + (uint64_t)elements * sizeof(float);
    return at;
}

tn_status od_winograd_add(tn_sdk_kernel *k, const tn_call *c, const od_tail *tail,
                          tn_kernel_info *info)
{
    od_state *s = k->state;
    od_winograd g;
    values v;
    if (!winograd_of(c, tail, &g, &v)) return od_fail(k, dnnl_unimplemented, c->op->name);
    struct od_winograd_state *w = k->host->alloc(k->host->host, sizeof *w, 8);
    if (!w) return tn_fail(k->host, TN_E_NOMEM, "%s: no memory for a kernel", c->op->name);
    *w = (struct od_winograd_state){.g = g, .data = v.from, .workers = workers_of(c)};
    w->bias = g.kind == OD_WINO_FORWARD && od_input(c, 2);
    const od_sharing each = sharing_of(&g, w->workers);
    w->each_u = (uint64_t)(OD_PLACES * g.step_u) * sizeof(float);
    w->each_v = (uint64_t)(OD_PLACES * g.step_v) * sizeof(float);
    w->each_m = (uint64_t)(OD_PLACES * g.step_m) * sizeof(float);
    w->u = room(info, each.u * OD_PLACES * g.step_u);
    w->v = room(info, each.v * OD_PLACES * g.step_v);
    w->m = room(info, each.m * OD_PLACES * g.step_m);
    w->zeros = room(info, g.channels > g.filters ? g.channels : g.filters);
    s->workers = od_threads(c);
    s->winograd = w;
    snprintf(s->impl, sizeof s->impl, "winograd_4x3:avx512_core");
    info->impl = s->impl;
    return TN_OK;
}

void od_winograd_free(const tn_sdk_kernel *k, struct od_winograd_state *w)
{
    k->host->free(k->host->host, w, sizeof *w, 8);
}

// ------------------------------------------------------------------ a run

typedef struct job {
    const struct od_winograd_state *w;
    const tn_run_args *a;
    const void *data;
    const float *weight, *bias, *zeros;
    void *result;
    float *u, *v, *m;
    od_tiles tiles; // a block that all share
} job;

static void turn_weights(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    (void)worker;
    od_tiles_weight(&j->w->g, j->weight, j->u, begin, end);
}

static void whole_blocks(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const od_winograd *g = &j->w->g;
    float *v = (float *)(void *)((char *)j->v + worker * j->w->each_v);
    float *m = (float *)(void *)((char *)j->m + worker * j->w->each_m);
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i * g->block, left = g->tiles - first;
        const od_tiles tiles = {first, left < g->block ? left : g->block, 0};
        if (left <= 0) continue;
        od_tiles_data(g, j->data, j->zeros, v, tiles);
        od_tiles_products(g, v, j->u, m, tiles.n);
        od_tiles_results(g, m, j->bias, j->result, tiles);
    }
}

static void turn_tiles(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    const od_tiles part = {j->tiles.first + begin, end - begin, begin};
    (void)worker;
    od_tiles_data(&j->w->g, j->data, j->zeros, j->v, part);
    od_tiles_gradient(&j->w->g, j->result, j->zeros, j->m, part);
}

static void add_places(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    (void)worker;
    od_tiles_sums(&j->w->g, j->v, j->m, j->u, j->tiles, begin, end);
}

static void weight_gradients(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    (void)worker;
    od_tiles_weight_gradient(&j->w->g, j->u, (float *)j->a->out[0].host, begin, end);
}

static void turn_data(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    (void)worker;
    const od_tiles part = {j->tiles.first + begin, end - begin, begin};
    od_tiles_data(&j->w->g, j->data, j->zeros, j->v, part);
}

static void whole_panels(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const job *j = ctx;
    od_winograd g = j->w->g;
    float *u = (float *)(void *)((char *)j->u + worker * j->w->each_u);
    float *m = (float *)(void *)((char *)j->m + worker * j->w->each_m);
    for (int64_t i = begin; i < end; i++) {
        g.begin = i * COLUMNS;
        if (g.kind == OD_WINO_WEIGHT) {
            od_tiles_gradient(&g, j->result, j->zeros, m, j->tiles);
            od_tiles_sums(&g, j->v, m, u, j->tiles, 0, OD_PLACES);
            od_tiles_weight_gradient(&g, u, (float *)j->a->out[0].host, 0, COLUMNS);
        } else {
            od_tiles_weight(&g, j->weight, u, 0, od_tiles_weight_items(&g));
            od_tiles_products(&g, j->v, u, m, j->tiles.n);
            od_tiles_results(&g, m, j->bias, j->result, j->tiles);
        }
    }
}

enum { WEIGHT_GRAIN = 2, TILE_GRAIN = 4, PLACE_GRAIN = 2, FILTER_GRAIN = 4 };

// Blocks of tiles that all workers share.
static void run_blocks(const tn_sdk_kernel *k, const tn_run_args *a, job *j)
{
    const od_winograd *g = &j->w->g;
    for (int64_t first = 0; first < g->tiles; first += g->block) {
        const int64_t left = g->tiles - first;
        j->tiles = (od_tiles){first, left < g->block ? left : g->block, 0};
        if (by_panels(g)) {
            tn_parallel(k, a, j->tiles.n, TILE_GRAIN, turn_data, j);
            tn_parallel(k, a, g->filters / COLUMNS, 1, whole_panels, j);
        } else {
            tn_parallel(k, a, j->tiles.n, TILE_GRAIN, turn_tiles, j);
            tn_parallel(k, a, OD_PLACES, PLACE_GRAIN, add_places, j);
        }
    }
}

static void *scratch_at(const tn_run_args *a, uint64_t at)
{
    return (char *)a->scratch.host + at;
}

tn_status od_winograd_run(const tn_sdk_kernel *k, const tn_run_args *a,
                          const struct od_winograd_state *w)
{
    const od_winograd *g = &w->g;
    const bool gradient = g->kind == OD_WINO_WEIGHT;
    tn_run_args mine = *a;
    if (mine.max_workers == 0 || mine.max_workers > w->workers) mine.max_workers = w->workers;
    job j = {.w = w,
             .a = a,
             .data = a->in[w->data].host,
             .weight = a->in[1].host,
             .bias = w->bias ? a->in[2].host : NULL,
             .zeros = scratch_at(a, w->zeros),
             .result = gradient ? a->in[0].host : a->out[0].host,
             .u = scratch_at(a, w->u),
             .v = scratch_at(a, w->v),
             .m = scratch_at(a, w->m)};
    memset(scratch_at(a, w->zeros), 0,
           (size_t)(g->channels > g->filters ? g->channels : g->filters) * sizeof(float));
    if (gradient || by_panels(g)) {
        run_blocks(k, &mine, &j);
        if (!by_panels(g)) tn_parallel(k, &mine, g->filters, FILTER_GRAIN, weight_gradients, &j);
    } else {
        tn_parallel(k, &mine, od_tiles_weight_items(g), WEIGHT_GRAIN, turn_weights, &j);
        tn_parallel(k, &mine, (g->tiles + g->block - 1) / g->block, 1, whole_blocks, &j);
    }
    return TN_OK;
}
