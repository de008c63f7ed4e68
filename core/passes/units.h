// core/passes/units.h: nodes of a placed graph that may run as one: found by fuse.c and multi.c,
// offered and written by fused.c.
#ifndef TENON_CORE_UNITS_H
#define TENON_CORE_UNITS_H

#include "core/passes/place.h"

// Nodes that run as one: part 0 of any kind or elementwise, the others elementwise; ids ascend.
// The unit runs where its last node stood. In the gradient of a unit that begins with a layer, the
// layer's stands last. Or calls of one operator that nothing orders (`alike`).
typedef struct tni_unit {
    uint32_t *nodes;
    uint32_t n;
    bool led;          // part 0 is no elementwise call
    bool alike;        // a unit for _multi
    uint32_t forward;  // number of the unit it is the gradient of, among those taken; 0: none
    uint32_t question; // of tni_support, when its device takes it
} tni_unit;

// Units of the placed graph: candidates by their values and readers; none is asked for yet.
typedef struct tni_units {
    tni_placer *p;
    const tni_op *fused;
    tni_unit *v; // of the device looked at last
    size_t n, capacity;
    tni_arena arena;
    uint32_t *readers; // by value: nodes that read it; UINT32_MAX: it leaves
    uint8_t *written;  // by node: a variable that some operator writes
    uint8_t *users[2]; // of those, by node: how many nodes of forward, and backward, have it; max 2
    uint8_t *linked;   // by node: backward nodes may use what its kernel keeps
    uint8_t *settled;  // by node: a device takes a unit that it is part of; set by the caller
    uint8_t *opaque;   // by node: a value around it has a layout of its own; NULL: not known yet
    bool failed;
} tni_units;
bool tni_units_begin(tni_units *u, tni_placer *p, const tni_op *fused); // false: out of memory
// Units that `target` may run, of nodes that are there and of elementwise ones that may go there.
// false: out of memory, or an error in p->src.
bool tni_units_find(tni_units *u, tni_device *target);
// The gradient of a unit that is taken: backward node `last`, made from its first node, and what is
// elementwise, was made from others of it and is read by these only. Room for f->n nodes.
void tni_units_gradient(const tni_units *u, const tni_device *target, const tni_unit *f,
                        uint32_t last, tni_unit *gradient);
// May the node stand in a unit, and run later than it would?
bool tni_units_may_wait(const tni_units *u, uint32_t node);
// Units of target's calls of one operator that read variables only, and whose results no node reads
// (multi.c), of any length: all of u->v is them then. false: out of memory.
bool tni_units_alike(tni_units *u, const tni_device *target);
void tni_units_free(tni_units *u);

#endif
