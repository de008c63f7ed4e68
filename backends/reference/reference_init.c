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

static tn_status arange(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_progress p = tn_progress_of(k->call);
    const ref_array y = ref_out(k, a, 0);
    for (int64_t i = 0; i < y.n; i++) ref_put_real(y, i, p.start + (double)(i / p.repeat) * p.step);
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
