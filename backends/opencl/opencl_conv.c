// backends/opencl/opencl_conv.c: Convolution, Deconvolution and the gradients
// of both.
//
// All are one of three products over a kernel that slides over a wide side x
// (n, c, spatial...), with positions on the narrow side y (n, f, spatial...):
// the windows become columns (im2col), as many images at a time as the
// workspace holds.
//
//     narrow   y[n] = w (f, c window) · columns of x[n] (c window, positions)
//     wide     columns of x[n] = wᵀ · y[n], added up where they overlap
//     weight   dw = Σ_n y[n] · (columns of x[n])ᵀ
#include "opencl_conv.h"

#define WORKSPACE (UINT64_C(64) << 20) // bytes of columns at a time, unless one image needs more

// With target_shape T, the pad of a Deconvolution follows from the extents: of
// the t = s (narrow - 1) + d (k - 1) + 1 - T elements beyond T, half are cut
// off in front, rounded up.
static int64_t pad_of(const tn_call *c, int32_t i, const ocl_slides *s, int32_t axis)
{
    if (tn_entry(tn_call_ints(c, "target_shape"), i, 0) == 0)
        return tn_entry(tn_call_ints(c, "pad"), i, 0);
    const int64_t reach = (int64_t)s->stride[axis] * (s->narrow[axis] - 1) +
                          (int64_t)s->dilate[axis] * (s->window[axis] - 1) + 1;
    return (reach - s->wide[axis] + 1) / 2;
}

static ocl_slides slides_of(const tn_call *c, const tn_value_info *x, const tn_value_info *y)
{
    const tn_ints kernel = tn_call_ints(c, "kernel"), stride = tn_call_ints(c, "stride");
    const tn_ints dilate = tn_call_ints(c, "dilate");
    ocl_slides s = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
    const int32_t n = x->ndim - 2;
    for (int32_t i = 0; i < n; i++) {
        const int32_t axis = 3 - n + i;
        s.wide[axis] = (cl_int)x->dims[2 + i];
        s.narrow[axis] = (cl_int)y->dims[2 + i];
        s.window[axis] = (cl_int)kernel.v[i];
        s.stride[axis] = (cl_int)tn_entry(stride, i, 1);
        s.dilate[axis] = (cl_int)tn_entry(dilate, i, 1);
        s.pad[axis] = (cl_int)pad_of(c, i, &s, axis);
    }
    return s;
}

static bool is_plain(const ocl_slides *s)
{
    for (int i = 0; i < 3; i++)
        if (s->window[i] != 1 || s->stride[i] != 1 || s->pad[i] != 0 || s->wide[i] != s->narrow[i])
            return false;
    return true;
}

static ocl_conv describe(const tn_call *call, const tn_value_info *x, const tn_value_info *y)
{
    ocl_conv c = {.s = slides_of(call, x, y), .dtype = x->dtype, .batch = x->dims[0]};
    c.groups = tn_call_i64(call, "num_group", 1);
    c.wide = x->dims[1] / c.groups;
    c.narrow = y->dims[1] / c.groups;
    c.wide_points = tn_span(x, 2, x->ndim);
    c.narrow_points = tn_span(y, 2, y->ndim);
    c.rows = c.wide * c.s.window[0] * c.s.window[1] * c.s.window[2];
    c.plain = is_plain(&c.s);
    const int64_t pad = c.plain ? 1 : ocl_gemm_pad(c.dtype);
    c.ld = (c.narrow_points + pad - 1) / pad * pad;
    c.column_bytes = (uint64_t)(c.groups * c.rows * c.ld) * tn_dtype_size(c.dtype);
    c.at_once = c.column_bytes ? (int64_t)(WORKSPACE / c.column_bytes) : c.batch;
    if (c.at_once < 1) c.at_once = 1;
    if (c.at_once > c.batch) c.at_once = c.batch;
    return c;
}

static uint64_t column_bytes(const ocl_conv *c)
{
    return c->plain ? 0 : (c->column_bytes * (uint64_t)c->at_once + 255) / 256 * 256;
}

static ocl_launch *add(ocl_plan *p, const ocl_conv *c, const char *name)
{
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(c->dtype), 1, &c->dtype);
    ocl_append(&t, ocl_conv_cl);
    return ocl_add_text(p, &t, name);
}

// Images first … first + n - 1 of input x as columns, into scratch.
static void make_columns(ocl_plan *p, const ocl_conv *c, uint32_t x, int64_t first, int64_t n)
{
    if (c->plain) return;
    const bool lines = p->device->cpu;
    ocl_launch *l = add(p, c, lines ? "column_lines" : "columns");
    ocl_in_at(p, l, x, ocl_conv_bytes(c, first * c->groups * c->wide * c->wide_points));
    ocl_scratch(p, l, 0);
    ocl_bytes(p, l, &c->s, sizeof c->s);
    ocl_int(p, l, c->wide);
    ocl_int(p, l, c->rows);
    ocl_int(p, l, c->ld);
    ocl_over(p, l, lines ? (int64_t)c->s.narrow[0] * c->s.narrow[1] : c->ld, c->rows,
             n * c->groups);
}

// Columns of the images from `first` on: rows are c window, columns positions.
static ocl_matrix columns_of(const ocl_conv *c, ocl_matrix plain, int64_t first)
{
    ocl_matrix m = {.where = OCL_M_SCRATCH, .row = c->ld, .col = 1, .step = c->rows * c->ld};
    if (c->plain) {
        m.where = plain.where;
        m.index = plain.index;
        m.offset = ocl_conv_bytes(c, first * c->groups * c->wide * c->wide_points);
    }
    m.padded = !c->plain;
    return m;
}

// The narrow side of the images from `first` on: rows are filters.
static ocl_matrix narrow_of(const ocl_conv *c, int64_t first)
{
    return (ocl_matrix){.row = c->narrow_points,
                        .col = 1,
                        .step = c->narrow * c->narrow_points,
                        .offset =
                            ocl_conv_bytes(c, first * c->groups * c->narrow * c->narrow_points)};
}

static const char *impl_of(const ocl_conv *c)
{
    return c->plain ? "products" : "columns and products";
}

// ------------------------------------------------------------------ from wide
// to narrow

// Inputs x, w and perhaps bias
static tn_status narrow_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *call = k->call;
    const ocl_conv c = describe(call, call->in[0], call->out[0]);
    const bool bias = strcmp(call->op->name, "Convolution") == 0 && call->n_in > 2;
    ocl_plan *p = ocl_begin(k);
    if (ocl_direct_narrow(p, info, &c, bias)) return ocl_end(p);
    info->scratch_bytes = column_bytes(&c);
    info->impl = impl_of(&c);
    for (int64_t first = 0; first < c.batch && call->out[0]->size; first += c.at_once) {
        const int64_t n = c.batch - first < c.at_once ? c.batch - first : c.at_once;
        make_columns(p, &c, 0, first, n);
        ocl_gemm g = {.dtype = c.dtype,
                      .m = c.narrow,
                      .n = c.narrow_points,
                      .k = c.rows,
                      .batch = n * c.groups,
                      .segments = 1,
                      .cycle = c.groups,
                      .bias = bias ? 2 : -1,
                      .bias_by_row = true};
        g.a = (ocl_matrix){
            .where = OCL_M_IN, .index = 1, .row = c.rows, .col = 1, .step = c.narrow * c.rows};
        g.b = columns_of(&c, (ocl_matrix){.where = OCL_M_IN, .index = 0}, first);
        g.c = narrow_of(&c, first);
        g.c.where = OCL_M_OUT;
        ocl_multiply(p, &g, NULL);
    }
    return ocl_end(p);
}

// ------------------------------------------------------------------ from
// narrow to wide

static void add_images(ocl_plan *p, const ocl_conv *c, bool bias, int64_t first, int64_t n)
{
    const uint64_t to = ocl_conv_bytes(c, first * c->groups * c->wide * c->wide_points);
    const bool planes = p->device->cpu && !bias && (OCL_REALS & TN_BIT(c->dtype));
    ocl_launch *l = add(p, c, planes ? "image_planes" : "images");
    ocl_scratch(p, l, 0);
    if (planes) {
        ocl_out_at(p, l, 0, to);
        ocl_bytes(p, l, &c->s, sizeof c->s);
        ocl_int(p, l, c->wide);
        ocl_int(p, l, c->rows);
        ocl_int(p, l, c->ld);
        ocl_int(p, l, c->wide * n * c->groups);
        ocl_singly(p, l, c->wide_points ? c->wide * n * c->groups : 0, 1, 1);
        return;
    }
    ocl_in(p, l, bias ? 2 : 0);
    ocl_out_at(p, l, 0, to);
    ocl_bytes(p, l, &c->s, sizeof c->s);
    ocl_int(p, l, c->wide);
    ocl_int(p, l, c->rows);
    ocl_int(p, l, c->ld);
    ocl_int(p, l, c->groups);
    ocl_int(p, l, bias);
    ocl_over(p, l, c->wide_points, c->wide, n * c->groups);
}

// Inputs y, w and perhaps bias
static tn_status wide_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *call = k->call;
    ocl_conv c = describe(call, call->out[0], call->in[0]);
    const bool bias = strcmp(call->op->name, "Deconvolution") == 0 && call->n_in > 2;
    ocl_plan *p = ocl_begin(k);
    if (ocl_direct_wide(p, info, &c, bias)) return ocl_end(p);
    if (bias) c.plain = false; // it is added where columns are
    info->scratch_bytes = column_bytes(&c);
    info->impl = impl_of(&c);
    for (int64_t first = 0; first < c.batch && call->out[0]->size; first += c.at_once) {
        const int64_t n = c.batch - first < c.at_once ? c.batch - first : c.at_once;
        ocl_gemm g = {.dtype = c.dtype,
                      .m = c.rows,
                      .n = c.narrow_points,
                      .k = c.narrow,
                      .batch = n * c.groups,
                      .segments = 1,
                      .cycle = c.groups,
                      .bias = -1};
        g.a = (ocl_matrix){
            .where = OCL_M_IN, .index = 1, .row = 1, .col = c.rows, .step = c.narrow * c.rows};
        g.b = narrow_of(&c, first);
        g.c = columns_of(&c, (ocl_matrix){.where = OCL_M_OUT, .index = 0}, first);
        ocl_multiply(p, &g, NULL);
        if (!c.plain) add_images(p, &c, bias, first, n);
    }
    return ocl_end(p);
}

// ------------------------------------------------------------------ weight

// Into how many partial sums the images of one pass are cut, so that all units
// have work.
static int64_t parts_of(const ocl_plan *p, const ocl_conv *c)
{
    const int64_t tiles = ((c->narrow + 63) / 64) * ((c->rows + 63) / 64) * c->groups;
    int64_t parts = 1;
    if (p->device->cpu || c->groups > 1) return 1;
    while (parts < 16 && parts * 2 <= c->at_once && tiles * parts < 2 * (int64_t)p->device->units)
        parts *= 2;
    return parts;
}

static void sum_parts(ocl_plan *p, const ocl_conv *c, int64_t parts, int64_t n, uint64_t at)
{
    ocl_launch *l = add(p, c, "sum_parts");
    ocl_scratch(p, l, at);
    ocl_out(p, l, 0);
    ocl_int(p, l, parts);
    ocl_int(p, l, n);
    ocl_over(p, l, n, 1, 1);
}

// One product per group and part: n images from `first` on. c tells where the
// sums go.
static void add_weight(ocl_plan *p, const ocl_conv *c, const uint32_t in[2], int64_t first,
                       int64_t n, int64_t parts, ocl_matrix to)
{
    const int64_t weights = c->groups * c->narrow * c->rows;
    ocl_gemm g = {.dtype = c->dtype,
                  .m = c->narrow,
                  .n = c->rows,
                  .k = c->narrow_points,
                  .batch = c->groups > 1 ? c->groups : parts,
                  .segments = n / parts,
                  .bias = -1};
    g.a = narrow_of(c, first);
    g.a.index = in[1];
    g.b = columns_of(c, (ocl_matrix){.where = OCL_M_IN, .index = in[0]}, first);
    g.b.row = 1; // transposed
    g.b.col = c->ld;
    g.b.padded = false;
    g.a.segment = c->groups * g.a.step;
    g.b.segment = c->groups * g.b.step;
    if (c->groups == 1) {
        g.a.step *= g.segments;
        g.b.step *= g.segments;
    }
    g.c = to;
    g.c.row = c->rows;
    g.c.col = 1;
    g.c.step = c->groups > 1 ? c->narrow * c->rows : weights;
    ocl_multiply(p, &g, NULL);
}

// Inputs: x and y, at in[0] and in[1].
static tn_status weight_sums(tn_sdk_kernel *k, tn_kernel_info *info, const uint32_t in[2])
{
    const tn_call *call = k->call;
    const ocl_conv c = describe(call, call->in[in[0]], call->in[in[1]]);
    const int64_t weights = call->out[0]->size;
    ocl_plan *p = ocl_begin(k);
    if (ocl_direct_weight(p, info, &c, in)) return ocl_end(p);
    int64_t parts = parts_of(p, &c), passes = c.at_once ? (c.batch + c.at_once - 1) / c.at_once : 0;
    while (parts > 1 && (c.at_once % parts || c.batch % c.at_once)) parts /= 2;
    const bool direct = passes * parts == 1;
    const uint64_t at = column_bytes(&c);
    info->scratch_bytes = at + (direct ? 0 : ocl_conv_bytes(&c, weights * passes * parts));
    info->impl = impl_of(&c);
    for (int64_t pass = 0; pass < passes && weights; pass++) {
        const int64_t first = pass * c.at_once;
        const int64_t n = c.batch - first < c.at_once ? c.batch - first : c.at_once;
        ocl_matrix to = {.where = OCL_M_OUT};
        if (!direct) {
            to.where = OCL_M_SCRATCH;
            to.offset = at + ocl_conv_bytes(&c, pass * parts * weights);
        }
        make_columns(p, &c, in[0], first, n);
        add_weight(p, &c, in, first, n, parts, to);
    }
    if (!direct) sum_parts(p, &c, passes * parts, weights, at); // of none: zeros
    return ocl_end(p);
}

// Inputs dy, data, weight's shape
static tn_status conv_weight_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return weight_sums(k, info, (const uint32_t[2]){1, 0});
}

static tn_status deconv_weight_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    return weight_sums(k, info, (const uint32_t[2]){0, 1});
}

static const char *cannot(const tn_call *c)
{
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i]->dtype != c->in[0]->dtype) return "inputs of several dtypes";
    return NULL;
}

#define ROW(op_, setup_) OCL_ROW(op_, TN_FLOATS, cannot, setup_)

const tn_kernel_row ocl_convs[] = {
    ROW("Convolution", narrow_setup),
    ROW("_backward_Convolution_data", wide_setup),
    ROW("_backward_Convolution_weight", conv_weight_setup),
    ROW("Deconvolution", wide_setup),
    ROW("_backward_Deconvolution_data", narrow_setup),
    ROW("_backward_Deconvolution_weight", deconv_weight_setup),
    {0},
};
