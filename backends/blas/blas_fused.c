// backends/blas/blas_fused.c: elementwise operators that the core fused, run in tiles that stay in
// the first-level cache.
//
// Each part is the loop that it would be alone (blas_map.c), over a tile: so the results have the
// same bits as apart, and only what enters and leaves goes through memory.
//
// A layer or a product may stand in front (a leader): its kernel, as it would be alone, calls for
// the rest whenever it has finished some of the result.
#include "blas.h"

enum {
    TILE = 1024, // elements
    MOST_PARTS = 32,
    MOST_SLOTS = 12 // tiles at a time, of a worker's stack
};

// Above so many bytes results go past the caches: nobody finds them there any more.
#define STREAM_BYTES (INT64_C(32) << 20)

// Where an operand of a step is, or its result.
typedef struct place {
    enum { INPUT, OUTPUT, SLOT, NUMBERS, SPREAD } kind;
    uint32_t index;
} place;

// An input that broadcasts: element i of the result has its element i / inner % count.
typedef struct spread {
    int64_t inner, count;
} spread;

typedef struct step {
    blas_loop loop;
    place in[3], to;
    spread spreads[3]; // of SPREAD
    int32_t n_in;
    union {
        float f32[4];
        double f64[4];
        int64_t i64[4];
    } constants;
} step;

// Of a tail: step 0 is the leader, whose result is where the last step puts its own.
struct blas_tail {
    step steps[MOST_PARTS];
    uint32_t n_steps, n_out;
    place out[MOST_PARTS]; // of each output: SLOT where it is streamed from, else itself
    size_t size;           // bytes of an element
    int64_t grain;
    bool stream;
};
typedef struct blas_tail fused;

// The state of a call with a leader; the leader's state is behind it.
typedef struct led {
    fused tail;
    tn_call call; // the leader's, over the inputs and outputs of the fused one
    tn_sdk_kernel leader;
} led;
enum { LED_SIZE = (sizeof(led) + 63) / 64 * 64, MOST_STATE = 1024 };

// ------------------------------------------------------------------ parts as loops

static tn_status quiet_fail(tn_host *host, tn_status status, const char *text)
{
    (void)host, (void)text;
    return status;
}

// One run of axes of the input has the result's extents, the others are 1; aligned at the end.
static bool spread_of(const tn_value_info *in, const tn_value_info *out, spread *s)
{
    int32_t d = in->ndim - 1, o = out->ndim - 1;
    *s = (spread){1, 1};
    if (d > o) return false;
    for (; d >= 0 && in->dims[d] == 1; d--, o--) s->inner *= out->dims[o];
    for (; d >= 0 && in->dims[d] == out->dims[o]; d--, o--) s->count *= in->dims[d];
    for (; d >= 0; d--)
        if (in->dims[d] != 1) return false;
    return true;
}

static bool is_spread(const tn_call *part, uint32_t i)
{
    return part->in[i]->size != part->out[0]->size;
}

// The part as if nothing broadcast, with inputs from `in`; false: that cannot be.
static bool as_spread(tn_call *part, const tn_value_info *in[3])
{
    const size_t size = tn_dtype_size(part->out[0]->dtype);
    spread s;
    if (strncmp(part->op->name, "broadcast_", 10) != 0 || part->n_in > 3) return false;
    if (size != 4 && size != 8) return false;
    for (uint32_t i = 0; i < part->n_in; i++) {
        if (!spread_of(part->in[i], part->out[0], &s)) return false;
        in[i] = part->out[0];
    }
    part->in = in;
    return true;
}

// The loop of a part that works on its arguments as they are; false: it has none.
static bool part_map(const tn_call *whole, blas_map *m)
{
    const tn_value_info *in[3];
    tn_call alike = *whole, *part = &alike;
    static const tn_kernel_row *const families[] = {blas_elementwise, blas_pointwise, NULL};
    static const tn_host_api quiet = {.struct_size = sizeof quiet, .fail = quiet_fail};
    tn_verdict v = {.struct_size = sizeof v};
    tn_kernel_info info = {.struct_size = sizeof info};
    for (uint32_t i = 0; i < whole->n_in; i++) {
        if (tn_same_shape(whole->in[i], whole->out[0])) continue;
        if (!as_spread(part, in)) return false;
        break;
    }
    const tn_kernel_row *row = tn_rows_find(families, part, &v);
    tn_sdk_kernel k = {.call = part, .row = row, .host = &quiet, .state = m};
    memset(m, 0, sizeof *m);
    if (!row || row->run != blas_map_run || row->setup(&k, &info) != TN_OK) return false;
    return m->direct && m->n_operands <= 3;
}

static bool has_leader(const tn_call *c)
{
    return !(c->parts[0].call->op->flags & TN_OP_ELEMENTWISE);
}

// Parts first … can be steps?
static const char *parts_cannot(const tn_call *c, uint32_t first)
{
    blas_map m;
    if (c->n_parts > MOST_PARTS) return "fuses at most 32 operators";
    for (uint32_t i = first; i < c->n_parts; i++) {
        if (!(c->parts[i].call->op->flags & TN_OP_ELEMENTWISE))
            return "fuses elementwise operators only";
        if (!part_map(c->parts[i].call, &m)) return "a part has no loop over this dtype";
        for (uint32_t k = 0; first && k < c->parts[i].call->n_in; k++)
            if (is_spread(c->parts[i].call, k)) return "a part behind a layer broadcasts";
    }
    return NULL;
}

static const char *fused_cannot(const tn_call *c)
{
    return has_leader(c) ? "fuses elementwise operators only" : parts_cannot(c, 0);
}

// ------------------------------------------------------------------ slots

// Which part reads the result of a part last.
static void last_readers(const tn_call *c, uint32_t last[MOST_PARTS])
{
    for (uint32_t i = 0; i < c->n_parts; i++) {
        last[i] = i;
        for (uint32_t k = 0; k < c->parts[i].call->n_in; k++)
            if (c->parts[i].from[k] < 0) last[-1 - c->parts[i].from[k]] = i;
    }
}

// The output that part i is, or UINT32_MAX.
static uint32_t output_of(const tn_call *c, uint32_t i)
{
    for (uint32_t o = 0; o < c->n_out; o++)
        if (c->out_parts[o] == i) return o;
    return UINT32_MAX;
}

// Places of all results. A slot is free again after its last reader, which may write over it.
// False: they need more slots than there are.
static bool place_results(const tn_call *c, fused *f)
{
    uint32_t last[MOST_PARTS], busy_until[MOST_SLOTS] = {0};
    last_readers(c, last);
    for (uint32_t i = 0; i < c->n_parts; i++) {
        const uint32_t o = output_of(c, i);
        if (o != UINT32_MAX && !f->stream) {
            f->steps[i].to = f->out[o] = (place){OUTPUT, o};
            continue;
        }
        uint32_t slot = 0;
        while (slot < MOST_SLOTS && busy_until[slot] > i) slot++;
        if (slot == MOST_SLOTS) return false;
        busy_until[slot] = o == UINT32_MAX ? last[i] : c->n_parts;
        f->steps[i].to = (place){SLOT, slot};
        if (o != UINT32_MAX) f->out[o] = (place){SLOT, slot};
    }
    return true;
}

static void make_step(const tn_part *part, const blas_map *m, fused *f, step *s)
{
    const int32_t n = m->n_operands - m->with_constants;
    place in[3] = {{0}};
    int32_t at = 0;
    if (m->constants_first) in[at++] = (place){NUMBERS, 0};
    for (int32_t i = 0; i < n; i++) {
        const int32_t from = part->from[i];
        in[at] = from >= 0 ? (place){INPUT, (uint32_t)from} : f->steps[-1 - from].to;
        if (is_spread(part->call, (uint32_t)i)) {
            in[at].kind = SPREAD;
            spread_of(part->call->in[i], part->call->out[0], &s->spreads[at]);
        }
        at++;
    }
    if (m->with_constants && !m->constants_first) in[at++] = (place){NUMBERS, 0};
    memcpy(s->in, in, sizeof in);
    s->loop = m->loop;
    s->n_in = at;
    memcpy(&s->constants, &m->constants, sizeof s->constants);
}

// Output o may lie over an input that no later part reads.
static void permit_inplace(const tn_call *c, tn_kernel_info *info)
{
    for (uint32_t i = 0; i < c->n_in; i++) {
        uint32_t last = 0;
        if (c->in[i]->size != c->out[0]->size) continue; // each element is read again and again
        for (uint32_t p = 0; p < c->n_parts; p++)
            for (uint32_t k = 0; k < c->parts[p].call->n_in; k++)
                if (c->parts[p].from[k] == (int32_t)i) last = p;
        for (uint32_t o = 0; o < c->n_out && info->n_inplace < TN_MAX_INPLACE; o++)
            if (c->out_parts[o] >= last) info->inplace[info->n_inplace++] = (tn_inplace){i, o};
    }
}

static tn_status fused_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    fused *f = k->state;
    f->n_steps = c->n_parts;
    f->n_out = c->n_out;
    f->size = tn_dtype_size(c->out[0]->dtype);
    f->grain = BLAS_CHEAP;
    f->stream = c->out[0]->size * (int64_t)f->size >= STREAM_BYTES;
    if (!place_results(c, f)) {
        f->stream = false;
        if (!place_results(c, f))
            return tn_fail(k->host, TN_E_UNSUPPORTED, "%s: more than %d values at a time", c->name,
                           MOST_SLOTS);
    }
    for (uint32_t i = 0; i < c->n_parts; i++) {
        blas_map m;
        part_map(c->parts[i].call, &m);
        make_step(&c->parts[i], &m, f, &f->steps[i]);
        if (m.grain < f->grain) f->grain = m.grain;
    }
    permit_inplace(c, info);
    info->impl = f->stream ? "fused loops, streaming" : "fused loops";
    return TN_OK;
}

// ------------------------------------------------------------------ running

#if defined(__SSE2__)
#include <emmintrin.h>

// Whole 64-byte lines go past the caches; src is aligned to 64 bytes, n is at most a tile.
static void stream_out(void *dst, const void *src, size_t bytes)
{
    char *to = dst;
    const char *from = src;
    while (bytes && ((uintptr_t)to & 15)) {
        *to++ = *from++;
        bytes--;
    }
    for (; bytes >= 16; bytes -= 16, to += 16, from += 16)
        _mm_stream_si128((__m128i *)(void *)to,
                         _mm_loadu_si128((const __m128i *)(const void *)from));
    memcpy(to, from, bytes);
}
#define STREAM_END() _mm_sfence()
#else
static void stream_out(void *dst, const void *src, size_t bytes)
{
    memcpy(dst, src, bytes);
}
#define STREAM_END() (void)0
#endif

typedef struct tiles {
    _Alignas(64) char slot[MOST_SLOTS][TILE * sizeof(double)];
    _Alignas(64) char spread[3][TILE * sizeof(double)]; // inputs of the step at hand
} tiles;

// Steps, and what they run on.
typedef struct stepping {
    const fused *f;
    const tn_run_args *a;
} stepping;

static void *address(const stepping *r, const step *s, place p, int64_t at, tiles *t)
{
    const size_t size = r->f->size;
    switch (p.kind) {
    case INPUT: return (char *)r->a->in[p.index].host + (size_t)at * size;
    case OUTPUT: return (char *)r->a->out[p.index].host + (size_t)at * size;
    case SLOT: return t->slot[p.index];
    case SPREAD:
    case NUMBERS: break;
    }
    return (void *)(uintptr_t)&s->constants;
}

#define SPREAD_OUT(T, to, from, s, at, n)                                        \
    for (int64_t i_ = 0; i_ < (n);) {                                            \
        const int64_t rest_ = (s)->inner - ((at) + i_) % (s)->inner;             \
        const int64_t end_ = i_ + rest_ < (n) ? i_ + rest_ : (n);                \
        const T x_ = ((const T *)(from))[((at) + i_) / (s)->inner % (s)->count]; \
        while (i_ < end_) ((T *)(to))[i_++] = x_;                                \
    }

// Elements at … of an input that broadcasts, as many as a tile has.
static void *spread_out(const stepping *r, const step *s, int32_t k, int64_t at, int64_t n,
                        tiles *t)
{
    const char *from = r->a->in[s->in[k].index].host;
    const spread *p = &s->spreads[k];
    const size_t size = r->f->size;
    char *to = t->spread[k];
    if (p->inner == 1) {
        for (int64_t i = 0; i < n;) {
            const int64_t first = (at + i) % p->count, rest = p->count - first;
            const int64_t some = rest < n - i ? rest : n - i;
            memcpy(to + (size_t)i * size, from + (size_t)first * size, (size_t)some * size);
            i += some;
        }
    } else if (size == 4) {
        SPREAD_OUT(uint32_t, to, from, p, at, n)
    } else {
        SPREAD_OUT(uint64_t, to, from, p, at, n)
    }
    return to;
}

// Steps first … of n elements, a tile at most.
static void run_steps(const stepping *r, uint32_t first, int64_t at, int64_t n, tiles *t)
{
    for (uint32_t i = first; i < r->f->n_steps; i++) {
        const step *s = &r->f->steps[i];
        const void *in[3] = {NULL, NULL, NULL};
        for (int32_t k = 0; k < s->n_in; k++)
            in[k] = s->in[k].kind == SPREAD ? spread_out(r, s, k, at, n, t)
                                            : address(r, s, s->in[k], at, t);
        s->loop(n, in, address(r, s, s->to, at, t));
    }
}

static void run_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const stepping *r = ctx;
    const fused *f = r->f;
    tiles t;
    (void)worker;
    for (int64_t at = begin; at < end; at += TILE) {
        const int64_t n = end - at < TILE ? end - at : TILE;
        run_steps(r, 0, at, n, &t);
        for (uint32_t o = 0; f->stream && o < f->n_out; o++)
            stream_out((char *)r->a->out[o].host + (size_t)at * f->size, t.slot[f->out[o].index],
                       (size_t)n * f->size);
    }
    if (f->stream) STREAM_END();
}

static tn_status fused_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const fused *f = k->state;
    stepping r = {f, a};
    blas_elements(k, a, k->call->out[0]->size, f->grain, run_range, &r);
    return TN_OK;
}

// ------------------------------------------------------------------ behind a leader

void blas_tail_run(const blas_tail *tail, const tn_run_args *a, int64_t at, int64_t n)
{
    const stepping r = {tail, a};
    tiles t;
    for (int64_t i = 0; i < n; i += TILE) run_steps(&r, 1, at + i, n - i < TILE ? n - i : TILE, &t);
}

// The leader as a call over the values of the fused one.
static tn_call leader_call(const tn_call *c)
{
    tn_call lead = *c->parts[0].call;
    lead.in = c->in;
    lead.out = c->out;
    lead.n_out = c->n_out;
    return lead;
}

static const tn_kernel_row *leader_row(const tn_call *lead, tn_verdict *v)
{
    static const char *const leaders[] = {"FullyConnected", "dot", "batch_dot", "Convolution",
                                          "Deconvolution"};
    static const tn_kernel_row *const families[] = {blas_dense, blas_convs, NULL};
    for (size_t i = 0; i < sizeof leaders / sizeof *leaders; i++)
        if (strcmp(leaders[i], lead->op->name) == 0) return tn_rows_find(families, lead, v);
    return NULL;
}

static const char *led_cannot(const tn_call *c)
{
    tn_verdict v = {.struct_size = sizeof v};
    if (!has_leader(c)) return fused_cannot(c);
    const tn_call lead = leader_call(c);
    if (!leader_row(&lead, &v)) return "fuses behind convolutions and products only";
    if (c->n_out != 1 || c->out_parts[0] != c->n_parts - 1)
        return "a result in the middle is needed, too";
    return parts_cannot(c, 1);
}

static tn_status make_tail(const tn_sdk_kernel *k, fused *f)
{
    const tn_call *c = k->call;
    f->n_steps = c->n_parts;
    f->n_out = 1;
    f->size = tn_dtype_size(c->out[0]->dtype);
    if (!place_results(c, f))
        return tn_fail(k->host, TN_E_UNSUPPORTED, "%s: more than %d values at a time", c->name,
                       MOST_SLOTS);
    f->steps[0].to = (place){OUTPUT, 0};
    for (uint32_t i = 1; i < c->n_parts; i++) {
        blas_map m;
        part_map(c->parts[i].call, &m);
        make_step(&c->parts[i], &m, f, &f->steps[i]);
    }
    return TN_OK;
}

static tn_status led_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    led *l = k->state;
    tn_verdict v = {.struct_size = sizeof v};
    l->call = leader_call(k->call);
    const tn_kernel_row *row = leader_row(&l->call, &v);
    l->leader = *k;
    l->leader.call = &l->call;
    l->leader.row = row;
    l->leader.state = (char *)l + LED_SIZE;
    info->impl = row->impl ? row->impl : "generic";
    tn_status s = row->state_size > MOST_STATE
                      ? tn_fail(k->host, TN_E_INTERNAL, "%s: its state is too large", row->op)
                      : make_tail(k, &l->tail);
    if (s == TN_OK && row->setup) s = row->setup(&l->leader, info);
    if (s == TN_OK) ((blas_lead *)l->leader.state)->tail = &l->tail;
    return s;
}

static tn_status led_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const led *l = k->state;
    tn_run_args args = *a;
    args.n_in = l->call.n_in;
    return l->leader.row->run(&l->leader, &args);
}

const tn_kernel_row blas_fuse[] = {
    {.op = "_fused",
     .dtypes = BLAS_REALS | TN_BIT(TN_I64),
     .flags = BLAS_FLAGS,
     .state_size = sizeof(fused),
     .cannot = fused_cannot,
     .setup = fused_setup,
     .run = fused_run},
    {.op = "_fused",
     .dtypes = BLAS_REALS,
     .flags = BLAS_FLAGS,
     .state_size = LED_SIZE + MOST_STATE,
     .cannot = led_cannot,
     .setup = led_setup,
     .run = led_run},
    {0},
};
