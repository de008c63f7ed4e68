// tools/bench.h: the parts of `tenon bench`.
#ifndef TENON_TOOLS_BENCH_H
#define TENON_TOOLS_BENCH_H

#include "tools/tool.h"

typedef struct bench_options {
    const char *workloads[32];
    size_t n_workloads;
    const char *backends, *trace;
    tn_dtype dtype, compute;
    long threads, batch, nodes, runs; // 0: not given
    double seconds;
    bool inference, training; // which modes to run
    bool json, profile, quick, no_peak;
    tool_groups groups;
} bench_options;

// ------------------------------------------------------------------ networks (bench_models.c)

typedef struct bench_size {
    int64_t batch;
    bool quick;   // small images and layers, few steps
    bool grouped; // nodes get the groups that models have
    tn_dtype dtype;
} bench_size;

enum { BENCH_BATCHES = 3 };

typedef struct bench_model {
    const char *name, *doc;
    tn_symbol (*make)(tn_graph *g, const bench_size *s); // variables carry shapes and dtypes
    const char *inputs;  // names of what changes from run to run, for inference
    const char *summand; // argument that the output, no loss, is a sum with: its gradient is the
                         // head gradient itself. NULL: the outputs are losses
    int64_t classes;     // labels are whole numbers below it; 0: there is no label
    int64_t tokens;      // the data are whole numbers below it; 0: numbers from -1 to 1
    int64_t inference[BENCH_BATCHES], training[BENCH_BATCHES]; // usual batches; 0: no more
    int64_t quick;                                             // batch with --quick
} bench_model;

// Where size.grouped, nodes are in two groups, "first" and "second", which tn_bind_options.groups
// sends to devices: make() begins in the first, whose attribute scope is open.
//
// Model i, or NULL past the end; the one of that name, or NULL.
const bench_model *bench_model_at(size_t i);
const bench_model *bench_model_find(const char *name);

// Does a training step change that argument? By MXNet's endings: weight, bias, gamma, beta and
// RNN's parameters.
bool bench_is_parameter(const char *name);

// Multiplications and additions of a step's linear layers, counted from shapes: those of forward,
// and of the gradients that are wanted. Without linear layers: operators times elements of forward,
// and 0 (not counted) for training. -1: an error is in g.
double bench_flops(tn_graph *g, tn_symbol net, bool training); // bench_flops.c

// ------------------------------------------------------------------ one network (bench_net.c)

typedef struct bench_net {
    const bench_model *model;
    const bench_options *o;
    bool training;
    int64_t batch;
    tn_env *env;
    tn_graph *g;
    tn_symbol net;
    tn_exec *exec;   // the network
    tn_exec *update; // training: w := sgd_mom_update(w, grad); NULL: there is no parameter
    tn_tensor *head; // training: head gradient of an output that is no loss; or NULL
    double bind_seconds, flops;
} bench_net;

// Makes, binds and fills; free it either way. EXIT_OK, or EXIT_FAILED after a message.
int bench_net_bind(bench_net *n);
void bench_net_free(bench_net *n);
// One forward, or one step of training with its updates.
int bench_net_step(bench_net *n);

// An env with the pool's size that was asked for. Exits as tool_env() does.
tn_env *bench_env(const bench_options *o);

// ------------------------------------------------------------------ measuring (bench_measure.c)

// Seconds of CLOCK_MONOTONIC.
double bench_now(void);

typedef struct bench_times {
    double median, min, max; // seconds of one step
    double cpu;              // seconds of processors that a step used, all threads; the mean
    long samples, inner;     // inner: steps of a sample
    long allocations;        // of heap memory during all samples; -1: they cannot be counted
} bench_times;

// The median and extremes of n times, which are sorted.
void bench_summarise(double *seconds, long n, bench_times *out);

// Everything about one network as JSON (see docs/performance.md), with the key "trace": its events
// in Chrome's form, for pid. NULL after a message.
json_t *bench_measure(const bench_model *model, const bench_options *o, bool training,
                      int64_t batch, double peak, int pid);

// GFLOP/s that the dot of two large squares reaches; 0: these backends cannot, why is on stderr.
double bench_peak(const bench_options *o);

// Per row, implementation and device: keys "profile", "implementations", "devices" and so on into
// `result`. False: out of memory, or a run failed, after a message (bench_profile.c).
bool bench_profile(bench_net *n, json_t *result, int pid);

// Chains of scalar additions (bench_chain.c): the result, or NULL after a message.
json_t *bench_overhead(const bench_options *o);
json_t *bench_graph(const bench_options *o);

// ------------------------------------------------------------------ the heap (bench_heap.c)

// Counts allocations of this process, in all threads and libraries, until bench_heap_rest(), which
// returns their number; -1 where another allocator stands in the way (a sanitizer's).
void bench_heap_watch(void);
long bench_heap_rest(void);

// ------------------------------------------------------------------ text (bench_print.c)

void bench_print(const json_t *result);

#endif
