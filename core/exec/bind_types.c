// core/exec/bind_types.c: shapes and dtypes of everything below the bound symbol.
#include "core/exec/exec.h"

enum { LISTED = 10 }; // unknown values that a message names

static tn_status infer(tni_bind *b, uint32_t what)
{
    tn_graph *s = b->e->source;
    uint32_t *nodes = calloc((size_t)b->e->n_source + 1, sizeof *nodes);
    if (!nodes) return tni_graph_fail(b->g, TN_E_NOMEM, 0, "bind: out of memory");
    for (uint32_t i = 0; i < b->e->n_source; i++) nodes[i] = i + 1;
    const tn_status status = tni_infer(s, &b->types, nodes, b->e->n_source, what);
    free(nodes);
    return status ? tni_bind_take_error(b, s) : TN_OK;
}

// Arguments and states that nothing gave a dtype are float32. All at once: what is still unknown
// after inference is not tied to anything that is known.
static tn_status default_dtypes(tni_bind *b, bool *changed)
{
    const tn_exec *e = b->e;
    for (size_t i = 0; i < e->args.n + e->auxs.n; i++) {
        const uint32_t value = tni_value(e->source, e->vars[i]);
        if (b->types.dtype[value] != TN_DTYPE_NONE) continue;
        const tn_status status = tni_types_merge_dtype(&b->types, value, TN_F32);
        if (status) return tni_graph_fail(b->g, status, 0, "bind: out of memory");
        *changed = true;
    }
    return TN_OK;
}

static bool is_known(const tni_types *t, uint32_t value)
{
    return t->dtype[value] != TN_DTYPE_NONE && tn_shape_size(tni_types_shape(t, value)) >= 0;
}

static void add_unknown(const tni_bind *b, tni_text *text, size_t *n, uint32_t node, uint32_t out)
{
    const tn_graph *s = b->e->source;
    const uint32_t value = s->nodes[node].value0 + out;
    if (is_known(&b->types, value) || (*n)++ >= LISTED) return;
    tni_text_printf(text, "%s%s", *n > 1 ? ", " : "", s->nodes[node].name);
    if (s->nodes[node].op)
        tni_text_printf(text, " (%s) output %u", s->nodes[node].op->decl.name, out);
    tni_text_addn(text, " ", 1);
    tni_text_shape(text, tni_types_shape(&b->types, value));
    if (b->types.dtype[value] == TN_DTYPE_NONE) tni_text_printf(text, " of unknown dtype");
}

// What stays unknown: the variables, or if they are all known the results.
static tn_status check_complete(tni_bind *b)
{
    const tn_exec *e = b->e;
    tni_text text = {0};
    size_t n = 0;
    for (size_t i = 0; i < e->args.n + e->auxs.n; i++)
        add_unknown(b, &text, &n, e->vars[i].node, 0);
    const bool inputs = n > 0;
    for (uint32_t id = 1; !inputs && id <= e->n_source; id++)
        for (uint32_t o = 0; o < e->source->nodes[id].n_out; o++) add_unknown(b, &text, &n, id, o);
    if (n > LISTED) tni_text_printf(&text, " and %zu more", n - LISTED);
    const tn_status status =
        n ? tni_graph_fail(b->g, TN_E_SHAPE, 0,
                           "bind: cannot infer %s: %s (? is unknown); give shapes of inputs in "
                           ".shapes",
                           inputs ? "these inputs" : "these results", text.s ? text.s : "?")
          : TN_OK;
    tni_text_free(&text);
    return status;
}

tn_status tni_bind_types(tni_bind *b)
{
    bool changed = false;
    tn_status status = infer(b, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    if (!status) status = default_dtypes(b, &changed);
    if (!status && changed) status = infer(b, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    return status ? status : check_complete(b);
}
