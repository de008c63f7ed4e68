// backends/reference/reference_leaky.c: LeakyReLU and its kin.
//
// Their gradients are made of other operators.
#include <tenon/philox.h>

#include "reference.h"

// Constants of self-normalising networks (Klambauer et al., 2017).
static const double selu_lambda = 1.0507009873554804934193349852946;
static const double selu_alpha = 1.6732632423543772848170429916717;

typedef struct leaky {
    enum { LEAKY, PRELU, RRELU, ELU, SELU, GELU } type;
    tn_line line; // of prelu: (outer, channels, inner)
    double slope, lower, upper;
} leaky;

static tn_status leaky_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    static const char *const types[] = {"leaky", "prelu", "rrelu", "elu", "selu", "gelu"};
    leaky *l = k->state;
    for (int i = LEAKY; i <= GELU; i++)
        if (tn_call_is(k->call, "act_type", types[i])) l->type = i;
    if (l->type == PRELU) l->line = tn_around(k->call->in[0], 1);
    l->slope = tn_call_f64(k->call, "slope", 0.25);
    l->lower = tn_call_f64(k->call, "lower_bound", 0.125);
    l->upper = tn_call_f64(k->call, "upper_bound", 0.334);
    ref_inplace(k, info, 0);
    return TN_OK;
}

// y for x ≤ 0 (or NaN), and for every x of gelu; slope: what x is multiplied with, if anything.
static double below(const leaky *l, double x, double slope)
{
    switch (l->type) {
    case ELU: return l->slope * expm1(x);
    case SELU: return selu_lambda * selu_alpha * expm1(x);
    case GELU: return x / 2 * erfc(-x * M_SQRT1_2); // x / 2 (1 + erf(x / √2))
    default: return slope * x;
    }
}

// Outside training the slope of rrelu is the middle of its bounds.
static double rrelu_slope(const leaky *l, const tn_run_args *a, tn_dtype dtype, int64_t i)
{
    if (!(a->flags & TN_RUN_TRAIN)) return (l->lower + l->upper) / 2;
    const double u = dtype == TN_F64
                         ? tn_philox_uniform_f64(a->rng_key, a->rng_counter, (uint64_t)i)
                         : (double)tn_philox_uniform_f32(a->rng_key, a->rng_counter, (uint64_t)i);
    return l->lower + u * (l->upper - l->lower);
}

// Inputs data and, for prelu, gamma; outputs y and, for rrelu, the factors y / x.
static tn_status leaky_relu(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const leaky *l = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    const double above = l->type == SELU ? selu_lambda : 1;
    for (int64_t i = 0; i < y.n; i++) {
        const double v = ref_get_real(x, i);
        double slope = l->slope;
        if (l->type == PRELU) slope = ref_get_real(ref_in(k, a, 1), i / l->line.inner % l->line.n);
        if (l->type == RRELU) {
            slope = ref_as_real(x.dtype, rrelu_slope(l, a, x.dtype, i));
            ref_put_real(ref_out(k, a, 1), i, v > 0 ? 1 : slope);
        }
        ref_put_real(y, i, v > 0 && l->type != GELU ? above * v : below(l, v, slope));
    }
    return TN_OK;
}

const tn_kernel_row ref_leaky[] = {
    {.op = "LeakyReLU",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .state_size = sizeof(leaky),
     .setup = leaky_setup,
     .run = leaky_relu},
    {0},
};
