// backends/reference/reference_softmax.c: softmax and log_softmax along one axis.
#include "reference.h"

typedef struct softmax {
    tn_line line;
    double temperature;
} softmax;

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    softmax *s = k->state;
    const tn_value_info *x = k->call->in[0];
    const int32_t axis = ref_axis_param(k->call, "axis", -1, x->ndim);
    if (axis < 0) return ref_no_axis(k, "axis");
    s->line = tn_around(x, axis);
    s->temperature = tn_call_f64(k->call, "temperature", NAN);
    if (isnan(s->temperature)) s->temperature = 1; // None
    for (uint32_t i = 0; i < k->call->n_in; i++) ref_inplace(k, info, i);
    return TN_OK;
}

// Elements first, first + step, … of one line.
typedef struct strip {
    int64_t first, step, n;
} strip;

static strip strip_of(const softmax *s, int64_t i)
{
    const tn_line l = s->line;
    return (strip){i / l.inner * l.n * l.inner + i % l.inner, l.inner, l.n};
}

// The largest x / t of a line, and Σ exp(x / t − max), which cannot overflow.
typedef struct norm {
    double max, sum;
} norm;

static norm norm_of(ref_array x, strip at, double t)
{
    norm r = {-INFINITY, 0};
    for (int64_t j = 0; j < at.n; j++)
        r.max = fmax(r.max, ref_get_real(x, at.first + j * at.step) / t);
    for (int64_t j = 0; j < at.n; j++)
        r.sum += exp(ref_get_real(x, at.first + j * at.step) / t - r.max);
    return r;
}

// softmax:      y = exp(x / t − max) / sum
// log_softmax:  y = x / t − max − log sum
static void forward(const tn_sdk_kernel *k, const tn_run_args *a, bool logarithm)
{
    const softmax *s = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t i = 0; i < s->line.outer * s->line.inner; i++) {
        const strip at = strip_of(s, i);
        const norm r = norm_of(x, at, s->temperature);
        for (int64_t j = 0; j < at.n; j++) {
            const int64_t e = at.first + j * at.step;
            const double v = ref_get_real(x, e) / s->temperature - r.max;
            ref_put_real(y, e, logarithm ? v - log(r.sum) : exp(v) / r.sum);
        }
    }
}

static tn_status softmax_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    forward(k, a, false);
    return TN_OK;
}

static tn_status log_softmax_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    forward(k, a, true);
    return TN_OK;
}

// softmax:      dx = y (dy − Σ dy y) / t
// log_softmax:  dx = (dy − exp(y) Σ dy) / t
static void backward(const tn_sdk_kernel *k, const tn_run_args *a, bool logarithm)
{
    const softmax *s = k->state;
    const ref_array dy = ref_in(k, a, 0), y = ref_in(k, a, 1), dx = ref_out(k, a, 0);
    for (int64_t i = 0; i < s->line.outer * s->line.inner; i++) {
        const strip at = strip_of(s, i);
        double sum = 0;
        for (int64_t j = 0; j < at.n; j++) {
            const int64_t e = at.first + j * at.step;
            sum += ref_get_real(dy, e) * (logarithm ? 1 : ref_get_real(y, e));
        }
        for (int64_t j = 0; j < at.n; j++) {
            const int64_t e = at.first + j * at.step;
            const double g = ref_get_real(dy, e), p = ref_get_real(y, e);
            ref_put_real(dx, e, (logarithm ? g - exp(p) * sum : p * (g - sum)) / s->temperature);
        }
    }
}

static tn_status softmax_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    backward(k, a, false);
    return TN_OK;
}

static tn_status log_softmax_backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    backward(k, a, true);
    return TN_OK;
}

#define ROW(op_, run_)                                                                     \
    {                                                                                      \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(softmax), \
        .setup = setup, .run = run_                                                        \
    }

const tn_kernel_row ref_softmax[] = {
    ROW("softmax", softmax_run),
    ROW("log_softmax", log_softmax_run),
    ROW("_backward_softmax", softmax_backward),
    ROW("_backward_log_softmax", log_softmax_backward),
    {0},
};
