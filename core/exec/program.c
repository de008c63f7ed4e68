// core/exec/program.c: writes the rows that a run goes through.
#include "core/exec/exec.h"

static tn_status out_of_memory(tni_bind *b)
{
    return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
}

// Tensors over the head gradients, for copying them in.
static tn_status make_heads(tni_bind *b)
{
    tn_exec *e = b->e;
    for (size_t i = 0; i < e->outs.n; i++) {
        const tni_entry var = b->head_vars[i];
        const tni_entry at =
            var.node ? e->placed.values[tni_value(e->source, var)] : (tni_entry){0, 0};
        if (!at.node || e->is_loss[i] || e->head_given[i]) continue;
        const tni_block *x = &e->plan.blocks.v[e->plan.of_value[tni_value(e->placed.g, at)]];
        if (!x->end && !x->tensor) continue; // unread
        e->head[i] = tni_value_tensor(e, tni_value(e->placed.g, at));
        if (!e->head[i]) return out_of_memory(b);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ rows

// Rows and arguments being handed out.
typedef struct writer {
    tni_bind *b;
    tn_exec *e;
    tn_arg *args;
    uint32_t *numbers; // by node: place of a random node in the stream
    uint32_t n_random;
    uint32_t *coming;   // by block: arrival that brings its bytes and was not waited for, + 1
    uint32_t *block_of; // by arrival
    size_t *uploads;    // by space: that this phase still is to begin
    bool *borders;      // by space: its arrival of borders was begun in this phase
    uint32_t waited;    // arrivals of earlier phases
} writer;

static bool runs(const tn_exec *e, uint32_t node)
{
    return e->placed.at[node].kind != TNI_VARIABLE && !e->plan.elided[node];
}

static tni_row *add_row(writer *w, uint32_t node, uint32_t n_in, uint32_t n_out)
{
    tn_exec *e = w->e;
    tni_row *r = &e->rows[e->n_rows];
    e->row_node[e->n_rows++] = node;
    r->args.in = w->args;
    r->args.out = w->args + n_in;
    r->args.n_in = n_in;
    r->args.n_out = n_out;
    r->args.max_workers = e->workers;
    w->args += n_in + n_out;
    return r;
}

// A row that copies bytes from one place to another.
static void add_transfer(writer *w, uint32_t node, const tni_transfer *t, tn_arg from, tn_arg to)
{
    tn_arg *args = w->args;
    tni_row *r = add_row(w, node, 1, 1);
    args[0] = from;
    args[1] = to;
    r->run = tni_transfer_run(t);
    r->kernel = (tn_kernel *)(void *)t;
}

// ------------------------------------------------------------------ to and from host memory
//
// Copies between a queue and host memory are begun and waited for: a copy to the host where its
// value is needed first, all others at the end of the phase.

static void add_arrival(writer *w, uint32_t node, uint32_t arrival,
                        tn_status (*run)(tn_kernel *, const tn_run_args *))
{
    tni_row *r = add_row(w, node, 0, 0);
    r->run = run;
    r->kernel = (tn_kernel *)(void *)&w->e->arrivals[arrival];
}

// The last row brings its bytes as that arrival, if its device can.
static bool begins(writer *w, uint32_t arrival)
{
    tn_exec *e = w->e;
    tni_row *r = &e->rows[e->n_rows - 1];
    const tni_space *from = e->arrivals[arrival].way.from;
    if (!from->queue || !from->device->backend->api.download_begin) return false;
    if (arrival < e->n_spaces) w->borders[arrival] = true;
    r->run = tni_arrival_begin;
    r->kernel = (tn_kernel *)(void *)&e->arrivals[arrival];
    return true;
}

// Waits for what comes into these blocks.
static void await(writer *w, uint32_t node, const uint32_t *blocks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t arrival = w->coming[blocks[i]];
        if (arrival) add_arrival(w, node, arrival - 1, tni_arrival_wait);
        w->coming[blocks[i]] = 0;
    }
}

static void await_inputs(writer *w, uint32_t node)
{
    const tn_graph *g = w->e->placed.g;
    const tni_node *n = &g->nodes[node];
    const uint32_t *of_value = w->e->plan.of_value;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const uint32_t block = of_value[tni_value(g, n->in[i])];
        const uint32_t maker = w->coming[block] ? n->in[i].node : 0;
        if (maker) await(w, maker, &block, 1);
    }
    await(w, node, of_value + n->value0, n->n_out);
}

static void await_all(writer *w)
{
    for (; w->waited < w->e->n_arrivals; w->waited++) await(w, 0, &w->block_of[w->waited], 1);
}

static bool is_upload(const tn_exec *e, uint32_t node)
{
    const tni_place *at = &e->placed.at[node];
    return at->kind == TNI_COPY && at->memory &&
           !e->placed.at[e->placed.g->nodes[node].in[0].node].memory;
}

static void count_uploads(writer *w, uint32_t begin, uint32_t end)
{
    const tn_exec *e = w->e;
    for (uint32_t id = begin; id < end; id++)
        if (runs(e, id) && is_upload(e, id) && !tni_is_constant(e, id))
            w->uploads[tni_space_of(e, e->placed.at[id].memory)]++;
}

// Uploads of this phase that were begun on space i are under way.
static void add_mark(writer *w, uint32_t i)
{
    if (!w->e->spaces[i].queue) return;
    add_arrival(w, 0, i, tni_arrival_mark);
    w->borders[i] = true;
}

static void add_copy_node(writer *w, uint32_t node)
{
    tn_exec *e = w->e;
    const tni_node *n = &e->placed.g->nodes[node];
    const tni_device *from = e->placed.at[n->in[0].node].memory, *to = e->placed.at[node].memory;
    const tni_transfer *way = tni_transfer_between(e, from, to);
    add_transfer(w, node, way, tni_value_arg(e, tni_value(e->placed.g, n->in[0])),
                 tni_value_arg(e, n->value0));
    if (!from && to && !tni_is_constant(e, node) && --w->uploads[tni_space_of(e, to)] == 0)
        add_mark(w, tni_space_of(e, to));
    if (!from || to) return;
    const uint32_t arrival = (uint32_t)e->n_arrivals, block = e->plan.of_value[n->value0];
    e->arrivals[arrival].way = *way;
    if (!begins(w, arrival)) return;
    e->n_arrivals++;
    w->block_of[arrival] = block;
    w->coming[block] = arrival + 1;
    const tni_block *x = &e->plan.blocks.v[block];
    const bool unread = !x->tensor && x->end <= tni_time(&e->plan, node);
    if (unread) await(w, node, &block, 1); // its memory goes to the next
}

// ------------------------------------------------------------------ kernels

// The stash a node leaves (forward) or finds (backward); 0: none.
static uint32_t stash_of(const tn_exec *e, uint32_t node)
{
    const tn_call *call = e->placed.at[node].call;
    const uint32_t f = e->placed.g->nodes[node].forward;
    if (node <= e->plan.n_forward) return e->plan.stash[node];
    return f && call->forward && e->placed.at[f].call == call->forward ? e->plan.stash[f] : 0;
}

// Does what the node computes depend on the mode of the run? A fused node does as its parts do.
static bool has_mode(const tn_exec *e, uint32_t node)
{
    const tni_op *op = e->placed.g->nodes[node].op;
    const tn_call *call = e->placed.at[node].call;
    if (!op || op->decl.flags & TN_OP_MODE) return op != NULL;
    for (uint32_t i = 0; call && i < call->n_parts; i++)
        if (call->parts[i].call->op->flags & TN_OP_MODE) return true;
    return false;
}

// Mode and random numbers: rows that are told something new in each run.
static void note_flags(writer *w, uint32_t node)
{
    tn_exec *e = w->e;
    const uint32_t row = (uint32_t)e->n_rows - 1, f = e->placed.g->nodes[node].forward;
    const uint32_t flags = e->placed.g->nodes[node].op->decl.flags;
    if (has_mode(e, node)) e->mode_rows[e->n_mode_rows++] = row;
    if (!(flags & TN_OP_RANDOM)) return;
    const tni_op *op = f ? e->placed.g->nodes[f].op : NULL;
    const bool as_forward = node > e->plan.n_forward && op && (op->decl.flags & TN_OP_RANDOM);
    w->numbers[node] = as_forward ? w->numbers[f] : w->n_random++;
    e->random_rows[e->n_random_rows++] = (tni_random_row){row, w->numbers[node]};
}

static void add_kernel(writer *w, uint32_t node)
{
    tn_exec *e = w->e;
    const tni_place *at = &e->placed.at[node];
    const tn_graph *g = e->placed.g;
    const tni_node *n = &g->nodes[node];
    tn_arg *args = w->args;
    tni_row *r = add_row(w, node, n->n_in, n->n_out);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!(at->call->in[i]->flags & TN_VALUE_SHAPE_ONLY))
            args[i] = tni_value_arg(e, tni_value(g, n->in[i]));
    for (uint32_t o = 0; o < n->n_out; o++) args[n->n_in + o] = tni_value_arg(e, n->value0 + o);
    const uint32_t scratch = e->plan.scratch[node], stash = stash_of(e, node);
    if (scratch) r->args.scratch = tni_block_arg(e, scratch, e->plan.blocks.v[scratch].bytes);
    if (stash) r->args.stash = tni_block_arg(e, stash, e->plan.blocks.v[stash].bytes);
    r->run = at->kernel ? at->kernel->decl.run : at->device->backend->api.run;
    r->kernel = e->kernels[node].kernel;
    r->args.queue = e->spaces[tni_space_of(e, tni_device_memory(at->device))].queue;
    note_flags(w, node);
}

static void add_node(writer *w, uint32_t node)
{
    if (!runs(w->e, node)) return;
    await_inputs(w, node);
    if (w->e->placed.at[node].kind == TNI_COPY)
        add_copy_node(w, node);
    else
        add_kernel(w, node);
}

static bool is_copied_out(const tn_exec *e, const tni_sink *s, bool gradients)
{
    return s->gradient == gradients && !s->direct && s->entry.node &&
           tn_tensor_bytes(e->tensors[s->tensor]);
}

static void wait_for_queues(writer *w)
{
    tn_exec *e = w->e;
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        if (!e->spaces[i].queue) continue;
        tni_row *r = add_row(w, 0, 0, 0);
        r->run = tni_transfer_wait;
        r->kernel = (tn_kernel *)(void *)&e->transfers[i * e->n_spaces + i];
    }
}

// What queues still have to read from variables of the host is waited for before those are written
// over. On a device the queue that reads is the one that writes.
static void add_waits(writer *w, bool gradients)
{
    const tn_exec *e = w->e;
    bool overwrites = false;
    for (size_t i = 0; i < e->n_sinks; i++)
        overwrites =
            overwrites || (e->sinks[i].overlap && is_copied_out(e, &e->sinks[i], gradients) &&
                           !e->tensors[e->sinks[i].tensor]->storage->device);
    if (overwrites) wait_for_queues(w);
}

// Rows that run when constants are new. Nodes before them in the plan run after them, and write
// over what they leave for others of them: so what queues read of it has to be gone by then.
static void add_constants(writer *w)
{
    tn_exec *e = w->e;
    bool sends = false;
    for (uint32_t id = 1; id <= e->plan.n_forward; id++) {
        if (!tni_is_constant(e, id)) continue;
        add_node(w, id);
        sends = sends || (e->placed.at[id].kind == TNI_COPY && e->placed.at[id].memory);
    }
    if (sends) wait_for_queues(w);
    e->n_constant_rows = e->n_rows;
}

static void add_sink(writer *w, const tni_sink *s)
{
    tn_exec *e = w->e;
    const tn_arg to = tni_tensor_arg(e->tensors[s->tensor]);
    const tni_device *from = e->placed.at[s->entry.node].memory;
    const tni_device *memory = e->tensors[s->tensor]->storage->device;
    const tn_arg value = tni_value_arg(e, tni_value(e->placed.g, s->entry));
    const tn_arg saved = s->staged ? tni_block_arg(e, s->staged, to.bytes) : value;
    add_transfer(w, 0, tni_transfer_between(e, from, memory), saved, to);
    if (from && !memory) begins(w, tni_space_of(e, from));
    if (!from && memory) add_mark(w, tni_space_of(e, memory));
}

// Copies at the end of a phase: variables that others overwrite are saved first.
static void add_sinks(writer *w, bool gradients)
{
    tn_exec *e = w->e;
    await_all(w);
    for (size_t i = 0; i < e->n_sinks; i++) {
        const tni_sink *s = &e->sinks[i];
        if (!is_copied_out(e, s, gradients) || !s->staged) continue;
        const tni_device *from = e->placed.at[s->entry.node].memory;
        add_transfer(w, 0, tni_transfer_between(e, from, from),
                     tni_value_arg(e, tni_value(e->placed.g, s->entry)),
                     tni_block_arg(e, s->staged, tn_tensor_bytes(e->tensors[s->tensor])));
    }
    add_waits(w, gradients);
    for (size_t i = 0; i < e->n_sinks; i++)
        if (is_copied_out(e, &e->sinks[i], gradients)) add_sink(w, &e->sinks[i]);
    for (uint32_t i = 1; i < e->n_spaces; i++) {
        if (w->borders[i]) add_arrival(w, 0, i, tni_arrival_wait);
        w->borders[i] = false;
    }
}

// Gradients that are zero: written anew in each backward, whatever the caller did to them.
static tn_status add_zeros(writer *w)
{
    tn_exec *e = w->e;
    uint64_t most = 0;
    for (size_t i = 0; i < e->n_sinks; i++) {
        const uint64_t bytes = tn_tensor_bytes(e->tensors[e->sinks[i].tensor]);
        if (!e->sinks[i].entry.node && bytes > most) most = bytes;
    }
    if (!most) return TN_OK;
    void *zeros = tni_alloc(&e->arena, most);
    if (!zeros) return out_of_memory(w->b);
    for (size_t i = 0; i < e->n_sinks; i++) {
        const tni_sink *s = &e->sinks[i];
        const tn_arg to = tni_tensor_arg(e->tensors[s->tensor]);
        if (s->entry.node || !to.bytes) continue;
        add_transfer(w, 0, tni_transfer_between(e, NULL, e->tensors[s->tensor]->storage->device),
                     (tn_arg){.host = zeros, .bytes = to.bytes}, to);
    }
    return TN_OK;
}

// ------------------------------------------------------------------ the whole

// Room for everything that is written; kinds of rows are counted at their most.
static bool make_room(writer *w)
{
    tn_exec *e = w->e;
    const tn_graph *g = e->placed.g;
    const size_t n_copies = e->placed.n_copies + e->n_spaces;
    size_t n_rows = 3 * e->n_sinks + 3 * e->n_spaces + 2 * n_copies + 2 * e->n_spaces,
           n_args = 4 * e->n_sinks, n_mode = 0, n_random = 0;
    for (uint32_t id = 1; id <= g->n_nodes; id++) {
        if (!runs(e, id)) continue;
        const uint32_t flags = g->nodes[id].op ? g->nodes[id].op->decl.flags : 0;
        n_rows++;
        n_args += g->nodes[id].n_in + g->nodes[id].n_out;
        n_mode += has_mode(e, id);
        n_random += (flags & TN_OP_RANDOM) != 0;
    }
    e->rows = calloc(n_rows + 1, sizeof *e->rows);
    e->row_node = calloc(n_rows + 1, sizeof *e->row_node);
    w->args = tni_alloc(&e->arena, (n_args + 1) * sizeof *w->args);
    e->mode_rows = tni_alloc(&e->arena, (n_mode + 1) * sizeof *e->mode_rows);
    e->random_rows = tni_alloc(&e->arena, (n_random + 1) * sizeof *e->random_rows);
    w->numbers = calloc(n_random ? g->n_nodes + 1 : 1, sizeof *w->numbers);
    w->coming = calloc(e->plan.blocks.n + 1, sizeof *w->coming);
    w->block_of = calloc(n_copies, sizeof *w->block_of);
    w->uploads = calloc(e->n_spaces, sizeof *w->uploads);
    w->borders = calloc(e->n_spaces, sizeof *w->borders);
    e->arrivals = tni_alloc(&e->arena, n_copies * sizeof *e->arrivals);
    if (!e->arrivals || !w->coming || !w->block_of || !w->uploads || !w->borders) return false;
    for (uint32_t i = 0; i < e->n_spaces; i++)
        e->arrivals[i] = (tni_arrival){.way = {&e->spaces[i], &e->spaces[0]}};
    w->waited = e->n_spaces;
    e->n_arrivals = e->n_spaces;
    return e->rows && e->row_node && w->args && e->mode_rows && e->random_rows && w->numbers;
}

static tn_status write_rows(writer *w)
{
    tn_exec *e = w->e;
    const uint32_t n = (uint32_t)e->placed.g->n_nodes;
    add_constants(w);
    count_uploads(w, 1, e->plan.n_forward + 1);
    for (uint32_t id = 1; id <= e->plan.n_forward; id++)
        if (!tni_is_constant(e, id)) add_node(w, id);
    add_sinks(w, false);
    e->n_forward_rows = e->n_rows;
    const tn_status status = add_zeros(w);
    count_uploads(w, e->plan.n_forward + 1, n + 1);
    for (uint32_t id = e->plan.n_forward + 1; !status && id <= n; id++) add_node(w, id);
    add_sinks(w, true);
    return status;
}

static void fill_report(tn_exec *e)
{
    tn_memory_report *m = &e->memory;
    for (uint32_t i = 0; i < e->n_spaces; i++) m->planned += e->spaces[i].bytes;
    for (size_t i = 1; i <= e->n_tensors; i++) m->external += tn_tensor_bytes(e->tensors[i]);
    m->lower_bound = e->plan.lower_bound;
    m->naive = e->plan.naive;
    m->scratch = e->plan.scratch_bytes;
    m->stash = e->plan.stash_bytes;
    m->n_nodes = e->placed.g->n_nodes;
    m->n_forward = e->plan.n_forward;
    m->n_copies = e->placed.n_copies;
    m->n_reorders = e->placed.n_reorders;
    m->n_inplace = e->plan.n_inplace;
}

tn_status tni_bind_program(tni_bind *b)
{
    writer w = {.b = b, .e = b->e};
    tn_status status = make_heads(b);
    if (!status && !make_room(&w)) status = out_of_memory(b);
    if (!status) status = write_rows(&w);
    free(w.numbers);
    free(w.coming);
    free(w.block_of);
    free(w.uploads);
    free(w.borders);
    if (!status) fill_report(b->e);
    return status;
}
