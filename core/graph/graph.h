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
    TNI_NODE_GROUP = 1,  // stands for its inputs; never executed
    TNI_NODE_DIGITS = 24 // from this bit on: digits of an automatic name's number; 0: none
};

// One prefix or one set of attributes that new nodes get.
typedef struct tni_scope {
    const char *prefix; // all prefixes up to here, joined
    tni_attr *attrs;    // of this scope and of all around it
    bool is_prefix;     // what the push was
    const char *file;   // where it was
    int line;
    struct tni_scope *outer;
} tni_scope;

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
    tni_map counters;             // prefix and hint → next number
    tni_arena keep;               // keys of counters: not undone with a failed call
    tni_scope *scopes;            // innermost first; NULL: none
    const char *auto_name;        // the last one that tni_auto_name() gave out
    uint32_t auto_digits;         // digits of its number
    const char *file;             // place of the running call
    int line;
};

// May a call go on? False, too, for the NULL of a graph that could not be made.
static inline bool tni_ready(const tn_graph *g)
{
    return g && g->error.status == TN_OK;
}

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

// The graph as it is now, to go back to: nodes, names, counters and memory of the arena.
typedef struct tni_save {
    size_t n_nodes;
    tni_mark mark;
} tni_save;
tni_save tni_graph_save(const tn_graph *g);
void tni_graph_undo(tn_graph *g, tni_save save);
void tni_graph_settle(tn_graph *g, tni_save save); // goes back if the graph holds an error

// "file:line" of the running call in an arena, or NULL if it is not known.
const char *tni_graph_place(const tn_graph *g, tni_arena *arena);
// Where two nodes of one name were made, for messages: "a.c:3 and a.c:9", or their numbers as the
// printed text has them, "%3 and %9", where no place is known. Written into text.
#define TNI_PLACES 512
const char *tni_two_places(const tn_graph *g, uint32_t one, uint32_t two, char text[TNI_PLACES]);

// The graph's error with the place of the running call; `node` (0: none) adds "fc1 (Op): ".
__attribute__((format(printf, 4, 5))) tn_status
tni_graph_fail(tn_graph *g, tn_status status, uint32_t node, const char *format, ...);
tn_status tni_graph_no_memory(tn_graph *g);

// True, and an error, if a caller counts n items and gives none.
bool tni_list_bad(tn_graph *g, const char *what, size_t n, const void *items);

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
tn_symbol tni_symbol_whole(const tn_graph *g, uint32_t node); // all its visible outputs

// A group of entries as a symbol: the entry itself if there is one. TN_NONE: out of memory.
tn_symbol tni_group(tn_graph *g, const tni_entry *members, size_t n);

// ------------------------------------------------------------------ names (autoname.c)

// Automatic name "<hint><number>" that no operator of g has, in the current prefix; the hint in
// lower case. Its number is taken when a node is added with this very pointer as its name. NULL:
// out of memory, and the graph is in error.
const char *tni_auto_name(tn_graph *g, const char *hint);

// A call without a name: inputs of node 0 will be variables named after it.
typedef struct tni_unnamed {
    const tni_op *op;
    const void *params;
    const tni_entry *in;
    uint32_t n_in;
} tni_unnamed;
// The same so that the names of those variables are free too.
const char *tni_auto_name_for(tn_graph *g, const char *hint, const tni_unnamed *call);

// ------------------------------------------------------------------ attributes (attrs.c)

const char *tni_attr_find(const tni_node *n, const char *key); // exact key; or NULL
// Puts a copy of the pair in front of the list. NULL: out of memory, and the graph is in error.
tni_attr *tni_attr_add(tn_graph *g, tni_attr *list, const char *key, const char *value);
// The key as attributes have it: ctx_group → __ctx_group__, __x__ as it is. NULL: neither.
const char *tni_attr_key(const char *key);
// Checks and adds a caller's attributes. False, and an error with `what`, if a key is refused.
bool tni_attrs_add(tn_graph *g, tni_attr **list, tn_attrs attrs, const char *what);
// False, and an error that begins with `lead` ("fc1 (FullyConnected): "), if a node of that name is
// in the map (g->variables or g->operators).
bool tni_name_free(tn_graph *g, const tni_map *map, const char *name, const char *lead);
// The attributes of a node, each key once, sorted by key, in an arena (as files have them).
// v NULL: out of memory.
tn_attrs tni_attrs_sorted(const tni_node *n, tni_arena *arena);
// The same without parameters that op lacks and that do not matter: for tni_params_parse().
tn_attrs tni_attrs_params(const tni_node *n, const tni_op *op, tni_arena *arena);
// Is that a parameter of some MXNet that changes no result? (harmless.c)
bool tni_param_harmless(const char *key, const char *value);

// ------------------------------------------------------------------ calls (apply.c)

// A symbol given to a call: by place, by name, or by declared port.
typedef struct tni_given {
    tn_symbol symbol;     // TN_NONE: the default
    const char *name;     // TNI_BY_NAME
    uint32_t port, index; // TNI_BY_PORT: declared input, and number within a variadic one
} tni_given;
typedef enum tni_given_by { TNI_BY_PLACE, TNI_BY_NAME, TNI_BY_PORT } tni_given_by;

// One call of an operator, however its caller spelled it.
typedef struct tni_call {
    const tni_op *op;
    const char *hint;      // of the automatic name
    const char *name;      // NULL: automatic
    const tn_attr *params; // parameters as text
    size_t n_params;
    tn_attrs attrs;
    tni_given_by by;
    const tni_given *given;
    size_t n_given;
} tni_call;

// Adds the node and the variables that it lacks. TN_NONE, and an error, if anything is wrong; the
// graph is then as it was.
tn_symbol tni_call_make(tn_graph *g, const tni_call *call);

// The operator of that name; NULL, and an error with the nearest names.
const tni_op *tni_op_wanted(tn_graph *g, const char *name);
// Appends " — did you mean …", the operators whose names are nearest, or nothing.
void tni_op_nearest(const tni_registry *r, const char *name, tni_text *t);

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

// ------------------------------------------------------------------ reading JSON (json_*.c)

// A node as a file has it. Texts are borrowed from the parsed file.
typedef struct tni_file_node {
    const char *op_name; // NULL: a variable
    const char *name;
    tni_attr *attrs; // param, attr and attrs together; the newest cell of a key wins
    tni_entry *in;   // node: place in the file, from 1
    uint32_t n_in;
    bool used; // some head depends on it
    // Filled in by tni_json_upgrade, for used operators:
    const tni_op *op;
    const void *params; // in the graph's arena
    tni_arity arity;    // inputs beyond n_in are missing: variables are made for them
} tni_file_node;

typedef struct tni_file_graph {
    tn_graph *g;
    const char *source; // path or name of the call, for messages
    void *root;         // of jansson
    tni_arena arena;
    tni_file_node *nodes; // nodes[0] is unused
    tni_entry *heads;
    uint32_t n, n_heads;
    int64_t version; // of the MXNet that wrote it: 904 is 0.9.4
} tni_file_graph;

// Takes the text apart and checks every field (json_parse.c); brings what older versions wrote to
// today's form and parses parameters (json_upgrade.c). False, and an error in f->g.
bool tni_json_parse(tni_file_graph *f, const char *text, size_t bytes);
bool tni_json_upgrade(tni_file_graph *f);
// Error about node `node` of the file (0: about the file). Returns false.
__attribute__((format(printf, 4, 5))) bool tni_json_fail(const tni_file_graph *f, tn_status status,
                                                         uint32_t node, const char *format, ...);

// ------------------------------------------------------------------ printing (print.c)

// One line for node id, without newline, into t. shape and dtype of output 0 may be NULL and 0.
void tni_print_node(const tn_graph *g, uint32_t id, const tn_shape *shape, tn_dtype dtype,
                    tni_text *t);

#endif
