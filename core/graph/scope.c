// core/graph/scope.c: prefixes of names and attributes that every new node gets.
#include "core/graph/graph.h"

static tn_status push(tn_graph *g, const char *prefix, const tn_attrs *attrs)
{
    const tni_save save = tni_graph_save(g);
    const tni_scope *outer = g->scopes;
    const char *before = outer ? outer->prefix : "";
    tni_scope *s = tni_alloc(&g->arena, sizeof *s);
    if (s) {
        *s = (tni_scope){.prefix = before,
                         .attrs = outer ? outer->attrs : NULL,
                         .is_prefix = prefix != NULL,
                         .file = g->file,
                         .line = g->line,
                         .outer = g->scopes};
        if (prefix) s->prefix = tni_printf(&g->arena, "%s%s", before, prefix);
        if (attrs) tni_attrs_add(g, &s->attrs, *attrs, "attribute scope");
    }
    if (!s || !s->prefix) tni_graph_no_memory(g);
    if (tni_ready(g))
        g->scopes = s;
    else
        tni_graph_undo(g, save);
    return g->error.status;
}

static tn_status pop(tn_graph *g, bool is_prefix)
{
    static const char *const kinds[] = {"attribute scope", "prefix"};
    if (!tni_ready(g)) return tn_graph_status(g);
    const tni_scope *s = g->scopes;
    if (!s) return tni_graph_fail(g, TN_E_INVALID, 0, "no %s is open", kinds[is_prefix]);
    if (s->is_prefix == is_prefix) {
        g->scopes = s->outer;
        return TN_OK;
    }
    return tni_graph_fail(g, TN_E_INVALID, 0, "the innermost scope is no %s but a %s (%s:%d)",
                          kinds[is_prefix], kinds[s->is_prefix], s->file ? s->file : "?", s->line);
}

tn_status(tn_prefix_push)(tn_graph *g, const char *prefix)
{
    if (!tni_ready(g)) return tn_graph_status(g);
    if (!prefix) return tni_graph_fail(g, TN_E_INVALID, 0, "prefix: NULL");
    return push(g, prefix, NULL);
}

tn_status(tn_prefix_pop)(tn_graph *g)
{
    return pop(g, true);
}

tn_status(tn_attr_scope_push)(tn_graph *g, tn_attrs attrs)
{
    if (!tni_ready(g) || tni_list_bad(g, "attributes", attrs.n, attrs.v)) return tn_graph_status(g);
    return push(g, NULL, &attrs);
}

tn_status(tn_attr_scope_pop)(tn_graph *g)
{
    return pop(g, false);
}
