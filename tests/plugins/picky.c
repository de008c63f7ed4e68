// tests/plugins/picky.c: the backend "picky": checks what the core promises about memory.
//
// A test double in host memory. _sub may be written over its second input only; square leaves a
// stash that its gradient computes from; both want scratch at a large alignment and fill it with
// NaNs. Every run checks that outputs, scratch and stash overlap nothing that they must not.
// The environment variable PICKY_LIE makes it break the contract itself; see `lie`.
#include <math.h>
#include <tenon/kernel.h>

enum { SCRATCH_ALIGN = 4096, STASH_ALIGN = 1024 };

// What PICKY_LIE says: how prepare, or the run, is wrong.
typedef enum lie { HONEST, FAILS, MANY_PAIRS, ODD_PAIR, ODD_ALIGN, RUN_SILENT, LOSES_TOOLS } lie;

static lie chosen(void)
{
    const char *text = getenv("PICKY_LIE");
    return text ? (lie)atoi(text) : HONEST;
}

static tn_status tell(const tn_sdk_kernel *k, tn_kernel_info *info)
{
    switch (chosen()) {
    case FAILS: return tn_fail(k->host, TN_E_NOMEM, "no room on the bench");
    case LOSES_TOOLS: return tn_fail(k->host, TN_E_UNAVAILABLE, "the tools are gone");
    case MANY_PAIRS: info->n_inplace = 1000; break;
    case ODD_PAIR: info->inplace[info->n_inplace++] = (tn_inplace){7, 0}; break;
    case ODD_ALIGN: info->scratch_align = 48; break;
    case HONEST:
    case RUN_SILENT: break;
    }
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const uint64_t bytes = k->call->out[0]->bytes;
    info->scratch_bytes = bytes + 4;
    info->scratch_align = SCRATCH_ALIGN;
    if (strcmp(k->call->op->name, "_sub") == 0)
        info->inplace[info->n_inplace++] = (tn_inplace){1, 0};
    if (strcmp(k->call->op->name, "square") == 0) {
        info->stash_bytes = bytes;
        info->stash_align = STASH_ALIGN;
    }
    return tell(k, info);
}

static bool overlap(const tn_arg *a, const tn_arg *b)
{
    const uintptr_t x = (uintptr_t)a->host, y = (uintptr_t)b->host;
    return a->bytes && b->bytes && x < y + b->bytes && y < x + a->bytes;
}

// Input i may be written over by output 0.
static bool permitted(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t i)
{
    return i == 1 && strcmp(k->call->op->name, "_sub") == 0 && a->in[1].host == a->out[0].host;
}

static tn_status check(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const char *name = k->call->name;
    if (chosen() == RUN_SILENT) return TN_E_DEVICE_LOST;
    for (uint32_t i = 0; i < a->n_in; i++) {
        if (overlap(&a->in[i], &a->out[0]) && !permitted(k, a, i))
            return tn_fail(k->host, TN_E_INTERNAL, "%s: input %u is written over", name, i);
        if (overlap(&a->in[i], &a->scratch) || overlap(&a->in[i], &a->stash))
            return tn_fail(k->host, TN_E_INTERNAL, "%s: input %u lies in scratch", name, i);
    }
    if (overlap(&a->out[0], &a->scratch) || overlap(&a->out[0], &a->stash) ||
        overlap(&a->scratch, &a->stash))
        return tn_fail(k->host, TN_E_INTERNAL, "%s: output, scratch and stash overlap", name);
    if (!a->scratch.host || (uintptr_t)a->scratch.host % SCRATCH_ALIGN)
        return tn_fail(k->host, TN_E_INTERNAL, "%s: scratch is not aligned", name);
    if (a->stash.bytes && (uintptr_t)a->stash.host % STASH_ALIGN)
        return tn_fail(k->host, TN_E_INTERNAL, "%s: the stash is not aligned", name);
    for (uint64_t i = 0; i < a->scratch.bytes / sizeof(float); i++)
        ((float *)a->scratch.host)[i] = NAN;
    return TN_OK;
}

static tn_status sub(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const float *x = a->in[0].host, *z = a->in[1].host;
    float *y = a->out[0].host;
    const tn_status status = check(k, a);
    for (int64_t i = 0; !status && i < k->call->out[0]->size; i++) y[i] = x[i] - z[i];
    return status;
}

static tn_status square(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const float *x = a->in[0].host;
    float *y = a->out[0].host, *kept = a->stash.host;
    const tn_status status = check(k, a);
    if (!kept) return tn_fail(k->host, TN_E_INTERNAL, "%s: no stash", k->call->name);
    for (int64_t i = 0; !status && i < k->call->out[0]->size; i++) {
        kept[i] = x[i];
        y[i] = x[i] * x[i];
    }
    return status;
}

// dx = 2 dy x, with x from the stash.
static tn_status backward_square(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const float *dy = a->in[0].host, *kept = a->stash.host;
    float *dx = a->out[0].host;
    const tn_status status = check(k, a);
    if (!kept) return tn_fail(k->host, TN_E_INTERNAL, "%s: no stash", k->call->name);
    for (int64_t i = 0; !status && i < k->call->out[0]->size; i++) dx[i] = 2 * dy[i] * kept[i];
    return status;
}

static const char *no_forward(const tn_call *c)
{
    return c->forward ? NULL : "its forward call is somewhere else";
}

#define ROW(op_, cannot_, run_)                                                                   \
    {                                                                                             \
        .op = (op_), .dtypes = TN_BIT(TN_F32), .cannot = (cannot_), .setup = setup, .run = (run_) \
    }
static const tn_kernel_row rows[] = {
    ROW("_sub", NULL, sub),
    ROW("square", NULL, square),
    ROW("_backward_square", no_forward, backward_square),
    {0},
};
static const tn_kernel_row *const families[] = {rows, NULL};
TN_HOST_BACKEND(picky, -200, families, "checks what the core promises about memory")
