// backends/opencl/opencl_order.c: the order of elements along an axis.
#include "opencl.h"

enum { RUN = 16 }; // as order.cl has it

static ocl_launch *add(ocl_plan *p, const ocl_sorting *s, const char *name)
{
    const tn_dtype types[] = {s->key, s->to_output ? p->k->call->out[0]->dtype : TN_I32};
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(s->key), 2, types);
    ocl_append(&t, ocl_order_cl);
    return ocl_add_text(p, &t, name);
}

// The last arguments. Where the output is not written, a pointer to something stands for it.
static void pass(ocl_plan *p, ocl_launch *l, const ocl_sorting *s, int64_t width)
{
    const int64_t size = s->line.outer * s->line.n * s->line.inner;
    s->to_output ? ocl_out(p, l, 0) : ocl_scratch(p, l, s->order[0]);
    ocl_int(p, l, size);
    ocl_int(p, l, s->line.n);
    ocl_int(p, l, s->line.inner);
    ocl_int(p, l, s->ascend);
    if (width > 1) ocl_int(p, l, width);
    ocl_int(p, l, s->to_output && s->line.n <= (width > 1 ? 2 * width : RUN) ? s->keep : 0);
    ocl_over(p, l, size, 1, 1);
}

static void key(ocl_plan *p, ocl_launch *l, const ocl_sorting *s)
{
    s->in_scratch ? ocl_scratch(p, l, s->at) : ocl_in(p, l, 0);
}

uint64_t ocl_sort(ocl_plan *p, const ocl_sorting *s)
{
    uint64_t from = s->order[0], to = s->order[1];
    ocl_launch *l = add(p, s, "rank_runs");
    key(p, l, s);
    ocl_scratch(p, l, from);
    pass(p, l, s, 0);
    for (int64_t width = RUN; width < s->line.n; width *= 2) {
        l = add(p, s, "merge_runs");
        key(p, l, s);
        ocl_scratch(p, l, from);
        ocl_scratch(p, l, to);
        pass(p, l, s, width);
        const uint64_t other = from;
        from = to;
        to = other;
    }
    return from;
}

// Scratch: two orders.
static tn_status argsort_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    const int32_t axis = tn_axis(tn_call_i64(k->call, "axis", -1), x->ndim);
    if (axis < 0) return ocl_no_axis(k, "axis");
    ocl_room room = {0};
    ocl_sorting s = {.key = x->dtype,
                     .line = tn_around(x, axis),
                     .ascend = tn_call_bool(k->call, "is_ascend", true),
                     .to_output = true};
    s.keep = tn_call_i64(k->call, "k", s.line.n);
    for (int i = 0; i < 2; i++) s.order[i] = ocl_take(&room, x->size, sizeof(cl_int));
    info->scratch_bytes = room.used;
    ocl_plan *p = ocl_begin(k);
    ocl_sort(p, &s);
    return ocl_end(p);
}

const tn_kernel_row ocl_orders[] = {
    OCL_ROW("_argsort", TN_ALL_DTYPES, NULL, argsort_setup),
    OCL_ROW("_argsort_first", TN_ALL_DTYPES, NULL, argsort_setup),
    {0},
};
