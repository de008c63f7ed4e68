// core/passes/infer_node.c: asks one node's shape or dtype rule, and words its contradictions.
#include "core/passes/pass.h"

tn_status tni_node_fail(tn_graph *g, tn_status status, uint32_t node, const char *format, ...)
{
    const tni_node *n = tni_node_at(g, node);
    const char *file = g->file;
    const int line = g->line;
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!n->file) return tni_graph_fail(g, status, node, "%s", text);
    const bool elsewhere = file && (line != n->line || strcmp(file, n->file) != 0);
    g->file = n->file;
    g->line = n->line;
    const tn_status s =
        elsewhere ? tni_graph_fail(g, status, node, "%s (in the call at %s:%d)", text, file, line)
                  : tni_graph_fail(g, status, node, "%s", text);
    g->file = file;
    g->line = line;
    return s;
}

static tni_ask *ask_of(void *ctx)
{
    return ctx;
}

// The value of input or output i; {0,0} and a failure if there is none.
static tni_entry entry_of(tni_ask *a, bool out, uint32_t i)
{
    const tni_node *n = tni_node_at(a->g, a->id);
    if (i < (out ? n->n_out : n->n_in)) return out ? (tni_entry){a->id, i} : n->in[i];
    if (a->status == TN_OK)
        a->status =
            tni_node_fail(a->g, TN_E_INTERNAL, a->id, "its %s rule asks for %s %u, there are %u",
                          a->what == TNI_INFER_SHAPES ? "shape" : "dtype", out ? "output" : "input",
                          i, out ? n->n_out : n->n_in);
    return (tni_entry){0, 0};
}

static const char *port_name(const tni_ask *a, bool out, uint32_t i, char buffer[64])
{
    const tni_node *n = tni_node_at(a->g, a->id);
    return out ? tni_op_out_name(n->op, n->params, i, buffer)
               : tni_op_in_name(n->op, n->params, i, buffer);
}

// ------------------------------------------------------------------ shapes

static const tn_shape *shape_of(tni_ask *a, bool out, uint32_t i)
{
    const tni_entry e = entry_of(a, out, i);
    return e.node ? tni_types_shape(a->t, tni_value(a->g, e)) : tni_shape_at(a->t->pool, 0);
}

static const tn_shape *in_shape(void *ctx, uint32_t i)
{
    return shape_of(ask_of(ctx), false, i);
}

static const tn_shape *out_shape(void *ctx, uint32_t i)
{
    return shape_of(ask_of(ctx), true, i);
}

// The first two inputs before it, for the first one those behind it, whose shapes are known: what
// is wrong is often they. A user who gives data of 63 columns reads about a weight.
static void add_others(tni_ask *a, bool out, uint32_t i, tni_text *t)
{
    char name[64];
    uint32_t said = 0;
    const uint32_t begin = !out && i == 0 ? 1 : 0, end = out || i == 0 ? a->api.n_in : i;
    for (uint32_t k = begin; k < end && said < 2; k++) {
        const tn_shape *shape = shape_of(a, false, k);
        if (shape->ndim < 0) continue;
        tni_text_printf(t, "%s%s is ", said++ ? ", " : "; ", port_name(a, false, k, name));
        tni_text_shape(t, shape);
    }
}

static tn_status shape_conflict(tni_ask *a, bool out, uint32_t i, const tn_shape *wanted)
{
    char name[64];
    tni_text t = {0};
    if (wanted->ndim > TN_MAX_NDIM) {
        tni_text_printf(&t, "%d axes, at most %d are possible", (int)wanted->ndim, TN_MAX_NDIM);
    } else {
        const tn_shape *got = shape_of(a, out, i);
        tn_shape full = *wanted; // extents that the rule leaves open may be as they are
        for (int32_t k = 0; k < full.ndim && full.ndim == got->ndim; k++)
            if (full.dim[k] < 0) full.dim[k] = got->dim[k];
        tni_text_add(&t, "shape ");
        tni_text_shape(&t, got);
        tni_text_add(&t, ", wanted ");
        tni_text_shape(&t, &full);
        add_others(a, out, i, &t);
    }
    const tn_status s = tni_node_fail(a->g, TN_E_SHAPE, a->id, "%s: %s", port_name(a, out, i, name),
                                      t.failed ? "" : t.s);
    tni_text_free(&t);
    return s;
}

static void note_change(tni_ask *a, bool out, tni_entry e)
{
    if (out)
        a->out_changed = true;
    else
        a->in_changed = true;
    if (a->work) tni_worklist_changed(a->work, a->g, e, a->id);
}

static tn_status merge_shape(tni_ask *a, bool out, uint32_t i, const tn_shape *shape)
{
    const tni_entry e = entry_of(a, out, i);
    if (a->status != TN_OK) return a->status;
    const uint32_t v = tni_value(a->g, e), before = a->t->shape[v];
    const tn_status s = tni_types_merge_shape(a->t, v, shape);
    if (s == TN_E_NOMEM)
        a->status = tni_graph_fail(a->g, s, 0, "out of memory");
    else if (s != TN_OK)
        a->status = shape_conflict(a, out, i, shape);
    else if (a->t->shape[v] != before)
        note_change(a, out, e);
    return a->status;
}

static tn_status merge_in_shape(void *ctx, uint32_t i, const tn_shape *shape)
{
    return merge_shape(ask_of(ctx), false, i, shape);
}

static tn_status merge_out_shape(void *ctx, uint32_t i, const tn_shape *shape)
{
    return merge_shape(ask_of(ctx), true, i, shape);
}

// Operators without a rule: every input and output has the same shape.
static tn_status shapes_equal(tni_ask *a)
{
    tn_shape all = {.ndim = -1};
    tn_status s = TN_OK;
    // Down collects what is known, up gives it to those that were passed before it was.
    for (uint32_t turn = 0; turn < 2 && s == TN_OK; turn++) {
        for (uint32_t i = 0; i < a->api.n_in + a->api.n_out && s == TN_OK; i++) {
            const bool out = i >= a->api.n_in;
            const uint32_t k = out ? i - a->api.n_in : i;
            s = merge_shape(a, out, k, &all);
            all = *shape_of(a, out, k);
        }
    }
    return s;
}

// ------------------------------------------------------------------ dtypes

static tn_dtype dtype_of(tni_ask *a, bool out, uint32_t i)
{
    const tni_entry e = entry_of(a, out, i);
    return e.node ? a->t->dtype[tni_value(a->g, e)] : TN_DTYPE_NONE;
}

static tn_dtype in_dtype(void *ctx, uint32_t i)
{
    return dtype_of(ask_of(ctx), false, i);
}

static tn_dtype out_dtype(void *ctx, uint32_t i)
{
    return dtype_of(ask_of(ctx), true, i);
}

static tn_status merge_dtype(tni_ask *a, bool out, uint32_t i, tn_dtype dtype)
{
    const tni_entry e = entry_of(a, out, i);
    char name[64];
    if (a->status != TN_OK) return a->status;
    const uint32_t v = tni_value(a->g, e);
    const int8_t before = a->t->dtype[v];
    const tn_status s = tni_types_merge_dtype(a->t, v, dtype);
    if (s != TN_OK)
        a->status =
            tni_node_fail(a->g, s, a->id, "%s: dtype %s, wanted %s", port_name(a, out, i, name),
                          tn_dtype_name(before), tn_dtype_name(dtype));
    else if (a->t->dtype[v] != before)
        note_change(a, out, e);
    return a->status;
}

static tn_status merge_in_dtype(void *ctx, uint32_t i, tn_dtype dtype)
{
    return merge_dtype(ask_of(ctx), false, i, dtype);
}

static tn_status merge_out_dtype(void *ctx, uint32_t i, tn_dtype dtype)
{
    return merge_dtype(ask_of(ctx), true, i, dtype);
}

static tn_status dtypes_equal(tni_ask *a)
{
    tn_dtype all = TN_DTYPE_NONE;
    tn_status s = TN_OK;
    for (uint32_t turn = 0; turn < 2 && s == TN_OK; turn++) {
        for (uint32_t i = 0; i < a->api.n_in + a->api.n_out && s == TN_OK; i++) {
            const bool out = i >= a->api.n_in;
            const uint32_t k = out ? i - a->api.n_in : i;
            s = merge_dtype(a, out, k, all);
            all = dtype_of(a, out, k);
        }
    }
    return s;
}

// ------------------------------------------------------------------ asking

static tn_status rule_fails(void *ctx, tn_status status, const char *text)
{
    tni_ask *a = ctx;
    const tn_status s = status == TN_OK ? TN_E_INTERNAL : status;
    if (a->status == TN_OK)
        a->status = tni_node_fail(a->g, s, a->id, "%s", text ? text : tn_status_text(s));
    return a->status;
}

void tni_ask_init(tni_ask *a, tn_graph *g, tni_types *t, tni_worklist *work)
{
    *a = (tni_ask){.g = g, .t = t, .work = work};
    a->api = (tn_infer){
        .struct_size = sizeof a->api,
        .ctx = a,
        .in_shape = in_shape,
        .out_shape = out_shape,
        .merge_in_shape = merge_in_shape,
        .merge_out_shape = merge_out_shape,
        .in_dtype = in_dtype,
        .out_dtype = out_dtype,
        .merge_in_dtype = merge_in_dtype,
        .merge_out_dtype = merge_out_dtype,
        .fail = rule_fails,
    };
}

static bool known(const tni_ask *a, tni_entry e)
{
    const uint32_t v = tni_value(a->g, e);
    return a->what == TNI_INFER_DTYPES ? a->t->dtype[v] != TN_DTYPE_NONE
                                       : tn_shape_size(tni_types_shape(a->t, v)) >= 0;
}

static bool all_known(const tni_ask *a)
{
    const tni_node *n = tni_node_at(a->g, a->id);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!known(a, n->in[i])) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!known(a, (tni_entry){a->id, i})) return false;
    return true;
}

// A rule that changed an input may have read it before, and one that changed an output while
// something stays unknown may have more to say: both are asked again. Each turn needs a change, so
// there are few.
static tn_status ask_rule(tni_ask *a, tn_status (*rule)(const tn_infer *io))
{
    do {
        a->in_changed = a->out_changed = false;
        const tn_status s = rule(&a->api);
        if (s != TN_OK && a->status == TN_OK)
            rule_fails(a, s, "its rule failed without saying why");
        if (a->status != TN_OK) return a->status;
    } while (a->in_changed || (a->out_changed && !all_known(a)));
    return TN_OK;
}

tn_status tni_ask_node(tni_ask *a, uint32_t id)
{
    const tni_node *n = tni_node_at(a->g, id);
    a->id = id;
    a->status = TN_OK;
    a->api.op = &n->op->decl;
    a->api.params = n->params;
    a->api.n_in = n->n_in;
    a->api.n_out = n->n_out;
    if (a->what == TNI_INFER_SHAPES)
        return n->op->decl.infer_shape ? ask_rule(a, n->op->decl.infer_shape) : shapes_equal(a);
    return n->op->decl.infer_dtype ? ask_rule(a, n->op->decl.infer_dtype) : dtypes_equal(a);
}
