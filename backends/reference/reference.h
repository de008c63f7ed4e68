// backends/reference/reference.h: what the reference kernels are written with.
//
// The reference backend defines the meaning of every operator: plain loops over elements that are
// loaded as float64 (floats) or int64 (integers and bool) and rounded once, when they are stored.
#ifndef TENON_REFERENCE_H
#define TENON_REFERENCE_H

#include <math.h>
#include <tenon/half.h>
#include <tenon/layers.h>
#include <tenon/shapes.h>

#define REF_WHOLE (TN_INTEGERS | TN_BIT(TN_BOOL)) // dtypes that int64 holds

// ------------------------------------------------------------------ elements

// The elements of one argument.
typedef struct ref_array {
    void *p;
    tn_dtype dtype;
    int64_t n; // elements
} ref_array;

static inline ref_array ref_in(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t i)
{
    return (ref_array){a->in[i].host, k->call->in[i]->dtype, k->call->in[i]->size};
}

static inline ref_array ref_out(const tn_sdk_kernel *k, const tn_run_args *a, uint32_t i)
{
    return (ref_array){a->out[i].host, k->call->out[i]->dtype, k->call->out[i]->size};
}

static inline bool ref_is_float(tn_dtype dtype)
{
    return (TN_FLOATS & TN_BIT(dtype)) != 0;
}

// Element i as a double. int64 beyond 2^53 is rounded: kernels of integers use ref_get_int.
static inline double ref_get_real(ref_array x, int64_t i)
{
    switch (x.dtype) {
    case TN_F32: return (double)((const float *)x.p)[i];
    case TN_F64: return ((const double *)x.p)[i];
    case TN_F16: return (double)tn_f16_to_f32(((const uint16_t *)x.p)[i]);
    case TN_BF16: return (double)tn_bf16_to_f32(((const uint16_t *)x.p)[i]);
    case TN_U8: return ((const uint8_t *)x.p)[i];
    case TN_I8: return ((const int8_t *)x.p)[i];
    case TN_I32: return ((const int32_t *)x.p)[i];
    case TN_I64: return (double)((const int64_t *)x.p)[i];
    default: return ((const uint8_t *)x.p)[i] != 0;
    }
}

// Element i as an integer; floats lose their fraction and saturate.
static inline int64_t ref_get_int(ref_array x, int64_t i)
{
    switch (x.dtype) {
    case TN_U8: return ((const uint8_t *)x.p)[i];
    case TN_I8: return ((const int8_t *)x.p)[i];
    case TN_I32: return ((const int32_t *)x.p)[i];
    case TN_I64: return ((const int64_t *)x.p)[i];
    case TN_BOOL: return ((const uint8_t *)x.p)[i] != 0;
    default: return tn_saturate(ref_get_real(x, i), INT64_MIN, INT64_MAX);
    }
}

// Element i := v. Floats round to nearest even; integers drop the fraction and saturate, NaN is 0.
static inline void ref_put_real(ref_array x, int64_t i, double v)
{
    switch (x.dtype) {
    case TN_F32: ((float *)x.p)[i] = (float)v; break;
    case TN_F64: ((double *)x.p)[i] = v; break;
    case TN_F16: ((uint16_t *)x.p)[i] = tn_f64_to_f16(v); break;
    case TN_BF16: ((uint16_t *)x.p)[i] = tn_f64_to_bf16(v); break;
    case TN_U8: ((uint8_t *)x.p)[i] = (uint8_t)tn_saturate(v, 0, UINT8_MAX); break;
    case TN_I8: ((int8_t *)x.p)[i] = (int8_t)tn_saturate(v, INT8_MIN, INT8_MAX); break;
    case TN_I32: ((int32_t *)x.p)[i] = (int32_t)tn_saturate(v, INT32_MIN, INT32_MAX); break;
    case TN_I64: ((int64_t *)x.p)[i] = tn_saturate(v, INT64_MIN, INT64_MAX); break;
    default: ((uint8_t *)x.p)[i] = v != 0; break;
    }
}

// Element i := v. Narrow integers keep the low bits, as in C; bool is v != 0.
static inline void ref_put_int(ref_array x, int64_t i, int64_t v)
{
    switch (x.dtype) {
    case TN_U8: ((uint8_t *)x.p)[i] = (uint8_t)v; break;
    case TN_I8: ((int8_t *)x.p)[i] = (int8_t)v; break;
    case TN_I32: ((int32_t *)x.p)[i] = (int32_t)v; break;
    case TN_I64: ((int64_t *)x.p)[i] = v; break;
    case TN_BOOL: ((uint8_t *)x.p)[i] = v != 0; break;
    default: ref_put_real(x, i, (double)v); break;
    }
}

// A number as an element of that dtype has it: scalar parameters take the dtype of the data.
static inline double ref_as_real(tn_dtype dtype, double v)
{
    int64_t cell = 0;
    const ref_array one = {&cell, dtype, 1};
    ref_put_real(one, 0, v);
    return ref_get_real(one, 0);
}

static inline int64_t ref_as_int(tn_dtype dtype, double v)
{
    int64_t cell = 0;
    const ref_array one = {&cell, dtype, 1};
    ref_put_real(one, 0, v);
    return ref_get_int(one, 0);
}

// Copies bytes; nothing may lie behind the pointers if there are none.
static inline void ref_copy(void *dst, const void *src, size_t bytes)
{
    if (bytes && dst != src) memmove(dst, src, bytes);
}

// ------------------------------------------------------------------ axes

// A box of axes, walked row-major, and where its elements lie in some array.
typedef struct ref_box {
    int32_t ndim;
    int64_t dim[TN_MAX_NDIM];
    int64_t stride[TN_MAX_NDIM]; // elements; 0: the axis is broadcast
    int64_t start;               // index of the first element
} ref_box;

// Index in the array of element i of the box.
static inline int64_t ref_at(const ref_box *b, int64_t i)
{
    int64_t at = b->start;
    for (int32_t axis = b->ndim; axis-- > 0; i /= b->dim[axis])
        at += i % b->dim[axis] * b->stride[axis];
    return at;
}

// Elements of the box.
static inline int64_t ref_box_size(const ref_box *b)
{
    int64_t n = 1;
    for (int32_t axis = 0; axis < b->ndim; axis++) n *= b->dim[axis];
    return n;
}

static inline void ref_box_add(ref_box *b, int64_t dim, int64_t stride)
{
    b->dim[b->ndim] = dim;
    b->stride[b->ndim++] = stride;
}

// Row-major strides of a value's axes.
static inline void ref_strides(const tn_value_info *v, int64_t stride[TN_MAX_NDIM])
{
    for (int32_t axis = 0; axis < v->ndim; axis++) stride[axis] = tn_span(v, axis + 1, v->ndim);
}

// The box of value `to`, in value `from` broadcast to it: right-aligned, extents of 1 repeat.
static inline ref_box ref_broadcast(const tn_value_info *from, const tn_value_info *to)
{
    ref_box b = {0};
    if (from->size == to->size) { // nothing repeats: one axis says as much
        ref_box_add(&b, to->size, 1);
        return b;
    }
    const int32_t shift = to->ndim - from->ndim;
    for (int32_t axis = 0; axis < to->ndim; axis++) {
        const int32_t at = axis - shift;
        const bool repeats = at < 0 || from->dims[at] == 1;
        ref_box_add(&b, to->dims[axis], repeats ? 0 : tn_span(from, at + 1, from->ndim));
    }
    return b;
}

// ------------------------------------------------------------------ kernels

#define REF_FLAGS (TN_K_REENTRANT | TN_K_DETERMINISTIC) // of every row here

// The axis that a parameter names, counted from the end if negative; -1 if there is none such.
static inline int32_t ref_axis_param(const tn_call *c, const char *name, int64_t fallback,
                                     int32_t ndim)
{
    return tn_axis(tn_call_i64(c, name, fallback), ndim);
}

static inline tn_status ref_no_axis(const tn_sdk_kernel *k, const char *param)
{
    return tn_fail(k->host, TN_E_INVALID, "%s: no such axis in %d-D data", param,
                   (int)k->call->in[0]->ndim);
}

// Marks the axes of x that the parameters axis and exclude name; axis () means all.
static inline tn_status ref_reduced_axes(const tn_sdk_kernel *k, const tn_value_info *x,
                                         bool gone[TN_MAX_NDIM])
{
    const char *wrong = tn_reduced_axes(k->call, x, gone);
    return wrong ? ref_no_axis(k, wrong) : TN_OK;
}

// Permits that output 0 is written over input i, where the two have as many bytes.
static inline void ref_inplace(const tn_sdk_kernel *k, tn_kernel_info *info, uint32_t i)
{
    if (k->call->in[i]->bytes == k->call->out[0]->bytes && info->n_inplace < TN_MAX_INPLACE)
        info->inplace[info->n_inplace++] = (tn_inplace){i, 0};
}

// A kernel whose state is a ref_box: element i of output 0 is the box's element i in input 0.
static inline tn_status ref_gather(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_box *box = (const ref_box *)k->state;
    const size_t bytes = tn_dtype_size(k->call->out[0]->dtype);
    const char *x = (const char *)a->in[0].host;
    char *y = (char *)a->out[0].host;
    for (int64_t i = 0; i < k->call->out[0]->size; i++)
        memcpy(y + (size_t)i * bytes, x + (size_t)ref_at(box, i) * bytes, bytes);
    return TN_OK;
}

// The order of n numbers: indices, so that v[of 0], v[of 1], … fall, or rise; equals keep their
// places, and NaN is larger than any number. Uses two lines of n indices and returns one. (order)
const int64_t *ref_order_of(const double *v, int64_t n, bool ascend, int64_t *a, int64_t *b);

// Families; each is a table in reference_<family>.c.
extern const tn_kernel_row ref_elementwise[], ref_pointwise[], ref_dense[], ref_softmax[],
    ref_loss[], ref_reduce[], ref_broadcasts[], ref_shape[], ref_slice[], ref_index[], ref_init[],
    ref_random[], ref_optimizer[], ref_conv[], ref_pool[], ref_norm[], ref_leaky[], ref_along[],
    ref_order[];
extern const tn_kernel_row ref_rnn[];
extern const tn_kernel_row ref_multibox[], ref_proposal[];
extern const tn_kernel_row ref_rnn[], ref_ctc[];
extern const tn_kernel_row ref_fourier[], ref_sparse_reg[];
extern const tn_kernel_row ref_roi[], ref_bilinear[], ref_correlation[];
extern const tn_kernel_row ref_linalg[], ref_scan[];

#endif
