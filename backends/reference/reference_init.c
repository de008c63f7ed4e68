// backends/reference/reference_init.c: operators that make values from nothing.
#include "reference.h"

static void fill(ref_array y, double v)
{
    for (int64_t i = 0; i < y.n; i++) ref_put_real(y, i, v);
}

static tn_status zeros(const tn_sdk_kernel *k, const tn_run_args *a)
{
    fill(ref_out(k, a, 0), 0);
    return TN_OK;
}

static tn_status ones(const tn_sdk_kernel *k, const tn_run_args *a)
{
    fill(ref_out(k, a, 0), 1);
    return TN_OK;
}

static tn_status full(const tn_sdk_kernel *k, const tn_run_args *a)
{
    fill(ref_out(k, a, 0), tn_call_f64(k->call, "value", 0));
    return TN_OK;
}

// y[i] = start + ⌊i / repeat⌋ · step; without stop, start is the stop and counting begins at 0,
// unless the length comes from elsewhere (infer_range).
static tn_status arange(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    const ref_array y = ref_out(k, a, 0);
    const bool only_stop =
        isnan(tn_call_f64(c, "stop", NAN)) && !tn_call_bool(c, "infer_range", false);
    const double start = only_stop ? 0 : tn_call_f64(c, "start", 0);
    const double step = tn_call_f64(c, "step", 1);
    const int64_t repeat = tn_call_i64(c, "repeat", 1);
    for (int64_t i = 0; i < y.n; i++) ref_put_real(y, i, start + (double)(i / repeat) * step);
    return TN_OK;
}

#define ROW(op_, run_)                                                      \
    {                                                                       \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = REF_FLAGS, .run = run_ \
    }

const tn_kernel_row ref_init[] = {
    ROW("_zeros", zeros),
    ROW("_ones", ones),
    ROW("_full", full),
    ROW("_arange", arange),
    ROW("zeros_like", zeros),
    ROW("ones_like", ones),
    {0},
};
