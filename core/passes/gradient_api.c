// core/passes/gradient_api.c: tn_gradient of <tenon/graph.h> on top of tni_gradient.
#include "core/passes/pass.h"

// The values of all symbols of a list, in order; TN_NONE is {0,0} where it is allowed. In g's
// arena. false, and an error in g.
static bool flatten(tn_graph *g, tn_symbols list, const char *what, bool none_ok, tni_entries *out)
{
    size_t n = 0, capacity = 0;
    tni_entry *all = NULL;
    *out = (tni_entries){0};
    for (size_t i = 0; i < list.n; i++) {
        const bool none = !list.v[i].node;
        tni_entries part = {1, &(tni_entry){0, 0}};
        void *grown = all;
        if (tni_symbol_bad(g, list.v[i], what, none_ok)) break;
        if (!none) part = tni_symbol_entries(g, list.v[i]);
        if (g->error.status != TN_OK) break;
        if (!tni_grow(&grown, &capacity, n + part.n, sizeof *all)) {
            tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory");
            break;
        }
        all = grown;
        memcpy(all + n, part.v, part.n * sizeof *all);
        n += part.n;
    }
    tni_entry *kept = g->error.status == TN_OK ? tni_alloc(&g->arena, n * sizeof *kept + 1) : NULL;
    if (kept && n) memcpy(kept, all, n * sizeof *kept);
    if (!kept && g->error.status == TN_OK) tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory");
    free(all);
    *out = (tni_entries){n, kept};
    return kept != NULL;
}

// A given head takes the shape and dtype of its y, so that a variable without them can be one.
static const tni_entry *like_y(tn_graph *g, tni_entries y, tni_entries head)
{
    tni_entry *heads = tni_alloc(&g->arena, head.n * sizeof *heads + 1);
    if (!heads) tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory");
    for (size_t i = 0; heads && i < head.n; i++) {
        const tni_entry in[2] = {head.v[i], y.v[i]};
        char name[256];
        if (!head.v[i].node) continue;
        snprintf(name, sizeof name, "%.200s_head_grad", tni_node_at(g, y.v[i].node)->name);
        heads[i] = tni_build(g, NULL, "_identity_with_attr_like_rhs", NULL, in, 2, name, 0);
    }
    return heads;
}

// Gradients of x into `grads`: zeros where no path leads from x to y.
static void differentiate(tn_graph *g, tni_entries y, tni_entries head, tni_entries x,
                          tni_entry *grads)
{
    const tni_entry *heads = head.n ? like_y(g, y, head) : NULL;
    tni_gradient(g, NULL, y.v, y.n, heads, x.v, x.n, grads, NULL);
    for (size_t j = 0; j < x.n && g->error.status == TN_OK; j++) {
        char name[256];
        if (grads[j].node) continue;
        snprintf(name, sizeof name, "%.200s_zero_grad", tni_node_at(g, x.v[j].node)->name);
        grads[j] = tni_build(g, NULL, "zeros_like", NULL, &x.v[j], 1, name, 0);
    }
}

tn_status(tn_gradient)(tn_graph *g, tn_symbols y, tn_symbols head, tn_symbols x, tn_symbol *dx)
{
    if (!g) return tn_graph_status(g);
    if (g->error.status != TN_OK || tni_list_bad(g, "y", y.n, y.v) ||
        tni_list_bad(g, "head", head.n, head.v) || tni_list_bad(g, "x", x.n, x.v) ||
        tni_list_bad(g, "dx", x.n, dx))
        return g->error.status;
    const tni_save save = tni_graph_save(g);
    tni_entries ys, heads, xs;
    if (!flatten(g, y, "y", false, &ys) || !flatten(g, head, "head", true, &heads) ||
        !flatten(g, x, "x", false, &xs))
        return g->error.status;
    if (xs.n != x.n)
        return tni_graph_fail(g, TN_E_INVALID, 0,
                              "x: %zu values behind %zu symbols, wanted one each", xs.n, x.n);
    if (!ys.n) return tni_graph_fail(g, TN_E_INVALID, 0, "y: empty, wanted at least one symbol");
    if (heads.n && heads.n != ys.n)
        return tni_graph_fail(g, TN_E_INVALID, 0,
                              "head: %zu values, wanted none or one for each of the %zu of y",
                              heads.n, ys.n);
    tni_entry *grads = malloc((xs.n ? xs.n : 1) * sizeof *grads);
    if (!grads) return tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory");
    differentiate(g, ys, heads, xs, grads);
    if (g->error.status == TN_OK)
        for (size_t j = 0; j < xs.n; j++) dx[j] = tni_symbol_of(g, grads[j]);
    else
        tni_graph_undo(g, save);
    free(grads);
    return g->error.status;
}
