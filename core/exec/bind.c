// core/exec/bind.c: from a symbol to an executor, step by step; and the end of an executor.
#include "core/exec/exec.h"

// Options as this library knows them. A size of 0 is read as that of the first version.
static tn_bind_options options_of(const tn_bind_options *theirs)
{
    tn_bind_options mine;
    memset(&mine, 0, sizeof mine);
    if (!theirs) return mine;
    const size_t first = TN_END_OF(tn_bind_options, flags); // what came later reads as zero
    const size_t size = theirs->size < first ? first : theirs->size;
    memcpy(&mine, theirs, size < sizeof mine ? size : sizeof mine);
    return mine;
}

tn_status tni_bind_take_error(tni_bind *b, tn_graph *from)
{
    const tn_status status = from->error.status ? from->error.status : TN_E_INTERNAL;
    if (from == b->g) return status;
    tni_fail(&b->g->error, status, NULL, "%s", tni_error_text(&from->error));
    tni_error_clear(&from->error);
    return status;
}

// ------------------------------------------------------------------ options that are kept

static bool keep_groups(tn_exec *e, tn_attrs groups)
{
    tn_attr *copy = tni_alloc(&e->arena, (groups.n + 1) * sizeof *copy);
    for (size_t i = 0; copy && i < groups.n; i++) {
        copy[i].key = tni_strdup(&e->arena, groups.v[i].key ? groups.v[i].key : "");
        copy[i].value = tni_strdup(&e->arena, groups.v[i].value ? groups.v[i].value : "");
        if (!copy[i].key || !copy[i].value) return false;
    }
    e->groups = (tn_attrs){groups.n, copy};
    return copy != NULL;
}

static bool keep_options(tni_bind *b)
{
    tn_exec *e = b->e;
    const uint32_t pool = tn_env_num_threads(e->env);
    const char *nan = secure_getenv("TENON_NAN");
    e->seed = b->o.seed ? b->o.seed : 1;
    e->flags = b->o.flags;
    e->workers = b->o.threads > 0 && (uint32_t)b->o.threads < pool ? (uint32_t)b->o.threads : pool;
    e->stop_at_nan = nan && strcmp(nan, "stop") == 0;
    e->compute = b->o.compute;
    if (b->o.backends) e->backends = tni_strdup(&e->arena, b->o.backends);
    if (b->o.inputs) e->inputs = tni_strdup(&e->arena, b->o.inputs);
    return keep_groups(e, b->o.groups) && (!b->o.backends || e->backends) &&
           (!b->o.inputs || e->inputs);
}

// ------------------------------------------------------------------ the private graph

static tn_status copy_symbol(tni_bind *b, tn_graph *from, tni_entries heads)
{
    tn_exec *e = b->e;
    e->source = tni_graph_bare(e->env);
    uint32_t *map = e->source ? tni_graph_copy(e->source, from, heads.v, heads.n) : NULL;
    e->heads = tni_alloc(&e->arena, (heads.n + 1) * sizeof *e->heads);
    if (map && e->heads) {
        e->source->file = b->g->file;
        e->source->line = b->g->line;
        e->n_source = (uint32_t)e->source->n_nodes;
        e->outs.n = heads.n;
        for (size_t i = 0; i < heads.n; i++)
            e->heads[i] = (tni_entry){map[heads.v[i].node], heads.v[i].out};
    }
    const bool ok = map && e->heads;
    free(map);
    return ok ? TN_OK : tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
}

static bool any_list_bad(tn_graph *g, const tn_bind_options *o)
{
    return tni_list_bad(g, "bind: .shapes", o->shapes.n, o->shapes.v) ||
           tni_list_bad(g, "bind: .dtypes", o->dtypes.n, o->dtypes.v) ||
           tni_list_bad(g, "bind: .grad_reqs", o->grad_reqs.n, o->grad_reqs.v) ||
           tni_list_bad(g, "bind: .args", o->args.n, o->args.v) ||
           tni_list_bad(g, "bind: .grads", o->grads.n, o->grads.v) ||
           tni_list_bad(g, "bind: .auxs", o->auxs.n, o->auxs.v) ||
           tni_list_bad(g, "bind: .outs", o->outs.n, o->outs.v) ||
           tni_list_bad(g, "bind: .heads", o->heads.n, o->heads.v) ||
           tni_list_bad(g, "bind: .groups", o->groups.n, o->groups.v);
}

static tn_status check_options(const tni_bind *b)
{
    const tn_bind_options *o = &b->o;
    if (any_list_bad(b->g, o)) return b->g->error.status;
    if (o->threads < 0)
        return tni_graph_fail(b->g, TN_E_INVALID, 0, "bind: .threads: wanted 0 or more, got %d",
                              (int)o->threads);
    const uint32_t known = TN_BIND_NO_REUSE | TN_BIND_NO_FUSE;
    if (o->flags & ~known)
        return tni_graph_fail(b->g, TN_E_INVALID, 0, "bind: .flags: unknown bits 0x%x",
                              o->flags & ~known);
    if (o->compute != TN_DTYPE_NONE && o->compute != TN_BF16)
        return tni_graph_fail(b->g, TN_E_INVALID, 0,
                              "bind: .compute: wanted TN_BF16 or TN_DTYPE_NONE, got %s",
                              tn_dtype_name(o->compute));
    if (o->share && o->share->env != b->g->env)
        return tni_graph_fail(b->g, TN_E_INVALID, 0,
                              "bind: .share: that executor is of another env than the graph");
    return TN_OK;
}

static tn_status bind_steps(tni_bind *b, tn_graph *from, tni_entries heads)
{
    tn_status status = check_options(b);
    if (!status && !keep_options(b))
        status = tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
    if (!status) status = copy_symbol(b, from, heads);
    if (!status) status = tni_bind_names(b);
    if (!status) status = tni_bind_options(b);
    if (!status) status = tni_bind_types(b);
    if (!status) status = tni_bind_gradients(b);
    if (!status) status = tni_bind_constants(b);
    if (!status) status = tni_bind_place(b);
    if (!status) status = tni_bind_tensors(b);
    if (!status) status = tni_bind_plan(b);
    if (!status) status = tni_bind_memory(b);
    if (!status) status = tni_bind_program(b);
    if (!status) status = tni_bind_uses(b);
    return status;
}

static tn_exec *attempt(tn_graph *from, tni_entries heads, const tn_bind_options *options,
                        bool strict, tni_exclusions *excluded)
{
    tni_bind b = {.g = from, .o = options_of(options), .strict = strict, .excluded = excluded};
    b.e = calloc(1, sizeof *b.e);
    if (!b.e) {
        tni_graph_fail(from, TN_E_NOMEM, 0, "bind: out of memory");
        return NULL;
    }
    b.e->env = from->env;
    const tn_status status = bind_steps(&b, from, heads);
    tni_types_free(&b.types);
    free(b.var_tensor);
    if (!status) return b.e;
    tn_exec_free(b.e);
    return NULL;
}

// Takes what a failed attempt said out of the graph, to be kept until another one has failed too.
static void set_aside(tn_graph *from, tni_error *first)
{
    if (first->status)
        tni_error_clear(&from->error);
    else
        *first = from->error;
    from->error = (tni_error){0};
}

// The text of the last attempt, where it repeats what kernels said in the first one (as far as a
// verdict has room), says "as above".
static void without_repetition(const char *first, const char *last, tni_text *out)
{
    static const char mark[] = "cannot prepare its kernel: ";
    const char *said = strstr(first, mark), *at;
    while (said && (at = strstr(last, mark))) {
        const char *a = said + strlen(mark), *b = at + strlen(mark);
        tni_text_addn(out, last, (size_t)(b - last));
        last = b;
        while (*b && *a == *b) a++, b++;
        if (b == last || (*b && *b != '\n')) continue;
        tni_text_add(out, "as above");
        last = b;
    }
    tni_text_add(out, last);
}

// Puts the error of the first attempt before that of the last.
static void put_back(tn_graph *from, tni_error *first)
{
    const tn_status status = first->status;
    tni_error last = from->error;
    tni_text then = {0};
    from->error = (tni_error){0};
    without_repetition(tni_error_text(first), tni_error_text(&last), &then);
    tni_fail(&from->error, status, NULL, "%s\n  and without it: %s", tni_error_text(first),
             then.failed ? tni_error_text(&last) : then.s);
    tni_text_free(&then);
    tni_error_clear(&last);
}

// Whole attempts: each one that fails to prepare a kernel leaves its device out for such calls, so
// no two fail in the same way.
enum { MOST_ATTEMPTS = 64 };

tn_exec *tni_bind_symbol(tn_graph *from, tni_entries heads, const tn_bind_options *options,
                         bool strict)
{
    tni_exclusions excluded = {0};
    tni_error first = {0};
    tn_exec *e = NULL;
    for (int i = 0; i < MOST_ATTEMPTS && !e; i++) {
        const size_t known = excluded.n;
        if (i) set_aside(from, &first);
        e = attempt(from, heads, options, strict, &excluded);
        if (excluded.n == known) break;
    }
    if (!e && first.status) put_back(from, &first);
    tni_error_clear(&first);
    tni_arena_free(&excluded.arena);
    return e;
}

static tn_exec *bind(tn_graph *g, tn_symbol s, const tn_bind_options *options, bool strict)
{
    if (!g || g->error.status || tni_symbol_bad(g, s, "bind: the symbol", false)) return NULL;
    const tni_entries heads = tni_symbol_entries(g, s);
    if (g->error.status) return NULL;
    if (!heads.n) {
        tni_graph_fail(g, TN_E_INVALID, 0, "bind: the symbol has no outputs");
        return NULL;
    }
    return tni_bind_symbol(g, heads, options, strict);
}

tn_exec *tn_simple_bind_make(tn_graph *g, tn_symbol s, const tn_bind_options *options)
{
    return bind(g, s, options, false);
}

tn_exec *tn_bind_make(tn_graph *g, tn_symbol s, const tn_bind_options *options)
{
    return bind(g, s, options, true);
}

// ------------------------------------------------------------------ the end

static void release_all(tn_tensor **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) tn_tensor_release(list[i]);
}

static void free_spaces(tn_exec *e)
{
    for (uint32_t i = 0; i < e->n_spaces; i++) {
        const tni_space *s = &e->spaces[i];
        if (s->queue) s->device->backend->api.queue_destroy(s->device->handle, s->queue);
        tni_storage_release(s->storage);
    }
    free(e->spaces);
}

void tn_exec_free(tn_exec *e)
{
    if (!e) return;
    tni_uses_end(e);
    for (size_t i = 0; i < e->n_arrivals; i++) tni_arrival_drop(&e->arrivals[i]);
    if (e->kernels)
        for (uint32_t id = 1; id <= e->placed.g->n_nodes; id++) tni_kernel_destroy(e, id);
    release_all(e->head, e->outs.n);
    release_all(e->arg, e->args.n);
    release_all(e->grad, e->args.n);
    release_all(e->aux, e->auxs.n);
    release_all(e->out, e->outs.n);
    free_spaces(e);
    tni_plan_free(&e->plan);
    free(e->kernels);
    free(e->rows);
    free(e->row_node);
    free(e->value_names);
    free(e->profile);
    if (e->is_placed) tni_placed_free(&e->placed);
    tni_folded_free(&e->folded);
    tn_graph_free(e->source);
    tni_map_free(&e->args.index);
    tni_map_free(&e->auxs.index);
    tni_map_free(&e->outs.index);
    tni_text_free(&e->report_text);
    tni_text_free(&e->report_json);
    tni_text_free(&e->plan_text);
    tni_error_clear(&e->error);
    tni_arena_free(&e->arena);
    free(e);
}
