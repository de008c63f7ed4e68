// core/passes/pass.h: the passes: each reads a graph and appends to it, or writes a new one.
#ifndef TENON_CORE_PASS_H
#define TENON_CORE_PASS_H

#include "core/graph/graph.h"

// ------------------------------------------------------------------ inference (infer.c, shapes.c)

// Shapes are interned: equal shapes have equal ids; id 0 is "rank unknown".
typedef struct tni_shapes tni_shapes;
tni_shapes *tni_shapes_new(void); // NULL: out of memory
void tni_shapes_free(tni_shapes *pool);
// The id of a shape; negative extents are stored as -1. false: out of memory, or too many axes.
bool tni_shapes_intern(tni_shapes *pool, const tn_shape *shape, uint32_t *id);
// Never NULL; valid as long as the pool.
const tn_shape *tni_shape_at(const tni_shapes *pool, uint32_t id);

// What is known of every value of a graph. Arrays grow with the graph (tni_types_grow).
typedef struct tni_types {
    tni_shapes *pool;
    uint32_t *shape; // by value number
    int8_t *dtype;   // tn_dtype, by value number
    size_t n, capacity;
} tni_types;

bool tni_types_init(tni_types *t);
bool tni_types_grow(tni_types *t, const tn_graph *g);
void tni_types_free(tni_types *t);
const tn_shape *tni_types_shape(const tni_types *t, uint32_t value);
// Adds what is known about a value; TN_E_SHAPE / TN_E_DTYPE on contradiction, without a message.
tn_status tni_types_merge_shape(tni_types *t, uint32_t value, const tn_shape *shape);
tn_status tni_types_merge_dtype(tni_types *t, uint32_t value, tn_dtype dtype);

enum { TNI_INFER_SHAPES = 1, TNI_INFER_DTYPES = 2 };
// Infers over the given nodes (ids ascending, or in topological order) to a fixpoint, both
// directions; variables take __shape__ and __dtype__. Errors go to g with node and place; what
// stays unknown is no error here. Nodes whose values are all known are not asked again.
tn_status tni_infer(tn_graph *g, tni_types *t, const uint32_t *nodes, size_t n, uint32_t what);

// One node only: for passes that append nodes whose inputs are known. Asks for both kinds.
tn_status tni_infer_node(tn_graph *g, tni_types *t, uint32_t node);

// The graph's error about a node, with the place where that node was made; the place of the
// running call follows if it is another one.
__attribute__((format(printf, 4, 5))) tn_status
tni_node_fail(tn_graph *g, tn_status status, uint32_t node, const char *format, ...);

// Inside inference: infer.c decides which nodes are asked, infer_node.c asks one.

enum { TNI_NODE_ASKED = 1, TNI_NODE_QUEUED = 2 };

// Nodes to ask again, first in, first out; each stands in it at most once.
typedef struct tni_worklist {
    uint8_t *state;  // by node id: 0 not yet reached, TNI_NODE_*
    uint32_t *first; // by value number: where its readers begin; n_values + 1 places
    uint32_t *readers;
    uint32_t *queue; // ring of `size` places
    size_t head, tail, size;
} tni_worklist;

void tni_worklist_free(tni_worklist *w);
// Value e changed while node `by` was asked: every other node that has it is to be asked again.
void tni_worklist_changed(tni_worklist *w, const tn_graph *g, tni_entry e, uint32_t by);

// The host's side of tn_infer; api.ctx points to this struct.
typedef struct tni_ask {
    tn_infer api;
    tn_graph *g;
    tni_types *t;
    tni_worklist *work; // NULL: nobody is told of changes
    uint32_t what;      // TNI_INFER_SHAPES or TNI_INFER_DTYPES
    uint32_t id;        // the node being asked
    tn_status status;   // first failure of a callback
    bool in_changed, out_changed;
} tni_ask;

void tni_ask_init(tni_ask *a, tn_graph *g, tni_types *t, tni_worklist *work);
// Asks the rule of node id until it has nothing to add. Errors go to the graph.
tn_status tni_ask_node(tni_ask *a, uint32_t id);

// ------------------------------------------------------------------ builder (builder.c)

// The host's side of tn_builder. `types` may be NULL (nothing is known). Appended nodes are
// inferred at once when it is not. Each appended node gets `forward`, a name and the pins
// (__ctx_group__, __backend__) of the node. A pass that reads one graph and writes another
// initialises with the one read and then sets g, types and inputs to what it writes.
typedef struct tni_builder {
    tn_builder api; // given to plugins; api.ctx points to this struct
    tn_graph *g;
    tni_types *types;
    uint32_t node, forward, n_visible;
    const tni_entry *inputs; // what input(i) means (may differ from the node's own)
    tni_entry *out_grads;    // gradient: n_out of the node; {0,0} zero; NULL while expanding
    // gradient: where an out-gradient comes from in place of out_grads, made when it is asked for
    tni_entry (*out_grad)(struct tni_builder *b, uint32_t i);
    tni_entry *results; // gradient: n_in in-gradients; expand: n_out outputs
    tni_entry *symbols; // tn_sym - 1 → entry; malloc'ed
    size_t n_symbols, symbols_capacity;
    uint32_t made;      // nodes appended so far
    const char *suffix; // of names: "_backward", "_expand"
    const char *file;   // where the node was made: the place of appended nodes
    int32_t line;
    tni_attr *pins; // attributes that appended nodes share with the node
} tni_builder;

void tni_builder_init(tni_builder *b, tn_graph *g, tni_types *types, uint32_t node);
// The same builder for another node of b->g: keeps its memory.
void tni_builder_reset(tni_builder *b, uint32_t node);
void tni_builder_free(tni_builder *b);
// Runs the operator's `expand` or `gradient` with `results` zeroed. Errors go to b->g. All visible
// outputs are set after an expansion.
tn_status tni_builder_expand(tni_builder *b);
tn_status tni_builder_gradient(tni_builder *b);

// Appends a call of `op` with parameter text; for the core's own passes. {0,0} on error. If an
// operator has the name (NULL: ""), a number is added. forward 0: none.
tni_entry tni_build(tn_graph *g, tni_types *types, const char *op, const char *params,
                    const tni_entry *in, uint32_t n_in, const char *name, uint32_t forward);

// ------------------------------------------------------------------ autodiff (gradient.c)

// dx[j] = Σ head[i]·∂y[i]/∂x[j], appended to g. A head of {0,0}: ones. dx[j] is {0,0} where no
// path leads from x[j] to y. used_heads[i] (may be NULL) says whether head i was used: loss layers
// ignore it. With types, gradients are checked against the shapes and dtypes of what they are of.
// On error the graph may have new nodes: the caller truncates it.
tn_status tni_gradient(tn_graph *g, tni_types *types, const tni_entry *y, size_t n_y,
                       const tni_entry *head, const tni_entry *x, size_t n_x, tni_entry *dx,
                       bool *used_heads);

#endif
