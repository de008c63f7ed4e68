// backends/onednn/onednn_slice.c: SliceChannel and its gradient: a reorder for each part.
//
// The whole is seen as (outer, rest): of each row, part i is the i-th of n equal pieces.
#include "onednn.h"

static bool joins(const tn_call *c)
{
    return strcmp(c->op->name, "_backward_SliceChannel") == 0;
}

// Elements of a row of the whole, and of a part; false: there is no such axis.
static bool pieces(const tn_call *c, int64_t *whole, int64_t *part)
{
    const tn_value_info *v = joins(c) ? c->out[0] : c->in[0];
    const int64_t parts = joins(c) ? c->n_in : c->n_out;
    const int32_t axis = tn_axis(tn_call_i64(c, "axis", 1), v->ndim);
    *whole = 1;
    for (int32_t i = axis < 0 ? 0 : axis; i < v->ndim; i++) *whole *= v->dims[i];
    *part = *whole / parts;
    return axis >= 0;
}

static const char *cannot(const tn_call *c)
{
    int64_t whole, part;
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    return pieces(c, &whole, &part) ? NULL : "it has no such axis";
}

// Part i out of the whole, or into it.
static tn_status add_part(tn_sdk_kernel *k, tn_kernel_info *info, uint32_t i, int64_t whole,
                          int64_t part)
{
    const bool join = joins(k->call);
    const tn_value_info *v = join ? k->call->in[i] : k->call->out[i];
    const dnnl_dims_t dims = {v->size / part, part}, steps = {whole, 1};
    const uint64_t offset = (uint64_t)(i * part) * tn_dtype_size(v->dtype);
    dnnl_memory_desc_t in, out = od_dense(2, dims, v->dtype);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&in, 2, dims, od_type(v->dtype), steps);
    const int before = od_enter(od_workers(k));
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(
            &pd, join ? &out : &in, od_engine(), join ? &in : &out, od_engine(), od_attributes());
    od_leave(before);
    if (status != dnnl_success) return od_fail(k, status, "a part");
    const int of_part = join ? DNNL_ARG_FROM : DNNL_ARG_TO;
    const int of_whole = join ? DNNL_ARG_TO : DNNL_ARG_FROM;
    tn_status s = od_add(k, info, pd, 2);
    if (s == TN_OK) s = od_bind_at(k, of_whole, &in, join ? OD_OUT : OD_IN, 0, offset);
    if (s == TN_OK) s = od_bind(k, of_part, &out, join ? OD_IN : OD_OUT, i);
    dnnl_primitive_desc_destroy(pd);
    return s;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const uint32_t parts = joins(k->call) ? k->call->n_in : k->call->n_out;
    int64_t whole, part;
    tn_status s = TN_OK;
    pieces(k->call, &whole, &part);
    for (uint32_t i = 0; i < parts && s == TN_OK; i++) s = add_part(k, info, i, whole, part);
    return od_end(k, s);
}

#define ROW(op_)                                                                                \
    {                                                                                           \
        .op = op_, .dtypes = TN_BIT(TN_F32) | OD_WHOLE, .flags = OD_FLAGS | TN_K_DETERMINISTIC, \
        .impl = "reorder", .state_size = sizeof(od_state), .cannot = cannot, .setup = setup,    \
        .run = od_run, .teardown = od_stop                                                      \
    }

const tn_kernel_row onednn_slice[] = {
    ROW("SliceChannel"),
    ROW("_backward_SliceChannel"),
    {0},
};
