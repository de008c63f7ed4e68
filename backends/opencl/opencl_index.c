// backends/opencl/opencl_index.c: operators that look elements up, or add them
// up, by index.
#include "opencl.h"

// A value as (outer, n, inner) around an axis, and a part of it with m entries
// there; box says which index belongs to each element of the part.
typedef struct along {
    tn_line line;
    int64_t m;
    ocl_box box;
    bool wrap;
    uint32_t data, index; // inputs
} along;

// Embedding and take, and what adds up their gradients: pieces of `inner`
// elements.
static along pieces(const tn_call *c, const tn_value_info *table, uint32_t data, uint32_t index)
{
    along a = {.line = tn_around(table, (int32_t)tn_call_i64(c, "axis", 0)),
               .m = c->in[index]->size,
               .wrap = tn_call_is(c, "mode", "wrap"),
               .data = data,
               .index = index};
    ocl_box_add(&a.box, a.line.outer, 0);
    ocl_box_add(&a.box, a.m, 1);
    ocl_box_add(&a.box, a.line.inner, 0);
    return a;
}

static tn_status along_axis(const tn_sdk_kernel *k, const tn_value_info *whole,
                            const tn_value_info *part, along *a)
{
    const int32_t axis = tn_axis(tn_call_i64(k->call, "axis", 0), whole->ndim);
    if (axis < 0) return ocl_no_axis(k, "axis");
    *a = (along){.line = tn_around(whole, axis),
                 .m = part->dims[axis],
                 .box = ocl_broadcast(k->call->in[1], part),
                 .index = 1};
    return TN_OK;
}

static ocl_launch *add(ocl_plan *p, tn_dtype data, tn_dtype index, const char *name)
{
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(data), 2, (const tn_dtype[]){data, index});
    ocl_append(&t, ocl_index_cl);
    return ocl_add_text(p, &t, name);
}

static void pass(ocl_plan *p, ocl_launch *l, const along *a, int64_t n)
{
    ocl_bytes(p, l, &a->box, sizeof a->box);
    ocl_int(p, l, n);
    ocl_int(p, l, a->m);
    ocl_int(p, l, a->line.n);
    ocl_int(p, l, a->line.inner);
    ocl_int(p, l, a->wrap);
    ocl_over(p, l, n, 1, 1);
}

// ------------------------------------------------------------------ indices that are checked

// Kernels of check.cl, with numbers of the kind of indices.
static ocl_launch *add_check(ocl_plan *p, uint32_t input, const char *name)
{
    const tn_dtype index = p->k->call->in[input]->dtype;
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(index), 2, (const tn_dtype[]){TN_I64, index});
    ocl_complaints(&t);
    ocl_append(&t, ocl_check_cl);
    return ocl_add_text(p, &t, name);
}

static uint32_t checked_input(const tn_call *c)
{
    const char *name = c->op->name;
    return strcmp(name, "take") == 0 || strcmp(name, "_take_along") == 0;
}

static int64_t checked_extent(const tn_call *c)
{
    const char *name = c->op->name;
    if (strcmp(name, "_check_index") == 0) return tn_call_i64(c, "extent", 0);
    if (strcmp(name, "Embedding") == 0) return c->in[1]->dims[0];
    const int32_t axis = tn_axis(tn_call_i64(c, "axis", 0), c->in[0]->ndim);
    return axis < 0 ? 0 : c->in[0]->dims[axis];
}

static tn_status not_inside(const ocl_plan *p, const int64_t what[2])
{
    const tn_call *c = p->k->call;
    const tn_dtype number = ocl_number(c->in[checked_input(c)]->dtype);
    const int32_t bits = (int32_t)what[1];
    float narrow;
    double v;
    memcpy(&narrow, &bits, sizeof narrow);
    memcpy(&v, &what[1], sizeof v);
    v = number == TN_F64 ? v : number == TN_F32 ? (double)narrow : (double)what[1];
    return tn_fail(p->k->host, TN_E_INVALID,
                   "%s (%s) on opencl:%s: index %.17g at position %lld: wanted 0 to %lld", c->name,
                   c->op->name, p->device->number, v, (long long)what[0],
                   (long long)checked_extent(c) - 1);
}

// Complains of the first index that is outside. Scratch: an int.
static void check(ocl_plan *p, tn_kernel_info *info)
{
    const tn_call *c = p->k->call;
    const uint32_t input = checked_input(c);
    info->scratch_bytes = sizeof(cl_int);
    ocl_launch *l = add_check(p, input, "begin_check");
    ocl_scratch(p, l, 0);
    ocl_over(p, l, 1, 1, 1);
    l = add_check(p, input, "find_bad");
    ocl_in(p, l, input);
    ocl_scratch(p, l, 0);
    ocl_int(p, l, c->in[input]->size);
    ocl_int(p, l, tn_saturate((double)checked_extent(c), 0, INT32_MAX));
    ocl_over(p, l, c->in[input]->size, 1, 1);
    l = add_check(p, input, "report_bad");
    ocl_in(p, l, input);
    ocl_scratch(p, l, 0);
    ocl_fault(p, l, not_inside);
    ocl_groups(p, l, (const size_t[]){1, 1, 1}, (const size_t[]){1, 1, 1});
}

static tn_status check_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    ocl_plan *p = ocl_begin(k);
    check(p, info);
    ocl_launch *l = add_check(p, 0, "copy_index");
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_int(p, l, c->out[0]->size);
    ocl_over(p, l, c->out[0]->size, 1, 1);
    return ocl_end(p);
}

// ------------------------------------------------------------------ looking up

static tn_status look_up(tn_sdk_kernel *k, tn_kernel_info *info, along *a)
{
    const tn_call *c = k->call;
    ocl_plan *p = ocl_begin(k);
    ocl_box_collapse(&a->box);
    if (tn_call_is(c, "mode", "raise")) check(p, info);
    ocl_launch *l = add(p, c->in[a->data]->dtype, c->in[a->index]->dtype, "look_up");
    ocl_in(p, l, a->data);
    ocl_in(p, l, a->index);
    ocl_out(p, l, 0);
    pass(p, l, a, c->out[0]->size);
    return ocl_end(p);
}

// Sums are made in the output where that is of the type of sums, else in
// scratch.
static tn_status add_up(tn_sdk_kernel *k, tn_kernel_info *info, along *a)
{
    const tn_call *c = k->call;
    const tn_value_info *y = c->out[0];
    const bool direct = y->dtype == ocl_number(y->dtype);
    ocl_plan *p = ocl_begin(k);
    info->scratch_bytes = direct ? 0 : (uint64_t)y->size * 8;
    ocl_box_collapse(&a->box);
    ocl_launch *l = add(p, y->dtype, c->in[a->index]->dtype, "set_zero");
    direct ? ocl_out(p, l, 0) : ocl_scratch(p, l, 0);
    ocl_int(p, l, y->size);
    ocl_over(p, l, y->size, 1, 1);
    l = add(p, y->dtype, c->in[a->index]->dtype, "add_up");
    ocl_in(p, l, a->data);
    ocl_in(p, l, a->index);
    direct ? ocl_out(p, l, 0) : ocl_scratch(p, l, 0);
    pass(p, l, a, y->size ? a->line.outer * a->line.inner : 0);
    if (direct) return ocl_end(p);
    l = add(p, y->dtype, c->in[a->index]->dtype, "round_sums");
    ocl_scratch(p, l, 0);
    ocl_out(p, l, 0);
    ocl_int(p, l, y->size);
    ocl_over(p, l, y->size, 1, 1);
    return ocl_end(p);
}

// Inputs data, weight
static tn_status embedding_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    along a = pieces(k->call, k->call->in[1], 1, 0);
    return look_up(k, info, &a);
}

// Inputs a, indices
static tn_status take_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    along a = pieces(k->call, k->call->in[0], 0, 1);
    return look_up(k, info, &a);
}

static tn_status pieces_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    along a = pieces(k->call, k->call->out[0], 0, 1);
    return add_up(k, info, &a);
}

static tn_status take_along_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    along a;
    const tn_status s = along_axis(k, k->call->in[0], k->call->out[0], &a);
    return s == TN_OK ? look_up(k, info, &a) : s;
}

static tn_status take_along_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    along a;
    const tn_status s = along_axis(k, k->call->out[0], k->call->in[0], &a);
    return s == TN_OK ? add_up(k, info, &a) : s;
}

static const char *look_up_cannot(const tn_call *c)
{
    const tn_value_info *table = c->in[strcmp(c->op->name, "Embedding") == 0 ? 1 : 0];
    return table->size == 0 && c->out[0]->size ? "there is no row to take" : NULL;
}

static tn_status one_hot_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_dtype y = c->out[0]->dtype;
    (void)info;
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, y, c->in[0]->dtype, "one_hot");
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_int(p, l, c->out[0]->size);
    ocl_int(p, l, tn_call_i64(c, "depth", 0));
    ocl_real(p, l, ocl_number(y), tn_call_f64(c, "on_value", 1));
    ocl_real(p, l, ocl_number(y), tn_call_f64(c, "off_value", 0));
    ocl_over(p, l, c->out[0]->size, 1, 1);
    return ocl_end(p);
}

#define ROW(op_, cannot_, setup_) OCL_ROW(op_, TN_ALL_DTYPES, cannot_, setup_)

const tn_kernel_row ocl_indices[] = {
    ROW("Embedding", look_up_cannot, embedding_setup),
    ROW("_backward_Embedding", NULL, pieces_backward_setup),
    ROW("take", look_up_cannot, take_setup),
    ROW("_backward_take", NULL, pieces_backward_setup),
    ROW("_take_along", look_up_cannot, take_along_setup),
    ROW("_backward_take_along", NULL, take_along_backward_setup),
    ROW("_check_index", NULL, check_setup),
    ROW("one_hot", NULL, one_hot_setup),
    {0},
};
