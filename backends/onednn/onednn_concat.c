// backends/onednn/onednn_concat.c: Concat, and its gradient as reorders of parts.
#include "onednn.h"

static int axis_of(const tn_call *c, const tn_value_info *whole)
{
    const int64_t axis = tn_call_i64(c, "dim", 1);
    return (int)(axis < 0 ? axis + whole->ndim : axis);
}

// How all values lie.
typedef struct order {
    bool last, narrow; // channels last, as bfloat16
} order;

static void look(order *o, const tn_layout *l)
{
    o->last = o->last || od_is_ours(l);
    o->narrow = o->narrow || od_is_narrow(l);
}

static dnnl_memory_desc_t md_of(const tn_value_info *v, order o)
{
    const dnnl_memory_desc_t md = o.last ? od_last(v) : od_plain(v, 0);
    return o.narrow ? od_narrow(&md) : md;
}

// All values in one order of axes: that of those that are not row-major.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    order o = {false, false};
    (void)host;
    for (uint32_t i = 0; i < c->n_in; i++) {
        if (od_input(c, i)) look(&o, &in[i]);
        in[i] = (tn_layout){NULL, 0, 0};
    }
    for (uint32_t i = 0; o.last && i < c->n_in; i++) {
        const dnnl_memory_desc_t md = md_of(c->in[i], o);
        if (od_input(c, i)) od_layout(&md, c->in[i], &in[i]);
    }
    for (uint32_t i = 0; o.last && i < c->n_out; i++) {
        const dnnl_memory_desc_t md = md_of(c->out[i], o);
        od_layout(&md, c->out[i], &out[i]);
    }
    return TN_OK;
}

// Channels last if any value is, so that those for which it makes no difference do not disagree.
static order order_of(const tn_call *c)
{
    order o = {false, false};
    for (uint32_t i = 0; i < c->n_in; i++) look(&o, &c->in[i]->layout);
    for (uint32_t i = 0; i < c->n_out; i++) look(&o, &c->out[i]->layout);
    return o;
}

// ------------------------------------------------------------------ Concat

// The parts' descriptors, in memory of the plugin: *parts has c->n_in. NULL: no memory, or oneDNN
// cannot do it (*parts tells).
static dnnl_primitive_desc_t concat_pd(const tn_call *c, order o, dnnl_memory_desc_t **parts,
                                       dnnl_memory_desc_t *whole)
{
    dnnl_primitive_desc_t pd = NULL;
    *whole = md_of(c->out[0], o);
    *parts = calloc(c->n_in, sizeof **parts);
    if (!*parts || !od_engine()) return NULL;
    for (uint32_t i = 0; i < c->n_in; i++) (*parts)[i] = md_of(c->in[i], o);
    const int before = od_enter(od_threads(c));
    if (dnnl_concat_primitive_desc_create(&pd, whole, (int)c->n_in, axis_of(c, c->out[0]), *parts,
                                          od_attributes(), od_engine()) != dnnl_success)
        pd = NULL;
    od_leave(before);
    return pd;
}

static const char *concat_cannot(const tn_call *c)
{
    dnnl_memory_desc_t *parts, whole;
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    dnnl_primitive_desc_t pd = concat_pd(c, (order){false, false}, &parts, &whole);
    if (pd) dnnl_primitive_desc_destroy(pd);
    free(parts);
    return pd ? NULL : od_no_primitive;
}

static tn_status concat_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    dnnl_memory_desc_t *parts, whole;
    dnnl_primitive_desc_t pd = concat_pd(c, order_of(c), &parts, &whole);
    tn_status s = pd ? od_add(k, info, pd, (int32_t)c->n_in + 1)
                     : od_fail(k, parts ? dnnl_unimplemented : dnnl_out_of_memory, "Concat");
    for (uint32_t i = 0; i < c->n_in && s == TN_OK; i++)
        s = od_bind(k, DNNL_ARG_MULTIPLE_SRC + (int)i, &parts[i], OD_IN, i);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &whole, OD_OUT, 0);
    if (pd) dnnl_primitive_desc_destroy(pd);
    free(parts);
    return od_end(k, s);
}

// ------------------------------------------------------------------ _backward_Concat
//
// dy, shapes of the parts → the parts

// Part i of dy, where `at` is its first index on the axis.
static bool part_of(const tn_call *c, const dnnl_memory_desc_t *dy, uint32_t i, int64_t at,
                    dnnl_memory_desc_t *part)
{
    dnnl_dims_t dims, offsets = {0};
    for (int32_t a = 0; a < c->in[0]->ndim; a++) dims[a] = c->out[i]->dims[a];
    offsets[axis_of(c, c->in[0])] = at;
    return dnnl_memory_desc_init_submemory(part, dy, dims, offsets) == dnnl_success;
}

static dnnl_primitive_desc_t part_pd(const tn_call *c, const dnnl_memory_desc_t *from,
                                     const dnnl_memory_desc_t *to)
{
    dnnl_primitive_desc_t pd = NULL;
    const int before = od_enter(od_threads(c));
    if (!od_engine() || dnnl_reorder_primitive_desc_create(&pd, from, od_engine(), to, od_engine(),
                                                           od_attributes()) != dnnl_success)
        pd = NULL;
    od_leave(before);
    return pd;
}

static const char *parts_cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    return c->in[0]->ndim > DNNL_MAX_NDIMS || c->in[0]->ndim < 1 ? "too many axes" : NULL;
}

static tn_status add_part(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *dy,
                          uint32_t i, int64_t at)
{
    const dnnl_memory_desc_t to = md_of(k->call->out[i], order_of(k->call));
    dnnl_memory_desc_t from;
    dnnl_primitive_desc_t pd =
        part_of(k->call, dy, i, at, &from) ? part_pd(k->call, &from, &to) : NULL;
    tn_status s = pd ? od_add(k, info, pd, 2) : od_fail(k, dnnl_unimplemented, "a part");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_FROM, &from, OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_TO, &to, OD_OUT, i);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return s;
}

static tn_status parts_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const dnnl_memory_desc_t dy = md_of(c->in[0], order_of(c));
    const int axis = axis_of(c, c->in[0]);
    tn_status s = TN_OK;
    int64_t at = 0;
    for (uint32_t i = 0; i < c->n_out && s == TN_OK; at += c->out[i++]->dims[axis])
        s = add_part(k, info, &dy, i, at);
    return od_end(k, s);
}

#define ROW(op_, prefix_)                                                                  \
    {                                                                                      \
        .op = op_, .dtypes = OD_FLOATS | OD_WHOLE, .flags = OD_FLAGS | TN_K_DETERMINISTIC, \
        .impl = "concat", .state_size = sizeof(od_state), .cannot = prefix_##_cannot,      \
        .setup = prefix_##_setup, .run = od_run, .teardown = od_stop, .layouts = layouts   \
    }

const tn_kernel_row onednn_concat[] = {
    ROW("Concat", concat),
    ROW("_backward_Concat", parts),
    {0},
};
