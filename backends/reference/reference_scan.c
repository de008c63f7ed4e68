// backends/reference/reference_scan.c: running sums along an axis.
#ifndef A

#include "reference.h"

static tn_status cumsum_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    tn_line *line = k->state;
    const tn_value_info *x = k->call->in[0];
    const int64_t axis = tn_call_i64(k->call, "axis", TN_NONE_I64);
    *line = (tn_line){1, x->size, 1};
    if (axis == TN_NONE_I64) return TN_OK;
    if (tn_axis(axis, x->ndim) < 0) return ref_no_axis(k, "axis");
    *line = tn_around(x, tn_axis(axis, x->ndim));
    return TN_OK;
}

// Sums are kept as the output has them: in float64 for floats, as integers that wrap otherwise.
static double add_real(double x, double y)
{
    return x + y;
}

static int64_t add_int(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x + (uint64_t)y);
}

#define THIS_FILE "reference_scan.c"
#include "reference_each_number.h"

static tn_status cumsum(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return ref_is_float(k->call->out[0]->dtype) ? cumsum_real(k, a) : cumsum_int(k, a);
}

const tn_kernel_row ref_scan[] = {
    {.op = "cumsum",
     .dtypes = TN_ALL_DTYPES,
     .flags = REF_FLAGS,
     .state_size = sizeof(tn_line),
     .setup = cumsum_setup,
     .run = cumsum},
    {0},
};

#else // once per kind of number

// One line: n elements, `step` apart, from element `at` on; with reverse from the end.
static void N(scan)(ref_array x, ref_array y, int64_t at, const int64_t n_step[2],
                    const bool how[2])
{
    const int64_t n = n_step[0], step = n_step[1];
    const bool exclusive = how[0], reverse = how[1];
    A sum = 0;
    for (int64_t j = 0; j < n; j++) {
        const int64_t i = at + (reverse ? n - 1 - j : j) * step;
        const A with = N(add)(sum, GET(x, i));
        PUT(y, i, exclusive ? sum : with);
        sum = with;
    }
}

static tn_status N(cumsum)(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_line *l = k->state;
    const bool how[] = {tn_call_bool(k->call, "exclusive", false),
                        tn_call_bool(k->call, "reverse", false)};
    for (int64_t o = 0; o < l->outer; o++)
        for (int64_t i = 0; i < l->inner; i++) N(scan)
    (ref_in(k, a, 0), ref_out(k, a, 0), o * l->n * l->inner + i, (const int64_t[]){l->n, l->inner},
     how);
    return TN_OK;
}

#endif
