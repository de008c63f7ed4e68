// backends/opencl/opencl_random.c: random tensors, Dropout and random slopes.
#include "opencl.h"

static ocl_launch *add(ocl_plan *p, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype y = c->out[0]->dtype, types[2] = {y, c->out[1 % c->n_out]->dtype};
    ocl_text t = {.host = p->k->host};
    // Draws are double where the device has it, so that float32 normals are the same everywhere.
    ocl_wide_text(&t, p->device);
    ocl_prologue(&t, ocl_number(y), 2, types);
    ocl_append(&t, ocl_random_cl);
    return ocl_add_text(p, &t, name);
}

// The same with draws.cl: what rejects, or categories.
static ocl_launch *add_draws(ocl_plan *p, bool rejects, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype types[] = {c->in[0]->dtype, c->out[0]->dtype, c->out[c->n_out - 1]->dtype};
    ocl_text t = {.host = p->k->host};
    ocl_wide_text(&t, p->device);
    ocl_prologue(&t, ocl_number(types[0]), 3, types);
    ocl_append(&t, ocl_random_cl);
    if (rejects) ocl_append(&t, "#define DRAWS_REJECT 1\n");
    ocl_append(&t, ocl_draws_cl);
    return ocl_add_text(p, &t, name);
}

static tn_status random_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const bool uniform = strcmp(c->op->name, "random_uniform") == 0;
    (void)info;
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, c->op->name);
    ocl_out(p, l, 0);
    ocl_rng(p, l);
    ocl_int(p, l, c->out[0]->size);
    ocl_real(p, l, ocl_wide(p->device), tn_call_f64(c, uniform ? "low" : "loc", 0));
    ocl_real(p, l, ocl_wide(p->device), tn_call_f64(c, uniform ? "high" : "scale", 1));
    ocl_over(p, l, c->out[0]->size, 1, 1);
    return ocl_end(p);
}

// Input: the parameter of each draw.
static tn_status draw_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    (void)info;
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add_draws(p, true, c->op->name);
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_rng(p, l);
    ocl_int(p, l, c->out[0]->size);
    ocl_over(p, l, c->out[0]->size, 1, 1);
    return ocl_end(p);
}

// data (rows, n); categories (rows, draws of a row), and the logarithms of their weights.
static tn_status multinomial_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const int64_t n = c->in[0]->dims[c->in[0]->ndim - 1], size = c->out[0]->size;
    (void)info;
    ocl_plan *p = ocl_begin(k);
    if (size == 0) return ocl_end(p);
    ocl_launch *l = add_draws(p, false, "multinomial");
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_out(p, l, c->n_out - 1);
    ocl_rng(p, l);
    ocl_int(p, l, size);
    ocl_int(p, l, n);
    ocl_int(p, l, size / (c->in[0]->size / n));
    ocl_int(p, l, c->n_out > 1);
    ocl_over(p, l, size, 1, 1);
    return ocl_end(p);
}

static const char *multinomial_cannot(const tn_call *c)
{
    return c->in[0]->size == 0 && c->out[0]->size ? "there is no category to draw" : NULL;
}

static double as_dtype(tn_dtype dtype, double v)
{
    return dtype == TN_F16    ? (double)tn_f16_to_f32(tn_f64_to_f16(v))
           : dtype == TN_BF16 ? (double)tn_bf16_to_f32(tn_f64_to_bf16(v))
                              : v;
}

// Along `axes` all elements share one draw.
static tn_status dropout_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_value_info *x = c->in[0];
    int64_t stride[TN_MAX_NDIM];
    const char *wrong = tn_draw_strides(k->call, x, stride);
    if (wrong) return ocl_no_axis(k, wrong);
    ocl_box box = {0};
    for (int32_t axis = 0; axis < x->ndim; axis++) ocl_box_add(&box, x->dims[axis], stride[axis]);
    ocl_box_collapse(&box);
    const double rate = tn_call_f64(c, "p", 0.5);
    ocl_inplace(c, info, 0);
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, "dropout");
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_out(p, l, 1);
    ocl_rng(p, l);
    ocl_bytes(p, l, &box, sizeof box);
    ocl_int(p, l, x->size);
    ocl_real(p, l, ocl_number(x->dtype), rate);
    ocl_real(p, l, ocl_number(x->dtype), as_dtype(x->dtype, 1 / (1 - rate)));
    ocl_int(p, l, tn_call_is(c, "mode", "always"));
    ocl_train(p, l);
    ocl_over(p, l, x->size, 1, 1);
    return ocl_end(p);
}

static const char *rrelu_cannot(const tn_call *c)
{
    return tn_call_is(c, "act_type", "rrelu") ? NULL : "prelu runs as its parts";
}

static tn_status rrelu_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const double low = tn_call_f64(c, "lower_bound", 0.125);
    ocl_inplace(c, info, 0);
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, "rrelu");
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_out(p, l, 1);
    ocl_rng(p, l);
    ocl_int(p, l, c->in[0]->size);
    ocl_real(p, l, ocl_wide(p->device), low);
    ocl_real(p, l, ocl_wide(p->device), tn_call_f64(c, "upper_bound", 0.334) - low);
    ocl_train(p, l);
    ocl_over(p, l, c->in[0]->size, 1, 1);
    return ocl_end(p);
}

const tn_kernel_row ocl_randoms[] = {
    OCL_ROW("random_uniform", TN_FLOATS, NULL, random_setup),
    OCL_ROW("random_normal", TN_FLOATS, NULL, random_setup),
    OCL_ROW("Dropout", TN_FLOATS, NULL, dropout_setup),
    OCL_ROW("LeakyReLU", TN_FLOATS, rrelu_cannot, rrelu_setup),
    OCL_ROW("_standard_gamma", TN_FLOATS, NULL, draw_setup),
    OCL_ROW("_poisson", TN_FLOATS, NULL, draw_setup),
    OCL_ROW("sample_multinomial", TN_FLOATS, multinomial_cannot, multinomial_setup),
    {0},
};
