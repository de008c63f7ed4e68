// backends/opencl/opencl_boxes.c: what the operators of detection share.
#include "opencl_boxes.h"

tn_dtype ocl_box_number(const ocl_plan *p)
{
    return p->k->call->in[0]->dtype == TN_F64 ? TN_F64 : ocl_wide(p->device);
}

ocl_launch *ocl_add_boxes(ocl_plan *p, const char *text, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype types[] = {c->in[0]->dtype, c->in[1]->dtype, c->in[2]->dtype, c->out[0]->dtype};
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_box_number(p), 4, types);
    ocl_append(&t, ocl_boxes_cl);
    ocl_append(&t, text);
    return ocl_add_text(p, &t, name);
}

void ocl_box_numbers(const ocl_plan *p, const double *v, size_t n, void *to)
{
    const bool wide = ocl_box_number(p) == TN_F64;
    for (size_t i = 0; i < n; i++) {
        const float narrow = (float)v[i];
        if (wide)
            memcpy((char *)to + i * sizeof v[i], &v[i], sizeof v[i]);
        else
            memcpy((char *)to + i * sizeof narrow, &narrow, sizeof narrow);
    }
}

void ocl_suppress(ocl_plan *p, const ocl_suppression *s, const char *text)
{
    const tn_dtype number = ocl_box_number(p);
    const size_t most = p->device->group < 128 ? p->device->group : 128;
    ocl_launch *l = ocl_add_boxes(p, text, "suppress");
    ocl_scratch(p, l, s->boxes);
    ocl_scratch(p, l, s->groups);
    ocl_scratch(p, l, s->gone);
    ocl_scratch(p, l, s->keep);
    ocl_scratch(p, l, s->kept);
    ocl_int(p, l, s->n);
    ocl_int(p, l, s->most);
    ocl_real(p, l, number, s->threshold);
    ocl_real(p, l, number, s->extra);
    ocl_int(p, l, s->inclusive);
    ocl_int(p, l, s->across);
    ocl_groups(p, l, (const size_t[]){(size_t)s->images, 1, 1}, (const size_t[]){most, 1, 1});
}
