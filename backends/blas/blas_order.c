// backends/blas/blas_order.c: the order of elements along an axis.
#include "blas_order.h"

tn_status blas_order_setup(tn_sdk_kernel *k, blas_order *s)
{
    const int32_t axis = blas_axis_param(k->call, "axis", -1, k->call->in[0]->ndim);
    if (axis < 0) return blas_no_axis(k, "axis");
    s->line = tn_around(k->call->in[0], axis);
    s->ascend = tn_call_bool(k->call, "is_ascend", true);
    // The keys of a line, and two lines of indices.
    s->sort_bytes = ((uint64_t)s->line.n * 24 + 63) / 64 * 64;
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_order *s = k->state;
    const tn_status status = blas_order_setup(k, s);
    s->k = s->line.n;
    s->worker_bytes = s->sort_bytes;
    info->scratch_bytes = s->worker_bytes * k->host->threads(k->host->host);
    return status;
}

int64_t blas_key(double v)
{
    int64_t bits;
    if (isnan(v)) return INT64_MAX;
    v = v == 0 ? 0 : v; // -0 is 0
    memcpy(&bits, &v, sizeof bits);
    return bits < 0 ? bits ^ INT64_MAX : bits;
}

// Merges the ordered runs run[0] … run[1]-1 and run[1] … run[2]-1 of `from` into `to`. Of equal
// elements those of the first run come first.
static void merge(const int64_t *key, const int64_t *from, int64_t *to, const int64_t run[3],
                  bool ascend)
{
    int64_t i = run[0], j = run[1];
    for (int64_t at = run[0]; at < run[2]; at++) {
        bool second = i == run[1];
        if (i < run[1] && j < run[2]) {
            const int64_t a = key[from[i]], b = key[from[j]];
            second = ascend ? b < a : a < b;
        }
        to[at] = second ? from[j++] : from[i++];
    }
}

// Runs of 1, 2, 4 … elements are merged until one is left.
const int64_t *blas_sort(const int64_t *key, int64_t n, bool ascend, int64_t *a, int64_t *b)
{
    for (int64_t i = 0; i < n; i++) a[i] = i;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t i = 0; i < n; i += 2 * width) {
            const int64_t middle = i + width < n ? i + width : n;
            const int64_t end = middle + width < n ? middle + width : n;
            merge(key, a, b, (const int64_t[3]){i, middle, end}, ascend);
        }
        int64_t *const t = a;
        a = b;
        b = t;
    }
    return a;
}

// ------------------------------------------------------------------ by digits

// Numbers of at most 32 bits are sorted together with their places, as whole numbers of 64 bits: a
// key of the same order above, the place below. One pass for each byte of the key puts them where
// they belong, and keeps the order of equal ones.
enum { FEW = 48, CHUNK = 256, DIGITS = 4, DIGIT = 256 };

static bool has_short_keys(tn_dtype dtype, int64_t n)
{
    return blas_has_short_keys(dtype) && n >= FEW && n <= UINT32_MAX;
}

static uint32_t float_key(float v)
{
    const uint32_t bits = tn_f32_bits(v == 0.0f ? 0.0f : v); // -0 is 0
    if (v != v) return UINT32_MAX;
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// Packed keys of a line, whose elements are `step` apart; reversed where the largest comes first.
static void pack_keys(const tn_value_info *x, const void *data, int64_t start, const blas_order *s,
                      uint64_t *packed)
{
    const int64_t n = s->line.n, step = s->line.inner, most = step == 1 ? CHUNK : 1;
    const uint32_t turn = s->ascend ? 0 : UINT32_MAX;
    for (int64_t i = 0; i < n; i += most) {
        const int64_t some = n - i < most ? n - i : most, at = start + i * step;
        float real[CHUNK];
        int64_t whole[CHUNK];
        if (blas_is_float(x->dtype))
            blas_load_f32(x->dtype, data, at, some, real);
        else
            blas_load_i64(x->dtype, data, at, some, whole);
        for (int64_t j = 0; j < some; j++) {
            const uint32_t key =
                blas_is_float(x->dtype) ? float_key(real[j]) : (uint32_t)whole[j] ^ 0x80000000u;
            packed[j + i] = (uint64_t)(key ^ turn) << 32 | (uint64_t)(i + j);
        }
    }
}

// The packed numbers in order; in a or b, which have room for n each.
static const uint64_t *sort_packed(uint64_t *a, uint64_t *b, int64_t n)
{
    uint32_t count[DIGITS][DIGIT] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < DIGITS; d++) count[d][a[i] >> (32 + 8 * d) & 255]++;
    for (int d = 0; d < DIGITS; d++) {
        const int shift = 32 + 8 * d;
        uint32_t before = 0;
        if (count[d][a[0] >> shift & 255] == n) continue; // all have this digit
        for (int i = 0; i < DIGIT; i++) {
            const uint32_t here = count[d][i];
            count[d][i] = before;
            before += here;
        }
        for (int64_t i = 0; i < n; i++) b[count[d][a[i] >> shift & 255]++] = a[i];
        uint64_t *const t = a;
        a = b;
        b = t;
    }
    return a;
}

// ------------------------------------------------------------------ the kernel

static void store_place(tn_dtype to, void *y, int64_t at, int64_t place)
{
    if (to == TN_I64)
        ((int64_t *)y)[at] = place;
    else
        blas_store_i64(to, y, at, 1, &place);
}

void blas_order_line(const blas_run *run, const blas_order *s, int64_t item, void *scratch)
{
    const tn_line l = s->line;
    const tn_dtype dtype = run->k->call->in[0]->dtype, to = run->k->call->out[0]->dtype;
    const void *x = blas_in(run->a, 0);
    void *y = blas_out(run->a, 0);
    int64_t *key = scratch;
    const int64_t start = item / l.inner * l.n * l.inner + item % l.inner;
    const int64_t put = item / l.inner * s->k * l.inner + item % l.inner;
    if (has_short_keys(dtype, l.n)) {
        uint64_t *packed = scratch;
        pack_keys(run->k->call->in[0], x, start, s, packed);
        const uint64_t *sorted = sort_packed(packed, packed + l.n, l.n);
        for (int64_t i = 0; i < s->k; i++)
            store_place(to, y, put + i * l.inner, (int64_t)(sorted[i] & UINT32_MAX));
        return;
    }
    for (int64_t i = 0; i < l.n; i++) {
        double v;
        if (blas_is_float(dtype)) {
            blas_load_f64(dtype, x, start + i * l.inner, 1, &v);
            key[i] = blas_key(v);
        } else {
            key[i] = blas_get_int(dtype, x, start + i * l.inner);
        }
    }
    const int64_t *found = blas_sort(key, l.n, s->ascend, key + l.n, key + 2 * l.n);
    for (int64_t i = 0; i < s->k; i++) store_place(to, y, put + i * l.inner, found[i]);
}

// Items are lines.
static void sort_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *run = ctx;
    const blas_order *s = run->k->state;
    void *scratch = (char *)run->a->scratch.host + worker * s->worker_bytes;
    for (int64_t item = begin; item < end; item++) blas_order_line(run, s, item, scratch);
}

static tn_status argsort(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_line l = ((const blas_order *)k->state)->line;
    blas_run r = {k, a};
    if (k->call->in[0]->size)
        blas_items(k, a, l.outer * l.inner, 8 * l.n, BLAS_COSTLY, sort_range, &r);
    return TN_OK;
}

const tn_kernel_row blas_orders[] = {
    {.op = "_argsort",
     .dtypes = TN_ALL_DTYPES,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(blas_order),
     .setup = setup,
     .run = argsort},
    {0},
};
