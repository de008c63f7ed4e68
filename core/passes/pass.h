// core/passes/pass.h: the passes: each reads a graph and appends to it, or writes a new one.
#ifndef TENON_CORE_PASS_H
#define TENON_CORE_PASS_H

#include "core/graph/graph.h"

// ------------------------------------------------------------------ inference (infer.c, shapes.c)

// Shapes are interned: equal shapes have equal ids; id 0 is "rank unknown".
typedef struct tni_shapes tni_shapes;
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

// One node only, forwards: for passes that append nodes whose inputs are known.
tn_status tni_infer_node(tn_graph *g, tni_types *t, uint32_t node);

// ------------------------------------------------------------------ builder (builder.c)

// The host's side of tn_builder. `types` may be NULL (nothing is known). Appended nodes are
// inferred at once when it is not. Each appended node gets `forward` and a name from the node.
typedef struct tni_builder {
    tn_builder api; // given to plugins; api.ctx points to this struct
    tn_graph *g;
    tni_types *types;
    uint32_t node, forward;
    const tni_entry *inputs; // what input(i) means (may differ from the node's own)
    tni_entry *out_grads;    // gradient: n_out of the node; {0,0} zero
    tni_entry *results;      // gradient: n_in in-gradients; expand: n_out outputs
    tni_entry *symbols;      // tn_sym - 1 → entry; malloc'ed
    size_t n_symbols, symbols_capacity;
    uint32_t made;      // nodes appended so far
    const char *suffix; // of names: "_backward", "_expand"
} tni_builder;

void tni_builder_init(tni_builder *b, tn_graph *g, tni_types *types, uint32_t node);
void tni_builder_free(tni_builder *b);
// Appends a call of `op` with parameter text; for the core's own passes. {0,0} on error.
tni_entry tni_build(tn_graph *g, tni_types *types, const char *op, const char *params,
                    const tni_entry *in, uint32_t n_in, const char *name, uint32_t forward);

// ------------------------------------------------------------------ autodiff (gradient.c)

// dx[j] = Σ head[i]·∂y[i]/∂x[j], appended to g. A head of {0,0}: ones. dx[j] is {0,0} where no
// path leads from x[j] to y. used_heads[i] (may be NULL) says whether head i was used: loss layers
// ignore it.
tn_status tni_gradient(tn_graph *g, tni_types *types, const tni_entry *y, size_t n_y,
                       const tni_entry *head, const tni_entry *x, size_t n_x, tni_entry *dx,
                       bool *used_heads);

#endif
