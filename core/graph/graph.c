// core/graph/graph.c: the graph itself: nodes, symbols, errors, and going back after a failure.
#include "core/graph/graph.h"

#include <stdatomic.h>

// ------------------------------------------------------------------ life

// Tags begin at 1, so that TN_NONE belongs to no graph; after 65535 graphs they begin again.
static uint16_t next_tag(void)
{
    static atomic_uint last;
    uint16_t tag;
    do {
        tag = (uint16_t)(atomic_fetch_add(&last, 1) + 1);
    } while (tag == 0);
    return tag;
}

tn_graph *tni_graph_bare(tn_env *env)
{
    tn_graph *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->env = env;
    g->registry = env ? tni_env_registry(env) : NULL;
    g->tag = next_tag();
    return g;
}

tn_graph *tn_graph_new(tn_env *env)
{
    return env ? tni_graph_bare(env) : NULL;
}

void tn_graph_free(tn_graph *g)
{
    if (!g) return;
    tni_arena_free(&g->arena);
    tni_arena_free(&g->keep);
    tni_error_clear(&g->error);
    tni_map_free(&g->variables);
    tni_map_free(&g->operators);
    tni_map_free(&g->counters);
    free(g->nodes);
    free(g);
}

tn_env *tn_graph_env(const tn_graph *g)
{
    return g ? g->env : NULL;
}

bool tni_list_bad(tn_graph *g, const char *what, size_t n, const void *items)
{
    if (!n || items) return false;
    tni_graph_fail(g, TN_E_INVALID, 0, "%s: %zu are counted, and the list is NULL", what, n);
    return true;
}

size_t tn_graph_num_nodes(const tn_graph *g)
{
    return g ? g->n_nodes : 0;
}

// ------------------------------------------------------------------ errors

tn_status tn_graph_status(const tn_graph *g)
{
    return g ? g->error.status : TN_E_NOMEM;
}

const char *tn_graph_error(const tn_graph *g)
{
    return g ? tni_error_text(&g->error) : tn_status_text(TN_E_NOMEM);
}

void tn_graph_forgive(tn_graph *g)
{
    if (g) tni_error_clear(&g->error);
}

tn_graph *tn_graph_at(tn_graph *g, const char *file, int line)
{
    if (!g) return NULL;
    g->file = file;
    g->line = line;
    return g;
}

const char *tni_graph_place(const tn_graph *g, tni_arena *arena)
{
    return g->file ? tni_printf(arena, "%s:%d", g->file, g->line) : NULL;
}

const char *tni_two_places(const tn_graph *g, uint32_t one, uint32_t two, char text[TNI_PLACES])
{
    const tni_node *a = &g->nodes[one], *b = &g->nodes[two];
    if (a->file && b->file)
        snprintf(text, TNI_PLACES, "%.200s:%d and %.200s:%d", a->file, (int)a->line, b->file,
                 (int)b->line);
    else
        snprintf(text, TNI_PLACES, "%%%u and %%%u", one, two);
    return text;
}

tn_status tni_graph_fail(tn_graph *g, tn_status status, uint32_t node, const char *format, ...)
{
    tni_arena scratch = {0};
    tni_text t = {0};
    const tni_node *n = node ? &g->nodes[node] : NULL;
    if (n && n->op) tni_text_printf(&t, "%s (%s): ", n->name, n->op->decl.name);
    if (n && !n->op) tni_text_printf(&t, "%s: ", n->name);
    va_list ap;
    va_start(ap, format);
    char small[1024];
    va_list again;
    va_copy(again, ap);
    const int length = vsnprintf(small, sizeof small, format, ap);
    char *big = length >= (int)sizeof small ? tni_alloc(&scratch, (size_t)length + 1) : NULL;
    if (big) vsnprintf(big, (size_t)length + 1, format, again);
    va_end(again);
    va_end(ap);
    const tn_status s = tni_fail(&g->error, status, tni_graph_place(g, &scratch), "%s%s",
                                 t.s ? t.s : "", big ? big : small);
    tni_text_free(&t);
    tni_arena_free(&scratch);
    return s;
}

tn_status tni_graph_no_memory(tn_graph *g)
{
    return tni_graph_fail(g, TN_E_NOMEM, 0, "out of memory at %zu nodes", g->n_nodes);
}

// ------------------------------------------------------------------ nodes

static tni_map *namespace_of(tn_graph *g, const tni_node *n)
{
    if (n->flags & TNI_NODE_GROUP || !*n->name) return NULL;
    return n->op ? &g->operators : &g->variables;
}

// Sets the counter that an automatic name came from: name is the key and `digits` digits.
static bool counter_set(tn_graph *g, const char *name, uint32_t digits, bool taken)
{
    const size_t n = strlen(name) - digits;
    const uint32_t number = (uint32_t)strtoul(name + n, NULL, 10) + taken;
    tni_mark mark = tni_arena_mark(&g->keep);
    char *key = tni_strndup(&g->keep, name, n);
    if (!key) return false;
    const bool known = tni_map_get(&g->counters, key, NULL);
    const bool ok = tni_map_put(&g->counters, key, number);
    if (known || !ok) tni_arena_reset(&g->keep, mark);
    return ok;
}

// Room in all tables for one more node, so that adding it cannot fail half way.
static bool make_room(tn_graph *g)
{
    void *nodes = g->nodes;
    // Two places: nodes[0] is unused, and ids end one below the limit of 32 bits.
    if (g->n_nodes + 2 > UINT32_MAX) return false;
    if (!tni_grow(&nodes, &g->nodes_capacity, g->n_nodes + 2, sizeof *g->nodes)) return false;
    g->nodes = nodes;
    if (!g->n_nodes) memset(&g->nodes[0], 0, sizeof g->nodes[0]);
    return true;
}

static bool ports_of(tn_graph *g, tni_node *n)
{
    tni_arity a = {n->n_in, 1, 1};
    if (n->flags & TNI_NODE_GROUP) a = (tni_arity){n->n_in, 0, 0};
    if (n->op) a = tni_op_arity(n->op, n->params);
    if (a.n_out > TNI_MAX_PORTS || UINT32_MAX - g->n_values < a.n_out) return false;
    n->n_out = (uint16_t)a.n_out;
    n->n_visible = (uint16_t)a.n_visible;
    n->value0 = g->n_values;
    return true;
}

static bool name_register(tn_graph *g, const tni_node *n, uint32_t id)
{
    tni_map *map = namespace_of(g, n);
    if (!map || tni_map_get(map, n->name, NULL)) return true;
    if (!tni_map_put(map, n->name, id)) return false;
    const uint32_t digits = n->flags >> TNI_NODE_DIGITS;
    if (!digits || counter_set(g, n->name, digits, true)) return true;
    tni_map_remove(map, n->name);
    return false;
}

uint32_t tni_node_add(tn_graph *g, const tni_node_spec *spec)
{
    tni_node n = {.op = spec->op,
                  .params = spec->params,
                  .attrs = spec->attrs,
                  .file = spec->file,
                  .line = spec->line,
                  .n_in = spec->n_in,
                  .forward = spec->forward,
                  .flags = spec->flags};
    if (spec->name && spec->name == g->auto_name) n.flags |= g->auto_digits << TNI_NODE_DIGITS;
    const tni_mark mark = tni_arena_mark(&g->arena);
    char *name = tni_strdup(&g->arena, spec->name ? spec->name : "");
    tni_entry *in = tni_alloc(&g->arena, spec->n_in * sizeof *in);
    n.name = name;
    n.in = in;
    if (in && spec->n_in) memcpy(in, spec->in, spec->n_in * sizeof *in);
    const uint32_t id = (uint32_t)g->n_nodes + 1;
    const bool ok = name && in && make_room(g) && ports_of(g, &n) && name_register(g, &n, id);
    if (!ok) {
        tni_arena_reset(&g->arena, mark);
        tni_graph_no_memory(g);
        return 0;
    }
    g->nodes[id] = n;
    g->n_nodes = id;
    g->n_values += n.n_out;
    return id;
}

void tni_graph_truncate(tn_graph *g, size_t last)
{
    for (size_t id = g->n_nodes; id > last; id--) {
        const tni_node *n = &g->nodes[id];
        tni_map *map = namespace_of(g, n);
        uint32_t first;
        if (map && tni_map_get(map, n->name, &first) && first == id) tni_map_remove(map, n->name);
        const uint32_t digits = n->flags >> TNI_NODE_DIGITS;
        if (digits) counter_set(g, n->name, digits, false);
        g->n_values = n->value0;
        g->n_nodes = id - 1;
    }
}

tni_save tni_graph_save(const tn_graph *g)
{
    return (tni_save){g->n_nodes, tni_arena_mark(&g->arena)};
}

void tni_graph_undo(tn_graph *g, tni_save save)
{
    tni_graph_truncate(g, save.n_nodes);
    tni_arena_reset(&g->arena, save.mark);
    g->auto_name = NULL;
}

void tni_graph_settle(tn_graph *g, tni_save save)
{
    if (!tni_ready(g)) tni_graph_undo(g, save);
}

// ------------------------------------------------------------------ symbols

bool tni_symbol_bad(tn_graph *g, tn_symbol s, const char *what, bool none_ok)
{
    if (s.node == 0 && none_ok) return false;
    const tni_node *n = s.node && s.node <= g->n_nodes ? &g->nodes[s.node] : NULL;
    if (s.node == 0)
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: no symbol (TN_NONE)", what);
    else if (s.graph != g->tag)
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: this symbol belongs to another graph", what);
    else if (!n)
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: node %u does not exist, the graph has %zu", what,
                       s.node, g->n_nodes);
    else if (s.out != TN_ALL_OUTPUTS && s.out >= n->n_out)
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: %s has no output %u, it has %u", what, n->name,
                       s.out, n->n_out);
    else
        return false;
    return true;
}

tni_entries tni_symbol_entries(tn_graph *g, tn_symbol s)
{
    if (tni_symbol_bad(g, s, "symbol", false)) return (tni_entries){0};
    const tni_node *n = &g->nodes[s.node];
    if (n->flags & TNI_NODE_GROUP) return (tni_entries){n->n_in, n->in};
    const uint32_t first = s.out == TN_ALL_OUTPUTS ? 0 : s.out;
    const uint32_t count = s.out == TN_ALL_OUTPUTS ? n->n_visible : 1;
    tni_entry *v = tni_alloc(&g->arena, count * sizeof *v);
    if (!v) {
        tni_graph_no_memory(g);
        return (tni_entries){0};
    }
    for (uint32_t i = 0; i < count; i++) v[i] = (tni_entry){s.node, first + i};
    return (tni_entries){count, v};
}

tni_entry tni_symbol_entry(tn_graph *g, tn_symbol s, const char *what)
{
    const tni_entry none = {0, 0};
    if (tni_symbol_bad(g, s, what, false)) return none;
    const tni_node *n = &g->nodes[s.node];
    if (s.out != TN_ALL_OUTPUTS) return (tni_entry){s.node, s.out};
    if (!(n->flags & TNI_NODE_GROUP) && n->n_visible == 1) return (tni_entry){s.node, 0};
    if (n->flags & TNI_NODE_GROUP && n->n_in == 1) return n->in[0];
    const uint32_t count = n->flags & TNI_NODE_GROUP ? n->n_in : n->n_visible;
    tni_graph_fail(g, TN_E_INVALID, 0,
                   "%s: %s%s has %u outputs, one is wanted; tn_output() picks one", what,
                   n->flags & TNI_NODE_GROUP ? "a group" : "symbol ", n->name, count);
    return none;
}

tn_symbol tni_symbol_of(const tn_graph *g, tni_entry e)
{
    return (tn_symbol){e.node, (uint16_t)e.out, g->tag};
}

tn_symbol tni_symbol_whole(const tn_graph *g, uint32_t node)
{
    const uint16_t out = g->nodes[node].n_visible == 1 ? 0 : TN_ALL_OUTPUTS;
    return (tn_symbol){node, out, g->tag};
}

tn_symbol tni_group(tn_graph *g, const tni_entry *members, size_t n)
{
    if (n == 1) return tni_symbol_of(g, members[0]);
    if (n > UINT32_MAX) {
        tni_graph_no_memory(g);
        return TN_NONE;
    }
    const tni_node_spec spec = {.in = members,
                                .n_in = (uint32_t)n,
                                .file = g->file,
                                .line = g->line,
                                .flags = TNI_NODE_GROUP};
    const uint32_t id = tni_node_add(g, &spec);
    return id ? (tn_symbol){id, TN_ALL_OUTPUTS, g->tag} : TN_NONE;
}
