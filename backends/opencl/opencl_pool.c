// backends/opencl/opencl_pool.c: Pooling over 1 to 3 spatial axes, and its
// gradients.
#include "opencl.h"

typedef struct slides { // as pool.cl has it
    cl_int wide[3], narrow[3], window[3], stride[3], dilate[3], pad[3];
} slides;

// global_pool: one window over all, whatever kernel, stride and pad say.
static slides slides_of(const tn_call *c, const tn_value_info *x, const tn_value_info *y)
{
    const tn_ints kernel = tn_call_ints(c, "kernel"), pad = tn_call_ints(c, "pad");
    const tn_ints stride = tn_call_ints(c, "stride");
    const bool global = tn_call_bool(c, "global_pool", false);
    slides s = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
    const int32_t n = x->ndim - 2;
    for (int32_t i = 0; i < n; i++) {
        const int32_t axis = 3 - n + i;
        s.wide[axis] = (cl_int)x->dims[2 + i];
        s.narrow[axis] = (cl_int)y->dims[2 + i];
        s.window[axis] = global ? s.wide[axis] : (cl_int)kernel.v[i];
        s.stride[axis] = global ? 1 : (cl_int)tn_entry(stride, i, 1);
        s.pad[axis] = global ? 0 : (cl_int)tn_entry(pad, i, 0);
    }
    return s;
}

static ocl_launch *add_from(ocl_plan *p, const char *text, const char *name)
{
    const tn_dtype dtype = p->k->call->out[0]->dtype;
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(dtype), 1, &dtype);
    if (dtype == TN_F32) ocl_append(&t, "#define FOURS\n");
    ocl_append(&t, text);
    return ocl_add_text(p, &t, name);
}

static ocl_launch *add(ocl_plan *p, const char *name)
{
    return add_from(p, ocl_pool_cl, name);
}

static int mode_of(const tn_call *c)
{
    return tn_call_is(c, "pool_type", "max") ? 0 : tn_call_is(c, "pool_type", "avg") ? 2 : 1;
}

static void pass(ocl_plan *p, ocl_launch *l, const slides *s, int64_t points, int64_t planes)
{
    const tn_call *c = p->k->call;
    ocl_bytes(p, l, s, sizeof *s);
    ocl_int(p, l, mode_of(c));
    ocl_int(p, l, tn_call_bool(c, "count_include_pad", true));
    ocl_over(p, l, points, planes, 1);
}

// Maxima of 2 by 2 side by side, on a CPU: lines of windows.
static bool is_pairs(const ocl_plan *p, const slides *s)
{
    bool pairs = p->device->cpu && mode_of(p->k->call) == 0 && s->window[0] == 1 &&
                 s->wide[0] == s->narrow[0] && s->stride[0] == 1 && s->pad[0] == 0;
    for (int i = 1; i < 3; i++)
        pairs = pairs && s->window[i] == 2 && s->stride[i] == 2 && s->pad[i] == 0 &&
                s->wide[i] == 2 * s->narrow[i];
    return pairs;
}

static void over_lines(ocl_plan *p, ocl_launch *l, const slides *s, int64_t planes)
{
    const int64_t lines = planes * s->narrow[0] * s->narrow[1];
    ocl_int(p, l, lines);
    ocl_int(p, l, s->narrow[2]);
    ocl_over(p, l, s->narrow[2] ? lines : 0, 1, 1);
}

// Results and sums gather in memory, which narrow floats are not made for.
static bool by_planes(const ocl_plan *p, const tn_value_info *x)
{
    return p->device->cpu && (OCL_REALS & TN_BIT(x->dtype));
}

static void pass_planes(ocl_plan *p, ocl_launch *l, const slides *s, const tn_value_info *x,
                        bool any)
{
    const int64_t planes = tn_span(x, 0, 2);
    ocl_bytes(p, l, s, sizeof *s);
    ocl_int(p, l, mode_of(p->k->call));
    ocl_int(p, l, tn_call_bool(p->k->call, "count_include_pad", true));
    ocl_int(p, l, planes);
    ocl_singly(p, l, any ? planes : 0, 1, 1);
}

static tn_status pool_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0], *y = k->call->out[0];
    const slides s = slides_of(k->call, x, y);
    (void)info;
    ocl_plan *p = ocl_begin(k);
    if (is_pairs(p, &s)) {
        ocl_launch *pairs = add_from(p, ocl_pairs_cl, "max_pairs");
        ocl_in(p, pairs, 0);
        ocl_out(p, pairs, 0);
        over_lines(p, pairs, &s, tn_span(x, 0, 2));
        return ocl_end(p);
    }
    const bool planes = by_planes(p, x);
    ocl_launch *l = add(p, planes ? "pool_planes" : "pool");
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    if (planes) {
        pass_planes(p, l, &s, x, y->size != 0);
        return ocl_end(p);
    }
    pass(p, l, &s, tn_span(y, 2, y->ndim), tn_span(x, 0, 2));
    return ocl_end(p);
}

// Inputs dy, data (of the sum its shape only)
static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *y = k->call->in[0], *x = k->call->out[0];
    const slides s = slides_of(k->call, x, y);
    (void)info;
    ocl_plan *p = ocl_begin(k);
    if (is_pairs(p, &s)) {
        ocl_launch *pairs = add_from(p, ocl_pairs_cl, "max_pairs_backward");
        for (uint32_t i = 0; i < 2; i++) ocl_in(p, pairs, i);
        ocl_out(p, pairs, 0);
        over_lines(p, pairs, &s, tn_span(x, 0, 2));
        return ocl_end(p);
    }
    if (by_planes(p, x)) {
        const bool max = mode_of(k->call) == 0;
        ocl_launch *planes = add(p, max ? "max_backward_planes" : "sum_backward_planes");
        ocl_in(p, planes, 0);
        if (max) ocl_in(p, planes, 1);
        ocl_out(p, planes, 0);
        pass_planes(p, planes, &s, x, x->size != 0);
        return ocl_end(p);
    }
    ocl_launch *l = add(p, "pool_backward");
    ocl_in(p, l, 0);
    ocl_in(p, l, mode_of(k->call) == 0 ? 1 : 0);
    ocl_out(p, l, 0);
    pass(p, l, &s, tn_span(x, 2, x->ndim), tn_span(x, 0, 2));
    return ocl_end(p);
}

const tn_kernel_row ocl_pools[] = {
    OCL_ROW("Pooling", TN_FLOATS, NULL, pool_setup),
    OCL_ROW("_backward_Pooling_max", TN_FLOATS, NULL, backward_setup),
    OCL_ROW("_backward_Pooling_sum", TN_FLOATS, NULL, backward_setup),
    {0},
};
