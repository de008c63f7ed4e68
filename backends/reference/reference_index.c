// backends/reference/reference_index.c: operators that look elements up by number.
#include "reference.h"

// ------------------------------------------------------------------ Embedding, take

// Row that an index means: outside 0 … n-1 the nearest end, or with mode wrap the index modulo n.
static int64_t row_of(bool wrap, int64_t index, int64_t n)
{
    if (wrap) return (index % n + n) % n;
    return index < 0 ? 0 : index >= n ? n - 1 : index;
}

// out(i…) = table[index i…], a row of the table each
static void look_up(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t table, uint32_t indices)
{
    const ref_array index = ref_in(k, a, indices);
    const int64_t rows = ref_span(k->call->in[table], 0, 1);
    const bool wrap = tn_call_is(k->call, "mode", "wrap");
    const size_t bytes = rows ? k->call->in[table]->bytes / (size_t)rows : 0;
    const char *from = a->in[table].host;
    char *out = a->out[0].host;
    if (bytes == 0) return;
    for (int64_t i = 0; i < index.n; i++)
        memcpy(out + (size_t)i * bytes,
               from + (size_t)row_of(wrap, ref_get_int(index, i), rows) * bytes, bytes);
}

// Inputs data, weight
static tn_status embedding(const tn_sdk_kernel *k, const tn_run_args *a)
{
    look_up(k, a, 1, 0);
    return TN_OK;
}

// Inputs a, indices; along the first axis
static tn_status take(const tn_sdk_kernel *k, const tn_run_args *a)
{
    look_up(k, a, 0, 1);
    return TN_OK;
}

static const char *take_cannot(const tn_call *c)
{
    if (c->in[0]->size == 0 && c->out[0]->size) return "there is no row to take";
    return tn_call_i64(c, "axis", 0) != 0 ? "takes along axis 0 only" : NULL;
}

// Scratch: the sums of all gradients of a row, before they are rounded; 8 bytes an element.
static tn_status scatter_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    info->scratch_bytes = (uint64_t)k->call->out[0]->size * 8;
    return TN_OK;
}

// Inputs dy(i…), indices(i…), like: the rows of dy are added up, each at its index.
static tn_status scatter_add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array dy = ref_in(k, a, 0), index = ref_in(k, a, 1), sums = ref_out(k, a, 0);
    const int64_t rows = ref_span(k->call->out[0], 0, 1);
    const bool wrap = tn_call_is(k->call, "mode", "wrap");
    const int64_t width = rows ? sums.n / rows : 0;
    double *real = a->scratch.host;
    int64_t *whole = a->scratch.host;
    if (sums.n == 0) return TN_OK;

    memset(a->scratch.host, 0, (size_t)sums.n * 8); // 0 and 0.0 alike
    for (int64_t i = 0; i < dy.n; i++) {
        const int64_t row = row_of(wrap, ref_get_int(index, i / width), rows);
        if (ref_is_float(dy.dtype))
            real[row * width + i % width] += ref_get_real(dy, i);
        else
            whole[row * width + i % width] += ref_get_int(dy, i);
    }
    for (int64_t i = 0; i < sums.n; i++) {
        if (ref_is_float(dy.dtype))
            ref_put_real(sums, i, real[i]);
        else
            ref_put_int(sums, i, whole[i]);
    }
    return TN_OK;
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

#define ROW(op_, setup_, run_)                                                               \
    {                                                                                        \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .setup = setup_, .run = run_ \
    }

const tn_kernel_row ref_index[] = {
    ROW("Embedding", NULL, embedding),
    ROW("_backward_Embedding", scatter_setup, scatter_add),
    ROW("_backward_take", scatter_setup, scatter_add),
    {.op = "take", .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .cannot = take_cannot, .run = take},
    ROW("one_hot", NULL, one_hot),
    {0},
};
