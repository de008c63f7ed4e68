// backends/blas/blas_sequence.c: steps behind the ends of sequences.
#include "blas.h"

typedef struct mask {
    int64_t steps, sequences, inner; // of data (T, N, ...)
    size_t size;                     // bytes of an element
    uint64_t value;                  // the bytes of one
    const int64_t *length;
    const char *x;
    char *y;
} mask;

// Scratch: the lengths.
static tn_status mask_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    mask *m = k->state;
    const tn_value_info *x = k->call->in[0];
    const double value = tn_call_f64(k->call, "value", 0) + 0.0; // no -0, as in a sum with 0
    const int64_t whole = blas_as_int(x->dtype, value);
    m->steps = x->dims[0];
    m->sequences = x->dims[1];
    m->inner = tn_span(x, 2, x->ndim);
    m->size = tn_dtype_size(x->dtype);
    if (blas_is_float(x->dtype))
        blas_store_f64(x->dtype, &m->value, 0, 1, &value);
    else
        blas_store_i64(x->dtype, &m->value, 0, 1, &whole);
    info->scratch_bytes = (uint64_t)m->sequences * sizeof(int64_t);
    blas_inplace(k, info, 0);
    return TN_OK;
}

// Items are steps; neighbours of the same kind are written together.
static void mask_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const mask *m = ctx;
    const size_t row = (size_t)m->inner * m->size;
    (void)worker;
    for (int64_t t = begin; t < end; t++)
        for (int64_t n = 0, next; n < m->sequences; n = next) {
            const bool inside = !m->length || t < m->length[n];
            const size_t at = (size_t)(t * m->sequences + n) * row;
            next = m->length ? n + 1 : m->sequences;
            while (next < m->sequences && inside == (t < m->length[next])) next++;
            const size_t bytes = (size_t)(next - n) * row;
            if (inside)
                blas_copy(m->y + at, m->x + at, bytes);
            else if (m->value == 0)
                memset(m->y + at, 0, bytes);
            else
                for (size_t i = 0; i < bytes; i += m->size)
                    memcpy(m->y + at + i, &m->value, m->size);
        }
}

// Inputs data, sequence_length
static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    mask m = *(const mask *)k->state;
    if (k->call->out[0]->size == 0) return TN_OK;
    m.x = blas_in(a, 0);
    m.y = blas_out(a, 0);
    if (tn_call_bool(k->call, "use_sequence_length", false)) {
        blas_load_i64(k->call->in[1]->dtype, blas_in(a, 1), 0, m.sequences, a->scratch.host);
        m.length = a->scratch.host;
    }
    blas_items(k, a, m.steps, m.sequences * m.inner, 4 * BLAS_CHEAP, mask_range, &m);
    return TN_OK;
}

static const char *mask_cannot(const tn_call *c)
{
    const bool flag = c->in[0]->dtype == TN_BOOL && tn_call_f64(c, "value", 0) != 0;
    return flag ? "a value of bool data" : NULL;
}

const tn_kernel_row blas_sequences[] = {
    {.op = "SequenceMask",
     .dtypes = TN_ALL_DTYPES,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(mask),
     .cannot = mask_cannot,
     .setup = mask_setup,
     .run = run},
    {0},
};
