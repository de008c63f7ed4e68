// backends/onednn/onednn_point.c: the gradients of convolutions of single points (1×1 kernels
// without strides or padding) as matrix products.
//
// With channels last and M points in all, data are (M, channels), and a row-major weight is
// (filters, channels). Then
//
//     dx (M, channels) = dy (M, filters) · w         [+ a value of that shape]
//     dw (filters, channels) = dyᵀ · x
//
// oneDNN's convolutions want the weight in blocks, and leave its gradient so; the products take and
// leave it as everybody else has it, which saves a reorder for each, and run no slower.
//
// Where float32 may be rounded, x, y and dx are stored as bfloat16, and so is w for dx; dw is
// float32.
#include "onednn.h"

typedef struct point {
    bool weight; // dw, else dx
    const tn_value_info *x, *w, *y;
} point;

typedef struct product {
    dnnl_memory_desc_t a, b, result;
    uint32_t from_a, from_b; // inputs
    dnnl_primitive_desc_t pd;
} product;

static bool all_are(tn_ints list, int64_t wanted)
{
    for (uint32_t i = 0; i < list.n; i++)
        if (list.v[i] != wanted) return false;
    return true;
}

// Before it multiplies bfloat16, oneDNN turns the points round. With many of them and few weights
// that takes longer than to reorder the gradient. (Measured with 64 to 2048 channels and 49 to 3136
// points a picture.)
static bool is_worth_it(const tn_call *c, const point *p)
{
    return !p->weight || !od_may_narrow(c) || p->w->size >= 2 * (p->y->size / p->w->dims[0]);
}

// Fills in p; false: the call is something else.
static bool point_of(const tn_call *c, point *p)
{
    p->weight = strcmp(c->op->name, "_backward_Convolution_weight") == 0;
    if (!p->weight && strcmp(c->op->name, "_backward_Convolution_data") != 0) return false;
    p->y = c->in[0];
    p->x = p->weight ? c->in[1] : c->out[0];
    p->w = p->weight ? c->out[0] : c->in[1];
    return all_are(tn_call_ints(c, "kernel"), 1) && all_are(tn_call_ints(c, "stride"), 1) &&
           all_are(tn_call_ints(c, "pad"), 0) && tn_call_i64(c, "num_group", 1) == 1 &&
           p->y->dtype == TN_F32 && od_same_dtypes(c) && !od_empty(c) && is_worth_it(c, p);
}

static bool lies_as(const dnnl_memory_desc_t *md, const tn_value_info *v)
{
    const dnnl_memory_desc_t narrow = od_narrow(md);
    return od_fits(od_is_narrow(&v->layout) ? &narrow : md, v);
}

static bool lies_last(const tn_value_info *v)
{
    const dnnl_memory_desc_t md = od_last(v);
    return lies_as(&md, v);
}

static bool lies_by_rows(const tn_value_info *v)
{
    const dnnl_memory_desc_t md = od_plain(v, 0);
    return lies_as(&md, v);
}

static dnnl_memory_desc_t strided(int n, const int64_t *dims, const int64_t *strides)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t d, s;
    memcpy(d, dims, (size_t)n * sizeof *dims);
    memcpy(s, strides, (size_t)n * sizeof *strides);
    if (dnnl_memory_desc_init_by_strides(&md, n, d, dnnl_f32, s) != dnnl_success)
        md = (dnnl_memory_desc_t){0};
    return md;
}

#define MATRIX(rows, columns, down, right) \
    strided(2, (const int64_t[]){rows, columns}, (const int64_t[]){down, right})
#define MATRICES(n, rows, columns, next, down, right) \
    strided(3, (const int64_t[]){n, rows, columns}, (const int64_t[]){next, down, right})

// last: the data have their channels last. Row-major data are a product for each picture; that is
// for plans in which nothing has a layout.
static product product_of(const tn_call *c, const point *p, const od_tail *tail, bool last,
                          bool narrow)
{
    const int64_t out = p->w->dims[0], in = p->w->dims[1], points = p->y->size / out;
    const int64_t n = p->y->dims[0], area = points / n;
    dnnl_matmul_desc_t d;
    product r = {.from_b = 1};
    if (p->weight) {
        r.a = MATRIX(out, points, 1, out);
        r.b = MATRIX(points, in, in, 1);
        r.result = MATRIX(out, in, in, 1);
    } else if (last) {
        r.a = MATRIX(points, out, out, 1);
        r.b = MATRIX(out, in, in, 1);
        r.result = MATRIX(points, in, in, 1);
    } else {
        r.a = MATRICES(1, in, out, in * out, 1, in);
        r.b = MATRICES(n, out, area, out * area, area, 1);
        r.result = MATRICES(n, in, area, in * area, area, 1);
        r.from_a = 1;
        r.from_b = 0;
    }
    if (narrow) {
        r.a = od_narrow(&r.a);
        r.b = od_narrow(&r.b);
        if (!p->weight) r.result = od_narrow(&r.result);
    }
    const int before = od_enter(od_threads(c));
    if (dnnl_matmul_desc_init(&d, &r.a, &r.b, NULL, &r.result) == dnnl_success)
        r.pd = od_descriptor_with(&d, tail, NULL);
    od_leave(before);
    return r;
}

// Both forms are there, and the one that matters is code for this CPU.
static const char *point_cannot(const tn_call *c, const od_tail *tail)
{
    point p;
    if (!point_of(c, &p)) return "the gradient is no plain matrix product";
    const char *why = NULL;
    for (int last = p.weight; last < 2 && !why; last++) {
        product r = product_of(c, &p, tail, last, last && od_may_narrow(c));
        if (!r.pd || (last && od_score(r.pd) < 2)) why = od_no_primitive;
        if (r.pd) dnnl_primitive_desc_destroy(r.pd);
    }
    return why;
}

bool od_is_point(const tn_call *c, bool as_it_lies)
{
    point p;
    if (!point_of(c, &p) || (as_it_lies && (!lies_last(p.x) || !lies_last(p.y)))) return false;
    return (!as_it_lies || lies_by_rows(p.w)) && !point_cannot(c, NULL);
}

static tn_status point_layouts(const tn_call *c, const od_tail *tail, tn_layout *in, tn_layout *out)
{
    point p;
    (void)tail;
    if (!point_of(c, &p)) return TN_OK;
    const dnnl_memory_desc_t wide[] = {od_last(p.x), od_plain(p.w, 0), od_last(p.y)};
    dnnl_memory_desc_t md[3];
    for (int i = 0; i < 3; i++) md[i] = od_may_narrow(c) ? od_narrow(&wide[i]) : wide[i];
    if (!p.weight) od_layout(&md[1], p.w, &in[1]);
    od_layout(&md[2], p.y, &in[0]);
    od_layout(&md[0], p.x, p.weight ? &in[1] : &out[0]);
    return TN_OK;
}

static tn_status point_add(tn_sdk_kernel *k, const tn_call *c, const od_tail *tail,
                           tn_kernel_info *info)
{
    point p;
    if (!point_of(c, &p)) return od_fail(k, dnnl_unimplemented, c->op->name);
    product r =
        product_of(c, &p, tail, lies_last(p.x) && lies_last(p.y), od_is_narrow(&p.y->layout));
    tn_status s = r.pd ? od_add(k, info, r.pd, 3) : od_fail(k, dnnl_unimplemented, c->op->name);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_SRC, &r.a, OD_IN, r.from_a);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_WEIGHTS, &r.b, OD_IN, r.from_b);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &r.result, OD_OUT, 0);
    if (r.pd) dnnl_primitive_desc_destroy(r.pd);
    return s;
}

const od_leader onednn_point_leader = {"_backward_Convolution_data", point_cannot, point_layouts,
                                       point_add};
