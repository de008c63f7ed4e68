// core/graph/variable.c: variables and what is known of them beforehand, as MXNet's attributes.
#include "core/graph/graph.h"

// "(64, 0)": MXNet's text, in which 0 is unknown.
static bool shape_add(tn_graph *g, tni_attr **list, const char *name, tn_dims shape)
{
    tni_text t = {0};
    bool ok = shape.ndim > 0 && shape.ndim <= TN_MAX_NDIM;
    if (!ok)
        tni_graph_fail(g, TN_E_INVALID, 0,
                       "%s: shape: %zu axes; __shape__ can say 1 to %d, others are given when "
                       "inferring or binding",
                       name, shape.ndim, TN_MAX_NDIM);
    for (size_t i = 0; i < shape.ndim && ok; i++) {
        const int64_t d = shape.dim[i];
        ok = d == -1 || d > 0;
        if (!ok)
            tni_graph_fail(g, TN_E_INVALID, 0,
                           "%s: shape: extent %lld; wanted -1 (unknown) or at least 1%s", name,
                           (long long)d,
                           d ? ""
                             : " (in __shape__ 0 means unknown; give an empty extent when "
                               "inferring or binding)");
        tni_text_printf(&t, "%s%lld", i ? ", " : "(", d == -1 ? 0 : (long long)d);
    }
    tni_text_add(&t, shape.ndim == 1 ? ",)" : ")");
    tni_attr *cell = NULL;
    if (ok && t.failed) tni_graph_no_memory(g);
    if (ok && !t.failed) cell = tni_attr_add(g, *list, "__shape__", t.s);
    tni_text_free(&t);
    if (cell) *list = cell;
    return cell != NULL;
}

static bool pair_add(tn_graph *g, tni_attr **list, const char *key, const char *value)
{
    tni_attr *cell = tni_attr_add(g, *list, key, value);
    if (cell) *list = cell;
    return cell != NULL;
}

static bool number_add(tn_graph *g, tni_attr **list, const char *key, tn_opt_f64 number)
{
    char text[TNI_NUMBER];
    if (!number.given && number.v == 0) return true;
    return pair_add(g, list, key, tni_number(text, number.v));
}

static bool dtype_add(tn_graph *g, tni_attr **list, const char *name, tn_dtype dtype)
{
    char text[16];
    if (!tn_dtype_size(dtype)) {
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: dtype: %d is none", name, dtype);
        return false;
    }
    snprintf(text, sizeof text, "%d", dtype - 1); // MXNet's number
    return pair_add(g, list, "__dtype__", text);
}

static bool known_add(tn_graph *g, tni_attr **list, const tn_variable_args *a)
{
    return (!a->shape.dim || shape_add(g, list, a->name, a->shape)) &&
           (!a->dtype || dtype_add(g, list, a->name, a->dtype)) &&
           number_add(g, list, "__lr_mult__", a->lr_mult) &&
           number_add(g, list, "__wd_mult__", a->wd_mult) &&
           (!a->init || pair_add(g, list, "__init__", a->init)) &&
           tni_attrs_add(g, list, a->attrs, a->name);
}

static uint32_t make(tn_graph *g, const tn_variable_args *a)
{
    if (!a->name || !*a->name) {
        tni_graph_fail(g, TN_E_INVALID, 0, "variable: name: required");
        return 0;
    }
    if (!tni_name_free(g, &g->variables, a->name, "variable: ")) return 0;
    tni_attr *attrs = g->scopes ? g->scopes->attrs : NULL;
    if (!known_add(g, &attrs, a)) return 0;
    const tni_node_spec spec = {.name = a->name, .attrs = attrs, .file = g->file, .line = g->line};
    return tni_node_add(g, &spec);
}

tn_symbol tn_variable_make(tn_graph *g, const tn_variable_args *args)
{
    if (!tni_ready(g)) return TN_NONE;
    tn_variable_args a = {0};
    if (args) memcpy(&a, args, args->size < sizeof a ? args->size : sizeof a);
    const tni_save save = tni_graph_save(g);
    const uint32_t id = make(g, &a);
    if (id) return tni_symbol_whole(g, id);
    tni_graph_undo(g, save);
    return TN_NONE;
}
