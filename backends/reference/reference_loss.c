// backends/reference/reference_loss.c: loss layers: forward values and the exact gradients.
//
// s is grad_scale throughout. The head gradient is ignored, except by SoftmaxOutput with out_grad.
// Source of all formulas: MXNet 0.11, src/operator/{softmax_output,regression_output,make_loss}.
#include "reference.h"

// ------------------------------------------------------------------ SoftmaxOutput

// How SoftmaxOutput looks at its data: as (outer, n, inner), normalised over n.
static tn_line softmax_output_line(const tn_call *c)
{
    const tn_value_info *x = c->in[0];
    if (tn_call_bool(c, "multi_output", false) && x->ndim > 1) return tn_around(x, 1);
    if (tn_call_bool(c, "preserve_shape", false) && x->ndim > 0) return tn_around(x, x->ndim - 1);
    return (tn_line){tn_span(x, 0, 1), tn_span(x, 1, x->ndim), 1};
}

static bool same_shape(const tn_value_info *a, const tn_value_info *b)
{
    if (a->ndim != b->ndim) return false;
    for (int32_t i = 0; i < a->ndim; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

static tn_status softmax_output_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    *(tn_line *)k->state = softmax_output_line(k->call);
    ref_inplace(k, info, 0);
    return TN_OK;
}

static tn_status softmax_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *out = k->call->in[0], *label = k->call->in[1];
    const tn_line l = softmax_output_line(k->call);
    if (out->size && !same_shape(out, label) && label->size < l.outer * l.inner)
        return tn_fail(k->host, TN_E_SHAPE, "%s: label: %lld elements, wanted %lld", k->call->name,
                       (long long)label->size, (long long)(l.outer * l.inner));
    return softmax_output_setup(k, info);
}

// p = exp(x − max) / Σ exp(x − max)
static tn_status softmax_output(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_line l = *(const tn_line *)k->state;
    const ref_array x = ref_in(k, a, 0), p = ref_out(k, a, 0);
    for (int64_t i = 0; i < l.outer * l.inner; i++) {
        const int64_t first = i / l.inner * l.n * l.inner + i % l.inner;
        double max = -INFINITY, sum = 0;
        for (int64_t j = 0; j < l.n; j++) max = fmax(max, ref_get_real(x, first + j * l.inner));
        for (int64_t j = 0; j < l.n; j++) sum += exp(ref_get_real(x, first + j * l.inner) - max);
        for (int64_t j = 0; j < l.n; j++) {
            const int64_t at = first + j * l.inner;
            ref_put_real(p, at, exp(ref_get_real(x, at) - max) / sum);
        }
    }
    return TN_OK;
}

// What the gradient is multiplied by: s / D. D is 1, or the number of labels (batch), or the number
// of labels that are not the ignored one (valid, at least 1). With multi_output there is one label
// for each of the S = l.inner places of a sample, and null divides by S.
static double softmax_output_scale(const tn_call *c, ref_array label, tn_line l, int64_t ignored)
{
    const double s = tn_call_f64(c, "grad_scale", 1);
    if (tn_call_is(c, "normalization", "batch"))
        return s / (double)(tn_call_bool(c, "multi_output", false) ? l.outer * l.inner : label.n);
    if (tn_call_is(c, "normalization", "valid")) {
        int64_t valid = 0;
        for (int64_t i = 0; i < label.n; i++) valid += ref_get_int(label, i) != ignored;
        return s / (double)(valid ? valid : 1);
    }
    return s / (double)l.inner; // 1 without multi_output
}

// Inputs out, label and, with out_grad, the head gradient:
//
//     dx = s (p − label) · head                  label of out's shape: a probability
//     dx = s / D (p − 1[j = label]) · head       otherwise; 0 for the ignored label
//
// A label outside 0 … n-1 takes nothing away from p.
static tn_status softmax_output_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const tn_line l = *(const tn_line *)k->state;
    const ref_array p = ref_in(k, a, 0), label = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    const bool soft = same_shape(c->in[0], c->in[1]);
    const bool use_ignore = tn_call_bool(c, "use_ignore", false) && !soft;
    const bool with_head = a->n_in > 2 && tn_call_bool(c, "out_grad", false);
    if (dx.n == 0) return TN_OK;

    const int64_t ignored = tn_saturate(tn_call_f64(c, "ignore_label", -1), INT64_MIN, INT64_MAX);
    const double scale =
        soft ? tn_call_f64(c, "grad_scale", 1) : softmax_output_scale(c, label, l, ignored);
    for (int64_t i = 0; i < dx.n; i++) {
        const int64_t row = i / (l.n * l.inner) * l.inner + i % l.inner, j = i / l.inner % l.n;
        const int64_t class = soft ? 0 : ref_get_int(label, row);
        const double wanted = soft ? ref_get_real(label, i) : j == class;
        double g = scale * (ref_get_real(p, i) - wanted);
        if (use_ignore && class == ignored) g = 0;
        if (with_head) g *= ref_get_real(ref_in(k, a, 2), i);
        ref_put_real(dx, i, g);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ regression

static tn_status logistic(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t i = 0; i < y.n; i++) ref_put_real(y, i, 1 / (1 + exp(-ref_get_real(x, i))));
    return TN_OK;
}

static tn_status identity(const tn_sdk_kernel *k, const tn_run_args *a)
{
    ref_copy(a->out[0].host, a->in[0].host, k->call->out[0]->bytes);
    return TN_OK;
}

static tn_status first_inplace(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ref_inplace(k, info, 0);
    return TN_OK;
}

// s / (outputs per sample): the label's elements over its first extent.
static double regression_scale(const tn_call *c)
{
    const tn_value_info *label = c->in[1];
    return tn_call_f64(c, "grad_scale", 1) / (double)tn_span(label, 1, label->ndim);
}

// Inputs out, label: dx = s / (outputs per sample) · (out − label)
static tn_status linear_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array out = ref_in(k, a, 0), label = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    const double scale = regression_scale(k->call);
    for (int64_t i = 0; i < dx.n; i++)
        ref_put_real(dx, i, scale * (ref_get_real(out, i) - ref_get_real(label, i)));
    return TN_OK;
}

// dx = s / (outputs per sample) · sign(out − label)
static tn_status mae_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array out = ref_in(k, a, 0), label = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    const double scale = regression_scale(k->call);
    for (int64_t i = 0; i < dx.n; i++) {
        const double y = ref_get_real(out, i), wanted = ref_get_real(label, i);
        ref_put_real(dx, i, scale * ((y > wanted) - (y < wanted)));
    }
    return TN_OK;
}

// ------------------------------------------------------------------ MakeLoss

// dx = s (null); s / (product of all extents but the last) (batch: so 1 for a vector);
// s / number of x above valid_thresh (valid, at least 1).
static tn_status make_loss_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const ref_array x = ref_in(k, a, 0), dx = ref_out(k, a, 0);
    int64_t share = 1;
    if (tn_call_is(c, "normalization", "batch")) {
        share = tn_span(c->in[0], 0, c->in[0]->ndim - 1);
    } else if (tn_call_is(c, "normalization", "valid")) {
        const double above = tn_call_f64(c, "valid_thresh", 0);
        share = 0;
        for (int64_t i = 0; i < x.n; i++) share += ref_get_real(x, i) > above;
        if (share == 0) share = 1;
    }
    for (int64_t i = 0; i < dx.n; i++)
        ref_put_real(dx, i, tn_call_f64(c, "grad_scale", 1) / (double)share);
    return TN_OK;
}

#define SOFTMAX(op_, setup_, run_)                                                         \
    {                                                                                      \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(tn_line), \
        .setup = setup_, .run = run_                                                       \
    }
#define ROW(op_, run_)                                                                          \
    {                                                                                           \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .setup = first_inplace, .run = run_ \
    }

const tn_kernel_row ref_loss[] = {
    SOFTMAX("SoftmaxOutput", softmax_output_setup, softmax_output),
    SOFTMAX("Softmax", softmax_output_setup, softmax_output),
    SOFTMAX("_backward_SoftmaxOutput", softmax_backward_setup, softmax_output_backward),
    ROW("LinearRegressionOutput", identity),
    ROW("MAERegressionOutput", identity),
    ROW("LogisticRegressionOutput", logistic),
    ROW("_backward_LinearRegressionOutput", linear_backward),
    ROW("_backward_MAERegressionOutput", mae_backward),
    ROW("MakeLoss", identity),
    ROW("_backward_MakeLoss", make_loss_backward),
    {0},
};
