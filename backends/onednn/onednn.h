// backends/onednn/onednn.h: what the files of the onednn backend share.
//
// A kernel is one or more primitives of oneDNN, made at setup with memory objects for all their
// arguments. A run gives the memory objects their addresses and executes. Which memory layout a
// primitive wants is asked of oneDNN by making its descriptor; see onednn_choose.c.
#ifndef TENON_ONEDNN_H
#define TENON_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>
#include <tenon/layers.h>

// ------------------------------------------------------------------ tables

extern const tn_kernel_row onednn_columns[];    // onednn_columns.c
extern const tn_kernel_row onednn_conv[];       // onednn_conv.c
extern const tn_kernel_row onednn_dense[];      // onednn_dense.c
extern const tn_kernel_row onednn_pool[];       // onednn_pool.c
extern const tn_kernel_row onednn_norm[];       // onednn_norm.c
extern const tn_kernel_row onednn_lrn[];        // onednn_lrn.c
extern const tn_kernel_row onednn_softmax[];    // onednn_softmax.c
extern const tn_kernel_row onednn_eltwise[];    // onednn_eltwise.c
extern const tn_kernel_row onednn_binary[];     // onednn_binary.c
extern const tn_kernel_row onednn_sum[];        // onednn_sum.c
extern const tn_kernel_row onednn_reduce[];     // onednn_reduce.c
extern const tn_kernel_row onednn_concat[];     // onednn_concat.c
extern const tn_kernel_row onednn_moves[];      // onednn_moves.c
extern const tn_kernel_row onednn_loss[];       // onednn_loss.c
extern const tn_kernel_row onednn_loops[];      // onednn_loops.c
extern const tn_kernel_row onednn_dropout[];    // onednn_dropout.c
extern const tn_kernel_row onednn_rnn[];        // onednn_rnn.c
extern const tn_kernel_row onednn_index[];      // onednn_index.c
extern const tn_kernel_row onednn_resample[];   // onednn_resample.c
extern const tn_kernel_row onednn_layer_norm[]; // onednn_layer_norm.c
extern const tn_kernel_row onednn_rnn_back[];   // onednn_rnn_back.c
extern const tn_kernel_row onednn_fused[];      // onednn_fused.c
extern const tn_kernel_row onednn_groups[];     // onednn_groups.c
extern const tn_kernel_row onednn_taps[];       // onednn_taps.c
extern const tn_kernel_row onednn_squares[];    // onednn_squares.c
extern const tn_kernel_row onednn_reorder[];    // onednn_reorder.c: one row

#define OD_FLAGS TN_K_REENTRANT
#define OD_FLOATS (TN_BIT(TN_F32) | TN_BIT(TN_BF16))
#define OD_WHOLE (TN_BIT(TN_I8) | TN_BIT(TN_U8) | TN_BIT(TN_I32))

// ------------------------------------------------------------------ the library (onednn_base.c)

dnnl_engine_t od_engine(void); // the CPU; NULL: it could not be made
const char *od_driver(const tn_host_api *host);
const char *od_unusable(const tn_host_api *host);
dnnl_data_type_t od_type(tn_dtype dtype);
tn_status od_fail(const tn_sdk_kernel *k, dnnl_status_t status, const char *what);

// While primitives are made and run, OpenMP gives this thread so many threads: od_enter returns
// what it gave before, for od_leave. 0: leave it as it is.
int od_enter(uint32_t workers);
void od_leave(int before);
// Threads that pay for a call: one if it has few elements, else what its bind allows (0: all).
uint32_t od_threads(const tn_call *call);
uint32_t od_workers(const tn_sdk_kernel *k);                         // that its runs use
uint32_t od_workers_of(const tn_sdk_kernel *k, const tn_call *call); // that runs of it may use
// May and can this call of float32 values be computed in bfloat16?
bool od_may_narrow(const tn_call *call);

// What a primitive does with its result before it writes it: the parts of a fused call behind the
// first, as post-ops.
typedef struct od_tail {
    dnnl_primitive_attr_t attributes;
    uint32_t sum; // input of the fused call that is added; 0: none
} od_tail;

// A primitive descriptor with scratch memory of ours; NULL: oneDNN has none for this. tail may be
// NULL.
dnnl_primitive_desc_t od_descriptor(const_dnnl_op_desc_t op, dnnl_primitive_desc_t hint);
dnnl_primitive_desc_t od_descriptor_with(const_dnnl_op_desc_t op, const od_tail *tail,
                                         dnnl_primitive_desc_t hint);
const_dnnl_primitive_attr_t od_attributes(void);
dnnl_memory_desc_t od_query(const_dnnl_primitive_desc_t pd, dnnl_query_t what, int index);
const char *od_name(const_dnnl_primitive_desc_t pd);
// How good an implementation is: 2 made for the CPU, 1 by way of a matrix product, or loops that
// are better than nothing, 0 plain loops.
int od_score(const_dnnl_primitive_desc_t pd);

// ------------------------------------------------------------------ kernels (onednn_kernel.c)

typedef enum od_from { OD_IN, OD_OUT, OD_SCRATCH, OD_STASH, OD_KEPT } od_from;

// Where an argument of a primitive is: input or output `index` from byte `offset` on, or `index`
// bytes into scratch or stash; OD_KEPT: at a place that does not change.
typedef struct od_place {
    od_from from;
    uint64_t index, offset;
    void *at; // the address that the memory object has
} od_place;

typedef struct od_step {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t *args;
    od_place *places;
    int32_t n, room;
} od_step;

// What the state of every kernel begins with.
// What a loop adds to output 0 when all steps are done: input 2, to each row. rows 0: nothing.
typedef struct od_bias {
    int64_t rows, channels;
} od_bias;

typedef struct od_state {
    dnnl_stream_t stream;
    od_step *steps;
    uint32_t n_steps, room;
    uint32_t workers;                   // od_threads() of the call
    struct od_winograd_state *winograd; // in place of steps; NULL: it has steps
    od_bias bias;
    char impl[64];
} od_state;

// Adds a primitive with room for n arguments, and its scratch memory to info.
tn_status od_add(tn_sdk_kernel *k, tn_kernel_info *info, const_dnnl_primitive_desc_t pd, int32_t n);
// The same, where the primitive was described for so many threads.
tn_status od_add_for(tn_sdk_kernel *k, tn_kernel_info *info, const_dnnl_primitive_desc_t pd,
                     int32_t n, uint32_t workers);
// Gives the last step an argument.
tn_status od_bind(tn_sdk_kernel *k, int arg, const dnnl_memory_desc_t *md, od_from from,
                  uint64_t index);
tn_status od_bind_at(tn_sdk_kernel *k, int arg, const dnnl_memory_desc_t *md, od_from from,
                     uint64_t index, uint64_t offset);
// Room in the scratch memory; its offset.
uint64_t od_scratch(tn_kernel_info *info, const dnnl_memory_desc_t *md);
dnnl_status_t od_execute(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t step);
tn_status od_run(const tn_sdk_kernel *k, const tn_run_args *a); // all steps, in order
void od_stop(tn_sdk_kernel *k);
// What a setup ends with: after a failure, frees what was made.
tn_status od_end(tn_sdk_kernel *k, tn_status status);

// ------------------------------------------------------------------ layouts (onednn_layout.c)

// A value as oneDNN sees it. groups > 1: weights of that many groups, whose first axis is cut.
dnnl_memory_desc_t od_plain(const tn_value_info *v, int64_t groups); // row-major
dnnl_memory_desc_t od_any(const tn_value_info *v, int64_t groups);   // oneDNN chooses
dnnl_memory_desc_t od_last(const tn_value_info *v);                  // channels last
dnnl_memory_desc_t od_md(const tn_value_info *v, int64_t groups);    // as it lies
// Row-major with axes of our own choice.
dnnl_memory_desc_t od_dense(int ndims, const int64_t *dims, tn_dtype dtype);
dnnl_memory_desc_t od_dense_last(const int64_t dims[4], tn_dtype dtype); // channels last
// That layout as the core sees it: domain NULL if it is row-major. false: it has no number.
bool od_layout(const dnnl_memory_desc_t *md, const tn_value_info *v, tn_layout *out);
bool od_fits(const dnnl_memory_desc_t *md, const tn_value_info *v); // is it how v lies?
bool od_is_ours(const tn_layout *layout);
int64_t od_groups(const tn_layout *layout); // that the first axis was cut into; 0: it was not
// All values that lie over the same shape as the first output get one layout: that of the first of
// these inputs that has one of ours, else row-major. For rows' layouts(); n inputs are asked.
void od_follow(const tn_call *call, const uint32_t *inputs, uint32_t n, tn_layout *in,
               tn_layout *out);
// Values of float32 that are stored as bfloat16, in layouts of ours only.
bool od_is_narrow(const tn_layout *layout);
dnnl_memory_desc_t od_narrow(const dnnl_memory_desc_t *md);

// ------------------------------------------------------------------ choosing (onednn_choose.c)

enum { OD_VALUES = 4 };
typedef enum od_role { OD_ACT, OD_WEIGHT, OD_VECTOR } od_role;

typedef struct od_value {
    const tn_value_info *info;
    od_role role;
    bool swapped; // oneDNN has the first two axes (of a group) the other way round
    bool out;
    uint32_t index;     // of the input or output
    dnnl_query_t query; // what of the descriptor tells its layout
    int query_index;
} od_value;

// A primitive whose layouts are to be chosen.
typedef struct od_problem {
    const tn_call *call;
    int64_t groups;
    int n;
    od_value v[OD_VALUES];
    bool narrow;         // float32 is to be stored as bfloat16
    bool last_first;     // channels last is better than row-major
    bool any_first;      // what oneDNN likes is worth reorders of the data
    const od_tail *tail; // NULL: none
    // A descriptor for these layouts, or NULL. A backward one may need a forward one as its hint,
    // which then stays alive as long.
    dnnl_primitive_desc_t (*make)(const struct od_problem *p, const dnnl_memory_desc_t *md,
                                  dnnl_primitive_desc_t *hint);
} od_problem;

typedef struct od_choice {
    dnnl_primitive_desc_t pd; // NULL: oneDNN has none
    dnnl_primitive_desc_t hint;
    dnnl_memory_desc_t md[OD_VALUES]; // as oneDNN sees them
    int score;
} od_choice;

// The best descriptor. fit: its layouts are those that the values of the call have.
void od_choose(const od_problem *p, bool fit, od_choice *c);
void od_choice_free(od_choice *c);
void od_wish(const od_problem *p, tn_layout *in, tn_layout *out); // for rows' layouts()

// ------------------------------------------------------------------ what a fused call begins with

// One operator, with what follows as its tail: for rows, which have none, and for onednn_fused.c.
typedef struct od_leader {
    const char *op;
    const char *(*cannot)(const tn_call *call, const od_tail *tail);
    tn_status (*layouts)(const tn_call *call, const od_tail *tail, tn_layout *in, tn_layout *out);
    // Adds its steps to the kernel.
    tn_status (*add)(tn_sdk_kernel *k, const tn_call *call, const od_tail *tail,
                     tn_kernel_info *info);
} od_leader;

extern const od_leader onednn_conv_leader, onednn_dense_leader, onednn_norm_leader,
    onednn_point_leader, onednn_binary_leader;

// onednn_bias.c
void od_add_bias(const tn_sdk_kernel *k, const tn_run_args *a, const od_bias *bias);

// onednn_point.c: is the call a gradient of a convolution that a matrix product computes, in the
// layouts that its values have or, before they have any, in those that it would wish?
bool od_is_point(const tn_call *call, bool as_it_lies);

// onednn_winograd.c: 3×3 convolutions by Winograd's way. Does the call (and what follows it) go
// that way, in the layouts that its values have or, before they have any, in those that it would
// wish?
bool od_is_winograd(const tn_call *call, const od_tail *tail, bool as_it_lies);
tn_status od_winograd_layouts(const tn_call *call, tn_layout *in, tn_layout *out);
tn_status od_winograd_add(tn_sdk_kernel *k, const tn_call *call, const od_tail *tail,
                          tn_kernel_info *info);
tn_status od_winograd_run(const tn_sdk_kernel *k, const tn_run_args *a,
                          const struct od_winograd_state *w);
void od_winograd_free(const tn_sdk_kernel *k, struct od_winograd_state *w);
void od_winograd_allow(bool on); // the option of the plugin

// onednn_eltwise.c: the function of a call as oneDNN has it; false: there is none.
bool od_function(const tn_call *call, dnnl_alg_kind_t *kind, float *alpha, float *beta);
// Adds a step that puts the function of a call, one that od_function has, over output 0.
tn_status od_add_function(tn_sdk_kernel *k, const tn_call *call, const dnnl_memory_desc_t *md,
                          tn_kernel_info *info);

// onednn_reduce.c: axes that axis () and exclude name of x. Bit i set: axis i is reduced.
uint32_t od_reduced_axes(const tn_call *call, const tn_value_info *x);

// Input of that number; NULL if there is none, or it has no data.
const tn_value_info *od_input(const tn_call *call, uint32_t i);
bool od_empty(const tn_call *call);       // has some value no elements?
bool od_same_dtypes(const tn_call *call); // of all values that have data

// Reasons of refusals that several families have.
extern const char od_no_elements[], od_mixed_dtypes[], od_no_primitive[], od_only_loops[];

#endif
