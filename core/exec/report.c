// core/exec/report.c: what ran where and why, as text for a person.
#include "core/exec/exec.h"

// ------------------------------------------------------------------ shared parts

const char *tni_report_reason(uint32_t reason)
{
    static const char *const texts[] = {
        [0] = "supports() failed", [TN_NO_OP] = "no kernel",      [TN_NO_DTYPE] = "dtype",
        [TN_NO_SHAPE] = "shape",   [TN_NO_PARAM] = "parameter",   [TN_NO_LAYOUT] = "layout",
        [TN_NO_DEVICE] = "device", [TN_NO_TRAINING] = "training",
    };
    if (reason == TNI_NO_PREPARE) return "prepare() failed";
    return reason < sizeof texts / sizeof *texts ? texts[reason] : "another reason";
}

const char *tni_report_memory(const tni_device *memory)
{
    return memory ? memory->uri : "host";
}

void tni_report_bytes(uint64_t bytes, tni_text *t)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double n = (double)bytes / 1000.0;
    size_t u = 0;
    if (bytes < 1000) {
        tni_text_printf(t, "%u B", (unsigned)bytes);
        return;
    }
    for (; n >= 999.95 && u + 1 < sizeof units / sizeof *units; u++) n /= 1000.0;
    tni_text_printf(t, "%.1f %s", n, units[u]);
}

static uint64_t bytes_of_output(const tni_placed *p, uint32_t id)
{
    return p->layout[tni_node_at(p->g, id)->value0].bytes;
}

tni_report_totals tni_report_count(const tni_placed *p)
{
    tni_report_totals t = {0};
    for (uint32_t id = 1; id <= p->g->n_nodes; id++) {
        switch (p->at[id].kind) {
        case TNI_VARIABLE: break;
        case TNI_KERNEL: t.nodes++; break;
        case TNI_COPY:
            t.copies++;
            t.copy_bytes += bytes_of_output(p, id);
            break;
        case TNI_REORDER:
            t.reorders++;
            t.reorder_bytes += bytes_of_output(p, id);
            break;
        }
    }
    return t;
}

// ------------------------------------------------------------------ one line for all

// Kinds of refusals that the summary names for a device.
enum { MOST_REASONS = 3 };

// What runs on one device, and why not on an earlier one.
typedef struct share {
    const tni_device *device;
    size_t nodes;
    const char *ops[MOST_REASONS];
    uint32_t reasons[MOST_REASONS];
    size_t n_reasons;
    bool more;
} share;

static void note_reason(share *s, const char *op, uint32_t reason)
{
    for (size_t i = 0; i < s->n_reasons; i++)
        if (s->reasons[i] == reason && strcmp(s->ops[i], op) == 0) return;
    if (s->n_reasons == MOST_REASONS) {
        s->more = true;
        return;
    }
    s->ops[s->n_reasons] = op;
    s->reasons[s->n_reasons++] = reason;
}

// The device's share, new at the end if it has none yet; NULL: out of memory.
static share *share_of(share **shares, size_t *n, size_t *capacity, const tni_device *d)
{
    for (size_t i = 0; i < *n; i++)
        if ((*shares)[i].device == d) return &(*shares)[i];
    void *grown = *shares;
    if (!tni_grow(&grown, capacity, *n + 1, sizeof **shares)) return NULL;
    *shares = grown;
    (*shares)[*n] = (share){.device = d};
    return &(*shares)[(*n)++];
}

static void add_share(const share *s, bool first, tni_text *t)
{
    tni_text_printf(t, "%s%s %zu", first ? ": " : ", ", s->device->uri, s->nodes);
    for (size_t i = 0; i < s->n_reasons; i++)
        tni_text_printf(t, "%s%s: %s", i ? ", " : " (", s->ops[i],
                        tni_report_reason(s->reasons[i]));
    if (s->n_reasons) tni_text_add(t, s->more ? ", …)" : ")");
}

static void add_shares(const tni_placed *p, tni_text *t)
{
    share *shares = NULL;
    size_t n = 0, capacity = 0;
    bool ok = true;
    for (size_t i = 0; i < p->n_devices && ok; i++)
        ok = share_of(&shares, &n, &capacity, p->devices[i]) != NULL;
    for (uint32_t id = 1; id <= p->g->n_nodes && ok; id++) {
        const tni_place *at = &p->at[id];
        if (at->kind != TNI_KERNEL) continue;
        share *s = share_of(&shares, &n, &capacity, at->device);
        ok = s != NULL;
        if (ok) s->nodes++;
        // Nobody wrote a _fused: who did not take one is told with it, not here.
        if (ok && at->refusals && !at->fused)
            note_reason(s, tni_node_at(p->g, id)->op->decl.name, at->refusals->reason);
    }
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (shares[i].nodes == 0) continue;
        add_share(&shares[i], first, t);
        first = false;
    }
    if (!ok) t->failed = true;
    free(shares);
}

static void add_moves(const char *what, size_t n, uint64_t bytes, tni_text *t)
{
    tni_text_printf(t, "%zu %s", n, what);
    if (n == 0) return;
    tni_text_add(t, " ");
    tni_report_bytes(bytes, t);
}

void tni_report_summary(const tni_placed *p, tni_text *t)
{
    const tni_report_totals n = tni_report_count(p);
    tni_text_printf(t, "%zu node%s", n.nodes, n.nodes == 1 ? "" : "s");
    add_shares(p, t);
    tni_text_add(t, "; ");
    add_moves(n.copies == 1 ? "copy" : "copies", n.copies, n.copy_bytes, t);
    tni_text_add(t, ", ");
    add_moves(n.reorders == 1 ? "reorder" : "reorders", n.reorders, n.reorder_bytes, t);
}

// ------------------------------------------------------------------ a line for each node

static void add_type(const tni_placed *p, uint32_t value, tni_text *t)
{
    tni_text_add(t, tn_dtype_name(p->types.dtype[value]));
    tni_text_shape(t, tni_types_shape(&p->types, value));
}

static void add_layout(const tn_layout *layout, tni_text *t)
{
    if (!layout->domain)
        tni_text_add(t, "row-major");
    else
        tni_text_printf(t, "%s/%llx", layout->domain, (unsigned long long)layout->id);
}

static void add_refusals(const char *what, const tni_refusal *list, tni_text *t)
{
    for (const tni_refusal *r = list; r; r = r->next)
        tni_text_printf(t, "      %s%s: %s\n", what, r->device, r->text);
}

static void add_fused(const tni_fused *fused, tni_text *t)
{
    if (!fused) return;
    tni_text_add(t, fused->alike ? "      together: " : "      fused: ");
    for (size_t i = 0; i < fused->n; i++)
        tni_text_printf(t, "%s%s \"%s\"",
                        i == 0         ? ""
                        : fused->alike ? ", "
                                       : " + ",
                        fused->ops[i], fused->names[i]);
    tni_text_add(t, "\n");
}

static void add_row(const tni_report_row *row, tni_text *t)
{
    if (row->elided) tni_text_add(t, "  no run");
    if (row->once) tni_text_add(t, "  once");
    if (row->inplace) tni_text_add(t, "  in place");
    if (row->scratch) {
        tni_text_add(t, "  scratch ");
        tni_report_bytes(row->scratch, t);
    }
    if (row->stash) {
        tni_text_add(t, "  stash ");
        tni_report_bytes(row->stash, t);
    }
}

static void add_kernel(const tni_placed *p, const tni_report_info *info, uint32_t id, tni_text *t)
{
    const tni_place *at = &p->at[id];
    const tni_node *n = tni_node_at(p->g, id);
    const tni_report_row row = info->row ? info->row(info->ctx, id) : (tni_report_row){0};
    tni_text_printf(t, "  %%%u %s \"%s\" ", id, n->op->decl.name, n->name);
    add_type(p, n->value0, t);
    if (p->layout[n->value0].domain) {
        tni_text_add(t, " as ");
        add_layout(&p->layout[n->value0], t);
    }
    tni_text_printf(t, "  %s", at->device->uri);
    if (at->kernel) tni_text_printf(t, " by plugin %s", tni_plugin_name(at->kernel->plugin));
    if (row.impl) tni_text_printf(t, ": %s", row.impl);
    if (at->origin) tni_text_printf(t, "  part of %s", at->origin);
    add_row(&row, t);
    tni_text_add(t, "\n");
    add_fused(at->fused, t);
    add_refusals("not ", at->refusals, t);
}

static void add_move(const tni_placed *p, const tni_report_info *info, uint32_t id, tni_text *t)
{
    const tni_place *at = &p->at[id];
    const tni_node *n = tni_node_at(p->g, id);
    const tni_entry from = n->in[0];
    const char *kind = at->kind == TNI_COPY ? "copy" : "reorder";
    tni_text_printf(t, "  %%%u %s \"%s\" ", id, kind, n->name);
    add_type(p, n->value0, t);
    if (at->kind == TNI_COPY) {
        tni_text_printf(t, "  %s → %s", tni_report_memory(p->at[from.node].memory),
                        tni_report_memory(at->memory));
    } else {
        tni_text_printf(t, "  %s: ", at->device->uri);
        add_layout(&p->layout[tni_value(p->g, from)], t);
        tni_text_add(t, " → ");
        add_layout(&p->layout[n->value0], t);
    }
    tni_text_add(t, "  ");
    tni_report_bytes(bytes_of_output(p, id), t);
    if (info->row && info->row(info->ctx, id).once) tni_text_add(t, "  once");
    tni_text_add(t, "\n");
}

void tni_report_text(const tni_placed *p, const tni_report_info *info, tni_text *t)
{
    const char *whole = NULL; // operator whose expansion is being listed
    tni_report_summary(p, t);
    tni_text_add(t, "\n");
    for (uint32_t id = 1; id <= p->g->n_nodes; id++) {
        const tni_place *at = &p->at[id];
        if (id == 1 && p->n_forward) tni_text_add(t, "forward\n");
        if (id == p->n_forward + 1) tni_text_add(t, "backward\n");
        if (at->kind == TNI_VARIABLE) continue;
        if (at->kind != TNI_KERNEL) {
            add_move(p, info, id, t);
            continue;
        }
        if (at->origin && at->origin != whole) {
            tni_text_printf(t, "  %s runs as its parts:\n", at->origin);
            add_refusals("not whole on ", at->no_whole, t);
        }
        whole = at->origin;
        add_kernel(p, info, id, t);
    }
}

// ------------------------------------------------------------------ the plan

void tni_report_plan(const tni_placed *p, const tni_report_info *info, tni_text *t)
{
    for (uint32_t id = 1; id <= p->g->n_nodes; id++) {
        const tni_node *n = tni_node_at(p->g, id);
        const tni_place *at = &p->at[id];
        if (id == p->n_forward + 1) tni_text_add(t, "backward\n");
        tni_print_node(p->g, id, tni_types_shape(&p->types, n->value0), p->types.dtype[n->value0],
                       t);
        if (at->device) tni_text_printf(t, "  %s", at->device->uri);
        for (uint32_t v = n->value0; v < n->value0 + n->n_out && info->value; v++) {
            const tni_report_value where = info->value(info->ctx, v);
            tni_text_printf(t, "  %s", where.space);
            if (where.offset != UINT64_MAX)
                tni_text_printf(t, "+%llu", (unsigned long long)where.offset);
            tni_text_add(t, " ");
            tni_report_bytes(p->layout[v].bytes, t);
        }
        if (info->row && at->kind == TNI_KERNEL) {
            const tni_report_row row = info->row(info->ctx, id);
            add_row(&row, t);
        }
        tni_text_add(t, "\n");
    }
}
