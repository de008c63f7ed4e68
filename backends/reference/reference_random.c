// backends/reference/reference_random.c: random tensors and Dropout, by the draws of
// <tenon/philox.h> and <tenon/draws.h>: element i of a value depends on the run's key and counter
// and on i alone.
#include <tenon/draws.h>

#include "reference.h"

// In [0, 1): 53 bits for float64, 24 for the narrower floats.
static double uniform(const tn_run_args *a, tn_dtype dtype, int64_t i)
{
    return dtype == TN_F64 ? tn_philox_uniform_f64(a->rng_key, a->rng_counter, (uint64_t)i)
                           : (double)tn_philox_uniform_f32(a->rng_key, a->rng_counter, (uint64_t)i);
}

static double normal(const tn_run_args *a, tn_dtype dtype, int64_t i)
{
    return dtype == TN_F64 ? tn_philox_normal_f64(a->rng_key, a->rng_counter, (uint64_t)i)
                           : tn_philox_normal_f32(a->rng_key, a->rng_counter, (uint64_t)i);
}

// y = low + u (high − low). Rounding to a narrow dtype may give high itself.
static tn_status random_uniform(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array y = ref_out(k, a, 0);
    const double low = tn_call_f64(k->call, "low", 0), high = tn_call_f64(k->call, "high", 1);
    for (int64_t i = 0; i < y.n; i++)
        ref_put_real(y, i, low + uniform(a, y.dtype, i) * (high - low));
    return TN_OK;
}

// y = loc + scale · (standard normal)
static tn_status random_normal(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array y = ref_out(k, a, 0);
    const double loc = tn_call_f64(k->call, "loc", 0), scale = tn_call_f64(k->call, "scale", 1);
    for (int64_t i = 0; i < y.n; i++) ref_put_real(y, i, loc + scale * normal(a, y.dtype, i));
    return TN_OK;
}

// Input: the parameter of each draw.
static tn_status standard_gamma(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t i = 0; i < y.n; i++)
        ref_put_real(y, i,
                     tn_draw_gamma(a->rng_key, a->rng_counter, (uint64_t)i, ref_get_real(x, i)));
    return TN_OK;
}

static tn_status poisson(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    for (int64_t i = 0; i < y.n; i++)
        ref_put_real(y, i,
                     tn_draw_poisson(a->rng_key, a->rng_counter, (uint64_t)i, ref_get_real(x, i)));
    return TN_OK;
}

// ------------------------------------------------------------------ sample_multinomial

// Weight j of a row; what is negative or no number counts as 0.
static double weight(ref_array x, int64_t row, int64_t n, int64_t j)
{
    const double p = ref_get_real(x, row * n + j);
    return p > 0 ? p : 0;
}

// The first class whose weight and those before it are together more than u of all weights.
static int64_t category(ref_array x, int64_t row, int64_t n, double u)
{
    double total = 0, sum = 0;
    int64_t chosen = n - 1;
    for (int64_t j = 0; j < n; j++) total += weight(x, row, n, j);
    for (int64_t j = 0; j < n; j++) {
        const double p = weight(x, row, n, j);
        if (p > 0) chosen = j; // so that rounding never leads to a class of weight 0
        sum += p;
        if (sum > u * total) break;
    }
    return chosen;
}

// data (rows, n); indices (rows, draws of a row), and the logarithms of the weights drawn.
static tn_status multinomial(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    const int64_t n = k->call->in[0]->dims[k->call->in[0]->ndim - 1];
    const int64_t draws = y.n == 0 ? 1 : y.n / (x.n / n);
    for (int64_t i = 0; i < y.n; i++) {
        tn_draws d = tn_draws_of(a->rng_key, a->rng_counter, (uint64_t)i);
        const int64_t row = i / draws, j = category(x, row, n, tn_draws_next(&d));
        ref_put_int(y, i, j);
        if (k->call->n_out > 1)
            ref_put_real(ref_out(k, a, 1), i, log(ref_get_real(x, row * n + j)));
    }
    return TN_OK;
}

// Where the draw of each element comes from: along `axes` all elements share one.
static tn_status dropout_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    int64_t stride[TN_MAX_NDIM];
    const char *wrong = tn_draw_strides(k->call, x, stride);
    if (wrong) return ref_no_axis(k, wrong);
    for (int32_t axis = 0; axis < x->ndim; axis++)
        ref_box_add(k->state, x->dims[axis], stride[axis]);
    ref_inplace(k, info, 0);
    return TN_OK;
}

// mask = 1 / (1 − p) where the draw is at least p, else 0;  y = x · mask.
// Outside training, unless mode is always, mask = 1.
static tn_status dropout(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0), mask = ref_out(k, a, 1);
    const bool drops = (a->flags & TN_RUN_TRAIN) || tn_call_is(k->call, "mode", "always");
    const double p = drops ? tn_call_f64(k->call, "p", 0.5) : 0;
    for (int64_t i = 0; i < y.n; i++) {
        const bool keep = !drops || uniform(a, x.dtype, ref_at(k->state, i)) >= p;
        const double m = keep ? ref_as_real(x.dtype, 1 / (1 - p)) : 0;
        ref_put_real(y, i, ref_get_real(x, i) * m);
        ref_put_real(mask, i, m);
    }
    return TN_OK;
}

const tn_kernel_row ref_random[] = {
    {.op = "random_uniform", .dtypes = TN_FLOATS, .flags = REF_FLAGS, .run = random_uniform},
    {.op = "random_normal", .dtypes = TN_FLOATS, .flags = REF_FLAGS, .run = random_normal},
    {.op = "_standard_gamma", .dtypes = TN_FLOATS, .flags = REF_FLAGS, .run = standard_gamma},
    {.op = "_poisson", .dtypes = TN_FLOATS, .flags = REF_FLAGS, .run = poisson},
    {.op = "sample_multinomial", .dtypes = TN_FLOATS, .flags = REF_FLAGS, .run = multinomial},
    {.op = "Dropout",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .state_size = sizeof(ref_box),
     .setup = dropout_setup,
     .run = dropout},
    {0},
};
