// backends/reference/reference_order.c: the order of elements along an axis.
#include "reference.h"

typedef struct order {
    tn_line line;
    bool ascend;
} order;

// Scratch: two lines of indices.
static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    order *s = k->state;
    const int32_t axis = ref_axis_param(k->call, "axis", -1, k->call->in[0]->ndim);
    if (axis < 0) return ref_no_axis(k, "axis");
    s->line = tn_around(k->call->in[0], axis);
    s->ascend = tn_call_bool(k->call, "is_ascend", true);
    info->scratch_bytes = (uint64_t)s->line.n * 2 * sizeof(int64_t);
    return TN_OK;
}

// NaN is larger than any number.
static bool less(ref_array x, int64_t i, int64_t j)
{
    if (!ref_is_float(x.dtype)) return ref_get_int(x, i) < ref_get_int(x, j);
    const double a = ref_get_real(x, i), b = ref_get_real(x, j);
    return a < b || (isnan(b) && !isnan(a));
}

// Merges the ordered runs begin … middle-1 and middle … end-1 of `from` into `to`; element i of
// the line is x[start + i · inner]. Of equal elements those of the first run come first.
static void merge(const order *s, ref_array x, int64_t start, const int64_t *from, int64_t *to,
                  const int64_t run[3])
{
    int64_t i = run[0], j = run[1];
    for (int64_t at = run[0]; at < run[2]; at++) {
        bool second = i == run[1];
        if (i < run[1] && j < run[2]) {
            const int64_t a = start + from[i] * s->line.inner, b = start + from[j] * s->line.inner;
            second = s->ascend ? less(x, b, a) : less(x, a, b);
        }
        to[at] = second ? from[j++] : from[i++];
    }
}

// Runs of 1, 2, 4 … elements are merged until one is left, which is returned.
static const int64_t *sort(const order *s, ref_array x, int64_t start, int64_t *a, int64_t *b)
{
    const int64_t n = s->line.n;
    for (int64_t i = 0; i < n; i++) a[i] = i;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t i = 0; i < n; i += 2 * width) {
            const int64_t middle = i + width < n ? i + width : n;
            const int64_t end = middle + width < n ? middle + width : n;
            merge(s, x, start, a, b, (const int64_t[3]){i, middle, end});
        }
        int64_t *const t = a;
        a = b;
        b = t;
    }
    return a;
}

const int64_t *ref_order_of(const double *v, int64_t n, bool ascend, int64_t *a, int64_t *b)
{
    const order s = {{1, n, 1}, ascend};
    return sort(&s, (ref_array){(void *)v, TN_F64, n}, 0, a, b);
}

static tn_status argsort(const tn_sdk_kernel *k, const tn_run_args *args)
{
    const order *s = k->state;
    const ref_array x = ref_in(k, args, 0), y = ref_out(k, args, 0);
    int64_t *lines = args->scratch.host;
    if (x.n == 0) return TN_OK;
    for (int64_t row = 0; row < s->line.outer * s->line.inner; row++) {
        const int64_t start = row / s->line.inner * s->line.n * s->line.inner + row % s->line.inner;
        const int64_t *found = sort(s, x, start, lines, lines + s->line.n);
        for (int64_t i = 0; i < s->line.n; i++) ref_put_int(y, start + i * s->line.inner, found[i]);
    }
    return TN_OK;
}

const tn_kernel_row ref_order[] = {
    {.op = "_argsort",
     .dtypes = TN_ALL_DTYPES,
     .flags = REF_FLAGS,
     .state_size = sizeof(order),
     .setup = setup,
     .run = argsort},
    {0},
};
