// core/passes/place.h: which device runs each node, and in which memory and layout values lie.
//
// Input: the executor's private graph (forward nodes, then gradient nodes), all types known.
// Output: a graph in the order of execution, with expansions, copies between memories and reorders
// between layouts. Dead nodes go, pure nodes that compute the same become one, identities are
// passed by.
//
// simplify.c marks what is needed; place.c asks devices (support.c, one question for each distinct
// call), expands what nobody supports (expand.c) and writes a graph; sweep.c leaves out what
// nothing reads then; fuse.c, multi.c and fused.c make one node of several; join.c adds copies and
// reorders.
#ifndef TENON_CORE_PLACE_H
#define TENON_CORE_PLACE_H

#include "core/passes/pass.h"

typedef enum tni_kind {
    TNI_VARIABLE, // nothing runs
    TNI_KERNEL,   // a kernel of `device`, or of `kernel` on it
    TNI_COPY,     // input 0 from its memory to `memory` (operator _CrossDeviceCopy)
    TNI_REORDER   // input 0 into another layout by `device` (operator _reorder)
} tni_kind;

// Why a device that stands earlier in the list does not run a node.
typedef struct tni_refusal {
    const char *device; // uri
    uint32_t reason;    // TN_NO_*; 0: supports() itself failed
    const char *text;
    const struct tni_refusal *next;
} tni_refusal;

// Nodes that a node _fused or _multi stands for, in order.
typedef struct tni_fused {
    bool alike; // _multi
    size_t n;
    const char *const *names, *const *ops;
} tni_fused;

typedef struct tni_place {
    tni_kind kind;
    tni_device *device; // runs it; NULL for variables. Copies: the side that is not the host
    tni_device *memory; // where its outputs lie; NULL: host memory
    const tni_kernel_decl *kernel; // brought by another plugin; NULL: the device's own
    const tn_call *call;           // KERNEL, REORDER: as it goes to prepare(); else NULL
    const tni_refusal *refusals;
    const char *origin;          // operator of the user's node it was expanded from; NULL: none
    const tni_refusal *no_whole; // why no device runs that operator whole
    const tni_fused *fused;      // what runs as this one node; NULL: nothing but itself
    tni_device *layouts_of;      // has made the layout of its outputs; NULL: `device` itself
} tni_place;

#define TNI_LAYOUTS_OF(at) ((at)->layouts_of ? (at)->layouts_of : (at)->device)

// Parts of a private kind, which live as long as what was placed.
typedef struct tni_scrap tni_scrap;

typedef struct tni_placed {
    tn_graph *g;
    tni_types types;
    tni_place *at;      // by node id
    tn_layout *layout;  // by value number; domain NULL: row-major. bytes are always right
    uint8_t *constant;  // by value number: has the same contents in each run (TN_VALUE_CONST)
    uint32_t n_forward; // nodes 1 … n_forward run in forward, the rest in backward
    tni_entry *values;  // by value number of the old graph → entry here ({0,0}: dropped)
    tni_entry *kept;    // by index in options.keep → entry here: row-major, in the wished memory
    tni_device **devices; // the list, in order
    size_t n_devices;
    tni_arena arena; // calls, infos, refusals; lives as long as the executor
    tni_scrap *scrap;
    size_t n_copies, n_reorders, n_expanded, n_merged, n_dropped, n_fused;
} tni_placed;

// As the home of a variable or the memory of a kept value: wherever it fits best.
extern tni_device tni_home_auto;

// A call that a device took and then failed to prepare, and calls like it (exclude.c).
typedef struct tni_exclusion {
    const tni_device *device;
    const tni_kernel_decl *kernel; // brought by another plugin; NULL: the device's own
    const tn_op_decl *op;
    uint64_t call; // hash
    bool whole;    // all calls of the operator
    const char *reason;
    const struct tni_exclusion *next;
} tni_exclusion;

typedef struct tni_exclusions {
    tni_arena arena;
    const tni_exclusion *first;
    size_t n;
} tni_exclusions;

enum { TNI_NO_PREPARE = 1000 }; // of tni_refusal.reason

// false: out of memory.
bool tni_exclude(tni_exclusions *all, const tni_device *d, const tni_kernel_decl *kernel,
                 const tn_call *call, const char *reason);
// The reason not to ask, or NULL. all may be NULL.
const tni_exclusion *tni_excluded(const tni_exclusions *all, const tni_device *d,
                                  const tni_kernel_decl *kernel, const tn_call *call);

typedef struct tni_place_options {
    const char *backends; // as tn_bind_options.backends; NULL: default order
    // __ctx_group__ → list of devices for its nodes ("blas", "opencl:0,reference"); these need not
    // stand in `backends`. Not empty: a group without an entry is an error.
    tn_attrs groups;
    bool training;    // TN_CALL_TRAINING
    bool exact;       // every needed node runs as it is: no merging, no passing by of identities
    bool apart;       // no fusing
    bool inference;   // TN_CALL_INFERENCE
    tn_dtype compute; // tn_call.compute
    uint32_t workers; // tn_call.max_workers
    // Values that leave. Nothing that they do not need is kept, except variables; n_keep 0: all
    // nodes are needed. They are row-major in the end, see tni_placed.kept.
    const tni_entry *keep;
    size_t n_keep;
    // Memory in which each of them is wanted: a device, NULL for host memory, &tni_home_auto for
    // where it is made. NULL: all are auto.
    tni_device *const *keep_homes;
    // Memory of each variable (by node id of the old graph): a device, NULL for host memory, or
    // &tni_home_auto: where its users run if that is one memory, else host memory. NULL: all auto.
    tni_device *const *homes;
    // By node id of the old graph: variables that never change while the executor lives; or NULL.
    const uint8_t *constants;
    const tni_exclusions *exclusions; // devices that are not asked again; or NULL
} tni_place_options;

// Places src, whose nodes 1 … n_forward are forward nodes. src must outlive what was placed (names,
// parameters and attributes are shared). Values of shape-only inputs are neither copied nor
// reordered: they may lie in any memory. Errors go to src->error: one text that names every node
// nothing supports, with the reason of each device. tni_placed_free() either way.
tn_status tni_place_graph(tn_graph *src, const tni_types *types, uint32_t n_forward,
                          const tni_place_options *options, tni_placed *out);
void tni_placed_free(tni_placed *p);

// The devices a list names, opened, in order, into a malloc'ed array; NULL and an error in g.
tni_device **tni_devices_parse(tn_graph *g, const char *list, size_t *n);
// The same for a list that messages call `what`. list NULL: the default order.
tni_device **tni_devices_read(tn_graph *g, const char *what, const char *list, size_t *n);
// Is this a name of d: "opencl", "opencl:0", "opencl:gpu"?
bool tni_device_is(const tni_device *d, const char *name);

// The memory that a device's values lie in: itself, or NULL for host memory.
static inline tni_device *tni_device_memory(tni_device *d)
{
    return d && !(d->info.flags & TN_DEV_HOST_MEMORY) ? d : NULL;
}

// Compares node → device with the JSON of an earlier report. Fails with the first difference.
tn_status tni_placement_check(const tni_placed *p, const char *json, tni_error *error);

// ------------------------------------------------------------------ folding (fold.c)

// A graph for inference made from another one.
typedef struct tni_folded {
    tn_graph *g; // NULL: there was nothing to fold. Shares names, parameters, attributes
    tni_types types;
    tni_entry *values; // by value number of the source → entry of g; {0,0}: gone
} tni_folded;

// Folds batch norms into the layers before them and passes by dropouts. Values in keep stay. All
// types are known; src must outlive *out, and gets the error. tni_folded_free() either way.
tn_status tni_fold(tn_graph *src, const tni_types *types, const tni_entry *keep, size_t n_keep,
                   tni_folded *out);
void tni_folded_free(tni_folded *f);

// ------------------------------------------------------------------ simplification (simplify.c)

// What of a graph is needed. Nodes are not touched.
typedef struct tni_simplified {
    uint8_t *live;      // by node id: it is to run (variables: always)
    tni_entry *same_as; // by value number: the entry to use in its place
    size_t n_merged, n_dropped;
} tni_simplified;

// Marks duplicates and identities (unless exact) and what keep needs. Linear. Never merged: random
// operators, those that depend on the mode or have auxiliary states, nodes with a value in keep,
// readers of a variable that some operator writes. false: out of memory.
bool tni_simplify(const tn_graph *g, const tni_types *types, const tni_place_options *options,
                  tni_simplified *out);
void tni_simplified_free(tni_simplified *s);

// Parameters compared by value, lists and strings included.
bool tni_params_equal(const tni_op *op, const void *a, const void *b);
uint64_t tni_params_hash(const tni_op *op, const void *params, uint64_t seed);

// Flags of input i (TN_PORT_*).
uint32_t tni_port_flags(const tni_node *n, uint32_t i);
// True if n writes one of its inputs.
bool tni_has_aux(const tni_node *n);

// ------------------------------------------------------------------ calls (call.c)

// Value infos, one for each distinct (shape, dtype, flags, layout); owned by an arena.
typedef struct tni_infos {
    tni_arena *arena;
    const tn_value_info **slots;
    size_t n, capacity;
} tni_infos;

const tn_value_info *tni_info_get(tni_infos *t, const tn_shape *shape, tn_dtype dtype,
                                  uint32_t flags, const tn_layout *layout); // NULL: out of memory
void tni_infos_free(tni_infos *t); // the table; infos go with the arena
uint64_t tni_value_bytes(const tn_shape *shape, tn_dtype dtype); // row-major; saturates
static inline bool tni_layout_equal(const tn_layout *a, const tn_layout *b)
{
    if (!a->domain || !b->domain) return !a->domain && !b->domain;
    return a->id == b->id && strcmp(a->domain, b->domain) == 0;
}

// ------------------------------------------------------------------ who may run a node (pins.c)

// Devices that may run a node, in order.
typedef struct tni_candidates {
    tni_device **devices;
    size_t n;
    const char *who; // for messages: "group \"stage1\""; NULL: the whole list
    // Set of the gradients of these nodes. A pin holds for what the user pinned; its gradient is
    // made of operators that nobody chose, so what the pinned backend lacks may run on the others.
    uint32_t gradients;
} tni_candidates;

typedef struct tni_pins {
    tn_graph *g;
    const tni_place_options *options;
    tni_candidates *sets; // sets[0] is the list of the bind
    size_t n_sets, capacity;
    tni_map backends, groups; // text of __backend__, __ctx_group__ → set
    tni_arena arena;
} tni_pins;

tn_status tni_pins_init(tni_pins *p, tn_graph *g, const tni_place_options *options);
void tni_pins_free(tni_pins *p);
// Set of a node by its own attributes, or `inherited` (of its forward node) if it has none.
tn_status tni_pins_find(tni_pins *p, uint32_t node, uint32_t inherited, uint32_t *set);

// ------------------------------------------------------------------ asking devices (support.c)

// A question and its answer: nodes with equal operator, parameters, types and candidates share it.
typedef struct tni_question {
    const tni_op *op;
    const void *params;
    const tn_value_info **infos; // n_in, then n_out
    uint32_t n_in, n_out;
    uint32_t set;     // of tni_pins
    uint32_t forward; // question of the forward node; 0: none
    uint64_t hash;
    tni_device *device; // the answer; NULL: nobody
    const tni_kernel_decl *kernel;
    const tni_refusal *refusals;
    const tn_part *parts; // of a fused call
    const uint32_t *out_parts, *out_numbers;
    uint32_t n_parts;
    const tni_device *part_of; // asked last whether it takes this as part of a fused call …
    bool as_part;              // … and what it said
    uint32_t n_nodes;          // that nobody supports: how many, and …
    const char *names[3];      // … what the first ones are called
    const char *origin;
} tni_question;

typedef struct tni_support {
    const tni_registry *registry;
    tni_pins *pins;
    tni_arena *arena;
    uint32_t call_flags; // of every call: TN_CALL_*
    tn_dtype compute;
    uint32_t workers;
    const tni_exclusions *exclusions;
    tni_question *questions; // from 1
    size_t n, capacity;
    uint32_t *slots; // open addressing
    size_t n_slots;
} tni_support;

// The number of a question like q, asked if it is new. name is that of the first node. 0: out of
// memory.
uint32_t tni_support_ask(tni_support *s, const tni_question *q, const char *name);
void tni_support_free(tni_support *s);
// The number of a fused question that its device, in q->device, takes; q lives in the arena. If it
// `moves`, devices before that one in its list are asked for their reasons. 0: it does not take it,
// or out of memory (*no_memory).
uint32_t tni_support_ask_fused(tni_support *s, const tni_question *q, const char *name, bool moves,
                               bool *no_memory);
// Does the device run what question `number` is about, an elementwise operator, as part of a fused
// call? Asked once for device after device, as a fused call of this one part.
bool tni_support_may_fuse(tni_support *s, uint32_t number, tni_device *d, const tni_op *fused);
// Counts a node that nobody supports.
void tni_support_miss(tni_question *q, const char *name, const char *origin);
// The one error about all of those; TN_OK if there are none.
tn_status tni_support_report(const tni_support *s, tn_graph *g);
// Call of a node by its question, in the arena; forward may be NULL.
const tn_call *tni_support_call(tni_support *s, const tni_question *q, const char *name,
                                const tn_call *forward);

// ------------------------------------------------------------------ placing (place.c, expand.c)

// Where nodes are read from: the source graph, or the scratch graph of expansions.
typedef struct tni_view {
    tn_graph *g;
    const tni_types *types;
    tni_entry *values; // by value number → entry of the new graph
    size_t n_values;
} tni_view;

// What a node gets from the user's node it belongs to.
typedef struct tni_context {
    uint32_t set;
    uint32_t forward;   // id in the new graph
    const char *origin; // NULL outside of expansions
    const tni_refusal *no_whole;
    int depth; // of expansion
} tni_context;

typedef struct tni_placer {
    tn_graph *src;    // errors go here
    tni_view user;    // src
    tni_view scratch; // calls that are being expanded, and their expansions
    tni_types scratch_types;
    tni_placed *out;
    tni_pins pins;
    tni_support support;
    tni_infos infos;
    uint32_t *question;          // by id in the new graph; 0: a variable
    tni_entry *in;               // inputs of the node at hand
    const tn_value_info **asked; // its infos
    size_t at_room, question_room, layout_room, constant_room, in_room, asked_room, view_room;
    size_t expanded; // nodes made for the user's node at hand
    const tni_place_options *options;
} tni_placer;

tn_status tni_place_nomem(tni_placer *p);
// Takes over the error of another graph.
tn_status tni_place_take_error(tni_placer *p, const tn_graph *from);
// Inputs of node id of view in the new graph, in p->in.
tn_status tni_place_inputs(tni_placer *p, const tni_view *view, uint32_t id);
// Appends a node to out->g, with its types; place and layout are zero. 0: out of memory.
uint32_t tni_place_emit(tni_placer *p, const tni_node_spec *spec, const tni_types *types,
                        uint32_t value0);

// The same for outputs that are values anywhere in types.
uint32_t tni_place_emit_values(tni_placer *p, const tni_node_spec *spec, const tni_types *types,
                               const uint32_t *values);
// Takes what was placed out into *old, with the questions of its nodes, and begins a new graph for
// a pass that writes it again. What both share (devices, arena, values, kept, counts) stays.
bool tni_place_restart(tni_placer *p, tni_placed *old, uint32_t **old_question);
// Appends node id of what was taken out as it was: its inputs are value_of those of the old graph,
// and its outputs are noted there. 0: out of memory.
uint32_t tni_place_again(tni_placer *p, const tni_placed *old, const uint32_t *old_question,
                         uint32_t id, tni_entry *value_of, uint32_t forward);
// Frees what tni_place_restart took out.
void tni_place_forget(tni_placed *old, uint32_t *old_question);

// Appends node id of view to the new graph, as itself or expanded. Recursive through expansions
// only, to a depth of TNI_MAX_EXPANSION.
tn_status tni_place_node(tni_placer *p, tni_view *view, uint32_t id, const tni_context *context);
// Replaces node id of view, whose question no device answers, by its expansion.
tn_status tni_expand_node(tni_placer *p, tni_view *view, uint32_t id, const tni_context *context,
                          uint32_t question);
enum { TNI_MAX_EXPANSION = 16, TNI_MAX_EXPANDED = 100000 };

// ------------------------------------------------------------------ sweeping (sweep.c)

// Rewrites p->out without the nodes whose values nothing reads; where only a shape is read, a
// variable of that shape remains, which has no memory.
tn_status tni_sweep(tni_placer *p);

// ------------------------------------------------------------------ fusing (fuse.c, multi.c,
// fused.c)

enum { TNI_MAX_PARTS = 32 }; // of a node _fused or _multi

// Parameters of a node _fused or _multi; bit i of states: input i is a state. NULL: out of memory.
const void *tni_fused_make(const tni_op *fused, tni_arena *arena, uint32_t n_in, uint32_t n_out,
                           uint64_t states);

// Rewrites p->out with fused nodes, where devices take them.
tn_status tni_fuse(tni_placer *p);

// ------------------------------------------------------------------ layouts (layouts.c)

// Layouts of a placed graph, as its devices want them. Nodes are asked in id order.
typedef struct tni_negotiator {
    tni_placer *p;
    const tni_placed *from;
    const uint32_t *question; // by node of from
    tn_layout *made;          // by value: as its node makes it; variables are row-major
    tni_device **owner;       // by value in a layout: the device that such a layout comes from
    uint8_t *open;            // by node: a layout may pass through it
    bool passed;              // did one pass through the node asked last?
    uint8_t *leaves;          // by value: not TN_VALUE_STAYS
    const tn_call **calls;    // by node: the last call made for it, which backward nodes refer to
    tn_layout *layouts;       // of the node asked last, inputs first, as it wants them
    size_t room;
} tni_negotiator;

bool tni_negotiator_init(tni_negotiator *t, tni_placer *p, const tni_placed *from,
                         const uint32_t *question); // false: out of memory
// Asks all nodes until their answers agree, to learn who wants what: TN_VALUE_STAYS is right from
// then on. Before, it holds for too many values.
tn_status tni_rehearse(tni_negotiator *t);
tn_status tni_negotiate(tni_negotiator *t, uint32_t id);
// The call of node id with t->layouts: shared infos if all is as it was asked, else of its own.
// NULL: out of memory.
const tn_call *tni_negotiated_call(tni_negotiator *t, uint32_t id, const char *name);
void tni_negotiator_free(tni_negotiator *t);
bool tni_has_layouts(const tni_device *d); // of its own

// ------------------------------------------------------------------ joining (join.c, bring.c,
// early.c)

// A form of a value in the new graph that was made from it: a copy, or another layout.
typedef struct tni_version {
    tni_entry entry;
    uint32_t next; // of the same value; 0: none
} tni_version;

// Where and how a reader wants a value.
typedef struct tni_want {
    tni_device *memory;
    tn_layout layout;
    tni_device *device; // the reader's, which makes its own layouts
} tni_want;

// A value that was made and will be wanted in another memory.
typedef struct tni_errand {
    uint32_t value;     // of old
    tni_device *memory; // where it was made
} tni_errand;

typedef struct tni_joiner {
    tni_placer *p;
    tni_placed old;         // what place.c wrote; here until the new graph is done
    uint32_t *old_question; // by id in old
    tni_device **homes;     // by id in old: memory of a variable
    uint8_t *fixed;         // by id in old: why a variable must lie there, see join.c
    tni_entry *value;       // by value of old → entry as it was made
    uint32_t *first;        // by value of old → tni_version, 0: none
    tni_version *versions;  // from 1
    size_t n_versions, versions_room;
    uint32_t *keep;       // by value of old → index in options.keep + 1, 0: none
    uint32_t *keep_next;  // by index in options.keep → as above
    tni_negotiator talks; // about the layouts of old
    tni_device **wanted;  // by value of old: other memory that its phase wants it in first;
                          // &tni_home_auto: none
    tni_errand *pending;  // on devices, wanted elsewhere, and not brought yet
    size_t n_pending, pending_room;
    const tni_op *copy, *reorder;
    const void *copy_params, *reorder_params;
} tni_joiner;

// Value v of the old graph as wanted; what is missing on the way is appended. {0,0} on error.
tni_entry tni_bring(tni_joiner *j, uint32_t v, const tni_want *want);
// Info of entry e of the new graph, with its layout.
const tn_value_info *tni_joined_info(tni_joiner *j, tni_entry e);

// Copies that can begin before a reader asks for them (early.c): before the sweep, when node id of
// old is there, and before it is appended.
bool tni_early_begin(tni_joiner *j); // false: out of memory
tn_status tni_early_made(tni_joiner *j, uint32_t id);
tn_status tni_early_before(tni_joiner *j, uint32_t id);

// Is there a memory that is not the host's, or a backend with layouts of its own?
bool tni_join_needed(const tni_placer *p);
// Rewrites p->out with copies between memories and reorders between layouts, and makes its calls.
tn_status tni_join(tni_placer *p);

#endif
