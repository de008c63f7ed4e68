// backends/blas/blas_top.c: the first few places of an order, without ordering the rest.
//
// A line's elements are looked through once. Whichever comes before the last of the first ones so
// far is put in its place among them; the others, which are almost all, are passed over a block of
// keys at a time. A key is a whole number, larger for what comes first; of equal ones the earlier
// element comes first, so a later one must be larger. Of lines whose elements are not neighbours
// some that are neighbours are looked through together.
#ifndef T

#include "blas_order.h"

enum {
    CHUNK = 256,   // keys at a time
    BLOCK = 32,    // keys that are passed over together
    COLUMNS = 64,  // lines at a time
    PLACES = 4096, // first ones of all those lines
    FEW = 24,      // first ones that cost no more than sorting, wherever they stand
    MANY = 512     // most first ones that are looked for so
};

typedef int32_t key_f32; // of every dtype of up to 32 bits
typedef int64_t key_f64;
typedef int32_t bits_f32;
typedef int64_t bits_f64;

typedef struct place {
    int64_t key, at;
} place;

// Element `at` takes its place among the first n, which are in order; the one behind is lost.
static void put(place *first, int64_t n, int64_t key, int64_t at)
{
    for (; n > 0 && first[n - 1].key < key; n--) first[n] = first[n - 1];
    first[n] = (place){key, at};
}

// Lines that are looked through together: `n` neighbours, of which `at` is the first element.
typedef struct look {
    const blas_run *run;
    const blas_order *s;
    int64_t at, n;
    place *first; // k of each
} look;

#define THIS_FILE "blas_top.c"
#include "blas_each_type.h"

// ------------------------------------------------------------------ the kernel

static tn_status top_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_order *s = k->state;
    const tn_status status = blas_order_setup(k, s);
    const int64_t n = s->line.n, first = tn_call_i64(k->call, "k", 1);
    s->k = first;
    if (first <= FEW)
        s->budget = INT64_MAX;
    else if (first <= MANY && first * first <= 4 * n)
        s->budget = 32 * (n / (8 + first));
    s->columns = tn_most(tn_least(tn_least(s->line.inner, COLUMNS), PLACES / first), 1);
    s->worker_bytes =
        s->budget ? ((uint64_t)(s->columns * first) * sizeof(place) + 63) / 64 * 64 : 0;
    if (s->budget != INT64_MAX) s->worker_bytes += s->sort_bytes;
    info->scratch_bytes = s->worker_bytes * k->host->threads(k->host->host);
    info->impl = s->budget ? "selection" : "";
    return status;
}

// Items are groups of neighbouring lines.
static void top_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const blas_order *s = run->k->state;
    const tn_line l = s->line;
    const int64_t groups = tn_ceil_div(l.inner, s->columns);
    const bool is_short = blas_has_short_keys(run->k->call->in[0]->dtype);
    char *scratch = (char *)run->a->scratch.host + worker * s->worker_bytes;
    for (int64_t item = begin; item < end; item++) {
        const int64_t outer = item / groups, column = item % groups * s->columns;
        const look t = {run, s, outer * l.n * l.inner + column,
                        tn_least(s->columns, l.inner - column), (place *)(void *)scratch};
        if (s->budget && (is_short ? look_through_f32 : look_through_f64)(&t)) {
            int64_t *y = (int64_t *)blas_out(run->a, 0) + outer * s->k * l.inner + column;
            for (int64_t i = 0; i < s->k; i++)
                for (int64_t c = 0; c < t.n; c++) y[i * l.inner + c] = t.first[c * s->k + i].at;
            continue;
        }
        void *sort = scratch + s->worker_bytes - s->sort_bytes;
        for (int64_t c = 0; c < t.n; c++)
            blas_order_line(run, s, outer * l.inner + column + c, sort);
    }
}

static tn_status argsort_first(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const blas_order *s = k->state;
    blas_run r = {k, a};
    if (k->call->in[0]->size)
        blas_items(k, a, s->line.outer * tn_ceil_div(s->line.inner, s->columns),
                   s->line.n * s->columns * (s->budget ? 1 : 8), BLAS_COSTLY, top_range, &r);
    return TN_OK;
}

const tn_kernel_row blas_tops[] = {
    {.op = "_argsort_first",
     .dtypes = TN_ALL_DTYPES,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(blas_order),
     .setup = top_setup,
     .run = argsort_first},
    {0},
};

#else // once per type: keys of 32 and of 64 bits

#define LEAST (IS_F32 ? (N(key))INT32_MIN : (N(key))INT64_MIN)
#define MOST (IS_F32 ? (N(key))INT32_MAX : (N(key))INT64_MAX)

// NaN is larger than any number, -0 is 0.
BLAS_CLONES static void N(top_keys)(const T *v, int64_t n, N(key) turn, N(key) * key)
{
    for (int64_t i = 0; i < n; i++) {
        N(bits) bits;
        memcpy(&bits, &v[i], sizeof bits);
        bits = v[i] == 0 ? 0 : bits;
        bits = bits < 0 ? bits ^ MOST : bits;
        key[i] = (v[i] != v[i] ? MOST : bits) ^ turn;
    }
}

// Keys of n elements from `at` on.
static void N(keys_at)(const look *t, int64_t at, int64_t n, N(key) * key)
{
    const tn_dtype dtype = t->run->k->call->in[0]->dtype;
    const void *x = blas_in(t->run->a, 0);
    const N(key) turn = t->s->ascend ? -1 : 0;
    if (dtype == (IS_F32 ? TN_F32 : TN_F64)) {
        N(top_keys)((const T *)x + at, n, turn, key);
#if IS_F32
    } else if (blas_is_float(dtype)) {
        float v[CHUNK];
        blas_load_f32(dtype, x, at, n, v);
        N(top_keys)(v, n, turn, key);
#endif
    } else {
        int64_t whole[CHUNK];
        blas_load_i64(dtype, x, at, n, whole);
        for (int64_t i = 0; i < n; i++) key[i] = (N(key))whole[i] ^ turn;
    }
}

// The first of the blocks from j on in which a key is above `last`; n if there is none. Behind the
// keys stands another block, of least ones.
BLAS_CLONES static int64_t N(top_block)(const N(key) * key, int64_t j, int64_t n, N(key) last)
{
    for (; j < n; j += BLOCK) {
        N(key) most = LEAST;
        BLAS_SIMD_MAX(most)
        for (int64_t i = 0; i < BLOCK; i++) most = key[j + i] > most ? key[j + i] : most;
        if (most > last) return j;
    }
    return n;
}

// One line of neighbours; false if more came before others than sorting would cost.
static bool N(look_line)(const look *t)
{
    const int64_t n = t->s->line.n, k = t->s->k;
    int64_t left = t->s->budget;
    N(key) key[CHUNK + BLOCK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t some = tn_least(n - i, CHUNK);
        int64_t j = 0;
        N(keys_at)(t, t->at + i, some, key);
        for (int64_t b = 0; b < BLOCK; b++) key[some + b] = LEAST;
        for (; i + j < k && j < some; j++) put(t->first, i + j, key[j], i + j);
        if (j == some) continue;
        N(key) last = (N(key))t->first[k - 1].key;
        while ((j = N(top_block)(key, j, some, last)) < some) {
            for (const int64_t end = tn_least(j + BLOCK, some); j < end; j++) {
                if (key[j] <= last) continue;
                put(t->first, k - 1, key[j], i + j);
                last = (N(key))t->first[k - 1].key;
                left--;
            }
            if (left < 0) return false;
        }
    }
    return true;
}

BLAS_CLONES static bool N(top_any)(const N(key) * key, const N(key) * last, int64_t n)
{
    N(key) any = 0;
    for (int64_t i = 0; i < n; i++) any |= key[i] > last[i];
    return any != 0;
}

// The same of several.
static bool N(look_through)(const look *t)
{
    const int64_t n = t->s->line.n, k = t->s->k;
    int64_t left = tn_extent_times(t->s->budget, t->n);
    N(key) key[CHUNK], last[COLUMNS];
    if (t->s->line.inner == 1) return N(look_line)(t);
    for (int64_t i = 0; i < n; i++) {
        N(keys_at)(t, t->at + i * t->s->line.inner, t->n, key);
        if (i >= k && !N(top_any)(key, last, t->n)) continue;
        for (int64_t c = 0; c < t->n; c++) {
            place *first = t->first + c * k;
            if (i >= k && key[c] <= last[c]) continue;
            put(first, tn_least(i, k - 1), key[c], i);
            if (i >= k - 1) last[c] = (N(key))first[k - 1].key;
            left -= i >= k;
        }
        if (left < 0) return false;
    }
    return true;
}

#undef LEAST
#undef MOST

#endif
