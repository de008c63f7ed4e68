// tenon/exec.h: bind a symbol to backends and memory, and run it.
//
// Binding infers shapes and dtypes, appends gradients, chooses a backend for each node, plans all
// memory and prepares all kernels. After that forward and backward allocate nothing. An executor
// is used by one thread at a time; different executors run concurrently.
#ifndef TENON_EXEC_H
#define TENON_EXEC_H

#include <tenon/graph.h>
#include <tenon/tensor.h>

TN_BEGIN_DECLS

typedef struct tn_exec tn_exec;

// What backward does with the gradient of an argument.
typedef enum tn_grad_req {
    TN_NULL = 0, // none is computed
    TN_WRITE,    // stored
    TN_ADD       // added to what is there
} tn_grad_req;

typedef struct tn_named_req {
    const char *name;
    tn_grad_req req;
} tn_named_req;
typedef struct tn_grad_reqs {
    size_t n;
    const tn_named_req *v;
} tn_grad_reqs;

typedef struct tn_bind_options {
    uint32_t size; // set by the macro
    // Ordered list of backends or devices, "blas,reference" or "opencl:0". A node goes to the first
    // that supports it; nothing else is ever used. NULL: TENON_BACKENDS, else all by rank.
    const char *backends;
    tn_shapes shapes;       // by argument or auxiliary name
    tn_dtypes dtypes;       // likewise; arguments without one anywhere are float32
    tn_grad_req grad_req;   // of every argument …
    tn_grad_reqs grad_reqs; // … but for these
    tn_tensors args;        // the caller's tensors, by name, used by reference: arguments, …
    tn_tensors grads; // … gradients (an argument with one here has TN_WRITE unless it says TN_ADD)
    tn_tensors auxs;  // … auxiliary states
    tn_tensors outs;  // … outputs; may be the tensor of an argument, for updates in place: it is
                      // written when nothing of this run reads the argument any more
    tn_attrs groups;  // __ctx_group__ → device: {"stage1", "blas"}
    const char *placement; // JSON of tn_exec_report(): bind fails if this one differs
    tn_exec *share;  // executor whose planned memory is used too; not to be run at the same time
    uint64_t seed;   // of random operators; 0: 1
    int32_t threads; // most threads a kernel may use; 0: the pool's size
    uint32_t flags;  // TN_BIND_*
    // For inference: the arguments that change from run to run, "data mask" or "data,mask"; "":
    // none. All other arguments and auxiliary states are constants then: what depends on them only,
    // such as weights in a backend's layout, is computed by the first forward after the bind, after
    // tn_exec_set() of a constant, and after tn_exec_refresh(). Batch norms become part of the
    // layers before them. Neither gradients nor forwards with is_train are possible. NULL: every
    // argument may change at any time.
    const char *inputs;
    tn_dtype compute; // TN_BF16: kernels may compute float32 in bfloat16; TN_DTYPE_NONE: they don't
    // The caller's head gradients, by output, used by reference: backward reads them where they
    // are, so nothing has to be given to tn_backward() for these outputs, and nothing is copied.
    // Whose gradient is the head gradient itself (both terms of a sum) may have the same tensor in
    // grads.
    tn_tensors heads;
} tn_bind_options;
enum {
    TN_BIND_NO_REUSE = 1, // every value keeps its memory: for looking at internals after a run
    TN_BIND_NO_FUSE = 2   // nodes run one by one: a monitor sees all values
};
#ifndef __cplusplus
#define TN_REQS(...) \
    ((tn_grad_reqs){TN_COUNT_(tn_named_req, __VA_ARGS__), (const tn_named_req[]){__VA_ARGS__}})
#endif

// Binds s: tensors that are not given are made, filled with zeros. Names that are no argument or
// auxiliary state are errors. tn_bind is the strict form: every argument and auxiliary state must
// be given (that is checked). NULL on error, and the error is in g.
TN_API tn_exec *tn_simple_bind_make(tn_graph *g, tn_symbol s, const tn_bind_options *options);
TN_API tn_exec *tn_bind_make(tn_graph *g, tn_symbol s, const tn_bind_options *options);
#ifndef __cplusplus
#define tn_simple_bind(g, s, ...)             \
    tn_simple_bind_make(TN_GRAPH_AT_(g), (s), \
                        &(tn_bind_options){.size = sizeof(tn_bind_options), __VA_ARGS__})
#define tn_bind(g, s, ...)             \
    tn_bind_make(TN_GRAPH_AT_(g), (s), \
                 &(tn_bind_options){.size = sizeof(tn_bind_options), __VA_ARGS__})
#endif

// Frees e and its memory; tensors that others hold stay. NULL is allowed. The graph it was bound
// from need not exist any more; the env must.
TN_API void tn_exec_free(tn_exec *e);

// The first error since bind or tn_exec_forgive(); "" if none. After one, runs return it at once.
TN_API tn_status tn_exec_status(const tn_exec *e);
TN_API const char *tn_exec_error(const tn_exec *e);
TN_API void tn_exec_forgive(tn_exec *e);

// Computes the outputs. With is_train, dropout drops and batch statistics are taken. If the
// environment had TENON_NAN=stop at bind, the first node whose result has a NaN or an infinity is
// an error that names it (slow).
TN_API tn_status tn_forward(tn_exec *e, bool is_train);

// Computes the gradients from the last forward, in its mode: after an inference forward dropout
// passes everything. Once for each forward, since its values are written over (TN_BIND_NO_REUSE
// keeps them).
// heads: gradient of each output that is no loss and had none in .heads, by output order; one for
// every output works too (those of losses are ignored); or by name. n 0: there are no such outputs.
// A missing one that is needed is an error that names the output; dtypes are converted, shapes must
// be equal. They are copied; .heads of the bind are not.
// Nothing to do, and TN_OK, if no gradient was asked for.
TN_API tn_status tn_backward(tn_exec *e, tn_tensors heads);
#ifndef __cplusplus
#define TN_NO_HEADS ((tn_tensors){0, NULL})
#endif

// Tensors of the executor, borrowed: they live as long as e, or longer with tn_tensor_retain().
// NULL and an error with the nearest names if there is none of that name; tn_exec_grad is NULL
// without error for an argument with TN_NULL.
TN_API tn_tensor *tn_exec_arg(tn_exec *e, const char *name);
TN_API tn_tensor *tn_exec_grad(tn_exec *e, const char *name);
TN_API tn_tensor *tn_exec_aux(tn_exec *e, const char *name);
TN_API tn_tensor *tn_exec_out(tn_exec *e, const char *name);

// Outputs by number; NULL past the end. Their contents change with the next forward.
TN_API size_t tn_exec_num_outputs(const tn_exec *e);
TN_API tn_tensor *tn_exec_output(tn_exec *e, size_t i);

// Names in the order of tn_arguments, tn_auxiliary_states, tn_outputs; owned by e.
TN_API tn_names tn_exec_arguments(const tn_exec *e);
TN_API tn_names tn_exec_auxiliary_states(const tn_exec *e);
TN_API tn_names tn_exec_outputs(const tn_exec *e);

// True if output i ends in a loss, so that backward needs no head gradient for it.
TN_API bool tn_exec_is_loss(const tn_exec *e, size_t i);

// Waits until a device has done all that runs of e left to it, and returns the first error since
// bind or tn_exec_forgive(). A run on a device with a queue may return before the device is done,
// but not before host memory is: the caller's tensors there may be read and written again. Nobody
// has to call this: whatever reads or writes memory of the device, such as tn_tensor_get(), waits
// by itself, and runs of other executors come after this one. It serves to measure time, and to see
// failures of the device, which are errors of the executor only when somebody has waited.
TN_API tn_status tn_exec_wait(tn_exec *e);

// Copies src into the argument or auxiliary state of that name; shapes must be equal, dtypes are
// converted. tn_exec_set_all takes a list such as a .params file (names may begin "arg:", "aux:");
// names that are neither are an error unless allow_extra; nothing is copied if one does not fit.
TN_API tn_status tn_exec_set(tn_exec *e, const char *name, tn_tensor *src);
TN_API tn_status tn_exec_set_all(tn_exec *e, tn_tensors values, bool allow_extra);

// A new executor of the same symbol for other shapes. It shares the tensors whose shape stays
// (parameters, gradients, auxiliary states, .heads) and uses the planned memory of e where it is
// large enough, so the two must not be run at the same time, and outputs of e are overwritten. e
// must outlive it. NULL on error, and the error is in e.
TN_API tn_exec *tn_exec_reshape(tn_exec *e, tn_shapes shapes);

// The next forward computes again what depends on constants (tn_bind_options.inputs) only: to be
// called after their memory was written by other means than tn_exec_set().
TN_API void tn_exec_refresh(tn_exec *e);

// Restarts the random stream: two runs from the same seed draw the same numbers.
TN_API void tn_exec_seed(tn_exec *e, uint64_t seed);

// Calls fn after each node, once per output, with <node>_<output> and the value (valid during the
// call). NULL removes it. fn may read tensors and run other executors; to run this one is an error,
// and fn must not free it. Runs are slower while one is set. Values inside of fused nodes are not
// seen: TN_BIND_NO_FUSE keeps nodes apart.
typedef void (*tn_monitor_fn)(void *ctx, const char *name, tn_tensor *value);
TN_API void tn_exec_monitor(tn_exec *e, tn_monitor_fn fn, void *ctx);

// Times of the rows that runs are made of: kernels, copies, reorders.
typedef struct tn_profile_row {
    const char *name;   // of the node; of a fused one, its last part
    const char *op;     // operator, "copy" or "reorder"
    const char *device; // that runs it: "blas:0"
    const char *impl;   // implementation, as the backend names it; ""
    // What runs as this one row: "FullyConnected + Activation", "6 x sgd_mom_update"; "": one node.
    const char *fused;
    bool backward;
    bool once;     // runs when constants are new only
    uint64_t runs; // since tn_exec_profile()
    double total;  // seconds of all runs, …
    double least;  // … of the fastest, …
    double last;   // … and of the last one, which …
    double began;  // … began at this time of CLOCK_MONOTONIC, in seconds
} tn_profile_row;

// Measures every row of the following runs, from zero; or, with false, no more (what was measured
// stays until the next tn_exec_profile() with true). Runs are slower meanwhile: the clock is read
// for each row, and devices with queues finish it before the next begins. Nothing is measured while
// a monitor is set. Errors: TN_E_NOMEM.
TN_API tn_status tn_exec_profile(tn_exec *e, bool on);

// Row i in the order of execution, or NULL past the end or if nothing was ever measured. Owned by
// e; later runs change it.
TN_API const tn_profile_row *tn_exec_profile_row(const tn_exec *e, size_t i);

// What ran where and why: for each node operator, device, implementation, and for each device
// earlier in the list why not; copies and reorders with bytes. Text, or JSON. Owned by e.
TN_API const char *tn_exec_report_text(tn_exec *e);
TN_API const char *tn_exec_report_json(tn_exec *e);

typedef struct tn_memory_report {
    uint64_t planned;        // bytes allocated for values, scratch and stash
    uint64_t lower_bound;    // largest set of values alive at once
    uint64_t naive;          // sum of all values
    uint64_t external;       // arguments, gradients, auxiliary states, outputs
    uint64_t scratch, stash; // part of planned
    size_t n_nodes, n_forward, n_copies, n_reorders, n_inplace;
} tn_memory_report;
TN_API tn_memory_report tn_exec_memory(const tn_exec *e);

// The plan as text: one line a node, with shapes, dtypes and offsets. Owned by e.
TN_API const char *tn_exec_plan_text(tn_exec *e);

TN_END_DECLS

#endif
