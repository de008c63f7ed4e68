// backends/opencl/opencl_reduce.c: sums and extremes over axes, and where the
// extremes are.
//
// An output element is the result of a walk: the kept axes say where it starts,
// the gone axes are walked over. Few long walks are cut into parts, whose
// results are brought together after.
#include "opencl.h"

typedef struct reduction {
    ocl_box kept, gone; // in the input
    int64_t n, results; // elements behind one result, and how many results
} reduction;

tn_status ocl_reduced_axes(const tn_sdk_kernel *k, const tn_value_info *x, bool gone[TN_MAX_NDIM])
{
    const char *wrong = tn_reduced_axes(k->call, x, gone);
    return wrong ? ocl_no_axis(k, wrong) : TN_OK;
}

static reduction split(const tn_value_info *x, const bool gone[TN_MAX_NDIM])
{
    reduction r = {.n = 1, .results = 1};
    for (int32_t axis = 0; axis < x->ndim; axis++) {
        ocl_box_add(gone[axis] ? &r.gone : &r.kept, x->dims[axis], tn_span(x, axis + 1, x->ndim));
        if (gone[axis])
            r.n *= x->dims[axis];
        else
            r.results *= x->dims[axis];
    }
    ocl_box_collapse(&r.kept);
    ocl_box_collapse(&r.gone);
    return r;
}

// Which axes go, by operator.
static tn_status gone_axes(const tn_sdk_kernel *k, bool gone[TN_MAX_NDIM])
{
    const char *op = k->call->op->name;
    const tn_value_info *x = k->call->in[0];
    if (strcmp(op, "_sum_like") == 0) { // inputs data, like: axes that broadcasting like repeats
        const tn_value_info *like = k->call->in[1];
        for (int32_t axis = 0; axis < x->ndim; axis++) {
            const int32_t at = axis - (x->ndim - like->ndim);
            gone[axis] = at < 0 || like->dims[at] != x->dims[axis];
        }
        return TN_OK;
    }
    if (strncmp(op, "arg", 3) != 0 && strcmp(op, "norm") != 0) return ocl_reduced_axes(k, x, gone);
    const int64_t axis = tn_call_i64(k->call, "axis", TN_NONE_I64);
    const int32_t at = axis == TN_NONE_I64 ? 0 : tn_axis(axis, x->ndim);
    if (at < 0) return ocl_no_axis(k, "axis");
    for (int32_t i = 0; i < x->ndim; i++) gone[i] = axis == TN_NONE_I64 || i == at;
    return TN_OK;
}

// ------------------------------------------------------------------ programs

// The least (or greatest) number of the dtype, with which the largest
// (smallest) begins.
static const char *edge(tn_dtype dtype, bool least)
{
    switch (dtype) {
    case TN_I8: return least ? "-128" : "127";
    case TN_U8: return least ? "0" : "255";
    case TN_I32: return least ? "INT_MIN" : "INT_MAX";
    case TN_I64: return least ? "LONG_MIN" : "LONG_MAX";
    case TN_BOOL: return least ? "0" : "1";
    default: return least ? "-INFINITY" : "INFINITY";
    }
}

static void put_reduction(ocl_text *t, const char *op, tn_dtype dtype, bool whole)
{
    const bool most = strcmp(op, "max") == 0, least = strcmp(op, "min") == 0;
    const bool prod = strcmp(op, "prod") == 0, mean = strcmp(op, "mean") == 0;
    const char *combine = most ? "BEATS_MAX" : least ? "BEATS_MIN" : prod ? "PROD" : "SUM";
    ocl_printf(t, "#define START %s\n",
               most    ? edge(dtype, true)
               : least ? edge(dtype, false)
               : prod  ? "1"
                       : "0");
    ocl_printf(t, "#define COMBINE %s\n#define REDUCE(v) %s(%s)\n", combine, combine,
               strcmp(op, "norm") == 0 ? "(v) * (v)" : "v");
    ocl_printf(t, "#define FINISH(v) %s\n",
               strcmp(op, "norm") == 0 ? "sqrt(v)"
               : !mean                 ? "(v)"
               : whole                 ? "(divisor ? (v) / divisor : 0)"
                                       : "((v) / divisor)");
}

// Sums of contiguous float32, which CPUs make in vectors.
static bool in_vectors(const ocl_plan *p, const reduction *r)
{
    const tn_call *c = p->k->call;
    const bool sums = strcmp(c->op->name, "sum") == 0 || strcmp(c->op->name, "mean") == 0;
    return sums && p->device->cpu && c->in[0]->dtype == TN_F32 &&
           r->gone.stride[r->gone.ndim - 1] == 1 && r->gone.dim[r->gone.ndim - 1] >= 16;
}

enum { PLACES = 1, VECTORS = 2 };

static ocl_launch *add(ocl_plan *p, const char *name, int how)
{
    const tn_call *c = p->k->call;
    const tn_dtype dtype = c->in[0]->dtype, number = ocl_number(dtype);
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, number, 2, (const tn_dtype[]){dtype, c->out[0]->dtype});
    ocl_append(&t, number == TN_I64 ? "#define IS_NAN(v) 0\n" : "#define IS_NAN(v) isnan(v)\n");
    if (how & VECTORS) ocl_append(&t, "#define SIXTEENS 1\n");
    if (!(how & PLACES)) {
        ocl_append(&t, "#define LINES_REDUCE 1\n");
        put_reduction(&t, c->op->name, dtype, number == TN_I64);
    }
    ocl_append(&t, ocl_lines_cl);
    return ocl_add_text(p, &t, name);
}

// ------------------------------------------------------------------ setups

enum { WORTH = 512 }; // elements of a part on a CPU: parts need one more kernel to be started

// Into how many parts each walk is cut, so that there is work for all units.
static int64_t parts_of(const tn_device *d, const reduction *r)
{
    const int64_t wanted = d->cpu ? (int64_t)d->units * 32 : (int64_t)d->units * 256;
    const int64_t least = d->cpu ? WORTH : 64;
    int64_t parts = 1;
    while (parts < 256 && r->results * parts < wanted && r->n / parts >= least) parts *= 2;
    return parts;
}

// Results that lie side by side are made together on CPUs: what is reduced lies across.
static bool by_columns(const ocl_plan *p, const reduction *r)
{
    const int32_t last = r->kept.ndim - 1;
    return p->device->cpu && r->kept.stride[last] == 1 && r->kept.dim[last] >= 16 && r->n > 1;
}

enum { BLOCK = 128 }; // of lines.cl

static int64_t blocks_of(const reduction *r)
{
    const int64_t last = r->kept.dim[r->kept.ndim - 1];
    return last ? r->results / last * ((last + BLOCK - 1) / BLOCK) : 0;
}

static int64_t parts_of_columns(const tn_device *d, const reduction *r)
{
    const int64_t wanted = (int64_t)d->units * 4;
    int64_t parts = 1;
    while (parts < 64 && blocks_of(r) * parts < wanted && r->n / parts >= WORTH) parts *= 2;
    return parts;
}

static tn_status reduce_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    bool gone[TN_MAX_NDIM];
    const tn_status s = gone_axes(k, gone);
    if (s != TN_OK) return s;
    ocl_plan *p = ocl_begin(k);
    const tn_dtype number = ocl_number(k->call->in[0]->dtype);
    const reduction r = split(k->call->in[0], gone);
    const bool columns = by_columns(p, &r);
    const int64_t parts = columns ? parts_of_columns(p->device, &r) : parts_of(p->device, &r);
    ocl_launch *l =
        columns ? add(p, "reduce_columns", 0) : add(p, "reduce", in_vectors(p, &r) ? VECTORS : 0);
    ocl_in(p, l, 0);
    if (parts > 1)
        ocl_scratch(p, l, 0);
    else
        ocl_out(p, l, 0);
    ocl_bytes(p, l, &r.kept, sizeof r.kept);
    ocl_bytes(p, l, &r.gone, sizeof r.gone);
    ocl_int(p, l, r.results);
    ocl_int(p, l, r.n);
    ocl_int(p, l, parts);
    ocl_real(p, l, number, (double)r.n);
    if (columns)
        ocl_singly(p, l, blocks_of(&r) * parts, 1, 1);
    else
        ocl_over(p, l, r.results * parts, 1, 1);
    if (parts == 1) return ocl_end(p);
    info->scratch_bytes = (uint64_t)(r.results * parts) * 8;
    l = add(p, "reduce_parts", 0);
    ocl_scratch(p, l, 0);
    ocl_out(p, l, 0);
    ocl_int(p, l, r.results);
    ocl_int(p, l, parts);
    ocl_int(p, l, r.n);
    ocl_real(p, l, number, (double)r.n);
    ocl_over(p, l, r.results, 1, 1);
    return ocl_end(p);
}

static tn_status extreme_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    bool gone[TN_MAX_NDIM];
    const tn_status s = gone_axes(k, gone);
    (void)info;
    if (s != TN_OK) return s;
    ocl_plan *p = ocl_begin(k);
    const reduction r = split(k->call->in[0], gone);
    ocl_launch *l = add(p, "extreme", PLACES);
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_bytes(p, l, &r.kept, sizeof r.kept);
    ocl_bytes(p, l, &r.gone, sizeof r.gone);
    ocl_int(p, l, r.results);
    ocl_int(p, l, r.n);
    ocl_int(p, l, strcmp(k->call->op->name, "argmax") == 0);
    ocl_over(p, l, r.results, 1, 1);
    return ocl_end(p);
}

// _broadcast_reduced(data, like): the result of a reduction over axis (),
// keepdims, exclude spread back over like's shape: the reduced axes repeat.
// scale_by_count divides by how often.
static tn_status spread_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *like = k->call->in[1];
    bool gone[TN_MAX_NDIM];
    const tn_status s = ocl_reduced_axes(k, like, gone);
    (void)info;
    if (s != TN_OK) return s;
    // Data holds the kept axes in their order, with or without extents of 1
    // between them.
    int64_t stride[TN_MAX_NDIM], next = 1, share = 1;
    for (int32_t axis = like->ndim; axis-- > 0;) {
        stride[axis] = gone[axis] ? 0 : next;
        if (gone[axis])
            share *= like->dims[axis];
        else
            next *= like->dims[axis];
    }
    ocl_box box = {0};
    for (int32_t axis = 0; axis < like->ndim; axis++)
        ocl_box_add(&box, like->dims[axis], stride[axis]);
    ocl_formula f = {.text = "x", .operand = {"x"}, .n_in = 1};
    if (tn_call_bool(k->call, "scale_by_count", false)) {
        f.text = ocl_is_float(k->call->in[0]->dtype) ? "x / c0" : "tn_quotient(x, c0)";
        f.n_constants = 1;
        f.constant[0] = (double)share;
    }
    ocl_plan *p = ocl_begin(k);
    ocl_map(p, &f, &box);
    return ocl_end(p);
}

const tn_kernel_row ocl_reduce[] = {
    OCL_ROW("sum", TN_ALL_DTYPES, NULL, reduce_setup),
    OCL_ROW("mean", TN_ALL_DTYPES, NULL, reduce_setup),
    OCL_ROW("prod", TN_ALL_DTYPES, NULL, reduce_setup),
    OCL_ROW("max", TN_ALL_DTYPES, NULL, reduce_setup),
    OCL_ROW("min", TN_ALL_DTYPES, NULL, reduce_setup),
    OCL_ROW("_sum_like", TN_ALL_DTYPES, NULL, reduce_setup),
    OCL_ROW("norm", TN_FLOATS, NULL, reduce_setup),
    OCL_ROW("argmax", TN_ALL_DTYPES, NULL, extreme_setup),
    OCL_ROW("argmin", TN_ALL_DTYPES, NULL, extreme_setup),
    OCL_ROW("_broadcast_reduced", TN_ALL_DTYPES, NULL, spread_setup),
    {0},
};
