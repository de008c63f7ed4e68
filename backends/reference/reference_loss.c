// backends/reference/reference_loss.c: loss layers: forward values and the exact gradients.
//
// s is grad_scale throughout. The head gradient is ignored, except by SoftmaxOutput with out_grad.
// Source of all formulas: MXNet 0.11, src/operator/{softmax_output,regression_output,make_loss}.
#include "reference.h"

// ------------------------------------------------------------------ SoftmaxOutput

static tn_status softmax_output_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    *(tn_line *)k->state = tn_softmax_output_line(k->call);
    ref_inplace(k, info, 0);
    return TN_OK;
}

static tn_status softmax_backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    tn_softmax_loss *l = k->state;
    if (!tn_softmax_loss_of(k->call, l))
        return tn_fail(k->host, TN_E_SHAPE, "%s: label: %lld elements, wanted %lld", k->call->name,
                       (long long)k->call->in[1]->size, (long long)(l->line.outer * l->line.inner));
    ref_inplace(k, info, 0);
    return TN_OK;
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

static int64_t count_valid(ref_array label, int64_t ignored)
{
    int64_t valid = 0;
    for (int64_t i = 0; i < label.n; i++) valid += ref_get_int(label, i) != ignored;
    return valid ? valid : 1;
}

// tn_softmax_loss has the formula.
static tn_status softmax_output_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_softmax_loss *s = k->state;
    const tn_line l = s->line;
    const ref_array p = ref_in(k, a, 0), label = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    const double scale = s->valid ? s->scale / (double)count_valid(label, s->ignored) : s->scale;
    for (int64_t i = 0; i < dx.n; i++) {
        const int64_t row = i / (l.n * l.inner) * l.inner + i % l.inner, j = i / l.inner % l.n;
        const int64_t class = s->soft ? 0 : ref_get_int(label, row);
        const double wanted = s->soft ? ref_get_real(label, i) : j == class;
        double g = scale * (ref_get_real(p, i) - wanted);
        if (s->use_ignore && class == s->ignored) g = 0;
        if (s->with_head) g *= ref_get_real(ref_in(k, a, 2), i);
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

#define SOFTMAX(op_, state_, setup_, run_)                                                \
    {                                                                                     \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(state_), \
        .setup = setup_, .run = run_                                                      \
    }
#define ROW(op_, run_)                                                                          \
    {                                                                                           \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .setup = first_inplace, .run = run_ \
    }

const tn_kernel_row ref_loss[] = {
    SOFTMAX("SoftmaxOutput", tn_line, softmax_output_setup, softmax_output),
    SOFTMAX("Softmax", tn_line, softmax_output_setup, softmax_output),
    SOFTMAX("_backward_SoftmaxOutput", tn_softmax_loss, softmax_backward_setup,
            softmax_output_backward),
    ROW("LinearRegressionOutput", identity),
    ROW("MAERegressionOutput", identity),
    ROW("LogisticRegressionOutput", logistic),
    ROW("_backward_LinearRegressionOutput", linear_backward),
    ROW("_backward_MAERegressionOutput", mae_backward),
    ROW("MakeLoss", identity),
    ROW("_backward_MakeLoss", make_loss_backward),
    {0},
};
