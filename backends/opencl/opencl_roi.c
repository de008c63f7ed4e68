// backends/opencl/opencl_roi.c: pooling over the bins of regions of images.
#include "opencl.h"

typedef struct roi { // as roi.cl has it
    cl_int images, channels, outputs, extent[2], pooled[2], group, unused;
} roi;

static roi roi_of(const tn_call *c, const tn_value_info *x, const tn_value_info *y)
{
    roi s = {.images = (cl_int)x->dims[0],
             .channels = (cl_int)x->dims[1],
             .outputs = (cl_int)y->dims[1]};
    for (int i = 0; i < 2; i++) {
        s.extent[i] = (cl_int)x->dims[2 + i];
        s.pooled[i] = (cl_int)y->dims[2 + i];
    }
    const int64_t group = tn_call_i64(c, "group_size", 0);
    s.group = group ? (cl_int)group : s.pooled[0];
    return s;
}

static ocl_launch *add(ocl_plan *p, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype types[] = {c->in[0]->dtype, c->in[1]->dtype, c->out[c->n_out - 1]->dtype};
    ocl_text t = {.host = p->k->host};
    ocl_wide_text(&t, p->device);
    ocl_prologue(&t, ocl_number(types[0]), 3, types);
    ocl_append(&t, ocl_roi_cl);
    return ocl_add_text(p, &t, name);
}

static void pass(ocl_plan *p, ocl_launch *l, const roi *s)
{
    ocl_bytes(p, l, s, sizeof *s);
    ocl_real(p, l, ocl_wide(p->device), tn_call_f64(p->k->call, "spatial_scale", 1));
}

static tn_status forward(tn_sdk_kernel *k, const char *name)
{
    const tn_call *c = k->call;
    const roi s = roi_of(c, c->in[0], c->out[0]);
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, name);
    ocl_in(p, l, 0);
    ocl_in(p, l, 1);
    for (uint32_t i = 0; i < c->n_out; i++) ocl_out(p, l, i);
    pass(p, l, &s);
    ocl_int(p, l, c->out[0]->size);
    ocl_over(p, l, c->out[0]->size, 1, 1);
    return ocl_end(p);
}

static tn_status max_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return forward(k, "roi_max");
}

static tn_status mean_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    return forward(k, "roi_mean");
}

// Inputs dy, rois, like. Scratch: the sums before they are rounded.
static tn_status mean_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_value_info *dx = c->out[0];
    const roi s = roi_of(c, dx, c->in[0]);
    const int64_t planes = dx->dims[0] * dx->dims[1];
    info->scratch_bytes = (uint64_t)dx->size * 8;
    ocl_plan *p = ocl_begin(k);
    ocl_launch *l = add(p, "roi_mean_backward");
    ocl_in(p, l, 0);
    ocl_in(p, l, 1);
    ocl_scratch(p, l, 0);
    ocl_out(p, l, 0);
    pass(p, l, &s);
    ocl_int(p, l, c->in[1]->dims[0]);
    ocl_int(p, l, planes);
    ocl_over(p, l, dx->size ? planes : 0, 1, 1);
    return ocl_end(p);
}

const tn_kernel_row ocl_rois[] = {
    OCL_ROW("ROIPooling", TN_ALL_DTYPES, NULL, max_setup),
    OCL_ROW("_contrib_PSROIPooling", TN_FLOATS, NULL, mean_setup),
    OCL_ROW("_backward_PSROIPooling", TN_FLOATS, NULL, mean_backward_setup),
    {0},
};
