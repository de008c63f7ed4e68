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
    bool borrowed; // not ours to free: wrapped, or part of an executor's arena
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

// Tensor over a part of storage (retains it). NULL, and an error in env.
tn_tensor *tni_tensor_over(tn_env *env, tni_storage *storage, uint64_t offset, tn_dtype dtype,
                           const tn_shape *shape);
// As an argument of a kernel.
tn_arg tni_tensor_arg(const tn_tensor *t);

// Conversion of n elements, for tn_tensor_copy and the file readers (convert.c): float to integer
// cuts towards zero and saturates, NaN is 0 there, to bool is != 0, to smaller floats rounds to
// nearest even.
void tni_convert(void *dst, tn_dtype dst_dtype, const void *src, tn_dtype src_dtype, int64_t n);

#endif
