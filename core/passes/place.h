// core/passes/place.h: which device runs each node, and in which memory and layout values lie.
//
// Input: the executor's private graph (forward nodes, then gradient nodes) with all types known.
// Output: a new graph whose id order is the order of execution, with expansions, copies between
// memories and reorders between layouts as nodes of their own.
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
    uint32_t reason;    // TN_NO_*
    const char *text;
    struct tni_refusal *next;
} tni_refusal;

typedef struct tni_place {
    tni_kind kind;
    tni_device *device; // runs it; NULL for variables and for copies between host memories
    tni_device *memory; // where its outputs lie; NULL: host memory
    const tni_kernel_decl *kernel; // brought by another plugin; NULL: the device's own
    tn_call *call;                 // KERNEL, REORDER: as it goes to prepare(); else NULL
    const tni_refusal *refusals;
    const char *origin; // operator of the user's node it was expanded from; NULL: none
} tni_place;

typedef struct tni_placed {
    tn_graph *g;
    tni_types types;
    tni_place *at;      // by node id
    tn_layout *layout;  // by value number; domain NULL: row-major
    uint32_t n_forward; // nodes 1 … n_forward run in forward, the rest in backward
    tni_entry *values;  // by value number of the old graph → entry here ({0,0}: dropped)
    tni_arena arena;    // calls, infos, refusals; lives as long as the executor
    size_t n_copies, n_reorders, n_expanded;
} tni_placed;

typedef struct tni_place_options {
    const char *backends; // as tn_bind_options.backends; NULL: default order
    tn_attrs groups;      // __ctx_group__ → device
    bool training;        // TN_CALL_TRAINING
    // Values that must stay as they are: row-major, in `memory` of the variable or of their kernel.
    const tni_entry *keep;
    size_t n_keep;
    // Memory of each variable (by node id of the old graph): a device, or NULL for host memory; the
    // array may be NULL: then a variable whose users all run in one device's memory lies there, and
    // every other one in host memory.
    tni_device *const *homes;
    // By node id of the old graph: 1 where homes says nothing, so that the variable is placed as if
    // homes were NULL. The array may be NULL: homes holds for all.
    const uint8_t *any_home;
} tni_place_options;

// Places src, whose nodes 1 … n_forward are forward nodes. Errors go to src->error: one text that
// names every node nothing supports, with the reason of each device. tni_placed_free() either way.
tn_status tni_place_graph(tn_graph *src, const tni_types *types, uint32_t n_forward,
                          const tni_place_options *options, tni_placed *out);
void tni_placed_free(tni_placed *p);

// The devices a list names, opened, in order, into a malloc'ed array; NULL and an error in g.
tni_device **tni_devices_parse(tn_graph *g, const char *list, size_t *n);

#endif
