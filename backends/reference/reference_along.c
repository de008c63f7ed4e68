// backends/reference/reference_along.c: looking up and sorting along one axis.
#include "reference.h"

typedef struct along {
    tn_line line;   // of the value that the index looks into, around the axis
    int64_t n_part; // extent of the axis in the part
    ref_box index;  // of the part's elements, in the index
} along;

static tn_status along_setup(tn_sdk_kernel *k, const tn_value_info *whole,
                             const tn_value_info *part)
{
    along *s = k->state;
    const int32_t axis = ref_axis_param(k->call, "axis", 0, whole->ndim);
    if (axis < 0) return ref_no_axis(k, "axis");
    s->line = tn_around(whole, axis);
    s->n_part = part->dims[axis];
    s->index = ref_broadcast(k->call->in[1], part);
    return TN_OK;
}

// Element of the whole that element i of the part comes from.
static int64_t source_of(const along *s, ref_array index, int64_t i)
{
    const int64_t at = ref_get_int(index, ref_at(&s->index, i));
    const int64_t j = at < 0 ? 0 : at >= s->line.n ? s->line.n - 1 : at;
    const int64_t outer = i / (s->n_part * s->line.inner);
    return (outer * s->line.n + j) * s->line.inner + i % s->line.inner;
}

// ------------------------------------------------------------------ _take_along

static const char *take_cannot(const tn_call *c)
{
    return c->in[0]->size == 0 && c->out[0]->size ? "there is no element to take" : NULL;
}

static tn_status take_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return along_setup(k, k->call->in[0], k->call->out[0]);
}

// Inputs data, index
static tn_status take(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array index = ref_in(k, a, 1);
    const size_t bytes = tn_dtype_size(k->call->out[0]->dtype);
    const char *x = a->in[0].host;
    char *y = a->out[0].host;
    for (int64_t i = 0; i < k->call->out[0]->size; i++)
        memcpy(y + (size_t)i * bytes, x + (size_t)source_of(k->state, index, i) * bytes, bytes);
    return TN_OK;
}

// Scratch: the sums before they are rounded, 8 bytes an element.
static tn_status add_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    info->scratch_bytes = (uint64_t)k->call->out[0]->size * 8;
    return along_setup(k, k->call->out[0], k->call->in[0]);
}

// Inputs dy, index, like
static tn_status add(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array dy = ref_in(k, a, 0), index = ref_in(k, a, 1), sums = ref_out(k, a, 0);
    double *real = a->scratch.host;
    int64_t *whole = a->scratch.host;
    if (sums.n == 0) return TN_OK;
    memset(a->scratch.host, 0, (size_t)sums.n * 8); // 0 and 0.0 alike
    for (int64_t i = 0; i < dy.n; i++) {
        const int64_t at = source_of(k->state, index, i);
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

// ------------------------------------------------------------------ _positions

static tn_status positions_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    along *s = k->state;
    const int32_t axis = ref_axis_param(k->call, "axis", 0, k->call->in[0]->ndim);
    if (axis < 0) return ref_no_axis(k, "axis");
    s->line = tn_around(k->call->in[0], axis);
    return TN_OK;
}

static tn_status positions(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const along *s = k->state;
    const ref_array y = ref_out(k, a, 0);
    for (int64_t i = 0; i < y.n; i++) ref_put_int(y, i, i / s->line.inner % s->line.n);
    return TN_OK;
}

#define ROW(op_, setup_, run_, cannot_)                                                      \
    {                                                                                        \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .state_size = sizeof(along), \
        .cannot = cannot_, .setup = setup_, .run = run_                                      \
    }

const tn_kernel_row ref_along[] = {
    ROW("_positions", positions_setup, positions, NULL),
    ROW("_take_along", take_setup, take, take_cannot),
    ROW("_backward_take_along", add_setup, add, NULL),
    {0},
};
