// core/graph/graph.h: the graph as the core's passes see it.
//
// Nodes are an array; a node uses only nodes with smaller ids (from 1), so a pass is a loop. Each
// output of a node is a value; values are numbered through the graph (node->value0 + out), so what
// a pass knows about values is a flat array. The executor's private graph is the same type.
#ifndef TENON_CORE_GRAPH_H
#define TENON_CORE_GRAPH_H

#include <tenon/graph.h>

#include "core/graph/schema.h"

// One output of one node. node 0: none.
typedef struct tni_entry {
    uint32_t node, out;
} tni_entry;

// An attribute as a list cell; the newest cell of a key wins.
typedef struct tni_attr {
    const char *key, *value;
    struct tni_attr *next;
} tni_attr;

typedef struct tni_node {
    const tni_op *op;    // NULL: a variable or a group
    const char *name;    // "" is legal for nodes that no user named
    const void *params;  // typed blob of op; NULL for variables
    const tni_entry *in; // n_in entries; members of a group
    tni_attr *attrs;     // operator parameters as given and user attributes, as MXNet keeps them
    const char *file;    // where it was made; NULL: unknown
    int32_t line;
    uint32_t n_in;
    uint32_t value0; // number of its first output
    uint16_t n_out, n_visible;
    uint32_t forward; // in a gradient: the forward node it belongs to; 0
    uint32_t flags;   // TNI_NODE_*
} tni_node;
enum {
    TNI_NODE_GROUP = 1 // stands for its inputs; never executed
};

struct tn_graph {
    tn_env *env;
    const tni_registry *registry;
    tni_arena arena;
    tni_error error;
    tni_node *nodes;                // nodes[0] is unused
    size_t n_nodes, nodes_capacity; // ids 1 … n_nodes
    uint32_t n_values;
    uint16_t tag;
    tni_map variables, operators; // name → id, first one of a name
    tni_map counters;             // hint → next number, per prefix
    struct tni_scope *scopes;     // prefix and attribute scopes, innermost first
    const char *file;             // place of the running call
    int line;
};

static inline const tni_node *tni_node_at(const tn_graph *g, uint32_t id)
{
    return &g->nodes[id];
}
static inline bool tni_is_variable(const tni_node *n)
{
    return !n->op && !(n->flags & TNI_NODE_GROUP);
}
static inline uint32_t tni_value(const tn_graph *g, tni_entry e)
{
    return g->nodes[e.node].value0 + e.out;
}

// ------------------------------------------------------------------ building (graph.c)

typedef struct tni_node_spec {
    const tni_op *op; // NULL: a variable, or a group by flags
    const char *name;
    const void *params; // must live as long as g; ports are counted from it
    const tni_entry *in;
    uint32_t n_in;
    tni_attr *attrs;
    const char *file;
    int32_t line;
    uint32_t forward, flags;
} tni_node_spec;

// Appends a node; copies name and inputs. No name is checked, no input is made. 0: out of memory,
// and the graph is in error.
uint32_t tni_node_add(tn_graph *g, const tni_node_spec *spec);

// Drops every node with an id above `last`, with names and counters: for calls that fail half way.
void tni_graph_truncate(tn_graph *g, size_t last);

// The graph's error with the place of the running call; `node` (0: none) adds "fc1 (Op): ".
__attribute__((format(printf, 4, 5))) tn_status
tni_graph_fail(tn_graph *g, tn_status status, uint32_t node, const char *format, ...);
// True, and an error, if s is not a symbol of g (TN_NONE included unless none_ok).
bool tni_symbol_bad(tn_graph *g, tn_symbol s, const char *what, bool none_ok);

// The single value that s stands for; {0,0} and an error if it stands for several.
tni_entry tni_symbol_entry(tn_graph *g, tn_symbol s, const char *what);

// All values that s stands for, in order; allocated in g's arena.
typedef struct tni_entries {
    size_t n;
    const tni_entry *v;
} tni_entries;
tni_entries tni_symbol_entries(tn_graph *g, tn_symbol s);
tn_symbol tni_symbol_of(const tn_graph *g, tni_entry e);

const char *tni_attr_find(const tni_node *n, const char *key); // exact key; or NULL
tni_attr *tni_attr_add(tn_graph *g, tni_attr *list, const char *key, const char *value);

// Automatic name "<hint><number>" that no node of g has, in the current prefix.
const char *tni_auto_name(tn_graph *g, const char *hint);

// ------------------------------------------------------------------ walking (walk.c)

// Nodes below the heads in depth-first post-order, inputs left to right, each once: ids in a
// malloc'ed array that the caller frees. Iterative. NULL only when out of memory.
uint32_t *tni_order(const tn_graph *g, const tni_entry *heads, size_t n_heads, size_t *count);

// For each id in order: is that variable written by some operator below (auxiliary state)?
// A malloc'ed array of n_nodes + 1 flags.
uint8_t *tni_aux_flags(const tn_graph *g, const uint32_t *order, size_t count);

// Name of an output: "fc1_output", "bn_mean", "slice_output1", the variable's own name.
const char *tni_output_name(tn_graph *g, tni_entry e);

// ------------------------------------------------------------------ copying (copy.c)

// Copies the nodes below heads from `from` into `to` in depth-first order. map (malloc'ed by the
// callee, n_nodes(from) + 1 places, caller frees) takes old ids to new ones. NULL: out of memory.
uint32_t *tni_graph_copy(tn_graph *to, const tn_graph *from, const tni_entry *heads,
                         size_t n_heads);

// A bare graph for the executor: same env and registry, nothing in it.
tn_graph *tni_graph_bare(tn_env *env);

// ------------------------------------------------------------------ printing (print.c)

// One line for node id, without newline, into t. shape and dtype of output 0 may be NULL and 0.
void tni_print_node(const tn_graph *g, uint32_t id, const tn_shape *shape, tn_dtype dtype,
                    tni_text *t);

#endif
