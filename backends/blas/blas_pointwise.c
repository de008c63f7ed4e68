// backends/blas/blas_pointwise.c: elementwise operators that are no row of <tenon/elementwise.h>:
// sums of many, clip, smooth_l1, _leaky, where, Cast.
#ifndef T

#include "blas_math.h"

enum { CHUNK = 256 }; // elements that are converted at a time

// f32, f64 and i64: what blas_map.c has loops for.
BLAS_INLINE float curve_f32(float x)
{
    return blas_expm1f(x);
}
BLAS_INLINE double curve_f64(double x)
{
    return expm1(x);
}
BLAS_INLINE int64_t curve_i64(int64_t x)
{
    return (int64_t)expm1((double)x);
}

#define THIS_FILE "blas_pointwise.c"
#define N_(name, kind) name##kind
#define T float
#define N(name) N_(name, _f32)
#include THIS_FILE
#undef T
#undef N
#define T double
#define N(name) N_(name, _f64)
#include THIS_FILE
#undef T
#undef N
#define T int64_t
#define N(name) N_(name, _i64)
#include THIS_FILE
#undef T
#undef N

// The type of number for this dtype. Inputs have one dtype.
static tn_dtype number_of(tn_dtype dtype)
{
    if (dtype == TN_F64) return TN_F64;
    return blas_is_float(dtype) ? TN_F32 : TN_I64;
}

#define LOOP_OF(number, name) \
    ((number) == TN_F32 ? name##_f32 : (number) == TN_F64 ? name##_f64 : name##_i64)

static tn_status clip_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    const double range[2] = {tn_call_f64(k->call, "a_min", -INFINITY),
                             tn_call_f64(k->call, "a_max", INFINITY)};
    const bool forward = strcmp(k->call->op->name, "clip") == 0;
    m->number = number_of(k->call->in[0]->dtype);
    m->grain = BLAS_CHEAP;
    blas_map_same(k, m, forward ? LOOP_OF(m->number, clip) : LOOP_OF(m->number, backward_clip),
                  forward ? 1 : 2);
    blas_map_constants(k, m, 2, range);
    (void)info;
    return TN_OK;
}

// The constant is s², rounded as float32 has it only where the data is float32.
static tn_status smooth_l1_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    const double s = tn_call_f64(k->call, "scalar", 1), s2[2] = {s * s, 1 / (s * s)};
    const bool forward = strcmp(k->call->op->name, "smooth_l1") == 0;
    m->number = k->call->in[0]->dtype == TN_F32 ? TN_F32 : TN_F64;
    m->grain = BLAS_CHEAP;
    blas_map_same(k, m,
                  forward ? LOOP_OF(m->number, smooth_l1) : LOOP_OF(m->number, backward_smooth_l1),
                  forward ? 1 : 2);
    blas_map_constants(k, m, 2, s2);
    for (int i = 0; i < 2 && m->number == TN_F64; i++) m->constants.f64[i] = s2[i];
    (void)info;
    return TN_OK;
}

static tn_status leaky_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    const tn_call *c = k->call;
    const double factors[2] = {tn_call_f64(c, "above", 1), tn_call_f64(c, "below", 0.25)};
    const bool forward = strcmp(c->op->name, "_leaky") == 0, curved = tn_call_bool(c, "curved", 0);
    const tn_dtype n = m->number = number_of(c->in[0]->dtype);
    m->grain = curved && forward ? BLAS_COSTLY : BLAS_CHEAP;
    if (forward)
        blas_map_same(k, m, curved ? LOOP_OF(n, curved_leaky) : LOOP_OF(n, leaky), 1);
    else
        blas_map_same(k, m, curved ? LOOP_OF(n, backward_curved) : LOOP_OF(n, backward_leaky), 2);
    blas_map_constants(k, m, 2, factors);
    (void)info;
    return TN_OK;
}

// ------------------------------------------------------------------ add_n

// y = sum of all inputs, rounded once.
static void add_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_call *c = r->k->call;
    const bool real = blas_is_float(c->out[0]->dtype);
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        double sum[CHUNK], v[CHUNK];
        int64_t whole_sum[CHUNK], whole[CHUNK];
        for (uint32_t j = 0; j < c->n_in; j++) {
            if (real) {
                blas_load_f64(c->in[j]->dtype, r->a->in[j].host, i, n, j ? v : sum);
                if (j) add_f64(sum, v, n);
            } else {
                blas_load_i64(c->in[j]->dtype, r->a->in[j].host, i, n, j ? whole : whole_sum);
                if (j) add_i64(whole_sum, whole, n);
            }
        }
        if (real)
            blas_store_f64(c->out[0]->dtype, r->a->out[0].host, i, n, sum);
        else
            blas_store_i64(c->out[0]->dtype, r->a->out[0].host, i, n, whole_sum);
    }
}

static tn_status add_n(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_run r = {k, a};
    blas_elements(k, a, k->call->out[0]->size, BLAS_CHEAP, add_range, &r);
    return TN_OK;
}

// Two float32 are added directly; more are summed in double.
static tn_status add_2_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    m->number = TN_F32;
    m->grain = BLAS_CHEAP;
    blas_map_same(k, m, blas_fast("elemwise_add")->form[BLAS_VV], 2);
    info->impl = "float loop";
    return TN_OK;
}

static const char *add_2_cannot(const tn_call *c)
{
    if (c->n_in != 2) return "adds two only";
    return c->in[1]->dtype != TN_F32 ? "not all are float32" : NULL;
}

// ------------------------------------------------------------------ Cast

// y = the elements of x, converted: to integers truncated and saturated, to bool x != 0; between
// integers the low bits are kept.
static void cast_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_dtype from = r->k->call->in[0]->dtype, to = r->k->call->out[0]->dtype;
    const void *x = r->a->in[0].host;
    void *y = r->a->out[0].host;
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int64_t n = end - i < CHUNK ? end - i : CHUNK;
        double real[CHUNK];
        int64_t whole[CHUNK];
        if (blas_is_float(from)) {
            blas_load_f64(from, x, i, n, real);
            blas_store_f64(to, y, i, n, real);
        } else {
            blas_load_i64(from, x, i, n, whole);
            blas_store_i64(to, y, i, n, whole);
        }
    }
}

// To and from float32 in one loop, where a float32 holds what there is, or rounds it as a double
// would: the other side is a float of 16 bits, or a whole number of up to 32 that is read.
static void cast_float_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_dtype from = r->k->call->in[0]->dtype, to = r->k->call->out[0]->dtype;
    (void)worker;
    if (to == TN_F32)
        blas_load_f32(from, r->a->in[0].host, begin, end - begin,
                      (float *)r->a->out[0].host + begin);
    else
        blas_store_f32(to, r->a->out[0].host, begin, end - begin,
                       (const float *)r->a->in[0].host + begin);
}

static bool by_float(tn_dtype from, tn_dtype to)
{
    const uint32_t half = TN_BIT(TN_F16) | TN_BIT(TN_BF16);
    const uint32_t read = half | TN_BIT(TN_U8) | TN_BIT(TN_I8) | TN_BIT(TN_I32) | TN_BIT(TN_BOOL);
    return (to == TN_F32 && (read & TN_BIT(from))) || (from == TN_F32 && (half & TN_BIT(to)));
}

static tn_status cast(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *x = k->call->in[0], *y = k->call->out[0];
    blas_run r = {k, a};
    if (x->dtype == y->dtype)
        blas_copy(blas_out(a, 0), blas_in(a, 0), y->bytes);
    else
        blas_elements(k, a, y->size, BLAS_CHEAP,
                      by_float(x->dtype, y->dtype) ? cast_float_range : cast_range, &r);
    return TN_OK;
}

// Over input 0 only: input 1 gives its dtype and no data.
static tn_status cast_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    if (tn_dtype_size(k->call->in[0]->dtype) == tn_dtype_size(k->call->out[0]->dtype))
        blas_inplace(k, info, 0);
    return TN_OK;
}

// ------------------------------------------------------------------ where

// set[i] = element i of the condition is not 0, of `size` bytes; those of a float without the sign.
#define SET(bits)                                                                         \
    BLAS_CLONES static void set_##bits(const void *p, int64_t n, bool real, uint8_t *set) \
    {                                                                                     \
        const uint##bits##_t *c = p, sign = (uint##bits##_t)(1ULL << (bits - 1));         \
        const uint##bits##_t kept = (uint##bits##_t)(real ? ~sign : UINT##bits##_MAX);    \
        BLAS_SIMD                                                                         \
        for (int64_t i = 0; i < n; i++) set[i] = (c[i] & kept) != 0;                      \
    }
SET(8)
SET(16)
SET(32)
SET(64)

// to[i] = set[i] ? x[i] : y[i], without a branch: conditions may be as good as random.
#define CHOOSE(bits)                                                                    \
    BLAS_CLONES static void choose_##bits(void *to, const void *x, const void *y,       \
                                          const uint8_t *set, int64_t n)                \
    {                                                                                   \
        const uint##bits##_t *p = x, *q = y;                                            \
        uint##bits##_t *out = to;                                                       \
        BLAS_SIMD                                                                       \
        for (int64_t i = 0; i < n; i++) {                                               \
            const uint##bits##_t mask = (uint##bits##_t)(0 - (uint##bits##_t)set[i]);   \
            out[i] = (uint##bits##_t)((p[i] & mask) | (q[i] & (uint##bits##_t) ~mask)); \
        }                                                                               \
    }
CHOOSE(8)
CHOOSE(16)
CHOOSE(32)
CHOOSE(64)

static void set_of(const tn_value_info *condition, const void *p, int64_t at, int64_t n,
                   uint8_t *set)
{
    const size_t size = tn_dtype_size(condition->dtype);
    const bool real = blas_is_float(condition->dtype);
    const char *from = (const char *)p + (size_t)at * size;
    switch (size) {
    case 1: set_8(from, n, false, set); break;
    case 2: set_16(from, n, real, set); break;
    case 4: set_32(from, n, real, set); break;
    default: set_64(from, n, real, set); break;
    }
}

static void choose(char *to, const char *x, const char *y, const uint8_t *set, int64_t n,
                   size_t size)
{
    switch (size) {
    case 1: choose_8(to, x, y, set, n); break;
    case 2: choose_16(to, x, y, set, n); break;
    case 4: choose_32(to, x, y, set, n); break;
    default: choose_64(to, x, y, set, n); break;
    }
}

// out = x where condition ≠ 0, else y. The condition has x's shape, or one element per entry of
// x's first axis: then it rules `share` elements.
static void where_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const tn_call *c = r->k->call;
    const tn_value_info *condition = c->in[0];
    const size_t size = tn_dtype_size(c->out[0]->dtype);
    const int64_t share = c->out[0]->size / condition->size;
    (void)worker;
    for (int64_t i = begin; i < end;) {
        const int64_t next = share == 1 ? i + CHUNK : (i / share + 1) * share;
        const int64_t last = next < end ? next : end, n = last - i;
        const size_t at = (size_t)i * size;
        const char *x = (const char *)r->a->in[1].host + at;
        const char *y = (const char *)r->a->in[2].host + at;
        char *out = (char *)r->a->out[0].host + at;
        uint8_t set[CHUNK];
        set_of(condition, r->a->in[0].host, i / share, share == 1 ? n : 1, set);
        if (share == 1)
            choose(out, x, y, set, n, size);
        else
            blas_copy(out, set[0] ? x : y, (size_t)n * size);
        i = last;
    }
}

static tn_status where(const tn_sdk_kernel *k, const tn_run_args *a)
{
    blas_run r = {k, a};
    blas_elements(k, a, k->call->out[0]->size, BLAS_CHEAP, where_range, &r);
    return TN_OK;
}

// Over x or y, but not over the condition, whose dtype is its own.
static tn_status where_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_inplace(k, info, 1);
    blas_inplace(k, info, 2);
    return TN_OK;
}

// Where all three are of one dtype that is computed in, it is a loop like others, and can be fused.
static const char *where_map_cannot(const tn_call *c)
{
    if (c->in[0]->dtype != c->in[1]->dtype) return "the condition has another dtype";
    return c->in[0]->size != c->in[1]->size ? "the condition rules whole entries" : NULL;
}

static tn_status where_map_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    m->number = number_of(k->call->in[0]->dtype);
    m->grain = BLAS_CHEAP;
    blas_map_same(k, m, LOOP_OF(m->number, where), 3);
    info->impl = "loop";
    return TN_OK;
}

#define MAP(op_, dtypes_, setup_, cannot_)                                                      \
    {                                                                                           \
        .op = op_, .dtypes = dtypes_, .flags = BLAS_FLAGS | TN_ROW_INPLACE,                     \
        .state_size = sizeof(blas_map), .cannot = cannot_, .setup = setup_, .run = blas_map_run \
    }
#define ROW(op_, flags_, setup_, run_)                                                       \
    {                                                                                        \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = BLAS_FLAGS | (flags_), .setup = setup_, \
        .run = run_                                                                          \
    }

const tn_kernel_row blas_pointwise[] = {
    MAP("add_n", TN_BIT(TN_F32), add_2_setup, add_2_cannot),
    MAP("_grad_add", TN_BIT(TN_F32), add_2_setup, add_2_cannot),
    ROW("add_n", TN_ROW_INPLACE, NULL, add_n),
    ROW("_grad_add", TN_ROW_INPLACE, NULL, add_n),
    MAP("clip", TN_ALL_DTYPES, clip_setup, NULL),
    MAP("_backward_clip", TN_ALL_DTYPES, clip_setup, NULL),
    MAP("smooth_l1", TN_FLOATS, smooth_l1_setup, NULL),
    MAP("_backward_smooth_l1", TN_FLOATS, smooth_l1_setup, NULL),
    MAP("_leaky", TN_FLOATS, leaky_setup, NULL),
    MAP("_backward_leaky", TN_FLOATS, leaky_setup, NULL),
    ROW("Cast", 0, cast_setup, cast),
    ROW("_cast_like", 0, cast_setup, cast),
    MAP("where", BLAS_REALS | TN_BIT(TN_I64), where_map_setup, where_map_cannot),
    ROW("where", 0, where_setup, where),
    {0},
};

#else // once per type of number

// y = x kept within lo … hi; NaN stays. Operands x, {lo, hi}.
BLAS_CLONES static void N(clip)(int64_t n, const void *const in[3], void *out)
{
    const T *x = in[0], lo = ((const T *)in[1])[0], hi = ((const T *)in[1])[1];
    T *y = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = x[i] < lo ? lo : x[i] > hi ? hi : x[i];
}

// dx = dy, but 0 where x lies strictly outside lo … hi. Operands dy, x, {lo, hi}.
BLAS_CLONES static void N(backward_clip)(int64_t n, const void *const in[3], void *out)
{
    const T *dy = in[0], *x = in[1], lo = ((const T *)in[2])[0], hi = ((const T *)in[2])[1];
    T *dx = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = x[i] < lo || x[i] > hi ? (T)0 : dy[i];
}

// out = x where c ≠ 0, else y. Operands c, x, y.
BLAS_CLONES static void N(where)(int64_t n, const void *const in[3], void *out)
{
    const T *c = in[0], *x = in[1], *y = in[2];
    T *to = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T yes = x[i], no = y[i]; // both are read, so that there is nothing to branch for
        to[i] = c[i] != 0 ? yes : no;
    }
}

// s = scalar;  y = ½ (s x)²         where |x| ≤ 1/s²
//              y = |x| − ½ / s²     elsewhere.             Operands x, {s², 1/s²}.
BLAS_CLONES static void N(smooth_l1)(int64_t n, const void *const in[3], void *out)
{
    const T *x = in[0], s2 = ((const T *)in[1])[0], edge = ((const T *)in[1])[1];
    const T half = (T)0.5;
    T *y = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T v = x[i], magnitude = v < 0 ? -v : v;
        y[i] = magnitude > edge ? magnitude - half * edge : half * s2 * v * v;
    }
}

// dx = dy · s² x where |x| ≤ 1/s², dy · sign(x) elsewhere. Operands dy, x, {s², 1/s²}.
BLAS_CLONES static void N(backward_smooth_l1)(int64_t n, const void *const in[3], void *out)
{
    const T *dy = in[0], *x = in[1], s2 = ((const T *)in[2])[0], edge = ((const T *)in[2])[1];
    T *dx = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++)
        dx[i] = dy[i] * (x[i] > edge ? (T)1 : x[i] < -edge ? (T)-1 : s2 * x[i]);
}

// y = above x where x > 0, else below x. Operands x, {above, below}.
BLAS_CLONES static void N(leaky)(int64_t n, const void *const in[3], void *out)
{
    const T *x = in[0], above = ((const T *)in[1])[0], below = ((const T *)in[1])[1];
    T *y = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * (x[i] > 0 ? above : below);
}

// y = above x where x > 0, else below (exp(x) - 1). Operands x, {above, below}.
BLAS_CLONES static void N(curved_leaky)(int64_t n, const void *const in[3], void *out)
{
    const T *x = in[0], above = ((const T *)in[1])[0], below = ((const T *)in[1])[1];
    T *y = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const T low = below * N(curve)(x[i]), high = above * x[i];
        y[i] = x[i] > 0 ? high : low;
    }
}

// dx = above dy where y > 0, else below dy. Operands dy, y, {above, below}.
BLAS_CLONES static void N(backward_leaky)(int64_t n, const void *const in[3], void *out)
{
    const T *dy = in[0], *y = in[1], above = ((const T *)in[2])[0], below = ((const T *)in[2])[1];
    T *dx = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * (y[i] > 0 ? above : below);
}

// dx = above dy where y > 0, else (y + below) dy. Operands dy, y, {above, below}.
BLAS_CLONES static void N(backward_curved)(int64_t n, const void *const in[3], void *out)
{
    const T *dy = in[0], *y = in[1], above = ((const T *)in[2])[0], below = ((const T *)in[2])[1];
    T *dx = out;
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * (y[i] > 0 ? above : y[i] + below);
}

// sum += v
BLAS_CLONES static inline void N(add)(T *sum, const T *v, int64_t n)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) sum[i] += v[i];
}

#endif
