// backends/opencl/opencl_random.c: random tensors and Dropout.
#include "opencl.h"

// Numbers of draws are double where the device has it, so that float32 normals
// are the same everywhere to the last bits.
static tn_dtype draw_number(const ocl_plan *p)
{
    return p->device->fp64 ? TN_F64 : TN_F32;
}

static ocl_launch *add(ocl_plan *p, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype y = c->out[0]->dtype, types[2] = {y, c->out[1 % c->n_out]->dtype};
    ocl_text t = {.host = p->k->host};
    if (draw_number(p) == TN_F64)
        ocl_append(&t, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n#define DC(n) (n)\n");
    else
        ocl_append(&t, "#define DC(n) (n##f)\n");
    ocl_printf(&t, "typedef %s D;\n", ocl_c_type(draw_number(p)));
    ocl_prologue(&t, ocl_number(y), 2, types);
    ocl_append(&t, ocl_random_cl);
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
    ocl_real(p, l, draw_number(p), tn_call_f64(c, uniform ? "low" : "loc", 0));
    ocl_real(p, l, draw_number(p), tn_call_f64(c, uniform ? "high" : "scale", 1));
    ocl_over(p, l, c->out[0]->size, 1, 1);
    return ocl_end(p);
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
    const tn_ints axes = tn_call_ints(c, "axes");
    bool shared[TN_MAX_NDIM] = {false};
    for (size_t i = 0; i < axes.n; i++) {
        const int32_t axis = tn_axis(axes.v[i], x->ndim);
        if (axis < 0) return ocl_no_axis(k, "axes");
        shared[axis] = true;
    }
    int64_t stride[TN_MAX_NDIM], next = 1;
    for (int32_t axis = x->ndim; axis-- > 0;) {
        stride[axis] = shared[axis] ? 0 : next;
        if (!shared[axis]) next *= x->dims[axis];
    }
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

const tn_kernel_row ocl_randoms[] = {
    OCL_ROW("random_uniform", TN_FLOATS, NULL, random_setup),
    OCL_ROW("random_normal", TN_FLOATS, NULL, random_setup),
    OCL_ROW("Dropout", TN_FLOATS, NULL, dropout_setup),
    {0},
};
