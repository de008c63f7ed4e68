// core/exec/memory.c: allocates what was planned; where values and blocks lie in it.
#include "core/exec/exec.h"

// Memory of the executor that is shared, if it is large enough.
static tni_storage *shared_storage(const tn_exec *share, const tni_space *s, uint64_t bytes)
{
    if (share && share->inference && share->n_constant_rows)
        return NULL; // what constants became must stay there
    for (uint32_t i = 0; share && i < share->n_spaces; i++) {
        tni_storage *storage = share->spaces[i].storage;
        if (share->spaces[i].device == s->device && storage->bytes >= bytes)
            return tni_storage_retain(storage);
    }
    return NULL;
}

static uint32_t largest_align(const tni_blocks *l)
{
    uint32_t align = TNI_ALIGN;
    for (size_t i = 1; i <= l->n; i++)
        if (!l->v[i].tensor && l->v[i].space == 0 && l->v[i].align > align) align = l->v[i].align;
    return align;
}

static tn_status allocate(tni_bind *b)
{
    tn_exec *e = b->e;
    const uint32_t align = largest_align(&e->plan.blocks);
    for (uint32_t i = 0; i < e->n_spaces; i++) {
        tni_space *s = &e->spaces[i];
        const uint64_t bytes = s->bytes + (i == 0 ? align - TNI_ALIGN : 0);
        s->storage = e->inference ? NULL : shared_storage(b->o.share, s, bytes);
        if (s->storage) e->shares = b->o.share->shares = true;
        if (!s->storage) s->storage = tni_storage_new(e->env, s->device, bytes);
        if (!s->storage)
            return tni_graph_fail(b->g, tn_env_status(e->env), 0, "bind: planned memory: %s",
                                  tn_env_error(e->env));
        const uintptr_t base = (uintptr_t)s->storage->host;
        if (i == 0) s->shift = (align - base % align) % align;
    }
    return TN_OK;
}

tn_status tni_bind_memory(tni_bind *b)
{
    tn_exec *e = b->e;
    uint64_t *totals = calloc(e->n_spaces, sizeof *totals);
    const bool ok = totals && tni_fit(&e->plan.blocks, e->plan.n_times, e->n_spaces, totals);
    for (uint32_t i = 0; ok && i < e->n_spaces; i++) e->spaces[i].bytes = totals[i];
    free(totals);
    if (ok) return allocate(b);
    return tni_graph_fail(b->g, TN_E_NOMEM, 0,
                          "bind: out of memory, or the plan wants more than any memory has");
}

tn_arg tni_block_arg(const tn_exec *e, uint32_t block, uint64_t bytes)
{
    const tni_block *x = &e->plan.blocks.v[block];
    tn_arg a = {0};
    if (x->tensor) {
        a = tni_tensor_arg(e->tensors[x->tensor]);
    } else {
        const tni_space *s = &e->spaces[x->space];
        a.buffer = s->storage->buffer;
        if (a.buffer) a.offset = x->offset;
        if (s->storage->host) a.host = (char *)s->storage->host + s->shift + x->offset;
    }
    a.bytes = bytes;
    return a;
}

tn_arg tni_value_arg(const tn_exec *e, uint32_t value)
{
    return tni_block_arg(e, e->plan.of_value[value], tni_bytes_of(e, value));
}

tn_tensor *tni_value_tensor(tn_exec *e, uint32_t value)
{
    const tni_block *x = &e->plan.blocks.v[e->plan.of_value[value]];
    const tni_space *s = &e->spaces[x->space];
    const tn_tensor *t = x->tensor ? e->tensors[x->tensor] : NULL;
    return tni_tensor_over(e->env, t ? t->storage : s->storage,
                           t ? t->offset : s->shift + x->offset, e->placed.types.dtype[value],
                           tni_types_shape(&e->placed.types, value));
}
