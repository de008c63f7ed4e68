// backends/opencl/opencl_shape.c: operators that only move elements:
// transposition, broadcasting, joining, cutting, slices and choices. Bytes are
// moved, so every dtype stays exact.
#include "opencl.h"

static ocl_launch *add(ocl_plan *p, const char *name)
{
    const tn_call *c = p->k->call;
    static const char *const types[] = {"uchar", "ushort", "uint", "ulong"};
    const size_t size = tn_dtype_size(c->out[0]->dtype);
    const tn_dtype first = c->in[0]->dtype, number = ocl_number(first);
    ocl_text t = {.host = p->k->host};
    const bool choose = strcmp(name, "choose") == 0; // only it looks at values
    ocl_prologue(&t, choose ? number : TN_I64, 1, &(tn_dtype){choose ? first : TN_I64});
    ocl_printf(&t, "#define E %s\n", types[size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3]);
    ocl_append(&t, ocl_move_cl);
    return ocl_add_text(p, &t, name);
}

enum { CPU_ELEMENTS = 2048 }; // of a work item: PER of move.cl

// Moves n elements between a dense value and those of a box.
static void walk(ocl_plan *p, const char *kernel, uint32_t in, uint32_t out, ocl_box box, int64_t n)
{
    ocl_launch *l = add(p, kernel);
    ocl_box_collapse(&box);
    ocl_in(p, l, in);
    ocl_out(p, l, out);
    ocl_bytes(p, l, &box, sizeof box);
    ocl_int(p, l, n);
    if (p->device->cpu)
        ocl_singly(p, l, (n + CPU_ELEMENTS - 1) / CPU_ELEMENTS, 1, 1);
    else
        ocl_over(p, l, n, 1, 1);
}

static void gather(ocl_plan *p, uint32_t in, uint32_t out, ocl_box box)
{
    walk(p, "gather", in, out, box, p->k->call->out[out]->size);
}

static void scatter(ocl_plan *p, uint32_t in, uint32_t out, ocl_box box)
{
    walk(p, "scatter", in, out, box, p->k->call->in[in]->size);
}

static void clear(ocl_plan *p)
{
    const int64_t n = p->k->call->out[0]->size;
    ocl_launch *l = add(p, "clear");
    ocl_out(p, l, 0);
    ocl_int(p, l, n);
    ocl_over(p, l, n, 1, 1);
}

// ------------------------------------------------------------------ transpose,
// broadcasting

static tn_status permute_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    int32_t order[TN_MAX_NDIM];
    const char *wrong = tn_axes_order(k->call, x->ndim, order);
    ocl_box box = {0};
    (void)info;
    if (wrong) return ocl_no_axis(k, wrong);
    for (int32_t i = 0; i < x->ndim; i++)
        ocl_box_add(&box, x->dims[order[i]], tn_span(x, order[i] + 1, x->ndim));
    ocl_plan *p = ocl_begin(k);
    gather(p, 0, 0, box);
    return ocl_end(p);
}

static tn_status repeat_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    ocl_plan *p = ocl_begin(k);
    gather(p, 0, 0, ocl_broadcast(k->call->in[0], k->call->out[0]));
    return ocl_end(p);
}

// ------------------------------------------------------------------ Concat,
// SliceChannel

// The box of a part of `size` elements that begins `at` elements into each of
// `outer` rows.
static ocl_box part_box(int64_t outer, int64_t whole, int64_t size, int64_t at)
{
    ocl_box b = {.start = at};
    ocl_box_add(&b, outer, whole / (outer ? outer : 1));
    ocl_box_add(&b, size / (outer ? outer : 1), 1);
    return b;
}

// Joining (Concat, _backward_SliceChannel) and cutting (SliceChannel,
// _backward_Concat).
static tn_status joint(tn_sdk_kernel *k, const char *param, bool join)
{
    const tn_call *c = k->call;
    const tn_value_info *whole = join ? c->out[0] : c->in[0];
    const int32_t axis = tn_axis(tn_call_i64(c, param, 1), whole->ndim);
    int64_t at = 0;
    if (axis < 0) return ocl_no_axis(k, param);
    const int64_t outer = tn_span(whole, 0, axis);
    ocl_plan *p = ocl_begin(k);
    for (uint32_t i = 0; i < (join ? c->n_in : c->n_out); i++) {
        const int64_t size = join ? c->in[i]->size : c->out[i]->size;
        if (join)
            scatter(p, i, 0, part_box(outer, whole->size, size, at));
        else
            gather(p, 0, i, part_box(outer, whole->size, size, at));
        at += outer ? size / outer : 0;
    }
    return ocl_end(p);
}

static tn_status concat_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return joint(k, "dim", true);
}

static tn_status concat_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return joint(k, "dim", false);
}

static tn_status slice_channel_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return joint(k, "axis", false);
}

static tn_status slice_channel_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return joint(k, "axis", true);
}

// ------------------------------------------------------------------ slice

// The box of `part` in `whole`; the extents of part already say where each axis
// ends.
static tn_status slice_box(const tn_sdk_kernel *k, const tn_value_info *whole,
                           const tn_value_info *part, ocl_box *box)
{
    tn_cut cut[TN_MAX_NDIM];
    const char *wrong = tn_cut_axes(k->call, whole, cut);
    if (wrong) return ocl_no_axis(k, wrong);
    for (int32_t i = 0; i < whole->ndim; i++) {
        const int64_t stride = tn_span(whole, i + 1, whole->ndim);
        box->start += cut[i].start * stride;
        ocl_box_add(box, part->dims[i], cut[i].step * stride);
    }
    return TN_OK;
}

static tn_status slice_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ocl_box box = {0};
    (void)info;
    const tn_status s = slice_box(k, k->call->in[0], k->call->out[0], &box);
    if (s != TN_OK) return s;
    ocl_plan *p = ocl_begin(k);
    gather(p, 0, 0, box);
    return ocl_end(p);
}

// Inputs dy, like: 0, but for the box, which is dy
static tn_status slice_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ocl_box box = {0};
    (void)info;
    const tn_status s = slice_box(k, k->call->out[0], k->call->in[0], &box);
    if (s != TN_OK) return s;
    ocl_plan *p = ocl_begin(k);
    clear(p);
    scatter(p, 0, 0, box);
    return ocl_end(p);
}

// ------------------------------------------------------------------ where

static tn_status where_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    ocl_inplace(c, info, 1);
    ocl_inplace(c, info, 2);
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, "choose");
    for (uint32_t i = 0; i < 3; i++) ocl_in(p, l, i);
    ocl_out(p, l, 0);
    ocl_int(p, l, c->in[0]->size ? c->out[0]->size / c->in[0]->size : 1);
    ocl_int(p, l, c->out[0]->size);
    ocl_over(p, l, c->out[0]->size, 1, 1);
    return ocl_end(p);
}

#define ROW(op_, setup_) OCL_ROW(op_, TN_ALL_DTYPES, NULL, setup_)

const tn_kernel_row ocl_shape[] = {
    ROW("transpose", permute_setup),
    ROW("SwapAxis", permute_setup),
    ROW("broadcast_to", repeat_setup),
    ROW("broadcast_axis", repeat_setup),
    ROW("broadcast_like", repeat_setup),
    ROW("Concat", concat_setup),
    ROW("_backward_Concat", concat_backward_setup),
    ROW("SliceChannel", slice_channel_setup),
    ROW("_backward_SliceChannel", slice_channel_backward_setup),
    ROW("slice", slice_setup),
    ROW("slice_axis", slice_setup),
    ROW("_backward_slice", slice_backward_setup),
    ROW("_backward_slice_axis", slice_backward_setup),
    ROW("where", where_setup),
    {0},
};
