// backends/opencl/opencl_sparse_reg.c: the gradient of IdentityAttachKLSparseReg.
#include "opencl.h"

static ocl_launch *add(ocl_plan *p, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype types[] = {c->in[1]->dtype, c->in[2]->dtype};
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(types[0]), 2, types);
    ocl_append(&t, ocl_sparse_reg_cl);
    return ocl_add_text(p, &t, name);
}

// Inputs dy, data, moving_avg (moved first)
static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_value_info *x = c->in[1];
    const tn_line line = tn_around(x, 1);
    const tn_dtype number = ocl_number(x->dtype);
    ocl_inplace(c, info, 0);
    ocl_plan *p = ocl_begin(k);
    if (x->size == 0) return ocl_end(p);
    ocl_launch *l = add(p, "move_average");
    ocl_in(p, l, 1);
    ocl_in(p, l, 2);
    ocl_int(p, l, line.outer);
    ocl_int(p, l, line.n);
    ocl_int(p, l, line.inner);
    ocl_real(p, l, number, tn_call_f64(c, "momentum", 0.9));
    ocl_over(p, l, line.n, 1, 1);
    l = add(p, "add_penalty");
    ocl_in(p, l, 0);
    ocl_in(p, l, 2);
    ocl_out(p, l, 0);
    ocl_int(p, l, x->size);
    ocl_int(p, l, line.n);
    ocl_int(p, l, line.inner);
    ocl_real(p, l, number, tn_call_f64(c, "sparseness_target", 0.1));
    ocl_real(p, l, number, tn_call_f64(c, "penalty", 0.001));
    ocl_over(p, l, x->size, 1, 1);
    return ocl_end(p);
}

const tn_kernel_row ocl_sparse_regs[] = {
    OCL_ROW("_backward_IdentityAttachKLSparseReg", TN_FLOATS, NULL, setup),
    {0},
};
