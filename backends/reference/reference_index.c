// backends/reference/reference_index.c: operators that look elements up by number.
#include "reference.h"

// ------------------------------------------------------------------ Embedding, take

// A look-up: the table as (outer, n, inner) around the axis that is looked into, and the indices.
typedef struct look_up {
    tn_line line;
    int64_t indices;
    bool wrap, raise;
} look_up;

static void look_up_of(const tn_sdk_kernel *k, const tn_value_info *table,
                       const tn_value_info *index)
{
    look_up *l = k->state;
    l->line = tn_around(table, (int32_t)tn_call_i64(k->call, "axis", 0));
    l->indices = index->size;
    l->wrap = tn_call_is(k->call, "mode", "wrap");
    l->raise = tn_call_is(k->call, "mode", "raise");
}

// Row that an index means: outside 0 … n-1 the nearest end, or with mode wrap the index modulo n.
static int64_t row_of(bool wrap, int64_t index, int64_t n)
{
    if (wrap) return (index % n + n) % n;
    return index < 0 ? 0 : index >= n ? n - 1 : index;
}

// Is element i an index into n entries? A fraction is dropped; NaN is none.
static bool is_inside(ref_array index, int64_t i, int64_t n)
{
    if (ref_is_float(index.dtype) && isnan(ref_get_real(index, i))) return false;
    const int64_t at = ref_get_int(index, i);
    return at >= 0 && at < n;
}

// Fails at the first index that is outside 0 … n-1.
static tn_status all_inside(const tn_sdk_kernel *k, ref_array index, int64_t n)
{
    for (int64_t i = 0; i < index.n; i++)
        if (!is_inside(index, i, n))
            return tn_fail(k->host, TN_E_INVALID, "index %.17g at position %lld: wanted 0 to %lld",
                           ref_get_real(index, i), (long long)i, (long long)n - 1);
    return TN_OK;
}

// out(o, i, …) = table(o, index i, …), pieces of `inner` elements
static tn_status look_up_run(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t table,
                             uint32_t indices)
{
    const look_up *l = k->state;
    const ref_array index = ref_in(k, a, indices);
    const size_t bytes = (size_t)l->line.inner * tn_dtype_size(k->call->in[table]->dtype);
    const char *from = a->in[table].host;
    char *out = a->out[0].host;
    const tn_status s = l->raise ? all_inside(k, index, l->line.n) : TN_OK;
    if (s != TN_OK || k->call->out[0]->size == 0) return s;
    for (int64_t o = 0; o < l->line.outer; o++) {
        for (int64_t i = 0; i < l->indices; i++) {
            const int64_t row = row_of(l->wrap, ref_get_int(index, i), l->line.n);
            memcpy(out + (size_t)(o * l->indices + i) * bytes,
                   from + (size_t)(o * l->line.n + row) * bytes, bytes);
        }
    }
    return TN_OK;
}

// Inputs data, weight
static tn_status embedding_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    look_up_of(k, k->call->in[1], k->call->in[0]);
    return TN_OK;
}

static tn_status embedding(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return look_up_run(k, a, 1, 0);
}

// Inputs a, indices
static tn_status take_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    look_up_of(k, k->call->in[0], k->call->in[1]);
    return TN_OK;
}

static tn_status take(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return look_up_run(k, a, 0, 1);
}

static const char *take_cannot(const tn_call *c)
{
    return c->in[0]->size == 0 && c->out[0]->size ? "there is no row to take" : NULL;
}

// Scratch: the sums of all gradients of a row, before they are rounded; 8 bytes an element.
static tn_status scatter_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    info->scratch_bytes = (uint64_t)k->call->out[0]->size * 8;
    look_up_of(k, k->call->out[0], k->call->in[1]);
    return TN_OK;
}

// Inputs dy(o, i…, …), indices(i…), like: the rows of dy are added up, each at its index.
static tn_status scatter_add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const look_up *l = k->state;
    const ref_array dy = ref_in(k, a, 0), index = ref_in(k, a, 1), sums = ref_out(k, a, 0);
    double *real = a->scratch.host;
    int64_t *whole = a->scratch.host;
    if (sums.n == 0) return TN_OK;

    memset(a->scratch.host, 0, (size_t)sums.n * 8); // 0 and 0.0 alike
    for (int64_t i = 0; i < dy.n; i++) {
        const int64_t piece = i / l->line.inner, outer = piece / l->indices;
        const int64_t row = row_of(l->wrap, ref_get_int(index, piece % l->indices), l->line.n);
        const int64_t at = (outer * l->line.n + row) * l->line.inner + i % l->line.inner;
        if (ref_is_float(dy.dtype))
            real[at] += ref_get_real(dy, i);
        else
            whole[at] += ref_get_int(dy, i);
    }
    for (int64_t i = 0; i < sums.n; i++) {
        if (ref_is_float(dy.dtype))
            ref_put_real(sums, i, real[i]);
        else
            ref_put_int(sums, i, whole[i]);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ _check_index

static tn_status check_index(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array index = ref_in(k, a, 0), y = ref_out(k, a, 0);
    const tn_status s = all_inside(k, index, tn_call_i64(k->call, "extent", 0));
    for (int64_t i = 0; s == TN_OK && i < y.n; i++) ref_put_int(y, i, ref_get_int(index, i));
    return s;
}

// ------------------------------------------------------------------ one_hot

// out(…, j) = on_value where j = indices(…), else off_value
static tn_status one_hot(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array indices = ref_in(k, a, 0), y = ref_out(k, a, 0);
    const int64_t depth = tn_call_i64(k->call, "depth", 0);
    const double on = tn_call_f64(k->call, "on_value", 1);
    const double off = tn_call_f64(k->call, "off_value", 0);
    for (int64_t i = 0; i < y.n; i++)
        ref_put_real(y, i, ref_get_int(indices, i / depth) == i % depth ? on : off);
    return TN_OK;
}

#define ROW(op_, cannot_, setup_, run_)                                                        \
    {                                                                                          \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .state_size = sizeof(look_up), \
        .cannot = cannot_, .setup = setup_, .run = run_                                        \
    }

const tn_kernel_row ref_index[] = {
    ROW("Embedding", NULL, embedding_setup, embedding),
    ROW("_backward_Embedding", NULL, scatter_setup, scatter_add),
    ROW("take", take_cannot, take_setup, take),
    ROW("_backward_take", NULL, scatter_setup, scatter_add),
    ROW("_check_index", NULL, NULL, check_index),
    ROW("one_hot", NULL, NULL, one_hot),
    {0},
};
