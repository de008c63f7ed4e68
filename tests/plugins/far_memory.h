// tests/plugins/far_memory.h: what tests may ask of the backends "far" and "lazy": counters.
#ifndef TENON_TESTS_FAR_MEMORY_H
#define TENON_TESTS_FAR_MEMORY_H

#include <stdatomic.h>

// api.get_extension(plugin, TN_FAR_COUNTERS) → tn_far_counters *, of both backends together.
#define TN_FAR_COUNTERS "test.far.counters/1"
typedef struct tn_far_counters {
    atomic_llong live_buffers, live_bytes; // allocated and not freed
    atomic_llong uploads, downloads, copies, runs;
    atomic_llong live_kernels;
    atomic_llong live_queues, live_events;
    atomic_llong deferred; // tasks that were put into queues
    atomic_llong dropped;  // tasks of queues that were destroyed before they were done
    atomic_llong crowded;  // functions of a queue that were called while another thread was in one
    // What the queues of "lazy" were told and did, in that order: r run, u upload, c copy, w wait
    // for another queue, d download; R, U, C, W, D when that is done. It begins anew when a test
    // sets n_log to 0, and what has no room is left out.
    atomic_int n_log;
    char log[64];
} tn_far_counters;

#endif
