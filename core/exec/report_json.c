// core/exec/report_json.c: the placement report as JSON. It can be given back to a later bind.
#include "core/exec/exec.h"

// Version of the format; grows when a field changes its meaning.
enum { FORMAT = 1 };

// Length of the UTF-8 sequence at s, 0 if it is none. Overlong forms and surrogates are none.
static size_t utf8_length(const unsigned char *s)
{
    size_t n = 0;
    if (s[0] < 0x80) return 1;
    if (s[0] >= 0xC2 && s[0] < 0xE0) n = 2;
    if (s[0] >= 0xE0 && s[0] < 0xF0) n = 3;
    if (s[0] >= 0xF0 && s[0] < 0xF5) n = 4;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (n == 3 && ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] >= 0xA0))) return 0;
    if (n == 4 && ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] >= 0x90))) return 0;
    return n;
}

// A string; bytes that are no UTF-8 become U+FFFD. NULL becomes null.
static void add_string(tni_text *t, const char *text)
{
    if (!text) {
        tni_text_add(t, "null");
        return;
    }
    tni_text_add(t, "\"");
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        const size_t n = utf8_length(s);
        if (n == 0)
            tni_text_add(t, "\\ufffd");
        else if (*s == '"' || *s == '\\')
            tni_text_printf(t, "\\%c", *s);
        else if (*s < 0x20)
            tni_text_printf(t, "\\u%04x", *s);
        else
            tni_text_addn(t, (const char *)s, n);
        s += n ? n : 1;
    }
    tni_text_add(t, "\"");
}

static void add_key(tni_text *t, const char *key, const char *value)
{
    tni_text_printf(t, ", \"%s\": ", key);
    add_string(t, value);
}

static void add_number(tni_text *t, const char *key, uint64_t value)
{
    tni_text_printf(t, ", \"%s\": %llu", key, (unsigned long long)value);
}

static void add_refusals(tni_text *t, const char *key, const tni_refusal *list)
{
    tni_text_printf(t, ", \"%s\": [", key);
    for (const tni_refusal *r = list; r; r = r->next) {
        tni_text_add(t, r == list ? "{\"device\": " : ", {\"device\": ");
        add_string(t, r->device);
        add_key(t, "reason", tni_report_reason(r->reason));
        add_key(t, "text", r->text);
        tni_text_add(t, "}");
    }
    tni_text_add(t, "]");
}

static void add_shape(tni_text *t, const tn_shape *shape)
{
    tni_text_add(t, ", \"shape\": [");
    for (int32_t i = 0; i < shape->ndim; i++)
        tni_text_printf(t, "%s%lld", i ? ", " : "", (long long)shape->dim[i]);
    tni_text_add(t, "]");
}

static void add_layout(tni_text *t, const char *key, const tn_layout *layout)
{
    char text[128];
    if (layout->domain)
        snprintf(text, sizeof text, "%.100s/%llx", layout->domain, (unsigned long long)layout->id);
    add_key(t, key, layout->domain ? text : "row-major");
}

static void add_head(tni_text *t, const tni_placed *p, uint32_t id, bool *first)
{
    const tni_node *n = tni_node_at(p->g, id);
    tni_text_printf(t, "%s\n    {\"id\": %u", *first ? "" : ",", id);
    add_key(t, "name", n->name);
    *first = false;
}

static void add_fused(tni_text *t, const tni_fused *fused)
{
    tni_text_add(t, ", \"fused\": [");
    for (size_t i = 0; fused && i < fused->n; i++) {
        tni_text_add(t, i ? ", {\"name\": " : "{\"name\": ");
        add_string(t, fused->names[i]);
        add_key(t, "op", fused->ops[i]);
        tni_text_add(t, "}");
    }
    tni_text_add(t, "]");
}

static void add_node(tni_text *t, const tni_placed *p, const tni_report_info *info, uint32_t id)
{
    const tni_node *n = tni_node_at(p->g, id);
    const tni_place *at = &p->at[id];
    const tni_report_row row = info->row ? info->row(info->ctx, id) : (tni_report_row){0};
    add_key(t, "op", n->op->decl.name);
    add_key(t, "pass", id <= p->n_forward ? "forward" : "backward");
    add_key(t, "device", at->device->uri);
    add_key(t, "kernel_plugin", at->kernel ? tni_plugin_name(at->kernel->plugin) : NULL);
    add_key(t, "impl", row.impl);
    add_key(t, "origin", at->origin);
    add_fused(t, at->fused);
    add_refusals(t, "why_not", at->refusals);
    if (at->origin) add_refusals(t, "why_not_whole", at->no_whole);
    tni_text_printf(t, ", \"inplace\": %s, \"elided\": %s, \"once\": %s",
                    row.inplace ? "true" : "false", row.elided ? "true" : "false",
                    row.once ? "true" : "false");
    add_number(t, "scratch", row.scratch);
    add_number(t, "stash", row.stash);
    tni_text_add(t, ", \"inputs\": [");
    for (uint32_t i = 0; i < n->n_in; i++)
        tni_text_printf(t, "%s[%u, %u]", i ? ", " : "", n->in[i].node, n->in[i].out);
    tni_text_add(t, "]");
    add_shape(t, tni_types_shape(&p->types, n->value0));
    add_key(t, "dtype", tn_dtype_name(p->types.dtype[n->value0]));
    add_layout(t, "layout", &p->layout[n->value0]);
    tni_text_add(t, "}");
}

static void add_move(tni_text *t, const tni_placed *p, const tni_report_info *info, uint32_t id)
{
    const tni_node *n = tni_node_at(p->g, id);
    const tni_place *at = &p->at[id];
    if (at->kind == TNI_COPY) {
        add_key(t, "from", tni_report_memory(p->at[n->in[0].node].memory));
        add_key(t, "to", tni_report_memory(at->memory));
    } else {
        add_key(t, "device", at->device->uri);
        add_layout(t, "from", &p->layout[tni_value(p->g, n->in[0])]);
        add_layout(t, "to", &p->layout[n->value0]);
    }
    add_number(t, "bytes", p->layout[n->value0].bytes);
    const bool once = info->row && info->row(info->ctx, id).once;
    tni_text_printf(t, ", \"once\": %s}", once ? "true" : "false");
}

// All nodes of one kind, as a list.
static void add_list(tni_text *t, const tni_placed *p, const tni_report_info *info, tni_kind kind)
{
    bool first = true;
    for (uint32_t id = 1; id <= p->g->n_nodes; id++) {
        if (p->at[id].kind != kind) continue;
        add_head(t, p, id, &first);
        if (kind == TNI_KERNEL)
            add_node(t, p, info, id);
        else
            add_move(t, p, info, id);
    }
    tni_text_add(t, first ? "]" : "\n  ]");
}

static void add_totals(tni_text *t, const tni_placed *p, const tni_report_info *info)
{
    const tni_report_totals n = tni_report_count(p);
    tni_text_printf(t, ",\n  \"totals\": {\"nodes\": %zu", n.nodes);
    add_number(t, "copies", n.copies);
    add_number(t, "copy_bytes", n.copy_bytes);
    add_number(t, "reorders", n.reorders);
    add_number(t, "reorder_bytes", n.reorder_bytes);
    add_number(t, "expanded", p->n_expanded);
    add_number(t, "merged", p->n_merged);
    add_number(t, "dropped", p->n_dropped);
    if (info->memory) {
        add_number(t, "planned", info->memory->planned);
        add_number(t, "lower_bound", info->memory->lower_bound);
        add_number(t, "naive", info->memory->naive);
        add_number(t, "external", info->memory->external);
        add_number(t, "scratch", info->memory->scratch);
        add_number(t, "stash", info->memory->stash);
    }
    tni_text_add(t, "}");
}

void tni_report_json(const tni_placed *p, const tni_report_info *info, tni_text *t)
{
    tni_text summary = {0};
    tni_report_summary(p, &summary);
    tni_text_printf(t, "{\n  \"version\": %d", FORMAT);
    add_key(t, "tenon", TN_VERSION_TEXT);
    tni_text_add(t, ",\n  \"summary\": ");
    add_string(t, summary.s ? summary.s : "");
    if (summary.failed) t->failed = true;
    tni_text_free(&summary);
    tni_text_add(t, ",\n  \"devices\": [");
    for (size_t i = 0; i < p->n_devices; i++) {
        if (i) tni_text_add(t, ", ");
        add_string(t, p->devices[i]->uri);
    }
    tni_text_add(t, "],\n  \"nodes\": [");
    add_list(t, p, info, TNI_KERNEL);
    tni_text_add(t, ",\n  \"copies\": [");
    add_list(t, p, info, TNI_COPY);
    tni_text_add(t, ",\n  \"reorders\": [");
    add_list(t, p, info, TNI_REORDER);
    add_totals(t, p, info);
    tni_text_add(t, "\n}\n");
}
