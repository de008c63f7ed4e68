// tenon/plugin.h: the plugin ABI, epoch 0: everything that crosses between core and plugin.
//
// A plugin is a shared object with one exported symbol, tn_plugin_query, and no import from
// libtenon. The query is asked once and answers with a const table of what the plugin brings:
// backends, operators, kernels. Services of the core come back in a host table. The macros of
// <tenon/sdk.h> fill all of this in; docs/abi.md explains it.
//
// Two kinds of struct. "value": frozen inside an epoch, may stand in arrays. "grow": begins with
// struct_size, is only passed by pointer, and grows at the tail; the reader copies what it knows
// and reads the rest as zero, and zero always means the old behaviour.
//
// Thread tags: [any] any thread, also at once; [main] one thread at a time; [run] the thread that
// runs the executor. No core lock is held while a plugin is called. A plugin never throws,
// longjmps, aborts, exits or writes to stdout and stderr.
#ifndef TENON_PLUGIN_H
#define TENON_PLUGIN_H

#include <tenon/base.h>

TN_BEGIN_DECLS

// ------------------------------------------------------------------ handshake: frozen for ever

#define TN_MAGIC 0x4C504E54u // "TNPL"
#define TN_EPOCH 0u          // 0: may still change, so both sides must have the same minor
#define TN_MINOR 5u

// Which sanitizer a binary was built with; a plugin must match the core.
#if defined(__SANITIZE_ADDRESS__)
#define TN_SANITIZER 1u
#elif defined(__SANITIZE_THREAD__)
#define TN_SANITIZER 3u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TN_SANITIZER 1u
#elif __has_feature(memory_sanitizer)
#define TN_SANITIZER 2u
#elif __has_feature(thread_sanitizer)
#define TN_SANITIZER 3u
#endif
#endif
#ifndef TN_SANITIZER
#define TN_SANITIZER 0u
#endif

// "I speak this epoch, up to this minor."
typedef struct tn_offer {
    uint32_t epoch, minor;
} tn_offer;

typedef struct tn_hello {
    uint32_t magic, size;  // TN_MAGIC, sizeof(tn_hello)
    uint32_t flags;        // 0
    uint32_t sanitizer;    // TN_SANITIZER of the core
    uint32_t core_version; // TN_VERSION of the core: for messages only
    uint32_t n_offers;
    tn_offer offers[4]; // newest first
    uint64_t reserved[5];
} tn_hello;

typedef struct tn_reply {
    uint32_t magic, size; // set by the core before the call; the rest is the plugin's
    tn_status status;
    uint32_t epoch;              // the epoch that was chosen
    uint32_t needs_minor;        // oldest minor of the core that this plugin works with
    uint32_t built_minor;        // minor of the header it was compiled with
    uint32_t epoch_lo, epoch_hi; // what it could speak: also filled in on refusal
    uint32_t sanitizer;          // TN_SANITIZER of the plugin
    uint32_t flags;
    union {
        const void *p; // const tn_plugin of that epoch
        uint64_t pad;
    } table;
    char reason[256]; // one sentence on refusal
    uint64_t reserved[2];
} tn_reply;

// The one exported symbol. Pure and cheap: no thread, device, file or lasting allocation. [main]
typedef tn_status (*tn_plugin_query_fn)(const tn_hello *host, tn_reply *out);
TN_API tn_status tn_plugin_query(const tn_hello *host, tn_reply *out);

// ------------------------------------------------------------------ objects seen from outside

typedef struct tn_host tn_host;     // the core's side of this plugin
typedef struct tn_device tn_device; // the plugin's: an opened device
typedef struct tn_buffer tn_buffer; // the plugin's: memory of a device
typedef struct tn_queue tn_queue;   // the plugin's: an in-order queue
typedef struct tn_event tn_event;   // the plugin's: a point in a queue
typedef struct tn_kernel tn_kernel; // the plugin's: a prepared kernel
typedef struct tn_op_decl tn_op_decl;

// ------------------------------------------------------------------ what an operator declares

enum {                      // flags of a port
    TN_PORT_VARIADIC = 1,   // last input; as many as the parameter op.count says, named arg0 …
    TN_PORT_AUX = 2,        // auxiliary state: an input that the kernel may write
    TN_PORT_SHAPE_ONLY = 4, // only its shape and dtype are used; a kernel gets no data
    TN_PORT_HIDDEN = 8,     // output that a user does not see
    TN_PORT_NO_GRAD = 16    // input that never gets a gradient (labels, indices)
};

// grow: an input or an output. Conditions name a parameter: "use_sequence_length" (true),
// "!no_bias" (false), "act_type=prelu", "ret_typ=value|both". NULL: always.
typedef struct tn_port_decl {
    uint32_t struct_size, flags;
    const char *name, *doc;
    const char *when;    // the port exists if …; such inputs stand last
    const char *visible; // a hidden output is seen if …; NULL: never
    const char *init;    // __init__ attribute of the variable made for it: "[\"zero\", {}]"
} tn_port_decl;

enum {             // type of a parameter, and what lies in the blob at its offset
    TN_P_BOOL = 1, // int32_t
    TN_P_I64 = 2,  // int64_t; None: TN_NONE_I64
    TN_P_F64 = 3,  // double; None: NaN
    TN_P_STR = 4,  // const char *; None: NULL
    TN_P_ENUM = 5, // int32_t, index into choices; None: -1
    TN_P_I64S = 6, // tn_ints; None in a list: TN_NONE_I64
    TN_P_F64S = 7, // tn_reals
    TN_P_DTYPE = 8 // tn_dtype; None: TN_DTYPE_NONE
};
enum {                 // flags of a parameter
    TN_PF_NONE = 1,    // None is a value of it (for lists: of its entries)
    TN_PF_GIVEN = 2,   // 0 is a value apart from the default: constructors take TN_SET(0)
    TN_PF_POSITIVE = 4 // every entry of the list must be at least 1
};

// grow. The core parses the text once into the typed blob, fills defaults and checks ranges.
typedef struct tn_param_decl {
    uint32_t struct_size, type, flags;
    uint32_t offset; // in the blob
    const char *name, *doc;
    const char *def;     // default as text; NULL: required
    const char *choices; // ENUM: "relu|sigmoid|tanh"
    const char *range;   // "[1,100000]", "(0,1]", "[0,)"; NULL: open. For lists: of each entry
    uint32_t min_len, max_len; // of a list; 0, 0: any
} tn_param_decl;

// grow: what is known of one call of an operator, for its shape and dtype rules. Inputs are
// counted with auxiliary states last. A merge adds knowledge and finds contradictions; the core
// writes the message, so a rule just returns what merge returned. Rules must be monotone and may
// be called any number of times.
typedef struct tn_infer {
    uint32_t struct_size, n_in, n_out, reserved;
    const tn_op_decl *op;
    const void *params;
    void *ctx;                                          // first argument of the functions below
    const tn_shape *(*in_shape)(void *ctx, uint32_t i); // valid until the next merge; not NULL
    const tn_shape *(*out_shape)(void *ctx, uint32_t i);
    tn_status (*merge_in_shape)(void *ctx, uint32_t i, const tn_shape *shape);
    tn_status (*merge_out_shape)(void *ctx, uint32_t i, const tn_shape *shape);
    tn_dtype (*in_dtype)(void *ctx, uint32_t i);
    tn_dtype (*out_dtype)(void *ctx, uint32_t i);
    tn_status (*merge_in_dtype)(void *ctx, uint32_t i, tn_dtype dtype);
    tn_status (*merge_out_dtype)(void *ctx, uint32_t i, tn_dtype dtype);
    tn_status (*fail)(void *ctx, tn_status status, const char *text); // returns status
} tn_infer;

// A value inside a builder. 0: none, or a gradient that is known to be zero.
typedef uint32_t tn_sym;

// grow: emits nodes, for `gradient` and `expand`. The first error sticks, later calls return 0
// and the core reports it, so nothing needs to be checked in between.
typedef struct tn_builder {
    uint32_t struct_size, n_in, n_out, reserved;
    const tn_op_decl *op; // the node that is being differentiated or expanded
    const void *params;
    const char *name; // its name
    void *ctx;
    tn_sym (*input)(void *ctx, uint32_t i);
    tn_sym (*output)(void *ctx, uint32_t i);   // in gradient: the node's own results
    tn_sym (*out_grad)(void *ctx, uint32_t i); // in gradient: 0 if known to be zero
    // A call of an operator: params is "key=value; key=value" or NULL. Returns its first output.
    tn_sym (*apply)(void *ctx, const char *op, const char *params, const tn_sym *in, uint32_t n_in);
    tn_sym (*result)(void *ctx, tn_sym first, uint32_t i); // output i of the node that made first
    void (*set_in_grad)(void *ctx, uint32_t i, tn_sym value); // in gradient; not set: zero
    void (*set_output)(void *ctx, uint32_t i, tn_sym value);  // in expand
    // Known shape and dtype of a value; ndim -1 and TN_DTYPE_NONE before a bind. Not NULL.
    const tn_shape *(*shape)(void *ctx, tn_sym value);
    tn_dtype (*dtype)(void *ctx, tn_sym value);
    tn_status (*fail)(void *ctx, tn_status status, const char *text);
} tn_builder;

enum {                   // flags of an operator
    TN_OP_NO_GRAD = 1,   // asking for a gradient through it is an error
    TN_OP_ZERO_GRAD = 2, // gradients of all inputs are zero
    TN_OP_RANDOM = 4,    // kernels get a Philox key and counter
    TN_OP_MODE = 8,      // result depends on TN_RUN_TRAIN; states are written only with it
    TN_OP_LOSS = 16,     // gradient does not use the head gradient
    TN_OP_IDENTITY = 32, // output 0 has the bytes of input 0: the planner may drop the copy
    TN_OP_INTERNAL = 64, // not listed to users: backward operators and machinery
    // Element i of the one output depends on elements i of the inputs only, once those of other
    // shapes are broadcast to its own. Kernels of it leave no stash, so the core may fuse it with
    // its neighbours; a backend whose loops want one shape refuses a fused call with others.
    TN_OP_ELEMENTWISE = 128,
    // Kernels of it leave no stash, and none of its gradient's looks at `forward`, so the core may
    // fuse it with what follows even if it has a gradient.
    TN_OP_KEEPS_NOTHING = 256
};

// grow: one operator: everything the core knows of it stands here.
struct tn_op_decl {
    uint32_t struct_size, flags;
    const char *name;                   // "FullyConnected"
    const char *aliases;                // "uniform|_sample_uniform", or NULL
    const char *c_name;                 // C constructor without tn_; NULL: name in snake_case
    const char *doc;                    // first sentence is the summary; the formula follows
    const char *source;                 // where the meaning comes from
    const tn_port_decl *const *inputs;  // NULL-terminated; auxiliary states last
    const tn_port_decl *const *outputs; // NULL-terminated; visible ones first
    const tn_param_decl *const *params; // NULL-terminated, or NULL
    uint32_t params_size;               // bytes of the blob
    uint32_t version;                   // of this declaration, from 1
    const char *count;         // parameter that counts variadic inputs ("num_args"), or NULL
    const char *count_outputs; // parameter that counts outputs named output0 …, or NULL
    tn_status (*check)(const void *params, char *reason, size_t size); // beyond ranges; or NULL
    tn_status (*infer_shape)(const tn_infer *io);                      // NULL: all shapes are equal
    tn_status (*infer_dtype)(const tn_infer *io);                      // NULL: all dtypes are equal
    tn_status (*gradient)(const tn_builder *b); // NULL: by flags, or through expand
    tn_status (*expand)(const tn_builder *b);   // the operator in terms of simpler ones; or NULL
    // Documentation for `tenon ops` and the reference; each may be NULL (minor 2).
    const char *family;     // what lists put together: "layer", "reduction"; NULL: the plugin
    const char *formula;    // result and derivative: "y = 1 / x,  dx = -dy * y * y"
    const char *shape_rule; // "(n, k) -> (n,)"; NULL without infer_shape: all shapes are equal
};

// ------------------------------------------------------------------ what a kernel is asked

// value: how a value lies in memory. domain NULL: row-major and contiguous. Otherwise the layout
// belongs to that domain (a string the backend owns); equal pairs are interchangeable.
typedef struct tn_layout {
    const char *domain;
    uint64_t id, bytes;
} tn_layout;

enum {                       // flags of a value
    TN_VALUE_CONST = 1,      // fixed for the life of the executor: may be packed once
    TN_VALUE_SHAPE_ONLY = 2, // no data behind it
    TN_VALUE_STAYS = 4       // of outputs, if tn_call.compute is set, from layouts() on: all who
                             // read it take it in a layout of this backend, and it does not leave
};

// grow: one value of a call; no data.
typedef struct tn_value_info {
    uint32_t struct_size, flags;
    tn_dtype dtype;
    int32_t ndim;
    const int64_t *dims;
    int64_t size;   // elements
    uint64_t bytes; // in this layout
    tn_layout layout;
} tn_value_info;

enum {
    TN_CALL_TRAINING = 1, // the executor can run backward
    TN_CALL_INFERENCE = 2 // it is never run with TN_RUN_TRAIN
};

// value: one operator of a fused call: see tn_call.parts.
typedef struct tn_part {
    const struct tn_call *call; // operator, parameters and types
    const int32_t *from; // by input: i >= 0: input i of the fused call; -1 - p: output 0 of part p
} tn_part;

// grow: one call of an operator with everything known. It and all it points to stay valid and
// unchanged until the kernel prepared from it is destroyed.
typedef struct tn_call {
    uint32_t struct_size, flags;
    const tn_op_decl *op;
    const void *params;   // the typed blob of op
    const char *name;     // of the node, for messages
    uint32_t n_in, n_out; // auxiliary states are counted as inputs
    const tn_value_info *const *in;
    const tn_value_info *const *out;
    const struct tn_call *forward; // in a backward node: its forward call, if on this device
    // A fused call (operator "_fused"): operators that run as one kernel, in order. Part 0 may be
    // of any kind, all others have TN_OP_ELEMENTWISE; values between parts are read by parts only.
    // If `forward` is set, it is the gradient of that fused call, and the last part is of any kind.
    // Or (operator "_multi") calls of one operator, none of which reads another's results.
    uint32_t n_parts; // 0: a plain call
    tn_dtype compute; // TN_BF16: values may be rounded to it inside kernels; TN_DTYPE_NONE: not
    const tn_part *parts;
    const uint32_t *out_parts; // by output of the fused call: the part whose output it is …
    uint32_t max_workers;      // threads that its runs may use; 0: all of the pool
    uint32_t reserved;
    const uint32_t *out_numbers; // … and which of that part's; since minor 4
} tn_call;

enum { // why supports() said no: an open set
    TN_NO_OP = 1,
    TN_NO_DTYPE = 2,
    TN_NO_SHAPE = 3,
    TN_NO_PARAM = 4,
    TN_NO_LAYOUT = 5,
    TN_NO_DEVICE = 6,
    TN_NO_TRAINING = 7
};

// grow: written by the plugin into memory of the core.
typedef struct tn_verdict {
    uint32_t struct_size, ok;
    uint32_t reason;  // TN_NO_*
    uint32_t culprit; // index of the input or parameter that is to blame
    char text[160];   // for a person: "dilate (2,2) on 5-D input"
} tn_verdict;

enum {                      // flags of a kernel
    TN_K_REENTRANT = 1,     // run may be called by several threads at once
    TN_K_DETERMINISTIC = 2, // same bits for any number of threads
    TN_K_OWN_THREADS = 4    // does not use the pool
};

// value: permission to write output `out` over input `in`; the core decides.
typedef struct tn_inplace {
    uint32_t in, out;
} tn_inplace;
#define TN_MAX_INPLACE 32 // 8 before minor 5

// grow: written by prepare() into memory of the core.
typedef struct tn_kernel_info {
    uint32_t struct_size, flags;
    uint64_t scratch_bytes;              // dead after run
    uint64_t stash_bytes;                // kept from a forward node to the backward nodes it led to
    uint64_t persistent_bytes;           // kept by the kernel itself: for the report only
    uint32_t scratch_align, stash_align; // 0: 64
    const char *impl; // implementation, "sgemm SkylakeX"; lives as long as the kernel
    uint32_t n_inplace;
    // Written by the core: threads that runs of the kernel may use; 0: all of the pool. The same as
    // tn_call.max_workers; for prepare_reorder(), which has no call.
    uint32_t max_workers;
    tn_inplace inplace[TN_MAX_INPLACE];
} tn_kernel_info;

// value: where the bytes of one argument are.
typedef struct tn_arg {
    tn_buffer *buffer; // NULL on devices that share host memory
    uint64_t offset;   // in buffer, bytes
    uint64_t bytes;
    void *host; // NULL on devices with memory of their own
} tn_arg;

enum { TN_RUN_TRAIN = 1 };

// value: hot path, no size checks. It and the lists are the core's again when run() returns: a run
// that is put into a queue takes copies along.
typedef struct tn_run_args {
    const tn_arg *in, *out; // auxiliary states are inputs that may be written
    uint32_t n_in, n_out;
    uint32_t flags;       // TN_RUN_*
    uint32_t max_workers; // threads this run may use
    tn_arg scratch, stash;
    tn_queue *queue;               // NULL: run synchronously
    uint64_t rng_key, rng_counter; // Philox4x32-10; 2^32 counter values belong to this run
    uint64_t reserved;
} tn_run_args;

// ------------------------------------------------------------------ services of the core

enum {
    TN_LOG_DEBUG = 0,
    TN_LOG_INFO = 1,
    TN_LOG_WARN = 2,
    TN_LOG_ERROR = 3,
    TN_LOG_HOST_MISBEHAVING = 4 // the core broke the contract
};

// Works on items begin … end-1 as worker number `worker`, which is below max_workers.
typedef void (*tn_range_fn)(void *ctx, int64_t begin, int64_t end, uint32_t worker);

// grow: given to init().
typedef struct tn_host_api {
    uint32_t struct_size, minor;
    tn_host *host;
    void (*log)(tn_host *host, uint32_t severity, const char *text); // [any]
    // Keeps status and text for the callback that is about to fail, and returns status. [any]
    tn_status (*fail)(tn_host *host, tn_status status, const char *text);
    void *(*alloc)(tn_host *host, uint64_t bytes, uint64_t align); // NULL: out of memory [any]
    void (*free)(tn_host *host, void *p, uint64_t bytes, uint64_t align); // [any]
    // Runs fn over 0 … n-1 in pieces of at least grain items, with at most max_workers threads of
    // the process's one pool (0: all), and returns when all is done. Nested calls run inline.
    // Which piece goes to which thread depends on n, grain and the number of workers only. [run]
    void (*parallel_for)(tn_host *host, int64_t n, int64_t grain, uint32_t max_workers,
                         tn_range_fn fn, void *ctx);
    uint32_t (*threads)(tn_host *host); // size of the pool [any]
    // Text of an option the plugin declared: TENON_OPT_<PLUGIN>_<KEY>, or its default. Checked
    // before init: a plugin whose variable does not fit its declaration is not loaded. [main]
    const char *(*option)(tn_host *host, const char *key);
    const void *(*get_extension)(tn_host *host, const char *id); // NULL: unknown [any]
} tn_host_api;

// ------------------------------------------------------------------ backends

enum {                        // flags of a device; and of a backend:
    TN_BACKEND_PERMUTES = 1,  // a layout of as many bytes as row-major only orders elements anew
    TN_DEV_HOST_MEMORY = 1,   // reads and writes host memory: no copies to other such devices
    TN_DEV_OWN_THREADS = 2,   // its kernels do not use the pool
    TN_DEV_SERIAL_PREPARE = 4 // prepare one kernel at a time
};

// grow
typedef struct tn_device_info {
    uint32_t struct_size, flags;
    const char *id;   // without the backend's name: "0", "GPU-9f3a"; stable
    const char *kind; // "cpu", "gpu", "accelerator"
    const char *name, *driver;
    uint64_t mem_total, mem_free; // bytes; 0: unknown
    const char *unusable;         // why it cannot be opened; NULL: it can
} tn_device_info;

// Called by enumerate for each device; the core copies. Stop when it returns non-zero.
typedef tn_status (*tn_device_sink)(void *sink, const tn_device_info *info);

// Lowest rank of the default order, that of reference; ranked below: used only if it is named.
#define TN_RANK_LAST (-100)

// grow: a backend. Members marked (optional) may be NULL.
typedef struct tn_backend_api {
    uint32_t struct_size, flags; // TN_BACKEND_*
    const char *name;            // "blas"
    int32_t rank;                // place in the default order: larger first; TN_RANK_LAST
    int32_t reserved;
    // devices [main]
    tn_status (*enumerate)(void *plugin, tn_device_sink sink, void *sink_ctx);
    tn_status (*open)(void *plugin, const char *device_id, tn_device **out);
    void (*close)(tn_device *device);
    // memory; all NULL where every device has TN_DEV_HOST_MEMORY [any]
    tn_status (*buf_alloc)(tn_device *device, uint64_t bytes, uint64_t align, tn_buffer **out);
    void (*buf_free)(tn_device *device, tn_buffer *buffer);
    // Through a queue src may be read later: it stays as it is until the queue, or an event behind
    // the upload, is waited for.
    tn_status (*upload)(tn_device *device, tn_queue *queue, tn_buffer *dst, uint64_t offset,
                        const void *src, uint64_t bytes);
    tn_status (*download)(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                          void *dst, uint64_t bytes); // has arrived when it returns
    tn_status (*copy)(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t src_offset,
                      tn_buffer *dst, uint64_t dst_offset, uint64_t bytes);
    // queues and events (optional, all or none) [run]
    tn_status (*queue_create)(tn_device *device, tn_queue **out);
    void (*queue_destroy)(tn_device *device, tn_queue *queue);
    tn_status (*queue_finish)(tn_device *device, tn_queue *queue); // returns deferred errors
    tn_status (*event_record)(tn_device *device, tn_queue *queue, tn_event **out);
    tn_status (*event_wait_queue)(tn_device *device, tn_queue *queue, tn_event *event);
    tn_status (*event_wait_host)(tn_device *device, tn_event *event);
    void (*event_destroy)(tn_device *device, tn_event *event);
    // capability: pure, needs no memory [any]
    tn_status (*supports)(tn_device *device, const tn_call *call, tn_verdict *out);
    // Wished layouts (optional): in[i] holds how input i would arrive; overwrite it to ask for
    // another; out[i] is row-major on entry. Row-major must be accepted everywhere. [any]
    tn_status (*layouts)(tn_device *device, const tn_call *call, tn_layout *in, tn_layout *out);
    tn_status (*prepare)(tn_device *device, const tn_call *call, tn_kernel **out,
                         tn_kernel_info *info); // [any]
    // A kernel that brings src into the layout of dst (needed with layouts). Both stay valid until
    // it is destroyed. [any]
    tn_status (*prepare_reorder)(tn_device *device, const tn_value_info *src,
                                 const tn_value_info *dst, tn_kernel **out, tn_kernel_info *info);
    tn_status (*run)(tn_kernel *kernel, const tn_run_args *args); // allocates nothing [run]
    void (*kernel_destroy)(tn_kernel *kernel);
    // True if some call of op on that dtype may be supported: for lists. (optional) [any]
    uint32_t (*may_support)(tn_device *device, const char *op, tn_dtype dtype);
    const void *(*get_extension)(void *plugin, const char *id); // (optional) [any]
    // Minor 4, both optional. End of a run: what is in the queue gets done though nobody waits. May
    // wait, as it should where data can turn out to be an error; then as queue_finish. [run]
    tn_status (*queue_flush)(tn_device *device, tn_queue *queue);
    // download that only enqueues; the bytes are there when the event has happened. [run]
    tn_status (*download_begin)(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                                void *dst, uint64_t bytes, tn_event **arrived);
} tn_backend_api;

// grow: a kernel for an operator on a backend that another plugin brings. backend "host": it runs
// on every device with TN_DEV_HOST_MEMORY, after that device's own kernels.
typedef struct tn_kernel_decl {
    uint32_t struct_size, flags;
    const char *op, *backend;
    const char *interface_id; // extension of the backend handed to prepare; NULL: none
    tn_status (*supports)(void *plugin, const tn_call *call, tn_verdict *out);
    tn_status (*prepare)(void *plugin, const void *interface, const tn_call *call, tn_kernel **out,
                         tn_kernel_info *info);
    tn_status (*run)(tn_kernel *kernel, const tn_run_args *args);
    void (*kernel_destroy)(tn_kernel *kernel);
} tn_kernel_decl;

// grow: what a plugin is. Const; lists are NULL-terminated, or NULL.
typedef struct tn_plugin {
    uint32_t struct_size, flags;
    const char *name, *version, *vendor, *license, *url;
    tn_status (*init)(const tn_host_api *host, void **plugin); // [main]; NULL: nothing to do
    void (*shutdown)(void *plugin);                            // [main]; joins all threads
    const tn_op_decl *const *ops;
    const tn_backend_api *const *backends;
    const tn_kernel_decl *const *kernels;
    const tn_param_decl *const *options; // read with host->option
} tn_plugin;

#define TN_END_OF(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))
// May member m of *p be read? Only for structs that the other side sized.
#define TN_HAS(type, p, m) ((p)->struct_size >= TN_END_OF(type, m))

TN_END_DECLS

#endif
