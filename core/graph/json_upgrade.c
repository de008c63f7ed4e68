// core/graph/json_upgrade.c: brings what older MXNet versions wrote to today's form.
//
// The rules are those of MXNet's src/nnvm/legacy_json_util.cc, in its order: keys that were once
// plain become hidden ones, parameters are parsed, inputs that were not written before 0.9 are
// added, __init__ is set before 0.9.4, axis -1 of argmin and argmax meant "all" before 0.9.5.
#include "core/graph/graph.h"

static bool out_of_memory(const tni_file_graph *f)
{
    return tni_json_fail(f, TN_E_NOMEM, 0, "out of memory");
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

// ------------------------------------------------------------------ operators

// Operators of one file for which near names are looked for: each takes a walk over all names.
enum { MOST_NEAREST = 20 };

// The operators of nearly that name, if there are any; a list of others would be too long here.
static void add_near(const tni_file_graph *f, const char *name, tni_text *t)
{
    tni_text near = {0};
    tni_op_nearest(f->g->registry, name, &near);
    if (near.s && strstr(near.s, "did you mean")) tni_text_add(t, near.s);
    if (near.failed) t->failed = true;
    tni_text_free(&near);
}

// All operators that are not registered, in one error.
static bool resolve(tni_file_graph *f)
{
    tni_map seen = {0};
    tni_text missing = {0};
    uint32_t n_missing = 0;
    bool ok = true;
    for (uint32_t id = 1; id <= f->n && ok; id++) {
        tni_file_node *const node = &f->nodes[id];
        uint32_t first;
        if (!node->op_name) continue;
        node->op = tni_op_find(f->g->registry, node->op_name);
        if (node->op || tni_map_get(&seen, node->op_name, &first)) continue;
        ok = tni_map_put(&seen, node->op_name, id);
        tni_text_printf(&missing, "%s%s (node %u \"%.100s\")", n_missing++ ? ", " : "",
                        node->op_name, id - 1, node->name);
        if (n_missing <= MOST_NEAREST) add_near(f, node->op_name, &missing);
    }
    tni_map_free(&seen);
    if (!ok || missing.failed) {
        ok = out_of_memory(f);
    } else if (n_missing) {
        tni_graph_fail(f->g, TN_E_NOT_FOUND, 0, "%s: %u operator%s not registered: %s", f->source,
                       n_missing, n_missing > 1 ? "s are" : " is", missing.s);
        ok = false;
    }
    tni_text_free(&missing);
    return ok;
}

// ------------------------------------------------------------------ hidden keys

static const char *const hidden_keys[][2] = {{"ctx_group", "__ctx_group__"},
                                             {"lr_mult", "__lr_mult__"},
                                             {"wd_mult", "__wd_mult__"},
                                             {"force_mirroring", "__force_mirroring__"},
                                             {"mirror_stage", "__mirror_stage__"}};
enum { N_HIDDEN = sizeof hidden_keys / sizeof *hidden_keys };

static bool set_attr(tni_file_graph *f, uint32_t id, const char *key, const char *value)
{
    tni_attr *const a = tni_alloc(&f->arena, sizeof *a);
    if (!a) return out_of_memory(f);
    *a = (tni_attr){key, value, f->nodes[id].attrs};
    f->nodes[id].attrs = a;
    return true;
}

static const char *attr_of(const tni_file_node *node, const char *key)
{
    for (const tni_attr *a = node->attrs; a; a = a->next)
        if (!strcmp(a->key, key)) return a->value;
    return NULL;
}

static void drop_attr(tni_file_node *node, const char *key)
{
    for (tni_attr **link = &node->attrs; *link;) {
        if (!strcmp((*link)->key, key))
            *link = (*link)->next;
        else
            link = &(*link)->next;
    }
}

// lr_mult → __lr_mult__
static bool hide_keys(tni_file_graph *f, uint32_t id)
{
    tni_file_node *const node = &f->nodes[id];
    for (size_t k = 0; k < N_HIDDEN; k++) {
        const char *const value = attr_of(node, hidden_keys[k][0]);
        if (!value) continue;
        drop_attr(node, hidden_keys[k][0]);
        if (!set_attr(f, id, hidden_keys[k][1], value)) return false;
    }
    return true;
}

// For "weight_lr_mult" the number in hidden_keys of its end; N_HIDDEN if it has no such end.
static size_t hidden_end(const char *key)
{
    size_t k = 0;
    while (k < N_HIDDEN && !ends_with(key, hidden_keys[k][0])) k++;
    return k;
}

// "weight_lr_mult" on an operator is __lr_mult__ of the variable that is its input `weight`.
static bool move_to_input(tni_file_graph *f, uint32_t id, const tni_attr *a, bool *moved)
{
    const tni_file_node *const node = &f->nodes[id];
    const size_t k = hidden_end(a->key);
    const size_t n = strlen(a->key) - strlen(hidden_keys[k][0]);
    *moved = false;
    for (uint32_t port = 0; port < node->op->n_in && n > 1; port++) {
        const char *const name = node->op->in[port].name;
        uint32_t slot;
        if (strlen(name) != n - 1 || strncmp(name, a->key, n - 1)) continue;
        if (!tni_op_slot(node->op, node->params, port, 0, &slot) || slot >= node->n_in) continue;
        const uint32_t input = node->in[slot].node;
        if (f->nodes[input].op_name) continue;
        *moved = true;
        return set_attr(f, input, hidden_keys[k][1], a->value);
    }
    return true;
}

static bool move_keys(tni_file_graph *f, uint32_t id)
{
    tni_file_node *const node = &f->nodes[id];
    for (tni_attr **link = &node->attrs; *link;) {
        tni_attr *const a = *link;
        const bool candidate =
            hidden_end(a->key) < N_HIDDEN && tni_param_find(node->op, a->key) < 0;
        bool moved = false;
        if (candidate && !move_to_input(f, id, a, &moved)) return false;
        if (candidate && !moved)
            return tni_json_fail(f, TN_E_FORMAT, id,
                                 "attribute %.100s: operator %s has no input variable of that name",
                                 a->key, node->op->decl.name);
        if (moved)
            *link = a->next;
        else
            link = &a->next;
    }
    return true;
}

// ------------------------------------------------------------------ parameters

// The attributes that are parameters, for tni_params_parse(); all but those that it would refuse
// and that can be let pass. NULL: out of memory.
static const tn_attr *parameters(tni_file_graph *f, const tni_file_node *node, size_t *count)
{
    size_t n = 0;
    for (const tni_attr *a = node->attrs; a; a = a->next) n++;
    tn_attr *const v = tni_alloc(&f->arena, (n + 1) * sizeof *v);
    *count = 0;
    for (const tni_attr *a = node->attrs; a && v; a = a->next) {
        if (tni_param_find(node->op, a->key) < 0) {
            if (hidden_end(a->key) < N_HIDDEN) continue; // move_keys() looks after them
            if (tni_param_harmless(a->key, a->value)) continue;
        }
        v[(*count)++] = (tn_attr){a->key, a->value};
    }
    return v;
}

static bool parse_params(tni_file_graph *f, uint32_t id)
{
    tni_file_node *const node = &f->nodes[id];
    size_t n;
    const tn_attr *const attrs = parameters(f, node, &n);
    const char *const what = tni_printf(&f->arena, "%s: node %u \"%.200s\" (%s)", f->source, id - 1,
                                        node->name, node->op->decl.name);
    if (!attrs || !what) return out_of_memory(f);
    tni_error error = {0};
    node->params = tni_params_parse(node->op, &f->g->arena, attrs, n, NULL, what, &error);
    if (!node->params) tni_graph_fail(f->g, error.status, 0, "%s", tni_error_text(&error));
    tni_error_clear(&error);
    return node->params != NULL;
}

// ------------------------------------------------------------------ inputs

static bool wrong_inputs(const tni_file_graph *f, uint32_t id)
{
    const tni_file_node *const node = &f->nodes[id];
    tni_text names = {0};
    char buffer[64];
    for (uint32_t i = 0; i < node->arity.n_in && i < 10; i++)
        tni_text_printf(&names, "%s%s", i ? ", " : "",
                        tni_op_in_name(node->op, node->params, i, buffer));
    if (node->arity.n_in > 10) tni_text_add(&names, ", …");
    tni_json_fail(f, TN_E_FORMAT, id, "inputs: %s wants %u (%s), got %u", node->op->decl.name,
                  node->arity.n_in, names.s ? names.s : "none", node->n_in);
    tni_text_free(&names);
    return false;
}

// Before 0.9 auxiliary states were not written. Variadic inputs always were.
static bool may_lack_inputs(const tni_file_graph *f, const tni_file_node *node)
{
    if (f->version >= 900 || node->n_in > node->arity.n_in) return false;
    for (uint32_t i = 0; i < node->op->n_in; i++)
        if (node->op->in[i].flags & TN_PORT_VARIADIC) return false;
    return true;
}

static bool check_inputs(tni_file_graph *f, uint32_t id)
{
    tni_file_node *const node = &f->nodes[id];
    node->arity = tni_op_arity(node->op, node->params);
    if (node->n_in != node->arity.n_in && !may_lack_inputs(f, node)) return wrong_inputs(f, id);
    for (uint32_t i = 0; i < node->n_in; i++) {
        const tni_entry e = node->in[i];
        const tni_file_node *const from = &f->nodes[e.node];
        if (from->op && e.out >= from->arity.n_out)
            return tni_json_fail(f, TN_E_FORMAT, id,
                                 "inputs[%u]: output %u of \"%.100s\" (%s), "
                                 "which has %u",
                                 i, e.out, from->name, from->op_name, from->arity.n_out);
    }
    return true;
}

static bool set_init(tni_file_graph *f, uint32_t id)
{
    const tni_file_node *const node = &f->nodes[id];
    for (uint32_t i = 0; i < node->n_in; i++) {
        const uint32_t input = node->in[i].node;
        const char *const init = tni_op_in(node->op, node->params, i)->init;
        if (!init || f->nodes[input].op_name || attr_of(&f->nodes[input], "__init__")) continue;
        if (!set_attr(f, input, "__init__", init)) return false;
    }
    return true;
}

static bool upgrade_operator(tni_file_graph *f, uint32_t id)
{
    tni_file_node *const node = &f->nodes[id];
    const char *const name = node->op->decl.name;
    if (f->version < 905 && (!strcmp(name, "argmin") || !strcmp(name, "argmax"))) {
        const char *const axis = attr_of(node, "axis");
        if (axis && !strcmp(axis, "-1")) drop_attr(node, "axis");
    }
    if (!parse_params(f, id) || !move_keys(f, id) || !check_inputs(f, id)) return false;
    return f->version >= 904 || set_init(f, id);
}

static bool check_heads(const tni_file_graph *f)
{
    for (uint32_t i = 0; i < f->n_heads; i++) {
        const tni_file_node *const from = &f->nodes[f->heads[i].node];
        if (from->op && f->heads[i].out >= from->arity.n_out)
            return tni_json_fail(f, TN_E_FORMAT, 0,
                                 "heads[%u]: output %u of \"%.100s\" (%s), "
                                 "which has %u",
                                 i, f->heads[i].out, from->name, from->op_name, from->arity.n_out);
    }
    return true;
}

bool tni_json_upgrade(tni_file_graph *f)
{
    if (!resolve(f)) return false;
    for (uint32_t id = 1; id <= f->n; id++) {
        if (!f->nodes[id].used) continue;
        if (!hide_keys(f, id)) return false;
        if (f->nodes[id].op && !upgrade_operator(f, id)) return false;
    }
    return check_heads(f);
}
