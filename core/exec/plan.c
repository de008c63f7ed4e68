// core/exec/plan.c: which values share memory: lifetimes, in place, identities.
//
// One walk over the nodes in the order of execution. A node's kernel is prepared when the walk
// reaches it; then its outputs get blocks: that of an input that dies here where the kernel permits
// it, that of the input of an identity, the tensor of an output or a gradient, or a new one.
// Lifetimes are complete after the walk, and tni_fit gives the blocks their offsets.
#include "core/exec/exec.h"

static uint64_t rounded(uint64_t bytes)
{
    return (bytes + TNI_ALIGN - 1) / TNI_ALIGN * TNI_ALIGN;
}

uint64_t tni_bytes_of(const tn_exec *e, uint32_t value)
{
    return e->placed.layout[value].bytes;
}

static tn_status out_of_memory(tni_bind *b)
{
    return tni_graph_fail(
        b->g, TN_E_NOMEM, 0,
        "bind: out of memory for the memory plan, or it wants more than any memory "
        "has");
}

static bool is_shape_only(const tn_exec *e, uint32_t node, uint32_t i)
{
    const tn_call *call = e->placed.at[node].call;
    return call && (call->in[i]->flags & TN_VALUE_SHAPE_ONLY);
}

// Time at which the phase of a node ends.
static uint32_t phase_end(const tni_plan *p, uint32_t node)
{
    return node <= p->n_forward ? p->n_forward + 1 : p->n_times;
}

static uint32_t sink_end(const tni_plan *p, const tni_sink *s)
{
    return s->gradient ? p->n_times : p->n_forward + 1;
}

// ------------------------------------------------------------------ blocks

// A new block; 0 when out of memory. Zero bytes are a block too: offset 0.
static uint32_t block_new(tni_plan *p, const tni_block *like)
{
    tni_blocks *l = &p->blocks;
    if (!tni_grow((void **)&l->v, &l->capacity, l->n + 2, sizeof *l->v)) return 0;
    l->v[++l->n] = *like;
    if (l->v[l->n].align < TNI_ALIGN) l->v[l->n].align = TNI_ALIGN;
    return (uint32_t)l->n;
}

// Planned memory for a value that is written at `time`.
static uint32_t block_of_value(const tni_bind *b, uint32_t node, uint32_t value, uint32_t time)
{
    tn_exec *e = b->e;
    tni_plan *p = &e->plan;
    tni_block block = {.bytes = tni_bytes_of(e, value),
                       .begin = time,
                       .end = p->last[value] > time ? p->last[value] : time,
                       .space = tni_space_of(e, e->placed.at[node].memory)};
    if (e->flags & TN_BIND_NO_REUSE || p->lasting[value]) {
        block.begin = 0;
        block.end = p->n_times;
    }
    return block_new(p, &block);
}

static uint32_t block_of_tensor(tn_exec *e, uint32_t tensor)
{
    const tni_block block = {.bytes = tn_tensor_bytes(e->tensors[tensor]), .tensor = tensor};
    return block_new(&e->plan, &block);
}

// The block of a lasting value is nobody else's.
static void make_last(tni_plan *p, uint32_t value, uint32_t block)
{
    if (!p->lasting[value] || p->blocks.v[block].tensor) return;
    p->blocks.v[block].begin = 0;
    p->blocks.v[block].end = p->n_times;
}

// ------------------------------------------------------------------ preparation

static bool plan_make(tn_exec *e)
{
    tni_plan *p = &e->plan;
    const tn_graph *g = e->placed.g;
    const size_t n_values = g->n_values + 1, n_nodes = g->n_nodes + 1;
    p->n_forward = e->placed.n_forward;
    p->n_times = (uint32_t)g->n_nodes + 2;
    p->of_value = calloc(n_values, sizeof *p->of_value);
    p->last = calloc(n_values, sizeof *p->last);
    p->sink_of = calloc(n_values, sizeof *p->sink_of);
    p->scratch = calloc(n_nodes, sizeof *p->scratch);
    p->stash = calloc(n_nodes, sizeof *p->stash);
    p->elided = calloc(n_nodes, 1);
    p->lasting = calloc(n_values, 1);
    p->once = calloc(n_nodes, 1);
    if (p->once) tni_find_once(e);
    e->kernels = calloc(n_nodes, sizeof *e->kernels);
    return p->of_value && p->last && p->sink_of && p->scratch && p->stash && p->elided &&
           p->lasting && p->once && e->kernels;
}

static void drop_scratch(tni_plan *p)
{
    free(p->last);
    free(p->sink_of);
    free(p->written);
    free(p->overlaps);
    p->last = p->sink_of = NULL;
    p->written = NULL;
    p->overlaps = NULL;
}

void tni_plan_free(tni_plan *p)
{
    drop_scratch(p);
    free(p->blocks.v);
    free(p->of_value);
    free(p->scratch);
    free(p->stash);
    free(p->elided);
    free(p->lasting);
    free(p->once);
    memset(p, 0, sizeof *p);
}

// Does the copy `node` leave before its source has been read? Then the source must stay as it is
// until the queue has been waited for, at the end of the phase.
static bool reads_later(const tn_exec *e, uint32_t node, uint32_t from)
{
    const tni_place *to = &e->placed.at[node];
    return to->kind == TNI_COPY && to->memory && !e->placed.at[from].memory;
}

// Value v, made by `node`, is read in each run.
static void note_lasting(tn_exec *e, uint32_t node, uint32_t v)
{
    if (tni_is_constant(e, node)) e->plan.lasting[v] = 1;
}

static void find_last_readers(tn_exec *e)
{
    tni_plan *p = &e->plan;
    const tn_graph *g = e->placed.g;
    for (uint32_t id = 1; id <= g->n_nodes; id++) {
        const tni_node *n = &g->nodes[id];
        for (uint32_t i = 0; i < n->n_in; i++) {
            const uint32_t value = tni_value(g, n->in[i]);
            if (is_shape_only(e, id, i)) continue;
            if (!tni_is_constant(e, id)) note_lasting(e, n->in[i].node, value);
            const uint32_t t =
                reads_later(e, id, n->in[i].node) ? phase_end(p, id) : tni_time(p, id);
            if (t > p->last[value]) p->last[value] = t;
            if (tni_is_variable(&g->nodes[n->in[i].node]) && (tni_port_flags(n, i) & TN_PORT_AUX))
                p->written[n->in[i].node] = 1;
        }
    }
}

// Values that leave live until the end of their phase; the first sink of a value may hold it.
static void find_sinks(tn_exec *e)
{
    tni_plan *p = &e->plan;
    const tn_graph *g = e->placed.g;
    for (size_t i = 0; i < e->n_sinks; i++) {
        const tni_sink *s = &e->sinks[i];
        if (!s->entry.node) continue;
        const uint32_t value = tni_value(g, s->entry);
        const bool in_phase = (s->entry.node > p->n_forward) == s->gradient;
        const bool same_memory =
            e->tensors[s->tensor]->storage->device == e->placed.at[s->entry.node].memory;
        if (sink_end(p, s) > p->last[value]) p->last[value] = sink_end(p, s);
        note_lasting(e, s->entry.node, value);
        const bool comes_late = s->gradient && !s->overlap; // a head gradient: see plan_variable()
        if (!p->sink_of[value] && in_phase && !p->lasting[value] && same_memory &&
            !e->placed.layout[value].domain &&
            (comes_late || !tni_is_variable(&g->nodes[s->entry.node])))
            p->sink_of[value] = (uint32_t)i + 1;
    }
}

// ------------------------------------------------------------------ in place

static bool permits(const tn_kernel_info *info, uint32_t in, uint32_t out)
{
    for (uint32_t i = 0; i < info->n_inplace; i++)
        if (info->inplace[i].in == in && info->inplace[i].out == out) return true;
    return false;
}

// May output `out` be written over all the inputs of the node that lie in `block`?
static bool permits_block(const tn_exec *e, uint32_t node, uint32_t block, uint32_t out,
                          const tn_kernel_info *info)
{
    const tni_node *n = &e->placed.g->nodes[node];
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (is_shape_only(e, node, i)) continue;
        if (e->plan.of_value[tni_value(e->placed.g, n->in[i])] != block) continue;
        if (!permits(info, i, out)) return false;
    }
    return true;
}

// The block of an input that output `out` may take over; 0: none.
static uint32_t takes_over(const tn_exec *e, uint32_t node, uint32_t out,
                           const tn_kernel_info *info)
{
    const tni_node *n = &e->placed.g->nodes[node];
    const uint32_t t = tni_time(&e->plan, node);
    if (e->flags & TN_BIND_NO_REUSE) return 0;
    for (uint32_t k = 0; k < info->n_inplace; k++) {
        const tni_entry in = n->in[info->inplace[k].in];
        if (info->inplace[k].out != out || is_shape_only(e, node, info->inplace[k].in)) continue;
        const uint32_t i = e->plan.of_value[tni_value(e->placed.g, in)];
        const tni_block *block = &e->plan.blocks.v[i];
        if (block->tensor || block->end != t || block->taken == t) continue;
        if (rounded(block->bytes) != rounded(tni_bytes_of(e, n->value0 + out))) continue;
        if (e->placed.at[in.node].memory != e->placed.at[node].memory) continue;
        if (permits_block(e, node, i, out, info)) return i;
    }
    return 0;
}

// ------------------------------------------------------------------ outputs and gradients

// Reads something variable `o` after the sink's value is written at `time` by `node`?
static bool overlap_hurts(const tn_exec *e, uint32_t node, uint32_t out, const tni_overlap *o,
                          const tn_kernel_info *info)
{
    const uint32_t value = e->placed.g->nodes[o->node].value0;
    const uint32_t last = e->plan.last[value], t = tni_time(&e->plan, node);
    if (last < t) return false;
    return last > t || !o->exact || !permits_block(e, node, e->plan.of_value[value], out, info);
}

// The value may be written to the tensor itself.
static bool may_be_direct(const tn_exec *e, const tni_sink *s, uint32_t node, uint32_t out,
                          const tn_kernel_info *info)
{
    for (uint32_t o = s->overlap; o; o = e->plan.overlaps[o - 1].next)
        if (overlap_hurts(e, node, out, &e->plan.overlaps[o - 1], info)) return false;
    return true;
}

// Planned memory that begins in the sink's own phase can lie in the tensor from the start.
static bool may_move_in(const tn_exec *e, const tni_sink *s, const tni_block *block)
{
    const uint32_t begin = s->gradient ? e->plan.n_forward + 1 : 0;
    return !s->overlap && !block->tensor && block->begin >= begin &&
           block->bytes == tn_tensor_bytes(e->tensors[s->tensor]) && !(e->flags & TN_BIND_NO_REUSE);
}

// The block of an output; 0 when out of memory.
static uint32_t block_of_output(tni_bind *b, uint32_t node, uint32_t out,
                                const tn_kernel_info *info)
{
    tn_exec *e = b->e;
    tni_plan *p = &e->plan;
    const uint32_t value = e->placed.g->nodes[node].value0 + out, t = tni_time(p, node);
    const uint32_t taken = takes_over(e, node, out, info);
    tni_sink *sink = p->sink_of[value] ? &e->sinks[p->sink_of[value] - 1] : NULL;
    if (sink && taken && may_move_in(e, sink, &p->blocks.v[taken])) {
        p->blocks.v[taken].tensor = sink->tensor;
    } else if (sink && may_be_direct(e, sink, node, out, info)) {
        sink->direct = true;
        return block_of_tensor(e, sink->tensor);
    } else if (!taken) {
        return block_of_value(b, node, value, t);
    }
    if (sink) sink->direct = p->blocks.v[taken].tensor == sink->tensor;
    p->blocks.v[taken].taken = t;
    if (p->last[value] > p->blocks.v[taken].end) p->blocks.v[taken].end = p->last[value];
    make_last(p, value, taken);
    p->n_inplace++;
    return taken;
}

// ------------------------------------------------------------------ identities

// Shares the memory of an identity's input with its output, if nothing can tell the difference.
static bool elide(tn_exec *e, uint32_t node)
{
    tni_plan *p = &e->plan;
    const tni_node *n = &e->placed.g->nodes[node];
    if (e->placed.at[node].kind != TNI_KERNEL || !(n->op->decl.flags & TN_OP_IDENTITY))
        return false;
    if (n->n_out != 1 || !n->n_in || is_shape_only(e, node, 0)) return false;
    const uint32_t from = tni_value(e->placed.g, n->in[0]), to = n->value0;
    const tn_layout *x = &e->placed.layout[from], *y = &e->placed.layout[to];
    if (x->domain || y->domain || x->bytes != y->bytes) return false;
    if (e->placed.at[n->in[0].node].memory != e->placed.at[node].memory) return false;
    tni_block *block = &p->blocks.v[p->of_value[from]];
    if (p->sink_of[to]) {
        tni_sink *sink = &e->sinks[p->sink_of[to] - 1];
        if (!may_move_in(e, sink, block)) return false;
        block->tensor = sink->tensor;
        sink->direct = true;
    } else if (tni_is_variable(&e->placed.g->nodes[n->in[0].node]) && p->written[n->in[0].node]) {
        return false;
    }
    p->of_value[to] = p->of_value[from];
    if (p->last[to] > block->end) block->end = p->last[to];
    make_last(p, to, p->of_value[from]);
    p->elided[node] = 1;
    p->n_elided++;
    return true;
}

// ------------------------------------------------------------------ nodes

// Memory of a variable: its tensor, or (a head gradient that is read) the tensor of a gradient that
// is the same, or planned memory from the border on.
static tn_status plan_variable(tni_bind *b, uint32_t node)
{
    static const tni_block nothing = {0};
    tn_exec *e = b->e;
    const uint32_t value = e->placed.g->nodes[node].value0, tensor = b->var_tensor[node];
    uint32_t block = 0;
    tni_sink *sink = e->plan.sink_of[value] ? &e->sinks[e->plan.sink_of[value] - 1] : NULL;
    if (tensor || sink) {
        if (!tensor) sink->direct = true;
        block = block_of_tensor(e, tensor ? tensor : sink->tensor);
    } else if (e->plan.last[value])
        block = block_of_value(b, node, value, e->plan.n_forward + 1);
    else
        block = block_new(&e->plan, &nothing);
    e->plan.of_value[value] = block;
    return block ? TN_OK : out_of_memory(b);
}

// Scratch of a node, and the stash that a forward node leaves or a backward node finds.
static tn_status plan_extras(tni_bind *b, uint32_t node, const tn_kernel_info *info)
{
    tn_exec *e = b->e;
    tni_plan *p = &e->plan;
    const tni_place *at = &e->placed.at[node];
    const uint32_t t = tni_time(p, node), f = e->placed.g->nodes[node].forward;
    tni_block block = {.bytes = info->scratch_bytes,
                       .begin = t,
                       .end = t,
                       .align = info->scratch_align,
                       .space = tni_space_of(e, tni_device_memory(at->device))};
    if (block.bytes && !(p->scratch[node] = block_new(p, &block))) return out_of_memory(b);
    if (info->scratch_bytes > p->scratch_bytes) p->scratch_bytes = info->scratch_bytes;
    const bool backward = node > p->n_forward;
    if (!backward && info->stash_bytes) {
        block.bytes = info->stash_bytes;
        block.align = info->stash_align;
        if (e->flags & TN_BIND_NO_REUSE) block.end = p->n_times; // backward may come again
        if (!(p->stash[node] = block_new(p, &block))) return out_of_memory(b);
        p->stash_bytes += info->stash_bytes;
    }
    if (backward && f && at->call->forward && e->placed.at[f].call == at->call->forward &&
        p->stash[f] && p->blocks.v[p->stash[f]].end < t)
        p->blocks.v[p->stash[f]].end = t;
    return TN_OK;
}

static tn_status plan_outputs(tni_bind *b, uint32_t node, const tn_kernel_info *info)
{
    const tni_node *n = &b->e->placed.g->nodes[node];
    for (uint32_t o = 0; o < n->n_out; o++) {
        const uint32_t block = block_of_output(b, node, o, info);
        if (!block) return out_of_memory(b);
        b->e->plan.of_value[n->value0 + o] = block;
    }
    return TN_OK;
}

static tn_status plan_copy(tni_bind *b, uint32_t node)
{
    static const tn_kernel_info nothing = {0};
    const tni_placed *p = &b->e->placed;
    const tni_device *from = p->at[p->g->nodes[node].in[0].node].memory, *to = p->at[node].memory;
    if (!tni_transfer_run(tni_transfer_between(b->e, from, to)))
        return tni_graph_fail(b->g, TN_E_INTERNAL, 0, "bind: no way to copy from %s to %s",
                              from->uri, to->uri);
    return plan_outputs(b, node, &nothing);
}

// Has the node nothing to write?
static bool is_empty(const tn_exec *e, uint32_t node)
{
    const tni_node *n = &e->placed.g->nodes[node];
    for (uint32_t o = 0; o < n->n_out; o++)
        if (tni_bytes_of(e, n->value0 + o)) return false;
    return !tni_has_aux(n);
}

static tn_status plan_node(tni_bind *b, uint32_t node)
{
    tn_exec *e = b->e;
    tn_kernel_info info = {0};
    const tni_place *at = &e->placed.at[node];
    if (at->kind == TNI_VARIABLE) return plan_variable(b, node);
    if (is_empty(e, node)) {
        e->plan.elided[node] = 1;
        return plan_outputs(b, node, &info);
    }
    if (at->kind == TNI_COPY) return plan_copy(b, node);
    if (elide(e, node)) return TN_OK;
    tn_status status = tni_kernel_prepare(b, node, &info);
    if (!status) status = plan_outputs(b, node, &info);
    return status ? status : plan_extras(b, node, &info);
}

// ------------------------------------------------------------------ the whole

// What all values take without sharing. Those that are outputs or gradients lie outside anyway.
static void sum_naive(tn_exec *e)
{
    tni_plan *p = &e->plan;
    const tn_graph *g = e->placed.g;
    for (uint32_t id = 1; id <= g->n_nodes; id++) {
        const tni_node *n = &g->nodes[id];
        if (tni_is_variable(n) && p->blocks.v[p->of_value[n->value0]].tensor) continue;
        for (uint32_t o = 0; o < n->n_out; o++) p->naive += rounded(tni_bytes_of(e, n->value0 + o));
        if (p->scratch[id]) p->naive += rounded(p->blocks.v[p->scratch[id]].bytes);
        if (p->stash[id]) p->naive += rounded(p->blocks.v[p->stash[id]].bytes);
    }
    for (size_t i = 0; i < e->n_sinks; i++)
        if (e->sinks[i].direct && !tni_is_variable(&g->nodes[e->sinks[i].entry.node]))
            p->naive -= rounded(tn_tensor_bytes(e->tensors[e->sinks[i].tensor]));
}

// A sink that is copied at the end of its phase must not change what is read later.
static tn_status check_late_readers(tni_bind *b)
{
    const tn_exec *e = b->e;
    const tni_plan *p = &e->plan;
    for (size_t i = 0; i < e->n_sinks; i++) {
        const tni_sink *s = &e->sinks[i];
        for (uint32_t o = s->direct ? 0 : s->overlap; o; o = p->overlaps[o - 1].next) {
            const tni_node *var = &e->placed.g->nodes[p->overlaps[o - 1].node];
            if (p->last[var->value0] <= sink_end(p, s)) continue;
            return tni_graph_fail(b->g, TN_E_INVALID, 0,
                                  "bind: .outs: output \"%s\" would overwrite \"%s\", which "
                                  "backward still reads; give it a tensor of its own",
                                  e->outs.v[i], var->name);
        }
    }
    return TN_OK;
}

// Outputs that are variables which other outputs overwrite are all saved before any is written.
static tn_status stage_sink(tni_bind *b, tni_sink *s)
{
    tn_exec *e = b->e;
    tni_plan *p = &e->plan;
    const tni_device *from = e->placed.at[s->entry.node].memory,
                     *to = e->tensors[s->tensor]->storage->device;
    const uint32_t t = sink_end(p, s);
    const tni_block block = {.bytes = tn_tensor_bytes(e->tensors[s->tensor]),
                             .begin = t,
                             .end = t,
                             .space = tni_space_of(e, from)};
    if (!tni_transfer_run(tni_transfer_between(e, from, to)))
        return tni_graph_fail(b->g, TN_E_INTERNAL, 0, "bind: no way to copy from %s to %s",
                              from->uri, to->uri);
    if (p->written[s->entry.node] && !(s->staged = block_new(p, &block))) return out_of_memory(b);
    return TN_OK;
}

static tn_status stage_sinks(tni_bind *b)
{
    tn_exec *e = b->e;
    tn_status status = TN_OK;
    for (size_t i = 0; !status && i < e->n_sinks; i++) {
        tni_sink *s = &e->sinks[i];
        const uint32_t from = s->entry.node ? b->var_tensor[s->entry.node] : 0;
        if (from && tni_same_place(e->tensors[from], e->tensors[s->tensor])) s->direct = true;
        if (s->entry.node && !s->direct) status = stage_sink(b, s);
    }
    return status;
}

tn_status tni_bind_plan(tni_bind *b)
{
    tn_exec *e = b->e;
    tni_plan *p = &e->plan;
    if (!plan_make(e)) return out_of_memory(b);
    find_last_readers(e);
    find_sinks(e);
    for (uint32_t id = 1; id <= e->placed.g->n_nodes; id++) {
        const tn_status status = plan_node(b, id);
        if (status) return status;
    }
    tn_status status = check_late_readers(b);
    if (!status) status = stage_sinks(b);
    if (status) return status;
    sum_naive(e);
    drop_scratch(p);
    return tni_fit_bound(&p->blocks, p->n_times, &p->lower_bound) ? TN_OK : out_of_memory(b);
}
