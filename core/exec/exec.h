// core/exec/exec.h: tensors, executors and their parts.
#ifndef TENON_CORE_EXEC_H
#define TENON_CORE_EXEC_H

#include <stdatomic.h>
#include <tenon/exec.h>

#include "core/passes/place.h"

// ------------------------------------------------------------------ tensors (tensor.c, storage.c)

// Memory that tensors share. A buffer of a device with memory of its own, or host memory.
typedef struct tni_storage {
    atomic_int refs;
    tni_device *device; // NULL: host memory
    tn_buffer *buffer;  // device memory
    void *host;         // host memory
    uint64_t bytes;
    bool borrowed;           // not ours to free: wrapped, or part of an executor's arena
    struct tni_use *uses;    // what executors use of it, if it is a device's (pending.c)
    atomic_uint changes;     // grows whenever something of it may have been written
    struct tni_ahead *ahead; // what was read last, of a device's; NULL: nothing
} tni_storage;

struct tn_tensor {
    atomic_int refs;
    tn_env *env;
    tni_storage *storage;
    uint64_t offset; // bytes into storage
    tn_dtype dtype;
    tn_shape shape;
};

// New storage of zeroed memory on a device (NULL: host). NULL, and an error in env.
tni_storage *tni_storage_new(tn_env *env, tni_device *device, uint64_t bytes);
// Storage over host memory or a buffer that somebody else owns and outlives it.
tni_storage *tni_storage_wrap(tn_env *env, tni_device *device, tn_buffer *buffer, void *host,
                              uint64_t bytes);
tni_storage *tni_storage_retain(tni_storage *s);
void tni_storage_release(tni_storage *s); // NULL is allowed
// Bytes out of and into storage, wherever it is. Errors are in env.
tn_status tni_storage_read(tn_env *env, const tni_storage *s, uint64_t offset, void *dst,
                           uint64_t bytes);
tn_status tni_storage_write(tn_env *env, tni_storage *s, uint64_t offset, const void *src,
                            uint64_t bytes);
// A range of storage.
typedef struct tni_range {
    uint64_t begin, end; // bytes
} tni_range;
// As tni_storage_read, for those who go on reading near by: devices are asked for a block of
// `within`, which is kept as long as nothing is written.
tn_status tni_storage_peek(tn_env *env, tni_storage *s, tni_range within, uint64_t offset,
                           void *dst, uint64_t bytes);

// Tensor over a part of storage (retains it). NULL, and an error in env.
tn_tensor *tni_tensor_over(tn_env *env, tni_storage *storage, uint64_t offset, tn_dtype dtype,
                           const tn_shape *shape);
// As an argument of a kernel.
tn_arg tni_tensor_arg(const tn_tensor *t);
// Do both lie in the very same bytes?
static inline bool tni_same_place(const tn_tensor *a, const tn_tensor *b)
{
    const tn_arg x = tni_tensor_arg(a), y = tni_tensor_arg(b);
    return x.buffer == y.buffer && x.bytes == y.bytes &&
           (x.buffer ? x.offset == y.offset : x.host == y.host);
}

// Conversion of n elements, for tn_tensor_copy and the file readers (convert.c): float to integer
// cuts towards zero and saturates, NaN is 0 there, to bool is != 0, to smaller floats rounds to
// nearest even.
void tni_convert(void *dst, tn_dtype dst_dtype, const void *src, tn_dtype src_dtype, int64_t n);

// ------------------------------------------------------------------ files (raw.c, stream.c)

// Elements as a file holds them.
typedef struct tni_raw {
    char kind;    // 'f' float, 'i' signed, 'u' unsigned, 'b' bool, 'w' bfloat16
    uint8_t size; // bytes of one
    bool swapped; // not in this machine's byte order
} tni_raw;
// The smallest dtype with all values of raw (for uint64: int64), or TN_DTYPE_NONE.
tn_dtype tni_raw_dtype(tni_raw raw);
// New tensor of that dtype from the elements at data, which need no alignment. `what` begins error
// messages. TN_E_FORMAT: a uint64 that int64 does not have.
tn_tensor *tni_raw_tensor(tn_env *env, const char *what, tni_raw raw, const tn_shape *shape,
                          const void *data);
// Bytes of a shape's elements; false if they are more than memory could hold.
bool tni_raw_bytes(const tn_shape *shape, size_t element, uint64_t *bytes);

// The bytes of a file, unpacked on the way if it is a gzip file.
typedef struct tni_stream {
    tn_env *env;
    const char *path;
    void *gz;    // of zlib
    uint64_t at; // bytes read so far, after unpacking
} tni_stream;
bool tni_stream_open(tni_stream *s, tn_env *env, const char *path); // false: error in env
// Reads n bytes, fewer only at the end of the file. -1: error in env.
int64_t tni_stream_read(tni_stream *s, void *bytes, size_t n);
void tni_stream_close(tni_stream *s);

// ------------------------------------------------------------------ plan (plan.c, fit.c)
//
// Times: forward node i has time i; then comes the end of forward, n_forward + 1, where outputs are
// copied out and head gradients in; backward node i has time i + 1; n_nodes + 2 ends backward.

// Memory of values that have it one after the other (in place), or together (identities).
typedef struct tni_block {
    uint64_t bytes;
    uint64_t offset;     // into the memory of its space; set by tni_fit
    uint32_t begin, end; // times, both inclusive
    uint32_t align;      // power of two
    uint32_t space;      // 0: host memory
    uint32_t tensor;     // number of the tensor that it lies in; 0: planned memory
    uint32_t taken;      // time at which an output took it over in place
} tni_block;

typedef struct tni_blocks {
    tni_block *v; // v[0] is unused
    size_t n, capacity;
} tni_blocks;

enum { TNI_ALIGN = 64 }; // of every value: a cache line, and the widest vector

// Gives every block of planned memory an offset such that blocks alive at the same time never
// overlap; totals[space] becomes the bytes needed. Linear in blocks and times. False: no memory, or
// more is needed than any memory has.
bool tni_fit(tni_blocks *b, uint32_t n_times, uint32_t n_spaces, uint64_t *totals);

// Largest sum of bytes of planned blocks alive at once, over all spaces. False: no memory.
bool tni_fit_bound(const tni_blocks *b, uint32_t n_times, uint64_t *bytes);

// A place outside planned memory that a value is written to: an output, or a gradient.
typedef struct tni_sink {
    tni_entry entry;  // in the placed graph; {0,0}: a gradient that is zero
    uint32_t tensor;  // number of the tensor
    bool gradient;    // written by backward
    bool direct;      // the value itself lies in the tensor: nothing is copied
    uint32_t overlap; // first of tni_plan.overlaps, + 1; 0: none
    uint32_t staged;  // block that it is copied through: the value is a variable that another
                      // sink overwrites; 0: none
} tni_sink;

// Variable `node` and a sink lie in overlapping memory.
typedef struct tni_overlap {
    uint32_t node;
    bool exact;    // same first byte, same length
    uint32_t next; // as tni_sink.overlap
} tni_overlap;

// A device whose memory the executor uses, or host memory (spaces[0]).
typedef struct tni_space {
    tni_device *device; // NULL: host memory
    tn_queue *queue;    // NULL: synchronous
    tni_storage *storage;
    uint64_t bytes;       // planned
    uint64_t shift;       // of planned memory in storage, for alignments beyond TNI_ALIGN
    atomic_bool pending;  // runs may have left work in the queue
    bool held;            // somebody calls functions of the queue: see pending.c
    uint64_t stamp, seen; // number of the last run that did; of those it has waited for
} tni_space;

// Memory of a device that an executor uses (pending.c).
typedef struct tni_use {
    struct tn_exec *exec;
    tni_space *space;
    tni_storage *storage; // retained
    tni_range range;
    bool writes;
    struct tni_use *next, **link; // in storage->uses
} tni_use;

typedef struct tni_plan {
    tni_blocks blocks;
    uint32_t *of_value; // by value of the placed graph: block
    uint32_t *last;     // by value: time of its last reader; while planning
    uint32_t *sink_of;  // by value: sink that may hold it, + 1; while planning
    uint32_t *scratch;  // by node: block, or 0
    uint32_t *stash;    // by node: block, or 0 (of the forward node)
    uint8_t *elided;    // by node: an identity that shares memory and does not run
    uint8_t *once;      // by node: runs when constants are new, not in each forward
    uint8_t *lasting;   // by value: made of constants, and read in each run
    uint8_t *written;   // by node: a variable whose memory something writes to; while planning
    tni_overlap *overlaps;
    size_t n_overlaps, overlaps_capacity;
    uint32_t n_times, n_forward;
    size_t n_inplace, n_elided;
    uint64_t lower_bound, naive, scratch_bytes, stash_bytes;
} tni_plan;

static inline uint32_t tni_time(const tni_plan *p, uint32_t node)
{
    return node <= p->n_forward ? node : node + 1;
}

// ------------------------------------------------------------------ executors

// One step of a run. The loop over rows is all that tn_forward does.
typedef struct tni_row {
    tn_status (*run)(tn_kernel *kernel, const tn_run_args *args);
    tn_kernel *kernel;
    tn_run_args args;
} tni_row;

// A prepared kernel, by node.
typedef struct tni_prepared {
    tn_kernel *kernel;
    const char *impl; // as the plugin named it; lives as long as the kernel
} tni_prepared;

// What copies between two spaces need; a row of a copy has it in place of a kernel.
typedef struct tni_transfer {
    const tni_space *from, *to;
} tni_transfer;

// Bytes on their way between a queue and host memory. Rows have it in place of a tni_transfer.
typedef struct tni_arrival {
    tni_transfer way;
    tn_event *event; // NULL: none are
} tni_arrival;

typedef struct tni_names {
    size_t n;
    const char **v;
    tni_map index; // name → index in v
} tni_names;

// A random row and its place in the stream.
typedef struct tni_random_row {
    uint32_t row, number;
} tni_random_row;

struct tn_exec {
    tn_env *env;
    tni_error error;
    tni_arena arena;   // names, lists, rows
    tn_graph *source;  // private copy of the symbol, then its gradients
    tni_folded folded; // what is placed in its stead, for inference
    uint32_t n_source; // nodes of the symbol itself
    tni_entry *heads;  // outputs, in source
    tni_entry *vars;   // arguments, then auxiliary states, in source
    tni_placed placed;
    bool is_placed;

    tni_names args, auxs, outs;
    tn_tensor **arg, **grad, **aux, **out; // by index; grad: NULL where none is asked for
    tn_tensor **head;                      // by output: its gradient; NULL: none
    bool *head_given;                      // by output: head is the caller's, nothing is copied
    uint8_t *req;                          // by argument: tn_grad_req
    tn_tensor **tensors;                   // [1 … n_tensors]: all that values lie in; borrowed
    size_t n_tensors;
    bool *is_loss;  // by output: no head gradient is needed
    uint32_t *twin; // by output: + 1, another value of the same name; on the first of the name
    size_t n_heads; // outputs that need one
    bool training;  // some gradient is computed

    tni_space *spaces; // [0]: host memory
    uint32_t n_spaces;
    tni_transfer *transfers; // from * n_spaces + to
    tni_arrival *arrivals;   // by space: of borders; then one for each copy to the host
    size_t n_arrivals;
    tni_use *uses; // of memory in spaces but the host's
    size_t n_uses;
    tni_prepared *kernels; // by node of the placed graph
    tni_plan plan;
    tni_sink *sinks;
    size_t n_sinks;

    tni_row *rows;      // forward, then backward
    uint32_t *row_node; // by row: node of the placed graph; 0: copies at the borders
    size_t n_rows, n_forward_rows;
    size_t n_constant_rows; // the first: they run when constants are new
    bool *constant;         // by argument, then state: it never changes
    bool inference;         // no gradients, and no mode but that
    bool is_fresh;          // what the constant rows computed is still right
    bool shares;            // another executor may have written over it since
    uint32_t *mode_rows;    // rows that are told TN_RUN_TRAIN
    size_t n_mode_rows;
    tni_random_row *random_rows;
    size_t n_random_rows;

    uint32_t workers;
    uint64_t seed, runs; // of random operators: key, forward runs since then
    bool trains;         // mode that mode_rows were told last
    bool can_backward;   // the values of the last forward are still there
    bool stop_at_nan;
    bool in_monitor; // it is being called: no run can begin
    tn_monitor_fn monitor;
    void *monitor_ctx;
    const char **value_names; // for the monitor, by value of the placed graph
    tn_profile_row *profile;  // by row; NULL: never measured
    bool is_profiled;         // runs are measured
    tn_memory_report memory;

    char *backends, *inputs; // options, for tn_exec_reshape
    tn_dtype compute;
    tn_attrs groups;
    uint32_t flags;
    tni_text report_text, report_json, plan_text;
};

// What a bind works with until it is done.
typedef struct tni_bind {
    tn_exec *e;
    tn_graph *g; // where errors go
    tn_bind_options o;
    bool strict;
    uint32_t *var_tensor;     // by node of the placed graph: tensor of a variable; 0: planned
    tni_types types;          // of e->source
    tn_tensor **given_grads;  // by argument; borrowed
    tn_tensor **given_outs;   // by output; borrowed
    tn_tensor **given_heads;  // by output; borrowed
    tni_entry *dx;            // by argument: its gradient in source; {0,0}: zero
    tni_entry *old;           // by argument: what TN_ADD adds to, a variable of source
    tni_entry *head_vars;     // by output
    tni_exclusions *excluded; // of earlier attempts, and of this one
} tni_bind;

// Binds heads of `from`; errors go to `from`. NULL on error.
tn_exec *tni_bind_symbol(tn_graph *from, tni_entries heads, const tn_bind_options *options,
                         bool strict);

// Takes over the error of another graph; returns its status.
tn_status tni_bind_take_error(tni_bind *b, tn_graph *from);

// Fails with "<where>: no <what> has the name …" and the nearest of one or two lists (b may be
// NULL).
tn_status tni_bind_unknown(tn_graph *g, const char *where, const char *what, const char *name,
                           const tni_names *a, const tni_names *b);

// True, and an error, if another value has the name of output i too (access.c).
bool tni_output_ambiguous(const tn_exec *e, tni_error *error, const char *where, uint32_t i);

// The same as tni_bind_unknown as an error of an executor (access.c).
tn_status tni_exec_unknown(tn_exec *e, const char *where, const char *what, const char *name,
                           const tni_names *a, const tni_names *b);

// Steps of a bind, in order. Each says what is wrong in b->g.
tn_status tni_bind_names(tni_bind *b);     // bind_names.c: arguments, states, outputs; their names
tn_status tni_bind_options(tni_bind *b);   // bind_names.c: checks and merges what was given
tn_status tni_bind_types(tni_bind *b);     // bind_types.c: inference; nothing stays unknown
tn_status tni_bind_gradients(tni_bind *b); // bind_gradients.c: appends the backward nodes
tn_status tni_bind_constants(tni_bind *b); // bind_constants.c: for inference: what never changes
tn_status tni_bind_place(tni_bind *b);     // bind_tensors.c: devices; spaces and their queues
tn_status tni_bind_tensors(tni_bind *b);   // bind_tensors.c: tensors of arguments, …; sinks
tn_status tni_bind_plan(tni_bind *b);      // plan.c: kernels are prepared, memory is planned
tn_status tni_bind_memory(tni_bind *b);    // memory.c: allocates
tn_status tni_bind_program(tni_bind *b);   // program.c: fills in the rows
tn_status tni_bind_uses(tni_bind *b);      // pending.c: enters it in the lists of its memory

// Prepares the kernel of a node (kernels.c). info is filled in.
tn_status tni_kernel_prepare(tni_bind *b, uint32_t node, tn_kernel_info *info);
void tni_kernel_destroy(tn_exec *e, uint32_t node);
// Plugin that brought the kernel of a node; NULL for copies.
const struct tni_plugin *tni_kernel_plugin(const tn_exec *e, uint32_t node);

// Does the node run only when constants are new?
static inline bool tni_is_constant(const tn_exec *e, uint32_t node)
{
    return e->plan.once[node];
}
// Marks those nodes (bind_constants.c).
void tni_find_once(tn_exec *e);

// Number of the space of a device's memory.
uint32_t tni_space_of(const tn_exec *e, const tni_device *memory);
// What copies between two of those memories.
tni_transfer *tni_transfer_between(const tn_exec *e, const tni_device *from, const tni_device *to);

// Bytes of a value of the placed graph in its layout.
uint64_t tni_bytes_of(const tn_exec *e, uint32_t value);
// Where a value, or a block, lies.
tn_arg tni_value_arg(const tn_exec *e, uint32_t value);
tn_arg tni_block_arg(const tn_exec *e, uint32_t block, uint64_t bytes);
// A new tensor with the elements of a value in row-major order: over its own memory, or, from
// another layout, a copy. NULL, and an error in the env (plain.c).
tn_tensor *tni_plain_value(tn_exec *e, uint32_t node, uint32_t out);
// A new tensor over a row-major value; NULL, and an error in the env, when out of memory.
tn_tensor *tni_value_tensor(tn_exec *e, uint32_t value);

// ------------------------------------------------------------------ running

// Row function of a copy by the memories of its two sides (transfer.c). NULL: from one device to
// another, which placement sends through host memory as two copies.
tn_status (*tni_transfer_run(const tni_transfer *t))(tn_kernel *, const tn_run_args *);
// Row function that waits for the queue of the transfer's source.
tn_status tni_transfer_wait(tn_kernel *k, const tn_run_args *a);
// Row functions of arrivals: begins a download; notes that all uploads so far are under way; waits.
// What began last in a queue arrives last, so an arrival may be begun again before it was waited
// for.
tn_status tni_arrival_begin(tn_kernel *k, const tn_run_args *a);
tn_status tni_arrival_mark(tn_kernel *k, const tn_run_args *a);
tn_status tni_arrival_wait(tn_kernel *k, const tn_run_args *a);
void tni_arrival_drop(tni_arrival *arrival); // forgets it

// The error of a row that failed; returns status (run.c).
tn_status tni_run_failed(tn_exec *e, size_t row, tn_status status);
// The device that runs a row; NULL: the host copies (run.c).
const tni_device *tni_row_device(const tn_exec *e, size_t row);
tn_status tni_run_finish(tn_exec *e); // waits for all queues
// Runs rows begin … end-1, looking at each result: monitor and TENON_NAN (watch.c).
tn_status tni_run_watched(tn_exec *e, size_t begin, size_t end);
// The same, measuring each row (profile.c).
tn_status tni_run_profiled(tn_exec *e, size_t begin, size_t end);

void tni_plan_free(tni_plan *p);

// ------------------------------------------------------------------ pending work (pending.c)

// Before and after the rows of a run: queues wait for those of others, and are held; then, unless
// the rows failed, they are left to themselves. The end follows each beginning that gave TN_OK.
tn_status tni_run_begin(tn_exec *e);
tn_status tni_run_end(tn_exec *e, tn_status status); // of the rows; returns the first failure
// Waits for what runs have left in queues and what meets an access to that memory: those that write
// it, or, for a write, all that use it. The first failure is an error in env, and of the executor.
tn_status tni_storage_settle(tn_env *env, const tni_storage *s, tni_range range, bool writes);
// Rows of e have written what it writes.
void tni_uses_changed(const tn_exec *e);
// Waits for a queue of e that the caller holds; and the error of e after one of its queues failed.
// Both return status.
tn_status tni_space_finish(tn_exec *e, tni_space *s);
tn_status tni_space_failed(tn_exec *e, const tni_space *s, tn_status status);
// Waits for everything and leaves the lists.
void tni_uses_end(tn_exec *e);

// ------------------------------------------------------------------ reports (report*.c)
//
// Rendered from what was placed and what these functions say. tn_exec_report_text, _json and
// tn_exec_plan_text (report_exec.c) give them the executor's plan.

typedef struct tni_report_row {
    const char *impl;        // NULL: no name
    uint64_t scratch, stash; // bytes
    bool inplace;            // an output lies over an input
    bool elided;             // an identity that shares memory and does not run
    bool once;               // runs when constants are new, not in each forward
} tni_report_row;

typedef struct tni_report_value {
    const char *space; // "host", or the device's; "tensor" for memory that is not planned
    uint64_t offset;   // UINT64_MAX: not planned
} tni_report_value;

typedef struct tni_report_info {
    const void *ctx;
    tni_report_row (*row)(const void *ctx, uint32_t node); // NULL: nothing is known
    tni_report_value (*value)(const void *ctx, uint32_t value);
    const tn_memory_report *memory; // NULL: not known
} tni_report_info;

// "52 nodes: blas 50, reference 2 (topk: no kernel); 3 copies 1.2 MB, 0 reorders"
void tni_report_summary(const tni_placed *p, tni_text *t);
void tni_report_text(const tni_placed *p, const tni_report_info *info, tni_text *t);
void tni_report_json(const tni_placed *p, const tni_report_info *info, tni_text *t);
void tni_report_plan(const tni_placed *p, const tni_report_info *info, tni_text *t);

// Parts that the renderings share (report.c).
typedef struct tni_report_totals {
    size_t nodes, copies, reorders;
    uint64_t copy_bytes, reorder_bytes;
} tni_report_totals;
tni_report_totals tni_report_count(const tni_placed *p);
const char *tni_report_reason(uint32_t reason);          // "no kernel", "dtype", …
const char *tni_report_memory(const tni_device *memory); // "host" or its uri
void tni_report_bytes(uint64_t bytes, tni_text *t);      // "1.2 MB"

#endif
