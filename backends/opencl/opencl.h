// backends/opencl/opencl.h: what the kernels of the opencl backend are written
// with.
//
// A kernel of the ABI is a plan: a list of launches that is made when the
// kernel is prepared, so that a run only fills in addresses and enqueues.
// Programs are OpenCL C texts, built when a plan first needs them and kept, in
// memory per device and on disk per device and driver.
#ifndef TENON_OPENCL_H
#define TENON_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <tenon/half.h>
#include <tenon/kernel.h>
#include <tenon/layers.h>
#include <tenon/shapes.h>

#include "opencl_counters.h"

enum { OCL_MAX_DEVICES = 64, OCL_NAME = 256 };

// ------------------------------------------------------------------ devices
// (opencl_device.c)

typedef struct ocl_plugin ocl_plugin;
typedef struct ocl_program ocl_program;

struct tn_queue {
    cl_command_queue queue;
    cl_mem fault;          // an ocl_complaint: what a kernel found wrong, if anything
    atomic_bool may_fault; // since it was last looked at
    uint32_t ahead;        // runs since it was last waited for
};

struct tn_device {
    ocl_plugin *plugin;
    cl_platform_id platform;
    cl_device_id id;
    char number[24], name[OCL_NAME], driver[OCL_NAME], kind[16], unusable[OCL_NAME];
    uint64_t memory, max_alloc, local_memory;
    uint32_t units;  // compute units
    size_t group;    // work items of a group, at most
    bool fp64;       // has double
    bool cpu;        // kernels go the ways of CPUs
    uint32_t n_open; // under the plugin's lock, as all below
    cl_context context;
    tn_queue own;             // for what comes without a queue, …
    pthread_mutex_t own_lock; // … from one thread at a time where kernels may complain
    tn_event *spare;          // events for the next ones: a run allocates nothing
    ocl_program *programs;
};

struct ocl_plugin {
    const tn_host_api *host;
    pthread_mutex_t lock; // of devices' n_open and programs
    tn_device devices[OCL_MAX_DEVICES];
    uint32_t n_devices;
    bool enumerated;
    int harm;                // of asking the drivers: see ocl_probe()
    char none[2 * OCL_NAME]; // why there is no device
    ocl_counters counters;
};

struct tn_buffer {
    tn_device *device;
    cl_mem memory;
    uint64_t bytes;
};

struct tn_event {
    cl_event event;
    tn_event *next; // among those that wait for use
};

// Is it safe to ask the drivers for devices? 0: yes; the signal that it ends a process with; -1:
// there is no answer within 20 s. (opencl_probe.c)
int ocl_probe(void);
tn_status ocl_enumerate(void *plugin, tn_device_sink sink, void *sink_ctx);
tn_status ocl_open(void *plugin, const char *device_id, tn_device **out);
void ocl_close(tn_device *device);

// Fails with the name of an OpenCL error: what did not work, and where.
tn_status ocl_failed(const tn_device *device, cl_int error, const char *what);
const char *ocl_error_name(cl_int error);

// ------------------------------------------------------------------ memory
// (opencl_memory.c)

tn_status ocl_alloc(tn_device *device, uint64_t bytes, uint64_t align, tn_buffer **out);
void ocl_free(tn_device *device, tn_buffer *buffer);
tn_status ocl_upload(tn_device *device, tn_queue *queue, tn_buffer *dst, uint64_t offset,
                     const void *src, uint64_t bytes);
tn_status ocl_download(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                       void *dst, uint64_t bytes);
tn_status ocl_download_begin(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                             void *dst, uint64_t bytes, tn_event **arrived);
tn_status ocl_copy(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t src_offset,
                   tn_buffer *dst, uint64_t dst_offset, uint64_t bytes);
// The command queue, and what belongs to it; taken back.
tn_status ocl_queue_make(const tn_device *device, tn_queue *q);
void ocl_queue_end(tn_queue *q);
tn_status ocl_queue_create(tn_device *device, tn_queue **out);
void ocl_queue_destroy(tn_device *device, tn_queue *queue);
tn_status ocl_queue_finish(tn_device *device, tn_queue *queue);
tn_status ocl_queue_flush(tn_device *device, tn_queue *queue);
tn_status ocl_event_record(tn_device *device, tn_queue *queue, tn_event **out);
tn_status ocl_event_wait_queue(tn_device *device, tn_queue *queue, tn_event *event);
tn_status ocl_event_wait_host(tn_device *device, tn_event *event);
void ocl_event_destroy(tn_device *device, tn_event *event);
void ocl_events_free(tn_device *device); // when it is closed

// ------------------------------------------------------------------ texts
// (opencl_source.c)

// A text that grows; `failed` once there was no memory.
typedef struct ocl_text {
    const tn_host_api *host;
    char *s;
    size_t n, capacity;
    bool failed;
} ocl_text;

__attribute__((format(printf, 2, 3))) void ocl_printf(ocl_text *t, const char *format, ...);
void ocl_append(ocl_text *t, const char *text);
void ocl_text_free(ocl_text *t);

// Which type kernels compute in over elements of this dtype: TN_F32, TN_F64 or
// TN_I64.
tn_dtype ocl_number(tn_dtype dtype);
const char *ocl_c_type(tn_dtype number); // "float", "double", "long"

// Begins a program: A is the type of numbers, I that of indices, and for each i
// < n the storage type Ti of dtype[i] with LDi(p, i), an element as an A, and
// STi(p, i, v).
void ocl_prologue(ocl_text *t, tn_dtype number, uint32_t n, const tn_dtype *dtype);
// The vocabulary of <tenon/elementwise.h>, over A: of functions those that are
// used in `text`.
void ocl_vocabulary(ocl_text *t, tn_dtype number, const char *text);
// D: double where the device has it, else float, and DC(n), a constant of it; and which that is.
void ocl_wide_text(ocl_text *t, const tn_device *device);
tn_dtype ocl_wide(const tn_device *device);
// FAULT, two parameters of a kernel, and complain(fault, cookie, a, b): see ocl_fault().
void ocl_complaints(ocl_text *t);

// The .cl files of this folder.
extern const char ocl_gemm_cl[], ocl_conv_cl[], ocl_lines_cl[], ocl_pool_cl[], ocl_norm_cl[],
    ocl_move_cl[], ocl_index_cl[], ocl_random_cl[], ocl_functions_cl[], ocl_order_cl[],
    ocl_scan_cl[], ocl_linalg_cl[], ocl_draws_cl[], ocl_roi_cl[], ocl_ctc_cl[], ocl_boxes_cl[],
    ocl_proposal_cl[], ocl_multibox_cl[], ocl_detection_cl[], ocl_sparse_reg_cl[], ocl_check_cl[],
    ocl_pairs_cl[], ocl_vectors_cl[], ocl_direct_cl[], ocl_planes_cl[];

// ------------------------------------------------------------------ programs
// (opencl_program.c)

// A new kernel object of the program with this text; builds the program, or
// loads it, or finds it.
tn_status ocl_kernel_new(tn_device *device, const char *text, const char *name, cl_kernel *out);
void ocl_programs_free(tn_device *device);

// ------------------------------------------------------------------ plans
// (opencl_plan.c)

// An argument that is known only when the plan runs.
typedef struct ocl_slot {
    enum { OCL_IN, OCL_OUT, OCL_SCRATCH, OCL_STASH, OCL_RNG, OCL_TRAIN, OCL_FAULT } kind;
    cl_uint at;      // number of the kernel's argument; a second one follows, but
                     // after OCL_TRAIN
    uint32_t index;  // input or output
    uint64_t offset; // bytes
} ocl_slot;

enum { OCL_SLOTS = 64 }; // as many as 1024 bytes of arguments have room for
typedef struct ocl_launch {
    cl_kernel kernel;
    cl_uint n_args;
    uint32_t n_slots, dims;
    ocl_slot slot[OCL_SLOTS];
    size_t global[3], local[3];
} ocl_launch;

// What a kernel leaves in its queue's memory when data cannot be: the plan, and two numbers that
// its function makes a message of. The first one stays.
typedef struct ocl_complaint {
    cl_long plan, what[2];
} ocl_complaint;

// The state of every kernel of this backend.
typedef struct ocl_plan ocl_plan;
struct ocl_plan {
    const tn_sdk_kernel *k;
    tn_device *device;
    ocl_launch *launch;
    uint32_t n, capacity;
    tn_status status; // the first failure: everything after it does nothing
    tn_status (*complain)(const ocl_plan *p, const int64_t what[2]); // NULL: no launch complains
};

ocl_plan *ocl_begin(const tn_sdk_kernel *k);
// One more launch, of a kernel of that program. NULL, which all of the
// following take, on failure.
ocl_launch *ocl_add(ocl_plan *p, const char *text, const char *name);
// The same with a text that is freed.
ocl_launch *ocl_add_text(ocl_plan *p, ocl_text *t, const char *name);
// Arguments, in order. Each tensor is two: __global uchar *, ulong (offset in
// bytes).
void ocl_in(ocl_plan *p, ocl_launch *l, uint32_t i);
void ocl_out(ocl_plan *p, ocl_launch *l, uint32_t i);
void ocl_out_at(ocl_plan *p, ocl_launch *l, uint32_t i, uint64_t offset);
void ocl_in_at(ocl_plan *p, ocl_launch *l, uint32_t i, uint64_t offset);
void ocl_scratch(ocl_plan *p, ocl_launch *l, uint64_t offset);
void ocl_rng(ocl_plan *p, ocl_launch *l);   // ulong key, ulong counter
void ocl_train(ocl_plan *p, ocl_launch *l); // int: 1 in a training run
// FAULT: the launch, of one work item, may complain, which the queue's next finish returns as an
// error in these words.
void ocl_fault(ocl_plan *p, ocl_launch *l,
               tn_status (*complain)(const ocl_plan *p, const int64_t what[2]));
void ocl_bytes(ocl_plan *p, ocl_launch *l, const void *v, size_t bytes);
void ocl_int(ocl_plan *p, ocl_launch *l, int64_t v);  // int
void ocl_long(ocl_plan *p, ocl_launch *l, int64_t v); // long
// A number of the type `number`.
void ocl_real(ocl_plan *p, ocl_launch *l, tn_dtype number, double v);
// Extents, in work items; nothing is launched if one is 0. Groups are as the device likes them,
// and may reach beyond x only.
void ocl_over(ocl_plan *p, ocl_launch *l, int64_t x, int64_t y, int64_t z);
// The same with groups of just this size.
void ocl_groups(ocl_plan *p, ocl_launch *l, const size_t groups[3], const size_t local[3]);
// The same with groups of one, whose work items have much to do: for CPUs.
void ocl_singly(ocl_plan *p, ocl_launch *l, int64_t x, int64_t y, int64_t z);
tn_status ocl_end(ocl_plan *p); // frees everything if something failed

tn_status ocl_run(const tn_sdk_kernel *k, const tn_run_args *a);
void ocl_teardown(tn_sdk_kernel *k);

// ------------------------------------------------------------------ families

#define OCL_FLAGS TN_K_DETERMINISTIC
#define OCL_REALS (TN_BIT(TN_F32) | TN_BIT(TN_F64))
#define OCL_WHOLE (TN_INTEGERS | TN_BIT(TN_BOOL))

#define OCL_ROW(op_, dtypes_, cannot_, setup_)                                              \
    {                                                                                       \
        .op = op_, .dtypes = dtypes_, .flags = OCL_FLAGS, .impl = "opencl",                 \
        .state_size = sizeof(ocl_plan), .cannot = cannot_, .setup = setup_, .run = ocl_run, \
        .teardown = ocl_teardown                                                            \
    }

static inline bool ocl_is_float(tn_dtype dtype)
{
    return (TN_FLOATS & TN_BIT(dtype)) != 0;
}

// Permits that output 0 is written over input i, where the two have as many
// bytes.
static inline void ocl_inplace(const tn_call *c, tn_kernel_info *info, uint32_t i)
{
    if (c->in[i]->bytes == c->out[0]->bytes && info->n_inplace < TN_MAX_INPLACE)
        info->inplace[info->n_inplace++] = (tn_inplace){i, 0};
}

static inline tn_status ocl_no_axis(const tn_sdk_kernel *k, const char *param)
{
    return tn_fail(k->host, TN_E_INVALID, "%s (%s): %s: no such axis in %d-D data", k->call->name,
                   k->call->op->name, param, (int)k->call->in[0]->ndim);
}

// Scratch memory that is handed out piece by piece.
typedef struct ocl_room {
    uint64_t used;
} ocl_room;

static inline uint64_t ocl_take(ocl_room *r, int64_t n, size_t item)
{
    const uint64_t taken = r->used;
    r->used += ((uint64_t)n * item + 63) / 64 * 64;
    return taken;
}

// Marks the axes of x that the parameters axis and exclude name; axis () means
// all. (reduce)
tn_status ocl_reduced_axes(const tn_sdk_kernel *k, const tn_value_info *x, bool gone[TN_MAX_NDIM]);

// A box of axes, walked row-major, and where its elements lie in some array:
// the kernels' struct box, passed by value.
typedef struct ocl_box {
    cl_long dim[TN_MAX_NDIM];
    cl_long stride[TN_MAX_NDIM]; // elements; 0: the axis is broadcast
    cl_long start;
    cl_int ndim, unused;
} ocl_box;

static inline void ocl_box_add(ocl_box *b, int64_t dim, int64_t stride)
{
    b->dim[b->ndim] = dim;
    b->stride[b->ndim++] = stride;
}
// The same walk over as few axes as possible, at least one.
void ocl_box_collapse(ocl_box *b);
// The box of value `to`, in value `from` broadcast to it: right-aligned,
// extents of 1 repeat.
ocl_box ocl_broadcast(const tn_value_info *from, const tn_value_info *to);

// A function of one element, as text over names of its operands and the
// constants c0, c1, …
enum { OCL_OPERANDS = 16, OCL_CONSTANTS = 12, OCL_MAX_CONSTANTS = 64, OCL_MAX_OUTPUTS = 8 };
typedef struct ocl_formula {
    const char *text; // of result 0, or NULL: `built`
    char built[400];
    const char *operand[OCL_OPERANDS]; // name of each input; NULL: not read
    uint32_t n_in;
    double constant[OCL_CONSTANTS];
    const char *constant_name[OCL_CONSTANTS]; // NULL: c0, c1, …
    uint32_t n_constants;
    const char *before; // statements that come first; NULL: none
    uint32_t written;   // operands, by bits, that they change and that are stored again
    bool rounded;       // constants take the dtype of the data
} ocl_formula;

// The formula of an elementwise call; false: it has none. (opencl_formula.c)
bool ocl_formula_of(const tn_call *c, ocl_formula *f);
bool ocl_update_formula(const tn_call *c,
                        ocl_formula *f); // of optimizers (opencl_optimizer.c)

// Makes plans of formulas (opencl_map.c). boxes: where the operands' elements
// are; NULL: as broadcasting has it.
tn_status ocl_map_setup(tn_sdk_kernel *k, tn_kernel_info *info);
void ocl_map(ocl_plan *p, const ocl_formula *f, const ocl_box *boxes);

// Finds the order of elements along an axis, stable, NaN behind all numbers if it ascends: of input
// 0, or of an array in scratch. It goes to output 0, or (line, n) as ints into one of two arrays in
// scratch, whose offset is returned. (opencl_order.c)
typedef struct ocl_sorting {
    tn_dtype key;
    bool in_scratch, ascend, to_output;
    int64_t keep;      // places of each line that go to output 0, whose lines have as many
    uint64_t at;       // of keys in scratch
    uint64_t order[2]; // of the arrays
    tn_line line;
} ocl_sorting;
uint64_t ocl_sort(ocl_plan *p, const ocl_sorting *s);

// Elementwise operators behind a product, which begin with its output 0. (opencl_tail.c)
typedef struct ocl_tail ocl_tail;
void ocl_tail_put(ocl_text *t, const ocl_tail *tail);
void ocl_tail_pass(ocl_plan *p, ocl_launch *l, const ocl_tail *tail);

// Operators that are one product, and the launches of such a call.
bool ocl_is_product(const char *op);
void ocl_product(ocl_plan *p, tn_kernel_info *info, const tn_call *c, const ocl_tail *tail);

// c(m, n) = a(m, k) · b(k, n) for each of `batch`, summed over `segments`
// stretches of k.
typedef struct ocl_matrix {
    enum { OCL_M_IN, OCL_M_OUT, OCL_M_SCRATCH } where;
    uint32_t index;
    uint64_t offset;       // bytes
    int64_t row, col;      // elements from row to row and from column to column
    int64_t step, segment; // elements from one product to the next, and stretch
    int64_t tile; // panels: from 8 rows (a), two vectors of columns (b) to the next; 0: none
    bool padded;  // b: rows may be read up to the next multiple of 32 columns
} ocl_matrix;
typedef struct ocl_gemm {
    tn_dtype dtype;
    int64_t m, n, k, batch, segments;
    int64_t cycle; // product z takes a (and bias) number z % cycle; 0: a's own
    ocl_matrix a, b, c;
    int32_t bias;         // input, -1: none
    bool bias_by_row;     // one number per row, not per column
    const ocl_tail *tail; // what becomes of each number; NULL: it is stored
} ocl_gemm;
// Adds the launches; impl names the kernel for reports.
void ocl_multiply(ocl_plan *p, const ocl_gemm *g, const char **impl);
int64_t ocl_gemm_pad(tn_dtype dtype);      // columns that padded rows are a multiple of
bool ocl_in_registers(const tn_device *d); // sums are held in vectors, not local memory

extern const tn_kernel_row ocl_maps[], ocl_fuse[], ocl_multis[], ocl_led[], ocl_dense[],
    ocl_reduce[], ocl_softmaxes[], ocl_loss[], ocl_shape[], ocl_convs[], ocl_pools[], ocl_norms[],
    ocl_indices[], ocl_randoms[], ocl_orders[], ocl_scans[], ocl_linalgs[], ocl_rois[], ocl_ctcs[],
    ocl_proposals[], ocl_multiboxes[], ocl_sparse_regs[];

#endif
