// tests/plugins/far_memory.h: what tests may ask of the backend "far": its counters.
#ifndef TENON_TESTS_FAR_MEMORY_H
#define TENON_TESTS_FAR_MEMORY_H

#include <stdatomic.h>

// api.get_extension(plugin, TN_FAR_COUNTERS) → tn_far_counters *, all devices of one plugin.
#define TN_FAR_COUNTERS "test.far.counters/1"
typedef struct tn_far_counters {
    atomic_llong live_buffers, live_bytes; // allocated and not freed
    atomic_llong uploads, downloads, copies, runs;
    atomic_llong live_kernels;
} tn_far_counters;

#endif
