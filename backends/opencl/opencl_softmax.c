// backends/opencl/opencl_softmax.c: softmax and log_softmax along one axis, and
// SoftmaxOutput.
#include "opencl.h"

static ocl_launch *add(ocl_plan *p, const char *family, const tn_dtype types[3], const char *name)
{
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(types[0]), 3, types);
    ocl_vocabulary(&t, ocl_number(types[0]), "exp log");
    ocl_append(&t, family);
    ocl_append(&t, ocl_lines_cl);
    return ocl_add_text(p, &t, name);
}

static const char *family_of(double temperature)
{
    return temperature == 1 ? "#define LINES_SOFTMAX 1\n#define COOL 1\n"
                            : "#define LINES_SOFTMAX 1\n";
}

// Lines that a work item of a CPU has; 0: one work item has one line, or one element.
static int64_t lines_each(const ocl_plan *p, const tn_line *line)
{
    enum { ELEMENTS = 4096 }; // are worth a work item
    if (!p->device->cpu || line->inner != 1 || line->n == 0) return 0;
    return line->n < ELEMENTS ? ELEMENTS / line->n : 1;
}

static void over_lines(ocl_plan *p, ocl_launch *l, const tn_line *line, int64_t each)
{
    const int64_t lines = line->outer * line->inner;
    if (each)
        ocl_singly(p, l, (lines + each - 1) / each, 1, 1);
    else
        ocl_over(p, l, lines, 1, 1);
}

static tn_status forward(tn_sdk_kernel *k, tn_line line, double temperature, bool logarithm)
{
    ocl_plan *p = ocl_begin(k);
    const tn_dtype x = k->call->in[0]->dtype, y = k->call->out[0]->dtype;
    const int64_t each = lines_each(p, &line);
    ocl_launch *l = add(p, family_of(temperature), (const tn_dtype[]){x, y, x},
                        each ? "softmax_lines" : "softmax");
    ocl_in(p, l, 0);
    ocl_out(p, l, 0);
    ocl_int(p, l, line.outer * line.inner);
    ocl_int(p, l, line.n);
    ocl_int(p, l, each ? each : line.inner);
    ocl_real(p, l, ocl_number(x), temperature);
    ocl_int(p, l, logarithm);
    over_lines(p, l, &line, each);
    return ocl_end(p);
}

static double temperature_of(const tn_call *c)
{
    const double t = tn_call_f64(c, "temperature", NAN);
    return isnan(t) ? 1 : t; // None
}

static tn_status softmax_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const int32_t axis = tn_axis(tn_call_i64(c, "axis", -1), c->in[0]->ndim);
    if (axis < 0) return ocl_no_axis(k, "axis");
    ocl_inplace(c, info, 0);
    return forward(k, tn_around(c->in[0], axis), temperature_of(c),
                   strcmp(c->op->name, "log_softmax") == 0);
}

// Inputs dy, y
static tn_status softmax_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_dtype x = c->in[0]->dtype;
    const int32_t axis = tn_axis(tn_call_i64(c, "axis", -1), c->in[0]->ndim);
    if (axis < 0) return ocl_no_axis(k, "axis");
    const tn_line line = tn_around(c->in[0], axis);
    for (uint32_t i = 0; i < 2; i++) ocl_inplace(c, info, i);
    ocl_plan *p = ocl_begin(k);
    const int64_t each = lines_each(p, &line);
    const double t = temperature_of(c);
    ocl_launch *l = add(p, family_of(t), (const tn_dtype[]){x, x, x},
                        each ? "softmax_backward_lines" : "softmax_backward");
    ocl_in(p, l, 0);
    ocl_in(p, l, 1);
    ocl_out(p, l, 0);
    ocl_int(p, l, line.outer * line.inner);
    ocl_int(p, l, line.n);
    ocl_int(p, l, each ? each : line.inner);
    ocl_real(p, l, ocl_number(x), t);
    ocl_int(p, l, strcmp(c->op->name, "_backward_log_softmax") == 0);
    over_lines(p, l, &line, each);
    return ocl_end(p);
}

// ------------------------------------------------------------------
// SoftmaxOutput

static tn_status output_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ocl_inplace(k->call, info, 0);
    return forward(k, tn_softmax_output_line(k->call), 1, false);
}

static void count_labels(ocl_plan *p, const tn_dtype types[3], int64_t ignored)
{
    ocl_launch *l = add(p, "#define LINES_LOSS 1\n", types, "count_valid");
    ocl_in(p, l, 1);
    ocl_scratch(p, l, 0);
    ocl_int(p, l, p->k->call->in[1]->size);
    ocl_long(p, l, ignored);
    ocl_groups(p, l, (const size_t[3]){1, 1, 1}, (const size_t[3]){1, 1, 1});
}

// Inputs out, label and, with out_grad, the head gradient.
static tn_status output_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_value_info *out = c->in[0], *label = c->in[1];
    tn_softmax_loss loss;
    if (!tn_softmax_loss_of(c, &loss))
        return tn_fail(k->host, TN_E_SHAPE, "%s: label: %lld elements, wanted %lld", c->name,
                       (long long)label->size, (long long)(loss.line.outer * loss.line.inner));
    const bool head = loss.with_head, count = loss.valid;
    const tn_dtype types[3] = {out->dtype, label->dtype, c->in[head ? 2 : 0]->dtype};
    ocl_plan *p = ocl_begin(k);
    info->scratch_bytes = count ? 64 : 0;
    ocl_inplace(c, info, 0);
    if (count) count_labels(p, types, loss.ignored);
    const int64_t each = lines_each(p, &loss.line);
    ocl_launch *l =
        add(p, "#define LINES_LOSS 1\n", types, each ? "softmax_loss_lines" : "softmax_loss");
    ocl_in(p, l, 0);
    ocl_in(p, l, 1);
    ocl_in(p, l, head ? 2 : 0);
    if (count)
        ocl_scratch(p, l, 0);
    else
        ocl_in(p, l, 1);
    ocl_out(p, l, 0);
    ocl_int(p, l, each ? loss.line.outer : out->size);
    ocl_int(p, l, loss.line.n);
    ocl_int(p, l, each ? each : loss.line.inner);
    ocl_real(p, l, ocl_number(out->dtype), loss.scale);
    ocl_long(p, l, loss.ignored);
    ocl_int(p, l, loss.soft);
    ocl_int(p, l, loss.use_ignore);
    ocl_int(p, l, head);
    ocl_int(p, l, count);
    if (each)
        over_lines(p, l, &loss.line, each);
    else
        ocl_over(p, l, out->size, 1, 1);
    return ocl_end(p);
}

const tn_kernel_row ocl_softmaxes[] = {
    OCL_ROW("softmax", TN_FLOATS, NULL, softmax_setup),
    OCL_ROW("log_softmax", TN_FLOATS, NULL, softmax_setup),
    OCL_ROW("_backward_softmax", TN_FLOATS, NULL, softmax_backward_setup),
    OCL_ROW("_backward_log_softmax", TN_FLOATS, NULL, softmax_backward_setup),
    OCL_ROW("SoftmaxOutput", TN_FLOATS, NULL, output_setup),
    OCL_ROW("Softmax", TN_FLOATS, NULL, output_setup),
    OCL_ROW("_backward_SoftmaxOutput", TN_FLOATS, NULL, output_backward_setup),
    {0},
};
