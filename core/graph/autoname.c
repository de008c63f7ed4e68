// core/graph/autoname.c: automatic names: fullyconnected0, fullyconnected1, … per prefix.
//
// A counter says where the search begins; that the name is free is looked up, so a graph that was
// loaded from a file, or a name given by hand, never collides with an automatic one.
#include <ctype.h>

#include "core/graph/graph.h"

// Are the names of all variables that will be made for this call free?
static bool inputs_free(const tn_graph *g, const char *name, const tni_unnamed *call)
{
    if (!call || !g->variables.n) return true;
    tni_text t = {0};
    bool is_free = true;
    for (uint32_t i = 0; i < call->n_in && is_free; i++) {
        if (call->in[i].node) continue;
        char port[64];
        t.n = 0;
        tni_text_printf(&t, "%s_%s", name, tni_op_in_name(call->op, call->params, i, port));
        is_free = t.failed || !tni_map_get(&g->variables, t.s, NULL);
    }
    tni_text_free(&t);
    return is_free;
}

static void add_lower(tni_text *t, const char *s)
{
    for (; *s; s++) {
        const char c = (char)tolower((unsigned char)*s);
        tni_text_addn(t, &c, 1);
    }
}

const char *tni_auto_name_for(tn_graph *g, const char *hint, const tni_unnamed *call)
{
    tni_text t = {0};
    uint32_t number = 0;
    tni_text_add(&t, g->scopes ? g->scopes->prefix : "");
    add_lower(&t, hint);
    const size_t length = t.n;
    if (!t.failed) tni_map_get(&g->counters, t.s, &number);
    for (; !t.failed; number++) {
        t.n = length;
        tni_text_printf(&t, "%u", number);
        if (t.failed || tni_map_get(&g->operators, t.s, NULL)) continue;
        if (inputs_free(g, t.s, call)) break;
    }
    char *name = t.failed ? NULL : tni_strndup(&g->arena, t.s, t.n);
    g->auto_name = name;
    g->auto_digits = (uint32_t)(t.n - length);
    tni_text_free(&t);
    if (!name) tni_graph_no_memory(g);
    return name;
}

const char *tni_auto_name(tn_graph *g, const char *hint)
{
    return tni_auto_name_for(g, hint, NULL);
}
