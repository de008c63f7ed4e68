// core/passes/exclude.c: calls that a device said it runs and then could not be prepared for.
//
// A bind that meets one is done again without it: the device counts as one that refuses the call.
#include "core/passes/place.h"

static uint64_t hash_info(const tn_value_info *v, uint64_t h)
{
    const size_t n = v->ndim > 0 ? (size_t)v->ndim : 0;
    const uint32_t flags = v->flags & ~(uint32_t)TN_VALUE_STAYS; // known from layouts() on only
    h = tni_hash(v->dims, n * sizeof *v->dims, tni_hash(&v->ndim, sizeof v->ndim, h));
    return tni_hash(&v->dtype, sizeof v->dtype, h + flags);
}

// What two calls that are alike have in common, in whatever layout, in this bind and the next one.
static uint64_t hash_call(const tn_call *c, uint64_t h)
{
    h = tni_params_hash(tni_op_of(c->op), c->params, tni_hash(&c->op, sizeof(void *), h + c->n_in));
    for (uint32_t i = 0; i < c->n_in; i++) h = hash_info(c->in[i], h);
    for (uint32_t i = 0; i < c->n_out; i++) h = hash_info(c->out[i], h);
    return h;
}

static uint64_t hash_whole(const tn_call *c)
{
    uint64_t h = hash_call(c, c->n_parts && c->forward ? 2 : 1);
    for (uint32_t o = 0; c->n_parts && o < c->n_out; o++)
        h = tni_hash(&c->out_numbers[o], sizeof *c->out_numbers, h + c->out_parts[o]);
    for (uint32_t i = 0; i < c->n_parts; i++) {
        const tn_part *part = &c->parts[i];
        h = tni_hash(part->from, part->call->n_in * sizeof *part->from, hash_call(part->call, h));
    }
    return h ? h : 1;
}

const tni_exclusion *tni_excluded(const tni_exclusions *all, const tni_device *d,
                                  const tni_kernel_decl *kernel, const tn_call *call)
{
    if (!all || !all->first) return NULL;
    const uint64_t hash = hash_whole(call);
    for (const tni_exclusion *x = all->first; x; x = x->next)
        if (x->device == d && x->kernel == kernel && x->op == call->op &&
            (x->whole || x->call == hash))
            return x;
    return NULL;
}

// A device that fails for several calls of an operator is not asked about it any more.
enum { MOST_CALLS = 4 };

bool tni_exclude(tni_exclusions *all, const tni_device *d, const tni_kernel_decl *kernel,
                 const tn_call *call, const char *reason)
{
    size_t before = 0;
    for (const tni_exclusion *x = all->first; x; x = x->next)
        before += x->device == d && x->kernel == kernel && x->op == call->op;
    tni_exclusion *x = tni_alloc(&all->arena, sizeof *x);
    const char *text = tni_strdup(&all->arena, reason);
    if (!x || !text) return false;
    *x = (tni_exclusion){.device = d,
                         .kernel = kernel,
                         .op = call->op,
                         .call = hash_whole(call),
                         .whole = before + 1 >= MOST_CALLS,
                         .reason = text,
                         .next = all->first};
    all->first = x;
    all->n++;
    return true;
}
