// core/passes/support.c: asks devices whether they run a node, once for each distinct question.
//
// A network repeats itself: nodes with the same operator, parameters, types and candidates get the
// same answer and share the record of who refused and why. So a verdict's text must not depend on
// the name of the node; in messages a call carries the name of the first of them.
#include "core/passes/place.h"

// ------------------------------------------------------------------ the table of questions

static uint64_t hash_question(const tni_question *q)
{
    const struct {
        const void *op;
        uint64_t set_and_forward;
    } head = {q->op, (uint64_t)q->set << 32 | q->forward};
    uint64_t h = tni_hash(&head, sizeof head, q->n_in);
    h = tni_hash(q->infos, (size_t)(q->n_in + q->n_out) * sizeof *q->infos, h);
    return tni_params_hash(q->op, q->params, h);
}

static bool same_question(const tni_question *a, const tni_question *b)
{
    return a->hash == b->hash && a->op == b->op && a->set == b->set && a->forward == b->forward &&
           a->n_in == b->n_in && a->n_out == b->n_out &&
           memcmp(a->infos, b->infos, (size_t)(a->n_in + a->n_out) * sizeof *a->infos) == 0 &&
           tni_params_equal(a->op, a->params, b->params);
}

static bool grow_slots(tni_support *s)
{
    const size_t wanted = s->n_slots ? s->n_slots * 2 : 64;
    uint32_t *slots = calloc(wanted, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 1; i <= s->n; i++) {
        size_t at = s->questions[i].hash & (wanted - 1);
        while (slots[at]) at = (at + 1) & (wanted - 1);
        slots[at] = i;
    }
    free(s->slots);
    s->slots = slots;
    s->n_slots = wanted;
    return true;
}

// ------------------------------------------------------------------ asking

static void fill_call(const tni_support *s, const tni_question *q, const char *name, tn_call *call)
{
    *call = (tn_call){.struct_size = sizeof *call,
                      .flags = s->call_flags,
                      .compute = s->compute,
                      .op = &q->op->decl,
                      .params = q->params,
                      .name = name,
                      .n_in = q->n_in,
                      .n_out = q->n_out,
                      .in = q->infos,
                      .out = q->infos + q->n_in,
                      .n_parts = q->n_parts,
                      .parts = q->parts,
                      .out_parts = q->out_parts,
                      .out_numbers = q->out_numbers,
                      .max_workers = s->workers};
}

// Appends to the refusals that *tail ends. brought_by: the plugin of a kernel, or NULL.
static bool refuse(tni_arena *arena, const tni_refusal ***tail, const tni_device *d,
                   const char *brought_by, const tn_verdict *v)
{
    tni_refusal *r = tni_alloc(arena, sizeof *r);
    const char *text = v->text[0] ? v->text : "no reason given";
    if (!r) return false;
    r->device = d->uri;
    r->reason = v->reason;
    r->text = brought_by ? tni_printf(arena, "kernel of plugin %s: %s", brought_by, text)
                         : tni_strdup(arena, text);
    if (!r->text) return false;
    **tail = r;
    *tail = &r->next;
    return true;
}

// Turns a supports() that failed into a refusal.
static void note_failure(const struct tni_plugin *plugin, tn_status status, tn_verdict *v)
{
    v->text[sizeof v->text - 1] = 0;
    if (status == TN_OK) return;
    const char *text = tni_host_take_error(plugin);
    v->ok = 0;
    v->reason = 0;
    snprintf(v->text, sizeof v->text, "supports() failed: %.120s",
             text && *text ? text : tn_status_text(status));
}

// Fills in the refusal if the call could not be prepared before.
static bool is_excluded(const tni_support *s, const tni_device *d, const tni_kernel_decl *k,
                        const tn_call *call, tn_verdict *v)
{
    const tni_exclusion *x = tni_excluded(s->exclusions, d, k, call);
    *v = (tn_verdict){.struct_size = sizeof *v};
    if (!x) return false;
    v->reason = TNI_NO_PREPARE;
    snprintf(v->text, sizeof v->text, "cannot prepare its kernel: %s", x->reason);
    return true;
}

static void ask_device(const tni_support *s, tni_device *d, const tn_call *call, tn_verdict *v)
{
    if (is_excluded(s, d, NULL, call, v)) return;
    const tn_status status = d->backend->api.supports(d->handle, call, v);
    note_failure(d->backend->plugin, status, v);
}

static void ask_kernel(const tni_support *s, const tni_device *d, const tni_kernel_decl *k,
                       const tn_call *call, tn_verdict *v)
{
    const tn_backend_api *api = &d->backend->api;
    if (is_excluded(s, d, k, call, v)) return;
    const char *id = k->decl.interface_id;
    if (id && (!api->get_extension || !api->get_extension(d->backend->self, id))) {
        v->reason = TN_NO_DEVICE;
        snprintf(v->text, sizeof v->text, "the backend has no interface %.100s", id);
        return;
    }
    const tn_status status = k->decl.supports(k->self, call, v);
    note_failure(k->plugin, status, v);
}

// Is k meant for d? First round: for its backend; second round: for host memory.
static bool kernel_fits(const tni_kernel_decl *k, const tni_device *d, const tni_question *q,
                        int round)
{
    if (strcmp(k->decl.op, q->op->decl.name) != 0) return false;
    if (round == 0) return strcmp(k->decl.backend, d->backend->api.name) == 0;
    return d->info.flags & TN_DEV_HOST_MEMORY && strcmp(k->decl.backend, "host") == 0;
}

static bool try_kernels(const tni_support *s, tni_question *q, tni_device *d, const tn_call *call,
                        const tni_refusal ***tail)
{
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < s->registry->n_kernels; i++) {
            const tni_kernel_decl *k = &s->registry->kernels[i];
            tn_verdict v;
            if (!kernel_fits(k, d, q, round)) continue;
            ask_kernel(s, d, k, call, &v);
            if (v.ok) {
                q->device = d;
                q->kernel = k;
                return true;
            }
            if (!refuse(s->arena, tail, d, tni_plugin_name(k->plugin), &v)) return false;
        }
    }
    return true;
}

// Asks the candidates in order until one takes the call. false: out of memory.
static bool decide(const tni_support *s, tni_question *q)
{
    const tni_candidates *who = &s->pins->sets[q->set];
    const tni_question *f = q->forward ? &s->questions[q->forward] : NULL;
    const tni_refusal **tail = &q->refusals;
    tn_call call, forward;
    fill_call(s, q, q->names[0], &call);
    if (f) fill_call(s, f, f->names[0], &forward);
    for (size_t i = 0; i < who->n && !q->device; i++) {
        tni_device *d = who->devices[i];
        tn_verdict v;
        call.forward = f && f->device == d ? &forward : NULL;
        ask_device(s, d, &call, &v);
        if (v.ok)
            q->device = d;
        else if (!refuse(s->arena, &tail, d, NULL, &v) || !try_kernels(s, q, d, &call, &tail))
            return false;
    }
    return true;
}

// Appends the question with memory of its own, and its answer. 0: out of memory.
static uint32_t add_question(tni_support *s, const tni_question *q, const char *name)
{
    const size_t n = (size_t)q->n_in + q->n_out;
    const tn_value_info **infos = tni_alloc(s->arena, n * sizeof *infos);
    void *questions = s->questions;
    if (!infos || !tni_grow(&questions, &s->capacity, s->n + 2, sizeof *s->questions)) return 0;
    s->questions = questions;
    memcpy(infos, q->infos, n * sizeof *infos);
    tni_question *mine = &s->questions[s->n + 1];
    *mine = *q;
    mine->infos = infos;
    mine->names[0] = name;
    if (!decide(s, mine)) return 0;
    return (uint32_t)++s->n;
}

uint32_t tni_support_ask(tni_support *s, const tni_question *question, const char *name)
{
    tni_question q = *question;
    q.hash = hash_question(&q);
    if ((s->n + 1) * 2 > s->n_slots && !grow_slots(s)) return 0;
    size_t at = q.hash & (s->n_slots - 1);
    for (; s->slots[at]; at = (at + 1) & (s->n_slots - 1))
        if (same_question(&s->questions[s->slots[at]], &q)) return s->slots[at];
    return s->slots[at] = add_question(s, &q, name);
}

bool tni_support_may_fuse(tni_support *s, uint32_t number, tni_device *d, const tni_op *fused)
{
    static const uint32_t first = 0;
    tni_question *q = &s->questions[number];
    int32_t from[TNI_MAX_PARTS];
    tn_call part, call;
    tn_verdict v;
    if (q->part_of == d) return q->as_part;
    q->part_of = d;
    q->as_part = false;
    if (q->n_in > TNI_MAX_PARTS || q->n_out != 1) return false;
    for (uint32_t i = 0; i < q->n_in; i++) from[i] = (int32_t)i;
    fill_call(s, q, q->names[0], &part);
    const tn_part parts[] = {{&part, from}};
    call = part;
    call.op = &fused->decl;
    call.params = tni_fused_make(fused, s->arena, q->n_in, 1, 0);
    if (!call.params) return false;
    call.n_parts = 1;
    call.parts = parts;
    call.out_parts = call.out_numbers = &first;
    ask_device(s, d, &call, &v);
    return q->as_part = v.ok != 0;
}

// Why a device that runs the whole call has not got it: it could not take over the parts.
static void note_parts(tni_device *d, tni_device *chosen, tn_verdict *v)
{
    const bool far = tni_device_memory(d) != tni_device_memory(chosen);
    v->ok = 0;
    v->reason = far ? TN_NO_DEVICE : TN_NO_OP;
    snprintf(v->text, sizeof v->text, "%s",
             far ? "the parts are where no copy is needed, and its memory is another"
                 : "does not run each part of it");
}

// Why the candidates before q->device do not run the fused call. false: out of memory.
static bool note_earlier(const tni_support *s, tni_question *q, const tn_call *call)
{
    const tni_candidates *who = &s->pins->sets[q->set];
    const tni_refusal **tail = &q->refusals;
    for (size_t i = 0; i < who->n && who->devices[i] != q->device; i++) {
        tni_device *d = who->devices[i];
        tn_verdict v;
        ask_device(s, d, call, &v);
        if (v.ok) note_parts(d, q->device, &v);
        if (!refuse(s->arena, &tail, d, NULL, &v)) return false;
    }
    return true;
}

uint32_t tni_support_ask_fused(tni_support *s, const tni_question *q, const char *name, bool moves,
                               bool *no_memory)
{
    tni_device *d = q->device;
    void *questions = s->questions;
    const tni_question *f = q->forward ? &s->questions[q->forward] : NULL;
    tn_call call, forward;
    tn_verdict v;
    if (f) fill_call(s, f, f->names[0], &forward);
    *no_memory = !tni_grow(&questions, &s->capacity, s->n + 2, sizeof *s->questions);
    s->questions = questions;
    if (*no_memory) return 0;
    fill_call(s, q, name, &call);
    call.forward = f ? &forward : NULL;
    ask_device(s, d, &call, &v);
    if (!v.ok) return 0;
    tni_question *mine = &s->questions[s->n + 1];
    *mine = *q;
    mine->names[0] = name;
    *no_memory = moves && !note_earlier(s, mine, &call);
    return *no_memory ? 0 : (uint32_t)++s->n;
}

void tni_support_free(tni_support *s)
{
    free(s->questions);
    free(s->slots);
    *s = (tni_support){0};
}

const tn_call *tni_support_call(tni_support *s, const tni_question *q, const char *name,
                                const tn_call *forward)
{
    tn_call *call = tni_alloc(s->arena, sizeof *call);
    if (!call) return NULL;
    fill_call(s, q, name, call);
    call->forward = forward;
    return call;
}

// ------------------------------------------------------------------ when nobody does

void tni_support_miss(tni_question *q, const char *name, const char *origin)
{
    if (q->n_nodes < sizeof q->names / sizeof *q->names) q->names[q->n_nodes] = name;
    if (q->n_nodes == 0) q->origin = origin;
    q->n_nodes++;
}

// Calls that one paragraph of the message stands for: one operator, refused for the same reasons.
typedef struct group {
    const tni_question *first;
    size_t n_kinds, n_nodes; // kinds differ in shapes, dtypes or parameters
} group;

static bool same_refusals(const tni_refusal *a, const tni_refusal *b)
{
    for (; a && b; a = a->next, b = b->next)
        if (strcmp(a->device, b->device) != 0 || strcmp(a->text, b->text) != 0) return false;
    return a == b;
}

static bool belongs(const group *g, const tni_question *q)
{
    const char *mine = g->first->origin, *its = q->origin;
    const bool same_origin = mine == its || (mine && its && strcmp(mine, its) == 0);
    return g->first->op == q->op && g->first->set == q->set && same_origin &&
           same_refusals(g->first->refusals, q->refusals);
}

static void describe(const tni_support *s, const group *g, tni_text *t)
{
    const tni_question *q = g->first;
    const tni_candidates *who = &s->pins->sets[q->set];
    tni_text_printf(t, "\n  %s(", q->op->decl.name);
    for (uint32_t i = 0; i < q->n_in + (q->n_in == 0 ? q->n_out : 0); i++) {
        const tn_value_info *info = q->infos[i];
        tn_shape shape = {.ndim = info->ndim};
        for (int32_t k = 0; k < info->ndim; k++) shape.dim[k] = info->dims[k];
        tni_text_printf(t, "%s%s", i ? ", " : "", tn_dtype_name(info->dtype));
        tni_text_shape(t, &shape);
    }
    tni_text_add(t, ")");
    if (g->n_kinds > 1)
        tni_text_printf(t, " and %zu other kind%s of call", g->n_kinds - 1,
                        g->n_kinds > 2 ? "s" : "");
    if (q->origin) tni_text_printf(t, ", part of %s", q->origin);
    if (who->who) tni_text_printf(t, ", in %s", who->who);
    tni_text_add(t, ":");
    const uint32_t room = sizeof q->names / sizeof *q->names;
    for (uint32_t i = 0; i < q->n_nodes && i < room; i++)
        tni_text_printf(t, "%s %s", i ? "," : "", *q->names[i] ? q->names[i] : "(unnamed)");
    const size_t shown = q->n_nodes < room ? q->n_nodes : room;
    if (g->n_nodes > shown) tni_text_printf(t, " and %zu more", g->n_nodes - shown);
    for (const tni_refusal *r = q->refusals; r; r = r->next)
        tni_text_printf(t, "\n    %s: %s", r->device, r->text);
}

// Groups that one message describes; a person reads no more.
#define MOST_DESCRIBED 50

// Every kind of call that nothing supports, in groups; those beyond the room are only counted.
static size_t collect(const tni_support *s, group groups[MOST_DESCRIBED], size_t *n_nodes,
                      size_t *n_left)
{
    size_t n = 0;
    *n_nodes = *n_left = 0;
    for (size_t i = 1; i <= s->n; i++) {
        const tni_question *q = &s->questions[i];
        if (q->n_nodes == 0) continue;
        *n_nodes += q->n_nodes;
        size_t at = 0;
        while (at < n && !belongs(&groups[at], q)) at++;
        if (at == MOST_DESCRIBED) {
            ++*n_left;
            continue;
        }
        if (at == n) groups[n++] = (group){.first = q};
        groups[at].n_kinds++;
        groups[at].n_nodes += q->n_nodes;
    }
    return n;
}

tn_status tni_support_report(const tni_support *s, tn_graph *g)
{
    group groups[MOST_DESCRIBED];
    size_t nodes, left;
    const size_t n = collect(s, groups, &nodes, &left);
    tni_text t = {0};
    if (n == 0) return TN_OK;
    for (size_t i = 0; i < n; i++) describe(s, &groups[i], &t);
    if (left) tni_text_printf(&t, "\n  and %zu more kind%s of call", left, left > 1 ? "s" : "");
    tni_text list = {0};
    for (size_t i = 0; i < s->pins->sets[0].n; i++)
        tni_text_printf(&list, "%s%s", i ? ", " : "", s->pins->sets[0].devices[i]->uri);
    const tn_status status =
        t.failed || list.failed
            ? tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory")
            : tni_graph_fail(g, TN_E_UNSUPPORTED, 0, "no kernel for %zu node%s; the list is %s:%s",
                             nodes, nodes == 1 ? "" : "s", list.s, t.s);
    tni_text_free(&list);
    tni_text_free(&t);
    return status;
}
