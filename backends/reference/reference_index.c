// backends/reference/reference_index.c: operators that look elements up by number.
#include "reference.h"

static int64_t clip_index(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

// ------------------------------------------------------------------ Embedding

// out(…, d) = weight[clip(int(data(…)), 0, rows - 1)](d)
static tn_status embedding(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array data = ref_in(k, a, 0);
    const tn_value_info *weight = k->call->in[1];
    const int64_t rows = ref_span(weight, 0, 1);
    const size_t bytes = rows ? weight->bytes / (size_t)rows : 0;
    const char *from = a->in[1].host;
    char *out = a->out[0].host;
    if (bytes == 0) return TN_OK;
    for (int64_t i = 0; i < data.n; i++)
        memcpy(out + (size_t)i * bytes,
               from + (size_t)clip_index(ref_get_int(data, i), rows) * bytes, bytes);
    return TN_OK;
}

// Scratch: the sums of all gradients of a row, before they are rounded; 8 bytes an element.
static tn_status scatter_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    info->scratch_bytes = (uint64_t)k->call->out[0]->size * 8;
    return TN_OK;
}

// Inputs dy(…, d), indices(…), like: dw[clip(int(indices(…)))](d) += dy(…, d), from zero
static tn_status scatter_add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array dy = ref_in(k, a, 0), data = ref_in(k, a, 1), dw = ref_out(k, a, 0);
    const int64_t rows = ref_span(k->call->out[0], 0, 1);
    const int64_t width = rows ? dw.n / rows : 0;
    double *real = a->scratch.host;
    int64_t *whole = a->scratch.host;
    if (dw.n == 0) return TN_OK;

    memset(a->scratch.host, 0, (size_t)dw.n * 8); // 0 and 0.0 alike
    for (int64_t i = 0; i < dy.n; i++) {
        const int64_t at = clip_index(ref_get_int(data, i / width), rows) * width + i % width;
        if (ref_is_float(dy.dtype))
            real[at] += ref_get_real(dy, i);
        else
            whole[at] += ref_get_int(dy, i);
    }
    for (int64_t i = 0; i < dw.n; i++) {
        if (ref_is_float(dy.dtype))
            ref_put_real(dw, i, real[i]);
        else
            ref_put_int(dw, i, whole[i]);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ take

// out(before, indices, after) = a(before, n, after) at clip(indices), with mode wrap at indices
// modulo n
static tn_status take(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_value_info *x = k->call->in[0];
    const ref_array indices = ref_in(k, a, 1);
    const int32_t axis = ref_axis_param(k->call, "axis", 0, x->ndim);
    if (axis < 0) return ref_no_axis(k, "axis");
    const bool wrap = tn_call_is(k->call, "mode", "wrap");
    const ref_line l = ref_around(x, axis);
    const size_t bytes = (size_t)l.inner * tn_dtype_size(x->dtype);
    const char *from = a->in[0].host;
    char *out = a->out[0].host;
    if (k->call->out[0]->bytes == 0) return TN_OK;

    for (int64_t o = 0; o < l.outer; o++) {
        for (int64_t i = 0; i < indices.n; i++) {
            const int64_t index = ref_get_int(indices, i);
            const int64_t at = wrap ? (index % l.n + l.n) % l.n : clip_index(index, l.n);
            memcpy(out, from + (size_t)(o * l.n + at) * bytes, bytes);
            out += bytes;
        }
    }
    return TN_OK;
}

static const char *take_cannot(const tn_call *c)
{
    const int32_t axis = ref_axis_param(c, "axis", 0, c->in[0]->ndim);
    if (axis >= 0 && c->in[0]->dims[axis] == 0 && c->out[0]->size) return "nothing to take from";
    return NULL;
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

#define ROW(op_, state_, setup_, run_)                                                \
    {                                                                                 \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .state_size = state_, \
        .setup = setup_, .run = run_                                                  \
    }

const tn_kernel_row ref_index[] = {
    ROW("Embedding", 0, NULL, embedding),
    ROW("_backward_Embedding", 0, scatter_setup, scatter_add),
    {.op = "take", .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .cannot = take_cannot, .run = take},
    ROW("one_hot", 0, NULL, one_hot),
    {0},
};
