// backends/reference/reference_sparse_reg.c: the gradient of IdentityAttachKLSparseReg.
#include "reference.h"

typedef struct sparse_reg {
    tn_line line; // (n, units, places)
    double target, penalty, momentum;
} sparse_reg;

static tn_status sparse_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    sparse_reg *s = k->state;
    s->line = tn_around(k->call->in[1], 1);
    s->target = tn_call_f64(k->call, "sparseness_target", 0.1);
    s->penalty = tn_call_f64(k->call, "penalty", 0.001);
    s->momentum = tn_call_f64(k->call, "momentum", 0.9);
    ref_inplace(k, info, 0); // each unit is read before it is written
    return TN_OK;
}

// Inputs dy, data, moving_avg (moved first):
//
//     dx = dy + penalty (-target / avg + (1 - target) / (1 - avg))
static tn_status sparse_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const sparse_reg *s = k->state;
    const ref_array dy = ref_in(k, a, 0), x = ref_in(k, a, 1), moving = ref_in(k, a, 2);
    const ref_array dx = ref_out(k, a, 0);
    const tn_line l = s->line;
    const int64_t n = l.outer * l.inner; // of a unit
    for (int64_t c = 0; n && c < l.n; c++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += ref_get_real(x, (i / l.inner * l.n + c) * l.inner + i % l.inner);
        const double kept = s->momentum * ref_get_real(moving, c);
        ref_put_real(moving, c, kept + (1 - s->momentum) * sum / (double)n);
        const double avg = ref_get_real(moving, c);
        const double added = s->penalty * (-s->target / avg + (1 - s->target) / (1 - avg));
        for (int64_t i = 0; i < n; i++) {
            const int64_t e = (i / l.inner * l.n + c) * l.inner + i % l.inner;
            ref_put_real(dx, e, ref_get_real(dy, e) + added);
        }
    }
    return TN_OK;
}

const tn_kernel_row ref_sparse_reg[] = {
    {.op = "_backward_IdentityAttachKLSparseReg",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .state_size = sizeof(sparse_reg),
     .setup = sparse_setup,
     .run = sparse_run},
    {0},
};
