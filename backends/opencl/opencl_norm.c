// backends/opencl/opencl_norm.c: BatchNorm, LRN, and their gradients.
#include "opencl.h"

typedef struct batch_norm {
    tn_line line;     // (outer, channels, inner) around the axis
    int64_t n, parts; // elements of a channel, and into how many parts their sums
                      // are cut
    tn_dtype number;
    double eps;
    bool fix_gamma, own_stats;
    bool planes; // work items take planes of `inner` elements (planes.cl)
} batch_norm;

typedef enum norm_way { NORM_CHANNELS, NORM_ELEMENTS, NORM_PLANES } norm_way;

// Types: 0 of the data, 1 of the vectors.
static ocl_launch *add(ocl_plan *p, norm_way way, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype types[2] = {c->in[0]->dtype, c->out[1 % c->n_out]->dtype};
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(types[0]), 2, types);
    if (way != NORM_CHANNELS) ocl_append(&t, "#define NORM_BATCH 1\n");
    if (way == NORM_PLANES) ocl_append(&t, "#define NORM_PLANES 1\n");
    ocl_append(&t, ocl_norm_cl);
    if (way == NORM_PLANES) {
        ocl_append(&t, ocl_vectors_cl);
        ocl_append(&t, ocl_planes_cl);
    }
    return ocl_add_text(p, &t, name);
}

static int64_t parts_of(const tn_device *d, int64_t channels, int64_t n)
{
    const int64_t wanted = d->cpu ? (int64_t)d->units * 32 : (int64_t)d->units * 128;
    int64_t parts = 1;
    while (parts < 256 && channels * parts < wanted && n / parts >= 64) parts *= 2;
    // Lanes of a vector unit take neighbours.
    while (d->cpu && parts < 16 && n / parts >= 64) parts *= 2;
    return parts;
}

// Planes are shared out among some work items for each unit.
static int64_t parts_of_planes(const tn_device *d, const tn_line *l)
{
    int64_t parts = 1;
    while (parts * 2 <= l->outer && l->n * parts < 8 * (int64_t)d->units) parts *= 2;
    return parts;
}

static tn_status describe(const tn_sdk_kernel *k, const tn_value_info *x, batch_norm *b)
{
    const tn_device *d = k->plugin;
    const int32_t axis = tn_axis(tn_call_i64(k->call, "axis", 1), x->ndim);
    if (axis < 0) return ocl_no_axis(k, "axis");
    *b = (batch_norm){.line = tn_around(x, axis), .number = ocl_number(x->dtype)};
    b->n = b->line.outer * b->line.inner;
    b->planes = d->cpu && (OCL_REALS & TN_BIT(x->dtype)) && b->line.inner >= 8;
    b->parts = b->planes ? parts_of_planes(d, &b->line) : parts_of(d, b->line.n, b->n);
    b->eps = tn_call_f64(k->call, "eps", 0.001);
    b->fix_gamma = tn_call_bool(k->call, "fix_gamma", true);
    b->own_stats = !tn_call_bool(k->call, "use_global_stats", false);
    return TN_OK;
}

static void over_parts(ocl_plan *p, ocl_launch *l, const batch_norm *b)
{
    const int64_t items = b->line.n * b->parts;
    if (b->planes)
        ocl_singly(p, l, items, 1, 1);
    else
        ocl_over(p, l, items, 1, 1);
}

static void over_elements(ocl_plan *p, ocl_launch *l, const batch_norm *b, int64_t size)
{
    if (b->planes)
        ocl_singly(p, l, b->line.outer * b->line.n, 1, 1);
    else
        ocl_over(p, l, size, 1, 1);
}

// Statistics are of the batch in training runs, unless they are always the
// moving ones.
static void pass_train(ocl_plan *p, ocl_launch *l, const batch_norm *b)
{
    if (b->own_stats)
        ocl_train(p, l);
    else
        ocl_int(p, l, 0);
}

// Output `to` (1 mean, 2 var), moving input `moving`.
static void add_moment(ocl_plan *p, const batch_norm *b, uint32_t to, uint32_t moving)
{
    ocl_launch *l = add(p, b->planes ? NORM_PLANES : NORM_ELEMENTS, "moment_parts");
    ocl_in(p, l, 0);
    ocl_out(p, l, 1); // the mean, which is there when it is read
    ocl_scratch(p, l, 0);
    ocl_int(p, l, b->line.n);
    ocl_int(p, l, b->line.inner);
    ocl_int(p, l, b->n);
    ocl_int(p, l, b->parts);
    ocl_int(p, l, to == 2);
    pass_train(p, l, b);
    over_parts(p, l, b);
    l = add(p, b->planes ? NORM_PLANES : NORM_ELEMENTS, "moment");
    ocl_scratch(p, l, 0);
    ocl_in(p, l, moving);
    ocl_out(p, l, to);
    ocl_int(p, l, b->line.n);
    ocl_int(p, l, b->n);
    ocl_int(p, l, b->parts);
    pass_train(p, l, b);
    ocl_over(p, l, b->line.n, 1, 1);
}

// Inputs data, gamma, beta, moving_mean, moving_var; outputs output, mean, var.
static tn_status batch_norm_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    batch_norm b;
    const tn_status s = describe(k, c->in[0], &b);
    if (s != TN_OK) return s;
    ocl_plan *p = ocl_begin(k);
    info->scratch_bytes = (uint64_t)(b.line.n * b.parts) * 8;
    ocl_inplace(c, info, 0);
    add_moment(p, &b, 1, 3);
    add_moment(p, &b, 2, 4);
    ocl_launch *l = add(p, b.planes ? NORM_PLANES : NORM_ELEMENTS, "normalise");
    for (uint32_t i = 0; i < 3; i++) ocl_in(p, l, i);
    ocl_out(p, l, 1);
    ocl_out(p, l, 2);
    ocl_out(p, l, 0);
    ocl_int(p, l, b.line.n);
    ocl_int(p, l, b.line.inner);
    ocl_int(p, l, c->out[0]->size);
    ocl_real(p, l, b.number, b.eps);
    ocl_int(p, l, b.fix_gamma);
    over_elements(p, l, &b, c->out[0]->size);
    return ocl_end(p);
}

static void add_gradient(ocl_plan *p, const batch_norm *b)
{
    ocl_launch *l = add(p, b->planes ? NORM_PLANES : NORM_ELEMENTS, "gradient_parts");
    ocl_in(p, l, 0);
    ocl_in(p, l, 1);
    ocl_in(p, l, 3);
    ocl_in(p, l, 4);
    ocl_scratch(p, l, 0);
    ocl_int(p, l, b->line.n);
    ocl_int(p, l, b->line.inner);
    ocl_int(p, l, b->n);
    ocl_int(p, l, b->parts);
    ocl_real(p, l, b->number, b->eps);
    over_parts(p, l, b);
    l = add(p, b->planes ? NORM_PLANES : NORM_ELEMENTS, "gradient");
    ocl_scratch(p, l, 0);
    for (uint32_t i = 3; i < 7; i++) ocl_in(p, l, i);
    ocl_out(p, l, 1);
    ocl_out(p, l, 2);
    ocl_int(p, l, b->line.n);
    ocl_int(p, l, b->n);
    ocl_int(p, l, b->parts);
    const double momentum = tn_call_f64(p->k->call, "momentum", 0.9);
    ocl_real(p, l, b->number, momentum);
    ocl_real(p, l, b->number, 1 - momentum);
    ocl_int(p, l, b->fix_gamma);
    ocl_int(p, l, b->own_stats);
    ocl_train(p, l);
    ocl_over(p, l, b->line.n, 1, 1);
}

// Inputs dy, data, gamma, mean, var, moving_mean, moving_var; outputs dx,
// dgamma, dbeta.
static tn_status batch_norm_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    batch_norm b;
    const tn_status s = describe(k, c->in[0], &b);
    if (s != TN_OK) return s;
    ocl_plan *p = ocl_begin(k);
    info->scratch_bytes = (uint64_t)(b.line.n * b.parts) * 16;
    ocl_inplace(c, info, 0);
    ocl_inplace(c, info, 1);
    add_gradient(p, &b);
    ocl_launch *l = add(p, b.planes ? NORM_PLANES : NORM_ELEMENTS, "spread");
    for (uint32_t i = 0; i < 5; i++) ocl_in(p, l, i);
    ocl_scratch(p, l, 0);
    ocl_out(p, l, 0);
    ocl_int(p, l, b.line.n);
    ocl_int(p, l, b.line.inner);
    ocl_int(p, l, c->out[0]->size);
    ocl_int(p, l, b.n);
    ocl_int(p, l, b.parts);
    ocl_real(p, l, b.number, b.eps);
    ocl_int(p, l, b.fix_gamma);
    ocl_int(p, l, b.own_stats);
    ocl_train(p, l);
    over_elements(p, l, &b, c->out[0]->size);
    return ocl_end(p);
}

// ------------------------------------------------------------------ LRN

static void pass_lrn(ocl_plan *p, ocl_launch *l, const tn_value_info *x)
{
    const tn_call *c = p->k->call;
    const tn_dtype number = ocl_number(x->dtype);
    const int64_t nsize = tn_call_i64(c, "nsize", 1);
    const tn_line line = tn_around(x, 1);
    ocl_int(p, l, x->size);
    ocl_int(p, l, line.n);
    ocl_int(p, l, line.inner);
    ocl_int(p, l, nsize / 2 < line.n ? nsize / 2 : line.n);
    ocl_real(p, l, number, tn_call_f64(c, "alpha", 1e-4) / (double)nsize);
    ocl_real(p, l, number, tn_call_f64(c, "beta", 0.75));
}

static tn_status lrn_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    (void)info;
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, NORM_CHANNELS, "lrn");
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_out(p, l, 1);
    pass_lrn(p, l, x);
    ocl_real(p, l, ocl_number(x->dtype), tn_call_f64(k->call, "knorm", 2));
    ocl_over(p, l, x->size, 1, 1);
    return ocl_end(p);
}

// Inputs dy, x, t
static tn_status lrn_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, NORM_CHANNELS, "lrn_backward");
    for (uint32_t i = 0; i < 3; i++) ocl_in(p, l, i);
    ocl_out(p, l, 0);
    pass_lrn(p, l, k->call->in[1]);
    ocl_over(p, l, k->call->in[1]->size, 1, 1);
    return ocl_end(p);
}

static const char *lrn_cannot(const tn_call *c)
{
    return c->n_in > 2 && c->in[2]->dtype != c->out[0]->dtype ? "inputs of several dtypes" : NULL;
}

const tn_kernel_row ocl_norms[] = {
    OCL_ROW("BatchNorm", TN_FLOATS, NULL, batch_norm_setup),
    OCL_ROW("_backward_BatchNorm", TN_FLOATS, NULL, batch_norm_backward_setup),
    OCL_ROW("LRN", TN_FLOATS, lrn_cannot, lrn_setup),
    OCL_ROW("_backward_LRN", TN_FLOATS, lrn_cannot, lrn_backward_setup),
    {0},
};
