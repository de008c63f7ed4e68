// backends/null/null_copy.c: identity: the shortest family that is of use.
//
// A row names the operator, the dtypes of its first input, and up to four functions:
//
//   cannot    why this kernel leaves a call to another, or NULL: takes it. Pure: it may be asked
//             long before there is memory, and from any thread.
//   setup     once per node, when the executor is made: sizes, tables, libraries' handles. Here is
//             the place for all that is slow, for allocation and for failing.
//   run       at every pass. It allocates nothing, checks nothing again, and writes every element
//             of its outputs.
//   teardown  gives back what setup took.
#include "null.h"

// What run wants to know is worked out once, in setup. state_size bytes, zeroed.
typedef struct copy_state {
    int64_t bytes;
} copy_state;

// 256 KiB: below that a second thread costs more than it brings.
enum { GRAIN = 1 << 18 };

// A reason is a sentence for a person: it stands in the placement report of every executor.
static const char *copy_cannot(const tn_call *call)
{
    return call->in[0]->size == 0 ? "an empty tensor needs no kernel" : NULL;
}

static tn_status copy_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    copy_state *state = k->state;
    (void)info; // scratch, stash, in-place pairs: none
    state->bytes = (int64_t)k->call->in[0]->bytes;
    return TN_OK;
}

// Bytes begin … end-1, on one of the pool's threads.
static void copy_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const tn_run_args *a = ctx;
    const char *from = a->in[0].host;
    char *to = a->out[0].host;
    (void)worker; // for kernels that give each worker its part of the scratch memory
    memcpy(to + begin, from + begin, (size_t)(end - begin));
}

static tn_status copy_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const copy_state *state = k->state;
    tn_parallel(k, a, state->bytes, GRAIN, copy_range, (void *)a);
    return TN_OK;
}

const tn_kernel_row null_copy[] = {
    {.op = "_copy",
     .dtypes = TN_ALL_DTYPES,
     .flags = TN_K_REENTRANT | TN_K_DETERMINISTIC,
     .impl = "memcpy",
     .state_size = sizeof(copy_state),
     .cannot = copy_cannot,
     .setup = copy_setup,
     .run = copy_run},
    {0},
};
