// tenon/tensor.h: tensors: dense, row-major, reference-counted arrays; and files of them.
//
// The only reference-counted object: a tensor is shared by its user, by executors and by views.
// Counting is atomic; the contents are not guarded. Failed calls leave their reason in the env.
#ifndef TENON_TENSOR_H
#define TENON_TENSOR_H

#include <tenon/env.h>

TN_BEGIN_DECLS

typedef struct tn_tensor tn_tensor;

// New tensor of zeros in host memory, aligned to 64 bytes, with one reference; NULL on error.
// Errors: TN_E_INVALID unknown extent, too many axes; TN_E_DTYPE; TN_E_NOMEM.
TN_API tn_tensor *tn_tensor_new(tn_env *env, tn_dtype dtype, tn_dims dims);

// Tensor over the caller's memory, which must outlive it: `data` holds the elements row-major.
TN_API tn_tensor *tn_tensor_wrap(tn_env *env, tn_dtype dtype, tn_dims dims, void *data);

// New tensor with the elements of data converted from float64 (size of dims of them).
TN_API tn_tensor *tn_tensor_from(tn_env *env, tn_dtype dtype, tn_dims dims, const double *data);

TN_API tn_tensor *tn_tensor_retain(tn_tensor *t); // returns t
TN_API void tn_tensor_release(tn_tensor *t);      // NULL is allowed

TN_API tn_dtype tn_tensor_dtype(const tn_tensor *t);
TN_API tn_shape tn_tensor_shape(const tn_tensor *t);
TN_API int64_t tn_tensor_size(const tn_tensor *t);   // elements
TN_API uint64_t tn_tensor_bytes(const tn_tensor *t); // bytes

// The elements, or NULL if they are in the memory of a device.
TN_API void *tn_tensor_data(tn_tensor *t);

// "host", or the device that holds it: "opencl:0". Owned by the tensor.
TN_API const char *tn_tensor_device(const tn_tensor *t);

// Views share memory with t and keep it alive. Rows begin … end-1 of the first axis; another shape
// with as many elements. NULL on error: TN_E_INVALID.
TN_API tn_tensor *tn_tensor_slice(tn_tensor *t, int64_t begin, int64_t end);
TN_API tn_tensor *tn_tensor_reshape(tn_tensor *t, tn_dims dims);

// Raw bytes in and out; bytes must be tn_tensor_bytes(t). Works for device tensors.
TN_API tn_status tn_tensor_set(tn_tensor *t, const void *data, uint64_t bytes);
TN_API tn_status tn_tensor_get(tn_tensor *t, void *data, uint64_t bytes);

// Elements from src into dst: same number of elements; dtypes are converted (float to integer
// truncates, to bool is != 0, out of range saturates). Any two devices.
TN_API tn_status tn_tensor_copy(tn_tensor *dst, tn_tensor *src);

// New host tensor of that dtype with the converted elements.
TN_API tn_tensor *tn_tensor_cast(tn_tensor *t, tn_dtype dtype);

// Every element := value, converted.
TN_API tn_status tn_tensor_fill(tn_tensor *t, double value);

// Element i (row-major) as float64; for printing and tests. 0 if i is out of range. Of a tensor on
// a device the 4 KiB behind it are brought along, for those who ask for one after the other.
TN_API double tn_tensor_at(tn_tensor *t, int64_t i);

// ------------------------------------------------------------------ files

typedef struct tn_named_tensor {
    const char *name; // NULL where the file has no names
    tn_tensor *tensor;
} tn_named_tensor;

// Tensors with names, owned: the caller frees it with tn_tensors_free().
typedef struct tn_tensor_list {
    size_t n;
    tn_named_tensor *v;
} tn_tensor_list;

typedef struct tn_tensors {
    size_t n;
    const tn_named_tensor *v;
} tn_tensors;
#ifndef __cplusplus
#define TN_TENSORS(...) \
    ((tn_tensors){TN_COUNT_(tn_named_tensor, __VA_ARGS__), (const tn_named_tensor[]){__VA_ARGS__}})
#endif

TN_API void tn_tensors_free(tn_tensor_list *list);

// MXNet .params (array lists): V0 to V3 are read, sparse arrays are refused by name; V2 is written,
// V3 for a tensor of rank 0, which V2 cannot say. Integers that Tenon has no dtype for become the
// next wider ones: int16 and uint16 int32, uint32 and uint64 int64. An array without a shape is an
// empty float32 tensor. A file can never ask for more memory than a small multiple of its size.
// Errors: TN_E_IO, TN_E_FORMAT with the byte offset; nothing is returned then.
TN_API tn_status tn_params_load(tn_env *env, const char *path, tn_tensor_list *out);
TN_API tn_status tn_params_parse(tn_env *env, const void *bytes, size_t n, tn_tensor_list *out);
TN_API tn_status tn_params_save(tn_env *env, const char *path, tn_tensors tensors);

// NumPy .npy, versions 1 to 3, C or Fortran order, little or big endian, integers widened as
// above; version 1 is written.
// bfloat16 is written as float32, since NumPy has no such dtype.
TN_API tn_tensor *tn_npy_load(tn_env *env, const char *path);
TN_API tn_status tn_npy_save(tn_env *env, const char *path, tn_tensor *t);

// idx files (MNIST), plain or gzip: uint8 … float64 of up to 8 axes; int16 becomes int32.
TN_API tn_tensor *tn_idx_load(tn_env *env, const char *path);

// Numbers in comma-separated lines, plain or gzip, as a float32 (rows, columns) tensor. Every row
// must have as many columns as the first. A first line with no number in it is a header, skipped.
TN_API tn_tensor *tn_csv_load(tn_env *env, const char *path);

TN_END_DECLS

#endif
