// backends/blas/blas.h: what the kernels of the blas backend are written with.
//
// Matrix products go to OpenBLAS, everything else is loops that compilers vectorise. Work is cut
// into pieces whose borders do not depend on the number of threads, so results do not either.
#ifndef TENON_BLAS_H
#define TENON_BLAS_H

#include <math.h>
#include <tenon/half.h>
#include <tenon/layers.h>
#include <tenon/shapes.h>

#define BLAS_FLAGS (TN_K_REENTRANT | TN_K_DETERMINISTIC) // of every row here
#define BLAS_WHOLE (TN_INTEGERS | TN_BIT(TN_BOOL))       // dtypes that int64 holds
#define BLAS_REALS (TN_BIT(TN_F32) | TN_BIT(TN_F64))     // dtypes that are computed in directly

// ------------------------------------------------------------------ compilers

// A function for each level of the x86-64 instruction set; the loader picks one. Not with
// sanitizers, whose instrumentation is not ready when it does.
#if !defined(__x86_64__) || !defined(__GLIBC__) || TN_SANITIZER != 0
#define BLAS_CLONES
#elif defined(__clang__) // version 14 never chooses levels, and fails on some loops for avx512f
#define BLAS_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define BLAS_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

// What a clone calls must become part of it.
#define BLAS_INLINE static inline __attribute__((always_inline))

// Iterations of the loop below do not depend on each other, though the output may be an input.
#define BLAS_PRAGMA(text) _Pragma(#text)
#define BLAS_SIMD BLAS_PRAGMA(omp simd)
#define BLAS_SIMD_SUM(...) BLAS_PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define BLAS_SIMD_MAX(...) BLAS_PRAGMA(omp simd reduction(max : __VA_ARGS__))

// ------------------------------------------------------------------ cutting work (blas_split.c)

enum {
    BLAS_BLOCK = 4096,  // elements: pieces of a long loop begin at multiples of it
    BLAS_CHEAP = 32768, // elements for which another thread pays: arithmetic, copies
    BLAS_COSTLY = 4096  // the same: exponentials, divisions, random numbers
};

// A run as range functions see it.
typedef struct blas_run {
    const tn_sdk_kernel *k;
    const tn_run_args *a;
} blas_run;

// fn over the elements 0 … n-1; begins are multiples of BLAS_BLOCK. grain: BLAS_CHEAP, BLAS_COSTLY.
void blas_elements(const tn_sdk_kernel *k, const tn_run_args *a, int64_t n, int64_t grain,
                   tn_range_fn fn, void *ctx);

// fn over items of `size` elements each, in any grouping.
void blas_items(const tn_sdk_kernel *k, const tn_run_args *a, int64_t n, int64_t size,
                int64_t grain, tn_range_fn fn, void *ctx);

// ------------------------------------------------------------------ arguments

static inline bool blas_is_float(tn_dtype dtype)
{
    return (TN_FLOATS & TN_BIT(dtype)) != 0;
}

static inline const void *blas_in(const tn_run_args *a, uint32_t i)
{
    return a->in[i].host;
}

static inline void *blas_out(const tn_run_args *a, uint32_t i)
{
    return a->out[i].host;
}

// Copies bytes; nothing may lie behind the pointers if there are none.
static inline void blas_copy(void *dst, const void *src, size_t bytes)
{
    if (bytes && dst != src) memmove(dst, src, bytes);
}

// Permits that output 0 is written over input i, where the two have as many bytes.
static inline void blas_inplace(const tn_sdk_kernel *k, tn_kernel_info *info, uint32_t i)
{
    if (k->call->in[i]->bytes == k->call->out[0]->bytes && info->n_inplace < TN_MAX_INPLACE)
        info->inplace[info->n_inplace++] = (tn_inplace){i, 0};
}

static inline int32_t blas_axis_param(const tn_call *c, const char *name, int64_t fallback,
                                      int32_t ndim)
{
    return tn_axis(tn_call_i64(c, name, fallback), ndim);
}

static inline tn_status blas_no_axis(const tn_sdk_kernel *k, const char *param)
{
    return tn_fail(k->host, TN_E_INVALID, "%s: no such axis in %d-D data", param,
                   (int)k->call->in[0]->ndim);
}

// Marks the axes of x that the parameters axis and exclude name; axis () means all.
tn_status blas_reduced_axes(const tn_sdk_kernel *k, const tn_value_info *x, bool gone[TN_MAX_NDIM]);

// ------------------------------------------------------------------ numbers (blas_convert.c)

// n elements from number `at` on, as float (of the float dtypes, and of whole numbers of up to 32
// bits), double (of any dtype) or int64
// (of any dtype; floats are cut off and saturate).
void blas_load_f32(tn_dtype dtype, const void *p, int64_t at, int64_t n, float *out);
void blas_load_f64(tn_dtype dtype, const void *p, int64_t at, int64_t n, double *out);
void blas_load_i64(tn_dtype dtype, const void *p, int64_t at, int64_t n, int64_t *out);

// And back. Floats round to nearest even; doubles become integers without the fraction, saturated,
// NaN as 0; integers become narrower ones by their low bits; bool is v != 0.
void blas_store_f32(tn_dtype dtype, void *p, int64_t at, int64_t n, const float *v);
void blas_store_f64(tn_dtype dtype, void *p, int64_t at, int64_t n, const double *v);
void blas_store_i64(tn_dtype dtype, void *p, int64_t at, int64_t n, const int64_t *v);

// A float32 call that stands for one of 16 bits has the dtype of the latter's values in these bits
// of its flags.
enum { BLAS_STORED_SHIFT = 24 };

// The dtype in which the values of a call of floats are stored when it is over.
static inline tn_dtype blas_stored(const tn_call *c)
{
    const tn_dtype stored = (tn_dtype)(c->flags >> BLAS_STORED_SHIFT);
    return stored ? stored : c->in[0]->dtype;
}

static inline int64_t blas_get_int(tn_dtype dtype, const void *p, int64_t i)
{
    int64_t v;
    if (dtype == TN_F32) return tn_saturate((double)((const float *)p)[i], INT64_MIN, INT64_MAX);
    blas_load_i64(dtype, p, i, 1, &v);
    return v;
}

// A number as an element of that dtype has it: scalar parameters take the dtype of the data.
double blas_as_real(tn_dtype dtype, double v);
int64_t blas_as_int(tn_dtype dtype, double v);

// ------------------------------------------------------------------ boxes of axes (blas_box.c)

// Axes, walked row-major, and where their elements lie in some array.
typedef struct blas_box {
    int32_t ndim;
    int64_t dim[TN_MAX_NDIM];
    int64_t stride[TN_MAX_NDIM]; // elements; 0: the axis is broadcast
    int64_t start;               // index of the first element
} blas_box;

static inline void blas_box_add(blas_box *b, int64_t dim, int64_t stride)
{
    b->dim[b->ndim] = dim;
    b->stride[b->ndim++] = stride;
}

int64_t blas_box_size(const blas_box *b);
// Index in the array of element i of the axes before `ndim`.
int64_t blas_box_at(const blas_box *b, int32_t ndim, int64_t i);
// The same walk over as few axes as possible, at least one.
void blas_box_collapse(blas_box *b);
// The box of value `to`, in value `from` broadcast to it: right-aligned, extents of 1 repeat.
blas_box blas_broadcast(const tn_value_info *from, const tn_value_info *to);

// A place in the walk over the axes before the last.
typedef struct blas_walk {
    int64_t at[TN_MAX_NDIM];
    int64_t offset; // in the array
} blas_walk;

blas_walk blas_walk_from(const blas_box *b, int64_t row);
void blas_walk_next(const blas_box *b, blas_walk *w);

// Copies the elements that the box shows of src, one after the other, to dst.
void blas_gather(const tn_sdk_kernel *k, const tn_run_args *a, const blas_box *box, const void *src,
                 void *dst);
// Copies size[0] rows of size[1] elements of `bytes` bytes each; steps from row to row, in
// elements.
void blas_copy_rows(void *dst, int64_t to_step, const void *src, int64_t from_step,
                    const int64_t size[2], size_t bytes);
// A kernel whose state is a collapsed box: output 0 is what the box shows of input 0.
tn_status blas_gather_run(const tn_sdk_kernel *k, const tn_run_args *a);

// ------------------------------------------------------------------ loops over numbers
// (blas_map.c)

// out[i] = f(in[0][i], …) for n elements of one type of number. Some of `in` are one number.
typedef void (*blas_loop)(int64_t n, const void *const in[3], void *out);

// Which operands of a loop are arrays (v) and which are one number (s).
enum { BLAS_VV = 0, BLAS_VS = 1, BLAS_SV = 2 };
typedef struct blas_loops {
    blas_loop form[3]; // of unary functions, and of more than two operands: form[0]
} blas_loops;

// The state of a kernel that is one loop over all its arguments.
typedef struct blas_map {
    blas_loop loop;
    blas_loop both;       // of two operands, one of them broadcast: the loop over arrays
    tn_dtype number;      // TN_F32, TN_F64 or TN_I64: what the loop computes in
    bool direct;          // all arguments have that dtype
    int32_t n_operands;   // the last may be `constants`
    bool with_constants;  // the last one is
    bool constants_first; // or, of two, the first
    int64_t grain;
    blas_box box[3]; // of the operands, all of the same extents
    union {
        float f32[4];
        double f64[4];
        int64_t i64[4];
    } constants;
} blas_map;

// Operands are the first n inputs, all of the output's shape.
void blas_map_same(const tn_sdk_kernel *k, blas_map *m, blas_loop loop, int32_t n);
// Operands are two inputs, broadcast to the output.
void blas_map_broadcast(const tn_sdk_kernel *k, blas_map *m, const blas_loops *loops);
// One more operand: numbers, as the dtype of input 0 has them.
void blas_map_constants(const tn_sdk_kernel *k, blas_map *m, int32_t n, const double *v);
tn_status blas_map_run(const tn_sdk_kernel *k, const tn_run_args *a);

// Loops over float for the rows of <tenon/elementwise.h> that are worth it; NULL for the others.
const blas_loops *blas_fast(const char *name);
// Those of them that go by way of double (blas_special.c).
const blas_loops *blas_special(const char *name);

// ------------------------------------------------------------------ fused calls (blas_fused.c)

// What follows a layer or a product, elementwise, in a fused call.
typedef struct blas_tail blas_tail;

// Elements at … at + n-1 of output 0, where the leader has put its result, become the call's.
void blas_tail_run(const blas_tail *t, const tn_run_args *a, int64_t at, int64_t n);

// States of kernels that may lead a fused call begin with this. Whoever leads runs its tail over
// each part of the result as soon as it is there.
typedef struct blas_lead {
    const blas_tail *tail; // NULL: it runs alone
} blas_lead;

// ------------------------------------------------------------------ OpenBLAS (blas_gemm.c)

// Sizes of c(m, n) = a(m, k) · b(k, n).
typedef struct blas_product {
    int64_t m, n, k;
} blas_product;

// A row-major matrix: its data, elements from row to row, and whether its transpose is meant.
typedef struct blas_matrix {
    void *p;
    int64_t row;
    bool transposed;
} blas_matrix;

// c = a · b, or += into what c holds; bias, one number per column, may be NULL. dtype is TN_F32
// or TN_F64.
typedef struct blas_gemm {
    tn_dtype dtype;
    blas_product size;
    blas_matrix c, a, b;
    const void *bias;
    bool add;                       // c += a · b; then there is no bias
    int64_t batch;                  // products of the same kind
    int64_t c_step, a_step, b_step; // elements from one to the next
    const blas_tail *tail;          // of output 0, which c is, or NULL
} blas_gemm;

void blas_multiply(const tn_sdk_kernel *k, const tn_run_args *run, const blas_gemm *g);

// One product (batch and steps do not count) by the calling thread, inside a range function. All
// such products of a range function stand between blas_alone() and blas_alone_end(its result).
void blas_multiply_alone(const blas_gemm *g);
int blas_alone(void);
void blas_alone_end(int threads);

const char *blas_gemm_impl(tn_dtype dtype);       // "sgemm SkylakeX"
const char *blas_driver(const tn_host_api *host); // OpenBLAS and what it is

// ------------------------------------------------------------------ softmax (blas_softmax.c)

// y = softmax(x / temperature), or its logarithm, along the middle of line. TN_F32 or TN_F64.
typedef struct blas_softmax {
    tn_line line;
    double temperature;
    bool logarithm;
} blas_softmax;

void blas_softmax_forward(const tn_sdk_kernel *k, const tn_run_args *a, const blas_softmax *s);

// ------------------------------------------------------------------ sorting (blas_order.c)

// A number as an integer of the same order; NaN is larger than any.
int64_t blas_key(double v);
// The numbers 0 … n-1 in the order of their keys, of equal ones as they stood; in a or b, which
// have room for n each.
const int64_t *blas_sort(const int64_t *key, int64_t n, bool ascend, int64_t *a, int64_t *b);

// Families; each is a table in blas_<family>.c.
extern const tn_kernel_row blas_elementwise[], blas_pointwise[], blas_dense[], blas_softmaxes[],
    blas_loss[], blas_reduce[], blas_shape[], blas_slice[], blas_index[], blas_values[],
    blas_random[], blas_optimizer[], blas_fuse[];
extern const tn_kernel_row blas_linalg[], blas_halves[];
extern const tn_kernel_row blas_convs[], blas_conv_weights[], blas_pools[], blas_batch_norms[],
    blas_layer_norms[], blas_group_norms[], blas_lrns[];
extern const tn_kernel_row blas_rnns[], blas_rnn_backs[];
extern const tn_kernel_row blas_alongs[], blas_take_alongs[], blas_scatters[], blas_sequences[],
    blas_orders[], blas_tops[], blas_multinomials[];
extern const tn_kernel_row blas_rois[], blas_ctcs[], blas_sparse_regs[];
extern const tn_kernel_row blas_detections[], blas_targets[], blas_proposals[];

#endif
