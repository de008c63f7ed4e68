// core/graph/attrs.c: attributes of nodes: MXNet's dictionary of texts, with its hidden keys.
#include "core/graph/graph.h"

// ------------------------------------------------------------------ keys

// MXNet stores these as __key__ and finds them under both spellings.
static const char *const hidden[][2] = {
    {"ctx_group", "__ctx_group__"},       {"lr_mult", "__lr_mult__"},
    {"wd_mult", "__wd_mult__"},           {"force_mirroring", "__force_mirroring__"},
    {"mirror_stage", "__mirror_stage__"},
};
enum { N_HIDDEN = sizeof hidden / sizeof *hidden };

const char *tni_attr_key(const char *key)
{
    for (size_t i = 0; i < N_HIDDEN; i++)
        if (strcmp(hidden[i][0], key) == 0) return hidden[i][1];
    const size_t n = strlen(key);
    const bool wrapped = n > 4 && strncmp(key, "__", 2) == 0 && strcmp(key + n - 2, "__") == 0;
    return wrapped ? key : NULL;
}

static const char *short_key(const char *key)
{
    for (size_t i = 0; i < N_HIDDEN; i++)
        if (strcmp(hidden[i][1], key) == 0) return hidden[i][0];
    return NULL;
}

// ------------------------------------------------------------------ lists

const char *tni_attr_find(const tni_node *n, const char *key)
{
    for (const tni_attr *a = n->attrs; a; a = a->next)
        if (strcmp(a->key, key) == 0) return a->value;
    return NULL;
}

tni_attr *tni_attr_add(tn_graph *g, tni_attr *list, const char *key, const char *value)
{
    tni_attr *a = tni_alloc(&g->arena, sizeof *a);
    char *k = tni_strdup(&g->arena, key), *v = tni_strdup(&g->arena, value);
    if (!a || !k || !v) {
        tni_graph_no_memory(g);
        return NULL;
    }
    *a = (tni_attr){k, v, list};
    return a;
}

static bool key_refused(tn_graph *g, const char *key, const char *what)
{
    static const char *const known[] = {"ctx_group",       "lr_mult",      "wd_mult",
                                        "force_mirroring", "mirror_stage", "__shape__",
                                        "__dtype__",       "__init__",     "__backend__"};
    tni_text t = {0};
    tni_text_nearest(&t, key, known, sizeof known / sizeof *known);
    const char *near = t.s && strstr(t.s, "did you mean") ? t.s : "";
    tni_graph_fail(g, TN_E_INVALID, 0,
                   "%s: attribute %s: a key starts and ends with __, as in __%s__%s", what, key,
                   key, near);
    tni_text_free(&t);
    return false;
}

// Attributes that the core itself reads must be readable.
static bool value_valid(tn_graph *g, const char *key, const char *value, const char *what)
{
    tn_shape shape;
    char *end;
    if (strcmp(key, "__shape__") == 0 && !tni_shape_parse(value, &shape)) {
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: __shape__: '%s' is no shape of at most %d axes",
                       what, value, TN_MAX_NDIM);
        return false;
    }
    if (strcmp(key, "__dtype__") == 0) {
        const long number = strtol(value, &end, 10);
        const bool ok = end != value && !*end && number >= -1 && number < TN_DTYPE_END;
        if (ok && (number == -1 || tn_dtype_size((tn_dtype)number + 1))) return true;
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: __dtype__: '%s' is no type number of MXNet", what,
                       value);
        return false;
    }
    return true;
}

bool tni_attrs_add(tn_graph *g, tni_attr **list, tn_attrs attrs, const char *what)
{
    for (size_t i = 0; i < attrs.n; i++) {
        const tn_attr a = attrs.v[i];
        if (!a.key || !a.value) {
            tni_graph_fail(g, TN_E_INVALID, 0, "%s: attribute %s: no %s", what, a.key ? a.key : "?",
                           a.key ? "value" : "key");
            return false;
        }
        const char *key = tni_attr_key(a.key);
        if (!key) return key_refused(g, a.key, what);
        if (!value_valid(g, key, a.value, what)) return false;
        tni_attr *cell = tni_attr_add(g, *list, key, a.value);
        if (!cell) return false;
        *list = cell;
    }
    return true;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const tn_attr *)a)->key, ((const tn_attr *)b)->key);
}

static bool has_key(const tn_attr *v, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].key, key) == 0) return true;
    return false;
}

// With both_spellings a hidden key is listed without its underscores too.
static tn_attrs sorted(const tni_node *node, tni_arena *arena, bool both_spellings)
{
    size_t n = 0, most = 0;
    for (const tni_attr *a = node->attrs; a; a = a->next) most++;
    tn_attr *v = tni_alloc(arena, 2 * most * sizeof *v);
    if (!v) return (tn_attrs){0};
    for (const tni_attr *a = node->attrs; a; a = a->next) {
        if (has_key(v, n, a->key)) continue; // an older cell
        v[n++] = (tn_attr){a->key, a->value};
        const char *other = both_spellings ? short_key(a->key) : NULL;
        if (other && !has_key(v, n, other)) v[n++] = (tn_attr){other, a->value};
    }
    qsort(v, n, sizeof *v, by_key);
    return (tn_attrs){n, v};
}

tn_attrs tni_attrs_sorted(const tni_node *n, tni_arena *arena)
{
    return sorted(n, arena, false);
}

// ------------------------------------------------------------------ reading

// The node that a symbol stands for; 0 for a group, and on error.
static uint32_t node_of(tn_graph *g, tn_symbol s)
{
    if (tni_symbol_bad(g, s, "symbol", false)) return 0;
    return g->nodes[s.node].flags & TNI_NODE_GROUP ? 0 : s.node;
}

const char *(tn_attr_get)(tn_graph *g, tn_symbol s, const char *key)
{
    if (!tni_ready(g)) return NULL;
    const uint32_t id = node_of(g, s);
    if (!key && tni_ready(g)) tni_graph_fail(g, TN_E_INVALID, 0, "attribute: NULL is no key");
    if (!id || !key) return NULL;
    const tni_node *n = &g->nodes[id];
    if (strcmp(key, "name") == 0) return n->name;
    if (strcmp(key, "op_name") == 0) return n->op ? n->op->decl.name : NULL;
    const char *wrapped = tni_attr_key(key);
    const char *value = wrapped ? tni_attr_find(n, wrapped) : NULL;
    return value ? value : tni_attr_find(n, key);
}

tn_attrs(tn_attr_list)(tn_graph *g, tn_symbol s)
{
    const tn_attrs none = {0};
    if (!tni_ready(g)) return none;
    const tni_save save = tni_graph_save(g);
    const tni_entries e = tni_symbol_entries(g, s);
    if (!e.n) return none;
    const tn_attrs list = sorted(&g->nodes[e.v[0].node], &g->arena, true);
    if (!list.v) tni_graph_no_memory(g);
    tni_graph_settle(g, save);
    return list;
}

tn_attr_dict_result(tn_attr_dict)(tn_graph *g, tn_symbol s)
{
    tn_attr_dict_result dict = {0};
    if (!tni_ready(g)) return dict;
    const tni_save save = tni_graph_save(g);
    const tni_entries heads = tni_symbol_entries(g, s);
    if (!tni_ready(g)) return dict;
    size_t count;
    uint32_t *order = tni_order(g, heads.v, heads.n, &count);
    tn_node_attrs *v = order ? tni_alloc(&g->arena, count * sizeof *v) : NULL;
    bool ok = v != NULL;
    for (size_t i = 0; i < count && ok; i++) {
        const tni_node *n = &g->nodes[order[i]];
        if (!n->attrs) continue;
        v[dict.n] = (tn_node_attrs){n->name, sorted(n, &g->arena, true)};
        ok = v[dict.n++].attrs.v != NULL;
    }
    free(order);
    dict.v = v;
    if (ok) return dict;
    tni_graph_no_memory(g);
    tni_graph_undo(g, save);
    return (tn_attr_dict_result){0};
}

// ------------------------------------------------------------------ writing

bool tni_name_free(tn_graph *g, const tni_map *map, const char *name, const char *lead)
{
    uint32_t id;
    if (!tni_map_get(map, name, &id)) return true;
    const tni_node *n = &g->nodes[id];
    const char *kind = n->op ? "an operator" : "a variable";
    if (n->file)
        tni_graph_fail(g, TN_E_EXISTS, 0, "%s%s %s exists already (%s:%d)", lead, kind, name,
                       n->file, n->line);
    else
        tni_graph_fail(g, TN_E_EXISTS, 0, "%s%s %s exists already", lead, kind, name);
    return false;
}

// Takes a node's name out of its map; a copy of that name, if there is one, takes its place.
static bool unregister(tn_graph *g, tni_map *map, uint32_t id)
{
    const tni_node *n = &g->nodes[id];
    uint32_t first;
    if (!tni_map_get(map, n->name, &first) || first != id) return true;
    tni_map_remove(map, n->name);
    for (uint32_t i = id + 1; i <= g->n_nodes; i++) {
        const tni_node *o = &g->nodes[i];
        if (o->flags & TNI_NODE_GROUP || !o->op != !n->op || strcmp(o->name, n->name)) continue;
        return tni_map_put(map, o->name, i);
    }
    return true;
}

static tn_status rename_node(tn_graph *g, uint32_t id, const char *name)
{
    tni_node *n = &g->nodes[id];
    tni_map *map = n->op ? &g->operators : &g->variables;
    if (strcmp(n->name, name) == 0) return TN_OK;
    if (!*name) return tni_graph_fail(g, TN_E_INVALID, id, "the new name is empty");
    if (!tni_name_free(g, map, name, "")) return g->error.status;
    char *copy = tni_strdup(&g->arena, name);
    if (!copy || !tni_map_put(map, copy, id)) return tni_graph_no_memory(g);
    if (!unregister(g, map, id)) {
        tni_map_remove(map, copy);
        return tni_graph_no_memory(g);
    }
    n->name = copy;
    n->flags &= (1u << TNI_NODE_DIGITS) - 1;
    return TN_OK;
}

// Do both sets of parameters give the call the same inputs and outputs?
static bool same_ports(const tni_op *op, const void *a, const void *b)
{
    const tni_arity x = tni_op_arity(op, a), y = tni_op_arity(op, b);
    if (x.n_in != y.n_in || x.n_out != y.n_out || x.n_visible != y.n_visible) return false;
    for (uint32_t i = 0; i < x.n_in; i++)
        if (tni_op_in(op, a, i) != tni_op_in(op, b, i)) return false;
    for (uint32_t i = 0; i < x.n_out; i++)
        if (tni_op_out(op, a, i) != tni_op_out(op, b, i)) return false;
    return true;
}

static tn_status set_param(tn_graph *g, uint32_t id, const char *key, const char *value)
{
    tni_node *n = &g->nodes[id];
    tni_attr *list = tni_attr_add(g, n->attrs, key, value);
    if (!list) return g->error.status;
    tni_arena scratch = {0};
    tni_node changed = *n;
    changed.attrs = list;
    const tn_attrs all = tni_attrs_params(&changed, n->op, &scratch);
    const char *what = tni_printf(&scratch, "%s (%s)", n->name, n->op->decl.name);
    void *params = NULL;
    if (all.v && what)
        params = tni_params_parse(n->op, &g->arena, all.v, all.n, tni_graph_place(g, &scratch),
                                  what, &g->error);
    else
        tni_graph_no_memory(g);
    tni_arena_free(&scratch);
    if (!params) return g->error.status;
    if (!same_ports(n->op, n->params, params))
        return tni_graph_fail(g, TN_E_INVALID, id,
                              "%s: '%s' would change its inputs or outputs; make a new node", key,
                              value);
    n->attrs = list;
    n->params = params;
    return TN_OK;
}

static tn_status set(tn_graph *g, uint32_t id, const char *key, const char *value)
{
    tni_node *n = &g->nodes[id];
    if (strcmp(key, "name") == 0) return rename_node(g, id, value);
    if (n->op && !tni_attr_key(key)) return set_param(g, id, key, value);
    tni_attr *list = n->attrs;
    const tn_attr one = {key, value};
    if (!tni_attrs_add(g, &list, (tn_attrs){1, &one}, n->name)) return g->error.status;
    n->attrs = list;
    return TN_OK;
}

tn_status(tn_attr_set)(tn_graph *g, tn_symbol s, const char *key, const char *value)
{
    if (!tni_ready(g)) return tn_graph_status(g);
    if (!key || !value)
        return tni_graph_fail(g, TN_E_INVALID, 0, "attribute %s: no %s", key ? key : "?",
                              key ? "value" : "key");
    const uint32_t id = node_of(g, s);
    if (!tni_ready(g)) return g->error.status;
    if (!id) return tni_graph_fail(g, TN_E_INVALID, 0, "%s: a group has no attributes", key);
    const tni_save save = tni_graph_save(g);
    const tn_status status = set(g, id, key, value);
    if (status != TN_OK) tni_graph_undo(g, save);
    return status;
}
